/*
 * TOPK: per group, the keep[g] best members by a strict total order.
 *
 *   (score descending, index ascending), or (score ascending, index ascending)
 *
 * Source: FastV's selection; the order is ours, since the published code
 * leaves ties to the GPU, and half-precision scores tie often.
 *
 * Open choices: -0 equals +0; NaN comes after everything in both orders, so it
 * is kept only where a group has nothing else left; a group that keeps
 * something and holds only NaN is TKP_ERR_DATA. "Index" is the index into
 * scores, not the place in the group's list. An index that a group lists twice
 * is two members.
 */

#include "ref/ref.h"

enum { SCORES, GROUP_OFFSETS, MEMBERS, KEEP, OUT_OFFSETS, DST };
enum { SCRATCH_ORDER };

static tkp_status
plan_topk(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const tkp_tensor *list =
        tkp__present(&args[MEMBERS]) ? &args[MEMBERS] : &args[SCORES];
    return tkp__ref_book(
        plan, ledger, SCRATCH_ORDER, list->shape[0], sizeof(int32_t));
}

static int32_t member(const int32_t *members, int32_t i)
{
    return members ? members[i] : i;
}

static tkp_status check_has_number(
    const float *scores,
    const int32_t *members,
    const int32_t *offsets,
    int64_t g)
{
    for (int32_t i = offsets[g]; i < offsets[g + 1]; i++)
        if (!isnan(scores[member(members, i)]))
            return TKP_OK;
    return tkp__fail(
        TKP_ERR_DATA, "scores: all %d of group %lld are NaN",
        offsets[g + 1] - offsets[g], (long long)g);
}

static tkp_status check_data(const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const bool listed = tkp__present(members);
    const int64_t n = args[SCORES].shape[0];
    const int64_t groups = args[KEEP].shape[0];
    TKP__TRY(tkp__ref_check_offsets(
        &args[GROUP_OFFSETS], listed ? members->shape[0] : n, "group_offsets"));
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    if (listed)
        TKP__TRY(tkp__ref_check_index(members, offsets[groups], n, "members"));
    TKP__TRY(tkp__ref_check_keep(
        &args[GROUP_OFFSETS], &args[KEEP], &args[OUT_OFFSETS],
        args[DST].shape[0]));
    for (int64_t g = 0; g < groups; g++)
        if (tkp__ref_i32(&args[KEEP])[g] > 0)
            TKP__TRY(check_has_number(
                tkp__data(&args[SCORES]), listed ? tkp__ref_i32(members) : NULL,
                offsets, g));
    return TKP_OK;
}

static tkp_status
run_topk(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    TKP__TRY(check_data(args));
    const tkp_op_topk *p = &plan->params.topk;
    const float *scores = tkp__data(&args[SCORES]);
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const int32_t *members =
        tkp__present(&args[MEMBERS]) ? tkp__ref_i32(&args[MEMBERS]) : NULL;
    const int32_t *keep = tkp__ref_i32(&args[KEEP]);
    int32_t *order = tkp__ref_scratch(plan, workspace, SCRATCH_ORDER);
    int32_t *dst = tkp__data(&args[DST]);

    for (int64_t g = 0; g < args[KEEP].shape[0]; g++) {
        const int32_t n = offsets[g + 1] - offsets[g];
        for (int32_t i = 0; i < n; i++)
            order[i] = member(members, offsets[g] + i);
        tkp__ref_sort(order, n, scores, p->order);
        if (!p->sorted_by_score)
            tkp__ref_sort(order, keep[g], NULL, 0);
        for (int32_t i = 0; i < keep[g]; i++)
            *dst++ = order[i];
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_topk = {
    .kind = TKP_OP_TOPK,
    .params_size = sizeof(tkp_op_topk),
    .kernel = "ref_topk",
    .plan = plan_topk,
    .run = run_topk,
};
