#ifndef TKP_EVAL_STATS_H
#define TKP_EVAL_STATS_H

/*
 * How sure a figure is, and what many figures come to. Everything that is
 * drawn is a function of the seed. Two methods are compared by resampling both
 * with one seed: they then lose and repeat the same questions, and the
 * difference of the two lists is that of the paired bootstrap.
 */

#include "eval/metric.h"

typedef struct tkp__eval_interval {
    double low, high;
} tkp__eval_interval;

/* Wilson's 95 % interval of a proportion, in per cent; NaN for n = 0. */
tkp__eval_interval tkp__eval_wilson(int64_t hits, int64_t n);

/*
 * A figure of `rounds` resamples. A round draws as many groups as there are,
 * with replacement, and out of several tables (the same questions answered
 * under several random seeds) as many tables as there are; its value is the
 * mean over those.
 * TKP_ERR_ARGUMENT if the tables do not have the same groups in one order.
 */
tkp_status tkp__eval_resample(
    double *out,
    int32_t rounds,
    const tkp__eval_metric *metric,
    const tkp__eval_table *const *tables,
    int32_t n_tables,
    int32_t figure,
    uint64_t seed);

/* The same of all figures: out[round * figures + figure]. */
tkp_status tkp__eval_resample_all(
    double *out,
    int32_t rounds,
    const tkp__eval_metric *metric,
    const tkp__eval_table *const *tables,
    int32_t n_tables,
    int32_t figures,
    uint64_t seed);

/* Between them lie 95 % of the values (linear between ranks; what is no number
 * is left out). */
tkp_status tkp__eval_percentiles(
    tkp__eval_interval *out,
    const double *values,
    int32_t count);

double tkp__eval_mean(const double *values, int32_t count);
/* Of all there are: divided by n. */
double tkp__eval_deviation(const double *values, int32_t count);

/* Questions that are right in one table only; the tables have the same rows. */
tkp_status tkp__eval_discordant(
    int64_t *only_a,
    int64_t *only_b,
    const tkp__eval_table *a,
    const tkp__eval_table *b);
/* McNemar's exact test, two-sided: how likely such a difference is by chance. */
double tkp__eval_mcnemar(int64_t only_a, int64_t only_b);

/* What tables call "Avg.". A value that is missing (NaN) makes them NaN: never
 * silently an average of fewer. */

/* 100 x mean of value / vanilla, not capped: the paper's Tables 1 and 6. */
double
tkp__eval_avg_ratio(const double *values, const double *vanilla, int32_t count);
/* Plain mean: its Table 2. */
double tkp__eval_avg_plain(const double *values, int32_t count);
/* 100 x mean of (value - floor) / (vanilla - floor), with what is left when
 * every visual token goes as the floor. */
double tkp__eval_avg_skill(
    const double *values,
    const double *vanilla,
    const double *floor,
    int32_t count);

#endif
