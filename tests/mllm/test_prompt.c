/* Prompts, byte for byte; the wanted texts are those of the models' own
 * documentation, spaces at the end included. */

#include "text_testing.h"

enum { SYSTEM, USER, ASSISTANT };

#define VICUNA                                                                 \
    "A chat between a curious user and an artificial intelligence assistant. " \
    "The assistant gives helpful, detailed, and polite answers to the user's " \
    "questions. "

static void expect_prompt(
    int32_t format,
    const tkp__message *messages,
    int64_t count,
    const char *image_token,
    const char *wanted)
{
    char *text = NULL;
    expect_ok(
        tkp__prompt_render(format, messages, count, image_token, NULL, &text));
    ck_assert_str_eq(text, wanted);
    tkp__free(text);
}

START_TEST(prompt_render__llava_hf_one_image__as_documented)
{
    const tkp__message messages[] = {
        {USER, 1, "What is shown in this image?", 0}};
    expect_prompt(
        TKP__PROMPT_LLAVA_HF, messages, 1, "<image>",
        "USER: <image>\nWhat is shown in this image? ASSISTANT:");
}
END_TEST

START_TEST(prompt_render__llava_hf_several_turns__space_after_each_text)
{
    const tkp__message messages[] = {
        {SYSTEM, 0, "Be short.", 0},
        {USER, 2, "Compare.", 0},
        {ASSISTANT, 0, "Same.", 0},
        {USER, 0, "Sure?", 0}};
    expect_prompt(
        TKP__PROMPT_LLAVA_HF, messages, 4, "<image>",
        "Be short. USER: <image>\n<image>\nCompare. ASSISTANT: Same. "
        "USER: Sure? ASSISTANT:");
}
END_TEST

START_TEST(prompt_render__placeholder_in_the_text__stays_where_it_is)
{
    const tkp__message messages[] = {{USER, 0, "See <image> here.", 0}};
    expect_prompt(
        TKP__PROMPT_LLAVA_HF, messages, 1, "<image>",
        "USER: See <image> here. ASSISTANT:");
}
END_TEST

START_TEST(prompt_render__vicuna__system_text_and_end_of_finished_turns)
{
    const tkp__message messages[] = {
        {USER, 1, "Who?", 0},
        {ASSISTANT, 0, "A cat.", 0},
        {USER, 0, "Where?", 0}};
    expect_prompt(
        TKP__PROMPT_VICUNA_V1, messages, 3, "<image>",
        VICUNA "USER: <image>\nWho? ASSISTANT: A cat.</s>USER: Where? "
               "ASSISTANT:");
}
END_TEST

START_TEST(prompt_render__vicuna_own_system__replaces_the_usual_one)
{
    const tkp__message messages[] = {
        {SYSTEM, 0, "Short.", 0}, {USER, 0, "Hi", 0}};
    expect_prompt(
        TKP__PROMPT_VICUNA_V1, messages, 2, "<image>",
        "Short. USER: Hi ASSISTANT:");
}
END_TEST

START_TEST(prompt_render__qwen2_vl_one_image__as_documented)
{
    const tkp__message messages[] = {{USER, 1, "Describe this image.", 0}};
    expect_prompt(
        TKP__PROMPT_QWEN2_VL, messages, 1, "<|image_pad|>",
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>"
        "Describe this image.<|im_end|>\n<|im_start|>assistant\n");
}
END_TEST

START_TEST(prompt_render__qwen2_vl_turns__own_system_kept)
{
    const tkp__message messages[] = {
        {SYSTEM, 0, "S", 0},
        {USER, 0, "U", 0},
        {ASSISTANT, 0, "A", 0},
        {USER, 0, "V", 0}};
    expect_prompt(
        TKP__PROMPT_QWEN2_VL, messages, 4, "<|image_pad|>",
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n"
        "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n"
        "<|im_start|>assistant\n");
}
END_TEST

START_TEST(prompt_render__raw__the_text_itself)
{
    const tkp__message messages[] = {{USER, 0, "x <image> y ", 0}};
    expect_prompt(TKP__PROMPT_RAW, messages, 1, "<image>", "x <image> y ");
}
END_TEST

static const struct {
    int32_t format;
    tkp__message messages[2];
    int64_t count;
    const char *image_token;
    const char *message;
} refused[] = {
    {TKP__PROMPT_RAW, {{USER, 0, "a", 0}}, 0, "<image>", "at least one"},
    {TKP__PROMPT_RAW, {{USER, 0, "a", 0}}, -1, "<image>", "at least one"},
    {TKP__PROMPT_RAW,
     {{USER, 0, "a", 0}, {USER, 0, "b", 0}},
     2,
     "<image>",
     "raw"},
    {TKP__PROMPT_RAW, {{USER, 1, "a", 0}}, 1, "<image>", "raw"},
    {99, {{USER, 0, "a", 0}}, 1, "<image>", "format 99"},
    {-1, {{USER, 0, "a", 0}}, 1, "<image>", "format -1"},
    {TKP__PROMPT_LLAVA_HF, {{3, 0, "a", 0}}, 1, "<image>", "role 3"},
    {TKP__PROMPT_LLAVA_HF, {{-1, 0, "a", 0}}, 1, "<image>", "role -1"},
    {TKP__PROMPT_LLAVA_HF, {{USER, 0, NULL, 0}}, 1, "<image>", "text is NULL"},
    {TKP__PROMPT_LLAVA_HF, {{USER, -1, "a", 0}}, 1, "<image>", "-1 images"},
    {TKP__PROMPT_LLAVA_HF, {{USER, INT32_MAX, "a", 0}}, 1, "<image>", "images"},
    {TKP__PROMPT_LLAVA_HF, {{USER, 1, "<image>", 0}}, 1, "<image>", "already"},
    {TKP__PROMPT_LLAVA_HF, {{USER, 1, "a", 0}}, 1, NULL, "image_token is NULL"},
    {TKP__PROMPT_LLAVA_HF, {{USER, 1, "a", 0}}, 1, "", "image_token is empty"},
    {TKP__PROMPT_VICUNA_V1,
     {{USER, 0, "a", 0}, {SYSTEM, 0, "b", 0}},
     2,
     "<image>",
     "message 1: system"},
    {TKP__PROMPT_VICUNA_V1,
     {{SYSTEM, 1, "a", 0}, {USER, 0, "b", 0}},
     2,
     "<image>",
     "message 0: system"},
};

START_TEST(prompt_render__argument_wrong__refused_and_out_untouched)
{
    char *text = (char *)&text;
    expect_refused(
        tkp__prompt_render(
            refused[_i].format, refused[_i].messages, refused[_i].count,
            refused[_i].image_token, NULL, &text),
        TKP_ERR_ARGUMENT, refused[_i].message);
    ck_assert_ptr_eq(text, &text);
}
END_TEST

START_TEST(prompt_render__videos__where_the_format_has_a_place_for_them)
{
    static const char video[] = "<|video_pad|>";
    const tkp__message message = {USER, 1, "?", .videos = 2};
    char *text = NULL;
    expect_ok(tkp__prompt_render(
        TKP__PROMPT_QWEN2_VL, &message, 1, "<|image_pad|>", video, &text));
    ck_assert_ptr_nonnull(strstr(
        text, "user\n<|vision_start|><|image_pad|><|vision_end|>"
              "<|vision_start|><|video_pad|><|vision_end|>"
              "<|vision_start|><|video_pad|><|vision_end|>?<|im_end|>\n"));
    tkp__free(text);
    text = NULL;
    expect_refused(
        tkp__prompt_render(
            TKP__PROMPT_QWEN2_VL, &message, 1, "<|image_pad|>", NULL, &text),
        TKP_ERR_UNSUPPORTED, "2 videos");
    expect_refused(
        tkp__prompt_render(
            TKP__PROMPT_LLAVA_HF, &message, 1, "<image>", video, &text),
        TKP_ERR_UNSUPPORTED, "2 videos");
    expect_refused(
        tkp__prompt_render(
            TKP__PROMPT_QWEN2_VL, &message, 1, "<|image_pad|>", "", &text),
        TKP_ERR_ARGUMENT, "video_token is empty");
    const tkp__message placed = {USER, 0, "<|video_pad|>", .videos = 1};
    expect_refused(
        tkp__prompt_render(
            TKP__PROMPT_QWEN2_VL, &placed, 1, "<|image_pad|>", video, &text),
        TKP_ERR_ARGUMENT, "already");
    const tkp__message fewer = {USER, 0, "", .videos = -1};
    expect_refused(
        tkp__prompt_render(
            TKP__PROMPT_QWEN2_VL, &fewer, 1, "<|image_pad|>", video, &text),
        TKP_ERR_ARGUMENT, "-1 videos");
    ck_assert_ptr_null(text);
}
END_TEST

/* [[[role, images, videos, text], ...], prompt]: what the published template
 * makes of conversations, rendered by transformers
 * (tools/golden/make_prompt_fixtures.py). */
START_TEST(prompt_render__qwen2_vl_conversations__as_the_published_template)
{
    FILE *lines = fopen(golden_text_path("prompts/qwen2_vl.jsonl"), "rb");
    ck_assert_ptr_nonnull(lines);
    int count = 0;
    json_t *row;
    while ((row = json_loadf(lines, JSON_DISABLE_EOF_CHECK, NULL))) {
        tkp__message messages[16];
        const json_t *turns = json_array_get(row, 0);
        const size_t n = json_array_size(turns);
        ck_assert(n >= 1 && n <= 16);
        for (size_t i = 0; i < n; ++i) {
            int role, images, videos;
            const char *text;
            ck_assert_int_eq(
                json_unpack(
                    json_array_get(turns, i), "[iiis]", &role, &images, &videos,
                    &text),
                0);
            messages[i] = (tkp__message){role, images, text, videos};
        }
        char *text = NULL;
        expect_ok(tkp__prompt_render(
            TKP__PROMPT_QWEN2_VL, messages, (int64_t)n, "<|image_pad|>",
            "<|video_pad|>", &text));
        ck_assert_str_eq(text, json_string_value(json_array_get(row, 1)));
        tkp__free(text);
        json_decref(row);
        ++count;
    }
    fclose(lines);
    ck_assert_int_ge(count, 200);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/prompt");
    TCase *tests = tcase_create("render");
    tcase_add_test(tests, prompt_render__llava_hf_one_image__as_documented);
    tcase_add_test(
        tests, prompt_render__llava_hf_several_turns__space_after_each_text);
    tcase_add_test(
        tests, prompt_render__placeholder_in_the_text__stays_where_it_is);
    tcase_add_test(
        tests, prompt_render__vicuna__system_text_and_end_of_finished_turns);
    tcase_add_test(
        tests, prompt_render__vicuna_own_system__replaces_the_usual_one);
    tcase_add_test(tests, prompt_render__qwen2_vl_one_image__as_documented);
    tcase_add_test(tests, prompt_render__qwen2_vl_turns__own_system_kept);
    tcase_add_test(
        tests, prompt_render__videos__where_the_format_has_a_place_for_them);
    tcase_add_test(
        tests,
        prompt_render__qwen2_vl_conversations__as_the_published_template);
    tcase_add_test(tests, prompt_render__raw__the_text_itself);
    tcase_add_loop_test(
        tests, prompt_render__argument_wrong__refused_and_out_untouched, 0,
        sizeof(refused) / sizeof(*refused));
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
