/*
 * TEMPORAL: how much a token differs from the one before it in time.
 *
 *   dst[i] = 1 - x_i . x_b / (|x_i| |x_b|),   b = before[i]
 *   dst[i] = first,                           where there is none
 *
 * or, with a threshold, whether a run of like tokens begins at i:
 *
 *   dst[i] = 0 where cosine >= threshold, else 1
 *
 * Source: EVS (vLLM's vllm/multimodal/evs.py), which compares a token with the
 * same cell of the frame before and gives the whole first frame 255. Open
 * choices: the cosine is 0 where a norm is 0; it is rounded to f32 before it is
 * subtracted, so that equal rows score 0 and not what double leaves of it. The
 * threshold: FrameFusion, ICCV 2025.
 */

#include "ref/ref.h"

enum { X, ROWS, BEFORE, DST };

static tkp_status check_data(const tkp_tensor *args)
{
    const int64_t n = args[DST].shape[0];
    const int32_t *before = tkp__ref_i32(&args[BEFORE]);
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, args[X].shape[0], "rows"));
    for (int64_t i = 0; i < n; i++)
        TKP__CHECK(
            before[i] >= -1 && before[i] < n, TKP_ERR_ARGUMENT,
            "before: entry %lld is %d, wanted -1 to %lld", (long long)i,
            before[i], (long long)n - 1);
    return TKP_OK;
}

static double cosine(const tkp_tensor *x, int32_t a, int32_t b)
{
    const void *p = tkp__ref_row(x, a), *q = tkp__ref_row(x, b);
    const int64_t d = x->shape[1];
    const double pp = tkp__ref_dot(p, x->dtype, p, x->dtype, d);
    const double qq = tkp__ref_dot(q, x->dtype, q, x->dtype, d);
    if (pp == 0.0 || qq == 0.0)
        return 0.0;
    return tkp__ref_dot(p, x->dtype, q, x->dtype, d) / (sqrt(pp) * sqrt(qq));
}

static tkp_status
run_temporal(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    (void)workspace;
    TKP__TRY(check_data(args));
    const int32_t *rows = tkp__ref_i32(&args[ROWS]);
    const int32_t *before = tkp__ref_i32(&args[BEFORE]);
    const float threshold = plan->params.temporal.threshold;
    float *dst = tkp__data(&args[DST]);
    for (int64_t i = 0; i < args[DST].shape[0]; i++) {
        /* by itself where nothing is before: it has to be numbers, too */
        const int32_t other = before[i] < 0 ? (int32_t)i : before[i];
        const double s = cosine(&args[X], rows[i], rows[other]);
        TKP__CHECK(
            isfinite(s), TKP_ERR_DATA,
            "x: the cosine of candidates %lld and %d is not finite",
            (long long)i, other);
        if (before[i] < 0)
            dst[i] = threshold > 0.0f ? 1.0f : plan->params.temporal.first;
        else if (threshold > 0.0f)
            dst[i] = (float)s >= threshold ? 0.0f : 1.0f;
        else
            dst[i] = 1.0f - (float)s;
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_temporal = {
    .kind = TKP_OP_TEMPORAL,
    .params_size = sizeof(tkp_op_temporal),
    .kernel = "ref_temporal",
    .run = run_temporal,
};
