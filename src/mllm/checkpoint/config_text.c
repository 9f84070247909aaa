/*
 * text_config: a LLaMA decoder, or that of Qwen2-VL, which has its fields at
 * the top in published files. The published LLaVA-1.5 file names only a few;
 * all others are the defaults of the classes.
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

static const tkp__text_config qwen_default = {
    .hidden = 8192,
    .intermediate = 29568,
    .layers = 80,
    .heads = 64,
    .kv_heads = 8,
    .vocab = 152064,
    .max_positions = 32768,
    .norm_eps = 1e-5,
    .rope_theta = 1e6,
    .attention_bias = true,
    .activation = TKP__ACT_SILU};

/* The flat configuration of Qwen2-VL is all of it at once. */
static tkp_status check_kind(const tkp__json_at *at, bool qwen)
{
    static const char *const names[] = {"llama", "qwen2_vl_text", "qwen2_vl"};
    const size_t first = qwen ? 1 : 0, last = qwen ? 2 : 0;
    const char *type = names[first];
    TKP__TRY(tkp__json_text(&type, at, "model_type"));
    TKP__CHECK(
        strcmp(type, names[first]) == 0 || strcmp(type, names[last]) == 0,
        TKP_ERR_UNSUPPORTED, "%s: %smodel_type is \"%.40s\", wanted \"%s\"",
        at->file, at->section, type, names[first]);
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
    if (t->kv_heads == 0)
        t->kv_heads = t->heads;
    return tkp__json_int(
        &t->kv_heads, at, "num_key_value_heads", 1, TKP__MAX_HEADS);
}

static tkp_status read_heads(tkp__text_config *t, const tkp__json_at *at)
{
    TKP__CHECK(
        t->heads % t->kv_heads == 0, TKP_ERR_FORMAT,
        "%s: %snum_attention_heads is %lld, wanted a multiple of "
        "num_key_value_heads %lld",
        at->file, at->section, (long long)t->heads, (long long)t->kv_heads);
    if (tkp__json_get(at, "head_dim")) {
        TKP__TRY(
            tkp__json_int(&t->head_dim, at, "head_dim", 2, TKP__MAX_HEAD_DIM));
    } else {
        TKP__CHECK(
            t->hidden % t->heads == 0, TKP_ERR_FORMAT,
            "%s: %shidden_size is %lld, wanted a multiple of "
            "num_attention_heads %lld",
            at->file, at->section, (long long)t->hidden, (long long)t->heads);
        t->head_dim = t->hidden / t->heads;
    }
    TKP__CHECK(
        t->head_dim % 2 == 0 && t->head_dim <= TKP__MAX_HEAD_DIM,
        TKP_ERR_FORMAT, "%s: %shead_dim is %lld, wanted even and at most %d",
        at->file, at->section, (long long)t->head_dim, TKP__MAX_HEAD_DIM);
    return TKP_OK;
}

/* A scaling of either spelling must be "default" (or absent); Qwen2-VL says
 * "mrope" in one of two places, and means the sections. */
static tkp_status check_rope_kind(const tkp__json_at *rope, bool qwen)
{
    static const char *const keys[] = {"type", "rope_type"};
    for (size_t i = 0; i < 2; i++) {
        const char *type = "default";
        TKP__TRY(tkp__json_text(&type, rope, keys[i]));
        TKP__CHECK(
            strcmp(type, "default") == 0 ||
                (qwen && strcmp(type, "mrope") == 0),
            TKP_ERR_UNSUPPORTED, "%s: %s%s is \"%.40s\", wanted \"default\"%s",
            rope->file, rope->section, keys[i], type,
            qwen ? " or \"mrope\"" : "");
    }
    double part = 1.0;
    return tkp__json_real(&part, rope, "partial_rotary_factor", 1.0, 1.0);
}

/* Three numbers of pairs that make up a head. */
static tkp_status read_sections(tkp__text_config *t, const tkp__json_at *rope)
{
    const json_t *list = tkp__json_get(rope, "mrope_section");
    int64_t sum = 0;
    if (!list)
        return TKP_OK;
    TKP__CHECK(
        json_array_size(list) == 3, TKP_ERR_FORMAT,
        "%s: %smrope_section is no array of 3 integers", rope->file,
        rope->section);
    for (size_t i = 0; i < 3; i++) {
        const json_t *item = json_array_get(list, i);
        const json_int_t pairs = json_integer_value(item);
        TKP__CHECK(
            json_is_integer(item) && pairs >= 0 && pairs <= TKP__MAX_HEAD_DIM,
            TKP_ERR_FORMAT, "%s: %smrope_section[%zu] is not within 0 to %d",
            rope->file, rope->section, i, TKP__MAX_HEAD_DIM);
        t->rope_section[i] = (int32_t)pairs;
        sum += pairs;
    }
    TKP__CHECK(
        2 * sum == t->head_dim, TKP_ERR_FORMAT,
        "%s: %smrope_section adds up to %lld, wanted half of head_dim %lld",
        rope->file, rope->section, (long long)sum, (long long)t->head_dim);
    return TKP_OK;
}

/* rope_theta stood at the top before transformers 5, in rope_parameters
 * since; a null rope_scaling is the common old spelling of "none". */
static tkp_status
read_rope(tkp__text_config *t, const tkp__json_at *at, bool qwen)
{
    tkp__json_at place[2];
    const bool nested = at->section[0] != '\0';
    TKP__TRY(tkp__json_section(
        &place[0], at, "rope_scaling",
        nested ? "text_config.rope_scaling." : "rope_scaling."));
    TKP__TRY(tkp__json_section(
        &place[1], at, "rope_parameters",
        nested ? "text_config.rope_parameters." : "rope_parameters."));
    TKP__TRY(tkp__json_real(&t->rope_theta, at, "rope_theta", 1.0, 1e12));
    for (size_t i = 0; i < 2; i++) {
        TKP__TRY(check_rope_kind(&place[i], qwen));
        TKP__TRY(
            tkp__json_real(&t->rope_theta, &place[i], "rope_theta", 1.0, 1e12));
        if (qwen)
            TKP__TRY(read_sections(t, &place[i]));
    }
    TKP__CHECK(
        !qwen || t->rope_section[0] + t->rope_section[1] + t->rope_section[2],
        TKP_ERR_FORMAT,
        "%s: mrope_section is missing, wanted it in rope_scaling or "
        "rope_parameters",
        at->file);
    return TKP_OK;
}

/* Rows that look back only so far: written in published files, and off. */
static tkp_status check_window(const tkp__json_at *at)
{
    bool windows = false;
    TKP__TRY(tkp__json_bool(&windows, at, "use_sliding_window"));
    TKP__CHECK(
        !windows, TKP_ERR_UNSUPPORTED,
        "%s: %suse_sliding_window is true, wanted false", at->file,
        at->section);
    return TKP_OK;
}

/* LlamaConfig has one switch for the four projections of attention;
 * Qwen2VLConfig has none: q, k and v have biases. */
static tkp_status read_biases(tkp__text_config *t, const tkp__json_at *at)
{
    TKP__TRY(tkp__json_bool(&t->attention_bias, at, "attention_bias"));
    t->output_bias = t->attention_bias;
    return tkp__json_bool(&t->mlp_bias, at, "mlp_bias");
}

tkp_status tkp__config_read_text(
    tkp__text_config *out,
    const tkp__json_at *root,
    int32_t kind)
{
    const bool qwen = kind == TKP__MODEL_QWEN2_VL;
    tkp__text_config t = qwen ? qwen_default : llama_default;
    tkp__json_at at;
    TKP__TRY(tkp__json_section(&at, root, "text_config", "text_config."));
    if (qwen && !at.object)
        at = *root;
    TKP__TRY(check_kind(&at, qwen));
    TKP__TRY(read_sizes(&t, &at));
    TKP__TRY(read_heads(&t, &at));
    TKP__TRY(read_rope(&t, &at, qwen));
    TKP__TRY(tkp__json_real(&t.norm_eps, &at, "rms_norm_eps", 0.0, 1.0));
    TKP__TRY(tkp__config_activation(&t.activation, &at, "hidden_act"));
    TKP__TRY(qwen ? check_window(&at) : read_biases(&t, &at));
    /* Either place may ask for tying; it matters only where no head is
     * stored. */
    bool outer = false;
    TKP__TRY(tkp__json_bool(&outer, root, "tie_word_embeddings"));
    TKP__TRY(tkp__json_bool(&t.tie_embeddings, &at, "tie_word_embeddings"));
    t.tie_embeddings = t.tie_embeddings || outer;
    *out = t;
    return TKP_OK;
}
