#ifndef TKP_BACKENDS_CUDA_GAIN_CUH
#define TKP_BACKENDS_CUDA_GAIN_CUH

/*
 * What each entry would add to the coverage of all: for column j, the sum over
 * rows i of demand_i max(0, T_ij - covered_i). This is the n^2 of each choice of
 * GREEDY_COVER and GREEDY_TRI, so it is spread over the device: strips of columns
 * times SPLITS of the rows, each with a sum of its own.
 */

#include "cuda/greedy.cuh"

static constexpr int TKP__GAIN_SPLITS = 8, TKP__GAIN_THREADS = 128;

/* parts [SPLITS][listed]; demand and covered by entry; choice t of groups that
 * keep more than that. */
static __global__ void tkp__gain_parts(
    tkp__groups groups,
    const float *matrix,
    const int32_t *keep,
    const double *demand,
    const double *covered,
    double *parts,
    int64_t listed,
    int32_t t)
{
    const tkp__group g = tkp__group_at(groups, blockIdx.z);
    const int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= keep[blockIdx.z] || j >= g.n)
        return;
    const int each = (g.n + TKP__GAIN_SPLITS - 1) / TKP__GAIN_SPLITS;
    const int from = blockIdx.y * each, end = min(from + each, g.n);
    const float *column = matrix + (int64_t)g.first * groups.most + j;
    double sum = 0.0;
    for (int i = from; i < end; i++) {
        const double more =
            (double)column[(int64_t)i * groups.most] - covered[g.first + i];
        if (more > 0.0)
            sum += demand[g.first + i] * more;
    }
    parts[blockIdx.y * listed + g.first + j] = sum;
}

__device__ __forceinline__ double
tkp__gain_of(const double *parts, int64_t listed, int64_t entry)
{
    double gain = 0.0;
    for (int s = 0; s < TKP__GAIN_SPLITS; s++)
        gain += parts[s * listed + entry];
    return gain;
}

static inline tkp_status tkp__gain(
    const tkp__cuda_run *r,
    const tkp__groups &groups,
    const float *matrix,
    const double *demand,
    const double *covered,
    double *parts,
    int32_t t)
{
    return tkp__cuda_launch(
        r, tkp__gain_parts,
        dim3(
            tkp__cuda_blocks(groups.most, TKP__GAIN_THREADS), TKP__GAIN_SPLITS,
            (unsigned)groups.count),
        TKP__GAIN_THREADS, 0, groups, matrix,
        tkp__cuda_arg<const int32_t>(r, greedy::KEEP), demand, covered, parts,
        tkp__greedy_listed(r->args), t);
}

#endif
