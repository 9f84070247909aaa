/*
 * Public entry points for memory on a device.
 */

#include "tokenprune/sys/device.h"

#include "core/core.h"
#include "tokenprune/sys/base.h"

tkp_status tkp_device_alloc(tkp_context *context, void **out, uint64_t bytes)
{
    tkp_sys_message_clear();
    TKP__CHECK(context, TKP_ERR_ARGUMENT, "context: is NULL");
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out: is NULL");
    return tkp__core_memory_alloc(context, out, bytes);
}

void tkp_device_free(tkp_context *context, void *memory)
{
    if (context)
        tkp__core_memory_free(context, memory);
}

static tkp_status check_copy(const tkp_exec *exec, const void *a, const void *b)
{
    TKP__CHECK(exec, TKP_ERR_ARGUMENT, "exec: is NULL");
    TKP__CHECK(a, TKP_ERR_ARGUMENT, "dst: is NULL");
    TKP__CHECK(b, TKP_ERR_ARGUMENT, "src: is NULL");
    return TKP_OK;
}

tkp_status
tkp_device_upload(tkp_exec *exec, void *dst, const void *src, uint64_t bytes)
{
    tkp_sys_message_clear();
    TKP__TRY(check_copy(exec, dst, src));
    return tkp__core_memory_upload(exec, dst, src, bytes);
}

tkp_status
tkp_device_download(tkp_exec *exec, void *dst, const void *src, uint64_t bytes)
{
    tkp_sys_message_clear();
    TKP__TRY(check_copy(exec, dst, src));
    return tkp__core_memory_download(exec, dst, src, bytes);
}
