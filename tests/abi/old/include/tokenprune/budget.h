#ifndef TOKENPRUNE_BUDGET_H
#define TOKENPRUNE_BUDGET_H

#include <stdint.h>

#include "tokenprune/status.h"

TKP_BEGIN_DECLS

/*
 * How many visual tokens stay. Always whole numbers: a count, or a rational
 * a / b of the tokens with an explicit rounding. What the number means is its
 * label: RETAIN counts the tokens in every layer after the cut; EQUIV_IN the
 * mean over all layers of the tokens each processes; EQUIV_OUT the mean of the
 * tokens that leave each layer (what some papers print).
 */

enum tkp_budget_kind {
    TKP_BUDGET_ALL = 0, /* keep everything */
    TKP_BUDGET_COUNT = 1,
    TKP_BUDGET_RATIO = 2,
    /* share of the visual *patches* to remove in all, when training already
     * merged tokens (2 x 2 merger: trained compression 4) */
    TKP_BUDGET_TOTAL_REDUCTION = 3
};

enum tkp_budget_label {
    TKP_LABEL_RETAIN = 0,
    TKP_LABEL_EQUIV_IN = 1,
    TKP_LABEL_EQUIV_OUT = 2
};

enum tkp_rounding {
    TKP_ROUND_NEAREST = 0, /* half to even */
    TKP_ROUND_FLOOR = 1,
    TKP_ROUND_CEIL = 2
};

enum tkp_budget_scope {
    TKP_SCOPE_SEQUENCE = 0, /* one budget over all images of a sequence */
    TKP_SCOPE_IMAGE = 1     /* the budget for each image apart */
};

enum tkp_training_mode {
    TKP_TRAINING_COMPOSED = 0, /* keep min(1, tacr (1 - reduction)) */
    TKP_TRAINING_LITERAL = 1   /* remove reduction / tacr */
};

typedef struct tkp_budget {
    uint32_t struct_size;
    int32_t kind;     /* enum tkp_budget_kind */
    int64_t count;    /* COUNT: tokens, >= 0 */
    int64_t ratio_num; /* RATIO: kept share; TOTAL_REDUCTION: removed share */
    int64_t ratio_den; /* >= 1 */
    int64_t min_keep;  /* clamp from below (never above what is there) */
    int32_t rounding; /* enum tkp_rounding */
    int32_t label;    /* enum tkp_budget_label */
    int32_t scope;    /* enum tkp_budget_scope */
    int32_t training_mode; /* TOTAL_REDUCTION: enum tkp_training_mode */
    int64_t tacr_num; /* TOTAL_REDUCTION: compression done in training; 0 = 1 */
    int64_t tacr_den;
} tkp_budget;

#define TKP_BUDGET_INIT                                                        \
    {                                                                          \
        (uint32_t)sizeof(tkp_budget), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0          \
    }
TKP_API void tkp_budget_init(tkp_budget *budget);

/**
 * Tokens kept of n by a cut before layer `boundary` of `layers`, by a budget
 * with any label. Exact integer arithmetic.
 *
 * @param[out] keep_out  0..n
 * @retval TKP_ERR_OPTION  the budget is out of range: count above n, ratio
 *         outside [0, 1], an EQUIV budget that even k = 0 exceeds
 */
TKP_API TKP_NODISCARD tkp_status tkp_budget_resolve(
    const tkp_budget *budget,
    int64_t n,
    int32_t boundary,
    int32_t layers,
    int64_t *keep_out);

/**
 * Share `total` out over `n` parts in proportion to `weight`, no part above
 * its `limit`: largest remainder, ties to the lower index, excess
 * redistributed. sum(limit) >= total.
 * @param[out] share [n]
 */
TKP_API TKP_NODISCARD tkp_status tkp_apportion(
    int64_t total,
    int64_t n,
    const int64_t *weight,
    const int64_t *limit,
    int64_t *share);

TKP_END_DECLS

#endif
