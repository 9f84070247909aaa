#ifndef TKP_MERGER_MERGER_H
#define TKP_MERGER_MERGER_H

/*
 * A merger replaces the rows of kept tokens by what their group holds. It uses
 * the groups of its selector.
 */

#include "features/basis.h"
#include "scorer/scorer.h"
#include "selector/selector.h"
#include "tokenprune/merger.h"

typedef struct tkp__merger_spec {
    tkp_merger_options options; /* custom points into the struct */
    char custom[64];
} tkp__merger_spec;
tkp_status
tkp__merger_spec_copy(tkp__merger_spec *out, const tkp_merger_options *in);
void tkp__merger_spec_relink(tkp__merger_spec *spec);
uint32_t tkp__merger_spec_needs(const tkp__merger_spec *spec);
/* Whether rows are weighed by the stage's scores. */
bool tkp__merger_weighs(const tkp_merger_options *options);

/* What a kind fills in. */
typedef struct tkp__merging {
    const tkp_tensor *kept; /* [K] i32 candidates, given */
    const tkp_tensor *rows; /* [K, D] new row of each */
    float *sizes;           /* [K] tokens each stands for */
    int32_t *assignment;    /* [N] entry of `kept`, -1 = nowhere */
} tkp__merging;

typedef struct tkp__merger_kind {
    tkp_status (*plan)(tkp_merger *m, tkp_ledger *ledger);
    tkp_status (*bind)(tkp_merger *m); /* may be NULL */
    tkp_status (*run)(
        const tkp_merger *m,
        tkp_exec *exec,
        const tkp_inputs *inputs,
        void *workspace,
        const tkp__merging *out);
    void (*release)(tkp_merger *m); /* of `state`; may be NULL */
} tkp__merger_kind;

extern const tkp__merger_kind tkp__merge_window;
extern const tkp__merger_kind tkp__merge_custom;
extern const tkp__merger_kind tkp__merge_nearest;
extern const tkp__merger_kind tkp__merge_knn;
extern const tkp__merger_kind tkp__merge_chain;
extern const tkp__merger_kind tkp__merge_fold;
extern const tkp__merger_kind tkp__merge_anchors;
extern const tkp__merger_kind tkp__merge_static;

enum { TKP__MERGER_OPS = 6 };

struct tkp_merger {
    const tkp__merger_kind *kind;
    tkp_context *context;
    tkp_selector *selector; /* a reference */
    tkp_model_desc model;
    tkp__merger_spec spec;
    tkp_merger_vtable custom;
    void *custom_user;
    bool has_custom;
    bool has_features;
    tkp__features features;
    /* The kind's own. */
    void *state;
    tkp_op *ops[TKP__MERGER_OPS];
    uint64_t at[TKP__MERGER_OPS];
    tkp_op *pool, *gather;
    /* Bins: what is pooled for each group, rows of the packed batch. */
    int32_t *bin_offsets; /* [N + 1] */
    int32_t *bin_rows;    /* members; bins may overlap */
    int64_t bin_capacity;
    void *memory;
    uint64_t pooled_at, groups_at, ops_at, ops_bytes;
    uint64_t workspace_bytes;
};

tkp_status tkp__merger_new(
    tkp_merger **out,
    tkp_context *context,
    const tkp__merger_spec *spec,
    tkp_selector *selector,
    const tkp_model_desc *model);
void tkp__merger_free(tkp_merger *merger);
/* After the selector was bound. TKP_ERR_OPTION if a window keeps more than one
 * token. */
tkp_status tkp__merger_bind(tkp_merger *merger);
tkp_status tkp__merger_run(
    const tkp_merger *merger,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    void *workspace,
    const tkp__merging *out);

/* For the kinds: plan into m->ops_bytes, run in what was booked. */
tkp_status tkp__merger_op(
    tkp_merger *m,
    tkp_op **op,
    int32_t kind,
    const tkp_tensor *args,
    int32_t n_args,
    const void *params);
tkp_status tkp__merger_run_op(
    const tkp_merger *m,
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace);

#endif
