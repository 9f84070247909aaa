/*
 * RMS_NORM: root-mean-square normalisation.
 *
 *   r         = rsqrt( (1 / D) sum_c x[m, c]^2 + eps )      f32
 *   dst[m, c] = round( round(x[m, c] r) w[c] )
 *
 * Source: Zhang and Sennrich, NeurIPS 2019; transformers, LlamaRMSNorm and
 * Qwen2RMSNorm: the product with the weight comes after the down-cast, so there
 * are two roundings to the dtype of x. The sum runs in double, r is rounded to
 * f32 once, the products are in f32.
 */

#include "ref/ref.h"

enum { X, W, DST };

static tkp_status
run_rms_norm(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    (void)workspace;
    const tkp_tensor *x = &args[X], *w = &args[W], *dst = &args[DST];
    const int64_t d = x->shape[1];
    for (int64_t m = 0; m < x->shape[0]; m++) {
        const void *in = tkp__ref_row(x, m);
        void *out = tkp__ref_row(dst, m);
        const double mean =
            tkp__ref_dot(in, x->dtype, in, x->dtype, d) / (double)d;
        const float r =
            (float)(1.0 / sqrt(mean + (double)plan->params.norm.eps));
        for (int64_t c = 0; c < d; c++) {
            const float scaled =
                tkp__ref_round(tkp__load_f32(in, x->dtype, c) * r, x->dtype);
            tkp__store_f32(
                out, dst->dtype, c,
                scaled * tkp__load_f32(tkp__data(w), w->dtype, c));
        }
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_rms_norm = {
    .kind = TKP_OP_RMS_NORM,
    .params_size = sizeof(tkp_op_norm),
    .kernel = "ref_rms_norm",
    .run = run_rms_norm,
};
