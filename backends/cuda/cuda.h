#ifndef TKP_BACKENDS_CUDA_H
#define TKP_BACKENDS_CUDA_H

/*
 * The CUDA backend: one file an op kind, kernels and the host code that
 * launches them side by side. The kinds mean what backends/ref says they mean.
 *
 * run() only launches: no synchronisation, no allocation, nothing read back, so
 * that it can be captured in a graph. What index and offset arrays contain cannot
 * be looked at beforehand and is trusted; they come from the library, which made
 * them. What is TKP_ERR_DATA on the CPU is not reported: numbers that are not
 * finite give what arithmetic makes of them.
 *
 * The same files compile for tests with a C++ compiler against tests/simt.
 */

#include <cuda_runtime.h>

#include "tokenprune/sys/backend.h"

extern "C" {
#include "util/util.h"
}

struct tkp__cuda_op;

enum { TKP__CUDA_SCRATCH = 8, TKP__CUDA_PARAMS = 160 };

/* What was planned: the kind's params and where its scratch lies. */
typedef struct tkp__cuda_plan {
    const struct tkp__cuda_op *op;
    uint64_t scratch[TKP__CUDA_SCRATCH]; /* offsets in the workspace */
    int64_t extent[4]; /* largest sizes, where a kernel wants to know */
    void *own;         /* of op->destroy */
    alignas(16) unsigned char params[TKP__CUDA_PARAMS];
} tkp__cuda_plan;

typedef struct tkp__cuda_exec {
    int32_t device;
    int32_t processors;
    cudaStream_t stream;
    void *blas; /* cublasLtHandle_t */
} tkp__cuda_exec;

typedef struct tkp__cuda_run {
    const tkp__cuda_plan *plan;
    const tkp__cuda_exec *exec;
    const tkp_tensor *args;
    char *workspace;
} tkp__cuda_run;

typedef struct tkp__cuda_op {
    int32_t kind;
    uint32_t params_size = 0; /* the kind has none */
    const char *kernel;
    /* What of the kind this kernel has; NULL = all. */
    tkp_status (*supports)(const tkp_op_desc *desc) = nullptr;
    /* Book scratch; NULL = needs none. */
    tkp_status (*plan)(
        tkp__cuda_plan *plan,
        tkp_ledger *ledger,
        const tkp_tensor *args) = nullptr;
    tkp_status (*run)(const tkp__cuda_run *r);
    void (*destroy)(tkp__cuda_plan *plan) = nullptr;
} tkp__cuda_op;

/* All kinds, NULL at the end (ops.cu). */
extern const tkp__cuda_op *const tkp__cuda_ops[];

/* --- plans ----------------------------------------------------------------- */

/* Book count * size bytes as piece i. */
tkp_status tkp__cuda_book(
    tkp__cuda_plan *plan,
    tkp_ledger *ledger,
    int32_t i,
    int64_t count,
    size_t size);

template <class T> const T *tkp__cuda_params(const tkp__cuda_run *r)
{
    static_assert(sizeof(T) <= TKP__CUDA_PARAMS, "room for params");
    return reinterpret_cast<const T *>(r->plan->params);
}

template <class T> T *tkp__cuda_scratch(const tkp__cuda_run *r, int32_t i)
{
    return r->workspace
               ? reinterpret_cast<T *>(r->workspace + r->plan->scratch[i])
               : nullptr;
}

/* --- arguments ----------------------------------------------------------------- */

template <class T> T *tkp__cuda_arg(const tkp__cuda_run *r, int32_t i)
{
    return tkp__present(&r->args[i]) ? static_cast<T *>(tkp__data(&r->args[i]))
                                     : nullptr;
}

static inline int64_t tkp__cuda_size(const tkp__cuda_run *r, int32_t i, int d)
{
    return r->args[i].shape[d];
}

/* --- launching --------------------------------------------------------------------- */

tkp_status tkp__cuda_check(cudaError_t error, const char *what);

static inline unsigned tkp__cuda_blocks(int64_t work, int64_t a_block)
{
    return (unsigned)((work + a_block - 1) / a_block);
}

/* Launch in the exec's stream; a grid without blocks is nothing to do. */
template <class... P, class... A>
tkp_status tkp__cuda_launch(
    const tkp__cuda_run *r,
    void (*kernel)(P...),
    dim3 grid,
    dim3 block,
    size_t shared,
    A... args)
{
    if (grid.x == 0 || grid.y == 0 || grid.z == 0)
        return TKP_OK;
#ifdef __CUDACC__
    kernel<<<grid, block, shared, r->exec->stream>>>(static_cast<P>(args)...);
    return tkp__cuda_check(cudaPeekAtLastError(), r->plan->op->kernel);
#else
    (void)r;
    auto body = [&] { kernel(static_cast<P>(args)...); };
    simt::launch(
        grid, block, shared,
        [](void *user) { (*static_cast<decltype(body) *>(user))(); }, &body);
    return TKP_OK;
#endif
}

#endif
