/*
 * Cases of the greedy kinds, and of likeness to text that they go by.
 *
 * Greedy kinds. What is chosen has one right answer as long as no
 * two values tie up to rounding: rows are random, or have four entries of 1 or
 * -1, so that lengths are 2 and cosines quarters in any arithmetic, and ties
 * are exact and many.
 */

#include <math.h>
#include <string.h>

#include "op_cases.h"

enum { X, ROWS, OFFSETS, MEMBERS, KEEP, OUT_OFFSETS, WEIGHTS };

static const int32_t floats[] = {TKP_DTYPE_F32, TKP_DTYPE_F16, TKP_DTYPE_BF16};

/* Four entries of 1 or -1, and a row of zeros here and there. */
static void fill_signs(tkp_test_case *c)
{
    tkp_tensor *x = &c->args[X];
    for (int64_t r = 0; r < x->shape[0]; r++) {
        int32_t at[4];
        tkp_test_distinct(c, at, 4, (int32_t)x->shape[1], true);
        for (int64_t d = 0; d < x->shape[1]; d++)
            tkp_test_store(x->data, x->dtype, r * x->strides[0] + d, 0.0);
        for (int32_t i = 0; i < 4 && r % 11 != 4; i++)
            tkp_test_store(
                x->data, x->dtype, r * x->strides[0] + at[i],
                tkp_test_random(c, 2) ? 1.0 : -1.0);
    }
}

/* Weights from 0, eighths where they have to tie. */
static void build_weights(tkp_test_case *c, int32_t arg, int64_t n, bool exact)
{
    tkp_test_arg_float(c, arg, TKP_DTYPE_F32, 1, &n, 0, TKP_TEST_NORMAL);
    float *w = c->args[arg].data;
    for (int64_t i = 0; i < n; i++)
        w[i] = exact ? (float)tkp_test_random(c, 9) / 8.0f : fabsf(w[i]);
}

typedef struct built {
    int64_t n, kept;
    int32_t groups;
    bool exact;
} built;

/* Arguments 0 to 5; the case's number decides what they are like. */
static built build_common(tkp_test_case *c, int32_t *i, bool may_tie, int64_t k)
{
    static const int32_t few[] = {0, 1, 2, 3, 4, 5, 6, 7};
    const int32_t *batch = tkp_test_batch(few[tkp_test_pick(i, 8)]);
    const int32_t dtype = floats[tkp_test_pick(i, 3)];
    const bool exact = tkp_test_pick(i, 2) && may_tie;
    const bool listed = tkp_test_pick(i, 2);
    const int64_t d = exact ? 8 + 8 * (int64_t)tkp_test_random(c, 3)
                            : (int64_t[]){17, 40, 64}[tkp_test_random(c, 3)];
    built b = {
        .n = tkp_test_batch_total(batch),
        .groups = tkp_test_batch_size(batch),
        .exact = exact,
    };
    const int32_t n = (int32_t)b.n, all = n + 3;
    c->exact = true;
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, ROWS, n, NULL), n, all, tkp_test_random(c, 2));
    tkp_test_arg_float(
        c, X, dtype, 2, (int64_t[]){all, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    if (exact)
        fill_signs(c);
    tkp_test_arg_offsets(c, OFFSETS, batch);
    tkp_test_arg_none(c, MEMBERS);
    if (listed)
        tkp_test_distinct(
            c, tkp_test_arg_i32(c, MEMBERS, n, NULL), n, n, false);
    int32_t *keep = tkp_test_arg_i32(c, KEEP, b.groups, NULL);
    int32_t *out = tkp_test_arg_i32(c, OUT_OFFSETS, b.groups + 1, NULL);
    out[0] = 0;
    for (int32_t g = 0; g < b.groups; g++) {
        const int32_t most = batch[g] < k ? batch[g] : (int32_t)k;
        keep[g] = tkp_test_random(c, 3)
                      ? (int32_t)tkp_test_random(c, (uint32_t)most + 1)
                      : most;
        out[g + 1] = out[g] + keep[g];
    }
    b.kept = out[b.groups];
    tkp_test_describe(
        c, ",%s,n%d m%d k%d d%d%s%s", tkp_dtype_string(dtype), n, b.groups,
        (int)b.kept, (int)d, exact ? " signs" : "", listed ? " members" : "");
    return b;
}

static void build_distance(tkp_test_case *c, int32_t i)
{
    const built b = build_common(c, &i, true, 40);
    tkp_op_greedy_distance *p = &c->params.greedy_distance;
    tkp_test_params(c, sizeof(*p));
    p->rule = (int32_t)tkp_test_random(c, 2);
    if (p->rule == TKP_GREEDY_MMR) {
        p->lambda = (float)tkp_test_random(c, 5) / 4.0f;
    } else {
        p->measure = (int32_t)tkp_test_random(c, 2);
        p->weighted = (int32_t)tkp_test_random(c, 2);
    }
    p->start = (int32_t)tkp_test_random(c, 4);
    tkp_test_arg_none(c, WEIGHTS);
    build_weights(c, WEIGHTS, b.n, b.exact);
    tkp_test_arg_out(c, 7, TKP_DTYPE_I32, 1, &b.kept);
    tkp_test_describe(
        c, " rule=%d measure=%d start=%d weighted=%d lambda=%g", p->rule,
        p->measure, p->start, p->weighted, (double)p->lambda);
}

static void build_cover(tkp_test_case *c, int32_t i)
{
    const int32_t kernel = tkp_test_pick(&i, 3);
    const built b =
        build_common(c, &i, kernel != TKP_GREEDY_KERNEL_SOFTMAX, 40);
    tkp_op_greedy_cover *p = &c->params.greedy_cover;
    tkp_test_params(c, sizeof(*p));
    p->kernel = kernel;
    if (kernel == TKP_GREEDY_KERNEL_SOFTMAX)
        p->temperature = 0.25f;
    p->scale = (float)tkp_test_random(c, 3) / 2.0f;
    p->add = (int32_t)tkp_test_random(c, 2);
    p->power = b.exact ? (float)tkp_test_random(c, 3)
                       : (float)tkp_test_random(c, 4) / 2.0f;
    /* Without weights two tokens that cover each other gain the same. */
    const bool demand = tkp_test_random(c, 2);
    const bool factor = tkp_test_random(c, 2) || !(demand || b.exact);
    const int64_t extra = tkp_test_random(c, 2) ? 5 : 0;
    tkp_test_arg_none(c, 6);
    tkp_test_arg_none(c, 7);
    tkp_test_arg_none(c, 8);
    tkp_test_arg_none(c, 9);
    if (demand)
        build_weights(c, 6, b.n, b.exact);
    if (factor)
        build_weights(c, 7, b.n, b.exact);
    if (extra) {
        tkp_test_arg_float(
            c, 8, TKP_DTYPE_F32, 2, (int64_t[]){extra, b.n}, 2,
            TKP_TEST_NORMAL);
        float *rows = c->args[8].data;
        for (int64_t r = 0; b.exact && r < extra; r++)
            for (int64_t j = 0; j < b.n; j++)
                rows[r * c->args[8].strides[0] + j] =
                    (float)tkp_test_random(c, 9) / 8.0f;
        tkp_test_arg_view(c, 9, TKP_DTYPE_I32, 2, (int64_t[]){b.groups, 2}, 0);
        int32_t *range = c->args[9].data;
        for (int32_t g = 0; g < b.groups; g++) {
            range[2 * g] = (int32_t)tkp_test_random(c, 3);
            range[2 * g + 1] = range[2 * g] + (int32_t)tkp_test_random(c, 3);
        }
    }
    tkp_test_arg_out(c, 10, TKP_DTYPE_I32, 1, &b.kept);
    tkp_test_describe(
        c, " kernel=%d scale=%g power=%g%s%s%s%s", p->kernel, (double)p->scale,
        (double)p->power, p->add ? " add" : "", demand ? " demand" : "",
        factor ? " factor" : "", extra ? " extra" : "");
}

static void build_dpp(tkp_test_case *c, int32_t i)
{
    const built b = build_common(c, &i, false, 12);
    tkp_op_greedy_dpp *p = &c->params.greedy_dpp;
    tkp_test_params(c, sizeof(*p));
    p->kernel = (int32_t)tkp_test_random(c, 3);
    p->theta = (float)tkp_test_random(c, 4) / 4.0f;
    tkp_test_arg_none(c, WEIGHTS);
    /* Without weights all are equal at first: the lowest one is taken. */
    build_weights(c, WEIGHTS, b.n, false);
    tkp_test_arg_out(c, 7, TKP_DTYPE_I32, 1, &b.kept);
    tkp_test_describe(c, " kernel=%d theta=%g", p->kernel, (double)p->theta);
}

static void build_tri(tkp_test_case *c, int32_t i)
{
    const built b = build_common(c, &i, false, 40);
    tkp_op_greedy_tri *p = &c->params.greedy_tri;
    tkp_test_params(c, sizeof(*p));
    p->alpha = (float)tkp_test_random(c, 4) / 2.0f;
    p->lambda = (float)tkp_test_random(c, 4) / 2.0f;
    p->min_max = (int32_t)tkp_test_random(c, 2);
    tkp_test_arg_none(c, WEIGHTS);
    build_weights(c, WEIGHTS, b.n, false);
    tkp_test_arg_out(c, 7, TKP_DTYPE_I32, 1, &b.kept);
    tkp_test_describe(
        c, " alpha=%g lambda=%g%s", (double)p->alpha, (double)p->lambda,
        p->min_max ? " min-max" : "");
}

static void build_parity(tkp_test_case *c, int32_t i)
{
    const built b = build_common(c, &i, false, 40);
    tkp_test_params(c, sizeof(tkp_op_parity));
    c->params.parity.step = (int32_t)tkp_test_random(c, 10);
    tkp_test_arg_none(c, WEIGHTS);
    build_weights(c, WEIGHTS, b.n, false);
    tkp_test_arg_out(c, 7, TKP_DTYPE_I32, 1, &b.kept);
    tkp_test_describe(c, " step=%d", c->params.parity.step);
}

/* --- text -------------------------------------------------------------------- */

/* First row and end of each sequence, out of `rows`. */
static void
build_range(tkp_test_case *c, int32_t arg, int32_t groups, int32_t rows)
{
    tkp_test_arg_view(c, arg, TKP_DTYPE_I32, 2, (int64_t[]){groups, 2}, 0);
    int32_t *range = c->args[arg].data;
    for (int32_t g = 0; g < groups; g++) {
        range[2 * g] = (int32_t)tkp_test_random(c, (uint32_t)rows);
        range[2 * g + 1] =
            range[2 * g] +
            (int32_t)tkp_test_random(c, (uint32_t)(rows - range[2 * g]) + 1);
    }
}

static void build_similarity(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 9));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const bool softmax = tkp_test_pick(&i, 2);
    const bool listed = tkp_test_random(c, 2);
    const int32_t n = tkp_test_batch_total(batch), all = n + 3, rows = 6;
    const int32_t groups = tkp_test_batch_size(batch);
    const int64_t d = (int64_t[]){1, 17, 40, 64}[tkp_test_random(c, 4)];
    tkp_test_params(c, sizeof(tkp_op_similarity));
    c->params.similarity.kernel = softmax;
    c->params.similarity.temperature = softmax ? 0.5f : 0.0f;
    tkp_test_arg_float(
        c, X, dtype, 2, (int64_t[]){all, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, ROWS, n, NULL), n, all, tkp_test_random(c, 2));
    for (int64_t r = 4; r < all; r += 11)
        for (int64_t j = 0; j < d; j++)
            tkp_test_store(
                c->args[X].data, dtype, r * c->args[X].strides[0] + j, 0.0);
    tkp_test_arg_offsets(c, OFFSETS, batch);
    tkp_test_arg_none(c, MEMBERS);
    if (listed)
        tkp_test_distinct(
            c, tkp_test_arg_i32(c, MEMBERS, n, NULL), n, n, false);
    tkp_test_arg_float(
        c, 4, floats[tkp_test_random(c, 3)], 2, (int64_t[]){rows, d},
        tkp_test_random(c, 2) * 5, TKP_TEST_NORMAL);
    build_range(c, 5, groups, rows);
    tkp_test_arg_out(c, 6, TKP_DTYPE_F32, 2, (int64_t[]){rows, n});
    c->degenerate = true;
    tkp_test_describe(
        c, ",%s,n%d m%d d%d%s%s", tkp_dtype_string(dtype), n, groups, (int)d,
        softmax ? " softmax" : "", listed ? " members" : "");
}

static void build_reconstruction(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 7));
    const int32_t dtype = tkp_test_pick(&i, 2) ? TKP_DTYPE_BF16 : TKP_DTYPE_F32;
    const bool listed = tkp_test_pick(&i, 2);
    const int32_t groups = tkp_test_batch_size(batch);
    const int32_t n = tkp_test_batch_total(batch);
    const int64_t count = n;
    tkp_op_reconstruction *p = &c->params.reconstruction;
    tkp_test_params(c, sizeof(*p));
    p->ridge = tkp_test_random(c, 2) ? 0.0f : 0.5f;
    tkp_test_arg_float(
        c, X, dtype, 2, (int64_t[]){n + 2, 40}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, ROWS, n, NULL), n, n + 2, tkp_test_random(c, 2));
    const int32_t *offsets = tkp_test_arg_offsets(c, OFFSETS, batch);
    const int32_t *members = NULL;
    tkp_test_arg_none(c, MEMBERS);
    if (listed) {
        int32_t *list = tkp_test_arg_i32(c, MEMBERS, n, NULL);
        tkp_test_distinct(c, list, n, n, false);
        members = list;
    }
    int32_t ends[9] = {0};
    for (int32_t g = 0; g < groups; g++)
        ends[g + 1] = ends[g] + (batch[g] < 3 ? batch[g] : 3);
    int32_t *basis = tkp_test_arg_i32(c, 4, ends[groups], NULL);
    for (int32_t g = 0; g < groups; g++)
        for (int32_t b = ends[g]; b < ends[g + 1]; b++) {
            const int32_t m = offsets[g] + b - ends[g];
            basis[b] = members ? members[m] : m;
        }
    tkp_test_arg_i32(c, 5, groups + 1, ends);
    tkp_test_arg_out(c, 6, TKP_DTYPE_F32, 1, &count);
    c->degenerate = true;
    tkp_test_describe(
        c, ",%s,n%d m%d%s", tkp_dtype_string(dtype), n, groups,
        listed ? " members" : "");
}

static void build_relevance(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 9));
    const bool tokens = tkp_test_pick(&i, 2);
    const int64_t n = tkp_test_batch_total(batch);
    const int32_t b = tkp_test_batch_size(batch);
    tkp_op_relevance *p = &c->params.relevance;
    tkp_test_params(c, sizeof(*p));
    p->like = (int32_t)tkp_test_random(c, 2);
    p->mix = (float)tkp_test_random(c, 5) / 4.0f;
    p->share = (float)tkp_test_random(c, 5) / 4.0f;
    p->sharpness = 2.0f;
    p->temperature = 0.5f;
    p->epsilon = tkp_test_random(c, 2) ? 1e-6f : 0.0f;
    tkp_test_arg_float(
        c, 0, TKP_DTYPE_F32, 2, (int64_t[]){4, n}, 1, TKP_TEST_NORMAL);
    build_range(c, 1, b, 4);
    tkp_test_arg_none(c, 2);
    tkp_test_arg_none(c, 3);
    if (tokens) {
        tkp_test_arg_float(
            c, 2, TKP_DTYPE_F32, 2, (int64_t[]){9, n}, 0, TKP_TEST_NORMAL);
        build_range(c, 3, b, 9);
    }
    tkp_test_arg_offsets(c, 4, batch);
    tkp_test_arg_out(c, 5, TKP_DTYPE_F32, 1, &n);
    c->degenerate = true;
    tkp_test_describe(c, ",f32,n%d b%d%s", (int)n, b, tokens ? " tokens" : "");
}

static void build_smooth_grid(tkp_test_case *c, int32_t i)
{
    static const int32_t grids[][3] = {{1, 1, 1},   {1, 5, 7}, {2, 3, 1},
                                       {1, 24, 24}, {3, 2, 2}, {1, 1, 6}};
    const int32_t images = tkp_test_pick(&i, 4);
    int32_t grid[9], n = 0, counts[4] = {0};
    tkp_op_smooth_grid *p = &c->params.smooth_grid;
    tkp_test_params(c, sizeof(*p));
    p->cells = 576;
    p->sigma = tkp_test_random(c, 2) ? 1.0f : 0.5f;
    p->power = (float)tkp_test_random(c, 3);
    for (int32_t g = 0; g < images; g++) {
        memcpy(grid + 3 * g, grids[tkp_test_random(c, 6)], sizeof(grids[0]));
        const int32_t cells = grid[3 * g] * grid[3 * g + 1] * grid[3 * g + 2];
        counts[g] = tkp_test_random(c, 2)
                        ? cells
                        : (int32_t)tkp_test_random(c, (uint32_t)cells + 1);
        n += counts[g];
    }
    const int64_t count = n;
    tkp_test_arg_float(c, 0, TKP_DTYPE_F32, 1, &count, 0, TKP_TEST_NORMAL);
    float *src = c->args[0].data;
    for (int32_t j = 0; j < n; j++)
        src[j] = fabsf(src[j]);
    int32_t *offsets = tkp_test_arg_i32(c, 1, images + 1, NULL);
    tkp_test_arg_view(c, 2, TKP_DTYPE_I32, 2, (int64_t[]){images, 3}, 0);
    int32_t *cells = tkp_test_arg_i32(c, 3, n, NULL);
    offsets[0] = 0;
    for (int32_t g = 0; g < images; g++) {
        memcpy(
            (int32_t *)c->args[2].data + 3 * g, grid + 3 * g,
            3 * sizeof(int32_t));
        tkp_test_distinct(
            c, cells + offsets[g], counts[g],
            grid[3 * g] * grid[3 * g + 1] * grid[3 * g + 2], true);
        offsets[g + 1] = offsets[g] + counts[g];
    }
    tkp_test_arg_out(c, 4, TKP_DTYPE_F32, 1, &count);
    c->degenerate = true;
    tkp_test_describe(c, ",f32,n%d i%d", n, images);
}

const tkp_test_kind tkp_test_kinds_greedy[] = {
    {TKP_OP_SIMILARITY, 54, build_similarity},
    {TKP_OP_RECONSTRUCTION, 28, build_reconstruction},
    {TKP_OP_RELEVANCE, 36, build_relevance},
    {TKP_OP_SMOOTH_GRID, 24, build_smooth_grid},
    {TKP_OP_GREEDY_DISTANCE, 288, build_distance},
    {TKP_OP_GREEDY_COVER, 288, build_cover},
    {TKP_OP_GREEDY_DPP, 96, build_dpp},
    {TKP_OP_GREEDY_TRI, 96, build_tri},
    {TKP_OP_PARITY, 64, build_parity},
    {0, 0, NULL},
};
