/*
 * Execs: what one thread or one stream owns.
 */

#include "core/core.h"

/* Undo the first `count` backends' states. */
static void destroy_states(tkp_exec *exec, int32_t count)
{
    for (int32_t i = count - 1; i >= 0; i--) {
        const tkp_backend_vtable *vtable = exec->context->backends[i];
        if (vtable->exec_create)
            vtable->exec_destroy(exec->states[i]);
    }
}

static tkp_status create_states(tkp_exec *exec)
{
    const tkp_context *context = exec->context;
    const tkp_backend_exec_info info = {
        .struct_size = (uint32_t)sizeof(info),
        .threads = context->threads,
        .stream = exec->stream,
        .device_id = context->device_id,
    };
    for (int32_t i = 0; i < context->backend_count; i++) {
        const tkp_backend_vtable *vtable = context->backends[i];
        if (!vtable->exec_create)
            continue;
        const tkp_status status = vtable->exec_create(&exec->states[i], &info);
        if (status != TKP_OK) {
            destroy_states(exec, i);
            return tkp__fail_prefix(status, "%s", vtable->name);
        }
    }
    return TKP_OK;
}

tkp_status
tkp__core_exec_create(tkp_exec **out, tkp_context *context, void *stream)
{
    TKP__CHECK(
        !stream || context->device_type != TKP_DEVICE_CPU, TKP_ERR_ARGUMENT,
        "stream: is set, wanted NULL on the CPU");
    tkp_exec *exec = tkp__zalloc(1, sizeof(*exec));
    if (!exec)
        return TKP_ERR_MEMORY;
    exec->context = context;
    exec->stream = stream;
    const tkp_status status = create_states(exec);
    if (status != TKP_OK) {
        tkp__free(exec);
        return status;
    }
    tkp__core_context_retain(context);
    *out = exec;
    return TKP_OK;
}

void tkp__core_exec_destroy(tkp_exec *exec)
{
    if (!exec)
        return;
    destroy_states(exec, exec->context->backend_count);
    tkp__free(exec->mirror);
    tkp__core_context_release(exec->context);
    tkp__free(exec);
}

tkp_status
tkp__core_exec_set_workspace(tkp_exec *exec, void *memory, size_t bytes)
{
    TKP__CHECK(
        memory || bytes == 0, TKP_ERR_ARGUMENT,
        "workspace: is NULL with %zu bytes", bytes);
    TKP__CHECK(
        (uintptr_t)memory % TKP__WORKSPACE_ALIGNMENT == 0, TKP_ERR_WORKSPACE,
        "workspace: %p is not aligned to %d bytes", memory,
        TKP__WORKSPACE_ALIGNMENT);
    if (exec->context->device_type != TKP_DEVICE_CPU) {
        void *mirror = bytes ? tkp__alloc(bytes, 1) : NULL;
        if (bytes && !mirror)
            return TKP_ERR_MEMORY;
        tkp__free(exec->mirror);
        exec->mirror = mirror;
    }
    exec->workspace = memory;
    exec->workspace_bytes = bytes;
    return TKP_OK;
}

tkp_status tkp__core_exec_check_workspace(const tkp_exec *exec, uint64_t bytes)
{
    TKP__CHECK(
        exec->workspace_bytes >= bytes, TKP_ERR_WORKSPACE,
        "workspace: %zu bytes, wanted %llu", exec->workspace_bytes,
        (unsigned long long)bytes);
    return TKP_OK;
}
