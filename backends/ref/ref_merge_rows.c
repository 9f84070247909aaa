/*
 * MERGE_ROWS: a new row for each kept candidate k, from those i that join it.
 *
 *   mean:  (c w_k x_k + sum w_i x_i) / (c w_k + sum w_i)
 *   add:   x_k + m           m = sum w_i x_i / sum w_i
 *   blend: beta x_k + (1 - beta) m
 *   blend_count: the same, beta = max(beta, 1 / (1 + how many join))
 *
 * Source: mean as in VScan, ApET (c scales the anchor) and SparseVLM's
 * clusters; add as in VisionZip, whose anchor is not averaged in;
 * blend_count as in FastVID. Open choices:
 * where nobody joins, or what is divided by is 0, the row is x_k as it was;
 * sums in double in the order of candidates, one rounding to dst's dtype.
 */

#include "ref/ref.h"

enum { X, ROWS, KEPT, ASSIGNMENT, WEIGHTS, DST, SIZES };
enum { SCRATCH_FIRST, SCRATCH_NEXT };

static tkp_status
plan_merge_rows(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_FIRST, args[KEPT].shape[0], sizeof(int32_t)));
    return tkp__ref_book(
        plan, ledger, SCRATCH_NEXT, args[ROWS].shape[0], sizeof(int32_t));
}

static tkp_status check_data(const tkp_tensor *args)
{
    const int64_t n = args[ROWS].shape[0], k = args[KEPT].shape[0];
    const int32_t *to = tkp__ref_i32(&args[ASSIGNMENT]);
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_index(&args[KEPT], k, n, "kept"));
    for (int64_t i = 0; i < n; i++)
        TKP__CHECK(
            to[i] >= -1 && to[i] < k, TKP_ERR_ARGUMENT,
            "assignment: entry %lld is %d, wanted -1 to %lld", (long long)i,
            to[i], (long long)k - 1);
    return TKP_OK;
}

/* Who joins each kept one: chains in the order of candidates, -1 ends. */
static void chain(const tkp_tensor *args, int32_t *first, int32_t *next)
{
    const int32_t *kept = tkp__ref_i32(&args[KEPT]);
    const int32_t *to = tkp__ref_i32(&args[ASSIGNMENT]);
    enum { IS_KEPT = -2 };
    for (int64_t k = 0; k < args[KEPT].shape[0]; k++)
        first[k] = -1;
    for (int64_t i = 0; i < args[ROWS].shape[0]; i++)
        next[i] = -1;
    for (int64_t k = 0; k < args[KEPT].shape[0]; k++)
        next[kept[k]] = IS_KEPT;
    for (int64_t i = args[ROWS].shape[0] - 1; i >= 0; i--)
        if (next[i] != IS_KEPT && to[i] >= 0) {
            next[i] = first[to[i]];
            first[to[i]] = (int32_t)i;
        }
}

static double weight_of(const tkp_tensor *args, int32_t i)
{
    return tkp__present(&args[WEIGHTS])
               ? (double)((const float *)tkp__data(&args[WEIGHTS]))[i]
               : 1.0;
}

static double value_of(const tkp_tensor *args, int32_t i, int64_t c)
{
    const int32_t row = tkp__ref_i32(&args[ROWS])[i];
    return (double)tkp__load_f32(tkp__ref_row(&args[X], row), args[X].dtype, c);
}

static double merged(
    const tkp_op_merge_rows *p,
    const tkp_tensor *args,
    int32_t anchor,
    int32_t first,
    const int32_t *next,
    int64_t c)
{
    const double own = value_of(args, anchor, c);
    const bool mean = p->rule == TKP_MERGE_MEAN;
    const double share =
        mean ? (double)p->anchor * weight_of(args, anchor) : 0.0;
    double sum = mean ? share * own : 0.0;
    double weight = share;
    int32_t size = 1;
    for (int32_t i = first; i >= 0; i = next[i], size++) {
        sum += weight_of(args, i) * value_of(args, i, c);
        weight += weight_of(args, i);
    }
    if (first < 0 || weight == 0.0)
        return own;
    if (mean)
        return sum / weight;
    if (p->rule == TKP_MERGE_ADD)
        return own + sum / weight;
    double beta = (double)p->beta;
    if (p->rule == TKP_MERGE_BLEND_COUNT && beta < 1.0 / size)
        beta = 1.0 / size;
    return beta * own + (1.0 - beta) * (sum / weight);
}

static tkp_status run_merge_rows(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    TKP__TRY(check_data(args));
    const tkp_tensor *dst = &args[DST];
    int32_t *first = tkp__ref_scratch(plan, workspace, SCRATCH_FIRST);
    int32_t *next = tkp__ref_scratch(plan, workspace, SCRATCH_NEXT);
    chain(args, first, next);
    for (int64_t k = 0; k < args[KEPT].shape[0]; k++) {
        const int32_t anchor = tkp__ref_i32(&args[KEPT])[k];
        for (int64_t c = 0; c < dst->shape[1]; c++)
            tkp__store_f32(
                tkp__ref_row(dst, k), dst->dtype, c,
                (float)merged(
                    &plan->params.merge_rows, args, anchor, first[k], next, c));
        if (!tkp__present(&args[SIZES]))
            continue;
        float size = 1.0f;
        for (int32_t i = first[k]; i >= 0; i = next[i])
            size += 1.0f;
        ((float *)tkp__data(&args[SIZES]))[k] = size;
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_merge_rows = {
    .kind = TKP_OP_MERGE_ROWS,
    .params_size = sizeof(tkp_op_merge_rows),
    .kernel = "ref_merge_rows",
    .plan = plan_merge_rows,
    .run = run_merge_rows,
};
