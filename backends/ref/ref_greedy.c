/*
 * What the greedy kinds share.
 */

#include "ref/ref_greedy.h"

enum { SCRATCH_SQUARES, SCRATCH_CHOSEN };

tkp_status tkp__ref_greedy_book(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_SQUARES, args[TKP__REF_GREEDY_ROWS].shape[0],
        sizeof(double)));
    return tkp__ref_book(
        plan, ledger, SCRATCH_CHOSEN, tkp__ref_greedy_most(args, 0),
        sizeof(bool));
}

int64_t tkp__ref_greedy_most(const tkp_tensor *args, int32_t largest)
{
    const tkp_tensor *list = tkp__present(&args[TKP__REF_GREEDY_MEMBERS])
                                 ? &args[TKP__REF_GREEDY_MEMBERS]
                                 : &args[TKP__REF_GREEDY_ROWS];
    const int64_t n = list->shape[0];
    return largest > 0 && largest < n ? largest : n;
}

static tkp_status
check_groups(const tkp_tensor *args, const tkp_tensor *dst, int32_t largest)
{
    const tkp_tensor *rows = &args[TKP__REF_GREEDY_ROWS];
    const tkp_tensor *members = &args[TKP__REF_GREEDY_MEMBERS];
    const tkp_tensor *offsets = &args[TKP__REF_GREEDY_OFFSETS];
    const bool listed = tkp__present(members);
    const int64_t n = rows->shape[0];
    const int64_t groups = args[TKP__REF_GREEDY_KEEP].shape[0];
    TKP__TRY(tkp__ref_check_index(
        rows, n, args[TKP__REF_GREEDY_X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_offsets(
        offsets, listed ? members->shape[0] : n, "group_offsets"));
    const int32_t *o = tkp__ref_i32(offsets);
    if (listed)
        TKP__TRY(tkp__ref_check_index(members, o[groups], n, "members"));
    for (int64_t g = 0; g < groups; g++)
        TKP__CHECK(
            largest == 0 || o[g + 1] - o[g] <= largest, TKP_ERR_ARGUMENT,
            "group_offsets: group %lld has %d members, the plan was made for "
            "%d",
            (long long)g, o[g + 1] - o[g], largest);
    return tkp__ref_check_keep(
        offsets, &args[TKP__REF_GREEDY_KEEP],
        &args[TKP__REF_GREEDY_OUT_OFFSETS], dst->shape[0]);
}

/* Members of groups, in order, are those in `members` up to the last offset. */
static int32_t listed_member(const tkp_tensor *args, int32_t i)
{
    return tkp__present(&args[TKP__REF_GREEDY_MEMBERS])
               ? tkp__ref_i32(&args[TKP__REF_GREEDY_MEMBERS])[i]
               : i;
}

static int32_t listed_count(const tkp_tensor *args)
{
    const tkp_tensor *offsets = &args[TKP__REF_GREEDY_OFFSETS];
    return tkp__ref_i32(offsets)[offsets->shape[0] - 1];
}

tkp_status tkp__ref_greedy_check_weights(
    const tkp_tensor *args,
    const tkp_tensor *weights,
    const char *name,
    bool may_be_negative)
{
    if (!tkp__present(weights))
        return TKP_OK;
    const float *w = tkp__data(weights);
    for (int32_t i = 0; i < listed_count(args); i++) {
        const int32_t m = listed_member(args, i);
        TKP__CHECK(
            isfinite(w[m]) && (may_be_negative || w[m] >= 0.0f), TKP_ERR_DATA,
            "%s: entry %d is %g, wanted a finite number%s", name, m,
            (double)w[m], may_be_negative ? "" : " from 0");
    }
    return TKP_OK;
}

tkp_status tkp__ref_greedy_check(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    const tkp_tensor *dst,
    int32_t largest,
    char *workspace)
{
    const tkp_tensor *x = &args[TKP__REF_GREEDY_X];
    TKP__TRY(check_groups(args, dst, largest));
    const int32_t *rows = tkp__ref_i32(&args[TKP__REF_GREEDY_ROWS]);
    double *squares = tkp__ref_scratch(plan, workspace, SCRATCH_SQUARES);
    for (int32_t i = 0; i < listed_count(args); i++) {
        const int32_t m = listed_member(args, i);
        const void *row = tkp__ref_row(x, rows[m]);
        squares[m] = tkp__ref_dot(row, x->dtype, row, x->dtype, x->shape[1]);
        TKP__CHECK(
            isfinite(squares[m]), TKP_ERR_DATA,
            "x: row %d has a number that is not finite", rows[m]);
    }
    return TKP_OK;
}

tkp__ref_group tkp__ref_greedy_group(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    const tkp_tensor *dst,
    char *workspace,
    int64_t i)
{
    const int32_t *offsets = tkp__ref_i32(&args[TKP__REF_GREEDY_OFFSETS]);
    const tkp_tensor *members = &args[TKP__REF_GREEDY_MEMBERS];
    tkp__ref_group g = {
        .x = &args[TKP__REF_GREEDY_X],
        .rows = tkp__ref_i32(&args[TKP__REF_GREEDY_ROWS]),
        .members =
            tkp__present(members) ? tkp__ref_i32(members) + offsets[i] : NULL,
        .squares = tkp__ref_scratch(plan, workspace, SCRATCH_SQUARES),
        .first = offsets[i],
        .n = offsets[i + 1] - offsets[i],
        .keep = tkp__ref_i32(&args[TKP__REF_GREEDY_KEEP])[i],
        .dst = (int32_t *)tkp__data(dst) +
               tkp__ref_i32(&args[TKP__REF_GREEDY_OUT_OFFSETS])[i],
        .chosen = tkp__ref_scratch(plan, workspace, SCRATCH_CHOSEN),
    };
    for (int32_t j = 0; j < g.n; j++)
        g.chosen[j] = false;
    return g;
}

/* One root of the product: rows that are equal have exactly 1. */
double tkp__ref_cosine_of(const tkp__ref_group *g, int32_t a, int32_t b)
{
    const int32_t i = tkp__ref_member(g, a), j = tkp__ref_member(g, b);
    if (g->squares[i] == 0.0 || g->squares[j] == 0.0)
        return 0.0;
    const tkp_tensor *x = g->x;
    return tkp__ref_dot(
               tkp__ref_row(x, g->rows[i]), x->dtype,
               tkp__ref_row(x, g->rows[j]), x->dtype, x->shape[1]) /
           sqrt(g->squares[i] * g->squares[j]);
}

int32_t tkp__ref_greedy_best(const tkp__ref_group *g, const double *value)
{
    int32_t best = -1;
    for (int32_t j = 0; j < g->n; j++)
        if (!g->chosen[j] &&
            (best < 0 || value[j] > value[best] ||
             (value[j] == value[best] &&
              tkp__ref_member(g, j) < tkp__ref_member(g, best))))
            best = j;
    return best;
}

void tkp__ref_greedy_take(tkp__ref_group *g, int32_t t, int32_t best)
{
    g->chosen[best] = true;
    g->dst[t] = tkp__ref_member(g, best);
}
