/*
 * Scores from hidden rows: their norm, or their cosine to a reference row or
 * to each other, raw or after the model's final RMSNorm.
 */
#include "scorer/scorer.h"

enum { OP_MAIN, OP_GATHER, OP_NORM, OP_REFERENCE };
enum { AT_ROWS, AT_REFERENCE, AT_GATHERED };

static bool normed(const tkp__leaf *leaf)
{
    return leaf->options.feature == TKP_FEATURE_FINAL_NORM;
}

static bool pairwise(const tkp__leaf *leaf)
{
    return leaf->options.kind == TKP_SCORER_COSINE &&
           (leaf->options.reference == TKP_REFERENCE_MAX_OTHER ||
            leaf->options.reference == TKP_REFERENCE_MEAN_OTHER);
}

/* Candidate rows copied and normalised, followed by the reference rows. */
static tkp_status plan_rows(tkp__leaf *leaf, int64_t rows)
{
    const int64_t d = leaf->model.hidden;
    const tkp_layout *layout = leaf->batch->layout;
    tkp_tensor args[3];
    tkp_tensor_make_2d(&args[0], NULL, leaf->model.dtype, layout->rows, d);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, rows);
    tkp_tensor_make_2d(&args[2], NULL, leaf->model.dtype, rows, d);
    TKP__TRY(tkp__leaf_op(leaf, OP_GATHER, TKP_OP_GATHER_ROWS, args, 3, NULL));
    if (normed(leaf)) {
        const tkp_op_norm params = {
            .struct_size = sizeof(params),
            .eps = leaf->options.norm_eps,
        };
        args[0] = args[2];
        tkp_tensor_make_1d(&args[1], NULL, leaf->model.dtype, d);
        TKP__TRY(
            tkp__leaf_op(leaf, OP_NORM, TKP_OP_RMS_NORM, args, 3, &params));
        TKP__TRY(tkp__ledger_book(
            &leaf->ledger,
            (uint64_t)(rows * d) * tkp_dtype_bytes(leaf->model.dtype),
            &leaf->at[AT_GATHERED]));
    }
    return tkp__ledger_book(
        &leaf->ledger,
        (uint64_t)(rows * d) * tkp_dtype_bytes(leaf->model.dtype),
        &leaf->at[AT_ROWS]);
}

static tkp_status plan_tables(tkp__leaf *leaf)
{
    const size_t n = (size_t)leaf->batch->layout->visual;
    const size_t b = (size_t)leaf->batch->sequences;
    int32_t *at = tkp__alloc(2 * n + 3 * b + 1, sizeof(*at));
    if (!at)
        return TKP_ERR_MEMORY;
    leaf->memory = at;
    leaf->rows = at; /* followed by the reference rows: one gather list */
    leaf->reference = leaf->rows + n;
    leaf->offsets = leaf->reference + b;
    leaf->order = leaf->offsets + b + 1;
    return TKP_OK;
}

/* `rows` [candidates, then references], offsets, and `order` = 0, 1, 2 ... for
 * tensors that already hold just the candidates. */
static void features_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    const int32_t n = (int32_t)batch->candidates;
    memcpy(leaf->rows, batch->candidate_rows, (size_t)n * sizeof(int32_t));
    leaf->reference = leaf->rows + n;
    for (int32_t b = 0; b < batch->sequences; b++)
        leaf->reference[b] = batch->row_offsets[b + 1] - 1;
    memcpy(
        leaf->offsets, batch->candidate_offsets,
        (size_t)(batch->sequences + 1) * sizeof(int32_t));
    for (int32_t i = 0; i < n; i++)
        leaf->order[i] = i;
}

static tkp_status check_model(const tkp__leaf *leaf)
{
    TKP__CHECK(
        leaf->model.hidden > 0, TKP_ERR_OPTION,
        "model: hidden is %lld; scores from features need it",
        (long long)leaf->model.hidden);
    return TKP_OK;
}

/* --- norm ---------------------------------------------------------------- */

static tkp_status norm_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const int64_t n = batch->layout->visual;
    TKP__TRY(check_model(leaf));
    if (normed(leaf))
        TKP__TRY(plan_rows(leaf, n));
    const tkp_op_row_norm params = {
        .struct_size = sizeof(params),
        .norm = leaf->options.norm,
    };
    tkp_tensor args[3];
    tkp_tensor_make_2d(
        &args[0], NULL, leaf->model.dtype, batch->layout->rows,
        leaf->model.hidden);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__leaf_op(leaf, OP_MAIN, TKP_OP_ROW_NORM, args, 3, &params));
    return plan_tables(leaf);
}

/* The rows that features are taken from: hidden itself with the candidates'
 * row numbers, or a normalised copy of the candidates, numbered 0, 1, 2 ...,
 * with `extra` reference rows behind. */
static tkp_status feature_rows(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    int64_t extra,
    void *workspace,
    tkp_tensor *x,
    tkp_tensor *rows)
{
    const int64_t n = leaf->batch->candidates;
    TKP__TRY(tkp__leaf_check_hidden(leaf, in));
    if (!normed(leaf)) {
        *x = *in->hidden;
        tkp_tensor_make_1d(rows, leaf->rows, TKP_DTYPE_I32, n);
        return TKP_OK;
    }
    TKP__CHECK(
        in->norm_weight, TKP_ERR_ARGUMENT,
        "inputs: norm_weight is NULL; the scorer's feature is final_norm");
    tkp_tensor args[3];
    args[0] = *in->hidden;
    tkp_tensor_make_1d(&args[1], leaf->rows, TKP_DTYPE_I32, n + extra);
    tkp_tensor_make_2d(
        &args[2], tkp__ledger_at(workspace, leaf->at[AT_GATHERED]),
        leaf->model.dtype, n + extra, leaf->model.hidden);
    TKP__TRY(tkp__leaf_run_op(leaf, OP_GATHER, exec, args, 3, workspace));
    args[0] = args[2];
    args[1] = *in->norm_weight;
    args[2].data = tkp__ledger_at(workspace, leaf->at[AT_ROWS]);
    TKP__TRY(tkp__leaf_run_op(leaf, OP_NORM, exec, args, 3, workspace));
    *x = args[2];
    tkp_tensor_make_1d(rows, leaf->order, TKP_DTYPE_I32, n);
    return TKP_OK;
}

static tkp_status norm_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_tensor args[3];
    TKP__TRY(feature_rows(leaf, exec, in, 0, workspace, &args[0], &args[1]));
    args[2] = *dst;
    return tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 3, workspace);
}

/* --- cosine --------------------------------------------------------------- */

static tkp_status plan_pairs(tkp__leaf *leaf, int64_t rows)
{
    const tkp_layout *layout = leaf->batch->layout;
    const tkp_op_cosine_pairs params = {
        .struct_size = sizeof(params),
        .reduce = leaf->options.reference == TKP_REFERENCE_MEAN_OTHER
                      ? TKP_ROW_REDUCE_MEAN
                      : TKP_ROW_REDUCE_MAX,
    };
    tkp_tensor args[4];
    tkp_tensor_make_2d(
        &args[0], NULL, leaf->model.dtype, rows, leaf->model.hidden);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, layout->visual);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, layout->n_sequences + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_F32, layout->visual);
    return tkp__leaf_op(leaf, OP_MAIN, TKP_OP_COSINE_PAIRS, args, 4, &params);
}

/* The mean of a sequence's candidates: one pooled row each. */
static tkp_status plan_mean(tkp__leaf *leaf, int64_t rows)
{
    const tkp_layout *layout = leaf->batch->layout;
    const tkp_op_group_pool params = {
        .struct_size = sizeof(params),
        .pool = TKP_POOL_AVERAGE,
    };
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(
        &args[0], NULL, leaf->model.dtype, rows, leaf->model.hidden);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, layout->n_sequences + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, layout->visual);
    tkp_tensor_make_2d(
        &args[4], NULL, TKP_DTYPE_F32, layout->n_sequences, leaf->model.hidden);
    return tkp__leaf_op(
        leaf, OP_REFERENCE, TKP_OP_GROUP_POOL, args, 5, &params);
}

static int32_t reference_dtype(const tkp__leaf *leaf)
{
    return leaf->options.reference == TKP_REFERENCE_MEAN_VISUAL
               ? TKP_DTYPE_F32
               : leaf->model.dtype;
}

static tkp_status cosine_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const tkp_layout *layout = batch->layout;
    const int64_t copied = layout->visual + layout->n_sequences;
    const int64_t rows = copied > layout->rows ? copied : layout->rows;
    TKP__TRY(check_model(leaf));
    TKP__TRY(plan_rows(leaf, copied));
    TKP__TRY(plan_tables(leaf));
    if (pairwise(leaf))
        return plan_pairs(leaf, rows);
    if (leaf->options.reference == TKP_REFERENCE_MEAN_VISUAL)
        TKP__TRY(plan_mean(leaf, rows));
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger,
        (uint64_t)(layout->n_sequences * leaf->model.hidden) * sizeof(float),
        &leaf->at[AT_REFERENCE]));
    tkp_tensor args[5];
    tkp_tensor_make_2d(
        &args[0], NULL, leaf->model.dtype, rows, leaf->model.hidden);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, layout->visual);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, layout->n_sequences + 1);
    tkp_tensor_make_2d(
        &args[3], NULL, reference_dtype(leaf), layout->n_sequences,
        leaf->model.hidden);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_F32, layout->visual);
    return tkp__leaf_op(leaf, OP_MAIN, TKP_OP_COSINE, args, 5, NULL);
}

static tkp_status cosine_reference(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    const tkp_tensor *x,
    const tkp_tensor *rows,
    void *workspace,
    tkp_tensor *out)
{
    const tkp__batch *batch = leaf->batch;
    void *memory = tkp__ledger_at(workspace, leaf->at[AT_REFERENCE]);
    tkp_tensor_make_2d(
        out, memory, reference_dtype(leaf), batch->sequences,
        leaf->model.hidden);
    if (leaf->options.reference == TKP_REFERENCE_MEAN_VISUAL) {
        tkp_tensor args[5] = {[0] = *x, [2] = *rows, [4] = *out};
        tkp_tensor_make_1d(
            &args[1], leaf->offsets, TKP_DTYPE_I32, batch->sequences + 1);
        return tkp__leaf_run_op(leaf, OP_REFERENCE, exec, args, 5, workspace);
    }
    if (normed(leaf)) { /* already behind the candidates */
        *out = *x;
        out->byte_offset += (uint64_t)(batch->candidates * x->strides[0]) *
                            tkp_dtype_bytes(x->dtype);
        out->shape[0] = batch->sequences;
        return TKP_OK;
    }
    tkp_tensor args[3] = {[0] = *in->hidden, [2] = *out};
    tkp_tensor_make_1d(
        &args[1], leaf->reference, TKP_DTYPE_I32, batch->sequences);
    return tkp__leaf_run_op(leaf, OP_GATHER, exec, args, 3, workspace);
}

static tkp_status cosine_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__batch *batch = leaf->batch;
    const bool pairs = pairwise(leaf);
    tkp_tensor args[5];
    TKP__TRY(feature_rows(
        leaf, exec, in, pairs ? 0 : batch->sequences, workspace, &args[0],
        &args[1]));
    tkp_tensor_make_1d(
        &args[2], leaf->offsets, TKP_DTYPE_I32, batch->sequences + 1);
    if (pairs) {
        args[3] = *dst;
        return tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 4, workspace);
    }
    TKP__TRY(cosine_reference(
        leaf, exec, in, &args[0], &args[1], workspace, &args[3]));
    args[4] = *dst;
    return tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 5, workspace);
}

const tkp__leaf_kind tkp__leaf_norm = {
    .needs = TKP_NEED_HIDDEN,
    .plan = norm_plan,
    .bind = features_bind,
    .run = norm_run,
};

const tkp__leaf_kind tkp__leaf_cosine = {
    .needs = TKP_NEED_HIDDEN,
    .plan = cosine_plan,
    .bind = features_bind,
    .run = cosine_run,
};
