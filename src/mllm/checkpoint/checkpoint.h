#ifndef TKP_MLLM_CHECKPOINT_CHECKPOINT_H
#define TKP_MLLM_CHECKPOINT_CHECKPOINT_H

/*
 * A model directory in Hugging Face format: what config.json says, with the
 * defaults of the Hugging Face classes, and its tensors, mapped not read.
 * Everything that a file says is checked before it is used.
 */

#include "mllm/image/image.h"
#include "safetensors/safetensors.h"
#include "util/util.h"

/* --- config.json ------------------------------------------------------- */

enum tkp__model_kind {
    TKP__MODEL_LLAVA = 1,
    TKP__MODEL_LLAVA_NEXT = 2,
    TKP__MODEL_QWEN2_VL = 3
};

typedef struct tkp__vision_config {
    int64_t hidden, intermediate, layers, heads;
    int64_t image, patch;
    double norm_eps;
    int32_t activation;    /* enum tkp__activation */
    int64_t feature_layer; /* layers that run, after resolving negatives:
                              -2 of 24 layers gives 23 */
    bool drop_cls;         /* "default": drop CLS; "full": keep */
    /* Qwen2-VL: pictures of any size, `image` is 0. */
    int64_t merge;  /* patches a side that become one token */
    int64_t frames; /* of a video, in one patch */
} tkp__vision_config;

typedef struct tkp__text_config {
    int64_t hidden, intermediate, layers, heads, kv_heads, head_dim, vocab;
    int64_t max_positions;
    double norm_eps, rope_theta;
    bool tie_embeddings;
    bool attention_bias; /* of q, k and v */
    bool output_bias;    /* of o */
    bool mlp_bias;
    int32_t rope_section[3]; /* M-RoPE: pairs that turn with time, height and
                                width; all 0: every pair with the place */
    int32_t activation;
} tkp__text_config;

enum tkp__activation {
    TKP__ACT_SILU = 1,
    TKP__ACT_GELU = 2, /* erf form */
    TKP__ACT_QUICK_GELU = 3
};

typedef struct tkp__generation_config {
    int32_t bos, pad; /* -1: none */
    int32_t eos[16];
    int32_t eos_count;
    bool do_sample;
    double temperature, top_p, repetition_penalty;
    int64_t top_k;
} tkp__generation_config;

typedef struct tkp__model_config {
    int32_t kind; /* enum tkp__model_kind */
    tkp__vision_config vision;
    tkp__text_config text;
    tkp__image_spec image;
    tkp__generation_config generation;
    int32_t projector_activation;
    bool projector_bias;
    int32_t image_token_id;
    tkp__video_spec video;  /* of models that take videos */
    int32_t video_token_id; /* -1: the model takes no videos */
} tkp__model_config;

/* Reads config.json, generation_config.json, preprocessor_config.json.
 * Unsupported model types, rope scalings etc. are TKP_ERR_UNSUPPORTED; sizes
 * out of range are TKP_ERR_FORMAT; the message names file and field. */
tkp_status
tkp__model_config_load(tkp__model_config *out, const char *model_dir);

/* --- weights under one set of names ------------------------------------ */

typedef struct tkp__weights tkp__weights;

/* Opens model.safetensors or every shard of model.safetensors.index.json and
 * maps published spellings onto internal names (models.md 2.1):
 *   vit.embeddings.class_embedding, vit.embeddings.patch_embedding.weight,
 *   vit.embeddings.position_embedding.weight, vit.pre_layrnorm.{weight,bias},
 *   vit.encoder.layers.N.{layer_norm1,layer_norm2}.{weight,bias},
 *   vit.encoder.layers.N.self_attn.{q,k,v,out}_proj.{weight,bias},
 *   vit.encoder.layers.N.mlp.{fc1,fc2}.{weight,bias},
 *   proj.0.{weight,bias}, proj.2.{weight,bias}, newline (LLaVA-NeXT),
 *   vit.patch_embed.proj.weight, vit.blocks.N.{norm1,norm2,attn.qkv,attn.proj,
 *   mlp.fc1,mlp.fc2}.{weight,bias}, vit.merger.ln_q.{weight,bias} (Qwen2-VL,
 *   whose merger's linears are proj.0 and proj.2),
 *   lm.embed_tokens.weight, lm.layers.N.*, lm.norm.weight, head.weight
 * Every tensor that `config` needs must be there with the right shape and a
 * floating dtype; what is missing or unexpected is listed in the message. */
tkp_status tkp__weights_open(
    tkp__weights **out,
    const char *model_dir,
    const tkp__model_config *config);
void tkp__weights_close(tkp__weights *weights);
/* View of an internal name; TKP_ERR_FORMAT if absent. Tied heads resolve. */
tkp_status tkp__weights_get(
    const tkp__weights *weights,
    const char *name,
    tkp_tensor *view);
bool tkp__weights_has(const tkp__weights *weights, const char *name);
/* Dtype most weight bytes have (enum tkp_dtype). */
int32_t tkp__weights_dtype(const tkp__weights *weights);
int64_t tkp__weights_bytes(const tkp__weights *weights);

#endif
