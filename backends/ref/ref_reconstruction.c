/*
 * RECONSTRUCTION: what a few tokens of a group cannot say of the others.
 *
 *   B [b, D] the basis;  W = (B B^T + ridge I)^-1 B X^T   [b, n]
 *   dst_j = |x_j - sum_c W_cj B_c|
 *
 * Source: ApET (CVPR 2026): ridge least squares, ridge 1e-5. Open choices: a
 * group without a basis has the norms; where rounding leaves a pivot of the
 * factorisation at or below 1e-13 times its diagonal, that row of the basis
 * says nothing new and is left out. In double.
 */

#include "ref/ref.h"

enum { X, ROWS, GROUP_OFFSETS, MEMBERS, BASIS, BASIS_OFFSETS, DST };
enum { SCRATCH_FACTOR, SCRATCH_WEIGHTS };

static tkp_status plan_reconstruction(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    const int64_t most = plan->params.reconstruction.largest
                             ? plan->params.reconstruction.largest
                             : args[BASIS].shape[0];
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_FACTOR, most * most, sizeof(double)));
    return tkp__ref_book(plan, ledger, SCRATCH_WEIGHTS, most, sizeof(double));
}

static tkp_status
check_data(const tkp_op_reconstruction *p, const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const bool listed = tkp__present(members);
    const int64_t n = args[ROWS].shape[0];
    const int64_t groups = args[GROUP_OFFSETS].shape[0] - 1;
    const int32_t *ends = tkp__ref_i32(&args[BASIS_OFFSETS]);
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_offsets(
        &args[GROUP_OFFSETS], listed ? members->shape[0] : n, "group_offsets"));
    if (listed)
        TKP__TRY(tkp__ref_check_index(
            members, tkp__ref_i32(&args[GROUP_OFFSETS])[groups], n, "members"));
    TKP__TRY(tkp__ref_check_covering(
        &args[BASIS_OFFSETS], args[BASIS].shape[0], "basis_offsets"));
    TKP__TRY(
        tkp__ref_check_index(&args[BASIS], args[BASIS].shape[0], n, "basis"));
    for (int64_t g = 0; p->largest && g < groups; g++)
        TKP__CHECK(
            ends[g + 1] - ends[g] <= p->largest, TKP_ERR_ARGUMENT,
            "basis_offsets: group %lld has %d, largest is %d", (long long)g,
            ends[g + 1] - ends[g], p->largest);
    return TKP_OK;
}

typedef struct group {
    const tkp_tensor *x;
    const int32_t *rows;
    const int32_t *basis;
    int32_t count;   /* of the basis */
    double *factor;  /* [count, count] L of the Gram matrix, lower part; a
                       diagonal of 0 leaves its row out */
    double *weights; /* [count] */
} group;

static double dot(const group *g, int32_t a, int32_t b)
{
    return tkp__ref_dot(
        tkp__ref_row(g->x, g->rows[a]), g->x->dtype,
        tkp__ref_row(g->x, g->rows[b]), g->x->dtype, g->x->shape[1]);
}

static void factorise(const group *g, double ridge)
{
    const int32_t n = g->count;
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j <= i; j++) {
            double sum = dot(g, g->basis[i], g->basis[j]);
            const double whole = i == j ? sum + ridge : sum;
            sum = whole;
            for (int32_t c = 0; c < j; c++)
                sum -= g->factor[i * n + c] * g->factor[j * n + c];
            const double pivot = g->factor[j * n + j];
            if (i != j)
                g->factor[i * n + j] = pivot > 0.0 ? sum / pivot : 0.0;
            else
                g->factor[i * n + i] = sum > 1e-13 * whole ? sqrt(sum) : 0.0;
        }
}

static void solve(const group *g, int32_t candidate)
{
    const int32_t n = g->count;
    double *w = g->weights;
    for (int32_t i = 0; i < n; i++) {
        double sum = dot(g, g->basis[i], candidate);
        for (int32_t c = 0; c < i; c++)
            sum -= g->factor[i * n + c] * w[c];
        w[i] = g->factor[i * n + i] > 0.0 ? sum / g->factor[i * n + i] : 0.0;
    }
    for (int32_t i = n - 1; i >= 0; i--) {
        double sum = w[i];
        for (int32_t c = i + 1; c < n; c++)
            sum -= g->factor[c * n + i] * w[c];
        w[i] = g->factor[i * n + i] > 0.0 ? sum / g->factor[i * n + i] : 0.0;
    }
}

static double error_of(const group *g, int32_t candidate)
{
    const tkp_tensor *x = g->x;
    const void *own = tkp__ref_row(x, g->rows[candidate]);
    double squares = 0.0;
    for (int64_t d = 0; d < x->shape[1]; d++) {
        double rest = (double)tkp__load_f32(own, x->dtype, d);
        for (int32_t c = 0; c < g->count; c++)
            rest -= g->weights[c] *
                    (double)tkp__load_f32(
                        tkp__ref_row(x, g->rows[g->basis[c]]), x->dtype, d);
        squares += rest * rest;
    }
    return sqrt(squares);
}

static tkp_status run_reconstruction(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    const tkp_op_reconstruction *p = &plan->params.reconstruction;
    TKP__TRY(check_data(p, args));
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const int32_t *basis = tkp__ref_i32(&args[BASIS_OFFSETS]);
    const int32_t *members =
        tkp__present(&args[MEMBERS]) ? tkp__ref_i32(&args[MEMBERS]) : NULL;
    float *dst = tkp__data(&args[DST]);
    for (int64_t i = 0; i < args[ROWS].shape[0]; i++)
        dst[i] = 0.0f;
    for (int64_t i = 0; i < args[GROUP_OFFSETS].shape[0] - 1; i++) {
        const group g = {
            .x = &args[X],
            .rows = tkp__ref_i32(&args[ROWS]),
            .basis = tkp__ref_i32(&args[BASIS]) + basis[i],
            .count = basis[i + 1] - basis[i],
            .factor = tkp__ref_scratch(plan, workspace, SCRATCH_FACTOR),
            .weights = tkp__ref_scratch(plan, workspace, SCRATCH_WEIGHTS),
        };
        factorise(&g, (double)p->ridge);
        for (int32_t m = offsets[i]; m < offsets[i + 1]; m++) {
            const int32_t candidate = members ? members[m] : m;
            solve(&g, candidate);
            const double error = error_of(&g, candidate);
            TKP__CHECK(
                isfinite(error), TKP_ERR_DATA,
                "x: the error of candidate %d is not finite", candidate);
            dst[candidate] = (float)error;
        }
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_reconstruction = {
    .kind = TKP_OP_RECONSTRUCTION,
    .params_size = sizeof(tkp_op_reconstruction),
    .kernel = "ref_reconstruction",
    .plan = plan_reconstruction,
    .run = run_reconstruction,
};
