#include "core/names.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

tkp__names tkp__scorer_names = {.what = "scorer"};
tkp__names tkp__selector_names = {.what = "selector"};
tkp__names tkp__merger_names = {.what = "merger"};

static tkp__named *find(tkp__names *names, const char *name)
{
    for (int32_t i = 0; i < TKP__NAME_TABLE; i++)
        if (names->entries[i].name[0] && !strcmp(names->entries[i].name, name))
            return &names->entries[i];
    return NULL;
}

static tkp__named *find_free(tkp__names *names)
{
    for (int32_t i = 0; i < TKP__NAME_TABLE; i++)
        if (!names->entries[i].name[0])
            return &names->entries[i];
    return NULL;
}

static tkp_status add_locked(
    tkp__names *names,
    const char *name,
    const void *vtable,
    size_t bytes,
    void *user,
    void (*release)(void *user))
{
    TKP__CHECK(
        !find(names, name), TKP_ERR_ARGUMENT, "%s: name '%s' is taken",
        names->what, name);
    tkp__named *entry = find_free(names);
    TKP__CHECK(
        entry, TKP_ERR_MEMORY, "%s: %d names are registered, no more fit",
        names->what, TKP__NAME_TABLE);
    *entry = (tkp__named){.user = user, .release = release};
    memcpy(entry->vtable, vtable, bytes);
    strcpy(entry->name, name);
    return TKP_OK;
}

tkp_status tkp__names_add(
    tkp__names *names,
    const char *name,
    const void *vtable,
    size_t bytes,
    void *user,
    void (*release)(void *user))
{
    const size_t length = strlen(name);
    TKP__CHECK(
        length >= 1 && length < TKP__NAME_BYTES, TKP_ERR_ARGUMENT,
        "%s: name has %zu characters, wanted 1 to %d", names->what, length,
        TKP__NAME_BYTES - 1);
    pthread_mutex_lock(&lock);
    const tkp_status status =
        add_locked(names, name, vtable, bytes, user, release);
    pthread_mutex_unlock(&lock);
    return status;
}

tkp_status tkp__names_remove(tkp__names *names, const char *name)
{
    pthread_mutex_lock(&lock);
    tkp__named *entry = find(names, name);
    tkp_status status = TKP_OK;
    tkp__named old = {0};
    if (!entry)
        status =
            tkp__fail(TKP_ERR_ARGUMENT, "%s: no name '%s'", names->what, name);
    else if (entry->uses)
        status = tkp__fail(
            TKP_ERR_STATE, "%s: '%s' is in use by %d objects", names->what,
            name, entry->uses);
    else {
        old = *entry;
        *entry = (tkp__named){0};
    }
    pthread_mutex_unlock(&lock);
    if (old.release)
        old.release(old.user);
    return status;
}

tkp_status tkp__names_get(
    tkp__names *names,
    const char *name,
    void *vtable,
    size_t bytes,
    void **user)
{
    pthread_mutex_lock(&lock);
    tkp__named *entry = find(names, name);
    tkp_status status = TKP_OK;
    if (entry) {
        entry->uses++;
        memcpy(vtable, entry->vtable, bytes);
        *user = entry->user;
    } else {
        status = tkp__fail(
            TKP_ERR_OPTION, "%s: no custom %s is registered as '%s'",
            names->what, names->what, name);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

void tkp__names_put(tkp__names *names, const char *name)
{
    pthread_mutex_lock(&lock);
    tkp__named *entry = find(names, name);
    if (entry)
        entry->uses--;
    pthread_mutex_unlock(&lock);
}
