/* Rows into the store: what is there already stays as it is. */
#include "eval/store_private.h"

#include <stdio.h>

static const char *const texts[TKP__STORE_STATEMENTS] = {
    [TKP__STORE_PUT_DATA] =
        "INSERT OR IGNORE INTO data(name, hash, metric, card, rows)"
        " VALUES(?, ?, ?, ?, ?)",
    [TKP__STORE_GET_DATA] =
        "SELECT id FROM data WHERE name = ? AND hash = ? AND metric = ?"
        " AND card = ?",
    [TKP__STORE_PUT_ITEM] =
        "INSERT OR IGNORE INTO item(data, name, position, grp, split, category,"
        " question, gold, extra, options, rotation, images)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [TKP__STORE_GET_ITEM] = "SELECT id FROM item WHERE data = ? AND name = ?",
    [TKP__STORE_PUT_RUN] =
        "INSERT OR IGNORE INTO run(data, model, model_hash, settings,"
        " condition, control, budget, point, policy, seed, machine, revision)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [TKP__STORE_GET_RUN] =
        "SELECT id FROM run WHERE data = ? AND model = ? AND model_hash = ?"
        " AND settings = ? AND condition = ? AND control = ? AND budget = ?"
        " AND point = ? AND policy = ? AND seed = ?",
    [TKP__STORE_PUT_ANSWER] =
        "INSERT OR IGNORE INTO answer VALUES("
        "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " ?, ?, ?, ?, ?, ?)",
    [TKP__STORE_HAS_ANSWER] = "SELECT 1 FROM answer WHERE run = ? AND item = ?",
};

/* A statement and the number of its next parameter. */
typedef struct binding {
    sqlite3_stmt *s;
    int at;
} binding;

static tkp_status statement(tkp__store *store, int32_t i, binding *out)
{
    if (!store->statements[i] &&
        sqlite3_prepare_v3(
            store->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
            &store->statements[i], NULL) != SQLITE_OK)
        return tkp__store_failed(store);
    *out = (binding){store->statements[i], 1};
    return TKP_OK;
}

static void put_text(binding *b, const char *text)
{
    sqlite3_bind_text(b->s, b->at++, text, -1, SQLITE_STATIC);
}

static void put_int(binding *b, int64_t value)
{
    sqlite3_bind_int64(b->s, b->at++, value);
}

/* SQLite makes NULL of a NaN, which the columns refuse. */
static void put_real(binding *b, double value)
{
    sqlite3_bind_double(b->s, b->at++, value);
}

/* Run it; the number in its first column, if it has one. */
static tkp_status step(tkp__store *store, binding *b, int64_t *found)
{
    const int code = sqlite3_step(b->s);
    tkp_status status = TKP_OK;
    if (code == SQLITE_ROW && found)
        *found = sqlite3_column_int64(b->s, 0);
    else if (code != SQLITE_ROW && code != SQLITE_DONE)
        status = tkp__store_failed(store);
    sqlite3_reset(b->s);
    sqlite3_clear_bindings(b->s);
    return status;
}

static tkp_status found(const tkp__store *store, int64_t id, int64_t *out)
{
    TKP__CHECK(
        id > 0, TKP_ERR_IO, "%s: a row that was put is not there", store->path);
    *out = id;
    return TKP_OK;
}

static void put_data_key(binding *b, const tkp__store_data *data)
{
    put_text(b, data->name);
    put_text(b, data->hash);
    put_text(b, data->metric);
    put_text(b, data->card);
}

tkp_status tkp__store_put_data(
    tkp__store *store,
    int64_t *id_out,
    const tkp__store_data *data)
{
    binding b = {0};
    int64_t id = 0;
    TKP__TRY(statement(store, TKP__STORE_PUT_DATA, &b));
    put_data_key(&b, data);
    put_int(&b, data->rows);
    TKP__TRY(step(store, &b, NULL));
    TKP__TRY(statement(store, TKP__STORE_GET_DATA, &b));
    put_data_key(&b, data);
    TKP__TRY(step(store, &b, &id));
    return found(store, id, id_out);
}

tkp_status tkp__store_put_item(
    tkp__store *store,
    int64_t *id_out,
    int64_t data,
    const tkp__store_item *item)
{
    binding b = {0};
    int64_t id = 0;
    TKP__TRY(statement(store, TKP__STORE_PUT_ITEM, &b));
    put_int(&b, data);
    put_text(&b, item->name);
    put_int(&b, item->position);
    put_text(&b, item->group);
    put_text(&b, item->split);
    put_text(&b, item->category);
    put_text(&b, item->question);
    put_text(&b, item->gold);
    put_text(&b, item->extra);
    put_int(&b, item->options);
    put_int(&b, item->rotation);
    put_int(&b, item->images);
    TKP__TRY(step(store, &b, NULL));
    TKP__TRY(statement(store, TKP__STORE_GET_ITEM, &b));
    put_int(&b, data);
    put_text(&b, item->name);
    TKP__TRY(step(store, &b, &id));
    return found(store, id, id_out);
}

static void put_run_key(
    binding *b,
    int64_t data,
    const tkp__store_run *run,
    const char *seed)
{
    put_int(b, data);
    put_text(b, run->model);
    put_text(b, run->model_hash);
    put_text(b, run->settings);
    put_text(b, run->condition);
    put_text(b, run->control);
    put_text(b, run->budget);
    put_text(b, run->point);
    put_text(b, run->policy);
    put_text(b, seed);
}

tkp_status tkp__store_put_run(
    tkp__store *store,
    int64_t *id_out,
    int64_t data,
    const tkp__store_run *run)
{
    binding b = {0};
    int64_t id = 0;
    char seed[24]; /* 64 bits without a sign have no column type */
    snprintf(seed, sizeof(seed), "%llu", (unsigned long long)run->seed);
    TKP__TRY(statement(store, TKP__STORE_PUT_RUN, &b));
    put_run_key(&b, data, run, seed);
    put_text(&b, run->machine);
    put_text(&b, run->revision);
    TKP__TRY(step(store, &b, NULL));
    TKP__TRY(statement(store, TKP__STORE_GET_RUN, &b));
    put_run_key(&b, data, run, seed);
    TKP__TRY(step(store, &b, &id));
    return found(store, id, id_out);
}

tkp_status
tkp__store_has(tkp__store *store, bool *out, int64_t run, int64_t item)
{
    binding b = {0};
    int64_t one = 0;
    TKP__TRY(statement(store, TKP__STORE_HAS_ANSWER, &b));
    put_int(&b, run);
    put_int(&b, item);
    TKP__TRY(step(store, &b, &one));
    *out = one == 1;
    return TKP_OK;
}

tkp_status tkp__store_put_answer(
    tkp__store *store,
    int64_t run,
    int64_t item,
    const tkp__store_answer *a)
{
    binding b = {0};
    TKP__TRY(statement(store, TKP__STORE_PUT_ANSWER, &b));
    put_int(&b, run);
    put_int(&b, item);
    put_text(&b, a->prompt_hash);
    put_text(&b, a->text);
    put_text(&b, a->parsed);
    put_real(&b, a->value);
    put_real(&b, a->measure);
    put_int(&b, a->flags);
    put_int(&b, a->new_tokens);
    put_int(&b, a->batch);
    put_int(&b, a->visual_before);
    put_int(&b, a->visual_after);
    put_real(&b, a->equiv_in);
    put_real(&b, a->macs);
    put_real(&b, a->macs_unpruned);
    put_real(&b, a->kv_bytes);
    put_real(&b, a->kv_bytes_unpruned);
    put_text(&b, a->layer_visual);
    put_text(&b, a->layer_tokens);
    sqlite3_bind_blob64(
        b.s, b.at++, a->kept, (sqlite3_uint64)a->kept_bytes, SQLITE_STATIC);
    const double seconds[] = {a->load_images,    a->vision,
                              a->prefill,        a->pruning,
                              a->decode,         a->score_seconds,
                              a->select_seconds, a->merge_seconds,
                              a->gather_seconds};
    for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++)
        put_real(&b, seconds[i]);
    return step(store, &b, NULL);
}
