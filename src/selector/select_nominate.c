/*
 * Prompts name tokens: each as many, those that are least like it (or most).
 * What is left of the budget comes by score. How many prompts there are is known
 * when it runs, and how many tokens were named by several only afterwards; the
 * count is the budget's all the same.
 */
#include "selector/selector.h"

enum { OP_LIKENESS, OP_NOMINATE };
enum { AT_LIKENESS, AT_RANGES }; /* side by side */

static bool in_shared_space(const tkp_selector *s)
{
    return s->spec.options.feature == TKP_FEATURE_CLIP;
}

/* Rows of text there may be. */
static int64_t most_rows(const tkp_selector *s)
{
    return in_shared_space(s) ? s->model.clip_text_rows : s->model.text_rows;
}

static tkp_status nominate_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    const tkp_op_similarity likeness = {.struct_size = sizeof(likeness)};
    const tkp_op_nominate params = {
        .struct_size = sizeof(params),
        .order = s->spec.options.prefer == TKP_PREFER_LIKE ? TKP_ORDER_HIGHEST
                                                           : TKP_ORDER_LOWEST,
    };
    TKP__TRY(tkp__selector_features(s, ledger));
    TKP__CHECK(
        most_rows(s) > 0, TKP_ERR_OPTION,
        "model: %s is 0; rows of text name tokens here",
        in_shared_space(s) ? "clip_text_rows" : "text_rows");
    TKP__TRY(tkp__selector_plan_likeness(
        s, &s->features, OP_LIKENESS, AT_LIKENESS, most_rows(s), &likeness,
        ledger));
    tkp_tensor args[8];
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_F32, most_rows(s), n);
    tkp_tensor_make_2d(&args[1], NULL, TKP_DTYPE_I32, n, 2);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[7], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(
        s, &s->ops[OP_NOMINATE], TKP_OP_NOMINATE, args, 8, &params);
}

static tkp_status nominate_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__groups *g = &s->groups;
    tkp_tensor args[8];
    TKP__CHECK(
        in->inputs, TKP_ERR_ARGUMENT,
        "selector: this kind compares tokens and needs inputs; wanted "
        "tkp_selector_run_on()");
    TKP__TRY(tkp__selector_run_likeness(
        s, &s->features, OP_LIKENESS, AT_LIKENESS, exec, in, workspace,
        &args[0], &args[1]));
    args[2] = *in->scores;
    tkp_tensor_make_1d(&args[3], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[4], (void *)in->member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[5], g->keep, TKP_DTYPE_I32, g->count);
    tkp_tensor_make_1d(&args[6], g->kept_offsets, TKP_DTYPE_I32, g->count + 1);
    args[7] = *dst;
    return tkp__selector_run_op(
        s, s->ops[OP_NOMINATE], exec, args, 8, workspace);
}

const tkp__selector_kind tkp__select_nominate = {
    .scores = true,
    .ascending = true,
    .plan = nominate_plan,
    .run = nominate_run,
};
