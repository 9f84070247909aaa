#ifndef TKP_MLLM_RESULT_H
#define TKP_MLLM_RESULT_H

/* What generate() hands back: copies of everything, no model behind it. */

#include "mllm/engine.h"
#include "mllm/text/text_buffer.h"

typedef struct tkp__shown_image {
    tkp__image seen;
    int32_t picture; /* of the request */
    int32_t grid_rows, grid_cols;
    int32_t *cells; /* [count] kept ones */
    int64_t count;
} tkp__shown_image;

typedef struct tkp__answer {
    tkp__text_buffer text;
    tkp__id_list ids;
    tkp__shown_image *image;
    int32_t images;
} tkp__answer;

struct tkp_mllm_result {
    tkp__answer *answer;
    int32_t count;
    bool stopped; /* by a callback */
    tkp_report report;
    int64_t *layers; /* what the report's arrays point to; NULL = no report */
    int64_t *block_patches; /* [blocks] the engine's */
    int32_t blocks;
    tkp_mllm_times times;
};

tkp_status tkp__result_create(tkp_mllm_result **out, int32_t count);

/* After prefill: the report and the cells that were kept; takes the pictures
 * over from the prompts. */
tkp_status tkp__result_take_prefill(
    tkp_mllm_result *result,
    tkp__engine *engine,
    tkp__prompt *prompts);

#endif
