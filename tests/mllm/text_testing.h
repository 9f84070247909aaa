#ifndef TKP_TESTS_MLLM_TEXT_TESTING_H
#define TKP_TESTS_MLLM_TEXT_TESTING_H

/* What the tests of src/mllm/text share. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "mllm/text/tokenizer.h"
#include "mllm/text/utf8.h"

/* <data>/text/<name>, in a static buffer. */
static inline const char *golden_text_path(const char *name)
{
    static char path[4096];
    const char *data = getenv("TKP_TEST_DATA");
    snprintf(
        path, sizeof(path), "%s/text/%s", data ? data : "tests/golden", name);
    return path;
}

static inline void expect_ok(tkp_status status)
{
    ck_assert_msg(
        status == TKP_OK, "%s: %s", tkp_status_string(status),
        tkp_last_message());
}

static inline void
expect_refused(tkp_status status, tkp_status wanted, const char *message)
{
    ck_assert_msg(
        status == wanted, "%s, wanted %s: %s", tkp_status_string(status),
        tkp_status_string(wanted), tkp_last_message());
    ck_assert_msg(
        strstr(tkp_last_message(), message), "\"%s\", wanted in it \"%s\"",
        tkp_last_message(), message);
}

#endif
