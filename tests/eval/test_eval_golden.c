/*
 * The metrics against tests/golden/eval/vectors.json, which is made by
 * tools/golden/make_eval_vectors.py: the rules stated once more in Python.
 */
#include <stdio.h>
#include <stdlib.h>

#include "eval/eval_testing.h"

static const char *text_at(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

static tkp__eval_item item_of(const json_t *row)
{
    tkp__eval_item item = new_item("1", "");
    const json_t *value;
    size_t i;
    json_array_foreach(json_object_get(row, "right"), i, value)
        ck_assert_int_eq(
            tkp__eval_item_add_answer(&item, json_string_value(value)), TKP_OK);
    json_array_foreach(json_object_get(row, "options"), i, value)
        ck_assert_int_eq(
            tkp__eval_item_add_option(
                &item, (char)('A' + (int)i), json_string_value(value)),
            TKP_OK);
    const json_t *box = json_object_get(row, "box");
    if (box) {
        double side[4];
        for (size_t k = 0; k < 4; k++)
            side[k] = json_number_value(json_array_get(box, k));
        item.box =
            (tkp__eval_box){side[0], side[1], side[2], side[3], 640, 480};
        item.has_box = true;
    }
    return item;
}

static tkp__eval_metric metric_of(const json_t *row)
{
    const char *rule = text_at(row, "rule");
    tkp__eval_metric metric;
    ck_assert_int_eq(
        tkp__eval_metric_find(&metric, text_at(row, "metric")), TKP_OK);
    if (!rule)
        return metric;
    metric.box = (tkp__eval_box_rule){
        .parsers = {TKP__EVAL_BOX_BRACKET4, TKP__EVAL_BOX_ANY4},
        .padded = !strcmp(rule, "padded")};
    if (!strcmp(rule, "seed"))
        metric.box = (tkp__eval_box_rule){
            .parsers = {TKP__EVAL_BOX_SEED},
            .scale = TKP__EVAL_SCALE_SEED,
            .raw = true};
    return metric;
}

static void check_row(const json_t *row, size_t number)
{
    const tkp__eval_metric metric = metric_of(row);
    const char *answer = text_at(row, "answer");
    const char *parsed = text_at(row, "parsed");
    const json_t *measure = json_object_get(row, "measure");
    tkp__eval_item item = item_of(row);
    tkp__eval_score score = {0};
    ck_assert_msg(
        tkp__eval_score_answer(&score, &metric, answer, &item) == TKP_OK,
        "row %zu: %s", number, tkp_last_message());
    ck_assert_msg(
        !parsed || !strcmp(score.parsed, parsed),
        "row %zu, %s of '%s': '%s', wanted '%s'", number,
        text_at(row, "metric"), answer, score.parsed, parsed);
    assert_near_(
        score.value, json_number_value(json_object_get(row, "value")), 1e-9,
        (int)number);
    if (measure)
        assert_near_(
            score.measure, json_number_value(measure), 1e-9, (int)number);
    tkp__eval_score_release(&score);
    tkp__eval_item_release(&item);
}

START_TEST(metrics__rules_stated_again_in_python__the_same_scores)
{
    const char *folder = getenv("TKP_TEST_DATA");
    char path[4096];
    snprintf(path, sizeof(path), "%s/eval/vectors.json", folder ? folder : ".");
    json_error_t error;
    json_t *rows = json_load_file(path, 0, &error);
    ck_assert_msg(rows != NULL, "%s: %s", path, error.text);
    ck_assert_uint_ge(json_array_size(rows), 3000);
    for (size_t i = 0; i < json_array_size(rows); i++)
        check_row(json_array_get(rows, i), i);
    json_decref(rows);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eval/golden");
    TCase *all = tcase_create("all");
    tcase_add_test(all, metrics__rules_stated_again_in_python__the_same_scores);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
