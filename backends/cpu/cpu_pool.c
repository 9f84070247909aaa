/*
 * GROUP_POOL: members of a group are added in the order of the list, in f32.
 */

#include <omp.h>

#include "cpu/cpu.h"

enum { X, GROUP_OFFSETS, MEMBERS, WEIGHTS, DST };

struct pool_plan {
    tkp__cpu_plan base;
    int32_t pool;
    int32_t reserved;
    uint64_t sum_at, sum_bytes; /* [D] f32 for each thread */
};

static tkp_status plan(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct pool_plan *p = (struct pool_plan *)base;
    (void)kernel_out;
    p->pool = ((const tkp_op_group_pool *)desc->params)->pool;
    p->sum_bytes = tkp__align_up((size_t)desc->args[X].shape[1] * 4, 64);
    return tkp_sys_ledger_book(
        ledger, p->sum_bytes * (uint64_t)base->threads, &p->sum_at);
}

static void pool_group(
    const struct pool_plan *p,
    const tkp_tensor *a,
    int64_t group,
    float *sum)
{
    const tkp__cpu_kernels *k = p->base.kernels;
    const int32_t *offsets = tkp__cpu_i32(&a[GROUP_OFFSETS]);
    const int32_t *members = tkp__cpu_i32(&a[MEMBERS]);
    const float *weights =
        tkp__present(&a[WEIGHTS]) ? tkp__data(&a[WEIGHTS]) : NULL;
    const int64_t d = a[X].shape[1], from = offsets[group];
    const int64_t to = offsets[group + 1];
    const size_t bytes = tkp__cpu_bytes(a[X].dtype);
    const bool most = p->pool == TKP_POOL_MAX && to > from;
    double total = 0;
    for (int64_t i = 0; i < d; i++)
        sum[i] = most ? -__builtin_inff() : 0.0f;
    for (int64_t i = from; i < to; i++) {
        const char *row = tkp__cpu_row(&a[X], members[i], bytes);
        const float weight = weights ? weights[members[i]] : 1.0f;
        total += (double)weight;
        if (most)
            k->take_max(sum, row, a[X].dtype, d);
        else
            k->add_scaled(sum, row, a[X].dtype, weight, d);
    }
    /* Divided, so that equal means are equal in windows of any size. */
    const float by = (float)total;
    if (!most)
        for (int64_t i = 0; i < d; i++)
            sum[i] = total != 0 ? sum[i] / by : 0.0f;
    k->convert(
        (char *)tkp__data(&a[DST]) +
            (size_t)(group * d) * tkp__cpu_bytes(a[DST].dtype),
        a[DST].dtype, sum, TKP_DTYPE_F32, d);
}

static tkp_status run(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct pool_plan *p = (const struct pool_plan *)base;
    const tkp_tensor *a = r->args;
    const int64_t groups = a[DST].shape[0];
    TKP__TRY(tkp__cpu_check_offsets(
        &a[GROUP_OFFSETS], a[MEMBERS].shape[0], "group_offsets"));
    const int64_t n = tkp__cpu_i32(&a[GROUP_OFFSETS])[groups];
    TKP__TRY(tkp__cpu_check_index(&a[MEMBERS], n, a[X].shape[0], "members"));
#pragma omp parallel for num_threads(base->threads)                            \
    schedule(dynamic, 8) if (tkp__cpu_worth_threads(n * a[X].shape[1]))
    for (int64_t group = 0; group < groups; group++)
        pool_group(
            p, a, group,
            (float
                 *)(void
                        *)(r->workspace + p->sum_at + (uint64_t)omp_get_thread_num() * p->sum_bytes));
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_group_pool = {
    .kind = TKP_OP_GROUP_POOL,
    .plan_bytes = sizeof(struct pool_plan),
    .supports = NULL,
    .plan = plan,
    .run = run,
    .destroy = NULL,
};
