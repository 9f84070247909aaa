/* Scorer options: read, checked, copied deep. */
#include "budget/budget.h"
#include "core/names.h"
#include "scorer/scorer.h"

TKP__ASSERT_NO_PADDING(tkp_scorer_options, level);

static tkp_status check_range(int32_t value, int32_t last, const char *field)
{
    TKP__CHECK(
        value >= 0 && value <= last, TKP_ERR_OPTION,
        "scorer: %s is %d, wanted 0 to %d", field, value, last);
    return TKP_OK;
}

static tkp_status copy_name(char out[64], const tkp_scorer_options *options)
{
    out[0] = '\0';
    if (options->kind != TKP_SCORER_CUSTOM)
        return TKP_OK;
    TKP__CHECK(
        options->custom && options->custom[0] &&
            strlen(options->custom) < TKP__NAME_BYTES,
        TKP_ERR_OPTION, "scorer: custom needs a name of 1 to %d characters",
        TKP__NAME_BYTES - 1);
    strcpy(out, options->custom);
    return TKP_OK;
}

/* What 0 stands for, so that a policy shows what it does. */
static void fill_defaults(tkp_scorer_options *o)
{
    const bool several = o->query == TKP_QUERY_TEXT ||
                         o->query == TKP_QUERY_ALL ||
                         o->query == TKP_QUERY_RATERS;
    if (!o->norm)
        o->norm = TKP_NORM_L1;
    if (!o->row_reduce)
        o->row_reduce =
            several ? TKP_ROW_REDUCE_MEAN_VISIBLE : TKP_ROW_REDUCE_LAST;
}

/* Relevance: ranges, and what 0 stands for. */
static tkp_status check_relevance(tkp_scorer_options *o)
{
    TKP__TRY(check_range(o->prefer, TKP_PREFER_LIKE, "prefer"));
    TKP__TRY(check_range(o->smooth, 1, "smooth"));
    TKP__CHECK(
        o->mix >= 0.0f && o->mix <= 1.0f, TKP_ERR_OPTION,
        "scorer: mix is %g, wanted 0 to 1", (double)o->mix);
    TKP__CHECK(
        o->share >= 0.0f && o->share <= 1.0f, TKP_ERR_OPTION,
        "scorer: share is %g, wanted 0 to 1", (double)o->share);
    TKP__CHECK(
        o->power >= 0.0f && o->power <= 1e3f, TKP_ERR_OPTION,
        "scorer: power is %g, wanted 0 to 1000", (double)o->power);
    const bool entropy = o->kind == TKP_SCORER_ENTROPY_RELEVANCE;
    if (entropy && o->mix == 0.0f)
        o->mix = 0.5f;
    if (entropy && o->share == 0.0f)
        o->share = 0.2f;
    if ((entropy || o->kind == TKP_SCORER_RELEVANCE) && o->power == 0.0f)
        o->power = 1.0f;
    return TKP_OK;
}

static tkp_status check_reconstruction(tkp_scorer_options *o)
{
    TKP__TRY(check_range(o->basis, 4096, "basis"));
    TKP__CHECK(
        tkp__scope_known(o->scope), TKP_ERR_OPTION,
        "scorer: scope is %d, wanted one of enum tkp_budget_scope", o->scope);
    TKP__CHECK(
        o->scope != TKP_SCOPE_TILE || o->kind == TKP_SCORER_BLEND,
        TKP_ERR_UNSUPPORTED,
        "scorer: scope tile is for blends; other kinds work on sequences, "
        "images and frames");
    TKP__CHECK(
        o->ridge >= 0.0f && o->ridge <= 1e30f, TKP_ERR_OPTION,
        "scorer: ridge is %g, wanted 0 or more", (double)o->ridge);
    if (o->kind != TKP_SCORER_RECONSTRUCTION)
        return TKP_OK;
    o->basis = o->basis ? o->basis : 10;
    o->ridge = o->ridge > 0.0f ? o->ridge : 1e-5f;
    return TKP_OK;
}

static tkp_status check_variance(tkp_scorer_options *o)
{
    TKP__TRY(check_range(o->crops, 65536, "crops"));
    TKP__CHECK(
        o->gain >= 0.0f && o->gain <= 1e6f, TKP_ERR_OPTION,
        "scorer: gain is %g, wanted 0 to 1e6", (double)o->gain);
    TKP__TRY(check_range(o->alone, 1, "alone"));
    TKP__TRY(check_range(o->compat, TKP_COMPAT_OFFICIAL, "compat"));
    if (o->kind != TKP_SCORER_VARIANCE)
        return TKP_OK;
    o->crops = o->crops ? o->crops : 16;
    o->gain = o->gain > 0.0f ? o->gain : 0.09f;
    return TKP_OK;
}

static tkp_status check_seeds(tkp_scorer_options *o)
{
    if (o->seeds_num == 0 && o->seeds_den == 0)
        o->seeds_den = 1;
    TKP__CHECK(
        o->seeds_den > 0 && o->seeds_num >= 0 && o->seeds_num <= o->seeds_den,
        TKP_ERR_OPTION, "scorer: seeds are %lld/%lld, wanted 0 to 1",
        (long long)o->seeds_num, (long long)o->seeds_den);
    return TKP_OK;
}

/* Some heads alone, or without what distance does. */
static tkp_status check_heads(const tkp_scorer_options *o)
{
    TKP__TRY(check_range(o->heads, 65536, "heads"));
    TKP__TRY(check_range(o->level, 1, "level"));
    if (!o->heads && !o->level)
        return TKP_OK;
    TKP__CHECK(
        o->kind == TKP_SCORER_ATTENTION, TKP_ERR_OPTION,
        "scorer: %s is %d; only attention has it", o->heads ? "heads" : "level",
        o->heads ? o->heads : o->level);
    TKP__CHECK(
        o->row_reduce != TKP_ROW_REDUCE_MAX &&
            !(o->flags & (TKP_ATTENTION_LOGITS | TKP_ATTENTION_EMULATE_HALF)),
        TKP_ERR_UNSUPPORTED,
        "scorer: attention: heads and level go with probabilities, summed or "
        "meaned over the rows");
    return TKP_OK;
}

static tkp_status
copy_one(tkp_scorer_options *out, char name[64], const tkp_scorer_options *in)
{
    TKP__TRY(tkp__util_copy_options(
        out, sizeof(*out), in, in->struct_size,
        TKP__SIZE_THROUGH(tkp_scorer_options, custom), "scorer"));
    TKP__CHECK(
        tkp__scorer_kind_known(out->kind), TKP_ERR_OPTION,
        "scorer: kind is %d, wanted one of enum tkp_scorer_kind", out->kind);
    TKP__TRY(check_range(out->query, TKP_QUERY_RATERS, "query"));
    TKP__TRY(check_range(out->row_reduce, TKP_ROW_REDUCE_MAX, "row_reduce"));
    TKP__TRY(check_range(out->norm, TKP_NORM_L2, "norm"));
    TKP__TRY(
        check_range(out->reference, TKP_REFERENCE_MEAN_FRAME, "reference"));
    TKP__TRY(check_range(out->feature, TKP_FEATURE_VISION_VALUES, "feature"));
    TKP__CHECK(
        out->norm_eps >= 0.0f && out->norm_eps < 1.0f, TKP_ERR_OPTION,
        "scorer: norm_eps is %g, wanted 0 to 1", (double)out->norm_eps);
    const uint32_t known = TKP_ATTENTION_CAUSAL | TKP_ATTENTION_EMULATE_HALF |
                           TKP_ATTENTION_LOGITS | TKP_ATTENTION_UNIT;
    TKP__CHECK(
        !(out->flags & ~known), TKP_ERR_OPTION,
        "scorer: flags are 0x%x, wanted bits of 0x%x", out->flags, known);
    TKP__CHECK(
        !(out->flags & TKP_ATTENTION_UNIT) ||
            out->kind == TKP_SCORER_CLS_ATTENTION,
        TKP_ERR_OPTION,
        "scorer: kind %d has the flag unit; only cls-attention has it",
        out->kind);
    TKP__CHECK(
        out->encoder_layer >= -1 && out->encoder_layer <= 65536, TKP_ERR_OPTION,
        "scorer: encoder_layer is %d, wanted -1 to 65536", out->encoder_layer);
    TKP__TRY(check_range(out->shallow, 1, "shallow"));
    TKP__TRY(check_variance(out));
    TKP__TRY(check_range(out->map, TKP_OVERVIEW_SHARE, "map"));
    TKP__CHECK(
        out->alpha >= 0.0f && out->alpha <= 1.0f, TKP_ERR_OPTION,
        "scorer: alpha is %g, wanted 0 to 1", (double)out->alpha);
    TKP__TRY(check_range(out->centre, TKP_CENTRE_FRAME, "centre"));
    TKP__TRY(check_range(out->combine, TKP_BLEND_PRODUCT, "combine"));
    TKP__TRY(check_range(out->group, 256, "group"));
    TKP__CHECK(
        out->threshold >= 0.0f && out->threshold <= 1.0f, TKP_ERR_OPTION,
        "scorer: threshold is %g, wanted 0 to 1", (double)out->threshold);
    TKP__TRY(check_range(out->sine, 1, "sine"));
    TKP__TRY(check_seeds(out));
    TKP__TRY(check_relevance(out));
    TKP__TRY(check_reconstruction(out));
    TKP__TRY(check_heads(out));
    fill_defaults(out);
    return copy_name(name, out);
}

static tkp_status
copy_terms(tkp__scorer_spec *out, const tkp_scorer_options *in)
{
    const int32_t n = out->options.n_terms;
    TKP__CHECK(
        n >= 1 && n <= TKP_BLEND_MAX_TERMS && in->terms, TKP_ERR_OPTION,
        "scorer: blend has %d terms, wanted 1 to %d", in->terms ? n : 0,
        TKP_BLEND_MAX_TERMS);
    for (int32_t t = 0; t < n; t++) {
        const tkp_blend_term *term = &in->terms[t];
        TKP__CHECK(
            term->scorer, TKP_ERR_OPTION, "scorer: blend term %d has no scorer",
            t);
        TKP__TRY(copy_one(&out->term_scorers[t], out->custom[t], term->scorer));
        TKP__CHECK(
            out->term_scorers[t].kind != TKP_SCORER_BLEND &&
                out->term_scorers[t].kind != TKP_SCORER_NONE,
            TKP_ERR_OPTION,
            "scorer: blend term %d is %s; wanted a scorer of one kind", t,
            out->term_scorers[t].kind ? "a blend" : "none");
        TKP__CHECK(
            term->weight == term->weight && term->weight <= 1e30f &&
                term->weight >= -1e30f,
            TKP_ERR_OPTION, "scorer: blend term %d: weight is not finite", t);
        TKP__TRY(check_range(term->normalise, TKP_NORMALISE_L2, "normalise"));
        TKP__TRY(check_range(term->complement, 1, "complement"));
        out->terms[t] = *term;
    }
    return TKP_OK;
}

void tkp__scorer_spec_relink(tkp__scorer_spec *spec)
{
    const bool blend = spec->options.kind == TKP_SCORER_BLEND;
    spec->options.terms = blend ? spec->terms : NULL;
    spec->options.custom =
        spec->options.kind == TKP_SCORER_CUSTOM ? spec->custom[0] : NULL;
    for (int32_t t = 0; blend && t < spec->options.n_terms; t++) {
        tkp_scorer_options *scorer = &spec->term_scorers[t];
        spec->terms[t].scorer = scorer;
        scorer->terms = NULL;
        scorer->n_terms = 0;
        scorer->custom =
            scorer->kind == TKP_SCORER_CUSTOM ? spec->custom[t] : NULL;
    }
}

tkp_status
tkp__scorer_spec_copy(tkp__scorer_spec *out, const tkp_scorer_options *in)
{
    memset(out, 0, sizeof(*out));
    TKP__TRY(copy_one(&out->options, out->custom[0], in));
    if (out->options.kind == TKP_SCORER_BLEND)
        TKP__TRY(copy_terms(out, in));
    else
        out->options.n_terms = 0;
    tkp__scorer_spec_relink(out);
    return TKP_OK;
}

bool tkp__scorer_reads_cls(const tkp_scorer_options *o)
{
    return o->kind == TKP_SCORER_CLS_ATTENTION ||
           o->kind == TKP_SCORER_OVERVIEW ||
           (o->kind == TKP_SCORER_VARIANCE && !o->alone);
}

static uint32_t cls_need(const tkp_scorer_options *o)
{
    return o->shallow ? TKP_NEED_CLS_SHALLOW : TKP_NEED_CLS_ATTENTION;
}

static uint32_t leaf_needs(const tkp_scorer_options *o)
{
    switch (o->kind) {
    case TKP_SCORER_ATTENTION:
        return o->query == TKP_QUERY_RATERS
                   ? TKP_NEED_ATTENTION | TKP_NEED_EMBEDDINGS
                   : TKP_NEED_ATTENTION;
    case TKP_SCORER_CLS_ATTENTION:
    case TKP_SCORER_OVERVIEW:
        return cls_need(o);
    case TKP_SCORER_VARIANCE:
        return tkp__features_needs(o->feature) |
               (tkp__scorer_reads_cls(o) ? cls_need(o) : 0);
    case TKP_SCORER_EXTERNAL:
        return TKP_NEED_SCORES;
    case TKP_SCORER_MEAN_QUERY:
        return TKP_NEED_PLAIN_ATTENTION;
    case TKP_SCORER_VALUE_ATTENTION:
        return TKP_NEED_VALUES;
    case TKP_SCORER_NORM:
    case TKP_SCORER_COSINE:
    case TKP_SCORER_RECONSTRUCTION:
    case TKP_SCORER_TEMPORAL:
    case TKP_SCORER_GAUSSIAN:
    case TKP_SCORER_CURVATURE:
        return tkp__features_needs(o->feature);
    case TKP_SCORER_RELEVANCE:
        return tkp__features_needs(o->feature) |
               (o->feature == TKP_FEATURE_CLIP ? TKP_NEED_CLIP_TEXT
                                               : TKP_NEED_TEXT);
    case TKP_SCORER_ENTROPY_RELEVANCE:
        return tkp__features_needs(o->feature) | TKP_NEED_CLIP_TEXT |
               TKP_NEED_CLIP_TOKENS;
    case TKP_SCORER_CUSTOM: {
        tkp_scorer_vtable vtable;
        void *user;
        if (tkp__names_get(
                &tkp__scorer_names, o->custom, &vtable, sizeof(vtable),
                &user) != TKP_OK)
            return 0;
        tkp__names_put(&tkp__scorer_names, o->custom);
        return vtable.needs;
    }
    default:
        return 0;
    }
}

uint32_t tkp__scorer_spec_needs(const tkp__scorer_spec *spec)
{
    if (spec->options.kind != TKP_SCORER_BLEND)
        return leaf_needs(&spec->options);
    uint32_t needs = 0;
    for (int32_t t = 0; t < spec->options.n_terms; t++)
        needs |= leaf_needs(&spec->term_scorers[t]);
    return needs;
}
