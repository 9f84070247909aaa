/*
 * ATTENTION_RANK: how many directions the same rows span at the candidates. The
 * rows are written out, multiplied with each other (or the columns, where there
 * are fewer), and the eigenvalues of that counted by one block a sequence.
 */

#include <float.h>

#include "cuda/keys.cuh"
#include "cuda/tridiagonal.cuh"

enum { DST = keys::CANDIDATES + 1 };
enum { SCRATCH_PARTS, SCRATCH_ROWS, SCRATCH_GRAM, SCRATCH_LINES };
enum { THREADS = 256, WARPS = THREADS / TKP__WARP, SPLITS = 8, LINES = 4 };

/* rows [Q][N], f32 as the definition has it; a warp an entry. */
template <class T>
static __global__ void write_rows(
    tkp__keys s,
    int64_t sequences,
    const tkp__part *parts,
    float *rows,
    int64_t n)
{
    const int64_t q = blockIdx.y;
    const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / TKP__WARP;
    if (i >= n)
        return;
    const int64_t b = tkp__range_of(s.q_offsets, sequences, q);
    if (i < s.offsets[b] || i >= s.offsets[b + 1])
        return;
    const int32_t j = s.candidates[i];
    const bool half = s.flags & TKP_ATTENTION_EMULATE_HALF;
    float sum = 0.0f;
    if (j < tkp__visible(s, b, q))
        for (int32_t h = 0; h < s.heads; h++) {
            const float p = expf(
                tkp__logit<T>(s, b, q, h, j) -
                tkp__row_lse(s, parts, SPLITS, q, h));
            sum += half ? tkp__rounded<T>(p) : p;
        }
    const float mean = sum / (float)s.heads;
    if (threadIdx.x % TKP__WARP == 0)
        rows[q * n + i] = half ? tkp__rounded<T>(mean) : mean;
}

static __global__ void count_directions(
    const int32_t *q_offsets,
    const int32_t *offsets,
    const float *rows_of_all,
    int64_t n_of_all,
    double *gram_of_all,
    int64_t gram_stride,
    double *lines_of_all,
    int64_t side_of_all,
    int32_t *dst,
    float tolerance_given)
{
    __shared__ double room[TKP__WARP];
    const int64_t b = blockIdx.x;
    const int64_t rows = q_offsets[b + 1] - q_offsets[b];
    const int64_t n = offsets[b + 1] - offsets[b];
    if (rows == 0 || n == 0) {
        if (threadIdx.x == 0)
            dst[b] = 0;
        return;
    }
    const float *m = rows_of_all + q_offsets[b] * n_of_all + offsets[b];
    const bool columns = n < rows;
    const int64_t side = columns ? n : rows, length = columns ? rows : n;
    double *gram = gram_of_all + b * gram_stride;
    double *lines = lines_of_all + b * LINES * side_of_all;
    for (int64_t at = threadIdx.x; at < side * side; at += blockDim.x) {
        const int64_t i = at / side, j = at - i * side;
        double sum = 0.0;
        for (int64_t c = 0; c < length; c++)
            sum +=
                columns
                    ? (double)m[c * n_of_all + i] * (double)m[c * n_of_all + j]
                    : (double)m[i * n_of_all + c] * (double)m[j * n_of_all + c];
        gram[at] = sum;
    }
    __syncthreads();
    const tkp__tridiagonal t = {
        (int32_t)side,   gram, lines, lines + side, lines + 2 * side,
        lines + 3 * side};
    tkp__tridiagonal_reduce(t, room);
    if (threadIdx.x != 0)
        return;
    double low, high;
    tkp__tridiagonal_reach(t, &low, &high);
    const double largest = tkp__tridiagonal_value(t, 0, low, high);
    const double tolerance =
        tolerance_given != 0.0f
            ? (double)tolerance_given
            : (double)(rows > n ? rows : n) * (double)FLT_EPSILON;
    const double tiny = largest * DBL_EPSILON * DBL_EPSILON + DBL_MIN;
    dst[b] = largest <= 0.0
                 ? 0
                 : t.n - tkp__tridiagonal_below(
                             t, tolerance * tolerance * largest, tiny);
}

static tkp_status
plan_rank(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t q = args[keys::Q].shape[0];
    const int64_t n = args[keys::CANDIDATES].shape[0];
    const int64_t b = args[DST].shape[0], side = q < n ? q : n;
    int64_t parts, rows, gram;
    TKP__CHECK(
        tkp__mul_i64(q, args[keys::Q].shape[1] * SPLITS, &parts) &&
            tkp__mul_i64(q, n, &rows) && tkp__mul_i64(side, side, &gram) &&
            tkp__mul_i64(gram, b, &gram),
        TKP_ERR_SHAPE, "q: %lld rows, %lld candidates", (long long)q,
        (long long)n);
    plan->extent[0] = side;
    TKP__TRY(
        tkp__cuda_book(plan, ledger, SCRATCH_PARTS, parts, sizeof(tkp__part)));
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_ROWS, rows, sizeof(float)));
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_GRAM, gram, sizeof(double)));
    return tkp__cuda_book(
        plan, ledger, SCRATCH_LINES, LINES * side * b, sizeof(double));
}

static tkp_status run_rank(const tkp__cuda_run *r)
{
    const tkp_op_attention_rank *p = tkp__cuda_params<tkp_op_attention_rank>(r);
    const tkp__keys s = tkp__keys_of(r, p->flags, p->scale);
    const int64_t q = r->args[keys::Q].shape[0];
    const int64_t n = tkp__cuda_size(r, keys::CANDIDATES, 0);
    const int64_t sequences = tkp__cuda_size(r, DST, 0);
    const int64_t side = r->plan->extent[0];
    tkp__part *parts = tkp__cuda_scratch<tkp__part>(r, SCRATCH_PARTS);
    float *rows = tkp__cuda_scratch<float>(r, SCRATCH_ROWS);
    const auto fill = [&](auto *type) {
        using T = TKP__TYPE(type);
        if (!s.lse)
            TKP__TRY(tkp__cuda_launch(
                r, tkp__row_parts<T>,
                dim3(SPLITS, (unsigned)s.heads, (unsigned)q), THREADS, 0, s,
                sequences, 0, parts));
        return tkp__cuda_launch(
            r, write_rows<T>, dim3(tkp__cuda_blocks(n, WARPS), (unsigned)q),
            THREADS, 0, s, sequences, parts, rows, n);
    };
    TKP__TRY(tkp__cuda_with(r->args[keys::Q].dtype, fill));
    return tkp__cuda_launch(
        r, count_directions, dim3((unsigned)sequences), THREADS, 0, s.q_offsets,
        s.offsets, rows, n, tkp__cuda_scratch<double>(r, SCRATCH_GRAM),
        side * side, tkp__cuda_scratch<double>(r, SCRATCH_LINES), side,
        tkp__cuda_arg<int32_t>(r, DST), p->tolerance);
}

const tkp__cuda_op tkp__cuda_attention_rank = {
    .kind = TKP_OP_ATTENTION_RANK,
    .params_size = sizeof(tkp_op_attention_rank),
    .kernel = "attention_rank",
    .plan = plan_rank,
    .run = run_rank,
};
