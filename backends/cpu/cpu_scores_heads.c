/*
 * ATTENTION_HEADS: attention of the heads that look at the candidates most,
 * without what distance alone makes of it. Probabilities in f32 as in
 * ATTENTION_SCORES, what is summed of them in double, head by head. What distance
 * makes depends on how far apart two positions are: each distance once, where
 * they are fewer than pairs.
 */

#include <math.h>

#include "cpu/cpu_scores.h"

enum { POSITIONS = 9, DST };
enum { DISTANCES = 16384 };

/* G(0) over the least that is divided by. */
static const double BOUND = 64.0;

struct heads_plan {
    struct tkp__cpu_scores_plan shared;
    tkp_op_attention_heads params;
    uint64_t sums_at;  /* [H, n] f64 */
    uint64_t total_at; /* [H] f64 */
    uint64_t taken_at; /* [H] i32 */
    uint64_t by_at;    /* [rows, N] f64: what a round is divided by */
    uint64_t table_at; /* [DISTANCES] f64 */
    uint64_t speed_at; /* [C / 2] f64 */
};

static tkp_status plan_heads(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct heads_plan *p = (struct heads_plan *)base;
    const tkp_tensor *q = &desc->args[TKP__SCORES_Q];
    const uint64_t n = (uint64_t)desc->args[DST].shape[0];
    const uint64_t h = (uint64_t)q->shape[1];
    (void)kernel_out;
    p->params = *(const tkp_op_attention_heads *)desc->params;
    p->shared.params = (tkp_op_attention_scores){
        .struct_size = sizeof(p->shared.params),
        .flags = p->params.flags,
        .row_reduce = p->params.row_reduce,
        .scale = p->params.scale,
    };
    TKP__TRY(tkp__cpu_scores_plan(&p->shared, ledger, desc));
    TKP__TRY(tkp_sys_ledger_book(ledger, h * n * 8, &p->sums_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, h * 8, &p->total_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, h * 4, &p->taken_at));
    if (p->params.theta == 0.0)
        return TKP_OK;
    TKP__TRY(tkp_sys_ledger_book(
        ledger, (uint64_t)p->shared.rows * n * 8, &p->by_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, DISTANCES * 8, &p->table_at));
    return tkp_sys_ledger_book(
        ledger, (uint64_t)q->shape[2] / 2 * 8, &p->speed_at);
}

typedef struct heads {
    struct tkp__cpu_scores s;
    const struct heads_plan *plan;
    double *sums, *total, *by, *table, *speed;
    int32_t *taken;
    int64_t distances; /* in the table; 0: it is not worth it */
} heads;

/* --- distance ------------------------------------------------------------------ */

static const int32_t *line_of(const heads *c, int64_t line)
{
    const tkp_tensor *positions = &c->s.args[POSITIONS];
    return (const int32_t *)(const void *)tkp__cpu_row(positions, line, 4) +
           tkp__cpu_i32(&c->s.args[TKP__SCORES_K_OFFSETS])[c->s.b];
}

static double sum_of_turns(const heads *c, int64_t apart)
{
    double sum = 0.0;
    for (int64_t i = 0; i < c->s.c / 2; i++)
        sum += cos((double)apart * c->speed[i]);
    return sum;
}

/* The table, up to the largest distance in the sequence. */
static void fill_table(heads *c)
{
    const int64_t lines = c->s.args[POSITIONS].shape[0];
    int64_t span = 0;
    for (int64_t r = 0; r < lines; r++) {
        const int32_t *at = line_of(c, r);
        int64_t low = INT32_MAX, high = INT32_MIN;
        for (int64_t j = 0; j < c->s.keys; j++) {
            low = tkp__cpu_min(low, at[j]);
            high = tkp__cpu_max(high, at[j]);
        }
        span = tkp__cpu_max(span, high - low + 1);
    }
    c->distances = span <= DISTANCES && span <= 8 * c->s.n ? span : 0;
#pragma omp parallel for num_threads(c->plan->shared.base.threads)             \
    schedule(static) if (c->distances > 64)
    for (int64_t i = 0; i < c->distances; i++)
        c->table[i] = sum_of_turns(c, i);
}

/* What row r of the round is divided by at each candidate. */
static void fill_by(const heads *c, int64_t r)
{
    const struct tkp__cpu_scores *s = &c->s;
    const int64_t lines = s->args[POSITIONS].shape[0];
    const double zero = sqrt((double)s->c);
    double *by = c->by + r * s->n;
    for (int64_t i = 0; i < s->n; i++) {
        double sum = 0.0;
        for (int64_t line = 0; line < lines; line++) {
            const int32_t *at = line_of(c, line);
            int64_t apart = (int64_t)at[s->positions[s->q0 + r]] -
                            at[s->candidates[s->n0 + i]];
            apart = apart < 0 ? -apart : apart;
            sum += c->distances ? c->table[apart] : sum_of_turns(c, apart);
        }
        sum *= 2.0 / (zero * (double)lines);
        by[i] = sum > zero / BOUND ? sum : zero / BOUND;
    }
}

/* --- a sequence ------------------------------------------------------------------ */

static void add_round(const heads *c, int64_t h)
{
    const struct tkp__cpu_scores *s = &c->s;
    const int32_t *at = s->candidates + s->n0;
    double *sums = c->sums + h * s->n;
    for (int64_t r = 0; r < s->rows; r++) {
        const float *row = tkp__cpu_scores_row(s, r, h);
        const double factor = (double)tkp__cpu_scores_factors(s)[r * s->h + h];
        const double *by = c->by ? c->by + r * s->n : NULL;
        const int64_t sees = tkp__cpu_scores_visible(s, r);
        for (int64_t i = 0; i < s->n; i++)
            if (at[i] < sees)
                sums[i] += (double)row[at[i]] * factor / (by ? by[i] : 1.0);
    }
}

static void count_seen(const struct tkp__cpu_scores *s)
{
    for (int64_t r = 0; r < s->rows; r++) {
        const int64_t sees = tkp__cpu_scores_visible(s, r);
        for (int64_t i = 0; i < s->n; i++)
            tkp__cpu_scores_seen(s)[i] += s->candidates[s->n0 + i] < sees;
    }
}

/* Mark the heads of largest total; how many they are. */
static int64_t take_heads(const heads *c)
{
    const int64_t all = c->s.h, n = c->s.n;
    const int64_t wanted =
        c->plan->params.heads ? tkp__cpu_min(c->plan->params.heads, all) : all;
    for (int64_t h = 0; h < all; h++) {
        c->taken[h] = 0;
        c->total[h] = 0.0;
        for (int64_t i = 0; i < n; i++)
            c->total[h] += c->sums[h * n + i];
    }
    for (int64_t taken = 0; taken < wanted; taken++) {
        int64_t best = -1;
        for (int64_t h = 0; h < all; h++)
            if (!c->taken[h] && (best < 0 || c->total[h] > c->total[best]))
                best = h;
        c->taken[best] = 1;
    }
    return wanted;
}

static void write_scores(const heads *c, int64_t of, int64_t rows)
{
    const struct tkp__cpu_scores *s = &c->s;
    const int32_t reduce = c->plan->params.row_reduce;
    float *dst = (float *)tkp__data(&s->args[DST]) + s->n0;
    for (int64_t i = 0; i < s->n; i++) {
        const int32_t seen = tkp__cpu_scores_seen(s)[i];
        double sum = 0.0;
        for (int64_t h = 0; h < s->h; h++)
            if (c->taken[h])
                sum += c->sums[h * s->n + i];
        sum /= (double)of;
        if (reduce == TKP_ROW_REDUCE_MEAN && rows > 0)
            sum /= (double)rows;
        if (reduce == TKP_ROW_REDUCE_MEAN_VISIBLE && seen > 0)
            sum /= (double)seen;
        dst[i] = (float)sum;
    }
}

static void run_sequence(heads *c, int64_t b)
{
    struct tkp__cpu_scores *s = &c->s;
    const int32_t *qo = tkp__cpu_i32(&s->args[TKP__SCORES_Q_OFFSETS]);
    tkp__cpu_scores_begin(s, b);
    for (int64_t i = 0; i < s->h * s->n; i++)
        c->sums[i] = 0.0;
    if (c->by && s->n && qo[b + 1] > qo[b])
        fill_table(c);
    while (tkp__cpu_scores_next(s)) {
#pragma omp parallel num_threads(s->plan->base.threads)
        {
#pragma omp for schedule(static)
            for (int64_t r = 0; r < (c->by ? s->rows : 0); r++)
                fill_by(c, r);
#pragma omp for schedule(static)
            for (int64_t h = 0; h < s->h; h++)
                add_round(c, h);
        }
        count_seen(s);
    }
    write_scores(c, take_heads(c), qo[b + 1] - qo[b]);
}

static tkp_status run_heads(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct heads_plan *p = (const struct heads_plan *)base;
    const tkp_tensor *a = r->args;
    const int64_t channels = a[TKP__SCORES_Q].shape[2];
    const bool level = p->params.theta != 0.0;
    char *w = r->workspace;
    TKP__TRY(tkp__cpu_scores_check(a));
    const int32_t rows = tkp__cpu_i32(
        &a[TKP__SCORES_K_OFFSETS])[a[TKP__SCORES_K_OFFSETS].shape[0] - 1];
    TKP__CHECK(
        !level || rows <= a[POSITIONS].shape[1], TKP_ERR_ARGUMENT,
        "positions: are of %lld rows, k_offsets end at %d",
        (long long)a[POSITIONS].shape[1], rows);
    heads c = {
        .plan = p,
        .sums = (double *)(void *)(w + p->sums_at),
        .total = (double *)(void *)(w + p->total_at),
        .taken = (int32_t *)(void *)(w + p->taken_at),
    };
    tkp__cpu_scores_open(&c.s, &p->shared, r);
    if (level) {
        c.by = (double *)(void *)(w + p->by_at);
        c.table = (double *)(void *)(w + p->table_at);
        c.speed = (double *)(void *)(w + p->speed_at);
        for (int64_t i = 0; i < channels / 2; i++)
            c.speed[i] =
                pow(p->params.theta, -(double)(2 * i) / (double)channels);
    }
    for (int64_t b = 0; b + 1 < a[TKP__SCORES_OFFSETS].shape[0]; b++)
        run_sequence(&c, b);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_attention_heads = {
    .kind = TKP_OP_ATTENTION_HEADS,
    .plan_bytes = sizeof(struct heads_plan),
    .supports = tkp__cpu_scores_supports,
    .plan = plan_heads,
    .run = run_heads,
    .destroy = NULL,
};
