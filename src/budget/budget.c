/*
 * Budgets: how many visual tokens stay, in exact integers.
 *
 * A ratio a / b of n tokens is round(a n / b); no float ever multiplies a
 * count, because 1 - 0.9 style expressions lose a token by truncation; but
 * where an engine's own counts are wanted, they are computed as it does. Labels
 * of the EQUIV kind are turned into the count after the cut that gives that
 * mean over layers:
 *   EQUIV_IN   (boundary n + (layers - boundary) k) / layers
 *   EQUIV_OUT  the layer before the cut already counts as cut:
 *              ((boundary - 1) n + (layers - boundary + 1) k) / layers
 */
#include "budget/budget.h"

#include "core/core.h"

typedef __int128 wide;

int64_t tkp__round_rational(wide num, wide den, int32_t rounding)
{
    wide quotient = num / den;
    const wide rest = num % den;
    if (rounding == TKP_ROUND_CEIL && rest)
        quotient++;
    if (rounding == TKP_ROUND_NEAREST &&
        (rest * 2 > den || (rest * 2 == den && quotient % 2)))
        quotient++;
    return (int64_t)quotient;
}

/* First published size: up to and including tacr_den. */
#define BUDGET_MIN_SIZE                                                        \
    (offsetof(tkp_budget, tacr_den) + sizeof(((tkp_budget *)0)->tacr_den))

/* Numerators and denominators stay below this so that products fit. */
#define RATIO_LIMIT ((int64_t)1 << 31)

static tkp_status check_ratio(const tkp_budget *b, const char *name)
{
    TKP__CHECK(
        b->ratio_den >= 1 && b->ratio_den < RATIO_LIMIT, TKP_ERR_OPTION,
        "%s: ratio denominator is %lld, wanted 1 to 2^31 - 1", name,
        (long long)b->ratio_den);
    TKP__CHECK(
        b->ratio_num >= 0 && b->ratio_num <= b->ratio_den, TKP_ERR_OPTION,
        "%s: ratio is %lld/%lld, wanted 0 to 1", name, (long long)b->ratio_num,
        (long long)b->ratio_den);
    return TKP_OK;
}

static tkp_status check_training(tkp_budget *b, const char *name)
{
    if (!b->tacr_num && !b->tacr_den)
        b->tacr_num = b->tacr_den = 1;
    TKP__CHECK(
        b->tacr_den >= 1 && b->tacr_num >= b->tacr_den &&
            b->tacr_num < RATIO_LIMIT,
        TKP_ERR_OPTION,
        "%s: compression done in training is %lld/%lld, wanted at least 1",
        name, (long long)b->tacr_num, (long long)b->tacr_den);
    TKP__CHECK(
        b->training_mode == TKP_TRAINING_COMPOSED ||
            b->training_mode == TKP_TRAINING_LITERAL,
        TKP_ERR_OPTION, "%s: training mode is %d, wanted 0 or 1", name,
        b->training_mode);
    return TKP_OK;
}

static tkp_status check_rank(const tkp_budget *b, const char *name)
{
    TKP__CHECK(
        b->ratio_den >= 1 && b->ratio_den < RATIO_LIMIT && b->ratio_num >= 0 &&
            b->ratio_num < RATIO_LIMIT,
        TKP_ERR_OPTION,
        "%s: rank is %lld/%lld, wanted 0 or more, each part below 2^31", name,
        (long long)b->ratio_num, (long long)b->ratio_den);
    TKP__CHECK(
        b->count > -RATIO_LIMIT && b->count < RATIO_LIMIT, TKP_ERR_OPTION,
        "%s: bias is %lld, wanted -2^31 + 1 to 2^31 - 1", name,
        (long long)b->count);
    TKP__CHECK(
        b->label == TKP_LABEL_RETAIN && b->scope == TKP_SCOPE_SEQUENCE &&
            b->at_least == TKP_LEAST_NONE,
        TKP_ERR_OPTION,
        "%s: a rank is of a whole sequence; wanted label retain, scope "
        "sequence and no at_least",
        name);
    return TKP_OK;
}

/* Counts as an engine computes them, instead of exact ones. */
static bool in_doubles(const tkp_budget *b)
{
    return b->rounding == TKP_ROUND_DOUBLE_TRUNCATE &&
           b->kind != TKP_BUDGET_COUNT;
}

tkp_status
tkp__budget_copy(tkp_budget *out, const tkp_budget *in, const char *name)
{
    TKP__TRY(tkp__util_copy_options(
        out, sizeof(*out), in, in->struct_size, BUDGET_MIN_SIZE, name));
    TKP__CHECK(
        out->rounding >= TKP_ROUND_NEAREST &&
            out->rounding <= TKP_ROUND_DOUBLE_TRUNCATE,
        TKP_ERR_OPTION, "%s: rounding is %d, wanted 0 to 3", name,
        out->rounding);
    TKP__CHECK(
        out->label >= TKP_LABEL_RETAIN && out->label <= TKP_LABEL_EQUIV_OUT,
        TKP_ERR_OPTION, "%s: label is %d, wanted 0 to 2", name, out->label);
    TKP__CHECK(
        tkp__scope_known(out->scope), TKP_ERR_OPTION,
        "%s: scope is %d, wanted 0 to 3", name, out->scope);
    TKP__CHECK(
        out->at_least >= TKP_LEAST_NONE &&
            out->at_least <= TKP_LEAST_EACH_FRAME,
        TKP_ERR_OPTION, "%s: at_least is %d, wanted 0 to 2", name,
        out->at_least);
    TKP__CHECK(
        out->of == TKP_OF_PRESENT ||
            (out->of == TKP_OF_ORIGINAL && out->kind == TKP_BUDGET_RATIO &&
             out->label == TKP_LABEL_RETAIN),
        TKP_ERR_OPTION,
        "%s: of is %d, wanted 0, or 1 with a ratio and the label retain", name,
        out->of);
    TKP__CHECK(
        out->every == 0 || (out->every > 0 && out->at_least == TKP_LEAST_FRAME),
        TKP_ERR_OPTION,
        "%s: every is %d, wanted 0, or more where at_least is a frame", name,
        out->every);
    TKP__CHECK(
        out->reserved == 0, TKP_ERR_OPTION, "%s: reserved is %d, wanted 0",
        name, out->reserved);
    TKP__CHECK(
        out->min_keep >= 0, TKP_ERR_OPTION,
        "%s: min_keep is %lld, wanted 0 or more", name,
        (long long)out->min_keep);
    TKP__CHECK(
        !in_doubles(out) || out->label == TKP_LABEL_RETAIN, TKP_ERR_OPTION,
        "%s: rounding as in doubles is for counts after the cut, wanted label "
        "retain",
        name);
    switch (out->kind) {
    case TKP_BUDGET_ALL:
        return TKP_OK;
    case TKP_BUDGET_COUNT:
        TKP__CHECK(
            out->count >= 0 && out->count < RATIO_LIMIT, TKP_ERR_OPTION,
            "%s: count is %lld, wanted 0 to 2^31 - 1", name,
            (long long)out->count);
        return TKP_OK;
    case TKP_BUDGET_RATIO:
        return check_ratio(out, name);
    case TKP_BUDGET_TOTAL_REDUCTION:
        TKP__TRY(check_ratio(out, name));
        TKP__TRY(check_training(out, name));
        TKP__CHECK(
            !in_doubles(out) || out->tacr_num == out->tacr_den, TKP_ERR_OPTION,
            "%s: rounding as in doubles knows no compression in training",
            name);
        return TKP_OK;
    case TKP_BUDGET_RANK:
        return check_rank(out, name);
    default:
        return tkp__fail(
            TKP_ERR_OPTION, "%s: kind is %d, wanted 0 to 4", name, out->kind);
    }
}

/* The budget in tokens as num / den, before labels and rounding. */
static void
budget_as_rational(const tkp_budget *b, int64_t n, wide *num, wide *den)
{
    switch (b->kind) {
    case TKP_BUDGET_COUNT:
        *num = b->count;
        *den = 1;
        return;
    case TKP_BUDGET_RATIO:
        *num = (wide)b->ratio_num * n;
        *den = b->ratio_den;
        return;
    case TKP_BUDGET_TOTAL_REDUCTION:
        if (b->training_mode == TKP_TRAINING_COMPOSED) {
            /* keep tacr (1 - reduction) of the tokens, at most all */
            *num = (wide)b->tacr_num * (b->ratio_den - b->ratio_num) * n;
            *den = (wide)b->tacr_den * b->ratio_den;
        } else {
            /* remove reduction / tacr of the tokens */
            *den = (wide)b->ratio_den * b->tacr_num;
            *num = (*den - (wide)b->ratio_num * b->tacr_den) * n;
        }
        if (*num > *den * n)
            *num = *den * n;
        return;
    default:
        *num = n;
        *den = 1;
        return;
    }
}

static int64_t resolve_in_doubles(const tkp_budget *b, int64_t n)
{
    const double ratio = (double)b->ratio_num / (double)b->ratio_den;
    return (
        int64_t)((double)n * (b->kind == TKP_BUDGET_RATIO ? ratio : 1.0 - ratio));
}

/* Mean over layers -> count after the cut. */
static tkp_status undo_equivalence(
    const tkp_budget *b,
    int64_t n,
    int32_t boundary,
    int32_t layers,
    wide *num,
    wide *den)
{
    const bool in = b->label == TKP_LABEL_EQUIV_IN;
    TKP__CHECK(
        layers >= 1 && boundary >= 0 && boundary <= layers, TKP_ERR_OPTION,
        "budget: an equivalent budget needs the boundary and layer count of a "
        "language model; met boundary %d of %d layers",
        boundary, layers);
    int64_t full = in ? boundary : boundary - 1;
    if (full < 0)
        full = 0;
    const int64_t cut = layers - full;
    TKP__CHECK(
        cut > 0, TKP_ERR_OPTION,
        "budget: no layer runs after boundary %d of %d, so no equivalent "
        "budget can be met",
        boundary, layers);
    /* k = (layers * budget - full * n) / cut */
    *num = *num * layers - *den * full * n;
    *den = *den * cut;
    TKP__CHECK(
        *num >= 0, TKP_ERR_OPTION,
        "budget: %d of %d layers run on all %lld tokens; that alone exceeds "
        "the equivalent budget",
        (int)full, layers, (long long)n);
    return TKP_OK;
}

tkp_status tkp__budget_resolve(
    const tkp_budget *b,
    int64_t n,
    int64_t least,
    int32_t boundary,
    int32_t layers,
    int64_t *keep_out)
{
    TKP__CHECK(
        n >= 0 && n < RATIO_LIMIT, TKP_ERR_ARGUMENT,
        "budget: n is %lld, wanted 0 to 2^31 - 1", (long long)n);
    if (b->kind == TKP_BUDGET_ALL || b->kind == TKP_BUDGET_RANK || n == 0) {
        *keep_out = n;
        return TKP_OK;
    }
    wide num;
    wide den;
    budget_as_rational(b, n, &num, &den);
    TKP__CHECK(
        num <= den * n, TKP_ERR_OPTION,
        "budget: count is %lld, wanted at most the %lld visual tokens there "
        "are",
        (long long)b->count, (long long)n);
    if (b->label != TKP_LABEL_RETAIN)
        TKP__TRY(undo_equivalence(b, n, boundary, layers, &num, &den));
    int64_t keep = in_doubles(b) ? resolve_in_doubles(b, n)
                                 : tkp__round_rational(num, den, b->rounding);
    if (keep < b->min_keep)
        keep = b->min_keep;
    if (keep < least)
        keep = least;
    *keep_out = keep > n ? n : keep;
    return TKP_OK;
}

int64_t tkp__budget_of_rank(const tkp_budget *b, int64_t n, int32_t rank)
{
    int64_t keep;
    if (rank >= n)
        return n;
    if (b->rounding == TKP_ROUND_DOUBLE_TRUNCATE) {
        const double scale = (double)b->ratio_num / (double)b->ratio_den;
        keep = (int64_t)((double)rank * scale + (double)b->count);
    } else {
        keep = b->count +
               tkp__round_rational(
                   (wide)b->ratio_num * rank, b->ratio_den, b->rounding);
    }
    if (keep < b->min_keep)
        keep = b->min_keep;
    return keep < 0 ? 0 : keep > n ? n : keep;
}
