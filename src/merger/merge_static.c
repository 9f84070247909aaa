/*
 * What only repeats in a window of frames is averaged over them; of what the
 * selector dropped of that, each joins the kept one whose mean is nearest to its
 * own (HoliTom). A row becomes the mean of all tokens it stands for. Protected
 * tokens and dynamic ones stay as they are; dropped dynamic ones go nowhere.
 */
#include "features/static.h"
#include "merger/merger.h"

enum { OP_NEAREST, OP_MERGE };
enum { AT_NEAR, AT_KEPT, AT_ENDS, AT_PLACE };

static tkp_status plan_ops(tkp_merger *m)
{
    const tkp_layout *layout = m->selector->batch->layout;
    const int64_t n = layout->visual;
    const tkp_op_nearest nearest = {
        .struct_size = sizeof(nearest),
        .measure = TKP_GREEDY_EUCLIDEAN,
    };
    const tkp_op_merge_rows merge = {
        .struct_size = sizeof(merge),
        .rule = TKP_MERGE_MEAN,
    };
    tkp_tensor args[8] = {0};
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_F32, n, m->features.width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_I32, n);
    TKP__TRY(tkp__merger_op(
        m, &m->ops[OP_NEAREST], TKP_OP_NEAREST, args, 8, &nearest));
    tkp_tensor_make_2d(
        &args[0], NULL, m->model.dtype, layout->rows, m->model.hidden);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    args[4] = (tkp_tensor){0};
    tkp_tensor_make_2d(&args[5], NULL, m->model.dtype, n, m->model.hidden);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    return tkp__merger_op(
        m, &m->ops[OP_MERGE], TKP_OP_MERGE_ROWS, args, 7, &merge);
}

static tkp_status static_plan(tkp_merger *m, tkp_ledger *ledger)
{
    const uint64_t n = (uint64_t)m->selector->batch->layout->visual;
    tkp__static *state = tkp__zalloc(1, sizeof(*state));
    if (!state)
        return TKP_ERR_MEMORY;
    m->state = state;
    m->has_features = true;
    TKP__TRY(tkp__features_plan(
        &m->features, m->context, m->selector->batch, &m->model,
        m->spec.options.feature, 0.0f, 0, ledger));
    TKP__TRY(tkp__static_plan(
        state, &m->features, m->spec.options.threshold, ledger, &m->ops_bytes));
    for (int32_t i = AT_NEAR; i <= AT_PLACE; i++)
        TKP__TRY(
            tkp__ledger_book(ledger, (n + 1) * sizeof(int32_t), &m->at[i]));
    return plan_ops(m);
}

static tkp_status static_bind(tkp_merger *m)
{
    tkp__static_bind(m->state);
    return TKP_OK;
}

/* near[h]: entry of the kept heads (place: of all kept ones) for head h. */
static tkp_status run_nearest(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp__static_found *found,
    void *workspace,
    const tkp__merging *out,
    int32_t *near,
    int32_t *place)
{
    const int32_t *list = tkp__data(out->kept);
    int32_t *kept = tkp__ledger_at(workspace, m->at[AT_KEPT]);
    int32_t *ends = tkp__ledger_at(workspace, m->at[AT_ENDS]);
    int32_t count = 0, group = 0;
    if (found->heads == 0)
        return TKP_OK;
    ends[0] = 0;
    for (int32_t j = 0; j < out->kept->shape[0]; j++) {
        const int32_t h = found->number[list[j]];
        if (h < 0 || m->selector->batch->candidate_kept[list[j]])
            continue;
        while (h >= found->group_end[group + 1])
            ends[++group] = count;
        place[count] = j;
        kept[count++] = h;
    }
    while (group < found->groups)
        ends[++group] = count;
    tkp_tensor args[8] = {[0] = found->means, [1] = found->order};
    tkp_tensor_make_1d(
        &args[2], (void *)found->group_end, TKP_DTYPE_I32, found->groups + 1);
    tkp_tensor_make_1d(&args[4], kept, TKP_DTYPE_I32, count);
    tkp_tensor_make_1d(&args[5], ends, TKP_DTYPE_I32, found->groups + 1);
    tkp_tensor_make_1d(&args[6], near, TKP_DTYPE_I32, found->heads);
    return tkp__merger_run_op(m, m->ops[OP_NEAREST], exec, args, 8, workspace);
}

static tkp_status static_run(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const tkp__batch *batch = m->selector->batch;
    const int64_t n = batch->candidates;
    const int32_t *list = tkp__data(out->kept);
    int32_t *near = tkp__ledger_at(workspace, m->at[AT_NEAR]);
    int32_t *place = tkp__ledger_at(workspace, m->at[AT_PLACE]);
    tkp__static_found found;
    tkp_tensor args[7] = {0};
    TKP__TRY(tkp__features_run(
        &m->features, exec, in, workspace, &args[0], &args[1]));
    TKP__TRY(tkp__static_run(
        m->state, exec, &args[0], &args[1], workspace,
        tkp__ledger_at(workspace, m->ops_at), m->ops_bytes, &found));
    TKP__TRY(run_nearest(m, exec, &found, workspace, out, near, place));
    for (int64_t i = 0; i < n; i++) {
        const int32_t h =
            found.head[i] < 0 ? -1 : near[found.number[found.head[i]]];
        out->assignment[i] = h < 0 ? -1 : place[h];
    }
    for (int32_t j = 0; j < out->kept->shape[0]; j++)
        out->assignment[list[j]] = j;
    args[0] = *in->hidden;
    tkp_tensor_make_1d(&args[1], batch->candidate_rows, TKP_DTYPE_I32, n);
    args[2] = *out->kept;
    tkp_tensor_make_1d(&args[3], out->assignment, TKP_DTYPE_I32, n);
    args[5] = *out->rows;
    tkp_tensor_make_1d(
        &args[6], out->sizes, TKP_DTYPE_F32, out->kept->shape[0]);
    return tkp__merger_run_op(m, m->ops[OP_MERGE], exec, args, 7, workspace);
}

static void static_release(tkp_merger *m)
{
    if (m->state)
        tkp__static_release(m->state);
    tkp__free(m->state);
}

const tkp__merger_kind tkp__merge_static = {
    .plan = static_plan,
    .bind = static_bind,
    .run = static_run,
    .release = static_release,
};
