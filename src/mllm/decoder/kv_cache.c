#include "mllm/decoder/kv_cache.h"

tkp_status tkp__kv_cache_create(
    tkp__kv_cache *c,
    tkp_context *context,
    int32_t layers,
    int32_t sequences,
    int64_t width,
    int64_t extra,
    int32_t dtype)
{
    const size_t b = (size_t)sequences;
    *c = (tkp__kv_cache){
        .context = context,
        .layers = layers,
        .sequences = sequences,
        .dtype = dtype,
        .width = width,
        .extra = extra,
    };
    c->layer = tkp__zalloc((size_t)layers, sizeof(*c->layer));
    c->lists = tkp__zalloc((size_t)layers * (2 * b + 1), sizeof(int32_t));
    if (!c->layer || !c->lists)
        return TKP_ERR_MEMORY;
    for (int32_t i = 0; i < layers; i++) {
        c->layer[i].begin = c->lists + (size_t)i * (2 * b + 1);
        c->layer[i].length = c->layer[i].begin + b + 1;
    }
    return TKP_OK;
}

void tkp__kv_cache_release(tkp__kv_cache *c)
{
    for (int32_t i = 0; c->layer && i < c->layers; i++) {
        tkp__buffer_free(&c->layer[i].k);
        tkp__buffer_free(&c->layer[i].v);
        tkp__buffer_free(&c->layer[i].bias);
    }
    tkp__free(c->layer);
    tkp__free(c->lists);
    *c = (tkp__kv_cache){0};
}

tkp_status tkp__kv_cache_open(
    tkp__kv_cache *c,
    int32_t layer,
    const int32_t *count,
    bool biased)
{
    tkp__kv_layer *l = &c->layer[layer];
    for (int32_t b = 0; b < c->sequences; b++) {
        l->begin[b + 1] = l->begin[b] + count[b] + (int32_t)c->extra;
        l->length[b] = 0;
    }
    const int64_t rows = l->begin[c->sequences];
    TKP__TRY(tkp__buffer_alloc(&l->k, c->context, rows, c->width, c->dtype));
    TKP__TRY(tkp__buffer_alloc(&l->v, c->context, rows, c->width, c->dtype));
    if (!biased)
        return TKP_OK;
    TKP__TRY(tkp__buffer_alloc(&l->bias, NULL, rows, 1, TKP_DTYPE_F32));
    memset(l->bias.data, 0, (size_t)rows * sizeof(float));
    return TKP_OK;
}

tkp_status tkp__kv_cache_extend(
    tkp__kv_cache *c,
    int32_t layer,
    const int32_t *count,
    int32_t *rows)
{
    tkp__kv_layer *l = &c->layer[layer];
    for (int32_t b = 0; b < c->sequences; b++) {
        const int32_t free = l->begin[b + 1] - l->begin[b] - l->length[b];
        TKP__CHECK(
            count[b] <= free, TKP_ERR_INTERNAL,
            "kv cache: layer %d: %d rows for sequence %d, %d are free", layer,
            count[b], b, free);
        for (int32_t i = 0; i < count[b]; i++)
            *rows++ = l->begin[b] + l->length[b] + i;
        l->length[b] += count[b];
    }
    return TKP_OK;
}
