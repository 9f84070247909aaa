/*
 * Runs of like tokens: in the same cell of frame after frame, each like the one
 * before it. A dropped token joins the latest kept one before it in its run, and
 * the kept row becomes the mean of itself and those (FrameFusion). Where none is
 * kept before it, or a protected one, it joins nothing.
 */
#include "merger/merger.h"

enum { OP_STARTS, OP_MERGE };
enum { AT_STARTS };

typedef struct chains {
    int32_t *before; /* [N] */
    int32_t *latest; /* [cells of a frame] scratch */
} chains;

static tkp_status plan_ops(tkp_merger *m)
{
    const tkp_layout *layout = m->selector->batch->layout;
    const int64_t n = layout->visual;
    const tkp__features *f = &m->features;
    const tkp_op_temporal starts = {
        .struct_size = sizeof(starts),
        .threshold = m->spec.options.threshold,
    };
    const tkp_op_merge_rows merge = {
        .struct_size = sizeof(merge),
        .rule = TKP_MERGE_MEAN,
    };
    tkp_tensor args[7] = {0};
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__merger_op(
        m, &m->ops[OP_STARTS], TKP_OP_TEMPORAL, args, 4, &starts));
    tkp_tensor_make_2d(
        &args[0], NULL, m->model.dtype, layout->rows, m->model.hidden);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[5], NULL, m->model.dtype, n, m->model.hidden);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    return tkp__merger_op(
        m, &m->ops[OP_MERGE], TKP_OP_MERGE_ROWS, args, 7, &merge);
}

static tkp_status chain_plan(tkp_merger *m, tkp_ledger *ledger)
{
    const tkp_layout *layout = m->selector->batch->layout;
    const size_t n = (size_t)layout->visual;
    chains *state = tkp__zalloc(1, sizeof(*state));
    if (!state)
        return TKP_ERR_MEMORY;
    m->state = state;
    m->memory = tkp__alloc(
        n + (size_t)tkp__layout_frame_cells(layout), sizeof(int32_t));
    if (!m->memory)
        return TKP_ERR_MEMORY;
    state->before = m->memory;
    state->latest = state->before + n;
    m->has_features = true;
    TKP__TRY(tkp__features_plan(
        &m->features, m->context, m->selector->batch, &m->model,
        m->spec.options.feature, 0.0f, 0, ledger));
    TKP__TRY(tkp__ledger_book(
        ledger, (uint64_t)n * sizeof(float), &m->at[AT_STARTS]));
    return plan_ops(m);
}

static tkp_status chain_bind(tkp_merger *m)
{
    const chains *state = m->state;
    tkp__batch_before(m->selector->batch, state->before, state->latest);
    return TKP_OK;
}

/* A token comes after the one it follows, so one walk goes along all runs. */
static void assign(
    const tkp_merger *m,
    const float *starts,
    const tkp_tensor *kept,
    int32_t *to)
{
    const chains *state = m->state;
    const tkp__batch *batch = m->selector->batch;
    const int32_t *list = tkp__data(kept);
    enum { DROPPED = -1 };
    for (int32_t i = 0; i < batch->candidates; i++)
        to[i] = DROPPED;
    for (int32_t k = 0; k < kept->shape[0]; k++)
        to[list[k]] = k;
    for (int32_t i = 0; i < batch->candidates; i++) {
        const int32_t before = state->before[i];
        if (to[i] == DROPPED && starts[i] == 0.0f &&
            !batch->candidate_kept[before])
            to[i] = to[before];
    }
}

static tkp_status chain_run(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const chains *state = m->state;
    const tkp__batch *batch = m->selector->batch;
    const int64_t n = batch->candidates;
    float *starts = tkp__ledger_at(workspace, m->at[AT_STARTS]);
    tkp_tensor args[7] = {0};
    TKP__TRY(tkp__features_run(
        &m->features, exec, in, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(&args[2], state->before, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], starts, TKP_DTYPE_F32, n);
    TKP__TRY(
        tkp__merger_run_op(m, m->ops[OP_STARTS], exec, args, 4, workspace));
    assign(m, starts, out->kept, out->assignment);
    args[0] = *in->hidden;
    tkp_tensor_make_1d(&args[1], batch->candidate_rows, TKP_DTYPE_I32, n);
    args[2] = *out->kept;
    tkp_tensor_make_1d(&args[3], out->assignment, TKP_DTYPE_I32, n);
    args[5] = *out->rows;
    tkp_tensor_make_1d(
        &args[6], out->sizes, TKP_DTYPE_F32, out->kept->shape[0]);
    return tkp__merger_run_op(m, m->ops[OP_MERGE], exec, args, 7, workspace);
}

static void chain_release(tkp_merger *m)
{
    tkp__free(m->state);
}

const tkp__merger_kind tkp__merge_chain = {
    .plan = chain_plan,
    .bind = chain_bind,
    .run = chain_run,
    .release = chain_release,
};
