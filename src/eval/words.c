#include "eval/words.h"

#include <utf8proc.h>

void tkp__eval_text_add(tkp__eval_text *t, const char *text, size_t bytes)
{
    size_t wanted;
    if (t->failed)
        return;
    if (!tkp__add_size(t->bytes, bytes, &wanted) ||
        !tkp__add_size(wanted, 1, &wanted)) {
        t->failed = true;
        return;
    }
    if (wanted > t->capacity) {
        const size_t grown = wanted < SIZE_MAX / 2 ? 2 * wanted : wanted;
        char *moved = tkp__realloc(t->text, t->bytes, grown);
        if (!moved) {
            t->failed = true;
            return;
        }
        t->text = moved;
        t->capacity = grown;
    }
    memcpy(t->text + t->bytes, text, bytes);
    t->bytes += bytes;
}

void tkp__eval_text_puts(tkp__eval_text *t, const char *text)
{
    tkp__eval_text_add(t, text, strlen(text));
}

void tkp__eval_text_put(tkp__eval_text *t, char c)
{
    tkp__eval_text_add(t, &c, 1);
}

char *tkp__eval_text_take(tkp__eval_text *t)
{
    tkp__eval_text_add(t, "", 1);
    char *out = t->text;
    if (t->failed) {
        tkp__free(out);
        out = NULL;
    }
    *t = (tkp__eval_text){0};
    return out;
}

/* The character at `s`; a byte that begins none is itself, negative. */
static utf8proc_ssize_t character(const char *s, utf8proc_int32_t *out)
{
    const unsigned char first = (unsigned char)*s;
    if (first < 0x80) {
        *out = first;
        return 1;
    }
    const utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)s, -1, out);
    if (n > 0)
        return n;
    *out = -1;
    return 1;
}

static bool is_space(utf8proc_int32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 ||
           c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

size_t tkp__eval_space(const char *text)
{
    utf8proc_int32_t c;
    const utf8proc_ssize_t n = character(text, &c);
    return *text && is_space(c) ? (size_t)n : 0;
}

char *tkp__eval_lower(const char *text)
{
    tkp__eval_text out = {0};
    while (*text) {
        utf8proc_int32_t c;
        utf8proc_uint8_t lower[4];
        const utf8proc_ssize_t n = character(text, &c);
        if (c < 0)
            tkp__eval_text_add(&out, text, 1);
        else if (c == 0x130) /* the one capital with two small characters */
            tkp__eval_text_puts(&out, "i\xcc\x87");
        else
            tkp__eval_text_add(
                &out, (const char *)lower,
                (size_t)utf8proc_encode_char(utf8proc_tolower(c), lower));
        text += n;
    }
    return tkp__eval_text_take(&out);
}

char *tkp__eval_strip(const char *text)
{
    tkp__eval_text out = {0};
    for (size_t n; (n = tkp__eval_space(text)) > 0;)
        text += n;
    size_t end = 0;
    for (size_t i = 0; text[i];) {
        utf8proc_int32_t c;
        i += (size_t)character(text + i, &c);
        if (!is_space(c))
            end = i;
    }
    tkp__eval_text_add(&out, text, end);
    return tkp__eval_text_take(&out);
}

const char *tkp__eval_word(const char **at, size_t *bytes)
{
    const char *word = *at;
    for (size_t n; (n = tkp__eval_space(word)) > 0;)
        word += n;
    const char *end = word;
    while (*end && !tkp__eval_space(end)) {
        utf8proc_int32_t c;
        end += character(end, &c);
    }
    *at = end;
    *bytes = (size_t)(end - word);
    return end > word ? word : NULL;
}

bool tkp__eval_is(const char *word, size_t bytes, const char *wanted)
{
    return strlen(wanted) == bytes && memcmp(word, wanted, bytes) == 0;
}
