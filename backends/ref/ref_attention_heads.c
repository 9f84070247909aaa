/*
 * ATTENTION_HEADS: attention of the heads that look at the candidates most, without
 * what distance alone makes of it.
 *
 *   c[h, q, j] = p[h, q, j] / max(G[q, j], G(0) / 64)    p of ATTENTION_SCORES
 *   G[q, j]    = (2 / sqrt(C)) mean_r sum_{i < C/2} cos((pos_r(q) - pos_r(j))
 *                / theta^(2 i / C))
 *   t[h]       = sum over the rows and candidates of a sequence of c[h, q, j]
 *   dst[n]     = reduce over q of the mean of c[h, q, candidates[n]] over the
 *                heads of largest t
 *
 * Source: SparseVLM+ (Gumpest/SparseVLMs, main; modelling_sparse_llama.py,
 * score.py, USE_VERSION 2_0). G is what rotary leaves of the product of two rows
 * of ones, so G(0) = sqrt(C).
 *
 * Open choices: far away G turns around 0, where the published code divides by
 * it all the same, so that what is attended to counts against a token: here it
 * is bound from below. Several rows of positions turn all pairs, and are meaned.
 * Of equal heads the lower number. A row that does not see a key adds nothing.
 * Angles and sums in double.
 */

#include "ref/ref_head_mean.h"

enum {
    Q,
    Q_OFFSETS = 4,
    Q_POSITIONS,
    K_OFFSETS,
    OFFSETS,
    CAND,
    POSITIONS,
    DST
};
enum { SCRATCH_LOGITS, SCRATCH_HEADS, SCRATCH_SUMS, SCRATCH_SEEN };
enum { PER_HEAD = 2 }; /* lse, total */

/* G(0) over the least that is divided by. */
static const double BOUND = 64.0;

typedef struct heads {
    tkp__ref_head_mean mean;
    const tkp_op_attention_heads *params;
    double *total;  /* [H] */
    double *sums;   /* [H, candidates of the sequence] over its rows */
    int32_t *seen;  /* [N] rows that see the candidate */
    int32_t *taken; /* [H] */
    double *speed;  /* [C / 2] of the rotary angles */
} heads;

static tkp_status
plan_heads(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t h = args[Q].shape[1], n = args[DST].shape[0];
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_LOGITS, tkp__ref_head_mean_keys(args),
        sizeof(double)));
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_HEADS, PER_HEAD * h + args[Q].shape[2] / 2,
        sizeof(double)));
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_SUMS, h * n, sizeof(double)));
    return tkp__ref_book(plan, ledger, SCRATCH_SEEN, h + n, sizeof(int32_t));
}

/* What p is divided by, between two rows of the packed batch. */
static double distance_kernel(const heads *s, int64_t q_row, int64_t k_row)
{
    const tkp_tensor *positions = &s->mean.args[POSITIONS];
    const int64_t channels = s->mean.args[Q].shape[2];
    const double zero = sqrt((double)channels);
    double sum = 0.0;
    if (s->params->theta == 0.0)
        return 1.0;
    for (int64_t r = 0; r < positions->shape[0]; r++) {
        const int32_t *at = tkp__ref_row(positions, r);
        const double apart = (double)at[q_row] - (double)at[k_row];
        for (int64_t i = 0; i < channels / 2; i++)
            sum += cos(apart * s->speed[i]);
    }
    sum *= 2.0 / (zero * (double)positions->shape[0]);
    return sum > zero / BOUND ? sum : zero / BOUND;
}

/* Add query row q to the sums of each head. */
static void add_row(heads *s, int64_t b, int64_t q)
{
    const tkp_tensor *args = s->mean.args;
    const int32_t *co = tkp__ref_i32(&args[OFFSETS]);
    const int32_t *cand = tkp__ref_i32(&args[CAND]);
    const int64_t start = tkp__ref_i32(&args[K_OFFSETS])[b];
    const int64_t row = start + tkp__ref_i32(&args[Q_POSITIONS])[q];
    const int64_t n = co[b + 1] - co[b];
    const int64_t visible = tkp__ref_head_mean_row(&s->mean, b, q);
    for (int64_t i = 0; i < n; i++) {
        const int32_t key = cand[co[b] + i];
        if (key >= visible)
            continue;
        const double by = distance_kernel(s, row, start + key);
        s->seen[i]++;
        for (int64_t h = 0; h < args[Q].shape[1]; h++)
            s->sums[h * n + i] +=
                tkp__ref_head_mean_one(&s->mean, b, q, h, key) / by;
    }
}

/* Mark the heads of largest total; how many they are. */
static int32_t take_heads(heads *s, int64_t n)
{
    const int32_t all = (int32_t)s->mean.args[Q].shape[1];
    const int32_t wanted =
        s->params->heads && s->params->heads < all ? s->params->heads : all;
    for (int32_t h = 0; h < all; h++) {
        s->taken[h] = 0;
        s->total[h] = 0.0;
        for (int64_t i = 0; i < n; i++)
            s->total[h] += s->sums[h * n + i];
    }
    for (int32_t taken = 0; taken < wanted; taken++) {
        int32_t best = -1;
        for (int32_t h = 0; h < all; h++)
            if (!s->taken[h] && (best < 0 || s->total[h] > s->total[best]))
                best = h;
        s->taken[best] = 1;
    }
    return wanted;
}

static float
score(const heads *s, int64_t i, int64_t n, int32_t of, int64_t rows)
{
    const int32_t reduce = s->params->row_reduce;
    double sum = 0.0;
    for (int64_t h = 0; h < s->mean.args[Q].shape[1]; h++)
        if (s->taken[h])
            sum += s->sums[h * n + i];
    sum /= (double)of;
    if (reduce == TKP_ROW_REDUCE_MEAN && rows > 0)
        sum /= (double)rows;
    if (reduce == TKP_ROW_REDUCE_MEAN_VISIBLE && s->seen[i] > 0)
        sum /= (double)s->seen[i];
    return (float)sum;
}

static tkp_status check_positions(const tkp_tensor *args, double theta)
{
    const int32_t *ko = tkp__ref_i32(&args[K_OFFSETS]);
    const int64_t rows = ko[args[K_OFFSETS].shape[0] - 1];
    TKP__CHECK(
        theta == 0.0 || rows <= args[POSITIONS].shape[1], TKP_ERR_ARGUMENT,
        "positions: are of %lld rows, k_offsets end at %lld",
        (long long)args[POSITIONS].shape[1], (long long)rows);
    return TKP_OK;
}

static tkp_status
run_heads(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_op_attention_heads *p = &plan->params.attention_heads;
    const int64_t all = args[Q].shape[1];
    double *per_head = tkp__ref_scratch(plan, workspace, SCRATCH_HEADS);
    int32_t *counts = tkp__ref_scratch(plan, workspace, SCRATCH_SEEN);
    heads s = {
        .mean =
            {.args = args,
             .flags = p->flags,
             .scale = p->scale,
             .logits = tkp__ref_scratch(plan, workspace, SCRATCH_LOGITS),
             .lse = per_head},
        .params = p,
        .total = per_head + all,
        .sums = tkp__ref_scratch(plan, workspace, SCRATCH_SUMS),
        .seen = counts + all,
        .taken = counts,
        .speed = per_head + PER_HEAD * all,
    };
    const int32_t *qo = tkp__ref_i32(&args[Q_OFFSETS]);
    const int32_t *co = tkp__ref_i32(&args[OFFSETS]);
    float *dst = tkp__data(&args[DST]);
    TKP__TRY(tkp__ref_head_mean_check(args));
    TKP__TRY(check_positions(args, p->theta));
    for (int64_t i = 0; p->theta != 0.0 && i < args[Q].shape[2] / 2; i++)
        s.speed[i] = pow(p->theta, -(double)(2 * i) / (double)args[Q].shape[2]);
    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++) {
        const int64_t rows = qo[b + 1] - qo[b], n = co[b + 1] - co[b];
        const bool last = p->row_reduce == TKP_ROW_REDUCE_LAST && rows > 0;
        for (int64_t i = 0; i < all * n; i++)
            s.sums[i] = 0.0;
        for (int64_t i = 0; i < n; i++)
            s.seen[i] = 0;
        for (int64_t q = last ? qo[b + 1] - 1 : qo[b]; q < qo[b + 1]; q++)
            add_row(&s, b, q);
        const int32_t of = take_heads(&s, n);
        for (int64_t i = 0; i < n; i++)
            dst[co[b] + i] = score(&s, i, n, of, rows);
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_attention_heads = {
    .kind = TKP_OP_ATTENTION_HEADS,
    .params_size = sizeof(tkp_op_attention_heads),
    .kernel = "ref_attention_heads",
    .plan = plan_heads,
    .run = run_heads,
};
