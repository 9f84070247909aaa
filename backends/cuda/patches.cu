/*
 * PATCHES: flatten the patches of pictures, elements (c, y, x).
 */

#include "cuda/device.cuh"

enum { PIXELS, DST };
enum { THREADS = 256 };

struct picture {
    int64_t stride[4];
    int64_t rows, columns; /* of patches */
    int64_t patch;
};

template <class T>
static __global__ void
patches(const float *pixels, T *dst, int64_t dst_stride, int64_t n, picture s)
{
    const int64_t p = s.patch, width = 3 * p * p;
    for (int64_t i = tkp__thread(); i < n * width; i += tkp__threads()) {
        const int64_t row = i / width, e = i - row * width;
        const int64_t c = e / (p * p), y = e / p % p, x = e % p;
        const int64_t v = row / (s.rows * s.columns);
        const int64_t place = row - v * s.rows * s.columns;
        tkp__put(
            dst + row * dst_stride + e,
            pixels
                [v * s.stride[0] + c * s.stride[1] +
                 (place / s.columns * p + y) * s.stride[2] +
                 (place % s.columns * p + x) * s.stride[3]]);
    }
}

static tkp_status run_patches(const tkp__cuda_run *r)
{
    const tkp_tensor *pixels = &r->args[PIXELS], *dst = &r->args[DST];
    const int64_t p = tkp__cuda_params<tkp_op_patches>(r)->patch;
    picture s;
    memcpy(s.stride, pixels->strides, sizeof(s.stride));
    s.rows = pixels->shape[2] / p;
    s.columns = pixels->shape[3] / p;
    s.patch = p;
    return tkp__cuda_with(dst->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, patches<T>,
            dim3(tkp__cuda_blocks(dst->shape[0] * 3 * p * p, THREADS)), THREADS,
            0, tkp__cuda_arg<const float>(r, PIXELS), tkp__cuda_arg<T>(r, DST),
            dst->strides[0], dst->shape[0], s);
    });
}

const tkp__cuda_op tkp__cuda_patches = {
    .kind = TKP_OP_PATCHES,
    .params_size = sizeof(tkp_op_patches),
    .kernel = "patches",
    .run = run_patches,
};
