/*
 * EXIF orientation: the one tag (0x0112) of the first directory of a TIFF
 * block, and the eight ways of turning a picture that it names.
 */

#include "mllm/image/image_codec.h"

typedef struct reader {
    const uint8_t *bytes;
    size_t size;
    bool big_endian;
} reader;

static uint32_t read_u16(const reader *r, size_t at)
{
    const uint8_t *p = r->bytes + at;
    return r->big_endian ? (uint32_t)p[0] << 8 | p[1]
                         : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t read_u32(const reader *r, size_t at)
{
    const uint32_t a = read_u16(r, at);
    const uint32_t b = read_u16(r, at + 2);
    return r->big_endian ? a << 16 | b : b << 16 | a;
}

int32_t tkp__image_exif_orientation(const uint8_t *exif, size_t size)
{
    if (size >= 6 && memcmp(exif, "Exif\0\0", 6) == 0) {
        exif += 6;
        size -= 6;
    }
    if (size < 8)
        return 1;
    const reader r = {
        .bytes = exif, .size = size, .big_endian = exif[0] == 'M'};
    if (memcmp(exif, r.big_endian ? "MM" : "II", 2) != 0 ||
        read_u16(&r, 2) != 42)
        return 1;
    const size_t directory = read_u32(&r, 4);
    if (directory > size - 2)
        return 1;
    const uint32_t count = read_u16(&r, directory);
    for (uint32_t i = 0; i < count; i++) {
        const size_t entry = directory + 2 + (size_t)i * 12;
        if (entry + 12 > size)
            return 1;
        /* tag, type SHORT, one value */
        if (read_u16(&r, entry) == 0x0112 && read_u16(&r, entry + 2) == 3 &&
            read_u32(&r, entry + 4) == 1) {
            const uint32_t value = read_u16(&r, entry + 8);
            return value >= 1 && value <= 8 ? (int32_t)value : 1;
        }
    }
    return 1;
}

/* Where pixel (y, x) of the turned picture comes from in `in`. */
static const uint8_t *
source_pixel(const tkp__image *in, int32_t orientation, int64_t y, int64_t x)
{
    const bool swap = orientation >= 5;
    int64_t row = swap ? x : y;
    int64_t column = swap ? y : x;
    /* 6: turned by 90 degrees clockwise, 8: by 270; 5 and 7 their mirrors */
    const bool flip_rows = orientation == 3 || orientation == 4 ||
                           orientation == 6 || orientation == 7;
    const bool flip_columns = orientation == 2 || orientation == 3 ||
                              orientation == 7 || orientation == 8;
    if (flip_rows)
        row = in->height - 1 - row;
    if (flip_columns)
        column = in->width - 1 - column;
    return in->rgb + (row * in->width + column) * 3;
}

tkp_status tkp__image_apply_orientation(tkp__image *image, int32_t orientation)
{
    if (orientation <= 1 || orientation > 8)
        return TKP_OK;
    const bool swap = orientation >= 5;
    tkp__image turned;
    TKP__TRY(tkp__image_alloc(
        &turned, swap ? image->width : image->height,
        swap ? image->height : image->width, INT64_MAX, "orientation"));
    uint8_t *dst = turned.rgb;
    for (int64_t y = 0; y < turned.height; y++)
        for (int64_t x = 0; x < turned.width; x++, dst += 3)
            memcpy(dst, source_pixel(image, orientation, y, x), 3);
    tkp__image_release(image);
    *image = turned;
    return TKP_OK;
}
