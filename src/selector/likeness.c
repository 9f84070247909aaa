/* Rows of text against the members of groups, for kinds that ask about them. */
#include "selector/selector.h"

tkp_status tkp__selector_plan_likeness(
    tkp_selector *s,
    const tkp__features *f,
    int32_t op,
    int32_t at,
    int64_t rows,
    const tkp_op_similarity *params,
    tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    tkp_tensor args[7];
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[4], NULL, f->dtype, rows, f->width);
    tkp_tensor_make_2d(&args[5], NULL, TKP_DTYPE_I32, n, 2);
    tkp_tensor_make_2d(&args[6], NULL, TKP_DTYPE_F32, rows, n);
    TKP__TRY(tkp__ledger_book(
        ledger, (uint64_t)(rows * n) * sizeof(float), &s->at[at]));
    /* By sequence, then by group. */
    TKP__TRY(tkp__ledger_book(
        ledger, 2 * (uint64_t)(n + s->batch->sequences) * sizeof(int32_t),
        &s->at[at + 1]));
    return tkp__selector_op(s, &s->ops[op], TKP_OP_SIMILARITY, args, 7, params);
}

/* Which rows of text belong to a group: those of its sequence. */
static int32_t *fill_ranges(
    const tkp_selector *s,
    const tkp_tensor *text,
    const int32_t *offsets,
    int32_t *by_sequence)
{
    int32_t *by_group = by_sequence + 2 * s->batch->sequences;
    tkp__features_text_ranges(by_sequence, text, offsets, s->batch->sequences);
    for (int32_t b = 0; b < s->batch->sequences; b++)
        for (int32_t g = s->groups.first[b]; g < s->groups.first[b + 1]; g++)
            memcpy(by_group + 2 * g, by_sequence + 2 * b, 2 * sizeof(int32_t));
    return by_group;
}

tkp_status tkp__selector_run_likeness(
    const tkp_selector *s,
    const tkp__features *f,
    int32_t op,
    int32_t at,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    tkp_tensor *likeness,
    tkp_tensor *ranges)
{
    const bool shared = f->source == TKP_FEATURE_CLIP;
    const tkp_inputs *inputs = in->inputs;
    const tkp_tensor *text = shared ? inputs->clip_text : inputs->text;
    const int32_t *offsets =
        shared ? inputs->clip_text_offsets : inputs->text_offsets;
    const tkp__groups *g = &s->groups;
    tkp_tensor args[7];
    TKP__TRY(tkp__features_check_text(
        f, text, offsets, shared ? s->model.clip_text_rows : s->model.text_rows,
        shared ? "clip_text" : "text"));
    TKP__TRY(tkp__features_run(f, exec, inputs, workspace, &args[0], &args[1]));
    tkp_tensor_make_2d(
        ranges,
        fill_ranges(s, text, offsets, tkp__ledger_at(workspace, s->at[at + 1])),
        TKP_DTYPE_I32, g->count, 2);
    tkp_tensor_make_2d(
        likeness, tkp__ledger_at(workspace, s->at[at]), TKP_DTYPE_F32,
        text->shape[0], s->batch->candidates);
    tkp_tensor_make_1d(&args[2], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[3], (void *)in->member, TKP_DTYPE_I32, g->members);
    args[4] = *text;
    args[5] = *ranges;
    args[6] = *likeness;
    return tkp__selector_run_op(s, s->ops[op], exec, args, 7, workspace);
}
