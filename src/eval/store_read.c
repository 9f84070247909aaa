/* Rows out of the store, one after the other. */
#include "eval/store_private.h"

#include <stdlib.h>

/* A statement and the number of its next column. */
typedef struct cursor {
    sqlite3_stmt *s;
    int at;
} cursor;

/* The file may have been written by anybody: a NULL is an empty text. */
static const char *get_text(cursor *c)
{
    const char *text = (const char *)sqlite3_column_text(c->s, c->at++);
    return text ? text : "";
}

static int64_t get_int(cursor *c)
{
    return sqlite3_column_int64(c->s, c->at++);
}

static double get_real(cursor *c)
{
    return sqlite3_column_double(c->s, c->at++);
}

/* Call `row` for every row; take the statement. */
static tkp_status each(
    tkp__store *store,
    sqlite3_stmt *s,
    tkp_status (*row)(cursor *c, void *user),
    void *user)
{
    tkp_status status = TKP_OK;
    int code = SQLITE_DONE;
    while (status == TKP_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
        cursor c = {s, 0};
        status = row(&c, user);
    }
    if (status == TKP_OK && code != SQLITE_DONE)
        status = tkp__store_failed(store);
    sqlite3_finalize(s);
    return status;
}

static tkp_status
prepared(const tkp__store *store, sqlite3_stmt **out, const char *sql)
{
    return sqlite3_prepare_v2(store->db, sql, -1, out, NULL) == SQLITE_OK
               ? TKP_OK
               : tkp__store_failed(store);
}

/* --- runs ---------------------------------------------------------------------- */

typedef struct run_call {
    tkp__store_run_fn call;
    void *user;
} run_call;

static tkp_status run_row(cursor *c, void *user)
{
    const run_call *to = user;
    tkp__store_run run;
    tkp__store_data data;
    const int64_t id = get_int(c);
    const int64_t data_id = get_int(c);
    run.model = get_text(c);
    run.model_hash = get_text(c);
    run.settings = get_text(c);
    run.condition = get_text(c);
    run.control = get_text(c);
    run.budget = get_text(c);
    run.point = get_text(c);
    run.policy = get_text(c);
    run.seed = strtoull(get_text(c), NULL, 10);
    run.machine = get_text(c);
    run.revision = get_text(c);
    data.name = get_text(c);
    data.hash = get_text(c);
    data.metric = get_text(c);
    data.card = get_text(c);
    data.rows = get_int(c);
    return to->call(to->user, id, &run, &data, data_id, get_int(c));
}

tkp_status
tkp__store_each_run(tkp__store *store, tkp__store_run_fn call, void *user)
{
    sqlite3_stmt *s;
    run_call to = {call, user};
    TKP__TRY(prepared(
        store, &s,
        "SELECT run.id, run.data, model, model_hash, settings, condition,"
        " control, budget, point, policy, seed, machine, revision, name, hash,"
        " metric, card, rows,"
        " (SELECT count(*) FROM answer WHERE answer.run = run.id)"
        " FROM run JOIN data ON data.id = run.data ORDER BY run.id"));
    return each(store, s, run_row, &to);
}

/* --- answers ------------------------------------------------------------------- */

typedef struct answer_call {
    tkp__store_answer_fn call;
    void *user;
} answer_call;

static void get_item(cursor *c, tkp__store_item *item)
{
    item->name = get_text(c);
    item->position = get_int(c);
    item->group = get_text(c);
    item->split = get_text(c);
    item->category = get_text(c);
    item->question = get_text(c);
    item->gold = get_text(c);
    item->extra = get_text(c);
    item->options = (int32_t)get_int(c);
    item->rotation = (int32_t)get_int(c);
    item->images = (int32_t)get_int(c);
}

static void get_answer(cursor *c, tkp__store_answer *a)
{
    a->prompt_hash = get_text(c);
    a->text = get_text(c);
    a->parsed = get_text(c);
    a->value = get_real(c);
    a->measure = get_real(c);
    a->flags = (uint32_t)get_int(c);
    a->new_tokens = (int32_t)get_int(c);
    a->batch = (int32_t)get_int(c);
    a->visual_before = get_int(c);
    a->visual_after = get_int(c);
    a->equiv_in = get_real(c);
    a->macs = get_real(c);
    a->macs_unpruned = get_real(c);
    a->kv_bytes = get_real(c);
    a->kv_bytes_unpruned = get_real(c);
    a->layer_visual = get_text(c);
    a->layer_tokens = get_text(c);
    a->kept = sqlite3_column_blob(c->s, c->at);
    a->kept_bytes = (size_t)sqlite3_column_bytes(c->s, c->at++);
    double *const seconds[] = {&a->load_images,    &a->vision,
                               &a->prefill,        &a->pruning,
                               &a->decode,         &a->score_seconds,
                               &a->select_seconds, &a->merge_seconds,
                               &a->gather_seconds};
    for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++)
        *seconds[i] = get_real(c);
}

static tkp_status answer_row(cursor *c, void *user)
{
    const answer_call *to = user;
    tkp__store_item item;
    tkp__store_answer answer;
    const int64_t id = get_int(c);
    get_item(c, &item);
    get_answer(c, &answer);
    return to->call(to->user, id, &item, &answer);
}

tkp_status tkp__store_each_answer(
    tkp__store *store,
    int64_t run,
    tkp__store_answer_fn call,
    void *user)
{
    sqlite3_stmt *s;
    answer_call to = {call, user};
    TKP__TRY(prepared(
        store, &s,
        "SELECT item.id, name, position, grp, split, category, question, gold,"
        " extra, options, rotation, images, prompt_hash, text, parsed, value,"
        " measure, flags, new_tokens, batch, visual_before, visual_after,"
        " equiv_in, macs, macs_unpruned, kv_bytes, kv_bytes_unpruned,"
        " layer_visual, layer_tokens, kept, load_images, vision, prefill,"
        " pruning, decode, score_seconds, select_seconds, merge_seconds,"
        " gather_seconds"
        " FROM answer JOIN item ON item.id = answer.item"
        " WHERE run = ? ORDER BY position, item.id"));
    sqlite3_bind_int64(s, 1, run);
    return each(store, s, answer_row, &to);
}
