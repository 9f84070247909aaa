/*
 * MERGE_ROWS: for each kept one a sum of rows in f32, in the order of
 * candidates.
 */

#include <omp.h>

#include "cpu/cpu.h"

enum { X, ROWS, KEPT, ASSIGNMENT, WEIGHTS, DST, SIZES };

struct merge_plan {
    tkp__cpu_plan base;
    tkp_op_merge_rows params;
    uint64_t first_at; /* [K] i32 first that joins, -1 = none */
    uint64_t next_at;  /* [N] i32 the next one after it */
    uint64_t sums_at;  /* [threads, 2, D] f32 */
};

static tkp_status plan_merge(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct merge_plan *p = (struct merge_plan *)base;
    const tkp_tensor *a = desc->args;
    (void)kernel_out;
    memcpy(&p->params, desc->params, sizeof(p->params));
    TKP__TRY(tkp_sys_ledger_book(
        ledger, (uint64_t)a[KEPT].shape[0] * 4, &p->first_at));
    TKP__TRY(tkp_sys_ledger_book(
        ledger, (uint64_t)a[ROWS].shape[0] * 4, &p->next_at));
    return tkp_sys_ledger_book(
        ledger, (uint64_t)a[X].shape[1] * 8 * (uint64_t)base->threads,
        &p->sums_at);
}

static tkp_status check_data(const tkp_tensor *a)
{
    const int64_t n = a[ROWS].shape[0], k = a[KEPT].shape[0];
    const int32_t *to = tkp__cpu_i32(&a[ASSIGNMENT]);
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[X].shape[0], "rows"));
    TKP__TRY(tkp__cpu_check_index(&a[KEPT], k, n, "kept"));
    for (int64_t i = 0; i < n; i++)
        TKP__CHECK(
            to[i] >= -1 && to[i] < k, TKP_ERR_ARGUMENT,
            "assignment: entry %lld is %d, wanted -1 to %lld", (long long)i,
            to[i], (long long)k - 1);
    return TKP_OK;
}

/* Who joins each kept one, in the order of candidates. */
static void chain(const tkp_tensor *a, int32_t *first, int32_t *next)
{
    enum { IS_KEPT = -2 };
    const int32_t *kept = tkp__cpu_i32(&a[KEPT]);
    const int32_t *to = tkp__cpu_i32(&a[ASSIGNMENT]);
    const int64_t n = a[ROWS].shape[0], k = a[KEPT].shape[0];
    for (int64_t i = 0; i < n; i++)
        next[i] = -1;
    for (int64_t e = 0; e < k; e++) {
        first[e] = -1;
        next[kept[e]] = IS_KEPT;
    }
    for (int64_t i = n - 1; i >= 0; i--)
        if (next[i] != IS_KEPT && to[i] >= 0) {
            next[i] = first[to[i]];
            first[to[i]] = (int32_t)i;
        }
}

static const void *row_of(const tkp_tensor *a, int32_t i)
{
    return tkp__cpu_row(
        &a[X], tkp__cpu_i32(&a[ROWS])[i], tkp__cpu_bytes(a[X].dtype));
}

static float weight_of(const tkp_tensor *a, int32_t i)
{
    return tkp__present(&a[WEIGHTS])
               ? ((const float *)tkp__data(&a[WEIGHTS]))[i]
               : 1;
}

/* own, sum: [D]. Leaves the new row in own. */
static void merge_one(
    const struct merge_plan *p,
    const tkp_tensor *a,
    const int32_t *next,
    int32_t first,
    int32_t anchor,
    float *own,
    float *sum)
{
    const tkp_op_merge_rows *o = &p->params;
    const bool mean = o->rule == TKP_MERGE_MEAN;
    const float share = mean ? o->anchor * weight_of(a, anchor) : 0;
    const int64_t d = a[X].shape[1];
    const tkp__cpu_kernels *k = p->base.kernels;
    double weight = (double)share;
    int32_t size = 1;
    k->convert(own, TKP_DTYPE_F32, row_of(a, anchor), a[X].dtype, d);
    for (int64_t i = 0; i < d; i++)
        sum[i] = share * own[i];
    for (int32_t i = first; i >= 0; i = next[i], size++) {
        const float w = weight_of(a, i);
        k->add_scaled(sum, row_of(a, i), a[X].dtype, w, d);
        weight += (double)w;
    }
    if (first < 0 || weight == 0)
        return;
    const float scale = (float)(1 / weight);
    const bool blend = o->rule >= TKP_MERGE_BLEND;
    float beta = o->beta;
    if (o->rule == TKP_MERGE_BLEND_COUNT && beta < 1 / (float)size)
        beta = 1 / (float)size;
    const float keep = blend ? beta : 1;
    const float take = blend ? 1 - beta : 1;
    for (int64_t i = 0; i < d; i++)
        own[i] =
            mean ? sum[i] * scale : keep * own[i] + take * (sum[i] * scale);
}

static tkp_status run_merge(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct merge_plan *p = (const struct merge_plan *)base;
    const tkp_tensor *a = r->args, *dst = &a[DST];
    TKP__TRY(check_data(a));
    const int64_t k = a[KEPT].shape[0], d = a[X].shape[1];
    int32_t *first = (int32_t *)(void *)(r->workspace + p->first_at);
    int32_t *next = (int32_t *)(void *)(r->workspace + p->next_at);
    float *sums = (float *)(void *)(r->workspace + p->sums_at);
    chain(a, first, next);
#pragma omp parallel for num_threads(base->threads)                            \
    schedule(dynamic, 8) if (tkp__cpu_worth_threads(a[ROWS].shape[0] * d))
    for (int64_t e = 0; e < k; e++) {
        float *own = sums + (int64_t)omp_get_thread_num() * 2 * d;
        merge_one(
            p, a, next, first[e], tkp__cpu_i32(&a[KEPT])[e], own, own + d);
        base->kernels->convert(
            tkp__cpu_row(dst, e, tkp__cpu_bytes(dst->dtype)), dst->dtype, own,
            TKP_DTYPE_F32, d);
        if (!tkp__present(&a[SIZES]))
            continue;
        float size = 1;
        for (int32_t i = first[e]; i >= 0; i = next[i])
            size += 1;
        ((float *)tkp__data(&a[SIZES]))[e] = size;
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_merge_rows = {
    .kind = TKP_OP_MERGE_ROWS,
    .plan_bytes = sizeof(struct merge_plan),
    .supports = NULL,
    .plan = plan_merge,
    .run = run_merge,
    .destroy = NULL,
};
