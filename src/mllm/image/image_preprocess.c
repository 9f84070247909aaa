/*
 * What CLIPImageProcessor (and LlavaImageProcessor, which pads first) does to
 * a picture, in the arithmetic of its Pillow path (models.md 3.3, 3.4.1).
 */

#include "mllm/image/image_codec.h"

#include <math.h>

tkp_status tkp__image_check_numbers(const tkp__image_spec *spec)
{
    for (int c = 0; spec->do_normalize && c < 3; c++)
        TKP__CHECK(
            spec->std[c] > 0.0 && isfinite(spec->std[c]) &&
                isfinite(spec->mean[c]),
            TKP_ERR_OPTION,
            "image: mean %g, std %g of channel %d, wanted finite and std > 0",
            spec->mean[c], spec->std[c], c);
    return TKP_OK;
}

static tkp_status check_spec(const tkp__image_spec *spec)
{
    TKP__CHECK(
        (spec->resize_height > 0) == (spec->resize_width > 0) &&
            spec->resize_height >= 0 && spec->resize_width >= 0 &&
            spec->resize_shortest >= 0,
        TKP_ERR_OPTION,
        "image: resize is shortest %lld, %lld x %lld, wanted one of the two",
        (long long)spec->resize_shortest, (long long)spec->resize_width,
        (long long)spec->resize_height);
    TKP__CHECK(
        (spec->crop_height > 0) == (spec->crop_width > 0) &&
            spec->crop_height >= 0 && spec->crop_width >= 0,
        TKP_ERR_OPTION, "image: crop is %lld x %lld, wanted both or none",
        (long long)spec->crop_width, (long long)spec->crop_height);
    return tkp__image_check_numbers(spec);
}

static void padding_colour(uint8_t colour[3], const tkp__image_spec *spec)
{
    for (int c = 0; c < 3; c++) {
        const double level = 255.0 * spec->mean[c];
        colour[c] = (uint8_t)(level < 0.0 ? 0.0 : fmin(level, 255.0));
    }
}

/* Python divides the integer product as one f64 and truncates. */
static int64_t long_side(int64_t shortest, int64_t longer, int64_t shorter)
{
    return (int64_t)((double)(shortest * longer) / (double)shorter);
}

static tkp_status
resize(tkp__image *out, const tkp__image *in, const tkp__image_spec *spec)
{
    int64_t height = in->height;
    int64_t width = in->width;
    if (spec->resize_height > 0) {
        height = spec->resize_height;
        width = spec->resize_width;
    } else if (spec->resize_shortest > 0) {
        const int64_t shortest = spec->resize_shortest;
        int64_t product;
        TKP__CHECK(
            tkp__mul_i64(shortest, height > width ? height : width, &product),
            TKP_ERR_OPTION, "image: shortest edge %lld is too large",
            (long long)shortest);
        if (width <= height) {
            height = long_side(shortest, height, width);
            width = shortest;
        } else {
            width = long_side(shortest, width, height);
            height = shortest;
        }
    }
    return tkp__image_resize_bicubic(out, in, height, width);
}

/* Pad, resize, crop: the picture that the model sees, still 8-bit. */
static tkp_status
prepare(tkp__image *out, const tkp__image *in, const tkp__image_spec *spec)
{
    tkp__image padded = {0};
    if (spec->pad_square) {
        uint8_t colour[3];
        padding_colour(colour, spec);
        TKP__TRY(tkp__image_pad_square(&padded, in, colour));
    }
    tkp__image resized;
    const tkp_status status =
        resize(&resized, spec->pad_square ? &padded : in, spec);
    tkp__image_release(&padded);
    if (status != TKP_OK || spec->crop_height == 0) {
        if (status == TKP_OK)
            *out = resized;
        return status;
    }
    const tkp_status cropped = tkp__image_crop_centre(
        out, &resized, spec->crop_height, spec->crop_width);
    tkp__image_release(&resized);
    return cropped;
}

/* f64 product rounded to f32, then f32. */
void tkp__image_channel_table(
    float table[256],
    int c,
    const tkp__image_spec *spec)
{
    const float mean = (float)spec->mean[c];
    const float std = (float)spec->std[c];
    for (int i = 0; i < 256; i++) {
        float y = (float)i;
        if (spec->do_rescale)
            y = (float)((double)i * spec->rescale_factor);
        table[i] = spec->do_normalize ? (y - mean) / std : y;
    }
}

tkp_status tkp__image_preprocess_clip(
    float *dst,
    tkp__image *prepared,
    const tkp__image *in,
    const tkp__image_spec *spec)
{
    TKP__CHECK(
        dst && in && in->rgb && spec, TKP_ERR_ARGUMENT,
        "preprocess: dst, picture or options are NULL, wanted all three");
    TKP__TRY(check_spec(spec));
    tkp__image image;
    TKP__TRY(prepare(&image, in, spec));
    const int64_t pixels = image.height * image.width;
    for (int c = 0; c < 3; c++) {
        float table[256];
        tkp__image_channel_table(table, c, spec);
        for (int64_t i = 0; i < pixels; i++)
            dst[c * pixels + i] = table[image.rgb[i * 3 + c]];
    }
    if (prepared)
        *prepared = image;
    else
        tkp__image_release(&image);
    return TKP_OK;
}
