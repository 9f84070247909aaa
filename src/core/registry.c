/*
 * Backends the process knows. Tables are kept as copies in static memory, so
 * that an older, shorter one reads as ours and a context may point at them
 * for ever.
 */

#include <pthread.h>

#include "core/core.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* All guarded by lock; entries below the counts never change again. */
static tkp_backend_vtable registered[TKP__MAX_REGISTERED];
static int32_t registered_count;
static tkp_backend_vtable modules[TKP__MAX_MODULES];
static const tkp_backend_vtable *module_sources[TKP__MAX_MODULES];
static int32_t module_count;

static const char *missing_entry(const tkp_backend_vtable *v)
{
    const struct {
        const char *name;
        bool missing;
    } entries[] = {
        {"score", !v->score},
        {"info", !v->info},
        {"device_count", !v->device_count},
        {"supports", !v->supports},
        {"plan", !v->plan},
        {"run", !v->run},
        {"plan_destroy", !v->plan_destroy},
        {"exec_destroy", v->exec_create && !v->exec_destroy},
        {"memory_free", v->memory_alloc && !v->memory_free},
        {"memory_upload", v->memory_alloc && !v->memory_upload},
    };
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        if (entries[i].missing)
            return entries[i].name;
    return NULL;
}

/* Names go into file names and comma lists. */
static bool name_is_legal(const char *name)
{
    const size_t length = name ? strlen(name) : 0;
    return length > 0 && length < TKP__MODULE_NAME_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

tkp_status
tkp__core_vtable_copy(tkp_backend_vtable *out, const tkp_backend_vtable *src)
{
    TKP__CHECK(
        src->abi_version == TKP_BACKEND_ABI_VERSION, TKP_ERR_VERSION,
        "backend ABI version is %u, wanted %d", src->abi_version,
        TKP_BACKEND_ABI_VERSION);
    tkp_backend_vtable copy;
    TKP__TRY(tkp__util_copy_options(
        &copy, sizeof(copy), src, src->struct_size,
        TKP__SIZE_THROUGH(tkp_backend_vtable, memory_upload), "backend table"));
    copy.struct_size = (uint32_t)sizeof(copy);
    TKP__CHECK(
        name_is_legal(copy.name), TKP_ERR_ARGUMENT,
        "backend name: wanted 1 to %d of a-z 0-9 _ -",
        TKP__MODULE_NAME_BYTES - 1);
    TKP__CHECK(
        copy.device_type == TKP_DEVICE_CPU ||
            copy.device_type == TKP_DEVICE_CUDA,
        TKP_ERR_ARGUMENT, "backend %s: device_type is %d", copy.name,
        copy.device_type);
    const char *missing = missing_entry(&copy);
    TKP__CHECK(
        !missing, TKP_ERR_ARGUMENT, "backend %s: %s is NULL", copy.name,
        missing);
    *out = copy;
    return TKP_OK;
}

static const tkp_backend_vtable *find_locked(const char *name)
{
    for (int32_t i = 0; tkp__core_builtin_backends[i]; i++)
        if (strcmp(tkp__core_builtin_backends[i]->name, name) == 0)
            return tkp__core_builtin_backends[i];
    for (int32_t i = 0; i < registered_count; i++)
        if (strcmp(registered[i].name, name) == 0)
            return &registered[i];
    return NULL;
}

static tkp_status add_locked(const tkp_backend_vtable *table)
{
    TKP__CHECK(
        !find_locked(table->name), TKP_ERR_ARGUMENT,
        "backend %s: the name is taken", table->name);
    TKP__CHECK(
        registered_count < TKP__MAX_REGISTERED, TKP_ERR_ARGUMENT,
        "backend %s: %d are registered already, the most there can be",
        table->name, registered_count);
    registered[registered_count++] = *table;
    return TKP_OK;
}

tkp_status tkp__core_registry_add(const tkp_backend_vtable *vtable)
{
    tkp_backend_vtable table;
    TKP__TRY(tkp__core_vtable_copy(&table, vtable));
    pthread_mutex_lock(&lock);
    const tkp_status status = add_locked(&table);
    pthread_mutex_unlock(&lock);
    return status;
}

const tkp_backend_vtable *tkp__core_registry_find(const char *name)
{
    pthread_mutex_lock(&lock);
    const tkp_backend_vtable *found = find_locked(name);
    pthread_mutex_unlock(&lock);
    return found;
}

int32_t tkp__core_registry_list(const tkp_backend_vtable **out)
{
    pthread_mutex_lock(&lock);
    const int32_t count = registered_count;
    for (int32_t i = 0; i < count; i++)
        out[i] = &registered[i];
    pthread_mutex_unlock(&lock);
    return count;
}

static tkp_status adopt_locked(
    const tkp_backend_vtable **out,
    const tkp_backend_vtable *source,
    const tkp_backend_vtable *table)
{
    for (int32_t i = 0; i < module_count; i++)
        if (module_sources[i] == source) {
            *out = &modules[i];
            return TKP_OK;
        }
    TKP__CHECK(
        module_count < TKP__MAX_MODULES, TKP_ERR_NO_BACKEND,
        "backend %s: %d modules are loaded already, the most there can be",
        table->name, module_count);
    module_sources[module_count] = source;
    modules[module_count] = *table;
    *out = &modules[module_count++];
    return TKP_OK;
}

tkp_status tkp__core_registry_adopt(
    const tkp_backend_vtable **out,
    const tkp_backend_vtable *module_table)
{
    tkp_backend_vtable table;
    TKP__TRY(tkp__core_vtable_copy(&table, module_table));
    pthread_mutex_lock(&lock);
    const tkp_status status = adopt_locked(out, module_table, &table);
    pthread_mutex_unlock(&lock);
    return status;
}
