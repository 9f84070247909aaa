#ifndef TOKENPRUNE_LAYOUT_H
#define TOKENPRUNE_LAYOUT_H

#include "tokenprune/context.h"

TKP_BEGIN_DECLS

/*
 * What a batch looks like before pruning: how long each sequence is, where its
 * images lie, what their grids are, which positions the tokens have. A batch
 * is ragged: its sequences are packed one after the other, so that all of them
 * together are rows [R, ...], R = sum of lengths.
 *
 *     tkp_layout *layout;
 *     tkp_layout_create(&layout);
 *     tkp_layout_add_sequence(layout, &seq, &b);    // length 622
 *     tkp_layout_add_image(layout, &image);         // 24 x 24 at row 35
 *
 * A layout may be filled until something uses it; then it is frozen (further
 * changes answer TKP_ERR_STATE) and may be shared by threads.
 */

typedef struct tkp_layout tkp_layout;

TKP_API TKP_NODISCARD tkp_status tkp_layout_create(tkp_layout **out);
TKP_API void tkp_layout_destroy(tkp_layout *layout);

typedef struct tkp_sequence_desc {
    uint32_t struct_size;
    uint32_t id;        /* names the sequence to the random generator: the same
                           id draws the same numbers in any batch */
    int64_t length;     /* tokens, text and visual; >= 1 */
    int64_t text_begin; /* text that guides the pruning; both 0 = every token */
    int64_t text_end;   /* after the last visual token */
} tkp_sequence_desc;

#define TKP_SEQUENCE_DESC_INIT                                                 \
    {                                                                          \
        (uint32_t)sizeof(tkp_sequence_desc), 0, 0, 0, 0                        \
    }
TKP_API void tkp_sequence_desc_init(tkp_sequence_desc *desc);

/** @param[out] index_out number of the sequence in the batch; may be NULL */
TKP_API TKP_NODISCARD tkp_status tkp_layout_add_sequence(
    tkp_layout *layout, const tkp_sequence_desc *desc, int32_t *index_out);

typedef struct tkp_image_desc {
    uint32_t struct_size;
    int32_t sequence;     /* index in the batch */
    int64_t start;        /* first visual token, row within the sequence */
    int32_t frames;       /* temporal grid; 0 = 1 */
    int32_t rows;         /* token grid, >= 1 */
    int32_t cols;
    int32_t row_stride;   /* tokens from one grid row to the next; 0 = cols.
                             cols + 1: each row ends in a newline token, which
                             is structure and never pruned */
    const uint8_t *valid; /* [frames * rows * cols], 0 = padding that is no
                             candidate and goes at the first cut; NULL = all */
    const uint8_t *keep;  /* same shape, 1 = always kept, counted in the
                             budget; NULL = none */
} tkp_image_desc;

#define TKP_IMAGE_DESC_INIT                                                    \
    {                                                                          \
        (uint32_t)sizeof(tkp_image_desc), 0, 0, 0, 0, 0, 0, NULL, NULL         \
    }
TKP_API void tkp_image_desc_init(tkp_image_desc *desc);

/**
 * Images of a sequence in ascending order, not overlapping. Masks are copied.
 * @retval TKP_ERR_SHAPE  the image reaches past its sequence, or overlaps
 */
TKP_API TKP_NODISCARD tkp_status tkp_layout_add_image(
    tkp_layout *layout, const tkp_image_desc *desc, int32_t *index_out);

/**
 * Rotary positions of all rows, if they are not 0, 1, 2, ... in each sequence.
 * @param[in] n_rows     1, or 3 for M-RoPE (temporal, height, width)
 * @param[in] positions  [n_rows, R] copied
 * @param[in] count      R
 */
TKP_API TKP_NODISCARD tkp_status tkp_layout_set_positions(
    tkp_layout *layout,
    int32_t n_rows,
    const int32_t *positions,
    int64_t count);

TKP_API int32_t tkp_layout_sequences(const tkp_layout *layout);
TKP_API int32_t tkp_layout_images(const tkp_layout *layout);
TKP_API int64_t tkp_layout_rows(const tkp_layout *layout);
/** Candidates of a sequence (valid visual tokens); -1 outside the batch. */
TKP_API int64_t
tkp_layout_visual_tokens(const tkp_layout *layout, int32_t sequence);

TKP_END_DECLS

#endif
