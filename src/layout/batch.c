/*
 * The batch after the cuts made so far. Candidates are listed by sequence, in
 * each by image, in each row-major over its grid; survivors keep that order.
 */
#include "layout/layout.h"

#include "budget/budget.h"
#include "util/carve.h"

static void carve_batch(tkp__batch *b, const tkp_layout *layout, tkp__carver *c)
{
    const int64_t rows = layout->rows;
    const int64_t visual = layout->visual;
    const int64_t offsets = layout->n_sequences + 1;
    b->row_offsets = tkp__carve(c, offsets, sizeof(int32_t));
    b->candidate_offsets = tkp__carve(c, offsets, sizeof(int32_t));
    b->candidate_rows =
        tkp__carve(c, visual + layout->padding, sizeof(int32_t));
    b->candidate_images = tkp__carve(c, visual, sizeof(int32_t));
    b->candidate_cells = tkp__carve(c, visual, sizeof(int32_t));
    b->candidate_original = tkp__carve(c, visual, sizeof(int32_t));
    b->candidate_kept = tkp__carve(c, visual, sizeof(uint8_t));
    b->candidate_sizes = tkp__carve(c, visual, sizeof(float));
    b->candidate_turns = tkp__carve(c, visual, sizeof(int32_t));
    b->positions = tkp__carve(c, rows * layout->position_rows, sizeof(int32_t));
    b->origin = tkp__carve(c, rows, sizeof(int32_t));
    b->scratch = tkp__carve(c, rows + 5 * visual, sizeof(int32_t));
}

tkp_status tkp__batch_create(tkp__batch *out, tkp_layout *layout)
{
    tkp__carver c = {NULL, 0};
    *out = (tkp__batch){.layout = layout};
    carve_batch(out, layout, &c);
    c = (tkp__carver){tkp__alloc(1, c.bytes), 0};
    if (!c.base)
        return TKP_ERR_MEMORY;
    carve_batch(out, layout, &c);
    out->memory = c.base;
    out->sequences = layout->n_sequences;
    out->position_rows = layout->position_rows;
    tkp__layout_retain(layout);
    tkp__batch_reset(out);
    return TKP_OK;
}

void tkp__batch_release(tkp__batch *batch)
{
    if (!batch->memory)
        return;
    tkp__free(batch->memory);
    tkp__layout_release((tkp_layout *)batch->layout);
    *batch = (tkp__batch){0};
}

tkp_status tkp__batch_new(tkp__batch **out, tkp_layout *layout)
{
    TKP__TRY(tkp__layout_freeze(layout));
    tkp__batch *batch = tkp__zalloc(1, sizeof(*batch));
    if (!batch)
        return TKP_ERR_MEMORY;
    const tkp_status status = tkp__batch_create(batch, layout);
    if (status == TKP_OK)
        *out = batch;
    else
        tkp__batch_free(batch);
    return status;
}

void tkp__batch_free(tkp__batch *batch)
{
    if (batch)
        tkp__batch_release(batch);
    tkp__free(batch);
}

/* Append the candidates of image i; `padding` lists the invalid cells. */
static void list_image(tkp__batch *b, int32_t i, int64_t padding_at)
{
    const tkp__layout_image *image = &b->layout->images[i];
    const int64_t first =
        b->layout->sequences[image->sequence].start + image->start;
    int32_t cell = 0;
    for (int64_t line = 0; line < (int64_t)image->frames * image->rows; line++)
        for (int32_t x = 0; x < image->cols; x++, cell++) {
            const int64_t row = first + line * image->row_stride + x;
            if (image->valid && !image->valid[cell]) {
                b->candidate_rows[padding_at + b->padding++] = (int32_t)row;
                continue;
            }
            const int64_t n = b->candidates++;
            b->candidate_rows[n] = (int32_t)row;
            b->candidate_images[n] = i;
            b->candidate_cells[n] = cell;
            b->candidate_original[n] = (int32_t)n;
            b->candidate_kept[n] = image->keep && image->keep[cell];
            b->candidate_sizes[n] = 1.0f;
            b->candidate_turns[n] = (int32_t)n;
        }
}

void tkp__batch_reset(tkp__batch *b)
{
    const tkp_layout *layout = b->layout;
    b->rows = layout->rows;
    b->candidates = 0;
    b->padding = 0;
    int32_t image = 0;
    for (int32_t s = 0; s < layout->n_sequences; s++) {
        b->row_offsets[s] = (int32_t)layout->sequences[s].start;
        b->candidate_offsets[s] = (int32_t)b->candidates;
        for (; image < layout->n_images && layout->images[image].sequence == s;
             image++)
            list_image(b, image, layout->visual);
        for (int64_t r = 0;
             !layout->positions && r < layout->sequences[s].length; r++)
            b->positions[layout->sequences[s].start + r] = (int32_t)r;
    }
    b->row_offsets[layout->n_sequences] = (int32_t)layout->rows;
    b->candidate_offsets[layout->n_sequences] = (int32_t)b->candidates;
    if (layout->positions)
        memcpy(
            b->positions, layout->positions,
            (size_t)(layout->rows * layout->position_rows) * sizeof(int32_t));
    for (int64_t r = 0; r < layout->rows; r++)
        b->origin[r] = (int32_t)r;
}

/* Candidates in the order of the new rows. */
static void advance_candidates(
    tkp__batch *b,
    const int32_t *indices,
    const int32_t *offsets,
    const float *sizes)
{
    const int64_t n = b->candidates;
    int32_t *of = b->scratch; /* [rows] candidate, or -1 */
    int32_t *images = of + b->rows, *cells = images + n;
    int32_t *original = cells + n, *protected = original + n;
    int32_t *turns = protected + n;
    for (int64_t r = 0; r < b->rows; r++)
        of[r] = -1;
    for (int64_t i = 0; i < n; i++) {
        of[b->candidate_rows[i]] = (int32_t)i;
        images[i] = b->candidate_images[i];
        cells[i] = b->candidate_cells[i];
        original[i] = b->candidate_original[i];
        protected[i] = b->candidate_kept[i];
        turns[i] = b->candidate_turns[i];
    }
    int64_t kept = 0;
    for (int32_t s = 0; s < b->sequences; s++) {
        b->candidate_offsets[s] = (int32_t)kept;
        for (int32_t r = offsets[s]; r < offsets[s + 1]; r++) {
            const int32_t from = of[indices[r]];
            if (from < 0)
                continue;
            b->candidate_rows[kept] = r;
            b->candidate_images[kept] = images[from];
            b->candidate_cells[kept] = cells[from];
            b->candidate_original[kept] = original[from];
            b->candidate_sizes[kept] = sizes[r];
            b->candidate_turns[kept] = turns[from];
            b->candidate_kept[kept++] = (uint8_t) protected[from];
        }
    }
    b->candidate_offsets[b->sequences] = (int32_t)kept;
    b->candidates = kept;
    b->padding = 0;
}

void tkp__batch_put_behind(tkp__batch *b, const uint8_t *behind)
{
    const int32_t most = (int32_t)b->layout->visual;
    int32_t *at = b->scratch; /* [2 visual] candidate with that turn, or -1 */
    for (int32_t t = 0; t < 2 * most; t++)
        at[t] = -1;
    for (int32_t n = 0; n < b->candidates; n++)
        at[b->candidate_turns[n] + (behind[n] ? most : 0)] = n;
    for (int32_t t = 0, turn = 0; t < 2 * most; t++)
        if (at[t] >= 0)
            b->candidate_turns[at[t]] = turn++;
}

void tkp__batch_advance(
    tkp__batch *b,
    const int32_t *indices,
    const int32_t *offsets,
    const int32_t *positions,
    const float *sizes)
{
    advance_candidates(b, indices, offsets, sizes);
    const int64_t rows = offsets[b->sequences];
    memcpy(
        b->row_offsets, offsets, (size_t)(b->sequences + 1) * sizeof(int32_t));
    memcpy(
        b->positions, positions,
        (size_t)(rows * b->position_rows) * sizeof(int32_t));
    for (int64_t r = 0; r < rows; r++)
        b->scratch[r] = b->origin[indices[r]];
    memcpy(b->origin, b->scratch, (size_t)rows * sizeof(int32_t));
    b->rows = rows;
}

/* No candidate of a unit comes before: found by halves where units rise. */
static int32_t
unit_begin(const tkp__batch *batch, int32_t scope, int32_t b, int32_t unit)
{
    int32_t low = batch->candidate_offsets[b];
    if (scope == TKP_SCOPE_TILE)
        return low;
    int32_t high = batch->candidate_offsets[b + 1];
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (tkp__batch_unit(batch, scope, middle) < unit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

tkp__batch_count tkp__batch_count_of(
    const tkp__batch *batch,
    int32_t scope,
    int32_t b,
    int32_t unit,
    int32_t every)
{
    tkp__batch_count count = {0};
    const int32_t end = batch->candidate_offsets[b + 1];
    int32_t n = unit < 0 ? batch->candidate_offsets[b]
                         : unit_begin(batch, scope, b, unit);
    int32_t image = -1, first_frame = 0;
    for (; n < end; n++) {
        if (unit >= 0 && tkp__batch_unit(batch, scope, n) != unit) {
            if (scope == TKP_SCOPE_TILE)
                continue;
            break;
        }
        if (batch->candidate_images[n] != image) {
            image = batch->candidate_images[n];
            first_frame = tkp__batch_frame(
                batch, unit_begin(batch, TKP_SCOPE_IMAGE, b, image));
        }
        const int32_t frame = tkp__batch_frame(batch, n);
        const bool alone = batch->layout->images[image].frames == 1;
        const bool begins = n == batch->candidate_offsets[b] ||
                            tkp__batch_unit(batch, TKP_SCOPE_FRAME, n) !=
                                tkp__batch_unit(batch, TKP_SCOPE_FRAME, n - 1);
        count.candidates++;
        count.kept += batch->candidate_kept[n];
        count.first += frame == first_frame || (every && frame % every == 0);
        count.frames += alone || begins;
    }
    return count;
}

int64_t tkp__batch_original(
    const tkp__batch *batch,
    int32_t scope,
    int32_t b,
    int32_t unit)
{
    const tkp_layout *layout = batch->layout;
    int64_t count = 0;
    if (unit < 0)
        return layout->sequences[b].visual;
    for (int32_t i = 0; i < layout->n_images; i++) {
        const tkp__layout_image *image = &layout->images[i];
        const int32_t cells = (int32_t)tkp__image_cells(image);
        for (int32_t c = 0; image->sequence == b && c < cells; c++)
            count += tkp__layout_unit(layout, scope, i, c) == unit &&
                     (!image->valid || image->valid[c]);
    }
    return count;
}

int32_t tkp__batch_unit_offsets(
    const tkp__batch *batch,
    int32_t scope,
    int32_t *offsets)
{
    int32_t units = 0;
    if (scope == TKP_SCOPE_SEQUENCE) {
        memcpy(
            offsets, batch->candidate_offsets,
            (size_t)(batch->sequences + 1) * sizeof(*offsets));
        return batch->sequences;
    }
    for (int32_t n = 0; n < batch->candidates; n++)
        if (n == 0 || tkp__batch_unit(batch, scope, n) !=
                          tkp__batch_unit(batch, scope, n - 1))
            offsets[units++] = n;
    offsets[units] = (int32_t)batch->candidates;
    return units;
}

int32_t
tkp__batch_tiles(const tkp__batch *batch, int32_t *order, int32_t *offsets)
{
    const int32_t tiles = tkp__layout_units(batch->layout, TKP_SCOPE_TILE);
    memset(offsets, 0, ((size_t)tiles + 1) * sizeof(*offsets));
    for (int32_t n = 0; n < batch->candidates; n++)
        offsets[tkp__batch_unit(batch, TKP_SCOPE_TILE, n) + 1]++;
    for (int32_t t = 0; t < tiles; t++)
        offsets[t + 1] += offsets[t];
    for (int32_t n = 0; n < batch->candidates; n++)
        order[offsets[tkp__batch_unit(batch, TKP_SCOPE_TILE, n)]++] = n;
    for (int32_t t = tiles; t > 0; t--) /* each has become the next one's */
        offsets[t] = offsets[t - 1];
    offsets[0] = 0;
    return tiles;
}

int32_t tkp__batch_crops(
    const tkp__batch *batch,
    int32_t scope,
    int32_t crops,
    int32_t *offsets)
{
    int32_t count = 0;
    for (int32_t b = 0; b < batch->sequences; b++) {
        const int32_t stop = batch->candidate_offsets[b + 1];
        for (int32_t begin = batch->candidate_offsets[b]; begin < stop;) {
            int32_t end = begin + 1;
            while (end < stop && (scope == TKP_SCOPE_SEQUENCE ||
                                  tkp__batch_unit(batch, scope, end) ==
                                      tkp__batch_unit(batch, scope, begin)))
                end++;
            const int32_t n = end - begin, parts = n < crops ? n : crops;
            for (int32_t c = 0; c < parts; c++)
                offsets[count++] = begin + tkp__crop_begin(n, parts, c);
            begin = end;
        }
    }
    offsets[count] = (int32_t)batch->candidates;
    return count;
}

tkp_status tkp__batch_resolve(
    const tkp__batch_count *count,
    const tkp_budget *budget,
    int32_t first_layer,
    int32_t layers,
    int64_t *keep_out)
{
    const int64_t least = budget->at_least == TKP_LEAST_FRAME ? count->first
                          : budget->at_least == TKP_LEAST_EACH_FRAME
                              ? count->frames
                              : 0;
    int64_t keep;
    TKP__TRY(tkp__budget_resolve(
        budget,
        budget->of == TKP_OF_ORIGINAL ? count->original : count->candidates,
        least, first_layer, layers, &keep));
    if (keep > count->candidates)
        keep = count->candidates;
    *keep_out = keep > count->kept ? keep : count->kept;
    return TKP_OK;
}

void tkp__batch_view(const tkp__batch *batch, tkp_batch_view *view)
{
    *view = (tkp_batch_view){
        .struct_size = sizeof(*view),
        .sequences = batch->sequences,
        .rows = batch->rows,
        .candidates = batch->candidates,
        .row_offsets = batch->row_offsets,
        .candidate_offsets = batch->candidate_offsets,
        .candidate_rows = batch->candidate_rows,
        .candidate_images = batch->candidate_images,
        .candidate_cells = batch->candidate_cells,
    };
}

int32_t tkp__batch_text_rows(const tkp__batch *batch, int32_t b, int32_t *rows)
{
    const tkp__layout_sequence *s = &batch->layout->sequences[b];
    int32_t count = 0;
    for (int32_t r = batch->row_offsets[b]; r < batch->row_offsets[b + 1];
         r++) {
        const int64_t local = batch->origin[r] - s->start;
        if (local >= s->text_begin && local < s->text_end)
            rows[count++] = r;
    }
    return count;
}

int32_t tkp__batch_spans(const tkp__batch *batch, int32_t scope, int32_t *ends)
{
    const bool units = scope != TKP_SCOPE_SEQUENCE;
    int32_t count = 0;
    ends[0] = 0;
    for (int32_t b = 0; b < batch->sequences; b++) {
        const int32_t end = batch->candidate_offsets[b + 1];
        for (int32_t i = batch->candidate_offsets[b] + 1; units && i < end; i++)
            if (tkp__batch_unit(batch, scope, i) !=
                tkp__batch_unit(batch, scope, i - 1))
                ends[++count] = i;
        if (end > batch->candidate_offsets[b])
            ends[++count] = end;
    }
    return count;
}

void tkp__batch_before(
    const tkp__batch *batch,
    int32_t *before,
    int32_t *latest)
{
    int32_t image = -1;
    int32_t cells = 0;
    for (int32_t n = 0; n < batch->candidates; n++) {
        if (batch->candidate_images[n] != image) {
            image = batch->candidate_images[n];
            const tkp__layout_image *im = &batch->layout->images[image];
            cells = im->rows * im->cols;
            for (int32_t c = 0; c < cells; c++)
                latest[c] = -1;
        }
        const int32_t cell = batch->candidate_cells[n] % cells;
        before[n] = latest[cell];
        latest[cell] = n;
    }
}

void tkp__batch_before_in_groups(
    const tkp__batch *batch,
    int32_t group,
    int32_t *before,
    int32_t *latest)
{
    int32_t unit = -1; /* group of frames, of its image */
    int32_t image = -1;
    int32_t cells = 0;
    for (int32_t n = 0; n < batch->candidates; n++) {
        const int32_t frame = tkp__batch_frame(batch, n);
        if (batch->candidate_images[n] != image || frame / group != unit) {
            image = batch->candidate_images[n];
            unit = frame / group;
            const tkp__layout_image *im = &batch->layout->images[image];
            cells = im->rows * im->cols;
            for (int64_t i = 0; i < (int64_t)group * cells; i++)
                latest[i] = -1;
        }
        const int32_t cell = batch->candidate_cells[n] % cells;
        int32_t from = frame % group;
        latest[(int64_t)from * cells + cell] = n;
        before[n] = -1;
        while (from && before[n] < 0) {
            from &= from - 1;
            before[n] = latest[(int64_t)from * cells + cell];
        }
    }
}
