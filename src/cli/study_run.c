/*
 * The loop of a study. Every condition answers a batch before the next batch is
 * taken, so that a study that was stopped early compares all of them on the same
 * questions, and a machine that becomes slower is slow for all of them.
 */
#include <stdlib.h>

#include "cli/study.h"

/* What is known of one set in the store. */
typedef struct stored_set {
    const tkp__eval_set *set;
    int64_t data;
    int64_t *item_ids;
    int64_t *runs; /* of each condition; 0 = not begun */
} stored_set;

/* The right answers as one text, for people who read the store. */
static char *gold_of(const tkp__eval_item *item)
{
    size_t bytes = 1;
    for (int32_t i = 0; i < item->n_answers; i++)
        bytes += strlen(item->answers[i]) + 1;
    char *out = tkp__zalloc(bytes, 1);
    for (int32_t i = 0; out && i < item->n_answers; i++) {
        strcat(out, i ? "\n" : "");
        strcat(out, item->answers[i]);
    }
    return out;
}

static tkp_status put_item(tkp__study *study, stored_set *s, int64_t position)
{
    const tkp__eval_item *item = &s->set->items[position];
    char *gold = gold_of(item);
    char *extra = item->extra ? json_dumps(item->extra, JSON_COMPACT) : NULL;
    const tkp__store_item row = {
        .name = item->id,
        .group = item->group,
        .split = item->split,
        .category = item->category,
        .question = item->question,
        .gold = gold ? gold : "",
        .extra = extra ? extra : "",
        .position = item->row,
        .options = item->n_options,
        .rotation = item->rotation,
        .images = item->n_images};
    const tkp_status status = tkp__store_put_item(
        study->store, &s->item_ids[position], s->data, &row);
    tkp__free(gold);
    free(extra);
    return status;
}

static void release(stored_set *s)
{
    tkp__free(s->item_ids);
    tkp__free(s->runs);
}

static tkp_status
open_set(tkp__study *study, stored_set *s, const tkp__eval_set *set)
{
    *s = (stored_set){.set = set};
    s->item_ids = tkp__zalloc((size_t)set->n_items, sizeof(int64_t));
    s->runs = tkp__zalloc((size_t)study->n_conditions, sizeof(int64_t));
    if (!s->item_ids || !s->runs)
        return TKP_ERR_MEMORY;
    const tkp__store_data data = {
        .name = set->name,
        .hash = set->hash,
        .metric = set->metric_name,
        .card = set->card,
        .rows = set->rows};
    TKP__TRY(tkp__store_begin(study->store));
    TKP__TRY(tkp__store_put_data(study->store, &s->data, &data));
    for (int64_t i = 0; i < set->n_items; i++)
        TKP__TRY(put_item(study, s, i));
    return tkp__store_commit(study->store);
}

static tkp_status begin_run(tkp__study *study, stored_set *s, int32_t i)
{
    const tkp__study_condition *c = &study->conditions[i];
    const tkp__store_run run = {
        .model = study->model_name,
        .model_hash = study->model_hash,
        .settings = study->settings,
        .condition = c->name,
        .control = c->control,
        .budget = c->budget,
        .point = c->point,
        .policy = c->yaml,
        .seed = c->seed,
        .machine = study->machine,
        .revision = tkp_version_string()};
    if (s->runs[i])
        return TKP_OK;
    return tkp__store_put_run(study->store, &s->runs[i], s->data, &run);
}

/* --- one condition, some items ------------------------------------------------------ */

enum { MOST_BATCH = 64 };

/* Of the items from `first` on those without an answer. */
static tkp_status take_missing(
    tkp__study *study,
    const stored_set *s,
    int64_t run,
    int64_t first,
    int64_t count,
    const tkp__study_files *files,
    tkp__study_batch *out)
{
    int64_t *ids = (int64_t *)(uintptr_t)out->item_ids;
    out->count = 0;
    for (int64_t i = first; i < first + count; i++) {
        bool has;
        TKP__TRY(tkp__store_has(study->store, &has, run, s->item_ids[i]));
        if (has) {
            study->there++;
            study->done++;
            continue;
        }
        out->items[out->count] = &s->set->items[i];
        out->paths[out->count] = files->paths[i - first];
        ids[out->count++] = s->item_ids[i];
    }
    return TKP_OK;
}

/* What the model and the policy do not go together for, as opposed to a
 * question that cannot be asked. */
static bool is_refusal(tkp_status status)
{
    return status == TKP_ERR_UNSUPPORTED || status == TKP_ERR_OPTION ||
           status == TKP_ERR_POLICY;
}

static tkp_status
ask(tkp__study *study,
    stored_set *s,
    int32_t i,
    int64_t first,
    int64_t count,
    const tkp__study_files *files)
{
    const tkp__eval_item *items[MOST_BATCH];
    const char **paths[MOST_BATCH];
    int64_t ids[MOST_BATCH];
    tkp__study_batch batch = {
        .set = s->set, .items = items, .item_ids = ids, .paths = paths};
    tkp__study_condition *c = &study->conditions[i];
    TKP__TRY(begin_run(study, s, i));
    TKP__TRY(take_missing(study, s, s->runs[i], first, count, files, &batch));
    if (batch.count == 0)
        return TKP_OK;
    tkp__study_progress(study, s->set, c);
    const tkp_status status = tkp__study_ask(study, c, s->runs[i], &batch);
    if (c->policy && is_refusal(status)) {
        tkp__study_note(
            study, "left out: %s %s %s: %s", c->name, c->budget, c->point,
            tkp_last_message());
        c->refused = true;
        study->refused++;
        return TKP_OK;
    }
    if (status != TKP_OK)
        return tkp__fail_prefix(
            status, "%s, question '%.60s'", s->set->name, batch.items[0]->id);
    study->stored += batch.count;
    study->done += batch.count;
    return TKP_OK;
}

/* --- everything ------------------------------------------------------------------------ */

static void count_answers(tkp__study *study)
{
    int64_t items = 0, conditions = 0;
    for (int32_t i = 0; i < study->sets.count; i++)
        items += study->sets.sets[i].n_items;
    for (int32_t i = 0; i < study->n_conditions; i++)
        conditions += !study->conditions[i].refused;
    study->total = items * conditions;
}

static tkp_status
ask_all(tkp__study *study, stored_set *s, int64_t first, int64_t count)
{
    const tkp__eval_item *items[MOST_BATCH];
    tkp__study_files files;
    tkp_status status;
    for (int64_t i = 0; i < count; i++)
        items[i] = &s->set->items[first + i];
    TKP__TRY_OUT(tkp__study_files_open(&files, items, (int32_t)count));
    for (int32_t i = 0; i < study->n_conditions; i++)
        if (!study->conditions[i].refused)
            TKP__TRY_OUT(ask(study, s, i, first, count, &files));
out:
    tkp__study_files_close(&files);
    return status;
}

static tkp_status run_set(tkp__study *study, const tkp__eval_set *set)
{
    stored_set s;
    tkp_status status;
    const int64_t batch = study->options.batch;
    TKP__TRY_OUT(open_set(study, &s, set));
    for (int64_t i = 0; i < set->n_items; i += batch) {
        const int64_t left = set->n_items - i;
        TKP__TRY_OUT(ask_all(study, &s, i, left < batch ? left : batch));
        count_answers(study);
    }
out:
    release(&s);
    return status;
}

tkp_status tkp__study_run(tkp__study *study)
{
    tkp__cli_listen_for_interrupt();
    study->since = tkp__cli_now();
    count_answers(study);
    tkp_status status = TKP_OK;
    for (int32_t i = 0; i < study->sets.count && status == TKP_OK; i++)
        status = run_set(study, &study->sets.sets[i]);
    tkp__study_progress_end(study);
    return status;
}
