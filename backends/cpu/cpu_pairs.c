/*
 * Lengths and packed rows.
 */

#include "cpu/cpu_pairs.h"

float tkp__cpu_square(
    const tkp__cpu_kernels *kernels,
    const tkp_tensor *x,
    int64_t row)
{
    const int64_t d = x->shape[1];
    const void *data = tkp__cpu_row(x, row, tkp__cpu_bytes(x->dtype));
    const float sum = kernels->sum_squares(data, x->dtype, d);
    if (sum > TKP__CPU_SQUARE_SMALL && sum < TKP__CPU_SQUARE_LARGE)
        return sum;
    double exact = 0;
    for (int64_t i = 0; i < d; i++) {
        const double v = (double)tkp__load_f32(data, x->dtype, i);
        exact += v * v;
    }
    /* The smallest and largest numbers stand for those beyond them. */
    if (exact > 3e38 && exact < (double)__builtin_inff())
        return 3e38f;
    return exact > 0 && exact < 1e-37 ? 1e-37f : (float)exact;
}

void tkp__cpu_pack_rows(
    const tkp__cpu_plan *plan,
    float *dst,
    const tkp_tensor *x,
    const int32_t *rows,
    const int32_t *list,
    int64_t first,
    int64_t n)
{
    const int64_t d = x->shape[1];
#pragma omp parallel for num_threads(plan->threads)                            \
    schedule(static) if (tkp__cpu_worth_threads(n * d))
    for (int64_t i = 0; i < n; i++) {
        const int32_t row = rows[list ? list[i] : first + i];
        plan->kernels->convert(
            dst + i * d, TKP_DTYPE_F32,
            tkp__cpu_row(x, row, tkp__cpu_bytes(x->dtype)), x->dtype, d);
    }
}
