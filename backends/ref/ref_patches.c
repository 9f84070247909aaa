/*
 * PATCHES: flatten the p x p patches of pictures, so that the patch
 * convolution of a vision encoder becomes a LINEAR.
 *
 *   dst[v, y, x][(c p + i) p + j] = pixels[v, c, y p + i, x p + j]
 *
 * Source: Dosovitskiy et al., 2021 (ViT); the order of elements is that of a
 * convolution weight [N, 3, p, p]. Patches in row-major order. Rows and columns
 * beyond the last whole patch are left out.
 */

#include "ref/ref.h"

enum { PIXELS, DST };

/* The patch whose first pixel is (y, x) of picture v. */
static void flatten(
    const tkp_tensor *pixels,
    int64_t v,
    int64_t y,
    int64_t x,
    int64_t p,
    const tkp_tensor *dst,
    void *out)
{
    const int64_t *stride = pixels->strides;
    const float *image = tkp__ref_at(pixels, v * stride[0]);
    int64_t at = 0;
    for (int64_t c = 0; c < 3; c++)
        for (int64_t i = 0; i < p; i++)
            for (int64_t j = 0; j < p; j++)
                tkp__store_f32(
                    out, dst->dtype, at++,
                    image
                        [c * stride[1] + (y + i) * stride[2] +
                         (x + j) * stride[3]]);
}

static tkp_status
run_patches(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    (void)workspace;
    const tkp_tensor *pixels = &args[PIXELS], *dst = &args[DST];
    const int64_t p = plan->params.patches.patch;
    int64_t row = 0;
    for (int64_t v = 0; v < pixels->shape[0]; v++)
        for (int64_t y = 0; y + p <= pixels->shape[2]; y += p)
            for (int64_t x = 0; x + p <= pixels->shape[3]; x += p)
                flatten(pixels, v, y, x, p, dst, tkp__ref_row(dst, row++));
    return TKP_OK;
}

const tkp__ref_op tkp__ref_patches = {
    .kind = TKP_OP_PATCHES,
    .params_size = sizeof(tkp_op_patches),
    .kernel = "ref_patches",
    .run = run_patches,
};
