/*
 * Each dropped token joins the kept one of its sequence (or image: the budget's
 * scope: an image, a frame) that it is most like. Protected tokens stand for themselves.
 */
#include "merger/merger.h"

enum { OP_NEAREST, OP_MERGE };
enum { AT_LIST, AT_PLACE, AT_ENDS };

/* Groups of candidates that may join each other, one after the other. */
typedef struct nearest {
    int32_t groups;
    int32_t *ends;   /* [N + 1] */
    int32_t *of;     /* [N] */
    int32_t *member; /* [N] candidates 0, 1, 2 ... */
} nearest;

static tkp_status plan_ops(tkp_merger *m)
{
    const tkp_layout *layout = m->selector->batch->layout;
    const int64_t n = layout->visual;
    const tkp_merger_options *o = &m->spec.options;
    const tkp_op_nearest likeness = {
        .struct_size = sizeof(likeness),
        .measure = o->measure,
    };
    const tkp_op_merge_rows merge = {
        .struct_size = sizeof(merge),
        .rule = o->rule,
        .anchor = o->anchor,
        .beta = o->beta,
    };
    const tkp__features *f = &m->features;
    tkp_tensor args[8] = {0};
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    for (int32_t i = 1; i < 7; i++)
        tkp_tensor_make_1d(
            &args[i], NULL, TKP_DTYPE_I32, i == 2 || i == 5 ? n + 1 : n);
    TKP__TRY(tkp__merger_op(
        m, &m->ops[OP_NEAREST], TKP_OP_NEAREST, args, 8, &likeness));
    tkp_tensor_make_2d(
        &args[0], NULL, m->model.dtype, layout->rows, m->model.hidden);
    args[4] = (tkp_tensor){0};
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[5], NULL, m->model.dtype, n, m->model.hidden);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    return tkp__merger_op(
        m, &m->ops[OP_MERGE], TKP_OP_MERGE_ROWS, args, 7, &merge);
}

static tkp_status nearest_plan(tkp_merger *m, tkp_ledger *ledger)
{
    const size_t n = (size_t)m->selector->batch->layout->visual;
    nearest *state = tkp__zalloc(1, sizeof(*state));
    if (!state)
        return TKP_ERR_MEMORY;
    m->state = state;
    m->memory = tkp__alloc(3 * n + 1, sizeof(int32_t));
    if (!m->memory)
        return TKP_ERR_MEMORY;
    state->of = m->memory;
    state->member = state->of + n;
    state->ends = state->member + n;
    m->has_features = true;
    TKP__TRY(tkp__features_plan(
        &m->features, m->context, m->selector->batch, &m->model,
        m->spec.options.feature, 0.0f, 0, ledger));
    for (int32_t i = AT_LIST; i <= AT_ENDS; i++)
        TKP__TRY(tkp__ledger_book(
            ledger, (uint64_t)(n + 1) * sizeof(int32_t), &m->at[i]));
    return plan_ops(m);
}

static tkp_status nearest_bind(tkp_merger *m)
{
    nearest *state = m->state;
    const tkp__batch *batch = m->selector->batch;
    const int32_t scope = m->selector->budget.scope;
    int32_t members = 0;
    state->groups = 0;
    state->ends[0] = 0;
    for (int32_t b = 0; b < batch->sequences; b++) {
        const int32_t end = batch->candidate_offsets[b + 1];
        for (int32_t i = batch->candidate_offsets[b]; i < end; i++) {
            state->of[i] = state->groups;
            if (!batch->candidate_kept[i])
                state->member[members++] = i;
            if (i + 1 < end && (scope == TKP_SCOPE_SEQUENCE ||
                                tkp__batch_unit(batch, scope, i + 1) ==
                                    tkp__batch_unit(batch, scope, i)))
                continue;
            state->ends[++state->groups] = members;
        }
    }
    return TKP_OK;
}

/* Those of `kept` that others may join, and where in `kept` they are. */
static int32_t list_joined(
    const tkp_merger *m,
    const tkp_tensor *kept,
    int32_t *list,
    int32_t *place,
    int32_t *ends)
{
    const nearest *state = m->state;
    const int32_t *from = tkp__data(kept);
    int32_t count = 0, group = 0;
    ends[0] = 0;
    for (int32_t j = 0; j < kept->shape[0]; j++) {
        if (m->selector->batch->candidate_kept[from[j]])
            continue;
        while (group < state->of[from[j]])
            ends[++group] = count;
        place[count] = j;
        list[count++] = from[j];
    }
    while (group < state->groups)
        ends[++group] = count;
    return count;
}

static tkp_status run_nearest(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const nearest *state = m->state;
    const int64_t n = m->selector->batch->candidates;
    int32_t *list = tkp__ledger_at(workspace, m->at[AT_LIST]);
    int32_t *place = tkp__ledger_at(workspace, m->at[AT_PLACE]);
    int32_t *ends = tkp__ledger_at(workspace, m->at[AT_ENDS]);
    const int32_t count = list_joined(m, out->kept, list, place, ends);
    tkp_tensor args[8] = {0};
    TKP__TRY(tkp__features_run(
        &m->features, exec, in, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(&args[2], state->ends, TKP_DTYPE_I32, state->groups + 1);
    tkp_tensor_make_1d(
        &args[3], state->member, TKP_DTYPE_I32, state->ends[state->groups]);
    tkp_tensor_make_1d(&args[4], list, TKP_DTYPE_I32, count);
    tkp_tensor_make_1d(&args[5], ends, TKP_DTYPE_I32, state->groups + 1);
    tkp_tensor_make_1d(&args[6], out->assignment, TKP_DTYPE_I32, n);
    TKP__TRY(
        tkp__merger_run_op(m, m->ops[OP_NEAREST], exec, args, 8, workspace));
    for (int64_t i = 0; i < n; i++)
        if (out->assignment[i] >= 0)
            out->assignment[i] = place[out->assignment[i]];
    const int32_t *kept = tkp__data(out->kept);
    for (int32_t j = 0; j < out->kept->shape[0]; j++)
        out->assignment[kept[j]] = j;
    return TKP_OK;
}

static tkp_status nearest_run(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const tkp__batch *batch = m->selector->batch;
    const int64_t n = batch->candidates;
    TKP__TRY(run_nearest(m, exec, in, workspace, out));
    tkp_tensor args[7] = {
        [0] = *in->hidden, [2] = *out->kept, [5] = *out->rows};
    tkp_tensor_make_1d(&args[1], batch->candidate_rows, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], out->assignment, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(
        &args[6], out->sizes, TKP_DTYPE_F32, out->kept->shape[0]);
    return tkp__merger_run_op(m, m->ops[OP_MERGE], exec, args, 7, workspace);
}

static void nearest_release(tkp_merger *m)
{
    tkp__free(m->state);
}

const tkp__merger_kind tkp__merge_nearest = {
    .plan = nearest_plan,
    .bind = nearest_bind,
    .run = nearest_run,
    .release = nearest_release,
};
