#ifndef TKP_MLLM_REQUEST_H
#define TKP_MLLM_REQUEST_H

/*
 * What a request becomes before the forward: token ids with a run of
 * placeholders for each picture, and the pictures as pixels.
 */

#include "mllm/model.h"

typedef struct tkp__picture {
    tkp__image seen; /* u8, as the model sees it */
    float *pixels;   /* [views, 3, S, S] */
    int32_t views;   /* squares that the encoder takes; 1 for LLaVA-1.5 */
    int32_t grid_rows, grid_cols;
    int64_t tokens; /* visual tokens: rows of the prompt */
    int64_t start;  /* the first of them in its prompt */
} tkp__picture;

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
