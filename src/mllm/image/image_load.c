/*
 * A picture file into RGB bytes: read it whole, tell the format by its first
 * bytes, hand it to that format's decoder, turn it if asked.
 */

#include "mllm/image/image_codec.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

/* A picture of Pillow's largest size is 512 MiB as raw RGB; a file above this
 * is not a picture that we could accept. */
#define MAX_FILE_BYTES ((int64_t)1 << 30)

void tkp__image_release(tkp__image *image)
{
    if (!image)
        return;
    tkp__free(image->rgb);
    *image = (tkp__image){0};
}

tkp_status tkp__image_alloc(
    tkp__image *out,
    int64_t height,
    int64_t width,
    int64_t max_pixels,
    const char *name)
{
    TKP__CHECK(
        height > 0 && width > 0, TKP_ERR_FORMAT,
        "%s: size is %lld x %lld, wanted at least 1 x 1", name,
        (long long)width, (long long)height);
    int64_t pixels;
    TKP__CHECK(
        tkp__mul_i64(height, width, &pixels) && pixels <= max_pixels,
        TKP_ERR_FORMAT, "%s: size is %lld x %lld, wanted at most %lld pixels",
        name, (long long)width, (long long)height, (long long)max_pixels);
    uint8_t *rgb = tkp__alloc((size_t)pixels, 3);
    if (!rgb)
        return TKP_ERR_MEMORY;
    *out = (tkp__image){.height = height, .width = width, .rgb = rgb};
    return TKP_OK;
}

static bool is_png(const tkp__encoded *in)
{
    return in->size >= 8 && memcmp(in->bytes, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static bool is_jpeg(const tkp__encoded *in)
{
    return in->size >= 3 && memcmp(in->bytes, "\xff\xd8\xff", 3) == 0;
}

static bool is_webp(const tkp__encoded *in)
{
    return in->size >= 12 && memcmp(in->bytes, "RIFF", 4) == 0 &&
           memcmp(in->bytes + 8, "WEBP", 4) == 0;
}

/* MP4 and QuickTime, Matroska and WebM, AVI. AVIF pictures are boxes too. */
static bool is_video(const tkp__encoded *in)
{
    const uint8_t *b = in->bytes;
    return in->size >= 12 &&
           ((memcmp(b + 4, "ftyp", 4) == 0 && memcmp(b + 8, "avif", 4) != 0 &&
             memcmp(b + 8, "heic", 4) != 0) ||
            memcmp(b, "\x1a\x45\xdf\xa3", 4) == 0 ||
            (memcmp(b, "RIFF", 4) == 0 && memcmp(b + 8, "AVI ", 4) == 0));
}

static tkp_status
decode_any(tkp__image *out, const tkp__encoded *in, int32_t *orientation)
{
    if (is_jpeg(in))
        return tkp__image_decode_jpeg(out, in, orientation);
    if (is_png(in))
        return tkp__image_decode_png(out, in, orientation);
    if (is_webp(in))
        return tkp__image_decode_webp(out, in, orientation);
    TKP__CHECK(
        !is_video(in), TKP_ERR_UNSUPPORTED,
        "%s: is a video file, which this library has no decoder for; wanted "
        "its frames as JPEG, PNG or WebP files",
        in->name);
    return tkp__fail(
        TKP_ERR_FORMAT,
        "%s: begins like no JPEG, PNG or WebP file (%zu bytes), wanted one of "
        "these",
        in->name, in->size);
}

tkp_status tkp__image_load_memory(
    tkp__image *out,
    const void *bytes,
    size_t size,
    const char *name,
    bool exif_transpose,
    int64_t max_pixels)
{
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL, wanted an image");
    TKP__CHECK(
        bytes || size == 0, TKP_ERR_ARGUMENT,
        "bytes is NULL, wanted %zu bytes of a picture", size);
    TKP__CHECK(
        max_pixels >= 0, TKP_ERR_ARGUMENT,
        "max_pixels is %lld, wanted 0 (the default) or more",
        (long long)max_pixels);
    const tkp__encoded in = {
        .bytes = bytes,
        .size = size,
        .name = name ? name : "image",
        .max_pixels = max_pixels ? max_pixels : TKP__IMAGE_MAX_PIXELS};
    tkp__image image = {0};
    int32_t orientation = 1;
    TKP__TRY(decode_any(&image, &in, &orientation));
    if (exif_transpose) {
        tkp_status status = tkp__image_apply_orientation(&image, orientation);
        if (status != TKP_OK) {
            tkp__image_release(&image);
            return status;
        }
    }
    *out = image;
    return TKP_OK;
}

/* Only regular files: a size must be known before memory is asked for. */
static tkp_status regular_size(FILE *file, const char *path, size_t *size)
{
    struct stat info;
    TKP__CHECK(
        fstat(fileno(file), &info) == 0, TKP_ERR_IO, "%s: %s", path,
        strerror(errno));
    TKP__CHECK(
        S_ISREG(info.st_mode), TKP_ERR_IO,
        "%s: is not a regular file, wanted a picture", path);
    TKP__CHECK(
        info.st_size <= MAX_FILE_BYTES, TKP_ERR_FORMAT,
        "%s: size is %lld bytes, wanted at most %lld", path,
        (long long)info.st_size, (long long)MAX_FILE_BYTES);
    *size = (size_t)info.st_size;
    return TKP_OK;
}

tkp_status tkp__image_load_file(
    tkp__image *out,
    const char *path,
    bool exif_transpose,
    int64_t max_pixels)
{
    TKP__CHECK(path, TKP_ERR_ARGUMENT, "path is NULL, wanted a file name");
    FILE *file = fopen(path, "rb");
    TKP__CHECK(file, TKP_ERR_IO, "%s: %s", path, strerror(errno));
    uint8_t *bytes = NULL;
    size_t size = 0;
    tkp_status status;
    TKP__TRY_OUT(regular_size(file, path, &size));
    bytes = tkp__alloc(size, 1);
    if (!bytes) {
        status = TKP_ERR_MEMORY;
        goto out;
    }
    if (fread(bytes, 1, size, file) != size) {
        status = tkp__fail(
            TKP_ERR_IO, "%s: fewer bytes came than its size of %zu", path,
            size);
        goto out;
    }
    status = tkp__image_load_memory(
        out, bytes, size, path, exif_transpose, max_pixels);
out:
    tkp__free(bytes);
    fclose(file);
    return status;
}
