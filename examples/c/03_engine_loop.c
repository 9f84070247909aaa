/*
 * Lesson 3: pruning inside an engine, with any policy that asks for what the
 * engine has. docs/guide.md walks through this file.
 *
 *     cc 03_engine_loop.c $(pkg-config --cflags --libs tokenprune) \
 *         -o 03_engine_loop && ./03_engine_loop fastv
 */
#include <string.h>

#include "toy_engine.h"

/* What this engine can hand over at a point. */
enum { HAVE = TKP_NEED_ATTENTION | TKP_NEED_KEYS | TKP_NEED_HIDDEN };

/* A policy that wants more, or cuts where this engine has no cut, is refused
 * before the first picture comes, not at the point. */
static int fits(const tkp_policy *policy)
{
    tkp_policy_info info = TKP_POLICY_INFO_INIT;
    check(tkp_policy_query(policy, &info));
    const uint32_t cannot =
        TKP_POLICY_IN_VISION | TKP_POLICY_EVICTS | TKP_POLICY_KEY_BIAS;
    return (info.needs & ~(uint32_t)HAVE) == 0 && (info.flags & cannot) == 0;
}

int main(int argc, char **argv)
{
    /* Once a process. */
    tkp_context *context;
    tkp_policy *policy;
    check(tkp_context_create(&context, NULL));
    check(tkp_policy_load_preset(&policy, argc > 1 ? argv[1] : "fastv"));
    if (!fits(policy)) {
        printf("%s: this engine cannot\n", tkp_policy_name(policy));
        tkp_policy_destroy(policy);
        tkp_context_destroy(context);
        return 0;
    }

    /* Published layer numbers are those of 32 layers: ours are fewer. */
    tkp_depth depth = {.from_layers = 32, .layers = LAYERS};
    tkp_policy *ours;
    check(tkp_policy_with_depth(&ours, policy, &depth));
    tkp_policy_destroy(policy);

    /* Once a thread. */
    tkp_exec *exec;
    tkp_sequence *sequence;
    check(tkp_exec_create(&exec, context, NULL));
    check(tkp_sequence_create(&sequence, context));

    /* Once a batch: what it looks like. */
    enum { LENGTH = 622, FIRST = 35, SIDE = 24 };
    tkp_layout *layout;
    tkp_sequence_desc prompt = TKP_SEQUENCE_DESC_INIT;
    prompt.length = LENGTH;
    tkp_image_desc image = TKP_IMAGE_DESC_INIT;
    image.start = FIRST;
    image.rows = image.cols = SIDE;
    check(tkp_layout_create(&layout));
    check(tkp_layout_add_sequence(layout, &prompt, NULL));
    check(tkp_layout_add_image(layout, &image, NULL));

    /* What the model looks like. */
    tkp_model_desc model = TKP_MODEL_DESC_INIT;
    model.dtype = TKP_DTYPE_F32;
    model.layers = LAYERS;
    model.heads = HEADS;
    model.head_dim = CHANNELS;
    model.hidden = HIDDEN;
    model.intermediate = 704;
    check(tkp_sequence_begin(sequence, exec, ours, layout, &model));

    /* Memory for intermediate results is ours to give. */
    tkp_requirements needed = TKP_REQUIREMENTS_INIT;
    check(tkp_sequence_query(sequence, &needed));
    void *workspace = memory(needed.workspace_bytes);
    check(tkp_exec_set_workspace(exec, workspace, needed.workspace_bytes));

    engine e;
    engine_start(&e, LENGTH);
    float *rows_out = memory(sizeof(float) * LENGTH * HIDDEN);
    int32_t layer = 0;

    /* The loop: run up to the point, let it decide, apply, go on. */
    tkp_point point = TKP_POINT_INIT;
    check(tkp_sequence_next(sequence, &point));
    while (point.kind) {
        for (; layer < point.boundary; layer++)
            engine_layer(&e, layer);
        /* Some methods look through the coming layer's eyes. */
        if (point.needs && point.score_layer == point.boundary)
            engine_project(&e, point.boundary);

        tkp_tensor hidden, q, k;
        tkp_tensor_make_2d(&hidden, e.hidden, TKP_DTYPE_F32, e.rows, HIDDEN);
        tkp_tensor_make_3d(&q, e.q, TKP_DTYPE_F32, e.rows, HEADS, CHANNELS);
        tkp_tensor_make_3d(&k, e.k, TKP_DTYPE_F32, e.rows, HEADS, CHANNELS);
        tkp_inputs inputs = TKP_INPUTS_INIT;
        inputs.hidden = &hidden;
        inputs.q = &q; /* all rows; the library picks what it wants */
        inputs.k = &k;
        tkp_decision decision = TKP_DECISION_INIT;
        check(tkp_sequence_prune(sequence, exec, &inputs, &decision));

        /* Fewer rows, each with the position it has from now on. */
        tkp_tensor kept;
        tkp_tensor_make_2d(
            &kept, rows_out, TKP_DTYPE_F32, decision.rows_out, HIDDEN);
        check(tkp_gather_rows(sequence, exec, &kept, &hidden, &decision));
        e.rows = decision.rows_out;
        memcpy(e.hidden, rows_out, (size_t)e.rows * HIDDEN * sizeof(*rows_out));
        memcpy(
            e.positions, decision.positions.data,
            (size_t)e.rows * sizeof(*e.positions));
        check(tkp_sequence_next(sequence, &point));
    }
    for (; layer < LAYERS; layer++)
        engine_layer(&e, layer);

    /* Decoding goes on at a position, never at a cache's length: layers keep
     * different numbers of keys. */
    const int32_t next = tkp_sequence_next_position(sequence, 0, LAYERS - 1);
    expect(next > e.positions[e.rows - 1], "it comes behind all that is there");

    /* What it came to. */
    tkp_report report = TKP_REPORT_INIT;
    check(tkp_sequence_report(sequence, &report));
    printf(
        "%s: %lld of %lld visual tokens stay; %.1f a layer on average; "
        "%.1f %% of the multiply-accumulates are left\n",
        tkp_policy_name(ours), (long long)report.visual_after,
        (long long)report.visual_before, report.equiv_in,
        100.0 * report.macs / report.macs_unpruned);
    for (int32_t i = 0; i < LAYERS; i++)
        expect(
            report.layer_tokens[i] == e.cache_rows[i],
            "the report has the rows that each layer really saw");

    engine_end(&e);
    free(rows_out);
    free(workspace);
    tkp_sequence_destroy(sequence);
    tkp_policy_destroy(ours);
    tkp_layout_destroy(layout);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
    return 0;
}
