/*
 * CURVATURE: how sharply a path turns at each of its points.
 *
 *   y_t = x_t / |x_t| (0 stays 0),  d_t = y_(t+1) - y_t
 *   dst[t] = 1 - cos(d_(t-1), d_t),  1 at both ends of a path
 *
 * Source: V-CAST (2026): the points are the means of a video's frames. Open
 * choice: where a step has no length its cosine is 0, so that standing still
 * counts as a right angle, as an end does.
 */

#include "ref/ref.h"

enum { X, OFFSETS, DST };
enum { SCRATCH_STEPS };

static tkp_status
plan_curvature(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    return tkp__ref_book(
        plan, ledger, SCRATCH_STEPS, 2 * args[X].shape[1], sizeof(double));
}

static tkp_status length(const tkp_tensor *x, int64_t t, double *out)
{
    const void *row = tkp__ref_row(x, t);
    *out = sqrt(tkp__ref_dot(row, x->dtype, row, x->dtype, x->shape[1]));
    TKP__CHECK(
        isfinite(*out), TKP_ERR_DATA, "x: row %lld is not finite",
        (long long)t);
    return TKP_OK;
}

/* From point t to the next. */
static tkp_status step(const tkp_tensor *x, int64_t t, double *dst)
{
    double from, to;
    TKP__TRY(length(x, t, &from));
    TKP__TRY(length(x, t + 1, &to));
    for (int64_t c = 0; c < x->shape[1]; c++) {
        const double a = (double)tkp__load_f32(tkp__ref_row(x, t), x->dtype, c);
        const double b =
            (double)tkp__load_f32(tkp__ref_row(x, t + 1), x->dtype, c);
        dst[c] = (to > 0.0 ? b / to : 0.0) - (from > 0.0 ? a / from : 0.0);
    }
    return TKP_OK;
}

static double cosine(const double *a, const double *b, int64_t d)
{
    double ab = 0.0, aa = 0.0, bb = 0.0;
    for (int64_t c = 0; c < d; c++) {
        ab += a[c] * b[c];
        aa += a[c] * a[c];
        bb += b[c] * b[c];
    }
    return aa > 0.0 && bb > 0.0 ? ab / (sqrt(aa) * sqrt(bb)) : 0.0;
}

static tkp_status run_curvature(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    const tkp_tensor *x = &args[X];
    const int64_t d = x->shape[1];
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    float *dst = tkp__data(&args[DST]);
    TKP__TRY(tkp__ref_check_covering(&args[OFFSETS], x->shape[0], "offsets"));
    for (int64_t t = 0; t < x->shape[0]; t++) {
        double ignored;
        TKP__TRY(length(x, t, &ignored));
    }
    double *before = tkp__ref_scratch(plan, workspace, SCRATCH_STEPS);
    double *after = before + d;
    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++)
        for (int32_t t = offsets[b]; t < offsets[b + 1]; t++) {
            dst[t] = 1.0f;
            if (t == offsets[b] || t + 1 == offsets[b + 1])
                continue;
            TKP__TRY(step(x, t - 1, before));
            TKP__TRY(step(x, t, after));
            dst[t] = (float)(1.0 - cosine(before, after, d));
        }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_curvature = {
    .kind = TKP_OP_CURVATURE,
    .params_size = 0,
    .kernel = "ref_curvature",
    .plan = plan_curvature,
    .run = run_curvature,
};
