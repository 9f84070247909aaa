/*
 * Figures of many answers: against numbers worked out by hand, against the
 * averages of the paper's own rows, and resampling against what theory says.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "eval/eval_testing.h"

static tkp__eval_item
yesno_item(int id, const char *group, const char *split, const char *right)
{
    char text[32];
    snprintf(text, sizeof(text), "%d", id);
    tkp__eval_item item = new_item(text, right);
    if (group)
        set_text(&item.group, group);
    set_text(&item.split, split);
    return item;
}

/* --- figures ------------------------------------------------------------------- */

START_TEST(yesno_pope__three_splits__mean_and_micro_f1)
{
    /* POPE's published answers of LLaVA-1.5-13B, as counts. */
    static const struct {
        const char *name;
        int tp, fp, tn, fn;
    } splits[] = {
        {"adversarial", 1182, 117, 1383, 318},
        {"popular", 1182, 59, 1441, 318},
        {"random", 1182, 31, 1379, 318}};
    tkp__eval_table table = {0};
    int id = 0;
    for (int s = 0; s < 3; s++) {
        const int counts[4] = {
            splits[s].tp, splits[s].fp, splits[s].tn, splits[s].fn};
        for (int c = 0; c < 4; c++)
            for (int i = 0; i < counts[c]; i++)
                add_score(
                    &table, "yesno_pope", c < 2 ? "Yes" : "No",
                    yesno_item(
                        id++, NULL, splits[s].name,
                        c == 0 || c == 3 ? "yes" : "no"));
    }
    assert_near(figure("yesno_pope", &table, "mean f1"), 85.95, 0.005);
    assert_near(figure("yesno_pope", &table, "micro f1"), 85.93, 0.005);
    assert_near(figure("yesno_pope", &table, "adversarial f1"), 84.46, 0.005);
    assert_near(
        figure("yesno_pope", &table, "adversarial accuracy"), 85.50, 1e-9);
    assert_near(
        figure("yesno_pope", &table, "adversarial precision"), 90.99, 0.005);
    assert_near(
        figure("yesno_pope", &table, "adversarial recall"), 78.80, 1e-9);
    assert_near(figure("yesno_pope", &table, "adversarial yes"), 43.3, 1e-9);
    assert_near(figure("yesno_pope", &table, "popular f1"), 86.25, 0.005);
    assert_near(figure("yesno_pope", &table, "popular accuracy"), 87.43, 0.005);
    assert_near(figure("yesno_pope", &table, "random f1"), 87.14, 0.005);
    assert_near(figure("yesno_pope", &table, "random accuracy"), 88.01, 0.005);
    tkp__eval_table_release(&table);
}
END_TEST

START_TEST(yesno_vlmeval__item_of_two_categories__counts_in_both)
{
    tkp__eval_table table = {0};
    add_score(
        &table, "yesno_vlmeval", "yes",
        yesno_item(1, NULL, "popular,random", "Yes"));
    add_score(
        &table, "yesno_vlmeval", "yes", yesno_item(2, NULL, "random", "No"));
    add_score(
        &table, "yesno_vlmeval", "well", yesno_item(3, NULL, "random", "No"));
    ck_assert_int_eq(table.n_rows, 4);
    ck_assert_int_eq(table.groups.count, 3);
    /* tp 2, fp 1, fn 0 */
    assert_near(figure("yesno_vlmeval", &table, "micro f1"), 80, 1e-9);
    assert_near(figure("yesno_vlmeval", &table, "popular f1"), 100, 1e-9);
    /* "well" is no "yes", but not right either. */
    assert_near(
        figure("yesno_vlmeval", &table, "random accuracy"), 100.0 / 3, 1e-9);
    tkp__eval_table_release(&table);
}
END_TEST

static tkp__eval_item
mme_item(int id, const char *picture, const char *task, const char *right)
{
    tkp__eval_item item = yesno_item(id, picture, "", right);
    set_text(&item.category, task);
    return item;
}

START_TEST(yesno_mme__pairs__accuracy_and_both)
{
    tkp__eval_table table = {0};
    add_score(&table, "yesno_mme", "Yes", mme_item(1, "a", "count", "Yes"));
    add_score(&table, "yesno_mme", "No", mme_item(2, "a", "count", "No"));
    add_score(&table, "yesno_mme", "Yes", mme_item(3, "b", "count", "Yes"));
    add_score(&table, "yesno_mme", "Yes", mme_item(4, "b", "count", "No"));
    add_score(
        &table, "yesno_mme", "No", mme_item(5, "c", "code_reasoning", "No"));
    add_score(
        &table, "yesno_mme", "?", mme_item(6, "c", "code_reasoning", "Yes"));
    assert_near(figure("yesno_mme", &table, "count acc"), 75, 1e-9);
    assert_near(figure("yesno_mme", &table, "count acc+"), 50, 1e-9);
    assert_near(figure("yesno_mme", &table, "perception"), 125, 1e-9);
    assert_near(figure("yesno_mme", &table, "cognition"), 50, 1e-9);
    assert_near(figure("yesno_mme", &table, "total"), 175, 1e-9);

    tkp__eval_metric m;
    tkp__eval_figures figures;
    ck_assert_int_eq(tkp__eval_metric_find(&m, "yesno_mme"), TKP_OK);
    add_score(
        &table, "yesno_mme", "No", mme_item(7, "c", "code_reasoning", "No"));
    ck_assert_int_eq(
        tkp__eval_aggregate(&figures, &m, &table, NULL), TKP_ERR_DATA);
    ck_assert_str_eq(
        tkp_last_message(), "picture 'c' has 3 questions, wanted 2");
    tkp__eval_table_release(&table);
}
END_TEST

static tkp__eval_item rotation(int question, int turn, int options)
{
    char text[32];
    snprintf(text, sizeof(text), "%d-%d", question, turn);
    tkp__eval_item item = new_item(text, "A");
    snprintf(text, sizeof(text), "%d", question);
    set_text(&item.group, text);
    item.rotation = turn;
    for (int i = 0; i < options; i++) {
        snprintf(text, sizeof(text), "text %d", i);
        ck_assert_int_eq(
            tkp__eval_item_add_option(&item, (char)('A' + i), text), TKP_OK);
    }
    return item;
}

START_TEST(mmbench_circular__one_rotation_wrong__question_is)
{
    tkp__eval_table table = {0};
    for (int turn = 0; turn < 2; turn++)
        add_score(&table, "mmbench_circular", "A", rotation(1, turn, 2));
    for (int turn = 0; turn < 3; turn++)
        add_score(
            &table, "mmbench_circular", turn == 2 ? "B" : "A",
            rotation(2, turn, 3));
    add_score(&table, "mmbench_circular", "A", rotation(3, 0, 4));
    assert_near(figure("mmbench_circular", &table, "circular"), 50, 1e-9);
    assert_near(
        figure("mmbench_circular", &table, "accuracy as written"), 100, 1e-9);
    assert_near(
        figure("mmbench_circular", &table, "accuracy of all rotations"),
        100.0 * 5 / 6, 1e-9);
    assert_near(
        figure("mmbench_circular", &table, "questions with rotations missing"),
        1, 1e-9);
    tkp__eval_table_release(&table);
}
END_TEST

START_TEST(sqa__questions_without_picture__only_in_the_second_figure)
{
    tkp__eval_table table = {0};
    for (int i = 0; i < 4; i++) {
        tkp__eval_item item = rotation(i, 0, 3);
        if (i % 2)
            ck_assert_int_eq(tkp__eval_item_add_file(&item, "x.png"), TKP_OK);
        add_score(&table, "sqa_llava", i < 3 ? "A" : "B", item);
    }
    assert_near(figure("sqa_llava", &table, "accuracy with image"), 50, 1e-9);
    assert_near(figure("sqa_llava", &table, "accuracy of all"), 75, 1e-9);
    tkp__eval_table_release(&table);
}
END_TEST

START_TEST(box_iou__two_splits__mean_of_splits_first)
{
    tkp__eval_table table = {0};
    for (int i = 0; i < 4; i++) {
        tkp__eval_item item = yesno_item(i, NULL, i < 1 ? "val" : "testA", "");
        item.has_box = true;
        item.box = (tkp__eval_box){0, 0, 100, 100, 200, 100};
        add_score(
            &table, "box_iou",
            i < 2    ? "[0, 0, .5, 1]"
            : i == 2 ? "[0, 0, 1, 1]"
                     : "?",
            item);
    }
    assert_near(
        figure("box_iou", &table, "mean p@0.5"), (100 + 200.0 / 3) / 2, 1e-9);
    assert_near(figure("box_iou", &table, "p@0.5"), 75, 1e-9);
    assert_near(figure("box_iou", &table, "p@0.7"), 50, 1e-9);
    assert_near(figure("box_iou", &table, "testA mean iou"), 50, 1e-9);
    assert_near(figure("box_iou", &table, "without box"), 25, 1e-9);
    tkp__eval_table_release(&table);
}
END_TEST

/* --- averages of the paper's rows --------------------------------------------------- */

START_TEST(avg_ratio__rows_of_table_1__averages_as_printed)
{
    static const double vanilla[8] = {61.9, 64.7, 58.1, 1862,
                                      85.9, 69.5, 58.2, 50.0};
    static const struct {
        double values[8], average;
    } rows[] = {
        {{59.0, 62.2, 54.1, 1736, 79.4, 67.8, 51.7, 51.9}, 95.05},
        {{59.1, 62.5, 55.2, 1763, 81.4, 69.1, 53.4, 51.9}, 96.44},
        {{59.2, 59.3, 51.0, 1737, 80.3, 66.4, 50.8, 50.3}, 93.16},
        {{56.5, 59.3, 42.1, 1689, 71.8, 65.3, 53.6, 51.3}, 89.79},
        {{49.9, 36.9, 26.4, 1239, 59.8, 60.9, 36.9, 48.4}, 70.88},
        {{55.1, 59.5, 51.0, 1711, 77.6, 69.3, 54.9, 51.4}, 93.48},
        {{55.9, 58.1, 48.1, 1599, 70.4, 66.8, 48.2, 51.6}, 89.11},
        {{54.2, 56.0, 46.0, 1545, 71.2, 67.2, 49.4, 49.9}, 87.57},
        {{55.8, 56.2, 41.2, 1630, 72.6, 66.3, 47.8, 50.0}, 87.19},
        {{46.1, 47.2, 38.1, 1255, 58.6, 64.9, 47.8, 50.8}, 78.22},
        {{44.6, 24.0, 15.7, 1114, 45.2, 60.8, 35.9, 48.4}, 61.82},
        {{52.7, 56.2, 46.1, 1505, 75.1, 62.2, 51.8, 50.1}, 87.29}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_near(
            tkp__eval_avg_ratio(rows[i].values, vanilla, 8), rows[i].average,
            0.005);
}
END_TEST

START_TEST(avg__rows_of_table_2__plain_and_relative)
{
    static const double vanilla[8] = {72.3, 51.5, 73.3, 66.3,
                                      29.7, 68.3, 49.5, 51.5};
    static const struct {
        double values[8], plain, relative;
    } rows[] = {
        {{4.0, 6.9, 4.0, 2.9, 5.9, 0.9, 7.9, 5.9}, 4.80, 9.67},
        {{20.8, 13.9, 27.7, 17.8, 8.9, 26.7, 19.8, 14.9}, 18.81, 32.30},
        {{22.8, 22.8, 25.7, 18.8, 7.9, 18.8, 20.8, 23.8}, 20.18, 35.20},
        {{22.8, 27.7, 32.7, 17.8, 13.9, 32.7, 20.8, 16.8}, 23.15, 40.76},
        {{34.7, 17.8, 26.7, 23.8, 17.8, 24.8, 14.9, 20.8}, 22.66, 40.20}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_near(
            tkp__eval_avg_plain(rows[i].values, 8), rows[i].plain, 0.0051);
        assert_near(
            tkp__eval_avg_ratio(rows[i].values, vanilla, 8), rows[i].relative,
            0.005);
    }
}
END_TEST

START_TEST(avg_ratio__rows_of_table_6__averages_as_recomputed)
{
    static const double vanilla[7] = {62.2, 80.5, 81.2, 2317, 86.1, 84.7, 82.1};
    static const struct {
        double values[7], average;
    } rows[] = {
        {{58.0, 76.1, 75.5, 2130, 82.1, 80.0, 77.3}, 93.81},
        {{61.9, 80.9, 81.3, 2296, 86.2, 84.6, 81.7}, 99.82},
        {{56.7, 74.1, 73.9, 2031, 79.2, 78.3, 72.0}, 90.57},
        {{61.9, 80.8, 81.2, 2300, 86.1, 86.4, 81.4}, 100.04},
        {{51.9, 70.1, 65.2, 1962, 76.1, 75.8, 60.3}, 83.83},
        {{61.9, 81.1, 81.0, 2289, 86.2, 84.4, 81.3}, 99.66}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_near(
            tkp__eval_avg_ratio(rows[i].values, vanilla, 7), rows[i].average,
            0.005);
}
END_TEST

START_TEST(avg__a_value_missing__no_average)
{
    const double values[2] = {50, NAN}, vanilla[2] = {60, 60},
                 floor[2] = {20, 20};
    ck_assert(isnan(tkp__eval_avg_ratio(values, vanilla, 2)));
    ck_assert(isnan(tkp__eval_avg_plain(values, 2)));
    ck_assert(isnan(tkp__eval_avg_skill(values, vanilla, floor, 2)));
    assert_near(tkp__eval_avg_skill(values, vanilla, floor, 1), 75, 1e-9);
}
END_TEST

/* --- intervals ------------------------------------------------------------------------ */

START_TEST(wilson__known_cases__as_in_textbooks)
{
    tkp__eval_interval i = tkp__eval_wilson(0, 10);
    assert_near(i.low, 0, 1e-9);
    assert_near(i.high, 27.75328, 1e-4);
    i = tkp__eval_wilson(81, 263); /* Newcombe 1998 */
    assert_near(i.low, 25.53, 0.01);
    assert_near(i.high, 36.62, 0.01);
    ck_assert(isnan(tkp__eval_wilson(0, 0).low));
}
END_TEST

START_TEST(mcnemar__exact__binomial_tail)
{
    assert_near(tkp__eval_mcnemar(0, 0), 1, 1e-12);
    assert_near(tkp__eval_mcnemar(1, 9), 22.0 / 1024, 1e-9);
    assert_near(tkp__eval_mcnemar(5, 5), 1, 1e-12);
}
END_TEST

enum { QUESTIONS = 400, ROUNDS = 2000 };

/* Question i is right if a number that only depends on it is below `hits`. */
static tkp__eval_table drawn(int hits, int shift)
{
    tkp__eval_table table = {0};
    for (int i = 0; i < QUESTIONS; i++)
        add_score(
            &table, "yesno_vh",
            (i * 7 + shift) % QUESTIONS < hits ? "yes" : "no",
            yesno_item(i, NULL, "", "yes"));
    return table;
}

START_TEST(resample__a_proportion__spread_that_theory_says)
{
    tkp__eval_metric m;
    double values[ROUNDS], again[ROUNDS];
    tkp__eval_interval interval;
    tkp__eval_table table = drawn(100, 0);
    const tkp__eval_table *const tables[] = {&table};
    ck_assert_int_eq(tkp__eval_metric_find(&m, "yesno_vh"), TKP_OK);
    ck_assert_int_eq(
        tkp__eval_resample(values, ROUNDS, &m, tables, 1, 0, 7), TKP_OK);
    ck_assert_int_eq(
        tkp__eval_resample(again, ROUNDS, &m, tables, 1, 0, 7), TKP_OK);
    ck_assert_mem_eq(values, again, sizeof(values));
    const double error = 100 * sqrt(0.25 * 0.75 / QUESTIONS);
    assert_near(tkp__eval_mean(values, ROUNDS), 25, 4 * error / sqrt(ROUNDS));
    assert_near(tkp__eval_deviation(values, ROUNDS), error, 0.1 * error);
    ck_assert_int_eq(tkp__eval_percentiles(&interval, values, ROUNDS), TKP_OK);
    assert_near(interval.low, 25 - 1.96 * error, 0.3 * error);
    assert_near(interval.high, 25 + 1.96 * error, 0.3 * error);
    tkp__eval_table_release(&table);
}
END_TEST

START_TEST(resample__two_methods_one_seed__differences_are_paired)
{
    tkp__eval_metric m;
    double a[ROUNDS], b[ROUNDS];
    /* B is right where A is, and on eight questions more. */
    tkp__eval_table few = drawn(100, 0), more = drawn(108, 0);
    const tkp__eval_table *const first[] = {&few}, *const second[] = {&more};
    int64_t only_a, only_b;
    ck_assert_int_eq(tkp__eval_metric_find(&m, "yesno_vh"), TKP_OK);
    ck_assert_int_eq(tkp__eval_resample(a, ROUNDS, &m, first, 1, 0, 7), TKP_OK);
    ck_assert_int_eq(
        tkp__eval_resample(b, ROUNDS, &m, second, 1, 0, 7), TKP_OK);
    for (int i = 0; i < ROUNDS; i++)
        b[i] -= a[i];
    const double error = 100 * sqrt(0.02 * 0.98 / QUESTIONS);
    assert_near(tkp__eval_deviation(b, ROUNDS), error, 0.1 * error);
    ck_assert_int_eq(
        tkp__eval_discordant(&only_a, &only_b, &few, &more), TKP_OK);
    ck_assert_int_eq(only_a, 0);
    ck_assert_int_eq(only_b, 8);
    tkp__eval_table_release(&few);
    tkp__eval_table_release(&more);
}
END_TEST

START_TEST(resample__several_seeds__their_spread_counts_too)
{
    tkp__eval_metric m;
    double values[ROUNDS];
    tkp__eval_table low = drawn(40, 0), high = drawn(360, 0);
    const tkp__eval_table *const tables[] = {&low, &high};
    ck_assert_int_eq(tkp__eval_metric_find(&m, "yesno_vh"), TKP_OK);
    ck_assert_int_eq(
        tkp__eval_resample(values, ROUNDS, &m, tables, 2, 0, 3), TKP_OK);
    /* Both low, one of each, both high: 10, 50, 90 with 1/4, 1/2, 1/4. */
    assert_near(tkp__eval_mean(values, ROUNDS), 50, 3);
    assert_near(tkp__eval_deviation(values, ROUNDS), sqrt(800), 2);
    tkp__eval_table_release(&high);
    high = drawn(1, 0);
    set_text(&high.groups.names[0], "another");
    ck_assert_int_eq(
        tkp__eval_resample(values, ROUNDS, &m, tables, 2, 0, 3),
        TKP_ERR_ARGUMENT);
    tkp__eval_table_release(&low);
    tkp__eval_table_release(&high);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eval/stats");

    TCase *figures = tcase_create("figures");
    tcase_add_test(figures, yesno_pope__three_splits__mean_and_micro_f1);
    tcase_add_test(
        figures, yesno_vlmeval__item_of_two_categories__counts_in_both);
    tcase_add_test(figures, yesno_mme__pairs__accuracy_and_both);
    tcase_add_test(figures, mmbench_circular__one_rotation_wrong__question_is);
    tcase_add_test(
        figures, sqa__questions_without_picture__only_in_the_second_figure);
    tcase_add_test(figures, box_iou__two_splits__mean_of_splits_first);
    suite_add_tcase(suite, figures);

    TCase *averages = tcase_create("averages");
    tcase_add_test(averages, avg_ratio__rows_of_table_1__averages_as_printed);
    tcase_add_test(averages, avg__rows_of_table_2__plain_and_relative);
    tcase_add_test(
        averages, avg_ratio__rows_of_table_6__averages_as_recomputed);
    tcase_add_test(averages, avg__a_value_missing__no_average);
    suite_add_tcase(suite, averages);

    TCase *intervals = tcase_create("intervals");
    tcase_add_test(intervals, wilson__known_cases__as_in_textbooks);
    tcase_add_test(intervals, mcnemar__exact__binomial_tail);
    tcase_add_test(intervals, resample__a_proportion__spread_that_theory_says);
    tcase_add_test(
        intervals, resample__two_methods_one_seed__differences_are_paired);
    tcase_add_test(intervals, resample__several_seeds__their_spread_counts_too);
    suite_add_tcase(suite, intervals);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
