/*
 * vision_config: a CLIP vision tower. A section that is missing altogether
 * means the tower of LLaVA-1.5 (so LlavaConfig decides); keys that are missing
 * from a section take CLIPVisionConfig's defaults, which are other ones.
 */

#include "mllm/checkpoint/config_parts.h"

static const tkp__vision_config llava_default = {
    .hidden = 1024,
    .intermediate = 4096,
    .layers = 24,
    .heads = 16,
    .image = 336,
    .patch = 14,
    .norm_eps = 1e-5,
    .activation = TKP__ACT_QUICK_GELU};

static const tkp__vision_config clip_default = {
    .hidden = 768,
    .intermediate = 3072,
    .layers = 12,
    .heads = 12,
    .image = 224,
    .patch = 32,
    .norm_eps = 1e-5,
    .activation = TKP__ACT_QUICK_GELU};

static tkp_status check_kind(const tkp__json_at *at)
{
    const char *type = "clip_vision_model";
    TKP__TRY(tkp__json_text(&type, at, "model_type"));
    TKP__CHECK(
        strcmp(type, "clip_vision_model") == 0, TKP_ERR_UNSUPPORTED,
        "%s: vision_config.model_type is \"%.40s\", wanted "
        "\"clip_vision_model\"",
        at->file, type);
    int64_t channels = 3;
    return tkp__json_int(&channels, at, "num_channels", 3, 3);
}

static tkp_status
check_divisible(const tkp__vision_config *v, const tkp__json_at *at)
{
    TKP__CHECK(
        v->hidden % v->heads == 0, TKP_ERR_FORMAT,
        "%s: vision_config.hidden_size is %lld, wanted a multiple of "
        "num_attention_heads %lld",
        at->file, (long long)v->hidden, (long long)v->heads);
    TKP__CHECK(
        v->image % v->patch == 0, TKP_ERR_FORMAT,
        "%s: vision_config.image_size is %lld, wanted a multiple of patch_size "
        "%lld",
        at->file, (long long)v->image, (long long)v->patch);
    return TKP_OK;
}

tkp_status
tkp__config_read_vision(tkp__vision_config *out, const tkp__json_at *root)
{
    tkp__json_at at;
    TKP__TRY(tkp__json_section(&at, root, "vision_config", "vision_config."));
    tkp__vision_config v = at.object ? clip_default : llava_default;
    TKP__TRY(check_kind(&at));
    TKP__TRY(tkp__json_int(&v.hidden, &at, "hidden_size", 1, TKP__MAX_WIDTH));
    TKP__TRY(tkp__json_int(
        &v.intermediate, &at, "intermediate_size", 1, TKP__MAX_MLP_WIDTH));
    TKP__TRY(
        tkp__json_int(&v.layers, &at, "num_hidden_layers", 1, TKP__MAX_LAYERS));
    TKP__TRY(
        tkp__json_int(&v.heads, &at, "num_attention_heads", 1, TKP__MAX_HEADS));
    TKP__TRY(tkp__json_int(&v.image, &at, "image_size", 1, TKP__MAX_PICTURE));
    TKP__TRY(tkp__json_int(&v.patch, &at, "patch_size", 1, TKP__MAX_PICTURE));
    TKP__TRY(tkp__json_real(&v.norm_eps, &at, "layer_norm_eps", 0.0, 1.0));
    TKP__TRY(tkp__config_activation(&v.activation, &at, "hidden_act"));
    TKP__TRY(check_divisible(&v, &at));
    *out = v;
    return TKP_OK;
}
