#ifndef TKP_EVAL_WORDS_H
#define TKP_EVAL_WORDS_H

/*
 * Answers as text, with the meaning that Python gives to lower(), strip() and
 * split(): the published scorers are Python, and a blank that only one of two
 * programs sees is a point in a table. Bytes that are no UTF-8 stay as they
 * are. All results are the caller's, tkp__free() them; NULL without memory,
 * with the message set.
 */

#include "util/util.h"

char *tkp__eval_lower(const char *text);
char *tkp__eval_strip(const char *text);

/* The next word at *at (moved behind it): its start and bytes; NULL at the
 * end. */
const char *tkp__eval_word(const char **at, size_t *bytes);
/* Bytes of white space that `text` begins with, 0 = none. */
size_t tkp__eval_space(const char *text);

bool tkp__eval_is(const char *word, size_t bytes, const char *wanted);

/* Text that grows; all functions do nothing after the first failure, which
 * tkp__eval_text_take() tells. */
typedef struct tkp__eval_text {
    char *text;
    size_t bytes, capacity;
    bool failed;
} tkp__eval_text;

void tkp__eval_text_add(tkp__eval_text *t, const char *text, size_t bytes);
void tkp__eval_text_puts(tkp__eval_text *t, const char *text);
void tkp__eval_text_put(tkp__eval_text *t, char c);
/* The text, NUL-terminated; NULL if there was no memory. */
char *tkp__eval_text_take(tkp__eval_text *t);

#endif
