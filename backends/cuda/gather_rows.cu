/*
 * GATHER_ROWS: dst[i] = src[index[i]], bit for bit.
 *
 * A row is moved in the widest pieces that its size, its address and its stride
 * allow. An index that is out of range leaves its row as it is. In place is for
 * the CPU alone: here rows move in no order.
 */

#include "cuda/device.cuh"

enum { SRC, INDEX, DST };
enum { THREADS = 256 };

template <class T>
static __global__ void gather(
    const T *src,
    const int32_t *index,
    T *dst,
    int64_t n,
    int64_t limit,
    int64_t width,
    int64_t src_stride)
{
    for (int64_t i = tkp__thread(); i < n * width; i += tkp__threads()) {
        const int64_t row = i / width, column = i - row * width;
        const int32_t from = index[row];
        if (from >= 0 && from < limit)
            dst[i] = src[from * src_stride + column];
    }
}

template <class T>
static tkp_status
launch_gather(const tkp__cuda_run *r, int64_t row, int64_t gap)
{
    const int64_t n = tkp__cuda_size(r, INDEX, 0);
    const int64_t width = row / (int64_t)sizeof(T);
    /* Four elements a thread: enough to hide the index's latency. */
    return tkp__cuda_launch(
        r, gather<T>, dim3(tkp__cuda_blocks(n * width, 4 * THREADS)), THREADS,
        0, tkp__cuda_arg<const T>(r, SRC),
        tkp__cuda_arg<const int32_t>(r, INDEX), tkp__cuda_arg<T>(r, DST), n,
        tkp__cuda_size(r, SRC, 0), width, gap / (int64_t)sizeof(T));
}

static tkp_status run_gather_rows(const tkp__cuda_run *r)
{
    const tkp_tensor *src = &r->args[SRC], *dst = &r->args[DST];
    TKP__CHECK(
        !tkp__overlap(src, dst), TKP_ERR_ALIAS,
        "dst overlaps src, which is for the CPU alone");
    const int64_t size = (int64_t)tkp_dtype_bytes(src->dtype);
    int64_t row = size;
    for (int32_t d = 1; d < src->ndim; d++)
        row *= src->shape[d];
    if (row == 0)
        return TKP_OK;
    const int64_t gap = src->strides[0] * size;
    const uint64_t together = (uint64_t)row | (uint64_t)gap |
                              (uint64_t)(uintptr_t)tkp__data(src) |
                              (uint64_t)(uintptr_t)tkp__data(dst);
    if (together % 16 == 0)
        return launch_gather<uint4>(r, row, gap);
    if (together % 4 == 0)
        return launch_gather<uint32_t>(r, row, gap);
    if (together % 2 == 0)
        return launch_gather<uint16_t>(r, row, gap);
    return launch_gather<uint8_t>(r, row, gap);
}

const tkp__cuda_op tkp__cuda_gather_rows = {
    .kind = TKP_OP_GATHER_ROWS,
    .kernel = "gather_rows",
    .run = run_gather_rows,
};
