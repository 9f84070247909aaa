/*
 * CROP_VARIANCE: how unevenly a token is like the others of its crop.
 *
 *   s_ij = x_i . x_j / (|x_i| |x_j|) for i, j of one crop of n, s_ii = 0
 *   m_i = sum_j s_ij / (n - 1),  v_i = sum_j (s_ij - m_i)^2 / (n - 1)
 *   dst_i = v_i, or with attention
 *   dst_i = t_i + gain mean|t| / (mean v + 1e-6) v_i,  t = 1000 attention
 *
 * with means over the crop. Source: HoloV (github.com/obananas/HoloV), where a
 * crop of one token has its attention as it is: `bare`. Open choices: v = 0 in a
 * crop of one; the cosine is 0 where a norm is 0. In double:
 * v_i (n - 1) = sum_j s_ij^2 - (n - 2) m_i^2.
 */

#include "ref/ref.h"

enum { X, ROWS, OFFSETS, ATTENTION, DST };
enum { SCRATCH_NORM, SCRATCH_SUM, SCRATCH_SQUARES };

static tkp_status plan_crop_variance(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    for (int32_t i = SCRATCH_NORM; i <= SCRATCH_SQUARES; i++)
        TKP__TRY(
            tkp__ref_book(plan, ledger, i, args[DST].shape[0], sizeof(double)));
    return TKP_OK;
}

typedef struct crop {
    const tkp_tensor *x;
    const int32_t *rows; /* [n] */
    int32_t begin, n;
    double *norm, *sum, *squares; /* [n]; squares becomes v */
} crop;

static double dot(const crop *c, int32_t i, int32_t j)
{
    return tkp__ref_dot(
        tkp__ref_row(c->x, c->rows[i]), c->x->dtype,
        tkp__ref_row(c->x, c->rows[j]), c->x->dtype, c->x->shape[1]);
}

static tkp_status find_variances(const crop *c)
{
    for (int32_t i = 0; i < c->n; i++) {
        c->norm[i] = sqrt(dot(c, i, i));
        c->sum[i] = c->squares[i] = 0.0;
        TKP__CHECK(
            isfinite(c->norm[i]), TKP_ERR_DATA,
            "x: the norm of candidate %d is not finite", c->begin + i);
    }
    for (int32_t i = 0; i < c->n; i++)
        for (int32_t j = i + 1; j < c->n; j++) {
            const double norms = c->norm[i] * c->norm[j];
            const double s = norms > 0.0 ? dot(c, i, j) / norms : 0.0;
            c->sum[i] += s;
            c->sum[j] += s;
            c->squares[i] += s * s;
            c->squares[j] += s * s;
        }
    for (int32_t i = 0; i < c->n; i++) {
        const double mean = c->n > 1 ? c->sum[i] / (c->n - 1) : 0.0;
        const double all = c->squares[i] - (c->n - 2) * mean * mean;
        c->squares[i] = c->n > 1 && all > 0.0 ? all / (c->n - 1) : 0.0;
    }
    return TKP_OK;
}

static tkp_status add_attention(
    const tkp_op_crop_variance *p,
    const crop *c,
    const float *attention,
    float *dst)
{
    const double scale = p->bare && c->n == 1 ? 1.0 : 1000.0;
    double size = 0.0, spread = 0.0;
    for (int32_t i = 0; i < c->n; i++) {
        TKP__CHECK(
            isfinite(attention[i]), TKP_ERR_DATA,
            "attention: entry %d is not finite", c->begin + i);
        size += scale * fabs((double)attention[i]) / c->n;
        spread += c->squares[i] / c->n;
    }
    const double part = (double)p->gain * size / (spread + 1e-6);
    for (int32_t i = 0; i < c->n; i++)
        dst[i] = (float)(scale * (double)attention[i] + part * c->squares[i]);
    return TKP_OK;
}

static tkp_status run_crop_variance(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    const int64_t n = args[DST].shape[0];
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    float *dst = tkp__data(&args[DST]);
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_covering(&args[OFFSETS], n, "offsets"));
    for (int64_t g = 0; g < args[OFFSETS].shape[0] - 1; g++) {
        const crop c = {
            .x = &args[X],
            .rows = tkp__ref_i32(&args[ROWS]) + offsets[g],
            .begin = offsets[g],
            .n = offsets[g + 1] - offsets[g],
            .norm = tkp__ref_scratch(plan, workspace, SCRATCH_NORM),
            .sum = tkp__ref_scratch(plan, workspace, SCRATCH_SUM),
            .squares = tkp__ref_scratch(plan, workspace, SCRATCH_SQUARES),
        };
        TKP__TRY(find_variances(&c));
        if (tkp__present(&args[ATTENTION])) {
            const float *attention = tkp__data(&args[ATTENTION]);
            TKP__TRY(add_attention(
                &plan->params.crop_variance, &c, attention + c.begin,
                dst + c.begin));
            continue;
        }
        for (int32_t i = 0; i < c.n; i++)
            dst[c.begin + i] = (float)c.squares[i];
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_crop_variance = {
    .kind = TKP_OP_CROP_VARIANCE,
    .params_size = sizeof(tkp_op_crop_variance),
    .kernel = "ref_crop_variance",
    .plan = plan_crop_variance,
    .run = run_crop_variance,
};
