/* What all leaf scorers do alike. */
#include "scorer/scorer.h"

tkp_status tkp__leaf_op(
    tkp__leaf *leaf,
    int32_t slot,
    int32_t kind,
    const tkp_tensor *args,
    int32_t n_args,
    const void *params)
{
    return tkp__core_op_make(
        &leaf->ops[slot], leaf->context, kind, args, n_args, params,
        &leaf->ops_bytes);
}

tkp_status tkp__leaf_run_op(
    const tkp__leaf *leaf,
    int32_t slot,
    tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace)
{
    return tkp__core_op_run(
        leaf->ops[slot], exec, args, n_args,
        tkp__ledger_at(workspace, leaf->ops_at), leaf->ops_bytes);
}
