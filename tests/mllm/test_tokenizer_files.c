/*
 * Tokenizer files that are damaged, hostile or of a form not known: each is an
 * error that names the field, and nothing leaks (run under AddressSanitizer).
 */

#include <sys/stat.h>
#include <unistd.h>

#include "text_testing.h"
#include "tokenprune/memory.h"

/* --- a small file, and ways to spoil it -------------------------------- */

/* The parts a case may replace; NULL keeps what is here. */
typedef struct parts {
    const char *added;
    const char *normalizer;
    const char *pre_tokenizer;
    const char *post_processor;
    const char *decoder;
    const char *model; /* the whole of it */
    const char *vocab;
    const char *merges;
    const char *more; /* of the model */
} parts;

static const char small_vocab[] =
    "{\"<unk>\":0,\"<s>\":1,\"a\":2,\"b\":3,\"ab\":4,\"<0x0A>\":5}";

#define TOKEN(id, content)                                                     \
    "{\"id\":" id ",\"content\":\"" content                                    \
    "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"              \
    "\"normalized\":false,\"special\":true}"

static const char *or_else(const char *given, const char *otherwise)
{
    return given ? given : otherwise;
}

/* In a static buffer. */
static const char *file_of(const parts *p)
{
    static char model[4096], whole[8192];
    snprintf(
        model, sizeof(model),
        "{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"byte_fallback\":true,"
        "%s\"vocab\":%s,\"merges\":%s}",
        or_else(p->more, ""), or_else(p->vocab, small_vocab),
        or_else(p->merges, "[\"a b\"]"));
    snprintf(
        whole, sizeof(whole),
        "{\"added_tokens\":%s,\"normalizer\":%s,\"pre_tokenizer\":%s,"
        "\"post_processor\":%s,\"decoder\":%s,\"model\":%s}",
        or_else(p->added, "[" TOKEN("6", "<image>") "]"),
        or_else(p->normalizer, "null"), or_else(p->pre_tokenizer, "null"),
        or_else(p->post_processor, "null"),
        or_else(p->decoder, "{\"type\":\"Fuse\"}"), or_else(p->model, model));
    return whole;
}

static tkp_status load_text(const char *text, const char *config)
{
    tkp__tokenizer *tokenizer = NULL;
    /* A copy of exactly this size: reading past it is seen. */
    const size_t bytes = strlen(text);
    char *copy = malloc(bytes + !bytes);
    memcpy(copy, text, bytes);
    const tkp_status status = tkp__tokenizer_load_memory(
        &tokenizer, copy, bytes, config, config ? strlen(config) : 0);
    free(copy);
    if (status != TKP_OK)
        ck_assert_ptr_null(tokenizer);
    tkp__tokenizer_destroy(tokenizer);
    return status;
}

typedef struct spoilt {
    parts p;
    tkp_status wanted;
    const char *message;
} spoilt;

#define REGEX(text)                                                            \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" text                       \
    "\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define TEMPLATE(single, tokens)                                               \
    "{\"type\":\"TemplateProcessing\",\"single\":" single                      \
    ",\"special_tokens\":" tokens "}"

/* clang-format off */
static const spoilt cases[] = {
    /* model */
    {{.model = "null"}, TKP_ERR_FORMAT, "model is missing"},
    {{.model = "[]"}, TKP_ERR_FORMAT, "model is an array"},
    {{.model = "{}"}, TKP_ERR_FORMAT, "model.type is missing"},
    {{.model = "{\"type\":\"Unigram\"}"}, TKP_ERR_UNSUPPORTED, "\"Unigram\""},
    {{.model = "{\"type\":\"BPE\"}"}, TKP_ERR_FORMAT, "model.vocab is missing"},
    {{.vocab = "{}"}, TKP_ERR_FORMAT, "model.vocab is empty"},
    {{.vocab = "[]"}, TKP_ERR_FORMAT, "model.vocab is an array"},
    {{.vocab = "{\"a\":\"0\"}"}, TKP_ERR_FORMAT, "the id of \"a\" is not an integer"},
    {{.vocab = "{\"a\":0.5}"}, TKP_ERR_FORMAT, "the id of \"a\" is not an integer"},
    {{.vocab = "{\"a\":-1}"}, TKP_ERR_FORMAT, "the id of \"a\" is -1"},
    {{.vocab = "{\"a\":4294967297}"}, TKP_ERR_FORMAT, "is 4294967297, wanted 0..2097151"},
    {{.vocab = "{\"a\":2097152}"}, TKP_ERR_FORMAT, "is 2097152"},
    {{.vocab = "{\"a\":99999999999999999999}"}, TKP_ERR_PARSE, "tokenizer.json:1"},
    {{.vocab = "{\"<unk>\":0,\"a\":1,\"b\":1}"}, TKP_ERR_FORMAT, "id 1 is that of \"a\" and of \"b\""},
    {{.vocab = "{\"<unk>\":0,\"a\":1,\"a\":2}"}, TKP_ERR_PARSE, "duplicate"},
    {{.vocab = "{\"<unk>\":0,\"a\\u0000\":1}"}, TKP_ERR_PARSE, "NUL"},
    {{.vocab = "{\"a\":0}"}, TKP_ERR_FORMAT, "unk_token \"<unk>\" is not in"},
    {{.merges = "null"}, TKP_ERR_FORMAT, "model.merges is missing"},
    {{.merges = "{}"}, TKP_ERR_FORMAT, "model.merges is an object"},
    {{.merges = "[\"a b\",\"a q\"]"}, TKP_ERR_FORMAT, "model.merges[1] names \"q\""},
    {{.merges = "[\"q a\"]"}, TKP_ERR_FORMAT, "model.merges[0] names \"q\""},
    {{.merges = "[\"b a\"]"}, TKP_ERR_FORMAT, "model.merges[0] names \"ba\""},
    {{.merges = "[\"ab\"]"}, TKP_ERR_FORMAT, "model.merges[0] is not"},
    {{.merges = "[\"a b a\"]"}, TKP_ERR_FORMAT, "model.merges[0] is not"},
    {{.merges = "[[\"a\"]]"}, TKP_ERR_FORMAT, "model.merges[0] is not"},
    {{.merges = "[[\"a\",1]]"}, TKP_ERR_FORMAT, "model.merges[0] is not"},
    {{.merges = "[7]"}, TKP_ERR_FORMAT, "model.merges[0] is not"},
    {{.more = "\"dropout\":0.1,"}, TKP_ERR_UNSUPPORTED, "model.dropout is 0.1"},
    {{.more = "\"end_of_word_suffix\":\"</w>\","}, TKP_ERR_UNSUPPORTED, "</w>"},
    {{.more = "\"continuing_subword_prefix\":\"##\","}, TKP_ERR_UNSUPPORTED, "##"},
    {{.more = "\"fuse_unk\":1,"}, TKP_ERR_FORMAT, "model.fuse_unk is an integer"},
    /* added tokens */
    {{.added = "{}"}, TKP_ERR_FORMAT, "added_tokens is an object"},
    {{.added = "[3]"}, TKP_ERR_FORMAT, "added_tokens[0] is not an object"},
    {{.added = "[" TOKEN("-2", "x") "]"}, TKP_ERR_FORMAT, "added_tokens[0].id is -2"},
    {{.added = "[" TOKEN("2000000000", "x") "]"}, TKP_ERR_FORMAT, "added_tokens[0].id is 2000000000"},
    {{.added = "[" TOKEN("6", "") "]"}, TKP_ERR_FORMAT, "added_tokens[0].content is empty"},
    {{.added = "[" TOKEN("6", "x") "," TOKEN("6", "y") "]"}, TKP_ERR_FORMAT, "\"x\" and \"y\" have the same id 6"},
    {{.added = "[" TOKEN("6", "x") "," TOKEN("7", "x") "]"}, TKP_ERR_FORMAT, "\"x\" has id 6 and id 7"},
    {{.added = "[" TOKEN("2", "x") "]"}, TKP_ERR_FORMAT, "has id 2, which is that of \"a\""},
    {{.added = "[" TOKEN("6", "a") "]"}, TKP_ERR_FORMAT, "\"a\" has id 2 and id 6"},
    {{.added = "[{\"id\":6,\"content\":\"x\"}]"}, TKP_ERR_FORMAT, "added_tokens[0].special is missing"},
    {{.added = "[{\"id\":6,\"content\":[]}]"}, TKP_ERR_FORMAT, "added_tokens[0].content is an array"},
    /* normalizer */
    {{.normalizer = "{}"}, TKP_ERR_FORMAT, "normalizer.type is missing"},
    {{.normalizer = "\"NFC\""}, TKP_ERR_FORMAT, "normalizer is a string"},
    {{.normalizer = "{\"type\":\"NFKC\"}"}, TKP_ERR_UNSUPPORTED, "normalizer.type is \"NFKC\""},
    {{.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"_\"},{\"type\":\"Lowercase\"}]}"}, TKP_ERR_UNSUPPORTED, "Lowercase"},
    {{.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" +\"},\"content\":\"\"}"}, TKP_ERR_UNSUPPORTED, "Regex"},
    {{.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}"}, TKP_ERR_UNSUPPORTED, "empty"},
    {{.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":1}"}, TKP_ERR_FORMAT, "Replace.content is an integer"},
    /* pre-tokenizer */
    {{.pre_tokenizer = "{\"type\":\"Whitespace\"}"}, TKP_ERR_UNSUPPORTED, "\"Whitespace\""},
    {{.pre_tokenizer = "{\"type\":\"Metaspace\",\"replacement\":\"__\"}"}, TKP_ERR_FORMAT, "\"__\", wanted one character"},
    {{.pre_tokenizer = "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}"}, TKP_ERR_FORMAT, "\"last\""},
    {{.pre_tokenizer = "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Isolated\",\"invert\":false}"}, TKP_ERR_UNSUPPORTED, "String"},
    {{.pre_tokenizer = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\" \"},\"behavior\":\"Removed\",\"invert\":false}"}, TKP_ERR_UNSUPPORTED, "\"Removed\""},
    {{.pre_tokenizer = REGEX("a(")}, TKP_ERR_FORMAT, "Split.pattern.Regex"},
    {{.pre_tokenizer = REGEX("\\\\w+")}, TKP_ERR_UNSUPPORTED, "escape"},
    {{.pre_tokenizer = REGEX("\\\\")}, TKP_ERR_UNSUPPORTED, "escape"},
    {{.pre_tokenizer = REGEX("[\\\\S]")}, TKP_ERR_UNSUPPORTED, "escape"},
    {{.pre_tokenizer = REGEX("\\\\pL")}, TKP_ERR_UNSUPPORTED, "\\p without {}"},
    {{.pre_tokenizer = REGEX("[a\\\\P{L}]")}, TKP_ERR_UNSUPPORTED, "\\P within a class"},
    {{.pre_tokenizer = REGEX("\\\\p{L")}, TKP_ERR_UNSUPPORTED, "\\p without {}"},
    {{.pre_tokenizer = REGEX("[a")}, TKP_ERR_UNSUPPORTED, "class without its end"},
    {{.pre_tokenizer = REGEX("[]a]")}, TKP_ERR_UNSUPPORTED, "class without its end"},
    {{.pre_tokenizer = REGEX("[[:alpha:]]")}, TKP_ERR_UNSUPPORTED, "class within a class"},
    {{.pre_tokenizer = REGEX("a{,3}")}, TKP_ERR_UNSUPPORTED, "repeat count"},
    {{.pre_tokenizer = REGEX("a{1,3}+")}, TKP_ERR_UNSUPPORTED, "repeat count"},
    {{.pre_tokenizer = REGEX("^a")}, TKP_ERR_UNSUPPORTED, "anchor"},
    {{.pre_tokenizer = REGEX("(?<n>a)")}, TKP_ERR_UNSUPPORTED, "group"},
    {{.pre_tokenizer = REGEX("(*FAIL)")}, TKP_ERR_UNSUPPORTED, "verb"},
    {{.pre_tokenizer = "{\"type\":\"ByteLevel\"}"}, TKP_ERR_FORMAT, "ByteLevel.add_prefix_space is missing"},
    /* post-processor */
    {{.post_processor = "{\"type\":\"BertProcessing\"}"}, TKP_ERR_UNSUPPORTED, "\"BertProcessing\""},
    {{.post_processor = TEMPLATE("[]", "{}")}, TKP_ERR_FORMAT, "no Sequence"},
    {{.post_processor = TEMPLATE("[{\"SpecialToken\":{\"id\":\"<s>\"}}]", "{}")}, TKP_ERR_FORMAT, "no ids for \"<s>\""},
    {{.post_processor = TEMPLATE("[{\"SpecialToken\":{\"id\":\"<s>\"}}]", "{\"<s>\":{\"ids\":[77]}}")}, TKP_ERR_FORMAT, "ids[0] of \"<s>\""},
    {{.post_processor = TEMPLATE("[{\"SpecialToken\":{\"id\":\"<s>\"}}]", "{\"<s>\":{\"ids\":[1,-1]}}")}, TKP_ERR_FORMAT, "ids[1] of \"<s>\""},
    {{.post_processor = TEMPLATE("[7]", "{}")}, TKP_ERR_FORMAT, "post_processor.single[0]"},
    {{.post_processor = TEMPLATE("[{\"Sequence\":{}},{\"Sequence\":{}}]", "{}")}, TKP_ERR_UNSUPPORTED, "a second time"},
    /* decoder */
    {{.decoder = "null"}, TKP_ERR_UNSUPPORTED, "decoder is null"},
    {{.decoder = "{\"type\":\"WordPiece\"}"}, TKP_ERR_UNSUPPORTED, "\"WordPiece\""},
    {{.decoder = "{\"type\":\"Sequence\",\"decoders\":[1]}"}, TKP_ERR_FORMAT, "decoder.type is missing"},
    {{.decoder = "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}"}, TKP_ERR_UNSUPPORTED, "without Fuse"},
    {{.decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"ByteFallback\"}]}"}, TKP_ERR_UNSUPPORTED, "ByteFallback after Fuse"},
    {{.decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":1}]}"}, TKP_ERR_UNSUPPORTED, "Strip.stop is 1"},
    {{.decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\"\",\"start\":1,\"stop\":0}]}"}, TKP_ERR_FORMAT, "wanted one character"},
    {{.decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":-1,\"stop\":0}]}"}, TKP_ERR_FORMAT, "Strip.start is -1"},
    {{.decoder = "{\"type\":\"Metaspace\",\"replacement\":\"\"}"}, TKP_ERR_FORMAT, "wanted one character"},
};
/* clang-format on */

START_TEST(tokenizer_load__spoilt_field__refused_by_name)
{
    expect_refused(
        load_text(file_of(&cases[_i].p), NULL), cases[_i].wanted,
        cases[_i].message);
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "tokenizer.json"));
}
END_TEST

START_TEST(tokenizer_load__small_file__loads)
{
    const parts whole = {0};
    expect_ok(load_text(file_of(&whole), NULL));
}
END_TEST

START_TEST(tokenizer_load__truncated_anywhere__refused)
{
    const parts whole = {
        .post_processor = TEMPLATE("[{\"Sequence\":{}}]", "{}")};
    const char *text = file_of(&whole);
    const size_t bytes = strlen(text);
    expect_ok(load_text(text, NULL));
    for (size_t n = 0; n < bytes; ++n) {
        char *copy = strndup(text, n);
        ck_assert_int_eq(load_text(copy, NULL), TKP_ERR_PARSE);
        free(copy);
    }
}
END_TEST

START_TEST(tokenizer_load__not_an_object__refused)
{
    expect_refused(load_text("[]", NULL), TKP_ERR_FORMAT, "not a JSON object");
    expect_refused(load_text("", NULL), TKP_ERR_PARSE, "tokenizer.json:1");
    expect_refused(
        load_text("{\"a\":\"\xff\"}", NULL), TKP_ERR_PARSE, "byte 0xff");
}
END_TEST

START_TEST(tokenizer_load__nested_past_the_parsers_depth__refused)
{
    enum { depth = 100000 };
    char *text = malloc(depth + 1);
    memset(text, '[', depth);
    text[depth] = '\0';
    ck_assert_int_eq(load_text(text, NULL), TKP_ERR_PARSE);
    free(text);
}
END_TEST

/* As deep as the parser allows, through each part that calls itself. */
START_TEST(tokenizer_load__sequences_within_sequences__no_overflow)
{
    static const char open[] = "{\"type\":\"Sequence\",\"normalizers\":[";
    enum { depth = 900 };
    char *text = malloc(depth * (sizeof(open) + 2) + 100);
    size_t at = (size_t)sprintf(text, "{\"normalizer\":");
    for (int i = 0; i < depth; ++i)
        at += (size_t)sprintf(text + at, "%s", open);
    at += (size_t)sprintf(text + at, "{\"type\":\"NFC\"}");
    for (int i = 0; i < depth; ++i)
        at += (size_t)sprintf(text + at, "]}");
    sprintf(
        text + at, ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},"
                   "\"merges\":[]},\"decoder\":{\"type\":\"Fuse\"}}");
    expect_ok(load_text(text, NULL));
    free(text);
}
END_TEST

/* --- tokenizer_config.json --------------------------------------------- */

#define CONFIG(key, content, special)                                          \
    "{\"added_tokens_decoder\":{\"" key "\":{\"content\":\"" content           \
    "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"              \
    "\"normalized\":false,\"special\":" special "}}}"

static const struct {
    const char *config;
    tkp_status wanted;
    const char *message;
} configs[] = {
    {CONFIG("6", "<image>", "true"), TKP_OK, ""},
    {CONFIG("9", "<extra>", "true"), TKP_OK, ""},
    {CONFIG("6", "<other>", "true"), TKP_ERR_FORMAT, "have the same id 6"},
    {CONFIG("4", "<other>", "true"), TKP_ERR_FORMAT, "is that of \"ab\""},
    {CONFIG("x", "<other>", "true"), TKP_ERR_FORMAT, "has the key \"x\""},
    {CONFIG("-1", "<other>", "true"), TKP_ERR_FORMAT, "has the key \"-1\""},
    {CONFIG("99999999999999999999", "o", "true"), TKP_ERR_FORMAT, "the key"},
    {CONFIG("7", "<o>", "1"), TKP_ERR_FORMAT, "decoder.7.special is an"},
    {"{\"added_tokens_decoder\":[]}", TKP_ERR_FORMAT, "an array"},
    {"{", TKP_ERR_PARSE, "tokenizer_config.json:1"},
};

START_TEST(tokenizer_load__config__taken_together_or_refused)
{
    const parts whole = {0};
    const tkp_status status = load_text(file_of(&whole), configs[_i].config);
    if (configs[_i].wanted == TKP_OK)
        expect_ok(status);
    else
        expect_refused(status, configs[_i].wanted, configs[_i].message);
}
END_TEST

START_TEST(tokenizer_load__token_of_config_alone__is_found_in_text)
{
    const parts whole = {0};
    const char *text = file_of(&whole);
    const char *config = CONFIG("9", "<extra>", "true");
    tkp__tokenizer *tokenizer = NULL;
    int32_t *ids = NULL;
    int64_t count = 0;
    expect_ok(tkp__tokenizer_load_memory(
        &tokenizer, text, strlen(text), config, strlen(config)));
    ck_assert_int_eq(tkp__tokenizer_vocab_size(tokenizer), 10);
    ck_assert_ptr_null(tkp__tokenizer_piece(tokenizer, 8));
    expect_ok(
        tkp__tokenizer_encode(tokenizer, "ab<extra>", 9, 0, &ids, &count));
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(ids[0], 4);
    ck_assert_int_eq(ids[1], 9);
    tkp__free(ids);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

/* --- folders ----------------------------------------------------------- */

START_TEST(tokenizer_load__folder_without_tokenizer__says_what_is_missing)
{
    char dir[] = "/tmp/tkp-test-XXXXXX";
    char path[64];
    tkp__tokenizer *tokenizer = NULL;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    expect_refused(
        tkp__tokenizer_load(&tokenizer, dir), TKP_ERR_IO, "tokenizer.json");
    /* The original layout: SentencePiece alone. */
    snprintf(path, sizeof(path), "%s/tokenizer.model", dir);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fclose(file);
    expect_refused(
        tkp__tokenizer_load(&tokenizer, dir), TKP_ERR_UNSUPPORTED,
        "tokenizer.model");
    ck_assert_int_eq(unlink(path), 0);
    /* A folder of that name is no file. */
    snprintf(path, sizeof(path), "%s/tokenizer.json", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    expect_refused(
        tkp__tokenizer_load(&tokenizer, dir), TKP_ERR_IO, "regular file");
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

/* --- text against hostile patterns ------------------------------------- */

START_TEST(tokenizer_encode__pattern_that_backtracks_for_ever__refused)
{
    const parts slow = {.pre_tokenizer = REGEX("(?:a+)+b")};
    const char *text = file_of(&slow);
    tkp__tokenizer *tokenizer = NULL;
    int32_t *ids = NULL;
    int64_t count = 0;
    char word[200];
    memset(word, 'a', sizeof(word));
    word[sizeof(word) - 1] = 'c';
    expect_ok(
        tkp__tokenizer_load_memory(&tokenizer, text, strlen(text), NULL, 0));
    /* With a b in it, or the engine sees at once that nothing can match. */
    memcpy(word + 198, "cb", 2);
    expect_refused(
        tkp__tokenizer_encode(tokenizer, word, sizeof(word), 0, &ids, &count),
        TKP_ERR_DATA, "match limit");
    ck_assert_ptr_null(ids);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

START_TEST(tokenizer_encode__pattern_that_matches_nothing__every_byte_kept)
{
    const parts empty = {.pre_tokenizer = REGEX("(?=b)|x?")};
    const char *text = file_of(&empty);
    tkp__tokenizer *tokenizer = NULL;
    int32_t *ids = NULL;
    int64_t count = 0;
    expect_ok(
        tkp__tokenizer_load_memory(&tokenizer, text, strlen(text), NULL, 0));
    expect_ok(tkp__tokenizer_encode(tokenizer, "ab", 2, 0, &ids, &count));
    ck_assert_int_eq(count, 2); /* cut between a and b: no merge */
    ck_assert_int_eq(ids[0], 2);
    ck_assert_int_eq(ids[1], 3);
    tkp__free(ids);
    tkp__tokenizer_destroy(tokenizer);
}
END_TEST

/* --- memory ------------------------------------------------------------ */

typedef struct counting {
    long long calls;
    long long fail_at;
    long long live;
} counting;

static void *counting_allocate(void *user, size_t bytes, size_t alignment)
{
    counting *c = user;
    if (c->calls++ == c->fail_at)
        return NULL;
    ++c->live;
    return aligned_alloc(
        alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void counting_release(void *user, void *pointer)
{
    counting *c = user;
    --c->live;
    free(pointer);
}

static tkp_status whole_way(const char *text)
{
    tkp__tokenizer *tokenizer = NULL;
    int32_t *ids = NULL;
    int64_t count = 0;
    char *back = NULL;
    tkp_status status = TKP_OK;
    TKP__TRY_OUT(
        tkp__tokenizer_load_memory(&tokenizer, text, strlen(text), NULL, 0));
    TKP__TRY_OUT(tkp__tokenizer_encode(
        tokenizer, "ab<image> \nb", 12, TKP__ENCODE_SPECIAL, &ids, &count));
    status = tkp__tokenizer_decode(tokenizer, ids, count, false, &back);
out:
    tkp__free(back);
    tkp__free(ids);
    tkp__tokenizer_destroy(tokenizer);
    return status;
}

/* Every part that takes memory, so that each one's failure is met. */
static const parts many_parts = {
    .added = "[" TOKEN(
        "6",
        "<image>") ",{\"id\":7,\"content\":\"n\","
                   "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                   "\"normalized\":true,\"special\":false}]",
    .normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
                  "{\"type\":\"Prepend\",\"prepend\":\"a\"},"
                  "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
                  "\"content\":\"b\"}]}",
    .pre_tokenizer = "{\"type\":\"Sequence\",\"pretokenizers\":[" REGEX(
        "b|[^b]+") ","
                   "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}]}",
    .post_processor = TEMPLATE(
        "[{\"SpecialToken\":{\"id\":\"<s>\"}},{\"Sequence\":{}},"
        "{\"SpecialToken\":{\"id\":\"<s>\"}}]",
        "{\"<s>\":{\"ids\":[1]}}"),
    .decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\","
               "\"pattern\":{\"String\":\"b\"},\"content\":\" \"},"
               "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
               "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,"
               "\"stop\":0}]}",
};

START_TEST(tokenizer__memory_out_at_each_call__said_so_and_nothing_leaks)
{
    const char *text = file_of(&many_parts);
    counting counter = {.fail_at = -1};
    const tkp_allocator allocator = {
        sizeof(allocator), 0, counting_allocate, counting_release, &counter};
    expect_ok(tkp_allocator_set(&allocator));
    expect_ok(whole_way(text));
    const long long calls = counter.calls;
    ck_assert_int_gt(calls, 20);
    for (long long at = 0; at < calls; ++at) {
        counter = (counting){.fail_at = at};
        ck_assert_int_eq(whole_way(text), TKP_ERR_MEMORY);
        ck_assert_int_eq(counter.live, 0);
    }
    expect_ok(tkp_allocator_set(NULL));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/tokenizer_files");
    TCase *files = tcase_create("files");
    tcase_add_loop_test(
        files, tokenizer_load__spoilt_field__refused_by_name, 0,
        sizeof(cases) / sizeof(*cases));
    tcase_add_test(files, tokenizer_load__small_file__loads);
    tcase_add_test(files, tokenizer_load__truncated_anywhere__refused);
    tcase_add_test(files, tokenizer_load__not_an_object__refused);
    tcase_add_test(
        files, tokenizer_load__nested_past_the_parsers_depth__refused);
    tcase_add_test(
        files, tokenizer_load__sequences_within_sequences__no_overflow);
    tcase_add_loop_test(
        files, tokenizer_load__config__taken_together_or_refused, 0,
        sizeof(configs) / sizeof(*configs));
    tcase_add_test(
        files, tokenizer_load__token_of_config_alone__is_found_in_text);
    tcase_add_test(
        files, tokenizer_load__folder_without_tokenizer__says_what_is_missing);
    tcase_add_test(
        files, tokenizer_encode__pattern_that_backtracks_for_ever__refused);
    tcase_add_test(
        files, tokenizer_encode__pattern_that_matches_nothing__every_byte_kept);
    tcase_add_test(
        files, tokenizer__memory_out_at_each_call__said_so_and_nothing_leaks);
    suite_add_tcase(suite, files);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
