/*
 * Relevance to text: likeness of the tokens' features to rows of text, those
 * of prompts and, for the entropy filter, those of single tokens of text.
 */
#include "scorer/scorer.h"

enum { OP_PROMPTS, OP_TOKENS, OP_RELEVANCE, OP_SMOOTH };
enum { AT_PROMPTS, AT_TOKENS, AT_RANGES, AT_RAW };

/* How EADP sharpens likeness, and weighs what is left. */
static const float SHARPNESS = 100.0f, ENTROPY_TEMPERATURE = 0.01f;
/* What CDPruner adds, so that no score is 0. */
static const float EPSILON = 1e-6f;

static bool by_entropy(const tkp__leaf *leaf)
{
    return leaf->options.kind == TKP_SCORER_ENTROPY_RELEVANCE;
}

static bool in_shared_space(const tkp__leaf *leaf)
{
    return leaf->options.feature == TKP_FEATURE_CLIP;
}

/* Rows of text there may be, of prompts or of tokens. */
static int64_t most_rows(const tkp__leaf *leaf, bool tokens)
{
    const tkp_model_desc *m = &leaf->model;
    return tokens                  ? m->clip_token_rows
           : in_shared_space(leaf) ? m->clip_text_rows
                                   : m->text_rows;
}

/* --- planning -------------------------------------------------------------- */

static tkp_status
plan_likeness(tkp__leaf *leaf, int32_t slot, int64_t rows, uint64_t *at)
{
    const tkp_layout *layout = leaf->batch->layout;
    const tkp__features *f = &leaf->features;
    const int64_t n = layout->visual, b = layout->n_sequences;
    const tkp_op_similarity params = {.struct_size = sizeof(params)};
    tkp_tensor args[7] = {0};
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, b + 1);
    tkp_tensor_make_2d(&args[4], NULL, f->dtype, rows, f->width);
    tkp_tensor_make_2d(&args[5], NULL, TKP_DTYPE_I32, b, 2);
    tkp_tensor_make_2d(&args[6], NULL, TKP_DTYPE_F32, rows, n);
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger, (uint64_t)(rows * n) * sizeof(float), at));
    return tkp__leaf_op(leaf, slot, TKP_OP_SIMILARITY, args, 7, &params);
}

static tkp_status plan_relevance(tkp__leaf *leaf)
{
    const tkp_layout *layout = leaf->batch->layout;
    const int64_t n = layout->visual, b = layout->n_sequences;
    const tkp_op_relevance params = {
        .struct_size = sizeof(params),
        .like = leaf->options.prefer == TKP_PREFER_LIKE,
        .mix = leaf->options.mix,
        .share = leaf->options.share,
        .sharpness = SHARPNESS,
        .temperature = ENTROPY_TEMPERATURE,
        .epsilon = by_entropy(leaf) ? 0.0f : EPSILON,
    };
    tkp_tensor args[6] = {0};
    tkp_tensor_make_2d(
        &args[0], NULL, TKP_DTYPE_F32, most_rows(leaf, false), n);
    tkp_tensor_make_2d(&args[1], NULL, TKP_DTYPE_I32, b, 2);
    if (by_entropy(leaf)) {
        tkp_tensor_make_2d(
            &args[2], NULL, TKP_DTYPE_F32, most_rows(leaf, true), n);
        tkp_tensor_make_2d(&args[3], NULL, TKP_DTYPE_I32, b, 2);
    }
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, b + 1);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_F32, n);
    return tkp__leaf_op(leaf, OP_RELEVANCE, TKP_OP_RELEVANCE, args, 6, &params);
}

static tkp_status plan_smooth(tkp__leaf *leaf)
{
    const tkp_layout *layout = leaf->batch->layout;
    const int64_t n = layout->visual, images = layout->n_images;
    int64_t most = 1;
    for (int32_t i = 0; i < layout->n_images; i++) {
        const int64_t cells = tkp__image_cells(&layout->images[i]);
        most = cells > most ? cells : most;
    }
    const tkp_op_smooth_grid params = {
        .struct_size = sizeof(params),
        .cells = (int32_t)most,
        .sigma = 1.0f,
        .power = leaf->options.power,
    };
    tkp_tensor args[5] = {0};
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, images + 1);
    tkp_tensor_make_2d(&args[2], NULL, TKP_DTYPE_I32, images, 3);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger, (uint64_t)n * sizeof(float), &leaf->at[AT_RAW]));
    return tkp__leaf_op(leaf, OP_SMOOTH, TKP_OP_SMOOTH_GRID, args, 5, &params);
}

/* Tables: offsets [B + 1]; of images offsets [I + 1], grids [I, 3], cells [N]. */
static tkp_status make_tables(tkp__leaf *leaf)
{
    const tkp_layout *layout = leaf->batch->layout;
    const size_t b = (size_t)layout->n_sequences;
    const size_t images = (size_t)layout->n_images;
    leaf->memory = tkp__alloc(
        b + 1 + images + 1 + 3 * images + (size_t)layout->visual,
        sizeof(int32_t));
    if (!leaf->memory)
        return TKP_ERR_MEMORY;
    leaf->offsets = leaf->memory;
    leaf->local_offsets = leaf->offsets + b + 1;
    leaf->reference = leaf->local_offsets + images + 1;
    leaf->local = leaf->reference + 3 * images;
    for (size_t i = 0; i < images; i++) {
        leaf->reference[3 * i] = layout->images[i].frames;
        leaf->reference[3 * i + 1] = layout->images[i].rows;
        leaf->reference[3 * i + 2] = layout->images[i].cols;
    }
    return TKP_OK;
}

static tkp_status relevance_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const tkp_scorer_options *o = &leaf->options;
    TKP__CHECK(
        in_shared_space(leaf) ||
            (!by_entropy(leaf) && (o->feature == TKP_FEATURE_RAW ||
                                   o->feature == TKP_FEATURE_FINAL_NORM)),
        TKP_ERR_OPTION, "scorer: relevance: feature is %d, wanted clip%s",
        o->feature, by_entropy(leaf) ? "" : ", raw or final-norm");
    TKP__CHECK(
        most_rows(leaf, false) > 0 &&
            (!by_entropy(leaf) || most_rows(leaf, true) > 0),
        TKP_ERR_OPTION, "model: %s is 0; relevance compares with rows of text",
        most_rows(leaf, false) > 0 ? "clip_token_rows"
        : in_shared_space(leaf)    ? "clip_text_rows"
                                   : "text_rows");
    TKP__TRY(tkp__features_plan(
        &leaf->features, leaf->context, batch, &leaf->model, o->feature,
        o->norm_eps, 0, &leaf->ledger));
    TKP__TRY(plan_likeness(
        leaf, OP_PROMPTS, most_rows(leaf, false), &leaf->at[AT_PROMPTS]));
    if (by_entropy(leaf))
        TKP__TRY(plan_likeness(
            leaf, OP_TOKENS, most_rows(leaf, true), &leaf->at[AT_TOKENS]));
    TKP__TRY(plan_relevance(leaf));
    if (o->smooth)
        TKP__TRY(plan_smooth(leaf));
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger,
        4 * (uint64_t)batch->layout->n_sequences * sizeof(int32_t),
        &leaf->at[AT_RANGES]));
    return make_tables(leaf);
}

static void relevance_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    const int32_t images = batch->layout->n_images;
    const size_t n = (size_t)batch->candidates;
    memcpy(
        leaf->offsets, batch->candidate_offsets,
        (size_t)(batch->sequences + 1) * sizeof(int32_t));
    memcpy(leaf->local, batch->candidate_cells, n * sizeof(int32_t));
    for (int32_t i = 0; i <= images; i++)
        leaf->local_offsets[i] = 0;
    for (size_t j = 0; j < n; j++)
        leaf->local_offsets[batch->candidate_images[j] + 1]++;
    for (int32_t i = 0; i < images; i++)
        leaf->local_offsets[i + 1] += leaf->local_offsets[i];
    tkp__features_bind(&leaf->features, NULL, 0);
}

/* --- running --------------------------------------------------------------- */

/* Likeness [rows, N] to the rows of one kind, and which rows are whose. */
static tkp_status run_likeness(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_tensor *x,
    const tkp_tensor *rows,
    const tkp_inputs *in,
    bool tokens,
    void *workspace,
    tkp_tensor *likeness,
    tkp_tensor *range)
{
    const tkp__batch *batch = leaf->batch;
    const tkp_tensor *text = tokens                  ? in->clip_tokens
                             : in_shared_space(leaf) ? in->clip_text
                                                     : in->text;
    const int32_t *offsets = tokens                  ? in->clip_token_offsets
                             : in_shared_space(leaf) ? in->clip_text_offsets
                                                     : in->text_offsets;
    const char *name = tokens                  ? "clip_tokens"
                       : in_shared_space(leaf) ? "clip_text"
                                               : "text";
    TKP__TRY(tkp__features_check_text(
        &leaf->features, text, offsets, most_rows(leaf, tokens), name));
    int32_t *ranges = tkp__ledger_at(workspace, leaf->at[AT_RANGES]);
    ranges += tokens ? 2 * batch->sequences : 0;
    tkp__features_text_ranges(ranges, text, offsets, batch->sequences);
    tkp_tensor_make_2d(range, ranges, TKP_DTYPE_I32, batch->sequences, 2);
    tkp_tensor_make_2d(
        likeness,
        tkp__ledger_at(workspace, leaf->at[tokens ? AT_TOKENS : AT_PROMPTS]),
        TKP_DTYPE_F32, text->shape[0], batch->candidates);
    tkp_tensor args[7] = {[0] = *x, [1] = *rows, [4] = *text, [5] = *range};
    tkp_tensor_make_1d(
        &args[2], leaf->offsets, TKP_DTYPE_I32, batch->sequences + 1);
    args[6] = *likeness;
    return tkp__leaf_run_op(
        leaf, tokens ? OP_TOKENS : OP_PROMPTS, exec, args, 7, workspace);
}

static tkp_status run_smooth(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_tensor *raw,
    void *workspace,
    const tkp_tensor *dst)
{
    const int64_t images = leaf->batch->layout->n_images;
    tkp_tensor args[5] = {[0] = *raw, [4] = *dst};
    tkp_tensor_make_1d(
        &args[1], leaf->local_offsets, TKP_DTYPE_I32, images + 1);
    tkp_tensor_make_2d(&args[2], leaf->reference, TKP_DTYPE_I32, images, 3);
    tkp_tensor_make_1d(
        &args[3], leaf->local, TKP_DTYPE_I32, leaf->batch->candidates);
    return tkp__leaf_run_op(leaf, OP_SMOOTH, exec, args, 5, workspace);
}

static tkp_status relevance_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_tensor x, rows, args[6] = {0};
    TKP__TRY(
        tkp__features_run(&leaf->features, exec, in, workspace, &x, &rows));
    TKP__TRY(run_likeness(
        leaf, exec, &x, &rows, in, false, workspace, &args[0], &args[1]));
    if (by_entropy(leaf))
        TKP__TRY(run_likeness(
            leaf, exec, &x, &rows, in, true, workspace, &args[2], &args[3]));
    tkp_tensor_make_1d(
        &args[4], leaf->offsets, TKP_DTYPE_I32, leaf->batch->sequences + 1);
    args[5] = *dst;
    if (!leaf->options.smooth)
        return tkp__leaf_run_op(leaf, OP_RELEVANCE, exec, args, 6, workspace);
    args[5].data = tkp__ledger_at(workspace, leaf->at[AT_RAW]);
    args[5].byte_offset = 0;
    TKP__TRY(tkp__leaf_run_op(leaf, OP_RELEVANCE, exec, args, 6, workspace));
    return run_smooth(leaf, exec, &args[5], workspace, dst);
}

const tkp__leaf_kind tkp__leaf_relevance = {
    .plan = relevance_plan,
    .bind = relevance_bind,
    .run = relevance_run,
};
