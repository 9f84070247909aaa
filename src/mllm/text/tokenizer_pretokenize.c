/* The pre_tokenizer section: what cuts text into the words BPE works on. */

#include "mllm/text/json_field.h"
#include "mllm/text/tokenizer.h"
#include "mllm/text/utf8.h"

/* What ByteLevel with use_regex splits by; written from its description:
 * contractions, then runs of letters, of numbers, of anything else, each with
 * the space before it, then white space. */
static const char byte_level_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
    "|\\s+(?!\\S)|\\s+";

static tkp_status
add_step(tkp__pretokenizer *splitter, int32_t kind, tkp__split_step **out)
{
    TKP__CHECK(
        splitter->count < TKP__TEXT_MAX_STEPS, TKP_ERR_UNSUPPORTED,
        "pre_tokenizer has more than %d steps", TKP__TEXT_MAX_STEPS);
    *out = &splitter->steps[splitter->count++];
    (*out)->kind = kind;
    return TKP_OK;
}

/* Files of before prepend_scheme have add_prefix_space alone. */
static tkp_status parse_scheme(const json_t *section, int32_t *out)
{
    bool prefix;
    TKP__TRY(tkp__field_bool_or(
        section, "Metaspace", "add_prefix_space", true, &prefix));
    const char *scheme = prefix ? "always" : "never";
    const json_t *given = json_object_get(section, "prepend_scheme");
    if (given && !json_is_null(given))
        TKP__TRY(
            tkp__field_string(section, "Metaspace", "prepend_scheme", &scheme));
    char shown[TKP__SHOWN_BYTES];
    if (strcmp(scheme, "always") == 0)
        *out = TKP__PREPEND_ALWAYS;
    else if (strcmp(scheme, "first") == 0)
        *out = TKP__PREPEND_FIRST;
    else if (strcmp(scheme, "never") == 0)
        *out = TKP__PREPEND_NEVER;
    else
        return tkp__fail(
            TKP_ERR_FORMAT,
            "Metaspace.prepend_scheme is \"%s\", wanted always, first or never",
            tkp__shown(shown, scheme));
    return TKP_OK;
}

static tkp_status
parse_metaspace(tkp__pretokenizer *splitter, const json_t *section)
{
    tkp__split_step *step = NULL;
    const char *mark;
    int32_t code;
    TKP__TRY(add_step(splitter, TKP__SPLIT_METASPACE, &step));
    TKP__TRY(tkp__field_string(section, "Metaspace", "replacement", &mark));
    const size_t bytes = strlen(mark);
    char shown[TKP__SHOWN_BYTES];
    TKP__CHECK(
        bytes && tkp__utf8_next(mark, bytes, &code) == bytes, TKP_ERR_FORMAT,
        "Metaspace.replacement is \"%s\", wanted one character",
        tkp__shown(shown, mark));
    memcpy(step->mark, mark, bytes + 1);
    TKP__TRY(parse_scheme(section, &step->prepend_scheme));
    return tkp__field_bool_or(
        section, "Metaspace", "split", true, &step->split);
}

static tkp_status
parse_split(tkp__pretokenizer *splitter, const json_t *section)
{
    tkp__split_step *step = NULL;
    json_t *pattern;
    const char *behavior, *regex;
    bool invert;
    char shown[TKP__SHOWN_BYTES];
    TKP__TRY(add_step(splitter, TKP__SPLIT_REGEX, &step));
    TKP__TRY(tkp__field_string(section, "Split", "behavior", &behavior));
    TKP__TRY(tkp__field_bool_or(section, "Split", "invert", false, &invert));
    TKP__CHECK(
        strcmp(behavior, "Isolated") == 0 && !invert, TKP_ERR_UNSUPPORTED,
        "Split.behavior is \"%s\"%s, wanted Isolated, not inverted",
        tkp__shown(shown, behavior), invert ? " (inverted)" : "");
    TKP__TRY(tkp__field_object(section, "Split", "pattern", &pattern));
    TKP__CHECK(
        !json_object_get(pattern, "String"), TKP_ERR_UNSUPPORTED,
        "Split.pattern is a String, wanted a Regex");
    TKP__TRY(tkp__field_string(pattern, "Split.pattern", "Regex", &regex));
    return tkp__regex_compile(&step->regex, regex);
}

static tkp_status
parse_byte_level(tkp__pretokenizer *splitter, const json_t *section)
{
    tkp__split_step *step = NULL;
    bool prefix, use_regex;
    TKP__TRY(
        tkp__field_bool(section, "ByteLevel", "add_prefix_space", &prefix));
    TKP__TRY(tkp__field_bool_or(
        section, "ByteLevel", "use_regex", true, &use_regex));
    if (prefix)
        TKP__TRY(add_step(splitter, TKP__SPLIT_PREFIX_SPACE, &step));
    if (use_regex) {
        TKP__TRY(add_step(splitter, TKP__SPLIT_REGEX, &step));
        TKP__TRY(tkp__regex_compile(&step->regex, byte_level_pattern));
    }
    return add_step(splitter, TKP__SPLIT_BYTE_ALPHABET, &step);
}

tkp_status
tkp__pretokenizer_parse(tkp__pretokenizer *splitter, const json_t *section)
{
    if (!section)
        return TKP_OK;
    const char *type;
    TKP__TRY(tkp__field_string(section, "pre_tokenizer", "type", &type));
    if (strcmp(type, "Metaspace") == 0)
        return parse_metaspace(splitter, section);
    if (strcmp(type, "Split") == 0)
        return parse_split(splitter, section);
    if (strcmp(type, "ByteLevel") == 0)
        return parse_byte_level(splitter, section);
    char shown[TKP__SHOWN_BYTES];
    TKP__CHECK(
        strcmp(type, "Sequence") == 0, TKP_ERR_UNSUPPORTED,
        "pre_tokenizer.type is \"%s\", wanted Metaspace, Split, ByteLevel or "
        "Sequence",
        tkp__shown(shown, type));
    json_t *list, *entry;
    size_t index;
    TKP__TRY(
        tkp__field_array(section, "pre_tokenizer", "pretokenizers", &list));
    json_array_foreach(list, index, entry)
        TKP__TRY(tkp__pretokenizer_parse(splitter, entry));
    return TKP_OK;
}

void tkp__pretokenizer_free(tkp__pretokenizer *splitter)
{
    for (int32_t i = 0; i < splitter->count; ++i)
        tkp__regex_destroy(splitter->steps[i].regex);
    memset(splitter, 0, sizeof(*splitter));
}

/* --- running ----------------------------------------------------------- */

int32_t tkp__byte_to_code(unsigned char byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173))
        return byte;
    /* The other 68 bytes, in order, are U+0100 and up. */
    if (byte <= 32)
        return 0x100 + byte;
    return byte == 173 ? 0x143 : 0x121 + (byte - 127);
}

int32_t tkp__code_to_byte(int32_t code)
{
    if (code < 0x100)
        return code >= 0 && tkp__byte_to_code((unsigned char)code) == code
                   ? code
                   : -1;
    if (code <= 0x120)
        return code - 0x100;
    if (code <= 0x142)
        return code - 0x121 + 127;
    return code == 0x143 ? 173 : -1;
}

static tkp_status run_from(
    tkp__pretokenize_run *run,
    int32_t index,
    const char *text,
    size_t bytes,
    bool at_start);

static bool starts_with(const char *text, size_t bytes, const char *prefix)
{
    const size_t n = strlen(prefix);
    return bytes >= n && memcmp(text, prefix, n) == 0;
}

static tkp_status run_metaspace(
    tkp__pretokenize_run *run,
    int32_t index,
    const char *text,
    size_t bytes,
    bool at_start)
{
    const tkp__split_step *step = &run->splitter->steps[index];
    tkp__text_buffer *out = &run->texts[index];
    const bool wanted =
        step->prepend_scheme == TKP__PREPEND_ALWAYS ||
        (step->prepend_scheme == TKP__PREPEND_FIRST && at_start);
    if (wanted && text[0] != ' ' && !starts_with(text, bytes, step->mark))
        TKP__TRY(tkp__text_buffer_puts(out, step->mark));
    TKP__TRY(tkp__text_replace(out, text, bytes, " ", step->mark));
    if (!step->split)
        return run_from(run, index + 1, out->data, out->bytes, at_start);

    /* One word from each mark to the next. */
    const size_t mark_bytes = strlen(step->mark);
    size_t begin = 0;
    while (begin < out->bytes) {
        const char *next = NULL;
        if (out->bytes - begin > mark_bytes)
            next = memmem(
                out->data + begin + 1, out->bytes - begin - 1, step->mark,
                mark_bytes);
        const size_t end = next ? (size_t)(next - out->data) : out->bytes;
        TKP__TRY(run_from(
            run, index + 1, out->data + begin, end - begin,
            at_start && begin == 0));
        begin = end;
    }
    return TKP_OK;
}

static tkp_status run_regex(
    tkp__pretokenize_run *run,
    int32_t index,
    const char *text,
    size_t bytes,
    bool at_start)
{
    tkp__regex_search *search = NULL;
    size_t taken = 0, from = 0;
    bool found = true;
    tkp_status status =
        tkp__regex_search_begin(&search, run->splitter->steps[index].regex);
    while (status == TKP_OK && found && taken < bytes) {
        size_t begin = bytes, end = bytes;
        TKP__TRY_OUT(tkp__regex_search_next(
            search, text, bytes, from, &found, &begin, &end));
        if (found && begin == end) {
            /* An empty match cuts, and the search goes on a character on. */
            int32_t code;
            from = end + tkp__utf8_next(text + end, bytes - end, &code);
            found = end < bytes;
        } else {
            from = end;
        }
        if (begin > taken)
            TKP__TRY_OUT(run_from(
                run, index + 1, text + taken, begin - taken,
                at_start && taken == 0));
        if (end > begin)
            TKP__TRY_OUT(run_from(
                run, index + 1, text + begin, end - begin,
                at_start && begin == 0));
        taken = end;
    }
    if (status == TKP_OK && taken < bytes)
        status = run_from(
            run, index + 1, text + taken, bytes - taken,
            at_start && taken == 0);
out:
    tkp__regex_search_end(search);
    return status;
}

static tkp_status run_byte_alphabet(
    tkp__pretokenize_run *run,
    int32_t index,
    const char *text,
    size_t bytes,
    bool at_start)
{
    tkp__text_buffer *out = &run->texts[index];
    for (size_t i = 0; i < bytes; ++i) {
        char code[4];
        const size_t length =
            tkp__utf8_put(code, tkp__byte_to_code((unsigned char)text[i]));
        TKP__TRY(tkp__text_buffer_append(out, code, length));
    }
    return run_from(run, index + 1, out->data, out->bytes, at_start);
}

/* Depth first: a word goes through all later steps before the next is cut, so
 * each step needs one buffer. */
static tkp_status run_from(
    tkp__pretokenize_run *run,
    int32_t index,
    const char *text,
    size_t bytes,
    bool at_start)
{
    if (!bytes)
        return TKP_OK;
    if (index == run->splitter->count)
        return run->word(run->user, text, bytes);
    tkp__text_buffer *out = &run->texts[index];
    tkp__text_buffer_clear(out);
    switch (run->splitter->steps[index].kind) {
    case TKP__SPLIT_METASPACE:
        return run_metaspace(run, index, text, bytes, at_start);
    case TKP__SPLIT_REGEX:
        return run_regex(run, index, text, bytes, at_start);
    case TKP__SPLIT_BYTE_ALPHABET:
        return run_byte_alphabet(run, index, text, bytes, at_start);
    default: /* TKP__SPLIT_PREFIX_SPACE */
        if (text[0] != ' ')
            TKP__TRY(tkp__text_buffer_append(out, " ", 1));
        TKP__TRY(tkp__text_buffer_append(out, text, bytes));
        return run_from(run, index + 1, out->data, out->bytes, at_start);
    }
}

tkp_status tkp__pretokenize(
    tkp__pretokenize_run *run,
    const char *text,
    size_t bytes,
    bool at_start)
{
    return run_from(run, 0, text, bytes, at_start);
}

void tkp__pretokenize_run_free(tkp__pretokenize_run *run)
{
    for (int32_t i = 0; i < TKP__TEXT_MAX_STEPS; ++i)
        tkp__text_buffer_free(&run->texts[i]);
}
