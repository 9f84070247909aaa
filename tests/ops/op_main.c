#include "op_main.h"

#include "op_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

tkp_context *tkp_test_context(const char *backend, int32_t threads)
{
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    options.backends = backend;
    options.device_type = tkp_test_device_type(backend);
    options.threads = threads;
    tkp_context *context = NULL;
    if (tkp_context_create(&context, &options) != TKP_OK)
        return NULL;
    return context;
}

const char *tkp_test_backend(void)
{
    const char *name = getenv("TKP_TEST_BACKEND");
    return name && name[0] ? name : "ref";
}

tkp_status tkp_test_run(
    int32_t kind,
    const void *params,
    const tkp_tensor *args,
    int32_t n_args)
{
    tkp_context *context = tkp_test_context(tkp_test_backend(), 1);
    ck_assert_msg(context != NULL, "%s", tkp_last_message());
    tkp_op_desc desc = TKP_OP_DESC_INIT;
    desc.kind = kind;
    desc.params = params;
    desc.args = args;
    desc.n_args = n_args;
    tkp_op *op = NULL;
    tkp_status status = tkp_op_create(&op, context, &desc);
    ck_assert_msg(status == TKP_OK, "%s", tkp_last_message());
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    ck_assert_int_eq(tkp_op_query(op, &need), TKP_OK);
    const size_t room = (need.workspace_bytes + 63) / 64 * 64;
    void *workspace = aligned_alloc(64, room ? room : 64);
    ck_assert_ptr_nonnull(workspace);
    memset(workspace, 0xff, room);
    tkp_exec *exec = NULL;
    ck_assert_int_eq(tkp_exec_create(&exec, context, NULL), TKP_OK);
    ck_assert_int_eq(
        tkp_exec_set_workspace(exec, workspace, need.workspace_bytes), TKP_OK);
    status = tkp_op_run(op, exec, args, n_args);
    /* Keep the message over the calls below. */
    static char message[1024];
    snprintf(message, sizeof(message), "%s", tkp_last_message());
    tkp_exec_destroy(exec);
    tkp_op_destroy(op);
    tkp_context_destroy(context);
    free(workspace);
    if (status != TKP_OK)
        fprintf(stderr, "  answered: %s\n", message);
    return status;
}

/* What `write_it` prints in a child comes back; NULL if the child failed. */
static const char *ask_child(void (*write_it)(FILE *, void *), void *user)
{
    static char text[256];
    int ends[2];
    if (pipe(ends) != 0)
        return NULL;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        FILE *out = fdopen(ends[1], "w");
        write_it(out, user);
        fclose(out);
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t got = 1;
    while (got > 0 && used + 1 < sizeof(text)) {
        got = read(ends[0], text + used, sizeof(text) - 1 - used);
        used += got > 0 ? (size_t)got : 0;
    }
    text[used] = '\0';
    close(ends[0]);
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        return NULL;
    return text;
}

static void write_others(FILE *out, void *user)
{
    (void)user;
    tkp_context *context = NULL;
    if (tkp_context_create(&context, NULL) != TKP_OK)
        return;
    for (int32_t i = 0; i < tkp_context_backend_count(context); i++)
        if (strcmp(tkp_context_backend_name(context, i), "ref") != 0)
            fprintf(out, "%s ", tkp_context_backend_name(context, i));
    tkp_context_destroy(context);
}

const char *tkp_test_other_backends(void)
{
    const char *names = ask_child(write_others, NULL);
    return names ? names : "";
}

static void write_presence(FILE *out, void *user)
{
    tkp_context *context = tkp_test_context(user, 1);
    fprintf(out, "%s", context ? "yes" : tkp_last_message());
    tkp_context_destroy(context);
}

int tkp_test_has_backend(const char *backend)
{
    char name[64];
    snprintf(name, sizeof(name), "%s", backend);
    const char *answer = ask_child(write_presence, name);
    if (answer && strcmp(answer, "yes") == 0)
        return 1;
    printf("%s: %s\n", backend, answer ? answer : "cannot be asked");
    return 0;
}

tkp_tensor tkp_test_1d(void *data, int32_t dtype, int64_t n)
{
    tkp_tensor t;
    tkp_tensor_make_1d(&t, data, dtype, n);
    return t;
}

tkp_tensor tkp_test_2d(void *data, int32_t dtype, int64_t m, int64_t n)
{
    tkp_tensor t;
    tkp_tensor_make_2d(&t, data, dtype, m, n);
    return t;
}

tkp_tensor
tkp_test_3d(void *data, int32_t dtype, int64_t a, int64_t b, int64_t c)
{
    tkp_tensor t;
    tkp_tensor_make_3d(&t, data, dtype, a, b, c);
    return t;
}

tkp_tensor tkp_test_none(void)
{
    tkp_tensor t;
    memset(&t, 0, sizeof(t));
    t.device_type = TKP_DEVICE_CPU;
    return t;
}

int tkp_test_main(Suite *suite)
{
    if (!tkp_test_has_backend(tkp_test_backend())) {
        printf("skipped: no backend \"%s\"\n", tkp_test_backend());
        return 77;
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
