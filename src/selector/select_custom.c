/* A selector of the caller's own. */
#include "core/names.h"
#include "selector/selector.h"

static tkp_status custom_plan(tkp_selector *s, tkp_ledger *ledger)
{
    (void)ledger;
    TKP__TRY(tkp__names_get(
        &tkp__selector_names, s->spec.custom, &s->custom, sizeof(s->custom),
        &s->custom_user));
    s->has_custom = true;
    return TKP_OK;
}

static tkp_status custom_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_batch_view view;
    (void)workspace;
    tkp__batch_view(s->batch, &view);
    TKP__TRY(s->custom.run(
        s->custom_user, &view, in->scores, s->kept_offsets, exec, dst));
    const int32_t *chosen = tkp__data(dst);
    for (int32_t b = 0; b < s->batch->sequences; b++)
        for (int32_t k = s->kept_offsets[b]; k < s->kept_offsets[b + 1]; k++)
            TKP__CHECK(
                chosen[k] >= s->batch->candidate_offsets[b] &&
                    chosen[k] < s->batch->candidate_offsets[b + 1],
                TKP_ERR_ARGUMENT,
                "selector '%s': chose candidate %d for sequence %d, wanted %d "
                "to %d",
                s->spec.custom, chosen[k], b, s->batch->candidate_offsets[b],
                s->batch->candidate_offsets[b + 1] - 1);
    return TKP_OK;
}

/* A custom selector has to choose the protected ones too. Both lists ascend. */
tkp_status
tkp__selector_check_protected(const tkp_selector *s, const tkp_tensor *selected)
{
    const int32_t *chosen = tkp__data(selected);
    int32_t k = 0;
    for (int32_t i = 0; i < s->protected_count; i++) {
        while (k < s->kept && chosen[k] < s->protected_list[i])
            k++;
        TKP__CHECK(
            k < s->kept && chosen[k] == s->protected_list[i], TKP_ERR_ARGUMENT,
            "selector '%s': left out candidate %d, which is always kept",
            s->spec.custom, s->protected_list[i]);
    }
    return TKP_OK;
}

const tkp__selector_kind tkp__select_custom = {
    .plan = custom_plan,
    .run = custom_run,
};
