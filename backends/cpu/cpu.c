/*
 * The module's table of contents.
 */

#include "cpu/cpu.h"

#include <omp.h>
#include <pthread.h>
#include <stdio.h>

#include "cpu/cpu_exec.h"

static const tkp__cpu_op *const ops[] = {
    &tkp__cpu_op_attention_scores, &tkp__cpu_op_attention_rows_reduce,
    &tkp__cpu_op_row_norm,         &tkp__cpu_op_cosine,
    &tkp__cpu_op_cosine_pairs,     &tkp__cpu_op_blend,
    &tkp__cpu_op_temporal,         &tkp__cpu_op_gaussian_scores,
    &tkp__cpu_op_similarity,       &tkp__cpu_op_topk,
    &tkp__cpu_op_compact,          &tkp__cpu_op_greedy_distance,
    &tkp__cpu_op_greedy_cover,     &tkp__cpu_op_greedy_dpp,
    &tkp__cpu_op_greedy_tri,       &tkp__cpu_op_parity,
    &tkp__cpu_op_density_peaks,    &tkp__cpu_op_cluster_centres,
    &tkp__cpu_op_mean_query,       &tkp__cpu_op_value_attention,
    &tkp__cpu_op_nearest,          &tkp__cpu_op_merge_rows,
    &tkp__cpu_op_pivots,           &tkp__cpu_op_group_pool,
    &tkp__cpu_op_gather_rows,      &tkp__cpu_op_scatter_rows,
    &tkp__cpu_op_linear,           &tkp__cpu_op_rms_norm,
    &tkp__cpu_op_layer_norm,       &tkp__cpu_op_rotary_table,
    &tkp__cpu_op_rotary,           &tkp__cpu_op_attention,
    &tkp__cpu_op_activation,       &tkp__cpu_op_add,
    &tkp__cpu_op_patches,          &tkp__cpu_op_cast,
    &tkp__cpu_op_text_raters,      &tkp__cpu_op_reconstruction,
    &tkp__cpu_op_attention_heads,  &tkp__cpu_op_combine_rows,
};

static const tkp__cpu_op *op_find(int32_t kind)
{
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        if (ops[i]->kind == kind)
            return ops[i];
    return NULL;
}

static int32_t score(void)
{
    return 10 + tkp__cpu_kernels_get()->rank;
}

static struct {
    pthread_once_t once;
    char text[160];
} description = {PTHREAD_ONCE_INIT, ""};

static void describe(void)
{
    char dnnl[80] = "oneDNN disabled";
    if (tkp__cpu_dnnl_enabled())
        tkp__cpu_dnnl_version(dnnl, sizeof(dnnl));
    snprintf(
        description.text, sizeof(description.text),
        "%s, kernels %s, OpenMP %d on %d processors", dnnl,
        tkp__cpu_kernels_get()->isa, _OPENMP, omp_get_num_procs());
}

static const char *info(void)
{
    pthread_once(&description.once, describe);
    return description.text;
}

static tkp_status device_count(int32_t *count_out)
{
    *count_out = 1;
    return TKP_OK;
}

static tkp_status supports(const tkp_op_desc *desc)
{
    const tkp__cpu_op *op = op_find(desc->kind);
    const char *name = tkp_op_kind_string(desc->kind);
    TKP__CHECK(
        op, TKP_ERR_UNSUPPORTED, "cpu: %s: left to the reference",
        name ? name : "unknown op");
    return op->supports ? op->supports(desc) : TKP_OK;
}

static void plan_destroy(void *plan)
{
    tkp__cpu_plan *p = plan;
    if (!p)
        return;
    if (p->op->destroy)
        p->op->destroy(p);
    tkp__free(p);
}

static tkp_status plan(
    void **plan_out,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc,
    int32_t threads)
{
    const tkp__cpu_op *op = op_find(desc->kind);
    TKP__CHECK(op, TKP_ERR_UNSUPPORTED, "cpu: no such op");
    tkp__cpu_plan *p = tkp__zalloc(1, op->plan_bytes);
    if (!p)
        return TKP_ERR_MEMORY;
    p->op = op;
    p->kernels = tkp__cpu_kernels_get();
    p->threads = threads > 0 ? threads : 1;
    *kernel_out = p->kernels->isa;
    if (op->plan) {
        const tkp_status status = op->plan(p, kernel_out, ledger, desc);
        if (status != TKP_OK) {
            plan_destroy(p);
            return status;
        }
    }
    *plan_out = p;
    return TKP_OK;
}

static tkp_status
run(const void *plan_of_op,
    void *exec_state,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace)
{
    const tkp__cpu_plan *p = plan_of_op;
    const tkp__cpu_run r = {exec_state, args, workspace};
    (void)n_args;
    return p->op->run(p, &r);
}

static tkp_status
exec_create(void **state_out, const tkp_backend_exec_info *exec_info)
{
    tkp__cpu_exec *exec = NULL;
    (void)exec_info;
    *state_out = NULL;
    if (!tkp__cpu_dnnl_enabled())
        return TKP_OK;
    TKP__TRY(tkp__cpu_exec_create(&exec));
    *state_out = exec;
    return TKP_OK;
}

static void exec_destroy(void *state)
{
    tkp__cpu_exec_destroy(state);
}

static const tkp_backend_vtable vtable = {
    .abi_version = TKP_BACKEND_ABI_VERSION,
    .struct_size = sizeof(tkp_backend_vtable),
    .name = "cpu",
    .device_type = TKP_DEVICE_CPU,
    .reserved = 0,
    .score = score,
    .info = info,
    .device_count = device_count,
    .supports = supports,
    .plan = plan,
    .run = run,
    .plan_destroy = plan_destroy,
    .exec_create = exec_create,
    .exec_destroy = exec_destroy,
    .memory_alloc = NULL,
    .memory_free = NULL,
    .memory_upload = NULL,
};

TKP_API const tkp_backend_vtable *tkp_backend_entry(void);

const tkp_backend_vtable *tkp_backend_entry(void)
{
    return &vtable;
}
