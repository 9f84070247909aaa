#ifndef TKP_SEQUENCE_SEQUENCE_H
#define TKP_SEQUENCE_SEQUENCE_H

/*
 * The state of one batch while a policy runs on it: the parts planned for each
 * stage, the batch as it is now, and what it cost.
 */

#include "policy/policy.h"
#include "tokenprune/sequence.h"

/* One stage of the policy, planned for this batch. */
typedef struct tkp__run_stage {
    const tkp__stage *stage;
    tkp_scorer *scorer;     /* NULL where the selector asks for no scores */
    tkp_selector *selector; /* NULL: keeps everything */
    tkp_merger *merger;     /* NULL: none */
    uint64_t workspace_bytes;
} tkp__run_stage;

/* Tokens that each layer processes, for the report (cost.c). */
typedef struct tkp__cost {
    int32_t layers;
    int32_t sequences;
    int64_t *tokens;       /* [layers, B] */
    int64_t *visual;       /* [layers, B] */
    int64_t *layer_tokens; /* [layers] sums over the batch */
    int64_t *layer_visual;
    int64_t *tokens_before; /* [B] */
    int64_t *cached;        /* [B] tokens an eviction left in the KV cache of */
    int32_t kv_begin, kv_end; /* these layers */
    int64_t visual_before, visual_after;
    int64_t visual_out; /* that leave the last layer; eviction comes later */
    int32_t cuts;
    double seconds[4]; /* score, select, merge, gather */
} tkp__cost;

static inline bool tkp__run_in_encoder(const tkp__run_stage *run)
{
    return tkp__point_in_encoder(run->stage->point);
}

/* Rows that the stage's scorers ask about, the selector's own among them. */
int64_t tkp__run_stage_query_rows(
    const tkp__run_stage *run,
    int32_t *rows,
    int64_t capacity);

enum { TKP__SCORE, TKP__SELECT, TKP__MERGE, TKP__GATHER };

struct tkp_sequence {
    tkp_context *context;
    tkp_policy *policy;
    tkp_layout *layout;
    tkp_model_desc model;
    tkp__batch batch;
    tkp__batch encoder; /* its visual tokens as rows (encoder.c) */
    tkp_model_desc encoder_model;
    int32_t *encoder_rows; /* [N] 0, 1, 2 ... */
    int32_t n_stages;
    tkp__run_stage stages[TKP_POLICY_MAX_STAGES];
    int32_t at; /* next stage */
    bool ready; /* next() gave stage `at`; prune() may run */
    uint64_t workspace_bytes;
    tkp_op *compact, *gather, *scatter, *scatter_encoder;
    /* results, in one block sized for the layout */
    void *memory;
    float *scores;            /* [N] */
    int32_t *selected;        /* [K] */
    int32_t kept;             /* K of the last stage that ran */
    int32_t *kept_offsets;    /* [B + 1] */
    int32_t *ranks;           /* [B] of the rows that a budget asks for */
    int64_t *allowance;       /* [B] tokens that are kept by them */
    int32_t *places;          /* [N] when a candidate was chosen */
    int32_t *order;           /* [N] scratch */
    bool permuted;            /* the last decision's rows do not ascend */
    uint8_t *protected_now;   /* [N] scratch */
    int32_t *roles;           /* [K] part of a chain that chose each */
    int32_t *pools;           /* [N] parts of it that could have */
    int32_t *indices;         /* [R] */
    int32_t *offsets;         /* [B + 1] */
    int32_t *positions;       /* [P, R] */
    void *merged;             /* [K, D] */
    int32_t *merged_at;       /* [K] */
    float *kept_sizes;        /* [K] from the merger */
    int32_t *kept_of;         /* [N] from the merger */
    float *sizes;             /* [R] tokens of this batch in each new row */
    float *totals;            /* [R] tokens of the layout */
    bool proportional;        /* rows count as many times; from then on */
    bool proportional_inside; /* likewise, to the end of the encoder */
    float *key_bias;          /* [R] log of totals */
    int32_t *assignment;      /* [R] */
    int32_t *next_position;   /* [layers + 1, B]; at least one row */
    tkp__cost cost;
};

tkp_status tkp__sequence_new(tkp_sequence **out, tkp_context *context);
void tkp__sequence_free(tkp_sequence *sequence);
tkp_status tkp__sequence_begin(
    tkp_sequence *sequence,
    tkp_policy *policy,
    tkp_layout *layout,
    const tkp_model_desc *model);
/* What the stage alone says of its point: all but counts of rows, and the end of
 * "all layers". */
void tkp__stage_point(
    const tkp__stage *stage,
    int32_t number,
    tkp_point *point);
tkp_status tkp__sequence_next(tkp_sequence *sequence, tkp_point *point);
/* Sets inputs->roles for the merger. */
tkp_status tkp__sequence_prune(
    tkp_sequence *sequence,
    tkp_exec *exec,
    tkp_inputs *inputs,
    tkp_decision *decision);
tkp_status tkp__sequence_gather(
    tkp_sequence *sequence,
    tkp_exec *exec,
    const tkp_tensor *dst,
    const tkp_tensor *src,
    const tkp_decision *decision,
    bool with_merged);

/* encoder.c: stages inside the encoder see the batch as rows of its own, one a
 * visual token. */
tkp_status tkp__encoder_create(tkp_sequence *sequence);
void tkp__encoder_release(tkp_sequence *sequence);
/* After the batch changed. */
void tkp__encoder_sync(tkp_sequence *sequence);
/* After the lists of the prompts' rows: what they mean in the encoder. */
void tkp__encoder_decision(
    tkp_sequence *sequence,
    const tkp__run_stage *run,
    tkp_decision *decision);

/* cost.c */
tkp_status tkp__cost_create(
    tkp__cost *cost,
    const tkp_model_desc *model,
    const tkp__batch *batch);
void tkp__cost_release(tkp__cost *cost);
/* The batch is as it is from layer `boundary` on. */
/* Tokens leave the KV cache after prefill: nothing less was computed. */
void tkp__cost_evict(
    tkp__cost *c,
    const tkp__batch *batch,
    int32_t kv_begin,
    int32_t kv_end);
void tkp__cost_cut(tkp__cost *cost, const tkp__batch *batch, int32_t boundary);
void tkp__cost_report(
    const tkp__cost *cost,
    const tkp_model_desc *model,
    tkp_report *report);
double tkp__cost_now(void);

#endif
