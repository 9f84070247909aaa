/*
 * ATTENTION_RANK: how many directions the rows of attention span.
 *
 *   A[q, n]  = a[q, candidates[n]] of ATTENTION_SCORES, rounded to f32
 *   rank     = singular values of A above tolerance times the largest
 *
 * Source: SparseVLM, first release (Gumpest/SparseVLMs at v1.0, score.py), the
 * numerical rank of the raters' rows, by the usual tolerance of max(rows,
 * columns) machine epsilons of f32. Open choices: a row that does not see a
 * candidate has 0 there; without rows or candidates the rank is 0. In double, by
 * the eigenvalues of A A^T or A^T A, whichever is smaller: the square of the
 * tolerance is far above the rounding of those.
 */

#include <float.h>

#include "ref/ref_head_mean.h"
#include "ref/ref_tridiagonal.h"

enum { Q, Q_OFFSETS = 4, OFFSETS = 7, CAND, DST };
enum { SCRATCH_LOGITS, SCRATCH_LSE, SCRATCH_ROWS, SCRATCH_GRAM };
enum { LINES = 4 };

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static tkp_status
plan_rank(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t q = args[Q].shape[0], n = args[CAND].shape[0];
    const int64_t side = smaller(q, n);
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_LOGITS, tkp__ref_head_mean_keys(args),
        sizeof(double)));
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_LSE, args[Q].shape[1], sizeof(double)));
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_ROWS, q * n, sizeof(double)));
    return tkp__ref_book(
        plan, ledger, SCRATCH_GRAM, side * (side + LINES), sizeof(double));
}

/* The rows, or the columns where there are fewer of those, one after the other. */
static tkp_status
fill_lines(const tkp__ref_head_mean *m, int64_t b, bool columns, double *line)
{
    const int32_t *qo = tkp__ref_i32(&m->args[Q_OFFSETS]);
    const int32_t *co = tkp__ref_i32(&m->args[OFFSETS]);
    const int32_t *cand = tkp__ref_i32(&m->args[CAND]);
    const int64_t rows = qo[b + 1] - qo[b], n = co[b + 1] - co[b];
    for (int64_t r = 0; r < rows; r++) {
        const int64_t visible = tkp__ref_head_mean_row(m, b, qo[b] + r);
        for (int64_t i = 0; i < n; i++) {
            const int32_t key = cand[co[b] + i];
            const float a =
                key < visible
                    ? (float)tkp__ref_head_mean_at(m, b, qo[b] + r, key)
                    : 0.0f;
            TKP__CHECK(
                isfinite(a), TKP_ERR_DATA,
                "q, k: query row %lld gives key %d an attention of %g",
                (long long)(qo[b] + r), key, (double)a);
            line[columns ? i * rows + r : r * n + i] = (double)a;
        }
    }
    return TKP_OK;
}

/* Of `count` lines of `length`. */
static int32_t rank_of(
    const double *line,
    int64_t count,
    int64_t length,
    double tolerance,
    double *gram)
{
    double *lines = gram + count * count;
    const tkp__ref_tridiagonal t = {
        .n = (int32_t)count,
        .a = gram,
        .d = lines,
        .e = lines + count,
        .scale = lines + 2 * count,
        .scratch = lines + 3 * count,
    };
    double largest;
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j <= i; j++)
            gram[i * count + j] = gram[j * count + i] =
                tkp__ref_dot_f64(line + i * length, line + j * length, length);
    tkp__ref_tridiagonal_reduce(&t);
    tkp__ref_tridiagonal_values(&t, 1, &largest);
    if (largest <= 0.0)
        return 0;
    const double tiny = largest * DBL_EPSILON * DBL_EPSILON + DBL_MIN;
    return t.n - tkp__ref_tridiagonal_below(
                     &t, tolerance * tolerance * largest, tiny);
}

static tkp_status
run_rank(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_op_attention_rank *p = &plan->params.attention_rank;
    const tkp__ref_head_mean mean = {
        .args = args,
        .flags = p->flags,
        .scale = p->scale,
        .logits = tkp__ref_scratch(plan, workspace, SCRATCH_LOGITS),
        .lse = tkp__ref_scratch(plan, workspace, SCRATCH_LSE),
    };
    double *line = tkp__ref_scratch(plan, workspace, SCRATCH_ROWS);
    const int32_t *qo = tkp__ref_i32(&args[Q_OFFSETS]);
    const int32_t *co = tkp__ref_i32(&args[OFFSETS]);
    int32_t *dst = tkp__data(&args[DST]);
    TKP__TRY(tkp__ref_head_mean_check(args));
    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++) {
        const int64_t rows = qo[b + 1] - qo[b], n = co[b + 1] - co[b];
        const int64_t larger = rows > n ? rows : n;
        const double tolerance = p->tolerance != 0.0f
                                     ? (double)p->tolerance
                                     : (double)larger * FLT_EPSILON;
        dst[b] = 0;
        if (rows == 0 || n == 0)
            continue;
        TKP__TRY(fill_lines(&mean, b, n < rows, line));
        dst[b] = rank_of(
            line, smaller(rows, n), larger, tolerance,
            tkp__ref_scratch(plan, workspace, SCRATCH_GRAM));
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_attention_rank = {
    .kind = TKP_OP_ATTENTION_RANK,
    .params_size = sizeof(tkp_op_attention_rank),
    .kernel = "ref_attention_rank",
    .plan = plan_rank,
    .run = run_rank,
};
