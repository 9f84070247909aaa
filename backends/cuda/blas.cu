#include "cuda/blas.h"

#include <cublasLt.h>

static tkp_status check(cublasStatus_t status, const char *what)
{
    return status == CUBLAS_STATUS_SUCCESS
               ? TKP_OK
               : tkp__fail(
                     TKP_ERR_DEVICE, "cuBLASLt: %s: %s", what,
                     cublasLtGetStatusString(status));
}

tkp_status tkp__cuda_blas_create(tkp__cuda_exec *exec)
{
    cublasLtHandle_t handle = nullptr;
    TKP__TRY(check(cublasLtCreate(&handle), "create"));
    exec->blas = handle;
    return TKP_OK;
}

void tkp__cuda_blas_destroy(tkp__cuda_exec *exec)
{
    if (exec->blas)
        cublasLtDestroy(static_cast<cublasLtHandle_t>(exec->blas));
    exec->blas = nullptr;
}

static cudaDataType_t type_of(int32_t dtype)
{
    return dtype == TKP_DTYPE_F32   ? CUDA_R_32F
           : dtype == TKP_DTYPE_F16 ? CUDA_R_16F
                                    : CUDA_R_16BF;
}

/* The library stores by columns: rows of ours are columns of its own, so d^T [n,
 * m] = w [n, k] x^T [k, m]. Descriptors lie on the stack. */
tkp_status
tkp__cuda_blas_product(const tkp__cuda_run *r, const tkp__cuda_product *p)
{
    const cudaDataType_t type = type_of(p->dtype);
    const uint64_t m = (uint64_t)p->m, n = (uint64_t)p->n, k = (uint64_t)p->k;
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t w, x, c, d;
    cublasLtMatmulPreferenceOpaque_t preference;
    TKP__TRY(check(
        cublasLtMatmulDescInit(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "product"));
    const cublasOperation_t turned = CUBLAS_OP_T;
    TKP__TRY(check(
        cublasLtMatmulDescSetAttribute(
            &product, CUBLASLT_MATMUL_DESC_TRANSA, &turned, sizeof(turned)),
        "product"));
    TKP__TRY(check(cublasLtMatrixLayoutInit(&w, type, k, n, p->ldw), "w"));
    TKP__TRY(check(cublasLtMatrixLayoutInit(&x, type, k, m, p->ldx), "x"));
    TKP__TRY(check(
        cublasLtMatrixLayoutInit(&c, type, n, m, p->c ? p->ldc : p->ldd), "c"));
    TKP__TRY(check(cublasLtMatrixLayoutInit(&d, type, n, m, p->ldd), "dst"));
    TKP__TRY(check(cublasLtMatmulPreferenceInit(&preference), "preference"));
    TKP__TRY(check(
        cublasLtMatmulPreferenceSetAttribute(
            &preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            &p->workspace_bytes, sizeof(p->workspace_bytes)),
        "preference"));
    const cublasLtHandle_t handle =
        static_cast<cublasLtHandle_t>(r->exec->blas);
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    TKP__TRY(check(
        cublasLtMatmulAlgoGetHeuristic(
            handle, &product, &w, &x, &c, &d, &preference, 1, &best, &found),
        "choice of a kernel"));
    TKP__CHECK(
        found > 0, TKP_ERR_DEVICE, "cuBLASLt: no kernel for %lld x %lld x %lld",
        (long long)p->m, (long long)p->n, (long long)p->k);
    const float one = 1.0f, beta = p->c ? 1.0f : 0.0f;
    return check(
        cublasLtMatmul(
            handle, &product, &one, p->w, &w, p->x, &x, &beta,
            p->c ? p->c : p->d, &c, p->d, &d, &best.algo, p->workspace,
            p->workspace_bytes, r->exec->stream),
        "product");
}
