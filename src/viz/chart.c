/* Charts: drawn once with cairo, on whichever surface. */
#include "viz/chart.h"

#include <cairo/cairo-svg.h>
#include <math.h>
#include <nettle/base64.h>
#include <stdio.h>

enum {
    WIDTH = 960,
    HEIGHT = 560,
    LEFT = 70,
    RIGHT = 210,
    TOP = 40,
    BOTTOM = 56
};

void tkp__chart_release(tkp__chart *chart)
{
    for (int32_t i = 0; i < chart->n_series; i++) {
        tkp__free(chart->series[i].name);
        tkp__free(chart->series[i].points);
    }
    tkp__free(chart->series);
    tkp__free(chart->file);
    tkp__free(chart->title);
    tkp__free(chart->x_label);
    tkp__free(chart->y_label);
    *chart = (tkp__chart){0};
}

static tkp_status
series_of(tkp__chart_series **out, tkp__chart *chart, const char *name)
{
    const size_t n = (size_t)chart->n_series, one = sizeof(**out);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(chart->series[i].name, name)) {
            *out = &chart->series[i];
            return TKP_OK;
        }
    tkp__chart_series *moved =
        tkp__realloc(chart->series, n * one, (n + 1) * one);
    if (!moved)
        return TKP_ERR_MEMORY;
    chart->series = moved;
    moved[n] = (tkp__chart_series){.name = tkp__strdup(name)};
    if (!moved[n].name)
        return TKP_ERR_MEMORY;
    chart->n_series++;
    *out = &moved[n];
    return TKP_OK;
}

tkp_status tkp__chart_add(
    tkp__chart *chart,
    const char *name,
    bool heavy,
    tkp__chart_point point)
{
    tkp__chart_series *s;
    TKP__TRY(series_of(&s, chart, name));
    const size_t n = (size_t)s->n_points;
    tkp__chart_point *moved =
        tkp__realloc(s->points, n * sizeof(point), (n + 1) * sizeof(point));
    if (!moved)
        return TKP_ERR_MEMORY;
    s->points = moved;
    s->heavy = heavy;
    /* In the order of x, so that lines go from left to right. */
    size_t at = n;
    for (; at > 0 && moved[at - 1].x > point.x; at--)
        moved[at] = moved[at - 1];
    moved[at] = point;
    s->n_points++;
    return TKP_OK;
}

/* --- axes -------------------------------------------------------------------------- */

typedef struct axis {
    double low, high, step;
} axis;

/* Steps of 1, 2 or 5 times a power of ten, about eight of them. */
static axis axis_of(double low, double high)
{
    if (!(high > low)) {
        low -= 1;
        high += 1;
    }
    const double wanted = (high - low) / 8;
    const double power = pow(10, floor(log10(wanted)));
    const double part = wanted / power;
    const double step = power * (part <= 1   ? 1
                                 : part <= 2 ? 2
                                 : part <= 5 ? 5
                                             : 10);
    return (axis){floor(low / step) * step, ceil(high / step) * step, step};
}

static void widen(double range[2], double value)
{
    if (!isfinite(value))
        return;
    range[0] = fmin(range[0], value);
    range[1] = fmax(range[1], value);
}

static void find_axes(const tkp__chart *chart, axis *x, axis *y)
{
    double xs[2] = {INFINITY, -INFINITY}, ys[2] = {INFINITY, -INFINITY};
    for (int32_t s = 0; s < chart->n_series; s++)
        for (int32_t i = 0; i < chart->series[s].n_points; i++) {
            const tkp__chart_point *p = &chart->series[s].points[i];
            widen(xs, p->x);
            widen(ys, p->y);
            if (chart->series[s].heavy) {
                widen(ys, p->low);
                widen(ys, p->high);
            }
        }
    *x = axis_of(xs[0], xs[1]);
    *y = axis_of(ys[0], ys[1]);
}

typedef struct plot {
    cairo_t *cr;
    axis x, y;
} plot;

static double at_x(const plot *p, double value)
{
    return LEFT +
           (WIDTH - LEFT - RIGHT) * (value - p->x.low) / (p->x.high - p->x.low);
}

static double at_y(const plot *p, double value)
{
    return HEIGHT - BOTTOM -
           (HEIGHT - TOP - BOTTOM) * (value - p->y.low) /
               (p->y.high - p->y.low);
}

static void line(const plot *p, double x0, double y0, double x1, double y1)
{
    cairo_move_to(p->cr, x0, y0);
    cairo_line_to(p->cr, x1, y1);
    cairo_stroke(p->cr);
}

/* Around `x`: 0 its left end, 0.5 its middle, 1 its right end. */
static void
text(const plot *p, double x, double y, double around, const char *what)
{
    cairo_text_extents_t size;
    cairo_text_extents(p->cr, what, &size);
    cairo_move_to(p->cr, x - around * size.x_advance, y);
    cairo_show_text(p->cr, what);
}

static void draw_axes(const plot *p, const tkp__chart *chart)
{
    char label[32];
    cairo_set_line_width(p->cr, 1);
    for (int i = 0; p->x.low + i * p->x.step <= p->x.high + 1e-9; i++) {
        const double v = p->x.low + i * p->x.step;
        cairo_set_source_rgb(p->cr, 0.9, 0.9, 0.9);
        line(p, at_x(p, v), TOP, at_x(p, v), HEIGHT - BOTTOM);
        cairo_set_source_rgb(p->cr, 0.2, 0.2, 0.2);
        snprintf(label, sizeof(label), "%g", v);
        text(p, at_x(p, v), HEIGHT - BOTTOM + 18, 0.5, label);
    }
    for (int i = 0; p->y.low + i * p->y.step <= p->y.high + 1e-9; i++) {
        const double v = p->y.low + i * p->y.step;
        cairo_set_source_rgb(p->cr, 0.9, 0.9, 0.9);
        line(p, LEFT, at_y(p, v), WIDTH - RIGHT, at_y(p, v));
        cairo_set_source_rgb(p->cr, 0.2, 0.2, 0.2);
        snprintf(label, sizeof(label), "%g", v);
        text(p, LEFT - 8, at_y(p, v) + 4, 1, label);
    }
    text(p, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 14, 0.5, chart->x_label);
    cairo_save(p->cr);
    cairo_translate(p->cr, 18, (TOP + HEIGHT - BOTTOM) / 2.0);
    cairo_rotate(p->cr, -M_PI / 2);
    text(p, 0, 0, 0.5, chart->y_label);
    cairo_restore(p->cr);
    cairo_set_font_size(p->cr, 15);
    text(p, LEFT, 24, 0, chart->title);
    cairo_set_font_size(p->cr, 12);
}

/* --- series --------------------------------------------------------------------------- */

/* Colours that people with any colour vision tell apart (Okabe and Ito), then
 * again with another marker. */
static void set_color(const plot *p, const tkp__chart_series *s, int32_t i)
{
    static const unsigned char colors[][3] = {{0, 114, 178},  {213, 94, 0},
                                              {0, 158, 115},  {204, 121, 167},
                                              {230, 159, 0},  {86, 180, 233},
                                              {148, 103, 189}};
    const unsigned char *c = colors[i % 7];
    if (s->heavy)
        cairo_set_source_rgb(p->cr, 0, 0, 0);
    else
        cairo_set_source_rgb(p->cr, c[0] / 255.0, c[1] / 255.0, c[2] / 255.0);
}

static void marker(const plot *p, double x, double y, int32_t i)
{
    enum { SIZE = 4 };
    switch (i / 7 % 4) {
    case 0:
        cairo_arc(p->cr, x, y, SIZE, 0, 2 * M_PI);
        break;
    case 1:
        cairo_rectangle(p->cr, x - SIZE, y - SIZE, 2 * SIZE, 2 * SIZE);
        break;
    case 2:
        cairo_move_to(p->cr, x, y - SIZE - 1);
        cairo_line_to(p->cr, x + SIZE + 1, y + SIZE);
        cairo_line_to(p->cr, x - SIZE - 1, y + SIZE);
        break;
    default:
        cairo_move_to(p->cr, x, y - SIZE - 2);
        cairo_line_to(p->cr, x + SIZE + 2, y);
        cairo_line_to(p->cr, x, y + SIZE + 2);
        cairo_line_to(p->cr, x - SIZE - 2, y);
    }
    cairo_fill(p->cr);
}

static void draw_series(const plot *p, const tkp__chart_series *s, int32_t i)
{
    set_color(p, s, i);
    cairo_set_line_width(p->cr, s->heavy ? 2.5 : 1.2);
    for (int32_t k = 0; k + 1 < s->n_points; k++)
        line(
            p, at_x(p, s->points[k].x), at_y(p, s->points[k].y),
            at_x(p, s->points[k + 1].x), at_y(p, s->points[k + 1].y));
    for (int32_t k = 0; k < s->n_points; k++) {
        const tkp__chart_point *at = &s->points[k];
        const double x = at_x(p, at->x);
        if (s->heavy && at->high > at->low)
            line(p, x, at_y(p, at->low), x, at_y(p, at->high));
        marker(p, x, at_y(p, at->y), i);
    }
}

static void draw_legend(const plot *p, const tkp__chart *chart)
{
    const double space =
        fmin(18, (HEIGHT - TOP - 10) / (double)(chart->n_series + 1));
    for (int32_t i = 0; i < chart->n_series; i++) {
        const double y = TOP + 8 + i * space;
        set_color(p, &chart->series[i], i);
        marker(p, WIDTH - RIGHT + 20, y, i);
        cairo_set_source_rgb(p->cr, 0.2, 0.2, 0.2);
        text(p, WIDTH - RIGHT + 32, y + 4, 0, chart->series[i].name);
    }
}

static void draw(cairo_t *cr, const tkp__chart *chart)
{
    plot p = {.cr = cr};
    find_axes(chart, &p.x, &p.y);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    cairo_select_font_face(
        cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, 12);
    draw_axes(&p, chart);
    if (chart->diagonal) {
        const double low = fmax(p.x.low, p.y.low);
        const double high = fmin(p.x.high, p.y.high);
        cairo_set_source_rgb(cr, 0.6, 0.6, 0.6);
        line(&p, at_x(&p, low), at_y(&p, low), at_x(&p, high), at_y(&p, high));
    }
    for (int32_t i = 0; i < chart->n_series; i++)
        draw_series(&p, &chart->series[i], i);
    draw_legend(&p, chart);
}

/* --- surfaces --------------------------------------------------------------------------- */

/* Takes the surface. */
static tkp_status
finish(cairo_surface_t *surface, const tkp__chart *chart, const char *png)
{
    cairo_t *cr = cairo_create(surface);
    draw(cr, chart);
    cairo_status_t status = cairo_status(cr);
    cairo_destroy(cr);
    if (status == CAIRO_STATUS_SUCCESS && png)
        status = cairo_surface_write_to_png(surface, png);
    cairo_surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    TKP__CHECK(
        status == CAIRO_STATUS_SUCCESS, TKP_ERR_IO, "chart %s: %s", chart->file,
        cairo_status_to_string(status));
    return TKP_OK;
}

tkp_status tkp__chart_files(const tkp__chart *chart, const char *folder)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s.svg", folder, chart->file);
    TKP__TRY(
        finish(cairo_svg_surface_create(path, WIDTH, HEIGHT), chart, NULL));
    snprintf(path, sizeof(path), "%s/%s.png", folder, chart->file);
    return finish(
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, WIDTH, HEIGHT), chart,
        path);
}

typedef struct memory {
    unsigned char *bytes;
    size_t count, capacity;
} memory;

static cairo_status_t
take(void *user, const unsigned char *bytes, unsigned int count)
{
    memory *m = user;
    while (m->capacity - m->count < count) {
        const size_t wanted = m->capacity ? 2 * m->capacity : 1 << 16;
        unsigned char *moved = tkp__realloc(m->bytes, m->count, wanted);
        if (!moved)
            return CAIRO_STATUS_NO_MEMORY;
        m->bytes = moved;
        m->capacity = wanted;
    }
    memcpy(m->bytes + m->count, bytes, count);
    m->count += count;
    return CAIRO_STATUS_SUCCESS;
}

tkp_status tkp__chart_uri(char **out, const tkp__chart *chart)
{
    static const char head[] = "data:image/svg+xml;base64,";
    memory m = {0};
    tkp_status status = finish(
        cairo_svg_surface_create_for_stream(take, &m, WIDTH, HEIGHT), chart,
        NULL);
    char *uri =
        status == TKP_OK
            ? tkp__zalloc(sizeof(head) + BASE64_ENCODE_RAW_LENGTH(m.count), 1)
            : NULL;
    if (uri) {
        memcpy(uri, head, sizeof(head) - 1);
        base64_encode_raw(uri + sizeof(head) - 1, m.count, m.bytes);
        *out = uri;
    } else if (status == TKP_OK)
        status = TKP_ERR_MEMORY;
    tkp__free(m.bytes);
    return status;
}
