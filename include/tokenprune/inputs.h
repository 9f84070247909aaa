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
    TKP_NEED_TEXT = 32,
    TKP_NEED_VALUES = 64,
    TKP_NEED_VISION = 128,
    TKP_NEED_VISION_KEYS = 256,
    TKP_NEED_CLIP = 512,
    TKP_NEED_CLIP_TEXT = 1024,
    TKP_NEED_CLIP_TOKENS = 2048,
    TKP_NEED_EMBEDDINGS = 4096,
    TKP_NEED_CLS_SHALLOW = 8192,
    TKP_NEED_KEYS = 16384,            /* k alone */
    TKP_NEED_PLAIN_ATTENTION = 32768, /* plain_q and plain_k */
    TKP_NEED_VISION_VALUES = 65536
};

/*
 * R rows of the packed batch as it is now, N candidates, B sequences, Q query
 * rows (tkp_sequence_query_rows), H query heads, G key heads, C channels of a
 * head, D hidden size. Letters as in tokenprune/sys/op.h.
 *
 * [N] stands for the candidates that are still there, in order; what comes from
 * before the language model (cls_attention, cls_shallow, scores, vision,
 * vision_keys, vision_values, clip) may also be given for all candidates of the layout, as the
 * encoder left it: the entries of those that are gone are passed over.
 *
 * Text rows of several sequences are packed; their offsets [B + 1] lie on the
 * host. NULL offsets: all rows belong to every sequence.
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
    const tkp_tensor *attention;      /* [B, L, H, L] view of the full tensor
                                    (permute [B, H, L, L] by strides) */
    /* Others: */
    const tkp_tensor *hidden;        /* [R, D] entering the boundary */
    const tkp_tensor *norm_weight;   /* [D] of the final norm */
    const tkp_tensor *cls_attention; /* [N] or [heads, N], meaned */
    const tkp_tensor *scores;        /* [N] the caller's own */
    const tkp_tensor *text;          /* [m, D] the model's embeddings of the
                                        question's words */
    const int32_t *text_offsets;     /* [B + 1] */
    const tkp_tensor *values;        /* as k, of the score layer */
    /* The vision encoder, patches only: */
    const tkp_tensor *vision;      /* [N, Dv] rows of the feature layer */
    const tkp_tensor *vision_keys; /* [N, Dk] its keys, meaned over the heads */
    const tkp_tensor *cls_shallow; /* [N] or [heads, N] CLS row of another
                                      layer, an early one, meaned */
    /* A space shared by pictures and text (CLIP): */
    const tkp_tensor *clip;            /* [N, Dc] patches */
    const tkp_tensor *clip_text;       /* [m, Dc] one row a prompt */
    const int32_t *clip_text_offsets;  /* [B + 1] */
    const tkp_tensor *clip_tokens;     /* [l, Dc] one row a token of text */
    const int32_t *clip_token_offsets; /* [B + 1] */
    const tkp_tensor *embeddings;      /* [R0, D] what entered the decoder, rows
                                          of the layout */
    const tkp_tensor *pivot_order;     /* [P] i32 on the host: pivots as packed
                                          rows, in the order they are visited;
                                          for one group; NULL = by their norm */
    const tkp_tensor *roles;           /* mergers alone: [K] i32 as
                                          tkp_selector_run_on() gave them; NULL =
                                          all 0 */
    const tkp_tensor *pools;           /* mergers alone: [N] i32, likewise;
                                          NULL = every part of every candidate */
    const tkp_tensor *token_scores;    /* mergers that weigh rows: [N] f32 as
                                          tkp_scorer_run() gave them */
    /* Queries and keys of the score layer before rotary, all rows: */
    const tkp_tensor *plain_q;       /* [R, H, C] */
    const tkp_tensor *plain_k;       /* [R, G, C] */
    const tkp_tensor *vision_values; /* [N, Dw] values of the encoder's last
                                        block, heads side by side; patches */
} tkp_inputs;

#define TKP_INPUTS_INIT                                                        \
    {                                                                          \
        (uint32_t)sizeof(tkp_inputs), 0, NULL, NULL, NULL, NULL, NULL, NULL,   \
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,  \
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,  \
            NULL                                                               \
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
    int64_t kv_pages;         /* pages of the pool; 0 with kv_page = 0 */
    int64_t vision_hidden;    /* Dv; this and the next six: 0 = not given */
    int64_t vision_key_dim;   /* Dk */
    int64_t clip_dim;         /* Dc */
    int32_t text_rows;        /* most rows m of `text` */
    int32_t clip_text_rows;   /* ... of `clip_text` */
    int32_t clip_token_rows;  /* ... of `clip_tokens` */
    float norm_eps;           /* of the final norm; 0 = 1e-5 */
    double rope_theta;        /* base of the rotary angles; 0 = not given */
    int64_t vision_value_dim; /* Dw; 0 = not given */
} tkp_model_desc;

#define TKP_MODEL_DESC_INIT                                                    \
    {                                                                          \
        (uint32_t)sizeof(tkp_model_desc), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  \
            0, 0, 0, 0, 0, 0, 0.0f, 0.0, 0                                     \
    }
TKP_API void tkp_model_desc_init(tkp_model_desc *model);

TKP_END_DECLS

#endif
