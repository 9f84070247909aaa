/*
 * ATTENTION_SCORES: how much a few query rows attend to each candidate key.
 *
 *   s[h, q, j] = scale * sum_c q[q, h, c] k[j, h / (H / G), c]
 *   lse[h, q]  = log sum_j exp(s[h, q, j])        j over the visible keys
 *   p[h, q, j] = exp(s[h, q, j] - lse[h, q])
 *   a[q, j]    = (1 / H) sum_h p[h, q, j]
 *   dst[n]     = reduce over q of a[q, candidates[n]]
 *
 * Source: the image tokens' score of FastV (Chen et al., ECCV 2024, section
 * 3.2; pkunlp-icler/FastV, LlamaModel.forward, in-place branch), with the rows
 * and the reduction of SparseVLM and MustDrop. The softmax is over all visible
 * keys, visual or not: the head mean depends on it.
 *
 * Open choices:
 * - heads are meaned before the rows are reduced; both sums in double;
 * - a row that does not see a key counts in MEAN's divisor only;
 * - MAX is over the rows that see the key, and NaN wins;
 * - EMULATE_HALF rounds p (or the logit) and the head mean to q's dtype,
 *   nothing else;
 * - LOGITS takes s in place of p;
 * - a candidate that no row sees is 0; so is all of a sequence without rows.
 */

#include "ref/ref_head_mean.h"

enum {
    Q,
    K,
    LSE,
    TABLE,
    Q_OFFSETS,
    Q_POSITIONS,
    K_OFFSETS,
    OFFSETS,
    CAND,
    DST
};
enum { SCRATCH_LOGITS, SCRATCH_LSE, SCRATCH_SUMS };

static tkp_status
plan_scores(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_LOGITS, tkp__ref_head_mean_keys(args),
        sizeof(double)));
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_LSE, args[Q].shape[1], sizeof(double)));
    return tkp__ref_book(
        plan, ledger, SCRATCH_SUMS, args[DST].shape[0],
        sizeof(tkp__ref_reduced));
}

/* Add query row q to the candidates it sees. */
static void add_row(
    const tkp__ref_head_mean *m,
    int64_t b,
    int64_t q,
    int32_t reduce,
    tkp__ref_reduced *sums)
{
    const int32_t *co = tkp__ref_i32(&m->args[OFFSETS]);
    const int32_t *cand = tkp__ref_i32(&m->args[CAND]);
    const int64_t visible = tkp__ref_head_mean_row(m, b, q);
    for (int32_t n = co[b]; n < co[b + 1]; n++)
        if (cand[n] < visible)
            tkp__ref_reduce_add(
                &sums[n], reduce, tkp__ref_head_mean_at(m, b, q, cand[n]));
}

static tkp_status
run_scores(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_op_attention_scores *p = &plan->params.attention_scores;
    const tkp__ref_head_mean mean = {
        .args = args,
        .flags = p->flags,
        .scale = p->scale,
        .logits = tkp__ref_scratch(plan, workspace, SCRATCH_LOGITS),
        .lse = tkp__ref_scratch(plan, workspace, SCRATCH_LSE),
    };
    const int32_t reduce = p->row_reduce;
    const bool last =
        reduce == TKP_ROW_REDUCE_LAST || reduce == TKP_ROW_REDUCE_DEFAULT;
    tkp__ref_reduced *sums = tkp__ref_scratch(plan, workspace, SCRATCH_SUMS);
    const int32_t *qo = tkp__ref_i32(&args[Q_OFFSETS]);
    const int32_t *co = tkp__ref_i32(&args[OFFSETS]);
    float *dst = tkp__data(&args[DST]);
    TKP__TRY(tkp__ref_head_mean_check(args));

    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++) {
        for (int32_t n = co[b]; n < co[b + 1]; n++)
            sums[n] = (tkp__ref_reduced){0.0, 0};
        const int32_t first = last && qo[b] < qo[b + 1] ? qo[b + 1] - 1 : qo[b];
        for (int32_t q = first; q < qo[b + 1]; q++)
            add_row(&mean, b, q, reduce, sums);
        for (int32_t n = co[b]; n < co[b + 1]; n++)
            dst[n] =
                (float)tkp__ref_reduce_end(&sums[n], reduce, qo[b + 1] - qo[b]);
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_attention_scores = {
    .kind = TKP_OP_ATTENTION_SCORES,
    .params_size = sizeof(tkp_op_attention_scores),
    .kernel = "ref_attention_scores",
    .plan = plan_scores,
    .run = run_scores,
};
