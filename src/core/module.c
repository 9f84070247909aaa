/*
 * Backend modules: libtokenprune-NAME.so in one folder.
 *
 * A path with a slash is given to dlopen(), so no search path is walked and
 * the current directory is never looked into. Nothing is unloaded: a table
 * that a context points at, and the threads of an OpenMP pool, must not lose
 * their code.
 */

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/core.h"

#define PREFIX "libtokenprune-"
#define SUFFIX ".so"

/* Path of the file this code lies in: the shared library, or the program that
 * has the static one in it. */
static bool own_path(char *out, size_t bytes)
{
    Dl_info info;
    struct link_map *map = NULL;
    if (!dladdr1(
            (void *)&tkp__core_builtin_backends, &info, (void **)&map,
            RTLD_DL_LINKMAP))
        return false;
    char resolved[PATH_MAX];
    if (!map || !map->l_name || map->l_name[0] == '\0') {
        const ssize_t length =
            readlink("/proc/self/exe", resolved, sizeof(resolved) - 1);
        if (length <= 0)
            return false;
        resolved[length] = '\0';
    } else if (map->l_name[0] == '/') {
        /* As it was found, so that a link in /usr/lib keeps its folder. */
        const int used =
            snprintf(resolved, sizeof(resolved), "%s", map->l_name);
        if (used < 0 || (size_t)used >= sizeof(resolved))
            return false;
    } else if (!strchr(map->l_name, '/') || !realpath(map->l_name, resolved)) {
        return false;
    }
    const int used = snprintf(out, bytes, "%s", resolved);
    return used > 0 && (size_t)used < bytes;
}

bool tkp__core_module_default_dir(char *out, size_t bytes)
{
    static const char folder[] = "tokenprune";
    if (!own_path(out, bytes))
        return false;
    char *slash = strrchr(out, '/');
    if (!slash || (size_t)(slash + 1 - out) + sizeof(folder) > bytes)
        return false;
    memcpy(slash + 1, folder, sizeof(folder));
    return true;
}

static tkp_status
check_entry(const tkp_backend_vtable **out, void *handle, const char *name)
{
    /* POSIX says that this conversion works; ISO C has no words for it. */
    tkp_backend_entry_fn entry;
    *(void **)&entry = dlsym(handle, TKP_BACKEND_ENTRY_SYMBOL);
    TKP__CHECK(
        entry, TKP_ERR_NO_BACKEND, "has no symbol %s",
        TKP_BACKEND_ENTRY_SYMBOL);
    const tkp_backend_vtable *table = entry();
    if (!table)
        return tkp__fail(
            TKP_ERR_NO_BACKEND, "%s gave no table: %s",
            TKP_BACKEND_ENTRY_SYMBOL, tkp_last_message());
    TKP__TRY(tkp__core_registry_adopt(out, table));
    TKP__CHECK(
        strcmp((*out)->name, name) == 0, TKP_ERR_NO_BACKEND,
        "the backend inside is named \"%s\"", (*out)->name);
    return TKP_OK;
}

tkp_status tkp__core_module_load(
    const tkp_backend_vtable **out,
    const char *dir,
    const char *name)
{
    char path[PATH_MAX];
    const int used =
        snprintf(path, sizeof(path), "%s/" PREFIX "%s" SUFFIX, dir, name);
    TKP__CHECK(
        used > 0 && (size_t)used < sizeof(path), TKP_ERR_NO_BACKEND,
        "%s: the path of the module is too long", name);
    TKP__CHECK(
        access(path, F_OK) == 0, TKP_ERR_NO_BACKEND,
        "%s: no module " PREFIX "%s" SUFFIX " in %s", name, name, dir);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    TKP__CHECK(handle, TKP_ERR_NO_BACKEND, "%s: %s", name, dlerror());
    const tkp_backend_vtable *found;
    if (check_entry(&found, handle, name) != TKP_OK)
        return tkp__fail_prefix(TKP_ERR_NO_BACKEND, "%s: %s", name, path);
    *out = found;
    return TKP_OK;
}

/* The NAME of libtokenprune-NAME.so; false for any other file. */
static bool module_name(char *out, const char *file)
{
    const size_t length = strlen(file);
    const size_t around = sizeof(PREFIX) - 1 + sizeof(SUFFIX) - 1;
    if (length <= around || length - around >= TKP__MODULE_NAME_BYTES ||
        strncmp(file, PREFIX, sizeof(PREFIX) - 1) != 0 ||
        strcmp(file + length - (sizeof(SUFFIX) - 1), SUFFIX) != 0)
        return false;
    memcpy(out, file + sizeof(PREFIX) - 1, length - around);
    out[length - around] = '\0';
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

int32_t tkp__core_module_list(
    const char *dir,
    char (*names)[TKP__MODULE_NAME_BYTES],
    int32_t max)
{
    DIR *folder = opendir(dir);
    if (!folder)
        return 0;
    int32_t count = 0;
    for (struct dirent *entry; count < max && (entry = readdir(folder));)
        if (module_name(names[count], entry->d_name))
            count++;
    closedir(folder);
    qsort(names, (size_t)count, sizeof(names[0]), by_name);
    return count;
}
