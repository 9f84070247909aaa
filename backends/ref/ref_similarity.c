/*
 * SIMILARITY: cosines of rows of text with the candidates of their groups.
 *
 *   COSINE:  dst[t, j] = y_t . x_j / (|y_t| |x_j|)
 *   SOFTMAX: exp(S_tj / temperature) / (m sum over j of exp(S_tj / temperature))
 *
 * Source: MMTok (arXiv 2508.18264), whose text rows are softmax over the m rows
 * there are; relevance to text in a shared space (CDPruner, EADP).
 *
 * Open choices: 0 where a norm is 0 (in SOFTMAX before the exponential); rows
 * that do not belong to a candidate's group have 0 there; NaN goes through.
 */

#include "ref/ref.h"

enum { X, ROWS, OFFSETS, MEMBERS, Y, RANGE, DST };

static double
cosine(const tkp_tensor *y, int64_t t, const tkp_tensor *x, int64_t r)
{
    const void *a = tkp__ref_row(y, t), *b = tkp__ref_row(x, r);
    const int64_t d = x->shape[1];
    const double aa = tkp__ref_dot(a, y->dtype, a, y->dtype, d);
    const double bb = tkp__ref_dot(b, x->dtype, b, x->dtype, d);
    if (aa == 0.0 || bb == 0.0)
        return 0.0;
    return tkp__ref_dot(a, y->dtype, b, x->dtype, d) / sqrt(aa * bb);
}

static int32_t member(const tkp_tensor *args, int32_t i)
{
    return tkp__present(&args[MEMBERS]) ? tkp__ref_i32(&args[MEMBERS])[i] : i;
}

static tkp_status check_data(const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const int64_t n = args[ROWS].shape[0];
    const int64_t groups = args[RANGE].shape[0];
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_offsets(
        &args[OFFSETS], tkp__present(members) ? members->shape[0] : n,
        "group_offsets"));
    if (tkp__present(members))
        TKP__TRY(tkp__ref_check_index(
            members, tkp__ref_i32(&args[OFFSETS])[groups], n, "members"));
    return tkp__ref_check_range(&args[RANGE], args[Y].shape[0], "y_range");
}

static void softmax(
    float *row,
    const tkp_tensor *args,
    const int32_t *o,
    double temperature,
    int32_t rows)
{
    double top = -INFINITY, sum = 0.0;
    for (int32_t i = o[0]; i < o[1]; i++)
        top = fmax(top, (double)row[member(args, i)]);
    for (int32_t i = o[0]; i < o[1]; i++)
        sum += exp(((double)row[member(args, i)] - top) / temperature);
    for (int32_t i = o[0]; i < o[1]; i++) {
        float *v = &row[member(args, i)];
        *v =
            (float)(exp(((double)*v - top) / temperature) / (sum * (double)rows));
    }
}

static tkp_status run_similarity(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    (void)workspace;
    TKP__TRY(check_data(args));
    const tkp_op_similarity *p = &plan->params.similarity;
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    const int32_t *range = tkp__ref_i32(&args[RANGE]);
    const int32_t *rows = tkp__ref_i32(&args[ROWS]);
    const int64_t n = args[ROWS].shape[0];
    float *dst = tkp__data(&args[DST]);
    for (int64_t i = 0; i < args[Y].shape[0] * n; i++)
        dst[i] = 0.0f;
    for (int64_t g = 0; g < args[RANGE].shape[0]; g++)
        for (int32_t t = range[2 * g]; t < range[2 * g + 1]; t++) {
            float *row = dst + t * n;
            for (int32_t i = offsets[g]; i < offsets[g + 1]; i++) {
                const int32_t j = member(args, i);
                row[j] = (float)cosine(&args[Y], t, &args[X], rows[j]);
            }
            if (p->kernel == TKP_SIMILARITY_SOFTMAX)
                softmax(
                    row, args, offsets + g, (double)p->temperature,
                    range[2 * g + 1] - range[2 * g]);
        }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_similarity = {
    .kind = TKP_OP_SIMILARITY,
    .params_size = sizeof(tkp_op_similarity),
    .kernel = "ref_similarity",
    .run = run_similarity,
};
