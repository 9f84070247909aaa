/*
 * NEIGHBOURS: the members of its group that each anchor is most like.
 *
 *   dst[k] = the T members other than the anchor of largest likeness
 *   likeness = cos(x_i, x_j), or -|x_i - x_j|^2
 *
 * Source: PruMerge (Shang et al. 2024), 32 by the cosine of keys. Open choices:
 * best first, of equal ones the lower candidate; where there are fewer than T,
 * the rest is -1; a likeness that is no number is TKP_ERR_DATA. In double.
 */

#include "ref/ref.h"

enum { X, ROWS, GROUP_OFFSETS, MEMBERS, ANCHORS, ANCHOR_OFFSETS, DST };
enum { SCRATCH_SQUARES, SCRATCH_BEST };

static tkp_status
plan_neighbours(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_SQUARES, args[ROWS].shape[0], sizeof(double)));
    return tkp__ref_book(
        plan, ledger, SCRATCH_BEST, args[DST].shape[1], sizeof(double));
}

static tkp_status check_data(const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const bool listed = tkp__present(members);
    const int64_t n = args[ROWS].shape[0];
    const int64_t groups = args[GROUP_OFFSETS].shape[0] - 1;
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_offsets(
        &args[GROUP_OFFSETS], listed ? members->shape[0] : n, "group_offsets"));
    if (listed)
        TKP__TRY(tkp__ref_check_index(
            members, tkp__ref_i32(&args[GROUP_OFFSETS])[groups], n, "members"));
    TKP__TRY(tkp__ref_check_covering(
        &args[ANCHOR_OFFSETS], args[ANCHORS].shape[0], "anchor_offsets"));
    return tkp__ref_check_index(
        &args[ANCHORS], args[ANCHORS].shape[0], n, "anchors");
}

typedef struct call {
    const tkp_tensor *args;
    const double *squares; /* |x|^2 by candidate */
    double *best;          /* [T] */
    bool euclidean;
} call;

static double likeness(const call *c, int32_t i, int32_t j)
{
    const tkp_tensor *x = &c->args[X];
    const int32_t *rows = tkp__ref_i32(&c->args[ROWS]);
    const double dot = tkp__ref_dot(
        tkp__ref_row(x, rows[i]), x->dtype, tkp__ref_row(x, rows[j]), x->dtype,
        x->shape[1]);
    if (c->euclidean)
        return 2.0 * dot - c->squares[i] - c->squares[j];
    if (c->squares[i] == 0.0 || c->squares[j] == 0.0)
        return 0.0;
    return dot / sqrt(c->squares[i] * c->squares[j]);
}

static bool comes_before(double a, int32_t a_index, double b, int32_t b_index)
{
    return a != b ? a > b : a_index < b_index;
}

static tkp_status find(
    const call *c,
    int32_t anchor,
    const int32_t *members,
    int32_t first,
    int32_t end,
    int32_t *dst)
{
    const int32_t most = (int32_t)c->args[DST].shape[1];
    int32_t found = 0;
    for (int32_t m = first; m < end; m++) {
        const int32_t j = members ? members[m] : m;
        if (j == anchor || most == 0)
            continue;
        const double value = likeness(c, anchor, j);
        TKP__CHECK(
            !isnan(value), TKP_ERR_DATA,
            "x: the likeness of candidates %d and %d is NaN", anchor, j);
        int32_t at = found;
        while (at > 0 && comes_before(value, j, c->best[at - 1], dst[at - 1]))
            at--;
        if (at == most)
            continue;
        found = found < most ? found + 1 : most;
        for (int32_t i = found - 1; i > at; i--) {
            c->best[i] = c->best[i - 1];
            dst[i] = dst[i - 1];
        }
        c->best[at] = value;
        dst[at] = j;
    }
    for (; found < most; found++)
        dst[found] = -1;
    return TKP_OK;
}

static tkp_status run_neighbours(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    TKP__TRY(check_data(args));
    const tkp_tensor *x = &args[X];
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const int32_t *ends = tkp__ref_i32(&args[ANCHOR_OFFSETS]);
    const int32_t *anchors = tkp__ref_i32(&args[ANCHORS]);
    const int32_t *members =
        tkp__present(&args[MEMBERS]) ? tkp__ref_i32(&args[MEMBERS]) : NULL;
    double *squares = tkp__ref_scratch(plan, workspace, SCRATCH_SQUARES);
    const call c = {
        .args = args,
        .squares = squares,
        .best = tkp__ref_scratch(plan, workspace, SCRATCH_BEST),
        .euclidean = plan->params.nearest.measure == TKP_GREEDY_EUCLIDEAN,
    };
    for (int64_t i = 0; i < args[ROWS].shape[0]; i++) {
        const void *row = tkp__ref_row(x, tkp__ref_i32(&args[ROWS])[i]);
        squares[i] = tkp__ref_dot(row, x->dtype, row, x->dtype, x->shape[1]);
    }
    for (int64_t g = 0; g < args[GROUP_OFFSETS].shape[0] - 1; g++)
        for (int32_t a = ends[g]; a < ends[g + 1]; a++)
            TKP__TRY(find(
                &c, anchors[a], members, offsets[g], offsets[g + 1],
                (int32_t *)tkp__data(&args[DST]) + a * args[DST].shape[1]));
    return TKP_OK;
}

const tkp__ref_op tkp__ref_neighbours = {
    .kind = TKP_OP_NEIGHBOURS,
    .params_size = sizeof(tkp_op_nearest),
    .kernel = "ref_neighbours",
    .plan = plan_neighbours,
    .run = run_neighbours,
};
