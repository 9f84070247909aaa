#ifndef TKP_BACKENDS_CUDA_BLAS_H
#define TKP_BACKENDS_CUDA_BLAS_H

/*
 * cuBLASLt, for products of matrices. Tests on machines without a GPU have a
 * plain product behind the same functions.
 */

#include "cuda/cuda.h"

tkp_status tkp__cuda_blas_create(tkp__cuda_exec *exec);
void tkp__cuda_blas_destroy(tkp__cuda_exec *exec);

/*
 * d [m, n] = x [m, k] w [n, k]^T + c, rounded to dtype once; sums in f32. All
 * of one dtype, rows `ld*` elements apart. c may be d, or NULL.
 */
typedef struct tkp__cuda_product {
    int64_t m, n, k;
    int64_t ldx, ldw, ldc, ldd;
    const void *x, *w, *c;
    void *d;
    int32_t dtype;
    void *workspace;
    size_t workspace_bytes;
} tkp__cuda_product;

/* What a product may use; more helps large ones. */
enum { TKP__CUDA_BLAS_WORKSPACE = 32 << 20 };

tkp_status
tkp__cuda_blas_product(const tkp__cuda_run *r, const tkp__cuda_product *p);

#endif
