/*
 * GREEDY_DPP: greedy maximum of the determinant of a kernel matrix.
 *
 * One launch a choice, strips of columns side by side: each block finds the best
 * of all entries by itself, which is cheaper than to wait for another, and then
 * brings its own columns up to date. What is left is kept twice, so that no
 * block reads what another writes.
 */

#include "cuda/greedy.cuh"

enum { DST = 7, STRIP = 128 };
enum { LEFT_A, LEFT_B, WEIGHT, CHOSEN, STATES };
enum { SCRATCH_ROWS = greedy::SCRATCH_OWN, SCRATCH_MOST };
#define LEFT_AT_LEAST 1e-6

static __device__ double
kernel_at(double s, double a, double b, const tkp_op_greedy_dpp &p)
{
    const double theta = (double)p.theta;
    if (p.kernel == TKP_GREEDY_DPP_MIX)
        return (1.0 - theta) * s + theta * a * s * b;
    return a * s * b;
}

static __global__ void prepare(
    tkp__groups groups,
    const float *matrix,
    const float *weights,
    double *state,
    int64_t listed,
    double *most,
    tkp_op_greedy_dpp p)
{
    __shared__ double room[TKP__WARP];
    const tkp__group g = tkp__group_at(groups, blockIdx.x);
    double *left = state + LEFT_A * listed + g.first;
    double *w = state + WEIGHT * listed + g.first;
    unsigned char *chosen =
        reinterpret_cast<unsigned char *>(state + CHOSEN * listed) + g.first;
    const double theta = (double)p.theta;
    double top = 0.0;
    for (int j = threadIdx.x; j < g.n; j += blockDim.x) {
        double v = weights ? (double)weights[tkp__candidate(g, j)] : 1.0;
        if (p.kernel == TKP_GREEDY_DPP_EXP)
            v = exp(theta / (2.0 * (1.0 - theta)) * v);
        w[j] = v;
        chosen[j] = 0;
        left[j] = kernel_at(
            (double)matrix[(int64_t)(g.first + j) * groups.most + j], v, v, p);
        top = fmax(top, left[j]);
    }
    top = tkp__block_reduce(top, tkp__greater(), 0.0, room);
    if (threadIdx.x == 0)
        most[blockIdx.x] = top;
}

/* Choice t. What is left only falls: once it is filled by weight, it stays so. */
static __global__ void choose(
    tkp__groups groups,
    const float *matrix,
    const int32_t *keep,
    const int32_t *out_offsets,
    double *state,
    int64_t listed,
    double *rows, /* [choices][listed] */
    const double *most,
    int32_t *dst,
    int32_t t,
    tkp_op_greedy_dpp p)
{
    __shared__ tkp__greedy_room room;
    const tkp__group g = tkp__group_at(groups, blockIdx.y);
    if (t >= keep[blockIdx.y])
        return;
    const double *left = state + (t % 2 ? LEFT_B : LEFT_A) * listed + g.first;
    double *next = state + (t % 2 ? LEFT_A : LEFT_B) * listed + g.first;
    const double *w = state + WEIGHT * listed + g.first;
    /* [choice parity][entry]: who was chosen before this choice. */
    unsigned char *chosen =
        reinterpret_cast<unsigned char *>(state + CHOSEN * listed) +
        (t % 2) * listed + g.first;
    unsigned char *chosen_next =
        reinterpret_cast<unsigned char *>(state + CHOSEN * listed) +
        (1 - t % 2) * listed + g.first;
    int best = tkp__greedy_best(g, left, chosen, &room);
    if (best < 0)
        return;
    const bool fill = left[best] <= LEFT_AT_LEAST * most[blockIdx.y];
    if (fill)
        best = tkp__greedy_best(g, w, chosen, &room);
    if (blockIdx.x == 0 && threadIdx.x == 0)
        dst[out_offsets[blockIdx.y] + t] = tkp__candidate(g, best);
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= g.n)
        return;
    chosen_next[i] = chosen[i] || i == best;
    if (fill) {
        next[i] = left[i];
        return;
    }
    double sum = kernel_at(
        (double)matrix[(int64_t)(g.first + best) * groups.most + i], w[best],
        w[i], p);
    for (int s = 0; s < t; s++)
        sum -=
            rows[s * listed + g.first + best] * rows[s * listed + g.first + i];
    const double e = sum / sqrt(left[best]);
    rows[t * listed + g.first + i] = e;
    next[i] = left[i] - e * e;
}

static tkp_status
plan_dpp(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const tkp_op_greedy_dpp *p =
        reinterpret_cast<const tkp_op_greedy_dpp *>(plan->params);
    const int64_t most = tkp__greedy_most(args, p->largest);
    const int64_t k = min(args[DST].shape[0], most);
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(k, tkp__greedy_listed(args), &cells), TKP_ERR_SHAPE,
        "dst: %lld choices among %lld entries", (long long)k,
        (long long)tkp__greedy_listed(args));
    TKP__TRY(tkp__greedy_book(plan, ledger, args, p->largest, STATES));
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_ROWS, cells, sizeof(double)));
    return tkp__cuda_book(
        plan, ledger, SCRATCH_MOST, args[greedy::KEEP].shape[0],
        sizeof(double));
}

static tkp_status run_dpp(const tkp__cuda_run *r)
{
    const tkp_op_greedy_dpp *p = tkp__cuda_params<tkp_op_greedy_dpp>(r);
    const tkp__groups groups = tkp__greedy_groups(r);
    const int64_t listed = tkp__greedy_listed(r->args);
    float *matrix = tkp__cuda_scratch<float>(r, greedy::SCRATCH_MATRIX);
    double *state = tkp__cuda_scratch<double>(r, greedy::SCRATCH_STATE);
    double *most = tkp__cuda_scratch<double>(r, SCRATCH_MOST);
    TKP__TRY(tkp__gram(
        r, &r->args[greedy::X], groups, TKP__GRAM_COSINES, matrix,
        tkp__cuda_scratch<float>(r, greedy::SCRATCH_SQUARES)));
    TKP__TRY(tkp__cuda_launch(
        r, prepare, dim3((unsigned)groups.count), tkp__greedy_threads(groups),
        0, groups, matrix, tkp__cuda_arg<const float>(r, greedy::WEIGHTS),
        state, listed, most, *p));
    const int64_t choices =
        min(tkp__cuda_size(r, DST, 0), (int64_t)groups.most);
    for (int64_t t = 0; t < choices; t++)
        TKP__TRY(tkp__cuda_launch(
            r, choose,
            dim3(tkp__cuda_blocks(groups.most, STRIP), (unsigned)groups.count),
            STRIP, 0, groups, matrix,
            tkp__cuda_arg<const int32_t>(r, greedy::KEEP),
            tkp__cuda_arg<const int32_t>(r, greedy::OUT_OFFSETS), state, listed,
            tkp__cuda_scratch<double>(r, SCRATCH_ROWS), most,
            tkp__cuda_arg<int32_t>(r, DST), (int32_t)t, *p));
    return TKP_OK;
}

const tkp__cuda_op tkp__cuda_greedy_dpp = {
    .kind = TKP_OP_GREEDY_DPP,
    .params_size = sizeof(tkp_op_greedy_dpp),
    .kernel = "greedy_dpp",
    .plan = plan_dpp,
    .run = run_dpp,
};
