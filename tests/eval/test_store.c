/* The result store: what is put comes back, whoever puts it, however it ends. */
#include "eval/store.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "mllm/model_files.h"
#include "tokenprune.h"

static char folder[PATH_MAX];
static char file[PATH_MAX + 64];

static void setup(void)
{
    scratch_make(folder);
    snprintf(file, sizeof(file), "%s/study.db", folder);
}

static void teardown(void)
{
    scratch_remove(folder);
}

static tkp__store *opened(int32_t mode)
{
    tkp__store *store;
    ck_assert_msg(
        tkp__store_open(&store, file, mode) == TKP_OK, "%s",
        tkp_last_message());
    return store;
}

static const tkp__store_data some_data = {
    .name = "demo",
    .hash = "d0",
    .metric = "gqa_llava",
    .card = "{}",
    .rows = 10};

static tkp__store_run some_run(void)
{
    return (tkp__store_run){
        .model = "demo",
        .model_hash = "m0",
        .settings = "{}",
        .condition = "fastv",
        .control = "",
        .budget = "1/4",
        .point = "llm:1",
        .policy = "yaml",
        .seed = UINT64_MAX,
        .machine = "{}",
        .revision = "0.1.0"};
}

static tkp__store_answer some_answer(const char *text)
{
    return (tkp__store_answer){
        .prompt_hash = "p",
        .text = text,
        .parsed = text,
        .value = 1,
        .measure = 0.5,
        .flags = 4,
        .new_tokens = 3,
        .batch = 1,
        .visual_before = 144,
        .visual_after = 36,
        .equiv_in = 49.5,
        .macs = 1e9,
        .kv_bytes = 4096,
        .layer_visual = "[36]",
        .layer_tokens = "[50]",
        .prefill = 0.25};
}

static int64_t put_item(tkp__store *store, int64_t data, int32_t i)
{
    char name[16];
    int64_t id;
    snprintf(name, sizeof(name), "q%d", i);
    const tkp__store_item item = {
        .name = name,
        .group = name,
        .split = "",
        .category = "colour",
        .question = "",
        .gold = "red",
        .extra = "",
        .position = i,
        .images = 1};
    ck_assert_int_eq(tkp__store_put_item(store, &id, data, &item), TKP_OK);
    return id;
}

/* --- what is put comes back --------------------------------------------------- */

typedef struct seen {
    int64_t count, sum;
    char text[32];
} seen;

static tkp_status see_answer(
    void *user,
    int64_t id,
    const tkp__store_item *item,
    const tkp__store_answer *answer)
{
    seen *s = user;
    int32_t cells[8];
    size_t at = 0;
    ck_assert_int_gt(id, 0);
    ck_assert_str_eq(item->category, "colour");
    ck_assert_int_eq(item->position, s->count);
    ck_assert(answer->measure == 0.5 && answer->equiv_in == 49.5);
    ck_assert(answer->prefill == 0.25 && answer->kv_bytes == 4096);
    ck_assert_str_eq(answer->layer_visual, "[36]");
    if (answer->kept) {
        ck_assert_int_eq(
            tkp__store_cells_next(
                &at, answer->kept, answer->kept_bytes, cells, 8),
            3);
        ck_assert_int_eq(cells[2], 100000);
    }
    s->count++;
    s->sum += answer->visual_after;
    snprintf(s->text, sizeof(s->text), "%s", answer->text);
    return TKP_OK;
}

static tkp_status see_run(
    void *user,
    int64_t id,
    const tkp__store_run *run,
    const tkp__store_data *data,
    int64_t data_id,
    int64_t answers)
{
    seen *s = user;
    ck_assert_int_gt(id, 0);
    ck_assert_int_gt(data_id, 0);
    ck_assert_str_eq(data->metric, "gqa_llava");
    ck_assert_uint_eq(run->seed, UINT64_MAX);
    s->count++;
    s->sum += answers;
    snprintf(s->text, sizeof(s->text), "%s", run->condition);
    return TKP_OK;
}

START_TEST(put__read_back__the_same)
{
    tkp__store *store = opened(TKP__STORE_WRITE);
    tkp__store_cells cells = {0};
    const tkp__store_run run = some_run();
    int64_t data, id;
    ck_assert_int_eq(tkp__store_put_data(store, &data, &some_data), TKP_OK);
    ck_assert_int_eq(tkp__store_put_run(store, &id, data, &run), TKP_OK);
    const int64_t a = put_item(store, data, 0);
    ck_assert_int_eq(
        tkp__store_cells_add(&cells, (int32_t[]){0, 127, 100000}, 3), TKP_OK);
    tkp__store_answer answer = some_answer("red");
    answer.kept = cells.bytes;
    answer.kept_bytes = cells.count;
    ck_assert_int_eq(tkp__store_put_answer(store, id, a, &answer), TKP_OK);
    const int64_t b = put_item(store, data, 1);
    answer = some_answer("a \"quoted\" \xc3\xa9 text");
    ck_assert_int_eq(tkp__store_put_answer(store, id, b, &answer), TKP_OK);
    tkp__store_close(store);

    store = opened(TKP__STORE_READ);
    seen s = {0};
    ck_assert_int_eq(tkp__store_each_answer(store, id, see_answer, &s), TKP_OK);
    ck_assert_int_eq(s.count, 2);
    ck_assert_str_eq(s.text, "a \"quoted\" \xc3\xa9 text");
    s = (seen){0};
    ck_assert_int_eq(tkp__store_each_run(store, see_run, &s), TKP_OK);
    ck_assert_int_eq(s.count, 1);
    ck_assert_int_eq(s.sum, 2);
    tkp__store_close(store);
    tkp__store_cells_release(&cells);
}
END_TEST

START_TEST(put__twice__the_first_stays)
{
    tkp__store *store = opened(TKP__STORE_WRITE);
    tkp__store_run run = some_run();
    int64_t data, again, id, same, other;
    bool has;
    ck_assert_int_eq(tkp__store_put_data(store, &data, &some_data), TKP_OK);
    ck_assert_int_eq(tkp__store_put_data(store, &again, &some_data), TKP_OK);
    ck_assert_int_eq(data, again);
    ck_assert_int_eq(tkp__store_put_run(store, &id, data, &run), TKP_OK);
    run.machine = "another";
    ck_assert_int_eq(tkp__store_put_run(store, &same, data, &run), TKP_OK);
    ck_assert_int_eq(id, same);
    run.policy = "changed";
    ck_assert_int_eq(tkp__store_put_run(store, &other, data, &run), TKP_OK);
    ck_assert_int_ne(id, other);
    const int64_t item = put_item(store, data, 0);
    ck_assert_int_eq(put_item(store, data, 0), item);
    ck_assert_int_eq(tkp__store_has(store, &has, id, item), TKP_OK);
    ck_assert(!has);
    tkp__store_answer answer = some_answer("first");
    ck_assert_int_eq(tkp__store_put_answer(store, id, item, &answer), TKP_OK);
    answer.text = "second";
    ck_assert_int_eq(tkp__store_put_answer(store, id, item, &answer), TKP_OK);
    ck_assert_int_eq(tkp__store_has(store, &has, id, item), TKP_OK);
    ck_assert(has);
    seen s = {0};
    ck_assert_int_eq(tkp__store_each_answer(store, id, see_answer, &s), TKP_OK);
    ck_assert_int_eq(s.count, 1);
    ck_assert_str_eq(s.text, "first");
    tkp__store_close(store);
}
END_TEST

/* --- several processes, and processes that die --------------------------------- */

enum { ITEMS = 200 };

/* Answer what is not answered; the number of answers goes through the pipe. */
static void work(int report)
{
    tkp__store *store = opened(TKP__STORE_WRITE);
    const tkp__store_run run = some_run();
    const tkp__store_answer answer = some_answer("red");
    int64_t data, id;
    ck_assert_int_eq(tkp__store_put_data(store, &data, &some_data), TKP_OK);
    ck_assert_int_eq(tkp__store_put_run(store, &id, data, &run), TKP_OK);
    for (int32_t i = 0; i < ITEMS; i++) {
        bool has;
        const int64_t item = put_item(store, data, i);
        ck_assert_int_eq(tkp__store_has(store, &has, id, item), TKP_OK);
        if (!has)
            ck_assert_msg(
                tkp__store_put_answer(store, id, item, &answer) == TKP_OK, "%s",
                tkp_last_message());
        if (report >= 0)
            ck_assert_int_eq(write(report, "x", 1), 1);
    }
    tkp__store_close(store);
}

static pid_t worker(int report)
{
    const pid_t child = fork();
    if (child == 0) {
        work(report);
        _exit(0);
    }
    return child;
}

static int64_t count_answers(void)
{
    seen s = {0};
    tkp__store *store = opened(TKP__STORE_READ);
    ck_assert_int_eq(tkp__store_each_run(store, see_run, &s), TKP_OK);
    ck_assert_int_eq(s.count, 1);
    tkp__store_close(store);
    return s.sum;
}

static void assert_sound(void)
{
    sqlite3 *db;
    sqlite3_stmt *check;
    ck_assert_int_eq(sqlite3_open(file, &db), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &check, NULL),
        SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(check), SQLITE_ROW);
    ck_assert_str_eq((const char *)sqlite3_column_text(check, 0), "ok");
    sqlite3_finalize(check);
    sqlite3_close(db);
}

START_TEST(kill__in_the_middle__what_was_reported_is_there)
{
    int ends[2], state;
    char byte;
    int64_t done = 0;
    ck_assert_int_eq(pipe(ends), 0);
    const pid_t child = worker(ends[1]);
    close(ends[1]);
    while (done < 40 && read(ends[0], &byte, 1) == 1)
        done++;
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    while (read(ends[0], &byte, 1) == 1) /* before the signal came */
        done++;
    close(ends[0]);
    const int64_t stored = count_answers();
    ck_assert_msg(
        stored == done || stored == done + 1,
        "%lld answers are there, %lld were reported", (long long)stored,
        (long long)done);
    assert_sound();
    work(-1);
    ck_assert_int_eq(count_answers(), ITEMS);
    assert_sound();
}
END_TEST

START_TEST(put__two_processes_from_nothing__every_answer_once)
{
    int state[2];
    const pid_t children[2] = {worker(-1), worker(-1)};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(waitpid(children[i], &state[i], 0), children[i]);
        ck_assert_int_eq(state[i], 0);
    }
    ck_assert_int_eq(count_answers(), ITEMS);
    assert_sound();
}
END_TEST

/* --- files that are no store ---------------------------------------------------- */

static void assert_no_store(tkp_status wanted, int32_t mode, const char *part)
{
    tkp__store *store = NULL;
    ck_assert_int_eq(tkp__store_open(&store, file, mode), wanted);
    ck_assert_ptr_null(store);
    ck_assert_msg(
        strstr(tkp_last_message(), part), "%s, wanted \"%s\" in it",
        tkp_last_message(), part);
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), file));
}

static void sql(const char *text)
{
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(file, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

START_TEST(open__not_a_store__refused_and_left_alone)
{
    size_t bytes;
    const char text[] = "question_id,text\n1,yes\nand so on, for a hundred "
                        "bytes and more, which is what a header has, at least";
    assert_no_store(TKP_ERR_IO, TKP__STORE_READ, "No such file");
    write_whole(file, text, sizeof(text));
    assert_no_store(TKP_ERR_FORMAT, TKP__STORE_WRITE, "not a database");
    uint8_t *after = read_whole(file, &bytes);
    ck_assert_uint_eq(bytes, sizeof(text));
    ck_assert_mem_eq(after, text, bytes);
    free(after);
    remove(file);
    sql("CREATE TABLE songs(name)");
    assert_no_store(TKP_ERR_FORMAT, TKP__STORE_WRITE, "another program");
    assert_no_store(TKP_ERR_FORMAT, TKP__STORE_READ, "another program");
}
END_TEST

START_TEST(open__schema_of_another_version__says_both)
{
    tkp__store_close(opened(TKP__STORE_WRITE));
    sql("PRAGMA user_version = 7");
    assert_no_store(
        TKP_ERR_UNSUPPORTED, TKP__STORE_WRITE,
        "version is 7, this program has");
    assert_no_store(
        TKP_ERR_UNSUPPORTED, TKP__STORE_READ, "version is 7, this program has");
}
END_TEST

START_TEST(open__damaged_page__fails_without_crashing)
{
    size_t bytes;
    work(-1);
    uint8_t *all = read_whole(file, &bytes);
    memset(all + 4096, 0x5a, bytes - 4096); /* all but the first page */
    write_whole(file, all, bytes);
    free(all);
    tkp__store *store = NULL;
    seen s = {0};
    tkp_status status = tkp__store_open(&store, file, TKP__STORE_READ);
    if (status == TKP_OK)
        status = tkp__store_each_run(store, see_run, &s);
    ck_assert_int_eq(status, TKP_ERR_FORMAT);
    tkp__store_close(store);
}
END_TEST

START_TEST(cells__damaged__no_number_comes_back)
{
    int32_t values[4];
    size_t at = 0;
    ck_assert_int_eq(tkp__store_cells_next(&at, "", 0, values, 4), -1);
    ck_assert_int_eq(tkp__store_cells_next(&at, "\x05", 1, values, 4), -2);
    at = 0;
    ck_assert_int_eq(tkp__store_cells_next(&at, "\x02\x01", 2, values, 4), -2);
    at = 0;
    ck_assert_int_eq(
        tkp__store_cells_next(
            &at, "\xff\xff\xff\xff\xff\xff\xff", 7, values, 4),
        -2);
    tkp__store_cells cells = {0};
    ck_assert_int_eq(
        tkp__store_cells_add(&cells, (int32_t[]){5, 4}, 2), TKP_ERR_DATA);
    tkp__store_cells_release(&cells);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eval/store");
    TCase *tests = tcase_create("store");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, put__read_back__the_same);
    tcase_add_test(tests, put__twice__the_first_stays);
    tcase_add_test(tests, kill__in_the_middle__what_was_reported_is_there);
    tcase_add_test(tests, put__two_processes_from_nothing__every_answer_once);
    tcase_add_test(tests, open__not_a_store__refused_and_left_alone);
    tcase_add_test(tests, open__schema_of_another_version__says_both);
    tcase_add_test(tests, open__damaged_page__fails_without_crashing);
    tcase_add_test(tests, cells__damaged__no_number_comes_back);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
