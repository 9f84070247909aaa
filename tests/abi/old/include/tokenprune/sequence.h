#ifndef TOKENPRUNE_SEQUENCE_H
#define TOKENPRUNE_SEQUENCE_H

#include "tokenprune/policy.h"

TKP_BEGIN_DECLS

/*
 * A sequence runs a policy against one batch: the only object an engine has to
 * learn. The engine pulls; the library never calls back.
 *
 *     tkp_sequence_create(&seq, context);
 *     tkp_sequence_begin(seq, exec, policy, layout, &model);
 *     while (tkp_sequence_next(seq, &point) == TKP_OK && point.kind) {
 *         // run the forward up to the point; on the way, at point.score_layer,
 *         // keep q of tkp_sequence_query_rows(), and k
 *         tkp_sequence_prune(seq, exec, &inputs, &decision);
 *         // compact hidden rows, positions (and nothing else: the KV of
 *         // earlier layers stays as it is)
 *         tkp_gather_rows(exec, &hidden_out, &hidden, &decision);
 *     }
 *     tkp_sequence_report(seq, &report);
 *
 * One thread at a time. begin() may allocate; next, prune and the gather
 * helpers do not.
 */

typedef struct tkp_sequence tkp_sequence;

TKP_API TKP_NODISCARD tkp_status
tkp_sequence_create(tkp_sequence **out, tkp_context *context);
TKP_API void tkp_sequence_destroy(tkp_sequence *sequence);

/**
 * Start a batch; what was running is forgotten. References on policy and
 * layout are kept until the next begin. All budgets are resolved here, so a
 * budget that does not fit fails here, before anything was computed.
 *
 * @retval TKP_ERR_OPTION       a budget or boundary out of range; message names
 *                              stage, value met and value wanted
 * @retval TKP_ERR_UNSUPPORTED  no backend has an op of the policy
 */
TKP_API TKP_NODISCARD tkp_status tkp_sequence_begin(
    tkp_sequence *sequence,
    tkp_exec *exec,
    tkp_policy *policy,
    tkp_layout *layout,
    const tkp_model_desc *model);

/** Workspace of the most demanding stage of this batch. */
TKP_API TKP_NODISCARD tkp_status tkp_sequence_query(
    const tkp_sequence *sequence, tkp_requirements *requirements);

typedef struct tkp_point {
    uint32_t struct_size;
    int32_t kind;        /* enum tkp_point_kind; 0 = no further point */
    int32_t stage;       /* number of the stage in the policy */
    int32_t boundary;    /* LLM: run layers up to here, then prune */
    int32_t score_layer; /* layer whose q, k are wanted; -1 = none */
    uint32_t needs;      /* enum tkp_need */
    int64_t rows_in;     /* R before the cut */
    int64_t rows_out;    /* R after it, known beforehand */
    int64_t query_rows;  /* Q */
} tkp_point;

#define TKP_POINT_INIT                                                         \
    {                                                                          \
        (uint32_t)sizeof(tkp_point), 0, 0, 0, 0, 0, 0, 0, 0                    \
    }
TKP_API void tkp_point_init(tkp_point *point);

/**
 * The next point that really cuts (stages that keep everything are passed
 * over). Calling it again before prune() gives the same point.
 */
TKP_API TKP_NODISCARD tkp_status
tkp_sequence_next(tkp_sequence *sequence, tkp_point *point);

/** Rows of the packed batch whose q the point wants; as
 * tkp_scorer_query_rows(). */
TKP_API int64_t tkp_sequence_query_rows(
    const tkp_sequence *sequence, int32_t *rows, int64_t capacity);

typedef struct tkp_decision {
    uint32_t struct_size;
    int32_t stage;
    int32_t sequences;    /* B */
    int32_t position_rows; /* 1, or 3 for M-RoPE */
    int64_t rows_in;
    int64_t rows_out;
    /* Views of the sequence's memory, on the device, valid until the next
     * prune() or begin(). */
    tkp_tensor indices;   /* [rows_out] i32 old row of each new row, ascending
                             in each sequence */
    tkp_tensor offsets;   /* [B + 1] i32 where each sequence's new rows begin */
    tkp_tensor positions; /* [position_rows, rows_out] i32 */
    tkp_tensor merged;    /* [m, D] rows that replace gathered ones, or none */
    tkp_tensor merged_at; /* [m] i32 new rows they replace */
    tkp_tensor sizes;     /* [rows_out] f32 tokens each new row stands for */
    tkp_tensor assignment; /* [rows_in] i32 new row each old row went to; -1 =
                              dropped */
    tkp_tensor scores;    /* [N] f32 of the candidates, or none */
    const int32_t *host_offsets; /* [B + 1] the counts, on the host: they are
                                    known without asking the device */
} tkp_decision;

#define TKP_DECISION_INIT                                                      \
    {                                                                          \
        (uint32_t)sizeof(tkp_decision)                                         \
    }
TKP_API void tkp_decision_init(tkp_decision *decision);

/**
 * Decide at the point that next() gave.
 *
 * @retval TKP_ERR_STATE     next() was not called, or gave no point
 * @retval TKP_ERR_ARGUMENT  an input that the point needs is NULL
 * @retval TKP_ERR_SHAPE     an input does not fit the batch or the model
 * @retval TKP_ERR_DATA      all scores of a sequence are NaN; nothing changed
 * @retval TKP_ERR_WORKSPACE less than tkp_sequence_query() said
 * Allocates: nothing. Async: on CUDA returns after launch.
 */
TKP_API TKP_NODISCARD tkp_status tkp_sequence_prune(
    tkp_sequence *sequence,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    tkp_decision *decision);

/* --- applying a decision ------------------------------------------------ */

/**
 * dst[i] = src[indices[i]], then merged rows take their places.
 * @param[out] dst [rows_out, ...] dtype of src; on the CPU may be src's memory
 * @param[in]  src [rows_in, ...] rows contiguous
 */
TKP_API TKP_NODISCARD tkp_status tkp_gather_rows(
    tkp_sequence *sequence,
    tkp_exec *exec,
    const tkp_tensor *dst,
    const tkp_tensor *src,
    const tkp_decision *decision);

/**
 * Compact the KV rows of an earlier layer as well (methods that evict). As
 * tkp_gather_rows() without merged rows; for K and V alike.
 */
TKP_API TKP_NODISCARD tkp_status tkp_gather_kv(
    tkp_sequence *sequence,
    tkp_exec *exec,
    const tkp_tensor *dst,
    const tkp_tensor *src,
    const tkp_decision *decision);

/**
 * Rotary position of the first generated token of a sequence in a layer:
 * positions are never derived from a cache length.
 * @return -1 outside the batch or the layers
 */
TKP_API int32_t tkp_sequence_next_position(
    const tkp_sequence *sequence, int32_t index, int32_t layer);

/* --- the cost ----------------------------------------------------------- */

typedef struct tkp_report {
    uint32_t struct_size;
    int32_t sequences; /* B */
    int32_t layers;    /* decoder layers */
    int32_t stages;    /* cuts that really ran */
    /* [layers] tokens that each decoder layer processed, summed over the
     * batch; owned by the sequence until the next begin() */
    const int64_t *layer_tokens;
    const int64_t *layer_visual;
    int64_t visual_before; /* candidates in the layout */
    int64_t visual_after;  /* after the last cut: RETAIN */
    double equiv_in;  /* mean over layers of the visual tokens processed */
    double equiv_out; /* mean over layers of those that leave the layer */
    double macs;      /* prefill multiply-accumulates of the decoder */
    double macs_unpruned;
    int64_t kv_bytes; /* after prefill, summed over layers */
    int64_t kv_bytes_unpruned;
    double score_seconds; /* CPU: wall time of prune() by part */
    double select_seconds;
    double merge_seconds;
    double gather_seconds;
} tkp_report;

#define TKP_REPORT_INIT                                                        \
    {                                                                          \
        (uint32_t)sizeof(tkp_report)                                           \
    }
TKP_API void tkp_report_init(tkp_report *report);

/** May be asked at any time; layers after the last cut count as it left them. */
TKP_API TKP_NODISCARD tkp_status
tkp_sequence_report(const tkp_sequence *sequence, tkp_report *report);

/**
 * The candidates of the original layout that are still there, ascending, of
 * one image: cell numbers (frame * rows + row) * cols + col. For pictures and
 * statistics; on CUDA it waits for the device.
 * @return the count; -1 outside
 */
TKP_API int64_t tkp_sequence_kept_cells(
    tkp_sequence *sequence,
    tkp_exec *exec,
    int32_t image,
    int32_t *cells,
    int64_t capacity);

TKP_END_DECLS

#endif
