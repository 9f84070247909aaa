/*
 * NEAREST, NEIGHBOURS, PIVOTS: a row against the rows of a list. A block has the
 * row in shared memory, its warps go over the list.
 */

#include "cuda/greedy.cuh"

#include "cuda/dots.cuh"

static constexpr int THREADS = 256, WARPS = THREADS / TKP__WARP;

/* Likeness of the row in shared memory to another; both lengths with it, so
 * that equal rows have a cosine of exactly 1. By a warp. */
template <class T>
static __device__ float
likeness(const float *own, const T *other, int64_t width, bool euclidean)
{
    if (!euclidean) {
        const tkp__products p = tkp__warp_products(own, other, width);
        if (p.aa == 0.0f || p.bb == 0.0f)
            return 0.0f;
        return (float)((double)p.ab / sqrt((double)p.aa * (double)p.bb));
    }
    float sum = 0.0f;
    for (int64_t c = threadIdx.x % TKP__WARP; c < width; c += TKP__WARP) {
        const float d = own[c] - tkp__get(other[c]);
        sum += d * d;
    }
    return -sqrtf(tkp__warp_reduce(sum, tkp__sum()));
}

template <class T>
static __device__ void load_row(float *own, const T *row, int64_t width)
{
    for (int64_t c = threadIdx.x; c < width; c += blockDim.x)
        own[c] = tkp__get(row[c]);
    __syncthreads();
}

static tkp_status supports_width(const tkp_op_desc *desc)
{
    TKP__CHECK(
        desc->args[0].shape[1] <= 11 * 1024, TKP_ERR_UNSUPPORTED,
        "cuda: %s: x has %lld channels, the kernel takes 11264",
        tkp_op_kind_string(desc->kind), (long long)desc->args[0].shape[1]);
    return TKP_OK;
}

/* --- nearest kept one --------------------------------------------------------- */

namespace near_kept
{
enum { X, ROWS, GROUP_OFFSETS, MEMBERS, KEPT, KEPT_OFFSETS, DST, LIKENESS };
}

static __global__ void clear_nearest(int32_t *dst, float *like, int64_t n)
{
    for (int64_t i = tkp__thread(); i < n; i += tkp__threads()) {
        dst[i] = -1;
        if (like)
            like[i] = 0.0f;
    }
}

struct candidate_of_best {
    float value;
    int32_t entry;
};
struct better {
    __device__ candidate_of_best
    operator()(candidate_of_best a, candidate_of_best b) const
    {
        if (a.entry < 0 || b.entry < 0)
            return a.entry < 0 ? b : a;
        if (a.value != b.value)
            return a.value > b.value ? a : b;
        return a.entry < b.entry ? a : b;
    }
};

template <class T>
static __global__ void nearest(
    const T *x,
    int64_t stride,
    int64_t width,
    tkp__groups groups,
    const int32_t *kept,
    const int32_t *kept_offsets,
    int32_t *dst,
    float *like,
    bool euclidean)
{
    TKP__SHARED(float, own);
    __shared__ candidate_of_best room[WARPS];
    const int32_t m = blockIdx.x;
    if (m >= groups.offsets[groups.count])
        return;
    const int64_t g = tkp__range_of(groups.offsets, groups.count, m);
    const int32_t i = tkp__member(groups.members, m);
    load_row(own, x + groups.rows[i] * stride, width);
    candidate_of_best best = {0.0f, -1};
    for (int32_t e = kept_offsets[g] + threadIdx.x / TKP__WARP;
         e < kept_offsets[g + 1]; e += WARPS) {
        candidate_of_best here = {
            likeness(own, x + groups.rows[kept[e]] * stride, width, euclidean),
            e};
        if (kept[e] == i) /* is its own, whatever else is alike */
            here.value = INFINITY;
        best = better()(best, here);
    }
    if (threadIdx.x % TKP__WARP == 0)
        room[threadIdx.x / TKP__WARP] = best;
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    for (int w = 1; w < WARPS; w++)
        best = better()(best, room[w]);
    dst[i] = best.entry;
    if (!like)
        return;
    float square = 0.0f;
    if (best.entry >= 0 && best.value == INFINITY) {
        for (int64_t c = 0; c < width; c++)
            square += own[c] * own[c];
        best.value = euclidean ? 0.0f : square == 0.0f ? 0.0f : 1.0f;
    }
    like[i] = best.entry < 0 ? 0.0f : best.value;
}

static tkp_status run_nearest(const tkp__cuda_run *r)
{
    using namespace near_kept;
    const tkp_tensor *x = &r->args[X];
    const tkp__groups groups = {
        tkp__cuda_arg<const int32_t>(r, ROWS),
        tkp__cuda_arg<const int32_t>(r, GROUP_OFFSETS),
        tkp__cuda_arg<const int32_t>(r, MEMBERS),
        tkp__cuda_size(r, GROUP_OFFSETS, 0) - 1, 0};
    const int64_t n = tkp__cuda_size(r, ROWS, 0);
    const int64_t listed = groups.members ? tkp__cuda_size(r, MEMBERS, 0) : n;
    int32_t *dst = tkp__cuda_arg<int32_t>(r, DST);
    float *like = tkp__cuda_arg<float>(r, LIKENESS);
    TKP__TRY(tkp__cuda_launch(
        r, clear_nearest, dim3(tkp__cuda_blocks(n, THREADS)), THREADS, 0, dst,
        like, n));
    if (groups.count == 0)
        return TKP_OK;
    return tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, nearest<T>, dim3((unsigned)listed), THREADS,
            (size_t)x->shape[1] * sizeof(float), tkp__cuda_arg<const T>(r, X),
            x->strides[0], x->shape[1], groups,
            tkp__cuda_arg<const int32_t>(r, KEPT),
            tkp__cuda_arg<const int32_t>(r, KEPT_OFFSETS), dst, like,
            tkp__cuda_params<tkp_op_nearest>(r)->measure ==
                TKP_GREEDY_EUCLIDEAN);
    });
}

const tkp__cuda_op tkp__cuda_nearest = {
    .kind = TKP_OP_NEAREST,
    .params_size = sizeof(tkp_op_nearest),
    .kernel = "nearest",
    .supports = supports_width,
    .run = run_nearest,
};

/* --- the T most like it ----------------------------------------------------------- */

namespace most_like
{
enum { X, ROWS, GROUP_OFFSETS, MEMBERS, ANCHORS, ANCHOR_OFFSETS, DST };
enum { SCRATCH_LIKE };
} // namespace most_like

/* Likeness of all members to an anchor, and then the best, one after another. */
template <class T>
static __global__ void neighbours(
    const T *x,
    int64_t stride,
    int64_t width,
    tkp__groups groups,
    const int32_t *anchors,
    const int32_t *anchor_offsets,
    float *like, /* [anchors][listed] */
    int64_t listed,
    int32_t *dst,
    int32_t most,
    bool euclidean)
{
    TKP__SHARED(float, own);
    __shared__ candidate_of_best room[WARPS];
    const int32_t a = blockIdx.x;
    const int64_t g = tkp__range_of(anchor_offsets, groups.count, a);
    const int32_t first = groups.offsets[g], end = groups.offsets[g + 1];
    float *value = like + a * listed;
    load_row(own, x + groups.rows[anchors[a]] * stride, width);
    for (int32_t m = first + threadIdx.x / TKP__WARP; m < end; m += WARPS) {
        const int32_t j = tkp__member(groups.members, m);
        const float v =
            likeness(own, x + groups.rows[j] * stride, width, euclidean);
        if (threadIdx.x % TKP__WARP == 0)
            value[m] = j == anchors[a] ? NAN : v; /* NaN: is taken */
    }
    __syncthreads();
    for (int32_t t = 0; t < most; t++) {
        candidate_of_best best = {0.0f, -1};
        for (int32_t m = first + threadIdx.x; m < end; m += blockDim.x)
            if (!isnan(value[m]))
                best =
                    better()(best, {value[m], tkp__member(groups.members, m)});
        for (int step = TKP__WARP / 2; step > 0; step /= 2) {
            candidate_of_best other;
            other.value = __shfl_xor_sync(TKP__ALL_LANES, best.value, step);
            other.entry = __shfl_xor_sync(TKP__ALL_LANES, best.entry, step);
            best = better()(best, other);
        }
        __syncthreads();
        if (threadIdx.x % TKP__WARP == 0)
            room[threadIdx.x / TKP__WARP] = best;
        __syncthreads();
        best = room[0];
        for (int w = 1; w < WARPS; w++)
            best = better()(best, room[w]);
        if (threadIdx.x == 0)
            dst[(int64_t)a * most + t] = best.entry;
        for (int32_t m = first + threadIdx.x; m < end; m += blockDim.x)
            if (best.entry >= 0 && tkp__member(groups.members, m) == best.entry)
                value[m] = NAN;
        __syncthreads();
    }
}

static tkp_status plan_neighbours(
    tkp__cuda_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(
            args[most_like::ANCHORS].shape[0], tkp__greedy_listed(args),
            &cells),
        TKP_ERR_SHAPE, "anchors: too many for that many members");
    return tkp__cuda_book(
        plan, ledger, most_like::SCRATCH_LIKE, cells, sizeof(float));
}

static tkp_status run_neighbours(const tkp__cuda_run *r)
{
    using namespace most_like;
    const tkp_tensor *x = &r->args[X];
    const tkp__groups groups = {
        tkp__cuda_arg<const int32_t>(r, ROWS),
        tkp__cuda_arg<const int32_t>(r, GROUP_OFFSETS),
        tkp__cuda_arg<const int32_t>(r, MEMBERS),
        tkp__cuda_size(r, GROUP_OFFSETS, 0) - 1, 0};
    return tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, neighbours<T>, dim3((unsigned)tkp__cuda_size(r, ANCHORS, 0)),
            THREADS, (size_t)x->shape[1] * sizeof(float),
            tkp__cuda_arg<const T>(r, X), x->strides[0], x->shape[1], groups,
            tkp__cuda_arg<const int32_t>(r, ANCHORS),
            tkp__cuda_arg<const int32_t>(r, ANCHOR_OFFSETS),
            tkp__cuda_scratch<float>(r, SCRATCH_LIKE),
            tkp__greedy_listed(r->args), tkp__cuda_arg<int32_t>(r, DST),
            (int32_t)tkp__cuda_size(r, DST, 1),
            tkp__cuda_params<tkp_op_nearest>(r)->measure ==
                TKP_GREEDY_EUCLIDEAN);
    });
}

const tkp__cuda_op tkp__cuda_neighbours = {
    .kind = TKP_OP_NEIGHBOURS,
    .params_size = sizeof(tkp_op_nearest),
    .kernel = "neighbours",
    .supports = supports_width,
    .plan = plan_neighbours,
    .run = run_neighbours,
};

/* --- least like the pivots --------------------------------------------------------- */

namespace least_like
{
enum {
    X,
    ROWS,
    GROUP_OFFSETS,
    MEMBERS,
    KEEP,
    OUT_OFFSETS,
    PIVOT_OFFSETS,
    PIVOTS,
    DST
};
enum { SCRATCH_LIKE, SCRATCH_CHOSEN };
} // namespace least_like

/* Minus the cosines of a pivot to the members of its group. */
template <class T>
static __global__ void pivot_likeness(
    const T *x,
    int64_t stride,
    int64_t width,
    tkp__groups groups,
    const int32_t *pivot_offsets,
    const int32_t *pivots,
    double *like, /* [pivots][listed] */
    int64_t listed)
{
    TKP__SHARED(float, own);
    const int32_t p = blockIdx.x;
    if (p >= pivot_offsets[groups.count])
        return;
    const int64_t g = tkp__range_of(pivot_offsets, groups.count, p);
    load_row(own, x + groups.rows[pivots[p]] * stride, width);
    for (int32_t m = groups.offsets[g] + threadIdx.x / TKP__WARP;
         m < groups.offsets[g + 1]; m += WARPS) {
        const int32_t j = tkp__member(groups.members, m);
        const float v =
            likeness(own, x + groups.rows[j] * stride, width, false);
        if (threadIdx.x % TKP__WARP == 0)
            like[p * listed + m] = -(double)v;
    }
}

static __global__ void take_least(
    tkp__groups groups,
    const int32_t *keeps,
    const int32_t *out_offsets,
    const int32_t *pivot_offsets,
    const int32_t *pivots,
    const double *like,
    int64_t listed,
    unsigned char *chosen_of_all,
    int32_t *dst,
    int32_t per_pivot)
{
    __shared__ tkp__greedy_room room;
    __shared__ int32_t taken;
    const tkp__group g = tkp__group_at(groups, blockIdx.x);
    const int32_t keep = keeps[blockIdx.x];
    const int32_t begin = pivot_offsets[blockIdx.x];
    const int32_t count = pivot_offsets[blockIdx.x + 1] - begin;
    unsigned char *chosen = chosen_of_all + g.first;
    int32_t *out = dst + out_offsets[blockIdx.x];
    if (threadIdx.x == 0)
        taken = 0;
    for (int i = threadIdx.x; i < g.n; i += blockDim.x)
        chosen[i] = 0;
    __syncthreads();
    /* Pivots that are members, in their order. */
    for (int p = 0; p < count; p++) {
        const int32_t full = taken >= keep;
        __syncthreads();
        for (int i = threadIdx.x; i < g.n && !full; i += blockDim.x)
            if (tkp__candidate(g, i) == pivots[begin + p] && !chosen[i]) {
                chosen[i] = 1;
                out[taken] = pivots[begin + p];
                taken = taken + 1;
            }
        __syncthreads();
    }
    const int32_t quota = per_pivot ? per_pivot : count ? keep / count : 0;
    int32_t have = taken;
    for (int p = 0; p < count && have < keep; p++) {
        const int32_t left = keep - have;
        const int32_t take = p + 1 < count && quota < left ? quota : left;
        for (int32_t t = 0; t < take; t++) {
            const int best = tkp__greedy_best(
                g, like + (begin + p) * listed + g.first, chosen, &room);
            if (best < 0)
                return;
            if (threadIdx.x == 0) {
                chosen[best] = 1;
                out[have + t] = tkp__candidate(g, best);
            }
            __syncthreads();
        }
        have += take;
    }
}

static tkp_status
plan_pivots(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t listed = tkp__greedy_listed(args);
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(listed, args[least_like::PIVOTS].shape[0], &cells),
        TKP_ERR_SHAPE, "pivots: too many for that many members");
    plan->extent[0] = listed;
    TKP__TRY(tkp__cuda_book(
        plan, ledger, least_like::SCRATCH_LIKE, cells, sizeof(double)));
    return tkp__cuda_book(plan, ledger, least_like::SCRATCH_CHOSEN, listed, 1);
}

static tkp_status run_pivots(const tkp__cuda_run *r)
{
    using namespace least_like;
    const tkp_tensor *x = &r->args[X];
    const tkp__groups groups = tkp__greedy_groups(r);
    const int64_t listed = tkp__greedy_listed(r->args);
    double *like = tkp__cuda_scratch<double>(r, SCRATCH_LIKE);
    const int32_t *offsets = tkp__cuda_arg<const int32_t>(r, PIVOT_OFFSETS);
    const int32_t *pivots = tkp__cuda_arg<const int32_t>(r, PIVOTS);
    TKP__TRY(tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, pivot_likeness<T>,
            dim3(groups.count ? (unsigned)tkp__cuda_size(r, PIVOTS, 0) : 0),
            THREADS, (size_t)x->shape[1] * sizeof(float),
            tkp__cuda_arg<const T>(r, X), x->strides[0], x->shape[1], groups,
            offsets, pivots, like, listed);
    }));
    return tkp__cuda_launch(
        r, take_least, dim3((unsigned)groups.count),
        tkp__greedy_threads(groups), 0, groups,
        tkp__cuda_arg<const int32_t>(r, KEEP),
        tkp__cuda_arg<const int32_t>(r, OUT_OFFSETS), offsets, pivots, like,
        listed, tkp__cuda_scratch<unsigned char>(r, SCRATCH_CHOSEN),
        tkp__cuda_arg<int32_t>(r, DST),
        tkp__cuda_params<tkp_op_pivots>(r)->per_pivot);
}

const tkp__cuda_op tkp__cuda_pivots = {
    .kind = TKP_OP_PIVOTS,
    .params_size = sizeof(tkp_op_pivots),
    .kernel = "pivots",
    .supports = supports_width,
    .plan = plan_pivots,
    .run = run_pivots,
};
