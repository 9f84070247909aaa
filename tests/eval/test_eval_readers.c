/*
 * Files that are as they should be, and files that are not: what is wrong is
 * named with its file, row and field, and nothing is guessed.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "eval/answers.h"
#include "eval/eval_testing.h"
#include "eval/expr.h"

static char folder[64];

static void make_folder(void)
{
    strcpy(folder, "/tmp/tokenprune-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        char path[400];
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(folder);
}

static void write_bytes(const char *name, const void *data, size_t bytes)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, bytes, file), bytes);
    ck_assert_int_eq(fclose(file), 0);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

static tkp_status
read_tsv(tkp__eval_records *out, const char *data, size_t bytes)
{
    write_bytes("t.tsv", data, bytes);
    return tkp__eval_records_read(
        out, &(tkp__eval_source){.tsv = "t.tsv"}, folder);
}

static const char *
text_at(const tkp__eval_records *r, int64_t row, const char *name)
{
    return json_string_value(json_object_get(r->records[row].fields, name));
}

static void
assert_refused_(tkp_status met, tkp_status wanted, const char *part, int line)
{
    const char *message = tkp_last_message();
    ck_assert_msg(
        met == wanted, "line %d: status %d, '%s'", line, met, message);
    ck_assert_msg(
        strstr(message, part) != NULL, "line %d: '%s' lacks '%s'", line,
        message, part);
    ck_assert_msg(!strchr(message, '\n'), "line %d: several lines", line);
}
#define assert_refused(met_, wanted_, part_)                                   \
    assert_refused_((met_), (wanted_), (part_), __LINE__)

/* --- tables ---------------------------------------------------------------------- */

START_TEST(tsv__quotes_tabs_and_newlines__in_fields)
{
    static const char text[] = "\xef\xbb\xbfIndex\tQuestion\tA\tNote\r\n"
                               "1\t\"a\tb\nc \"\"d\"\"\"\t x \t\r\n"
                               "\r\n"
                               "2\t5\" screen\t\"\"\t\"\"\"\"";
    tkp__eval_records r;
    ck_assert_int_eq(read_tsv(&r, text, sizeof(text) - 1), TKP_OK);
    ck_assert_int_eq(r.count, 2);
    ck_assert_str_eq(text_at(&r, 0, "index"), "1");
    ck_assert_str_eq(text_at(&r, 0, "question"), "a\tb\nc \"d\"");
    ck_assert_str_eq(text_at(&r, 0, "A"), " x ");
    ck_assert_ptr_null(text_at(&r, 0, "note"));
    ck_assert_str_eq(text_at(&r, 0, "_file"), "t");
    ck_assert_str_eq(text_at(&r, 1, "question"), "5\" screen");
    ck_assert_ptr_null(text_at(&r, 1, "A"));
    ck_assert_str_eq(text_at(&r, 1, "note"), "\"");
    ck_assert_int_eq(r.records[1].row, 3);
    tkp__eval_records_release(&r);
}
END_TEST

START_TEST(tsv__images__stay_in_the_file)
{
    static const char text[] =
        "index\timage\n1\tAAAA\n2\t\"BB\nBB\"\n3\t\"[\"\"CC\"\"]\"\n4\t\n";
    tkp__eval_records r;
    ck_assert_int_eq(read_tsv(&r, text, sizeof(text) - 1), TKP_OK);
    ck_assert_int_eq(r.count, 4);
    const char *begin = r.maps[0].data;
    const char *at = r.records[0].image.text;
    ck_assert_uint_eq(r.records[0].image.bytes, 4);
    ck_assert(at > begin && at < begin + r.maps[0].bytes);
    ck_assert_mem_eq(at, "AAAA", 4);
    ck_assert_mem_eq(r.records[1].image.text, "BB\nBB", 5);
    ck_assert_mem_eq(r.records[2].image.text, "[\"CC\"]", 6);
    ck_assert_ptr_nonnull(r.records[2].owned);
    ck_assert_ptr_null(r.records[3].image.text);
    ck_assert_ptr_null(text_at(&r, 0, "image"));
    tkp__eval_records_release(&r);
}
END_TEST

START_TEST(tsv__cell_of_50_megabytes__read_like_any_other)
{
    const size_t big = 50u << 20;
    char *text = malloc(big + 64);
    ck_assert_ptr_nonnull(text);
    size_t used = (size_t)sprintf(text, "index\timage\tquestion\n1\t");
    memset(text + used, 'A', big);
    used += big;
    used += (size_t)sprintf(text + used, "\twhat?\n");
    tkp__eval_records r;
    ck_assert_int_eq(read_tsv(&r, text, used), TKP_OK);
    free(text);
    ck_assert_uint_eq(r.records[0].image.bytes, big);
    ck_assert_str_eq(text_at(&r, 0, "question"), "what?");
    tkp__eval_records_release(&r);
}
END_TEST

START_TEST(tsv__broken__refused_with_row_and_column)
{
    static const struct {
        const char *text;
        size_t bytes;
        const char *message;
    } cases[] = {
#define CASE(text_, message_) {text_, sizeof(text_) - 1, message_}
        CASE("", "t.tsv: nothing in it"),
        CASE("a\ta\n", "t.tsv:1: two columns are called 'a'"),
        CASE("A\ta\n1\n", "t.tsv:2: the row has 1 fields, wanted 2"),
        CASE("a\tb\n1\t2\t3\n", "t.tsv:2: column number: more fields"),
        CASE("a\tb\n1\t\"2\n", "t.tsv:2: column 'b': the file ends within"),
        CASE("a\tb\n1\t\"2\"x\n3\t4\n", "column 'b'"),
        CASE("a\tb\n1\t\xff\n", "t.tsv:2: column 'b': not UTF-8"),
        CASE("a\tb\n1\t2\0\n", "t.tsv:2: column 'b': a NUL"),
#undef CASE
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkp__eval_records r;
        assert_refused(
            read_tsv(&r, cases[i].text, cases[i].bytes), TKP_ERR_FORMAT,
            cases[i].message);
    }
}
END_TEST

START_TEST(tsv__named_columns_and_several_files__one_list)
{
    static const char *const columns[] = {"file", "question", NULL};
    const tkp__eval_source source = {
        .tsv = "[ab].txt", .columns = columns, .plain = true};
    tkp__eval_records r;
    write_text("a.txt", "1.jpg\tIs it \"x\n");
    write_text("b.txt", "2.jpg\t\"y\" or not\n");
    ck_assert_int_eq(tkp__eval_records_read(&r, &source, folder), TKP_OK);
    ck_assert_int_eq(r.count, 2);
    ck_assert_str_eq(text_at(&r, 0, "question"), "Is it \"x");
    ck_assert_str_eq(text_at(&r, 1, "question"), "\"y\" or not");
    ck_assert_str_eq(text_at(&r, 1, "_file"), "b");
    tkp__eval_records_release(&r);
}
END_TEST

/* --- JSON ------------------------------------------------------------------------- */

static tkp_status
read_json(tkp__eval_records *out, const char *text, const char *path)
{
    write_text("j.json", text);
    return tkp__eval_records_read(
        out, &(tkp__eval_source){.json = "j.json", .path = path}, folder);
}

START_TEST(json__lines_array_object__records_alike)
{
    static const struct {
        const char *text, *path;
    } cases[] = {
        {"{\"a\": \"1\"}\n\n{\"a\": \"2\"}\n", NULL},
        {"[{\"a\": \"1\"}, {\"a\": \"2\"}]", NULL},
        {"{\"x\": {\"a\": \"1\"}, \"y\": {\"a\": \"2\"}}", NULL},
        {"{\"n\": 3, \"data\": [{\"a\": \"1\"}, {\"a\": \"2\"}]}", "data"},
        {"\xef\xbb\xbf{\"a\": \"1\"}{\"a\": \"2\"}", NULL}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkp__eval_records r;
        ck_assert_msg(
            read_json(&r, cases[i].text, cases[i].path) == TKP_OK, "%zu: %s", i,
            tkp_last_message());
        ck_assert_int_eq(r.count, 2);
        ck_assert_str_eq(text_at(&r, 0, "a"), "1");
        ck_assert_str_eq(text_at(&r, 1, "a"), "2");
        if (i == 2)
            ck_assert_str_eq(text_at(&r, 1, "_key"), "y");
        tkp__eval_records_release(&r);
    }
}
END_TEST

START_TEST(json__broken__refused_with_line)
{
    static const struct {
        const char *text, *path, *message;
    } cases[] = {
        {"", NULL, "j.json: nothing in it"},
        {"{\"a\": 1}\n{\"a\": \n", NULL, "j.json:3: "},
        {"[1, 2]", NULL, "j.json:1: the record is a number"},
        {"{\"a\": 1, \"a\": 2}", NULL, "j.json:1: duplicate"},
        {"{\"a\": 1}", "data", "there is no 'data'"},
        {"{\"data\": []} {}", "data", "another value"},
        {"{\"a\": \"\xff\"}", NULL, "j.json:1: "}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkp__eval_records r;
        assert_refused(
            read_json(&r, cases[i].text, cases[i].path), TKP_ERR_FORMAT,
            cases[i].message);
    }
    tkp__eval_records r;
    assert_refused(
        tkp__eval_records_read(
            &r, &(tkp__eval_source){.json = "no/such.json"}, folder),
        TKP_ERR_IO, "no/such.json: No such file");
    assert_refused(
        tkp__eval_records_read(
            &r, &(tkp__eval_source){.json = "no*.json"}, folder),
        TKP_ERR_IO, "there is no such file");
}
END_TEST

START_TEST(python_list__both_quotes_and_escapes__as_python_reads_it)
{
    static const char text[] = " ['a', \"b's\", 'c\\'\\n', ''] ";
    json_t *list = tkp__eval_python_list(text, sizeof(text) - 1);
    ck_assert_uint_eq(json_array_size(list), 4);
    ck_assert_str_eq(json_string_value(json_array_get(list, 1)), "b's");
    ck_assert_str_eq(json_string_value(json_array_get(list, 2)), "c'\n");
    json_decref(list);
    static const char *const none[] = {
        "", "a", "[", "['a'", "['a' 'b']", "[1]", "['a'] x", "['a", "['a\\"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        ck_assert_ptr_null(tkp__eval_python_list(none[i], strlen(none[i])));
}
END_TEST

/* --- expressions --------------------------------------------------------------------- */

static void assert_text_(const char *expr, const char *wanted, int line)
{
    json_t *fields = json_loads(
        "{\"a\": \"Cat \", \"n\": 7, \"d\": {\"e\": [\"x\", \"y\"]},"
        " \"big\": 2000241, \"p\": \"x/y.z.jpg\", \"nan\": \"NaN\","
        " \"l\": [{\"w\": \"1\"}, {\"w\": \"2\"}], \"z\": null,"
        " \"B\": \"dog\", \"A\": \"cat\", \"C\": \"none\","
        " \"lines\": \"one\\ntwo\"}",
        0, NULL);
    const tkp__eval_scope scope = {{fields, NULL, NULL}};
    char *met = NULL;
    const tkp_status status = tkp__eval_text_of(&met, expr, &scope);
    json_decref(fields);
    ck_assert_msg(
        status == TKP_OK, "line %d: %s: %s", line, expr, tkp_last_message());
    ck_assert_msg(
        wanted ? met && !strcmp(met, wanted) : !met,
        "line %d: %s gives '%s', wanted '%s'", line, expr, met ? met : "-",
        wanted ? wanted : "-");
    tkp__free(met);
}
#define assert_text(expr_, wanted_) assert_text_((expr_), (wanted_), __LINE__)

START_TEST(expr__each_function__as_documented)
{
    assert_text("a + '|' + n", "Cat |7");
    assert_text("a + missing", NULL);
    assert_text("d.e[1]", "y");
    assert_text("d.e[2]", NULL);
    assert_text("z", NULL);
    assert_text("lower(strip(a))", "cat");
    assert_text("squash(' a  b\\n')", "a b");
    assert_text("line(lines, 2)", "two");
    assert_text("line(lines, 3)", NULL);
    assert_text("stem(p)", "y.z");
    assert_text("before(p, '/')", "x");
    assert_text("after(p, '.')", "jpg");
    assert_text("after(p, '!')", "x/y.z.jpg");
    assert_text("cut(p, '.jpg')", "x/y.z");
    assert_text("replace(p, '.', '\\'')", "x/y'z'jpg");
    assert_text("given(nan)", NULL);
    assert_text("given(a)", "Cat ");
    assert_text("first(missing, given(nan), n)", "7");
    assert_text("opt('<', missing, '>')", "");
    assert_text("opt('<', n, '>')", "<7>");
    assert_text("div(big, 1000000) + '/' + mod(big, 1000000)", "2/241");
    assert_text("letter(1)", "B");
    assert_text("pad(n, 3)", "007");
}
END_TEST

START_TEST(template__braces__filled_in_or_missing)
{
    assert_text("x{n}y{{z}} {'}'}", "x7y{z} }");
    assert_text("{missing}x", NULL);
}
END_TEST

START_TEST(expr__malformed__refused_with_the_place)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a +", "at character 4"},
        {"'a", "a closing '"},
        {"lowr(a)", "did you mean lower"},
        {"lower()", "lower takes 1 to 1"},
        {"[a, b", "',' or ']'"},
        {"a b", "'+' or the end"},
        {"a.", "a name behind '.'"},
        {"a[x]", "[number]"},
        {"'\\x'", "\\n, \\t"},
        {"{a", "a '}' behind '{'"},
        {"x{a}}", "'}' alone"},
        {"9999999999999999999", "10^18"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text;
        assert_refused(
            tkp__eval_text_of(&text, cases[i].text, NULL), TKP_ERR_PARSE,
            cases[i].message);
    }
    char deep[200];
    memset(deep, '[', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    json_t *value;
    assert_refused(
        tkp__eval_expr(&value, deep, NULL), TKP_ERR_PARSE, "less depth");
}
END_TEST

/* --- cards ------------------------------------------------------------------------------ */

#define CARD_                                                                  \
    "name: c\nreader: {json: q.jsonl}\n"                                       \
    "map: {id: id, question: q}\nprompt: {llava: '{q}'}\nmetric: gqa_llava\n"

START_TEST(card__built_in__all_can_be_read)
{
    const char *name, *text;
    int32_t n = 0;
    for (; tkp__eval_card_at(n, &name, &text); n++) {
        tkp__eval_card card;
        ck_assert_msg(
            tkp__eval_card_load(&card, name) == TKP_OK, "%s",
            tkp_last_message());
        ck_assert_str_eq(card.name, name);
        ck_assert_ptr_nonnull(card.about);
        ck_assert_msg(
            tkp__eval_card_prompt(&card, "llava") != NULL, "%s", name);
        ck_assert_msg(
            tkp__eval_card_prompt(&card, "qwen2vl") != NULL, "%s", name);
        tkp__eval_card_release(&card);
    }
    ck_assert_int_ge(n, 20);
}
END_TEST

START_TEST(card__wrong__refused_with_line_and_key)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "c.yaml: nothing in it"},
        {"[1]", "the card is 'a list', wanted a map"},
        {CARD_ "nam: x\n", "c.yaml:6:1: unknown key 'nam' in the card, did you "
                           "mean 'name'?"},
        {CARD_ "name: d\n", "c.yaml:6:1: 'name' stands twice"},
        {"name: c\n", "there is no map: id"},
        {CARD_ "expect: {questions: 0}\n", "questions is '0', wanted a whole"},
        {CARD_ "join: {json: x}\n", "c.yaml: join lacks on or key"},
        {CARD_ "join: {json: x, on: 'lower(', key: a}\n",
         "c.yaml:6:21: on: in 'lower('"},
        {"metric: {name: box_iou, scale: mile}\n",
         "scale is 'mile', wanted one of auto, unit"},
        {"metric: yesno\n", "metric is 'yesno'"},
        {"name: c\nreader: {json: a, tsv: b}\nmap: {id: i, question: q}\n"
         "prompt: {x: y}\nmetric: gqa_llava\n",
         "reader has both tsv and json"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkp__eval_card card;
        ck_assert_int_ne(
            tkp__eval_card_parse(
                &card, cases[i].text, strlen(cases[i].text), "c.yaml"),
            TKP_OK);
        ck_assert_msg(
            strstr(tkp_last_message(), cases[i].message) != NULL,
            "'%s' lacks '%s'", tkp_last_message(), cases[i].message);
    }
    tkp__eval_card card;
    ck_assert_int_eq(tkp__eval_card_load(&card, "popes"), TKP_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "did you mean 'pope'"));
}
END_TEST

/* --- data sets ---------------------------------------------------------------------------- */

static tkp_status read_data(
    tkp__eval_set *set,
    tkp__eval_data_counts *counts,
    const char *card_text,
    const tkp__eval_data_options *options)
{
    tkp__eval_card card;
    ck_assert_msg(
        tkp__eval_card_parse(&card, card_text, strlen(card_text), "c.yaml") ==
            TKP_OK,
        "%s", tkp_last_message());
    const tkp__eval_data_options plain = {.root = folder};
    const tkp_status status =
        tkp__eval_data_read(set, counts, &card, options ? options : &plain);
    tkp__eval_card_release(&card);
    return status;
}

START_TEST(data__join__labels_of_a_second_file)
{
    tkp__eval_set set;
    tkp__eval_data_counts counts;
    write_text(
        "q.jsonl", "{\"id\": 1, \"q\": \"Is it?\"}\n"
                   "{\"id\": 2, \"q\": \"Was it?\"}\n");
    write_text(
        "l.json", "[{\"i\": 1, \"a\": [\"x\", \"y\"]},"
                  " {\"i\": 3, \"a\": \"z\"}, {\"i\": 3, \"a\": \"z\"}]");
    ck_assert_int_eq(
        read_data(
            &set, &counts,
            "name: c\nreader: {json: q.jsonl}\n"
            "join: {json: l.json, on: i, key: id}\n"
            "map: {id: id, question: q, answers: join.a, image: '{id}.jpg'}\n"
            "prompt: {llava: '{question} Say.'}\nmetric: gqa_llava\n",
            NULL),
        TKP_OK);
    ck_assert_int_eq(set.n_items, 2);
    ck_assert_int_eq(counts.unjoined, 1);
    ck_assert_int_eq(counts.joined_rows, 3);
    ck_assert_int_eq(counts.joined_twice, 1);
    ck_assert_int_eq(set.items[0].n_answers, 2);
    ck_assert_str_eq(set.items[0].text, "Is it? Say.");
    ck_assert_int_eq(set.items[1].n_answers, 0);
    ck_assert_ptr_nonnull(strstr(set.items[1].images[0].path, "/2.jpg"));
    ck_assert_uint_eq(strlen(set.hash), 64);
    tkp__eval_set_release(&set);
}
END_TEST

#define TABLE_                                                                 \
    "name: t\nreader: {tsv: t.tsv}\nmap: {id: index, question: question, "     \
    "hint: given(hint), answers: answer, options: lettered(), "                \
    "group: 'mod(index, 1000000)', rotation: 'div(index, 1000000)'}\n"         \
    "prompt: {llava: \"{opt('', hint, '\\\\n')}{question}\\n{option_lines}\"}" \
    "\nmetric: mmbench_circular\n"

/* 88 characters: more than another row's number could have. */
#define PICTURE_                                                               \
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNiAAAABgAD"     \
    "NjdqAAAAAABJRU5ErkI="

START_TEST(data__table_of_mmbench__hints_options_rotations_pictures)
{
    tkp__eval_set set;
    unsigned char *bytes;
    size_t count;
    write_text(
        "t.tsv", "index\timage\tquestion\thint\tA\tB\tC\tanswer\n"
                 "241\t" PICTURE_ "\tWhat?\tnan\tcat\tdog\t\tA\n"
                 "1000241\t241\tWhat?\tLook.\tdog\tcat\tNone\tB\n"
                 "7\t['" PICTURE_ "', '" PICTURE_ "']\tWho?\t\tx\ty\tz\tC\n");
    ck_assert_msg(
        read_data(&set, NULL, TABLE_, NULL) == TKP_OK, "%s",
        tkp_last_message());
    ck_assert_int_eq(set.n_items, 3);
    ck_assert_str_eq(set.items[0].text, "What?\nA. cat\nB. dog");
    ck_assert_str_eq(set.items[1].text, "Look.\nWhat?\nA. dog\nB. cat");
    ck_assert_str_eq(set.items[1].group, "241");
    ck_assert_int_eq(set.items[1].rotation, 1);
    ck_assert_int_eq(set.items[1].n_options, 2);
    ck_assert_int_eq(set.items[2].n_images, 2);
    for (int i = 0; i < 3; i++) {
        ck_assert_msg(
            tkp__eval_image_bytes(&bytes, &count, &set.items[i].images[0]) ==
                TKP_OK,
            "%s", tkp_last_message());
        ck_assert_mem_eq(bytes, "\x89PNG", 4);
        tkp__free(bytes);
    }
    tkp__eval_set_release(&set);
}
END_TEST

START_TEST(data__bad_rows__refused_with_file_and_row)
{
    tkp__eval_set set;
    unsigned char *bytes;
    size_t count;
    write_text("t.tsv", "index\tquestion\n1\tWhat?\n1\tWho?\n");
    assert_refused(
        read_data(&set, NULL, TABLE_, NULL), TKP_ERR_DATA,
        "t.tsv:2: something that the prompt wants is missing");
    write_text("t.tsv", "index\tquestion\tA\n1\tWhat?\tx\n1\tWho?\ty\n");
    assert_refused(
        read_data(&set, NULL, TABLE_, NULL), TKP_ERR_DATA,
        "t.tsv:3: id '1' is that of row 2 too");
    write_text("t.tsv", "index\tquestion\tA\nx\tWhat?\tx\n");
    assert_refused(
        read_data(&set, NULL, TABLE_, NULL), TKP_ERR_DATA,
        "t.tsv:2: group: a number is 'x'");
    write_text("t.tsv", "index\timage\tquestion\tA\n1\t99\tWhat?\tx\n");
    assert_refused(
        read_data(&set, NULL, TABLE_, NULL), TKP_ERR_DATA,
        "question '1': image is '99', wanted base64 or the index");
    /* Cut off: found when the picture is wanted, not before. */
    write_text(
        "t.tsv", "index\timage\tquestion\tA\n1\t" PICTURE_ "xx\tWhat?\tx\n"
                 "2\t*" PICTURE_ "\tWhat?\tx\n");
    ck_assert_int_eq(read_data(&set, NULL, TABLE_, NULL), TKP_OK);
    assert_refused(
        tkp__eval_image_bytes(&bytes, &count, &set.items[0].images[0]),
        TKP_ERR_FORMAT, "base64");
    assert_refused(
        tkp__eval_image_bytes(&bytes, &count, &set.items[1].images[0]),
        TKP_ERR_FORMAT, "not base64");
    tkp__eval_set_release(&set);
}
END_TEST

START_TEST(data__shuffled_pictures__needle_where_it_was_put)
{
    tkp__eval_data_options options = {.root = folder, .seed = 5};
    static const char card[] =
        "name: v\nreader: {json: q.jsonl}\nmap: {id: _row, question: q, "
        "images: 'both(pos, neg)', shuffle: true}\n"
        "prompt: {llava: '{q}'}\nmetric: yesno_vh\n";
    tkp__eval_set set;
    char first[2][64];
    write_text(
        "q.jsonl",
        "{\"q\": \"?\", \"pos\": [\"p\"], \"neg\": [\"1\", \"2\", \"3\", "
        "\"4\", \"5\", \"6\", \"7\", \"8\", \"9\"]}\n");
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(read_data(&set, NULL, card, &options), TKP_OK);
        ck_assert_int_eq(set.items[0].n_images, 10);
        snprintf(first[i], sizeof(first[i]), "%s", set.items[0].images[0].path);
        tkp__eval_set_release(&set);
    }
    ck_assert_str_eq(first[0], first[1]);
    options.needle = 1 + 4;
    options.max_images = 5;
    ck_assert_int_eq(read_data(&set, NULL, card, &options), TKP_OK);
    ck_assert_int_eq(set.items[0].n_images, 5);
    ck_assert_ptr_nonnull(strstr(set.items[0].images[4].path, "/p"));
    tkp__eval_set_release(&set);
}
END_TEST

START_TEST(set_limit__groups_and_strata__whole_and_in_proportion)
{
    tkp__eval_set set = {0};
    int per_category[2] = {0, 0};
    for (int i = 0; i < 200; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        tkp__eval_item item = new_item(text, "a");
        snprintf(text, sizeof(text), "g%d", i / 2);
        set_text(&item.group, text);
        set_text(&item.category, i < 150 ? "x" : "y");
        ck_assert_int_eq(tkp__eval_set_add(&set, &item), TKP_OK);
    }
    ck_assert_int_eq(tkp__eval_set_limit(&set, 40, 3), TKP_OK);
    ck_assert_int_eq(set.n_items, 40);
    for (int i = 0; i < 40; i += 2) {
        ck_assert_str_eq(set.items[i].group, set.items[i + 1].group);
        per_category[set.items[i].category[0] == 'y'] += 2;
    }
    ck_assert_int_eq(per_category[0], 30);
    ck_assert_int_eq(per_category[1], 10);
    ck_assert_str_ne(set.items[0].id, "0"); /* not the first ones: by seed 3 */
    tkp__eval_set_release(&set);
}
END_TEST

/* --- answers -------------------------------------------------------------------------------- */

START_TEST(answers__forms__ids_to_texts)
{
    static const char text[] =
        CARD_ "answers:\n  json: {id: question_id, text: text}\n"
              "  txt: {columns: [file, q, p], quotes: false, "
              "id: \"_file + '/' + file\", text: p}\n";
    char path[128];
    tkp__eval_card card;
    json_t *answers;
    ck_assert_int_eq(
        tkp__eval_card_parse(&card, text, sizeof(text) - 1, "c.yaml"), TKP_OK);

    snprintf(path, sizeof(path), "%s/a.jsonl", folder);
    write_text(
        "a.jsonl", "{\"question_id\": 4, \"text\": \"Yes\"}\n"
                   "{\"question_id\": \"5\", \"text\": \"No\"}\n");
    ck_assert_int_eq(tkp__eval_answers_read(&answers, &card, path), TKP_OK);
    ck_assert_str_eq(json_string_value(json_object_get(answers, "4")), "Yes");
    ck_assert_str_eq(json_string_value(json_object_get(answers, "5")), "No");
    json_decref(answers);

    write_text(
        "a.jsonl", "{\"question_id\": 4, \"text\": \"Yes\"}\n"
                   "{\"question_id\": \"4\", \"text\": \"No\"}\n");
    assert_refused(
        tkp__eval_answers_read(&answers, &card, path), TKP_ERR_DATA,
        "a.jsonl:2: question '4' is answered twice");

    snprintf(path, sizeof(path), "%s/p.tsv", folder);
    write_text("p.tsv", "id\tprediction\n1\tA\n2\t\n");
    ck_assert_int_eq(tkp__eval_answers_read(&answers, &card, path), TKP_OK);
    ck_assert_str_eq(json_string_value(json_object_get(answers, "2")), "");
    json_decref(answers);

    write_text("OCR.txt", "1.jpg\tWhat?\tYes\n");
    ck_assert_int_eq(tkp__eval_answers_read(&answers, &card, folder), TKP_OK);
    ck_assert_str_eq(
        json_string_value(json_object_get(answers, "OCR/1.jpg")), "Yes");
    json_decref(answers);
    tkp__eval_card_release(&card);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eval/readers");

    TCase *tables = tcase_create("tables");
    tcase_add_checked_fixture(tables, make_folder, remove_folder);
    tcase_add_test(tables, tsv__quotes_tabs_and_newlines__in_fields);
    tcase_add_test(tables, tsv__images__stay_in_the_file);
    tcase_add_test(tables, tsv__cell_of_50_megabytes__read_like_any_other);
    tcase_add_test(tables, tsv__broken__refused_with_row_and_column);
    tcase_add_test(tables, tsv__named_columns_and_several_files__one_list);
    suite_add_tcase(suite, tables);

    TCase *json = tcase_create("json");
    tcase_add_checked_fixture(json, make_folder, remove_folder);
    tcase_add_test(json, json__lines_array_object__records_alike);
    tcase_add_test(json, json__broken__refused_with_line);
    tcase_add_test(
        json, python_list__both_quotes_and_escapes__as_python_reads_it);
    suite_add_tcase(suite, json);

    TCase *exprs = tcase_create("expr");
    tcase_add_test(exprs, expr__each_function__as_documented);
    tcase_add_test(exprs, template__braces__filled_in_or_missing);
    tcase_add_test(exprs, expr__malformed__refused_with_the_place);
    suite_add_tcase(suite, exprs);

    TCase *cards = tcase_create("cards");
    tcase_add_test(cards, card__built_in__all_can_be_read);
    tcase_add_test(cards, card__wrong__refused_with_line_and_key);
    suite_add_tcase(suite, cards);

    TCase *data = tcase_create("data");
    tcase_add_checked_fixture(data, make_folder, remove_folder);
    tcase_add_test(data, data__join__labels_of_a_second_file);
    tcase_add_test(
        data, data__table_of_mmbench__hints_options_rotations_pictures);
    tcase_add_test(data, data__bad_rows__refused_with_file_and_row);
    tcase_add_test(data, data__shuffled_pictures__needle_where_it_was_put);
    tcase_add_test(data, set_limit__groups_and_strata__whole_and_in_proportion);
    tcase_add_test(data, answers__forms__ids_to_texts);
    suite_add_tcase(suite, data);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
