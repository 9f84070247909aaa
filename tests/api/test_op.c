/*
 * Plans, seen from outside: what a description and a run may look like, which
 * backend is taken, what is allocated. A fake backend stands in for kernels.
 */

#include <check.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_backend.h"
#include "test_allocator.h"
#include "tokenprune/sys/op.h"

enum { MEMORY_BYTES = 32768, WORKSPACE_BYTES = 4096 };

static _Alignas(64) unsigned char memory[TKP_OP_MAX_ARGS][MEMORY_BYTES];
static _Alignas(64) unsigned char workspace[WORKSPACE_BYTES];

static void setup(void)
{
    unsetenv("TKP_BACKEND");
    unsetenv("TKP_VERBOSE");
    setenv("TKP_BACKEND_DIR", "/nonexistent", 1);
    fake_setup();
}

static void
expect(const char *what, tkp_status got, tkp_status wanted, const char *message)
{
    ck_assert_msg(
        got == wanted, "%s: %s, wanted %s: \"%s\"", what,
        tkp_status_string(got), tkp_status_string(wanted), tkp_last_message());
    ck_assert_msg(
        (got == TKP_OK) == (tkp_last_message()[0] == '\0'),
        "%s: message \"%s\"", what, tkp_last_message());
    if (message)
        ck_assert_msg(
            strstr(tkp_last_message(), message), "%s: \"%s\" has no \"%s\"",
            what, tkp_last_message(), message);
}

static tkp_context *context_of(const char *backends)
{
    tkp_context_options o = TKP_CONTEXT_OPTIONS_INIT;
    o.backends = backends;
    tkp_context *context = NULL;
    expect("context", tkp_context_create(&context, &o), TKP_OK, NULL);
    return context;
}

/* --- one good call of each kind ----------------------------------------------- */

// clang-format off
#define F32(...)  {TKP_DTYPE_F32,  sizeof((int[]){__VA_ARGS__}) / sizeof(int), {__VA_ARGS__}}
#define BF16(...) {TKP_DTYPE_BF16, sizeof((int[]){__VA_ARGS__}) / sizeof(int), {__VA_ARGS__}}
#define I32(...)  {TKP_DTYPE_I32,  sizeof((int[]){__VA_ARGS__}) / sizeof(int), {__VA_ARGS__}}

static const tkp_op_attention_scores scores_params = {
    sizeof(scores_params), TKP_ATTENTION_CAUSAL, 0, 0.0f};
static const tkp_op_row_norm row_norm_params = {sizeof(row_norm_params), 0};
static const tkp_op_cosine_pairs pairs_params = {sizeof(pairs_params), 0};
static const tkp_op_blend blend_params = {
    sizeof(blend_params), 2, {0.5f, 0.5f}, {1, 2}, {0, 1}, 0};
static const tkp_op_similarity similarity_params = {
    sizeof(similarity_params), 1, 0.5f};
static const tkp_op_relevance relevance_params = {
    sizeof(relevance_params), 0, 0.5f, 0.2f, 100.0f, 0.01f, 0.0f, 0};
static const tkp_op_temporal temporal_params = {
    sizeof(temporal_params), 0.0f, 0.0f};
static const tkp_op_crop_variance variance_params = {
    sizeof(variance_params), 0.0f, 0, 0};
static const tkp_op_mean_query mean_query_params = {
    sizeof(mean_query_params), 0.0f};
static const tkp_op_value_attention values_params = {
    sizeof(values_params), 0.0f};
static const tkp_op_rotary_coordinates coordinates_params = {
    sizeof(coordinates_params), 8, 0, 0, 1e4};
static const tkp_op_cluster_centres centres_params = {
    sizeof(centres_params), 0.2f};
static const tkp_op_gaussian_scores gaussian_params = {
    sizeof(gaussian_params), 0, 0, 0};
static const tkp_op_smooth_grid smooth_params = {
    sizeof(smooth_params), 16, 1.0f, 0.0f};
static const tkp_op_overview overview_params = {
    sizeof(overview_params), TKP_OVERVIEW_SHARE, 0.5f, 0};
static const tkp_op_quota quota_params = {
    sizeof(quota_params), 0, 0, 0, 1, 0.5f, 0.0f, 0};
static const tkp_op_reconcile reconcile_params = {sizeof(reconcile_params), 0};
static const tkp_op_static_windows windows_params = {
    sizeof(windows_params), 8};
static const tkp_op_segments segments_params = {
    sizeof(segments_params), 0.5f, 3, 0};
static const tkp_op_topk topk_params = {sizeof(topk_params), 0, 0, 0};
static const tkp_op_sample sample_params = {sizeof(sample_params), 1, 2};
static const tkp_op_compact compact_params = {sizeof(compact_params), 0, 20};
static const tkp_op_greedy_distance distance_params = {
    sizeof(distance_params), 0, 0, 0, 0, 0.5f, 0, 0};
static const tkp_op_greedy_cover cover_params = {
    sizeof(cover_params), 0, 0.0f, 0.0f, 0.0f, 0, 0, 0};
static const tkp_op_greedy_dpp dpp_params = {sizeof(dpp_params), 0, 0.5f, 0};
static const tkp_op_greedy_tri tri_params = {
    sizeof(tri_params), 0.5f, 0.5f, 0, 0, 0};
static const tkp_op_parity parity_params = {sizeof(parity_params), 8, 0, 0};
static const tkp_op_group_pool pool_params = {sizeof(pool_params), 0};
static const tkp_op_linear linear_params = {sizeof(linear_params), 0};
static const tkp_op_attention_rank rank_params = {
    sizeof(rank_params), TKP_ATTENTION_CAUSAL, 0.0f, 0.0f};
static const tkp_op_attention_heads heads_params = {
    sizeof(heads_params), TKP_ATTENTION_CAUSAL, 0, 0.0f, 2, 0, 0.0};
static const tkp_op_norm norm_params = {sizeof(norm_params), 1e-5f};
static const tkp_op_rotary_table table_params = {
    sizeof(table_params), {2, 3, 3}, 10000.0};
static const tkp_op_attention attention_params = {
    sizeof(attention_params), TKP_ATTENTION_CAUSAL, 0.0f, 0};
static const tkp_op_activation activation_params = {
    sizeof(activation_params), TKP_ACTIVATION_SILU};
static const tkp_op_patches patches_params = {sizeof(patches_params), 14};

static const struct op_case {
    const char *name;
    int32_t kind;
    int32_t n_args;
    struct { int32_t dtype, ndim; int64_t shape[4]; } args[TKP_OP_MAX_ARGS];
    const void *params;
    size_t params_bytes;
    uint32_t optional; /* bit i: argument i may be left out */
    uint32_t outputs;  /* bit i: argument i is written */
    int32_t in_place;  /* 1 + the input that the output may be; 0 = none */
} cases[] = {
    {"attention_scores", TKP_OP_ATTENTION_SCORES, 10,
     {F32(4, 8, 16), F32(2, 8, 2, 16), F32(4, 8), I32(2, 4), I32(3), I32(4),
      I32(3), I32(3), I32(10), F32(10)},
     &scores_params, sizeof(scores_params), 3 << 2, 1 << 9, 0},
    {"attention_rank", TKP_OP_ATTENTION_RANK, 10,
     {F32(4, 8, 16), F32(2, 8, 2, 16), F32(4, 8), I32(2, 4), I32(3), I32(4),
      I32(3), I32(3), I32(10), I32(2)},
     &rank_params, sizeof(rank_params), 3 << 2, 1 << 9, 0},
    {"attention_heads", TKP_OP_ATTENTION_HEADS, 11,
     {F32(4, 8, 16), F32(2, 8, 2, 16), F32(4, 8), I32(2, 4), I32(3), I32(4),
      I32(3), I32(3), I32(10), I32(1, 16), F32(10)},
     &heads_params, sizeof(heads_params), 3 << 2 | 1 << 9, 1 << 10, 0},
    {"attention_rows_reduce", TKP_OP_ATTENTION_ROWS_REDUCE, 6,
     {BF16(4, 8, 20), I32(3), I32(4), I32(3), I32(10), F32(10)},
     &scores_params, sizeof(scores_params), 0, 1 << 5, 0},
    {"row_norm", TKP_OP_ROW_NORM, 3, {F32(10, 16), I32(10), F32(10)},
     &row_norm_params, sizeof(row_norm_params), 1 << 1, 1 << 2, 0},
    {"cosine", TKP_OP_COSINE, 5,
     {F32(12, 16), I32(10), I32(3), BF16(2, 16), F32(10)},
     NULL, 0, 0, 1 << 4, 0},
    {"cosine_pairs", TKP_OP_COSINE_PAIRS, 4,
     {F32(12, 16), I32(10), I32(3), F32(10)},
     &pairs_params, sizeof(pairs_params), 0, 1 << 3, 0},
    {"blend", TKP_OP_BLEND, 3, {F32(2, 10), I32(3), F32(10)},
     &blend_params, sizeof(blend_params), 0, 1 << 2, 0},
    {"similarity", TKP_OP_SIMILARITY, 7,
     {F32(12, 16), I32(10), I32(3), I32(10), BF16(4, 16), I32(2, 2),
      F32(4, 10)},
     &similarity_params, sizeof(similarity_params), 1 << 3, 1 << 6, 0},
    {"relevance", TKP_OP_RELEVANCE, 6,
     {F32(4, 10), I32(2, 2), F32(5, 10), I32(2, 2), I32(3), F32(10)},
     &relevance_params, sizeof(relevance_params), 0, 1 << 5, 0},
    {"temporal", TKP_OP_TEMPORAL, 4, {BF16(12, 16), I32(10), I32(10), F32(10)},
     &temporal_params, sizeof(temporal_params), 0, 1 << 3, 0},
    {"crop_variance", TKP_OP_CROP_VARIANCE, 5,
     {F32(12, 16), I32(10), I32(3), F32(10), F32(10)},
     &variance_params, sizeof(variance_params), 1 << 3, 1 << 4, 0},
    {"mean_query", TKP_OP_MEAN_QUERY, 5,
     {BF16(12, 4, 8), BF16(12, 2, 8), I32(10), I32(3), F32(10)},
     &mean_query_params, sizeof(mean_query_params), 0, 1 << 4, 0},
    {"value_attention", TKP_OP_VALUE_ATTENTION, 7,
     {BF16(12, 2, 8), I32(3), I32(3), I32(8), I32(3), I32(2), F32(8)},
     &values_params, sizeof(values_params), 0, 1 << 6, 0},
    {"rotary_coordinates", TKP_OP_ROTARY_COORDINATES, 3,
     {I32(3, 12), I32(10), F32(10)},
     &coordinates_params, sizeof(coordinates_params), 0, 1 << 2, 0},
    {"cluster_centres", TKP_OP_CLUSTER_CENTRES, 6,
     {F32(12, 16), I32(10), I32(3), I32(10), F32(10), I32(10)},
     &centres_params, sizeof(centres_params), 1 << 3, 3 << 4, 0},
    {"gaussian_scores", TKP_OP_GAUSSIAN_SCORES, 5,
     {F32(12, 16), I32(10), I32(3), I32(5), F32(10)},
     &gaussian_params, sizeof(gaussian_params), 0, 1 << 4, 0},
    {"text_raters", TKP_OP_TEXT_RATERS, 7,
     {BF16(12, 16), I32(10), I32(3), I32(5), I32(3), F32(5), I32(5)},
     NULL, 0, 0, 1 << 5 | 1 << 6, 0},
    {"curvature", TKP_OP_CURVATURE, 3, {BF16(10, 16), I32(3), F32(10)},
     NULL, 0, 0, 1 << 2, 0},
    {"segments", TKP_OP_SEGMENTS, 3, {BF16(10, 16), I32(3), I32(10)},
     &segments_params, sizeof(segments_params), 0, 1 << 2, 0},
    {"static_windows", TKP_OP_STATIC_WINDOWS, 6,
     {F32(10), I32(10), I32(5), I32(3), I32(4), I32(10)},
     &windows_params, sizeof(windows_params), 0, 3 << 4, 0},
    {"smooth_grid", TKP_OP_SMOOTH_GRID, 5,
     {F32(10), I32(3), I32(2, 3), I32(10), F32(10)},
     &smooth_params, sizeof(smooth_params), 0, 1 << 4, 0},
    {"overview", TKP_OP_OVERVIEW, 5,
     {F32(10), I32(10), I32(2, 5), I32(10, 3), F32(10)},
     &overview_params, sizeof(overview_params), 0, 1 << 4, 0},
    {"quota", TKP_OP_QUOTA, 6,
     {F32(10), I32(5), I32(10), I32(3), I32(2), I32(4)},
     &quota_params, sizeof(quota_params), 1 << 2, 1 << 5, 0},
    {"reconcile", TKP_OP_RECONCILE, 8,
     {F32(10), I32(5), I32(10), I32(4), I32(3), I32(2), I32(3), I32(5)},
     &reconcile_params, sizeof(reconcile_params), 1 << 2, 1 << 7, 0},
    {"topk", TKP_OP_TOPK, 6,
     {F32(10), I32(3), I32(10), I32(2), I32(3), I32(5)},
     &topk_params, sizeof(topk_params), 1 << 2, 1 << 5, 0},
    {"sample", TKP_OP_SAMPLE, 6,
     {I32(3), I32(10), I32(2), I32(3), I32(2, 2), I32(5)},
     &sample_params, sizeof(sample_params), 1 << 1, 1 << 5, 0},
    {"compact", TKP_OP_COMPACT, 3, {I32(10), I32(5), I32(15)},
     &compact_params, sizeof(compact_params), 0, 1 << 2, 0},
    {"greedy_distance", TKP_OP_GREEDY_DISTANCE, 8,
     {BF16(12, 16), I32(10), I32(3), I32(10), I32(2), I32(3), F32(10), I32(5)},
     &distance_params, sizeof(distance_params), 1 << 3 | 1 << 6, 1 << 7, 0},
    {"greedy_cover", TKP_OP_GREEDY_COVER, 11,
     {F32(12, 16), I32(10), I32(3), I32(10), I32(2), I32(3), F32(10), F32(10),
      F32(4, 10), I32(2, 2), I32(5)},
     &cover_params, sizeof(cover_params), 1 << 3 | 3 << 6, 1 << 10, 0},
    {"greedy_dpp", TKP_OP_GREEDY_DPP, 8,
     {F32(12, 16), I32(10), I32(3), I32(10), I32(2), I32(3), F32(10), I32(5)},
     &dpp_params, sizeof(dpp_params), 1 << 3 | 1 << 6, 1 << 7, 0},
    {"greedy_tri", TKP_OP_GREEDY_TRI, 8,
     {F32(12, 16), I32(10), I32(3), I32(10), I32(2), I32(3), F32(10), I32(5)},
     &tri_params, sizeof(tri_params), 1 << 3, 1 << 7, 0},
    {"parity", TKP_OP_PARITY, 8,
     {F32(12, 16), I32(10), I32(3), I32(10), I32(2), I32(3), F32(10), I32(5)},
     &parity_params, sizeof(parity_params), 1 << 3, 1 << 7, 0},
    {"group_pool", TKP_OP_GROUP_POOL, 5,
     {F32(12, 16), I32(3), I32(10), F32(12), BF16(2, 16)},
     &pool_params, sizeof(pool_params), 1 << 3, 1 << 4, 0},
    {"group_broadcast", TKP_OP_GROUP_BROADCAST, 4,
     {F32(2), I32(3), I32(10), F32(10)}, NULL, 0, 0, 1 << 3, 0},
    {"gather_rows", TKP_OP_GATHER_ROWS, 3,
     {BF16(12, 3, 4), I32(5), BF16(5, 3, 4)}, NULL, 0, 0, 1 << 2, 1},
    {"scatter_rows", TKP_OP_SCATTER_ROWS, 3,
     {F32(5, 16), I32(5), BF16(12, 16)}, NULL, 0, 0, 1 << 2, 0},
    {"linear", TKP_OP_LINEAR, 5,
     {F32(6, 16), BF16(8, 16), F32(8), F32(6, 8), F32(6, 8)},
     &linear_params, sizeof(linear_params), 3 << 2, 1 << 4, 4},
    {"rms_norm", TKP_OP_RMS_NORM, 3, {F32(6, 16), BF16(16), F32(6, 16)},
     &norm_params, sizeof(norm_params), 0, 1 << 2, 0},
    {"layer_norm", TKP_OP_LAYER_NORM, 4,
     {F32(6, 16), BF16(16), F32(16), F32(6, 16)},
     &norm_params, sizeof(norm_params), 0, 1 << 3, 0},
    {"rotary_table", TKP_OP_ROTARY_TABLE, 3, {I32(3, 6), F32(6, 8), F32(6, 8)},
     &table_params, sizeof(table_params), 0, 6, 0},
    {"rotary", TKP_OP_ROTARY, 4,
     {F32(6, 4, 16), F32(6, 8), F32(6, 8), F32(6, 4, 16)},
     NULL, 0, 0, 1 << 3, 1},
    {"attention", TKP_OP_ATTENTION, 8,
     {BF16(6, 8, 16), BF16(9, 2, 16), BF16(9, 2, 16), I32(3), I32(3),
      BF16(6, 8, 16), F32(6, 8), F32(9)},
     &attention_params, sizeof(attention_params), 3 << 6, 3 << 5, 0},
    {"activation", TKP_OP_ACTIVATION, 3, {F32(6, 16), F32(6, 16), F32(6, 16)},
     &activation_params, sizeof(activation_params), 1 << 1, 1 << 2, 1},
    {"add", TKP_OP_ADD, 3, {F32(6, 16), BF16(3, 16), F32(6, 16)},
     NULL, 0, 0, 1 << 2, 1},
    {"patches", TKP_OP_PATCHES, 2, {F32(2, 3, 28, 30), F32(8, 588)},
     &patches_params, sizeof(patches_params), 0, 1 << 1, 0},
    {"cast", TKP_OP_CAST, 2, {F32(6, 16), BF16(6, 16)},
     NULL, 0, 0, 1 << 1, 0},
};
// clang-format on

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static const struct op_case *case_of(int32_t kind)
{
    for (int i = 0; i < CASES; i++)
        if (cases[i].kind == kind)
            return &cases[i];
    ck_abort_msg("no case of kind %d", kind);
    return NULL;
}

/* The case's arguments; with memory for a run, without for a description. */
static void make_args(const struct op_case *c, tkp_tensor *args, bool data)
{
    for (int32_t i = 0; i < c->n_args; i++)
        tkp_tensor_make(
            &args[i], data ? memory[i] : NULL, c->args[i].dtype,
            c->args[i].ndim, c->args[i].shape);
}

static tkp_op_desc desc_of(const struct op_case *c, const tkp_tensor *args)
{
    tkp_op_desc desc = TKP_OP_DESC_INIT;
    desc.kind = c->kind;
    desc.args = args;
    desc.n_args = c->n_args;
    desc.params = c->params;
    return desc;
}

static tkp_op *plan_of(tkp_context *context, const struct op_case *c)
{
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(c, args, false);
    const tkp_op_desc desc = desc_of(c, args);
    tkp_op *op = NULL;
    expect(c->name, tkp_op_create(&op, context, &desc), TKP_OK, NULL);
    return op;
}

static tkp_exec *exec_of(tkp_context *context)
{
    tkp_exec *exec = NULL;
    expect("exec", tkp_exec_create(&exec, context, NULL), TKP_OK, NULL);
    expect(
        "workspace", tkp_exec_set_workspace(exec, workspace, sizeof(workspace)),
        TKP_OK, NULL);
    return exec;
}

/* Create must answer `wanted`; a plan that comes is destroyed again. */
static void try_create(
    const char *what,
    tkp_context *context,
    const tkp_op_desc *desc,
    tkp_status wanted,
    const char *message)
{
    tkp_op *op = NULL;
    expect(what, tkp_op_create(&op, context, desc), wanted, message);
    ck_assert_int_eq(op != NULL, wanted == TKP_OK);
    tkp_op_destroy(op);
    ck_assert_int_eq(fake.plans, 0);
}

/* --- description ------------------------------------------------------------- */

START_TEST(op_create__each_kind__planned_and_named)
{
    const struct op_case *c = &cases[_i];
    tkp_context *context = context_of("fake");
    tkp_op *op = plan_of(context, c);
    ck_assert_str_eq(tkp_op_kind_string(c->kind), c->name);
    tkp_requirements req = TKP_REQUIREMENTS_INIT;
    expect(c->name, tkp_op_query(op, &req), TKP_OK, NULL);
    ck_assert_str_eq(req.backend, "fake");
    ck_assert_str_eq(req.kernel, "noop");
    ck_assert_uint_eq(req.workspace_bytes, FAKE_WORKSPACE);
    ck_assert_int_eq(fake.seen.n_args, c->n_args);
    tkp_op_destroy(op);
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_create__each_argument_wrong_once__refused_by_name)
{
    const struct op_case *c = &cases[_i];
    tkp_context *context = context_of("fake");
    tkp_tensor args[TKP_OP_MAX_ARGS];
    const tkp_op_desc desc = desc_of(c, args);
    for (int32_t i = 0; i < c->n_args; i++) {
        make_args(c, args, false);
        args[i].dtype = TKP_DTYPE_NONE;
        const bool optional = c->optional & (1u << i);
        try_create(
            c->name, context, &desc, optional ? TKP_OK : TKP_ERR_ARGUMENT,
            optional ? NULL : "is missing");
        make_args(c, args, false);
        args[i].dtype = TKP_DTYPE_U8;
        try_create(c->name, context, &desc, TKP_ERR_DTYPE, "dtype");
        args[i].dtype = 99;
        try_create(c->name, context, &desc, TKP_ERR_DTYPE, "dtype");
        make_args(c, args, false);
        const int64_t ones[6] = {1, 1, 1, 1, 1, 1};
        tkp_tensor_make(&args[i], NULL, c->args[i].dtype, 6, ones);
        try_create(c->name, context, &desc, TKP_ERR_SHAPE, "ndim");
        make_args(c, args, false);
        args[i].shape[0] = -1;
        try_create(c->name, context, &desc, TKP_ERR_SHAPE, "dim 0 is -1");
        args[i].shape[0] = INT64_C(3000000000);
        try_create(c->name, context, &desc, TKP_ERR_SHAPE, "dim 0");
        make_args(c, args, false);
        args[i].device_type = TKP_DEVICE_CUDA;
        try_create(c->name, context, &desc, TKP_ERR_ARGUMENT, "device 2:0");
    }
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_create__params__missing_older_newer)
{
    const struct op_case *c = &cases[_i];
    tkp_context *context = context_of("fake");
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(c, args, false);
    tkp_op_desc desc = desc_of(c, args);
    if (!c->params) {
        desc.params = &topk_params;
        try_create(c->name, context, &desc, TKP_ERR_ARGUMENT, "params");
    } else {
        desc.params = NULL;
        try_create(c->name, context, &desc, TKP_ERR_ARGUMENT, "params");
        _Alignas(8) unsigned char bytes[256] = {0};
        memcpy(bytes, c->params, c->params_bytes);
        desc.params = bytes;
        uint32_t size = 0;
        memcpy(bytes, &size, sizeof(size));
        try_create(c->name, context, &desc, TKP_ERR_OPTION, "INIT macro");
        size = (uint32_t)c->params_bytes - 1;
        memcpy(bytes, &size, sizeof(size));
        try_create(c->name, context, &desc, TKP_ERR_OPTION, "INIT macro");
        size = (uint32_t)c->params_bytes + 8;
        memcpy(bytes, &size, sizeof(size));
        try_create(c->name, context, &desc, TKP_OK, NULL);
        bytes[c->params_bytes] = 1;
        try_create(c->name, context, &desc, TKP_ERR_OPTION, "newer");
    }
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_create__wrong_pointers_and_counts__refused)
{
    tkp_context *context = context_of("fake");
    const struct op_case *c = case_of(TKP_OP_TOPK);
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(c, args, false);
    const tkp_op_desc good = desc_of(c, args);
    tkp_op *op = NULL;
    expect("out", tkp_op_create(NULL, context, &good), TKP_ERR_ARGUMENT, "out");
    expect(
        "context", tkp_op_create(&op, NULL, &good), TKP_ERR_ARGUMENT,
        "context");
    expect("desc", tkp_op_create(&op, context, NULL), TKP_ERR_ARGUMENT, "desc");
    tkp_op_desc desc = good;
    desc.args = NULL;
    try_create("args", context, &desc, TKP_ERR_ARGUMENT, "args");
    desc = good;
    desc.n_args = 5;
    try_create("n_args", context, &desc, TKP_ERR_ARGUMENT, "n_args is 5");
    desc = good;
    desc.kind = 999;
    try_create("kind", context, &desc, TKP_ERR_ARGUMENT, "kind is 999");
    desc.kind = 0;
    try_create("kind", context, &desc, TKP_ERR_ARGUMENT, "kind is 0");
    desc.kind = TKP_OP_USER_FIRST;
    desc.n_args = TKP_OP_MAX_ARGS + 1;
    try_create("n_args", context, &desc, TKP_ERR_ARGUMENT, "n_args is 13");
    desc.n_args = -1;
    try_create("n_args", context, &desc, TKP_ERR_ARGUMENT, "n_args is -1");
    desc = good;
    desc.reserved = 1;
    try_create("reserved", context, &desc, TKP_ERR_OPTION, "reserved");
    desc = good;
    desc.flags = 2;
    try_create("flags", context, &desc, TKP_ERR_OPTION, "flags are 0x2");
    desc = good;
    desc.struct_size = 8;
    try_create("struct_size", context, &desc, TKP_ERR_OPTION, "INIT macro");
    struct {
        tkp_op_desc known;
        uint64_t later;
    } newer = {good, 0};
    newer.known.struct_size = sizeof(newer);
    try_create("newer", context, &newer.known, TKP_OK, NULL);
    newer.later = 1;
    try_create("newer", context, &newer.known, TKP_ERR_OPTION, "newer");
    ck_assert_ptr_null(op);
    desc = (tkp_op_desc)TKP_OP_DESC_INIT;
    tkp_op_desc by_function;
    memset(&by_function, 0xff, sizeof(by_function));
    tkp_op_desc_init(&by_function);
    ck_assert_mem_eq(&desc, &by_function, sizeof(desc));
    ck_assert_ptr_null(tkp_op_kind_string(0));
    ck_assert_ptr_null(tkp_op_kind_string(TKP_OP_USER_FIRST));
    tkp_context_destroy(context);
}
END_TEST

/* One size changed, and the message that must come. */
static const struct {
    int32_t kind, arg, dim;
    int64_t size;
    const char *message;
} shapes[] = {
    {TKP_OP_ATTENTION_SCORES, 1, 2, 5,
     "attention_scores: k: dim 2 (G) is 5, does not divide H = 8"},
    {TKP_OP_ATTENTION_SCORES, 1, 2, 0, "does not divide"},
    {TKP_OP_ATTENTION_SCORES, 1, 3, 8, "k: dim 3 (C) is 8, wanted 16"},
    {TKP_OP_ATTENTION_SCORES, 3, 0, 3, "q_offsets: dim 0 (B+1) is 3, wanted 4"},
    {TKP_OP_ATTENTION_SCORES, 9, 0, 9, "dst: dim 0 (N) is 9, wanted 10"},
    {TKP_OP_ATTENTION_ROWS_REDUCE, 2, 0, 5, "q_positions: dim 0 (Q)"},
    {TKP_OP_COSINE, 3, 0, 3, "reference: dim 0 (B) is 3, wanted 2"},
    {TKP_OP_BLEND, 0, 0, 3, "terms: dim 0 (T) is 3, wanted 2"},
    {TKP_OP_TOPK, 1, 0, 0, "group_offsets: dim 0 (M+1) is 0, wanted 1"},
    {TKP_OP_TOPK, 3, 0, 3, "keep: dim 0 (M) is 3, wanted 2"},
    {TKP_OP_SAMPLE, 4, 1, 3, "stream: dim 1 is 3, wanted 2"},
    {TKP_OP_COMPACT, 1, 0, 11, "selected: dim 0 (K) is 11, above N = 10"},
    {TKP_OP_COMPACT, 0, 0, 21, "candidates: dim 0 (N) is 21, above rows = 20"},
    {TKP_OP_COMPACT, 2, 0, 21, "dst: dim 0 is 21, above rows = 20"},
    {TKP_OP_GREEDY_DISTANCE, 6, 0, 9, "weights: dim 0 (N) is 9, wanted 10"},
    {TKP_OP_GREEDY_COVER, 8, 1, 9, "extra: dim 1 (N) is 9, wanted 10"},
    {TKP_OP_GREEDY_COVER, 9, 0, 3, "extra_range: dim 0 (M) is 3, wanted 2"},
    {TKP_OP_GROUP_POOL, 3, 0, 11, "weights: dim 0 (R) is 11, wanted 12"},
    {TKP_OP_GATHER_ROWS, 2, 0, 6, "dst: dim 0 is 6, wanted 5"},
    {TKP_OP_GATHER_ROWS, 2, 1, 4, "dst: dim 1 is 4, src has 3"},
    {TKP_OP_LINEAR, 1, 1, 15, "w: dim 1 (K) is 15, wanted 16"},
    {TKP_OP_LINEAR, 2, 0, 7, "bias: dim 0 (N) is 7, wanted 8"},
    {TKP_OP_RMS_NORM, 1, 0, 15, "w: dim 0 (D) is 15, wanted 16"},
    {TKP_OP_ROTARY_TABLE, 0, 0, 2, "positions: dim 0 (P) is 2, wanted 1 or 3"},
    {TKP_OP_ROTARY_TABLE, 0, 0, 1, "add up to 8"},
    {TKP_OP_ROTARY, 0, 2, 15, "C / 2 with C = 15"},
    {TKP_OP_ATTENTION, 1, 1, 3, "k: dim 1 (G) is 3, does not divide H = 8"},
    {TKP_OP_ADD, 1, 0, 0, "b: dim 0 is 0, wanted 1 or more"},
    {TKP_OP_PATCHES, 1, 0, 9, "dst: dim 0 is 9"},
    {TKP_OP_PATCHES, 1, 1, 587, "dst: dim 1 is 587, wanted 3 p p = 588"},
    {TKP_OP_PATCHES, 0, 1, 4, "pixels: dim 1 is 4, wanted 3"},
    {TKP_OP_CAST, 1, 1, 17, "dst: dim 1 is 17, x has 16"},
};

START_TEST(op_create__sizes_that_disagree__message_with_both)
{
    const struct op_case *c = case_of(shapes[_i].kind);
    tkp_context *context = context_of("fake");
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(c, args, false);
    args[shapes[_i].arg].shape[shapes[_i].dim] = shapes[_i].size;
    /* Both tables of the rotary kinds, K and V, have the same width. */
    if (c->kind == TKP_OP_ATTENTION)
        args[2].shape[1] = 3;
    if (c->kind == TKP_OP_ROTARY)
        args[3].shape[2] = 15;
    const tkp_op_desc desc = desc_of(c, args);
    try_create(c->name, context, &desc, TKP_ERR_SHAPE, shapes[_i].message);
    tkp_context_destroy(context);
}
END_TEST

#define TRY_PARAMS(kind_, type, field, value, message)                         \
    do {                                                                       \
        const struct op_case *c = case_of(kind_);                              \
        type p;                                                                \
        memcpy(&p, c->params, sizeof(p));                                      \
        p.field = value;                                                       \
        make_args(c, args, false);                                             \
        tkp_op_desc desc = desc_of(c, args);                                   \
        desc.params = &p;                                                      \
        try_create(c->name, context, &desc, TKP_ERR_OPTION, message);          \
    } while (0)

START_TEST(op_create__params_out_of_range__refused_by_name)
{
    tkp_context *context = context_of("fake");
    tkp_tensor args[TKP_OP_MAX_ARGS];
    TRY_PARAMS(
        TKP_OP_ATTENTION_SCORES, tkp_op_attention_scores, flags, 8, "flags");
    TRY_PARAMS(
        TKP_OP_ATTENTION_SCORES, tkp_op_attention_scores, row_reduce, 6,
        "row_reduce");
    TRY_PARAMS(
        TKP_OP_ATTENTION_SCORES, tkp_op_attention_scores, scale,
        (float)strtod("nan", NULL), "scale");
    TRY_PARAMS(TKP_OP_ROW_NORM, tkp_op_row_norm, norm, 3, "norm");
    TRY_PARAMS(
        TKP_OP_COSINE_PAIRS, tkp_op_cosine_pairs, reduce, TKP_ROW_REDUCE_SUM,
        "reduce");
    TRY_PARAMS(TKP_OP_BLEND, tkp_op_blend, terms, 0, "terms");
    TRY_PARAMS(TKP_OP_BLEND, tkp_op_blend, terms, 9, "terms");
    TRY_PARAMS(TKP_OP_BLEND, tkp_op_blend, normalise[1], 6, "normalise[1]");
    TRY_PARAMS(TKP_OP_BLEND, tkp_op_blend, complement[0], 2, "complement[0]");
    TRY_PARAMS(TKP_OP_BLEND, tkp_op_blend, combine, 3, "combine");
    TRY_PARAMS(
        TKP_OP_BLEND, tkp_op_blend, weight[1], (float)strtod("inf", NULL),
        "weight[1]");
    TRY_PARAMS(TKP_OP_SIMILARITY, tkp_op_similarity, kernel, 2, "kernel");
    TRY_PARAMS(
        TKP_OP_SIMILARITY, tkp_op_similarity, temperature, 0.0f, "temperature");
    TRY_PARAMS(TKP_OP_RELEVANCE, tkp_op_relevance, like, 2, "like");
    TRY_PARAMS(TKP_OP_RELEVANCE, tkp_op_relevance, mix, 1.5f, "mix");
    TRY_PARAMS(TKP_OP_RELEVANCE, tkp_op_relevance, share, -1.0f, "share");
    TRY_PARAMS(
        TKP_OP_RELEVANCE, tkp_op_relevance, temperature, 0.0f, "temperature");
    TRY_PARAMS(
        TKP_OP_VALUE_ATTENTION, tkp_op_value_attention, scale, INFINITY,
        "scale");
    TRY_PARAMS(
        TKP_OP_ROTARY_COORDINATES, tkp_op_rotary_coordinates, channels, 7,
        "channels");
    TRY_PARAMS(
        TKP_OP_ROTARY_COORDINATES, tkp_op_rotary_coordinates, theta, 0.0,
        "theta");
    TRY_PARAMS(TKP_OP_TEMPORAL, tkp_op_temporal, first, -1.0f, "first");
    TRY_PARAMS(TKP_OP_MEAN_QUERY, tkp_op_mean_query, scale, INFINITY, "scale");
    TRY_PARAMS(
        TKP_OP_CLUSTER_CENTRES, tkp_op_cluster_centres, distance, 2.1f,
        "distance");
    TRY_PARAMS(TKP_OP_CROP_VARIANCE, tkp_op_crop_variance, gain, -1.0f, "gain");
    TRY_PARAMS(TKP_OP_CROP_VARIANCE, tkp_op_crop_variance, bare, 2, "bare");
    TRY_PARAMS(
        TKP_OP_GAUSSIAN_SCORES, tkp_op_gaussian_scores, centre, 3, "centre");
    TRY_PARAMS(
        TKP_OP_GAUSSIAN_SCORES, tkp_op_gaussian_scores, channels, -1,
        "channels");
    TRY_PARAMS(
        TKP_OP_GAUSSIAN_SCORES, tkp_op_gaussian_scores, channels, 17, "dim 1");
    TRY_PARAMS(
        TKP_OP_GAUSSIAN_SCORES, tkp_op_gaussian_scores, reserved, 1,
        "reserved");
    TRY_PARAMS(TKP_OP_SMOOTH_GRID, tkp_op_smooth_grid, cells, 0, "cells");
    TRY_PARAMS(TKP_OP_SMOOTH_GRID, tkp_op_smooth_grid, sigma, 0.0f, "sigma");
    TRY_PARAMS(TKP_OP_SMOOTH_GRID, tkp_op_smooth_grid, power, -1.0f, "power");
    TRY_PARAMS(TKP_OP_QUOTA, tkp_op_quota, rule, 5, "rule");
    TRY_PARAMS(TKP_OP_QUOTA, tkp_op_quota, reduce, 1, "reduce");
    TRY_PARAMS(TKP_OP_QUOTA, tkp_op_quota, lowest, 2, "lowest");
    TRY_PARAMS(TKP_OP_QUOTA, tkp_op_quota, least, -1, "least");
    TRY_PARAMS(TKP_OP_QUOTA, tkp_op_quota, temperature, -1.0f, "temperature");
    TRY_PARAMS(TKP_OP_QUOTA, tkp_op_quota, base, 1.5f, "base");
    TRY_PARAMS(
        TKP_OP_ATTENTION_RANK, tkp_op_attention_rank, tolerance, 1.0f,
        "tolerance");
    TRY_PARAMS(
        TKP_OP_ATTENTION_RANK, tkp_op_attention_rank, flags,
        TKP_ATTENTION_LOGITS, "flags");
    TRY_PARAMS(
        TKP_OP_ATTENTION_HEADS, tkp_op_attention_heads, row_reduce,
        TKP_ROW_REDUCE_MAX, "row_reduce");
    TRY_PARAMS(
        TKP_OP_ATTENTION_HEADS, tkp_op_attention_heads, flags,
        TKP_ATTENTION_LOGITS, "flags");
    TRY_PARAMS(
        TKP_OP_ATTENTION_HEADS, tkp_op_attention_heads, heads, -1, "heads");
    TRY_PARAMS(
        TKP_OP_ATTENTION_HEADS, tkp_op_attention_heads, theta, -1.0, "theta");
    TRY_PARAMS(
        TKP_OP_ATTENTION_HEADS, tkp_op_attention_heads, reserved, 1,
        "reserved");
    TRY_PARAMS(TKP_OP_QUOTA, tkp_op_quota, truncate, 2, "truncate");
    TRY_PARAMS(TKP_OP_OVERVIEW, tkp_op_overview, map, 3, "map");
    TRY_PARAMS(TKP_OP_OVERVIEW, tkp_op_overview, alpha, 1.5f, "alpha");
    TRY_PARAMS(TKP_OP_OVERVIEW, tkp_op_overview, reserved, 1, "reserved");
    TRY_PARAMS(TKP_OP_RECONCILE, tkp_op_reconcile, order, 2, "order");
    TRY_PARAMS(TKP_OP_TOPK, tkp_op_topk, order, 2, "order");
    TRY_PARAMS(TKP_OP_TOPK, tkp_op_topk, sorted_by_score, 2, "sorted");
    TRY_PARAMS(TKP_OP_TOPK, tkp_op_topk, reserved, 1, "reserved");
    TRY_PARAMS(TKP_OP_COMPACT, tkp_op_compact, rows, -1, "rows");
    TRY_PARAMS(TKP_OP_COMPACT, tkp_op_compact, reserved, 1, "reserved");
    TRY_PARAMS(TKP_OP_GREEDY_DISTANCE, tkp_op_greedy_distance, rule, 2, "rule");
    TRY_PARAMS(
        TKP_OP_GREEDY_DISTANCE, tkp_op_greedy_distance, measure, 2, "measure");
    TRY_PARAMS(
        TKP_OP_GREEDY_DISTANCE, tkp_op_greedy_distance, start, 4, "start");
    TRY_PARAMS(
        TKP_OP_GREEDY_DISTANCE, tkp_op_greedy_distance, lambda, 1.5f, "lambda");
    TRY_PARAMS(
        TKP_OP_GREEDY_DISTANCE, tkp_op_greedy_distance, largest, -1, "largest");
    TRY_PARAMS(TKP_OP_GREEDY_COVER, tkp_op_greedy_cover, kernel, 3, "kernel");
    TRY_PARAMS(
        TKP_OP_GREEDY_COVER, tkp_op_greedy_cover, kernel,
        TKP_GREEDY_KERNEL_SOFTMAX, "temperature");
    TRY_PARAMS(
        TKP_OP_GREEDY_COVER, tkp_op_greedy_cover, temperature, 1.0f,
        "no softmax");
    TRY_PARAMS(TKP_OP_GREEDY_COVER, tkp_op_greedy_cover, scale, -1.0f, "scale");
    TRY_PARAMS(TKP_OP_GREEDY_COVER, tkp_op_greedy_cover, power, -1.0f, "power");
    TRY_PARAMS(TKP_OP_GREEDY_DPP, tkp_op_greedy_dpp, kernel, 3, "kernel");
    TRY_PARAMS(TKP_OP_GREEDY_DPP, tkp_op_greedy_dpp, theta, -0.5f, "theta");
    TRY_PARAMS(TKP_OP_GREEDY_TRI, tkp_op_greedy_tri, min_max, 2, "min_max");
    TRY_PARAMS(
        TKP_OP_GREEDY_TRI, tkp_op_greedy_tri, alpha, (float)strtod("nan", NULL),
        "alpha");
    TRY_PARAMS(TKP_OP_PARITY, tkp_op_parity, step, -1, "step");
    TRY_PARAMS(TKP_OP_GROUP_POOL, tkp_op_group_pool, pool, 3, "pool");
    TRY_PARAMS(TKP_OP_LINEAR, tkp_op_linear, pack, 3, "pack");
    TRY_PARAMS(TKP_OP_RMS_NORM, tkp_op_norm, eps, -1.0f, "eps");
    TRY_PARAMS(TKP_OP_ROTARY_TABLE, tkp_op_rotary_table, theta, 0.0, "theta");
    TRY_PARAMS(
        TKP_OP_ROTARY_TABLE, tkp_op_rotary_table, section[1], -1, "section[1]");
    TRY_PARAMS(TKP_OP_ATTENTION, tkp_op_attention, flags, 2, "flags");
    TRY_PARAMS(TKP_OP_ACTIVATION, tkp_op_activation, function, 0, "function");
    TRY_PARAMS(TKP_OP_PATCHES, tkp_op_patches, patch, 0, "patch");
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_create__defaults_in_params__filled_in_for_the_backend)
{
    tkp_context *context = context_of("fake");
    tkp_op_destroy(plan_of(context, case_of(TKP_OP_ATTENTION_SCORES)));
    tkp_op_attention_scores p;
    memcpy(&p, fake.seen_params, sizeof(p));
    ck_assert_int_eq(p.row_reduce, TKP_ROW_REDUCE_LAST);
    tkp_op_destroy(plan_of(context, case_of(TKP_OP_GROUP_POOL)));
    tkp_op_group_pool g;
    memcpy(&g, fake.seen_params, sizeof(g));
    ck_assert_int_eq(g.pool, TKP_POOL_AVERAGE);
    ck_assert_uint_eq(g.struct_size, sizeof(g));
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_create__relations_of_options__refused)
{
    tkp_context *context = context_of("fake");
    tkp_tensor args[TKP_OP_MAX_ARGS];

    const struct op_case *pool = case_of(TKP_OP_GROUP_POOL);
    make_args(pool, args, false);
    const tkp_op_group_pool maximum = {sizeof(maximum), TKP_POOL_MAX};
    tkp_op_desc desc = desc_of(pool, args);
    desc.params = &maximum;
    try_create("pool", context, &desc, TKP_ERR_ARGUMENT, "weights");
    args[3].dtype = TKP_DTYPE_NONE;
    try_create("pool", context, &desc, TKP_OK, NULL);

    const struct op_case *norm = case_of(TKP_OP_ROW_NORM);
    make_args(norm, args, false);
    args[0].shape[0] = 11;
    desc = desc_of(norm, args);
    try_create("row_norm", context, &desc, TKP_OK, NULL);
    args[1].dtype = TKP_DTYPE_NONE;
    try_create("row_norm", context, &desc, TKP_ERR_SHAPE, "without rows");

    const struct op_case *scores = case_of(TKP_OP_ATTENTION_SCORES);
    make_args(scores, args, false);
    desc = desc_of(scores, args);
    args[1].shape[0] = 3; /* pages, or sequences if there is no table */
    try_create("scores", context, &desc, TKP_OK, NULL);
    args[3].dtype = TKP_DTYPE_NONE;
    try_create("scores", context, &desc, TKP_ERR_SHAPE, "k: dim 0 (B) is 3");
    args[1].shape[0] = 2;
    try_create("scores", context, &desc, TKP_OK, NULL);
    tkp_tensor_make_3d(&args[1], NULL, TKP_DTYPE_F32, 20, 2, 16);
    try_create("scores", context, &desc, TKP_OK, NULL);
    args[3].dtype = TKP_DTYPE_I32;
    try_create("scores", context, &desc, TKP_ERR_SHAPE, "k: ndim is 3");

    const struct op_case *linear = case_of(TKP_OP_LINEAR);
    make_args(linear, args, false);
    args[3].dtype = TKP_DTYPE_BF16;
    desc = desc_of(linear, args);
    try_create("linear", context, &desc, TKP_ERR_DTYPE, "residual");
    args[4].dtype = TKP_DTYPE_BF16;
    try_create("linear", context, &desc, TKP_ERR_DTYPE, "dst");
    args[0].dtype = TKP_DTYPE_BF16;
    try_create("linear", context, &desc, TKP_OK, NULL);
    tkp_context_destroy(context);
}
END_TEST

/* --- choice of a backend ------------------------------------------------------- */

static void expect_backend(tkp_op *op, const char *backend)
{
    tkp_requirements req = TKP_REQUIREMENTS_INIT;
    expect("query", tkp_op_query(op, &req), TKP_OK, NULL);
    ck_assert_str_eq(req.backend, backend);
    tkp_op_destroy(op);
}

START_TEST(backend__takes_one_kind__others_fall_back_to_ref)
{
    tkp_context *context = context_of("fake,ref");
    fake.only_kind = TKP_OP_TOPK;
    expect_backend(plan_of(context, case_of(TKP_OP_TOPK)), "fake");
    fake.only_kind = TKP_OP_ROW_NORM;
    expect_backend(plan_of(context, case_of(TKP_OP_TOPK)), "ref");
    tkp_context_destroy(context);
    context = context_of("ref,fake");
    expect_backend(plan_of(context, case_of(TKP_OP_TOPK)), "ref");
    tkp_context_destroy(context);
}
END_TEST

START_TEST(backend__plan_not_supported_or_broken__next_or_error)
{
    tkp_context *context = context_of("fake,ref");
    const struct op_case *c = case_of(TKP_OP_TOPK);
    fake.plan_fails = TKP_ERR_UNSUPPORTED;
    expect_backend(plan_of(context, c), "ref");
    fake.plan_fails = TKP_ERR_DEVICE;
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(c, args, false);
    const tkp_op_desc desc = desc_of(c, args);
    try_create(
        "topk", context, &desc, TKP_ERR_DEVICE,
        "topk: fake: the plan would not come");
    tkp_context_destroy(context);
}
END_TEST

struct user_params {
    uint32_t struct_size;
    int32_t anything;
};

START_TEST(backend__user_kind__planned_and_run_by_who_has_it)
{
    tkp_context *context = context_of("ref,fake");
    const struct user_params params = {sizeof(params), 5};
    tkp_tensor args[2];
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_U8, 3, 4);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I64, 3);
    tkp_op_desc desc = TKP_OP_DESC_INIT;
    desc.kind = TKP_OP_USER_FIRST + 7;
    desc.args = args;
    desc.n_args = 2;
    desc.params = &params;
    fake.only_kind = TKP_OP_TOPK;
    try_create(
        "user", context, &desc, TKP_ERR_UNSUPPORTED,
        "op1007: no backend has it: ref: ");
    try_create(
        "user", context, &desc, TKP_ERR_UNSUPPORTED,
        "; fake: another kind is wanted");
    fake.only_kind = desc.kind;
    tkp_op *op = NULL;
    expect("user", tkp_op_create(&op, context, &desc), TKP_OK, NULL);
    ck_assert_ptr_eq(fake.seen.params, &params);

    tkp_exec *exec = exec_of(context);
    args[0].data = memory[0];
    args[1].data = memory[1];
    memory[1][0] = 0;
    expect("user", tkp_op_run(op, exec, args, 2), TKP_OK, NULL);
    ck_assert_int_eq(memory[1][0], FAKE_MARK);
    args[0].shape[1] = 5;
    expect(
        "user", tkp_op_run(op, exec, args, 2), TKP_ERR_SHAPE,
        "op1007: argument 0: dim 1 is 5, the plan was made for 4");
    tkp_op_destroy(op);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
}
END_TEST

/* --- run ------------------------------------------------------------------------ */

START_TEST(op_run__each_kind__runs_and_refuses_what_is_not_the_plan)
{
    const struct op_case *c = &cases[_i];
    tkp_context *context = context_of("fake");
    tkp_op *op = plan_of(context, c);
    tkp_exec *exec = exec_of(context);
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(c, args, true);
    expect(c->name, tkp_op_run(op, exec, args, c->n_args), TKP_OK, NULL);
    ck_assert_int_eq(fake.runs, 1);

    for (int32_t i = 0; i < c->n_args; i++) {
        for (int32_t d = 0; d < c->args[i].ndim; d++) {
            make_args(c, args, true);
            args[i].shape[d]++;
            expect(
                c->name, tkp_op_run(op, exec, args, c->n_args), TKP_ERR_SHAPE,
                "the plan was made for");
        }
        make_args(c, args, true);
        args[i].dtype = TKP_DTYPE_U8;
        expect(
            c->name, tkp_op_run(op, exec, args, c->n_args), TKP_ERR_DTYPE,
            "the plan was made for");
        make_args(c, args, true);
        args[i].dtype = TKP_DTYPE_NONE;
        expect(
            c->name, tkp_op_run(op, exec, args, c->n_args), TKP_ERR_ARGUMENT,
            "is missing");
        make_args(c, args, true);
        args[i].data = NULL;
        expect(
            c->name, tkp_op_run(op, exec, args, c->n_args), TKP_ERR_ARGUMENT,
            "data is NULL");
        make_args(c, args, true);
        args[i].data = memory[i] + 1;
        expect(
            c->name, tkp_op_run(op, exec, args, c->n_args), TKP_ERR_ARGUMENT,
            "not aligned");
        make_args(c, args, true);
        args[i].device_type = TKP_DEVICE_CUDA;
        expect(
            c->name, tkp_op_run(op, exec, args, c->n_args), TKP_ERR_ARGUMENT,
            "device 2:0");
        make_args(c, args, true);
        args[i].strides[c->args[i].ndim - 1] = -1;
        expect(
            c->name, tkp_op_run(op, exec, args, c->n_args), TKP_ERR_SHAPE,
            "stride");
    }
    ck_assert_int_eq(fake.runs, 1);
    tkp_op_destroy(op);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_run__output_over_another_argument__refused_unless_allowed)
{
    const struct op_case *c = &cases[_i];
    tkp_context *context = context_of("fake");
    tkp_op *op = plan_of(context, c);
    tkp_exec *exec = exec_of(context);
    tkp_tensor args[TKP_OP_MAX_ARGS];
    for (int32_t out = 0; out < c->n_args; out++) {
        if (!(c->outputs & (1u << out)))
            continue;
        for (int32_t i = 0; i < c->n_args; i++) {
            if (i == out)
                continue;
            make_args(c, args, true);
            args[out].data = args[i].data;
            const bool allowed = c->in_place == i + 1;
            expect(
                c->name, tkp_op_run(op, exec, args, c->n_args),
                allowed ? TKP_OK : TKP_ERR_ALIAS, allowed ? NULL : "overlaps");
            args[out].byte_offset = 4;
            expect(
                c->name, tkp_op_run(op, exec, args, c->n_args), TKP_ERR_ALIAS,
                "overlaps");
        }
    }
    tkp_op_destroy(op);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_run__strides__gaps_between_rows_of_inputs_only)
{
    const struct op_case *c = case_of(TKP_OP_ROTARY);
    tkp_context *context = context_of("fake");
    tkp_op *op = plan_of(context, c);
    tkp_exec *exec = exec_of(context);
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(c, args, true);
    args[0].strides[0] = 100;
    expect("rotary", tkp_op_run(op, exec, args, 4), TKP_OK, NULL);
    args[0].strides[0] = 0;
    expect("rotary", tkp_op_run(op, exec, args, 4), TKP_OK, NULL);
    args[0].strides[1] = 20;
    expect(
        "rotary", tkp_op_run(op, exec, args, 4), TKP_ERR_SHAPE,
        "x: strides leave gaps inside a row");
    make_args(c, args, true);
    args[0].strides[2] = 2;
    expect(
        "rotary", tkp_op_run(op, exec, args, 4), TKP_ERR_SHAPE,
        "x: stride 2 is 2, wanted 1");
    make_args(c, args, true);
    args[3].strides[0] = 100;
    expect(
        "rotary", tkp_op_run(op, exec, args, 4), TKP_ERR_SHAPE,
        "dst: strides leave gaps, wanted a row-major output");
    tkp_op_destroy(op);

    /* Attention takes keys as [B, G, L, C] transposed, probabilities as is. */
    op = plan_of(context, case_of(TKP_OP_ATTENTION));
    make_args(case_of(TKP_OP_ATTENTION), args, true);
    args[1].strides[0] = 16;
    args[1].strides[1] = 9 * 16;
    expect("attention", tkp_op_run(op, exec, args, 8), TKP_OK, NULL);
    tkp_op_destroy(op);
    op = plan_of(context, case_of(TKP_OP_ATTENTION_ROWS_REDUCE));
    make_args(case_of(TKP_OP_ATTENTION_ROWS_REDUCE), args, true);
    args[0].strides[0] = 1;
    args[0].strides[1] = 4;
    args[0].strides[2] = 32;
    expect("rows", tkp_op_run(op, exec, args, 6), TKP_OK, NULL);
    tkp_op_destroy(op);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_run__smaller_or_empty__accepted)
{
    tkp_context *context = context_of("fake");
    tkp_op *op = plan_of(context, case_of(TKP_OP_ACTIVATION));
    tkp_exec *exec = exec_of(context);
    tkp_tensor args[TKP_OP_MAX_ARGS];
    for (int64_t rows = 0; rows < 6; rows++) {
        make_args(case_of(TKP_OP_ACTIVATION), args, true);
        for (int32_t i = 0; i < 3; i++) {
            args[i].shape[0] = rows;
            if (rows == 0)
                args[i].data = NULL;
        }
        expect("activation", tkp_op_run(op, exec, args, 3), TKP_OK, NULL);
    }
    args[1].shape[0] = 4;
    expect("activation", tkp_op_run(op, exec, args, 3), TKP_ERR_SHAPE, "(M)");
    tkp_op_destroy(op);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_run__compact__rows_follow_from_the_sizes)
{
    tkp_context *context = context_of("fake");
    const struct op_case *c = case_of(TKP_OP_COMPACT);
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(c, args, false);
    args[2].shape[0] = 20; /* the longest of any run */
    const tkp_op_desc desc = desc_of(c, args);
    tkp_op *op = NULL;
    expect("compact", tkp_op_create(&op, context, &desc), TKP_OK, NULL);
    tkp_exec *exec = exec_of(context);
    make_args(c, args, true);
    expect("compact", tkp_op_run(op, exec, args, 3), TKP_OK, NULL);
    args[2].shape[0] = 16;
    expect(
        "compact", tkp_op_run(op, exec, args, 3), TKP_ERR_SHAPE,
        "wanted 5 to 15");
    args[2].shape[0] = 4;
    expect("compact", tkp_op_run(op, exec, args, 3), TKP_ERR_SHAPE, "is 4");
    tkp_op_destroy(op);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_run__constant_weights__the_plans_own)
{
    tkp_context *context = context_of("fake");
    const struct op_case *c = case_of(TKP_OP_LINEAR);
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(c, args, false);
    args[1].data = memory[1];
    const tkp_op_desc desc = desc_of(c, args);
    tkp_op *op = NULL;
    expect("linear", tkp_op_create(&op, context, &desc), TKP_OK, NULL);
    tkp_exec *exec = exec_of(context);
    make_args(c, args, true);
    expect("linear", tkp_op_run(op, exec, args, 5), TKP_OK, NULL);
    args[1].data = memory[7];
    expect(
        "linear", tkp_op_run(op, exec, args, 5), TKP_ERR_ARGUMENT,
        "w: data is not what the plan was made with");
    args[1].data = memory[1];
    args[1].shape[0] = args[2].shape[0] = args[3].shape[1] = args[4].shape[1] =
        7;
    expect("linear", tkp_op_run(op, exec, args, 5), TKP_ERR_SHAPE, "w: dim 0");
    tkp_op_destroy(op);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_run__workspace_one_byte_short__refused_and_dst_untouched)
{
    tkp_context *context = context_of("fake");
    const struct op_case *c = case_of(TKP_OP_TOPK);
    tkp_op *op = plan_of(context, c);
    tkp_exec *exec = exec_of(context);
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(c, args, true);
    memory[5][0] = 3;
    expect(
        "short", tkp_exec_set_workspace(exec, workspace, FAKE_WORKSPACE - 1),
        TKP_OK, NULL);
    expect(
        "short", tkp_op_run(op, exec, args, 6), TKP_ERR_WORKSPACE,
        "topk: workspace: 191 bytes, wanted 192");
    expect("none", tkp_exec_set_workspace(exec, NULL, 0), TKP_OK, NULL);
    expect("none", tkp_op_run(op, exec, args, 6), TKP_ERR_WORKSPACE, "0 bytes");
    ck_assert_int_eq(memory[5][0], 3);
    ck_assert_int_eq(fake.runs, 0);
    memset(workspace, 0, sizeof(workspace));
    expect(
        "exact", tkp_exec_set_workspace(exec, workspace, FAKE_WORKSPACE),
        TKP_OK, NULL);
    expect("exact", tkp_op_run(op, exec, args, 6), TKP_OK, NULL);
    ck_assert_int_eq(workspace[FAKE_WORKSPACE - 1], 1);
    ck_assert_int_eq(workspace[FAKE_WORKSPACE], 0);
    tkp_op_destroy(op);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_run__wrong_objects__refused)
{
    tkp_context *context = context_of("fake");
    tkp_context *stranger = context_of("fake");
    const struct op_case *c = case_of(TKP_OP_TOPK);
    tkp_op *op = plan_of(context, c);
    tkp_exec *exec = exec_of(context), *other = exec_of(stranger);
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(c, args, true);
    expect("op", tkp_op_run(NULL, exec, args, 6), TKP_ERR_ARGUMENT, "op");
    expect("exec", tkp_op_run(op, NULL, args, 6), TKP_ERR_ARGUMENT, "exec");
    expect("args", tkp_op_run(op, exec, NULL, 6), TKP_ERR_ARGUMENT, "args");
    expect("count", tkp_op_run(op, exec, args, 5), TKP_ERR_ARGUMENT, "n_args");
    expect(
        "other", tkp_op_run(op, other, args, 6), TKP_ERR_ARGUMENT,
        "another context");
    fake.run_fails = TKP_ERR_DEVICE;
    expect(
        "broken", tkp_op_run(op, exec, args, 6), TKP_ERR_DEVICE,
        "fake: topk: the run broke");
    tkp_requirements req = TKP_REQUIREMENTS_INIT;
    expect("query", tkp_op_query(NULL, &req), TKP_ERR_ARGUMENT, "op");
    expect("query", tkp_op_query(op, NULL), TKP_ERR_ARGUMENT, "requirements");
    req.struct_size = 4;
    expect("query", tkp_op_query(op, &req), TKP_ERR_OPTION, "INIT macro");
    struct {
        tkp_requirements known;
        uint64_t later;
    } newer = {TKP_REQUIREMENTS_INIT, 9};
    newer.known.struct_size = sizeof(newer);
    expect("query", tkp_op_query(op, &newer.known), TKP_OK, NULL);
    ck_assert_uint_eq(newer.known.struct_size, sizeof(newer));
    ck_assert_uint_eq(newer.later, 9);
    tkp_op_destroy(op);
    tkp_op_destroy(NULL);
    tkp_exec_destroy(exec);
    tkp_exec_destroy(other);
    tkp_context_destroy(context);
    tkp_context_destroy(stranger);
}
END_TEST

/* --- life, memory, threads -------------------------------------------------------- */

START_TEST(context_destroy__live_plan__goes_with_it)
{
    test_allocator_install(-1);
    tkp_context *context = context_of("fake");
    tkp_op *op = plan_of(context, case_of(TKP_OP_TOPK));
    tkp_exec *exec = exec_of(context);
    tkp_context_destroy(context);
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(case_of(TKP_OP_TOPK), args, true);
    expect("topk", tkp_op_run(op, exec, args, 6), TKP_OK, NULL);
    tkp_exec_destroy(exec);
    tkp_op_destroy(op);
    test_allocator_remove();
}
END_TEST

START_TEST(op_create__no_memory_at_call_n__no_leak)
{
    tkp_tensor args[TKP_OP_MAX_ARGS];
    const struct op_case *c = case_of(TKP_OP_TOPK);
    make_args(c, args, false);
    const tkp_op_desc desc = desc_of(c, args);
    int failures = 0;
    for (int n = 0;; n++) {
        test_allocator_install(-1);
        tkp_context *context = context_of("fake");
        test_allocator.fail_at = test_allocator.calls + n;
        tkp_op *op = NULL;
        const tkp_status status = tkp_op_create(&op, context, &desc);
        if (status != TKP_OK) {
            expect("topk", status, TKP_ERR_MEMORY, "out of memory");
            ck_assert_ptr_null(op);
            failures++;
        }
        tkp_op_destroy(op);
        tkp_context_destroy(context);
        test_allocator_remove();
        ck_assert_int_eq(fake.plans, 0);
        if (status == TKP_OK)
            break;
    }
    ck_assert_int_ge(failures, 2); /* the plan, and the backend's part of it */
}
END_TEST

static void expect_run_without_allocation(const char *backends)
{
    test_allocator_install(-1);
    tkp_context *context = context_of(backends);
    const struct op_case *c = case_of(TKP_OP_ACTIVATION);
    tkp_op *op = plan_of(context, c);
    tkp_exec *exec = exec_of(context);
    tkp_tensor args[TKP_OP_MAX_ARGS];
    make_args(c, args, true);
    expect("warm", tkp_op_run(op, exec, args, c->n_args), TKP_OK, NULL);
    const int calls = test_allocator.calls;
    const size_t in_use = mallinfo2().uordblks;
    for (int i = 0; i < 100; i++)
        expect("run", tkp_op_run(op, exec, args, c->n_args), TKP_OK, NULL);
    ck_assert_int_eq(test_allocator.calls, calls);
    ck_assert_uint_eq(mallinfo2().uordblks, in_use);
    tkp_op_destroy(op);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
    test_allocator_remove();
}

START_TEST(op_run__any_backend__allocates_nothing)
{
    memset(memory, 0, sizeof(memory));
    expect_run_without_allocation("fake");
    expect_run_without_allocation("ref");
}
END_TEST

static char trace[4096];

static void keep_trace(void *user, int32_t level, const char *line)
{
    (void)user;
    (void)level;
    strncat(trace, line, sizeof(trace) - strlen(trace) - 2);
    strcat(trace, "|");
}

START_TEST(verbose__plan_and_run__a_line_each)
{
    for (int level = 1; level <= 2; level++) {
        setenv("TKP_VERBOSE", level == 1 ? "1" : "2", 1);
        tkp_context_options o = TKP_CONTEXT_OPTIONS_INIT;
        o.backends = "fake";
        o.log = keep_trace;
        trace[0] = '\0';
        tkp_context *context = NULL;
        expect("context", tkp_context_create(&context, &o), TKP_OK, NULL);
        tkp_op *op = plan_of(context, case_of(TKP_OP_TOPK));
        tkp_exec *exec = exec_of(context);
        tkp_tensor args[TKP_OP_MAX_ARGS];
        make_args(case_of(TKP_OP_TOPK), args, true);
        args[5].shape[0] = 4;
        expect("run", tkp_op_run(op, exec, args, 6), TKP_OK, NULL);
        ck_assert_ptr_nonnull(strstr(
            trace, "|tokenprune,plan,topk,fake:noop,f32,n10m2k5,192 bytes|"));
        const char *run =
            strstr(trace, "|tokenprune,run,topk,fake:noop,f32,n10m2k4,");
        ck_assert_int_eq(run != NULL, level == 2);
        tkp_op_destroy(op);
        tkp_exec_destroy(exec);
        tkp_context_destroy(context);
    }
    unsetenv("TKP_VERBOSE");
}
END_TEST

enum { THREADS = 8, RUNS = 200 };

struct worker {
    pthread_t thread;
    const tkp_op *op;
    tkp_context *context;
    int wrong;
    _Alignas(64) unsigned char workspace[FAKE_WORKSPACE];
    _Alignas(64) unsigned char dst[64];
};

/* No ck_assert here: Check is for the main thread. */
static void *work(void *user)
{
    struct worker *w = user;
    tkp_exec *exec = NULL;
    w->wrong = 1;
    if (tkp_exec_create(&exec, w->context, NULL) != TKP_OK)
        return NULL;
    w->wrong =
        tkp_exec_set_workspace(exec, w->workspace, sizeof(w->workspace)) !=
        TKP_OK;
    tkp_tensor args[TKP_OP_MAX_ARGS];
    for (int i = 0; i < RUNS; i++) {
        make_args(case_of(TKP_OP_TOPK), args, true);
        args[5].data = w->dst;
        const bool bad = i % 10 == 9; /* the message is the thread's own */
        if (bad)
            args[0].dtype = TKP_DTYPE_F16;
        w->dst[0] = 0;
        const tkp_status status = tkp_op_run(w->op, exec, args, 6);
        w->wrong += status != (bad ? TKP_ERR_DTYPE : TKP_OK) ||
                    w->dst[0] != (bad ? 0 : FAKE_MARK) ||
                    (tkp_last_message()[0] != '\0') != bad;
    }
    tkp_exec_destroy(exec);
    return NULL;
}

START_TEST(op_run__one_plan_eight_threads__each_its_own_exec)
{
    static struct worker workers[THREADS];
    tkp_context *context = context_of("fake");
    tkp_op *op = plan_of(context, case_of(TKP_OP_TOPK));
    for (int i = 0; i < THREADS; i++) {
        workers[i].op = op;
        workers[i].context = context;
        ck_assert_int_eq(
            pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    tkp_context_destroy(context);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
        ck_assert_int_eq(workers[i].wrong, 0);
    }
    ck_assert_int_eq(fake.runs, THREADS * RUNS * 9 / 10);
    ck_assert_int_eq(fake.execs, 0);
    tkp_op_destroy(op);
}
END_TEST

static void *create_contexts(void *user)
{
    int *wrong = user;
    for (int i = 0; i < 50; i++) {
        tkp_context_options o = TKP_CONTEXT_OPTIONS_INIT;
        o.backends = "fake,ref";
        tkp_context *context = NULL;
        *wrong += tkp_context_create(&context, &o) != TKP_OK;
        *wrong += tkp_sys_disabled("avx512") != 0;
        tkp_context_destroy(context);
    }
    return NULL;
}

START_TEST(context_create__eight_threads__all_served)
{
    pthread_t threads[THREADS];
    int wrong[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, create_contexts, &wrong[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_int_eq(wrong[i], 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/op");

    TCase *description = tcase_create("description");
    tcase_add_checked_fixture(description, setup, NULL);
    tcase_add_loop_test(
        description, op_create__each_kind__planned_and_named, 0, CASES);
    tcase_add_loop_test(
        description, op_create__each_argument_wrong_once__refused_by_name, 0,
        CASES);
    tcase_add_loop_test(
        description, op_create__params__missing_older_newer, 0, CASES);
    tcase_add_test(description, op_create__wrong_pointers_and_counts__refused);
    tcase_add_loop_test(
        description, op_create__sizes_that_disagree__message_with_both, 0,
        (int)(sizeof(shapes) / sizeof(shapes[0])));
    tcase_add_test(
        description, op_create__params_out_of_range__refused_by_name);
    tcase_add_test(
        description, op_create__defaults_in_params__filled_in_for_the_backend);
    tcase_add_test(description, op_create__relations_of_options__refused);
    suite_add_tcase(suite, description);

    TCase *choice = tcase_create("choice");
    tcase_add_checked_fixture(choice, setup, NULL);
    tcase_add_test(choice, backend__takes_one_kind__others_fall_back_to_ref);
    tcase_add_test(
        choice, backend__plan_not_supported_or_broken__next_or_error);
    tcase_add_test(choice, backend__user_kind__planned_and_run_by_who_has_it);
    suite_add_tcase(suite, choice);

    TCase *run = tcase_create("run");
    tcase_add_checked_fixture(run, setup, NULL);
    tcase_add_loop_test(
        run, op_run__each_kind__runs_and_refuses_what_is_not_the_plan, 0,
        CASES);
    tcase_add_loop_test(
        run, op_run__output_over_another_argument__refused_unless_allowed, 0,
        CASES);
    tcase_add_test(run, op_run__strides__gaps_between_rows_of_inputs_only);
    tcase_add_test(run, op_run__smaller_or_empty__accepted);
    tcase_add_test(run, op_run__compact__rows_follow_from_the_sizes);
    tcase_add_test(run, op_run__constant_weights__the_plans_own);
    tcase_add_test(
        run, op_run__workspace_one_byte_short__refused_and_dst_untouched);
    tcase_add_test(run, op_run__wrong_objects__refused);
    suite_add_tcase(suite, run);

    TCase *life = tcase_create("life");
    tcase_add_checked_fixture(life, setup, NULL);
    tcase_add_test(life, context_destroy__live_plan__goes_with_it);
    tcase_add_test(life, op_create__no_memory_at_call_n__no_leak);
    tcase_add_test(life, op_run__any_backend__allocates_nothing);
    tcase_add_test(life, verbose__plan_and_run__a_line_each);
    tcase_add_test(life, op_run__one_plan_eight_threads__each_its_own_exec);
    tcase_add_test(life, context_create__eight_threads__all_served);
    suite_add_tcase(suite, life);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
