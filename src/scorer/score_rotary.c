/*
 * How near a token's rotation is to none or to a quarter turn: tokens that act as
 * references of coordinates (IVC-Prune). Positions alone decide.
 */
#include "scorer/scorer.h"

enum { OP_MAIN };

static tkp_status rotary_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const tkp_layout *layout = batch->layout;
    const tkp_model_desc *m = &leaf->model;
    const tkp_op_rotary_coordinates params = {
        .struct_size = sizeof(params),
        .channels = m->head_dim,
        .sine = leaf->options.sine,
        .theta = m->rope_theta,
    };
    tkp_tensor args[3];
    TKP__CHECK(
        m->head_dim > 1 && m->rope_theta > 0.0, TKP_ERR_OPTION,
        "model: head_dim is %d and rope_theta %g; rotations need both",
        m->head_dim, m->rope_theta);
    tkp_tensor_make_2d(
        &args[0], NULL, TKP_DTYPE_I32, layout->position_rows, layout->rows);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, layout->visual);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_F32, layout->visual);
    return tkp__leaf_op(
        leaf, OP_MAIN, TKP_OP_ROTARY_COORDINATES, args, 3, &params);
}

static void rotary_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    (void)leaf;
    (void)batch;
}

static tkp_status rotary_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__batch *batch = leaf->batch;
    tkp_tensor args[3] = {[2] = *dst};
    (void)in;
    tkp_tensor_make_2d(
        &args[0], batch->positions, TKP_DTYPE_I32, batch->position_rows,
        batch->rows);
    tkp_tensor_make_1d(
        &args[1], batch->candidate_rows, TKP_DTYPE_I32, batch->candidates);
    return tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 3, workspace);
}

const tkp__leaf_kind tkp__leaf_rotary = {
    .plan = rotary_plan,
    .bind = rotary_bind,
    .run = rotary_run,
};
