/*
 * The peaks of density: tokens with many like them around, far from where it
 * is denser still (SparseVLM's cluster centres).
 */
#include "selector/selector.h"

enum { OP_PEAKS };
enum { AT_DENSITY, AT_SCORES };

static tkp_status density_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    const tkp_op_density_peaks params = {
        .struct_size = sizeof(params),
        .others = s->spec.options.others,
    };
    tkp_tensor args[7];
    s->state = tkp__alloc((size_t)n, sizeof(int32_t)); /* neighbours [M] */
    if (!s->state)
        return TKP_ERR_MEMORY;
    TKP__TRY(tkp__selector_features(s, ledger));
    const tkp__features *f = &s->features;
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__selector_op(
        s, &s->ops[OP_PEAKS], TKP_OP_DENSITY_PEAKS, args, 7, &params));
    for (int32_t i = AT_DENSITY; i <= AT_SCORES; i++)
        TKP__TRY(
            tkp__ledger_book(ledger, (uint64_t)n * sizeof(float), &s->at[i]));
    s->by_score = true;
    return tkp__selector_plan_topk(s);
}

/* As many neighbours as the group has centres, if not said otherwise. */
static tkp_status density_bind(tkp_selector *s)
{
    const int32_t given = s->spec.options.neighbours;
    int32_t *neighbours = s->state;
    for (int32_t g = 0; g < s->groups.count; g++) {
        const int32_t n = s->groups.offsets[g + 1] - s->groups.offsets[g];
        const int32_t wanted = given ? given : s->groups.keep[g];
        neighbours[g] = wanted > n ? n : wanted > 0 ? wanted : 1;
    }
    return TKP_OK;
}

static tkp_status density_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__groups *g = &s->groups;
    const int64_t n = s->batch->candidates;
    tkp_tensor args[7];
    TKP__CHECK(
        in->inputs, TKP_ERR_ARGUMENT,
        "selector: this kind compares tokens and needs inputs; wanted "
        "tkp_selector_run_on()");
    TKP__TRY(tkp__features_run(
        &s->features, exec, in->inputs, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(&args[2], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[3], (void *)in->member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[4], s->state, TKP_DTYPE_I32, g->count);
    tkp_tensor_make_1d(
        &args[5], tkp__ledger_at(workspace, s->at[AT_DENSITY]), TKP_DTYPE_F32,
        n);
    tkp_tensor_make_1d(
        &args[6], tkp__ledger_at(workspace, s->at[AT_SCORES]), TKP_DTYPE_F32,
        n);
    TKP__TRY(
        tkp__selector_run_op(s, s->ops[OP_PEAKS], exec, args, 7, workspace));
    return tkp__selector_run_topk(
        s, exec, &args[6], in->member, workspace, dst);
}

static void density_release(tkp_selector *s)
{
    tkp__free(s->state);
}

const tkp__selector_kind tkp__select_density = {
    .plan = density_plan,
    .bind = density_bind,
    .run = density_run,
    .release = density_release,
};
