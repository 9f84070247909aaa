/*
 * Scores of a token from its frame and its video (an image of the layout): how
 * near it is to their middle, and how sharply the video turns at its frame.
 */
#include "scorer/scorer.h"

enum { OP_MAIN, OP_POOL, OP_SPREAD };
enum { AT_MEANS, AT_VALUES };

/* Tables: where videos begin, in candidates (gaussian) or frames (curvature);
 * where frames begin; 0, 1, 2 ... */
static tkp_status frames_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const tkp_layout *layout = batch->layout;
    const size_t images = (size_t)layout->n_images;
    const size_t frames = (size_t)tkp__layout_units(layout, TKP_SCOPE_FRAME);
    TKP__TRY(tkp__features_plan(
        &leaf->features, leaf->context, batch, &leaf->model,
        leaf->options.feature, leaf->options.norm_eps, 0, &leaf->ledger));
    leaf->memory = tkp__alloc(
        images + 1 + frames + 1 + (size_t)layout->visual, sizeof(int32_t));
    if (!leaf->memory)
        return TKP_ERR_MEMORY;
    leaf->offsets = leaf->memory;
    leaf->local_offsets = leaf->offsets + images + 1;
    leaf->order = leaf->local_offsets + frames + 1;
    for (int64_t i = 0; i < layout->visual; i++)
        leaf->order[i] = (int32_t)i;
    return TKP_OK;
}

/* --- gaussian -------------------------------------------------------------- */

static tkp_status gaussian_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const tkp_layout *layout = batch->layout;
    const tkp_op_gaussian_scores params = {
        .struct_size = sizeof(params),
        .centre = leaf->options.centre,
    };
    tkp_tensor args[5];
    TKP__TRY(frames_plan(leaf, batch));
    const tkp__features *f = &leaf->features;
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, layout->visual);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, layout->n_images + 1);
    tkp_tensor_make_1d(
        &args[3], NULL, TKP_DTYPE_I32,
        tkp__layout_units(layout, TKP_SCOPE_FRAME) + 1);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_F32, layout->visual);
    return tkp__leaf_op(
        leaf, OP_MAIN, TKP_OP_GAUSSIAN_SCORES, args, 5, &params);
}

static void gaussian_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    leaf->rounds =
        tkp__batch_unit_offsets(batch, TKP_SCOPE_IMAGE, leaf->offsets);
    leaf->frames =
        tkp__batch_unit_offsets(batch, TKP_SCOPE_FRAME, leaf->local_offsets);
    tkp__features_bind(&leaf->features, NULL, 0);
}

static tkp_status gaussian_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_tensor args[5];
    TKP__TRY(tkp__features_run(
        &leaf->features, exec, in, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(
        &args[2], leaf->offsets, TKP_DTYPE_I32, leaf->rounds + 1);
    tkp_tensor_make_1d(
        &args[3], leaf->local_offsets, TKP_DTYPE_I32, leaf->frames + 1);
    args[4] = *dst;
    return tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 5, workspace);
}

const tkp__leaf_kind tkp__leaf_gaussian = {
    .plan = gaussian_plan,
    .bind = gaussian_bind,
    .run = gaussian_run,
};

/* --- curvature ------------------------------------------------------------- */

static tkp_status plan_means(tkp__leaf *leaf, const tkp_layout *layout)
{
    const int64_t frames = tkp__layout_units(layout, TKP_SCOPE_FRAME);
    const tkp__features *f = &leaf->features;
    const tkp_op_group_pool params = {
        .struct_size = sizeof(params),
        .pool = TKP_POOL_AVERAGE,
    };
    tkp_tensor args[5] = {0};
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger, (uint64_t)(frames * f->width) * sizeof(float),
        &leaf->at[AT_MEANS]));
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, frames + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, layout->visual);
    tkp_tensor_make_2d(&args[4], NULL, TKP_DTYPE_F32, frames, f->width);
    return tkp__leaf_op(leaf, OP_POOL, TKP_OP_GROUP_POOL, args, 5, &params);
}

static tkp_status curvature_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const tkp_layout *layout = batch->layout;
    const int64_t frames = tkp__layout_units(layout, TKP_SCOPE_FRAME);
    tkp_tensor args[4];
    TKP__TRY(frames_plan(leaf, batch));
    TKP__TRY(plan_means(leaf, layout));
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger, (uint64_t)frames * sizeof(float), &leaf->at[AT_VALUES]));
    tkp_tensor_make_2d(
        &args[0], NULL, TKP_DTYPE_F32, frames, leaf->features.width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, layout->n_images + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_F32, frames);
    TKP__TRY(tkp__leaf_op(leaf, OP_MAIN, TKP_OP_CURVATURE, args, 3, NULL));
    args[0] = args[2];
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, frames + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, layout->visual);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_F32, layout->visual);
    return tkp__leaf_op(leaf, OP_SPREAD, TKP_OP_GROUP_BROADCAST, args, 4, NULL);
}

static void curvature_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    leaf->frames =
        tkp__batch_unit_offsets(batch, TKP_SCOPE_FRAME, leaf->local_offsets);
    leaf->rounds = 0;
    for (int32_t f = 0; f < leaf->frames; f++) {
        const int32_t n = leaf->local_offsets[f];
        if (n == 0 ||
            batch->candidate_images[n] != batch->candidate_images[n - 1])
            leaf->offsets[leaf->rounds++] = f;
    }
    leaf->offsets[leaf->rounds] = leaf->frames;
    tkp__features_bind(&leaf->features, NULL, 0);
}

static tkp_status curvature_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_tensor args[5] = {0};
    TKP__TRY(tkp__features_run(
        &leaf->features, exec, in, workspace, &args[0], &args[2]));
    tkp_tensor_make_1d(
        &args[1], leaf->local_offsets, TKP_DTYPE_I32, leaf->frames + 1);
    tkp_tensor_make_2d(
        &args[4], tkp__ledger_at(workspace, leaf->at[AT_MEANS]), TKP_DTYPE_F32,
        leaf->frames, leaf->features.width);
    TKP__TRY(tkp__leaf_run_op(leaf, OP_POOL, exec, args, 5, workspace));
    args[0] = args[4];
    tkp_tensor_make_1d(
        &args[1], leaf->offsets, TKP_DTYPE_I32, leaf->rounds + 1);
    tkp_tensor_make_1d(
        &args[2], tkp__ledger_at(workspace, leaf->at[AT_VALUES]), TKP_DTYPE_F32,
        leaf->frames);
    TKP__TRY(tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 3, workspace));
    args[0] = args[2];
    tkp_tensor_make_1d(
        &args[1], leaf->local_offsets, TKP_DTYPE_I32, leaf->frames + 1);
    tkp_tensor_make_1d(
        &args[2], leaf->order, TKP_DTYPE_I32, leaf->batch->candidates);
    args[3] = *dst;
    return tkp__leaf_run_op(leaf, OP_SPREAD, exec, args, 4, workspace);
}

const tkp__leaf_kind tkp__leaf_curvature = {
    .plan = curvature_plan,
    .bind = curvature_bind,
    .run = curvature_run,
};
