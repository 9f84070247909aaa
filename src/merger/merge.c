/* The merger: windows pooled into the rows of the tokens that stand for them. */
#include "core/names.h"
#include "merger/bins.h"

TKP__ASSERT_NO_PADDING(tkp_merger_options, custom);

tkp_status
tkp__merger_spec_copy(tkp__merger_spec *out, const tkp_merger_options *in)
{
    tkp_merger_options *o = &out->options;
    memset(out, 0, sizeof(*out));
    TKP__TRY(tkp__util_copy_options(
        o, sizeof(*o), in, in->struct_size,
        TKP__SIZE_THROUGH(tkp_merger_options, custom), "merger"));
    TKP__CHECK(
        o->kind >= TKP_MERGER_NONE && o->kind <= TKP_MERGER_CUSTOM,
        TKP_ERR_OPTION, "merger: kind is %d, wanted 0 to %d", o->kind,
        TKP_MERGER_CUSTOM);
    TKP__CHECK(
        o->adaptive_overlap == 0 || o->adaptive_overlap == 1, TKP_ERR_OPTION,
        "merger: adaptive_overlap is %d, wanted 0 or 1", o->adaptive_overlap);
    if (o->kind == TKP_MERGER_CUSTOM) {
        TKP__CHECK(
            o->custom && o->custom[0] && strlen(o->custom) < TKP__NAME_BYTES,
            TKP_ERR_OPTION, "merger: custom needs a name of 1 to %d characters",
            TKP__NAME_BYTES - 1);
        strcpy(out->custom, o->custom);
    }
    tkp__merger_spec_relink(out);
    return TKP_OK;
}

void tkp__merger_spec_relink(tkp__merger_spec *spec)
{
    spec->options.custom =
        spec->options.kind == TKP_MERGER_CUSTOM ? spec->custom : NULL;
}

uint32_t tkp__merger_spec_needs(const tkp__merger_spec *spec)
{
    if (spec->options.kind == TKP_MERGER_NONE)
        return 0;
    if (spec->options.kind != TKP_MERGER_CUSTOM)
        return TKP_NEED_HIDDEN;
    tkp_merger_vtable vtable;
    void *user;
    if (tkp__names_get(
            &tkp__merger_names, spec->custom, &vtable, sizeof(vtable), &user) !=
        TKP_OK)
        return TKP_NEED_HIDDEN;
    tkp__names_put(&tkp__merger_names, spec->custom);
    return vtable.needs | TKP_NEED_HIDDEN;
}

static bool pools(const tkp_merger *m)
{
    return m->spec.options.kind == TKP_MERGER_WINDOW_AVERAGE ||
           m->spec.options.kind == TKP_MERGER_WINDOW_MAX;
}

static tkp_status plan_op(
    tkp_merger *m,
    tkp_op **op,
    int32_t kind,
    const tkp_tensor *args,
    int32_t n_args,
    const void *params)
{
    return tkp__core_op_make(
        op, m->context, kind, args, n_args, params, &m->ops_bytes);
}

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
    TKP__CHECK(
        d > 0, TKP_ERR_OPTION,
        "model: hidden is %lld; merging needs the width of the rows",
        (long long)d);
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(&args[0], NULL, m->model.dtype, layout->rows, d);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, m->bin_capacity);
    tkp_tensor_make_2d(&args[4], NULL, m->model.dtype, n, d);
    TKP__TRY(plan_op(m, &m->pool, TKP_OP_GROUP_POOL, args, 5, &params));
    tkp_tensor_make_2d(&args[0], NULL, m->model.dtype, n, d);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[2], NULL, m->model.dtype, n, d);
    TKP__TRY(plan_op(m, &m->gather, TKP_OP_GATHER_ROWS, args, 3, NULL));
    TKP__TRY(tkp__ledger_book(
        ledger, (uint64_t)(n * d) * tkp_dtype_bytes(m->model.dtype),
        &m->pooled_at));
    return tkp__ledger_book(
        ledger, (uint64_t)n * sizeof(int32_t), &m->groups_at);
}

static tkp_status build_merger(tkp_merger *m)
{
    tkp_ledger ledger = TKP__LEDGER_INIT;
    const int64_t n = m->selector->batch->layout->visual;
    if (m->spec.options.kind == TKP_MERGER_CUSTOM) {
        TKP__TRY(tkp__names_get(
            &tkp__merger_names, m->spec.custom, &m->custom, sizeof(m->custom),
            &m->custom_user));
        m->has_custom = true;
    }
    if (pools(m)) {
        m->bin_capacity = tkp__bins_capacity(m);
        m->memory =
            tkp__alloc((size_t)(n + 1 + m->bin_capacity), sizeof(int32_t));
        if (!m->memory)
            return TKP_ERR_MEMORY;
        m->bin_offsets = m->memory;
        m->bin_rows = m->bin_offsets + n + 1;
        TKP__TRY(plan_pool(m, &ledger));
    }
    TKP__TRY(tkp__ledger_book(&ledger, m->ops_bytes, &m->ops_at));
    m->workspace_bytes = ledger.bytes;
    return TKP_OK;
}

tkp_status tkp__merger_new(
    tkp_merger **out,
    tkp_context *context,
    const tkp__merger_spec *spec,
    tkp_selector *selector,
    const tkp_model_desc *model)
{
    tkp_merger *m = tkp__zalloc(1, sizeof(*m));
    if (!m)
        return TKP_ERR_MEMORY;
    m->context = context;
    tkp__core_context_retain(context);
    m->selector = selector;
    tkp__selector_retain(selector);
    m->spec = *spec;
    tkp__merger_spec_relink(&m->spec);
    m->model = *model;
    const tkp_status status = build_merger(m);
    if (status != TKP_OK) {
        tkp__merger_free(m);
        return status;
    }
    *out = m;
    return TKP_OK;
}

void tkp__merger_free(tkp_merger *m)
{
    if (!m)
        return;
    tkp__core_op_destroy(m->pool);
    tkp__core_op_destroy(m->gather);
    if (m->has_custom)
        tkp__names_put(&tkp__merger_names, m->spec.custom);
    tkp__free(m->memory);
    tkp__selector_release(m->selector);
    tkp__core_context_release(m->context);
    tkp__free(m);
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

tkp_status tkp__merger_bind(tkp_merger *m)
{
    if (!pools(m))
        return TKP_OK;
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

tkp_status tkp__merger_run(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *kept,
    const tkp_tensor *rows,
    float *sizes,
    int32_t *assignment)
{
    const int64_t k = kept->shape[0];
    const int64_t n = m->selector->batch->candidates;
    if (m->has_custom) {
        tkp_batch_view view;
        tkp_tensor s;
        tkp_tensor a;
        tkp__batch_view(m->selector->batch, &view);
        tkp_tensor_make_1d(&s, sizes, TKP_DTYPE_F32, k);
        tkp_tensor_make_1d(&a, assignment, TKP_DTYPE_I32, n);
        return m->custom.run(
            m->custom_user, &view, in, kept, exec, rows, &s, &a);
    }
    const int32_t *list = tkp__data(kept);
    TKP__TRY(run_pool(m, exec, in, workspace, list, k, rows));
    restore_protected(m, in, list, k, rows);
    report_groups(m, list, k, sizes, assignment);
    return TKP_OK;
}
