/*
 * Public entry points of contexts and execs.
 */

#include "tokenprune/context.h"

#include "core/core.h"
#include "tokenprune/sys/base.h"

void tkp_context_options_init(tkp_context_options *options)
{
    if (options)
        *options = (tkp_context_options)TKP_CONTEXT_OPTIONS_INIT;
}

void tkp_requirements_init(tkp_requirements *requirements)
{
    if (requirements)
        *requirements = (tkp_requirements)TKP_REQUIREMENTS_INIT;
}

tkp_status
tkp_context_create(tkp_context **out, const tkp_context_options *options)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out: is NULL");
    return tkp__core_context_create(out, options);
}

/* Destroying does not empty the message: it is what one does on the way out
 * of a failure, before the message is read. */
void tkp_context_destroy(tkp_context *context)
{
    tkp__core_context_release(context);
}

int32_t tkp_context_backend_count(const tkp_context *context)
{
    return context ? context->backend_count : 0;
}

static bool has_backend(const tkp_context *context, int32_t i)
{
    return context && i >= 0 && i < context->backend_count;
}

const char *tkp_context_backend_name(const tkp_context *context, int32_t i)
{
    return has_backend(context, i) ? context->backends[i]->name : NULL;
}

const char *tkp_context_backend_info(const tkp_context *context, int32_t i)
{
    return has_backend(context, i) ? context->backends[i]->info() : NULL;
}

int32_t tkp_context_threads(const tkp_context *context)
{
    return context ? context->threads : 0;
}

int32_t tkp_context_device_type(const tkp_context *context)
{
    return context ? context->device_type : TKP_DEVICE_CPU;
}

int32_t tkp_context_device_id(const tkp_context *context)
{
    return context ? context->device_id : 0;
}

tkp_status tkp_exec_create(tkp_exec **out, tkp_context *context, void *stream)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out: is NULL");
    TKP__CHECK(context, TKP_ERR_ARGUMENT, "context: is NULL");
    return tkp__core_exec_create(out, context, stream);
}

void tkp_exec_destroy(tkp_exec *exec)
{
    tkp__core_exec_destroy(exec);
}

tkp_status tkp_exec_set_workspace(tkp_exec *exec, void *memory, size_t bytes)
{
    tkp_sys_message_clear();
    TKP__CHECK(exec, TKP_ERR_ARGUMENT, "exec: is NULL");
    return tkp__core_exec_set_workspace(exec, memory, bytes);
}
