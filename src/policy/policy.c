/* The policy object: stages added, checked against each other, copied. */
#include "policy/policy.h"
#include "policy/schema.h"
#include "util/text.h"

TKP__ASSERT_NO_PADDING(tkp_stage_options, order);
TKP__ASSERT_NO_PADDING(tkp_policy_info, shallow_logits);

tkp_status tkp__policy_new(tkp_policy **out, const char *name)
{
    const size_t length = strlen(name);
    TKP__CHECK(
        length >= 1 && length < TKP__POLICY_NAME_BYTES, TKP_ERR_POLICY,
        "policy: name has %zu characters, wanted 1 to %d", length,
        TKP__POLICY_NAME_BYTES - 1);
    TKP__CHECK(
        tkp__text_is_line(name, length), TKP_ERR_POLICY,
        "policy: name '%s' is no line of UTF-8, wanted one without control "
        "characters",
        tkp__show(name).text);
    tkp_policy *policy = tkp__zalloc(1, sizeof(*policy));
    if (!policy)
        return TKP_ERR_MEMORY;
    atomic_init(&policy->references, 1);
    memcpy(policy->name, name, length + 1);
    *out = policy;
    return TKP_OK;
}

void tkp__policy_retain(tkp_policy *policy)
{
    atomic_fetch_add(&policy->references, 1);
}

void tkp__policy_release(tkp_policy *policy)
{
    if (!policy || atomic_fetch_sub(&policy->references, 1) != 1)
        return;
    for (int32_t i = 0; i < policy->n_stages; i++)
        tkp__free(policy->stages[i]);
    tkp__free(policy);
}

/* --- one stage ------------------------------------------------------------ */

bool tkp__stage_reads_layer(const tkp__stage *stage)
{
    const uint32_t of_layer = TKP_NEED_ATTENTION | TKP_NEED_KEYS |
                              TKP_NEED_VALUES | TKP_NEED_PLAIN_ATTENTION;
    return ((tkp__scorer_spec_needs(&stage->scorer) |
             tkp__selector_spec_needs(&stage->selector) |
             tkp__merger_spec_needs(&stage->merger)) &
            of_layer) != 0;
}

bool tkp__stage_needs_scores(const tkp__stage *stage)
{
    return tkp__selector_needs_scores(&stage->selector) ||
           tkp__merger_weighs(&stage->merger.options);
}

uint32_t tkp__stage_needs(const tkp__stage *stage)
{
    uint32_t needs = tkp__merger_spec_needs(&stage->merger) |
                     tkp__selector_spec_needs(&stage->selector);
    if (tkp__stage_needs_scores(stage))
        needs |= tkp__scorer_spec_needs(&stage->scorer);
    if (tkp__point_in_encoder(stage->point) && (needs & TKP_NEED_HIDDEN))
        needs = (needs & ~(uint32_t)TKP_NEED_HIDDEN) | TKP_NEED_VISION;
    return needs;
}

bool tkp__stage_is_adaptive(const tkp__stage *stage)
{
    return stage->budget.kind == TKP_BUDGET_RANK ||
           tkp__selector_is_adaptive(&stage->selector, &stage->budget);
}

/* Whether the question has a say in what the stage keeps. */
static bool leaf_asks_text(const tkp_scorer_options *o)
{
    if (o->kind == TKP_SCORER_ATTENTION)
        return o->query == TKP_QUERY_LAST || o->query == TKP_QUERY_TEXT ||
               o->query == TKP_QUERY_ALL || o->query == TKP_QUERY_RATERS;
    return o->kind == TKP_SCORER_VALUE_ATTENTION ||
           (o->kind == TKP_SCORER_COSINE && o->reference == TKP_REFERENCE_LAST);
}

static bool scorer_asks_text(const tkp__scorer_spec *scorer)
{
    for (int32_t t = 0; t < scorer->options.n_terms; t++)
        if (leaf_asks_text(&scorer->term_scorers[t]))
            return true;
    return leaf_asks_text(&scorer->options);
}

static bool selector_asks_text(const tkp__selector_spec *selector)
{
    for (int32_t p = 0; p < selector->options.n_parts; p++) {
        tkp__selector_spec part;
        tkp__selector_spec_part(&part, selector, p);
        if (selector_asks_text(&part))
            return true;
    }
    if (selector->options.kind == TKP_SELECTOR_PIVOTS &&
        selector->options.pivots_text > 0)
        return true;
    if (selector->options.kind == TKP_SELECTOR_QUOTA &&
        scorer_asks_text(&selector->weigh))
        return true;
    return selector->options.scorer && scorer_asks_text(&selector->scorer);
}

static bool asks_text(const tkp__stage *stage)
{
    if (tkp__stage_needs(stage) &
        (TKP_NEED_TEXT | TKP_NEED_CLIP_TEXT | TKP_NEED_CLIP_TOKENS))
        return true;
    if (selector_asks_text(&stage->selector))
        return true;
    return tkp__stage_needs_scores(stage) && scorer_asks_text(&stage->scorer);
}

/* --- rows of the CLS token ------------------------------------------------- */

typedef struct cls_row {
    bool asked;
    int32_t layer, logits;
} cls_row;

/* False: the row is asked for in another way already. */
static bool join_cls(cls_row rows[2], const tkp_scorer_options *o)
{
    if (!tkp__scorer_reads_cls(o))
        return true;
    cls_row *row = &rows[o->shallow];
    const int32_t logits = (o->flags & TKP_ATTENTION_LOGITS ? 1 : 0) +
                           (o->flags & TKP_ATTENTION_UNIT ? 2 : 0);
    if (row->asked)
        return row->layer == o->encoder_layer && row->logits == logits;
    *row = (cls_row){true, o->encoder_layer, logits};
    return true;
}

static bool join_scorer_cls(cls_row rows[2], const tkp__scorer_spec *scorer)
{
    bool fits = join_cls(rows, &scorer->options);
    for (int32_t t = 0; t < scorer->options.n_terms; t++)
        fits = join_cls(rows, &scorer->term_scorers[t]) && fits;
    return fits;
}

static bool
join_selector_cls(cls_row rows[2], const tkp__selector_spec *selector)
{
    bool fits = true;
    for (int32_t p = 0; p < selector->options.n_parts; p++) {
        tkp__selector_spec part;
        tkp__selector_spec_part(&part, selector, p);
        fits = join_selector_cls(rows, &part) && fits;
    }
    if (selector->options.kind == TKP_SELECTOR_QUOTA)
        fits = join_scorer_cls(rows, &selector->weigh) && fits;
    if (selector->options.scorer)
        fits = join_scorer_cls(rows, &selector->scorer) && fits;
    return fits;
}

static bool join_stage_cls(cls_row rows[2], const tkp__stage *stage)
{
    bool fits = join_selector_cls(rows, &stage->selector);
    if (tkp__stage_needs_scores(stage))
        fits = join_scorer_cls(rows, &stage->scorer) && fits;
    return fits;
}

/* An engine runs the encoder once: one row of each name for all stages. */
static tkp_status
check_cls(const tkp_policy *policy, const tkp__stage *s, int32_t number)
{
    cls_row rows[2] = {{0}};
    for (int32_t i = 0; i < policy->n_stages; i++)
        join_stage_cls(rows, policy->stages[i]);
    TKP__CHECK(
        join_stage_cls(rows, s), TKP_ERR_POLICY,
        "stage %d: asks for two CLS rows of the encoder under one name "
        "(encoder_layer, logits, unit), wanted one; another may be asked for as "
        "shallow",
        number);
    return TKP_OK;
}

void tkp__policy_describe(const tkp_policy *policy, tkp_policy_info *info)
{
    cls_row rows[2] = {{0}};
    *info = (tkp_policy_info)TKP_POLICY_INFO_INIT;
    info->last_boundary = -1;
    for (int32_t i = 0; i < policy->n_stages; i++) {
        const tkp__stage *stage = policy->stages[i];
        info->needs |= tkp__stage_needs(stage);
        join_stage_cls(rows, stage);
        if (asks_text(stage))
            info->flags |= TKP_POLICY_TEXT_DEPENDENT;
        if (stage->merger.options.kind != TKP_MERGER_NONE)
            info->flags |= TKP_POLICY_MERGES;
        if (stage->merger.options.proportional)
            info->flags |= TKP_POLICY_KEY_BIAS;
        if (tkp__stage_is_adaptive(stage))
            info->flags |= TKP_POLICY_ADAPTIVE;
        if (tkp__point_in_encoder(stage->point))
            info->flags |= TKP_POLICY_IN_VISION;
        if (stage->point == TKP_POINT_KV)
            info->flags |= TKP_POLICY_EVICTS;
        if (stage->point == TKP_POINT_LLM) {
            info->flags |= TKP_POLICY_IN_LLM;
            info->last_boundary = stage->boundary;
        }
    }
    info->cls_layer = rows[0].layer;
    info->cls_logits = rows[0].logits;
    info->shallow_layer = rows[1].layer;
    info->shallow_logits = rows[1].logits;
}

static tkp_status check_effect(const tkp__stage *s, int32_t number)
{
    const bool protects = s->effect == TKP_EFFECT_PROTECT;
    TKP__CHECK(
        s->effect == TKP_EFFECT_CUT || protects, TKP_ERR_POLICY,
        "stage %d: effect is %d, wanted 0 or 1", number, s->effect);
    TKP__CHECK(
        !protects ||
            (s->merger.options.kind == TKP_MERGER_NONE &&
             (s->point == TKP_POINT_PROJECTOR || s->point == TKP_POINT_LLM)),
        TKP_ERR_POLICY,
        "stage %d: protects tokens, wanted point projector or llm, and no "
        "merger",
        number);
    TKP__CHECK(
        s->order == TKP_STAGE_ORDER_ROWS ||
            (s->order == TKP_STAGE_ORDER_PARTS && !protects &&
             s->point != TKP_POINT_KV && !tkp__point_in_encoder(s->point) &&
             s->selector.options.kind == TKP_SELECTOR_CHAIN),
        TKP_ERR_POLICY,
        "stage %d: order is %d, wanted 0, or 1 with a chain that cuts at the "
        "projector or inside the decoder",
        number, s->order);
    TKP__CHECK(
        !s->kv_end || (s->kv_begin >= 0 && s->kv_begin < s->kv_end),
        TKP_ERR_POLICY, "stage %d: layers are [%d, %d), wanted one at least",
        number, s->kv_begin, s->kv_end);
    TKP__CHECK(
        (!s->kv_begin && !s->kv_end) || (s->point == TKP_POINT_KV && s->kv_end),
        TKP_ERR_POLICY,
        "stage %d: layers are [%d, %d), wanted a first one and an end, after "
        "prefill",
        number, s->kv_begin, s->kv_end);
    return TKP_OK;
}

static tkp_status check_point(tkp__stage *s, int32_t number)
{
    TKP__CHECK(
        s->point >= TKP_POINT_PROJECTOR && s->point <= TKP_POINT_VISION_MLP,
        TKP_ERR_POLICY, "stage %d: point is %d, wanted 1 to 5", number,
        s->point);
    TKP__CHECK(
        s->boundary >= 0 && s->boundary <= 65536, TKP_ERR_POLICY,
        "stage %d: boundary is %d, wanted 0 to the number of layers", number,
        s->boundary);
    TKP__CHECK(
        s->point != TKP_POINT_PROJECTOR || s->boundary == 0, TKP_ERR_POLICY,
        "stage %d: boundary is %d, but the projector has none: wanted 0",
        number, s->boundary);
    TKP__CHECK(
        s->point != TKP_POINT_KV || s->boundary == 0, TKP_ERR_POLICY,
        "stage %d: boundary is %d, but after prefill there is none: wanted 0",
        number, s->boundary);
    TKP__CHECK(
        s->score_layer >= TKP_SCORE_LAYER_NEXT, TKP_ERR_POLICY,
        "stage %d: score_layer is %d, wanted -2, -1 or a layer", number,
        s->score_layer);
    TKP__CHECK(
        s->positions == TKP_POSITIONS_KEEP ||
            s->positions == TKP_POSITIONS_REPACK,
        TKP_ERR_POLICY, "stage %d: positions is %d, wanted 0 or 1", number,
        s->positions);
    TKP__TRY(check_effect(s, number));
    if (!tkp__stage_reads_layer(s)) {
        s->score_layer = -1;
        return TKP_OK;
    }
    if (s->score_layer == TKP_SCORE_LAYER_NEXT && s->point == TKP_POINT_LLM)
        s->score_layer = s->boundary;
    TKP__CHECK(
        s->point == TKP_POINT_LLM &&
            (s->boundary >= 1 || s->score_layer == s->boundary),
        TKP_ERR_POLICY,
        "stage %d: attention scores and keys need a decoder layer that has run; wanted "
        "point llm with boundary 1 or more, or score_layer next",
        number);
    if (s->score_layer < 0)
        s->score_layer = s->boundary - 1;
    TKP__CHECK(
        s->score_layer <= s->boundary, TKP_ERR_POLICY,
        "stage %d: score_layer is %d, wanted at most boundary %d", number,
        s->score_layer, s->boundary);
    return TKP_OK;
}

/* What there is inside the encoder. */
static tkp_status check_encoder(const tkp__stage *s, int32_t number)
{
    const uint32_t there =
        TKP_NEED_VISION | TKP_NEED_VISION_KEYS | TKP_NEED_SCORES;
    TKP__CHECK(
        !tkp__point_in_encoder(s->point) || !(tkp__stage_needs(s) & ~there),
        TKP_ERR_POLICY,
        "stage %d: acts inside the encoder, where there are its rows, its keys "
        "and scores of the caller; wanted parts that look at nothing else",
        number);
    return TKP_OK;
}

static tkp_status check_parts(const tkp__stage *s, int32_t number)
{
    const int32_t scorer = s->scorer.options.kind;
    const tkp_selector_options *selector = &s->selector.options;
    const int32_t merger = s->merger.options.kind;
    TKP__CHECK(
        !tkp__stage_needs_scores(s) || scorer != TKP_SCORER_NONE,
        TKP_ERR_POLICY, "stage %d: the %s needs a scorer, wanted one", number,
        tkp__selector_needs_scores(&s->selector) ? "selector" : "merger");
    TKP__CHECK(
        (merger != TKP_MERGER_WINDOW_AVERAGE &&
         merger != TKP_MERGER_WINDOW_MAX) ||
            selector->kind == TKP_SELECTOR_WINDOW,
        TKP_ERR_POLICY, "stage %d: a window merger needs a window selector",
        number);
    TKP__CHECK(
        merger != TKP_MERGER_BIPARTITE ||
            selector->kind == TKP_SELECTOR_BIPARTITE,
        TKP_ERR_POLICY, "stage %d: merger bipartite needs that selector",
        number);
    TKP__CHECK(
        merger != TKP_MERGER_FOLD || selector->kind == TKP_SELECTOR_FOLD,
        TKP_ERR_POLICY, "stage %d: merger fold needs that selector", number);
    TKP__CHECK(
        !s->merger.options.proportional ||
            (merger != TKP_MERGER_NONE && s->point != TKP_POINT_KV),
        TKP_ERR_POLICY,
        "stage %d: a proportional merger needs layers behind it; wanted a point "
        "before the end of prefill",
        number);
    TKP__CHECK(
        selector->kind == TKP_SELECTOR_ALL ||
            s->budget.kind != TKP_BUDGET_ALL || selector->quota > 0 ||
            tkp__stage_is_adaptive(s),
        TKP_ERR_POLICY, "stage %d: has no budget, wanted count, ratio or quota",
        number);
    TKP__CHECK(
        selector->kind != TKP_SELECTOR_ALL || s->budget.kind == TKP_BUDGET_ALL,
        TKP_ERR_POLICY,
        "stage %d: has a budget, but selector 'all' keeps every token; wanted "
        "another selector",
        number);
    TKP__CHECK(
        s->budget.kind != TKP_BUDGET_RANK ||
            (scorer == TKP_SCORER_ATTENTION &&
             !(s->scorer.options.flags & TKP_ATTENTION_LOGITS) &&
             s->scorer.options.query != TKP_QUERY_LAST_VISUAL_PER_IMAGE &&
             tkp__stage_needs_scores(s) && s->effect == TKP_EFFECT_CUT),
        TKP_ERR_POLICY,
        "stage %d: a budget by rank is of rows of attention; wanted a cut with "
        "a scorer attention of the whole sequence, no logits, and a selector "
        "that asks for scores",
        number);
    TKP__CHECK(
        !selector->quota || s->budget.kind == TKP_BUDGET_ALL, TKP_ERR_POLICY,
        "stage %d: has both a quota of %d and a budget, wanted one of them",
        number, selector->quota);
    return TKP_OK;
}

/* Names go into messages and YAML, so they are one line of text. */
static tkp_status check_name(const char *name, int32_t number)
{
    TKP__CHECK(
        !name || tkp__text_is_line(name, strlen(name)), TKP_ERR_POLICY,
        "stage %d: custom name '%s' is no line of UTF-8, wanted one without "
        "control characters",
        number, tkp__show(name).text);
    return TKP_OK;
}

static tkp_status
check_scorer_names(const tkp__scorer_spec *scorer, int32_t number)
{
    for (int32_t t = 0; t < scorer->options.n_terms; t++)
        TKP__TRY(check_name(scorer->term_scorers[t].custom, number));
    return check_name(scorer->options.custom, number);
}

static tkp_status check_names(const tkp__stage *s, int32_t number)
{
    const tkp__selector_spec *selector = &s->selector;
    TKP__TRY(check_scorer_names(&s->scorer, number));
    TKP__TRY(check_scorer_names(&selector->scorer, number));
    TKP__TRY(check_scorer_names(&selector->weigh, number));
    for (int32_t p = 0; p < selector->options.n_parts; p++)
        TKP__TRY(check_scorer_names(&selector->part_scorers[p], number));
    TKP__TRY(check_name(selector->options.custom, number));
    return check_name(s->merger.options.custom, number);
}

/* Where a stage comes in the forward. */
static int64_t place(const tkp__stage *s)
{
    switch (s->point) {
    case TKP_POINT_VISION:
        return 2 * s->boundary;
    case TKP_POINT_VISION_MLP:
        return 2 * s->boundary + 1;
    case TKP_POINT_PROJECTOR:
        return 1 << 20;
    case TKP_POINT_LLM:
        return (1 << 20) + 1 + s->boundary;
    default:
        return 1 << 22;
    }
}

int32_t tkp__stage_first_layer(const tkp__stage *stage, int32_t layers)
{
    switch (stage->point) {
    case TKP_POINT_LLM:
        return stage->boundary;
    case TKP_POINT_KV:
        return layers;
    default:
        return 0;
    }
}

/* Counts are known before anything runs: rules that keep it so. */
static tkp_status
check_order(const tkp_policy *policy, const tkp__stage *s, int32_t number)
{
    for (int32_t i = 0; i < policy->n_stages; i++) {
        const tkp__stage *before = policy->stages[i];
        TKP__CHECK(
            place(before) < place(s) ||
                (place(before) == place(s) &&
                 (before->effect == TKP_EFFECT_PROTECT ||
                  s->point == TKP_POINT_PROJECTOR ||
                  s->point == TKP_POINT_LLM)),
            TKP_ERR_POLICY,
            "stage %d: does not come after stage %d in the forward", number, i);
        TKP__CHECK(
            s->score_layer < 0 || before->point != TKP_POINT_LLM ||
                s->score_layer >= before->boundary,
            TKP_ERR_POLICY,
            "stage %d: score_layer %d runs before the cut of stage %d at "
            "boundary %d",
            number, s->score_layer, i, before->boundary);
        TKP__CHECK(
            !tkp__stage_is_adaptive(before) ||
                s->budget.label == TKP_LABEL_RETAIN,
            TKP_ERR_POLICY,
            "stage %d: an equivalent budget after stage %d, whose count the "
            "data decide; wanted the label retain",
            number, i);
        TKP__CHECK(
            s->budget.at_least == TKP_LEAST_NONE ||
                before->selector.options.kind == TKP_SELECTOR_ALL,
            TKP_ERR_POLICY,
            "stage %d: at_least after the cut of stage %d: counts would "
            "not be known beforehand",
            number, i);
        TKP__CHECK(
            tkp__scope_within(before->budget.scope, s->budget.scope) ||
                before->selector.options.kind == TKP_SELECTOR_ALL,
            TKP_ERR_POLICY,
            "stage %d: scope %s after stage %d with scope %s: counts would not "
            "be known beforehand",
            number, tkp__word_of(tkp__scope_words, s->budget.scope), i,
            tkp__word_of(tkp__scope_words, before->budget.scope));
    }
    TKP__CHECK(
        !policy->n_stages || !s->selector.options.quota, TKP_ERR_POLICY,
        "stage %d: a quota stands only in the first stage; later ones need a "
        "budget",
        number);
    return TKP_OK;
}

static tkp_status
fill_stage(tkp__stage *s, const tkp_stage_options *in, int32_t number)
{
    static const tkp_scorer_options no_scorer = TKP_SCORER_OPTIONS_INIT;
    static const tkp_selector_options all = TKP_SELECTOR_OPTIONS_INIT;
    static const tkp_merger_options no_merger = TKP_MERGER_OPTIONS_INIT;
    static const tkp_budget everything = TKP_BUDGET_INIT;
    tkp_stage_options o;
    TKP__TRY(tkp__util_copy_options(
        &o, sizeof(o), in, in->struct_size,
        TKP__SIZE_THROUGH(tkp_stage_options, budget), "stage"));
    s->point = o.point;
    s->boundary = o.boundary;
    s->score_layer = o.score_layer;
    s->positions = o.positions;
    s->effect = o.effect;
    s->kv_begin = o.kv_begin;
    s->kv_end = o.kv_end;
    s->order = o.order;
    TKP__TRY(
        tkp__scorer_spec_copy(&s->scorer, o.scorer ? o.scorer : &no_scorer));
    TKP__TRY(
        tkp__selector_spec_copy(&s->selector, o.selector ? o.selector : &all));
    TKP__TRY(
        tkp__merger_spec_copy(&s->merger, o.merger ? o.merger : &no_merger));
    TKP__TRY(tkp__budget_copy(
        &s->budget, o.budget ? o.budget : &everything, "budget"));
    s->scorer.ranks = s->budget.kind == TKP_BUDGET_RANK;
    TKP__TRY(check_names(s, number));
    TKP__TRY(check_point(s, number));
    TKP__TRY(check_encoder(s, number));
    return check_parts(s, number);
}

tkp_status
tkp__policy_add_stage(tkp_policy *policy, const tkp_stage_options *options)
{
    const int32_t number = policy->n_stages;
    TKP__CHECK(
        number < TKP_POLICY_MAX_STAGES, TKP_ERR_POLICY,
        "policy: has %d stages, wanted at most %d", number + 1,
        TKP_POLICY_MAX_STAGES);
    tkp__stage *stage = tkp__zalloc(1, sizeof(*stage));
    if (!stage)
        return TKP_ERR_MEMORY;
    tkp_status status = fill_stage(stage, options, number);
    if (status == TKP_OK)
        status = check_order(policy, stage, number);
    if (status == TKP_OK)
        status = check_cls(policy, stage, number);
    if (status != TKP_OK) {
        tkp__free(stage);
        return status;
    }
    policy->stages[policy->n_stages++] = stage;
    return TKP_OK;
}

void tkp__stage_view(const tkp__stage *stage, tkp_stage_options *options)
{
    *options = (tkp_stage_options){
        .struct_size = sizeof(*options),
        .point = stage->point,
        .boundary = stage->boundary,
        .score_layer = stage->score_layer,
        .positions = stage->positions,
        .scorer = &stage->scorer.options,
        .selector = &stage->selector.options,
        .merger = &stage->merger.options,
        .budget = &stage->budget,
        .effect = stage->effect,
        .kv_begin = stage->kv_begin,
        .kv_end = stage->kv_end,
        .order = stage->order,
    };
}
