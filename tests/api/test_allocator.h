#ifndef TKP_TESTS_TEST_ALLOCATOR_H
#define TKP_TESTS_TEST_ALLOCATOR_H

/* An allocator that counts, and can fail at the n-th call. */

#include <stdatomic.h>
#include <stdlib.h>

#include "tokenprune/memory.h"

static struct test_allocator {
    atomic_int calls;
    atomic_int live;
    int fail_at; /* this call (from 0) gives NULL; -1 = none */
} test_allocator;

static void *test_allocate(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    const int call = atomic_fetch_add(&test_allocator.calls, 1);
    if (call == test_allocator.fail_at)
        return NULL;
    void *pointer = aligned_alloc(
        alignment, (bytes + alignment - 1) / alignment * alignment);
    if (pointer)
        atomic_fetch_add(&test_allocator.live, 1);
    return pointer;
}

static void test_release(void *user, void *pointer)
{
    (void)user;
    free(pointer);
    atomic_fetch_sub(&test_allocator.live, 1);
}

/* Count from zero; `fail_at` -1 for never. */
static void test_allocator_install(int fail_at)
{
    tkp_allocator allocator = TKP_ALLOCATOR_INIT;
    allocator.allocate = test_allocate;
    allocator.release = test_release;
    test_allocator.calls = 0;
    test_allocator.live = 0;
    test_allocator.fail_at = fail_at;
    ck_assert_int_eq(tkp_allocator_set(&allocator), TKP_OK);
}

static void test_allocator_remove(void)
{
    ck_assert_int_eq(test_allocator.live, 0);
    ck_assert_int_eq(tkp_allocator_set(NULL), TKP_OK);
}

#endif
