/*
 * MEAN_QUERY, VALUE_ATTENTION and TEXT_RATERS: softmaxes over candidates or words
 * that are no part of a decoder's attention.
 */

#include "cuda/greedy.cuh"

#include "cuda/dots.cuh"

static constexpr int THREADS = 256, WARPS = THREADS / TKP__WARP;

/* --- attention from the mean query ---------------------------------------------- */

namespace mean_of
{
enum { Q, K, ROWS, OFFSETS, DST };
enum { SCRATCH_SHARES };
} // namespace mean_of

struct head_views {
    int64_t q_row, q_head, k_row, k_head;
    int32_t heads, each, channels;
    float scale;
};

/* A block a unit and head: its mean query, logits, softmax; shares [H][N]. */
template <class T>
static __global__ void unit_shares(
    const T *q,
    const T *k,
    const int32_t *rows,
    const int32_t *offsets,
    double *shares,
    int64_t n,
    head_views s)
{
    TKP__SHARED(double, mean);
    __shared__ double room[TKP__WARP];
    const int64_t h = blockIdx.y;
    const int32_t first = offsets[blockIdx.x], end = offsets[blockIdx.x + 1];
    double *share = shares + h * n;
    for (int c = threadIdx.x; c < s.channels; c += blockDim.x) {
        double sum = 0.0;
        for (int32_t i = first; i < end; i++)
            sum += (double)tkp__get(q[rows[i] * s.q_row + h * s.q_head + c]);
        mean[c] = sum / (double)(end - first);
    }
    __syncthreads();
    for (int32_t j = first + threadIdx.x / TKP__WARP; j < end; j += WARPS) {
        const T *key = k + rows[j] * s.k_row + h / s.each * s.k_head;
        double dot = 0.0;
        for (int c = threadIdx.x % TKP__WARP; c < s.channels; c += TKP__WARP)
            dot += mean[c] * (double)tkp__get(key[c]);
        dot = tkp__warp_reduce(dot, tkp__sum());
        if (threadIdx.x % TKP__WARP == 0)
            share[j] = (double)s.scale * dot;
    }
    __syncthreads();
    double top = -INFINITY, sum = 0.0;
    for (int32_t j = first + threadIdx.x; j < end; j += blockDim.x)
        top = fmax(top, share[j]);
    top = tkp__block_reduce(top, tkp__greater(), -(double)INFINITY, room);
    for (int32_t j = first + threadIdx.x; j < end; j += blockDim.x)
        sum += exp(share[j] - top);
    sum = tkp__block_reduce(sum, tkp__sum(), 0.0, room);
    for (int32_t j = first + threadIdx.x; j < end; j += blockDim.x)
        share[j] = exp(share[j] - top) / sum;
}

static __global__ void
mean_shares(const double *shares, float *dst, int64_t n, int32_t heads)
{
    for (int64_t j = tkp__thread(); j < n; j += tkp__threads()) {
        double sum = 0.0;
        for (int32_t h = 0; h < heads; h++)
            sum += shares[h * n + j] / (double)heads;
        dst[j] = (float)sum;
    }
}

static tkp_status plan_mean_query(
    tkp__cuda_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    using namespace mean_of;
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(args[DST].shape[0], args[Q].shape[1], &cells),
        TKP_ERR_SHAPE, "q: too many heads");
    return tkp__cuda_book(plan, ledger, SCRATCH_SHARES, cells, sizeof(double));
}

static tkp_status run_mean_query(const tkp__cuda_run *r)
{
    using namespace mean_of;
    const tkp_tensor *q = &r->args[Q], *k = &r->args[K];
    const int64_t n = tkp__cuda_size(r, DST, 0);
    const float scale = tkp__cuda_params<tkp_op_mean_query>(r)->scale;
    head_views s = {};
    s.q_row = q->strides[0];
    s.q_head = q->strides[1];
    s.k_row = k->strides[0];
    s.k_head = k->strides[1];
    s.heads = (int32_t)q->shape[1];
    s.each = k->shape[1] ? s.heads / (int32_t)k->shape[1] : 1;
    s.channels = (int32_t)q->shape[2];
    s.scale = scale != 0.0f ? scale : 1.0f / sqrtf((float)s.channels);
    double *shares = tkp__cuda_scratch<double>(r, SCRATCH_SHARES);
    return tkp__cuda_with(q->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        TKP__TRY(tkp__cuda_launch(
            r, unit_shares<T>,
            dim3(
                (unsigned)tkp__cuda_size(r, OFFSETS, 0) - 1, (unsigned)s.heads),
            THREADS, (size_t)s.channels * sizeof(double),
            tkp__cuda_arg<const T>(r, Q), tkp__cuda_arg<const T>(r, K),
            tkp__cuda_arg<const int32_t>(r, ROWS),
            tkp__cuda_arg<const int32_t>(r, OFFSETS), shares, n, s));
        return tkp__cuda_launch(
            r, mean_shares, dim3(tkp__cuda_blocks(n, THREADS)), THREADS, 0,
            shares, tkp__cuda_arg<float>(r, DST), n, s.heads);
    });
}

const tkp__cuda_op tkp__cuda_mean_query = {
    .kind = TKP_OP_MEAN_QUERY,
    .params_size = sizeof(tkp_op_mean_query),
    .kernel = "mean_query",
    .plan = plan_mean_query,
    .run = run_mean_query,
};

/* --- values of text and of candidates ------------------------------------------------ */

namespace values
{
enum { V, TEXT, TEXT_OFFSETS, ROWS, OFFSETS, SEEDS, DST };
enum { SCRATCH_LSE, SCRATCH_SUMS, SCRATCH_SEEDS, SCRATCH_CHOSEN };
} // namespace values

/* What asks: a row of text, or a seed, which is a candidate. */
struct askers {
    const int32_t *list;    /* rows, or candidates */
    const int32_t *offsets; /* of sequences; seeds: of candidates */
    const int32_t *seeds;   /* how many of each sequence; NULL = text */
};

struct value_views {
    int64_t row, head;
    int32_t heads, channels;
    float scale;
};

/* Row of v of asker t of a sequence. */
static __device__ int64_t
asker_row(const askers &a, const int32_t *rows, int32_t t)
{
    return a.seeds ? rows[a.list[t]] : a.list[t];
}
static __device__ bool
asks(const askers &a, int64_t sequences, int32_t t, int64_t *b)
{
    if (t >= a.offsets[sequences])
        return false;
    *b = tkp__range_of(a.offsets, sequences, t);
    return !a.seeds || t - a.offsets[*b] < a.seeds[*b];
}

/* Log-sum-exp of an asker and head over its candidates; [askers][heads]. */
template <class T>
static __global__ void value_lse(
    const T *v,
    askers a,
    const int32_t *rows,
    const int32_t *offsets,
    int64_t sequences,
    double *lse,
    value_views s)
{
    __shared__ double tops[WARPS], sums[WARPS];
    const int32_t t = blockIdx.x, h = blockIdx.y;
    int64_t b;
    if (!asks(a, sequences, t, &b))
        return;
    const T *own = v + asker_row(a, rows, t) * s.row + h * s.head;
    const int warp = threadIdx.x / TKP__WARP;
    double top = -INFINITY, sum = 0.0;
    for (int32_t j = offsets[b] + warp; j < offsets[b + 1]; j += WARPS) {
        const double logit =
            (double)(s.scale * tkp__warp_dot(own, v + rows[j] * s.row + h * s.head, s.channels));
        const double higher = fmax(top, logit);
        sum = sum * exp(top - higher) + exp(logit - higher);
        top = higher;
    }
    if (threadIdx.x % TKP__WARP == 0) {
        tops[warp] = top;
        sums[warp] = sum;
    }
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    for (int w = 0; w < WARPS; w++)
        top = fmax(top, tops[w]);
    sum = 0.0;
    for (int w = 0; w < WARPS; w++)
        sum += sums[w] > 0.0 ? sums[w] * exp(tops[w] - top) : 0.0;
    lse[(int64_t)t * s.heads + h] = top + log(sum);
}

/* A warp a candidate: what all that ask give it, on top of what it has. */
template <class T>
static __global__ void value_sums(
    const T *v,
    askers a,
    const int32_t *rows,
    const int32_t *offsets,
    int64_t sequences,
    const double *lse,
    double *sums,
    const int32_t *text_offsets,
    float *dst,
    int64_t n,
    value_views s)
{
    const int64_t j = (int64_t)blockIdx.x * WARPS + threadIdx.x / TKP__WARP;
    if (j >= n)
        return;
    const int64_t b = tkp__range_of(offsets, sequences, j);
    const int32_t words = text_offsets[b + 1] - text_offsets[b];
    const int32_t first = a.offsets[b];
    const int32_t count = a.seeds ? a.seeds[b] : a.offsets[b + 1] - first;
    double sum = a.seeds ? sums[j] : 0.0;
    for (int32_t t = first; words && t < first + count; t++) {
        const T *own = v + asker_row(a, rows, t) * s.row;
        for (int32_t h = 0; h < s.heads; h++) {
            const double logit =
                (double)(s.scale * tkp__warp_dot(own + h * s.head, v + rows[j] * s.row + h * s.head, s.channels));
            sum += exp(logit - lse[(int64_t)t * s.heads + h]) / (double)s.heads;
        }
    }
    if (threadIdx.x % TKP__WARP != 0)
        return;
    sums[j] = sum;
    const int32_t all = a.seeds ? words + count : words;
    dst[j] = words ? (float)(sum / (double)all) : 0.0f;
}

/* The candidates that are highest so far; a block a sequence. */
static __global__ void find_seeds(
    const int32_t *offsets,
    const int32_t *seeds,
    const float *dst,
    double *value,
    unsigned char *chosen,
    int32_t *list)
{
    __shared__ tkp__greedy_room room;
    const int32_t first = offsets[blockIdx.x];
    const tkp__group g = {
        nullptr, nullptr, first, offsets[blockIdx.x + 1] - first};
    for (int i = threadIdx.x; i < g.n; i += blockDim.x) {
        value[first + i] = (double)dst[first + i];
        chosen[first + i] = 0;
    }
    __syncthreads();
    for (int t = 0; t < seeds[blockIdx.x]; t++) {
        const int best =
            tkp__greedy_best(g, value + first, chosen + first, &room);
        if (best < 0)
            return;
        if (threadIdx.x == 0) {
            chosen[first + best] = 1;
            list[first + t] = first + best;
        }
        __syncthreads();
    }
}

static tkp_status plan_value_attention(
    tkp__cuda_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    using namespace values;
    const int64_t n = args[DST].shape[0], words = args[TEXT].shape[0];
    const int64_t most = n > words ? n : words;
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(most, args[V].shape[1], &cells), TKP_ERR_SHAPE,
        "v: too many heads");
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_LSE, cells, sizeof(double)));
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_SUMS, 2 * n, sizeof(double)));
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_SEEDS, n, sizeof(int32_t)));
    return tkp__cuda_book(plan, ledger, SCRATCH_CHOSEN, n, 1);
}

static tkp_status run_value_attention(const tkp__cuda_run *r)
{
    using namespace values;
    const tkp_tensor *v = &r->args[V];
    const int64_t n = tkp__cuda_size(r, DST, 0);
    const int64_t sequences = tkp__cuda_size(r, SEEDS, 0);
    const float scale = tkp__cuda_params<tkp_op_value_attention>(r)->scale;
    const int32_t *rows = tkp__cuda_arg<const int32_t>(r, ROWS);
    const int32_t *offsets = tkp__cuda_arg<const int32_t>(r, OFFSETS);
    const int32_t *ends = tkp__cuda_arg<const int32_t>(r, TEXT_OFFSETS);
    const int32_t *seeds = tkp__cuda_arg<const int32_t>(r, SEEDS);
    double *lse = tkp__cuda_scratch<double>(r, SCRATCH_LSE);
    double *sums = tkp__cuda_scratch<double>(r, SCRATCH_SUMS);
    int32_t *list = tkp__cuda_scratch<int32_t>(r, SCRATCH_SEEDS);
    float *dst = tkp__cuda_arg<float>(r, DST);
    value_views s = {};
    s.row = v->strides[0];
    s.head = v->strides[1];
    s.heads = (int32_t)v->shape[1];
    s.channels = (int32_t)v->shape[2];
    s.scale = scale != 0.0f ? scale : 1.0f / sqrtf((float)s.channels);
    const askers text = {tkp__cuda_arg<const int32_t>(r, TEXT), ends, nullptr};
    const askers more = {list, offsets, seeds};
    const unsigned heads = (unsigned)s.heads;
    const unsigned warps = tkp__cuda_blocks(n, WARPS);
    if (n == 0 || sequences == 0)
        return TKP_OK;
    return tkp__cuda_with(v->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        const T *data = tkp__cuda_arg<const T>(r, V);
        TKP__TRY(tkp__cuda_launch(
            r, value_lse<T>, dim3((unsigned)tkp__cuda_size(r, TEXT, 0), heads),
            THREADS, 0, data, text, rows, offsets, sequences, lse, s));
        TKP__TRY(tkp__cuda_launch(
            r, value_sums<T>, dim3(warps), THREADS, 0, data, text, rows,
            offsets, sequences, lse, sums, ends, dst, n, s));
        TKP__TRY(tkp__cuda_launch(
            r, find_seeds, dim3((unsigned)sequences), THREADS, 0, offsets,
            seeds, dst, sums + n,
            tkp__cuda_scratch<unsigned char>(r, SCRATCH_CHOSEN), list));
        TKP__TRY(tkp__cuda_launch(
            r, value_lse<T>, dim3((unsigned)n, heads), THREADS, 0, data, more,
            rows, offsets, sequences, lse, s));
        return tkp__cuda_launch(
            r, value_sums<T>, dim3(warps), THREADS, 0, data, more, rows,
            offsets, sequences, lse, sums, ends, dst, n, s);
    });
}

const tkp__cuda_op tkp__cuda_value_attention = {
    .kind = TKP_OP_VALUE_ATTENTION,
    .params_size = sizeof(tkp_op_value_attention),
    .kernel = "value_attention",
    .plan = plan_value_attention,
    .run = run_value_attention,
};

/* --- words that visual tokens are like --------------------------------------------------- */

namespace raters
{
enum { X, ROWS, OFFSETS, TEXT, TEXT_OFFSETS, DST, RATERS };
enum { SCRATCH_SHARES, SCRATCH_SUMS };
} // namespace raters

/* A block a visual token: its softmax over the words, shares [N][T]. */
template <class T>
static __global__ void word_shares(
    const T *x,
    int64_t stride,
    int64_t width,
    const int32_t *rows,
    const int32_t *offsets,
    int64_t sequences,
    const int32_t *text,
    const int32_t *ends,
    int64_t words_of_all,
    double *shares)
{
    __shared__ double room[TKP__WARP];
    const int64_t i = blockIdx.x;
    const int64_t b = tkp__range_of(offsets, sequences, i);
    double *share = shares + i * words_of_all;
    for (int32_t t = ends[b] + threadIdx.x / TKP__WARP; t < ends[b + 1];
         t += WARPS) {
        double dot = 0.0;
        for (int64_t c = threadIdx.x % TKP__WARP; c < width; c += TKP__WARP)
            dot += (double)tkp__get(x[rows[i] * stride + c]) *
                   (double)tkp__get(x[text[t] * stride + c]);
        dot = tkp__warp_reduce(dot, tkp__sum());
        if (threadIdx.x % TKP__WARP == 0)
            share[t] = dot;
    }
    __syncthreads();
    double top = -INFINITY, sum = 0.0;
    for (int32_t t = ends[b] + threadIdx.x; t < ends[b + 1]; t += blockDim.x)
        top = fmax(top, share[t]);
    top = tkp__block_reduce(top, tkp__greater(), -(double)INFINITY, room);
    for (int32_t t = ends[b] + threadIdx.x; t < ends[b + 1]; t += blockDim.x)
        sum += exp(share[t] - top);
    sum = tkp__block_reduce(sum, tkp__sum(), 0.0, room);
    for (int32_t t = ends[b] + threadIdx.x; t < ends[b + 1]; t += blockDim.x)
        share[t] = exp(share[t] - top) / sum;
}

static __global__ void word_means(
    const int32_t *offsets,
    const int32_t *ends,
    int64_t sequences,
    int64_t words_of_all,
    const double *shares,
    double *mean)
{
    const int64_t t = tkp__thread();
    if (t >= ends[sequences])
        return;
    const int64_t b = tkp__range_of(ends, sequences, t);
    const int32_t n = offsets[b + 1] - offsets[b];
    double sum = 0.0;
    for (int32_t i = offsets[b]; i < offsets[b + 1]; i++)
        sum += shares[i * words_of_all + t];
    mean[t] = n ? sum / (double)n : 0.0;
}

static __global__ void choose_raters(
    const int32_t *ends,
    const double *mean,
    float *dst,
    int32_t *chosen)
{
    __shared__ double room[TKP__WARP];
    const int32_t first = ends[blockIdx.x], end = ends[blockIdx.x + 1];
    double sum = 0.0, found = 0.0;
    for (int32_t t = first + threadIdx.x; t < end; t += blockDim.x)
        sum += mean[t] / (double)(end - first);
    sum = tkp__block_reduce(sum, tkp__sum(), 0.0, room);
    for (int32_t t = first + threadIdx.x; t < end; t += blockDim.x) {
        dst[t] = (float)mean[t];
        /* what differs by rounding alone is alike */
        chosen[t] = mean[t] > sum * (1.0 + 1e-12);
        found += chosen[t];
    }
    found = tkp__block_reduce(found, tkp__sum(), 0.0, room);
    for (int32_t t = first + threadIdx.x; found == 0.0 && t < end;
         t += blockDim.x)
        chosen[t] = 1;
}

static tkp_status
plan_raters(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    using namespace raters;
    const int64_t words = args[TEXT].shape[0];
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(args[ROWS].shape[0], words, &cells), TKP_ERR_SHAPE,
        "text: too many words");
    TKP__TRY(
        tkp__cuda_book(plan, ledger, SCRATCH_SHARES, cells, sizeof(double)));
    return tkp__cuda_book(plan, ledger, SCRATCH_SUMS, words, sizeof(double));
}

static tkp_status run_raters(const tkp__cuda_run *r)
{
    using namespace raters;
    const tkp_tensor *x = &r->args[X];
    const int64_t n = tkp__cuda_size(r, ROWS, 0);
    const int64_t words = tkp__cuda_size(r, TEXT, 0);
    const int64_t sequences = tkp__cuda_size(r, OFFSETS, 0) - 1;
    const int32_t *offsets = tkp__cuda_arg<const int32_t>(r, OFFSETS);
    const int32_t *ends = tkp__cuda_arg<const int32_t>(r, TEXT_OFFSETS);
    double *shares = tkp__cuda_scratch<double>(r, SCRATCH_SHARES);
    double *mean = tkp__cuda_scratch<double>(r, SCRATCH_SUMS);
    if (sequences == 0 || words == 0)
        return TKP_OK;
    TKP__TRY(tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, word_shares<T>, dim3((unsigned)n), THREADS, 0,
            tkp__cuda_arg<const T>(r, X), x->strides[0], x->shape[1],
            tkp__cuda_arg<const int32_t>(r, ROWS), offsets, sequences,
            tkp__cuda_arg<const int32_t>(r, TEXT), ends, words, shares);
    }));
    TKP__TRY(tkp__cuda_launch(
        r, word_means, dim3(tkp__cuda_blocks(words, THREADS)), THREADS, 0,
        offsets, ends, sequences, words, shares, mean));
    return tkp__cuda_launch(
        r, choose_raters, dim3((unsigned)sequences), THREADS, 0, ends, mean,
        tkp__cuda_arg<float>(r, DST), tkp__cuda_arg<int32_t>(r, RATERS));
}

const tkp__cuda_op tkp__cuda_text_raters = {
    .kind = TKP_OP_TEXT_RATERS,
    .kernel = "text_raters",
    .plan = plan_raters,
    .run = run_raters,
};
