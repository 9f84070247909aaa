/*
 * RELEVANCE: what candidates have to do with text. A block a sequence: tokens of
 * text are few.
 */

#include "cuda/device.cuh"

enum { PROMPTS, PROMPT_RANGE, TOKENS, TOKEN_RANGE, OFFSETS, DST };
enum { SCRATCH_SUM, SCRATCH_ENTROPY };
enum { THREADS = 512 };

struct text_rows {
    const float *values;
    const int32_t *range;
    int64_t stride;
};
struct most_of {
    __device__ double operator()(double a, double b) const
    {
        return a > b ? a : b;
    }
};

static __device__ double entropy(
    const float *row,
    int32_t first,
    int32_t end,
    double sharp,
    double *room)
{
    double top = -INFINITY, sum = 0.0, h = 0.0;
    for (int32_t j = first + threadIdx.x; j < end; j += blockDim.x)
        top = fmax(top, sharp * (double)row[j]);
    top = tkp__block_reduce(top, most_of(), -(double)INFINITY, room);
    for (int32_t j = first + threadIdx.x; j < end; j += blockDim.x)
        sum += exp(sharp * (double)row[j] - top);
    sum = tkp__block_reduce(sum, tkp__sum(), 0.0, room);
    for (int32_t j = first + threadIdx.x; j < end; j += blockDim.x) {
        const double p = exp(sharp * (double)row[j] - top) / sum;
        h -= p * log(p + 1e-12);
    }
    return tkp__block_reduce(h, tkp__sum(), 0.0, room);
}

static __device__ bool
is_kept(const double *h, int32_t n, int32_t i, int32_t keep)
{
    int32_t before = 0;
    for (int32_t j = 0; j < n; j++)
        before += h[j] < h[i] || (h[j] == h[i] && j < i);
    return before < keep;
}

/* sum += share of the tokens begin .. of one prompt. */
static __device__ void add_tokens(
    const tkp_op_relevance &p,
    const text_rows &tokens,
    int32_t begin,
    int32_t n,
    int32_t first,
    int32_t end,
    double share,
    double *h,
    double *sum,
    double *room)
{
    const double sign = p.like ? 1.0 : -1.0;
    const int32_t part = (int32_t)floor((double)p.share * (double)n + 1e-6);
    const int32_t keep = part < 1 ? 1 : part;
    for (int32_t l = 0; l < n; l++) {
        const double value = entropy(
            tokens.values + (begin + l) * tokens.stride, first, end,
            sign * (double)p.sharpness, room);
        if (threadIdx.x == 0)
            h[l] = value;
    }
    __syncthreads();
    double least = INFINITY, total = 0.0;
    for (int32_t l = 0; l < n; l++)
        least = fmin(least, h[l]);
    for (int32_t l = 0; l < n; l++)
        if (is_kept(h, n, l, keep))
            total += exp((least - h[l]) / (double)p.temperature);
    for (int32_t l = 0; l < n; l++) {
        if (!is_kept(h, n, l, keep))
            continue;
        const float *row = tokens.values + (begin + l) * tokens.stride;
        const double weight =
            exp((least - h[l]) / (double)p.temperature) / total;
        for (int32_t j = first + threadIdx.x; j < end; j += blockDim.x)
            sum[j] += share * weight * sign * (double)row[j];
    }
    __syncthreads(); /* h is used again */
}

static __global__ void relevance(
    text_rows prompts,
    text_rows tokens,
    const int32_t *offsets,
    double *sum,
    double *h_of_all,
    int64_t h_stride,
    float *dst,
    tkp_op_relevance p)
{
    __shared__ double room[TKP__WARP];
    const int64_t b = blockIdx.x;
    const int32_t first = offsets[b], end = offsets[b + 1];
    const double sign = p.like ? 1.0 : -1.0;
    const int32_t from = prompts.range[2 * b];
    const int32_t count = prompts.range[2 * b + 1] - from;
    const int32_t begin = tokens.values ? tokens.range[2 * b] : 0;
    const int32_t n = tokens.values ? tokens.range[2 * b + 1] - begin : 0;
    const double mix = n ? (double)p.mix : 1.0;
    double *h = h_of_all + b * h_stride;
    for (int32_t j = first + threadIdx.x; j < end; j += blockDim.x) {
        sum[j] = 0.0;
        for (int32_t t = from; t < from + count; t++)
            sum[j] += mix * sign *
                      (double)prompts.values[t * prompts.stride + j] /
                      (double)count;
    }
    if (n) {
        const int32_t parts = count > 0 && n % count == 0 ? count : 1;
        for (int32_t i = 0; i < parts; i++)
            add_tokens(
                p, tokens, begin + i * (n / parts), n / parts, first, end,
                (1.0 - mix) / (double)parts, h, sum, room);
    }
    double low = INFINITY, high = -INFINITY;
    for (int32_t j = first + threadIdx.x; j < end; j += blockDim.x) {
        low = fmin(low, sum[j]);
        high = fmax(high, sum[j]);
    }
    low = -tkp__block_reduce(-low, most_of(), -(double)INFINITY, room);
    high = tkp__block_reduce(high, most_of(), -(double)INFINITY, room);
    for (int32_t j = first + threadIdx.x; j < end; j += blockDim.x)
        dst[j] =
            high > low
                ? (float)((sum[j] - low + (double)p.epsilon) / (high - low))
            : isnan(sum[j]) ? NAN
                            : 1.0f;
}

static tkp_status
plan_relevance(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t tokens =
        tkp__present(&args[TOKENS]) ? args[TOKENS].shape[0] : 0;
    plan->extent[0] = tokens;
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(tokens, args[PROMPT_RANGE].shape[0], &cells),
        TKP_ERR_SHAPE, "tokens: too many");
    TKP__TRY(tkp__cuda_book(
        plan, ledger, SCRATCH_SUM, args[DST].shape[0], sizeof(double)));
    return tkp__cuda_book(plan, ledger, SCRATCH_ENTROPY, cells, sizeof(double));
}

static tkp_status run_relevance(const tkp__cuda_run *r)
{
    const text_rows prompts = {
        tkp__cuda_arg<const float>(r, PROMPTS),
        tkp__cuda_arg<const int32_t>(r, PROMPT_RANGE),
        r->args[PROMPTS].strides[0]};
    const text_rows tokens = {
        tkp__cuda_arg<const float>(r, TOKENS),
        tkp__cuda_arg<const int32_t>(r, TOKEN_RANGE),
        r->args[TOKENS].strides[0]};
    return tkp__cuda_launch(
        r, relevance, dim3((unsigned)tkp__cuda_size(r, PROMPT_RANGE, 0)),
        THREADS, 0, prompts, tokens, tkp__cuda_arg<const int32_t>(r, OFFSETS),
        tkp__cuda_scratch<double>(r, SCRATCH_SUM),
        tkp__cuda_scratch<double>(r, SCRATCH_ENTROPY), r->plan->extent[0],
        tkp__cuda_arg<float>(r, DST), *tkp__cuda_params<tkp_op_relevance>(r));
}

const tkp__cuda_op tkp__cuda_relevance = {
    .kind = TKP_OP_RELEVANCE,
    .params_size = sizeof(tkp_op_relevance),
    .kernel = "relevance",
    .plan = plan_relevance,
    .run = run_relevance,
};
