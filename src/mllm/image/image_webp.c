/*
 * WebP (still pictures, lossy and lossless) by libwebp; alpha is dropped
 * without compositing, as Pillow's convert("RGB") does.
 */

#include "mllm/image/image_codec.h"

#include <webp/decode.h>

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

/* RIFF: 12 bytes, then chunks of name, size, data padded to even length. */
static int32_t exif_orientation(const tkp__encoded *in)
{
    size_t at = 12;
    while (in->size - at >= 8) {
        const size_t length = read_u32(in->bytes + at + 4);
        if (length > in->size - at - 8)
            return 1;
        if (memcmp(in->bytes + at, "EXIF", 4) == 0)
            return tkp__image_exif_orientation(in->bytes + at + 8, length);
        const size_t step = 8 + length + (length & 1);
        if (step > in->size - at)
            return 1;
        at += step;
    }
    return 1;
}

static const char *reason(VP8StatusCode code)
{
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return "libwebp has no memory";
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return "the file ends too early";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return "a feature that libwebp does not know";
    default:
        return "the bit stream is not valid";
    }
}

static tkp_status damaged(const tkp__encoded *in, VP8StatusCode code)
{
    return tkp__fail(
        code == VP8_STATUS_OUT_OF_MEMORY ? TKP_ERR_MEMORY : TKP_ERR_FORMAT,
        "%s: WebP is damaged: %s", in->name, reason(code));
}

tkp_status tkp__image_decode_webp(
    tkp__image *out,
    const tkp__encoded *in,
    int32_t *orientation)
{
    WebPDecoderConfig config;
    TKP__CHECK(
        WebPInitDecoderConfig(&config), TKP_ERR_VERSION,
        "%s: libwebp is of another version than its header", in->name);
    VP8StatusCode code = WebPGetFeatures(in->bytes, in->size, &config.input);
    if (code != VP8_STATUS_OK)
        return damaged(in, code);
    TKP__CHECK(
        !config.input.has_animation, TKP_ERR_UNSUPPORTED,
        "%s: WebP is animated, wanted a still picture", in->name);
    tkp__image image = {0};
    TKP__TRY(tkp__image_alloc(
        &image, config.input.height, config.input.width, in->max_pixels,
        in->name));
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = image.rgb;
    config.output.u.RGBA.stride = (int)(image.width * 3);
    config.output.u.RGBA.size = (size_t)image.height * (size_t)image.width * 3;
    code = WebPDecode(in->bytes, in->size, &config);
    WebPFreeDecBuffer(&config.output);
    if (code != VP8_STATUS_OK) {
        tkp__image_release(&image);
        return damaged(in, code);
    }
    *orientation = exif_orientation(in);
    *out = image;
    return TKP_OK;
}
