/*
 * ATTENTION: exact attention in tiles, never L x L.
 *
 * A block has up to ROWS query rows of one head, and walks over the keys in
 * tiles of 32 that it holds in shared memory; each warp has ROWS / WARPS rows, a
 * lane a key for the logits, then a lane every 32nd channel for the values. The
 * softmax is kept as maximum and sum, rescaled when the maximum rises.
 *
 * Where a sequence has one row (decode), the warps share its keys instead, and
 * join what they have at the end.
 */

#include "cuda/dots.cuh"

enum { Q, K, V, Q_OFFSETS, K_OFFSETS, DST, LSE, BIAS };
enum { WARPS = 4, A_WARP = 4, ROWS = WARPS * A_WARP };
static constexpr int THREADS = WARPS * TKP__WARP, TILE = TKP__WARP;
static constexpr int MOST_CHANNELS = 256;

struct attention_shape {
    int64_t q_row, q_head, k_row, k_head, v_row, v_head, dst_row, dst_head;
    int64_t lse_row, sequences;
    int32_t heads, each, channels, causal;
    float scale;
};

/* Which rows a block has: tiles are counted through the sequences. */
struct tile_place {
    int64_t b;
    int32_t first, rows; /* in the sequence */
    int32_t nq, nk;
};
static __device__ tile_place find_tile(
    const int32_t *q_offsets,
    const int32_t *k_offsets,
    int64_t sequences,
    int64_t tile)
{
    for (int64_t b = 0; b < sequences; b++) {
        const int32_t nq = q_offsets[b + 1] - q_offsets[b];
        const int32_t tiles = (nq + ROWS - 1) / ROWS;
        if (tile < tiles) {
            const int32_t first = (int32_t)tile * ROWS;
            return {
                b, first, min(nq - first, (int32_t)ROWS), nq,
                k_offsets[b + 1] - k_offsets[b]};
        }
        tile -= tiles;
    }
    return {-1, 0, 0, 0, 0};
}

static __device__ int32_t
visible(const attention_shape &s, const tile_place &t, int32_t row)
{
    if (!s.causal)
        return t.nk;
    const int32_t n = t.nk - t.nq + row + 1;
    return n < 0 ? 0 : n;
}

/* A row as a warp carries it: lanes share its channels. */
template <int EACH> struct carried {
    float top, sum, values[EACH];
};

/* Keys begin .. begin + count of shared memory join a row: logits are one a
 * lane, -infinity where there is none. */
template <int EACH>
static __device__ void
join(carried<EACH> &r, float logit, int count, const float *values, int width)
{
    const int lane = threadIdx.x % TKP__WARP;
    const float top = fmaxf(r.top, tkp__warp_reduce(logit, tkp__largest()));
    if (top == -INFINITY)
        return;
    const float p = expf(logit - top);
    const float before = expf(r.top - top);
    r.sum = r.sum * before + tkp__warp_reduce(p, tkp__sum());
    r.top = top;
    for (int e = 0; e < EACH; e++)
        r.values[e] *= before;
    for (int j = 0; j < count; j++) {
        const float share = __shfl_sync(TKP__ALL_LANES, p, j);
        for (int e = 0; e < EACH; e++) {
            const int c = e * TKP__WARP + lane;
            if (c < width)
                r.values[e] += share * values[j * width + c];
        }
    }
}

template <class T, int EACH>
static __global__ void __launch_bounds__(THREADS) attention(
    const T *q,
    const T *k,
    const T *v,
    const int32_t *q_offsets,
    const int32_t *k_offsets,
    T *dst,
    float *lse,
    const float *bias,
    attention_shape s)
{
    TKP__SHARED(float, shared);
    const int width = s.channels, stride = width + 1;
    float *rows = shared;                 /* [ROWS][width] */
    float *keys = rows + ROWS * width;    /* [TILE][stride]: no bank twice */
    float *values = keys + TILE * stride; /* [TILE][width] */
    const tile_place t =
        find_tile(q_offsets, k_offsets, s.sequences, blockIdx.x);
    if (t.b < 0)
        return;
    const int warp = threadIdx.x / TKP__WARP, lane = threadIdx.x % TKP__WARP;
    const int32_t h = blockIdx.y, g = h / s.each;
    const int64_t q0 = q_offsets[t.b] + t.first, k0 = k_offsets[t.b];
    const bool alone = t.nq == 1;
    for (int e = threadIdx.x; e < t.rows * width; e += THREADS)
        rows[e] =
            tkp__get(q[(q0 + e / width) * s.q_row + h * s.q_head + e % width]);

    carried<EACH> mine[A_WARP];
    for (int i = 0; i < A_WARP; i++) {
        mine[i].top = -INFINITY;
        mine[i].sum = 0.0f;
        for (int e = 0; e < EACH; e++)
            mine[i].values[e] = 0.0f;
    }
    const int32_t end = visible(s, t, t.first + t.rows - 1);
    for (int32_t begin = 0; begin < end; begin += TILE) {
        const int count = min(TILE, end - begin);
        __syncthreads();
        for (int e = threadIdx.x; e < count * width; e += THREADS) {
            const int j = e / width, c = e - j * width;
            const int64_t row = k0 + begin + j;
            keys[j * stride + c] =
                tkp__get(k[row * s.k_row + g * s.k_head + c]);
            values[j * width + c] =
                tkp__get(v[row * s.v_row + g * s.v_head + c]);
        }
        __syncthreads();
        for (int i = 0; i < A_WARP; i++) {
            const int row = alone ? 0 : warp * A_WARP + i;
            /* A row alone: tiles go round among the warps. */
            if (alone && (i > 0 || begin / TILE % WARPS != warp))
                continue;
            if (row >= t.rows)
                continue;
            const int32_t sees = visible(s, t, t.first + row);
            float logit = -INFINITY;
            if (lane < count && begin + lane < sees) {
                float dot = 0.0f;
                for (int c = 0; c < width; c++)
                    dot += rows[row * width + c] * keys[lane * stride + c];
                logit = s.scale * dot;
                if (bias)
                    logit += bias[k0 + begin + lane];
            }
            join(mine[i], logit, count, values, width);
        }
    }
    if (alone) {
        /* The warps' parts, by way of shared memory. */
        __syncthreads();
        float *parts = keys; /* [WARPS][2 + width] */
        float *own = parts + warp * (2 + width);
        for (int e = 0; e < EACH; e++)
            if (e * TKP__WARP + lane < width)
                own[2 + e * TKP__WARP + lane] = mine[0].values[e];
        if (lane == 0) {
            own[0] = mine[0].top;
            own[1] = mine[0].sum;
        }
        __syncthreads();
        if (warp != 0)
            return;
        float top = -INFINITY, sum = 0.0f;
        for (int w = 0; w < WARPS; w++)
            top = fmaxf(top, parts[w * (2 + width)]);
        for (int e = 0; e < EACH; e++)
            mine[0].values[e] = 0.0f;
        for (int w = 0; w < WARPS && top != -INFINITY; w++) {
            const float *part = parts + w * (2 + width);
            const float by = expf(part[0] - top);
            sum += by * part[1];
            for (int e = 0; e < EACH; e++)
                if (e * TKP__WARP + lane < width)
                    mine[0].values[e] += by * part[2 + e * TKP__WARP + lane];
        }
        mine[0].top = top;
        mine[0].sum = sum;
    }
    for (int i = 0; i < A_WARP; i++) {
        const int row = alone ? i : warp * A_WARP + i;
        if (row >= t.rows)
            continue;
        const float by = mine[i].sum > 0.0f || isnan(mine[i].sum)
                             ? 1.0f / mine[i].sum
                             : 0.0f;
        T *out = dst + (q0 + row) * s.dst_row + h * s.dst_head;
        for (int e = 0; e < EACH; e++)
            if (e * TKP__WARP + lane < width)
                tkp__put(out + e * TKP__WARP + lane, mine[i].values[e] * by);
        if (lse && lane == 0)
            lse[(q0 + row) * s.lse_row + h] =
                mine[i].top == -INFINITY ? -INFINITY
                                         : mine[i].top + logf(mine[i].sum);
    }
}

static tkp_status supports_attention(const tkp_op_desc *desc)
{
    TKP__CHECK(
        desc->args[Q].shape[2] <= MOST_CHANNELS, TKP_ERR_UNSUPPORTED,
        "cuda: attention: %lld channels, the kernel takes %d",
        (long long)desc->args[Q].shape[2], MOST_CHANNELS);
    return TKP_OK;
}

static size_t shared_bytes(int64_t channels)
{
    return sizeof(float) *
           (size_t)(ROWS * channels + TILE * (channels + 1) + TILE * channels);
}

template <class T, int EACH>
static tkp_status
launch_attention(const tkp__cuda_run *r, const attention_shape &s)
{
    const tkp_tensor *q = &r->args[Q];
    const size_t shared = shared_bytes(s.channels);
    if (shared > (48 << 10))
        TKP__TRY(tkp__cuda_check(
            cudaFuncSetAttribute(
                attention<T, EACH>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                (int)shared),
            "attention"));
    /* Tiles there may be at most: the last of each sequence is not full. */
    const int64_t tiles = q->shape[0] / ROWS + s.sequences;
    return tkp__cuda_launch(
        r, attention<T, EACH>, dim3((unsigned)tiles, (unsigned)s.heads),
        THREADS, shared, tkp__cuda_arg<const T>(r, Q),
        tkp__cuda_arg<const T>(r, K), tkp__cuda_arg<const T>(r, V),
        tkp__cuda_arg<const int32_t>(r, Q_OFFSETS),
        tkp__cuda_arg<const int32_t>(r, K_OFFSETS), tkp__cuda_arg<T>(r, DST),
        tkp__cuda_arg<float>(r, LSE), tkp__cuda_arg<const float>(r, BIAS), s);
}

static tkp_status run_attention(const tkp__cuda_run *r)
{
    const tkp_op_attention *p = tkp__cuda_params<tkp_op_attention>(r);
    const tkp_tensor *q = &r->args[Q], *k = &r->args[K], *v = &r->args[V];
    const tkp_tensor *dst = &r->args[DST];
    attention_shape s = {};
    s.q_row = q->strides[0];
    s.q_head = q->strides[1];
    s.k_row = k->strides[0];
    s.k_head = k->strides[1];
    s.v_row = v->strides[0];
    s.v_head = v->strides[1];
    s.dst_row = dst->strides[0];
    s.dst_head = dst->strides[1];
    s.lse_row = r->args[LSE].strides[0];
    s.sequences = r->args[Q_OFFSETS].shape[0] - 1;
    s.heads = (int32_t)q->shape[1];
    s.each = k->shape[1] ? s.heads / (int32_t)k->shape[1] : 1;
    s.channels = (int32_t)q->shape[2];
    s.causal = (p->flags & TKP_ATTENTION_CAUSAL) != 0;
    s.scale = p->scale != 0.0f ? p->scale : 1.0f / sqrtf((float)s.channels);
    if (q->shape[0] == 0)
        return TKP_OK;
    return tkp__cuda_with(q->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        if (s.channels <= 64)
            return launch_attention<T, 2>(r, s);
        if (s.channels <= 128)
            return launch_attention<T, 4>(r, s);
        return launch_attention<T, 8>(r, s);
    });
}

const tkp__cuda_op tkp__cuda_attention = {
    .kind = TKP_OP_ATTENTION,
    .params_size = sizeof(tkp_op_attention),
    .kernel = "attention_tiled",
    .supports = supports_attention,
    .run = run_attention,
};
