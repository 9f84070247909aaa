/* Copies of a policy with one thing changed; all rules are checked anew. */
#include "policy/policy.h"

typedef struct change {
    int32_t stage;
    const tkp_budget *budget; /* or NULL */
    bool move;
    int32_t point, boundary;
    bool reseed;
    uint64_t seed;
} change;

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
