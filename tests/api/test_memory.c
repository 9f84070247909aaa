/*
 * Version, status codes, the thread's message, and the allocator, seen from
 * outside.
 */

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tokenprune/memory.h"
#include "tokenprune/status.h"
#include "tokenprune/sys/base.h"
#include "tokenprune/version.h"

START_TEST(version__library_and_headers__agree)
{
    ck_assert_int_eq(tkp_version_number(), TKP_VERSION_NUMBER);
    ck_assert_str_eq(tkp_version_string(), TKP_VERSION_STRING);
    ck_assert_ptr_nonnull(strstr(tkp_build_info(), TKP_VERSION_STRING));
    ck_assert_ptr_null(strchr(tkp_build_info(), '\n'));
}
END_TEST

START_TEST(status_string__each_code__its_own_name)
{
    static const struct {
        tkp_status status;
        const char *name;
    } table[] = {
#define CODE(code) {code, #code}
        CODE(TKP_OK),
        CODE(TKP_ERR_ARGUMENT),
        CODE(TKP_ERR_SHAPE),
        CODE(TKP_ERR_DTYPE),
        CODE(TKP_ERR_OPTION),
        CODE(TKP_ERR_WORKSPACE),
        CODE(TKP_ERR_ALIAS),
        CODE(TKP_ERR_STATE),
        CODE(TKP_ERR_UNSUPPORTED),
        CODE(TKP_ERR_NO_BACKEND),
        CODE(TKP_ERR_VERSION),
        CODE(TKP_ERR_MEMORY),
        CODE(TKP_ERR_IO),
        CODE(TKP_ERR_CANCELLED),
        CODE(TKP_ERR_DEVICE),
        CODE(TKP_ERR_INTERNAL),
        CODE(TKP_ERR_DATA),
        CODE(TKP_ERR_PARSE),
        CODE(TKP_ERR_POLICY),
        CODE(TKP_ERR_FORMAT),
#undef CODE
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        ck_assert_str_eq(tkp_status_string(table[i].status), table[i].name);
    ck_assert_str_eq(tkp_status_string((tkp_status)99), "TKP_ERR_?");
}
END_TEST

static void *other_thread(void *unused)
{
    (void)unused;
    const int empty = strcmp(tkp_last_message(), "") == 0;
    tkp_sys_message_set("theirs");
    return empty ? (void *)"empty" : NULL;
}

START_TEST(last_message__two_threads__each_its_own)
{
    tkp_sys_message_set("ours");
    pthread_t thread;
    void *result;
    ck_assert_int_eq(pthread_create(&thread, NULL, other_thread, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_nonnull(result);
    ck_assert_str_eq(tkp_last_message(), "ours");
}
END_TEST

/* --- the allocator ------------------------------------------------------ */

typedef struct counter {
    int allocated;
    int released;
    int fail_at; /* this call gives NULL; 0 = none */
    size_t last_bytes;
    size_t last_alignment;
} counter;

static void *count_allocate(void *user, size_t bytes, size_t alignment)
{
    counter *c = user;
    c->last_bytes = bytes;
    c->last_alignment = alignment;
    if (++c->allocated == c->fail_at)
        return NULL;
    void *pointer = NULL;
    return posix_memalign(&pointer, alignment, bytes) == 0 ? pointer : NULL;
}

static void count_release(void *user, void *pointer)
{
    counter *c = user;
    c->released++;
    free(pointer);
}

static tkp_allocator counting(counter *c)
{
    tkp_allocator allocator = TKP_ALLOCATOR_INIT;
    allocator.allocate = count_allocate;
    allocator.release = count_release;
    allocator.user = c;
    return allocator;
}

START_TEST(allocator_init__macro_and_function__same_bytes)
{
    const tkp_allocator by_macro = TKP_ALLOCATOR_INIT;
    tkp_allocator by_function;
    memset(&by_function, 0xff, sizeof(by_function));
    tkp_allocator_init(&by_function);
    ck_assert_mem_eq(&by_macro, &by_function, sizeof(by_macro));
    tkp_allocator_init(NULL);
}
END_TEST

START_TEST(allocator_set__own_functions__used_and_given_back)
{
    counter c = {0, 0, 0, 0, 0};
    tkp_allocator allocator = counting(&c);
    ck_assert_int_eq(tkp_allocator_set(&allocator), TKP_OK);
    memset(&allocator, 0, sizeof(allocator)); /* it was copied */

    void *p = tkp_sys_alloc(1000);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(c.last_bytes, 1000);
    ck_assert_uint_eq(c.last_alignment, 64);
    tkp_sys_free(p);
    p = tkp_sys_alloc(0);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(c.last_bytes, 1);
    tkp_sys_free(p);
    tkp_sys_free(NULL);
    ck_assert_int_eq(c.allocated, 2);
    ck_assert_int_eq(c.released, 2);

    ck_assert_int_eq(tkp_allocator_set(NULL), TKP_OK);
    tkp_sys_free(tkp_sys_alloc(1));
    ck_assert_int_eq(c.allocated, 2);
}
END_TEST

START_TEST(allocator_set__memory_in_use__refused)
{
    counter c = {0, 0, 0, 0, 0};
    const tkp_allocator allocator = counting(&c);
    void *p = tkp_sys_alloc(1);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(tkp_allocator_set(&allocator), TKP_ERR_STATE);
    ck_assert_str_eq(
        tkp_last_message(),
        "allocator: 1 blocks of the present one are in use");
    ck_assert_int_eq(tkp_allocator_set(NULL), TKP_ERR_STATE);
    tkp_sys_free(p);
    ck_assert_int_eq(c.released, 0);
    ck_assert_int_eq(tkp_allocator_set(&allocator), TKP_OK);
    ck_assert_str_eq(tkp_last_message(), "");
}
END_TEST

START_TEST(allocator_set__wrong_struct__refused)
{
    counter c = {0, 0, 0, 0, 0};
    tkp_allocator allocator = counting(&c);
    allocator.struct_size = 0;
    ck_assert_int_eq(tkp_allocator_set(&allocator), TKP_ERR_OPTION);
    allocator = counting(&c);
    allocator.reserved = 1;
    ck_assert_int_eq(tkp_allocator_set(&allocator), TKP_ERR_OPTION);
    allocator = counting(&c);
    allocator.allocate = NULL;
    ck_assert_int_eq(tkp_allocator_set(&allocator), TKP_ERR_ARGUMENT);
    ck_assert_str_eq(tkp_last_message(), "allocator: allocate is NULL");
    allocator = counting(&c);
    allocator.release = NULL;
    ck_assert_int_eq(tkp_allocator_set(&allocator), TKP_ERR_ARGUMENT);
    ck_assert_str_eq(tkp_last_message(), "allocator: release is NULL");
    tkp_sys_free(tkp_sys_alloc(1));
    ck_assert_int_eq(c.allocated, 0);
}
END_TEST

START_TEST(sys_alloc__allocator_gives_null__message_and_no_block)
{
    counter c = {0, 0, 1, 0, 0};
    const tkp_allocator allocator = counting(&c);
    ck_assert_int_eq(tkp_allocator_set(&allocator), TKP_OK);
    ck_assert_ptr_null(tkp_sys_alloc(1234));
    ck_assert_str_eq(tkp_last_message(), "out of memory: wanted 1234 bytes");
    /* What failed is not counted as in use. */
    ck_assert_int_eq(tkp_allocator_set(NULL), TKP_OK);
}
END_TEST

enum { rounds = 20000 };

static void *allocate_and_free(void *unused)
{
    (void)unused;
    for (int i = 0; i < rounds; i++) {
        char *p = tkp_sys_alloc(64);
        if (!p)
            return (void *)"out of memory";
        p[0] = 1;
        tkp_sys_free(p);
    }
    return NULL;
}

/* The counter of blocks must not let a change slip in between. */
START_TEST(allocator_set__while_threads_allocate__old_or_new_never_mixed)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, allocate_and_free, NULL), 0);
    for (int i = 0; i < rounds; i++) {
        const tkp_status status = tkp_allocator_set(NULL);
        ck_assert(status == TKP_OK || status == TKP_ERR_STATE);
    }
    for (int i = 0; i < 4; i++) {
        void *result = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &result), 0);
        ck_assert_ptr_null(result);
    }
    ck_assert_int_eq(tkp_allocator_set(NULL), TKP_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/memory");

    TCase *words = tcase_create("words");
    tcase_add_test(words, version__library_and_headers__agree);
    tcase_add_test(words, status_string__each_code__its_own_name);
    tcase_add_test(words, last_message__two_threads__each_its_own);
    suite_add_tcase(suite, words);

    TCase *allocator = tcase_create("allocator");
    tcase_add_test(allocator, allocator_init__macro_and_function__same_bytes);
    tcase_add_test(
        allocator, allocator_set__own_functions__used_and_given_back);
    tcase_add_test(allocator, allocator_set__memory_in_use__refused);
    tcase_add_test(allocator, allocator_set__wrong_struct__refused);
    tcase_add_test(
        allocator, sys_alloc__allocator_gives_null__message_and_no_block);
    tcase_add_test(
        allocator,
        allocator_set__while_threads_allocate__old_or_new_never_mixed);
    suite_add_tcase(suite, allocator);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
