#ifndef TKP_MLLM_TEXT_TEXT_H
#define TKP_MLLM_TEXT_TEXT_H

/*
 * From text to token ids and back, as the checkpoint's tokenizer.json says,
 * and the prompt formats of the supported models.
 */

#include "util/util.h"

typedef struct tkp__tokenizer tkp__tokenizer;

/* Reads DIR/tokenizer.json (+ added_tokens_decoder of tokenizer_config.json
 * where present), or vocab.json and merges.txt of a Qwen2 checkpoint. Any layout that is not understood is an error that names
 * what was met; nothing is guessed. */
tkp_status tkp__tokenizer_load(tkp__tokenizer **out, const char *model_dir);
void tkp__tokenizer_destroy(tkp__tokenizer *tokenizer);

int64_t tkp__tokenizer_vocab_size(const tkp__tokenizer *tokenizer);
/* Id of exactly this piece or added token; -1 if there is none. */
int32_t tkp__tokenizer_find(const tkp__tokenizer *tokenizer, const char *piece);
/* Bytes of the piece as stored (not decoded); NULL outside the vocabulary. */
const char *tkp__tokenizer_piece(const tkp__tokenizer *tokenizer, int32_t id);

enum tkp__encode_flags {
    TKP__ENCODE_SPECIAL = 1, /* add BOS etc. as the post-processor says */
    TKP__ENCODE_PLAIN = 2    /* text that looks like an added token is text */
};

/* ids: allocated with tkp__alloc, freed by the caller with tkp__free. `text`
 * must be valid UTF-8 (TKP_ERR_ARGUMENT names the byte); it may hold NULs. */
tkp_status tkp__tokenizer_encode(
    const tkp__tokenizer *tokenizer,
    const char *text,
    size_t bytes,
    uint32_t flags,
    int32_t **ids_out,
    int64_t *count_out);

/* Whole sequence at once; result NUL-terminated, freed with tkp__free. Ids
 * that have no piece are no text; negative ones are TKP_ERR_ARGUMENT. A NUL
 * among the pieces ends the C string early: use the stream if that matters. */
tkp_status tkp__tokenizer_decode(
    const tkp__tokenizer *tokenizer,
    const int32_t *ids,
    int64_t count,
    bool skip_special,
    char **text_out);

/* Streaming: push ids, get the text that is now certain (may be empty);
 * incomplete byte runs are held back until finish. What is emitted over a
 * whole run equals tkp__tokenizer_decode of all ids. */
typedef struct tkp__text_stream tkp__text_stream;
tkp_status tkp__text_stream_create(
    tkp__text_stream **out,
    const tkp__tokenizer *tokenizer,
    bool skip_special);
/* `text` stays valid until the next call on the stream. */
tkp_status tkp__text_stream_push(
    tkp__text_stream *stream,
    int32_t id,
    const char **text,
    size_t *bytes);
tkp_status tkp__text_stream_finish(
    tkp__text_stream *stream,
    const char **text,
    size_t *bytes);
void tkp__text_stream_destroy(tkp__text_stream *stream);

/* Prompt formats (models.md 9.3). */
enum tkp__prompt_format {
    TKP__PROMPT_LLAVA_HF = 0, /* "USER: <image>\n{text} ASSISTANT:" */
    TKP__PROMPT_VICUNA_V1 = 1,
    TKP__PROMPT_RAW = 2,     /* one message, whose text is the whole prompt */
    TKP__PROMPT_QWEN2_VL = 3 /* image_token: "<|image_pad|>" */
};

typedef struct tkp__message {
    int32_t role;   /* 0 system, 1 user, 2 assistant */
    int32_t images; /* placeholders put before the text */
    const char *text;
    int32_t videos; /* placeholders put after those of the images */
} tkp__message;

/* The prompt string of a conversation, ending so that the assistant speaks
 * next; freed with tkp__free. Text of a message that already holds "<image>"
 * keeps its placeholders where they are (then `images` must be 0); likewise
 * videos. `video_token` is NULL for a model that takes none. */
tkp_status tkp__prompt_render(
    int32_t format,
    const tkp__message *messages,
    int64_t count,
    const char *image_token,
    const char *video_token,
    char **out);

#endif
