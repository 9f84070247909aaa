/*
 * GREEDY_DISTANCE: farthest-point selection, and maximal marginal relevance. A
 * block a group walks over the matrix of its members, a row a choice.
 */

#include "cuda/greedy.cuh"

enum { DST = 7, STATES = 3 }; /* near, value, chosen */

static __global__ void choose(
    tkp__groups groups,
    const float *matrix,
    const float *squares,
    const int32_t *keep,
    const int32_t *out_offsets,
    const float *weights,
    double *state,
    int64_t listed,
    int32_t *dst,
    tkp_op_greedy_distance p)
{
    __shared__ tkp__greedy_room room;
    const tkp__group g = tkp__group_at(groups, blockIdx.x);
    const float *s = matrix + (int64_t)g.first * groups.most;
    double *near_ = state + g.first, *value = state + listed + g.first;
    unsigned char *chosen =
        reinterpret_cast<unsigned char *>(state + 2 * listed) + g.first;
    const bool far = p.measure == TKP_GREEDY_EUCLIDEAN;
    const double lambda = (double)p.lambda;
    for (int j = threadIdx.x; j < g.n; j += blockDim.x) {
        const int32_t c = tkp__candidate(g, j);
        chosen[j] = 0;
        if (p.start == TKP_GREEDY_START_WEIGHT) {
            value[j] = (double)weights[c];
        } else if (p.start == TKP_GREEDY_START_NORM) {
            value[j] = (double)squares[g.first + j];
        } else {
            double nearest = -INFINITY;
            for (int i = 0; i < g.n; i++) {
                const double v = (double)s[(int64_t)i * groups.most + j];
                if (i != j)
                    nearest = fmax(nearest, far ? -v : v);
            }
            value[j] = -nearest;
        }
    }
    __syncthreads();
    for (int t = 0; t < keep[blockIdx.x]; t++) {
        const int best = tkp__greedy_best(g, value, chosen, &room);
        if (best < 0)
            return;
        if (threadIdx.x == 0) {
            chosen[best] = 1;
            dst[out_offsets[blockIdx.x] + t] = tkp__candidate(g, best);
        }
        for (int j = threadIdx.x; j < g.n; j += blockDim.x) {
            const double v = (double)s[(int64_t)best * groups.most + j];
            const double like = far ? -v : v;
            const double nearest = t == 0 ? like : fmax(near_[j], like);
            const double w =
                weights ? (double)weights[tkp__candidate(g, j)] : 1.0;
            near_[j] = nearest;
            if (p.rule == TKP_GREEDY_MMR)
                value[j] = lambda * w - (1.0 - lambda) * nearest;
            else if (p.weighted && far)
                value[j] = -nearest * w;
            else
                value[j] = p.weighted ? (1.0 - nearest) * w : -nearest;
        }
        __syncthreads();
    }
}

static tkp_status
plan_distance(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const tkp_op_greedy_distance *p =
        reinterpret_cast<const tkp_op_greedy_distance *>(plan->params);
    return tkp__greedy_book(plan, ledger, args, p->largest, STATES);
}

static tkp_status run_distance(const tkp__cuda_run *r)
{
    const tkp_op_greedy_distance *p =
        tkp__cuda_params<tkp_op_greedy_distance>(r);
    const tkp__groups groups = tkp__greedy_groups(r);
    const tkp_tensor *x = &r->args[greedy::X];
    float *matrix = tkp__cuda_scratch<float>(r, greedy::SCRATCH_MATRIX);
    float *squares = tkp__cuda_scratch<float>(r, greedy::SCRATCH_SQUARES);
    const bool far = p->measure == TKP_GREEDY_EUCLIDEAN;
    /* Lengths come with the cosines; distances are written over them. */
    if (!far || p->start == TKP_GREEDY_START_NORM)
        TKP__TRY(tkp__gram(r, x, groups, TKP__GRAM_COSINES, matrix, squares));
    if (far)
        TKP__TRY(tkp__gram(r, x, groups, TKP__GRAM_DISTANCES, matrix, nullptr));
    return tkp__cuda_launch(
        r, choose, dim3((unsigned)groups.count), tkp__greedy_threads(groups), 0,
        groups, matrix, squares, tkp__cuda_arg<const int32_t>(r, greedy::KEEP),
        tkp__cuda_arg<const int32_t>(r, greedy::OUT_OFFSETS),
        tkp__cuda_arg<const float>(r, greedy::WEIGHTS),
        tkp__cuda_scratch<double>(r, greedy::SCRATCH_STATE),
        tkp__greedy_listed(r->args), tkp__cuda_arg<int32_t>(r, DST), *p);
}

const tkp__cuda_op tkp__cuda_greedy_distance = {
    .kind = TKP_OP_GREEDY_DISTANCE,
    .params_size = sizeof(tkp_op_greedy_distance),
    .kernel = "greedy_distance",
    .plan = plan_distance,
    .run = run_distance,
};
