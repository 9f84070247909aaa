/*
 * GROUP_POOL: one row for each group of rows, channel by channel.
 *
 *   average: dst[g, c] = sum_i w_i x[i, c] / sum_i w_i     i over the members
 *   maximum: dst[g, c] = max_i x[i, c]
 *
 * with w_i = weights[i] (by row, not by member), or 1. Source: average pooling
 * of windows of the patch grid; the weights are the sizes of merged tokens.
 *
 * Open choices: an empty group, and one whose weights sum to 0, give zeros; NaN
 * wins in the maximum; sums in double, one rounding to dst's dtype.
 */

#include "ref/ref.h"

enum { X, GROUP_OFFSETS, MEMBERS, WEIGHTS, DST };

static double pool_average(
    const tkp_tensor *x,
    const float *weights,
    const int32_t *members,
    int32_t n,
    int64_t c)
{
    double sum = 0.0, weight = 0.0;
    for (int32_t i = 0; i < n; i++) {
        const double w = weights ? (double)weights[members[i]] : 1.0;
        sum +=
            w * (double)tkp__load_f32(tkp__ref_row(x, members[i]), x->dtype, c);
        weight += w;
    }
    return weight == 0.0 ? 0.0 : sum / weight;
}

static double
pool_max(const tkp_tensor *x, const int32_t *members, int32_t n, int64_t c)
{
    double top = n ? -INFINITY : 0.0;
    for (int32_t i = 0; i < n; i++) {
        const double value =
            (double)tkp__load_f32(tkp__ref_row(x, members[i]), x->dtype, c);
        if (value > top || isnan(value))
            top = isnan(top) ? top : value;
    }
    return top;
}

static tkp_status run_group_pool(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    (void)workspace;
    const tkp_tensor *x = &args[X], *dst = &args[DST];
    const int64_t groups = dst->shape[0];
    TKP__TRY(tkp__ref_check_offsets(
        &args[GROUP_OFFSETS], args[MEMBERS].shape[0], "group_offsets"));
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    TKP__TRY(tkp__ref_check_index(
        &args[MEMBERS], offsets[groups], x->shape[0], "members"));

    const float *weights =
        tkp__present(&args[WEIGHTS]) ? tkp__data(&args[WEIGHTS]) : NULL;
    for (int64_t g = 0; g < groups; g++) {
        const int32_t *members = tkp__ref_i32(&args[MEMBERS]) + offsets[g];
        const int32_t n = offsets[g + 1] - offsets[g];
        for (int64_t c = 0; c < x->shape[1]; c++) {
            const double value = plan->params.group_pool.pool == TKP_POOL_MAX
                                     ? pool_max(x, members, n, c)
                                     : pool_average(x, weights, members, n, c);
            tkp__store_f32(tkp__ref_row(dst, g), dst->dtype, c, (float)value);
        }
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_group_pool = {
    .kind = TKP_OP_GROUP_POOL,
    .params_size = sizeof(tkp_op_group_pool),
    .kernel = "ref_group_pool",
    .run = run_group_pool,
};
