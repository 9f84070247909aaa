/*
 * Rules of the kinds that move and pool rows.
 */

#include "core/op_check.h"

TKP__ASSERT_NO_PADDING(tkp_op_group_pool, pool);
TKP__ASSERT_NO_PADDING(tkp_op_nearest, measure);
TKP__ASSERT_NO_PADDING(tkp_op_merge_rows, beta);

// clang-format off
static const tkp__arg_rule group_pool_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT,    0,                 0},
    {"group_offsets", "m",  TKP__ARG_I32,      0,                 0},
    {"members",       "*",  TKP__ARG_I32,      0,                 0},
    {"weights",       "R",  TKP__ARG_F32,      TKP__ARG_OPTIONAL, 0},
    {"dst",           "MD", TKP__ARG_FLOAT,    TKP__ARG_OUT,      0},
};
static const tkp__arg_rule group_broadcast_args[] = {
    {"value",         "M",  TKP__ARG_F32,      0,                 0},
    {"group_offsets", "m",  TKP__ARG_I32,      0,                 0},
    {"members",       "*",  TKP__ARG_I32,      0,                 0},
    {"dst",           "N",  TKP__ARG_F32,      TKP__ARG_OUT,      0},
};
static const tkp__arg_rule gather_rows_args[] = {
    {"src",           NULL, TKP__ARG_ANY,      0,                 0},
    {"index",         "K",  TKP__ARG_I32,      0,                 0},
    {"dst",           NULL, TKP__ARG_AS_FIRST, TKP__ARG_OUT,      1},
};
static const tkp__arg_rule scatter_rows_args[] = {
    {"src",           "KD", TKP__ARG_FLOAT,    0,                 0},
    {"index",         "K",  TKP__ARG_I32,      0,                 0},
    {"dst",           "RD", TKP__ARG_FLOAT,    TKP__ARG_OUT,      0},
};
static const tkp__arg_rule nearest_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT,    0,                 0},
    {"rows",          "N",  TKP__ARG_I32,      0,                 0},
    {"group_offsets", "m",  TKP__ARG_I32,      0,                 0},
    {"members",       "*",  TKP__ARG_I32,      TKP__ARG_OPTIONAL, 0},
    {"kept",          "K",  TKP__ARG_I32,      0,                 0},
    {"kept_offsets",  "m",  TKP__ARG_I32,      0,                 0},
    {"dst",           "N",  TKP__ARG_I32,      TKP__ARG_OUT,      0},
    {"likeness",      "N",  TKP__ARG_F32,
     TKP__ARG_OPTIONAL | TKP__ARG_OUT,                            0},
};
static const tkp__arg_rule neighbours_args[] = {
    {"x",              "RD", TKP__ARG_FLOAT,   0,                 0},
    {"rows",           "N",  TKP__ARG_I32,     0,                 0},
    {"group_offsets",  "m",  TKP__ARG_I32,     0,                 0},
    {"members",        "*",  TKP__ARG_I32,     TKP__ARG_OPTIONAL, 0},
    {"anchors",        "K",  TKP__ARG_I32,     0,                 0},
    {"anchor_offsets", "m",  TKP__ARG_I32,     0,                 0},
    {"dst",            "KT", TKP__ARG_I32,     TKP__ARG_OUT,      0},
};
static const tkp__arg_rule combine_rows_args[] = {
    {"x",              "RD", TKP__ARG_FLOAT,   0,                 0},
    {"rows",           "N",  TKP__ARG_I32,     0,                 0},
    {"kept",           "K",  TKP__ARG_I32,     0,                 0},
    {"own",            "K",  TKP__ARG_F32,     0,                 0},
    {"list_offsets",   "k",  TKP__ARG_I32,     0,                 0},
    {"list",           "L",  TKP__ARG_I32,     0,                 0},
    {"weights",        "L",  TKP__ARG_F32,     0,                 0},
    {"dst",            "KD", TKP__ARG_FLOAT,   TKP__ARG_OUT,      0},
};
static const tkp__arg_rule merge_rows_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT,    0,                 0},
    {"rows",          "N",  TKP__ARG_I32,      0,                 0},
    {"kept",          "K",  TKP__ARG_I32,      0,                 0},
    {"assignment",    "N",  TKP__ARG_I32,      0,                 0},
    {"weights",       "N",  TKP__ARG_F32,      TKP__ARG_OPTIONAL, 0},
    {"dst",           "KD", TKP__ARG_FLOAT,    TKP__ARG_OUT,      0},
    {"sizes",         "K",  TKP__ARG_F32,
     TKP__ARG_OPTIONAL | TKP__ARG_OUT,                            0},
};
// clang-format on

static tkp_status nearest_params(void *params)
{
    const tkp_op_nearest *p = params;
    TKP__CHECK(
        p->measure >= 0 && p->measure <= TKP_GREEDY_EUCLIDEAN, TKP_ERR_OPTION,
        "measure: is %d, wanted 0 to %d", p->measure, TKP_GREEDY_EUCLIDEAN);
    return TKP_OK;
}

static tkp_status merge_rows_params(void *params)
{
    tkp_op_merge_rows *p = params;
    TKP__CHECK(
        p->rule >= 0 && p->rule <= TKP_MERGE_BLEND_COUNT, TKP_ERR_OPTION,
        "rule: is %d, wanted 0 to %d", p->rule, TKP_MERGE_BLEND_COUNT);
    TKP__CHECK(
        p->anchor >= 0.0f && p->anchor <= 1e6f, TKP_ERR_OPTION,
        "anchor: is %g, wanted 0 to 1e6", (double)p->anchor);
    TKP__CHECK(
        p->beta >= 0.0f && p->beta <= 1.0f, TKP_ERR_OPTION,
        "beta: is %g, wanted 0 to 1", (double)p->beta);
    if (p->anchor == 0.0f)
        p->anchor = 1.0f;
    return TKP_OK;
}

static tkp_status group_pool_params(void *params)
{
    tkp_op_group_pool *p = params;
    if (p->pool == 0)
        p->pool = TKP_POOL_AVERAGE;
    TKP__CHECK(
        p->pool == TKP_POOL_AVERAGE || p->pool == TKP_POOL_MAX, TKP_ERR_OPTION,
        "pool: is %d, wanted %d or %d", p->pool, TKP_POOL_AVERAGE,
        TKP_POOL_MAX);
    return TKP_OK;
}

static tkp_status group_pool_relations(const tkp__check_call *call)
{
    const tkp_op_group_pool *p = call->params;
    TKP__ARG_CHECK(
        call, 3, p->pool == TKP_POOL_AVERAGE || !tkp__present(&call->args[3]),
        TKP_ERR_ARGUMENT, "%s", "is given, but pool is the maximum");
    return TKP_OK;
}

static tkp_status gather_rows_relations(const tkp__check_call *call)
{
    const tkp_tensor *src = &call->args[0];
    const tkp_tensor *dst = &call->args[2];
    TKP__ARG_CHECK(
        call, 0, src->ndim >= 1, TKP_ERR_SHAPE, "ndim is %d, wanted 1 or more",
        src->ndim);
    TKP__ARG_CHECK(
        call, 2, dst->ndim == src->ndim, TKP_ERR_SHAPE,
        "ndim is %d, wanted %d as src", dst->ndim, src->ndim);
    const int64_t k = tkp__dim(&call->dims, 'K');
    TKP__ARG_CHECK(
        call, 2, dst->shape[0] == k, TKP_ERR_SHAPE,
        "dim 0 is %lld, wanted %lld", (long long)dst->shape[0], (long long)k);
    for (int32_t d = 1; d < src->ndim; d++)
        TKP__ARG_CHECK(
            call, 2, dst->shape[d] == src->shape[d], TKP_ERR_SHAPE,
            "dim %d is %lld, src has %lld", d, (long long)dst->shape[d],
            (long long)src->shape[d]);
    return TKP_OK;
}

const tkp__op_rule tkp__core_rules_rows[] = {
    {TKP_OP_GROUP_POOL, TKP__RULE_ARGS(group_pool_args), "group_pool",
     TKP__RULE_PARAMS(tkp_op_group_pool, pool), group_pool_params,
     group_pool_relations},
    {TKP_OP_GROUP_BROADCAST, TKP__RULE_ARGS(group_broadcast_args),
     "group_broadcast", TKP__RULE_NO_PARAMS, NULL, NULL},
    {TKP_OP_GATHER_ROWS, TKP__RULE_ARGS(gather_rows_args), "gather_rows",
     TKP__RULE_NO_PARAMS, NULL, gather_rows_relations},
    {TKP_OP_SCATTER_ROWS, TKP__RULE_ARGS(scatter_rows_args), "scatter_rows",
     TKP__RULE_NO_PARAMS, NULL, NULL},
    {TKP_OP_NEAREST, TKP__RULE_ARGS(nearest_args), "nearest",
     TKP__RULE_PARAMS(tkp_op_nearest, measure), nearest_params, NULL},
    {TKP_OP_NEIGHBOURS, TKP__RULE_ARGS(neighbours_args), "neighbours",
     TKP__RULE_PARAMS(tkp_op_nearest, measure), nearest_params, NULL},
    {TKP_OP_COMBINE_ROWS, TKP__RULE_ARGS(combine_rows_args), "combine_rows",
     TKP__RULE_NO_PARAMS, NULL, NULL},
    {TKP_OP_MERGE_ROWS, TKP__RULE_ARGS(merge_rows_args), "merge_rows",
     TKP__RULE_PARAMS(tkp_op_merge_rows, beta), merge_rows_params, NULL},
    {0},
};
