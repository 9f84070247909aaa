/*
 * Videos of Qwen2-VL against Hugging Face transformers: alone and among
 * pictures, of odd counts and longer than they are wide, positions, logits and
 * tokens (tools/golden/make_qwen_video.py); then what is made of requests.
 */

#include "engine_testing.h"

enum { MOST_FRAMES = 16, MOST = 3 };
static const char *const cases[] = {"clip", "odd", "still", "long", "mixed"};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

typedef struct asked {
    char file[2][MOST][MOST_FRAMES][PATH_MAX + 96];
    const char *frames[MOST][MOST_FRAMES];
    const char *images[MOST];
    tkp_mllm_video videos[MOST];
    char prompt[512];
    tkp_mllm_request request;
} asked;

static testbed bed;

static void open_bed(void)
{
    testbed_open(&bed, "qwen2-vl-video", "ref", 0);
}

static void close_bed(void)
{
    testbed_close(&bed);
}

static void ask(asked *a, const char *name)
{
    char stored[64];
    tkp_tensor rgb;
    testbed_video_text(a->prompt, sizeof(a->prompt), &bed, name);
    a->request = (tkp_mllm_request)TKP_MLLM_REQUEST_INIT;
    a->request.prompt = a->prompt;
    a->request.format = TKP_MLLM_FORMAT_RAW;
    a->request.images = a->images;
    a->request.videos = a->videos;
    for (int32_t i = 0; i < MOST; i++) {
        snprintf(stored, sizeof(stored), "%s.image_u8.%d", name, i);
        if (!tkp__safetensors_find(bed.fixture, stored, &rgb))
            break;
        testbed_save_frame(a->file[0][i][0], &bed, stored, 0, &rgb);
        a->images[i] = a->file[0][i][0];
        a->request.n_images = i + 1;
    }
    for (int32_t i = 0; i < MOST; i++) {
        snprintf(stored, sizeof(stored), "%s.video_u8.%d", name, i);
        if (!tkp__safetensors_find(bed.fixture, stored, &rgb))
            break;
        a->videos[i] = (tkp_mllm_video)TKP_MLLM_VIDEO_INIT;
        a->videos[i].frames = a->frames[i];
        a->videos[i].n_frames = (int32_t)rgb.shape[0];
        for (int64_t k = 0; k < rgb.shape[0]; k++) {
            testbed_save_frame(a->file[1][i][k], &bed, stored, k, &rgb);
            a->frames[i][k] = a->file[1][i][k];
        }
        a->request.n_videos = i + 1;
    }
}

static tkp_mllm_result *
generate(const asked *a, recorder *seen, tkp_policy *policy)
{
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    tkp_mllm_result *result;
    options.max_new_tokens = STEPS;
    options.ignore_eos = 1;
    options.policy = policy;
    options.on_trace = recorder_take;
    options.on_trace_user = seen;
    recorder_clear(seen);
    assert_ok(tkp_mllm_generate(&result, bed.model, &a->request, 1, &options));
    return result;
}

/* --- against transformers -------------------------------------------------- */

static void check_positions(const recorder *seen, const char *name)
{
    const tkp_tensor wanted = fixture_get(&bed, "%s.positions", name);
    const recorded *r = recorder_get(seen, "positions", -1);
    ck_assert_int_eq(r->width, wanted.shape[1]);
    for (int64_t i = 0; i < 3 * r->width; i++)
        ck_assert_int_eq(
            (int)r->values[i], ((const int32_t *)tkp__data(&wanted))[i]);
}

/* Lines of all moments under each other, and all of them kept. */
static void check_shown(const tkp_mllm_result *result, const asked *a)
{
    const tkp_mllm_request *r = &a->request;
    const int32_t all = r->n_images + r->n_videos;
    bool met[2 * MOST] = {false};
    ck_assert_int_eq(tkp_mllm_result_images(result, 0), all);
    for (int32_t i = 0; i < all; i++) {
        const int32_t number = tkp_mllm_result_picture(result, 0, i);
        int32_t height, width, rows, cols;
        const int32_t *cells;
        ck_assert(number >= 0 && number < all && !met[number]);
        met[number] = true;
        assert_ok(tkp_mllm_result_image(
            result, 0, i, NULL, &height, &width, &rows, &cols));
        ck_assert_int_eq(height, rows * 28);
        ck_assert_int_eq(width, cols * 28);
        ck_assert_int_eq(
            tkp_mllm_result_kept_cells(result, 0, i, &cells), rows * cols);
        if (number >= r->n_images)
            ck_assert_int_eq(
                rows % ((r->videos[number - r->n_images].n_frames + 1) / 2), 0);
    }
}

START_TEST(generate__videos__positions_logits_and_tokens_of_transformers)
{
    static recorder seen;
    static asked a;
    const char *name = cases[_i];
    ask(&a, name);
    tkp_mllm_result *result = generate(&a, &seen, NULL);
    check_positions(&seen, name);
    const tkp_tensor logits = fixture_get(&bed, "%s.logits", name);
    const recorded *ours = recorder_get(&seen, "logits", 0);
    compare_rows(
        name, ours->values, ours->rows, tkp__data(&logits), 1, logits.shape[1],
        1e-5, false);
    const tkp_tensor wanted = fixture_get(&bed, "%s.greedy_ids", name);
    const int32_t *ids;
    ck_assert_int_eq(tkp_mllm_result_tokens(result, 0, &ids), STEPS);
    ck_assert_mem_eq(ids, tkp__data(&wanted), STEPS * sizeof(*ids));
    check_shown(result, &a);
    tkp_mllm_result_destroy(result);
    recorder_clear(&seen);
}
END_TEST

START_TEST(generate__video_pruned__so_many_cells_of_all_its_moments)
{
    static recorder seen;
    static asked a;
    ask(&a, "long");
    tkp_policy *policy =
        policy_random(TKP_POINT_PROJECTOR, 0, 7, TKP_POSITIONS_KEEP);
    tkp_mllm_result *result = generate(&a, &seen, policy);
    const int32_t *cells;
    int32_t rows, cols;
    ck_assert_int_eq(tkp_mllm_result_kept_cells(result, 0, 0, &cells), 7);
    assert_ok(
        tkp_mllm_result_image(result, 0, 0, NULL, NULL, NULL, &rows, &cols));
    ck_assert_int_eq(rows * cols, 6 * 4);
    for (int i = 1; i < 7; i++)
        ck_assert(cells[i - 1] < cells[i] && cells[i] < rows * cols);
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(policy);
    recorder_clear(&seen);
}
END_TEST

/* --- requests -------------------------------------------------------------- */

/* 11 frames at 11 a second: two a second are asked for, at least four. */
START_TEST(generate__video_with_a_rate__frames_are_chosen)
{
    static recorder seen;
    static asked a;
    ask(&a, "long");
    a.videos[0].fps = 11.0;
    tkp_mllm_result *chosen = generate(&a, &seen, NULL);
    static const int pick[4] = {0, 2, 5, 8};
    for (int i = 0; i < 4; i++)
        a.frames[0][i] = a.file[1][0][pick[i]];
    a.videos[0].n_frames = 4;
    a.videos[0].fps = 0.0;
    tkp_mllm_result *four = generate(&a, &seen, NULL);
    const int32_t *x, *y;
    ck_assert_int_eq(tkp_mllm_result_tokens(chosen, 0, &x), STEPS);
    tkp_mllm_result_tokens(four, 0, &y);
    ck_assert_mem_eq(x, y, STEPS * sizeof(*x));
    ck_assert_int_eq(tkp_mllm_result_kept_cells(chosen, 0, 0, &x), 2 * 4);
    tkp_mllm_result_destroy(chosen);
    tkp_mllm_result_destroy(four);
    recorder_clear(&seen);
}
END_TEST

static void refuse(
    const asked *a,
    const tkp_mllm *model,
    tkp_status status,
    const char *why)
{
    tkp_mllm_result *result = NULL;
    ck_assert_int_eq(
        tkp_mllm_generate(&result, model, &a->request, 1, NULL), status);
    assert_message(why);
    ck_assert_ptr_null(result);
}

START_TEST(generate__video_wrong__refused_by_number)
{
    static asked a;
    ask(&a, "mixed");
    const tkp_mllm_video good = a.videos[1];
    a.videos[1].n_frames = 0;
    refuse(&a, bed.model, TKP_ERR_ARGUMENT, "request 0: video 1: frames is");
    a.videos[1] = good;
    a.videos[1].frames = NULL;
    refuse(&a, bed.model, TKP_ERR_ARGUMENT, "frames is NULL, n_frames is 2");
    a.videos[1] = good;
    a.videos[1].fps = -1.0;
    refuse(&a, bed.model, TKP_ERR_ARGUMENT, "fps is -1");
    a.videos[1] = good;
    a.videos[1].struct_size = 8;
    refuse(&a, bed.model, TKP_ERR_OPTION, "video 1: struct_size is 8");
    a.videos[1] = good;
    a.frames[1][1] = a.frames[0][0];
    refuse(&a, bed.model, TKP_ERR_SHAPE, "video 1: frame 1: picture is 112 x");
    a.frames[1][1] = NULL;
    refuse(&a, bed.model, TKP_ERR_ARGUMENT, "frame 1 is NULL");
    a.frames[1][1] = "/nothing.png";
    refuse(&a, bed.model, TKP_ERR_IO, "nothing.png");
    a.request.n_videos = 1;
    refuse(&a, bed.model, TKP_ERR_ARGUMENT, "1 videos are given, the prompt");
    a.request.n_videos = -1;
    refuse(&a, bed.model, TKP_ERR_ARGUMENT, "n_videos is -1");
    a.request.n_videos = 1;
    a.request.videos = NULL;
    refuse(&a, bed.model, TKP_ERR_ARGUMENT, "videos is NULL");
    a.request.videos = a.videos;
    a.request.reserved = 3;
    refuse(&a, bed.model, TKP_ERR_OPTION, "reserved is 3");
}
END_TEST

/* Behind the images, where the prompt says nothing of them. */
START_TEST(generate__video_not_in_the_prompt__put_before_the_text)
{
    static recorder seen;
    static asked a;
    ask(&a, "clip");
    a.request.prompt = "?";
    a.request.format = TKP_MLLM_FORMAT_MODEL;
    tkp_mllm_result *result = generate(&a, &seen, NULL);
    ck_assert_int_eq(tkp_mllm_result_images(result, 0), 1);
    tkp_mllm_result_destroy(result);
    recorder_clear(&seen);
}
END_TEST

START_TEST(generate__video_for_llava__unsupported)
{
    static asked a;
    testbed llava;
    ask(&a, "clip");
    testbed_open(&llava, "llava-f32", "ref", 0);
    refuse(&a, llava.model, TKP_ERR_UNSUPPORTED, "takes no videos");
    testbed_close(&llava);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/engine_video");
    TCase *tests = tcase_create("video");
    tcase_add_unchecked_fixture(tests, open_bed, close_bed);
    tcase_add_loop_test(
        tests, generate__videos__positions_logits_and_tokens_of_transformers, 0,
        CASES);
    tcase_add_test(
        tests, generate__video_pruned__so_many_cells_of_all_its_moments);
    tcase_add_test(tests, generate__video_with_a_rate__frames_are_chosen);
    tcase_add_test(tests, generate__video_wrong__refused_by_number);
    tcase_add_test(
        tests, generate__video_not_in_the_prompt__put_before_the_text);
    tcase_add_test(tests, generate__video_for_llava__unsupported);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
