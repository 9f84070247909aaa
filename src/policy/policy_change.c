/* Copies of a policy with one thing changed; all rules are checked anew. */
#include "policy/policy.h"

typedef struct change {
    int32_t stage;
    const tkp_budget *budget; /* or NULL */
    bool move;
    int32_t point, boundary;
    bool reseed;
    uint64_t seed;
    const tkp_depth *depth; /* or NULL */
} change;

static int32_t scale(int32_t b, int32_t from, int32_t to)
{
    const int32_t scaled = (int32_t)((int64_t)b * to / from);
    return b > 0 && scaled == 0 ? 1 : scaled;
}

/* Where a stage stands at the other depth. */
static int32_t scaled_boundary(const tkp__stage *s, const tkp_depth *d)
{
    if (s->point == TKP_POINT_LLM)
        return scale(s->boundary, d->from_layers, d->layers);
    if (!tkp__point_in_encoder(s->point) || !d->from_blocks)
        return s->boundary;
    if (s->point == TKP_POINT_VISION)
        return scale(s->boundary, d->from_blocks, d->blocks);
    return (int32_t)((int64_t)s->boundary * d->blocks / d->from_blocks);
}

static void
deepen(tkp_stage_options *o, const tkp__stage *s, const tkp_depth *d)
{
    o->boundary = scaled_boundary(s, d);
    if (s->score_layer >= 0) {
        const int32_t layer = s->score_layer + o->boundary - s->boundary;
        o->score_layer = layer > 0 ? layer : 0;
    }
    if (!s->kv_end)
        return;
    o->kv_begin = scale(s->kv_begin, d->from_layers, d->layers);
    o->kv_end = scale(s->kv_end, d->from_layers, d->layers);
    if (o->kv_begin >= o->kv_end)
        o->kv_begin = o->kv_end - 1;
}

/* A later stage comes to stand where stage i does, and takes its place. */
static bool gives_way(const tkp_policy *policy, int32_t i, const tkp_depth *d)
{
    const tkp__stage *s = policy->stages[i];
    for (int32_t j = i + 1; d && j < policy->n_stages; j++) {
        const tkp__stage *later = policy->stages[j];
        if (later->point == s->point && s->effect == TKP_EFFECT_CUT &&
            scaled_boundary(later, d) == scaled_boundary(s, d))
            return true;
    }
    return false;
}

static tkp_status
copy_stage(tkp_policy *out, const tkp__stage *stage, int32_t i, const change *c)
{
    tkp_stage_options o;
    tkp_selector_options selector;
    tkp__stage_view(stage, &o);
    tkp_chain_part parts[TKP_CHAIN_MAX_PARTS];
    tkp_selector_options part_selectors[TKP_CHAIN_MAX_PARTS];
    selector = *o.selector;
    o.selector = &selector;
    for (int32_t p = 0; p < selector.n_parts; p++) {
        part_selectors[p] = *selector.parts[p].selector;
        if (c->reseed && part_selectors[p].kind == TKP_SELECTOR_RANDOM)
            part_selectors[p].seed = c->seed;
        parts[p] = selector.parts[p];
        parts[p].selector = &part_selectors[p];
    }
    if (selector.n_parts)
        selector.parts = parts;
    if (c->budget && i == c->stage) {
        o.budget = c->budget;
        selector.quota = 0; /* the budget takes the place of a quota */
    }
    if (c->move && i == c->stage) {
        o.point = c->point;
        o.boundary = c->boundary;
        o.score_layer = stage->score_layer == stage->boundary
                            ? TKP_SCORE_LAYER_NEXT
                            : TKP_SCORE_LAYER_DEFAULT;
    }
    if (c->depth)
        deepen(&o, stage, c->depth);
    if (c->reseed && selector.kind == TKP_SELECTOR_RANDOM)
        selector.seed = c->seed;
    return tkp__policy_add_stage(out, &o);
}

static tkp_status
copy_changed(tkp_policy **out, const tkp_policy *policy, const change *c)
{
    tkp_policy *copy;
    TKP__TRY(tkp__policy_new(&copy, policy->name));
    memcpy(copy->summary, policy->summary, sizeof(copy->summary));
    memcpy(copy->source, policy->source, sizeof(copy->source));
    for (int32_t i = 0; i < policy->n_stages; i++) {
        if (gives_way(policy, i, c->depth))
            continue;
        const tkp_status status = copy_stage(copy, policy->stages[i], i, c);
        if (status != TKP_OK) {
            tkp__policy_release(copy);
            return status;
        }
    }
    *out = copy;
    return TKP_OK;
}

static bool has_budget(const tkp__stage *s)
{
    return s->selector.options.kind != TKP_SELECTOR_ALL;
}

/* Stage -1 means "the one": an error unless just one stage prunes. */
static tkp_status
find_stage(const tkp_policy *policy, int32_t stage, int32_t *out)
{
    if (stage >= 0) {
        TKP__CHECK(
            stage < policy->n_stages, TKP_ERR_POLICY,
            "policy '%s': stage is %d, wanted 0 to %d", policy->name, stage,
            policy->n_stages - 1);
        *out = stage;
        return TKP_OK;
    }
    int32_t found = 0;
    for (int32_t i = 0; i < policy->n_stages; i++)
        if (has_budget(policy->stages[i])) {
            *out = i;
            found++;
        }
    TKP__CHECK(
        found == 1, TKP_ERR_POLICY,
        "policy '%s': has %d stages that prune; say which one", policy->name,
        found);
    return TKP_OK;
}

tkp_status tkp__policy_with_budget(
    tkp_policy **out,
    const tkp_policy *policy,
    int32_t stage,
    const tkp_budget *budget)
{
    change c = {.budget = budget};
    TKP__TRY(find_stage(policy, stage, &c.stage));
    return copy_changed(out, policy, &c);
}

tkp_status tkp__policy_with_point(
    tkp_policy **out,
    const tkp_policy *policy,
    int32_t stage,
    int32_t point,
    int32_t boundary)
{
    change c = {.move = true, .point = point, .boundary = boundary};
    TKP__TRY(find_stage(policy, stage, &c.stage));
    return copy_changed(out, policy, &c);
}

tkp_status
tkp__policy_with_seed(tkp_policy **out, const tkp_policy *policy, uint64_t seed)
{
    const change c = {.stage = -1, .reseed = true, .seed = seed};
    return copy_changed(out, policy, &c);
}

static tkp_status check_depth(const tkp_policy *policy, const tkp_depth *d)
{
    TKP__CHECK(
        d->from_layers >= 1 && d->from_layers <= 65536 && d->layers >= 1 &&
            d->layers <= 65536,
        TKP_ERR_OPTION, "depth: %d layers from %d, wanted 1 to 65536 of each",
        d->layers, d->from_layers);
    TKP__CHECK(
        (d->from_blocks == 0 && d->blocks == 0) ||
            (d->from_blocks >= 1 && d->from_blocks <= 65536 && d->blocks >= 1 &&
             d->blocks <= 65536),
        TKP_ERR_OPTION,
        "depth: %d blocks from %d, wanted 1 to 65536 of each, or 0", d->blocks,
        d->from_blocks);
    for (int32_t i = 0; i < policy->n_stages; i++) {
        const tkp__stage *s = policy->stages[i];
        const bool encoder = tkp__point_in_encoder(s->point);
        const int32_t most = encoder ? d->from_blocks : d->from_layers;
        const int32_t last = s->boundary + (s->point == TKP_POINT_VISION_MLP);
        TKP__CHECK(
            (encoder && most == 0) || (last <= most && s->kv_end <= most),
            TKP_ERR_OPTION,
            "policy '%s': stage %d: boundary is %d, beyond the %d %s it is "
            "said to be for",
            policy->name, i, s->kv_end ? s->kv_end : s->boundary, most,
            encoder ? "blocks" : "layers");
    }
    return TKP_OK;
}

tkp_status tkp__policy_with_depth(
    tkp_policy **out,
    const tkp_policy *policy,
    const tkp_depth *depth)
{
    const change c = {.stage = -1, .depth = depth};
    TKP__TRY(check_depth(policy, depth));
    return copy_changed(out, policy, &c);
}
