/*
 * Rules of the score kinds.
 */

#include <math.h>

#include "core/op_check.h"

TKP__ASSERT_NO_PADDING(tkp_op_attention_scores, scale);
TKP__ASSERT_NO_PADDING(tkp_op_attention_rank, tolerance);
TKP__ASSERT_NO_PADDING(tkp_op_attention_heads, theta);
TKP__ASSERT_NO_PADDING(tkp_op_row_norm, norm);
TKP__ASSERT_NO_PADDING(tkp_op_cosine_pairs, reduce);
TKP__ASSERT_NO_PADDING(tkp_op_blend, combine);
TKP__ASSERT_NO_PADDING(tkp_op_similarity, temperature);
TKP__ASSERT_NO_PADDING(tkp_op_relevance, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_smooth_grid, power);
TKP__ASSERT_NO_PADDING(tkp_op_reconstruction, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_temporal, threshold);
TKP__ASSERT_NO_PADDING(tkp_op_segments, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_crop_variance, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_overview, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_static_windows, longest);
TKP__ASSERT_NO_PADDING(tkp_op_gaussian_scores, reserved);
TKP__ASSERT_NO_PADDING(tkp_op_mean_query, scale);
TKP__ASSERT_NO_PADDING(tkp_op_value_attention, scale);
TKP__ASSERT_NO_PADDING(tkp_op_rotary_coordinates, theta);

// clang-format off
static const tkp__arg_rule attention_scores_args[] = {
    {"q",           "QHC",      TKP__ARG_FLOAT,    0,                  0},
    {"k",           "RGC|*LGC", TKP__ARG_AS_FIRST, TKP__ARG_ROWS_FREE, 0},
    {"lse",         "QH",       TKP__ARG_F32,      TKP__ARG_OPTIONAL,  0},
    {"block_table", "BT",       TKP__ARG_I32,      TKP__ARG_OPTIONAL,  0},
    {"q_offsets",   "b",        TKP__ARG_I32,      0,                  0},
    {"q_positions", "Q",        TKP__ARG_I32,      0,                  0},
    {"k_offsets",   "b",        TKP__ARG_I32,      0,                  0},
    {"offsets",     "b",        TKP__ARG_I32,      0,                  0},
    {"candidates",  "N",        TKP__ARG_I32,      0,                  0},
    {"dst",         "N",        TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule attention_rank_args[] = {
    {"q",           "QHC",      TKP__ARG_FLOAT,    0,                  0},
    {"k",           "RGC|*LGC", TKP__ARG_AS_FIRST, TKP__ARG_ROWS_FREE, 0},
    {"lse",         "QH",       TKP__ARG_F32,      TKP__ARG_OPTIONAL,  0},
    {"block_table", "BT",       TKP__ARG_I32,      TKP__ARG_OPTIONAL,  0},
    {"q_offsets",   "b",        TKP__ARG_I32,      0,                  0},
    {"q_positions", "Q",        TKP__ARG_I32,      0,                  0},
    {"k_offsets",   "b",        TKP__ARG_I32,      0,                  0},
    {"offsets",     "b",        TKP__ARG_I32,      0,                  0},
    {"candidates",  "N",        TKP__ARG_I32,      0,                  0},
    {"dst",         "B",        TKP__ARG_I32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule attention_heads_args[] = {
    {"q",           "QHC",      TKP__ARG_FLOAT,    0,                  0},
    {"k",           "RGC|*LGC", TKP__ARG_AS_FIRST, TKP__ARG_ROWS_FREE, 0},
    {"lse",         "QH",       TKP__ARG_F32,      TKP__ARG_OPTIONAL,  0},
    {"block_table", "BT",       TKP__ARG_I32,      TKP__ARG_OPTIONAL,  0},
    {"q_offsets",   "b",        TKP__ARG_I32,      0,                  0},
    {"q_positions", "Q",        TKP__ARG_I32,      0,                  0},
    {"k_offsets",   "b",        TKP__ARG_I32,      0,                  0},
    {"offsets",     "b",        TKP__ARG_I32,      0,                  0},
    {"candidates",  "N",        TKP__ARG_I32,      0,                  0},
    {"positions",   "PM",       TKP__ARG_I32,      TKP__ARG_OPTIONAL,  0},
    {"dst",         "N",        TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule attention_rows_reduce_args[] = {
    {"probs",       "QHL|BLHL", TKP__ARG_FLOAT,    TKP__ARG_ALL_FREE,  0},
    {"q_offsets",   "b",        TKP__ARG_I32,      0,                  0},
    {"q_positions", "Q",        TKP__ARG_I32,      0,                  0},
    {"offsets",     "b",        TKP__ARG_I32,      0,                  0},
    {"candidates",  "N",        TKP__ARG_I32,      0,                  0},
    {"dst",         "N",        TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule row_norm_args[] = {
    {"x",           "RD",       TKP__ARG_FLOAT,    0,                  0},
    {"rows",        "N",        TKP__ARG_I32,      TKP__ARG_OPTIONAL,  0},
    {"dst",         "N",        TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule cosine_args[] = {
    {"x",           "RD",       TKP__ARG_FLOAT,    0,                  0},
    {"rows",        "N",        TKP__ARG_I32,      0,                  0},
    {"offsets",     "b",        TKP__ARG_I32,      0,                  0},
    {"reference",   "BD",       TKP__ARG_FLOAT,    0,                  0},
    {"dst",         "N",        TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule cosine_pairs_args[] = {
    {"x",           "RD",       TKP__ARG_FLOAT,    0,                  0},
    {"rows",        "N",        TKP__ARG_I32,      0,                  0},
    {"offsets",     "b",        TKP__ARG_I32,      0,                  0},
    {"dst",         "N",        TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule reconstruction_args[] = {
    {"x",             "RD",     TKP__ARG_FLOAT,    0,                  0},
    {"rows",          "N",      TKP__ARG_I32,      0,                  0},
    {"group_offsets", "m",      TKP__ARG_I32,      0,                  0},
    {"members",       "*",      TKP__ARG_I32,      TKP__ARG_OPTIONAL,  0},
    {"basis",         "T",      TKP__ARG_I32,      0,                  0},
    {"basis_offsets", "m",      TKP__ARG_I32,      0,                  0},
    {"dst",           "N",      TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule blend_args[] = {
    {"terms",       "TN",       TKP__ARG_F32,      0,                  0},
    {"offsets",     "b",        TKP__ARG_I32,      0,                  0},
    {"dst",         "N",        TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule similarity_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT,    0,                  0},
    {"rows",          "N",  TKP__ARG_I32,      0,                  0},
    {"group_offsets", "m",  TKP__ARG_I32,      0,                  0},
    {"members",       "*",  TKP__ARG_I32,      TKP__ARG_OPTIONAL,  0},
    {"y",             "TD", TKP__ARG_FLOAT,    0,                  0},
    {"y_range",       "M2", TKP__ARG_I32,      0,                  0},
    {"dst",           "TN", TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule relevance_args[] = {
    {"prompts",       "TN", TKP__ARG_F32,      0,                  0},
    {"prompt_range",  "B2", TKP__ARG_I32,      0,                  0},
    {"tokens",        "LN", TKP__ARG_F32,      TKP__ARG_OPTIONAL,  0},
    {"token_range",   "B2", TKP__ARG_I32,      TKP__ARG_OPTIONAL,  0},
    {"offsets",       "b",  TKP__ARG_I32,      0,                  0},
    {"dst",           "N",  TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule temporal_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT,    0,                  0},
    {"rows",          "N",  TKP__ARG_I32,      0,                  0},
    {"before",        "N",  TKP__ARG_I32,      0,                  0},
    {"dst",           "N",  TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule crop_variance_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT,    0,                  0},
    {"rows",          "N",  TKP__ARG_I32,      0,                  0},
    {"offsets",       "b",  TKP__ARG_I32,      0,                  0},
    {"attention",     "N",  TKP__ARG_F32,      TKP__ARG_OPTIONAL,  0},
    {"dst",           "N",  TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule overview_args[] = {
    {"scores",        "N",  TKP__ARG_F32,      0,                  0},
    {"cells",         "C",  TKP__ARG_I32,      0,                  0},
    {"pictures",      "I5", TKP__ARG_I32,      0,                  0},
    {"places",        "N3", TKP__ARG_I32,      0,                  0},
    {"dst",           "N",  TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule gaussian_scores_args[] = {
    {"x",             "RD", TKP__ARG_FLOAT,    0,                  0},
    {"rows",          "N",  TKP__ARG_I32,      0,                  0},
    {"offsets",       "b",  TKP__ARG_I32,      0,                  0},
    {"frame_offsets", "f",  TKP__ARG_I32,      0,                  0},
    {"dst",           "N",  TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule text_raters_args[] = {
    {"x",            "RD",      TKP__ARG_FLOAT,    0,                  0},
    {"rows",         "N",       TKP__ARG_I32,      0,                  0},
    {"offsets",      "b",       TKP__ARG_I32,      0,                  0},
    {"text",         "T",       TKP__ARG_I32,      0,                  0},
    {"text_offsets", "b",       TKP__ARG_I32,      0,                  0},
    {"share",        "T",       TKP__ARG_F32,      TKP__ARG_OUT,       0},
    {"raters",       "T",       TKP__ARG_I32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule mean_query_args[] = {
    {"q",           "RHC",      TKP__ARG_FLOAT,    TKP__ARG_ROWS_FREE, 0},
    {"k",           "RGC",      TKP__ARG_AS_FIRST, TKP__ARG_ROWS_FREE, 0},
    {"rows",        "N",        TKP__ARG_I32,      0,                  0},
    {"offsets",     "b",        TKP__ARG_I32,      0,                  0},
    {"dst",         "N",        TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule value_attention_args[] = {
    {"v",            "RGC",     TKP__ARG_FLOAT,    TKP__ARG_ROWS_FREE, 0},
    {"text",         "T",       TKP__ARG_I32,      0,                  0},
    {"text_offsets", "b",       TKP__ARG_I32,      0,                  0},
    {"rows",         "N",       TKP__ARG_I32,      0,                  0},
    {"offsets",      "b",       TKP__ARG_I32,      0,                  0},
    {"seeds",        "B",       TKP__ARG_I32,      0,                  0},
    {"dst",          "N",       TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule rotary_coordinates_args[] = {
    {"positions",    "PR",      TKP__ARG_I32,      0,                  0},
    {"rows",         "N",       TKP__ARG_I32,      0,                  0},
    {"dst",          "N",       TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule curvature_args[] = {
    {"x",             "FD", TKP__ARG_FLOAT,    0,                  0},
    {"offsets",       "b",  TKP__ARG_I32,      0,                  0},
    {"dst",           "F",  TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule segments_args[] = {
    {"x",             "FD", TKP__ARG_FLOAT,    0,                  0},
    {"offsets",       "b",  TKP__ARG_I32,      0,                  0},
    {"dst",           "F",  TKP__ARG_I32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule static_windows_args[] = {
    {"starts",        "N",  TKP__ARG_F32,      0,                  0},
    {"before",        "N",  TKP__ARG_I32,      0,                  0},
    {"frame_offsets", "f",  TKP__ARG_I32,      0,                  0},
    {"offsets",       "b",  TKP__ARG_I32,      0,                  0},
    {"window",        "F",  TKP__ARG_I32,      TKP__ARG_OUT,       0},
    {"head",          "N",  TKP__ARG_I32,      TKP__ARG_OUT,       0},
};
static const tkp__arg_rule smooth_grid_args[] = {
    {"src",           "N",  TKP__ARG_F32,      0,                  0},
    {"offsets",       "i",  TKP__ARG_I32,      0,                  0},
    {"grid",          "I3", TKP__ARG_I32,      0,                  0},
    {"cells",         "N",  TKP__ARG_I32,      0,                  0},
    {"dst",           "N",  TKP__ARG_F32,      TKP__ARG_OUT,       0},
};
// clang-format on

static tkp_status attention_scores_params(void *params)
{
    tkp_op_attention_scores *p = params;
    const uint32_t known = TKP_ATTENTION_CAUSAL | TKP_ATTENTION_EMULATE_HALF |
                           TKP_ATTENTION_LOGITS;
    TKP__CHECK(
        (p->flags & ~known) == 0, TKP_ERR_OPTION,
        "flags: 0x%x has unknown bits", p->flags);
    TKP__CHECK(
        p->row_reduce >= TKP_ROW_REDUCE_DEFAULT &&
            p->row_reduce <= TKP_ROW_REDUCE_MAX,
        TKP_ERR_OPTION, "row_reduce: is %d, wanted 0 to %d", p->row_reduce,
        TKP_ROW_REDUCE_MAX);
    TKP__CHECK(
        isfinite(p->scale), TKP_ERR_OPTION, "scale: is %g", (double)p->scale);
    if (p->row_reduce == TKP_ROW_REDUCE_DEFAULT)
        p->row_reduce = TKP_ROW_REDUCE_LAST;
    return TKP_OK;
}

static tkp_status attention_rank_params(void *params)
{
    tkp_op_attention_rank *p = params;
    const uint32_t known = TKP_ATTENTION_CAUSAL | TKP_ATTENTION_EMULATE_HALF;
    TKP__CHECK(
        (p->flags & ~known) == 0, TKP_ERR_OPTION,
        "flags: 0x%x has unknown bits", p->flags);
    TKP__CHECK(
        isfinite(p->scale), TKP_ERR_OPTION, "scale: is %g", (double)p->scale);
    TKP__CHECK(
        p->tolerance >= 0.0f && p->tolerance < 1.0f, TKP_ERR_OPTION,
        "tolerance: is %g, wanted 0 to 1", (double)p->tolerance);
    return TKP_OK;
}

static tkp_status attention_heads_params(void *params)
{
    tkp_op_attention_heads *p = params;
    TKP__CHECK(
        (p->flags & ~(uint32_t)TKP_ATTENTION_CAUSAL) == 0, TKP_ERR_OPTION,
        "flags: is 0x%x, wanted TKP_ATTENTION_CAUSAL or 0", p->flags);
    TKP__CHECK(
        p->row_reduce >= TKP_ROW_REDUCE_DEFAULT &&
            p->row_reduce < TKP_ROW_REDUCE_MAX,
        TKP_ERR_OPTION, "row_reduce: is %d, wanted 0 to %d", p->row_reduce,
        TKP_ROW_REDUCE_MAX - 1);
    TKP__CHECK(
        isfinite(p->scale), TKP_ERR_OPTION, "scale: is %g", (double)p->scale);
    TKP__CHECK(
        p->heads >= 0, TKP_ERR_OPTION, "heads: is %d, wanted 0 or more",
        p->heads);
    TKP__CHECK(
        p->reserved == 0, TKP_ERR_OPTION, "reserved: is %d, wanted 0",
        p->reserved);
    TKP__CHECK(
        p->theta >= 0.0 && isfinite(p->theta), TKP_ERR_OPTION,
        "theta: is %g, wanted 0 or more", p->theta);
    if (p->row_reduce == TKP_ROW_REDUCE_DEFAULT)
        p->row_reduce = TKP_ROW_REDUCE_LAST;
    return TKP_OK;
}

static tkp_status attention_scores_relations(const tkp__check_call *call)
{
    const tkp_tensor *k = &call->args[1];
    const bool paged = tkp__present(&call->args[3]);
    const int64_t h = tkp__dim(&call->dims, 'H');
    const int64_t g = tkp__dim(&call->dims, 'G');
    TKP__ARG_CHECK(
        call, 1, g > 0 ? h % g == 0 : h == 0, TKP_ERR_SHAPE,
        "dim %d (G) is %lld, does not divide H = %lld", k->ndim - 2,
        (long long)g, (long long)h);
    TKP__ARG_CHECK(
        call, 1, !paged || k->ndim == 4, TKP_ERR_SHAPE,
        "ndim is %d, wanted 4 (pages) with block_table", k->ndim);
    const int64_t b = tkp__dim(&call->dims, 'B');
    TKP__ARG_CHECK(
        call, 1, paged || k->ndim == 3 || k->shape[0] == b, TKP_ERR_SHAPE,
        "dim 0 (B) is %lld, wanted %lld", (long long)k->shape[0], (long long)b);
    return TKP_OK;
}

static tkp_status attention_heads_relations(const tkp__check_call *call)
{
    const tkp_op_attention_heads *p = call->params;
    const int64_t c = tkp__dim(&call->dims, 'C');
    TKP__TRY(attention_scores_relations(call));
    TKP__ARG_CHECK(
        call, 9, p->theta == 0.0 || tkp__present(&call->args[9]),
        TKP_ERR_ARGUMENT, "is missing; theta is %g", p->theta);
    TKP__ARG_CHECK(
        call, 9, p->theta == 0.0 || call->args[9].shape[0] > 0, TKP_ERR_SHAPE,
        "dim 0 (P) is %lld, wanted 1 or more",
        (long long)call->args[9].shape[0]);
    TKP__ARG_CHECK(
        call, 0, p->theta == 0.0 || (c > 0 && c % 2 == 0), TKP_ERR_SHAPE,
        "dim 2 (C) is %lld; with theta an even number is wanted", (long long)c);
    return TKP_OK;
}

static tkp_status mean_query_params(void *params)
{
    const tkp_op_mean_query *p = params;
    TKP__CHECK(
        isfinite(p->scale), TKP_ERR_OPTION, "scale: is %g", (double)p->scale);
    return TKP_OK;
}

static tkp_status value_attention_params(void *params)
{
    const tkp_op_value_attention *p = params;
    TKP__CHECK(
        isfinite(p->scale), TKP_ERR_OPTION, "scale: is %g", (double)p->scale);
    return TKP_OK;
}

static tkp_status rotary_coordinates_params(void *params)
{
    const tkp_op_rotary_coordinates *p = params;
    TKP__CHECK(
        p->channels >= 2 && p->channels % 2 == 0, TKP_ERR_OPTION,
        "channels: is %d, wanted an even number of at least 2", p->channels);
    TKP__CHECK(
        p->sine == 0 || p->sine == 1, TKP_ERR_OPTION,
        "sine: is %d, wanted 0 or 1", p->sine);
    TKP__CHECK(
        p->reserved == 0, TKP_ERR_OPTION, "reserved: is %d, wanted 0",
        p->reserved);
    TKP__CHECK(
        p->theta > 0.0 && isfinite(p->theta), TKP_ERR_OPTION,
        "theta: is %g, wanted above 0", p->theta);
    return TKP_OK;
}

static tkp_status mean_query_relations(const tkp__check_call *call)
{
    const int64_t h = tkp__dim(&call->dims, 'H');
    const int64_t g = tkp__dim(&call->dims, 'G');
    TKP__ARG_CHECK(
        call, 1, g > 0 ? h % g == 0 : h == 0, TKP_ERR_SHAPE,
        "dim 1 (G) is %lld, does not divide H = %lld", (long long)g,
        (long long)h);
    return TKP_OK;
}

static tkp_status row_norm_params(void *params)
{
    tkp_op_row_norm *p = params;
    if (p->norm == 0)
        p->norm = TKP_NORM_L1;
    TKP__CHECK(
        p->norm == TKP_NORM_L1 || p->norm == TKP_NORM_L2, TKP_ERR_OPTION,
        "norm: is %d, wanted %d or %d", p->norm, TKP_NORM_L1, TKP_NORM_L2);
    return TKP_OK;
}

/* Without a list the rows are all there are. */
static tkp_status row_norm_relations(const tkp__check_call *call)
{
    const int64_t r = tkp__dim(&call->dims, 'R');
    const int64_t n = tkp__dim(&call->dims, 'N');
    TKP__ARG_CHECK(
        call, 2, tkp__present(&call->args[1]) || n == r, TKP_ERR_SHAPE,
        "dim 0 (N) is %lld, wanted R = %lld without rows", (long long)n,
        (long long)r);
    return TKP_OK;
}

static tkp_status cosine_pairs_params(void *params)
{
    tkp_op_cosine_pairs *p = params;
    if (p->reduce == TKP_ROW_REDUCE_DEFAULT)
        p->reduce = TKP_ROW_REDUCE_MAX;
    TKP__CHECK(
        p->reduce == TKP_ROW_REDUCE_MAX || p->reduce == TKP_ROW_REDUCE_MEAN,
        TKP_ERR_OPTION, "reduce: is %d, wanted %d (mean) or %d (max)",
        p->reduce, TKP_ROW_REDUCE_MEAN, TKP_ROW_REDUCE_MAX);
    return TKP_OK;
}

static tkp_status blend_params(void *params)
{
    const tkp_op_blend *p = params;
    TKP__CHECK(
        p->terms >= 1 && p->terms <= TKP_BLEND_MAX_TERMS, TKP_ERR_OPTION,
        "terms: is %d, wanted 1 to %d", p->terms, TKP_BLEND_MAX_TERMS);
    for (int32_t t = 0; t < p->terms; t++) {
        TKP__CHECK(
            isfinite(p->weight[t]), TKP_ERR_OPTION, "weight[%d]: is %g", t,
            (double)p->weight[t]);
        TKP__CHECK(
            p->normalise[t] >= TKP_NORMALISE_NONE &&
                p->normalise[t] <= TKP_NORMALISE_L2,
            TKP_ERR_OPTION, "normalise[%d]: is %d, wanted 0 to %d", t,
            p->normalise[t], TKP_NORMALISE_L2);
        TKP__CHECK(
            p->complement[t] == 0 || p->complement[t] == 1, TKP_ERR_OPTION,
            "complement[%d]: is %d, wanted 0 or 1", t, p->complement[t]);
    }
    TKP__CHECK(
        p->combine >= TKP_BLEND_SUM && p->combine <= TKP_BLEND_PRODUCT,
        TKP_ERR_OPTION, "combine: is %d, wanted 0 to %d", p->combine,
        TKP_BLEND_PRODUCT);
    return TKP_OK;
}

static tkp_status blend_relations(const tkp__check_call *call)
{
    const tkp_op_blend *p = call->params;
    TKP__ARG_CHECK(
        call, 0, call->args[0].shape[0] == p->terms, TKP_ERR_SHAPE,
        "dim 0 (T) is %lld, wanted %d as in the params",
        (long long)call->args[0].shape[0], p->terms);
    return TKP_OK;
}

static tkp_status similarity_params(void *params)
{
    const tkp_op_similarity *p = params;
    const bool softmax = p->kernel == TKP_SIMILARITY_SOFTMAX;
    TKP__CHECK(
        p->kernel == TKP_SIMILARITY_COSINE || softmax, TKP_ERR_OPTION,
        "kernel: is %d, wanted 0 or 1", p->kernel);
    TKP__CHECK(
        softmax ? p->temperature > 0.0f && isfinite(p->temperature)
                : p->temperature == 0.0f,
        TKP_ERR_OPTION, "temperature: is %g, wanted %s", (double)p->temperature,
        softmax ? "above 0" : "0: no softmax");
    return TKP_OK;
}

static tkp_status reconstruction_params(void *params)
{
    tkp_op_reconstruction *p = params;
    TKP__CHECK(
        p->ridge >= 0.0f && isfinite(p->ridge), TKP_ERR_OPTION,
        "ridge: is %g, wanted 0 or more", (double)p->ridge);
    TKP__CHECK(
        p->largest >= 0, TKP_ERR_OPTION, "largest: is %d, wanted 0 or more",
        p->largest);
    TKP__CHECK(
        p->reserved == 0, TKP_ERR_OPTION, "reserved: is %d, wanted 0",
        p->reserved);
    if (p->ridge == 0.0f)
        p->ridge = 1e-5f;
    return TKP_OK;
}

static tkp_status relevance_params(void *params)
{
    const tkp_op_relevance *p = params;
    TKP__CHECK(
        p->like == 0 || p->like == 1, TKP_ERR_OPTION,
        "like: is %d, wanted 0 or 1", p->like);
    TKP__CHECK(
        p->mix >= 0.0f && p->mix <= 1.0f, TKP_ERR_OPTION,
        "mix: is %g, wanted 0 to 1", (double)p->mix);
    TKP__CHECK(
        p->share >= 0.0f && p->share <= 1.0f, TKP_ERR_OPTION,
        "share: is %g, wanted 0 to 1", (double)p->share);
    TKP__CHECK(
        p->sharpness >= 0.0f && isfinite(p->sharpness), TKP_ERR_OPTION,
        "sharpness: is %g, wanted 0 or more", (double)p->sharpness);
    TKP__CHECK(
        p->temperature >= 0.0f && isfinite(p->temperature), TKP_ERR_OPTION,
        "temperature: is %g, wanted 0 or more", (double)p->temperature);
    TKP__CHECK(
        p->epsilon >= 0.0f && isfinite(p->epsilon), TKP_ERR_OPTION,
        "epsilon: is %g, wanted 0 or more", (double)p->epsilon);
    TKP__CHECK(
        p->reserved == 0, TKP_ERR_OPTION, "reserved: is %d, wanted 0",
        p->reserved);
    return TKP_OK;
}

static tkp_status relevance_relations(const tkp__check_call *call)
{
    const tkp_op_relevance *p = call->params;
    const bool tokens = tkp__present(&call->args[2]);
    const bool range = tkp__present(&call->args[3]);
    TKP__ARG_CHECK(
        call, range ? 2 : 3, tokens == range, TKP_ERR_ARGUMENT,
        "is missing, %s is there", range ? "token_range" : "tokens");
    TKP__ARG_CHECK(
        call, 2, !tokens || p->temperature > 0.0f, TKP_ERR_OPTION, "%s",
        "are there, but temperature is 0");
    return TKP_OK;
}

static tkp_status smooth_grid_params(void *params)
{
    tkp_op_smooth_grid *p = params;
    TKP__CHECK(
        p->cells >= 1, TKP_ERR_OPTION, "cells: is %d, wanted 1 or more",
        p->cells);
    TKP__CHECK(
        p->sigma > 0.0f && isfinite(p->sigma), TKP_ERR_OPTION,
        "sigma: is %g, wanted above 0", (double)p->sigma);
    TKP__CHECK(
        p->power >= 0.0f && isfinite(p->power), TKP_ERR_OPTION,
        "power: is %g, wanted 0 or more", (double)p->power);
    if (p->power == 0.0f)
        p->power = 1.0f;
    return TKP_OK;
}

static tkp_status temporal_params(void *params)
{
    tkp_op_temporal *p = params;
    TKP__CHECK(
        p->first >= 0.0f && isfinite(p->first), TKP_ERR_OPTION,
        "first: is %g, wanted 0 or more", (double)p->first);
    TKP__CHECK(
        p->threshold >= 0.0f && p->threshold <= 1.0f, TKP_ERR_OPTION,
        "threshold: is %g, wanted 0 to 1", (double)p->threshold);
    if (p->first == 0.0f)
        p->first = 255.0f;
    return TKP_OK;
}

static tkp_status segments_params(void *params)
{
    tkp_op_segments *p = params;
    TKP__CHECK(
        p->threshold >= -1.0f && p->threshold <= 1.0f, TKP_ERR_OPTION,
        "threshold: is %g, wanted -1 to 1", (double)p->threshold);
    TKP__CHECK(
        p->least >= 0, TKP_ERR_OPTION, "least: is %d, wanted 0 or more",
        p->least);
    return TKP_OK;
}

static tkp_status crop_variance_params(void *params)
{
    tkp_op_crop_variance *p = params;
    TKP__CHECK(
        p->gain >= 0.0f && isfinite(p->gain), TKP_ERR_OPTION,
        "gain: is %g, wanted 0 or more", (double)p->gain);
    TKP__CHECK(
        p->bare == 0 || p->bare == 1, TKP_ERR_OPTION,
        "bare: is %d, wanted 0 or 1", p->bare);
    TKP__CHECK(
        p->reserved == 0, TKP_ERR_OPTION, "reserved: is %d, wanted 0",
        p->reserved);
    if (p->gain == 0.0f)
        p->gain = 0.09f;
    return TKP_OK;
}

static tkp_status static_windows_params(void *params)
{
    tkp_op_static_windows *p = params;
    TKP__CHECK(
        p->longest >= 0, TKP_ERR_OPTION, "longest: is %d, wanted 0 or more",
        p->longest);
    if (p->longest == 0)
        p->longest = 1024;
    return TKP_OK;
}

static tkp_status overview_params(void *params)
{
    const tkp_op_overview *p = params;
    TKP__CHECK(
        p->map >= TKP_OVERVIEW_BILINEAR && p->map <= TKP_OVERVIEW_SHARE,
        TKP_ERR_OPTION, "map: is %d, wanted 0 to %d", p->map,
        TKP_OVERVIEW_SHARE);
    TKP__CHECK(
        p->alpha >= 0.0f && p->alpha <= 1.0f, TKP_ERR_OPTION,
        "alpha: is %g, wanted 0 to 1", (double)p->alpha);
    TKP__CHECK(
        p->reserved == 0, TKP_ERR_OPTION, "reserved: is %d, wanted 0",
        p->reserved);
    return TKP_OK;
}

static tkp_status gaussian_scores_params(void *params)
{
    const tkp_op_gaussian_scores *p = params;
    TKP__CHECK(
        p->centre >= TKP_CENTRE_BOTH && p->centre <= TKP_CENTRE_FRAME,
        TKP_ERR_OPTION, "centre: is %d, wanted 0 to %d", p->centre,
        TKP_CENTRE_FRAME);
    TKP__CHECK(
        p->channels >= 0, TKP_ERR_OPTION, "channels: is %d, wanted 0 or more",
        p->channels);
    TKP__CHECK(
        p->reserved == 0, TKP_ERR_OPTION, "reserved: is %d, wanted 0",
        p->reserved);
    return TKP_OK;
}

static tkp_status gaussian_scores_relations(const tkp__check_call *call)
{
    const tkp_op_gaussian_scores *p = call->params;
    TKP__ARG_CHECK(
        call, 0, p->channels <= call->args[0].shape[1], TKP_ERR_OPTION,
        "dim 1 (D) is %lld, wanted at least the %d channels of the params",
        (long long)call->args[0].shape[1], p->channels);
    return TKP_OK;
}

const tkp__op_rule tkp__core_rules_score[] = {
    {TKP_OP_ATTENTION_SCORES, TKP__RULE_ARGS(attention_scores_args),
     "attention_scores", TKP__RULE_PARAMS(tkp_op_attention_scores, scale),
     attention_scores_params, attention_scores_relations},
    {TKP_OP_ATTENTION_RANK, TKP__RULE_ARGS(attention_rank_args),
     "attention_rank", TKP__RULE_PARAMS(tkp_op_attention_rank, tolerance),
     attention_rank_params, attention_scores_relations},
    {TKP_OP_ATTENTION_HEADS, TKP__RULE_ARGS(attention_heads_args),
     "attention_heads", TKP__RULE_PARAMS(tkp_op_attention_heads, theta),
     attention_heads_params, attention_heads_relations},
    {TKP_OP_ATTENTION_ROWS_REDUCE, TKP__RULE_ARGS(attention_rows_reduce_args),
     "attention_rows_reduce", TKP__RULE_PARAMS(tkp_op_attention_scores, scale),
     attention_scores_params, NULL},
    {TKP_OP_ROW_NORM, TKP__RULE_ARGS(row_norm_args), "row_norm",
     TKP__RULE_PARAMS(tkp_op_row_norm, norm), row_norm_params,
     row_norm_relations},
    {TKP_OP_COSINE, TKP__RULE_ARGS(cosine_args), "cosine", TKP__RULE_NO_PARAMS,
     NULL, NULL},
    {TKP_OP_COSINE_PAIRS, TKP__RULE_ARGS(cosine_pairs_args), "cosine_pairs",
     TKP__RULE_PARAMS(tkp_op_cosine_pairs, reduce), cosine_pairs_params, NULL},
    {TKP_OP_BLEND, TKP__RULE_ARGS(blend_args), "blend",
     TKP__RULE_PARAMS(tkp_op_blend, combine), blend_params, blend_relations},
    {TKP_OP_TEMPORAL, TKP__RULE_ARGS(temporal_args), "temporal",
     TKP__RULE_PARAMS(tkp_op_temporal, threshold), temporal_params, NULL},
    {TKP_OP_CROP_VARIANCE, TKP__RULE_ARGS(crop_variance_args), "crop_variance",
     TKP__RULE_PARAMS(tkp_op_crop_variance, reserved), crop_variance_params,
     NULL},
    {TKP_OP_OVERVIEW, TKP__RULE_ARGS(overview_args), "overview",
     TKP__RULE_PARAMS(tkp_op_overview, reserved), overview_params, NULL},
    {TKP_OP_GAUSSIAN_SCORES, TKP__RULE_ARGS(gaussian_scores_args),
     "gaussian_scores", TKP__RULE_PARAMS(tkp_op_gaussian_scores, reserved),
     gaussian_scores_params, gaussian_scores_relations},
    {TKP_OP_TEXT_RATERS, TKP__RULE_ARGS(text_raters_args), "text_raters",
     TKP__RULE_NO_PARAMS, NULL, NULL},
    {TKP_OP_MEAN_QUERY, TKP__RULE_ARGS(mean_query_args), "mean_query",
     TKP__RULE_PARAMS(tkp_op_mean_query, scale), mean_query_params,
     mean_query_relations},
    {TKP_OP_VALUE_ATTENTION, TKP__RULE_ARGS(value_attention_args),
     "value_attention", TKP__RULE_PARAMS(tkp_op_value_attention, scale),
     value_attention_params, NULL},
    {TKP_OP_ROTARY_COORDINATES, TKP__RULE_ARGS(rotary_coordinates_args),
     "rotary_coordinates", TKP__RULE_PARAMS(tkp_op_rotary_coordinates, theta),
     rotary_coordinates_params, NULL},
    {TKP_OP_CURVATURE, TKP__RULE_ARGS(curvature_args), "curvature",
     TKP__RULE_NO_PARAMS, NULL, NULL},
    {TKP_OP_SEGMENTS, TKP__RULE_ARGS(segments_args), "segments",
     TKP__RULE_PARAMS(tkp_op_segments, reserved), segments_params, NULL},
    {TKP_OP_STATIC_WINDOWS, TKP__RULE_ARGS(static_windows_args),
     "static_windows", TKP__RULE_PARAMS(tkp_op_static_windows, longest),
     static_windows_params, NULL},
    {TKP_OP_SMOOTH_GRID, TKP__RULE_ARGS(smooth_grid_args), "smooth_grid",
     TKP__RULE_PARAMS(tkp_op_smooth_grid, power), smooth_grid_params, NULL},
    {TKP_OP_SIMILARITY, TKP__RULE_ARGS(similarity_args), "similarity",
     TKP__RULE_PARAMS(tkp_op_similarity, temperature), similarity_params, NULL},
    {TKP_OP_RECONSTRUCTION, TKP__RULE_ARGS(reconstruction_args),
     "reconstruction", TKP__RULE_PARAMS(tkp_op_reconstruction, reserved),
     reconstruction_params, NULL},
    {TKP_OP_RELEVANCE, TKP__RULE_ARGS(relevance_args), "relevance",
     TKP__RULE_PARAMS(tkp_op_relevance, reserved), relevance_params,
     relevance_relations},
    {0},
};
