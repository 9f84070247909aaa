/*
 * Canonical composition (NFC). utf8proc has the tables, and could do it in one
 * call; but it sorts runs of combining marks by swapping neighbours, and a
 * text of 100 kB of marks would take it seconds. So the sort is done here.
 */

#include "mllm/text/tokenizer.h"
#include "mllm/text/utf8.h"

#include <stdlib.h>
#include <utf8proc.h>

enum { LONGEST_DECOMPOSITION = 4 }; /* canonical, of one character */

typedef struct nfc {
    utf8proc_int32_t *codes;
    size_t count;
    uint64_t *keys; /* for sorting one run */
} nfc;

/*
 * The library whose ids these are has the tables of Unicode 9: combining marks
 * that came later are to it characters like any other, so nothing is moved or
 * composed across them. (U+11930 came with a composition of its own.)
 */
static const utf8proc_int32_t later_marks[][2] = {
    {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},
    {0x9fe, 0x9fe},     {0xc3c, 0xc3c},     {0xd3b, 0xd3c},
    {0xeba, 0xeba},     {0x1715, 0x1715},   {0x1abf, 0x1ace},
    {0x1df6, 0x1dfa},   {0xa82c, 0xa82c},   {0x10d24, 0x10d27},
    {0x10eab, 0x10eac}, {0x10efd, 0x10eff}, {0x10f46, 0x10f50},
    {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b},
    {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11930, 0x11930},
    {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0},
    {0x11a34, 0x11a34}, {0x11a47, 0x11a47}, {0x11a99, 0x11a99},
    {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97},
    {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f},
    {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef},
    {0x1e4ec, 0x1e4ef}};

static bool is_later_mark(utf8proc_int32_t code)
{
    size_t low = 0, high = sizeof(later_marks) / sizeof(later_marks[0]);
    if (code < later_marks[0][0])
        return false;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (later_marks[middle][1] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof(later_marks) / sizeof(later_marks[0]) &&
           later_marks[low][0] <= code;
}

/* From *from up to the next later mark, or the end. */
static tkp_status
decompose(nfc *work, const char *text, size_t bytes, size_t *from)
{
    const utf8proc_uint8_t *in = (const utf8proc_uint8_t *)text;
    size_t at = *from;
    work->count = 0;
    while (at < bytes) {
        utf8proc_int32_t code;
        int boundary = 0;
        const utf8proc_ssize_t length =
            utf8proc_iterate(in + at, (utf8proc_ssize_t)(bytes - at), &code);
        if (length > 0 && is_later_mark(code))
            break;
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
    *from = at;
    return TKP_OK;
}

static tkp_status copy_later_marks(
    tkp__text_buffer *out,
    const char *text,
    size_t bytes,
    size_t *at)
{
    int32_t code;
    size_t length;
    while ((length = tkp__utf8_next(text + *at, bytes - *at, &code)) &&
           is_later_mark(code)) {
        TKP__TRY(tkp__text_buffer_append(out, text + *at, length));
        *at += length;
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
    for (size_t at = 0; status == TKP_OK && at < bytes;) {
        TKP__TRY_OUT(decompose(&work, text, bytes, &at));
        reorder(&work);
        TKP__TRY_OUT(compose(&work, out));
        TKP__TRY_OUT(copy_later_marks(out, text, bytes, &at));
    }
out:
    tkp__free(work.codes);
    tkp__free(work.keys);
    return status;
}
