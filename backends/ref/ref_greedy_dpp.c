/*
 * GREEDY_DPP: greedy maximum of the determinant of a kernel matrix.
 *
 *   L_ij = w_i S_ij w_j,  or with w = exp(theta / (2 (1 - theta)) w),
 *          or (1 - theta) S_ij + theta w_i S_ij w_j
 *   d_j = L_jj;  j = arg max d;  e_i = (L_ji - sum_s c_s,j c_s,i) / sqrt(d_j)
 *   c_t = e;  d_i = d_i - e_i^2
 *
 * Source: CDPruner (arXiv 2506.10967); the update by rows of a Cholesky factor
 * is that of Chen, Zhang and Zhou 2018. EXP and MIX are what an engine offers.
 *
 * Open choices: where no d_j is above 1e-6 times the largest L_jj, nothing is
 * left that rows in f32 could tell apart (the published code then repeats
 * indices); the rest is filled by weight, largest first, without weights by
 * the lower member.
 */

#include "ref/ref_greedy.h"

enum { SCRATCH_ROWS = 2, SCRATCH_STATE };
enum { DST = 7 };
#define LEFT 1e-6

static tkp_status
plan_dpp(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t n =
        tkp__ref_greedy_most(args, plan->params.greedy_dpp.largest);
    const int64_t k = args[DST].shape[0] < n ? args[DST].shape[0] : n;
    TKP__TRY(tkp__ref_greedy_book(plan, ledger, args));
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_ROWS, k * n, sizeof(double)));
    return tkp__ref_book(plan, ledger, SCRATCH_STATE, 2 * n, sizeof(double));
}

static double kernel_at(
    const tkp__ref_group *g,
    const tkp_op_greedy_dpp *p,
    const double *w,
    int32_t i,
    int32_t j)
{
    const double s = tkp__ref_cosine_of(g, i, j), theta = (double)p->theta;
    if (p->kernel == TKP_GREEDY_DPP_MIX)
        return (1.0 - theta) * s + theta * w[i] * s * w[j];
    return w[i] * s * w[j];
}

static void choose(
    tkp__ref_group *g,
    const tkp_op_greedy_dpp *p,
    double *c,    /* [keep][n] */
    double *left, /* [n] d */
    double *w)
{
    double most = 0.0;
    bool fill = false;
    for (int32_t j = 0; j < g->n; j++) {
        left[j] = kernel_at(g, p, w, j, j);
        most = fmax(most, left[j]);
    }
    for (int32_t t = 0; t < g->keep; t++) {
        int32_t best = tkp__ref_greedy_best(g, left);
        fill = fill || left[best] <= LEFT * most;
        if (fill)
            best = tkp__ref_greedy_best(g, w);
        tkp__ref_greedy_take(g, t, best);
        if (fill)
            continue;
        double *e = c + (int64_t)t * g->n;
        const double root = sqrt(left[best]);
        for (int32_t i = 0; i < g->n; i++) {
            double sum = kernel_at(g, p, w, best, i);
            for (int32_t s = 0; s < t; s++)
                sum -= c[(int64_t)s * g->n + best] * c[(int64_t)s * g->n + i];
            e[i] = sum / root;
            left[i] -= e[i] * e[i];
        }
    }
}

static tkp_status
run_dpp(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_op_greedy_dpp *p = &plan->params.greedy_dpp;
    const tkp_tensor *weights = &args[TKP__REF_GREEDY_WEIGHTS];
    TKP__TRY(
        tkp__ref_greedy_check(plan, args, &args[DST], p->largest, workspace));
    TKP__TRY(tkp__ref_greedy_check_weights(args, weights, "weights", true));
    for (int64_t i = 0; i < args[TKP__REF_GREEDY_KEEP].shape[0]; i++) {
        tkp__ref_group g =
            tkp__ref_greedy_group(plan, args, &args[DST], workspace, i);
        double *state = tkp__ref_scratch(plan, workspace, SCRATCH_STATE);
        double *w = state ? state + g.n : NULL;
        const double theta = (double)p->theta;
        for (int32_t j = 0; j < g.n; j++) {
            w[j] = tkp__present(weights) ? (double)((const float *)tkp__data(
                                               weights))[tkp__ref_member(&g, j)]
                                         : 1.0;
            if (p->kernel == TKP_GREEDY_DPP_EXP)
                w[j] = exp(theta / (2.0 * (1.0 - theta)) * w[j]);
        }
        choose(
            &g, p, tkp__ref_scratch(plan, workspace, SCRATCH_ROWS), state, w);
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_greedy_dpp = {
    .kind = TKP_OP_GREEDY_DPP,
    .params_size = sizeof(tkp_op_greedy_dpp),
    .kernel = "ref_greedy_dpp",
    .plan = plan_dpp,
    .run = run_dpp,
};
