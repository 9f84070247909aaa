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

tkp_status
tkp__leaf_check_hidden(const tkp__leaf *leaf, const tkp_inputs *inputs)
{
    const tkp_tensor *h = inputs->hidden;
    TKP__CHECK(h, TKP_ERR_ARGUMENT, "inputs: hidden is NULL, but needed");
    TKP__TRY(tkp__check_view(h, "inputs: hidden", false));
    TKP__CHECK(
        h->ndim == 2 && h->shape[0] == leaf->batch->rows &&
            h->shape[1] == leaf->model.hidden,
        TKP_ERR_SHAPE, "inputs: hidden is [%lld, %lld], wanted [%lld, %lld]",
        (long long)(h->ndim > 0 ? h->shape[0] : 0),
        (long long)(h->ndim > 1 ? h->shape[1] : 0),
        (long long)leaf->batch->rows, (long long)leaf->model.hidden);
    TKP__CHECK(
        h->dtype == leaf->model.dtype, TKP_ERR_DTYPE,
        "inputs: hidden is %s, the model has %s", tkp_dtype_string(h->dtype),
        tkp_dtype_string(leaf->model.dtype));
    return TKP_OK;
}
