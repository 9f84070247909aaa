#include "eval/stats.h"

#include <math.h>
#include <stdlib.h>

#include "util/philox.h"

enum { STREAM_GROUPS = 1, STREAM_TABLES = 2 };

/* Of the normal distribution: 97.5 % lie below. */
static const double normal_975 = 1.959963984540054;

tkp__eval_interval tkp__eval_wilson(int64_t hits, int64_t n)
{
    if (n <= 0)
        return (tkp__eval_interval){NAN, NAN};
    const double count = (double)n, p = (double)hits / count;
    const double z2 = normal_975 * normal_975;
    const double center = (p + z2 / (2 * count)) / (1 + z2 / count);
    const double half = normal_975 / (1 + z2 / count) *
                        sqrt(p * (1 - p) / count + z2 / (4 * count * count));
    return (tkp__eval_interval){
        100 * fmax(center - half, 0), 100 * fmin(center + half, 1)};
}

/* --- resampling ------------------------------------------------------------------ */

/* Number `i` of round `round`, below n. */
static uint32_t
draw(uint64_t seed, uint32_t stream, uint32_t round, uint32_t i, uint32_t n)
{
    const uint32_t counter[4] = {i, round, stream, 0};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    return tkp__scale_u64(tkp__philox_u64(counter, key), n);
}

static tkp_status
check_tables(const tkp__eval_table *const *tables, int32_t count)
{
    const tkp__eval_names *first = &tables[0]->groups;
    for (int32_t t = 1; t < count; t++) {
        const tkp__eval_names *groups = &tables[t]->groups;
        TKP__CHECK(
            groups->count == first->count, TKP_ERR_ARGUMENT,
            "run %d has answers to %d groups of questions, wanted %d as the "
            "first",
            t, groups->count, first->count);
        for (int32_t g = 0; g < first->count; g++)
            TKP__CHECK(
                strcmp(groups->names[g], first->names[g]) == 0,
                TKP_ERR_ARGUMENT,
                "run %d has '%.60s' where the first has '%.60s', wanted the "
                "same questions in one order",
                t, groups->names[g], first->names[g]);
    }
    return TKP_OK;
}

/* Every figure of one table, added to `sums`. */
static tkp_status add_figures(
    double *sums,
    int32_t figures,
    const tkp__eval_metric *metric,
    const tkp__eval_table *table,
    const uint32_t *weights)
{
    tkp__eval_figures all;
    TKP__TRY(tkp__eval_aggregate(&all, metric, table, weights));
    const int32_t count = all.count;
    for (int32_t f = 0; f < figures && f < count; f++)
        sums[f] += all.figures[f].value;
    tkp__eval_figures_release(&all);
    TKP__CHECK(
        figures <= count, TKP_ERR_ARGUMENT,
        "%d figures are wanted, there are %d", figures, count);
    return TKP_OK;
}

tkp_status tkp__eval_resample_all(
    double *out,
    int32_t rounds,
    const tkp__eval_metric *metric,
    const tkp__eval_table *const *tables,
    int32_t n_tables,
    int32_t figures,
    uint64_t seed)
{
    TKP__CHECK(
        n_tables > 0 && tables[0]->groups.count > 0, TKP_ERR_ARGUMENT,
        "there are %d runs, wanted at least one with answers", n_tables);
    TKP__TRY(check_tables(tables, n_tables));
    const uint32_t groups = (uint32_t)tables[0]->groups.count;
    uint32_t *weights = tkp__alloc(groups, sizeof(uint32_t));
    if (!weights)
        return TKP_ERR_MEMORY;
    tkp_status status = TKP_OK;
    for (int32_t round = 0; round < rounds; round++) {
        const uint32_t r = (uint32_t)round;
        double *sums = out + (size_t)round * (size_t)figures;
        for (int32_t f = 0; f < figures; f++)
            sums[f] = 0;
        memset(weights, 0, groups * sizeof(uint32_t));
        for (uint32_t i = 0; i < groups; i++)
            weights[draw(seed, STREAM_GROUPS, r, i, groups)]++;
        for (int32_t t = 0; t < n_tables; t++) {
            const uint32_t which =
                draw(seed, STREAM_TABLES, r, (uint32_t)t, (uint32_t)n_tables);
            TKP__TRY_OUT(
                add_figures(sums, figures, metric, tables[which], weights));
        }
        for (int32_t f = 0; f < figures; f++)
            sums[f] /= n_tables;
    }
out:
    tkp__free(weights);
    return status;
}

tkp_status tkp__eval_resample(
    double *out,
    int32_t rounds,
    const tkp__eval_metric *metric,
    const tkp__eval_table *const *tables,
    int32_t n_tables,
    int32_t figure,
    uint64_t seed)
{
    const size_t width = (size_t)figure + 1;
    double *all = tkp__alloc((size_t)rounds * width, sizeof(double));
    if (!all)
        return TKP_ERR_MEMORY;
    const tkp_status status = tkp__eval_resample_all(
        all, rounds, metric, tables, n_tables, figure + 1, seed);
    for (int32_t r = 0; status == TKP_OK && r < rounds; r++)
        out[r] = all[(size_t)r * width + (size_t)figure];
    tkp__free(all);
    return status;
}

/* --- lists of values ---------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double at_rank(const double *sorted, int32_t count, double share)
{
    const double rank = share * (count - 1);
    const int32_t low = (int32_t)rank;
    const int32_t high = low + 1 < count ? low + 1 : low;
    return sorted[low] + (rank - low) * (sorted[high] - sorted[low]);
}

tkp_status tkp__eval_percentiles(
    tkp__eval_interval *out,
    const double *values,
    int32_t count)
{
    int32_t n = 0;
    *out = (tkp__eval_interval){NAN, NAN};
    double *sorted = tkp__alloc((size_t)count + 1, sizeof(double));
    if (!sorted)
        return TKP_ERR_MEMORY;
    for (int32_t i = 0; i < count; i++)
        if (isfinite(values[i]))
            sorted[n++] = values[i];
    qsort(sorted, (size_t)n, sizeof(double), by_value);
    if (n > 0)
        *out = (tkp__eval_interval){
            at_rank(sorted, n, 0.025), at_rank(sorted, n, 0.975)};
    tkp__free(sorted);
    return TKP_OK;
}

double tkp__eval_mean(const double *values, int32_t count)
{
    double sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += values[i];
    return count > 0 ? sum / count : NAN;
}

double tkp__eval_deviation(const double *values, int32_t count)
{
    const double mean = tkp__eval_mean(values, count);
    double sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += (values[i] - mean) * (values[i] - mean);
    return count > 0 ? sqrt(sum / count) : NAN;
}

/* --- two methods -------------------------------------------------------------------- */

tkp_status tkp__eval_discordant(
    int64_t *only_a,
    int64_t *only_b,
    const tkp__eval_table *a,
    const tkp__eval_table *b)
{
    const tkp__eval_table *const both[] = {a, b};
    TKP__CHECK(
        a->n_rows == b->n_rows, TKP_ERR_ARGUMENT,
        "one run has %lld scores and the other %lld, wanted the same questions",
        (long long)a->n_rows, (long long)b->n_rows);
    TKP__TRY(check_tables(both, 2));
    *only_a = *only_b = 0;
    for (int64_t i = 0; i < a->n_rows; i++) {
        const bool right_a = a->rows[i].value == 1;
        const bool right_b = b->rows[i].value == 1;
        *only_a += right_a && !right_b;
        *only_b += right_b && !right_a;
    }
    return TKP_OK;
}

double tkp__eval_mcnemar(int64_t only_a, int64_t only_b)
{
    const double n = (double)(only_a + only_b);
    const int64_t less = only_a < only_b ? only_a : only_b;
    double tail = 0;
    for (int64_t i = 0; i <= less; i++) {
        const double k = (double)i;
        tail +=
            exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2));
    }
    return fmin(1, 2 * tail);
}

/* --- averages over data sets ----------------------------------------------------------- */

double
tkp__eval_avg_ratio(const double *values, const double *vanilla, int32_t count)
{
    double sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += vanilla[i] > 0 ? values[i] / vanilla[i] : NAN;
    return count > 0 ? 100 * sum / count : NAN;
}

double tkp__eval_avg_plain(const double *values, int32_t count)
{
    return tkp__eval_mean(values, count);
}

double tkp__eval_avg_skill(
    const double *values,
    const double *vanilla,
    const double *floor,
    int32_t count)
{
    double sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += vanilla[i] > floor[i]
                   ? (values[i] - floor[i]) / (vanilla[i] - floor[i])
                   : NAN;
    return count > 0 ? 100 * sum / count : NAN;
}
