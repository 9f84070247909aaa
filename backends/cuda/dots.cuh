#ifndef TKP_BACKENDS_CUDA_DOTS_CUH
#define TKP_BACKENDS_CUDA_DOTS_CUH

/*
 * Products of rows by a warp: lanes take every 32nd channel, so that reads are
 * whole lines. All lanes get the result.
 */

#include "cuda/device.cuh"

template <class T, class U>
__device__ __forceinline__ float
tkp__warp_dot(const T *a, const U *b, int64_t width)
{
    float sum = 0.0f;
    for (int64_t c = threadIdx.x % TKP__WARP; c < width; c += TKP__WARP)
        sum += tkp__get(a[c]) * tkp__get(b[c]);
    return tkp__warp_reduce(sum, tkp__sum());
}

/* The three products a cosine is made of, in one pass. */
struct tkp__products {
    float ab, aa, bb;
};
template <class T, class U>
__device__ __forceinline__ tkp__products
tkp__warp_products(const T *a, const U *b, int64_t width)
{
    tkp__products p = {0.0f, 0.0f, 0.0f};
    for (int64_t c = threadIdx.x % TKP__WARP; c < width; c += TKP__WARP) {
        const float x = tkp__get(a[c]), y = tkp__get(b[c]);
        p.ab += x * y;
        p.aa += x * x;
        p.bb += y * y;
    }
    p.ab = tkp__warp_reduce(p.ab, tkp__sum());
    p.aa = tkp__warp_reduce(p.aa, tkp__sum());
    p.bb = tkp__warp_reduce(p.bb, tkp__sum());
    return p;
}
/* 0 where a norm is 0. */
__device__ __forceinline__ float tkp__cosine_of(tkp__products p)
{
    return p.aa == 0.0f || p.bb == 0.0f ? 0.0f
                                        : p.ab / (sqrtf(p.aa) * sqrtf(p.bb));
}

/* Which range of a list of them has entry i: offsets[b] <= i < offsets[b + 1]. */
__device__ __forceinline__ int64_t
tkp__range_of(const int32_t *offsets, int64_t count, int64_t i)
{
    int64_t low = 0, high = count;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (offsets[middle] <= i)
            low = middle;
        else
            high = middle;
    }
    /* Of equal ones the last is the one that is not empty. */
    return low;
}

#endif
