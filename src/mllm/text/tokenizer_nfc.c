/*
 * Canonical composition (NFC). utf8proc has the tables, and could do it in one
 * call; but it sorts runs of combining marks by swapping neighbours, and a
 * text of 100 kB of marks would take it seconds. So the sort is done here.
 */

#include "mllm/text/tokenizer.h"

#include <stdlib.h>
#include <utf8proc.h>

enum { LONGEST_DECOMPOSITION = 4 }; /* canonical, of one character */

typedef struct nfc {
    utf8proc_int32_t *codes;
    size_t count;
    uint64_t *keys; /* for sorting one run */
} nfc;

static tkp_status decompose(nfc *work, const char *text, size_t bytes)
{
    const utf8proc_uint8_t *in = (const utf8proc_uint8_t *)text;
    size_t at = 0;
    while (at < bytes) {
        utf8proc_int32_t code;
        int boundary = 0;
        const utf8proc_ssize_t length =
            utf8proc_iterate(in + at, (utf8proc_ssize_t)(bytes - at), &code);
        const utf8proc_ssize_t parts =
            length > 0
                ? utf8proc_decompose_char(
                      code, work->codes + work->count, LONGEST_DECOMPOSITION,
                      UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &boundary)
                : length;
        TKP__CHECK(
            parts >= 0 && parts <= LONGEST_DECOMPOSITION, TKP_ERR_ARGUMENT,
            "NFC at byte %zu: %s", at, utf8proc_errmsg(parts));
        work->count += (size_t)parts;
        at += (size_t)length;
    }
    return TKP_OK;
}

static int combining_class(utf8proc_int32_t code)
{
    return utf8proc_get_property(code)->combining_class;
}

static int compare_keys(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* A key is class, place, character: the sort keeps the order within a class,
 * and the character comes back out of the key. */
static void sort_run(nfc *work, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; ++i) {
        const utf8proc_int32_t code = work->codes[i];
        work->keys[i - begin] = (uint64_t)combining_class(code) << 56 |
                                (uint64_t)(i - begin) << 24 | (uint64_t)code;
    }
    qsort(work->keys, end - begin, sizeof(*work->keys), compare_keys);
    for (size_t i = begin; i < end; ++i)
        work->codes[i] = (utf8proc_int32_t)(work->keys[i - begin] & 0xffffff);
}

static void reorder(nfc *work)
{
    size_t begin = 0;
    while (begin < work->count) {
        bool sorted = true;
        int last = combining_class(work->codes[begin]);
        size_t end = begin + 1;
        for (; last && end < work->count; ++end) {
            const int class = combining_class(work->codes[end]);
            if (!class)
                break;
            sorted = sorted && class >= last;
            last = class;
        }
        if (!sorted)
            sort_run(work, begin, end);
        begin = end;
    }
}

static tkp_status compose(nfc *work, tkp__text_buffer *out)
{
    const utf8proc_ssize_t count = utf8proc_normalize_utf32(
        work->codes, (utf8proc_ssize_t)work->count,
        UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    TKP__CHECK(
        count >= 0, TKP_ERR_ARGUMENT, "NFC of %zu characters: %s", work->count,
        utf8proc_errmsg(count));
    for (utf8proc_ssize_t i = 0; i < count; ++i) {
        utf8proc_uint8_t text[4];
        const utf8proc_ssize_t bytes =
            utf8proc_encode_char(work->codes[i], text);
        TKP__TRY(
            tkp__text_buffer_append(out, (const char *)text, (size_t)bytes));
    }
    return TKP_OK;
}

static bool is_ascii(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; ++i) {
        if ((unsigned char)text[i] >= 0x80)
            return false;
    }
    return true;
}

tkp_status tkp__text_nfc(tkp__text_buffer *out, const char *text, size_t bytes)
{
    if (is_ascii(text, bytes))
        return tkp__text_buffer_append(out, text, bytes);
    /* The place in a sort key has 32 bits, and so have counts in places. */
    TKP__CHECK(
        bytes < INT32_MAX / LONGEST_DECOMPOSITION, TKP_ERR_ARGUMENT,
        "NFC of %zu bytes, wanted less", bytes);
    nfc work = {
        .codes = tkp__alloc(
            LONGEST_DECOMPOSITION * (bytes + 1), sizeof(*work.codes)),
        .keys =
            tkp__alloc(LONGEST_DECOMPOSITION * (bytes + 1), sizeof(*work.keys)),
    };
    tkp_status status = work.codes && work.keys ? TKP_OK : TKP_ERR_MEMORY;
    if (status == TKP_OK)
        status = decompose(&work, text, bytes);
    if (status == TKP_OK) {
        reorder(&work);
        status = compose(&work, out);
    }
    tkp__free(work.codes);
    tkp__free(work.keys);
    return status;
}
