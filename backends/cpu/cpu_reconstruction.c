/*
 * RECONSTRUCTION: the basis of a group is made double once; candidates are shared
 * out. All sums are double, as a basis that is nearly dependent asks for it: the
 * ridge is all that holds its system up.
 */

#include <math.h>
#include <omp.h>

#include "cpu/cpu.h"

enum { X, ROWS, OFFSETS, MEMBERS, BASIS, BASIS_OFFSETS, DST };
enum { LANES = 8, BLOCK = 512 /* channels at a time, of a rest */ };

struct reconstruction_plan {
    tkp__cpu_plan base;
    double ridge;
    int64_t most; /* rows of a basis */
    uint64_t basis_at, factor_at, rows_at, values_at, weights_at;
};

static tkp_status plan_reconstruction(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct reconstruction_plan *p = (struct reconstruction_plan *)base;
    const tkp_op_reconstruction *params = desc->params;
    const uint64_t d = (uint64_t)desc->args[X].shape[1];
    const uint64_t threads = (uint64_t)base->threads;
    (void)kernel_out;
    p->ridge = (double)params->ridge;
    p->most = desc->args[BASIS].shape[0];
    if (params->largest)
        p->most = tkp__cpu_min(p->most, params->largest);
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(p->most, p->most, &cells) &&
            tkp__mul_i64(cells, 8, &cells) &&
            tkp__mul_i64(p->most, 8 * desc->args[X].shape[1], &cells),
        TKP_ERR_SHAPE, "basis: %lld entries", (long long)p->most);
    const uint64_t b = (uint64_t)p->most;
    TKP__TRY(tkp_sys_ledger_book(ledger, b * d * 8, &p->basis_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, b * b * 8, &p->factor_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, threads * d * 4, &p->rows_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, threads * d * 8, &p->values_at));
    return tkp_sys_ledger_book(ledger, threads * b * 8, &p->weights_at);
}

typedef struct group {
    const struct reconstruction_plan *plan;
    const tkp_tensor *args;
    int64_t d;
    int32_t count;  /* of the basis */
    double *basis;  /* [count, d] */
    double *factor; /* [count, count] L of the Gram matrix, lower part; a
                      diagonal of 0 leaves its row out */
} group;

/* Lanes by themselves, so that they become one register or a few. */
static double dot(const double *a, const double *b, int64_t n)
{
    double lane[LANES] = {0}, sum = 0.0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += a[i + l] * b[i + l];
    for (; i < n; i++)
        sum += a[i] * b[i];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

static void
read_row(const group *g, int32_t candidate, float *single, double *out)
{
    const tkp_tensor *x = &g->args[X];
    g->plan->base.kernels->convert(
        single, TKP_DTYPE_F32,
        tkp__cpu_row(
            x, tkp__cpu_i32(&g->args[ROWS])[candidate],
            tkp__cpu_bytes(x->dtype)),
        x->dtype, g->d);
    for (int64_t i = 0; i < g->d; i++)
        out[i] = (double)single[i];
}

static void factorise(const group *g)
{
    const int64_t n = g->count;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            const double whole =
                dot(g->basis + i * g->d, g->basis + j * g->d, g->d) +
                (i == j ? g->plan->ridge : 0.0);
            const double sum =
                whole - dot(g->factor + i * n, g->factor + j * n, j);
            const double pivot = g->factor[j * n + j];
            if (i != j)
                g->factor[i * n + j] = pivot > 0.0 ? sum / pivot : 0.0;
            else
                g->factor[i * n + i] = sum > 1e-13 * whole ? sqrt(sum) : 0.0;
        }
}

static void solve(const group *g, const double *row, double *w)
{
    const int64_t n = g->count;
    for (int64_t i = 0; i < n; i++) {
        const double pivot = g->factor[i * n + i];
        const double sum =
            dot(g->basis + i * g->d, row, g->d) - dot(g->factor + i * n, w, i);
        w[i] = pivot > 0.0 ? sum / pivot : 0.0;
    }
    for (int64_t i = n - 1; i >= 0; i--) {
        const double pivot = g->factor[i * n + i];
        double sum = w[i];
        for (int64_t c = i + 1; c < n; c++)
            sum -= g->factor[c * n + i] * w[c];
        w[i] = pivot > 0.0 ? sum / pivot : 0.0;
    }
}

/* The rest takes the place of the row. */
static double error_of(const group *g, double *row, const double *w)
{
    double squares = 0.0;
    for (int64_t from = 0; from < g->d; from += BLOCK) {
        const int64_t n = tkp__cpu_min(BLOCK, g->d - from);
        double *rest = row + from;
        for (int64_t c = 0; c < g->count; c++) {
            const double *restrict b = g->basis + c * g->d + from;
            for (int64_t i = 0; i < n; i++)
                rest[i] -= w[c] * b[i];
        }
        squares += dot(rest, rest, n);
    }
    return sqrt(squares);
}

static tkp_status run_group(const group *g, const tkp__cpu_run *r, int64_t at)
{
    const struct reconstruction_plan *p = g->plan;
    const int32_t *offsets = tkp__cpu_i32(&g->args[OFFSETS]);
    const int32_t *list = tkp__present(&g->args[MEMBERS])
                              ? tkp__cpu_i32(&g->args[MEMBERS])
                              : NULL;
    const int32_t *basis = tkp__cpu_i32(&g->args[BASIS]) +
                           tkp__cpu_i32(&g->args[BASIS_OFFSETS])[at];
    float *singles = (float *)(void *)(r->workspace + p->rows_at);
    double *values = (double *)(void *)(r->workspace + p->values_at);
    double *weights = (double *)(void *)(r->workspace + p->weights_at);
    float *dst = tkp__data(&g->args[DST]);
    int32_t bad = INT32_MAX;
    for (int64_t c = 0; c < g->count; c++)
        read_row(g, basis[c], singles, g->basis + c * g->d);
    factorise(g);
#pragma omp parallel for num_threads(p->base.threads) schedule(static) reduction( \
    min                                                                           \
    : bad) if (tkp__cpu_worth_threads((offsets[at + 1] - offsets[at]) * g->d))
    for (int32_t m = offsets[at]; m < offsets[at + 1]; m++) {
        const int64_t thread = omp_get_thread_num();
        const int32_t candidate = list ? list[m] : m;
        double *row = values + thread * g->d, *w = weights + thread * p->most;
        read_row(g, candidate, singles + thread * g->d, row);
        solve(g, row, w);
        const double error = error_of(g, row, w);
        if (!isfinite(error))
            bad = bad < candidate ? bad : candidate;
        dst[candidate] = (float)error;
    }
    TKP__CHECK(
        bad == INT32_MAX, TKP_ERR_DATA,
        "x: the error of candidate %d is not finite", bad);
    return TKP_OK;
}

static tkp_status
check_data(const struct reconstruction_plan *p, const tkp_tensor *a)
{
    const tkp_tensor *members = &a[MEMBERS];
    const bool listed = tkp__present(members);
    const int64_t n = a[ROWS].shape[0], groups = a[OFFSETS].shape[0] - 1;
    const int32_t *ends = tkp__cpu_i32(&a[BASIS_OFFSETS]);
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[X].shape[0], "rows"));
    TKP__TRY(tkp__cpu_check_offsets(
        &a[OFFSETS], listed ? members->shape[0] : n, "group_offsets"));
    if (listed)
        TKP__TRY(tkp__cpu_check_index(
            members, tkp__cpu_i32(&a[OFFSETS])[groups], n, "members"));
    TKP__TRY(tkp__cpu_check_covering(
        &a[BASIS_OFFSETS], a[BASIS].shape[0], "basis_offsets"));
    TKP__TRY(tkp__cpu_check_index(&a[BASIS], a[BASIS].shape[0], n, "basis"));
    for (int64_t g = 0; g < groups; g++)
        TKP__CHECK(
            ends[g + 1] - ends[g] <= p->most, TKP_ERR_ARGUMENT,
            "basis_offsets: group %lld has %d, largest is %lld", (long long)g,
            ends[g + 1] - ends[g], (long long)p->most);
    return TKP_OK;
}

static tkp_status
run_reconstruction(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct reconstruction_plan *p =
        (const struct reconstruction_plan *)base;
    const tkp_tensor *a = r->args;
    const int32_t *ends = tkp__cpu_i32(&a[BASIS_OFFSETS]);
    float *dst = tkp__data(&a[DST]);
    TKP__TRY(check_data(p, a));
    for (int64_t i = 0; i < a[ROWS].shape[0]; i++)
        dst[i] = 0.0f;
    for (int64_t i = 0; i + 1 < a[OFFSETS].shape[0]; i++) {
        const group g = {
            .plan = p,
            .args = a,
            .d = a[X].shape[1],
            .count = ends[i + 1] - ends[i],
            .basis = (double *)(void *)(r->workspace + p->basis_at),
            .factor = (double *)(void *)(r->workspace + p->factor_at),
        };
        TKP__TRY(run_group(&g, r, i));
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_reconstruction = {
    .kind = TKP_OP_RECONSTRUCTION,
    .plan_bytes = sizeof(struct reconstruction_plan),
    .supports = NULL,
    .plan = plan_reconstruction,
    .run = run_reconstruction,
    .destroy = NULL,
};
