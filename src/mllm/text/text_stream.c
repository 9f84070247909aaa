/*
 * Ids to text as they come. What is given out is never taken back, so bytes
 * wait in `held` until what they mean is certain: with byte fallback a run of
 * byte pieces is one decision (all of it UTF-8, or a U+FFFD for each byte), so
 * the whole run waits; in the byte-level form only an unfinished character.
 */

#include "mllm/text/tokenizer.h"
#include "mllm/text/utf8.h"

static const char replacement_character[] = "\xef\xbf\xbd";

struct tkp__text_stream {
    const tkp__tokenizer *tokenizer;
    bool skip_special;
    bool first;         /* no piece was decoded so far */
    int32_t strip_left; /* characters that may still go from the front */
    tkp__text_buffer held;
    tkp__text_buffer piece;
    tkp__text_buffer scratch;
    tkp__text_buffer out;
};

tkp_status tkp__text_stream_create(
    tkp__text_stream **out,
    const tkp__tokenizer *tokenizer,
    bool skip_special)
{
    tkp__text_stream *stream = tkp__zalloc(1, sizeof(*stream));
    if (!stream)
        return TKP_ERR_MEMORY;
    stream->tokenizer = tokenizer;
    stream->skip_special = skip_special;
    stream->first = true;
    stream->strip_left = tokenizer->decoder.strip_count;
    *out = stream;
    return TKP_OK;
}

void tkp__text_stream_destroy(tkp__text_stream *stream)
{
    if (!stream)
        return;
    tkp__text_buffer_free(&stream->held);
    tkp__text_buffer_free(&stream->piece);
    tkp__text_buffer_free(&stream->scratch);
    tkp__text_buffer_free(&stream->out);
    tkp__free(stream);
}

/* --- pieces: replace, byte fallback, fuse, strip ----------------------- */

static tkp_status
emit_stripped(tkp__text_stream *stream, const char *text, size_t bytes)
{
    const char *strip = stream->tokenizer->decoder.strip;
    const size_t n = strlen(strip);
    while (bytes && stream->strip_left > 0) {
        if (bytes < n || memcmp(text, strip, n) != 0) {
            stream->strip_left = 0;
            break;
        }
        text += n;
        bytes -= n;
        --stream->strip_left;
    }
    return tkp__text_buffer_append(&stream->out, text, bytes);
}

static tkp_status flush_byte_run(tkp__text_stream *stream)
{
    const tkp__text_buffer *run = &stream->held;
    if (!run->bytes)
        return TKP_OK;
    if (tkp__utf8_valid_prefix(run->data, run->bytes) == run->bytes) {
        TKP__TRY(emit_stripped(stream, run->data, run->bytes));
    } else {
        for (size_t i = 0; i < run->bytes; ++i)
            TKP__TRY(emit_stripped(stream, replacement_character, 3));
    }
    tkp__text_buffer_clear(&stream->held);
    return TKP_OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "<0xHH>" -> the byte, anything else -> -1. */
static int byte_piece(const tkp__text_buffer *piece)
{
    const char *p = piece->data;
    if (piece->bytes != 6 || memcmp(p, "<0x", 3) != 0 || p[5] != '>')
        return -1;
    const int high = hex_digit(p[3]), low = hex_digit(p[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static tkp_status push_piece(tkp__text_stream *stream, const tkp__piece *piece)
{
    const tkp__decoder *decoder = &stream->tokenizer->decoder;
    TKP__TRY(tkp__normalizer_run(
        &decoder->replace, piece->text, piece->bytes, &stream->piece,
        &stream->scratch));
    const int byte = decoder->byte_fallback ? byte_piece(&stream->piece) : -1;
    if (byte >= 0) {
        const char c = (char)byte;
        return tkp__text_buffer_append(&stream->held, &c, 1);
    }
    TKP__TRY(flush_byte_run(stream));
    return emit_stripped(stream, stream->piece.data, stream->piece.bytes);
}

/* --- Metaspace --------------------------------------------------------- */

static tkp_status
push_metaspace(tkp__text_stream *stream, const tkp__piece *piece)
{
    const tkp__decoder *decoder = &stream->tokenizer->decoder;
    const bool drop = stream->first && decoder->drop_first_mark;
    return tkp__text_replace(
        &stream->out, piece->text, piece->bytes, decoder->strip,
        drop ? "" : " ");
}

/* --- byte level -------------------------------------------------------- */

/* The piece's bytes; a piece with a character that stands for no byte is
 * itself. */
static tkp_status append_bytes(tkp__text_buffer *out, const tkp__piece *piece)
{
    const size_t bytes_before = out->bytes;
    size_t length;
    for (size_t at = 0; at < piece->bytes; at += length) {
        int32_t code;
        length = tkp__utf8_next(piece->text + at, piece->bytes - at, &code);
        const int32_t byte = tkp__code_to_byte(code);
        if (byte < 0) {
            out->bytes = bytes_before;
            return tkp__text_buffer_append(out, piece->text, piece->bytes);
        }
        const char c = (char)byte;
        TKP__TRY(tkp__text_buffer_append(out, &c, 1));
    }
    return TKP_OK;
}

static tkp_status emit_characters(tkp__text_stream *stream)
{
    tkp__text_buffer *held = &stream->held;
    size_t at = 0, length;
    bool valid;
    while (
        (length = tkp__utf8_scan(held->data + at, held->bytes - at, &valid))) {
        TKP__TRY(tkp__text_buffer_append(
            &stream->out, valid ? held->data + at : replacement_character,
            valid ? length : 3));
        at += length;
    }
    memmove(held->data, held->data + at, held->bytes - at);
    held->bytes -= at;
    held->data[held->bytes] = '\0';
    return TKP_OK;
}

static tkp_status
push_byte_level(tkp__text_stream *stream, const tkp__piece *piece)
{
    TKP__TRY(tkp__text_buffer_reserve(&stream->held, piece->bytes));
    TKP__TRY(append_bytes(&stream->held, piece));
    return emit_characters(stream);
}

/* --- the stream -------------------------------------------------------- */

static tkp_status give_out(
    tkp__text_stream *stream,
    tkp_status status,
    const char **text,
    size_t *bytes)
{
    if (status != TKP_OK)
        return status;
    *text = stream->out.bytes ? stream->out.data : "";
    *bytes = stream->out.bytes;
    return TKP_OK;
}

tkp_status tkp__text_stream_push(
    tkp__text_stream *stream,
    int32_t id,
    const char **text,
    size_t *bytes)
{
    const tkp__tokenizer *t = stream->tokenizer;
    TKP__CHECK(id >= 0, TKP_ERR_ARGUMENT, "id %d, wanted >= 0", (int)id);
    tkp__text_buffer_clear(&stream->out);
    /* Models have more rows than the vocabulary has pieces; such an id is no
     * text, as in the reference. */
    const tkp__piece *piece = id < t->vocab.count ? &t->vocab.pieces[id] : NULL;
    if (!piece || !piece->text ||
        (stream->skip_special && (piece->flags & TKP__PIECE_SPECIAL)))
        return give_out(stream, TKP_OK, text, bytes);
    tkp_status status;
    switch (t->decoder.kind) {
    case TKP__DECODER_METASPACE:
        status = push_metaspace(stream, piece);
        break;
    case TKP__DECODER_BYTE_LEVEL:
        status = push_byte_level(stream, piece);
        break;
    default:
        status = push_piece(stream, piece);
    }
    stream->first = false;
    return give_out(stream, status, text, bytes);
}

tkp_status tkp__text_stream_finish(
    tkp__text_stream *stream,
    const char **text,
    size_t *bytes)
{
    tkp__text_buffer_clear(&stream->out);
    tkp_status status = TKP_OK;
    if (stream->tokenizer->decoder.kind == TKP__DECODER_PIECES)
        status = flush_byte_run(stream);
    else if (stream->held.bytes)
        status =
            tkp__text_buffer_append(&stream->out, replacement_character, 3);
    tkp__text_buffer_clear(&stream->held);
    return give_out(stream, status, text, bytes);
}
