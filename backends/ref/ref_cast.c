/*
 * CAST: dst = x in dst's dtype, rounded to nearest, ties to even.
 *
 * Beyond the largest finite f16 is infinity; subnormals, infinities and NaN
 * stay what they are (a NaN becomes quiet). Equal dtypes keep their values.
 */

#include "ref/ref.h"

enum { X, DST };

/* Offset of element i, counted row-major, of a strided view. */
static int64_t offset_of(const tkp_tensor *t, int64_t i)
{
    int64_t offset = 0;
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        offset += i % t->shape[d] * t->strides[d];
        i /= t->shape[d];
    }
    return offset;
}

static tkp_status
run_cast(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    (void)plan;
    (void)workspace;
    const tkp_tensor *x = &args[X], *dst = &args[DST];
    const int64_t n = tkp_tensor_count(x);
    for (int64_t i = 0; i < n; i++)
        tkp__store_f32(
            tkp__data(dst), dst->dtype, i,
            tkp__load_f32(tkp__data(x), x->dtype, offset_of(x, i)));
    return TKP_OK;
}

const tkp__ref_op tkp__ref_cast = {
    .kind = TKP_OP_CAST,
    .kernel = "ref_cast",
    .run = run_cast,
};
