/*
 * The methods at work: what every preset keeps, on made-up batches, through
 * the public API and on every backend that can be had.
 */

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline_testing.h"
#include "test_allocator.h"

static const char *const backend_lists[] = {"ref", "cpu,ref"};
enum { BACKENDS = 2 };

/* Leaves the test where the backend is not there. */
#define OPEN(engine)                                                           \
    test_engine engine;                                                        \
    if (!test_engine_open(&(engine), backend_lists[_i], 1))                    \
    return

/* Of every stage. */
static tkp_policy *with_ratio(tkp_policy *policy, int64_t num, int64_t den)
{
    tkp_budget budget = TKP_BUDGET_INIT;
    budget.kind = TKP_BUDGET_RATIO;
    budget.ratio_num = num;
    budget.ratio_den = den;
    /* the last first: a later scope may not be finer */
    for (int32_t i = tkp_policy_stage_count(policy); i-- > 0;) {
        tkp_policy *changed = NULL;
        ck_assert_int_eq(
            tkp_policy_with_budget(&changed, policy, i, &budget), TKP_OK);
        tkp_policy_destroy(policy);
        policy = changed;
    }
    return policy;
}

/* Whether the data decide how many it keeps. */
/* Whether a stage can keep any number: none before it has a say in what it must
 * keep, and none removes half at most. */
static bool keeps_any(const char *preset)
{
    tkp_policy *policy = test_preset(preset);
    bool any = true;
    for (int32_t i = 0; i < tkp_policy_stage_count(policy); i++) {
        tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
        ck_assert_int_eq(tkp_policy_get_stage(policy, i, &stage), TKP_OK);
        any = any && stage.effect != TKP_EFFECT_PROTECT &&
              stage.selector->kind != TKP_SELECTOR_BIPARTITE;
    }
    tkp_policy_destroy(policy);
    return any;
}

static bool is_adaptive(const char *preset)
{
    tkp_policy_info info = TKP_POLICY_INFO_INIT;
    tkp_policy *policy = test_preset(preset);
    ck_assert_int_eq(tkp_policy_query(policy, &info), TKP_OK);
    tkp_policy_destroy(policy);
    return (info.flags & TKP_POLICY_ADAPTIVE) != 0;
}

/* Presets that prune to a count that is known, by number; NULL after the last.
 */
static const char *pruning_preset(int32_t i)
{
    int32_t found = 0;
    for (int32_t p = 0; p < tkp_policy_preset_count(); p++)
        if (strcmp(tkp_policy_preset_name(p), "none") != 0 &&
            !is_adaptive(tkp_policy_preset_name(p)) &&
            keeps_any(tkp_policy_preset_name(p)) && found++ == i)
            return tkp_policy_preset_name(p);
    return NULL;
}

/* Whether no stage of it removes more than half. */
static bool halves(const char *name)
{
    return !strcmp(name, "tome");
}

/* Whether the preset keeps tokens beside its budget: one more, of a few. */
static int64_t beside(const char *name)
{
    return !strcmp(name, "sparsevlm");
}

/* --- batches -------------------------------------------------------------------- */

static void add_square(test_batch *batch, uint32_t id)
{
    const test_image image = {5, 1, 6, 6, 0, NULL, NULL};
    test_batch_add(batch, id, 50, &image, 1);
}

static void add_two_images(test_batch *batch, uint32_t id)
{
    const test_image images[] = {
        {3, 1, 4, 4, 0, NULL, NULL}, {25, 1, 5, 7, 8, NULL, NULL}};
    test_batch_add(batch, id, 70, images, 2);
}

static void add_text(test_batch *batch, uint32_t id)
{
    test_batch_add(batch, id, 5, NULL, 0);
}

static void add_video(test_batch *batch, uint32_t id)
{
    const test_image image = {2, 2, 3, 4, 0, NULL, NULL};
    test_batch_add(batch, id, 40, &image, 1);
}

static void make_ragged(test_batch *batch)
{
    test_batch_begin(batch);
    add_square(batch, 7);
    add_two_images(batch, 9);
    add_text(batch, 12);
    add_video(batch, 4);
    test_batch_fill(batch);
}

/* Four frames of as many cells as a picture of 6 x 6 has. */
static void make_frames(test_batch *batch)
{
    const test_image image = {4, 4, 3, 3, 0, NULL, NULL};
    test_batch_begin(batch);
    test_batch_add(batch, 1, 44, &image, 1);
    test_batch_fill(batch);
}

/* One image of side x side cells, `before` and `after` tokens of text. */
static void make_one(test_batch *batch, int32_t side, int64_t text)
{
    const test_image image = {text, 1, side, side, 0, NULL, NULL};
    test_batch_begin(batch);
    test_batch_add(
        batch, 1, 2 * text + (int64_t)side * side, text ? &image : &image, 1);
    test_batch_fill(batch);
}

/* --- comparing ------------------------------------------------------------------- */

static void same_kept(const test_outcome *a, const test_outcome *b)
{
    ck_assert_int_eq(a->rows, b->rows);
    ck_assert_mem_eq(
        a->origin, b->origin, (size_t)a->rows * sizeof(*a->origin));
    ck_assert_mem_eq(
        a->positions, b->positions, (size_t)a->rows * sizeof(*a->positions));
}

/* 1 for the rows of the batch that survive. */
static uint8_t *kept_mask(const test_outcome *r, const test_batch *batch)
{
    uint8_t *mask = calloc((size_t)batch->rows, 1);
    for (int64_t i = 0; i < r->rows; i++) {
        ck_assert_int_eq(mask[r->origin[i]], 0);
        mask[r->origin[i]] = 1;
    }
    return mask;
}

/* What a policy text or preset keeps of a batch, as a mask. */
static uint8_t *
mask_of(const test_engine *engine, tkp_policy *policy, const test_batch *batch)
{
    test_outcome r;
    test_run(&r, engine, policy, batch, TEST_QK);
    uint8_t *mask = kept_mask(&r, batch);
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    return mask;
}

static void same_mask(uint8_t *a, uint8_t *b, const test_batch *batch)
{
    ck_assert_mem_eq(a, b, (size_t)batch->rows);
    free(a);
    free(b);
}

static int64_t count_mask(const uint8_t *mask, int64_t first, int64_t end)
{
    int64_t count = 0;
    for (int64_t i = first; i < end; i++)
        count += mask[i];
    return count;
}

/* --- identity and nothing ---------------------------------------------------------- */

START_TEST(every_preset__all_tokens_kept__no_point)
{
    OPEN(engine);
    test_batch batch;
    make_ragged(&batch);
    for (int32_t p = 0; pruning_preset(p); p++) {
        tkp_policy *policy = with_ratio(test_preset(pruning_preset(p)), 1, 1);
        test_outcome r;
        test_run(&r, &engine, policy, &batch, TEST_QK);
        ck_assert_int_eq(r.cuts, 0);
        ck_assert_int_eq(r.rows, batch.rows);
        test_outcome_release(&r);
        tkp_policy_destroy(policy);
    }
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(every_preset__no_token_kept__exactly_the_visual_ones_go)
{
    OPEN(engine);
    test_batch batch;
    make_ragged(&batch);
    for (int32_t p = 0; pruning_preset(p); p++) {
        if (halves(pruning_preset(p)))
            continue;
        tkp_policy *policy = with_ratio(test_preset(pruning_preset(p)), 0, 1);
        test_outcome r;
        test_run(&r, &engine, policy, &batch, TEST_QK);
        ck_assert_int_eq(r.cuts, 1);
        /* 36; 16 + 35, whose newlines stay; none; 24 */
        static const int32_t left[] = {14, 19, 5, 16};
        for (int32_t b = 0; b < 4; b++)
            ck_assert_int_eq(r.offsets[b + 1] - r.offsets[b], left[b]);
        uint8_t *mask = kept_mask(&r, &batch);
        for (int64_t i = 0; i < 50; i++)
            ck_assert_int_eq(mask[i], i < 5 || i >= 41);
        for (int64_t i = 0; i < 40; i++) /* newlines: every eighth */
            ck_assert_int_eq(mask[50 + 25 + i], i % 8 == 7);
        free(mask);
        test_outcome_release(&r);
        tkp_policy_destroy(policy);
    }
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(none__runs_without_a_point)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    make_ragged(&batch);
    tkp_policy *policy = test_preset("none");
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.cuts, 0);
    ck_assert_int_eq(r.rows, batch.rows);
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* --- FastV and its relatives --------------------------------------------------------- */

/* The mean over heads that the last row gives to each visual token, in double,
 * and the k best of them: what FastV keeps. */
START_TEST(fastv__made_up_batch__brute_force_agrees)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    enum { N = 36, KEEP = 9, FIRST = 4, ROWS = 44 };
    double score[N];
    for (int32_t j = 0; j < N; j++) {
        score[j] = 0.0;
        for (int32_t h = 0; h < TEST_H; h++)
            score[j] +=
                test_probability(batch.q, batch.k, 0, ROWS - 1, FIRST + j, h) /
                TEST_H;
    }
    uint8_t expected[ROWS] = {0};
    memset(expected, 1, sizeof(expected));
    for (int32_t j = 0; j < N; j++) {
        int32_t better = 0;
        for (int32_t i = 0; i < N; i++)
            better += score[i] > score[j] || (score[i] == score[j] && i < j);
        expected[FIRST + j] = better < KEEP;
    }
    uint8_t *mask = mask_of(&engine, test_preset("fastv"), &batch);
    ck_assert_mem_eq(mask, expected, ROWS);
    free(mask);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(fastv_reverse__complement_of_fastv)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    for (int64_t keep = 0; keep <= 36; keep += 6) {
        uint8_t *best = mask_of(
            &engine, test_with_count(test_preset("fastv"), 36 - keep), &batch);
        uint8_t *worst = mask_of(
            &engine, test_with_count(test_preset("fastv-reverse"), keep),
            &batch);
        for (int64_t i = 4; i < 40; i++)
            ck_assert_int_eq(best[i] + worst[i], 1);
        free(best);
        free(worst);
    }
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

#define FASTV_WINDOW(window, rest)                                             \
    "  - at: llm:2\n"                                                          \
    "    scorer: {kind: attention}\n"                                          \
    "    selector: {kind: window, window: " window rest "}\n"
#define COUNT(n) "    budget: {count: " #n "}\n"

START_TEST(fastv_window__one_window__is_fastv)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    same_mask(
        mask_of(
            &engine, test_policy(FASTV_WINDOW("[6, 6]", "") COUNT(11)), &batch),
        mask_of(&engine, test_with_count(test_preset("fastv"), 11), &batch),
        &batch);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(fastv_window__whole_windows__identity)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    make_ragged(&batch);
    tkp_policy *policy = test_policy(FASTV_WINDOW("[2, 3]", ", quota: 6"));
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.cuts, 0);
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* Windows of a x a cells of a side x side image: tokens kept of each. */
static void check_windows(
    const uint8_t *mask,
    int64_t first,
    int32_t side,
    int32_t a,
    int32_t each)
{
    for (int32_t wy = 0; wy < side; wy += a)
        for (int32_t wx = 0; wx < side; wx += a) {
            int32_t kept = 0;
            for (int32_t y = wy; y < wy + a; y++)
                for (int32_t x = wx; x < wx + a; x++)
                    kept += mask[first + (int64_t)y * side + x];
            ck_assert_int_eq(kept, each);
        }
}

START_TEST(window_presets__24_x_24__144_64_128)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 24, 3);
    static const char *const presets[] = {
        "fastv-window", "pooling", "pooling-avg", "pooling-max",
        "random-stratified"};
    for (size_t p = 0; p < sizeof(presets) / sizeof(presets[0]); p++) {
        uint8_t *mask = mask_of(&engine, test_preset(presets[p]), &batch);
        ck_assert_int_eq(count_mask(mask, 3, 579), 144);
        check_windows(mask, 3, 24, 2, 1);
        free(mask);
        mask = mask_of(
            &engine, test_with_count(test_preset(presets[p]), 64), &batch);
        ck_assert_int_eq(count_mask(mask, 3, 579), 64);
        check_windows(mask, 3, 24, 3, 1);
        free(mask);
        /* no square window gives 128: a grid of 8 x 16 windows of 3 x 1.5 */
        mask = mask_of(
            &engine, test_with_count(test_preset(presets[p]), 128), &batch);
        ck_assert_int_eq(count_mask(mask, 3, 579), 128);
        for (int32_t i = 0; i < 8; i++)
            ck_assert_int_eq(
                count_mask(mask, 3 + i * 72, 3 + (i + 1) * 72), 16);
        free(mask);
    }
    uint8_t *mask = mask_of(&engine, test_preset("fastv-window-128"), &batch);
    ck_assert_int_eq(count_mask(mask, 3, 579), 128);
    check_windows(mask, 3, 24, 3, 2);
    free(mask);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(fastv_window_rank__whole_windows_of_best_mean)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    test_outcome r;
    tkp_policy *policy = test_with_count(test_preset("fastv-window-rank"), 12);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.n_scores, 36);
    double mean[9];
    for (int32_t w = 0; w < 9; w++) {
        const int32_t at = w / 3 * 12 + w % 3 * 2;
        mean[w] = (double)r.scores[at] + (double)r.scores[at + 1] +
                  (double)r.scores[at + 6] + (double)r.scores[at + 7];
    }
    uint8_t *mask = kept_mask(&r, &batch);
    for (int32_t w = 0; w < 9; w++) {
        int32_t better = 0;
        for (int32_t v = 0; v < 9; v++)
            better += mean[v] > mean[w];
        const int32_t at = 4 + w / 3 * 12 + w % 3 * 2;
        const int32_t kept =
            mask[at] + mask[at + 1] + mask[at + 6] + mask[at + 7];
        ck_assert_int_eq(kept, better < 3 ? 4 : 0);
    }
    free(mask);
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* Equal windows: the first ones are kept whole. */
START_TEST(fastv_window_rank__equal_means__lowest_windows_whole)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 4, 2);
    memset(batch.q, 0, (size_t)batch.rows * TEST_H * TEST_C * sizeof(float));
    uint8_t *mask = mask_of(
        &engine, test_with_count(test_preset("fastv-window-rank"), 8), &batch);
    static const uint8_t expected[] = {1, 1, 1, 1, 1, 1, 1, 1,
                                       0, 0, 0, 0, 0, 0, 0, 0};
    ck_assert_mem_eq(mask + 2, expected, 16);
    free(mask);
    mask = mask_of(
        &engine, test_with_count(test_preset("fastv-window-rank"), 4), &batch);
    static const uint8_t first[] = {1, 1, 0, 0, 1, 1, 0, 0,
                                    0, 0, 0, 0, 0, 0, 0, 0};
    ck_assert_mem_eq(mask + 2, first, 16);
    free(mask);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(fastv__equal_scores__lowest_positions_kept)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 4, 2);
    memset(batch.q, 0, (size_t)batch.rows * TEST_H * TEST_C * sizeof(float));
    static const char *const presets[] = {
        "fastv", "fastv-reverse", "fastv-vis"};
    for (int p = 0; p < 3; p++) {
        uint8_t *mask = mask_of(
            &engine, test_with_count(test_preset(presets[p]), 5), &batch);
        for (int32_t j = 0; j < 16; j++)
            ck_assert_int_eq(mask[2 + j], j < 5);
        free(mask);
    }
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* A constant added to all logits of a head row changes no probability. Adding
 * one vector to every key does that to the single query row. */
START_TEST(fastv__constant_added_to_all_logits__same_set)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    uint8_t *before = mask_of(&engine, test_preset("fastv"), &batch);
    for (int64_t r = 0; r < batch.rows; r++)
        for (int32_t c = 0; c < TEST_G * TEST_C; c++)
            batch.k[r * TEST_G * TEST_C + c] += test_value(77, (uint64_t)c);
    same_mask(before, mask_of(&engine, test_preset("fastv"), &batch), &batch);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

#define BLEND(a, b)                                                            \
    "  - at: llm:2\n"                                                          \
    "    scorer:\n"                                                            \
    "      kind: blend\n"                                                      \
    "      terms:\n"                                                           \
    "        - {weight: " a ", normalise: min-max, scorer: attention}\n"       \
    "        - {weight: " b ", normalise: min-max, complement: true, "         \
    "scorer: cosine}\n"                                                        \
    "    selector: topk\n"

START_TEST(alpha_blend__alpha_one__is_fastv)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    same_mask(
        mask_of(&engine, test_policy(BLEND("1", "0") COUNT(9)), &batch),
        mask_of(&engine, test_preset("fastv"), &batch), &batch);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(alpha_blend__alpha_zero__least_like_the_last_token)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    uint8_t *mask =
        mask_of(&engine, test_policy(BLEND("0", "1") COUNT(9)), &batch);
    double likeness[36];
    const float *last = batch.hidden + (batch.rows - 1) * TEST_D;
    for (int32_t j = 0; j < 36; j++) {
        const float *x = batch.hidden + (4 + j) * TEST_D;
        double dot = 0.0;
        double xx = 0.0;
        double ll = 0.0;
        for (int32_t d = 0; d < TEST_D; d++) {
            dot += (double)x[d] * (double)last[d];
            xx += (double)x[d] * (double)x[d];
            ll += (double)last[d] * (double)last[d];
        }
        likeness[j] = dot / sqrt(xx * ll);
    }
    for (int32_t j = 0; j < 36; j++) {
        int32_t less = 0;
        for (int32_t i = 0; i < 36; i++)
            less += likeness[i] < likeness[j];
        ck_assert_int_eq(mask[4 + j], less < 9);
    }
    free(mask);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* Min-max of equal values is 0, so the other term decides alone. */
START_TEST(alpha_blend__constant_attention__likeness_decides)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    memset(batch.q, 0, (size_t)batch.rows * TEST_H * TEST_C * sizeof(float));
    same_mask(
        mask_of(&engine, test_policy(BLEND("0.5", "0.5") COUNT(9)), &batch),
        mask_of(&engine, test_policy(BLEND("0", "1") COUNT(9)), &batch),
        &batch);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* FastV_VIS sees no text after the image: changing it changes nothing. */
START_TEST(fastv_vis__later_text_changes__same_set)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    uint8_t *before = mask_of(&engine, test_preset("fastv-vis"), &batch);
    for (int64_t i = 40 * TEST_G * TEST_C; i < 44 * TEST_G * TEST_C; i++)
        batch.k[i] *= -9.0f;
    for (int64_t i = 40 * TEST_H * TEST_C; i < 44 * TEST_H * TEST_C; i++)
        batch.q[i] *= -9.0f;
    same_mask(
        before, mask_of(&engine, test_preset("fastv-vis"), &batch), &batch);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* Mean over the rows that can see a key, not over all rows. */
START_TEST(fastv_mean__divides_by_the_rows_that_see_the_key)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    make_one(&batch, 3, 2);
    tkp_policy *policy = test_with_count(test_preset("fastv-mean"), 4);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.n_scores, 9);
    for (int32_t j = 0; j < 9; j++) {
        const int64_t key = 2 + j;
        double sum = 0.0;
        for (int64_t row = key; row < batch.rows; row++)
            for (int32_t h = 0; h < TEST_H; h++)
                sum += test_probability(batch.q, batch.k, 0, row, key, h);
        const double mean = sum / TEST_H / (double)(batch.rows - key);
        ck_assert_double_eq_tol((double)r.scores[j], mean, 1e-6);
    }
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* --- pooling ------------------------------------------------------------------------ */

/* A 4 x 4 image, hidden row of cell i = (i + 1, 0, ...) but for the signs of
 * two cells: L1 norms grow with i, so each window's last cell stands for it. */
static void make_counting(test_batch *batch)
{
    make_one(batch, 4, 2);
    for (int64_t r = 0; r < batch->rows; r++)
        for (int32_t d = 0; d < TEST_D; d++)
            batch->hidden[r * TEST_D + d] = d == 0   ? (float)(r - 1)
                                            : d == 1 ? (float)(1 - r)
                                                     : 0.0f;
    batch->hidden[(2 + 5) * TEST_D] *= -1.0f; /* cell 5, value 6 -> -6 */
}

static const int32_t corner_rows[] = {2 + 5, 2 + 7, 2 + 13, 2 + 15};

START_TEST(pooling__hand_sized__row_of_largest_norm_unchanged)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    make_counting(&batch);
    tkp_policy *policy = test_preset("pooling");
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.rows, 8);
    for (int32_t i = 0; i < 4; i++)
        ck_assert_int_eq(r.origin[2 + i], corner_rows[i]);
    for (int64_t i = 0; i < r.rows; i++)
        ck_assert_mem_eq(
            r.hidden + i * TEST_D, batch.hidden + r.origin[i] * TEST_D,
            TEST_D * sizeof(float));
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

static void check_merged(
    const test_engine *engine,
    const char *preset,
    const float first[4],
    const float second[4])
{
    test_batch batch;
    test_outcome r;
    make_counting(&batch);
    tkp_policy *policy = test_preset(preset);
    test_run(&r, engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.rows, 8);
    for (int32_t i = 0; i < 4; i++) {
        ck_assert_int_eq(r.origin[2 + i], corner_rows[i]);
        ck_assert_int_eq(r.positions[2 + i], corner_rows[i]);
        ck_assert_float_eq(r.hidden[(2 + i) * TEST_D], first[i]);
        ck_assert_float_eq(r.hidden[(2 + i) * TEST_D + 1], second[i]);
        ck_assert_float_eq(r.hidden[(2 + i) * TEST_D + 2], 0.0f);
        ck_assert_float_eq(r.sizes[2 + i], 4.0f);
    }
    for (int32_t i = 0; i < 2; i++) { /* text before and after */
        ck_assert_mem_eq(
            r.hidden + i * TEST_D, batch.hidden + i * TEST_D,
            TEST_D * sizeof(float));
        ck_assert_mem_eq(
            r.hidden + (6 + i) * TEST_D, batch.hidden + (18 + i) * TEST_D,
            TEST_D * sizeof(float));
        ck_assert_float_eq(r.sizes[i], 1.0f);
    }
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
}

START_TEST(pooling_avg__hand_sized__means_at_the_largest_rows)
{
    OPEN(engine);
    /* cells 1 2 5 -6; 3 4 7 8; 9 10 13 14; 11 12 15 16 */
    const float first[] = {0.5f, 5.5f, 11.5f, 13.5f};
    const float second[] = {-3.5f, -5.5f, -11.5f, -13.5f};
    check_merged(&engine, "pooling-avg", first, second);
    test_engine_close(&engine);
}
END_TEST

START_TEST(pooling_max__hand_sized__channel_wise)
{
    OPEN(engine);
    const float first[] = {5.0f, 8.0f, 14.0f, 16.0f};
    const float second[] = {-1.0f, -3.0f, -9.0f, -11.0f};
    check_merged(&engine, "pooling-max", first, second);
    test_engine_close(&engine);
}
END_TEST

START_TEST(pooling_avg__constant_grid__the_constant_comes_back)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    make_ragged(&batch);
    for (int64_t i = 0; i < batch.rows * TEST_D; i++)
        batch.hidden[i] = 0.1f + (float)(i % TEST_D);
    tkp_policy *policy = test_preset("pooling-avg");
    test_run(&r, &engine, policy, &batch, TEST_QK);
    for (int64_t i = 0; i < r.rows * TEST_D; i++)
        ck_assert_float_eq_tol(r.hidden[i], 0.1f + (float)(i % TEST_D), 1e-6f);
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* 5 x 7 cells to 3 x 3 bins: floor(i h / h') .. ceil((i + 1) h / h'). */
static void check_adaptive(const test_engine *engine, int overlap)
{
    static const int32_t rows[2][3][2] = {
        {{0, 1}, {1, 3}, {3, 5}}, {{0, 2}, {1, 4}, {3, 5}}};
    static const int32_t cols[2][3][2] = {
        {{0, 2}, {2, 4}, {4, 7}}, {{0, 3}, {2, 5}, {4, 7}}};
    const test_image image = {1, 1, 5, 7, 0, NULL, NULL};
    test_batch batch;
    test_outcome r;
    test_batch_begin(&batch);
    test_batch_add(&batch, 3, 37, &image, 1);
    test_batch_fill(&batch);
    tkp_policy *policy = test_policy(
        overlap ? "  - at: llm:2\n"
                  "    scorer: norm\n"
                  "    selector: window\n"
                  "    merger: {kind: window-average, adaptive_overlap: true}\n"
                  "    budget: {count: 9}\n"
                : "  - at: llm:2\n"
                  "    scorer: norm\n"
                  "    selector: window\n"
                  "    merger: {kind: window-average}\n"
                  "    budget: {count: 9}\n");
    test_run(&r, engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.rows, 11);
    for (int64_t i = 1; i < 10; i++) {
        /* the bin whose disjoint part holds the representative */
        const int32_t cell = r.origin[i] - 1;
        int32_t by = 0;
        int32_t bx = 0;
        while (cell / 7 >= rows[0][by][1])
            by++;
        while (cell % 7 >= cols[0][bx][1])
            bx++;
        double mean = 0.0;
        int32_t n = 0;
        for (int32_t y = rows[overlap][by][0]; y < rows[overlap][by][1]; y++)
            for (int32_t x = cols[overlap][bx][0]; x < cols[overlap][bx][1];
                 x++, n++)
                mean += (double)batch.hidden[(1 + y * 7 + x) * TEST_D];
        ck_assert_float_eq(r.sizes[i], (float)n);
        ck_assert_double_eq_tol((double)r.hidden[i * TEST_D], mean / n, 1e-6);
    }
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
}

START_TEST(pooling_avg__grid_of_its_own_shape__disjoint_or_overlapping_bins)
{
    OPEN(engine);
    check_adaptive(&engine, 0);
    check_adaptive(&engine, 1);
    test_engine_close(&engine);
}
END_TEST

START_TEST(pooling__pick_by_place__centre_and_first)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 2);
    uint8_t *mask = mask_of(
        &engine,
        test_policy("  - at: projector\n"
                    "    selector: {kind: window, window: [3, 3], pick: centre,"
                    " quota: 1}\n"),
        &batch);
    for (int32_t cell = 0; cell < 36; cell++)
        ck_assert_int_eq(
            mask[2 + cell], cell / 6 % 3 == 1 && cell % 6 % 3 == 1);
    free(mask);
    mask = mask_of(
        &engine,
        test_policy("  - at: projector\n"
                    "    selector: {kind: window, window: [3, 3], pick: first,"
                    " quota: 1}\n"),
        &batch);
    for (int32_t cell = 0; cell < 36; cell++)
        ck_assert_int_eq(
            mask[2 + cell], cell / 6 % 3 == 0 && cell % 6 % 3 == 0);
    free(mask);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* --- random --------------------------------------------------------------------------- */

START_TEST(random__same_seed_and_id__same_set_for_any_threads)
{
    static const char *const presets[] = {"random", "random-stratified"};
    test_batch batch;
    make_ragged(&batch);
    for (int p = 0; p < 2; p++) {
        uint8_t *first = NULL;
        for (int threads = 1; threads <= 4; threads++) {
            test_engine engine;
            if (!test_engine_open(&engine, backend_lists[_i], threads))
                break;
            uint8_t *mask = mask_of(&engine, test_preset(presets[p]), &batch);
            if (first)
                ck_assert_mem_eq(first, mask, (size_t)batch.rows);
            free(first);
            first = mask;
            test_engine_close(&engine);
        }
        free(first);
    }
    test_batch_release(&batch);
}
END_TEST

START_TEST(random__another_seed_id_or_boundary__another_set)
{
    OPEN(engine);
    test_batch batch;
    make_ragged(&batch);
    tkp_policy *policy = test_preset("random");
    tkp_policy *seeded = NULL;
    tkp_policy *moved = NULL;
    ck_assert_int_eq(tkp_policy_with_seed(&seeded, policy, 1), TKP_OK);
    ck_assert_int_eq(
        tkp_policy_with_point(&moved, policy, -1, TKP_POINT_LLM, 3), TKP_OK);
    uint8_t *a = mask_of(&engine, policy, &batch);
    uint8_t *b = mask_of(&engine, seeded, &batch);
    uint8_t *c = mask_of(&engine, moved, &batch);
    ck_assert_mem_ne(a, b, 50);
    ck_assert_mem_ne(a, c, 50);
    ck_assert_int_eq(count_mask(a, 5, 41), 9);
    free(a);
    free(b);
    free(c);
    test_batch_release(&batch);
    test_batch_begin(&batch);
    add_square(&batch, 1);
    add_square(&batch, 2);
    test_batch_fill(&batch);
    a = mask_of(&engine, test_preset("random"), &batch);
    ck_assert_mem_ne(a, a + 50, 50);
    free(a);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* How often each of 16 tokens is kept in 4000 draws of 4: for draws without
 * replacement sum (c - E)^2 / (E (1 - k/n)) (n - 1)/n is chi square with 15
 * degrees of freedom; 44 is passed once in 10^4. */
START_TEST(random__many_draws__uniform)
{
    OPEN(engine);
    enum { N = 16, KEEP = 4, ROUNDS = 400, EACH = 10 };
    int32_t count[N] = {0};
    int32_t neighbours = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const test_image image = {1, 1, 4, 4, 0, NULL, NULL};
        test_batch batch;
        test_batch_begin(&batch);
        for (uint32_t i = 0; i < EACH; i++)
            test_batch_add(&batch, round * EACH + i, N + 1, &image, 1);
        test_batch_fill(&batch);
        uint8_t *mask = mask_of(&engine, test_preset("random"), &batch);
        for (int32_t i = 0; i < EACH; i++)
            for (int32_t j = 0; j < N; j++) {
                const uint8_t *at = mask + i * (N + 1) + 1;
                count[j] += at[j];
                neighbours += j && at[j] && at[j - 1];
            }
        free(mask);
        test_batch_release(&batch);
    }
    const double expected = (double)ROUNDS * EACH * KEEP / N;
    double chi = 0.0;
    for (int32_t j = 0; j < N; j++)
        chi += pow(count[j] - expected, 2.0) /
               (expected * (1.0 - (double)KEEP / N)) * (N - 1) / N;
    ck_assert_double_lt(chi, 44.0);
    ck_assert_double_gt(chi, 2.0); /* nor suspiciously even */
    /* 15 pairs, each kept with probability 4/16 3/15: 3000 of 4000 draws */
    ck_assert_int_gt(neighbours, 2800);
    ck_assert_int_lt(neighbours, 3200);
    test_engine_close(&engine);
}
END_TEST

/* --- batches ---------------------------------------------------------------------------- */

/* Rows `first` .. of `all` are the rows of `one`, a batch of its own. */
static void same_part(
    const test_outcome *all,
    int32_t b,
    const test_batch *batch,
    const test_outcome *one)
{
    const int32_t first = all->offsets[b];
    ck_assert_int_eq(all->offsets[b + 1] - first, one->rows);
    for (int64_t i = 0; i < one->rows; i++) {
        ck_assert_int_eq(
            all->origin[first + i] - (int32_t)batch->offsets[b],
            one->origin[i]);
        ck_assert_int_eq(all->positions[first + i], one->positions[i]);
    }
    ck_assert_mem_eq(
        all->hidden + (int64_t)first * TEST_D, one->hidden,
        (size_t)one->rows * TEST_D * sizeof(float));
    ck_assert_mem_eq(
        all->next_position[b], one->next_position[0],
        sizeof(one->next_position[0]));
}

static void batch_is_its_parts(const test_engine *engine, tkp_policy *policy)
{
    static void (*const add[])(test_batch *, uint32_t) = {
        add_square, add_two_images, add_text, add_video};
    static const uint32_t ids[] = {7, 9, 12, 4};
    test_batch batch;
    test_outcome all;
    make_ragged(&batch);
    test_run(&all, engine, policy, &batch, TEST_QK);
    for (int32_t b = 0; b < 4; b++) {
        test_batch alone;
        test_outcome one;
        test_batch_begin(&alone);
        add[b](&alone, ids[b]);
        test_batch_fill(&alone);
        test_run(&one, engine, policy, &alone, TEST_QK);
        same_part(&all, b, &batch, &one);
        test_outcome_release(&one);
        test_batch_release(&alone);
    }
    test_outcome_release(&all);
    test_batch_release(&batch);
    tkp_policy_destroy(policy);
}

START_TEST(every_preset__ragged_batch__equals_one_by_one)
{
    OPEN(engine);
    for (int32_t p = 0; pruning_preset(p); p++)
        batch_is_its_parts(&engine, test_preset(pruning_preset(p)));
    test_engine_close(&engine);
}
END_TEST

#define TWO_STAGES                                                             \
    "  - at: llm:1\n"                                                          \
    "    scorer: attention\n"                                                  \
    "    selector: topk\n"                                                     \
    "    budget: {ratio: 1/2}\n"                                               \
    "  - at: llm:4\n"                                                          \
    "    scorer: attention\n"                                                  \
    "    selector: topk\n"                                                     \
    "    budget: {ratio: 1/3}\n"
#define PER_IMAGE                                                              \
    "  - at: llm:2\n"                                                          \
    "    scorer: {kind: attention, query: last-visual-per-image}\n"            \
    "    selector: topk\n"                                                     \
    "    budget: {ratio: 1/4, scope: image}\n"
#define REPACKED                                                               \
    "  - at: llm:2\n"                                                          \
    "    positions: repack\n"                                                  \
    "    scorer: attention\n"                                                  \
    "    selector: topk\n"                                                     \
    "    budget: {ratio: 1/4}\n"

#define BY_RANK(query, budget)                                                 \
    "  - at: llm:2\n"                                                          \
    "    scorer: {kind: attention, query: " query "}\n"                        \
    "    selector: topk\n"                                                     \
    "    budget: {" budget "}\n"

START_TEST(other_policies__ragged_batch__equals_one_by_one)
{
    OPEN(engine);
    batch_is_its_parts(&engine, test_policy(TWO_STAGES));
    batch_is_its_parts(&engine, test_policy(PER_IMAGE));
    batch_is_its_parts(&engine, test_policy(REPACKED));
    batch_is_its_parts(&engine, test_policy(BY_RANK("text", "rank: 2")));
    batch_is_its_parts(&engine, test_preset("sparsevlm-v1"));
    batch_is_its_parts(
        &engine,
        test_policy("  - at: projector\n"
                    "    scorer: {kind: cosine, reference: max-other}\n"
                    "    selector: {kind: topk, order: lowest}\n"
                    "    budget: {ratio: 1/4}\n"));
    batch_is_its_parts(
        &engine, test_policy("  - at: llm:2\n"
                             "    scorer: {kind: attention, query: text, "
                             "reduce: max}\n"
                             "    selector: {kind: window, window: [2, 2]}\n"
                             "    budget: {ratio: 1/3, scope: image}\n"));
    test_engine_close(&engine);
}
END_TEST

START_TEST(scope_image__each_image_its_own_share)
{
    OPEN(engine);
    test_batch batch;
    make_ragged(&batch);
    uint8_t *mask = mask_of(&engine, test_policy(PER_IMAGE), &batch);
    ck_assert_int_eq(count_mask(mask, 50 + 3, 50 + 19), 4);
    /* 35 / 4 = 8.75 -> 9, and the five newlines */
    ck_assert_int_eq(count_mask(mask, 50 + 25, 50 + 65), 9 + 5);
    free(mask);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* Each image by its own last token: as if the others were text. */
START_TEST(query_last_visual_per_image__scores_of_each_images_row)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    test_batch_begin(&batch);
    add_two_images(&batch, 9);
    test_batch_fill(&batch);
    tkp_policy *policy = test_policy(PER_IMAGE);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.n_scores, 51);
    for (int32_t j = 0; j < 51; j++) {
        const int64_t row = j < 16 ? 18 : 25 + 38; /* last cell of each */
        const int64_t key =
            j < 16 ? 3 + j : 25 + (j - 16) / 7 * 8 + (j - 16) % 7;
        double p = 0.0;
        for (int32_t h = 0; h < TEST_H; h++)
            p += test_probability(batch.q, batch.k, 0, row, key, h) / TEST_H;
        ck_assert_double_eq_tol((double)r.scores[j], p, 1e-6);
    }
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* --- forms of attention -------------------------------------------------------------------- */

static void all_forms_agree(const test_engine *engine, tkp_policy *policy)
{
    test_batch batch;
    test_outcome first;
    make_ragged(&batch);
    test_run(&first, engine, policy, &batch, 0);
    for (int form = 1; form < TEST_FORMS; form++) {
        test_outcome r;
        test_run(&r, engine, policy, &batch, form);
        same_kept(&first, &r);
        ck_assert_int_eq(r.n_scores, first.n_scores);
        for (int64_t i = 0; i < r.n_scores; i++)
            ck_assert_float_eq_tol(r.scores[i], first.scores[i], 2e-6f);
        test_outcome_release(&r);
    }
    test_outcome_release(&first);
    test_batch_release(&batch);
    tkp_policy_destroy(policy);
}

START_TEST(attention__every_form_it_can_be_given_in__same_result)
{
    OPEN(engine);
    static const char *const presets[] = {
        "fastv",     "fastv-mean",  "fastv-reverse",    "fastv-window",
        "fastv-vis", "alpha-blend", "fastv-window-128", "fastv-window-rank"};
    for (size_t p = 0; p < sizeof(presets) / sizeof(presets[0]); p++)
        all_forms_agree(&engine, test_preset(presets[p]));
    all_forms_agree(&engine, test_policy(TWO_STAGES));
    all_forms_agree(&engine, test_policy(PER_IMAGE));
    all_forms_agree(
        &engine, test_policy("  - at: llm:2\n"
                             "    scorer: {kind: attention, query: text, "
                             "reduce: sum}\n"
                             "    selector: topk\n"
                             "    budget: {ratio: 1/3}\n"));
    test_engine_close(&engine);
}
END_TEST

/* --- positions ------------------------------------------------------------------------------ */

START_TEST(positions__keep__original_ones_and_next_is_the_length)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    make_ragged(&batch);
    tkp_policy *policy = test_policy(TWO_STAGES);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    for (int32_t b = 0; b < 4; b++) {
        for (int32_t i = r.offsets[b]; i < r.offsets[b + 1]; i++)
            ck_assert_int_eq(
                r.positions[i], r.origin[i] - (int32_t)batch.offsets[b]);
        for (int32_t l = 0; l <= TEST_LAYERS; l++)
            ck_assert_int_eq(
                r.next_position[b][l],
                (int32_t)(batch.offsets[b + 1] - batch.offsets[b]));
    }
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(positions__repack__renumbered_and_next_follows_from_the_boundary)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    make_ragged(&batch);
    tkp_policy *policy = test_policy(REPACKED);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    for (int32_t b = 0; b < 4; b++) {
        const int32_t length =
            (int32_t)(batch.offsets[b + 1] - batch.offsets[b]);
        const int32_t left = r.offsets[b + 1] - r.offsets[b];
        for (int32_t i = 0; i < left; i++)
            ck_assert_int_eq(r.positions[r.offsets[b] + i], i);
        for (int32_t l = 0; l <= TEST_LAYERS; l++)
            ck_assert_int_eq(r.next_position[b][l], l < 2 ? length : left);
    }
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* Before the LLM every layer counts anew, also when the encoder cuts. */
START_TEST(positions__repack_before_the_llm__next_follows_in_all_layers)
{
    OPEN(engine);
    static const char *const points[] = {
        "projector", "vision:5", "llm:0", "vision-mlp:3"};
    for (int p = 0; p < 4; p++) {
        char text[200];
        test_batch batch;
        test_outcome r;
        make_one(&batch, 4, 3);
        snprintf(
            text, sizeof(text),
            "  - at: %s\n"
            "    positions: repack\n"
            "    selector: random\n"
            "    budget: {count: 4}\n",
            points[p]);
        tkp_policy *policy = test_policy(text);
        test_run(&r, &engine, policy, &batch, TEST_QK);
        for (int32_t l = 0; l <= TEST_LAYERS; l++)
            ck_assert_int_eq(r.next_position[0][l], 10);
        for (int32_t l = 0; l < TEST_LAYERS; l++)
            ck_assert_int_eq(r.layer_tokens[l], 10);
        test_outcome_release(&r);
        tkp_policy_destroy(policy);
        test_batch_release(&batch);
    }
    test_engine_close(&engine);
}
END_TEST

START_TEST(positions__three_rows__gathered_in_each)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    make_one(&batch, 4, 3);
    int32_t rows[3][22];
    for (int32_t p = 0; p < 3; p++)
        for (int32_t i = 0; i < 22; i++)
            rows[p][i] = 100 * p + i * (p + 1);
    ck_assert_int_eq(
        tkp_layout_set_positions(batch.layout, 3, rows[0], 22), TKP_OK);
    batch.position_rows = 3;
    tkp_policy *policy = test_preset("fastv");
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.rows, 10);
    for (int32_t p = 0; p < 3; p++)
        for (int64_t i = 0; i < r.rows; i++)
            ck_assert_int_eq(r.positions[p * r.rows + i], rows[p][r.origin[i]]);
    /* the largest of any row, and one */
    for (int32_t l = 0; l <= TEST_LAYERS; l++)
        ck_assert_int_eq(r.next_position[0][l], 200 + 21 * 3 + 1);
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* --- several stages ---------------------------------------------------------------------------- */

START_TEST(two_stages__second_prunes_what_the_first_left)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    make_one(&batch, 6, 4);
    tkp_policy *policy = test_policy(TWO_STAGES);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.cuts, 2);
    ck_assert_int_eq(r.rows, 8 + 6);
    for (int32_t l = 0; l < TEST_LAYERS; l++) {
        const int64_t visual = l < 1 ? 36 : l < 4 ? 18 : 6;
        ck_assert_int_eq(r.layer_visual[l], visual);
        ck_assert_int_eq(r.layer_tokens[l], visual + 8);
    }
    const double layers = TEST_LAYERS;
    ck_assert_double_eq_tol(
        r.equiv_in, (36 + 3 * 18 + (layers - 4) * 6) / layers, 1e-12);
    ck_assert_double_eq_tol(
        r.equiv_out, (3 * 18 + (layers - 3) * 6) / layers, 1e-12);
    uint8_t *both = kept_mask(&r, &batch);
    uint8_t *first =
        mask_of(&engine, test_with_count(test_preset("fastv"), 18), &batch);
    for (int64_t i = 0; i < batch.rows; i++)
        ck_assert_int_le(both[i], first[i]);
    free(both);
    free(first);
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* Windows of a second stage are those of the original grid: what is left. */
START_TEST(two_stages__windows_after_random__at_most_one_each)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    uint8_t *mask = mask_of(
        &engine,
        test_policy("  - at: projector\n"
                    "    selector: random\n"
                    "    budget: {count: 20}\n"
                    "  - at: llm:2\n"
                    "    scorer: attention\n"
                    "    selector: {kind: window, window: [2, 2]}\n"
                    "    budget: {count: 9}\n"),
        &batch);
    ck_assert_int_eq(count_mask(mask, 4, 40), 9);
    free(mask);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* --- masks ----------------------------------------------------------------------------------------- */

START_TEST(keep_mask__always_kept_and_counted_in_the_budget)
{
    OPEN(engine);
    uint8_t keep[16] = {0};
    keep[3] = keep[8] = keep[15] = 1;
    const test_image image = {2, 1, 4, 4, 0, NULL, keep};
    for (int32_t p = 0; pruning_preset(p); p++) {
        const char *name = pruning_preset(p);
        if (strstr(name, "pooling-") || strstr(name, "128") || halves(name))
            continue; /* windows with one token each, or a quota: below */
        test_batch batch;
        test_batch_begin(&batch);
        test_batch_add(&batch, 5, 20, &image, 1);
        test_batch_fill(&batch);
        uint8_t *mask =
            mask_of(&engine, test_with_count(test_preset(name), 7), &batch);
        ck_assert_int_eq(count_mask(mask, 2, 18), 7 + beside(name));
        ck_assert(mask[2 + 3] && mask[2 + 8] && mask[2 + 15]);
        free(mask);
        /* a budget below the protected ones keeps just them */
        mask = mask_of(&engine, test_with_count(test_preset(name), 1), &batch);
        ck_assert_int_eq(count_mask(mask, 2, 18), 3);
        free(mask);
        test_batch_release(&batch);
    }
    test_engine_close(&engine);
}
END_TEST

START_TEST(keep_mask__merged_windows__protected_rows_stay_as_they_are)
{
    OPEN(engine);
    uint8_t keep[16] = {0};
    keep[3] = keep[8] = 1;
    const test_image image = {2, 1, 4, 4, 0, NULL, keep};
    test_batch batch;
    test_outcome r;
    test_batch_begin(&batch);
    test_batch_add(&batch, 5, 20, &image, 1);
    test_batch_fill(&batch);
    tkp_policy *policy = test_with_count(test_preset("pooling-avg"), 6);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.rows, 4 + 6);
    int32_t found = 0;
    for (int64_t i = 0; i < r.rows; i++)
        if (r.origin[i] == 2 + 3 || r.origin[i] == 2 + 8) {
            found++;
            ck_assert_float_eq(r.sizes[i], 1.0f);
            ck_assert_mem_eq(
                r.hidden + i * TEST_D, batch.hidden + r.origin[i] * TEST_D,
                TEST_D * sizeof(float));
        }
    ck_assert_int_eq(found, 2);
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(valid_mask__padding_is_no_candidate_and_goes_at_the_first_cut)
{
    OPEN(engine);
    uint8_t valid[16];
    for (int32_t i = 0; i < 16; i++)
        valid[i] = i % 4 != 3; /* the last column is padding */
    const test_image image = {2, 1, 4, 4, 5, valid, NULL};
    for (int32_t p = 0; pruning_preset(p); p++) {
        if (halves(pruning_preset(p)))
            continue;
        test_batch batch;
        test_batch_begin(&batch);
        test_batch_add(&batch, 5, 25, &image, 1);
        test_batch_fill(&batch);
        ck_assert_int_eq(tkp_layout_visual_tokens(batch.layout, 0), 12);
        uint8_t *mask = mask_of(
            &engine, test_with_count(test_preset(pruning_preset(p)), 4),
            &batch);
        int64_t kept = 0;
        for (int32_t line = 0; line < 4; line++) {
            kept += count_mask(mask, 2 + line * 5, 2 + line * 5 + 3);
            ck_assert_int_eq(mask[2 + line * 5 + 3], 0); /* padding */
            ck_assert_int_eq(mask[2 + line * 5 + 4], 1); /* newline */
        }
        ck_assert_msg(
            kept == 4 + beside(pruning_preset(p)), "%s keeps %d",
            pruning_preset(p), (int)kept);
        ck_assert_int_eq(count_mask(mask, 22, 25), 3);
        free(mask);
        test_batch_release(&batch);
    }
    test_engine_close(&engine);
}
END_TEST

/* Padding goes even where no candidate does. */
START_TEST(valid_mask__all_candidates_kept__padding_still_goes)
{
    OPEN(engine);
    uint8_t valid[16];
    for (int32_t i = 0; i < 16; i++)
        valid[i] = i < 12;
    const test_image image = {2, 1, 4, 4, 0, valid, NULL};
    for (int32_t p = 0; pruning_preset(p); p++) {
        test_batch batch;
        test_batch_begin(&batch);
        test_batch_add(&batch, 5, 20, &image, 1);
        test_batch_fill(&batch);
        uint8_t *mask = mask_of(
            &engine, with_ratio(test_preset(pruning_preset(p)), 1, 1), &batch);
        ck_assert_int_eq(count_mask(mask, 0, 20), 16);
        ck_assert_int_eq(count_mask(mask, 14, 18), 0);
        free(mask);
        test_batch_release(&batch);
    }
    test_engine_close(&engine);
}
END_TEST

/* --- shares of what there was before any cut -------------------------------------------- */

/* 9 of 12 cells are tokens in one picture, 4 in the other. */
START_TEST(prune__ratio_of_original__counts_from_before_the_first_cut)
{
    OPEN(engine);
    uint8_t valid[12] = {1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0};
    const test_image images[] = {
        {2, 1, 3, 4, 0, valid, NULL}, {16, 1, 2, 2, 0, NULL, NULL}};
    static const struct {
        const char *scope, *ratio;
        int64_t left;
    } cases[] = {
        {"sequence", "1/2", 6},  /* floor(13 / 2) of the 9 there are */
        {"sequence", "9/10", 9}, /* 11, but there are 9 */
        {"image", "1/2", 6},     /* 4 and 2, of 6 and 3 */
        {"image", "1/9", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_batch batch;
        test_outcome r;
        char text[512];
        snprintf(
            text, sizeof(text),
            "  - at: projector\n"
            "    scorer: {kind: norm}\n"
            "    selector: topk\n"
            "    budget: {ratio: 2/3, scope: image}\n"
            "  - at: llm:2\n"
            "    scorer: {kind: attention}\n"
            "    selector: topk\n"
            "    budget: {ratio: %s, scope: %s, of: original, rounding: floor}\n",
            cases[i].ratio, cases[i].scope);
        tkp_policy *policy = test_policy(text);
        test_batch_begin(&batch);
        test_batch_add(&batch, 5, 24, images, 2);
        test_batch_fill(&batch);
        test_run(&r, &engine, policy, &batch, TEST_QK);
        ck_assert_int_eq(r.layer_visual[1], 9);
        ck_assert_int_eq(r.layer_visual[2], cases[i].left);
        test_outcome_release(&r);
        test_batch_release(&batch);
        tkp_policy_destroy(policy);
    }
    test_engine_close(&engine);
}
END_TEST

/* --- the data decide how many; tokens that no cut may drop ------------------------------ */

#define THRESHOLD(rest)                                                        \
    "  - at: llm:2\n"                                                          \
    "    scorer: {kind: attention}\n"                                          \
    "    selector: {kind: threshold, threshold: 0.02}\n" rest

/* In a batch as alone, and what the scores say. */
START_TEST(threshold__without_a_budget__all_that_reach_it)
{
    OPEN(engine);
    static void (*const add[])(test_batch *, uint32_t) = {
        add_square, add_two_images, add_text, add_video};
    test_batch batch;
    test_outcome all;
    tkp_policy *policy = test_policy(THRESHOLD(""));
    tkp_policy_info info = TKP_POLICY_INFO_INIT;
    ck_assert_int_eq(tkp_policy_query(policy, &info), TKP_OK);
    ck_assert_uint_ne(info.flags & TKP_POLICY_ADAPTIVE, 0);
    make_ragged(&batch);
    test_run(&all, &engine, policy, &batch, TEST_QK);
    int64_t reached = 0;
    for (int64_t i = 0; i < all.n_scores; i++)
        reached += all.scores[i] >= 0.02f;
    ck_assert_int_gt(reached, 0);
    ck_assert_int_lt(reached, all.n_scores);
    ck_assert_int_eq(batch.rows - all.rows, all.n_scores - reached);
    static const uint32_t ids[] = {7, 9, 12, 4};
    for (int32_t b = 0; b < 4; b++) {
        test_batch one;
        test_outcome r;
        test_batch_begin(&one);
        add[b](&one, ids[b]);
        test_batch_fill(&one);
        test_run(&r, &engine, policy, &one, TEST_QK);
        ck_assert_int_eq(r.rows, all.offsets[b + 1] - all.offsets[b]);
        for (int64_t i = 0; i < r.rows; i++)
            ck_assert_int_eq(
                r.origin[i], all.origin[all.offsets[b] + i] - batch.offsets[b]);
        test_outcome_release(&r);
        test_batch_release(&one);
    }
    test_outcome_release(&all);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(threshold__with_a_budget__the_best)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    same_mask(
        mask_of(
            &engine, test_policy(THRESHOLD("    budget: {count: 9}\n")),
            &batch),
        mask_of(&engine, test_with_count(test_preset("fastv"), 9), &batch),
        &batch);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* One row is one direction, so the number is what is kept. */
START_TEST(rank__of_one_row__as_many_as_it_says)
{
    static const struct {
        const char *budget;
        int64_t kept;
    } cases[] = {
        {"rank: 7", 7},
        {"rank: 7/2, bias: 2, rounding: floor", 5},
        {"rank: 3.8, bias: -1, rounding: double-truncate", 2},
        {"rank: 0, bias: -5, min_keep: 4", 4},
        {"rank: 0", 0},
        {"rank: 1000", 36}};
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text), BY_RANK("last", "%s"), cases[i].budget);
        same_mask(
            mask_of(&engine, test_policy(text), &batch),
            mask_of(
                &engine, test_with_count(test_preset("fastv"), cases[i].kept),
                &batch),
            &batch);
    }
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* Words that ask nothing see all alike: together they are one direction. */
START_TEST(rank__words_that_are_alike__count_once)
{
    static const int64_t kept[] = {4 * 3, 4 * 3, 3 * 3, 2 * 3, 1 * 3};
    const size_t row = (size_t)TEST_H * TEST_C;
    OPEN(engine);
    for (int32_t alike = 0; alike <= 4; alike++) {
        test_batch batch;
        make_one(&batch, 6, 4);
        memset(batch.q + 40 * row, 0, (size_t)alike * row * sizeof(float));
        uint8_t *mask =
            mask_of(&engine, test_policy(BY_RANK("text", "rank: 3")), &batch);
        ck_assert_int_eq(count_mask(mask, 4, 40), kept[alike]);
        free(mask);
        test_batch_release(&batch);
    }
    test_engine_close(&engine);
}
END_TEST

/* --- inside the encoder ----------------------------------------------------------- */

/* Its rows are compared there as they are before the decoder: the same go. */
START_TEST(encoder__cuts__as_before_the_decoder)
{
    static const char *const stages[] = {
        "    selector: {kind: fold, feature: %s, window: [2, 2]}\n"
        "    merger: fold\n"
        "    budget: {ratio: 1/2}\n",
        "    selector: {kind: diverse, feature: %s}\n"
        "    budget: {ratio: 1/3, scope: image}\n",
        "    selector: {kind: bipartite, feature: %s}\n"
        "    merger: bipartite\n"
        "    budget: {ratio: 2/3}\n",
        "    selector: {kind: bipartite, feature: %s-keys}\n"
        "    budget: {ratio: 2/3}\n"};
    OPEN(engine);
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        test_batch batch;
        test_outcome inside, before;
        char text[512], parts[256];
        make_ragged(&batch);
        snprintf(parts, sizeof(parts), stages[i], "vision");
        snprintf(text, sizeof(text), "  - at: vision:2\n%s", parts);
        tkp_policy *policy = test_policy(text);
        test_run(&inside, &engine, policy, &batch, TEST_QK);
        tkp_policy_destroy(policy);
        snprintf(text, sizeof(text), "  - at: projector\n%s", parts);
        policy = test_policy(text);
        test_run(&before, &engine, policy, &batch, TEST_QK);
        tkp_policy_destroy(policy);
        same_kept(&inside, &before);
        ck_assert(inside.equiv_in == before.equiv_in);
        test_outcome_release(&inside);
        test_outcome_release(&before);
        test_batch_release(&batch);
    }
    test_engine_close(&engine);
}
END_TEST

/* Merged again and again, weighed by what they stand for: one token at the end
 * is the mean of all. Later stages know who is left. */
START_TEST(encoder__merged_to_the_last__the_mean_of_all)
{
    OPEN(engine);
    test_batch batch;
    test_outcome r;
    make_one(&batch, 4, 3);
    tkp_policy *policy =
        test_policy("  - at: vision-mlp:0\n"
                    "    selector: {kind: bipartite, feature: vision-keys}\n"
                    "    merger: bipartite\n"
                    "    budget: {count: 8}\n"
                    "  - at: vision:1\n"
                    "    selector: {kind: bipartite, feature: vision}\n"
                    "    merger: bipartite\n"
                    "    budget: {count: 4}\n"
                    "  - at: vision-mlp:1\n"
                    "    selector: {kind: bipartite, feature: vision}\n"
                    "    merger: bipartite\n"
                    "    budget: {count: 2}\n"
                    "  - at: vision:5\n"
                    "    selector: {kind: bipartite, feature: vision}\n"
                    "    merger: bipartite\n"
                    "    budget: {count: 1}\n"
                    "  - at: llm:2\n"
                    "    scorer: attention\n"
                    "    selector: topk\n"
                    "    budget: {count: 0}\n");
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.tokens, 1);
    for (int32_t c = 0; c < TEST_DV; c++) {
        double mean = 0.0;
        for (int64_t n = 0; n < 16; n++)
            mean += (double)batch.vision[n * TEST_DV + c] / 16.0;
        ck_assert_double_eq_tol((double)r.encoder[c], mean, 1e-5);
    }
    ck_assert_int_eq(r.layer_visual[1], 1);
    ck_assert_int_eq(r.layer_visual[2], 0);
    ck_assert_int_eq(r.rows, 6);
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* What reaches nothing goes, but for the protected; later counts are of what is
 * left, however many that is. */
START_TEST(threshold__nothing_reaches_it__the_protected_stay)
{
    OPEN(engine);
    uint8_t keep[16] = {0};
    keep[3] = keep[9] = 1;
    const test_image image = {2, 1, 4, 4, 0, NULL, keep};
    test_batch batch;
    test_outcome r;
    tkp_policy *policy =
        test_policy("  - at: llm:2\n"
                    "    scorer: {kind: attention}\n"
                    "    selector: {kind: threshold, threshold: 2}\n"
                    "  - at: llm:3\n"
                    "    selector: random\n"
                    "    budget: {count: 7}\n");
    test_batch_begin(&batch);
    test_batch_add(&batch, 3, 21, &image, 1);
    test_batch_fill(&batch);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(r.cuts, 1);
    ck_assert_int_eq(r.rows, 5 + 2);
    ck_assert_int_eq(r.origin[2], 5);
    ck_assert_int_eq(r.origin[3], 11);
    ck_assert_int_eq(r.layer_visual[3], 2);
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* Two stages protect three tokens each, chosen from all; a cut keeps them and
 * one more. */
START_TEST(protect__two_stages__both_choices_survive)
{
    OPEN(engine);
    static const char best[] = "  - at: projector\n"
                               "    effect: protect\n"
                               "    scorer: external\n"
                               "    selector: {kind: topk, order: %s}\n"
                               "    budget: {count: 3}\n";
    static const char cut[] = "  - at: %s\n"
                              "    scorer: external\n"
                              "    selector: {kind: topk, order: lowest}\n"
                              "    budget: {count: %d}\n";
    static const char *const points[] = {"projector", "llm:2"};
    test_batch batch;
    char text[1024];
    make_one(&batch, 6, 4);
    int32_t rank[36]; /* how many are better */
    for (int32_t i = 0; i < 36; i++)
        for (int32_t j = rank[i] = 0; j < 36; j++)
            rank[i] += batch.scores[j] > batch.scores[i] ||
                       (batch.scores[j] == batch.scores[i] && j < i);
    for (int32_t p = 0; p < 2; p++) {
        int n = snprintf(text, sizeof(text), best, "highest");
        n += snprintf(text + n, sizeof(text) - (size_t)n, best, "highest");
        snprintf(text + n, sizeof(text) - (size_t)n, cut, points[p], 4);
        uint8_t *mask = mask_of(&engine, test_policy(text), &batch);
        for (int32_t i = 0; i < 36; i++)
            ck_assert_int_eq(mask[4 + i], rank[i] < 3 || rank[i] == 35);
        free(mask);
        n = snprintf(text, sizeof(text), best, "highest");
        n += snprintf(text + n, sizeof(text) - (size_t)n, best, "lowest");
        snprintf(text + n, sizeof(text) - (size_t)n, cut, points[p], 2);
        mask = mask_of(&engine, test_policy(text), &batch);
        for (int32_t i = 0; i < 36; i++) /* more than the budget: all six */
            ck_assert_int_eq(mask[4 + i], rank[i] < 3 || rank[i] > 32);
        free(mask);
    }
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* --- recycling: parts beside the budget, and rows that change places --------------------- */

#define RECYCLE                                                                \
    "    scorer: external\n"                                                   \
    "    selector: {kind: chain, parts: [{selector: topk},\n"                  \
    "      {more: 1/10, pool_share: 3/10, pool_order: scores,\n"               \
    "       selector: density}]}\n"                                            \
    "    merger: {kind: nearest, measure: euclidean, into: 1}\n"

/* The means that the published code prints for its schedules. */
START_TEST(recycle__published_schedules__equivalent_tokens)
{
    OPEN(engine);
    static const struct {
        int32_t keep[3];
        double out, in;
    } labels[] = {
        {{300, 200, 110}, 192.03125, 206.5},
        {{303, 110, 36}, 128.63, 145.41},
        {{238, 48, 26}, 96.94, 114.09},
        {{66, 30, 17}, 64.81, 82.25}};
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        test_batch batch;
        test_outcome r;
        char text[2048] = "";
        for (int32_t s = 0; s < 3; s++)
            snprintf(
                text + strlen(text), sizeof(text) - strlen(text),
                "  - at: llm:%d\n    positions: repack\n    order: parts\n" RECYCLE
                "    budget: {count: %d}\n",
                (int[]){3, 7, 16}[s], labels[i].keep[s]);
        tkp_policy *policy = test_policy(text);
        make_one(&batch, 24, 3);
        test_run(&r, &engine, policy, &batch, TEST_QK);
        ck_assert_double_eq_tol(r.equiv_out, labels[i].out, 5e-3);
        ck_assert_double_eq_tol(r.equiv_in, labels[i].in, 6e-3);
        test_outcome_release(&r);
        test_batch_release(&batch);
        tkp_policy_destroy(policy);
    }
    test_engine_close(&engine);
}
END_TEST

/* The kept ascend, what was merged stands behind them and before the text, in
 * each picture of each sequence; a second cut sees tokens where they stand. */
START_TEST(order_parts__ragged__merged_rows_behind_the_kept)
{
    OPEN(engine);
    static const char one[] = "  - at: llm:2\n    order: %s\n" RECYCLE
                              "    budget: {count: 5, scope: image}\n";
    static const char two[] = "  - at: llm:4\n    scorer: external\n"
                              "    selector: topk\n"
                              "    budget: {count: 3, scope: image}\n";
    static const char *const orders[] = {"rows", "parts"};
    test_batch batch;
    char text[1024];
    test_batch_begin(&batch);
    add_square(&batch, 7);
    add_text(&batch, 12);
    add_two_images(&batch, 9);
    test_batch_fill(&batch);
    test_outcome plain, r;
    snprintf(text, sizeof(text), one, "rows");
    tkp_policy *policy = test_policy(text);
    test_run(&plain, &engine, policy, &batch, TEST_QK);
    tkp_policy_destroy(policy);
    snprintf(text, sizeof(text), one, "parts");
    policy = test_policy(text);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    tkp_policy_destroy(policy);
    ck_assert_int_eq(r.rows, plain.rows);
    int32_t falls = 0;
    for (int64_t i = 0; i < r.rows; i++) {
        int64_t at = 0;
        while (plain.origin[at] != r.origin[i])
            at++;
        ck_assert_mem_eq(
            r.hidden + i * TEST_D, plain.hidden + at * TEST_D,
            TEST_D * sizeof(float));
        ck_assert(r.sizes[i] == plain.sizes[at]);
        falls += i && r.origin[i] < r.origin[i - 1];
    }
    /* (36 - 5) 0.3: a pool of 10, of which 2 stay: behind five that ascend */
    for (int32_t i = 1; i < 5; i++)
        ck_assert_int_gt(r.origin[5 + i], r.origin[5 + i - 1]);
    double merged = 0.0;
    for (int32_t i = 0; i < 7; i++) {
        ck_assert(i >= 5 || r.sizes[5 + i] == 1.0f);
        merged += i < 5 ? 0.0 : (double)r.sizes[5 + i];
    }
    ck_assert_double_eq(merged, 10.0);
    ck_assert_int_gt(falls, 0);
    test_outcome_release(&plain);
    test_outcome_release(&r);
    uint8_t *mask[2];
    for (int32_t i = 0; i < 2; i++) {
        const int n = snprintf(text, sizeof(text), one, orders[i]);
        snprintf(text + n, sizeof(text) - (size_t)n, "%s", two);
        mask[i] = mask_of(&engine, test_policy(text), &batch);
    }
    same_mask(mask[0], mask[1], &batch);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* --- what can go wrong --------------------------------------------------------------------------------- */

/* Of a still picture nothing goes. */
static bool wants_frames(const tkp_policy *policy)
{
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    ck_assert_int_eq(tkp_policy_get_stage(policy, 0, &stage), TKP_OK);
    return stage.budget->at_least != TKP_LEAST_NONE;
}

/* A policy begun on one image, up to its first point. */
typedef struct begun {
    test_batch batch;
    tkp_policy *policy;
    tkp_sequence *sequence;
    tkp_point point;
    tkp_inputs inputs;
    tkp_tensor q, k, hidden, values;
    test_inputs before;
    void *workspace;
    size_t bytes;
} begun;

static void begin(begun *g, const test_engine *engine, tkp_policy *policy)
{
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    if (wants_frames(policy))
        make_frames(&g->batch);
    else
        make_one(&g->batch, 6, 4);
    g->policy = policy;
    ck_assert_int_eq(
        tkp_sequence_create(&g->sequence, engine->context), TKP_OK);
    ck_assert_int_eq(
        tkp_sequence_begin(
            g->sequence, engine->exec, policy, g->batch.layout,
            &g->batch.model),
        TKP_OK);
    ck_assert_int_eq(tkp_sequence_query(g->sequence, &need), TKP_OK);
    g->bytes = need.workspace_bytes;
    g->workspace = aligned_alloc(64, (g->bytes + 127) / 64 * 64);
    ck_assert_int_eq(
        tkp_exec_set_workspace(engine->exec, g->workspace, g->bytes), TKP_OK);
    tkp_point_init(&g->point);
    ck_assert_int_eq(tkp_sequence_next(g->sequence, &g->point), TKP_OK);
    tkp_inputs_init(&g->inputs);
    const int64_t rows = g->batch.rows;
    tkp_tensor_make_3d(&g->q, g->batch.q, TKP_DTYPE_F32, rows, TEST_H, TEST_C);
    tkp_tensor_make_3d(&g->k, g->batch.k, TKP_DTYPE_F32, rows, TEST_G, TEST_C);
    tkp_tensor_make_2d(
        &g->hidden, g->batch.hidden, TKP_DTYPE_F32, rows, TEST_D);
    g->inputs.q = &g->q;
    g->inputs.k = &g->k;
    g->inputs.hidden = &g->hidden;
    g->values = g->k;
    g->inputs.values = &g->values;
    test_batch_give(&g->batch, UINT32_MAX, &g->before, &g->inputs);
}

static void end(begun *g, const test_engine *engine)
{
    tkp_sequence_destroy(g->sequence);
    tkp_policy_destroy(g->policy);
    test_batch_release(&g->batch);
    ck_assert_int_eq(tkp_exec_set_workspace(engine->exec, NULL, 0), TKP_OK);
    free(g->workspace);
}

/* Refused, and nothing has changed: a correct call then works. */
static void refused_then_fine(
    begun *g,
    const test_engine *engine,
    const tkp_inputs *bad,
    tkp_status status)
{
    tkp_decision d = TKP_DECISION_INIT;
    const tkp_decision before = d;
    ck_assert_int_eq(
        tkp_sequence_prune(g->sequence, engine->exec, bad, &d), status);
    ck_assert_str_ne(tkp_last_message(), "");
    ck_assert_mem_eq(&d, &before, sizeof(d));
    tkp_point again = TKP_POINT_INIT;
    ck_assert_int_eq(tkp_sequence_next(g->sequence, &again), TKP_OK);
    ck_assert_mem_eq(&again, &g->point, sizeof(again));
    ck_assert_int_eq(
        tkp_exec_set_workspace(engine->exec, g->workspace, g->bytes), TKP_OK);
    ck_assert_int_eq(
        tkp_sequence_prune(g->sequence, engine->exec, &g->inputs, &d), TKP_OK);
    ck_assert_int_eq(d.rows_out, g->point.rows_out);
}

START_TEST(every_preset__workspace_one_byte_short__refused)
{
    OPEN(engine);
    for (int32_t p = 0; pruning_preset(p); p++) {
        begun g;
        begin(&g, &engine, test_preset(pruning_preset(p)));
        ck_assert_uint_gt(g.bytes, 0);
        ck_assert_int_eq(
            tkp_exec_set_workspace(engine.exec, g.workspace, g.bytes - 1),
            TKP_OK);
        refused_then_fine(&g, &engine, &g.inputs, TKP_ERR_WORKSPACE);
        end(&g, &engine);
    }
    test_engine_close(&engine);
}
END_TEST

static bool chooses_blindly(const char *preset)
{
    static const char *const blind[] = {
        "random", "random-stratified", "uniform", "stride", "drop-all"};
    for (size_t i = 0; i < sizeof(blind) / sizeof(blind[0]); i++)
        if (strcmp(preset, blind[i]) == 0)
            return true;
    return false;
}

START_TEST(every_preset__an_input_missing__refused)
{
    OPEN(engine);
    const tkp_inputs empty = TKP_INPUTS_INIT;
    for (int32_t p = 0; pruning_preset(p); p++) {
        begun g;
        begin(&g, &engine, test_preset(pruning_preset(p)));
        if (g.point.needs)
            refused_then_fine(&g, &engine, &empty, TKP_ERR_ARGUMENT);
        else
            ck_assert_msg(
                chooses_blindly(pruning_preset(p)), "%s needs nothing",
                pruning_preset(p));
        end(&g, &engine);
    }
    test_engine_close(&engine);
}
END_TEST

START_TEST(scores_all_nan__refused_and_nothing_changed)
{
    OPEN(engine);
    static const char *const presets[] = {"fastv",        "fastv-reverse",
                                          "fastv-window", "fastv-window-rank",
                                          "pooling",      "pooling-avg",
                                          "alpha-blend"};
    for (size_t p = 0; p < sizeof(presets) / sizeof(presets[0]); p++) {
        begun g;
        begin(&g, &engine, test_preset(presets[p]));
        float *bad = malloc((size_t)g.batch.rows * TEST_H * TEST_C * 4);
        for (int64_t i = 0; i < g.batch.rows * TEST_H * TEST_C; i++)
            bad[i] = NAN;
        tkp_inputs inputs = g.inputs;
        tkp_tensor q = g.q;
        tkp_tensor hidden = g.hidden;
        q.data = hidden.data = bad;
        inputs.q = &q;
        inputs.hidden = &hidden;
        refused_then_fine(&g, &engine, &inputs, TKP_ERR_DATA);
        free(bad);
        end(&g, &engine);
    }
    test_engine_close(&engine);
}
END_TEST

/* A NaN ranks below everything, in both orders. */
START_TEST(some_scores_nan__kept_last)
{
    OPEN(engine);
    static const char *const orders[] = {"highest", "lowest"};
    for (int o = 0; o < 2; o++) {
        char text[300];
        snprintf(
            text, sizeof(text),
            "  - at: projector\n"
            "    scorer: norm\n"
            "    selector: {kind: topk, order: %s}\n"
            "    budget: {count: 30}\n",
            orders[o]);
        test_batch batch;
        make_one(&batch, 6, 4);
        for (int32_t j = 0; j < 7; j++)
            batch.hidden[(4 + 5 * j) * TEST_D + 2] = NAN;
        uint8_t *mask = mask_of(&engine, test_policy(text), &batch);
        /* 29 numbers and the first of the seven */
        for (int32_t j = 0; j < 36; j++)
            ck_assert_int_eq(mask[4 + j], j % 5 != 0 || j == 0 || j >= 35);
        free(mask);
        test_batch_release(&batch);
    }
    test_engine_close(&engine);
}
END_TEST

START_TEST(attention__shapes_and_dtypes_wrong_once_each__refused)
{
    OPEN(engine);
    for (int32_t what = 0; what < 8; what++) {
        begun g;
        begin(&g, &engine, test_preset("fastv"));
        tkp_inputs inputs = g.inputs;
        tkp_tensor q = g.q;
        tkp_tensor k = g.k;
        inputs.q = &q;
        inputs.k = &k;
        tkp_status status = TKP_ERR_SHAPE;
        switch (what) {
        case 0:
            q.shape[0]--;
            break;
        case 1:
            q.shape[1]--;
            break;
        case 2:
            q.shape[2]--;
            break;
        case 3:
            k.shape[0]--;
            break;
        case 4:
            k.shape[1]--;
            break;
        case 5:
            k.ndim = 2;
            break;
        case 6:
            q.dtype = TKP_DTYPE_F16;
            status = TKP_ERR_DTYPE;
            break;
        default:
            k.dtype = TKP_DTYPE_BF16;
            status = TKP_ERR_DTYPE;
            break;
        }
        refused_then_fine(&g, &engine, &inputs, status);
        end(&g, &engine);
    }
    test_engine_close(&engine);
}
END_TEST

START_TEST(begin__budget_above_the_tokens__fails_before_anything_runs)
{
    OPEN(engine);
    test_batch batch;
    make_one(&batch, 6, 4);
    tkp_policy *policy = test_with_count(test_preset("fastv"), 37);
    tkp_sequence *sequence;
    ck_assert_int_eq(tkp_sequence_create(&sequence, engine.context), TKP_OK);
    ck_assert_int_eq(
        tkp_sequence_begin(
            sequence, engine.exec, policy, batch.layout, &batch.model),
        TKP_ERR_OPTION);
    ck_assert_str_eq(
        tkp_last_message(),
        "policy 'fastv': stage 0: sequence 0: budget: count is 37, wanted at "
        "most the 36 visual tokens there are");
    tkp_point point = TKP_POINT_INIT;
    ck_assert_int_eq(tkp_sequence_next(sequence, &point), TKP_ERR_STATE);
    tkp_sequence_destroy(sequence);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* --- memory ---------------------------------------------------------------------------------------------- */

/* next, prune and the gathers allocate nothing, with any preset. */
START_TEST(every_preset__from_next_to_gather__allocates_nothing)
{
    test_allocator_install(-1);
    OPEN(engine);
    for (int32_t p = 0; pruning_preset(p); p++) {
        begun g;
        begin(&g, &engine, test_preset(pruning_preset(p)));
        float *out = malloc((size_t)g.batch.rows * TEST_D * sizeof(*out));
        tkp_tensor dst;
        tkp_decision d = TKP_DECISION_INIT;
        tkp_report report = TKP_REPORT_INIT;
        const int calls = test_allocator.calls;
        ck_assert_int_eq(
            tkp_sequence_prune(g.sequence, engine.exec, &g.inputs, &d), TKP_OK);
        const bool inside = g.point.kind == TKP_POINT_VISION_MLP;
        const tkp_tensor *src = inside ? g.inputs.vision : &g.hidden;
        tkp_tensor_make_2d(&dst, out, TKP_DTYPE_F32, d.rows_out, src->shape[1]);
        ck_assert_int_eq(
            tkp_gather_rows(g.sequence, engine.exec, &dst, src, &d), TKP_OK);
        ck_assert_int_eq(
            tkp_gather_kv(g.sequence, engine.exec, &dst, src, &d), TKP_OK);
        ck_assert_int_eq(tkp_sequence_next(g.sequence, &g.point), TKP_OK);
        ck_assert_int_eq(
            g.point.kind != 0, tkp_policy_stage_count(g.policy) > 1);
        ck_assert_int_eq(tkp_sequence_report(g.sequence, &report), TKP_OK);
        ck_assert_int_eq(test_allocator.calls, calls);
        free(out);
        end(&g, &engine);
    }
    test_engine_close(&engine);
    test_allocator_remove();
}
END_TEST

static tkp_status run_once(const test_engine *engine, const test_batch *batch)
{
    tkp_policy *policy = NULL;
    tkp_sequence *sequence = NULL;
    tkp_status status = tkp_policy_load_preset(&policy, "alpha-blend");
    if (status == TKP_OK)
        status = tkp_sequence_create(&sequence, engine->context);
    if (status == TKP_OK)
        status = tkp_sequence_begin(
            sequence, engine->exec, policy, batch->layout, &batch->model);
    tkp_sequence_destroy(sequence);
    tkp_policy_destroy(policy);
    return status;
}

START_TEST(begin__each_allocation_fails_in_turn__clean_error_no_leak)
{
    bool done = false;
    for (int at = 0; !done; at++) {
        test_allocator_install(-1);
        OPEN(engine);
        test_batch batch;
        make_ragged(&batch);
        const int first = test_allocator.calls;
        test_allocator.fail_at = first + at;
        const tkp_status status = run_once(&engine, &batch);
        done = test_allocator.calls <= first + at;
        test_allocator.fail_at = -1;
        ck_assert_int_eq(status, done ? TKP_OK : TKP_ERR_MEMORY);
        test_batch_release(&batch);
        test_engine_close(&engine);
        test_allocator_remove();
    }
}
END_TEST

/* A sequence may be begun again and again. */
START_TEST(begin__again_with_other_policies__as_with_a_fresh_one)
{
    OPEN(engine);
    test_batch batch;
    make_ragged(&batch);
    tkp_sequence *sequence;
    ck_assert_int_eq(tkp_sequence_create(&sequence, engine.context), TKP_OK);
    for (int32_t p = 0; pruning_preset(p); p++) {
        tkp_policy *policy = test_preset(pruning_preset(p));
        tkp_point point = TKP_POINT_INIT;
        tkp_stage_options first = TKP_STAGE_OPTIONS_INIT;
        ck_assert_int_eq(tkp_policy_get_stage(policy, 0, &first), TKP_OK);
        ck_assert_int_eq(
            tkp_sequence_begin(
                sequence, engine.exec, policy, batch.layout, &batch.model),
            TKP_OK);
        const int32_t kind = first.point, boundary = first.boundary;
        tkp_policy_destroy(policy); /* the sequence has a reference */
        ck_assert_int_eq(tkp_sequence_next(sequence, &point), TKP_OK);
        ck_assert_int_eq(point.kind, kind);
        ck_assert_int_eq(point.boundary, boundary);
        ck_assert_int_eq(
            point.rows_in,
            kind == TKP_POINT_VISION_MLP ? batch.candidates : batch.rows);
    }
    tkp_sequence_destroy(sequence);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/pipeline");
    TCase *t;
#define CASE(name)                                                             \
    t = tcase_create(name);                                                    \
    suite_add_tcase(suite, t)
#define TEST(name) tcase_add_loop_test(t, name, 0, BACKENDS)
    CASE("counts");
    TEST(every_preset__all_tokens_kept__no_point);
    TEST(every_preset__no_token_kept__exactly_the_visual_ones_go);
    TEST(none__runs_without_a_point);
    TEST(prune__ratio_of_original__counts_from_before_the_first_cut);
    TEST(recycle__published_schedules__equivalent_tokens);
    TEST(order_parts__ragged__merged_rows_behind_the_kept);
    TEST(threshold__without_a_budget__all_that_reach_it);
    TEST(threshold__with_a_budget__the_best);
    TEST(threshold__nothing_reaches_it__the_protected_stay);
    TEST(rank__of_one_row__as_many_as_it_says);
    TEST(encoder__cuts__as_before_the_decoder);
    TEST(encoder__merged_to_the_last__the_mean_of_all);
    TEST(rank__words_that_are_alike__count_once);
    TEST(protect__two_stages__both_choices_survive);
    CASE("fastv");
    TEST(fastv__made_up_batch__brute_force_agrees);
    TEST(fastv_reverse__complement_of_fastv);
    TEST(fastv_window__one_window__is_fastv);
    TEST(fastv_window__whole_windows__identity);
    TEST(window_presets__24_x_24__144_64_128);
    TEST(fastv_window_rank__whole_windows_of_best_mean);
    TEST(fastv_window_rank__equal_means__lowest_windows_whole);
    TEST(fastv__equal_scores__lowest_positions_kept);
    TEST(fastv__constant_added_to_all_logits__same_set);
    TEST(alpha_blend__alpha_one__is_fastv);
    TEST(alpha_blend__alpha_zero__least_like_the_last_token);
    TEST(alpha_blend__constant_attention__likeness_decides);
    TEST(fastv_vis__later_text_changes__same_set);
    TEST(fastv_mean__divides_by_the_rows_that_see_the_key);
    CASE("pooling");
    TEST(pooling__hand_sized__row_of_largest_norm_unchanged);
    TEST(pooling_avg__hand_sized__means_at_the_largest_rows);
    TEST(pooling_max__hand_sized__channel_wise);
    TEST(pooling_avg__constant_grid__the_constant_comes_back);
    TEST(pooling_avg__grid_of_its_own_shape__disjoint_or_overlapping_bins);
    TEST(pooling__pick_by_place__centre_and_first);
    CASE("random");
    TEST(random__same_seed_and_id__same_set_for_any_threads);
    TEST(random__another_seed_id_or_boundary__another_set);
    TEST(random__many_draws__uniform);
    CASE("batches");
    TEST(every_preset__ragged_batch__equals_one_by_one);
    TEST(other_policies__ragged_batch__equals_one_by_one);
    TEST(scope_image__each_image_its_own_share);
    TEST(query_last_visual_per_image__scores_of_each_images_row);
    TEST(attention__every_form_it_can_be_given_in__same_result);
    CASE("positions");
    TEST(positions__keep__original_ones_and_next_is_the_length);
    TEST(positions__repack__renumbered_and_next_follows_from_the_boundary);
    TEST(positions__repack_before_the_llm__next_follows_in_all_layers);
    TEST(positions__three_rows__gathered_in_each);
    CASE("stages");
    TEST(two_stages__second_prunes_what_the_first_left);
    TEST(two_stages__windows_after_random__at_most_one_each);
    CASE("masks");
    TEST(keep_mask__always_kept_and_counted_in_the_budget);
    TEST(keep_mask__merged_windows__protected_rows_stay_as_they_are);
    TEST(valid_mask__padding_is_no_candidate_and_goes_at_the_first_cut);
    TEST(valid_mask__all_candidates_kept__padding_still_goes);
    CASE("refusals");
    TEST(every_preset__workspace_one_byte_short__refused);
    TEST(every_preset__an_input_missing__refused);
    TEST(scores_all_nan__refused_and_nothing_changed);
    TEST(some_scores_nan__kept_last);
    TEST(attention__shapes_and_dtypes_wrong_once_each__refused);
    TEST(begin__budget_above_the_tokens__fails_before_anything_runs);
    CASE("memory");
    TEST(every_preset__from_next_to_gather__allocates_nothing);
    TEST(begin__each_allocation_fails_in_turn__clean_error_no_leak);
    TEST(begin__again_with_other_policies__as_with_a_fresh_one);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
