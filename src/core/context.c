/*
 * Contexts: options, environment, backends.
 */

#include <stdio.h>

#include "core/core.h"

enum { max_threads = 1024 };

TKP__ASSERT_NO_PADDING(tkp_context_options, log_user);
TKP__ASSERT_NO_PADDING(tkp_requirements, kernel);
TKP__ASSERT_NO_PADDING(tkp_backend_exec_info, reserved);
TKP__ASSERT_NO_PADDING(tkp_backend_vtable, memory_owns);

static void log_to_stderr(void *user, int32_t level, const char *line)
{
    (void)user;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static tkp_status check_options(const tkp_context_options *o)
{
    TKP__CHECK(
        o->flags == 0, TKP_ERR_OPTION, "flags: is %u, wanted 0", o->flags);
    TKP__CHECK(
        o->threads >= 0 && o->threads <= max_threads, TKP_ERR_OPTION,
        "threads: is %d, wanted 0 to %d", o->threads, max_threads);
    TKP__CHECK(
        o->device_type == 0 || o->device_type == TKP_DEVICE_CPU ||
            o->device_type == TKP_DEVICE_CUDA,
        TKP_ERR_OPTION, "device_type: is %d, wanted %d (CPU) or %d (CUDA)",
        o->device_type, TKP_DEVICE_CPU, TKP_DEVICE_CUDA);
    TKP__CHECK(
        o->device_id >= 0, TKP_ERR_OPTION, "device_id: is %d, wanted 0 or more",
        o->device_id);
    TKP__CHECK(
        o->device_id == 0 || o->device_type == TKP_DEVICE_CUDA, TKP_ERR_OPTION,
        "device_id: is %d, wanted 0 on the CPU", o->device_id);
    TKP__CHECK(
        o->reserved == 0, TKP_ERR_OPTION, "reserved: is %d, wanted 0",
        o->reserved);
    return TKP_OK;
}

static const char *text_or_null(const char *text)
{
    return text && text[0] ? text : NULL;
}

static void fill(
    tkp_context *context,
    const tkp_context_options *o,
    const tkp__environment *environment)
{
    atomic_init(&context->references, 1);
    context->threads = o->threads > 0 ? o->threads : 1;
    context->device_type = o->device_type ? o->device_type : TKP_DEVICE_CPU;
    context->device_id = o->device_id;
    context->verbose = environment->verbose;
    context->log = o->log ? o->log : log_to_stderr;
    context->log_user = o->log_user;
    /* Who gives a function wants to hear of plans without a variable set. */
    if (o->log && context->verbose < 1)
        context->verbose = 1;
    context->memory_backend = -1;
}

static void find_memory_backend(tkp_context *context)
{
    for (int32_t i = 0; i < context->backend_count; i++)
        if (context->backends[i]->memory_alloc) {
            context->memory_backend = i;
            return;
        }
}

static void log_backends(const tkp_context *context)
{
    for (int32_t i = 0; i < context->backend_count; i++)
        tkp__core_log(
            context, TKP_LOG_INFO, "backend,%d,%s,%s", i,
            context->backends[i]->name, context->backends[i]->info());
}

tkp_status
tkp__core_context_create(tkp_context **out, const tkp_context_options *options)
{
    tkp_context_options o = TKP_CONTEXT_OPTIONS_INIT;
    if (options)
        TKP__TRY(tkp__util_copy_options(
            &o, sizeof(o), options, options->struct_size,
            TKP__SIZE_THROUGH(tkp_context_options, log_user),
            "context options"));
    TKP__TRY(check_options(&o));
    tkp__environment environment;
    tkp__core_environment_read(&environment);

    tkp_context *context = tkp__zalloc(1, sizeof(*context));
    if (!context)
        return TKP_ERR_MEMORY;
    fill(context, &o, &environment);
    const char *names = text_or_null(o.backends);
    const char *dir = text_or_null(o.backend_dir);
    const tkp_status status = tkp__core_context_choose_backends(
        context, names ? names : environment.backends,
        dir ? dir : environment.backend_dir);
    if (status != TKP_OK) {
        tkp__free(context);
        return status;
    }
    find_memory_backend(context);
    log_backends(context);
    *out = context;
    return TKP_OK;
}

void tkp__core_context_retain(tkp_context *context)
{
    atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
}

void tkp__core_context_release(tkp_context *context)
{
    /* Release, so that what this owner did is done before another frees;
     * acquire, so that the one who frees sees it. */
    if (context && atomic_fetch_sub_explicit(
                       &context->references, 1, memory_order_acq_rel) == 1)
        tkp__free(context);
}
