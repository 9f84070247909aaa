#ifndef TKP_MLLM_MODEL_H
#define TKP_MLLM_MODEL_H

/* A loaded model: what tkp_mllm_load() makes and everything else reads. */

#include "mllm/decoder/decoder.h"
#include "mllm/projector/projector.h"
#include "mllm/text/text.h"
#include "mllm/vision/vision.h"
#include "mllm/vision/vit.h"
#include "mllm/workspace_pool.h"

struct tkp_mllm {
    tkp_context *context;
    tkp__model_config config;
    tkp__weights *weights;
    tkp__device_weights *copies; /* NULL: they are used where they are */
    tkp__tokenizer *tokenizer;
    const char *image_token; /* piece of the placeholder: "<image>" */
    const char *video_token; /* likewise; NULL: the model takes no videos */
    tkp__vision vision;      /* of LLaVA: squares */
    tkp__vit vit;            /* of Qwen2-VL: any size */
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

/* Pictures are one grid of tokens each, as large as they are. */
static inline bool tkp__any_size(const tkp_mllm *m)
{
    return m->config.kind == TKP__MODEL_QWEN2_VL;
}

/* Of what the encoder gives for a visual token. */
static inline int64_t tkp__feature_width(const tkp_mllm *m)
{
    return m->projector.first.weight.shape[1];
}

#endif
