/*
 * Rules of the kinds a model's forward is made of.
 */

#include <math.h>

#include "core/op_check.h"

TKP__ASSERT_NO_PADDING(tkp_op_linear, pack);
TKP__ASSERT_NO_PADDING(tkp_op_norm, eps);
TKP__ASSERT_NO_PADDING(tkp_op_rotary_table, theta);
TKP__ASSERT_NO_PADDING(tkp_op_attention, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_activation, function);
TKP__ASSERT_NO_PADDING(tkp_op_patches, patch);

// clang-format off
static const tkp__arg_rule linear_args[] = {
    {"x",         "MK",   TKP__ARG_F32_OR_BF16,  0,                  0},
    {"w",         "NK",   TKP__ARG_FLOAT,        TKP__ARG_CONSTANT,  0},
    {"bias",      "N",    TKP__ARG_FLOAT,        TKP__ARG_OPTIONAL,  0},
    {"residual",  "MN",   TKP__ARG_FLOAT,        TKP__ARG_OPTIONAL,  0},
    {"dst",       "MN",   TKP__ARG_F32_OR_FIRST, TKP__ARG_OUT,       4},
};
static const tkp__arg_rule rms_norm_args[] = {
    {"x",         "MD",   TKP__ARG_FLOAT,        0,                  0},
    {"w",         "D",    TKP__ARG_FLOAT,        0,                  0},
    {"dst",       "MD",   TKP__ARG_AS_FIRST,     TKP__ARG_OUT,       0},
};
static const tkp__arg_rule layer_norm_args[] = {
    {"x",         "MD",   TKP__ARG_FLOAT,        0,                  0},
    {"w",         "D",    TKP__ARG_FLOAT,        0,                  0},
    {"b",         "D",    TKP__ARG_FLOAT,        0,                  0},
    {"dst",       "MD",   TKP__ARG_AS_FIRST,     TKP__ARG_OUT,       0},
};
static const tkp__arg_rule rotary_table_args[] = {
    {"positions", "PM",   TKP__ARG_I32,          0,                  0},
    {"cos",       "MF",   TKP__ARG_F32,          TKP__ARG_OUT,       0},
    {"sin",       "MF",   TKP__ARG_F32,          TKP__ARG_OUT,       0},
};
static const tkp__arg_rule rotary_args[] = {
    {"x",         "MHC",  TKP__ARG_FLOAT,        0,                  0},
    {"cos",       "MF",   TKP__ARG_F32,          0,                  0},
    {"sin",       "MF",   TKP__ARG_F32,          0,                  0},
    {"dst",       "MHC",  TKP__ARG_AS_FIRST,     TKP__ARG_OUT,       1},
};
static const tkp__arg_rule attention_args[] = {
    {"q",         "QHC",  TKP__ARG_F32_OR_BF16,  0,                  0},
    {"k",         "KGC",  TKP__ARG_AS_FIRST,     TKP__ARG_ROWS_FREE, 0},
    {"v",         "KGC",  TKP__ARG_AS_FIRST,     TKP__ARG_ROWS_FREE, 0},
    {"q_offsets", "b",    TKP__ARG_I32,          0,                  0},
    {"k_offsets", "b",    TKP__ARG_I32,          0,                  0},
    {"dst",       "QHC",  TKP__ARG_AS_FIRST,     TKP__ARG_OUT,       0},
    {"lse",       "QH",   TKP__ARG_F32,
     TKP__ARG_OUT | TKP__ARG_OPTIONAL, 0},
    {"bias",      "K",    TKP__ARG_F32,          TKP__ARG_OPTIONAL,  0},
};
static const tkp__arg_rule activation_args[] = {
    {"a",         "MN",   TKP__ARG_FLOAT,        0,                  0},
    {"b",         "MN",   TKP__ARG_AS_FIRST,     TKP__ARG_OPTIONAL,  0},
    {"dst",       "MN",   TKP__ARG_AS_FIRST,     TKP__ARG_OUT,       1},
};
static const tkp__arg_rule add_args[] = {
    {"a",         "MD",   TKP__ARG_FLOAT,        0,                  0},
    {"b",         "BD",   TKP__ARG_FLOAT,        0,                  0},
    {"dst",       "MD",   TKP__ARG_AS_FIRST,     TKP__ARG_OUT,       1},
};
static const tkp__arg_rule patches_args[] = {
    {"pixels",    "V3ST", TKP__ARG_F32,          0,                  0},
    {"dst",       "ME",   TKP__ARG_FLOAT,        TKP__ARG_OUT,       0},
};
static const tkp__arg_rule cast_args[] = {
    {"x",         NULL,   TKP__ARG_FLOAT,        0,                  0},
    {"dst",       NULL,   TKP__ARG_FLOAT,        TKP__ARG_OUT,       0},
};
// clang-format on

static tkp_status linear_params(void *params)
{
    const tkp_op_linear *p = params;
    TKP__CHECK(
        p->pack >= TKP_PACK_AUTO && p->pack <= TKP_PACK_ALWAYS, TKP_ERR_OPTION,
        "pack: is %d, wanted 0 to %d", p->pack, TKP_PACK_ALWAYS);
    return TKP_OK;
}

static tkp_status linear_relations(const tkp__check_call *call)
{
    const tkp_tensor *residual = &call->args[3];
    const tkp_tensor *dst = &call->args[4];
    TKP__ARG_CHECK(
        call, 3, !tkp__present(residual) || residual->dtype == dst->dtype,
        TKP_ERR_DTYPE, "dtype is %s, wanted %s as dst",
        tkp_dtype_string(residual->dtype), tkp_dtype_string(dst->dtype));
    return TKP_OK;
}

static tkp_status norm_params(void *params)
{
    const tkp_op_norm *p = params;
    TKP__CHECK(
        isfinite(p->eps) && p->eps >= 0.0f, TKP_ERR_OPTION,
        "eps: is %g, wanted 0 or more", (double)p->eps);
    return TKP_OK;
}

static tkp_status rotary_table_params(void *params)
{
    const tkp_op_rotary_table *p = params;
    TKP__CHECK(
        isfinite(p->theta) && p->theta > 0.0, TKP_ERR_OPTION,
        "theta: is %g, wanted above 0", p->theta);
    for (int32_t i = 0; i < 3; i++)
        TKP__CHECK(
            p->section[i] >= 0, TKP_ERR_OPTION,
            "section[%d]: is %d, wanted 0 or more", i, p->section[i]);
    return TKP_OK;
}

static tkp_status rotary_table_relations(const tkp__check_call *call)
{
    const tkp_op_rotary_table *p = call->params;
    const int64_t rows = tkp__dim(&call->dims, 'P');
    const int64_t pairs = tkp__dim(&call->dims, 'F');
    const int64_t sum = (int64_t)p->section[0] + p->section[1] + p->section[2];
    TKP__ARG_CHECK(
        call, 0, rows == 1 || rows == 3, TKP_ERR_SHAPE,
        "dim 0 (P) is %lld, wanted 1 or 3", (long long)rows);
    TKP__ARG_CHECK(
        call, 1, sum == (rows == 3 ? pairs : 0), TKP_ERR_SHAPE,
        "dim 1 is %lld with P = %lld, the sections of the params add up to "
        "%lld",
        (long long)pairs, (long long)rows, (long long)sum);
    return TKP_OK;
}

static tkp_status rotary_relations(const tkp__check_call *call)
{
    const int64_t c = tkp__dim(&call->dims, 'C');
    const int64_t pairs = tkp__dim(&call->dims, 'F');
    TKP__ARG_CHECK(
        call, 1, pairs * 2 == c, TKP_ERR_SHAPE,
        "dim 1 is %lld, wanted C / 2 with C = %lld", (long long)pairs,
        (long long)c);
    return TKP_OK;
}

static tkp_status attention_params(void *params)
{
    const tkp_op_attention *p = params;
    TKP__CHECK(
        (p->flags & ~(uint32_t)TKP_ATTENTION_CAUSAL) == 0, TKP_ERR_OPTION,
        "flags: 0x%x has bits other than TKP_ATTENTION_CAUSAL", p->flags);
    TKP__CHECK(
        isfinite(p->scale), TKP_ERR_OPTION, "scale: is %g", (double)p->scale);
    TKP__CHECK(
        p->reserved == 0, TKP_ERR_OPTION, "reserved: is %d, wanted 0",
        p->reserved);
    return TKP_OK;
}

static tkp_status attention_relations(const tkp__check_call *call)
{
    const int64_t h = tkp__dim(&call->dims, 'H');
    const int64_t g = tkp__dim(&call->dims, 'G');
    TKP__ARG_CHECK(
        call, 1, g > 0 ? h % g == 0 : h == 0, TKP_ERR_SHAPE,
        "dim 1 (G) is %lld, does not divide H = %lld", (long long)g,
        (long long)h);
    return TKP_OK;
}

static tkp_status activation_params(void *params)
{
    const tkp_op_activation *p = params;
    TKP__CHECK(
        p->function >= TKP_ACTIVATION_SILU &&
            p->function <= TKP_ACTIVATION_QUICK_GELU,
        TKP_ERR_OPTION, "function: is %d, wanted %d to %d", p->function,
        TKP_ACTIVATION_SILU, TKP_ACTIVATION_QUICK_GELU);
    return TKP_OK;
}

static tkp_status add_relations(const tkp__check_call *call)
{
    TKP__ARG_CHECK(
        call, 1, call->args[1].shape[0] > 0 || tkp__dim(&call->dims, 'M') == 0,
        TKP_ERR_SHAPE, "%s", "dim 0 is 0, wanted 1 or more");
    return TKP_OK;
}

static tkp_status patches_params(void *params)
{
    const tkp_op_patches *p = params;
    TKP__CHECK(
        p->patch > 0 && p->patch <= 4096, TKP_ERR_OPTION,
        "patch: is %d, wanted 1 to 4096", p->patch);
    return TKP_OK;
}

static tkp_status patches_relations(const tkp__check_call *call)
{
    const tkp_op_patches *params = call->params;
    const int64_t p = params->patch;
    const int64_t down = tkp__dim(&call->dims, 'S') / p;
    const int64_t across = tkp__dim(&call->dims, 'T') / p;
    const int64_t per_image = down * across; /* each is below 2^31 */
    int64_t rows;
    TKP__ARG_CHECK(
        call, 1,
        tkp__mul_i64(tkp__dim(&call->dims, 'V'), per_image, &rows) &&
            call->args[1].shape[0] == rows,
        TKP_ERR_SHAPE, "dim 0 is %lld, wanted V * (S / p) * (T / p) = %lld",
        (long long)call->args[1].shape[0], (long long)rows);
    TKP__ARG_CHECK(
        call, 1, call->args[1].shape[1] == 3 * p * p, TKP_ERR_SHAPE,
        "dim 1 is %lld, wanted 3 p p = %lld", (long long)call->args[1].shape[1],
        (long long)(3 * p * p));
    return TKP_OK;
}

static tkp_status cast_relations(const tkp__check_call *call)
{
    const tkp_tensor *x = &call->args[0];
    const tkp_tensor *dst = &call->args[1];
    TKP__ARG_CHECK(
        call, 1, dst->ndim == x->ndim, TKP_ERR_SHAPE,
        "ndim is %d, wanted %d as x", dst->ndim, x->ndim);
    for (int32_t d = 0; d < x->ndim; d++)
        TKP__ARG_CHECK(
            call, 1, dst->shape[d] == x->shape[d], TKP_ERR_SHAPE,
            "dim %d is %lld, x has %lld", d, (long long)dst->shape[d],
            (long long)x->shape[d]);
    return TKP_OK;
}

const tkp__op_rule tkp__core_rules_forward[] = {
    {TKP_OP_LINEAR, TKP__RULE_ARGS(linear_args), "linear",
     TKP__RULE_PARAMS(tkp_op_linear, pack), linear_params, linear_relations},
    {TKP_OP_RMS_NORM, TKP__RULE_ARGS(rms_norm_args), "rms_norm",
     TKP__RULE_PARAMS(tkp_op_norm, eps), norm_params, NULL},
    {TKP_OP_LAYER_NORM, TKP__RULE_ARGS(layer_norm_args), "layer_norm",
     TKP__RULE_PARAMS(tkp_op_norm, eps), norm_params, NULL},
    {TKP_OP_ROTARY_TABLE, TKP__RULE_ARGS(rotary_table_args), "rotary_table",
     TKP__RULE_PARAMS(tkp_op_rotary_table, theta), rotary_table_params,
     rotary_table_relations},
    {TKP_OP_ROTARY, TKP__RULE_ARGS(rotary_args), "rotary", TKP__RULE_NO_PARAMS,
     NULL, rotary_relations},
    {TKP_OP_ATTENTION, TKP__RULE_ARGS(attention_args), "attention",
     TKP__RULE_PARAMS(tkp_op_attention, reserved), attention_params,
     attention_relations},
    {TKP_OP_ACTIVATION, TKP__RULE_ARGS(activation_args), "activation",
     TKP__RULE_PARAMS(tkp_op_activation, function), activation_params, NULL},
    {TKP_OP_ADD, TKP__RULE_ARGS(add_args), "add", TKP__RULE_NO_PARAMS, NULL,
     add_relations},
    {TKP_OP_PATCHES, TKP__RULE_ARGS(patches_args), "patches",
     TKP__RULE_PARAMS(tkp_op_patches, patch), patches_params,
     patches_relations},
    {TKP_OP_CAST, TKP__RULE_ARGS(cast_args), "cast", TKP__RULE_NO_PARAMS, NULL,
     cast_relations},
    {0},
};
