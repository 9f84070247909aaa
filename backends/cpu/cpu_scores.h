#ifndef TKP_BACKENDS_CPU_SCORES_H
#define TKP_BACKENDS_CPU_SCORES_H

/*
 * What ATTENTION_SCORES and ATTENTION_HEADS share: probabilities of a few query
 * rows at all keys of their sequence, a round of rows at a time. Arguments 0 to 8
 * are the same.
 */

#include "cpu/cpu.h"

enum {
    TKP__SCORES_Q,
    TKP__SCORES_K,
    TKP__SCORES_LSE,
    TKP__SCORES_TABLE,
    TKP__SCORES_Q_OFFSETS,
    TKP__SCORES_Q_POSITIONS,
    TKP__SCORES_K_OFFSETS,
    TKP__SCORES_OFFSETS,
    TKP__SCORES_CANDIDATES
};

struct tkp__cpu_scores_plan {
    tkp__cpu_plan base;
    tkp_op_attention_scores params;
    int64_t rows;       /* taken at a time */
    int64_t keys;       /* of the longest sequence, in whole pieces */
    uint64_t q_at;      /* [rows, H, C] packed */
    uint64_t logits_at; /* [rows, H, keys] f32 */
    uint64_t factor_at; /* [rows, H] f32: what exp(..) is multiplied by */
    uint64_t wanted_at; /* [keys / PIECE] u8: piece has candidates */
    uint64_t seen_at;   /* [N] i32 rows that see the candidate */
    uint64_t scratch_at, scratch_bytes; /* packed keys of each thread */
};

/* One sequence, and the rows of it that are taken now. */
struct tkp__cpu_scores {
    const struct tkp__cpu_scores_plan *plan;
    const tkp__cpu_kernels *kernels;
    const tkp_tensor *args;
    char *workspace;
    int64_t b;
    int64_t keys, h, g, c;
    int64_t q0, rows; /* first row; rows in this round */
    const int32_t *positions, *candidates;
    int64_t n0, n; /* first candidate; candidates */
    float scale;
    int32_t every_key; /* the sum of exp is ours to find */
};

/* `plan->params` is filled in. */
tkp_status tkp__cpu_scores_plan(
    struct tkp__cpu_scores_plan *plan,
    tkp_ledger *ledger,
    const tkp_op_desc *desc);
tkp_status tkp__cpu_scores_supports(const tkp_op_desc *desc);
tkp_status tkp__cpu_scores_check(const tkp_tensor *args);
bool tkp__cpu_scores_last_only(const struct tkp__cpu_scores_plan *plan);

void tkp__cpu_scores_open(
    struct tkp__cpu_scores *s,
    const struct tkp__cpu_scores_plan *plan,
    const tkp__cpu_run *run);
/* Sequence b; its first round of rows is the next. */
void tkp__cpu_scores_begin(struct tkp__cpu_scores *s, int64_t b);
/* The next round: false if there is none. Row r of head h has the probabilities
 * tkp__cpu_scores_row() times tkp__cpu_scores_factors()[r H + h] then, where it
 * sees a key. */
bool tkp__cpu_scores_next(struct tkp__cpu_scores *s);

static inline float *
tkp__cpu_scores_row(const struct tkp__cpu_scores *s, int64_t row, int64_t head)
{
    float *base = (float *)(void *)(s->workspace + s->plan->logits_at);
    return base + (row * s->h + head) * s->plan->keys;
}
static inline float *tkp__cpu_scores_factors(const struct tkp__cpu_scores *s)
{
    return (float *)(void *)(s->workspace + s->plan->factor_at);
}
/* [n] rows that see each candidate: the op counts them. */
static inline int32_t *tkp__cpu_scores_seen(const struct tkp__cpu_scores *s)
{
    return (int32_t *)(void *)(s->workspace + s->plan->seen_at) + s->n0;
}
/* Keys that row r of this round sees. */
static inline int64_t
tkp__cpu_scores_visible(const struct tkp__cpu_scores *s, int64_t r)
{
    return s->plan->params.flags & TKP_ATTENTION_CAUSAL
               ? (int64_t)s->positions[s->q0 + r] + 1
               : s->keys;
}

#endif
