/* From tensors to a case: how long the sequence is, where its images lie, and
 * what an engine would hand over. */
#include <string.h>

#include "cli/select.h"

enum { MOST_ROWS = 1 << 24, MOST_IMAGES = 4096 };

#define HAS(t_)    tkp__select_has(c->file, TKP__SELECT_##t_)
#define TENSOR(t_) (&c->file->tensor[TKP__SELECT_##t_])

/* --- counts ------------------------------------------------------------------ */

/* A count, and the tensor that said so first; the others must agree. */
typedef struct tally {
    int64_t count; /* -1: nobody has said anything yet */
    const char *source;
} tally;

static tkp_status
agree(tally *so_far, int64_t count, const char *source, const char *what)
{
    if (so_far->count < 0)
        *so_far = (tally){count, source};
    TKP__CHECK(
        so_far->count == count, TKP_ERR_SHAPE,
        "%s has %lld %s, but %s has %lld", source, (long long)count, what,
        so_far->source, (long long)so_far->count);
    return TKP_OK;
}

static tkp_status count_rows(tkp__select_case *c, int64_t *rows)
{
    static const struct {
        int32_t tensor, dim; /* dim < 0: from the end */
    } sources[] = {
        {TKP__SELECT_HIDDEN, 0},          {TKP__SELECT_K, 0},
        {TKP__SELECT_ATTENTION_ROWS, -1}, {TKP__SELECT_ATTENTION, -1},
        {TKP__SELECT_ATTENTION, -2},      {TKP__SELECT_POSITIONS, -1},
        {TKP__SELECT_VALUES, 0},          {TKP__SELECT_EMBEDDINGS, 0},
        {TKP__SELECT_PLAIN_Q, 0},         {TKP__SELECT_PLAIN_K, 0},
    };
    tally found = {-1, ""};
    if (HAS(LENGTH)) {
        found =
            (tally){*tkp__select_i64(c->file, TKP__SELECT_LENGTH), "length"};
        TKP__CHECK(
            found.count >= 1 && found.count <= MOST_ROWS, TKP_ERR_FORMAT,
            "length: is %lld, wanted 1 to %d", (long long)found.count,
            MOST_ROWS);
    }
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        const tkp_tensor *t = &c->file->tensor[sources[i].tensor];
        const int32_t dim = sources[i].dim;
        if (tkp__select_has(c->file, sources[i].tensor))
            TKP__TRY(agree(
                &found, t->shape[dim < 0 ? t->ndim + dim : dim],
                tkp__select_name(sources[i].tensor), "rows"));
    }
    *rows = found.count;
    return TKP_OK;
}

/* What has a value for every visual token must have as many as `found`. */
static tkp_status count_cells(const tkp__select_case *c, tally *found)
{
    static const struct {
        int32_t tensor;
        bool rows; /* one row a cell, else one entry of the last dimension */
    } sources[] = {
        {TKP__SELECT_FEATURES, true},     {TKP__SELECT_CLS_ATTENTION, false},
        {TKP__SELECT_SCORES, false},      {TKP__SELECT_KEEP_ALWAYS, false},
        {TKP__SELECT_VALID, false},       {TKP__SELECT_VISION, true},
        {TKP__SELECT_VISION_KEYS, true},  {TKP__SELECT_CLIP, true},
        {TKP__SELECT_CLS_SHALLOW, false}, {TKP__SELECT_VISION_VALUES, true},
    };
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        const tkp_tensor *t = &c->file->tensor[sources[i].tensor];
        if (tkp__select_has(c->file, sources[i].tensor))
            TKP__TRY(agree(
                found, t->shape[sources[i].rows ? 0 : t->ndim - 1],
                tkp__select_name(sources[i].tensor), "visual tokens"));
    }
    return TKP_OK;
}

/* --- images ------------------------------------------------------------------ */

static tkp_status make_images(tkp__select_case *c, int64_t count)
{
    TKP__CHECK(
        count <= MOST_IMAGES, TKP_ERR_SHAPE, "%lld images, wanted at most %d",
        (long long)count, MOST_IMAGES);
    c->images = tkp__zalloc((size_t)count, sizeof(*c->images));
    c->n_images = (int32_t)count;
    return c->images ? TKP_OK : TKP_ERR_MEMORY;
}

/* Row `i` of the grid tensor, if there is one: frames, rows, cols. */
static bool read_grid(const tkp__select_case *c, int32_t i, int64_t out[3])
{
    const tkp_tensor *t = TENSOR(GRID);
    if (!HAS(GRID))
        return false;
    const int64_t entries = t->shape[t->ndim - 1];
    const bool one = t->ndim == 1 || t->shape[0] == 1;
    const int64_t *at = tkp__select_i64(c->file, TKP__SELECT_GRID) +
                        (one ? 0 : (int64_t)i * entries);
    out[0] = entries == 3 ? at[0] : 1;
    out[1] = at[entries - 2];
    out[2] = at[entries - 1];
    return true;
}

static tkp_status check_grid(const tkp__select_case *c, int32_t i)
{
    const tkp__select_image *image = &c->images[i];
    const int64_t sizes[] = {image->frames, image->rows, image->cols};
    for (int32_t d = 0; d < 3; d++)
        TKP__CHECK(
            sizes[d] >= 1 && sizes[d] <= MOST_ROWS, TKP_ERR_FORMAT,
            "grid: image %d has a size of %lld, wanted 1 to %d", i,
            (long long)sizes[d], MOST_ROWS);
    TKP__CHECK(
        image->frames * image->rows <= MOST_ROWS &&
            image->frames * image->rows * image->cols <= MOST_ROWS,
        TKP_ERR_FORMAT, "grid: image %d has more than %d cells", i, MOST_ROWS);
    return TKP_OK;
}

static int64_t square_root(int64_t n)
{
    int64_t root = 0;
    while ((root + 1) * (root + 1) <= n)
        root++;
    return root * root == n ? root : 0;
}

static tkp_status fit_grid(tkp__select_case *c, int32_t i)
{
    tkp__select_image *image = &c->images[i];
    const int64_t count = image->end - image->start;
    int64_t grid[3];
    if (!read_grid(c, i, grid)) {
        grid[0] = 1;
        grid[1] = grid[2] = square_root(count);
        TKP__CHECK(
            grid[1] > 0, TKP_ERR_SHAPE,
            "grid is missing: image %d has %lld tokens, which is no square; "
            "wanted grid [rows, cols] or [frames, rows, cols]",
            i, (long long)count);
    }
    image->frames = grid[0];
    image->rows = grid[1];
    image->cols = grid[2];
    TKP__TRY(check_grid(c, i));
    const int64_t lines = image->frames * image->rows;
    TKP__CHECK(
        count == lines * image->cols || count == lines * (image->cols + 1),
        TKP_ERR_SHAPE,
        "grid of image %d is %lld x %lld x %lld, but its span has %lld tokens, "
        "wanted %lld (or %lld with a newline after each row)",
        i, (long long)image->frames, (long long)image->rows,
        (long long)image->cols, (long long)count,
        (long long)(lines * image->cols),
        (long long)(lines * (image->cols + 1)));
    image->row_stride = count / lines;
    image->first_cell = c->cells;
    c->cells += lines * image->cols;
    return TKP_OK;
}

static tkp_status place_by_span(tkp__select_case *c, int64_t *rows)
{
    const tkp_tensor *t = TENSOR(SPAN);
    const int64_t *at = tkp__select_i64(c->file, TKP__SELECT_SPAN);
    TKP__CHECK(
        t->shape[t->ndim - 1] == 2, TKP_ERR_SHAPE,
        "span has %lld values a row, wanted [start, end)",
        (long long)t->shape[t->ndim - 1]);
    TKP__TRY(make_images(c, t->ndim == 2 ? t->shape[0] : 1));
    int64_t before = 0;
    for (int32_t i = 0; i < c->n_images; i++) {
        c->images[i].start = at[2 * i];
        c->images[i].end = at[2 * i + 1];
        TKP__CHECK(
            at[2 * i] >= before && at[2 * i] < at[2 * i + 1] &&
                at[2 * i + 1] <= MOST_ROWS,
            TKP_ERR_FORMAT,
            "span: image %d is [%lld, %lld), wanted ascending spans from 0 to "
            "%d",
            i, (long long)at[2 * i], (long long)at[2 * i + 1], MOST_ROWS);
        before = at[2 * i + 1];
    }
    if (*rows < 0)
        *rows = before;
    TKP__CHECK(
        before <= *rows, TKP_ERR_SHAPE,
        "span ends at %lld, but the sequence has %lld rows", (long long)before,
        (long long)*rows);
    return TKP_OK;
}

/* Without a span the images are the whole sequence, one after the other. */
static tkp_status place_all(tkp__select_case *c, int64_t *rows, int64_t cells)
{
    int64_t grid[3];
    const bool several = HAS(GRID) && TENSOR(GRID)->ndim == 2;
    TKP__TRY(make_images(c, several ? TENSOR(GRID)->shape[0] : 1));
    if (*rows < 0)
        *rows = cells;
    for (int32_t i = 0; i < c->n_images; i++) {
        tkp__select_image *image = &c->images[i];
        image->start = i ? image[-1].end : 0;
        image->end = image->start + (*rows < 0 ? 1 : *rows);
        if (!read_grid(c, i, grid))
            continue;
        image->frames = grid[0];
        image->rows = grid[1];
        image->cols = grid[2];
        TKP__TRY(check_grid(c, i));
        image->end = image->start + grid[0] * grid[1] * grid[2];
    }
    const int64_t end = c->images[c->n_images - 1].end;
    if (*rows < 0 && HAS(GRID))
        *rows = end;
    TKP__CHECK(
        *rows > 0, TKP_ERR_FORMAT,
        "nothing says how many tokens there are; wanted features, hidden, k, "
        "attention_rows, scores, span or grid among: %.300s",
        c->file->names);
    TKP__CHECK(
        (cells < 0 || cells == *rows) && end == *rows, TKP_ERR_SHAPE,
        "span is missing: %lld of %lld rows are visual; wanted span [start, "
        "end)",
        (long long)(cells >= 0 ? cells : end), (long long)*rows);
    return TKP_OK;
}

static tkp_status check_grid_shape(const tkp__select_case *c)
{
    const tkp_tensor *t = TENSOR(GRID);
    if (!HAS(GRID))
        return TKP_OK;
    const int64_t entries = t->shape[t->ndim - 1];
    TKP__CHECK(
        entries == 2 || entries == 3, TKP_ERR_SHAPE,
        "grid has %lld values a row, wanted [rows, cols] or [frames, rows, "
        "cols]",
        (long long)entries);
    TKP__CHECK(
        !HAS(SPAN) || t->ndim == 1 || t->shape[0] == 1 ||
            t->shape[0] ==
                (TENSOR(SPAN)->ndim == 2 ? TENSOR(SPAN)->shape[0] : 1),
        TKP_ERR_SHAPE, "grid has %lld rows, wanted one for each row of span",
        (long long)t->shape[0]);
    return TKP_OK;
}

static tkp_status place(tkp__select_case *c)
{
    tally cells = {-1, ""};
    TKP__TRY(count_rows(c, &c->length));
    TKP__TRY(count_cells(c, &cells));
    TKP__TRY(check_grid_shape(c));
    TKP__TRY(
        HAS(SPAN) ? place_by_span(c, &c->length)
                  : place_all(c, &c->length, cells.count));
    TKP__CHECK(
        c->length <= MOST_ROWS, TKP_ERR_FORMAT,
        "the sequence has %lld rows, wanted at most %d", (long long)c->length,
        MOST_ROWS);
    for (int32_t i = 0; i < c->n_images; i++)
        TKP__TRY(fit_grid(c, i));
    cells = (tally){c->cells, HAS(GRID) ? "grid" : "span"};
    return count_cells(c, &cells);
}

static tkp_status map_cells(tkp__select_case *c)
{
    c->row_of_cell = tkp__alloc((size_t)c->cells, sizeof(*c->row_of_cell));
    if (!c->row_of_cell)
        return TKP_ERR_MEMORY;
    int64_t *at = c->row_of_cell;
    for (int32_t i = 0; i < c->n_images; i++) {
        const tkp__select_image *image = &c->images[i];
        for (int64_t line = 0; line < image->frames * image->rows; line++)
            for (int64_t col = 0; col < image->cols; col++)
                *at++ = image->start + line * image->row_stride + col;
    }
    return TKP_OK;
}

/* --- the layout ---------------------------------------------------------------- */

/* The text that guides: what follows the last image, if nothing else is
 * said. */
static tkp_status add_sequence(tkp__select_case *c)
{
    tkp_sequence_desc desc = TKP_SEQUENCE_DESC_INIT;
    const int64_t last = c->images[c->n_images - 1].end;
    desc.length = c->length;
    if (HAS(TEXT_SPAN)) {
        const int64_t *span = tkp__select_i64(c->file, TKP__SELECT_TEXT_SPAN);
        TKP__CHECK(
            TENSOR(TEXT_SPAN)->shape[0] == 2 && span[0] >= last &&
                span[0] < span[1] && span[1] <= c->length,
            TKP_ERR_FORMAT,
            "text_span: wanted [start, end) within rows %lld to %lld, after "
            "the last image",
            (long long)last, (long long)c->length);
        desc.text_begin = span[0];
        desc.text_end = span[1];
    } else if (last < c->length) {
        desc.text_begin = last;
        desc.text_end = c->length;
    }
    return tkp_layout_add_sequence(c->layout, &desc, NULL);
}

static const uint8_t *mask(const tkp__select_case *c, int32_t t, int64_t first)
{
    return tkp__select_has(c->file, t)
               ? (const uint8_t *)tkp__data(&c->file->tensor[t]) + first
               : NULL;
}

/* Cells of a tile: height, width; then what the first one lacks: rows, columns. */
static tkp_status
read_tile(const tkp__select_case *c, int32_t i, tkp_image_desc *desc)
{
    if (!HAS(TILE))
        return TKP_OK;
    const tkp_tensor *t = TENSOR(TILE);
    const int64_t entries = t->shape[t->ndim - 1];
    const bool one = t->ndim == 1 || t->shape[0] == 1;
    TKP__CHECK(
        (entries == 2 || entries == 4) && (one || t->shape[0] == c->n_images),
        TKP_ERR_SHAPE,
        "tile is [%lld, %lld], wanted [height, width] or [height, width, top, "
        "left], one line or one for each of %d images",
        (long long)(t->ndim == 1 ? 1 : t->shape[0]), (long long)entries,
        c->n_images);
    const int64_t *at = tkp__select_i64(c->file, TKP__SELECT_TILE) +
                        (one ? 0 : (int64_t)i * entries);
    int32_t *const to[] = {
        &desc->tile_height, &desc->tile_width, &desc->tile_top,
        &desc->tile_left};
    for (int64_t d = 0; d < entries; d++) {
        TKP__CHECK(
            at[d] >= 0 && at[d] <= MOST_ROWS, TKP_ERR_FORMAT,
            "tile: image %d has %lld, wanted 0 to %d", i, (long long)at[d],
            MOST_ROWS);
        *to[d] = (int32_t)at[d];
    }
    return TKP_OK;
}

static tkp_status make_layout(tkp__select_case *c)
{
    TKP__TRY(tkp_layout_create(&c->layout));
    TKP__TRY(add_sequence(c));
    for (int32_t i = 0; i < c->n_images; i++) {
        const tkp__select_image *image = &c->images[i];
        tkp_image_desc desc = TKP_IMAGE_DESC_INIT;
        desc.start = image->start;
        desc.frames = (int32_t)image->frames;
        desc.rows = (int32_t)image->rows;
        desc.cols = (int32_t)image->cols;
        desc.row_stride = (int32_t)image->row_stride;
        desc.valid = mask(c, TKP__SELECT_VALID, image->first_cell);
        desc.keep = mask(c, TKP__SELECT_KEEP_ALWAYS, image->first_cell);
        TKP__TRY(read_tile(c, i, &desc));
        TKP__TRY(tkp_layout_add_image(c->layout, &desc, NULL));
    }
    if (!HAS(POSITIONS))
        return TKP_OK;
    const tkp_tensor *t = TENSOR(POSITIONS);
    TKP__CHECK(
        t->ndim == 1 || t->shape[0] == 1 || t->shape[0] == 3, TKP_ERR_SHAPE,
        "positions has %lld rows, wanted 1 or 3", (long long)t->shape[0]);
    return tkp_layout_set_positions(
        c->layout, t->ndim == 1 ? 1 : (int32_t)t->shape[0], tkp__data(t),
        c->length);
}

/* --- inputs -------------------------------------------------------------------- */

/* features [N, D] as rows of the sequence: the others are zero, and no stage
 * that looks at them is let through (select_stage.c). */
static tkp_status scatter_features(tkp__select_case *c)
{
    const tkp_tensor *f = TENSOR(FEATURES);
    const size_t row = (size_t)f->shape[1] * tkp_dtype_bytes(f->dtype);
    if (c->length == c->cells) {
        c->hidden = *f;
        return TKP_OK;
    }
    c->scattered = tkp__zalloc((size_t)c->length, row);
    if (!c->scattered)
        return TKP_ERR_MEMORY;
    for (int64_t i = 0; i < c->cells; i++)
        memcpy(
            (char *)c->scattered + (size_t)c->row_of_cell[i] * row,
            (const char *)tkp__data(f) + (size_t)i * row, row);
    tkp_tensor_make_2d(
        &c->hidden, c->scattered, f->dtype, c->length, f->shape[1]);
    return TKP_OK;
}

static tkp_status make_hidden(tkp__select_case *c)
{
    TKP__CHECK(
        !HAS(FEATURES) || !HAS(HIDDEN), TKP_ERR_FORMAT,
        "features and hidden are both there, wanted one of them");
    c->width = 1;
    if (HAS(HIDDEN))
        c->hidden = *TENSOR(HIDDEN);
    else if (HAS(FEATURES))
        TKP__TRY(scatter_features(c));
    else
        return TKP_OK;
    c->width = c->hidden.shape[1];
    c->inputs.hidden = &c->hidden;
    return TKP_OK;
}

/* [R], [H, R] -> [Q, H, R] */
static void lead_with_ones(tkp_tensor *t, int32_t ndim)
{
    while (t->ndim < ndim) {
        for (int32_t d = t->ndim; d > 0; d--) {
            t->shape[d] = t->shape[d - 1];
            t->strides[d] = t->strides[d - 1];
        }
        t->shape[0] = 1;
        t->strides[0] = t->shape[1] * t->strides[1];
        t->ndim++;
    }
}

static void
give(tkp__select_case *c, int32_t t, tkp_tensor *view, const tkp_tensor **input)
{
    if (!tkp__select_has(c->file, t))
        return;
    *view = c->file->tensor[t];
    *input = view;
}

static void make_attention(tkp__select_case *c)
{
    tkp_inputs *in = &c->inputs;
    give(c, TKP__SELECT_Q, &c->q, &in->q);
    give(c, TKP__SELECT_K, &c->k, &in->k);
    give(c, TKP__SELECT_PLAIN_Q, &c->plain_q, &in->plain_q);
    give(c, TKP__SELECT_PLAIN_K, &c->plain_k, &in->plain_k);
    give(c, TKP__SELECT_LSE, &c->lse, &in->lse);
    give(
        c, TKP__SELECT_ATTENTION_ROWS, &c->attention_rows, &in->attention_rows);
    give(c, TKP__SELECT_ATTENTION, &c->attention, &in->attention);
    if (in->attention_rows)
        lead_with_ones(&c->attention_rows, 3);
    if (in->attention) { /* [H, L, L] seen as [1, L, H, L] */
        const int64_t heads = c->attention.shape[0];
        const int64_t l = c->length;
        tkp_tensor_make(
            &c->attention, c->attention.data, c->attention.dtype, 4,
            (int64_t[]){1, l, heads, l});
        c->attention.strides[0] = heads * l * l;
        c->attention.strides[1] = l;
        c->attention.strides[2] = l * l;
    }
}

static tkp_status make_model(tkp__select_case *c)
{
    const tkp_inputs *in = &c->inputs;
    tkp_model_desc *m = &c->model;
    int64_t heads = 1;
    *m = (tkp_model_desc)TKP_MODEL_DESC_INIT;
    m->dtype = c->file->dtype;
    m->hidden = !in->hidden && HAS(EMBEDDINGS) ? TENSOR(EMBEDDINGS)->shape[1]
                                               : c->width;
    m->head_dim = 1;
    if (in->q && in->k) {
        heads = c->q.shape[1];
        m->kv_heads = (int32_t)c->k.shape[1];
        m->head_dim = (int32_t)c->q.shape[2];
        TKP__CHECK(
            c->k.shape[2] == c->q.shape[2], TKP_ERR_SHAPE,
            "k: dim 2 is %lld, q has %lld", (long long)c->k.shape[2],
            (long long)c->q.shape[2]);
    } else if (in->plain_q && in->plain_k) {
        heads = c->plain_q.shape[1];
        m->kv_heads = (int32_t)c->plain_k.shape[1];
        m->head_dim = (int32_t)c->plain_q.shape[2];
    } else if (in->attention_rows) {
        heads = c->attention_rows.shape[1];
    } else if (in->attention) {
        heads = c->attention.shape[2];
    }
    m->heads = (int32_t)heads;
    if (!m->kv_heads && (in->k || in->values)) {
        const tkp_tensor *t = in->k ? in->k : in->values;
        m->kv_heads = m->heads = (int32_t)t->shape[1];
        m->head_dim = (int32_t)t->shape[2];
    }
    if (HAS(ROPE_THETA))
        m->rope_theta = (double)*(const float *)tkp__data(TENSOR(ROPE_THETA));
    m->vision_hidden = in->vision ? c->vision.shape[1] : 0;
    m->vision_key_dim = in->vision_keys ? c->vision_keys.shape[1] : 0;
    m->vision_value_dim = in->vision_values ? c->vision_values.shape[1] : 0;
    m->clip_dim = in->clip ? c->clip.shape[1] : 0;
    m->text_rows = in->text ? (int32_t)c->text.shape[0] : 0;
    m->clip_text_rows = in->clip_text ? (int32_t)c->clip_text.shape[0] : 0;
    m->clip_token_rows = in->clip_tokens ? (int32_t)c->clip_tokens.shape[0] : 0;
    return TKP_OK;
}

static tkp_status check_widths(const tkp__select_case *c)
{
    TKP__CHECK(
        !HAS(NORM_WEIGHT) || !c->inputs.hidden ||
            TENSOR(NORM_WEIGHT)->shape[0] == c->width,
        TKP_ERR_SHAPE, "norm_weight has %lld values, wanted %lld, the width",
        (long long)TENSOR(NORM_WEIGHT)->shape[0], (long long)c->width);
    TKP__CHECK(
        !HAS(TEXT) || !c->inputs.hidden || TENSOR(TEXT)->shape[1] == c->width,
        TKP_ERR_SHAPE, "text: dim 1 is %lld, wanted %lld, the width",
        (long long)TENSOR(TEXT)->shape[1], (long long)c->width);
    TKP__CHECK(
        !HAS(EMBEDDINGS) || !c->inputs.hidden ||
            TENSOR(EMBEDDINGS)->shape[1] == c->width,
        TKP_ERR_SHAPE, "embeddings: dim 1 is %lld, wanted %lld, the width",
        (long long)TENSOR(EMBEDDINGS)->shape[1], (long long)c->width);
    static const int32_t shared[] = {
        TKP__SELECT_CLIP_TEXT, TKP__SELECT_CLIP_TOKENS};
    for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
        const tkp_tensor *t = &c->file->tensor[shared[i]];
        TKP__CHECK(
            !tkp__select_has(c->file, shared[i]) || !HAS(CLIP) ||
                t->shape[1] == TENSOR(CLIP)->shape[1],
            TKP_ERR_SHAPE, "%s: dim 1 is %lld, clip has %lld",
            tkp__select_name(shared[i]), (long long)t->shape[1],
            (long long)TENSOR(CLIP)->shape[1]);
    }
    return TKP_OK;
}

/* Candidates are the valid cells; values are given for every cell. */
static tkp_status drop_padding(tkp__select_case *c, tkp_tensor *t)
{
    const uint8_t *valid = mask(c, TKP__SELECT_VALID, 0);
    if (t->dtype == TKP_DTYPE_NONE || !valid)
        return TKP_OK;
    const int64_t lines = t->ndim == 2 ? t->shape[0] : 1;
    const size_t bytes = tkp_dtype_bytes(t->dtype);
    char *to = t->data;
    int64_t left = 0;
    for (int64_t line = 0; line < lines; line++)
        for (int64_t i = 0; i < c->cells; i++) {
            const char *from =
                (const char *)t->data + (size_t)(line * c->cells + i) * bytes;
            if (!valid[i])
                continue;
            memmove(to, from, bytes);
            to += bytes;
            left += line == 0;
        }
    if (t->ndim == 2)
        tkp_tensor_make_2d(t, t->data, t->dtype, lines, left);
    else
        tkp_tensor_make_1d(t, t->data, t->dtype, left);
    return TKP_OK;
}

/* The same where a cell has a whole row. */
static void drop_padding_rows(tkp__select_case *c, tkp_tensor *t)
{
    const uint8_t *valid = mask(c, TKP__SELECT_VALID, 0);
    if (t->dtype == TKP_DTYPE_NONE || !valid)
        return;
    const size_t bytes = (size_t)t->shape[1] * tkp_dtype_bytes(t->dtype);
    int64_t left = 0;
    for (int64_t i = 0; i < c->cells; i++)
        if (valid[i])
            memmove(
                (char *)t->data + (size_t)left++ * bytes,
                (const char *)t->data + (size_t)i * bytes, bytes);
    t->shape[0] = left;
}

static tkp_status make_inputs(tkp__select_case *c)
{
    tkp_inputs *in = &c->inputs;
    TKP__TRY(make_hidden(c));
    make_attention(c);
    give(c, TKP__SELECT_CLS_ATTENTION, &c->cls_attention, &in->cls_attention);
    give(c, TKP__SELECT_SCORES, &c->scores, &in->scores);
    give(c, TKP__SELECT_NORM_WEIGHT, &c->norm_weight, &in->norm_weight);
    give(c, TKP__SELECT_TEXT, &c->text, &in->text);
    give(c, TKP__SELECT_VALUES, &c->values, &in->values);
    give(c, TKP__SELECT_VISION, &c->vision, &in->vision);
    give(c, TKP__SELECT_VISION_KEYS, &c->vision_keys, &in->vision_keys);
    give(c, TKP__SELECT_VISION_VALUES, &c->vision_values, &in->vision_values);
    give(c, TKP__SELECT_CLS_SHALLOW, &c->cls_shallow, &in->cls_shallow);
    give(c, TKP__SELECT_CLIP, &c->clip, &in->clip);
    give(c, TKP__SELECT_CLIP_TEXT, &c->clip_text, &in->clip_text);
    give(c, TKP__SELECT_CLIP_TOKENS, &c->clip_tokens, &in->clip_tokens);
    give(c, TKP__SELECT_EMBEDDINGS, &c->embeddings, &in->embeddings);
    give(c, TKP__SELECT_PIVOT_ORDER, &c->pivot_order, &in->pivot_order);
    TKP__TRY(check_widths(c));
    TKP__TRY(drop_padding(c, &c->cls_attention));
    TKP__TRY(drop_padding(c, &c->scores));
    TKP__TRY(drop_padding(c, &c->cls_shallow));
    drop_padding_rows(c, &c->vision);
    drop_padding_rows(c, &c->vision_keys);
    drop_padding_rows(c, &c->vision_values);
    drop_padding_rows(c, &c->clip);
    return make_model(c);
}

static tkp_status build(tkp__select_case *c)
{
    TKP__TRY(place(c));
    TKP__TRY(map_cells(c));
    TKP__TRY(make_inputs(c));
    return make_layout(c);
}

tkp_status
tkp__select_case_create(tkp__select_case *out, const tkp__select_file *file)
{
    *out = (tkp__select_case){.file = file};
    tkp_inputs_init(&out->inputs);
    const tkp_status status = build(out);
    return status == TKP_OK ? status
                            : tkp__fail_prefix(status, "%s", file->path);
}

void tkp__select_case_release(tkp__select_case *c)
{
    tkp_layout_destroy(c->layout);
    tkp__free(c->scattered);
    tkp__free(c->images);
    tkp__free(c->row_of_cell);
    *c = (tkp__select_case){0};
}
