/*
 * How unevenly a token is like the others of its crop: a run of candidates of
 * a sequence, an image or a frame. With the CLS row: attention and variance together, as the weight
 * of a crop.
 */
#include "scorer/scorer.h"

enum { AT_ATTENTION = TKP__GIVEN_AT, OP_VARIANCE = TKP__GIVEN_OPS };

typedef struct crops {
    int32_t count;
    int32_t offsets[]; /* [N + 1] candidates */
} crops;

static tkp_status variance_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const int64_t n = batch->layout->visual;
    const tkp_scorer_options *o = &leaf->options;
    const tkp_op_crop_variance params = {
        .struct_size = sizeof(params),
        .gain = o->gain,
        .bare = o->compat == TKP_COMPAT_OFFICIAL,
    };
    tkp_tensor args[5] = {0};
    crops *state =
        tkp__zalloc(1, sizeof(*state) + ((size_t)n + 1) * sizeof(int32_t));
    if (!state)
        return TKP_ERR_MEMORY;
    leaf->state = state;
    if (!o->alone)
        TKP__TRY(tkp__leaf_given.plan(leaf, batch));
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger, (uint64_t)n * sizeof(float), &leaf->at[AT_ATTENTION]));
    TKP__TRY(tkp__features_plan(
        &leaf->features, leaf->context, batch, &leaf->model, o->feature,
        o->norm_eps, 0, &leaf->ledger));
    const tkp__features *f = &leaf->features;
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    if (!o->alone)
        tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_F32, n);
    return tkp__leaf_op(
        leaf, OP_VARIANCE, TKP_OP_CROP_VARIANCE, args, 5, &params);
}

static void variance_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    crops *state = leaf->state;
    state->count = tkp__batch_crops(
        batch, leaf->options.scope, leaf->options.crops, state->offsets);
    if (!leaf->options.alone)
        tkp__leaf_given.bind(leaf, batch);
    tkp__features_bind(&leaf->features, NULL, 0);
}

static tkp_status variance_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    crops *state = leaf->state;
    tkp_tensor args[5] = {[4] = *dst};
    TKP__TRY(tkp__features_run(
        &leaf->features, exec, in, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(
        &args[2], state->offsets, TKP_DTYPE_I32, state->count + 1);
    if (!leaf->options.alone) {
        tkp_tensor_make_1d(
            &args[3], tkp__ledger_at(workspace, leaf->at[AT_ATTENTION]),
            TKP_DTYPE_F32, leaf->batch->candidates);
        TKP__TRY(tkp__leaf_given.run(leaf, exec, in, workspace, &args[3]));
    }
    return tkp__leaf_run_op(leaf, OP_VARIANCE, exec, args, 5, workspace);
}

static void variance_release(tkp__leaf *leaf)
{
    tkp__free(leaf->state);
}

const tkp__leaf_kind tkp__leaf_variance = {
    .plan = variance_plan,
    .bind = variance_bind,
    .run = variance_run,
    .release = variance_release,
};
