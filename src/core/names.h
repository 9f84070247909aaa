#ifndef TKP_CORE_NAMES_H
#define TKP_CORE_NAMES_H

/*
 * Parts that users registered by name: one small table for scorers, one for
 * selectors, one for mergers. A part that something uses cannot be taken back.
 */

#include "util/util.h"

enum { TKP__NAME_BYTES = 64, TKP__NAME_TABLE = 64, TKP__NAMED_BYTES = 64 };

typedef struct tkp__named {
    char name[TKP__NAME_BYTES];
    void *user;
    void (*release)(void *user);
    int32_t uses;
    _Alignas(8) unsigned char vtable[TKP__NAMED_BYTES];
} tkp__named;

typedef struct tkp__names {
    const char *what; /* "scorer", "selector", "merger": for messages */
    tkp__named entries[TKP__NAME_TABLE];
} tkp__names;

extern tkp__names tkp__scorer_names;
extern tkp__names tkp__selector_names;
extern tkp__names tkp__merger_names;

tkp_status tkp__names_add(
    tkp__names *names,
    const char *name,
    const void *vtable,
    size_t bytes,
    void *user,
    void (*release)(void *user));
tkp_status tkp__names_remove(tkp__names *names, const char *name);
/* Copy the table out and count a use, until tkp__names_put(). */
tkp_status tkp__names_get(
    tkp__names *names,
    const char *name,
    void *vtable,
    size_t bytes,
    void **user);
void tkp__names_put(tkp__names *names, const char *name);

#endif
