/*
 * generation_config.json: end tokens (one or a list) and sampling. Token ids
 * that it does not give come from the text configuration.
 */

#include "mllm/checkpoint/config_parts.h"

#define MAX_EOS ((size_t)16)

static const tkp__generation_config llama_default = {
    .bos = 1,
    .pad = -1,
    .eos = {2},
    .eos_count = 1,
    .temperature = 1.0,
    .top_p = 1.0,
    .repetition_penalty = 1.0,
    .top_k = 50};

static const tkp__generation_config qwen_default = {
    .bos = 151643,
    .pad = -1,
    .eos = {151645},
    .eos_count = 1,
    .temperature = 1.0,
    .top_p = 1.0,
    .repetition_penalty = 1.0,
    .top_k = 50};

/* -1 is an old way to write "none". */
static tkp_status
read_token(int32_t *out, const tkp__json_at *at, const char *key, int64_t vocab)
{
    int64_t token = *out;
    TKP__TRY(tkp__json_int(&token, at, key, -1, vocab - 1));
    *out = (int32_t)token;
    return TKP_OK;
}

static tkp_status read_eos_list(
    tkp__generation_config *out,
    const tkp__json_at *at,
    const json_t *list,
    int64_t vocab)
{
    const size_t count = json_array_size(list);
    TKP__CHECK(
        count >= 1 && count <= MAX_EOS, TKP_ERR_FORMAT,
        "%s: %seos_token_id has %zu tokens, wanted 1 to %zu", at->file,
        at->section, count, MAX_EOS);
    for (size_t i = 0; i < count; i++) {
        const json_t *token = json_array_get(list, i);
        TKP__CHECK(
            json_is_integer(token) && json_integer_value(token) >= 0 &&
                json_integer_value(token) < vocab,
            TKP_ERR_FORMAT,
            "%s: %seos_token_id[%zu] is no token, wanted 0 to %lld", at->file,
            at->section, i, (long long)vocab - 1);
        out->eos[i] = (int32_t)json_integer_value(token);
    }
    out->eos_count = (int32_t)count;
    return TKP_OK;
}

static tkp_status
read_eos(tkp__generation_config *out, const tkp__json_at *at, int64_t vocab)
{
    const json_t *value = tkp__json_get(at, "eos_token_id");
    if (json_is_array(value))
        return read_eos_list(out, at, value, vocab);
    if (!value)
        return TKP_OK;
    int32_t token = -1;
    TKP__TRY(read_token(&token, at, "eos_token_id", vocab));
    out->eos[0] = token;
    out->eos_count = token >= 0 ? 1 : 0;
    return TKP_OK;
}

static tkp_status
read_tokens(tkp__generation_config *out, const tkp__json_at *at, int64_t vocab)
{
    TKP__TRY(read_token(&out->bos, at, "bos_token_id", vocab));
    TKP__TRY(read_token(&out->pad, at, "pad_token_id", vocab));
    return read_eos(out, at, vocab);
}

static tkp_status
read_sampling(tkp__generation_config *out, const tkp__json_at *at)
{
    TKP__TRY(tkp__json_bool(&out->do_sample, at, "do_sample"));
    TKP__TRY(tkp__json_real(&out->temperature, at, "temperature", 0.0, 1e6));
    TKP__TRY(tkp__json_real(&out->top_p, at, "top_p", 0.0, 1.0));
    TKP__TRY(tkp__json_real(
        &out->repetition_penalty, at, "repetition_penalty", 1e-6, 1e6));
    return tkp__json_int(&out->top_k, at, "top_k", 0, TKP__MAX_VOCAB);
}

static tkp_status
read_file(tkp__generation_config *out, const char *path, int64_t vocab)
{
    json_t *root = NULL;
    TKP__TRY(tkp__json_load(&root, path, true));
    const tkp__json_at at = {.object = root, .file = path, .section = ""};
    tkp_status status = read_tokens(out, &at, vocab);
    if (status == TKP_OK)
        status = read_sampling(out, &at);
    json_decref(root);
    return status;
}

/* These ids are defaults, not claims: a small vocabulary lacks them. */
static void drop_outside(tkp__generation_config *out, int64_t vocab)
{
    if (out->bos >= vocab)
        out->bos = -1;
    if (out->eos_count == 1 && out->eos[0] >= vocab)
        out->eos_count = 0;
}

tkp_status tkp__config_read_generation(
    tkp__generation_config *out,
    const char *model_dir,
    const tkp__json_at *root,
    int32_t kind,
    int64_t vocab)
{
    tkp__generation_config g =
        kind == TKP__MODEL_QWEN2_VL ? qwen_default : llama_default;
    drop_outside(&g, vocab);
    tkp__json_at text;
    TKP__TRY(tkp__json_section(&text, root, "text_config", "text_config."));
    TKP__TRY(read_tokens(&g, &text, vocab));
    TKP__TRY(read_tokens(&g, root, vocab));
    char *path = tkp__path_join(model_dir, "generation_config.json");
    if (!path)
        return TKP_ERR_MEMORY;
    const tkp_status status = read_file(&g, path, vocab);
    tkp__free(path);
    if (status == TKP_OK)
        *out = g;
    return status;
}
