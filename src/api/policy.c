#include "policy/policy.h"

#include "tokenprune/sys/base.h"

void tkp_stage_options_init(tkp_stage_options *options)
{
    if (options)
        *options = (tkp_stage_options)TKP_STAGE_OPTIONS_INIT;
}

void tkp_policy_info_init(tkp_policy_info *info)
{
    if (info)
        *info = (tkp_policy_info)TKP_POLICY_INFO_INIT;
}

tkp_status tkp_policy_query(const tkp_policy *policy, tkp_policy_info *info)
{
    tkp_sys_message_clear();
    TKP__CHECK(policy, TKP_ERR_ARGUMENT, "policy is NULL");
    TKP__CHECK(info, TKP_ERR_ARGUMENT, "info is NULL");
    tkp_policy_info known;
    tkp__policy_describe(policy, &known);
    return tkp__util_fill_struct(
        info, &known, sizeof(known),
        TKP__SIZE_THROUGH(tkp_policy_info, last_boundary), "info");
}

tkp_status tkp_policy_create(tkp_policy **out, const char *name)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(name, TKP_ERR_ARGUMENT, "name is NULL");
    return tkp__policy_new(out, name);
}

void tkp_policy_destroy(tkp_policy *policy)
{
    tkp__policy_release(policy);
}

tkp_status
tkp_policy_add_stage(tkp_policy *policy, const tkp_stage_options *options)
{
    tkp_sys_message_clear();
    TKP__CHECK(policy, TKP_ERR_ARGUMENT, "policy is NULL");
    TKP__CHECK(options, TKP_ERR_ARGUMENT, "options is NULL");
    TKP__CHECK(
        atomic_load(&policy->references) == 1, TKP_ERR_STATE,
        "policy: in use, and so no longer open to changes");
    return tkp__policy_add_stage(policy, options);
}

int32_t tkp_policy_preset_count(void)
{
    return tkp__preset_count;
}

const char *tkp_policy_preset_name(int32_t i)
{
    return i >= 0 && i < tkp__preset_count ? tkp__presets[i].name : NULL;
}

const char *tkp_policy_preset_summary(int32_t i)
{
    return i >= 0 && i < tkp__preset_count ? tkp__presets[i].summary : NULL;
}

tkp_status tkp_policy_load_preset(tkp_policy **out, const char *name)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(name, TKP_ERR_ARGUMENT, "name is NULL");
    return tkp__policy_preset(out, name);
}

tkp_status tkp_policy_load_text(
    tkp_policy **out,
    const char *text,
    size_t bytes,
    const char *source_name)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(text, TKP_ERR_ARGUMENT, "text is NULL");
    return tkp__policy_from_yaml(
        out, text, bytes, source_name ? source_name : "policy");
}

tkp_status tkp_policy_load_file(tkp_policy **out, const char *path)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(path, TKP_ERR_ARGUMENT, "path is NULL");
    return tkp__policy_from_file(out, path);
}

size_t tkp_policy_to_yaml(const tkp_policy *policy, char *text, size_t capacity)
{
    return policy ? tkp__policy_to_yaml(policy, text, capacity) : 0;
}

const char *tkp_policy_name(const tkp_policy *policy)
{
    return policy ? policy->name : NULL;
}

int32_t tkp_policy_stage_count(const tkp_policy *policy)
{
    return policy ? policy->n_stages : 0;
}

tkp_status tkp_policy_get_stage(
    const tkp_policy *policy,
    int32_t i,
    tkp_stage_options *options)
{
    tkp_sys_message_clear();
    TKP__CHECK(policy, TKP_ERR_ARGUMENT, "policy is NULL");
    TKP__CHECK(options, TKP_ERR_ARGUMENT, "options is NULL");
    TKP__CHECK(
        i >= 0 && i < policy->n_stages, TKP_ERR_ARGUMENT,
        "stage is %d, wanted 0 to %d", i, policy->n_stages - 1);
    tkp_stage_options view;
    tkp__stage_view(policy->stages[i], &view);
    return tkp__util_fill_struct(
        options, &view, sizeof(view),
        TKP__SIZE_THROUGH(tkp_stage_options, budget), "options");
}

tkp_status tkp_policy_with_budget(
    tkp_policy **out,
    const tkp_policy *policy,
    int32_t stage,
    const tkp_budget *budget)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(policy, TKP_ERR_ARGUMENT, "policy is NULL");
    TKP__CHECK(budget, TKP_ERR_ARGUMENT, "budget is NULL");
    return tkp__policy_with_budget(out, policy, stage, budget);
}

tkp_status tkp_policy_with_point(
    tkp_policy **out,
    const tkp_policy *policy,
    int32_t stage,
    int32_t point,
    int32_t boundary)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(policy, TKP_ERR_ARGUMENT, "policy is NULL");
    return tkp__policy_with_point(out, policy, stage, point, boundary);
}

tkp_status tkp_policy_with_depth(
    tkp_policy **out,
    const tkp_policy *policy,
    const tkp_depth *depth)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(policy, TKP_ERR_ARGUMENT, "policy is NULL");
    TKP__CHECK(depth, TKP_ERR_ARGUMENT, "depth is NULL");
    return tkp__policy_with_depth(out, policy, depth);
}

tkp_status
tkp_policy_with_seed(tkp_policy **out, const tkp_policy *policy, uint64_t seed)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(policy, TKP_ERR_ARGUMENT, "policy is NULL");
    return tkp__policy_with_seed(out, policy, seed);
}
