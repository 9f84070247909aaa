/*
 * GREEDY_COVER: coverage of all members by those chosen (facility location).
 *
 *   gain_j = sum over rows i of demand_i max(0, T_ij - c_i)
 *   value_j = gain_j factor_j^power, or gain_j + factor_j^power
 *   j = arg max of value_j;  c_i = max(c_i, T_ij) from c = 0
 *   T = scale * (S, (S + 1) / 2 or softmax over j of S_ij / t, over n), and
 *   below it the extra rows, whose demand is 1
 *
 * Source: SCOPE (cosines, the factor is the attention of CLS), MMTok (arXiv
 * 2508.18264: softmax, text in the extra rows), EADP ((S + 1) / 2, the demand is
 * the importance).
 *
 * Open choices: rows of chosen members still count. Equal values, such as 0
 * when all is covered, go to the lower member.
 */

#include "ref/ref_greedy.h"

enum { DEMAND = 6, FACTOR, EXTRA, EXTRA_RANGE, DST };
enum { SCRATCH_MATRIX = 2, SCRATCH_STATE };

static int64_t extra_rows(const tkp_tensor *args)
{
    return tkp__present(&args[EXTRA]) ? args[EXTRA].shape[0] : 0;
}

/* The matrix, rows [n] of what is covered by each j [n]; c and the values. */
static tkp_status
plan_cover(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t n =
        tkp__ref_greedy_most(args, plan->params.greedy_cover.largest);
    TKP__TRY(tkp__ref_greedy_book(plan, ledger, args));
    TKP__TRY(
        tkp__ref_book(plan, ledger, SCRATCH_MATRIX, n * n, sizeof(double)));
    return tkp__ref_book(
        plan, ledger, SCRATCH_STATE, 2 * n + extra_rows(args), sizeof(double));
}

static void softmax_row(double *row, int32_t n, double temperature)
{
    double top = -INFINITY, sum = 0.0;
    for (int32_t j = 0; j < n; j++)
        top = fmax(top, row[j]);
    for (int32_t j = 0; j < n; j++)
        sum += row[j] = exp((row[j] - top) / temperature);
    for (int32_t j = 0; j < n; j++)
        row[j] /= sum * (double)n;
}

static void fill_matrix(
    const tkp__ref_group *g,
    const tkp_op_greedy_cover *p,
    double *matrix)
{
    for (int32_t i = 0; i < g->n; i++) {
        double *row = matrix + (int64_t)i * g->n;
        for (int32_t j = 0; j < g->n; j++) {
            const double s = tkp__ref_cosine_of(g, i, j);
            row[j] = p->kernel == TKP_GREEDY_KERNEL_HALF ? (s + 1.0) / 2.0 : s;
        }
        if (p->kernel == TKP_GREEDY_KERNEL_SOFTMAX)
            softmax_row(row, g->n, (double)p->temperature);
        for (int32_t j = 0; j < g->n; j++)
            row[j] *= (double)p->scale;
    }
}

/* The extra rows of a group: `end` above `begin`, columns are candidates. */
typedef struct extra {
    const float *values;
    int64_t stride;
    int32_t begin, end;
} extra;

static double
extra_at(const tkp__ref_group *g, const extra *e, int32_t row, int32_t j)
{
    return (double)e->values[row * e->stride + tkp__ref_member(g, j)];
}

static double gain_of(
    const tkp__ref_group *g,
    const double *matrix,
    const extra *e,
    const float *demand,
    const double *covered, /* [n], then the extra rows */
    int32_t j)
{
    double gain = 0.0;
    for (int32_t i = 0; i < g->n; i++)
        gain += (demand ? (double)demand[tkp__ref_member(g, i)] : 1.0) *
                fmax(0.0, matrix[(int64_t)i * g->n + j] - covered[i]);
    for (int32_t r = e->begin; r < e->end; r++)
        gain += fmax(0.0, extra_at(g, e, r, j) - covered[g->n + r - e->begin]);
    return gain;
}

static void choose(
    tkp__ref_group *g,
    const tkp_op_greedy_cover *p,
    const tkp_tensor *args,
    const extra *e,
    double *matrix,
    double *value)
{
    const float *demand =
        tkp__present(&args[DEMAND]) ? tkp__data(&args[DEMAND]) : NULL;
    const float *factor =
        tkp__present(&args[FACTOR]) ? tkp__data(&args[FACTOR]) : NULL;
    double *covered = value + g->n;
    fill_matrix(g, p, matrix);
    for (int32_t i = 0; i < g->n + e->end - e->begin; i++)
        covered[i] = 0.0;
    for (int32_t t = 0; t < g->keep; t++) {
        for (int32_t j = 0; j < g->n; j++) {
            value[j] = gain_of(g, matrix, e, demand, covered, j);
            if (!factor)
                continue;
            const double f =
                pow((double)factor[tkp__ref_member(g, j)], (double)p->power);
            value[j] = p->add ? value[j] + f : value[j] * f;
        }
        const int32_t best = tkp__ref_greedy_best(g, value);
        tkp__ref_greedy_take(g, t, best);
        for (int32_t i = 0; i < g->n; i++)
            covered[i] = fmax(covered[i], matrix[(int64_t)i * g->n + best]);
        for (int32_t r = e->begin; r < e->end; r++)
            covered[g->n + r - e->begin] =
                fmax(covered[g->n + r - e->begin], extra_at(g, e, r, best));
    }
}

static tkp_status check_extra(const tkp_tensor *args)
{
    return tkp__present(&args[EXTRA])
               ? tkp__ref_check_range(
                     &args[EXTRA_RANGE], args[EXTRA].shape[0], "extra_range")
               : TKP_OK;
}

static extra extra_of(const tkp_tensor *args, int64_t g)
{
    if (!tkp__present(&args[EXTRA]))
        return (extra){NULL, 0, 0, 0};
    const int32_t *range = tkp__ref_i32(&args[EXTRA_RANGE]);
    return (extra){
        tkp__data(&args[EXTRA]), args[EXTRA].strides[0], range[2 * g],
        range[2 * g + 1]};
}

static tkp_status check_extra_numbers(const tkp__ref_group *g, const extra *e)
{
    for (int32_t r = e->begin; r < e->end; r++)
        for (int32_t j = 0; j < g->n; j++)
            TKP__CHECK(
                isfinite(extra_at(g, e, r, j)), TKP_ERR_DATA,
                "extra: row %d has a number that is not finite", r);
    return TKP_OK;
}

static tkp_status
run_cover(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_op_greedy_cover *p = &plan->params.greedy_cover;
    const int64_t groups = args[TKP__REF_GREEDY_KEEP].shape[0];
    TKP__TRY(check_extra(args));
    TKP__TRY(
        tkp__ref_greedy_check(plan, args, &args[DST], p->largest, workspace));
    TKP__TRY(
        tkp__ref_greedy_check_weights(args, &args[DEMAND], "demand", false));
    TKP__TRY(
        tkp__ref_greedy_check_weights(args, &args[FACTOR], "factor", false));
    for (int64_t i = 0; i < groups; i++) {
        const tkp__ref_group g =
            tkp__ref_greedy_group(plan, args, &args[DST], workspace, i);
        const extra e = extra_of(args, i);
        TKP__TRY(check_extra_numbers(&g, &e));
    }
    for (int64_t i = 0; i < groups; i++) {
        tkp__ref_group g =
            tkp__ref_greedy_group(plan, args, &args[DST], workspace, i);
        const extra e = extra_of(args, i);
        if (g.keep)
            choose(
                &g, p, args, &e,
                tkp__ref_scratch(plan, workspace, SCRATCH_MATRIX),
                tkp__ref_scratch(plan, workspace, SCRATCH_STATE));
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_greedy_cover = {
    .kind = TKP_OP_GREEDY_COVER,
    .params_size = sizeof(tkp_op_greedy_cover),
    .kernel = "ref_greedy_cover",
    .plan = plan_cover,
    .run = run_cover,
};
