#include "eval/expr_functions.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "eval/reader.h"
#include "eval/words.h"
#include "util/text.h"

/* Take the text; NULL = there was no memory for it. */
static tkp_status give(json_t **out, char *text)
{
    *out = text ? json_string(text) : NULL;
    tkp__free(text);
    TKP__CHECK(*out, TKP_ERR_MEMORY, "out of memory for a text");
    return TKP_OK;
}

static tkp_status give_part(json_t **out, const char *text, size_t bytes)
{
    *out = json_stringn_nocheck(text, bytes);
    TKP__CHECK(*out, TKP_ERR_MEMORY, "out of memory for a text");
    return TKP_OK;
}

/* A function of one text. */
static tkp_status
of_text(json_t **out, const json_t *value, char *(*change)(const char *text))
{
    char *text;
    TKP__TRY(tkp__eval_value_text(&text, value));
    char *changed = change(text);
    tkp__free(text);
    return give(out, changed);
}

#define FUNCTION(name_)                                                        \
    static tkp_status name_(                                                   \
        json_t **out, json_t *const *a, int32_t count,                         \
        const tkp__eval_scope *scope)
#define UNUSED() (void)count, (void)scope

FUNCTION(lower)
{
    UNUSED();
    return of_text(out, a[0], tkp__eval_lower);
}

FUNCTION(strip)
{
    UNUSED();
    return of_text(out, a[0], tkp__eval_strip);
}

static char *single_blanks(const char *text)
{
    tkp__eval_text all = {0};
    const char *word;
    for (size_t n; (word = tkp__eval_word(&text, &n)) != NULL;) {
        if (all.bytes)
            tkp__eval_text_put(&all, ' ');
        tkp__eval_text_add(&all, word, n);
    }
    return tkp__eval_text_take(&all);
}

/* Words with one blank between them. */
FUNCTION(squash)
{
    UNUSED();
    return of_text(out, a[0], single_blanks);
}

/* A path's last part without its end. */
static char *stem_of(const char *path)
{
    tkp__eval_text all = {0};
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *end = strrchr(name, '.');
    tkp__eval_text_add(
        &all, name, end && end > name ? (size_t)(end - name) : strlen(name));
    return tkp__eval_text_take(&all);
}

FUNCTION(stem)
{
    UNUSED();
    return of_text(out, a[0], stem_of);
}

/* A text that says that there is none: nothing, nan, none. */
FUNCTION(given)
{
    UNUSED();
    char *text;
    TKP__TRY(tkp__eval_value_text(&text, a[0]));
    char *plain = tkp__eval_strip(text);
    const bool none = plain && (!plain[0] || !strcasecmp(plain, "nan") ||
                                !strcasecmp(plain, "none"));
    tkp__free(plain);
    if (!none)
        return give(out, text);
    tkp__free(text);
    return TKP_OK;
}

/* The first that is not missing. */
FUNCTION(first)
{
    (void)scope;
    for (int32_t i = 0; i < count; i++)
        if (a[i]) {
            *out = json_incref(a[i]);
            break;
        }
    return TKP_OK;
}

/* opt(before, x, behind): nothing if x is missing. */
FUNCTION(opt)
{
    (void)scope;
    tkp__eval_text all = {0};
    tkp_status status = TKP_OK;
    for (int32_t i = 0; a[1] && i < count && status == TKP_OK; i++) {
        char *text = NULL;
        if (a[i])
            status = tkp__eval_value_text(&text, a[i]);
        if (text)
            tkp__eval_text_puts(&all, text);
        tkp__free(text);
    }
    char *text = tkp__eval_text_take(&all);
    if (status == TKP_OK)
        return give(out, text);
    tkp__free(text);
    return status;
}

/* The texts of the first two arguments. */
static tkp_status two(char **x, char **y, json_t *const *a)
{
    TKP__TRY(tkp__eval_value_text(x, a[0]));
    const tkp_status status = tkp__eval_value_text(y, a[1]);
    if (status != TKP_OK)
        tkp__free(*x);
    return status;
}

FUNCTION(before)
{
    UNUSED();
    char *text, *sign;
    TKP__TRY(two(&text, &sign, a));
    const char *at = strstr(text, sign);
    const tkp_status status =
        give_part(out, text, at ? (size_t)(at - text) : strlen(text));
    tkp__free(text);
    tkp__free(sign);
    return status;
}

/* Behind the last; the whole text if there is none. */
FUNCTION(after)
{
    UNUSED();
    char *text, *sign;
    TKP__TRY(two(&text, &sign, a));
    const char *rest = text;
    for (const char *at = text; sign[0] && (at = strstr(at, sign)) != NULL;) {
        at += strlen(sign);
        rest = at;
    }
    const tkp_status status = give_part(out, rest, strlen(rest));
    tkp__free(text);
    tkp__free(sign);
    return status;
}

/* Without an ending, if it has it. */
FUNCTION(cut)
{
    UNUSED();
    char *text, *tail;
    TKP__TRY(two(&text, &tail, a));
    const size_t n = strlen(text), m = strlen(tail);
    const bool has = m <= n && strcmp(text + n - m, tail) == 0;
    const tkp_status status = give_part(out, text, has ? n - m : n);
    tkp__free(text);
    tkp__free(tail);
    return status;
}

FUNCTION(replace)
{
    UNUSED();
    char *text, *from, *to;
    tkp__eval_text all = {0};
    TKP__TRY(two(&text, &from, a));
    tkp_status status = tkp__eval_value_text(&to, a[2]);
    if (status == TKP_OK) {
        const size_t n = strlen(from);
        for (const char *s = text; *s;) {
            const bool here = n > 0 && strncmp(s, from, n) == 0;
            if (here)
                tkp__eval_text_puts(&all, to);
            else
                tkp__eval_text_put(&all, *s);
            s += here ? n : 1;
        }
        tkp__free(to);
        status = give(out, tkp__eval_text_take(&all));
    }
    tkp__free(text);
    tkp__free(from);
    return status;
}

static tkp_status whole(int64_t *out, const json_t *value)
{
    char *text;
    TKP__TRY(tkp__eval_value_text(&text, value));
    const bool legal = tkp__text_to_i64(text, strlen(text), 0, 1LL << 62, out);
    const tkp_status status =
        legal ? TKP_OK
              : tkp__fail(
                    TKP_ERR_DATA, "a number is '%s', wanted a whole one",
                    tkp__show(text).text);
    tkp__free(text);
    return status;
}

/* line(x, n): the n-th, from 1; missing if there are not so many. */
FUNCTION(line)
{
    UNUSED();
    int64_t n;
    char *text;
    TKP__TRY(whole(&n, a[1]));
    TKP__TRY(tkp__eval_value_text(&text, a[0]));
    const char *s = text;
    for (; n > 1 && s; n--) {
        s = strchr(s, '\n');
        s = s ? s + 1 : NULL;
    }
    const tkp_status status = s ? give_part(out, s, strcspn(s, "\n")) : TKP_OK;
    tkp__free(text);
    return status;
}

static tkp_status divide(json_t **out, json_t *const *a, bool rest)
{
    int64_t x, y;
    TKP__TRY(whole(&x, a[0]));
    TKP__TRY(whole(&y, a[1]));
    TKP__CHECK(y > 0, TKP_ERR_DATA, "a divisor is 0, wanted more");
    *out = json_integer(rest ? x % y : x / y);
    TKP__CHECK(*out, TKP_ERR_MEMORY, "out of memory for a number");
    return TKP_OK;
}

FUNCTION(quotient)
{
    UNUSED();
    return divide(out, a, false);
}

FUNCTION(modulo)
{
    UNUSED();
    return divide(out, a, true);
}

/* 0 is A. */
FUNCTION(letter)
{
    UNUSED();
    int64_t n;
    TKP__TRY(whole(&n, a[0]));
    TKP__CHECK(
        n < 26, TKP_ERR_DATA, "a choice is %lld, wanted 0 to 25", (long long)n);
    const char text[2] = {(char)('A' + n), '\0'};
    return give_part(out, text, 1);
}

/* pad(n, digits): zeros before it. */
FUNCTION(pad)
{
    UNUSED();
    int64_t n, digits;
    char text[64];
    TKP__TRY(whole(&n, a[0]));
    TKP__TRY(whole(&digits, a[1]));
    TKP__CHECK(
        digits <= 32, TKP_ERR_DATA, "pad() to %lld digits, wanted at most 32",
        (long long)digits);
    snprintf(text, sizeof(text), "%0*lld", (int)digits, (long long)n);
    return give_part(out, text, strlen(text));
}

/* A list as Python prints it, else the text alone as a list of one. */
FUNCTION(pylist)
{
    UNUSED();
    char *text;
    if (json_is_array(a[0])) {
        *out = json_incref(a[0]);
        return TKP_OK;
    }
    TKP__TRY(tkp__eval_value_text(&text, a[0]));
    *out = tkp__eval_python_list(text, strlen(text));
    if (!*out)
        *out = json_pack("[s]", text);
    tkp__free(text);
    TKP__CHECK(*out, TKP_ERR_MEMORY, "out of memory for a list");
    return TKP_OK;
}

/* field(list, 'name'): that of each object in it. */
FUNCTION(field)
{
    UNUSED();
    char *name;
    size_t i;
    json_t *value;
    TKP__CHECK(
        json_is_array(a[0]), TKP_ERR_DATA,
        "what field() takes apart is no list, wanted one");
    TKP__TRY(tkp__eval_value_text(&name, a[1]));
    *out = json_array();
    json_array_foreach(a[0], i, value)
    {
        json_t *part = json_object_get(value, name);
        if (part)
            json_array_append(*out, part);
    }
    tkp__free(name);
    return TKP_OK;
}

/* Two lists as one. */
FUNCTION(both)
{
    UNUSED();
    *out = json_array();
    for (int32_t i = 0; i < 2; i++)
        if (a[i] && json_array_extend(*out, a[i]) != 0) {
            json_decref(*out);
            *out = NULL;
            return tkp__fail(
                TKP_ERR_DATA, "what both() puts together is no list, wanted "
                              "two of them");
        }
    return TKP_OK;
}

/* All numbers that stand in a text. */
FUNCTION(numbers)
{
    UNUSED();
    char *text;
    if (json_is_array(a[0])) {
        *out = json_incref(a[0]);
        return TKP_OK;
    }
    TKP__TRY(tkp__eval_value_text(&text, a[0]));
    json_t *list = json_array();
    for (const char *s = text; *s;) {
        char *end;
        const bool starts =
            isdigit((unsigned char)*s) ||
            ((*s == '-' || *s == '.') && isdigit((unsigned char)s[1]));
        const double value = starts ? strtod(s, &end) : 0;
        if (starts)
            json_array_append_new(list, json_real(value));
        s = starts ? end : s + 1;
    }
    tkp__free(text);
    *out = list;
    return TKP_OK;
}

/* The columns A, B, ... that say something, in order. */
FUNCTION(lettered)
{
    (void)a;
    (void)count;
    *out = json_array();
    for (char c = 'A'; c <= 'Z'; c++) {
        const char name[2] = {c, '\0'};
        json_t *plain = NULL;
        for (size_t i = 0; i < 3 && !plain; i++) {
            json_t *value = json_object_get(scope->objects[i], name);
            json_t *const arguments[] = {value};
            const tkp_status status =
                value ? given(&plain, arguments, 1, scope) : TKP_OK;
            if (status != TKP_OK) {
                json_decref(*out);
                *out = NULL;
                return status;
            }
        }
        if (plain)
            json_array_append_new(
                *out,
                json_pack("{s:s#, s:o}", "letter", name, 1, "text", plain));
    }
    return TKP_OK;
}

/* Lines "A. ..." of a question, in order from A. */
FUNCTION(choices)
{
    UNUSED();
    char *text;
    TKP__TRY(tkp__eval_value_text(&text, a[0]));
    *out = json_array();
    char wanted = 'A';
    for (const char *s = text; s; s = strchr(s, '\n')) {
        s += *s == '\n';
        if (s[0] != wanted || s[1] != '.' || s[2] != ' ' || wanted > 'Z')
            continue;
        json_array_append_new(
            *out, json_pack(
                      "{s:s#, s:s#}", "letter", s, 1, "text", s + 3,
                      (int)strcspn(s + 3, "\n")));
        wanted++;
    }
    tkp__free(text);
    return TKP_OK;
}

static const tkp__eval_function functions[] = {
    {"after", 2, 2, false, after},      {"before", 2, 2, false, before},
    {"both", 2, 2, true, both},         {"choices", 1, 1, false, choices},
    {"cut", 2, 2, false, cut},          {"div", 2, 2, false, quotient},
    {"field", 2, 2, false, field},      {"first", 1, 4, true, first},
    {"given", 1, 1, false, given},      {"letter", 1, 1, false, letter},
    {"lettered", 0, 0, true, lettered}, {"line", 2, 2, false, line},
    {"lower", 1, 1, false, lower},      {"mod", 2, 2, false, modulo},
    {"numbers", 1, 1, false, numbers},  {"opt", 3, 3, true, opt},
    {"pad", 2, 2, false, pad},          {"pylist", 1, 1, false, pylist},
    {"replace", 3, 3, false, replace},  {"squash", 1, 1, false, squash},
    {"stem", 1, 1, false, stem},        {"strip", 1, 1, false, strip}};

const tkp__eval_function *tkp__eval_function_find(const char *name)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        if (strcmp(functions[i].name, name) == 0)
            return &functions[i];
    return NULL;
}

const char *tkp__eval_function_name(const void *unused, int32_t i)
{
    (void)unused;
    return i >= 0 && (size_t)i < sizeof(functions) / sizeof(functions[0])
               ? functions[i].name
               : NULL;
}
