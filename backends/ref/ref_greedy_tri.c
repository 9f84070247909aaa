/*
 * GREEDY_TRI: importance, diversity and coverage at once.
 *
 *   m_i = max over chosen l of S_il
 *   d_j = 1 - m_j,  c_j = sum over i not chosen of max(0, S_ij - m_i)
 *   j = arg max of f(w)_j + alpha f(d)_j + lambda f(c)_j,  first: arg max w
 *   f divides by the mean over those not chosen, or takes min-max of them
 *
 * Source: TOPS (arXiv 2606.27161): its listing divides by the mean, its text
 * speaks of min-max.
 *
 * Open choices: a term whose mean (or span) is 0 is 0; of d and c, which have a
 * scale of their own, one up to 1e-6 is 0, too: what is left then is rounding.
 */

#include "ref/ref_greedy.h"

enum { SCRATCH_MATRIX = 2, SCRATCH_STATE };
enum { DST = 7, STATES = 5 };
#define NOTHING 1e-6

static tkp_status
plan_tri(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t n =
        tkp__ref_greedy_most(args, plan->params.greedy_tri.largest);
    TKP__TRY(tkp__ref_greedy_book(plan, ledger, args));
    TKP__TRY(
        tkp__ref_book(plan, ledger, SCRATCH_MATRIX, n * n, sizeof(double)));
    return tkp__ref_book(
        plan, ledger, SCRATCH_STATE, STATES * n, sizeof(double));
}

/* value += weight * f(term), over those not chosen. */
static void add_term(
    const tkp__ref_group *g,
    double *value,
    const double *term,
    double weight,
    double nothing,
    bool min_max)
{
    double low = INFINITY, high = -INFINITY, sum = 0.0;
    int32_t count = 0;
    for (int32_t j = 0; j < g->n; j++) {
        if (g->chosen[j])
            continue;
        low = fmin(low, term[j]);
        high = fmax(high, term[j]);
        sum += term[j];
        count++;
    }
    const double by = min_max ? high - low : sum / (double)count;
    if (fabs(by) <= nothing)
        return;
    for (int32_t j = 0; j < g->n; j++)
        value[j] += weight * (min_max ? term[j] - low : term[j]) / by;
}

static void choose(
    tkp__ref_group *g,
    const tkp_op_greedy_tri *p,
    const float *weights,
    double *matrix,
    double *state)
{
    const int32_t n = g->n;
    double *value = state, *w = state + n, *far = state + 2 * n,
           *gain = state + 3 * n, *near = state + 4 * n;
    for (int32_t i = 0; i < n; i++) {
        value[i] = w[i] = (double)weights[tkp__ref_member(g, i)];
        for (int32_t j = 0; j < n; j++)
            matrix[(int64_t)i * n + j] = tkp__ref_cosine_of(g, i, j);
    }
    for (int32_t t = 0; t < g->keep; t++) {
        const int32_t best = tkp__ref_greedy_best(g, value);
        tkp__ref_greedy_take(g, t, best);
        if (t + 1 == g->keep)
            return;
        for (int32_t i = 0; i < n; i++) {
            const double s = matrix[(int64_t)i * n + best];
            near[i] = t == 0 ? s : fmax(near[i], s);
            far[i] = 1.0 - near[i];
            value[i] = 0.0;
        }
        for (int32_t j = 0; j < n; j++) {
            gain[j] = 0.0;
            for (int32_t i = 0; i < n; i++)
                if (!g->chosen[i])
                    gain[j] += fmax(0.0, matrix[(int64_t)i * n + j] - near[i]);
        }
        add_term(g, value, w, 1.0, 0.0, p->min_max);
        add_term(g, value, far, (double)p->alpha, NOTHING, p->min_max);
        add_term(g, value, gain, (double)p->lambda, NOTHING, p->min_max);
    }
}

static tkp_status
run_tri(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_op_greedy_tri *p = &plan->params.greedy_tri;
    const tkp_tensor *weights = &args[TKP__REF_GREEDY_WEIGHTS];
    TKP__TRY(
        tkp__ref_greedy_check(plan, args, &args[DST], p->largest, workspace));
    TKP__TRY(tkp__ref_greedy_check_weights(args, weights, "weights", true));
    for (int64_t i = 0; i < args[TKP__REF_GREEDY_KEEP].shape[0]; i++) {
        tkp__ref_group g =
            tkp__ref_greedy_group(plan, args, &args[DST], workspace, i);
        if (g.keep)
            choose(
                &g, p, tkp__data(weights),
                tkp__ref_scratch(plan, workspace, SCRATCH_MATRIX),
                tkp__ref_scratch(plan, workspace, SCRATCH_STATE));
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_greedy_tri = {
    .kind = TKP_OP_GREEDY_TRI,
    .params_size = sizeof(tkp_op_greedy_tri),
    .kernel = "ref_greedy_tri",
    .plan = plan_tri,
    .run = run_tri,
};
