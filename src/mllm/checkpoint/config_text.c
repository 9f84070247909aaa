/*
 * text_config: a LLaMA decoder. The published LLaVA-1.5 file names only a few
 * fields; all others are LlamaConfig's defaults.
 */

#include "mllm/checkpoint/config_parts.h"

static const tkp__text_config llama_default = {
    .hidden = 4096,
    .intermediate = 11008,
    .layers = 32,
    .heads = 32,
    .vocab = 32000,
    .max_positions = 2048,
    .norm_eps = 1e-6,
    .rope_theta = 10000.0,
    .activation = TKP__ACT_SILU};

static tkp_status check_kind(const tkp__json_at *at)
{
    const char *type = "llama";
    TKP__TRY(tkp__json_text(&type, at, "model_type"));
    TKP__CHECK(
        strcmp(type, "llama") == 0, TKP_ERR_UNSUPPORTED,
        "%s: text_config.model_type is \"%.40s\", wanted \"llama\"", at->file,
        type);
    return TKP_OK;
}

static tkp_status read_sizes(tkp__text_config *t, const tkp__json_at *at)
{
    TKP__TRY(tkp__json_int(&t->hidden, at, "hidden_size", 1, TKP__MAX_WIDTH));
    TKP__TRY(tkp__json_int(
        &t->intermediate, at, "intermediate_size", 1, TKP__MAX_MLP_WIDTH));
    TKP__TRY(
        tkp__json_int(&t->layers, at, "num_hidden_layers", 1, TKP__MAX_LAYERS));
    TKP__TRY(
        tkp__json_int(&t->heads, at, "num_attention_heads", 1, TKP__MAX_HEADS));
    TKP__TRY(tkp__json_int(&t->vocab, at, "vocab_size", 1, TKP__MAX_VOCAB));
    TKP__TRY(tkp__json_int(
        &t->max_positions, at, "max_position_embeddings", 1,
        TKP__MAX_POSITIONS));
    t->kv_heads = t->heads;
    return tkp__json_int(
        &t->kv_heads, at, "num_key_value_heads", 1, TKP__MAX_HEADS);
}

static tkp_status read_heads(tkp__text_config *t, const tkp__json_at *at)
{
    TKP__CHECK(
        t->heads % t->kv_heads == 0, TKP_ERR_FORMAT,
        "%s: text_config.num_attention_heads is %lld, wanted a multiple of "
        "num_key_value_heads %lld",
        at->file, (long long)t->heads, (long long)t->kv_heads);
    if (tkp__json_get(at, "head_dim")) {
        TKP__TRY(
            tkp__json_int(&t->head_dim, at, "head_dim", 2, TKP__MAX_HEAD_DIM));
    } else {
        TKP__CHECK(
            t->hidden % t->heads == 0, TKP_ERR_FORMAT,
            "%s: text_config.hidden_size is %lld, wanted a multiple of "
            "num_attention_heads %lld",
            at->file, (long long)t->hidden, (long long)t->heads);
        t->head_dim = t->hidden / t->heads;
    }
    TKP__CHECK(
        t->head_dim % 2 == 0 && t->head_dim <= TKP__MAX_HEAD_DIM,
        TKP_ERR_FORMAT,
        "%s: text_config.head_dim is %lld, wanted even and at most %d",
        at->file, (long long)t->head_dim, TKP__MAX_HEAD_DIM);
    return TKP_OK;
}

/* A scaling of either spelling must be "default" (or absent). */
static tkp_status check_rope_kind(const tkp__json_at *rope)
{
    const char *type = "default";
    TKP__TRY(tkp__json_text(&type, rope, "type"));
    TKP__TRY(tkp__json_text(&type, rope, "rope_type"));
    TKP__CHECK(
        strcmp(type, "default") == 0, TKP_ERR_UNSUPPORTED,
        "%s: %srope_type is \"%.40s\", wanted \"default\"", rope->file,
        rope->section, type);
    double part = 1.0;
    return tkp__json_real(&part, rope, "partial_rotary_factor", 1.0, 1.0);
}

/* rope_theta stood at the top before transformers 5, in rope_parameters
 * since; a null rope_scaling is the common old spelling of "none". */
static tkp_status read_rope(tkp__text_config *t, const tkp__json_at *at)
{
    tkp__json_at scaling;
    tkp__json_at parameters;
    TKP__TRY(tkp__json_section(
        &scaling, at, "rope_scaling", "text_config.rope_scaling."));
    TKP__TRY(tkp__json_section(
        &parameters, at, "rope_parameters", "text_config.rope_parameters."));
    TKP__TRY(check_rope_kind(&scaling));
    TKP__TRY(check_rope_kind(&parameters));
    TKP__TRY(tkp__json_real(&t->rope_theta, at, "rope_theta", 1.0, 1e12));
    return tkp__json_real(&t->rope_theta, &parameters, "rope_theta", 1.0, 1e12);
}

tkp_status
tkp__config_read_text(tkp__text_config *out, const tkp__json_at *root)
{
    tkp__json_at at;
    TKP__TRY(tkp__json_section(&at, root, "text_config", "text_config."));
    tkp__text_config t = llama_default;
    TKP__TRY(check_kind(&at));
    TKP__TRY(read_sizes(&t, &at));
    TKP__TRY(read_heads(&t, &at));
    TKP__TRY(read_rope(&t, &at));
    TKP__TRY(tkp__json_real(&t.norm_eps, &at, "rms_norm_eps", 0.0, 1.0));
    TKP__TRY(tkp__config_activation(&t.activation, &at, "hidden_act"));
    TKP__TRY(tkp__json_bool(&t.attention_bias, &at, "attention_bias"));
    TKP__TRY(tkp__json_bool(&t.mlp_bias, &at, "mlp_bias"));
    /* Either place may ask for tying; it matters only where no head is
     * stored. */
    bool outer = false;
    TKP__TRY(tkp__json_bool(&outer, root, "tie_word_embeddings"));
    TKP__TRY(tkp__json_bool(&t.tie_embeddings, &at, "tie_word_embeddings"));
    t.tie_embeddings = t.tie_embeddings || outer;
    *out = t;
    return TKP_OK;
}
