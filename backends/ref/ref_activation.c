/*
 * ACTIVATION: dst = f(a), or f(a) b (the gated MLP).
 *
 *   SILU        x / (1 + exp(-x))                  one rounding
 *   GELU        x / 2 (1 + erf(x / sqrt 2))        one rounding
 *   QUICK_GELU  round(x round(sigmoid(round(1.702 x))))
 *   with b      round(f(a) b)
 *
 * all roundings to the dtype of a. Source: transformers, activations.py
 * (SiLUActivation, GELUActivation, QuickGELUActivation) and LlamaMLP: eager
 * code makes a tensor of each step, so a 16-bit forward rounds there. Inside a
 * step the arithmetic is double; the products of the last two lines are f32
 * products of values of the dtype, which is exact before the rounding.
 */

#include "ref/ref.h"

enum { A, B, DST };

static float activate(float x, int32_t function, int32_t dtype)
{
    const double v = (double)x;
    switch (function) {
    case TKP_ACTIVATION_GELU:
        return tkp__ref_round(
            (float)(0.5 * v * (1.0 + erf(v * 0.70710678118654752440))), dtype);
    case TKP_ACTIVATION_QUICK_GELU: {
        const float t = tkp__ref_round(1.702f * x, dtype);
        const float s =
            tkp__ref_round((float)(1.0 / (1.0 + exp(-(double)t))), dtype);
        return tkp__ref_round(x * s, dtype);
    }
    default:
        return tkp__ref_round((float)(v / (1.0 + exp(-v))), dtype);
    }
}

static tkp_status run_activation(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    (void)workspace;
    const tkp_tensor *a = &args[A], *b = &args[B], *dst = &args[DST];
    const int32_t function = plan->params.activation.function;
    for (int64_t m = 0; m < a->shape[0]; m++) {
        const void *in = tkp__ref_row(a, m);
        void *out = tkp__ref_row(dst, m);
        for (int64_t n = 0; n < a->shape[1]; n++) {
            float y =
                activate(tkp__load_f32(in, a->dtype, n), function, a->dtype);
            if (tkp__present(b))
                y *= tkp__load_f32(tkp__ref_row(b, m), b->dtype, n);
            tkp__store_f32(out, dst->dtype, n, y);
        }
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_activation = {
    .kind = TKP_OP_ACTIVATION,
    .params_size = sizeof(tkp_op_activation),
    .kernel = "ref_activation",
    .run = run_activation,
};
