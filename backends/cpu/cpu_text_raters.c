/*
 * TEXT_RATERS: each visual row is read once for all words; blocks of rows are
 * shared out, and their sums added in order.
 */

#include "cpu/cpu.h"

enum { X, ROWS, OFFSETS, TEXT, TEXT_OFFSETS, DST, RATERS };
enum { BLOCK = 32 }; /* rows */

struct raters_plan {
    tkp__cpu_plan base;
    uint64_t text_at;  /* [T, D] f32 */
    uint64_t share_at; /* [blocks + 1, T] f64; the last are the whole's */
    uint64_t logit_at; /* [blocks, T] f64 */
};

static int64_t blocks_of(int64_t rows)
{
    return (rows + BLOCK - 1) / BLOCK;
}

static tkp_status plan_raters(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct raters_plan *p = (struct raters_plan *)base;
    const tkp_tensor *a = desc->args;
    const uint64_t t = (uint64_t)a[TEXT].shape[0];
    const uint64_t blocks = (uint64_t)blocks_of(a[ROWS].shape[0]);
    (void)kernel_out;
    TKP__TRY(tkp_sys_ledger_book(
        ledger, t * (uint64_t)a[X].shape[1] * 4, &p->text_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, (blocks + 1) * t * 8, &p->share_at));
    return tkp_sys_ledger_book(ledger, blocks * t * 8, &p->logit_at);
}

/* Adds softmax of the logits of one visual token; they are overwritten. */
static void add_softmax(double *logit, int64_t words, double *share)
{
    double high = -__builtin_inf(), sum = 0;
    for (int64_t t = 0; t < words; t++)
        high = logit[t] > high ? logit[t] : high;
    for (int64_t t = 0; t < words; t++)
        sum += logit[t] = __builtin_exp(logit[t] - high);
    for (int64_t t = 0; t < words; t++)
        share[t] += logit[t] / sum;
}

/* Rows [first, end) of the list; false if a product is not finite. */
static bool add_block(
    const tkp__cpu_kernels *kernels,
    const tkp_tensor *a,
    int64_t first,
    int64_t end,
    const float *text,
    int64_t words,
    double *logit,
    double *share)
{
    const tkp_tensor *x = &a[X];
    const int64_t d = x->shape[1], bytes = tkp__cpu_bytes(x->dtype);
    for (int64_t t = 0; t < words; t++)
        share[t] = 0;
    for (int64_t v = first; v < end; v++) {
        const char *row = tkp__cpu_row(x, tkp__cpu_i32(&a[ROWS])[v], bytes);
        for (int64_t t = 0; t < words; t++) {
            float xy_xx[2];
            kernels->dot_and_square(xy_xx, row, x->dtype, text + t * d, d);
            logit[t] = (double)xy_xx[0];
            if (!__builtin_isfinite(xy_xx[0]))
                return false;
        }
        add_softmax(logit, words, share);
    }
    return true;
}

static void
choose(const double *share, int64_t words, float *dst, int32_t *raters)
{
    double mean = 0;
    int32_t chosen = 0;
    for (int64_t t = 0; t < words; t++)
        mean += share[t] / (double)words;
    for (int64_t t = 0; t < words; t++) {
        dst[t] = (float)share[t];
        /* what differs by rounding alone is alike */
        raters[t] = share[t] > mean * (1 + 1e-12);
        chosen += raters[t];
    }
    for (int64_t t = 0; !chosen && t < words; t++)
        raters[t] = 1;
}

static tkp_status
run_sequence(const struct raters_plan *p, const tkp__cpu_run *r, int64_t b)
{
    const tkp_tensor *a = r->args, *x = &a[X];
    const int32_t *o = tkp__cpu_i32(&a[OFFSETS]) + b;
    const int32_t *e = tkp__cpu_i32(&a[TEXT_OFFSETS]) + b;
    const int64_t d = x->shape[1], words = e[1] - e[0], rows = o[1] - o[0];
    const int64_t blocks = blocks_of(rows);
    float *text = (float *)(void *)(r->workspace + p->text_at);
    double *share = (double *)(void *)(r->workspace + p->share_at);
    double *logit = (double *)(void *)(r->workspace + p->logit_at);
    double *whole = share + blocks * words;
    int32_t bad = 0;
    for (int64_t t = 0; t < words; t++) {
        const int32_t row = tkp__cpu_i32(&a[TEXT])[e[0] + t];
        p->base.kernels->convert(
            text + t * d, TKP_DTYPE_F32,
            tkp__cpu_row(x, row, tkp__cpu_bytes(x->dtype)), x->dtype, d);
        whole[t] = 0;
    }
#pragma omp parallel for num_threads(p->base.threads) schedule(static)         \
    reduction(+ : bad) if (tkp__cpu_worth_threads(rows *words *d))
    for (int64_t i = 0; i < blocks; i++)
        bad += !add_block(
            p->base.kernels, a, o[0] + i * BLOCK,
            tkp__cpu_min(o[0] + (i + 1) * BLOCK, o[1]), text, words,
            logit + i * words, share + i * words);
    TKP__CHECK(
        bad == 0, TKP_ERR_DATA,
        "x: a product of a visual row and a word of sequence %lld is not "
        "finite",
        (long long)b);
    for (int64_t i = 0; i < blocks; i++)
        for (int64_t t = 0; t < words; t++)
            whole[t] += share[i * words + t];
    for (int64_t t = 0; rows && t < words; t++)
        whole[t] /= (double)rows;
    choose(
        whole, words, (float *)tkp__data(&a[DST]) + e[0],
        (int32_t *)tkp__data(&a[RATERS]) + e[0]);
    return TKP_OK;
}

static tkp_status run_raters(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct raters_plan *p = (const struct raters_plan *)base;
    const tkp_tensor *a = r->args;
    const int64_t n = a[ROWS].shape[0], t = a[TEXT].shape[0];
    TKP__TRY(tkp__cpu_check_covering(&a[OFFSETS], n, "offsets"));
    TKP__TRY(tkp__cpu_check_covering(&a[TEXT_OFFSETS], t, "text_offsets"));
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[X].shape[0], "rows"));
    TKP__TRY(tkp__cpu_check_index(&a[TEXT], t, a[X].shape[0], "text"));
    for (int64_t b = 0; b + 1 < a[OFFSETS].shape[0]; b++)
        TKP__TRY(run_sequence(p, r, b));
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_text_raters = {
    .kind = TKP_OP_TEXT_RATERS,
    .plan_bytes = sizeof(struct raters_plan),
    .supports = NULL,
    .plan = plan_raters,
    .run = run_raters,
    .destroy = NULL,
};
