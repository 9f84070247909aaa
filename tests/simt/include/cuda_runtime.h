#ifndef TKP_TESTS_SIMT_CUDA_RUNTIME_H
#define TKP_TESTS_SIMT_CUDA_RUNTIME_H

/*
 * What the CUDA backend uses of CUDA, on a CPU, for tests only: kernels and the
 * host code around them are compiled as C++ against this header instead of the
 * toolkit's. A block's threads are fibers of one thread; blocks run one after
 * the other. Slow, and strict: "device" memory can be touched by kernels and
 * copies alone, barriers that not all reach end the program with a message.
 */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* --- the language ---------------------------------------------------------- */

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __constant__ static
#define __shared__   static /* blocks run one at a time */

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1)
        : x(x_), y(y_), z(z_)
    {
    }
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

/* --- the machine ------------------------------------------------------------- */

namespace simt
{

struct thread {
    uint3 index;
    uint3 block;
    dim3 block_size;
    dim3 grid_size;
};

/* The thread that runs. */
extern thread *self;

/* Wait for all threads of the block that have not ended. */
void block_barrier();

/* Give 8 bytes, wait for the lanes of `mask`, get the lane's own place in the
 * 32 that were given. The pointer holds until the next call. */
const uint64_t *warp_exchange(unsigned mask, uint64_t value);

unsigned lane();

/* Dynamic shared memory of the block. */
void *shared_memory();

/* Run body() in each thread of the grid. */
void launch(dim3 grid, dim3 block, size_t shared, void (*body)(void *), void *);

template <class T> uint64_t to_bits(T value);
template <class T> T from_bits(uint64_t bits);

/* What five rounds of __shfl_xor_sync with f come to in this lane. */
template <class T, class F> T butterfly(T value, F f)
{
    const uint64_t *all = warp_exchange(0xffffffffu, to_bits(value));
    T now[32], next[32];
    for (int i = 0; i < 32; i++)
        now[i] = from_bits<T>(all[i]);
    for (int flip = 16; flip > 0; flip /= 2) {
        for (int i = 0; i < 32; i++)
            next[i] = f(now[i], now[i ^ flip]);
        memcpy(now, next, sizeof(now));
    }
    return now[lane()];
}

template <class T> uint64_t to_bits(T value)
{
    static_assert(sizeof(T) <= 8, "shuffles move up to 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(value));
    return bits;
}
template <class T> T from_bits(uint64_t bits)
{
    T value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

} // namespace simt

#define threadIdx (simt::self->index)
#define blockIdx  (simt::self->block)
#define blockDim  (simt::self->block_size)
#define gridDim   (simt::self->grid_size)
#define warpSize  32

inline void __syncthreads()
{
    simt::block_barrier();
}
inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    simt::warp_exchange(mask, 0);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32)
{
    const uint64_t *all = simt::warp_exchange(mask, simt::to_bits(value));
    const int first = (int)simt::lane() / width * width;
    return simt::from_bits<T>(all[first + (source % width + width) % width]);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int flip, int width = 32)
{
    const uint64_t *all = simt::warp_exchange(mask, simt::to_bits(value));
    const int from = (int)simt::lane() ^ flip;
    return from / width == (int)simt::lane() / width
               ? simt::from_bits<T>(all[from])
               : value;
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int step, int width = 32)
{
    const uint64_t *all = simt::warp_exchange(mask, simt::to_bits(value));
    const int from = (int)simt::lane() + step;
    return from / width == (int)simt::lane() / width
               ? simt::from_bits<T>(all[from])
               : value;
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int step, int width = 32)
{
    const uint64_t *all = simt::warp_exchange(mask, simt::to_bits(value));
    const int from = (int)simt::lane() - step;
    return from >= (int)simt::lane() / width * width
               ? simt::from_bits<T>(all[from])
               : value;
}
inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    const uint64_t *all = simt::warp_exchange(mask, predicate != 0);
    unsigned votes = 0;
    for (int i = 0; i < 32; i++)
        if ((mask >> i & 1u) && all[i])
            votes |= 1u << i;
    return votes;
}
inline int __any_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) == mask;
}
inline int __syncthreads_or(int predicate)
{
    static int any;
    simt::block_barrier();
    any = 0;
    simt::block_barrier();
    any |= predicate != 0;
    simt::block_barrier();
    return any;
}

/* --- arithmetic ---------------------------------------------------------------- */

inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}
inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
inline float __uint_as_float(unsigned x)
{
    return simt::from_bits<float>(x);
}
inline unsigned __float_as_uint(float x)
{
    return (unsigned)simt::to_bits(x);
}
inline float __int_as_float(int x)
{
    return simt::from_bits<float>((unsigned)x);
}
inline int __float_as_int(float x)
{
    return (int)(unsigned)simt::to_bits(x);
}
/* One rounding, never fused. */
inline float __fmul_rn(float a, float b)
{
    return a * b;
}
inline float __fadd_rn(float a, float b)
{
    return a + b;
}
inline float __fsub_rn(float a, float b)
{
    return a - b;
}
inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
inline float __fsqrt_rn(float a)
{
    return sqrtf(a);
}
inline double __dmul_rn(double a, double b)
{
    return a * b;
}
inline double __dadd_rn(double a, double b)
{
    return a + b;
}
inline double __dsub_rn(double a, double b)
{
    return a - b;
}
inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
template <class T> T __ldg(const T *p)
{
    return *p;
}
template <class T> T min(T a, T b)
{
    return b < a ? b : a;
}
template <class T> T max(T a, T b)
{
    return a < b ? b : a;
}

/* --- atomics: only one thread runs at a time ------------------------------------- */

template <class T> T atomicAdd(T *p, T value)
{
    const T old = *p;
    *p = old + value;
    return old;
}
template <class T> T atomicMax(T *p, T value)
{
    const T old = *p;
    *p = old < value ? value : old;
    return old;
}
template <class T> T atomicMin(T *p, T value)
{
    const T old = *p;
    *p = value < old ? value : old;
    return old;
}
template <class T> T atomicOr(T *p, T value)
{
    const T old = *p;
    *p = old | value;
    return old;
}
template <class T> T atomicExch(T *p, T value)
{
    const T old = *p;
    *p = value;
    return old;
}
template <class T> T atomicCAS(T *p, T expected, T value)
{
    const T old = *p;
    if (old == expected)
        *p = value;
    return old;
}

/* --- the runtime --------------------------------------------------------------- */

extern "C" {

typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101
} cudaError_t;
typedef struct simt_stream *cudaStream_t;
typedef enum cudaMemcpyKind {
    cudaMemcpyHostToHost = 0,
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3
} cudaMemcpyKind;
typedef enum cudaMemoryType {
    cudaMemoryTypeUnregistered = 0,
    cudaMemoryTypeHost = 1,
    cudaMemoryTypeDevice = 2,
    cudaMemoryTypeManaged = 3
} cudaMemoryType;
typedef struct cudaPointerAttributes {
    cudaMemoryType type;
    int device;
} cudaPointerAttributes;
typedef struct cudaDeviceProp {
    char name[256];
    int major, minor;
    int multiProcessorCount;
    size_t totalGlobalMem;
    size_t sharedMemPerBlock;
    size_t sharedMemPerBlockOptin;
} cudaDeviceProp;
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t
cudaPointerGetAttributes(cudaPointerAttributes *out, const void *memory);
cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMemcpyAsync(
    void *dst,
    const void *src,
    size_t bytes,
    cudaMemcpyKind kind,
    cudaStream_t stream);
cudaError_t
cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t simt_shared_limit(size_t bytes);
}

template <class K> cudaError_t cudaFuncSetAttribute(K *, int, int bytes)
{
    return simt_shared_limit((size_t)bytes);
}

#endif
