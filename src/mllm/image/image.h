#ifndef TKP_MLLM_IMAGE_IMAGE_H
#define TKP_MLLM_IMAGE_IMAGE_H

/*
 * From a picture file to the numbers a vision encoder takes: decode, resize as
 * Pillow does (bit for bit), crop or pad, normalise. One file a step.
 */

#include "util/util.h"

typedef struct tkp__image {
    int64_t height;
    int64_t width;
    uint8_t *rgb; /* [height, width, 3], owned */
} tkp__image;

void tkp__image_release(tkp__image *image);

/* JPEG, PNG or WebP by content. `exif_transpose` turns the picture as its EXIF
 * orientation says. Refused: more than `max_pixels` (0: 178956970, Pillow's
 * limit), damaged or truncated files. Messages name the file. */
tkp_status tkp__image_load_file(
    tkp__image *out,
    const char *path,
    bool exif_transpose,
    int64_t max_pixels);
tkp_status tkp__image_load_memory(
    tkp__image *out,
    const void *bytes,
    size_t size,
    const char *name,
    bool exif_transpose,
    int64_t max_pixels);

/* Pillow's bicubic on u8 (models.md 3.2), bit equal. */
tkp_status tkp__image_resize_bicubic(
    tkp__image *out,
    const tkp__image *in,
    int64_t height,
    int64_t width);

tkp_status tkp__image_crop(
    tkp__image *out,
    const tkp__image *in,
    int64_t top,
    int64_t left,
    int64_t height,
    int64_t width);

/* Paste centred on a square canvas of the longer side. */
tkp_status tkp__image_pad_square(
    tkp__image *out,
    const tkp__image *in,
    const uint8_t colour[3]);

/* What preprocessor_config.json says. */
typedef struct tkp__image_spec {
    int64_t resize_shortest; /* 0: no resize */
    int64_t resize_height;   /* both non-zero: stretch to exactly this */
    int64_t resize_width;
    int64_t crop_height; /* 0: no crop */
    int64_t crop_width;
    bool pad_square; /* original LLaVA-1.5, "image_aspect_ratio": "pad" */
    bool do_rescale;
    bool do_normalize;
    double rescale_factor;
    double mean[3];
    double std[3];
} tkp__image_spec;

/* CLIPImageProcessor / LlavaImageProcessor of LLaVA-1.5: pixels become
 * dst[3, crop_height, crop_width] f32 (Pillow path of models.md 3.3).
 * `prepared`, if not NULL, receives the u8 picture after resize and crop (the
 * frame that the model sees; used for overlays), owned by the caller. */
tkp_status tkp__image_preprocess_clip(
    float *dst,
    tkp__image *prepared,
    const tkp__image *in,
    const tkp__image_spec *spec);

/* Write an RGB picture as PNG. */
tkp_status tkp__image_save_png(const tkp__image *image, const char *path);

#endif
