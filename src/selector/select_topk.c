/* The best by score: of a sequence, an image, or of each window. */
#include "selector/selector.h"

tkp_status tkp__selector_plan_topk(tkp_selector *s)
{
    const int64_t n = s->batch->layout->visual;
    const tkp_op_topk params = {
        .struct_size = sizeof(params),
        .order = s->spec.options.order,
        .sorted_by_score = s->by_score,
    };
    tkp_tensor args[6];
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(s, &s->topk, TKP_OP_TOPK, args, 6, &params);
}

tkp_status tkp__selector_run_topk(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp_tensor *scores,
    const int32_t *member,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__groups *g = &s->groups;
    tkp_tensor args[6];
    args[0] = *scores;
    tkp_tensor_make_1d(&args[1], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[2], (void *)member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[3], g->keep, TKP_DTYPE_I32, g->count);
    tkp_tensor_make_1d(&args[4], g->kept_offsets, TKP_DTYPE_I32, g->count + 1);
    args[5] = *dst;
    return tkp__selector_run_op(s, s->topk, exec, args, 6, workspace);
}

static tkp_status topk_plan(tkp_selector *s, tkp_ledger *ledger)
{
    (void)ledger;
    return tkp__selector_plan_topk(s);
}

static tkp_status topk_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    return tkp__selector_run_topk(
        s, exec, in->scores, in->member, workspace, dst);
}

const tkp__selector_kind tkp__select_topk = {
    .scores = true,
    .ascending = true,
    .plan = topk_plan,
    .run = topk_run,
};

/* --- windows, whose token may also be chosen by its place ----------------- */

static bool by_score(const tkp_selector *s)
{
    return s->spec.options.pick == TKP_PICK_SCORE;
}

static tkp_status window_plan(tkp_selector *s, tkp_ledger *ledger)
{
    return by_score(s) ? topk_plan(s, ledger) : TKP_OK;
}

/* The first keep[g] of each group, as they stand. */
static void take_listed(const tkp_selector *s, int32_t *dst)
{
    const tkp__groups *g = &s->groups;
    for (int32_t i = 0; i < g->count; i++)
        memcpy(
            dst + g->kept_offsets[i], g->member + g->offsets[i],
            (size_t)g->keep[i] * sizeof(int32_t));
}

static tkp_status window_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    if (by_score(s))
        return topk_run(s, exec, in, workspace, dst);
    take_listed(s, tkp__data(dst));
    return TKP_OK;
}

const tkp__selector_kind tkp__select_window = {
    .scores = true, /* unless the place decides: see selector_spec.c */
    .plan = window_plan,
    .run = window_run,
};
