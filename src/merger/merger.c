/* The merger: its options, binding and running; kinds are in merge_*.c. */
#include "merger/merger.h"
#include "core/names.h"

TKP__ASSERT_NO_PADDING(tkp_merger_options, proportional);

/* NULL: no kind at all. */
static const tkp__merger_kind *kind_of(int32_t kind)
{
    switch (kind) {
    case TKP_MERGER_WINDOW_AVERAGE:
    case TKP_MERGER_WINDOW_MAX:
        return &tkp__merge_window;
    case TKP_MERGER_CUSTOM:
        return &tkp__merge_custom;
    case TKP_MERGER_NEAREST:
    case TKP_MERGER_BIPARTITE:
        return &tkp__merge_nearest;
    case TKP_MERGER_FOLD:
        return &tkp__merge_fold;
    case TKP_MERGER_CHAIN:
        return &tkp__merge_chain;
    case TKP_MERGER_ANCHORS:
        return &tkp__merge_anchors;
    case TKP_MERGER_BAG:
    case TKP_MERGER_KNN:
        return &tkp__merge_knn;
    case TKP_MERGER_STATIC:
        return &tkp__merge_static;
    default:
        return NULL;
    }
}

/* Whether the kind compares features. */
static bool compares(int32_t kind)
{
    return kind == TKP_MERGER_NEAREST || kind == TKP_MERGER_CHAIN ||
           kind == TKP_MERGER_ANCHORS || kind == TKP_MERGER_KNN ||
           kind == TKP_MERGER_STATIC;
}

bool tkp__merger_weighs(const tkp_merger_options *o)
{
    return o->kind == TKP_MERGER_BAG || o->kind == TKP_MERGER_KNN;
}

static tkp_status check_nearest(const tkp_merger_options *o)
{
    TKP__CHECK(
        tkp__features_needs(o->feature) != 0, TKP_ERR_OPTION,
        "merger: feature is %d, wanted one of enum tkp_feature", o->feature);
    TKP__CHECK(
        o->measure >= 0 && o->measure <= TKP_GREEDY_EUCLIDEAN, TKP_ERR_OPTION,
        "merger: measure is %d, wanted 0 to %d", o->measure,
        TKP_GREEDY_EUCLIDEAN);
    TKP__CHECK(
        o->rule >= 0 &&
            o->rule <=
                (tkp__merger_weighs(o) ? TKP_MERGE_SUM : TKP_MERGE_BLEND_COUNT),
        TKP_ERR_OPTION, "merger: rule is %d, wanted 0 to %d", o->rule,
        tkp__merger_weighs(o) ? TKP_MERGE_SUM : TKP_MERGE_BLEND_COUNT);
    TKP__CHECK(
        o->neighbours >= 0 && o->neighbours <= 4096, TKP_ERR_OPTION,
        "merger: neighbours is %d, wanted 0 to 4096", o->neighbours);
    TKP__CHECK(
        o->bag >= 0 && o->bag < TKP_CHAIN_MAX_PARTS, TKP_ERR_OPTION,
        "merger: bag is %d, wanted 0 to %d", o->bag, TKP_CHAIN_MAX_PARTS - 1);
    TKP__CHECK(
        o->anchor >= 0.0f && o->anchor <= 1e6f, TKP_ERR_OPTION,
        "merger: anchor is %g, wanted 0 to 1e6", (double)o->anchor);
    TKP__CHECK(
        o->beta >= 0.0f && o->beta <= 1.0f, TKP_ERR_OPTION,
        "merger: beta is %g, wanted 0 to 1", (double)o->beta);
    TKP__CHECK(
        o->replace >= 0 && o->replace < TKP_CHAIN_MAX_PARTS, TKP_ERR_OPTION,
        "merger: replace is %d, wanted 0 to %d", o->replace,
        TKP_CHAIN_MAX_PARTS - 1);
    TKP__CHECK(
        o->into >= 0 && o->into < TKP_CHAIN_MAX_PARTS &&
            (!o->into || o->into != o->replace),
        TKP_ERR_OPTION,
        "merger: into is %d, wanted 0 to %d, and not the part that is replaced",
        o->into, TKP_CHAIN_MAX_PARTS - 1);
    TKP__CHECK(
        o->replace_share >= 0.0f && o->replace_share <= 1.0f, TKP_ERR_OPTION,
        "merger: replace_share is %g, wanted 0 to 1", (double)o->replace_share);
    TKP__CHECK(
        o->threshold >= 0.0f && o->threshold <= 1.0f, TKP_ERR_OPTION,
        "merger: threshold is %g, wanted 0 to 1", (double)o->threshold);
    TKP__CHECK(
        o->cut >= -1.0f && o->cut <= 1.0f, TKP_ERR_OPTION,
        "merger: cut is %g, wanted -1 to 1", (double)o->cut);
    TKP__CHECK(
        o->segments >= 0, TKP_ERR_OPTION,
        "merger: segments is %d, wanted 0 or more", o->segments);
    TKP__CHECK(
        o->within >= 0.0f && o->within <= 1e30f, TKP_ERR_OPTION,
        "merger: within is %g, wanted 0 or more", (double)o->within);
    TKP__CHECK(
        o->proportional == 0 || o->proportional == 1, TKP_ERR_OPTION,
        "merger: proportional is %d, wanted 0 or 1", o->proportional);
    return TKP_OK;
}

tkp_status
tkp__merger_spec_copy(tkp__merger_spec *out, const tkp_merger_options *in)
{
    tkp_merger_options *o = &out->options;
    memset(out, 0, sizeof(*out));
    TKP__TRY(tkp__util_copy_options(
        o, sizeof(*o), in, in->struct_size,
        TKP__SIZE_THROUGH(tkp_merger_options, custom), "merger"));
    TKP__CHECK(
        o->kind == TKP_MERGER_NONE || kind_of(o->kind), TKP_ERR_OPTION,
        "merger: kind is %d, wanted one of enum tkp_merger_kind", o->kind);
    TKP__CHECK(
        o->adaptive_overlap == 0 || o->adaptive_overlap == 1, TKP_ERR_OPTION,
        "merger: adaptive_overlap is %d, wanted 0 or 1", o->adaptive_overlap);
    TKP__TRY(check_nearest(o));
    if (o->kind == TKP_MERGER_BIPARTITE || o->kind == TKP_MERGER_FOLD)
        *o = (tkp_merger_options){
            .struct_size = o->struct_size,
            .kind = o->kind,
            .proportional = o->proportional};
    if ((o->kind == TKP_MERGER_NEAREST || tkp__merger_weighs(o)) &&
        o->anchor == 0.0f)
        o->anchor = 1.0f;
    if (o->kind == TKP_MERGER_ANCHORS) {
        o->cut = o->cut == 0.0f ? 0.9f : o->cut;
        o->segments = o->segments ? o->segments : 8;
    }
    if (o->kind == TKP_MERGER_KNN && !o->neighbours)
        o->neighbours = 32;
    if (o->kind == TKP_MERGER_BAG && !o->bag)
        o->bag = 1;
    if (o->kind == TKP_MERGER_STATIC && o->threshold == 0.0f)
        o->threshold = 0.8f;
    if (o->kind == TKP_MERGER_CHAIN && o->threshold == 0.0f)
        o->threshold = 0.6f;
    if (o->replace && o->replace_share == 0.0f)
        o->replace_share = 1.0f;
    if (o->kind == TKP_MERGER_CUSTOM) {
        TKP__CHECK(
            o->custom && o->custom[0] && strlen(o->custom) < TKP__NAME_BYTES,
            TKP_ERR_OPTION, "merger: custom needs a name of 1 to %d characters",
            TKP__NAME_BYTES - 1);
        strcpy(out->custom, o->custom);
    }
    tkp__merger_spec_relink(out);
    return TKP_OK;
}

void tkp__merger_spec_relink(tkp__merger_spec *spec)
{
    spec->options.custom =
        spec->options.kind == TKP_MERGER_CUSTOM ? spec->custom : NULL;
}

uint32_t tkp__merger_spec_needs(const tkp__merger_spec *spec)
{
    if (spec->options.kind == TKP_MERGER_NONE)
        return 0;
    if (compares(spec->options.kind))
        return TKP_NEED_HIDDEN | tkp__features_needs(spec->options.feature);
    if (spec->options.kind != TKP_MERGER_CUSTOM)
        return TKP_NEED_HIDDEN;
    tkp_merger_vtable vtable;
    void *user;
    if (tkp__names_get(
            &tkp__merger_names, spec->custom, &vtable, sizeof(vtable), &user) !=
        TKP_OK)
        return TKP_NEED_HIDDEN;
    tkp__names_put(&tkp__merger_names, spec->custom);
    return vtable.needs | TKP_NEED_HIDDEN;
}

tkp_status tkp__merger_op(
    tkp_merger *m,
    tkp_op **op,
    int32_t kind,
    const tkp_tensor *args,
    int32_t n_args,
    const void *params)
{
    return tkp__core_op_make(
        op, m->context, kind, args, n_args, params, &m->ops_bytes);
}

tkp_status tkp__merger_run_op(
    const tkp_merger *m,
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace)
{
    return tkp__core_op_run(
        op, exec, args, n_args, tkp__ledger_at(workspace, m->ops_at),
        m->ops_bytes);
}

static tkp_status build_merger(tkp_merger *m)
{
    tkp_ledger ledger = TKP__LEDGER_INIT;
    TKP__CHECK(
        m->model.hidden > 0, TKP_ERR_OPTION,
        "model: hidden is %lld; merging needs the width of the rows",
        (long long)m->model.hidden);
    TKP__TRY(m->kind->plan(m, &ledger));
    TKP__TRY(tkp__ledger_book(&ledger, m->ops_bytes, &m->ops_at));
    m->workspace_bytes = ledger.bytes;
    return TKP_OK;
}

tkp_status tkp__merger_new(
    tkp_merger **out,
    tkp_context *context,
    const tkp__merger_spec *spec,
    tkp_selector *selector,
    const tkp_model_desc *model)
{
    tkp_merger *m = tkp__zalloc(1, sizeof(*m));
    if (!m)
        return TKP_ERR_MEMORY;
    m->context = context;
    tkp__core_context_retain(context);
    m->selector = selector;
    tkp__selector_retain(selector);
    m->spec = *spec;
    tkp__merger_spec_relink(&m->spec);
    m->model = *model;
    m->kind = kind_of(spec->options.kind);
    const tkp_status status = build_merger(m);
    if (status != TKP_OK) {
        tkp__merger_free(m);
        return status;
    }
    *out = m;
    return TKP_OK;
}

void tkp__merger_free(tkp_merger *m)
{
    if (!m)
        return;
    tkp__core_op_destroy(m->pool);
    tkp__core_op_destroy(m->gather);
    for (int32_t i = 0; i < TKP__MERGER_OPS; i++)
        tkp__core_op_destroy(m->ops[i]);
    if (m->kind->release)
        m->kind->release(m);
    tkp__features_release(&m->features);
    if (m->has_custom)
        tkp__names_put(&tkp__merger_names, m->spec.custom);
    tkp__free(m->memory);
    tkp__selector_release(m->selector);
    tkp__core_context_release(m->context);
    tkp__free(m);
}

tkp_status tkp__merger_bind(tkp_merger *m)
{
    if (m->has_features)
        tkp__features_bind(&m->features, NULL, 0);
    return m->kind->bind ? m->kind->bind(m) : TKP_OK;
}

tkp_status tkp__merger_run(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    return m->kind->run(m, exec, in, workspace, out);
}
