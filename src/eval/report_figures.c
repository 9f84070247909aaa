/* The figures of a report: values with intervals, means, differences. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "eval/report.h"
#include "util/philox.h"

enum { MOST_SEEDS = 1024 };

/* --- costs ------------------------------------------------------------------------ */

static void add_costs(tkp__report_costs *to, const tkp__report_costs *from)
{
    to->answers += from->answers;
    to->tokens += from->tokens;
    to->with_cells += from->with_cells;
    to->with_target += from->with_target;
    to->visual_before += from->visual_before;
    to->visual_after += from->visual_after;
    to->equiv_in += from->equiv_in;
    to->macs += from->macs;
    to->macs_unpruned += from->macs_unpruned;
    to->kv_bytes += from->kv_bytes;
    to->kv_bytes_unpruned += from->kv_bytes_unpruned;
    to->load_images += from->load_images;
    to->vision += from->vision;
    to->prefill += from->prefill;
    to->pruning += from->pruning;
    to->decode += from->decode;
    to->decoded += from->decoded;
    to->score += from->score;
    to->select += from->select;
    to->merge += from->merge;
    to->gather += from->gather;
    to->center += from->center;
    to->late += from->late;
    to->covered += from->covered;
    to->agrees += from->agrees;
}

static void divide_costs(tkp__report_costs *c)
{
    const double n = c->answers > 0 ? (double)c->answers : NAN;
    double *const means[] = {
        &c->visual_before,
        &c->visual_after,
        &c->equiv_in,
        &c->macs,
        &c->macs_unpruned,
        &c->kv_bytes,
        &c->kv_bytes_unpruned,
        &c->load_images,
        &c->vision,
        &c->prefill,
        &c->pruning,
        &c->score,
        &c->select,
        &c->merge,
        &c->gather,
        &c->agrees};
    for (size_t i = 0; i < sizeof(means) / sizeof(means[0]); i++)
        *means[i] /= n;
    c->decode = c->decoded > 0 ? c->decode / c->decoded : NAN; /* a token */
    c->center = c->with_cells > 0 ? c->center / (double)c->with_cells : NAN;
    c->late = c->with_cells > 0 ? c->late / (double)c->with_cells : NAN;
    c->covered = c->with_target > 0 ? c->covered / (double)c->with_target : NAN;
}

/* --- what vanilla said ---------------------------------------------------------------- */

typedef struct reference {
    uint64_t text;
    double prefill; /* 0 = it was not asked */
} reference;

static reference *read_vanilla(const tkp__report *r)
{
    reference *out = tkp__zalloc((size_t)r->n_items + 1, sizeof(*out));
    for (int32_t i = 0; out && i < r->n_runs; i++) {
        const tkp__report_run *run = &r->runs[i];
        if (strcmp(r->rows[run->row].control, "vanilla") != 0)
            continue;
        for (int64_t a = 0; a < run->n_answers; a++)
            out[run->answers[a].item] = (reference){
                run->answers[a].text, run->answers[a].costs.prefill};
    }
    return out;
}

static bool
is_common(const tkp__report *r, const tkp__report_run *run, int64_t item)
{
    return r->items[item].asked == r->columns[run->column].n_runs;
}

static tkp_status add_ratio(tkp__report_row *row, double ratio)
{
    if (row->n_ratios == row->ratios_capacity) {
        const int64_t wanted =
            row->ratios_capacity ? 2 * row->ratios_capacity : 64;
        double *moved = tkp__realloc(
            row->ratios, (size_t)row->n_ratios * sizeof(double),
            (size_t)wanted * sizeof(double));
        if (!moved)
            return TKP_ERR_MEMORY;
        row->ratios = moved;
        row->ratios_capacity = wanted;
    }
    row->ratios[row->n_ratios++] = ratio;
    return TKP_OK;
}

static tkp_status
add_run(tkp__report *r, const tkp__report_run *run, const reference *vanilla)
{
    tkp__report_row *row = &r->rows[run->row];
    for (int64_t a = 0; a < run->n_answers; a++) {
        const tkp__report_answer *answer = &run->answers[a];
        const reference *v = &vanilla[answer->item];
        tkp__report_costs costs = answer->costs;
        if (!is_common(r, run, answer->item))
            continue;
        costs.agrees = v->prefill > 0 && v->text == answer->text;
        add_costs(&row->costs, &costs);
        if (v->prefill > 0 && costs.prefill > 0)
            TKP__TRY(add_ratio(row, v->prefill / costs.prefill));
    }
    return TKP_OK;
}

/* --- the median, and how sure it is ------------------------------------------------------ */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double middle(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof(double), ascending);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Of the sorted ratios: a resample's median is the one of its sorted ranks. */
static tkp_status find_speed(tkp__report_row *row)
{
    enum { ROUNDS = 200 };
    double medians[ROUNDS];
    const int64_t n = row->n_ratios;
    tkp__eval_interval interval;
    row->speed = row->speed_low = row->speed_high = NAN;
    if (n == 0)
        return TKP_OK;
    row->speed = middle(row->ratios, n);
    double *drawn = tkp__alloc((size_t)n, sizeof(double));
    if (!drawn)
        return TKP_ERR_MEMORY;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const uint32_t key[2] = {1, 0};
        for (int64_t i = 0; i < n; i++) {
            const uint32_t counter[4] = {(uint32_t)i, round, 0, 0};
            drawn[i] = row->ratios[tkp__scale_u64(
                tkp__philox_u64(counter, key), (uint32_t)n)];
        }
        medians[round] = middle(drawn, n);
    }
    tkp__free(drawn);
    TKP__TRY(tkp__eval_percentiles(&interval, medians, ROUNDS));
    row->speed_low = interval.low;
    row->speed_high = interval.high;
    return TKP_OK;
}

/* --- cells ---------------------------------------------------------------------------------- */

static tkp_status fill_table(
    tkp__eval_table *table,
    const tkp__report *r,
    const tkp__report_run *run)
{
    for (int64_t a = 0; a < run->n_answers; a++) {
        const tkp__report_answer *answer = &run->answers[a];
        const tkp__report_item *i = &r->items[answer->item];
        if (!is_common(r, run, answer->item))
            continue;
        const tkp__eval_item item = {
            .id = i->id,
            .group = i->group,
            .split = i->split,
            .category = i->category,
            .n_options = i->options,
            .rotation = i->rotation,
            .n_images = i->images};
        TKP__TRY(tkp__eval_table_add(table, &item, &answer->score));
    }
    return TKP_OK;
}

static tkp_status headline(
    double *out,
    const tkp__eval_metric *metric,
    const tkp__eval_table *table)
{
    tkp__eval_figures figures = {0};
    TKP__TRY(tkp__eval_aggregate(&figures, metric, table, NULL));
    *out = figures.count > 0 ? figures.figures[0].value : NAN;
    tkp__eval_figures_release(&figures);
    return TKP_OK;
}

static tkp_status cell_of_tables(
    tkp__report_cell *cell,
    const tkp__report_column *column,
    tkp__eval_table *tables,
    int32_t count,
    uint64_t seed)
{
    double values[MOST_SEEDS];
    const tkp__eval_table *list[MOST_SEEDS];
    tkp__eval_interval interval;
    for (int32_t t = 0; t < count; t++) {
        list[t] = &tables[t];
        TKP__TRY(headline(&values[t], &column->metric, &tables[t]));
    }
    cell->seeds = count;
    cell->value = tkp__eval_mean(values, count);
    cell->deviation = tkp__eval_deviation(values, count);
    cell->rounds = tkp__alloc(TKP__REPORT_ROUNDS, sizeof(double));
    if (!cell->rounds)
        return TKP_ERR_MEMORY;
    TKP__TRY(tkp__eval_resample(
        cell->rounds, TKP__REPORT_ROUNDS, &column->metric, list, count, 0,
        seed));
    TKP__TRY(
        tkp__eval_percentiles(&interval, cell->rounds, TKP__REPORT_ROUNDS));
    cell->low = interval.low;
    cell->high = interval.high;
    return TKP_OK;
}

static tkp_status compute_cell(tkp__report *r, int32_t row, int32_t column)
{
    tkp__report_cell *cell = &r->rows[row].cells[column];
    tkp__eval_table *tables = tkp__zalloc(MOST_SEEDS, sizeof(tkp__eval_table));
    int32_t count = 0;
    tkp_status status = tables ? TKP_OK : TKP_ERR_MEMORY;
    cell->value = cell->low = cell->high = cell->deviation = NAN;
    for (int32_t i = 0; i < r->n_runs && status == TKP_OK; i++) {
        const tkp__report_run *run = &r->runs[i];
        if (run->row == row && run->column == column && run->whole &&
            count < MOST_SEEDS)
            status = fill_table(&tables[count++], r, run);
    }
    /* The same questions are drawn for every row of a column, others for
     * another column. */
    if (status == TKP_OK && count > 0 && tables[0].n_rows > 0)
        status = cell_of_tables(
            cell, &r->columns[column], tables, count, (uint64_t)column + 1);
    for (int32_t t = 0; t < count; t++)
        tkp__eval_table_release(&tables[t]);
    tkp__free(tables);
    return status;
}

static void count_common(tkp__report *r)
{
    for (int32_t c = 0; c < r->n_columns; c++)
        for (int32_t i = 0; i < r->n_runs; i++) {
            const tkp__report_run *run = &r->runs[i];
            if (run->column != c || !run->whole)
                continue;
            r->columns[c].common = 0;
            for (int64_t a = 0; a < run->n_answers; a++)
                r->columns[c].common += is_common(r, run, run->answers[a].item);
        }
}

tkp_status tkp__report_compute(tkp__report *r)
{
    tkp_status status = TKP_OK;
    reference *vanilla = read_vanilla(r);
    if (!vanilla)
        return TKP_ERR_MEMORY;
    count_common(r);
    for (int32_t i = 0; i < r->n_runs && status == TKP_OK; i++)
        if (r->runs[i].whole)
            status = add_run(r, &r->runs[i], vanilla);
    tkp__free(vanilla);
    TKP__TRY(status);
    for (int32_t i = 0; i < r->n_rows; i++) {
        tkp__report_row *row = &r->rows[i];
        divide_costs(&row->costs);
        TKP__TRY(find_speed(row));
        row->cells = tkp__zalloc((size_t)r->n_columns, sizeof(*row->cells));
        if (!row->cells)
            return TKP_ERR_MEMORY;
        for (int32_t c = 0; c < r->n_columns; c++)
            TKP__TRY(compute_cell(r, i, c));
    }
    return TKP_OK;
}

/* --- rows together -------------------------------------------------------------------------- */

int32_t tkp__report_find(
    const tkp__report *r,
    const char *control,
    const char *budget,
    const char *point)
{
    for (int32_t i = 0; i < r->n_rows; i++)
        if (!strcmp(r->rows[i].control, control) &&
            !strcmp(r->rows[i].budget, budget) &&
            !strcmp(r->rows[i].point, point))
            return i;
    return -1;
}

/* Cells of a row; of round `round`, or -1 for the values themselves. */
static bool read_cells(
    double *out,
    const tkp__report *r,
    int32_t row,
    const int32_t *columns,
    int32_t count,
    int32_t round)
{
    for (int32_t i = 0; i < count; i++) {
        const tkp__report_cell *cell = &r->rows[row].cells[columns[i]];
        if (row < 0 || !cell->rounds)
            return false;
        out[i] = round < 0 ? cell->value : cell->rounds[round];
    }
    return count > 0;
}

enum { MOST_COLUMNS = 256 };

static double average(
    const tkp__report *r,
    int32_t row,
    const int32_t *columns,
    int32_t count,
    int32_t kind,
    int32_t round)
{
    double values[MOST_COLUMNS], vanilla[MOST_COLUMNS], floor[MOST_COLUMNS];
    const int32_t v = tkp__report_find(r, "vanilla", "", "");
    const int32_t d = tkp__report_find(r, "drop-all", "", r->rows[row].point);
    if (count > MOST_COLUMNS ||
        !read_cells(values, r, row, columns, count, round))
        return NAN;
    if (kind == TKP__REPORT_PLAIN)
        return tkp__eval_avg_plain(values, count);
    if (v < 0 || !read_cells(vanilla, r, v, columns, count, round))
        return NAN;
    if (kind == TKP__REPORT_RATIO)
        return tkp__eval_avg_ratio(values, vanilla, count);
    if (d < 0 || !read_cells(floor, r, d, columns, count, round))
        return NAN;
    return tkp__eval_avg_skill(values, vanilla, floor, count);
}

static tkp_status
estimate(tkp__report_estimate *out, double value, const double *rounds)
{
    tkp__eval_interval interval;
    TKP__TRY(tkp__eval_percentiles(&interval, rounds, TKP__REPORT_ROUNDS));
    *out = (tkp__report_estimate){value, interval.low, interval.high};
    return TKP_OK;
}

tkp_status tkp__report_average_of(
    tkp__report_estimate *out,
    const tkp__report *r,
    int32_t row,
    const int32_t *columns,
    int32_t count,
    int32_t kind)
{
    double rounds[TKP__REPORT_ROUNDS];
    for (int32_t i = 0; i < TKP__REPORT_ROUNDS; i++)
        rounds[i] = average(r, row, columns, count, kind, i);
    return estimate(out, average(r, row, columns, count, kind, -1), rounds);
}

tkp_status tkp__report_difference(
    tkp__report_estimate *out,
    const tkp__report *r,
    int32_t row,
    int32_t other,
    const int32_t *columns,
    int32_t count)
{
    enum { KIND = TKP__REPORT_RATIO };
    double rounds[TKP__REPORT_ROUNDS];
    for (int32_t i = 0; i < TKP__REPORT_ROUNDS; i++)
        rounds[i] = average(r, row, columns, count, KIND, i) -
                    average(r, other, columns, count, KIND, i);
    return estimate(
        out,
        average(r, row, columns, count, KIND, -1) -
            average(r, other, columns, count, KIND, -1),
        rounds);
}

double tkp__report_random_at(
    const tkp__report *r,
    double equiv_in,
    const int32_t *columns,
    int32_t count)
{
    int32_t below = -1, above = -1;
    for (int32_t i = 0; i < r->n_rows; i++) {
        const double e = r->rows[i].costs.equiv_in;
        if (strcmp(r->rows[i].control, "random") != 0 || !isfinite(e))
            continue;
        if (e <= equiv_in + 1e-9 &&
            (below < 0 || e > r->rows[below].costs.equiv_in))
            below = i;
        if (e >= equiv_in - 1e-9 &&
            (above < 0 || e < r->rows[above].costs.equiv_in))
            above = i;
    }
    if (below < 0 || above < 0)
        return NAN;
    const double x0 = r->rows[below].costs.equiv_in;
    const double x1 = r->rows[above].costs.equiv_in;
    const double y0 = average(r, below, columns, count, TKP__REPORT_RATIO, -1);
    const double y1 = average(r, above, columns, count, TKP__REPORT_RATIO, -1);
    return x1 > x0 ? y0 + (y1 - y0) * (equiv_in - x0) / (x1 - x0) : y0;
}
