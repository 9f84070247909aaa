/*
 * CLUSTER_CENTRES and NMS: the best takes those near it out, then the next best
 * that is left, until nobody is. A block a group, one round a leader.
 */

#include "cuda/greedy.cuh"

static constexpr int THREADS = 128;
enum { SCRATCH_MATRIX, SCRATCH_SQUARES, SCRATCH_STATE };
enum { VALUE, GONE, STATES };

/* By entry: value, and who is out of it. */
struct leader_state {
    double *value;
    unsigned char *gone;
};
static __device__ leader_state
leader_state_at(double *state, int64_t listed, int first)
{
    return {
        state + VALUE * listed + first,
        reinterpret_cast<unsigned char *>(state + GONE * listed) + first};
}

/* mark[candidate] = 1 for leaders; near(a, b, cosine): does a take b out? */
template <class F>
static __device__ void find_leaders(
    const tkp__groups &groups,
    const tkp__group &g,
    const float *matrix,
    const float *squares,
    const leader_state &s,
    int32_t *mark,
    tkp__greedy_room *room,
    F near_)
{
    for (int i = threadIdx.x; i < g.n; i += blockDim.x) {
        s.gone[i] = 0;
        mark[tkp__candidate(g, i)] = 0;
    }
    __syncthreads();
    for (;;) {
        const int best = tkp__greedy_best(g, s.value, s.gone, room);
        if (best < 0)
            return;
        const float *row = matrix + (int64_t)(g.first + best) * groups.most;
        if (threadIdx.x == 0)
            mark[tkp__candidate(g, best)] = 1;
        for (int j = threadIdx.x; j < g.n; j += blockDim.x)
            if (j == best ||
                near_(
                    best, j,
                    tkp__cosine_from(
                        row[j], squares[g.first + best], squares[g.first + j])))
                s.gone[j] = 1;
        __syncthreads();
    }
}

static tkp_status
plan_leaders(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t listed = tkp__greedy_listed(args);
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(listed, listed, &cells), TKP_ERR_SHAPE,
        "groups: %lld entries", (long long)listed);
    TKP__TRY(
        tkp__cuda_book(plan, ledger, SCRATCH_MATRIX, cells, sizeof(float)));
    TKP__TRY(
        tkp__cuda_book(plan, ledger, SCRATCH_SQUARES, listed, sizeof(float)));
    return tkp__cuda_book(
        plan, ledger, SCRATCH_STATE, STATES * listed, sizeof(double));
}

static tkp__groups leader_groups(const tkp__cuda_run *r)
{
    return {
        tkp__cuda_arg<const int32_t>(r, greedy::ROWS),
        tkp__cuda_arg<const int32_t>(r, greedy::OFFSETS),
        tkp__cuda_arg<const int32_t>(r, greedy::MEMBERS),
        tkp__cuda_size(r, greedy::OFFSETS, 0) - 1,
        (int32_t)tkp__greedy_listed(r->args)};
}

static __global__ void clear(float *density, int32_t *mark, int64_t n)
{
    for (int64_t i = tkp__thread(); i < n; i += tkp__threads()) {
        mark[i] = -1;
        if (density)
            density[i] = 0.0f;
    }
}

/* Sum of a row of the matrix, each entry as f sees it; a block a row. */
template <class F>
static __device__ double row_sum(
    const tkp__groups &groups,
    const tkp__group &g,
    const float *matrix,
    const float *squares,
    int i,
    double *room,
    F f)
{
    const float *row = matrix + (int64_t)(g.first + i) * groups.most;
    double sum = 0.0;
    for (int j = threadIdx.x; j < g.n; j += blockDim.x)
        sum +=
            f(j, tkp__cosine_from(
                     row[j], squares[g.first + i], squares[g.first + j]));
    return tkp__block_reduce(sum, tkp__sum(), 0.0, room);
}

/* --- centres ------------------------------------------------------------------- */

namespace centres
{
enum { DENSITY = 4, CENTRE };
}

static __global__ void find_densities(
    tkp__groups groups,
    const float *matrix,
    const float *squares,
    double *state,
    int64_t listed,
    float *density)
{
    __shared__ double room[TKP__WARP];
    const tkp__group g = tkp__group_at(groups, blockIdx.y);
    const int i = blockIdx.x;
    if (i >= g.n)
        return;
    const double sum =
        row_sum(groups, g, matrix, squares, i, room, [](int, double s) {
            const double half = (1.0 - s) / 2.0;
            return exp(-half * half);
        });
    if (threadIdx.x != 0)
        return;
    density[tkp__candidate(g, i)] = (float)sum;
    leader_state_at(state, listed, g.first).value[i] = (double)(float)sum;
}

static __global__ void find_centres(
    tkp__groups groups,
    const float *matrix,
    const float *squares,
    double *state,
    int64_t listed,
    int32_t *centre,
    float distance)
{
    __shared__ tkp__greedy_room room;
    const tkp__group g = tkp__group_at(groups, blockIdx.x);
    find_leaders(
        groups, g, matrix, squares, leader_state_at(state, listed, g.first),
        centre, &room,
        [&](int, int, double s) { return 1.0 - s <= (double)distance; });
}

static tkp_status run_centres(const tkp__cuda_run *r)
{
    using namespace centres;
    const tkp__groups groups = leader_groups(r);
    const int64_t n = tkp__cuda_size(r, DENSITY, 0);
    const int64_t listed = groups.most;
    float *matrix = tkp__cuda_scratch<float>(r, SCRATCH_MATRIX);
    float *squares = tkp__cuda_scratch<float>(r, SCRATCH_SQUARES);
    double *state = tkp__cuda_scratch<double>(r, SCRATCH_STATE);
    float *density = tkp__cuda_arg<float>(r, DENSITY);
    int32_t *centre = tkp__cuda_arg<int32_t>(r, CENTRE);
    TKP__TRY(tkp__cuda_launch(
        r, clear, dim3(tkp__cuda_blocks(n, THREADS)), THREADS, 0, density,
        centre, n));
    TKP__TRY(tkp__gram(
        r, &r->args[greedy::X], groups, TKP__GRAM_PRODUCTS, matrix, squares));
    TKP__TRY(tkp__cuda_launch(
        r, find_densities, dim3((unsigned)listed, (unsigned)groups.count),
        THREADS, 0, groups, matrix, squares, state, listed, density));
    return tkp__cuda_launch(
        r, find_centres, dim3((unsigned)groups.count),
        tkp__greedy_threads(groups), 0, groups, matrix, squares, state, listed,
        centre, tkp__cuda_params<tkp_op_cluster_centres>(r)->distance);
}

const tkp__cuda_op tkp__cuda_cluster_centres = {
    .kind = TKP_OP_CLUSTER_CENTRES,
    .params_size = sizeof(tkp_op_cluster_centres),
    .kernel = "cluster_centres",
    .plan = plan_leaders,
    .run = run_centres,
};

/* --- non-maximum suppression -------------------------------------------------------- */

namespace nms
{
enum { PARTS = 4, SCORES, FACTOR, SURVIVES, MEAN };
}

/* Value of an entry: first the sum of its likeness to the others. */
static __global__ void find_sums(
    tkp__groups groups,
    const float *matrix,
    const float *squares,
    double *state,
    int64_t listed)
{
    __shared__ double room[TKP__WARP];
    const tkp__group g = tkp__group_at(groups, blockIdx.y);
    const int i = blockIdx.x;
    if (i >= g.n)
        return;
    const double sum =
        row_sum(groups, g, matrix, squares, i, room, [=](int j, double s) {
            return j == i ? 0.0 : s;
        });
    if (threadIdx.x == 0)
        leader_state_at(state, listed, g.first).value[i] = sum;
}

static __global__ void suppress(
    tkp__groups groups,
    const float *matrix,
    const float *squares,
    double *state,
    int64_t listed,
    const int32_t *parts,
    const float *scores,
    const float *factor,
    int32_t *survives,
    float *mean_out)
{
    __shared__ tkp__greedy_room room;
    const tkp__group g = tkp__group_at(groups, blockIdx.x);
    const leader_state s = leader_state_at(state, listed, g.first);
    double sum = 0.0;
    for (int i = threadIdx.x; i < g.n; i += blockDim.x)
        sum += s.value[i];
    sum = tkp__block_reduce(sum, tkp__sum(), 0.0, room.values);
    const double mean = g.n > 1 ? sum / ((double)g.n * (double)(g.n - 1)) : 0.0;
    if (threadIdx.x == 0)
        mean_out[blockIdx.x] = (float)mean;
    for (int i = threadIdx.x; i < g.n; i += blockDim.x)
        s.value[i] = (double)scores[tkp__candidate(g, i)];
    const double above = (double)factor[blockIdx.x] * mean;
    find_leaders(
        groups, g, matrix, squares, s, survives, &room,
        [&](int a, int b, double like) {
            return like > above && (!parts || parts[tkp__candidate(g, a)] ==
                                                  parts[tkp__candidate(g, b)]);
        });
}

static tkp_status run_nms(const tkp__cuda_run *r)
{
    using namespace nms;
    const tkp__groups groups = leader_groups(r);
    const int64_t n = tkp__cuda_size(r, SURVIVES, 0);
    const int64_t listed = groups.most;
    float *matrix = tkp__cuda_scratch<float>(r, SCRATCH_MATRIX);
    float *squares = tkp__cuda_scratch<float>(r, SCRATCH_SQUARES);
    double *state = tkp__cuda_scratch<double>(r, SCRATCH_STATE);
    int32_t *survives = tkp__cuda_arg<int32_t>(r, SURVIVES);
    TKP__TRY(tkp__cuda_launch(
        r, clear, dim3(tkp__cuda_blocks(n, THREADS)), THREADS, 0, nullptr,
        survives, n));
    TKP__TRY(tkp__gram(
        r, &r->args[greedy::X], groups, TKP__GRAM_PRODUCTS, matrix, squares));
    TKP__TRY(tkp__cuda_launch(
        r, find_sums, dim3((unsigned)listed, (unsigned)groups.count), THREADS,
        0, groups, matrix, squares, state, listed));
    return tkp__cuda_launch(
        r, suppress, dim3((unsigned)groups.count), tkp__greedy_threads(groups),
        0, groups, matrix, squares, state, listed,
        tkp__cuda_arg<const int32_t>(r, PARTS),
        tkp__cuda_arg<const float>(r, SCORES),
        tkp__cuda_arg<const float>(r, FACTOR), survives,
        tkp__cuda_arg<float>(r, MEAN));
}

const tkp__cuda_op tkp__cuda_nms = {
    .kind = TKP_OP_NMS,
    .kernel = "nms",
    .plan = plan_leaders,
    .run = run_nms,
};
