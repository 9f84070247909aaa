/*
 * What a call costs apart from its work: top 2 of 6 tokens, again and again.
 * The bindings measure the same call; what they take more is their own.
 *
 *     bin/tkp_bench_call [calls]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tokenprune.h"

static void check(tkp_status status)
{
    if (status == TKP_OK)
        return;
    fprintf(stderr, "%s: %s\n", tkp_status_string(status), tkp_last_message());
    exit(1);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    enum { ROUNDS = 9 };
    const long calls = argc > 1 ? strtol(argv[1], NULL, 10) : 200000;
    tkp_context_options on_ref = TKP_CONTEXT_OPTIONS_INIT;
    tkp_sequence_desc prompt = TKP_SEQUENCE_DESC_INIT;
    tkp_image_desc image = TKP_IMAGE_DESC_INIT;
    tkp_selector_options topk = TKP_SELECTOR_OPTIONS_INIT;
    tkp_budget two = TKP_BUDGET_INIT;
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    tkp_context *context;
    tkp_exec *exec;
    tkp_layout *layout;
    tkp_selector *selector;
    if (calls < 1)
        return 2;
    on_ref.backends = "ref";
    prompt.length = 8;
    image.start = 1;
    image.rows = 2;
    image.cols = 3;
    topk.kind = TKP_SELECTOR_TOPK;
    two.kind = TKP_BUDGET_COUNT;
    two.count = 2;
    check(tkp_context_create(&context, &on_ref));
    check(tkp_exec_create(&exec, context, NULL));
    check(tkp_layout_create(&layout));
    check(tkp_layout_add_sequence(layout, &prompt, NULL));
    check(tkp_layout_add_image(layout, &image, NULL));
    check(tkp_selector_create(&selector, context, &topk, &two, layout));
    check(tkp_selector_query(selector, &need));
    const size_t bytes = (need.workspace_bytes + 64) / 64 * 64;
    void *workspace = aligned_alloc(64, bytes);
    check(tkp_exec_set_workspace(exec, workspace, bytes));

    float scores[6] = {0, 5, 1, 7, 2, 3};
    int32_t kept[2];
    tkp_tensor in;
    tkp_tensor out;
    tkp_tensor_make_1d(&in, scores, TKP_DTYPE_F32, 6);
    tkp_tensor_make_1d(&out, kept, TKP_DTYPE_I32, 2);
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        const double start = seconds();
        for (long i = 0; i < calls; i++)
            check(tkp_selector_run(selector, exec, &in, &out, NULL));
        const double each = (seconds() - start) / (double)calls;
        best = each < best ? each : best;
    }
    printf(
        "%.1f ns a call, best of %d rounds of %ld\n", 1e9 * best, ROUNDS,
        calls);
    if (kept[0] != 1 || kept[1] != 3)
        return 1;
    tkp_selector_destroy(selector);
    tkp_layout_destroy(layout);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
    free(workspace);
    return 0;
}
