/*
 * Every preset there is, from a picture and a question to an answer. What each
 * says beforehand about its counts is what runs; the report counts what the
 * layers saw; with a budget that keeps everything nothing changes; a batch is
 * its parts; threads do not matter. Presets that want what a model has not got
 * stand in a list, with the answer that they get.
 */

#include "engine_testing.h"

#include <math.h>

enum { MOST_LAYERS = 64, TOKENS = 3 };

typedef struct model_case {
    const char *golden; /* NULL: the demo model */
    const char *backend;
    double tolerance; /* logits of a batch and of its parts */
} model_case;

static const model_case cases[] = {
    {"llava-f32", "ref", 1e-5},
    {"qwen2-vl", "ref", 1e-5},
    {NULL, "cpu", 2e-2}};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

/* Presets that these models cannot run (no tower for text; tokens that are made
 * behind the encoder), and what the answer says. */
static const struct {
    const char *name;
    bool any_size; /* refused by that model only */
    tkp_status status;
    const char *reason;
} refused[] = {
    {"eadp", false, TKP_ERR_UNSUPPORTED, "CLIP"},
    {"cdpruner", false, TKP_ERR_UNSUPPORTED, "CLIP"},
    {"litelvlm", false, TKP_ERR_UNSUPPORTED, "CLIP"},
    {"tome", true, TKP_ERR_UNSUPPORTED, "inside the encoder"},
    {"mustdrop", true, TKP_ERR_UNSUPPORTED, "inside the encoder"},
};

static const model_case *now;
static testbed bed;
static tkp_mllm_request request[2];
static char second_prompt[64];
static const char *images[2];
static float scores[2 * 576];
static int64_t visual; /* tokens of one picture */

static const tkp_mllm *model;
static tkp_context *contexts[2]; /* of one thread, of two */
static tkp_mllm *models[2];

static void load(void)
{
    char folder[PATH_MAX], picture[PATH_MAX];
    const char *root = getenv("TKP_SOURCE_DIR");
    snprintf(
        folder, sizeof(folder), "%s/examples/demo/model", root ? root : ".");
    snprintf(
        picture, sizeof(picture), "%s/examples/demo/images/scene_00.png",
        root ? root : ".");
    for (int i = 0; i < 2; i++) {
        tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
        options.backends = now->backend;
        options.threads = i + 1;
        assert_ok(tkp_context_create(&contexts[i], &options));
        assert_ok(tkp_mllm_load(
            &models[i], contexts[i], now->golden ? bed.folder : folder, NULL));
        tkp_mllm_request_init(&request[i]);
    }
    images[0] = images[1] = now->golden ? bed.picture : strdup(picture);
    for (int i = 0; i < 2; i++) {
        request[i].images = &images[i];
        request[i].n_images = 1;
        request[i].id = 7;
    }
    if (now->golden) {
        snprintf(second_prompt, sizeof(second_prompt), "<image>\xe4\xb8\x85");
        request[0].prompt = bed.prompt;
        request[1].prompt = second_prompt;
        request[0].format = request[1].format = TKP_MLLM_FORMAT_RAW;
    } else {
        request[0].prompt = "What color is the diamond?";
        request[1].prompt = "Is there a red square in the image?";
    }
    model = models[0];
    visual = model->vision.patches;
    if (tkp__any_size(model))
        visual = fixture_get(&bed, "square.scores").shape[0];
    for (int64_t i = 0; i < 2 * visual; i++)
        scores[i] = (float)((i % visual) * 37 % 101);
}

static void open_case(void)
{
    if (now->golden)
        testbed_open(&bed, now->golden, "ref", 0);
    load();
}

static void close_case(void)
{
    for (int i = 0; i < 2; i++) {
        tkp_mllm_destroy(models[i]);
        tkp_context_destroy(contexts[i]);
    }
    if (now->golden)
        testbed_close(&bed);
    else
        free((void *)(uintptr_t)images[0]);
}

/* --- one run --------------------------------------------------------------- */

/* What is looked at of a run. */
typedef struct run {
    tkp_status status;
    int32_t sequences;
    int64_t layer_rows[MOST_LAYERS];
    float *logits; /* [sequences, vocab] of the prefill */
    int64_t vocab;
    int64_t kept_count[2];
    int32_t kept[2][576];
    tkp_mllm_result *result;
} run;

static void
watch(void *user, const char *name, int32_t layer, const tkp_tensor *tensor)
{
    run *r = user;
    if (!strcmp(name, "llm.layer"))
        r->layer_rows[layer] = tensor->shape[0];
    if (strcmp(name, "logits") || layer != 0)
        return;
    r->vocab = tensor->shape[1];
    r->logits = malloc((size_t)tkp_tensor_count(tensor) * sizeof(float));
    memcpy(
        r->logits, tkp__data(tensor),
        (size_t)tkp_tensor_count(tensor) * sizeof(float));
}

static run run_policy(
    const tkp_mllm *m,
    const tkp_mllm_request *requests,
    int32_t count,
    tkp_policy *policy)
{
    run r = {.sequences = count};
    tkp_tensor view;
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    tkp_tensor_make_1d(&view, scores, TKP_DTYPE_F32, count * visual);
    options.policy = policy;
    options.max_new_tokens = TOKENS;
    options.ignore_eos = 1;
    options.scores = &view;
    options.on_trace = watch;
    options.on_trace_user = &r;
    r.status = tkp_mllm_generate(&r.result, m, requests, count, &options);
    for (int32_t i = 0; r.status == TKP_OK && i < count; i++) {
        const int32_t *cells;
        r.kept_count[i] = tkp_mllm_result_kept_cells(r.result, i, 0, &cells);
        ck_assert_int_ge(r.kept_count[i], 0);
        ck_assert_int_le(r.kept_count[i], visual);
        memcpy(r.kept[i], cells, (size_t)r.kept_count[i] * sizeof(*r.kept[i]));
    }
    return r;
}

static void run_end(run *r)
{
    free(r->logits);
    tkp_mllm_result_destroy(r->result);
}

/* Whether the preset ran; if not, that it was expected, and says why. */
static bool ran(const run *r, const char *name)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (strcmp(refused[i].name, name) ||
            (refused[i].any_size && !tkp__any_size(model)))
            continue;
        ck_assert_msg(
            r->status == refused[i].status, "%s: %s, wanted %s", name,
            tkp_status_string(r->status), tkp_status_string(refused[i].status));
        ck_assert_msg(
            strstr(tkp_last_message(), refused[i].reason), "%s: %s", name,
            tkp_last_message());
        return false;
    }
    ck_assert_msg(
        r->status == TKP_OK, "%s: %s: %s", name, tkp_status_string(r->status),
        tkp_last_message());
    return true;
}

static void compare_logits(
    const char *name,
    const float *a,
    const float *b,
    int64_t count,
    double by)
{
    double top = 0.0, worst = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double difference = fabs((double)a[i] - b[i]);
        top = fmax(top, fabs((double)b[i]));
        if (!(difference <= worst))
            worst = difference;
    }
    ck_assert_msg(
        worst <= by * top, "%s: logits differ by %g of %g", name, worst, top);
}

static void
assert_same_kept(const char *name, const run *a, int i, const run *b)
{
    ck_assert_msg(
        a->kept_count[i] == b->kept_count[0], "%s: kept %lld, wanted %lld",
        name, (long long)a->kept_count[i], (long long)b->kept_count[0]);
    ck_assert_msg(
        !memcmp(
            a->kept[i], b->kept[0],
            (size_t)a->kept_count[i] * sizeof(*a->kept[i])),
        "%s: other tokens are kept", name);
}

/* --- counts ---------------------------------------------------------------- */

/* What the last part of a chain keeps beside the budget (SparseVLM). */
static int64_t
count_more(const tkp_selector_options *selector, int64_t keep, int64_t of)
{
    if (selector->kind != TKP_SELECTOR_CHAIN || keep == 0 || keep == of)
        return 0;
    const tkp_chain_part *last = &selector->parts[selector->n_parts - 1];
    if (last->amount != TKP_CHAIN_MORE)
        return 0;
    const int64_t pool = (of - keep) * last->pool_num / last->pool_den + 1;
    return pool * last->share_num / last->share_den + 1;
}

/*
 * Visual tokens in each layer, from the budgets alone; false if they do not say
 * it: a quota, images apart, or data that decide.
 */
static bool count_beforehand(const tkp_policy *policy, int64_t *in_layer)
{
    const int32_t layers = model->decoder.layers;
    tkp_policy_info info = TKP_POLICY_INFO_INIT;
    assert_ok(tkp_policy_query(policy, &info));
    int64_t left = visual, keep;
    int32_t layer = 0;
    if (info.flags & TKP_POLICY_ADAPTIVE)
        return false;
    for (int32_t i = 0; i < tkp_policy_stage_count(policy); i++) {
        tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
        assert_ok(tkp_policy_get_stage(policy, i, &stage));
        if (stage.effect == TKP_EFFECT_PROTECT)
            continue; /* nothing goes */
        if (stage.selector->quota)
            return false;
        const int32_t from = stage.point == TKP_POINT_LLM  ? stage.boundary
                             : stage.point == TKP_POINT_KV ? layers
                                                           : 0;
        while (layer < from && layer < layers)
            in_layer[layer++] = left;
        if (stage.budget->at_least != TKP_LEAST_NONE)
            left = visual; /* a picture is one frame */
        else if (stage.selector->kind != TKP_SELECTOR_ALL) {
            assert_ok(tkp_budget_resolve(
                stage.budget,
                stage.budget->of == TKP_OF_ORIGINAL ? visual : left, from,
                layers, &keep));
            keep = keep < left ? keep : left;
            left = keep + count_more(stage.selector, keep, left);
        }
    }
    while (layer < layers)
        in_layer[layer++] = left;
    return true;
}

static void check_counts(const run *r, const char *name, tkp_policy *policy)
{
    tkp_report report = TKP_REPORT_INIT;
    int64_t before[MOST_LAYERS];
    assert_ok(tkp_mllm_result_report(r->result, &report));
    const int64_t text = r->layer_rows[0] - report.layer_visual[0];
    const bool known = count_beforehand(policy, before);
    ck_assert_int_eq(report.layers, model->decoder.layers);
    ck_assert_int_eq(report.visual_before, visual);
    for (int32_t i = 0; i < report.layers; i++) {
        ck_assert_msg(
            report.layer_tokens[i] == r->layer_rows[i],
            "%s: layer %d had %lld rows, the report says %lld", name, i,
            (long long)r->layer_rows[i], (long long)report.layer_tokens[i]);
        ck_assert_int_eq(report.layer_tokens[i] - report.layer_visual[i], text);
        ck_assert_msg(
            !known || report.layer_visual[i] == before[i],
            "%s: layer %d had %lld visual tokens, %lld were promised", name, i,
            (long long)report.layer_visual[i], (long long)before[i]);
    }
    ck_assert_int_eq(report.visual_after, r->kept_count[0]);
}

/* --- the tests ------------------------------------------------------------- */

/* A stage inside the decoder, moved to layer `to`; what it reads moves along. */
static void move(tkp_stage_options *stage, int32_t to)
{
    if (stage->score_layer >= 0)
        stage->score_layer += to - stage->boundary;
    stage->boundary = to;
}

static bool reads_next(const tkp_stage_options *stage)
{
    return stage->score_layer == stage->boundary;
}

/* A cut behind more blocks of the encoder than there are. */
static bool is_too_deep(const tkp_stage_options *stage)
{
    const bool mlp = stage->point == TKP_POINT_VISION_MLP;
    return (mlp || stage->point == TKP_POINT_VISION) &&
           stage->boundary + mlp > model->config.vision.feature_layer;
}

/* A preset for a deeper model, on this one: its cuts inside the decoder come
 * one layer after the other, as many as there are layers for; what stands at one
 * boundary stays together. */
static tkp_policy *make_shallow(tkp_policy *policy)
{
    const int32_t layers = model->decoder.layers;
    tkp_policy *out;
    int32_t next = 1, before = -1;
    assert_ok(tkp_policy_create(&out, tkp_policy_name(policy)));
    for (int32_t i = 0; i < tkp_policy_stage_count(policy); i++) {
        tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
        assert_ok(tkp_policy_get_stage(policy, i, &stage));
        if (is_too_deep(&stage))
            continue;
        if (stage.kv_end > layers)
            stage.kv_end = layers;
        if (stage.point == TKP_POINT_LLM) {
            const bool beside = stage.boundary == before;
            const int32_t to = beside ? next - 1 : next;
            before = stage.boundary;
            if (to + reads_next(&stage) > layers)
                continue;
            move(&stage, to);
            next = to + 1;
        }
        assert_ok(tkp_policy_add_stage(out, &stage));
    }
    tkp_policy_destroy(policy);
    return out;
}

static tkp_policy *load_preset(int32_t i, const char **name)
{
    tkp_policy *policy;
    tkp_policy_info info = TKP_POLICY_INFO_INIT;
    *name = tkp_policy_preset_name(i);
    assert_ok(tkp_policy_load_preset(&policy, *name));
    assert_ok(tkp_policy_query(policy, &info));
    for (int32_t s = 0; s < tkp_policy_stage_count(policy); s++) {
        tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
        assert_ok(tkp_policy_get_stage(policy, s, &stage));
        if (is_too_deep(&stage))
            return make_shallow(policy);
    }
    return info.last_boundary < model->decoder.layers ? policy
                                                      : make_shallow(policy);
}

START_TEST(generate__every_preset__answers_and_counts_what_ran)
{
    for (int32_t i = 0; i < tkp_policy_preset_count(); i++) {
        const char *name;
        tkp_policy *policy = load_preset(i, &name);
        run r = run_policy(model, request, 1, policy);
        if (ran(&r, name)) {
            const int32_t *ids;
            ck_assert_int_eq(tkp_mllm_result_tokens(r.result, 0, &ids), TOKENS);
            for (int64_t v = 0; v < r.vocab; v++)
                ck_assert_msg(isfinite(r.logits[v]), "%s: no number", name);
            check_counts(&r, name, policy);
        }
        run_end(&r);
        tkp_policy_destroy(policy);
    }
}
END_TEST

/* The same policy with budgets that keep everything. */
static tkp_policy *keep_all(const tkp_policy *policy)
{
    tkp_policy *all;
    assert_ok(tkp_policy_create(&all, "all"));
    for (int32_t i = 0; i < tkp_policy_stage_count(policy); i++) {
        tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
        assert_ok(tkp_policy_get_stage(policy, i, &stage));
        tkp_selector_options selector = *stage.selector;
        tkp_budget budget = TKP_BUDGET_INIT;
        budget.kind = TKP_BUDGET_RATIO;
        budget.ratio_num = budget.ratio_den = 1;
        budget.scope = stage.budget->scope;
        selector.quota = 0;
        stage.selector = &selector;
        if (selector.kind != TKP_SELECTOR_ALL)
            stage.budget = &budget;
        assert_ok(tkp_policy_add_stage(all, &stage));
    }
    return all;
}

START_TEST(generate__everything_kept__logits_unchanged)
{
    run plain = run_policy(model, request, 1, NULL);
    ck_assert_int_eq(plain.status, TKP_OK);
    for (int32_t i = 0; i < tkp_policy_preset_count(); i++) {
        const char *name;
        tkp_policy *policy = load_preset(i, &name);
        tkp_policy *all = keep_all(policy);
        run r = run_policy(model, request, 1, all);
        if (ran(&r, name))
            ck_assert_msg(
                !memcmp(
                    r.logits, plain.logits,
                    (size_t)plain.vocab * sizeof(float)),
                "%s: other logits", name);
        run_end(&r);
        tkp_policy_destroy(all);
        tkp_policy_destroy(policy);
    }
    run_end(&plain);
}
END_TEST

START_TEST(generate__batch_of_two__as_one_by_one)
{
    for (int32_t i = 0; i < tkp_policy_preset_count(); i++) {
        const char *name;
        tkp_policy *policy = load_preset(i, &name);
        run both = run_policy(model, request, 2, policy);
        if (ran(&both, name))
            for (int j = 0; j < 2; j++) {
                run one = run_policy(model, &request[j], 1, policy);
                ck_assert_int_eq(one.status, TKP_OK);
                assert_same_kept(name, &both, j, &one);
                compare_logits(
                    name, both.logits + j * both.vocab, one.logits, one.vocab,
                    now->tolerance);
                run_end(&one);
            }
        run_end(&both);
        tkp_policy_destroy(policy);
    }
}
END_TEST

START_TEST(generate__two_threads__as_one)
{
    for (int32_t i = 0; i < tkp_policy_preset_count(); i++) {
        const char *name;
        tkp_policy *policy = load_preset(i, &name);
        run one = run_policy(models[0], request, 1, policy);
        if (ran(&one, name)) {
            run two = run_policy(models[1], request, 1, policy);
            ck_assert_int_eq(two.status, TKP_OK);
            assert_same_kept(name, &two, 0, &one);
            compare_logits(
                name, two.logits, one.logits, one.vocab, now->tolerance);
            run_end(&two);
        }
        run_end(&one);
        tkp_policy_destroy(policy);
    }
}
END_TEST

static int run_case(const model_case *c)
{
    char name[64];
    now = c;
    snprintf(
        name, sizeof(name), "mllm/engine_presets %s %s",
        c->golden ? c->golden : "demo", c->backend);
    Suite *suite = suite_create(name);
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, open_case, close_case);
    tcase_add_test(t, generate__every_preset__answers_and_counts_what_ran);
    tcase_add_test(t, generate__everything_kept__logits_unchanged);
    tcase_add_test(t, generate__batch_of_two__as_one_by_one);
    tcase_add_test(t, generate__two_threads__as_one);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}

int main(void)
{
    int failed = 0;
    for (int i = 0; i < CASES; i++)
        if (testbed_has_backend(cases[i].backend))
            failed += run_case(&cases[i]);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
