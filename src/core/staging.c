/*
 * Tables of the host meet ops of a device.
 *
 * The rooms above keep index tables, lists and scores in host memory and lay out
 * temporaries in a workspace. On a device the exec has that workspace twice: the
 * caller's, on the device, and a mirror of its addresses on the host, which is
 * the one the rooms see. When an op runs, arguments become the device's:
 *
 *   in the mirror   the same place in the device's workspace
 *   host memory     a place that the op has booked behind its own workspace
 *   device memory   as it is
 *
 * Tables (whole numbers, f32 of a few rows) are copied there and, where the op
 * writes them, back: the host waits for those. Matrices of floats are never
 * copied; they live on the device only. An op of nothing but tables for which
 * the device has no kernel (quotas, windows of frames) runs where they are.
 */

#include "core/op_check.h"

enum { FEW_ROWS = TKP_BLEND_MAX_TERMS };

static bool on_device(const tkp_context *context)
{
    return context->device_type != TKP_DEVICE_CPU;
}

static bool is_table(const tkp_op *op, int32_t i)
{
    const tkp_tensor *t = &op->args[i];
    const bool column = t->ndim == 2 && t->shape[1] == 1;
    return t->dtype == TKP_DTYPE_I32 ||
           (t->dtype == TKP_DTYPE_F32 &&
            (t->ndim <= 1 || column || t->shape[0] <= FEW_ROWS));
}

void tkp__core_stage_relocate(tkp_op *op)
{
    op->staged = on_device(op->context);
    for (int32_t i = 0; op->staged && i < op->n_args; i++) {
        op->args[i].device_type = op->context->device_type;
        op->args[i].device_id = op->context->device_id;
    }
}

bool tkp__core_stage_all_tables(const tkp_op *op)
{
    for (int32_t i = 0; i < op->n_args; i++)
        if (tkp__present(&op->args[i]) && !is_table(op, i))
            return false;
    return op->staged;
}

void tkp__core_stage_on_host(tkp_op *op)
{
    op->staged = false;
    for (int32_t i = 0; i < op->n_args; i++) {
        op->args[i].device_type = TKP_DEVICE_CPU;
        op->args[i].device_id = 0;
    }
}

tkp_status tkp__core_stage_plan(tkp_op *op)
{
    if (!op->staged)
        return TKP_OK;
    tkp_ledger ledger = TKP__LEDGER_INIT;
    ledger.bytes = op->workspace_bytes;
    for (int32_t i = 0; i < op->n_args; i++) {
        if (!tkp__present(&op->args[i]) || !is_table(op, i))
            continue;
        const int64_t count = tkp_tensor_count(&op->args[i]);
        TKP__TRY(tkp__ledger_book(
            &ledger, (uint64_t)count * tkp_dtype_bytes(op->args[i].dtype),
            &op->stage_at[i]));
    }
    op->workspace_bytes = ledger.bytes;
    return TKP_OK;
}

/* Offset of p in the mirror; false if it is elsewhere. */
static bool in_mirror(const tkp_exec *exec, const void *p, uint64_t *offset)
{
    const uintptr_t begin = (uintptr_t)exec->mirror, at = (uintptr_t)p;
    if (!exec->mirror || at < begin || at - begin >= exec->workspace_bytes)
        return false;
    *offset = at - begin;
    return true;
}

void *tkp__core_stage_workspace(const tkp_exec *exec, void *workspace)
{
    uint64_t offset;
    return in_mirror(exec, workspace, &offset)
               ? (char *)exec->workspace + offset
               : workspace;
}

static tkp_status stage_arg(
    const tkp_op *op,
    tkp_exec *exec,
    int32_t i,
    tkp_tensor *t,
    char *workspace)
{
    const tkp_context *context = op->context;
    const tkp_backend_vtable *memory =
        context->backends[context->memory_backend];
    const void *host = tkp__data(t);
    uint64_t offset;
    t->device_type = context->device_type;
    t->device_id = context->device_id;
    t->byte_offset = 0;
    t->data = (void *)host;
    const bool mirrored = in_mirror(exec, host, &offset);
    if (!host ||
        (!mirrored && memory->memory_owns && memory->memory_owns(host)))
        return TKP_OK;
    TKP__CHECK(
        mirrored || is_table(op, i), TKP_ERR_ARGUMENT,
        "%s: %s: lies on the host, wanted device %d", op->name,
        op->rule->args[i].name, context->device_id);
    t->data = mirrored ? (char *)exec->workspace + offset
                       : workspace + op->stage_at[i];
    if (!is_table(op, i))
        return TKP_OK;
    TKP__CHECK(
        tkp_tensor_is_contiguous(t), TKP_ERR_SHAPE,
        "%s: %s: a table of the host with gaps", op->name,
        op->rule->args[i].name);
    return tkp__core_memory_upload(
        exec, t->data, host,
        (uint64_t)tkp_tensor_count(t) * tkp_dtype_bytes(t->dtype));
}

tkp_status tkp__core_stage_in(
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    tkp_tensor *staged,
    void *workspace)
{
    for (int32_t i = 0; i < op->n_args; i++) {
        staged[i] = args[i];
        /* Sizes are held against the plan later; a table has to fit now. */
        if (!tkp__present(&args[i]) || !tkp__present(&op->args[i]) ||
            args[i].device_type != TKP_DEVICE_CPU)
            continue;
        TKP__CHECK(
            tkp_tensor_count(&args[i]) <= tkp_tensor_count(&op->args[i]),
            TKP_ERR_SHAPE, "%s: %s: larger than the plan", op->name,
            op->rule->args[i].name);
        TKP__TRY(stage_arg(op, exec, i, &staged[i], workspace));
    }
    return TKP_OK;
}

tkp_status tkp__core_stage_out(
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    const tkp_tensor *staged)
{
    for (int32_t i = 0; i < op->n_args; i++) {
        const tkp_tensor *t = &args[i];
        if (!tkp__present(t) || !(op->rule->args[i].flags & TKP__ARG_OUT) ||
            t->device_type != TKP_DEVICE_CPU || !is_table(op, i) ||
            staged[i].data == tkp__data(t))
            continue;
        TKP__TRY(tkp__core_memory_download(
            exec, tkp__data(t), staged[i].data,
            (uint64_t)tkp_tensor_count(t) * tkp_dtype_bytes(t->dtype)));
    }
    return TKP_OK;
}
