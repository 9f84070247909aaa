#include "util/text.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Length of the well-formed UTF-8 sequence at p and its code point; 0 if it is
 * not one. */
static size_t decode(const unsigned char *p, size_t left, uint32_t *out)
{
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80             ? 1
               : (p[0] & 0xe0) == 0xc0 ? 2
               : (p[0] & 0xf0) == 0xe0 ? 3
               : (p[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (!n || n > left)
        return 0;
    uint32_t code = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    if (code < smallest[n] || code > 0x10ffff ||
        (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *out = code;
    return n;
}

static bool is_plain_code(uint32_t code)
{
    return code >= 0x20 && code != 0x7f && !(code >= 0x80 && code < 0xa0) &&
           code != 0x2028 && code != 0x2029 && code != 0xfeff &&
           code != 0xfffe && code != 0xffff;
}

bool tkp__text_is_line(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        const size_t n =
            decode((const unsigned char *)text + i, bytes - i, &code);
        if (!n || !is_plain_code(code))
            return false;
        i += n;
    }
    return true;
}

tkp__shown tkp__show(const char *text)
{
    enum { room = 40 };
    tkp__shown out;
    size_t used = 0;
    const size_t bytes = strlen(text);
    size_t at = 0;
    while (at < bytes) {
        uint32_t code;
        size_t n = decode((const unsigned char *)text + at, bytes - at, &code);
        const bool plain = n && is_plain_code(code);
        if (used + (plain ? n : 1) > room)
            break;
        if (plain)
            memcpy(out.text + used, text + at, n);
        else
            out.text[used] = '?';
        used += plain ? n : 1;
        at += n ? n : 1;
    }
    strcpy(out.text + used, at < bytes ? "..." : "");
    return out;
}

/* --- numbers -------------------------------------------------------------- */

bool tkp__text_to_i64(
    const char *text,
    size_t bytes,
    int64_t low,
    int64_t high,
    int64_t *out)
{
    const bool negative = bytes && text[0] == '-';
    if (negative && low >= 0)
        return false;
    text += negative;
    bytes -= negative;
    if (!bytes || (bytes > 1 && text[0] == '0'))
        return false;
    int64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9' ||
            !tkp__mul_i64(value, 10, &value) ||
            !tkp__add_i64(value, text[i] - '0', &value))
            return false;
    }
    value = negative ? -value : value;
    if (value < low || value > high)
        return false;
    *out = value;
    return true;
}

bool tkp__text_to_u64(const char *text, uint64_t *out)
{
    const size_t bytes = strlen(text);
    if (!bytes || (bytes > 1 && text[0] == '0'))
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9' ||
            __builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

static const char *skip_digits(const char *p)
{
    while (*p >= '0' && *p <= '9')
        p++;
    return p;
}

static bool is_decimal(const char *text)
{
    const char *p = text + (*text == '-');
    const char *end = skip_digits(p);
    if (end == p)
        return false;
    if (*end == '.') {
        p = end + 1;
        end = skip_digits(p);
        if (end == p)
            return false;
    }
    if (*end == 'e') {
        p = end + 1;
        p += *p == '-' || *p == '+';
        end = skip_digits(p);
        if (end == p)
            return false;
    }
    return !*end && end - text < 32;
}

/* The program may have chosen a locale whose decimal point is a comma; a
 * policy is the same text everywhere. */
static locale_t enter_c_locale(locale_t *before)
{
    const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    *before = c ? uselocale(c) : (locale_t)0;
    return c;
}

static void leave_c_locale(locale_t c, locale_t before)
{
    if (!c)
        return;
    uselocale(before);
    freelocale(c);
}

bool tkp__text_to_f32(const char *text, float *out)
{
    if (!is_decimal(text))
        return false;
    locale_t before;
    const locale_t c = enter_c_locale(&before);
    const float value = strtof(text, NULL);
    leave_c_locale(c, before);
    if (!isfinite(value))
        return false;
    *out = value;
    return true;
}

void tkp__f32_to_text(float value, char text[32])
{
    locale_t before;
    const locale_t c = enter_c_locale(&before);
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, 32, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    leave_c_locale(c, before);
}

bool tkp__text_to_ratio(const char *text, int64_t *num, int64_t *den)
{
    static const int64_t most = INT32_MAX;
    const size_t bytes = strlen(text);
    const char *mark = strpbrk(text, "/.");
    if (!mark) {
        *den = 1;
        return tkp__text_to_i64(text, bytes, 0, most, num);
    }
    const size_t left = (size_t)(mark - text);
    const size_t right = bytes - left - 1;
    if (*mark == '/')
        return tkp__text_to_i64(text, left, 0, most, num) &&
               tkp__text_to_i64(mark + 1, right, 1, most, den);
    int64_t whole;
    int64_t places = 0;
    if (!right || right > 9 || skip_digits(mark + 1) != text + bytes ||
        !tkp__text_to_i64(text, left, 0, most, &whole))
        return false;
    *den = 1;
    for (size_t i = 0; i < right; i++) {
        places = places * 10 + (mark[1 + i] - '0');
        *den *= 10;
    }
    *num = whole * *den + places;
    return *num <= most;
}

/* --- the nearest word ------------------------------------------------------ */

enum { word_bytes = 64 };

/* Levenshtein distance of two words shorter than word_bytes. */
static int32_t distance(const char *a, const char *b)
{
    int32_t row[word_bytes + 1];
    const int32_t n = (int32_t)strlen(b);
    for (int32_t j = 0; j <= n; j++)
        row[j] = j;
    for (int32_t i = 0; a[i]; i++) {
        int32_t diagonal = row[0];
        row[0] = i + 1;
        for (int32_t j = 1; j <= n; j++) {
            const int32_t replaced = diagonal + (a[i] != b[j - 1]);
            int32_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            best = replaced < best ? replaced : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

int32_t tkp__nearest(
    const char *text,
    const char *(*name)(const void *list, int32_t i),
    const void *list)
{
    const size_t bytes = strlen(text);
    if (bytes >= word_bytes)
        return -1;
    int32_t least = (int32_t)(bytes + 2) / 3 + 1;
    int32_t found = -1;
    for (int32_t i = 0; name(list, i); i++) {
        const int32_t d = distance(text, name(list, i));
        if (d < least) {
            least = d;
            found = i;
        }
    }
    return found;
}
