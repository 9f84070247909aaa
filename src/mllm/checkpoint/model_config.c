/*
 * config.json and its side files: what kind of model, and the fields that
 * belong to no part. Missing keys take the defaults of the model's class.
 */

#include "mllm/checkpoint/config_parts.h"

static const struct {
    const char *name;
    int32_t value;
} activations[] = {
    {"silu", TKP__ACT_SILU},
    {"swish", TKP__ACT_SILU},
    {"gelu", TKP__ACT_GELU},
    {"quick_gelu", TKP__ACT_QUICK_GELU},
};

tkp_status
tkp__config_activation(int32_t *out, const tkp__json_at *at, const char *key)
{
    const char *name = NULL;
    TKP__TRY(tkp__json_text(&name, at, key));
    if (!name)
        return TKP_OK;
    for (size_t i = 0; i < sizeof(activations) / sizeof(activations[0]); i++)
        if (strcmp(name, activations[i].name) == 0) {
            *out = activations[i].value;
            return TKP_OK;
        }
    return tkp__fail(
        TKP_ERR_UNSUPPORTED,
        "%s: %s%s is \"%.40s\", wanted silu, gelu or quick_gelu", at->file,
        at->section, key, name);
}

static const struct {
    const char *name;
    int32_t value;
} kinds[] = {
    {"llava", TKP__MODEL_LLAVA},
    {"llava_next", TKP__MODEL_LLAVA_NEXT},
    {"qwen2_vl", TKP__MODEL_QWEN2_VL},
};

static tkp_status read_kind(int32_t *out, const tkp__json_at *root)
{
    const char *type = NULL;
    TKP__TRY(tkp__json_text(&type, root, "model_type"));
    TKP__CHECK(
        type, TKP_ERR_FORMAT,
        "%s: model_type is missing, wanted \"llava\", \"llava_next\" or "
        "\"qwen2_vl\"",
        root->file);
    *out = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(type, kinds[i].name) == 0)
            *out = kinds[i].value;
    TKP__CHECK(
        *out, TKP_ERR_UNSUPPORTED,
        "%s: model_type is \"%.40s\", wanted \"llava\", \"llava_next\" or "
        "\"qwen2_vl\"",
        root->file, type);
    TKP__CHECK(
        !tkp__json_get(root, "mm_vision_tower"), TKP_ERR_UNSUPPORTED,
        "%s: mm_vision_tower is there (the original LLaVA layout), wanted a "
        "checkpoint in Hugging Face layout",
        root->file);
    TKP__CHECK(
        !tkp__json_get(root, "quantization_config"), TKP_ERR_UNSUPPORTED,
        "%s: quantization_config is there, wanted plain f32, f16 or bf16 "
        "weights",
        root->file);
    return TKP_OK;
}

/* Both spellings are in use; two different values would be a trap. */
static tkp_status
read_image_token(tkp__model_config *out, const tkp__json_at *root)
{
    int64_t index = -1;
    int64_t id = -1;
    const int64_t last = out->text.vocab - 1;
    TKP__TRY(tkp__json_int(&index, root, "image_token_index", 0, last));
    TKP__TRY(tkp__json_int(&id, root, "image_token_id", 0, last));
    TKP__CHECK(
        index < 0 || id < 0 || index == id, TKP_ERR_FORMAT,
        "%s: image_token_index is %lld, image_token_id is %lld, wanted one "
        "value",
        root->file, (long long)index, (long long)id);
    int64_t token = id >= 0 ? id : index;
    if (token < 0)
        token = 32000;
    TKP__CHECK(
        token <= last, TKP_ERR_FORMAT,
        "%s: image_token_index is %lld (the default), wanted below vocab_size "
        "%lld",
        root->file, (long long)token, (long long)out->text.vocab);
    out->image_token_id = (int32_t)token;
    return TKP_OK;
}

static tkp_status read_feature(tkp__model_config *out, const tkp__json_at *root)
{
    const int64_t states = out->vision.layers + 1; /* index 0: before layer 0 */
    const json_t *value = tkp__json_get(root, "vision_feature_layer");
    TKP__CHECK(
        !json_is_array(value), TKP_ERR_UNSUPPORTED,
        "%s: vision_feature_layer is an array, wanted one integer", root->file);
    int64_t layer = -2;
    TKP__TRY(tkp__json_int(
        &layer, root, "vision_feature_layer", -states, states - 1));
    out->vision.feature_layer = layer < 0 ? layer + states : layer;
    const char *strategy = "default";
    TKP__TRY(tkp__json_text(&strategy, root, "vision_feature_select_strategy"));
    out->vision.drop_cls = strcmp(strategy, "default") == 0;
    TKP__CHECK(
        out->vision.drop_cls || strcmp(strategy, "full") == 0,
        TKP_ERR_UNSUPPORTED,
        "%s: vision_feature_select_strategy is \"%.40s\", wanted \"default\" "
        "or \"full\"",
        root->file, strategy);
    return TKP_OK;
}

/* The ids of the placeholders stand at the top, in files of any age. */
static tkp_status
read_visual_tokens(tkp__model_config *out, const tkp__json_at *root)
{
    const struct {
        const char *key;
        int32_t *id;
        int64_t usual;
    } tokens[] = {
        {"image_token_id", &out->image_token_id, 151655},
        {"video_token_id", &out->video_token_id, 151656}};
    for (size_t i = 0; i < 2; i++) {
        int64_t id = tokens[i].usual;
        TKP__TRY(
            tkp__json_int(&id, root, tokens[i].key, 0, out->text.vocab - 1));
        TKP__CHECK(
            id < out->text.vocab, TKP_ERR_FORMAT,
            "%s: %s is %lld (the default), wanted below vocab_size %lld",
            root->file, tokens[i].key, (long long)id,
            (long long)out->text.vocab);
        *tokens[i].id = (int32_t)id;
    }
    TKP__CHECK(
        out->image_token_id != out->video_token_id, TKP_ERR_FORMAT,
        "%s: image_token_id and video_token_id are both %d, wanted two",
        root->file, out->image_token_id);
    return TKP_OK;
}

static tkp_status read_qwen(
    tkp__model_config *out,
    const char *model_dir,
    const tkp__json_at *root)
{
    tkp__vision_config *vision = &out->vision;
    TKP__TRY(tkp__config_read_text(&out->text, root, out->kind));
    TKP__TRY(tkp__config_read_vit(vision, root, &out->text));
    TKP__TRY(read_visual_tokens(out, root));
    TKP__TRY(tkp__config_read_patches(
        &out->image, model_dir, vision->patch, vision->merge, vision->frames));
    TKP__TRY(tkp__config_read_video(
        &out->video, model_dir, vision->patch, vision->merge, vision->frames));
    return tkp__config_read_generation(
        &out->generation, model_dir, root, out->kind, out->text.vocab);
}

static tkp_status read_all(
    tkp__model_config *out,
    const char *model_dir,
    const tkp__json_at *root)
{
    int32_t kind = 0;
    TKP__TRY(read_kind(&kind, root));
    *out = (tkp__model_config){
        .kind = kind,
        .projector_activation = TKP__ACT_GELU,
        .projector_bias = true,
        .video_token_id = -1};
    if (kind == TKP__MODEL_QWEN2_VL)
        return read_qwen(out, model_dir, root);
    TKP__TRY(tkp__config_read_vision(&out->vision, root));
    TKP__TRY(tkp__config_read_text(&out->text, root, kind));
    TKP__TRY(read_image_token(out, root));
    TKP__TRY(read_feature(out, root));
    TKP__TRY(tkp__config_activation(
        &out->projector_activation, root, "projector_hidden_act"));
    TKP__TRY(tkp__json_bool(
        &out->projector_bias, root, "multimodal_projector_bias"));
    TKP__TRY(tkp__config_read_image(
        &out->image, model_dir, root, &out->vision,
        kind == TKP__MODEL_LLAVA_NEXT));
    return tkp__config_read_generation(
        &out->generation, model_dir, root, kind, out->text.vocab);
}

tkp_status tkp__model_config_load(tkp__model_config *out, const char *model_dir)
{
    TKP__CHECK(
        out && model_dir, TKP_ERR_ARGUMENT,
        "out or model_dir is NULL, wanted both");
    char *path = tkp__path_join(model_dir, "config.json");
    if (!path)
        return TKP_ERR_MEMORY;
    json_t *root = NULL;
    tkp__model_config config;
    tkp_status status = tkp__json_load(&root, path, false);
    if (status == TKP_OK) {
        const tkp__json_at at = {.object = root, .file = path, .section = ""};
        status = read_all(&config, model_dir, &at);
    }
    if (status == TKP_OK)
        *out = config;
    json_decref(root);
    tkp__free(path);
    return status;
}
