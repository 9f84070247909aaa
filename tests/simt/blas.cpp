/*
 * The products of backends/cuda/blas.h, one thread an element.
 */

#include "cuda/blas.h"

#include "cuda/device.cuh"

tkp_status tkp__cuda_blas_create(tkp__cuda_exec *exec)
{
    exec->blas = nullptr;
    return TKP_OK;
}

void tkp__cuda_blas_destroy(tkp__cuda_exec *) {}

template <class T> static void product(tkp__cuda_product p)
{
    const T *x = static_cast<const T *>(p.x), *w = static_cast<const T *>(p.w);
    const T *c = static_cast<const T *>(p.c);
    const int64_t m = blockIdx.x, n = blockIdx.y * blockDim.x + threadIdx.x;
    if (n >= p.n)
        return;
    float sum = 0.0f;
    for (int64_t k = 0; k < p.k; k++)
        sum += tkp__get(x[m * p.ldx + k]) * tkp__get(w[n * p.ldw + k]);
    if (c)
        sum += tkp__get(c[m * p.ldc + n]);
    tkp__put(static_cast<T *>(p.d) + m * p.ldd + n, sum);
}

tkp_status
tkp__cuda_blas_product(const tkp__cuda_run *r, const tkp__cuda_product *p)
{
    return tkp__cuda_with(p->dtype, [&](auto *type) {
        return tkp__cuda_launch(
            r, product<TKP__TYPE(type)>,
            dim3((unsigned)p->m, tkp__cuda_blocks(p->n, 32)), 32, 0, *p);
    });
}
