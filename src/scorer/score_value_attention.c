/*
 * How like a token's values are to those of the question's words, and to those of
 * the tokens that are most like them (IVC-Prune).
 */
#include "scorer/scorer.h"

enum { OP_MAIN };

typedef struct tables {
    int32_t *text;      /* [T] rows */
    int32_t *text_ends; /* [B + 1] */
    int32_t *seeds;     /* [B] */
} tables;

static tkp_status value_attention_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const tkp_layout *layout = batch->layout;
    const tkp_model_desc *m = &leaf->model;
    const int64_t n = layout->visual, b = layout->n_sequences;
    const tkp_op_value_attention params = {.struct_size = sizeof(params)};
    int64_t text = 0;
    tkp_tensor args[7];
    TKP__CHECK(
        m->kv_heads > 0 && m->head_dim > 0, TKP_ERR_OPTION,
        "model: kv_heads %d of %d channels; values have that shape",
        m->kv_heads, m->head_dim);
    for (int64_t i = 0; i < b; i++)
        text += layout->sequences[i].text_end - layout->sequences[i].text_begin;
    tables *t = tkp__zalloc(1, sizeof(*t));
    if (!t)
        return TKP_ERR_MEMORY;
    leaf->state = t;
    leaf->memory = tkp__alloc((size_t)(text + 2 * b + 1), sizeof(int32_t));
    if (!leaf->memory)
        return TKP_ERR_MEMORY;
    t->text = leaf->memory;
    t->text_ends = t->text + text;
    t->seeds = t->text_ends + b + 1;
    tkp_tensor_make_3d(
        &args[0], NULL, m->dtype, layout->rows, m->kv_heads, m->head_dim);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, text);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, b + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, b + 1);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, b);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    return tkp__leaf_op(
        leaf, OP_MAIN, TKP_OP_VALUE_ATTENTION, args, 7, &params);
}

/* A share of the candidates, at least one of them. */
static int32_t count_seeds(const tkp_scorer_options *o, int32_t n)
{
    const int32_t seeds = (int32_t)((__int128)n * o->seeds_num / o->seeds_den);
    return o->seeds_num > 0 && seeds < 1 && n > 0 ? 1 : seeds;
}

static void value_attention_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    tables *t = leaf->state;
    t->text_ends[0] = 0;
    for (int32_t b = 0; b < batch->sequences; b++) {
        t->text_ends[b + 1] =
            t->text_ends[b] +
            tkp__batch_text_rows(batch, b, t->text + t->text_ends[b]);
        t->seeds[b] = count_seeds(
            &leaf->options,
            batch->candidate_offsets[b + 1] - batch->candidate_offsets[b]);
    }
}

static tkp_status value_attention_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__batch *batch = leaf->batch;
    const tables *t = leaf->state;
    const int32_t b = batch->sequences;
    tkp_tensor args[7] = {[6] = *dst};
    TKP__TRY(tkp__leaf_check_heads(
        leaf, in->values, leaf->model.kv_heads, "inputs: values"));
    args[0] = *in->values;
    tkp_tensor_make_1d(&args[1], t->text, TKP_DTYPE_I32, t->text_ends[b]);
    tkp_tensor_make_1d(&args[2], t->text_ends, TKP_DTYPE_I32, b + 1);
    tkp_tensor_make_1d(
        &args[3], batch->candidate_rows, TKP_DTYPE_I32, batch->candidates);
    tkp_tensor_make_1d(
        &args[4], batch->candidate_offsets, TKP_DTYPE_I32, b + 1);
    tkp_tensor_make_1d(&args[5], t->seeds, TKP_DTYPE_I32, b);
    return tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 7, workspace);
}

static void value_attention_release(tkp__leaf *leaf)
{
    tkp__free(leaf->state);
}

const tkp__leaf_kind tkp__leaf_value_attention = {
    .plan = value_attention_plan,
    .bind = value_attention_bind,
    .run = value_attention_run,
    .release = value_attention_release,
};
