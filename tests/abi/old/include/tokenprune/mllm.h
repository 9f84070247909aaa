#ifndef TOKENPRUNE_MLLM_H
#define TOKENPRUNE_MLLM_H

#include "tokenprune.h"

TKP_BEGIN_DECLS

/*
 * libtokenprune-mllm: a complete reference multimodal LLM, from a Hugging Face
 * directory, an image file and a question to an answer, pruned by a policy. It
 * meets libtokenprune only through its public headers: read src/mllm/engine.c
 * as the example of an engine that uses them.
 *
 * Functions set tkp_last_message() as the core library does.
 */

/** A loaded model: immutable, shared by threads. */
typedef struct tkp_mllm tkp_mllm;
/** The answers to one batch. */
typedef struct tkp_mllm_result tkp_mllm_result;

typedef struct tkp_mllm_options {
    uint32_t struct_size;
    int32_t dtype;      /* activations: TKP_DTYPE_F32 | _BF16; 0 = bf16 for bf16
                           weights, else f32 */
    int32_t pack;       /* enum tkp_pack, for the linear weights */
    int32_t reserved;
    int64_t max_pixels; /* larger images are refused; 0 = 178956970 */
} tkp_mllm_options;

#define TKP_MLLM_OPTIONS_INIT                                                  \
    {                                                                          \
        (uint32_t)sizeof(tkp_mllm_options), 0, 0, 0, 0                         \
    }
TKP_API void tkp_mllm_options_init(tkp_mllm_options *options);

/**
 * Map the weights and read the configuration of a model directory.
 * @retval TKP_ERR_FORMAT       a file is damaged; message: file, field, values
 * @retval TKP_ERR_UNSUPPORTED  a model, layout or option that is not there yet
 */
TKP_API TKP_NODISCARD tkp_status tkp_mllm_load(
    tkp_mllm **out,
    tkp_context *context,
    const char *directory,
    const tkp_mllm_options *options);
TKP_API void tkp_mllm_destroy(tkp_mllm *model);

typedef struct tkp_mllm_info {
    uint32_t struct_size;
    int32_t dtype;        /* activations */
    int32_t weight_dtype; /* of most weights */
    int32_t layers, heads, kv_heads, head_dim;
    int64_t hidden, intermediate, vocab, max_positions;
    int32_t vision_layers; /* that run */
    int32_t vision_heads;
    int64_t vision_hidden;
    int32_t grid_rows, grid_cols; /* visual tokens of one image */
    int64_t parameters;
    int64_t weight_bytes;
    const char *kind; /* "llava" */
} tkp_mllm_info;

#define TKP_MLLM_INFO_INIT                                                     \
    {                                                                          \
        (uint32_t)sizeof(tkp_mllm_info)                                        \
    }
TKP_API void tkp_mllm_info_init(tkp_mllm_info *info);
TKP_API TKP_NODISCARD tkp_status
tkp_mllm_get_info(const tkp_mllm *model, tkp_mllm_info *info);

/** One prompt of a batch. */
typedef struct tkp_mllm_request {
    uint32_t struct_size;
    uint32_t id;        /* names it to the random generator */
    const char *prompt; /* the question (or, RAW, the whole prompt), UTF-8 */
    const char *system; /* system text; NULL = none */
    const char *const *images; /* [n_images] files, in order of appearance; one
                                  for each "<image>" in the prompt, or none
                                  there: then they come before the text */
    int32_t n_images;
    int32_t format; /* enum tkp_mllm_format */
} tkp_mllm_request;

enum tkp_mllm_format {
    TKP_MLLM_FORMAT_MODEL = 0, /* as the model's chat template has it */
    TKP_MLLM_FORMAT_RAW = 1,
    TKP_MLLM_FORMAT_VICUNA_V1 = 2
};

#define TKP_MLLM_REQUEST_INIT                                                  \
    {                                                                          \
        (uint32_t)sizeof(tkp_mllm_request), 0, NULL, NULL, NULL, 0, 0          \
    }
TKP_API void tkp_mllm_request_init(tkp_mllm_request *request);

/** Text that became certain; return non-zero to stop (TKP_ERR_CANCELLED). */
typedef int32_t (*tkp_mllm_text_fn)(
    void *user, int32_t request, const char *text, size_t bytes);

/** Activations by name, for parity tests and research: "vision.layer",
 * "projector", "embeddings", "llm.layer", "llm.q", "llm.k", "llm.norm",
 * "logits" ...; see docs/mllm.md. The view dies with the call. */
typedef void (*tkp_mllm_trace_fn)(
    void *user, const char *name, int32_t layer, const tkp_tensor *tensor);

typedef struct tkp_mllm_generate_options {
    uint32_t struct_size;
    int32_t max_new_tokens; /* 0 = 64; -1 = prefill only */
    tkp_policy *policy;     /* NULL = no pruning */
    int32_t do_sample;      /* 0 = greedy */
    int32_t top_k;          /* 0 = off */
    double temperature;     /* 0 = 1 */
    double top_p;           /* 0 = 1 */
    double repetition_penalty; /* 0 = 1 */
    uint64_t seed;
    int32_t ignore_eos; /* 1: always max_new_tokens (benchmarks) */
    int32_t reserved;
    tkp_mllm_text_fn on_text;
    void *on_text_user;
    tkp_mllm_trace_fn on_trace;
    void *on_trace_user;
} tkp_mllm_generate_options;

#define TKP_MLLM_GENERATE_OPTIONS_INIT                                         \
    {                                                                          \
        (uint32_t)sizeof(tkp_mllm_generate_options)                            \
    }
TKP_API void
tkp_mllm_generate_options_init(tkp_mllm_generate_options *options);

/**
 * Answer a batch of prompts.
 *
 * @param[out] out       Destroy with tkp_mllm_result_destroy().
 * @param[in]  requests  [count], each with its own struct_size
 * @retval TKP_ERR_ARGUMENT  a prompt without image, with too many, too long...
 * @retval TKP_ERR_IO, TKP_ERR_FORMAT  an image cannot be read or decoded
 */
TKP_API TKP_NODISCARD tkp_status tkp_mllm_generate(
    tkp_mllm_result **out,
    const tkp_mllm *model,
    const tkp_mllm_request *requests,
    int32_t count,
    const tkp_mllm_generate_options *options);
TKP_API void tkp_mllm_result_destroy(tkp_mllm_result *result);

/** Answer text of request i (UTF-8, valid until destroy); NULL outside. */
TKP_API const char *
tkp_mllm_result_text(const tkp_mllm_result *result, int32_t i);
/** New token ids, the stop token included. */
TKP_API int64_t tkp_mllm_result_tokens(
    const tkp_mllm_result *result, int32_t i, const int32_t **ids);

/** Tokens, layers, MACs, KV bytes of the batch's prefill. */
TKP_API TKP_NODISCARD tkp_status tkp_mllm_result_report(
    const tkp_mllm_result *result, tkp_report *report);

typedef struct tkp_mllm_times {
    uint32_t struct_size;
    int32_t decode_steps;
    double load_images; /* decode and preprocess, seconds */
    double vision;      /* encoder and projector */
    double prefill;     /* decoder over the prompt, pruning included */
    double pruning;     /* part of prefill: score, select, merge, gather */
    double decode;      /* all generated tokens but the first */
} tkp_mllm_times;

#define TKP_MLLM_TIMES_INIT                                                    \
    {                                                                          \
        (uint32_t)sizeof(tkp_mllm_times)                                       \
    }
TKP_API void tkp_mllm_times_init(tkp_mllm_times *times);
TKP_API TKP_NODISCARD tkp_status
tkp_mllm_result_times(const tkp_mllm_result *result, tkp_mllm_times *times);

/**
 * Kept cells of image `image` of request i after the last cut (ascending), as
 * tkp_sequence_kept_cells().
 */
TKP_API int64_t tkp_mllm_result_kept_cells(
    const tkp_mllm_result *result,
    int32_t i,
    int32_t image,
    const int32_t **cells);

/**
 * The picture as the model saw it (resized and cropped).
 * @param[out] rgb  [height, width, 3] u8, valid until destroy
 */
TKP_API TKP_NODISCARD tkp_status tkp_mllm_result_image(
    const tkp_mllm_result *result,
    int32_t i,
    int32_t image,
    const uint8_t **rgb,
    int32_t *height,
    int32_t *width,
    int32_t *grid_rows,
    int32_t *grid_cols);

TKP_END_DECLS

#endif
