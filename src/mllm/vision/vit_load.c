/* Qwen2-VL's vision transformer: weights and plans. */

#include "mllm/vision/vit.h"

/* Of the class; no configuration has it. */
#define ROTARY_THETA 10000.0

static tkp_status
load_layer(tkp__vit *v, tkp__planner *p, double eps, int32_t i)
{
    static const char block[] = "vit.blocks";
    tkp__vit_layer *l = &v->layer[i];
    const int64_t rows = v->most_patches;
    const uint32_t bias = TKP__LINEAR_BIAS;
    const uint32_t onto = TKP__LINEAR_BIAS | TKP__LINEAR_RESIDUAL;
    TKP__TRY(
        tkp__norm_load(&l->norm1, p, rows, true, eps, "%s.%d.norm1", block, i));
    TKP__TRY(
        tkp__norm_load(&l->norm2, p, rows, true, eps, "%s.%d.norm2", block, i));
    TKP__TRY(
        tkp__linear_load(&l->qkv, p, rows, bias, "%s.%d.attn.qkv", block, i));
    TKP__TRY(
        tkp__linear_load(&l->out, p, rows, onto, "%s.%d.attn.proj", block, i));
    TKP__TRY(
        tkp__linear_load(&l->fc1, p, rows, bias, "%s.%d.mlp.fc1", block, i));
    return tkp__linear_load(&l->fc2, p, rows, onto, "%s.%d.mlp.fc2", block, i);
}

static tkp_status load_cast(
    tkp_op **out,
    tkp__planner *p,
    int64_t rows,
    int64_t width,
    int32_t from,
    int32_t to)
{
    tkp_tensor args[2];
    tkp_tensor_make_2d(&args[0], NULL, from, rows, width);
    tkp_tensor_make_2d(&args[1], NULL, to, rows, width);
    return tkp__planner_op(p, out, TKP_OP_CAST, args, 2, NULL);
}

/* Half of a head's pairs turn with a patch's row and half with its column,
 * both at the same speeds: two rows of a table half as wide. The rotation is
 * f32 for any dtype. */
static tkp_status load_rotary(tkp__vit *v, tkp__planner *p)
{
    const int64_t n = v->most_patches, c = v->hidden / v->heads;
    const tkp_op_rotary_table table = {
        .struct_size = sizeof(table),
        .theta = ROTARY_THETA,
    };
    tkp_tensor args[4];
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_I32, 1, 2 * n);
    tkp_tensor_make_2d(&args[1], NULL, TKP_DTYPE_F32, 2 * n, c / 4);
    args[2] = args[1];
    TKP__TRY(tkp__planner_op(
        p, &v->rotary_table, TKP_OP_ROTARY_TABLE, args, 3, &table));
    tkp_tensor_make_3d(&args[0], NULL, TKP_DTYPE_F32, n, 2 * v->heads, c);
    tkp_tensor_make_2d(&args[1], NULL, TKP_DTYPE_F32, n, c / 2);
    args[2] = args[1];
    args[3] = args[0];
    TKP__TRY(tkp__planner_op(p, &v->rotary, TKP_OP_ROTARY, args, 4, NULL));
    if (p->dtype == TKP_DTYPE_F32)
        return TKP_OK;
    TKP__TRY(
        load_cast(&v->widen, p, n, 2 * v->hidden, p->dtype, TKP_DTYPE_F32));
    return load_cast(&v->narrow, p, n, 2 * v->hidden, TKP_DTYPE_F32, p->dtype);
}

static tkp_status load_attention(tkp__vit *v, tkp__planner *p)
{
    const tkp_op_attention params = {.struct_size = sizeof(params)};
    const int64_t n = v->most_patches, frames = n / (v->merge * v->merge);
    tkp_tensor args[8] = {0};
    tkp_tensor_make_3d(
        &args[0], NULL, p->dtype, n, v->heads, v->hidden / v->heads);
    args[1] = args[2] = args[5] = args[0];
    args[3] = args[4] = tkp__ints(NULL, frames + 1);
    TKP__TRY(
        tkp__planner_op(p, &v->attention, TKP_OP_ATTENTION, args, 8, &params));
    tkp_tensor_make_2d(&args[6], NULL, TKP_DTYPE_F32, n, v->heads);
    return tkp__planner_op(
        p, &v->attention_lse, TKP_OP_ATTENTION, args, 8, &params);
}

/* Attention that each patch receives from those of its frame. */
static tkp_status load_columns(tkp__vit *v, tkp__planner *p)
{
    const int64_t n = v->most_patches, frames = n / (v->merge * v->merge);
    tkp_op_attention_scores params = {
        .struct_size = sizeof(params),
        .row_reduce = TKP_ROW_REDUCE_MEAN,
    };
    tkp_tensor args[10] = {0};
    tkp_tensor_make_3d(
        &args[0], NULL, p->dtype, n, v->heads, v->hidden / v->heads);
    args[1] = args[0];
    args[4] = args[6] = args[7] = tkp__ints(NULL, frames + 1);
    args[5] = args[8] = tkp__ints(NULL, n);
    tkp_tensor_make_1d(&args[9], NULL, TKP_DTYPE_F32, n);
    params.flags = TKP_ATTENTION_LOGITS;
    TKP__TRY(tkp__planner_op(
        p, &v->column_logits, TKP_OP_ATTENTION_SCORES, args, 10, &params));
    tkp_tensor_make_2d(&args[2], NULL, TKP_DTYPE_F32, n, v->heads);
    params.flags = 0;
    return tkp__planner_op(
        p, &v->column_scores, TKP_OP_ATTENTION_SCORES, args, 10, &params);
}

/* Means over a cell: of one number a patch, of the keys of all heads. */
static tkp_status load_means(tkp__vit *v, tkp__planner *p)
{
    const int64_t n = v->most_patches, cells = n / (v->merge * v->merge);
    const int64_t c = v->hidden / v->heads;
    const tkp_op_group_pool mean = {
        .struct_size = sizeof(mean),
        .pool = TKP_POOL_AVERAGE,
    };
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_F32, n, 1);
    args[1] = tkp__ints(NULL, cells + 1);
    args[2] = tkp__ints(NULL, n);
    tkp_tensor_make_2d(&args[4], NULL, TKP_DTYPE_F32, cells, 1);
    TKP__TRY(
        tkp__planner_op(p, &v->mean_scores, TKP_OP_GROUP_POOL, args, 5, &mean));
    tkp_tensor_make_2d(&args[0], NULL, p->dtype, 2 * n * v->heads, c);
    args[2] = tkp__ints(NULL, n * v->heads);
    tkp_tensor_make_2d(&args[4], NULL, p->dtype, cells, c);
    return tkp__planner_op(p, &v->mean_keys, TKP_OP_GROUP_POOL, args, 5, &mean);
}

static tkp_status take_shapes(
    tkp__vit *v,
    const tkp__planner *p,
    const tkp__vision_config *c,
    int64_t tokens)
{
    v->context = p->context;
    v->dtype = p->dtype;
    v->layers = (int32_t)c->layers;
    v->heads = (int32_t)c->heads;
    v->hidden = c->hidden;
    v->intermediate = c->intermediate;
    v->patch_values = 3 * c->frames * c->patch * c->patch;
    v->merge = c->merge;
    v->most_patches = tokens * c->merge * c->merge;
    TKP__CHECK(
        v->most_patches <= INT32_MAX / (2 * c->heads), TKP_ERR_UNSUPPORTED,
        "config.json: %lld visual tokens of %lld patches and %lld heads, wanted "
        "at most %d in all",
        (long long)tokens, (long long)(c->merge * c->merge),
        (long long)c->heads, INT32_MAX / 2);
    return TKP_OK;
}

tkp_status tkp__vit_load(
    tkp__vit *v,
    tkp__planner *p,
    const tkp__vision_config *c,
    int64_t tokens)
{
    TKP__TRY(take_shapes(v, p, c, tokens));
    const int64_t n = v->most_patches;
    v->layer = tkp__zalloc((size_t)v->layers, sizeof(*v->layer));
    if (!v->layer)
        return TKP_ERR_MEMORY;
    TKP__TRY(load_cast(
        &v->take_pixels, p, n, v->patch_values, TKP_DTYPE_F32, p->dtype));
    TKP__TRY(
        tkp__linear_load(&v->patch_embedding, p, n, 0, "vit.patch_embed.proj"));
    TKP__TRY(load_rotary(v, p));
    TKP__TRY(load_attention(v, p));
    TKP__TRY(load_columns(v, p));
    TKP__TRY(load_means(v, p));
    TKP__TRY(tkp__activation_load(
        &v->activation, p, n, v->intermediate, c->activation, false));
    for (int32_t i = 0; i < v->layers; i++)
        TKP__TRY(load_layer(v, p, c->norm_eps, i));
    return tkp__norm_load(
        &v->cell_norm, p, n, true, c->norm_eps, "vit.merger.ln_q");
}

void tkp__vit_release(tkp__vit *v)
{
    for (int32_t i = 0; v->layer && i < v->layers; i++) {
        tkp__vit_layer *l = &v->layer[i];
        tkp__linear *const linears[] = {&l->qkv, &l->out, &l->fc1, &l->fc2};
        for (size_t j = 0; j < sizeof(linears) / sizeof(linears[0]); j++)
            tkp__linear_free(linears[j]);
        tkp__norm_free(&l->norm1);
        tkp__norm_free(&l->norm2);
    }
    tkp__free(v->layer);
    tkp__linear_free(&v->patch_embedding);
    tkp__norm_free(&v->cell_norm);
    tkp_op *const ops[] = {v->take_pixels,   v->rotary_table,  v->rotary,
                           v->widen,         v->narrow,        v->attention,
                           v->attention_lse, v->activation,    v->mean_keys,
                           v->column_scores, v->column_logits, v->mean_scores};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        tkp_op_destroy(ops[i]);
    *v = (tkp__vit){0};
}
