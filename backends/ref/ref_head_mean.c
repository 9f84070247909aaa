/* Attention of single query rows, meaned over the heads: what ATTENTION_SCORES
 * reduces and ATTENTION_RANK looks at. */
#include "ref/ref_head_mean.h"

enum { Q, K, LSE, TABLE, Q_OFFSETS, Q_POSITIONS, K_OFFSETS, OFFSETS, CAND };

int64_t tkp__ref_head_mean_keys(const tkp_tensor *args)
{
    if (tkp__present(&args[TABLE]))
        return args[TABLE].shape[1] * args[K].shape[1];
    return args[K].ndim == 4 ? args[K].shape[1] : args[K].shape[0];
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
        keys <= tkp__ref_head_mean_keys(args), TKP_ERR_ARGUMENT,
        "k_offsets: sequence %lld has %d keys, k has room for %lld",
        (long long)b, keys, (long long)tkp__ref_head_mean_keys(args));
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

tkp_status tkp__ref_head_mean_check(const tkp_tensor *args)
{
    const int64_t packed_keys =
        args[K].ndim == 3 ? args[K].shape[0] : INT32_MAX;
    TKP__TRY(tkp__ref_check_covering(
        &args[Q_OFFSETS], args[Q].shape[0], "q_offsets"));
    TKP__TRY(
        tkp__ref_check_offsets(&args[K_OFFSETS], packed_keys, "k_offsets"));
    TKP__TRY(tkp__ref_check_covering(
        &args[OFFSETS], args[CAND].shape[0], "offsets"));
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

/* s[h, q, j] of sequence b. */
static double
logit(const tkp__ref_head_mean *m, int64_t b, int64_t q, int64_t h, int64_t j)
{
    const tkp_tensor *args = m->args;
    const tkp_tensor *t = &args[Q];
    const int64_t key_heads = args[K].shape[args[K].ndim - 2];
    const int64_t g = h / (t->shape[1] / key_heads);
    const void *row = tkp__ref_at(t, q * t->strides[0] + h * t->strides[1]);
    const double scale =
        m->scale != 0.0f ? (double)m->scale : 1.0 / sqrt((double)t->shape[2]);
    return scale * tkp__ref_dot(
                       row, t->dtype, key_at(args, b, j, g), args[K].dtype,
                       t->shape[2]);
}

/* log sum exp over the visible keys, from the largest one. */
static double log_sum_exp(
    const tkp__ref_head_mean *m,
    int64_t b,
    int64_t q,
    int64_t h,
    int64_t visible)
{
    if (tkp__present(&m->args[LSE]))
        return (double)*(const float *)tkp__ref_at(
            &m->args[LSE], q * m->args[LSE].strides[0] + h);
    double top = -INFINITY;
    for (int64_t j = 0; j < visible; j++) {
        m->logits[j] = logit(m, b, q, h, j);
        if (m->logits[j] > top)
            top = m->logits[j];
    }
    double sum = 0.0;
    for (int64_t j = 0; j < visible; j++)
        sum += exp(m->logits[j] - top);
    return top + log(sum);
}

int64_t
tkp__ref_head_mean_row(const tkp__ref_head_mean *m, int64_t b, int64_t q)
{
    const tkp_tensor *args = m->args;
    const int32_t *ko = tkp__ref_i32(&args[K_OFFSETS]);
    int64_t visible = ko[b + 1] - ko[b];
    if (m->flags & TKP_ATTENTION_CAUSAL)
        visible = tkp__ref_i32(&args[Q_POSITIONS])[q] + 1;
    if (!(m->flags & TKP_ATTENTION_LOGITS))
        for (int64_t h = 0; h < args[Q].shape[1]; h++)
            m->lse[h] = log_sum_exp(m, b, q, h, visible);
    return visible;
}

double tkp__ref_head_mean_one(
    const tkp__ref_head_mean *m,
    int64_t b,
    int64_t q,
    int64_t h,
    int64_t j)
{
    double value = logit(m, b, q, h, j);
    if (!(m->flags & TKP_ATTENTION_LOGITS))
        value = exp(value - m->lse[h]);
    return m->flags & TKP_ATTENTION_EMULATE_HALF
               ? (double)tkp__ref_round((float)value, m->args[Q].dtype)
               : value;
}

double tkp__ref_head_mean_at(
    const tkp__ref_head_mean *m,
    int64_t b,
    int64_t q,
    int64_t j)
{
    const tkp_tensor *args = m->args;
    const bool half = m->flags & TKP_ATTENTION_EMULATE_HALF;
    const int64_t heads = args[Q].shape[1];
    double sum = 0.0;
    for (int64_t h = 0; h < heads; h++)
        sum += tkp__ref_head_mean_one(m, b, q, h, j);
    const double mean = sum / (double)heads;
    return half ? (double)tkp__ref_round((float)mean, args[Q].dtype) : mean;
}
