/*
 * The ops at the sizes of a 7B model: d = 4096, 32 heads of 128 channels, an
 * MLP of 11008; n visual tokens, a ninth of which is kept.
 */

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { D = 4096, H = 32, C = 128, MLP = 11008, SHARE = 9 };

/* --- making arguments --------------------------------------------------------- */

static uint64_t state = 88172645463325252u;

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0 * 2 - 1;
}

static uint16_t to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static void *take(bench_case *c, int64_t bytes)
{
    void *memory = aligned_alloc(64, ((size_t)bytes + 127) / 64 * 64);
    if (!memory)
        abort();
    c->memory[c->n_args] = memory;
    return memory;
}

static tkp_tensor *view(
    bench_case *c,
    int32_t dtype,
    int32_t ndim,
    const int64_t *shape,
    void *data)
{
    tkp_tensor *t = &c->args[c->n_args++];
    tkp_tensor_make(t, data, dtype, ndim, shape);
    return t;
}

static int64_t count_of(int32_t ndim, const int64_t *shape)
{
    int64_t count = 1;
    for (int32_t i = 0; i < ndim; i++)
        count *= shape[i];
    return count;
}

static void
input(bench_case *c, int32_t dtype, int32_t ndim, const int64_t *shape)
{
    const int64_t n = count_of(ndim, shape);
    void *data = take(c, n * (int64_t)tkp_dtype_bytes(dtype));
    for (int64_t i = 0; i < n; i++) {
        const float x = (float)uniform();
        if (dtype == TKP_DTYPE_BF16)
            ((uint16_t *)data)[i] = to_bf16(x);
        else
            ((float *)data)[i] = x;
    }
    view(c, dtype, ndim, shape, data);
}

static void
output(bench_case *c, int32_t dtype, int32_t ndim, const int64_t *shape)
{
    const int64_t bytes =
        count_of(ndim, shape) * (int64_t)tkp_dtype_bytes(dtype);
    void *data = take(c, bytes);
    memset(data, 0, (size_t)bytes);
    c->dst = c->n_args;
    view(c, dtype, ndim, shape, data);
}

static void none(bench_case *c)
{
    memset(&c->args[c->n_args++], 0, sizeof(c->args[0]));
}

#define SHAPE(...) ((const int64_t[]){__VA_ARGS__})

/* first, first + step, ... */
static void numbers(bench_case *c, int64_t n, int64_t first, int64_t step)
{
    int32_t *data = take(c, n * 4);
    for (int64_t i = 0; i < n; i++)
        data[i] = (int32_t)(first + i * step);
    view(c, TKP_DTYPE_I32, 1, SHAPE(n), data);
}

/* One sequence of n entries. */
static void offsets(bench_case *c, int64_t n)
{
    numbers(c, 2, 0, n);
}

static void
begin(bench_case *c, const char *op, int32_t kind, int32_t dtype, size_t params)
{
    memset(c, 0, sizeof(*c));
    snprintf(c->op, sizeof(c->op), "%s", op);
    c->kind = kind;
    c->dtype = dtype;
    c->has_params = params > 0;
    c->params.struct_size = (uint32_t)params;
}

static double bytes_of(const bench_case *c, int32_t arg)
{
    const tkp_tensor *t = &c->args[arg];
    return t->dtype
               ? (double)tkp_tensor_count(t) * (double)tkp_dtype_bytes(t->dtype)
               : 0;
}

/* Every argument once. */
static void move_all(bench_case *c)
{
    for (int32_t i = 0; i < c->n_args; i++)
        c->bytes += bytes_of(c, i);
}

void bench_case_free(bench_case *c)
{
    for (int32_t i = 0; i < c->n_args; i++)
        free(c->memory[i]);
}

/* --- forward -------------------------------------------------------------------- */

static void linear_of(
    bench_case *c,
    const char *op,
    int64_t m,
    int32_t dtype,
    int32_t w_dtype)
{
    begin(c, op, TKP_OP_LINEAR, dtype, sizeof(c->params.linear));
    input(c, dtype, 2, SHAPE(m, D));
    input(c, w_dtype, 2, SHAPE(MLP, D));
    none(c);
    none(c);
    output(c, dtype, 2, SHAPE(m, MLP));
    snprintf(c->shape, sizeof(c->shape), "m%lldn%dk%d", (long long)m, MLP, D);
    move_all(c);
    c->flops = 2.0 * (double)m * MLP * D;
    c->gemm_m = m;
    c->gemm_n = MLP;
    c->gemm_k = D;
}

static void linear(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    linear_of(c, "linear", check_rows ? check_rows : n, dtype, dtype);
}

static void
linear_mixed(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)dtype;
    linear_of(
        c, "linear_f32xbf16", check_rows ? check_rows : n, TKP_DTYPE_F32,
        TKP_DTYPE_BF16);
}

static void
linear_row(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)n;
    (void)check_rows;
    linear_of(c, "linear_row", 1, dtype, dtype);
    c->flops = 0;
}

static void attention_of(
    bench_case *c,
    const char *op,
    int64_t nq,
    int64_t nk,
    int32_t dtype)
{
    begin(c, op, TKP_OP_ATTENTION, dtype, sizeof(c->params.attention));
    c->params.attention.flags = TKP_ATTENTION_CAUSAL;
    input(c, dtype, 3, SHAPE(nq, H, C));
    input(c, dtype, 3, SHAPE(nk, H, C));
    input(c, dtype, 3, SHAPE(nk, H, C));
    offsets(c, nq);
    offsets(c, nk);
    output(c, dtype, 3, SHAPE(nq, H, C));
    none(c);
    none(c);
    snprintf(
        c->shape, sizeof(c->shape), "q%lldk%lldh%dc%d", (long long)nq,
        (long long)nk, H, C);
    move_all(c);
}

static void
attention(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    attention_of(c, "attention", check_rows ? check_rows : n, n, dtype);
    /* The half under the diagonal, two products. */
    c->flops = 2.0 * (double)n * (double)(n + 1) * D;
    c->gemm_m = n;
    c->gemm_n = MLP;
    c->gemm_k = D;
}

static void
attention_row(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    attention_of(c, "attention_row", 1, n, dtype);
}

static void
norm_of(bench_case *c, const char *op, int32_t kind, int64_t n, int32_t dtype)
{
    begin(c, op, kind, dtype, sizeof(c->params.norm));
    c->params.norm.eps = 1e-5f;
    input(c, dtype, 2, SHAPE(n, D));
    input(c, dtype, 1, SHAPE(D));
    if (kind == TKP_OP_LAYER_NORM)
        input(c, dtype, 1, SHAPE(D));
    output(c, dtype, 2, SHAPE(n, D));
    snprintf(c->shape, sizeof(c->shape), "m%lldd%d", (long long)n, D);
    move_all(c);
}

static void
rms_norm(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    norm_of(c, "rms_norm", TKP_OP_RMS_NORM, n, dtype);
}

static void
layer_norm(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    norm_of(c, "layer_norm", TKP_OP_LAYER_NORM, n, dtype);
}

static void rotary(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    begin(c, "rotary", TKP_OP_ROTARY, dtype, 0);
    input(c, dtype, 3, SHAPE(n, H, C));
    input(c, TKP_DTYPE_F32, 2, SHAPE(n, C / 2));
    input(c, TKP_DTYPE_F32, 2, SHAPE(n, C / 2));
    output(c, dtype, 3, SHAPE(n, H, C));
    snprintf(c->shape, sizeof(c->shape), "m%lldh%dc%d", (long long)n, H, C);
    move_all(c);
}

static void activation_of(
    bench_case *c,
    const char *op,
    int32_t function,
    int64_t n,
    int64_t width,
    int32_t dtype)
{
    const bool gated = function == TKP_ACTIVATION_SILU;
    begin(c, op, TKP_OP_ACTIVATION, dtype, sizeof(c->params.activation));
    c->params.activation.function = function;
    input(c, dtype, 2, SHAPE(n, width));
    if (gated)
        input(c, dtype, 2, SHAPE(n, width));
    else
        none(c);
    output(c, dtype, 2, SHAPE(n, width));
    snprintf(
        c->shape, sizeof(c->shape), "m%lldn%lld", (long long)n,
        (long long)width);
    move_all(c);
}

static void
silu_gated(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    activation_of(c, "silu_gated", TKP_ACTIVATION_SILU, n, MLP, dtype);
}

static void gelu(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    activation_of(c, "gelu", TKP_ACTIVATION_GELU, n, D, dtype);
}

static void
quick_gelu(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    activation_of(c, "quick_gelu", TKP_ACTIVATION_QUICK_GELU, n, D, dtype);
}

static void add(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    begin(c, "add", TKP_OP_ADD, dtype, 0);
    input(c, dtype, 2, SHAPE(n, D));
    input(c, dtype, 2, SHAPE(n, D));
    output(c, dtype, 2, SHAPE(n, D));
    snprintf(c->shape, sizeof(c->shape), "m%lldd%d", (long long)n, D);
    move_all(c);
}

/* --- scores --------------------------------------------------------------------- */

static void scores_of(
    bench_case *c,
    const char *op,
    int64_t rows,
    int64_t n,
    int32_t reduce,
    int32_t dtype)
{
    begin(c, op, TKP_OP_ATTENTION_SCORES, dtype, sizeof(c->params.scores));
    c->params.scores.row_reduce = reduce;
    c->params.scores.flags = TKP_ATTENTION_CAUSAL;
    input(c, dtype, 3, SHAPE(rows, H, C));
    input(c, dtype, 3, SHAPE(n, H, C));
    none(c);
    none(c);
    offsets(c, rows);
    numbers(c, rows, n - rows, 1);
    offsets(c, n);
    offsets(c, n);
    numbers(c, n, 0, 1);
    output(c, TKP_DTYPE_F32, 1, SHAPE(n));
    snprintf(
        c->shape, sizeof(c->shape), "q%lldk%lldh%dc%d", (long long)rows,
        (long long)n, H, C);
    move_all(c);
}

static void
scores_last(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    scores_of(c, "scores_last", 1, n, TKP_ROW_REDUCE_LAST, dtype);
}

static void
scores_mean(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    scores_of(
        c, "scores_mean", check_rows ? check_rows : n, n,
        TKP_ROW_REDUCE_MEAN_VISIBLE, dtype);
    c->flops = (double)n * (double)(n + 1) * D;
    c->gemm_m = n;
    c->gemm_n = MLP;
    c->gemm_k = D;
}

static void
row_norm(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    begin(c, "row_norm", TKP_OP_ROW_NORM, dtype, sizeof(c->params.row_norm));
    input(c, dtype, 2, SHAPE(n, D));
    none(c);
    output(c, TKP_DTYPE_F32, 1, SHAPE(n));
    snprintf(c->shape, sizeof(c->shape), "n%lldd%d", (long long)n, D);
    move_all(c);
}

static void cosine(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    begin(c, "cosine", TKP_OP_COSINE, dtype, 0);
    input(c, dtype, 2, SHAPE(n, D));
    numbers(c, n, 0, 1);
    offsets(c, n);
    input(c, dtype, 2, SHAPE(1, D));
    output(c, TKP_DTYPE_F32, 1, SHAPE(n));
    snprintf(c->shape, sizeof(c->shape), "n%lldd%d", (long long)n, D);
    move_all(c);
}

static void
cosine_pairs(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t rows = check_rows ? check_rows : n;
    begin(
        c, "cosine_pairs", TKP_OP_COSINE_PAIRS, dtype, sizeof(c->params.pairs));
    input(c, dtype, 2, SHAPE(rows, D));
    numbers(c, rows, 0, 1);
    offsets(c, rows);
    output(c, TKP_DTYPE_F32, 1, SHAPE(rows));
    snprintf(c->shape, sizeof(c->shape), "n%lldd%d", (long long)rows, D);
    move_all(c);
    c->flops = 2.0 * (double)n * (double)n * D;
    c->gemm_m = n;
    c->gemm_n = n;
    c->gemm_k = D;
}

/* Tokens of a video of 16 frames. */
enum { FRAMES = 16 };

static void
temporal(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t cells = n / FRAMES;
    (void)check_rows;
    begin(c, "temporal", TKP_OP_TEMPORAL, dtype, sizeof(c->params.temporal));
    input(c, dtype, 2, SHAPE(n, D));
    numbers(c, n, 0, 1);
    numbers(c, n, -cells, 1);
    int32_t *before = c->args[2].data;
    for (int64_t i = 0; i < cells; i++)
        before[i] = -1;
    output(c, TKP_DTYPE_F32, 1, SHAPE(n));
    snprintf(c->shape, sizeof(c->shape), "n%lldd%d", (long long)n, D);
    move_all(c);
}

static void
gaussian_scores(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    begin(
        c, "gaussian_scores", TKP_OP_GAUSSIAN_SCORES, dtype,
        sizeof(c->params.gaussian));
    input(c, dtype, 2, SHAPE(n, D));
    numbers(c, n, 0, 1);
    offsets(c, n);
    numbers(c, FRAMES + 1, 0, n / FRAMES);
    output(c, TKP_DTYPE_F32, 1, SHAPE(n));
    snprintf(c->shape, sizeof(c->shape), "n%lldd%d", (long long)n, D);
    move_all(c);
}

static void blend(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)dtype;
    (void)check_rows;
    begin(c, "blend", TKP_OP_BLEND, TKP_DTYPE_F32, sizeof(c->params.blend));
    c->params.blend.terms = 2;
    for (int32_t t = 0; t < 2; t++) {
        c->params.blend.weight[t] = 0.5f;
        c->params.blend.normalise[t] = TKP_NORMALISE_MIN_MAX;
        c->params.blend.complement[t] = t;
    }
    input(c, TKP_DTYPE_F32, 2, SHAPE(2, n));
    offsets(c, n);
    output(c, TKP_DTYPE_F32, 1, SHAPE(n));
    snprintf(c->shape, sizeof(c->shape), "t2n%lld", (long long)n);
    move_all(c);
}

/* --- selection, rows -------------------------------------------------------------- */

static void topk(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t k = n / SHARE;
    (void)dtype;
    (void)check_rows;
    begin(c, "topk", TKP_OP_TOPK, TKP_DTYPE_F32, sizeof(c->params.topk));
    input(c, TKP_DTYPE_F32, 1, SHAPE(n));
    offsets(c, n);
    none(c);
    numbers(c, 1, k, 0);
    offsets(c, k);
    output(c, TKP_DTYPE_I32, 1, SHAPE(k));
    snprintf(
        c->shape, sizeof(c->shape), "n%lldk%lld", (long long)n, (long long)k);
    move_all(c);
}

static void compact(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t k = n / SHARE;
    (void)dtype;
    (void)check_rows;
    begin(
        c, "compact", TKP_OP_COMPACT, TKP_DTYPE_I32, sizeof(c->params.compact));
    c->params.compact.rows = n + 64;
    numbers(c, n, 32, 1);
    numbers(c, k, 0, SHARE);
    output(c, TKP_DTYPE_I32, 1, SHAPE(64 + k));
    snprintf(
        c->shape, sizeof(c->shape), "n%lldk%lld", (long long)n, (long long)k);
    move_all(c);
}

static void
gather_rows(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t k = n / SHARE;
    (void)check_rows;
    begin(c, "gather_rows", TKP_OP_GATHER_ROWS, dtype, 0);
    input(c, dtype, 2, SHAPE(n, D));
    numbers(c, k, 0, SHARE);
    output(c, dtype, 2, SHAPE(k, D));
    snprintf(
        c->shape, sizeof(c->shape), "n%lldk%lldd%d", (long long)n, (long long)k,
        D);
    c->bytes = 2 * bytes_of(c, 2) + bytes_of(c, 1);
}

/* Windows of four neighbours in memory. */
static void
group_pool(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    (void)check_rows;
    begin(c, "group_pool", TKP_OP_GROUP_POOL, dtype, sizeof(c->params.pool));
    input(c, dtype, 2, SHAPE(n, D));
    numbers(c, n / 4 + 1, 0, 4);
    numbers(c, n, 0, 1);
    none(c);
    output(c, dtype, 2, SHAPE(n / 4, D));
    snprintf(
        c->shape, sizeof(c->shape), "n%lldm%lldd%d", (long long)n,
        (long long)(n / 4), D);
    move_all(c);
}

/* --- greedy selection --------------------------------------------------------- */

/* Arguments 0 to 5; K. The floor is half of all products, once. */
static int64_t greedy_common(
    bench_case *c,
    const char *op,
    int32_t kind,
    int32_t dtype,
    size_t params,
    int64_t n,
    int64_t check_rows)
{
    const int64_t rows = check_rows ? check_rows : n;
    const int64_t k = rows / SHARE;
    begin(c, op, kind, dtype, params);
    input(c, dtype, 2, SHAPE(rows, D));
    numbers(c, rows, 0, 1);
    offsets(c, rows);
    none(c);
    numbers(c, 1, k, 0);
    offsets(c, k);
    snprintf(
        c->shape, sizeof(c->shape), "n%lldk%lldd%d", (long long)n,
        (long long)(n / SHARE), D);
    c->flops = (double)n * (double)n * D;
    c->gemm_m = n;
    c->gemm_n = n;
    c->gemm_k = D;
    return k;
}

/* Weights from 0 to 1. */
static void weights(bench_case *c, int64_t n)
{
    float *w = take(c, n * 4);
    for (int64_t i = 0; i < n; i++)
        w[i] = (float)(uniform() + 1) / 2;
    view(c, TKP_DTYPE_F32, 1, SHAPE(n), w);
}

static void
greedy_distance(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t k = greedy_common(
        c, "greedy_distance", TKP_OP_GREEDY_DISTANCE, dtype,
        sizeof(c->params.distance), n, check_rows);
    none(c);
    output(c, TKP_DTYPE_I32, 1, SHAPE(k));
    move_all(c);
}

static void
greedy_mmr(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t k = greedy_common(
        c, "greedy_mmr", TKP_OP_GREEDY_DISTANCE, dtype,
        sizeof(c->params.distance), n, check_rows);
    c->params.distance.rule = TKP_GREEDY_MMR;
    c->params.distance.lambda = 0.5f;
    weights(c, c->args[1].shape[0]);
    output(c, TKP_DTYPE_I32, 1, SHAPE(k));
    move_all(c);
}

static void
greedy_cover(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t k = greedy_common(
        c, "greedy_cover", TKP_OP_GREEDY_COVER, dtype, sizeof(c->params.cover),
        n, check_rows);
    none(c);
    weights(c, c->args[1].shape[0]);
    none(c);
    none(c);
    output(c, TKP_DTYPE_I32, 1, SHAPE(k));
    move_all(c);
}

static void
greedy_dpp(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t k = greedy_common(
        c, "greedy_dpp", TKP_OP_GREEDY_DPP, dtype, sizeof(c->params.dpp), n,
        check_rows);
    weights(c, c->args[1].shape[0]);
    output(c, TKP_DTYPE_I32, 1, SHAPE(k));
    c->flops += (double)n * (double)(n / SHARE) * (double)(n / SHARE);
    move_all(c);
}

static void
greedy_tri(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t k = greedy_common(
        c, "greedy_tri", TKP_OP_GREEDY_TRI, dtype, sizeof(c->params.tri), n,
        check_rows);
    c->params.tri.alpha = 0.5f;
    c->params.tri.lambda = 0.5f;
    weights(c, c->args[1].shape[0]);
    output(c, TKP_DTYPE_I32, 1, SHAPE(k));
    move_all(c);
}

/* --- clusters and merging ------------------------------------------------------ */

static void
density_peaks(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t rows = check_rows ? check_rows : n;
    begin(
        c, "density_peaks", TKP_OP_DENSITY_PEAKS, dtype,
        sizeof(c->params.peaks));
    input(c, dtype, 2, SHAPE(rows, D));
    numbers(c, rows, 0, 1);
    offsets(c, rows);
    none(c);
    numbers(c, 1, 5, 0);
    output(c, TKP_DTYPE_F32, 1, SHAPE(rows));
    output(c, TKP_DTYPE_F32, 1, SHAPE(rows));
    snprintf(c->shape, sizeof(c->shape), "n%lldc5d%d", (long long)n, D);
    c->flops = (double)n * (double)n * D;
    c->gemm_m = n;
    c->gemm_n = n;
    c->gemm_k = D;
    move_all(c);
}

static void nearest(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t rows = check_rows ? check_rows : n, k = rows / SHARE;
    begin(c, "nearest", TKP_OP_NEAREST, dtype, sizeof(c->params.nearest));
    input(c, dtype, 2, SHAPE(rows, D));
    numbers(c, rows, 0, 1);
    offsets(c, rows);
    none(c);
    numbers(c, k, 0, SHARE);
    offsets(c, k);
    output(c, TKP_DTYPE_I32, 1, SHAPE(rows));
    none(c);
    snprintf(
        c->shape, sizeof(c->shape), "n%lldk%lldd%d", (long long)n,
        (long long)(n / SHARE), D);
    c->flops = 2.0 * (double)n * (double)(n / SHARE) * D;
    c->gemm_m = n;
    c->gemm_n = n / SHARE;
    c->gemm_k = D;
    move_all(c);
}

static void
merge_rows(bench_case *c, int64_t n, int32_t dtype, int64_t check_rows)
{
    const int64_t rows = check_rows ? check_rows : n, k = rows / SHARE;
    begin(c, "merge_rows", TKP_OP_MERGE_ROWS, dtype, sizeof(c->params.merge));
    input(c, dtype, 2, SHAPE(rows, D));
    numbers(c, rows, 0, 1);
    numbers(c, k, 0, SHARE);
    int32_t *to = take(c, rows * 4);
    for (int64_t i = 0; i < rows; i++)
        to[i] = (int32_t)(i * 7 % k);
    view(c, TKP_DTYPE_I32, 1, SHAPE(rows), to);
    none(c);
    output(c, dtype, 2, SHAPE(k, D));
    none(c);
    snprintf(
        c->shape, sizeof(c->shape), "n%lldk%lldd%d", (long long)n,
        (long long)(n / SHARE), D);
    move_all(c);
}

const bench_entry bench_entries[] = {
    {"linear", linear, 9, true, false},
    {"linear_f32xbf16", linear_mixed, 17, false, false},
    {"linear_row", linear_row, 0, true, true},
    {"attention", attention, 6, true, false},
    {"attention_row", attention_row, 0, true, false},
    {"rms_norm", rms_norm, 0, true, false},
    {"layer_norm", layer_norm, 0, true, false},
    {"rotary", rotary, 0, true, false},
    {"silu_gated", silu_gated, 0, true, false},
    {"gelu", gelu, 0, true, false},
    {"quick_gelu", quick_gelu, 0, true, false},
    {"add", add, 0, true, false},
    {"scores_last", scores_last, 0, true, false},
    {"scores_mean", scores_mean, 3, true, false},
    {"row_norm", row_norm, 0, true, false},
    {"cosine", cosine, 0, true, false},
    {"cosine_pairs", cosine_pairs, 150, true, false},
    {"temporal", temporal, 0, true, false},
    {"gaussian_scores", gaussian_scores, 0, true, false},
    {"blend", blend, 0, false, false},
    {"topk", topk, 0, false, false},
    {"compact", compact, 0, false, false},
    {"greedy_distance", greedy_distance, 150, true, false},
    {"greedy_mmr", greedy_mmr, 150, true, false},
    {"greedy_cover", greedy_cover, 150, true, false},
    {"greedy_dpp", greedy_dpp, 150, true, false},
    {"greedy_tri", greedy_tri, 150, true, false},
    {"density_peaks", density_peaks, 150, true, false},
    {"nearest", nearest, 300, true, false},
    {"merge_rows", merge_rows, 0, true, false},
    {"gather_rows", gather_rows, 0, true, false},
    {"group_pool", group_pool, 0, true, false},
};

const int32_t bench_entry_count =
    (int32_t)(sizeof(bench_entries) / sizeof(bench_entries[0]));
