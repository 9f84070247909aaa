/*
 * SIMILARITY: rows of text with candidates; a row of x is read once.
 */

#include "cpu/cpu.h"

enum { X, ROWS, OFFSETS, MEMBERS, Y, RANGE, DST };

struct similarity_plan {
    tkp__cpu_plan base;
    tkp_op_similarity params;
    uint64_t text_at;   /* [T, D] f32 */
    uint64_t square_at; /* [T] f32 */
};

static tkp_status plan_similarity(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct similarity_plan *p = (struct similarity_plan *)base;
    const uint64_t t = (uint64_t)desc->args[Y].shape[0];
    (void)kernel_out;
    memcpy(&p->params, desc->params, sizeof(p->params));
    TKP__TRY(tkp_sys_ledger_book(
        ledger, t * (uint64_t)desc->args[Y].shape[1] * 4, &p->text_at));
    return tkp_sys_ledger_book(ledger, t * 4, &p->square_at);
}

static int32_t member(const tkp_tensor *a, int64_t i)
{
    return tkp__present(&a[MEMBERS]) ? tkp__cpu_i32(&a[MEMBERS])[i]
                                     : (int32_t)i;
}

static tkp_status check_data(const tkp_tensor *a)
{
    const tkp_tensor *members = &a[MEMBERS];
    const int64_t n = a[ROWS].shape[0];
    const int64_t groups = a[RANGE].shape[0];
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[X].shape[0], "rows"));
    TKP__TRY(tkp__cpu_check_offsets(
        &a[OFFSETS], tkp__present(members) ? members->shape[0] : n,
        "group_offsets"));
    if (tkp__present(members))
        TKP__TRY(tkp__cpu_check_index(
            members, tkp__cpu_i32(&a[OFFSETS])[groups], n, "members"));
    return tkp__cpu_check_range(&a[RANGE], a[Y].shape[0], "y_range");
}

/* One candidate with the rows begin .. end. */
static void one_candidate(
    const struct similarity_plan *p,
    const tkp_tensor *a,
    const float *text,
    const float *square,
    const int32_t *range,
    int32_t j)
{
    const tkp_tensor *x = &a[X];
    const int64_t d = x->shape[1], n = a[ROWS].shape[0];
    const char *row =
        tkp__cpu_row(x, tkp__cpu_i32(&a[ROWS])[j], tkp__cpu_bytes(x->dtype));
    float *dst = tkp__data(&a[DST]);
    for (int32_t t = range[0]; t < range[1]; t++) {
        float xy_xx[2];
        p->base.kernels->dot_and_square(xy_xx, row, x->dtype, text + t * d, d);
        dst[t * n + j] =
            square[t] == 0 || xy_xx[1] == 0
                ? 0
                : (float)((double)xy_xx[0] / (__builtin_sqrt((double)xy_xx[1]) * __builtin_sqrt((double)square[t])));
    }
}

static void softmax(
    float *row,
    const tkp_tensor *a,
    const int32_t *o,
    double temperature,
    int32_t rows)
{
    double top = -__builtin_inf(), sum = 0;
    for (int64_t i = o[0]; i < o[1]; i++) {
        const double v = (double)row[member(a, i)];
        top = v > top || v != v ? v : top;
    }
    for (int64_t i = o[0]; i < o[1]; i++)
        sum += __builtin_exp(((double)row[member(a, i)] - top) / temperature);
    for (int64_t i = o[0]; i < o[1]; i++) {
        float *v = &row[member(a, i)];
        *v =
            (float)(__builtin_exp(((double)*v - top) / temperature) / (sum * (double)rows));
    }
}

static tkp_status
run_similarity(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct similarity_plan *p = (const struct similarity_plan *)base;
    const tkp_tensor *a = r->args;
    const int64_t rows = a[Y].shape[0], d = a[Y].shape[1];
    const int64_t n = a[ROWS].shape[0], groups = a[RANGE].shape[0];
    float *text = (float *)(void *)(r->workspace + p->text_at);
    float *square = (float *)(void *)(r->workspace + p->square_at);
    TKP__TRY(check_data(a));
    const int32_t *offsets = tkp__cpu_i32(&a[OFFSETS]);
    const int32_t *range = tkp__cpu_i32(&a[RANGE]);
    for (int64_t t = 0; t < rows; t++) {
        base->kernels->convert(
            text + t * d, TKP_DTYPE_F32,
            tkp__cpu_row(&a[Y], t, tkp__cpu_bytes(a[Y].dtype)), a[Y].dtype, d);
        square[t] = base->kernels->sum_squares(text + t * d, TKP_DTYPE_F32, d);
    }
    memset(tkp__data(&a[DST]), 0, (size_t)(rows * n) * 4);
    for (int64_t g = 0; g < groups; g++) {
        const int64_t work = (int64_t)(offsets[g + 1] - offsets[g]) * d *
                             (range[2 * g + 1] - range[2 * g]);
#pragma omp parallel for num_threads(base->threads)                            \
    schedule(static) if (tkp__cpu_worth_threads(work))
        for (int64_t i = offsets[g]; i < offsets[g + 1]; i++)
            one_candidate(p, a, text, square, range + 2 * g, member(a, i));
        if (p->params.kernel != TKP_SIMILARITY_SOFTMAX)
            continue;
        for (int32_t t = range[2 * g]; t < range[2 * g + 1]; t++)
            softmax(
                (float *)tkp__data(&a[DST]) + t * n, a, offsets + g,
                (double)p->params.temperature, range[2 * g + 1] - range[2 * g]);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_similarity = {
    .kind = TKP_OP_SIMILARITY,
    .plan_bytes = sizeof(struct similarity_plan),
    .supports = NULL,
    .plan = plan_similarity,
    .run = run_similarity,
    .destroy = NULL,
};
