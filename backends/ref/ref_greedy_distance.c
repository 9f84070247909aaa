/*
 * GREEDY_DISTANCE: farthest-point selection, and maximal marginal relevance.
 *
 *   MAX_MIN: j = arg max over j not chosen of min over chosen i of d(i, j),
 *            times w_j if weighted
 *   MMR:     j = arg max of lambda w_j - (1 - lambda) max over chosen i of S_ij
 *   d = 1 - S_ij, or |x_i - x_j|^2
 *
 * Source: DivPrune (Alvar et al. 2025, arXiv 2503.02175) for MAX_MIN and the
 * start by the nearest other; Carbonell and Goldstein 1998 for MMR; Gonzalez
 * 1985 for farthest points.
 *
 * Open choices: a group of one has no nearest other, and starts with that one.
 * The start by NEAREST is not weighted. Two entries that name the same row are
 * two candidates at distance 0 (up to rounding).
 */

#include "ref/ref_greedy.h"

enum { SCRATCH_NEAR = 2, SCRATCH_VALUE };
enum { DST = 7 };

static tkp_status
plan_distance(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t n =
        tkp__ref_greedy_most(args, plan->params.greedy_distance.largest);
    TKP__TRY(tkp__ref_greedy_book(plan, ledger, args));
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_NEAR, n, sizeof(double)));
    return tkp__ref_book(plan, ledger, SCRATCH_VALUE, n, sizeof(double));
}

static double squared_distance(const tkp__ref_group *g, int32_t a, int32_t b)
{
    const tkp_tensor *x = g->x;
    const int64_t i = g->rows[tkp__ref_member(g, a)];
    const int64_t j = g->rows[tkp__ref_member(g, b)];
    double sum = 0.0;
    for (int64_t d = 0; d < x->shape[1]; d++) {
        const double difference =
            (double)tkp__load_f32(x->data, x->dtype, i * x->strides[0] + d) -
            (double)tkp__load_f32(x->data, x->dtype, j * x->strides[0] + d);
        sum += difference * difference;
    }
    return sum;
}

/* Likeness: the larger, the nearer. */
static double
likeness(const tkp__ref_group *g, int32_t measure, int32_t a, int32_t b)
{
    return measure == TKP_GREEDY_EUCLIDEAN ? -squared_distance(g, a, b)
                                           : tkp__ref_cosine_of(g, a, b);
}

/* What the first choice goes by. */
static double start_value(
    const tkp__ref_group *g,
    const tkp_op_greedy_distance *p,
    const float *weights,
    int32_t j)
{
    if (p->start == TKP_GREEDY_START_WEIGHT)
        return (double)weights[tkp__ref_member(g, j)];
    if (p->start == TKP_GREEDY_START_NORM)
        return g->squares[tkp__ref_member(g, j)];
    double nearest = -INFINITY;
    for (int32_t i = 0; i < g->n; i++)
        if (i != j)
            nearest = fmax(nearest, likeness(g, p->measure, i, j));
    return -nearest;
}

static void choose(
    tkp__ref_group *g,
    const tkp_op_greedy_distance *p,
    const float *weights,
    double *near, /* [n] likeness to the nearest chosen one */
    double *value)
{
    const double lambda = (double)p->lambda;
    for (int32_t j = 0; j < g->n; j++)
        value[j] = start_value(g, p, weights, j);
    for (int32_t t = 0; t < g->keep; t++) {
        const int32_t best = tkp__ref_greedy_best(g, value);
        tkp__ref_greedy_take(g, t, best);
        for (int32_t j = 0; j < g->n; j++) {
            const double like = likeness(g, p->measure, best, j);
            near[j] = t == 0 ? like : fmax(near[j], like);
            const double w =
                weights ? (double)weights[tkp__ref_member(g, j)] : 1.0;
            if (p->rule == TKP_GREEDY_MMR)
                value[j] = lambda * w - (1.0 - lambda) * near[j];
            else if (p->weighted && p->measure == TKP_GREEDY_EUCLIDEAN)
                value[j] = -near[j] * w;
            else
                value[j] = p->weighted ? (1.0 - near[j]) * w : -near[j];
        }
    }
}

static tkp_status
run_distance(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_op_greedy_distance *p = &plan->params.greedy_distance;
    const tkp_tensor *weights = &args[TKP__REF_GREEDY_WEIGHTS];
    TKP__TRY(
        tkp__ref_greedy_check(plan, args, &args[DST], p->largest, workspace));
    TKP__TRY(tkp__ref_greedy_check_weights(args, weights, "weights", true));
    for (int64_t i = 0; i < args[TKP__REF_GREEDY_KEEP].shape[0]; i++) {
        tkp__ref_group g =
            tkp__ref_greedy_group(plan, args, &args[DST], workspace, i);
        if (g.keep)
            choose(
                &g, p, tkp__present(weights) ? tkp__data(weights) : NULL,
                tkp__ref_scratch(plan, workspace, SCRATCH_NEAR),
                tkp__ref_scratch(plan, workspace, SCRATCH_VALUE));
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_greedy_distance = {
    .kind = TKP_OP_GREEDY_DISTANCE,
    .params_size = sizeof(tkp_op_greedy_distance),
    .kernel = "ref_greedy_distance",
    .plan = plan_distance,
    .run = run_distance,
};
