/*
 * COMPACT: the rows that stay, ascending. Rows are marked, then one block walks
 * over the marks and counts; indices that are out of range are left out.
 */

#include "cuda/device.cuh"

enum { CANDIDATES, SELECTED, DST };
enum { SCRATCH_MARKS };
enum { THREADS = 256, SCANNERS = 1024 };

static __global__ void fill(unsigned char *marks, int64_t rows)
{
    for (int64_t i = tkp__thread(); i < rows; i += tkp__threads())
        marks[i] = 1;
}

/* Candidates go, then the chosen ones stay: two launches, in this order. */
static __global__ void mark(
    const int32_t *candidates,
    const int32_t *selected,
    unsigned char *marks,
    int64_t count,
    int64_t candidate_count,
    int64_t rows,
    int stays)
{
    for (int64_t i = tkp__thread(); i < count; i += tkp__threads()) {
        const int64_t n = selected ? selected[i] : i;
        if (n < 0 || n >= candidate_count)
            continue;
        const int32_t row = candidates[n];
        if (row >= 0 && row < rows)
            marks[row] = (unsigned char)stays;
    }
}

static __global__ void
list(const unsigned char *marks, int32_t *dst, int64_t rows, int64_t limit)
{
    __shared__ int room[TKP__WARP];
    int64_t taken = 0;
    for (int64_t begin = 0; begin < rows; begin += blockDim.x) {
        const int64_t row = begin + threadIdx.x;
        const int stays = row < rows && marks[row];
        int total;
        const int64_t at = taken + tkp__block_scan(stays, &total, room);
        if (stays && at < limit)
            dst[at] = (int32_t)row;
        taken += total;
    }
}

static tkp_status
plan_compact(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    (void)args;
    plan->extent[0] =
        reinterpret_cast<const tkp_op_compact *>(plan->params)->rows;
    return tkp__cuda_book(plan, ledger, SCRATCH_MARKS, plan->extent[0], 1);
}

static tkp_status run_compact(const tkp__cuda_run *r)
{
    const int64_t n = tkp__cuda_size(r, CANDIDATES, 0);
    const int64_t k = tkp__cuda_size(r, SELECTED, 0);
    const int64_t stay = tkp__cuda_size(r, DST, 0), rows = stay + n - k;
    TKP__CHECK(
        rows >= 0 && rows <= r->plan->extent[0], TKP_ERR_SHAPE,
        "dst: makes %lld rows, the plan was made for %lld", (long long)rows,
        (long long)r->plan->extent[0]);
    unsigned char *marks = tkp__cuda_scratch<unsigned char>(r, SCRATCH_MARKS);
    const int32_t *candidates = tkp__cuda_arg<const int32_t>(r, CANDIDATES);
    TKP__TRY(tkp__cuda_launch(
        r, fill, dim3(tkp__cuda_blocks(rows, THREADS)), THREADS, 0, marks,
        rows));
    TKP__TRY(tkp__cuda_launch(
        r, mark, dim3(tkp__cuda_blocks(n, THREADS)), THREADS, 0, candidates,
        nullptr, marks, n, n, rows, 0));
    TKP__TRY(tkp__cuda_launch(
        r, mark, dim3(tkp__cuda_blocks(k, THREADS)), THREADS, 0, candidates,
        tkp__cuda_arg<const int32_t>(r, SELECTED), marks, k, n, rows, 1));
    return tkp__cuda_launch(
        r, list, dim3(rows > 0), SCANNERS, 0, marks,
        tkp__cuda_arg<int32_t>(r, DST), rows, stay);
}

const tkp__cuda_op tkp__cuda_compact = {
    .kind = TKP_OP_COMPACT,
    .params_size = sizeof(tkp_op_compact),
    .kernel = "compact",
    .plan = plan_compact,
    .run = run_compact,
};
