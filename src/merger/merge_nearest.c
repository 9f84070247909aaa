/*
 * Each dropped token joins the kept one of its sequence (or image: the budget's
 * scope) that it is most like. Protected tokens stand for themselves. Tokens of
 * one part of a chain may be replaced by a basis of the group: they are joined
 * by none (ApET). With `into`, only tokens of that part are joined, by those
 * alone that it could have chosen (VisionZip, SparseVLM). With `within`, who is
 * too far from what it is most like goes nowhere (PACT). After bipartite
 * matching only tokens of the second side are joined, and each counts as many
 * as it stands for (ToMe).
 */
#include "merger/merger.h"
#include "selector/bipartite.h"

enum { OP_NEAREST, OP_MERGE, OP_BLEND, OP_PUT };
enum { AT_LIST, AT_PLACE, AT_ENDS, AT_KEEP, AT_ROWS, AT_LIKE };

/* Groups of candidates that may join each other, one after the other. */
typedef struct nearest {
    int32_t groups;
    int32_t *ends;   /* [N + 1] */
    int32_t *of;     /* [N] */
    int32_t *member; /* [N] candidates 0, 1, 2 ... */
    int32_t *span;   /* [N + 1] where each group's candidates end */
    tkp__basis basis;
} nearest;

static bool by_sides(const tkp_merger *m)
{
    return m->spec.options.kind == TKP_MERGER_BIPARTITE;
}

static tkp_status plan_ops(tkp_merger *m)
{
    const tkp_layout *layout = m->selector->batch->layout;
    const int64_t n = layout->visual;
    const tkp_merger_options *o = &m->spec.options;
    const tkp_op_nearest likeness = {
        .struct_size = sizeof(likeness),
        .measure = o->measure,
    };
    const tkp_op_merge_rows merge = {
        .struct_size = sizeof(merge),
        .rule = o->rule,
        .anchor = o->anchor,
        .beta = o->beta,
    };
    const tkp__features *f = &m->features;
    tkp_tensor args[8] = {0};
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    for (int32_t i = 1; i < 7; i++)
        tkp_tensor_make_1d(
            &args[i], NULL, TKP_DTYPE_I32, i == 2 || i == 5 ? n + 1 : n);
    if (o->within > 0.0f)
        tkp_tensor_make_1d(&args[7], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__merger_op(
        m, &m->ops[OP_NEAREST], TKP_OP_NEAREST, args, 8, &likeness));
    tkp_tensor_make_2d(
        &args[0], NULL, m->model.dtype, layout->rows, m->model.hidden);
    args[4] = (tkp_tensor){0};
    if (by_sides(m))
        tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[5], NULL, m->model.dtype, n, m->model.hidden);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    return tkp__merger_op(
        m, &m->ops[OP_MERGE], TKP_OP_MERGE_ROWS, args, 7, &merge);
}

/* Rows of kept tokens with rows of the basis, and to their places. */
static tkp_status plan_replace(tkp_merger *m, tkp_ledger *ledger)
{
    nearest *state = m->state;
    const tkp_layout *layout = m->selector->batch->layout;
    const int64_t n = layout->visual;
    const tkp_op_merge_rows blend = {
        .struct_size = sizeof(blend),
        .rule = TKP_MERGE_BLEND,
        .beta = 1.0f - m->spec.options.replace_share,
    };
    tkp_tensor args[7] = {0};
    TKP__TRY(tkp__basis_plan(
        &state->basis, &m->features, m->spec.options.seed, &m->ops_bytes));
    tkp_tensor_make_2d(
        &args[0], NULL, m->model.dtype, layout->rows, m->model.hidden);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, 2 * n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, 2 * n);
    tkp_tensor_make_2d(&args[5], NULL, m->model.dtype, n, m->model.hidden);
    TKP__TRY(tkp__merger_op(
        m, &m->ops[OP_BLEND], TKP_OP_MERGE_ROWS, args, 7, &blend));
    args[0] = args[5];
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    args[2] = args[5];
    TKP__TRY(
        tkp__merger_op(m, &m->ops[OP_PUT], TKP_OP_SCATTER_ROWS, args, 3, NULL));
    TKP__TRY(tkp__ledger_book(
        ledger, (uint64_t)(2 * n) * sizeof(int32_t), &m->at[AT_KEEP]));
    return tkp__ledger_book(
        ledger,
        (uint64_t)(n * m->model.hidden) * tkp_dtype_bytes(m->model.dtype),
        &m->at[AT_ROWS]);
}

static tkp_status nearest_plan(tkp_merger *m, tkp_ledger *ledger)
{
    TKP__CHECK(
        m->selector->budget.scope != TKP_SCOPE_TILE, TKP_ERR_UNSUPPORTED,
        "merger: nearest does not work tile by tile; wanted scope image");
    const tkp_selector_options *chosen = &m->selector->spec.options;
    const size_t n = (size_t)m->selector->batch->layout->visual;
    TKP__CHECK(
        !by_sides(m) || chosen->kind == TKP_SELECTOR_BIPARTITE, TKP_ERR_OPTION,
        "merger: kind bipartite, but the selector's is %d; wanted %d",
        chosen->kind, TKP_SELECTOR_BIPARTITE);
    nearest *state = tkp__zalloc(1, sizeof(*state));
    if (!state)
        return TKP_ERR_MEMORY;
    m->state = state;
    m->memory = tkp__alloc(4 * n + 2, sizeof(int32_t));
    if (!m->memory)
        return TKP_ERR_MEMORY;
    state->of = m->memory;
    state->member = state->of + n;
    state->ends = state->member + n;
    state->span = state->ends + n + 1;
    m->has_features = true;
    TKP__TRY(tkp__features_plan(
        &m->features, m->context, m->selector->batch, &m->model,
        by_sides(m) ? chosen->feature : m->spec.options.feature, 0.0f, 0,
        ledger));
    for (int32_t i = AT_LIST; i <= AT_ENDS; i++)
        TKP__TRY(tkp__ledger_book(
            ledger, (uint64_t)(2 * n + 1) * sizeof(int32_t), &m->at[i]));
    if (m->spec.options.within > 0.0f)
        TKP__TRY(tkp__ledger_book(
            ledger, (uint64_t)n * sizeof(float), &m->at[AT_LIKE]));
    if (m->spec.options.replace)
        TKP__TRY(plan_replace(m, ledger));
    return plan_ops(m);
}

static tkp_status nearest_bind(tkp_merger *m)
{
    nearest *state = m->state;
    const tkp__batch *batch = m->selector->batch;
    int32_t members = 0;
    state->groups =
        tkp__batch_spans(batch, m->selector->budget.scope, state->span);
    state->ends[0] = 0;
    for (int32_t g = 0; g < state->groups; g++) {
        for (int32_t i = state->span[g]; i < state->span[g + 1]; i++) {
            state->of[i] = g;
            if (!batch->candidate_kept[i])
                state->member[members++] = i;
        }
        state->ends[g + 1] = members;
    }
    tkp__basis_bind(&state->basis, batch, state->span, state->groups);
    return TKP_OK;
}

/* Whether entry j of the kept ones is replaced. Protected tokens never are. */
static bool
is_replaced(const tkp_merger *m, const int32_t *roles, int32_t j, int32_t token)
{
    return m->spec.options.replace && roles &&
           roles[j] == m->spec.options.replace &&
           !m->selector->batch->candidate_kept[token];
}

/* Whether entry j of the kept ones may be joined. */
static bool
is_joined(const tkp_merger *m, const int32_t *roles, int32_t j, int32_t token)
{
    const int32_t into = m->spec.options.into;
    if (m->selector->batch->candidate_kept[token] ||
        is_replaced(m, roles, j, token) ||
        (by_sides(m) && !tkp__bipartite_joined(m->selector, token)))
        return false;
    return !into || (roles && roles[j] == into);
}

/* Whether a token may join; `like` is how like it is what it would. */
static bool
joins(const tkp_merger *m, const int32_t *pools, const float *like, int64_t i)
{
    const int32_t into = m->spec.options.into;
    if (like) {
        const double far = m->spec.options.measure == TKP_GREEDY_COSINE
                               ? 1.0 - (double)like[i]
                               : -(double)like[i];
        if (far > (double)m->spec.options.within)
            return false;
    }
    return !into || !pools || (pools[i] >> into & 1);
}

/* Those of `kept` that others may join, and where in `kept` they are. */
static int32_t list_joined(
    const tkp_merger *m,
    const tkp_tensor *kept,
    const int32_t *roles,
    int32_t *list,
    int32_t *place,
    int32_t *ends)
{
    const nearest *state = m->state;
    const int32_t *from = tkp__data(kept);
    int32_t count = 0, group = 0;
    ends[0] = 0;
    for (int32_t j = 0; j < kept->shape[0]; j++) {
        if (!is_joined(m, roles, j, from[j]))
            continue;
        while (group < state->of[from[j]])
            ends[++group] = count;
        place[count] = j;
        list[count++] = from[j];
    }
    while (group < state->groups)
        ends[++group] = count;
    return count;
}

static tkp_status run_nearest(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const nearest *state = m->state;
    const int64_t n = m->selector->batch->candidates;
    int32_t *list = tkp__ledger_at(workspace, m->at[AT_LIST]);
    int32_t *place = tkp__ledger_at(workspace, m->at[AT_PLACE]);
    int32_t *ends = tkp__ledger_at(workspace, m->at[AT_ENDS]);
    const int32_t count = list_joined(
        m, out->kept, in->roles ? tkp__data(in->roles) : NULL, list, place,
        ends);
    tkp_tensor args[8] = {0};
    TKP__TRY(tkp__features_run(
        &m->features, exec, in, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(&args[2], state->ends, TKP_DTYPE_I32, state->groups + 1);
    tkp_tensor_make_1d(
        &args[3], state->member, TKP_DTYPE_I32, state->ends[state->groups]);
    tkp_tensor_make_1d(&args[4], list, TKP_DTYPE_I32, count);
    tkp_tensor_make_1d(&args[5], ends, TKP_DTYPE_I32, state->groups + 1);
    tkp_tensor_make_1d(&args[6], out->assignment, TKP_DTYPE_I32, n);
    float *like = m->spec.options.within > 0.0f
                      ? tkp__ledger_at(workspace, m->at[AT_LIKE])
                      : NULL;
    if (like)
        tkp_tensor_make_1d(&args[7], like, TKP_DTYPE_F32, n);
    TKP__TRY(
        tkp__merger_run_op(m, m->ops[OP_NEAREST], exec, args, 8, workspace));
    const int32_t *pools = in->pools ? tkp__data(in->pools) : NULL;
    for (int64_t i = 0; i < n; i++)
        if (out->assignment[i] >= 0)
            out->assignment[i] =
                joins(m, pools, like, i) ? place[out->assignment[i]] : -1;
    const int32_t *kept = tkp__data(out->kept);
    for (int32_t j = 0; j < out->kept->shape[0]; j++)
        out->assignment[kept[j]] = j;
    return TKP_OK;
}

/* How many are replaced in each group, and where in `kept` they are. */
static int32_t list_replaced(
    const tkp_merger *m,
    const tkp__merging *out,
    const int32_t *roles,
    int32_t *keep,
    int32_t *ends,
    int32_t *place)
{
    const nearest *state = m->state;
    const int32_t *kept = tkp__data(out->kept);
    int32_t count = 0;
    for (int32_t g = 0; g < state->groups; g++)
        keep[g] = 0;
    for (int32_t j = 0; j < out->kept->shape[0]; j++)
        if (is_replaced(m, roles, j, kept[j])) {
            keep[state->of[kept[j]]]++;
            place[count++] = j;
        }
    ends[0] = 0;
    for (int32_t g = 0; g < state->groups; g++)
        ends[g + 1] = ends[g] + keep[g];
    return count;
}

static void sort_ascending(int32_t *list, int32_t n)
{
    for (int32_t i = 1; i < n; i++) {
        const int32_t value = list[i];
        int32_t at = i;
        for (; at > 0 && list[at - 1] > value; at--)
            list[at] = list[at - 1];
        list[at] = value;
    }
}

/* The rows of the part that is replaced: those of the basis, in the order of
 * candidates, go to its tokens in that order. */
static tkp_status replace_rows(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const nearest *state = m->state;
    const int32_t *candidate_rows = m->selector->batch->candidate_rows;
    const int32_t *kept = tkp__data(out->kept);
    int32_t *rows = tkp__ledger_at(workspace, m->at[AT_LIST]);
    int32_t *place = tkp__ledger_at(workspace, m->at[AT_PLACE]);
    int32_t *ends = tkp__ledger_at(workspace, m->at[AT_ENDS]);
    int32_t *keep = tkp__ledger_at(workspace, m->at[AT_KEEP]);
    const int32_t count =
        list_replaced(m, out, tkp__data(in->roles), keep, ends, place);
    int32_t *basis = rows + count;
    tkp_tensor x, at;
    if (count == 0)
        return TKP_OK;
    TKP__TRY(tkp__features_run(&m->features, exec, in, workspace, &x, &at));
    TKP__TRY(tkp__basis_run(
        &state->basis, exec, &x, &at, state->span, state->groups, keep, ends,
        basis, tkp__ledger_at(workspace, m->ops_at), m->ops_bytes));
    for (int32_t g = 0; g < state->groups; g++)
        sort_ascending(basis + ends[g], keep[g]);
    for (int32_t i = 0; i < count; i++) {
        rows[i] = candidate_rows[kept[place[i]]];
        basis[i] = candidate_rows[basis[i]];
    }
    int32_t *pair = keep; /* entry count + i joins entry i */
    for (int32_t i = 0; i < 2 * count; i++)
        pair[i] = i % count;
    tkp_tensor args[7] = {[0] = *in->hidden};
    tkp_tensor_make_1d(&args[1], rows, TKP_DTYPE_I32, 2 * count);
    tkp_tensor_make_1d(&args[2], pair, TKP_DTYPE_I32, count);
    tkp_tensor_make_1d(&args[3], pair, TKP_DTYPE_I32, 2 * count);
    tkp_tensor_make_2d(
        &args[5], tkp__ledger_at(workspace, m->at[AT_ROWS]), m->model.dtype,
        count, m->model.hidden);
    TKP__TRY(tkp__merger_run_op(m, m->ops[OP_BLEND], exec, args, 7, workspace));
    args[0] = args[5];
    tkp_tensor_make_1d(&args[1], place, TKP_DTYPE_I32, count);
    args[2] = *out->rows;
    return tkp__merger_run_op(m, m->ops[OP_PUT], exec, args, 3, workspace);
}

static tkp_status nearest_run(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const tkp__batch *batch = m->selector->batch;
    const int64_t n = batch->candidates;
    TKP__TRY(run_nearest(m, exec, in, workspace, out));
    tkp_tensor args[7] = {
        [0] = *in->hidden, [2] = *out->kept, [5] = *out->rows};
    tkp_tensor_make_1d(&args[1], batch->candidate_rows, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], out->assignment, TKP_DTYPE_I32, n);
    if (by_sides(m))
        tkp_tensor_make_1d(&args[4], batch->candidate_sizes, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(
        &args[6], out->sizes, TKP_DTYPE_F32, out->kept->shape[0]);
    TKP__TRY(tkp__merger_run_op(m, m->ops[OP_MERGE], exec, args, 7, workspace));
    return in->roles && m->spec.options.replace
               ? replace_rows(m, exec, in, workspace, out)
               : TKP_OK;
}

static void nearest_release(tkp_merger *m)
{
    nearest *state = m->state;
    if (state)
        tkp__basis_release(&state->basis);
    tkp__free(state);
}

const tkp__merger_kind tkp__merge_nearest = {
    .plan = nearest_plan,
    .bind = nearest_bind,
    .run = nearest_run,
    .release = nearest_release,
};
