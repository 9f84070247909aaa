#ifndef TOKENPRUNE_FLAT_MLLM_H
#define TOKENPRUNE_FLAT_MLLM_H

/* The reference engine by flat calls; see flat.h. */

#include "flat.h"
#include "tokenprune/mllm.h"

tkp_status flat_mllm_load(
    int64_t *out,
    flat_handle context,
    const char *directory,
    int32_t dtype,
    int32_t pack,
    int32_t tiling,
    int64_t max_pixels);
tkp_status flat_mllm_get_info(flat_handle model, tkp_mllm_info *info);

/* A batch of prompts: one call for each thing it is made of. Texts are copied. */
tkp_status flat_requests_create(int64_t *out);
/** A prompt; what follows belongs to it. `system`: empty = none. */
tkp_status flat_requests_add(
    flat_handle requests,
    const char *prompt,
    const char *system,
    int32_t format,
    int64_t id);
tkp_status flat_requests_add_image(flat_handle requests, const char *path);
/** A video; its frames follow, by flat_requests_add_frame(). */
tkp_status flat_requests_add_video(flat_handle requests, double fps);
tkp_status flat_requests_add_frame(flat_handle requests, const char *path);

/* What a language wants to hear of while it waits; any may be NULL. */
typedef struct flat_callbacks {
    tkp_mllm_text_fn on_text;
    tkp_mllm_stop_fn should_stop;
    void *user; /* handed to both */
} flat_callbacks;

/**
 * @param policy     0 = no pruning
 * @param options    numbers; its pointers are passed over
 * @param callbacks  address of flat_callbacks; 0 = none
 * SCORES: [N] f32, for policies with external scores.
 */
tkp_status flat_mllm_generate(
    int64_t *out,
    flat_handle model,
    flat_handle requests,
    flat_handle policy,
    const tkp_mllm_generate_options *options,
    int64_t callbacks,
    const int64_t *tensors,
    int64_t n_tensors);

int32_t flat_result_stopped(flat_handle result);
const char *flat_result_text(flat_handle result, int32_t i);
/** OUT_DATA: i32, or left out to ask for the count. */
tkp_status flat_result_tokens(
    int64_t *out,
    flat_handle result,
    int32_t i,
    const int64_t *tensors,
    int64_t n_tensors);
/** OUT_LAYER_TOKENS, OUT_LAYER_VISUAL: [layers] i64, if wanted. */
tkp_status flat_result_report(
    flat_handle result,
    tkp_report *report,
    const int64_t *tensors,
    int64_t n_tensors);
tkp_status flat_result_times(flat_handle result, tkp_mllm_times *times);
int32_t flat_result_images(flat_handle result, int32_t i);
int32_t flat_result_picture(flat_handle result, int32_t i, int32_t image);
int64_t flat_result_encoder_patches(flat_handle result, int32_t block);
/** OUT_DATA: i32, or left out to ask for the count. */
tkp_status flat_result_kept_cells(
    int64_t *out,
    flat_handle result,
    int32_t i,
    int32_t image,
    const int64_t *tensors,
    int64_t n_tensors);
/** OUT_DATA: [height, width, 3] u8, or left out to ask for the sizes. */
tkp_status flat_result_image(
    int64_t *height_out,
    int64_t *width_out,
    int64_t *rows_out,
    int64_t *cols_out,
    flat_handle result,
    int32_t i,
    int32_t image,
    const int64_t *tensors,
    int64_t n_tensors);

#endif
