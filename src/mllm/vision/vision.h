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
    tkp_context *context;
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
    tkp_op *cut, *place, *place_class, *add, *activation, *pick;
    tkp_op *attention[2]; /* without a bias of the keys, and with one */
    tkp_op *cls_scores, *cls_logits, *mean_keys;
} tkp__vision;

tkp_status tkp__vision_load(
    tkp__vision *vision,
    tkp__planner *planner,
    const tkp__vision_config *config);
void tkp__vision_release(tkp__vision *vision);

/* Which row is what, of up to TKP__VISION_VIEWS views: the rows of a view are its
 * CLS row, and one for each patch that is left. */
typedef struct tkp__vision_rows {
    int32_t views;
    int64_t rows, patches; /* in all */
    void *memory;
    int32_t *patch_rows;    /* [patches] */
    int32_t *patch_keys;    /* [patches] 1 .. n in each view */
    int32_t *patch_heads;   /* [patches H] rows of each patch's heads */
    int32_t *head_offsets;  /* [patches + 1] 0, H, 2 H ... */
    int32_t *class_rows;    /* [V] */
    int32_t *row_offsets;   /* [V + 1] */
    int32_t *patch_offsets; /* [V + 1] */
    int32_t *count;         /* [V + 1] 0, 1, 2 ... */
    int32_t *zeros;         /* [V] */
    float *bias;            /* [rows] of the keys, 0 for CLS */
} tkp__vision_rows;

tkp_status
tkp__vision_rows_create(tkp__vision_rows *rows, const tkp__vision *vision);
void tkp__vision_rows_release(tkp__vision_rows *rows);
/* `patches` [views] that are left of each; their `bias`, one after the other, or
 * NULL. */
void tkp__vision_rows_list(
    tkp__vision_rows *rows,
    const tkp__vision *vision,
    int32_t views,
    const int32_t *patches,
    const float *bias);

/* Memory of one call, for up to TKP__VISION_VIEWS views. */
typedef struct tkp__vision_state {
    tkp__buffer cut;        /* [V N, 3 p p] pixels of the patches */
    tkp__buffer h, q, k, v; /* [V (N + 1), D] */
    tkp__buffer mlp;        /* [V (N + 1), F] */
} tkp__vision_state;

tkp_status tkp__vision_state_create(
    tkp__vision_state *state,
    const tkp__vision *vision,
    int64_t views);
void tkp__vision_state_release(tkp__vision_state *state);

/* What a policy wants of the encoder besides its features; absent = not that. */
typedef struct tkp__vision_wants {
    tkp_tensor cls;     /* [patches] f32: what the CLS row of a block attends
                               to, heads meaned */
    tkp_tensor shallow; /* [patches] likewise, of an early block */
    const tkp_tensor *keys; /* [patches, D / H] of the last block that runs,
                               heads meaned; or NULL */
    int32_t cls_layer;      /* blocks, from 0 */
    int32_t shallow_layer;
    bool cls_logits, shallow_logits; /* scaled, in place of probabilities */
} tkp__vision_wants;

/* pixels [views, 3, S, S] -> x [views (N + 1), D], what enters block 0. */
tkp_status tkp__vision_embed(
    const tkp__vision *vision,
    const tkp__forward *f,
    tkp__vision_state *state,
    const tkp__vision_rows *rows,
    const float *pixels,
    const tkp_tensor *x);

/* Half blocks [from, to): 2 i is the attention of block i, 2 i + 1 its MLP. */
tkp_status tkp__vision_run(
    const tkp__vision *vision,
    const tkp__forward *f,
    tkp__vision_state *state,
    const tkp__vision_rows *rows,
    bool biased, /* by the rows' */
    int32_t from,
    int32_t to,
    const tkp__vision_wants *wants,
    const tkp_tensor *x);

/* The patches' rows of x [rows, D] -> dst [patches, D]. */
tkp_status tkp__vision_pick(
    const tkp__vision *vision,
    const tkp__forward *f,
    const tkp__vision_rows *rows,
    const tkp_tensor *x,
    const tkp_tensor *dst);

/* Keys of the patches in the block whose attention ran last, the heads meaned ->
 * dst [patches, D / H]. */
tkp_status tkp__vision_mean_keys(
    const tkp__vision *vision,
    const tkp__forward *f,
    const tkp__vision_state *state,
    const tkp__vision_rows *rows,
    const tkp_tensor *dst);

/* Behind the last half block: what is wanted of a block that does not run. */
tkp_status tkp__vision_look_behind(
    const tkp__vision *vision,
    const tkp__forward *f,
    tkp__vision_state *state,
    const tkp__vision_rows *rows,
    const tkp__vision_wants *wants,
    const tkp_tensor *x);

#endif
