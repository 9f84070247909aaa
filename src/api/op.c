/*
 * Public entry points of the op table.
 */

#include "tokenprune/sys/op.h"

#include "core/op_check.h"
#include "tokenprune/sys/base.h"

const char *tkp_op_kind_string(int32_t kind)
{
    const tkp__op_rule *rule = tkp__core_op_rule(kind);
    return rule ? rule->name : NULL;
}

void tkp_op_desc_init(tkp_op_desc *desc)
{
    if (desc)
        *desc = (tkp_op_desc)TKP_OP_DESC_INIT;
}

tkp_status
tkp_op_create(tkp_op **out, tkp_context *context, const tkp_op_desc *desc)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out: is NULL");
    TKP__CHECK(context, TKP_ERR_ARGUMENT, "context: is NULL");
    TKP__CHECK(desc, TKP_ERR_ARGUMENT, "desc: is NULL");
    return tkp__core_op_create(out, context, desc);
}

tkp_status tkp_op_query(const tkp_op *op, tkp_requirements *requirements)
{
    tkp_sys_message_clear();
    TKP__CHECK(op, TKP_ERR_ARGUMENT, "op: is NULL");
    TKP__CHECK(requirements, TKP_ERR_ARGUMENT, "requirements: is NULL");
    tkp_requirements mine = TKP_REQUIREMENTS_INIT;
    mine.workspace_bytes = tkp__core_op_workspace(op);
    mine.backend = op->vtable->name;
    mine.kernel = op->kernel;
    return tkp__core_fill_requirements(requirements, &mine);
}

tkp_status tkp_op_run(
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args)
{
    tkp_sys_message_clear();
    TKP__CHECK(op, TKP_ERR_ARGUMENT, "op: is NULL");
    TKP__CHECK(exec, TKP_ERR_ARGUMENT, "exec: is NULL");
    TKP__CHECK(args || n_args == 0, TKP_ERR_ARGUMENT, "args: is NULL");
    return tkp__core_op_run(
        op, exec, args, n_args, tkp__core_exec_workspace(exec),
        tkp__core_exec_workspace_bytes(exec));
}

void tkp_op_destroy(tkp_op *op)
{
    tkp__core_op_destroy(op);
}
