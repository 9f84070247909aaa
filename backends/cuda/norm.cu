/*
 * RMS_NORM and LAYER_NORM: a block a row.
 */

#include "cuda/device.cuh"

enum { THREADS = 256 };

template <class T, class U>
static __global__ void rms_norm(
    const T *x,
    int64_t stride,
    const U *w,
    T *dst,
    int64_t dst_stride,
    int64_t width,
    float eps)
{
    __shared__ float room[TKP__WARP];
    const T *in = x + blockIdx.x * stride;
    float sum = 0.0f;
    for (int64_t c = threadIdx.x; c < width; c += blockDim.x)
        sum += tkp__get(in[c]) * tkp__get(in[c]);
    sum = tkp__block_reduce(sum, tkp__sum(), 0.0f, room);
    const float r = 1.0f / sqrtf(sum / (float)width + eps);
    for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
        const float scaled = tkp__rounded<T>(__fmul_rn(tkp__get(in[c]), r));
        tkp__put(
            dst + blockIdx.x * dst_stride + c,
            __fmul_rn(scaled, tkp__get(w[c])));
    }
}

template <class T, class U, class V>
static __global__ void layer_norm(
    const T *x,
    int64_t stride,
    const U *w,
    const V *b,
    T *dst,
    int64_t dst_stride,
    int64_t width,
    float eps)
{
    __shared__ float room[TKP__WARP];
    const T *in = x + blockIdx.x * stride;
    float sum = 0.0f, squares = 0.0f;
    for (int64_t c = threadIdx.x; c < width; c += blockDim.x)
        sum += tkp__get(in[c]);
    const float mean =
        tkp__block_reduce(sum, tkp__sum(), 0.0f, room) / (float)width;
    for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
        const float off = tkp__get(in[c]) - mean;
        squares += off * off;
    }
    squares = tkp__block_reduce(squares, tkp__sum(), 0.0f, room);
    const float r = 1.0f / sqrtf(squares / (float)width + eps);
    for (int64_t c = threadIdx.x; c < width; c += blockDim.x)
        tkp__put(
            dst + blockIdx.x * dst_stride + c,
            (tkp__get(in[c]) - mean) * r * tkp__get(w[c]) + tkp__get(b[c]));
}

static tkp_status run_rms_norm(const tkp__cuda_run *r)
{
    const tkp_tensor *x = &r->args[0], *dst = &r->args[2];
    return tkp__cuda_with(x->dtype, [&](auto *a) {
        return tkp__cuda_with(r->args[1].dtype, [&](auto *b) {
            using T = TKP__TYPE(a);
            using U = TKP__TYPE(b);
            return tkp__cuda_launch(
                r, rms_norm<T, U>, dim3((unsigned)x->shape[0]), THREADS, 0,
                tkp__cuda_arg<const T>(r, 0), x->strides[0],
                tkp__cuda_arg<const U>(r, 1), tkp__cuda_arg<T>(r, 2),
                dst->strides[0], x->shape[1],
                tkp__cuda_params<tkp_op_norm>(r)->eps);
        });
    });
}

static tkp_status run_layer_norm(const tkp__cuda_run *r)
{
    const tkp_tensor *x = &r->args[0], *dst = &r->args[3];
    return tkp__cuda_with(x->dtype, [&](auto *a) {
        return tkp__cuda_with(r->args[1].dtype, [&](auto *b) {
            return tkp__cuda_with(r->args[2].dtype, [&](auto *c) {
                using T = TKP__TYPE(a);
                using U = TKP__TYPE(b);
                using V = TKP__TYPE(c);
                return tkp__cuda_launch(
                    r, layer_norm<T, U, V>, dim3((unsigned)x->shape[0]),
                    THREADS, 0, tkp__cuda_arg<const T>(r, 0), x->strides[0],
                    tkp__cuda_arg<const U>(r, 1), tkp__cuda_arg<const V>(r, 2),
                    tkp__cuda_arg<T>(r, 3), dst->strides[0], x->shape[1],
                    tkp__cuda_params<tkp_op_norm>(r)->eps);
            });
        });
    });
}

const tkp__cuda_op tkp__cuda_rms_norm = {
    .kind = TKP_OP_RMS_NORM,
    .params_size = sizeof(tkp_op_norm),
    .kernel = "rms_norm",
    .run = run_rms_norm,
};
const tkp__cuda_op tkp__cuda_layer_norm = {
    .kind = TKP_OP_LAYER_NORM,
    .params_size = sizeof(tkp_op_norm),
    .kernel = "layer_norm",
    .run = run_layer_norm,
};
