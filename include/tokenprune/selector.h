#ifndef TOKENPRUNE_SELECTOR_H
#define TOKENPRUNE_SELECTOR_H

#include "tokenprune/budget.h"
#include "tokenprune/scorer.h"

TKP_BEGIN_DECLS

/*
 * A selector turns scores and a budget into kept candidates. How many are kept
 * is known before anything runs (tkp_selector_count); which, only after. Kinds
 * that are called adaptive let the data decide how many, if the budget is ALL;
 * then the count is the most there may be. With a budget they are exact, too.
 */

typedef struct tkp_selector tkp_selector;

enum tkp_selector_kind {
    TKP_SELECTOR_ALL = 0,    /* keep everything */
    TKP_SELECTOR_TOPK = 1,   /* the best of the sequence (or image: budget) */
    TKP_SELECTOR_WINDOW = 2, /* the best of each window */
    TKP_SELECTOR_WINDOW_RANK = 3, /* whole windows, best mean score first; the
                                     last one may be cut short */
    TKP_SELECTOR_RANDOM = 4,  /* uniform subset; with a window: stratified */
    TKP_SELECTOR_CUSTOM = 5,  /* tkp_selector_vtable */
    TKP_SELECTOR_CHAIN = 6,   /* one selector after the other, each on what is
                                 left (tkp_chain_part) */
    TKP_SELECTOR_STRIDE = 7,  /* every floor(M / K)-th of M, from the first */
    TKP_SELECTOR_UNIFORM = 8, /* an even lattice over each image */
    /* Greedy: one after the other, each the best given those before. They
     * compare features. */
    TKP_SELECTOR_DIVERSE = 9, /* farthest from its nearest chosen one */
    TKP_SELECTOR_MMR = 10,   /* score less likeness to the nearest chosen one */
    TKP_SELECTOR_COVER = 11, /* covers most of what nobody covers yet */
    TKP_SELECTOR_DPP = 12,   /* lets a kernel's determinant grow most */
    TKP_SELECTOR_TRI = 13,   /* score, distance and coverage */
    TKP_SELECTOR_PIVOTS = 14, /* tokens least like a few pivots */
    TKP_SELECTOR_PARITY = 15, /* duplicates go, half against half */
    /* Parts by principal component; in each, the best silence what is like
     * them; a quota for each (PruneSID). */
    TKP_SELECTOR_NMS_GROUPS = 16,
    /* The best of each group; how many follows from the groups' weights. */
    TKP_SELECTOR_QUOTA = 19,
    /* Peaks of density; compares features. */
    TKP_SELECTOR_DENSITY = 17,
    TKP_SELECTOR_THRESHOLD = 18, /* scores of at least `threshold`: adaptive;
                                    with a budget: the best, as topk */
    /* Every second token may go, half of a group at most: those that are most
     * like one of the others, by cosine (ToMe); compares features. */
    TKP_SELECTOR_BIPARTITE = 21,
    /* Scores that stand out: the data decide how many (PruMerge). */
    TKP_SELECTOR_OUTLIERS = 20,
    /* Windows of tokens that are alike, by the mean cosine of their pairs, keep
     * their first token: from `threshold` on, adaptive; with a budget, the most
     * alike first, of the last one as many tokens as it takes (MustDrop's first
     * stage). */
    TKP_SELECTOR_FOLD = 28,
    /* The same of a video, in some frames of each segment of like ones. */
    TKP_SELECTOR_ANCHORS = 24,
    /* Dynamic tokens of each frame by score, and peaks of density of those that
     * only repeat in a window of frames, one for all of them. */
    TKP_SELECTOR_STATIC = 25,
    /* Centres of clusters no wider than a distance, among the best by score: the
     * data decide how many (PACT); compares features. */
    TKP_SELECTOR_CLUSTERS = 26,
    /* Prompts name tokens, each as many, the rest comes by score (LiteLVLM);
     * compares features with text. */
    TKP_SELECTOR_NOMINATE = 29
};

/* Cover: what the scores are. */
enum tkp_cover_weight {
    TKP_COVER_FACTOR = 0, /* a factor of the gain of who covers */
    TKP_COVER_DEMAND = 1, /* how much of a token there is to cover */
    TKP_COVER_ADD = 2,    /* added to the gain */
    TKP_COVER_NONE = 3    /* not asked for */
};

/* NMS groups: what tokens are ranked by. */
enum tkp_nms_rank {
    TKP_NMS_SCORES = 0,
    TKP_NMS_STRENGTH = 1 /* how much of its component is in a token */
};

/* NMS groups: silenced is what is more like a better one than this many times
 * the mean likeness of all pairs. K is what is kept of N. */
enum tkp_nms_limit {
    TKP_NMS_LIMIT_COUNT = 0, /* K / 32 */
    TKP_NMS_LIMIT_SHARE = 1  /* 18 K / N, at least 1 */
};

/* How many tokens a part of a chain keeps of a group (a sequence, or an image
 * or frame where the budget's scope says so); K is what the group keeps beside the
 * tokens that are protected. Never more than earlier parts left of K. */
enum tkp_chain_amount {
    TKP_CHAIN_REST = 0,  /* all that is left: the last part, and only that */
    TKP_CHAIN_SHARE = 1, /* floor(K share_num / share_den) */
    TKP_CHAIN_COUNT = 2,
    TKP_CHAIN_ALL_BUT = 3,       /* all but `count` of K */
    TKP_CHAIN_ALL_BUT_SHARE = 4, /* all but floor(K share_num / share_den) */
    TKP_CHAIN_MORE = 5 /* beside K: floor(share pool) + 1 of what is left, as
                              long as anything is, and K is not 0; last parts
                              alone, and the one before them takes the REST */
};

#define TKP_CHAIN_MAX_PARTS 4

struct tkp_selector_options;

/* In which order a part of a chain gets its pool. */
enum tkp_pool_order {
    TKP_POOL_BY_CANDIDATE = 0, /* ascending */
    TKP_POOL_BY_SCORE = 1      /* best first */
};

/**
 * A part of a chain. Kinds: topk, random, stride, diverse, mmr, cover, dpp, tri,
 * parity and density; in the first part also window, window-rank, uniform, pivots and
 * random that is stratified. A quota is refused.
 *
 * A later part may choose from a pool: of the m that are left, the best by the
 * stage's scores, the least of pool_count, pool_factor times what the part
 * keeps, and floor(m pool_num / pool_den) + 1; never fewer than it keeps.
 */
typedef struct tkp_chain_part {
    int32_t amount; /* enum tkp_chain_amount */
    int32_t reserved;
    int64_t share_num, share_den; /* 0 <= share_num <= share_den */
    int64_t count;
    const struct tkp_selector_options *selector;
    int64_t pool_num, pool_den; /* both 0 = 1 / 1: all */
    int32_t pool_count;         /* 0 = all */
    int32_t pool_factor;        /* 0 = all */
    int32_t pool_order;         /* enum tkp_pool_order */
    int32_t reserved2;
} tkp_chain_part;

/* Which token of a window stands for it. */
enum tkp_pick {
    TKP_PICK_SCORE = 0, /* the best score */
    TKP_PICK_CENTRE = 1,
    TKP_PICK_FIRST = 2
};

typedef struct tkp_selector_options {
    uint32_t struct_size;
    int32_t kind;  /* enum tkp_selector_kind */
    int32_t order; /* enum tkp_order */
    int32_t pick;  /* window: enum tkp_pick; not SCORE: one a window */
    int32_t
        window_rows; /* window, random, fold: cells; both 0 = the budget decides:
                            square windows if some size gives exactly that many
                            windows, else a grid of the budget's own shape */
    int32_t window_cols;
    int32_t quota;      /* window: tokens of each window; 0 = the budget,
                            shared out by largest remainder over areas */
    int32_t stratified; /* random: 1 = one draw a window */
    uint64_t seed;      /* random */
    const char *custom; /* custom: registered name; copied */
    int32_t feature;    /* kinds that compare tokens: enum tkp_feature */
    int32_t together; /* fold without a budget: 1 = every unit of the scope, of
                         the whole batch, folds as many windows as the one with
                         the fewest */
    /* Greedy kinds; sys/op.h has the formulas. */
    int32_t start;          /* diverse, mmr: enum tkp_greedy_start */
    int32_t measure;        /* diverse: enum tkp_greedy_measure */
    int32_t weighted;       /* diverse: 1 = distances times scores */
    int32_t kernel;         /* cover: enum tkp_greedy_kernel */
    int32_t weight;         /* cover: enum tkp_cover_weight */
    int32_t determinant;    /* dpp: enum tkp_greedy_dpp_kernel */
    int32_t min_max;        /* tri: 1 = terms are min-max scaled, not meaned */
    float alpha;            /* tri: of the distance; 0 = 0.5 */
    float lambda;           /* mmr: of the score, tri: of coverage; 0 = 0.5 */
    float theta;            /* dpp: exp and mix */
    float power;            /* cover: of a factor; 0 = 1 */
    float scale;            /* cover: of the matrix; 0 = 1 */
    float temperature;      /* cover: softmax; 0 = 0.2 */
    int32_t text;           /* cover: 1 = rows of text are covered, too */
    float text_temperature; /* cover: of their softmax; 0 = 0.02 */
    /* Pivots. */
    int32_t pivot_feature; /* whose L1 norm makes a pivot */
    int32_t pivots_visual; /* visual tokens; 0 = 4, -1 = none */
    int32_t pivots_text;   /* tokens of the guiding text; as above */
    int32_t per_pivot;     /* tokens each takes; 0 = budget / pivots */
    int32_t crops; /* quota: each of `groups` is cut into so many runs of equal
                      size, which are the groups then; 0 = 1 */
    /* Chain. */
    int32_t n_parts; /* 1 to TKP_CHAIN_MAX_PARTS */
    int32_t even; /* window of a size, in the first part: 1 = each window keeps
                     the same, floor(tokens / windows) or all it has; what does
                     not come out even is later parts' */
    const tkp_chain_part *parts; /* copied deep */
    int32_t neighbours;          /* density: 0 = as many as a group keeps;
                                    anchors: 0 = 4; static: 0 = 7 */
    int32_t others; /* density: 1 = a token is no neighbour of its own */
    /* NMS groups. */
    int32_t rank;        /* enum tkp_nms_rank */
    int32_t limit;       /* enum tkp_nms_limit */
    int32_t components;  /* parts of a group; 0 = K / 4 */
    int32_t class_token; /* 1 = the class token counts as one of K; bipartite:
                            it stands before the first, so that one is dealt
                            to those who stay */
    int32_t plain;       /* 1 = components of the feature as it is; 0 = of its
                            logistic function */
    float threshold;     /* threshold: of the score; 0 = 1; static: cosine from
                            which a token repeats the one before; 0 = 0.8; fold:
                            0 = 0.8; clusters: 1 - cosine, up to which a token
                            belongs to a centre; 0 = 0.2 */
    /* Quota: a set (sequence, or what the budget's scope says) keeps exactly its
     * budget, shared out over its groups; sys/op.h, QUOTA and RECONCILE. */
    const tkp_scorer_options *weigh; /* copied deep */
    int32_t
        groups;   /* enum tkp_budget_scope; 0 = FRAME. Greedy kinds: what has a
                       budget shares it out over these by their scores, and each
                       is chosen from by itself; 0 = no shares */
    int32_t rule; /* enum tkp_quota_rule */
    int32_t reduce; /* over a group's weights: MEAN (quota: = 0), SUM (greedy
                       kinds: = 0) or MAX */
    int32_t lowest; /* 1: the lower the weight, the more */
    int32_t least;  /* tokens of each group */
    float base;     /* SOFT; 0 = the budget's share */
    const tkp_scorer_options *scorer; /* kinds that take scores: its own, in
                                         place of those it is given; NULL =
                                         none; copied deep */
    /* Anchors. */
    float cut;        /* frames whose means have a smaller cosine are of two
                         segments; 0 = 0.9 */
    int32_t segments; /* at least so many, cut where frames are least alike;
                         0 = 8 */
    int32_t stride;   /* every so-manyth frame of a segment, from its end, has
                         anchors; 0 = 4 */
    int32_t step;     /* parity: that go in a round; 0 = 8 */
    /* Outliers. Without a budget the data decide how many. */
    int32_t uniform; /* 1 = and every so many-th token */
    int32_t spare;   /* 1 = and the best that is left, as part 1 */
    /* Clusters: the share of a group, best first, that is clustered, rounded
     * down, one token at least; 0 / 0 = 1 / 1. */
    int64_t share_num, share_den;
    int32_t compat; /* quota, greedy kinds with groups: enum tkp_compat.
                       OFFICIAL: as GlobalCom2's code (rule TILT) or EADP's
                       (LARGEST_REMAINDER) counts, so without a budget the data
                       decide how many */
    int32_t prefer; /* nominate: enum tkp_prefer */
} tkp_selector_options;

#define TKP_SELECTOR_OPTIONS_INIT                                              \
    {                                                                          \
        (uint32_t)sizeof(tkp_selector_options), 0, 0, 0, 0, 0, 0, 0, 0, NULL,  \
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0,  \
            0.0f, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0.0f, NULL,  \
            0, 0, 0, 0, 0, 0.0f, NULL, 0.0f, 0, 0, 0, 0, 0, 0, 0, 0, 0         \
    }
TKP_API void tkp_selector_options_init(tkp_selector_options *options);

TKP_API TKP_NODISCARD tkp_status tkp_selector_create(
    tkp_selector **out,
    tkp_context *context,
    const tkp_selector_options *options,
    const tkp_budget *budget,
    tkp_layout *layout);
/**
 * The same for kinds that look at more than scores (tkp_selector_needs), or
 * have a scorer of their own.
 * @param[in] model  Shapes and dtype of the inputs; fields that the kind does
 *                   not need may be 0.
 */
TKP_API TKP_NODISCARD tkp_status tkp_selector_create_for(
    tkp_selector **out,
    tkp_context *context,
    const tkp_selector_options *options,
    const tkp_budget *budget,
    tkp_layout *layout,
    const tkp_model_desc *model);
TKP_API void tkp_selector_destroy(tkp_selector *selector);

/** enum tkp_need bits that the selector must be given, beside scores. */
TKP_API uint32_t tkp_selector_needs(const tkp_selector *selector);

TKP_API TKP_NODISCARD tkp_status tkp_selector_query(
    const tkp_selector *selector,
    tkp_requirements *requirements);

/** Tokens kept of a sequence (protected ones included), or the most there may be
 * where the data decide; -1 outside. */
TKP_API int64_t
tkp_selector_count(const tkp_selector *selector, int32_t sequence);

/**
 * @param[in]  scores   [N] f32; NULL for kinds that need none
 * @param[out] indices  [K] i32 candidate numbers, ascending within each
 *                      sequence; K = sum of tkp_selector_count
 * @param[out] offsets  [B + 1] i32 where each sequence's begin; may be NULL.
 *                      Where the data decide, entries of `indices` behind
 *                      offsets[B] mean nothing
 * @retval TKP_ERR_DATA every score of a group is NaN
 */
TKP_API TKP_NODISCARD tkp_status tkp_selector_run(
    const tkp_selector *selector,
    tkp_exec *exec,
    const tkp_tensor *scores,
    const tkp_tensor *indices,
    const tkp_tensor *offsets);

/**
 * The same with inputs, for kinds that compare tokens.
 * @param[in]  inputs  what tkp_selector_needs() says; NULL if that is 0
 * @param[out] roles   [K] i32 the part of a chain that chose each token, 0 for
 *                     the first and for other kinds; may be NULL
 * @param[out] pools   [N] i32 bit p is set where part p could have chosen the
 *                     candidate, 1 for other kinds; may be NULL
 */
TKP_API TKP_NODISCARD tkp_status tkp_selector_run_on(
    const tkp_selector *selector,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    const tkp_tensor *scores,
    const tkp_tensor *indices,
    const tkp_tensor *offsets,
    const tkp_tensor *roles,
    const tkp_tensor *pools);

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
    const char *name,
    const tkp_selector_vtable *vtable,
    void *user);
TKP_API TKP_NODISCARD tkp_status tkp_selector_unregister(const char *name);

TKP_END_DECLS

#endif
