/* tokenprune policy, doctor, help; and that the papers name every option. */
#include "cli_testing.h"
#include "tokenprune.h"

static char folder[PATH_MAX];
static char file[PATH_MAX + 64];

static void setup(void)
{
    scratch_make(folder);
}

static void teardown(void)
{
    scratch_remove(folder);
}

static const char *put(const char *name, const char *text)
{
    snprintf(file, sizeof(file), "%s/%s", folder, name);
    write_whole(file, text, strlen(text));
    return file;
}

/* --- policy ------------------------------------------------------------------ */

START_TEST(policy_list__presets__a_line_each)
{
    spoken s = command("policy", "list", NULL);
    ck_assert_int_eq(s.code, 0);
    ck_assert_ptr_nonnull(strstr(s.out, "fastv  "));
    ck_assert_ptr_nonnull(strstr(s.out, "\npooling  "));
    ck_assert_ptr_nonnull(strstr(s.out, "\nrandom  "));
    ck_assert_ptr_nonnull(strstr(s.out, "  llm:2        text         Most "));
    forget(&s);
}
END_TEST

static const json_t *preset(const json_t *json, const char *name)
{
    size_t i;
    const json_t *policy;
    json_array_foreach(json_object_get(json, "policies"), i, policy)
    {
        const json_t *value = json_object_get(policy, "name");
        if (!strcmp(json_string_value(value), name))
            return policy;
    }
    ck_abort_msg("no preset %s", name);
    return NULL;
}

static bool says(const json_t *policy, const char *key)
{
    return json_is_true(json_object_get(policy, key));
}

static const char *first(const json_t *policy, const char *key)
{
    const json_t *list = json_object_get(policy, key);
    return json_string_value(json_array_get(list, 0));
}

START_TEST(policy_list_json__presets__with_what_they_need)
{
    json_t *json =
        assert_json(command("policy", "list", "--json", NULL), "policy");
    ck_assert_int_eq(
        json_array_size(json_object_get(json, "policies")),
        tkp_policy_preset_count());
    const json_t *fastv = preset(json, "fastv");
    ck_assert_str_eq(first(fastv, "stages"), "llm:2");
    ck_assert_str_eq(first(fastv, "needs"), "attention");
    ck_assert(says(fastv, "text_dependent"));
    ck_assert(!says(fastv, "merges"));
    ck_assert(says(fastv, "exact_count"));
    ck_assert_int_eq(json_int_at(fastv, "last_boundary"), 2);
    const json_t *divprune = preset(json, "divprune");
    ck_assert_str_eq(first(divprune, "stages"), "projector");
    ck_assert(!says(divprune, "text_dependent"));
    ck_assert_int_eq(json_int_at(divprune, "last_boundary"), -1);
    ck_assert(says(preset(json, "pooling-avg"), "merges"));
    json_decref(json);
}
END_TEST

START_TEST(policy_show__every_preset__passes_check)
{
    spoken s = command("policy", "list", NULL);
    for (char *line = strtok(s.out, "\n"); line; line = strtok(NULL, "\n")) {
        line[strcspn(line, " ")] = '\0';
        spoken shown = command("policy", "show", line, NULL);
        ck_assert_int_eq(shown.code, 0);
        spoken again =
            command("policy", "show", put("p.yaml", shown.out), NULL);
        ck_assert_str_eq(again.out, shown.out);
        spoken checked = command("policy", "check", file, NULL);
        ck_assert_int_eq(checked.code, 0);
        ck_assert_ptr_nonnull(strstr(checked.out, line));
        forget(&shown);
        forget(&again);
        forget(&checked);
    }
    forget(&s);
}
END_TEST

START_TEST(policy_check__bad_file__line_and_column)
{
    put("bad.yaml", "tokenprune: 1\nname: x\nstages:\n  - at: llm:2\n"
                    "    scorer: {kind: atention}\n");
    spoken s = command("policy", "check", file, NULL);
    char wanted[PATH_MAX + 128];
    snprintf(wanted, sizeof(wanted), "tokenprune: %s:5:20: ", file);
    ck_assert_msg(
        strncmp(s.err, wanted, strlen(wanted)) == 0, "it says %s", s.err);
    assert_refused(s, 1, "attention");
}
END_TEST

START_TEST(policy_check__good_after_bad__both_told)
{
    char bad[sizeof(file)];
    put("bad.yaml", "name: [\n");
    memcpy(bad, file, sizeof(bad));
    put("good.yaml", "tokenprune: 1\nname: good\nstages: []\n");
    spoken s = command("policy", "check", bad, file, NULL);
    ck_assert_int_eq(s.code, 1);
    ck_assert_ptr_nonnull(strstr(s.out, "policy 'good', 0 stages"));
    ck_assert_ptr_nonnull(strstr(s.err, "bad.yaml:"));
    forget(&s);
}
END_TEST

START_TEST(policy__usage_wrong__exit_2)
{
    assert_refused(command("policy", NULL), 2, "wanted list, show or check");
    assert_refused(command("policy", "lst", NULL), 2, "'lst'");
    assert_refused(command("policy", "show", "--json", "x", NULL), 2, "--json");
    assert_refused(command("policy", "show", NULL), 2, "one NAME or FILE");
    assert_refused(command("policy", "check", NULL), 2, "at least one FILE");
    assert_refused(command("policy", "list", "x", NULL), 2, "no operand");
    assert_refused(command("policy", "show", "nope", NULL), 1, "'nope'");
}
END_TEST

/* --- doctor ------------------------------------------------------------------- */

START_TEST(doctor__healthy__every_backend_passes)
{
    json_t *json = assert_json(command("doctor", "--json", NULL), "doctor");
    const json_t *backends = json_object_get(json, "backends");
    size_t i;
    const json_t *backend;
    ck_assert_uint_ge(json_array_size(backends), 1);
    json_array_foreach(backends, i, backend)
    {
        ck_assert_str_eq(
            json_string_value(json_object_get(backend, "selftest")), "passed");
    }
    ck_assert(json_is_true(json_object_get(json, "ok")));
    json_decref(json);
    spoken s = command("doctor", NULL);
    ck_assert_int_eq(s.code, 0);
    ck_assert_ptr_nonnull(strstr(s.out, "selftest: passed"));
    forget(&s);
}
END_TEST

START_TEST(doctor__backend_cannot_be_had__exit_1_and_why)
{
    setenv("TKP_BACKEND", "tpu", 1);
    spoken s = command("doctor", "--json", NULL);
    ck_assert_int_eq(s.code, 1);
    s.code = 0;
    json_t *json = assert_json(s, "doctor");
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(json, "failure")), "tpu"));
    json_decref(json);
    unsetenv("TKP_BACKEND");
}
END_TEST

START_TEST(doctor__module_damaged__left_out_with_reason)
{
    put("libtokenprune-broken.so", "this is no shared object");
    setenv("TKP_BACKEND_DIR", folder, 1);
    spoken s = command("doctor", NULL);
    ck_assert_int_eq(s.code, 1);
    ck_assert_ptr_nonnull(strstr(s.out, "left out: broken: "));
    forget(&s);
}
END_TEST

/* OpenMP's run-time library, loaded with the cpu module, tells what it took. */
static void assert_waiting(const char *value)
{
    char wanted[64];
    char module[PATH_MAX];
    const char *modules = getenv("TKP_BACKEND_DIR");
    snprintf(
        module, sizeof(module), "%s/libtokenprune-cpu.so",
        modules ? modules : ".");
    snprintf(wanted, sizeof(wanted), "OMP_WAIT_POLICY = '%s'", value);
    setenv("OMP_DISPLAY_ENV", "true", 1);
    spoken s = command("doctor", NULL);
    unsetenv("OMP_DISPLAY_ENV");
    ck_assert_int_eq(s.code, 0);
    ck_assert_msg(
        strstr(s.err, wanted) || access(module, R_OK) != 0, "it says %s",
        s.err);
    forget(&s);
}

START_TEST(doctor__wait_policy_unset__threads_sleep)
{
    unsetenv("OMP_WAIT_POLICY");
    assert_waiting("PASSIVE");
    setenv("OMP_WAIT_POLICY", "active", 1);
    assert_waiting("ACTIVE");
    setenv("OMP_WAIT_POLICY", "passive", 1);
}
END_TEST

/* --- help and papers ------------------------------------------------------------ */

static const char *const commands[] = {"run",  "select", "policy", "doctor",
                                       "eval", "report", "score",  "data"};
enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

START_TEST(help__every_command__usage_and_examples)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        spoken a = command("help", commands[i], NULL);
        spoken b = command(commands[i], "--help", NULL);
        ck_assert_int_eq(a.code, 0);
        ck_assert_int_eq(b.code, 0);
        ck_assert_str_eq(a.out, b.out);
        ck_assert_ptr_nonnull(strstr(a.out, "Usage: tokenprune "));
        ck_assert_ptr_nonnull(strstr(a.out, "\nExamples:\n"));
        forget(&a);
        forget(&b);
    }
    spoken s = command("--help", NULL);
    for (int i = 0; i < N_COMMANDS; i++)
        ck_assert_ptr_nonnull(strstr(s.out, commands[i]));
    forget(&s);
}
END_TEST

START_TEST(version__printed__first_line_is_short)
{
    spoken s = command("--version", NULL);
    ck_assert_int_eq(s.code, 0);
    ck_assert_msg(
        strncmp(s.out, "tokenprune 0.", 13) == 0 && strchr(s.out, '\n'),
        "it says %s", s.out);
    forget(&s);
}
END_TEST

static char *read_source(const char *name)
{
    char path[PATH_MAX];
    size_t size;
    const char *root = getenv("TKP_SOURCE_DIR");
    snprintf(path, sizeof(path), "%s/%s", root ? root : ".", name);
    return (char *)read_whole(path, &size);
}

/* The manual writes "-" as "\-". */
static void without_backslashes(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++)
        if (*from != '\\')
            *to++ = *from;
    *to = '\0';
}

START_TEST(papers__every_option__is_in_them)
{
    char *manual = read_source("docs/man/tokenprune.1");
    char *completion = read_source("completions/tokenprune.bash");
    without_backslashes(manual);
    for (int i = 0; i < N_COMMANDS; i++) {
        spoken s = command("help", commands[i], NULL);
        ck_assert_ptr_nonnull(strstr(manual, commands[i]));
        ck_assert_ptr_nonnull(strstr(completion, commands[i]));
        for (char *at = s.out; (at = strstr(at, " --")) != NULL;) {
            char name[40] = "";
            const size_t length = strspn(++at, "abcdefghijklmnopqrstuvwxyz-");
            ck_assert_uint_lt(length, sizeof(name));
            memcpy(name, at, length);
            ck_assert_msg(strstr(manual, name), "no %s in the manual", name);
            ck_assert_msg(
                strstr(completion, name), "no %s in the completion", name);
        }
        forget(&s);
    }
    free(manual);
    free(completion);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli/other");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, policy_list__presets__a_line_each);
    tcase_add_test(all, policy_list_json__presets__with_what_they_need);
    tcase_add_test(all, policy_show__every_preset__passes_check);
    tcase_add_test(all, policy_check__bad_file__line_and_column);
    tcase_add_test(all, policy_check__good_after_bad__both_told);
    tcase_add_test(all, policy__usage_wrong__exit_2);
    tcase_add_test(all, doctor__healthy__every_backend_passes);
    tcase_add_test(all, doctor__backend_cannot_be_had__exit_1_and_why);
    tcase_add_test(all, doctor__module_damaged__left_out_with_reason);
    tcase_add_test(all, doctor__wait_policy_unset__threads_sleep);
    tcase_add_test(all, help__every_command__usage_and_examples);
    tcase_add_test(all, version__printed__first_line_is_short);
    tcase_add_test(all, papers__every_option__is_in_them);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
