/*
 * RMS_NORM and LAYER_NORM: a row at a time.
 */

#include "cpu/cpu.h"

struct norm_plan {
    tkp__cpu_plan base;
    float eps;
    int32_t reserved;
};

static tkp_status plan(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    (void)kernel_out;
    (void)ledger;
    ((struct norm_plan *)base)->eps = ((const tkp_op_norm *)desc->params)->eps;
    return TKP_OK;
}

static tkp_status run_rms(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { X, W, DST };
    const tkp_tensor *a = r->args;
    const float eps = ((const struct norm_plan *)base)->eps;
    const int64_t m = a[X].shape[0], d = a[X].shape[1];
    const size_t bytes = tkp__cpu_bytes(a[X].dtype);
    char *dst = tkp__data(&a[DST]);
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(m * d))
    for (int64_t i = 0; i < m; i++)
        base->kernels->rms_norm(
            dst + (size_t)(i * d) * bytes, tkp__cpu_row(&a[X], i, bytes),
            a[X].dtype, tkp__data(&a[W]), a[W].dtype, eps, d);
    return TKP_OK;
}

static tkp_status run_layer(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { X, W, B, DST };
    const tkp_tensor *a = r->args;
    const float eps = ((const struct norm_plan *)base)->eps;
    const int64_t m = a[X].shape[0], d = a[X].shape[1];
    const size_t bytes = tkp__cpu_bytes(a[X].dtype);
    char *dst = tkp__data(&a[DST]);
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(m * d))
    for (int64_t i = 0; i < m; i++)
        base->kernels->layer_norm(
            dst + (size_t)(i * d) * bytes, tkp__cpu_row(&a[X], i, bytes),
            a[X].dtype, tkp__data(&a[W]), a[W].dtype, tkp__data(&a[B]),
            a[B].dtype, eps, d);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_rms_norm = {
    .kind = TKP_OP_RMS_NORM,
    .plan_bytes = sizeof(struct norm_plan),
    .supports = NULL,
    .plan = plan,
    .run = run_rms,
    .destroy = NULL,
};

const tkp__cpu_op tkp__cpu_op_layer_norm = {
    .kind = TKP_OP_LAYER_NORM,
    .plan_bytes = sizeof(struct norm_plan),
    .supports = NULL,
    .plan = plan,
    .run = run_layer,
    .destroy = NULL,
};
