/*
 * COSINE: similarity of each row to its sequence's reference.
 *
 *   dst[i] = x . r / (|x| |r|)      x = x[rows[i]], r = reference[b]
 *
 * Source: the redundancy term of the alpha blend, with the last token as the
 * reference. Open choices: 0 where a norm is 0 (not NaN, which would lose the
 * row); the quotient is not clamped to [-1, 1]; NaN goes through.
 */

#include "ref/ref.h"

enum { X, ROWS, OFFSETS, REFERENCE, DST };

static double cosine(
    const void *a,
    int32_t a_dtype,
    const void *b,
    int32_t b_dtype,
    int64_t d)
{
    const double aa = tkp__ref_dot(a, a_dtype, a, a_dtype, d);
    const double bb = tkp__ref_dot(b, b_dtype, b, b_dtype, d);
    if (aa == 0.0 || bb == 0.0)
        return 0.0;
    return tkp__ref_dot(a, a_dtype, b, b_dtype, d) / (sqrt(aa) * sqrt(bb));
}

static tkp_status
run_cosine(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    (void)plan;
    (void)workspace;
    const tkp_tensor *x = &args[X], *reference = &args[REFERENCE];
    const int64_t n = args[DST].shape[0];
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, x->shape[0], "rows"));
    TKP__TRY(tkp__ref_check_covering(&args[OFFSETS], n, "offsets"));

    const int32_t *rows = tkp__ref_i32(&args[ROWS]);
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    float *dst = tkp__data(&args[DST]);
    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++)
        for (int32_t i = offsets[b]; i < offsets[b + 1]; i++)
            dst[i] = (float)cosine(
                tkp__ref_row(x, rows[i]), x->dtype, tkp__ref_row(reference, b),
                reference->dtype, x->shape[1]);
    return TKP_OK;
}

const tkp__ref_op tkp__ref_cosine = {
    .kind = TKP_OP_COSINE,
    .kernel = "ref_cosine",
    .run = run_cosine,
};
