/*
 * Groups of candidates: windows of the token grid, images, sequences.
 *
 * Windows partition an image; those at the right and bottom border may be
 * smaller. After a cut a window holds what is left of it; empty ones are no
 * groups. Protected candidates are in no group: they are kept without asking.
 */
#include "selector/selector.h"

tkp__window_grid tkp__window_grid_sized(
    int32_t rows,
    int32_t cols,
    int32_t height,
    int32_t width)
{
    const int32_t h = height < rows ? height : rows;
    const int32_t w = width < cols ? width : cols;
    return (tkp__window_grid){
        .lines = (rows + h - 1) / h,
        .columns = (cols + w - 1) / w,
        .height = h,
        .width = w,
    };
}

/* How far lines x columns is from the grid's own aspect: |lines cols - columns
 * rows|, and no window more than four times longer than the other side. */
static bool better_shape(
    int64_t lines,
    int64_t columns,
    int32_t rows,
    int32_t cols,
    int64_t *best)
{
    const int64_t a = lines * cols;
    const int64_t b = columns * rows;
    const int64_t skew = a > b ? a - b : b - a;
    if (a > 4 * b || b > 4 * a || (*best >= 0 && skew >= *best))
        return false;
    *best = skew;
    return true;
}

/* lines * columns == keep exactly; fewer lines win a tie (128 of 24 x 24 is
 * 8 x 16). */
static bool
exact_grid(int32_t rows, int32_t cols, int64_t keep, tkp__window_grid *out)
{
    int64_t best = -1;
    for (int64_t lines = 1; lines <= rows && lines <= keep; lines++)
        if (keep % lines == 0 && keep / lines <= cols &&
            better_shape(lines, keep / lines, rows, cols, &best))
            *out = (tkp__window_grid){
                (int32_t)lines, (int32_t)(keep / lines), 0, 0};
    return best >= 0;
}

/* The most windows not above `keep`, near the grid's aspect. */
static tkp__window_grid near_grid(int32_t rows, int32_t cols, int64_t keep)
{
    tkp__window_grid out = {1, 1, 0, 0};
    for (int64_t lines = 1; lines <= rows && lines <= keep; lines++) {
        int64_t columns = keep / lines < cols ? keep / lines : cols;
        int64_t unused = -1;
        if (lines * columns > (int64_t)out.lines * out.columns &&
            better_shape(lines, columns, rows, cols, &unused))
            out = (tkp__window_grid){(int32_t)lines, (int32_t)columns, 0, 0};
    }
    return out;
}

tkp__window_grid tkp__window_grid_choose(
    int32_t frames,
    int32_t rows,
    int32_t cols,
    int64_t keep)
{
    const int32_t longer = rows > cols ? rows : cols;
    for (int32_t a = 1; a <= longer; a++) {
        const tkp__window_grid grid = tkp__window_grid_sized(rows, cols, a, a);
        if ((int64_t)frames * grid.lines * grid.columns == keep)
            return grid;
    }
    const int64_t each = keep / frames;
    tkp__window_grid grid;
    if (keep % frames == 0 && exact_grid(rows, cols, each, &grid))
        return grid;
    return near_grid(rows, cols, each);
}

static int32_t window_of(
    const tkp__layout_image *image,
    const tkp__window_grid *grid,
    int32_t cell)
{
    const int32_t x = cell % image->cols;
    const int32_t line = cell / image->cols;
    const int32_t y = line % image->rows;
    const int32_t frame = line / image->rows;
    const int32_t wy =
        tkp__window_line(y, image->rows, grid->lines, grid->height);
    const int32_t wx =
        tkp__window_line(x, image->cols, grid->columns, grid->width);
    return (frame * grid->lines + wy) * grid->columns + wx;
}

static int32_t part_of(
    const tkp__layout_image *image,
    const tkp__window_grid *grid,
    bool tiles,
    int32_t cell)
{
    return tiles ? tkp__image_tile(image, cell) : window_of(image, grid, cell);
}

static void open_group(
    tkp__groups *g,
    const tkp__batch *batch,
    int32_t sequence,
    int32_t size)
{
    g->offsets[g->count + 1] = g->offsets[g->count] + size;
    g->stream[2 * g->count] = (int32_t)batch->layout->sequences[sequence].id;
    g->stream[2 * g->count + 1] = g->count - g->first[sequence];
    g->count++;
    g->members += size;
}

/* Groups of the candidates first .. end, which belong to one image: counted,
 * then placed (a counting sort by window, or by tile). */
static void group_image(
    tkp__groups *g,
    const tkp_selector *s,
    bool tiles,
    int32_t first,
    int32_t end)
{
    const tkp__batch *batch = s->batch;
    const int32_t i = batch->candidate_images[first];
    const tkp__layout_image *image = &batch->layout->images[i];
    const tkp__window_grid *grid = &s->grids[i];
    const int32_t parts = tiles ? image->tile_lines * image->tile_columns
                                : image->frames * grid->lines * grid->columns;
    int32_t *at = s->cells; /* [parts] count, then write position */
    memset(at, 0, (size_t)parts * sizeof(*at));
    for (int32_t n = first; n < end; n++)
        if (!batch->candidate_kept[n])
            at[part_of(image, grid, tiles, batch->candidate_cells[n])]++;
    for (int32_t w = 0; w < parts; w++) {
        const int32_t size = at[w];
        at[w] = size ? g->offsets[g->count] : -1;
        if (size)
            open_group(g, batch, image->sequence, size);
    }
    for (int32_t n = first; n < end; n++)
        if (!batch->candidate_kept[n])
            g->member[at[part_of(
                image, grid, tiles, batch->candidate_cells[n])]++] = n;
}

static void begin_groups(tkp__groups *g)
{
    g->count = g->members = g->kept = 0;
    g->offsets[0] = 0;
}

/* Where each candidate is, from the finished lists. */
static void finish_groups(tkp__groups *g, const tkp__batch *batch)
{
    g->first[batch->sequences] = g->count;
    for (int64_t n = 0; n < batch->candidates; n++)
        g->of[n] = -1;
    for (int32_t i = 0; i < g->count; i++)
        for (int32_t m = g->offsets[i]; m < g->offsets[i + 1]; m++)
            g->of[g->member[m]] = i;
}

/* One past the last candidate of the unit that candidate n belongs to. */
static int32_t
unit_end(const tkp__batch *batch, int32_t scope, int32_t n, int32_t stop)
{
    if (scope == TKP_SCOPE_SEQUENCE)
        return stop;
    const int32_t unit = tkp__batch_unit(batch, scope, n);
    while (n < stop && tkp__batch_unit(batch, scope, n) == unit)
        n++;
    return n;
}

static void group_images(tkp__groups *g, const tkp_selector *s, bool tiles)
{
    const tkp__batch *batch = s->batch;
    begin_groups(g);
    for (int32_t b = 0; b < batch->sequences; b++) {
        g->first[b] = g->count;
        const int32_t stop = batch->candidate_offsets[b + 1];
        for (int32_t n = batch->candidate_offsets[b]; n < stop;) {
            const int32_t end = unit_end(batch, TKP_SCOPE_IMAGE, n, stop);
            group_image(g, s, tiles, n, end);
            n = end;
        }
    }
    finish_groups(g, batch);
}

void tkp__groups_by_window(tkp__groups *g, tkp_selector *s)
{
    group_images(g, s, false);
}

void tkp__groups_whole(
    tkp__groups *g,
    const tkp_selector *s,
    int32_t scope,
    int32_t crops)
{
    const tkp__batch *batch = s->batch;
    if (scope == TKP_SCOPE_TILE) {
        group_images(g, s, true);
        return;
    }
    begin_groups(g);
    for (int32_t b = 0; b < batch->sequences; b++) {
        g->first[b] = g->count;
        const int32_t stop = batch->candidate_offsets[b + 1];
        for (int32_t n = batch->candidate_offsets[b]; n < stop;) {
            const int32_t begin = n, all = unit_end(batch, scope, n, stop) - n;
            const int32_t parts = all < crops ? all : crops;
            for (int32_t c = 1; c <= parts; c++) {
                const int32_t end = begin + tkp__crop_begin(all, parts, c);
                int32_t size = 0;
                for (; n < end; n++)
                    if (!batch->candidate_kept[n])
                        g->member[g->members + size++] = n;
                if (size)
                    open_group(g, batch, b, size);
            }
        }
    }
    finish_groups(g, batch);
}
