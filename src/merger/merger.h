#ifndef TKP_MERGER_MERGER_H
#define TKP_MERGER_MERGER_H

/*
 * A merger replaces the rows of kept tokens by what their group holds. It uses
 * the groups of its selector.
 */

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

struct tkp_merger {
    tkp_context *context;
    tkp_selector *selector; /* a reference */
    tkp_model_desc model;
    tkp__merger_spec spec;
    tkp_merger_vtable custom;
    void *custom_user;
    bool has_custom;
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
    const tkp_tensor *kept,
    const tkp_tensor *rows,
    float *sizes,
    int32_t *assignment);

#endif
