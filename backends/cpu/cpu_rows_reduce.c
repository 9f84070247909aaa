/*
 * ATTENTION_ROWS_REDUCE: candidate scores from finished probabilities. A task
 * is 256 candidates of one sequence; it walks rows and heads in order, so that
 * each row of probabilities is read along itself.
 */

#include "cpu/cpu.h"

enum { PROBS, Q_OFFSETS, Q_POSITIONS, OFFSETS, CANDIDATES, DST };
enum { PIECE = 256 };

struct reduce_plan {
    tkp__cpu_plan base;
    tkp_op_attention_scores params;
};

/* Candidates n .. n + count of sequence b. */
struct piece {
    const tkp_op_attention_scores *params;
    const tkp_tensor *args;
    int64_t b, n, count;
    int32_t first, end; /* query rows */
};

static tkp_status plan(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    (void)kernel_out;
    (void)ledger;
    ((struct reduce_plan *)base)->params =
        *(const tkp_op_attention_scores *)desc->params;
    return TKP_OK;
}

/* mean[i]: the mean over heads of row q at candidate i. */
static void head_mean(const struct piece *p, int32_t q, double *mean)
{
    const tkp_tensor *probs = &p->args[PROBS];
    const int32_t *at = tkp__cpu_i32(&p->args[CANDIDATES]) + p->n;
    const int64_t *stride = probs->strides;
    const int64_t heads = probs->shape[probs->ndim - 2];
    int64_t row = q * stride[0];
    if (probs->ndim == 4) {
        row = p->b * stride[0] +
              tkp__cpu_i32(&p->args[Q_POSITIONS])[q] * stride[1];
        stride++;
    }
    for (int64_t i = 0; i < p->count; i++)
        mean[i] = 0;
    for (int64_t h = 0; h < heads; h++) {
        const int64_t base = row + h * stride[1];
        if (probs->dtype == TKP_DTYPE_F32) {
            const float *x = (const float *)tkp__data(probs) + base;
            for (int64_t i = 0; i < p->count; i++)
                mean[i] += (double)x[at[i] * stride[2]];
        } else if (probs->dtype == TKP_DTYPE_BF16) {
            const uint16_t *x = (const uint16_t *)tkp__data(probs) + base;
            for (int64_t i = 0; i < p->count; i++)
                mean[i] += (double)tkp__bf16_to_f32(x[at[i] * stride[2]]);
        } else {
            const uint16_t *x = (const uint16_t *)tkp__data(probs) + base;
            for (int64_t i = 0; i < p->count; i++)
                mean[i] += (double)tkp__f16_to_f32(x[at[i] * stride[2]]);
        }
    }
    const bool half = p->params->flags & TKP_ATTENTION_EMULATE_HALF;
    for (int64_t i = 0; i < p->count; i++) {
        mean[i] /= (double)heads;
        if (half) {
            float m;
            tkp__store_f32(&m, probs->dtype, 0, (float)mean[i]);
            mean[i] = (double)tkp__load_f32(&m, probs->dtype, 0);
        }
    }
}

static void reduce_piece(const struct piece *p, float *dst)
{
    const int32_t *at = tkp__cpu_i32(&p->args[CANDIDATES]) + p->n;
    const int32_t *positions = tkp__cpu_i32(&p->args[Q_POSITIONS]);
    const int32_t *qo = tkp__cpu_i32(&p->args[Q_OFFSETS]) + p->b;
    const int32_t reduce = p->params->row_reduce;
    double mean[PIECE], sum[PIECE] = {0};
    int32_t seen[PIECE] = {0};
    for (int32_t q = p->first; q < p->end; q++) {
        head_mean(p, q, mean);
        for (int64_t i = 0; i < p->count; i++) {
            if ((p->params->flags & TKP_ATTENTION_CAUSAL) &&
                at[i] > positions[q])
                continue;
            /* NaN wins in the maximum, as it does in a sum. */
            if (reduce != TKP_ROW_REDUCE_MAX)
                sum[i] += mean[i];
            else if (!seen[i] || mean[i] > sum[i] || mean[i] != mean[i])
                sum[i] = sum[i] != sum[i] ? sum[i] : mean[i];
            seen[i]++;
        }
    }
    for (int64_t i = 0; i < p->count; i++) {
        if (seen[i] && reduce == TKP_ROW_REDUCE_MEAN)
            sum[i] /= (double)(qo[1] - qo[0]);
        else if (seen[i] && reduce == TKP_ROW_REDUCE_MEAN_VISIBLE)
            sum[i] /= (double)seen[i];
        dst[p->n + i] = (float)sum[i];
    }
}

static tkp_status check(const tkp_tensor *a)
{
    const int64_t keys = a[PROBS].shape[a[PROBS].ndim - 1];
    const int64_t rows = a[Q_POSITIONS].shape[0], n = a[DST].shape[0];
    TKP__TRY(tkp__cpu_check_covering(&a[Q_OFFSETS], rows, "q_offsets"));
    TKP__TRY(tkp__cpu_check_index(&a[Q_POSITIONS], rows, keys, "q_positions"));
    TKP__TRY(tkp__cpu_check_covering(&a[OFFSETS], n, "offsets"));
    return tkp__cpu_check_index(&a[CANDIDATES], n, keys, "candidates");
}

static tkp_status run(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const tkp_tensor *a = r->args;
    const tkp_op_attention_scores *params =
        &((const struct reduce_plan *)base)->params;
    const bool last = params->row_reduce == TKP_ROW_REDUCE_LAST ||
                      params->row_reduce == TKP_ROW_REDUCE_DEFAULT;
    TKP__TRY(check(a));
    const int32_t *qo = tkp__cpu_i32(&a[Q_OFFSETS]);
    const int32_t *co = tkp__cpu_i32(&a[OFFSETS]);
    const int64_t heads = a[PROBS].shape[a[PROBS].ndim - 2];
    for (int64_t b = 0; b + 1 < a[OFFSETS].shape[0]; b++) {
        const int32_t first = last && qo[b] < qo[b + 1] ? qo[b + 1] - 1 : qo[b];
        const int64_t work =
            (int64_t)(co[b + 1] - co[b]) * heads * (qo[b + 1] - first);
#pragma omp parallel for num_threads(base->threads)                            \
    schedule(dynamic, 1) if (tkp__cpu_worth_threads(work))
        for (int64_t n = co[b]; n < co[b + 1]; n += PIECE) {
            const struct piece p = {
                .params = params,
                .args = a,
                .b = b,
                .n = n,
                .count = tkp__cpu_min(PIECE, co[b + 1] - n),
                .first = first,
                .end = qo[b + 1],
            };
            reduce_piece(&p, tkp__data(&a[DST]));
        }
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_attention_rows_reduce = {
    .kind = TKP_OP_ATTENTION_ROWS_REDUCE,
    .plan_bytes = sizeof(struct reduce_plan),
    .supports = NULL,
    .plan = plan,
    .run = run,
    .destroy = NULL,
};
