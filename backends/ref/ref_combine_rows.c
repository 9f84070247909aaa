/*
 * COMBINE_ROWS: each kept row with a weighted list of others.
 *
 *   dst_k = own_k x_kept(k) + sum over entries e of list k: weight_e x_entry(e)
 *
 * Source: PruMerge (Shang et al. 2024), where a token may go to several kept
 * ones, and one more takes the rest; means of clusters. Sums in double in the
 * order of the list, one rounding. NaN goes where it is.
 */

#include "ref/ref.h"

enum { X, ROWS, KEPT, OWN, LIST_OFFSETS, LIST, WEIGHTS, DST };

static tkp_status check_data(const tkp_tensor *args)
{
    const int64_t n = args[ROWS].shape[0];
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_index(&args[KEPT], args[KEPT].shape[0], n, "kept"));
    TKP__TRY(tkp__ref_check_offsets(
        &args[LIST_OFFSETS], args[LIST].shape[0], "list_offsets"));
    return tkp__ref_check_index(
        &args[LIST], tkp__ref_i32(&args[LIST_OFFSETS])[args[KEPT].shape[0]], n,
        "list");
}

static double value_of(const tkp_tensor *args, int32_t i, int64_t c)
{
    const int32_t row = tkp__ref_i32(&args[ROWS])[i];
    return (double)tkp__load_f32(tkp__ref_row(&args[X], row), args[X].dtype, c);
}

static tkp_status run_combine_rows(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    (void)plan;
    (void)workspace;
    TKP__TRY(check_data(args));
    const tkp_tensor *dst = &args[DST];
    const int32_t *kept = tkp__ref_i32(&args[KEPT]);
    const int32_t *ends = tkp__ref_i32(&args[LIST_OFFSETS]);
    const int32_t *list = tkp__ref_i32(&args[LIST]);
    const float *own = tkp__data(&args[OWN]);
    const float *weight = tkp__data(&args[WEIGHTS]);
    for (int64_t k = 0; k < args[KEPT].shape[0]; k++)
        for (int64_t c = 0; c < dst->shape[1]; c++) {
            double sum = own[k] == 0.0f
                             ? 0.0
                             : (double)own[k] * value_of(args, kept[k], c);
            for (int32_t e = ends[k]; e < ends[k + 1]; e++)
                sum += (double)weight[e] * value_of(args, list[e], c);
            tkp__store_f32(tkp__ref_row(dst, k), dst->dtype, c, (float)sum);
        }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_combine_rows = {
    .kind = TKP_OP_COMBINE_ROWS,
    .params_size = 0,
    .kernel = "ref_combine_rows",
    .run = run_combine_rows,
};
