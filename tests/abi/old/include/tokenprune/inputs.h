#ifndef TOKENPRUNE_INPUTS_H
#define TOKENPRUNE_INPUTS_H

#include "tokenprune/tensor.h"

TKP_BEGIN_DECLS

/*
 * What an engine hands over at a pruning point. A stage says what it needs as
 * bits; an input that is not needed may be NULL and is not looked at.
 */

enum tkp_need {
    TKP_NEED_ATTENTION = 1, /* q and k (and lse); or attention_rows; or
                               attention */
    TKP_NEED_HIDDEN = 2,
    TKP_NEED_CLS_ATTENTION = 4,
    TKP_NEED_NORM_WEIGHT = 8,
    TKP_NEED_SCORES = 16,
    TKP_NEED_TEXT = 32
};

/*
 * R rows of the packed batch as it is now, N candidates, B sequences, Q query
 * rows (tkp_sequence_query_rows), H query heads, G key heads, C channels of a
 * head, D hidden size. Letters as in tokenprune/sys/op.h.
 */
typedef struct tkp_inputs {
    uint32_t struct_size;
    uint32_t reserved;
    /* Attention of the score layer, best first: */
    const tkp_tensor *q;   /* [Q, H, C] after rotary; or [R, H, C] all rows, of
                              which the query rows are picked */
    const tkp_tensor *k;   /* [R, G, C] packed; [B, L, G, C] a block a
                              sequence; pages [P, S, G, C] with block_table */
    const tkp_tensor *lse; /* [Q, H] f32, or [R, H]; natural log of the sum over
                              all visible keys; NULL = computed here */
    const tkp_tensor *block_table;    /* [B, T] i32 */
    const tkp_tensor *attention_rows; /* [Q, H, L] probabilities of the query
                                         rows, keys counted in the sequence */
    const tkp_tensor *attention; /* [B, L, H, L] view of the full tensor
                                    (permute [B, H, L, L] by strides) */
    /* Others: */
    const tkp_tensor *hidden;        /* [R, D] entering the boundary */
    const tkp_tensor *norm_weight;   /* [D] of the final norm */
    const tkp_tensor *cls_attention; /* [N] or [heads, N], meaned */
    const tkp_tensor *scores;        /* [N] the caller's own */
    const tkp_tensor *text;          /* [m, D] text features */
} tkp_inputs;

#define TKP_INPUTS_INIT                                                        \
    {                                                                          \
        (uint32_t)sizeof(tkp_inputs), 0, NULL, NULL, NULL, NULL, NULL, NULL,   \
            NULL, NULL, NULL, NULL, NULL                                       \
    }
TKP_API void tkp_inputs_init(tkp_inputs *inputs);

/*
 * Shapes of the language model: for planning, for the cost report, and to
 * check inputs against.
 */
typedef struct tkp_model_desc {
    uint32_t struct_size;
    int32_t dtype;        /* enum tkp_dtype of hidden, q and k */
    int32_t layers;       /* decoder layers */
    int32_t heads;        /* query heads H */
    int32_t kv_heads;     /* G; 0 = heads */
    int32_t head_dim;     /* C; 0 = hidden / heads */
    int64_t hidden;       /* D */
    int64_t intermediate; /* FFN inner size */
    int32_t mlp_matrices; /* 3 gated, 2 plain; 0 = 3 */
    int32_t kv_dtype;     /* of the KV cache; 0 = dtype */
    int32_t kv_page;      /* keys of a page, if k comes in pages; 0 = never */
    int32_t reserved;
    int64_t kv_pages; /* pages of the pool; 0 with kv_page = 0 */
} tkp_model_desc;

#define TKP_MODEL_DESC_INIT                                                    \
    {                                                                          \
        (uint32_t)sizeof(tkp_model_desc), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0   \
    }
TKP_API void tkp_model_desc_init(tkp_model_desc *model);

TKP_END_DECLS

#endif
