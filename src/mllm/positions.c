/*
 * Rotary positions of the prompts. One row: places 0, 1, 2 ... of each
 * sequence. Three rows (M-RoPE of Qwen2-VL, get_rope_index): text counts on in
 * all three; a visual token stands behind the text before it by its frame, its
 * line and its column, and the text behind a picture goes on after the largest
 * of them. (models.md 6.2)
 */

#include "mllm/engine.h"

/* Where the walk through a prompt is. */
typedef struct walk {
    int32_t *row[3];
    int64_t at;   /* token of the batch */
    int32_t next; /* position of the next text token */
} walk;

static void put(walk *w, int32_t t, int32_t y, int32_t x)
{
    w->row[0][w->at] = w->next + t;
    w->row[1][w->at] = w->next + y;
    w->row[2][w->at] = w->next + x;
    w->at++;
}

static void walk_text(walk *w, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        put(w, 0, 0, 0);
        w->next++;
    }
}

static void walk_grid(walk *w, const tkp__grid *g)
{
    for (int32_t t = 0; t < g->frames; t++)
        for (int32_t y = 0; y < g->rows; y++)
            for (int32_t x = 0; x < g->cols; x++)
                put(w, t, y, x);
    int32_t longest = g->frames;
    if (g->rows > longest)
        longest = g->rows;
    if (g->cols > longest)
        longest = g->cols;
    w->next += longest;
}

static void walk_prompt(walk *w, const tkp__prompt *p)
{
    int64_t done = 0;
    w->next = 0;
    for (int32_t i = 0; i < p->pictures; i++) {
        const tkp__picture *picture = &p->picture[i];
        walk_text(w, picture->start - done);
        walk_grid(w, &picture->grid[0]);
        done = picture->start + picture->tokens;
    }
    walk_text(w, p->count - done);
}

void tkp__engine_list_positions(tkp__engine *e)
{
    const int32_t position_rows = e->model->decoder.position_rows;
    walk w = {.at = 0};
    if (position_rows == 3) {
        for (int32_t p = 0; p < 3; p++)
            w.row[p] = e->positions + p * e->rows;
        for (int32_t b = 0; b < e->sequences; b++)
            walk_prompt(&w, &e->prompt[b]);
        return;
    }
    int32_t *position = e->positions;
    for (int32_t b = 0; b < e->sequences; b++)
        for (int32_t i = 0; i < e->prompt[b].count; i++)
            *position++ = i;
}
