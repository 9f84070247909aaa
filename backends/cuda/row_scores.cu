/*
 * ROW_NORM, COSINE, TEMPORAL: a warp a row.
 *
 * Rows that hold what is not finite give what arithmetic gives.
 */

#include "cuda/dots.cuh"

enum { THREADS = 256, WARPS = THREADS / TKP__WARP };

static __device__ __forceinline__ int64_t warp_index(void)
{
    return (int64_t)blockIdx.x * WARPS + threadIdx.x / TKP__WARP;
}
static __device__ __forceinline__ bool first_lane(void)
{
    return threadIdx.x % TKP__WARP == 0;
}

/* --- norm ------------------------------------------------------------------- */

template <class T>
static __global__ void row_norm(
    const T *x,
    int64_t stride,
    const int32_t *rows,
    float *dst,
    int64_t n,
    int64_t limit,
    int64_t width,
    int32_t norm)
{
    const int64_t i = warp_index();
    if (i >= n)
        return;
    const int64_t row = rows ? rows[i] : i;
    if (row < 0 || row >= limit)
        return;
    const T *in = x + row * stride;
    float sum = 0.0f;
    for (int64_t c = threadIdx.x % TKP__WARP; c < width; c += TKP__WARP) {
        const float v = tkp__get(in[c]);
        sum += norm == TKP_NORM_L2 ? v * v : fabsf(v);
    }
    sum = tkp__warp_reduce(sum, tkp__sum());
    if (first_lane())
        dst[i] = norm == TKP_NORM_L2 ? sqrtf(sum) : sum;
}

static tkp_status run_row_norm(const tkp__cuda_run *r)
{
    const tkp_tensor *x = &r->args[0];
    const int64_t n = tkp__cuda_size(r, 2, 0);
    return tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, row_norm<T>, dim3(tkp__cuda_blocks(n, WARPS)), THREADS, 0,
            tkp__cuda_arg<const T>(r, 0), x->strides[0],
            tkp__cuda_arg<const int32_t>(r, 1), tkp__cuda_arg<float>(r, 2), n,
            x->shape[0], x->shape[1],
            tkp__cuda_params<tkp_op_row_norm>(r)->norm);
    });
}

const tkp__cuda_op tkp__cuda_row_norm = {
    .kind = TKP_OP_ROW_NORM,
    .params_size = sizeof(tkp_op_row_norm),
    .kernel = "row_norm",
    .run = run_row_norm,
};

/* --- cosine to a reference ------------------------------------------------------ */

template <class T, class U>
static __global__ void cosine(
    const T *x,
    int64_t stride,
    const int32_t *rows,
    const int32_t *offsets,
    int64_t sequences,
    const U *reference,
    int64_t reference_stride,
    float *dst,
    int64_t n,
    int64_t limit,
    int64_t width)
{
    const int64_t i = warp_index();
    if (i >= n || rows[i] < 0 || rows[i] >= limit)
        return;
    const int64_t b = tkp__range_of(offsets, sequences, i);
    const float s = tkp__cosine_of(tkp__warp_products(
        x + rows[i] * stride, reference + b * reference_stride, width));
    if (first_lane())
        dst[i] = s;
}

static tkp_status run_cosine(const tkp__cuda_run *r)
{
    const tkp_tensor *x = &r->args[0], *reference = &r->args[3];
    const int64_t n = tkp__cuda_size(r, 4, 0);
    return tkp__cuda_with(x->dtype, [&](auto *a) {
        return tkp__cuda_with(reference->dtype, [&](auto *b) {
            using T = TKP__TYPE(a);
            using U = TKP__TYPE(b);
            return tkp__cuda_launch(
                r, cosine<T, U>, dim3(tkp__cuda_blocks(n, WARPS)), THREADS, 0,
                tkp__cuda_arg<const T>(r, 0), x->strides[0],
                tkp__cuda_arg<const int32_t>(r, 1),
                tkp__cuda_arg<const int32_t>(r, 2), tkp__cuda_size(r, 2, 0) - 1,
                tkp__cuda_arg<const U>(r, 3), reference->strides[0],
                tkp__cuda_arg<float>(r, 4), n, x->shape[0], x->shape[1]);
        });
    });
}

const tkp__cuda_op tkp__cuda_cosine = {
    .kind = TKP_OP_COSINE,
    .kernel = "cosine",
    .run = run_cosine,
};

/* --- the frame before --------------------------------------------------------------- */

/* Frames repeat, so that scores tie but for what rounding leaves: in double, as
 * the definition has it. */
template <class T>
static __device__ float cosine_in_double(const T *a, const T *b, int64_t width)
{
    double ab = 0.0, aa = 0.0, bb = 0.0;
    for (int64_t c = threadIdx.x % TKP__WARP; c < width; c += TKP__WARP) {
        const double u = (double)tkp__get(a[c]), v = (double)tkp__get(b[c]);
        ab += u * v;
        aa += u * u;
        bb += v * v;
    }
    ab = tkp__warp_reduce(ab, tkp__sum());
    aa = tkp__warp_reduce(aa, tkp__sum());
    bb = tkp__warp_reduce(bb, tkp__sum());
    return aa == 0.0 || bb == 0.0 ? 0.0f : (float)(ab / (sqrt(aa) * sqrt(bb)));
}

template <class T>
static __global__ void temporal(
    const T *x,
    int64_t stride,
    const int32_t *rows,
    const int32_t *before,
    float *dst,
    int64_t n,
    int64_t limit,
    int64_t width,
    tkp_op_temporal p)
{
    const int64_t i = warp_index();
    if (i >= n)
        return;
    const int32_t other = before[i];
    float value = p.threshold > 0.0f ? 1.0f : p.first;
    if (other >= 0 && other < n && rows[i] >= 0 && rows[i] < limit &&
        rows[other] >= 0 && rows[other] < limit) {
        const float s = cosine_in_double(
            x + rows[i] * stride, x + rows[other] * stride, width);
        value =
            p.threshold > 0.0f ? (s >= p.threshold ? 0.0f : 1.0f) : 1.0f - s;
    }
    if (first_lane())
        dst[i] = value;
}

static tkp_status run_temporal(const tkp__cuda_run *r)
{
    const tkp_tensor *x = &r->args[0];
    const int64_t n = tkp__cuda_size(r, 3, 0);
    return tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, temporal<T>, dim3(tkp__cuda_blocks(n, WARPS)), THREADS, 0,
            tkp__cuda_arg<const T>(r, 0), x->strides[0],
            tkp__cuda_arg<const int32_t>(r, 1),
            tkp__cuda_arg<const int32_t>(r, 2), tkp__cuda_arg<float>(r, 3), n,
            x->shape[0], x->shape[1], *tkp__cuda_params<tkp_op_temporal>(r));
    });
}

const tkp__cuda_op tkp__cuda_temporal = {
    .kind = TKP_OP_TEMPORAL,
    .params_size = sizeof(tkp_op_temporal),
    .kernel = "temporal",
    .run = run_temporal,
};
