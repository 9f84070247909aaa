/*
 * ROTARY_TABLE and ROTARY. The table is made with the C library's functions in
 * the order of the published models: its numbers are the reference's, bit for
 * bit.
 */

#include <math.h>

#include "cpu/cpu.h"

/* --- ROTARY_TABLE ------------------------------------------------------------ */

struct table_plan {
    tkp__cpu_plan base;
    double theta;
    int32_t section[3];
    int32_t reserved;
    uint64_t inverse_at; /* [C / 2] f32 */
};

static tkp_status plan_table(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct table_plan *p = (struct table_plan *)base;
    const tkp_op_rotary_table *params = desc->params;
    (void)kernel_out;
    p->theta = params->theta;
    memcpy(p->section, params->section, sizeof(p->section));
    return tkp_sys_ledger_book(
        ledger, (uint64_t)desc->args[1].shape[1] * 4, &p->inverse_at);
}

/* Row of the positions that pair i follows. */
static int64_t axis_of(const struct table_plan *p, int64_t i)
{
    return i < p->section[0] ? 0 : i < p->section[0] + p->section[1] ? 1 : 2;
}

static tkp_status run_table(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { POSITIONS, COS, SIN };
    const struct table_plan *p = (const struct table_plan *)base;
    const tkp_tensor *a = r->args;
    const int64_t m = a[COS].shape[0], half = a[COS].shape[1];
    const bool axes = a[POSITIONS].shape[0] == 3;
    const int32_t *positions = tkp__cpu_i32(&a[POSITIONS]);
    float *inverse = (float *)(void *)(r->workspace + p->inverse_at);
    float *cosines = tkp__data(&a[COS]), *sines = tkp__data(&a[SIN]);
    for (int64_t i = 0; i < half; i++) {
        const float e = (float)(2 * i) / (float)(2 * half);
        inverse[i] = 1.0f / (float)pow(p->theta, (double)e);
    }
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(m * half * 8))
    for (int64_t row = 0; row < m; row++)
        for (int64_t i = 0; i < half; i++) {
            const int64_t axis = axes ? axis_of(p, i) : 0;
            const int32_t at =
                positions[axes ? axis * a[POSITIONS].strides[0] + row : row];
            const float angle = (float)at * inverse[i];
            cosines[row * half + i] = cosf(angle);
            sines[row * half + i] = sinf(angle);
        }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_rotary_table = {
    .kind = TKP_OP_ROTARY_TABLE,
    .plan_bytes = sizeof(struct table_plan),
    .supports = NULL,
    .plan = plan_table,
    .run = run_table,
    .destroy = NULL,
};

/* --- ROTARY ------------------------------------------------------------------ */

static tkp_status run_rotary(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { X, COS, SIN, DST };
    const tkp_tensor *a = r->args;
    const int64_t m = a[X].shape[0], h = a[X].shape[1], c = a[X].shape[2];
    const size_t bytes = tkp__cpu_bytes(a[X].dtype);
#pragma omp parallel for num_threads(                                          \
    base->threads) if (tkp__cpu_worth_threads(m * h * c))
    for (int64_t i = 0; i < m; i++) {
        const char *x = tkp__cpu_row(&a[X], i, bytes);
        char *dst = tkp__cpu_row(&a[DST], i, bytes);
        for (int64_t head = 0; head < h; head++)
            base->kernels->rotary(
                dst + (size_t)(head * c) * bytes,
                x + (size_t)(head * c) * bytes, a[X].dtype,
                (const float *)(void *)tkp__cpu_row(&a[COS], i, 4),
                (const float *)(void *)tkp__cpu_row(&a[SIN], i, 4), c / 2);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_rotary = {
    .kind = TKP_OP_ROTARY,
    .plan_bytes = sizeof(tkp__cpu_plan),
    .supports = NULL,
    .plan = NULL,
    .run = run_rotary,
    .destroy = NULL,
};
