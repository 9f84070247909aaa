/*
 * How much a token differs from the one at its place a frame before: of the
 * frames that still have a token there, the latest. What has none before it,
 * as the whole first frame (of a group), scores above everything. With a threshold of the
 * cosine: 1 where a run of like tokens begins, 0 where it goes on.
 */
#include "scorer/scorer.h"

enum { OP_MAIN };

static tkp_status temporal_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const int64_t n = batch->layout->visual;
    const tkp_op_temporal params = {
        .struct_size = sizeof(params),
        .threshold = leaf->options.threshold,
    };
    tkp_tensor args[4];
    TKP__TRY(tkp__features_plan(
        &leaf->features, leaf->context, batch, &leaf->model,
        leaf->options.feature, leaf->options.norm_eps, 0, &leaf->ledger));
    leaf->memory = tkp__alloc(
        (size_t)n + (size_t)tkp__layout_frame_cells(batch->layout) *
                        (size_t)(leaf->options.group ? leaf->options.group : 1),
        sizeof(int32_t));
    if (!leaf->memory)
        return TKP_ERR_MEMORY;
    leaf->reference = leaf->memory; /* [N] who comes before */
    leaf->local =
        leaf->reference + n; /* [cells of a frame, or a group of them] so far */
    const tkp__features *f = &leaf->features;
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_F32, n);
    return tkp__leaf_op(leaf, OP_MAIN, TKP_OP_TEMPORAL, args, 4, &params);
}

static void temporal_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    if (leaf->options.group)
        tkp__batch_before_in_groups(
            batch, leaf->options.group, leaf->reference, leaf->local);
    else
        tkp__batch_before(batch, leaf->reference, leaf->local);
    tkp__features_bind(&leaf->features, NULL, 0);
}

static tkp_status temporal_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_tensor args[4];
    TKP__TRY(tkp__features_run(
        &leaf->features, exec, in, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(
        &args[2], leaf->reference, TKP_DTYPE_I32, leaf->batch->candidates);
    args[3] = *dst;
    return tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 4, workspace);
}

const tkp__leaf_kind tkp__leaf_temporal = {
    .plan = temporal_plan,
    .bind = temporal_bind,
    .run = temporal_run,
};
