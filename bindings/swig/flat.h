#ifndef TOKENPRUNE_FLAT_H
#define TOKENPRUNE_FLAT_H

/*
 * The public C API once more, for languages that reach it through SWIG: flat
 * calls of numbers and texts. Objects are integers (handles), tensors are
 * records of integers (address, shape, strides): nothing is copied, and nothing
 * of the caller's is remembered once a call is over.
 *
 * Every call that can fail returns tkp_status; the language's typemap on it
 * fetches tkp_last_message() in the same native call and makes its own error
 * of the two.
 */

#include "tokenprune.h"

/* An object; 0 = none, answered with TKP_ERR_ARGUMENT where one is wanted. */
typedef int64_t flat_handle;

/*
 * Tensors of one call: records of FLAT_RECORD integers, each
 *     slot, address, dtype, device type, device, dimensions, shape[6], strides[6]
 * with strides in elements. Slots say what a tensor is for. One that is left out
 * is not there; one that the call does not know is TKP_ERR_ARGUMENT.
 */
enum { FLAT_RECORD = 6 + 2 * TKP_MAX_DIMS, FLAT_MAX_TENSORS = 40 };

enum flat_slot {
    /* Inputs: the fields of tkp_inputs. */
    FLAT_Q = 0,
    FLAT_K,
    FLAT_LSE,
    FLAT_BLOCK_TABLE,
    FLAT_ATTENTION_ROWS,
    FLAT_ATTENTION,
    FLAT_HIDDEN,
    FLAT_NORM_WEIGHT,
    FLAT_CLS_ATTENTION,
    FLAT_SCORES,
    FLAT_TEXT,
    FLAT_TEXT_OFFSETS,
    FLAT_VALUES,
    FLAT_VISION,
    FLAT_VISION_KEYS,
    FLAT_CLS_SHALLOW,
    FLAT_CLIP,
    FLAT_CLIP_TEXT,
    FLAT_CLIP_TEXT_OFFSETS,
    FLAT_CLIP_TOKENS,
    FLAT_CLIP_TOKEN_OFFSETS,
    FLAT_EMBEDDINGS,
    FLAT_PIVOT_ORDER,
    FLAT_ROLES,
    FLAT_POOLS,
    FLAT_TOKEN_SCORES,
    FLAT_PLAIN_Q,
    FLAT_PLAIN_K,
    FLAT_VISION_VALUES,
    FLAT_INPUTS, /* how many those are */
    /* What calls write, and what is no input of a stage. */
    FLAT_OUT_SCORES = 64,
    FLAT_OUT_INDICES,
    FLAT_OUT_OFFSETS,
    FLAT_OUT_ROLES,
    FLAT_OUT_POOLS,
    FLAT_OUT_ROWS,
    FLAT_OUT_SIZES,
    FLAT_OUT_ASSIGNMENT,
    FLAT_OUT_POSITIONS,
    FLAT_OUT_DATA,
    FLAT_OUT_LAYER_TOKENS, /* i64 */
    FLAT_OUT_LAYER_VISUAL, /* i64 */
    FLAT_KEPT,
    FLAT_SOURCE,
    FLAT_VALID,
    FLAT_KEEP,
    FLAT_POSITIONS,
    FLAT_WORKSPACE
};

/** What messages call a slot: inputs as tkp_inputs spells them; NULL = none. */
const char *flat_slot_name(int32_t slot);

/* --- handles ------------------------------------------------------------------ */

/**
 * Note that a call works on an object; flat_leave() when it is over. Between
 * the two the object cannot be destroyed. One thread at a time may be inside an
 * exec or a sequence.
 * @retval TKP_ERR_STATE  another call is inside
 */
tkp_status flat_enter(flat_handle object);
void flat_leave(flat_handle object);

/**
 * Destroy an object of any kind; 0 is fine.
 * @retval TKP_ERR_STATE  a call is inside; nothing happened
 */
tkp_status flat_destroy(flat_handle object);

/* --- context and exec --------------------------------------------------------- */

/** Empty texts stand for NULL. */
tkp_status flat_context_create(
    int64_t *out,
    const char *backends,
    const char *backend_dir,
    int32_t threads,
    int32_t device_type,
    int32_t device_id);
int32_t flat_context_backend_count(flat_handle context);
const char *flat_context_backend_name(flat_handle context, int32_t i);
const char *flat_context_backend_info(flat_handle context, int32_t i);
int32_t flat_context_threads(flat_handle context);

/** An exec that brings its own workspace, which grows to what a call needs. */
tkp_status flat_exec_create(int64_t *out, flat_handle context, int64_t stream);
/** Make room beforehand, so that no call allocates. */
tkp_status flat_exec_reserve(flat_handle exec, int64_t bytes);
/** WORKSPACE: u8 on the context's device; it must outlive the exec. */
tkp_status
flat_exec_lend(flat_handle exec, const int64_t *tensors, int64_t n_tensors);
int64_t flat_exec_bytes(flat_handle exec);
int64_t flat_exec_stream(flat_handle exec);

/* --- layout --------------------------------------------------------------------- */

tkp_status flat_layout_create(int64_t *out);
tkp_status flat_layout_add_sequence(
    int64_t *out,
    flat_handle layout,
    int64_t id,
    int64_t length,
    int64_t text_begin,
    int64_t text_end);
/** VALID, KEEP: u8, one byte a cell, or left out; tile: four numbers, 0 = none. */
tkp_status flat_layout_add_image(
    int64_t *out,
    flat_handle layout,
    int32_t sequence,
    int64_t start,
    int32_t frames,
    int32_t rows,
    int32_t cols,
    int32_t row_stride,
    int32_t tile_height,
    int32_t tile_width,
    int32_t tile_top,
    int32_t tile_left,
    const int64_t *tensors,
    int64_t n_tensors);
/** POSITIONS: [1 or 3, R] i32. */
tkp_status flat_layout_set_positions(
    flat_handle layout,
    const int64_t *tensors,
    int64_t n_tensors);
int32_t flat_layout_sequences(flat_handle layout);
int32_t flat_layout_images(flat_handle layout);
int64_t flat_layout_rows(flat_handle layout);
int64_t flat_layout_visual_tokens(flat_handle layout, int32_t sequence);

/* --- policies --------------------------------------------------------------------- */

tkp_status flat_policy_load_preset(int64_t *out, const char *name);
tkp_status flat_policy_load_text(
    int64_t *out,
    const char *text,
    size_t bytes,
    const char *source_name);
tkp_status flat_policy_load_file(int64_t *out, const char *path);
/** To be freed with free(); NULL only when memory is out. */
char *flat_policy_yaml(flat_handle policy);
const char *flat_policy_name(flat_handle policy);
int32_t flat_policy_stage_count(flat_handle policy);
tkp_status flat_policy_query(flat_handle policy, tkp_policy_info *info);
/** What stage i will ask for, before anything runs. */
tkp_status
flat_policy_get_point(flat_handle policy, int32_t i, tkp_point *point);
/** Budgets are texts, as in a policy file, in braces: "{ratio: 1/4}". */
tkp_status flat_policy_with_budget(
    int64_t *out,
    flat_handle policy,
    int32_t stage,
    const char *budget);
tkp_status flat_policy_with_point(
    int64_t *out,
    flat_handle policy,
    int32_t stage,
    int32_t point,
    int32_t boundary);
tkp_status flat_policy_with_depth(
    int64_t *out,
    flat_handle policy,
    int32_t from_layers,
    int32_t layers,
    int32_t from_blocks,
    int32_t blocks);
/** `seed`: the 64 bits of an unsigned number. */
tkp_status
flat_policy_with_seed(int64_t *out, flat_handle policy, int64_t seed);
tkp_status flat_budget_resolve(
    int64_t *out,
    const char *budget,
    int64_t n,
    int32_t boundary,
    int32_t layers);

/* --- scorers, selectors, mergers --------------------------------------------------- */

/*
 * What they are is said as in a policy file, in braces or as one word:
 * "{kind: attention, query: last}", "topk"; JSON will do. Empty texts: a scorer
 * or merger "none", a budget "all". Messages count the lines of the stage that
 * is made of these.
 */
tkp_status flat_scorer_create(
    int64_t *out,
    flat_handle context,
    const char *scorer,
    flat_handle layout,
    const tkp_model_desc *model);
/** Those of stage `stage` of a policy. */
tkp_status flat_scorer_create_of(
    int64_t *out,
    flat_handle context,
    flat_handle policy,
    int32_t stage,
    flat_handle layout,
    const tkp_model_desc *model);
tkp_status flat_selector_create(
    int64_t *out,
    flat_handle context,
    const char *selector,
    const char *budget,
    flat_handle layout,
    const tkp_model_desc *model);
tkp_status flat_selector_create_of(
    int64_t *out,
    flat_handle context,
    flat_handle policy,
    int32_t stage,
    flat_handle layout,
    const tkp_model_desc *model);
/** `selector_text` and `budget` are what `selector` was made of. */
tkp_status flat_merger_create(
    int64_t *out,
    flat_handle context,
    const char *merger,
    flat_handle selector,
    const char *selector_text,
    const char *budget,
    const tkp_model_desc *model);
tkp_status flat_merger_create_of(
    int64_t *out,
    flat_handle context,
    flat_handle policy,
    int32_t stage,
    flat_handle selector,
    const tkp_model_desc *model);

/** enum tkp_need bits of a scorer or selector. */
int64_t flat_needs(flat_handle part);
/** Bytes of workspace that a scorer, selector, merger or sequence wants. */
int64_t flat_workspace_bytes(flat_handle part);

/** OUT_ROWS: i32, or left out to ask for the count. */
tkp_status flat_scorer_query_rows(
    int64_t *out,
    flat_handle scorer,
    const int64_t *tensors,
    int64_t n_tensors);
/** Inputs; OUT_SCORES [N] f32. */
tkp_status flat_scorer_run(
    flat_handle scorer,
    flat_handle exec,
    const int64_t *tensors,
    int64_t n_tensors);
int64_t flat_selector_count(flat_handle selector, int32_t sequence);
/** Inputs, among them SCORES where the kind takes scores; OUT_INDICES [K] i32;
 * OUT_OFFSETS, OUT_ROLES, OUT_POOLS if wanted. */
tkp_status flat_selector_run(
    flat_handle selector,
    flat_handle exec,
    const int64_t *tensors,
    int64_t n_tensors);
/** Inputs, KEPT [K] i32; OUT_ROWS [K, D]; OUT_SIZES, OUT_ASSIGNMENT if wanted. */
tkp_status flat_merger_run(
    flat_handle merger,
    flat_handle exec,
    const int64_t *tensors,
    int64_t n_tensors);

/* --- sequences ---------------------------------------------------------------------- */

tkp_status flat_sequence_create(int64_t *out, flat_handle context);
tkp_status flat_sequence_begin(
    flat_handle sequence,
    flat_handle exec,
    flat_handle policy,
    flat_handle layout,
    const tkp_model_desc *model);
tkp_status flat_sequence_next(flat_handle sequence, tkp_point *point);
/** OUT_ROWS: i32, or left out to ask for the count. */
tkp_status flat_sequence_query_rows(
    int64_t *out,
    flat_handle sequence,
    const int64_t *tensors,
    int64_t n_tensors);
/** OUT_ROWS, OUT_POSITIONS, OUT_OFFSETS: i32; left out to ask for the count. */
tkp_status flat_sequence_rows(
    int64_t *out,
    flat_handle sequence,
    const int64_t *tensors,
    int64_t n_tensors);
/** @param[out] out  number of the decision, for the calls below. */
tkp_status flat_sequence_prune(
    int64_t *out,
    flat_handle sequence,
    flat_handle exec,
    const int64_t *tensors,
    int64_t n_tensors);

enum flat_decision_field {
    FLAT_DECISION_INDICES = 0,
    FLAT_DECISION_OFFSETS,
    FLAT_DECISION_POSITIONS,
    FLAT_DECISION_MERGED,
    FLAT_DECISION_MERGED_AT,
    FLAT_DECISION_SIZES,
    FLAT_DECISION_ASSIGNMENT,
    FLAT_DECISION_SCORES,
    FLAT_DECISION_KEY_BIAS,
    FLAT_DECISION_FIELDS
};

/**
 * What a field of a decision looks like; dtype_out 0 = it is not there.
 * @retval TKP_ERR_STATE  a later prune() or begin() has taken its place
 */
tkp_status flat_decision_shape(
    int64_t *dtype_out,
    int64_t *ndim_out,
    int64_t *n0_out,
    int64_t *n1_out,
    flat_handle sequence,
    int64_t decision,
    int32_t field);
/** OUT_DATA: dtype and shape of the field, row-major, on the host; waits for
 * a device. */
tkp_status flat_decision_copy(
    flat_handle sequence,
    flat_handle exec,
    int64_t decision,
    int32_t field,
    const int64_t *tensors,
    int64_t n_tensors);
/** SOURCE, OUT_ROWS; `kv` 1: without merged rows (tkp_gather_kv). */
tkp_status flat_decision_gather(
    flat_handle sequence,
    flat_handle exec,
    int64_t decision,
    int32_t kv,
    const int64_t *tensors,
    int64_t n_tensors);
int32_t
flat_sequence_next_position(flat_handle sequence, int32_t index, int32_t layer);
/** OUT_LAYER_TOKENS, OUT_LAYER_VISUAL: [layers] i64, if wanted. */
tkp_status flat_sequence_report(
    flat_handle sequence,
    tkp_report *report,
    const int64_t *tensors,
    int64_t n_tensors);
/** OUT_ROWS: i32, or left out to ask for the count. */
tkp_status flat_sequence_kept_cells(
    int64_t *out,
    flat_handle sequence,
    flat_handle exec,
    int32_t image,
    const int64_t *tensors,
    int64_t n_tensors);

#endif
