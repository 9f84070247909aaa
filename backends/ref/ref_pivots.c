/*
 * PIVOTS: tokens that are least like a few pivots.
 *
 *   chosen = the pivots that are members of the group, in their order
 *   for each pivot p: the q members not chosen with the smallest
 *                     cos(x_i, x_p), ties by lower entry; the last pivot: the
 *                     rest of keep
 *   q = per_pivot, or floor(keep / pivots)
 *
 * Source: DART (Wen et al. 2025, arXiv 2502.11494): few duplicates of pivots
 * are worth keeping. Open choices: the published code visits pivots in the
 * order of a hash set and keeps p_image + pivots * q tokens; here the order is
 * given and the count is exact. The cosine is 0 where a norm is 0. A cosine
 * that is no number is TKP_ERR_DATA.
 */

#include "ref/ref.h"

enum {
    X,
    ROWS,
    GROUP_OFFSETS,
    MEMBERS,
    KEEP,
    OUT_OFFSETS,
    PIVOT_OFFSETS,
    PIVOTS,
    DST
};
enum { SCRATCH_CHOSEN, SCRATCH_COSINE };

static tkp_status
plan_pivots(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t entries = args[ROWS].shape[0];
    const int64_t listed =
        tkp__present(&args[MEMBERS]) ? args[MEMBERS].shape[0] : entries;
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_CHOSEN, entries, 1));
    return tkp__ref_book(plan, ledger, SCRATCH_COSINE, listed, sizeof(double));
}

static tkp_status check_data(const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const bool listed = tkp__present(members);
    const int64_t entries = args[ROWS].shape[0];
    const int64_t groups = args[KEEP].shape[0];
    TKP__TRY(
        tkp__ref_check_index(&args[ROWS], entries, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_offsets(
        &args[GROUP_OFFSETS], listed ? members->shape[0] : entries,
        "group_offsets"));
    if (listed)
        TKP__TRY(tkp__ref_check_index(
            members, tkp__ref_i32(&args[GROUP_OFFSETS])[groups], entries,
            "members"));
    TKP__TRY(tkp__ref_check_keep(
        &args[GROUP_OFFSETS], &args[KEEP], &args[OUT_OFFSETS],
        args[DST].shape[0]));
    TKP__TRY(tkp__ref_check_offsets(
        &args[PIVOT_OFFSETS], args[PIVOTS].shape[0], "pivot_offsets"));
    return tkp__ref_check_index(
        &args[PIVOTS], tkp__ref_i32(&args[PIVOT_OFFSETS])[groups], entries,
        "pivots");
}

static double cosine(const tkp_tensor *x, int32_t a, int32_t b)
{
    const int64_t d = x->shape[1];
    const void *ra = tkp__ref_row(x, a);
    const void *rb = tkp__ref_row(x, b);
    const double aa = tkp__ref_dot(ra, x->dtype, ra, x->dtype, d);
    const double bb = tkp__ref_dot(rb, x->dtype, rb, x->dtype, d);
    if (aa == 0.0 || bb == 0.0)
        return 0.0;
    return tkp__ref_dot(ra, x->dtype, rb, x->dtype, d) / sqrt(aa * bb);
}

/* A group of n members; `chosen` is by entry. */
typedef struct group {
    const tkp_tensor *args;
    const int32_t *members; /* or NULL */
    int32_t first, n, keep, taken;
    uint8_t *chosen;
    double *cosine; /* by place in the group */
    int32_t *dst;
} group;

static int32_t entry(const group *g, int32_t i)
{
    return g->members ? g->members[g->first + i] : g->first + i;
}

static void choose(group *g, int32_t e)
{
    g->chosen[e] = 1;
    g->dst[g->taken++] = e;
}

static bool is_member(const group *g, int32_t e)
{
    for (int32_t i = 0; i < g->n; i++)
        if (entry(g, i) == e)
            return true;
    return false;
}

/* The `count` members nobody has that are least like the pivot. */
static tkp_status take_least(group *g, int32_t pivot, int32_t count)
{
    const int32_t *rows = tkp__ref_i32(&g->args[ROWS]);
    for (int32_t i = 0; i < g->n; i++) {
        g->cosine[i] = cosine(&g->args[X], rows[entry(g, i)], rows[pivot]);
        TKP__CHECK(
            !isnan(g->cosine[i]), TKP_ERR_DATA,
            "x: the cosine of rows %d and %d is NaN", rows[entry(g, i)],
            rows[pivot]);
    }
    for (; count > 0; count--) {
        int32_t best = -1;
        for (int32_t i = 0; i < g->n; i++)
            if (!g->chosen[entry(g, i)] &&
                (best < 0 || g->cosine[i] < g->cosine[best] ||
                 (g->cosine[i] == g->cosine[best] &&
                  entry(g, i) < entry(g, best))))
                best = i;
        choose(g, entry(g, best));
    }
    return TKP_OK;
}

static tkp_status
run_group(group *g, const int32_t *pivots, int32_t count, int32_t per_pivot)
{
    for (int32_t i = 0; i < g->n; i++)
        g->chosen[entry(g, i)] = 0;
    for (int32_t p = 0; p < count && g->taken < g->keep; p++)
        if (is_member(g, pivots[p]) && !g->chosen[pivots[p]])
            choose(g, pivots[p]);
    TKP__CHECK(
        count > 0 || g->keep == 0, TKP_ERR_ARGUMENT,
        "pivots: a group that keeps %d has none", g->keep);
    const int32_t quota = per_pivot ? per_pivot : count ? g->keep / count : 0;
    for (int32_t p = 0; p < count && g->taken < g->keep; p++) {
        const int32_t left = g->keep - g->taken;
        const int32_t take = p + 1 < count && quota < left ? quota : left;
        TKP__TRY(take_least(g, pivots[p], take));
    }
    return TKP_OK;
}

static tkp_status
run_pivots(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    TKP__TRY(check_data(args));
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const int32_t *pivot_offsets = tkp__ref_i32(&args[PIVOT_OFFSETS]);
    for (int64_t i = 0; i < args[KEEP].shape[0]; i++) {
        group g = {
            .args = args,
            .members = tkp__present(&args[MEMBERS])
                           ? tkp__ref_i32(&args[MEMBERS])
                           : NULL,
            .first = offsets[i],
            .n = offsets[i + 1] - offsets[i],
            .keep = tkp__ref_i32(&args[KEEP])[i],
            .chosen = tkp__ref_scratch(plan, workspace, SCRATCH_CHOSEN),
            .cosine = tkp__ref_scratch(plan, workspace, SCRATCH_COSINE),
            .dst = (int32_t *)tkp__data(&args[DST]) +
                   tkp__ref_i32(&args[OUT_OFFSETS])[i],
        };
        TKP__TRY(run_group(
            &g, tkp__ref_i32(&args[PIVOTS]) + pivot_offsets[i],
            pivot_offsets[i + 1] - pivot_offsets[i],
            plan->params.pivots.per_pivot));
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_pivots = {
    .kind = TKP_OP_PIVOTS,
    .params_size = sizeof(tkp_op_pivots),
    .kernel = "ref_pivots",
    .plan = plan_pivots,
    .run = run_pivots,
};
