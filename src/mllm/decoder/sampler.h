#ifndef TKP_MLLM_DECODER_SAMPLER_H
#define TKP_MLLM_DECODER_SAMPLER_H

/* From logits to the next token. */

#include "util/util.h"

typedef struct tkp__sampler_options {
    bool sample;   /* else the highest logit, the lowest id on ties */
    int32_t top_k; /* 0 = off */
    double temperature;
    double top_p;              /* 1 = off */
    double repetition_penalty; /* 1 = off */
    uint64_t seed;
} tkp__sampler_options;

/* For one call of generate; one thread. */
typedef struct tkp__sampler {
    tkp__sampler_options options;
    int64_t vocab;
    struct tkp__sampler_candidate *order; /* [V] while sampling */
    uint8_t *seen; /* [B, V] ids of each sequence, where they are penalised */
} tkp__sampler;

tkp_status tkp__sampler_create(
    tkp__sampler *sampler,
    const tkp__sampler_options *options,
    int32_t sequences,
    int64_t vocab);
void tkp__sampler_release(tkp__sampler *sampler);

/* An id is in the text of sequence b, prompt or answer. */
void tkp__sampler_note(tkp__sampler *sampler, int32_t b, int32_t id);

/*
 * Pick from logits [V] (which it may change). Draws are numbered: the same
 * seed, request id and step give the same number in any batch.
 */
tkp_status tkp__sampler_pick(
    tkp__sampler *sampler,
    float *logits,
    int32_t b,
    uint32_t request_id,
    uint32_t step,
    int32_t *id_out);

#endif
