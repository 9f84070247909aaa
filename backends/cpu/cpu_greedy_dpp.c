/*
 * GREEDY_DPP: rows of the kernel on demand, rows of its Cholesky factor kept.
 */

#include "cpu/cpu_greedy.h"

#include <math.h>

enum { DST = 7 };
#define LEFT 1e-6

struct dpp_plan {
    tkp__cpu_greedy greedy;
    tkp_op_greedy_dpp params;
    uint64_t factor_at; /* [most keep, most] f32 */
    uint64_t left_at;   /* [most] f64 */
    uint64_t weight_at; /* [most] f32 */
    uint64_t sum_at;    /* [most] f32 */
    uint64_t column_at; /* [most keep] f32 */
    uint64_t chosen_at; /* [most] u8 */
};

static tkp_status plan_dpp(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct dpp_plan *p = (struct dpp_plan *)base;
    (void)kernel_out;
    memcpy(&p->params, desc->params, sizeof(p->params));
    TKP__TRY(tkp__cpu_greedy_plan(
        &p->greedy, ledger, desc, DST, p->params.largest, false, false));
    const uint64_t n = (uint64_t)p->greedy.most;
    const uint64_t k =
        (uint64_t)tkp__cpu_min(p->greedy.most, desc->args[DST].shape[0]);
    TKP__TRY(tkp_sys_ledger_book(ledger, k * n * 4, &p->factor_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 8, &p->left_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 4, &p->weight_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 4, &p->sum_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, k * 4, &p->column_at));
    return tkp_sys_ledger_book(ledger, n, &p->chosen_at);
}

struct state {
    float *factor, *weight, *sum, *column;
    double *left;
    uint8_t *chosen;
};

static float
kernel_of(const tkp_op_greedy_dpp *p, float wi, float wj, float similarity)
{
    return p->kernel == TKP_GREEDY_DPP_MIX
               ? similarity * ((1.0f - p->theta) + p->theta * wi * wj)
               : wi * similarity * wj;
}

/* e of columns from .., and what is left of them. */
static void update_piece(
    const struct dpp_plan *p,
    const tkp__cpu_greedy_group *g,
    const struct state *s,
    const float *row,
    int64_t best,
    int64_t t,
    float root,
    int64_t from)
{
    const int64_t count = tkp__cpu_min(TKP__GREEDY_PIECE, g->n - from);
    float *e = s->factor + t * g->n + from;
    float *sum = s->sum + from;
    memset(sum, 0, (size_t)count * 4);
    p->greedy.base.kernels->weighted_rows(
        sum, s->factor + from, TKP_DTYPE_F32, g->n, s->column, t, count);
    for (int64_t i = 0; i < count; i++) {
        const float l = kernel_of(
            &p->params, s->weight[best], s->weight[from + i], row[from + i]);
        e[i] = (l - sum[i]) / root;
        s->left[from + i] -= (double)e[i] * (double)e[i];
    }
}

static void update(
    const struct dpp_plan *p,
    const tkp__cpu_greedy_group *g,
    const struct state *s,
    int64_t best,
    int64_t t)
{
    const float *row = tkp__cpu_greedy_row(g, best);
    const float root = (float)sqrt(s->left[best]);
    for (int64_t c = 0; c < t; c++)
        s->column[c] = s->factor[c * g->n + best];
#pragma omp parallel for num_threads(p->greedy.base.threads)                   \
    schedule(static) if (tkp__cpu_worth_threads(g->n * (t + 8)))
    for (int64_t from = 0; from < g->n; from += TKP__GREEDY_PIECE)
        update_piece(p, g, s, row, best, t, root, from);
}

static int64_t best_left(const struct state *s, int64_t n)
{
    int64_t best = -1;
    for (int64_t j = 0; j < n; j++)
        if (!s->chosen[j] && (best < 0 || s->left[j] > s->left[best]))
            best = j;
    return best;
}

static int64_t best_weight(const struct state *s, int64_t n)
{
    int64_t best = -1;
    for (int64_t j = 0; j < n; j++)
        if (!s->chosen[j] && (best < 0 || s->weight[j] > s->weight[best]))
            best = j;
    return best;
}

static void choose(
    const struct dpp_plan *p,
    const tkp__cpu_greedy_group *g,
    const struct state *s)
{
    double most = 0;
    bool fill = false;
    memset(s->chosen, 0, (size_t)g->n);
    for (int64_t j = 0; j < g->n; j++) {
        s->left[j] = (double)kernel_of(
            &p->params, s->weight[j], s->weight[j], g->scale[j] != 0 ? 1 : 0);
        most = s->left[j] > most ? s->left[j] : most;
    }
    for (int64_t t = 0; t < g->keep; t++) {
        int64_t best = best_left(s, g->n);
        fill = fill || s->left[best] <= LEFT * most;
        if (fill)
            best = best_weight(s, g->n);
        s->chosen[best] = 1;
        g->dst[t] = g->list[best];
        if (!fill && t + 1 < g->keep)
            update(p, g, s, best, t);
    }
}

static tkp_status run_dpp(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct dpp_plan *p = (const struct dpp_plan *)base;
    const tkp_tensor *a = r->args;
    const tkp_tensor *weights = &a[TKP__GREEDY_WEIGHTS];
    const double theta = (double)p->params.theta;
    char *w = r->workspace;
    const struct state s = {
        .factor = (float *)(void *)(w + p->factor_at),
        .weight = (float *)(void *)(w + p->weight_at),
        .sum = (float *)(void *)(w + p->sum_at),
        .column = (float *)(void *)(w + p->column_at),
        .left = (double *)(void *)(w + p->left_at),
        .chosen = (uint8_t *)(w + p->chosen_at),
    };
    TKP__TRY(tkp__cpu_greedy_check(&p->greedy, r, DST));
    TKP__TRY(
        tkp__cpu_greedy_check_weights(r, TKP__GREEDY_WEIGHTS, "weights", true));
    for (int64_t i = 0; i < a[TKP__GREEDY_KEEP].shape[0]; i++) {
        const tkp__cpu_greedy_group g =
            tkp__cpu_greedy_open(&p->greedy, r, DST, i, false);
        for (int64_t j = 0; g.keep && j < g.n; j++) {
            s.weight[j] = tkp__present(weights)
                              ? ((const float *)tkp__data(weights))[g.list[j]]
                              : 1;
            if (p->params.kernel == TKP_GREEDY_DPP_EXP)
                s.weight[j] = (float)exp(
                    theta / (2.0 * (1.0 - theta)) * (double)s.weight[j]);
        }
        if (g.keep)
            choose(p, &g, &s);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_greedy_dpp = {
    .kind = TKP_OP_GREEDY_DPP,
    .plan_bytes = sizeof(struct dpp_plan),
    .supports = NULL,
    .plan = plan_dpp,
    .run = run_dpp,
    .destroy = NULL,
};
