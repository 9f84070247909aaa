/*
 * PARITY: the whole similarity matrix, then rounds of maxima over its rows.
 */

#include "cpu/cpu_greedy.h"

enum { DST = 7 };

struct parity_plan {
    tkp__cpu_greedy greedy;
    tkp_op_parity params;
    uint64_t value_at;         /* [most] f32 by entry */
    uint64_t list_at, next_at; /* [most] i32 */
};

static tkp_status plan_parity(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct parity_plan *p = (struct parity_plan *)base;
    (void)kernel_out;
    memcpy(&p->params, desc->params, sizeof(p->params));
    TKP__TRY(tkp__cpu_greedy_plan(
        &p->greedy, ledger, desc, DST, p->params.largest, true, true));
    const uint64_t bytes = (uint64_t)p->greedy.most * 4;
    TKP__TRY(tkp_sys_ledger_book(ledger, bytes, &p->value_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, bytes, &p->list_at));
    return tkp_sys_ledger_book(ledger, bytes, &p->next_at);
}

/* Largest key first; of equal ones as they stood: merged from runs. `spare` has
 * room for all. */
static void
sort_stable(int32_t *list, int64_t n, const float *key, int32_t *spare)
{
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t first = 0; first < n; first += 2 * run) {
            const int64_t middle = tkp__cpu_min(first + run, n);
            const int64_t end = tkp__cpu_min(first + 2 * run, n);
            int64_t a = first, b = middle;
            for (int64_t at = first; at < end; at++)
                spare[at] =
                    b >= end || (a < middle && key[list[a]] >= key[list[b]])
                        ? list[a++]
                        : list[b++];
        }
        memcpy(list, spare, (size_t)n * sizeof(*list));
    }
}

/* v of entry i: its row at the odd places. */
static float largest_of(const float *row, const int32_t *list, int64_t odd)
{
    float most = -2;
    for (int64_t b = 0; b < odd; b++) {
        const float s = row[list[2 * b + 1]];
        most = s > most ? s : most;
    }
    return most;
}

static void choose(
    const struct parity_plan *p,
    const tkp__cpu_greedy_group *g,
    const float *weights,
    char *workspace)
{
    float *value = (float *)(void *)(workspace + p->value_at);
    int32_t *list = (int32_t *)(void *)(workspace + p->list_at);
    int32_t *next = (int32_t *)(void *)(workspace + p->next_at);
    int64_t n = g->n;
    for (int64_t i = 0; i < n; i++) {
        list[i] = (int32_t)i;
        value[i] = weights[g->list[i]];
    }
    sort_stable(list, n, value, next);
    while (n > g->keep) {
        const int64_t even = (n + 1) / 2, odd = n / 2;
        const int64_t go =
            tkp__cpu_min(even, tkp__cpu_min(p->params.step, n - g->keep));
#pragma omp parallel for num_threads(p->greedy.base.threads)                   \
    schedule(static) if (tkp__cpu_worth_threads(even * odd / 4))
        for (int64_t a = 0; a < even; a++)
            value[list[2 * a]] =
                largest_of(g->matrix + list[2 * a] * g->n, list, odd);
        for (int64_t a = 0; a < even; a++)
            next[a] = list[2 * a];
        /* The even places are free now: odd ones move behind what is left. */
        for (int64_t b = 0; b < odd; b++)
            next[even + b] = list[2 * b + 1];
        sort_stable(next, even, value, list);
        memcpy(list, next + go, (size_t)(n - go) * sizeof(*list));
        n -= go;
    }
    for (int64_t t = 0; t < g->keep; t++)
        g->dst[t] = g->list[list[t]];
}

static tkp_status run_parity(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct parity_plan *p = (const struct parity_plan *)base;
    const tkp_tensor *a = r->args;
    TKP__TRY(tkp__cpu_greedy_check(&p->greedy, r, DST));
    TKP__TRY(
        tkp__cpu_greedy_check_weights(r, TKP__GREEDY_WEIGHTS, "weights", true));
    for (int64_t i = 0; i < a[TKP__GREEDY_KEEP].shape[0]; i++) {
        const tkp__cpu_greedy_group g =
            tkp__cpu_greedy_open(&p->greedy, r, DST, i, true);
        if (g.keep)
            choose(p, &g, tkp__data(&a[TKP__GREEDY_WEIGHTS]), r->workspace);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_parity = {
    .kind = TKP_OP_PARITY,
    .plan_bytes = sizeof(struct parity_plan),
    .supports = NULL,
    .plan = plan_parity,
    .run = run_parity,
    .destroy = NULL,
};
