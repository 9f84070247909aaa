#ifndef TKP_SCORER_RATERS_H
#define TKP_SCORER_RATERS_H

/*
 * The query rows whose words the visual tokens are most like, as they entered
 * the decoder: found anew when scores are computed, out of all rows of the text
 * that guides.
 */

#include "scorer/scorer.h"

tkp_status tkp__raters_plan(tkp__leaf *leaf, int32_t slot, int32_t at);
/* What counts of the query rows, in the leaf's workspace. */
typedef struct tkp__raters {
    int32_t count;
    int32_t *pick;      /* [count] entries of the leaf's query rows */
    int32_t *rows;      /* [count] their rows in the batch */
    int32_t *positions; /* [count] in their sequences */
    int32_t *offsets;   /* [B + 1] */
} tkp__raters;
tkp_status tkp__raters_run(
    const tkp__leaf *leaf,
    int32_t slot,
    int32_t at,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    void *workspace,
    tkp__raters *out);
void tkp__raters_release(tkp__leaf *leaf);

#endif
