/*
 * Greedy kinds: one token after the other, each the best given those before.
 * What is compared are the tokens' features; what scores mean is the kind's.
 *
 * With `groups` each of these is chosen from by itself, and what has a budget
 * (a sequence, an image) shares it out over its groups by the sums of their scores.
 */
#include "selector/selector.h"
#include "util/carve.h"

enum { OP_MAIN, OP_TEXT, OP_SHARES };
enum { AT_LIKENESS, AT_RANGES, AT_SHARES };

/* What each group keeps, where it is not known beforehand. */
typedef struct shares {
    int32_t *quota;        /* [windows.count] */
    int32_t *kept_offsets; /* [windows.count + 1] */
    int32_t *sets;         /* [groups.count + 1] */
    int32_t *keep;         /* [groups.count] */
} shares;

static void carve_shares(shares *t, tkp__carver *c, int64_t n)
{
    t->quota = tkp__carve(c, n, sizeof(int32_t));
    t->kept_offsets = tkp__carve(c, n + 1, sizeof(int32_t));
    t->sets = tkp__carve(c, n + 1, sizeof(int32_t));
    t->keep = tkp__carve(c, n, sizeof(int32_t));
}

static bool has_shares(const tkp_selector *s)
{
    return tkp__selector_shares(&s->spec.options);
}

/* What is chosen from, apart. */
static const tkp__groups *groups_of(const tkp_selector *s)
{
    return has_shares(s) ? &s->windows : &s->groups;
}

static tkp_status plan_shares(tkp_selector *s, tkp_ledger *ledger)
{
    const tkp_selector_options *o = &s->spec.options;
    const int64_t n = s->batch->layout->visual;
    const tkp_op_quota params = {
        .struct_size = sizeof(params),
        .rule = o->rule,
        .reduce = o->reduce,
        .least = o->least,
        .base = o->base,
        .truncate = o->compat == TKP_COMPAT_OFFICIAL,
    };
    tkp__carver c = {NULL, 0};
    shares t;
    if (!has_shares(s))
        return TKP_OK;
    TKP__TRY(tkp__selector_check_groups(s));
    carve_shares(&t, &c, n);
    TKP__TRY(tkp__ledger_book(ledger, c.bytes, &s->at[AT_SHARES]));
    tkp_tensor args[6];
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(
        s, &s->ops[OP_SHARES], TKP_OP_QUOTA, args, 6, &params);
}

/* Fills keep and its prefix sums of the groups. */
static tkp_status run_shares(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    tkp_tensor *keep,
    tkp_tensor *kept_offsets)
{
    const tkp__groups *g = &s->windows, *sets = &s->groups;
    tkp__carver c = {tkp__ledger_at(workspace, s->at[AT_SHARES]), 0};
    shares t;
    carve_shares(&t, &c, s->batch->layout->visual);
    tkp__selector_list_sets(s, t.sets);
    tkp_tensor args[6] = {[0] = *in->scores};
    tkp_tensor_make_1d(&args[1], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[2], g->member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[3], t.sets, TKP_DTYPE_I32, sets->count + 1);
    tkp_tensor_make_1d(&args[4], sets->keep, TKP_DTYPE_I32, sets->count);
    tkp_tensor_make_1d(&args[5], t.quota, TKP_DTYPE_I32, g->count);
    TKP__TRY(
        tkp__selector_run_op(s, s->ops[OP_SHARES], exec, args, 6, workspace));
    t.kept_offsets[0] = 0;
    for (int32_t i = 0; i < g->count; i++)
        t.kept_offsets[i + 1] = t.kept_offsets[i] + t.quota[i];
    if (s->adaptive) {
        (void)tkp__selector_add_quotas(s, t.sets, t.quota, t.keep);
        memcpy(in->counts, t.keep, (size_t)sets->count * sizeof(*t.keep));
    }
    *keep = args[5];
    tkp_tensor_make_1d(
        kept_offsets, t.kept_offsets, TKP_DTYPE_I32, g->count + 1);
    return TKP_OK;
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
    return plan_shares(s, ledger);
}

/* `dst` becomes as long as what is kept in all. */
static tkp_status run_common(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    tkp_tensor args[TKP_OP_MAX_ARGS],
    tkp_tensor *dst)
{
    const tkp__groups *g = groups_of(s);
    memset(args, 0, TKP_OP_MAX_ARGS * sizeof(*args));
    TKP__CHECK(
        in->inputs, TKP_ERR_ARGUMENT,
        "selector: this kind compares tokens and needs inputs; wanted "
        "tkp_selector_run_on()");
    TKP__TRY(tkp__features_run(
        &s->features, exec, in->inputs, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(&args[2], g->offsets, TKP_DTYPE_I32, g->count + 1);
    if (has_shares(s)) {
        tkp_tensor_make_1d(&args[3], g->member, TKP_DTYPE_I32, g->members);
        TKP__TRY(run_shares(s, exec, in, workspace, &args[4], &args[5]));
    } else {
        tkp_tensor_make_1d(
            &args[3], (void *)in->member, TKP_DTYPE_I32, g->members);
        tkp_tensor_make_1d(&args[4], g->keep, TKP_DTYPE_I32, g->count);
        tkp_tensor_make_1d(
            &args[5], g->kept_offsets, TKP_DTYPE_I32, g->count + 1);
    }
    dst->shape[0] = ((const int32_t *)tkp__data(&args[5]))[g->count];
    return TKP_OK;
}

static bool scored(const tkp_selector *s)
{
    return tkp__selector_takes_scores(&s->spec);
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
    tkp_tensor args[TKP_OP_MAX_ARGS], kept = *dst;
    TKP__TRY(run_common(s, exec, in, workspace, args, &kept));
    if (scored(s))
        args[6] = *in->scores;
    args[7] = kept;
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
        .largest = tkp__selector_largest_group(s),
    };
    return plan_weighted(s, ledger, TKP_OP_GREEDY_DISTANCE, &params);
}

const tkp__selector_kind tkp__select_diverse = {
    .adaptive = true,
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
        .largest = tkp__selector_largest_group(s),
    };
    return plan_weighted(s, ledger, TKP_OP_GREEDY_DPP, &params);
}

const tkp__selector_kind tkp__select_dpp = {
    .scores = true,
    .adaptive = true,
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
        .largest = tkp__selector_largest_group(s),
    };
    return plan_weighted(s, ledger, TKP_OP_GREEDY_TRI, &params);
}

const tkp__selector_kind tkp__select_tri = {
    .scores = true,
    .adaptive = true,
    .plan = tri_plan,
    .run = run_weighted,
};

static tkp_status parity_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const tkp_op_parity params = {
        .struct_size = sizeof(params),
        .step = s->spec.options.step,
        .largest = tkp__selector_largest_group(s),
    };
    return plan_weighted(s, ledger, TKP_OP_PARITY, &params);
}

const tkp__selector_kind tkp__select_parity = {
    .scores = true,
    .plan = parity_plan,
    .run = run_weighted,
};

/* --- coverage -------------------------------------------------------------- */

/* Rows of text are compared with what enters the language model. */
typedef struct cover_state {
    tkp__features features;
} cover_state;

static bool covers_text(const tkp_selector *s)
{
    return s->spec.options.text != 0;
}

static tkp_status plan_text(tkp_selector *s, tkp_ledger *ledger)
{
    const int64_t rows = s->model.text_rows;
    const tkp_op_similarity params = {
        .struct_size = sizeof(params),
        .kernel = TKP_SIMILARITY_SOFTMAX,
        .temperature = s->spec.options.text_temperature,
    };
    cover_state *state = tkp__zalloc(1, sizeof(*state));
    if (!state)
        return TKP_ERR_MEMORY;
    s->state = state;
    TKP__CHECK(
        rows > 0, TKP_ERR_OPTION,
        "model: text_rows is 0; this stage covers rows of text");
    TKP__TRY(tkp__features_plan(
        &state->features, s->context, s->batch, &s->model, TKP_FEATURE_RAW,
        0.0f, 0, ledger));
    return tkp__selector_plan_likeness(
        s, &state->features, OP_TEXT, AT_LIKENESS, rows, &params, ledger);
}

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
        .largest = tkp__selector_largest_group(s),
    };
    tkp_tensor args[TKP_OP_MAX_ARGS];
    TKP__TRY(plan_common(s, ledger, args));
    if (scored(s))
        tkp_tensor_make_1d(
            &args[o->weight == TKP_COVER_DEMAND ? 6 : 7], NULL, TKP_DTYPE_F32,
            n);
    if (covers_text(s)) {
        TKP__TRY(plan_text(s, ledger));
        tkp_tensor_make_2d(
            &args[8], NULL, TKP_DTYPE_F32, s->model.text_rows, n);
        tkp_tensor_make_2d(&args[9], NULL, TKP_DTYPE_I32, n, 2);
    }
    tkp_tensor_make_1d(&args[10], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(
        s, &s->ops[OP_MAIN], TKP_OP_GREEDY_COVER, args, 11, &params);
}

static tkp_status cover_bind(tkp_selector *s)
{
    cover_state *state = s->state;
    if (state)
        tkp__features_bind(&state->features, NULL, 0);
    return TKP_OK;
}

static void cover_release(tkp_selector *s)
{
    cover_state *state = s->state;
    if (state)
        tkp__features_release(&state->features);
    tkp__free(state);
}

static tkp_status cover_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_tensor args[TKP_OP_MAX_ARGS], kept = *dst;
    TKP__TRY(run_common(s, exec, in, workspace, args, &kept));
    if (scored(s))
        args[s->spec.options.weight == TKP_COVER_DEMAND ? 6 : 7] = *in->scores;
    if (covers_text(s))
        TKP__TRY(tkp__selector_run_likeness(
            s, &((const cover_state *)s->state)->features, OP_TEXT, AT_LIKENESS,
            exec, in, workspace, &args[8], &args[9]));
    args[10] = kept;
    return tkp__selector_run_op(s, s->ops[OP_MAIN], exec, args, 11, workspace);
}

const tkp__selector_kind tkp__select_cover = {
    .adaptive = true,
    .plan = cover_plan,
    .bind = cover_bind,
    .run = cover_run,
    .release = cover_release,
};
