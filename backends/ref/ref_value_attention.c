/*
 * VALUE_ATTENTION: how like candidates' values are to those of text, and to those
 * of the candidates that are most like it.
 *
 *   p[t, j]  = mean over heads of softmax over the sequence's candidates j of
 *              scale v_tg . v_jg,  t a row of its text
 *   seeds    = the `seeds[b]` candidates of the highest mean of p over the text,
 *              rounded to f32; of equal ones the lower
 *   dst_j    = mean of p[t, j] over the text and the seeds' rows
 *
 * Source: IVC-Prune (ICLR 2026, arXiv 2602.03060). Open choice: without text all
 * are 0. In double.
 */

#include "ref/ref.h"

enum { V, TEXT, TEXT_OFFSETS, ROWS, OFFSETS, SEEDS, DST };
enum { SCRATCH_LOGITS, SCRATCH_SUMS, SCRATCH_ORDER };

static tkp_status plan_value_attention(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    const int64_t n = args[DST].shape[0];
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_LOGITS, n, sizeof(double)));
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_SUMS, n, sizeof(double)));
    return tkp__ref_book(plan, ledger, SCRATCH_ORDER, n, sizeof(int32_t));
}

typedef struct sequence {
    const tkp_tensor *v;
    const int32_t *rows; /* [n] */
    int32_t n;
    double scale;
    double *logits; /* [n] */
    double *sums;   /* [n] */
} sequence;

static const void *head_of(const tkp_tensor *v, int64_t row, int64_t head)
{
    return tkp__ref_at(v, row * v->strides[0] + head * v->strides[1]);
}

/* What a row gives to the candidates, on top of what they have. */
static tkp_status add_row(const sequence *s, int32_t row)
{
    const int64_t heads = s->v->shape[1], channels = s->v->shape[2];
    for (int64_t h = 0; h < heads; h++) {
        const void *q = head_of(s->v, row, h);
        double most = -INFINITY, total = 0.0;
        for (int32_t j = 0; j < s->n; j++) {
            s->logits[j] =
                s->scale * tkp__ref_dot(
                               q, s->v->dtype, head_of(s->v, s->rows[j], h),
                               s->v->dtype, channels);
            TKP__CHECK(
                isfinite(s->logits[j]), TKP_ERR_DATA,
                "v: rows %d and %d have a product that is not finite", row,
                s->rows[j]);
            most = fmax(most, s->logits[j]);
        }
        for (int32_t j = 0; j < s->n; j++)
            total += exp(s->logits[j] - most);
        for (int32_t j = 0; j < s->n; j++)
            s->sums[j] += exp(s->logits[j] - most) / total / (double)heads;
    }
    return TKP_OK;
}

static tkp_status score_sequence(
    const sequence *s,
    const int32_t *text,
    int32_t n_text,
    int32_t seeds,
    int32_t *order,
    float *dst)
{
    for (int32_t j = 0; j < s->n; j++) {
        s->sums[j] = 0.0;
        order[j] = j;
    }
    for (int32_t t = 0; t < n_text; t++)
        TKP__TRY(add_row(s, text[t]));
    for (int32_t j = 0; j < s->n; j++)
        dst[j] = n_text ? (float)(s->sums[j] / n_text) : 0.0f;
    if (n_text == 0 || seeds == 0)
        return TKP_OK;
    tkp__ref_sort(order, s->n, dst, TKP_ORDER_HIGHEST);
    for (int32_t i = 0; i < seeds; i++)
        TKP__TRY(add_row(s, s->rows[order[i]]));
    for (int32_t j = 0; j < s->n; j++)
        dst[j] = (float)(s->sums[j] / (n_text + seeds));
    return TKP_OK;
}

static tkp_status check_data(const tkp_tensor *args)
{
    const int64_t n = args[DST].shape[0], all = args[V].shape[0];
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, all, "rows"));
    TKP__TRY(
        tkp__ref_check_index(&args[TEXT], args[TEXT].shape[0], all, "text"));
    TKP__TRY(tkp__ref_check_covering(&args[OFFSETS], n, "offsets"));
    TKP__TRY(tkp__ref_check_covering(
        &args[TEXT_OFFSETS], args[TEXT].shape[0], "text_offsets"));
    for (int64_t b = 0; b < args[SEEDS].shape[0]; b++) {
        const int32_t seeds = tkp__ref_i32(&args[SEEDS])[b];
        TKP__CHECK(
            seeds >= 0 && seeds <= offsets[b + 1] - offsets[b],
            TKP_ERR_ARGUMENT, "seeds: entry %lld is %d, wanted 0 to %d",
            (long long)b, seeds, offsets[b + 1] - offsets[b]);
    }
    return TKP_OK;
}

static tkp_status run_value_attention(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    const int32_t *text_offsets = tkp__ref_i32(&args[TEXT_OFFSETS]);
    const float scale = plan->params.value_attention.scale;
    TKP__TRY(check_data(args));
    for (int64_t b = 0; b < args[SEEDS].shape[0]; b++) {
        const sequence s = {
            .v = &args[V],
            .rows = tkp__ref_i32(&args[ROWS]) + offsets[b],
            .n = offsets[b + 1] - offsets[b],
            .scale = scale != 0.0f ? (double)scale
                                   : 1.0 / sqrt((double)args[V].shape[2]),
            .logits = tkp__ref_scratch(plan, workspace, SCRATCH_LOGITS),
            .sums = tkp__ref_scratch(plan, workspace, SCRATCH_SUMS),
        };
        TKP__TRY(score_sequence(
            &s, tkp__ref_i32(&args[TEXT]) + text_offsets[b],
            text_offsets[b + 1] - text_offsets[b],
            tkp__ref_i32(&args[SEEDS])[b],
            tkp__ref_scratch(plan, workspace, SCRATCH_ORDER),
            (float *)tkp__data(&args[DST]) + offsets[b]));
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_value_attention = {
    .kind = TKP_OP_VALUE_ATTENTION,
    .params_size = sizeof(tkp_op_value_attention),
    .kernel = "ref_value_attention",
    .plan = plan_value_attention,
    .run = run_value_attention,
};
