/*
 * CROP_VARIANCE: how unevenly a token is like the others of its crop. Products
 * of a crop in tiles, a block a token for its variance, a block a crop for what
 * the attention adds.
 */

#include "cuda/gram.cuh"

enum { X, ROWS, OFFSETS, ATTENTION, DST };
enum { SCRATCH_MATRIX, SCRATCH_SQUARES, SCRATCH_VARIANCE };
enum { THREADS = 128 };

static __global__ void variances(
    tkp__groups groups,
    const float *matrix,
    const float *squares,
    double *variance)
{
    __shared__ double room[TKP__WARP];
    const tkp__group g = tkp__group_at(groups, blockIdx.y);
    const int i = blockIdx.x;
    if (i >= g.n)
        return;
    const float *row = matrix + (int64_t)(g.first + i) * groups.most;
    double sum = 0.0, all = 0.0;
    for (int j = threadIdx.x; j < g.n; j += blockDim.x) {
        if (j == i)
            continue;
        const double s = tkp__cosine_from(
            row[j], squares[g.first + i], squares[g.first + j]);
        sum += s;
        all += s * s;
    }
    sum = tkp__block_reduce(sum, tkp__sum(), 0.0, room);
    all = tkp__block_reduce(all, tkp__sum(), 0.0, room);
    if (threadIdx.x != 0)
        return;
    const double mean = g.n > 1 ? sum / (g.n - 1) : 0.0;
    all -= (g.n - 2) * mean * mean;
    variance[g.first + i] = g.n > 1 && all > 0.0 ? all / (g.n - 1) : 0.0;
}

static __global__ void finish(
    tkp__groups groups,
    const double *variance,
    const float *attention,
    float *dst,
    tkp_op_crop_variance p)
{
    __shared__ double room[TKP__WARP];
    const tkp__group g = tkp__group_at(groups, blockIdx.x);
    const double scale = p.bare && g.n == 1 ? 1.0 : 1000.0;
    double size = 0.0, spread = 0.0;
    for (int i = threadIdx.x; attention && i < g.n; i += blockDim.x) {
        size += scale * fabs((double)attention[g.first + i]) / g.n;
        spread += variance[g.first + i] / g.n;
    }
    size = tkp__block_reduce(size, tkp__sum(), 0.0, room);
    spread = tkp__block_reduce(spread, tkp__sum(), 0.0, room);
    const double part = (double)p.gain * size / (spread + 1e-6);
    for (int i = threadIdx.x; i < g.n; i += blockDim.x) {
        const double v = variance[g.first + i];
        dst[g.first + i] =
            attention
                ? (float)(scale * (double)attention[g.first + i] + part * v)
                : (float)v;
    }
}

static tkp_status plan_crop_variance(
    tkp__cuda_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    const int64_t n = args[DST].shape[0];
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(n, n, &cells), TKP_ERR_SHAPE, "rows: %lld of them",
        (long long)n);
    plan->extent[0] = n;
    TKP__TRY(
        tkp__cuda_book(plan, ledger, SCRATCH_MATRIX, cells, sizeof(float)));
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_SQUARES, n, sizeof(float)));
    return tkp__cuda_book(plan, ledger, SCRATCH_VARIANCE, n, sizeof(double));
}

static tkp_status run_crop_variance(const tkp__cuda_run *r)
{
    const int64_t n = tkp__cuda_size(r, DST, 0);
    const tkp__groups groups = {
        tkp__cuda_arg<const int32_t>(r, ROWS),
        tkp__cuda_arg<const int32_t>(r, OFFSETS), nullptr,
        tkp__cuda_size(r, OFFSETS, 0) - 1, (int32_t)n};
    float *matrix = tkp__cuda_scratch<float>(r, SCRATCH_MATRIX);
    float *squares = tkp__cuda_scratch<float>(r, SCRATCH_SQUARES);
    double *variance = tkp__cuda_scratch<double>(r, SCRATCH_VARIANCE);
    TKP__TRY(
        tkp__gram(r, &r->args[X], groups, TKP__GRAM_PRODUCTS, matrix, squares));
    TKP__TRY(tkp__cuda_launch(
        r, variances, dim3((unsigned)n, (unsigned)groups.count), THREADS, 0,
        groups, matrix, squares, variance));
    return tkp__cuda_launch(
        r, finish, dim3((unsigned)groups.count), THREADS, 0, groups, variance,
        tkp__cuda_arg<const float>(r, ATTENTION), tkp__cuda_arg<float>(r, DST),
        *tkp__cuda_params<tkp_op_crop_variance>(r));
}

const tkp__cuda_op tkp__cuda_crop_variance = {
    .kind = TKP_OP_CROP_VARIANCE,
    .params_size = sizeof(tkp_op_crop_variance),
    .kernel = "crop_variance",
    .plan = plan_crop_variance,
    .run = run_crop_variance,
};
