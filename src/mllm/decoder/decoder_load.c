/* The language model: weights and plans. */

#include "mllm/decoder/decoder.h"

/* A step has no more rows than this, or than the model has positions. */
#define ROWS      INT64_C(16384)
#define SEQUENCES 256

static tkp_status load_layer(
    tkp__decoder *d,
    tkp__planner *p,
    const tkp__text_config *c,
    int32_t i)
{
    static const char layer[] = "lm.layers";
    tkp__decoder_layer *l = &d->layer[i];
    const int64_t rows = d->most_rows;
    const uint32_t attention = c->attention_bias ? TKP__LINEAR_BIAS : 0;
    const uint32_t output = c->output_bias ? TKP__LINEAR_BIAS : 0;
    const uint32_t mlp = c->mlp_bias ? TKP__LINEAR_BIAS : 0;
    const uint32_t onto = TKP__LINEAR_RESIDUAL;
    TKP__TRY(tkp__norm_load(
        &l->input_norm, p, rows, false, c->norm_eps, "%s.%d.input_layernorm",
        layer, i));
    TKP__TRY(tkp__linear_load(
        &l->q, p, rows, attention, "%s.%d.self_attn.q_proj", layer, i));
    TKP__TRY(tkp__linear_load(
        &l->k, p, rows, attention, "%s.%d.self_attn.k_proj", layer, i));
    TKP__TRY(tkp__linear_load(
        &l->v, p, rows, attention, "%s.%d.self_attn.v_proj", layer, i));
    TKP__TRY(tkp__linear_load(
        &l->o, p, rows, output | onto, "%s.%d.self_attn.o_proj", layer, i));
    TKP__TRY(tkp__norm_load(
        &l->mlp_norm, p, rows, false, c->norm_eps,
        "%s.%d.post_attention_layernorm", layer, i));
    TKP__TRY(tkp__linear_load(
        &l->gate, p, rows, mlp, "%s.%d.mlp.gate_proj", layer, i));
    TKP__TRY(
        tkp__linear_load(&l->up, p, rows, mlp, "%s.%d.mlp.up_proj", layer, i));
    return tkp__linear_load(
        &l->down, p, rows, mlp | onto, "%s.%d.mlp.down_proj", layer, i);
}

/* Scores of hidden rows want this weight in the dtype of the rows. */
static tkp_status convert_norm_weight(tkp__decoder *d, tkp__planner *p)
{
    tkp_tensor file;
    d->norm_weight = d->norm.weight;
    if (d->norm.weight.dtype == p->dtype)
        return TKP_OK;
    TKP__TRY(tkp__weights_get(p->weights, "lm.norm.weight", &file));
    d->norm_copy = tkp__alloc((size_t)d->hidden, tkp_dtype_bytes(p->dtype));
    if (!d->norm_copy)
        return TKP_ERR_MEMORY;
    tkp_tensor_make_1d(&d->norm_weight, d->norm_copy, p->dtype, d->hidden);
    for (int64_t i = 0; i < d->hidden; i++)
        tkp__store_f32(
            d->norm_copy, p->dtype, i,
            tkp__load_f32(tkp__data(&file), file.dtype, i));
    return tkp__device_weights_take(p->copies, &d->norm_weight);
}

static tkp_status
load_ends(tkp__decoder *d, tkp__planner *p, const tkp__text_config *c)
{
    const int64_t rows = d->most_rows;
    TKP__TRY(tkp__planner_weight(p, &d->embedding, "lm.embed_tokens.weight"));
    const int64_t most = d->vocab > rows ? d->vocab : rows;
    TKP__TRY(tkp__gather_load(&d->gather, p, most, rows));
    tkp_tensor args[2];
    tkp_tensor_make_2d(&args[0], NULL, d->embedding.dtype, rows, d->hidden);
    tkp_tensor_make_2d(&args[1], NULL, p->dtype, rows, d->hidden);
    TKP__TRY(tkp__planner_op(p, &d->cast, TKP_OP_CAST, args, 2, NULL));
    TKP__TRY(
        tkp__scatter_load(&d->place_rows, p, p->dtype, rows, rows, d->hidden));
    TKP__TRY(tkp__norm_load(
        &d->norm, p, d->most_sequences, false, c->norm_eps, "lm.norm"));
    TKP__TRY(convert_norm_weight(d, p));
    const int64_t counted = p->parameters;
    TKP__TRY(tkp__linear_load(
        &d->head, p, d->most_sequences, TKP__LINEAR_F32, "head"));
    if (tkp__data(&d->head.weight) == tkp__data(&d->embedding))
        p->parameters = counted; /* tied: it is the table */
    return TKP_OK;
}

static tkp_status
load_rotary(tkp__decoder *d, tkp__planner *p, const tkp__text_config *c)
{
    const int64_t rows = d->most_rows, pairs = d->head_dim / 2;
    const int32_t heads = d->heads > d->kv_heads ? d->heads : d->kv_heads;
    tkp_tensor args[4];
    const tkp_op_rotary_table table = {
        .struct_size = sizeof(table),
        .section = {c->rope_section[0], c->rope_section[1], c->rope_section[2]},
        .theta = c->rope_theta,
    };
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_I32, d->position_rows, rows);
    tkp_tensor_make_2d(&args[1], NULL, TKP_DTYPE_F32, rows, pairs);
    args[2] = args[1];
    TKP__TRY(tkp__planner_op(
        p, &d->rotary_table, TKP_OP_ROTARY_TABLE, args, 3, &table));
    tkp_tensor_make_3d(&args[0], NULL, p->dtype, rows, heads, d->head_dim);
    args[3] = args[0];
    return tkp__planner_op(p, &d->rotary, TKP_OP_ROTARY, args, 4, NULL);
}

static tkp_status load_attention(tkp__decoder *d, tkp__planner *p)
{
    const tkp_op_attention params = {
        .struct_size = sizeof(params),
        .flags = TKP_ATTENTION_CAUSAL,
    };
    tkp_tensor args[8] = {0};
    tkp_tensor_make_3d(
        &args[0], NULL, p->dtype, d->most_rows, d->heads, d->head_dim);
    tkp_tensor_make_3d(
        &args[1], NULL, p->dtype, d->most_keys, d->kv_heads, d->head_dim);
    args[2] = args[1];
    args[3] = args[4] = tkp__ints(NULL, 2 * d->most_sequences + 1);
    args[5] = args[0];
    for (int32_t lse = 0; lse < 2; lse++)
        for (int32_t biased = 0; biased < 2; biased++) {
            args[6] = args[7] = (tkp_tensor){0};
            if (lse)
                tkp_tensor_make_2d(
                    &args[6], NULL, TKP_DTYPE_F32, d->most_rows, d->heads);
            if (biased)
                tkp_tensor_make_1d(&args[7], NULL, TKP_DTYPE_F32, d->most_keys);
            TKP__TRY(tkp__planner_op(
                p, &d->attention[lse][biased], TKP_OP_ATTENTION, args, 8,
                &params));
        }
    return tkp__scatter_load(
        &d->place_keys, p, p->dtype, d->most_rows, d->most_keys,
        d->kv_heads * d->head_dim);
}

static tkp_status
take_shapes(tkp__decoder *d, const tkp__planner *p, const tkp__text_config *c)
{
    d->context = p->context;
    d->dtype = p->dtype;
    d->layers = (int32_t)c->layers;
    d->heads = (int32_t)c->heads;
    d->kv_heads = (int32_t)c->kv_heads;
    d->head_dim = c->head_dim;
    d->hidden = c->hidden;
    d->intermediate = c->intermediate;
    d->vocab = c->vocab;
    d->max_positions = c->max_positions;
    const int32_t *section = c->rope_section;
    d->position_rows = section[0] + section[1] + section[2] ? 3 : 1;
    d->most_sequences = SEQUENCES;
    d->most_rows = c->max_positions > ROWS ? c->max_positions : ROWS;
    d->most_keys = 2 * d->most_rows;
    TKP__CHECK(
        d->most_keys <= INT32_MAX, TKP_ERR_UNSUPPORTED,
        "config.json: max_position_embeddings is %lld, wanted at most %d",
        (long long)c->max_positions, INT32_MAX / 2);
    return TKP_OK;
}

tkp_status
tkp__decoder_load(tkp__decoder *d, tkp__planner *p, const tkp__text_config *c)
{
    TKP__TRY(take_shapes(d, p, c));
    d->layer = tkp__zalloc((size_t)d->layers, sizeof(*d->layer));
    if (!d->layer)
        return TKP_ERR_MEMORY;
    TKP__TRY(load_ends(d, p, c));
    TKP__TRY(load_rotary(d, p, c));
    TKP__TRY(load_attention(d, p));
    TKP__TRY(tkp__activation_load(
        &d->activation, p, d->most_rows, d->intermediate, c->activation, true));
    for (int32_t i = 0; i < d->layers; i++)
        TKP__TRY(load_layer(d, p, c, i));
    return TKP_OK;
}

void tkp__decoder_release(tkp__decoder *d)
{
    for (int32_t i = 0; d->layer && i < d->layers; i++) {
        tkp__decoder_layer *l = &d->layer[i];
        tkp__linear *const linears[] = {&l->q,    &l->k,  &l->v,   &l->o,
                                        &l->gate, &l->up, &l->down};
        for (size_t j = 0; j < sizeof(linears) / sizeof(linears[0]); j++)
            tkp__linear_free(linears[j]);
        tkp__norm_free(&l->input_norm);
        tkp__norm_free(&l->mlp_norm);
    }
    tkp__free(d->layer);
    tkp__free(d->norm_copy);
    tkp__norm_free(&d->norm);
    tkp__linear_free(&d->head);
    tkp_op *const ops[] = {d->gather,          d->cast,
                           d->place_rows,      d->place_keys,
                           d->rotary_table,    d->rotary,
                           d->activation,      d->attention[0][0],
                           d->attention[0][1], d->attention[1][0],
                           d->attention[1][1]};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        tkp_op_destroy(ops[i]);
    *d = (tkp__decoder){0};
}
