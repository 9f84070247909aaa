#ifndef TKP_BACKENDS_REF_GREEDY_H
#define TKP_BACKENDS_REF_GREEDY_H

/*
 * What the greedy kinds share: their first arguments, similarities, and the
 * best member by a value.
 */

#include "ref/ref.h"

enum {
    TKP__REF_GREEDY_X,
    TKP__REF_GREEDY_ROWS,
    TKP__REF_GREEDY_OFFSETS,
    TKP__REF_GREEDY_MEMBERS,
    TKP__REF_GREEDY_KEEP,
    TKP__REF_GREEDY_OUT_OFFSETS,
    TKP__REF_GREEDY_WEIGHTS
};

/* A group: what it chooses from, and where the choice goes. */
typedef struct tkp__ref_group {
    const tkp_tensor *x;
    const int32_t *rows;    /* [N] */
    const int32_t *members; /* [n]; NULL: first, first + 1 ... */
    const double *squares;  /* [N] of the norms */
    int32_t first, n, keep;
    int32_t *dst; /* [keep] */
    bool *chosen; /* [n] */
} tkp__ref_group;

static inline int32_t tkp__ref_member(const tkp__ref_group *g, int32_t i)
{
    return g->members ? g->members[i] : g->first + i;
}

/* Squared norms [N] and chosen [longest list], as pieces 0 and 1. */
tkp_status tkp__ref_greedy_book(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args);

/* Entries of a group in any run. */
int64_t tkp__ref_greedy_most(const tkp_tensor *args, int32_t largest);

/* Everything that may be wrong with the data, and the squared norms.
 * `weights` of candidates (or none) have to be finite. */
tkp_status tkp__ref_greedy_check(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    const tkp_tensor *dst,
    int32_t largest,
    char *workspace);
tkp_status tkp__ref_greedy_check_weights(
    const tkp_tensor *args,
    const tkp_tensor *weights,
    const char *name,
    bool may_be_negative);

/* Group i, nothing chosen. */
tkp__ref_group tkp__ref_greedy_group(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    const tkp_tensor *dst,
    char *workspace,
    int64_t i);

/* Cosine of entries a and b of the group. */
double tkp__ref_cosine_of(const tkp__ref_group *g, int32_t a, int32_t b);

/* The entry not chosen yet whose value is largest; of equal ones the lower
 * member. -1: all are chosen. */
int32_t tkp__ref_greedy_best(const tkp__ref_group *g, const double *value);

/* Entry `best` is choice number t. */
void tkp__ref_greedy_take(tkp__ref_group *g, int32_t t, int32_t best);

#endif
