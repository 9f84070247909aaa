#ifndef TKP_MLLM_VISION_VIT_H
#define TKP_MLLM_VISION_VIT_H

/*
 * From patches to one row of features a visual token: the vision transformer of
 * Qwen2-VL, which takes pictures and videos of any size. Patches know where
 * they are by 2-D rotary positions and see those of their own frame; a token is
 * a square cell of them.
 */

#include "mllm/vision/vision.h"

typedef struct tkp__vit_layer {
    tkp__norm norm1, norm2;
    tkp__linear qkv, out, fc1, fc2;
} tkp__vit_layer;

/* Immutable after load. */
typedef struct tkp__vit {
    tkp_context *context;
    int32_t layers, heads, dtype;
    int64_t hidden, intermediate;
    int64_t patch_values; /* 3 channels, frames, side, side: E */
    int64_t merge;        /* side of a cell, in patches */
    int64_t most_patches; /* at once */
    tkp__linear patch_embedding;
    tkp__vit_layer *layer;
    tkp__norm cell_norm;
    tkp_op *take_pixels, *rotary_table, *rotary, *widen, *narrow;
    tkp_op *attention, *attention_lse, *activation;
    tkp_op *column_scores, *column_logits, *mean_scores, *mean_keys;
} tkp__vit;

/* For up to `tokens` visual tokens at once. */
tkp_status tkp__vit_load(
    tkp__vit *vit,
    tkp__planner *planner,
    const tkp__vision_config *config,
    int64_t tokens);
void tkp__vit_release(tkp__vit *vit);

/* One picture, or one step in time of a video. Patches of a cell stand
 * together, as tkp__image_preprocess_patches() has them. */
typedef struct tkp__vit_frame {
    const float *pixels; /* [rows cols, E] */
    int64_t rows, cols;  /* patches: multiples of `merge` */
} tkp__vit_frame;

/* Memory of one call, for up to N patches in F frames. */
typedef struct tkp__vit_state {
    tkp__buffer pixels;   /* [N, E] f32, where the encoder runs on a device */
    tkp__buffer cut;      /* [N, E] */
    tkp__buffer x, h;     /* [N, D] */
    tkp__buffer qkv;      /* [N, 3 D] */
    tkp__buffer wide;     /* [N, 2 D] f32: q and k, where they are 16 bit */
    tkp__buffer turned;   /* [N, 2 D] q and k after rotary */
    tkp__buffer mlp;      /* [N, F] */
    tkp__buffer cos, sin; /* [2 N, C / 4] f32: by row, then by column */
    tkp__buffer lse;      /* [N, H] f32 */
    tkp__buffer received; /* [N, 1] f32: attention that patches receive */
    int32_t *lists;
    int32_t *places;       /* [N, 2] row and column of each patch */
    int32_t *offsets;      /* [F + 1] patches of each frame */
    int32_t *inside;       /* [N] number of each patch in its frame */
    int32_t *zeros;        /* [N] */
    int32_t *cell_offsets; /* [N / cell + 1] */
    int32_t *cell_patches; /* [N] 0, 1, 2 ... */
    int32_t *head_offsets; /* [N / cell + 1] */
    int32_t *cell_heads;   /* [N H] rows of a cell's keys among q and k */
} tkp__vit_state;

tkp_status tkp__vit_state_create(
    tkp__vit_state *state,
    const tkp__vit *vit,
    int64_t patches,
    int64_t frames);
void tkp__vit_state_release(tkp__vit_state *state);

/* frames -> features [N / cell, cell D], frame after frame, cells in reading
 * order. There is no CLS token: what `wants` calls its row is how much of the
 * attention of its frame a patch receives, meaned over rows and heads, and then
 * over the patches of a cell; keys, after rotary, likewise. */
tkp_status tkp__vit_run(
    const tkp__vit *vit,
    const tkp__forward *f,
    tkp__vit_state *state,
    const tkp__vit_frame *frames,
    int64_t count,
    const tkp_tensor *features,
    const tkp__vision_wants *wants);

#endif
