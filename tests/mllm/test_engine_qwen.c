/*
 * Qwen2-VL against Hugging Face transformers: pictures of many shapes, several
 * in a prompt, with and without pruning at every point, and every stage of one
 * prompt (tools/golden/make_qwen_checkpoints.py).
 */

#include "engine_testing.h"

enum { MOST_PICTURES = 3, LAYER = 2 };
static const char *const backends[] = {"ref", "cpu,ref"};
static const char *const cases[] = {"square", "wide", "tall",  "tiny",
                                    "large",  "pair", "three", "text"};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

typedef struct asked {
    char picture[MOST_PICTURES][PATH_MAX + 64];
    char prompt[4 * 4096];
    const char *images[MOST_PICTURES];
    tkp_mllm_request request;
} asked;

static void ask(asked *a, const testbed *bed, const char *name)
{
    const tkp_tensor ids = fixture_get(bed, "%s.input_ids", name);
    testbed_text(a->prompt, sizeof(a->prompt), tkp__data(&ids), ids.shape[0]);
    a->request = (tkp_mllm_request)TKP_MLLM_REQUEST_INIT;
    a->request.prompt = a->prompt;
    a->request.format = TKP_MLLM_FORMAT_RAW;
    a->request.images = a->images;
    for (int32_t i = 0; i < MOST_PICTURES; i++) {
        char stored[64];
        tkp_tensor rgb;
        snprintf(stored, sizeof(stored), "%s.image_u8.%d", name, i);
        if (!tkp__safetensors_find(bed->fixture, stored, &rgb))
            break;
        const tkp__image image = {
            .height = rgb.shape[0],
            .width = rgb.shape[1],
            .rgb = tkp__data(&rgb)};
        snprintf(
            a->picture[i], sizeof(a->picture[i]), "%s/%s%d.png", bed->folder,
            name, i);
        assert_ok(tkp__image_save_png(&image, a->picture[i]));
        a->images[i] = a->picture[i];
        a->request.n_images = i + 1;
    }
}

static tkp_mllm_result *generate(
    const testbed *bed,
    const asked *a,
    recorder *seen,
    tkp_policy *policy,
    const tkp_tensor *scores)
{
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    tkp_mllm_result *result;
    options.max_new_tokens = STEPS;
    options.ignore_eos = 1;
    options.policy = policy;
    options.scores = scores;
    options.on_trace = recorder_take;
    options.on_trace_user = seen;
    recorder_clear(seen);
    assert_ok(tkp_mllm_generate(&result, bed->model, &a->request, 1, &options));
    return result;
}

static void check_tokens(
    const testbed *bed,
    const tkp_mllm_result *result,
    int32_t i,
    const char *name)
{
    const tkp_tensor wanted = fixture_get(bed, "%s.greedy_ids", name);
    const int32_t *ids;
    ck_assert_int_eq(tkp_mllm_result_tokens(result, i, &ids), STEPS);
    ck_assert_mem_eq(ids, tkp__data(&wanted), STEPS * sizeof(*ids));
}

static void compare(
    const testbed *bed,
    const recorder *seen,
    const char *trace,
    int32_t layer,
    double tolerance,
    const char *stored)
{
    const tkp_tensor wanted = fixture_get(bed, "%s", stored);
    const recorded *r = recorder_get(seen, trace, layer);
    ck_assert_int_eq(r->rows, wanted.shape[0]);
    ck_assert_int_eq(r->width, wanted.shape[1]);
    compare_rows(
        stored, r->values, r->rows, tkp__data(&wanted), wanted.shape[0],
        wanted.shape[1], tolerance, tolerance > 1e-3);
}

static void
compare_case(const testbed *bed, const recorder *seen, const char *name)
{
    char stored[64];
    const tkp_tensor wanted = fixture_get(bed, "%s.positions", name);
    const int32_t *position = tkp__data(&wanted);
    const recorded *r = recorder_get(seen, "positions", -1);
    ck_assert_int_eq(r->rows, 3);
    ck_assert_int_eq(r->width, wanted.shape[1]);
    for (int64_t i = 0; i < 3 * r->width; i++)
        ck_assert_int_eq((int)r->values[i], position[i]);
    snprintf(stored, sizeof(stored), "%s.logits", name);
    compare(bed, seen, "logits", 0, 1e-5, stored);
}

/* The grid of a picture fits what is shown of it. */
static void check_images(const tkp_mllm_result *result, const asked *a)
{
    ck_assert_int_eq(tkp_mllm_result_images(result, 0), a->request.n_images);
    for (int32_t i = 0; i < a->request.n_images; i++) {
        int32_t height, width, rows, cols;
        const int32_t *cells;
        assert_ok(tkp_mllm_result_image(
            result, 0, i, NULL, &height, &width, &rows, &cols));
        ck_assert_int_eq(tkp_mllm_result_picture(result, 0, i), i);
        ck_assert_int_eq(height, rows * 28);
        ck_assert_int_eq(width, cols * 28);
        ck_assert_int_eq(
            tkp_mllm_result_kept_cells(result, 0, i, &cells), rows * cols);
    }
}

static void check_plain(const testbed *bed, const asked *a, const char *name)
{
    static recorder seen;
    tkp_mllm_result *result = generate(bed, a, &seen, NULL, NULL);
    compare_case(bed, &seen, name);
    check_tokens(bed, result, 0, name);
    check_images(result, a);
    tkp_mllm_result_destroy(result);
    recorder_clear(&seen);
}

/* --- pruned ---------------------------------------------------------------- */

static tkp_policy *policy_scores(int32_t point, int32_t kind, int64_t keep)
{
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    tkp_scorer_options scorer = TKP_SCORER_OPTIONS_INIT;
    tkp_selector_options selector = TKP_SELECTOR_OPTIONS_INIT;
    tkp_budget budget = TKP_BUDGET_INIT;
    tkp_policy *policy;
    scorer.kind = kind;
    selector.kind = TKP_SELECTOR_TOPK;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = keep;
    stage.point = point;
    stage.scorer = &scorer;
    stage.selector = &selector;
    stage.budget = &budget;
    assert_ok(tkp_policy_create(&policy, "scores"));
    assert_ok(tkp_policy_add_stage(policy, &stage));
    return policy;
}

/* Cells of all pictures, as one list of visual tokens. */
static void
check_kept(const testbed *bed, const tkp_mllm_result *result, const char *name)
{
    const tkp_tensor wanted = fixture_get(bed, "%s.kept", name);
    const int32_t *kept = tkp__data(&wanted);
    int64_t first = 0, at = 0;
    for (int32_t i = 0; i < tkp_mllm_result_images(result, 0); i++) {
        int32_t rows, cols;
        const int32_t *cells;
        assert_ok(tkp_mllm_result_image(
            result, 0, i, NULL, NULL, NULL, &rows, &cols));
        const int64_t n = tkp_mllm_result_kept_cells(result, 0, i, &cells);
        for (int64_t j = 0; j < n; j++)
            ck_assert_int_eq(first + cells[j], kept[at++]);
        first += (int64_t)rows * cols;
    }
    ck_assert_int_eq(at, wanted.shape[0]);
}

static void check_pruned(
    const testbed *bed,
    const asked *a,
    const char *name,
    const char *place,
    int32_t point,
    int32_t kind)
{
    static recorder seen;
    char cut[64], stored[80];
    snprintf(cut, sizeof(cut), "%s.%s", name, place);
    snprintf(stored, sizeof(stored), "%s.logits", cut);
    const int64_t keep = fixture_get(bed, "%s.kept", cut).shape[0];
    const tkp_tensor scores = fixture_get(bed, "%s.scores", name);
    tkp_policy *policy = kind == TKP_SCORER_ATTENTION
                             ? policy_fastv(LAYER, keep, TKP_POSITIONS_KEEP)
                             : policy_scores(point, kind, keep);
    tkp_mllm_result *result = generate(
        bed, a, &seen, policy, kind == TKP_SCORER_EXTERNAL ? &scores : NULL);
    check_kept(bed, result, cut);
    compare(bed, &seen, "logits", 0, 1e-5, stored);
    check_tokens(bed, result, 0, cut);
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(policy);
    recorder_clear(&seen);
}

static void check_case(const testbed *bed, const char *name)
{
    asked a;
    ask(&a, bed, name);
    check_plain(bed, &a, name);
    if (a.request.n_images == 0)
        return;
    check_pruned(
        bed, &a, name, "before", TKP_POINT_PROJECTOR, TKP_SCORER_EXTERNAL);
    check_pruned(
        bed, &a, name, "received", TKP_POINT_PROJECTOR,
        TKP_SCORER_CLS_ATTENTION);
    check_pruned(bed, &a, name, "layer", TKP_POINT_LLM, TKP_SCORER_ATTENTION);
    check_pruned(bed, &a, name, "cache", TKP_POINT_KV, TKP_SCORER_EXTERNAL);
}

START_TEST(generate__pictures_of_many_shapes__as_transformers)
{
    static testbed bed;
    if (!testbed_has_backend(backends[_i]))
        return;
    testbed_open(&bed, "qwen2-vl", backends[_i], 0);
    for (int i = 0; i < CASES; i++)
        check_case(&bed, cases[i]);
    testbed_close(&bed);
}
END_TEST

/* Published names, one level of config.json, one KV head, no head stored. */
START_TEST(generate__published_layout__as_transformers)
{
    static testbed bed;
    if (!testbed_has_backend(backends[_i]))
        return;
    testbed_open(&bed, "qwen2-vl-tied", backends[_i], 0);
    ck_assert(bed.model->config.text.tie_embeddings);
    check_case(&bed, "wide");
    check_case(&bed, "three");
    testbed_close(&bed);
}
END_TEST

/* Behind 2600 words: too long for the reference kernels here. */
START_TEST(generate__picture_far_behind__as_transformers)
{
    static testbed bed;
    asked a;
    if (!testbed_has_backend("cpu,ref"))
        return;
    testbed_open(&bed, "qwen2-vl", "cpu,ref", 0);
    ask(&a, &bed, "far");
    check_plain(&bed, &a, "far");
    check_pruned(
        &bed, &a, "far", "before", TKP_POINT_PROJECTOR, TKP_SCORER_EXTERNAL);
    testbed_close(&bed);
}
END_TEST

/* --- stages ---------------------------------------------------------------- */

static void check_stages(const testbed *bed, double tolerance)
{
    static recorder seen;
    char stored[64];
    asked a;
    ask(&a, bed, "pair");
    tkp_mllm_result *result = generate(bed, &a, &seen, NULL, NULL);
    compare(bed, &seen, "vision.patches", -1, tolerance, "pair.vision.patches");
    for (int32_t i = 0; i < 3; i++) {
        snprintf(stored, sizeof(stored), "pair.vision.layer.%d", i);
        compare(bed, &seen, "vision.layer", i, tolerance, stored);
    }
    compare(
        bed, &seen, "vision.features", -1, tolerance, "pair.vision.features");
    compare(bed, &seen, "projector", -1, tolerance, "pair.projector");
    compare(bed, &seen, "embeddings", -1, tolerance, "pair.embeddings");
    for (int32_t i = 0; i < bed->model->decoder.layers; i++) {
        snprintf(stored, sizeof(stored), "pair.llm.layer.%d", i);
        compare(bed, &seen, "llm.layer", i, tolerance, stored);
    }
    compare(bed, &seen, "logits", 0, tolerance, "pair.logits");
    tkp_mllm_result_destroy(result);
    recorder_clear(&seen);
}

START_TEST(generate__two_pictures__every_stage_as_transformers)
{
    static testbed bed;
    if (!testbed_has_backend(backends[_i]))
        return;
    testbed_open(&bed, "qwen2-vl", backends[_i], 0);
    check_stages(&bed, 1e-5);
    testbed_close(&bed);
}
END_TEST

START_TEST(generate__bf16__every_stage_near_transformers)
{
    static testbed bed;
    if (!testbed_has_backend(backends[_i]))
        return;
    testbed_open(&bed, "qwen2-vl-bf16", backends[_i], 0);
    ck_assert_int_eq(bed.model->dtype, TKP_DTYPE_BF16);
    check_stages(&bed, 4e-2);
    testbed_close(&bed);
}
END_TEST

/* What stages read of the encoder: of its last block, and a quarter of the way
 * up. VisionZip's parts want the first and the keys, VScan's both blocks. */
START_TEST(generate__inputs_of_stages__as_restated)
{
    static testbed bed;
    static recorder seen;
    asked a;
    if (!testbed_has_backend(backends[_i]))
        return;
    testbed_open(&bed, "qwen2-vl", backends[_i], 0);
    ask(&a, &bed, "pair");
    tkp_policy *policy;
    assert_ok(tkp_policy_load_preset(&policy, "visionzip"));
    tkp_mllm_result_destroy(generate(&bed, &a, &seen, policy, NULL));
    tkp_policy_destroy(policy);
    compare(
        &bed, &seen, "vision.cls_attention", 2, 1e-5, "pair.vision.received.2");
    compare(&bed, &seen, "vision.keys", 2, 1e-5, "pair.vision.keys");
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    tkp_policy *shallow =
        policy_scores(TKP_POINT_PROJECTOR, TKP_SCORER_CLS_ATTENTION, 9);
    assert_ok(tkp_policy_get_stage(shallow, 0, &stage));
    tkp_scorer_options scorer = *stage.scorer;
    scorer.encoder_layer = 1;
    stage.scorer = &scorer;
    assert_ok(tkp_policy_create(&policy, "early"));
    assert_ok(tkp_policy_add_stage(policy, &stage));
    tkp_mllm_result_destroy(generate(&bed, &a, &seen, policy, NULL));
    compare(
        &bed, &seen, "vision.cls_attention", 0, 1e-5, "pair.vision.received.0");
    tkp_policy_destroy(policy);
    tkp_policy_destroy(shallow);
    recorder_clear(&seen);
    testbed_close(&bed);
}
END_TEST

/* --- batches --------------------------------------------------------------- */

START_TEST(generate__ragged_batch__as_one_by_one)
{
    static testbed bed;
    static asked a[CASES];
    tkp_mllm_request requests[CASES];
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    tkp_mllm_result *result;
    testbed_open(&bed, "qwen2-vl", "ref", 0);
    for (int i = 0; i < CASES; i++) {
        ask(&a[i], &bed, cases[i]);
        requests[i] = a[i].request;
    }
    options.max_new_tokens = STEPS;
    options.ignore_eos = 1;
    assert_ok(tkp_mllm_generate(&result, bed.model, requests, CASES, &options));
    for (int i = 0; i < CASES; i++)
        check_tokens(&bed, result, i, cases[i]);
    tkp_mllm_result_destroy(result);
    testbed_close(&bed);
}
END_TEST

/* --- what is refused ------------------------------------------------------- */

START_TEST(generate__a_format_of_other_models__refused)
{
    static testbed bed;
    tkp_mllm_result *result = NULL;
    asked a;
    testbed_open(&bed, "qwen2-vl", "ref", 0);
    ask(&a, &bed, "square");
    a.request.format = TKP_MLLM_FORMAT_VICUNA_V1;
    ck_assert_int_eq(
        tkp_mllm_generate(&result, bed.model, &a.request, 1, NULL),
        TKP_ERR_UNSUPPORTED);
    assert_message("vicuna_v1");
    testbed_close(&bed);
}
END_TEST

static void refuse(
    const testbed *bed,
    int64_t height,
    int64_t width,
    tkp_status status,
    const char *message)
{
    tkp_mllm_result *result = NULL;
    asked a;
    ask(&a, bed, "square");
    const tkp__image image = {
        .height = height,
        .width = width,
        .rgb = calloc((size_t)(height * width), 3)};
    assert_ok(tkp__image_save_png(&image, a.picture[0]));
    free(image.rgb);
    ck_assert_int_eq(
        tkp_mllm_generate(&result, bed->model, &a.request, 1, NULL), status);
    assert_message("request 0");
    assert_message(message);
}

START_TEST(generate__pictures_that_cannot_be__refused_by_number)
{
    static testbed bed;
    testbed_open(&bed, "qwen2-vl", "ref", 0);
    refuse(&bed, 1, 201, TKP_ERR_ARGUMENT, "image 0");
    bed.model->config.image.max_pixels = 28 * 28 * 5000;
    refuse(&bed, 1960, 1960, TKP_ERR_ARGUMENT, "the model takes 4096");
    testbed_close(&bed);
}
END_TEST

START_TEST(get_info__any_size__no_grid_of_a_square)
{
    static testbed bed;
    tkp_mllm_info info = TKP_MLLM_INFO_INIT;
    testbed_open(&bed, "qwen2-vl", "ref", 0);
    assert_ok(tkp_mllm_get_info(bed.model, &info));
    ck_assert_str_eq(info.kind, "qwen2_vl");
    ck_assert_int_eq(info.grid_rows, 0);
    ck_assert_int_eq(info.vision_layers, 3);
    ck_assert_int_eq(info.vision_heads, 2);
    ck_assert_int_eq(info.vision_hidden, 32);
    ck_assert_int_eq(info.kv_heads, 2);
    testbed_close(&bed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/engine_qwen");
    TCase *t = tcase_create("qwen");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(
        t, generate__two_pictures__every_stage_as_transformers, 0, 2);
    tcase_add_loop_test(
        t, generate__pictures_of_many_shapes__as_transformers, 0, 2);
    tcase_add_test(t, generate__picture_far_behind__as_transformers);
    tcase_add_loop_test(t, generate__published_layout__as_transformers, 0, 2);
    tcase_add_loop_test(t, generate__bf16__every_stage_near_transformers, 0, 2);
    tcase_add_loop_test(t, generate__inputs_of_stages__as_restated, 0, 2);
    tcase_add_test(t, generate__ragged_batch__as_one_by_one);
    tcase_add_test(t, generate__a_format_of_other_models__refused);
    tcase_add_test(t, generate__pictures_that_cannot_be__refused_by_number);
    tcase_add_test(t, get_info__any_size__no_grid_of_a_square);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
