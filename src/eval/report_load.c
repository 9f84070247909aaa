/* Runs and answers out of a store, for tables. */
#include <stdio.h>
#include <stdlib.h>

#include "eval/report.h"

enum { MOST_ITEM = 1 << 26, MOST_CELLS = 1 << 16 };

void tkp__report_release(tkp__report *r)
{
    for (int32_t i = 0; i < r->n_runs; i++) {
        for (int64_t a = 0; a < r->runs[i].n_answers; a++)
            tkp__eval_score_release(&r->runs[i].answers[a].score);
        tkp__free(r->runs[i].answers);
    }
    for (int64_t i = 0; i < r->n_items; i++) {
        tkp__free(r->items[i].id);
        tkp__free(r->items[i].group);
        tkp__free(r->items[i].split);
        tkp__free(r->items[i].category);
        json_decref(r->items[i].cells);
    }
    for (int32_t i = 0; i < r->n_rows; i++) {
        tkp__report_row *row = &r->rows[i];
        for (int32_t c = 0; row->cells && c < r->n_columns; c++)
            tkp__free(row->cells[c].rounds);
        tkp__free(row->cells);
        tkp__free(row->ratios);
        tkp__free(row->name);
        tkp__free(row->control);
        tkp__free(row->budget);
        tkp__free(row->point);
    }
    for (int32_t i = 0; i < r->n_columns; i++) {
        tkp__free(r->columns[i].name);
        tkp__free(r->columns[i].hash);
    }
    char *const texts[] = {r->model, r->settings, r->machine, r->revision};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        tkp__free(texts[i]);
    tkp__free(r->runs);
    tkp__free(r->items);
    tkp__free(r->rows);
    tkp__free(r->columns);
    *r = (tkp__report){0};
}

/* `list` with room for one more than `count`, which is zero. */
static tkp_status grow(void **list, int64_t count, size_t size)
{
    if ((count & (count - 1)) != 0)
        return TKP_OK;
    const size_t wanted = count ? 2 * (size_t)count : 1;
    char *moved = tkp__realloc(*list, (size_t)count * size, wanted * size);
    if (!moved)
        return TKP_ERR_MEMORY;
    memset(moved + (size_t)count * size, 0, (wanted - (size_t)count) * size);
    *list = moved;
    return TKP_OK;
}

/* --- which group of runs ------------------------------------------------------------ */

/* The newest model and settings; those that differ are counted. */
typedef struct choosing {
    tkp__report *report;
    const char *wanted;
    int64_t runs;
} choosing;

static tkp_status keep_text(char **out, const char *text)
{
    tkp__free(*out);
    *out = tkp__strdup(text);
    return *out ? TKP_OK : TKP_ERR_MEMORY;
}

static bool in_group(const tkp__report *r, const tkp__store_run *run)
{
    return r->model && !strcmp(r->model, run->model) &&
           !strcmp(r->settings, run->settings);
}

static tkp_status choose(
    void *user,
    int64_t id,
    const tkp__store_run *run,
    const tkp__store_data *data,
    int64_t data_id,
    int64_t answers)
{
    choosing *c = user;
    tkp__report *r = c->report;
    (void)id;
    (void)data;
    (void)data_id;
    c->runs++;
    if (answers == 0 || (c->wanted && !strstr(run->model, c->wanted)) ||
        in_group(r, run))
        return TKP_OK;
    r->others += r->model != NULL;
    TKP__TRY(keep_text(&r->model, run->model));
    TKP__TRY(keep_text(&r->settings, run->settings));
    TKP__TRY(keep_text(&r->machine, run->machine));
    return keep_text(&r->revision, run->revision);
}

/* --- runs ------------------------------------------------------------------------------ */

/* A changed file of the same name takes the place of the older one. */
static tkp_status column_of(
    tkp__report *r,
    int32_t *out,
    const tkp__store_data *data,
    int64_t data_id)
{
    for (*out = 0; *out < r->n_columns; ++*out)
        if (!strcmp(r->columns[*out].name, data->name))
            break;
    if (*out == r->n_columns) {
        TKP__TRY(grow((void **)&r->columns, *out, sizeof(*r->columns)));
        r->n_columns++;
        TKP__TRY(keep_text(&r->columns[*out].name, data->name));
    }
    tkp__report_column *c = &r->columns[*out];
    if (c->data == data_id)
        return TKP_OK;
    c->data = data_id;
    c->rows = data->rows;
    TKP__TRY(keep_text(&c->hash, data->hash));
    return tkp__eval_metric_find(&c->metric, data->metric);
}

static tkp_status
row_of(tkp__report *r, int32_t *out, const tkp__store_run *run)
{
    for (*out = 0; *out < r->n_rows; ++*out) {
        const tkp__report_row *row = &r->rows[*out];
        if (!strcmp(row->name, run->condition) &&
            !strcmp(row->control, run->control) &&
            !strcmp(row->budget, run->budget) &&
            !strcmp(row->point, run->point))
            return TKP_OK;
    }
    TKP__TRY(grow((void **)&r->rows, *out, sizeof(*r->rows)));
    tkp__report_row *row = &r->rows[r->n_rows++];
    TKP__TRY(keep_text(&row->name, run->condition));
    TKP__TRY(keep_text(&row->control, run->control));
    TKP__TRY(keep_text(&row->budget, run->budget));
    return keep_text(&row->point, run->point);
}

static tkp_status note_run(
    void *user,
    int64_t id,
    const tkp__store_run *run,
    const tkp__store_data *data,
    int64_t data_id,
    int64_t answers)
{
    tkp__report *r = user;
    if (answers == 0 || !in_group(r, run))
        return TKP_OK;
    TKP__TRY(grow((void **)&r->runs, r->n_runs, sizeof(*r->runs)));
    tkp__report_run *to = &r->runs[r->n_runs++];
    *to = (tkp__report_run){.id = id, .data = data_id, .seed = run->seed};
    TKP__TRY(column_of(r, &to->column, data, data_id));
    return row_of(r, &to->row, run);
}

/* --- answers ----------------------------------------------------------------------------- */

static uint64_t hash_text(const char *text)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

static tkp_status
note_item(tkp__report *r, int64_t id, const tkp__store_item *item)
{
    TKP__CHECK(
        id >= 0 && id < MOST_ITEM, TKP_ERR_FORMAT,
        "question %lld has a number too large for a report", (long long)id);
    if (id >= r->n_items) {
        const size_t had = (size_t)r->n_items, wants = 2 * (size_t)id + 64;
        tkp__report_item *moved = tkp__realloc(
            r->items, had * sizeof(*moved), wants * sizeof(*moved));
        if (!moved)
            return TKP_ERR_MEMORY;
        memset(moved + had, 0, (wants - had) * sizeof(*moved));
        r->items = moved;
        r->n_items = (int64_t)wants;
    }
    tkp__report_item *to = &r->items[id];
    to->asked++;
    if (to->id)
        return TKP_OK;
    TKP__TRY(keep_text(&to->id, item->name));
    TKP__TRY(keep_text(&to->group, item->group));
    TKP__TRY(keep_text(&to->split, item->split));
    TKP__TRY(keep_text(&to->category, item->category));
    to->options = item->options;
    to->rotation = item->rotation;
    to->images = item->images;
    json_t *extra = json_loads(item->extra, 0, NULL);
    to->cells = json_incref(json_object_get(extra, "cells"));
    json_decref(extra);
    return TKP_OK;
}

static bool has_cell(const int32_t *cells, int64_t count, json_int_t cell)
{
    for (int64_t i = 0; i < count; i++)
        if (cells[i] == cell)
            return true;
    return false;
}

/* Where the kept tokens of the first picture lie. */
static void note_cells(
    tkp__report_costs *to,
    const tkp__report_item *item,
    const tkp__store_answer *a)
{
    static int32_t cells[MOST_CELLS];
    size_t at = 0, i;
    const json_t *cell;
    const double n = (double)a->visual_before;
    const int64_t count = tkp__store_cells_next(
        &at, a->kept, a->kept ? a->kept_bytes : 0, cells, MOST_CELLS);
    if (item->images != 1 || n <= 0 || count < 0)
        return;
    for (int64_t c = 0; c < count; c++) {
        to->center += (cells[c] + 0.5) / n / (double)count;
        to->late += (cells[c] >= 0.75 * n) / (double)count;
    }
    to->with_cells = count > 0;
    const size_t wanted = json_array_size(item->cells);
    json_array_foreach(item->cells, i, cell) to->covered +=
        has_cell(cells, count, json_integer_value(cell)) / (double)wanted;
    to->with_target = wanted > 0;
}

typedef struct reading {
    tkp__report *report;
    tkp__report_run *run;
} reading;

static tkp_status note_answer(
    void *user,
    int64_t item_id,
    const tkp__store_item *item,
    const tkp__store_answer *a)
{
    const reading *to = user;
    tkp__report_run *run = to->run;
    TKP__TRY(note_item(to->report, item_id, item));
    TKP__TRY(
        grow((void **)&run->answers, run->n_answers, sizeof(*run->answers)));
    tkp__report_answer *answer = &run->answers[run->n_answers];
    *answer = (tkp__report_answer){
        .item = item_id,
        .text = hash_text(a->text),
        .score = {a->value, a->measure, a->flags, tkp__strdup("")},
        .costs = {
            .answers = 1,
            .tokens = a->new_tokens,
            .visual_before = (double)a->visual_before,
            .visual_after = (double)a->visual_after,
            .equiv_in = a->equiv_in,
            .macs = a->macs,
            .macs_unpruned = a->macs_unpruned,
            .kv_bytes = a->kv_bytes,
            .kv_bytes_unpruned = a->kv_bytes_unpruned,
            .load_images = a->load_images,
            .vision = a->vision,
            .prefill = a->prefill,
            .pruning = a->pruning,
            .decode = a->decode,
            .decoded = a->new_tokens > 1 ? a->new_tokens - 1 : 0,
            .score = a->score_seconds,
            .select = a->select_seconds,
            .merge = a->merge_seconds,
            .gather = a->gather_seconds}};
    if (!answer->score.parsed)
        return TKP_ERR_MEMORY;
    note_cells(&answer->costs, &to->report->items[item_id], a);
    run->n_answers++;
    return TKP_OK;
}

/* A run with less than half of the answers of the column's longest was begun
 * and not finished; it would take the others' questions away. */
static void leave_out_unfinished(tkp__report *r)
{
    for (int32_t c = 0; c < r->n_columns; c++) {
        int64_t most = 0;
        for (int32_t i = 0; i < r->n_runs; i++)
            if (r->runs[i].data == r->columns[c].data &&
                r->runs[i].n_answers > most)
                most = r->runs[i].n_answers;
        for (int32_t i = 0; i < r->n_runs; i++) {
            tkp__report_run *run = &r->runs[i];
            if (run->column != c)
                continue;
            /* An older file of the same name has other questions. */
            const bool current = run->data == r->columns[c].data;
            run->whole = current && 2 * run->n_answers >= most;
            r->unfinished += current && !run->whole;
            r->columns[c].n_runs += run->whole;
            for (int64_t a = 0; !run->whole && a < run->n_answers; a++)
                r->items[run->answers[a].item].asked--;
        }
    }
}

static tkp_status load(tkp__report *r, tkp__store *store, const char *model)
{
    choosing c = {r, model, 0};
    TKP__TRY(tkp__store_each_run(store, choose, &c));
    TKP__CHECK(
        r->model, TKP_ERR_DATA, "%s: has no answers%s%s",
        tkp__store_path(store),
        model ? " of a model with this in its name: " : "", model ? model : "");
    TKP__TRY(tkp__store_each_run(store, note_run, r));
    for (int32_t i = 0; i < r->n_runs; i++) {
        reading to = {r, &r->runs[i]};
        TKP__TRY(
            tkp__store_each_answer(store, r->runs[i].id, note_answer, &to));
    }
    leave_out_unfinished(r);
    return TKP_OK;
}

tkp_status
tkp__report_load(tkp__report *out, tkp__store *store, const char *model)
{
    tkp__report report = {0};
    const tkp_status status = load(&report, store, model);
    if (status != TKP_OK) {
        tkp__report_release(&report);
        return status;
    }
    *out = report;
    return TKP_OK;
}
