/*
 * What a window's new row is made of: the members of the window, or, for grids
 * of the budget's own shape with `adaptive_overlap`, the cells
 * floor(i h / h') .. ceil((i + 1) h / h'), which may lie in several bins.
 */
#include "merger/bins.h"

static bool overlapping(const tkp_merger *m)
{
    const tkp_selector_options *o = &m->selector->spec.options;
    return m->spec.options.adaptive_overlap && o->kind == TKP_SELECTOR_WINDOW &&
           !o->window_rows;
}

/* A bin is at most twice as long as its window in either direction. */
int64_t tkp__bins_capacity(const tkp_merger *m)
{
    return m->selector->batch->layout->visual * (overlapping(m) ? 4 : 1);
}

typedef struct span {
    int32_t first, end;
} span;

/* Cells of bin i when `cells` are cut into `bins`. */
static span bin_span(int64_t i, int64_t bins, int64_t cells)
{
    return (span){
        (int32_t)(i * cells / bins),
        (int32_t)(((i + 1) * cells + bins - 1) / bins),
    };
}

/* The window of a group, from any of its members, and with it the bin. */
static int32_t
fill_overlapping(const tkp_merger *m, int32_t group, int32_t *rows)
{
    const tkp_selector *s = m->selector;
    const tkp__batch *batch = s->batch;
    const int32_t any = s->groups.member[s->groups.offsets[group]];
    const int32_t i = batch->candidate_images[any];
    const tkp__layout_image *image = &batch->layout->images[i];
    const tkp__window_grid *grid = &s->grids[i];
    const int32_t line = batch->candidate_cells[any] / image->cols;
    const int32_t frame = line / image->rows;
    const span y = bin_span(
        tkp__window_line(
            line % image->rows, image->rows, grid->lines, grid->height),
        grid->lines, image->rows);
    const span x = bin_span(
        tkp__window_line(
            batch->candidate_cells[any] % image->cols, image->cols,
            grid->columns, grid->width),
        grid->columns, image->cols);
    int32_t count = 0;
    for (int32_t n = batch->candidate_offsets[image->sequence];
         n < batch->candidate_offsets[image->sequence + 1]; n++) {
        if (batch->candidate_images[n] != i || batch->candidate_kept[n])
            continue;
        const int32_t cell = batch->candidate_cells[n];
        const int32_t cy = cell / image->cols % image->rows;
        const int32_t cx = cell % image->cols;
        if (cell / image->cols / image->rows == frame && cy >= y.first &&
            cy < y.end && cx >= x.first && cx < x.end)
            rows[count++] = batch->candidate_rows[n];
    }
    return count;
}

/* Square windows that came out even do not overlap. */
static bool own_shape(const tkp_merger *m, int32_t candidate)
{
    const tkp_selector *s = m->selector;
    return !s->grids[s->batch->candidate_images[candidate]].height;
}

void tkp__bins_fill(tkp_merger *m)
{
    const tkp__groups *g = &m->selector->groups;
    const tkp__batch *batch = m->selector->batch;
    m->bin_offsets[0] = 0;
    for (int32_t i = 0; i < g->count; i++) {
        int32_t *rows = m->bin_rows + m->bin_offsets[i];
        int32_t count = 0;
        if (overlapping(m) && own_shape(m, g->member[g->offsets[i]]))
            count = fill_overlapping(m, i, rows);
        else
            for (int32_t k = g->offsets[i]; k < g->offsets[i + 1]; k++)
                rows[count++] = batch->candidate_rows[g->member[k]];
        m->bin_offsets[i + 1] = m->bin_offsets[i] + count;
    }
}
