/*
 * BLEND: weighted sum, largest or product of normalised terms, a sequence at a
 * time.
 *
 *   dst[i]  = sum_t weight[t] f_t(z[t, i]), or max_t or product of the same
 *   MIN_MAX (z - min) / (max - min)      0 where max = min
 *   SOFTMAX exp(z - max) / sum exp(z - max)
 *   RANK    (n - 1 - rank) / (n - 1)     rank 0 is the highest; 0 where n = 1
 *   SUM     z / sum z                    0 where the sum is 0
 *   L2      z / max(sqrt(sum z^2), 1e-12)
 *   then 1 - that, where complement is set
 *
 * Source: the alpha blend, alpha mm(importance) + (1 - alpha) (1 - mm(sim)); the
 * largest of terms over their thresholds is MustDrop's filter, which drops what
 * is below all of them.
 *
 * Open choices: a NaN entry stays NaN and takes no part in min, max, n, sums
 * and ranks of the others; equal values are ranked by index, as TOPK would;
 * infinities follow IEEE arithmetic (min-max of them is NaN); a weight of 0
 * does not hide a NaN. Arithmetic in double, one rounding.
 */

#include "ref/ref.h"

enum { TERMS, OFFSETS, DST };

#define L2_LEAST 1e-12

/* What the entries of one sequence that are not NaN have in common. */
typedef struct term_stats {
    double min, max, sum, squares, exp_sum;
    int64_t count;
} term_stats;

static term_stats measure(const float *z, int64_t n)
{
    term_stats s = {INFINITY, -INFINITY, 0.0, 0.0, 0.0, 0};
    for (int64_t i = 0; i < n; i++) {
        if (isnan(z[i]))
            continue;
        s.min = fmin(s.min, (double)z[i]);
        s.max = fmax(s.max, (double)z[i]);
        s.sum += (double)z[i];
        s.squares += (double)z[i] * (double)z[i];
        s.count++;
    }
    for (int64_t i = 0; i < n; i++)
        if (!isnan(z[i]))
            s.exp_sum += exp((double)z[i] - s.max);
    return s;
}

/* How many entries come before entry i. */
static int64_t rank_of(const float *z, int64_t n, int64_t i)
{
    int64_t rank = 0;
    for (int64_t j = 0; j < n; j++)
        rank += tkp__ref_before(
            z[j], (int32_t)j, z[i], (int32_t)i, TKP_ORDER_HIGHEST);
    return rank;
}

/* f_t(z[i]) without the complement. */
static double normalised(
    const float *z,
    int64_t n,
    int64_t i,
    const term_stats *s,
    int32_t how)
{
    const double value = (double)z[i];
    if (isnan(value))
        return value;
    switch (how) {
    case TKP_NORMALISE_MIN_MAX:
        return s->max == s->min ? 0.0 : (value - s->min) / (s->max - s->min);
    case TKP_NORMALISE_SOFTMAX:
        return exp(value - s->max) / s->exp_sum;
    case TKP_NORMALISE_RANK:
        if (s->count < 2)
            return 0.0;
        return (double)(s->count - 1 - rank_of(z, n, i)) /
               (double)(s->count - 1);
    case TKP_NORMALISE_SUM:
        return s->sum == 0.0 ? 0.0 : value / s->sum;
    case TKP_NORMALISE_L2:
        return value / fmax(sqrt(s->squares), L2_LEAST);
    default:
        return value;
    }
}

static void blend_sequence(
    const tkp_op_blend *p,
    const tkp_tensor *terms,
    int64_t first,
    int64_t n,
    float *dst) /* [n] */
{
    term_stats stats[TKP_BLEND_MAX_TERMS];
    for (int32_t t = 0; t < p->terms; t++)
        stats[t] = measure((const float *)tkp__ref_row(terms, t) + first, n);
    for (int64_t i = 0; i < n; i++) {
        double sum = p->combine == TKP_BLEND_PRODUCT ? 1.0 : 0.0;
        for (int32_t t = 0; t < p->terms; t++) {
            const float *z = (const float *)tkp__ref_row(terms, t) + first;
            const double f = normalised(z, n, i, &stats[t], p->normalise[t]);
            const double v =
                (double)p->weight[t] * (p->complement[t] ? 1.0 - f : f);
            if (p->combine == TKP_BLEND_SUM)
                sum += v;
            else if (p->combine == TKP_BLEND_PRODUCT)
                sum *= v;
            else if (t == 0 || isnan(v) || v > sum) /* NaN stays */
                sum = v;
        }
        dst[i] = (float)sum;
    }
}

static tkp_status
run_blend(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    (void)workspace;
    TKP__TRY(
        tkp__ref_check_covering(&args[OFFSETS], args[DST].shape[0], "offsets"));
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    float *dst = tkp__data(&args[DST]);
    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++)
        if (offsets[b] < offsets[b + 1])
            blend_sequence(
                &plan->params.blend, &args[TERMS], offsets[b],
                offsets[b + 1] - offsets[b], dst + offsets[b]);
    return TKP_OK;
}

const tkp__ref_op tkp__ref_blend = {
    .kind = TKP_OP_BLEND,
    .params_size = sizeof(tkp_op_blend),
    .kernel = "ref_blend",
    .run = run_blend,
};
