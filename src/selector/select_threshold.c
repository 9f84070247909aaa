/*
 * Everything whose score is at least so much. How many that are, the data
 * decide; where a budget says how many, the best are kept, which is a threshold
 * that hits the count (MustDrop: one factor on all of its thresholds, where the
 * score is the largest of attentions over theirs).
 */
#include <math.h>

#include "selector/selector.h"

static tkp_status threshold_plan(tkp_selector *s, tkp_ledger *ledger)
{
    (void)ledger;
    return s->adaptive ? TKP_OK : tkp__selector_plan_topk(s);
}

/* A NaN is below everything; a group of them says nothing. */
static tkp_status keep_group(
    const tkp_selector *s,
    const float *score,
    const int32_t *member,
    int32_t n,
    int32_t *dst,
    int32_t *count)
{
    int32_t numbers = 0;
    *count = 0;
    for (int32_t i = 0; i < n; i++) {
        const float z = score[member[i]];
        numbers += !isnan(z);
        if (z >= s->spec.options.threshold)
            dst[(*count)++] = member[i];
    }
    TKP__CHECK(
        numbers || !n, TKP_ERR_DATA,
        "scores: all %d of a group are NaN, wanted numbers", n);
    return TKP_OK;
}

static tkp_status threshold_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__groups *g = &s->groups;
    const float *score = tkp__data(in->scores);
    int32_t *to = tkp__data(dst);
    if (!s->adaptive)
        return tkp__selector_run_topk(
            s, exec, in->scores, in->member, workspace, dst);
    for (int32_t i = 0; i < g->count; i++) {
        TKP__TRY(keep_group(
            s, score, in->member + g->offsets[i],
            g->offsets[i + 1] - g->offsets[i], to, &in->counts[i]));
        to += in->counts[i];
    }
    return TKP_OK;
}

const tkp__selector_kind tkp__select_threshold = {
    .scores = true,
    .ascending = true,
    .adaptive = true,
    .plan = threshold_plan,
    .run = threshold_run,
};
