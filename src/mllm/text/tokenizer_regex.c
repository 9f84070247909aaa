/*
 * Patterns of tokenizer.json on PCRE2. They are written for Oniguruma (Ruby
 * syntax), which reads some things differently, so a pattern is gone through
 * first: what both engines read alike passes, \s is spelled out (under UCP
 * PCRE2's holds U+180E, Oniguruma's does not), \p{L} and \p{N} get what is new
 * in Unicode, and the rest is refused.
 */

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "mllm/text/json_field.h"
#include "mllm/text/tokenizer.h"

/* White_Space as the inside of a character class. */
#define WHITE_SPACE "\\x{09}-\\x{0d}\\x{85}\\p{Z}"

/* Letters and numbers of Unicode 15 and 16: the engine that these patterns are
 * written for knows them, PCRE2 10.42 has the tables of Unicode 14. */
#define NEW_LETTERS                                                            \
    "\\x{1c89}-\\x{1c8a}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}"                \
    "\\x{105c0}-\\x{105f3}\\x{10d4a}-\\x{10d65}\\x{10d6f}-\\x{10d85}"          \
    "\\x{10ec2}-\\x{10ec4}\\x{1123f}-\\x{11240}\\x{11380}-\\x{11389}"          \
    "\\x{1138b}\\x{1138e}\\x{11390}-\\x{113b5}\\x{113b7}\\x{113d1}"            \
    "\\x{113d3}\\x{11bc0}-\\x{11be0}\\x{11f02}\\x{11f04}-\\x{11f10}"           \
    "\\x{11f12}-\\x{11f33}\\x{1342f}\\x{13441}-\\x{13446}"                     \
    "\\x{13460}-\\x{143fa}\\x{16100}-\\x{1611d}\\x{16d40}-\\x{16d6c}"          \
    "\\x{18cff}\\x{1b132}\\x{1b155}\\x{1df25}-\\x{1df2a}"                      \
    "\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{1e4eb}\\x{1e5d0}-\\x{1e5ed}"          \
    "\\x{1e5f0}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}"
#define NEW_NUMBERS                                                            \
    "\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}"          \
    "\\x{11f50}-\\x{11f59}\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}"          \
    "\\x{1ccf0}-\\x{1ccf9}\\x{1d2c0}-\\x{1d2d3}\\x{1e4f0}-\\x{1e4f9}"          \
    "\\x{1e5f1}-\\x{1e5fa}"

/* Bounds on what a hostile pattern can cost: steps, and KiB. */
enum { MATCH_LIMIT = 1000000, HEAP_LIMIT_KIB = 64 * 1024 };

struct tkp__regex {
    pcre2_code *code;
};

struct tkp__regex_search {
    const tkp__regex *regex;
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static tkp_status refuse(const char *pattern, const char *at, const char *what)
{
    char shown[TKP__SHOWN_BYTES];
    return tkp__fail(
        TKP_ERR_UNSUPPORTED, "Split.pattern.Regex: %s at byte %td, \"%s\"",
        what, at - pattern, tkp__shown(shown, at));
}

/* \p{L}, \P{N} and the like; *at is behind the brace. */
static tkp_status translate_property(
    tkp__text_buffer *out,
    const char *pattern,
    const char **at,
    bool in_class)
{
    const char *p = *at; /* at the backslash */
    const char *end = p[2] == '{' ? strchr(p, '}') : NULL;
    if (!end)
        return refuse(pattern, p, "\\p without {}");
    *at = end + 1;
    const bool letters = end == p + 4 && p[3] == 'L';
    const bool numbers = end == p + 4 && p[3] == 'N';
    if (!letters && !numbers)
        return tkp__text_buffer_append(out, p, (size_t)(*at - p));
    const char *set = letters ? "\\p{L}" NEW_LETTERS : "\\p{N}" NEW_NUMBERS;
    if (in_class && p[1] == 'P')
        return refuse(pattern, p, "\\P within a class");
    if (in_class)
        return tkp__text_buffer_puts(out, set);
    TKP__TRY(tkp__text_buffer_puts(out, p[1] == 'P' ? "[^" : "["));
    TKP__TRY(tkp__text_buffer_puts(out, set));
    return tkp__text_buffer_puts(out, "]");
}

static tkp_status translate_escape(
    tkp__text_buffer *out,
    const char *pattern,
    const char **at,
    bool in_class)
{
    const char *p = *at; /* at the backslash */
    const char c = p[1];
    if (c == 'p' || c == 'P')
        return translate_property(out, pattern, at, in_class);
    *at += 2;
    if (c == 's')
        return tkp__text_buffer_puts(
            out, in_class ? WHITE_SPACE : "[" WHITE_SPACE "]");
    if (c == 'S' && !in_class)
        return tkp__text_buffer_puts(out, "[^" WHITE_SPACE "]");
    if (c == 'r' || c == 'n' || c == 't' ||
        (c && strchr("\\.[](){}*+?|^$-/'\"", c)))
        return tkp__text_buffer_append(out, p, 2);
    return refuse(pattern, p, "an escape that is not known");
}

static tkp_status
translate_class(tkp__text_buffer *out, const char *pattern, const char **at)
{
    const char *p = *at; /* at the bracket */
    TKP__TRY(tkp__text_buffer_append(out, p++, 1));
    if (*p == '^')
        TKP__TRY(tkp__text_buffer_append(out, p++, 1));
    for (bool first = true; *p != ']' || first; first = false) {
        if (!*p || (first && *p == ']'))
            return refuse(pattern, p, "a class without its end");
        if (*p == '[' || (p[0] == '&' && p[1] == '&'))
            return refuse(pattern, p, "a class within a class");
        if (*p == '\\')
            TKP__TRY(translate_escape(out, pattern, &p, true));
        else
            TKP__TRY(tkp__text_buffer_append(out, p++, 1));
    }
    TKP__TRY(tkp__text_buffer_append(out, p++, 1));
    *at = p;
    return TKP_OK;
}

/* {n}, {n,}, {n,m}, not followed by + (possessive here, a repeat there). */
static tkp_status
translate_count(tkp__text_buffer *out, const char *pattern, const char **at)
{
    const char *end = *at + 1;
    end += strspn(end, "0123456789");
    const bool digits = end > *at + 1;
    if (*end == ',')
        end += 1 + strspn(end + 1, "0123456789");
    if (!digits || *end != '}' || end[1] == '+')
        return refuse(pattern, *at, "a repeat count");
    TKP__TRY(tkp__text_buffer_append(out, *at, (size_t)(end + 1 - *at)));
    *at = end + 1;
    return TKP_OK;
}

/* "(", "(?:", "(?=", "(?!", "(?i:", "(?<=", "(?<!", "(?>". */
static tkp_status
translate_group(tkp__text_buffer *out, const char *pattern, const char **at)
{
    static const char *const known[] = {
        "(?:", "(?=", "(?!", "(?i:", "(?<=", "(?<!", "(?>"};
    const char *p = *at;
    if (p[1] == '*')
        return refuse(pattern, p, "a verb");
    if (p[1] != '?') {
        ++*at;
        return tkp__text_buffer_append(out, p, 1);
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); ++i) {
        const size_t length = strlen(known[i]);
        if (strncmp(p, known[i], length) != 0)
            continue;
        *at += length;
        return tkp__text_buffer_append(out, p, length);
    }
    return refuse(pattern, p, "a kind of group that is not known");
}

static tkp_status translate(tkp__text_buffer *out, const char *pattern)
{
    const char *p = pattern;
    while (*p) {
        switch (*p) {
        case '\\':
            TKP__TRY(translate_escape(out, pattern, &p, false));
            break;
        case '[':
            TKP__TRY(translate_class(out, pattern, &p));
            break;
        case '{':
            TKP__TRY(translate_count(out, pattern, &p));
            break;
        case '(':
            TKP__TRY(translate_group(out, pattern, &p));
            break;
        case '^':
        case '$':
            return refuse(pattern, p, "an anchor");
        default:
            TKP__TRY(tkp__text_buffer_append(out, p++, 1));
        }
    }
    return TKP_OK;
}

static tkp_status compile(tkp__regex *regex, const tkp__text_buffer *pattern)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        return tkp__fail(TKP_ERR_MEMORY, "no memory to compile a pattern");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int error;
    PCRE2_SIZE offset;
    regex->code = pcre2_compile(
        (PCRE2_SPTR)pattern->data, pattern->bytes,
        PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE,
        &error, &offset, context);
    pcre2_compile_context_free(context);
    if (regex->code)
        return TKP_OK;
    char text[128] = "";
    pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof(text));
    return tkp__fail(
        TKP_ERR_FORMAT,
        "Split.pattern.Regex: %s (byte %zu of %zu, white space spelled out)",
        text, (size_t)offset, pattern->bytes);
}

tkp_status tkp__regex_compile(tkp__regex **out, const char *oniguruma)
{
    tkp__text_buffer pattern = {0};
    tkp__regex *regex = tkp__zalloc(1, sizeof(*regex));
    tkp_status status = regex ? TKP_OK : TKP_ERR_MEMORY;
    if (status == TKP_OK)
        status = tkp__text_buffer_reserve(&pattern, strlen(oniguruma));
    if (status == TKP_OK)
        status = translate(&pattern, oniguruma);
    if (status == TKP_OK)
        status = compile(regex, &pattern);
    tkp__text_buffer_free(&pattern);
    if (status == TKP_OK)
        *out = regex;
    else
        tkp__regex_destroy(regex);
    return status;
}

void tkp__regex_destroy(tkp__regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    tkp__free(regex);
}

tkp_status
tkp__regex_search_begin(tkp__regex_search **out, const tkp__regex *regex)
{
    tkp__regex_search *search = tkp__zalloc(1, sizeof(*search));
    if (!search)
        return TKP_ERR_MEMORY;
    search->regex = regex;
    search->data = pcre2_match_data_create_from_pattern(regex->code, NULL);
    search->context = pcre2_match_context_create(NULL);
    if (!search->data || !search->context) {
        tkp__regex_search_end(search);
        return tkp__fail(TKP_ERR_MEMORY, "no memory to match a pattern");
    }
    pcre2_set_match_limit(search->context, MATCH_LIMIT);
    pcre2_set_heap_limit(search->context, HEAP_LIMIT_KIB);
    *out = search;
    return TKP_OK;
}

tkp_status tkp__regex_search_next(
    tkp__regex_search *search,
    const char *text,
    size_t bytes,
    size_t from,
    bool *found,
    size_t *begin,
    size_t *end)
{
    /* The text was checked to be UTF-8 before: checking it here, at each
     * match, would take quadratic time. */
    const int matched = pcre2_match(
        search->regex->code, (PCRE2_SPTR)text, bytes, from, PCRE2_NO_UTF_CHECK,
        search->data, search->context);
    *found = matched >= 0;
    if (matched >= 0) {
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(search->data);
        *begin = range[0];
        *end = range[1];
        return TKP_OK;
    }
    if (matched == PCRE2_ERROR_NOMATCH)
        return TKP_OK;
    char message[128] = "";
    pcre2_get_error_message(matched, (PCRE2_UCHAR *)message, sizeof(message));
    return tkp__fail(
        matched == PCRE2_ERROR_NOMEMORY ? TKP_ERR_MEMORY : TKP_ERR_DATA,
        "splitting text at byte %zu of %zu: %s", from, bytes, message);
}

void tkp__regex_search_end(tkp__regex_search *search)
{
    if (!search)
        return;
    pcre2_match_data_free(search->data);
    pcre2_match_context_free(search->context);
    tkp__free(search);
}
