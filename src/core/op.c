/*
 * Plans: described once, run many times.
 */

#include <stdio.h>
#include <time.h>

#include "core/op_check.h"
#include "tokenprune/sys/base.h"

enum { shape_bytes = 128, reasons_bytes = 768 };

TKP__ASSERT_NO_PADDING(tkp_op_desc, reserved2);

/* --- description ----------------------------------------------------------- */

static tkp_status check_desc(const tkp_op_desc *desc, const tkp__op_rule *rule)
{
    TKP__CHECK(
        desc->reserved == 0 && desc->reserved2 == 0, TKP_ERR_OPTION,
        "op description: reserved is %d and %d, wanted 0", desc->reserved,
        desc->reserved2);
    TKP__CHECK(
        (desc->flags & ~(uint32_t)TKP_OP_HOST_TABLES) == 0, TKP_ERR_OPTION,
        "op description: flags are 0x%x, wanted 0 or %d", desc->flags,
        TKP_OP_HOST_TABLES);
    TKP__CHECK(
        rule || desc->kind >= TKP_OP_USER_FIRST, TKP_ERR_ARGUMENT,
        "op description: kind is %d, which is none", desc->kind);
    if (rule)
        TKP__CHECK(
            desc->n_args == rule->n_args, TKP_ERR_ARGUMENT,
            "%s: n_args is %d, wanted %d", rule->name, desc->n_args,
            rule->n_args);
    TKP__CHECK(
        desc->n_args >= 0 && desc->n_args <= TKP_OP_MAX_ARGS, TKP_ERR_ARGUMENT,
        "user op: n_args is %d, wanted 0 to %d", desc->n_args, TKP_OP_MAX_ARGS);
    TKP__CHECK(
        desc->args || desc->n_args == 0, TKP_ERR_ARGUMENT,
        "op description: args is NULL");
    return TKP_OK;
}

/* Take the description over into `op` and hold it against the kind's rules.
 * The backends get to see our copies, params complete. The params of a user's
 * kind go through as they are. */
static tkp_status take_desc(tkp_op *op, const tkp_op_desc *desc)
{
    tkp_op_desc *own = &op->desc;
    TKP__TRY(tkp__util_copy_options(
        own, sizeof(*own), desc, desc->struct_size,
        TKP__SIZE_THROUGH(tkp_op_desc, reserved2), "op description"));
    own->struct_size = (uint32_t)sizeof(*own);
    op->rule = tkp__core_op_rule(own->kind);
    TKP__TRY(check_desc(own, op->rule));
    op->kind = own->kind;
    if (!op->rule)
        snprintf(op->user_name, sizeof(op->user_name), "op%d", own->kind);
    op->name = op->rule ? op->rule->name : op->user_name;
    op->n_args = own->n_args;
    for (int32_t i = 0; i < own->n_args; i++)
        op->args[i] = own->args[i];
    own->args = op->args;
    if (own->flags & TKP_OP_HOST_TABLES)
        tkp__core_stage_relocate(op);
    if (op->rule) {
        TKP__TRY(tkp__core_op_check_params(op->rule, op->params, own->params));
        own->params = op->rule->params_name ? op->params : NULL;
    }
    TKP__TRY(tkp__core_op_check_views(
        op->context->device_type, op->context->device_id, op->name, op->rule,
        op->args, op->n_args, true));
    if (!op->rule)
        return TKP_OK;
    tkp__check_call call = {
        .rule = op->rule,
        .params = op->params,
        .args = op->args,
        .descriptor = true,
    };
    return tkp__core_op_check_args(&call);
}

/* --- choice of a backend --------------------------------------------------- */

static tkp_status plan_with(
    tkp_op *op,
    const tkp_backend_vtable *vtable,
    int32_t backend,
    const tkp_op_desc *desc)
{
    tkp_sys_message_clear();
    if (vtable->supports(desc) != TKP_OK)
        return TKP_ERR_UNSUPPORTED;
    tkp_ledger ledger = TKP__LEDGER_INIT;
    void *plan = NULL;
    const char *kernel = NULL;
    TKP__TRY(vtable->plan(&plan, &kernel, &ledger, desc, op->context->threads));
    op->vtable = vtable;
    op->backend = backend;
    op->plan = plan;
    op->kernel = kernel ? kernel : vtable->name;
    op->workspace_bytes = ledger.bytes;
    return TKP_OK;
}

static void add_reason(char *reasons, const char *backend)
{
    const size_t used = strlen(reasons);
    const char *why = tkp_last_message();
    snprintf(
        reasons + used, reasons_bytes - used, "%s%s: %s", used ? "; " : "",
        backend, why[0] ? why : "not supported");
}

/* The first that says yes. "Not supported" is answered by the next backend;
 * anything else (out of memory, a device that failed) is an answer. */
static tkp_status choose_backend(tkp_op *op, const tkp_op_desc *desc)
{
    char reasons[reasons_bytes] = "";
    for (int32_t i = 0; i < op->context->backend_count; i++) {
        const char *name = op->context->backends[i]->name;
        const tkp_status status =
            plan_with(op, op->context->backends[i], i, desc);
        if (status == TKP_OK) {
            tkp_sys_message_clear();
            return TKP_OK;
        }
        if (status != TKP_ERR_UNSUPPORTED)
            return tkp__fail_prefix(status, "%s: %s", op->name, name);
        add_reason(reasons, name);
    }
    if (tkp__core_stage_all_tables(op)) {
        op->on_host = true;
        tkp__core_stage_on_host(op);
        return plan_with(op, tkp__core_builtin_backends[0], 0, desc);
    }
    return tkp__fail(
        TKP_ERR_UNSUPPORTED, "%s: no backend has it: %s", op->name, reasons);
}

/* --- log ------------------------------------------------------------------- */

static const char *main_dtype(const tkp_op *op)
{
    for (int32_t i = 0; i < op->n_args; i++)
        if (tkp__is_float(op->args[i].dtype))
            return tkp_dtype_string(op->args[i].dtype);
    return op->n_args > 0 ? tkp_dtype_string(op->args[0].dtype) : "-";
}

static void log_plan(const tkp_op *op)
{
    if (op->context->verbose < 1)
        return;
    char shape[shape_bytes];
    tkp__core_log(
        op->context, TKP_LOG_INFO, "plan,%s,%s:%s,%s,%s,%llu bytes", op->name,
        op->vtable->name, op->kernel, main_dtype(op),
        tkp__core_op_shape_string(
            shape, sizeof(shape), op->rule, op->args, op->n_args),
        (unsigned long long)op->workspace_bytes);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void log_run(const tkp_op *op, const tkp_tensor *args, double ms)
{
    char shape[shape_bytes];
    tkp__core_log(
        op->context, TKP_LOG_TRACE, "run,%s,%s:%s,%s,%s,%.3fms", op->name,
        op->vtable->name, op->kernel, main_dtype(op),
        tkp__core_op_shape_string(
            shape, sizeof(shape), op->rule, args, op->n_args),
        ms);
}

/* --- life ------------------------------------------------------------------ */

tkp_status
tkp__core_op_create(tkp_op **out, tkp_context *context, const tkp_op_desc *desc)
{
    tkp_op *op = tkp__zalloc(1, sizeof(*op));
    if (!op)
        return TKP_ERR_MEMORY;
    op->context = context;
    tkp_status status = take_desc(op, desc);
    if (status == TKP_OK)
        status = choose_backend(op, &op->desc);
    if (status == TKP_OK) {
        status = tkp__core_stage_plan(op);
        if (status != TKP_OK)
            op->vtable->plan_destroy(op->plan);
    }
    if (status != TKP_OK) {
        tkp__free(op);
        return status;
    }
    if (!op->rule)
        op->desc.params = NULL; /* the caller's, and he has it back now */
    tkp__core_context_retain(context);
    log_plan(op);
    *out = op;
    return TKP_OK;
}

tkp_status tkp__core_op_make(
    tkp_op **out,
    tkp_context *context,
    int32_t kind,
    const tkp_tensor *args,
    int32_t n_args,
    const void *params,
    uint64_t *most)
{
    const tkp_op_desc desc = {
        .struct_size = sizeof(desc),
        .kind = kind,
        .args = args,
        .params = params,
        .n_args = n_args,
        .flags = TKP_OP_HOST_TABLES,
    };
    TKP__TRY(tkp__core_op_create(out, context, &desc));
    if (most && (*out)->workspace_bytes > *most)
        *most = (*out)->workspace_bytes;
    return TKP_OK;
}

void tkp__core_op_destroy(tkp_op *op)
{
    if (!op)
        return;
    op->vtable->plan_destroy(op->plan);
    tkp__core_context_release(op->context);
    tkp__free(op);
}

static tkp_status check_run(
    const tkp_op *op,
    const tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args)
{
    TKP__CHECK(
        exec->context == op->context, TKP_ERR_ARGUMENT,
        "%s: exec: belongs to another context than the plan", op->name);
    TKP__CHECK(
        n_args == op->n_args, TKP_ERR_ARGUMENT, "%s: n_args is %d, wanted %d",
        op->name, n_args, op->n_args);
    TKP__TRY(tkp__core_op_check_views(
        op->on_host ? TKP_DEVICE_CPU : op->context->device_type,
        op->on_host ? 0 : op->context->device_id, op->name, op->rule, args,
        n_args, false));
    TKP__TRY(tkp__core_op_check_plan(op, args));
    if (!op->rule)
        return TKP_OK;
    tkp__check_call call = {
        .rule = op->rule,
        .params = op->params,
        .args = args,
    };
    return tkp__core_op_check_args(&call);
}

static tkp_status run_checked(
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace)
{
    TKP__TRY(check_run(op, exec, args, n_args));
    const bool trace = op->context->verbose >= 2;
    const double start = trace ? now_ms() : 0.0;
    const tkp_status status = op->vtable->run(
        op->plan, op->on_host ? NULL : exec->states[op->backend], args, n_args,
        workspace);
    if (status != TKP_OK)
        return tkp__fail_prefix(status, "%s: %s", op->vtable->name, op->name);
    if (trace)
        log_run(op, args, now_ms() - start);
    return TKP_OK;
}

tkp_status tkp__core_op_run(
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace,
    uint64_t workspace_bytes)
{
    TKP__CHECK(
        workspace_bytes >= op->workspace_bytes, TKP_ERR_WORKSPACE,
        "%s: workspace: %llu bytes, wanted %llu", op->name,
        (unsigned long long)workspace_bytes,
        (unsigned long long)op->workspace_bytes);
    TKP__CHECK(
        (uintptr_t)workspace % TKP__WORKSPACE_ALIGNMENT == 0 &&
            (workspace || op->workspace_bytes == 0),
        TKP_ERR_WORKSPACE, "%s: workspace: %p is not aligned to %d bytes",
        op->name, workspace, TKP__WORKSPACE_ALIGNMENT);
    if (!op->on_host)
        workspace = tkp__core_stage_workspace(exec, workspace);
    if (!op->staged)
        return run_checked(op, exec, args, n_args, workspace);
    TKP__CHECK(
        n_args == op->n_args, TKP_ERR_ARGUMENT, "%s: n_args is %d, wanted %d",
        op->name, n_args, op->n_args);
    tkp_tensor staged[TKP_OP_MAX_ARGS];
    TKP__TRY(tkp__core_stage_in(op, exec, args, staged, workspace));
    TKP__TRY(run_checked(op, exec, staged, n_args, workspace));
    return tkp__core_stage_out(op, exec, args, staged);
}
