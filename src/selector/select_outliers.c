/*
 * Scores that stand out: above Q3 + 1.5 IQR of their group (PruMerge), at least
 * one. With `uniform` every so many-th token, too; with `spare` the best that is
 * left, as a seat for what is dropped. With a budget exactly that is kept: the worst
 * of these go, or the best of the others come.
 */
#include <math.h>

#include "selector/selector.h"
#include "util/carve.h"

enum { OP_ORDER };
enum { AT_TABLES };
enum { NOT_KEPT, KEPT, SPARE };

typedef struct tables {
    int32_t *order; /* [N] members by score, best first */
    uint8_t *mark;  /* [N] by candidate */
} tables;

static void carve_tables(tables *t, tkp__carver *c, int64_t n)
{
    t->order = tkp__carve(c, n, sizeof(int32_t));
    t->mark = tkp__carve(c, n, sizeof(uint8_t));
}

static tables tables_of(const tkp_selector *s, void *workspace)
{
    tables t;
    tkp__carver c = {tkp__ledger_at(workspace, s->at[AT_TABLES]), 0};
    carve_tables(&t, &c, s->batch->layout->visual);
    return t;
}

static tkp_status outliers_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    const tkp_op_topk params = {
        .struct_size = sizeof(params),
        .sorted_by_score = 1,
    };
    tkp__carver c = {NULL, 0};
    tkp_tensor args[6];
    tables t;
    s->state = tkp__alloc((size_t)n, sizeof(int32_t)); /* sizes of groups */
    if (!s->state)
        return TKP_ERR_MEMORY;
    carve_tables(&t, &c, n);
    TKP__TRY(tkp__ledger_book(ledger, c.bytes, &s->at[AT_TABLES]));
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(
        s, &s->ops[OP_ORDER], TKP_OP_TOPK, args, 6, &params);
}

static tkp_status outliers_bind(tkp_selector *s)
{
    int32_t *sizes = s->state;
    for (int32_t g = 0; g < s->groups.count; g++)
        sizes[g] = s->groups.offsets[g + 1] - s->groups.offsets[g];
    return TKP_OK;
}

/* Value at a share of the way from the lowest to the highest, between two. */
static double
quantile(const float *scores, const int32_t *order, int32_t n, double share)
{
    const double at = share * (n - 1);
    const int32_t below = (int32_t)at;
    const int32_t above = below + 1 < n ? below + 1 : below;
    const double low = (double)scores[order[n - 1 - below]];
    const double high = (double)scores[order[n - 1 - above]];
    return low + (at - below) * (high - low);
}

/* How many of `order` stand out: at least one. */
static int32_t
count_outliers(const float *scores, const int32_t *order, int32_t n)
{
    const double q1 = quantile(scores, order, n, 0.25);
    const double q3 = quantile(scores, order, n, 0.75);
    int32_t count = 0;
    while (count < n && (double)scores[order[count]] > q3 + 1.5 * (q3 - q1))
        count++;
    return count ? count : 1;
}

/* What group g keeps; how many. */
static int32_t choose(
    const tkp_selector *s,
    const float *scores,
    const int32_t *member,
    const tables *t,
    int32_t g,
    int32_t *list)
{
    const tkp_selector_options *o = &s->spec.options;
    const int32_t first = s->groups.offsets[g];
    const int32_t n = s->groups.offsets[g + 1] - first;
    const int32_t *order = t->order + first;
    const int32_t most = s->groups.keep[g];
    int32_t have = 0, count = 0;
    for (int32_t i = 0; i < n; i++)
        t->mark[order[i]] = NOT_KEPT;
    if (n == 0 || most == 0)
        return 0;
    const int32_t seats = o->spare && most > 1;
    const int32_t outliers = count_outliers(scores, order, n);
    for (int32_t i = 0; i < outliers; i++, have++)
        t->mark[order[i]] = KEPT;
    const int32_t apart = n / outliers / 3;
    for (int32_t i = 0; o->uniform && i<n; i += apart> 0 ? apart : 1)
        if (!t->mark[member[first + i]]) {
            t->mark[member[first + i]] = KEPT;
            have++;
        }
    if (!s->adaptive)
        tkp__selector_reconcile(t->mark, order, n, have, most - seats);
    for (int32_t i = 0, left = seats; left && i < n; i++)
        if (!t->mark[order[i]]) {
            t->mark[order[i]] = SPARE;
            left--;
        }
    for (int32_t i = 0; i < n; i++)
        if (t->mark[member[first + i]])
            list[count++] = member[first + i];
    return count;
}

static tkp_status outliers_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__groups *g = &s->groups;
    const tables t = tables_of(s, workspace);
    const float *scores = tkp__data(in->scores);
    int32_t *list = tkp__data(dst);
    tkp_tensor args[6] = {[0] = *in->scores};
    for (int32_t m = 0; m < g->members; m++)
        TKP__CHECK(
            isfinite(scores[in->member[m]]), TKP_ERR_DATA,
            "selector: score %d is not finite", in->member[m]);
    tkp_tensor_make_1d(&args[1], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[2], (void *)in->member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[3], s->state, TKP_DTYPE_I32, g->count);
    tkp_tensor_make_1d(&args[4], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[5], t.order, TKP_DTYPE_I32, g->members);
    TKP__TRY(
        tkp__selector_run_op(s, s->ops[OP_ORDER], exec, args, 6, workspace));
    for (int32_t i = 0; i < g->count; i++) {
        const int32_t count = choose(s, scores, in->member, &t, i, list);
        if (in->counts)
            in->counts[i] = count;
        list += count;
    }
    return TKP_OK;
}

/* The spare ones are of part 1. */
static void outliers_roles(
    const tkp_selector *s,
    const int32_t *chosen,
    void *workspace,
    const tkp_tensor *selected,
    const tkp_tensor *roles,
    const tkp_tensor *pools)
{
    const tables t = tables_of(s, workspace);
    const int32_t *token = tkp__data(selected);
    (void)chosen;
    for (int64_t i = 0; pools && i < s->batch->candidates; i++)
        ((int32_t *)tkp__data(pools))[i] = 3; /* both parts could have */
    for (int64_t k = 0; roles && k < selected->shape[0]; k++)
        ((int32_t *)tkp__data(roles))[k] =
            !s->batch->candidate_kept[token[k]] && t.mark[token[k]] == SPARE;
}

static void outliers_release(tkp_selector *s)
{
    tkp__free(s->state);
}

const tkp__selector_kind tkp__select_outliers = {
    .scores = true,
    .adaptive = true,
    .plan = outliers_plan,
    .bind = outliers_bind,
    .run = outliers_run,
    .release = outliers_release,
    .roles = outliers_roles,
};
