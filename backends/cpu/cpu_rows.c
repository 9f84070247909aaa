/*
 * GATHER_ROWS, SCATTER_ROWS, COMPACT: rows in other places.
 */

#include "cpu/cpu.h"

/* --- GATHER_ROWS ------------------------------------------------------------- */

struct gather {
    char *dst;
    const char *src;
    const int32_t *index;
    int64_t n;
    size_t row, step; /* bytes of a row; bytes from row to row of src */
};

/* Columns [from, to) of all rows in ascending order: in place, row i is read
 * before it is written over, since index[i] >= i. */
static void gather_columns(const struct gather *g, size_t from, size_t to)
{
    for (int64_t i = 0; i < g->n; i++)
        memmove(
            g->dst + (size_t)i * g->row + from,
            g->src + (size_t)g->index[i] * g->step + from, to - from);
}

static tkp_status gather_in_place(const tkp__cpu_plan *base, struct gather *g)
{
    for (int64_t i = 1; i < g->n; i++)
        TKP__CHECK(
            g->index[i] > g->index[i - 1], TKP_ERR_ARGUMENT,
            "index[%lld] is %d after %d; in place it must ascend", (long long)i,
            (int)g->index[i], (int)g->index[i - 1]);
    /* Threads share out columns, not rows: no one overtakes another. */
    const size_t slice =
        tkp__align_up(g->row / (size_t)base->threads + 1, 4096);
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(g->n * (int64_t)g->row / 4))
    for (size_t from = 0; from < g->row; from += slice)
        gather_columns(g, from, g->row - from < slice ? g->row : from + slice);
    return TKP_OK;
}

static tkp_status run_gather(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { SRC, INDEX, DST };
    const tkp_tensor *a = r->args;
    const int64_t n = a[INDEX].shape[0];
    size_t row = tkp_dtype_bytes(a[SRC].dtype);
    const size_t step = (size_t)a[SRC].strides[0] * row;
    for (int32_t d = 1; d < a[SRC].ndim; d++)
        row *= (size_t)a[SRC].shape[d];
    TKP__TRY(tkp__cpu_check_index(&a[INDEX], n, a[SRC].shape[0], "index"));
    if (n == 0 || row == 0)
        return TKP_OK;
    struct gather g = {
        tkp__data(&a[DST]),
        tkp__data(&a[SRC]),
        tkp__cpu_i32(&a[INDEX]),
        n,
        row,
        step,
    };
    if (g.dst == g.src)
        return gather_in_place(base, &g);
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(n * (int64_t)row / 4))
    for (int64_t i = 0; i < n; i++)
        memcpy(g.dst + (size_t)i * row, g.src + (size_t)g.index[i] * step, row);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_gather_rows = {
    .kind = TKP_OP_GATHER_ROWS,
    .plan_bytes = sizeof(tkp__cpu_plan),
    .supports = NULL,
    .plan = NULL,
    .run = run_gather,
    .destroy = NULL,
};

/* --- SCATTER_ROWS ------------------------------------------------------------ */

/* By columns as well: rows that are named twice are then written in order. */
static tkp_status run_scatter(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { SRC, INDEX, DST };
    const tkp_tensor *a = r->args;
    const int64_t n = a[INDEX].shape[0], d = a[SRC].shape[1];
    const size_t sb = tkp__cpu_bytes(a[SRC].dtype);
    const size_t db = tkp__cpu_bytes(a[DST].dtype);
    const int32_t *index = tkp__cpu_i32(&a[INDEX]);
    char *dst = tkp__data(&a[DST]);
    const int64_t slice = 1024;
    TKP__TRY(tkp__cpu_check_index(&a[INDEX], n, a[DST].shape[0], "index"));
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(n * d))
    for (int64_t from = 0; from < d; from += slice)
        for (int64_t i = 0; i < n; i++)
            base->kernels->convert(
                dst + (size_t)(index[i] * d + from) * db, a[DST].dtype,
                tkp__cpu_row(&a[SRC], i, sb) + (size_t)from * sb, a[SRC].dtype,
                tkp__cpu_min(slice, d - from));
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_scatter_rows = {
    .kind = TKP_OP_SCATTER_ROWS,
    .plan_bytes = sizeof(tkp__cpu_plan),
    .supports = NULL,
    .plan = NULL,
    .run = run_scatter,
    .destroy = NULL,
};

/* --- COMPACT ----------------------------------------------------------------- */

struct compact_plan {
    tkp__cpu_plan base;
    int64_t rows;
    uint64_t gone_at; /* [R] u8: 1 = the row goes */
};

static tkp_status plan_compact(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct compact_plan *p = (struct compact_plan *)base;
    const tkp_op_compact *params = desc->params;
    (void)kernel_out;
    p->rows = params->rows;
    return tkp_sys_ledger_book(ledger, (uint64_t)params->rows, &p->gone_at);
}

static tkp_status run_compact(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { CANDIDATES, SELECTED, DST };
    const struct compact_plan *p = (const struct compact_plan *)base;
    const tkp_tensor *a = r->args;
    const int64_t n = a[CANDIDATES].shape[0], k = a[SELECTED].shape[0];
    const int64_t stay = a[DST].shape[0], rows = stay + n - k;
    const int32_t *candidates = tkp__cpu_i32(&a[CANDIDATES]);
    const int32_t *selected = tkp__cpu_i32(&a[SELECTED]);
    int32_t *dst = tkp__data(&a[DST]);
    uint8_t *gone = (uint8_t *)r->workspace + p->gone_at;
    TKP__CHECK(
        rows <= p->rows, TKP_ERR_SHAPE,
        "dst: makes %lld rows, the plan was made for %lld", (long long)rows,
        (long long)p->rows);
    TKP__TRY(tkp__cpu_check_index(&a[CANDIDATES], n, rows, "candidates"));
    TKP__TRY(tkp__cpu_check_index(&a[SELECTED], k, n, "selected"));
    memset(gone, 0, (size_t)rows);
    for (int64_t i = 0; i < n; i++) {
        TKP__CHECK(
            !gone[candidates[i]], TKP_ERR_ARGUMENT,
            "candidates[%lld] is %d, which came before", (long long)i,
            (int)candidates[i]);
        gone[candidates[i]] = 1;
    }
    for (int64_t i = 0; i < k; i++) {
        TKP__CHECK(
            gone[candidates[selected[i]]], TKP_ERR_ARGUMENT,
            "selected[%lld] is %d, which came before", (long long)i,
            (int)selected[i]);
        gone[candidates[selected[i]]] = 0;
    }
    /* The write comes first, so that nothing is jumped over: one past the end
     * is never reached, since `stay` rows stay. */
    int64_t kept = 0;
    for (int64_t i = 0; kept < stay; i++) {
        dst[kept] = (int32_t)i;
        kept += !gone[i];
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_compact = {
    .kind = TKP_OP_COMPACT,
    .plan_bytes = sizeof(struct compact_plan),
    .supports = NULL,
    .plan = plan_compact,
    .run = run_compact,
    .destroy = NULL,
};
