/* The tables of a report. */
#include "eval/report_tables.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>

enum { MOST_COLUMNS = 256 };

static const tkp__report_recipe recipes[] = {
    {"accuracy", "Accuracy", "*", TKP__REPORT_RATIO, "accuracy"},
    {"differences", "Against random", "*", TKP__REPORT_RATIO, "differences"},
    {"costs", "Costs", "*", TKP__REPORT_RATIO, "costs"},
    {"kept", "What stays", "*", TKP__REPORT_RATIO, "kept"},
    {"1", "Table 1: accuracy",
     "gqa* mmbench* mme* pope* scienceqa* textvqa* vizwiz*", TKP__REPORT_RATIO,
     "accuracy"},
    {"2", "Table 2: grounding", "refcoco* box* synth-ref*", TKP__REPORT_PLAIN,
     "accuracy"},
    {"3", "Table 3: haystacks", "vh* haystack* synth-vh*", TKP__REPORT_PLAIN,
     "deviations"},
    {"5", "Table 5: costs", "pope* existence synth-pope*", TKP__REPORT_RATIO,
     "costs"},
    {"6", "Table 6: accuracy, without VizWiz",
     "gqa* mmbench* mme* pope* scienceqa* textvqa*", TKP__REPORT_RATIO,
     "accuracy"},
};

const tkp__report_recipe *tkp__report_recipe_at(int32_t i)
{
    const int32_t n = (int32_t)(sizeof(recipes) / sizeof(recipes[0]));
    return i >= 0 && i < n ? &recipes[i] : NULL;
}

static bool matches(const char *name, const char *patterns)
{
    char pattern[128];
    for (; *patterns; patterns += strspn(patterns, " ")) {
        const size_t n = strcspn(patterns, " ");
        snprintf(pattern, sizeof(pattern), "%.*s", (int)n, patterns);
        if (fnmatch(pattern, name, 0) == 0)
            return true;
        patterns += n;
    }
    return false;
}

int32_t tkp__report_columns(
    const tkp__report *r,
    const tkp__report_recipe *recipe,
    int32_t *out,
    int32_t capacity)
{
    int32_t n = 0;
    for (int32_t c = 0; c < r->n_columns && n < capacity; c++)
        if (matches(r->columns[c].name, recipe->columns))
            out[n++] = c;
    return n;
}

/* --- the order of rows ---------------------------------------------------------------- */

static int rank_of(const tkp__report_row *row)
{
    static const char *const controls[] = {
        "vanilla", "text-only", "drop-all", "random", "uniform"};
    const int n = (int)(sizeof(controls) / sizeof(controls[0]));
    for (int i = 0; i < n; i++)
        if (!strcmp(row->control, controls[i]))
            return i;
    return n;
}

/* What has no point of its own comes first if it is a control, else last. */
static int place_of(const tkp__report_row *row)
{
    return row->point[0] ? 1 : row->control[0] ? 0 : 2;
}

static int compare(const void *a, const void *b, void *user)
{
    const tkp__report *r = user;
    const tkp__report_row *x = &r->rows[*(const int32_t *)a];
    const tkp__report_row *y = &r->rows[*(const int32_t *)b];
    if (place_of(x) != place_of(y))
        return place_of(x) - place_of(y);
    const int point = strcmp(x->point, y->point);
    if (point)
        return strcmp(x->point, "projector") == 0   ? -1
               : strcmp(y->point, "projector") == 0 ? 1
                                                    : point;
    if (!strcmp(x->control, "drop-all") != !strcmp(y->control, "drop-all"))
        return rank_of(x) - rank_of(y);
    if (x->point[0] && strcmp(x->budget, y->budget) != 0)
        return x->costs.visual_after > y->costs.visual_after ? -1 : 1;
    return rank_of(x) != rank_of(y) ? rank_of(x) - rank_of(y)
                                    : strcmp(x->name, y->name);
}

int32_t *tkp__report_order(const tkp__report *r)
{
    int32_t *order = tkp__alloc((size_t)r->n_rows + 1, sizeof(int32_t));
    for (int32_t i = 0; order && i < r->n_rows; i++)
        order[i] = i;
    if (order)
        qsort_r(
            order, (size_t)r->n_rows, sizeof(int32_t), compare,
            (void *)(uintptr_t)r);
    return order;
}

/* --- what all have ----------------------------------------------------------------------- */

typedef struct drawing {
    tkp__grid *grid;
    const tkp__report *report;
    const tkp__report_recipe *recipe;
    int32_t columns[MOST_COLUMNS], n_columns;
} drawing;

static void put_heads(tkp__grid *grid, const char *const *heads)
{
    for (; *heads; heads++)
        tkp__grid_head(grid, *heads);
}

static void put_name(drawing *d, const tkp__report_row *row)
{
    int32_t seeds = 1;
    for (int32_t i = 0; i < d->n_columns; i++)
        if (row->cells[d->columns[i]].seeds > seeds)
            seeds = row->cells[d->columns[i]].seeds;
    if (seeds > 1)
        tkp__grid_put(d->grid, "%s (%d seeds)", row->name, seeds);
    else
        tkp__grid_put(d->grid, "%s", row->name);
    const char *own = row->control[0] ? "–" : "own";
    tkp__grid_put(d->grid, "%s", row->point[0] ? row->point : own);
    tkp__grid_put(d->grid, "%s", row->budget[0] ? row->budget : own);
    tkp__grid_number(d->grid, row->costs.visual_after, 1);
    tkp__grid_number(d->grid, row->costs.equiv_in, 1);
}

#define NAME_HEADS "method", "cut at", "budget", "RETAIN", "EQUIV_IN"

/* Random at the same point with the same budget; -1 for controls. */
static int32_t random_of(const tkp__report *r, const tkp__report_row *row)
{
    if (!strcmp(row->control, "random") || !strcmp(row->control, "vanilla") ||
        !strcmp(row->control, "text-only") || !strcmp(row->control, "drop-all"))
        return -1;
    return tkp__report_find(r, "random", row->budget, row->point);
}

/* --- accuracy ------------------------------------------------------------------------------ */

static void put_cell(drawing *d, const tkp__report_cell *cell)
{
    if (!cell->rounds)
        tkp__grid_put(d->grid, "–");
    else if (!strcmp(d->recipe->shows, "deviations"))
        tkp__grid_put(
            d->grid, "%.2f ± %.2f", cell->value,
            tkp__eval_deviation(cell->rounds, TKP__REPORT_ROUNDS));
    else
        tkp__grid_put(
            d->grid, "%.1f [%.1f, %.1f]", cell->value, cell->low, cell->high);
}

static tkp_status put_average(drawing *d, int32_t row, int32_t kind)
{
    tkp__report_estimate e;
    TKP__TRY(tkp__report_average_of(
        &e, d->report, row, d->columns, d->n_columns, kind));
    if (isfinite(e.value))
        tkp__grid_put(d->grid, "%.1f [%.1f, %.1f]", e.value, e.low, e.high);
    else
        tkp__grid_put(d->grid, "–");
    return TKP_OK;
}

static tkp_status accuracy_heads(drawing *d)
{
    static const char *const names[] = {NAME_HEADS, NULL};
    static const char *const averages[] = {
        "Avg, mean of ratios", "Avg, plain", "skill", "agrees with vanilla",
        NULL};
    put_heads(d->grid, names);
    for (int32_t i = 0; i < d->n_columns; i++) {
        const tkp__report_column *c = &d->report->columns[d->columns[i]];
        char head[160];
        snprintf(
            head, sizeof(head), "%.120s (n=%lld)", c->name,
            (long long)c->common);
        tkp__grid_head(d->grid, head);
    }
    put_heads(d->grid, averages);
    tkp__grid_note(
        d->grid,
        "Values are headline figures of each data set with 95 %% intervals "
        "(bootstrap over questions and seeds); means of ratios are 100 times "
        "the mean of value / vanilla, not capped; skill is 0 for drop-all at "
        "the same point and 100 for vanilla.");
    if (!strcmp(d->recipe->shows, "deviations"))
        tkp__grid_note(
            d->grid, "± is the s.d. of %d bootstrap means.",
            (int)TKP__REPORT_ROUNDS);
    return TKP_OK;
}

static tkp_status accuracy_row(drawing *d, int32_t i)
{
    const tkp__report_row *row = &d->report->rows[i];
    put_name(d, row);
    for (int32_t c = 0; c < d->n_columns; c++)
        put_cell(d, &row->cells[d->columns[c]]);
    TKP__TRY(put_average(d, i, TKP__REPORT_RATIO));
    TKP__TRY(put_average(d, i, TKP__REPORT_PLAIN));
    TKP__TRY(put_average(d, i, TKP__REPORT_SKILL));
    tkp__grid_number(d->grid, 100 * row->costs.agrees, 1);
    return TKP_OK;
}

/* --- differences ----------------------------------------------------------------------------- */

static tkp_status differences_heads(drawing *d)
{
    static const char *const heads[] = {
        NAME_HEADS, "Avg, mean of ratios",         "minus random, same RETAIN",
        "is",       "minus random, same EQUIV_IN", NULL};
    put_heads(d->grid, heads);
    tkp__grid_note(
        d->grid,
        "Differences of the mean of ratios, 95 %% intervals of a paired "
        "bootstrap (the same questions for both). ≈ marks what cannot be told "
        "from random. Random at the same EQUIV_IN lies on a line between the "
        "two random conditions around it, wherever they cut.");
    return TKP_OK;
}

static tkp_status differences_row(drawing *d, int32_t i)
{
    const tkp__report *r = d->report;
    const tkp__report_row *row = &r->rows[i];
    const int32_t other = random_of(r, row);
    tkp__report_estimate e = {NAN, NAN, NAN}, own;
    if (!strcmp(row->control, "vanilla") ||
        !strcmp(row->control, "text-only") || !strcmp(row->control, "drop-all"))
        return TKP_OK;
    put_name(d, row);
    TKP__TRY(tkp__report_average_of(
        &own, r, i, d->columns, d->n_columns, TKP__REPORT_RATIO));
    tkp__grid_number(d->grid, own.value, 1);
    if (other >= 0)
        TKP__TRY(
            tkp__report_difference(&e, r, i, other, d->columns, d->n_columns));
    if (isfinite(e.value)) {
        tkp__grid_put(d->grid, "%+.1f [%+.1f, %+.1f]", e.value, e.low, e.high);
        tkp__grid_put(
            d->grid, "%s",
            e.low > 0    ? "better"
            : e.high < 0 ? "worse"
                         : "≈");
    } else {
        tkp__grid_put(d->grid, "–");
        tkp__grid_put(d->grid, "%s", "");
    }
    const double random =
        tkp__report_random_at(r, row->costs.equiv_in, d->columns, d->n_columns);
    if (isfinite(random) && isfinite(own.value))
        tkp__grid_put(d->grid, "%+.1f", own.value - random);
    else
        tkp__grid_put(d->grid, "–");
    return TKP_OK;
}

/* --- costs -------------------------------------------------------------------------------------- */

static tkp_status costs_heads(drawing *d)
{
    static const char *const heads[] = {
        NAME_HEADS,   "MACs %",         "KV %",
        "KV MB",      "speed-up, MACs", "measured",
        "reached",    "vision ms",      "prefill ms",
        "pruning ms", "ms a token",     "ms a question",
        NULL};
    put_heads(d->grid, heads);
    tkp__grid_note(
        d->grid,
        "MACs and KV bytes of the decoder's prefill as it ran, text included; "
        "full attention. Measured is the median of the ratio of prefill times, "
        "vanilla to this one, question by question, with its 95 %% interval; "
        "reached is measured / predicted. Times are means: vision with the "
        "projector; a question is all parts but reading pictures, answers end "
        "where the model ends them.");
    tkp__grid_note(
        d->grid, "Machine: %s. Settings: %s.", d->report->machine,
        d->report->settings);
    return TKP_OK;
}

static tkp_status costs_row(drawing *d, int32_t i)
{
    const tkp__report_row *row = &d->report->rows[i];
    const tkp__report_costs *c = &row->costs;
    /* Without pictures it is another prompt, not a pruned one. */
    const bool pruned = strcmp(row->control, "text-only") != 0;
    const double predicted = pruned ? c->macs_unpruned / c->macs : NAN;
    const double n = c->answers > 0 ? (double)c->answers : NAN;
    put_name(d, row);
    tkp__grid_number(d->grid, pruned ? 100 / predicted : NAN, 1);
    tkp__grid_number(
        d->grid, pruned ? 100 * c->kv_bytes / c->kv_bytes_unpruned : NAN, 1);
    tkp__grid_number(d->grid, c->kv_bytes / 1e6, 3);
    tkp__grid_number(d->grid, predicted, 2);
    if (isfinite(row->speed))
        tkp__grid_put(
            d->grid, "%.2f [%.2f, %.2f]", row->speed, row->speed_low,
            row->speed_high);
    else
        tkp__grid_put(d->grid, "–");
    tkp__grid_number(d->grid, row->speed / predicted, 2);
    tkp__grid_number(d->grid, 1e3 * c->vision, 2);
    tkp__grid_number(d->grid, 1e3 * c->prefill, 2);
    tkp__grid_number(d->grid, 1e3 * c->pruning, 2);
    tkp__grid_number(d->grid, 1e3 * c->decode, 2);
    tkp__grid_number(
        d->grid,
        1e3 * (c->vision + c->prefill +
               (c->decoded > 0 ? c->decode * c->decoded / n : 0)),
        2);
    return TKP_OK;
}

/* --- what stays ---------------------------------------------------------------------------------- */

static tkp_status kept_heads(drawing *d)
{
    static const char *const heads[] = {
        NAME_HEADS, "centre", "last quarter %", "target kept %", NULL};
    put_heads(d->grid, heads);
    tkp__grid_note(
        d->grid,
        "Of questions with one picture. Centre is the mean place of kept "
        "tokens, from 0 (first) to 1 (last): 0.5 without bias. The last "
        "quarter of places has 25 %% of the kept tokens without bias. Target "
        "kept is the share of the cells under what the question is about.");
    return TKP_OK;
}

static tkp_status kept_row(drawing *d, int32_t i)
{
    const tkp__report_row *row = &d->report->rows[i];
    if (row->costs.with_cells == 0)
        return TKP_OK;
    put_name(d, row);
    tkp__grid_number(d->grid, row->costs.center, 3);
    tkp__grid_number(d->grid, 100 * row->costs.late, 1);
    tkp__grid_number(d->grid, 100 * row->costs.covered, 1);
    return TKP_OK;
}

/* --- the whole --------------------------------------------------------------------------------------- */

static const struct {
    const char *shows;
    tkp_status (*heads)(drawing *d);
    tkp_status (*row)(drawing *d, int32_t i);
} kinds[] = {
    {"accuracy", accuracy_heads, accuracy_row},
    {"deviations", accuracy_heads, accuracy_row},
    {"differences", differences_heads, differences_row},
    {"costs", costs_heads, costs_row},
    {"kept", kept_heads, kept_row},
};

static tkp_status draw(drawing *d, size_t kind)
{
    int32_t *order = tkp__report_order(d->report);
    tkp_status status = order ? TKP_OK : TKP_ERR_MEMORY;
    if (status == TKP_OK)
        status = kinds[kind].heads(d);
    for (int32_t i = 0; i < d->report->n_rows && status == TKP_OK; i++)
        status = kinds[kind].row(d, order[i]);
    tkp__free(order);
    if (d->report->unfinished)
        tkp__grid_note(
            d->grid, "%d runs that are not half done are left out.",
            d->report->unfinished);
    TKP__TRY(status);
    return tkp__grid_check(d->grid);
}

tkp_status tkp__report_table(
    tkp__grid *out,
    const tkp__report *report,
    const tkp__report_recipe *recipe)
{
    tkp__grid grid = {0};
    drawing d = {.grid = &grid, .report = report, .recipe = recipe};
    d.n_columns = tkp__report_columns(report, recipe, d.columns, MOST_COLUMNS);
    TKP__CHECK(
        d.n_columns > 0, TKP_ERR_DATA,
        "table %s wants data sets %s: none of them is in the store",
        recipe->name, recipe->columns);
    tkp__grid_title(
        &grid, "%s (%s, tokenprune %s)", recipe->title, report->model,
        report->revision);
    tkp_status status = TKP_ERR_ARGUMENT;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
        if (!strcmp(kinds[k].shows, recipe->shows))
            status = draw(&d, k);
    if (status != TKP_OK) {
        tkp__grid_release(&grid);
        return status;
    }
    *out = grid;
    return TKP_OK;
}
