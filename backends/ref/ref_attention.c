/*
 * ATTENTION: softmax(scale q k^T) v, a row at a time.
 *
 *   s_j   = scale * q[i, h] . k[j, g] + bias[j]    g = h / (H / G), j visible
 *   lse   = log sum_j exp(s_j)
 *   dst   = round( sum_j exp(s_j - lse) v[j, g] )
 *
 * Source: Vaswani et al., 2017; the numbers are those of a fused kernel: logits
 * and probabilities are never rounded. Causal: row i of nq sees keys 0 .. nk -
 * nq + i, so that the last row sees all (bottom-right aligned, as with a KV
 * cache).
 *
 * The bias is log size in ToMe and PACT: a row counts as the tokens it stands
 * for. Open choices: a row that sees no key (nk = 0, or nk < nq and an early row,
 * or all biases are -infinity) gives zeros and lse = -infinity. Sums in double.
 */

#include "ref/ref.h"

enum { Q, K, V, Q_OFFSETS, K_OFFSETS, DST, LSE, BIAS };
enum { SCRATCH_LOGITS, SCRATCH_SUMS };

static tkp_status
plan_attention(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_LOGITS, args[K].shape[0], sizeof(double)));
    return tkp__ref_book(
        plan, ledger, SCRATCH_SUMS, args[Q].shape[2], sizeof(double));
}

static const void *head_at(const tkp_tensor *t, int64_t row, int64_t head)
{
    return tkp__ref_at(t, row * t->strides[0] + head * t->strides[1]);
}

/* A NaN is seen. */
static bool sees_any(const double *s, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        if (!(s[j] == -INFINITY))
            return true;
    return false;
}

/* Logits of one row into s [n]; their log-sum-exp. */
static double row_logits(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    int64_t q,
    int64_t h,
    int64_t first_key,
    int64_t n,
    double *s)
{
    const int64_t channels = args[Q].shape[2];
    const float given = plan->params.attention.scale;
    const double scale =
        given != 0.0f ? (double)given : 1.0 / sqrt((double)channels);
    const int64_t g = h / (args[Q].shape[1] / args[K].shape[1]);
    double top = -INFINITY, sum = 0.0;
    const float *bias = tkp__present(&args[BIAS])
                            ? (const float *)tkp__data(&args[BIAS]) + first_key
                            : NULL;
    for (int64_t j = 0; j < n; j++) {
        s[j] = scale * tkp__ref_dot(
                           head_at(&args[Q], q, h), args[Q].dtype,
                           head_at(&args[K], first_key + j, g), args[K].dtype,
                           channels);
        if (bias)
            s[j] += (double)bias[j];
        if (s[j] > top)
            top = s[j];
    }
    if (!sees_any(s, n))
        return -INFINITY;
    for (int64_t j = 0; j < n; j++)
        sum += exp(s[j] - top);
    return top + log(sum);
}

/* One row of one head: first_key and n say which keys it sees. */
static void attend(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    int64_t q,
    int64_t h,
    int64_t first_key,
    int64_t n,
    char *workspace)
{
    double *s = tkp__ref_scratch(plan, workspace, SCRATCH_LOGITS);  /* [n] */
    double *sums = tkp__ref_scratch(plan, workspace, SCRATCH_SUMS); /* [C] */
    const int64_t channels = args[Q].shape[2];
    const int64_t g = h / (args[Q].shape[1] / args[K].shape[1]);
    const double lse = row_logits(plan, args, q, h, first_key, n, s);
    for (int64_t c = 0; c < channels; c++)
        sums[c] = 0.0;
    for (int64_t j = 0; j < n; j++) {
        const double p = s[j] == -INFINITY ? 0.0 : exp(s[j] - lse);
        const void *v = head_at(&args[V], first_key + j, g);
        for (int64_t c = 0; c < channels; c++)
            sums[c] += p * (double)tkp__load_f32(v, args[V].dtype, c);
    }
    void *dst = tkp__ref_at(
        &args[DST], q * args[DST].strides[0] + h * args[DST].strides[1]);
    for (int64_t c = 0; c < channels; c++)
        tkp__store_f32(dst, args[DST].dtype, c, (float)sums[c]);
    if (tkp__present(&args[LSE]))
        ((float *)tkp__ref_row(&args[LSE], q))[h] = (float)lse;
}

static tkp_status run_attention(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    TKP__TRY(tkp__ref_check_covering(
        &args[Q_OFFSETS], args[Q].shape[0], "q_offsets"));
    TKP__TRY(tkp__ref_check_offsets(
        &args[K_OFFSETS], args[K].shape[0], "k_offsets"));
    const int32_t *qo = tkp__ref_i32(&args[Q_OFFSETS]);
    const int32_t *ko = tkp__ref_i32(&args[K_OFFSETS]);
    const bool causal = plan->params.attention.flags & TKP_ATTENTION_CAUSAL;
    for (int64_t b = 0; b + 1 < args[Q_OFFSETS].shape[0]; b++) {
        const int64_t nq = qo[b + 1] - qo[b], nk = ko[b + 1] - ko[b];
        for (int64_t i = 0; i < nq; i++) {
            int64_t visible = causal ? nk - nq + i + 1 : nk;
            if (visible < 0)
                visible = 0;
            for (int64_t h = 0; h < args[Q].shape[1]; h++)
                attend(plan, args, qo[b] + i, h, ko[b], visible, workspace);
        }
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_attention = {
    .kind = TKP_OP_ATTENTION,
    .params_size = sizeof(tkp_op_attention),
    .kernel = "ref_attention",
    .plan = plan_attention,
    .run = run_attention,
};
