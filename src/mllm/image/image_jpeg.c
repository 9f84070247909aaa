/*
 * JPEG by libjpeg with its defaults untouched (accurate integer IDCT, fancy
 * upsampling): that is what Pillow decodes with, so the bytes are equal.
 * Four-component files are taken as Adobe's inverted CMYK and turned into RGB
 * by Pillow's integer formula.
 */

#include "mllm/image/image_codec.h"

#include <setjmp.h>
#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>

typedef struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf escape;
    char text[JMSG_LENGTH_MAX];
    tkp__image image;
    uint8_t *row; /* CMYK row; NULL for other files */
} decoder;

static void escape_on_error(j_common_ptr common)
{
    decoder *d = common->client_data;
    common->err->format_message(common, d->text);
    longjmp(d->escape, 1);
}

/* libjpeg makes up the rest of a truncated file and only warns; a picture that
 * is half grey would be an answer about something nobody showed. Its other
 * warnings are passed over, as Pillow does. */
static void note_message(j_common_ptr common, int level)
{
    if (level < 0 && common->err->msg_code == JWRN_JPEG_EOF)
        escape_on_error(common);
}

static void print_nothing(j_common_ptr common)
{
    (void)common;
}

static int32_t exif_orientation(const struct jpeg_decompress_struct *jpeg)
{
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 &&
            memcmp(m->data, "Exif\0\0", 6) == 0)
            return tkp__image_exif_orientation(m->data, m->data_length);
    return 1;
}

static uint8_t multiply_255(uint32_t a, uint32_t b)
{
    const uint32_t product = a * b + 128;
    return (uint8_t)(((product >> 8) + product) >> 8);
}

/* Stored inverted: 255 is no ink. */
static void cmyk_row_to_rgb(uint8_t *rgb, const uint8_t *cmyk, int64_t width)
{
    for (int64_t x = 0; x < width; x++, rgb += 3, cmyk += 4) {
        const uint32_t light = cmyk[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(light - multiply_255(255u - cmyk[c], light));
    }
}

static tkp_status choose_colours(decoder *d, const char *name)
{
    const int components = d->jpeg.num_components;
    TKP__CHECK(
        components == 1 || components == 3 || components == 4,
        TKP_ERR_UNSUPPORTED,
        "%s: JPEG has %d colour components, wanted 1, 3 or 4", name,
        components);
    d->jpeg.out_color_space = components == 4 ? JCS_CMYK : JCS_RGB;
    if (components != 4)
        return TKP_OK;
    d->row = tkp__alloc(d->jpeg.image_width, 4);
    return d->row ? TKP_OK : TKP_ERR_MEMORY;
}

static void read_rows(decoder *d)
{
    const int64_t width = d->image.width;
    while (d->jpeg.output_scanline < d->jpeg.output_height) {
        uint8_t *dst =
            d->image.rgb + (int64_t)d->jpeg.output_scanline * width * 3;
        JSAMPROW target = d->row ? d->row : dst;
        jpeg_read_scanlines(&d->jpeg, &target, 1);
        if (d->row)
            cmyk_row_to_rgb(dst, d->row, width);
    }
}

/* Everything that may longjmp happens below this call, so that no local
 * variable is changed between setjmp and the jump. */
static tkp_status
decode(decoder *d, const tkp__encoded *in, int32_t *orientation)
{
    if (setjmp(d->escape))
        return tkp__fail(
            TKP_ERR_FORMAT, "%s: JPEG is damaged: %s", in->name, d->text);
    jpeg_create_decompress(&d->jpeg);
    jpeg_mem_src(&d->jpeg, in->bytes, (unsigned long)in->size);
    jpeg_save_markers(&d->jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&d->jpeg, TRUE);
    TKP__TRY(choose_colours(d, in->name));
    TKP__TRY(tkp__image_alloc(
        &d->image, d->jpeg.image_height, d->jpeg.image_width, in->max_pixels,
        in->name));
    jpeg_start_decompress(&d->jpeg);
    read_rows(d);
    /* Finishing forgets the markers. */
    *orientation = exif_orientation(&d->jpeg);
    jpeg_finish_decompress(&d->jpeg);
    return TKP_OK;
}

tkp_status tkp__image_decode_jpeg(
    tkp__image *out,
    const tkp__encoded *in,
    int32_t *orientation)
{
    decoder d = {.text = ""};
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.jpeg.client_data = &d;
    d.errors.error_exit = escape_on_error;
    d.errors.emit_message = note_message;
    d.errors.output_message = print_nothing;
    const tkp_status status = decode(&d, in, orientation);
    jpeg_destroy_decompress(&d.jpeg);
    tkp__free(d.row);
    if (status == TKP_OK)
        *out = d.image;
    else
        tkp__image_release(&d.image);
    return status;
}
