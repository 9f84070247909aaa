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

#include "ref/ref.h"

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

/* Keys of the longest sequence the view can hold. */
static int64_t max_keys(const tkp_tensor *args)
{
    if (tkp__present(&args[TABLE]))
        return args[TABLE].shape[1] * args[K].shape[1];
    return args[K].ndim == 4 ? args[K].shape[1] : args[K].shape[0];
}

static tkp_status
plan_scores(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_LOGITS, max_keys(args), sizeof(double)));
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_LSE, args[Q].shape[1], sizeof(double)));
    return tkp__ref_book(
        plan, ledger, SCRATCH_SUMS, args[DST].shape[0],
        sizeof(tkp__ref_reduced));
}

/* Pages of sequence b that hold its keys. */
static tkp_status check_pages(const tkp_tensor *args, int64_t b, int64_t keys)
{
    const tkp_tensor *table = &args[TABLE];
    const int64_t page_keys = args[K].shape[1];
    const int32_t *page = tkp__ref_row(table, b);
    for (int64_t t = 0; t * page_keys < keys; t++)
        TKP__CHECK(
            page[t] >= 0 && page[t] < args[K].shape[0], TKP_ERR_ARGUMENT,
            "block_table: entry (%lld, %lld) is %d, wanted 0 to %lld",
            (long long)b, (long long)t, page[t],
            (long long)args[K].shape[0] - 1);
    return TKP_OK;
}

static tkp_status check_sequence(const tkp_tensor *args, int64_t b)
{
    const int32_t *ko = tkp__ref_i32(&args[K_OFFSETS]);
    const int32_t *qo = tkp__ref_i32(&args[Q_OFFSETS]);
    const int32_t *co = tkp__ref_i32(&args[OFFSETS]);
    const int32_t *position = tkp__ref_i32(&args[Q_POSITIONS]);
    const int32_t *cand = tkp__ref_i32(&args[CAND]);
    const int32_t keys = ko[b + 1] - ko[b];
    TKP__CHECK(
        keys <= max_keys(args), TKP_ERR_ARGUMENT,
        "k_offsets: sequence %lld has %d keys, k has room for %lld",
        (long long)b, keys, (long long)max_keys(args));
    for (int32_t q = qo[b]; q < qo[b + 1]; q++)
        TKP__CHECK(
            position[q] >= 0 && position[q] < keys, TKP_ERR_ARGUMENT,
            "q_positions: entry %d is %d, wanted 0 to %d", q, position[q],
            keys - 1);
    for (int32_t n = co[b]; n < co[b + 1]; n++)
        TKP__CHECK(
            cand[n] >= 0 && cand[n] < keys, TKP_ERR_ARGUMENT,
            "candidates: entry %d is %d, wanted 0 to %d", n, cand[n], keys - 1);
    return tkp__present(&args[TABLE]) ? check_pages(args, b, keys) : TKP_OK;
}

static tkp_status check_data(const tkp_tensor *args)
{
    const int64_t packed_keys =
        args[K].ndim == 3 ? args[K].shape[0] : INT32_MAX;
    TKP__TRY(tkp__ref_check_covering(
        &args[Q_OFFSETS], args[Q].shape[0], "q_offsets"));
    TKP__TRY(
        tkp__ref_check_offsets(&args[K_OFFSETS], packed_keys, "k_offsets"));
    TKP__TRY(
        tkp__ref_check_covering(&args[OFFSETS], args[DST].shape[0], "offsets"));
    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++)
        TKP__TRY(check_sequence(args, b));
    return TKP_OK;
}

/* Key j of sequence b, key head g: its C channels. */
static const void *
key_at(const tkp_tensor *args, int64_t b, int64_t j, int64_t g)
{
    const tkp_tensor *k = &args[K];
    const int64_t *stride = k->strides;
    if (k->ndim == 3)
        return tkp__ref_at(
            k, (tkp__ref_i32(&args[K_OFFSETS])[b] + j) * stride[0] +
                   g * stride[1]);
    if (tkp__present(&args[TABLE])) {
        const int32_t *page = tkp__ref_row(&args[TABLE], b);
        b = page[j / k->shape[1]];
        j = j % k->shape[1];
    }
    return tkp__ref_at(k, b * stride[0] + j * stride[1] + g * stride[2]);
}

static double scale_of(const tkp__ref_plan *plan, const tkp_tensor *args)
{
    const float scale = plan->params.attention_scores.scale;
    return scale != 0.0f ? (double)scale : 1.0 / sqrt((double)args[Q].shape[2]);
}

/* s[h, q, j] of sequence b. */
static double logit(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    int64_t b,
    int64_t q,
    int64_t h,
    int64_t j)
{
    const tkp_tensor *t = &args[Q];
    const int64_t key_heads = args[K].shape[args[K].ndim - 2];
    const int64_t g = h / (t->shape[1] / key_heads);
    const void *row = tkp__ref_at(t, q * t->strides[0] + h * t->strides[1]);
    return scale_of(plan, args) * tkp__ref_dot(
                                      row, t->dtype, key_at(args, b, j, g),
                                      args[K].dtype, t->shape[2]);
}

/* log sum exp over the visible keys, from the largest one. */
static double log_sum_exp(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    int64_t b,
    int64_t q,
    int64_t h,
    int64_t visible,
    double *logits)
{
    if (tkp__present(&args[LSE]))
        return (double)*(
            const float *)tkp__ref_at(&args[LSE], q * args[LSE].strides[0] + h);
    double top = -INFINITY;
    for (int64_t j = 0; j < visible; j++) {
        logits[j] = logit(plan, args, b, q, h, j);
        if (logits[j] > top)
            top = logits[j];
    }
    double sum = 0.0;
    for (int64_t j = 0; j < visible; j++)
        sum += exp(logits[j] - top);
    return top + log(sum);
}

/* a[q, j]: the mean over heads of probabilities, or of logits. */
static double head_mean(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    int64_t b,
    int64_t q,
    int64_t j,
    const double *lse)
{
    const uint32_t flags = plan->params.attention_scores.flags;
    const bool half = flags & TKP_ATTENTION_EMULATE_HALF;
    const int64_t heads = args[Q].shape[1];
    double sum = 0.0;
    for (int64_t h = 0; h < heads; h++) {
        double value = logit(plan, args, b, q, h, j);
        if (!(flags & TKP_ATTENTION_LOGITS))
            value = exp(value - lse[h]);
        sum +=
            half ? (double)tkp__ref_round((float)value, args[Q].dtype) : value;
    }
    const double mean = sum / (double)heads;
    return half ? (double)tkp__ref_round((float)mean, args[Q].dtype) : mean;
}

/* Add query row q to the candidates it sees. */
static void add_row(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    int64_t b,
    int64_t q,
    char *workspace)
{
    const tkp_op_attention_scores *p = &plan->params.attention_scores;
    double *logits = tkp__ref_scratch(plan, workspace, SCRATCH_LOGITS);
    double *lse = tkp__ref_scratch(plan, workspace, SCRATCH_LSE);
    tkp__ref_reduced *sums = tkp__ref_scratch(plan, workspace, SCRATCH_SUMS);
    const int32_t *ko = tkp__ref_i32(&args[K_OFFSETS]);
    const int32_t *co = tkp__ref_i32(&args[OFFSETS]);
    const int32_t *cand = tkp__ref_i32(&args[CAND]);

    int64_t visible = ko[b + 1] - ko[b];
    if (p->flags & TKP_ATTENTION_CAUSAL)
        visible = tkp__ref_i32(&args[Q_POSITIONS])[q] + 1;
    if (!(p->flags & TKP_ATTENTION_LOGITS))
        for (int64_t h = 0; h < args[Q].shape[1]; h++)
            lse[h] = log_sum_exp(plan, args, b, q, h, visible, logits);
    for (int32_t n = co[b]; n < co[b + 1]; n++)
        if (cand[n] < visible)
            tkp__ref_reduce_add(
                &sums[n], p->row_reduce,
                head_mean(plan, args, b, q, cand[n], lse));
}

static tkp_status
run_scores(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    TKP__TRY(check_data(args));
    const int32_t reduce = plan->params.attention_scores.row_reduce;
    const bool last =
        reduce == TKP_ROW_REDUCE_LAST || reduce == TKP_ROW_REDUCE_DEFAULT;
    tkp__ref_reduced *sums = tkp__ref_scratch(plan, workspace, SCRATCH_SUMS);
    const int32_t *qo = tkp__ref_i32(&args[Q_OFFSETS]);
    const int32_t *co = tkp__ref_i32(&args[OFFSETS]);
    float *dst = tkp__data(&args[DST]);

    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++) {
        for (int32_t n = co[b]; n < co[b + 1]; n++)
            sums[n] = (tkp__ref_reduced){0.0, 0};
        const int32_t first = last && qo[b] < qo[b + 1] ? qo[b + 1] - 1 : qo[b];
        for (int32_t q = first; q < qo[b + 1]; q++)
            add_row(plan, args, b, q, workspace);
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
