/* The metrics by name, and what each does before and after its own function. */
#include "eval/metric.h"

#include <math.h>
#include <stdio.h>

#include "eval/kinds.h"
#include "util/text.h"

static const tkp__eval_kind *const lists[] = {
    tkp__eval_yesno_kinds,  tkp__eval_exact_kinds, tkp__eval_vqa_kinds,
    tkp__eval_choice_kinds, tkp__eval_box_kinds,
};

static const tkp__eval_kind *kind_at(int32_t i)
{
    for (size_t list = 0; list < sizeof(lists) / sizeof(lists[0]); list++)
        for (const tkp__eval_kind *k = lists[list]; k->name; k++)
            if (i-- == 0)
                return k;
    return NULL;
}

const char *tkp__eval_metric_name(int32_t i)
{
    const tkp__eval_kind *kind = i >= 0 ? kind_at(i) : NULL;
    return kind ? kind->name : NULL;
}

const char *tkp__eval_metric_summary(int32_t i)
{
    const tkp__eval_kind *kind = i >= 0 ? kind_at(i) : NULL;
    return kind ? kind->summary : NULL;
}

static const char *name_at(const void *list, int32_t i)
{
    (void)list;
    return tkp__eval_metric_name(i);
}

tkp_status tkp__eval_metric_find(tkp__eval_metric *out, const char *name)
{
    for (int32_t i = 0; kind_at(i); i++)
        if (strcmp(kind_at(i)->name, name) == 0) {
            *out = (tkp__eval_metric){
                .kind = kind_at(i),
                .box.parsers = {
                    TKP__EVAL_BOX_BRACKET4, TKP__EVAL_BOX_QWEN,
                    TKP__EVAL_BOX_JSON, TKP__EVAL_BOX_ANY4}};
            return TKP_OK;
        }
    const int32_t near = tkp__nearest(name, name_at, NULL);
    return tkp__fail(
        TKP_ERR_ARGUMENT, "metric is '%s', wanted one of them%s%s%s",
        tkp__show(name).text, near >= 0 ? " (did you mean '" : "",
        near >= 0 ? kind_at(near)->name : "", near >= 0 ? "'?)" : "");
}

/* --- one answer ------------------------------------------------------------- */

void tkp__eval_score_release(tkp__eval_score *score)
{
    tkp__free(score->parsed);
    *score = (tkp__eval_score){0};
}

tkp_status tkp__eval_score_of(
    tkp__eval_score *out,
    double value,
    const char *parsed,
    uint32_t flags)
{
    char *copy = tkp__strdup(parsed);
    if (!copy)
        return TKP_ERR_MEMORY;
    *out = (tkp__eval_score){value, value, flags, copy};
    return TKP_OK;
}

tkp_status tkp__eval_score_answer(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    const tkp__eval_kind *kind = metric->kind;
    const struct {
        uint32_t need;
        bool there;
        const char *what;
    } parts[] = {
        {TKP__EVAL_NEED_ANSWER, item->n_answers > 0, "right answer"},
        {TKP__EVAL_NEED_OPTIONS, item->n_options > 0, "options"},
        {TKP__EVAL_NEED_BOX, item->has_box, "box"}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        TKP__CHECK(
            !(kind->needs & parts[i].need) || parts[i].there, TKP_ERR_ARGUMENT,
            "question '%s' has no %s, which %s wants", tkp__show(item->id).text,
            parts[i].what, kind->name);
    return kind->score(out, metric, answer, item);
}

/* --- figures ------------------------------------------------------------------ */

double tkp__eval_percent(double a, double b)
{
    return b > 0 ? 100 * a / b : NAN;
}

void tkp__eval_figures_release(tkp__eval_figures *figures)
{
    tkp__free(figures->figures);
    *figures = (tkp__eval_figures){0};
}

tkp_status tkp__eval_put(
    tkp__eval_figures *out,
    const char *prefix,
    const char *name,
    double value,
    int64_t n,
    int64_t hits)
{
    if (out->count == out->capacity) {
        const int32_t wanted = out->capacity ? 2 * out->capacity : 16;
        tkp__eval_figure *moved = tkp__realloc(
            out->figures, (size_t)out->count * sizeof(tkp__eval_figure),
            (size_t)wanted * sizeof(tkp__eval_figure));
        if (!moved)
            return TKP_ERR_MEMORY;
        out->figures = moved;
        out->capacity = wanted;
    }
    tkp__eval_figure *f = &out->figures[out->count++];
    f->value = value;
    f->n = n;
    f->hits = hits;
    /* Resampling asks for the same figures a thousand times. */
    if (!out->values_only)
        snprintf(
            f->name, sizeof(f->name), "%.60s%s%s", prefix ? prefix : "",
            prefix ? " " : "", name);
    return TKP_OK;
}

tkp_status tkp__eval_put_share(
    tkp__eval_figures *out,
    const char *prefix,
    const char *name,
    int64_t hits,
    int64_t n)
{
    return tkp__eval_put(
        out, prefix, name, tkp__eval_percent((double)hits, (double)n), n, hits);
}

tkp_status tkp__eval_aggregate(
    tkp__eval_figures *out,
    const tkp__eval_metric *metric,
    const tkp__eval_table *table,
    const uint32_t *weights)
{
    tkp__eval_figures figures = {.values_only = weights != NULL};
    const tkp_status status =
        metric->kind->figures(&figures, metric->kind, table, weights);
    if (status != TKP_OK) {
        tkp__eval_figures_release(&figures);
        return status;
    }
    *out = figures;
    return TKP_OK;
}

const tkp__eval_figure *
tkp__eval_figure_of(const tkp__eval_figures *figures, const char *name)
{
    for (int32_t i = 0; i < figures->count; i++)
        if (strcmp(figures->figures[i].name, name) == 0)
            return &figures->figures[i];
    return NULL;
}

/* --- the plain mean -------------------------------------------------------------- */

typedef struct sum {
    double value;
    int64_t n, hits;
    bool exact; /* all scores are 0 or 1 */
} sum;

static void add(sum *s, const tkp__eval_row *row, int64_t weight)
{
    s->value += (double)weight * row->value;
    s->n += weight;
    if (row->value == 1)
        s->hits += weight;
    else if (row->value != 0)
        s->exact = false;
}

static tkp_status
put_sum(tkp__eval_figures *out, const char *prefix, const sum *s)
{
    return tkp__eval_put(
        out, prefix, "accuracy", tkp__eval_percent(s->value, (double)s->n),
        s->n, s->exact ? s->hits : -1);
}

static int32_t split_of(const tkp__eval_row *row)
{
    return row->split;
}

static int32_t category_of(const tkp__eval_row *row)
{
    return row->category;
}

static tkp_status put_parts(
    tkp__eval_figures *out,
    const tkp__eval_table *table,
    const uint32_t *weights,
    const tkp__eval_names *names,
    int32_t (*part_of)(const tkp__eval_row *row))
{
    /* One part says what the whole says. */
    if (names->count < 2)
        return TKP_OK;
    sum *sums = tkp__alloc((size_t)names->count, sizeof(sum));
    if (!sums)
        return TKP_ERR_MEMORY;
    for (int32_t i = 0; i < names->count; i++)
        sums[i] = (sum){.exact = true};
    for (int64_t i = 0; i < table->n_rows; i++)
        add(&sums[part_of(&table->rows[i])], &table->rows[i],
            tkp__eval_weight(&table->rows[i], weights));
    tkp_status status = TKP_OK;
    for (int32_t i = 0; i < names->count && status == TKP_OK; i++)
        status = put_sum(out, names->names[i], &sums[i]);
    tkp__free(sums);
    return status;
}

tkp_status tkp__eval_figures_mean(
    tkp__eval_figures *out,
    const tkp__eval_kind *kind,
    const tkp__eval_table *table,
    const uint32_t *weights)
{
    (void)kind;
    sum all = {.exact = true};
    for (int64_t i = 0; i < table->n_rows; i++)
        add(&all, &table->rows[i], tkp__eval_weight(&table->rows[i], weights));
    TKP__TRY(put_sum(out, NULL, &all));
    TKP__TRY(put_parts(out, table, weights, &table->splits, split_of));
    return put_parts(out, table, weights, &table->categories, category_of);
}
