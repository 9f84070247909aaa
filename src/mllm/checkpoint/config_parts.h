#ifndef TKP_MLLM_CHECKPOINT_CONFIG_PARTS_H
#define TKP_MLLM_CHECKPOINT_CONFIG_PARTS_H

/*
 * The parts of a model's configuration, one reader each. `root` is the whole
 * of config.json.
 */

#include "mllm/checkpoint/checkpoint.h"
#include "mllm/checkpoint/checkpoint_json.h"

/* Bounds that no real model comes near and that keep every product of sizes
 * far inside 64 bits. */
#define TKP__MAX_LAYERS    1024
#define TKP__MAX_HEADS     1024
#define TKP__MAX_HEAD_DIM  1024
#define TKP__MAX_WIDTH     65536
#define TKP__MAX_MLP_WIDTH 1048576
#define TKP__MAX_VOCAB     16777216
#define TKP__MAX_POSITIONS 16777216
#define TKP__MAX_PICTURE   16384
#define TKP__MAX_TILES     64

/* `kind` is enum tkp__model_kind. */
tkp_status
tkp__config_read_vision(tkp__vision_config *out, const tkp__json_at *root);
tkp_status tkp__config_read_vit(
    tkp__vision_config *out,
    const tkp__json_at *root,
    const tkp__text_config *text);
tkp_status tkp__config_read_text(
    tkp__text_config *out,
    const tkp__json_at *root,
    int32_t kind);

/* preprocessor_config.json, or the image_processor of processor_config.json,
 * or what the class would do for this vision encoder. `any_resolution`: with
 * the canvases that pictures are fitted into. */
tkp_status tkp__config_read_image(
    tkp__image_spec *out,
    const char *model_dir,
    const tkp__json_at *root,
    const tkp__vision_config *vision,
    bool any_resolution);

/* The same for pictures that go to the encoder as patches, in any size
 * (Qwen2-VL). `patch`, `merge` and `frames` are those of vision_config. */
tkp_status tkp__config_read_patches(
    tkp__image_spec *out,
    const char *model_dir,
    int64_t patch,
    int64_t merge,
    int64_t frames);

/* The same for the frames of videos: video_preprocessor_config.json, or the
 * video_processor of processor_config.json, or the class's own values, which
 * are those of Qwen's helper. */
tkp_status tkp__config_read_video(
    tkp__video_spec *out,
    const char *model_dir,
    int64_t patch,
    int64_t merge,
    int64_t frames);

/* Calls `read` with the section that says how pictures (or videos) are
 * prepared; not at all where no file has one. */
typedef tkp_status (*tkp__config_image_fn)(void *user, const tkp__json_at *at);
tkp_status tkp__config_image_section(
    const char *model_dir,
    bool video,
    tkp__config_image_fn read,
    void *user);
/* What every processor has: how to resample, rescale and normalise. */
tkp_status
tkp__config_image_numbers(tkp__image_spec *out, const tkp__json_at *at);

/* generation_config.json, then the token ids of the text configuration. */
tkp_status tkp__config_read_generation(
    tkp__generation_config *out,
    const char *model_dir,
    const tkp__json_at *root,
    int32_t kind,
    int64_t vocab);

/* enum tkp__activation by its Hugging Face name; `*out` is the default. */
tkp_status
tkp__config_activation(int32_t *out, const tkp__json_at *at, const char *key);

#endif
