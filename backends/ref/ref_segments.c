/*
 * SEGMENTS: a path is cut where its points turn unlike.
 *
 *   c_t = cos(x_t, x_(t+1));   cuts after t where c_t < threshold; then, while
 *   the path has fewer than `least` segments, where c_t is least
 *
 * Source: FastVID (NeurIPS 2025) cuts below 0.9 and at the 7 weakest transitions
 * besides, FlashVID (ICLR 2026) below 0.9 and then at the weakest until there are
 * 8: the same, for what is below a threshold is weakest. Open choices: the cosine
 * is rounded to f32, 0 where a norm is 0; of equally weak ones the first.
 */

#include "ref/ref.h"

enum { X, OFFSETS, DST };
enum { SCRATCH_LIKE };

static tkp_status
plan_segments(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    return tkp__ref_book(
        plan, ledger, SCRATCH_LIKE, args[X].shape[0], sizeof(float));
}

static tkp_status transition(const tkp_tensor *x, int64_t t, float *out)
{
    const void *a = tkp__ref_row(x, t), *b = tkp__ref_row(x, t + 1);
    const int64_t d = x->shape[1];
    const double aa = tkp__ref_dot(a, x->dtype, a, x->dtype, d);
    const double bb = tkp__ref_dot(b, x->dtype, b, x->dtype, d);
    const double ab = tkp__ref_dot(a, x->dtype, b, x->dtype, d);
    TKP__CHECK(
        isfinite(aa) && isfinite(bb) && isfinite(ab), TKP_ERR_DATA,
        "x: row %lld or %lld is not finite", (long long)t, (long long)t + 1);
    *out = aa > 0.0 && bb > 0.0 ? (float)(ab / (sqrt(aa) * sqrt(bb))) : 0.0f;
    return TKP_OK;
}

/* dst[t] = 1 where a segment ends after point t; the count of those. */
static int32_t
cut_below(const float *like, int32_t n, float threshold, int32_t *dst)
{
    int32_t cuts = 0;
    for (int32_t t = 0; t + 1 < n; t++) {
        dst[t] = like[t] < threshold;
        cuts += dst[t];
    }
    return cuts;
}

static int32_t weakest(const float *like, int32_t n, const int32_t *cut)
{
    int32_t best = -1;
    for (int32_t t = 0; t + 1 < n; t++)
        if (!cut[t] && (best < 0 || like[t] < like[best]))
            best = t;
    return best;
}

static tkp_status
run_segments(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_op_segments *p = &plan->params.segments;
    const tkp_tensor *x = &args[X];
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    float *like = tkp__ref_scratch(plan, workspace, SCRATCH_LIKE);
    int32_t *dst = tkp__data(&args[DST]);
    int32_t segment = 0;
    TKP__TRY(tkp__ref_check_covering(&args[OFFSETS], x->shape[0], "offsets"));
    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++) {
        int32_t *cut = dst + offsets[b];
        const int32_t n = offsets[b + 1] - offsets[b];
        if (n == 0)
            continue;
        for (int32_t t = 0; t + 1 < n; t++)
            TKP__TRY(transition(x, offsets[b] + t, &like[t]));
        int32_t cuts = cut_below(like, n, p->threshold, cut);
        for (; cuts + 1 < p->least && cuts + 1 < n; cuts++)
            cut[weakest(like, n, cut)] = 1;
        cut[n - 1] = 1;
        for (int32_t t = 0; t < n; t++) {
            const int32_t last = cut[t];
            cut[t] = segment;
            segment += last;
        }
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_segments = {
    .kind = TKP_OP_SEGMENTS,
    .params_size = sizeof(tkp_op_segments),
    .kernel = "ref_segments",
    .plan = plan_segments,
    .run = run_segments,
};
