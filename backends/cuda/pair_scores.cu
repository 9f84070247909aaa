/*
 * COSINE_PAIRS and SIMILARITY: rows against rows. Lengths are taken once; then a
 * block has one row in shared memory and its warps go over the others.
 */

#include "cuda/dots.cuh"

enum { THREADS = 256, WARPS = THREADS / TKP__WARP };

template <class T>
static __global__ void row_lengths(
    const T *x,
    int64_t stride,
    const int32_t *rows,
    float *lengths,
    int64_t n,
    int64_t width)
{
    const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / TKP__WARP;
    if (i >= n)
        return;
    const T *in = x + (rows ? rows[i] : i) * stride;
    const float square = tkp__warp_dot(in, in, width);
    if (threadIdx.x % TKP__WARP == 0)
        lengths[i] = sqrtf(square);
}

/* --- pairs ---------------------------------------------------------------------- */

namespace pairs
{
enum { X, ROWS, OFFSETS, DST };
enum { SCRATCH_LENGTHS };
} // namespace pairs

template <class T>
static __global__ void cosine_pairs(
    const T *x,
    int64_t stride,
    const int32_t *rows,
    const int32_t *offsets,
    int64_t sequences,
    const float *lengths,
    float *dst,
    int64_t width,
    int32_t reduce)
{
    TKP__SHARED(float, own);
    __shared__ float room[TKP__WARP];
    const int64_t i = blockIdx.x;
    const int64_t b = tkp__range_of(offsets, sequences, i);
    for (int64_t c = threadIdx.x; c < width; c += blockDim.x)
        own[c] = tkp__get(x[rows[i] * stride + c]);
    __syncthreads();
    const bool mean = reduce == TKP_ROW_REDUCE_MEAN;
    const int32_t n = offsets[b + 1] - offsets[b];
    float value = mean ? 0.0f : -INFINITY;
    for (int32_t j = offsets[b] + threadIdx.x / TKP__WARP; j < offsets[b + 1];
         j += WARPS) {
        if (j == i)
            continue;
        const float product = tkp__warp_dot(own, x + rows[j] * stride, width);
        float s = 0.0f;
        if (lengths[i] != 0.0f && lengths[j] != 0.0f)
            s = product / (lengths[i] * lengths[j]);
        value = mean ? value + s : tkp__largest()(value, s);
    }
    /* All lanes of a warp hold the same. */
    if (threadIdx.x % TKP__WARP == 0)
        room[threadIdx.x / TKP__WARP] = value;
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    float all = room[0];
    for (int w = 1; w < WARPS; w++)
        all = mean ? all + room[w] : tkp__largest()(all, room[w]);
    dst[i] = n < 2 ? 0.0f : mean ? all / (float)(n - 1) : all;
}

/* A row in shared memory: what every device has without being asked. */
static tkp_status supports_width(const tkp_op_desc *desc)
{
    TKP__CHECK(
        desc->args[0].shape[1] <= 11 * 1024, TKP_ERR_UNSUPPORTED,
        "cuda: %s: x has %lld channels, the kernel takes 11264",
        tkp_op_kind_string(desc->kind), (long long)desc->args[0].shape[1]);
    return TKP_OK;
}

static tkp_status
plan_pairs(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    return tkp__cuda_book(
        plan, ledger, pairs::SCRATCH_LENGTHS, args[pairs::DST].shape[0],
        sizeof(float));
}

static tkp_status run_pairs(const tkp__cuda_run *r)
{
    using namespace pairs;
    const tkp_tensor *x = &r->args[X];
    const int64_t n = tkp__cuda_size(r, DST, 0), width = x->shape[1];
    float *lengths = tkp__cuda_scratch<float>(r, SCRATCH_LENGTHS);
    return tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        const T *data = tkp__cuda_arg<const T>(r, X);
        const int32_t *rows = tkp__cuda_arg<const int32_t>(r, ROWS);
        TKP__TRY(tkp__cuda_launch(
            r, row_lengths<T>, dim3(tkp__cuda_blocks(n, WARPS)), THREADS, 0,
            data, x->strides[0], rows, lengths, n, width));
        return tkp__cuda_launch(
            r, cosine_pairs<T>, dim3((unsigned)n), THREADS,
            (size_t)width * sizeof(float), data, x->strides[0], rows,
            tkp__cuda_arg<const int32_t>(r, OFFSETS),
            tkp__cuda_size(r, OFFSETS, 0) - 1, lengths,
            tkp__cuda_arg<float>(r, DST), width,
            tkp__cuda_params<tkp_op_cosine_pairs>(r)->reduce);
    });
}

const tkp__cuda_op tkp__cuda_cosine_pairs = {
    .kind = TKP_OP_COSINE_PAIRS,
    .params_size = sizeof(tkp_op_cosine_pairs),
    .kernel = "cosine_pairs",
    .supports = supports_width,
    .plan = plan_pairs,
    .run = run_pairs,
};

/* --- text and candidates -------------------------------------------------------------- */

namespace text
{
enum { X, ROWS, OFFSETS, MEMBERS, Y, RANGE, DST };
enum { SCRATCH_LENGTHS };
} // namespace text

static __global__ void zeros(float *dst, int64_t n)
{
    for (int64_t i = tkp__thread(); i < n; i += tkp__threads())
        dst[i] = 0.0f;
}

/* A block a row of text; groups one after the other, since they may share it. */
template <class T, class U>
static __global__ void similarity(
    const T *x,
    int64_t stride,
    const int32_t *rows,
    const int32_t *offsets,
    const int32_t *members,
    const U *y,
    int64_t y_stride,
    const int32_t *range,
    int64_t groups,
    const float *lengths,
    float *dst,
    int64_t n,
    int64_t width,
    tkp_op_similarity p)
{
    TKP__SHARED(float, own);
    __shared__ float room[TKP__WARP];
    const int64_t t = blockIdx.x;
    for (int64_t c = threadIdx.x; c < width; c += blockDim.x)
        own[c] = tkp__get(y[t * y_stride + c]);
    float part = 0.0f;
    __syncthreads();
    for (int64_t c = threadIdx.x; c < width; c += blockDim.x)
        part += own[c] * own[c];
    const float length = sqrtf(tkp__block_reduce(part, tkp__sum(), 0.0f, room));
    float *out = dst + t * n;
    for (int64_t g = 0; g < groups; g++) {
        if (t < range[2 * g] || t >= range[2 * g + 1])
            continue;
        for (int32_t i = offsets[g] + threadIdx.x / TKP__WARP;
             i < offsets[g + 1]; i += WARPS) {
            const int32_t j = tkp__member(members, i);
            const float product =
                tkp__warp_dot(own, x + rows[j] * stride, width);
            if (threadIdx.x % TKP__WARP == 0)
                out[j] = length == 0.0f || lengths[j] == 0.0f
                             ? 0.0f
                             : product / (length * lengths[j]);
        }
        if (p.kernel != TKP_SIMILARITY_SOFTMAX)
            continue;
        __syncthreads();
        float top = -INFINITY, sum = 0.0f;
        for (int32_t i = offsets[g] + threadIdx.x; i < offsets[g + 1];
             i += blockDim.x)
            top = fmaxf(top, out[tkp__member(members, i)]);
        top = tkp__block_reduce(top, tkp__largest(), -INFINITY, room);
        for (int32_t i = offsets[g] + threadIdx.x; i < offsets[g + 1];
             i += blockDim.x)
            sum += expf((out[tkp__member(members, i)] - top) / p.temperature);
        sum = tkp__block_reduce(sum, tkp__sum(), 0.0f, room);
        const float all = sum * (float)(range[2 * g + 1] - range[2 * g]);
        for (int32_t i = offsets[g] + threadIdx.x; i < offsets[g + 1];
             i += blockDim.x) {
            float *v = &out[tkp__member(members, i)];
            *v = expf((*v - top) / p.temperature) / all;
        }
        __syncthreads();
    }
}

static tkp_status plan_similarity(
    tkp__cuda_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    return tkp__cuda_book(
        plan, ledger, text::SCRATCH_LENGTHS, args[text::ROWS].shape[0],
        sizeof(float));
}

static tkp_status run_similarity(const tkp__cuda_run *r)
{
    using namespace text;
    const tkp_tensor *x = &r->args[X], *y = &r->args[Y];
    const int64_t n = tkp__cuda_size(r, ROWS, 0), width = x->shape[1];
    const int64_t rows_of_text = y->shape[0];
    float *lengths = tkp__cuda_scratch<float>(r, SCRATCH_LENGTHS);
    float *dst = tkp__cuda_arg<float>(r, DST);
    TKP__TRY(tkp__cuda_launch(
        r, zeros, dim3(tkp__cuda_blocks(rows_of_text * n, 4 * THREADS)),
        THREADS, 0, dst, rows_of_text * n));
    if (n == 0)
        return TKP_OK;
    return tkp__cuda_with(x->dtype, [&](auto *a) {
        return tkp__cuda_with(y->dtype, [&](auto *b) {
            using T = TKP__TYPE(a);
            using U = TKP__TYPE(b);
            const T *data = tkp__cuda_arg<const T>(r, X);
            const int32_t *rows = tkp__cuda_arg<const int32_t>(r, ROWS);
            TKP__TRY(tkp__cuda_launch(
                r, row_lengths<T>, dim3(tkp__cuda_blocks(n, WARPS)), THREADS, 0,
                data, x->strides[0], rows, lengths, n, width));
            return tkp__cuda_launch(
                r, similarity<T, U>, dim3((unsigned)rows_of_text), THREADS,
                (size_t)width * sizeof(float), data, x->strides[0], rows,
                tkp__cuda_arg<const int32_t>(r, OFFSETS),
                tkp__cuda_arg<const int32_t>(r, MEMBERS),
                tkp__cuda_arg<const U>(r, Y), y->strides[0],
                tkp__cuda_arg<const int32_t>(r, RANGE),
                tkp__cuda_size(r, RANGE, 0), lengths, dst, n, width,
                *tkp__cuda_params<tkp_op_similarity>(r));
        });
    });
}

const tkp__cuda_op tkp__cuda_similarity = {
    .kind = TKP_OP_SIMILARITY,
    .params_size = sizeof(tkp_op_similarity),
    .kernel = "similarity",
    .supports = supports_width,
    .plan = plan_similarity,
    .run = run_similarity,
};
