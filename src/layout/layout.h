#ifndef TKP_LAYOUT_LAYOUT_H
#define TKP_LAYOUT_LAYOUT_H

/*
 * Two views of a batch: the layout, as the engine described it, and the batch
 * state, as it is after the cuts that were made so far.
 */

#include <stdatomic.h>

#include "tokenprune/budget.h"
#include "tokenprune/layout.h"
#include "tokenprune/scorer.h"
#include "util/util.h"

typedef struct tkp__layout_sequence {
    uint32_t id;
    int64_t start; /* first row in the packed batch */
    int64_t length;
    int64_t text_begin; /* guiding text, rows of the sequence */
    int64_t text_end;
    int64_t visual; /* valid visual tokens */
} tkp__layout_sequence;

typedef struct tkp__layout_image {
    int32_t sequence;
    int64_t start; /* row in its sequence */
    int32_t frames, rows, cols, row_stride;
    int32_t first_frame; /* frames of the images before it */
    int32_t first_tile;  /* tiles of the images before it */
    int32_t tile_height, tile_width, tile_top, tile_left;
    int32_t tile_lines, tile_columns;
    int32_t overview; /* image that shows all of its tiles; -1 = none */
    int64_t tokens;   /* rows of the span, newline tokens included */
    uint8_t *valid;   /* [frames * rows * cols] or NULL */
    uint8_t *keep;
} tkp__layout_image;

struct tkp_layout {
    atomic_int references;
    atomic_bool frozen;
    tkp__layout_sequence *sequences;
    tkp__layout_image *images;
    int32_t n_sequences, n_images;
    int32_t sequence_capacity, image_capacity;
    int64_t rows;
    int64_t visual;  /* valid visual tokens of the batch */
    int64_t padding; /* invalid ones */
    int32_t position_rows;
    int32_t *positions; /* [position_rows, rows] or NULL: 0, 1, 2 ... */
};

tkp_status tkp__layout_new(tkp_layout **out);
tkp_status tkp__layout_add_sequence(
    tkp_layout *layout,
    const tkp_sequence_desc *desc,
    int32_t *index_out);
tkp_status tkp__layout_add_image(
    tkp_layout *layout,
    const tkp_image_desc *desc,
    int32_t *index_out);
tkp_status tkp__layout_set_positions(
    tkp_layout *layout,
    int32_t n_rows,
    const int32_t *positions,
    int64_t count);
void tkp__layout_retain(tkp_layout *layout);
void tkp__layout_release(tkp_layout *layout);
/* No further changes; fills in defaults. TKP_ERR_ARGUMENT if it is empty. */
tkp_status tkp__layout_freeze(tkp_layout *layout);

/* Units that a budget is for, where it is not for sequences: images, frames,
 * tiles. They are numbered through the layout; candidates come unit by unit, but
 * for tiles side by side, whose rows take turns. */
int32_t tkp__layout_units(const tkp_layout *layout, int32_t scope);
/* The same, or sequences. */
static inline int32_t
tkp__layout_groups(const tkp_layout *layout, int32_t scope)
{
    return scope == TKP_SCOPE_SEQUENCE ? layout->n_sequences
                                       : tkp__layout_units(layout, scope);
}
/* Cells of a frame, the most of any image. */
int64_t tkp__layout_frame_cells(const tkp_layout *layout);
/* The image that shows as a whole what image i shows in tiles; -1 = none. */
static inline int32_t tkp__layout_overview(const tkp_layout *layout, int32_t i)
{
    return layout->images[i].overview;
}
/* Whether each unit of a scope lies in one of the other. */
bool tkp__scope_within(int32_t scope, int32_t of);

static inline bool tkp__image_tiled(const tkp__layout_image *image)
{
    return image->tile_lines * image->tile_columns > 1;
}

/* Tile of a cell in its image. */
static inline int32_t
tkp__image_tile(const tkp__layout_image *image, int32_t cell)
{
    if (!image->tile_height)
        return 0;
    const int32_t y = cell / image->cols + image->tile_top;
    const int32_t x = cell % image->cols + image->tile_left;
    return y / image->tile_height * image->tile_columns + x / image->tile_width;
}

static inline int64_t tkp__image_cells(const tkp__layout_image *image)
{
    return (int64_t)image->frames * image->rows * image->cols;
}

/* ------------------------------------------------------------------------
 * The batch as it is now. All arrays are on the host and sized for the layout
 * when the state is made: advancing past a cut allocates nothing.
 * --------------------------------------------------------------------- */

typedef struct tkp__batch {
    const tkp_layout *layout;
    int32_t sequences; /* B */
    int32_t position_rows;
    int64_t rows;                /* R */
    int64_t candidates;          /* N */
    int64_t padding;             /* invalid visual tokens still there */
    int32_t *row_offsets;        /* [B + 1] */
    int32_t *candidate_offsets;  /* [B + 1] */
    int32_t *candidate_rows;     /* [N + padding]: after the candidates, the
                                    rows of padding, which go at a cut */
    int32_t *candidate_images;   /* [N] */
    int32_t *candidate_cells;    /* [N] */
    int32_t *candidate_original; /* [N] candidate number in the layout */
    uint8_t *candidate_kept;     /* [N] 1 = protected */
    float *candidate_sizes;      /* [N] tokens of the layout each stands for */
    int32_t *candidate_turns; /* [N] the order in which bipartite matching deals
                                    them out, each another number */
    int32_t *positions;       /* [position_rows, R] */
    int32_t *origin;          /* [R] row in the layout's packed batch */
    int32_t *scratch;         /* [R + 5 N] */
    void *memory;             /* what all of the above lie in */
} tkp__batch;

tkp_status tkp__batch_create(tkp__batch *out, tkp_layout *layout);
void tkp__batch_release(tkp__batch *batch);
/* The same on the heap, for stand-alone objects: it has to stay where the parts
 * that are planned for it look. Freezes the layout. */
tkp_status tkp__batch_new(tkp__batch **out, tkp_layout *layout);
void tkp__batch_free(tkp__batch *batch); /* NULL is nothing */
/* Rows of the text that guides sequence b, ascending; how many. `rows` has
 * room for the layout's (text_end - text_begin). */
int32_t tkp__batch_text_rows(const tkp__batch *batch, int32_t b, int32_t *rows);
/* Where the candidates of each sequence (or unit of the scope) that has any end:
 * `ends` [count + 1] from 0 on; the count. */
int32_t tkp__batch_spans(const tkp__batch *batch, int32_t scope, int32_t *ends);
/* Back to the layout's own state. */
void tkp__batch_reset(tkp__batch *batch);
/* After a cut: `indices` [rows_out] old row of each new row, `offsets` [B + 1],
 * `positions` [position_rows, rows_out] new positions, `sizes` [rows_out] tokens
 * of the layout that each row stands for. */
void tkp__batch_advance(
    tkp__batch *batch,
    const int32_t *indices,
    const int32_t *offsets,
    const int32_t *positions,
    const float *sizes);
/* Candidates marked in `behind` [N] get their turn after all others; the order
 * among either stays. */
void tkp__batch_put_behind(tkp__batch *batch, const uint8_t *behind);
/* The unit that a cell of an image belongs to. */
static inline int32_t tkp__layout_unit(
    const tkp_layout *layout,
    int32_t scope,
    int32_t image,
    int32_t cell)
{
    const tkp__layout_image *im = &layout->images[image];
    if (scope == TKP_SCOPE_TILE)
        return im->first_tile + tkp__image_tile(im, cell);
    return scope == TKP_SCOPE_FRAME
               ? im->first_frame + cell / (im->rows * im->cols)
               : image;
}
/* Frame of a candidate in its image. */
static inline int32_t tkp__batch_frame(const tkp__batch *batch, int32_t n)
{
    const tkp__layout_image *image =
        &batch->layout->images[batch->candidate_images[n]];
    return batch->candidate_cells[n] / (image->rows * image->cols);
}
/* The candidate that each follows in time: of the same cell, in the latest frame
 * before that still has it; -1 = none. `latest` has room for a frame's cells
 * (tkp__layout_frame_cells). */
void tkp__batch_before(
    const tkp__batch *batch,
    int32_t *before,
    int32_t *latest);
/* The same where frames make groups (tkp_scorer_options.group); `latest` has
 * room for a group of frames. */
void tkp__batch_before_in_groups(
    const tkp__batch *batch,
    int32_t group,
    int32_t *before,
    int32_t *latest);
/* The unit that candidate n belongs to. */
static inline int32_t
tkp__batch_unit(const tkp__batch *batch, int32_t scope, int32_t n)
{
    return tkp__layout_unit(
        batch->layout, scope, batch->candidate_images[n],
        batch->candidate_cells[n]);
}
/* Candidates of sequence b, or of one unit of the scope in it (-1: all). */
typedef struct tkp__batch_count {
    int64_t candidates;
    int64_t kept;     /* protected ones */
    int64_t first;    /* of the first frame that has any, of each image, and of
                         those that begin so many */
    int64_t frames;   /* one a frame that has any; all of one that is alone */
    int64_t original; /* before any cut; tkp__batch_original() */
} tkp__batch_count;
tkp__batch_count tkp__batch_count_of(
    const tkp__batch *batch,
    int32_t scope,
    int32_t b,
    int32_t unit,
    int32_t every /* budget's; 0 */);
/* Valid tokens of sequence b, or of one unit of the scope in it (-1: all),
 * before any cut. */
int64_t tkp__batch_original(
    const tkp__batch *batch,
    int32_t scope,
    int32_t b,
    int32_t unit);
/* Where each unit's candidates begin, [units + 1] entries; how many units: those
 * that have any, or all sequences. */
int32_t tkp__batch_unit_offsets(
    const tkp__batch *batch,
    int32_t scope,
    int32_t *offsets);
/* Where crop i of n candidates in `parts` runs begins: the first are one longer
 * where they cannot be equal. */
static inline int32_t tkp__crop_begin(int32_t n, int32_t parts, int32_t i)
{
    return i * (n / parts) + (i < n % parts ? i : n % parts);
}
/* Candidates tile by tile, [N], and where each tile's begin, [tiles + 1]; the
 * number of tiles, of which some may be empty. */
int32_t
tkp__batch_tiles(const tkp__batch *batch, int32_t *order, int32_t *offsets);
/* Where crops begin, [crops + 1] entries: the candidates of each unit of the
 * scope in so many runs, as many as it has candidates if that is less. How many
 * crops there are in all. */
int32_t tkp__batch_crops(
    const tkp__batch *batch,
    int32_t scope,
    int32_t crops,
    int32_t *offsets);
/* What a budget leaves of them: at least the protected ones. */
tkp_status tkp__batch_resolve(
    const tkp__batch_count *count,
    const tkp_budget *budget,
    int32_t first_layer,
    int32_t layers,
    int64_t *keep_out);
/* What custom scorers, selectors and mergers see. */
void tkp__batch_view(const tkp__batch *batch, tkp_batch_view *view);

#endif
