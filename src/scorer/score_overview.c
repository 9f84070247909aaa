/*
 * What the picture seen as a whole says of its tiles: the CLS row of the view
 * that comes before them, resized to their grid, or summed over the part of it that a
 * tile shows. A picture that is seen once is its own overview.
 */
#include "scorer/scorer.h"

enum { OP_OVERVIEW = TKP__GIVEN_OPS, AT_SCORES = TKP__GIVEN_AT };

/* What padding leaves of an image. */
typedef struct extent {
    int32_t top, left, rows, cols;
} extent;

typedef struct overview {
    int32_t pictures, cells; /* of the tables, largest */
    int32_t *picture;        /* [images] number of its overview's */
    extent *extent;          /* [images] */
    int32_t *cell;           /* [cells] candidate; -1 = none */
    int32_t *table;          /* [pictures, 5] */
    int32_t *places;         /* [N, 3] */
} overview;

static extent extent_of(const tkp__layout_image *image)
{
    extent e = {0, 0, image->frames * image->rows, image->cols};
    if (!image->valid)
        return e;
    int32_t top = e.rows, left = e.cols, bottom = 0, right = 0;
    for (int32_t y = 0; y < e.rows; y++)
        for (int32_t x = 0; x < e.cols; x++) {
            if (!image->valid[(size_t)y * (size_t)e.cols + (size_t)x])
                continue;
            top = y < top ? y : top;
            left = x < left ? x : left;
            bottom = y + 1;
            right = x + 1 > right ? x + 1 : right;
        }
    return bottom ? (extent){top, left, bottom - top, right - left}
                  : (extent){0, 0, 0, 0};
}

static tkp_status check_wholes(const tkp_layout *layout)
{
    for (int32_t i = 0; i < layout->n_images; i++)
        TKP__CHECK(
            !tkp__image_tiled(&layout->images[i]) ||
                tkp__layout_overview(layout, i) >= 0,
            TKP_ERR_UNSUPPORTED,
            "scorer: image %d is of tiles, and no view of the whole comes "
            "before it in its sequence",
            i);
    return TKP_OK;
}

/* Sizes of the tables; those of pictures that do not change. */
static tkp_status make_tables(tkp__leaf *leaf, const tkp_layout *layout)
{
    const size_t images = (size_t)layout->n_images;
    int64_t cells = 0;
    for (size_t i = 0; i < images; i++)
        cells += tkp__image_cells(&layout->images[i]);
    overview *o = tkp__zalloc(
        1, sizeof(*o) + images * sizeof(extent) +
               (6 * images + (size_t)cells + 3 * (size_t)layout->visual) *
                   sizeof(int32_t));
    if (!o)
        return TKP_ERR_MEMORY;
    leaf->state = o;
    o->extent = (extent *)(o + 1);
    o->picture = (int32_t *)(o->extent + images);
    o->table = o->picture + images;
    o->cell = o->table + 5 * images;
    o->places = o->cell + cells;
    const bool resizes = leaf->options.map == TKP_OVERVIEW_BILINEAR;
    for (int32_t i = 0; i < layout->n_images; i++) {
        const tkp__layout_image *image = &layout->images[i];
        const int32_t whole = tkp__layout_overview(layout, i);
        o->extent[i] = extent_of(image);
        o->picture[i] = whole >= 0 ? o->picture[whole] : o->pictures;
        int32_t *row = o->table + 5 * (size_t)o->picture[i];
        if (whole >= 0) {
            row[3] = resizes ? o->extent[i].rows : image->tile_lines;
            row[4] = resizes ? o->extent[i].cols : image->tile_columns;
            continue;
        }
        row[0] = o->cells;
        row[1] = image->frames * image->rows;
        row[2] = image->cols;
        o->cells += (int32_t)tkp__image_cells(image);
        o->pictures++;
    }
    return TKP_OK;
}

static tkp_status overview_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const int64_t n = batch->layout->visual;
    const tkp_op_overview params = {
        .struct_size = sizeof(params),
        .map = leaf->options.map,
        .alpha = leaf->options.alpha,
    };
    tkp_tensor args[5];
    TKP__TRY(check_wholes(batch->layout));
    TKP__TRY(make_tables(leaf, batch->layout));
    TKP__TRY(tkp__leaf_given.plan(leaf, batch));
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger, (uint64_t)n * sizeof(float), &leaf->at[AT_SCORES]));
    const overview *o = leaf->state;
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, o->cells);
    tkp_tensor_make_2d(&args[2], NULL, TKP_DTYPE_I32, o->pictures, 5);
    tkp_tensor_make_2d(&args[3], NULL, TKP_DTYPE_I32, n, 3);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_F32, n);
    return tkp__leaf_op(leaf, OP_OVERVIEW, TKP_OP_OVERVIEW, args, 5, &params);
}

static void overview_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    const tkp_layout *layout = batch->layout;
    const bool resizes = leaf->options.map == TKP_OVERVIEW_BILINEAR;
    overview *o = leaf->state;
    for (int32_t c = 0; c < o->cells; c++)
        o->cell[c] = -1;
    for (int32_t n = 0; n < batch->candidates; n++) {
        const int32_t i = batch->candidate_images[n];
        const int32_t cell = batch->candidate_cells[n];
        const tkp__layout_image *image = &layout->images[i];
        int32_t *place = o->places + 3 * (size_t)n;
        place[0] = o->picture[i];
        place[1] = place[2] = -1;
        if (tkp__layout_overview(layout, i) < 0) {
            o->cell[o->table[5 * (size_t)o->picture[i]] + cell] = n;
        } else if (resizes) {
            place[1] = cell / image->cols - o->extent[i].top;
            place[2] = cell % image->cols - o->extent[i].left;
        } else {
            const int32_t tile = tkp__image_tile(image, cell);
            place[1] = tile / image->tile_columns;
            place[2] = tile % image->tile_columns;
        }
    }
    tkp__leaf_given.bind(leaf, batch);
}

static tkp_status overview_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const int64_t n = leaf->batch->candidates;
    const overview *o = leaf->state;
    tkp_tensor args[5] = {[4] = *dst};
    tkp_tensor_make_1d(
        &args[0], tkp__ledger_at(workspace, leaf->at[AT_SCORES]), TKP_DTYPE_F32,
        n);
    TKP__TRY(tkp__leaf_given.run(leaf, exec, in, workspace, &args[0]));
    tkp_tensor_make_1d(&args[1], o->cell, TKP_DTYPE_I32, o->cells);
    tkp_tensor_make_2d(&args[2], o->table, TKP_DTYPE_I32, o->pictures, 5);
    tkp_tensor_make_2d(&args[3], o->places, TKP_DTYPE_I32, n, 3);
    return tkp__leaf_run_op(leaf, OP_OVERVIEW, exec, args, 5, workspace);
}

static void overview_release(tkp__leaf *leaf)
{
    tkp__free(leaf->state);
}

const tkp__leaf_kind tkp__leaf_overview = {
    .plan = overview_plan,
    .bind = overview_bind,
    .run = overview_run,
    .release = overview_release,
};
