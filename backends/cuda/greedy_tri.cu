/*
 * GREEDY_TRI: importance, diversity and coverage at once. Two launches a choice,
 * as in GREEDY_COVER: coverage here is of those not chosen.
 */

#include "cuda/gain.cuh"

enum { DST = 7 };
enum { NEAR, LEFT, VALUE, GAIN, CHOSEN, PARTS };
enum { STATES = PARTS + TKP__GAIN_SPLITS };
#define NOTHING 1e-6

struct tri_state {
    double *near_, *left, *value, *gain;
    unsigned char *chosen;
};

static __device__ tri_state state_at(double *state, int64_t listed, int first)
{
    return {
        state + NEAR * listed + first, state + LEFT * listed + first,
        state + VALUE * listed + first, state + GAIN * listed + first,
        reinterpret_cast<unsigned char *>(state + CHOSEN * listed) + first};
}

static __global__ void
prepare(tkp__groups groups, double *state, int64_t listed)
{
    const tkp__group g = tkp__group_at(groups, blockIdx.y);
    const tri_state s = state_at(state, listed, g.first);
    for (int64_t i = tkp__thread(); i < g.n; i += tkp__threads()) {
        s.left[i] = 1.0;
        s.near_[i] = 0.0;
        s.chosen[i] = 0;
    }
}

struct lesser_of {
    __device__ double operator()(double a, double b) const
    {
        return a < b ? a : b;
    }
};

/* What a term is divided by, and what is taken from it; 0: it is left out. */
template <class F>
static __device__ double term_by(
    const tkp__group &g,
    const tri_state &s,
    F term,
    double nothing,
    bool min_max,
    double *low_out,
    double *room)
{
    double low = INFINITY, high = -INFINITY, sum = 0.0, count = 0.0;
    for (int j = threadIdx.x; j < g.n; j += blockDim.x) {
        if (s.chosen[j])
            continue;
        const double v = term(j);
        low = fmin(low, v);
        high = fmax(high, v);
        sum += v;
        count += 1.0;
    }
    low = tkp__block_reduce(low, lesser_of(), (double)INFINITY, room);
    high = tkp__block_reduce(high, tkp__greater(), -(double)INFINITY, room);
    sum = tkp__block_reduce(sum, tkp__sum(), 0.0, room);
    count = tkp__block_reduce(count, tkp__sum(), 0.0, room);
    const double by = min_max ? high - low : sum / count;
    *low_out = min_max ? low : 0.0;
    return fabs(by) <= nothing ? 0.0 : by;
}

static __global__ void choose(
    tkp__groups groups,
    const float *matrix,
    const int32_t *keep,
    const int32_t *out_offsets,
    const float *weights,
    double *state,
    int64_t listed,
    int32_t *dst,
    int32_t t,
    tkp_op_greedy_tri p)
{
    __shared__ tkp__greedy_room room;
    const tkp__group g = tkp__group_at(groups, blockIdx.x);
    if (t >= keep[blockIdx.x])
        return;
    const tri_state s = state_at(state, listed, g.first);
    const auto weight = [&](int j) {
        return (double)weights[tkp__candidate(g, j)];
    };
    const auto far = [&](int j) { return 1.0 - s.near_[j]; };
    const auto gain = [&](int j) { return s.gain[j]; };
    if (t == 0) {
        for (int j = threadIdx.x; j < g.n; j += blockDim.x)
            s.value[j] = weight(j);
    } else {
        const bool span = p.min_max;
        double low_w, low_d, low_c;
        for (int j = threadIdx.x; j < g.n; j += blockDim.x)
            s.gain[j] =
                tkp__gain_of(state + PARTS * listed, listed, g.first + j);
        __syncthreads();
        const double w = term_by(g, s, weight, 0.0, span, &low_w, room.values);
        const double d = term_by(g, s, far, NOTHING, span, &low_d, room.values);
        const double c =
            term_by(g, s, gain, NOTHING, span, &low_c, room.values);
        for (int j = threadIdx.x; j < g.n; j += blockDim.x) {
            double value = 0.0;
            if (w != 0.0)
                value += (weight(j) - low_w) / w;
            if (d != 0.0)
                value += (double)p.alpha * (far(j) - low_d) / d;
            if (c != 0.0)
                value += (double)p.lambda * (gain(j) - low_c) / c;
            s.value[j] = value;
        }
    }
    __syncthreads();
    const int best = tkp__greedy_best(g, s.value, s.chosen, &room);
    if (best < 0)
        return;
    if (threadIdx.x == 0) {
        s.chosen[best] = 1;
        s.left[best] = 0.0;
        dst[out_offsets[blockIdx.x] + t] = tkp__candidate(g, best);
    }
    for (int i = threadIdx.x; i < g.n; i += blockDim.x) {
        const double v =
            (double)matrix[(int64_t)(g.first + i) * groups.most + best];
        s.near_[i] = t == 0 ? v : fmax(s.near_[i], v);
    }
}

static tkp_status
plan_tri(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const tkp_op_greedy_tri *p =
        reinterpret_cast<const tkp_op_greedy_tri *>(plan->params);
    return tkp__greedy_book(plan, ledger, args, p->largest, STATES);
}

static tkp_status run_tri(const tkp__cuda_run *r)
{
    const tkp__groups groups = tkp__greedy_groups(r);
    const int64_t listed = tkp__greedy_listed(r->args);
    float *matrix = tkp__cuda_scratch<float>(r, greedy::SCRATCH_MATRIX);
    double *state = tkp__cuda_scratch<double>(r, greedy::SCRATCH_STATE);
    TKP__TRY(tkp__gram(
        r, &r->args[greedy::X], groups, TKP__GRAM_COSINES, matrix,
        tkp__cuda_scratch<float>(r, greedy::SCRATCH_SQUARES)));
    TKP__TRY(tkp__cuda_launch(
        r, prepare,
        dim3(tkp__cuda_blocks(groups.most, 256), (unsigned)groups.count), 256,
        0, groups, state, listed));
    for (int64_t t = 0; t < tkp__cuda_size(r, DST, 0); t++) {
        if (t > 0)
            TKP__TRY(tkp__gain(
                r, groups, matrix, state + LEFT * listed, state + NEAR * listed,
                state + PARTS * listed, (int32_t)t));
        TKP__TRY(tkp__cuda_launch(
            r, choose, dim3((unsigned)groups.count),
            tkp__greedy_threads(groups), 0, groups, matrix,
            tkp__cuda_arg<const int32_t>(r, greedy::KEEP),
            tkp__cuda_arg<const int32_t>(r, greedy::OUT_OFFSETS),
            tkp__cuda_arg<const float>(r, greedy::WEIGHTS), state, listed,
            tkp__cuda_arg<int32_t>(r, DST), (int32_t)t,
            *tkp__cuda_params<tkp_op_greedy_tri>(r)));
    }
    return TKP_OK;
}

const tkp__cuda_op tkp__cuda_greedy_tri = {
    .kind = TKP_OP_GREEDY_TRI,
    .params_size = sizeof(tkp_op_greedy_tri),
    .kernel = "greedy_tri",
    .plan = plan_tri,
    .run = run_tri,
};
