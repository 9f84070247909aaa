#ifndef TKP_BACKENDS_CPU_ATTENTION_H
#define TKP_BACKENDS_CPU_ATTENTION_H

/*
 * What the two ways of ATTENTION share: tiles for many queries, one pass over
 * the keys for few (decoding).
 */

#include "cpu/cpu.h"

/* Queries of a sequence up to which the keys are read once for all heads. */
#define TKP__CPU_DECODE_ROWS 4
/* Keys whose partial result is kept; they are combined in order. */
#define TKP__CPU_DECODE_KEYS 128

struct tkp__cpu_attention_plan {
    tkp__cpu_plan base;
    float scale;
    int32_t causal;
    uint64_t scratch_at, scratch_bytes; /* one for each thread */
    uint64_t partial_at;                /* decoding: one for each piece */
    int64_t partials;
    int64_t few; /* queries of a sequence that decodes, at most */
};

/* Arguments of a run as plain numbers; strides in elements. */
struct tkp__cpu_attention_run {
    const struct tkp__cpu_attention_plan *plan;
    const char *q, *k, *v;
    char *dst;
    float *lse;
    const float *bias; /* of all keys, or NULL */
    int64_t q_row, k_row, k_group, v_row, v_group;
    int32_t h, g, c, b;
    int32_t dtype;
    float scale;
    const int32_t *q_offsets, *k_offsets;
    char *workspace;
};

static inline bool tkp__cpu_decodes(int64_t queries)
{
    return queries > 0 && queries <= TKP__CPU_DECODE_ROWS;
}

/* Bytes of one thread's scratch, and floats of one piece's partial result. */
uint64_t tkp__cpu_decode_scratch(int64_t rows, int32_t h, int32_t c);
int64_t tkp__cpu_decode_partial(int64_t rows, int32_t h, int32_t c);

/* All sequences with few queries. */
void tkp__cpu_decode(const struct tkp__cpu_attention_run *a);

#endif
