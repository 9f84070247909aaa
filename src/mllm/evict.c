/*
 * A cut after prefill: keys and values of tokens that go leave the caches of
 * the layers that the point names. Layers before an earlier cut saw more rows than are left to
 * choose from; what went there goes here as well.
 */
#include "mllm/engine.h"

tkp_status tkp__history_create(
    tkp__history *h,
    int32_t layers,
    int32_t sequences,
    int64_t rows)
{
    const size_t r = (size_t)rows;
    h->rows = rows;
    h->now = tkp__alloc(
        ((size_t)layers + 3) * r + (size_t)sequences + 1, sizeof(int32_t));
    if (!h->now)
        return TKP_ERR_MEMORY;
    h->scratch = h->now + r;
    h->place = h->scratch + r;
    h->begin = h->place + r;
    h->layers = h->begin + sequences + 1;
    for (int64_t i = 0; i < rows; i++)
        h->now[i] = (int32_t)i;
    return TKP_OK;
}

void tkp__history_release(tkp__history *h)
{
    tkp__free(h->now);
    *h = (tkp__history){0};
}

void tkp__history_note_layer(tkp__history *h, int32_t layer, int64_t rows)
{
    if (h->now)
        memcpy(
            h->layers + layer * h->rows, h->now,
            (size_t)rows * sizeof(int32_t));
}

void tkp__history_note_cut(tkp__history *h, const tkp_decision *decision)
{
    const int32_t *kept = tkp__data(&decision->indices);
    if (!h->now)
        return;
    for (int64_t i = 0; i < decision->rows_out; i++)
        h->scratch[i] = h->now[kept[i]];
    memcpy(h->now, h->scratch, (size_t)decision->rows_out * sizeof(int32_t));
}

void tkp__history_note_rows(tkp__history *h, const int32_t *rows, int64_t count)
{
    if (h->now)
        memcpy(h->now, rows, (size_t)count * sizeof(int32_t));
}

/* What is still there, as rows of the layer's cache, counted in the sequence. */
static tkp_status list_cache_rows(
    const tkp__history *h,
    const tkp__kv_layer *l,
    int32_t layer,
    int32_t sequences,
    const int32_t *offsets)
{
    const int32_t *saw = h->layers + layer * h->rows;
    int32_t n = 0;
    for (int32_t b = 0; b < sequences; b++) {
        for (int64_t r = 0; r < h->rows; r++)
            h->place[r] = -1;
        for (int32_t j = 0; j < l->length[b]; j++)
            h->place[saw[j]] = j;
        for (int32_t i = offsets[b]; i < offsets[b + 1]; i++) {
            const int32_t j = h->place[h->now[i]];
            TKP__CHECK(
                j >= 0, TKP_ERR_INTERNAL,
                "kv cache: layer %d has no row %d of sequence %d", layer,
                h->now[i], b);
            h->scratch[n++] = j;
        }
        saw += l->length[b];
    }
    return TKP_OK;
}

/* The bias of its keys: a list of the host. */
static tkp_status shrink_bias(
    const tkp__engine *e,
    const tkp__kv_layer *l,
    tkp__buffer *cache,
    const int32_t *offsets)
{
    const int32_t *new_begin = e->history.begin;
    tkp__buffer smaller = {0};
    const float *from = cache->data;
    if (!from)
        return TKP_OK;
    TKP__TRY(tkp__buffer_alloc(
        &smaller, NULL, new_begin[e->sequences], 1, TKP_DTYPE_F32));
    float *to = smaller.data;
    for (int32_t b = 0; b < e->sequences; b++)
        for (int32_t i = offsets[b]; i < offsets[b + 1]; i++)
            to[new_begin[b] + i - offsets[b]] =
                from[l->begin[b] + e->history.scratch[i]];
    tkp__buffer_free(cache);
    *cache = smaller;
    return TKP_OK;
}

/* One cache of a layer into memory of its new size. */
static tkp_status shrink(
    const tkp__engine *e,
    tkp__buffer *cache,
    const tkp__kv_layer *l,
    const int32_t *offsets)
{
    const int32_t *new_begin = e->history.begin;
    const size_t element = tkp_dtype_bytes(cache->dtype);
    tkp__buffer smaller = {0};
    TKP__TRY(tkp__buffer_alloc(
        &smaller, cache->context, new_begin[e->sequences], cache->width,
        cache->dtype));
    tkp_status status = TKP_OK;
    for (int32_t b = 0; b < e->sequences && status == TKP_OK; b++) {
        const int32_t count = offsets[b + 1] - offsets[b];
        const tkp_tensor rows =
            tkp__ints(e->history.scratch + offsets[b], count);
        tkp_tensor src = tkp__rows(cache, l->length[b]);
        tkp_tensor dst = tkp__rows(&smaller, count);
        src.byte_offset = (uint64_t)(l->begin[b] * cache->width) * element;
        dst.byte_offset = (uint64_t)(new_begin[b] * cache->width) * element;
        status =
            tkp__gather_run(e->model->decoder.gather, &e->f, &src, &rows, &dst);
    }
    tkp__buffer_free(status == TKP_OK ? cache : &smaller);
    if (status == TKP_OK)
        *cache = smaller;
    return status;
}

static tkp_status
evict_layer(tkp__engine *e, int32_t layer, const int32_t *offsets)
{
    tkp__kv_layer *l = &e->decoder.cache.layer[layer];
    int32_t *begin = e->history.begin;
    TKP__TRY(list_cache_rows(&e->history, l, layer, e->sequences, offsets));
    begin[0] = 0;
    for (int32_t b = 0; b < e->sequences; b++)
        begin[b + 1] = begin[b] + offsets[b + 1] - offsets[b] +
                       (int32_t)e->decoder.cache.extra;
    TKP__TRY(shrink(e, &l->k, l, offsets));
    TKP__TRY(shrink(e, &l->v, l, offsets));
    TKP__TRY(shrink_bias(e, l, &l->bias, offsets));
    for (int32_t b = 0; b < e->sequences; b++) {
        l->begin[b + 1] = begin[b + 1];
        l->length[b] = offsets[b + 1] - offsets[b];
    }
    return TKP_OK;
}

tkp_status tkp__engine_evict(tkp__engine *e, const tkp_decision *decision)
{
    TKP__CHECK(
        !tkp__present(&decision->merged), TKP_ERR_UNSUPPORTED,
        "stage %d: keys and values cannot be merged in this engine",
        decision->stage);
    for (int32_t layer = e->point.kv_begin; layer < e->point.kv_end; layer++)
        TKP__TRY(evict_layer(e, layer, decision->host_offsets));
    return TKP_OK;
}
