#ifndef TKP_MLLM_IMAGE_IMAGE_CODEC_H
#define TKP_MLLM_IMAGE_IMAGE_CODEC_H

/*
 * Between the files of this room: one decoder a format, and what they share.
 * A decoder fills `out` (allocated with tkp__image_alloc) or leaves it alone.
 */

#include "mllm/image/image.h"

/* Pillow refuses above twice its MAX_IMAGE_PIXELS; so do we. */
#define TKP__IMAGE_MAX_PIXELS 178956970

typedef struct tkp__encoded {
    const uint8_t *bytes;
    size_t size;
    const char *name; /* for messages */
    int64_t max_pixels;
} tkp__encoded;

/* Sizes checked against max_pixels before anything is allocated. */
tkp_status tkp__image_alloc(
    tkp__image *out,
    int64_t height,
    int64_t width,
    int64_t max_pixels,
    const char *name);

/* `orientation` receives the EXIF value 1..8, 1 where there is none. */
tkp_status tkp__image_decode_jpeg(
    tkp__image *out,
    const tkp__encoded *in,
    int32_t *orientation);
tkp_status tkp__image_decode_png(
    tkp__image *out,
    const tkp__encoded *in,
    int32_t *orientation);
tkp_status tkp__image_decode_webp(
    tkp__image *out,
    const tkp__encoded *in,
    int32_t *orientation);

/* Orientation of a TIFF-structured EXIF block; 1 if there is none or if the
 * block is damaged, for a picture is worth more than its notes. */
int32_t tkp__image_exif_orientation(const uint8_t *exif, size_t size);

/* Turn and mirror in place as orientation 1..8 says. */
tkp_status tkp__image_apply_orientation(tkp__image *image, int32_t orientation);

/* Centred window; what lies outside the picture is black. */
tkp_status tkp__image_crop_centre(
    tkp__image *out,
    const tkp__image *in,
    int64_t height,
    int64_t width);

/* Mean and standard deviation fit to divide by. */
tkp_status tkp__image_check_numbers(const tkp__image_spec *spec);

/* What each of the 256 levels of channel c becomes. */
void tkp__image_channel_table(
    float table[256],
    int c,
    const tkp__image_spec *spec);

#endif
