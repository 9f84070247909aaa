/*
 * LLaVA-NeXT against Hugging Face transformers: pictures of many shapes, with
 * canvases that tie, odd gaps, and so thin that nothing but newlines is left of
 * the tiles (tools/golden/make_next_checkpoint.py).
 */

#include "engine_testing.h"

static const char *const shapes[] = {"tie", "wide",   "square", "odd",  "tall",
                                     "row", "thread", "needle", "large"};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]), NEW = 8, LAYER = 2 };
static const char *const backends[] = {"ref", "cpu,ref"};

typedef struct asked {
    char picture[PATH_MAX + 32];
    char prompt[512];
    const char *images[1];
    tkp_mllm_request request;
} asked;

static void ask(asked *a, const testbed *bed, const char *shape)
{
    const tkp_tensor rgb = fixture_get(bed, "%s.image_u8", shape);
    const tkp_tensor ids = fixture_get(bed, "%s.input_ids", shape);
    const tkp__image image = {
        .height = rgb.shape[0], .width = rgb.shape[1], .rgb = tkp__data(&rgb)};
    snprintf(a->picture, sizeof(a->picture), "%s/%s.png", bed->folder, shape);
    assert_ok(tkp__image_save_png(&image, a->picture));
    testbed_text(a->prompt, sizeof(a->prompt), tkp__data(&ids), ids.shape[0]);
    a->images[0] = a->picture;
    a->request = (tkp_mllm_request)TKP_MLLM_REQUEST_INIT;
    a->request.prompt = a->prompt;
    a->request.format = TKP_MLLM_FORMAT_RAW;
    a->request.images = a->images;
    a->request.n_images = 1;
}

static void
check_tokens(const tkp_mllm_result *result, int32_t i, const tkp_tensor *wanted)
{
    const int32_t *ids;
    ck_assert_int_eq(tkp_mllm_result_tokens(result, i, &ids), NEW);
    ck_assert_mem_eq(ids, tkp__data(wanted), NEW * sizeof(*ids));
}

static tkp_mllm_result *
generate(const testbed *bed, const asked *a, recorder *seen, tkp_policy *policy)
{
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    tkp_mllm_result *result;
    options.max_new_tokens = NEW;
    options.ignore_eos = 1;
    options.policy = policy;
    options.on_trace = recorder_take;
    options.on_trace_user = seen;
    recorder_clear(seen);
    assert_ok(tkp_mllm_generate(&result, bed->model, &a->request, 1, &options));
    return result;
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
        wanted.shape[1], 1e-5, false);
}

/* Patches of the square and of the tiles. */
static void check_images(const tkp_mllm_result *result, int64_t candidates)
{
    int64_t cells = 0;
    for (int32_t i = 0; i < tkp_mllm_result_images(result, 0); i++) {
        int32_t height, width, rows, cols;
        assert_ok(tkp_mllm_result_image(
            result, 0, i, NULL, &height, &width, &rows, &cols));
        ck_assert_int_eq(tkp_mllm_result_picture(result, 0, i), 0);
        ck_assert_int_eq(height, rows * 14);
        ck_assert_int_eq(width, cols * 14);
        cells += (int64_t)rows * cols;
    }
    ck_assert_int_eq(cells, candidates);
    ck_assert_int_eq(tkp_mllm_result_picture(result, 0, 2), -1);
    ck_assert_int_eq(tkp_mllm_result_images(result, 1), -1);
}

static void check_plain(const testbed *bed, const asked *a, const char *shape)
{
    static recorder seen;
    tkp_mllm_result *result = generate(bed, a, &seen, NULL);
    const tkp_tensor tokens = fixture_get(bed, "%s.greedy_ids", shape);
    compare(
        &seen, "embeddings", -1, fixture_get(bed, "%s.inputs_embeds", shape));
    compare(&seen, "logits", 0, fixture_get(bed, "%s.logits", shape));
    check_tokens(result, 0, &tokens);
    check_images(result, fixture_get(bed, "%s.candidates", shape).shape[0]);
    tkp_mllm_result_destroy(result);
    recorder_clear(&seen);
}

/* Newlines are no candidates and stay. */
static void check_pruned(const testbed *bed, const asked *a, const char *shape)
{
    static recorder seen;
    const tkp_tensor all = fixture_get(bed, "%s.candidates", shape);
    const tkp_tensor kept = fixture_get(bed, "%s.kept", shape);
    const tkp_tensor tokens = fixture_get(bed, "%s.pruned.greedy_ids", shape);
    const int32_t *candidate = tkp__data(&all), *keep = tkp__data(&kept);
    const int64_t rows = fixture_get(bed, "%s.input_ids", shape).shape[0];
    tkp_policy *policy = policy_fastv(LAYER, kept.shape[0], 0);
    tkp_mllm_result *result = generate(bed, a, &seen, policy);
    const recorded *stay = recorder_get(&seen, "prune.rows", LAYER);
    ck_assert_int_eq(stay->rows, rows - all.shape[0] + kept.shape[0]);
    int64_t at = 0, next = 0, chosen = 0;
    for (int64_t row = 0; row < rows; row++) {
        const bool is_candidate = next < all.shape[0] && candidate[next] == row;
        const bool stays =
            !is_candidate || (chosen < kept.shape[0] && keep[chosen] == next);
        chosen += is_candidate && stays;
        next += is_candidate;
        if (stays)
            ck_assert_int_eq((int)stay->values[at++], row);
    }
    compare(&seen, "logits", 0, fixture_get(bed, "%s.pruned.logits", shape));
    check_tokens(result, 0, &tokens);
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(policy);
    recorder_clear(&seen);
}

START_TEST(generate__pictures_of_many_shapes__as_transformers)
{
    static testbed bed;
    if (!testbed_has_backend(backends[_i]))
        return;
    testbed_open(&bed, "llava-next", backends[_i], 0);
    for (int s = 0; s < SHAPES; s++) {
        asked a;
        ask(&a, &bed, shapes[s]);
        check_plain(&bed, &a, shapes[s]);
        check_pruned(&bed, &a, shapes[s]);
    }
    testbed_close(&bed);
}
END_TEST

/* View and patch of each candidate: the picture as a whole, then what is no
 * padding of the tiles, line after line. */
static void view_of(
    int32_t i,
    const tkp__tiling *t,
    int32_t side,
    int32_t *view,
    int32_t *at)
{
    const int32_t row = (i - side * side) / (t->grid_cols ? t->grid_cols : 1);
    const int32_t y = row + t->first_row;
    const int32_t x = (i - side * side) - row * t->grid_cols + t->first_col;
    *view = i < side * side ? 0 : 1 + y / side * t->cols + x / side;
    *at = i < side * side ? i : y % side * side + x % side;
}

static const recorded *named(const recorder *r, const char *name)
{
    for (int32_t i = 0; i < r->count; i++)
        if (!strcmp(r->entry[i].name, name))
            return &r->entry[i];
    ck_abort_msg("no activation %s", name);
    return NULL;
}

/* The better ones of the same view, and all of it. */
static void rank_in_view(
    const float *cls,
    int32_t i,
    int32_t n,
    const tkp__tiling *t,
    int32_t side,
    int32_t *better,
    int32_t *all)
{
    int32_t view, at;
    view_of(i, t, side, &view, &at);
    const float mine = cls[view * side * side + at];
    *better = *all = 0;
    for (int32_t j = 0; j < n; j++) {
        int32_t other, place;
        view_of(j, t, side, &other, &place);
        if (other != view)
            continue;
        const float theirs = cls[other * side * side + place];
        *better += theirs > mine || (theirs == mine && j < i);
        ++*all;
    }
}

/* A quarter of each tile, half to even; padding is no part of it. */
START_TEST(fastervlm__pictures_of_many_shapes__a_quarter_of_each_tile)
{
    enum { SIDE = 4 };
    static testbed bed;
    static recorder seen;
    tkp_policy *policy;
    testbed_open(&bed, "llava-next", "ref", 0);
    assert_ok(tkp_policy_load_preset(&policy, "fastervlm"));
    for (int s = 0; s < SHAPES; s++) {
        asked a;
        tkp__tiling t;
        ask(&a, &bed, shapes[s]);
        const tkp_tensor rgb = fixture_get(&bed, "%s.image_u8", shapes[s]);
        const tkp_tensor all = fixture_get(&bed, "%s.candidates", shapes[s]);
        const int32_t n = (int32_t)all.shape[0];
        const int32_t *row = tkp__data(&all);
        assert_ok(tkp__image_tiling(
            &t, &bed.model->config.image, rgb.shape[0], rgb.shape[1], 56,
            SIDE));
        tkp_mllm_result *result = generate(&bed, &a, &seen, policy);
        const recorded *stay = named(&seen, "prune.rows");
        const float *cls = named(&seen, "vision.cls_attention")->values;
        int64_t at = 0;
        for (int32_t i = 0; i < n; i++) {
            int32_t better, of;
            rank_in_view(cls, i, n, &t, SIDE, &better, &of);
            while (at < stay->rows && stay->values[at] < (float)row[i])
                at++;
            const bool stays =
                at < stay->rows && stay->values[at] == (float)row[i];
            ck_assert_msg(
                stays == (better < (int32_t)rint(of / 4.0)),
                "%s: candidate %d, behind %d of %d, %s", shapes[s], i, better,
                of, stays ? "stays" : "goes");
        }
        tkp_mllm_result_destroy(result);
        recorder_clear(&seen);
    }
    tkp_policy_destroy(policy);
    testbed_close(&bed);
}
END_TEST

/* Presets that share out a budget over the tiles: what they say is what stays,
 * newlines beside it, and each answers. */
START_TEST(guided_presets__pictures_of_many_shapes__exact_counts)
{
    static const struct {
        const char *name;
        int32_t share;
        bool apart; /* the whole and its tiles have a budget each */
    } presets[] = {{"globalcom2", 4, true}, {"hired", 5, false}};
    static testbed bed;
    static recorder seen;
    testbed_open(&bed, "llava-next", "ref", 0);
    for (int s = 0; s < SHAPES * 2; s++) {
        asked a;
        tkp_policy *policy;
        const char *shape = shapes[s / 2];
        ask(&a, &bed, shape);
        assert_ok(tkp_policy_load_preset(&policy, presets[s % 2].name));
        const int64_t rows = fixture_get(&bed, "%s.input_ids", shape).shape[0];
        const int64_t n = fixture_get(&bed, "%s.candidates", shape).shape[0];
        const int32_t share = presets[s % 2].share;
        const int64_t keep =
            presets[s % 2].apart ? 16 / share + (n - 16) / share : n / share;
        tkp_mllm_result *result = generate(&bed, &a, &seen, policy);
        ck_assert_int_eq(named(&seen, "prune.rows")->rows, rows - n + keep);
        tkp_mllm_result_destroy(result);
        tkp_policy_destroy(policy);
        recorder_clear(&seen);
    }
    testbed_close(&bed);
}
END_TEST

START_TEST(preprocess_tiles__pictures__pixels_of_the_pillow_processor)
{
    static const char *const stored[] = {"tie", "odd", "needle"};
    static testbed bed;
    testbed_open(&bed, "llava-next", "ref", 0);
    for (int s = 0; s < 3; s++) {
        const tkp_tensor rgb = fixture_get(&bed, "%s.image_u8", stored[s]);
        const tkp_tensor pixels =
            fixture_get(&bed, "%s.pixel_values", stored[s]);
        const tkp__image image = {
            .height = rgb.shape[0],
            .width = rgb.shape[1],
            .rgb = tkp__data(&rgb)};
        const tkp__image_spec *spec = &bed.model->config.image;
        tkp__image whole, tiled;
        tkp__tiling t;
        assert_ok(
            tkp__image_tiling(&t, spec, image.height, image.width, 56, 4));
        ck_assert_int_eq(1 + t.rows * t.cols, pixels.shape[0]);
        const size_t bytes = (size_t)tkp_tensor_count(&pixels) * sizeof(float);
        float *made = malloc(bytes);
        assert_ok(tkp__image_preprocess_tiles(
            made, &whole, &tiled, &image, spec, &t, 56, 4));
        ck_assert_mem_eq(made, tkp__data(&pixels), bytes);
        free(made);
        tkp__image_release(&whole);
        tkp__image_release(&tiled);
    }
    testbed_close(&bed);
}
END_TEST

/* models.md 5.3: tiles of 24 patches a side. */
START_TEST(tiling__published_sizes__published_counts)
{
    static const int32_t canvases[][2] = {
        {336, 672}, {672, 336}, {672, 672}, {1008, 336}, {336, 1008}};
    /* The second count: (width, height), and no rounding before truncation. */
    static const struct {
        int64_t height, width, count, original;
    } cases[] = {
        {336, 336, 1176, 1176}, {480, 640, 2340, 2340},
        {640, 480, 2352, 2352}, {899, 1024, 2634, 2634},
        {672, 672, 2928, 2928}, {1080, 1920, 1948, 1948},
        {333, 500, 1464, 1464}, {200, 300, 1464, 976},
        {300, 200, 984, 1476},  {55, 176, 1360, 776},
        {376, 893, 1992, 1944}, {752, 423, 1968, 1872},
    };
    tkp__image_spec spec = {.pinpoints = 5};
    memcpy(spec.pinpoint, canvases, sizeof(canvases));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkp__tiling t;
        assert_ok(tkp__image_tiling(
            &t, &spec, cases[i].height, cases[i].width, 336, 24));
        ck_assert_int_eq(576 + t.grid_rows * (t.grid_cols + 1), cases[i].count);
        spec.tiling = TKP_MLLM_TILING_ORIGINAL;
        assert_ok(tkp__image_tiling(
            &t, &spec, cases[i].height, cases[i].width, 336, 24));
        ck_assert_int_eq(
            576 + t.grid_rows * (t.grid_cols + 1), cases[i].original);
        spec.tiling = TKP_MLLM_TILING_FLAT;
        assert_ok(tkp__image_tiling(
            &t, &spec, cases[i].height, cases[i].width, 336, 24));
        ck_assert_int_eq(576 + t.grid_rows * t.grid_cols, 2880);
        spec.tiling = TKP_MLLM_TILING_TRANSFORMERS;
    }
}
END_TEST

/* The same model, with another layout of tiles. */
static testbed with_tiling(const testbed *bed, int32_t tiling)
{
    testbed other = *bed;
    tkp_mllm_options options = TKP_MLLM_OPTIONS_INIT;
    options.tiling = tiling;
    assert_ok(tkp_mllm_load(&other.model, bed->context, bed->folder, &options));
    return other;
}

/* A square that fills 2 x 2 tiles: the rows that transformers gives, without its
 * newlines; side by side, or tile after tile. */
START_TEST(generate__fixed_layouts__rows_of_transformers_without_newlines)
{
    enum { SIDE = 4, PATCHES = SIDE * SIDE, WIDE = 2 * SIDE };
    const bool flat = _i == 1;
    static testbed bed;
    static recorder seen;
    asked a;
    testbed_open(&bed, "llava-next", "ref", 0);
    testbed other =
        with_tiling(&bed, flat ? TKP_MLLM_TILING_FLAT : TKP_MLLM_TILING_FIXED);
    ask(&a, &bed, "square");
    const tkp_tensor embeds = fixture_get(&bed, "square.inputs_embeds");
    const tkp_tensor all = fixture_get(&bed, "square.candidates");
    const int32_t *row = tkp__data(&all);
    ck_assert_int_eq(all.shape[0], 5 * PATCHES);
    tkp_mllm_result *result = generate(&other, &a, &seen, NULL);
    const recorded *made = recorder_get(&seen, "embeddings", -1);
    const int64_t width = embeds.shape[1];
    ck_assert_int_eq(made->rows, embeds.shape[0] - WIDE);
    for (int32_t n = 0; n < 5 * PATCHES; n++) {
        const int32_t i = n - PATCHES, tile = i / PATCHES;
        const int32_t y = tile / 2 * SIDE + i % PATCHES / SIDE;
        const int32_t x = tile % 2 * SIDE + i % SIDE;
        const int32_t from = flat && i >= 0 ? PATCHES + y * WIDE + x : n;
        compare_rows(
            "row", made->values + (row[0] + n) * width, 1,
            (const float *)tkp__data(&embeds) + row[from] * width, 1, width,
            1e-5, false);
    }
    ck_assert_int_eq(tkp_mllm_result_images(result, 0), flat ? 5 : 2);
    if (!flat)
        check_images(result, 5 * PATCHES);
    for (int32_t i = 0; flat && i < 5; i++) {
        int32_t height, grid_rows, grid_cols;
        assert_ok(tkp_mllm_result_image(
            result, 0, i, NULL, &height, NULL, &grid_rows, &grid_cols));
        ck_assert(grid_rows == SIDE && grid_cols == SIDE && height == 56);
    }
    tkp_mllm_result_destroy(result);
    recorder_clear(&seen);
    tkp_mllm_destroy(other.model);
    testbed_close(&bed);
}
END_TEST

/* Whatever its shape, a picture is five squares, and a quarter of each stays. */
START_TEST(generate__fixed_layouts__five_squares_of_any_picture)
{
    const bool flat = _i == 1;
    static testbed bed;
    static recorder seen;
    tkp_policy *policy;
    testbed_open(&bed, "llava-next", "ref", 0);
    testbed other =
        with_tiling(&bed, flat ? TKP_MLLM_TILING_FLAT : TKP_MLLM_TILING_FIXED);
    assert_ok(tkp_policy_load_preset(&policy, "fastervlm"));
    for (int s = 0; s < SHAPES; s++) {
        asked a;
        tkp__tiling t;
        ask(&a, &bed, shapes[s]);
        const tkp_tensor rgb = fixture_get(&bed, "%s.image_u8", shapes[s]);
        assert_ok(tkp__image_tiling(
            &t, &bed.model->config.image, rgb.shape[0], rgb.shape[1], 56, 4));
        const int64_t text =
            fixture_get(&bed, "%s.input_ids", shapes[s]).shape[0] -
            fixture_get(&bed, "%s.candidates", shapes[s]).shape[0] -
            t.grid_rows;
        tkp_mllm_result *result = generate(&other, &a, &seen, policy);
        ck_assert_int_eq(
            recorder_get(&seen, "embeddings", -1)->rows, text + 80);
        ck_assert_int_eq(named(&seen, "prune.rows")->rows, text + 20);
        tkp_mllm_result_destroy(result);
        recorder_clear(&seen);
    }
    tkp_policy_destroy(policy);
    tkp_mllm_destroy(other.model);
    testbed_close(&bed);
}
END_TEST

START_TEST(load__tiling_that_cannot_be__refused)
{
    static testbed bed;
    tkp_mllm *model = NULL;
    tkp_mllm_options options = TKP_MLLM_OPTIONS_INIT;
    testbed_open(&bed, "llava-f32", "ref", 0);
    options.tiling = TKP_MLLM_TILING_FLAT + 1;
    ck_assert_int_eq(
        tkp_mllm_load(&model, bed.context, bed.folder, &options),
        TKP_ERR_OPTION);
    options.tiling = TKP_MLLM_TILING_FIXED;
    ck_assert_int_eq(
        tkp_mllm_load(&model, bed.context, bed.folder, &options),
        TKP_ERR_OPTION);
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "sees no tiles"));
    ck_assert_ptr_null(model);
    testbed_close(&bed);
}
END_TEST

START_TEST(generate__ragged_batch__as_one_by_one)
{
    static testbed bed;
    static asked a[SHAPES];
    tkp_mllm_request requests[SHAPES];
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    tkp_mllm_result *result;
    testbed_open(&bed, "llava-next", "ref", 0);
    for (int s = 0; s < SHAPES; s++) {
        ask(&a[s], &bed, shapes[s]);
        requests[s] = a[s].request;
    }
    options.max_new_tokens = NEW;
    options.ignore_eos = 1;
    assert_ok(
        tkp_mllm_generate(&result, bed.model, requests, SHAPES, &options));
    for (int s = 0; s < SHAPES; s++) {
        const tkp_tensor wanted = fixture_get(&bed, "%s.greedy_ids", shapes[s]);
        check_tokens(result, s, &wanted);
    }
    tkp_mllm_result_destroy(result);
    testbed_close(&bed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/engine_next");
    TCase *t = tcase_create("next");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, tiling__published_sizes__published_counts);
    tcase_add_test(
        t, preprocess_tiles__pictures__pixels_of_the_pillow_processor);
    tcase_add_loop_test(
        t, generate__pictures_of_many_shapes__as_transformers, 0, 2);
    tcase_add_test(t, generate__ragged_batch__as_one_by_one);
    tcase_add_loop_test(
        t, generate__fixed_layouts__rows_of_transformers_without_newlines, 0,
        2);
    tcase_add_loop_test(
        t, generate__fixed_layouts__five_squares_of_any_picture, 0, 2);
    tcase_add_test(t, load__tiling_that_cannot_be__refused);
    tcase_add_test(
        t, fastervlm__pictures_of_many_shapes__a_quarter_of_each_tile);
    tcase_add_test(t, guided_presets__pictures_of_many_shapes__exact_counts);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
