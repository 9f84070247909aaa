/*
 * ADD, CAST, ACTIVATION: element by element, rounded where a 16-bit forward
 * rounds.
 */

#include "cuda/device.cuh"

enum { THREADS = 256, A_THREAD = 4 };

static dim3 grid_for(int64_t n)
{
    return dim3(tkp__cuda_blocks(n, THREADS * A_THREAD));
}

/* --- add --------------------------------------------------------------------- */

template <class T, class U>
static __global__ void
add(const T *a,
    int64_t a_stride,
    const U *b,
    int64_t b_stride,
    int64_t b_rows,
    T *dst,
    int64_t dst_stride,
    int64_t rows,
    int64_t width)
{
    for (int64_t i = tkp__thread(); i < rows * width; i += tkp__threads()) {
        const int64_t m = i / width, c = i - m * width;
        tkp__put(
            dst + m * dst_stride + c,
            tkp__get(a[m * a_stride + c]) +
                tkp__get(b[m % b_rows * b_stride + c]));
    }
}

static tkp_status run_add(const tkp__cuda_run *r)
{
    const tkp_tensor *a = &r->args[0], *b = &r->args[1], *dst = &r->args[2];
    TKP__CHECK(
        b->shape[0] > 0 || a->shape[0] == 0, TKP_ERR_SHAPE,
        "b: has no rows, a has %lld", (long long)a->shape[0]);
    return tkp__cuda_with(a->dtype, [&](auto *x) {
        return tkp__cuda_with(b->dtype, [&](auto *y) {
            using A = TKP__TYPE(x);
            using B = TKP__TYPE(y);
            return tkp__cuda_launch(
                r, add<A, B>, grid_for(a->shape[0] * a->shape[1]), THREADS, 0,
                tkp__cuda_arg<const A>(r, 0), a->strides[0],
                tkp__cuda_arg<const B>(r, 1), b->strides[0], b->shape[0],
                tkp__cuda_arg<A>(r, 2), dst->strides[0], a->shape[0],
                a->shape[1]);
        });
    });
}

const tkp__cuda_op tkp__cuda_add = {
    .kind = TKP_OP_ADD,
    .kernel = "add",
    .run = run_add,
};

/* --- cast ---------------------------------------------------------------------- */

struct cast_shape {
    int64_t shape[TKP_MAX_DIMS], strides[TKP_MAX_DIMS];
    int32_t ndim;
};

template <class T, class U>
static __global__ void cast(const T *x, U *dst, int64_t n, cast_shape s)
{
    for (int64_t i = tkp__thread(); i < n; i += tkp__threads()) {
        int64_t rest = i, at = 0;
        for (int32_t d = s.ndim - 1; d >= 0; d--) {
            at += rest % s.shape[d] * s.strides[d];
            rest /= s.shape[d];
        }
        tkp__put(dst + i, tkp__get(x[at]));
    }
}

static tkp_status run_cast(const tkp__cuda_run *r)
{
    const tkp_tensor *x = &r->args[0], *dst = &r->args[1];
    const int64_t n = tkp_tensor_count(x);
    cast_shape s;
    memcpy(s.shape, x->shape, sizeof(s.shape));
    memcpy(s.strides, x->strides, sizeof(s.strides));
    s.ndim = x->ndim;
    return tkp__cuda_with(x->dtype, [&](auto *a) {
        return tkp__cuda_with(dst->dtype, [&](auto *b) {
            using A = TKP__TYPE(a);
            using B = TKP__TYPE(b);
            return tkp__cuda_launch(
                r, cast<A, B>, grid_for(n), THREADS, 0,
                tkp__cuda_arg<const A>(r, 0), tkp__cuda_arg<B>(r, 1), n, s);
        });
    });
}

const tkp__cuda_op tkp__cuda_cast = {
    .kind = TKP_OP_CAST,
    .kernel = "cast",
    .run = run_cast,
};

/* --- activation -------------------------------------------------------------------- */

template <class T> static __device__ float activate(float x, int32_t function)
{
    switch (function) {
    case TKP_ACTIVATION_GELU:
        return tkp__rounded<T>(
            0.5f * x * (1.0f + erff(x * 0.70710678118654752440f)));
    case TKP_ACTIVATION_QUICK_GELU: {
        const float t = tkp__rounded<T>(__fmul_rn(1.702f, x));
        const float s = tkp__rounded<T>(1.0f / (1.0f + expf(-t)));
        return tkp__rounded<T>(__fmul_rn(x, s));
    }
    default:
        return tkp__rounded<T>(x / (1.0f + expf(-x)));
    }
}

template <class T>
static __global__ void activation(
    const T *a,
    int64_t a_stride,
    const T *b,
    int64_t b_stride,
    T *dst,
    int64_t dst_stride,
    int64_t rows,
    int64_t width,
    int32_t function)
{
    for (int64_t i = tkp__thread(); i < rows * width; i += tkp__threads()) {
        const int64_t m = i / width, c = i - m * width;
        float y = activate<T>(tkp__get(a[m * a_stride + c]), function);
        if (b)
            y = __fmul_rn(y, tkp__get(b[m * b_stride + c]));
        tkp__put(dst + m * dst_stride + c, y);
    }
}

static tkp_status run_activation(const tkp__cuda_run *r)
{
    const tkp_tensor *a = &r->args[0], *b = &r->args[1], *dst = &r->args[2];
    return tkp__cuda_with(a->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, activation<T>, grid_for(a->shape[0] * a->shape[1]), THREADS, 0,
            tkp__cuda_arg<const T>(r, 0), a->strides[0],
            tkp__cuda_arg<const T>(r, 1), b->strides[0], tkp__cuda_arg<T>(r, 2),
            dst->strides[0], a->shape[0], a->shape[1],
            tkp__cuda_params<tkp_op_activation>(r)->function);
    });
}

const tkp__cuda_op tkp__cuda_activation = {
    .kind = TKP_OP_ACTIVATION,
    .params_size = sizeof(tkp_op_activation),
    .kernel = "activation",
    .run = run_activation,
};
