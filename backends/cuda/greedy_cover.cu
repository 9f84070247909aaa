/*
 * GREEDY_COVER: coverage of all members by those chosen. Two launches a choice:
 * what each would add, and who adds most.
 */

#include "cuda/gain.cuh"

enum { DEMAND = 6, FACTOR, EXTRA, EXTRA_RANGE, DST };
enum { COVERED, WANTED, VALUE, CHOSEN, PARTS };
enum { STATES = PARTS + TKP__GAIN_SPLITS };
enum { SCRATCH_EXTRA = greedy::SCRATCH_OWN };

/* Cosines to T, a block a row; the state of its entry as well. */
static __global__ void prepare(
    tkp__groups groups,
    float *matrix,
    const float *demand,
    double *state,
    int64_t listed,
    tkp_op_greedy_cover p)
{
    __shared__ double room[TKP__WARP];
    const tkp__group g = tkp__group_at(groups, blockIdx.y);
    const int i = blockIdx.x;
    if (i >= g.n)
        return;
    float *row = matrix + (int64_t)(g.first + i) * groups.most;
    double top = -INFINITY, sum = 0.0;
    if (p.kernel == TKP_GREEDY_KERNEL_SOFTMAX) {
        for (int j = threadIdx.x; j < g.n; j += blockDim.x)
            top = fmax(top, (double)row[j]);
        top = tkp__block_reduce(top, tkp__greater(), -(double)INFINITY, room);
        for (int j = threadIdx.x; j < g.n; j += blockDim.x)
            sum += exp(((double)row[j] - top) / (double)p.temperature);
        sum = tkp__block_reduce(sum, tkp__sum(), 0.0, room);
    }
    for (int j = threadIdx.x; j < g.n; j += blockDim.x) {
        double v = (double)row[j];
        if (p.kernel == TKP_GREEDY_KERNEL_HALF)
            v = (v + 1.0) / 2.0;
        else if (p.kernel == TKP_GREEDY_KERNEL_SOFTMAX)
            v = exp((v - top) / (double)p.temperature) / (sum * (double)g.n);
        row[j] = (float)(v * (double)p.scale);
    }
    if (threadIdx.x != 0)
        return;
    state[COVERED * listed + g.first + i] = 0.0;
    state[WANTED * listed + g.first + i] =
        demand ? (double)demand[tkp__candidate(g, i)] : 1.0;
    reinterpret_cast<unsigned char *>(state + CHOSEN * listed)[g.first + i] = 0;
}

struct extra_rows {
    const float *values;
    const int32_t *range;
    int64_t stride;
};

static __global__ void clear(double *values, int64_t n)
{
    for (int64_t i = tkp__thread(); i < n; i += tkp__threads())
        values[i] = 0.0;
}

static __global__ void choose(
    tkp__groups groups,
    const float *matrix,
    const int32_t *keep,
    const int32_t *out_offsets,
    const float *factor,
    extra_rows extra,
    double *extra_covered, /* [groups, rows of extra] */
    int64_t extra_count,
    double *state,
    int64_t listed,
    int32_t *dst,
    int32_t t,
    tkp_op_greedy_cover p)
{
    __shared__ tkp__greedy_room room;
    const tkp__group g = tkp__group_at(groups, blockIdx.x);
    if (t >= keep[blockIdx.x])
        return;
    double *covered = state + COVERED * listed + g.first;
    double *value = state + VALUE * listed + g.first;
    unsigned char *chosen =
        reinterpret_cast<unsigned char *>(state + CHOSEN * listed) + g.first;
    const int begin = extra.values ? extra.range[2 * blockIdx.x] : 0;
    const int end = extra.values ? extra.range[2 * blockIdx.x + 1] : 0;
    double *beyond = extra_covered + blockIdx.x * extra_count;
    for (int j = threadIdx.x; j < g.n; j += blockDim.x) {
        const int32_t c = tkp__candidate(g, j);
        double gain = tkp__gain_of(state + PARTS * listed, listed, g.first + j);
        for (int e = begin; e < end; e++)
            gain += fmax(
                0.0, (double)extra.values[e * extra.stride + c] - beyond[e]);
        if (factor) {
            const double f = pow((double)factor[c], (double)p.power);
            gain = p.add ? gain + f : gain * f;
        }
        value[j] = gain;
    }
    __syncthreads();
    const int best = tkp__greedy_best(g, value, chosen, &room);
    if (best < 0)
        return;
    const int32_t chosen_one = tkp__candidate(g, best);
    if (threadIdx.x == 0) {
        chosen[best] = 1;
        dst[out_offsets[blockIdx.x] + t] = chosen_one;
    }
    for (int i = threadIdx.x; i < g.n; i += blockDim.x)
        covered[i] = fmax(
            covered[i],
            (double)matrix[(int64_t)(g.first + i) * groups.most + best]);
    for (int e = begin + threadIdx.x; e < end; e += blockDim.x)
        beyond[e] = fmax(
            beyond[e], (double)extra.values[e * extra.stride + chosen_one]);
}

static tkp_status
plan_cover(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const tkp_op_greedy_cover *p =
        reinterpret_cast<const tkp_op_greedy_cover *>(plan->params);
    const int64_t rows = tkp__present(&args[EXTRA]) ? args[EXTRA].shape[0] : 0;
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(rows, args[greedy::KEEP].shape[0], &cells), TKP_ERR_SHAPE,
        "extra: too many rows and groups");
    TKP__TRY(tkp__greedy_book(plan, ledger, args, p->largest, STATES));
    return tkp__cuda_book(plan, ledger, SCRATCH_EXTRA, cells, sizeof(double));
}

static tkp_status run_cover(const tkp__cuda_run *r)
{
    const tkp_op_greedy_cover *p = tkp__cuda_params<tkp_op_greedy_cover>(r);
    const tkp__groups groups = tkp__greedy_groups(r);
    const int64_t listed = tkp__greedy_listed(r->args);
    float *matrix = tkp__cuda_scratch<float>(r, greedy::SCRATCH_MATRIX);
    double *state = tkp__cuda_scratch<double>(r, greedy::SCRATCH_STATE);
    double *beyond = tkp__cuda_scratch<double>(r, SCRATCH_EXTRA);
    const extra_rows extra = {
        tkp__cuda_arg<const float>(r, EXTRA),
        tkp__cuda_arg<const int32_t>(r, EXTRA_RANGE),
        r->args[EXTRA].strides[0]};
    const int64_t rows = extra.values ? r->args[EXTRA].shape[0] : 0;
    TKP__TRY(tkp__gram(
        r, &r->args[greedy::X], groups, TKP__GRAM_COSINES, matrix,
        tkp__cuda_scratch<float>(r, greedy::SCRATCH_SQUARES)));
    TKP__TRY(tkp__cuda_launch(
        r, prepare, dim3((unsigned)groups.most, (unsigned)groups.count), 128, 0,
        groups, matrix, tkp__cuda_arg<const float>(r, DEMAND), state, listed,
        *p));
    TKP__TRY(tkp__cuda_launch(
        r, clear, dim3(tkp__cuda_blocks(rows * groups.count, 256)), 256, 0,
        beyond, rows * groups.count));
    /* No group keeps more than all of them together. */
    for (int64_t t = 0; t < tkp__cuda_size(r, DST, 0); t++) {
        TKP__TRY(tkp__gain(
            r, groups, matrix, state + WANTED * listed,
            state + COVERED * listed, state + PARTS * listed, (int32_t)t));
        TKP__TRY(tkp__cuda_launch(
            r, choose, dim3((unsigned)groups.count),
            tkp__greedy_threads(groups), 0, groups, matrix,
            tkp__cuda_arg<const int32_t>(r, greedy::KEEP),
            tkp__cuda_arg<const int32_t>(r, greedy::OUT_OFFSETS),
            tkp__cuda_arg<const float>(r, FACTOR), extra, beyond, rows, state,
            listed, tkp__cuda_arg<int32_t>(r, DST), (int32_t)t, *p));
    }
    return TKP_OK;
}

const tkp__cuda_op tkp__cuda_greedy_cover = {
    .kind = TKP_OP_GREEDY_COVER,
    .params_size = sizeof(tkp_op_greedy_cover),
    .kernel = "greedy_cover",
    .plan = plan_cover,
    .run = run_cover,
};
