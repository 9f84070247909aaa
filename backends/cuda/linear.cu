/*
 * LINEAR: dst = round(round(x w^T + bias) + residual).
 *
 * cuBLASLt where x, w and dst have one dtype and rows are many; a warp an
 * element where they are few, which reads the weights once at the speed of the
 * memory, and where dtypes are mixed. cuBLASLt adds the residual before it rounds
 * the product, and the bias comes after that: the same roundings, one place
 * earlier and one later.
 */

#include "cuda/device.cuh"

#include "cuda/blas.h"

enum { X, W, BIAS, RESIDUAL, DST };
enum { SCRATCH_BLAS };
enum { THREADS = 256, FEW = 4, WARPS = THREADS / TKP__WARP };

struct linear_shape {
    int64_t m, n, k, ldx, ldw, ldr, ldd;
};

/* FEW rows of x at a time share what is read of w. */
template <class T, class U, class V, class B>
static __global__ void linear_few(
    const T *x,
    const U *w,
    const B *bias,
    const V *residual,
    V *dst,
    linear_shape s)
{
    const int lane = threadIdx.x % TKP__WARP;
    const int64_t n = (int64_t)blockIdx.x * WARPS + threadIdx.x / TKP__WARP;
    if (n >= s.n)
        return;
    const int64_t first = (int64_t)blockIdx.y * FEW;
    const U *row = w + n * s.ldw;
    float sum[FEW] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int64_t c = lane; c < s.k; c += TKP__WARP) {
        const float weight = tkp__get(row[c]);
        for (int i = 0; i < FEW; i++)
            if (first + i < s.m)
                sum[i] += tkp__get(x[(first + i) * s.ldx + c]) * weight;
    }
    for (int i = 0; i < FEW; i++) {
        const float all = tkp__warp_reduce(sum[i], tkp__sum());
        const int64_t m = first + i;
        if (lane != 0 || m >= s.m)
            continue;
        float y = tkp__rounded<V>(all + (bias ? tkp__get(bias[n]) : 0.0f));
        if (residual)
            y += tkp__get(residual[m * s.ldr + n]);
        tkp__put(dst + m * s.ldd + n, y);
    }
}

template <class V, class B>
static __global__ void add_bias(V *dst, const B *bias, linear_shape s)
{
    for (int64_t i = tkp__thread(); i < s.m * s.n; i += tkp__threads()) {
        const int64_t m = i / s.n, n = i - m * s.n;
        V *out = dst + m * s.ldd + n;
        tkp__put(out, tkp__get(*out) + tkp__get(bias[n]));
    }
}

static bool alike(const tkp_tensor *args)
{
    return args[X].dtype == args[W].dtype && args[X].dtype == args[DST].dtype;
}

static tkp_status
plan_linear(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const bool blas = alike(args) && args[X].shape[0] > FEW;
    return tkp__cuda_book(
        plan, ledger, SCRATCH_BLAS, blas ? TKP__CUDA_BLAS_WORKSPACE : 0, 1);
}

/* bias, of whatever dtype, or none. */
template <class F> static tkp_status with_bias(const tkp__cuda_run *r, F f)
{
    const int32_t dtype =
        tkp__present(&r->args[BIAS]) ? r->args[BIAS].dtype : TKP_DTYPE_F32;
    return tkp__cuda_with(dtype, f);
}

static tkp_status run_few(const tkp__cuda_run *r, const linear_shape &s)
{
    return tkp__cuda_with(r->args[X].dtype, [&](auto *a) {
        return tkp__cuda_with(r->args[W].dtype, [&](auto *b) {
            return tkp__cuda_with(r->args[DST].dtype, [&](auto *c) {
                return with_bias(r, [&](auto *d) {
                    using T = TKP__TYPE(a);
                    using U = TKP__TYPE(b);
                    using V = TKP__TYPE(c);
                    using B = TKP__TYPE(d);
                    return tkp__cuda_launch(
                        r, linear_few<T, U, V, B>,
                        dim3(
                            tkp__cuda_blocks(s.n, WARPS),
                            tkp__cuda_blocks(s.m, FEW)),
                        THREADS, 0, tkp__cuda_arg<const T>(r, X),
                        tkp__cuda_arg<const U>(r, W),
                        tkp__cuda_arg<const B>(r, BIAS),
                        tkp__cuda_arg<const V>(r, RESIDUAL),
                        tkp__cuda_arg<V>(r, DST), s);
                });
            });
        });
    });
}

static tkp_status run_blas(const tkp__cuda_run *r, const linear_shape &s)
{
    const bool bias = tkp__present(&r->args[BIAS]);
    tkp__cuda_product p = {};
    p.m = s.m;
    p.n = s.n;
    p.k = s.k;
    p.ldx = s.ldx;
    p.ldw = s.ldw;
    p.ldc = s.ldr;
    p.ldd = s.ldd;
    p.x = tkp__data(&r->args[X]);
    p.w = tkp__data(&r->args[W]);
    p.c = tkp__cuda_arg<const void>(r, RESIDUAL);
    p.d = tkp__data(&r->args[DST]);
    p.dtype = r->args[DST].dtype;
    p.workspace = tkp__cuda_scratch<char>(r, SCRATCH_BLAS);
    p.workspace_bytes = TKP__CUDA_BLAS_WORKSPACE;
    TKP__TRY(tkp__cuda_blas_product(r, &p));
    if (!bias)
        return TKP_OK;
    return tkp__cuda_with(r->args[DST].dtype, [&](auto *c) {
        return with_bias(r, [&](auto *d) {
            using V = TKP__TYPE(c);
            using B = TKP__TYPE(d);
            return tkp__cuda_launch(
                r, add_bias<V, B>,
                dim3(tkp__cuda_blocks(s.m * s.n, 4 * THREADS)), THREADS, 0,
                tkp__cuda_arg<V>(r, DST), tkp__cuda_arg<const B>(r, BIAS), s);
        });
    });
}

static tkp_status run_linear(const tkp__cuda_run *r)
{
    const tkp_tensor *x = &r->args[X], *w = &r->args[W], *dst = &r->args[DST];
    const linear_shape s = {
        dst->shape[0],
        dst->shape[1],
        x->shape[1],
        x->strides[0],
        w->strides[0],
        tkp__present(&r->args[RESIDUAL]) ? r->args[RESIDUAL].strides[0] : 0,
        dst->strides[0]};
    if (s.m == 0 || s.n == 0)
        return TKP_OK;
    /* Rows that overlap (a stride of 0) are not for cuBLASLt. */
    const bool plain = s.k > 0 && s.ldx >= s.k && s.ldw >= s.k;
    return alike(r->args) && s.m > FEW && plain ? run_blas(r, s)
                                                : run_few(r, s);
}

const tkp__cuda_op tkp__cuda_linear = {
    .kind = TKP_OP_LINEAR,
    .params_size = sizeof(tkp_op_linear),
    .kernel = "linear_cublaslt",
    .plan = plan_linear,
    .run = run_linear,
};
