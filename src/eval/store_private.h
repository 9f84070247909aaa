#ifndef TKP_EVAL_STORE_PRIVATE_H
#define TKP_EVAL_STORE_PRIVATE_H

/* What the files of the store share. */

#include <sqlite3.h>

#include "eval/store.h"

enum {
    TKP__STORE_PUT_DATA,
    TKP__STORE_GET_DATA,
    TKP__STORE_PUT_ITEM,
    TKP__STORE_GET_ITEM,
    TKP__STORE_PUT_RUN,
    TKP__STORE_GET_RUN,
    TKP__STORE_PUT_ANSWER,
    TKP__STORE_HAS_ANSWER,
    TKP__STORE_STATEMENTS
};

struct tkp__store {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *statements[TKP__STORE_STATEMENTS]; /* made when needed */
};

/* The message of what SQLite says now; its code as a status. */
tkp_status tkp__store_failed(const tkp__store *store);

#endif
