/*
 * The best of each group (an image, a frame, a crop of one), where how many a
 * group keeps follows from its weights: those that a scorer of the selector's own gives its
 * tokens, taken together. A set of groups (what the budget's scope says) keeps
 * exactly its budget; without one, where a rule says how many, what that comes to.
 */
#include "scorer/scorer.h"
#include "selector/selector.h"

enum { OP_QUOTA, OP_RECONCILE };
enum { AT_WEIGH, AT_WEIGHTS, AT_QUOTA, AT_KEEP };

typedef struct quota {
    tkp_scorer *weigh;
    int32_t sets[]; /* [s->groups.count + 1] groups of each set */
} quota;

static void quota_release(tkp_selector *s)
{
    quota *q = s->state;
    if (!q)
        return;
    tkp__scorer_free(q->weigh);
    tkp__free(q);
}

/* The share that the budget was written as; 0: QUOTA takes what it comes to. */
static float base_of(const tkp_selector *s)
{
    const tkp_budget *b = &s->budget;
    const double ratio =
        b->ratio_den ? (double)b->ratio_num / (double)b->ratio_den : 0.0;
    if (s->spec.options.base > 0.0f)
        return s->spec.options.base;
    if (b->kind == TKP_BUDGET_RATIO)
        return (float)ratio;
    return b->kind == TKP_BUDGET_TOTAL_REDUCTION && b->tacr_num == b->tacr_den
               ? (float)(1.0 - ratio)
               : 0.0f;
}

static tkp_status plan_ops(tkp_selector *s)
{
    const tkp_selector_options *o = &s->spec.options;
    const int64_t n = s->batch->layout->visual;
    const tkp_op_quota shares = {
        .struct_size = sizeof(shares),
        .rule = o->rule,
        .reduce = o->reduce,
        .lowest = o->lowest,
        .least = o->least,
        .temperature = o->temperature,
        .base = base_of(s),
        .truncate = o->compat == TKP_COMPAT_OFFICIAL,
    };
    const tkp_op_reconcile best = {
        .struct_size = sizeof(best),
        .order = o->order,
    };
    tkp_tensor args[8];
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    TKP__TRY(
        tkp__selector_op(s, &s->ops[OP_QUOTA], TKP_OP_QUOTA, args, 6, &shares));
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[7], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(
        s, &s->ops[OP_RECONCILE], TKP_OP_RECONCILE, args, 8, &best);
}

static tkp_status quota_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    TKP__TRY(tkp__selector_check_groups(s));
    TKP__CHECK(
        s->has_model, TKP_ERR_ARGUMENT,
        "selector: this kind weighs tokens and needs the model's shapes; "
        "wanted tkp_selector_create_for()");
    quota *q =
        tkp__zalloc(1, sizeof(*q) + ((size_t)n + 1) * sizeof(q->sets[0]));
    if (!q)
        return TKP_ERR_MEMORY;
    s->state = q;
    TKP__TRY(tkp__scorer_new(
        &q->weigh, s->context, &s->spec.weigh, s->batch, &s->model));
    TKP__TRY(
        tkp__ledger_book(ledger, q->weigh->workspace_bytes, &s->at[AT_WEIGH]));
    TKP__TRY(tkp__ledger_book(
        ledger, (uint64_t)n * sizeof(float), &s->at[AT_WEIGHTS]));
    TKP__TRY(tkp__ledger_book(
        ledger, (uint64_t)n * sizeof(int32_t), &s->at[AT_QUOTA]));
    TKP__TRY(tkp__ledger_book(
        ledger, (2 * (uint64_t)n + 1) * sizeof(int32_t), &s->at[AT_KEEP]));
    return plan_ops(s);
}

static tkp_status quota_bind(tkp_selector *s)
{
    quota *q = s->state;
    tkp__groups *groups = &s->windows;
    tkp__groups_whole(groups, s, s->spec.options.groups, s->spec.options.crops);
    tkp__selector_list_sets(s, q->sets);
    tkp__scorer_bind(q->weigh);
    return TKP_OK;
}

static tkp_status weigh(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *groups, /* offsets, members, sets, keep */
    const tkp_tensor *shares)
{
    const quota *q = s->state;
    tkp_tensor args[6] = {
        [1] = groups[0], [2] = groups[1], [3] = groups[2],
        [4] = groups[3], [5] = *shares,
    };
    tkp_tensor_make_1d(
        &args[0], tkp__ledger_at(workspace, s->at[AT_WEIGHTS]), TKP_DTYPE_F32,
        s->batch->candidates);
    TKP__TRY(tkp__scorer_run(
        q->weigh, exec, in->inputs, tkp__ledger_at(workspace, s->at[AT_WEIGH]),
        &args[0]));
    return tkp__selector_run_op(s, s->ops[OP_QUOTA], exec, args, 6, workspace);
}

static tkp_status quota_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const quota *q = s->state;
    const tkp__groups *sets = &s->groups;
    const tkp__groups *g = &s->windows;
    tkp_tensor args[8];
    TKP__CHECK(
        in->inputs, TKP_ERR_ARGUMENT,
        "selector: this kind weighs tokens and needs inputs; wanted "
        "tkp_selector_run_on()");
    if (sets->kept == 0)
        return TKP_OK;
    tkp_tensor lists[4];
    tkp_tensor_make_1d(&lists[0], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&lists[1], g->member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(
        &lists[2], (void *)(uintptr_t)q->sets, TKP_DTYPE_I32, sets->count + 1);
    tkp_tensor_make_1d(&lists[3], sets->keep, TKP_DTYPE_I32, sets->count);
    tkp_tensor_make_1d(
        &args[3], tkp__ledger_at(workspace, s->at[AT_QUOTA]), TKP_DTYPE_I32,
        g->count);
    TKP__TRY(weigh(s, exec, in, workspace, lists, &args[3]));
    args[0] = *in->scores;
    args[1] = lists[0];
    args[2] = lists[1];
    args[4] = lists[2];
    args[5] = lists[3];
    tkp_tensor_make_1d(
        &args[6], sets->kept_offsets, TKP_DTYPE_I32, sets->count + 1);
    args[7] = *dst;
    if (s->adaptive) {
        int32_t *keep = tkp__ledger_at(workspace, s->at[AT_KEEP]);
        int32_t *at = keep + sets->count;
        const int32_t all =
            tkp__selector_add_quotas(s, q->sets, tkp__data(&args[3]), keep);
        at[0] = 0;
        for (int32_t i = 0; i < sets->count; i++)
            at[i + 1] = at[i] + keep[i];
        memcpy(in->counts, keep, (size_t)sets->count * sizeof(*keep));
        if (all == 0)
            return TKP_OK;
        args[5].data = keep;
        args[6].data = at;
        args[7].shape[0] = all;
    }
    return tkp__selector_run_op(
        s, s->ops[OP_RECONCILE], exec, args, 8, workspace);
}

static int32_t quota_scorers(const tkp_selector *s, const tkp_scorer **out)
{
    const quota *q = s->state;
    out[0] = q->weigh;
    return 1;
}

const tkp__selector_kind tkp__select_quota = {
    .scores = true,
    .ascending = true,
    .adaptive = true,
    .plan = quota_plan,
    .bind = quota_bind,
    .run = quota_run,
    .release = quota_release,
    .scorers = quota_scorers,
};
