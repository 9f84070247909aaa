#ifndef TOKENPRUNE_MERGER_H
#define TOKENPRUNE_MERGER_H

#include "tokenprune/selector.h"

TKP_BEGIN_DECLS

/*
 * A merger says where the content of dropped tokens goes. It replaces the rows
 * of kept tokens by new ones; which tokens are kept, and where they stand, is
 * the selector's.
 */

typedef struct tkp_merger tkp_merger;

enum tkp_merger_kind {
    TKP_MERGER_NONE = 0,           /* nowhere: kept rows stay as they are */
    TKP_MERGER_WINDOW_AVERAGE = 1, /* a kept row becomes its window's mean */
    TKP_MERGER_WINDOW_MAX = 2,     /* ... channel-wise maximum */
    TKP_MERGER_CUSTOM = 3,         /* tkp_merger_vtable */
    TKP_MERGER_NEAREST = 4,   /* a dropped token joins the kept one it is most
                              like: of its sequence; of its image, where the
                              budget is an image's */
    TKP_MERGER_BIPARTITE = 8, /* a dropped token joins the one that the
                                bipartite selector found it to be most like; a
                                mean in which each counts as the tokens that it
                                stands for already */
    /* Those two weigh rows by the scores: */
    TKP_MERGER_BAG = 6, /* one kept token becomes all that was dropped */
    TKP_MERGER_KNN = 7, /* a kept one takes in the dropped ones most like it */
    TKP_MERGER_FOLD = 12, /* what the selector `fold` took out of a window joins
                            the first token of it, in a mean */
    TKP_MERGER_CHAIN = 9, /* runs of like tokens in the same cell of frame after
                                frame: a dropped one joins the latest kept one
                                before it in its run */
    TKP_MERGER_STATIC =
        10, /* what only repeats in a window of frames is averaged,
                               and what was dropped of that joins what is nearest
                               to it */
    TKP_MERGER_ANCHORS = 13 /* what the first part of a chain did not keep joins
                               anchors, which later parts keep: in each frame of
                               its segment that has any, the one it is like */
};

typedef struct tkp_merger_options {
    uint32_t struct_size;
    int32_t kind;             /* enum tkp_merger_kind */
    int32_t adaptive_overlap; /* window grids of the budget's own shape: 1 =
                                 bins may overlap, floor(i h / h') to
                                 ceil((i + 1) h / h'), as adaptive pooling
                                 does; 0 = the disjoint windows */
    int32_t reserved;
    const char *custom; /* custom: registered name; copied */
    /* Nearest; sys/op.h has the formulas. */
    int32_t feature; /* what is compared: enum tkp_feature */
    int32_t measure; /* enum tkp_greedy_measure */
    int32_t rule;    /* enum tkp_merge_rule */
    float anchor;    /* mean: how often the kept row counts; 0 = 1 */
    float beta;      /* blend: share of the kept row; anchors: the least, it
                        is 1 / (1 + how many join) if that is more */
    int32_t reserved2;
    /* Nearest: kept tokens of this part of a chain are joined by none; their
     * rows become those of the basis: as many tokens as that part keeps of the
     * group, the farthest points from the longest row on (squared Euclidean
     * distance of the feature), in the order of candidates. 0 = none. */
    int32_t replace;
    float replace_share; /* of the basis's row, the rest is the own; 0 = 1 */
    uint64_t seed;       /* of the basis: 0 = from the longest row on, else from
                            one drawn by this seed */
    float threshold; /* chain: cosine from which a token goes on what is before
                        it; 0 = 0.6; static: the same; 0 = 0.8 */
    int32_t
        into;  /* nearest: only tokens of this part of a chain are joined, and
                     only by those of its pool; the rest goes nowhere. 0 = every
                     part */
    float cut; /* anchors: as the selector's */
    int32_t segments;   /* anchors: as the selector's */
    int32_t neighbours; /* knn: that each takes in; 0 = 32 */
    int32_t bag;  /* knn, bag: the first token of this part of a chain, in each
                    group, is the sum of what was dropped, itself included; its
                    part's others stay as they are. 0 = none; bag: 1 */
    float within; /* nearest: who is farther than this from what it is most like
                     goes nowhere: 1 - cosine, or the distance; 0 = no limit */
    int32_t proportional; /* 1: from here on a row counts as many times as it
                             stands for tokens: key_bias of tkp_decision */
} tkp_merger_options;

#define TKP_MERGER_OPTIONS_INIT                                                \
    {                                                                          \
        (uint32_t)sizeof(tkp_merger_options), 0, 0, 0, NULL, 0, 0, 0, 0.0f,    \
            0.0f, 0, 0, 0.0f, 0, 0.0f, 0, 0.0f, 0, 0, 0, 0.0f, 0               \
    }
TKP_API void tkp_merger_options_init(tkp_merger_options *options);

/**
 * Window mergers use the windows of the selector, which must keep one token of
 * each; the bipartite one takes what is compared from a bipartite selector
 * (TKP_ERR_OPTION otherwise). A reference on the selector is kept.
 */
TKP_API TKP_NODISCARD tkp_status tkp_merger_create(
    tkp_merger **out,
    tkp_context *context,
    const tkp_merger_options *options,
    tkp_selector *selector,
    const tkp_model_desc *model);
TKP_API void tkp_merger_destroy(tkp_merger *merger);

TKP_API TKP_NODISCARD tkp_status
tkp_merger_query(const tkp_merger *merger, tkp_requirements *requirements);

/**
 * @param[in]  inputs  hidden [R, D]
 * @param[in]  kept    [K] i32 as tkp_selector_run() gave them; where the data
 *                     decide, only what was kept
 * @param[out] rows    [K, D] dtype of hidden: the new row of each kept token
 * @param[out] sizes   [K] f32 tokens of the batch each stands for; may be NULL
 * @param[out] assignment [N] i32 entry of `kept` each candidate went to, -1 =
 *                     nowhere; may be NULL. Where windows overlap: the one
 *                     whose disjoint part holds it.
 */
TKP_API TKP_NODISCARD tkp_status tkp_merger_run(
    const tkp_merger *merger,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    const tkp_tensor *kept,
    const tkp_tensor *rows,
    const tkp_tensor *sizes,
    const tkp_tensor *assignment);

typedef struct tkp_merger_vtable {
    uint32_t struct_size;
    uint32_t needs; /* enum tkp_need beside HIDDEN */
    /* As tkp_merger_run(); sizes and assignment are never NULL. */
    tkp_status (*run)(
        void *user,
        const tkp_batch_view *view,
        const tkp_inputs *inputs,
        const tkp_tensor *kept,
        tkp_exec *exec,
        const tkp_tensor *rows,
        const tkp_tensor *sizes,
        const tkp_tensor *assignment);
    void (*release)(void *user);
} tkp_merger_vtable;

TKP_API TKP_NODISCARD tkp_status tkp_merger_register(
    const char *name,
    const tkp_merger_vtable *vtable,
    void *user);
TKP_API TKP_NODISCARD tkp_status tkp_merger_unregister(const char *name);

TKP_END_DECLS

#endif
