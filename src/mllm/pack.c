/* From the encoder's patches to the visual tokens of the prompts. */

#include "mllm/engine.h"

/* The patch that cell (row, col) of a grid shows, of those of its picture. */
static int64_t
patch_of(const tkp__vision *v, const tkp__grid *g, int32_t row, int32_t col)
{
    const int64_t y = g->first_row + row, x = g->first_col + col;
    const int64_t view = y / v->grid * g->across + x / v->grid;
    return (g->first_view + view) * v->patches + y % v->grid * v->grid +
           x % v->grid;
}

/* Lists of one entry a visual token; where newlines stand, behind each other. */
typedef struct places {
    int32_t *from; /* patch, or NULL */
    int32_t *to;   /* row of the batch, or NULL */
    int32_t *newlines;
    int64_t tokens, newline_count;
} places;

static void list_grid(
    places *out,
    const tkp__vision *v,
    const tkp__grid *g,
    int64_t first_patch,
    int64_t first_row)
{
    for (int32_t y = 0; y < tkp__grid_lines(g); y++) {
        int64_t row = first_row + (int64_t)y * (g->cols + g->newlines);
        for (int32_t x = 0; x < g->cols; x++, row++) {
            if (out->from)
                out->from[out->tokens] =
                    (int32_t)(first_patch + patch_of(v, g, y, x));
            if (out->to)
                out->to[out->tokens] = (int32_t)row;
            out->tokens++;
        }
        if (g->newlines && out->newlines)
            out->newlines[out->newline_count++] = (int32_t)row;
    }
}

static void list_all(places *out, const tkp__engine *e)
{
    const tkp__vision *v = &e->model->vision;
    int64_t row = 0, patch = 0;
    for (int32_t b = 0; b < e->sequences; b++) {
        const tkp__prompt *p = &e->prompt[b];
        for (int32_t i = 0; i < p->pictures; i++) {
            const tkp__picture *picture = &p->picture[i];
            for (int32_t g = 0; g < picture->grids; g++)
                list_grid(
                    out, v, &picture->grid[g], patch,
                    row + picture->start + picture->grid[g].start);
            patch += picture->features;
        }
        row += p->count;
    }
}

/* Every picture is one grid: what the projector gives are the visual tokens as
 * they come. */
static bool in_order(const tkp__engine *e)
{
    return !e->model->config.image.pinpoints;
}

/* What the encoder gave, in the order of the visual tokens. */
static tkp_status arrange(tkp__engine *e)
{
    tkp__kept_inputs *kept = &e->inputs;
    tkp__buffer *const buffers[] = {
        &e->visual, &kept->vision, &kept->keys, &kept->cls, &kept->shallow};
    places lists = {.from = e->from};
    if (in_order(e))
        return TKP_OK;
    list_all(&lists, e);
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        if (buffers[i]->data)
            TKP__TRY(tkp__buffer_take(
                buffers[i], e->model->pick_patches, &e->f, e->from,
                e->visual_tokens));
    return TKP_OK;
}

/* One row for each visual token again, as if none had gone inside the encoder;
 * those of tokens that did are never looked at. */
static tkp_status spread(tkp__engine *e)
{
    tkp__kept_inputs *kept = &e->inputs;
    tkp__buffer *const buffers[] = {
        &kept->vision, &kept->keys, &kept->cls, &kept->shallow};
    memset(e->from, 0, (size_t)e->visual_tokens * sizeof(*e->from));
    for (int64_t k = 0; k < e->seen; k++)
        e->from[e->survivor[k]] = (int32_t)k;
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        if (buffers[i]->data)
            TKP__TRY(tkp__buffer_take(
                buffers[i], e->model->decoder.gather, &e->f, e->from,
                e->visual_tokens));
    return TKP_OK;
}

static tkp_status
place(tkp__engine *e, const tkp_tensor *x, const places *lists)
{
    const tkp_tensor rows = tkp__rows(&e->visual, lists->tokens);
    const tkp_tensor to = tkp__ints(lists->to, lists->tokens);
    TKP__TRY(tkp__scatter_run(e->model->place_visual, &e->f, &rows, &to, x));
    if (lists->newline_count == 0)
        return TKP_OK;
    /* One row again and again. */
    tkp_tensor newline = e->model->newline;
    newline.ndim = 2;
    newline.shape[1] = newline.shape[0];
    newline.shape[0] = lists->newline_count;
    newline.strides[0] = 0;
    newline.strides[1] = 1;
    const tkp_tensor behind = tkp__ints(lists->newlines, lists->newline_count);
    return tkp__scatter_run(
        e->model->place_newlines, &e->f, &newline, &behind, x);
}

tkp_status tkp__engine_pack(tkp__engine *e, const tkp_tensor *x)
{
    if (e->visual_tokens == 0)
        return TKP_OK;
    TKP__TRY(arrange(e));
    if (e->seen < e->visual_tokens)
        TKP__TRY(spread(e));
    places lists = {.to = e->index, .newlines = e->from};
    list_all(&lists, e);
    if (e->seen < e->visual_tokens) {
        for (int64_t k = 0; k < e->seen; k++)
            lists.to[k] = lists.to[e->survivor[k]];
        lists.tokens = e->seen;
    }
    TKP__TRY(place(e, x, &lists));
    tkp__buffer_free(&e->visual);
    return TKP_OK;
}
