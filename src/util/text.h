#ifndef TKP_POLICY_TEXT_H
#define TKP_POLICY_TEXT_H

/*
 * Small text helpers of this room: what may stand in a name, numbers read and
 * written alike in every locale, and the nearest of a few words.
 */

#include "util/util.h"

/* One line of UTF-8 that YAML carries unchanged: no control characters, no
 * line or paragraph separators, no byte-order mark. */
bool tkp__text_is_line(const char *text, size_t bytes);

/* `text` made fit to stand in a message: at most 40 bytes and "...", control
 * characters as '?'. */
typedef struct tkp__shown {
    char text[56];
} tkp__shown;
tkp__shown tkp__show(const char *text);

/* Digits, after a '-' if low < 0; no sign, blank or leading zero beside. */
bool tkp__text_to_i64(
    const char *text,
    size_t bytes,
    int64_t low,
    int64_t high,
    int64_t *out);
bool tkp__text_to_u64(const char *text, uint64_t *out);
/* "-1.25", "3", "1e-5"; finite. */
bool tkp__text_to_f32(const char *text, float *out);
/* "a/b", "a", or a decimal below 10^9 with up to 9 places, taken exactly. */
bool tkp__text_to_ratio(const char *text, int64_t *num, int64_t *den);

/* The shortest decimal that reads back as `value`. */
void tkp__f32_to_text(float value, char text[32]);

/* Number of the name nearest to `text`, -1 if none is near. name(i) = NULL
 * ends the list. */
int32_t tkp__nearest(
    const char *text,
    const char *(*name)(const void *list, int32_t i),
    const void *list);

#endif
