/* Loading a model directory. */

#include "mllm/model.h"
#include "tokenprune/sys/base.h"

static tkp_status
check_options(tkp_mllm_options *o, const tkp_mllm_options *given)
{
    *o = (tkp_mllm_options)TKP_MLLM_OPTIONS_INIT;
    if (given)
        TKP__TRY(tkp__util_copy_options(
            o, sizeof(*o), given, given->struct_size,
            TKP__SIZE_THROUGH(tkp_mllm_options, max_pixels), "mllm options"));
    TKP__CHECK(
        o->dtype == 0 || o->dtype == TKP_DTYPE_F32 ||
            o->dtype == TKP_DTYPE_BF16,
        TKP_ERR_OPTION, "mllm options: dtype is %s, wanted f32, bf16 or 0",
        tkp_dtype_string(o->dtype));
    TKP__CHECK(
        o->pack >= TKP_PACK_AUTO && o->pack <= TKP_PACK_ALWAYS, TKP_ERR_OPTION,
        "mllm options: pack is %d, wanted %d to %d", o->pack, TKP_PACK_AUTO,
        TKP_PACK_ALWAYS);
    TKP__CHECK(
        o->tiling >= TKP_MLLM_TILING_TRANSFORMERS &&
            o->tiling <= TKP_MLLM_TILING_FLAT,
        TKP_ERR_OPTION, "mllm options: tiling is %d, wanted 0 to %d", o->tiling,
        TKP_MLLM_TILING_FLAT);
    TKP__CHECK(
        o->max_pixels >= 0, TKP_ERR_OPTION,
        "mllm options: max_pixels is %lld, wanted 0 or more",
        (long long)o->max_pixels);
    return TKP_OK;
}

static tkp_status load_text(tkp_mllm *m, const char *directory)
{
    TKP__TRY(tkp__tokenizer_load(&m->tokenizer, directory));
    const int32_t id = m->config.image_token_id;
    m->image_token = tkp__tokenizer_piece(m->tokenizer, id);
    TKP__CHECK(
        m->image_token, TKP_ERR_FORMAT,
        "%s: config.json: the image token is %d, tokenizer.json has no such id",
        directory, id);
    TKP__CHECK(
        id >= 0 && id < m->config.text.vocab, TKP_ERR_FORMAT,
        "%s: config.json: the image token is %d, wanted below vocab_size %lld",
        directory, id, (long long)m->config.text.vocab);
    /* A tokenizer without the piece is good for pictures all the same. */
    m->video_token =
        tkp__tokenizer_piece(m->tokenizer, m->config.video_token_id);
    return TKP_OK;
}

/* What any resolution needs beside. */
static tkp_status plan_tiles(tkp_mllm *m, tkp__planner *planner)
{
    const int64_t rows = m->decoder.most_rows;
    TKP__TRY(tkp__gather_load(&m->pick_patches, planner, INT32_MAX, rows));
    TKP__TRY(tkp__planner_weight(planner, &m->newline, "newline"));
    return tkp__scatter_load(
        &m->place_newlines, planner, m->newline.dtype, rows, rows,
        m->decoder.hidden);
}

/* The encoder, and the projector behind it. */
static tkp_status plan_vision(tkp_mllm *m, tkp__planner *planner)
{
    const tkp__vision_config *vision = &m->config.vision;
    int64_t tokens;
    if (tkp__any_size(m)) {
        tokens = m->config.text.max_positions;
        TKP__TRY(tkp__vit_load(&m->vit, planner, vision, tokens));
    } else {
        TKP__TRY(tkp__vision_load(&m->vision, planner, vision));
        tokens = TKP__VISION_VIEWS * m->vision.patches;
    }
    return tkp__projector_load(&m->projector, planner, &m->config, tokens);
}

static tkp_status plan_parts(tkp_mllm *m, int32_t pack)
{
    tkp__planner planner = {
        .context = m->context,
        .weights = m->weights,
        .copies = m->copies,
        .dtype = m->dtype,
        .pack = pack,
    };
    TKP__TRY(plan_vision(m, &planner));
    TKP__TRY(tkp__decoder_load(&m->decoder, &planner, &m->config.text));
    TKP__TRY(tkp__scatter_load(
        &m->place_visual, &planner, m->dtype, m->decoder.most_rows,
        m->decoder.most_rows, m->decoder.hidden));
    if (m->config.image.pinpoints)
        TKP__TRY(plan_tiles(m, &planner));
    m->parameters = planner.parameters;
    m->workspace_bytes = planner.workspace_bytes;
    return TKP_OK;
}

static tkp_status
load(tkp_mllm *m, const char *directory, const tkp_mllm_options *o)
{
    TKP__TRY(tkp__model_config_load(&m->config, directory));
    TKP__CHECK(
        !o->tiling || m->config.image.pinpoints, TKP_ERR_OPTION,
        "mllm options: tiling is %d, but the model sees no tiles; wanted 0",
        o->tiling);
    m->config.image.tiling = o->tiling;
    TKP__TRY(tkp__weights_open(&m->weights, directory, &m->config));
    TKP__TRY(load_text(m, directory));
    m->max_pixels = o->max_pixels;
    m->dtype = o->dtype;
    if (!m->dtype)
        m->dtype = tkp__weights_dtype(m->weights) == TKP_DTYPE_BF16
                       ? TKP_DTYPE_BF16
                       : TKP_DTYPE_F32;
    TKP__TRY(tkp__device_weights_create(&m->copies, m->context));
    TKP__TRY(plan_parts(m, o->pack));
    m->workspaces = tkp__alloc(1, sizeof(*m->workspaces));
    if (!m->workspaces)
        return TKP_ERR_MEMORY;
    *m->workspaces = (tkp__workspace_pool)TKP__WORKSPACE_POOL_INIT(m->context);
    return TKP_OK;
}

void tkp_mllm_destroy(tkp_mllm *m)
{
    if (!m)
        return;
    /* First what needs the context: it may go with the last op. */
    if (m->workspaces)
        tkp__workspace_pool_release(m->workspaces);
    tkp__free(m->workspaces);
    tkp__decoder_release(&m->decoder);
    tkp__projector_release(&m->projector);
    tkp__vision_release(&m->vision);
    tkp__vit_release(&m->vit);
    tkp_op_destroy(m->pick_patches);
    tkp_op_destroy(m->place_visual);
    tkp_op_destroy(m->place_newlines);
    tkp__tokenizer_destroy(m->tokenizer);
    tkp__device_weights_destroy(m->copies);
    tkp__weights_close(m->weights);
    tkp__free(m);
}

tkp_status tkp_mllm_load(
    tkp_mllm **out,
    tkp_context *context,
    const char *directory,
    const tkp_mllm_options *options)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(context, TKP_ERR_ARGUMENT, "context is NULL");
    TKP__CHECK(directory, TKP_ERR_ARGUMENT, "directory is NULL");
    tkp_mllm_options o;
    TKP__TRY(check_options(&o, options));
    tkp_mllm *m = tkp__zalloc(1, sizeof(*m));
    if (!m)
        return TKP_ERR_MEMORY;
    m->context = context;
    const tkp_status status = load(m, directory, &o);
    if (status != TKP_OK) {
        tkp_mllm_destroy(m);
        return status;
    }
    *out = m;
    tkp_sys_message_clear();
    return TKP_OK;
}

/* --- what was loaded ------------------------------------------------------- */

void tkp_mllm_options_init(tkp_mllm_options *options)
{
    if (options)
        *options = (tkp_mllm_options)TKP_MLLM_OPTIONS_INIT;
}

void tkp_mllm_info_init(tkp_mllm_info *info)
{
    if (info)
        *info = (tkp_mllm_info)TKP_MLLM_INFO_INIT;
}

static const char *kind_name(const tkp_mllm *m)
{
    switch (m->config.kind) {
    case TKP__MODEL_QWEN2_VL:
        return "qwen2_vl";
    case TKP__MODEL_LLAVA_NEXT:
        return "llava_next";
    default:
        return "llava";
    }
}

tkp_status tkp_mllm_get_info(const tkp_mllm *m, tkp_mllm_info *info)
{
    tkp_sys_message_clear();
    TKP__CHECK(m, TKP_ERR_ARGUMENT, "model is NULL");
    TKP__CHECK(info, TKP_ERR_ARGUMENT, "info is NULL");
    const tkp_mllm_info all = {
        .struct_size = sizeof(all),
        .dtype = m->dtype,
        .weight_dtype = tkp__weights_dtype(m->weights),
        .layers = m->decoder.layers,
        .heads = m->decoder.heads,
        .kv_heads = m->decoder.kv_heads,
        .head_dim = (int32_t)m->decoder.head_dim,
        .hidden = m->decoder.hidden,
        .intermediate = m->decoder.intermediate,
        .vocab = m->decoder.vocab,
        .max_positions = m->decoder.max_positions,
        .vision_layers = (int32_t)m->config.vision.feature_layer,
        .vision_heads = (int32_t)m->config.vision.heads,
        .vision_hidden = m->config.vision.hidden,
        .grid_rows = (int32_t)m->vision.grid,
        .grid_cols = (int32_t)m->vision.grid,
        .parameters = m->parameters,
        .weight_bytes = tkp__weights_bytes(m->weights),
        .kind = kind_name(m),
    };
    return tkp__util_fill_struct(
        info, &all, sizeof(all), TKP__SIZE_THROUGH(tkp_mllm_info, kind),
        "info");
}
