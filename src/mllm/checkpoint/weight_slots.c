/*
 * The tensors that a model has and their shapes (models.md 2.2, 2.3).
 */

#include "mllm/checkpoint/weight_names.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Tensors outside layers, and in one layer of either kind, at most. */
#define OUTER_TENSORS 16
#define LAYER_TENSORS 16

__attribute__((format(printf, 6, 7))) static void
add(tkp__weight_slots *slots,
    bool required,
    int64_t n0,
    int64_t n1,
    int32_t ndim,
    const char *format,
    ...)
{
    tkp__weight_slot *slot = &slots->items[slots->count++];
    *slot = (tkp__weight_slot){
        .required = required, .ndim = ndim, .shape = {n0, n1}};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(slot->name, sizeof(slot->name), format, arguments);
    va_end(arguments);
}

/* Weight [out, in] and, if there is one, bias [out]. */
static void add_linear(
    tkp__weight_slots *slots,
    bool required,
    const char *name,
    int64_t out,
    int64_t in,
    bool bias)
{
    add(slots, required, out, in, 2, "%s.weight", name);
    if (bias)
        add(slots, required, out, 0, 1, "%s.bias", name);
}

static void add_layer_norm(
    tkp__weight_slots *slots,
    bool required,
    const char *name,
    int64_t width)
{
    add(slots, required, width, 0, 1, "%s.weight", name);
    add(slots, required, width, 0, 1, "%s.bias", name);
}

static void add_vision_layer(
    tkp__weight_slots *slots,
    const tkp__vision_config *v,
    int64_t layer,
    bool required)
{
    static const char *const projections[] = {
        "q_proj", "k_proj", "v_proj", "out_proj"};
    char prefix[48];
    char name[TKP__WEIGHT_NAME_BYTES];
    snprintf(
        prefix, sizeof(prefix), "vit.encoder.layers.%lld", (long long)layer);
    for (int i = 1; i <= 2; i++) {
        snprintf(name, sizeof(name), "%s.layer_norm%d", prefix, i);
        add_layer_norm(slots, required, name, v->hidden);
    }
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "%s.self_attn.%s", prefix, projections[i]);
        add_linear(slots, required, name, v->hidden, v->hidden, true);
    }
    snprintf(name, sizeof(name), "%s.mlp.fc1", prefix);
    add_linear(slots, required, name, v->intermediate, v->hidden, true);
    snprintf(name, sizeof(name), "%s.mlp.fc2", prefix);
    add_linear(slots, required, name, v->hidden, v->intermediate, true);
}

static void add_vision(tkp__weight_slots *slots, const tkp__vision_config *v)
{
    const int64_t side = v->image / v->patch;
    add(slots, true, v->hidden, 0, 1, "vit.embeddings.class_embedding");
    add(slots, true, v->hidden, 3, 4, "vit.embeddings.patch_embedding.weight");
    tkp__weight_slot *patch = &slots->items[slots->count - 1];
    patch->shape[2] = patch->shape[3] = v->patch;
    add(slots, true, side * side + 1, v->hidden, 2,
        "vit.embeddings.position_embedding.weight");
    add_layer_norm(slots, true, "vit.pre_layrnorm", v->hidden);
    add_layer_norm(slots, false, "vit.post_layernorm", v->hidden);
    for (int64_t i = 0; i < v->layers; i++)
        add_vision_layer(slots, v, i, i < v->feature_layer);
}

static void add_vit_layer(
    tkp__weight_slots *slots,
    const tkp__vision_config *v,
    int64_t layer)
{
    const struct {
        const char *name;
        int64_t out, in;
    } linears[] = {
        {"attn.qkv", 3 * v->hidden, v->hidden},
        {"attn.proj", v->hidden, v->hidden},
        {"mlp.fc1", v->intermediate, v->hidden},
        {"mlp.fc2", v->hidden, v->intermediate}};
    char name[TKP__WEIGHT_NAME_BYTES];
    for (int i = 1; i <= 2; i++) {
        snprintf(
            name, sizeof(name), "vit.blocks.%lld.norm%d", (long long)layer, i);
        add_layer_norm(slots, true, name, v->hidden);
    }
    for (size_t i = 0; i < sizeof(linears) / sizeof(linears[0]); i++) {
        snprintf(
            name, sizeof(name), "vit.blocks.%lld.%s", (long long)layer,
            linears[i].name);
        add_linear(slots, true, name, linears[i].out, linears[i].in, true);
    }
}

/* Qwen2-VL: a patch is a little video; the merger's linears are the
 * projector. */
static void add_vit(tkp__weight_slots *slots, const tkp__vision_config *v)
{
    add(slots, true, v->hidden, 3, 5, "vit.patch_embed.proj.weight");
    tkp__weight_slot *patch = &slots->items[slots->count - 1];
    patch->shape[2] = v->frames;
    patch->shape[3] = patch->shape[4] = v->patch;
    for (int64_t i = 0; i < v->layers; i++)
        add_vit_layer(slots, v, i);
    add_layer_norm(slots, true, "vit.merger.ln_q", v->hidden);
}

static void
add_projector(tkp__weight_slots *slots, const tkp__model_config *config)
{
    const int64_t cell = config->vision.merge * config->vision.merge;
    const bool qwen = config->kind == TKP__MODEL_QWEN2_VL;
    const int64_t in =
        qwen ? cell * config->vision.hidden : config->vision.hidden;
    const int64_t inner = qwen ? in : config->text.hidden;
    add_linear(slots, true, "proj.0", inner, in, config->projector_bias);
    add_linear(
        slots, true, "proj.2", config->text.hidden, inner,
        config->projector_bias);
}

static void add_text_layer(
    tkp__weight_slots *slots,
    const tkp__text_config *t,
    int64_t layer)
{
    const int64_t q = t->heads * t->head_dim;
    const int64_t kv = t->kv_heads * t->head_dim;
    const struct {
        const char *name;
        int64_t out, in;
        bool bias;
    } linears[] = {
        {"self_attn.q_proj", q, t->hidden, t->attention_bias},
        {"self_attn.k_proj", kv, t->hidden, t->attention_bias},
        {"self_attn.v_proj", kv, t->hidden, t->attention_bias},
        {"self_attn.o_proj", t->hidden, q, t->output_bias},
        {"mlp.gate_proj", t->intermediate, t->hidden, t->mlp_bias},
        {"mlp.up_proj", t->intermediate, t->hidden, t->mlp_bias},
        {"mlp.down_proj", t->hidden, t->intermediate, t->mlp_bias}};
    for (size_t i = 0; i < sizeof(linears) / sizeof(linears[0]); i++) {
        char name[TKP__WEIGHT_NAME_BYTES];
        snprintf(
            name, sizeof(name), "lm.layers.%lld.%s", (long long)layer,
            linears[i].name);
        add_linear(
            slots, true, name, linears[i].out, linears[i].in, linears[i].bias);
    }
    add(slots, true, t->hidden, 0, 1, "lm.layers.%lld.input_layernorm.weight",
        (long long)layer);
    add(slots, true, t->hidden, 0, 1,
        "lm.layers.%lld.post_attention_layernorm.weight", (long long)layer);
}

static void add_text(tkp__weight_slots *slots, const tkp__text_config *t)
{
    add(slots, true, t->vocab, t->hidden, 2, "lm.embed_tokens.weight");
    for (int64_t i = 0; i < t->layers; i++)
        add_text_layer(slots, t, i);
    add(slots, true, t->hidden, 0, 1, "lm.norm.weight");
    add(slots, !t->tie_embeddings, t->vocab, t->hidden, 2, "head.weight");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(
        ((const tkp__weight_slot *)a)->name,
        ((const tkp__weight_slot *)b)->name);
}

tkp_status
tkp__weight_slots_make(tkp__weight_slots *out, const tkp__model_config *config)
{
    const int64_t room =
        OUTER_TENSORS +
        LAYER_TENSORS * (config->vision.layers + config->text.layers);
    tkp__weight_slots slots = {.room = room};
    slots.items = tkp__alloc((size_t)room, sizeof(*slots.items));
    if (!slots.items)
        return TKP_ERR_MEMORY;
    if (config->kind == TKP__MODEL_QWEN2_VL)
        add_vit(&slots, &config->vision);
    else
        add_vision(&slots, &config->vision);
    add_projector(&slots, config);
    if (config->kind == TKP__MODEL_LLAVA_NEXT)
        add(&slots, true, config->text.hidden, 0, 1, "newline");
    add_text(&slots, &config->text);
    qsort(slots.items, (size_t)slots.count, sizeof(*slots.items), by_name);
    *out = slots;
    return TKP_OK;
}

tkp__weight_slot *
tkp__weight_slots_find(const tkp__weight_slots *slots, const char *name)
{
    tkp__weight_slot key;
    const size_t length = strlen(name);
    if (length >= sizeof(key.name))
        return NULL;
    memcpy(key.name, name, length + 1);
    return bsearch(
        &key, slots->items, (size_t)slots->count, sizeof(*slots->items),
        by_name);
}
