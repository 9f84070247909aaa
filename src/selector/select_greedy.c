/*
 * Greedy kinds: one token after the other, each the best given those before.
 * What is compared are the tokens' features; what scores mean is the kind's.
 */
#include "selector/selector.h"

enum { OP_MAIN };

/* Most candidates of a group: of a sequence, or of an image. */
static int32_t largest_group(const tkp_selector *s)
{
    const tkp_layout *layout = s->batch->layout;
    int64_t most = 1;
    for (int32_t b = 0; b < layout->n_sequences; b++)
        if (layout->sequences[b].visual > most)
            most = layout->sequences[b].visual;
    if (s->budget.scope != TKP_SCOPE_IMAGE)
        return (int32_t)most;
    int64_t image = 1;
    for (int32_t i = 0; i < layout->n_images; i++) {
        const int64_t cells = tkp__image_cells(&layout->images[i]);
        image = cells > image ? cells : image;
    }
    return (int32_t)(image < most ? image : most);
}

/* The first arguments of all, at their largest. */
static tkp_status plan_common(
    tkp_selector *s,
    tkp_ledger *ledger,
    tkp_tensor args[TKP_OP_MAX_ARGS])
{
    const int64_t n = s->batch->layout->visual;
    TKP__TRY(tkp__selector_features(s, ledger));
    const tkp__features *f = &s->features;
    memset(args, 0, TKP_OP_MAX_ARGS * sizeof(*args));
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n + 1);
    return TKP_OK;
}

static tkp_status run_common(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    tkp_tensor args[TKP_OP_MAX_ARGS])
{
    const tkp__groups *g = &s->groups;
    memset(args, 0, TKP_OP_MAX_ARGS * sizeof(*args));
    TKP__CHECK(
        in->inputs, TKP_ERR_ARGUMENT,
        "selector: this kind compares tokens and needs inputs; wanted "
        "tkp_selector_run_on()");
    TKP__TRY(tkp__features_run(
        &s->features, exec, in->inputs, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(&args[2], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[3], (void *)in->member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[4], g->keep, TKP_DTYPE_I32, g->count);
    tkp_tensor_make_1d(&args[5], g->kept_offsets, TKP_DTYPE_I32, g->count + 1);
    return TKP_OK;
}

static bool scored(const tkp_selector *s)
{
    return tkp__selector_needs_scores(&s->spec);
}

/* --- kinds of eight arguments --------------------------------------------- */

static tkp_status plan_weighted(
    tkp_selector *s,
    tkp_ledger *ledger,
    int32_t kind,
    const void *params)
{
    const int64_t n = s->batch->layout->visual;
    tkp_tensor args[TKP_OP_MAX_ARGS];
    TKP__TRY(plan_common(s, ledger, args));
    if (scored(s))
        tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[7], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(s, &s->ops[OP_MAIN], kind, args, 8, params);
}

static tkp_status run_weighted(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_tensor args[TKP_OP_MAX_ARGS];
    TKP__TRY(run_common(s, exec, in, workspace, args));
    if (scored(s))
        args[6] = *in->scores;
    args[7] = *dst;
    return tkp__selector_run_op(s, s->ops[OP_MAIN], exec, args, 8, workspace);
}

static tkp_status diverse_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const tkp_selector_options *o = &s->spec.options;
    const tkp_op_greedy_distance params = {
        .struct_size = sizeof(params),
        .rule =
            o->kind == TKP_SELECTOR_MMR ? TKP_GREEDY_MMR : TKP_GREEDY_MAX_MIN,
        .measure = o->measure,
        .start = o->start,
        .weighted = o->weighted,
        .lambda = o->lambda,
        .largest = largest_group(s),
    };
    return plan_weighted(s, ledger, TKP_OP_GREEDY_DISTANCE, &params);
}

const tkp__selector_kind tkp__select_diverse = {
    .plan = diverse_plan,
    .run = run_weighted,
};

static tkp_status dpp_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const tkp_selector_options *o = &s->spec.options;
    const tkp_op_greedy_dpp params = {
        .struct_size = sizeof(params),
        .kernel = o->determinant,
        .theta = o->theta,
        .largest = largest_group(s),
    };
    return plan_weighted(s, ledger, TKP_OP_GREEDY_DPP, &params);
}

const tkp__selector_kind tkp__select_dpp = {
    .scores = true,
    .plan = dpp_plan,
    .run = run_weighted,
};

static tkp_status tri_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const tkp_selector_options *o = &s->spec.options;
    const tkp_op_greedy_tri params = {
        .struct_size = sizeof(params),
        .alpha = o->alpha,
        .lambda = o->lambda,
        .min_max = o->min_max,
        .largest = largest_group(s),
    };
    return plan_weighted(s, ledger, TKP_OP_GREEDY_TRI, &params);
}

const tkp__selector_kind tkp__select_tri = {
    .scores = true,
    .plan = tri_plan,
    .run = run_weighted,
};

/* --- coverage -------------------------------------------------------------- */

static tkp_status cover_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const tkp_selector_options *o = &s->spec.options;
    const int64_t n = s->batch->layout->visual;
    const bool softmax = o->kernel == TKP_GREEDY_KERNEL_SOFTMAX;
    const tkp_op_greedy_cover params = {
        .struct_size = sizeof(params),
        .kernel = o->kernel,
        .temperature = softmax ? o->temperature : 0.0f,
        .scale = o->scale,
        .power = o->power,
        .add = o->weight == TKP_COVER_ADD,
        .largest = largest_group(s),
    };
    tkp_tensor args[TKP_OP_MAX_ARGS];
    TKP__TRY(plan_common(s, ledger, args));
    if (scored(s))
        tkp_tensor_make_1d(
            &args[o->weight == TKP_COVER_DEMAND ? 6 : 7], NULL, TKP_DTYPE_F32,
            n);
    tkp_tensor_make_1d(&args[10], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(
        s, &s->ops[OP_MAIN], TKP_OP_GREEDY_COVER, args, 11, &params);
}

static tkp_status cover_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_tensor args[TKP_OP_MAX_ARGS];
    TKP__TRY(run_common(s, exec, in, workspace, args));
    if (scored(s))
        args[s->spec.options.weight == TKP_COVER_DEMAND ? 6 : 7] = *in->scores;
    args[10] = *dst;
    return tkp__selector_run_op(s, s->ops[OP_MAIN], exec, args, 11, workspace);
}

const tkp__selector_kind tkp__select_cover = {
    .plan = cover_plan,
    .run = cover_run,
};
