/* tokenprune score and data: files as their benchmarks lay them out, in small,
 * with answers whose worth was worked out by hand. */
#include <sys/stat.h>

#include "cli_testing.h"

static char folder[PATH_MAX];
static char card[PATH_MAX + 64];

static void setup(void)
{
    scratch_make(folder);
}

static void teardown(void)
{
    scratch_remove(folder);
}

static const char *put(const char *name, const char *text)
{
    static char file[PATH_MAX + 256];
    snprintf(file, sizeof(file), "%s/%s", folder, name);
    for (char *slash = file + strlen(folder) + 1; (slash = strchr(slash, '/'));
         slash++) {
        *slash = '\0';
        mkdir(file, 0777);
        *slash = '/';
    }
    write_whole(file, text, strlen(text));
    return file;
}

static const json_t *figure(const json_t *object, const char *name)
{
    const json_t *list = json_object_get(object, "figures");
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) if (!strcmp(
                                             json_string_value(
                                                 json_object_get(one, "name")),
                                             name)) return one;
    ck_abort_msg("there is no figure '%s'", name);
    return NULL;
}

/* POPE as LLaVA lays it out: two splits of two questions. */
static void put_pope(void)
{
    put("llava_pope_test.jsonl",
        "{\"question_id\": 1, \"image\": \"a.jpg\", \"text\": \"Is there a "
        "cat?\\nAnswer so.\", \"category\": \"random\"}\n"
        "{\"question_id\": 2, \"image\": \"a.jpg\", \"text\": \"Is there a "
        "dog?\\nAnswer so.\", \"category\": \"random\"}\n"
        "{\"question_id\": 3, \"image\": \"b.jpg\", \"text\": \"Is there a "
        "cat?\\nAnswer so.\", \"category\": \"popular\"}\n"
        "{\"question_id\": 4, \"image\": \"b.jpg\", \"text\": \"Is there a "
        "cow?\\nAnswer so.\", \"category\": \"popular\"}\n");
    put("coco/coco_pope_random.json",
        "{\"image\": \"a.jpg\", \"text\": \"Is there a cat?\", \"label\": "
        "\"yes\"}\n"
        "{\"image\": \"a.jpg\", \"text\": \"Is there a dog?\", \"label\": "
        "\"no\"}\n");
    put("coco/coco_pope_popular.json",
        "{\"image\": \"b.jpg\", \"text\": \"Is there a cat?\", \"label\": "
        "\"no\"}\n"
        "{\"image\": \"b.jpg\", \"text\": \"Is there a cow?\", \"label\": "
        "\"yes\"}\n");
}

static const char *put_pope_answers(int n)
{
    static const char *const lines[] = {
        "{\"question_id\": 1, \"text\": \"Yes\"}\n",
        "{\"question_id\": 2, \"text\": \"No.\"}\n",
        "{\"question_id\": 3, \"text\": \"Yes, a cat\"}\n",
        "{\"question_id\": 4, \"text\": \"Yes\"}\n",
        "{\"question_id\": 9, \"text\": \"Yes\"}\n"};
    char text[512] = "";
    for (int i = 0; i < n; i++)
        strcat(text, lines[i]);
    return put("a.jsonl", text);
}

START_TEST(score__pope__mean_of_the_splits_f1)
{
    put_pope();
    const char *answers = put_pope_answers(4);
    json_t *json = assert_json(
        command(
            "score", "-d", "pope", "--data-root", folder, "-a", answers,
            "--json", NULL),
        "score");
    /* random: 100; popular: one yes of two is right, recall 1: 66.67 */
    const json_t *mean = figure(json, "mean f1");
    ck_assert_double_eq_tol(
        json_real_at(mean, "value"), (100 + 200.0 / 3) / 2, 1e-6);
    ck_assert(json_real_at(mean, "low") <= json_real_at(mean, "value"));
    ck_assert(json_real_at(mean, "high") >= json_real_at(mean, "value"));
    ck_assert_int_eq(json_int_at(figure(json, "popular accuracy"), "n"), 2);
    ck_assert_double_eq_tol(
        json_real_at(figure(json, "popular accuracy"), "value"), 50, 1e-9);
    /* Wilson's interval of one of two. */
    ck_assert_double_eq_tol(
        json_real_at(figure(json, "popular accuracy"), "low"), 9.4531, 1e-3);
    ck_assert_str_eq(
        json_string_value(json_object_get(json, "metric")), "yesno_pope");
    json_decref(json);

    spoken s = command(
        "score", "-d", "pope", "--data-root", folder, "-a", answers, "--metric",
        "yesno_vlmeval", NULL);
    ck_assert_msg(s.code == 0, "%s", s.err);
    ck_assert_ptr_nonnull(
        strstr(s.out, "pope by yesno_vlmeval, 4 questions\n"));
    ck_assert_ptr_nonnull(strstr(s.out, "micro f1"));
    forget(&s);
}
END_TEST

START_TEST(score__answers_do_not_fit__refused_or_told)
{
    put_pope();
    const char *answers = put_pope_answers(3);
    assert_refused(
        command(
            "score", "-d", "pope", "--data-root", folder, "-a", answers, NULL),
        1, "1 of 4 questions are not answered");
    spoken s = command(
        "score", "-d", "pope", "--data-root", folder, "-a", answers,
        "--partial", NULL);
    ck_assert_msg(s.code == 0, "%s", s.err);
    ck_assert_ptr_nonnull(strstr(s.out, "3 questions, 1 not answered"));
    forget(&s);
    answers = put_pope_answers(5);
    s = command(
        "score", "-d", "pope", "--data-root", folder, "-a", answers, NULL);
    ck_assert_int_eq(s.code, 0);
    ck_assert_ptr_nonnull(
        strstr(s.err, "1 answers are to questions that pope does not have"));
    forget(&s);
    answers = put("b.jsonl", "{\"question_id\": 7, \"text\": \"Yes\"}\n");
    assert_refused(
        command(
            "score", "-d", "pope", "--data-root", folder, "-a", answers, NULL),
        1, "answers none of the 4 questions");
    assert_refused(
        command("score", "-d", "pop", "-a", answers, NULL), 1,
        "did you mean 'pope'");
    assert_refused(
        command(
            "score", "-d", "pope", "--data-root", "/nowhere", "-a", answers,
            NULL),
        1, "/nowhere/llava_pope_test.jsonl: No such file");
    assert_refused(
        command("score", "-d", "pope", NULL), 2, "--answers is missing");
    assert_refused(
        command(
            "score", "-d", "pope", "--data-root", folder, "-a", answers,
            "--metric", "f1", NULL),
        1, "metric is 'f1'");
    assert_refused(
        command("score", "-d", "pope", "-a", "x", "--rounds", "0", NULL), 2,
        "--rounds");
}
END_TEST

START_TEST(score__mme_in_both_forms_of_answers__the_same_points)
{
    put("llava_mme.jsonl",
        "{\"question_id\": \"color/1.png\", \"image\": \"color/1.png\", "
        "\"text\": \"Is it red?\\nAnswer so.\", \"category\": \"color\"}\n"
        "{\"question_id\": \"color/1.png\", \"image\": \"color/1.png\", "
        "\"text\": \"Is it  \\\"blue\\\"?\\nAnswer so.\", \"category\": "
        "\"color\"}\n");
    put("eval_tool/Your_Results/color.txt",
        "1.png\tIs it red? Please answer yes or no.\tYes\n"
        "1.png\tIs it \"blue\"?  Please answer yes or no.\tNo\n");
    const char *answers =
        put("a.jsonl", "{\"question_id\": \"color/1.png\", \"prompt\": \"Is it "
                       "red?\\nAnswer so.\", \"text\": \"Yes\"}\n"
                       "{\"question_id\": \"color/1.png\", \"prompt\": \"Is it "
                       " \\\"blue\\\"?\\nAnswer so.\", \"text\": \"Yes\"}\n");
    json_t *json = assert_json(
        command(
            "score", "-d", "mme", "--data-root", folder, "-a", answers,
            "--json", NULL),
        "score");
    ck_assert_double_eq_tol(
        json_real_at(figure(json, "total"), "value"), 50, 1e-9);
    json_decref(json);
    put("mine/color.txt",
        "1.png\tIs it red? Please answer yes or no.\tYes\tYes\n"
        "1.png\tIs it  \"blue\"? Please answer yes or no.\tNo\tno way\n");
    char path[PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/mine", folder);
    json = assert_json(
        command(
            "score", "-d", "mme", "--data-root", folder, "-a", path, "--json",
            NULL),
        "score");
    ck_assert_double_eq_tol(
        json_real_at(figure(json, "total"), "value"), 200, 1e-9);
    json_decref(json);
}
END_TEST

START_TEST(score__own_card_and_details__a_line_a_question)
{
    const char *path =
        put("c.yaml", "name: mine\nreader: {json: q.jsonl}\n"
                      "map: {id: id, question: q, answers: a}\n"
                      "prompt: {any: '{q}'}\nmetric: vqa_soft_m4c\n");
    strcpy(card, path);
    put("q.jsonl", "{\"id\": \"x\", \"q\": \"What?\", \"a\": [\"The cat\", "
                   "\"cat.\", \"dog\"]}\n");
    char answers[PATH_MAX + 16], details[PATH_MAX + 16];
    strcpy(answers, put("a.json", "[{\"id\": \"x\", \"answer\": \"A cat\"}]"));
    snprintf(details, sizeof(details), "%s/d.jsonl", folder);
    spoken s = command(
        "score", "-d", card, "--data-root", folder, "-a", answers, "--details",
        details, NULL);
    ck_assert_msg(s.code == 0, "%s", s.err);
    ck_assert_ptr_nonnull(strstr(s.out, "1 with fewer than ten right answers"));
    forget(&s);
    json_t *line = json_load_file(details, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(line, "parsed")), "cat");
    /* m = 2 of 3: (1 * 2/3 + 2 * 1/3) / 3 */
    ck_assert_double_eq_tol(json_real_at(line, "score"), 4.0 / 9, 1e-6);
    json_decref(line);
}
END_TEST

START_TEST(data__list_show_check__cards_and_what_is_missing)
{
    json_t *json = assert_json(command("data", "list", "--json", NULL), "data");
    ck_assert_uint_ge(json_array_size(json_object_get(json, "data")), 20);
    json_decref(json);
    spoken s = command("data", "list", NULL);
    ck_assert_ptr_nonnull(strstr(s.out, "textvqa          vqa_soft_m4c"));
    forget(&s);
    s = command("data", "show", "gqa", NULL);
    ck_assert_int_eq(strncmp(s.out, "name: gqa\n", 10), 0);
    const char *path = put("shown.yaml", s.out);
    forget(&s);
    s = command("data", "show", path, NULL);
    ck_assert_int_eq(s.code, 0);
    forget(&s);

    put_pope();
    put("val2014/a.jpg", "x");
    s = command("data", "check", "pope", "--data-root", folder, NULL);
    ck_assert_int_eq(s.code, 1);
    ck_assert_ptr_nonnull(
        strstr(s.out, "questions          4, 8910 expected, difference -8906"));
    ck_assert_ptr_nonnull(strstr(s.out, "4, of 4 questions; 2 missing"));
    ck_assert_ptr_nonnull(strstr(s.out, "row 3: "));
    ck_assert_ptr_nonnull(
        strstr(s.out, "first prompt:\nIs there a cat?\nAnswer the question"));
    forget(&s);
    put("val2014/b.jpg", "x");
    path =
        put("whole.yaml", "name: whole\nreader: {json: llava_pope_test.jsonl}\n"
                          "map: {id: question_id, question: text, image: "
                          "'val2014/{image}'}\nprompt: {llava: '{text}'}\n"
                          "metric: open\nexpect: {questions: 4}\n");
    json = assert_json(
        command("data", "check", path, "--data-root", folder, "--json", NULL),
        "data_check");
    ck_assert_int_eq(json_int_at(json, "missing_pictures"), 0);
    ck_assert_int_eq(json_int_at(json, "questions"), 4);
    json_decref(json);
    assert_refused(command("data", NULL), 2, "wanted list, show or check");
    assert_refused(command("data", "show", NULL), 2, "one CARD");
    assert_refused(
        command(
            "data", "check", "pope", "--data-root", folder, "--prompt", "gpt",
            NULL),
        1, "no prompt for gpt");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli/score");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, score__pope__mean_of_the_splits_f1);
    tcase_add_test(all, score__answers_do_not_fit__refused_or_told);
    tcase_add_test(all, score__mme_in_both_forms_of_answers__the_same_points);
    tcase_add_test(all, score__own_card_and_details__a_line_a_question);
    tcase_add_test(all, data__list_show_check__cards_and_what_is_missing);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
