/* The selector: its memory, binding and running; kinds are in select_*.c. */
#include "selector/selector.h"

#include "core/names.h"
#include "selector/quota.h"
#include "util/carve.h"

const tkp__selector_kind *tkp__selector_kind_of(int32_t kind)
{
    switch (kind) {
    case TKP_SELECTOR_TOPK:
        return &tkp__select_topk;
    case TKP_SELECTOR_THRESHOLD:
        return &tkp__select_threshold;
    case TKP_SELECTOR_WINDOW:
        return &tkp__select_window;
    case TKP_SELECTOR_WINDOW_RANK:
        return &tkp__select_rank;
    case TKP_SELECTOR_RANDOM:
        return &tkp__select_random;
    case TKP_SELECTOR_CUSTOM:
        return &tkp__select_custom;
    case TKP_SELECTOR_PIVOTS:
        return &tkp__select_pivots;
    case TKP_SELECTOR_CHAIN:
        return &tkp__select_chain;
    case TKP_SELECTOR_STRIDE:
        return &tkp__select_stride;
    case TKP_SELECTOR_UNIFORM:
        return &tkp__select_uniform;
    case TKP_SELECTOR_DIVERSE:
    case TKP_SELECTOR_MMR:
        return &tkp__select_diverse;
    case TKP_SELECTOR_COVER:
        return &tkp__select_cover;
    case TKP_SELECTOR_DPP:
        return &tkp__select_dpp;
    case TKP_SELECTOR_TRI:
        return &tkp__select_tri;
    case TKP_SELECTOR_PARITY:
        return &tkp__select_parity;
    case TKP_SELECTOR_DENSITY:
        return &tkp__select_density;
    case TKP_SELECTOR_ANCHORS:
        return &tkp__select_anchors;
    case TKP_SELECTOR_OUTLIERS:
        return &tkp__select_outliers;
    case TKP_SELECTOR_CLUSTERS:
        return &tkp__select_clusters;
    case TKP_SELECTOR_STATIC:
        return &tkp__select_static;
    case TKP_SELECTOR_NMS_GROUPS:
        return &tkp__select_nms;
    case TKP_SELECTOR_QUOTA:
        return &tkp__select_quota;
    case TKP_SELECTOR_FOLD:
        return &tkp__select_fold;
    case TKP_SELECTOR_NOMINATE:
        return &tkp__select_nominate;
    case TKP_SELECTOR_BIPARTITE:
        return &tkp__select_bipartite;
    default:
        return NULL; /* ALL: nothing to run */
    }
}

bool tkp__selector_kind_known(int32_t kind)
{
    return kind == TKP_SELECTOR_ALL || tkp__selector_kind_of(kind);
}

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

/* Whether windows lie beside the groups. */
static bool ranks_windows(const tkp_selector_options *o)
{
    return o->kind == TKP_SELECTOR_WINDOW_RANK || o->kind == TKP_SELECTOR_FOLD;
}

static void carve_selector(tkp_selector *s, tkp__carver *c)
{
    const tkp_layout *layout = s->batch->layout;
    const int64_t n = layout->visual;
    carve_groups(&s->groups, c, n, layout->n_sequences);
    if (ranks_windows(&s->spec.options) ||
        s->spec.options.kind == TKP_SELECTOR_QUOTA ||
        tkp__selector_shares(&s->spec.options))
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

tkp_status tkp__selector_op(
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

tkp_status tkp__selector_run_op(
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

tkp_status tkp__selector_features(tkp_selector *s, tkp_ledger *ledger)
{
    TKP__CHECK(
        s->has_model, TKP_ERR_ARGUMENT,
        "selector: this kind compares tokens and needs the model's shapes; "
        "wanted tkp_selector_create_for()");
    s->has_features = true;
    return tkp__features_plan(
        &s->features, s->context, s->batch, &s->model, s->spec.options.feature,
        0.0f, 0, ledger);
}

/* Most candidates of a group: of a sequence, or of a unit of the scope. */
int32_t tkp__selector_largest_group(const tkp_selector *s)
{
    const tkp_layout *layout = s->batch->layout;
    int64_t most = 1;
    for (int32_t b = 0; b < layout->n_sequences; b++)
        if (layout->sequences[b].visual > most)
            most = layout->sequences[b].visual;
    if (s->budget.scope == TKP_SCOPE_SEQUENCE)
        return (int32_t)most;
    int64_t unit = 1;
    for (int32_t i = 0; i < layout->n_images; i++) {
        const tkp__layout_image *image = &layout->images[i];
        int64_t cells = s->budget.scope == TKP_SCOPE_FRAME
                            ? (int64_t)image->rows * image->cols
                            : tkp__image_cells(image);
        const int64_t tile = (int64_t)image->tile_height * image->tile_width;
        if (s->budget.scope == TKP_SCOPE_TILE && tile && tile < cells)
            cells = tile;
        unit = cells > unit ? cells : unit;
    }
    return (int32_t)(unit < most ? unit : most);
}

static tkp_status plan_compact(tkp_selector *s, int64_t n)
{
    const tkp_op_compact params = {.struct_size = sizeof(params), .rows = n};
    tkp_tensor args[3];
    for (int32_t i = 0; i < 3; i++)
        tkp_tensor_make_1d(&args[i], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(s, &s->compact, TKP_OP_COMPACT, args, 3, &params);
}

static tkp_status plan_scorer(tkp_selector *s, tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    TKP__CHECK(
        s->has_model, TKP_ERR_ARGUMENT,
        "selector: has a scorer of its own and needs the model's shapes; "
        "wanted tkp_selector_create_for()");
    TKP__TRY(tkp__scorer_new(
        &s->scorer, s->context, &s->spec.scorer, s->batch, &s->model));
    TKP__TRY(
        tkp__ledger_book(ledger, (uint64_t)n * sizeof(float), &s->scores_at));
    return tkp__ledger_book(ledger, s->scorer->workspace_bytes, &s->scorer_at);
}

/* Kinds whose groups are lists of members in any place: tiles side by side do
 * not come one after the other. */
static tkp_status check_tiles(const tkp_selector *s)
{
    const tkp_selector_options *o = &s->spec.options;
    bool can = false;
    switch (o->kind) {
    case TKP_SELECTOR_ALL:
    case TKP_SELECTOR_TOPK:
    case TKP_SELECTOR_STRIDE:
    case TKP_SELECTOR_DIVERSE:
    case TKP_SELECTOR_MMR:
    case TKP_SELECTOR_COVER:
    case TKP_SELECTOR_DPP:
    case TKP_SELECTOR_TRI:
    case TKP_SELECTOR_DENSITY:
    case TKP_SELECTOR_CHAIN:
    case TKP_SELECTOR_QUOTA:
        can = true;
        break;
    case TKP_SELECTOR_RANDOM:
        can = !o->stratified;
        break;
    default:
        break;
    }
    TKP__CHECK(
        can || s->budget.scope != TKP_SCOPE_TILE, TKP_ERR_UNSUPPORTED,
        "selector: scope tile is for topk, stride, random without windows, the "
        "greedy kinds, density, quota and chains of them");
    return TKP_OK;
}

static tkp_status plan_selector(tkp_selector *s)
{
    tkp_ledger ledger = TKP__LEDGER_INIT;
    const int64_t n = s->batch->layout->visual;
    TKP__TRY(check_tiles(s));
    if (s->kind && s->kind->plan)
        TKP__TRY(s->kind->plan(s, &ledger));
    TKP__TRY(plan_compact(s, n));
    if (s->spec.options.scorer)
        TKP__TRY(plan_scorer(s, &ledger));
    if (s->adaptive)
        TKP__TRY(tkp__ledger_book(
            &ledger, (uint64_t)n * sizeof(int32_t), &s->counts_at));
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
    const tkp_model_desc *model,
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
    s->kind = tkp__selector_kind_of(spec->options.kind);
    s->budget = *budget;
    s->adaptive = tkp__selector_is_adaptive(spec, budget);
    s->has_model = model != NULL;
    if (model)
        s->model = *model;
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
    for (int32_t i = 0; i < TKP__SELECTOR_OPS; i++)
        tkp__core_op_destroy(s->ops[i]);
    if (s->kind && s->kind->release)
        s->kind->release(s);
    tkp__scorer_free(s->scorer);
    tkp__features_release(&s->features);
    if (s->has_custom)
        tkp__names_put(&tkp__selector_names, s->spec.custom);
    tkp__free(s->memory);
    tkp__batch_free(s->own);
    tkp__core_context_release(s->context);
    tkp__free(s);
}

/* --- binding ------------------------------------------------------------- */

static bool in_windows(const tkp_selector_options *o)
{
    return o->kind == TKP_SELECTOR_WINDOW ||
           (o->kind == TKP_SELECTOR_RANDOM && o->stratified);
}

static void bind_parts(tkp_selector *s)
{
    if (s->has_features)
        tkp__features_bind(&s->features, NULL, 0);
    if (s->scorer)
        tkp__scorer_bind(s->scorer);
}

tkp_status tkp__selector_bind(tkp_selector *s)
{
    const tkp_selector_options *o = &s->spec.options;
    if (in_windows(o) || ranks_windows(o))
        TKP__TRY(tkp__quota_grids(s));
    if (ranks_windows(o))
        tkp__groups_by_window(&s->windows, s);
    if (in_windows(o))
        tkp__groups_by_window(&s->groups, s);
    else
        tkp__groups_whole(
            &s->groups, s,
            s->budget.scope == TKP_SCOPE_SEQUENCE &&
                    o->kind == TKP_SELECTOR_UNIFORM
                ? TKP_SCOPE_IMAGE
                : s->budget.scope,
            1);
    TKP__TRY(tkp__quota_share(s));
    TKP__TRY(tkp__quota_pick(s));
    if (tkp__selector_shares(o))
        tkp__groups_whole(&s->windows, s, o->groups, 1);
    bind_parts(s);
    return s->kind && s->kind->bind ? s->kind->bind(s) : TKP_OK;
}

tkp_status tkp__selector_bind_counted(tkp_selector *s)
{
    tkp__groups *g = &s->groups;
    g->members = g->offsets[g->count];
    g->kept_offsets[0] = 0;
    for (int32_t i = 0; i < g->count; i++)
        g->kept_offsets[i + 1] = g->kept_offsets[i] + g->keep[i];
    g->kept = g->kept_offsets[g->count];
    bind_parts(s);
    return s->kind->bind ? s->kind->bind(s) : TKP_OK;
}

/* --- groups within what has a budget -------------------------------------- */

tkp_status tkp__selector_check_groups(const tkp_selector *s)
{
    const tkp_selector_options *o = &s->spec.options;
    TKP__CHECK(
        tkp__scope_within(o->groups, s->budget.scope), TKP_ERR_OPTION,
        "selector: groups %d are not within what has a budget, scope %d; "
        "wanted a coarser scope",
        o->groups, s->budget.scope);
    TKP__CHECK(
        !s->adaptive || o->base > 0.0f, TKP_ERR_OPTION,
        "selector: %s without a budget needs a base, the share that is kept",
        "compat official");
    return TKP_OK;
}

void tkp__selector_list_sets(const tkp_selector *s, int32_t *sets)
{
    int32_t g = 0;
    for (int32_t i = 0; i < s->groups.count; i++) {
        while (s->windows.offsets[g] < s->groups.offsets[i])
            g++;
        sets[i] = g;
    }
    sets[s->groups.count] = s->windows.count;
}

int32_t tkp__selector_add_quotas(
    const tkp_selector *s,
    const int32_t *sets,
    const int32_t *quotas,
    int32_t *keep)
{
    int32_t all = 0;
    for (int32_t i = 0; i < s->groups.count; i++) {
        keep[i] = 0;
        for (int32_t g = sets[i]; g < sets[i + 1]; g++)
            keep[i] += quotas[g];
        all += keep[i];
    }
    return all;
}

/* --- running ------------------------------------------------------------- */

/* Where the groups' choices go: straight to the caller when they come out in
 * order, else into the workspace to be put in order. */
static bool needs_order(const tkp_selector *s)
{
    return in_windows(&s->spec.options) || !s->kind->ascending ||
           s->protected_count > 0 || s->budget.scope != TKP_SCOPE_SEQUENCE;
}

int32_t tkp__selector_scorers(const tkp_selector *s, const tkp_scorer **out)
{
    int32_t n = 0;
    if (s->scorer)
        out[n++] = s->scorer;
    return s->kind && s->kind->scorers ? n + s->kind->scorers(s, out + n) : n;
}

tkp_status tkp__selector_choose(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    if (!s->scorer)
        return s->kind->run(s, exec, in, workspace, dst);
    tkp__selection own = *in;
    tkp_tensor scores;
    TKP__CHECK(
        in->inputs, TKP_ERR_ARGUMENT,
        "selector: has a scorer of its own and needs inputs; wanted "
        "tkp_selector_run_on()");
    tkp_tensor_make_1d(
        &scores, tkp__ledger_at(workspace, s->scores_at), TKP_DTYPE_F32,
        s->batch->candidates);
    TKP__TRY(tkp__scorer_run(
        s->scorer, exec, in->inputs, tkp__ledger_at(workspace, s->scorer_at),
        &scores));
    own.scores = &scores;
    return s->kind->run(s, exec, &own, workspace, dst);
}

/* Part 0 chose everything from everything, where there is just one. */
static void one_role(
    const tkp_selector *s,
    const tkp_tensor *roles,
    const tkp_tensor *pools)
{
    if (roles)
        memset(tkp__data(roles), 0, (size_t)s->kept * sizeof(int32_t));
    for (int64_t i = 0; pools && i < s->batch->candidates; i++)
        ((int32_t *)tkp__data(pools))[i] = 1;
}

/* How many the groups keep in all. */
static int32_t count_chosen(const tkp_selector *s, const int32_t *counts)
{
    int32_t chosen = 0;
    if (!counts)
        return s->has_custom ? s->kept : s->groups.kept;
    for (int32_t i = 0; i < s->groups.count; i++)
        chosen += counts[i];
    return chosen;
}

/* Where each sequence's begin, by what its groups kept. */
static void
list_offsets(const tkp_selector *s, const int32_t *counts, int32_t *offsets)
{
    const tkp__groups *g = &s->groups;
    const tkp__batch *batch = s->batch;
    int32_t always = 0;
    if (!counts) {
        memcpy(
            offsets, s->kept_offsets,
            (size_t)(batch->sequences + 1) * sizeof(*offsets));
        return;
    }
    offsets[0] = 0;
    for (int32_t b = 0; b < batch->sequences; b++) {
        int32_t count = 0;
        for (int32_t i = g->first[b]; i < g->first[b + 1]; i++)
            count += counts[i];
        for (; always < s->protected_count &&
               s->protected_list[always] < batch->candidate_offsets[b + 1];
             always++)
            count++;
        offsets[b + 1] = offsets[b] + count;
    }
}

/* When each of the first `chosen` candidates of a list was chosen. */
static void list_places(
    const tkp_selector *s,
    const int32_t *list,
    int32_t chosen,
    int32_t *places)
{
    for (int32_t i = 0; places && i < s->protected_count; i++)
        places[s->protected_list[i]] = -1;
    for (int32_t i = 0; places && i < chosen; i++)
        places[list[i]] = i;
}

tkp_status tkp__selector_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    const tkp_tensor *scores,
    void *workspace,
    const tkp_tensor *selected,
    const tkp_tensor *roles,
    const tkp_tensor *pools,
    int32_t *offsets,
    int32_t *places)
{
    const tkp__selection in = {
        .inputs = inputs,
        .scores = scores,
        .member = s->groups.member,
        .counts = s->adaptive ? tkp__ledger_at(workspace, s->counts_at) : NULL,
    };
    if (!s->kind) {
        memcpy(
            tkp__data(selected), s->identity,
            (size_t)s->kept * sizeof(int32_t));
        one_role(s, roles, pools);
        if (offsets)
            list_offsets(s, NULL, offsets);
        return TKP_OK;
    }
    if (!needs_order(s)) {
        one_role(s, roles, pools);
        TKP__TRY(tkp__selector_choose(s, exec, &in, workspace, selected));
        list_places(s, tkp__data(selected), count_chosen(s, in.counts), places);
        if (offsets)
            list_offsets(s, in.counts, offsets);
        return TKP_OK;
    }
    int32_t *list = tkp__ledger_at(workspace, s->selected_at);
    tkp_tensor dst;
    tkp_tensor_make_1d(&dst, list, TKP_DTYPE_I32, count_chosen(s, NULL));
    TKP__TRY(tkp__selector_choose(s, exec, &in, workspace, &dst));
    const int32_t chosen = count_chosen(s, in.counts);
    const int32_t kept = chosen + (s->has_custom ? 0 : s->protected_count);
    list_places(s, list, chosen, places);
    if (!s->has_custom)
        memcpy(
            list + chosen, s->protected_list,
            (size_t)s->protected_count * sizeof(int32_t));
    tkp_tensor args[3];
    tkp_tensor_make_1d(
        &args[0], s->identity, TKP_DTYPE_I32, s->batch->candidates);
    tkp_tensor_make_1d(&args[1], list, TKP_DTYPE_I32, kept);
    tkp_tensor_make_1d(&args[2], tkp__data(selected), TKP_DTYPE_I32, kept);
    TKP__TRY(tkp__selector_run_op(s, s->compact, exec, args, 3, workspace));
    if ((roles || pools) && s->kind->roles)
        s->kind->roles(s, list, workspace, &args[2], roles, pools);
    else
        one_role(s, roles, pools);
    if (offsets)
        list_offsets(s, in.counts, offsets);
    return s->has_custom ? tkp__selector_check_protected(s, selected) : TKP_OK;
}
