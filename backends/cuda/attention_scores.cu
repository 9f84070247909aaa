/*
 * ATTENTION_SCORES: softmax probabilities of a few query rows at the candidate
 * keys; no attention matrix.
 *
 * First the log-sum-exp of each row and head, the keys split over blocks (none
 * of this where an lse is given); then a warp a candidate goes over rows and
 * heads. Keys are read twice, the second time mostly from the cache.
 */

#include "cuda/keys.cuh"

enum { SCORES = keys::CANDIDATES + 1 };
enum { SCRATCH_PARTS };
enum { THREADS = 256, WARPS = THREADS / TKP__WARP, SPLITS = 8 };

/* Takes in the value of a row that sees the key. */
struct reduced {
    float value;
    int seen;
    __device__ void add(int32_t reduce, float v)
    {
        if (reduce != TKP_ROW_REDUCE_MAX)
            value += v;
        else if (seen == 0 || v > value || isnan(v))
            value = isnan(value) ? value : v;
        seen++;
    }
    __device__ float end(int32_t reduce, int rows) const
    {
        if (seen == 0)
            return 0.0f;
        if (reduce == TKP_ROW_REDUCE_MEAN)
            return value / (float)rows;
        if (reduce == TKP_ROW_REDUCE_MEAN_VISIBLE)
            return value / (float)seen;
        return value;
    }
};

static __host__ __device__ bool last_only(int32_t reduce)
{
    return reduce == TKP_ROW_REDUCE_LAST || reduce == TKP_ROW_REDUCE_DEFAULT;
}

/* Mean over the heads of row q at key j; by a warp. */
template <class T>
static __device__ float head_mean(
    const tkp__keys &s,
    const tkp__part *parts,
    int splits,
    int64_t b,
    int64_t q,
    int32_t j)
{
    const bool half = s.flags & TKP_ATTENTION_EMULATE_HALF;
    float sum = 0.0f;
    for (int32_t h = 0; h < s.heads; h++) {
        float value = tkp__logit<T>(s, b, q, h, j);
        if (!(s.flags & TKP_ATTENTION_LOGITS))
            value = expf(value - tkp__row_lse(s, parts, splits, q, h));
        sum += half ? tkp__rounded<T>(value) : value;
    }
    const float mean = sum / (float)s.heads;
    return half ? tkp__rounded<T>(mean) : mean;
}

template <class T>
static __global__ void scores(
    tkp__keys s,
    int64_t sequences,
    const tkp__part *parts,
    int splits,
    int32_t reduce,
    float *dst,
    int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / TKP__WARP;
    if (i >= n)
        return;
    const int64_t b = tkp__range_of(s.offsets, sequences, i);
    const int32_t first = s.q_offsets[b], end = s.q_offsets[b + 1];
    const int32_t j = s.candidates[i];
    const int32_t from = last_only(reduce) && first < end ? end - 1 : first;
    reduced sum = {0.0f, 0};
    if (j >= 0)
        for (int32_t q = from; q < end; q++)
            if (j < tkp__visible(s, b, q))
                sum.add(reduce, head_mean<T>(s, parts, splits, b, q, j));
    if (threadIdx.x % TKP__WARP == 0)
        dst[i] = sum.end(reduce, end - first);
}

static tkp_status
plan_scores(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const tkp_op_attention_scores *p =
        reinterpret_cast<const tkp_op_attention_scores *>(plan->params);
    const bool none =
        tkp__present(&args[keys::LSE]) || (p->flags & TKP_ATTENTION_LOGITS);
    int64_t rows;
    TKP__CHECK(
        tkp__mul_i64(args[keys::Q].shape[0], args[keys::Q].shape[1], &rows) &&
            tkp__mul_i64(rows, SPLITS, &rows),
        TKP_ERR_SHAPE, "q: too many rows and heads");
    return tkp__cuda_book(
        plan, ledger, SCRATCH_PARTS, none ? 0 : rows, sizeof(tkp__part));
}

static tkp_status run_scores(const tkp__cuda_run *r)
{
    const tkp_op_attention_scores *p =
        tkp__cuda_params<tkp_op_attention_scores>(r);
    const tkp__keys s = tkp__keys_of(r, p->flags, p->scale);
    const int64_t rows = r->args[keys::Q].shape[0];
    const int64_t sequences = r->args[keys::OFFSETS].shape[0] - 1;
    const int64_t n = tkp__cuda_size(r, SCORES, 0);
    tkp__part *parts = tkp__cuda_scratch<tkp__part>(r, SCRATCH_PARTS);
    return tkp__cuda_with(r->args[keys::Q].dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        if (!s.lse && !(s.flags & TKP_ATTENTION_LOGITS))
            TKP__TRY(tkp__cuda_launch(
                r, tkp__row_parts<T>,
                dim3(SPLITS, (unsigned)s.heads, (unsigned)rows), THREADS, 0, s,
                sequences, (int32_t)last_only(p->row_reduce), parts));
        return tkp__cuda_launch(
            r, scores<T>, dim3(tkp__cuda_blocks(n, WARPS)), THREADS, 0, s,
            sequences, parts, (int)SPLITS, p->row_reduce,
            tkp__cuda_arg<float>(r, SCORES), n);
    });
}

const tkp__cuda_op tkp__cuda_attention_scores = {
    .kind = TKP_OP_ATTENTION_SCORES,
    .params_size = sizeof(tkp_op_attention_scores),
    .kernel = "attention_scores",
    .plan = plan_scores,
    .run = run_scores,
};

/* --- from finished probabilities --------------------------------------------- */

namespace rows_reduce
{
enum { PROBS, Q_OFFSETS, Q_POSITIONS, OFFSETS, CANDIDATES, DST };
}

struct finished {
    int64_t strides[4];
    int64_t heads;
    int32_t full; /* [B, L, H, L] */
    uint32_t flags;
    int32_t reduce;
};

template <class T>
static __global__ void reduce_rows(
    const T *probs,
    finished s,
    const int32_t *q_offsets,
    const int32_t *positions,
    const int32_t *offsets,
    int64_t sequences,
    const int32_t *candidates,
    float *dst,
    int64_t n)
{
    const int64_t i = tkp__thread();
    if (i >= n)
        return;
    const int64_t b = tkp__range_of(offsets, sequences, i);
    const int32_t begin = q_offsets[b], end = q_offsets[b + 1];
    const int32_t from = last_only(s.reduce) && begin < end ? end - 1 : begin;
    const int32_t j = candidates[i];
    const int64_t head = s.strides[s.full ? 2 : 1];
    const int64_t key = s.strides[s.full ? 3 : 2];
    reduced sum = {0.0f, 0};
    for (int32_t q = from; q < end; q++) {
        if ((s.flags & TKP_ATTENTION_CAUSAL) && j > positions[q])
            continue;
        const T *row =
            probs + (s.full ? b * s.strides[0] + positions[q] * s.strides[1]
                            : q * s.strides[0]);
        float mean = 0.0f;
        for (int64_t h = 0; h < s.heads; h++)
            mean += tkp__get(row[h * head + j * key]);
        mean /= (float)s.heads;
        sum.add(
            s.reduce, s.flags & TKP_ATTENTION_EMULATE_HALF
                          ? tkp__rounded<T>(mean)
                          : mean);
    }
    dst[i] = sum.end(s.reduce, end - begin);
}

static tkp_status run_rows_reduce(const tkp__cuda_run *r)
{
    using namespace rows_reduce;
    const tkp_op_attention_scores *p =
        tkp__cuda_params<tkp_op_attention_scores>(r);
    const tkp_tensor *probs = &r->args[PROBS];
    const int64_t n = tkp__cuda_size(r, DST, 0);
    finished s = {};
    memcpy(s.strides, probs->strides, sizeof(s.strides));
    s.heads = probs->shape[probs->ndim - 2];
    s.full = probs->ndim == 4;
    s.flags = p->flags;
    s.reduce = p->row_reduce;
    return tkp__cuda_with(probs->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, reduce_rows<T>, dim3(tkp__cuda_blocks(n, THREADS)), THREADS, 0,
            tkp__cuda_arg<const T>(r, PROBS), s,
            tkp__cuda_arg<const int32_t>(r, Q_OFFSETS),
            tkp__cuda_arg<const int32_t>(r, Q_POSITIONS),
            tkp__cuda_arg<const int32_t>(r, OFFSETS),
            tkp__cuda_size(r, OFFSETS, 0) - 1,
            tkp__cuda_arg<const int32_t>(r, CANDIDATES),
            tkp__cuda_arg<float>(r, DST), n);
    });
}

const tkp__cuda_op tkp__cuda_attention_rows_reduce = {
    .kind = TKP_OP_ATTENTION_ROWS_REDUCE,
    .params_size = sizeof(tkp_op_attention_scores),
    .kernel = "attention_rows_reduce",
    .run = run_rows_reduce,
};
