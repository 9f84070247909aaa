/*
 * ATTENTION_ROWS_REDUCE: candidate scores from finished probabilities.
 *
 *   a[q, j] = (1 / H) sum_h probs[q, h, j]
 *   dst[n]  = reduce over q of a[q, candidates[n]]
 *
 * Source: as ATTENTION_SCORES, from the softmax on; this is what the published
 * code of FastV does with the attention tensor it asks its model for.
 *
 * Open choices:
 * - the full tensor is [B, L, H, L]: row q of sequence b is probs[b,
 *   q_positions[q]]; a published [B, H, L, L] comes in by its strides;
 * - with CAUSAL a row's entries beyond its position are not looked at; without,
 *   every row sees every key;
 * - EMULATE_HALF rounds the head mean to the dtype of probs; LOGITS changes
 *   nothing, the rows may hold anything;
 * - all else as in ATTENTION_SCORES.
 */

#include "ref/ref.h"

enum { PROBS, Q_OFFSETS, Q_POSITIONS, OFFSETS, CAND, DST };

static tkp_status check_data(const tkp_tensor *args)
{
    const int64_t keys = args[PROBS].shape[args[PROBS].ndim - 1];
    const int64_t rows = args[Q_POSITIONS].shape[0];
    const int64_t n = args[DST].shape[0];
    TKP__TRY(tkp__ref_check_covering(&args[Q_OFFSETS], rows, "q_offsets"));
    TKP__TRY(
        tkp__ref_check_index(&args[Q_POSITIONS], rows, keys, "q_positions"));
    TKP__TRY(tkp__ref_check_covering(&args[OFFSETS], n, "offsets"));
    return tkp__ref_check_index(&args[CAND], n, keys, "candidates");
}

/* a[q, j]: the mean over heads. */
static double head_mean(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    int64_t b,
    int64_t q,
    int64_t j)
{
    const tkp_tensor *probs = &args[PROBS];
    const int64_t *stride = probs->strides;
    int64_t at = q * stride[0];
    if (probs->ndim == 4) {
        at = b * stride[0] + tkp__ref_i32(&args[Q_POSITIONS])[q] * stride[1];
        stride++;
    }
    const int64_t heads = probs->shape[probs->ndim - 2];
    double sum = 0.0;
    for (int64_t h = 0; h < heads; h++)
        sum += (double)tkp__load_f32(
            tkp__data(probs), probs->dtype, at + h * stride[1] + j * stride[2]);
    const double mean = sum / (double)heads;
    if (plan->params.attention_scores.flags & TKP_ATTENTION_EMULATE_HALF)
        return (double)tkp__ref_round((float)mean, probs->dtype);
    return mean;
}

/* dst[n], candidate j of sequence b, over its rows from `first` on. */
static double reduce_rows(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    int64_t b,
    int32_t first,
    int32_t j)
{
    const tkp_op_attention_scores *p = &plan->params.attention_scores;
    const int32_t *qo = tkp__ref_i32(&args[Q_OFFSETS]);
    const int32_t *position = tkp__ref_i32(&args[Q_POSITIONS]);
    tkp__ref_reduced sum = {0.0, 0};
    for (int32_t q = first; q < qo[b + 1]; q++)
        if (!(p->flags & TKP_ATTENTION_CAUSAL) || j <= position[q])
            tkp__ref_reduce_add(
                &sum, p->row_reduce, head_mean(plan, args, b, q, j));
    return tkp__ref_reduce_end(&sum, p->row_reduce, qo[b + 1] - qo[b]);
}

static tkp_status
run_rows(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    (void)workspace;
    TKP__TRY(check_data(args));
    const int32_t reduce = plan->params.attention_scores.row_reduce;
    const bool last =
        reduce == TKP_ROW_REDUCE_LAST || reduce == TKP_ROW_REDUCE_DEFAULT;
    const int32_t *qo = tkp__ref_i32(&args[Q_OFFSETS]);
    const int32_t *co = tkp__ref_i32(&args[OFFSETS]);
    const int32_t *cand = tkp__ref_i32(&args[CAND]);
    float *dst = tkp__data(&args[DST]);
    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++) {
        const int32_t first = last && qo[b] < qo[b + 1] ? qo[b + 1] - 1 : qo[b];
        for (int32_t n = co[b]; n < co[b + 1]; n++)
            dst[n] = (float)reduce_rows(plan, args, b, first, cand[n]);
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_attention_rows_reduce = {
    .kind = TKP_OP_ATTENTION_ROWS_REDUCE,
    .params_size = sizeof(tkp_op_attention_scores),
    .kernel = "ref_attention_rows_reduce",
    .run = run_rows,
};
