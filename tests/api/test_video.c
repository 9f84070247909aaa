/*
 * Pictures that move: T x H x W grids, through the public API. Exact counts,
 * frames, what a still picture and a constant video come to; a batch is its
 * parts; threads do not matter.
 */

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline_testing.h"

static const char *const backend_lists[] = {"ref", "auto"};

#define OPEN(engine)                                                           \
    test_engine engine;                                                        \
    if (!test_engine_open(&(engine), backend_lists[_i], 1))                    \
    return

/* Newlines end the rows of the last one. */
static const test_image videos[] = {
    {3, 5, 3, 4, 0, NULL, NULL},  /* 60 */
    {1, 1, 4, 4, 0, NULL, NULL},  /* a still picture */
    {0, 2, 2, 6, 0, NULL, NULL},  /* 24 */
    {2, 7, 1, 1, 0, NULL, NULL},  /* frames of one cell */
    {4, 3, 3, 5, 6, NULL, NULL}}; /* 45 */
enum { VIDEOS = sizeof(videos) / sizeof(videos[0]) };

static int64_t length_of(const test_image *v)
{
    const int64_t stride = v->row_stride ? v->row_stride : v->cols;
    return v->start + v->frames * v->rows * stride + 2;
}

static void add(test_batch *batch, int32_t v)
{
    test_batch_add(
        batch, 30 + (uint32_t)v, length_of(&videos[v]), &videos[v], 1);
}

static void make(test_batch *batch, int32_t first, int32_t end)
{
    test_batch_begin(batch);
    for (int32_t v = first; v < end; v++)
        add(batch, v);
    test_batch_fill(batch);
}

/* Every frame of every video looks the same. */
static void freeze(test_batch *batch, int32_t v)
{
    const test_image *m = &videos[v];
    const int64_t stride = m->row_stride ? m->row_stride : m->cols;
    float *first = batch->hidden + m->start * TEST_D;
    for (int32_t t = 1; t < m->frames; t++)
        memcpy(
            first + t * m->rows * stride * TEST_D, first,
            (size_t)(m->rows * stride) * TEST_D * sizeof(*first));
}

/* Candidates kept of each frame of a video that is alone in its batch. */
static void
per_frame(const test_outcome *r, int32_t v, int64_t counts[/* frames */])
{
    const test_image *m = &videos[v];
    const int64_t stride = m->row_stride ? m->row_stride : m->cols;
    memset(counts, 0, (size_t)m->frames * sizeof(*counts));
    for (int64_t i = 0; i < r->rows; i++) {
        const int64_t at = r->origin[i] - m->start;
        if (at >= 0 && at < m->frames * m->rows * stride &&
            at % stride < m->cols)
            counts[at / (m->rows * stride)]++;
    }
}

static int64_t sum(const int64_t *counts, int32_t n)
{
    int64_t total = 0;
    for (int32_t i = 0; i < n; i++)
        total += counts[i];
    return total;
}

/* --- evs ------------------------------------------------------------------- */

START_TEST(evs__each_video__whole_first_frame_and_the_count_of_engines)
{
    OPEN(engine);
    static const int64_t wanted[] = {18, 16, 12, 2, 15};
    for (int32_t v = 0; v < VIDEOS; v++) {
        test_batch batch;
        test_outcome r;
        int64_t counts[8];
        tkp_policy *policy = test_preset("evs"); /* 0.7 go */
        make(&batch, v, v + 1);
        test_run(&r, &engine, policy, &batch, TEST_QK);
        per_frame(&r, v, counts);
        ck_assert_int_eq(counts[0], videos[v].rows * videos[v].cols);
        ck_assert_int_eq(sum(counts, videos[v].frames), wanted[v]);
        test_outcome_release(&r);
        test_batch_release(&batch);
        tkp_policy_destroy(policy);
    }
    test_engine_close(&engine);
}
END_TEST

/* Nothing moves: all scores tie at 0, and the earliest are kept. */
START_TEST(evs__constant_video__earliest_tokens)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    tkp_policy *policy = test_preset("evs");
    make(&batch, 0, 1);
    freeze(&batch, 0);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    for (int32_t i = 0; i < 18; i++)
        ck_assert_int_eq(r.origin[videos[0].start + i], videos[0].start + i);
    ck_assert_float_eq(r.scores[0], 255.0f);
    ck_assert_float_eq_tol(r.scores[59], 0.0f, 1e-6f);
    test_outcome_release(&r);
    test_batch_release(&batch);
    tkp_policy_destroy(policy);
    test_engine_close(&engine);
}
END_TEST

/* A cell that is padding in a frame is passed over. */
START_TEST(temporal__padding__compared_with_the_latest_there_is)
{
    OPEN(engine);
    uint8_t valid[3 * 2] = {1, 0, 0, 1, 1, 1};
    const test_image image = {0, 3, 1, 2, 0, valid, NULL};
    test_batch batch;
    test_outcome r;
    tkp_policy *policy =
        test_policy("  - at: projector\n"
                    "    scorer: temporal\n"
                    "    selector: topk\n"
                    "    budget: {count: 1, at_least: frame}\n");
    test_batch_begin(&batch);
    test_batch_add(&batch, 1, 8, &image, 1);
    test_batch_fill(&batch);
    /* cell 0 turns round from frame 0 to 2, cell 1 begins in frame 1 */
    memset(batch.hidden, 0, (size_t)6 * TEST_D * sizeof(float));
    batch.hidden[0] = 1.0f;
    batch.hidden[4 * TEST_D] = -2.0f;
    batch.hidden[3 * TEST_D] = batch.hidden[5 * TEST_D] = 1.0f;
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.n_scores, 4);
    ck_assert_float_eq(r.scores[0], 255.0f);
    ck_assert_float_eq(r.scores[1], 255.0f);
    ck_assert_float_eq_tol(r.scores[2], 2.0f, 1e-6f);
    ck_assert_float_eq_tol(r.scores[3], 0.0f, 1e-6f);
    ck_assert_int_eq(r.rows, 1 + 2); /* one token in the first frame */
    ck_assert_int_eq(r.origin[0], 0);
    test_outcome_release(&r);
    test_batch_release(&batch);
    tkp_policy_destroy(policy);
    test_engine_close(&engine);
}
END_TEST

/* Windows as large as the grid are frames. */
START_TEST(evs__half_for_all_frames_alike__none_is_left_empty)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    int64_t counts[8];
    tkp_policy *policy =
        test_policy("  - at: projector\n"
                    "    scorer: temporal\n"
                    "    selector:\n"
                    "      kind: chain\n"
                    "      parts:\n"
                    "        - share: 1/2\n"
                    "          selector: {kind: window, window: [4096, 4096]}\n"
                    "        - selector: topk\n"
                    "    budget: {count: 20}\n");
    make(&batch, 0, 1);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    per_frame(&r, 0, counts);
    ck_assert_int_eq(sum(counts, 5), 20);
    for (int32_t t = 0; t < 5; t++)
        ck_assert_int_ge(counts[t], 2);
    test_outcome_release(&r);
    test_batch_release(&batch);
    tkp_policy_destroy(policy);
    test_engine_close(&engine);
}
END_TEST

START_TEST(at_least_frame__after_another_cut__refused)
{
    tkp_policy *policy = NULL;
    static const char text[] = "tokenprune: 1\n"
                               "name: twice\n"
                               "stages:\n"
                               "  - at: projector\n"
                               "    selector: random\n"
                               "    budget: {ratio: 1/2}\n"
                               "  - at: llm:2\n"
                               "    scorer: temporal\n"
                               "    selector: topk\n"
                               "    budget: {ratio: 1/2, at_least: frame}\n";
    ck_assert_int_eq(
        tkp_policy_load_text(&policy, text, sizeof(text) - 1, NULL),
        TKP_ERR_POLICY);
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "at_least"));
}
END_TEST

/* --- frames as groups --------------------------------------------------------- */

/* 12 cells a frame: 1/4 keeps 3 of each, whichever way they are chosen. */
START_TEST(scope_frame__each_selector__the_same_share_of_each_frame)
{
    OPEN(engine);
    static const char *const selectors[] = {
        "topk",
        "random",
        "{kind: random, stratified: true}",
        "stride",
        "uniform",
        "diverse",
        "{kind: window, window: [2, 2]}",
        "window",
        "{kind: window-rank, window: [2, 2]}",
        "density",
        "{kind: chain, parts: [{count: 1, selector: stride}, "
        "{selector: topk}]}"};
    for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++) {
        char text[400];
        test_batch batch;
        test_outcome r;
        int64_t counts[8];
        snprintf(
            text, sizeof(text),
            "  - at: projector\n"
            "    scorer: norm\n"
            "    selector: %s\n"
            "    budget: {ratio: 1/4, scope: frame}\n",
            selectors[i]);
        tkp_policy *policy = test_policy(text);
        make(&batch, 0, 1);
        test_run(&r, &engine, policy, &batch, TEST_QK);
        per_frame(&r, 0, counts);
        for (int32_t t = 0; t < 5; t++)
            ck_assert_msg(
                counts[t] == 3, "%s: frame %d keeps %lld", selectors[i], t,
                (long long)counts[t]);
        test_outcome_release(&r);
        tkp_policy_destroy(policy);
        test_batch_release(&batch);
    }
    test_engine_close(&engine);
}
END_TEST

/* A frame is chosen as if it were a picture of its own. */
START_TEST(scope_frame__frames__as_pictures_would_be)
{
    OPEN(engine);
    test_image pictures[5];
    for (int32_t t = 0; t < 5; t++)
        pictures[t] = (test_image){3 + 12 * t, 1, 3, 4, 0, NULL, NULL};
    static const char *const stages[] = {
        "  - at: projector\n"
        "    selector: {kind: diverse, start: norm}\n"
        "    budget: {ratio: 1/3, scope: %s}\n",
        "  - at: projector\n"
        "    selector: density\n"
        "    merger: {kind: nearest}\n"
        "    budget: {ratio: 1/3, scope: %s}\n",
        "  - at: projector\n"
        "    selector: uniform\n"
        "    budget: {ratio: 1/2, scope: %s}\n"
        "  - at: llm:2\n"
        "    scorer: norm\n"
        "    selector: topk\n"
        "    budget: {ratio: 1/2, scope: %s}\n"};
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        char text[400];
        test_batch video, pictures_batch;
        test_outcome a, b;
        make(&video, 0, 1);
        test_batch_begin(&pictures_batch);
        test_batch_add(&pictures_batch, 30, length_of(&videos[0]), pictures, 5);
        test_batch_fill(&pictures_batch);
        snprintf(text, sizeof(text), stages[i], "frame", "frame");
        tkp_policy *policy = test_policy(text);
        test_run(&a, &engine, policy, &video, TEST_QK);
        tkp_policy_destroy(policy);
        snprintf(text, sizeof(text), stages[i], "image", "image");
        policy = test_policy(text);
        test_run(&b, &engine, policy, &pictures_batch, TEST_QK);
        tkp_policy_destroy(policy);
        ck_assert_int_eq(a.rows, b.rows);
        ck_assert_mem_eq(
            a.origin, b.origin, (size_t)a.rows * sizeof(*a.origin));
        ck_assert_mem_eq(
            a.hidden, b.hidden, (size_t)a.rows * TEST_D * sizeof(float));
        test_outcome_release(&a);
        test_outcome_release(&b);
        test_batch_release(&video);
        test_batch_release(&pictures_batch);
    }
    test_engine_close(&engine);
}
END_TEST

START_TEST(scope_frame__after_a_coarser_cut__refused)
{
    static const char *const scopes[] = {"sequence", "image", "frame"};
    for (int before = 0; before < 3; before++)
        for (int after = 0; after < 3; after++) {
            tkp_policy *policy = NULL;
            char text[400];
            snprintf(
                text, sizeof(text),
                "tokenprune: 1\n"
                "name: twice\n"
                "stages:\n"
                "  - {at: projector, selector: random, "
                "budget: {ratio: 1/2, scope: %s}}\n"
                "  - {at: 'llm:2', selector: random, "
                "budget: {ratio: 1/2, scope: %s}}\n",
                scopes[before], scopes[after]);
            ck_assert_int_eq(
                tkp_policy_load_text(&policy, text, strlen(text), NULL),
                after > before ? TKP_ERR_POLICY : TKP_OK);
            if (before == 1 && after == 2)
                ck_assert_ptr_nonnull(strstr(
                    tkp_last_message(),
                    "scope frame after stage 0 with scope image"));
            tkp_policy_destroy(policy);
        }
}
END_TEST

/* --- every method ------------------------------------------------------------ */

static const char *const presets[] = {"evs",    "dycoke",      "vidcom2",
                                      "v-cast", "framefusion", "fastvid"};
enum { PRESETS = sizeof(presets) / sizeof(presets[0]) };

START_TEST(every_video_preset__ragged_batch_and_threads__as_one_by_one)
{
    OPEN(engine);
    test_engine two;
    ck_assert(test_engine_open(&two, backend_lists[_i], 2));
    for (int32_t p = 0; p < PRESETS; p++) {
        tkp_policy *policy = test_preset(presets[p]);
        test_batch batch;
        test_outcome all;
        make(&batch, 0, VIDEOS);
        test_run(&all, &two, policy, &batch, TEST_QK);
        for (int32_t v = 0; v < VIDEOS; v++) {
            test_batch alone;
            test_outcome one;
            make(&alone, v, v + 1);
            test_run(&one, &engine, policy, &alone, TEST_QK);
            ck_assert_int_eq(all.offsets[v + 1] - all.offsets[v], one.rows);
            for (int64_t i = 0; i < one.rows; i++)
                ck_assert_int_eq(
                    all.origin[all.offsets[v] + i] - batch.offsets[v],
                    one.origin[i]);
            test_outcome_release(&one);
            test_batch_release(&alone);
        }
        test_outcome_release(&all);
        test_batch_release(&batch);
        tkp_policy_destroy(policy);
    }
    test_engine_close(&two);
    test_engine_close(&engine);
}
END_TEST

/* Wherever it stands, in a channel that is left out, too. */
START_TEST(every_video_preset__a_number_that_is_none__refused)
{
    OPEN(engine);
    static const float wrong[] = {NAN, INFINITY, -INFINITY};
    for (int32_t p = 0; p < PRESETS; p++)
        for (int32_t at = 0; at < 60; at += 7) {
            test_batch batch;
            tkp_sequence *sequence;
            tkp_requirements need = TKP_REQUIREMENTS_INIT;
            tkp_point point = TKP_POINT_INIT;
            tkp_decision decision = TKP_DECISION_INIT;
            tkp_inputs inputs = TKP_INPUTS_INIT;
            tkp_tensor hidden, encoder, decoder;
            tkp_policy *policy = test_preset(presets[p]);
            make(&batch, 0, 1);
            const int64_t heads = batch.model.heads;
            float *ones = calloc((size_t)(heads * batch.rows), sizeof(float));
            for (int64_t i = 0; i < heads * batch.rows; i++)
                ones[i] = 1.0f;
            tkp_tensor_make_1d(&encoder, ones, TKP_DTYPE_F32, 60);
            tkp_tensor_make(
                &decoder, ones, TKP_DTYPE_F32, 3,
                (int64_t[]){1, heads, batch.rows});
            batch.hidden[(videos[0].start + at) * TEST_D + at % TEST_D] =
                wrong[at % 3];
            ck_assert_int_eq(
                tkp_sequence_create(&sequence, engine.context), TKP_OK);
            ck_assert_int_eq(
                tkp_sequence_begin(
                    sequence, engine.exec, policy, batch.layout, &batch.model),
                TKP_OK);
            ck_assert_int_eq(tkp_sequence_query(sequence, &need), TKP_OK);
            void *workspace =
                aligned_alloc(64, (need.workspace_bytes + 127) / 64 * 64);
            ck_assert_int_eq(
                tkp_exec_set_workspace(
                    engine.exec, workspace, need.workspace_bytes),
                TKP_OK);
            ck_assert_int_eq(tkp_sequence_next(sequence, &point), TKP_OK);
            tkp_tensor_make_2d(
                &hidden, batch.hidden, TKP_DTYPE_F32, batch.rows, TEST_D);
            inputs.hidden = &hidden;
            inputs.cls_attention = &encoder;
            inputs.attention_rows = &decoder;
            ck_assert_msg(
                tkp_sequence_prune(sequence, engine.exec, &inputs, &decision) ==
                    TKP_ERR_DATA,
                "%s: token %d: %s", presets[p], at, tkp_last_message());
            tkp_sequence_destroy(sequence);
            tkp_policy_destroy(policy);
            test_batch_release(&batch);
            ck_assert_int_eq(
                tkp_exec_set_workspace(engine.exec, NULL, 0), TKP_OK);
            free(workspace);
            free(ones);
        }
    test_engine_close(&engine);
}
END_TEST

/* The first of four frames whole, 3 of the 12 cells of the others. */
START_TEST(dycoke__five_frames__two_whole)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    int64_t counts[8];
    tkp_policy *policy = test_preset("dycoke");
    make(&batch, 0, 1);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    per_frame(&r, 0, counts);
    for (int32_t t = 0; t < 5; t++)
        ck_assert_int_eq(counts[t], t % 4 ? 3 : 12);
    test_outcome_release(&r);
    test_batch_release(&batch);
    tkp_policy_destroy(policy);
    test_engine_close(&engine);
}
END_TEST

START_TEST(every_video_preset__each_count__exact_and_in_order)
{
    OPEN(engine);
    for (int32_t p = 0; p < PRESETS; p++)
        for (int32_t v = 0; v < VIDEOS; v++) {
            const int64_t n =
                (int64_t)videos[v].frames * videos[v].rows * videos[v].cols;
            test_batch batch;
            make(&batch, v, v + 1);
            for (int64_t keep = 0; keep <= n; keep += keep < n - 3 ? 3 : 1) {
                test_outcome r;
                int64_t counts[8];
                tkp_policy *policy =
                    test_with_count(test_preset(presets[p]), keep);
                test_run(&r, &engine, policy, &batch, TEST_QK);
                per_frame(&r, v, counts);
                ck_assert_int_eq(sum(counts, videos[v].frames), keep);
                for (int64_t i = 1; i < r.rows; i++)
                    ck_assert_int_gt(r.origin[i], r.origin[i - 1]);
                test_outcome_release(&r);
                tkp_policy_destroy(policy);
            }
            test_batch_release(&batch);
        }
    test_engine_close(&engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/video");
    TCase *t = tcase_create("video");
    const int backends =
        (int)(sizeof(backend_lists) / sizeof(backend_lists[0]));
#define TEST(f_) tcase_add_loop_test(t, f_, 0, backends)
    TEST(evs__each_video__whole_first_frame_and_the_count_of_engines);
    TEST(evs__constant_video__earliest_tokens);
    TEST(temporal__padding__compared_with_the_latest_there_is);
    TEST(evs__half_for_all_frames_alike__none_is_left_empty);
    tcase_add_test(t, at_least_frame__after_another_cut__refused);
    TEST(scope_frame__each_selector__the_same_share_of_each_frame);
    TEST(scope_frame__frames__as_pictures_would_be);
    tcase_add_test(t, scope_frame__after_a_coarser_cut__refused);
    TEST(every_video_preset__ragged_batch_and_threads__as_one_by_one);
    TEST(every_video_preset__a_number_that_is_none__refused);
    TEST(dycoke__five_frames__two_whole);
    TEST(every_video_preset__each_count__exact_and_in_order);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
