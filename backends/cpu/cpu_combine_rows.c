/*
 * COMBINE_ROWS: a stretch of channels of one kept row at a time. Sums in double
 * in the order of the list, so every thread count gives the same bits.
 */

#include "cpu/cpu.h"

enum { X, ROWS, KEPT, OWN, LIST_OFFSETS, LIST, WEIGHTS, DST };
enum { STRETCH = 512 }; /* channels */

struct combine {
    const tkp__cpu_plan *plan;
    const tkp_tensor *args;
};

static tkp_status check_data(const tkp_tensor *a)
{
    const int64_t n = a[ROWS].shape[0], kept = a[KEPT].shape[0];
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[X].shape[0], "rows"));
    TKP__TRY(tkp__cpu_check_index(&a[KEPT], kept, n, "kept"));
    TKP__TRY(tkp__cpu_check_offsets(
        &a[LIST_OFFSETS], a[LIST].shape[0], "list_offsets"));
    return tkp__cpu_check_index(
        &a[LIST], tkp__cpu_i32(&a[LIST_OFFSETS])[kept], n, "list");
}

/* sum += weight times channels [from, from + n) of a candidate. */
static void
add(const struct combine *c,
    double *sum,
    int32_t candidate,
    double weight,
    int64_t from,
    int64_t n)
{
    const tkp_tensor *x = &c->args[X];
    const size_t bytes = tkp__cpu_bytes(x->dtype);
    const char *row =
        tkp__cpu_row(x, tkp__cpu_i32(&c->args[ROWS])[candidate], bytes);
    float values[STRETCH];
    c->plan->kernels->convert(
        values, TKP_DTYPE_F32, row + (size_t)from * bytes, x->dtype, n);
    for (int64_t i = 0; i < n; i++)
        sum[i] += weight * (double)values[i];
}

static void combine(const struct combine *c, int64_t k, int64_t from)
{
    const tkp_tensor *a = c->args, *dst = &a[DST];
    const int32_t *ends = tkp__cpu_i32(&a[LIST_OFFSETS]);
    const int32_t *list = tkp__cpu_i32(&a[LIST]);
    const float *own = tkp__data(&a[OWN]), *weight = tkp__data(&a[WEIGHTS]);
    const int64_t n = tkp__cpu_min(STRETCH, dst->shape[1] - from);
    const size_t bytes = tkp__cpu_bytes(dst->dtype);
    double sum[STRETCH] = {0};
    float single[STRETCH];
    if (own[k] != 0.0f)
        add(c, sum, tkp__cpu_i32(&a[KEPT])[k], (double)own[k], from, n);
    for (int32_t e = ends[k]; e < ends[k + 1]; e++)
        add(c, sum, list[e], (double)weight[e], from, n);
    for (int64_t i = 0; i < n; i++)
        single[i] = (float)sum[i];
    c->plan->kernels->convert(
        tkp__cpu_row(dst, k, bytes) + (size_t)from * bytes, dst->dtype, single,
        TKP_DTYPE_F32, n);
}

static tkp_status
run_combine_rows(const tkp__cpu_plan *plan, const tkp__cpu_run *r)
{
    const struct combine c = {.plan = plan, .args = r->args};
    const int64_t kept = r->args[KEPT].shape[0];
    const int64_t width = r->args[DST].shape[1];
    TKP__TRY(check_data(r->args));
    const int64_t entries = kept + tkp__cpu_i32(&r->args[LIST_OFFSETS])[kept];
    const int64_t stretches = tkp__cpu_ceil(width, STRETCH);
#pragma omp parallel for num_threads(plan->threads)                            \
    schedule(static) if (tkp__cpu_worth_threads(entries * width))
    for (int64_t i = 0; i < kept * stretches; i++)
        combine(&c, i / stretches, i % stretches * STRETCH);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_combine_rows = {
    .kind = TKP_OP_COMBINE_ROWS,
    .plan_bytes = sizeof(tkp__cpu_plan),
    .supports = NULL,
    .plan = NULL,
    .run = run_combine_rows,
    .destroy = NULL,
};
