/*
 * ROW_NORM: the length of rows.
 *
 *   L1: dst[i] = sum_c |x[r, c]|      L2: dst[i] = sqrt(sum_c x[r, c]^2)
 *
 * with r = rows[i], or i. Source: the representative of a window in pooling,
 * the row of largest L1 norm. NaN and infinity go through.
 */

#include "ref/ref.h"

enum { X, ROWS, DST };

static double row_norm(const tkp_tensor *x, int64_t row, int32_t norm)
{
    const void *values = tkp__ref_row(x, row);
    const int64_t d = x->shape[1];
    if (norm == TKP_NORM_L2)
        return sqrt(tkp__ref_dot(values, x->dtype, values, x->dtype, d));
    double sum = 0.0;
    for (int64_t c = 0; c < d; c++)
        sum += fabs((double)tkp__load_f32(values, x->dtype, c));
    return sum;
}

static tkp_status
run_row_norm(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    (void)workspace;
    const tkp_tensor *x = &args[X];
    const int64_t n = args[DST].shape[0];
    const int32_t *rows = NULL;
    if (tkp__present(&args[ROWS])) {
        TKP__TRY(tkp__ref_check_index(&args[ROWS], n, x->shape[0], "rows"));
        rows = tkp__ref_i32(&args[ROWS]);
    }
    float *dst = tkp__data(&args[DST]);
    for (int64_t i = 0; i < n; i++)
        dst[i] =
            (float)row_norm(x, rows ? rows[i] : i, plan->params.row_norm.norm);
    return TKP_OK;
}

const tkp__ref_op tkp__ref_row_norm = {
    .kind = TKP_OP_ROW_NORM,
    .params_size = sizeof(tkp_op_row_norm),
    .kernel = "ref_row_norm",
    .run = run_row_norm,
};
