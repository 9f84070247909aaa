/*
 * PIVOTS: every member's row is read once for all pivots of its group; the
 * choice is then made among cosines that lie in the workspace.
 */

#include "cpu/cpu.h"

enum {
    X,
    ROWS,
    GROUP_OFFSETS,
    MEMBERS,
    KEEP,
    OUT_OFFSETS,
    PIVOT_OFFSETS,
    PIVOTS,
    DST
};

struct pivots_plan {
    tkp__cpu_plan base;
    int32_t per_pivot;
    int32_t reserved;
    uint64_t chosen_at; /* [T] by entry */
    uint64_t cosine_at; /* [pivots, members] of one group */
    uint64_t pivot_at;  /* [pivots, D] f32 */
    uint64_t square_at; /* [pivots] */
};

static int64_t most_members(const tkp_tensor *a)
{
    return tkp__present(&a[MEMBERS]) ? a[MEMBERS].shape[0] : a[ROWS].shape[0];
}

static tkp_status plan(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct pivots_plan *p = (struct pivots_plan *)base;
    const tkp_tensor *a = desc->args;
    const uint64_t pivots = (uint64_t)a[PIVOTS].shape[0];
    (void)kernel_out;
    p->per_pivot = ((const tkp_op_pivots *)desc->params)->per_pivot;
    TKP__TRY(
        tkp_sys_ledger_book(ledger, (uint64_t)a[ROWS].shape[0], &p->chosen_at));
    TKP__TRY(tkp_sys_ledger_book(
        ledger, pivots * (uint64_t)most_members(a) * 4, &p->cosine_at));
    TKP__TRY(tkp_sys_ledger_book(
        ledger, pivots * (uint64_t)a[X].shape[1] * 4, &p->pivot_at));
    return tkp_sys_ledger_book(ledger, pivots * 4, &p->square_at);
}

static tkp_status check_data(const tkp_tensor *a)
{
    const bool listed = tkp__present(&a[MEMBERS]);
    const int64_t entries = a[ROWS].shape[0], groups = a[KEEP].shape[0];
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], entries, a[X].shape[0], "rows"));
    TKP__TRY(tkp__cpu_check_offsets(
        &a[GROUP_OFFSETS], most_members(a), "group_offsets"));
    if (listed)
        TKP__TRY(tkp__cpu_check_index(
            &a[MEMBERS], tkp__cpu_i32(&a[GROUP_OFFSETS])[groups], entries,
            "members"));
    TKP__TRY(tkp__cpu_check_keep(
        &a[GROUP_OFFSETS], &a[KEEP], &a[OUT_OFFSETS], a[DST].shape[0]));
    TKP__TRY(tkp__cpu_check_offsets(
        &a[PIVOT_OFFSETS], a[PIVOTS].shape[0], "pivot_offsets"));
    return tkp__cpu_check_index(
        &a[PIVOTS], tkp__cpu_i32(&a[PIVOT_OFFSETS])[groups], entries, "pivots");
}

typedef struct group {
    const int32_t *members; /* or NULL */
    int32_t first, n, keep, taken;
    const int32_t *pivots;
    int32_t n_pivots;
    uint8_t *chosen;
    float *cosine; /* [n_pivots, n] */
    int32_t *dst;
} group;

static int32_t entry(const group *g, int32_t i)
{
    return g->members ? g->members[g->first + i] : g->first + i;
}

/* Cosines of all members with all pivots; false if one is NaN. */
static bool
compare(const struct pivots_plan *p, const tkp__cpu_run *r, const group *g)
{
    const tkp_tensor *x = &r->args[X];
    const tkp__cpu_kernels *k = p->base.kernels;
    const int64_t d = x->shape[1];
    const size_t bytes = tkp__cpu_bytes(x->dtype);
    const int32_t *rows = tkp__cpu_i32(&r->args[ROWS]);
    float *pivot = (float *)(void *)(r->workspace + p->pivot_at);
    float *square = (float *)(void *)(r->workspace + p->square_at);
    bool numbers = true;
    for (int32_t j = 0; j < g->n_pivots; j++) {
        const char *row = tkp__cpu_row(x, rows[g->pivots[j]], bytes);
        k->convert(pivot + j * d, TKP_DTYPE_F32, row, x->dtype, d);
        square[j] = k->sum_squares(pivot + j * d, TKP_DTYPE_F32, d);
    }
#pragma omp parallel for num_threads(p->base.threads) reduction(               \
    && : numbers) if (tkp__cpu_worth_threads(g->n_pivots * g->n * d))
    for (int32_t i = 0; i < g->n; i++)
        for (int32_t j = 0; j < g->n_pivots; j++) {
            float product[2]; /* with the pivot, with itself */
            k->dot_and_square(
                product, tkp__cpu_row(x, rows[entry(g, i)], bytes), x->dtype,
                pivot + j * d, d);
            const float c =
                square[j] == 0 || product[1] == 0
                    ? 0
                    : (float)((double)product[0] / (__builtin_sqrt((double)product[1]) * __builtin_sqrt((double)square[j])));
            g->cosine[(int64_t)j * g->n + i] = c;
            numbers = numbers && c == c;
        }
    return numbers;
}

static void choose(group *g, int32_t e)
{
    g->chosen[e] = 1;
    g->dst[g->taken++] = e;
}

static bool is_member(const group *g, int32_t e)
{
    for (int32_t i = 0; i < g->n; i++)
        if (entry(g, i) == e)
            return true;
    return false;
}

static void take_least(group *g, const float *cosine, int32_t count)
{
    for (; count > 0; count--) {
        int32_t best = -1;
        for (int32_t i = 0; i < g->n; i++)
            if (!g->chosen[entry(g, i)] &&
                (best < 0 || cosine[i] < cosine[best] ||
                 (cosine[i] == cosine[best] && entry(g, i) < entry(g, best))))
                best = i;
        choose(g, entry(g, best));
    }
}

static tkp_status
run_group(const struct pivots_plan *p, const tkp__cpu_run *r, group *g)
{
    if (g->keep == 0)
        return TKP_OK;
    TKP__CHECK(
        g->n_pivots > 0, TKP_ERR_ARGUMENT,
        "pivots: a group that keeps %d has none", g->keep);
    for (int32_t i = 0; i < g->n; i++)
        g->chosen[entry(g, i)] = 0;
    for (int32_t j = 0; j < g->n_pivots && g->taken < g->keep; j++)
        if (is_member(g, g->pivots[j]) && !g->chosen[g->pivots[j]])
            choose(g, g->pivots[j]);
    if (g->taken == g->keep)
        return TKP_OK;
    const int32_t quota = p->per_pivot ? p->per_pivot : g->keep / g->n_pivots;
    const int32_t visited =
        quota ? (g->keep - g->taken + quota - 1) / quota : g->n_pivots;
    if (visited < g->n_pivots)
        g->n_pivots = visited; /* the rest would find nothing to take */
    TKP__CHECK(
        compare(p, r, g), TKP_ERR_DATA, "x: a cosine with a pivot is NaN");
    for (int32_t j = 0; j < g->n_pivots && g->taken < g->keep; j++) {
        const int32_t left = g->keep - g->taken;
        take_least(
            g, g->cosine + (int64_t)j * g->n,
            j + 1 < g->n_pivots && quota < left ? quota : left);
    }
    return TKP_OK;
}

static tkp_status run(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct pivots_plan *p = (const struct pivots_plan *)base;
    const tkp_tensor *a = r->args;
    TKP__TRY(check_data(a));
    const int32_t *offsets = tkp__cpu_i32(&a[GROUP_OFFSETS]);
    const int32_t *pivot_offsets = tkp__cpu_i32(&a[PIVOT_OFFSETS]);
    for (int64_t i = 0; i < a[KEEP].shape[0]; i++) {
        group g = {
            .members =
                tkp__present(&a[MEMBERS]) ? tkp__cpu_i32(&a[MEMBERS]) : NULL,
            .first = offsets[i],
            .n = offsets[i + 1] - offsets[i],
            .keep = tkp__cpu_i32(&a[KEEP])[i],
            .pivots = tkp__cpu_i32(&a[PIVOTS]) + pivot_offsets[i],
            .n_pivots = pivot_offsets[i + 1] - pivot_offsets[i],
            .chosen = (uint8_t *)(r->workspace + p->chosen_at),
            .cosine = (float *)(void *)(r->workspace + p->cosine_at),
            .dst = (int32_t *)tkp__data(&a[DST]) +
                   tkp__cpu_i32(&a[OUT_OFFSETS])[i],
        };
        TKP__TRY(run_group(p, r, &g));
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_pivots = {
    .kind = TKP_OP_PIVOTS,
    .plan_bytes = sizeof(struct pivots_plan),
    .supports = NULL,
    .plan = plan,
    .run = run,
    .destroy = NULL,
};
