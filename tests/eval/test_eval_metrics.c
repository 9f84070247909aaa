/*
 * One answer at a time, with values worked out by hand from the rules, odd
 * cases first: they are what programs disagree on.
 */
#include <math.h>
#include <stdlib.h>

#include "eval/box.h"
#include "eval/chat.h"
#include "eval/eval_testing.h"
#include "eval/vqa_text.h"
#include "eval/words.h"

/* --- yes and no ---------------------------------------------------------------- */

START_TEST(yesno_pope__cut_at_the_period__three_words_make_no)
{
    assert_score("yesno_pope", "No, there is not.", "no", 1, "no");
    assert_score("yesno_pope", "Yes. No.", "Yes", 1, "yes");
    assert_score("yesno_pope", "NO", "no", 0, "yes");
    assert_score("yesno_pope", "", "yes", 1, "yes");
    assert_score("yesno_pope", "Nothing", "no", 0, "yes");
    assert_score("yesno_pope", "I do not know", "No", 1, "no");
    assert_score("yesno_pope", "no\n", "no", 0, "yes"); /* not a blank */
    assert_score("yesno_pope", "N,o", "no", 1, "no");
}
END_TEST

START_TEST(yesno_vlmeval__both_or_neither__other)
{
    assert_score("yesno_vlmeval", "NO", "No", 1, "no");
    assert_score("yesno_vlmeval", "", "No", 0, "other");
    assert_score("yesno_vlmeval", "yes and no", "Yes", 0, "other");
    assert_score("yesno_vlmeval", "Yes, it is.", "Yes", 1, "yes");
    assert_score("yesno_vlmeval", "(yes)", "Yes", 1, "yes");
}
END_TEST

START_TEST(yesno_mme__first_four_characters__decide)
{
    assert_score("yesno_mme", "NO", "No", 1, "no");
    assert_score("yesno_mme", "", "No", 0, "other");
    assert_score("yesno_mme", "Nothing", "No", 1, "no");
    assert_score("yesno_mme", "I do not know", "No", 0, "other");
    assert_score("yesno_mme", " Yes.", "Yes", 1, "yes");
    assert_score("yesno_mme", "  Yes.", "Yes", 0, "other");
    assert_score("yesno_mme", "\xc3\xa9\xc3\xa9no", "No", 1, "no");
}
END_TEST

START_TEST(yesno_lmms__anything_else__is_wrong)
{
    assert_score("yesno_lmms", " Yes\n", "yes", 1, "yes");
    assert_score("yesno_lmms", "Yes.", "yes", 0, "other");
}
END_TEST

START_TEST(yesno_vh__both_words__right_as_upstream)
{
    assert_score("yesno_vh", "Yes or no?", "no", 1, "yes and no");
    assert_score("yesno_vh", "**Yes**.", "yes", 1, "yes");
    assert_score("yesno_vh", "Nope", "no", 0, "other");
}
END_TEST

START_TEST(yesno__right_answer_is_neither__refused)
{
    tkp__eval_metric m;
    tkp__eval_score score = {0};
    tkp__eval_item item = new_item("7", "maybe");
    ck_assert_int_eq(tkp__eval_metric_find(&m, "yesno_pope"), TKP_OK);
    ck_assert_int_eq(
        tkp__eval_score_answer(&score, &m, "yes", &item), TKP_ERR_ARGUMENT);
    ck_assert_str_eq(
        tkp_last_message(), "the right answer of question '7' is 'maybe', "
                            "wanted yes or no");
    tkp__eval_item_release(&item);
    item = new_item("8", "");
    ck_assert_int_eq(
        tkp__eval_score_answer(&score, &m, "yes", &item), TKP_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "no right answer"));
    tkp__eval_item_release(&item);
}
END_TEST

START_TEST(metric_find__unknown__names_the_nearest)
{
    tkp__eval_metric m;
    ck_assert_int_eq(tkp__eval_metric_find(&m, "yesno_pop"), TKP_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "yesno_pope"));
}
END_TEST

/* --- the same text ---------------------------------------------------------------- */

START_TEST(exact__three_variants__three_ideas_of_the_same)
{
    assert_score("gqa_llava", "Blue..", "blue", 1, "blue");
    assert_score("gqa_llava", " blue", "blue", 0, " blue");
    assert_score("gqa_llava", "blue!", "blue", 0, "blue!");
    assert_score("gqa_vlmeval", " Blue ", "blue ", 1, "blue");
    assert_score("gqa_vlmeval", "blue.", "blue", 0, "blue.");
    assert_score("em_lmms", "T-shirt.", "tshirt", 1, "tshirt");
    assert_score(
        "gqa_llava", "\xc3\x89T\xc3\x89", "\xc3\xa9t\xc3\xa9", 1,
        "\xc3\xa9t\xc3\xa9");
}
END_TEST

/* --- soft accuracy --------------------------------------------------------------- */

static void
assert_vqa_text_(const char *text, int32_t rule, const char *wanted, int line)
{
    char *met = tkp__eval_vqa_text(text, rule);
    ck_assert_ptr_nonnull(met);
    ck_assert_msg(
        strcmp(met, wanted) == 0, "line %d: '%s' gives '%s', wanted '%s'", line,
        text, met, wanted);
    tkp__free(met);
}
#define assert_evalai(text_, wanted_)                                          \
    assert_vqa_text_((text_), TKP__EVAL_VQA_EVALAI, (wanted_), __LINE__)

START_TEST(vqa_text__evalai__spelled_as_the_benchmark_does)
{
    assert_evalai("The two dogs.", "2 dogs");
    assert_evalai("it's", "it 's");
    assert_evalai("dont", "don't");
    assert_evalai("3.5", "3.5");
    assert_evalai("U.S.", "us");
    assert_evalai("$1,000", "$1000");
    assert_evalai("black/white", "black white");
    assert_evalai("black / white", "black white");
    assert_evalai("none", "0");
    assert_evalai("", "");
    assert_evalai("somebody'd", "somebodyd");
    assert_evalai("a\n\xc2\xa0THE\tcat", "cat");
    assert_evalai("........................................", "........");
}
END_TEST

START_TEST(vqa_text__other_rules__commas_and_periods_differ)
{
    assert_vqa_text_("1,000 (about)", TKP__EVAL_VQA_VLMEVAL, "1000 about", 0);
    assert_vqa_text_("5. x", TKP__EVAL_VQA_VLMEVAL, "5. x", 0);
    assert_vqa_text_("5. x", TKP__EVAL_VQA_EVALAI, "5 x", 0);
    assert_vqa_text_("it's", TKP__EVAL_VQA_OFFICIAL, "it's", 0);
    assert_vqa_text_("1,000;b", TKP__EVAL_VQA_OFFICIAL, "1000b", 0);
    assert_vqa_text_(" A\tb.", TKP__EVAL_VQA_PLAIN, "A b.", 0);
}
END_TEST

START_TEST(vqa_soft__matches_of_ten__three_tenths_each)
{
    static const char *const right[] = {
        "b|b|b|b|b|b|b|b|b|b", "a|b|b|b|b|b|b|b|b|b", "a|a|b|b|b|b|b|b|b|b",
        "a|a|a|b|b|b|b|b|b|b", "a.|A|a|a|b|b|b|b|b|b"};
    static const double values[] = {0, 0.3, 0.6, 0.9, 1};
    for (int i = 0; i < 5; i++) {
        assert_score("vqa_soft_m4c", "x", right[i], 0, "x");
        tkp__eval_item item = new_item("1", right[i]);
        for (int k = 0; k < item.n_answers; k++)
            if (item.answers[k][0] == 'a' || item.answers[k][0] == 'A')
                set_text(&item.answers[k], k ? "cat" : "Cat.");
        tkp__eval_score s = score_of("vqa_soft_m4c", "the cat", &item);
        assert_near(s.value, values[i], 1e-12);
        ck_assert_uint_eq(s.flags, 0);
        tkp__eval_score_release(&s);
        tkp__eval_item_release(&item);
    }
    assert_score("vizwiz_vlmeval", "cat", "cat|cat|dog|dog", 0.5, "cat");
    /* Ten alike: the official program compares them to the letter. */
    assert_score("vqa_official", "The cat", "cat|cat|cat|cat", 0, "The cat");
    assert_score("vqa_official", "The cat", "cat|cat|cat|Cat", 1, "cat");
}
END_TEST

START_TEST(vqa_soft__fewer_than_ten__flagged)
{
    tkp__eval_item item = new_item("1", "cat|cat");
    tkp__eval_score s = score_of("vqa_soft_m4c", "cat", &item);
    assert_near(s.value, 1.0 / 3, 1e-12);
    ck_assert_uint_eq(s.flags, TKP__EVAL_FEW_ANSWERS);
    tkp__eval_score_release(&s);
    tkp__eval_item_release(&item);
}
END_TEST

/* --- letters ---------------------------------------------------------------------- */

static void assert_letter_(
    const char *metric,
    const char *answer,
    const char *options,
    const char *letter,
    int line)
{
    tkp__eval_item item = new_item("1", "A");
    for (char c = 'A'; *options; c++) {
        char one[64];
        const size_t n = strcspn(options, "|");
        snprintf(one, sizeof(one), "%.*s", (int)n, options);
        ck_assert_int_eq(tkp__eval_item_add_option(&item, c, one), TKP_OK);
        options += n + (options[n] == '|');
    }
    tkp__eval_score s = score_of(metric, answer, &item);
    ck_assert_msg(
        strcmp(s.parsed, letter) == 0, "line %d: '%s' is '%s', wanted '%s'",
        line, answer, s.parsed, letter);
    ck_assert(s.value == (strcmp(letter, "A") == 0));
    tkp__eval_score_release(&s);
    tkp__eval_item_release(&item);
}
#define assert_letter(metric_, answer_, options_, letter_)                     \
    assert_letter_((metric_), (answer_), (options_), (letter_), __LINE__)

START_TEST(mcq_vlmeval__letters_and_texts__as_its_rules_say)
{
    static const char two[] = "cat|dog";
    assert_letter("mcq_vlmeval", "B", two, "B");
    assert_letter("mcq_vlmeval", "B.", two, "B");
    assert_letter("mcq_vlmeval", "(B)", two, "B");
    assert_letter("mcq_vlmeval", "B: dog", two, "B");
    assert_letter("mcq_vlmeval", "The answer is **B**", two, "B");
    assert_letter("mcq_vlmeval", "A dog", two, "A"); /* an article, kept */
    assert_letter("mcq_vlmeval", "a dog", two, "B");
    assert_letter("mcq_vlmeval", "both A and B", two, "");
    assert_letter("mcq_vlmeval", "Cannot determine the answer", two, "Z");
    assert_letter(
        "mcq_vlmeval", "A is what I see in this one picture", two, "");
    assert_letter("mcq_vlmeval", "The correct answer is b, A or B", two, "B");
    assert_letter("mcq_vlmeval", "C", two, "");
    assert_letter(
        "mcq_vlmeval", "Failed to obtain answer via API", "cat|dog|a", "");
}
END_TEST

START_TEST(sqa__two_variants__forms_that_are_taken)
{
    static const char three[] = "x|y|z";
    assert_letter("sqa_llava", "B", three, "B");
    assert_letter("sqa_llava", "B. y", three, "B");
    assert_letter("sqa_llava", "B.", three, "");
    assert_letter("sqa_llava", "E", three, "");
    assert_letter("sqa_llava", "So: The answer is C.", three, "C");
    assert_letter("sqa_llava", "The answer is C", three, "");
    assert_letter("sqa_llava", "The answer is C. The answer is C.", three, "");
    assert_letter("sqa_lmms", " b ", three, "B");
    assert_letter("sqa_lmms", "B.", three, "B");
    assert_letter("sqa_lmms", "B y", three, "");
}
END_TEST

/* --- boxes ------------------------------------------------------------------------ */

static void assert_placed_(
    const double in[4],
    int32_t scale,
    bool padded,
    bool raw,
    const double wanted[4],
    int line)
{
    const tkp__eval_box_rule rule = {
        .scale = scale, .padded = padded, .raw = raw};
    double box[4] = {in[0], in[1], in[2], in[3]};
    tkp__eval_box_place(box, &rule, 640, 480);
    for (int i = 0; i < 4; i++)
        assert_near_(box[i], wanted[i], 1e-9, line);
}
#define BOX(...) ((const double[4]){__VA_ARGS__})
#define assert_placed(in_, scale_, padded_, raw_, wanted_)                     \
    assert_placed_((in_), (scale_), (padded_), (raw_), (wanted_), __LINE__)

START_TEST(box_place__scales_and_spaces__pixels_of_640_by_480)
{
    const double same[4] = {64, 96, 320, 288};
    assert_placed(BOX(.1, .2, .5, .6), 0, false, false, same);
    assert_placed(BOX(100, 200, 500, 600), 0, false, false, same);
    assert_placed(
        BOX(.25, .25, .75, .75), 0, true, false, BOX(160, 80, 480, 400));
    assert_placed(BOX(.5, .6, .1, .2), 0, false, false, same);
    assert_placed(BOX(.5, .6, .1, .2), 0, false, true, BOX(320, 288, 64, 96));
    assert_placed(BOX(0, 0, 0, 0), 0, false, false, BOX(0, 0, 0, 0));
    assert_placed(
        BOX(-1, 0, 1.2, 2), TKP__EVAL_SCALE_UNIT, false, false,
        BOX(0, 0, 640, 480));
    assert_placed(
        BOX(999, 999, 0, 0), TKP__EVAL_SCALE_Q999, false, false,
        BOX(0, 0, 640, 480));
    assert_placed(
        BOX(1, 1, 1, 1), TKP__EVAL_SCALE_SEED, false, true,
        BOX(.64, .48, .64, .48));
    assert_placed(
        BOX(.9, .9, 1, 1), TKP__EVAL_SCALE_SEED, false, true,
        BOX(576, 432, 640, 480));
    assert_placed(BOX(10, 1200, 30, 40), 0, false, false, BOX(10, 40, 30, 480));
}
END_TEST

START_TEST(box_iou__overlaps__as_computed_by_hand)
{
    assert_near(
        tkp__eval_box_iou(BOX(0, 0, 2, 2), BOX(1, 1, 3, 3)), 1.0 / 7, 1e-12);
    ck_assert(tkp__eval_box_iou(BOX(0, 0, 1, 1), BOX(1, 0, 2, 1)) == 0);
    ck_assert(tkp__eval_box_iou(BOX(0, 0, 0, 0), BOX(0, 0, 0, 0)) == 0);
    ck_assert(tkp__eval_box_iou(BOX(0, 0, 2, 1), BOX(0, 0, 1, 1)) == 0.5);
}
END_TEST

static void
assert_box_(const char *answer, int32_t parser, const double *wanted, int line)
{
    double met[4];
    const bool found = tkp__eval_box_read(met, answer, parser);
    ck_assert_msg(
        found == (wanted != NULL), "line %d: '%s' %s", line, answer,
        found ? "was read" : "was not read");
    for (int i = 0; wanted && i < 4; i++)
        assert_near_(met[i], wanted[i], 1e-9, line);
}
#define assert_box(answer_, parser_, wanted_)                                  \
    assert_box_((answer_), (parser_), (wanted_), __LINE__)

START_TEST(box_read__notations__four_numbers_or_none)
{
    const double b[4] = {.1, .2, .3, .4}, none[4] = {0, 0, 0, 0};
    assert_box("at [0.1, .2 0.3,4e-1].", TKP__EVAL_BOX_BRACKET4, b);
    assert_box("[x] [0.1,0.2,0.3,0.4]", TKP__EVAL_BOX_BRACKET4, b);
    assert_box("[0.1,0.2,0.3,0.4,0.5]", TKP__EVAL_BOX_BRACKET4, NULL);
    assert_box("[0.1,0.2,0.3", TKP__EVAL_BOX_BRACKET4, NULL);
    assert_box("[[0.1, 0.2, 0.3, 0.4]]", TKP__EVAL_BOX_SEED, b);
    assert_box("[a] [0.1,0.2,0.3,0.4]", TKP__EVAL_BOX_SEED, none);
    assert_box("[0.1,\n0.2,0.3,0.4]", TKP__EVAL_BOX_SEED, NULL);
    assert_box("none", TKP__EVAL_BOX_SEED, NULL);
    assert_box(
        "<|box_start|>(1,2),(3, 4)<|box_end|>", TKP__EVAL_BOX_QWEN,
        BOX(1, 2, 3, 4));
    assert_box("(1,2)(3,4)", TKP__EVAL_BOX_QWEN, NULL);
    assert_box(
        "```json\n[{\"bbox_2d\": [1, 2, 3, 4], \"label\": \"x\"}]\n```",
        TKP__EVAL_BOX_JSON, BOX(1, 2, 3, 4));
    assert_box("{\"bbox\": 3}", TKP__EVAL_BOX_JSON, NULL);
    assert_box("x1=1 y1=-2 x2=3 y2=4", TKP__EVAL_BOX_ANY4, BOX(1, 1, 1, -2));
    assert_box("1 2 3", TKP__EVAL_BOX_ANY4, NULL);
    assert_box("[1e999,2,3,4]", TKP__EVAL_BOX_BRACKET4, NULL);
}
END_TEST

START_TEST(box_iou_metric__half_covered__is_a_hit)
{
    tkp__eval_item item = new_item("1", "");
    item.has_box = true;
    item.box = (tkp__eval_box){0, 0, 100, 100, 200, 100};
    tkp__eval_score s = score_of("box_iou", "[0, 0, 1, 1]", &item);
    ck_assert(s.value == 1 && s.measure == 0.5);
    ck_assert_uint_eq(s.flags, TKP__EVAL_CENTER);
    ck_assert_str_eq(s.parsed, "[0.00, 0.00, 200.00, 100.00]");
    tkp__eval_score_release(&s);
    s = score_of("box_iou", "I see no box", &item);
    ck_assert(s.value == 0 && s.flags == TKP__EVAL_UNPARSED);
    tkp__eval_score_release(&s);
    tkp__eval_item_release(&item);
}
END_TEST

/* --- words --------------------------------------------------------------------------- */

START_TEST(words__unicode_and_broken_bytes__as_python_or_left_alone)
{
    char *text = tkp__eval_strip("\xe3\x80\x80 x \xff\xc2\x85");
    ck_assert_str_eq(text, "x \xff");
    tkp__free(text);
    text = tkp__eval_lower("\xc3\x84\xff"
                           "B\xe2\x82");
    ck_assert_str_eq(
        text, "\xc3\xa4\xff"
              "b\xe2\x82");
    tkp__free(text);
}
END_TEST

/* --- templates -------------------------------------------------------------------- */

static void assert_chat_(
    const char *name,
    const char *text,
    int32_t images,
    const char *wanted,
    int line)
{
    char *met = NULL;
    ck_assert_int_eq(tkp__eval_chat(&met, name, text, images), TKP_OK);
    ck_assert_msg(strcmp(met, wanted) == 0, "line %d: '%s'", line, met);
    tkp__free(met);
}
#define assert_chat(name_, text_, images_, wanted_)                            \
    assert_chat_((name_), (text_), (images_), (wanted_), __LINE__)

START_TEST(chat__four_harnesses__to_the_letter)
{
    char *text;
    assert_chat(
        "vicuna_v1", "What?", 1,
        "A chat between a curious user and an artificial intelligence "
        "assistant. The assistant gives helpful, detailed, and polite answers "
        "to the user's questions. USER: <image>\nWhat? ASSISTANT:");
    assert_chat(
        "llava_v1", "What?", 0,
        "A chat between a curious human and an artificial intelligence "
        "assistant. The assistant gives helpful, detailed, and polite answers "
        "to the human's questions. USER: What? ASSISTANT:");
    assert_chat(
        "vlmeval_llava", "What?", 2,
        "A chat between a curious human and an artificial intelligence "
        "assistant. The assistant gives helpful, detailed, and polite answers "
        "to the human's questions. USER:  <image>  <image> What? ASSISTANT: ");
    assert_chat("hf_llava", "See <image>?", 1, "USER: See <image>? ASSISTANT:");
    ck_assert_int_eq(tkp__eval_chat(&text, "vicuna", "", 0), TKP_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "template is 'vicuna'"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eval/metrics");

    TCase *yesno = tcase_create("yesno");
    tcase_add_test(yesno, yesno_pope__cut_at_the_period__three_words_make_no);
    tcase_add_test(yesno, yesno_vlmeval__both_or_neither__other);
    tcase_add_test(yesno, yesno_mme__first_four_characters__decide);
    tcase_add_test(yesno, yesno_lmms__anything_else__is_wrong);
    tcase_add_test(yesno, yesno_vh__both_words__right_as_upstream);
    tcase_add_test(yesno, yesno__right_answer_is_neither__refused);
    tcase_add_test(yesno, metric_find__unknown__names_the_nearest);
    suite_add_tcase(suite, yesno);

    TCase *texts = tcase_create("texts");
    tcase_add_test(texts, exact__three_variants__three_ideas_of_the_same);
    tcase_add_test(texts, vqa_text__evalai__spelled_as_the_benchmark_does);
    tcase_add_test(texts, vqa_text__other_rules__commas_and_periods_differ);
    tcase_add_test(texts, vqa_soft__matches_of_ten__three_tenths_each);
    tcase_add_test(texts, vqa_soft__fewer_than_ten__flagged);
    tcase_add_test(
        texts, words__unicode_and_broken_bytes__as_python_or_left_alone);
    suite_add_tcase(suite, texts);

    TCase *letters = tcase_create("letters");
    tcase_add_test(letters, mcq_vlmeval__letters_and_texts__as_its_rules_say);
    tcase_add_test(letters, sqa__two_variants__forms_that_are_taken);
    suite_add_tcase(suite, letters);

    TCase *boxes = tcase_create("boxes");
    tcase_add_test(boxes, box_place__scales_and_spaces__pixels_of_640_by_480);
    tcase_add_test(boxes, box_iou__overlaps__as_computed_by_hand);
    tcase_add_test(boxes, box_read__notations__four_numbers_or_none);
    tcase_add_test(boxes, box_iou_metric__half_covered__is_a_hit);
    suite_add_tcase(suite, boxes);

    TCase *chats = tcase_create("chats");
    tcase_add_test(chats, chat__four_harnesses__to_the_letter);
    suite_add_tcase(suite, chats);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
