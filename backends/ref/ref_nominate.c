/*
 * NOMINATE: rows of text name members of their group, each row as many; what
 * nobody names comes by score.
 *
 *   named(row)  the floor(keep / rows) members of lowest likeness, or highest
 *   dst         what any row named, and of the others the best by score, until
 *               there are `keep`; ascending
 *
 * Source: LiteLVLM (ICML 2026), where rows are the sentences of a prompt. Open
 * choices: of equal members that which is listed first; NaN comes after
 * everything; rows may name the same member, and then more come by score; a
 * group without rows goes by score alone. A group that keeps something and has
 * only NaN scores is TKP_ERR_DATA, as in TOPK.
 */

#include "ref/ref.h"

enum {
    LIKENESS,
    RANGE,
    SCORES,
    GROUP_OFFSETS,
    MEMBERS,
    KEEP,
    OUT_OFFSETS,
    DST
};
/* By place in the group's list: */
enum { SCRATCH_ORDER, SCRATCH_VALUE, SCRATCH_NAMED };

static tkp_status
plan_nominate(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const tkp_tensor *list =
        tkp__present(&args[MEMBERS]) ? &args[MEMBERS] : &args[SCORES];
    const int64_t n = list->shape[0];
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_ORDER, n, sizeof(int32_t)));
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_VALUE, n, sizeof(float)));
    return tkp__ref_book(plan, ledger, SCRATCH_NAMED, n, sizeof(int32_t));
}

typedef struct group {
    const int32_t *members; /* or NULL */
    int32_t first, n;
    int32_t *order; /* [n] places, best first */
    float *value;   /* [n] what they are ordered by */
    int32_t *named; /* [n] 0 or 1 */
} group;

static int32_t member(const group *g, int32_t place)
{
    return g->members ? g->members[g->first + place] : g->first + place;
}

static void sort_by(const group *g, const float *values, int32_t order)
{
    for (int32_t i = 0; i < g->n; i++) {
        g->value[i] = values[member(g, i)];
        g->order[i] = i;
    }
    tkp__ref_sort(g->order, g->n, g->value, order);
}

static tkp_status check_data(const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const bool listed = tkp__present(members);
    const int64_t n = args[SCORES].shape[0];
    TKP__TRY(tkp__ref_check_offsets(
        &args[GROUP_OFFSETS], listed ? members->shape[0] : n, "group_offsets"));
    if (listed)
        TKP__TRY(tkp__ref_check_index(
            members, tkp__ref_i32(&args[GROUP_OFFSETS])[args[KEEP].shape[0]], n,
            "members"));
    TKP__TRY(
        tkp__ref_check_range(&args[RANGE], args[LIKENESS].shape[0], "range"));
    return tkp__ref_check_keep(
        &args[GROUP_OFFSETS], &args[KEEP], &args[OUT_OFFSETS],
        args[DST].shape[0]);
}

static tkp_status check_scores(const group *g, const float *scores, int64_t at)
{
    for (int32_t i = 0; i < g->n; i++)
        if (!isnan(scores[member(g, i)]))
            return TKP_OK;
    return tkp__fail(
        TKP_ERR_DATA, "scores: all %d of group %lld are NaN", g->n,
        (long long)at);
}

/* How many any of the rows named. */
static int32_t name_members(
    const group *g,
    const tkp_tensor *likeness,
    const int32_t range[2],
    int32_t keep,
    int32_t order)
{
    const int32_t rows = range[1] - range[0];
    int32_t count = 0;
    for (int32_t i = 0; i < g->n; i++)
        g->named[i] = 0;
    for (int32_t t = range[0]; t < range[1]; t++) {
        sort_by(g, tkp__ref_row(likeness, t), order);
        for (int32_t i = 0; i < keep / rows; i++) {
            count += !g->named[g->order[i]];
            g->named[g->order[i]] = 1;
        }
    }
    return count;
}

static tkp_status
run_nominate(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    TKP__TRY(check_data(args));
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const int32_t *keep = tkp__ref_i32(&args[KEEP]);
    const int32_t *range = tkp__ref_i32(&args[RANGE]);
    const float *scores = tkp__data(&args[SCORES]);
    int32_t *dst = tkp__data(&args[DST]);
    for (int64_t m = 0; m < args[KEEP].shape[0]; m++) {
        const group g = {
            .members = tkp__present(&args[MEMBERS])
                           ? tkp__ref_i32(&args[MEMBERS])
                           : NULL,
            .first = offsets[m],
            .n = offsets[m + 1] - offsets[m],
            .order = tkp__ref_scratch(plan, workspace, SCRATCH_ORDER),
            .value = tkp__ref_scratch(plan, workspace, SCRATCH_VALUE),
            .named = tkp__ref_scratch(plan, workspace, SCRATCH_NAMED),
        };
        if (keep[m] == 0)
            continue;
        TKP__TRY(check_scores(&g, scores, m));
        int32_t left = keep[m] - name_members(
                                     &g, &args[LIKENESS], range + 2 * m,
                                     keep[m], plan->params.nominate.order);
        int32_t kept = 0;
        sort_by(&g, scores, TKP_ORDER_HIGHEST);
        for (int32_t i = 0; i < g.n; i++) {
            const int32_t place = g.order[i];
            if (!g.named[place] && left-- <= 0)
                continue;
            dst[kept++] = member(&g, place);
        }
        tkp__ref_sort(dst, kept, NULL, 0);
        dst += kept;
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_nominate = {
    .kind = TKP_OP_NOMINATE,
    .params_size = sizeof(tkp_op_nominate),
    .kernel = "ref_nominate",
    .plan = plan_nominate,
    .run = run_nominate,
};
