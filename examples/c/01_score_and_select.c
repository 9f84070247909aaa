/*
 * Lesson 1: the two parts that every method has. A scorer gives each visual
 * token a number, a selector keeps the best of them.
 *
 *     cc 01_score_and_select.c $(pkg-config --cflags --libs tokenprune) \
 *         -o 01_score_and_select
 */
#include "lesson.h"

enum { LENGTH = 622, FIRST = 35, SIDE = 24, HEADS = 8, CHANNELS = 32 };

int main(void)
{
    /* A context for the process, an exec for each thread. */
    tkp_context *context;
    tkp_exec *exec;
    check(tkp_context_create(&context, NULL));
    check(tkp_exec_create(&exec, context, NULL));

    /* The batch: one prompt of 622 tokens, a 24 x 24 image from row 35 on. */
    tkp_layout *layout;
    tkp_sequence_desc prompt = TKP_SEQUENCE_DESC_INIT;
    prompt.length = LENGTH;
    tkp_image_desc image = TKP_IMAGE_DESC_INIT;
    image.start = FIRST;
    image.rows = image.cols = SIDE;
    check(tkp_layout_create(&layout));
    check(tkp_layout_add_sequence(layout, &prompt, NULL));
    check(tkp_layout_add_image(layout, &image, NULL));

    /* Score: the attention that each visual token gets from the last token. */
    tkp_model_desc model = TKP_MODEL_DESC_INIT;
    model.dtype = TKP_DTYPE_F32;
    model.heads = HEADS;
    model.head_dim = CHANNELS;
    model.hidden = HEADS * CHANNELS;
    tkp_scorer_options by_attention = TKP_SCORER_OPTIONS_INIT;
    by_attention.kind = TKP_SCORER_ATTENTION;
    by_attention.query = TKP_QUERY_LAST;
    tkp_scorer *scorer;
    check(tkp_scorer_create(&scorer, context, &by_attention, layout, &model));

    /* Select: the best quarter. How many that is, is known beforehand. */
    tkp_selector_options best = TKP_SELECTOR_OPTIONS_INIT;
    best.kind = TKP_SELECTOR_TOPK;
    tkp_budget quarter = TKP_BUDGET_INIT;
    quarter.kind = TKP_BUDGET_RATIO;
    quarter.ratio_num = 1;
    quarter.ratio_den = 4;
    tkp_selector *selector;
    check(tkp_selector_create(&selector, context, &best, &quarter, layout));
    const int64_t n = tkp_layout_visual_tokens(layout, 0);
    const int64_t kept = tkp_selector_count(selector, 0);
    expect(n == SIDE * SIDE && kept == n / 4, "a quarter of 576 is 144");

    /* One workspace serves both: the larger of what they ask for. */
    tkp_requirements for_scores = TKP_REQUIREMENTS_INIT;
    tkp_requirements for_choice = TKP_REQUIREMENTS_INIT;
    check(tkp_scorer_query(scorer, &for_scores));
    check(tkp_selector_query(selector, &for_choice));
    const size_t bytes = for_scores.workspace_bytes > for_choice.workspace_bytes
                             ? for_scores.workspace_bytes
                             : for_choice.workspace_bytes;
    void *workspace = memory(bytes);
    check(tkp_exec_set_workspace(exec, workspace, bytes));

    /* All that is needed of the model: q of one row, and the keys. */
    int32_t row;
    expect(tkp_scorer_query_rows(scorer, &row, 1) == 1, "one row is asked for");
    expect(row == LENGTH - 1, "it is the last one");
    float *q_data = numbers(HEADS * CHANNELS, 1);
    float *k_data = numbers(LENGTH * HEADS * CHANNELS, 2);
    tkp_tensor q, k;
    tkp_tensor_make_3d(&q, q_data, TKP_DTYPE_F32, 1, HEADS, CHANNELS);
    tkp_tensor_make_3d(&k, k_data, TKP_DTYPE_F32, LENGTH, HEADS, CHANNELS);
    tkp_inputs inputs = TKP_INPUTS_INIT;
    inputs.q = &q;
    inputs.k = &k;

    float *score = memory((size_t)n * sizeof(*score));
    int32_t *index = memory((size_t)kept * sizeof(*index));
    tkp_tensor scores, indices;
    tkp_tensor_make_1d(&scores, score, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&indices, index, TKP_DTYPE_I32, kept);
    check(tkp_scorer_run(scorer, exec, &inputs, &scores));
    check(tkp_selector_run(selector, exec, &scores, &indices, NULL));

    /* No token that went has a better score than one that stayed. */
    float worst_kept = 1.0f, best_gone = 0.0f;
    for (int64_t i = 0, j = 0; i < n; i++) {
        if (j < kept && index[j] == i) {
            worst_kept = score[i] < worst_kept ? score[i] : worst_kept;
            j++;
        } else {
            best_gone = score[i] > best_gone ? score[i] : best_gone;
        }
    }
    expect(worst_kept >= best_gone, "the best stay");
    printf(
        "%lld of %lld tokens stay, the first at row %d column %d\n",
        (long long)kept, (long long)n, index[0] / SIDE, index[0] % SIDE);

    tkp_selector_destroy(selector);
    tkp_scorer_destroy(scorer);
    tkp_layout_destroy(layout);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
    free(workspace);
    free(q_data);
    free(k_data);
    free(score);
    free(index);
    return 0;
}
