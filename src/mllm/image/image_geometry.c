/*
 * Cutting out and padding: whole pixels move, none is computed.
 */

#include "mllm/image/image_codec.h"

/* Copy the part of `in` that meets the window whose corner (0, 0) lies at
 * (top, left) of `in`; the corner may lie outside. */
static void
copy_window(tkp__image *out, const tkp__image *in, int64_t top, int64_t left)
{
    const int64_t x0 = left < 0 ? -left : 0;
    const int64_t x1 =
        in->width - left < out->width ? in->width - left : out->width;
    for (int64_t y = 0; y < out->height && x1 > x0; y++) {
        const int64_t row = top + y;
        if (row < 0 || row >= in->height)
            continue;
        memcpy(
            out->rgb + (y * out->width + x0) * 3,
            in->rgb + (row * in->width + left + x0) * 3, (size_t)(x1 - x0) * 3);
    }
}

static void fill(tkp__image *image, const uint8_t colour[3])
{
    const int64_t pixels = image->height * image->width;
    for (int64_t i = 0; i < pixels; i++)
        memcpy(image->rgb + i * 3, colour, 3);
}

tkp_status tkp__image_crop(
    tkp__image *out,
    const tkp__image *in,
    int64_t top,
    int64_t left,
    int64_t height,
    int64_t width)
{
    TKP__CHECK(
        out && in && in->rgb, TKP_ERR_ARGUMENT,
        "crop: picture is empty, wanted pixels");
    TKP__CHECK(
        top >= 0 && height > 0 && height <= in->height &&
            top <= in->height - height && left >= 0 && width > 0 &&
            width <= in->width && left <= in->width - width,
        TKP_ERR_SHAPE,
        "crop: window is %lld x %lld at (%lld, %lld), wanted inside %lld x "
        "%lld",
        (long long)width, (long long)height, (long long)left, (long long)top,
        (long long)in->width, (long long)in->height);
    tkp__image result;
    TKP__TRY(tkp__image_alloc(&result, height, width, INT64_MAX, "crop"));
    copy_window(&result, in, top, left);
    *out = result;
    return TKP_OK;
}

/* Hugging Face's center_crop: floor of half the surplus is cut off in front,
 * ceil of half the lack is put there in black. */
static int64_t centre_offset(int64_t length, int64_t wanted)
{
    return length >= wanted ? (length - wanted) / 2
                            : -((wanted - length + 1) / 2);
}

tkp_status tkp__image_crop_centre(
    tkp__image *out,
    const tkp__image *in,
    int64_t height,
    int64_t width)
{
    tkp__image result;
    TKP__TRY(tkp__image_alloc(
        &result, height, width, TKP__IMAGE_MAX_PIXELS, "crop"));
    const uint8_t black[3] = {0, 0, 0};
    if (height > in->height || width > in->width)
        fill(&result, black);
    copy_window(
        &result, in, centre_offset(in->height, height),
        centre_offset(in->width, width));
    *out = result;
    return TKP_OK;
}

tkp_status tkp__image_pad(
    tkp__image *out,
    const tkp__image *in,
    int64_t height,
    int64_t width,
    const uint8_t colour[3])
{
    TKP__CHECK(
        out && in && in->rgb && colour, TKP_ERR_ARGUMENT,
        "pad: picture or colour is empty, wanted both");
    TKP__CHECK(
        height >= in->height && width >= in->width, TKP_ERR_SHAPE,
        "pad: canvas is %lld x %lld, wanted at least %lld x %lld",
        (long long)width, (long long)height, (long long)in->width,
        (long long)in->height);
    tkp__image result;
    TKP__TRY(
        tkp__image_alloc(&result, height, width, TKP__IMAGE_MAX_PIXELS, "pad"));
    fill(&result, colour);
    copy_window(
        &result, in, -((height - in->height) / 2), -((width - in->width) / 2));
    *out = result;
    return TKP_OK;
}

tkp_status tkp__image_pad_square(
    tkp__image *out,
    const tkp__image *in,
    const uint8_t colour[3])
{
    TKP__CHECK(in, TKP_ERR_ARGUMENT, "pad: picture is NULL");
    const int64_t side = in->height > in->width ? in->height : in->width;
    return tkp__image_pad(out, in, side, side, colour);
}
