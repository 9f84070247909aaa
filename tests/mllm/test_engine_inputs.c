/*
 * Every input that a stage can ask for, as a scorer sees it in the forward:
 * against the fixtures of transformers where those have it, else against the
 * activations that test_engine_parity.c holds against them. A batch gives each
 * sequence what it gets alone; nothing is kept that nobody asks for.
 */

#include "engine_testing.h"

#include <math.h>

enum { BOUNDARY = 2 };

static const uint32_t all_needs =
    TKP_NEED_HIDDEN | TKP_NEED_NORM_WEIGHT | TKP_NEED_CLS_ATTENTION |
    TKP_NEED_CLS_SHALLOW | TKP_NEED_TEXT | TKP_NEED_VALUES | TKP_NEED_KEYS |
    TKP_NEED_VISION | TKP_NEED_VISION_KEYS | TKP_NEED_EMBEDDINGS;

static testbed bed;
static recorder seen;

/* Copies of what the scorer was given. */
typedef struct capture {
    recorder inputs;
    int32_t text_offsets[8];
    int32_t row_offsets[8];
    int32_t candidate_offsets[8];
} capture;

static void take(capture *c, const char *name, const tkp_tensor *t)
{
    ck_assert_msg(t, "%s is missing", name);
    recorder_take(&c->inputs, name, 0, t);
}

static uint32_t wanted;

static tkp_status capture_all(
    void *user,
    const tkp_batch_view *view,
    const tkp_inputs *in,
    tkp_exec *exec,
    const tkp_tensor *scores)
{
    (void)exec;
    capture *c = user;
    const struct {
        const char *name;
        uint32_t need;
        const tkp_tensor *given;
    } inputs[] = {
        {"hidden", TKP_NEED_HIDDEN, in->hidden},
        {"norm_weight", TKP_NEED_NORM_WEIGHT, in->norm_weight},
        {"cls_attention", TKP_NEED_CLS_ATTENTION, in->cls_attention},
        {"cls_shallow", TKP_NEED_CLS_SHALLOW, in->cls_shallow},
        {"text", TKP_NEED_TEXT, in->text},
        {"values", TKP_NEED_VALUES, in->values},
        {"k", TKP_NEED_KEYS | TKP_NEED_ATTENTION, in->k},
        {"q", TKP_NEED_ATTENTION, in->q},
        {"plain_q", TKP_NEED_PLAIN_ATTENTION, in->plain_q},
        {"plain_k", TKP_NEED_PLAIN_ATTENTION, in->plain_k},
        {"lse", TKP_NEED_ATTENTION, in->lse},
        {"vision", TKP_NEED_VISION, in->vision},
        {"vision_keys", TKP_NEED_VISION_KEYS, in->vision_keys},
        {"embeddings", TKP_NEED_EMBEDDINGS, in->embeddings},
        {"scores", TKP_NEED_SCORES, in->scores},
        {"clip", TKP_NEED_CLIP, in->clip},
    };
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
        if (inputs[i].need & wanted)
            take(c, inputs[i].name, inputs[i].given);
        else
            ck_assert_msg(
                !inputs[i].given, "%s was not asked for", inputs[i].name);
    for (int32_t b = 0; b <= view->sequences; b++) {
        c->row_offsets[b] = view->row_offsets[b];
        c->candidate_offsets[b] = view->candidate_offsets[b];
        if (in->text_offsets)
            c->text_offsets[b] = in->text_offsets[b];
    }
    float *out = tkp__data(scores);
    for (int64_t i = 0; i < view->candidates; i++)
        out[i] = (float)i;
    return TKP_OK;
}

/* A policy of one stage whose scorer captures what it is given. */
static tkp_policy *policy_capture(capture *c, uint32_t needs, int32_t point)
{
    const tkp_scorer_vtable table = {
        .struct_size = sizeof(table), .needs = needs, .run = capture_all};
    tkp_policy *policy;
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    tkp_scorer_options scorer = TKP_SCORER_OPTIONS_INIT;
    tkp_selector_options selector = TKP_SELECTOR_OPTIONS_INIT;
    tkp_budget budget = TKP_BUDGET_INIT;
    wanted = needs;
    assert_ok(tkp_scorer_register("capture", &table, c));
    scorer.kind = TKP_SCORER_CUSTOM;
    scorer.custom = "capture";
    selector.kind = TKP_SELECTOR_TOPK;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = 5;
    stage.point = point;
    stage.boundary = point == TKP_POINT_LLM ? BOUNDARY : 0;
    stage.scorer = &scorer;
    stage.selector = &selector;
    stage.budget = &budget;
    assert_ok(tkp_policy_create(&policy, "capture"));
    assert_ok(tkp_policy_add_stage(policy, &stage));
    return policy;
}

static void release(capture *c, tkp_policy *policy)
{
    recorder_clear(&c->inputs);
    tkp_policy_destroy(policy);
    assert_ok(tkp_scorer_unregister("capture"));
}

static void
prefill(const tkp_mllm_request *requests, int32_t count, tkp_policy *policy)
{
    tkp_mllm_result *result;
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    options.max_new_tokens = -1;
    options.policy = policy;
    options.on_trace = recorder_take;
    options.on_trace_user = &seen;
    recorder_clear(&seen);
    assert_ok(tkp_mllm_generate(&result, bed.model, requests, count, &options));
    tkp_mllm_result_destroy(result);
}

static void open_f32(void)
{
    testbed_open(&bed, "llava-f32", "ref", 0);
}

static void open_kv2(void)
{
    testbed_open(&bed, "llava-kv2-sharded", "ref", 0);
}

static void close_bed(void)
{
    recorder_clear(&seen);
    testbed_close(&bed);
}

/* --- against transformers -------------------------------------------------- */

static void check_rows(
    const capture *c,
    const char *name,
    const float *expected,
    int64_t rows,
    int64_t width)
{
    const recorded *got = recorder_get(&c->inputs, name, 0);
    ck_assert_msg(
        got->rows * got->width == rows * width, "%s: %lld values, wanted %lld",
        name, (long long)(got->rows * got->width), (long long)(rows * width));
    compare_rows(name, got->values, rows, expected, rows, width, 1e-5, false);
}

static void
check_fixture(const capture *c, const char *name, const char *fixture)
{
    const tkp_tensor t = fixture_get(&bed, "%s", fixture);
    check_rows(c, name, tkp__data(&t), t.shape[0], t.shape[1]);
}

/* [heads, rows, C] of a fixture, as rows with the heads side by side. */
static void check_heads(const capture *c, const char *name, const char *fixture)
{
    const tkp_tensor t = fixture_get(&bed, "%s", fixture);
    const int64_t heads = t.shape[0], rows = t.shape[1], d = t.shape[2];
    const float *from = tkp__data(&t);
    float *rows_first = malloc((size_t)(heads * rows * d) * sizeof(float));
    for (int64_t h = 0; h < heads; h++)
        for (int64_t r = 0; r < rows; r++)
            memcpy(
                rows_first + (r * heads + h) * d, from + (h * rows + r) * d,
                (size_t)d * sizeof(float));
    check_rows(c, name, rows_first, rows, heads * d);
    free(rows_first);
}

/* The CLS row of transformers' first block, patches only, heads meaned. */
static void check_first_cls(const float *got)
{
    const tkp_tensor t = fixture_get(&bed, "vit.layer.0.attn_probs");
    const int64_t heads = t.shape[0], n = t.shape[1];
    const float *p = tkp__data(&t);
    float mean[64] = {0};
    for (int64_t h = 0; h < heads; h++)
        for (int64_t j = 1; j < n; j++)
            mean[j - 1] += p[h * n * n + j] / (float)heads;
    compare_rows("cls", got, 1, mean, 1, n - 1, 1e-5, false);
}

/* The last block's keys are not in the fixtures, but what follows from them
 * is; see check_vision_attention() of the parity test. */
static void check_keys(const capture *c)
{
    const int32_t last = bed.model->vision.layers - 1;
    const int64_t heads = bed.model->vision.heads;
    const recorded *k = recorder_get(&seen, "vision.k", last);
    const int64_t n = k->rows - 1, d = k->width / heads;
    float *mean = calloc((size_t)(n * d), sizeof(float));
    for (int64_t i = 0; i < n; i++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t j = 0; j < d; j++)
                mean[i * d + j] +=
                    k->values[(1 + i) * k->width + h * d + j] / (float)heads;
    check_rows(c, "vision_keys", mean, n, d);
    free(mean);
}

START_TEST(generate__all_inputs__are_those_of_transformers)
{
    static capture c;
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_policy *policy = policy_capture(&c, all_needs, TKP_POINT_LLM);
    prefill(&request, 1, policy);
    check_fixture(&c, "vision", "vit.features");
    check_fixture(&c, "embeddings", "lm.inputs_embeds");
    check_fixture(&c, "hidden", "lm.layer.1.output");
    check_heads(&c, "k", "lm.cache.1.k");
    check_heads(&c, "values", "lm.cache.1.v");
    check_keys(&c);
    check_first_cls(recorder_get(&c.inputs, "cls_shallow", 0)->values);
    /* the question: what is behind the last placeholder */
    const tkp_tensor x = fixture_get(&bed, "lm.inputs_embeds");
    const tkp_tensor ids = fixture_get(&bed, "input_ids");
    int64_t first = ids.shape[0];
    while (((const int32_t *)tkp__data(&ids))[first - 1] != IMAGE_ID)
        first--;
    check_rows(
        &c, "text", (const float *)tkp__data(&x) + first * x.shape[1],
        ids.shape[0] - first, x.shape[1]);
    ck_assert_int_eq(c.text_offsets[0], 0);
    ck_assert_int_eq(c.text_offsets[1], ids.shape[0] - first);
    release(&c, policy);
}
END_TEST

/* The CLS row of any block: the first against transformers, all against q and k
 * of the block. */
START_TEST(engine__cls_attention__is_that_of_the_block_asked_for)
{
    static capture c;
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_policy *policy = policy_capture(
        &c, TKP_NEED_CLS_ATTENTION | TKP_NEED_CLS_SHALLOW, TKP_POINT_PROJECTOR);
    const tkp__forward f = {.trace = recorder_take, .trace_user = &seen};
    const int64_t heads = bed.model->vision.heads;
    for (int32_t layer = 0; layer < bed.model->vision.layers; layer++) {
        tkp__prompt prompt;
        tkp__engine engine;
        tkp_tensor logits;
        assert_ok(tkp__prompt_create(&prompt, bed.model, &request, 0));
        assert_ok(tkp__engine_create(
            &engine, bed.model, &prompt, 1, policy, 0, NULL, &f));
        ck_assert_int_eq(
            engine.inputs.of.cls_layer, bed.model->vision.layers - 1);
        engine.inputs.of.cls_layer = layer;
        recorder_clear(&seen);
        recorder_clear(&c.inputs);
        assert_ok(tkp__engine_prefill(&engine, &logits));
        const recorded *got = recorder_get(&c.inputs, "cls_attention", 0);
        const recorded *q = recorder_get(&seen, "vision.q", layer);
        const recorded *k = recorder_get(&seen, "vision.k", layer);
        const int64_t n = k->rows, d = k->width / heads;
        float scores[64] = {0};
        for (int64_t h = 0; h < heads; h++) {
            double p[64], sum = 0.0;
            for (int64_t j = 0; j < n; j++) {
                double s = 0.0;
                for (int64_t e = 0; e < d; e++)
                    s += (double)q->values[h * d + e] *
                         k->values[j * k->width + h * d + e];
                sum += p[j] = exp(s / sqrt((double)d));
            }
            for (int64_t j = 1; j < n; j++)
                scores[j - 1] += (float)(p[j] / sum / (double)heads);
        }
        compare_rows("cls", got->values, 1, scores, 1, n - 1, 1e-5, false);
        if (layer == 0)
            check_first_cls(got->values);
        tkp__engine_release(&engine);
        tkp__prompt_release(&prompt);
    }
    release(&c, policy);
}
END_TEST

/* --- batches --------------------------------------------------------------- */

/* Rows of `name` that belong to sequence b. */
static int64_t
rows_of(const capture *c, const char *name, int32_t b, int64_t *n)
{
    const int32_t *offsets = c->row_offsets;
    if (!strcmp(name, "text"))
        offsets = c->text_offsets;
    if (!strncmp(name, "cls", 3) || !strncmp(name, "vision", 6))
        offsets = c->candidate_offsets;
    *n = offsets[b + 1] - offsets[b];
    return offsets[b];
}

START_TEST(generate__all_inputs_of_a_batch__as_one_by_one)
{
    static const char *const names[] = {
        "hidden", "cls_attention", "cls_shallow", "text",      "values",
        "k",      "vision",        "vision_keys", "embeddings"};
    static capture alone, all;
    const char *images[2] = {bed.picture, bed.picture};
    const char *const prompts[3] = {
        bed.prompt, "<image>\xe4\xb8\x85",
        "<image>\xe4\xb8\x87<image>\xe4\xb8\x8a"};
    tkp_mllm_request requests[3];
    for (int32_t i = 0; i < 3; i++) {
        requests[i] = testbed_request(&bed, images);
        images[0] = bed.picture;
        requests[i].prompt = prompts[i];
        requests[i].n_images = i == 2 ? 2 : 1;
    }
    tkp_policy *policy = policy_capture(&all, all_needs, TKP_POINT_LLM);
    prefill(requests, 3, policy);
    tkp_policy_destroy(policy);
    assert_ok(tkp_scorer_unregister("capture"));
    policy = policy_capture(&alone, all_needs, TKP_POINT_LLM);
    for (int32_t b = 0; b < 3; b++) {
        recorder_clear(&alone.inputs);
        prefill(&requests[b], 1, policy);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            int64_t n, m;
            const int64_t at = rows_of(&all, names[i], b, &n);
            rows_of(&alone, names[i], 0, &m);
            ck_assert_int_eq(n, m);
            const recorded *of_all = recorder_get(&all.inputs, names[i], 0);
            const recorded *of_one = recorder_get(&alone.inputs, names[i], 0);
            const int64_t total = of_one->rows * of_one->width;
            compare_rows(
                names[i], of_all->values + at * (total / n), n, of_one->values,
                n, total / n, 1e-6, false);
        }
    }
    recorder_clear(&all.inputs);
    release(&alone, policy);
}
END_TEST

/* --- what is not there ----------------------------------------------------- */

START_TEST(engine__inputs_not_asked_for__are_not_kept)
{
    static capture c;
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_policy *policy =
        policy_capture(&c, TKP_NEED_HIDDEN, TKP_POINT_PROJECTOR);
    const tkp__forward f = {0};
    tkp__prompt prompt;
    tkp__engine engine;
    assert_ok(tkp__prompt_create(&prompt, bed.model, &request, 0));
    assert_ok(tkp__engine_create(
        &engine, bed.model, &prompt, 1, policy, 0, NULL, &f));
    const tkp__kept_inputs *kept = &engine.inputs;
    ck_assert_ptr_null(kept->vision.data);
    ck_assert_ptr_null(kept->keys.data);
    ck_assert_ptr_null(kept->cls.data);
    ck_assert_ptr_null(kept->shallow.data);
    ck_assert_ptr_null(kept->embeddings.data);
    ck_assert_ptr_null(kept->text.data);
    tkp__engine_release(&engine);
    tkp__prompt_release(&prompt);
    /* and the scorer is given nothing else, which capture_all() checks */
    prefill(&request, 1, policy);
    for (int32_t i = 0; i < seen.count; i++)
        ck_assert(
            strcmp(seen.entry[i].name, "vision.keys") &&
            strcmp(seen.entry[i].name, "vision.cls_attention") &&
            strcmp(seen.entry[i].name, "text"));
    release(&c, policy);
}
END_TEST

START_TEST(generate__shared_space__is_unsupported_and_says_why)
{
    static const uint32_t needs[] = {
        TKP_NEED_CLIP, TKP_NEED_CLIP_TEXT, TKP_NEED_CLIP_TOKENS};
    static capture c;
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    for (int32_t i = 0; i < 3; i++) {
        tkp_policy *policy = policy_capture(&c, needs[i], TKP_POINT_PROJECTOR);
        tkp_mllm_result *result;
        tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
        options.policy = policy;
        ck_assert_int_eq(
            tkp_mllm_generate(&result, bed.model, &request, 1, &options),
            TKP_ERR_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(tkp_last_message(), "CLIP"));
        release(&c, policy);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/engine_inputs");
    void (*const open[])(void) = {open_f32, open_kv2};
    const char *const names[] = {"f32", "kv2"};
    for (int i = 0; i < 2; i++) {
        TCase *t = tcase_create(names[i]);
        tcase_add_checked_fixture(t, open[i], close_bed);
        tcase_add_test(t, generate__all_inputs__are_those_of_transformers);
        tcase_add_test(
            t, engine__cls_attention__is_that_of_the_block_asked_for);
        tcase_add_test(t, generate__all_inputs_of_a_batch__as_one_by_one);
        tcase_add_test(t, engine__inputs_not_asked_for__are_not_kept);
        tcase_add_test(t, generate__shared_space__is_unsupported_and_says_why);
        suite_add_tcase(suite, t);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
