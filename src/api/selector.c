#include "selector/selector.h"

#include "core/names.h"
#include "scorer/scorer.h"
#include "tokenprune/sys/base.h"

void tkp_selector_options_init(tkp_selector_options *options)
{
    if (options)
        *options = (tkp_selector_options)TKP_SELECTOR_OPTIONS_INIT;
}

/* A stand-alone selector owns the batch state it was planned for. */
static tkp_status create_owned(
    tkp_selector **out,
    tkp_context *context,
    const tkp__selector_spec *spec,
    const tkp_budget *budget,
    tkp_layout *layout,
    const tkp_model_desc *model)
{
    tkp__batch *batch;
    tkp_selector *s = NULL;
    TKP__TRY(tkp__batch_new(&batch, layout));
    tkp_status status =
        tkp__selector_new(&s, context, spec, budget, batch, model, 0, 0, 0);
    if (status != TKP_OK) {
        tkp__batch_free(batch);
        return status;
    }
    s->own = batch;
    status = tkp__selector_bind(s);
    if (status != TKP_OK) {
        tkp__selector_release(s);
        return status;
    }
    *out = s;
    return TKP_OK;
}

static tkp_status create(
    tkp_selector **out,
    tkp_context *context,
    const tkp_selector_options *options,
    const tkp_budget *budget,
    tkp_layout *layout,
    const tkp_model_desc *model)
{
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(context, TKP_ERR_ARGUMENT, "context is NULL");
    TKP__CHECK(options, TKP_ERR_ARGUMENT, "options is NULL");
    TKP__CHECK(budget, TKP_ERR_ARGUMENT, "budget is NULL");
    TKP__CHECK(layout, TKP_ERR_ARGUMENT, "layout is NULL");
    tkp__selector_spec spec;
    tkp_budget copy;
    TKP__TRY(tkp__selector_spec_copy(&spec, options));
    TKP__TRY(tkp__budget_copy(&copy, budget, "budget"));
    TKP__CHECK(
        copy.kind != TKP_BUDGET_RANK, TKP_ERR_UNSUPPORTED,
        "budget: kind is rank, which attention decides; a sequence resolves "
        "it");
    return create_owned(out, context, &spec, &copy, layout, model);
}

tkp_status tkp_selector_create(
    tkp_selector **out,
    tkp_context *context,
    const tkp_selector_options *options,
    const tkp_budget *budget,
    tkp_layout *layout)
{
    tkp_sys_message_clear();
    return create(out, context, options, budget, layout, NULL);
}

tkp_status tkp_selector_create_for(
    tkp_selector **out,
    tkp_context *context,
    const tkp_selector_options *options,
    const tkp_budget *budget,
    tkp_layout *layout,
    const tkp_model_desc *model)
{
    tkp_sys_message_clear();
    TKP__CHECK(model, TKP_ERR_ARGUMENT, "model is NULL");
    tkp_model_desc shapes;
    TKP__TRY(tkp__model_copy(&shapes, model));
    return create(out, context, options, budget, layout, &shapes);
}

uint32_t tkp_selector_needs(const tkp_selector *selector)
{
    return selector ? tkp__selector_spec_needs(&selector->spec) : 0;
}

void tkp_selector_destroy(tkp_selector *selector)
{
    tkp__selector_release(selector);
}

tkp_status
tkp_selector_query(const tkp_selector *selector, tkp_requirements *requirements)
{
    tkp_sys_message_clear();
    TKP__CHECK(selector, TKP_ERR_ARGUMENT, "selector is NULL");
    TKP__CHECK(requirements, TKP_ERR_ARGUMENT, "requirements is NULL");
    tkp_requirements r = TKP_REQUIREMENTS_INIT;
    r.workspace_bytes = selector->workspace_bytes;
    return tkp__util_fill_struct(
        requirements, &r, sizeof(r),
        TKP__SIZE_THROUGH(tkp_requirements, kernel), "requirements");
}

int64_t tkp_selector_count(const tkp_selector *selector, int32_t sequence)
{
    if (!selector || sequence < 0 || sequence >= selector->batch->sequences)
        return -1;
    return selector->kept_offsets[sequence + 1] -
           selector->kept_offsets[sequence];
}

static tkp_status
check_scores(const tkp_selector *selector, const tkp_tensor *scores)
{
    if (!tkp__selector_needs_scores(&selector->spec))
        return TKP_OK;
    TKP__CHECK(
        scores, TKP_ERR_ARGUMENT, "scores is NULL, but this kind needs them");
    TKP__TRY(tkp__check_view(scores, "scores", false));
    TKP__CHECK(
        scores->ndim == 1 && scores->dtype == TKP_DTYPE_F32 &&
            scores->shape[0] == selector->batch->candidates &&
            tkp_tensor_is_contiguous(scores),
        TKP_ERR_SHAPE, "scores: wanted a contiguous f32 vector of %lld",
        (long long)selector->batch->candidates);
    return TKP_OK;
}

static tkp_status
check_list(const tkp_tensor *t, const char *name, int64_t count)
{
    TKP__TRY(tkp__check_view(t, name, false));
    TKP__CHECK(
        t->ndim == 1 && t->dtype == TKP_DTYPE_I32 && t->shape[0] == count &&
            tkp_tensor_is_contiguous(t),
        TKP_ERR_SHAPE, "%s: wanted a contiguous i32 vector of %lld", name,
        (long long)count);
    return TKP_OK;
}

tkp_status tkp_selector_run(
    const tkp_selector *selector,
    tkp_exec *exec,
    const tkp_tensor *scores,
    const tkp_tensor *indices,
    const tkp_tensor *offsets)
{
    return tkp_selector_run_on(
        selector, exec, NULL, scores, indices, offsets, NULL, NULL);
}

tkp_status tkp_selector_run_on(
    const tkp_selector *selector,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    const tkp_tensor *scores,
    const tkp_tensor *indices,
    const tkp_tensor *offsets,
    const tkp_tensor *roles,
    const tkp_tensor *pools)
{
    tkp_sys_message_clear();
    TKP__CHECK(selector, TKP_ERR_ARGUMENT, "selector is NULL");
    TKP__CHECK(exec, TKP_ERR_ARGUMENT, "exec is NULL");
    TKP__CHECK(indices, TKP_ERR_ARGUMENT, "indices is NULL");
    TKP__CHECK(
        inputs || !tkp_selector_needs(selector), TKP_ERR_ARGUMENT,
        "inputs is NULL, but this kind needs them");
    tkp_inputs in = TKP_INPUTS_INIT;
    if (inputs)
        TKP__TRY(tkp__inputs_copy(&in, inputs));
    TKP__TRY(check_scores(selector, scores));
    TKP__TRY(check_list(indices, "indices", selector->kept));
    if (offsets)
        TKP__TRY(
            check_list(offsets, "offsets", selector->batch->sequences + 1));
    if (roles)
        TKP__TRY(check_list(roles, "roles", selector->kept));
    if (pools)
        TKP__TRY(check_list(pools, "pools", selector->batch->candidates));
    TKP__CHECK(
        !scores || !tkp__overlap(scores, indices), TKP_ERR_ALIAS,
        "indices overlaps scores");
    TKP__TRY(tkp__core_exec_check_workspace(exec, selector->workspace_bytes));
    return tkp__selector_run(
        selector, exec, &in, scores, tkp__core_exec_workspace(exec), indices,
        roles, pools, offsets ? tkp__data(offsets) : NULL, NULL);
}

tkp_status tkp_selector_register(
    const char *name,
    const tkp_selector_vtable *vtable,
    void *user)
{
    tkp_sys_message_clear();
    TKP__CHECK(name, TKP_ERR_ARGUMENT, "name is NULL");
    TKP__CHECK(vtable, TKP_ERR_ARGUMENT, "vtable is NULL");
    tkp_selector_vtable copy;
    TKP__TRY(tkp__util_copy_options(
        &copy, sizeof(copy), vtable, vtable->struct_size,
        TKP__SIZE_THROUGH(tkp_selector_vtable, release), "vtable"));
    TKP__CHECK(copy.run, TKP_ERR_ARGUMENT, "vtable: run is NULL");
    return tkp__names_add(
        &tkp__selector_names, name, &copy, sizeof(copy), user, copy.release);
}

tkp_status tkp_selector_unregister(const char *name)
{
    tkp_sys_message_clear();
    TKP__CHECK(name, TKP_ERR_ARGUMENT, "name is NULL");
    return tkp__names_remove(&tkp__selector_names, name);
}
