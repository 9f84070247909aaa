/*
 * BLEND: weighted sum, largest or product of normalised terms. A block a
 * sequence; what its entries have in common is reduced first, in double, since
 * min-max of nearly equal terms is steep.
 */

#include "cuda/device.cuh"

enum { TERMS, OFFSETS, DST };
enum { THREADS = 512 };

struct stats {
    double min, max, sum, squares, exp_sum;
    int count;
};

struct lesser {
    __device__ double operator()(double a, double b) const
    {
        return fmin(a, b);
    }
};
struct greater_of {
    __device__ double operator()(double a, double b) const
    {
        return fmax(a, b);
    }
};

/* Entries that are NaN take no part. */
static __device__ stats measure(const float *z, int32_t n, double *room)
{
    stats s = {INFINITY, -INFINITY, 0.0, 0.0, 0.0, 0};
    double count = 0.0;
    for (int32_t i = threadIdx.x; i < n; i += blockDim.x) {
        if (isnan(z[i]))
            continue;
        const double v = (double)z[i];
        s.min = fmin(s.min, v);
        s.max = fmax(s.max, v);
        s.sum += v;
        s.squares += v * v;
        count += 1.0;
    }
    s.min = tkp__block_reduce(s.min, lesser(), (double)INFINITY, room);
    s.max = tkp__block_reduce(s.max, greater_of(), -(double)INFINITY, room);
    s.sum = tkp__block_reduce(s.sum, tkp__sum(), 0.0, room);
    s.squares = tkp__block_reduce(s.squares, tkp__sum(), 0.0, room);
    s.count = (int)tkp__block_reduce(count, tkp__sum(), 0.0, room);
    for (int32_t i = threadIdx.x; i < n; i += blockDim.x)
        if (!isnan(z[i]))
            s.exp_sum += exp((double)z[i] - s.max);
    s.exp_sum = tkp__block_reduce(s.exp_sum, tkp__sum(), 0.0, room);
    return s;
}

static __device__ int rank_of(const float *z, int32_t n, int32_t i)
{
    const uint64_t own = tkp__order_key(z[i], i, TKP_ORDER_HIGHEST);
    int rank = 0;
    for (int32_t j = 0; j < n; j++)
        rank += tkp__order_key(z[j], j, TKP_ORDER_HIGHEST) < own;
    return rank;
}

static __device__ double
normalised(const float *z, int32_t n, int32_t i, const stats &s, int32_t how)
{
    const double value = (double)z[i];
    if (isnan(value))
        return value;
    switch (how) {
    case TKP_NORMALISE_MIN_MAX:
        return s.max == s.min ? 0.0 : (value - s.min) / (s.max - s.min);
    case TKP_NORMALISE_SOFTMAX:
        return exp(value - s.max) / s.exp_sum;
    case TKP_NORMALISE_RANK:
        return s.count < 2 ? 0.0
                           : (double)(s.count - 1 - rank_of(z, n, i)) /
                                 (double)(s.count - 1);
    case TKP_NORMALISE_SUM:
        return s.sum == 0.0 ? 0.0 : value / s.sum;
    case TKP_NORMALISE_L2:
        return value / fmax(sqrt(s.squares), 1e-12);
    default:
        return value;
    }
}

static __global__ void blend(
    const float *terms,
    int64_t stride,
    const int32_t *offsets,
    float *dst,
    tkp_op_blend p)
{
    __shared__ double room[TKP__WARP];
    const int32_t first = offsets[blockIdx.x];
    const int32_t n = offsets[blockIdx.x + 1] - first;
    stats s[TKP_BLEND_MAX_TERMS];
    for (int32_t t = 0; t < p.terms; t++)
        s[t] = measure(terms + t * stride + first, n, room);
    for (int32_t i = threadIdx.x; i < n; i += blockDim.x) {
        double sum = p.combine == TKP_BLEND_PRODUCT ? 1.0 : 0.0;
        for (int32_t t = 0; t < p.terms; t++) {
            const double f = normalised(
                terms + t * stride + first, n, i, s[t], p.normalise[t]);
            const double v =
                (double)p.weight[t] * (p.complement[t] ? 1.0 - f : f);
            if (p.combine == TKP_BLEND_SUM)
                sum += v;
            else if (p.combine == TKP_BLEND_PRODUCT)
                sum *= v;
            else if (t == 0 || isnan(v) || v > sum)
                sum = v;
        }
        dst[first + i] = (float)sum;
    }
}

static tkp_status run_blend(const tkp__cuda_run *r)
{
    return tkp__cuda_launch(
        r, blend, dim3((unsigned)tkp__cuda_size(r, OFFSETS, 0) - 1), THREADS, 0,
        tkp__cuda_arg<const float>(r, TERMS), r->args[TERMS].strides[0],
        tkp__cuda_arg<const int32_t>(r, OFFSETS), tkp__cuda_arg<float>(r, DST),
        *tkp__cuda_params<tkp_op_blend>(r));
}

const tkp__cuda_op tkp__cuda_blend = {
    .kind = TKP_OP_BLEND,
    .params_size = sizeof(tkp_op_blend),
    .kernel = "blend",
    .run = run_blend,
};
