/* Reports of small stores whose figures are worked out by hand. */
#include <math.h>

#include "eval/report_tables.h"
#include "mllm/model_files.h"
#include "tokenprune.h"

static char folder[PATH_MAX];
static tkp__store *store;
static int64_t data[2], items[2][4];

static void setup(void)
{
    char file[PATH_MAX + 64];
    scratch_make(folder);
    snprintf(file, sizeof(file), "%s/study.db", folder);
    ck_assert_int_eq(tkp__store_open(&store, file, TKP__STORE_WRITE), TKP_OK);
    for (int d = 0; d < 2; d++) {
        const tkp__store_data set = {
            .name = d ? "b" : "a",
            .hash = "h",
            .metric = "gqa_llava",
            .card = "{}",
            .rows = 4};
        ck_assert_int_eq(tkp__store_put_data(store, &data[d], &set), TKP_OK);
        for (int i = 0; i < 4; i++) {
            char name[8];
            snprintf(name, sizeof(name), "q%d", i);
            const tkp__store_item item = {
                .name = name,
                .group = name,
                .split = "",
                .category = "",
                .question = "",
                .gold = "",
                .position = i,
                .images = 1,
                .extra = "{\"cells\": [0, 3]}"};
            ck_assert_int_eq(
                tkp__store_put_item(store, &items[d][i], data[d], &item),
                TKP_OK);
        }
    }
}

static void teardown(void)
{
    tkp__store_close(store);
    scratch_remove(folder);
}

typedef struct line {
    const char *name, *control, *budget, *point;
    uint64_t seed;
    double equiv_in, prefill;
    const char *right[2]; /* of each data set: '1', '0', ' ' = not asked */
} line;

static void put(const line *l)
{
    const tkp__store_run run = {
        .model = "m",
        .model_hash = "h",
        .settings = "{}",
        .condition = l->name,
        .control = l->control,
        .budget = l->budget,
        .point = l->point,
        .policy = "",
        .seed = l->seed,
        .machine = "{}",
        .revision = "0"};
    tkp__store_cells cells = {0};
    ck_assert_int_eq(
        tkp__store_cells_add(&cells, (int32_t[]){2, 3}, 2), TKP_OK);
    for (int d = 0; d < 2; d++) {
        int64_t id;
        ck_assert_int_eq(tkp__store_put_run(store, &id, data[d], &run), TKP_OK);
        for (int i = 0; l->right[d][i]; i++) {
            const char right = l->right[d][i];
            const tkp__store_answer answer = {
                .prompt_hash = "",
                .text = right == '1' ? "yes" : "no",
                .parsed = "",
                .value = right == '1',
                .new_tokens = 2,
                .batch = 1,
                .visual_before = 4,
                .visual_after = 2,
                .equiv_in = l->equiv_in,
                .macs = 1,
                .macs_unpruned = 2,
                .kv_bytes = 1,
                .kv_bytes_unpruned = 2,
                .layer_visual = "[]",
                .layer_tokens = "[]",
                .prefill = l->prefill,
                .kept = cells.bytes,
                .kept_bytes = cells.count};
            if (right != ' ')
                ck_assert_int_eq(
                    tkp__store_put_answer(store, id, items[d][i], &answer),
                    TKP_OK);
        }
    }
    tkp__store_cells_release(&cells);
}

static const line vanilla = {"vanilla", "vanilla", "",  "",
                             0,         4,         0.4, {"1111", "1110"}};
static const line drop_all = {"drop-all", "drop-all", "",  "llm:1",
                              0,          1,          0.1, {"0000", "1000"}};
static const line fastv = {"fastv", "", "1/2", "llm:1",
                           0,       3,  0.2,   {"1100", "1100"}};

static tkp__report report(void)
{
    tkp__report r;
    ck_assert_msg(
        tkp__report_load(&r, store, NULL) == TKP_OK, "%s", tkp_last_message());
    ck_assert_int_eq(tkp__report_compute(&r), TKP_OK);
    return r;
}

static const int32_t both[] = {0, 1};

static double average(const tkp__report *r, int32_t row, int32_t kind)
{
    tkp__report_estimate e;
    ck_assert_int_eq(tkp__report_average_of(&e, r, row, both, 2, kind), TKP_OK);
    ck_assert(isnan(e.value) || (e.low <= e.value && e.value <= e.high));
    return e.value;
}

#define assert_near(a_, b_) ck_assert_double_eq_tol(a_, b_, 1e-9)

START_TEST(average__of_two_sets__as_by_hand)
{
    put(&vanilla);
    put(&drop_all);
    put(&fastv);
    tkp__report r = report();
    ck_assert_int_eq(r.n_rows, 3);
    assert_near(r.rows[0].cells[1].value, 75);
    assert_near(r.rows[2].cells[0].value, 50);
    /* 50 / 100 and 50 / 75; (50 - 0) / 100 and (50 - 25) / (75 - 25). */
    assert_near(average(&r, 2, TKP__REPORT_RATIO), 100 * (0.5 + 50. / 75) / 2);
    assert_near(average(&r, 2, TKP__REPORT_PLAIN), 50);
    assert_near(average(&r, 2, TKP__REPORT_SKILL), 50);
    assert_near(average(&r, 0, TKP__REPORT_RATIO), 100);
    assert_near(r.rows[2].speed, 2);
    /* Of eight answers five are vanilla's: two and two right, one wrong. */
    assert_near(r.rows[2].costs.agrees, 5. / 8);
    /* Cells 2 and 3 of 4; the target is 0 and 3. */
    assert_near(r.rows[2].costs.center, (2.5 + 3.5) / 2 / 4);
    assert_near(r.rows[2].costs.late, 0.5);
    assert_near(r.rows[2].costs.covered, 0.5);
    tkp__report_release(&r);
}
END_TEST

START_TEST(questions__answered_by_some__are_left_out)
{
    static const line partial = {"dart", "", "1/2", "llm:1",
                                 0,      3,  0.2,   {"11 0", "1100"}};
    static const line begun = {"mmr", "", "1/2", "llm:1",
                               0,     3,  0.2,   {"1", "1111"}};
    put(&vanilla);
    put(&partial);
    put(&begun);
    tkp__report r = report();
    ck_assert_int_eq(r.columns[0].common, 3); /* not q2; mmr does not count */
    ck_assert_int_eq(r.columns[1].common, 4);
    ck_assert_int_eq(r.unfinished, 1);
    assert_near(r.rows[1].cells[0].value, 200. / 3);
    ck_assert(isnan(r.rows[2].cells[0].value));
    assert_near(r.rows[2].cells[1].value, 100);
    ck_assert(isnan(average(&r, 2, TKP__REPORT_RATIO)));
    tkp__report_release(&r);
}
END_TEST

START_TEST(random__several_seeds__mean_and_difference)
{
    static const line random[] = {
        {"random", "random", "1/2", "llm:1", 0, 3, 0.2, {"1000", "1000"}},
        {"random", "random", "1/2", "llm:1", 1, 3, 0.2, {"1110", "1110"}},
        {"random", "random", "1/4", "llm:1", 0, 2, 0.2, {"0000", "0000"}}};
    tkp__report_estimate e;
    put(&vanilla);
    put(&fastv);
    for (int i = 0; i < 3; i++)
        put(&random[i]);
    tkp__report r = report();
    const int32_t half = tkp__report_find(&r, "random", "1/2", "llm:1");
    ck_assert_int_eq(half, 2);
    ck_assert_int_eq(r.rows[half].cells[0].seeds, 2);
    assert_near(r.rows[half].cells[0].value, 50);
    assert_near(r.rows[half].cells[0].deviation, 25);
    ck_assert_int_eq(tkp__report_difference(&e, &r, 1, half, both, 2), TKP_OK);
    assert_near(e.value, 0);
    ck_assert(e.low < 0 && e.high > 0);
    ck_assert_int_eq(tkp__report_difference(&e, &r, 1, 1, both, 2), TKP_OK);
    ck_assert(e.low == 0 && e.high == 0);
    /* Half way between 0 at EQUIV_IN 2 and 58.3 at 3. */
    assert_near(
        tkp__report_random_at(&r, 2.5, both, 2),
        average(&r, half, TKP__REPORT_RATIO) / 2);
    ck_assert(isnan(tkp__report_random_at(&r, 3.5, both, 2)));
    tkp__report_release(&r);
}
END_TEST

START_TEST(table__every_recipe__whole_rows)
{
    put(&vanilla);
    put(&drop_all);
    put(&fastv);
    tkp__report r = report();
    for (int32_t i = 0; tkp__report_recipe_at(i); i++) {
        tkp__grid grid;
        const tkp_status status =
            tkp__report_table(&grid, &r, tkp__report_recipe_at(i));
        if (status != TKP_OK) { /* its data sets are others */
            ck_assert_int_eq(status, TKP_ERR_DATA);
            ck_assert_int_ge(i, 4);
            continue;
        }
        ck_assert_int_gt(grid.n_cells, 0);
        ck_assert_int_eq(grid.n_cells % grid.n_heads, 0);
        tkp__grid_release(&grid);
    }
    tkp__report_release(&r);
}
END_TEST

START_TEST(grid__special_characters__written_as_the_format_wants)
{
    static const char *const wanted[] = {
        "| a\\|b\\\\ <i>&_ |", "a|b\\ <i>&_\n",
        "a|b\\textbackslash{} <i>\\&\\_ \\\\",
        "<td>a|b\\ &lt;i&gt;&amp;_</td>"};
    tkp__grid grid = {0};
    tkp__grid_title(&grid, "t");
    tkp__grid_head(&grid, "h");
    tkp__grid_put(&grid, "%s", "a|b\\ <i>&_");
    tkp__grid_put(&grid, "%s", "c,\"d\"");
    for (int32_t f = TKP__GRID_MD; f <= TKP__GRID_HTML; f++) {
        char *text;
        size_t bytes;
        FILE *file = open_memstream(&text, &bytes);
        tkp__grid_write(file, &grid, f);
        fclose(file);
        ck_assert_msg(strstr(text, wanted[f]), "%d: %s", f, text);
        if (f == TKP__GRID_CSV)
            ck_assert_ptr_nonnull(strstr(text, "\"c,\"\"d\"\"\"\n"));
        free(text);
    }
    tkp__grid_release(&grid);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eval/report");
    TCase *tests = tcase_create("report");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, average__of_two_sets__as_by_hand);
    tcase_add_test(tests, questions__answered_by_some__are_left_out);
    tcase_add_test(tests, random__several_seeds__mean_and_difference);
    tcase_add_test(tests, table__every_recipe__whole_rows);
    tcase_add_test(
        tests, grid__special_characters__written_as_the_format_wants);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
