/*
 * Contexts, execs and backends, seen from outside.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_backend.h"
#include "test_allocator.h"
#include "tokenprune/context.h"

/* Folder of the modules that tests_core.cmake builds. */
static const char *modules(void)
{
    const char *dir = getenv("TKP_TEST_MODULES");
    return dir ? dir : "modules";
}

static void setup(void)
{
    static const char *const variables[] = {
        "TKP_BACKEND", "TKP_BACKEND_DIR", "TKP_DISABLE", "TKP_VERBOSE",
        "TKP_TEST_CUDA_MODULE_LOADED"};
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        unsetenv(variables[i]);
    fake_setup();
}

/* No modules, no surprises. */
static tkp_context_options plain_options(void)
{
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    options.backend_dir = "/nonexistent";
    return options;
}

static void expect(tkp_status got, tkp_status wanted, const char *message)
{
    ck_assert_msg(
        got == wanted, "%s, wanted %s: %s", tkp_status_string(got),
        tkp_status_string(wanted), tkp_last_message());
    if (wanted == TKP_OK)
        ck_assert_str_eq(tkp_last_message(), "");
    if (message)
        ck_assert_msg(
            strstr(tkp_last_message(), message), "\"%s\" has no \"%s\"",
            tkp_last_message(), message);
}

static void expect_refused(
    const tkp_context_options *options,
    tkp_status status,
    const char *message)
{
    tkp_context *context = (tkp_context *)&fake;
    expect(tkp_context_create(&context, options), status, message);
    ck_assert_ptr_eq(context, (tkp_context *)&fake);
}

/* The order of a context's backends as "a,b,c". */
static void
expect_backends(const tkp_context_options *options, const char *wanted)
{
    tkp_context *context = NULL;
    expect(tkp_context_create(&context, options), TKP_OK, NULL);
    char names[256] = "";
    for (int32_t i = 0; i < tkp_context_backend_count(context); i++) {
        strcat(names, i > 0 ? "," : "");
        strcat(names, tkp_context_backend_name(context, i));
        ck_assert_ptr_nonnull(tkp_context_backend_info(context, i));
    }
    ck_assert_str_eq(names, wanted);
    tkp_context_destroy(context);
}

/* --- options ---------------------------------------------------------------- */

START_TEST(options__macro_and_function__same_bytes)
{
    const tkp_context_options a = TKP_CONTEXT_OPTIONS_INIT;
    tkp_context_options b;
    memset(&b, 0xff, sizeof(b));
    tkp_context_options_init(&b);
    ck_assert_mem_eq(&a, &b, sizeof(a));
    const tkp_requirements c = TKP_REQUIREMENTS_INIT;
    tkp_requirements d;
    memset(&d, 0xff, sizeof(d));
    tkp_requirements_init(&d);
    ck_assert_mem_eq(&c, &d, sizeof(c));
    tkp_context_options_init(NULL);
    tkp_requirements_init(NULL);
}
END_TEST

START_TEST(context_create__options_of_other_versions__read_or_refused)
{
    struct {
        tkp_context_options known;
        uint64_t later;
    } newer = {.known = plain_options()};
    newer.known.struct_size = sizeof(newer);
    newer.known.threads = 3;
    tkp_context *context = NULL;
    expect(tkp_context_create(&context, &newer.known), TKP_OK, NULL);
    ck_assert_int_eq(tkp_context_threads(context), 3);
    tkp_context_destroy(context);
    newer.later = 1;
    expect_refused(&newer.known, TKP_ERR_OPTION, "the caller is newer");

    tkp_context_options older = plain_options();
    older.struct_size = 0;
    expect_refused(&older, TKP_ERR_OPTION, "INIT macro");
    older.struct_size = sizeof(older) - 1;
    expect_refused(&older, TKP_ERR_OPTION, "INIT macro");
}
END_TEST

START_TEST(context_create__each_field_wrong_once__refused_by_name)
{
    tkp_context_options o = plain_options();
    o.flags = 1;
    expect_refused(&o, TKP_ERR_OPTION, "flags");
    o = plain_options();
    o.threads = -1;
    expect_refused(&o, TKP_ERR_OPTION, "threads");
    o.threads = 1025;
    expect_refused(&o, TKP_ERR_OPTION, "threads");
    o = plain_options();
    o.device_type = 7;
    expect_refused(&o, TKP_ERR_OPTION, "device_type");
    o = plain_options();
    o.device_id = 1;
    expect_refused(&o, TKP_ERR_OPTION, "device_id");
    o.device_id = -1;
    expect_refused(&o, TKP_ERR_OPTION, "device_id");
    o = plain_options();
    o.reserved = 1;
    expect_refused(&o, TKP_ERR_OPTION, "reserved");
    expect(tkp_context_create(NULL, NULL), TKP_ERR_ARGUMENT, "out");
}
END_TEST

START_TEST(context_create__null_options__defaults)
{
    setenv("TKP_BACKEND_DIR", "/nonexistent", 1);
    tkp_context *context = NULL;
    expect(tkp_context_create(&context, NULL), TKP_OK, NULL);
    ck_assert_int_eq(tkp_context_threads(context), 1);
    const int32_t count = tkp_context_backend_count(context);
    ck_assert_int_ge(count, 1);
    ck_assert_str_eq(tkp_context_backend_name(context, count - 1), "ref");
    ck_assert_ptr_null(tkp_context_backend_name(context, count));
    ck_assert_ptr_null(tkp_context_backend_name(context, -1));
    ck_assert_ptr_null(tkp_context_backend_info(context, count));
    tkp_context_destroy(context);
    tkp_context_destroy(NULL);
    ck_assert_int_eq(tkp_context_backend_count(NULL), 0);
    ck_assert_ptr_null(tkp_context_backend_name(NULL, 0));
    ck_assert_int_eq(tkp_context_threads(NULL), 0);
}
END_TEST

/* --- order of backends -------------------------------------------------------- */

START_TEST(backends__named__in_that_order)
{
    tkp_context_options o = plain_options();
    o.backends = "fake,ref";
    expect_backends(&o, "fake,ref");
    o.backends = "fake";
    expect_backends(&o, "fake,ref");
    o.backends = " ref , fake ";
    expect_backends(&o, "ref,fake");
    o.backends = "ref";
    expect_backends(&o, "ref");
}
END_TEST

START_TEST(backends__environment__used_unless_options_say_otherwise)
{
    setenv("TKP_BACKEND", "ref", 1);
    tkp_context_options o = plain_options();
    expect_backends(&o, "ref");
    o.backends = "fake";
    expect_backends(&o, "fake,ref");
    setenv("TKP_BACKEND", "nosuch", 1);
    o.backends = NULL;
    expect_refused(&o, TKP_ERR_NO_BACKEND, "nosuch");
    setenv("TKP_BACKEND", "", 1);
    expect_backends(&o, "fake,ref");
}
END_TEST

START_TEST(backends__not_to_be_had__reason)
{
    tkp_context_options o = plain_options();
    o.backends = "nosuch";
    expect_refused(
        &o, TKP_ERR_NO_BACKEND,
        "nosuch: no module libtokenprune-nosuch.so in /nonexistent");
    fake.score = 0;
    o.backends = "fake";
    expect_refused(
        &o, TKP_ERR_NO_BACKEND, "fake: cannot run here: it is switched off");
    o.backends = NULL;
    expect_backends(&o, "ref");
}
END_TEST

START_TEST(backends__list_not_well_formed__refused)
{
    static const char *const bad[] = {"../ref", "ref,",     "ref,,fake", ",",
                                      "Ref",    "ref fake", "ref;fake",  " "};
    tkp_context_options o = plain_options();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        o.backends = bad[i];
        expect_refused(&o, TKP_ERR_OPTION, "backends");
    }
    o.backends = "ref,fake,ref";
    expect_refused(&o, TKP_ERR_OPTION, "ref is listed twice");
}
END_TEST

/* --- modules ------------------------------------------------------------------ */

START_TEST(modules__not_named__all_that_can_run_best_first)
{
    tkp_context_options o = plain_options();
    o.backend_dir = modules();
    expect_backends(&o, "fake,better,good,ref");
    fake.score = 15;
    expect_backends(&o, "better,fake,good,ref");
    ck_assert_ptr_null(getenv("TKP_TEST_CUDA_MODULE_LOADED"));
}
END_TEST

START_TEST(modules__folder_from_environment__used)
{
    setenv("TKP_BACKEND_DIR", modules(), 1);
    tkp_context_options o = TKP_CONTEXT_OPTIONS_INIT;
    o.backends = "good";
    expect_backends(&o, "good,ref");
    o.backend_dir = "/nonexistent";
    expect_refused(&o, TKP_ERR_NO_BACKEND, "/nonexistent");
}
END_TEST

START_TEST(modules__current_directory__not_looked_into)
{
    ck_assert_int_eq(chdir(modules()), 0);
    tkp_context_options o = TKP_CONTEXT_OPTIONS_INIT;
    o.backends = "good";
    expect_refused(&o, TKP_ERR_NO_BACKEND, "libtokenprune-good.so in /");
    o.backends = "./good";
    expect_refused(&o, TKP_ERR_OPTION, "backends");
    setenv("LD_LIBRARY_PATH", ".", 1);
    o.backends = "good";
    expect_refused(&o, TKP_ERR_NO_BACKEND, "libtokenprune-good.so in /");
}
END_TEST

START_TEST(modules__damaged_or_foreign__reason)
{
    tkp_context_options o = plain_options();
    o.backend_dir = modules();
    o.backends = "oldabi";
    expect_refused(
        &o, TKP_ERR_NO_BACKEND, "backend ABI version is 99, wanted 1");
    o.backends = "noentry";
    expect_refused(&o, TKP_ERR_NO_BACKEND, "no symbol tkp_backend_entry");
    o.backends = "misnamed";
    expect_refused(&o, TKP_ERR_NO_BACKEND, "is named \"other\"");
    o.backends = "unable";
    expect_refused(&o, TKP_ERR_NO_BACKEND, "flux capacitor");
    o.backends = "cudafake";
    expect_refused(
        &o, TKP_ERR_NO_BACKEND, "works on CUDA, the context is for the CPU");
}
END_TEST

START_TEST(modules__disabled__left_out_unless_named)
{
    tkp_context_options o = plain_options();
    o.backend_dir = modules();
    setenv("TKP_DISABLE", "avx512, better", 1);
    expect_backends(&o, "fake,good,ref");
    ck_assert_int_eq(tkp_sys_disabled("avx512"), 1);
    ck_assert_int_eq(tkp_sys_disabled("better"), 1);
    ck_assert_int_eq(tkp_sys_disabled("avx"), 0);
    ck_assert_int_eq(tkp_sys_disabled(""), 0);
    ck_assert_int_eq(tkp_sys_disabled(NULL), 0);
    o.backends = "better";
    expect_backends(&o, "better,ref");
    unsetenv("TKP_DISABLE");
    expect_backends(&o, "better,ref");
    ck_assert_int_eq(tkp_sys_disabled("avx512"), 0);
}
END_TEST

START_TEST(modules__cuda_context__never_falls_back_to_the_cpu)
{
    tkp_context_options o = plain_options();
    o.device_type = TKP_DEVICE_CUDA;
    expect_refused(
        &o, TKP_ERR_NO_BACKEND,
        "no CUDA backend: no module libtokenprune-cuda.so in /nonexistent");
    o.backends = "ref";
    expect_refused(
        &o, TKP_ERR_NO_BACKEND,
        "ref: works on the CPU, the context is for CUDA");
    o.backends = NULL;
    o.backend_dir = modules();
    expect_backends(&o, "cudafake");
    o.device_id = 1;
    expect_backends(&o, "cudafake");
    o.device_id = 2;
    expect_refused(&o, TKP_ERR_NO_BACKEND, "device_id is 2, it sees 2 devices");
}
END_TEST

/* --- registration --------------------------------------------------------------- */

static void expect_not_registered(
    const tkp_backend_vtable *table,
    tkp_status status,
    const char *message)
{
    expect(tkp_backend_register(table), status, message);
}

START_TEST(register__wrong_table__refused)
{
    expect_not_registered(NULL, TKP_ERR_ARGUMENT, "vtable");
    tkp_backend_vtable t = fake_backend;
    expect_not_registered(&t, TKP_ERR_ARGUMENT, "the name is taken");
    t.name = "ref";
    expect_not_registered(&t, TKP_ERR_ARGUMENT, "the name is taken");
    t.name = "Fancy/Name";
    expect_not_registered(&t, TKP_ERR_ARGUMENT, "name");
    t.name = NULL;
    expect_not_registered(&t, TKP_ERR_ARGUMENT, "name");
    t.name = "fresh";
    t.abi_version = 0;
    expect_not_registered(&t, TKP_ERR_VERSION, "ABI version is 0");
    t = fake_backend;
    t.name = "fresh";
    t.struct_size = 16;
    expect_not_registered(&t, TKP_ERR_OPTION, "struct_size");
    t.struct_size = sizeof(t);
    t.device_type = 9;
    expect_not_registered(&t, TKP_ERR_ARGUMENT, "device_type");
}
END_TEST

START_TEST(register__missing_entry__refused_by_name)
{
#define WITHOUT(entry)                                                         \
    do {                                                                       \
        tkp_backend_vtable t = fake_backend;                                   \
        t.name = "fresh";                                                      \
        t.entry = NULL;                                                        \
        expect_not_registered(&t, TKP_ERR_ARGUMENT, #entry " is NULL");        \
    } while (0)
    WITHOUT(score);
    WITHOUT(info);
    WITHOUT(device_count);
    WITHOUT(supports);
    WITHOUT(plan);
    WITHOUT(run);
    WITHOUT(plan_destroy);
    WITHOUT(exec_destroy);
#undef WITHOUT
}
END_TEST

START_TEST(register__seventeenth__refused)
{
    static char names[20][16];
    int taken = 0;
    tkp_status status = TKP_OK;
    for (int i = 0; i < 20 && status == TKP_OK; i++) {
        tkp_backend_vtable t = fake_backend;
        snprintf(names[i], sizeof(names[i]), "many%d", i);
        t.name = names[i];
        status = tkp_backend_register(&t);
        taken += status == TKP_OK;
    }
    expect(status, TKP_ERR_ARGUMENT, "16 are registered");
    ck_assert_int_eq(taken, 15); /* and the fake one */
}
END_TEST

/* --- log -------------------------------------------------------------------------- */

static char logged[1024];

static void keep_line(void *user, int32_t level, const char *line)
{
    ck_assert_ptr_eq(user, logged);
    ck_assert_int_eq(level, TKP_LOG_INFO);
    ck_assert_ptr_null(strchr(line, '\n'));
    strncat(logged, line, sizeof(logged) - strlen(logged) - 2);
    strcat(logged, "|");
}

START_TEST(log__own_function__hears_of_the_backends)
{
    tkp_context_options o = plain_options();
    o.log = keep_line;
    o.log_user = logged;
    logged[0] = '\0';
    expect_backends(&o, "fake,ref");
    ck_assert_ptr_nonnull(
        strstr(logged, "tokenprune,backend,0,fake,fake 1.0|"));
    ck_assert_ptr_nonnull(strstr(logged, "tokenprune,backend,1,ref,"));
    logged[0] = '\0';
    fake.score = 0;
    expect_backends(&o, "ref");
    ck_assert_ptr_nonnull(
        strstr(logged, "skip,fake: cannot run here: it is switched off|"));
}
END_TEST

/* --- exec ------------------------------------------------------------------------- */

static tkp_context *fake_context(void)
{
    tkp_context_options o = plain_options();
    o.backends = "fake";
    tkp_context *context = NULL;
    expect(tkp_context_create(&context, &o), TKP_OK, NULL);
    return context;
}

START_TEST(exec__wrong_arguments__refused)
{
    tkp_context *context = fake_context();
    tkp_exec *exec = NULL;
    expect(tkp_exec_create(NULL, context, NULL), TKP_ERR_ARGUMENT, "out");
    expect(tkp_exec_create(&exec, NULL, NULL), TKP_ERR_ARGUMENT, "context");
    expect(tkp_exec_create(&exec, context, logged), TKP_ERR_ARGUMENT, "stream");
    ck_assert_ptr_null(exec);
    fake.exec_fails = TKP_ERR_DEVICE;
    expect(
        tkp_exec_create(&exec, context, NULL), TKP_ERR_DEVICE,
        "fake: no exec today");
    ck_assert_ptr_null(exec);
    fake.exec_fails = TKP_OK;

    expect(tkp_exec_create(&exec, context, NULL), TKP_OK, NULL);
    _Alignas(64) static char memory[256];
    expect(tkp_exec_set_workspace(NULL, memory, 64), TKP_ERR_ARGUMENT, "exec");
    expect(
        tkp_exec_set_workspace(exec, NULL, 64), TKP_ERR_ARGUMENT, "workspace");
    expect(
        tkp_exec_set_workspace(exec, memory + 32, 64), TKP_ERR_WORKSPACE,
        "not aligned to 64");
    expect(tkp_exec_set_workspace(exec, memory, 256), TKP_OK, NULL);
    expect(tkp_exec_set_workspace(exec, NULL, 0), TKP_OK, NULL);
    tkp_exec_destroy(exec);
    tkp_exec_destroy(NULL);
    tkp_context_destroy(context);
    ck_assert_int_eq(fake.execs, 0);
}
END_TEST

START_TEST(context_destroy__live_exec__goes_with_it)
{
    test_allocator_install(-1);
    tkp_context *context = fake_context();
    tkp_exec *exec = NULL, *other = NULL;
    expect(tkp_exec_create(&exec, context, NULL), TKP_OK, NULL);
    expect(tkp_exec_create(&other, context, NULL), TKP_OK, NULL);
    tkp_context_destroy(context);
    ck_assert_int_gt(test_allocator.live, 0);
    tkp_exec_destroy(exec);
    expect(tkp_exec_set_workspace(other, NULL, 0), TKP_OK, NULL);
    tkp_exec_destroy(other);
    test_allocator_remove();
}
END_TEST

START_TEST(context_and_exec__no_memory_at_call_n__no_leak)
{
    int failures = 0;
    for (int n = 0;; n++) {
        test_allocator_install(n);
        tkp_context_options o = plain_options();
        o.backends = "fake";
        tkp_context *context = NULL;
        tkp_exec *exec = NULL;
        tkp_status status = tkp_context_create(&context, &o);
        if (status == TKP_OK)
            status = tkp_exec_create(&exec, context, NULL);
        if (status != TKP_OK) {
            expect(status, TKP_ERR_MEMORY, "out of memory");
            failures++;
        }
        tkp_exec_destroy(exec);
        tkp_context_destroy(context);
        test_allocator_remove();
        ck_assert_int_eq(fake.execs, 0);
        if (status == TKP_OK)
            break;
    }
    ck_assert_int_ge(failures, 3); /* context, exec, the backend's state */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/context");

    TCase *options = tcase_create("options");
    tcase_add_checked_fixture(options, setup, NULL);
    tcase_add_test(options, options__macro_and_function__same_bytes);
    tcase_add_test(
        options, context_create__options_of_other_versions__read_or_refused);
    tcase_add_test(
        options, context_create__each_field_wrong_once__refused_by_name);
    tcase_add_test(options, context_create__null_options__defaults);
    suite_add_tcase(suite, options);

    TCase *order = tcase_create("order");
    tcase_add_checked_fixture(order, setup, NULL);
    tcase_add_test(order, backends__named__in_that_order);
    tcase_add_test(
        order, backends__environment__used_unless_options_say_otherwise);
    tcase_add_test(order, backends__not_to_be_had__reason);
    tcase_add_test(order, backends__list_not_well_formed__refused);
    suite_add_tcase(suite, order);

    TCase *loading = tcase_create("modules");
    tcase_add_checked_fixture(loading, setup, NULL);
    tcase_add_test(loading, modules__not_named__all_that_can_run_best_first);
    tcase_add_test(loading, modules__folder_from_environment__used);
    tcase_add_test(loading, modules__current_directory__not_looked_into);
    tcase_add_test(loading, modules__damaged_or_foreign__reason);
    tcase_add_test(loading, modules__disabled__left_out_unless_named);
    tcase_add_test(loading, modules__cuda_context__never_falls_back_to_the_cpu);
    suite_add_tcase(suite, loading);

    TCase *exec = tcase_create("exec");
    tcase_add_checked_fixture(exec, setup, NULL);
    tcase_add_test(exec, log__own_function__hears_of_the_backends);
    tcase_add_test(exec, exec__wrong_arguments__refused);
    tcase_add_test(exec, context_destroy__live_exec__goes_with_it);
    tcase_add_test(exec, context_and_exec__no_memory_at_call_n__no_leak);
    suite_add_tcase(suite, exec);

    /* Last: without forks they fill the registry for good. */
    TCase *registry = tcase_create("registry");
    tcase_add_checked_fixture(registry, setup, NULL);
    tcase_add_test(registry, register__wrong_table__refused);
    tcase_add_test(registry, register__missing_entry__refused_by_name);
    tcase_add_test(registry, register__seventeenth__refused);
    suite_add_tcase(suite, registry);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
