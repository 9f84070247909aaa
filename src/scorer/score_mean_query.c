/*
 * Attention from the mean query of the visual tokens, queries and keys as they
 * are before they are rotated (PACT).
 */
#include "budget/budget.h"
#include "scorer/scorer.h"

enum { OP_MAIN };

static tkp_status mean_query_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const tkp_layout *layout = batch->layout;
    const tkp_model_desc *m = &leaf->model;
    const int64_t n = layout->visual;
    const int64_t units = tkp__layout_groups(layout, leaf->options.scope);
    const tkp_op_mean_query params = {.struct_size = sizeof(params)};
    tkp_tensor args[5];
    TKP__CHECK(
        m->heads > 0 && m->kv_heads > 0 && m->head_dim > 0, TKP_ERR_OPTION,
        "model: heads %d of %d channels; queries and keys have that shape",
        m->heads, m->head_dim);
    leaf->memory = tkp__alloc((size_t)(n + units + 1), sizeof(int32_t));
    if (!leaf->memory)
        return TKP_ERR_MEMORY;
    leaf->rows = leaf->memory;
    leaf->offsets = leaf->rows + n;
    tkp_tensor_make_3d(
        &args[0], NULL, m->dtype, layout->rows, m->heads, m->head_dim);
    tkp_tensor_make_3d(
        &args[1], NULL, m->dtype, layout->rows, m->kv_heads, m->head_dim);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, units + 1);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_F32, n);
    return tkp__leaf_op(leaf, OP_MAIN, TKP_OP_MEAN_QUERY, args, 5, &params);
}

static void mean_query_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    memcpy(
        leaf->rows, batch->candidate_rows,
        (size_t)batch->candidates * sizeof(int32_t));
    leaf->rounds =
        tkp__batch_unit_offsets(batch, leaf->options.scope, leaf->offsets);
}

static tkp_status mean_query_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_tensor args[5];
    TKP__TRY(tkp__leaf_check_heads(
        leaf, in->plain_q, leaf->model.heads, "inputs: plain_q"));
    TKP__TRY(tkp__leaf_check_heads(
        leaf, in->plain_k, leaf->model.kv_heads, "inputs: plain_k"));
    args[0] = *in->plain_q;
    args[1] = *in->plain_k;
    tkp_tensor_make_1d(
        &args[2], leaf->rows, TKP_DTYPE_I32, leaf->batch->candidates);
    tkp_tensor_make_1d(
        &args[3], leaf->offsets, TKP_DTYPE_I32, leaf->rounds + 1);
    args[4] = *dst;
    return tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 5, workspace);
}

const tkp__leaf_kind tkp__leaf_mean_query = {
    .plan = mean_query_plan,
    .bind = mean_query_bind,
    .run = mean_query_run,
};
