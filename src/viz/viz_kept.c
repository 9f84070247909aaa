/* The picture of the kept patches. */
#include "viz/viz.h"

#include <cairo.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATCH_PIXELS = 12, /* at least */
    GAP = 8,           /* between images */
    MOST_PIXELS = 16384
};

static int32_t scale_of(const tkp__viz_image *image)
{
    const int32_t rows = image->height / image->grid_rows;
    const int32_t cols = image->width / image->grid_cols;
    const int32_t patch = rows < cols ? rows : cols;
    return patch >= PATCH_PIXELS
               ? 1
               : (PATCH_PIXELS + patch - 1) / (patch + !patch);
}

/* Size of the whole picture. */
static tkp_status measure(
    const tkp__viz_image *images,
    int32_t count,
    int64_t *width,
    int64_t *height)
{
    *width = *height = 0;
    for (int32_t i = 0; i < count; i++) {
        const tkp__viz_image *image = &images[i];
        TKP__CHECK(
            image->grid_rows > 0 && image->grid_cols > 0 &&
                image->height >= image->grid_rows &&
                image->width >= image->grid_cols,
            TKP_ERR_SHAPE, "picture: image %d is %d x %d with a %d x %d grid",
            i, image->height, image->width, image->grid_rows, image->grid_cols);
        const int32_t scale = scale_of(image);
        *width += (i ? GAP : 0) + (int64_t)scale * image->width;
        if ((int64_t)scale * image->height > *height)
            *height = (int64_t)scale * image->height;
    }
    TKP__CHECK(
        *width > 0 && *width <= MOST_PIXELS && *height <= MOST_PIXELS,
        TKP_ERR_SHAPE, "picture: would be %lld x %lld, wanted at most %d",
        (long long)*width, (long long)*height, MOST_PIXELS);
    return TKP_OK;
}

/* A dropped pixel: its luma at a quarter. */
static uint32_t shade(const uint8_t *rgb, bool kept)
{
    if (kept)
        return (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
    const uint32_t luma =
        (299u * rgb[0] + 587u * rgb[1] + 114u * rgb[2]) / 4000;
    return luma << 16 | luma << 8 | luma;
}

static void mark_kept(const tkp__viz_image *image, uint8_t *kept)
{
    const int64_t cells = (int64_t)image->grid_rows * image->grid_cols;
    for (int64_t i = 0; i < image->n_cells; i++)
        if (image->cells[i] >= 0 && image->cells[i] < cells)
            kept[image->cells[i]] = 1;
}

static void paint(
    const tkp__viz_image *image,
    const uint8_t *kept,
    unsigned char *pixels,
    int stride,
    int64_t left)
{
    const int32_t scale = scale_of(image);
    for (int64_t y = 0; y < (int64_t)image->height * scale; y++) {
        uint32_t *row = (uint32_t *)(void *)(pixels + y * stride) + left;
        const int64_t sy = y / scale;
        const int64_t cell_row = sy * image->grid_rows / image->height;
        for (int64_t x = 0; x < (int64_t)image->width * scale; x++) {
            const int64_t sx = x / scale;
            const int64_t cell = cell_row * image->grid_cols +
                                 sx * image->grid_cols / image->width;
            row[x] = shade(
                image->rgb + (sy * image->width + sx) * 3, kept[cell] != 0);
        }
    }
}

/* Lines on the first pixel of each patch but the first. */
static void draw_grid(cairo_t *cr, const tkp__viz_image *image, int64_t left)
{
    const int32_t scale = scale_of(image);
    const int32_t width = image->width * scale;
    const int32_t height = image->height * scale;
    cairo_set_source_rgb(cr, 0.15, 0.15, 0.15);
    for (int32_t c = 1; c < image->grid_cols; c++)
        cairo_rectangle(
            cr, (double)(left + (int64_t)c * width / image->grid_cols), 0, 1,
            height);
    for (int32_t r = 1; r < image->grid_rows; r++)
        cairo_rectangle(
            cr, (double)left, (double)((int64_t)r * height / image->grid_rows),
            width, 1);
    cairo_fill(cr);
}

static tkp_status
draw(cairo_surface_t *surface, const tkp__viz_image *images, int32_t count)
{
    int64_t left = 0;
    for (int32_t i = 0; i < count; i++) {
        const tkp__viz_image *image = &images[i];
        uint8_t *kept =
            tkp__zalloc((size_t)image->grid_rows, (size_t)image->grid_cols);
        if (!kept)
            return TKP_ERR_MEMORY;
        mark_kept(image, kept);
        cairo_surface_flush(surface);
        paint(
            image, kept, cairo_image_surface_get_data(surface),
            cairo_image_surface_get_stride(surface), left);
        cairo_surface_mark_dirty(surface);
        tkp__free(kept);
        cairo_t *cr = cairo_create(surface);
        draw_grid(cr, image, left);
        cairo_destroy(cr);
        left += (int64_t)scale_of(image) * image->width + GAP;
    }
    return TKP_OK;
}

static cairo_status_t
write_bytes(void *file, const unsigned char *bytes, unsigned int count)
{
    return fwrite(bytes, 1, count, file) == count ? CAIRO_STATUS_SUCCESS
                                                  : CAIRO_STATUS_WRITE_ERROR;
}

/* A file cut short would look like a picture and is taken away again; a device
 * or a pipe is not ours to remove. */
static void take_away(const char *path)
{
    struct stat info;
    if (lstat(path, &info) == 0 && S_ISREG(info.st_mode))
        unlink(path);
}

static tkp_status save(cairo_surface_t *surface, const char *path)
{
    FILE *file = fopen(path, "wb");
    TKP__CHECK(file, TKP_ERR_IO, "%s: %s", path, strerror(errno));
    errno = 0;
    const cairo_status_t written =
        cairo_surface_write_to_png_stream(surface, write_bytes, file);
    const int why = errno;
    const bool closed = fclose(file) == 0;
    if (written == CAIRO_STATUS_SUCCESS && closed)
        return TKP_OK;
    const int reason = closed ? why : errno;
    take_away(path);
    return tkp__fail(
        TKP_ERR_IO, "%s: cannot be written: %s", path,
        reason ? strerror(reason) : cairo_status_to_string(written));
}

tkp_status
tkp__viz_kept(const char *path, const tkp__viz_image *images, int32_t count)
{
    int64_t width;
    int64_t height;
    TKP__TRY(measure(images, count, &width, &height));
    cairo_surface_t *surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
    tkp_status status =
        cairo_surface_status(surface) == CAIRO_STATUS_SUCCESS
            ? draw(surface, images, count)
            : tkp__fail(TKP_ERR_MEMORY, "picture: no memory for its pixels");
    if (status == TKP_OK)
        status = save(surface, path);
    cairo_surface_destroy(surface);
    return status;
}
