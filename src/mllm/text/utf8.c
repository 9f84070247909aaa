#include "mllm/text/utf8.h"

#include <utf8proc.h>

size_t tkp__utf8_next(const char *text, size_t bytes, int32_t *code)
{
    if (!bytes) {
        *code = -1;
        return 0;
    }
    /* 4 is enough for any character, and the length argument is signed. */
    utf8proc_int32_t point;
    const utf8proc_ssize_t length = utf8proc_iterate(
        (const utf8proc_uint8_t *)text,
        (utf8proc_ssize_t)(bytes < 4 ? bytes : 4), &point);
    *code = point;
    return length > 0 ? (size_t)length : 0;
}

size_t tkp__utf8_last(const char *text, size_t bytes, int32_t *code)
{
    size_t start = bytes;
    while (start > 0 && ((unsigned char)text[--start] & 0xc0) == 0x80)
        continue;
    return tkp__utf8_next(text + start, bytes - start, code);
}

size_t tkp__utf8_put(char out[4], int32_t code)
{
    return (size_t)utf8proc_encode_char(code, (utf8proc_uint8_t *)out);
}

size_t tkp__utf8_valid_prefix(const char *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        if ((unsigned char)text[at] < 0x80) {
            ++at;
            continue;
        }
        int32_t code;
        const size_t length = tkp__utf8_next(text + at, bytes - at, &code);
        if (!length)
            break;
        at += length;
    }
    return at;
}

/* The second byte's range depends on the first: no overlong forms, no
 * surrogates, nothing above U+10FFFF. Gives the length, 0 for a bad lead. */
static size_t
lead_byte(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

size_t tkp__utf8_scan(const char *text, size_t bytes, bool *valid)
{
    const unsigned char *in = (const unsigned char *)text;
    *valid = false;
    if (!bytes)
        return 0;
    unsigned char low, high;
    const size_t length = lead_byte(in[0], &low, &high);
    if (!length)
        return 1;
    for (size_t i = 1; i < length; ++i) {
        if (i == bytes)
            return 0;
        if (in[i] < low || in[i] > high)
            return i;
        low = 0x80;
        high = 0xbf;
    }
    *valid = true;
    return length;
}

bool tkp__is_white_space(int32_t code)
{
    if ((code >= 0x09 && code <= 0x0d) || code == 0x85)
        return true;
    const utf8proc_category_t category = utf8proc_category(code);
    return category == UTF8PROC_CATEGORY_ZS ||
           category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

/* Symbols that are Alphabetic although their category is not a letter's. */
static bool is_enclosed_letter(int32_t code)
{
    return (code >= 0x24b6 && code <= 0x24e9) ||
           (code >= 0x1f130 && code <= 0x1f149) ||
           (code >= 0x1f150 && code <= 0x1f169) ||
           (code >= 0x1f170 && code <= 0x1f189);
}

bool tkp__is_word(int32_t code)
{
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default: /* the two joiners, and enclosed letters */
        return code == 0x200c || code == 0x200d || is_enclosed_letter(code);
    }
}
