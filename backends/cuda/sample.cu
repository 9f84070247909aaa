/*
 * SAMPLE: per group, a uniform subset: the definition's partial Fisher-Yates
 * shuffle, all draws side by side.
 *
 * Draw i takes what lies at place j_i after the swaps before it. The last swap s
 * before i with j_s = j_i has put there what lay at place s then; so each draw
 * follows that trail by itself until nobody has touched a place: the same
 * members as one swap after the other.
 */

#include "cuda/device.cuh"

enum { GROUP_OFFSETS, MEMBERS, KEEP, OUT_OFFSETS, STREAM, DST };
enum { SCRATCH_PLACES, SCRATCH_DRAWN };
enum { THREADS = 256 };

/* Philox4x32-10; first 64 bits of the output, first word low. */
static __device__ uint64_t philox(
    uint32_t c0,
    uint32_t c1,
    uint32_t c2,
    uint32_t c3,
    uint32_t k0,
    uint32_t k1)
{
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c0;
        const uint64_t b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (uint64_t)c0 | (uint64_t)c1 << 32;
}

static __global__ void sample(
    const int32_t *offsets,
    const int32_t *members,
    const int32_t *keeps,
    const int32_t *out_offsets,
    const int32_t *stream,
    int64_t stream_stride,
    int32_t *places, /* [K] j of each draw */
    int32_t *drawn,  /* [K] */
    int32_t *dst,
    tkp_op_sample p)
{
    const int64_t g = blockIdx.x;
    const int32_t first = offsets[g], n = offsets[g + 1] - first;
    const int32_t keep = keeps[g], at = out_offsets[g];
    int32_t *j = places + at, *mine = drawn + at;
    for (int32_t i = threadIdx.x; i < keep; i += blockDim.x) {
        const uint64_t u = philox(
            (uint32_t)i, (uint32_t)stream[g * stream_stride + 1],
            (uint32_t)stream[g * stream_stride], p.salt, (uint32_t)p.seed,
            (uint32_t)(p.seed >> 32));
        j[i] = i + (int32_t)__umul64hi(u, (unsigned long long)(n - i));
    }
    __syncthreads();
    for (int32_t i = threadIdx.x; i < keep; i += blockDim.x) {
        int32_t place = j[i];
        /* On its way down s passes each swap once: what lay at s is asked of
         * the swaps before s. */
        for (int32_t s = i - 1; s >= 0; s--)
            if (j[s] == place)
                place = s;
        mine[i] = tkp__member(members, first + place);
    }
    __syncthreads();
    for (int32_t i = threadIdx.x; i < keep; i += blockDim.x) {
        int32_t rank = 0;
        for (int32_t o = 0; o < keep; o++)
            rank += mine[o] < mine[i] || (mine[o] == mine[i] && o < i);
        dst[at + rank] = mine[i];
    }
}

static tkp_status
plan_sample(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t k = args[DST].shape[0];
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_PLACES, k, sizeof(int32_t)));
    return tkp__cuda_book(plan, ledger, SCRATCH_DRAWN, k, sizeof(int32_t));
}

static tkp_status run_sample(const tkp__cuda_run *r)
{
    return tkp__cuda_launch(
        r, sample, dim3((unsigned)tkp__cuda_size(r, KEEP, 0)), THREADS, 0,
        tkp__cuda_arg<const int32_t>(r, GROUP_OFFSETS),
        tkp__cuda_arg<const int32_t>(r, MEMBERS),
        tkp__cuda_arg<const int32_t>(r, KEEP),
        tkp__cuda_arg<const int32_t>(r, OUT_OFFSETS),
        tkp__cuda_arg<const int32_t>(r, STREAM), r->args[STREAM].strides[0],
        tkp__cuda_scratch<int32_t>(r, SCRATCH_PLACES),
        tkp__cuda_scratch<int32_t>(r, SCRATCH_DRAWN),
        tkp__cuda_arg<int32_t>(r, DST), *tkp__cuda_params<tkp_op_sample>(r));
}

const tkp__cuda_op tkp__cuda_sample = {
    .kind = TKP_OP_SAMPLE,
    .params_size = sizeof(tkp_op_sample),
    .kernel = "sample_philox",
    .plan = plan_sample,
    .run = run_sample,
};
