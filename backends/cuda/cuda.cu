/*
 * The module's table of contents.
 */

#include "cuda/cuda.h"

#include <stdio.h>

#include "cuda/blas.h"

static const tkp__cuda_op *op_find(int32_t kind)
{
    for (const tkp__cuda_op *const *op = tkp__cuda_ops; *op; op++)
        if ((*op)->kind == kind)
            return *op;
    return nullptr;
}

tkp_status tkp__cuda_check(cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return TKP_OK;
    const tkp_status status =
        error == cudaErrorMemoryAllocation ? TKP_ERR_MEMORY : TKP_ERR_DEVICE;
    return tkp__fail(status, "%s: CUDA: %s", what, cudaGetErrorString(error));
}

tkp_status tkp__cuda_book(
    tkp__cuda_plan *plan,
    tkp_ledger *ledger,
    int32_t i,
    int64_t count,
    size_t size)
{
    size_t bytes;
    TKP__CHECK(
        tkp__mul_size((size_t)count, size, &bytes), TKP_ERR_SHAPE,
        "workspace: %lld times %zu bytes do not fit", (long long)count, size);
    return tkp_sys_ledger_book(ledger, bytes, &plan->scratch[i]);
}

/* --- the machine ------------------------------------------------------------ */

static int32_t score(void)
{
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count > 0)
        return 100;
    cudaGetLastError(); /* a machine without a device is no failure of ours */
    (void)tkp__fail(
        TKP_ERR_NO_BACKEND, "no CUDA device: %s",
        error == cudaSuccess ? "the driver has none"
                             : cudaGetErrorString(error));
    return 0;
}

static const char *info(void)
{
    static char text[320];
    cudaDeviceProp device;
    int runtime = 0, driver = 0, current = 0;
    if (cudaGetDevice(&current) != cudaSuccess ||
        cudaGetDeviceProperties(&device, current) != cudaSuccess) {
        cudaGetLastError();
        return "no CUDA device";
    }
    cudaRuntimeGetVersion(&runtime);
    cudaDriverGetVersion(&driver);
    snprintf(
        text, sizeof(text), "%s, compute %d.%d, runtime %d.%d, driver %d.%d",
        device.name, device.major, device.minor, runtime / 1000,
        runtime % 1000 / 10, driver / 1000, driver % 1000 / 10);
    return text;
}

static tkp_status device_count(int32_t *count_out)
{
    int count = 0;
    TKP__TRY(tkp__cuda_check(cudaGetDeviceCount(&count), "device count"));
    *count_out = count;
    return TKP_OK;
}

/* --- plans ------------------------------------------------------------------- */

static tkp_status supports(const tkp_op_desc *desc)
{
    const tkp__cuda_op *op = op_find(desc->kind);
    const char *name = tkp_op_kind_string(desc->kind);
    TKP__CHECK(
        op, TKP_ERR_UNSUPPORTED, "cuda: no kernel for %s",
        name ? name : "this kind");
    return op->supports ? op->supports(desc) : TKP_OK;
}

static void plan_destroy(void *of_op)
{
    tkp__cuda_plan *plan = static_cast<tkp__cuda_plan *>(of_op);
    if (plan && plan->op->destroy)
        plan->op->destroy(plan);
    tkp__free(plan);
}

static tkp_status plan(
    void **plan_out,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc,
    int32_t threads)
{
    (void)threads;
    const tkp__cuda_op *op = op_find(desc->kind);
    TKP__CHECK(op, TKP_ERR_UNSUPPORTED, "cuda: no such op");
    TKP__CHECK(
        op->params_size <= TKP__CUDA_PARAMS, TKP_ERR_INTERNAL,
        "cuda: %s: params of %u bytes", op->kernel, op->params_size);
    tkp__cuda_plan *made =
        static_cast<tkp__cuda_plan *>(tkp__zalloc(1, sizeof(tkp__cuda_plan)));
    if (!made)
        return TKP_ERR_MEMORY;
    made->op = op;
    if (op->params_size)
        memcpy(made->params, desc->params, op->params_size);
    const tkp_status status =
        op->plan ? op->plan(made, ledger, desc->args) : TKP_OK;
    if (status != TKP_OK) {
        plan_destroy(made);
        return status;
    }
    *plan_out = made;
    *kernel_out = op->kernel;
    return TKP_OK;
}

static tkp_status
run(const void *of_op,
    void *exec_state,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace)
{
    (void)n_args;
    const tkp__cuda_plan *p = static_cast<const tkp__cuda_plan *>(of_op);
    const tkp__cuda_run r = {
        p, static_cast<const tkp__cuda_exec *>(exec_state), args,
        static_cast<char *>(workspace)};
    return p->op->run(&r);
}

/* --- execs --------------------------------------------------------------------- */

static void exec_destroy(void *state)
{
    tkp__cuda_exec *exec = static_cast<tkp__cuda_exec *>(state);
    if (!exec)
        return;
    tkp__cuda_blas_destroy(exec);
    tkp__free(exec);
}

static tkp_status
exec_create(void **state_out, const tkp_backend_exec_info *exec_info)
{
    cudaDeviceProp device;
    TKP__TRY(tkp__cuda_check(cudaSetDevice(exec_info->device_id), "device_id"));
    TKP__TRY(tkp__cuda_check(
        cudaGetDeviceProperties(&device, exec_info->device_id), "device"));
    tkp__cuda_exec *exec =
        static_cast<tkp__cuda_exec *>(tkp__zalloc(1, sizeof(tkp__cuda_exec)));
    if (!exec)
        return TKP_ERR_MEMORY;
    exec->device = exec_info->device_id;
    exec->processors = device.multiProcessorCount;
    exec->stream = static_cast<cudaStream_t>(exec_info->stream);
    const tkp_status status = tkp__cuda_blas_create(exec);
    if (status != TKP_OK) {
        exec_destroy(exec);
        return status;
    }
    *state_out = exec;
    return TKP_OK;
}

/* --- memory ----------------------------------------------------------------------- */

static tkp_status memory_alloc(void **out, uint64_t bytes, int32_t device_id)
{
    TKP__TRY(tkp__cuda_check(cudaSetDevice(device_id), "device_id"));
    const cudaError_t error = cudaMalloc(out, bytes);
    if (error == cudaSuccess)
        return TKP_OK;
    cudaGetLastError();
    return tkp__fail(
        TKP_ERR_MEMORY, "device %d: %llu bytes: %s", device_id,
        (unsigned long long)bytes, cudaGetErrorString(error));
}

static void memory_free(void *memory, int32_t device_id)
{
    if (cudaSetDevice(device_id) == cudaSuccess)
        cudaFree(memory);
    cudaGetLastError();
}

/* From memory that is not pinned the driver takes a copy before it returns. */
static tkp_status
memory_upload(void *exec_state, void *dst, const void *src, uint64_t bytes)
{
    const tkp__cuda_exec *exec =
        static_cast<const tkp__cuda_exec *>(exec_state);
    return tkp__cuda_check(
        cudaMemcpyAsync(dst, src, bytes, cudaMemcpyHostToDevice, exec->stream),
        "upload");
}

static tkp_status
memory_download(void *exec_state, void *dst, const void *src, uint64_t bytes)
{
    const tkp__cuda_exec *exec =
        static_cast<const tkp__cuda_exec *>(exec_state);
    TKP__TRY(tkp__cuda_check(
        cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToHost, exec->stream),
        "download"));
    return tkp__cuda_check(cudaStreamSynchronize(exec->stream), "download");
}

static int32_t memory_owns(const void *memory)
{
    cudaPointerAttributes attributes;
    if (cudaPointerGetAttributes(&attributes, memory) != cudaSuccess) {
        cudaGetLastError();
        return 0;
    }
    return attributes.type == cudaMemoryTypeDevice ||
           attributes.type == cudaMemoryTypeManaged;
}

/* --- the table ---------------------------------------------------------------------- */

extern "C" TKP_API const tkp_backend_vtable *tkp_backend_entry(void)
{
    static const tkp_backend_vtable vtable = {
        .abi_version = TKP_BACKEND_ABI_VERSION,
        .struct_size = sizeof(tkp_backend_vtable),
        .name = "cuda",
        .device_type = TKP_DEVICE_CUDA,
        .reserved = 0,
        .score = score,
        .info = info,
        .device_count = device_count,
        .supports = supports,
        .plan = plan,
        .run = run,
        .plan_destroy = plan_destroy,
        .exec_create = exec_create,
        .exec_destroy = exec_destroy,
        .memory_alloc = memory_alloc,
        .memory_free = memory_free,
        .memory_upload = memory_upload,
        .memory_download = memory_download,
        .memory_owns = memory_owns,
    };
    return &vtable;
}
