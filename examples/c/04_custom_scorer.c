/*
 * Lesson 4: a scorer of your own, by name, in YAML beside the library's.
 * This one likes tokens near the middle of their image.
 *
 *     cc 04_custom_scorer.c $(pkg-config --cflags --libs tokenprune) \
 *         -o 04_custom_scorer
 */
#include "lesson.h"

#include <string.h>

enum { LENGTH = 50, FIRST = 8, SIDE = 6, HIDDEN = 16 };

/* What the scorer knows beside the batch; its `user` pointer. */
typedef struct centre {
    int32_t rows, cols; /* grid of the images */
    float steepness;
} centre;

static tkp_status run_centre(
    void *user,
    const tkp_batch_view *view,
    const tkp_inputs *inputs,
    tkp_exec *exec,
    const tkp_tensor *scores)
{
    const centre *c = user;
    float *score = scores->data;
    (void)inputs; /* `needs` is 0: nothing is asked for */
    (void)exec;
    for (int64_t i = 0; i < view->candidates; i++) {
        const int32_t cell = view->candidate_cells[i];
        const float row = (float)(cell / c->cols % c->rows) + 0.5f;
        const float col = (float)(cell % c->cols) + 0.5f;
        const float down = row - 0.5f * (float)c->rows;
        const float right = col - 0.5f * (float)c->cols;
        score[i] = -c->steepness * (down * down + right * right);
    }
    return TKP_OK;
}

static const char policy_text[] =
    "tokenprune: 1\n"
    "name: middle\n"
    "stages:\n"
    "  - at: projector\n"
    "    scorer:\n"
    "      kind: blend\n"
    "      terms:\n"
    "        - {weight: 0.9, normalise: min-max,\n"
    "           scorer: {kind: custom, custom: centre}}\n"
    "        - {weight: 0.1, normalise: min-max, scorer: {kind: norm}}\n"
    "    selector: topk\n"
    "    budget: {count: 4}\n";

int main(void)
{
    /* Registered once, usable from any thread. A plug-in does this when it is
     * loaded. */
    centre user = {SIDE, SIDE, 1.0f};
    tkp_scorer_vtable table = {0};
    table.struct_size = sizeof(table);
    table.run = run_centre;
    check(tkp_scorer_register("centre", &table, &user));

    tkp_policy *policy;
    check(tkp_policy_load_text(
        &policy, policy_text, strlen(policy_text), "middle.yaml"));

    tkp_context *context;
    tkp_exec *exec;
    tkp_sequence *sequence;
    check(tkp_context_create(&context, NULL));
    check(tkp_exec_create(&exec, context, NULL));
    check(tkp_sequence_create(&sequence, context));

    tkp_layout *layout;
    tkp_sequence_desc prompt = TKP_SEQUENCE_DESC_INIT;
    prompt.length = LENGTH;
    tkp_image_desc image = TKP_IMAGE_DESC_INIT;
    image.start = FIRST;
    image.rows = image.cols = SIDE;
    check(tkp_layout_create(&layout));
    check(tkp_layout_add_sequence(layout, &prompt, NULL));
    check(tkp_layout_add_image(layout, &image, NULL));

    tkp_model_desc model = TKP_MODEL_DESC_INIT;
    model.dtype = TKP_DTYPE_F32;
    model.layers = 4;
    model.heads = 4;
    model.hidden = HIDDEN;
    model.intermediate = 4 * HIDDEN;
    check(tkp_sequence_begin(sequence, exec, policy, layout, &model));
    tkp_requirements needed = TKP_REQUIREMENTS_INIT;
    check(tkp_sequence_query(sequence, &needed));
    void *workspace = memory(needed.workspace_bytes);
    check(tkp_exec_set_workspace(exec, workspace, needed.workspace_bytes));

    tkp_point point = TKP_POINT_INIT;
    check(tkp_sequence_next(sequence, &point));
    expect(point.kind == TKP_POINT_PROJECTOR, "the cut is before the decoder");
    float *data = numbers(LENGTH * HIDDEN, 3);
    tkp_tensor hidden;
    tkp_tensor_make_2d(&hidden, data, TKP_DTYPE_F32, LENGTH, HIDDEN);
    tkp_inputs inputs = TKP_INPUTS_INIT;
    inputs.hidden = &hidden; /* the norm's, of the blend */
    tkp_decision decision = TKP_DECISION_INIT;
    check(tkp_sequence_prune(sequence, exec, &inputs, &decision));

    /* The four in the middle of six by six. */
    int32_t cells[SIDE * SIDE];
    const int64_t kept =
        tkp_sequence_kept_cells(sequence, exec, 0, cells, SIDE * SIDE);
    static const int32_t middle[] = {14, 15, 20, 21};
    expect(kept == 4, "four stay");
    expect(memcmp(cells, middle, sizeof(middle)) == 0, "those in the middle");
    printf("cells %d %d %d %d stay\n", cells[0], cells[1], cells[2], cells[3]);

    /* What was planned holds on to the scorer: the name comes last. */
    tkp_sequence_destroy(sequence);
    tkp_policy_destroy(policy);
    tkp_layout_destroy(layout);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
    check(tkp_scorer_unregister("centre"));
    free(workspace);
    free(data);
    return 0;
}
