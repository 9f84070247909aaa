#ifndef TKP_BACKENDS_CUDA_DEVICE_CUH
#define TKP_BACKENDS_CUDA_DEVICE_CUH

/*
 * What kernels share: elements of three types, reductions over warps and
 * blocks, the library's order of scores, groups.
 */

#include "cuda/ops.h"

#include <type_traits>

#ifdef __CUDACC__
#    include <cuda_fp16.h>
#endif

static constexpr int TKP__WARP = 32;
#define TKP__ALL_LANES 0xffffffffu

/* Dynamic shared memory, 16-byte aligned. */
#ifdef __CUDACC__
#    define TKP__SHARED(type, name)                                            \
        extern __shared__ __align__(16) unsigned char tkp__dynamic[];          \
        type *name = reinterpret_cast<type *>(tkp__dynamic)
#else
#    define TKP__SHARED(type, name)                                            \
        type *name = static_cast<type *>(simt::shared_memory())
#endif

/* --- elements ----------------------------------------------------------------- */

struct tkp__f16 {
    uint16_t bits;
};
struct tkp__bf16 {
    uint16_t bits;
};

__device__ __forceinline__ float tkp__get(float x)
{
    return x;
}
__device__ __forceinline__ float tkp__get(tkp__bf16 x)
{
    return __uint_as_float((unsigned)x.bits << 16);
}
__device__ __forceinline__ float tkp__get(tkp__f16 x)
{
#ifdef __CUDACC__
    return __half2float(__ushort_as_half(x.bits));
#else
    return tkp__f16_to_f32(x.bits);
#endif
}

/* Round to nearest even; NaN stays NaN. */
__device__ __forceinline__ void tkp__put(float *out, float x)
{
    *out = x;
}
__device__ __forceinline__ void tkp__put(tkp__bf16 *out, float x)
{
    const unsigned bits = __float_as_uint(x);
    out->bits = (bits & 0x7fffffffu) > 0x7f800000u
                    ? (uint16_t)(bits >> 16 | 0x40u)
                    : (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
__device__ __forceinline__ void tkp__put(tkp__f16 *out, float x)
{
#ifdef __CUDACC__
    out->bits = __half_as_ushort(__float2half_rn(x));
#else
    out->bits = tkp__f32_to_f16(x);
#endif
}

/* x as an element of type T holds it. */
template <class T> __device__ __forceinline__ float tkp__rounded(float x)
{
    T held;
    tkp__put(&held, x);
    return tkp__get(held);
}

/* Call f with a null pointer of the element type. */
template <class F> tkp_status tkp__cuda_with(int32_t dtype, F f)
{
    switch (dtype) {
    case TKP_DTYPE_F32:
        return f(static_cast<float *>(nullptr));
    case TKP_DTYPE_F16:
        return f(static_cast<tkp__f16 *>(nullptr));
    case TKP_DTYPE_BF16:
        return f(static_cast<tkp__bf16 *>(nullptr));
    default:
        return tkp__fail(TKP_ERR_INTERNAL, "cuda: dtype %d is no float", dtype);
    }
}
/* The type such a pointer points to. */
#define TKP__TYPE(pointer) std::remove_pointer_t<decltype(pointer)>

/* --- one grid over many elements ------------------------------------------------ */

__device__ __forceinline__ int64_t tkp__thread(void)
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t tkp__threads(void)
{
    return (int64_t)gridDim.x * blockDim.x;
}

/* --- reductions ------------------------------------------------------------------- */

struct tkp__sum {
    template <class T> __device__ T operator()(T a, T b) const
    {
        return a + b;
    }
};
/* NaN wins. */
struct tkp__largest {
    __device__ float operator()(float a, float b) const
    {
        return isnan(a) || a > b ? a : b;
    }
};
struct tkp__least {
    __device__ float operator()(float a, float b) const
    {
        return isnan(a) || a < b ? a : b;
    }
};

/* All lanes get the result. */
template <class T, class F> __device__ T tkp__warp_reduce(T value, F f)
{
#ifdef __CUDACC__
    for (int flip = TKP__WARP / 2; flip > 0; flip /= 2)
        value = f(value, __shfl_xor_sync(TKP__ALL_LANES, value, flip));
    return value;
#else
    /* The same tree in one exchange: fibers that change are what costs. */
    return simt::butterfly(value, f);
#endif
}

/* All threads get the result; block sizes are multiples of 32. Each call needs
 * `room` of its own or a barrier in between. */
template <class T, class F>
__device__ T tkp__block_reduce(T value, F f, T nothing, T *room)
{
    value = tkp__warp_reduce(value, f);
    const int warps = blockDim.x / TKP__WARP;
    __syncthreads(); /* who read the room before has done so */
    if (threadIdx.x % TKP__WARP == 0)
        room[threadIdx.x / TKP__WARP] = value;
    __syncthreads();
    const int lane = threadIdx.x % TKP__WARP;
    return tkp__warp_reduce(lane < warps ? room[lane] : nothing, f);
}

/* Sum over the threads before this one, and the sum of all. */
__device__ inline int tkp__block_scan(int value, int *total, int *room)
{
    const int lane = threadIdx.x % TKP__WARP, warp = threadIdx.x / TKP__WARP;
    const int warps = blockDim.x / TKP__WARP;
    int sum = value;
    for (int step = 1; step < TKP__WARP; step *= 2) {
        const int other = __shfl_up_sync(TKP__ALL_LANES, sum, step);
        sum += lane >= step ? other : 0;
    }
    __syncthreads();
    if (lane == TKP__WARP - 1)
        room[warp] = sum;
    __syncthreads();
    int before = 0, all = 0;
    for (int w = 0; w < warps; w++) {
        before += w < warp ? room[w] : 0;
        all += room[w];
    }
    *total = all;
    return before + sum - value;
}

/* --- order ---------------------------------------------------------------------------- */

/* The lower the key the earlier: higher (or lower) score first, -0 equal to +0,
 * NaN last, then the lower index. */
__device__ __forceinline__ uint64_t
tkp__order_key(float score, int32_t index, int32_t order)
{
    const unsigned bits = __float_as_uint(score == 0.0f ? 0.0f : score);
    unsigned rising = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    if (order != TKP_ORDER_LOWEST)
        rising = ~rising;
    if (isnan(score))
        rising = 0xffffffffu;
    return (uint64_t)rising << 32 | (unsigned)index;
}

/* --- groups ------------------------------------------------------------------------------ */

/* Entry i of the lists; without a list the groups are ranges. */
__device__ __forceinline__ int32_t
tkp__member(const int32_t *members, int32_t i)
{
    return members ? members[i] : i;
}

#endif
