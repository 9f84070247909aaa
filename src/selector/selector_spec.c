/* Selector options: read, checked, copied. */
#include "core/names.h"
#include "selector/selector.h"

TKP__ASSERT_NO_PADDING(tkp_budget, reserved);
TKP__ASSERT_NO_PADDING(tkp_selector_options, prefer);

static tkp_status check_range(int32_t value, int32_t last, const char *field)
{
    TKP__CHECK(
        value >= 0 && value <= last, TKP_ERR_OPTION,
        "selector: %s is %d, wanted 0 to %d", field, value, last);
    return TKP_OK;
}

static tkp_status check_number(float value, float most, const char *field)
{
    TKP__CHECK(
        value >= 0.0f && value <= most, TKP_ERR_OPTION,
        "selector: %s is %g, wanted 0 to %g", field, (double)value,
        (double)most);
    return TKP_OK;
}

static void fill_number(float *value, bool used, float otherwise)
{
    if (used && *value == 0.0f)
        *value = otherwise;
}

/* Greedy kinds: ranges, and what 0 stands for. */
static tkp_status check_greedy(tkp_selector_options *o)
{
    const bool mmr = o->kind == TKP_SELECTOR_MMR;
    const bool tri = o->kind == TKP_SELECTOR_TRI;
    const bool cover = o->kind == TKP_SELECTOR_COVER;
    TKP__TRY(check_range(o->start, TKP_GREEDY_START_NORM, "start"));
    TKP__TRY(check_range(o->measure, TKP_GREEDY_EUCLIDEAN, "measure"));
    TKP__TRY(check_range(o->weighted, 1, "weighted"));
    TKP__TRY(check_range(o->kernel, TKP_GREEDY_KERNEL_SOFTMAX, "kernel"));
    TKP__TRY(check_range(o->weight, TKP_COVER_NONE, "weight"));
    TKP__TRY(check_range(o->determinant, TKP_GREEDY_DPP_MIX, "determinant"));
    TKP__TRY(check_range(o->min_max, 1, "min_max"));
    TKP__TRY(check_number(o->alpha, 1e6f, "alpha"));
    TKP__TRY(check_number(o->lambda, mmr ? 1.0f : 1e6f, "lambda"));
    TKP__TRY(check_number(o->theta, 1.0f, "theta"));
    TKP__TRY(check_number(o->power, 1e3f, "power"));
    TKP__TRY(check_number(o->scale, 1e6f, "scale"));
    TKP__TRY(check_number(o->temperature, 1e6f, "temperature"));
    TKP__TRY(check_range(o->text, 1, "text"));
    TKP__TRY(check_number(o->text_temperature, 1e6f, "text_temperature"));
    TKP__CHECK(
        o->kind != TKP_SELECTOR_DPP || o->theta < 1.0f ||
            o->determinant != TKP_GREEDY_DPP_EXP,
        TKP_ERR_OPTION, "selector: theta is 1, wanted less with exp");
    if (o->start == TKP_GREEDY_START_DEFAULT && mmr)
        o->start = TKP_GREEDY_START_WEIGHT;
    if (o->start == TKP_GREEDY_START_DEFAULT && o->kind == TKP_SELECTOR_DIVERSE)
        o->start = TKP_GREEDY_START_NEAREST;
    fill_number(&o->alpha, tri, 0.5f);
    fill_number(&o->lambda, mmr || tri, 0.5f);
    fill_number(&o->power, cover, 1.0f);
    fill_number(&o->scale, cover, 1.0f);
    fill_number(&o->temperature, cover, 0.2f);
    fill_number(&o->text_temperature, cover, 0.02f);
    return TKP_OK;
}

static tkp_status check_window(const tkp_selector_options *o)
{
    TKP__CHECK(
        (o->window_rows > 0) == (o->window_cols > 0) && o->window_rows >= 0 &&
            o->window_cols >= 0,
        TKP_ERR_OPTION,
        "selector: window is %d x %d, wanted both sides at least 1, or 0 x 0 "
        "for windows by budget",
        o->window_rows, o->window_cols);
    TKP__CHECK(
        o->quota >= 0, TKP_ERR_OPTION,
        "selector: quota is %d, wanted 0 or more", o->quota);
    TKP__CHECK(
        !o->quota || (o->kind == TKP_SELECTOR_WINDOW ||
                      (o->kind == TKP_SELECTOR_RANDOM && o->stratified)),
        TKP_ERR_OPTION, "selector: quota %d, but there are no windows",
        o->quota);
    TKP__CHECK(
        !o->quota || o->window_rows, TKP_ERR_OPTION,
        "selector: quota %d needs a window size", o->quota);
    TKP__CHECK(
        o->kind != TKP_SELECTOR_WINDOW_RANK || o->window_rows, TKP_ERR_OPTION,
        "selector: window_rank needs a window size");
    TKP__CHECK(
        o->kind != TKP_SELECTOR_FOLD || o->window_rows, TKP_ERR_OPTION,
        "selector: fold needs a window size");
    TKP__CHECK(
        !o->even ||
            (o->kind == TKP_SELECTOR_WINDOW && o->window_rows && !o->quota),
        TKP_ERR_OPTION,
        "selector: even is for windows of a size without a quota");
    TKP__CHECK(
        o->pick == TKP_PICK_SCORE ||
            (o->kind == TKP_SELECTOR_WINDOW && o->quota <= 1),
        TKP_ERR_OPTION,
        "selector: pick %d is for windows that keep one token each", o->pick);
    return TKP_OK;
}

static tkp_status check_pivots(const tkp_selector_options *o)
{
    TKP__CHECK(
        o->pivots_visual >= -1 && o->pivots_text >= -1 && o->per_pivot >= 0,
        TKP_ERR_OPTION,
        "selector: pivots_visual %d, pivots_text %d and per_pivot %d, wanted "
        "-1 or more, and 0 or more a pivot",
        o->pivots_visual, o->pivots_text, o->per_pivot);
    if (o->kind != TKP_SELECTOR_PIVOTS)
        return TKP_OK;
    TKP__CHECK(
        o->pivots_visual >= 0 || o->pivots_text >= 0, TKP_ERR_OPTION,
        "selector: neither visual nor text pivots, wanted some");
    TKP__CHECK(
        o->pivots_text < 0 || (!tkp__features_of_patches(o->feature) &&
                               !tkp__features_of_patches(o->pivot_feature)),
        TKP_ERR_OPTION,
        "selector: text pivots have no rows in the encoder; wanted another "
        "feature, or no text pivots");
    return TKP_OK;
}

/* --- quotas ---------------------------------------------------------------- */

static bool is_greedy(int32_t kind)
{
    return kind >= TKP_SELECTOR_DIVERSE && kind <= TKP_SELECTOR_TRI;
}

static tkp_status check_compat(const tkp_selector_options *o)
{
    return check_range(
        o->compat,
        o->rule == TKP_QUOTA_TILT || o->rule == TKP_QUOTA_LARGEST_REMAINDER
            ? TKP_COMPAT_OFFICIAL
            : 0,
        "compat");
}

/* Greedy kinds: a budget that is shared out over groups, by the scores. */
static tkp_status check_shares(tkp__selector_spec *out)
{
    tkp_selector_options *o = &out->options;
    if (is_greedy(o->kind) && !o->reduce)
        o->reduce = TKP_ROW_REDUCE_SUM;
    if (!tkp__selector_shares(o))
        return TKP_OK;
    TKP__CHECK(
        tkp__scope_known(o->groups), TKP_ERR_OPTION,
        "selector: groups is %d, wanted one of enum tkp_budget_scope",
        o->groups);
    TKP__CHECK(
        tkp__selector_takes_scores(out) && !o->text, TKP_ERR_OPTION,
        "selector: groups share the budget by scores, wanted a kind that takes "
        "them%s",
        o->text ? ", without rows of text" : "");
    TKP__TRY(check_range(o->rule, TKP_QUOTA_TILT, "rule"));
    TKP__CHECK(
        o->rule != TKP_QUOTA_SOFT, TKP_ERR_OPTION,
        "selector: rule is %d, wanted one whose quotas sum up to the budget",
        o->rule);
    TKP__TRY(check_compat(o));
    TKP__TRY(check_range(o->least, INT32_MAX, "least"));
    TKP__CHECK(
        o->reduce == TKP_ROW_REDUCE_MEAN || o->reduce == TKP_ROW_REDUCE_SUM ||
            o->reduce == TKP_ROW_REDUCE_MAX,
        TKP_ERR_OPTION, "selector: reduce is %d, wanted mean, sum or max",
        o->reduce);
    return check_number(o->base, 1.0f, "base");
}

static tkp_status copy_weigh(tkp__selector_spec *out)
{
    tkp_selector_options *o = &out->options;
    TKP__CHECK(
        o->weigh, TKP_ERR_OPTION, "selector: quota has no weigh, wanted one");
    const tkp_status status = tkp__scorer_spec_copy(&out->weigh, o->weigh);
    if (status != TKP_OK)
        return tkp__fail_prefix(status, "weigh");
    TKP__CHECK(
        out->weigh.options.kind != TKP_SCORER_NONE, TKP_ERR_OPTION,
        "selector: weigh is a scorer of kind none, wanted another");
    o->groups = o->groups ? o->groups : TKP_SCOPE_FRAME;
    TKP__CHECK(
        tkp__scope_known(o->groups), TKP_ERR_OPTION,
        "selector: groups is %d, wanted one of enum tkp_budget_scope",
        o->groups);
    TKP__TRY(check_range(o->crops, 65536, "crops"));
    o->crops = o->crops ? o->crops : 1;
    TKP__CHECK(
        o->groups != TKP_SCOPE_TILE || o->crops == 1, TKP_ERR_UNSUPPORTED,
        "selector: tiles are cut into %d crops, wanted 1", o->crops);
    TKP__TRY(check_range(o->rule, TKP_QUOTA_TILT, "rule"));
    TKP__TRY(check_compat(o));
    if (!o->reduce)
        o->reduce = TKP_ROW_REDUCE_MEAN;
    TKP__CHECK(
        o->reduce == TKP_ROW_REDUCE_MEAN || o->reduce == TKP_ROW_REDUCE_SUM ||
            o->reduce == TKP_ROW_REDUCE_MAX,
        TKP_ERR_OPTION, "selector: reduce is %d, wanted mean, sum or max",
        o->reduce);
    TKP__TRY(check_range(o->lowest, o->temperature > 0.0f, "lowest"));
    TKP__TRY(check_range(o->least, INT32_MAX, "least"));
    return check_number(o->base, 1.0f, "base");
}

static tkp_status check_anchors(tkp_selector_options *o)
{
    TKP__CHECK(
        o->cut >= -1.0f && o->cut <= 1.0f, TKP_ERR_OPTION,
        "selector: cut is %g, wanted -1 to 1", (double)o->cut);
    TKP__TRY(check_range(o->segments, INT32_MAX, "segments"));
    TKP__TRY(check_range(o->stride, INT32_MAX, "stride"));
    if (o->kind == TKP_SELECTOR_STATIC) {
        TKP__TRY(check_number(o->threshold, 1.0f, "threshold"));
        fill_number(&o->threshold, true, 0.8f);
        o->neighbours = o->neighbours ? o->neighbours : 7;
    }
    if (o->kind != TKP_SELECTOR_ANCHORS)
        return TKP_OK;
    fill_number(&o->cut, true, 0.9f);
    o->segments = o->segments ? o->segments : 8;
    o->stride = o->stride ? o->stride : 4;
    o->neighbours = o->neighbours ? o->neighbours : 4;
    return TKP_OK;
}

static tkp_status check_clusters(tkp_selector_options *o)
{
    if (o->share_num == 0 && o->share_den == 0)
        o->share_num = o->share_den = 1;
    TKP__CHECK(
        o->share_den > 0 && o->share_num >= 0 && o->share_num <= o->share_den,
        TKP_ERR_OPTION, "selector: share is %lld/%lld, wanted 0 to 1",
        (long long)o->share_num, (long long)o->share_den);
    if (o->kind != TKP_SELECTOR_CLUSTERS)
        return TKP_OK;
    fill_number(&o->threshold, true, 0.2f);
    return check_number(o->threshold, 2.0f, "threshold");
}

/* --- chains ---------------------------------------------------------------- */

static bool may_be_part(const tkp_selector_options *o, bool first)
{
    switch (o->kind) {
    case TKP_SELECTOR_TOPK:
    case TKP_SELECTOR_STRIDE:
    case TKP_SELECTOR_DIVERSE:
    case TKP_SELECTOR_MMR:
    case TKP_SELECTOR_COVER:
    case TKP_SELECTOR_DPP:
    case TKP_SELECTOR_TRI:
    case TKP_SELECTOR_PARITY:
    case TKP_SELECTOR_DENSITY:
    case TKP_SELECTOR_ANCHORS:
        return true;
    case TKP_SELECTOR_RANDOM:
        return first || !o->stratified;
    case TKP_SELECTOR_WINDOW:
    case TKP_SELECTOR_WINDOW_RANK:
    case TKP_SELECTOR_UNIFORM:
    case TKP_SELECTOR_PIVOTS:
        return first;
    default:
        return false;
    }
}

static tkp_status
check_amount(const tkp_chain_part *part, int32_t number, bool last)
{
    TKP__CHECK(
        part->amount >= TKP_CHAIN_REST && part->amount <= TKP_CHAIN_MORE,
        TKP_ERR_OPTION, "selector: part %d: amount is %d, wanted 0 to %d",
        number, part->amount, TKP_CHAIN_MORE);
    TKP__CHECK(
        number > 0 || part->amount != TKP_CHAIN_MORE, TKP_ERR_OPTION,
        "selector: part 0 keeps more than the budget; wanted one before it "
        "that takes the budget");
    TKP__CHECK(
        part->amount == TKP_CHAIN_MORE ||
            last == (part->amount == TKP_CHAIN_REST),
        TKP_ERR_OPTION,
        last ? "selector: part %d is the last and takes the rest; wanted "
               "neither share nor count"
             : "selector: part %d is not the last, wanted its share or count",
        number);
    TKP__CHECK(
        (part->amount != TKP_CHAIN_SHARE && part->amount != TKP_CHAIN_MORE &&
         part->amount != TKP_CHAIN_ALL_BUT_SHARE) ||
            (part->share_den > 0 && part->share_num >= 0 &&
             part->share_num <= part->share_den),
        TKP_ERR_OPTION, "selector: part %d: share is %lld/%lld, wanted 0 to 1",
        number, (long long)part->share_num, (long long)part->share_den);
    TKP__CHECK(
        (part->amount != TKP_CHAIN_COUNT &&
         part->amount != TKP_CHAIN_ALL_BUT) ||
            (part->count >= 0 && part->count <= INT32_MAX),
        TKP_ERR_OPTION, "selector: part %d: count is %lld, wanted 0 to %d",
        number, (long long)part->count, INT32_MAX);
    return TKP_OK;
}

/* The pool of a part, and what 0 / 0 stands for. */
static tkp_status check_pool(tkp_chain_part *part, int32_t number)
{
    if (part->pool_den == 0 && part->pool_num == 0)
        part->pool_num = part->pool_den = 1;
    TKP__CHECK(
        part->pool_den > 0 && part->pool_num >= 0 &&
            part->pool_num <= part->pool_den,
        TKP_ERR_OPTION,
        "selector: part %d: pool share is %lld/%lld, wanted 0 to 1", number,
        (long long)part->pool_num, (long long)part->pool_den);
    TKP__CHECK(
        part->pool_count >= 0 && part->pool_factor >= 0, TKP_ERR_OPTION,
        "selector: part %d: pool_count is %d, pool_factor %d, wanted 0 or more",
        number, part->pool_count, part->pool_factor);
    TKP__TRY(check_range(part->pool_order, TKP_POOL_BY_SCORE, "pool_order"));
    TKP__CHECK(
        number > 0 || !tkp__chain_has_pool(part), TKP_ERR_OPTION,
        "selector: part 0 has a pool, wanted one in later parts alone");
    return TKP_OK;
}

static tkp_status
copy_parts(tkp__selector_spec *out, const tkp_chain_part *parts)
{
    const int32_t n = out->options.n_parts;
    TKP__CHECK(
        n >= 1 && n <= TKP_CHAIN_MAX_PARTS && parts, TKP_ERR_OPTION,
        "selector: chain has %d parts, wanted 1 to %d", parts ? n : 0,
        TKP_CHAIN_MAX_PARTS);
    for (int32_t p = 0; p < n; p++) {
        tkp__selector_spec part;
        TKP__CHECK(
            parts[p].selector, TKP_ERR_OPTION,
            "selector: part %d has no selector", p);
        const bool last = p == n - 1 || parts[p + 1].amount == TKP_CHAIN_MORE;
        TKP__TRY(check_amount(&parts[p], p, last));
        TKP__CHECK(
            parts[p].selector->kind != TKP_SELECTOR_CHAIN, TKP_ERR_OPTION,
            "selector: part %d is a chain, wanted another kind", p);
        const tkp_status status =
            tkp__selector_spec_copy(&part, parts[p].selector);
        if (status != TKP_OK)
            return tkp__fail_prefix(status, "part %d", p);
        TKP__CHECK(
            may_be_part(&part.options, p == 0) && !part.options.quota &&
                !tkp__selector_shares(&part.options),
            TKP_ERR_OPTION,
            "selector: part %d: %s of kind %d cannot be %s part of a chain", p,
            part.options.quota                    ? "a quota"
            : tkp__selector_shares(&part.options) ? "with groups one"
                                                  : "a selector",
            part.options.kind, p == 0 ? "a" : "a later");
        TKP__CHECK(
            !part.options.even || p < n - 1, TKP_ERR_OPTION,
            "selector: part %d has even windows and is the last; wanted "
            "another part behind it",
            p);
        out->parts[p] = parts[p];
        TKP__TRY(check_pool(&out->parts[p], p));
        out->part_selectors[p] = part.options;
        out->part_scorers[p] = part.scorer;
    }
    return TKP_OK;
}

/* Its own scorer; kind none stands for no scorer at all. */
static tkp_status
copy_scorer(tkp__selector_spec *out, const tkp_scorer_options *scorer)
{
    tkp_selector_options *o = &out->options;
    if (!scorer)
        return TKP_OK;
    TKP__TRY(tkp__scorer_spec_copy(&out->scorer, scorer));
    if (out->scorer.options.kind == TKP_SCORER_NONE) {
        o->scorer = NULL;
        return TKP_OK;
    }
    TKP__CHECK(
        o->kind != TKP_SELECTOR_CHAIN && tkp__selector_takes_scores(out),
        TKP_ERR_OPTION, "selector: has a scorer, but %s",
        o->kind == TKP_SELECTOR_CHAIN
            ? "is a chain: wanted it in a part"
            : "its kind asks for no scores: wanted none");
    return TKP_OK;
}

tkp_status
tkp__selector_spec_copy(tkp__selector_spec *out, const tkp_selector_options *in)
{
    tkp_selector_options *o = &out->options;
    memset(out, 0, sizeof(*out));
    TKP__TRY(tkp__util_copy_options(
        o, sizeof(*o), in, in->struct_size,
        TKP__SIZE_THROUGH(tkp_selector_options, custom), "selector"));
    TKP__CHECK(
        tkp__selector_kind_known(o->kind), TKP_ERR_OPTION,
        "selector: kind is %d, wanted one of enum tkp_selector_kind", o->kind);
    TKP__TRY(check_range(o->order, TKP_ORDER_LOWEST, "order"));
    TKP__TRY(check_range(o->pick, TKP_PICK_FIRST, "pick"));
    TKP__TRY(check_range(o->stratified, 1, "stratified"));
    TKP__TRY(check_range(o->even, 1, "even"));
    TKP__TRY(check_range(o->feature, TKP_FEATURE_VALUES, "feature"));
    TKP__TRY(
        check_range(o->pivot_feature, TKP_FEATURE_VALUES, "pivot_feature"));
    TKP__TRY(check_pivots(o));
    if (o->kind == TKP_SELECTOR_PIVOTS) {
        o->pivots_visual = o->pivots_visual ? o->pivots_visual : 4;
        o->pivots_text = o->pivots_text ? o->pivots_text : 4;
    }
    TKP__TRY(check_range(o->neighbours, INT32_MAX, "neighbours"));
    TKP__TRY(check_range(o->others, 1, "others"));
    TKP__CHECK(
        o->threshold >= -1e30f && o->threshold <= 1e30f, TKP_ERR_OPTION,
        "selector: threshold is %g, wanted a finite number",
        (double)o->threshold);
    fill_number(&o->threshold, o->kind == TKP_SELECTOR_THRESHOLD, 1.0f);
    TKP__TRY(check_range(o->step, INT32_MAX, "step"));
    if (o->kind == TKP_SELECTOR_PARITY && o->step == 0)
        o->step = 8;
    fill_number(&o->threshold, o->kind == TKP_SELECTOR_FOLD, 0.8f);
    TKP__TRY(check_range(o->together, 1, "together"));
    TKP__TRY(check_range(o->prefer, TKP_PREFER_LIKE, "prefer"));
    TKP__CHECK(
        o->kind != TKP_SELECTOR_NOMINATE || o->feature == TKP_FEATURE_CLIP ||
            o->feature == TKP_FEATURE_RAW ||
            o->feature == TKP_FEATURE_FINAL_NORM,
        TKP_ERR_OPTION,
        "selector: nominate: feature is %d, wanted clip, raw or final-norm",
        o->feature);
    TKP__TRY(check_range(o->rank, TKP_NMS_STRENGTH, "rank"));
    TKP__TRY(check_range(o->limit, TKP_NMS_LIMIT_SHARE, "limit"));
    TKP__TRY(check_range(o->class_token, 1, "class_token"));
    TKP__TRY(check_range(o->plain, 1, "plain"));
    TKP__TRY(check_range(o->uniform, 1, "uniform"));
    TKP__TRY(check_range(o->spare, 1, "spare"));
    TKP__TRY(check_range(o->components, INT32_MAX, "components"));
    TKP__TRY(check_anchors(o));
    TKP__TRY(check_clusters(o));
    TKP__TRY(check_window(o));
    TKP__TRY(check_greedy(o));
    if (o->kind == TKP_SELECTOR_CUSTOM) {
        TKP__CHECK(
            o->custom && o->custom[0] && strlen(o->custom) < TKP__NAME_BYTES,
            TKP_ERR_OPTION,
            "selector: custom needs a name of 1 to %d characters",
            TKP__NAME_BYTES - 1);
        strcpy(out->custom, o->custom);
    }
    if (o->kind == TKP_SELECTOR_CHAIN)
        TKP__TRY(copy_parts(out, o->parts));
    else
        o->n_parts = 0;
    if (o->kind == TKP_SELECTOR_QUOTA)
        TKP__TRY(copy_weigh(out));
    TKP__TRY(check_shares(out));
    TKP__TRY(copy_scorer(out, o->scorer));
    tkp__selector_spec_relink(out);
    return TKP_OK;
}

void tkp__selector_spec_relink(tkp__selector_spec *spec)
{
    tkp_selector_options *o = &spec->options;
    o->custom = o->kind == TKP_SELECTOR_CUSTOM ? spec->custom : NULL;
    o->parts = o->kind == TKP_SELECTOR_CHAIN ? spec->parts : NULL;
    o->weigh = o->kind == TKP_SELECTOR_QUOTA ? &spec->weigh.options : NULL;
    tkp__scorer_spec_relink(&spec->weigh);
    tkp__scorer_spec_relink(&spec->scorer);
    if (o->scorer)
        o->scorer = &spec->scorer.options;
    for (int32_t p = 0; p < o->n_parts; p++) {
        tkp_selector_options *part = &spec->part_selectors[p];
        spec->parts[p].selector = part;
        tkp__scorer_spec_relink(&spec->part_scorers[p]);
        if (part->scorer)
            part->scorer = &spec->part_scorers[p].options;
    }
}

void tkp__selector_spec_part(
    tkp__selector_spec *out,
    const tkp__selector_spec *chain,
    int32_t p)
{
    memset(out, 0, sizeof(*out));
    out->options = chain->part_selectors[p];
    out->scorer = chain->part_scorers[p];
    tkp__selector_spec_relink(out);
}

bool tkp__selector_is_adaptive(
    const tkp__selector_spec *spec,
    const tkp_budget *budget)
{
    const tkp__selector_kind *kind = tkp__selector_kind_of(spec->options.kind);
    return kind && kind->adaptive && budget->kind == TKP_BUDGET_ALL &&
           (spec->options.compat || (spec->options.kind != TKP_SELECTOR_QUOTA &&
                                     !is_greedy(spec->options.kind)));
}

bool tkp__selector_needs_scores(const tkp__selector_spec *spec)
{
    for (int32_t p = 0; p < spec->options.n_parts; p++) {
        tkp__selector_spec part;
        tkp__selector_spec_part(&part, spec, p);
        if (tkp__chain_has_pool(&spec->parts[p]) ||
            tkp__selector_needs_scores(&part))
            return true;
    }
    return !spec->options.scorer && tkp__selector_takes_scores(spec);
}

bool tkp__selector_takes_scores(const tkp__selector_spec *spec)
{
    switch (spec->options.kind) {
    case TKP_SELECTOR_TOPK:
    case TKP_SELECTOR_QUOTA:
    case TKP_SELECTOR_THRESHOLD:
    case TKP_SELECTOR_WINDOW_RANK:
    case TKP_SELECTOR_STATIC:
    case TKP_SELECTOR_CLUSTERS:
    case TKP_SELECTOR_MMR:
    case TKP_SELECTOR_DPP:
    case TKP_SELECTOR_TRI:
    case TKP_SELECTOR_OUTLIERS:
    case TKP_SELECTOR_PARITY:
    case TKP_SELECTOR_NOMINATE:
        return true;
    case TKP_SELECTOR_DIVERSE:
        return spec->options.weighted ||
               spec->options.start == TKP_GREEDY_START_WEIGHT;
    case TKP_SELECTOR_COVER:
        return spec->options.weight != TKP_COVER_NONE;
    case TKP_SELECTOR_WINDOW:
        return spec->options.pick == TKP_PICK_SCORE;
    case TKP_SELECTOR_NMS_GROUPS:
        return spec->options.rank == TKP_NMS_SCORES;
    case TKP_SELECTOR_CUSTOM: {
        tkp_selector_vtable vtable;
        void *user;
        if (tkp__names_get(
                &tkp__selector_names, spec->custom, &vtable, sizeof(vtable),
                &user) != TKP_OK)
            return false;
        tkp__names_put(&tkp__selector_names, spec->custom);
        return vtable.needs_scores != 0;
    }
    default:
        return false;
    }
}

/* Whether the kind compares features. */
static bool compares(int32_t kind)
{
    return is_greedy(kind) || kind == TKP_SELECTOR_PIVOTS ||
           kind == TKP_SELECTOR_PARITY || kind == TKP_SELECTOR_DENSITY ||
           kind == TKP_SELECTOR_NMS_GROUPS || kind == TKP_SELECTOR_BIPARTITE ||
           kind == TKP_SELECTOR_ANCHORS || kind == TKP_SELECTOR_STATIC ||
           kind == TKP_SELECTOR_FOLD || kind == TKP_SELECTOR_CLUSTERS ||
           kind == TKP_SELECTOR_NOMINATE;
}

uint32_t tkp__selector_spec_needs(const tkp__selector_spec *spec)
{
    const tkp_selector_options *o = &spec->options;
    uint32_t needs = compares(o->kind) ? tkp__features_needs(o->feature) : 0;
    for (int32_t p = 0; p < o->n_parts; p++) {
        tkp__selector_spec part;
        tkp__selector_spec_part(&part, spec, p);
        needs |= tkp__selector_spec_needs(&part);
    }
    if (o->scorer)
        needs |= tkp__scorer_spec_needs(&spec->scorer);
    if (o->kind == TKP_SELECTOR_COVER && o->text)
        needs |= TKP_NEED_TEXT | tkp__features_needs(TKP_FEATURE_RAW);
    if (o->kind == TKP_SELECTOR_NOMINATE)
        needs |=
            o->feature == TKP_FEATURE_CLIP ? TKP_NEED_CLIP_TEXT : TKP_NEED_TEXT;
    if (o->kind == TKP_SELECTOR_QUOTA)
        needs |= tkp__scorer_spec_needs(&spec->weigh);
    if (o->kind == TKP_SELECTOR_PIVOTS)
        needs |= tkp__features_needs(o->pivot_feature);
    return needs;
}
