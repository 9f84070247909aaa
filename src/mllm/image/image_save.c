/*
 * RGB bytes into a PNG file.
 */

#include "mllm/image/image_codec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>

#include <png.h>

typedef struct encoder {
    png_structp png;
    png_infop info;
    char text[160];
} encoder;

static void escape_on_error(png_structp png, png_const_charp text)
{
    encoder *e = png_get_error_ptr(png);
    snprintf(e->text, sizeof(e->text), "%s", text);
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static tkp_status
encode(encoder *e, FILE *file, const tkp__image *image, const char *path)
{
    if (setjmp(png_jmpbuf(e->png)))
        return tkp__fail(TKP_ERR_IO, "%s: PNG not written: %s", path, e->text);
    png_init_io(e->png, file);
    png_set_IHDR(
        e->png, e->info, (png_uint_32)image->width, (png_uint_32)image->height,
        8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
        PNG_FILTER_TYPE_DEFAULT);
    png_write_info(e->png, e->info);
    for (int64_t y = 0; y < image->height; y++)
        png_write_row(e->png, image->rgb + y * image->width * 3);
    png_write_end(e->png, e->info);
    return TKP_OK;
}

static tkp_status
write_stream(FILE *file, const tkp__image *image, const char *path)
{
    encoder e = {.text = ""};
    e.png = png_create_write_struct(
        PNG_LIBPNG_VER_STRING, &e, escape_on_error, ignore_warning);
    TKP__CHECK(e.png, TKP_ERR_MEMORY, "%s: libpng has no memory", path);
    e.info = png_create_info_struct(e.png);
    const tkp_status status =
        e.info ? encode(&e, file, image, path)
               : tkp__fail(TKP_ERR_MEMORY, "%s: libpng has no memory", path);
    png_destroy_write_struct(&e.png, &e.info);
    return status;
}

tkp_status tkp__image_save_png(const tkp__image *image, const char *path)
{
    TKP__CHECK(
        image && image->rgb && path, TKP_ERR_ARGUMENT,
        "save: picture or path is NULL, wanted both");
    TKP__CHECK(
        image->height > 0 && image->width > 0 && image->height <= 1000000 &&
            image->width <= 1000000,
        TKP_ERR_SHAPE, "%s: size is %lld x %lld, wanted 1 to 1000000 a side",
        path, (long long)image->width, (long long)image->height);
    FILE *file = fopen(path, "wb");
    TKP__CHECK(file, TKP_ERR_IO, "%s: %s", path, strerror(errno));
    const tkp_status status = write_stream(file, image, path);
    /* A full disk may show only when the last buffer goes out. */
    if (fclose(file) != 0 && status == TKP_OK)
        return tkp__fail(TKP_ERR_IO, "%s: %s", path, strerror(errno));
    return status;
}
