/*
 * RELEVANCE: how much candidates have to do with text, from likeness.
 *
 *   u_j = s mean over prompts t of P_tj
 *   w_lj = s Q_lj;  p_l = softmax over j of sharpness w_lj
 *   H_l = - sum over j of p_lj log(p_lj + 1e-12)
 *   kept: the floor(share L) tokens (at least one) of lowest H
 *   v_j = sum over kept l of softmax_l(-H_l / temperature) w_lj
 *   dst = min-max of mix u + (1 - mix) v   (without tokens: of u)
 *         numerator + epsilon;  all equal: 1
 *   s = -1 (UNLIKE) or 1
 *
 * Source: EADP (entropy filter, mix 0.5, share 0.2, sharpness 100, temperature
 * 0.01); CDPruner (arXiv 2506.10967: no tokens, epsilon 1e-6). The sign is
 * theirs: patches inside what the text names are often less like it.
 *
 * Open choices: equal entropies go to the lower token. Several prompts: tokens
 * in as many equal parts, one a prompt, each with a filter of its own, and the
 * mean of the parts; where their number does not divide, all tokens are one
 * part. A sequence without prompts (and tokens) has 1 throughout.
 */

#include "ref/ref.h"

enum { PROMPTS, PROMPT_RANGE, TOKENS, TOKEN_RANGE, OFFSETS, DST };
enum { SCRATCH_SUM, SCRATCH_TOKENS };

static int64_t most_tokens(const tkp_tensor *args)
{
    return tkp__present(&args[TOKENS]) ? args[TOKENS].shape[0] : 0;
}

static tkp_status
plan_relevance(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_SUM, args[DST].shape[0], sizeof(double)));
    return tkp__ref_book(
        plan, ledger, SCRATCH_TOKENS, most_tokens(args), sizeof(double));
}

static const float *row_of(const tkp_tensor *t, int64_t row)
{
    return (const float *)tkp__data(t) + row * t->strides[0];
}

static double entropy(
    const float *row,
    const int32_t *o, /* candidates o[0] .. o[1] */
    double sharpness)
{
    double top = -INFINITY, sum = 0.0, h = 0.0;
    for (int32_t j = o[0]; j < o[1]; j++)
        top = fmax(top, sharpness * (double)row[j]);
    for (int32_t j = o[0]; j < o[1]; j++)
        sum += exp(sharpness * (double)row[j] - top);
    for (int32_t j = o[0]; j < o[1]; j++) {
        const double p = exp(sharpness * (double)row[j] - top) / sum;
        h -= p * log(p + 1e-12);
    }
    return h;
}

/* Is token i among the `keep` of lowest entropy? */
static bool is_kept(const double *h, int32_t n, int32_t i, int32_t keep)
{
    int32_t before = 0;
    for (int32_t j = 0; j < n; j++)
        before += h[j] < h[i] || (h[j] == h[i] && j < i);
    return before < keep;
}

/* sum += share of the tokens begin .. of one prompt. */
static void add_tokens(
    const tkp_op_relevance *p,
    const tkp_tensor *tokens,
    int32_t begin,
    int32_t n,
    const int32_t *o,
    double sign,
    double share,
    double *h,
    double *sum)
{
    int32_t keep = (int32_t)floor((double)p->share * (double)n + 1e-6);
    double least = INFINITY, total = 0.0;
    keep = keep < 1 ? 1 : keep;
    for (int32_t l = 0; l < n; l++) {
        h[l] =
            entropy(row_of(tokens, begin + l), o, sign * (double)p->sharpness);
        least = fmin(least, h[l]);
    }
    for (int32_t l = 0; l < n; l++)
        if (is_kept(h, n, l, keep))
            total += exp((least - h[l]) / (double)p->temperature);
    for (int32_t l = 0; l < n; l++) {
        if (!is_kept(h, n, l, keep))
            continue;
        const float *row = row_of(tokens, begin + l);
        const double weight =
            exp((least - h[l]) / (double)p->temperature) / total;
        for (int32_t j = o[0]; j < o[1]; j++)
            sum[j] += share * weight * sign * (double)row[j];
    }
}

static void
min_max(const double *sum, const int32_t *o, double epsilon, float *dst)
{
    double low = INFINITY, high = -INFINITY;
    for (int32_t j = o[0]; j < o[1]; j++) {
        low = fmin(low, sum[j]);
        high = fmax(high, sum[j]);
    }
    for (int32_t j = o[0]; j < o[1]; j++)
        dst[j] = high > low ? (float)((sum[j] - low + epsilon) / (high - low))
                 : isnan(sum[j]) ? NAN
                                 : 1.0f;
}

static void one_sequence(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    int64_t b,
    double *h,
    double *sum)
{
    const tkp_op_relevance *p = &plan->params.relevance;
    const int32_t *o = tkp__ref_i32(&args[OFFSETS]) + b;
    const int32_t *range = tkp__ref_i32(&args[PROMPT_RANGE]) + 2 * b;
    const double sign = p->like ? 1.0 : -1.0;
    const int32_t prompts = range[1] - range[0];
    int32_t tokens = 0;
    if (tkp__present(&args[TOKENS]))
        tokens = tkp__ref_i32(&args[TOKEN_RANGE])[2 * b + 1] -
                 tkp__ref_i32(&args[TOKEN_RANGE])[2 * b];
    const double mix = tokens ? (double)p->mix : 1.0;
    for (int32_t j = o[0]; j < o[1]; j++)
        sum[j] = 0.0;
    for (int32_t t = range[0]; t < range[1]; t++)
        for (int32_t j = o[0]; j < o[1]; j++)
            sum[j] += mix * sign * (double)row_of(&args[PROMPTS], t)[j] /
                      (double)prompts;
    if (tokens) {
        const int32_t begin = tkp__ref_i32(&args[TOKEN_RANGE])[2 * b];
        const int32_t parts =
            prompts > 0 && tokens % prompts == 0 ? prompts : 1;
        for (int32_t i = 0; i < parts; i++)
            add_tokens(
                p, &args[TOKENS], begin + i * (tokens / parts), tokens / parts,
                o, sign, (1.0 - mix) / (double)parts, h, sum);
    }
    min_max(sum, o, (double)p->epsilon, tkp__data(&args[DST]));
}

static tkp_status run_relevance(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    TKP__TRY(
        tkp__ref_check_covering(&args[OFFSETS], args[DST].shape[0], "offsets"));
    TKP__TRY(tkp__ref_check_range(
        &args[PROMPT_RANGE], args[PROMPTS].shape[0], "prompt_range"));
    if (tkp__present(&args[TOKENS]))
        TKP__TRY(tkp__ref_check_range(
            &args[TOKEN_RANGE], args[TOKENS].shape[0], "token_range"));
    for (int64_t b = 0; b < args[PROMPT_RANGE].shape[0]; b++)
        one_sequence(
            plan, args, b, tkp__ref_scratch(plan, workspace, SCRATCH_TOKENS),
            tkp__ref_scratch(plan, workspace, SCRATCH_SUM));
    return TKP_OK;
}

const tkp__ref_op tkp__ref_relevance = {
    .kind = TKP_OP_RELEVANCE,
    .params_size = sizeof(tkp_op_relevance),
    .kernel = "ref_relevance",
    .plan = plan_relevance,
    .run = run_relevance,
};
