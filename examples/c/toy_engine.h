#ifndef TOY_ENGINE_H
#define TOY_ENGINE_H

/*
 * What stands for your engine in lesson 3: a decoder that has the right tensors
 * in the right places and computes next to nothing. Nothing in here knows of
 * pruning.
 */

#include "lesson.h"

enum { LAYERS = 8, HEADS = 8, CHANNELS = 32, HIDDEN = HEADS * CHANNELS };

typedef struct engine {
    int64_t rows;               /* tokens that are there */
    float *hidden;              /* [rows, HIDDEN] */
    float *q, *k;               /* [rows, HEADS, CHANNELS] of the last layer */
    int32_t *positions;         /* [rows] for the rotary embedding */
    int64_t cache_rows[LAYERS]; /* keys in each layer's cache */
} engine;

static inline void engine_start(engine *e, int64_t rows)
{
    e->rows = rows;
    e->hidden = numbers(rows * HIDDEN, 1);
    e->q = memory((size_t)(rows * HIDDEN) * sizeof(float));
    e->k = memory((size_t)(rows * HIDDEN) * sizeof(float));
    e->positions = memory((size_t)rows * sizeof(int32_t));
    for (int64_t r = 0; r < rows; r++)
        e->positions[r] = (int32_t)r;
    for (int32_t layer = 0; layer < LAYERS; layer++)
        e->cache_rows[layer] = 0;
}

/* q and k that a layer makes of the rows that are there. */
static inline void engine_project(engine *e, int32_t layer)
{
    for (int64_t r = 0; r < e->rows; r++)
        for (int32_t c = 0; c < HIDDEN; c++) {
            const float *row = e->hidden + r * HIDDEN;
            e->q[r * HIDDEN + c] = row[(c + layer) % HIDDEN];
            e->k[r * HIDDEN + c] = row[(c + 2 * layer + 1) % HIDDEN];
        }
}

static inline void engine_layer(engine *e, int32_t layer)
{
    engine_project(e, layer);
    e->cache_rows[layer] = e->rows;
    for (int64_t i = 0; i < e->rows * HIDDEN; i++)
        e->hidden[i] += 0.1f * (e->q[i] - e->k[i]);
}

static inline void engine_end(engine *e)
{
    free(e->hidden);
    free(e->q);
    free(e->k);
    free(e->positions);
}

#endif
