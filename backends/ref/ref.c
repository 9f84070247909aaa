/*
 * The table of the reference backend and what its kinds share.
 */

#include "ref/ref.h"

static const tkp__ref_op *const ops[] = {
    &tkp__ref_attention_scores,
    &tkp__ref_attention_rank,
    &tkp__ref_attention_heads,
    &tkp__ref_attention_rows_reduce,
    &tkp__ref_row_norm,
    &tkp__ref_cosine,
    &tkp__ref_cosine_pairs,
    &tkp__ref_blend,
    &tkp__ref_reconstruction,
    &tkp__ref_similarity,
    &tkp__ref_relevance,
    &tkp__ref_temporal,
    &tkp__ref_crop_variance,
    &tkp__ref_overview,
    &tkp__ref_gaussian_scores,
    &tkp__ref_text_raters,
    &tkp__ref_mean_query,
    &tkp__ref_value_attention,
    &tkp__ref_rotary_coordinates,
    &tkp__ref_curvature,
    &tkp__ref_segments,
    &tkp__ref_static_windows,
    &tkp__ref_smooth_grid,
    &tkp__ref_topk,
    &tkp__ref_sample,
    &tkp__ref_compact,
    &tkp__ref_greedy_distance,
    &tkp__ref_greedy_cover,
    &tkp__ref_greedy_dpp,
    &tkp__ref_parity,
    &tkp__ref_greedy_tri,
    &tkp__ref_pivots,
    &tkp__ref_density_peaks,
    &tkp__ref_cluster_centres,
    &tkp__ref_quota,
    &tkp__ref_reconcile,
    &tkp__ref_principal_groups,
    &tkp__ref_nms,
    &tkp__ref_nominate,
    &tkp__ref_neighbours,
    &tkp__ref_combine_rows,
    &tkp__ref_group_pool,
    &tkp__ref_group_broadcast,
    &tkp__ref_gather_rows,
    &tkp__ref_scatter_rows,
    &tkp__ref_nearest,
    &tkp__ref_merge_rows,
    &tkp__ref_linear,
    &tkp__ref_rms_norm,
    &tkp__ref_layer_norm,
    &tkp__ref_rotary_table,
    &tkp__ref_rotary,
    &tkp__ref_attention,
    &tkp__ref_activation,
    &tkp__ref_add,
    &tkp__ref_patches,
    &tkp__ref_cast,
};

static const tkp__ref_op *find_op(int32_t kind)
{
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        if (ops[i]->kind == kind)
            return ops[i];
    return NULL;
}

static int32_t ref_score(void)
{
    return 1;
}

static const char *ref_info(void)
{
    return "portable C11, one thread, sums in double";
}

static tkp_status ref_device_count(int32_t *count_out)
{
    *count_out = 1;
    return TKP_OK;
}

static tkp_status ref_supports(const tkp_op_desc *desc)
{
    TKP__CHECK(
        find_op(desc->kind), TKP_ERR_UNSUPPORTED, "ref: no kernel for kind %d",
        desc->kind);
    return TKP_OK;
}

static tkp_status ref_plan(
    void **plan_out,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc,
    int32_t threads)
{
    (void)threads;
    const tkp__ref_op *op = find_op(desc->kind);
    TKP__CHECK(
        op, TKP_ERR_UNSUPPORTED, "ref: no kernel for kind %d", desc->kind);
    tkp__ref_plan *plan = tkp__zalloc(1, sizeof(*plan));
    if (!plan)
        return TKP_ERR_MEMORY;
    plan->op = op;
    if (op->params_size)
        memcpy(&plan->params, desc->params, op->params_size);
    const tkp_status status =
        op->plan ? op->plan(plan, ledger, desc->args) : TKP_OK;
    if (status != TKP_OK) {
        tkp__free(plan);
        return status;
    }
    *plan_out = plan;
    *kernel_out = op->kernel;
    return TKP_OK;
}

static tkp_status ref_run(
    const void *plan,
    void *exec_state,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace)
{
    (void)exec_state;
    (void)n_args;
    const tkp__ref_plan *p = plan;
    return p->op->run(p, args, workspace);
}

static void ref_plan_destroy(void *plan)
{
    tkp__free(plan);
}

const tkp_backend_vtable tkp__ref_backend = {
    .abi_version = TKP_BACKEND_ABI_VERSION,
    .struct_size = sizeof(tkp_backend_vtable),
    .name = "ref",
    .device_type = TKP_DEVICE_CPU,
    .score = ref_score,
    .info = ref_info,
    .device_count = ref_device_count,
    .supports = ref_supports,
    .plan = ref_plan,
    .run = ref_run,
    .plan_destroy = ref_plan_destroy,
};

tkp_status tkp__ref_book(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    int32_t i,
    int64_t count,
    size_t size)
{
    size_t bytes;
    TKP__CHECK(
        tkp__mul_size((size_t)count, size, &bytes), TKP_ERR_SHAPE,
        "workspace: %lld times %zu bytes do not fit", (long long)count, size);
    return tkp_sys_ledger_book(ledger, bytes, &plan->scratch[i]);
}

float tkp__ref_round(float value, int32_t dtype)
{
    uint16_t half;
    switch (dtype) {
    case TKP_DTYPE_F16:
        half = tkp__f32_to_f16(value);
        return tkp__f16_to_f32(half);
    case TKP_DTYPE_BF16:
        half = tkp__f32_to_bf16(value);
        return tkp__bf16_to_f32(half);
    default:
        return value;
    }
}

double tkp__ref_dot(
    const void *a,
    int32_t a_dtype,
    const void *b,
    int32_t b_dtype,
    int64_t n)
{
    double sum = 0.0;
    if (a_dtype == TKP_DTYPE_F32 && b_dtype == TKP_DTYPE_F32) {
        const float *x = a, *y = b;
        for (int64_t i = 0; i < n; i++)
            sum += (double)x[i] * (double)y[i];
        return sum;
    }
    if (a_dtype == TKP_DTYPE_BF16 && b_dtype == TKP_DTYPE_BF16) {
        const uint16_t *x = a, *y = b;
        for (int64_t i = 0; i < n; i++)
            sum +=
                (double)tkp__bf16_to_f32(x[i]) * (double)tkp__bf16_to_f32(y[i]);
        return sum;
    }
    for (int64_t i = 0; i < n; i++)
        sum += (double)tkp__load_f32(a, a_dtype, i) *
               (double)tkp__load_f32(b, b_dtype, i);
    return sum;
}

/* Does index a come before index b? */
static bool before(int32_t a, int32_t b, const float *scores, int32_t order)
{
    return scores ? tkp__ref_before(scores[a], a, scores[b], b, order) : a < b;
}

/* Let index[i] sink until both children come before it: the last in order is
 * on top of the heap. */
static void
sink(int32_t *index, int64_t i, int64_t n, const float *scores, int32_t order)
{
    const int32_t moved = index[i];
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n &&
            before(index[child], index[child + 1], scores, order))
            child++;
        if (!before(moved, index[child], scores, order))
            break;
        index[i] = index[child];
        i = child;
    }
    index[i] = moved;
}

/* Heapsort: qsort() may allocate. */
void tkp__ref_sort(
    int32_t *index,
    int64_t n,
    const float *scores,
    int32_t order)
{
    for (int64_t i = n / 2; i-- > 0;)
        sink(index, i, n, scores, order);
    for (int64_t end = n - 1; end > 0; end--) {
        const int32_t last = index[0];
        index[0] = index[end];
        index[end] = last;
        sink(index, 0, end, scores, order);
    }
}
