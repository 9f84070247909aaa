/* A uniform subset of each group. */
#include "selector/selector.h"

static tkp_status random_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    (void)ledger;
    const tkp_op_sample params = {
        .struct_size = sizeof(params),
        .salt = s->salt,
        .seed = s->spec.options.seed,
    };
    tkp_tensor args[6];
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_2d(&args[4], NULL, TKP_DTYPE_I32, n, 2);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(s, &s->sample, TKP_OP_SAMPLE, args, 6, &params);
}

static tkp_status random_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__groups *g = &s->groups;
    tkp_tensor args[6];
    tkp_tensor_make_1d(&args[0], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[1], (void *)in->member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[2], g->keep, TKP_DTYPE_I32, g->count);
    tkp_tensor_make_1d(&args[3], g->kept_offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_2d(&args[4], g->stream, TKP_DTYPE_I32, g->count, 2);
    args[5] = *dst;
    return tkp__selector_run_op(s, s->sample, exec, args, 6, workspace);
}

const tkp__selector_kind tkp__select_random = {
    .ascending = true,
    .plan = random_plan,
    .run = random_run,
};
