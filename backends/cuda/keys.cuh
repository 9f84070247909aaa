#ifndef TKP_BACKENDS_CUDA_KEYS_CUH
#define TKP_BACKENDS_CUDA_KEYS_CUH

/*
 * Query rows and the keys they see, as ATTENTION_SCORES and ATTENTION_RANK take
 * them: packed, one block a sequence, or pages.
 */

#include "cuda/dots.cuh"

namespace keys
{
enum {
    Q,
    K,
    LSE,
    TABLE,
    Q_OFFSETS,
    Q_POSITIONS,
    K_OFFSETS,
    OFFSETS,
    CANDIDATES
};
}

struct tkp__keys {
    const void *q, *k;
    const float *lse;
    const int32_t *table, *q_offsets, *positions, *k_offsets, *offsets;
    const int32_t *candidates;
    int64_t q_row, q_head;          /* strides */
    int64_t k_block, k_row, k_head; /* k_block: of a sequence or a page */
    int64_t lse_row, table_row;
    int32_t heads, key_heads, channels, page; /* page: keys of one, 0 = none */
    int32_t packed;
    uint32_t flags;
    float scale;
};

static inline tkp__keys
tkp__keys_of(const tkp__cuda_run *r, uint32_t flags, float scale)
{
    const tkp_tensor *q = &r->args[keys::Q], *k = &r->args[keys::K];
    const bool paged = tkp__present(&r->args[keys::TABLE]);
    tkp__keys s = {};
    s.q = tkp__data(q);
    s.k = tkp__data(k);
    s.lse = tkp__cuda_arg<const float>(r, keys::LSE);
    s.table = tkp__cuda_arg<const int32_t>(r, keys::TABLE);
    s.q_offsets = tkp__cuda_arg<const int32_t>(r, keys::Q_OFFSETS);
    s.positions = tkp__cuda_arg<const int32_t>(r, keys::Q_POSITIONS);
    s.k_offsets = tkp__cuda_arg<const int32_t>(r, keys::K_OFFSETS);
    s.offsets = tkp__cuda_arg<const int32_t>(r, keys::OFFSETS);
    s.candidates = tkp__cuda_arg<const int32_t>(r, keys::CANDIDATES);
    s.q_row = q->strides[0];
    s.q_head = q->strides[1];
    s.packed = k->ndim == 3;
    s.k_block = s.packed ? 0 : k->strides[0];
    s.k_row = k->strides[s.packed ? 0 : 1];
    s.k_head = k->strides[s.packed ? 1 : 2];
    s.lse_row = r->args[keys::LSE].strides[0];
    s.table_row = r->args[keys::TABLE].strides[0];
    s.heads = (int32_t)q->shape[1];
    s.key_heads = (int32_t)k->shape[k->ndim - 2];
    s.channels = (int32_t)q->shape[2];
    s.page = paged ? (int32_t)k->shape[1] : 0;
    s.flags = flags;
    s.scale = scale != 0.0f ? scale : 1.0f / sqrtf((float)s.channels);
    return s;
}

/* Key j of sequence b, key head g. */
template <class T>
__device__ __forceinline__ const T *
tkp__key(const tkp__keys &s, int64_t b, int64_t j, int64_t g)
{
    const T *k = static_cast<const T *>(s.k) + g * s.k_head;
    if (s.packed)
        return k + (s.k_offsets[b] + j) * s.k_row;
    if (s.page)
        return k + s.table[b * s.table_row + j / s.page] * s.k_block +
               j % s.page * s.k_row;
    return k + b * s.k_block + j * s.k_row;
}

/* Keys that query row q of sequence b sees. */
__device__ __forceinline__ int32_t
tkp__visible(const tkp__keys &s, int64_t b, int64_t q)
{
    return s.flags & TKP_ATTENTION_CAUSAL ? s.positions[q] + 1
                                          : s.k_offsets[b + 1] - s.k_offsets[b];
}

/* Scaled logit of query row q, head h, at key j; by a warp. */
template <class T>
__device__ __forceinline__ float
tkp__logit(const tkp__keys &s, int64_t b, int64_t q, int32_t h, int64_t j)
{
    const T *row = static_cast<const T *>(s.q) + q * s.q_row + h * s.q_head;
    const int32_t g = h / (s.heads / s.key_heads);
    return s.scale * tkp__warp_dot(row, tkp__key<T>(s, b, j, g), s.channels);
}

/* Log-sum-exp in parts: each split of the keys gives a maximum and a sum. */
struct tkp__part {
    float top, sum;
};

__device__ __forceinline__ tkp__part tkp__join(tkp__part a, tkp__part b)
{
    const float top = fmaxf(a.top, b.top);
    if (top == -INFINITY)
        return {top, 0.0f};
    return {top, a.sum * expf(a.top - top) + b.sum * expf(b.top - top)};
}

/* Grid (splits, heads, query rows); parts [rows, heads, splits]. */
template <class T>
static __global__ void tkp__row_parts(
    tkp__keys s,
    int64_t sequences,
    int32_t last_only,
    tkp__part *parts)
{
    __shared__ tkp__part room[TKP__WARP];
    const int64_t q = blockIdx.z;
    const int32_t h = blockIdx.y;
    const int64_t b = tkp__range_of(s.q_offsets, sequences, q);
    if (last_only && q + 1 != s.q_offsets[b + 1])
        return;
    const int warps = blockDim.x / TKP__WARP, warp = threadIdx.x / TKP__WARP;
    const int32_t visible = tkp__visible(s, b, q);
    tkp__part part = {-INFINITY, 0.0f};
    for (int64_t j = blockIdx.x * warps + warp; j < visible;
         j += (int64_t)gridDim.x * warps)
        part = tkp__join(part, {tkp__logit<T>(s, b, q, h, j), 1.0f});
    if (threadIdx.x % TKP__WARP == 0)
        room[warp] = part;
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    for (int w = 1; w < warps; w++)
        part = tkp__join(part, room[w]);
    parts[(q * s.heads + h) * gridDim.x + blockIdx.x] = part;
}

/* What the parts of a row come to; or what was given. */
__device__ __forceinline__ float tkp__row_lse(
    const tkp__keys &s,
    const tkp__part *parts,
    int splits,
    int64_t q,
    int32_t h)
{
    if (s.lse)
        return s.lse[q * s.lse_row + h];
    tkp__part all = {-INFINITY, 0.0f};
    for (int i = 0; i < splits; i++)
        all = tkp__join(all, parts[(q * s.heads + h) * splits + i]);
    return all.top + logf(all.sum);
}

#endif
