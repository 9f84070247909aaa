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
    return tkp__planner_op(
        p, &v->attention, TKP_OP_ATTENTION, args, 8, &params);
}

static tkp_status take_shapes(
    tkp__vit *v,
    const tkp__planner *p,
    const tkp__vision_config *c,
    int64_t tokens)
{
    v->dtype = p->dtype;
    v->layers = (int32_t)c->layers;
    v->heads = (int32_t)c->heads;
    v->hidden = c->hidden;
    v->intermediate = c->intermediate;
    v->patch_values = 3 * c->frames * c->patch * c->patch;
    v->merge = c->merge;
    v->most_patches = tokens * c->merge * c->merge;
    TKP__CHECK(
        v->most_patches <= INT32_MAX / 2, TKP_ERR_UNSUPPORTED,
        "config.json: %lld visual tokens of %lld patches, wanted at most %d "
        "patches",
        (long long)tokens, (long long)(c->merge * c->merge), INT32_MAX / 2);
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
    tkp_op *const ops[] = {v->take_pixels, v->rotary_table, v->rotary,
                           v->widen,       v->narrow,       v->attention,
                           v->activation};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        tkp_op_destroy(ops[i]);
    *v = (tkp__vit){0};
}
