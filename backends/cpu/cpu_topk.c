/*
 * TOPK: the keep-th key of a group is found by radix selection; what is not
 * above it stays. The order is total, so the answer is the reference's.
 */

#include <math.h>

#include "cpu/cpu.h"
#include "cpu/cpu_order.h"

enum { SCORES, GROUP_OFFSETS, MEMBERS, KEEP, OUT_OFFSETS, DST };

struct topk_plan {
    tkp__cpu_plan base;
    int32_t order;
    int32_t sorted;
    uint64_t keys_at, spare_at; /* one u64 for each member */
};

static tkp_status plan(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct topk_plan *p = (struct topk_plan *)base;
    const tkp_op_topk *params = desc->params;
    const tkp_tensor *list = &desc->args[MEMBERS];
    *kernel_out = "radix";
    p->order = params->order;
    p->sorted = params->sorted_by_score;
    if (!tkp__present(list))
        list = &desc->args[SCORES];
    const uint64_t bytes = (uint64_t)list->shape[0] * 8;
    TKP__TRY(tkp_sys_ledger_book(ledger, bytes, &p->keys_at));
    return tkp_sys_ledger_book(ledger, bytes, &p->spare_at);
}

/* --- checks -------------------------------------------------------------------- */

static int32_t member_of(const int32_t *members, int64_t i)
{
    return members ? members[i] : (int32_t)i;
}

static tkp_status check_numbers(const tkp_tensor *a, const int32_t *members)
{
    const int32_t *offsets = tkp__cpu_i32(&a[GROUP_OFFSETS]);
    const int32_t *keep = tkp__cpu_i32(&a[KEEP]);
    const float *scores = tkp__data(&a[SCORES]);
    for (int64_t g = 0; g < a[KEEP].shape[0]; g++) {
        int64_t i = offsets[g];
        while (keep[g] > 0 && i < offsets[g + 1] &&
               isnan(scores[member_of(members, i)]))
            i++;
        TKP__CHECK(
            keep[g] == 0 || i < offsets[g + 1], TKP_ERR_DATA,
            "scores: all %d of group %lld are NaN",
            (int)(offsets[g + 1] - offsets[g]), (long long)g);
    }
    return TKP_OK;
}

/* --- run ------------------------------------------------------------------------ */

static bool ascending(const int32_t *v, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (v[i] < v[i - 1])
            return false;
    return true;
}

/* Indices in ascending order; they are the low half of the keys already. */
static void
sort_indices(int32_t *dst, int64_t n, uint64_t *keys, uint64_t *spare)
{
    if (ascending(dst, n))
        return;
    for (int64_t i = 0; i < n; i++)
        keys[i] = (uint64_t)(uint32_t)dst[i];
    tkp__cpu_order_sort(keys, n, spare);
    for (int64_t i = 0; i < n; i++)
        dst[i] = tkp__cpu_order_index(keys[i]);
}

/* The `keep` smallest keys, in the order they stand in. An index that is
 * listed twice has one key twice: as many of it as there is room for. */
static void take_best(uint64_t *keys, int64_t n, int64_t keep, uint64_t *spare)
{
    if (keep == n)
        return;
    const uint64_t cut = tkp__cpu_order_select(keys, n, keep, spare);
    int64_t below = 0, taken = 0;
    for (int64_t i = 0; i < n; i++)
        below += keys[i] < cut;
    int64_t equal = keep - below;
    for (int64_t i = 0; taken < keep; i++) {
        const bool take = keys[i] < cut || (keys[i] == cut && equal-- > 0);
        keys[taken] = keys[i];
        taken += take;
    }
}

static void topk_group(
    const struct topk_plan *p,
    const tkp_tensor *a,
    const int32_t *members,
    int64_t g,
    char *workspace)
{
    const int64_t from = tkp__cpu_i32(&a[GROUP_OFFSETS])[g];
    const int64_t n = tkp__cpu_i32(&a[GROUP_OFFSETS])[g + 1] - from;
    const int64_t keep = tkp__cpu_i32(&a[KEEP])[g];
    const float *scores = tkp__data(&a[SCORES]);
    uint64_t *keys = (uint64_t *)(void *)(workspace + p->keys_at) + from;
    uint64_t *spare = (uint64_t *)(void *)(workspace + p->spare_at) + from;
    int32_t *dst =
        (int32_t *)tkp__data(&a[DST]) + tkp__cpu_i32(&a[OUT_OFFSETS])[g];
    if (keep == 0)
        return;
    for (int64_t i = 0; i < n; i++) {
        const int32_t member = member_of(members, from + i);
        keys[i] = tkp__cpu_order_key(scores[member], member, p->order);
    }
    take_best(keys, n, keep, spare);
    if (p->sorted)
        tkp__cpu_order_sort(keys, keep, spare);
    for (int64_t i = 0; i < keep; i++)
        dst[i] = tkp__cpu_order_index(keys[i]);
    if (!p->sorted)
        sort_indices(dst, keep, keys, spare);
}

static tkp_status run(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct topk_plan *p = (const struct topk_plan *)base;
    const tkp_tensor *a = r->args;
    const bool listed = tkp__present(&a[MEMBERS]);
    const int32_t *members = listed ? tkp__cpu_i32(&a[MEMBERS]) : NULL;
    const int64_t n = a[SCORES].shape[0], groups = a[KEEP].shape[0];
    TKP__TRY(tkp__cpu_check_offsets(
        &a[GROUP_OFFSETS], listed ? a[MEMBERS].shape[0] : n, "group_offsets"));
    const int64_t total = tkp__cpu_i32(&a[GROUP_OFFSETS])[groups];
    if (listed)
        TKP__TRY(tkp__cpu_check_index(&a[MEMBERS], total, n, "members"));
    TKP__TRY(tkp__cpu_check_keep(
        &a[GROUP_OFFSETS], &a[KEEP], &a[OUT_OFFSETS], a[DST].shape[0]));
    TKP__TRY(check_numbers(a, members));
#pragma omp parallel for num_threads(base->threads)                            \
    schedule(dynamic, 1) if (groups > 1 && tkp__cpu_worth_threads(total * 8))
    for (int64_t g = 0; g < groups; g++)
        topk_group(p, a, members, g, r->workspace);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_topk = {
    .kind = TKP_OP_TOPK,
    .plan_bytes = sizeof(struct topk_plan),
    .supports = NULL,
    .plan = plan,
    .run = run,
    .destroy = NULL,
};
