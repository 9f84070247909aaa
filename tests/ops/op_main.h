#ifndef TKP_TESTS_OP_MAIN_H
#define TKP_TESTS_OP_MAIN_H

/*
 * What the op test programs share: contexts on a backend of choice, and a main
 * that knows "skipped". Nothing of the library runs in the process that Check
 * forks from: an OpenMP pool made there would hang its children.
 */

#include <check.h>

#include "op_cases.h"

/* A context with exactly this backend before "ref"; NULL if it is not there
 * (the reason is in tkp_last_message()). */
tkp_context *tkp_test_context(const char *backend, int32_t threads);

/* The backend that single-op tests run on: $TKP_TEST_BACKEND, else "ref". */
const char *tkp_test_backend(void);

/* Plan and run one op on that backend with a workspace of the exact size. What
 * the backend does not have runs on "ref", as in real life. */
tkp_status tkp_test_run(
    int32_t kind,
    const void *params,
    const tkp_tensor *args,
    int32_t n_args);

/* In a child process: names of the backends besides "ref" that a default
 * context has, parted by blanks. Empty if there are none. */
const char *tkp_test_other_backends(void);

/* In a child process: is the backend there? */
int tkp_test_has_backend(const char *backend);

/* Views over arrays. */
tkp_tensor tkp_test_1d(void *data, int32_t dtype, int64_t n);
tkp_tensor tkp_test_2d(void *data, int32_t dtype, int64_t m, int64_t n);
tkp_tensor
tkp_test_3d(void *data, int32_t dtype, int64_t a, int64_t b, int64_t c);
tkp_tensor tkp_test_none(void);

/* Number of entries of an array, and views of f32 and i32 arrays. */
#define TKP_TEST_COUNT(array) ((int64_t)(sizeof(array) / sizeof((array)[0])))
#define TKP_TEST_F32(array)                                                    \
    tkp_test_1d(array, TKP_DTYPE_F32, TKP_TEST_COUNT(array))
#define TKP_TEST_I32(array)                                                    \
    tkp_test_1d(array, TKP_DTYPE_I32, TKP_TEST_COUNT(array))

/* Run a suite; 77 where $TKP_TEST_BACKEND is not there. */
int tkp_test_main(Suite *suite);

#endif
