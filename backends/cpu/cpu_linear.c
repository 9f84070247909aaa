/*
 * LINEAR: dst = x w^T (+ bias), rounded, then (+ residual), rounded again.
 *
 * Few rows of x read the weights once and are bound by memory: kernels of our
 * own, which need no packing. Many rows are oneDNN's: bf16 by bf16 or f32 by
 * f32 where they lie. Other pairs of dtypes are made f32, the weights a block
 * of rows at a time.
 */

#include "cpu/cpu.h"
#include "cpu/cpu_exec.h"

enum { X, W, BIAS, RESIDUAL, DST };

/* Rows of x up to which the weights are read by our kernel. On one Zen 4 core
 * at 4096 to 11008 in bf16 it takes 5.6 ms for 1 row, 7.5 for 4 and 13 for 8
 * (x leaves the first cache); oneDNN takes 10 for 9, 33 for 64. Where weights
 * would have to be converted first, ours is better for longer. */
#define SKINNY_PLAIN     4
#define SKINNY_CONVERTED 16
/* Rows of weights made f32 at a time: 4 MiB of them at K = 4096. */
#define CONVERT_ROWS 256

struct linear_plan {
    tkp__cpu_plan base;
    int32_t product;   /* oneDNN takes the dtypes as they are */
    int32_t converted; /* oneDNN takes them as f32 */
    void *packed;      /* reordered weights, or NULL */
    uint64_t scratch_bytes;
    uint64_t scratch_at; /* oneDNN's scratchpad */
    uint64_t x_at;       /* [M, K] f32 */
    uint64_t w_at;       /* [CONVERT_ROWS, K] f32 */
    uint64_t y_at;       /* [M, N] of dst's dtype, or [M, CONVERT_ROWS] f32 */
};

/* One run: sizes and addresses. */
struct linear {
    const struct linear_plan *plan;
    const tkp__cpu_kernels *kernels;
    struct tkp__cpu_exec *exec;
    char *workspace;
    int64_t m, n, k, ldx, ldw, ldr;
    const char *x, *w;
    const void *bias;
    const char *residual;
    char *dst;
    int32_t x_dtype, w_dtype, d_dtype, bias_dtype;
    int32_t threads;
    int32_t reserved;
};

/* --- plan ------------------------------------------------------------------ */

static tkp__cpu_product_key
key_of(int64_t m, int64_t n, int64_t k, int32_t x_dtype, int32_t d_dtype)
{
    tkp__cpu_product_key key;
    memset(&key, 0, sizeof(key));
    key.m = m;
    key.n = n;
    key.k = k;
    key.ldx = k;
    key.ldw = k;
    key.ldd = n;
    key.x_dtype = x_dtype;
    key.w_dtype = x_dtype;
    key.d_dtype = d_dtype;
    return key;
}

/* Does oneDNN have it, and how much scratchpad does the largest shape want? */
static bool probe(struct linear_plan *p, const tkp__cpu_product_key *key)
{
    tkp__cpu_product *product;
    if (tkp__cpu_product_create(&product, key) != TKP_OK)
        return false;
    const uint64_t bytes = tkp__cpu_product_scratch(product);
    if (bytes > p->scratch_bytes)
        p->scratch_bytes = bytes;
    tkp__cpu_product_destroy(product);
    return true;
}

static tkp_status
plan_product(struct linear_plan *p, tkp_ledger *ledger, const tkp_op_desc *desc)
{
    const tkp_tensor *a = desc->args;
    const tkp_op_linear *params = desc->params;
    tkp__cpu_product_key key = key_of(
        a[X].shape[0], a[W].shape[0], a[W].shape[1], a[X].dtype, a[DST].dtype);
    key.bias_dtype = tkp__present(&a[BIAS]) ? a[BIAS].dtype : TKP_DTYPE_NONE;
    key.threads = p->base.threads;
    p->product = probe(p, &key);
    if (!p->product)
        return TKP_OK;
    if (params->pack == TKP_PACK_ALWAYS && tkp__data(&a[W]) &&
        a[W].strides[0] == key.k) {
        key.packed = 1;
        /* Not being able to pack is no reason to fail. */
        if (probe(p, &key) &&
            tkp__cpu_dnnl_pack(&p->packed, &key, tkp__data(&a[W])) != TKP_OK)
            p->packed = NULL;
    }
    if (tkp__present(&a[RESIDUAL]) && a[DST].dtype != TKP_DTYPE_F32)
        TKP__TRY(tkp_sys_ledger_book(
            ledger, (uint64_t)(key.m * key.n) * 2, &p->y_at));
    return TKP_OK;
}

static tkp_status plan_converted(
    struct linear_plan *p,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    const tkp_tensor *a = desc->args;
    const int64_t m = a[X].shape[0], k = a[W].shape[1];
    const int64_t block = tkp__cpu_min(a[W].shape[0], CONVERT_ROWS);
    tkp__cpu_product_key key =
        key_of(m, block, k, TKP_DTYPE_F32, TKP_DTYPE_F32);
    key.threads = p->base.threads;
    p->converted = probe(p, &key);
    if (!p->converted)
        return TKP_OK;
    if (a[W].dtype != TKP_DTYPE_F32)
        TKP__TRY(
            tkp_sys_ledger_book(ledger, (uint64_t)(block * k) * 4, &p->w_at));
    return tkp_sys_ledger_book(ledger, (uint64_t)(m * block) * 4, &p->y_at);
}

static tkp_status plan(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct linear_plan *p = (struct linear_plan *)base;
    const tkp_tensor *a = desc->args;
    const int64_t m = a[X].shape[0], k = a[W].shape[1];
    *kernel_out = "rows";
    if (m > SKINNY_PLAIN && k > 0 && tkp__cpu_dnnl_enabled()) {
        if (a[X].dtype == a[W].dtype)
            TKP__TRY(plan_product(p, ledger, desc));
        if (!p->product && m > SKINNY_CONVERTED)
            TKP__TRY(plan_converted(p, ledger, desc));
        *kernel_out = p->packed      ? "dnnl_packed+rows"
                      : p->product   ? "dnnl+rows"
                      : p->converted ? "dnnl_f32+rows"
                                     : "rows";
        TKP__TRY(tkp_sys_ledger_book(ledger, p->scratch_bytes, &p->scratch_at));
    }
    /* bf16 rows of x are made f32 for kernels that do not take pairs. */
    if (a[X].dtype != TKP_DTYPE_F32)
        TKP__TRY(tkp_sys_ledger_book(ledger, (uint64_t)(m * k) * 4, &p->x_at));
    return TKP_OK;
}

static void destroy(tkp__cpu_plan *base)
{
    struct linear_plan *p = (struct linear_plan *)base;
    tkp__free(p->packed);
}

/* --- pieces of a run --------------------------------------------------------- */

static void x_to_f32(struct linear *l)
{
    if (l->x_dtype == TKP_DTYPE_F32)
        return;
    float *x = (float *)(void *)(l->workspace + l->plan->x_at);
#pragma omp parallel for num_threads(l->threads) if (l->m > 8)
    for (int64_t i = 0; i < l->m; i++)
        l->kernels->convert(
            x + i * l->k, TKP_DTYPE_F32, l->x + (size_t)(i * l->ldx) * 2,
            l->x_dtype, l->k);
    l->x = (const char *)x;
    l->ldx = l->k;
    l->x_dtype = TKP_DTYPE_F32;
}

/* Rows of weights in pieces: any split gives the same numbers, since each
 * output is one dot product. */
static void run_rows(struct linear *l)
{
    const bool pairs = l->kernels->bf16_dots && l->w_dtype == TKP_DTYPE_BF16 &&
                       l->x_dtype == TKP_DTYPE_BF16;
    if (!pairs)
        x_to_f32(l);
    const size_t xb = tkp__cpu_bytes(l->x_dtype),
                 wb = tkp__cpu_bytes(l->w_dtype);
    const size_t db = tkp__cpu_bytes(l->d_dtype);
    const int64_t piece = 32, pieces = tkp__cpu_ceil(l->n, piece);
#pragma omp parallel for num_threads(l->threads) schedule(dynamic, 4)
    for (int64_t i = 0; i < pieces; i++)
        for (int64_t m = 0; m < l->m; m += TKP__CPU_SKINNY_M) {
            const int64_t n = i * piece;
            const tkp__cpu_skinny piece_of = {
                .x = l->x + (size_t)(m * l->ldx) * xb,
                .w = l->w + (size_t)(n * l->ldw) * wb,
                .bias = l->bias ? (const char *)l->bias +
                                      (size_t)n * tkp__cpu_bytes(l->bias_dtype)
                                : NULL,
                .residual = l->residual
                                ? l->residual + (size_t)(m * l->ldr + n) * db
                                : NULL,
                .dst = l->dst + (size_t)(m * l->n + n) * db,
                .ldx = l->ldx,
                .ldw = l->ldw,
                .ldr = l->ldr,
                .ldd = l->n,
                .n = tkp__cpu_min(piece, l->n - n),
                .k = l->k,
                .m = (int32_t)tkp__cpu_min(TKP__CPU_SKINNY_M, l->m - m),
                .x_dtype = l->x_dtype,
                .w_dtype = l->w_dtype,
                .d_dtype = l->d_dtype,
                .bias_dtype = l->bias_dtype,
            };
            l->kernels->skinny(&piece_of);
        }
}

/* dst = y + residual, y of dst's dtype (and perhaps dst itself). */
static void add_residual(const struct linear *l, const char *y)
{
    const size_t row = (size_t)l->n * tkp__cpu_bytes(l->d_dtype);
#pragma omp parallel for num_threads(l->threads)
    for (int64_t i = 0; i < l->m; i++)
        l->kernels->add(
            l->dst + (size_t)i * row, y + (size_t)i * row, l->d_dtype,
            l->residual + (size_t)(i * l->ldr) * tkp__cpu_bytes(l->d_dtype),
            l->d_dtype, l->n);
}

static tkp_status run_product(struct linear *l)
{
    const struct linear_plan *p = l->plan;
    const bool in_place = l->residual == l->dst;
    const bool f32 = l->d_dtype == TKP_DTYPE_F32;
    /* What was packed had no gaps between rows. */
    const void *packed = l->ldw == l->k ? p->packed : NULL;
    char *y = l->dst;
    tkp__cpu_product_key key = key_of(l->m, l->n, l->k, l->x_dtype, l->d_dtype);
    key.ldx = l->ldx;
    key.ldw = l->ldw;
    key.bias_dtype = l->bias_dtype;
    key.threads = l->threads;
    key.packed = packed != NULL;
    /* The sum in f32 is the same as rounding first; in bf16 it is not. */
    if (in_place && f32)
        key.accumulate = 1;
    else if (in_place)
        y = l->workspace + p->y_at;
    TKP__TRY(tkp__cpu_exec_product(
        l->exec, &key, l->x, packed ? packed : l->w, l->bias, y,
        l->workspace + p->scratch_at, p->scratch_bytes));
    if (l->residual && !key.accumulate)
        add_residual(l, y);
    return TKP_OK;
}

/* Columns n0 .. n0 + n of dst from their f32 product. */
static void
finish_block(const struct linear *l, const float *y, int64_t n0, int64_t n)
{
    const size_t db = tkp__cpu_bytes(l->d_dtype);
    const tkp__cpu_kernels *k = l->kernels;
#pragma omp parallel for num_threads(l->threads)
    for (int64_t i = 0; i < l->m; i++) {
        char *dst = l->dst + (size_t)(i * l->n + n0) * db;
        float *row = (float *)(uintptr_t)(y + i * n);
        if (l->bias)
            k->add(
                row, row, TKP_DTYPE_F32,
                (const char *)l->bias +
                    (size_t)n0 * tkp__cpu_bytes(l->bias_dtype),
                l->bias_dtype, n);
        const void *rest =
            l->residual ? l->residual + (size_t)(i * l->ldr + n0) * db : NULL;
        if (rest && l->d_dtype == TKP_DTYPE_F32) {
            k->add(dst, row, TKP_DTYPE_F32, rest, TKP_DTYPE_F32, n);
        } else if (rest) {
            /* Rounded in place of the f32 row: 2 bytes are behind 4. */
            k->convert(row, l->d_dtype, row, TKP_DTYPE_F32, n);
            k->add(dst, row, l->d_dtype, rest, l->d_dtype, n);
        } else {
            k->convert(dst, l->d_dtype, row, TKP_DTYPE_F32, n);
        }
    }
}

static const char *w_to_f32(const struct linear *l, int64_t n0, int64_t n)
{
    const size_t wb = tkp__cpu_bytes(l->w_dtype);
    const char *from = l->w + (size_t)(n0 * l->ldw) * wb;
    if (l->w_dtype == TKP_DTYPE_F32)
        return from;
    float *w = (float *)(void *)(l->workspace + l->plan->w_at);
#pragma omp parallel for num_threads(l->threads)
    for (int64_t i = 0; i < n; i++)
        l->kernels->convert(
            w + i * l->k, TKP_DTYPE_F32, from + (size_t)(i * l->ldw) * wb,
            l->w_dtype, l->k);
    return (const char *)w;
}

static tkp_status run_converted(struct linear *l)
{
    const struct linear_plan *p = l->plan;
    float *y = (float *)(void *)(l->workspace + p->y_at);
    x_to_f32(l);
    for (int64_t n0 = 0; n0 < l->n; n0 += CONVERT_ROWS) {
        const int64_t n = tkp__cpu_min(CONVERT_ROWS, l->n - n0);
        const char *w = w_to_f32(l, n0, n);
        tkp__cpu_product_key key =
            key_of(l->m, n, l->k, TKP_DTYPE_F32, TKP_DTYPE_F32);
        key.ldx = l->ldx;
        key.ldw = l->w_dtype == TKP_DTYPE_F32 ? l->ldw : l->k;
        key.threads = l->threads;
        TKP__TRY(tkp__cpu_exec_product(
            l->exec, &key, l->x, w, NULL, y, l->workspace + p->scratch_at,
            p->scratch_bytes));
        finish_block(l, y, n0, n);
    }
    return TKP_OK;
}

/* --- run ------------------------------------------------------------------- */

static int64_t row_stride(const tkp_tensor *t)
{
    return t->shape[0] > 1 ? t->strides[0] : t->shape[1];
}

static tkp_status run(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const tkp_tensor *a = r->args;
    struct linear l = {
        .plan = (const struct linear_plan *)base,
        .kernels = base->kernels,
        .exec = r->exec,
        .workspace = r->workspace,
        .m = a[X].shape[0],
        .n = a[W].shape[0],
        .k = a[W].shape[1],
        .ldx = row_stride(&a[X]),
        .ldw = row_stride(&a[W]),
        .x = tkp__data(&a[X]),
        .w = tkp__data(&a[W]),
        .dst = tkp__data(&a[DST]),
        .x_dtype = a[X].dtype,
        .w_dtype = a[W].dtype,
        .d_dtype = a[DST].dtype,
        .threads = base->threads,
    };
    if (l.m == 0 || l.n == 0)
        return TKP_OK;
    if (tkp__present(&a[BIAS])) {
        l.bias = tkp__data(&a[BIAS]);
        l.bias_dtype = a[BIAS].dtype;
    }
    if (tkp__present(&a[RESIDUAL])) {
        l.residual = tkp__data(&a[RESIDUAL]);
        l.ldr = row_stride(&a[RESIDUAL]);
    }
    /* Rows that overlap (a broadcast) are nothing oneDNN takes. */
    const bool plain = l.ldx >= l.k && l.ldw >= l.k && r->exec;
    if (l.m > SKINNY_PLAIN && plain && l.plan->product)
        return run_product(&l);
    if (l.m > SKINNY_CONVERTED && plain && l.plan->converted)
        return run_converted(&l);
    run_rows(&l);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_linear = {
    .kind = TKP_OP_LINEAR,
    .plan_bytes = sizeof(struct linear_plan),
    .supports = NULL,
    .plan = plan,
    .run = run,
    .destroy = destroy,
};
