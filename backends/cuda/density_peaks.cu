/*
 * DENSITY_PEAKS: how dense it is around a token, and how far to where it is
 * denser. A matrix of squared distances, then a block a member, twice.
 */

#include "cuda/gram.cuh"

#include "cuda/greedy.cuh"

enum { X, ROWS, GROUP_OFFSETS, MEMBERS, NEIGHBOURS, DENSITY, SCORE };
enum { SCRATCH_MATRIX, SCRATCH_FAR };
enum { THREADS = 128 };

static __global__ void clear(float *density, float *score, int64_t n)
{
    for (int64_t i = tkp__thread(); i < n; i += tkp__threads())
        density[i] = score[i] = 0.0f;
}

/* The c smallest squares, one after the other: (value, place) rises. */
static __global__ void find_density(
    tkp__groups groups,
    const float *matrix,
    const int32_t *neighbours,
    float *density,
    float *farthest,
    int64_t width,
    int32_t others)
{
    __shared__ double room[TKP__WARP];
    __shared__ int places[TKP__WARP];
    const tkp__group g = tkp__group_at(groups, blockIdx.y);
    const int i = blockIdx.x;
    if (i >= g.n)
        return;
    const float *row = matrix + (int64_t)(g.first + i) * groups.most;
    const int there = others ? g.n - 1 : g.n;
    const int most = min(neighbours[blockIdx.y], there);
    double value = -1.0, sum = 0.0, top = 0.0;
    int place = -1;
    for (int t = 0; t < most; t++) {
        double least = INFINITY;
        for (int j = threadIdx.x; j < g.n; j += blockDim.x) {
            const double v = (double)row[j];
            if (!(others && j == i) && (v > value || (v == value && j > place)))
                least = fmin(least, v);
        }
        struct lesser {
            __device__ double operator()(double a, double b) const
            {
                return a < b ? a : b;
            }
        };
        least = tkp__block_reduce(least, lesser(), (double)INFINITY, room);
        int first = INT32_MAX;
        for (int j = threadIdx.x; j < g.n; j += blockDim.x)
            if (!(others && j == i) && (double)row[j] == least &&
                (least > value || j > place))
                first = min(first, j);
        place = tkp__block_reduce(first, tkp__lower(), INT32_MAX, places);
        value = least;
        sum += least;
    }
    for (int j = threadIdx.x; j < g.n; j += blockDim.x)
        top = fmax(top, (double)row[j]);
    top = tkp__block_reduce(top, tkp__greater(), 0.0, room);
    if (threadIdx.x != 0)
        return;
    const double by = (double)(width ? width : 1);
    density[tkp__candidate(g, i)] =
        (float)exp(most > 0 ? -sum / by / (double)most : 0.0);
    farthest[g.first + i] = (float)top;
}

static __global__ void find_score(
    tkp__groups groups,
    const float *matrix,
    const float *density,
    const float *farthest,
    float *score,
    int64_t width)
{
    __shared__ double room[TKP__WARP];
    const tkp__group g = tkp__group_at(groups, blockIdx.y);
    const int i = blockIdx.x;
    if (i >= g.n)
        return;
    const float *row = matrix + (int64_t)(g.first + i) * groups.most;
    const float own = density[tkp__candidate(g, i)];
    double near_ = -INFINITY, far = 0.0; /* minus the nearest, to be largest */
    for (int j = threadIdx.x; j < g.n; j += blockDim.x) {
        const float other = density[tkp__candidate(g, j)];
        if (j != i && (other != own ? other > own : j < i))
            near_ = fmax(near_, -(double)row[j]);
        far = fmax(far, (double)farthest[g.first + j]);
    }
    near_ = tkp__block_reduce(near_, tkp__greater(), -(double)INFINITY, room);
    far = tkp__block_reduce(far, tkp__greater(), 0.0, room);
    if (threadIdx.x != 0)
        return;
    const double by = (double)(width ? width : 1);
    const double square = (near_ == -INFINITY ? far : -near_) / by;
    score[tkp__candidate(g, i)] = (float)((double)own * sqrt(square));
}

static tkp_status plan_density_peaks(
    tkp__cuda_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    const int64_t listed = tkp__greedy_listed(args);
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(listed, listed, &cells), TKP_ERR_SHAPE,
        "groups: %lld entries", (long long)listed);
    plan->extent[0] = listed;
    TKP__TRY(
        tkp__cuda_book(plan, ledger, SCRATCH_MATRIX, cells, sizeof(float)));
    return tkp__cuda_book(plan, ledger, SCRATCH_FAR, listed, sizeof(float));
}

static tkp_status run_density_peaks(const tkp__cuda_run *r)
{
    const tkp__groups groups = {
        tkp__cuda_arg<const int32_t>(r, ROWS),
        tkp__cuda_arg<const int32_t>(r, GROUP_OFFSETS),
        tkp__cuda_arg<const int32_t>(r, MEMBERS),
        tkp__cuda_size(r, NEIGHBOURS, 0), (int32_t)tkp__greedy_listed(r->args)};
    const int64_t n = tkp__cuda_size(r, DENSITY, 0);
    const int64_t width = r->args[X].shape[1];
    float *matrix = tkp__cuda_scratch<float>(r, SCRATCH_MATRIX);
    float *farthest = tkp__cuda_scratch<float>(r, SCRATCH_FAR);
    float *density = tkp__cuda_arg<float>(r, DENSITY);
    float *score = tkp__cuda_arg<float>(r, SCORE);
    const dim3 grid((unsigned)groups.most, (unsigned)groups.count);
    TKP__TRY(tkp__cuda_launch(
        r, clear, dim3(tkp__cuda_blocks(n, THREADS)), THREADS, 0, density,
        score, n));
    TKP__TRY(tkp__gram(
        r, &r->args[X], groups, TKP__GRAM_DISTANCES, matrix, nullptr));
    TKP__TRY(tkp__cuda_launch(
        r, find_density, grid, THREADS, 0, groups, matrix,
        tkp__cuda_arg<const int32_t>(r, NEIGHBOURS), density, farthest, width,
        tkp__cuda_params<tkp_op_density_peaks>(r)->others));
    return tkp__cuda_launch(
        r, find_score, grid, THREADS, 0, groups, matrix, density, farthest,
        score, width);
}

const tkp__cuda_op tkp__cuda_density_peaks = {
    .kind = TKP_OP_DENSITY_PEAKS,
    .params_size = sizeof(tkp_op_density_peaks),
    .kernel = "density_peaks",
    .plan = plan_density_peaks,
    .run = run_density_peaks,
};
