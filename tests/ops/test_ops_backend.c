/*
 * Every backend against "ref", over the cases of op_cases_*.c.
 *
 *   TKP_TEST_BACKEND=cpu   this backend only; otherwise all that are there
 *   TKP_TEST_OP=topk       this kind only
 *   TKP_TEST_CASE=17       this case only
 *   TKP_TEST_SEED=1        other random numbers
 *   TKP_TEST_STEP=7        only each seventh case
 *   TKP_TEST_LARGEST=300   no cases with an argument of more rows
 *   TKP_TEST_VERBOSE=1     a line for each case
 *
 * A case is passed when the backend agrees with ref, writes nothing it should
 * not, and gives the same bits a second time with another content of the
 * workspace. "Not supported" is counted, never passed. Each kind is a test.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op_device.h"
#include "op_main.h"

static char backends[256];

typedef struct tally {
    int32_t passed, warned, unsupported, failed;
    double worst;
} tally;

static long number_from(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && text[0] ? strtol(text, NULL, 10) : otherwise;
}

/* NULL if all is well; else what is wrong. Runs of the backend, twice. */
static const char *run_twice(
    tkp_test_case *first,
    tkp_test_case *second,
    tkp_context *context,
    const char *name,
    const tkp_test_case *larger,
    bool *unsupported)
{
    static char text[1200];
    const char *ran = "";
    tkp_status status = tkp_test_case_run(first, context, larger, 0xff, &ran);
    *unsupported = strcmp(ran, name) != 0;
    /* On a device there is no ref behind a backend that lacks a kind, and in
     * place is for the CPU alone where rows move. */
    if ((status == TKP_ERR_ALIAS || status == TKP_ERR_UNSUPPORTED) &&
        tkp_test_device_type(name) != TKP_DEVICE_CPU) {
        *unsupported = true;
        return NULL;
    }
    if (status == TKP_OK)
        status = tkp_test_case_run(second, context, larger, 0x5a, NULL);
    if (status != TKP_OK) {
        snprintf(
            text, sizeof(text), "%s: %s", tkp_status_string(status),
            tkp_last_message());
        return text;
    }
    const char *damage = tkp_test_case_damage(first);
    if (damage)
        return damage;
    if (!tkp_test_case_same_bits(first, second))
        return "two runs differ";
    return NULL;
}

/* Of the argument that has most. */
static int64_t rows_of(const tkp_test_case *c)
{
    int64_t most = 0;
    for (int32_t i = 0; i < c->n_args; i++)
        if (c->args[i].ndim > 0 && c->args[i].shape[0] > most)
            most = c->args[i].shape[0];
    return most;
}

static void one_case(
    const tkp_test_kind *kind,
    int32_t i,
    const char *name,
    tkp_context *context,
    tkp_context *ref,
    tally *t)
{
    const uint64_t seed = (uint64_t)number_from("TKP_TEST_SEED", 0);
    tkp_test_case expected, first, second, larger;
    tkp_test_case_make(&expected, kind, i, seed);
    tkp_test_case_make(&first, kind, i, seed);
    tkp_test_case_make(&second, kind, i, seed);
    tkp_test_case_make(&larger, kind, (i + 1) % kind->cases, seed);

    if (rows_of(&first) > number_from("TKP_TEST_LARGEST", INT32_MAX))
        goto out;
    tkp_test_report report = {.ok = true};
    bool unsupported = false;
    const char *ran = "";
    const char *wrong = NULL;
    if (tkp_test_case_run(&expected, ref, NULL, 0xff, &ran) != TKP_OK)
        wrong = tkp_last_message();
    if (!wrong)
        wrong =
            run_twice(&first, &second, context, name, &larger, &unsupported);
    if (!wrong && !unsupported &&
        !tkp_test_case_compare(&first, &expected, &report))
        wrong = report.text;

    if (wrong) {
        t->failed++;
        fprintf(
            stderr,
            "FAILED %s: %s\n  %s\n  repro: TKP_TEST_BACKEND=%s TKP_TEST_OP=%s "
            "TKP_TEST_CASE=%d TKP_TEST_SEED=%llu ops_backend\n",
            name, expected.name, wrong, name, tkp_op_kind_string(kind->kind), i,
            (unsigned long long)seed);
    } else if (unsupported) {
        t->unsupported++;
    } else {
        t->passed++;
        t->warned += report.warned;
        t->worst = report.error > t->worst ? report.error : t->worst;
    }
    if (getenv("TKP_TEST_VERBOSE"))
        fprintf(
            stderr, "%s %d %s: %s\n", name, i, expected.name,
            wrong         ? "failed"
            : unsupported ? "not supported"
                          : report.text);
out:
    tkp_test_case_free(&expected);
    tkp_test_case_free(&first);
    tkp_test_case_free(&second);
    tkp_test_case_free(&larger);
}

/* All cases of a kind on one backend; threads change from case to case. */
static int32_t one_backend(const tkp_test_kind *kind, const char *name)
{
    tkp_context *ref = tkp_test_context("ref", 1);
    tkp_context *contexts[2] = {
        tkp_test_context(name, 1), tkp_test_context(name, 3)};
    ck_assert_msg(
        ref && contexts[0] && contexts[1], "%s: %s", name, tkp_last_message());
    const long only = number_from("TKP_TEST_CASE", -1);
    const long step = number_from("TKP_TEST_STEP", 1);
    tally t = {0};
    for (int32_t i = 0; i < kind->cases; i++)
        if (only < 0 ? i % step == 0 : i == only)
            one_case(kind, i, name, contexts[i % 2], ref, &t);
    printf(
        "%s: %s: %d passed (%d above the first level, worst %.2g), %d not "
        "supported, %d failed\n",
        name, tkp_op_kind_string(kind->kind), t.passed, t.warned, t.worst,
        t.unsupported, t.failed);
    fflush(stdout);
    tkp_context_destroy(contexts[0]);
    tkp_context_destroy(contexts[1]);
    tkp_context_destroy(ref);
    return t.failed;
}

START_TEST(op_run__cases_of_a_kind__backends_agree_with_ref)
{
    const tkp_test_kind *kind = tkp_test_kind_at(_i);
    const char *only = getenv("TKP_TEST_OP");
    if (only && strcmp(only, tkp_op_kind_string(kind->kind)) != 0)
        return;
    char names[sizeof(backends)];
    memcpy(names, backends, sizeof(names));
    int32_t failed = 0;
    char *rest = NULL;
    for (char *name = strtok_r(names, " ", &rest); name;
         name = strtok_r(NULL, " ", &rest))
        failed += one_backend(kind, name);
    ck_assert_msg(
        failed == 0, "%s: %d cases failed", tkp_op_kind_string(kind->kind),
        failed);
}
END_TEST

int main(void)
{
    const char *chosen = getenv("TKP_TEST_BACKEND");
    if (chosen && chosen[0] && tkp_test_has_backend(chosen))
        snprintf(backends, sizeof(backends), "%s", chosen);
    else if (!chosen || !chosen[0])
        snprintf(backends, sizeof(backends), "%s", tkp_test_other_backends());
    if (!backends[0]) {
        printf("skipped: no backend besides ref\n");
        return 77;
    }
    Suite *suite = suite_create("ops/backend");
    TCase *tests = tcase_create("ref");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(
        tests, op_run__cases_of_a_kind__backends_agree_with_ref, 0,
        tkp_test_kinds());
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
