/*
 * Lesson 5, the program: put a backend module before the others, see which of
 * them serves an op, and hold its numbers against the reference.
 *
 *     cc 05_custom_backend.c $(pkg-config --cflags --libs tokenprune) \
 *         -lm -o 05_custom_backend && ./05_custom_backend "$PWD"
 *
 * It is told in which folder the module lies.
 */
#include "lesson.h"

#include <math.h>
#include <string.h>

enum { ROWS = 40, CHANNELS = 64 };

/* Norms of all rows, by the first of `backends` that can. */
static void norms(
    const char *backends,
    const char *folder,
    int32_t norm,
    float *out,
    char served_by[64])
{
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    options.backends = backends;
    options.backend_dir = folder;
    tkp_context *context;
    tkp_exec *exec;
    check(tkp_context_create(&context, &options));
    check(tkp_exec_create(&exec, context, NULL));

    /* The op table below scorers and selectors: for extenders. */
    float *data = numbers(ROWS * CHANNELS, 5);
    tkp_tensor args[3];
    memset(args, 0, sizeof(args));
    tkp_tensor_make_2d(&args[0], data, TKP_DTYPE_F32, ROWS, CHANNELS);
    tkp_tensor_make_1d(&args[2], out, TKP_DTYPE_F32, ROWS);
    tkp_op_row_norm params = {sizeof(params), norm};
    tkp_op_desc desc = TKP_OP_DESC_INIT;
    desc.kind = TKP_OP_ROW_NORM;
    desc.args = args;
    desc.n_args = 3;
    desc.params = &params;
    tkp_op *op;
    check(tkp_op_create(&op, context, &desc));
    tkp_requirements needed = TKP_REQUIREMENTS_INIT;
    check(tkp_op_query(op, &needed));
    void *workspace = memory(needed.workspace_bytes);
    check(tkp_exec_set_workspace(exec, workspace, needed.workspace_bytes));
    check(tkp_op_run(op, exec, args, 3));
    snprintf(served_by, 64, "%s: %s", needed.backend, needed.kernel);

    tkp_op_destroy(op);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
    free(workspace);
    free(data);
}

int main(int argc, char **argv)
{
    expect(argc == 2, "the folder of the module is given");
    float ours[ROWS], reference[ROWS];
    char served_by[64];

    norms("lesson,ref", argv[1], TKP_NORM_L1, ours, served_by);
    printf("L1: %s\n", served_by);
    expect(
        strcmp(served_by, "lesson: lesson_row_norm") == 0,
        "the module serves what it supports");
    norms("ref", argv[1], TKP_NORM_L1, reference, served_by);
    for (int i = 0; i < ROWS; i++)
        expect(
            fabsf(ours[i] - reference[i]) <= 1e-6f * reference[i],
            "it agrees with the reference");

    norms("lesson,ref", argv[1], TKP_NORM_L2, ours, served_by);
    printf("L2: %s\n", served_by);
    expect(
        strncmp(served_by, "ref:", 4) == 0,
        "the next backend serves what it does not");
    return 0;
}
