/* What all leaf scorers do alike. */
#include "scorer/scorer.h"

tkp_status tkp__leaf_op(
    tkp__leaf *leaf,
    int32_t slot,
    int32_t kind,
    const tkp_tensor *args,
    int32_t n_args,
    const void *params)
{
    return tkp__core_op_make(
        &leaf->ops[slot], leaf->context, kind, args, n_args, params,
        &leaf->ops_bytes);
}

tkp_status tkp__leaf_run_op(
    const tkp__leaf *leaf,
    int32_t slot,
    tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace)
{
    return tkp__core_op_run(
        leaf->ops[slot], exec, args, n_args,
        tkp__ledger_at(workspace, leaf->ops_at), leaf->ops_bytes);
}

tkp_status tkp__leaf_check_heads(
    const tkp__leaf *leaf,
    const tkp_tensor *t,
    int32_t heads,
    const char *name)
{
    const tkp_model_desc *m = &leaf->model;
    TKP__CHECK(t, TKP_ERR_ARGUMENT, "%s is NULL, but needed", name);
    TKP__TRY(tkp__check_view(t, name, false));
    TKP__CHECK(
        t->dtype == m->dtype, TKP_ERR_DTYPE, "%s: is %s, the model has %s",
        name, tkp_dtype_string(t->dtype), tkp_dtype_string(m->dtype));
    TKP__CHECK(
        t->ndim == 3 && t->shape[0] == leaf->batch->rows &&
            t->shape[1] == heads && t->shape[2] == m->head_dim,
        TKP_ERR_SHAPE, "%s: wanted packed rows [%lld, %d, %d]", name,
        (long long)leaf->batch->rows, heads, m->head_dim);
    return TKP_OK;
}
