/* A merger of the caller's own. */
#include "core/names.h"
#include "merger/merger.h"

static tkp_status custom_plan(tkp_merger *m, tkp_ledger *ledger)
{
    (void)ledger;
    TKP__TRY(tkp__names_get(
        &tkp__merger_names, m->spec.custom, &m->custom, sizeof(m->custom),
        &m->custom_user));
    m->has_custom = true;
    return TKP_OK;
}

static tkp_status custom_run(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const int64_t k = out->kept->shape[0];
    const int64_t n = m->selector->batch->candidates;
    tkp_batch_view view;
    tkp_tensor sizes;
    tkp_tensor assignment;
    (void)workspace;
    tkp__batch_view(m->selector->batch, &view);
    tkp_tensor_make_1d(&sizes, out->sizes, TKP_DTYPE_F32, k);
    tkp_tensor_make_1d(&assignment, out->assignment, TKP_DTYPE_I32, n);
    return m->custom.run(
        m->custom_user, &view, in, out->kept, exec, out->rows, &sizes,
        &assignment);
}

const tkp__merger_kind tkp__merge_custom = {
    .plan = custom_plan,
    .run = custom_run,
};
