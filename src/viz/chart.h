#ifndef TKP_VIZ_CHART_H
#define TKP_VIZ_CHART_H

/* Line charts of a few methods, as SVG and PNG. */

#include "util/util.h"

typedef struct tkp__chart_point {
    double x, y;
    double low, high; /* a whisker; equal = none */
} tkp__chart_point;

typedef struct tkp__chart_series {
    char *name;
    bool heavy; /* what others are held against */
    int32_t n_points;
    tkp__chart_point *points;
} tkp__chart_series;

typedef struct tkp__chart {
    char *file; /* name without ending */
    char *title, *x_label, *y_label;
    bool diagonal; /* a line where y = x */
    int32_t n_series;
    tkp__chart_series *series;
} tkp__chart;

void tkp__chart_release(tkp__chart *chart);
/* The series of this name, made if it is not there. */
tkp_status tkp__chart_add(
    tkp__chart *chart,
    const char *name,
    bool heavy,
    tkp__chart_point point);

/* FOLDER/FILE.svg and .png. */
tkp_status tkp__chart_files(const tkp__chart *chart, const char *folder);
/* The SVG as a data URI; tkp__free() it. */
tkp_status tkp__chart_uri(char **out, const tkp__chart *chart);

#endif
