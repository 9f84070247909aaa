/*
 * ROTARY: rotate pairs of channels, halves convention.
 *
 *   dst[c]       = x[c] cos[c] - x[c + C/2] sin[c]           c < C/2
 *   dst[c + C/2] = x[c + C/2] cos[c] + x[c] sin[c]
 *
 * Source: RoFormer (Su et al., 2021); transformers, apply_rotary_pos_emb,
 * which casts cos and sin to the activations' dtype and works in it: here each
 * of cos, sin, the products and the sums is rounded to the dtype of x. A row
 * is rotated alike in all heads. In place, a pair is read before it is
 * written.
 */

#include "ref/ref.h"

enum { X, COS, SIN, DST };

static void rotate_head(
    void *dst,
    const void *x,
    const float *cosine,
    const float *sine,
    int64_t half,
    int32_t dtype)
{
    for (int64_t c = 0; c < half; c++) {
        const float a = tkp__load_f32(x, dtype, c);
        const float b = tkp__load_f32(x, dtype, c + half);
        const float co = tkp__ref_round(cosine[c], dtype);
        const float si = tkp__ref_round(sine[c], dtype);
        const float a_co = tkp__ref_round(a * co, dtype);
        const float b_si = tkp__ref_round(b * si, dtype);
        const float b_co = tkp__ref_round(b * co, dtype);
        const float a_si = tkp__ref_round(a * si, dtype);
        tkp__store_f32(dst, dtype, c, a_co - b_si);
        tkp__store_f32(dst, dtype, c + half, b_co + a_si);
    }
}

static tkp_status
run_rotary(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    (void)plan;
    (void)workspace;
    const tkp_tensor *x = &args[X], *dst = &args[DST];
    for (int64_t m = 0; m < x->shape[0]; m++)
        for (int64_t h = 0; h < x->shape[1]; h++)
            rotate_head(
                tkp__ref_at(dst, m * dst->strides[0] + h * dst->strides[1]),
                tkp__ref_at(x, m * x->strides[0] + h * x->strides[1]),
                tkp__ref_row(&args[COS], m), tkp__ref_row(&args[SIN], m),
                x->shape[2] / 2, x->dtype);
    return TKP_OK;
}

const tkp__ref_op tkp__ref_rotary = {
    .kind = TKP_OP_ROTARY,
    .kernel = "ref_rotary",
    .run = run_rotary,
};
