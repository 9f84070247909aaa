#ifndef TKP_MLLM_TEXT_UTF8_H
#define TKP_MLLM_TEXT_UTF8_H

/* UTF-8 and the few character classes needed; tables are utf8proc's. */

#include "util/util.h"

/* Length of the valid text at the front; `bytes` when all of it is valid. */
size_t tkp__utf8_valid_prefix(const char *text, size_t bytes);

/* First character of valid text; its length in bytes (0 at the end). */
size_t tkp__utf8_next(const char *text, size_t bytes, int32_t *code);
/* Last character of valid text, likewise. */
size_t tkp__utf8_last(const char *text, size_t bytes, int32_t *code);
/* Writes 1..4 bytes. */
size_t tkp__utf8_put(char out[4], int32_t code);

/*
 * What begins at the front of bytes that may be anything. Returns how many
 * bytes it takes: a whole character (*valid true) or the longest start of one
 * that cannot go on (*valid false; one U+FFFD stands for it, as in the WHATWG
 * and Rust decoders). 0: all `bytes` are the beginning of a character that
 * more bytes could complete.
 */
size_t tkp__utf8_scan(const char *text, size_t bytes, bool *valid);

bool tkp__is_white_space(int32_t code); /* Unicode White_Space */
bool tkp__is_word(int32_t code);        /* UTS 18 \w */

#endif
