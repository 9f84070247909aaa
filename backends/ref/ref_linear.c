/*
 * LINEAR: a fully connected layer.
 *
 *   y[m, n]   = round( sum_k x[m, k] w[n, k] + bias[n] )
 *   dst[m, n] = round( y[m, n] + residual[m, n] )
 *
 * both roundings to dst's dtype. Source: torch.nn.functional.linear and the
 * residual stream of the published models, whose 16-bit forwards round at
 * these two points. Sums in double. residual may be dst itself: each element
 * is read before it is written. `pack` changes nothing here.
 */

#include "ref/ref.h"

enum { X, W, BIAS, RESIDUAL, DST };

static tkp_status
run_linear(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    (void)plan;
    (void)workspace;
    const tkp_tensor *x = &args[X], *w = &args[W], *bias = &args[BIAS];
    const tkp_tensor *residual = &args[RESIDUAL], *dst = &args[DST];
    for (int64_t m = 0; m < dst->shape[0]; m++) {
        for (int64_t n = 0; n < dst->shape[1]; n++) {
            double sum = tkp__ref_dot(
                tkp__ref_row(x, m), x->dtype, tkp__ref_row(w, n), w->dtype,
                x->shape[1]);
            if (tkp__present(bias))
                sum += (double)tkp__load_f32(tkp__data(bias), bias->dtype, n);
            float y = tkp__ref_round((float)sum, dst->dtype);
            if (tkp__present(residual))
                y += tkp__load_f32(
                    tkp__ref_row(residual, m), residual->dtype, n);
            tkp__store_f32(tkp__ref_row(dst, m), dst->dtype, n, y);
        }
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_linear = {
    .kind = TKP_OP_LINEAR,
    .params_size = sizeof(tkp_op_linear),
    .kernel = "ref_linear",
    .run = run_linear,
};
