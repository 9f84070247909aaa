#ifndef TKP_MLLM_DECODER_DECODER_H
#define TKP_MLLM_DECODER_DECODER_H

/*
 * The language model: LLaMA layers with a KV cache. A step is a ragged batch
 * of new rows, some for each sequence: a whole prompt at prefill, one row or
 * none at decoding. One function runs a layer on either.
 */

#include "mllm/decoder/kv_cache.h"

typedef struct tkp__decoder_layer {
    tkp__norm input_norm, mlp_norm;
    tkp__linear q, k, v, o, gate, up, down;
} tkp__decoder_layer;

/* Immutable after load. */
typedef struct tkp__decoder {
    tkp_context *context;
    int32_t layers, heads, kv_heads, dtype;
    int64_t head_dim, hidden, intermediate, vocab, max_positions;
    int32_t position_rows; /* P: 1; 3 with M-RoPE */
    int32_t most_sequences;
    int64_t most_rows;    /* of one step, all sequences together */
    int64_t most_keys;    /* rows of one layer's cache, likewise */
    tkp_tensor embedding; /* [V, D] */
    tkp__norm norm;
    tkp_tensor norm_weight; /* its weight in the activations' dtype */
    void *norm_copy;        /* where that is not the file's */
    tkp__linear head;
    tkp__decoder_layer *layer;
    tkp_op *gather, *cast, *place_rows, *place_keys;
    tkp_op *rotary_table, *rotary, *activation;
    tkp_op *attention[2][2]; /* with log-sum-exp or not; keys biased or not */
} tkp__decoder;

tkp_status tkp__decoder_load(
    tkp__decoder *decoder,
    tkp__planner *planner,
    const tkp__text_config *config);
void tkp__decoder_release(tkp__decoder *decoder);

/* Memory of one call, for steps of up to `rows` rows. */
typedef struct tkp__decoder_state {
    const tkp__decoder *decoder;
    int32_t sequences;     /* B */
    int64_t rows;          /* of this step */
    int32_t *count;        /* [B] of them for each sequence */
    tkp__buffer x;         /* [R, D] the residual stream */
    tkp__buffer h;         /* [R, D] normalised */
    tkp__buffer q;         /* [R, H C] */
    tkp__buffer k, v;      /* [R, G C] where the cache cannot be written to */
    tkp__buffer mixed;     /* [R, H C] what attention gives */
    tkp__buffer gate, up;  /* [R, F] */
    tkp__buffer cos, sin;  /* [R, C / 2] f32 */
    tkp__buffer looked_up; /* [R, D] of the table's dtype, where that differs */
    tkp__buffer last;      /* [B, D] */
    tkp__buffer logits;    /* [B, V] f32 */
    tkp__kv_cache cache;
    int32_t *lists;
    int32_t *q_offsets, *k_offsets; /* [2 B + 1] */
    int32_t *last_rows;             /* [B] */
    int32_t *new_keys;              /* [R] cache rows of the step's keys */
    const float *
        key_bias; /* [rows] on the host, of the step's keys; NULL = 0. A layer whose
                              cache began without has none */
    /* Where q and k of the next projection go before they are rotated; NULL =
     * nowhere. */
    const tkp_tensor *plain_q, *plain_k;
} tkp__decoder_state;

/* `extra` rows a sequence are left free in the caches for decoding. */
tkp_status tkp__decoder_state_create(
    tkp__decoder_state *state,
    const tkp__decoder *decoder,
    int32_t sequences,
    int64_t rows,
    int64_t extra);
void tkp__decoder_state_release(tkp__decoder_state *state);

/* Begin a step: `count` [B] new rows of each sequence. */
void tkp__decoder_step(tkp__decoder_state *state, const int32_t *count);

/* x = embeddings of ids [rows]. */
tkp_status tkp__decoder_embed(
    tkp__decoder_state *state,
    const tkp__forward *f,
    const int32_t *ids);

/* Rotary tables of positions [P, rows], used by the layers until the next. */
tkp_status tkp__decoder_set_positions(
    tkp__decoder_state *state,
    const tkp__forward *f,
    const int32_t *positions);

/* q, k, v [rows, ..] that the layer makes of x, which stays as it is; v may be
 * NULL. h is written to. */
tkp_status tkp__decoder_project(
    tkp__decoder_state *state,
    const tkp__forward *f,
    int32_t layer,
    const tkp_tensor *q,
    const tkp_tensor *k,
    const tkp_tensor *v);

/* One layer: x in, x out, keys and values into the cache. lse [rows, H] f32 of
 * its attention, or NULL. */
tkp_status tkp__decoder_run_layer(
    tkp__decoder_state *state,
    const tkp__forward *f,
    int32_t layer,
    const tkp_tensor *lse);

/* logits [B', V] of the last row of each sequence that has rows in this step,
 * in their order. */
tkp_status tkp__decoder_run_head(
    tkp__decoder_state *state,
    const tkp__forward *f,
    tkp_tensor *logits);

#endif
