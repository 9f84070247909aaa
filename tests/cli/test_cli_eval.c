/* tokenprune eval: what it stores, however often and however rudely it was
 * stopped. The demo model answers its own questions. */
#include <fcntl.h>
#include <nettle/base64.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "cli_testing.h"

static char folder[PATH_MAX];
static char questions[PATH_MAX];
static char store[PATH_MAX + 64];

static void setup(void)
{
    const char *root = getenv("TKP_SOURCE_DIR");
    scratch_make(folder);
    snprintf(
        questions, sizeof(questions), "%s/examples/demo/questions.json",
        root ? root : "..");
    snprintf(store, sizeof(store), "%s/a.db", folder);
}

static void teardown(void)
{
    scratch_remove(folder);
}

/* Nine data sets, a question each; seven conditions. */
enum { ANSWERS = 9 * 7 };

#define STUDY(store_)                                                          \
    "eval", "-d", questions, "-s", store_, "--limit", "1", "--policy",         \
        "fastv", "--seeds", "2", "--at", "llm:1", "--backend", "cpu", "-q",    \
        NULL

/* Started and not waited for. */
static pid_t begin(const char *path)
{
    const char *const arguments[] = {"tokenprune", STUDY(path)};
    char program[PATH_MAX];
    program_path(program);
    const pid_t child = fork();
    if (child == 0) {
        const int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
        execv(program, (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    return child;
}

/* First column of the first row; -1 while there is no such table. */
static int64_t ask(const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s = NULL;
    int64_t value = -1;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK) {
        sqlite3_busy_timeout(db, 10000);
        if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK &&
            sqlite3_step(s) == SQLITE_ROW)
            value = sqlite3_column_int64(s, 0);
        sqlite3_finalize(s);
    }
    sqlite3_close(db);
    return value;
}

static int64_t answers(const char *path)
{
    return ask(path, "SELECT count(*) FROM answer");
}

static void wait_for_answers(const char *path, int64_t wanted)
{
    for (int i = 0; i < 3000 && answers(path) < wanted; i++)
        usleep(5000);
    ck_assert_int_ge(answers(path), wanted);
}

/* Everything that was stored but times, as one text; free() it. */
static char *contents(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_prepare_v2(
            db,
            "SELECT group_concat(line, char(10)) FROM (SELECT data.name || ' '"
            " || item.name || ' ' || condition || ' ' || seed || ' ' || text ||"
            " ' ' || value || ' ' || equiv_in || ' ' || hex(kept) AS line"
            " FROM answer JOIN item ON item.id = answer.item"
            " JOIN run ON run.id = answer.run JOIN data ON data.id = run.data"
            " ORDER BY line)",
            -1, &s, NULL),
        SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
    char *text = strdup((const char *)sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
    sqlite3_close(db);
    return text;
}

static void assert_same(const char *a, const char *b)
{
    char *x = contents(a), *y = contents(b);
    ck_assert_str_eq(x, y);
    free(x);
    free(y);
}

static void run_study(const char *path)
{
    spoken s = command(STUDY(path));
    ck_assert_msg(s.code == 0, "%s", s.err);
    ck_assert_int_eq(answers(path), ANSWERS);
    forget(&s);
}

START_TEST(eval__killed_twice__goes_on_to_the_same_end)
{
    char whole[PATH_MAX + 64];
    snprintf(whole, sizeof(whole), "%s/whole.db", folder);
    run_study(whole);
    for (int64_t wanted = 5; wanted < 40; wanted += 25) {
        const pid_t child = begin(store);
        int state;
        wait_for_answers(store, wanted);
        kill(child, SIGKILL);
        ck_assert_int_eq(waitpid(child, &state, 0), child);
        ck_assert_int_ge(answers(store), wanted);
        ck_assert_int_eq(
            ask(store, "SELECT count(*) FROM pragma_integrity_check"
                       " WHERE integrity_check = 'ok'"),
            1);
    }
    run_study(store);
    assert_same(store, whole);
    spoken again = command(STUDY(store));
    ck_assert_msg(
        strstr(again.out, "0 answers stored") &&
            strstr(again.out, ", 63 were there"),
        "%s", again.out);
    forget(&again);
}
END_TEST

START_TEST(eval__two_at_once__every_answer_once)
{
    char whole[PATH_MAX + 64];
    int state[2];
    snprintf(whole, sizeof(whole), "%s/whole.db", folder);
    const pid_t children[2] = {begin(store), begin(store)};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(waitpid(children[i], &state[i], 0), children[i]);
        ck_assert_int_eq(state[i], 0);
    }
    ck_assert_int_eq(answers(store), ANSWERS);
    run_study(whole);
    assert_same(store, whole);
}
END_TEST

START_TEST(eval__interrupted__ends_between_two_answers)
{
    const pid_t child = begin(store);
    int state;
    wait_for_answers(store, 3);
    kill(child, SIGINT);
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 130);
    ck_assert_int_lt(answers(store), ANSWERS);
}
END_TEST

START_TEST(eval__report_of_the_engine__stored_with_the_answer)
{
    run_study(store);
    /* A quarter of 144 tokens, cut behind the first of eight layers. */
    ck_assert_int_eq(
        ask(store, "SELECT count(*) FROM answer JOIN run ON run.id = run"
                   " WHERE condition = 'fastv' AND visual_after = 36"
                   " AND equiv_in = 49.5 AND macs < macs_unpruned"
                   " AND prefill > 0 AND decode >= 0"),
        9);
    ck_assert_int_eq(
        ask(store, "SELECT count(*) FROM answer JOIN run ON run.id = run"
                   " WHERE control = 'text-only' AND visual_before = 0"),
        9);
    ck_assert_int_eq(
        ask(store, "SELECT count(DISTINCT seed) FROM run"
                   " WHERE control = 'random'"),
        2);
}
END_TEST

START_TEST(eval__batches__the_same_answers_as_one_by_one)
{
    enum { TWICE = 9 * 2 * 5 };
    for (int i = 0; i < 2; i++) {
        spoken s = command(
            "eval", "-d", questions, "-s", store, "--limit", "2", "--seeds",
            "1", "--at", "llm:1", "--backend", "cpu", "-q", "--batch",
            i ? "2" : "1", NULL);
        ck_assert_msg(s.code == 0, "%s", s.err);
        forget(&s);
    }
    /* The batch is part of a run's identity: the answers stand side by side. */
    ck_assert_int_eq(answers(store), 2 * TWICE);
    ck_assert_int_eq(
        ask(store,
            "SELECT count(*) FROM answer a JOIN run x ON x.id = a.run"
            " JOIN run y ON y.data = x.data AND y.condition = x.condition"
            " JOIN answer b ON b.run = y.id AND b.item = a.item"
            " WHERE a.batch = 1 AND b.batch = 2 AND a.text = b.text"
            " AND a.kept IS b.kept"),
        TWICE);
}
END_TEST

START_TEST(eval__policy_without_a_place__left_out_and_named)
{
    spoken s = command(
        "eval", "-d", questions, "-s", store, "--limit", "1", "--policy",
        "fastv", "--seeds", "1", "--at", "projector", NULL);
    ck_assert_msg(s.code == 0, "%s", s.err);
    ck_assert_msg(
        strstr(s.err, "left out: fastv 1/4 projector: "), "%s", s.err);
    ck_assert_ptr_nonnull(strstr(s.out, "1 conditions left out"));
    forget(&s);
}
END_TEST

/* --- report ----------------------------------------------------------------------- */

static void assert_says(spoken s, const char *part)
{
    ck_assert_msg(s.code == 0, "%s", s.err);
    ck_assert_msg(strstr(s.out, part), "it says %s", s.out);
    forget(&s);
}

START_TEST(report__every_format__has_the_tables)
{
    char page[PATH_MAX + 64];
    size_t bytes;
    run_study(store);
    assert_says(command("report", "-s", store, NULL), "### Against random");
    assert_says(
        command("report", "-s", store, "--table", "costs", NULL),
        "| fastv | llm:1 | 1/4 | 36.0 | 49.5 | 40.");
    assert_says(
        command("report", "-s", store, "--format", "csv", NULL),
        "\nmethod,cut at,budget,");
    assert_says(
        command("report", "-s", store, "--format", "tex", NULL), "MACs \\%");
    snprintf(page, sizeof(page), "%s/page.html", folder);
    spoken s = command(
        "report", "-s", store, "--format", "html", "-o", page, "--charts",
        folder, NULL);
    ck_assert_msg(s.code == 0, "%s", s.err);
    forget(&s);
    char *html = (char *)read_whole(page, &bytes);
    ck_assert_ptr_nonnull(strstr(html, "src=\"data:image/svg+xml;base64,"));
    ck_assert_ptr_null(strstr(html, "http"));
    ck_assert_ptr_nonnull(strstr(html, "</html>"));
    free(html);
    snprintf(page, sizeof(page), "%s/score-llm-1.png", folder);
    free(read_whole(page, &bytes));
    ck_assert_uint_gt(bytes, 1000);
}
END_TEST

START_TEST(report__answers__a_line_each_in_a_file_a_run)
{
    char path[PATH_MAX + 64];
    json_error_t error;
    run_study(store);
    assert_says(
        command("report", "-s", store, "--answers", folder, NULL), "Accuracy");
    snprintf(path, sizeof(path), "%s/box-fastv-1_4-llm_1-0.jsonl", folder);
    json_t *line = json_load_file(path, JSON_DISABLE_EOF_CHECK, &error);
    ck_assert_msg(line, "%s", error.text);
    const char *said = json_string_value(json_object_get(line, "text"));
    ck_assert(said && said[0] == '[');
    ck_assert_ptr_nonnull(json_object_get(line, "question_id"));
    json_decref(line);
    snprintf(path, sizeof(path), "%s/box-random-1_4-llm_1-1.jsonl", folder);
    ck_assert_int_eq(access(path, R_OK), 0);
    assert_refused(
        command("report", "-s", store, "--answers", "/nowhere", NULL), 1,
        "/nowhere/");
}
END_TEST

/* The demo's questions on a card, asked by eval, exported, and scored as anybody
 * else's answers are. */
START_TEST(score__of_exported_answers__is_what_eval_says)
{
    static const char card[] =
        "name: demo\nreader: {json: questions.json}\n"
        "map: {id: _row, question: question, category: task, image: image,"
        " answers: answer}\nprompt: {llava: \"{question}\"}\n"
        "metric: gqa_vlmeval\n"
        "answers: {json: {id: question_id, text: text}}\n";
    char path[PATH_MAX + 64], root[PATH_MAX], said[PATH_MAX + 64];
    snprintf(path, sizeof(path), "%s/demo.yaml", folder);
    write_whole(path, card, strlen(card));
    snprintf(root, sizeof(root), "%s", questions);
    *strrchr(root, '/') = '\0';
    spoken s = command(
        "eval", "-d", path, "--data-root", root, "-s", store, "--limit", "9",
        "--seeds", "1", "-q", "--backend", "cpu", NULL);
    ck_assert_msg(s.code == 0, "%s", s.err);
    forget(&s);
    assert_says(
        command("report", "-s", store, "--answers", folder, NULL), "Accuracy");
    snprintf(said, sizeof(said), "%s/demo-random-1_4-llm_2-0.jsonl", folder);
    json_t *score = assert_json(
        command(
            "score", "-d", path, "--data-root", root, "-a", said, "--partial",
            "--json", NULL),
        "score");
    const json_t *figure = json_array_get(json_object_get(score, "figures"), 0);
    const int64_t right =
        ask(store, "SELECT sum(value) FROM answer JOIN run ON run.id = run"
                   " WHERE control = 'random'");
    ck_assert_int_eq(json_int_at(score, "answered"), 9);
    ck_assert_int_gt(right, 0);
    ck_assert_double_eq_tol(
        json_real_at(figure, "value"), 100 * (double)right / 9, 1e-6);
    json_decref(score);
}
END_TEST

START_TEST(report__nothing_to_tell__says_what_is_missing)
{
    assert_refused(command("report", NULL), 2, "--store is missing");
    assert_refused(
        command("report", "-s", store, "--table", "9", NULL), 2,
        "--table is '9'");
    assert_refused(command("report", "-s", store, NULL), 1, "No such file");
    assert_refused(
        command("report", "-s", questions, NULL), 1, "not a database");
    run_study(store);
    assert_refused(
        command("report", "-s", store, "--table", "1", NULL), 1,
        "none of them is in the store");
    assert_refused(
        command("report", "-s", store, "--model", "llava-13", NULL), 1,
        "has no answers of a model");
    assert_refused(
        command("report", "-s", store, "-o", "/nowhere/a.html", NULL), 1,
        "/nowhere/a.html");
}
END_TEST

/* --- data sets on cards ------------------------------------------------------------ */

/* A table of VLMEvalKit's form: the picture once, three questions about it. */
static void write_table(char card[PATH_MAX + 64])
{
    char path[PATH_MAX + 64];
    const char *root = getenv("TKP_SOURCE_DIR");
    snprintf(
        path, sizeof(path), "%s/examples/demo/images/scene_00.png",
        root ? root : "..");
    FILE *picture = fopen(path, "rb");
    ck_assert_ptr_nonnull(picture);
    static uint8_t bytes[1 << 18];
    static char text[BASE64_ENCODE_RAW_LENGTH(sizeof(bytes))];
    const size_t count = fread(bytes, 1, sizeof(bytes), picture);
    fclose(picture);
    ck_assert(count > 0 && count < sizeof(bytes));
    base64_encode_raw(text, count, bytes);

    snprintf(path, sizeof(path), "%s/demo.tsv", folder);
    FILE *table = fopen(path, "wb");
    ck_assert_ptr_nonnull(table);
    fprintf(
        table,
        "index\timage\tquestion\tanswer\n"
        "7\t%.*s\tWhat color is the diamond?\tpurple\n"
        "8\t7\tWhat color is the square?\tred\n"
        "9\t7\tIs there a red square in the image?\tno\n",
        (int)BASE64_ENCODE_RAW_LENGTH(count), text);
    fclose(table);

    static const char yaml[] =
        "name: demo\nreader: {tsv: demo.tsv}\n"
        "map: {id: index, question: question, answers: answer}\n"
        "prompt: {llava: \"{question}\\nAnswer the question using a single "
        "word or phrase.\"}\nmetric: gqa_llava\n";
    snprintf(card, PATH_MAX + 64, "%s/demo.yaml", folder);
    write_whole(card, yaml, sizeof(yaml) - 1);
}

/* What the unpruned model said, as a file that anyone could have written. */
static void write_answers(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(
        sqlite3_open_v2(store, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_prepare_v2(
            db,
            "SELECT item.name, answer.text FROM answer JOIN item ON "
            "item.id = item JOIN run ON run.id = run WHERE "
            "condition = 'vanilla'",
            -1, &s, NULL),
        SQLITE_OK);
    while (sqlite3_step(s) == SQLITE_ROW) {
        json_t *line = json_pack(
            "{s:s, s:s}", "id", sqlite3_column_text(s, 0), "answer",
            sqlite3_column_text(s, 1));
        json_dumpf(line, file, JSON_COMPACT);
        fputc('\n', file);
        json_decref(line);
    }
    sqlite3_finalize(s);
    sqlite3_close(db);
    fclose(file);
}

START_TEST(eval__table_on_a_card__score_of_its_answers_is_the_same)
{
    char card[PATH_MAX + 64], said[PATH_MAX + 64];
    write_table(card);
    spoken s = command(
        "eval", "-d", card, "--data-root", folder, "-s", store, "--backend",
        "cpu", "--seeds", "1", "--at", "llm:1", "-q", NULL);
    ck_assert_msg(s.code == 0, "%s", s.err);
    forget(&s);
    const int64_t right =
        ask(store,
            "SELECT sum(value) FROM answer JOIN run ON run.id = run WHERE "
            "condition = 'vanilla'");
    ck_assert_int_eq(
        ask(store, "SELECT count(*) FROM answer JOIN run ON run.id = run "
                   "WHERE condition = 'vanilla' AND visual_before = 144"),
        3);
    ck_assert_int_ge(right, 1); /* it sees the picture that the table holds */
    snprintf(said, sizeof(said), "%s/said.jsonl", folder);
    write_answers(said);
    json_t *json = assert_json(
        command(
            "score", "-d", card, "--data-root", folder, "-a", said, "--json",
            NULL),
        "score");
    const json_t *first = json_array_get(json_object_get(json, "figures"), 0);
    ck_assert_double_eq_tol(
        json_real_at(first, "value"), 100.0 * (double)right / 3, 1e-6);
    json_decref(json);
    assert_refused(
        command("eval", "-d", "llava-bench", "-s", store, NULL), 1,
        "questions.jsonl: No such file");
    assert_refused(
        command(
            "eval", "-d", card, "--data-root", folder, "-s", store, "--prompt",
            "qwen2vl", NULL),
        1, "the card has no prompt for qwen2vl");
}
END_TEST

/* --- what it refuses -------------------------------------------------------------- */

static const char *put(const char *text)
{
    static char path[PATH_MAX + 64];
    snprintf(path, sizeof(path), "%s/q.json", folder);
    write_whole(path, text, strlen(text));
    return path;
}

START_TEST(eval__bad_command_line__one_line)
{
    assert_refused(command("eval", NULL), 2, "--data is missing");
    assert_refused(command("eval", "-d", questions, NULL), 2, "--store is");
    assert_refused(
        command("eval", "-d", questions, "-s", store, "--at", "llm:1,x", NULL),
        2, "--at is 'x'");
    assert_refused(
        command("eval", "-d", questions, "-s", store, "--keep", "3,-1", NULL),
        2, "--keep is '-1'");
    assert_refused(
        command("eval", "-d", "a,,b", "-s", store, NULL), 2, "an empty name");
    assert_refused(
        command("eval", "-d", questions, "-s", store, "--batch", "65", NULL), 2,
        "--batch is '65'");
    assert_refused(
        command(
            "eval", "-d", questions, "-s", store, "--policy", "fastw", NULL),
        1, "fastw");
}
END_TEST

START_TEST(eval__bad_questions__file_and_place_are_named)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"[", "q.json: line 1"},
        {"{}", "is no list of questions"},
        {"[]", "is no list of questions"},
        {"[7]", "question 1: is no object"},
        {"[{\"question\": \"?\"}]", "question 1: `answer` is missing"},
        {"[{\"question\": \"?\", \"answer\": \"a\", \"image\": 3}]",
         "question 1: a picture is no text"},
        {"[{\"question\": \"?\", \"answer\": \"a\", \"metric\": \"best\"}]",
         "metric is 'best'"},
        {"[{\"question\": \"?\", \"answer\": [\"a\", 4]}]",
         "answer 2 is no text"},
        {"[{\"question\": \"?\", \"answer\": \"a\", \"image\": \"no.png\"}]",
         "no.png"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_refused(
            command("eval", "-q", "-d", put(cases[i].text), "-s", store, NULL),
            1, cases[i].says);
    assert_refused(
        command("eval", "-d", "nowhere.json", "-s", store, NULL), 1,
        "nowhere.json");
    assert_refused(
        command("eval", "-d", questions, "-s", questions, NULL), 1,
        "not a database");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli/eval");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, eval__killed_twice__goes_on_to_the_same_end);
    tcase_add_test(all, eval__two_at_once__every_answer_once);
    tcase_add_test(all, eval__interrupted__ends_between_two_answers);
    tcase_add_test(all, eval__report_of_the_engine__stored_with_the_answer);
    tcase_add_test(all, eval__batches__the_same_answers_as_one_by_one);
    tcase_add_test(all, eval__policy_without_a_place__left_out_and_named);
    tcase_add_test(
        all, eval__table_on_a_card__score_of_its_answers_is_the_same);
    tcase_add_test(all, eval__bad_command_line__one_line);
    tcase_add_test(all, eval__bad_questions__file_and_place_are_named);
    tcase_add_test(all, report__every_format__has_the_tables);
    tcase_add_test(all, report__answers__a_line_each_in_a_file_a_run);
    tcase_add_test(all, score__of_exported_answers__is_what_eval_says);
    tcase_add_test(all, report__nothing_to_tell__says_what_is_missing);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
