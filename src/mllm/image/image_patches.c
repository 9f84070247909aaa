/*
 * Pictures and videos as Qwen2-VL's image processor gives them to the encoder
 * (models.md 3.5): quotients in double, as Python takes them.
 */

#include "mllm/image/image_codec.h"

#include <math.h>

/* Sides of a patch and the like; no real model comes near. */
#define MAX_SIDE 4096
/* Beyond it the published processor refuses a picture as too thin. */
#define MAX_RATIO 200.0

static tkp_status check_spec(const tkp__image_spec *s)
{
    TKP__CHECK(
        s->patch >= 1 && s->patch <= MAX_SIDE && s->merge >= 1 &&
            s->merge <= MAX_SIDE && s->frames >= 1 && s->frames <= MAX_SIDE,
        TKP_ERR_OPTION,
        "patches: %lld pixels, %lld a token, %lld frames; wanted 1..%d of each",
        (long long)s->patch, (long long)s->merge, (long long)s->frames,
        MAX_SIDE);
    TKP__CHECK(
        s->keep_size || (s->min_pixels >= 1 && s->min_pixels <= s->max_pixels),
        TKP_ERR_OPTION,
        "patches: pictures of %lld to %lld pixels, wanted bounds in order",
        (long long)s->min_pixels, (long long)s->max_pixels);
    return tkp__image_check_numbers(s);
}

/* --- how large ------------------------------------------------------------- */

typedef struct extent {
    double height, width; /* whole numbers, tokens' sides times `factor` */
} extent;

static extent shrunk(extent in, double most, double factor)
{
    const double beta = sqrt(in.height * in.width / most);
    return (extent){
        fmax(factor, floor(in.height / beta / factor) * factor),
        fmax(factor, floor(in.width / beta / factor) * factor)};
}

static extent grown(extent in, double least, double factor)
{
    const double beta = sqrt(least / (in.height * in.width));
    return (extent){
        ceil(in.height * beta / factor) * factor,
        ceil(in.width * beta / factor) * factor};
}

/* Halves go to the even side (rint), as Python rounds; a picture of less than
 * half a token has nothing left, and grows. */
static extent resized(const tkp__image_spec *s, extent in)
{
    const double factor = (double)(s->patch * s->merge);
    const extent out = {
        rint(in.height / factor) * factor, rint(in.width / factor) * factor};
    if (out.height * out.width > (double)s->max_pixels)
        return shrunk(in, (double)s->max_pixels, factor);
    if (out.height * out.width < (double)s->min_pixels)
        return grown(in, (double)s->min_pixels, factor);
    return out;
}

static tkp_status
check_picture(const tkp__image_spec *s, int64_t height, int64_t width)
{
    const int64_t factor = s->patch * s->merge;
    TKP__CHECK(
        height > 0 && width > 0 && height <= TKP__IMAGE_MAX_PIXELS &&
            width <= TKP__IMAGE_MAX_PIXELS,
        TKP_ERR_SHAPE, "patches: picture is %lld x %lld, wanted 1..%d pixels",
        (long long)width, (long long)height, TKP__IMAGE_MAX_PIXELS);
    const int64_t longer = height > width ? height : width;
    const int64_t shorter = height > width ? width : height;
    TKP__CHECK(
        s->keep_size || (double)longer / (double)shorter <= MAX_RATIO,
        TKP_ERR_ARGUMENT,
        "patches: picture is %lld x %lld, one side %g times the other, wanted "
        "at most %g times",
        (long long)width, (long long)height, (double)longer / (double)shorter,
        MAX_RATIO);
    TKP__CHECK(
        !s->keep_size || (height % factor == 0 && width % factor == 0),
        TKP_ERR_SHAPE,
        "patches: picture is %lld x %lld and is not to be resized, wanted "
        "multiples of %lld",
        (long long)width, (long long)height, (long long)factor);
    return TKP_OK;
}

tkp_status tkp__image_patch_grid(
    tkp__patch_grid *out,
    const tkp__image_spec *spec,
    int64_t frames,
    int64_t height,
    int64_t width)
{
    TKP__CHECK(out && spec, TKP_ERR_ARGUMENT, "patches: out or spec is NULL");
    TKP__TRY(check_spec(spec));
    TKP__TRY(check_picture(spec, height, width));
    TKP__CHECK(
        frames >= 1 && frames <= INT32_MAX, TKP_ERR_ARGUMENT,
        "patches: %lld frames, wanted 1..%d", (long long)frames, INT32_MAX);
    extent e = {(double)height, (double)width};
    if (!spec->keep_size)
        e = resized(spec, e);
    TKP__CHECK(
        e.height * e.width <= (double)TKP__IMAGE_MAX_PIXELS, TKP_ERR_SHAPE,
        "patches: picture of %lld x %lld becomes %.0f x %.0f, wanted at most "
        "%d pixels",
        (long long)width, (long long)height, e.width, e.height,
        TKP__IMAGE_MAX_PIXELS);
    *out = (tkp__patch_grid){
        .t = (frames + spec->frames - 1) / spec->frames,
        .h = (int64_t)e.height / spec->patch,
        .w = (int64_t)e.width / spec->patch};
    return TKP_OK;
}

tkp_status tkp__patch_grid_floats(
    size_t *out,
    const tkp__patch_grid *grid,
    const tkp__image_spec *spec)
{
    /* h w patch patch is a picture's pixels, which are bounded. */
    const size_t pixels =
        (size_t)(grid->h * grid->w * spec->patch * spec->patch);
    TKP__CHECK(
        tkp__mul_size(pixels, (size_t)(grid->t * spec->frames), out) &&
            tkp__mul_size(*out, 3, out) && *out <= SIZE_MAX / sizeof(float),
        TKP_ERR_SHAPE, "patches: %lld x %lld x %lld, wanted fewer",
        (long long)grid->t, (long long)grid->h, (long long)grid->w);
    return TKP_OK;
}

int64_t
tkp__patch_grid_tokens(const tkp__patch_grid *grid, const tkp__image_spec *spec)
{
    return grid->t * (grid->h / spec->merge) * (grid->w / spec->merge);
}

/* --- pixels ---------------------------------------------------------------- */

/* The square whose corner is `corner`, one channel, to patch x patch floats. */
static void copy_square(
    float *dst,
    const uint8_t *corner,
    int64_t pitch,
    int64_t patch,
    const float table[256])
{
    for (int64_t y = 0; y < patch; y++)
        for (int64_t x = 0; x < patch; x++)
            *dst++ = table[corner[(y * pitch + x) * 3]];
}

/* Frame `frame` of the patches of one moment. */
static void put_frame(
    float *dst,
    const tkp__image *image,
    const tkp__image_spec *s,
    int64_t frame)
{
    const int64_t cell = s->patch * s->merge, area = s->patch * s->patch;
    const int64_t row = 3 * s->frames * area;
    float table[3][256];
    for (int c = 0; c < 3; c++)
        tkp__image_channel_table(table[c], c, s);
    for (int64_t top = 0; top < image->height; top += cell)
        for (int64_t left = 0; left < image->width; left += cell)
            for (int64_t k = 0; k < s->merge * s->merge; k++, dst += row) {
                const int64_t y = top + k / s->merge * s->patch;
                const int64_t x = left + k % s->merge * s->patch;
                const uint8_t *corner = image->rgb + (y * image->width + x) * 3;
                for (int c = 0; c < 3; c++)
                    copy_square(
                        dst + (c * s->frames + frame) * area, corner + c,
                        image->width, s->patch, table[c]);
            }
}

tkp_status tkp__image_preprocess_frame(
    float *dst,
    tkp__image *prepared,
    const tkp__image *picture,
    int64_t index,
    int64_t times,
    const tkp__image_spec *spec,
    const tkp__patch_grid *grid)
{
    TKP__CHECK(
        dst && picture && picture->rgb && spec && grid, TKP_ERR_ARGUMENT,
        "patches: dst, picture, options or grid are NULL, wanted all four");
    TKP__CHECK(
        index >= 0 && times >= 1 && times <= grid->t * spec->frames - index,
        TKP_ERR_ARGUMENT, "patches: frame %lld, %lld times, wanted within %lld",
        (long long)index, (long long)times,
        (long long)(grid->t * spec->frames));
    const int64_t height = grid->h * spec->patch;
    const int64_t width = grid->w * spec->patch;
    const int64_t moment = 3 * spec->frames * height * width;
    tkp__image resized;
    TKP__TRY(tkp__image_resize_bicubic(&resized, picture, height, width));
    for (int64_t i = index; i < index + times; i++)
        put_frame(
            dst + i / spec->frames * moment, &resized, spec, i % spec->frames);
    if (prepared)
        *prepared = resized;
    else
        tkp__image_release(&resized);
    return TKP_OK;
}

/* Grids come from tkp__image_patch_grid() for pictures of this size. */
static tkp_status check_pictures(
    const tkp__image *pictures,
    int64_t count,
    const tkp__image_spec *spec,
    const tkp__patch_grid *grid)
{
    tkp__patch_grid wanted;
    TKP__TRY(tkp__image_patch_grid(
        &wanted, spec, count, pictures->height, pictures->width));
    TKP__CHECK(
        grid->t == wanted.t && grid->h == wanted.h && grid->w == wanted.w,
        TKP_ERR_SHAPE,
        "patches: grid is %lld x %lld x %lld, wanted %lld x %lld x %lld",
        (long long)grid->t, (long long)grid->h, (long long)grid->w,
        (long long)wanted.t, (long long)wanted.h, (long long)wanted.w);
    for (int64_t i = 0; i < count; i++)
        TKP__CHECK(
            pictures[i].rgb && pictures[i].height == pictures->height &&
                pictures[i].width == pictures->width,
            TKP_ERR_SHAPE,
            "patches: frame %lld is %lld x %lld, wanted %lld x %lld as the "
            "first one",
            (long long)i, (long long)pictures[i].width,
            (long long)pictures[i].height, (long long)pictures->width,
            (long long)pictures->height);
    return TKP_OK;
}

tkp_status tkp__image_preprocess_patches(
    float *dst,
    tkp__image *prepared,
    const tkp__image *pictures,
    int64_t count,
    const tkp__image_spec *spec,
    const tkp__patch_grid *grid)
{
    TKP__CHECK(
        dst && pictures && count > 0 && spec && grid, TKP_ERR_ARGUMENT,
        "patches: dst, pictures, options or grid are NULL, or there are no "
        "pictures");
    TKP__TRY(check_pictures(pictures, count, spec, grid));
    for (int64_t i = 0; i < count; i++) {
        const int64_t times = i + 1 < count ? 1 : grid->t * spec->frames - i;
        const tkp_status status = tkp__image_preprocess_frame(
            dst, prepared ? &prepared[i] : NULL, &pictures[i], i, times, spec,
            grid);
        if (status == TKP_OK)
            continue;
        for (int64_t k = 0; prepared && k < i; k++)
            tkp__image_release(&prepared[k]);
        return status;
    }
    return TKP_OK;
}
