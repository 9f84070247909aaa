#ifndef TKP_EVAL_METRIC_H
#define TKP_EVAL_METRIC_H

/*
 * Scores without a model. A metric has two pure functions: of one answer, how
 * good is it; of many scores, which figures go into the table. Names say whose
 * rule is followed ("yesno_pope", "yesno_mme"): toolkits differ, and people
 * compare with all of them. docs/eval.md lists them.
 */

#include "eval/item.h"

/* --- one answer ------------------------------------------------------------- */

enum tkp__eval_flag {
    TKP__EVAL_UNPARSED = 1,    /* nothing usable was found in the answer */
    TKP__EVAL_SAID_YES = 2,    /* yes/no */
    TKP__EVAL_GOLD_YES = 4,    /* yes/no */
    TKP__EVAL_COMPLIANT = 8,   /* haystacks: there was a yes or a no */
    TKP__EVAL_CENTER = 16,     /* boxes: the centre lies in the right box */
    TKP__EVAL_FEW_ANSWERS = 32 /* soft accuracy with fewer than ten of them */
};

typedef struct tkp__eval_score {
    double value;   /* 0 to 1 */
    double measure; /* boxes: IoU; else as value */
    uint32_t flags;
    char *parsed; /* what the answer was taken for, "" = nothing */
} tkp__eval_score;

void tkp__eval_score_release(tkp__eval_score *score);

/* How boxes are read; of other metrics, nothing. */
enum tkp__eval_box_parser {
    TKP__EVAL_BOX_NONE = 0,
    TKP__EVAL_BOX_BRACKET4, /* the first [a, b, c, d] */
    TKP__EVAL_BOX_SEED,     /* as the paper's harness does */
    TKP__EVAL_BOX_QWEN,     /* (x1,y1),(x2,y2) */
    TKP__EVAL_BOX_JSON,     /* "bbox_2d": [...] and its like */
    TKP__EVAL_BOX_ANY4      /* the first four numbers */
};

enum tkp__eval_box_scale {
    TKP__EVAL_SCALE_AUTO = 0, /* by the largest number */
    TKP__EVAL_SCALE_UNIT,
    TKP__EVAL_SCALE_THOUSAND,
    TKP__EVAL_SCALE_Q999,
    TKP__EVAL_SCALE_PIXEL,
    TKP__EVAL_SCALE_SEED /* by the sum of the four */
};

enum { TKP__EVAL_BOX_MOST_PARSERS = 5 };

typedef struct tkp__eval_box_rule {
    int32_t parsers[TKP__EVAL_BOX_MOST_PARSERS]; /* tried in turn; 0 = end */
    int32_t scale;
    bool padded; /* relative to the padded square, not to the picture */
    bool raw;    /* neither clipped nor with corners put right */
} tkp__eval_box_rule;

typedef struct tkp__eval_kind tkp__eval_kind;

/* What a card asks for: a kind, and how it is to be used. */
typedef struct tkp__eval_metric {
    const tkp__eval_kind *kind;
    tkp__eval_box_rule box;
} tkp__eval_metric;

/* By name; TKP_ERR_ARGUMENT with the nearest name. */
tkp_status tkp__eval_metric_find(tkp__eval_metric *out, const char *name);
/* Name i of all, NULL behind the last; what it does, in a line. */
const char *tkp__eval_metric_name(int32_t i);
const char *tkp__eval_metric_summary(int32_t i);

/* Release the score. TKP_ERR_ARGUMENT if the item lacks what is compared with
 * (a right answer, options, a box); never for what an answer says. */
tkp_status tkp__eval_score_answer(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item);

/* --- many answers ------------------------------------------------------------- */

/* A score and where it belongs; numbers lead into the table's names. */
typedef struct tkp__eval_row {
    double value, measure;
    uint32_t flags;
    int32_t group, split, category;
    int32_t options, rotation;
    bool image; /* the question has a picture */
} tkp__eval_row;

typedef struct tkp__eval_names {
    int32_t count;
    char **names; /* in order of appearance */
    json_t *numbers;
} tkp__eval_names;

/* Scores of one run over one data set. An item of several splits or categories
 * is several rows of one group. */
typedef struct tkp__eval_table {
    int64_t n_rows, capacity;
    tkp__eval_row *rows;
    tkp__eval_names groups, splits, categories;
} tkp__eval_table;

void tkp__eval_table_release(tkp__eval_table *table);
tkp_status tkp__eval_table_add(
    tkp__eval_table *table,
    const tkp__eval_item *item,
    const tkp__eval_score *score);

enum { TKP__EVAL_FIGURE_NAME = 96 };

typedef struct tkp__eval_figure {
    char name[TKP__EVAL_FIGURE_NAME];
    double value; /* NaN: there is nothing to compute it from */
    int64_t n;    /* questions (or groups) it is made of */
    int64_t hits; /* of a proportion; -1 = it is none */
} tkp__eval_figure;

typedef struct tkp__eval_figures {
    int32_t count, capacity;
    tkp__eval_figure *figures; /* [0] is the headline */
    bool values_only;          /* names are not filled in */
} tkp__eval_figures;

void tkp__eval_figures_release(tkp__eval_figures *figures);

/*
 * All figures of a table. `weights` counts each group (a resample draws some
 * twice, others never); NULL counts each once. The figures are the same ones,
 * in the same order, whatever the weights; with weights they have no names.
 */
tkp_status tkp__eval_aggregate(
    tkp__eval_figures *out,
    const tkp__eval_metric *metric,
    const tkp__eval_table *table,
    const uint32_t *weights);

/* The figure of this name; NULL = there is none. */
const tkp__eval_figure *
tkp__eval_figure_of(const tkp__eval_figures *figures, const char *name);

#endif
