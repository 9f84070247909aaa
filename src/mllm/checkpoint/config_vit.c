/*
 * vision_config of Qwen2-VL. Missing keys take Qwen2VLVisionConfig's defaults;
 * in_chans and spatial_patch_size of published files are read by nobody.
 */

#include "mllm/checkpoint/config_parts.h"

static const tkp__vision_config vit_default = {
    .hidden = 1280,
    .layers = 32,
    .heads = 16,
    .patch = 14,
    .merge = 2,
    .frames = 2,
    .norm_eps = 1e-6, /* of the class: no file has it */
    .activation = TKP__ACT_QUICK_GELU,
    .drop_cls = true};

static tkp_status check_kind(const tkp__json_at *at)
{
    const char *type = "qwen2_vl";
    TKP__TRY(tkp__json_text(&type, at, "model_type"));
    TKP__CHECK(
        strcmp(type, "qwen2_vl") == 0 || strcmp(type, "qwen2_vl_vision") == 0,
        TKP_ERR_UNSUPPORTED,
        "%s: %smodel_type is \"%.40s\", wanted \"qwen2_vl\"", at->file,
        at->section, type);
    int64_t channels = 3;
    return tkp__json_int(&channels, at, "in_channels", 3, 3);
}

/* The MLP's width is a multiple of the encoder's, perhaps not a whole one. */
static tkp_status read_mlp(tkp__vision_config *v, const tkp__json_at *at)
{
    double ratio = 4.0;
    TKP__TRY(tkp__json_real(&ratio, at, "mlp_ratio", 0.0, 1024.0));
    v->intermediate = (int64_t)((double)v->hidden * ratio);
    TKP__CHECK(
        v->intermediate >= 1 && v->intermediate <= TKP__MAX_MLP_WIDTH,
        TKP_ERR_FORMAT,
        "%s: %smlp_ratio is %g, which makes the MLP %lld wide, wanted 1 to %d",
        at->file, at->section, ratio, (long long)v->intermediate,
        TKP__MAX_MLP_WIDTH);
    return TKP_OK;
}

/* A head turns half of its pairs with a patch's row and half with its column;
 * tokens enter the language model as they are. */
static tkp_status check_sizes(
    const tkp__vision_config *v,
    const tkp__json_at *at,
    const tkp__text_config *text)
{
    TKP__CHECK(
        v->hidden % v->heads == 0 && v->hidden / v->heads % 4 == 0,
        TKP_ERR_FORMAT,
        "%s: %sembed_dim is %lld, wanted num_heads %lld times a multiple of 4",
        at->file, at->section, (long long)v->hidden, (long long)v->heads);
    int64_t out = text->hidden;
    TKP__TRY(tkp__json_int(&out, at, "hidden_size", 1, TKP__MAX_WIDTH));
    TKP__CHECK(
        out == text->hidden, TKP_ERR_FORMAT,
        "%s: %shidden_size is %lld, wanted %lld as of the language model",
        at->file, at->section, (long long)out, (long long)text->hidden);
    return TKP_OK;
}

tkp_status tkp__config_read_vit(
    tkp__vision_config *out,
    const tkp__json_at *root,
    const tkp__text_config *text)
{
    tkp__json_at at;
    TKP__TRY(tkp__json_section(&at, root, "vision_config", "vision_config."));
    tkp__vision_config v = vit_default;
    TKP__TRY(check_kind(&at));
    TKP__TRY(tkp__json_int(&v.hidden, &at, "embed_dim", 1, TKP__MAX_WIDTH));
    TKP__TRY(tkp__json_int(&v.layers, &at, "depth", 1, TKP__MAX_LAYERS));
    TKP__TRY(tkp__json_int(&v.heads, &at, "num_heads", 1, TKP__MAX_HEADS));
    TKP__TRY(tkp__json_int(&v.patch, &at, "patch_size", 1, 256));
    TKP__TRY(tkp__json_int(&v.merge, &at, "spatial_merge_size", 1, 16));
    TKP__TRY(tkp__json_int(&v.frames, &at, "temporal_patch_size", 1, 16));
    TKP__TRY(tkp__config_activation(&v.activation, &at, "hidden_act"));
    TKP__TRY(read_mlp(&v, &at));
    TKP__TRY(check_sizes(&v, &at, text));
    v.feature_layer = v.layers;
    *out = v;
    return TKP_OK;
}
