#ifndef TKP_BUDGET_BUDGET_H
#define TKP_BUDGET_BUDGET_H

#include "tokenprune/budget.h"
#include "util/apportion.h"
#include "util/util.h"

/* Copy with the struct_size rule, checking every field. */
tkp_status
tkp__budget_copy(tkp_budget *out, const tkp_budget *in, const char *name);

static inline bool tkp__scope_known(int32_t scope)
{
    return scope == TKP_SCOPE_SEQUENCE || scope == TKP_SCOPE_IMAGE ||
           scope == TKP_SCOPE_FRAME || scope == TKP_SCOPE_TILE;
}

/* `least`: what at_least stands for here, a clamp from below. */
tkp_status tkp__budget_resolve(
    const tkp_budget *budget,
    int64_t n,
    int64_t least,
    int32_t boundary,
    int32_t layers,
    int64_t *keep_out);

/* The same of kind RANK, for `rank` directions of n tokens. */
int64_t tkp__budget_of_rank(const tkp_budget *budget, int64_t n, int32_t rank);

/* Round num / den (num >= 0, den > 0) to a whole number. */
int64_t tkp__round_rational(__int128 num, __int128 den, int32_t rounding);

#endif
