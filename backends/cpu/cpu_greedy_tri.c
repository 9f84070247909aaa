/*
 * GREEDY_TRI: coverage gains are kept, and changed by the rows that a choice
 * brought nearer.
 */

#include "cpu/cpu_greedy.h"

enum { DST = 7 };
#define NOTHING 1e-6

struct tri_plan {
    tkp__cpu_greedy greedy;
    tkp_op_greedy_tri params;
    uint64_t near_at, before_at, weight_at; /* [most] f32 */
    uint64_t touched_at;                    /* [most] i32 */
    uint64_t gain_at, value_at;             /* [most] f64 */
    uint64_t chosen_at;                     /* [most] u8 */
};

static tkp_status plan_tri(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct tri_plan *p = (struct tri_plan *)base;
    (void)kernel_out;
    memcpy(&p->params, desc->params, sizeof(p->params));
    TKP__TRY(tkp__cpu_greedy_plan(
        &p->greedy, ledger, desc, DST, p->params.largest, true, true));
    const uint64_t n = (uint64_t)p->greedy.most;
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 4, &p->near_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 4, &p->before_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 4, &p->weight_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 4, &p->touched_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 8, &p->gain_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 8, &p->value_at));
    return tkp_sys_ledger_book(ledger, n, &p->chosen_at);
}

struct state {
    const struct tri_plan *plan;
    const tkp__cpu_greedy_group *g;
    float *near, *before, *weight;
    int32_t *touched;
    double *gain, *value;
    uint8_t *chosen;
};

static double above(float x, float floor)
{
    return x > floor ? (double)(x - floor) : 0;
}

/* Gains of columns from .. after the first choice. */
static void first_piece(const struct state *s, int64_t from)
{
    const int64_t n = s->g->n;
    const int64_t end = tkp__cpu_min(from + TKP__GREEDY_PIECE, n);
    for (int64_t j = from; j < end; j++)
        s->gain[j] = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *row = s->g->matrix + i * n;
        if (s->chosen[i])
            continue;
        for (int64_t j = from; j < end; j++)
            s->gain[j] += above(row[j], s->near[i]);
    }
}

/* The same after a later one: rows that came nearer, or are chosen. */
static void later_piece(const struct state *s, int64_t from, int64_t count)
{
    const int64_t n = s->g->n;
    const int64_t end = tkp__cpu_min(from + TKP__GREEDY_PIECE, n);
    for (int64_t c = 0; c < count; c++) {
        const int64_t i = s->touched[c];
        const float *row = s->g->matrix + i * n;
        const float before = s->before[i];
        /* A chosen row gives nothing any more. */
        const float now = s->chosen[i] ? __builtin_inff() : s->near[i];
        /* max(0, x - before) - max(0, x - now), without a branch */
        for (int64_t j = from; j < end; j++) {
            const float low = row[j] < now ? row[j] : now;
            s->gain[j] -= (double)((low > before ? low : before) - before);
        }
    }
}

static void update(const struct state *s, int64_t best, bool first)
{
    const int64_t n = s->g->n;
    const float *row = s->g->matrix + best * n;
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        s->before[i] = s->near[i];
        const bool nearer = first || row[i] > s->near[i];
        if (nearer)
            s->near[i] = row[i];
        if (i == best || (nearer && !s->chosen[i]))
            s->touched[count++] = (int32_t)i;
    }
#pragma omp parallel for num_threads(s->plan->greedy.base.threads)             \
    schedule(static) if (tkp__cpu_worth_threads(n * count))
    for (int64_t from = 0; from < n; from += TKP__GREEDY_PIECE) {
        if (first)
            first_piece(s, from);
        else
            later_piece(s, from, count);
    }
}

/* --- terms ------------------------------------------------------------------ */

enum term { WEIGHT, FAR, GAIN };

static inline double term_of(const struct state *s, enum term term, int64_t j)
{
    return term == WEIGHT ? (double)s->weight[j]
           : term == FAR  ? 1.0 - (double)s->near[j]
                          : s->gain[j];
}

/* Inlined for each term, so that its choice leaves the loops. */
static inline __attribute__((always_inline)) void
add_term(const struct state *s, enum term term, double weight)
{
    const int64_t n = s->g->n;
    const bool min_max = s->plan->params.min_max != 0;
    double low = __builtin_inf(), high = -__builtin_inf(), sum = 0;
    int64_t count = 0;
    for (int64_t j = 0; j < n; j++) {
        if (s->chosen[j])
            continue;
        const double v = term_of(s, term, j);
        low = v < low ? v : low;
        high = v > high ? v : high;
        sum += v;
        count++;
    }
    const double by = min_max ? high - low : sum / (double)count;
    if (__builtin_fabs(by) <= (term == WEIGHT ? 0.0 : NOTHING))
        return;
    const double base = min_max ? low : 0, factor = weight / by;
    for (int64_t j = 0; j < n; j++)
        s->value[j] += factor * (term_of(s, term, j) - base);
}

static int64_t best_value(const struct state *s)
{
    int64_t best = -1;
    for (int64_t j = 0; j < s->g->n; j++)
        if (!s->chosen[j] && (best < 0 || s->value[j] > s->value[best]))
            best = j;
    return best;
}

static void choose(const struct state *s)
{
    const tkp__cpu_greedy_group *g = s->g;
    memset(s->chosen, 0, (size_t)g->n);
    for (int64_t j = 0; j < g->n; j++) {
        s->value[j] = (double)s->weight[j];
        s->near[j] = 0;
    }
    for (int64_t t = 0; t < g->keep; t++) {
        const int64_t best = best_value(s);
        s->chosen[best] = 1;
        g->dst[t] = g->list[best];
        if (t + 1 == g->keep)
            return;
        update(s, best, t == 0);
        memset(s->value, 0, (size_t)g->n * 8);
        add_term(s, WEIGHT, 1);
        add_term(s, FAR, (double)s->plan->params.alpha);
        add_term(s, GAIN, (double)s->plan->params.lambda);
    }
}

static tkp_status run_tri(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct tri_plan *p = (const struct tri_plan *)base;
    const tkp_tensor *a = r->args;
    const float *weights = tkp__data(&a[TKP__GREEDY_WEIGHTS]);
    char *w = r->workspace;
    struct state s = {
        .plan = p,
        .near = (float *)(void *)(w + p->near_at),
        .before = (float *)(void *)(w + p->before_at),
        .weight = (float *)(void *)(w + p->weight_at),
        .touched = (int32_t *)(void *)(w + p->touched_at),
        .gain = (double *)(void *)(w + p->gain_at),
        .value = (double *)(void *)(w + p->value_at),
        .chosen = (uint8_t *)(w + p->chosen_at),
    };
    TKP__TRY(tkp__cpu_greedy_check(&p->greedy, r, DST));
    TKP__TRY(
        tkp__cpu_greedy_check_weights(r, TKP__GREEDY_WEIGHTS, "weights", true));
    for (int64_t i = 0; i < a[TKP__GREEDY_KEEP].shape[0]; i++) {
        const tkp__cpu_greedy_group g =
            tkp__cpu_greedy_open(&p->greedy, r, DST, i, true);
        if (g.keep == 0)
            continue;
        s.g = &g;
        for (int64_t j = 0; j < g.n; j++)
            s.weight[j] = weights[g.list[j]];
        choose(&s);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_greedy_tri = {
    .kind = TKP_OP_GREEDY_TRI,
    .plan_bytes = sizeof(struct tri_plan),
    .supports = NULL,
    .plan = plan_tri,
    .run = run_tri,
    .destroy = NULL,
};
