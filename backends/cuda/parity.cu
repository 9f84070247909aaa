/*
 * PARITY: of two halves of a list, those of one that are most like the other go,
 * again and again. A block a group; places in an order are found by counting.
 */

#include "cuda/greedy.cuh"

enum { DST = 7 };
enum { VALUE, LISTS, STATES };

/* Of two places of a list: the larger value first, then who stood before. */
static __device__ bool
stands_before(double a, int place_a, double b, int place_b)
{
    return a != b ? a > b : place_a < place_b;
}

static __global__ void parity(
    tkp__groups groups,
    const float *matrix,
    const int32_t *keep,
    const int32_t *out_offsets,
    const float *weights,
    double *state,
    int64_t listed,
    int32_t *dst,
    int32_t step)
{
    const tkp__group g = tkp__group_at(groups, blockIdx.x);
    const float *s = matrix + (int64_t)g.first * groups.most;
    double *value = state + VALUE * listed + g.first;
    int32_t *list = reinterpret_cast<int32_t *>(state + LISTS * listed) +
                    2 * (int64_t)g.first;
    int32_t *next = list + g.n;
    /* By weight, of equal ones the lower candidate. */
    for (int i = threadIdx.x; i < g.n; i += blockDim.x) {
        const int32_t c = tkp__candidate(g, i);
        int place = 0;
        for (int j = 0; j < g.n; j++) {
            const int32_t o = tkp__candidate(g, j);
            place +=
                j != i && (weights[o] != weights[c] ? weights[o] > weights[c]
                                                    : (o != c ? o < c : j < i));
        }
        list[place] = i;
    }
    __syncthreads();
    int n = g.n;
    while (n > keep[blockIdx.x]) {
        const int even = (n + 1) / 2, odd = n / 2;
        const int go = min(min(n - keep[blockIdx.x], step), even);
        for (int a = threadIdx.x; a < even; a += blockDim.x) {
            const float *row = s + (int64_t)list[2 * a] * groups.most;
            double most = -2.0;
            for (int b = 0; b < odd; b++)
                most = fmax(most, (double)row[list[2 * b + 1]]);
            value[a] = most;
        }
        __syncthreads();
        for (int a = threadIdx.x; a < even; a += blockDim.x) {
            int place = 0;
            for (int o = 0; o < even; o++)
                place += o != a && stands_before(value[o], o, value[a], a);
            if (place >= go)
                next[place - go] = list[2 * a];
        }
        for (int b = threadIdx.x; b < odd; b += blockDim.x)
            next[even - go + b] = list[2 * b + 1];
        __syncthreads();
        int32_t *held = list;
        list = next;
        next = held;
        n -= go;
    }
    for (int t = threadIdx.x; t < keep[blockIdx.x] && t < n; t += blockDim.x)
        dst[out_offsets[blockIdx.x] + t] = tkp__candidate(g, list[t]);
}

static tkp_status
plan_parity(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const tkp_op_parity *p =
        reinterpret_cast<const tkp_op_parity *>(plan->params);
    return tkp__greedy_book(plan, ledger, args, p->largest, STATES);
}

static tkp_status run_parity(const tkp__cuda_run *r)
{
    const tkp__groups groups = tkp__greedy_groups(r);
    float *matrix = tkp__cuda_scratch<float>(r, greedy::SCRATCH_MATRIX);
    TKP__TRY(tkp__gram(
        r, &r->args[greedy::X], groups, TKP__GRAM_COSINES, matrix,
        tkp__cuda_scratch<float>(r, greedy::SCRATCH_SQUARES)));
    return tkp__cuda_launch(
        r, parity, dim3((unsigned)groups.count), tkp__greedy_threads(groups), 0,
        groups, matrix, tkp__cuda_arg<const int32_t>(r, greedy::KEEP),
        tkp__cuda_arg<const int32_t>(r, greedy::OUT_OFFSETS),
        tkp__cuda_arg<const float>(r, greedy::WEIGHTS),
        tkp__cuda_scratch<double>(r, greedy::SCRATCH_STATE),
        tkp__greedy_listed(r->args), tkp__cuda_arg<int32_t>(r, DST),
        tkp__cuda_params<tkp_op_parity>(r)->step);
}

const tkp__cuda_op tkp__cuda_parity = {
    .kind = TKP_OP_PARITY,
    .params_size = sizeof(tkp_op_parity),
    .kernel = "parity",
    .plan = plan_parity,
    .run = run_parity,
};
