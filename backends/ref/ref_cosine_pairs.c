/*
 * COSINE_PAIRS: similarity of each row to the other rows of its sequence.
 *
 *   s[i, j] = x_i . x_j / (|x_i| |x_j|)
 *   MAX:  dst[i] = max over j != i of s[i, j]
 *   MEAN: dst[i] = 1 / (n - 1) sum over j != i of s[i, j]
 *
 * Source: redundancy with respect to all other tokens (the alpha blend's
 * I(x_i; X without i)). Open choices: s is 0 where a norm is 0; a sequence with
 * one row scores 0; NaN wins in MAX; two entries of `rows` that name the same
 * row are two rows.
 */

#include "ref/ref.h"

enum { X, ROWS, OFFSETS, DST };
enum { SCRATCH_NORMS };

static tkp_status
plan_pairs(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    return tkp__ref_book(
        plan, ledger, SCRATCH_NORMS, args[DST].shape[0], sizeof(double));
}

/* dst[i] of the sequence with entries first .. end; rows and norms by entry. */
static double similarity(
    const tkp_tensor *x,
    const int32_t *rows,
    const double *norms,
    int32_t first,
    int32_t end,
    int32_t i,
    int32_t reduce)
{
    double sum = 0.0, top = -INFINITY;
    for (int32_t j = first; j < end; j++) {
        if (j == i)
            continue;
        double s = 0.0;
        if (norms[i] != 0.0 && norms[j] != 0.0)
            s = tkp__ref_dot(
                    tkp__ref_row(x, rows[i]), x->dtype,
                    tkp__ref_row(x, rows[j]), x->dtype, x->shape[1]) /
                (norms[i] * norms[j]);
        sum += s;
        if (s > top || isnan(s))
            top = isnan(top) ? top : s;
    }
    if (end - first < 2)
        return 0.0;
    return reduce == TKP_ROW_REDUCE_MEAN ? sum / (double)(end - first - 1)
                                         : top;
}

static tkp_status
run_pairs(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_tensor *x = &args[X];
    const int64_t n = args[DST].shape[0];
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, x->shape[0], "rows"));
    TKP__TRY(tkp__ref_check_covering(&args[OFFSETS], n, "offsets"));

    const int32_t *rows = tkp__ref_i32(&args[ROWS]);
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    double *norms = tkp__ref_scratch(plan, workspace, SCRATCH_NORMS); /* [N] */
    float *dst = tkp__data(&args[DST]);
    for (int64_t i = 0; i < n; i++) {
        const void *row = tkp__ref_row(x, rows[i]);
        norms[i] =
            sqrt(tkp__ref_dot(row, x->dtype, row, x->dtype, x->shape[1]));
    }
    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++)
        for (int32_t i = offsets[b]; i < offsets[b + 1]; i++)
            dst[i] = (float)similarity(
                x, rows, norms, offsets[b], offsets[b + 1], i,
                plan->params.cosine_pairs.reduce);
    return TKP_OK;
}

const tkp__ref_op tkp__ref_cosine_pairs = {
    .kind = TKP_OP_COSINE_PAIRS,
    .params_size = sizeof(tkp_op_cosine_pairs),
    .kernel = "ref_cosine_pairs",
    .plan = plan_pairs,
    .run = run_pairs,
};
