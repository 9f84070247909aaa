#ifndef TKP_EVAL_REPORT_H
#define TKP_EVAL_REPORT_H

/*
 * A store as tables: rows are conditions, columns are data sets. Only questions
 * that every condition of a column has answered count, so that all differences
 * are between answers to the same questions. No model is needed.
 */

#include "eval/metric.h"
#include "eval/stats.h"
#include "eval/store.h"

enum { TKP__REPORT_ROUNDS = 1000 };

/* What is averaged over answers. */
typedef struct tkp__report_costs {
    int64_t answers, tokens, with_cells, with_target;
    double visual_before, visual_after, equiv_in, macs, macs_unpruned;
    double kv_bytes, kv_bytes_unpruned;
    double load_images, vision, prefill, pruning, decode, decoded;
    double score, select, merge, gather;
    double center;  /* mean place of kept tokens, 0 first to 1 last */
    double late;    /* share of them in the last quarter */
    double covered; /* share of the target's cells that stay */
    double agrees;  /* same text as vanilla */
} tkp__report_costs;

/* An answer as far as tables need it. */
typedef struct tkp__report_answer {
    int64_t item; /* of items */
    tkp__eval_score score;
    uint64_t text; /* hash */
    tkp__report_costs costs;
} tkp__report_answer;

typedef struct tkp__report_run {
    int64_t id;
    uint64_t seed;
    int64_t data;
    int32_t row, column;
    bool whole; /* not begun a moment ago: it counts */
    int64_t n_answers, capacity;
    tkp__report_answer *answers; /* in the order of the data set */
} tkp__report_run;

typedef struct tkp__report_item {
    char *id, *group, *split, *category;
    json_t *cells; /* of the target; NULL = not known */
    int32_t options, rotation, images;
    int32_t asked; /* runs that answered */
} tkp__report_item;

typedef struct tkp__report_column {
    char *name, *hash;
    tkp__eval_metric metric;
    int64_t data, rows, common; /* questions: of the set, answered by all */
    int32_t n_runs;
} tkp__report_column;

typedef struct tkp__report_cell {
    int32_t seeds;
    double value, low, high; /* 95 % */
    double deviation;        /* over seeds */
    double *rounds;          /* [TKP__REPORT_ROUNDS] resampled values */
} tkp__report_cell;

typedef struct tkp__report_row {
    char *name, *control, *budget, *point;
    tkp__report_cell *cells;             /* [columns] */
    tkp__report_costs costs;             /* means over answers */
    double speed, speed_low, speed_high; /* of the prefill; median */
    double *ratios;                      /* of each answer */
    int64_t n_ratios, ratios_capacity;
} tkp__report_row;

typedef struct tkp__report {
    char *model, *settings, *machine, *revision;
    int32_t others; /* groups of runs that are not shown */
    int32_t unfinished;
    int32_t n_columns, n_rows, n_runs;
    tkp__report_column *columns;
    tkp__report_row *rows;
    tkp__report_run *runs;
    int64_t n_items;
    tkp__report_item *items;
} tkp__report;

void tkp__report_release(tkp__report *report);

/* report_load.c: the newest group of runs (of a model and settings); `model`
 * NULL, or a part of the name wanted. */
tkp_status
tkp__report_load(tkp__report *out, tkp__store *store, const char *model);
/* report_figures.c: values, intervals, means. */
tkp_status tkp__report_compute(tkp__report *report);

/* report_answers.c: FOLDER/SET-CONDITION....jsonl for every run of the report,
 * a line {question_id, prompt, text} an answer; all of them, not only those to
 * questions that all conditions answered. */
tkp_status tkp__report_answers(
    tkp__store *store,
    const tkp__report *report,
    const char *folder);

/* The row that others are held against; -1 = there is none. */
int32_t tkp__report_find(
    const tkp__report *report,
    const char *control,
    const char *budget,
    const char *point);

enum tkp__report_average {
    TKP__REPORT_RATIO, /* to vanilla */
    TKP__REPORT_PLAIN,
    TKP__REPORT_SKILL /* with drop-all as the floor */
};

typedef struct tkp__report_estimate {
    double value, low, high;
} tkp__report_estimate;

/* Over `columns` [count]; NaN where a cell is missing. */
tkp_status tkp__report_average_of(
    tkp__report_estimate *out,
    const tkp__report *report,
    int32_t row,
    const int32_t *columns,
    int32_t count,
    int32_t kind);
/* Of two rows, resampled together. */
tkp_status tkp__report_difference(
    tkp__report_estimate *out,
    const tkp__report *report,
    int32_t row,
    int32_t other,
    const int32_t *columns,
    int32_t count);
/* Random at the same EQUIV_IN, between the two random rows around it; NaN
 * outside of them. */
double tkp__report_random_at(
    const tkp__report *report,
    double equiv_in,
    const int32_t *columns,
    int32_t count);

#endif
