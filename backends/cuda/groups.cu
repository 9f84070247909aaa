/*
 * GROUP_POOL and GROUP_BROADCAST: a row for each group of rows; a value for each
 * member of a group.
 */

#include "cuda/device.cuh"

enum { THREADS = 128 };

/* --- pool ---------------------------------------------------------------- */

namespace pool
{
enum { X, GROUP_OFFSETS, MEMBERS, WEIGHTS, DST };
}

/* A block a group and a strip of channels: neighbours read neighbours. */
template <class T, class U>
static __global__ void group_pool(
    const T *x,
    int64_t stride,
    int64_t rows,
    const int32_t *offsets,
    const int32_t *members,
    const float *weights,
    U *dst,
    int64_t width,
    int32_t how)
{
    const int64_t g = blockIdx.x;
    const int64_t c = (int64_t)blockIdx.y * blockDim.x + threadIdx.x;
    if (c >= width)
        return;
    const int32_t first = offsets[g], end = offsets[g + 1];
    const bool top = how == TKP_POOL_MAX;
    float value = top && first < end ? -INFINITY : 0.0f, weight = 0.0f;
    for (int32_t i = first; i < end; i++) {
        const int32_t m = members[i];
        if (m < 0 || m >= rows)
            continue;
        const float v = tkp__get(x[m * stride + c]);
        if (top) {
            value = isnan(value) || value > v ? value : v;
        } else {
            const float w = weights ? weights[m] : 1.0f;
            value += w * v;
            weight += w;
        }
    }
    if (!top)
        value = weight == 0.0f ? 0.0f : value / weight;
    tkp__put(dst + g * width + c, value);
}

static tkp_status run_group_pool(const tkp__cuda_run *r)
{
    using namespace pool;
    const tkp_tensor *x = &r->args[X], *dst = &r->args[DST];
    return tkp__cuda_with(x->dtype, [&](auto *a) {
        return tkp__cuda_with(dst->dtype, [&](auto *b) {
            using A = TKP__TYPE(a);
            using B = TKP__TYPE(b);
            return tkp__cuda_launch(
                r, group_pool<A, B>,
                dim3(
                    (unsigned)dst->shape[0],
                    tkp__cuda_blocks(dst->shape[1], THREADS)),
                THREADS, 0, tkp__cuda_arg<const A>(r, X), x->strides[0],
                x->shape[0], tkp__cuda_arg<const int32_t>(r, GROUP_OFFSETS),
                tkp__cuda_arg<const int32_t>(r, MEMBERS),
                tkp__cuda_arg<const float>(r, WEIGHTS),
                tkp__cuda_arg<B>(r, DST), dst->shape[1],
                tkp__cuda_params<tkp_op_group_pool>(r)->pool);
        });
    });
}

const tkp__cuda_op tkp__cuda_group_pool = {
    .kind = TKP_OP_GROUP_POOL,
    .params_size = sizeof(tkp_op_group_pool),
    .kernel = "group_pool",
    .run = run_group_pool,
};

/* --- broadcast ------------------------------------------------------------- */

namespace broadcast
{
enum { VALUE, GROUP_OFFSETS, MEMBERS, DST };
}

static __global__ void group_broadcast(
    const float *value,
    const int32_t *offsets,
    const int32_t *members,
    float *dst,
    int64_t limit)
{
    const int64_t g = blockIdx.x;
    for (int32_t i = offsets[g] + threadIdx.x; i < offsets[g + 1];
         i += blockDim.x) {
        const int32_t m = members[i];
        if (m >= 0 && m < limit)
            dst[m] = value[g];
    }
}

static tkp_status run_group_broadcast(const tkp__cuda_run *r)
{
    using namespace broadcast;
    return tkp__cuda_launch(
        r, group_broadcast, dim3((unsigned)tkp__cuda_size(r, VALUE, 0)),
        THREADS, 0, tkp__cuda_arg<const float>(r, VALUE),
        tkp__cuda_arg<const int32_t>(r, GROUP_OFFSETS),
        tkp__cuda_arg<const int32_t>(r, MEMBERS), tkp__cuda_arg<float>(r, DST),
        tkp__cuda_size(r, DST, 0));
}

const tkp__cuda_op tkp__cuda_group_broadcast = {
    .kind = TKP_OP_GROUP_BROADCAST,
    .kernel = "group_broadcast",
    .run = run_group_broadcast,
};
