#ifndef TOKENPRUNE_MEMORY_H
#define TOKENPRUNE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "tokenprune/export.h"
#include "tokenprune/status.h"

TKP_BEGIN_DECLS

/*
 * Where the library's memory comes from. One pair of functions serves the
 * whole process: objects, plans, and what backend modules ask for. Nothing is
 * allocated while an operation runs; see tkp_exec_set_workspace().
 */

typedef struct tkp_allocator {
    uint32_t struct_size; /* set by the INIT macro */
    uint32_t reserved;    /* 0 */
    /* `bytes` >= 1, `alignment` a power of two up to 64; NULL = out of memory.
     * Called from any thread. */
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    /* `pointer` is one that allocate() gave; never NULL. */
    void (*release)(void *user, void *pointer);
    void *user; /* handed to both */
} tkp_allocator;

#define TKP_ALLOCATOR_INIT                                                     \
    {                                                                          \
        (uint32_t)sizeof(tkp_allocator), 0, NULL, NULL, NULL                   \
    }

/** The bytes of the INIT macro, for languages without macros. */
TKP_API void tkp_allocator_init(tkp_allocator *allocator);

/**
 * Choose the allocator of this process. The struct is copied; `user` must
 * live until another allocator is set.
 *
 * @param[in] allocator  NULL = back to the C library's aligned allocation.
 *
 * @retval TKP_OK
 * @retval TKP_ERR_ARGUMENT  allocate or release is NULL; nothing changed
 * @retval TKP_ERR_OPTION    struct_size or reserved is wrong; nothing changed
 * @retval TKP_ERR_STATE     memory of the present allocator is still in use;
 *                           destroy every object first; nothing changed
 *
 * Threads: any; a call from another thread either sees the old allocator or
 * the new one.
 * @since 0.1
 */
TKP_API TKP_NODISCARD tkp_status
tkp_allocator_set(const tkp_allocator *allocator);

TKP_END_DECLS

#endif
