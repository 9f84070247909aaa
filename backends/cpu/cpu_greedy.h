#ifndef TKP_BACKENDS_CPU_GREEDY_H
#define TKP_BACKENDS_CPU_GREEDY_H

/*
 * What the greedy kinds share: the members of a group in ascending order, their
 * rows side by side, and rows of their similarity matrix, which is kept whole
 * where that costs less than one matrix-vector product a choice.
 *
 * How a group is computed follows from its size and its count alone, so that
 * neither other groups nor threads change a bit.
 */

#include "cpu/cpu.h"

enum {
    TKP__GREEDY_X,
    TKP__GREEDY_ROWS,
    TKP__GREEDY_OFFSETS,
    TKP__GREEDY_MEMBERS,
    TKP__GREEDY_KEEP,
    TKP__GREEDY_OUT_OFFSETS,
    TKP__GREEDY_WEIGHTS
};

/* Columns of a piece of work: pieces are the same for every thread count. */
#define TKP__GREEDY_PIECE 512

/* Begins the plan of each greedy kind. */
typedef struct tkp__cpu_greedy {
    tkp__cpu_plan base;
    int64_t most; /* members of a group */
    int64_t matrix_most;
    int32_t largest;    /* as in the params */
    bool always;        /* every group gets its matrix */
    bool raw;           /* dot products instead of cosines */
    uint64_t square_at; /* [N] f32 squared norms */
    uint64_t list_at;   /* [most] i32 members, ascending */
    uint64_t scale_at;  /* [most] f32 1 / norm; 0 where that is 0 */
    uint64_t rows_at;   /* [most, D] f32 scaled, or bf16 as they are */
    uint64_t matrix_at; /* [matrix_most, matrix_most] f32 */
    uint64_t row_at;    /* [most] f32 */
    uint64_t tile_at, tile_bytes; /* of each thread */
} tkp__cpu_greedy;

typedef struct tkp__cpu_greedy_group {
    const tkp__cpu_greedy *plan;
    int64_t n, d, keep;
    const int32_t *list;
    const float *scale;
    const float *square; /* [N], by member */
    const void *rows;
    float *matrix; /* [n, n]; NULL = rows on demand */
    float *row;
    char *tiles;
    int32_t *dst;
    bool pairs; /* rows are bf16 */
} tkp__cpu_greedy_group;

/* Book it. `always`: as above; else groups of up to 4096 get their matrix if
 * they keep a sixteenth or more, or `all` pairs are looked at anyhow. */
tkp_status tkp__cpu_greedy_plan(
    tkp__cpu_greedy *p,
    tkp_ledger *ledger,
    const tkp_op_desc *desc,
    int32_t dst,
    int32_t largest,
    bool always,
    bool all);

/* Indices, counts, and that the members' rows are finite. */
tkp_status tkp__cpu_greedy_check(
    const tkp__cpu_greedy *p,
    const tkp__cpu_run *r,
    int32_t dst);
tkp_status tkp__cpu_greedy_check_weights(
    const tkp__cpu_run *r,
    int32_t arg,
    const char *name,
    bool may_be_negative);

/* Group i, its rows gathered, and its matrix if it has one. */
tkp__cpu_greedy_group tkp__cpu_greedy_open(
    const tkp__cpu_greedy *p,
    const tkp__cpu_run *r,
    int32_t dst,
    int64_t i,
    bool all);

/* Similarity of entry j to all, [n]; till the next call. */
const float *tkp__cpu_greedy_row(const tkp__cpu_greedy_group *g, int64_t j);

/* near[i] = largest similarity (raw: negated squared distance) of entry i to
 * another one. */
void tkp__cpu_greedy_nearest(const tkp__cpu_greedy_group *g, float *near);

/* Negated squared distance from a dot product. */
static inline float tkp__cpu_greedy_negated(
    const tkp__cpu_greedy_group *g,
    int64_t i,
    int64_t j,
    float dot)
{
    const float sum = g->square[g->list[i]] + g->square[g->list[j]];
    const float distance = sum - 2.0f * dot;
    return i == j || distance < 0 ? 0 : -distance;
}

#endif
