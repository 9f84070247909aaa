/* tokenprune policy list: the presets and what tkp_policy_query() says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

typedef struct entry {
    const char *name, *summary;
    tkp_policy *policy;
    tkp_policy_info info;
} entry;

static tkp_status entry_load(entry *e, int32_t preset)
{
    *e = (entry){
        .name = tkp_policy_preset_name(preset),
        .summary = tkp_policy_preset_summary(preset)};
    tkp_policy_info_init(&e->info);
    tkp_status status = tkp_policy_load_preset(&e->policy, e->name);
    if (status == TKP_OK)
        status = tkp_policy_query(e->policy, &e->info);
    return status;
}

/* As a policy file has it after `at:`. */
static void point_text(char out[32], const tkp_policy *policy, int32_t stage)
{
    static const char *const points[] = {"?",      "projector", "llm",
                                         "vision", "kv",        "vision-mlp"};
    tkp_stage_options o = TKP_STAGE_OPTIONS_INIT;
    const tkp_status status = tkp_policy_get_stage(policy, stage, &o);
    const char *name = points
        [status == TKP_OK && o.point <= TKP_POINT_VISION_MLP ? o.point : 0];
    if (o.point == TKP_POINT_LLM || o.point == TKP_POINT_VISION ||
        o.point == TKP_POINT_VISION_MLP)
        snprintf(out, 32, "%s:%d", name, o.boundary);
    else
        snprintf(out, 32, "%s", name);
}

/* --- text ------------------------------------------------------------------- */

static void print_entry(const entry *e)
{
    const uint32_t flags = e->info.flags;
    char where[128] = "";
    for (int32_t i = 0; i < tkp_policy_stage_count(e->policy); i++) {
        char point[32];
        const size_t used = strlen(where);
        point_text(point, e->policy, i);
        snprintf(
            where + used, sizeof(where) - used, "%s%s", i ? " " : "", point);
    }
    printf(
        "%-18s  %-11s  %-4s %-6s  %s\n", e->name, where[0] ? where : "-",
        flags & TKP_POLICY_TEXT_DEPENDENT ? "text" : "",
        flags & TKP_POLICY_MERGES ? "merges" : "", e->summary);
}

/* --- JSON ------------------------------------------------------------------- */

static json_t *needs_to_json(uint32_t needs)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } inputs[] = {
        {TKP_NEED_ATTENTION, "attention"},
        {TKP_NEED_HIDDEN, "hidden"},
        {TKP_NEED_CLS_ATTENTION, "cls_attention"},
        {TKP_NEED_NORM_WEIGHT, "norm_weight"},
        {TKP_NEED_SCORES, "scores"},
        {TKP_NEED_TEXT, "text"},
        {TKP_NEED_VALUES, "values"},
        {TKP_NEED_VISION, "vision"},
        {TKP_NEED_VISION_KEYS, "vision_keys"},
        {TKP_NEED_VISION_VALUES, "vision_values"},
        {TKP_NEED_CLIP, "clip"},
        {TKP_NEED_CLIP_TEXT, "clip_text"},
        {TKP_NEED_CLIP_TOKENS, "clip_tokens"},
        {TKP_NEED_EMBEDDINGS, "embeddings"},
        {TKP_NEED_CLS_SHALLOW, "cls_shallow"},
        {TKP_NEED_KEYS, "keys"},
        {TKP_NEED_PLAIN_ATTENTION, "plain_attention"},
    };
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
        if (needs & inputs[i].bit)
            json_array_append_new(list, json_string(inputs[i].name));
    return list;
}

static json_t *entry_to_json(const entry *e)
{
    const uint32_t flags = e->info.flags;
    json_t *stages = json_array();
    for (int32_t i = 0; i < tkp_policy_stage_count(e->policy); i++) {
        char point[32];
        point_text(point, e->policy, i);
        json_array_append_new(stages, json_string(point));
    }
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:b, s:b, s:b, s:i}", "name", e->name, "summary",
        e->summary, "stages", stages, "needs", needs_to_json(e->info.needs),
        "text_dependent", (flags & TKP_POLICY_TEXT_DEPENDENT) != 0, "merges",
        (flags & TKP_POLICY_MERGES) != 0, "exact_count",
        !(flags & TKP_POLICY_ADAPTIVE), "last_boundary", e->info.last_boundary);
}

int tkp__cli_policy_list(bool json)
{
    json_t *list = json ? json_array() : NULL;
    tkp_status status = TKP_OK;
    for (int32_t i = 0; i < tkp_policy_preset_count(); i++) {
        entry e;
        status = entry_load(&e, i);
        if (status == TKP_OK && json)
            json_array_append_new(list, entry_to_json(&e));
        else if (status == TKP_OK)
            print_entry(&e);
        tkp_policy_destroy(e.policy);
        if (status != TKP_OK)
            break;
    }
    if (status != TKP_OK) {
        json_decref(list);
        return tkp__cli_failed(status, NULL);
    }
    if (!json)
        return tkp__cli_finish(TKP__CLI_OK);
    return tkp__cli_json_print(
        json_pack("{s:i, s:o}", "schema", 1, "policies", list));
}
