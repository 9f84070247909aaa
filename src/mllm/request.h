#ifndef TKP_MLLM_REQUEST_H
#define TKP_MLLM_REQUEST_H

/*
 * What a request becomes before the forward: token ids with a run of
 * placeholders for each picture, and the pictures as pixels.
 */

#include "mllm/model.h"

/* Visual tokens side by side as what they show is. Of a picture that is too
 * thin there may be newlines alone: no columns. */
typedef struct tkp__grid {
    tkp__image seen; /* u8, as the model sees it */
    int32_t frames;  /* 1, or those of a video */
    int32_t rows, cols;
    bool newlines; /* each row ends in a token that is no patch */
    int64_t start; /* the first token, from the picture's first */
    /* Which patches: of views side by side, from `first_view` on, `across` in
     * a line of them; without the first lines and columns. */
    int32_t first_view, across, first_row, first_col;
    int32_t
        view_side; /* patches a side of one of several views; 0 = one view */
} tkp__grid;

/* LLaVA-1.5 sees one square; LLaVA-NeXT the whole picture in one and then its
 * parts in several, side by side or one after the other; Qwen2-VL the picture as large as it is. */
enum { TKP__MAX_GRIDS = 5 };

typedef struct tkp__picture {
    float *pixels; /* [views, 3, S, S], or patches as `patch_grid` has them */
    int32_t views; /* squares that the encoder takes */
    tkp__patch_grid patch_grid; /* of Qwen2-VL */
    int64_t features;           /* rows that the projector gives */
    int32_t grids;
    tkp__grid grid[TKP__MAX_GRIDS];
    int64_t tokens; /* rows of the prompt: visual tokens and newlines */
    int64_t start;  /* the first of them in its prompt */
    int32_t number; /* in the request: images, then videos */
    bool video;
} tkp__picture;

/* Lines of the grid, frame after frame. */
static inline int64_t tkp__grid_lines(const tkp__grid *g)
{
    return (int64_t)g->frames * g->rows;
}
static inline int64_t tkp__grid_cells(const tkp__grid *g)
{
    return tkp__grid_lines(g) * g->cols;
}
/* Rows of the prompt from the grid's first to its last. */
static inline int64_t tkp__grid_tokens(const tkp__grid *g)
{
    return tkp__grid_lines(g) * (g->cols + g->newlines);
}

typedef struct tkp__prompt {
    uint32_t id;
    int32_t *ids; /* [count] expanded */
    int64_t count;
    tkp__picture *picture;
    int32_t pictures;
} tkp__prompt;

/* `index` is the request's number, for messages. */
tkp_status tkp__prompt_create(
    tkp__prompt *prompt,
    const tkp_mllm *model,
    const tkp_mllm_request *request,
    int32_t index);

/* Places of the question's words in the prompt, ascending: everything behind
 * the last picture. `rows` has room for the whole prompt; how many there are. */
int64_t tkp__prompt_words(const tkp__prompt *prompt, int32_t *rows);
void tkp__prompt_release(tkp__prompt *prompt);

#endif
