/*
 * Memory on the context's device, for what a sequence keeps between calls.
 */

#include "core/core.h"

static const tkp_backend_vtable *memory_of(const tkp_context *context)
{
    return context->memory_backend < 0
               ? NULL
               : context->backends[context->memory_backend];
}

tkp_status
tkp__core_memory_alloc(tkp_context *context, void **out, uint64_t bytes)
{
    const tkp_backend_vtable *vtable = memory_of(context);
    if (vtable)
        return vtable->memory_alloc(
            out, bytes > 0 ? bytes : 1, context->device_id);
    TKP__CHECK(
        bytes <= SIZE_MAX, TKP_ERR_MEMORY, "out of memory: wanted %llu bytes",
        (unsigned long long)bytes);
    void *memory = tkp__alloc((size_t)bytes, 1);
    if (!memory)
        return TKP_ERR_MEMORY;
    *out = memory;
    return TKP_OK;
}

void tkp__core_memory_free(tkp_context *context, void *memory)
{
    if (!memory)
        return;
    const tkp_backend_vtable *vtable = memory_of(context);
    if (vtable)
        vtable->memory_free(memory, context->device_id);
    else
        tkp__free(memory);
}

tkp_status tkp__core_memory_upload(
    tkp_exec *exec,
    void *dst,
    const void *src,
    uint64_t bytes)
{
    if (bytes == 0)
        return TKP_OK;
    const tkp_backend_vtable *vtable = memory_of(exec->context);
    if (vtable)
        return vtable->memory_upload(
            exec->states[exec->context->memory_backend], dst, src, bytes);
    memcpy(dst, src, (size_t)bytes);
    return TKP_OK;
}

tkp_status tkp__core_memory_download(
    tkp_exec *exec,
    void *dst,
    const void *src,
    uint64_t bytes)
{
    if (bytes == 0)
        return TKP_OK;
    const tkp_backend_vtable *vtable = memory_of(exec->context);
    if (!vtable) {
        memcpy(dst, src, (size_t)bytes);
        return TKP_OK;
    }
    TKP__CHECK(
        vtable->memory_download, TKP_ERR_UNSUPPORTED,
        "%s: cannot bring memory back to the host", vtable->name);
    return vtable->memory_download(
        exec->states[exec->context->memory_backend], dst, src, bytes);
}
