/*
 * MERGE_ROWS and COMBINE_ROWS: new rows out of a kept one and those that join it.
 *
 * Who joins whom is sorted into lists first, in the order of candidates, so that
 * sums have one order and no atomics are needed: each kept one walks over all
 * candidates with a block, which counts; a scan gives where its list begins.
 */

#include "cuda/device.cuh"

enum { THREADS = 128 };

namespace merge
{
enum { X, ROWS, KEPT, ASSIGNMENT, WEIGHTS, DST, SIZES };
enum { SCRATCH_JOINS };
} // namespace merge

/* assignment, with -1 for kept ones. */
static __global__ void
copy_joins(const int32_t *assignment, int32_t *joins, int64_t n, int64_t kept)
{
    for (int64_t i = tkp__thread(); i < n; i += tkp__threads())
        joins[i] = assignment[i] < kept ? assignment[i] : -1;
}
static __global__ void
clear_kept(const int32_t *kept, int32_t *joins, int64_t count, int64_t n)
{
    for (int64_t i = tkp__thread(); i < count; i += tkp__threads())
        if (kept[i] >= 0 && kept[i] < n)
            joins[kept[i]] = -1;
}

/* A block a kept one: joins are looked through in pieces, those of its own are
 * put into shared memory in their order, then each thread sums its channels. */
template <class T, class U>
static __global__ void merge_rows(
    const T *x,
    int64_t stride,
    const int32_t *rows,
    const int32_t *kept,
    const int32_t *joins,
    const float *weights,
    U *dst,
    float *sizes,
    int64_t n,
    int64_t width,
    tkp_op_merge_rows p)
{
    __shared__ int32_t mine[THREADS];
    __shared__ int room[TKP__WARP];
    const int64_t k = blockIdx.x;
    const int32_t anchor = kept[k];
    const int64_t c = (int64_t)blockIdx.y * blockDim.x + threadIdx.x;
    const float own = c < width ? tkp__get(x[rows[anchor] * stride + c]) : 0.0f;
    const bool mean = p.rule == TKP_MERGE_MEAN;
    const float share =
        mean ? p.anchor * (weights ? weights[anchor] : 1.0f) : 0.0f;
    float sum = mean ? share * own : 0.0f, weight = share;
    int joined = 0;
    for (int64_t begin = 0; begin < n; begin += blockDim.x) {
        const int64_t i = begin + threadIdx.x;
        const int joining = i < n && joins[i] == k;
        int found;
        const int at = tkp__block_scan(joining, &found, room);
        if (joining)
            mine[at] = (int32_t)i;
        __syncthreads();
        for (int j = 0; j < found; j++) {
            const float w = weights ? weights[mine[j]] : 1.0f;
            if (c < width)
                sum += w * tkp__get(x[rows[mine[j]] * stride + c]);
            weight += w;
        }
        joined += found;
        __syncthreads();
    }
    float value = own;
    if (joined > 0 && weight != 0.0f) {
        const float beta =
            p.rule == TKP_MERGE_BLEND_COUNT && p.beta < 1.0f / (joined + 1)
                ? 1.0f / (joined + 1)
                : p.beta;
        value = mean ? sum / weight
                : p.rule == TKP_MERGE_ADD
                    ? own + sum / weight
                    : beta * own + (1.0f - beta) * (sum / weight);
    }
    if (c < width)
        tkp__put(dst + k * width + c, value);
    if (sizes && blockIdx.y == 0 && threadIdx.x == 0)
        sizes[k] = (float)(joined + 1);
}

static tkp_status supports_merge_rows(const tkp_op_desc *desc)
{
    const tkp_op_merge_rows *p =
        static_cast<const tkp_op_merge_rows *>(desc->params);
    TKP__CHECK(
        p->rule != TKP_MERGE_SUM, TKP_ERR_UNSUPPORTED,
        "cuda: merge_rows: no kernel for rule %d", p->rule);
    return TKP_OK;
}

static tkp_status plan_merge_rows(
    tkp__cuda_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    return tkp__cuda_book(
        plan, ledger, merge::SCRATCH_JOINS, args[merge::ROWS].shape[0],
        sizeof(int32_t));
}

static tkp_status run_merge_rows(const tkp__cuda_run *r)
{
    using namespace merge;
    const tkp_tensor *x = &r->args[X], *dst = &r->args[DST];
    const int64_t n = tkp__cuda_size(r, ROWS, 0);
    const int64_t kept = tkp__cuda_size(r, KEPT, 0);
    int32_t *joins = tkp__cuda_scratch<int32_t>(r, SCRATCH_JOINS);
    const int32_t *list = tkp__cuda_arg<const int32_t>(r, KEPT);
    TKP__TRY(tkp__cuda_launch(
        r, copy_joins, dim3(tkp__cuda_blocks(n, THREADS)), THREADS, 0,
        tkp__cuda_arg<const int32_t>(r, ASSIGNMENT), joins, n, kept));
    TKP__TRY(tkp__cuda_launch(
        r, clear_kept, dim3(tkp__cuda_blocks(kept, THREADS)), THREADS, 0, list,
        joins, kept, n));
    return tkp__cuda_with(x->dtype, [&](auto *a) {
        return tkp__cuda_with(dst->dtype, [&](auto *b) {
            using A = TKP__TYPE(a);
            using B = TKP__TYPE(b);
            return tkp__cuda_launch(
                r, merge_rows<A, B>,
                dim3((unsigned)kept, tkp__cuda_blocks(dst->shape[1], THREADS)),
                THREADS, 0, tkp__cuda_arg<const A>(r, X), x->strides[0],
                tkp__cuda_arg<const int32_t>(r, ROWS), list, joins,
                tkp__cuda_arg<const float>(r, WEIGHTS),
                tkp__cuda_arg<B>(r, DST), tkp__cuda_arg<float>(r, SIZES), n,
                dst->shape[1], *tkp__cuda_params<tkp_op_merge_rows>(r));
        });
    });
}

const tkp__cuda_op tkp__cuda_merge_rows = {
    .kind = TKP_OP_MERGE_ROWS,
    .params_size = sizeof(tkp_op_merge_rows),
    .kernel = "merge_rows",
    .supports = supports_merge_rows,
    .plan = plan_merge_rows,
    .run = run_merge_rows,
};

/* --- combine ----------------------------------------------------------------- */

namespace combine
{
enum { X, ROWS, KEPT, OWN, LIST_OFFSETS, LIST, WEIGHTS, DST };
}

template <class T, class U>
static __global__ void combine_rows(
    const T *x,
    int64_t stride,
    const int32_t *rows,
    const int32_t *kept,
    const float *own,
    const int32_t *offsets,
    const int32_t *list,
    const float *weights,
    U *dst,
    int64_t width)
{
    const int64_t k = blockIdx.x;
    const int64_t c = (int64_t)blockIdx.y * blockDim.x + threadIdx.x;
    if (c >= width)
        return;
    float sum = own[k] * tkp__get(x[rows[kept[k]] * stride + c]);
    for (int32_t e = offsets[k]; e < offsets[k + 1]; e++)
        sum += weights[e] * tkp__get(x[rows[list[e]] * stride + c]);
    tkp__put(dst + k * width + c, sum);
}

static tkp_status run_combine_rows(const tkp__cuda_run *r)
{
    using namespace combine;
    const tkp_tensor *x = &r->args[X], *dst = &r->args[DST];
    return tkp__cuda_with(x->dtype, [&](auto *a) {
        return tkp__cuda_with(dst->dtype, [&](auto *b) {
            using A = TKP__TYPE(a);
            using B = TKP__TYPE(b);
            return tkp__cuda_launch(
                r, combine_rows<A, B>,
                dim3(
                    (unsigned)dst->shape[0],
                    tkp__cuda_blocks(dst->shape[1], THREADS)),
                THREADS, 0, tkp__cuda_arg<const A>(r, X), x->strides[0],
                tkp__cuda_arg<const int32_t>(r, ROWS),
                tkp__cuda_arg<const int32_t>(r, KEPT),
                tkp__cuda_arg<const float>(r, OWN),
                tkp__cuda_arg<const int32_t>(r, LIST_OFFSETS),
                tkp__cuda_arg<const int32_t>(r, LIST),
                tkp__cuda_arg<const float>(r, WEIGHTS),
                tkp__cuda_arg<B>(r, DST), dst->shape[1]);
        });
    });
}

const tkp__cuda_op tkp__cuda_combine_rows = {
    .kind = TKP_OP_COMBINE_ROWS,
    .kernel = "combine_rows",
    .run = run_combine_rows,
};
