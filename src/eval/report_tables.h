#ifndef TKP_EVAL_REPORT_TABLES_H
#define TKP_EVAL_REPORT_TABLES_H

/* The tables a report has, each as a grid. */

#include "eval/grid.h"
#include "eval/report.h"

/* A table of the study as data: which columns, averaged how. */
typedef struct tkp__report_recipe {
    const char *name, *title;
    const char *columns; /* patterns of names, with blanks between them */
    int32_t average;     /* enum tkp__report_average */
    const char *shows;   /* accuracy, deviations, differences, costs, kept */
} tkp__report_recipe;

/* Recipe i; NULL behind the last. */
const tkp__report_recipe *tkp__report_recipe_at(int32_t i);

/* Release the grid. TKP_ERR_DATA if no column of the recipe is in the store. */
tkp_status tkp__report_table(
    tkp__grid *out,
    const tkp__report *report,
    const tkp__report_recipe *recipe);

/* Rows as tables show them: by point and budget, controls first. tkp__free(). */
int32_t *tkp__report_order(const tkp__report *report);
/* Columns of a recipe; how many. */
int32_t tkp__report_columns(
    const tkp__report *report,
    const tkp__report_recipe *recipe,
    int32_t *out,
    int32_t capacity);

#endif
