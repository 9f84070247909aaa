/*
 * Answers that are yes or no, as four programs read them. Sources: POPE's
 * evaluate.py and LLaVA's eval_pope.py (yesno_pope); VLMEvalKit's
 * YOrN_Extraction (yesno_vlmeval); lmms-eval's tasks (yesno_lmms); MME's
 * parse_pred_ans (yesno_mme, its figures are in metric_mme.c); Visual Haystacks'
 * run_eval (yesno_vh). What they leave undefined is said at each.
 */
#include <string.h>

#include "eval/kinds.h"
#include "eval/vqa_text.h"
#include "eval/words.h"

typedef enum reply { REPLY_NO, REPLY_YES, REPLY_OTHER } reply;

static const char *const reply_names[] = {"no", "yes", "other"};

/* --- what is right ------------------------------------------------------------- */

static tkp_status gold_is_yes(bool *out, const tkp__eval_item *item)
{
    char *gold = tkp__eval_strip(item->answers[0]);
    char *lower = gold ? tkp__eval_lower(gold) : NULL;
    tkp__free(gold);
    if (!lower)
        return TKP_ERR_MEMORY;
    const bool yes = strcmp(lower, "yes") == 0;
    const bool known = yes || strcmp(lower, "no") == 0;
    tkp__free(lower);
    if (!known)
        return tkp__fail(
            TKP_ERR_ARGUMENT,
            "the right answer of question '%.60s' is '%.40s', wanted yes or no",
            item->id, item->answers[0]);
    *out = yes;
    return TKP_OK;
}

static tkp_status
score_reply(tkp__eval_score *out, reply said, const tkp__eval_item *item)
{
    bool yes = false;
    TKP__TRY(gold_is_yes(&yes, item));
    const uint32_t flags = (said == REPLY_YES ? TKP__EVAL_SAID_YES : 0u) |
                           (yes ? TKP__EVAL_GOLD_YES : 0u) |
                           (said == REPLY_OTHER ? TKP__EVAL_UNPARSED : 0u);
    return tkp__eval_score_of(
        out, said == (yes ? REPLY_YES : REPLY_NO), reply_names[said], flags);
}

/* --- what was said --------------------------------------------------------------- */

/* Up to the first period, without commas, between single blanks: a "No", "no"
 * or "not" makes it no, and anything else, nothing included, yes. */
static reply read_pope(const char *answer)
{
    const size_t end = strcspn(answer, ".");
    char word[4];
    size_t used = 0;
    for (size_t i = 0; i <= end; i++) {
        const char c = i < end ? answer[i] : ' ';
        if (c == ',')
            continue;
        if (c != ' ') {
            if (used < sizeof(word))
                word[used] = c;
            used++;
            continue;
        }
        if (used <= sizeof(word) &&
            (tkp__eval_is(word, used, "No") ||
             tkp__eval_is(word, used, "not") || tkp__eval_is(word, used, "no")))
            return REPLY_NO;
        used = 0;
    }
    return REPLY_YES;
}

static tkp_status score_pope(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    return score_reply(out, read_pope(answer), item);
}

static tkp_status score_lmms(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    char *plain = tkp__eval_strip(answer);
    char *lower = plain ? tkp__eval_lower(plain) : NULL;
    tkp__free(plain);
    if (!lower)
        return TKP_ERR_MEMORY;
    const reply said = strcmp(lower, "yes") == 0  ? REPLY_YES
                       : strcmp(lower, "no") == 0 ? REPLY_NO
                                                  : REPLY_OTHER;
    tkp__free(lower);
    return score_reply(out, said, item);
}

/* One of the two words alone, after the pass over punctuation. */
static tkp_status score_vlmeval(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    char *lower = tkp__eval_lower(answer);
    char *plain = lower ? tkp__eval_vlmeval_punctuation(lower) : NULL;
    tkp__free(lower);
    if (!plain)
        return TKP_ERR_MEMORY;
    bool yes = false, no = false;
    const char *at = plain;
    const char *word;
    for (size_t n; (word = tkp__eval_word(&at, &n)) != NULL;) {
        yes = yes || tkp__eval_is(word, n, "yes");
        no = no || tkp__eval_is(word, n, "no");
    }
    tkp__free(plain);
    return score_reply(
        out,
        yes == no ? REPLY_OTHER
        : yes     ? REPLY_YES
                  : REPLY_NO,
        item);
}

/* Yes, then no, anywhere in the first four characters: "noth" is no. */
static tkp_status score_mme(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    char *lower = tkp__eval_lower(answer);
    if (!lower)
        return TKP_ERR_MEMORY;
    size_t end = 0;
    for (int characters = 0; lower[end]; end++)
        if (((unsigned char)lower[end] & 0xc0) != 0x80 && characters++ == 4)
            break;
    lower[end] = '\0';
    const reply said = strstr(lower, "yes")  ? REPLY_YES
                       : strstr(lower, "no") ? REPLY_NO
                                             : REPLY_OTHER;
    tkp__free(lower);
    return score_reply(out, said, item);
}

/* Words between blanks and signs, without periods, stars and apostrophes
 * around them. The benchmark's own tokens are NLTK's; an answer with both
 * words is right. */
static tkp_status score_vh(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    bool said[2] = {false, false}, gold = false;
    TKP__TRY(gold_is_yes(&gold, item));
    char *lower = tkp__eval_lower(answer);
    if (!lower)
        return TKP_ERR_MEMORY;
    for (char *c = lower; *c; c++)
        if (strchr(",;:?!()[]{}\"<>", *c))
            *c = ' ';
    const char *at = lower;
    const char *word;
    for (size_t n; (word = tkp__eval_word(&at, &n)) != NULL;) {
        for (; n > 0 && strchr(".*'", word[0]); n--)
            word++;
        while (n > 0 && strchr(".*'", word[n - 1]))
            n--;
        said[REPLY_YES] = said[REPLY_YES] || tkp__eval_is(word, n, "yes");
        said[REPLY_NO] = said[REPLY_NO] || tkp__eval_is(word, n, "no");
    }
    tkp__free(lower);
    const bool any = said[REPLY_YES] || said[REPLY_NO];
    return tkp__eval_score_of(
        out, said[gold ? REPLY_YES : REPLY_NO],
        !any                                ? "other"
        : said[REPLY_YES] && said[REPLY_NO] ? "yes and no"
        : said[REPLY_YES]                   ? "yes"
                                            : "no",
        (any ? TKP__EVAL_COMPLIANT : TKP__EVAL_UNPARSED) |
            (said[REPLY_YES] ? TKP__EVAL_SAID_YES : 0u) |
            (gold ? TKP__EVAL_GOLD_YES : 0u));
}

/* --- how often: precision and recall of "yes" -------------------------------------- */

/* What is neither counts as "not yes" here, but is never right. */
typedef struct counts {
    int64_t tp, fp, tn, fn, right;
} counts;

static counts
count(const tkp__eval_table *table, const uint32_t *weights, int32_t split)
{
    counts c = {0};
    for (int64_t i = 0; i < table->n_rows; i++) {
        const tkp__eval_row *row = &table->rows[i];
        if (split >= 0 && row->split != split)
            continue;
        const int64_t w = tkp__eval_weight(row, weights);
        c.right += row->value == 1 ? w : 0;
        const bool said = row->flags & TKP__EVAL_SAID_YES;
        if (row->flags & TKP__EVAL_GOLD_YES)
            *(said ? &c.tp : &c.fn) += w;
        else
            *(said ? &c.fp : &c.tn) += w;
    }
    return c;
}

/* A denominator of nothing gives 0, as in the programs. */
static double ratio(int64_t a, int64_t b)
{
    return b ? (double)a / (double)b : 0;
}

static double f1_of(counts c)
{
    const double p = ratio(c.tp, c.tp + c.fp), r = ratio(c.tp, c.tp + c.fn);
    return p + r > 0 ? 100 * 2 * p * r / (p + r) : 0;
}

static tkp_status
put_counts(tkp__eval_figures *out, const char *prefix, counts c)
{
    const int64_t n = c.tp + c.fp + c.tn + c.fn;
    const struct {
        const char *name;
        int64_t count;
    } plain[] = {{"tp", c.tp}, {"fp", c.fp}, {"tn", c.tn}, {"fn", c.fn}};
    TKP__TRY(tkp__eval_put(out, prefix, "f1", f1_of(c), n, -1));
    TKP__TRY(tkp__eval_put_share(out, prefix, "accuracy", c.right, n));
    TKP__TRY(tkp__eval_put(
        out, prefix, "precision", 100 * ratio(c.tp, c.tp + c.fp), n, -1));
    TKP__TRY(tkp__eval_put(
        out, prefix, "recall", 100 * ratio(c.tp, c.tp + c.fn), n, -1));
    TKP__TRY(tkp__eval_put_share(out, prefix, "yes", c.tp + c.fp, n));
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        TKP__TRY(tkp__eval_put(
            out, prefix, plain[i].name, (double)plain[i].count, n, -1));
    return TKP_OK;
}

static double mean_f1(const tkp__eval_table *table, const uint32_t *weights)
{
    double sum = 0;
    for (int32_t s = 0; s < table->splits.count; s++)
        sum += f1_of(count(table, weights, s));
    return table->splits.count ? sum / table->splits.count : 0;
}

static tkp_status put_f1(
    tkp__eval_figures *out,
    const tkp__eval_table *table,
    const uint32_t *weights,
    bool micro)
{
    const counts all = count(table, weights, -1);
    const int64_t n = all.tp + all.fp + all.tn + all.fn;
    const double mean = mean_f1(table, weights), of_all = f1_of(all);
    TKP__TRY(tkp__eval_put(
        out, NULL, micro ? "micro f1" : "mean f1", micro ? of_all : mean, n,
        -1));
    TKP__TRY(tkp__eval_put(
        out, NULL, micro ? "mean f1" : "micro f1", micro ? mean : of_all, n,
        -1));
    for (int32_t s = 0; s < table->splits.count; s++) {
        const char *name = table->splits.names[s];
        TKP__TRY(
            put_counts(out, name[0] ? name : NULL, count(table, weights, s)));
    }
    return TKP_OK;
}

/* The mean of the splits' F1 is what papers print. */
static tkp_status figures_mean_f1(
    tkp__eval_figures *out,
    const tkp__eval_kind *kind,
    const tkp__eval_table *table,
    const uint32_t *weights)
{
    (void)kind;
    return put_f1(out, table, weights, false);
}

static tkp_status figures_micro_f1(
    tkp__eval_figures *out,
    const tkp__eval_kind *kind,
    const tkp__eval_table *table,
    const uint32_t *weights)
{
    (void)kind;
    return put_f1(out, table, weights, true);
}

/* Accuracy as any other, and how many answers could be counted at all. */
static tkp_status figures_vh(
    tkp__eval_figures *out,
    const tkp__eval_kind *kind,
    const tkp__eval_table *table,
    const uint32_t *weights)
{
    int64_t compliant = 0, n = 0;
    TKP__TRY(tkp__eval_figures_mean(out, kind, table, weights));
    for (int64_t i = 0; i < table->n_rows; i++) {
        const int64_t w = tkp__eval_weight(&table->rows[i], weights);
        n += w;
        compliant += table->rows[i].flags & TKP__EVAL_COMPLIANT ? w : 0;
    }
    return tkp__eval_put_share(out, NULL, "compliance", compliant, n);
}

const tkp__eval_kind tkp__eval_yesno_kinds[] = {
    {"yesno_pope", "yes unless 'No', 'no' or 'not' stands before the first '.'",
     TKP__EVAL_NEED_ANSWER, score_pope, figures_mean_f1},
    {"yesno_lmms", "'yes' or 'no' and nothing else, in any case",
     TKP__EVAL_NEED_ANSWER, score_lmms, figures_mean_f1},
    {"yesno_vlmeval", "one of the words 'yes' and 'no' and not the other",
     TKP__EVAL_NEED_ANSWER, score_vlmeval, figures_micro_f1},
    {"yesno_mme", "'yes', else 'no', in the first four characters; by pairs",
     TKP__EVAL_NEED_ANSWER, score_mme, tkp__eval_figures_mme},
    {"yesno_vh", "the right one of 'yes' and 'no' is among the words",
     TKP__EVAL_NEED_ANSWER, score_vh, figures_vh},
    {NULL, NULL, 0, NULL, NULL}};
