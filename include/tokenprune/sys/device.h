#ifndef TOKENPRUNE_SYS_DEVICE_H
#define TOKENPRUNE_SYS_DEVICE_H

/*
 * Memory on a context's device, for people who build an engine on the op table
 * and have no memory of the device's own runtime at hand. An engine that has
 * (cudaMalloc, a framework's tensors) does not need this header: views take any
 * memory of the device.
 */

#include "tokenprune/context.h"

TKP_BEGIN_DECLS

/**
 * Memory on the context's device, 64-byte aligned; the process's allocator on
 * the CPU. Give it back with tkp_device_free().
 * @retval TKP_ERR_MEMORY  it does not fit
 */
TKP_API TKP_NODISCARD tkp_status
tkp_device_alloc(tkp_context *context, void **out, uint64_t bytes);

/** NULL is fine. Work that still uses it has to have ended. */
TKP_API void tkp_device_free(tkp_context *context, void *memory);

/**
 * Host to device, in the order of the exec's other work. `src` may go after the
 * call.
 * @retval TKP_ERR_DEVICE  the device failed, now or before
 */
TKP_API TKP_NODISCARD tkp_status
tkp_device_upload(tkp_exec *exec, void *dst, const void *src, uint64_t bytes);

/**
 * Device to host, after the exec's work so far; waits for it.
 * @retval TKP_ERR_DEVICE       the device failed, now or before
 * @retval TKP_ERR_UNSUPPORTED  the backend cannot
 */
TKP_API TKP_NODISCARD tkp_status
tkp_device_download(tkp_exec *exec, void *dst, const void *src, uint64_t bytes);

TKP_END_DECLS

#endif
