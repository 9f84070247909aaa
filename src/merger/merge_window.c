/* Windows pooled into the rows of the tokens that stand for them. */
#include "merger/bins.h"

static tkp_status plan_pool(tkp_merger *m, tkp_ledger *ledger)
{
    const tkp_layout *layout = m->selector->batch->layout;
    const int64_t n = layout->visual;
    const int64_t d = m->model.hidden;
    const tkp_op_group_pool params = {
        .struct_size = sizeof(params),
        .pool = m->spec.options.kind == TKP_MERGER_WINDOW_MAX
                    ? TKP_POOL_MAX
                    : TKP_POOL_AVERAGE,
    };
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(&args[0], NULL, m->model.dtype, layout->rows, d);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, m->bin_capacity);
    tkp_tensor_make_2d(&args[4], NULL, m->model.dtype, n, d);
    TKP__TRY(tkp__merger_op(m, &m->pool, TKP_OP_GROUP_POOL, args, 5, &params));
    tkp_tensor_make_2d(&args[0], NULL, m->model.dtype, n, d);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[2], NULL, m->model.dtype, n, d);
    TKP__TRY(tkp__merger_op(m, &m->gather, TKP_OP_GATHER_ROWS, args, 3, NULL));
    TKP__TRY(tkp__ledger_book(
        ledger, (uint64_t)(n * d) * tkp_dtype_bytes(m->model.dtype),
        &m->pooled_at));
    return tkp__ledger_book(
        ledger, (uint64_t)n * sizeof(int32_t), &m->groups_at);
}

static tkp_status window_plan(tkp_merger *m, tkp_ledger *ledger)
{
    const int64_t n = m->selector->batch->layout->visual;
    m->bin_capacity = tkp__bins_capacity(m);
    m->memory = tkp__alloc((size_t)(n + 1 + m->bin_capacity), sizeof(int32_t));
    if (!m->memory)
        return TKP_ERR_MEMORY;
    m->bin_offsets = m->memory;
    m->bin_rows = m->bin_offsets + n + 1;
    return plan_pool(m, ledger);
}

/* Windows keep one token each; or none does, where an image keeps nothing. */
static tkp_status check_windows(const tkp_merger *m)
{
    const tkp__groups *g = &m->selector->groups;
    const int32_t *image_of = m->selector->batch->candidate_images;
    for (int32_t i = 0; i < g->count;) {
        const int32_t first = i;
        const int32_t image = image_of[g->member[g->offsets[i]]];
        int64_t kept = 0;
        for (; i < g->count && image_of[g->member[g->offsets[i]]] == image; i++)
            kept += g->keep[i];
        for (int32_t w = first; kept && w < i; w++)
            TKP__CHECK(
                g->keep[w] == 1, TKP_ERR_OPTION,
                "merger: window %d of %d keeps %d tokens, wanted one each; "
                "choose a budget that is a grid (rows x columns) of the image",
                w, g->count, g->keep[w]);
    }
    return TKP_OK;
}

static tkp_status window_bind(tkp_merger *m)
{
    TKP__CHECK(
        m->selector->spec.options.kind == TKP_SELECTOR_WINDOW, TKP_ERR_OPTION,
        "merger: a window merger needs a window selector");
    TKP__TRY(check_windows(m));
    tkp__bins_fill(m);
    return TKP_OK;
}

static tkp_status run_pool(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const int32_t *kept,
    int64_t k,
    const tkp_tensor *rows)
{
    const tkp__groups *g = &m->selector->groups;
    void *ops = tkp__ledger_at(workspace, m->ops_at);
    int32_t *group_of = tkp__ledger_at(workspace, m->groups_at);
    tkp_tensor pooled;
    tkp_tensor_make_2d(
        &pooled, tkp__ledger_at(workspace, m->pooled_at), m->model.dtype,
        g->count, m->model.hidden);
    tkp_tensor args[5] = {[0] = *in->hidden, [4] = pooled};
    tkp_tensor_make_1d(&args[1], m->bin_offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(
        &args[2], m->bin_rows, TKP_DTYPE_I32, m->bin_offsets[g->count]);
    TKP__TRY(tkp__core_op_run(m->pool, exec, args, 5, ops, m->ops_bytes));
    for (int64_t j = 0; j < k; j++)
        group_of[j] = g->of[kept[j]] < 0 ? 0 : g->of[kept[j]];
    if (!g->count)
        return TKP_OK;
    args[0] = pooled;
    tkp_tensor_make_1d(&args[1], group_of, TKP_DTYPE_I32, k);
    args[2] = *rows;
    return tkp__core_op_run(m->gather, exec, args, 3, ops, m->ops_bytes);
}

/* Protected tokens stand for themselves: their rows are copied back. */
static void restore_protected(
    const tkp_merger *m,
    const tkp_inputs *in,
    const int32_t *kept,
    int64_t k,
    const tkp_tensor *rows)
{
    const tkp__batch *batch = m->selector->batch;
    const size_t element = tkp_dtype_bytes(m->model.dtype);
    const size_t bytes = (size_t)m->model.hidden * element;
    for (int64_t j = 0; j < k; j++) {
        if (m->selector->groups.of[kept[j]] >= 0)
            continue;
        const int64_t row = batch->candidate_rows[kept[j]];
        memcpy(
            (char *)tkp__data(rows) + (size_t)j * bytes,
            (const char *)tkp__data(in->hidden) +
                (size_t)(row * in->hidden->strides[0]) * element,
            bytes);
    }
}

static void report_groups(
    const tkp_merger *m,
    const int32_t *kept,
    int64_t k,
    float *sizes,
    int32_t *assignment)
{
    const tkp__groups *g = &m->selector->groups;
    for (int64_t n = 0; n < m->selector->batch->candidates; n++)
        assignment[n] = -1;
    for (int64_t j = 0; j < k; j++) {
        const int32_t group = g->of[kept[j]];
        if (group < 0) {
            sizes[j] = 1.0f;
            assignment[kept[j]] = (int32_t)j;
            continue;
        }
        sizes[j] = (float)(m->bin_offsets[group + 1] - m->bin_offsets[group]);
        for (int32_t i = g->offsets[group]; i < g->offsets[group + 1]; i++)
            assignment[g->member[i]] = (int32_t)j;
    }
}

static tkp_status window_run(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const int64_t k = out->kept->shape[0];
    const int32_t *list = tkp__data(out->kept);
    TKP__TRY(run_pool(m, exec, in, workspace, list, k, out->rows));
    restore_protected(m, in, list, k, out->rows);
    report_groups(m, list, k, out->sizes, out->assignment);
    return TKP_OK;
}

const tkp__merger_kind tkp__merge_window = {
    .plan = window_plan,
    .bind = window_bind,
    .run = window_run,
};
