#ifndef TKP_MLLM_MLLM_STRUCT_H
#define TKP_MLLM_MLLM_STRUCT_H

/* Option and report structs of older and newer callers, by the rules that
 * docs/abi.md has for all of our libraries. */

#include <stddef.h>

#include "util/util.h"

/* Bytes up to and including `field`: how a published size is written down. */
#define TKP__MLLM_THROUGH(type, field)                                         \
    (offsetof(type, field) + sizeof(((type *)0)->field))

/* Read a caller's struct of `src_size` bytes into ours; what it does not have
 * is zero, what we do not know must be zero. */
tkp_status tkp__mllm_copy_struct(
    void *dst,
    size_t dst_size,
    const void *src,
    uint32_t src_size,
    size_t min_size,
    const char *name);

/* Fill a caller's struct, no further than its struct_size, from ours. */
tkp_status tkp__mllm_fill_struct(
    void *dst,
    const void *src,
    size_t src_size,
    size_t min_size,
    const char *name);

#endif
