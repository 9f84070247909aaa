/*
 * Folded windows: a token that went joins the first of its window, and that row
 * becomes the mean of them (MustDrop's spatial merging).
 */
#include "merger/merger.h"

enum { OP_MERGE };

static tkp_status fold_plan(tkp_merger *m, tkp_ledger *ledger)
{
    const tkp_selector *s = m->selector;
    const tkp_layout *layout = s->batch->layout;
    const int64_t n = layout->visual;
    const tkp_op_merge_rows merge = {
        .struct_size = sizeof(merge),
        .rule = TKP_MERGE_MEAN,
    };
    tkp_tensor args[7] = {0};
    (void)ledger;
    TKP__CHECK(
        s->spec.options.kind == TKP_SELECTOR_FOLD, TKP_ERR_OPTION,
        "merger: kind fold, but the selector's is %d; wanted %d",
        s->spec.options.kind, TKP_SELECTOR_FOLD);
    tkp_tensor_make_2d(
        &args[0], NULL, m->model.dtype, layout->rows, m->model.hidden);
    for (int32_t i = 1; i < 4; i++)
        tkp_tensor_make_1d(&args[i], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[5], NULL, m->model.dtype, n, m->model.hidden);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    return tkp__merger_op(
        m, &m->ops[OP_MERGE], TKP_OP_MERGE_ROWS, args, 7, &merge);
}

static void assign(const tkp_merger *m, const tkp__merging *out)
{
    const tkp__groups *w = &m->selector->windows;
    const int32_t *kept = tkp__data(out->kept);
    int32_t *to = out->assignment;
    enum { GONE = -1 };
    for (int32_t i = 0; i < m->selector->batch->candidates; i++)
        to[i] = GONE;
    for (int32_t k = 0; k < out->kept->shape[0]; k++)
        to[kept[k]] = k;
    for (int32_t i = 0; i < w->count; i++)
        for (int32_t j = w->offsets[i] + 1; j < w->offsets[i + 1]; j++)
            if (to[w->member[j]] == GONE)
                to[w->member[j]] = to[w->member[w->offsets[i]]];
}

static tkp_status fold_run(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const tkp__batch *batch = m->selector->batch;
    const int64_t n = batch->candidates;
    tkp_tensor args[7] = {
        [0] = *in->hidden, [2] = *out->kept, [5] = *out->rows};
    assign(m, out);
    tkp_tensor_make_1d(&args[1], batch->candidate_rows, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], out->assignment, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(
        &args[6], out->sizes, TKP_DTYPE_F32, out->kept->shape[0]);
    return tkp__merger_run_op(m, m->ops[OP_MERGE], exec, args, 7, workspace);
}

const tkp__merger_kind tkp__merge_fold = {
    .plan = fold_plan,
    .run = fold_run,
};
