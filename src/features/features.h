#ifndef TKP_FEATURES_FEATURES_H
#define TKP_FEATURES_FEATURES_H

/*
 * The rows that stand for the tokens where tokens are compared: hidden rows,
 * raw or normed, rows of the vision encoder, keys of a layer. Whatever they
 * are taken from, an op is given a matrix x and the row of each candidate.
 */

#include "core/core.h"
#include "layout/layout.h"
#include "tokenprune/inputs.h"

typedef struct tkp__features {
    int32_t source; /* enum tkp_feature */
    float norm_eps;
    tkp_context *context;
    const tkp__batch *batch;
    const tkp_model_desc *model;
    int32_t dtype;
    int64_t width;
    int64_t most_rows; /* of x, in any run */
    tkp_op *gather, *norm;
    uint64_t gathered_at, normed_at, ops_at, ops_bytes;
    void *memory;
    int32_t *rows;     /* [N + extra] of the sequence's tensors */
    int32_t *order;    /* [N + extra] 0, 1, 2 ... */
    int32_t *original; /* [N] candidate number in the layout */
    int64_t extra;     /* rows behind the candidates, as bound */
} tkp__features;

/* enum tkp_need bits of a source; 0 for one that there is not. */
uint32_t tkp__features_needs(int32_t source);
/* Whether candidates alone have rows: there are none for text. */
bool tkp__features_of_patches(int32_t source);

/*
 * `model` and `batch` outlive it. Books its workspace in `ledger`. `extra` rows
 * of the sequence may be asked for behind the candidates (sources that have
 * rows for text only).
 * TKP_ERR_OPTION if the model's description lacks the width.
 */
tkp_status tkp__features_plan(
    tkp__features *f,
    tkp_context *context,
    const tkp__batch *batch,
    const tkp_model_desc *model,
    int32_t source,
    float norm_eps,
    int64_t extra,
    tkp_ledger *ledger);
void tkp__features_release(tkp__features *f);
/* For the batch as it is now; `extra_rows` [n] packed rows. */
void tkp__features_bind(tkp__features *f, const int32_t *extra_rows, int64_t n);
/* x [.., width] and rows [N + extra] i32 into it. */
tkp_status tkp__features_run(
    const tkp__features *f,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    void *workspace,
    tkp_tensor *x,
    tkp_tensor *rows);

/* --- text -------------------------------------------------------------------- */

/* Rows of text that the features may be compared with: [m, width] of their
 * dtype, at most `most`; offsets (or NULL) of the sequences rise from 0. */
tkp_status tkp__features_check_text(
    const tkp__features *f,
    const tkp_tensor *text,
    const int32_t *offsets,
    int64_t most,
    const char *name);
/* First row and end of each sequence, [B, 2]. */
void tkp__features_text_ranges(
    int32_t *ranges,
    const tkp_tensor *text,
    const int32_t *offsets,
    int32_t sequences);

#endif
