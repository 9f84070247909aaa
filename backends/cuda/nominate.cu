/*
 * NOMINATE: rows of text name members of their group, each row as many; what
 * nobody names comes by score. A block a group; places in an order are found by
 * counting.
 */

#include "cuda/device.cuh"

enum {
    LIKENESS,
    RANGE,
    SCORES,
    GROUP_OFFSETS,
    MEMBERS,
    KEEP,
    OUT_OFFSETS,
    DST
};
enum { SCRATCH_STATE };
enum { THREADS = 256 };
/* Of a member, by its place in the list. */
enum { OPEN = 0, NAMED = 1, SCORED = 2 };

/* Where member i stands among those that are `open`, or among all. */
static __device__ int rank_of(
    const float *values,
    const int32_t *members,
    const int32_t *state,
    int first,
    int n,
    int i,
    int32_t order)
{
    const uint64_t own =
        tkp__order_key(values[tkp__member(members, first + i)], i, order);
    int rank = 0;
    for (int j = 0; j < n; j++)
        rank +=
            (!state || state[j] != NAMED) &&
            tkp__order_key(values[tkp__member(members, first + j)], j, order) <
                own;
    return rank;
}

static __global__ void nominate(
    const float *likeness,
    int64_t stride,
    const int32_t *range,
    const float *scores,
    const int32_t *group_offsets,
    const int32_t *members,
    const int32_t *keeps,
    const int32_t *out_offsets,
    int32_t *states,
    int32_t *dst,
    int32_t order)
{
    const int32_t g = blockIdx.x, first = group_offsets[g];
    const int32_t n = group_offsets[g + 1] - first, keep = keeps[g];
    const int32_t rows = range[2 * g + 1] - range[2 * g];
    int32_t *state = states + first;
    if (keep <= 0 || keep > n)
        return;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        state[i] = OPEN;
    __syncthreads();
    for (int32_t t = range[2 * g]; t < range[2 * g + 1]; t++)
        for (int i = threadIdx.x; i < n; i += blockDim.x)
            if (rank_of(
                    likeness + t * stride, members, nullptr, first, n, i,
                    order) < keep / rows)
                state[i] = NAMED;
    __syncthreads();
    int left = keep;
    for (int i = 0; i < n; i++)
        left -= state[i] == NAMED;
    __syncthreads();
    /* SCORED is open to whoever counts what is not named. */
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        if (state[i] == OPEN &&
            rank_of(scores, members, state, first, n, i, TKP_ORDER_HIGHEST) <
                left)
            state[i] = SCORED;
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        const int32_t own = tkp__member(members, first + i);
        int place = 0;
        for (int j = 0; j < n; j++) {
            const int32_t other = tkp__member(members, first + j);
            place +=
                state[j] != OPEN && (other < own || (other == own && j < i));
        }
        if (state[i] != OPEN)
            dst[out_offsets[g] + place] = own;
    }
}

static tkp_status
plan_nominate(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const tkp_tensor *list =
        tkp__present(&args[MEMBERS]) ? &args[MEMBERS] : &args[SCORES];
    return tkp__cuda_book(
        plan, ledger, SCRATCH_STATE, list->shape[0], sizeof(int32_t));
}

static tkp_status run_nominate(const tkp__cuda_run *r)
{
    return tkp__cuda_launch(
        r, nominate, dim3((unsigned)tkp__cuda_size(r, KEEP, 0)), THREADS, 0,
        tkp__cuda_arg<const float>(r, LIKENESS), r->args[LIKENESS].strides[0],
        tkp__cuda_arg<const int32_t>(r, RANGE),
        tkp__cuda_arg<const float>(r, SCORES),
        tkp__cuda_arg<const int32_t>(r, GROUP_OFFSETS),
        tkp__cuda_arg<const int32_t>(r, MEMBERS),
        tkp__cuda_arg<const int32_t>(r, KEEP),
        tkp__cuda_arg<const int32_t>(r, OUT_OFFSETS),
        tkp__cuda_scratch<int32_t>(r, SCRATCH_STATE),
        tkp__cuda_arg<int32_t>(r, DST),
        tkp__cuda_params<tkp_op_nominate>(r)->order);
}

const tkp__cuda_op tkp__cuda_nominate = {
    .kind = TKP_OP_NOMINATE,
    .params_size = sizeof(tkp_op_nominate),
    .kernel = "nominate",
    .plan = plan_nominate,
    .run = run_nominate,
};
