/* Scores by a function of the user's. */
#include "core/names.h"
#include "scorer/scorer.h"

static tkp_status custom_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    (void)batch;
    return tkp__names_get(
        &tkp__scorer_names, leaf->options.custom, &leaf->custom,
        sizeof(leaf->custom), &leaf->custom_user);
}

static void custom_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    (void)leaf;
    (void)batch;
}

static tkp_status custom_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    (void)workspace;
    tkp_batch_view view;
    tkp__batch_view(leaf->batch, &view);
    return leaf->custom.run(leaf->custom_user, &view, in, exec, dst);
}

const tkp__leaf_kind tkp__leaf_custom = {
    .plan = custom_plan,
    .bind = custom_bind,
    .run = custom_run,
};
