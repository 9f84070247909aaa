/* The charts of a report. */
#include "eval/report_charts.h"

#include <math.h>
#include <stdio.h>

enum { MOST_COLUMNS = 256 };

static int32_t all_columns(const tkp__report *r, int32_t out[MOST_COLUMNS])
{
    int32_t n = 0;
    for (; n < r->n_columns && n < MOST_COLUMNS; n++)
        out[n] = n;
    return n;
}

static bool is_heavy(const tkp__report_row *row)
{
    return !strcmp(row->control, "random");
}

static tkp_status set_texts(
    tkp__chart *chart,
    const char *file,
    const char *title,
    const char *x,
    const char *y)
{
    chart->file = tkp__strdup(file);
    chart->title = tkp__strdup(title);
    chart->x_label = tkp__strdup(x);
    chart->y_label = tkp__strdup(y);
    return chart->file && chart->title && chart->x_label && chart->y_label
               ? TKP_OK
               : TKP_ERR_MEMORY;
}

/* --- score over tokens ---------------------------------------------------------------- */

/* The i-th point that a method or random was cut at. */
static const char *point_at(const tkp__report *r, int32_t i)
{
    for (int32_t a = 0; a < r->n_rows; a++) {
        bool first = r->rows[a].point[0] != '\0';
        for (int32_t b = 0; b < a; b++)
            first = first && strcmp(r->rows[a].point, r->rows[b].point) != 0;
        if (first && i-- == 0)
            return r->rows[a].point;
    }
    return NULL;
}

static tkp_status
score_chart(tkp__chart *chart, const tkp__report *r, const char *point)
{
    int32_t columns[MOST_COLUMNS];
    char file[64], title[160];
    const int32_t count = all_columns(r, columns);
    snprintf(file, sizeof(file), "score-%.40s", point);
    for (char *c = file; *c; c++)
        *c = *c == ':' || *c == '/' ? '-' : *c;
    snprintf(
        title, sizeof(title),
        "%.60s, cut at %.40s: score left over tokens left", r->model, point);
    TKP__TRY(set_texts(
        chart, file, title, "visual tokens that stay",
        "mean of ratios to vanilla, %"));
    for (int32_t i = 0; i < r->n_rows; i++) {
        const tkp__report_row *row = &r->rows[i];
        tkp__report_estimate e;
        if (strcmp(row->point, point) != 0)
            continue;
        TKP__TRY(tkp__report_average_of(
            &e, r, i, columns, count, TKP__REPORT_RATIO));
        if (isfinite(e.value))
            TKP__TRY(tkp__chart_add(
                chart, row->name, is_heavy(row),
                (tkp__chart_point){
                    row->costs.visual_after, e.value, e.low, e.high}));
    }
    return TKP_OK;
}

/* --- speed ----------------------------------------------------------------------------- */

static tkp_status speed_chart(tkp__chart *chart, const tkp__report *r)
{
    char title[160];
    snprintf(title, sizeof(title), "%.60s: speed-up of the prefill", r->model);
    TKP__TRY(set_texts(
        chart, "speed", title, "by multiply-accumulates that ran",
        "measured (median over questions)"));
    chart->diagonal = true;
    for (int32_t i = 0; i < r->n_rows; i++) {
        const tkp__report_row *row = &r->rows[i];
        const double x = row->costs.macs_unpruned / row->costs.macs;
        if (!strcmp(row->control, "text-only") || !isfinite(x) ||
            !isfinite(row->speed))
            continue;
        TKP__TRY(tkp__chart_add(
            chart, row->name, is_heavy(row),
            (tkp__chart_point){
                x, row->speed, row->speed_low, row->speed_high}));
    }
    return TKP_OK;
}

tkp_status
tkp__report_chart(tkp__chart *out, const tkp__report *report, int32_t i)
{
    tkp__chart chart = {0};
    tkp_status status = TKP_OK;
    const char *point = point_at(report, i);
    if (point)
        status = score_chart(&chart, report, point);
    else if (i == 0 || point_at(report, i - 1))
        status = speed_chart(&chart, report);
    if (status != TKP_OK) {
        tkp__chart_release(&chart);
        return status;
    }
    *out = chart;
    return TKP_OK;
}
