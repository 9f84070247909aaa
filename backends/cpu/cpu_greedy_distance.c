/*
 * GREEDY_DISTANCE: one running maximum of likeness, one row a choice.
 */

#include "cpu/cpu_greedy.h"

enum { DST = 7 };

struct distance_plan {
    tkp__cpu_greedy greedy;
    tkp_op_greedy_distance params;
    uint64_t near_at, value_at, weight_at; /* [most] f32 */
};

static bool looks_at_all(const struct distance_plan *p)
{
    return p->params.start == TKP_GREEDY_START_NEAREST;
}

static tkp_status plan_distance(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct distance_plan *p = (struct distance_plan *)base;
    (void)kernel_out;
    memcpy(&p->params, desc->params, sizeof(p->params));
    p->greedy.raw = p->params.measure == TKP_GREEDY_EUCLIDEAN;
    TKP__TRY(tkp__cpu_greedy_plan(
        &p->greedy, ledger, desc, DST, p->params.largest, false,
        looks_at_all(p)));
    const uint64_t bytes = (uint64_t)p->greedy.most * 4;
    TKP__TRY(tkp_sys_ledger_book(ledger, bytes, &p->near_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, bytes, &p->value_at));
    return tkp_sys_ledger_book(ledger, bytes, &p->weight_at);
}

/* The first of the largest; entries stand in the order of their members. */
static int64_t best_of(const float *value, int64_t n)
{
    int64_t best = 0;
    for (int64_t j = 1; j < n; j++)
        if (value[j] > value[best])
            best = j;
    return best;
}

static void start_values(
    const struct distance_plan *p,
    const tkp__cpu_greedy_group *g,
    const float *weight,
    float *near,
    float *value)
{
    if (looks_at_all(p))
        tkp__cpu_greedy_nearest(g, near);
    for (int64_t j = 0; j < g->n; j++)
        value[j] = p->params.start == TKP_GREEDY_START_WEIGHT ? weight[j]
                   : looks_at_all(p)                          ? -near[j]
                                     : g->square[g->list[j]];
}

/* near: likeness to the nearest chosen one; a chosen one is at -inf. */
static void update(
    const struct distance_plan *p,
    const tkp__cpu_greedy_group *g,
    int64_t best,
    bool first,
    const float *weight,
    float *near,
    float *value)
{
    const tkp_op_greedy_distance *o = &p->params;
    const float *row = tkp__cpu_greedy_row(g, best);
    const bool raw = p->greedy.raw;
    for (int64_t j = 0; j < g->n; j++) {
        const float like =
            raw ? tkp__cpu_greedy_negated(g, best, j, row[j]) : row[j];
        const float most = first || like > near[j] ? like : near[j];
        near[j] = most;
        if (value[j] == -__builtin_inff())
            continue;
        if (o->rule == TKP_GREEDY_MMR)
            value[j] = o->lambda * weight[j] - (1.0f - o->lambda) * most;
        else if (o->weighted)
            value[j] = (raw ? -most : 1.0f - most) * weight[j];
        else
            value[j] = -most;
    }
}

static void choose(
    const struct distance_plan *p,
    const tkp__cpu_greedy_group *g,
    const float *weights,
    char *workspace)
{
    float *near = (float *)(void *)(workspace + p->near_at);
    float *value = (float *)(void *)(workspace + p->value_at);
    float *weight = (float *)(void *)(workspace + p->weight_at);
    for (int64_t j = 0; j < g->n; j++)
        weight[j] = weights ? weights[g->list[j]] : 1;
    start_values(p, g, weight, near, value);
    for (int64_t t = 0; t < g->keep; t++) {
        const int64_t best = best_of(value, g->n);
        g->dst[t] = g->list[best];
        value[best] = -__builtin_inff();
        if (t + 1 < g->keep)
            update(p, g, best, t == 0, weight, near, value);
    }
}

static tkp_status run_distance(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct distance_plan *p = (const struct distance_plan *)base;
    const tkp_tensor *a = r->args;
    const tkp_tensor *weights = &a[TKP__GREEDY_WEIGHTS];
    TKP__TRY(tkp__cpu_greedy_check(&p->greedy, r, DST));
    TKP__TRY(
        tkp__cpu_greedy_check_weights(r, TKP__GREEDY_WEIGHTS, "weights", true));
    for (int64_t i = 0; i < a[TKP__GREEDY_KEEP].shape[0]; i++) {
        const tkp__cpu_greedy_group g =
            tkp__cpu_greedy_open(&p->greedy, r, DST, i, looks_at_all(p));
        if (g.keep)
            choose(
                p, &g, tkp__present(weights) ? tkp__data(weights) : NULL,
                r->workspace);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_greedy_distance = {
    .kind = TKP_OP_GREEDY_DISTANCE,
    .plan_bytes = sizeof(struct distance_plan),
    .supports = NULL,
    .plan = plan_distance,
    .run = run_distance,
    .destroy = NULL,
};
