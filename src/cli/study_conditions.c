/* The conditions of a study: controls always, then every policy, at each point
 * with each budget. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/study.h"

static tkp_status no_memory(void)
{
    return tkp__fail(TKP_ERR_MEMORY, "no memory for the conditions");
}

static void release(tkp__study_condition *c)
{
    tkp_policy_destroy(c->policy);
    tkp__free(c->name);
    free(c->yaml);
}

void tkp__study_release_conditions(tkp__study *study)
{
    for (int32_t i = 0; i < study->n_conditions; i++)
        release(&study->conditions[i]);
    tkp__free(study->conditions);
}

/* Takes the policy, also if it fails. */
static tkp_status
add(tkp__study *study,
    const char *name,
    const char *control,
    const tkp__study_budget *budget,
    const tkp__study_point *point,
    tkp_policy *policy,
    uint64_t seed)
{
    const size_t n = (size_t)study->n_conditions;
    const char *slash = strrchr(name, '/'); /* of a file, wherever it lies */
    tkp__study_condition c = {
        .name = tkp__strdup(slash ? slash + 1 : name),
        .control = control,
        .policy = policy,
        .yaml = policy ? tkp__cli_policy_yaml(policy) : strdup(""),
        .seed = seed,
    };
    snprintf(c.budget, sizeof(c.budget), "%s", budget ? budget->text : "");
    snprintf(c.point, sizeof(c.point), "%s", point ? point->text : "");
    tkp__study_condition *moved =
        tkp__realloc(study->conditions, n * sizeof(c), (n + 1) * sizeof(c));
    if (moved)
        study->conditions = moved;
    if (!moved || !c.name || !c.yaml) {
        release(&c);
        return no_memory();
    }
    moved[n] = c;
    study->n_conditions++;
    return TKP_OK;
}

/* --- policies ------------------------------------------------------------------ */

static tkp_status fit(tkp__study *study, tkp_policy **policy)
{
    enum { BLOCKS_OF_CLIP = 23 }; /* that LLaVA runs */
    const tkp_depth depth = {
        .from_layers = (int32_t)study->options.fit,
        .layers = study->info.layers,
        .from_blocks = BLOCKS_OF_CLIP,
        .blocks = study->info.vision_layers,
    };
    tkp_policy *next;
    TKP__TRY(tkp_policy_with_depth(&next, *policy, &depth));
    tkp_policy_destroy(*policy);
    *policy = next;
    return TKP_OK;
}

/* NULL for budget or point: the policy's own. */
static tkp_status make_policy(
    tkp__study *study,
    tkp_policy **out,
    const char *name,
    const tkp__study_budget *budget,
    const tkp__study_point *point,
    uint64_t seed)
{
    tkp__cli_policy_choice choice = TKP__CLI_POLICY_CHOICE_INIT;
    choice.name = name;
    choice.has_seed = true;
    choice.seed = seed;
    if (budget) {
        choice.has_budget = true;
        choice.budget = budget->budget;
    }
    if (point && point->point) {
        choice.point = point->point;
        choice.boundary = point->boundary;
    }
    TKP__TRY(tkp__cli_policy_make(out, &choice));
    if (!study->options.fit || choice.point)
        return TKP_OK;
    const tkp_status status = fit(study, out);
    if (status != TKP_OK)
        tkp_policy_destroy(*out);
    return status;
}

/* Whether the seed changes anything. */
static bool is_random(const tkp_policy *policy)
{
    tkp_policy *other[2] = {NULL, NULL};
    char *text[2] = {NULL, NULL};
    bool differ = false;
    for (uint64_t i = 0; i < 2; i++)
        if (tkp_policy_with_seed(&other[i], policy, 7 + i) == TKP_OK)
            text[i] = tkp__cli_policy_yaml(other[i]);
    if (text[0] && text[1])
        differ = strcmp(text[0], text[1]) != 0;
    for (int i = 0; i < 2; i++) {
        tkp_policy_destroy(other[i]);
        free(text[i]);
    }
    return differ;
}

/* A policy that cannot be made for this point says so, and is left out. */
static tkp_status add_policy(
    tkp__study *study,
    const char *name,
    const char *control,
    const tkp__study_budget *budget,
    const tkp__study_point *point)
{
    int64_t seeds = 1;
    for (int64_t i = 0; i < seeds; i++) {
        tkp_policy *policy;
        const uint64_t seed = study->options.seed + (uint64_t)i;
        const tkp_status status =
            make_policy(study, &policy, name, budget, point, seed);
        if (status == TKP_ERR_MEMORY)
            return status;
        if (status != TKP_OK) {
            tkp__study_note(
                study, "left out: %s %s %s: %s", name,
                budget ? budget->text : "", point ? point->text : "",
                tkp_last_message());
            study->refused++;
            return TKP_OK;
        }
        const bool random = is_random(policy);
        if (random)
            seeds = study->options.seeds;
        TKP__TRY(add(
            study, name, control, budget, point, policy, random ? seed : 0));
    }
    return TKP_OK;
}

/* Its only stage can be moved, and be given another budget. */
static tkp_status is_movable(const char *name, bool *out)
{
    tkp_policy *policy, *changed = NULL;
    tkp_budget budget = TKP_BUDGET_INIT;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = 1;
    TKP__TRY(tkp__cli_policy_load(&policy, name));
    *out = tkp_policy_with_budget(&changed, policy, -1, &budget) == TKP_OK;
    tkp_policy_destroy(changed);
    tkp_policy_destroy(policy);
    return TKP_OK;
}

static bool is_control(const char *name)
{
    static const char *const names[] = {
        "none", "random", "uniform", "drop-all"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

static tkp_status add_policies(tkp__study *study)
{
    const tkp__study_options *o = &study->options;
    for (int32_t i = 0; i < o->n_policies; i++) {
        bool movable;
        if (is_control(o->policies[i]))
            continue;
        TKP__TRY(is_movable(o->policies[i], &movable));
        if (!movable) {
            tkp__study_note(
                study, "%s: several stages, or none with a budget: as it is",
                o->policies[i]);
            TKP__TRY(add_policy(study, o->policies[i], "", NULL, NULL));
            continue;
        }
        for (int32_t p = 0; p < o->n_points; p++)
            for (int32_t b = 0; b < o->n_budgets; b++)
                TKP__TRY(add_policy(
                    study, o->policies[i], "", &o->budgets[b], &o->points[p]));
    }
    return TKP_OK;
}

tkp_status tkp__study_make_conditions(tkp__study *study)
{
    const tkp__study_options *o = &study->options;
    TKP__TRY(add(study, "vanilla", "vanilla", NULL, NULL, NULL, 0));
    TKP__TRY(add(study, "text-only", "text-only", NULL, NULL, NULL, 0));
    study->conditions[1].text_only = true;
    for (int32_t p = 0; p < o->n_points; p++) {
        const tkp__study_point *point = &o->points[p];
        TKP__TRY(add_policy(study, "drop-all", "drop-all", NULL, point));
        for (int32_t b = 0; b < o->n_budgets; b++) {
            TKP__TRY(
                add_policy(study, "random", "random", &o->budgets[b], point));
            TKP__TRY(
                add_policy(study, "uniform", "uniform", &o->budgets[b], point));
        }
    }
    return add_policies(study);
}
