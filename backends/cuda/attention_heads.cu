/*
 * ATTENTION_HEADS: attention of the heads that look at the candidates most, without
 * what distance alone makes of it (backends/ref/ref_attention_heads.c).
 *
 * Log-sum-exps as for ATTENTION_SCORES; then a warp a candidate leaves the sum
 * over the rows for each head, a block a head and sequence their total, and
 * last the heads of largest total are meaned.
 */

#include "cuda/keys.cuh"

enum { POSITIONS = keys::CANDIDATES + 1, SCORES };
enum { SCRATCH_PARTS, SCRATCH_SUMS, SCRATCH_SEEN, SCRATCH_TOTALS };
enum { THREADS = 256, WARPS = THREADS / TKP__WARP, SPLITS = 8 };

/* G(0) over the least that is divided by. */
constexpr double BOUND = 64.0;

struct apart {
    const int32_t *positions; /* [rows of positions, M] */
    int64_t row;              /* stride */
    int32_t rows;
    double theta; /* 0 = nothing is divided by */
};

/* What a probability is divided by, between two rows of the packed batch; by a
 * warp. */
static __device__ double
distance_kernel(const apart &a, int32_t channels, int64_t q, int64_t k)
{
    const double zero = sqrt((double)channels);
    double sum = 0.0;
    if (a.theta == 0.0)
        return 1.0;
    for (int32_t i = threadIdx.x % TKP__WARP; i < channels / 2;
         i += TKP__WARP) {
        const double speed = pow(a.theta, -(double)(2 * i) / channels);
        for (int32_t r = 0; r < a.rows; r++)
            sum +=
                cos(((double)a.positions[r * a.row + q] -
                     (double)a.positions[r * a.row + k]) *
                    speed);
    }
    sum = tkp__warp_reduce(sum, tkp__sum()) * 2.0 / (zero * a.rows);
    return sum > zero / BOUND ? sum : zero / BOUND;
}

/* sums [heads, n], seen [n]. */
template <class T>
static __global__ void head_sums(
    tkp__keys s,
    apart a,
    int64_t sequences,
    const tkp__part *parts,
    int32_t last_only,
    float *sums,
    int32_t *seen,
    int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / TKP__WARP;
    if (i >= n)
        return;
    const bool writes = threadIdx.x % TKP__WARP == 0;
    const int64_t b = tkp__range_of(s.offsets, sequences, i);
    const int32_t end = s.q_offsets[b + 1], j = s.candidates[i];
    int32_t from = s.q_offsets[b], rows = 0;
    if (last_only && from < end)
        from = end - 1;
    for (int32_t h = 0; writes && h < s.heads; h++)
        sums[h * n + i] = 0.0f;
    for (int32_t q = from; q < end; q++) {
        if (j < 0 || j >= tkp__visible(s, b, q))
            continue;
        const int64_t first = s.k_offsets[b];
        const double by =
            distance_kernel(a, s.channels, first + s.positions[q], first + j);
        rows++;
        for (int32_t h = 0; h < s.heads; h++) {
            const float p = expf(
                tkp__logit<T>(s, b, q, h, j) -
                tkp__row_lse(s, parts, SPLITS, q, h));
            if (writes)
                sums[h * n + i] += (float)(p / by);
        }
    }
    if (writes)
        seen[i] = rows;
}

/* Grid (heads, sequences); totals [sequences, heads]. */
static __global__ void head_totals(
    const int32_t *offsets,
    const float *sums,
    int64_t n,
    double *totals)
{
    __shared__ double room[TKP__WARP];
    const int32_t h = blockIdx.x, b = blockIdx.y;
    double total = 0.0;
    for (int32_t i = offsets[b] + threadIdx.x; i < offsets[b + 1];
         i += blockDim.x)
        total += sums[h * n + i];
    total = tkp__block_reduce(total, tkp__sum(), 0.0, room);
    if (threadIdx.x == 0)
        totals[(int64_t)b * gridDim.x + h] = total;
}

/* Whether fewer than `wanted` heads come before h: of equal ones, lower
 * numbers do. */
static __device__ bool
is_taken(const double *totals, int32_t heads, int32_t wanted, int32_t h)
{
    int32_t before = 0;
    for (int32_t g = 0; g < heads; g++)
        before += totals[g] > totals[h] || (totals[g] == totals[h] && g < h);
    return before < wanted;
}

static __global__ void mean_of_taken(
    tkp__keys s,
    int64_t sequences,
    const float *sums,
    const int32_t *seen,
    const double *totals,
    int32_t wanted,
    int32_t reduce,
    float *dst,
    int64_t n)
{
    const int64_t i = tkp__thread();
    if (i >= n)
        return;
    const int64_t b = tkp__range_of(s.offsets, sequences, i);
    const int32_t rows = s.q_offsets[b + 1] - s.q_offsets[b];
    double sum = 0.0;
    for (int32_t h = 0; h < s.heads; h++)
        if (is_taken(totals + b * s.heads, s.heads, wanted, h))
            sum += sums[h * n + i];
    sum /= wanted;
    if (reduce == TKP_ROW_REDUCE_MEAN && rows > 0)
        sum /= rows;
    if (reduce == TKP_ROW_REDUCE_MEAN_VISIBLE && seen[i] > 0)
        sum /= seen[i];
    dst[i] = (float)sum;
}

static tkp_status
plan_heads(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t heads = args[keys::Q].shape[1], n = args[SCORES].shape[0];
    int64_t rows, sums;
    TKP__CHECK(
        tkp__mul_i64(args[keys::Q].shape[0], heads, &rows) &&
            tkp__mul_i64(rows, SPLITS, &rows) && tkp__mul_i64(heads, n, &sums),
        TKP_ERR_SHAPE, "q: too many rows and heads");
    TKP__TRY(tkp__cuda_book(
        plan, ledger, SCRATCH_PARTS, tkp__present(&args[keys::LSE]) ? 0 : rows,
        sizeof(tkp__part)));
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_SUMS, sums, sizeof(float)));
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_SEEN, n, sizeof(int32_t)));
    return tkp__cuda_book(
        plan, ledger, SCRATCH_TOTALS, args[keys::OFFSETS].shape[0] * heads,
        sizeof(double));
}

static apart apart_of(const tkp__cuda_run *r, double theta)
{
    const tkp_tensor *positions = &r->args[POSITIONS];
    apart a = {};
    a.theta = theta;
    if (theta == 0.0)
        return a;
    a.positions = tkp__cuda_arg<const int32_t>(r, POSITIONS);
    a.row = positions->strides[0];
    a.rows = (int32_t)positions->shape[0];
    return a;
}

static tkp_status run_heads(const tkp__cuda_run *r)
{
    const tkp_op_attention_heads *p =
        tkp__cuda_params<tkp_op_attention_heads>(r);
    const tkp__keys s = tkp__keys_of(r, p->flags, p->scale);
    const apart a = apart_of(r, p->theta);
    const int64_t rows = r->args[keys::Q].shape[0];
    const int64_t sequences = r->args[keys::OFFSETS].shape[0] - 1;
    const int64_t n = tkp__cuda_size(r, SCORES, 0);
    const int32_t last = p->row_reduce == TKP_ROW_REDUCE_LAST;
    const int32_t wanted = p->heads && p->heads < s.heads ? p->heads : s.heads;
    tkp__part *parts = tkp__cuda_scratch<tkp__part>(r, SCRATCH_PARTS);
    float *sums = tkp__cuda_scratch<float>(r, SCRATCH_SUMS);
    int32_t *seen = tkp__cuda_scratch<int32_t>(r, SCRATCH_SEEN);
    double *totals = tkp__cuda_scratch<double>(r, SCRATCH_TOTALS);
    const tkp_status summed =
        tkp__cuda_with(r->args[keys::Q].dtype, [&](auto *type) {
            using T = TKP__TYPE(type);
            if (!s.lse)
                TKP__TRY(tkp__cuda_launch(
                    r, tkp__row_parts<T>,
                    dim3(SPLITS, (unsigned)s.heads, (unsigned)rows), THREADS, 0,
                    s, sequences, last, parts));
            return tkp__cuda_launch(
                r, head_sums<T>, dim3(tkp__cuda_blocks(n, WARPS)), THREADS, 0,
                s, a, sequences, parts, last, sums, seen, n);
        });
    TKP__TRY(summed);
    TKP__TRY(tkp__cuda_launch(
        r, head_totals, dim3((unsigned)s.heads, (unsigned)sequences), THREADS,
        0, s.offsets, sums, n, totals));
    return tkp__cuda_launch(
        r, mean_of_taken, dim3(tkp__cuda_blocks(n, THREADS)), THREADS, 0, s,
        sequences, sums, seen, totals, wanted, p->row_reduce,
        tkp__cuda_arg<float>(r, SCORES), n);
}

const tkp__cuda_op tkp__cuda_attention_heads = {
    .kind = TKP_OP_ATTENTION_HEADS,
    .params_size = sizeof(tkp_op_attention_heads),
    .kernel = "attention_heads",
    .plan = plan_heads,
    .run = run_heads,
};
