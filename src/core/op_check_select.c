/*
 * Rules of the selection kinds.
 */

#include "core/op_check.h"

TKP__ASSERT_NO_PADDING(tkp_op_topk, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_sample, seed);
TKP__ASSERT_NO_PADDING(tkp_op_compact, rows);

// clang-format off
static const tkp__arg_rule topk_args[] = {
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
// clang-format on

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

const tkp__op_rule tkp__core_rules_select[] = {
    {TKP_OP_TOPK, TKP__RULE_ARGS(topk_args), "topk",
     TKP__RULE_PARAMS(tkp_op_topk, reserved), topk_params, NULL},
    {TKP_OP_SAMPLE, TKP__RULE_ARGS(sample_args), "sample",
     TKP__RULE_PARAMS(tkp_op_sample, seed), NULL, NULL},
    {TKP_OP_COMPACT, TKP__RULE_ARGS(compact_args), "compact",
     TKP__RULE_PARAMS(tkp_op_compact, rows), compact_params, compact_relations},
    {0},
};
