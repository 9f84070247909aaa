/*
 * Free answers against ten of people. Sources: LLaVA's m4c_evaluator.py
 * (vqa_soft_m4c), VQA's vqaEval.py (vqa_official), VLMEvalKit's vqa_eval.py
 * (vqa_vlmeval, vizwiz_vlmeval).
 *
 * Of m equal answers among n: the mean over those left out one at a time of
 * min(1, m' / 3), where m' counts the others.
 */
#include "eval/kinds.h"
#include "eval/vqa_text.h"

enum { USUAL_ANSWERS = 10, ENOUGH = 3 };

static double leave_one_out(int64_t m, int64_t n)
{
    const double with = m < ENOUGH ? (double)m / ENOUGH : 1;
    const double without =
        m > 0 ? (m - 1 < ENOUGH ? (double)(m - 1) / ENOUGH : 1) : 0;
    return ((double)(n - m) * with + (double)m * without) / (double)n;
}

static double share(int64_t m, int64_t n)
{
    return (double)m / (double)n;
}

static tkp_status score_by(
    tkp__eval_score *out,
    const char *answer,
    const tkp__eval_item *item,
    int32_t rule,
    double (*score)(int64_t m, int64_t n))
{
    char *said = tkp__eval_vqa_text(answer, rule);
    int64_t same = 0;
    for (int32_t i = 0; said && i < item->n_answers; i++) {
        char *gold = tkp__eval_vqa_text(item->answers[i], rule);
        if (!gold) {
            tkp__free(said);
            return TKP_ERR_MEMORY;
        }
        same += strcmp(said, gold) == 0;
        tkp__free(gold);
    }
    if (!said)
        return TKP_ERR_MEMORY;
    const uint32_t flags =
        (item->n_answers < USUAL_ANSWERS ? TKP__EVAL_FEW_ANSWERS : 0u) |
        (said[0] ? 0u : TKP__EVAL_UNPARSED);
    const tkp_status status =
        tkp__eval_score_of(out, score(same, item->n_answers), said, flags);
    tkp__free(said);
    return status;
}

static tkp_status score_m4c(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    return score_by(out, answer, item, TKP__EVAL_VQA_EVALAI, leave_one_out);
}

/* People who all said the same are taken at their word: nothing is
 * normalised then. */
static tkp_status score_official(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    bool alike = true;
    for (int32_t i = 1; i < item->n_answers; i++)
        alike = alike && strcmp(item->answers[i], item->answers[0]) == 0;
    return score_by(
        out, answer, item, alike ? TKP__EVAL_VQA_PLAIN : TKP__EVAL_VQA_OFFICIAL,
        leave_one_out);
}

static tkp_status score_vlmeval(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    return score_by(out, answer, item, TKP__EVAL_VQA_VLMEVAL, leave_one_out);
}

static tkp_status score_vizwiz_vlmeval(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    return score_by(out, answer, item, TKP__EVAL_VQA_VLMEVAL, share);
}

const tkp__eval_kind tkp__eval_vqa_kinds[] = {
    {"vqa_soft_m4c",
     "as three of ten people said, by LLaVA's spelling; left out one at a time",
     TKP__EVAL_NEED_ANSWER, score_m4c, tkp__eval_figures_mean},
    {"vqa_official",
     "the same by VQA's spelling, unless all ten people agree to the letter",
     TKP__EVAL_NEED_ANSWER, score_official, tkp__eval_figures_mean},
    {"vqa_vlmeval", "the same by VLMEvalKit's spelling", TKP__EVAL_NEED_ANSWER,
     score_vlmeval, tkp__eval_figures_mean},
    {"vizwiz_vlmeval", "share of the people who said it, VLMEvalKit's spelling",
     TKP__EVAL_NEED_ANSWER, score_vizwiz_vlmeval, tkp__eval_figures_mean},
    {NULL, NULL, 0, NULL, NULL}};
