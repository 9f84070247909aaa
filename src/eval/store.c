/* Opening a store: what the file is, and making one. */
#include "eval/store_private.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
    APPLICATION = 0x746b7065, /* "tkpe", in the file's header */
    WAIT_MS = 60000           /* for another process's transaction */
};

/* A column added here is a new TKP__STORE_VERSION. */
static const char schema[] =
    "CREATE TABLE data("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL,"
    " metric TEXT NOT NULL, card TEXT NOT NULL, rows INTEGER NOT NULL,"
    " UNIQUE(name, hash, metric, card));"
    "CREATE TABLE item("
    " id INTEGER PRIMARY KEY, data INTEGER NOT NULL REFERENCES data,"
    " name TEXT NOT NULL, position INTEGER NOT NULL, grp TEXT NOT NULL,"
    " split TEXT NOT NULL, category TEXT NOT NULL, question TEXT NOT NULL,"
    " gold TEXT NOT NULL, extra TEXT NOT NULL, options INTEGER NOT NULL,"
    " rotation INTEGER NOT NULL, images INTEGER NOT NULL,"
    " UNIQUE(data, name));"
    "CREATE TABLE run("
    " id INTEGER PRIMARY KEY, data INTEGER NOT NULL REFERENCES data,"
    " model TEXT NOT NULL, model_hash TEXT NOT NULL, settings TEXT NOT NULL,"
    " condition TEXT NOT NULL, control TEXT NOT NULL, budget TEXT NOT NULL,"
    " point TEXT NOT NULL, policy TEXT NOT NULL, seed TEXT NOT NULL,"
    " machine TEXT NOT NULL, revision TEXT NOT NULL,"
    " time TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),"
    " UNIQUE(data, model, model_hash, settings, condition, control, budget,"
    "  point, policy, seed));"
    "CREATE TABLE answer("
    " run INTEGER NOT NULL REFERENCES run,"
    " item INTEGER NOT NULL REFERENCES item,"
    " prompt_hash TEXT NOT NULL, text TEXT NOT NULL, parsed TEXT NOT NULL,"
    " value REAL NOT NULL, measure REAL NOT NULL, flags INTEGER NOT NULL,"
    " new_tokens INTEGER NOT NULL, batch INTEGER NOT NULL,"
    " visual_before INTEGER NOT NULL, visual_after INTEGER NOT NULL,"
    " equiv_in REAL NOT NULL, macs REAL NOT NULL, macs_unpruned REAL NOT NULL,"
    " kv_bytes REAL NOT NULL, kv_bytes_unpruned REAL NOT NULL,"
    " layer_visual TEXT NOT NULL, layer_tokens TEXT NOT NULL, kept BLOB,"
    " load_images REAL NOT NULL, vision REAL NOT NULL, prefill REAL NOT NULL,"
    " pruning REAL NOT NULL, decode REAL NOT NULL,"
    " score_seconds REAL NOT NULL, select_seconds REAL NOT NULL,"
    " merge_seconds REAL NOT NULL, gather_seconds REAL NOT NULL,"
    " PRIMARY KEY(run, item)) WITHOUT ROWID;";

tkp_status tkp__store_failed(const tkp__store *store)
{
    const int code = sqlite3_errcode(store->db);
    const char *said = sqlite3_errmsg(store->db);
    switch (code) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return tkp__fail(
            TKP_ERR_FORMAT, "%s: %s, wanted a result store", store->path, said);
    case SQLITE_NOMEM:
        return tkp__fail(TKP_ERR_MEMORY, "%s: %s", store->path, said);
    default:
        return tkp__fail(TKP_ERR_IO, "%s: %s", store->path, said);
    }
}

static tkp_status run_sql(const tkp__store *store, const char *sql)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? TKP_OK
               : tkp__store_failed(store);
}

static tkp_status
read_number(const tkp__store *store, const char *sql, int64_t *out)
{
    sqlite3_stmt *s = NULL;
    tkp_status status = TKP_OK;
    if (sqlite3_prepare_v2(store->db, sql, -1, &s, NULL) != SQLITE_OK ||
        sqlite3_step(s) != SQLITE_ROW)
        status = tkp__store_failed(store);
    else
        *out = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return status;
}

/* Of an open transaction, so that of two processes one makes the tables. */
static tkp_status check_or_make(const tkp__store *store, bool make)
{
    int64_t application = 0, version = 0, tables = 0;
    TKP__TRY(read_number(store, "PRAGMA application_id", &application));
    TKP__TRY(read_number(store, "PRAGMA user_version", &version));
    TKP__TRY(read_number(store, "SELECT count(*) FROM sqlite_schema", &tables));
    if (make && application == 0 && version == 0 && tables == 0) {
        char pragmas[96];
        snprintf(
            pragmas, sizeof(pragmas),
            "PRAGMA application_id = %d; PRAGMA user_version = %d",
            (int)APPLICATION, (int)TKP__STORE_VERSION);
        TKP__TRY(run_sql(store, schema));
        return run_sql(store, pragmas);
    }
    TKP__CHECK(
        application == APPLICATION, TKP_ERR_FORMAT,
        "%s: is a database of another program (application id %lld), wanted a "
        "result store",
        store->path, (long long)application);
    TKP__CHECK(
        version == TKP__STORE_VERSION, TKP_ERR_UNSUPPORTED,
        "%s: schema version is %lld, this program has %d: use the version that "
        "made it, or another file",
        store->path, (long long)version, (int)TKP__STORE_VERSION);
    return TKP_OK;
}

static tkp_status prepare(const tkp__store *store, int32_t mode)
{
    sqlite3_busy_timeout(store->db, WAIT_MS);
    if (mode == TKP__STORE_READ)
        return check_or_make(store, false);
    /* A committed answer outlives the process; NORMAL leaves out the wait for
     * the disk that only a power cut would need. */
    TKP__TRY(run_sql(store, "BEGIN IMMEDIATE"));
    const tkp_status status = check_or_make(store, true);
    if (status != TKP_OK) {
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
        return status;
    }
    TKP__TRY(run_sql(store, "COMMIT"));
    return run_sql(
        store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
               "PRAGMA foreign_keys = ON");
}

tkp_status tkp__store_open(tkp__store **out, const char *path, int32_t mode)
{
    const bool write = mode == TKP__STORE_WRITE;
    TKP__CHECK(
        write || access(path, R_OK) == 0, TKP_ERR_IO, "%s: %s", path,
        strerror(errno));
    tkp__store *store = tkp__zalloc(1, sizeof(*store));
    if (!store)
        return TKP_ERR_MEMORY;
    tkp_status status = TKP_ERR_MEMORY;
    store->path = tkp__strdup(path);
    if (!store->path)
        goto failed;
    /* Reading, too, wants to write: the WAL of a run that was killed is put
     * back by whoever comes next. */
    if (sqlite3_open_v2(
            path, &store->db,
            SQLITE_OPEN_READWRITE | (write ? SQLITE_OPEN_CREATE : 0),
            NULL) != SQLITE_OK) {
        status = store->db ? tkp__store_failed(store)
                           : tkp__fail(TKP_ERR_MEMORY, "%s: no memory", path);
        goto failed;
    }
    status = prepare(store, mode);
    if (status != TKP_OK)
        goto failed;
    *out = store;
    return TKP_OK;
failed:
    tkp__store_close(store);
    return status;
}

void tkp__store_close(tkp__store *store)
{
    if (!store)
        return;
    for (int i = 0; i < TKP__STORE_STATEMENTS; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    tkp__free(store->path);
    tkp__free(store);
}

const char *tkp__store_path(const tkp__store *store)
{
    return store->path;
}

tkp_status tkp__store_begin(tkp__store *store)
{
    return run_sql(store, "BEGIN IMMEDIATE");
}

tkp_status tkp__store_commit(tkp__store *store)
{
    return run_sql(store, "COMMIT");
}
