#ifndef TKP_EVAL_GRID_H
#define TKP_EVAL_GRID_H

/* A table of texts, and the ways it can be written. Functions that fill it
 * note a lack of memory in it; tkp__grid_check() tells at the end. */

#include <stdio.h>

#include "util/util.h"

typedef struct tkp__grid {
    char *title, *notes;
    char **heads, **cells; /* cells row by row */
    int32_t n_heads;
    int64_t n_cells;
    bool failed;
} tkp__grid;

enum tkp__grid_format {
    TKP__GRID_MD,
    TKP__GRID_CSV,
    TKP__GRID_TEX,
    TKP__GRID_HTML
};

void tkp__grid_release(tkp__grid *grid);
void tkp__grid_title(tkp__grid *grid, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* More text below the table. */
void tkp__grid_note(tkp__grid *grid, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void tkp__grid_head(tkp__grid *grid, const char *text);
void tkp__grid_put(tkp__grid *grid, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* With so many decimals; an en dash where there is no number. */
void tkp__grid_number(tkp__grid *grid, double value, int decimals);
tkp_status tkp__grid_check(const tkp__grid *grid);

void tkp__grid_write(FILE *file, const tkp__grid *grid, int32_t format);
/* Text as HTML has it. */
void tkp__grid_html(FILE *file, const char *text);

#endif
