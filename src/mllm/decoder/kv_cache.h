#ifndef TKP_MLLM_DECODER_KV_CACHE_H
#define TKP_MLLM_DECODER_KV_CACHE_H

/*
 * Keys and values of every layer. A layer's sequences lie one after the other
 * with free rows behind each, and each layer is as long as the rows that
 * reached it: layers after a cut are smaller.
 */

#include "mllm/forward.h"

typedef struct tkp__kv_layer {
    tkp__buffer k, v; /* [rows, G C]; no data until the layer is opened */
    tkp__buffer bias; /* [rows, 1] f32 of each key, on the host; no data: there
                         is none */
    int32_t *begin;   /* [B + 1] first row of each sequence */
    int32_t *length;  /* [B] rows in use */
} tkp__kv_layer;

typedef struct tkp__kv_cache {
    tkp_context *context;
    int32_t layers, sequences, dtype;
    int64_t width, extra;
    tkp__kv_layer *layer;
    int32_t *lists;
} tkp__kv_cache;

tkp_status tkp__kv_cache_create(
    tkp__kv_cache *cache,
    tkp_context *context,
    int32_t layers,
    int32_t sequences,
    int64_t width,
    int64_t extra,
    int32_t dtype);
void tkp__kv_cache_release(tkp__kv_cache *cache);

/* Make a layer's memory: count[b] rows and the extra ones for each sequence; with
 * a bias of each key, 0 to begin with, or without. */
tkp_status tkp__kv_cache_open(
    tkp__kv_cache *cache,
    int32_t layer,
    const int32_t *count,
    bool biased);

/* Take count[b] more rows of each sequence into use; their places, in order,
 * in rows [sum of count]. */
tkp_status tkp__kv_cache_extend(
    tkp__kv_cache *cache,
    int32_t layer,
    const int32_t *count,
    int32_t *rows);

#endif
