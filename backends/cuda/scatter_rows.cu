/*
 * SCATTER_ROWS: dst[index[i]] = src[i], in dst's dtype. An index that is out of
 * range is left out.
 */

#include "cuda/device.cuh"

enum { SRC, INDEX, DST };
enum { THREADS = 256 };

template <class A, class B>
static __global__ void scatter(
    const A *src,
    const int32_t *index,
    B *dst,
    int64_t n,
    int64_t limit,
    int64_t width,
    int64_t src_stride,
    int64_t dst_stride)
{
    for (int64_t i = tkp__thread(); i < n * width; i += tkp__threads()) {
        const int64_t row = i / width, column = i - row * width;
        const int32_t to = index[row];
        if (to < 0 || to >= limit)
            continue;
        B *out = dst + to * dst_stride + column;
        const A *in = src + row * src_stride + column;
        if constexpr (std::is_same_v<A, B>)
            *out = *in;
        else
            tkp__put(out, tkp__get(*in));
    }
}

static tkp_status run_scatter_rows(const tkp__cuda_run *r)
{
    const tkp_tensor *src = &r->args[SRC], *dst = &r->args[DST];
    const int64_t n = tkp__cuda_size(r, INDEX, 0), width = src->shape[1];
    return tkp__cuda_with(src->dtype, [&](auto *a) {
        return tkp__cuda_with(dst->dtype, [&](auto *b) {
            using A = TKP__TYPE(a);
            using B = TKP__TYPE(b);
            return tkp__cuda_launch(
                r, scatter<A, B>,
                dim3(tkp__cuda_blocks(n * width, 4 * THREADS)), THREADS, 0,
                tkp__cuda_arg<const A>(r, SRC),
                tkp__cuda_arg<const int32_t>(r, INDEX),
                tkp__cuda_arg<B>(r, DST), n, dst->shape[0], width,
                src->strides[0], dst->strides[0]);
        });
    });
}

const tkp__cuda_op tkp__cuda_scatter_rows = {
    .kind = TKP_OP_SCATTER_ROWS,
    .kernel = "scatter_rows",
    .run = run_scatter_rows,
};
