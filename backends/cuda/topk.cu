/*
 * TOPK: per group, the keep[g] best members by the library's total order.
 *
 * A block a group. Score and index make one 64-bit key, so that no two are
 * equal; the key of the last that stays is found byte by byte from the top
 * (histograms in shared memory), and whoever's key is not above it stays. Kept
 * members then take the place that is their rank, by index or by key.
 *
 * A group that holds only NaN keeps those of lowest index.
 */

#include "cuda/device.cuh"

enum { SCORES, GROUP_OFFSETS, MEMBERS, KEEP, OUT_OFFSETS, DST };
enum { SCRATCH_KEYS };
enum { THREADS = 512, DIGITS = 256 };

/* The key of the keep-th best: keep > 0, and n >= keep. `equal` is how many of
 * those whose key it is stay: a list may have an index twice. */
static __device__ uint64_t last_key(
    const float *scores,
    const int32_t *members,
    int32_t first,
    int32_t n,
    int32_t keep,
    int32_t order,
    int *histogram,
    int *found,
    int *equal)
{
    uint64_t prefix = 0;
    int left = keep;
    *equal = n;
    for (int shift = 56; shift >= 0; shift -= 8) {
        for (int d = threadIdx.x; d < DIGITS; d += blockDim.x)
            histogram[d] = 0;
        __syncthreads();
        for (int i = threadIdx.x; i < n; i += blockDim.x) {
            const int32_t m = tkp__member(members, first + i);
            const uint64_t key = tkp__order_key(scores[m], m, order);
            if (shift == 56 || key >> (shift + 8) == prefix)
                atomicAdd(&histogram[key >> shift & 255], 1);
        }
        __syncthreads();
        /* One warp looks for the digit where the count is reached. */
        if (threadIdx.x < TKP__WARP) {
            const int lane = threadIdx.x;
            int own = 0;
            for (int d = 0; d < DIGITS / TKP__WARP; d++)
                own += histogram[lane * (DIGITS / TKP__WARP) + d];
            int sum = own;
            for (int step = 1; step < TKP__WARP; step *= 2) {
                const int other = __shfl_up_sync(TKP__ALL_LANES, sum, step);
                sum += lane >= step ? other : 0;
            }
            int before = sum - own;
            if (before < left && left <= sum)
                for (int d = 0; d < DIGITS / TKP__WARP; d++) {
                    const int digit = lane * (DIGITS / TKP__WARP) + d;
                    if (before < left && left <= before + histogram[digit]) {
                        found[0] = digit;
                        found[1] = left - before;
                    }
                    before += histogram[digit];
                }
        }
        __syncthreads();
        prefix = prefix << 8 | (unsigned)found[0];
        left = found[1];
        /* All the rest of this digit stays: no need to look closer. */
        if (histogram[found[0]] == left) {
            prefix = shift ? (prefix << shift) | ((1ull << shift) - 1) : prefix;
            break;
        }
        if (shift == 0)
            *equal = left;
        __syncthreads();
    }
    __syncthreads();
    return prefix;
}

static __global__ void topk(
    const float *scores,
    const int32_t *group_offsets,
    const int32_t *members,
    const int32_t *keeps,
    const int32_t *out_offsets,
    int32_t *dst,
    uint64_t *kept_keys,
    int32_t order,
    int32_t by_score)
{
    __shared__ int histogram[DIGITS];
    __shared__ int found[2];
    __shared__ int room[TKP__WARP];
    const int32_t g = blockIdx.x, first = group_offsets[g];
    const int32_t n = group_offsets[g + 1] - first, keep = keeps[g];
    if (keep <= 0 || keep > n)
        return;
    int equal;
    const uint64_t last = last_key(
        scores, members, first, n, keep, order, histogram, found, &equal);

    /* In the order of the list, and whether that is ascending. */
    int32_t *out = dst + out_offsets[g];
    uint64_t *keys = kept_keys + out_offsets[g];
    int taken = 0, same = 0, falls = 0;
    for (int begin = 0; begin < n; begin += blockDim.x) {
        const int i = begin + threadIdx.x;
        int32_t m = 0;
        uint64_t key = ~0ull;
        if (i < n) {
            m = tkp__member(members, first + i);
            key = tkp__order_key(scores[m], m, order);
        }
        int total;
        const int before =
            same + tkp__block_scan(i < n && key == last, &total, room);
        same += total;
        const int stays =
            i < n && (key < last || (key == last && before < equal));
        const int place = taken + tkp__block_scan(stays, &total, room);
        if (stays) {
            keys[place] = by_score ? key : (uint64_t)(unsigned)m;
            if (!members && !by_score)
                out[place] = m;
        }
        taken += total;
    }
    if (!members && !by_score)
        return;
    __syncthreads();
    for (int i = threadIdx.x; i + 1 < keep; i += blockDim.x)
        falls |= keys[i] > keys[i + 1];
    falls = __syncthreads_or(falls);
    for (int i = threadIdx.x; i < keep; i += blockDim.x) {
        const uint64_t own = keys[i];
        int rank = i;
        if (falls) {
            rank = 0;
            for (int j = 0; j < keep; j++)
                rank += keys[j] < own || (keys[j] == own && j < i);
        }
        out[rank] = (int32_t)(own & 0xffffffffu);
    }
}

static tkp_status
plan_topk(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    return tkp__cuda_book(
        plan, ledger, SCRATCH_KEYS, args[DST].shape[0], sizeof(uint64_t));
}

static tkp_status run_topk(const tkp__cuda_run *r)
{
    const tkp_op_topk *p = tkp__cuda_params<tkp_op_topk>(r);
    return tkp__cuda_launch(
        r, topk, dim3((unsigned)tkp__cuda_size(r, KEEP, 0)), THREADS, 0,
        tkp__cuda_arg<const float>(r, SCORES),
        tkp__cuda_arg<const int32_t>(r, GROUP_OFFSETS),
        tkp__cuda_arg<const int32_t>(r, MEMBERS),
        tkp__cuda_arg<const int32_t>(r, KEEP),
        tkp__cuda_arg<const int32_t>(r, OUT_OFFSETS),
        tkp__cuda_arg<int32_t>(r, DST),
        tkp__cuda_scratch<uint64_t>(r, SCRATCH_KEYS), p->order,
        p->sorted_by_score);
}

const tkp__cuda_op tkp__cuda_topk = {
    .kind = TKP_OP_TOPK,
    .params_size = sizeof(tkp_op_topk),
    .kernel = "topk_radix",
    .plan = plan_topk,
    .run = run_topk,
};
