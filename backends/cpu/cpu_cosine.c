/*
 * ROW_NORM, COSINE, COSINE_PAIRS: lengths of rows and angles between them.
 */

#include <omp.h>

#include "cpu/cpu.h"

/* --- ROW_NORM ---------------------------------------------------------------- */

struct norm_plan {
    tkp__cpu_plan base;
    int32_t norm;
    int32_t reserved;
};

static tkp_status plan_norm(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    (void)kernel_out;
    (void)ledger;
    ((struct norm_plan *)base)->norm =
        ((const tkp_op_row_norm *)desc->params)->norm;
    return TKP_OK;
}

static tkp_status run_norm(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { X, ROWS, DST };
    const tkp_tensor *a = r->args;
    const int64_t n = a[DST].shape[0], d = a[X].shape[1];
    const size_t bytes = tkp__cpu_bytes(a[X].dtype);
    const bool l2 = ((const struct norm_plan *)base)->norm == TKP_NORM_L2;
    const int32_t *rows = NULL;
    float *dst = tkp__data(&a[DST]);
    if (tkp__present(&a[ROWS])) {
        TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[X].shape[0], "rows"));
        rows = tkp__cpu_i32(&a[ROWS]);
    }
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(n * d))
    for (int64_t i = 0; i < n; i++) {
        const char *row = tkp__cpu_row(&a[X], rows ? rows[i] : i, bytes);
        dst[i] =
            l2 ? __builtin_sqrtf(base->kernels->sum_squares(row, a[X].dtype, d))
               : base->kernels->sum_abs(row, a[X].dtype, d);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_row_norm = {
    .kind = TKP_OP_ROW_NORM,
    .plan_bytes = sizeof(struct norm_plan),
    .supports = NULL,
    .plan = plan_norm,
    .run = run_norm,
    .destroy = NULL,
};

/* --- COSINE ------------------------------------------------------------------ */

struct cosine_plan {
    tkp__cpu_plan base;
    uint64_t reference_at; /* [D] f32 */
};

static tkp_status plan_cosine(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct cosine_plan *p = (struct cosine_plan *)base;
    (void)kernel_out;
    return tkp_sys_ledger_book(
        ledger, (uint64_t)desc->args[0].shape[1] * 4, &p->reference_at);
}

static tkp_status run_cosine(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { X, ROWS, OFFSETS, REFERENCE, DST };
    const struct cosine_plan *p = (const struct cosine_plan *)base;
    const tkp__cpu_kernels *k = base->kernels;
    const tkp_tensor *a = r->args;
    const int64_t n = a[DST].shape[0], d = a[X].shape[1];
    const size_t bytes = tkp__cpu_bytes(a[X].dtype);
    const size_t reference_bytes = tkp__cpu_bytes(a[REFERENCE].dtype);
    const int32_t *rows = tkp__cpu_i32(&a[ROWS]);
    const int32_t *offsets = tkp__cpu_i32(&a[OFFSETS]);
    float *reference = (float *)(void *)(r->workspace + p->reference_at);
    float *dst = tkp__data(&a[DST]);
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[X].shape[0], "rows"));
    TKP__TRY(tkp__cpu_check_covering(&a[OFFSETS], n, "offsets"));
    for (int64_t b = 0; b + 1 < a[OFFSETS].shape[0]; b++) {
        k->convert(
            reference, TKP_DTYPE_F32,
            tkp__cpu_row(&a[REFERENCE], b, reference_bytes), a[REFERENCE].dtype,
            d);
        const float rr = k->sum_squares(reference, TKP_DTYPE_F32, d);
        const int64_t work = (offsets[b + 1] - offsets[b]) * d;
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(work))
        for (int64_t i = offsets[b]; i < offsets[b + 1]; i++) {
            float xr_xx[2];
            k->dot_and_square(
                xr_xx, tkp__cpu_row(&a[X], rows[i], bytes), a[X].dtype,
                reference, d);
            dst[i] =
                rr == 0 || xr_xx[1] == 0
                    ? 0
                    : (float)((double)xr_xx[0] / (__builtin_sqrt((double)xr_xx[1]) * __builtin_sqrt((double)rr)));
        }
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_cosine = {
    .kind = TKP_OP_COSINE,
    .plan_bytes = sizeof(struct cosine_plan),
    .supports = NULL,
    .plan = plan_cosine,
    .run = run_cosine,
    .destroy = NULL,
};

/* --- COSINE_PAIRS ------------------------------------------------------------ */

enum { PX, PROWS, POFFSETS, PDST };
enum { TILE = TKP__CPU_TILE };

struct pairs_plan {
    tkp__cpu_plan base;
    int32_t reduce;
    int32_t reserved;
    uint64_t unit_at;             /* [N, D] f32 rows of length 1 (or 0) */
    uint64_t tile_at, tile_bytes; /* of each thread: products, packed rows */
};

static tkp_status plan_pairs(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct pairs_plan *p = (struct pairs_plan *)base;
    (void)kernel_out;
    p->reduce = ((const tkp_op_cosine_pairs *)desc->params)->reduce;
    p->tile_bytes =
        (uint64_t)TILE * TILE * 4 + base->kernels->product_scratch();
    TKP__TRY(tkp_sys_ledger_book(
        ledger,
        (uint64_t)(desc->args[PDST].shape[0] * desc->args[PX].shape[1]) * 4,
        &p->unit_at));
    return tkp_sys_ledger_book(
        ledger, p->tile_bytes * (uint64_t)base->threads, &p->tile_at);
}

static void unit_row(
    const tkp__cpu_kernels *k,
    const tkp_tensor *x,
    int64_t row,
    float *dst)
{
    const size_t bytes = tkp__cpu_bytes(x->dtype);
    const int64_t d = x->shape[1];
    k->convert(dst, TKP_DTYPE_F32, tkp__cpu_row(x, row, bytes), x->dtype, d);
    const double square = (double)k->sum_squares(dst, TKP_DTYPE_F32, d);
    const float inverse =
        square == 0 ? 0 : (float)(1.0 / __builtin_sqrt(square));
    for (int64_t i = 0; i < d; i++)
        dst[i] *= inverse;
}

/* Rows i0 .. of a sequence of n unit rows against all of it, in order. */
static void pairs_block(
    const struct pairs_plan *p,
    const float *unit,
    int64_t n,
    int64_t d,
    int64_t i0,
    char *scratch,
    float *dst)
{
    float *tile = (float *)(void *)scratch; /* [TILE][TILE] */
    const int64_t rows = tkp__cpu_min(TILE, n - i0);
    const bool mean = p->reduce == TKP_ROW_REDUCE_MEAN;
    double sum[TILE];
    for (int64_t i = 0; i < rows; i++)
        sum[i] = mean ? 0 : -__builtin_inf();
    for (int64_t j0 = 0; j0 < n; j0 += TILE) {
        const int64_t columns = tkp__cpu_min(TILE, n - j0);
        p->base.kernels->product(
            tile, unit + i0 * d, d, unit + j0 * d, d, rows, columns, d,
            scratch + (size_t)TILE * TILE * 4);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) {
                const double s = (double)tile[i * TILE + j];
                if (i0 + i == j0 + j)
                    continue;
                if (mean)
                    sum[i] += s;
                else if (s > sum[i] || s != s)
                    sum[i] = sum[i] != sum[i] ? sum[i] : s;
            }
    }
    for (int64_t i = 0; i < rows; i++)
        dst[i0 + i] = n < 2  ? 0
                      : mean ? (float)(sum[i] / (double)(n - 1))
                             : (float)sum[i];
}

static tkp_status run_pairs(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct pairs_plan *p = (const struct pairs_plan *)base;
    const tkp_tensor *a = r->args;
    const int64_t n = a[PDST].shape[0], d = a[PX].shape[1];
    const int32_t *rows = tkp__cpu_i32(&a[PROWS]);
    const int32_t *offsets = tkp__cpu_i32(&a[POFFSETS]);
    float *unit = (float *)(void *)(r->workspace + p->unit_at);
    TKP__TRY(tkp__cpu_check_index(&a[PROWS], n, a[PX].shape[0], "rows"));
    TKP__TRY(tkp__cpu_check_covering(&a[POFFSETS], n, "offsets"));
#pragma omp parallel for num_threads(base->threads)
    for (int64_t i = 0; i < n; i++)
        unit_row(base->kernels, &a[PX], rows[i], unit + i * d);
    for (int64_t b = 0; b + 1 < a[POFFSETS].shape[0]; b++) {
        const int64_t from = offsets[b], count = offsets[b + 1] - from;
#pragma omp parallel for num_threads(base->threads) schedule(dynamic, 1)
        for (int64_t i = 0; i < count; i += TILE)
            pairs_block(
                p, unit + from * d, count, d, i,
                r->workspace + p->tile_at +
                    (uint64_t)omp_get_thread_num() * p->tile_bytes,
                (float *)tkp__data(&a[PDST]) + from);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_cosine_pairs = {
    .kind = TKP_OP_COSINE_PAIRS,
    .plan_bytes = sizeof(struct pairs_plan),
    .supports = NULL,
    .plan = plan_pairs,
    .run = run_pairs,
    .destroy = NULL,
};
