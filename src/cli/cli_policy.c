/* Policies as the command line gives them. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "util/text.h"

/* --- options ---------------------------------------------------------------- */

static void set_budget(tkp__cli_policy_choice *choice, int32_t kind)
{
    choice->budget = (tkp_budget)TKP_BUDGET_INIT;
    choice->budget.kind = kind;
    choice->has_budget = true;
}

bool tkp__cli_keep(
    const tkp__cli_command *command,
    tkp__cli_policy_choice *choice)
{
    if (choice->has_budget) {
        tkp__cli_usage(command, "--keep and --keep-ratio: one of them");
        return false;
    }
    if (strcmp(optarg, "all") == 0) {
        set_budget(choice, TKP_BUDGET_RATIO);
        choice->budget.ratio_num = choice->budget.ratio_den = 1;
        return true;
    }
    set_budget(choice, TKP_BUDGET_COUNT);
    return tkp__cli_int(command, "keep", 0, INT32_MAX, &choice->budget.count);
}

/* "25%" is 25/100; the rest is as in a policy file. */
static bool read_ratio(const char *text, int64_t *num, int64_t *den)
{
    char number[32];
    const size_t length = strlen(text);
    if (length == 0 || length >= sizeof(number))
        return false;
    memcpy(number, text, length + 1);
    const bool percent = number[length - 1] == '%';
    if (percent)
        number[length - 1] = '\0';
    if (!tkp__text_to_ratio(number, num, den) || (percent && *den > INT32_MAX))
        return false;
    *den *= percent ? 100 : 1;
    return *num >= 0 && *num <= *den;
}

bool tkp__cli_keep_ratio(
    const tkp__cli_command *command,
    tkp__cli_policy_choice *choice)
{
    if (choice->has_budget) {
        tkp__cli_usage(command, "--keep and --keep-ratio: one of them");
        return false;
    }
    set_budget(choice, TKP_BUDGET_RATIO);
    if (read_ratio(
            optarg, &choice->budget.ratio_num, &choice->budget.ratio_den))
        return true;
    tkp__cli_usage(
        command,
        "--keep-ratio is '%.40s', wanted a share from 0 to 1 such as 1/4, 0.25 "
        "or 25%%",
        optarg);
    return false;
}

bool tkp__cli_at(
    const tkp__cli_command *command,
    tkp__cli_policy_choice *choice)
{
    char *end;
    choice->boundary = 0;
    if (strcmp(optarg, "projector") == 0) {
        choice->point = TKP_POINT_PROJECTOR;
        return true;
    }
    if (strcmp(optarg, "kv") == 0) {
        choice->point = TKP_POINT_KV;
        return true;
    }
    if (strncmp(optarg, "llm:", 4) == 0 && optarg[4] >= '0' &&
        optarg[4] <= '9') {
        errno = 0;
        const long layer = strtol(optarg + 4, &end, 10);
        if (*end == '\0' && errno == 0 && layer <= 65536) {
            choice->point = TKP_POINT_LLM;
            choice->boundary = (int32_t)layer;
            return true;
        }
    }
    tkp__cli_usage(
        command,
        "--at is '%.40s', wanted projector, llm:LAYERS (layers that run "
        "before the cut) or kv",
        optarg);
    return false;
}

/* --- loading ---------------------------------------------------------------- */

static bool ends_in(const char *text, const char *tail)
{
    const size_t length = strlen(text);
    const size_t end = strlen(tail);
    return length >= end && strcmp(text + length - end, tail) == 0;
}

tkp_status tkp__cli_policy_load(tkp_policy **out, const char *name)
{
    if (strchr(name, '/') || ends_in(name, ".yaml") || ends_in(name, ".yml"))
        return tkp_policy_load_file(out, name);
    return tkp_policy_load_preset(out, name);
}

/* The copy with one more change takes the place of what was there. */
static void take(tkp_policy **policy, tkp_policy *next)
{
    tkp_policy_destroy(*policy);
    *policy = next;
}

/* A count for each image stays one for each image, and another ratio is rounded
 * like the one there was: of the stage that is changed, the one named or the
 * only one that prunes. In doubles it matters whether the share that stays or
 * the one that goes was written down. A count is taken as it is. */
static tkp_status
keep_rules(tkp_budget *budget, const tkp_policy *policy, int32_t stage)
{
    for (int32_t i = 0; i < tkp_policy_stage_count(policy); i++) {
        tkp_stage_options options = TKP_STAGE_OPTIONS_INIT;
        TKP__TRY(tkp_policy_get_stage(policy, i, &options));
        if (stage != i && (stage >= 0 || !options.selector->kind))
            continue;
        budget->scope = options.budget->scope;
        if (budget->kind != TKP_BUDGET_RATIO)
            continue;
        budget->rounding = options.budget->rounding;
        budget->at_least = options.budget->at_least;
        budget->every = options.budget->every;
        if (options.budget->rounding != TKP_ROUND_DOUBLE_TRUNCATE ||
            options.budget->kind != TKP_BUDGET_TOTAL_REDUCTION)
            continue;
        budget->kind = TKP_BUDGET_TOTAL_REDUCTION;
        budget->ratio_num = budget->ratio_den - budget->ratio_num;
    }
    return TKP_OK;
}

static tkp_status
change(tkp_policy **policy, const tkp__cli_policy_choice *choice)
{
    tkp_policy *next;
    if (choice->point) {
        TKP__TRY(tkp_policy_with_point(
            &next, *policy, choice->stage, choice->point, choice->boundary));
        take(policy, next);
    }
    if (choice->has_budget) {
        tkp_budget budget = choice->budget;
        TKP__TRY(keep_rules(&budget, *policy, choice->stage));
        TKP__TRY(
            tkp_policy_with_budget(&next, *policy, choice->stage, &budget));
        take(policy, next);
    }
    if (choice->has_seed) {
        TKP__TRY(tkp_policy_with_seed(&next, *policy, choice->seed));
        take(policy, next);
    }
    return TKP_OK;
}

tkp_status
tkp__cli_policy_make(tkp_policy **out, const tkp__cli_policy_choice *choice)
{
    tkp_policy *policy = NULL;
    TKP__TRY(tkp__cli_policy_load(&policy, choice->name));
    const tkp_status status = change(&policy, choice);
    if (status != TKP_OK) {
        tkp_policy_destroy(policy);
        return status;
    }
    *out = policy;
    return TKP_OK;
}

char *tkp__cli_policy_yaml(const tkp_policy *policy)
{
    const size_t bytes = tkp_policy_to_yaml(policy, NULL, 0) + 1;
    char *text = malloc(bytes);
    if (text)
        tkp_policy_to_yaml(policy, text, bytes);
    return text;
}
