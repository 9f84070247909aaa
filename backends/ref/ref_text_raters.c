/*
 * TEXT_RATERS: the words that visual tokens are most like.
 *
 *   w_v = softmax over the words t of  x_v . x_t
 *   share[t] = mean over the visual tokens v of w_v[t]       (they sum to 1)
 *   rater[t] = share[t] > mean of share; all words where none is
 *
 * Source: SparseVLM, arXiv 2410.04417, and its code, where the comparison is
 * strict; the paper writes at least. Open choices: one word, or words that are
 * all alike, are raters, where the code averages nothing; without visual tokens
 * shares are 0 and all words are raters. Rows as they enter the decoder, no norm
 * and no scale. Arithmetic in double; the mean is 1 / T, computed from the
 * shares.
 */

#include "ref/ref.h"

enum { X, ROWS, OFFSETS, TEXT, TEXT_OFFSETS, DST, RATERS };
enum { SCRATCH_SHARES };

static tkp_status plan_text_raters(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    return tkp__ref_book(
        plan, ledger, SCRATCH_SHARES, 2 * args[TEXT].shape[0], sizeof(double));
}

/* Adds softmax of the logits of one visual token; they are overwritten. */
static void add_softmax(double *logit, int32_t words, double *share)
{
    double high = -INFINITY, sum = 0.0;
    for (int32_t t = 0; t < words; t++)
        high = fmax(high, logit[t]);
    for (int32_t t = 0; t < words; t++)
        sum += logit[t] = exp(logit[t] - high);
    for (int32_t t = 0; t < words; t++)
        share[t] += logit[t] / sum;
}

static tkp_status share_sequence(
    const tkp_tensor *x,
    const int32_t *rows,
    int32_t visual,
    const int32_t *text,
    int32_t words,
    double *share)
{
    double *logit = share + words;
    for (int32_t t = 0; t < words; t++)
        share[t] = 0.0;
    for (int32_t v = 0; v < visual; v++) {
        for (int32_t t = 0; t < words; t++) {
            logit[t] = tkp__ref_dot(
                tkp__ref_row(x, rows[v]), x->dtype, tkp__ref_row(x, text[t]),
                x->dtype, x->shape[1]);
            TKP__CHECK(
                isfinite(logit[t]), TKP_ERR_DATA,
                "x: rows %d and %d have a product of %g", rows[v], text[t],
                logit[t]);
        }
        add_softmax(logit, words, share);
    }
    for (int32_t t = 0; visual && t < words; t++)
        share[t] /= visual;
    return TKP_OK;
}

static void
choose(const double *share, int32_t words, float *dst, int32_t *raters)
{
    double mean = 0.0;
    int32_t chosen = 0;
    for (int32_t t = 0; t < words; t++)
        mean += share[t] / words;
    for (int32_t t = 0; t < words; t++) {
        dst[t] = (float)share[t];
        /* what differs by rounding alone is alike */
        raters[t] = share[t] > mean * (1.0 + 1e-12);
        chosen += raters[t];
    }
    for (int32_t t = 0; !chosen && t < words; t++)
        raters[t] = 1;
}

static tkp_status run_text_raters(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    const tkp_tensor *x = &args[X];
    const int64_t n = args[ROWS].shape[0], t = args[TEXT].shape[0];
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    const int32_t *ends = tkp__ref_i32(&args[TEXT_OFFSETS]);
    double *share = tkp__ref_scratch(plan, workspace, SCRATCH_SHARES);
    TKP__TRY(tkp__ref_check_covering(&args[OFFSETS], n, "offsets"));
    TKP__TRY(tkp__ref_check_covering(&args[TEXT_OFFSETS], t, "text_offsets"));
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, x->shape[0], "rows"));
    TKP__TRY(tkp__ref_check_index(&args[TEXT], t, x->shape[0], "text"));
    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++) {
        const int32_t words = ends[b + 1] - ends[b];
        TKP__TRY(share_sequence(
            x, tkp__ref_i32(&args[ROWS]) + offsets[b],
            offsets[b + 1] - offsets[b], tkp__ref_i32(&args[TEXT]) + ends[b],
            words, share));
        choose(
            share, words, (float *)tkp__data(&args[DST]) + ends[b],
            (int32_t *)tkp__data(&args[RATERS]) + ends[b]);
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_text_raters = {
    .kind = TKP_OP_TEXT_RATERS,
    .params_size = 0,
    .kernel = "ref_text_raters",
    .plan = plan_text_raters,
    .run = run_text_raters,
};
