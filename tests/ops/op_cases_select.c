/*
 * Cases of the selection kinds. Their inputs are the same bits everywhere and
 * the order is total, so the results are, too.
 */

#include <math.h>
#include <string.h>

#include "op_cases.h"

/* How many to keep of each group; out_offsets; the sum. */
static int64_t build_keep(
    tkp_test_case *c,
    int32_t arg,
    const int32_t *batch,
    const int32_t *keep)
{
    const int32_t groups = tkp_test_batch_size(batch);
    tkp_test_arg_i32(c, arg, groups, keep);
    int32_t *offsets = tkp_test_arg_i32(c, arg + 1, groups + 1, NULL);
    offsets[0] = 0;
    for (int32_t g = 0; g < groups; g++)
        offsets[g + 1] = offsets[g] + keep[g];
    return offsets[groups];
}

/* Nothing, all, or some. */
static int32_t some_of(tkp_test_case *c, int32_t n)
{
    switch (tkp_test_random(c, 4)) {
    case 0:
        return n;
    case 1:
        return n / 9;
    default:
        return (int32_t)tkp_test_random(c, (uint32_t)n + 1);
    }
}

static void build_topk(tkp_test_case *c, int32_t i)
{
    static const int32_t fills[] = {
        TKP_TEST_NORMAL, TKP_TEST_TIES,   TKP_TEST_NANS,
        TKP_TEST_ZEROS,  TKP_TEST_RISING,
    };
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int32_t fill = fills[tkp_test_pick(&i, 5)];
    const bool listed = tkp_test_pick(&i, 2);
    const int64_t n = tkp_test_batch_total(batch);
    tkp_test_params(c, sizeof(tkp_op_topk));
    c->params.topk.order = (int32_t)tkp_test_random(c, 2);
    c->params.topk.sorted_by_score = (int32_t)tkp_test_random(c, 2);
    c->exact = true;

    tkp_test_arg_float(c, 0, TKP_DTYPE_F32, 1, &n, 0, fill);
    const int32_t *offsets = tkp_test_arg_offsets(c, 1, batch);
    const int32_t *members = NULL;
    tkp_test_arg_none(c, 2);
    if (listed) {
        int32_t *list = tkp_test_arg_i32(c, 2, n + 2, NULL);
        tkp_test_distinct(c, list, (int32_t)n, (int32_t)n, false);
        members = list;
    }
    const float *scores = c->args[0].data;
    int32_t keep[8] = {0};
    for (int32_t g = 0; batch[g] >= 0; g++)
        for (int32_t m = offsets[g]; m < offsets[g + 1]; m++)
            if (!isnan(scores[members ? members[m] : m])) {
                keep[g] = some_of(c, batch[g]);
                break;
            }
    const int64_t kept = build_keep(c, 3, batch, keep);
    tkp_test_arg_out(c, 5, TKP_DTYPE_I32, 1, &kept);
    tkp_test_describe(
        c, ",f32,n%d m%d k%d fill=%d order=%d sorted=%d%s", (int)n,
        tkp_test_batch_size(batch), (int)kept, fill, c->params.topk.order,
        c->params.topk.sorted_by_score, listed ? " members" : "");
}

/* Few values, so that rows name the same and ties are many; more rows than what a
 * group keeps, or none. */
static void build_nominate(tkp_test_case *c, int32_t i)
{
    enum { ROWS = 5 };
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int32_t fill = tkp_test_pick(&i, 2) ? TKP_TEST_NORMAL : TKP_TEST_TIES;
    const bool listed = tkp_test_pick(&i, 2);
    const int64_t n = tkp_test_batch_total(batch);
    const int32_t groups = tkp_test_batch_size(batch);
    tkp_test_params(c, sizeof(tkp_op_nominate));
    c->params.nominate.order = (int32_t)tkp_test_random(c, 2);
    c->exact = true;
    tkp_test_arg_float(
        c, 0, TKP_DTYPE_F32, 2, (int64_t[]){ROWS, n},
        (int32_t)tkp_test_random(c, 3), fill);
    tkp_test_arg_view(c, 1, TKP_DTYPE_I32, 2, (int64_t[]){groups, 2}, 0);
    int32_t *range = c->args[1].data;
    for (int32_t g = 0; g < groups; g++) {
        range[2 * g] = (int32_t)tkp_test_random(c, ROWS + 1);
        range[2 * g + 1] =
            range[2 * g] +
            (int32_t)tkp_test_random(c, (uint32_t)(ROWS - range[2 * g]) + 1);
    }
    tkp_test_arg_float(c, 2, TKP_DTYPE_F32, 1, &n, 0, fill);
    tkp_test_arg_offsets(c, 3, batch);
    tkp_test_arg_none(c, 4);
    if (listed)
        tkp_test_distinct(
            c, tkp_test_arg_i32(c, 4, n, NULL), (int32_t)n, (int32_t)n, false);
    int32_t keep[8] = {0};
    for (int32_t g = 0; g < groups; g++)
        keep[g] = some_of(c, batch[g]);
    const int64_t kept = build_keep(c, 5, batch, keep);
    tkp_test_arg_out(c, 7, TKP_DTYPE_I32, 1, &kept);
    tkp_test_describe(
        c, ",f32,n%d m%d k%d fill=%d order=%d%s", (int)n, groups, (int)kept,
        fill, c->params.nominate.order, listed ? " members" : "");
}

static void build_sample(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const bool listed = tkp_test_pick(&i, 2);
    const int32_t groups = tkp_test_batch_size(batch);
    const int32_t n = tkp_test_batch_total(batch);
    tkp_test_params(c, sizeof(tkp_op_sample));
    c->params.sample.seed =
        (uint64_t)tkp_test_random(c, UINT32_MAX) << 32 | (uint64_t)i;
    c->params.sample.salt = tkp_test_random(c, 40);
    c->exact = true;
    tkp_test_arg_offsets(c, 0, batch);
    tkp_test_arg_none(c, 1);
    if (listed)
        tkp_test_distinct(c, tkp_test_arg_i32(c, 1, n, NULL), n, n + 5, false);
    else
        c->args[1].dtype = TKP_DTYPE_NONE;
    int32_t keep[8] = {0};
    for (int32_t g = 0; g < groups; g++)
        keep[g] = some_of(c, batch[g]);
    const int64_t kept = build_keep(c, 2, batch, keep);
    tkp_test_arg_view(c, 4, TKP_DTYPE_I32, 2, (int64_t[]){groups, 2}, 0);
    for (int32_t g = 0; g < 2 * groups; g++)
        ((int32_t *)c->args[4].data)[g] = (int32_t)tkp_test_random(c, 1000);
    tkp_test_arg_out(c, 5, TKP_DTYPE_I32, 1, &kept);
    tkp_test_describe(
        c, ",i32,n%d m%d k%d%s", n, groups, (int)kept,
        listed ? " members" : "");
}

static void build_compact(tkp_test_case *c, int32_t i)
{
    const int32_t n =
        tkp_test_batch_total(tkp_test_batch(tkp_test_pick(&i, 10)));
    const int32_t others = tkp_test_pick(&i, 2) ? 41 : 0;
    const int32_t k = some_of(c, n);
    const int64_t stay = others + k;
    tkp_test_params(c, sizeof(tkp_op_compact));
    c->params.compact.rows = n + others + (int64_t)tkp_test_random(c, 3);
    c->exact = true;
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 0, n, NULL), n, n + others,
        tkp_test_random(c, 2));
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 1, k, NULL), k, n, tkp_test_random(c, 2));
    tkp_test_arg_out(c, 2, TKP_DTYPE_I32, 1, &stay);
    tkp_test_describe(c, ",i32,r%d n%d k%d", n + others, n, k);
}

static void build_pivots(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int32_t dtype = tkp_test_pick(&i, 2) ? TKP_DTYPE_BF16 : TKP_DTYPE_F32;
    const bool listed = tkp_test_pick(&i, 2);
    const int32_t groups = tkp_test_batch_size(batch);
    const int32_t n = tkp_test_batch_total(batch);
    const int32_t others = 5;
    const int64_t shape[2] = {n + others + 2, 24};
    tkp_test_params(c, sizeof(tkp_op_pivots));
    c->params.pivots.per_pivot = (int32_t)tkp_test_random(c, 4);
    c->exact = true;
    tkp_test_arg_float(c, 0, dtype, 2, shape, 0, TKP_TEST_NORMAL);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 1, n + others, NULL), n + others, n + others + 2,
        false);
    const int32_t *offsets = tkp_test_arg_offsets(c, 2, batch);
    const int32_t *members = NULL;
    tkp_test_arg_none(c, 3);
    if (listed) {
        int32_t *list = tkp_test_arg_i32(c, 3, n, NULL);
        tkp_test_distinct(c, list, n, n, false);
        members = list;
    }
    int32_t keep[8] = {0};
    int32_t pivots[8] = {0};
    for (int32_t g = 0; g < groups; g++) {
        keep[g] = some_of(c, batch[g]);
        pivots[g + 1] = pivots[g] + 1 + (int32_t)tkp_test_random(c, 4);
    }
    const int64_t kept = build_keep(c, 4, batch, keep);
    tkp_test_arg_i32(c, 6, groups + 1, pivots);
    int32_t *list = tkp_test_arg_i32(c, 7, pivots[groups], NULL);
    for (int32_t g = 0; g < groups; g++)
        for (int32_t p = pivots[g]; p < pivots[g + 1]; p++) {
            const int32_t m =
                offsets[g] +
                (batch[g] ? (int32_t)tkp_test_random(c, (uint32_t)batch[g])
                          : 0);
            list[p] = tkp_test_random(c, 2) && batch[g]
                          ? (members ? members[m] : m)
                          : n + (int32_t)tkp_test_random(c, (uint32_t)others);
        }
    tkp_test_arg_out(c, 8, TKP_DTYPE_I32, 1, &kept);
    tkp_test_describe(
        c, ",n%d m%d k%d per_pivot=%d%s", n, groups, (int)kept,
        c->params.pivots.per_pivot, listed ? " members" : "");
}

static void build_density_peaks(tkp_test_case *c, int32_t i)
{
    static const int32_t more[] = {0, 140, 9, -1};
    const int32_t at = tkp_test_pick(&i, 8);
    const int32_t *batch = at < 7 ? tkp_test_batch(at) : more;
    const int32_t dtype = tkp_test_pick(&i, 2) ? TKP_DTYPE_BF16 : TKP_DTYPE_F32;
    const bool ties = tkp_test_pick(&i, 2);
    const int32_t groups = tkp_test_batch_size(batch);
    const int32_t n = tkp_test_batch_total(batch);
    const int64_t all = n;
    const int64_t shape[2] = {n + 2, ties ? 2 : 37};
    tkp_test_params(c, sizeof(tkp_op_density_peaks));
    c->params.density_peaks.others = (int32_t)tkp_test_random(c, 2);
    tkp_test_arg_float(
        c, 0, dtype, 2, shape, 0, ties ? TKP_TEST_TIES : TKP_TEST_NORMAL);
    tkp_test_distinct(c, tkp_test_arg_i32(c, 1, n, NULL), n, n + 2, false);
    tkp_test_arg_offsets(c, 2, batch);
    tkp_test_arg_none(c, 3);
    int32_t *neighbours = tkp_test_arg_i32(c, 4, groups, NULL);
    for (int32_t g = 0; g < groups; g++)
        neighbours[g] =
            batch[g] ? 1 + (int32_t)tkp_test_random(
                               c, (uint32_t)(batch[g] < 8 ? batch[g] : 8))
                     : 0;
    tkp_test_arg_out(c, 5, TKP_DTYPE_F32, 1, &all);
    tkp_test_arg_out(c, 6, TKP_DTYPE_F32, 1, &all);
    tkp_test_describe(
        c, ",%s,n%d m%d others=%d%s", tkp_dtype_string(dtype), n, groups,
        c->params.density_peaks.others, ties ? " ties" : "");
}

static void build_cluster_centres(tkp_test_case *c, int32_t i)
{
    static const int32_t more[] = {0, 140, 9, -1};
    static const float distances[] = {0.3f, 0.7f, 0.1f, 0.9f};
    const int32_t at = tkp_test_pick(&i, 8);
    const int32_t *batch = at < 7 ? tkp_test_batch(at) : more;
    const int32_t dtype = tkp_test_pick(&i, 2) ? TKP_DTYPE_BF16 : TKP_DTYPE_F32;
    const bool ties = tkp_test_pick(&i, 2);
    const int32_t n = tkp_test_batch_total(batch);
    const int64_t all = n;
    const int64_t shape[2] = {n + 2, 5};
    tkp_test_params(c, sizeof(tkp_op_cluster_centres));
    c->params.cluster_centres.distance = distances[tkp_test_random(c, 4)];
    tkp_test_arg_float(
        c, 0, dtype, 2, shape, 0, ties ? TKP_TEST_TIES : TKP_TEST_NORMAL);
    tkp_test_distinct(c, tkp_test_arg_i32(c, 1, n, NULL), n, n + 2, false);
    tkp_test_arg_offsets(c, 2, batch);
    tkp_test_arg_none(c, 3);
    tkp_test_arg_out(c, 4, TKP_DTYPE_F32, 1, &all);
    tkp_test_arg_out(c, 5, TKP_DTYPE_I32, 1, &all);
    c->degenerate = true; /* one centre of many, or all are */
    tkp_test_describe(
        c, ",%s,n%d m%d within %g%s", tkp_dtype_string(dtype), n,
        tkp_test_batch_size(batch), (double)c->params.cluster_centres.distance,
        ties ? " ties" : "");
}

/* x, rows, offsets and members of a ragged batch; how many candidates. */
static int32_t
build_rows(tkp_test_case *c, const int32_t *batch, int32_t dtype, bool listed)
{
    const int32_t n = tkp_test_batch_total(batch);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){n + 2, 24}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 1, n, NULL), n, n + 2, tkp_test_random(c, 2));
    tkp_test_arg_offsets(c, 2, batch);
    tkp_test_arg_none(c, 3);
    if (listed)
        tkp_test_distinct(c, tkp_test_arg_i32(c, 3, n, NULL), n, n, false);
    return n;
}

static void build_principal_groups(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 7));
    const int32_t dtype = tkp_test_pick(&i, 2) ? TKP_DTYPE_BF16 : TKP_DTYPE_F32;
    const bool listed = tkp_test_pick(&i, 2);
    const int32_t groups = tkp_test_batch_size(batch);
    tkp_test_params(c, sizeof(tkp_op_principal_groups));
    c->params.principal_groups.logistic = (int32_t)tkp_test_random(c, 2);
    const int64_t n = build_rows(c, batch, dtype, listed);
    int32_t *components = tkp_test_arg_i32(c, 4, groups, NULL);
    for (int32_t g = 0; g < groups; g++)
        components[g] =
            batch[g] ? 1 + (int32_t)tkp_test_random(
                               c, (uint32_t)(batch[g] < 8 ? batch[g] : 8))
                     : 0;
    tkp_test_arg_out(c, 5, TKP_DTYPE_I32, 1, &n);
    tkp_test_arg_out(c, 6, TKP_DTYPE_F32, 1, &n);
    c->degenerate = true;
    tkp_test_describe(
        c, ",%s,n%d m%d%s", tkp_dtype_string(dtype), (int)n, groups,
        listed ? " members" : "");
}

static void build_nms(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 7));
    const int32_t dtype = tkp_test_pick(&i, 2) ? TKP_DTYPE_BF16 : TKP_DTYPE_F32;
    const bool listed = tkp_test_pick(&i, 2);
    const int64_t groups = tkp_test_batch_size(batch);
    const int64_t n = build_rows(c, batch, dtype, listed);
    tkp_test_arg_none(c, 4);
    if (tkp_test_random(c, 2)) {
        int32_t *parts = tkp_test_arg_i32(c, 4, n, NULL);
        for (int64_t j = 0; j < n; j++)
            parts[j] = (int32_t)tkp_test_random(c, n < 3 ? (uint32_t)n : 3);
    }
    tkp_test_arg_float(c, 5, TKP_DTYPE_F32, 1, &n, 0, TKP_TEST_TIES);
    tkp_test_arg_float(c, 6, TKP_DTYPE_F32, 1, &groups, 0, TKP_TEST_NORMAL);
    tkp_test_arg_out(c, 7, TKP_DTYPE_I32, 1, &n);
    tkp_test_arg_out(c, 8, TKP_DTYPE_F32, 1, &groups);
    c->degenerate = true;
    tkp_test_describe(
        c, ",%s,n%d m%d%s", tkp_dtype_string(dtype), (int)n, (int)groups,
        listed ? " members" : "");
}

/* Sets of groups of members: offsets of the groups, of the sets, members, keep.
 * Gives the groups. */
static int32_t build_sets(
    tkp_test_case *c,
    const int32_t *batch,
    int32_t members_arg,
    int32_t sets_arg,
    bool listed,
    int32_t *keep)
{
    const int32_t n = tkp_test_batch_total(batch);
    const int32_t most = 1 + (int32_t)tkp_test_random(c, 40);
    int32_t groups[4096], sets[16];
    int32_t m = 0, b = 0;
    for (; batch[b] >= 0; b++) {
        const int32_t before = m;
        for (int32_t left = batch[b]; left > 0; m++) {
            const int32_t size =
                (int32_t)tkp_test_random(c, (uint32_t)most + 1);
            groups[m] = size < left ? size : left;
            left -= groups[m];
        }
        sets[b] = m - before;
        keep[b] = some_of(c, batch[b]);
    }
    groups[m] = sets[b] = -1;
    tkp_test_arg_offsets(c, 1, groups);
    tkp_test_arg_offsets(c, sets_arg, sets);
    tkp_test_arg_none(c, members_arg);
    if (listed)
        tkp_test_distinct(
            c, tkp_test_arg_i32(c, members_arg, n, NULL), n, n, false);
    return m;
}

static void build_quota(tkp_test_case *c, int32_t i)
{
    static const int32_t reduces[] = {
        0, TKP_ROW_REDUCE_MEAN, TKP_ROW_REDUCE_SUM, TKP_ROW_REDUCE_MAX};
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const bool listed = tkp_test_pick(&i, 2);
    const int64_t n = tkp_test_batch_total(batch);
    int32_t keep[16];
    tkp_test_params(c, sizeof(tkp_op_quota));
    tkp_op_quota *p = &c->params.quota;
    p->rule = tkp_test_pick(&i, 5);
    p->truncate =
        (p->rule == TKP_QUOTA_TILT || p->rule == TKP_QUOTA_LARGEST_REMAINDER) &&
        tkp_test_random(c, 2);
    p->reduce = reduces[tkp_test_random(c, 4)];
    p->temperature = tkp_test_random(c, 2) ? 0.5f : 0.0f;
    p->lowest = p->temperature > 0.0f && tkp_test_random(c, 2);
    p->least = (int32_t)tkp_test_random(c, 3);
    p->base = tkp_test_random(c, 2) ? 0.25f : 0.0f;
    c->exact = true;
    c->degenerate = true; /* most groups may get nothing */
    tkp_test_arg_float(c, 0, TKP_DTYPE_F32, 1, &n, 0, TKP_TEST_NORMAL);
    for (int64_t k = 0; k < n; k++)
        ((float *)c->args[0].data)[k] = fabsf(((float *)c->args[0].data)[k]);
    const int64_t m = build_sets(c, batch, 2, 3, listed, keep);
    tkp_test_arg_i32(c, 4, tkp_test_batch_size(batch), keep);
    tkp_test_arg_out(c, 5, TKP_DTYPE_I32, 1, &m);
    c->degenerate = true; /* budgets of a few tokens leave most groups none */
    tkp_test_describe(
        c, ",f32,n%d b%d m%d rule=%d least=%d%s", (int)n,
        tkp_test_batch_size(batch), (int)m, p->rule, p->least,
        listed ? " members" : "");
}

static void build_reconcile(tkp_test_case *c, int32_t i)
{
    static const int32_t fills[] = {
        TKP_TEST_NORMAL, TKP_TEST_TIES, TKP_TEST_RISING};
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int32_t fill = fills[tkp_test_pick(&i, 3)];
    const bool listed = tkp_test_pick(&i, 2);
    const int64_t n = tkp_test_batch_total(batch);
    int32_t keep[16];
    tkp_test_params(c, sizeof(tkp_op_reconcile));
    c->params.reconcile.order = (int32_t)tkp_test_random(c, 2);
    c->exact = true;
    tkp_test_arg_float(c, 0, TKP_DTYPE_F32, 1, &n, 0, fill);
    const int32_t m = build_sets(c, batch, 2, 4, listed, keep);
    int32_t *quota = tkp_test_arg_i32(c, 3, m, NULL);
    for (int32_t g = 0; g < m; g++)
        quota[g] = (int32_t)tkp_test_random(c, 12);
    const int64_t kept = build_keep(c, 5, batch, keep);
    tkp_test_arg_out(c, 7, TKP_DTYPE_I32, 1, &kept);
    tkp_test_describe(
        c, ",f32,n%d b%d m%d k%d order=%d%s", (int)n,
        tkp_test_batch_size(batch), m, (int)kept, c->params.reconcile.order,
        listed ? " members" : "");
}

const tkp_test_kind tkp_test_kinds_select[] = {
    {TKP_OP_TOPK, 200, build_topk},
    {TKP_OP_QUOTA, 100, build_quota},
    {TKP_OP_RECONCILE, 60, build_reconcile},
    {TKP_OP_NOMINATE, 80, build_nominate},
    {TKP_OP_SAMPLE, 60, build_sample},
    {TKP_OP_COMPACT, 60, build_compact},
    {TKP_OP_PIVOTS, 80, build_pivots},
    {TKP_OP_DENSITY_PEAKS, 64, build_density_peaks},
    {TKP_OP_PRINCIPAL_GROUPS, 28, build_principal_groups},
    {TKP_OP_NMS, 28, build_nms},
    {TKP_OP_CLUSTER_CENTRES, 64, build_cluster_centres},
    {0, 0, NULL},
};
