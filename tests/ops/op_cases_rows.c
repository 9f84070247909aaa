/*
 * Cases of the kinds that pool and move rows.
 */

#include <string.h>

#include "op_cases.h"

static const int32_t floats[] = {TKP_DTYPE_F32, TKP_DTYPE_BF16, TKP_DTYPE_F16};
static const int64_t widths[] = {64, 1, 127, 16, 3, 1024};

static void build_group_pool(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int32_t out = floats[tkp_test_pick(&i, 3)];
    const bool average = tkp_test_random(c, 3) > 0;
    const bool weighted = average && tkp_test_random(c, 2);
    const int64_t d = batch[0] == 2880 ? 64 : widths[tkp_test_random(c, 6)];
    const int64_t n = tkp_test_batch_total(batch), rows = n + 4;
    const int64_t groups = tkp_test_batch_size(batch);
    tkp_test_params(c, sizeof(tkp_op_group_pool));
    c->params.group_pool.pool =
        average ? (int32_t)tkp_test_random(c, 2) : TKP_POOL_MAX;
    c->degenerate = true; /* empty groups */
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){rows, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    tkp_test_arg_offsets(c, 1, batch);
    int32_t *members = tkp_test_arg_i32(c, 2, n, NULL);
    for (int64_t m = 0; m < n; m++)
        members[m] = (int32_t)tkp_test_random(c, (uint32_t)rows);
    tkp_test_arg_none(c, 3);
    if (weighted) {
        tkp_test_arg_view(c, 3, TKP_DTYPE_F32, 1, &rows, 0);
        for (int64_t r = 0; r < rows; r++)
            ((float *)c->args[3].data)[r] = 1.0f + (float)tkp_test_random(c, 4);
    }
    tkp_test_arg_out(c, 4, out, 2, (int64_t[]){groups, d});
    tkp_test_describe(
        c, ",%s,n%d m%d d%d to %s pool=%d%s", tkp_dtype_string(dtype), (int)n,
        (int)groups, (int)d, tkp_dtype_string(out), c->params.group_pool.pool,
        weighted ? " weights" : "");
}

static void build_group_broadcast(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int64_t n = tkp_test_batch_total(batch), all = n + 6;
    const int64_t groups = tkp_test_batch_size(batch);
    c->exact = true;
    tkp_test_arg_float(c, 0, TKP_DTYPE_F32, 1, &groups, 0, TKP_TEST_NORMAL);
    tkp_test_arg_offsets(c, 1, batch);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 2, n, NULL), (int32_t)n, (int32_t)all, false);
    tkp_test_arg_out(c, 3, TKP_DTYPE_F32, 1, &all);
    tkp_test_arg_fill(c, 3, TKP_TEST_NORMAL); /* what has to stay */
    tkp_test_describe(c, ",f32,n%d m%d", (int)n, (int)groups);
}

static void fill_bytes(tkp_test_case *c, int32_t arg)
{
    unsigned char *data = c->args[arg].data;
    const size_t bytes = c->blocks[arg].bytes;
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)tkp_test_random(c, 256);
}

static void build_gather_rows(tkp_test_case *c, int32_t i)
{
    static const int32_t dtypes[] = {TKP_DTYPE_F32, TKP_DTYPE_BF16,
                                     TKP_DTYPE_I32, TKP_DTYPE_U8,
                                     TKP_DTYPE_I64, TKP_DTYPE_F16};
    const int32_t n =
        tkp_test_batch_total(tkp_test_batch(tkp_test_pick(&i, 10)));
    const int32_t dtype = dtypes[tkp_test_pick(&i, 6)];
    const int32_t ndim = 1 + (int32_t)tkp_test_random(c, 4);
    const bool in_place = tkp_test_random(c, 2);
    const int64_t rows = n + 3;
    const int64_t shape[] = {
        rows, widths[tkp_test_random(c, 5)], 1 + tkp_test_random(c, 4), 2};
    c->exact = true;
    tkp_test_arg_view(
        c, 0, dtype, ndim, shape,
        in_place || ndim == 1 ? 0 : tkp_test_random(c, 2) * 3);
    fill_bytes(c, 0);
    int32_t *index = tkp_test_arg_i32(c, 1, n, NULL);
    tkp_test_distinct(c, index, n, (int32_t)rows, true);
    for (int32_t k = 0; !in_place && k < n; k++)
        index[k] = (int32_t)tkp_test_random(c, (uint32_t)rows);
    if (in_place)
        tkp_test_arg_alias(c, 2, 0);
    else
        tkp_test_arg_out(
            c, 2, dtype, ndim, (int64_t[]){n, shape[1], shape[2], shape[3]});
    c->args[2].shape[0] = n;
    tkp_test_describe(
        c, ",%s,n%d of %d, %d dims%s", tkp_dtype_string(dtype), n, (int)rows,
        ndim, in_place ? ", in place" : "");
}

static void build_scatter_rows(tkp_test_case *c, int32_t i)
{
    const int32_t n =
        tkp_test_batch_total(tkp_test_batch(tkp_test_pick(&i, 10)));
    const int32_t from = floats[tkp_test_pick(&i, 3)];
    const int32_t to = floats[tkp_test_pick(&i, 3)];
    const int64_t d = widths[tkp_test_random(c, 5)];
    c->exact = true;
    tkp_test_arg_float(
        c, 0, from, 2, (int64_t[]){n, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 1, n, NULL), n, n + 9, tkp_test_random(c, 2));
    tkp_test_arg_out(c, 2, to, 2, (int64_t[]){n + 9, d});
    tkp_test_arg_fill(c, 2, TKP_TEST_NORMAL); /* what has to stay */
    tkp_test_describe(
        c, ",%s,n%d d%d to %s", tkp_dtype_string(from), n, (int)d,
        tkp_dtype_string(to));
}

/* Up to `most` kept of each group, at args `first` and `first` + 1. */
static int64_t
build_kept(tkp_test_case *c, int32_t first, const int32_t *batch, int32_t most)
{
    const int32_t groups = tkp_test_batch_size(batch);
    int32_t ends[16] = {0};
    for (int32_t g = 0; g < groups; g++)
        ends[g + 1] = ends[g] + (batch[g] < most ? batch[g] : most);
    int32_t *kept = tkp_test_arg_i32(c, first, ends[groups], NULL);
    for (int32_t g = 0, start = 0; g < groups; start += batch[g++])
        for (int32_t k = ends[g]; k < ends[g + 1]; k++)
            kept[k] =
                start + (k - ends[g]) * (batch[g] / most ? batch[g] / most : 1);
    tkp_test_arg_i32(c, first + 1, groups + 1, ends);
    return ends[groups];
}

static void build_nearest(tkp_test_case *c, int32_t i)
{
    /* Values from five make ties that f32 cannot tell apart. */
    static const int32_t more[] = {150, 300, 0, 7, -1};
    const int32_t at = tkp_test_pick(&i, 11);
    const int32_t *batch = at < 10 ? tkp_test_batch(at) : more;
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const bool ties = tkp_test_pick(&i, 2);
    const int64_t n = tkp_test_batch_total(batch);
    const int64_t d = ties ? 7 : widths[tkp_test_random(c, 6)];
    tkp_test_params(c, sizeof(tkp_op_nearest));
    c->params.nearest.measure = (int32_t)tkp_test_random(c, 2);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){n + 2, d}, 0,
        ties ? TKP_TEST_TIES : TKP_TEST_NORMAL);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 1, n, NULL), (int32_t)n, (int32_t)n + 2, false);
    tkp_test_arg_offsets(c, 2, batch);
    tkp_test_arg_none(c, 3);
    build_kept(c, 4, batch, at == 10 ? 140 : 3);
    tkp_test_arg_out(c, 6, TKP_DTYPE_I32, 1, &n);
    tkp_test_arg_out(c, 7, TKP_DTYPE_F32, 1, &n);
    tkp_test_describe(
        c, ",%s,n%d d%d measure=%d%s", tkp_dtype_string(dtype), (int)n, (int)d,
        c->params.nearest.measure, ties ? " ties" : "");
}

static void build_merge_rows(tkp_test_case *c, int32_t i)
{
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int32_t out = floats[tkp_test_pick(&i, 3)];
    const int64_t n = 1 + tkp_test_random(c, 60);
    const int64_t k = 1 + tkp_test_random(c, (uint32_t)n);
    const int64_t d = widths[tkp_test_random(c, 6)];
    tkp_test_params(c, sizeof(tkp_op_merge_rows));
    c->params.merge_rows.rule = (int32_t)tkp_test_random(c, 4);
    c->params.merge_rows.anchor = (float)tkp_test_random(c, 3);
    c->params.merge_rows.beta = 0.25f * (float)tkp_test_random(c, 5);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){n + 2, d}, 0, TKP_TEST_NORMAL);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 1, n, NULL), (int32_t)n, (int32_t)n + 2, false);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 2, k, NULL), (int32_t)k, (int32_t)n, false);
    int32_t *to = tkp_test_arg_i32(c, 3, n, NULL);
    for (int64_t j = 0; j < n; j++)
        to[j] = (int32_t)tkp_test_random(c, (uint32_t)k + 1) - 1;
    tkp_test_arg_none(c, 4);
    if (tkp_test_random(c, 2)) {
        tkp_test_arg_view(c, 4, TKP_DTYPE_F32, 1, &n, 0);
        for (int64_t j = 0; j < n; j++)
            ((float *)c->args[4].data)[j] = 1.0f + (float)tkp_test_random(c, 4);
    }
    tkp_test_arg_out(c, 5, out, 2, (int64_t[]){k, d});
    tkp_test_arg_out(c, 6, TKP_DTYPE_F32, 1, &k);
    tkp_test_describe(
        c, ",%s,n%d k%d d%d rule=%d", tkp_dtype_string(dtype), (int)n, (int)k,
        (int)d, c->params.merge_rows.rule);
}

static void build_neighbours(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int64_t n = tkp_test_batch_total(batch);
    const int64_t d = widths[tkp_test_random(c, 6)];
    const int64_t t = tkp_test_random(c, 9);
    tkp_test_params(c, sizeof(tkp_op_nearest));
    c->params.nearest.measure = (int32_t)tkp_test_random(c, 2);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){n + 2, d}, 0, TKP_TEST_NORMAL);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 1, n, NULL), (int32_t)n, (int32_t)n + 2, false);
    tkp_test_arg_offsets(c, 2, batch);
    tkp_test_arg_none(c, 3);
    build_kept(c, 4, batch, 3);
    const int64_t k = c->args[4].shape[0];
    tkp_test_arg_out(c, 6, TKP_DTYPE_I32, 2, (int64_t[]){k, t});
    tkp_test_describe(
        c, ",%s,n%d k%d d%d t%d", tkp_dtype_string(dtype), (int)n, (int)k,
        (int)d, (int)t);
}

static void build_combine_rows(tkp_test_case *c, int32_t i)
{
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int32_t out = floats[tkp_test_pick(&i, 3)];
    const int64_t n = 1 + tkp_test_random(c, 60);
    const int64_t k = 1 + tkp_test_random(c, (uint32_t)n);
    const int64_t d = widths[tkp_test_random(c, 6)];
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){n + 2, d}, 0, TKP_TEST_NORMAL);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 1, n, NULL), (int32_t)n, (int32_t)n + 2, false);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 2, k, NULL), (int32_t)k, (int32_t)n, false);
    tkp_test_arg_float(c, 3, TKP_DTYPE_F32, 1, &k, 0, TKP_TEST_NORMAL);
    int32_t *ends = tkp_test_arg_i32(c, 4, k + 1, NULL);
    ends[0] = 0;
    for (int64_t j = 0; j < k; j++)
        ends[j + 1] = ends[j] + (int32_t)tkp_test_random(c, 5);
    const int64_t entries = ends[k];
    int32_t *list = tkp_test_arg_i32(c, 5, entries, NULL);
    for (int64_t e = 0; e < entries; e++)
        list[e] = (int32_t)tkp_test_random(c, (uint32_t)n);
    tkp_test_arg_float(c, 6, TKP_DTYPE_F32, 1, &entries, 0, TKP_TEST_NORMAL);
    tkp_test_arg_out(c, 7, out, 2, (int64_t[]){k, d});
    tkp_test_describe(
        c, ",%s,n%d k%d d%d l%d", tkp_dtype_string(dtype), (int)n, (int)k,
        (int)d, (int)entries);
}

const tkp_test_kind tkp_test_kinds_rows[] = {
    {TKP_OP_GROUP_POOL, 180, build_group_pool},
    {TKP_OP_GROUP_BROADCAST, 20, build_group_broadcast},
    {TKP_OP_GATHER_ROWS, 120, build_gather_rows},
    {TKP_OP_SCATTER_ROWS, 90, build_scatter_rows},
    {TKP_OP_NEAREST, 132, build_nearest},
    {TKP_OP_MERGE_ROWS, 60, build_merge_rows},
    {TKP_OP_NEIGHBOURS, 60, build_neighbours},
    {TKP_OP_COMBINE_ROWS, 60, build_combine_rows},
    {0, 0, NULL},
};
