/*
 * PRINCIPAL_GROUPS: the principal component of its group that is strongest in
 * each member. Products of the centred rows in double, then one block a group:
 * reduction, eigenvalues (a thread each), vectors by inverse iteration. The
 * steps are those of backends/ref/ref_principal_groups.c, whose notes hold.
 */

#include <float.h>

#include "cuda/dots.cuh"
#include "cuda/gram.cuh"
#include "cuda/greedy.cuh"
#include "cuda/tridiagonal.cuh"

enum { X, ROWS, GROUP_OFFSETS, MEMBERS, COMPONENTS, COMPONENT, STRENGTH };
enum { SCRATCH_Y, SCRATCH_GRAM, SCRATCH_VECTORS, SCRATCH_LINES };
enum { LINES = 8 };
static constexpr int THREADS = 256, WARPS = THREADS / TKP__WARP;

static __global__ void clear(int32_t *component, float *strength, int64_t n)
{
    for (int64_t i = tkp__thread(); i < n; i += tkp__threads()) {
        component[i] = -1;
        strength[i] = 0.0f;
    }
}

/* y [listed][D]: s(x), less its mean over the channels. */
template <class T>
static __global__ void centre(
    const T *x,
    int64_t stride,
    int64_t width,
    tkp__groups groups,
    double *y,
    int32_t logistic)
{
    __shared__ double room[TKP__WARP];
    const int32_t m = blockIdx.x;
    if (m >= groups.offsets[groups.count])
        return;
    const T *row =
        x + (int64_t)groups.rows[tkp__member(groups.members, m)] * stride;
    double *out = y + m * width, sum = 0.0;
    for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
        const double v = (double)tkp__get(row[c]);
        out[c] = logistic ? 1.0 / (1.0 + exp(-v)) : v;
        sum += out[c];
    }
    sum = tkp__block_reduce(sum, tkp__sum(), 0.0, room);
    const double mean = width ? sum / (double)width : 0.0;
    for (int64_t c = threadIdx.x; c < width; c += blockDim.x)
        out[c] -= mean;
}

/* a [n, n] of each group, at first * most; a block a row. */
static __global__ void
products(tkp__groups groups, const double *y, int64_t width, double *gram)
{
    const tkp__group g = tkp__group_at(groups, blockIdx.y);
    const int i = blockIdx.x;
    if (i >= g.n)
        return;
    double *a = gram + (int64_t)g.first * groups.most;
    const double *own = y + (g.first + i) * width;
    for (int j = threadIdx.x / TKP__WARP; j <= i; j += WARPS) {
        const double *other = y + (g.first + j) * width;
        double sum = 0.0;
        for (int64_t c = threadIdx.x % TKP__WARP; c < width; c += TKP__WARP)
            sum += own[c] * other[c];
        sum = tkp__warp_reduce(sum, tkp__sum());
        if (threadIdx.x % TKP__WARP == 0)
            a[(int64_t)i * g.n + j] = a[(int64_t)j * g.n + i] = sum;
    }
}

/* Solve (T - x I) v = v: elimination with exchange of neighbours; by a thread.
 * lu [3][n]. */
static __device__ void solve_shifted(
    const tkp__tridiagonal &t,
    double x,
    double tiny,
    double *lu,
    double *v)
{
    const int32_t n = t.n;
    double *main = lu, *first = lu + n, *second = lu + 2 * (int64_t)n;
    for (int32_t i = 0; i < n; i++) {
        main[i] = t.d[i] - x;
        first[i] = i + 1 < n ? t.e[i + 1] : 0.0;
        second[i] = 0.0;
    }
    for (int32_t i = 0; i + 1 < n; i++) {
        double below = t.e[i + 1];
        if (fabs(below) > fabs(main[i])) {
            double held = main[i];
            main[i] = below;
            below = held;
            held = first[i];
            first[i] = main[i + 1];
            main[i + 1] = held;
            second[i] = first[i + 1];
            first[i + 1] = 0.0;
            held = v[i];
            v[i] = v[i + 1];
            v[i + 1] = held;
        }
        if (main[i] == 0.0)
            main[i] = tiny;
        const double factor = below / main[i];
        main[i + 1] -= factor * first[i];
        first[i + 1] -= factor * second[i];
        v[i + 1] -= factor * v[i];
    }
    for (int32_t i = n - 1; i >= 0; i--) {
        double sum = v[i];
        if (i + 1 < n)
            sum -= first[i] * v[i + 1];
        if (i + 2 < n)
            sum -= second[i] * v[i + 2];
        v[i] = sum / (fabs(main[i]) < tiny ? tiny : main[i]);
    }
}

static __device__ void normalise(double *v, int32_t n, double *room)
{
    double top = 0.0;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        top = fmax(top, fabs(v[i]));
    top = tkp__block_reduce(top, tkp__greater(), 0.0, room);
    for (int i = threadIdx.x; top > 0.0 && i < n; i += blockDim.x)
        v[i] /= top;
    __syncthreads();
    const double length = sqrt(tkp__block_dot(v, v, n, room));
    for (int i = threadIdx.x; length > 0.0 && i < n; i += blockDim.x)
        v[i] /= length;
    __syncthreads();
}

/* v -= (v . u) by u, for a unit vector, or a reflection of that scale. */
static __device__ void
take_out(double *v, const double *u, int64_t n, double by, double *room)
{
    const double share = tkp__block_dot(u, v, n, room) / by;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
        v[i] -= share * u[i];
    __syncthreads();
}

/* The start is fixed and has no pattern. */
static __device__ void find_vector(
    const tkp__tridiagonal &t,
    const double *value,
    double *vectors,
    int32_t k,
    double norm,
    double *lu,
    double *room)
{
    const int32_t n = t.n;
    const double tiny = norm * DBL_EPSILON + DBL_MIN;
    double *v = vectors + (int64_t)k * n;
    if (threadIdx.x == 0) {
        uint32_t state = 0x9E3779B9u + (uint32_t)k;
        for (int32_t i = 0; i < n; i++) {
            state = state * 1664525u + 1013904223u;
            v[i] = (double)(state >> 8) / 16777216.0 - 0.5;
        }
    }
    /* Equal values are parted, or each would give the same vector. */
    const double x = value[k] - (double)k * 2.0 * tiny;
    for (int32_t step = 0; step < 4; step++) {
        if (threadIdx.x == 0)
            solve_shifted(t, x, tiny, lu, v);
        __syncthreads();
        normalise(v, n, room);
        for (int32_t twice = 0; twice < 2; twice++)
            for (int32_t j = 0; j < k; j++)
                take_out(v, vectors + (int64_t)j * n, n, 1.0, room);
        normalise(v, n, room);
    }
}

static __global__ void find_components(
    tkp__groups groups,
    const int32_t *components,
    double *gram,
    double *vectors_of_all,
    double *lines_of_all,
    int64_t components_of_all,
    int32_t *component,
    float *strength)
{
    __shared__ double room[TKP__WARP];
    const tkp__group g = tkp__group_at(groups, blockIdx.x);
    const int32_t q = components[blockIdx.x];
    if (g.n == 0)
        return;
    double *line = lines_of_all + (int64_t)LINES * g.first;
    double *vectors = vectors_of_all + components_of_all * g.first;
    double *value = line + 4 * (int64_t)g.n, *lu = line + 5 * (int64_t)g.n;
    const tkp__tridiagonal t = {
        g.n,
        gram + (int64_t)g.first * groups.most,
        line,
        line + g.n,
        line + 2 * (int64_t)g.n,
        line + 3 * (int64_t)g.n};
    tkp__tridiagonal_reduce(t, room);
    double low, high;
    tkp__tridiagonal_reach(t, &low, &high);
    for (int32_t k = threadIdx.x; k < q; k += blockDim.x)
        value[k] = tkp__tridiagonal_value(t, k, low, high);
    __syncthreads();
    for (int32_t k = 0; k < q; k++)
        find_vector(
            t, value, vectors, k, fmax(fabs(low), fabs(high)), lu, room);
    /* Reflected back. */
    for (int32_t k = 0; k < q; k++)
        for (int64_t i = 1; i < g.n; i++)
            if (t.scale[i] != 0.0)
                take_out(
                    vectors + (int64_t)k * g.n, t.a + i * g.n, i, t.scale[i],
                    room);
    for (int i = threadIdx.x; i < g.n; i += blockDim.x) {
        const int32_t c = tkp__candidate(g, i);
        double best = 0.0;
        component[c] = 0;
        for (int32_t k = 0; k < q; k++) {
            const double weight = fabs(vectors[(int64_t)k * g.n + i]);
            if (value[k] > 1e-12 * value[0] && weight > best) {
                best = weight;
                component[c] = k;
            }
        }
        strength[c] = (float)best;
    }
}

static tkp_status plan_principal_groups(
    tkp__cuda_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    const tkp_op_principal_groups *p =
        reinterpret_cast<const tkp_op_principal_groups *>(plan->params);
    const int64_t listed = tkp__greedy_listed(args);
    const int64_t most = tkp__greedy_most(args, p->largest);
    const int64_t q = p->largest_components && p->largest_components < most
                          ? p->largest_components
                          : most;
    int64_t y, gram, vectors;
    TKP__CHECK(
        tkp__mul_i64(listed, args[X].shape[1], &y) &&
            tkp__mul_i64(listed, most, &gram) &&
            tkp__mul_i64(listed, q, &vectors),
        TKP_ERR_SHAPE, "groups: %lld entries", (long long)listed);
    plan->extent[0] = most;
    plan->extent[1] = q;
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_Y, y, sizeof(double)));
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_GRAM, gram, sizeof(double)));
    TKP__TRY(
        tkp__cuda_book(plan, ledger, SCRATCH_VECTORS, vectors, sizeof(double)));
    return tkp__cuda_book(
        plan, ledger, SCRATCH_LINES, LINES * listed, sizeof(double));
}

static tkp_status run_principal_groups(const tkp__cuda_run *r)
{
    const tkp_tensor *x = &r->args[X];
    const tkp__groups groups = {
        tkp__cuda_arg<const int32_t>(r, ROWS),
        tkp__cuda_arg<const int32_t>(r, GROUP_OFFSETS),
        tkp__cuda_arg<const int32_t>(r, MEMBERS),
        tkp__cuda_size(r, COMPONENTS, 0), (int32_t)r->plan->extent[0]};
    const int64_t n = tkp__cuda_size(r, COMPONENT, 0);
    double *y = tkp__cuda_scratch<double>(r, SCRATCH_Y);
    double *gram = tkp__cuda_scratch<double>(r, SCRATCH_GRAM);
    int32_t *component = tkp__cuda_arg<int32_t>(r, COMPONENT);
    float *strength = tkp__cuda_arg<float>(r, STRENGTH);
    TKP__TRY(tkp__cuda_launch(
        r, clear, dim3(tkp__cuda_blocks(n, THREADS)), THREADS, 0, component,
        strength, n));
    if (groups.count == 0)
        return TKP_OK;
    TKP__TRY(tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, centre<T>, dim3((unsigned)tkp__greedy_listed(r->args)), THREADS,
            0, tkp__cuda_arg<const T>(r, X), x->strides[0], x->shape[1], groups,
            y, tkp__cuda_params<tkp_op_principal_groups>(r)->logistic);
    }));
    TKP__TRY(tkp__cuda_launch(
        r, products, dim3((unsigned)groups.most, (unsigned)groups.count),
        THREADS, 0, groups, y, x->shape[1], gram));
    return tkp__cuda_launch(
        r, find_components, dim3((unsigned)groups.count), THREADS, 0, groups,
        tkp__cuda_arg<const int32_t>(r, COMPONENTS), gram,
        tkp__cuda_scratch<double>(r, SCRATCH_VECTORS),
        tkp__cuda_scratch<double>(r, SCRATCH_LINES), r->plan->extent[1],
        component, strength);
}

const tkp__cuda_op tkp__cuda_principal_groups = {
    .kind = TKP_OP_PRINCIPAL_GROUPS,
    .params_size = sizeof(tkp_op_principal_groups),
    .kernel = "principal_groups",
    .plan = plan_principal_groups,
    .run = run_principal_groups,
};
