/*
 * ADD: dst[m] = round( a[m] + b[m mod Mb] )
 *
 * Source: residual sums (Mb = M) and position embeddings (Mb = patches of one
 * image). The sum is in f32, one rounding to the dtype of a.
 */

#include "ref/ref.h"

enum { A, B, DST };

static tkp_status
run_add(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    (void)plan;
    (void)workspace;
    const tkp_tensor *a = &args[A], *b = &args[B], *dst = &args[DST];
    TKP__CHECK(
        b->shape[0] > 0 || a->shape[0] == 0, TKP_ERR_SHAPE,
        "b: has no rows, a has %lld", (long long)a->shape[0]);
    for (int64_t m = 0; m < a->shape[0]; m++) {
        const void *left = tkp__ref_row(a, m);
        const void *right = tkp__ref_row(b, m % b->shape[0]);
        void *out = tkp__ref_row(dst, m);
        for (int64_t c = 0; c < a->shape[1]; c++)
            tkp__store_f32(
                out, dst->dtype, c,
                tkp__load_f32(left, a->dtype, c) +
                    tkp__load_f32(right, b->dtype, c));
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_add = {
    .kind = TKP_OP_ADD,
    .kernel = "ref_add",
    .run = run_add,
};
