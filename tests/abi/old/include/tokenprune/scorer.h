#ifndef TOKENPRUNE_SCORER_H
#define TOKENPRUNE_SCORER_H

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
    TKP_SCORER_NONE = 0,      /* the selector needs no scores */
    TKP_SCORER_ATTENTION = 1, /* attention received from a few query rows */
    TKP_SCORER_CLS_ATTENTION = 2, /* the vision encoder's CLS row, given */
    TKP_SCORER_NORM = 3,          /* norm of the token's features */
    TKP_SCORER_COSINE = 4,        /* likeness to a reference */
    TKP_SCORER_EXTERNAL = 5,      /* the caller's vector */
    TKP_SCORER_BLEND = 6,         /* weighted sum of other scorers */
    TKP_SCORER_CUSTOM = 7         /* tkp_scorer_vtable */
};

/* Whose attention counts. */
enum tkp_query {
    TKP_QUERY_LAST = 0,        /* the last token of the sequence (FastV) */
    TKP_QUERY_LAST_VISUAL = 1, /* the last visual token of the last image */
    TKP_QUERY_LAST_VISUAL_PER_IMAGE = 2, /* each image by its own last token */
    TKP_QUERY_TEXT = 3, /* the guiding text (tkp_sequence_desc) */
    TKP_QUERY_ALL = 4   /* every token */
};

enum tkp_reference {
    TKP_REFERENCE_LAST = 0,        /* the last token of the sequence */
    TKP_REFERENCE_MEAN_VISUAL = 1, /* mean of the candidates */
    TKP_REFERENCE_MAX_OTHER = 2,   /* the most similar other candidate */
    TKP_REFERENCE_MEAN_OTHER = 3   /* all other candidates, mean similarity */
};

enum tkp_feature {
    TKP_FEATURE_RAW = 0,       /* hidden rows as they are */
    TKP_FEATURE_FINAL_NORM = 1 /* after the model's final RMSNorm */
};

struct tkp_scorer_vtable;
struct tkp_blend_term;

typedef struct tkp_scorer_options {
    uint32_t struct_size;
    int32_t kind;       /* enum tkp_scorer_kind */
    uint32_t flags;     /* enum tkp_attention_flags; CAUSAL is implied */
    int32_t query;      /* attention: enum tkp_query */
    int32_t row_reduce; /* attention: enum tkp_row_reduce; 0 = LAST for one
                           row, MEAN_VISIBLE for several */
    int32_t norm;       /* norm: enum tkp_norm; 0 = L1 */
    int32_t reference;  /* cosine: enum tkp_reference */
    int32_t feature;    /* norm, cosine: enum tkp_feature */
    float norm_eps;     /* FINAL_NORM; 0 = 1e-5 */
    int32_t n_terms;    /* blend: 1..8 */
    const struct tkp_blend_term *terms; /* blend; copied */
    const char *custom; /* custom: registered name; copied */
} tkp_scorer_options;

#define TKP_SCORER_OPTIONS_INIT                                                \
    {                                                                          \
        (uint32_t)sizeof(tkp_scorer_options), 0, 0, 0, 0, 0, 0, 0, 0.0f, 0,    \
            NULL, NULL                                                         \
    }
TKP_API void tkp_scorer_options_init(tkp_scorer_options *options);

/** One term of a blend. Blends do not nest. */
typedef struct tkp_blend_term {
    const tkp_scorer_options *scorer;
    float weight;
    int32_t normalise;  /* enum tkp_normalise, over a sequence's candidates */
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
    const tkp_scorer *scorer, int32_t *rows, int64_t capacity);

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
    int32_t sequences;         /* B */
    int64_t rows;              /* R now */
    int64_t candidates;        /* N now */
    const int32_t *row_offsets;       /* [B + 1] */
    const int32_t *candidate_offsets; /* [B + 1] */
    const int32_t *candidate_rows;    /* [N] row in the packed batch */
    const int32_t *candidate_images;  /* [N] image index in the layout */
    const int32_t *candidate_cells;   /* [N] (frame * rows + row) * cols + col */
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
    const char *name, const tkp_scorer_vtable *vtable, void *user);
TKP_API TKP_NODISCARD tkp_status tkp_scorer_unregister(const char *name);

TKP_END_DECLS

#endif
