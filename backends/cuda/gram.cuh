#ifndef TKP_BACKENDS_CUDA_GRAM_CUH
#define TKP_BACKENDS_CUDA_GRAM_CUH

/*
 * All members of a group against each other: products of their rows, or squared
 * distances, [n, n] in f32. Tiles of 64 x 64, four by four a thread; the half
 * above the diagonal is mirrored. Of equal rows the products are equal bit for
 * bit, so that their cosine is exactly 1.
 *
 * Groups lie one after the other: member i of a group that begins at `first` has
 * row first + i of the matrix, whose rows are `most` wide.
 */

#include "cuda/device.cuh"

struct tkp__groups {
    const int32_t *rows, *offsets, *members;
    int64_t count;
    int32_t most; /* members of the largest one there may be */
};

struct tkp__group {
    const int32_t *rows, *members;
    int32_t first, n;
};

__device__ __forceinline__ tkp__group
tkp__group_at(const tkp__groups &s, int64_t g)
{
    tkp__group group = {s.rows, s.members, s.offsets[g], 0};
    group.n = min(s.offsets[g + 1] - group.first, s.most);
    return group;
}
/* The candidate that is entry i. */
__device__ __forceinline__ int32_t
tkp__candidate(const tkp__group &g, int32_t i)
{
    return tkp__member(g.members, g.first + i);
}

static constexpr int TKP__TILE = 64, TKP__TILE_STEP = 16;
static constexpr int TKP__GRAM_THREADS = 256;

template <class T, bool distance>
static __global__ void tkp__gram_tiles(
    const T *x,
    int64_t stride,
    int64_t width,
    tkp__groups groups,
    float *matrix)
{
    __shared__ float a[TKP__TILE_STEP][TKP__TILE + 1];
    __shared__ float b[TKP__TILE_STEP][TKP__TILE + 1];
    const tkp__group g = tkp__group_at(groups, blockIdx.z);
    const int row0 = blockIdx.y * TKP__TILE, column0 = blockIdx.x * TKP__TILE;
    if (row0 >= g.n || column0 >= g.n || column0 < row0)
        return;
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    float sum[4][4] = {};
    for (int64_t c0 = 0; c0 < width; c0 += TKP__TILE_STEP) {
        for (int e = threadIdx.x; e < TKP__TILE * TKP__TILE_STEP;
             e += TKP__GRAM_THREADS) {
            const int c = e % TKP__TILE_STEP, i = e / TKP__TILE_STEP;
            const bool inside = c0 + c < width;
            float va = 0.0f, vb = 0.0f;
            if (inside && row0 + i < g.n)
                va = tkp__get(
                    x[g.rows[tkp__candidate(g, row0 + i)] * stride + c0 + c]);
            if (inside && column0 + i < g.n)
                vb = tkp__get(
                    x[g.rows[tkp__candidate(g, column0 + i)] * stride + c0 +
                      c]);
            a[c][i] = va;
            b[c][i] = vb;
        }
        __syncthreads();
        for (int c = 0; c < TKP__TILE_STEP; c++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) {
                    const float va = a[c][ty + 16 * i], vb = b[c][tx + 16 * j];
                    if (distance)
                        sum[i][j] += (va - vb) * (va - vb);
                    else
                        sum[i][j] += va * vb;
                }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int row = row0 + ty + 16 * i, column = column0 + tx + 16 * j;
            if (row >= g.n || column >= g.n)
                continue;
            matrix[(int64_t)(g.first + row) * groups.most + column] = sum[i][j];
            matrix[(int64_t)(g.first + column) * groups.most + row] = sum[i][j];
        }
}

/* The diagonal, before it is divided by: squared lengths, by entry. */
static __global__ void
tkp__gram_diagonal(const float *matrix, tkp__groups groups, float *squares)
{
    const tkp__group g = tkp__group_at(groups, blockIdx.y);
    for (int64_t i = tkp__thread(); i < g.n; i += tkp__threads())
        squares[g.first + i] = matrix[(g.first + i) * groups.most + i];
}

/* In double: what is equal by arithmetic stays so. 0 where a length is 0. */
__device__ __forceinline__ double
tkp__cosine_from(float product, float square_a, float square_b)
{
    if (square_a == 0.0f || square_b == 0.0f)
        return 0.0;
    return (double)product / sqrt((double)square_a * (double)square_b);
}

/* Products to cosines. */
static __global__ void
tkp__gram_cosines(float *matrix, tkp__groups groups, const float *squares)
{
    const tkp__group g = tkp__group_at(groups, blockIdx.y);
    const int64_t all = (int64_t)g.n * g.n;
    for (int64_t e = tkp__thread(); e < all; e += tkp__threads()) {
        const int64_t i = e / g.n, j = e - i * g.n;
        float *s = &matrix[(g.first + i) * groups.most + j];
        *s = (float)tkp__cosine_from(
            *s, squares[g.first + i], squares[g.first + j]);
    }
}

/* What the matrix is to hold; squared lengths come with all but DISTANCES. */
enum tkp__gram_kind {
    TKP__GRAM_COSINES,
    TKP__GRAM_PRODUCTS,
    TKP__GRAM_DISTANCES /* squared */
};

static inline tkp_status tkp__gram(
    const tkp__cuda_run *r,
    const tkp_tensor *x,
    const tkp__groups &groups,
    tkp__gram_kind kind,
    float *matrix,
    float *squares)
{
    const unsigned tiles = tkp__cuda_blocks(groups.most, TKP__TILE);
    const dim3 grid(tiles, tiles, (unsigned)groups.count);
    const int64_t width = x->shape[1], stride = x->strides[0];
    const unsigned strips = tkp__cuda_blocks(groups.most, 256);
    TKP__TRY(tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        const auto kernel = kind == TKP__GRAM_DISTANCES
                                ? tkp__gram_tiles<T, true>
                                : tkp__gram_tiles<T, false>;
        return tkp__cuda_launch(
            r, kernel, grid, TKP__GRAM_THREADS, 0,
            static_cast<const T *>(tkp__data(x)), stride, width, groups,
            matrix);
    }));
    if (kind == TKP__GRAM_DISTANCES)
        return TKP_OK;
    TKP__TRY(tkp__cuda_launch(
        r, tkp__gram_diagonal, dim3(strips, (unsigned)groups.count), 256, 0,
        matrix, groups, squares));
    if (kind == TKP__GRAM_PRODUCTS)
        return TKP_OK;
    const unsigned pieces =
        tkp__cuda_blocks((int64_t)groups.most * groups.most, 256 * 16);
    return tkp__cuda_launch(
        r, tkp__gram_cosines, dim3(pieces, (unsigned)groups.count), 256, 0,
        matrix, groups, squares);
}

#endif
