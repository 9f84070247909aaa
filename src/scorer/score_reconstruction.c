/*
 * What a few farthest points cannot say of a token: its error in a ridge least
 * squares fit (ApET).
 */
#include "features/basis.h"
#include "scorer/scorer.h"
#include "tokenprune/budget.h"
#include "util/carve.h"

enum { OP_MAIN };
enum { AT_LIST };

typedef struct reconstruction {
    tkp__basis basis;
    int32_t groups;
    int32_t *ends;      /* [N + 1] candidates of each group */
    int32_t *keep;      /* [N] */
    int32_t *list_ends; /* [N + 1] */
} reconstruction;

static void carve(reconstruction *r, tkp__carver *c, int64_t n)
{
    r->ends = tkp__carve(c, n + 1, sizeof(int32_t));
    r->keep = tkp__carve(c, n, sizeof(int32_t));
    r->list_ends = tkp__carve(c, n + 1, sizeof(int32_t));
}

static int64_t most_groups(const tkp__leaf *leaf)
{
    const tkp_layout *layout = leaf->batch->layout;
    const int64_t units = tkp__layout_units(layout, leaf->options.scope);
    return units > layout->n_sequences ? units : layout->n_sequences;
}

static tkp_status make_state(tkp__leaf *leaf)
{
    const int64_t n = most_groups(leaf);
    reconstruction *r = tkp__zalloc(1, sizeof(*r));
    tkp__carver c = {NULL, 0};
    if (!r)
        return TKP_ERR_MEMORY;
    leaf->state = r;
    carve(r, &c, n);
    c = (tkp__carver){tkp__alloc(1, c.bytes), 0};
    if (!c.base)
        return TKP_ERR_MEMORY;
    leaf->memory = c.base;
    carve(r, &c, n);
    return TKP_OK;
}

static tkp_status reconstruction_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const int64_t n = batch->layout->visual;
    const tkp_scorer_options *o = &leaf->options;
    const tkp_op_reconstruction params = {
        .struct_size = sizeof(params),
        .ridge = o->ridge,
        .largest = o->basis,
    };
    tkp_tensor args[7] = {0};
    TKP__TRY(make_state(leaf));
    reconstruction *r = leaf->state;
    TKP__TRY(tkp__features_plan(
        &leaf->features, leaf->context, batch, &leaf->model, o->feature,
        o->norm_eps, 0, &leaf->ledger));
    const tkp__features *f = &leaf->features;
    TKP__TRY(tkp__basis_plan(&r->basis, f, o->seed, &leaf->ops_bytes));
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger, (uint64_t)n * sizeof(int32_t), &leaf->at[AT_LIST]));
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    return tkp__leaf_op(leaf, OP_MAIN, TKP_OP_RECONSTRUCTION, args, 7, &params);
}

static void reconstruction_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    reconstruction *r = leaf->state;
    r->groups = tkp__batch_spans(batch, leaf->options.scope, r->ends);
    r->list_ends[0] = 0;
    for (int32_t g = 0; g < r->groups; g++) {
        const int32_t n = r->ends[g + 1] - r->ends[g];
        r->keep[g] = n < leaf->options.basis ? n : leaf->options.basis;
        r->list_ends[g + 1] = r->list_ends[g] + r->keep[g];
    }
    tkp__basis_bind(&r->basis, batch, r->ends, r->groups);
    tkp__features_bind(&leaf->features, NULL, 0);
}

static tkp_status reconstruction_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const reconstruction *r = leaf->state;
    int32_t *list = tkp__ledger_at(workspace, leaf->at[AT_LIST]);
    tkp_tensor args[7] = {[6] = *dst};
    TKP__TRY(tkp__features_run(
        &leaf->features, exec, in, workspace, &args[0], &args[1]));
    TKP__TRY(tkp__basis_run(
        &r->basis, exec, &args[0], &args[1], r->ends, r->groups, r->keep,
        r->list_ends, list, tkp__ledger_at(workspace, leaf->ops_at),
        leaf->ops_bytes));
    tkp_tensor_make_1d(&args[2], r->ends, TKP_DTYPE_I32, r->groups + 1);
    tkp_tensor_make_1d(&args[4], list, TKP_DTYPE_I32, r->list_ends[r->groups]);
    tkp_tensor_make_1d(&args[5], r->list_ends, TKP_DTYPE_I32, r->groups + 1);
    return tkp__leaf_run_op(leaf, OP_MAIN, exec, args, 7, workspace);
}

static void reconstruction_release(tkp__leaf *leaf)
{
    reconstruction *r = leaf->state;
    if (r)
        tkp__basis_release(&r->basis);
    tkp__free(r);
}

const tkp__leaf_kind tkp__leaf_reconstruction = {
    .plan = reconstruction_plan,
    .bind = reconstruction_bind,
    .run = reconstruction_run,
    .release = reconstruction_release,
};
