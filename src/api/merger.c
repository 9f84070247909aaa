#include "merger/merger.h"

#include "core/names.h"
#include "tokenprune/sys/base.h"

void tkp_merger_options_init(tkp_merger_options *options)
{
    if (options)
        *options = (tkp_merger_options)TKP_MERGER_OPTIONS_INIT;
}

tkp_status tkp_merger_create(
    tkp_merger **out,
    tkp_context *context,
    const tkp_merger_options *options,
    tkp_selector *selector,
    const tkp_model_desc *model)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(context, TKP_ERR_ARGUMENT, "context is NULL");
    TKP__CHECK(options, TKP_ERR_ARGUMENT, "options is NULL");
    TKP__CHECK(selector, TKP_ERR_ARGUMENT, "selector is NULL");
    TKP__CHECK(model, TKP_ERR_ARGUMENT, "model is NULL");
    tkp__merger_spec spec;
    tkp_model_desc shapes;
    tkp_merger *merger;
    TKP__TRY(tkp__merger_spec_copy(&spec, options));
    TKP__CHECK(
        spec.options.kind != TKP_MERGER_NONE, TKP_ERR_OPTION,
        "merger: kind none merges nothing; wanted another");
    TKP__TRY(tkp__model_copy(&shapes, model));
    TKP__TRY(tkp__merger_new(&merger, context, &spec, selector, &shapes));
    const tkp_status status = tkp__merger_bind(merger);
    if (status != TKP_OK) {
        tkp__merger_free(merger);
        return status;
    }
    *out = merger;
    return TKP_OK;
}

void tkp_merger_destroy(tkp_merger *merger)
{
    tkp__merger_free(merger);
}

/* What run() books beside the merger's own: sizes and assignment, for callers
 * that do not want them. */
static uint64_t spare_bytes(const tkp_merger *merger)
{
    const size_t n = (size_t)merger->selector->batch->candidates;
    return 2 * tkp__align_up(n * sizeof(float), TKP__WORKSPACE_ALIGNMENT);
}

tkp_status
tkp_merger_query(const tkp_merger *merger, tkp_requirements *requirements)
{
    tkp_sys_message_clear();
    TKP__CHECK(merger, TKP_ERR_ARGUMENT, "merger is NULL");
    TKP__CHECK(requirements, TKP_ERR_ARGUMENT, "requirements is NULL");
    tkp_requirements r = TKP_REQUIREMENTS_INIT;
    r.workspace_bytes =
        spare_bytes(merger) +
        tkp__align_up(merger->workspace_bytes, TKP__WORKSPACE_ALIGNMENT);
    return tkp__util_fill_struct(
        requirements, &r, sizeof(r),
        TKP__SIZE_THROUGH(tkp_requirements, kernel), "requirements");
}

static tkp_status check_vector(
    const tkp_tensor *t,
    const char *name,
    int32_t dtype,
    int64_t count)
{
    TKP__TRY(tkp__check_view(t, name, false));
    TKP__CHECK(
        t->ndim == 1 && t->dtype == dtype && t->shape[0] == count &&
            tkp_tensor_is_contiguous(t),
        TKP_ERR_SHAPE, "%s: wanted a contiguous %s vector of %lld", name,
        tkp_dtype_string(dtype), (long long)count);
    return TKP_OK;
}

/* K: of the selector, or what it kept at its last run, where data decide. */
static int32_t count_kept(const tkp_merger *m, const tkp_tensor *kept)
{
    const tkp_selector *s = m->selector;
    return s->adaptive && kept->ndim == 1 && kept->shape[0] < s->kept
               ? (int32_t)kept->shape[0]
               : s->kept;
}

static tkp_status check_run(
    const tkp_merger *m,
    const tkp_inputs *in,
    const tkp_tensor *kept,
    const tkp_tensor *rows)
{
    const tkp__batch *batch = m->selector->batch;
    const int32_t count = count_kept(m, kept);
    TKP__TRY(check_vector(kept, "kept", TKP_DTYPE_I32, count));
    TKP__TRY(tkp__check_view(rows, "rows", false));
    TKP__CHECK(
        rows->ndim == 2 && rows->shape[0] == count &&
            rows->shape[1] == m->model.hidden &&
            rows->dtype == m->model.dtype && tkp_tensor_is_contiguous(rows),
        TKP_ERR_SHAPE, "rows: wanted contiguous %s [%d, %lld]",
        tkp_dtype_string(m->model.dtype), count, (long long)m->model.hidden);
    TKP__CHECK(
        in->hidden, TKP_ERR_ARGUMENT, "inputs: hidden is NULL, but needed");
    TKP__TRY(tkp__check_view(in->hidden, "inputs: hidden", false));
    TKP__CHECK(
        in->hidden->ndim == 2 && in->hidden->shape[0] == batch->rows &&
            in->hidden->shape[1] == m->model.hidden &&
            in->hidden->strides[1] == 1 && in->hidden->dtype == m->model.dtype,
        TKP_ERR_SHAPE, "inputs: hidden: wanted %s rows [%lld, %lld]",
        tkp_dtype_string(m->model.dtype), (long long)batch->rows,
        (long long)m->model.hidden);
    if (in->roles)
        TKP__TRY(
            check_vector(in->roles, "inputs: roles", TKP_DTYPE_I32, count));
    if (in->pools)
        TKP__TRY(check_vector(
            in->pools, "inputs: pools", TKP_DTYPE_I32,
            m->selector->batch->candidates));
    if (in->token_scores)
        TKP__TRY(check_vector(
            in->token_scores, "inputs: token_scores", TKP_DTYPE_F32,
            batch->candidates));
    const int32_t *list = tkp__data(kept);
    for (int32_t j = 0; j < count; j++)
        TKP__CHECK(
            list[j] >= 0 && list[j] < batch->candidates, TKP_ERR_ARGUMENT,
            "kept: entry %d is %d, wanted 0 to %lld", j, list[j],
            (long long)batch->candidates - 1);
    return TKP_OK;
}

tkp_status tkp_merger_run(
    const tkp_merger *merger,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    const tkp_tensor *kept,
    const tkp_tensor *rows,
    const tkp_tensor *sizes,
    const tkp_tensor *assignment)
{
    tkp_sys_message_clear();
    TKP__CHECK(merger, TKP_ERR_ARGUMENT, "merger is NULL");
    TKP__CHECK(exec, TKP_ERR_ARGUMENT, "exec is NULL");
    TKP__CHECK(inputs, TKP_ERR_ARGUMENT, "inputs is NULL");
    TKP__CHECK(kept && rows, TKP_ERR_ARGUMENT, "kept or rows is NULL");
    tkp_inputs in;
    TKP__TRY(tkp__inputs_copy(&in, inputs));
    TKP__TRY(check_run(merger, &in, kept, rows));
    if (sizes)
        TKP__TRY(check_vector(
            sizes, "sizes", TKP_DTYPE_F32, count_kept(merger, kept)));
    if (assignment)
        TKP__TRY(check_vector(
            assignment, "assignment", TKP_DTYPE_I32,
            merger->selector->batch->candidates));
    const uint64_t spare = spare_bytes(merger);
    TKP__TRY(
        tkp__core_exec_check_workspace(exec, spare + merger->workspace_bytes));
    char *workspace = tkp__core_exec_workspace(exec);
    const tkp__merging merging = {
        .kept = kept,
        .rows = rows,
        .sizes = sizes ? tkp__data(sizes) : (void *)workspace,
        .assignment = assignment ? tkp__data(assignment)
                                 : (void *)(workspace + spare / 2),
    };
    return tkp__merger_run(merger, exec, &in, workspace + spare, &merging);
}

tkp_status tkp_merger_register(
    const char *name,
    const tkp_merger_vtable *vtable,
    void *user)
{
    tkp_sys_message_clear();
    TKP__CHECK(name, TKP_ERR_ARGUMENT, "name is NULL");
    TKP__CHECK(vtable, TKP_ERR_ARGUMENT, "vtable is NULL");
    tkp_merger_vtable copy;
    TKP__TRY(tkp__util_copy_options(
        &copy, sizeof(copy), vtable, vtable->struct_size,
        TKP__SIZE_THROUGH(tkp_merger_vtable, release), "vtable"));
    TKP__CHECK(copy.run, TKP_ERR_ARGUMENT, "vtable: run is NULL");
    return tkp__names_add(
        &tkp__merger_names, name, &copy, sizeof(copy), user, copy.release);
}

tkp_status tkp_merger_unregister(const char *name)
{
    tkp_sys_message_clear();
    TKP__CHECK(name, TKP_ERR_ARGUMENT, "name is NULL");
    return tkp__names_remove(&tkp__merger_names, name);
}
