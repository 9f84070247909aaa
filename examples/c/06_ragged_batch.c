/*
 * Lesson 6: a batch of requests that are not alike. Rows are packed one after
 * the other, budgets and results are each sequence's own, and a request gets
 * the same answer whatever else is in the batch.
 *
 *     cc 06_ragged_batch.c $(pkg-config --cflags --libs tokenprune) \
 *         -o 06_ragged_batch
 */
#include "lesson.h"

#include <string.h>

enum { HEADS = 4, CHANNELS = 16, HIDDEN = HEADS * CHANNELS, MOST_CELLS = 256 };

/* A request: tokens, and up to two images among them. */
typedef struct request {
    int64_t length;
    int32_t n_images;
    struct {
        int64_t start;
        int32_t rows, cols;
    } images[2];
} request;

static const request requests[] = {
    {300, 1, {{20, 16, 16}}},
    {80, 2, {{5, 4, 6}, {40, 5, 5}}},
    {17, 0, {{0, 0, 0}}}, /* text alone */
};
enum { REQUESTS = 3 };

/* Prune requests first .. first + count - 1 as one batch; cells of each image
 * that stays, image after image, -1 behind each. */
static void prune(int32_t first, int32_t count, int32_t *cells_out)
{
    tkp_context *context;
    tkp_exec *exec;
    tkp_sequence *sequence;
    tkp_policy *policy;
    check(tkp_context_create(&context, NULL));
    check(tkp_exec_create(&exec, context, NULL));
    check(tkp_sequence_create(&sequence, context));
    check(tkp_policy_load_preset(&policy, "fastv"));

    tkp_layout *layout;
    check(tkp_layout_create(&layout));
    for (int32_t b = 0; b < count; b++) {
        const request *r = &requests[first + b];
        tkp_sequence_desc desc = TKP_SEQUENCE_DESC_INIT;
        desc.length = r->length;
        desc.id = (uint32_t)(first + b); /* for methods that draw numbers */
        check(tkp_layout_add_sequence(layout, &desc, NULL));
        for (int32_t i = 0; i < r->n_images; i++) {
            tkp_image_desc image = TKP_IMAGE_DESC_INIT;
            image.sequence = b;
            image.start = r->images[i].start; /* within its sequence */
            image.rows = r->images[i].rows;
            image.cols = r->images[i].cols;
            check(tkp_layout_add_image(layout, &image, NULL));
        }
    }
    const int64_t rows = tkp_layout_rows(layout);

    tkp_model_desc model = TKP_MODEL_DESC_INIT;
    model.dtype = TKP_DTYPE_F32;
    model.layers = 8;
    model.heads = HEADS;
    model.hidden = HIDDEN;
    model.intermediate = 2 * HIDDEN;
    check(tkp_sequence_begin(sequence, exec, policy, layout, &model));
    tkp_requirements needed = TKP_REQUIREMENTS_INIT;
    check(tkp_sequence_query(sequence, &needed));
    void *workspace = memory(needed.workspace_bytes);
    check(tkp_exec_set_workspace(exec, workspace, needed.workspace_bytes));

    /* Packed rows: those of request 0, then those of request 1 ... Each has
     * numbers of its own, so that they are the same in any batch. */
    float *data = memory((size_t)rows * HIDDEN * sizeof(*data));
    int64_t at = 0;
    for (int32_t b = first; b < first + count; b++) {
        float *own = numbers(requests[b].length * HIDDEN, 100 + (uint32_t)b);
        const size_t bytes = (size_t)requests[b].length * HIDDEN * sizeof(*own);
        memcpy(data + at * HIDDEN, own, bytes);
        at += requests[b].length;
        free(own);
    }
    tkp_tensor hidden, heads;
    tkp_tensor_make_2d(&hidden, data, TKP_DTYPE_F32, rows, HIDDEN);
    tkp_tensor_make_3d(&heads, data, TKP_DTYPE_F32, rows, HEADS, CHANNELS);

    tkp_point point = TKP_POINT_INIT;
    check(tkp_sequence_next(sequence, &point));
    if (point.kind) {
        tkp_inputs inputs = TKP_INPUTS_INIT;
        inputs.hidden = &hidden;
        inputs.q = &heads;
        inputs.k = &heads;
        tkp_decision decision = TKP_DECISION_INIT;
        check(tkp_sequence_prune(sequence, exec, &inputs, &decision));
        expect(decision.rows_out == point.rows_out, "the count was known");
        for (int32_t b = 0; b < count; b++)
            printf(
                "request %d: %lld of %lld rows stay, from row %d of the batch\n",
                first + b,
                (long long)(decision.host_offsets[b + 1] - decision.host_offsets[b]),
                (long long)requests[first + b].length,
                decision.host_offsets[b]);
    }
    for (int32_t i = 0; i < tkp_layout_images(layout); i++) {
        const int64_t kept =
            tkp_sequence_kept_cells(sequence, exec, i, cells_out, MOST_CELLS);
        cells_out[kept] = -1;
        cells_out += kept + 1;
    }

    free(data);
    free(workspace);
    tkp_sequence_destroy(sequence);
    tkp_policy_destroy(policy);
    tkp_layout_destroy(layout);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
}

int main(void)
{
    enum { MOST = 3 * (MOST_CELLS + 1) };
    int32_t together[MOST] = {0}, alone[MOST] = {0};
    prune(0, REQUESTS, together);

    int32_t *next = alone;
    for (int32_t b = 0; b < REQUESTS; b++) {
        prune(b, 1, next);
        for (int32_t i = 0; i < requests[b].n_images; i++) {
            while (*next >= 0)
                next++;
            next++;
        }
    }
    expect(
        memcmp(together, alone, sizeof(together)) == 0,
        "each request keeps the same tokens alone and in a batch");
    return 0;
}
