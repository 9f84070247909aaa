#include "scorer/scorer.h"

#include "core/names.h"
#include "tokenprune/sys/base.h"

void tkp_scorer_options_init(tkp_scorer_options *options)
{
    if (options)
        *options = (tkp_scorer_options)TKP_SCORER_OPTIONS_INIT;
}

void tkp_model_desc_init(tkp_model_desc *model)
{
    if (model)
        *model = (tkp_model_desc)TKP_MODEL_DESC_INIT;
}

void tkp_inputs_init(tkp_inputs *inputs)
{
    if (inputs)
        *inputs = (tkp_inputs)TKP_INPUTS_INIT;
}

/* A stand-alone scorer owns the batch state it was planned for. */
static tkp_status create_owned(
    tkp_scorer **out,
    tkp_context *context,
    const tkp__scorer_spec *spec,
    tkp_layout *layout,
    const tkp_model_desc *model)
{
    tkp__batch *batch;
    TKP__TRY(tkp__batch_new(&batch, layout));
    const tkp_status status = tkp__scorer_new(out, context, spec, batch, model);
    if (status != TKP_OK) {
        tkp__batch_free(batch);
        return status;
    }
    (*out)->own = batch;
    tkp__scorer_bind(*out);
    return TKP_OK;
}

tkp_status tkp_scorer_create(
    tkp_scorer **out,
    tkp_context *context,
    const tkp_scorer_options *options,
    tkp_layout *layout,
    const tkp_model_desc *model)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(context, TKP_ERR_ARGUMENT, "context is NULL");
    TKP__CHECK(options, TKP_ERR_ARGUMENT, "options is NULL");
    TKP__CHECK(layout, TKP_ERR_ARGUMENT, "layout is NULL");
    TKP__CHECK(model, TKP_ERR_ARGUMENT, "model is NULL");
    tkp__scorer_spec spec;
    tkp_model_desc shapes;
    TKP__TRY(tkp__scorer_spec_copy(&spec, options));
    TKP__TRY(tkp__model_copy(&shapes, model));
    return create_owned(out, context, &spec, layout, &shapes);
}

void tkp_scorer_destroy(tkp_scorer *scorer)
{
    tkp__scorer_free(scorer);
}

uint32_t tkp_scorer_needs(const tkp_scorer *scorer)
{
    return scorer ? scorer->needs : 0;
}

tkp_status
tkp_scorer_query(const tkp_scorer *scorer, tkp_requirements *requirements)
{
    tkp_sys_message_clear();
    TKP__CHECK(scorer, TKP_ERR_ARGUMENT, "scorer is NULL");
    TKP__CHECK(requirements, TKP_ERR_ARGUMENT, "requirements is NULL");
    tkp_requirements r = TKP_REQUIREMENTS_INIT;
    r.workspace_bytes = scorer->workspace_bytes;
    return tkp__util_fill_struct(
        requirements, &r, sizeof(r),
        TKP__SIZE_THROUGH(tkp_requirements, kernel), "requirements");
}

int64_t
tkp_scorer_query_rows(const tkp_scorer *scorer, int32_t *rows, int64_t capacity)
{
    return scorer ? tkp__scorer_query_rows(&scorer, 1, rows, capacity) : 0;
}

tkp_status tkp_scorer_run(
    const tkp_scorer *scorer,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    const tkp_tensor *scores)
{
    tkp_sys_message_clear();
    TKP__CHECK(scorer, TKP_ERR_ARGUMENT, "scorer is NULL");
    TKP__CHECK(exec, TKP_ERR_ARGUMENT, "exec is NULL");
    TKP__CHECK(inputs, TKP_ERR_ARGUMENT, "inputs is NULL");
    TKP__CHECK(scores, TKP_ERR_ARGUMENT, "scores is NULL");
    tkp_inputs in;
    TKP__TRY(tkp__inputs_copy(&in, inputs));
    TKP__TRY(tkp__check_view(scores, "scores", false));
    TKP__CHECK(
        scores->ndim == 1 && scores->shape[0] == scorer->batch->candidates &&
            scores->dtype == TKP_DTYPE_F32 && tkp_tensor_is_contiguous(scores),
        TKP_ERR_SHAPE, "scores: wanted a contiguous f32 vector of %lld",
        (long long)scorer->batch->candidates);
    TKP__TRY(tkp__core_exec_check_workspace(exec, scorer->workspace_bytes));
    return tkp__scorer_run(
        scorer, exec, &in, tkp__core_exec_workspace(exec), scores);
}

tkp_status tkp_scorer_register(
    const char *name,
    const tkp_scorer_vtable *vtable,
    void *user)
{
    tkp_sys_message_clear();
    TKP__CHECK(name, TKP_ERR_ARGUMENT, "name is NULL");
    TKP__CHECK(vtable, TKP_ERR_ARGUMENT, "vtable is NULL");
    tkp_scorer_vtable copy;
    TKP__TRY(tkp__util_copy_options(
        &copy, sizeof(copy), vtable, vtable->struct_size,
        TKP__SIZE_THROUGH(tkp_scorer_vtable, release), "vtable"));
    TKP__CHECK(copy.run, TKP_ERR_ARGUMENT, "vtable: run is NULL");
    return tkp__names_add(
        &tkp__scorer_names, name, &copy, sizeof(copy), user, copy.release);
}

tkp_status tkp_scorer_unregister(const char *name)
{
    tkp_sys_message_clear();
    TKP__CHECK(name, TKP_ERR_ARGUMENT, "name is NULL");
    return tkp__names_remove(&tkp__scorer_names, name);
}
