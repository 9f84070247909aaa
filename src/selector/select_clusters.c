/*
 * Centres of clusters, no wider than a distance, among those of the best scores:
 * the data decide how many there are (PACT). With a budget exactly that is kept:
 * the worst of them go, or the best of the others come.
 */
#include "selector/selector.h"
#include "util/carve.h"

enum { OP_ORDER, OP_CENTRES };
enum { AT_TABLES };

typedef struct tables {
    int32_t *order;  /* [N] members by score, best first */
    int32_t *pool;   /* [N] those that are clustered */
    int32_t *centre; /* [N] by candidate */
    float *density;  /* [N] */
    uint8_t *mark;   /* [N] by candidate */
} tables;

typedef struct clusters {
    int32_t *sizes;     /* [M] of the groups */
    int32_t *pool_ends; /* [M + 1] */
    void *memory;
} clusters;

static void carve_tables(tables *t, tkp__carver *c, int64_t n)
{
    t->order = tkp__carve(c, n, sizeof(int32_t));
    t->pool = tkp__carve(c, n, sizeof(int32_t));
    t->centre = tkp__carve(c, n, sizeof(int32_t));
    t->density = tkp__carve(c, n, sizeof(float));
    t->mark = tkp__carve(c, n, sizeof(uint8_t));
}

static tkp_status make_state(tkp_selector *s, int64_t n)
{
    clusters *state = tkp__zalloc(1, sizeof(*state));
    if (!state)
        return TKP_ERR_MEMORY;
    s->state = state;
    state->memory = tkp__alloc((size_t)(2 * n + 1), sizeof(int32_t));
    if (!state->memory)
        return TKP_ERR_MEMORY;
    state->sizes = state->memory;
    state->pool_ends = state->sizes + n;
    return TKP_OK;
}

static tkp_status plan_order(tkp_selector *s, int64_t n)
{
    const tkp_op_topk params = {
        .struct_size = sizeof(params),
        .sorted_by_score = 1,
    };
    tkp_tensor args[6];
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(
        s, &s->ops[OP_ORDER], TKP_OP_TOPK, args, 6, &params);
}

static tkp_status clusters_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    const tkp_op_cluster_centres params = {
        .struct_size = sizeof(params),
        .distance = s->spec.options.threshold,
    };
    tkp__carver c = {NULL, 0};
    tkp_tensor args[6];
    tables t;
    TKP__TRY(make_state(s, n));
    TKP__TRY(tkp__selector_features(s, ledger));
    TKP__TRY(plan_order(s, n));
    carve_tables(&t, &c, n);
    TKP__TRY(tkp__ledger_book(ledger, c.bytes, &s->at[AT_TABLES]));
    const tkp__features *f = &s->features;
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(
        s, &s->ops[OP_CENTRES], TKP_OP_CLUSTER_CENTRES, args, 6, &params);
}

/* The share of a group that is clustered: at least one token. */
static tkp_status clusters_bind(tkp_selector *s)
{
    const tkp_selector_options *o = &s->spec.options;
    const tkp__groups *g = &s->groups;
    clusters *state = s->state;
    state->pool_ends[0] = 0;
    for (int32_t i = 0; i < g->count; i++) {
        const int32_t n = g->offsets[i + 1] - g->offsets[i];
        const int32_t part =
            (int32_t)((__int128)n * o->share_num / o->share_den);
        state->sizes[i] = n;
        state->pool_ends[i + 1] =
            state->pool_ends[i] + (part < 1 && n > 0 ? 1 : part);
    }
    return TKP_OK;
}

static tkp_status run_order(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tables *t)
{
    const clusters *state = s->state;
    const tkp__groups *g = &s->groups;
    tkp_tensor args[6] = {[0] = *in->scores};
    tkp_tensor_make_1d(&args[1], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[2], (void *)in->member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[3], state->sizes, TKP_DTYPE_I32, g->count);
    tkp_tensor_make_1d(&args[4], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[5], t->order, TKP_DTYPE_I32, g->members);
    return tkp__selector_run_op(s, s->ops[OP_ORDER], exec, args, 6, workspace);
}

static tkp_status run_centres(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tables *t)
{
    const clusters *state = s->state;
    const tkp__groups *g = &s->groups;
    const int64_t n = s->batch->candidates;
    tkp_tensor args[6];
    TKP__TRY(tkp__features_run(
        &s->features, exec, in->inputs, workspace, &args[0], &args[1]));
    for (int32_t i = 0; i < g->count; i++)
        memcpy(
            t->pool + state->pool_ends[i], t->order + g->offsets[i],
            (size_t)(state->pool_ends[i + 1] - state->pool_ends[i]) *
                sizeof(int32_t));
    tkp_tensor_make_1d(&args[2], state->pool_ends, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(
        &args[3], t->pool, TKP_DTYPE_I32, state->pool_ends[g->count]);
    tkp_tensor_make_1d(&args[4], t->density, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[5], t->centre, TKP_DTYPE_I32, n);
    return tkp__selector_run_op(
        s, s->ops[OP_CENTRES], exec, args, 6, workspace);
}

static tkp_status clusters_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__groups *g = &s->groups;
    int32_t *list = tkp__data(dst);
    tkp__carver c = {tkp__ledger_at(workspace, s->at[AT_TABLES]), 0};
    tables t;
    TKP__CHECK(
        in->inputs, TKP_ERR_ARGUMENT,
        "selector: this kind compares tokens and needs inputs; wanted "
        "tkp_selector_run_on()");
    carve_tables(&t, &c, s->batch->layout->visual);
    TKP__TRY(run_order(s, exec, in, workspace, &t));
    TKP__TRY(run_centres(s, exec, in, workspace, &t));
    for (int32_t i = 0; i < g->count; i++) {
        const int32_t first = g->offsets[i], n = g->offsets[i + 1] - first;
        int32_t have = 0, count = 0;
        for (int32_t m = first; m < first + n; m++) {
            const int32_t token = t.order[m];
            t.mark[token] = t.centre[token] == 1;
            have += t.mark[token];
        }
        if (!s->adaptive)
            tkp__selector_reconcile(
                t.mark, t.order + first, n, have, g->keep[i]);
        for (int32_t m = first; m < first + n; m++)
            if (t.mark[in->member[m]])
                list[count++] = in->member[m];
        if (in->counts)
            in->counts[i] = count;
        list += count;
    }
    return TKP_OK;
}

static void clusters_release(tkp_selector *s)
{
    clusters *state = s->state;
    if (state)
        tkp__free(state->memory);
    tkp__free(state);
}

const tkp__selector_kind tkp__select_clusters = {
    .scores = true,
    .ascending = true,
    .adaptive = true,
    .plan = clusters_plan,
    .bind = clusters_bind,
    .run = clusters_run,
    .release = clusters_release,
};
