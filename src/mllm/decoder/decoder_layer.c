/* The language model: one layer. */

#include "mllm/decoder/decoder.h"

/* Where the step's keys and values are computed: in the cache itself if they
 * lie there side by side, else in rows that are put there afterwards. */
static void place_of_keys(
    tkp__decoder_state *s,
    int32_t layer,
    tkp_tensor *k,
    tkp_tensor *v)
{
    if (s->sequences > 1) {
        *k = tkp__rows(&s->k, s->rows);
        *v = tkp__rows(&s->v, s->rows);
        return;
    }
    const tkp__kv_layer *l = &s->cache.layer[layer];
    *k = tkp__rows(&l->k, s->rows);
    *v = tkp__rows(&l->v, s->rows);
    k->byte_offset = v->byte_offset =
        (uint64_t)(s->new_keys[0] * l->k.width) * tkp_dtype_bytes(l->k.dtype);
}

static tkp_status store_keys(
    tkp__decoder_state *s,
    const tkp__forward *f,
    int32_t layer,
    const tkp_tensor *k,
    const tkp_tensor *v)
{
    if (s->sequences == 1)
        return TKP_OK;
    const tkp__kv_layer *l = &s->cache.layer[layer];
    const tkp_tensor index = tkp__ints(s->new_keys, s->rows);
    const tkp_tensor all_k = tkp__rows(&l->k, l->k.rows);
    const tkp_tensor all_v = tkp__rows(&l->v, l->v.rows);
    TKP__TRY(tkp__scatter_run(s->decoder->place_keys, f, k, &index, &all_k));
    return tkp__scatter_run(s->decoder->place_keys, f, v, &index, &all_v);
}

static tkp_status rotate(
    const tkp__decoder_state *s,
    const tkp__forward *f,
    const tkp_tensor *rows,
    int64_t heads,
    const tkp_tensor *dst)
{
    const tkp_tensor args[4] = {
        tkp__heads(rows, heads), tkp__rows(&s->cos, s->rows),
        tkp__rows(&s->sin, s->rows), tkp__heads(dst, heads)};
    return tkp_op_run(s->decoder->rotary, f->exec, args, 4);
}

/* New rows against all keys of their sequence. The free rows of the cache are
 * sequences of their own, which nobody asks about. */
static tkp_status attend(
    tkp__decoder_state *s,
    const tkp__forward *f,
    int32_t layer,
    const tkp_tensor *q,
    const tkp_tensor *lse,
    const tkp_tensor *dst)
{
    const tkp__decoder *d = s->decoder;
    const tkp__kv_layer *l = &s->cache.layer[layer];
    int32_t row = 0;
    for (int32_t b = 0; b < s->sequences; b++) {
        s->q_offsets[2 * b] = row;
        s->q_offsets[2 * b + 1] = row += s->count[b];
        s->k_offsets[2 * b] = l->begin[b];
        s->k_offsets[2 * b + 1] = l->begin[b] + l->length[b];
    }
    s->q_offsets[2 * s->sequences] = row;
    s->k_offsets[2 * s->sequences] = l->begin[s->sequences];
    const tkp_tensor k = tkp__rows(&l->k, l->k.rows);
    const tkp_tensor v = tkp__rows(&l->v, l->v.rows);
    const tkp_tensor none = {0};
    tkp_tensor bias = {0};
    if (l->bias.data)
        tkp_tensor_make_1d(&bias, l->bias.data, TKP_DTYPE_F32, l->bias.rows);
    const tkp_tensor args[8] = {
        tkp__heads(q, d->heads),
        tkp__heads(&k, d->kv_heads),
        tkp__heads(&v, d->kv_heads),
        tkp__ints(s->q_offsets, 2 * s->sequences + 1),
        tkp__ints(s->k_offsets, 2 * s->sequences + 1),
        tkp__heads(dst, d->heads),
        lse ? *lse : none,
        bias};
    return tkp_op_run(
        d->attention[lse != NULL][l->bias.data != NULL], f->exec, args, 8);
}

/* A layer that began with a bias keeps one for the keys of each later step. */
static void store_bias(tkp__decoder_state *s, int32_t layer)
{
    float *bias = s->cache.layer[layer].bias.data;
    for (int64_t r = 0; bias && r < s->rows; r++)
        bias[s->new_keys[r]] = s->key_bias ? s->key_bias[r] : 0.0f;
}

tkp_status tkp__decoder_project(
    tkp__decoder_state *s,
    const tkp__forward *f,
    int32_t layer,
    const tkp_tensor *q,
    const tkp_tensor *k,
    const tkp_tensor *v)
{
    const tkp__decoder *d = s->decoder;
    const tkp__decoder_layer *l = &d->layer[layer];
    const tkp_tensor x = tkp__rows(&s->x, s->rows);
    const tkp_tensor h = tkp__rows(&s->h, s->rows);
    const tkp_tensor *plain_q = s->plain_q ? s->plain_q : q;
    const tkp_tensor *plain_k = s->plain_k ? s->plain_k : k;
    TKP__TRY(tkp__norm_run(&l->input_norm, f, &x, &h));
    TKP__TRY(tkp__linear_run(&l->q, f, &h, NULL, plain_q));
    TKP__TRY(tkp__linear_run(&l->k, f, &h, NULL, plain_k));
    if (v)
        TKP__TRY(tkp__linear_run(&l->v, f, &h, NULL, v));
    TKP__TRY(rotate(s, f, plain_q, d->heads, q));
    return rotate(s, f, plain_k, d->kv_heads, k);
}

tkp_status tkp__decoder_run_layer(
    tkp__decoder_state *s,
    const tkp__forward *f,
    int32_t layer,
    const tkp_tensor *lse)
{
    const tkp__decoder *d = s->decoder;
    const tkp__decoder_layer *l = &d->layer[layer];
    const int64_t n = s->rows;
    const tkp_tensor x = tkp__rows(&s->x, n), h = tkp__rows(&s->h, n);
    const tkp_tensor q = tkp__rows(&s->q, n);
    const tkp_tensor mixed = tkp__rows(&s->mixed, n);
    const tkp_tensor gate = tkp__rows(&s->gate, n), up = tkp__rows(&s->up, n);
    tkp_tensor k, v;

    if (!s->cache.layer[layer].k.data)
        TKP__TRY(tkp__kv_cache_open(
            &s->cache, layer, s->count, s->key_bias != NULL));
    TKP__TRY(tkp__kv_cache_extend(&s->cache, layer, s->count, s->new_keys));
    place_of_keys(s, layer, &k, &v);
    store_bias(s, layer);

    TKP__TRY(tkp__decoder_project(s, f, layer, &q, &k, &v));
    tkp__trace(f, "llm.input_norm", layer, &h);
    tkp__trace(f, "llm.q", layer, &q);
    tkp__trace(f, "llm.k", layer, &k);
    tkp__trace(f, "llm.v", layer, &v);
    TKP__TRY(store_keys(s, f, layer, &k, &v));
    TKP__TRY(attend(s, f, layer, &q, lse, &mixed));
    TKP__TRY(tkp__linear_run(&l->o, f, &mixed, &x, &x));
    tkp__trace(f, "llm.attention", layer, &x);

    TKP__TRY(tkp__norm_run(&l->mlp_norm, f, &x, &h));
    TKP__TRY(tkp__linear_run(&l->gate, f, &h, NULL, &gate));
    TKP__TRY(tkp__linear_run(&l->up, f, &h, NULL, &up));
    TKP__TRY(tkp__activation_run(d->activation, f, &gate, &up, &gate));
    TKP__TRY(tkp__linear_run(&l->down, f, &gate, &x, &x));
    tkp__trace(f, "llm.layer", layer, &x);
    return TKP_OK;
}
