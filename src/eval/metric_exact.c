/*
 * Answers that are right if they are the same text, as three programs compare
 * them. Sources: LLaVA's convert_gqa_for_eval.py with GQA's evaluator
 * (gqa_llava), VLMEvalKit (gqa_vlmeval), lmms-eval's exact_match (em_lmms).
 */
#include <string.h>

#include "eval/kinds.h"
#include "eval/words.h"

/* Both made comparable by `plain`; any of the right answers will do. */
static tkp_status score_same(
    tkp__eval_score *out,
    const char *answer,
    const tkp__eval_item *item,
    char *(*said)(const char *),
    char *(*gold)(const char *))
{
    char *text = said(answer);
    bool same = false;
    for (int32_t i = 0; text && !same && i < item->n_answers; i++) {
        char *right = gold(item->answers[i]);
        if (!right) {
            tkp__free(text);
            return TKP_ERR_MEMORY;
        }
        same = strcmp(text, right) == 0;
        tkp__free(right);
    }
    if (!text)
        return TKP_ERR_MEMORY;
    const tkp_status status =
        tkp__eval_score_of(out, same, text, text[0] ? 0 : TKP__EVAL_UNPARSED);
    tkp__free(text);
    return status;
}

/* Lower case without the periods at the end; blanks stay. */
static char *plain_llava(const char *text)
{
    char *lower = tkp__eval_lower(text);
    for (size_t n = lower ? strlen(lower) : 0; n > 0 && lower[n - 1] == '.';
         n--)
        lower[n - 1] = '\0';
    return lower;
}

static char *plain_vlmeval(const char *text)
{
    char *plain = tkp__eval_strip(text);
    char *lower = plain ? tkp__eval_lower(plain) : NULL;
    tkp__free(plain);
    return lower;
}

static bool is_ascii_punctuation(char c)
{
    return c && strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", c);
}

static char *plain_lmms(const char *text)
{
    char *lower = tkp__eval_lower(text);
    char *to = lower;
    for (const char *c = lower; c && *c; c++)
        if (!is_ascii_punctuation(*c))
            *to++ = *c;
    if (lower)
        *to = '\0';
    return lower;
}

static tkp_status score_llava(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    return score_same(out, answer, item, plain_llava, tkp__strdup);
}

static tkp_status score_vlmeval(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    return score_same(out, answer, item, plain_vlmeval, plain_vlmeval);
}

static tkp_status score_lmms(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    return score_same(out, answer, item, plain_lmms, plain_lmms);
}

/* Free texts that nothing but a reader can judge. */
static tkp_status score_open(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)out;
    (void)metric;
    (void)answer;
    return tkp__fail(
        TKP_ERR_UNSUPPORTED,
        "question '%.60s' is an open one: a judge has to score its answer",
        item->id);
}

const tkp__eval_kind tkp__eval_exact_kinds[] = {
    {"gqa_llava", "lower case, without periods at the end, is the right answer",
     TKP__EVAL_NEED_ANSWER, score_llava, tkp__eval_figures_mean},
    {"gqa_vlmeval", "both stripped and in lower case are the same",
     TKP__EVAL_NEED_ANSWER, score_vlmeval, tkp__eval_figures_mean},
    {"em_lmms", "both in lower case without punctuation are the same",
     TKP__EVAL_NEED_ANSWER, score_lmms, tkp__eval_figures_mean},
    {"open", "none: a judge has to score such answers", 0, score_open,
     tkp__eval_figures_mean},
    {NULL, NULL, 0, NULL, NULL}};
