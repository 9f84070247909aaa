/* Boxes in answers: four numbers in one of several notations. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "eval/box.h"

/* [-+]?\d*\.?\d+([eE][-+]?\d+)? at `s`: its end, NULL if there is none. */
static const char *number_at(const char *s, double *out)
{
    const char *c = s + (*s == '-' || *s == '+');
    const size_t whole = strspn(c, "0123456789");
    size_t used = whole;
    if (c[whole] == '.' && isdigit((unsigned char)c[whole + 1]))
        used += 1 + strspn(c + whole + 1, "0123456789");
    if (used == 0)
        return NULL;
    c += used;
    if (*c == 'e' || *c == 'E') {
        const char *power = c + 1 + (c[1] == '-' || c[1] == '+');
        if (isdigit((unsigned char)*power))
            c = power + strspn(power, "0123456789");
    }
    char text[64];
    if ((size_t)(c - s) >= sizeof(text))
        return NULL;
    memcpy(text, s, (size_t)(c - s));
    text[c - s] = '\0';
    *out = strtod(text, NULL);
    return c;
}

static const char *skip_blanks(const char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    return s;
}

/* Behind a comma with blanks around it, or blanks alone; NULL if neither. */
static const char *skip_separator(const char *s)
{
    const char *c = skip_blanks(s);
    if (*c == ',')
        return skip_blanks(c + 1);
    return c > s ? c : NULL;
}

/* "a, b, ..." of n numbers between the two signs; the end, or NULL. */
static const char *
list_at(const char *s, char open, char close, int n, double *out)
{
    if (*s != open)
        return NULL;
    s = skip_blanks(s + 1);
    for (int i = 0; i < n; i++) {
        if (i > 0)
            s = skip_separator(s);
        if (s)
            s = number_at(s, &out[i]);
        if (!s)
            return NULL;
    }
    s = skip_blanks(s);
    return *s == close ? s + 1 : NULL;
}

static bool read_bracket4(const char *answer, double out[4])
{
    for (const char *s = strchr(answer, '['); s; s = strchr(s + 1, '['))
        if (list_at(s, '[', ']', 4, out))
            return true;
    return false;
}

static bool read_qwen(const char *answer, double out[4])
{
    for (const char *s = strchr(answer, '('); s; s = strchr(s + 1, '(')) {
        const char *second = list_at(s, '(', ')', 2, out);
        if (!second)
            continue;
        second = skip_blanks(second);
        if (*second == ',' &&
            list_at(skip_blanks(second + 1), '(', ')', 2, out + 2))
            return true;
    }
    return false;
}

/* The list behind a key that names a box, in JSON that may be cut or fenced. */
static bool read_json(const char *answer, double out[4])
{
    static const char *const keys[] = {
        "\"bbox_2d\"", "\"bbox\"", "\"box_2d\"", "\"box\""};
    for (const char *s = strchr(answer, '"'); s; s = strchr(s + 1, '"'))
        for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
            if (strncmp(s, keys[k], strlen(keys[k])) != 0)
                continue;
            const char *c = skip_blanks(s + strlen(keys[k]));
            if (*c == ':' && list_at(skip_blanks(c + 1), '[', ']', 4, out))
                return true;
        }
    return false;
}

static bool read_any4(const char *answer, double out[4])
{
    int found = 0;
    while (*answer && found < 4) {
        const char *end = number_at(answer, &out[found]);
        found += end != NULL;
        answer = end ? end : answer + 1;
    }
    return found == 4;
}

/* A field as Python's float() takes it; 0 = it does not. */
static bool field(const char *s, size_t bytes, double *out)
{
    char text[64];
    while (bytes > 0 && isspace((unsigned char)*s)) {
        s++;
        bytes--;
    }
    while (bytes > 0 && isspace((unsigned char)s[bytes - 1]))
        bytes--;
    if (bytes == 0 || bytes >= sizeof(text) || memchr(s, 'x', bytes) ||
        memchr(s, 'X', bytes) || memchr(s, '(', bytes))
        return false;
    memcpy(text, s, bytes);
    text[bytes] = '\0';
    char *end;
    *out = strtod(text, &end);
    return *end == '\0';
}

/* "[" once or more, three fields up to a comma each, a fourth up to "]", all on
 * one line; the first such place decides, and if a field is no number the box
 * is empty. */
static bool read_seed(const char *answer, double out[4])
{
    memset(out, 0, 4 * sizeof(double));
    for (const char *s = strchr(answer, '['); s; s = strchr(s + 1, '[')) {
        if (s[1] == '[')
            continue;
        const char *at = s + 1;
        double numbers[4];
        bool legal = true;
        int i = 0;
        for (; i < 4; i++) {
            const char *end = at;
            const char stop = i < 3 ? ',' : ']';
            while (*end && *end != '\n' && *end != stop)
                end++;
            if (*end != stop)
                break;
            legal = legal && field(at, (size_t)(end - at), &numbers[i]);
            at = end + 1;
        }
        if (i < 4)
            continue;
        if (legal)
            memcpy(out, numbers, sizeof(numbers));
        return true;
    }
    return false;
}

bool tkp__eval_box_read(double out[4], const char *answer, int32_t parser)
{
    const bool found = parser == TKP__EVAL_BOX_BRACKET4
                           ? read_bracket4(answer, out)
                       : parser == TKP__EVAL_BOX_SEED ? read_seed(answer, out)
                       : parser == TKP__EVAL_BOX_QWEN ? read_qwen(answer, out)
                       : parser == TKP__EVAL_BOX_JSON ? read_json(answer, out)
                                                      : read_any4(answer, out);
    return found && isfinite(out[0]) && isfinite(out[1]) && isfinite(out[2]) &&
           isfinite(out[3]);
}
