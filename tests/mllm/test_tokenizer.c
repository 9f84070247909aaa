/*
 * Tokenizers against the Hugging Face library: ids and texts of
 * tests/golden/text, made by tools/golden/make_tokenizer_fixtures.py; then the
 * contract of each function.
 */

#include <time.h>
#include <unistd.h>

#include "text_testing.h"

static const char *const folders[] = {
    "llava15", "metaspace_first", "metaspace_always", "odd_tokens",
    "qwen2",   "byte_level",      "qwen2_planes"};
enum { folder_count = sizeof(folders) / sizeof(*folders) };

static tkp__tokenizer *load_golden(const char *name)
{
    tkp__tokenizer *tokenizer = NULL;
    expect_ok(tkp__tokenizer_load(&tokenizer, golden_text_path(name)));
    return tokenizer;
}

/* --- golden ------------------------------------------------------------ */

typedef void (*row_fn)(const tkp__tokenizer *tokenizer, const json_t *row);

static int64_t for_each_row_with(
    const tkp__tokenizer *tokenizer,
    const char *folder,
    const char *file,
    row_fn check)
{
    char name[256];
    snprintf(name, sizeof(name), "%s/%s", folder, file);
    FILE *lines = fopen(golden_text_path(name), "rb");
    ck_assert_msg(lines, "%s is missing", golden_text_path(name));
    int64_t count = 0;
    json_t *row;
    json_error_t error;
    /* Rows follow each other; a row that cannot be read is not the end. */
    while (
        (row = json_loadf(
             lines, JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK, &error))) {
        check(tokenizer, row);
        json_decref(row);
        ++count;
    }
    ck_assert_msg(
        feof(lines), "%s: row %lld: %s", name, (long long)count, error.text);
    fclose(lines);
    return count;
}

static int64_t for_each_row(const char *folder, const char *file, row_fn check)
{
    tkp__tokenizer *tokenizer = load_golden(folder);
    const int64_t count = for_each_row_with(tokenizer, folder, file, check);
    tkp__tokenizer_destroy(tokenizer);
    return count;
}

static int32_t *ids_of(const json_t *array, int64_t *count)
{
    *count = (int64_t)json_array_size(array);
    int32_t *ids = malloc((size_t)*count * sizeof(*ids) + 1);
    ck_assert_ptr_nonnull(ids);
    for (int64_t i = 0; i < *count; ++i)
        ids[i] = (int32_t)json_integer_value(json_array_get(array, (size_t)i));
    return ids;
}

static void check_ids(
    const tkp__tokenizer *tokenizer,
    const json_t *text,
    uint32_t flags,
    const json_t *wanted)
{
    int32_t *ids = NULL;
    int64_t count = -1, wanted_count;
    int32_t *wanted_ids = ids_of(wanted, &wanted_count);
    expect_ok(tkp__tokenizer_encode(
        tokenizer, json_string_value(text), json_string_length(text), flags,
        &ids, &count));
    char *shown = json_dumps(text, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    ck_assert_msg(
        count == wanted_count, "%s: %lld ids, wanted %lld", shown,
        (long long)count, (long long)wanted_count);
    int64_t same = 0;
    while (same < count && ids[same] == wanted_ids[same])
        ++same;
    ck_assert_msg(
        same == count, "%s: ids[%lld] is %d, wanted %d", shown, (long long)same,
        ids[same], wanted_ids[same]);
    free(shown);
    free(wanted_ids);
    tkp__free(ids);
}

/* What a stream gives out, each part of it whole characters. Check's
 * assertions each write to a file: one at the end, not one an id. */
static tkp__text_buffer stream_text(
    const tkp__tokenizer *tokenizer,
    const int32_t *ids,
    int64_t count,
    bool skip_special)
{
    tkp__text_stream *stream = NULL;
    tkp__text_buffer all = {0};
    const char *part = NULL;
    size_t bytes = 0;
    tkp_status status =
        tkp__text_stream_create(&stream, tokenizer, skip_special);
    bool whole = true;
    for (int64_t i = 0; i <= count && status == TKP_OK; ++i) {
        status = i < count
                     ? tkp__text_stream_push(stream, ids[i], &part, &bytes)
                     : tkp__text_stream_finish(stream, &part, &bytes);
        if (status == TKP_OK)
            status = tkp__text_buffer_append(&all, part, bytes);
        whole = whole && tkp__utf8_valid_prefix(part, bytes) == bytes;
    }
    expect_ok(status);
    ck_assert(whole);
    tkp__text_stream_destroy(stream);
    return all;
}

static void check_text(
    const tkp__tokenizer *tokenizer,
    const json_t *id_array,
    bool skip_special,
    const json_t *wanted)
{
    int64_t count;
    int32_t *ids = ids_of(id_array, &count);
    char *text = NULL;
    expect_ok(
        tkp__tokenizer_decode(tokenizer, ids, count, skip_special, &text));
    char *shown = json_dumps(id_array, JSON_COMPACT);
    /* A NUL ends both alike. */
    ck_assert_msg(
        strcmp(text, json_string_value(wanted)) == 0,
        "%s: \"%s\", wanted \"%s\"", shown, text, json_string_value(wanted));
    tkp__free(text);

    /* The stream sees past NULs, and holds what it gave out. */
    tkp__text_buffer all = stream_text(tokenizer, ids, count, skip_special);
    ck_assert_msg(
        all.bytes == json_string_length(wanted) &&
            memcmp(all.data, json_string_value(wanted), all.bytes) == 0,
        "%s: the stream gave \"%s\"", shown, all.data);
    tkp__text_buffer_free(&all);
    free(shown);
    free(ids);
}

static void check_encode_row(const tkp__tokenizer *tokenizer, const json_t *row)
{
    const json_t *text = json_array_get(row, 0);
    const json_t *ids = json_array_get(row, 1);
    const json_t *plain = json_array_get(row, 2);
    const json_t *decoded = json_array_get(row, 3);
    check_ids(tokenizer, text, TKP__ENCODE_SPECIAL, ids);
    if (json_is_array(plain))
        check_ids(
            tokenizer, text, TKP__ENCODE_SPECIAL | TKP__ENCODE_PLAIN, plain);
    if (!json_is_false(decoded))
        check_text(
            tokenizer, ids, true, json_is_null(decoded) ? text : decoded);
}

static void check_decode_row(const tkp__tokenizer *tokenizer, const json_t *row)
{
    const json_t *ids = json_array_get(row, 0);
    check_text(tokenizer, ids, true, json_array_get(row, 1));
    check_text(tokenizer, ids, false, json_array_get(row, 2));
}

START_TEST(tokenizer_encode__golden_strings__ids_equal)
{
    const int64_t rows =
        for_each_row(folders[_i], "encode.jsonl", check_encode_row);
    ck_assert_int_ge(rows, 1500);
}
END_TEST

START_TEST(tokenizer_decode__golden_ids__texts_equal_also_streamed)
{
    const int64_t rows =
        for_each_row(folders[_i], "decode.jsonl", check_decode_row);
    ck_assert_int_ge(rows, 200);
}
END_TEST

/* --- encode ------------------------------------------------------------ */

static tkp_status encode_text(
    const tkp__tokenizer *tokenizer,
    const char *text,
    uint32_t flags,
    int32_t **ids,
    int64_t *count)
{
    return tkp__tokenizer_encode(
        tokenizer, text, strlen(text), flags, ids, count);
}

/* --- every character ---------------------------------------------------- */

/* As plane_text() of make_tokenizer_fixtures.py; C for the character. */
static bool put_plane_line(tkp__text_buffer *text, int32_t first)
{
    static const char form[] = "eC\u0301 C\nC aCb1C's\u0345CC\r\n";
    char bytes[4];
    bool good = true;
    for (int32_t code = first; code < first + 256; ++code) {
        const size_t length = tkp__utf8_put(bytes, code);
        for (const char *p = form; *p; ++p)
            good = tkp__text_buffer_append(
                       text, *p == 'C' ? bytes : p, *p == 'C' ? length : 1) ==
                       TKP_OK &&
                   good;
    }
    return good;
}

static uint64_t fnv1a(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    uint64_t value = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        value = (value ^ p[i]) * 0x100000001b3u;
    return value;
}

START_TEST(tokenizer_encode__every_character_assigned__ids_and_texts_equal)
{
    tkp__tokenizer *tokenizer = load_golden("qwen2_planes");
    FILE *lines = fopen(golden_text_path("qwen2_planes/planes.txt"), "r");
    ck_assert_ptr_nonnull(lines);
    unsigned first;
    unsigned long long id_hash, text_hash;
    int count = 0;
    tkp__text_buffer text = {0};
    while (fscanf(lines, "%x %llx %llx", &first, &id_hash, &text_hash) == 3) {
        int32_t *ids = NULL;
        int64_t n = 0;
        tkp__text_buffer_clear(&text);
        ck_assert(put_plane_line(&text, (int32_t)first));
        expect_ok(tkp__tokenizer_encode(
            tokenizer, text.data, text.bytes, 0, &ids, &n));
        ck_assert_msg(
            fnv1a(ids, (size_t)n * sizeof(*ids)) == id_hash,
            "U+%04X and the next 255: other ids", first);
        tkp__text_buffer decoded = stream_text(tokenizer, ids, n, true);
        ck_assert_msg(
            fnv1a(decoded.data, decoded.bytes) == text_hash,
            "U+%04X and the next 255: other text", first);
        tkp__text_buffer_free(&decoded);
        tkp__free(ids);
        ++count;
    }
    ck_assert_int_eq(count, 1464);
    fclose(lines);
    tkp__text_buffer_free(&text);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

/* --- vocab.json and merges.txt ------------------------------------------- */

static void put_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void put_json(const char *dir, const char *name, const json_t *value)
{
    char *text = json_dumps(value, 0);
    put_file(dir, name, text);
    free(text);
}

/* What a Qwen2 checkpoint has beside tokenizer.json, made from it. */
static void put_parts(const char *dir, const char *folder)
{
    char name[256];
    snprintf(name, sizeof(name), "%s/tokenizer.json", folder);
    json_t *root = json_load_file(golden_text_path(name), 0, NULL);
    json_t *model = json_object_get(root, "model");
    put_json(dir, "vocab.json", json_object_get(model, "vocab"));
    tkp__text_buffer text = {0};
    size_t i;
    json_t *entry;
    expect_ok(tkp__text_buffer_puts(&text, "#version: 0.2\n"));
    json_array_foreach(json_object_get(model, "merges"), i, entry)
    {
        for (size_t k = 0; k < 2; ++k) {
            const char *piece = json_string_value(json_array_get(entry, k));
            ck_assert(
                tkp__text_buffer_puts(&text, piece) == TKP_OK &&
                tkp__text_buffer_puts(&text, k ? "\n" : " ") == TKP_OK);
        }
    }
    put_file(dir, "merges.txt", text.data);
    tkp__text_buffer_free(&text);
    json_t *tokens = json_object();
    json_array_foreach(json_object_get(root, "added_tokens"), i, entry)
    {
        snprintf(
            name, sizeof(name), "%lld",
            (long long)json_integer_value(json_object_get(entry, "id")));
        ck_assert_int_eq(json_object_set(tokens, name, entry), 0);
    }
    json_t *config = json_pack(
        "{s:s,s:o}", "tokenizer_class", "Qwen2Tokenizer",
        "added_tokens_decoder", tokens);
    ck_assert_ptr_nonnull(config);
    put_json(dir, "tokenizer_config.json", config);
    json_decref(config);
    json_decref(root);
}

static void remove_parts(const char *dir)
{
    static const char *const names[] = {
        "vocab.json", "merges.txt", "tokenizer_config.json"};
    char path[256];
    for (size_t i = 0; i < 3; ++i) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        ck_assert_int_eq(unlink(path), 0);
    }
    ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(tokenizer_load__vocab_and_merges_alone__same_ids)
{
    static const char *const qwen2[] = {"qwen2", "qwen2_planes"};
    char dir[] = "/tmp/tkp-test-XXXXXX";
    tkp__tokenizer *tokenizer = NULL;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    put_parts(dir, qwen2[_i]);
    expect_ok(tkp__tokenizer_load(&tokenizer, dir));
    ck_assert_int_gt(
        for_each_row_with(
            tokenizer, qwen2[_i], "encode.jsonl", check_encode_row),
        1500);
    ck_assert_int_gt(
        for_each_row_with(
            tokenizer, qwen2[_i], "decode.jsonl", check_decode_row),
        200);
    tkp__tokenizer_destroy(tokenizer);
    remove_parts(dir);
}
END_TEST

static const struct {
    const char *name;
    const char *text;
    tkp_status wanted;
    const char *message;
} spoilt_parts[] = {
    {"vocab.json", "{", TKP_ERR_PARSE, "vocab.json:1"},
    {"vocab.json", "[]", TKP_ERR_FORMAT, "vocab.json is not"},
    {"vocab.json", "{}", TKP_ERR_FORMAT, "model.vocab is empty"},
    {"vocab.json", "{\"a\":-1}", TKP_ERR_FORMAT, "\"a\" is -1"},
    {"merges.txt", "a q\n", TKP_ERR_FORMAT, "model.merges[0]"},
    {"merges.txt", "# 1\n", TKP_ERR_FORMAT, "model.merges[0]"},
    {"merges.txt", "#version: 0.2\r\n\n a b c\n", TKP_ERR_FORMAT, "merges[0]"},
    {"merges.txt", "\xff b\n", TKP_ERR_PARSE, "entry 0 is not UTF-8"},
    {"tokenizer_config.json", "{}", TKP_ERR_FORMAT, "tokenizer_class"},
    {"tokenizer_config.json", "{\"tokenizer_class\":\"GPT2Tokenizer\"}",
     TKP_ERR_UNSUPPORTED, "\"GPT2Tokenizer\", wanted Qwen2Tokenizer"},
    {"tokenizer_config.json", "{\"tokenizer_class\":\"Qwen2TokenizerFast\"}",
     TKP_ERR_FORMAT, "added_tokens_decoder is missing"},
};

START_TEST(tokenizer_load__part_spoilt__refused_by_name)
{
    char dir[] = "/tmp/tkp-test-XXXXXX";
    tkp__tokenizer *tokenizer = NULL;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    put_parts(dir, "qwen2_planes");
    put_file(dir, spoilt_parts[_i].name, spoilt_parts[_i].text);
    expect_refused(
        tkp__tokenizer_load(&tokenizer, dir), spoilt_parts[_i].wanted,
        spoilt_parts[_i].message);
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), dir));
    ck_assert_ptr_null(tokenizer);
    remove_parts(dir);
}
END_TEST

START_TEST(tokenizer_encode__no_flags__no_bos)
{
    tkp__tokenizer *tokenizer = load_golden("llava15");
    int32_t *ids = NULL;
    int64_t count = -1;
    expect_ok(encode_text(tokenizer, "", 0, &ids, &count));
    ck_assert_int_eq(count, 0);
    ck_assert_ptr_nonnull(ids);
    tkp__free(ids);
    expect_ok(encode_text(tokenizer, "", TKP__ENCODE_SPECIAL, &ids, &count));
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(ids[0], tkp__tokenizer_find(tokenizer, "<s>"));
    tkp__free(ids);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

/* models.md: the prefix mark comes again after each added token, or, with
 * `first`, only at the beginning. */
START_TEST(tokenizer_encode__newline_after_image__mark_as_the_file_says)
{
    for (int first = 0; first < 2; ++first) {
        tkp__tokenizer *tokenizer =
            load_golden(first ? "metaspace_first" : "llava15");
        int32_t *ids = NULL;
        int64_t count = -1;
        expect_ok(encode_text(tokenizer, "<image>\n", 0, &ids, &count));
        ck_assert_int_eq(count, first ? 2 : 3);
        ck_assert_int_eq(ids[0], tkp__tokenizer_find(tokenizer, "<image>"));
        if (!first)
            ck_assert_int_eq(
                ids[1], tkp__tokenizer_find(tokenizer, "\xe2\x96\x81"));
        tkp__free(ids);
        tkp__tokenizer_destroy(tokenizer);
    }
}
END_TEST

START_TEST(tokenizer_encode__plain__image_token_is_text)
{
    tkp__tokenizer *tokenizer = load_golden("llava15");
    int32_t *ids = NULL;
    int64_t count = -1;
    expect_ok(
        encode_text(tokenizer, "<image>", TKP__ENCODE_PLAIN, &ids, &count));
    ck_assert_int_gt(count, 1);
    for (int64_t i = 0; i < count; ++i)
        ck_assert_int_ne(ids[i], tkp__tokenizer_find(tokenizer, "<image>"));
    tkp__free(ids);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

static const struct {
    const char *text;
    const char *message;
} not_utf8[] = {
    {"ab\xff", "byte 2 (0xff)"},    {"\xc3", "byte 0 (0xc3)"},
    {"a\xe2\x96", "byte 1"},        {"a\xc0\xaf", "byte 1"}, /* overlong */
    {"abc\xed\xa0\x80", "byte 3"},                           /* surrogate */
    {"\xf4\x90\x80\x80", "byte 0"}, /* above U+10FFFF */
    {"\xe2\x82\xac\x80", "byte 3"}, /* stray continuation */
};

START_TEST(tokenizer_encode__not_utf8__refused_with_the_byte)
{
    tkp__tokenizer *tokenizer = load_golden("qwen2");
    int32_t *ids = (int32_t *)&ids;
    int64_t count = -7;
    expect_refused(
        encode_text(tokenizer, not_utf8[_i].text, 0, &ids, &count),
        TKP_ERR_ARGUMENT, not_utf8[_i].message);
    ck_assert_ptr_eq(ids, &ids);
    ck_assert_int_eq(count, -7);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

/* A quadratic merge would take minutes. */
START_TEST(tokenizer_encode__long_word__soon_done_and_decodes_to_itself)
{
    enum { bytes = 600000 };
    tkp__tokenizer *tokenizer = load_golden("llava15");
    char *text = malloc(bytes + 1);
    for (int i = 0; i < bytes; ++i)
        text[i] = "ab ha=  x"[(i * 7 + i / 13) % 9];
    text[bytes] = '\0';
    int32_t *ids = NULL;
    int64_t count = -1;
    char *back = NULL;
    expect_ok(encode_text(tokenizer, text, 0, &ids, &count));
    expect_ok(tkp__tokenizer_decode(tokenizer, ids, count, true, &back));
    ck_assert(strcmp(text, back) == 0);
    tkp__free(back);
    tkp__free(ids);
    free(text);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

/* 400 kB of marks out of order: sorting them by swaps would take minutes. */
START_TEST(tokenizer_encode__long_run_of_marks__soon_done_and_in_order)
{
    enum { pairs = 100000 };
    tkp__tokenizer *tokenizer = load_golden("qwen2");
    char *text = malloc(4 * pairs + 2);
    text[0] = 'x';
    for (int i = 0; i < pairs; ++i)
        memcpy(text + 1 + 4 * i, "\xcc\x81\xcc\xa3", 4);
    text[4 * pairs + 1] = '\0';
    int32_t *ids = NULL;
    int64_t count = -1;
    char *back = NULL;
    const clock_t begin = clock();
    expect_ok(encode_text(tokenizer, text, 0, &ids, &count));
    ck_assert_int_lt((clock() - begin) / CLOCKS_PER_SEC, 10);
    expect_ok(tkp__tokenizer_decode(tokenizer, ids, count, true, &back));
    /* All dots below, then all accents. */
    ck_assert(strncmp(back, "x\xcc\xa3\xcc\xa3", 5) == 0);
    ck_assert_uint_eq(strlen(back), 4 * pairs + 1);
    ck_assert_str_eq(back + 4 * pairs - 3, "\xcc\x81\xcc\x81");
    tkp__free(back);
    tkp__free(ids);
    free(text);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

START_TEST(tokenizer_encode__unknown_flag__refused)
{
    tkp__tokenizer *tokenizer = load_golden("llava15");
    int32_t *ids = NULL;
    int64_t count;
    expect_refused(
        encode_text(tokenizer, "a", 8, &ids, &count), TKP_ERR_ARGUMENT,
        "flags 0x8");
    expect_refused(
        tkp__tokenizer_encode(tokenizer, NULL, 1, 0, &ids, &count),
        TKP_ERR_ARGUMENT, "NULL");
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

/* --- pieces ------------------------------------------------------------ */

START_TEST(tokenizer_piece__every_id__find_gives_it_back)
{
    tkp__tokenizer *tokenizer = load_golden(folders[_i]);
    const int64_t size = tkp__tokenizer_vocab_size(tokenizer);
    for (int32_t id = 0; id < size; ++id) {
        const char *piece = tkp__tokenizer_piece(tokenizer, id);
        ck_assert_ptr_nonnull(piece);
        ck_assert_int_eq(tkp__tokenizer_find(tokenizer, piece), id);
    }
    ck_assert_ptr_null(tkp__tokenizer_piece(tokenizer, -1));
    ck_assert_ptr_null(tkp__tokenizer_piece(tokenizer, (int32_t)size));
    ck_assert_int_eq(tkp__tokenizer_find(tokenizer, "no such piece"), -1);
    ck_assert_int_eq(tkp__tokenizer_find(tokenizer, ""), -1);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

/* --- decode ------------------------------------------------------------ */

START_TEST(tokenizer_decode__negative_id__refused)
{
    tkp__tokenizer *tokenizer = load_golden("llava15");
    const int32_t ids[] = {5, -1};
    char *text = NULL;
    expect_refused(
        tkp__tokenizer_decode(tokenizer, ids, 2, true, &text), TKP_ERR_ARGUMENT,
        "id -1");
    ck_assert_ptr_null(text);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

START_TEST(tokenizer_decode__row_without_a_piece__is_no_text)
{
    tkp__tokenizer *tokenizer = load_golden("qwen2");
    const int32_t ids[] = {1 << 30, INT32_MAX};
    char *text = NULL;
    expect_ok(tkp__tokenizer_decode(tokenizer, ids, 2, false, &text));
    ck_assert_str_eq(text, "");
    tkp__free(text);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

static void
push_expecting(tkp__text_stream *stream, int32_t id, const char *wanted)
{
    const char *text = NULL;
    size_t bytes = 77;
    expect_ok(tkp__text_stream_push(stream, id, &text, &bytes));
    ck_assert_str_eq(text, wanted);
    ck_assert_uint_eq(bytes, strlen(wanted));
}

static void finish_expecting(tkp__text_stream *stream, const char *wanted)
{
    const char *text = NULL;
    size_t bytes = 77;
    expect_ok(tkp__text_stream_finish(stream, &text, &bytes));
    ck_assert_str_eq(text, wanted);
    ck_assert_uint_eq(bytes, strlen(wanted));
}

START_TEST(text_stream_push__byte_run__held_until_its_end)
{
    tkp__tokenizer *tokenizer = load_golden("llava15");
    const int32_t zero = tkp__tokenizer_find(tokenizer, "<0x00>");
    const int32_t x = tkp__tokenizer_find(tokenizer, "x");
    tkp__text_stream *stream = NULL;
    expect_ok(tkp__text_stream_create(&stream, tokenizer, true));
    push_expecting(stream, zero + 0xc3, "");
    push_expecting(stream, zero + 0xa9, "");
    push_expecting(stream, x, "\xc3\xa9x");
    push_expecting(stream, zero + 0x41, "");
    push_expecting(stream, zero + 0xff, "");
    finish_expecting(stream, "\xef\xbf\xbd\xef\xbf\xbd");
    finish_expecting(stream, "");
    tkp__text_stream_destroy(stream);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

START_TEST(text_stream_push__byte_level__only_an_unfinished_character_held)
{
    tkp__tokenizer *tokenizer = load_golden("qwen2");
    /* C3 and A9 in the byte alphabet are themselves. */
    const int32_t lead = tkp__tokenizer_find(tokenizer, "\xc3\x83");
    const int32_t tail = tkp__tokenizer_find(tokenizer, "\xc2\xa9");
    const int32_t x = tkp__tokenizer_find(tokenizer, "x");
    tkp__text_stream *stream = NULL;
    expect_ok(tkp__text_stream_create(&stream, tokenizer, true));
    push_expecting(stream, lead, "");
    push_expecting(stream, tail, "\xc3\xa9");
    push_expecting(stream, lead, "");
    push_expecting(stream, x, "\xef\xbf\xbdx");
    push_expecting(stream, lead, "");
    finish_expecting(stream, "\xef\xbf\xbd");
    tkp__text_stream_destroy(stream);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/tokenizer");
    TCase *golden = tcase_create("golden");
    tcase_add_loop_test(
        golden, tokenizer_encode__golden_strings__ids_equal, 0, folder_count);
    tcase_add_loop_test(
        golden, tokenizer_decode__golden_ids__texts_equal_also_streamed, 0,
        folder_count);
    suite_add_tcase(suite, golden);

    TCase *contract = tcase_create("contract");
    tcase_add_test(
        contract,
        tokenizer_encode__every_character_assigned__ids_and_texts_equal);
    tcase_add_loop_test(
        contract, tokenizer_load__vocab_and_merges_alone__same_ids, 0, 2);
    tcase_add_loop_test(
        contract, tokenizer_load__part_spoilt__refused_by_name, 0,
        sizeof(spoilt_parts) / sizeof(*spoilt_parts));
    tcase_add_test(contract, tokenizer_encode__no_flags__no_bos);
    tcase_add_test(
        contract, tokenizer_encode__newline_after_image__mark_as_the_file_says);
    tcase_add_test(contract, tokenizer_encode__plain__image_token_is_text);
    tcase_add_loop_test(
        contract, tokenizer_encode__not_utf8__refused_with_the_byte, 0,
        sizeof(not_utf8) / sizeof(*not_utf8));
    tcase_add_test(
        contract, tokenizer_encode__long_word__soon_done_and_decodes_to_itself);
    tcase_add_test(
        contract, tokenizer_encode__long_run_of_marks__soon_done_and_in_order);
    tcase_add_test(contract, tokenizer_encode__unknown_flag__refused);
    tcase_add_loop_test(
        contract, tokenizer_piece__every_id__find_gives_it_back, 0,
        folder_count);
    tcase_add_test(contract, tokenizer_decode__negative_id__refused);
    tcase_add_test(contract, tokenizer_decode__row_without_a_piece__is_no_text);
    tcase_add_test(contract, text_stream_push__byte_run__held_until_its_end);
    tcase_add_test(
        contract,
        text_stream_push__byte_level__only_an_unfinished_character_held);
    suite_add_tcase(suite, contract);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
