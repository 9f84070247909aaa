/* The selector: its memory, its ops, binding and running. */
#include "selector/selector.h"

#include "core/names.h"
#include "selector/quota.h"
#include "util/carve.h"

/* --- memory -------------------------------------------------------------- */

static void
carve_groups(tkp__groups *g, tkp__carver *c, int64_t n, int64_t sequences)
{
    g->offsets = tkp__carve(c, n + 1, sizeof(int32_t));
    g->member = tkp__carve(c, n, sizeof(int32_t));
    g->keep = tkp__carve(c, n, sizeof(int32_t));
    g->kept_offsets = tkp__carve(c, n + 1, sizeof(int32_t));
    g->stream = tkp__carve(c, 2 * n, sizeof(int32_t));
    g->first = tkp__carve(c, sequences + 1, sizeof(int32_t));
    g->of = tkp__carve(c, n, sizeof(int32_t));
}

/* Windows of an image, empty ones too, are at most its cells. */
static int64_t most_cells(const tkp_layout *layout)
{
    int64_t most = 1;
    for (int32_t i = 0; i < layout->n_images; i++) {
        const int64_t cells = tkp__image_cells(&layout->images[i]);
        most = cells > most ? cells : most;
    }
    return most;
}

static void carve_selector(tkp_selector *s, tkp__carver *c)
{
    const tkp_layout *layout = s->batch->layout;
    const int64_t n = layout->visual;
    carve_groups(&s->groups, c, n, layout->n_sequences);
    if (s->spec.options.kind == TKP_SELECTOR_WINDOW_RANK)
        carve_groups(&s->windows, c, n, layout->n_sequences);
    s->grids = tkp__carve(c, layout->n_images, sizeof(*s->grids));
    s->kept_offsets = tkp__carve(c, layout->n_sequences + 1, sizeof(int32_t));
    s->protected_list = tkp__carve(c, n, sizeof(int32_t));
    s->identity = tkp__carve(c, n, sizeof(int32_t));
    for (int32_t i = 0; i < 3; i++)
        s->scratch[i] = tkp__carve(c, n + layout->n_images, sizeof(int64_t));
    s->cells = tkp__carve(c, most_cells(layout), sizeof(int32_t));
}

/* --- ops ----------------------------------------------------------------- */

static tkp_status plan_op(
    tkp_selector *s,
    tkp_op **op,
    int32_t kind,
    const tkp_tensor *args,
    int32_t n_args,
    const void *params)
{
    return tkp__core_op_make(
        op, s->context, kind, args, n_args, params, &s->ops_bytes);
}

static tkp_status run_op(
    const tkp_selector *s,
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace)
{
    return tkp__core_op_run(
        op, exec, args, n_args, tkp__ledger_at(workspace, s->ops_at),
        s->ops_bytes);
}

static tkp_status plan_topk(tkp_selector *s, int64_t n)
{
    const tkp_op_topk params = {
        .struct_size = sizeof(params),
        .order = s->spec.options.order,
    };
    tkp_tensor args[6];
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    return plan_op(s, &s->topk, TKP_OP_TOPK, args, 6, &params);
}

static tkp_status plan_sample(tkp_selector *s, int64_t n)
{
    const tkp_op_sample params = {
        .struct_size = sizeof(params),
        .salt = s->salt,
        .seed = s->spec.options.seed,
    };
    tkp_tensor args[6];
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_2d(&args[4], NULL, TKP_DTYPE_I32, n, 2);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    return plan_op(s, &s->sample, TKP_OP_SAMPLE, args, 6, &params);
}

/* Mean score of each window, spread back over its tokens window by window, and
 * the way back from that order to candidates. */
static tkp_status plan_rank(tkp_selector *s, int64_t n, tkp_ledger *ledger)
{
    const tkp_op_group_pool params = {
        .struct_size = sizeof(params),
        .pool = TKP_POOL_AVERAGE,
    };
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_F32, n, 1);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[4], NULL, TKP_DTYPE_F32, n, 1);
    TKP__TRY(plan_op(s, &s->pool, TKP_OP_GROUP_POOL, args, 5, &params));
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(plan_op(s, &s->broadcast, TKP_OP_GROUP_BROADCAST, args, 4, NULL));
    for (int32_t i = 0; i < 3; i++)
        tkp_tensor_make_1d(&args[i], NULL, TKP_DTYPE_I32, n);
    TKP__TRY(plan_op(s, &s->unrank, TKP_OP_GATHER_ROWS, args, 3, NULL));
    const uint64_t bytes = (uint64_t)n * sizeof(float);
    TKP__TRY(tkp__ledger_book(ledger, bytes, &s->means_at));
    TKP__TRY(tkp__ledger_book(ledger, bytes, &s->ranked_at));
    return tkp__ledger_book(ledger, bytes, &s->spread_at);
}

static tkp_status plan_compact(tkp_selector *s, int64_t n)
{
    const tkp_op_compact params = {.struct_size = sizeof(params), .rows = n};
    tkp_tensor args[3];
    for (int32_t i = 0; i < 3; i++)
        tkp_tensor_make_1d(&args[i], NULL, TKP_DTYPE_I32, n);
    return plan_op(s, &s->compact, TKP_OP_COMPACT, args, 3, &params);
}

static tkp_status plan_selector(tkp_selector *s)
{
    tkp_ledger ledger = TKP__LEDGER_INIT;
    const int64_t n = s->batch->layout->visual;
    switch (s->spec.options.kind) {
    case TKP_SELECTOR_TOPK:
        TKP__TRY(plan_topk(s, n));
        break;
    case TKP_SELECTOR_WINDOW:
        if (s->spec.options.pick == TKP_PICK_SCORE)
            TKP__TRY(plan_topk(s, n));
        break;
    case TKP_SELECTOR_WINDOW_RANK:
        TKP__TRY(plan_rank(s, n, &ledger));
        TKP__TRY(plan_topk(s, n));
        break;
    case TKP_SELECTOR_RANDOM:
        TKP__TRY(plan_sample(s, n));
        break;
    case TKP_SELECTOR_CUSTOM:
        TKP__TRY(tkp__names_get(
            &tkp__selector_names, s->spec.custom, &s->custom, sizeof(s->custom),
            &s->custom_user));
        s->has_custom = true;
        break;
    default:
        break;
    }
    TKP__TRY(plan_compact(s, n));
    TKP__TRY(tkp__ledger_book(
        &ledger, (uint64_t)n * sizeof(int32_t), &s->selected_at));
    TKP__TRY(tkp__ledger_book(&ledger, s->ops_bytes, &s->ops_at));
    s->workspace_bytes = ledger.bytes;
    return TKP_OK;
}

/* --- life ---------------------------------------------------------------- */

static tkp_status build_selector(tkp_selector *s)
{
    tkp__carver c = {NULL, 0};
    carve_selector(s, &c);
    c = (tkp__carver){tkp__alloc(1, c.bytes), 0};
    if (!c.base)
        return TKP_ERR_MEMORY;
    s->memory = c.base;
    carve_selector(s, &c);
    for (int64_t i = 0; i < s->batch->layout->visual; i++)
        s->identity[i] = (int32_t)i;
    return plan_selector(s);
}

tkp_status tkp__selector_new(
    tkp_selector **out,
    tkp_context *context,
    const tkp__selector_spec *spec,
    const tkp_budget *budget,
    const tkp__batch *batch,
    int32_t first_layer,
    int32_t layers,
    uint32_t salt)
{
    tkp_selector *s = tkp__zalloc(1, sizeof(*s));
    if (!s)
        return TKP_ERR_MEMORY;
    atomic_init(&s->references, 1);
    s->context = context;
    tkp__core_context_retain(context);
    s->batch = batch;
    s->spec = *spec;
    tkp__selector_spec_relink(&s->spec);
    s->budget = *budget;
    s->first_layer = first_layer;
    s->layers = layers;
    s->salt = salt;
    const tkp_status status = build_selector(s);
    if (status != TKP_OK) {
        tkp__selector_release(s);
        return status;
    }
    *out = s;
    return TKP_OK;
}

void tkp__selector_retain(tkp_selector *s)
{
    atomic_fetch_add(&s->references, 1);
}

void tkp__selector_release(tkp_selector *s)
{
    if (!s || atomic_fetch_sub(&s->references, 1) != 1)
        return;
    tkp__core_op_destroy(s->topk);
    tkp__core_op_destroy(s->sample);
    tkp__core_op_destroy(s->pool);
    tkp__core_op_destroy(s->broadcast);
    tkp__core_op_destroy(s->unrank);
    tkp__core_op_destroy(s->compact);
    if (s->has_custom)
        tkp__names_put(&tkp__selector_names, s->spec.custom);
    tkp__free(s->memory);
    tkp__batch_release(&s->own);
    tkp__core_context_release(s->context);
    tkp__free(s);
}

/* --- binding ------------------------------------------------------------- */

static bool in_windows(const tkp_selector_options *o)
{
    return o->kind == TKP_SELECTOR_WINDOW ||
           (o->kind == TKP_SELECTOR_RANDOM && o->stratified);
}

tkp_status tkp__selector_bind(tkp_selector *s)
{
    const tkp_selector_options *o = &s->spec.options;
    if (in_windows(o) || o->kind == TKP_SELECTOR_WINDOW_RANK)
        TKP__TRY(tkp__quota_grids(s));
    if (o->kind == TKP_SELECTOR_WINDOW_RANK)
        tkp__groups_by_window(&s->windows, s);
    if (in_windows(o))
        tkp__groups_by_window(&s->groups, s);
    else
        tkp__groups_whole(&s->groups, s, s->budget.scope == TKP_SCOPE_IMAGE);
    TKP__TRY(tkp__quota_share(s));
    return tkp__quota_pick(s);
}

/* --- running ------------------------------------------------------------- */

/* Where the groups' choices go: straight to the caller when they come out in
 * order, else into the workspace to be put in order. */
static bool needs_order(const tkp_selector *s)
{
    return in_windows(&s->spec.options) || s->has_custom || s->unrank ||
           s->protected_count > 0 || s->budget.scope == TKP_SCOPE_IMAGE;
}

static tkp_status run_topk(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp_tensor *scores,
    const int32_t *member,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__groups *g = &s->groups;
    tkp_tensor args[6];
    args[0] = *scores;
    tkp_tensor_make_1d(&args[1], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[2], (void *)member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[3], g->keep, TKP_DTYPE_I32, g->count);
    tkp_tensor_make_1d(&args[4], g->kept_offsets, TKP_DTYPE_I32, g->count + 1);
    args[5] = *dst;
    return run_op(s, s->topk, exec, args, 6, workspace);
}

static tkp_status run_sample(
    const tkp_selector *s,
    tkp_exec *exec,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__groups *g = &s->groups;
    tkp_tensor args[6];
    tkp_tensor_make_1d(&args[0], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[1], g->member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[2], g->keep, TKP_DTYPE_I32, g->count);
    tkp_tensor_make_1d(&args[3], g->kept_offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_2d(&args[4], g->stream, TKP_DTYPE_I32, g->count, 2);
    args[5] = *dst;
    return run_op(s, s->sample, exec, args, 6, workspace);
}

/* Each token's score becomes its window's mean, in a list that has one window
 * after the other: the usual top-k then takes windows whole, of equal ones the
 * first. The groups are runs of that list, since windows and groups alike are
 * listed by sequence and image and leave protected tokens out. */
static tkp_status run_rank(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp_tensor *scores,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__groups *w = &s->windows;
    float *means = tkp__ledger_at(workspace, s->means_at);
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(
        &args[0], tkp__data(scores), TKP_DTYPE_F32, s->batch->candidates, 1);
    tkp_tensor_make_1d(&args[1], w->offsets, TKP_DTYPE_I32, w->count + 1);
    tkp_tensor_make_1d(&args[2], w->member, TKP_DTYPE_I32, w->members);
    tkp_tensor_make_2d(&args[4], means, TKP_DTYPE_F32, w->count, 1);
    TKP__TRY(run_op(s, s->pool, exec, args, 5, workspace));
    tkp_tensor spread;
    tkp_tensor_make_1d(
        &spread, tkp__ledger_at(workspace, s->spread_at), TKP_DTYPE_F32,
        w->members);
    tkp_tensor_make_1d(&args[0], means, TKP_DTYPE_F32, w->count);
    tkp_tensor_make_1d(&args[2], s->identity, TKP_DTYPE_I32, w->members);
    args[3] = spread;
    TKP__TRY(run_op(s, s->broadcast, exec, args, 4, workspace));
    tkp_tensor ranked;
    tkp_tensor_make_1d(
        &ranked, tkp__ledger_at(workspace, s->ranked_at), TKP_DTYPE_I32,
        s->groups.kept);
    TKP__TRY(run_topk(s, exec, &spread, s->identity, workspace, &ranked));
    tkp_tensor_make_1d(&args[0], w->member, TKP_DTYPE_I32, w->members);
    args[1] = ranked;
    args[2] = *dst;
    return run_op(s, s->unrank, exec, args, 3, workspace);
}

/* The first keep[g] of each group, as they stand. */
static void run_listed(const tkp_selector *s, int32_t *dst)
{
    const tkp__groups *g = &s->groups;
    for (int32_t i = 0; i < g->count; i++)
        memcpy(
            dst + g->kept_offsets[i], g->member + g->offsets[i],
            (size_t)g->keep[i] * sizeof(int32_t));
}

static tkp_status run_custom(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp_tensor *scores,
    const tkp_tensor *dst)
{
    tkp_batch_view view;
    tkp__batch_view(s->batch, &view);
    TKP__TRY(s->custom.run(
        s->custom_user, &view, scores, s->kept_offsets, exec, dst));
    const int32_t *chosen = tkp__data(dst);
    for (int32_t b = 0; b < s->batch->sequences; b++)
        for (int32_t k = s->kept_offsets[b]; k < s->kept_offsets[b + 1]; k++)
            TKP__CHECK(
                chosen[k] >= s->batch->candidate_offsets[b] &&
                    chosen[k] < s->batch->candidate_offsets[b + 1],
                TKP_ERR_ARGUMENT,
                "selector '%s': chose candidate %d for sequence %d, wanted %d "
                "to %d",
                s->spec.custom, chosen[k], b, s->batch->candidate_offsets[b],
                s->batch->candidate_offsets[b + 1] - 1);
    return TKP_OK;
}

/* A custom selector has to choose the protected ones too. Both lists ascend. */
static tkp_status
check_protected(const tkp_selector *s, const tkp_tensor *selected)
{
    const int32_t *chosen = tkp__data(selected);
    int32_t k = 0;
    for (int32_t i = 0; i < s->protected_count; i++) {
        while (k < s->kept && chosen[k] < s->protected_list[i])
            k++;
        TKP__CHECK(
            k < s->kept && chosen[k] == s->protected_list[i], TKP_ERR_ARGUMENT,
            "selector '%s': left out candidate %d, which is always kept",
            s->spec.custom, s->protected_list[i]);
    }
    return TKP_OK;
}

static tkp_status run_groups(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp_tensor *scores,
    void *workspace,
    const tkp_tensor *dst)
{
    switch (s->spec.options.kind) {
    case TKP_SELECTOR_RANDOM:
        return run_sample(s, exec, workspace, dst);
    case TKP_SELECTOR_WINDOW_RANK:
        return run_rank(s, exec, scores, workspace, dst);
    case TKP_SELECTOR_CUSTOM:
        return run_custom(s, exec, scores, dst);
    case TKP_SELECTOR_TOPK:
        return run_topk(s, exec, scores, s->groups.member, workspace, dst);
    case TKP_SELECTOR_WINDOW:
        if (s->spec.options.pick == TKP_PICK_SCORE)
            return run_topk(s, exec, scores, s->groups.member, workspace, dst);
        break;
    default:
        break;
    }
    run_listed(s, tkp__data(dst));
    return TKP_OK;
}

tkp_status tkp__selector_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp_tensor *scores,
    void *workspace,
    const tkp_tensor *selected)
{
    if (!needs_order(s))
        return run_groups(s, exec, scores, workspace, selected);
    int32_t *list = tkp__ledger_at(workspace, s->selected_at);
    const int32_t chosen = s->has_custom ? s->kept : s->groups.kept;
    tkp_tensor dst;
    tkp_tensor_make_1d(&dst, list, TKP_DTYPE_I32, chosen);
    TKP__TRY(run_groups(s, exec, scores, workspace, &dst));
    if (!s->has_custom)
        memcpy(
            list + chosen, s->protected_list,
            (size_t)s->protected_count * sizeof(int32_t));
    tkp_tensor args[3];
    tkp_tensor_make_1d(
        &args[0], s->identity, TKP_DTYPE_I32, s->batch->candidates);
    tkp_tensor_make_1d(&args[1], list, TKP_DTYPE_I32, s->kept);
    args[2] = *selected;
    TKP__TRY(run_op(s, s->compact, exec, args, 3, workspace));
    return s->has_custom ? check_protected(s, selected) : TKP_OK;
}
