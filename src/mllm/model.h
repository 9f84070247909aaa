#ifndef TKP_MLLM_MODEL_H
#define TKP_MLLM_MODEL_H

/* A loaded model: what tkp_mllm_load() makes and everything else reads. */

#include "mllm/decoder/decoder.h"
#include "mllm/projector/projector.h"
#include "mllm/text/text.h"
#include "mllm/vision/vision.h"
#include "mllm/workspace_pool.h"

struct tkp_mllm {
    tkp_context *context;
    tkp__model_config config;
    tkp__weights *weights;
    tkp__tokenizer *tokenizer;
    const char *image_token; /* piece of the placeholder: "<image>" */
    tkp__vision vision;
    tkp__projector projector;
    tkp__decoder decoder;
    tkp_op *pick_patches; /* of the encoder's, those that count */
    tkp_op *place_visual; /* projector rows into the decoder's x */
    tkp_op *place_newlines;
    tkp_tensor newline; /* [D], of LLaVA-NeXT */
    int32_t dtype;      /* of activations */
    int64_t max_pixels;
    int64_t parameters;
    uint64_t workspace_bytes; /* of the most demanding op */
    tkp__workspace_pool *workspaces;
};

#endif
