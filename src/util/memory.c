/*
 * Memory with checked sizes, from the process's allocator.
 */

#include "tokenprune/sys/base.h"
#include "util/util.h"

void *tkp__alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!tkp__mul_size(count, size, &bytes)) {
        tkp__fail(
            TKP_ERR_MEMORY, "out of memory: %zu times %zu bytes do not fit",
            count, size);
        return NULL;
    }
    return tkp_sys_alloc(bytes);
}

void *tkp__zalloc(size_t count, size_t size)
{
    void *pointer = tkp__alloc(count, size);
    if (pointer)
        memset(pointer, 0, count * size);
    return pointer;
}

void *tkp__realloc(void *old, size_t old_bytes, size_t new_bytes)
{
    void *pointer = tkp_sys_alloc(new_bytes);
    if (pointer && old) {
        memcpy(pointer, old, old_bytes < new_bytes ? old_bytes : new_bytes);
        tkp_sys_free(old);
    }
    return pointer;
}

char *tkp__strdup(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = tkp_sys_alloc(bytes);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

void tkp__free(void *pointer)
{
    tkp_sys_free(pointer);
}
