#ifndef TKP_MLLM_VISION_VISION_H
#define TKP_MLLM_VISION_VISION_H

/*
 * From pixels to one row of features a patch: the CLIP vision transformer, up
 * to the block whose output the language model was trained on.
 */

#include "mllm/forward.h"

/* Views (squares of pixels) that go through the encoder at once. */
enum { TKP__VISION_VIEWS = 8 };

typedef struct tkp__vision_layer {
    tkp__norm norm1, norm2;
    tkp__linear q, k, v, out, fc1, fc2;
} tkp__vision_layer;

/* Immutable after load. V views, N patches a view, N + 1 rows with CLS. */
typedef struct tkp__vision {
    int32_t layers, heads;
    int32_t depth;     /* blocks of the whole encoder */
    int32_t last_seen; /* block whose attention there is at most: one that does
                          not run may follow */
    int64_t hidden, intermediate, image;
    int64_t patch, patch_values; /* side of a patch; 3 patch^2 */
    int64_t grid, patches;       /* grid^2 = N */
    int32_t dtype;
    tkp_tensor class_embedding;    /* [1, D] */
    tkp_tensor position_embedding; /* [N + 1, D] */
    tkp__linear patch_embedding;
    tkp__norm pre_norm;
    tkp__vision_layer *layer; /* [layers + 1] those that run; norm1, q and k of
                                 the one behind, if the file has it */
    tkp_op *cut, *place, *place_class, *add, *attention, *activation, *pick;
    tkp_op *cls_scores, *cls_logits, *mean_keys;
    /* index lists for TKP__VISION_VIEWS views; fewer use the front */
    void *lists;
    int32_t *patch_rows;    /* [V * N] rows of the patches among all */
    int32_t *class_rows;    /* [V] */
    int32_t *row_offsets;   /* [V + 1] 0, N + 1, 2 (N + 1) ... */
    int32_t *patch_offsets; /* [V + 1] 0, N, 2 N ... */
    int32_t *patch_keys;    /* [V * N] 1 .. N in each view */
    int32_t *head_offsets;  /* [V * N + 1] 0, H, 2 H ... */
    int32_t *patch_heads;   /* [V * N * H] rows of each patch's heads */
    int32_t *count;         /* [V + 1] 0, 1, 2 ... */
    int32_t *zeros;         /* [V] */
} tkp__vision;

tkp_status tkp__vision_load(
    tkp__vision *vision,
    tkp__planner *planner,
    const tkp__vision_config *config);
void tkp__vision_release(tkp__vision *vision);

/* Memory of one call, for up to TKP__VISION_VIEWS views. */
typedef struct tkp__vision_state {
    tkp__buffer cut;           /* [V N, 3 p p] pixels of the patches */
    tkp__buffer x, h, q, k, v; /* [V (N + 1), D] */
    tkp__buffer mlp;           /* [V (N + 1), F] */
} tkp__vision_state;

tkp_status tkp__vision_state_create(
    tkp__vision_state *state,
    const tkp__vision *vision,
    int64_t views);
void tkp__vision_state_release(tkp__vision_state *state);

/* What a policy wants of the encoder besides its features; NULL = not that. */
typedef struct tkp__vision_wants {
    float *cls;     /* [views N] what the CLS row of a block attends to,
                               heads meaned */
    float *shallow; /* [views N] likewise, of an early block */
    const tkp_tensor
        *keys;         /* [views N, D / H] keys of the last block that runs,
                               heads meaned */
    int32_t cls_layer; /* blocks, from 0 */
    int32_t shallow_layer;
    bool cls_logits, shallow_logits; /* scaled, in place of probabilities */
} tkp__vision_wants;

/*
 * pixels [views, 3, S, S] -> features [views N, D], up to TKP__VISION_VIEWS
 * views.
 */
tkp_status tkp__vision_run(
    const tkp__vision *vision,
    const tkp__forward *f,
    tkp__vision_state *state,
    const float *pixels,
    int64_t views,
    const tkp_tensor *features,
    const tkp__vision_wants *wants);

#endif
