/* CLIP: weights and plans. */

#include "mllm/vision/vision.h"

static tkp_status
load_layer(tkp__vision *v, tkp__planner *p, double eps, int32_t i)
{
    static const char layer[] = "vit.encoder.layers";
    tkp__vision_layer *l = &v->layer[i];
    const int64_t rows = TKP__VISION_VIEWS * (v->patches + 1);
    const uint32_t bias = TKP__LINEAR_BIAS;
    const uint32_t onto = TKP__LINEAR_BIAS | TKP__LINEAR_RESIDUAL;
    TKP__TRY(tkp__norm_load(
        &l->norm1, p, rows, true, eps, "%s.%d.layer_norm1", layer, i));
    TKP__TRY(tkp__norm_load(
        &l->norm2, p, rows, true, eps, "%s.%d.layer_norm2", layer, i));
    TKP__TRY(tkp__linear_load(
        &l->q, p, rows, bias, "%s.%d.self_attn.q_proj", layer, i));
    TKP__TRY(tkp__linear_load(
        &l->k, p, rows, bias, "%s.%d.self_attn.k_proj", layer, i));
    TKP__TRY(tkp__linear_load(
        &l->v, p, rows, bias, "%s.%d.self_attn.v_proj", layer, i));
    TKP__TRY(tkp__linear_load(
        &l->out, p, rows, onto, "%s.%d.self_attn.out_proj", layer, i));
    TKP__TRY(
        tkp__linear_load(&l->fc1, p, rows, bias, "%s.%d.mlp.fc1", layer, i));
    return tkp__linear_load(&l->fc2, p, rows, onto, "%s.%d.mlp.fc2", layer, i);
}

/* Of the block behind the last one that runs: what its attention needs. Not
 * counted among the parameters. */
static tkp_status load_behind(tkp__vision *v, tkp__planner *p, double eps)
{
    tkp__vision_layer *l = &v->layer[v->layers];
    const int64_t rows = TKP__VISION_VIEWS * (v->patches + 1);
    const int64_t parameters = p->parameters;
    const int32_t i = v->layers;
    static const char layer[] = "vit.encoder.layers";
    v->last_seen = v->layers - 1;
    if (!tkp__planner_has(p, "%s.%d.self_attn.k_proj.weight", layer, i))
        return TKP_OK;
    TKP__TRY(tkp__norm_load(
        &l->norm1, p, rows, true, eps, "%s.%d.layer_norm1", layer, i));
    TKP__TRY(tkp__linear_load(
        &l->q, p, rows, TKP__LINEAR_BIAS, "%s.%d.self_attn.q_proj", layer, i));
    TKP__TRY(tkp__linear_load(
        &l->k, p, rows, TKP__LINEAR_BIAS, "%s.%d.self_attn.k_proj", layer, i));
    p->parameters = parameters;
    v->last_seen = v->layers;
    return TKP_OK;
}

static tkp_status
load_embeddings(tkp__vision *v, tkp__planner *p, const tkp__vision_config *c)
{
    const int64_t views = TKP__VISION_VIEWS;
    const int64_t rows = views * (v->patches + 1);
    tkp_tensor args[3];
    const tkp_op_patches cut = {
        .struct_size = sizeof(cut),
        .patch = (int32_t)v->patch,
    };
    tkp_tensor_make(
        &args[0], NULL, TKP_DTYPE_F32, 4,
        (int64_t[]){views, 3, v->image, v->image});
    tkp_tensor_make_2d(
        &args[1], NULL, p->dtype, views * v->patches, v->patch_values);
    TKP__TRY(tkp__planner_op(p, &v->cut, TKP_OP_PATCHES, args, 2, &cut));
    TKP__TRY(tkp__linear_load(
        &v->patch_embedding, p, views * v->patches, 0,
        "vit.embeddings.patch_embedding"));
    TKP__TRY(tkp__planner_weight(
        p, &v->class_embedding, "vit.embeddings.class_embedding"));
    v->class_embedding = tkp__as_rows(
        &v->class_embedding, v->class_embedding.dtype, 1, v->hidden);
    TKP__TRY(tkp__planner_weight(
        p, &v->position_embedding, "vit.embeddings.position_embedding.weight"));
    TKP__TRY(tkp__scatter_load(
        &v->place, p, p->dtype, views * v->patches, rows, v->hidden));
    TKP__TRY(tkp__scatter_load(
        &v->place_class, p, v->class_embedding.dtype, views, rows, v->hidden));
    tkp_tensor_make_2d(&args[0], NULL, p->dtype, rows, v->hidden);
    args[1] = v->position_embedding;
    args[1].data = NULL;
    args[2] = args[0];
    TKP__TRY(tkp__planner_op(p, &v->add, TKP_OP_ADD, args, 3, NULL));
    return tkp__norm_load(
        &v->pre_norm, p, rows, true, c->norm_eps, "vit.pre_layrnorm");
}

static tkp_status load_attention(tkp__vision *v, tkp__planner *p)
{
    const int64_t views = TKP__VISION_VIEWS;
    const int64_t rows = views * (v->patches + 1);
    tkp_tensor args[10] = {0};
    const tkp_op_attention attention = {.struct_size = sizeof(attention)};
    tkp_tensor_make_3d(
        &args[0], NULL, p->dtype, rows, v->heads, v->hidden / v->heads);
    args[1] = args[2] = args[5] = args[0];
    args[3] = args[4] = tkp__ints(NULL, views + 1);
    TKP__TRY(tkp__planner_op(
        p, &v->attention[0], TKP_OP_ATTENTION, args, 8, &attention));
    tkp_tensor_make_1d(&args[7], NULL, TKP_DTYPE_F32, rows);
    TKP__TRY(tkp__planner_op(
        p, &v->attention[1], TKP_OP_ATTENTION, args, 8, &attention));

    const tkp_op_attention_scores scores = {.struct_size = sizeof(scores)};
    args[1] = args[0];
    args[0].shape[0] = views;
    args[2] = args[3] = (tkp_tensor){0};
    args[4] = args[6] = args[7] = tkp__ints(NULL, views + 1);
    args[5] = tkp__ints(NULL, views);
    args[8] = tkp__ints(NULL, views * v->patches);
    tkp_tensor_make_1d(&args[9], NULL, TKP_DTYPE_F32, views * v->patches);
    TKP__TRY(tkp__planner_op(
        p, &v->cls_scores, TKP_OP_ATTENTION_SCORES, args, 10, &scores));
    const tkp_op_attention_scores logits = {
        .struct_size = sizeof(logits),
        .flags = TKP_ATTENTION_LOGITS,
    };
    return tkp__planner_op(
        p, &v->cls_logits, TKP_OP_ATTENTION_SCORES, args, 10, &logits);
}

static tkp_status load_mean_keys(tkp__vision *v, tkp__planner *p)
{
    const int64_t n = TKP__VISION_VIEWS * v->patches;
    const int64_t rows = TKP__VISION_VIEWS * (v->patches + 1) * v->heads;
    const int64_t width = v->hidden / v->heads;
    const tkp_op_group_pool mean = {
        .struct_size = sizeof(mean),
        .pool = TKP_POOL_AVERAGE,
    };
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(&args[0], NULL, p->dtype, rows, width);
    args[1] = tkp__ints(NULL, n + 1);
    args[2] = tkp__ints(NULL, n * v->heads);
    tkp_tensor_make_2d(&args[4], NULL, p->dtype, n, width);
    return tkp__planner_op(p, &v->mean_keys, TKP_OP_GROUP_POOL, args, 5, &mean);
}

static tkp_status
take_shapes(tkp__vision *v, const tkp__planner *p, const tkp__vision_config *c)
{
    TKP__CHECK(
        c->drop_cls, TKP_ERR_UNSUPPORTED,
        "config.json: vision_feature_select_strategy is \"full\"; only "
        "\"default\" is available in this version");
    v->context = p->context;
    v->dtype = p->dtype;
    v->layers = (int32_t)c->feature_layer;
    v->depth = (int32_t)c->layers;
    v->heads = (int32_t)c->heads;
    v->hidden = c->hidden;
    v->intermediate = c->intermediate;
    v->image = c->image;
    v->patch = c->patch;
    v->patch_values = 3 * c->patch * c->patch;
    v->grid = c->image / c->patch;
    v->patches = v->grid * v->grid;
    TKP__CHECK(
        v->patches >= 1 && v->patches <= 65536, TKP_ERR_UNSUPPORTED,
        "config.json: vision_config: %lld patches, wanted 1 to 65536",
        (long long)v->patches);
    return TKP_OK;
}

tkp_status
tkp__vision_load(tkp__vision *v, tkp__planner *p, const tkp__vision_config *c)
{
    TKP__TRY(take_shapes(v, p, c));
    v->layer = tkp__zalloc((size_t)v->layers + 1, sizeof(*v->layer));
    if (!v->layer)
        return TKP_ERR_MEMORY;
    TKP__TRY(load_embeddings(v, p, c));
    for (int32_t i = 0; i < v->layers; i++)
        TKP__TRY(load_layer(v, p, c->norm_eps, i));
    TKP__TRY(load_behind(v, p, c->norm_eps));
    TKP__TRY(load_attention(v, p));
    TKP__TRY(load_mean_keys(v, p));
    const int64_t rows = TKP__VISION_VIEWS * (v->patches + 1);
    TKP__TRY(tkp__activation_load(
        &v->activation, p, rows, v->intermediate, c->activation, false));
    return tkp__gather_load(&v->pick, p, rows, rows);
}

void tkp__vision_release(tkp__vision *v)
{
    for (int32_t i = 0; v->layer && i <= v->layers; i++) {
        tkp__vision_layer *l = &v->layer[i];
        tkp__linear *const linears[] = {&l->q,   &l->k,   &l->v,
                                        &l->out, &l->fc1, &l->fc2};
        for (size_t j = 0; j < sizeof(linears) / sizeof(linears[0]); j++)
            tkp__linear_free(linears[j]);
        tkp__norm_free(&l->norm1);
        tkp__norm_free(&l->norm2);
    }
    tkp__free(v->layer);
    tkp__linear_free(&v->patch_embedding);
    tkp__norm_free(&v->pre_norm);
    tkp_op *const ops[] = {v->cut,          v->place,      v->place_class,
                           v->add,          v->activation, v->pick,
                           v->attention[0], v->cls_scores, v->attention[1],
                           v->cls_logits,   v->mean_keys};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        tkp_op_destroy(ops[i]);
    *v = (tkp__vision){0};
}
