#ifndef TOKENPRUNE_SCORER_H
#define TOKENPRUNE_SCORER_H

#include "tokenprune/budget.h"
#include "tokenprune/inputs.h"
#include "tokenprune/layout.h"
#include "tokenprune/sys/op.h"

TKP_BEGIN_DECLS

/*
 * A scorer gives each visual token one number; higher is kept. It is planned
 * for a context, a layout and the shapes of a model, immutable, and may run in
 * many threads, each with an exec of its own.
 */

typedef struct tkp_scorer tkp_scorer;

enum tkp_scorer_kind {
    TKP_SCORER_NONE = 0,          /* the selector needs no scores */
    TKP_SCORER_ATTENTION = 1,     /* attention received from a few query rows */
    TKP_SCORER_CLS_ATTENTION = 2, /* the vision encoder's CLS row, given */
    TKP_SCORER_NORM = 3,          /* norm of the token's features */
    TKP_SCORER_COSINE = 4,        /* likeness to a reference */
    TKP_SCORER_EXTERNAL = 5,      /* the caller's vector */
    TKP_SCORER_BLEND = 6,         /* weighted sum of other scorers */
    TKP_SCORER_CUSTOM = 7,        /* tkp_scorer_vtable */
    TKP_SCORER_RELEVANCE = 8,     /* likeness to text, 0 to 1 */
    TKP_SCORER_RECONSTRUCTION = 9, /* what a few farthest points miss of it */
    TKP_SCORER_TEMPORAL = 11, /* unlikeness to the same place a frame before */
    TKP_SCORER_GAUSSIAN = 16, /* nearness to the middle of video and frame */
    TKP_SCORER_ROTARY = 13, /* how near its rotation is to none, or to a quarter
                               turn: positions alone */
    TKP_SCORER_VALUE_ATTENTION =
        15,                     /* likeness of its values to those of text */
    TKP_SCORER_MEAN_QUERY = 14, /* attention from the mean query of the visual
                                   tokens, before rotary */
    TKP_SCORER_CURVATURE = 21,  /* how sharply the video turns at its frame */
    TKP_SCORER_OVERVIEW = 20, /* what the CLS row of the picture seen as a whole
                                 says of its tiles */
    TKP_SCORER_VARIANCE = 12, /* how unevenly a token is like those around it;
                                 with the CLS row: HoloV */
    TKP_SCORER_ENTROPY_RELEVANCE = 17 /* the same, and likeness to those tokens
                                         of text that point somewhere */
};

/* Whose attention counts. */
enum tkp_query {
    TKP_QUERY_LAST = 0,        /* the last token of the sequence (FastV) */
    TKP_QUERY_LAST_VISUAL = 1, /* the last visual token of the last image */
    TKP_QUERY_LAST_VISUAL_PER_IMAGE = 2, /* each image by its own last token */
    TKP_QUERY_TEXT = 3,  /* the guiding text (tkp_sequence_desc) */
    TKP_QUERY_ALL = 4,   /* every token */
    TKP_QUERY_RATERS = 5 /* words of that text which visual tokens are most like
                            as they enter the decoder (TEXT_RATERS) */
};

enum tkp_reference {
    TKP_REFERENCE_LAST = 0,        /* the last token of the sequence */
    TKP_REFERENCE_MEAN_VISUAL = 1, /* mean of the candidates */
    TKP_REFERENCE_MAX_OTHER = 2,   /* the most similar other candidate */
    TKP_REFERENCE_MEAN_OTHER = 3,  /* all other candidates, mean similarity */
    TKP_REFERENCE_MEAN_IMAGE = 4,  /* mean of its image's candidates */
    TKP_REFERENCE_MEAN_FRAME = 5   /* of its frame's */
};

/* Which rows stand for the tokens where they are compared. */
enum tkp_feature {
    TKP_FEATURE_RAW = 0,         /* hidden rows as they are */
    TKP_FEATURE_FINAL_NORM = 1,  /* after the model's final RMSNorm */
    TKP_FEATURE_VISION = 2,      /* rows of the vision encoder */
    TKP_FEATURE_VISION_KEYS = 3, /* its keys, meaned over the heads */
    TKP_FEATURE_CLIP = 4,        /* patches in the space shared with text */
    TKP_FEATURE_KEYS = 5,   /* keys of the score layer, heads side by side */
    TKP_FEATURE_VALUES = 6, /* values of the score layer */
    TKP_FEATURE_VISION_VALUES = 7 /* values of the encoder's last block */
};

/* Relevance: which tokens have to do with the text. */
enum tkp_prefer {
    TKP_PREFER_UNLIKE = 0, /* as in CLIP's space, where what the text names is
                              often less like it */
    TKP_PREFER_LIKE = 1
};

/* Where a method's published code breaks a rule that holds for all methods here
 * (exact counts, no dependence on what else is in a batch ...). */
enum tkp_compat {
    TKP_COMPAT_NONE = 0,    /* the rule holds */
    TKP_COMPAT_OFFICIAL = 1 /* as the code does */
};

struct tkp_scorer_vtable;
struct tkp_blend_term;

typedef struct tkp_scorer_options {
    uint32_t struct_size;
    int32_t kind;       /* enum tkp_scorer_kind */
    uint32_t flags;     /* enum tkp_attention_flags; attention: CAUSAL is
                           implied; cls-attention: LOGITS, UNIT */
    int32_t query;      /* attention: enum tkp_query */
    int32_t row_reduce; /* attention: enum tkp_row_reduce; 0 = LAST for one
                           row, MEAN_VISIBLE for several */
    int32_t norm;       /* norm: enum tkp_norm; 0 = L1 */
    int32_t reference;  /* cosine: enum tkp_reference */
    int32_t feature;    /* norm, cosine: enum tkp_feature */
    float norm_eps;     /* FINAL_NORM; 0 = the model's */
    int32_t n_terms;    /* blend: 1..8 */
    const struct tkp_blend_term *terms; /* blend; copied */
    const char *custom;                 /* custom: registered name; copied */
    int32_t prefer;                     /* relevance: enum tkp_prefer */
    int32_t smooth; /* relevance: 1 = meaned with the neighbours on the grid */
    float mix;      /* entropy relevance: of the prompts; 0 = 0.5 */
    float share;    /* entropy relevance: of the text's tokens; 0 = 0.2 */
    float power;    /* relevance, smoothed: of the result; 0 = 1 */
    int32_t group;  /* temporal: frames of a group, of which the first stands by
                       itself, the second and the third follow it, the fourth
                       the third, and so on, as bits are cleared; 0 = each frame
                       follows the one before */
    int32_t basis;  /* reconstruction: how many points; 0 = 10 */
    float ridge;    /* reconstruction; 0 = 1e-5 */
    int32_t scope; /* reconstruction: whose tokens make a basis; blend: those of
                      what are normalised together; variance: what is cut into
                      crops; mean-query: whose tokens make a mean; enum
                      tkp_budget_scope */
    int32_t centre;  /* gaussian: enum tkp_centre */
    uint64_t seed;   /* reconstruction: 0 = the basis begins with the longest
                      row, else with one drawn by this seed */
    float threshold; /* temporal: 0, or 1 where the cosine is below this or
                        nothing is before, else 0 */
    int32_t combine; /* blend: enum tkp_blend_combine */
    int32_t encoder_layer; /* cls-attention: of which block of the encoder,
                              counted from 1; -1 = the last, 0 = that of the
                              features (shallow: a quarter of the way up) */
    int32_t shallow;       /* cls-attention: 1 = it is given as `cls_shallow` */
    int32_t crops;  /* variance: runs of equal size of each `scope`; 0 = 16 */
    float gain;     /* variance: 0 = 0.09 */
    int32_t alone;  /* variance: 1 = without the CLS row */
    int32_t compat; /* variance: enum tkp_compat */
    int32_t map;    /* overview: enum tkp_overview_map */
    float alpha;    /* overview, SHARE */
    int64_t seeds_num, seeds_den; /* value-attention: a share of the candidates
                                     that ask beside the text; rounded down, at
                                     least one; 0 / 0 = none */
    int32_t sine;                 /* rotary: 1 = a quarter turn */
    int32_t reserved;
    int32_t heads; /* attention: only so many, those that attend most to the
                      candidates (sys/op.h, ATTENTION_HEADS); 0 = all */
    int32_t level; /* attention: 1 = divided by what distance alone makes of it
                      (ATTENTION_HEADS) */
} tkp_scorer_options;

#define TKP_SCORER_OPTIONS_INIT                                                \
    {                                                                          \
        (uint32_t)sizeof(tkp_scorer_options), 0, 0, 0, 0, 0, 0, 0, 0.0f, 0,    \
            NULL, NULL, 0, 0, 0.0f, 0.0f, 0.0f, 0, 0, 0.0f, 0, 0, 0, 0.0f, 0,  \
            0, 0, 0, 0.0f, 0, 0, 0, 0.0f, 0, 0, 0, 0, 0, 0                     \
    }
TKP_API void tkp_scorer_options_init(tkp_scorer_options *options);

/** One term of a blend. Blends do not nest. */
typedef struct tkp_blend_term {
    const tkp_scorer_options *scorer;
    float weight;
    int32_t normalise; /* enum tkp_normalise, over the candidates of a sequence,
                           or as `scope` of the blend says */
    int32_t complement; /* 1: use 1 - normalised value */
    int32_t reserved;
} tkp_blend_term;

/**
 * @param[in] layout  Frozen by this call; a reference is kept.
 * @param[in] model   Shapes; see tkp_model_desc. Fields the scorer does not
 *                    need may be 0.
 * @retval TKP_ERR_OPTION       a field out of range; message names it
 * @retval TKP_ERR_UNSUPPORTED  no backend can do it; message has the reasons
 */
TKP_API TKP_NODISCARD tkp_status tkp_scorer_create(
    tkp_scorer **out,
    tkp_context *context,
    const tkp_scorer_options *options,
    tkp_layout *layout,
    const tkp_model_desc *model);
TKP_API void tkp_scorer_destroy(tkp_scorer *scorer);

/** enum tkp_need bits that the scorer must be given. */
TKP_API uint32_t tkp_scorer_needs(const tkp_scorer *scorer);

TKP_API TKP_NODISCARD tkp_status
tkp_scorer_query(const tkp_scorer *scorer, tkp_requirements *requirements);

/**
 * The query rows whose q the scorer wants, rows of the packed batch, ascending
 * by sequence. Give `rows` = NULL to ask for the count only.
 * @param[out] rows      [count] or NULL
 * @param[in]  capacity  entries `rows` has room for
 * @return the count
 */
TKP_API int64_t tkp_scorer_query_rows(
    const tkp_scorer *scorer,
    int32_t *rows,
    int64_t capacity);

/**
 * @param[out] scores [N] f32, N = all candidates of the batch, packed by
 *                    sequence, row-major over each image's grid
 */
TKP_API TKP_NODISCARD tkp_status tkp_scorer_run(
    const tkp_scorer *scorer,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    const tkp_tensor *scores);

/* --- scorers of your own ------------------------------------------------ */

/** What a custom scorer, selector or merger sees of the batch (host arrays,
 * valid during the call). */
typedef struct tkp_batch_view {
    uint32_t struct_size;
    int32_t sequences;                /* B */
    int64_t rows;                     /* R now */
    int64_t candidates;               /* N now */
    const int32_t *row_offsets;       /* [B + 1] */
    const int32_t *candidate_offsets; /* [B + 1] */
    const int32_t *candidate_rows;    /* [N] row in the packed batch */
    const int32_t *candidate_images;  /* [N] image index in the layout */
    const int32_t *candidate_cells; /* [N] (frame * rows + row) * cols + col */
} tkp_batch_view;

typedef struct tkp_scorer_vtable {
    uint32_t struct_size;
    uint32_t needs; /* enum tkp_need */
    /* Fill scores [N] f32 on the context's device. Must not allocate if the
     * caller relies on allocation-free runs. A failure status is passed on. */
    tkp_status (*run)(
        void *user,
        const tkp_batch_view *view,
        const tkp_inputs *inputs,
        tkp_exec *exec,
        const tkp_tensor *scores);
    void (*release)(void *user); /* may be NULL */
} tkp_scorer_vtable;

/**
 * Name a scorer of your own, for options, policies and YAML. Takes a lock. The
 * table is copied; `user` is released when the process ends or the name is
 * taken back.
 * @retval TKP_ERR_ARGUMENT  the name is empty, too long (63) or taken
 */
TKP_API TKP_NODISCARD tkp_status tkp_scorer_register(
    const char *name,
    const tkp_scorer_vtable *vtable,
    void *user);
TKP_API TKP_NODISCARD tkp_status tkp_scorer_unregister(const char *name);

TKP_END_DECLS

#endif
