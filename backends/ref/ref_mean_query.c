/*
 * MEAN_QUERY: attention that candidates get from the mean query of their unit.
 *
 *   qm_h    = mean of q_ih over the candidates i of the unit
 *   p_hj    = softmax over the candidates j of the unit of scale qm_h . k_jg(h)
 *   dst_j   = mean of p_hj over the heads
 *
 * Source: PACT (Dhouib et al. 2025, arXiv 2504.08966), which takes queries and
 * keys before they are rotated. In double.
 */

#include "ref/ref.h"

enum { Q, K, ROWS, OFFSETS, DST };
enum { SCRATCH_MEAN, SCRATCH_LOGITS, SCRATCH_SUMS };

static tkp_status
plan_mean_query(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_MEAN, args[Q].shape[2], sizeof(double)));
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_LOGITS, args[DST].shape[0], sizeof(double)));
    return tkp__ref_book(
        plan, ledger, SCRATCH_SUMS, args[DST].shape[0], sizeof(double));
}

typedef struct unit {
    const tkp_tensor *q, *k;
    const int32_t *rows; /* [n] */
    int32_t begin, n;
    double scale;
    double *mean;   /* [C] */
    double *logits; /* [n] */
} unit;

static const void *head_of(const tkp_tensor *t, int64_t row, int64_t head)
{
    return tkp__ref_at(t, row * t->strides[0] + head * t->strides[1]);
}

static void find_mean(const unit *u, int64_t head)
{
    const int64_t c = u->q->shape[2];
    for (int64_t d = 0; d < c; d++)
        u->mean[d] = 0.0;
    for (int32_t i = 0; i < u->n; i++) {
        const void *q = head_of(u->q, u->rows[i], head);
        for (int64_t d = 0; d < c; d++)
            u->mean[d] += (double)tkp__load_f32(q, u->q->dtype, d) / u->n;
    }
}

static tkp_status find_logits(const unit *u, int64_t head)
{
    for (int32_t j = 0; j < u->n; j++) {
        const void *k = head_of(u->k, u->rows[j], head);
        double dot = 0.0;
        for (int64_t d = 0; d < u->k->shape[2]; d++)
            dot += u->mean[d] * (double)tkp__load_f32(k, u->k->dtype, d);
        TKP__CHECK(
            isfinite(dot), TKP_ERR_DATA,
            "k: candidate %d with the mean query is not finite", u->begin + j);
        u->logits[j] = u->scale * dot;
    }
    return TKP_OK;
}

static tkp_status score_unit(const unit *u, double *sums)
{
    const int64_t heads = u->q->shape[1];
    const int64_t each = heads ? heads / u->k->shape[1] : 1;
    for (int32_t j = 0; j < u->n; j++)
        sums[j] = 0.0;
    for (int64_t h = 0; h < heads; h++) {
        double most = -INFINITY, total = 0.0;
        find_mean(u, h);
        TKP__TRY(find_logits(u, h / each));
        for (int32_t j = 0; j < u->n; j++)
            most = fmax(most, u->logits[j]);
        for (int32_t j = 0; j < u->n; j++)
            total += exp(u->logits[j] - most);
        for (int32_t j = 0; j < u->n; j++)
            sums[j] += exp(u->logits[j] - most) / total / (double)heads;
    }
    return TKP_OK;
}

static tkp_status run_mean_query(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    const int64_t n = args[DST].shape[0];
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    const float scale = plan->params.mean_query.scale;
    double *sums = tkp__ref_scratch(plan, workspace, SCRATCH_SUMS);
    float *dst = tkp__data(&args[DST]);
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, args[Q].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_covering(&args[OFFSETS], n, "offsets"));
    for (int64_t b = 0; b < args[OFFSETS].shape[0] - 1; b++) {
        const unit u = {
            .q = &args[Q],
            .k = &args[K],
            .rows = tkp__ref_i32(&args[ROWS]) + offsets[b],
            .begin = offsets[b],
            .n = offsets[b + 1] - offsets[b],
            .scale = scale != 0.0f ? (double)scale
                                   : 1.0 / sqrt((double)args[Q].shape[2]),
            .mean = tkp__ref_scratch(plan, workspace, SCRATCH_MEAN),
            .logits = tkp__ref_scratch(plan, workspace, SCRATCH_LOGITS),
        };
        TKP__TRY(score_unit(&u, sums + u.begin));
    }
    for (int64_t i = 0; i < n; i++)
        dst[i] = (float)sums[i];
    return TKP_OK;
}

const tkp__ref_op tkp__ref_mean_query = {
    .kind = TKP_OP_MEAN_QUERY,
    .params_size = sizeof(tkp_op_mean_query),
    .kernel = "ref_mean_query",
    .plan = plan_mean_query,
    .run = run_mean_query,
};
