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

/* Paste centred on a canvas; an odd gap has its larger half behind. */
tkp_status tkp__image_pad(
    tkp__image *out,
    const tkp__image *in,
    int64_t height,
    int64_t width,
    const uint8_t colour[3]);
/* ... on a square canvas of the longer side. */
tkp_status tkp__image_pad_square(
    tkp__image *out,
    const tkp__image *in,
    const uint8_t colour[3]);

#define TKP__MAX_PINPOINTS 64

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
    int32_t pinpoints; /* any-res canvases to choose from; 0: one square */
    int32_t pinpoint[TKP__MAX_PINPOINTS][2]; /* height, width */
    int32_t tiling;                          /* enum tkp_mllm_tiling */
    /* Patches of a picture of any size (Qwen2-VL); patch 0: squares as above,
     * else nothing above but rescale, mean and std counts. */
    int64_t patch;  /* side of a patch, in pixels */
    int64_t merge;  /* patches a side that become one token */
    int64_t frames; /* pictures of a video that become one patch */
    int64_t min_pixels, max_pixels; /* of a picture once resized */
    bool keep_size; /* do not resize: sides must be whole patches already */
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

/* Any resolution (LLaVA-NeXT): the picture, as large as it fits, in the middle
 * of the canvas that wastes least, cut into the squares that the encoder
 * takes; and before them one square that shows it whole. */
typedef struct tkp__tiling {
    int64_t canvas_height, canvas_width; /* pixels */
    int64_t height, width;               /* of the picture on it */
    int32_t rows, cols;                  /* tiles */
    /* Patches that show the picture, of all the tiles' side by side; the rest
     * is padding. A picture that is too thin may lose all lines or columns. */
    int32_t first_row, first_col, grid_rows, grid_cols;
} tkp__tiling;

/* For a picture of `height` x `width`; a tile has `side` pixels and `patches`
 * patches a side. */
tkp_status tkp__image_tiling(
    tkp__tiling *out,
    const tkp__image_spec *spec,
    int64_t height,
    int64_t width,
    int64_t side,
    int64_t patches);

/* dst [1 + rows cols, 3, side, side] f32. `whole` and `tiled` receive what the
 * first and the other squares show, the latter without padding (no pixels if
 * nothing is left); owned by the caller. */
tkp_status tkp__image_preprocess_tiles(
    float *dst,
    tkp__image *whole,
    tkp__image *tiled,
    const tkp__image *in,
    const tkp__image_spec *spec,
    const tkp__tiling *tiling,
    int64_t side,
    int64_t patches);

/* Any size (Qwen2-VL): the picture is resized to whole tokens, near its own
 * size and shape, and cut into patches. A video is `frames` pictures of one
 * size; an odd one out at the end is taken twice, and so is a still image. */
typedef struct tkp__patch_grid {
    int64_t t, h, w; /* patches in time, down and across */
} tkp__patch_grid;

/* For pictures of `height` x `width`. Refused: a side more than 200 times the
 * other (TKP_ERR_ARGUMENT), as the published processor does. */
tkp_status tkp__image_patch_grid(
    tkp__patch_grid *out,
    const tkp__image_spec *spec,
    int64_t frames,
    int64_t height,
    int64_t width);

/* Floats that tkp__image_preprocess_patches() writes, and visual tokens. */
tkp_status tkp__patch_grid_floats(
    size_t *out,
    const tkp__patch_grid *grid,
    const tkp__image_spec *spec);
int64_t tkp__patch_grid_tokens(
    const tkp__patch_grid *grid,
    const tkp__image_spec *spec);

/* dst [t h w, 3 frames patch patch] f32, row by row what a patch shows:
 * channel, frame, y, x. Patches in reading order of the tokens, and within a
 * token in reading order: those of one token stand together. Each of
 * `prepared` [count], if not NULL, receives the u8 picture after resizing,
 * owned by the caller; none of them on failure. */
tkp_status tkp__image_preprocess_patches(
    float *dst,
    tkp__image *prepared,
    const tkp__image *pictures,
    int64_t count,
    const tkp__image_spec *spec,
    const tkp__patch_grid *grid);

/* One frame of them, as frame `index` and the next `times` - 1 too: for videos
 * that are not in memory all at once. `prepared` as above. */
tkp_status tkp__image_preprocess_frame(
    float *dst,
    tkp__image *prepared,
    const tkp__image *picture,
    int64_t index,
    int64_t times,
    const tkp__image_spec *spec,
    const tkp__patch_grid *grid);

/* Which frames of a video are looked at, and how large. */
typedef struct tkp__video_spec {
    tkp__image_spec frame;          /* bounds on the pixels of each */
    double fps;                     /* frames to look at in a second */
    int64_t frames;                 /* so many in all instead; 0: by fps */
    int64_t min_frames, max_frames; /* by fps */
    int64_t max_tokens; /* of a context: 9/10 of it is the whole video's */
} tkp__video_spec;

/* How many of `total` frames, `fps` of them a second, are looked at: whole
 * patches in time. `chosen` [*count], if not NULL, receives which (the caller
 * asks for the count first). Rule: transformers' Qwen2VLVideoProcessor. */
tkp_status tkp__video_sample(
    int64_t *count,
    int64_t *chosen,
    const tkp__video_spec *spec,
    int64_t total,
    double fps);

/* How each of `count` frames is resized: near their share of all pixels. */
tkp_status tkp__video_frame_spec(
    tkp__image_spec *out,
    const tkp__video_spec *spec,
    int64_t count);

/* Write an RGB picture as PNG. */
tkp_status tkp__image_save_png(const tkp__image *image, const char *path);

#endif
