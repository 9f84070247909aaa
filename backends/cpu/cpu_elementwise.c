/*
 * ACTIVATION, ADD, CAST: a row at a time; PATCHES: pixels in another order.
 */

#include "cpu/cpu.h"

/* --- ACTIVATION -------------------------------------------------------------- */

struct activation_plan {
    tkp__cpu_plan base;
    int32_t function;
    int32_t reserved;
};

static tkp_status plan_activation(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    (void)kernel_out;
    (void)ledger;
    ((struct activation_plan *)base)->function =
        ((const tkp_op_activation *)desc->params)->function;
    return TKP_OK;
}

static tkp_status
run_activation(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { A, B, DST };
    const tkp_tensor *a = r->args;
    const int32_t function = ((const struct activation_plan *)base)->function;
    const int64_t m = a[A].shape[0], n = a[A].shape[1];
    const size_t bytes = tkp__cpu_bytes(a[A].dtype);
    const bool gated = tkp__present(&a[B]);
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(m * n))
    for (int64_t i = 0; i < m; i++)
        base->kernels->activation(
            tkp__cpu_row(&a[DST], i, bytes), tkp__cpu_row(&a[A], i, bytes),
            gated ? tkp__cpu_row(&a[B], i, bytes) : NULL, a[A].dtype, function,
            n);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_activation = {
    .kind = TKP_OP_ACTIVATION,
    .plan_bytes = sizeof(struct activation_plan),
    .supports = NULL,
    .plan = plan_activation,
    .run = run_activation,
    .destroy = NULL,
};

/* --- ADD ------------------------------------------------------------------- */

static tkp_status run_add(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { A, B, DST };
    const tkp_tensor *a = r->args;
    const int64_t m = a[A].shape[0], n = a[A].shape[1], mb = a[B].shape[0];
    const size_t bytes = tkp__cpu_bytes(a[A].dtype);
    const size_t b_bytes = tkp__cpu_bytes(a[B].dtype);
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(m * n))
    for (int64_t i = 0; i < m; i++)
        base->kernels->add(
            tkp__cpu_row(&a[DST], i, bytes), tkp__cpu_row(&a[A], i, bytes),
            a[A].dtype, tkp__cpu_row(&a[B], i % mb, b_bytes), a[B].dtype, n);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_add = {
    .kind = TKP_OP_ADD,
    .plan_bytes = sizeof(tkp__cpu_plan),
    .supports = NULL,
    .plan = NULL,
    .run = run_add,
    .destroy = NULL,
};

/* --- CAST ------------------------------------------------------------------ */

/* Elements a thread takes at a time. */
#define PIECE 16384

static void cast_flat(
    const tkp__cpu_plan *base,
    char *dst,
    int32_t dst_dtype,
    const char *src,
    int32_t src_dtype,
    int64_t n)
{
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(n))
    for (int64_t i = 0; i < n; i += PIECE)
        base->kernels->convert(
            dst + (size_t)i * tkp__cpu_bytes(dst_dtype), dst_dtype,
            src + (size_t)i * tkp__cpu_bytes(src_dtype), src_dtype,
            tkp__cpu_min(PIECE, n - i));
}

static tkp_status run_cast(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const tkp_tensor *x = &r->args[0], *dst = &r->args[1];
    const int64_t n = tkp_tensor_count(x);
    if (n == 0)
        return TKP_OK;
    if (tkp_tensor_is_contiguous(x)) {
        cast_flat(base, tkp__data(dst), dst->dtype, tkp__data(x), x->dtype, n);
        return TKP_OK;
    }
    /* Gaps lie between rows only. */
    const int64_t m = x->shape[0], d = n / m;
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(n))
    for (int64_t i = 0; i < m; i++)
        base->kernels->convert(
            (char *)tkp__data(dst) +
                (size_t)(i * d) * tkp__cpu_bytes(dst->dtype),
            dst->dtype, tkp__cpu_row(x, i, tkp__cpu_bytes(x->dtype)), x->dtype,
            d);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_cast = {
    .kind = TKP_OP_CAST,
    .plan_bytes = sizeof(tkp__cpu_plan),
    .supports = NULL,
    .plan = NULL,
    .run = run_cast,
    .destroy = NULL,
};

/* --- PATCHES --------------------------------------------------------------- */

struct patches_plan {
    tkp__cpu_plan base;
    int64_t patch;
};

static tkp_status plan_patches(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    (void)kernel_out;
    (void)ledger;
    ((struct patches_plan *)base)->patch =
        ((const tkp_op_patches *)desc->params)->patch;
    return TKP_OK;
}

static tkp_status run_patches(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const tkp_tensor *x = &r->args[0], *dst = &r->args[1];
    const int64_t p = ((const struct patches_plan *)base)->patch;
    const int64_t s = x->shape[2], t = x->shape[3];
    const int64_t down = s / p, across = t / p;
    const int64_t rows = x->shape[0] * down * across;
    const size_t bytes = tkp__cpu_bytes(dst->dtype);
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(rows * 3 * p * p))
    for (int64_t row = 0; row < rows; row++) {
        const int64_t v = row / (down * across);
        const int64_t y0 = row / across % down * p, x0 = row % across * p;
        const char *picture = tkp__cpu_row(x, v, 4);
        char *out = (char *)tkp__data(dst) + (size_t)(row * 3 * p * p) * bytes;
        for (int64_t line = 0; line < 3 * p; line++)
            base->kernels->convert(
                out + (size_t)(line * p) * bytes, dst->dtype,
                picture + (size_t)((line / p * s + y0 + line % p) * t + x0) * 4,
                TKP_DTYPE_F32, p);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_patches = {
    .kind = TKP_OP_PATCHES,
    .plan_bytes = sizeof(struct patches_plan),
    .supports = NULL,
    .plan = plan_patches,
    .run = run_patches,
    .destroy = NULL,
};
