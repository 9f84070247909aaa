/*
 * BLEND: weighted sum, largest or product of normalised terms, a sequence at a
 * time, in double.
 * The numbers are few; what is gained over the reference are ranks by a sort
 * and threads over sequences.
 */

#include <math.h>

#include "cpu/cpu.h"
#include "cpu/cpu_order.h"

enum { TERMS, OFFSETS, DST };

struct blend_plan {
    tkp__cpu_plan base;
    tkp_op_blend params;
    uint64_t sum_at;            /* [N] f64 */
    uint64_t keys_at, spare_at; /* [N] u64; where a term is ranked */
};

static bool ranks(const tkp_op_blend *p)
{
    for (int32_t t = 0; t < p->terms; t++)
        if (p->normalise[t] == TKP_NORMALISE_RANK)
            return true;
    return false;
}

static tkp_status plan(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct blend_plan *p = (struct blend_plan *)base;
    const uint64_t bytes = (uint64_t)desc->args[DST].shape[0] * 8;
    *kernel_out = "f64";
    p->params = *(const tkp_op_blend *)desc->params;
    TKP__TRY(tkp_sys_ledger_book(ledger, bytes, &p->sum_at));
    if (!ranks(&p->params))
        return TKP_OK;
    TKP__TRY(tkp_sys_ledger_book(ledger, bytes, &p->keys_at));
    return tkp_sys_ledger_book(ledger, bytes, &p->spare_at);
}

/* One term of one sequence. */
struct term {
    const float *z;
    int64_t n;
    double weight;
    bool complement;
    int32_t combine; /* enum tkp_blend_combine */
};

static void add(const struct term *t, double *sum, int64_t i, double f)
{
    const double v = t->weight * (t->complement ? 1.0 - f : f);
    if (t->combine == TKP_BLEND_SUM)
        sum[i] += v;
    else if (t->combine == TKP_BLEND_PRODUCT)
        sum[i] *= v;
    else if (isnan(v) || v > sum[i]) /* NaN stays */
        sum[i] = v;
}

static void add_plain(const struct term *t, double *sum)
{
    for (int64_t i = 0; i < t->n; i++)
        add(t, sum, i, (double)t->z[i]);
}

static void add_min_max(const struct term *t, double *sum)
{
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < t->n; i++) {
        low = fmin(low, (double)t->z[i]);
        high = fmax(high, (double)t->z[i]);
    }
    for (int64_t i = 0; i < t->n; i++) {
        const double z = (double)t->z[i];
        add(t, sum, i,
            isnan(z)      ? z
            : low == high ? 0.0
                          : (z - low) / (high - low));
    }
}

static void add_softmax(const struct term *t, double *sum)
{
    double high = -INFINITY, total = 0;
    for (int64_t i = 0; i < t->n; i++)
        high = fmax(high, (double)t->z[i]);
    for (int64_t i = 0; i < t->n; i++)
        if (!isnan(t->z[i]))
            total += exp((double)t->z[i] - high);
    for (int64_t i = 0; i < t->n; i++)
        add(t, sum, i, exp((double)t->z[i] - high) / total);
}

static void add_share(const struct term *t, double *sum)
{
    double total = 0;
    for (int64_t i = 0; i < t->n; i++)
        if (!isnan(t->z[i]))
            total += (double)t->z[i];
    for (int64_t i = 0; i < t->n; i++) {
        const double z = (double)t->z[i];
        add(t, sum, i, isnan(z) || total != 0 ? z / total : 0.0);
    }
}

static void add_l2(const struct term *t, double *sum)
{
    double squares = 0;
    for (int64_t i = 0; i < t->n; i++)
        if (!isnan(t->z[i]))
            squares += (double)t->z[i] * (double)t->z[i];
    const double norm = fmax(sqrt(squares), 1e-12);
    for (int64_t i = 0; i < t->n; i++)
        add(t, sum, i, (double)t->z[i] / norm);
}

static void
add_rank(const struct term *t, double *sum, uint64_t *keys, uint64_t *spare)
{
    int64_t count = 0;
    for (int64_t i = 0; i < t->n; i++) {
        keys[i] = tkp__cpu_order_key(t->z[i], (int32_t)i, TKP_ORDER_HIGHEST);
        count += !isnan(t->z[i]);
    }
    tkp__cpu_order_sort(keys, t->n, spare);
    /* NaN are last: they keep what they are. */
    for (int64_t rank = 0; rank < t->n; rank++) {
        const int32_t i = tkp__cpu_order_index(keys[rank]);
        add(t, sum, i,
            rank >= count ? (double)t->z[i]
            : count < 2   ? 0.0
                          : (double)(count - 1 - rank) / (double)(count - 1));
    }
}

static void blend_sequence(
    const struct blend_plan *p,
    const tkp_tensor *a,
    int64_t from,
    int64_t n,
    char *workspace)
{
    double *sum = (double *)(void *)(workspace + p->sum_at) + from;
    uint64_t *keys = (uint64_t *)(void *)(workspace + p->keys_at) + from;
    uint64_t *spare = (uint64_t *)(void *)(workspace + p->spare_at) + from;
    float *dst = (float *)tkp__data(&a[DST]) + from;
    for (int64_t i = 0; i < n; i++)
        sum[i] = p->params.combine == TKP_BLEND_MAX       ? -INFINITY
                 : p->params.combine == TKP_BLEND_PRODUCT ? 1
                                                          : 0;
    for (int32_t t = 0; t < p->params.terms; t++) {
        const struct term term = {
            .z = (const float *)(void *)tkp__cpu_row(&a[TERMS], t, 4) + from,
            .n = n,
            .weight = (double)p->params.weight[t],
            .complement = p->params.complement[t] != 0,
            .combine = p->params.combine,
        };
        switch (p->params.normalise[t]) {
        case TKP_NORMALISE_MIN_MAX:
            add_min_max(&term, sum);
            break;
        case TKP_NORMALISE_SOFTMAX:
            add_softmax(&term, sum);
            break;
        case TKP_NORMALISE_RANK:
            add_rank(&term, sum, keys, spare);
            break;
        case TKP_NORMALISE_SUM:
            add_share(&term, sum);
            break;
        case TKP_NORMALISE_L2:
            add_l2(&term, sum);
            break;
        default:
            add_plain(&term, sum);
        }
    }
    for (int64_t i = 0; i < n; i++)
        dst[i] = (float)sum[i];
}

static tkp_status run(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct blend_plan *p = (const struct blend_plan *)base;
    const tkp_tensor *a = r->args;
    const int64_t n = a[DST].shape[0], sequences = a[OFFSETS].shape[0] - 1;
    const int32_t *offsets = tkp__cpu_i32(&a[OFFSETS]);
    TKP__TRY(tkp__cpu_check_covering(&a[OFFSETS], n, "offsets"));
#pragma omp parallel for num_threads(base->threads)                            \
    schedule(dynamic, 1) if (sequences > 1 && tkp__cpu_worth_threads(n * 8))
    for (int64_t b = 0; b < sequences; b++)
        blend_sequence(
            p, a, offsets[b], offsets[b + 1] - offsets[b], r->workspace);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_blend = {
    .kind = TKP_OP_BLEND,
    .plan_bytes = sizeof(struct blend_plan),
    .supports = NULL,
    .plan = plan,
    .run = run,
    .destroy = NULL,
};
