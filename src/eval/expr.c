#include "eval/expr.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "eval/expr_functions.h"
#include "eval/words.h"
#include "util/text.h"

enum { MOST_DEPTH = 16, MOST_NAME = 64 };

typedef struct parser {
    const char *text; /* all of it, for messages */
    const char *at;
    const tkp__eval_scope *scope;
    int depth;
} parser;

static tkp_status sum(json_t **out, parser *p);

static tkp_status refuse(const parser *p, const char *wanted)
{
    return tkp__fail(
        TKP_ERR_PARSE, "in '%s', at character %d: wanted %s",
        tkp__show(p->text).text, (int)(p->at - p->text) + 1, wanted);
}

static void skip(parser *p)
{
    while (isspace((unsigned char)*p->at))
        p->at++;
}

static bool take(parser *p, char c)
{
    skip(p);
    if (*p->at != c)
        return false;
    p->at++;
    return true;
}

/* --- values as text ----------------------------------------------------------- */

tkp_status tkp__eval_value_text(char **out, const json_t *value)
{
    char number[64];
    const char *text = number;
    switch (json_typeof(value)) {
    case JSON_STRING:
        text = json_string_value(value);
        break;
    case JSON_INTEGER:
        snprintf(
            number, sizeof(number), "%lld",
            (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(number, sizeof(number), "%.15g", json_real_value(value));
        break;
    case JSON_TRUE:
        text = "true";
        break;
    case JSON_FALSE:
        text = "false";
        break;
    default:
        return tkp__fail(
            TKP_ERR_DATA, "a value is %s, wanted a text or a number",
            json_is_array(value)    ? "a list"
            : json_is_object(value) ? "an object"
                                    : "null");
    }
    *out = tkp__strdup(text);
    return *out ? TKP_OK : TKP_ERR_MEMORY;
}

static tkp_status new_text(json_t **out, const char *text)
{
    *out = json_string(text);
    TKP__CHECK(*out, TKP_ERR_MEMORY, "out of memory for a text");
    return TKP_OK;
}

/* --- parts --------------------------------------------------------------------- */

static tkp_status quoted(json_t **out, parser *p)
{
    tkp__eval_text text = {0};
    for (p->at++; *p->at && *p->at != '\''; p->at++) {
        if (*p->at != '\\') {
            tkp__eval_text_put(&text, *p->at);
            continue;
        }
        p->at++;
        if (!*p->at || !strchr("nt\\'", *p->at)) {
            tkp__free(tkp__eval_text_take(&text));
            return refuse(p, "\\n, \\t, \\\\ or \\'");
        }
        tkp__eval_text_put(
            &text, *p->at == 'n'   ? '\n'
                   : *p->at == 't' ? '\t'
                                   : *p->at);
    }
    char *plain = tkp__eval_text_take(&text);
    if (!plain)
        return TKP_ERR_MEMORY;
    const tkp_status status =
        *p->at == '\'' ? new_text(out, plain) : refuse(p, "a closing '");
    p->at += *p->at == '\'';
    tkp__free(plain);
    return status;
}

static tkp_status number(json_t **out, parser *p)
{
    char *end;
    const long long value = strtoll(p->at, &end, 10);
    if (end - p->at > 18)
        return refuse(p, "a number below 10^18");
    p->at = end;
    *out = json_integer(value);
    TKP__CHECK(*out, TKP_ERR_MEMORY, "out of memory for a number");
    return TKP_OK;
}

static void release_all(json_t **values, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        json_decref(values[i]);
}

/* "a, b)" behind an opening sign; missing ones are NULL. */
static tkp_status
list(json_t **values, int32_t most, int32_t *count, parser *p, char close)
{
    *count = 0;
    if (take(p, close))
        return TKP_OK;
    for (;;) {
        json_t *value = NULL;
        tkp_status status =
            *count < most ? sum(&value, p) : refuse(p, "fewer values");
        if (status == TKP_OK) {
            values[(*count)++] = value;
            if (take(p, close))
                return TKP_OK;
            if (take(p, ','))
                continue;
            status = refuse(p, close == ')' ? "',' or ')'" : "',' or ']'");
        }
        release_all(values, *count);
        *count = 0;
        return status;
    }
}

enum { MOST_LIST = 32 };

static tkp_status array(json_t **out, parser *p)
{
    json_t *values[MOST_LIST];
    int32_t count;
    p->at++;
    TKP__TRY(list(values, MOST_LIST, &count, p, ']'));
    json_t *all = json_array();
    bool whole = all != NULL;
    for (int32_t i = 0; i < count; i++)
        whole = whole && values[i] && json_array_append(all, values[i]) == 0;
    release_all(values, count);
    if (whole)
        *out = all;
    else
        json_decref(all);
    return TKP_OK;
}

static tkp_status call(json_t **out, parser *p, const char *name)
{
    json_t *values[TKP__EVAL_MOST_ARGUMENTS];
    int32_t count;
    const tkp__eval_function *f = tkp__eval_function_find(name);
    if (!f) {
        const int32_t near = tkp__nearest(name, tkp__eval_function_name, NULL);
        return tkp__fail(
            TKP_ERR_PARSE, "in '%s': there is no function %s%s%s%s",
            tkp__show(p->text).text, tkp__show(name).text,
            near >= 0 ? ", did you mean " : "",
            near >= 0 ? tkp__eval_function_name(NULL, near) : "",
            near >= 0 ? "?" : "");
    }
    TKP__TRY(list(values, TKP__EVAL_MOST_ARGUMENTS, &count, p, ')'));
    tkp_status status = TKP_OK;
    bool there = true;
    for (int32_t i = 0; i < count; i++)
        there = there && values[i];
    if (count < f->least || count > f->most)
        status = tkp__fail(
            TKP_ERR_PARSE, "in '%s': %s takes %d to %d values, wanted those",
            tkp__show(p->text).text, f->name, f->least, f->most);
    else if (p->scope && (there || f->missing))
        status = f->call(out, values, count, p->scope);
    release_all(values, count);
    return status;
}

/* name, and .part and [i] behind it; what is not there is missing */
static tkp_status path(json_t **out, parser *p, const char *name)
{
    const json_t *value = NULL;
    for (size_t i = 0; p->scope && i < 3 && !value; i++)
        value = json_object_get(p->scope->objects[i], name);
    for (;;) {
        if (*p->at == '.') {
            char part[MOST_NAME];
            const size_t n = strspn(
                p->at + 1,
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                "0123456789_");
            if (n == 0 || n >= sizeof(part))
                return refuse(p, "a name behind '.'");
            memcpy(part, p->at + 1, n);
            part[n] = '\0';
            p->at += 1 + n;
            value = json_object_get(value, part);
        } else if (*p->at == '[') {
            char *end;
            const unsigned long i = strtoul(p->at + 1, &end, 10);
            if (end == p->at + 1 || *end != ']')
                return refuse(p, "[number]");
            p->at = end + 1;
            value = json_array_get(value, i);
        } else {
            break;
        }
    }
    if (value && !json_is_null(value))
        *out = json_incref((json_t *)value);
    return TKP_OK;
}

static tkp_status term(json_t **out, parser *p)
{
    char name[MOST_NAME];
    size_t n = 0;
    skip(p);
    if (*p->at == '\'')
        return quoted(out, p);
    if (isdigit((unsigned char)*p->at))
        return number(out, p);
    if (*p->at == '[')
        return array(out, p);
    while (n + 1 < sizeof(name) &&
           (isalnum((unsigned char)p->at[n]) || p->at[n] == '_')) {
        name[n] = p->at[n];
        n++;
    }
    name[n] = '\0';
    if (n == 0 || n + 1 == sizeof(name))
        return refuse(p, "a name, a 'text', a number or a [list]");
    p->at += n;
    return take(p, '(') ? call(out, p, name) : path(out, p, name);
}

static tkp_status add(json_t **left, const json_t *right)
{
    char *a = NULL, *b = NULL;
    tkp__eval_text both = {0};
    tkp_status status = tkp__eval_value_text(&a, *left);
    if (status == TKP_OK)
        status = tkp__eval_value_text(&b, right);
    if (status == TKP_OK) {
        tkp__eval_text_puts(&both, a);
        tkp__eval_text_puts(&both, b);
    }
    tkp__free(a);
    tkp__free(b);
    TKP__TRY(status);
    char *text = tkp__eval_text_take(&both);
    if (!text)
        return TKP_ERR_MEMORY;
    json_decref(*left);
    *left = NULL;
    status = new_text(left, text);
    tkp__free(text);
    return status;
}

static tkp_status sum(json_t **out, parser *p)
{
    json_t *all = NULL;
    if (p->depth >= MOST_DEPTH)
        return refuse(p, "less depth");
    p->depth++;
    tkp_status status = term(&all, p);
    bool missing = status == TKP_OK && !all;
    while (status == TKP_OK && take(p, '+')) {
        json_t *next = NULL;
        status = term(&next, p);
        missing = missing || !next;
        if (status == TKP_OK && !missing)
            status = add(&all, next);
        json_decref(next);
    }
    p->depth--;
    if (status == TKP_OK && !missing)
        *out = all;
    else
        json_decref(all);
    return status;
}

tkp_status
tkp__eval_expr(json_t **out, const char *text, const tkp__eval_scope *scope)
{
    parser p = {text, text, scope, 0};
    json_t *value = NULL;
    *out = NULL;
    TKP__TRY(sum(&value, &p));
    skip(&p);
    if (*p.at) {
        json_decref(value);
        return refuse(&p, "'+' or the end");
    }
    *out = value;
    return TKP_OK;
}

/* --- templates ------------------------------------------------------------------- */

/* The expression behind '{', up to the brace that closes it outside quotes. */
static size_t expression_bytes(const char *s)
{
    bool inside = false;
    size_t n = 0;
    for (; s[n] && (inside || s[n] != '}'); n++) {
        if (s[n] == '\'')
            inside = !inside;
        else if (inside && s[n] == '\\' && s[n + 1])
            n++;
    }
    return n;
}

static tkp_status fill(
    tkp__eval_text *out,
    bool *missing,
    const char *text,
    size_t bytes,
    const tkp__eval_scope *scope)
{
    json_t *value = NULL;
    char *piece = NULL;
    char *copy = tkp__zalloc(bytes + 1, 1);
    if (!copy)
        return TKP_ERR_MEMORY;
    memcpy(copy, text, bytes);
    tkp_status status = tkp__eval_expr(&value, copy, scope);
    if (status == TKP_OK && value)
        status = tkp__eval_value_text(&piece, value);
    if (status == TKP_OK && piece)
        tkp__eval_text_puts(out, piece);
    *missing = *missing || !value;
    json_decref(value);
    tkp__free(piece);
    tkp__free(copy);
    return status;
}

tkp_status
tkp__eval_template(char **out, const char *text, const tkp__eval_scope *scope)
{
    tkp__eval_text all = {0};
    tkp_status status = TKP_OK;
    bool missing = false;
    *out = NULL;
    for (const char *s = text; *s && status == TKP_OK; s++) {
        if ((*s == '{' || *s == '}') && s[1] == *s) {
            tkp__eval_text_put(&all, *s++);
        } else if (*s == '{') {
            const size_t n = expression_bytes(s + 1);
            if (s[1 + n] == '}')
                status = fill(&all, &missing, s + 1, n, scope);
            else
                status = tkp__fail(
                    TKP_ERR_PARSE, "in '%s': wanted a '}' behind '{'",
                    tkp__show(text).text);
            s += n + (s[1 + n] != '\0');
        } else if (*s == '}') {
            status = tkp__fail(
                TKP_ERR_PARSE, "in '%s': '}' alone, wanted '}}'",
                tkp__show(text).text);
        } else {
            tkp__eval_text_put(&all, *s);
        }
    }
    char *filled = tkp__eval_text_take(&all);
    if (status == TKP_OK && !filled)
        status = TKP_ERR_MEMORY;
    if (status == TKP_OK && !missing)
        *out = filled;
    else
        tkp__free(filled);
    return status;
}

tkp_status
tkp__eval_text_of(char **out, const char *text, const tkp__eval_scope *scope)
{
    json_t *value;
    *out = NULL;
    if (strchr(text, '{'))
        return tkp__eval_template(out, text, scope);
    TKP__TRY(tkp__eval_expr(&value, text, scope));
    if (!value)
        return TKP_OK;
    const tkp_status status = tkp__eval_value_text(out, value);
    json_decref(value);
    return status;
}
