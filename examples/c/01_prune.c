/*
 * Lesson 1: prune one image at one boundary, as an engine does.
 *
 *     cc 01_prune.c $(pkg-config --cflags --libs tokenprune) -o 01_prune
 *
 * The tensors here are made up; in an engine they are what the forward has at
 * hand before decoder layer 2: hidden rows, and q and k of layer 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <tokenprune.h>

enum { LENGTH = 622, FIRST = 35, HIDDEN = 256, HEADS = 8, CHANNELS = 32 };

static void check(tkp_status status)
{
    if (status == TKP_OK)
        return;
    fprintf(stderr, "%s: %s\n", tkp_status_string(status), tkp_last_message());
    exit(1);
}

static float *numbers(size_t count)
{
    float *out = malloc(count * sizeof(*out));
    if (!out)
        exit(1);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return out;
}

int main(void)
{
    tkp_context *context;
    tkp_exec *exec;
    check(tkp_context_create(&context, NULL));
    check(tkp_exec_create(&exec, context, NULL));

    /* What the batch looks like: 622 tokens, a 24 x 24 image from row 35. */
    tkp_layout *layout;
    tkp_sequence_desc prompt = TKP_SEQUENCE_DESC_INIT;
    tkp_image_desc image = TKP_IMAGE_DESC_INIT;
    prompt.length = LENGTH;
    image.start = FIRST;
    image.rows = image.cols = 24;
    check(tkp_layout_create(&layout));
    check(tkp_layout_add_sequence(layout, &prompt, NULL));
    check(tkp_layout_add_image(layout, &image, NULL));

    /* What the model looks like, and the policy. */
    tkp_model_desc model = TKP_MODEL_DESC_INIT;
    model.dtype = TKP_DTYPE_F32;
    model.layers = 8;
    model.heads = HEADS;
    model.head_dim = CHANNELS;
    model.hidden = HIDDEN;
    model.intermediate = 704;
    tkp_policy *policy;
    check(tkp_policy_load_preset(&policy, "fastv"));

    tkp_sequence *sequence;
    check(tkp_sequence_create(&sequence, context));
    check(tkp_sequence_begin(sequence, exec, policy, layout, &model));

    /* Memory for intermediate results is ours to give. */
    tkp_requirements needed = TKP_REQUIREMENTS_INIT;
    check(tkp_sequence_query(sequence, &needed));
    const size_t bytes = (needed.workspace_bytes + 64) / 64 * 64;
    void *workspace = aligned_alloc(64, bytes);
    check(tkp_exec_set_workspace(exec, workspace, bytes));

    tkp_tensor hidden, q, k, kept;
    tkp_tensor_make_2d(
        &hidden, numbers(LENGTH * HIDDEN), TKP_DTYPE_F32, LENGTH, HIDDEN);
    tkp_tensor_make_3d(
        &q, numbers(LENGTH * HIDDEN), TKP_DTYPE_F32, LENGTH, HEADS, CHANNELS);
    tkp_tensor_make_3d(
        &k, numbers(LENGTH * HIDDEN), TKP_DTYPE_F32, LENGTH, HEADS, CHANNELS);

    /* The loop: run up to the point, let it decide, gather, go on. */
    tkp_point point = TKP_POINT_INIT;
    check(tkp_sequence_next(sequence, &point));
    while (point.kind) {
        /* ... here the forward runs layers 0 .. point.boundary - 1 ... */
        tkp_inputs inputs = TKP_INPUTS_INIT;
        inputs.hidden = &hidden;
        inputs.q = &q; /* all rows; the library picks what it wants */
        inputs.k = &k;
        tkp_decision decision = TKP_DECISION_INIT;
        check(tkp_sequence_prune(sequence, exec, &inputs, &decision));
        tkp_tensor_make_2d(
            &kept, hidden.data, TKP_DTYPE_F32, decision.rows_out, HIDDEN);
        check(tkp_gather_rows(sequence, exec, &kept, &hidden, &decision));
        /* ... and the layers after it on `kept`, with decision.positions ... */
        check(tkp_sequence_next(sequence, &point));
    }

    tkp_report report = TKP_REPORT_INIT;
    check(tkp_sequence_report(sequence, &report));
    printf(
        "%lld of %lld visual tokens stay; %.1f a layer on average; "
        "%.1f %% of the multiply-accumulates are left\n",
        (long long)report.visual_after, (long long)report.visual_before,
        report.equiv_in, 100.0 * report.macs / report.macs_unpruned);

    tkp_sequence_destroy(sequence);
    tkp_policy_destroy(policy);
    tkp_layout_destroy(layout);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
    free(workspace);
    free(hidden.data);
    free(q.data);
    free(k.data);
    return 0;
}
