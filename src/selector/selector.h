#ifndef TKP_SELECTOR_SELECTOR_H
#define TKP_SELECTOR_SELECTOR_H

/*
 * A selector cuts the candidates into groups (a sequence, an image, a window),
 * gives each group its share of the budget, and keeps that many of each.
 */

#include "budget/budget.h"
#include "core/core.h"
#include "features/features.h"
#include "layout/layout.h"
#include "scorer/scorer.h"
#include "tokenprune/selector.h"

/* Options with every rule checked; `custom` points into the struct. */
typedef struct tkp__selector_spec {
    tkp_selector_options options;
    char custom[64];
    tkp_chain_part parts[TKP_CHAIN_MAX_PARTS]; /* `selector` leads to */
    tkp_selector_options part_selectors[TKP_CHAIN_MAX_PARTS];
    tkp__scorer_spec weigh;  /* quota */
    tkp__scorer_spec scorer; /* its own, where options.scorer is not NULL */
    tkp__scorer_spec part_scorers[TKP_CHAIN_MAX_PARTS]; /* likewise */
} tkp__selector_spec;
tkp_status tkp__selector_spec_copy(
    tkp__selector_spec *out,
    const tkp_selector_options *in);
void tkp__selector_spec_relink(tkp__selector_spec *spec);
/* Part p of a chain as a selector by itself. */
void tkp__selector_spec_part(
    tkp__selector_spec *out,
    const tkp__selector_spec *chain,
    int32_t p);
/* What the last parts of a chain keep beside a budget of `keep` of `size` tokens
 * that nobody protects; 0 for other kinds. */
int64_t
tkp__chain_more(const tkp__selector_spec *spec, int64_t keep, int64_t size);
/* Whether a part may choose from less than what is left. */
static inline bool tkp__chain_has_pool(const tkp_chain_part *part)
{
    return part->pool_count || part->pool_factor ||
           part->pool_num < part->pool_den;
}
/* Whether its kind looks at scores, from wherever they come. */
bool tkp__selector_takes_scores(const tkp__selector_spec *spec);
/* A greedy kind that shares its budget out over groups, by the scores. */
static inline bool tkp__selector_shares(const tkp_selector_options *o)
{
    return o->groups && o->kind >= TKP_SELECTOR_DIVERSE &&
           o->kind <= TKP_SELECTOR_TRI;
}
/* Whether it must be given some: it has no scorer of its own. */
bool tkp__selector_needs_scores(const tkp__selector_spec *spec);
/* Whether the data decide how many are kept. */
bool tkp__selector_is_adaptive(
    const tkp__selector_spec *spec,
    const tkp_budget *budget);
/* enum tkp_need bits beside its scorer's. */
uint32_t tkp__selector_spec_needs(const tkp__selector_spec *spec);

/* Groups in CSR form; room for as many as there are candidates. Within a
 * sequence windows come image by image, row-major. */
typedef struct tkp__groups {
    int32_t count;         /* M groups; none is empty */
    int32_t members;       /* entries of `member` */
    int32_t kept;          /* sum of keep */
    int32_t *offsets;      /* [M + 1] */
    int32_t *member;       /* candidate numbers */
    int32_t *keep;         /* [M] */
    int32_t *kept_offsets; /* [M + 1] */
    int32_t *stream;       /* [M, 2] sequence id, group's number in sequence */
    int32_t *first;        /* [B + 1] groups of each sequence */
    int32_t *of;           /* [N] group of each candidate; -1 = protected */
} tkp__groups;

/* The window grid of one image. Disjoint windows: window line of grid line y
 * of h is y / size where size is given, else ((y + 1) lines - 1) / h. */
typedef struct tkp__window_grid {
    int32_t lines, columns; /* windows a frame */
    int32_t height, width;  /* cells of a window; 0 = grid of own shape */
} tkp__window_grid;

/* What a kind chooses from. */
typedef struct tkp__selection {
    const tkp_inputs *inputs;
    const tkp_tensor *scores; /* [N] f32; NULL where the kind asks for none */
    const int32_t *member;    /* candidates, group after group */
    int32_t
        *counts; /* adaptive: how many of each group were kept, to be written
                        by the kind; else NULL */
} tkp__selection;

typedef struct tkp__selector_kind {
    bool scores;    /* asks for them */
    bool ascending; /* chooses in order within a group */
    bool adaptive;  /* without a budget the data decide how many are kept */
    /* Make plans, book workspace, allocate. */
    tkp_status (*plan)(tkp_selector *s, tkp_ledger *ledger);
    /* Tables for the groups there are now; may be NULL. */
    tkp_status (*bind)(tkp_selector *s);
    /* keep[g] candidates of each group, group after group, [groups.kept]; where
     * the data decide, counts[g] of each. */
    tkp_status (*run)(
        const tkp_selector *s,
        tkp_exec *exec,
        const tkp__selection *in,
        void *workspace,
        const tkp_tensor *dst);
    void (*release)(tkp_selector *s); /* of `state`; may be NULL */
    /* Scorers of the selectors inside; NULL: there are none. */
    int32_t (*scorers)(const tkp_selector *s, const tkp_scorer **out);
    /* Which part chose each of `selected`, and which could have chosen each
     * candidate, after run; NULL: there is one part. */
    void (*roles)(
        const tkp_selector *s,
        const int32_t *chosen, /* [groups.kept] as run wrote them */
        void *workspace,
        const tkp_tensor *selected,
        const tkp_tensor *roles,  /* or NULL */
        const tkp_tensor *pools); /* or NULL */
} tkp__selector_kind;

extern const tkp__selector_kind tkp__select_topk;
extern const tkp__selector_kind tkp__select_window;
extern const tkp__selector_kind tkp__select_rank;
extern const tkp__selector_kind tkp__select_random;
extern const tkp__selector_kind tkp__select_custom;
extern const tkp__selector_kind tkp__select_pivots;
extern const tkp__selector_kind tkp__select_chain;
extern const tkp__selector_kind tkp__select_stride;
extern const tkp__selector_kind tkp__select_threshold;
extern const tkp__selector_kind tkp__select_uniform;

/* NULL: keeps everything, or (see tkp__selector_kind_known) no kind at all. */
const tkp__selector_kind *tkp__selector_kind_of(int32_t kind);
bool tkp__selector_kind_known(int32_t kind);
extern const tkp__selector_kind tkp__select_diverse;
extern const tkp__selector_kind tkp__select_cover;
extern const tkp__selector_kind tkp__select_dpp;
extern const tkp__selector_kind tkp__select_tri;
extern const tkp__selector_kind tkp__select_parity;
extern const tkp__selector_kind tkp__select_density;
extern const tkp__selector_kind tkp__select_anchors;
extern const tkp__selector_kind tkp__select_static;
extern const tkp__selector_kind tkp__select_nms;
extern const tkp__selector_kind tkp__select_quota;
extern const tkp__selector_kind tkp__select_bipartite;
extern const tkp__selector_kind tkp__select_outliers;
extern const tkp__selector_kind tkp__select_fold;
extern const tkp__selector_kind tkp__select_clusters;
extern const tkp__selector_kind tkp__select_nominate;

enum { TKP__SELECTOR_OPS = 8 };

struct tkp_selector {
    atomic_int references;
    const tkp__selector_kind *kind; /* NULL: keeps everything */
    tkp_context *context;
    tkp__batch *own; /* stand-alone: the batch it was planned for */
    const tkp__batch *batch;
    tkp__selector_spec spec;
    tkp_selector_vtable custom;
    void *custom_user;
    bool has_custom;
    bool by_score; /* select_topk.c: best first, not ascending */
    bool adaptive; /* keep and kept are the most there may be */
    bool clamps;   /* counts above what is there mean all of it */
    bool has_model;
    bool has_features;
    tkp_model_desc model;
    tkp__features features;
    /* The kind's own. */
    void *state;
    tkp_op *ops[TKP__SELECTOR_OPS];
    uint64_t at[TKP__SELECTOR_OPS];
    /* Part of a chain: what each sequence (or image: budget) keeps, in place of
     * the budget's count. */
    const int64_t *allowance;
    tkp_budget budget;
    int32_t first_layer, layers; /* what the budget's label counts with */
    uint32_t salt;               /* of the random draws: the boundary */
    tkp__groups groups;
    tkp__groups windows;     /* WINDOW_RANK: the windows it ranks; QUOTA, greedy
                                kinds that share: groups of the sets that
                                `groups` are */
    tkp__window_grid *grids; /* [images] */
    int32_t kept;            /* K, protected ones included */
    int32_t *kept_offsets;   /* [B + 1] */
    int32_t protected_count;
    int32_t *protected_list; /* candidates always kept */
    int32_t *identity;       /* [N] 0, 1, 2 ... */
    int64_t *scratch[3];     /* [N + windows] weights, limits, shares */
    int32_t *cells;          /* scratch: counts by window */
    void *memory;
    tkp_op *topk, *sample, *pool, *broadcast, *unrank, *compact;
    tkp_scorer *scorer; /* its own, or NULL */
    uint64_t scorer_at, scores_at;
    uint64_t counts_at; /* adaptive: [groups] */
    uint64_t selected_at, means_at, spread_at, ranked_at, ops_at, ops_bytes;
    uint64_t workspace_bytes;
};

/* `model`: copied; NULL for kinds that look at scores alone. */
tkp_status tkp__selector_new(
    tkp_selector **out,
    tkp_context *context,
    const tkp__selector_spec *spec,
    const tkp_budget *budget,
    const tkp__batch *batch,
    const tkp_model_desc *model,
    int32_t first_layer,
    int32_t layers,
    uint32_t salt);
void tkp__selector_retain(tkp_selector *selector);
void tkp__selector_release(tkp_selector *selector);

/* Groups and counts for the batch as it is now; allocates nothing.
 * TKP_ERR_OPTION if the budget does not fit. */
tkp_status tkp__selector_bind(tkp_selector *selector);
/* Refuses options.groups that are no parts of what has a budget, and quotas that
 * nothing says the sum of. */
tkp_status tkp__selector_check_groups(const tkp_selector *selector);
/* Where the groups in `windows` of each set, one of `groups`, begin: [groups.count
 * + 1]. */
void tkp__selector_list_sets(const tkp_selector *selector, int32_t *sets);
/* Without a budget: what the quotas of each set come to, [groups.count]; tokens
 * in all. */
int32_t tkp__selector_add_quotas(
    const tkp_selector *selector,
    const int32_t *sets,
    const int32_t *quotas,
    int32_t *keep);
/* A later part of a chain: `groups` (offsets, count, stream, first) and their
 * keep are filled in; members are not known yet. */
tkp_status tkp__selector_bind_counted(tkp_selector *selector);

/* selected: [K] i32 candidate numbers, ascending in each sequence; roles: [K]
 * i32 the part of a chain that chose each, or NULL; pools: [N] i32 bits of the
 * parts that could have, or NULL; offsets: [B + 1] where each sequence's begin,
 * the end of what was kept last, or NULL; places: [N] when each of the selected
 * was chosen, -1 = always kept, or NULL. */
tkp_status tkp__selector_run(
    const tkp_selector *selector,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    const tkp_tensor *scores,
    void *workspace,
    const tkp_tensor *selected,
    const tkp_tensor *roles,
    const tkp_tensor *pools,
    int32_t *offsets,
    int32_t *places);
/* keep[g] of each group's members, in the kind's order, by the selector's own
 * scorer where it has one. */
tkp_status tkp__selector_choose(
    const tkp_selector *selector,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst);
/* Those inside that look at attention, for the rows they ask about; how many,
 * at most TKP_CHAIN_MAX_PARTS. */
int32_t
tkp__selector_scorers(const tkp_selector *selector, const tkp_scorer **out);

/* --- for the kinds -------------------------------------------------------- */

tkp_status tkp__selector_op(
    tkp_selector *s,
    tkp_op **op,
    int32_t kind,
    const tkp_tensor *args,
    int32_t n_args,
    const void *params);
tkp_status tkp__selector_run_op(
    const tkp_selector *s,
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace);
/* Most candidates of a group: of a sequence, or of an image. */
int32_t tkp__selector_largest_group(const tkp_selector *s);
/* Plan s->features from the options' feature. */
tkp_status tkp__selector_features(tkp_selector *s, tkp_ledger *ledger);

/* likeness.c: cosines of the rows of text that features are compared with
 * (clip_text for CLIP, else text) with the members of each group: [rows, N], and
 * which rows are whose [groups, 2]. They are ops[op], at[at] and at[at + 1]. */
tkp_status tkp__selector_plan_likeness(
    tkp_selector *s,
    const tkp__features *features,
    int32_t op,
    int32_t at,
    int64_t rows, /* the most there may be */
    const tkp_op_similarity *params,
    tkp_ledger *ledger);
tkp_status tkp__selector_run_likeness(
    const tkp_selector *s,
    const tkp__features *features,
    int32_t op,
    int32_t at,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    tkp_tensor *likeness,
    tkp_tensor *ranges);

/* select_topk.c: top-k over the groups, for kinds built on it. */
tkp_status tkp__selector_plan_topk(tkp_selector *s);
tkp_status tkp__selector_run_topk(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp_tensor *scores,
    const int32_t *member,
    void *workspace,
    const tkp_tensor *dst);

/* marks.c: of the `have` marks of the members of a group, best first in `order`,
 * the worst go, or the best others come, until there are `wanted`. */
void tkp__selector_reconcile(
    uint8_t *mark,
    const int32_t *order,
    int32_t n,
    int32_t have,
    int32_t wanted);

/* select_custom.c: it has to choose the protected ones too. */
tkp_status tkp__selector_check_protected(
    const tkp_selector *s,
    const tkp_tensor *selected);

/* --- windows.c ------------------------------------------------------------ */

/* Windows of an image of `frames` frames of rows x cols cells for a budget of
 * `keep` tokens (used when no size is given). */
tkp__window_grid tkp__window_grid_choose(
    int32_t frames,
    int32_t rows,
    int32_t cols,
    int64_t keep);
tkp__window_grid tkp__window_grid_sized(
    int32_t rows,
    int32_t cols,
    int32_t height,
    int32_t width);
static inline int32_t
tkp__window_line(int32_t y, int32_t rows, int32_t lines, int32_t height)
{
    return height ? y / height
                  : (int32_t)((((int64_t)y + 1) * lines - 1) / rows);
}

/* Fill offsets, member, of, first, stream by the windows in selector->grids. */
void tkp__groups_by_window(tkp__groups *groups, tkp_selector *selector);
/* One group a sequence, or a unit of another scope. */
void tkp__groups_whole(
    tkp__groups *g,
    const tkp_selector *s,
    int32_t scope,
    int32_t crops);

#endif
