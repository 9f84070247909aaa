#ifndef TKP_CLI_SELECT_H
#define TKP_CLI_SELECT_H

/*
 * What the files of `tokenprune select` share: the tensors of a file become a
 * case (a layout and inputs), a stage of a policy cuts it, the outcome is told
 * in terms of visual tokens. docs/select.md is the contract.
 */

#include "cli/cli.h"
#include "safetensors/safetensors.h"

/* Tensors by name; the order is that of the table in select_file.c. */
enum {
    TKP__SELECT_FEATURES,
    TKP__SELECT_HIDDEN,
    TKP__SELECT_Q,
    TKP__SELECT_K,
    TKP__SELECT_PLAIN_Q,
    TKP__SELECT_PLAIN_K,
    TKP__SELECT_LSE,
    TKP__SELECT_ATTENTION_ROWS,
    TKP__SELECT_ATTENTION,
    TKP__SELECT_CLS_ATTENTION,
    TKP__SELECT_SCORES,
    TKP__SELECT_NORM_WEIGHT,
    TKP__SELECT_TEXT,
    TKP__SELECT_VALUES,
    TKP__SELECT_VISION,
    TKP__SELECT_VISION_KEYS,
    TKP__SELECT_VISION_VALUES,
    TKP__SELECT_CLS_SHALLOW,
    TKP__SELECT_CLIP,
    TKP__SELECT_CLIP_TEXT,
    TKP__SELECT_CLIP_TOKENS,
    TKP__SELECT_EMBEDDINGS,
    TKP__SELECT_PIVOT_ORDER,
    TKP__SELECT_ROPE_THETA,
    TKP__SELECT_GRID,
    TKP__SELECT_TILE,
    TKP__SELECT_SPAN,
    TKP__SELECT_TEXT_SPAN,
    TKP__SELECT_LENGTH,
    TKP__SELECT_POSITIONS,
    TKP__SELECT_KEEP_ALWAYS,
    TKP__SELECT_VALID,
    TKP__SELECT_TENSORS
};

/* Copies of the tensors: floating ones in one dtype, lse and scores in f32,
 * counts in i64, positions in i32, masks in u8. dtype NONE = not in the file. */
typedef struct tkp__select_file {
    const char *path;
    tkp_tensor tensor[TKP__SELECT_TENSORS];
    int32_t dtype;  /* of hidden, q, k, ... */
    char *names;    /* of all tensors of the file, "a, b, c" */
    json_t *others; /* names that mean nothing here */
} tkp__select_file;

tkp_status tkp__select_file_read(tkp__select_file *out, const char *path);
void tkp__select_file_release(tkp__select_file *file);
bool tkp__select_has(const tkp__select_file *file, int32_t tensor);
const char *tkp__select_name(int32_t tensor);
const int64_t *tkp__select_i64(const tkp__select_file *file, int32_t tensor);

/* One image of the case. */
typedef struct tkp__select_image {
    int64_t start, end; /* rows in the sequence, newlines included */
    int64_t frames, rows, cols, row_stride;
    int64_t first_cell; /* cells of the images before */
} tkp__select_image;

typedef struct tkp__select_case {
    const tkp__select_file *file;
    int64_t length;       /* R: rows of the sequence */
    int64_t cells;        /* N: cells of all images, padding included */
    int64_t width;        /* D, 1 where there are no rows */
    int64_t *row_of_cell; /* [N] */
    int32_t n_images;
    tkp__select_image *images;
    tkp_tensor hidden; /* [R, D]; of `features` with zeros between, or none */
    void *scattered;   /* memory of those */
    tkp_model_desc model;
    tkp_layout *layout;
    tkp_inputs inputs;
    tkp_tensor plain_q, plain_k;
    tkp_tensor vision_values;
    tkp_tensor q, k, lse, attention_rows, attention, cls_attention, scores,
        norm_weight, text, values, vision, vision_keys, cls_shallow, clip,
        clip_text, clip_tokens, embeddings, pivot_order;
} tkp__select_case;

/* select_inputs.c */
tkp_status
tkp__select_case_create(tkp__select_case *out, const tkp__select_file *file);
void tkp__select_case_release(tkp__select_case *c);

/* Just the stage that is to be applied, as a policy of its own. */
typedef struct tkp__select_stage {
    tkp_policy *policy;
    int32_t number; /* in the policy it comes from */
    tkp_stage_options options;
} tkp__select_stage;

/* What is left; arrays over cells or over kept cells. */
typedef struct tkp__select_outcome {
    int64_t n_kept;
    int32_t *kept;       /* [K] cells, ascending */
    float *sizes;        /* [K] tokens each stands for */
    int32_t *assignment; /* [N] entry of `kept` each cell went to; -1 */
    float *scores;       /* [N], NaN for padding; NULL = none were needed */
    int64_t rows_out;
    int32_t *indices; /* [rows_out] rows of the sequence that stay */
    int32_t position_rows;
    int32_t *positions; /* [position_rows, rows_out] */
    float *key_bias;    /* [rows_out], or NULL */
    void *rows;         /* [K, D] after merging; NULL without hidden rows */
    void *hidden;       /* [rows_out, D] the sequence after the cut; likewise */
    uint32_t needs;     /* enum tkp_need */
    bool cut;           /* false: the stage keeps everything */
} tkp__select_outcome;

/* select_stage.c. layers = 0: just enough for the stage. */
tkp_status tkp__select_stage_pick(
    tkp__select_stage *out,
    const tkp__cli_policy_choice *choice);
tkp_status tkp__select_apply(
    tkp__select_outcome *out,
    tkp__select_case *c,
    const tkp__select_stage *stage,
    tkp_context *context,
    int64_t layers);
void tkp__select_outcome_release(tkp__select_outcome *o);

/* select_output.c */
json_t *tkp__select_to_json(
    const tkp__select_case *c,
    const tkp__select_stage *stage,
    const tkp__select_outcome *o,
    const tkp_context *context);
void tkp__select_print(
    const tkp__select_case *c,
    const tkp__select_stage *stage,
    const tkp__select_outcome *o);
tkp_status tkp__select_write(
    const char *path,
    const tkp__select_case *c,
    const tkp__select_outcome *o);

/* --- the device (select_device.c) ------------------------------------------- */

enum { TKP__SELECT_DEVICE_MOST = 32 };

typedef struct tkp__select_device {
    tkp_context *context;
    tkp_exec *exec;
    bool away; /* not the host's memory */
    int32_t count;
    void *memory[TKP__SELECT_DEVICE_MOST];
    tkp_tensor views[TKP__SELECT_DEVICE_MOST];
} tkp__select_device;

/* Memory where the context works; it goes with the others. */
tkp_status
tkp__select_device_alloc(tkp__select_device *d, void **out, uint64_t bytes);
/* The views of `in` become views of copies there, if it is away. */
tkp_status tkp__select_device_inputs(
    tkp__select_device *d,
    tkp_context *context,
    tkp_exec *exec,
    bool away,
    tkp_inputs *in);
void tkp__select_device_release(tkp__select_device *d);

#endif
