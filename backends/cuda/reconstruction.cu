/*
 * RECONSTRUCTION: what a few candidates, the basis of a group, cannot say of its
 * members. In double: products of the basis with itself and with the members,
 * a factorisation by one block a group, then a block a member.
 */

#include "cuda/greedy.cuh"

#include "cuda/dots.cuh"

enum { X, ROWS, GROUP_OFFSETS, MEMBERS, BASIS, BASIS_OFFSETS, DST };
enum { SCRATCH_FACTOR, SCRATCH_WEIGHTS };
static constexpr int THREADS = 256, WARPS = THREADS / TKP__WARP;

template <class T>
static __device__ double warp_dot(const T *a, const T *b, int64_t width)
{
    double sum = 0.0;
    for (int64_t c = threadIdx.x % TKP__WARP; c < width; c += TKP__WARP)
        sum += (double)tkp__get(a[c]) * (double)tkp__get(b[c]);
    return tkp__warp_reduce(sum, tkp__sum());
}

struct bases {
    const int32_t *basis, *offsets;
    double *factor; /* [groups][most, most] */
    int32_t most;
};

/* Lower part of the products of the basis, ridge on the diagonal; a block a row. */
template <class T>
static __global__ void gram(
    const T *x,
    int64_t stride,
    int64_t width,
    const int32_t *rows,
    bases s,
    double ridge)
{
    const int32_t first = s.offsets[blockIdx.y];
    const int32_t n = s.offsets[blockIdx.y + 1] - first;
    const int i = blockIdx.x;
    double *factor = s.factor + (int64_t)blockIdx.y * s.most * s.most;
    if (i >= n)
        return;
    const T *own = x + rows[s.basis[first + i]] * stride;
    for (int j = threadIdx.x / TKP__WARP; j <= i; j += WARPS) {
        const double dot =
            warp_dot(own, x + rows[s.basis[first + j]] * stride, width);
        if (threadIdx.x % TKP__WARP == 0)
            factor[(int64_t)i * n + j] = i == j ? dot + ridge : dot;
    }
}

/* By columns; a diagonal of 0 leaves its row out. */
static __global__ void factorise(bases s)
{
    const int32_t n = s.offsets[blockIdx.x + 1] - s.offsets[blockIdx.x];
    double *f = s.factor + (int64_t)blockIdx.x * s.most * s.most;
    for (int j = 0; j < n; j++) {
        __syncthreads();
        for (int i = j + threadIdx.x; i < n; i += blockDim.x) {
            double sum = f[(int64_t)i * n + j];
            const double whole = sum;
            for (int c = 0; c < j; c++)
                sum -= f[(int64_t)i * n + c] * f[(int64_t)j * n + c];
            if (i == j)
                sum = sum > 1e-13 * whole ? sqrt(sum) : 0.0;
            f[(int64_t)i * n + j] = sum;
        }
        __syncthreads();
        const double pivot = f[(int64_t)j * n + j];
        for (int i = j + 1 + threadIdx.x; i < n; i += blockDim.x)
            f[(int64_t)i * n + j] =
                pivot > 0.0 ? f[(int64_t)i * n + j] / pivot : 0.0;
    }
}

static __global__ void clear(float *dst, int64_t n)
{
    for (int64_t i = tkp__thread(); i < n; i += tkp__threads())
        dst[i] = 0.0f;
}

template <class T>
static __global__ void errors(
    const T *x,
    int64_t stride,
    int64_t width,
    tkp__groups groups,
    bases s,
    double *weights, /* [listed][most] */
    float *dst)
{
    __shared__ double room[TKP__WARP];
    const int32_t m = blockIdx.x;
    if (m >= groups.offsets[groups.count])
        return;
    const int64_t g = tkp__range_of(groups.offsets, groups.count, m);
    const int32_t i = tkp__member(groups.members, m);
    const int32_t first = s.offsets[g], n = s.offsets[g + 1] - first;
    const double *f = s.factor + g * s.most * s.most;
    double *w = weights + (int64_t)m * s.most;
    const T *own = x + groups.rows[i] * stride;
    for (int c = threadIdx.x / TKP__WARP; c < n; c += WARPS) {
        const double dot =
            warp_dot(own, x + groups.rows[s.basis[first + c]] * stride, width);
        if (threadIdx.x % TKP__WARP == 0)
            w[c] = dot;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int r = 0; r < n; r++) {
            double sum = w[r];
            for (int c = 0; c < r; c++)
                sum -= f[(int64_t)r * n + c] * w[c];
            const double pivot = f[(int64_t)r * n + r];
            w[r] = pivot > 0.0 ? sum / pivot : 0.0;
        }
        for (int r = n - 1; r >= 0; r--) {
            double sum = w[r];
            for (int c = r + 1; c < n; c++)
                sum -= f[(int64_t)c * n + r] * w[c];
            const double pivot = f[(int64_t)r * n + r];
            w[r] = pivot > 0.0 ? sum / pivot : 0.0;
        }
    }
    __syncthreads();
    double squares = 0.0;
    for (int64_t d = threadIdx.x; d < width; d += blockDim.x) {
        double rest = (double)tkp__get(own[d]);
        for (int c = 0; c < n; c++)
            rest -= w[c] * (double)tkp__get(
                               x[groups.rows[s.basis[first + c]] * stride + d]);
        squares += rest * rest;
    }
    squares = tkp__block_reduce(squares, tkp__sum(), 0.0, room);
    if (threadIdx.x == 0)
        dst[i] = (float)sqrt(squares);
}

static int64_t most_of(const tkp__cuda_plan *plan, const tkp_tensor *args)
{
    const int32_t largest =
        reinterpret_cast<const tkp_op_reconstruction *>(plan->params)->largest;
    return largest ? largest : args[BASIS].shape[0];
}

static tkp_status plan_reconstruction(
    tkp__cuda_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    const int64_t most = most_of(plan, args);
    int64_t cells, weights;
    TKP__CHECK(
        tkp__mul_i64(most, most, &cells) &&
            tkp__mul_i64(cells, args[GROUP_OFFSETS].shape[0], &cells) &&
            tkp__mul_i64(most, tkp__greedy_listed(args), &weights),
        TKP_ERR_SHAPE, "basis: %lld of a group", (long long)most);
    plan->extent[0] = most;
    TKP__TRY(
        tkp__cuda_book(plan, ledger, SCRATCH_FACTOR, cells, sizeof(double)));
    return tkp__cuda_book(
        plan, ledger, SCRATCH_WEIGHTS, weights, sizeof(double));
}

static tkp_status run_reconstruction(const tkp__cuda_run *r)
{
    const tkp_tensor *x = &r->args[X];
    const tkp__groups groups = {
        tkp__cuda_arg<const int32_t>(r, ROWS),
        tkp__cuda_arg<const int32_t>(r, GROUP_OFFSETS),
        tkp__cuda_arg<const int32_t>(r, MEMBERS),
        tkp__cuda_size(r, GROUP_OFFSETS, 0) - 1, 0};
    const bases s = {
        tkp__cuda_arg<const int32_t>(r, BASIS),
        tkp__cuda_arg<const int32_t>(r, BASIS_OFFSETS),
        tkp__cuda_scratch<double>(r, SCRATCH_FACTOR),
        (int32_t)r->plan->extent[0]};
    const int64_t n = tkp__cuda_size(r, DST, 0);
    float *dst = tkp__cuda_arg<float>(r, DST);
    TKP__TRY(tkp__cuda_launch(
        r, clear, dim3(tkp__cuda_blocks(n, THREADS)), THREADS, 0, dst, n));
    if (groups.count == 0)
        return TKP_OK;
    return tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        const T *data = tkp__cuda_arg<const T>(r, X);
        TKP__TRY(tkp__cuda_launch(
            r, gram<T>, dim3((unsigned)s.most, (unsigned)groups.count), THREADS,
            0, data, x->strides[0], x->shape[1], groups.rows, s,
            (double)tkp__cuda_params<tkp_op_reconstruction>(r)->ridge));
        TKP__TRY(tkp__cuda_launch(
            r, factorise, dim3((unsigned)groups.count), THREADS, 0, s));
        return tkp__cuda_launch(
            r, errors<T>, dim3((unsigned)tkp__greedy_listed(r->args)), THREADS,
            0, data, x->strides[0], x->shape[1], groups, s,
            tkp__cuda_scratch<double>(r, SCRATCH_WEIGHTS), dst);
    });
}

const tkp__cuda_op tkp__cuda_reconstruction = {
    .kind = TKP_OP_RECONSTRUCTION,
    .params_size = sizeof(tkp_op_reconstruction),
    .kernel = "reconstruction",
    .plan = plan_reconstruction,
    .run = run_reconstruction,
};
