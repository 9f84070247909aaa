#ifndef TKP_MLLM_DEVICE_WEIGHTS_H
#define TKP_MLLM_DEVICE_WEIGHTS_H

/*
 * The weights of a model that runs on a device: each is brought there once, when
 * it is planned. A tensor that two parts share stays one.
 */

#include "tokenprune/context.h"
#include "util/util.h"

typedef struct tkp__device_weights tkp__device_weights;

/* NULL in *out where the context works on the host's memory. */
tkp_status
tkp__device_weights_create(tkp__device_weights **out, tkp_context *context);
void tkp__device_weights_destroy(tkp__device_weights *weights);

/* `tensor`, contiguous and of the host, becomes a view of its copy. Without
 * `weights` it stays what it is. */
tkp_status
tkp__device_weights_take(tkp__device_weights *weights, tkp_tensor *tensor);

#endif
