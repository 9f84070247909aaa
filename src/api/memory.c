/*
 * The process's allocator, and a count of the blocks that are out so that it
 * is never changed under them.
 */

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tokenprune/memory.h"
#include "tokenprune/sys/base.h"
#include "util/util.h"

enum { alignment = 64 };

static void *default_allocate(void *user, size_t bytes, size_t align)
{
    (void)user;
    /* aligned_alloc() wants a multiple of the alignment. */
    if (bytes > SIZE_MAX - align)
        return NULL;
    return aligned_alloc(align, tkp__align_up(bytes, align));
}

static void default_release(void *user, void *pointer)
{
    (void)user;
    free(pointer);
}

static const tkp_allocator default_allocator = {
    sizeof(tkp_allocator), 0, default_allocate, default_release, NULL};

static tkp_allocator current = {
    sizeof(tkp_allocator), 0, default_allocate, default_release, NULL};

/* Blocks that are out; -1 while `current` is being written. Whoever has
 * counted a block in may read `current` until that block is counted out. */
static atomic_llong live_blocks;

_Static_assert(
    sizeof(tkp_allocator) ==
        offsetof(tkp_allocator, user) + sizeof(((tkp_allocator *)0)->user),
    "no tail padding");

void tkp_allocator_init(tkp_allocator *allocator)
{
    if (allocator)
        *allocator = (tkp_allocator)TKP_ALLOCATOR_INIT;
}

tkp_status tkp_allocator_set(const tkp_allocator *allocator)
{
    tkp_sys_message_clear();
    if (allocator) {
        TKP__CHECK(
            allocator->struct_size == sizeof(tkp_allocator), TKP_ERR_OPTION,
            "allocator: struct_size is %u, wanted %zu; use the INIT macro",
            allocator->struct_size, sizeof(tkp_allocator));
        TKP__CHECK(
            allocator->reserved == 0, TKP_ERR_OPTION,
            "allocator: reserved is %u, wanted 0", allocator->reserved);
        TKP__CHECK(
            allocator->allocate && allocator->release, TKP_ERR_ARGUMENT,
            "allocator: %s is NULL",
            allocator->allocate ? "release" : "allocate");
    }
    long long expected = 0;
    while (!atomic_compare_exchange_weak(&live_blocks, &expected, -1)) {
        TKP__CHECK(
            expected <= 0, TKP_ERR_STATE,
            "allocator: %lld blocks of the present one are in use", expected);
        if (expected < 0)
            sched_yield();
        expected = 0;
    }
    current = allocator ? *allocator : default_allocator;
    atomic_store(&live_blocks, 0);
    return TKP_OK;
}

void *tkp_sys_alloc(size_t bytes)
{
    long long seen = atomic_load(&live_blocks);
    for (;;) {
        if (seen < 0) {
            sched_yield();
            seen = atomic_load(&live_blocks);
        } else if (atomic_compare_exchange_weak(
                       &live_blocks, &seen, seen + 1)) {
            break;
        }
    }
    void *pointer =
        current.allocate(current.user, bytes > 0 ? bytes : 1, alignment);
    if (!pointer) {
        atomic_fetch_sub(&live_blocks, 1);
        char text[64];
        snprintf(text, sizeof(text), "out of memory: wanted %zu bytes", bytes);
        tkp_sys_message_set(text);
    }
    return pointer;
}

void tkp_sys_free(void *pointer)
{
    if (!pointer)
        return;
    current.release(current.user, pointer);
    atomic_fetch_sub(&live_blocks, 1);
}
