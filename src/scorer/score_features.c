/*
 * Scores from the tokens' features: their norm, or their cosine to a reference
 * row or to each other.
 */
#include "scorer/scorer.h"

enum { OP_MAIN, OP_GATHER, OP_REFERENCE };
enum { AT_REFERENCE };

static bool pairwise(const tkp__leaf *leaf)
{
    return leaf->options.kind == TKP_SCORER_COSINE &&
           (leaf->options.reference == TKP_REFERENCE_MAX_OTHER ||
            leaf->options.reference == TKP_REFERENCE_MEAN_OTHER);
}

/* Whose mean is the reference. */
static int32_t mean_of(const tkp__leaf *leaf)
{
    if (leaf->options.kind != TKP_SCORER_COSINE)
        return TKP_SCOPE_SEQUENCE;
    switch (leaf->options.reference) {
    case TKP_REFERENCE_MEAN_IMAGE:
        return TKP_SCOPE_IMAGE;
    case TKP_REFERENCE_MEAN_FRAME:
        return TKP_SCOPE_FRAME;
    default:
        return TKP_SCOPE_SEQUENCE;
    }
}

static tkp_status plan_features(tkp__leaf *leaf, int64_t extra)
{
    const size_t b = (size_t)leaf->batch->sequences;
    const size_t groups =
        (size_t)tkp__layout_groups(leaf->batch->layout, mean_of(leaf));
    TKP__TRY(tkp__features_plan(
        &leaf->features, leaf->context, leaf->batch, &leaf->model,
        leaf->options.feature, leaf->options.norm_eps, extra, &leaf->ledger));
    leaf->memory = tkp__alloc(b + groups + 1, sizeof(int32_t));
    if (!leaf->memory)
        return TKP_ERR_MEMORY;
    leaf->reference = leaf->memory;
    leaf->offsets = leaf->reference + b;
    return TKP_OK;
}

/* The last row of each sequence comes behind the candidates, if wanted. */
static void features_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    const bool last = leaf->options.kind == TKP_SCORER_COSINE &&
                      leaf->options.reference == TKP_REFERENCE_LAST;
    for (int32_t b = 0; b < batch->sequences; b++)
        leaf->reference[b] = batch->row_offsets[b + 1] - 1;
    leaf->rounds = tkp__batch_unit_offsets(batch, mean_of(leaf), leaf->offsets);
    tkp__features_bind(
        &leaf->features, leaf->reference, last ? batch->sequences : 0);
}

/* The features and the rows of the candidates in them. */
static tkp_status feature_rows(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    tkp_tensor *x,
    tkp_tensor *rows)
{
    TKP__TRY(tkp__features_run(&leaf->features, exec, in, workspace, x, rows));
    rows->shape[0] = leaf->batch->candidates;
    return TKP_OK;
}

/* --- norm ---------------------------------------------------------------- */

static tkp_status norm_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const int64_t n = batch->layout->visual;
    const tkp_op_row_norm params = {
        .struct_size = sizeof(params),
        .norm = leaf->options.norm,
    };
    tkp_tensor args[3];
    TKP__TRY(plan_features(leaf, 0));
    const tkp__features *f = &leaf->features;
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_F32, n);
    return tkp__leaf_op(leaf, OP_MAIN, TKP_OP_ROW_NORM, args, 3, &params);
}

static tkp_status norm_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_tensor args[3];
    TKP__TRY(feature_rows(leaf, exec, in, workspace, &args[0], &args[1]));
    args[2] = *dst;
    return tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 3, workspace);
}

/* --- cosine --------------------------------------------------------------- */

static tkp_status plan_pairs(tkp__leaf *leaf)
{
    const tkp_layout *layout = leaf->batch->layout;
    const tkp__features *f = &leaf->features;
    const tkp_op_cosine_pairs params = {
        .struct_size = sizeof(params),
        .reduce = leaf->options.reference == TKP_REFERENCE_MEAN_OTHER
                      ? TKP_ROW_REDUCE_MEAN
                      : TKP_ROW_REDUCE_MAX,
    };
    tkp_tensor args[4];
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, layout->visual);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, layout->n_sequences + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_F32, layout->visual);
    return tkp__leaf_op(leaf, OP_MAIN, TKP_OP_COSINE_PAIRS, args, 4, &params);
}

/* The mean of the candidates of a sequence, or of a unit: one pooled row
 * each. */
static tkp_status plan_mean(tkp__leaf *leaf)
{
    const tkp_layout *layout = leaf->batch->layout;
    const int64_t groups = tkp__layout_groups(layout, mean_of(leaf));
    const tkp__features *f = &leaf->features;
    const tkp_op_group_pool params = {
        .struct_size = sizeof(params),
        .pool = TKP_POOL_AVERAGE,
    };
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, groups + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, layout->visual);
    tkp_tensor_make_2d(&args[4], NULL, TKP_DTYPE_F32, groups, f->width);
    return tkp__leaf_op(
        leaf, OP_REFERENCE, TKP_OP_GROUP_POOL, args, 5, &params);
}

/* The last rows, copied behind one another. */
static tkp_status plan_last(tkp__leaf *leaf)
{
    const int64_t b = leaf->batch->sequences;
    const tkp__features *f = &leaf->features;
    tkp_tensor args[3];
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, b);
    tkp_tensor_make_2d(&args[2], NULL, f->dtype, b, f->width);
    return tkp__leaf_op(leaf, OP_GATHER, TKP_OP_GATHER_ROWS, args, 3, NULL);
}

static bool to_mean(const tkp__leaf *leaf)
{
    return leaf->options.reference == TKP_REFERENCE_MEAN_VISUAL ||
           leaf->options.reference == TKP_REFERENCE_MEAN_IMAGE ||
           leaf->options.reference == TKP_REFERENCE_MEAN_FRAME;
}

static tkp_status cosine_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const tkp_layout *layout = batch->layout;
    const bool last = leaf->options.reference == TKP_REFERENCE_LAST;
    const int64_t groups = tkp__layout_groups(layout, mean_of(leaf));
    TKP__TRY(plan_features(leaf, last ? layout->n_sequences : 0));
    if (pairwise(leaf))
        return plan_pairs(leaf);
    const tkp__features *f = &leaf->features;
    const int32_t dtype = to_mean(leaf) ? TKP_DTYPE_F32 : f->dtype;
    TKP__TRY(to_mean(leaf) ? plan_mean(leaf) : plan_last(leaf));
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger, (uint64_t)(groups * f->width) * sizeof(float),
        &leaf->at[AT_REFERENCE]));
    tkp_tensor args[5];
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, layout->visual);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, groups + 1);
    tkp_tensor_make_2d(&args[3], NULL, dtype, groups, f->width);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_F32, layout->visual);
    return tkp__leaf_op(leaf, OP_MAIN, TKP_OP_COSINE, args, 5, NULL);
}

static tkp_status cosine_reference(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_tensor *x,
    const tkp_tensor *rows,
    void *workspace,
    tkp_tensor *out)
{
    const tkp__batch *batch = leaf->batch;
    void *memory = tkp__ledger_at(workspace, leaf->at[AT_REFERENCE]);
    tkp_tensor_make_2d(
        out, memory, to_mean(leaf) ? TKP_DTYPE_F32 : x->dtype, leaf->rounds,
        leaf->features.width);
    if (to_mean(leaf)) {
        tkp_tensor args[5] = {[0] = *x, [2] = *rows, [4] = *out};
        tkp_tensor_make_1d(
            &args[1], leaf->offsets, TKP_DTYPE_I32, leaf->rounds + 1);
        return tkp__leaf_run_op(leaf, OP_REFERENCE, exec, args, 5, workspace);
    }
    tkp_tensor args[3] = {[0] = *x, [2] = *out};
    tkp_tensor_make_1d(
        &args[1], (int32_t *)tkp__data(rows) + batch->candidates, TKP_DTYPE_I32,
        batch->sequences);
    return tkp__leaf_run_op(leaf, OP_GATHER, exec, args, 3, workspace);
}

static tkp_status cosine_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_tensor args[5];
    TKP__TRY(feature_rows(leaf, exec, in, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(
        &args[2], leaf->offsets, TKP_DTYPE_I32, leaf->rounds + 1);
    if (pairwise(leaf)) {
        args[3] = *dst;
        return tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 4, workspace);
    }
    TKP__TRY(
        cosine_reference(leaf, exec, &args[0], &args[1], workspace, &args[3]));
    args[4] = *dst;
    return tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 5, workspace);
}

const tkp__leaf_kind tkp__leaf_norm = {
    .plan = norm_plan,
    .bind = features_bind,
    .run = norm_run,
};

const tkp__leaf_kind tkp__leaf_cosine = {
    .plan = cosine_plan,
    .bind = features_bind,
    .run = cosine_run,
};
