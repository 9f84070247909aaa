/*
 * COMPACT: the rows that stay, ascending.
 *
 *   dst = sort( (0 .. R-1 without candidates) and candidates[selected] )
 *
 * Source: the index set I of FastV: all positions outside of the visual set,
 * and the kept visual ones. R is dst's size + N - K; more than the plan's
 * `rows` is refused. A candidate or a selection that comes twice is refused.
 */

#include "ref/ref.h"

enum { CANDIDATES, SELECTED, DST };
enum { SCRATCH_MARKS };
enum { STAYS, GOES, CHOSEN };

static tkp_status
plan_compact(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    (void)args;
    return tkp__ref_book(
        plan, ledger, SCRATCH_MARKS, plan->params.compact.rows, 1);
}

/* Mark each row; this checks the indices as well. */
static tkp_status
mark_rows(const tkp_tensor *args, int64_t rows, unsigned char *marks)
{
    const int32_t *candidates = tkp__ref_i32(&args[CANDIDATES]);
    const int32_t *selected = tkp__ref_i32(&args[SELECTED]);
    const int64_t n = args[CANDIDATES].shape[0];
    const int64_t k = args[SELECTED].shape[0];
    TKP__TRY(tkp__ref_check_index(&args[CANDIDATES], n, rows, "candidates"));
    TKP__TRY(tkp__ref_check_index(&args[SELECTED], k, n, "selected"));
    for (int64_t r = 0; r < rows; r++)
        marks[r] = STAYS;
    for (int64_t i = 0; i < n; i++) {
        TKP__CHECK(
            marks[candidates[i]] == STAYS, TKP_ERR_ARGUMENT,
            "candidates: entry %lld is %d, which came before", (long long)i,
            candidates[i]);
        marks[candidates[i]] = GOES;
    }
    for (int64_t i = 0; i < k; i++) {
        unsigned char *mark = &marks[candidates[selected[i]]];
        TKP__CHECK(
            *mark == GOES, TKP_ERR_ARGUMENT,
            "selected: entry %lld is %d, which came before", (long long)i,
            selected[i]);
        *mark = CHOSEN;
    }
    return TKP_OK;
}

static tkp_status
run_compact(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const int64_t rows = args[DST].shape[0] + args[CANDIDATES].shape[0] -
                         args[SELECTED].shape[0];
    TKP__CHECK(
        rows >= 0 && rows <= plan->params.compact.rows, TKP_ERR_SHAPE,
        "dst: makes %lld rows, the plan was made for %lld", (long long)rows,
        (long long)plan->params.compact.rows);
    unsigned char *marks = tkp__ref_scratch(plan, workspace, SCRATCH_MARKS);
    TKP__TRY(mark_rows(args, rows, marks));
    int32_t *dst = tkp__data(&args[DST]);
    for (int64_t r = 0; r < rows; r++)
        if (marks[r] != GOES)
            *dst++ = (int32_t)r;
    return TKP_OK;
}

const tkp__ref_op tkp__ref_compact = {
    .kind = TKP_OP_COMPACT,
    .params_size = sizeof(tkp_op_compact),
    .kernel = "ref_compact",
    .plan = plan_compact,
    .run = run_compact,
};
