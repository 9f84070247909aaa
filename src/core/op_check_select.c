/*
 * Rules of the selection kinds.
 */

#include <math.h>

#include "core/op_check.h"

TKP__ASSERT_NO_PADDING(tkp_op_topk, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_nominate, order);
TKP__ASSERT_NO_PADDING(tkp_op_cluster_centres, distance);
TKP__ASSERT_NO_PADDING(tkp_op_quota, truncate);
TKP__ASSERT_NO_PADDING(tkp_op_reconcile, order);
TKP__ASSERT_NO_PADDING(tkp_op_sample, seed);
TKP__ASSERT_NO_PADDING(tkp_op_compact, rows);
TKP__ASSERT_NO_PADDING(tkp_op_greedy_distance, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_greedy_cover, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_greedy_dpp, largest);
TKP__ASSERT_NO_PADDING(tkp_op_parity, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_greedy_tri, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_pivots, per_pivot);
TKP__ASSERT_NO_PADDING(tkp_op_density_peaks, others);
TKP__ASSERT_NO_PADDING(tkp_op_principal_groups, largest_components);

// clang-format off
static const tkp__arg_rule quota_args[] = {
    {"weights",       "N", TKP__ARG_F32, 0,                 0},
    {"group_offsets", "m", TKP__ARG_I32, 0,                 0},
    {"members",       "*", TKP__ARG_I32, TKP__ARG_OPTIONAL, 0},
    {"set_offsets",   "b", TKP__ARG_I32, 0,                 0},
    {"keep",          "B", TKP__ARG_I32, 0,                 0},
    {"quota",         "M", TKP__ARG_I32, TKP__ARG_OUT,      0},
};
static const tkp__arg_rule reconcile_args[] = {
    {"scores",        "N", TKP__ARG_F32, 0,                 0},
    {"group_offsets", "m", TKP__ARG_I32, 0,                 0},
    {"members",       "*", TKP__ARG_I32, TKP__ARG_OPTIONAL, 0},
    {"quota",         "M", TKP__ARG_I32, 0,                 0},
    {"set_offsets",   "b", TKP__ARG_I32, 0,                 0},
    {"keep",          "B", TKP__ARG_I32, 0,                 0},
    {"out_offsets",   "b", TKP__ARG_I32, 0,                 0},
    {"dst",           "K", TKP__ARG_I32, TKP__ARG_OUT,      0},
};
static const tkp__arg_rule topk_args[] = {
    {"scores",        "N",  TKP__ARG_F32, 0,                 0},
    {"group_offsets", "m",  TKP__ARG_I32, 0,                 0},
    {"members",       "*",  TKP__ARG_I32, TKP__ARG_OPTIONAL, 0},
    {"keep",          "M",  TKP__ARG_I32, 0,                 0},
    {"out_offsets",   "m",  TKP__ARG_I32, 0,                 0},
    {"dst",           "K",  TKP__ARG_I32, TKP__ARG_OUT,      0},
};
static const tkp__arg_rule nominate_args[] = {
    {"likeness",      "TN", TKP__ARG_F32, 0,                 0},
    {"range",         "M2", TKP__ARG_I32, 0,                 0},
    {"scores",        "N",  TKP__ARG_F32, 0,                 0},
    {"group_offsets", "m",  TKP__ARG_I32, 0,                 0},
    {"members",       "*",  TKP__ARG_I32, TKP__ARG_OPTIONAL, 0},
    {"keep",          "M",  TKP__ARG_I32, 0,                 0},
    {"out_offsets",   "m",  TKP__ARG_I32, 0,                 0},
    {"dst",           "K",  TKP__ARG_I32, TKP__ARG_OUT,      0},
};
static const tkp__arg_rule sample_args[] = {
    {"group_offsets", "m",  TKP__ARG_I32, 0,                 0},
    {"members",       "*",  TKP__ARG_I32, TKP__ARG_OPTIONAL, 0},
    {"keep",          "M",  TKP__ARG_I32, 0,                 0},
    {"out_offsets",   "m",  TKP__ARG_I32, 0,                 0},
    {"stream",        "M2", TKP__ARG_I32, 0,                 0},
    {"dst",           "K",  TKP__ARG_I32, TKP__ARG_OUT,      0},
};
static const tkp__arg_rule compact_args[] = {
    {"candidates",    "N",  TKP__ARG_I32, 0,                 0},
    {"selected",      "K",  TKP__ARG_I32, 0,                 0},
    {"dst",           "S",  TKP__ARG_I32, TKP__ARG_OUT,      0},
};
static const tkp__arg_rule greedy_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT, 0,                 0},
    {"rows",          "N",  TKP__ARG_I32,   0,                 0},
    {"group_offsets", "m",  TKP__ARG_I32,   0,                 0},
    {"members",       "*",  TKP__ARG_I32,   TKP__ARG_OPTIONAL, 0},
    {"keep",          "M",  TKP__ARG_I32,   0,                 0},
    {"out_offsets",   "m",  TKP__ARG_I32,   0,                 0},
    {"weights",       "N",  TKP__ARG_F32,   TKP__ARG_OPTIONAL, 0},
    {"dst",           "K",  TKP__ARG_I32,   TKP__ARG_OUT,      0},
};
static const tkp__arg_rule greedy_cover_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT, 0,                 0},
    {"rows",          "N",  TKP__ARG_I32,   0,                 0},
    {"group_offsets", "m",  TKP__ARG_I32,   0,                 0},
    {"members",       "*",  TKP__ARG_I32,   TKP__ARG_OPTIONAL, 0},
    {"keep",          "M",  TKP__ARG_I32,   0,                 0},
    {"out_offsets",   "m",  TKP__ARG_I32,   0,                 0},
    {"demand",        "N",  TKP__ARG_F32,   TKP__ARG_OPTIONAL, 0},
    {"factor",        "N",  TKP__ARG_F32,   TKP__ARG_OPTIONAL, 0},
    {"extra",         "TN", TKP__ARG_F32,   TKP__ARG_OPTIONAL, 0},
    {"extra_range",   "M2", TKP__ARG_I32,   TKP__ARG_OPTIONAL, 0},
    {"dst",           "K",  TKP__ARG_I32,   TKP__ARG_OUT,      0},
};
static const tkp__arg_rule density_peaks_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT, 0,               0},
    {"rows",          "N",  TKP__ARG_I32, 0,                 0},
    {"group_offsets", "m",  TKP__ARG_I32, 0,                 0},
    {"members",       "*",  TKP__ARG_I32, TKP__ARG_OPTIONAL, 0},
    {"neighbours",    "M",  TKP__ARG_I32, 0,                 0},
    {"density",       "N",  TKP__ARG_F32, TKP__ARG_OUT,      0},
    {"score",         "N",  TKP__ARG_F32, TKP__ARG_OUT,      0},
};
static const tkp__arg_rule cluster_centres_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT, 0,               0},
    {"rows",          "N",  TKP__ARG_I32, 0,                 0},
    {"group_offsets", "m",  TKP__ARG_I32, 0,                 0},
    {"members",       "*",  TKP__ARG_I32, TKP__ARG_OPTIONAL, 0},
    {"density",       "N",  TKP__ARG_F32, TKP__ARG_OUT,      0},
    {"centre",        "N",  TKP__ARG_I32, TKP__ARG_OUT,      0},
};
static const tkp__arg_rule principal_groups_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT, 0,               0},
    {"rows",          "N",  TKP__ARG_I32, 0,                 0},
    {"group_offsets", "m",  TKP__ARG_I32, 0,                 0},
    {"members",       "*",  TKP__ARG_I32, TKP__ARG_OPTIONAL, 0},
    {"components",    "M",  TKP__ARG_I32, 0,                 0},
    {"component",     "N",  TKP__ARG_I32, TKP__ARG_OUT,      0},
    {"strength",      "N",  TKP__ARG_F32, TKP__ARG_OUT,      0},
};
static const tkp__arg_rule nms_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT, 0,               0},
    {"rows",          "N",  TKP__ARG_I32, 0,                 0},
    {"group_offsets", "m",  TKP__ARG_I32, 0,                 0},
    {"members",       "*",  TKP__ARG_I32, TKP__ARG_OPTIONAL, 0},
    {"parts",         "N",  TKP__ARG_I32, TKP__ARG_OPTIONAL, 0},
    {"scores",        "N",  TKP__ARG_F32, 0,                 0},
    {"factor",        "M",  TKP__ARG_F32, 0,                 0},
    {"survives",      "N",  TKP__ARG_I32, TKP__ARG_OUT,      0},
    {"mean",          "M",  TKP__ARG_F32, TKP__ARG_OUT,      0},
};
static const tkp__arg_rule pivots_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT, 0,               0},
    {"rows",          "T",  TKP__ARG_I32, 0,                 0},
    {"group_offsets", "m",  TKP__ARG_I32, 0,                 0},
    {"members",       "*",  TKP__ARG_I32, TKP__ARG_OPTIONAL, 0},
    {"keep",          "M",  TKP__ARG_I32, 0,                 0},
    {"out_offsets",   "m",  TKP__ARG_I32, 0,                 0},
    {"pivot_offsets", "m",  TKP__ARG_I32, 0,                 0},
    {"pivots",        "*",  TKP__ARG_I32, 0,                 0},
    {"dst",           "K",  TKP__ARG_I32, TKP__ARG_OUT,      0},
};
// clang-format on

static tkp_status density_peaks_params(void *params)
{
    const tkp_op_density_peaks *p = params;
    TKP__CHECK(
        p->others == 0 || p->others == 1, TKP_ERR_OPTION,
        "others: is %d, wanted 0 or 1", p->others);
    return TKP_OK;
}

static tkp_status cluster_centres_params(void *params)
{
    const tkp_op_cluster_centres *p = params;
    TKP__CHECK(
        p->distance >= 0.0f && p->distance <= 2.0f, TKP_ERR_OPTION,
        "distance: is %g, wanted 0 to 2", (double)p->distance);
    return TKP_OK;
}

static tkp_status principal_groups_params(void *params)
{
    const tkp_op_principal_groups *p = params;
    TKP__CHECK(
        p->logistic == 0 || p->logistic == 1, TKP_ERR_OPTION,
        "logistic: is %d, wanted 0 or 1", p->logistic);
    TKP__CHECK(
        p->largest >= 0 && p->largest_components >= 0, TKP_ERR_OPTION,
        "largest: is %d, largest_components %d, wanted 0 or more", p->largest,
        p->largest_components);
    return TKP_OK;
}

static tkp_status pivots_params(void *params)
{
    const tkp_op_pivots *p = params;
    TKP__CHECK(
        p->per_pivot >= 0, TKP_ERR_OPTION, "per_pivot: is %d, wanted 0 or more",
        p->per_pivot);
    return TKP_OK;
}

static tkp_status quota_params(void *params)
{
    tkp_op_quota *p = params;
    if (p->reduce == TKP_ROW_REDUCE_DEFAULT)
        p->reduce = TKP_ROW_REDUCE_MEAN;
    TKP__CHECK(
        p->rule >= TKP_QUOTA_LARGEST_REMAINDER && p->rule <= TKP_QUOTA_TILT,
        TKP_ERR_OPTION, "rule: is %d, wanted 0 to %d", p->rule, TKP_QUOTA_TILT);
    TKP__CHECK(
        p->reduce == TKP_ROW_REDUCE_MEAN || p->reduce == TKP_ROW_REDUCE_SUM ||
            p->reduce == TKP_ROW_REDUCE_MAX,
        TKP_ERR_OPTION, "reduce: is %d, wanted %d, %d or %d", p->reduce,
        TKP_ROW_REDUCE_MEAN, TKP_ROW_REDUCE_SUM, TKP_ROW_REDUCE_MAX);
    TKP__CHECK(
        p->lowest == 0 || (p->lowest == 1 && p->temperature > 0.0f),
        TKP_ERR_OPTION,
        "lowest: is %d, wanted 0, or 1 with a temperature above 0", p->lowest);
    TKP__CHECK(
        p->least >= 0, TKP_ERR_OPTION, "least: is %d, wanted 0 or more",
        p->least);
    TKP__CHECK(
        p->temperature >= 0.0f && isfinite(p->temperature), TKP_ERR_OPTION,
        "temperature: is %g, wanted 0 or more", (double)p->temperature);
    TKP__CHECK(
        p->base >= 0.0f && p->base <= 1.0f, TKP_ERR_OPTION,
        "base: is %g, wanted 0 to 1", (double)p->base);
    TKP__CHECK(
        p->truncate == 0 ||
            (p->truncate == 1 && (p->rule == TKP_QUOTA_TILT ||
                                  p->rule == TKP_QUOTA_LARGEST_REMAINDER)),
        TKP_ERR_OPTION,
        "truncate: is %d, wanted 0, or 1 with rule tilt or largest-remainder",
        p->truncate);
    return TKP_OK;
}

static tkp_status reconcile_params(void *params)
{
    const tkp_op_reconcile *p = params;
    TKP__CHECK(
        p->order == TKP_ORDER_HIGHEST || p->order == TKP_ORDER_LOWEST,
        TKP_ERR_OPTION, "order: is %d, wanted 0 or 1", p->order);
    return TKP_OK;
}

static tkp_status nominate_params(void *params)
{
    const tkp_op_nominate *p = params;
    TKP__CHECK(
        p->order == TKP_ORDER_HIGHEST || p->order == TKP_ORDER_LOWEST,
        TKP_ERR_OPTION, "order: is %d, wanted 0 or 1", p->order);
    return TKP_OK;
}

static tkp_status topk_params(void *params)
{
    const tkp_op_topk *p = params;
    TKP__CHECK(
        p->order == TKP_ORDER_HIGHEST || p->order == TKP_ORDER_LOWEST,
        TKP_ERR_OPTION, "order: is %d, wanted 0 or 1", p->order);
    TKP__CHECK(
        p->sorted_by_score == 0 || p->sorted_by_score == 1, TKP_ERR_OPTION,
        "sorted_by_score: is %d, wanted 0 or 1", p->sorted_by_score);
    TKP__CHECK(
        p->reserved == 0, TKP_ERR_OPTION, "reserved: is %d, wanted 0",
        p->reserved);
    return TKP_OK;
}

static tkp_status compact_params(void *params)
{
    const tkp_op_compact *p = params;
    TKP__CHECK(
        p->rows >= 0 && p->rows <= INT32_MAX, TKP_ERR_OPTION,
        "rows: is %lld, wanted 0 to %d", (long long)p->rows, INT32_MAX);
    TKP__CHECK(
        p->reserved == 0, TKP_ERR_OPTION, "reserved: is %d, wanted 0",
        p->reserved);
    return TKP_OK;
}

/* R follows from the sizes of a run. The largest sizes of a description need
 * not belong to one call: fewest candidates give the longest dst. */
static tkp_status compact_relations(const tkp__check_call *call)
{
    const tkp_op_compact *p = call->params;
    const int64_t n = tkp__dim(&call->dims, 'N');
    const int64_t k = tkp__dim(&call->dims, 'K');
    const int64_t s = tkp__dim(&call->dims, 'S');
    TKP__ARG_CHECK(
        call, 1, k <= n, TKP_ERR_SHAPE, "dim 0 (K) is %lld, above N = %lld",
        (long long)k, (long long)n);
    if (call->descriptor) {
        TKP__ARG_CHECK(
            call, 0, n <= p->rows, TKP_ERR_SHAPE,
            "dim 0 (N) is %lld, above rows = %lld", (long long)n,
            (long long)p->rows);
        TKP__ARG_CHECK(
            call, 2, s <= p->rows, TKP_ERR_SHAPE,
            "dim 0 is %lld, above rows = %lld", (long long)s,
            (long long)p->rows);
        return TKP_OK;
    }
    TKP__ARG_CHECK(
        call, 2, s >= k && s + n - k <= p->rows, TKP_ERR_SHAPE,
        "dim 0 is %lld: with N = %lld and K = %lld wanted %lld to %lld",
        (long long)s, (long long)n, (long long)k, (long long)k,
        (long long)(p->rows - n + k));
    return TKP_OK;
}

/* --- greedy kinds --------------------------------------------------------- */

static tkp_status check_choice(int32_t value, int32_t last, const char *field)
{
    TKP__CHECK(
        value >= 0 && value <= last, TKP_ERR_OPTION,
        "%s: is %d, wanted 0 to %d", field, value, last);
    return TKP_OK;
}

static tkp_status check_share(float value, bool with_one, const char *field)
{
    TKP__CHECK(
        value >= 0.0f && (with_one ? value <= 1.0f : value < 1.0f),
        TKP_ERR_OPTION, "%s: is %g, wanted 0 to %s1", field, (double)value,
        with_one ? "" : "below ");
    return TKP_OK;
}

static tkp_status check_largest(int32_t largest, int32_t reserved)
{
    TKP__CHECK(
        largest >= 0, TKP_ERR_OPTION, "largest: is %d, wanted 0 or more",
        largest);
    TKP__CHECK(
        reserved == 0, TKP_ERR_OPTION, "reserved: is %d, wanted 0", reserved);
    return TKP_OK;
}

static tkp_status greedy_distance_params(void *params)
{
    tkp_op_greedy_distance *p = params;
    TKP__TRY(check_choice(p->rule, TKP_GREEDY_MMR, "rule"));
    const bool mmr = p->rule == TKP_GREEDY_MMR;
    TKP__TRY(check_choice(
        p->measure, mmr ? TKP_GREEDY_COSINE : TKP_GREEDY_EUCLIDEAN, "measure"));
    TKP__TRY(check_choice(p->start, TKP_GREEDY_START_NORM, "start"));
    TKP__TRY(check_choice(p->weighted, mmr ? 0 : 1, "weighted"));
    TKP__TRY(check_share(p->lambda, true, "lambda"));
    if (p->start == TKP_GREEDY_START_DEFAULT)
        p->start = mmr ? TKP_GREEDY_START_WEIGHT : TKP_GREEDY_START_NEAREST;
    return check_largest(p->largest, p->reserved);
}

static tkp_status greedy_distance_relations(const tkp__check_call *call)
{
    const tkp_op_greedy_distance *p = call->params;
    TKP__ARG_CHECK(
        call, 6,
        tkp__present(&call->args[6]) ||
            !(p->rule == TKP_GREEDY_MMR || p->weighted ||
              p->start == TKP_GREEDY_START_WEIGHT),
        TKP_ERR_ARGUMENT, "is missing, but the %s looks at it",
        p->rule == TKP_GREEDY_MMR || p->weighted ? "rule" : "start");
    return TKP_OK;
}

static tkp_status greedy_cover_params(void *params)
{
    tkp_op_greedy_cover *p = params;
    TKP__TRY(check_choice(p->kernel, TKP_GREEDY_KERNEL_SOFTMAX, "kernel"));
    TKP__TRY(check_choice(p->add, 1, "add"));
    TKP__CHECK(
        p->kernel == TKP_GREEDY_KERNEL_SOFTMAX
            ? p->temperature > 0.0f && isfinite(p->temperature)
            : p->temperature == 0.0f,
        TKP_ERR_OPTION, "temperature: is %g, wanted %s", (double)p->temperature,
        p->kernel == TKP_GREEDY_KERNEL_SOFTMAX ? "above 0" : "0: no softmax");
    TKP__CHECK(
        p->scale >= 0.0f && isfinite(p->scale), TKP_ERR_OPTION,
        "scale: is %g, wanted 0 or more", (double)p->scale);
    TKP__CHECK(
        p->power >= 0.0f && isfinite(p->power), TKP_ERR_OPTION,
        "power: is %g, wanted 0 or more", (double)p->power);
    if (p->scale == 0.0f)
        p->scale = 1.0f;
    if (p->power == 0.0f)
        p->power = 1.0f;
    return check_largest(p->largest, p->reserved);
}

static tkp_status greedy_cover_relations(const tkp__check_call *call)
{
    const bool extra = tkp__present(&call->args[8]);
    const bool range = tkp__present(&call->args[9]);
    TKP__ARG_CHECK(
        call, range ? 8 : 9, extra == range, TKP_ERR_ARGUMENT,
        "is missing, %s is there", range ? "extra_range" : "extra");
    return TKP_OK;
}

static tkp_status greedy_dpp_params(void *params)
{
    const tkp_op_greedy_dpp *p = params;
    TKP__TRY(check_choice(p->kernel, TKP_GREEDY_DPP_MIX, "kernel"));
    TKP__TRY(check_share(p->theta, p->kernel != TKP_GREEDY_DPP_EXP, "theta"));
    return check_largest(p->largest, 0);
}

static tkp_status greedy_tri_params(void *params)
{
    const tkp_op_greedy_tri *p = params;
    TKP__CHECK(
        isfinite(p->alpha), TKP_ERR_OPTION, "alpha: is %g", (double)p->alpha);
    TKP__CHECK(
        isfinite(p->lambda), TKP_ERR_OPTION, "lambda: is %g",
        (double)p->lambda);
    TKP__TRY(check_choice(p->min_max, 1, "min_max"));
    return check_largest(p->largest, p->reserved);
}

static tkp_status greedy_tri_relations(const tkp__check_call *call)
{
    TKP__ARG_CHECK(
        call, 6, tkp__present(&call->args[6]), TKP_ERR_ARGUMENT, "%s",
        "is missing");
    return TKP_OK;
}

static tkp_status parity_params(void *params)
{
    tkp_op_parity *p = params;
    TKP__CHECK(
        p->step >= 0, TKP_ERR_OPTION, "step: is %d, wanted 0 or more", p->step);
    if (p->step == 0)
        p->step = 8;
    return check_largest(p->largest, p->reserved);
}

const tkp__op_rule tkp__core_rules_select[] = {
    {TKP_OP_PARITY, TKP__RULE_ARGS(greedy_args), "parity",
     TKP__RULE_PARAMS(tkp_op_parity, reserved), parity_params,
     greedy_tri_relations},
    {TKP_OP_QUOTA, TKP__RULE_ARGS(quota_args), "quota",
     TKP__RULE_PARAMS(tkp_op_quota, truncate), quota_params, NULL},
    {TKP_OP_RECONCILE, TKP__RULE_ARGS(reconcile_args), "reconcile",
     TKP__RULE_PARAMS(tkp_op_reconcile, order), reconcile_params, NULL},
    {TKP_OP_TOPK, TKP__RULE_ARGS(topk_args), "topk",
     TKP__RULE_PARAMS(tkp_op_topk, reserved), topk_params, NULL},
    {TKP_OP_NOMINATE, TKP__RULE_ARGS(nominate_args), "nominate",
     TKP__RULE_PARAMS(tkp_op_nominate, order), nominate_params, NULL},
    {TKP_OP_SAMPLE, TKP__RULE_ARGS(sample_args), "sample",
     TKP__RULE_PARAMS(tkp_op_sample, seed), NULL, NULL},
    {TKP_OP_COMPACT, TKP__RULE_ARGS(compact_args), "compact",
     TKP__RULE_PARAMS(tkp_op_compact, rows), compact_params, compact_relations},
    {TKP_OP_GREEDY_DISTANCE, TKP__RULE_ARGS(greedy_args), "greedy_distance",
     TKP__RULE_PARAMS(tkp_op_greedy_distance, reserved), greedy_distance_params,
     greedy_distance_relations},
    {TKP_OP_GREEDY_COVER, TKP__RULE_ARGS(greedy_cover_args), "greedy_cover",
     TKP__RULE_PARAMS(tkp_op_greedy_cover, reserved), greedy_cover_params,
     greedy_cover_relations},
    {TKP_OP_GREEDY_DPP, TKP__RULE_ARGS(greedy_args), "greedy_dpp",
     TKP__RULE_PARAMS(tkp_op_greedy_dpp, largest), greedy_dpp_params, NULL},
    {TKP_OP_GREEDY_TRI, TKP__RULE_ARGS(greedy_args), "greedy_tri",
     TKP__RULE_PARAMS(tkp_op_greedy_tri, reserved), greedy_tri_params,
     greedy_tri_relations},
    {TKP_OP_PRINCIPAL_GROUPS, TKP__RULE_ARGS(principal_groups_args),
     "principal_groups",
     TKP__RULE_PARAMS(tkp_op_principal_groups, largest_components),
     principal_groups_params, NULL},
    {TKP_OP_NMS, TKP__RULE_ARGS(nms_args), "nms", TKP__RULE_NO_PARAMS, NULL,
     NULL},
    {TKP_OP_DENSITY_PEAKS, TKP__RULE_ARGS(density_peaks_args), "density_peaks",
     TKP__RULE_PARAMS(tkp_op_density_peaks, others), density_peaks_params,
     NULL},
    {TKP_OP_CLUSTER_CENTRES, TKP__RULE_ARGS(cluster_centres_args),
     "cluster_centres", TKP__RULE_PARAMS(tkp_op_cluster_centres, distance),
     cluster_centres_params, NULL},
    {TKP_OP_PIVOTS, TKP__RULE_ARGS(pivots_args), "pivots",
     TKP__RULE_PARAMS(tkp_op_pivots, per_pivot), pivots_params, NULL},
    {0},
};
