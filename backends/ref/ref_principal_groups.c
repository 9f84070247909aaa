/*
 * PRINCIPAL_GROUPS: which principal component of its group speaks most of each
 * member.
 *
 *   Y [n, D] = s(x), each row less its mean over the channels
 *   v_c        unit eigenvectors of Y Y^T, of the q largest eigenvalues
 *   component_j = arg max over c of |v_cj|,  strength_j = that maximum
 *   s: the logistic function, or nothing
 *
 * Source: PruneSID (ICLR 2026): tokens are columns of a matrix of which the
 * principal components are taken, each belongs to the one it weighs most in.
 * The published code draws a random start; this is what it tends to. Open
 * choices: of equal weights the lower component; components whose eigenvalue
 * is at or below 1e-12 times the largest weigh nothing; where two eigenvalues
 * are equal their vectors are not defined, and any orthogonal pair is taken,
 * always the same for the same data.
 *
 * In double: vectors by inverse iteration on the tridiagonal matrix, each made
 * orthogonal to those before, and reflected back (Golub and Van Loan, chapter
 * 8).
 */

#include <float.h>

#include "ref/ref.h"
#include "ref/ref_tridiagonal.h"

enum { X, ROWS, GROUP_OFFSETS, MEMBERS, COMPONENTS, COMPONENT, STRENGTH };
enum { SCRATCH_Y, SCRATCH_GRAM, SCRATCH_VECTORS, SCRATCH_LINES };
enum { LINES = 7 };

static int64_t most_members(const tkp__ref_plan *plan, const tkp_tensor *args)
{
    const int64_t most = plan->params.principal_groups.largest;
    const tkp_tensor *members = &args[MEMBERS];
    const int64_t all =
        tkp__present(members) ? members->shape[0] : args[ROWS].shape[0];
    return most && most < all ? most : all;
}

static int64_t most_components(const tkp__ref_plan *plan, int64_t members)
{
    const int64_t most = plan->params.principal_groups.largest_components;
    return most && most < members ? most : members;
}

static tkp_status plan_principal_groups(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    const int64_t n = most_members(plan, args);
    const int64_t q = most_components(plan, n);
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_Y, n * args[X].shape[1], sizeof(double)));
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_GRAM, n * n, sizeof(double)));
    TKP__TRY(
        tkp__ref_book(plan, ledger, SCRATCH_VECTORS, q * n, sizeof(double)));
    return tkp__ref_book(
        plan, ledger, SCRATCH_LINES, LINES * n, sizeof(double));
}

static tkp_status check_data(const tkp__ref_plan *plan, const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const bool listed = tkp__present(members);
    const int64_t all = args[ROWS].shape[0];
    const int64_t groups = args[COMPONENTS].shape[0];
    const int64_t most = most_members(plan, args);
    const int64_t parts = most_components(plan, most);
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    TKP__TRY(tkp__ref_check_index(&args[ROWS], all, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_offsets(
        &args[GROUP_OFFSETS], listed ? members->shape[0] : all,
        "group_offsets"));
    if (listed)
        TKP__TRY(
            tkp__ref_check_index(members, offsets[groups], all, "members"));
    for (int64_t g = 0; g < groups; g++) {
        const int32_t q = tkp__ref_i32(&args[COMPONENTS])[g];
        const int32_t n = offsets[g + 1] - offsets[g];
        TKP__CHECK(
            n <= most, TKP_ERR_ARGUMENT,
            "group_offsets: group %lld has %d members, largest is %lld",
            (long long)g, n, (long long)most);
        TKP__CHECK(
            q >= (n > 0) && q <= n && q <= parts, TKP_ERR_ARGUMENT,
            "components: entry %lld is %d, wanted %d to %lld", (long long)g, q,
            n > 0, (long long)(n < parts ? n : parts));
    }
    return TKP_OK;
}

typedef struct group {
    tkp__ref_tridiagonal t; /* of Y Y^T */
    int32_t q;
    double *y;      /* [n, D] */
    double *vector; /* [q, n] */
    double *value;  /* [q] eigenvalues, the largest */
    double *lu[3];  /* [n] of a shifted matrix: diagonal, two above */
} group;

static void
centre_row(double *y, const void *row, int32_t dtype, int64_t d, bool logistic)
{
    double mean = 0.0;
    for (int64_t c = 0; c < d; c++) {
        const double v = (double)tkp__load_f32(row, dtype, c);
        y[c] = logistic ? 1.0 / (1.0 + exp(-v)) : v;
        mean += y[c];
    }
    mean = d ? mean / (double)d : 0.0;
    for (int64_t c = 0; c < d; c++)
        y[c] -= mean;
}

/* --- vectors ------------------------------------------------------------------ */

/* Solve (T - x I) v = v: elimination with exchange of neighbours. */
static void solve_shifted(const group *g, double x, double tiny, double *v)
{
    const int32_t n = g->t.n;
    double *main = g->lu[0], *first = g->lu[1], *second = g->lu[2];
    for (int32_t i = 0; i < n; i++) {
        main[i] = g->t.d[i] - x;
        first[i] = i + 1 < n ? g->t.e[i + 1] : 0.0;
        second[i] = 0.0;
    }
    for (int32_t i = 0; i + 1 < n; i++) {
        double below = g->t.e[i + 1];
        if (fabs(below) > fabs(main[i])) {
            double t = main[i];
            main[i] = below;
            below = t;
            t = first[i];
            first[i] = main[i + 1];
            main[i + 1] = t;
            second[i] = first[i + 1];
            first[i + 1] = 0.0;
            t = v[i];
            v[i] = v[i + 1];
            v[i + 1] = t;
        }
        if (main[i] == 0.0)
            main[i] = tiny;
        const double factor = below / main[i];
        main[i + 1] -= factor * first[i];
        first[i + 1] -= factor * second[i];
        v[i + 1] -= factor * v[i];
    }
    for (int32_t i = n - 1; i >= 0; i--) {
        double sum = v[i];
        if (i + 1 < n)
            sum -= first[i] * v[i + 1];
        if (i + 2 < n)
            sum -= second[i] * v[i + 2];
        v[i] = sum / (fabs(main[i]) < tiny ? tiny : main[i]);
    }
}

static void normalise(double *v, int64_t n)
{
    double top = 0.0;
    for (int64_t i = 0; i < n; i++)
        top = fmax(top, fabs(v[i]));
    for (int64_t i = 0; top > 0.0 && i < n; i++)
        v[i] /= top;
    const double length = sqrt(tkp__ref_dot_f64(v, v, n));
    for (int64_t i = 0; length > 0.0 && i < n; i++)
        v[i] /= length;
}

/* Vector k of the tridiagonal matrix. The start is fixed and has no pattern. */
static void find_vector(const group *g, int32_t k, double norm)
{
    const int64_t n = g->t.n;
    const double tiny = norm * DBL_EPSILON + DBL_MIN;
    double *v = g->vector + k * n;
    uint32_t state = 0x9E3779B9u + (uint32_t)k;
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        v[i] = (double)(state >> 8) / 16777216.0 - 0.5;
    }
    /* Equal values are parted, or each would give the same vector. */
    const double x = g->value[k] - (double)k * 2.0 * tiny;
    for (int32_t step = 0; step < 4; step++) {
        solve_shifted(g, x, tiny, v);
        normalise(v, n);
        for (int32_t twice = 0; twice < 2; twice++)
            for (int32_t j = 0; j < k; j++) {
                const double *other = g->vector + j * n;
                const double share = tkp__ref_dot_f64(v, other, n);
                for (int64_t i = 0; i < n; i++)
                    v[i] -= share * other[i];
            }
        normalise(v, n);
    }
}

static void reflect_back(const group *g, double *v)
{
    const int64_t n = g->t.n;
    for (int64_t i = 1; i < n; i++) {
        if (g->t.scale[i] == 0.0)
            continue;
        const double *u = g->t.a + i * n;
        const double share = tkp__ref_dot_f64(u, v, i) / g->t.scale[i];
        for (int64_t r = 0; r < i; r++)
            v[r] -= share * u[r];
    }
}

/* --- the op -------------------------------------------------------------------- */

static tkp_status fill_gram(
    const group *g,
    const tkp_tensor *args,
    const int32_t *members,
    int32_t first,
    bool logistic)
{
    const tkp_tensor *x = &args[X];
    const int64_t n = g->t.n, d = x->shape[1];
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = first + i;
        const int64_t candidate = members ? members[at] : at;
        const int32_t row = tkp__ref_i32(&args[ROWS])[candidate];
        centre_row(g->y + i * d, tkp__ref_row(x, row), x->dtype, d, logistic);
        for (int64_t j = 0; j <= i; j++)
            g->t.a[i * n + j] = g->t.a[j * n + i] =
                tkp__ref_dot_f64(g->y + i * d, g->y + j * d, d);
        TKP__CHECK(
            isfinite(g->t.a[i * n + i]), TKP_ERR_DATA,
            "x: the row of candidate %lld is not finite", (long long)candidate);
    }
    return TKP_OK;
}

static void assign(
    const group *g,
    const int32_t *members,
    int32_t first,
    int32_t *component,
    float *strength)
{
    for (int32_t i = 0; i < g->t.n; i++) {
        const int32_t candidate = members ? members[first + i] : first + i;
        double best = 0.0;
        component[candidate] = 0;
        for (int32_t c = 0; c < g->q; c++) {
            const double weight = fabs(g->vector[(int64_t)c * g->t.n + i]);
            if (g->value[c] > 1e-12 * g->value[0] && weight > best) {
                best = weight;
                component[candidate] = c;
            }
        }
        strength[candidate] = (float)best;
    }
}

static group group_at(const tkp__ref_plan *plan, char *workspace, int32_t n)
{
    double *line = tkp__ref_scratch(plan, workspace, SCRATCH_LINES);
    return (group){
        .t =
            {
                .n = n,
                .a = tkp__ref_scratch(plan, workspace, SCRATCH_GRAM),
                .d = line,
                .e = line + n,
                .scale = line + 3 * (int64_t)n,
                .scratch = line + 4 * (int64_t)n,
            },
        .y = tkp__ref_scratch(plan, workspace, SCRATCH_Y),
        .vector = tkp__ref_scratch(plan, workspace, SCRATCH_VECTORS),
        .value = line + 2 * (int64_t)n,
        .lu =
            {line + 4 * (int64_t)n, line + 5 * (int64_t)n,
             line + 6 * (int64_t)n},
    };
}

static tkp_status run_principal_groups(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    TKP__TRY(check_data(plan, args));
    const bool logistic = plan->params.principal_groups.logistic != 0;
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const int32_t *members =
        tkp__present(&args[MEMBERS]) ? tkp__ref_i32(&args[MEMBERS]) : NULL;
    int32_t *component = tkp__data(&args[COMPONENT]);
    float *strength = tkp__data(&args[STRENGTH]);
    for (int64_t i = 0; i < args[ROWS].shape[0]; i++) {
        component[i] = -1;
        strength[i] = 0.0f;
    }
    for (int64_t i = 0; i < args[COMPONENTS].shape[0]; i++) {
        group g = group_at(plan, workspace, offsets[i + 1] - offsets[i]);
        g.q = tkp__ref_i32(&args[COMPONENTS])[i];
        if (g.t.n == 0)
            continue;
        TKP__TRY(fill_gram(&g, args, members, offsets[i], logistic));
        tkp__ref_tridiagonal_reduce(&g.t);
        const double norm = tkp__ref_tridiagonal_values(&g.t, g.q, g.value);
        for (int32_t k = 0; k < g.q; k++)
            find_vector(&g, k, norm);
        for (int32_t k = 0; k < g.q; k++)
            reflect_back(&g, g.vector + (int64_t)k * g.t.n);
        assign(&g, members, offsets[i], component, strength);
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_principal_groups = {
    .kind = TKP_OP_PRINCIPAL_GROUPS,
    .params_size = sizeof(tkp_op_principal_groups),
    .kernel = "ref_principal_groups",
    .plan = plan_principal_groups,
    .run = run_principal_groups,
};
