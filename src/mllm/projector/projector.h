#ifndef TKP_MLLM_PROJECTOR_PROJECTOR_H
#define TKP_MLLM_PROJECTOR_PROJECTOR_H

/* From the encoder's features to rows of the language model's width:
 * linear, activation, linear. */

#include "mllm/forward.h"

typedef struct tkp__projector {
    tkp__linear first, second;
    tkp_op *activation;
    int64_t inner; /* width between the two */
} tkp__projector;

/* For up to `rows` rows at once. */
tkp_status tkp__projector_load(
    tkp__projector *projector,
    tkp__planner *planner,
    const tkp__model_config *config,
    int64_t rows);
void tkp__projector_release(tkp__projector *projector);

/* features [M, Dv] -> dst [M, D]; `inner` is memory of [M, inner]. */
tkp_status tkp__projector_run(
    const tkp__projector *projector,
    const tkp__forward *f,
    const tkp_tensor *features,
    const tkp_tensor *inner,
    const tkp_tensor *dst);

#endif
