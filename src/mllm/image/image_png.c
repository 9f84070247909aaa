/*
 * PNG by libpng, to 8-bit RGB as Pillow's convert("RGB") gives it: palettes
 * looked up, gray copied to three channels, the high byte of 16-bit samples,
 * alpha dropped without compositing.
 */

#include "mllm/image/image_codec.h"

#include <setjmp.h>
#include <stdio.h>

#include <png.h>

typedef struct decoder {
    png_structp png;
    png_infop info;
    const tkp__encoded *in;
    size_t at;
    char text[160];
    tkp__image image;
    png_bytep *rows;
} decoder;

static void escape_on_error(png_structp png, png_const_charp text)
{
    decoder *d = png_get_error_ptr(png);
    snprintf(d->text, sizeof(d->text), "%s", text);
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep dst, png_size_t count)
{
    decoder *d = png_get_io_ptr(png);
    if (count > d->in->size - d->at)
        png_error(png, "the file ends too early");
    memcpy(dst, d->in->bytes + d->at, count);
    d->at += count;
}

static void ask_for_rgb8(decoder *d)
{
    const int colour = png_get_color_type(d->png, d->info);
    png_set_strip_16(d->png);
    if (colour == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(d->png);
    if (colour == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(d->png);
    if (!(colour & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(d->png);
    /* A palette with a transparent entry becomes RGBA inside libpng. */
    png_set_strip_alpha(d->png);
    png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
}

static tkp_status make_rows(decoder *d)
{
    const int64_t height = d->image.height;
    const size_t pitch = (size_t)d->image.width * 3;
    TKP__CHECK(
        png_get_rowbytes(d->png, d->info) == pitch, TKP_ERR_INTERNAL,
        "%s: PNG row has %zu bytes, wanted %zu", d->in->name,
        (size_t)png_get_rowbytes(d->png, d->info), pitch);
    d->rows = tkp__alloc((size_t)height, sizeof(*d->rows));
    if (!d->rows)
        return TKP_ERR_MEMORY;
    for (int64_t y = 0; y < height; y++)
        d->rows[y] = d->image.rgb + (size_t)y * pitch;
    return TKP_OK;
}

static int32_t exif_orientation(decoder *d)
{
#ifdef PNG_eXIf_SUPPORTED
    png_uint_32 size = 0;
    png_bytep exif = NULL;
    if (png_get_eXIf_1(d->png, d->info, &size, &exif) && exif)
        return tkp__image_exif_orientation(exif, size);
#else
    (void)d;
#endif
    return 1;
}

/* No local variable changes between setjmp and a jump: all state is in d. */
static tkp_status decode(decoder *d, int32_t *orientation)
{
    if (setjmp(png_jmpbuf(d->png)))
        return tkp__fail(
            TKP_ERR_FORMAT, "%s: PNG is damaged: %s", d->in->name, d->text);
    png_set_read_fn(d->png, d, read_bytes);
    /* Pillow's own limit replaces libpng's million pixels a side. */
    png_set_user_limits(d->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_read_info(d->png, d->info);
    TKP__TRY(tkp__image_alloc(
        &d->image, png_get_image_height(d->png, d->info),
        png_get_image_width(d->png, d->info), d->in->max_pixels, d->in->name));
    ask_for_rgb8(d);
    TKP__TRY(make_rows(d));
    png_read_image(d->png, d->rows);
    png_read_end(d->png, d->info);
    *orientation = exif_orientation(d);
    return TKP_OK;
}

tkp_status tkp__image_decode_png(
    tkp__image *out,
    const tkp__encoded *in,
    int32_t *orientation)
{
    decoder d = {.in = in, .text = ""};
    d.png = png_create_read_struct(
        PNG_LIBPNG_VER_STRING, &d, escape_on_error, ignore_warning);
    TKP__CHECK(d.png, TKP_ERR_MEMORY, "%s: libpng has no memory", in->name);
    d.info = png_create_info_struct(d.png);
    const tkp_status status =
        d.info
            ? decode(&d, orientation)
            : tkp__fail(TKP_ERR_MEMORY, "%s: libpng has no memory", in->name);
    png_destroy_read_struct(&d.png, &d.info, NULL);
    tkp__free(d.rows);
    if (status == TKP_OK)
        *out = d.image;
    else
        tkp__image_release(&d.image);
    return status;
}
