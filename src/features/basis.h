#ifndef TKP_FEATURES_BASIS_H
#define TKP_FEATURES_BASIS_H

/*
 * A few tokens that stand for a group: the farthest points, by squared
 * Euclidean distance, from the longest row on, or from one drawn by a seed.
 */

#include "features/features.h"

typedef struct tkp__basis {
    tkp_op *op;
    uint64_t seed; /* 0: the longest row comes first */
    float *start;  /* [N] 1 for the first of each group; NULL without a seed */
} tkp__basis;

/* The op goes into *ops_bytes of the caller's common workspace. */
tkp_status tkp__basis_plan(
    tkp__basis *basis,
    const tkp__features *features,
    uint64_t seed,
    uint64_t *ops_bytes);
void tkp__basis_release(tkp__basis *basis);
/* Groups of consecutive candidates, group g from ends[g] to ends[g + 1]. */
void tkp__basis_bind(
    const tkp__basis *basis,
    const tkp__batch *batch,
    const int32_t *ends,
    int32_t groups);
/* keep[g] candidates of each group, in the order they were found, to `list`;
 * list_ends are the prefix sums of keep. */
tkp_status tkp__basis_run(
    const tkp__basis *basis,
    tkp_exec *exec,
    const tkp_tensor *x,
    const tkp_tensor *rows,
    const int32_t *ends,
    int32_t groups,
    const int32_t *keep,
    const int32_t *list_ends,
    int32_t *list,
    void *ops_workspace,
    uint64_t ops_bytes);

#endif
