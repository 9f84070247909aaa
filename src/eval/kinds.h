#ifndef TKP_EVAL_KINDS_H
#define TKP_EVAL_KINDS_H

/* What the files of metrics share: the table's row of a kind, and the sink that
 * figures are put into. */

#include "eval/metric.h"

struct tkp__eval_kind {
    const char *name;
    const char *summary;
    uint32_t needs; /* of an item: tkp__eval_need */
    tkp_status (*score)(
        tkp__eval_score *out,
        const tkp__eval_metric *metric,
        const char *answer,
        const tkp__eval_item *item);
    tkp_status (*figures)(
        tkp__eval_figures *out,
        const tkp__eval_kind *kind,
        const tkp__eval_table *table,
        const uint32_t *weights);
};

enum tkp__eval_need {
    TKP__EVAL_NEED_ANSWER = 1,
    TKP__EVAL_NEED_OPTIONS = 2,
    TKP__EVAL_NEED_BOX = 4
};

/* Each ends with name = NULL. */
extern const tkp__eval_kind tkp__eval_yesno_kinds[];
extern const tkp__eval_kind tkp__eval_exact_kinds[];
extern const tkp__eval_kind tkp__eval_vqa_kinds[];
extern const tkp__eval_kind tkp__eval_choice_kinds[];
extern const tkp__eval_kind tkp__eval_box_kinds[];

/* A figure more. */
tkp_status tkp__eval_put(
    tkp__eval_figures *out,
    const char *prefix,
    const char *name,
    double value,
    int64_t n,
    int64_t hits);
/* 100 hits / n, as a proportion. */
tkp_status tkp__eval_put_share(
    tkp__eval_figures *out,
    const char *prefix,
    const char *name,
    int64_t hits,
    int64_t n);

static inline int64_t
tkp__eval_weight(const tkp__eval_row *row, const uint32_t *weights)
{
    return weights ? weights[row->group] : 1;
}

/* 100 a / b; NaN for b = 0 (nothing was asked). */
double tkp__eval_percent(double a, double b);

/* "accuracy": the mean of all, of each split, of each category. */
tkp_status tkp__eval_figures_mean(
    tkp__eval_figures *out,
    const tkp__eval_kind *kind,
    const tkp__eval_table *table,
    const uint32_t *weights);

/* MME's points (metric_mme.c). */
tkp_status tkp__eval_figures_mme(
    tkp__eval_figures *out,
    const tkp__eval_kind *kind,
    const tkp__eval_table *table,
    const uint32_t *weights);

/* The score of a word that is right or wrong. */
tkp_status tkp__eval_score_of(
    tkp__eval_score *out,
    double value,
    const char *parsed,
    uint32_t flags);

#endif
