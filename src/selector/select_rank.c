/* Whole windows, best mean score first. */
#include "selector/selector.h"

/* Mean score of each window, spread back over its tokens window by window, and
 * the way back from that order to candidates. */
static tkp_status rank_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    const tkp_op_group_pool params = {
        .struct_size = sizeof(params),
        .pool = TKP_POOL_AVERAGE,
    };
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_F32, n, 1);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[4], NULL, TKP_DTYPE_F32, n, 1);
    TKP__TRY(
        tkp__selector_op(s, &s->pool, TKP_OP_GROUP_POOL, args, 5, &params));
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__selector_op(
        s, &s->broadcast, TKP_OP_GROUP_BROADCAST, args, 4, NULL));
    for (int32_t i = 0; i < 3; i++)
        tkp_tensor_make_1d(&args[i], NULL, TKP_DTYPE_I32, n);
    TKP__TRY(
        tkp__selector_op(s, &s->unrank, TKP_OP_GATHER_ROWS, args, 3, NULL));
    const uint64_t bytes = (uint64_t)n * sizeof(float);
    TKP__TRY(tkp__ledger_book(ledger, bytes, &s->means_at));
    TKP__TRY(tkp__ledger_book(ledger, bytes, &s->ranked_at));
    TKP__TRY(tkp__ledger_book(ledger, bytes, &s->spread_at));
    return tkp__selector_plan_topk(s);
}

/* Each token's score becomes its window's mean, in a list that has one window
 * after the other: the usual top-k then takes windows whole, of equal ones the
 * first. The groups are runs of that list, since windows and groups alike are
 * listed by sequence and image and leave protected tokens out. */
static tkp_status rank_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__groups *w = &s->windows;
    float *means = tkp__ledger_at(workspace, s->means_at);
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(
        &args[0], tkp__data(in->scores), TKP_DTYPE_F32, s->batch->candidates,
        1);
    tkp_tensor_make_1d(&args[1], w->offsets, TKP_DTYPE_I32, w->count + 1);
    tkp_tensor_make_1d(&args[2], w->member, TKP_DTYPE_I32, w->members);
    tkp_tensor_make_2d(&args[4], means, TKP_DTYPE_F32, w->count, 1);
    TKP__TRY(tkp__selector_run_op(s, s->pool, exec, args, 5, workspace));
    tkp_tensor spread;
    tkp_tensor_make_1d(
        &spread, tkp__ledger_at(workspace, s->spread_at), TKP_DTYPE_F32,
        w->members);
    tkp_tensor_make_1d(&args[0], means, TKP_DTYPE_F32, w->count);
    tkp_tensor_make_1d(&args[2], s->identity, TKP_DTYPE_I32, w->members);
    args[3] = spread;
    TKP__TRY(tkp__selector_run_op(s, s->broadcast, exec, args, 4, workspace));
    tkp_tensor ranked;
    tkp_tensor_make_1d(
        &ranked, tkp__ledger_at(workspace, s->ranked_at), TKP_DTYPE_I32,
        s->groups.kept);
    TKP__TRY(tkp__selector_run_topk(
        s, exec, &spread, s->identity, workspace, &ranked));
    tkp_tensor_make_1d(&args[0], w->member, TKP_DTYPE_I32, w->members);
    args[1] = ranked;
    args[2] = *dst;
    return tkp__selector_run_op(s, s->unrank, exec, args, 3, workspace);
}

const tkp__selector_kind tkp__select_rank = {
    .scores = true,
    .plan = rank_plan,
    .run = rank_run,
};
