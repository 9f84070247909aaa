#ifndef TKP_SCORER_SCORER_H
#define TKP_SCORER_SCORER_H

/*
 * A scorer is one leaf, or a blend of several. A leaf plans its ops for the
 * largest shapes of a layout, keeps its index tables, and is bound to a batch
 * state before it runs; binding again after a cut allocates nothing.
 */

#include "core/core.h"
#include "features/features.h"
#include "layout/layout.h"
#include "tokenprune/scorer.h"

/* Forms in which attention may be given; each has plans of its own. */
enum tkp__attention_form {
    TKP__FORM_PACKED,
    TKP__FORM_PACKED_LSE,
    TKP__FORM_BLOCK,
    TKP__FORM_BLOCK_LSE,
    TKP__FORM_PAGED,
    TKP__FORM_PAGED_LSE,
    TKP__FORM_ROWS,
    TKP__FORM_FULL,
    TKP__FORM_COUNT
};

typedef struct tkp__leaf tkp__leaf;

typedef struct tkp__leaf_kind {
    /* Make plans, book workspace in leaf->ledger, allocate tables. */
    tkp_status (*plan)(tkp__leaf *leaf, const tkp__batch *batch);
    /* Fill the tables from the batch as it is now. */
    void (*bind)(tkp__leaf *leaf, const tkp__batch *batch);
    tkp_status (*run)(
        const tkp__leaf *leaf,
        tkp_exec *exec,
        const tkp_inputs *inputs,
        void *workspace,
        const tkp_tensor *dst);
    void (*release)(tkp__leaf *leaf); /* of `state`; may be NULL */
    /* What the rows it looks at span, [B]; NULL: it looks at none. */
    tkp_status (*rank)(
        const tkp__leaf *leaf,
        tkp_exec *exec,
        const tkp_inputs *inputs,
        void *workspace,
        int32_t *ranks);
} tkp__leaf_kind;

/* Those of q and k come again, for ranks. */
enum { TKP__LEAF_OPS = TKP__FORM_COUNT + 3 + TKP__FORM_ROWS };

struct tkp__leaf {
    const tkp__leaf_kind *kind;
    tkp_context *context; /* the scorer's */
    const tkp__batch *batch;
    tkp_model_desc model;
    tkp_scorer_options options;
    bool ranks; /* will be asked for them */
    tkp_scorer_vtable custom;
    void *custom_user;
    tkp_op *ops[TKP__LEAF_OPS];
    tkp__features features; /* kinds that compare tokens */
    void *state;            /* the kind's own */
    tkp_ledger ledger;
    uint64_t at[4];  /* booked temporaries, by the kind */
    uint64_t ops_at; /* the ops' common workspace */
    uint64_t ops_bytes;
    /* tables, in one block */
    void *memory;
    int32_t rounds;       /* passes over the batch (one per image ordinal) */
    int32_t frames;       /* of all videos */
    int32_t *q_rows;      /* [Q] packed rows, by round */
    int32_t *q_positions; /* [Q] within the sequence, by round */
    int32_t *q_offsets;   /* [rounds, B + 1] */
    int32_t *q_begin;     /* [rounds + 1] */
    int32_t *local; /* [N] candidate's row within its sequence, by round */
    int32_t *local_offsets; /* [rounds, B + 1] */
    int32_t *local_begin;   /* [rounds + 1] */
    int32_t *order;         /* [N] where each candidate stands in `local` */
    int32_t *rows;          /* [N] packed rows */
    int32_t *offsets;       /* [B + 1], or by `rounds` units: candidates */
    int32_t *reference;     /* [B] packed rows */
    int32_t *original;      /* [N] candidate number in the layout */
};

extern const tkp__leaf_kind tkp__leaf_attention;
/* Other kinds may use it for what they need of the CLS row: it takes the first
 * ops and pieces of workspace, and `memory`. */
extern const tkp__leaf_kind tkp__leaf_given;
enum { TKP__GIVEN_OPS = 3, TKP__GIVEN_AT = 1 };
extern const tkp__leaf_kind tkp__leaf_variance;
extern const tkp__leaf_kind tkp__leaf_mean_query;
extern const tkp__leaf_kind tkp__leaf_overview;
extern const tkp__leaf_kind tkp__leaf_rotary;
extern const tkp__leaf_kind tkp__leaf_value_attention;
extern const tkp__leaf_kind tkp__leaf_norm;
extern const tkp__leaf_kind tkp__leaf_cosine;
extern const tkp__leaf_kind tkp__leaf_reconstruction;
extern const tkp__leaf_kind tkp__leaf_temporal;
extern const tkp__leaf_kind tkp__leaf_gaussian;
extern const tkp__leaf_kind tkp__leaf_curvature;
extern const tkp__leaf_kind tkp__leaf_custom;
extern const tkp__leaf_kind tkp__leaf_relevance;

/* enum tkp_scorer_kind has it. */
bool tkp__scorer_kind_known(int32_t kind);

/* Helpers of the leaves (leaf.c). */
tkp_status tkp__leaf_op(
    tkp__leaf *leaf,
    int32_t slot,
    int32_t kind,
    const tkp_tensor *args,
    int32_t n_args,
    const void *params);
tkp_status tkp__leaf_run_op(
    const tkp__leaf *leaf,
    int32_t slot,
    tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace);
/* Heads [R, heads, head_dim] of all rows of the batch, as an engine gives them. */
tkp_status tkp__leaf_check_heads(
    const tkp__leaf *leaf,
    const tkp_tensor *t,
    int32_t heads,
    const char *name);
struct tkp_scorer {
    tkp_context *context;
    tkp__batch *own; /* stand-alone: the batch it was planned for */
    const tkp__batch *batch;
    uint32_t needs;
    int32_t n_leaves;
    tkp__leaf leaves[TKP_BLEND_MAX_TERMS];
    bool blends;
    tkp_op *blend;
    uint64_t terms_at;
    uint64_t terms_stride; /* bytes from one term to the next */
    uint64_t blend_at;
    uint64_t leaf_at;
    uint64_t workspace_bytes;
    int32_t within; /* blend: enum tkp_budget_scope */
    int32_t groups;
    int32_t *offsets; /* [groups + 1] candidates, of the batch when bound */
    int32_t *order; /* blend of tiles: [2, N] candidates tile by tile, and where
                         each stands there */
    tkp_op *gather;
    uint64_t turn_at; /* [N] scores in another order */
};

/* Options with every rule checked; terms are deep-copied into `terms` and
 * `term_scorers` (room for TKP_BLEND_MAX_TERMS). */
typedef struct tkp__scorer_spec {
    tkp_scorer_options options; /* terms and custom point in here */
    tkp_blend_term terms[TKP_BLEND_MAX_TERMS];
    tkp_scorer_options term_scorers[TKP_BLEND_MAX_TERMS];
    char custom[TKP_BLEND_MAX_TERMS][64];
    bool ranks; /* a budget asks for the rank of its rows */
} tkp__scorer_spec;
tkp_status
tkp__scorer_spec_copy(tkp__scorer_spec *out, const tkp_scorer_options *in);
/* Inner pointers made to point into `spec` after it was moved in memory. */
void tkp__scorer_spec_relink(tkp__scorer_spec *spec);
/* Of one kind, no blend: it looks at a CLS row of the encoder. */
bool tkp__scorer_reads_cls(const tkp_scorer_options *options);
/* enum tkp_need bits, without planning anything. */
uint32_t tkp__scorer_spec_needs(const tkp__scorer_spec *spec);

tkp_status tkp__model_copy(tkp_model_desc *out, const tkp_model_desc *in);

/* `batch` outlives the scorer. */
tkp_status tkp__scorer_new(
    tkp_scorer **out,
    tkp_context *context,
    const tkp__scorer_spec *spec,
    const tkp__batch *batch,
    const tkp_model_desc *model);
void tkp__scorer_free(tkp_scorer *scorer);
void tkp__scorer_bind(tkp_scorer *scorer);
/* Of `n` scorers together. */
int64_t tkp__scorer_query_rows(
    const tkp_scorer *const *scorers,
    int32_t n,
    int32_t *rows,
    int64_t capacity);
tkp_status tkp__scorer_run(
    const tkp_scorer *scorer,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    void *workspace,
    const tkp_tensor *scores);

/* Of a scorer planned with `ranks`: ranks [B]. */
tkp_status tkp__scorer_rank(
    const tkp_scorer *scorer,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    void *workspace,
    int32_t *ranks);

tkp_status tkp__inputs_copy(tkp_inputs *out, const tkp_inputs *in);

#endif
