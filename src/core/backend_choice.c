/*
 * Which backends a context has, and in which order.
 *
 * Named: as listed; a name that cannot be had is an error. Not named: every
 * one of the device that can run here, by score. Either way the reference
 * comes last on the CPU, unless the list has it earlier.
 */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/core.h"
#include "tokenprune/sys/base.h"

static const char *device_name(int32_t device_type)
{
    return device_type == TKP_DEVICE_CUDA ? "CUDA" : "the CPU";
}

/* Modules tell their device by their name, so that a program on the CPU does
 * not load the CUDA runtime to find out. */
static bool module_is_for(const char *name, int32_t device_type)
{
    return (strncmp(name, "cuda", 4) == 0) == (device_type == TKP_DEVICE_CUDA);
}

static bool has_backend(const tkp_context *context, const char *name)
{
    for (int32_t i = 0; i < context->backend_count; i++)
        if (strcmp(context->backends[i]->name, name) == 0)
            return true;
    return false;
}

/* Can this one serve the context? Its score, or 0 with the message set. */
static int32_t
usable_score(const tkp_context *context, const tkp_backend_vtable *vtable)
{
    if (vtable->device_type != context->device_type) {
        tkp__fail(
            TKP_ERR_NO_BACKEND, "%s: works on %s, the context is for %s",
            vtable->name, device_name(vtable->device_type),
            device_name(context->device_type));
        return 0;
    }
    tkp_sys_message_clear();
    const int32_t score = vtable->score();
    if (score <= 0) {
        const char *why = tkp_last_message();
        tkp__fail(
            TKP_ERR_NO_BACKEND, "%s: cannot run here: %s", vtable->name,
            why[0] ? why : "it does not say why");
        return 0;
    }
    int32_t devices = 0;
    if (vtable->device_count(&devices) != TKP_OK ||
        context->device_id >= devices) {
        tkp__fail(
            TKP_ERR_NO_BACKEND, "%s: device_id is %d, it sees %d devices",
            vtable->name, context->device_id, devices);
        return 0;
    }
    return score;
}

/* --- by name --------------------------------------------------------------- */

static tkp_status
add_named(tkp_context *context, const char *name, const char *dir)
{
    TKP__CHECK(
        !has_backend(context, name), TKP_ERR_OPTION,
        "backends: %s is listed twice", name);
    TKP__CHECK(
        context->backend_count < TKP__MAX_BACKENDS, TKP_ERR_OPTION,
        "backends: more than %d", TKP__MAX_BACKENDS);
    const tkp_backend_vtable *vtable = tkp__core_registry_find(name);
    if (!vtable) {
        TKP__CHECK(
            dir, TKP_ERR_NO_BACKEND,
            "%s: the folder of modules is not known; set TKP_BACKEND_DIR",
            name);
        TKP__TRY(tkp__core_module_load(&vtable, dir, name));
    }
    if (usable_score(context, vtable) == 0)
        return TKP_ERR_NO_BACKEND;
    context->backends[context->backend_count++] = vtable;
    return TKP_OK;
}

static tkp_status
choose_named(tkp_context *context, const char *names, const char *dir)
{
    static const char legal[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    const char *rest = names;
    for (;;) {
        rest += strspn(rest, " ");
        const size_t length = strspn(rest, legal);
        char name[TKP__MODULE_NAME_BYTES];
        TKP__CHECK(
            length > 0 && length < sizeof(name), TKP_ERR_OPTION,
            "backends: \"%.64s\" is not a comma list of names (1 to %d of "
            "a-z 0-9 _ -)",
            names, TKP__MODULE_NAME_BYTES - 1);
        memcpy(name, rest, length);
        name[length] = '\0';
        TKP__TRY(add_named(context, name, dir));
        rest += length;
        rest += strspn(rest, " ");
        if (*rest == '\0')
            return TKP_OK;
        TKP__CHECK(
            *rest == ',', TKP_ERR_OPTION,
            "backends: \"%.64s\": wanted a comma at byte %td", names,
            rest - names);
        rest++;
    }
}

/* --- by score -------------------------------------------------------------- */

struct candidate {
    const tkp_backend_vtable *vtable;
    int32_t score;
};

struct candidates {
    struct candidate list[TKP__MAX_BACKENDS];
    int32_t count;
};

static int best_first(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;
    if (left->score != right->score)
        return left->score > right->score ? -1 : 1;
    return strcmp(left->vtable->name, right->vtable->name);
}

static void consider(
    struct candidates *all,
    const tkp_context *context,
    const tkp_backend_vtable *vtable)
{
    const int32_t score = usable_score(context, vtable);
    if (score > 0 && all->count < TKP__MAX_BACKENDS)
        all->list[all->count++] = (struct candidate){vtable, score};
    else
        tkp__core_log(context, TKP_LOG_INFO, "skip,%s", tkp_last_message());
}

static void
consider_modules(struct candidates *all, tkp_context *context, const char *dir)
{
    char names[TKP__MAX_MODULES][TKP__MODULE_NAME_BYTES];
    const int32_t count =
        dir ? tkp__core_module_list(dir, names, TKP__MAX_MODULES) : 0;
    for (int32_t i = 0; i < count; i++) {
        const tkp_backend_vtable *vtable;
        if (!module_is_for(names[i], context->device_type) ||
            tkp__core_disabled(names[i]) || tkp__core_registry_find(names[i]))
            continue;
        if (tkp__core_module_load(&vtable, dir, names[i]) == TKP_OK)
            consider(all, context, vtable);
        else
            tkp__core_log(context, TKP_LOG_INFO, "skip,%s", tkp_last_message());
    }
}

static void choose_all(tkp_context *context, const char *dir)
{
    struct candidates all = {.count = 0};
    const tkp_backend_vtable *registered[TKP__MAX_REGISTERED];
    const int32_t count = tkp__core_registry_list(registered);
    for (int32_t i = 0; i < count; i++)
        if (registered[i]->device_type == context->device_type &&
            !tkp__core_disabled(registered[i]->name))
            consider(&all, context, registered[i]);
    consider_modules(&all, context, dir);
    qsort(all.list, (size_t)all.count, sizeof(all.list[0]), best_first);
    for (int32_t i = 0; i < all.count; i++)
        context->backends[context->backend_count++] = all.list[i].vtable;
}

/* --- both ------------------------------------------------------------------ */

/* Nothing was found: the message left over says what was wrong with the last
 * that was tried, if there was one. */
static tkp_status nothing_found(const tkp_context *context, const char *dir)
{
    char why[512];
    snprintf(why, sizeof(why), "%s", tkp_last_message());
    const char *device =
        context->device_type == TKP_DEVICE_CUDA ? "CUDA" : "CPU";
    if (why[0])
        return tkp__fail(TKP_ERR_NO_BACKEND, "no %s backend: %s", device, why);
    return tkp__fail(
        TKP_ERR_NO_BACKEND,
        "no %s backend: no module libtokenprune-cuda.so "
        "in %s",
        device, dir ? dir : "an unknown folder; set TKP_BACKEND_DIR");
}

tkp_status tkp__core_context_choose_backends(
    tkp_context *context,
    const char *names,
    const char *dir)
{
    char default_dir[PATH_MAX];
    if (!dir && tkp__core_module_default_dir(default_dir, sizeof(default_dir)))
        dir = default_dir;
    tkp_sys_message_clear();
    if (names)
        TKP__TRY(choose_named(context, names, dir));
    else
        choose_all(context, dir);

    for (int32_t i = 0; tkp__core_builtin_backends[i]; i++) {
        const tkp_backend_vtable *builtin = tkp__core_builtin_backends[i];
        if (builtin->device_type == context->device_type &&
            !has_backend(context, builtin->name) &&
            context->backend_count < TKP__MAX_BACKENDS)
            context->backends[context->backend_count++] = builtin;
    }
    if (context->backend_count == 0)
        return nothing_found(context, dir);
    tkp_sys_message_clear();
    return TKP_OK;
}
