/* The decoder section, and ids to text in one go. */

#include <stdio.h>

#include "mllm/text/json_field.h"
#include "mllm/text/tokenizer.h"
#include "mllm/text/utf8.h"

static tkp_status
one_character(const json_t *section, const char *key, char out[5])
{
    const char *text;
    int32_t code;
    TKP__TRY(tkp__field_string(section, "decoder", key, &text));
    const size_t bytes = strlen(text);
    TKP__CHECK(
        bytes && tkp__utf8_next(text, bytes, &code) == bytes, TKP_ERR_FORMAT,
        "decoder.%s has %zu bytes, wanted one character", key, bytes);
    memcpy(out, text, bytes + 1);
    return TKP_OK;
}

static tkp_status parse_strip(tkp__decoder *decoder, const json_t *section)
{
    int64_t start, stop;
    TKP__TRY(one_character(section, "content", decoder->strip));
    TKP__TRY(tkp__field_int(section, "Strip", "start", 0, INT32_MAX, &start));
    TKP__TRY(tkp__field_int(section, "Strip", "stop", 0, INT32_MAX, &stop));
    TKP__CHECK(
        stop == 0, TKP_ERR_UNSUPPORTED, "decoder Strip.stop is %lld, wanted 0",
        (long long)stop);
    decoder->strip_count = (int32_t)start;
    return TKP_OK;
}

static tkp_status parse_metaspace(tkp__decoder *decoder, const json_t *section)
{
    bool prefix;
    decoder->kind = TKP__DECODER_METASPACE;
    TKP__TRY(one_character(section, "replacement", decoder->strip));
    TKP__TRY(tkp__field_bool_or(
        section, "decoder", "add_prefix_space", true, &prefix));
    const char *scheme = prefix ? "always" : "never";
    const json_t *given = json_object_get(section, "prepend_scheme");
    if (given && !json_is_null(given))
        TKP__TRY(
            tkp__field_string(section, "decoder", "prepend_scheme", &scheme));
    decoder->drop_first_mark = strcmp(scheme, "never") != 0;
    return TKP_OK;
}

/* Replace, ByteFallback, Fuse, Strip: each may be missing, but in this order,
 * and only the whole text can be stripped: that is what the stream does. */
static tkp_status parse_piece_step(
    tkp__decoder *decoder,
    const json_t *section,
    const char *type,
    int *stage)
{
    static const char *const order[] = {
        "Replace", "ByteFallback", "Fuse", "Strip"};
    enum { REPLACE, BYTE_FALLBACK, FUSE, STRIP, KINDS };
    int kind = 0;
    while (kind < KINDS && strcmp(type, order[kind]) != 0)
        ++kind;
    char shown[TKP__SHOWN_BYTES];
    TKP__CHECK(
        kind < KINDS, TKP_ERR_UNSUPPORTED,
        "decoder.type is \"%s\", wanted Replace, ByteFallback, Fuse, Strip, "
        "Metaspace or ByteLevel",
        tkp__shown(shown, type));
    TKP__CHECK(
        kind > *stage || (kind == REPLACE && *stage == REPLACE),
        TKP_ERR_UNSUPPORTED,
        "decoder has %s after %s, wanted Replace, ByteFallback, Fuse, Strip",
        type, order[*stage]);
    TKP__CHECK(
        kind != STRIP || *stage == FUSE, TKP_ERR_UNSUPPORTED,
        "decoder has Strip without Fuse before it");
    *stage = kind;
    if (kind == REPLACE)
        return tkp__normalizer_parse(&decoder->replace, section);
    if (kind == BYTE_FALLBACK)
        decoder->byte_fallback = true;
    return kind == STRIP ? parse_strip(decoder, section) : TKP_OK;
}

static tkp_status parse_whole(
    tkp__decoder *decoder,
    const json_t *section,
    const char *type,
    bool *known)
{
    *known = true;
    if (strcmp(type, "Metaspace") == 0)
        return parse_metaspace(decoder, section);
    *known = strcmp(type, "ByteLevel") == 0;
    if (*known)
        decoder->kind = TKP__DECODER_BYTE_LEVEL;
    return TKP_OK;
}

tkp_status tkp__decoder_parse(tkp__decoder *decoder, const json_t *section)
{
    const char *type;
    bool known;
    int stage = -1;
    TKP__CHECK(
        section, TKP_ERR_UNSUPPORTED,
        "decoder is null, wanted a Sequence, Metaspace or ByteLevel");
    decoder->kind = TKP__DECODER_PIECES;
    TKP__TRY(tkp__field_string(section, "decoder", "type", &type));
    if (strcmp(type, "Sequence") != 0) {
        TKP__TRY(parse_whole(decoder, section, type, &known));
        return known ? TKP_OK
                     : parse_piece_step(decoder, section, type, &stage);
    }
    json_t *list, *entry;
    size_t index;
    TKP__TRY(tkp__field_array(section, "decoder", "decoders", &list));
    json_array_foreach(list, index, entry)
    {
        TKP__TRY(tkp__field_string(entry, "decoder", "type", &type));
        known = false;
        if (json_array_size(list) == 1)
            TKP__TRY(parse_whole(decoder, entry, type, &known));
        if (!known)
            TKP__TRY(parse_piece_step(decoder, entry, type, &stage));
    }
    return TKP_OK;
}

void tkp__decoder_free(tkp__decoder *decoder)
{
    tkp__normalizer_free(&decoder->replace);
}

/* By way of the stream, so that the two cannot disagree. */
static tkp_status decode_into(
    tkp__text_buffer *out,
    tkp__text_stream *stream,
    const int32_t *ids,
    int64_t count)
{
    const char *text;
    size_t bytes;
    for (int64_t i = 0; i < count; ++i) {
        TKP__TRY(tkp__text_stream_push(stream, ids[i], &text, &bytes));
        TKP__TRY(tkp__text_buffer_append(out, text, bytes));
    }
    TKP__TRY(tkp__text_stream_finish(stream, &text, &bytes));
    return tkp__text_buffer_append(out, text, bytes);
}

tkp_status tkp__tokenizer_decode(
    const tkp__tokenizer *tokenizer,
    const int32_t *ids,
    int64_t count,
    bool skip_special,
    char **text_out)
{
    TKP__CHECK(
        count >= 0 && (ids || !count), TKP_ERR_ARGUMENT,
        "ids: %lld of them, %s", (long long)count, ids ? "not NULL" : "NULL");
    tkp__text_stream *stream;
    tkp__text_buffer out = {0};
    TKP__TRY(tkp__text_stream_create(&stream, tokenizer, skip_special));
    const tkp_status status = decode_into(&out, stream, ids, count);
    tkp__text_stream_destroy(stream);
    if (status != TKP_OK) {
        tkp__text_buffer_free(&out);
        return status;
    }
    *text_out = out.data;
    return TKP_OK;
}
