#ifndef TKP_BACKENDS_CUDA_TRIDIAGONAL_CUH
#define TKP_BACKENDS_CUDA_TRIDIAGONAL_CUH

/*
 * Eigenvalues of a symmetric matrix, in double, by one block: reduction to a
 * tridiagonal one by reflections, then bisection by Sturm counts (Golub and Van
 * Loan, chapter 8). Steps as in backends/ref/ref_tridiagonal.c.
 */

#include <float.h>

#include "cuda/device.cuh"

/* a [n, n] is overwritten: row i keeps reflection i. d, e, scale, p [n]. */
struct tkp__tridiagonal {
    int32_t n;
    double *a, *d, *e, *scale, *p;
};

__device__ inline double
tkp__block_dot(const double *a, const double *b, int64_t n, double *room)
{
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
        sum += a[i] * b[i];
    return tkp__block_reduce(sum, tkp__sum(), 0.0, room);
}

__device__ inline void
tkp__tridiagonal_reduce(const tkp__tridiagonal &t, double *room)
{
    const int64_t n = t.n;
    const int lane = threadIdx.x % TKP__WARP, warp = threadIdx.x / TKP__WARP;
    const int warps = blockDim.x / TKP__WARP;
    for (int64_t i = n - 1; i > 0; i--) {
        double *u = t.a + i * n;
        __syncthreads();
        const double beside = u[i - 1], own = u[i];
        const double rest = tkp__block_dot(u, u, i - 1, room);
        if (threadIdx.x == 0) {
            t.d[i] = own;
            t.scale[i] = 0.0;
            t.e[i] = beside;
        }
        if (rest == 0.0) /* is reduced as it stands */
            continue;
        const double length = sqrt(rest + beside * beside);
        const double alpha = beside > 0.0 ? -length : length;
        const double h = length * length - beside * alpha; /* u^T u / 2 */
        __syncthreads();
        if (threadIdx.x == 0) {
            t.e[i] = alpha;
            u[i - 1] = beside - alpha;
            t.scale[i] = h;
        }
        __syncthreads();
        for (int64_t r = warp; r < i; r += warps) {
            double sum = 0.0;
            for (int64_t c = lane; c < i; c += TKP__WARP)
                sum += t.a[r * n + c] * u[c];
            sum = tkp__warp_reduce(sum, tkp__sum());
            if (lane == 0)
                t.p[r] = sum / h;
        }
        __syncthreads();
        const double k = tkp__block_dot(t.p, u, i, room) / (2.0 * h);
        for (int64_t r = threadIdx.x; r < i; r += blockDim.x)
            t.p[r] -= k * u[r];
        __syncthreads();
        for (int64_t at = threadIdx.x; at < i * i; at += blockDim.x) {
            const int64_t r = at / i, c = at - r * i;
            t.a[r * n + c] -= u[r] * t.p[c] + t.p[r] * u[c];
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        t.d[0] = t.a[0];
        t.e[0] = 0.0;
    }
    __syncthreads();
}

/* How many eigenvalues are below x; by a thread. */
__device__ inline int32_t
tkp__tridiagonal_below(const tkp__tridiagonal &t, double x, double tiny)
{
    int32_t count = 0;
    double q = 1.0;
    for (int32_t i = 0; i < t.n; i++) {
        q = t.d[i] - x - (i ? t.e[i] * t.e[i] / q : 0.0);
        if (fabs(q) < tiny)
            q = -tiny;
        count += q < 0.0;
    }
    return count;
}

/* Reach of all eigenvalues; by a thread. */
__device__ inline void
tkp__tridiagonal_reach(const tkp__tridiagonal &t, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (int32_t i = 0; i < t.n; i++) {
        const double reach =
            fabs(t.e[i]) + (i + 1 < t.n ? fabs(t.e[i + 1]) : 0.0);
        *low = fmin(*low, t.d[i] - reach);
        *high = fmax(*high, t.d[i] + reach);
    }
}

/* The k-th largest; by a thread. */
__device__ inline double tkp__tridiagonal_value(
    const tkp__tridiagonal &t,
    int32_t k,
    double low,
    double high)
{
    const double norm = fmax(fabs(low), fabs(high));
    const double tiny = norm * DBL_EPSILON * DBL_EPSILON + DBL_MIN;
    double a = low - norm * 1e-15, b = high + norm * 1e-15;
    for (int32_t step = 0; step < 200; step++) {
        const double middle = a + (b - a) / 2.0;
        if (middle <= a || middle >= b)
            break;
        if (tkp__tridiagonal_below(t, middle, tiny) > t.n - 1 - k)
            b = middle;
        else
            a = middle;
    }
    return a + (b - a) / 2.0;
}

#endif
