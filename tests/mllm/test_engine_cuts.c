/*
 * Cuts inside the vision encoder against a restatement on the modules of
 * transformers (tools/golden/make_vision_cuts.py).
 */

#include "engine_testing.h"

enum { NEW = 8 };

#define TOME_STAGE(block, kept, more)                                          \
    "  - at: vision-mlp:" block "\n" more                                      \
    "    selector: {kind: bipartite, feature: vision-keys, class_token: "      \
    "true}\n"                                                                  \
    "    budget: {count: " kept "}\n"
#define TOME(more)                                                             \
    TOME_STAGE("0", "50", more)                                                \
    TOME_STAGE("1", "38", more) TOME_STAGE("2", "29", more)
#define MERGE "    merger: bipartite\n"
#define FOLD                                                                   \
    "  - at: vision:1\n"                                                       \
    "    selector: {kind: fold, window: [2, 2], threshold: 0.3}\n"             \
    "    merger: fold\n"                                                       \
    "    budget: {all: true, scope: image}\n"

static const struct {
    const char *name;
    const char *stages;
} cases[] = {
    {"tome", TOME(MERGE)},
    {"tome-repacked", TOME(MERGE "    positions: repack\n")},
    {"tome-proportional",
     TOME("    merger: {kind: bipartite, proportional: true}\n")},
    {"fold", FOLD},
    {"fold-then-fastv", FOLD "  - at: llm:2\n"
                             "    scorer: attention\n"
                             "    selector: topk\n"
                             "    budget: {count: 20}\n"},
};
enum { CASES = sizeof(cases) / sizeof(cases[0]), MANY = 10 };

static tkp_policy *policy_of(const char *stages)
{
    char text[2048];
    tkp_policy *policy;
    const int n = snprintf(
        text, sizeof(text), "tokenprune: 1\nname: cuts\nstages:\n%s", stages);
    assert_ok(tkp_policy_load_text(&policy, text, (size_t)n, NULL));
    return policy;
}

static void compare(
    const recorder *seen,
    const char *name,
    int32_t layer,
    tkp_tensor wanted)
{
    const recorded *r = recorder_get(seen, name, layer);
    ck_assert_int_eq(r->rows, wanted.shape[0]);
    compare_rows(
        name, r->values, r->rows, tkp__data(&wanted), wanted.shape[0],
        wanted.shape[1], 2e-5, false);
}

static void check_tokens(
    const testbed *bed,
    const char *name,
    const tkp_mllm_result *result,
    int32_t i)
{
    const tkp_tensor wanted = fixture_get(bed, "%s.greedy_ids", name);
    const int32_t *ids;
    ck_assert_int_eq(tkp_mllm_result_tokens(result, i, &ids), NEW);
    ck_assert_mem_eq(ids, tkp__data(&wanted), NEW * sizeof(*ids));
}

static tkp_mllm_result *
generate(const testbed *bed, tkp_policy *policy, int32_t count, recorder *seen)
{
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    tkp_mllm_request requests[MANY];
    tkp_mllm_result *result;
    const char *images[1];
    for (int32_t i = 0; i < count; i++)
        requests[i] = testbed_request(bed, images);
    options.max_new_tokens = NEW;
    options.ignore_eos = 1;
    options.policy = policy;
    options.on_trace = seen ? recorder_take : NULL;
    options.on_trace_user = seen;
    assert_ok(
        tkp_mllm_generate(&result, bed->model, requests, count, &options));
    return result;
}

static void check_case(const testbed *bed, int32_t i)
{
    static recorder seen;
    const char *name = cases[i].name;
    const tkp_tensor patches = fixture_get(bed, "%s.patches", name);
    tkp_policy *policy = policy_of(cases[i].stages);
    recorder_clear(&seen);
    tkp_mllm_result *result = generate(bed, policy, 1, &seen);
    const int32_t *cells;
    compare(
        &seen, "vision.features", -1, fixture_get(bed, "%s.features", name));
    compare(&seen, "logits", 0, fixture_get(bed, "%s.logits", name));
    check_tokens(bed, name, result, 0);
    const bool folds = !strncmp(name, "fold", 4);
    static const int64_t left[2][3] = {{50, 38, 29}, {64, 34, 34}};
    for (int32_t block = 0; block < 3; block++)
        ck_assert_int_eq(
            tkp_mllm_result_encoder_patches(result, block), left[folds][block]);
    ck_assert_int_eq(tkp_mllm_result_encoder_patches(result, 3), -1);
    const int64_t kept = tkp_mllm_result_kept_cells(result, 0, 0, &cells);
    if (tkp_policy_stage_count(policy) != 2) {
        ck_assert_int_eq(kept, patches.shape[0]);
        ck_assert_mem_eq(
            cells, tkp__data(&patches), (size_t)kept * sizeof(*cells));
    } else {
        ck_assert_int_eq(kept, 20);
    }
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(policy);
}

START_TEST(generate__cut_inside_the_encoder__as_restated)
{
    static const char *const backends[] = {"ref", "cpu,ref"};
    static testbed bed;
    if (!testbed_has_backend(backends[_i]))
        return;
    testbed_open(&bed, "llava-cuts", backends[_i], 0);
    for (int32_t i = 0; i < CASES; i++)
        check_case(&bed, i);
    testbed_close(&bed);
}
END_TEST

/* More pictures than go through the encoder at once, each cut by itself. */
START_TEST(generate__many_pictures__as_one_by_one)
{
    static testbed bed;
    testbed_open(&bed, "llava-cuts", "ref", 0);
    for (int32_t i = 0; i < CASES; i++) {
        tkp_policy *policy = policy_of(cases[i].stages);
        tkp_mllm_result *result = generate(&bed, policy, MANY, NULL);
        for (int32_t b = 0; b < MANY; b++)
            check_tokens(&bed, cases[i].name, result, b);
        ck_assert_int_eq(
            tkp_mllm_result_encoder_patches(result, 2),
            MANY * fixture_get(&bed, "%s.patches", cases[i].name).shape[0]);
        tkp_mllm_result_destroy(result);
        tkp_policy_destroy(policy);
    }
    testbed_close(&bed);
}
END_TEST

/* What later stages look at goes with the tokens that went: rows of CLS of a
 * block before the cut, and of one behind it. */
START_TEST(generate__later_stages__see_those_that_are_left)
{
    static const char *const scorers[] = {
        "{kind: cls-attention}", "{kind: cls-attention, encoder_layer: 1}",
        "{kind: norm}"};
    static testbed bed;
    testbed_open(&bed, "llava-cuts", "ref", 0);
    for (int32_t i = 0; i < 3; i++) {
        char text[1024];
        static recorder seen;
        snprintf(
            text, sizeof(text),
            "%s  - at: projector\n"
            "    scorer: %s\n"
            "    selector: topk\n"
            "    budget: {count: 7}\n",
            TOME(MERGE), scorers[i]);
        tkp_policy *policy = policy_of(text);
        recorder_clear(&seen);
        tkp_mllm_result *result = generate(&bed, policy, 1, &seen);
        const int32_t *cells;
        const recorded *scores = recorder_get(&seen, "prune.scores", 0);
        const tkp_tensor patches = fixture_get(&bed, "tome.patches");
        const int32_t *left = tkp__data(&patches);
        ck_assert_int_eq(tkp_mllm_result_kept_cells(result, 0, 0, &cells), 7);
        ck_assert_int_eq(scores->rows, 29);
        for (int32_t k = 0, at = 0; k < 7; k++) {
            int32_t better = 0;
            while (left[at] != cells[k])
                ck_assert_int_lt(++at, 29);
            for (int32_t j = 0; j < 29; j++)
                better += scores->values[j] > scores->values[at];
            ck_assert_int_lt(better, 7);
        }
        tkp_mllm_result_destroy(result);
        tkp_policy_destroy(policy);
    }
    testbed_close(&bed);
}
END_TEST

/* After prefill the caches lose what goes, too. */
START_TEST(generate__evicted_later__decodes_on)
{
    static testbed bed;
    testbed_open(&bed, "llava-cuts", "ref", 0);
    tkp_policy *policy = policy_of(FOLD "  - at: kv\n"
                                        "    scorer: norm\n"
                                        "    selector: topk\n"
                                        "    budget: {count: 9}\n");
    tkp_mllm_result *result = generate(&bed, policy, 2, NULL);
    const int32_t *cells;
    ck_assert_int_eq(tkp_mllm_result_kept_cells(result, 1, 0, &cells), 9);
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(policy);
    testbed_close(&bed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/engine_cuts");
    TCase *t = tcase_create("cuts");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, generate__cut_inside_the_encoder__as_restated, 0, 2);
    tcase_add_test(t, generate__many_pictures__as_one_by_one);
    tcase_add_test(t, generate__later_stages__see_those_that_are_left);
    tcase_add_test(t, generate__evicted_later__decodes_on);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
