/*
 * Any resolution, as LLaVA-NeXT's image processor does it (models.md 3.4.3,
 * 5.3): all quotients in double, as Python takes them.
 */

#include "mllm/image/image_codec.h"

#include "tokenprune/mllm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* --- which canvas ---------------------------------------------------------- */

/* Most of the picture's pixels that a canvas can show, then the least waste;
 * of equal ones the first. The original code reads (width, height). */
static void choose(
    tkp__tiling *t,
    const tkp__image_spec *spec,
    int64_t height,
    int64_t width)
{
    const bool turned = spec->tiling == TKP_MLLM_TILING_ORIGINAL;
    const int32_t *best = NULL;
    int64_t most = 0, least = INT64_MAX;
    for (int32_t i = 0; i < spec->pinpoints; i++) {
        const int32_t *p = spec->pinpoint[i];
        const double scale = fmin(
            (double)p[!turned] / (double)width,
            (double)p[turned] / (double)height);
        const int64_t w = (int64_t)((double)width * scale);
        const int64_t h = (int64_t)((double)height * scale);
        const int64_t shown = w * h < width * height ? w * h : width * height;
        const int64_t waste = (int64_t)p[0] * p[1] - shown;
        if (best && (shown < most || (shown == most && waste >= least)))
            continue;
        best = p;
        most = shown;
        least = waste;
    }
    t->canvas_height = best[turned];
    t->canvas_width = best[!turned];
}

static int64_t fitted(int64_t length, double scale, int64_t most)
{
    const int64_t scaled = (int64_t)ceil((double)length * scale);
    return scaled < most ? scaled : most;
}

static void fit(tkp__tiling *t, int64_t height, int64_t width)
{
    const double sw = (double)t->canvas_width / (double)width;
    const double sh = (double)t->canvas_height / (double)height;
    t->height =
        sw < sh ? fitted(height, sw, t->canvas_height) : t->canvas_height;
    t->width = sw < sh ? t->canvas_width : fitted(width, sh, t->canvas_width);
}

/* --- what shows the picture ------------------------------------------------ */

/* Python's int(round(x, 7)): as the decimal text has it. */
static int64_t truncate_rounded(double x)
{
    char text[64];
    snprintf(text, sizeof(text), "%.7f", x);
    return (int64_t)strtod(text, NULL);
}

/* Patches cut off in front and behind. */
static int32_t padding(
    int32_t patches,
    int64_t length,
    int32_t others,
    int64_t other,
    bool rounds)
{
    const double scale = (double)others / (double)other;
    const double exact = (double)length * scale;
    const int64_t shown = rounds ? truncate_rounded(exact) : (int64_t)exact;
    return (int32_t)((patches - shown) / 2);
}

/* Without the patches that show padding alone, by the ratio of the sides: not
 * quite those of fit(). */
static void unpad(tkp__tiling *t, int64_t height, int64_t width, bool rounds)
{
    if ((double)width / (double)height >
        (double)t->grid_cols / (double)t->grid_rows) {
        t->first_row =
            padding(t->grid_rows, height, t->grid_cols, width, rounds);
        t->grid_rows -= 2 * t->first_row;
    } else {
        t->first_col =
            padding(t->grid_cols, width, t->grid_rows, height, rounds);
        t->grid_cols -= 2 * t->first_col;
    }
    t->grid_rows = t->grid_rows > 0 ? t->grid_rows : 0;
    t->grid_cols = t->grid_cols > 0 ? t->grid_cols : 0;
}

tkp_status tkp__image_tiling(
    tkp__tiling *out,
    const tkp__image_spec *spec,
    int64_t height,
    int64_t width,
    int64_t side,
    int64_t patches)
{
    TKP__CHECK(
        spec->pinpoints > 0 && height > 0 && width > 0 && side > 0,
        TKP_ERR_ARGUMENT,
        "tiles: %d canvases, picture %lld x %lld, side %lld; wanted one or "
        "more of each",
        spec->pinpoints, (long long)width, (long long)height, (long long)side);
    const bool fixed = spec->tiling >= TKP_MLLM_TILING_FIXED;
    tkp__tiling t = {.canvas_height = 2 * side, .canvas_width = 2 * side};
    if (!fixed)
        choose(&t, spec, height, width);
    t.rows = (int32_t)(t.canvas_height / side);
    t.cols = (int32_t)(t.canvas_width / side);
    t.grid_rows = t.rows * (int32_t)patches;
    t.grid_cols = t.cols * (int32_t)patches;
    fit(&t, height, width);
    if (!fixed)
        unpad(&t, height, width, spec->tiling != TKP_MLLM_TILING_ORIGINAL);
    *out = t;
    return TKP_OK;
}

/* --- pixels ---------------------------------------------------------------- */

static tkp_status
draw(tkp__image *canvas, const tkp__image *in, const tkp__tiling *t)
{
    static const uint8_t black[3] = {0, 0, 0};
    tkp__image resized;
    TKP__TRY(tkp__image_resize_bicubic(&resized, in, t->height, t->width));
    const tkp_status status = tkp__image_pad(
        canvas, &resized, t->canvas_height, t->canvas_width, black);
    tkp__image_release(&resized);
    return status;
}

static tkp_status
cut(float *dst,
    const tkp__image *canvas,
    const tkp__image_spec *spec,
    const tkp__tiling *t,
    int64_t side)
{
    for (int32_t i = 0; i < t->rows * t->cols; i++) {
        tkp__image tile;
        TKP__TRY(tkp__image_crop(
            &tile, canvas, i / t->cols * side, i % t->cols * side, side, side));
        const tkp_status status = tkp__image_preprocess_clip(
            dst + i * 3 * side * side, NULL, &tile, spec);
        tkp__image_release(&tile);
        if (status != TKP_OK)
            return status;
    }
    return TKP_OK;
}

/* What the patches show that count. */
static tkp_status show(
    tkp__image *tiled,
    const tkp__image *canvas,
    const tkp__tiling *t,
    int64_t patch)
{
    *tiled = (tkp__image){0};
    if (t->grid_rows == 0 || t->grid_cols == 0)
        return TKP_OK;
    return tkp__image_crop(
        tiled, canvas, t->first_row * patch, t->first_col * patch,
        t->grid_rows * patch, t->grid_cols * patch);
}

tkp_status tkp__image_preprocess_tiles(
    float *dst,
    tkp__image *whole,
    tkp__image *tiled,
    const tkp__image *in,
    const tkp__image_spec *spec,
    const tkp__tiling *t,
    int64_t side,
    int64_t patches)
{
    tkp__image canvas = {0}, stretched = {0};
    tkp_status status;
    *whole = *tiled = (tkp__image){0};
    TKP__TRY_OUT(tkp__image_resize_bicubic(&stretched, in, side, side));
    TKP__TRY_OUT(tkp__image_preprocess_clip(dst, whole, &stretched, spec));
    TKP__TRY_OUT(draw(&canvas, in, t));
    TKP__TRY_OUT(cut(dst + 3 * side * side, &canvas, spec, t, side));
    TKP__TRY_OUT(show(tiled, &canvas, t, side / patches));
out:
    tkp__image_release(&canvas);
    tkp__image_release(&stretched);
    if (status != TKP_OK) {
        tkp__image_release(whole);
        tkp__image_release(tiled);
    }
    return status;
}
