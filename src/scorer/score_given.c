/*
 * Scores the engine already has: a CLS row of the vision encoder (meaned over
 * its heads here), or the caller's own vector. Given for all candidates
 * of the layout, or for those that are still there.
 */
#include "scorer/scorer.h"

enum { OP_MEAN_F32, OP_MEAN_HALF, OP_GATHER };
enum { AT_MEAN };
_Static_assert(
    OP_GATHER + 1 == TKP__GIVEN_OPS && AT_MEAN + 1 == TKP__GIVEN_AT,
    "what others may use comes after");
enum { HEADS_MAX = 1024 };

static bool of_cls(const tkp__leaf *leaf)
{
    return leaf->options.kind != TKP_SCORER_EXTERNAL;
}

static tkp_status plan_mean(tkp__leaf *leaf, int32_t slot, int32_t dtype)
{
    const int64_t n = leaf->batch->layout->visual;
    const tkp_op_group_pool params = {
        .struct_size = sizeof(params),
        .pool = TKP_POOL_AVERAGE,
    };
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(&args[0], NULL, dtype, HEADS_MAX, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, 2);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, HEADS_MAX);
    tkp_tensor_make_2d(&args[4], NULL, TKP_DTYPE_F32, 1, n);
    return tkp__leaf_op(leaf, slot, TKP_OP_GROUP_POOL, args, 5, &params);
}

static tkp_status given_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const int64_t n = batch->layout->visual;
    TKP__TRY(plan_mean(leaf, OP_MEAN_F32, TKP_DTYPE_F32));
    if (leaf->model.dtype && leaf->model.dtype != TKP_DTYPE_F32)
        TKP__TRY(plan_mean(leaf, OP_MEAN_HALF, leaf->model.dtype));
    tkp_tensor args[3];
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_F32, n, 1);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[2], NULL, TKP_DTYPE_F32, n, 1);
    TKP__TRY(tkp__leaf_op(leaf, OP_GATHER, TKP_OP_GATHER_ROWS, args, 3, NULL));
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger, (uint64_t)n * sizeof(float), &leaf->at[AT_MEAN]));
    int32_t *at = tkp__alloc((size_t)n + 3 * HEADS_MAX + 2, sizeof(*at));
    if (!at)
        return TKP_ERR_MEMORY;
    leaf->memory = at;
    leaf->original = at;
    leaf->order = at + n; /* 0, 1, 2 ...: the heads */
    /* pairs {0, h} for every head count: one group of h rows */
    leaf->offsets = leaf->order + HEADS_MAX;
    for (int32_t h = 0; h <= HEADS_MAX; h++) {
        if (h < HEADS_MAX)
            leaf->order[h] = h;
        leaf->offsets[2 * h] = 0;
        leaf->offsets[2 * h + 1] = h;
    }
    return TKP_OK;
}

static void given_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    memcpy(
        leaf->original, batch->candidate_original,
        (size_t)batch->candidates * sizeof(int32_t));
}

static tkp_status check_given(
    const tkp__leaf *leaf,
    const tkp_tensor *t,
    const char *name,
    int64_t *heads,
    int64_t *given)
{
    const int64_t now = leaf->batch->candidates;
    const int64_t all = leaf->batch->layout->visual;
    TKP__CHECK(t, TKP_ERR_ARGUMENT, "inputs: %s is NULL, but needed", name);
    TKP__TRY(tkp__check_view(t, name, false));
    TKP__CHECK(
        t->ndim == 1 || (t->ndim == 2 && of_cls(leaf)), TKP_ERR_SHAPE,
        "inputs: %s: has %d dimensions, wanted %s", name, t->ndim,
        of_cls(leaf) ? "[N] or [heads, N]" : "[N]");
    *heads = t->ndim == 2 ? t->shape[0] : 1;
    *given = t->shape[t->ndim - 1];
    TKP__CHECK(
        *given == now || *given == all, TKP_ERR_SHAPE,
        "inputs: %s: has %lld values, wanted the %lld visual tokens there are",
        name, (long long)*given, (long long)now);
    TKP__CHECK(
        *heads >= 1 && *heads <= HEADS_MAX, TKP_ERR_SHAPE,
        "inputs: %s: has %lld heads, wanted 1 to %d", name, (long long)*heads,
        HEADS_MAX);
    TKP__CHECK(
        t->strides[t->ndim - 1] == 1, TKP_ERR_SHAPE,
        "inputs: %s: stride of the last dimension is %lld, wanted 1", name,
        (long long)t->strides[t->ndim - 1]);
    TKP__CHECK(
        t->dtype == TKP_DTYPE_F32 ||
            (t->dtype == leaf->model.dtype && of_cls(leaf)),
        TKP_ERR_DTYPE, "inputs: %s: dtype is %s, wanted f32", name,
        tkp_dtype_string(t->dtype));
    return TKP_OK;
}

/* Mean over the heads (of one head: a conversion), as one group of rows. */
static tkp_status mean_heads(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_tensor *t,
    int64_t heads,
    int64_t given,
    void *workspace,
    const tkp_tensor *dst)
{
    tkp_tensor args[5] = {[0] = *t};
    if (t->ndim == 1) {
        args[0].ndim = 2;
        args[0].shape[0] = 1;
        args[0].shape[1] = given;
        args[0].strides[0] = given;
        args[0].strides[1] = 1;
    }
    tkp_tensor_make_1d(&args[1], leaf->offsets + 2 * heads, TKP_DTYPE_I32, 2);
    tkp_tensor_make_1d(&args[2], leaf->order, TKP_DTYPE_I32, heads);
    tkp_tensor_make_2d(&args[4], tkp__data(dst), TKP_DTYPE_F32, 1, given);
    const int32_t slot = t->dtype == TKP_DTYPE_F32 ? OP_MEAN_F32 : OP_MEAN_HALF;
    return tkp__leaf_run_op(leaf, slot, exec, args, 5, workspace);
}

static tkp_status given_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const bool shallow = leaf->options.shallow;
    const tkp_tensor *t = !of_cls(leaf) ? in->scores
                          : shallow     ? in->cls_shallow
                                        : in->cls_attention;
    const char *name = !of_cls(leaf) ? "scores"
                       : shallow     ? "cls_shallow"
                                     : "cls_attention";
    int64_t heads = 0;
    int64_t given = 0;
    TKP__TRY(check_given(leaf, t, name, &heads, &given));
    const int64_t now = leaf->batch->candidates;
    if (given == now)
        return mean_heads(leaf, exec, t, heads, given, workspace, dst);
    tkp_tensor all;
    tkp_tensor_make_1d(
        &all, tkp__ledger_at(workspace, leaf->at[AT_MEAN]), TKP_DTYPE_F32,
        given);
    TKP__TRY(mean_heads(leaf, exec, t, heads, given, workspace, &all));
    tkp_tensor args[3];
    tkp_tensor_make_2d(&args[0], all.data, TKP_DTYPE_F32, given, 1);
    tkp_tensor_make_1d(&args[1], leaf->original, TKP_DTYPE_I32, now);
    tkp_tensor_make_2d(&args[2], tkp__data(dst), TKP_DTYPE_F32, now, 1);
    return tkp__leaf_run_op(leaf, OP_GATHER, exec, args, 3, workspace);
}

const tkp__leaf_kind tkp__leaf_given = {
    .plan = given_plan,
    .bind = given_bind,
    .run = given_run,
};
