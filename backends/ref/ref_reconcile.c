/*
 * RECONCILE: quotas of groups made to fit the count of their set.
 *
 *   dst = the first keep[b] of the set's members in this order: those among the
 *   quota[g] best of their group before the others, the better before the worse
 *
 * So where quotas sum up to too much the worst of what they keep go, and where to
 * too little the best of what they drop stay. Source: vLLM's port of VidCom2,
 * whose count has to be known before a frame has been seen. Order and NaN as in
 * TOPK.
 */

#include "ref/ref.h"

enum {
    SCORES,
    GROUP_OFFSETS,
    MEMBERS,
    QUOTA,
    SET_OFFSETS,
    KEEP,
    OUT_OFFSETS,
    DST
};
enum { SCRATCH_CHOSEN, SCRATCH_OTHERS, SCRATCH_GROUP };

static tkp_status
plan_reconcile(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const tkp_tensor *list =
        tkp__present(&args[MEMBERS]) ? &args[MEMBERS] : &args[SCORES];
    for (int32_t i = SCRATCH_CHOSEN; i <= SCRATCH_GROUP; i++)
        TKP__TRY(
            tkp__ref_book(plan, ledger, i, list->shape[0], sizeof(int32_t)));
    return TKP_OK;
}

static int32_t member(const tkp_tensor *args, int32_t i)
{
    return tkp__present(&args[MEMBERS]) ? tkp__ref_i32(&args[MEMBERS])[i] : i;
}

static tkp_status check_data(const tkp_tensor *args)
{
    const float *scores = tkp__data(&args[SCORES]);
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const int32_t *sets = tkp__ref_i32(&args[SET_OFFSETS]);
    const int32_t *out = tkp__ref_i32(&args[OUT_OFFSETS]);
    TKP__TRY(tkp__ref_check_members(
        &args[GROUP_OFFSETS], &args[MEMBERS], args[SCORES].shape[0]));
    TKP__TRY(tkp__ref_check_sets(
        &args[GROUP_OFFSETS], &args[SET_OFFSETS], &args[KEEP]));
    TKP__TRY(tkp__ref_check_covering(
        &args[OUT_OFFSETS], args[DST].shape[0], "out_offsets"));
    for (int64_t g = 0; g < args[QUOTA].shape[0]; g++)
        TKP__CHECK(
            tkp__ref_i32(&args[QUOTA])[g] >= 0, TKP_ERR_ARGUMENT,
            "quota: entry %lld is %d, wanted 0 or more", (long long)g,
            tkp__ref_i32(&args[QUOTA])[g]);
    for (int64_t b = 0; b < args[KEEP].shape[0]; b++) {
        const int32_t keep = tkp__ref_i32(&args[KEEP])[b];
        TKP__CHECK(
            out[b + 1] - out[b] == keep, TKP_ERR_ARGUMENT,
            "out_offsets: entry %lld is %d, wanted %d more than before",
            (long long)b + 1, out[b + 1], keep);
        int32_t i = offsets[sets[b]];
        while (keep && i < offsets[sets[b + 1]] &&
               isnan(scores[member(args, i)]))
            i++;
        TKP__CHECK(
            !keep || i < offsets[sets[b + 1]], TKP_ERR_DATA,
            "scores: all of set %lld are NaN", (long long)b);
    }
    return TKP_OK;
}

static tkp_status run_reconcile(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    TKP__TRY(check_data(args));
    const int32_t order = plan->params.reconcile.order;
    const float *scores = tkp__data(&args[SCORES]);
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const int32_t *sets = tkp__ref_i32(&args[SET_OFFSETS]);
    const int32_t *quota = tkp__ref_i32(&args[QUOTA]);
    int32_t *chosen = tkp__ref_scratch(plan, workspace, SCRATCH_CHOSEN);
    int32_t *others = tkp__ref_scratch(plan, workspace, SCRATCH_OTHERS);
    int32_t *group = tkp__ref_scratch(plan, workspace, SCRATCH_GROUP);
    int32_t *dst = tkp__data(&args[DST]);
    for (int64_t b = 0; b < args[KEEP].shape[0]; b++) {
        const int32_t keep = tkp__ref_i32(&args[KEEP])[b];
        int32_t n_chosen = 0, n_others = 0;
        for (int32_t g = sets[b]; g < sets[b + 1]; g++) {
            const int32_t n = offsets[g + 1] - offsets[g];
            for (int32_t i = 0; i < n; i++)
                group[i] = member(args, offsets[g] + i);
            tkp__ref_sort(group, n, scores, order);
            for (int32_t i = 0; i < n; i++)
                if (i < quota[g])
                    chosen[n_chosen++] = group[i];
                else
                    others[n_others++] = group[i];
        }
        tkp__ref_sort(chosen, n_chosen, scores, order);
        tkp__ref_sort(others, n_others, scores, order);
        for (int32_t i = 0; i < keep; i++)
            dst[i] = i < n_chosen ? chosen[i] : others[i - n_chosen];
        tkp__ref_sort(dst, keep, NULL, 0);
        dst += keep;
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_reconcile = {
    .kind = TKP_OP_RECONCILE,
    .params_size = sizeof(tkp_op_reconcile),
    .kernel = "ref_reconcile",
    .plan = plan_reconcile,
    .run = run_reconcile,
};
