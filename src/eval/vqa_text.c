/*
 * The steps, in this order: (evalai only) lower case, no ',' and '?', blanks
 * before "'s"; newlines and tabs to blanks; strip; punctuation; periods; words.
 * Whether a sign is deleted or replaced by a blank is decided on the text
 * before any sign was touched. At most 32 periods go: the programs pass a flag
 * where the count belongs.
 */
#include "eval/vqa_text.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "eval/contractions.h"
#include "eval/words.h"

enum { MOST_PERIODS = 32 };

/* Bytes of the decimal digit at `s`, of any script, 0 = none. */
static int digit_at(const char *s)
{
    utf8proc_int32_t c;
    if ((unsigned char)*s < 0x80)
        return *s >= '0' && *s <= '9';
    const utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)s, -1, &c);
    return n > 0 && utf8proc_category(c) == UTF8PROC_CATEGORY_ND ? (int)n : 0;
}

/* There is one right before text[i]. */
static bool digit_before(const char *text, size_t i)
{
    size_t start = i;
    while (start > 0 && i - start < 4) {
        start--;
        if (((unsigned char)text[start] & 0xc0) != 0x80)
            break;
    }
    const int n = start < i ? digit_at(text + start) : 0;
    return n > 0 && start + (size_t)n == i;
}

static bool comma_between_digits(const char *text)
{
    for (const char *c = strchr(text, ','); c; c = strchr(c + 1, ','))
        if (digit_before(text, (size_t)(c - text)) && digit_at(c + 1))
            return true;
    return false;
}

static bool beside_blank(const char *text, char sign)
{
    for (const char *c = strchr(text, sign); c; c = strchr(c + 1, sign))
        if (c[1] == ' ' || (c > text && c[-1] == ' '))
            return true;
    return false;
}

/* Signs in place: each is deleted everywhere, or a blank everywhere. */
static void without_signs(char *text)
{
    static const char signs[] = ";/[]\"{}()=+\\_-><@`,?!";
    bool deleted[128] = {false}, blank[128] = {false};
    const bool all = comma_between_digits(text);
    for (const char *s = signs; *s; s++) {
        const bool gone = all || beside_blank(text, *s);
        deleted[(int)*s] = gone;
        blank[(int)*s] = !gone;
    }
    char *to = text;
    for (const char *c = text; *c; c++) {
        const unsigned char byte = (unsigned char)*c;
        if (byte < 128 && deleted[byte])
            continue;
        *to++ = byte < 128 && blank[byte] ? ' ' : *c;
    }
    *to = '\0';
}

/* `between`: a period stays that has a digit on either side, not only one with
 * a digit behind it. */
static char *without_periods(const char *text, bool between)
{
    tkp__eval_text out = {0};
    int gone = 0;
    for (size_t i = 0; text[i]; i++) {
        const bool stays =
            digit_at(text + i + 1) || (between && digit_before(text, i));
        if (text[i] == '.' && !stays && gone < MOST_PERIODS)
            gone++;
        else
            tkp__eval_text_put(&out, text[i]);
    }
    return tkp__eval_text_take(&out);
}

char *tkp__eval_vlmeval_punctuation(const char *text)
{
    char *plain = tkp__strdup(text);
    if (!plain)
        return NULL;
    without_signs(plain);
    char *out = without_periods(plain, true);
    tkp__free(plain);
    return out;
}

/* --- words ------------------------------------------------------------------- */

static int by_word(const void *key, const void *row)
{
    return strcmp(key, ((const struct contraction *)row)->from);
}

static bool is_article(const char *word)
{
    return !strcmp(word, "a") || !strcmp(word, "an") || !strcmp(word, "the");
}

static const char *spelled(const char *word)
{
    static const char *const numbers[] = {"zero",  "one",  "two", "three",
                                          "four",  "five", "six", "seven",
                                          "eight", "nine", "ten"};
    static const char *const digits[] = {"0", "1", "2", "3", "4", "5",
                                         "6", "7", "8", "9", "10"};
    if (strcmp(word, "none") == 0)
        return "0";
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (strcmp(word, numbers[i]) == 0)
            return digits[i];
    const struct contraction *known = bsearch(
        word, contractions, sizeof(contractions) / sizeof(contractions[0]),
        sizeof(contractions[0]), by_word);
    return known ? known->to : word;
}

/* Lower case, numbers as digits, no articles, contractions, single blanks. */
static char *words(const char *text)
{
    tkp__eval_text out = {0};
    char *lower = tkp__eval_lower(text);
    if (!lower)
        return NULL;
    const char *at = lower;
    const char *start;
    for (size_t n; (start = tkp__eval_word(&at, &n)) != NULL;) {
        char *word = tkp__zalloc(n + 1, 1);
        if (!word) {
            out.failed = true;
            break;
        }
        memcpy(word, start, n);
        if (!is_article(word)) {
            if (out.bytes)
                tkp__eval_text_put(&out, ' ');
            tkp__eval_text_puts(&out, spelled(word));
        }
        tkp__free(word);
    }
    tkp__free(lower);
    return tkp__eval_text_take(&out);
}

/* --- all of it ----------------------------------------------------------------- */

/* Lower case without ',' and '?', and with "'s" as a word; stripped. */
static char *evalai_first(const char *text)
{
    tkp__eval_text out = {0};
    char *lower = tkp__eval_lower(text);
    if (!lower)
        return NULL;
    for (const char *c = lower; *c; c++) {
        if (*c == ',' || *c == '?')
            continue;
        tkp__eval_text_put(&out, *c);
    }
    tkp__free(lower);
    char *plain = tkp__eval_text_take(&out);
    if (!plain)
        return NULL;
    for (const char *c = plain; *c; c++) {
        if (c[0] == '\'' && c[1] == 's')
            tkp__eval_text_put(&out, ' ');
        tkp__eval_text_put(&out, *c);
    }
    tkp__free(plain);
    plain = tkp__eval_text_take(&out);
    char *stripped = plain ? tkp__eval_strip(plain) : NULL;
    tkp__free(plain);
    return stripped;
}

char *tkp__eval_vqa_text(const char *text, int32_t rule)
{
    char *first =
        rule == TKP__EVAL_VQA_EVALAI ? evalai_first(text) : tkp__strdup(text);
    for (char *c = first; c && *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    char *plain = first ? tkp__eval_strip(first) : NULL;
    tkp__free(first);
    if (!plain || rule == TKP__EVAL_VQA_PLAIN)
        return plain;
    without_signs(plain);
    char *clean = without_periods(plain, rule == TKP__EVAL_VQA_VLMEVAL);
    tkp__free(plain);
    char *out = clean ? words(clean) : NULL;
    tkp__free(clean);
    return out;
}
