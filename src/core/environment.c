/*
 * The environment, read when a context is created and at no other time.
 */

#include <pthread.h>
#include <stdlib.h>

#include "core/core.h"

enum { disable_bytes = 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char disabled[disable_bytes]; /* guarded by lock */
static bool disabled_known;          /* guarded by lock */

/* secure_getenv: a set-user-id program must not load modules from a folder
 * that its user named. */
static const char *get(const char *name)
{
    const char *value = secure_getenv(name);
    return value && value[0] ? value : NULL;
}

/* Keeps whole names only: a list too long loses its tail, not half a name. */
static void snapshot_disabled(void)
{
    const char *list = get("TKP_DISABLE");
    size_t length = list ? strlen(list) : 0;
    if (length >= disable_bytes) {
        length = disable_bytes - 1;
        while (length > 0 && list[length] != ',')
            length--;
    }
    memcpy(disabled, list ? list : "", length);
    disabled[length] = '\0';
    disabled_known = true;
}

void tkp__core_environment_read(tkp__environment *out)
{
    const char *verbose = get("TKP_VERBOSE");
    const long level = verbose ? strtol(verbose, NULL, 10) : 0;
    out->verbose = level < 0 ? 0 : level > 2 ? 2 : (int32_t)level;
    out->backends = get("TKP_BACKEND");
    out->backend_dir = get("TKP_BACKEND_DIR");
    pthread_mutex_lock(&lock);
    snapshot_disabled();
    pthread_mutex_unlock(&lock);
}

static bool list_has(const char *list, const char *name)
{
    const size_t length = strlen(name);
    while (*list) {
        list += strspn(list, ", ");
        const size_t item = strcspn(list, ", ");
        if (item == length && item > 0 && memcmp(list, name, item) == 0)
            return true;
        list += item;
    }
    return false;
}

bool tkp__core_disabled(const char *name)
{
    pthread_mutex_lock(&lock);
    if (!disabled_known)
        snapshot_disabled();
    const bool found = list_has(disabled, name);
    pthread_mutex_unlock(&lock);
    return found;
}
