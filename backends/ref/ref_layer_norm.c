/*
 * LAYER_NORM
 *
 *   mean      = (1 / D) sum_c x[m, c]
 *   var       = (1 / D) sum_c (x[m, c] - mean)^2      (not D - 1)
 *   dst[m, c] = round( (x[m, c] - mean) rsqrt(var + eps) w[c] + b[c] )
 *
 * Source: Ba, Kiros, Hinton, 2016; torch.nn.LayerNorm, which works in f32
 * inside and rounds once. In two passes and in double here, one rounding.
 */

#include "ref/ref.h"

enum { X, W, B, DST };

static tkp_status run_layer_norm(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    (void)workspace;
    const tkp_tensor *x = &args[X], *dst = &args[DST];
    const int64_t d = x->shape[1];
    for (int64_t m = 0; m < x->shape[0]; m++) {
        const void *in = tkp__ref_row(x, m);
        void *out = tkp__ref_row(dst, m);
        double sum = 0.0, squares = 0.0;
        for (int64_t c = 0; c < d; c++)
            sum += (double)tkp__load_f32(in, x->dtype, c);
        const double mean = sum / (double)d;
        for (int64_t c = 0; c < d; c++) {
            const double off = (double)tkp__load_f32(in, x->dtype, c) - mean;
            squares += off * off;
        }
        const double r =
            1.0 / sqrt(squares / (double)d + (double)plan->params.norm.eps);
        for (int64_t c = 0; c < d; c++) {
            const double off = (double)tkp__load_f32(in, x->dtype, c) - mean;
            const double w =
                (double)tkp__load_f32(tkp__data(&args[W]), args[W].dtype, c);
            const double b =
                (double)tkp__load_f32(tkp__data(&args[B]), args[B].dtype, c);
            tkp__store_f32(out, dst->dtype, c, (float)(off * r * w + b));
        }
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_layer_norm = {
    .kind = TKP_OP_LAYER_NORM,
    .params_size = sizeof(tkp_op_norm),
    .kernel = "ref_layer_norm",
    .run = run_layer_norm,
};
