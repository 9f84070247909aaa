/*
 * GREEDY_COVER: lazy greedy over a matrix that is kept.
 *
 * Gains never grow, in f32 neither: the terms of a sum fall one by one, and
 * rounding keeps their order. So an old value bounds the new one, and the exact
 * choice is found by looking again only at those that might be best.
 */

#include "cpu/cpu_greedy.h"

#include <math.h>
#include <omp.h>

enum { DEMAND = 6, FACTOR, EXTRA, EXTRA_RANGE, DST };
enum { BLOCK = 64 }; /* bounds with one maximum */

struct cover_plan {
    tkp__cpu_greedy greedy;
    tkp_op_greedy_cover params;
    uint64_t covered_at, demand_at, factor_at, bound_at; /* [most] f32 */
    uint64_t top_at;   /* [most / BLOCK] i32 entry of the best bound */
    uint64_t fresh_at; /* [most] i32 choices made when it was computed */
    uint64_t extra_at; /* [most, T] f32 extra rows, turned */
    uint64_t covered_extra_at;   /* [T] f32 */
    uint64_t shift_at, share_at; /* [most] f32 of SOFTMAX */
};

static int64_t extra_rows(const tkp_tensor *a)
{
    return tkp__present(&a[EXTRA]) ? a[EXTRA].shape[0] : 0;
}

static tkp_status plan_cover(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct cover_plan *p = (struct cover_plan *)base;
    (void)kernel_out;
    memcpy(&p->params, desc->params, sizeof(p->params));
    TKP__TRY(tkp__cpu_greedy_plan(
        &p->greedy, ledger, desc, DST, p->params.largest, true, true));
    const uint64_t n = (uint64_t)p->greedy.most;
    const uint64_t e = (uint64_t)extra_rows(desc->args);
    uint64_t *const pieces[] = {&p->covered_at, &p->demand_at, &p->factor_at,
                                &p->bound_at,   &p->top_at,    &p->fresh_at,
                                &p->shift_at,   &p->share_at};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
        TKP__TRY(tkp_sys_ledger_book(ledger, n * 4, pieces[i]));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * e * 4, &p->extra_at));
    return tkp_sys_ledger_book(ledger, e * 4, &p->covered_extra_at);
}

/* What a run works on; T stands turned: row j has T_ij for all i. */
struct state {
    const struct cover_plan *plan;
    const tkp__cpu_greedy_group *g;
    float *matrix;
    float *covered, *demand, *factor, *bound, *extra, *covered_extra;
    int32_t *top, *fresh;
    float *shift, *share;
    int64_t e; /* extra rows */
    bool demands, factors;
};

/* --- the matrix ------------------------------------------------------------- */

/* Largest and sum of row i of exp(S / t): row i is column i. */
static void softmax_sum(const struct state *s, int64_t i, float *row)
{
    const tkp__cpu_kernels *k = s->plan->greedy.base.kernels;
    const float inverse = 1.0f / s->plan->params.temperature;
    const int64_t n = s->g->n;
    const float *from = s->matrix + i * n;
    s->shift[i] = k->row_max(from, n);
    for (int64_t j = 0; j < n; j++)
        row[j] = (from[j] - s->shift[i]) * inverse;
    s->share[i] = s->plan->params.scale / (k->exp_sum(row, 0, n) * (float)n);
}

static void turned_row(const struct state *s, int64_t j)
{
    const tkp_op_greedy_cover *p = &s->plan->params;
    const int64_t n = s->g->n;
    float *row = s->matrix + j * n;
    if (p->kernel == TKP_GREEDY_KERNEL_SOFTMAX) {
        const float inverse = 1.0f / p->temperature;
        for (int64_t i = 0; i < n; i++)
            row[i] = (row[i] - s->shift[i]) * inverse;
        s->plan->greedy.base.kernels->exp_sum(row, 0, n);
        for (int64_t i = 0; i < n; i++)
            row[i] *= s->share[i];
    } else if (p->kernel == TKP_GREEDY_KERNEL_HALF) {
        for (int64_t i = 0; i < n; i++)
            row[i] = (row[i] + 1.0f) * 0.5f * p->scale;
    } else if (p->scale != 1) {
        for (int64_t i = 0; i < n; i++)
            row[i] *= p->scale;
    }
}

static void turn_matrix(const struct state *s)
{
    const tkp__cpu_greedy *greedy = &s->plan->greedy;
    const int64_t n = s->g->n;
    if (s->plan->params.kernel == TKP_GREEDY_KERNEL_SOFTMAX) {
#pragma omp parallel for num_threads(greedy->base.threads) schedule(static)
        for (int64_t i = 0; i < n; i++)
            softmax_sum(
                s, i,
                (float *)(void *)(s->g->tiles +
                                  (uint64_t)omp_get_thread_num() *
                                      greedy->tile_bytes));
    }
#pragma omp parallel for num_threads(greedy->base.threads) schedule(static)
    for (int64_t j = 0; j < n; j++)
        turned_row(s, j);
}

/* --- gains ------------------------------------------------------------------ */

static float value_of(const struct state *s, int64_t j)
{
    const tkp__cpu_kernels *k = s->plan->greedy.base.kernels;
    const int64_t n = s->g->n;
    float value = k->sum_above(
        s->matrix + j * n, s->covered, s->demands ? s->demand : NULL, n);
    if (s->e)
        value +=
            k->sum_above(s->extra + j * s->e, s->covered_extra, NULL, s->e);
    if (!s->factors)
        return value;
    return s->plan->params.add ? value + s->factor[j] : value * s->factor[j];
}

static void find_top(const struct state *s, int64_t block)
{
    const int64_t first = block * BLOCK;
    const int64_t end = tkp__cpu_min(first + BLOCK, s->g->n);
    int64_t best = first;
    for (int64_t j = first + 1; j < end; j++)
        if (s->bound[j] > s->bound[best])
            best = j;
    s->top[block] = (int32_t)best;
}

static int64_t best_bound(const struct state *s)
{
    const int64_t blocks = tkp__cpu_ceil(s->g->n, BLOCK);
    int32_t best = s->top[0];
    for (int64_t b = 1; b < blocks; b++)
        if (s->bound[s->top[b]] > s->bound[best])
            best = s->top[b];
    return best;
}

static void set_bound(const struct state *s, int64_t j, float value)
{
    s->bound[j] = value;
    find_top(s, j / BLOCK);
}

static void choose(const struct state *s)
{
    const tkp__cpu_greedy_group *g = s->g;
    const tkp__cpu_kernels *k = s->plan->greedy.base.kernels;
#pragma omp parallel for num_threads(s->plan->greedy.base.threads)             \
    schedule(static) if (tkp__cpu_worth_threads(g->n * g->n))
    for (int64_t j = 0; j < g->n; j++) {
        s->bound[j] = value_of(s, j);
        s->fresh[j] = 0;
    }
    for (int64_t b = 0; b * BLOCK < g->n; b++)
        find_top(s, b);
    for (int32_t t = 0; t < g->keep;) {
        const int64_t j = best_bound(s);
        if (s->fresh[j] < t) {
            s->fresh[j] = t;
            set_bound(s, j, value_of(s, j));
            continue;
        }
        g->dst[t++] = g->list[j];
        set_bound(s, j, -__builtin_inff());
        k->take_max(s->covered, s->matrix + j * g->n, TKP_DTYPE_F32, g->n);
        for (int64_t r = 0; r < s->e; r++)
            if (s->extra[j * s->e + r] > s->covered_extra[r])
                s->covered_extra[r] = s->extra[j * s->e + r];
    }
}

/* --- running ---------------------------------------------------------------- */

static tkp_status check_extra(const tkp_tensor *a)
{
    return tkp__present(&a[EXTRA])
               ? tkp__cpu_check_range(
                     &a[EXTRA_RANGE], a[EXTRA].shape[0], "extra_range")
               : TKP_OK;
}

static const float *extra_row(const tkp_tensor *a, int64_t r)
{
    return (const float *)tkp__data(&a[EXTRA]) + r * a[EXTRA].strides[0];
}

static tkp_status check_extra_numbers(const tkp_tensor *a)
{
    if (!tkp__present(&a[EXTRA]))
        return TKP_OK;
    const int32_t *range = tkp__cpu_i32(&a[EXTRA_RANGE]);
    const int32_t *offsets = tkp__cpu_i32(&a[TKP__GREEDY_OFFSETS]);
    const tkp_tensor *members = &a[TKP__GREEDY_MEMBERS];
    for (int64_t g = 0; g < a[EXTRA_RANGE].shape[0]; g++)
        for (int64_t r = range[2 * g]; r < range[2 * g + 1]; r++)
            for (int32_t i = offsets[g]; i < offsets[g + 1]; i++)
                TKP__CHECK(
                    __builtin_isfinite(
                        extra_row(a, r)
                            [tkp__present(members) ? tkp__cpu_i32(members)[i]
                                                   : i]),
                    TKP_ERR_DATA,
                    "extra: row %lld has a number that is not finite",
                    (long long)r);
    return TKP_OK;
}

/* Weights in the order of the list; nothing covered. */
static void open_state(struct state *s, const tkp_tensor *a, int64_t group)
{
    const tkp__cpu_greedy_group *g = s->g;
    const float *demand = s->demands ? tkp__data(&a[DEMAND]) : NULL;
    const float *factor = s->factors ? tkp__data(&a[FACTOR]) : NULL;
    const double power = (double)s->plan->params.power;
    s->matrix = g->matrix;
    turn_matrix(s);
    for (int64_t j = 0; j < g->n; j++) {
        s->covered[j] = 0;
        if (demand)
            s->demand[j] = demand[g->list[j]];
        if (factor)
            s->factor[j] = power == 1
                               ? factor[g->list[j]]
                               : (float)pow((double)factor[g->list[j]], power);
    }
    if (!tkp__present(&a[EXTRA]))
        return;
    const int32_t *range = tkp__cpu_i32(&a[EXTRA_RANGE]) + 2 * group;
    s->e = range[1] - range[0];
    for (int64_t r = 0; r < s->e; r++) {
        const float *row = extra_row(a, range[0] + r);
        s->covered_extra[r] = 0;
        for (int64_t j = 0; j < g->n; j++)
            s->extra[j * s->e + r] = row[g->list[j]];
    }
}

static tkp_status run_cover(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct cover_plan *p = (const struct cover_plan *)base;
    const tkp_tensor *a = r->args;
    char *w = r->workspace;
    struct state s = {
        .plan = p,
        .covered = (float *)(void *)(w + p->covered_at),
        .demand = (float *)(void *)(w + p->demand_at),
        .factor = (float *)(void *)(w + p->factor_at),
        .bound = (float *)(void *)(w + p->bound_at),
        .extra = (float *)(void *)(w + p->extra_at),
        .covered_extra = (float *)(void *)(w + p->covered_extra_at),
        .top = (int32_t *)(void *)(w + p->top_at),
        .fresh = (int32_t *)(void *)(w + p->fresh_at),
        .shift = (float *)(void *)(w + p->shift_at),
        .share = (float *)(void *)(w + p->share_at),
        .demands = tkp__present(&a[DEMAND]),
        .factors = tkp__present(&a[FACTOR]),
    };
    TKP__TRY(check_extra(a));
    TKP__TRY(tkp__cpu_greedy_check(&p->greedy, r, DST));
    TKP__TRY(tkp__cpu_greedy_check_weights(r, DEMAND, "demand", false));
    TKP__TRY(tkp__cpu_greedy_check_weights(r, FACTOR, "factor", false));
    TKP__TRY(check_extra_numbers(a));
    for (int64_t i = 0; i < a[TKP__GREEDY_KEEP].shape[0]; i++) {
        const tkp__cpu_greedy_group g =
            tkp__cpu_greedy_open(&p->greedy, r, DST, i, true);
        if (g.keep == 0)
            continue;
        s.g = &g;
        open_state(&s, a, i);
        choose(&s);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_greedy_cover = {
    .kind = TKP_OP_GREEDY_COVER,
    .plan_bytes = sizeof(struct cover_plan),
    .supports = NULL,
    .plan = plan_cover,
    .run = run_cover,
    .destroy = NULL,
};
