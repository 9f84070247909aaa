#ifndef TOKENPRUNE_SELECTOR_H
#define TOKENPRUNE_SELECTOR_H

#include "tokenprune/budget.h"
#include "tokenprune/scorer.h"

TKP_BEGIN_DECLS

/*
 * A selector turns scores and a budget into kept candidates. How many are kept
 * is known before anything runs (tkp_selector_count); which, only after.
 */

typedef struct tkp_selector tkp_selector;

enum tkp_selector_kind {
    TKP_SELECTOR_ALL = 0,    /* keep everything */
    TKP_SELECTOR_TOPK = 1,   /* the best of the sequence (or image: budget) */
    TKP_SELECTOR_WINDOW = 2, /* the best of each window */
    TKP_SELECTOR_WINDOW_RANK = 3, /* whole windows, best mean score first; the
                                     last one may be cut short */
    TKP_SELECTOR_RANDOM = 4, /* uniform subset; with a window: stratified */
    TKP_SELECTOR_CUSTOM = 5  /* tkp_selector_vtable */
};

/* Which token of a window stands for it. */
enum tkp_pick {
    TKP_PICK_SCORE = 0, /* the best score */
    TKP_PICK_CENTRE = 1,
    TKP_PICK_FIRST = 2
};

typedef struct tkp_selector_options {
    uint32_t struct_size;
    int32_t kind;        /* enum tkp_selector_kind */
    int32_t order;       /* enum tkp_order */
    int32_t pick;        /* window: enum tkp_pick; not SCORE: one a window */
    int32_t window_rows; /* window, random: cells; both 0 = the budget decides:
                            square windows if some size gives exactly that many
                            windows, else a grid of the budget's own shape */
    int32_t window_cols;
    int32_t quota;       /* window: tokens of each window; 0 = the budget,
                            shared out by largest remainder over areas */
    int32_t stratified;  /* random: 1 = one draw a window */
    uint64_t seed;       /* random */
    const char *custom;  /* custom: registered name; copied */
} tkp_selector_options;

#define TKP_SELECTOR_OPTIONS_INIT                                              \
    {                                                                          \
        (uint32_t)sizeof(tkp_selector_options), 0, 0, 0, 0, 0, 0, 0, 0, NULL   \
    }
TKP_API void tkp_selector_options_init(tkp_selector_options *options);

TKP_API TKP_NODISCARD tkp_status tkp_selector_create(
    tkp_selector **out,
    tkp_context *context,
    const tkp_selector_options *options,
    const tkp_budget *budget,
    tkp_layout *layout);
TKP_API void tkp_selector_destroy(tkp_selector *selector);

TKP_API TKP_NODISCARD tkp_status tkp_selector_query(
    const tkp_selector *selector, tkp_requirements *requirements);

/** Tokens kept of a sequence (protected ones included); -1 outside. */
TKP_API int64_t
tkp_selector_count(const tkp_selector *selector, int32_t sequence);

/**
 * @param[in]  scores   [N] f32; NULL for kinds that need none
 * @param[out] indices  [K] i32 candidate numbers, ascending within each
 *                      sequence; K = sum of tkp_selector_count
 * @param[out] offsets  [B + 1] i32 where each sequence's begin; may be NULL
 * @retval TKP_ERR_DATA every score of a group is NaN
 */
TKP_API TKP_NODISCARD tkp_status tkp_selector_run(
    const tkp_selector *selector,
    tkp_exec *exec,
    const tkp_tensor *scores,
    const tkp_tensor *indices,
    const tkp_tensor *offsets);

typedef struct tkp_selector_vtable {
    uint32_t struct_size;
    uint32_t needs_scores; /* 1: scores is given */
    /* Write keep[b] candidate numbers of each sequence b, in any order, at
     * selected[keep_offsets[b]..keep_offsets[b + 1]). */
    tkp_status (*run)(
        void *user,
        const tkp_batch_view *view,
        const tkp_tensor *scores,
        const int32_t *keep_offsets,
        tkp_exec *exec,
        const tkp_tensor *selected);
    void (*release)(void *user);
} tkp_selector_vtable;

TKP_API TKP_NODISCARD tkp_status tkp_selector_register(
    const char *name, const tkp_selector_vtable *vtable, void *user);
TKP_API TKP_NODISCARD tkp_status tkp_selector_unregister(const char *name);

TKP_END_DECLS

#endif
