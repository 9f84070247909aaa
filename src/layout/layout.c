/* The engine's description of a batch: collected, checked, then frozen. */
#include "layout/layout.h"

#include "core/core.h"

/* Row numbers are i32 on the device; so is everything counted here. */
#define ROWS_MAX INT32_MAX

#define LAST_SIZE(type, last) (offsetof(type, last) + sizeof(((type *)0)->last))

tkp_status tkp__layout_new(tkp_layout **out)
{
    tkp_layout *layout = tkp__zalloc(1, sizeof(*layout));
    if (!layout)
        return TKP_ERR_MEMORY;
    atomic_init(&layout->references, 1);
    atomic_init(&layout->frozen, false);
    layout->position_rows = 1;
    *out = layout;
    return TKP_OK;
}

void tkp__layout_retain(tkp_layout *layout)
{
    atomic_fetch_add(&layout->references, 1);
}

void tkp__layout_release(tkp_layout *layout)
{
    if (!layout || atomic_fetch_sub(&layout->references, 1) != 1)
        return;
    for (int32_t i = 0; i < layout->n_images; i++) {
        tkp__free(layout->images[i].valid);
        tkp__free(layout->images[i].keep);
    }
    tkp__free(layout->images);
    tkp__free(layout->sequences);
    tkp__free(layout->positions);
    tkp__free(layout);
}

static tkp_status check_open(const tkp_layout *layout)
{
    TKP__CHECK(
        !atomic_load(&layout->frozen), TKP_ERR_STATE,
        "layout: in use, and so no longer open to changes");
    return TKP_OK;
}

/* Room for one more element of `size` bytes in a growing array. */
static tkp_status
grow(void **array, int32_t count, int32_t *capacity, size_t size)
{
    if (count < *capacity)
        return TKP_OK;
    TKP__CHECK(
        count < INT32_MAX / 2, TKP_ERR_ARGUMENT, "layout: too many entries");
    const int32_t wanted = count ? 2 * count : 4;
    void *bigger =
        tkp__realloc(*array, (size_t)count * size, (size_t)wanted * size);
    if (!bigger)
        return TKP_ERR_MEMORY;
    *array = bigger;
    *capacity = wanted;
    return TKP_OK;
}

tkp_status tkp__layout_add_sequence(
    tkp_layout *layout,
    const tkp_sequence_desc *desc,
    int32_t *index_out)
{
    tkp_sequence_desc d;
    TKP__TRY(check_open(layout));
    TKP__TRY(tkp__util_copy_options(
        &d, sizeof(d), desc, desc->struct_size,
        LAST_SIZE(tkp_sequence_desc, text_end), "sequence"));
    TKP__CHECK(
        !layout->positions, TKP_ERR_STATE,
        "layout: positions were set; add all sequences first");
    TKP__CHECK(
        d.length >= 1 && d.length <= ROWS_MAX - layout->rows, TKP_ERR_SHAPE,
        "sequence %d: length is %lld, wanted 1 to %lld", layout->n_sequences,
        (long long)d.length, (long long)(ROWS_MAX - layout->rows));
    TKP__CHECK(
        d.text_begin >= 0 && d.text_begin <= d.text_end &&
            d.text_end <= d.length,
        TKP_ERR_SHAPE,
        "sequence %d: text is %lld to %lld, wanted within its %lld tokens",
        layout->n_sequences, (long long)d.text_begin, (long long)d.text_end,
        (long long)d.length);
    TKP__TRY(grow(
        (void **)&layout->sequences, layout->n_sequences,
        &layout->sequence_capacity, sizeof(*layout->sequences)));
    layout->sequences[layout->n_sequences] = (tkp__layout_sequence){
        .id = d.id,
        .start = layout->rows,
        .length = d.length,
        .text_begin = d.text_begin,
        .text_end = d.text_end,
    };
    layout->rows += d.length;
    if (index_out)
        *index_out = layout->n_sequences;
    layout->n_sequences++;
    return TKP_OK;
}

static tkp_status copy_mask(uint8_t **out, const uint8_t *mask, int64_t cells)
{
    *out = NULL;
    if (!mask)
        return TKP_OK;
    *out = tkp__alloc((size_t)cells, 1);
    if (!*out)
        return TKP_ERR_MEMORY;
    memcpy(*out, mask, (size_t)cells);
    return TKP_OK;
}

/* Rows after the last token of the last image of this sequence so far. */
static int64_t sequence_images_end(const tkp_layout *layout, int32_t sequence)
{
    for (int32_t i = layout->n_images - 1; i >= 0; i--)
        if (layout->images[i].sequence == sequence)
            return layout->images[i].start + layout->images[i].tokens;
    return 0;
}

static tkp_status
check_image(const tkp_layout *layout, tkp_image_desc *d, int64_t *tokens_out)
{
    const int32_t n = layout->n_images;
    if (!d->frames)
        d->frames = 1;
    if (!d->row_stride)
        d->row_stride = d->cols;
    TKP__CHECK(
        d->sequence >= 0 && d->sequence < layout->n_sequences, TKP_ERR_SHAPE,
        "image %d: sequence is %d, wanted 0 to %d", n, d->sequence,
        layout->n_sequences - 1);
    TKP__CHECK(
        n == 0 || layout->images[n - 1].sequence <= d->sequence, TKP_ERR_SHAPE,
        "image %d: sequence is %d, but image %d belongs to sequence %d; wanted "
        "ascending sequences",
        n, d->sequence, n - 1, n ? layout->images[n - 1].sequence : 0);
    TKP__CHECK(
        d->frames >= 1 && d->rows >= 1 && d->cols >= 1, TKP_ERR_SHAPE,
        "image %d: grid is %d x %d x %d, wanted at least 1 x 1 x 1", n,
        d->frames, d->rows, d->cols);
    TKP__CHECK(
        d->row_stride == d->cols || d->row_stride - 1 == d->cols, TKP_ERR_SHAPE,
        "image %d: row_stride is %d, wanted cols = %d or %d", n, d->row_stride,
        d->cols, d->cols + 1);
    int64_t tokens;
    const tkp__layout_sequence *sequence = &layout->sequences[d->sequence];
    TKP__CHECK(
        tkp__mul_i64((int64_t)d->frames * d->rows, d->row_stride, &tokens) &&
            d->start >= 0 && d->start <= sequence->length &&
            tokens <= sequence->length - d->start,
        TKP_ERR_SHAPE,
        "image %d: %d x %d x %d tokens from row %lld do not fit sequence %d of "
        "length %lld",
        n, d->frames, d->rows, d->row_stride, (long long)d->start, d->sequence,
        (long long)sequence->length);
    TKP__CHECK(
        d->start >= sequence_images_end(layout, d->sequence), TKP_ERR_SHAPE,
        "image %d: starts at row %lld, inside or before the image that ends at "
        "row %lld",
        n, (long long)d->start,
        (long long)sequence_images_end(layout, d->sequence));
    *tokens_out = tokens;
    return TKP_OK;
}

static tkp_status check_tiles(const tkp_layout *layout, const tkp_image_desc *d)
{
    const int32_t n = layout->n_images;
    if (!d->tile_height && !d->tile_width && !d->tile_top && !d->tile_left)
        return TKP_OK;
    TKP__CHECK(
        d->tile_height >= 1 && d->tile_width >= 1, TKP_ERR_SHAPE,
        "image %d: a tile has %d x %d cells, wanted at least 1 x 1, or 0 and no "
        "tile_top or tile_left",
        n, d->tile_height, d->tile_width);
    TKP__CHECK(
        d->tile_top >= 0 && d->tile_top < d->tile_height && d->tile_left >= 0 &&
            d->tile_left < d->tile_width,
        TKP_ERR_SHAPE,
        "image %d: the first tile lacks %d rows and %d columns, wanted 0 to %d "
        "and 0 to %d",
        n, d->tile_top, d->tile_left, d->tile_height - 1, d->tile_width - 1);
    TKP__CHECK(
        d->rows <= INT32_MAX - d->tile_top &&
            d->cols <= INT32_MAX - d->tile_left,
        TKP_ERR_SHAPE, "image %d: its tiles have more than %d cells a side", n,
        INT32_MAX);
    TKP__CHECK(
        d->frames == 1, TKP_ERR_SHAPE,
        "image %d: has tiles and %d frames, wanted 1 frame", n, d->frames);
    return TKP_OK;
}

/* Parts of `size` that a stretch of `cells` touches, `before` being cut off. */
static int32_t tiles_along(int32_t cells, int32_t before, int32_t size)
{
    return size ? (cells + before - 1) / size + 1 : 1;
}

int32_t tkp__layout_units(const tkp_layout *layout, int32_t scope)
{
    if ((scope != TKP_SCOPE_FRAME && scope != TKP_SCOPE_TILE) ||
        !layout->n_images)
        return layout->n_images;
    const tkp__layout_image *last = &layout->images[layout->n_images - 1];
    return scope == TKP_SCOPE_FRAME
               ? last->first_frame + last->frames
               : last->first_tile + last->tile_lines * last->tile_columns;
}

bool tkp__scope_within(int32_t scope, int32_t of)
{
    return scope == of || of == TKP_SCOPE_SEQUENCE ||
           (of == TKP_SCOPE_IMAGE && scope != TKP_SCOPE_SEQUENCE);
}

/* A picture in tiles is seen as a whole in the image before. */
static int32_t
overview_of(const tkp_layout *layout, const tkp__layout_image *image)
{
    const int32_t i = layout->n_images - 1;
    if (i < 0 || !image->tile_height ||
        layout->images[i].sequence != image->sequence)
        return -1;
    const tkp__layout_image *whole = &layout->images[i];
    return whole->frames == 1 && !tkp__image_tiled(whole) &&
                   (tkp__image_tiled(image) || !whole->tile_height)
               ? i
               : -1;
}

tkp_status tkp__layout_add_image(
    tkp_layout *layout,
    const tkp_image_desc *desc,
    int32_t *index_out)
{
    tkp_image_desc d;
    int64_t tokens = 0;
    TKP__TRY(check_open(layout));
    TKP__TRY(tkp__util_copy_options(
        &d, sizeof(d), desc, desc->struct_size, LAST_SIZE(tkp_image_desc, keep),
        "image"));
    TKP__TRY(check_image(layout, &d, &tokens));
    TKP__TRY(check_tiles(layout, &d));
    TKP__TRY(grow(
        (void **)&layout->images, layout->n_images, &layout->image_capacity,
        sizeof(*layout->images)));
    tkp__layout_image *image = &layout->images[layout->n_images];
    *image = (tkp__layout_image){
        .sequence = d.sequence,
        .start = d.start,
        .frames = d.frames,
        .rows = d.rows,
        .cols = d.cols,
        .row_stride = d.row_stride,
        .first_frame = tkp__layout_units(layout, TKP_SCOPE_FRAME),
        .first_tile = tkp__layout_units(layout, TKP_SCOPE_TILE),
        .tile_height = d.tile_height,
        .tile_width = d.tile_width,
        .tile_top = d.tile_top,
        .tile_left = d.tile_left,
        .tile_lines = tiles_along(d.rows, d.tile_top, d.tile_height),
        .tile_columns = tiles_along(d.cols, d.tile_left, d.tile_width),
        .tokens = tokens,
    };
    image->overview = overview_of(layout, image);
    const int64_t cells = tkp__image_cells(image);
    TKP__TRY(copy_mask(&image->valid, d.valid, cells));
    const tkp_status status = copy_mask(&image->keep, d.keep, cells);
    if (status != TKP_OK) {
        tkp__free(image->valid);
        return status;
    }
    int64_t valid = cells;
    if (image->valid) {
        valid = 0;
        for (int64_t i = 0; i < cells; i++)
            valid += image->valid[i] != 0;
    }
    layout->sequences[d.sequence].visual += valid;
    layout->visual += valid;
    layout->padding += cells - valid;
    if (index_out)
        *index_out = layout->n_images;
    layout->n_images++;
    return TKP_OK;
}

tkp_status tkp__layout_set_positions(
    tkp_layout *layout,
    int32_t n_rows,
    const int32_t *positions,
    int64_t count)
{
    TKP__TRY(check_open(layout));
    TKP__CHECK(
        n_rows == 1 || n_rows == 3, TKP_ERR_SHAPE,
        "positions: n_rows is %d, wanted 1 or 3", n_rows);
    TKP__CHECK(
        count == layout->rows, TKP_ERR_SHAPE,
        "positions: count is %lld, wanted the %lld rows of the batch",
        (long long)count, (long long)layout->rows);
    const int64_t total = n_rows * count;
    for (int64_t i = 0; i < total; i++)
        TKP__CHECK(
            positions[i] >= 0, TKP_ERR_ARGUMENT,
            "positions: entry %lld is %d, wanted 0 or more", (long long)i,
            positions[i]);
    int32_t *copy = tkp__alloc((size_t)total, sizeof(*copy));
    if (!copy)
        return TKP_ERR_MEMORY;
    memcpy(copy, positions, (size_t)total * sizeof(*copy));
    tkp__free(layout->positions);
    layout->positions = copy;
    layout->position_rows = n_rows;
    return TKP_OK;
}

tkp_status tkp__layout_freeze(tkp_layout *layout)
{
    TKP__CHECK(
        layout->n_sequences > 0, TKP_ERR_ARGUMENT, "layout: has no sequence");
    if (atomic_load(&layout->frozen))
        return TKP_OK;
    for (int32_t b = 0; b < layout->n_sequences; b++) {
        tkp__layout_sequence *s = &layout->sequences[b];
        if (s->text_begin == 0 && s->text_end == 0) {
            s->text_begin = sequence_images_end(layout, b);
            s->text_end = s->length;
        }
    }
    atomic_store(&layout->frozen, true);
    return TKP_OK;
}

int64_t tkp__layout_frame_cells(const tkp_layout *layout)
{
    int64_t most = 0;
    for (int32_t i = 0; i < layout->n_images; i++) {
        const int64_t cells =
            (int64_t)layout->images[i].rows * layout->images[i].cols;
        most = cells > most ? cells : most;
    }
    return most;
}
