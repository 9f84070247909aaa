/*
 * Cases of the kinds a model's forward is made of.
 */

#include <math.h>
#include <string.h>

#include "op_cases.h"

static const int32_t floats[] = {TKP_DTYPE_F32, TKP_DTYPE_BF16, TKP_DTYPE_F16};
static const int64_t rows_of[] = {1, 0, 3, 17, 64, 577};
static const int64_t widths[] = {64, 1, 127, 16, 3, 1024};

static void build_linear(tkp_test_case *c, int32_t i)
{
    static const int64_t shapes[][3] = {
        /* m, k, n */
        {1, 64, 64},    {0, 64, 64},  {3, 1, 5},      {17, 127, 33},
        {64, 128, 257}, {1, 1024, 1}, {7, 1024, 512}, {1, 512, 2048},
        {33, 3, 64},    {5, 588, 96}};
    const int64_t *s = shapes[tkp_test_pick(&i, 10)];
    const int32_t x = floats[tkp_test_pick(&i, 2)];
    const int32_t w = floats[tkp_test_pick(&i, 3)];
    const int32_t out = tkp_test_random(c, 2) ? x : TKP_DTYPE_F32;
    const int32_t bias = (int32_t)tkp_test_random(c, 4);
    const int32_t residual = (int32_t)tkp_test_random(c, 3);
    tkp_test_params(c, sizeof(tkp_op_linear));
    c->params.linear.pack = (int32_t)tkp_test_random(c, 3);
    tkp_test_arg_float(
        c, 0, x, 2, (int64_t[]){s[0], s[1]}, tkp_test_random(c, 2) * 4,
        TKP_TEST_NORMAL);
    tkp_test_arg_float(
        c, 1, w, 2, (int64_t[]){s[2], s[1]}, tkp_test_random(c, 4) == 0 ? 2 : 0,
        TKP_TEST_NORMAL);
    tkp_test_arg_none(c, 2);
    if (bias < 3)
        tkp_test_arg_float(
            c, 2, floats[bias], 1, (int64_t[]){s[2]}, 0, TKP_TEST_NORMAL);
    tkp_test_arg_none(c, 3);
    if (residual)
        tkp_test_arg_float(
            c, 3, out, 2, (int64_t[]){s[0], s[2]}, residual == 1 ? 3 : 0,
            TKP_TEST_NORMAL);
    if (residual == 2)
        tkp_test_arg_alias(c, 4, 3);
    else
        tkp_test_arg_out(c, 4, out, 2, (int64_t[]){s[0], s[2]});
    tkp_test_describe(
        c, ",%s,m%d k%d n%d x+%d w %s+%d to %s bias=%s residual=%d pack=%d",
        tkp_dtype_string(x), (int)s[0], (int)s[1], (int)s[2],
        (int)(c->args[0].strides[0] - s[1]), tkp_dtype_string(w),
        (int)(c->args[1].strides[0] - s[1]), tkp_dtype_string(out),
        bias < 3 ? tkp_dtype_string(floats[bias]) : "no", residual,
        c->params.linear.pack);
}

static void build_norm(tkp_test_case *c, int32_t i, bool layer)
{
    const int64_t m = rows_of[tkp_test_pick(&i, 6)];
    const int64_t d = widths[tkp_test_pick(&i, 6)];
    const int32_t x = floats[tkp_test_pick(&i, 3)];
    const int32_t w = floats[tkp_test_random(c, 3)];
    tkp_test_params(c, sizeof(tkp_op_norm));
    c->params.norm.eps = tkp_test_random(c, 2) ? 1e-5f : 1e-6f;
    tkp_test_arg_float(
        c, 0, x, 2, (int64_t[]){m, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    tkp_test_arg_float(c, 1, w, 1, &d, 0, TKP_TEST_NORMAL);
    if (layer)
        tkp_test_arg_float(
            c, 2, floats[tkp_test_random(c, 3)], 1, &d, 0, TKP_TEST_NORMAL);
    tkp_test_arg_out(c, layer ? 3 : 2, x, 2, (int64_t[]){m, d});
    tkp_test_describe(
        c, ",%s,m%d d%d w %s eps=%g", tkp_dtype_string(x), (int)m, (int)d,
        tkp_dtype_string(w), (double)c->params.norm.eps);
}

static void build_rms_norm(tkp_test_case *c, int32_t i)
{
    build_norm(c, i, false);
}

static void build_layer_norm(tkp_test_case *c, int32_t i)
{
    build_norm(c, i, true);
}

static void build_rotary_table(tkp_test_case *c, int32_t i)
{
    static const int32_t halves[] = {64, 20, 1, 4};
    static const double thetas[] = {1e4, 1e6, 5e5};
    const int64_t m = rows_of[tkp_test_pick(&i, 6)];
    const int32_t half = halves[tkp_test_pick(&i, 4)];
    const int64_t p = tkp_test_pick(&i, 2) ? 3 : 1;
    tkp_test_params(c, sizeof(tkp_op_rotary_table));
    tkp_op_rotary_table *t = &c->params.rotary_table;
    t->theta = thetas[tkp_test_random(c, 3)];
    if (p == 3) {
        t->section[0] = half / 4;
        t->section[1] = (half - half / 4) / 2;
        t->section[2] = half - t->section[0] - t->section[1];
    }
    tkp_test_arg_view(
        c, 0, TKP_DTYPE_I32, 2, (int64_t[]){p, m}, tkp_test_random(c, 2));
    for (int64_t k = 0; k < p * m; k++)
        ((int32_t *)c->args[0].data)[tkp_test_offset(&c->args[0], k)] =
            (int32_t)tkp_test_random(c, k % 3 ? 4096 : 40000);
    tkp_test_arg_out(c, 1, TKP_DTYPE_F32, 2, (int64_t[]){m, half});
    tkp_test_arg_out(c, 2, TKP_DTYPE_F32, 2, (int64_t[]){m, half});
    tkp_test_describe(
        c, ",f32,m%d c%d p%d theta=%g", (int)m, 2 * half, (int)p, t->theta);
}

static void build_rotary(tkp_test_case *c, int32_t i)
{
    const int64_t m = rows_of[tkp_test_pick(&i, 6)];
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const bool in_place = tkp_test_pick(&i, 2);
    const int64_t h = 1 + tkp_test_random(c, 4);
    const int64_t half = (int64_t[]){64, 1, 20, 7}[tkp_test_random(c, 4)];
    const int64_t shape[] = {m, h, 2 * half};
    tkp_test_arg_float(
        c, 0, dtype, 3, shape, in_place ? 0 : tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    for (int32_t a = 1; a <= 2; a++) {
        tkp_test_arg_float(
            c, a, TKP_DTYPE_F32, 2, (int64_t[]){m, half}, 0, TKP_TEST_NORMAL);
        float *table = c->args[a].data;
        for (int64_t k = 0; k < m * half; k++)
            table[k] = a == 1 ? cosf(table[k]) : sinf(table[k]);
    }
    if (in_place)
        tkp_test_arg_alias(c, 3, 0);
    else
        tkp_test_arg_out(c, 3, dtype, 3, shape);
    tkp_test_describe(
        c, ",%s,m%d h%d c%d%s", tkp_dtype_string(dtype), (int)m, (int)h,
        (int)(2 * half), in_place ? " in place" : "");
}

/* Pairs (query rows, keys) of the sequences; -1 ends. */
static const int32_t attention_batches[][12] = {
    {1, 1, -1},
    {0, 0, -1},
    {-1},
    {7, 7, 0, 0, 13, 13, -1},
    {31, 31, 32, 32, 33, 33, -1},
    {1, 129, 1, 64, 1, 1, -1},         /* decode */
    {16, 100, 0, 7, 5, 0, 64, 64, -1}, /* chunked prefill; no keys */
    {9, 4, 3, 3, -1},                  /* more rows than keys */
    {97, 97, -1},
    {16, 2880, -1},
    {257, 257, -1},
};

static void build_attention(tkp_test_case *c, int32_t i)
{
    static const int64_t heads[][3] = {
        {2, 1, 64}, {1, 1, 1}, {4, 4, 16}, {6, 2, 33}, {2, 2, 128}};
    const int32_t *pairs = attention_batches[tkp_test_pick(&i, 11)];
    const int32_t dtype = floats[tkp_test_pick(&i, 2)];
    const bool causal = tkp_test_pick(&i, 2);
    const int64_t *h = heads[tkp_test_random(c, 5)];
    int32_t queries[8], keys[8], b = 0;
    for (; pairs[2 * b] >= 0; b++) {
        queries[b] = pairs[2 * b];
        keys[b] = pairs[2 * b + 1];
    }
    queries[b] = keys[b] = -1;
    const int64_t nq = tkp_test_batch_total(queries);
    const int64_t nk = tkp_test_batch_total(keys) + 2;
    tkp_test_params(c, sizeof(tkp_op_attention));
    c->params.attention.flags = causal ? TKP_ATTENTION_CAUSAL : 0;
    c->params.attention.scale = tkp_test_random(c, 2) ? 0.0f : 0.3f;
    c->degenerate = true; /* rows without keys are zero */
    /* What a logit is off by in f32 grows with its size, and a probability is
     * off by that share. With scale 1 / sqrt(C) logits are around 1. */
    c->looser =
        fmax(1.0, (double)c->params.attention.scale * sqrt((double)h[2]));
    tkp_test_arg_float(
        c, 0, dtype, 3, (int64_t[]){nq, h[0], h[2]}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    for (int32_t a = 1; a <= 2; a++) {
        tkp_test_arg_view(c, a, dtype, 3, (int64_t[]){nk, h[1], h[2]}, 0);
        if (tkp_test_random(c, 2))
            tkp_test_arg_swap(c, a);
        tkp_test_arg_fill(c, a, TKP_TEST_NORMAL);
    }
    tkp_test_arg_offsets(c, 3, queries);
    tkp_test_arg_offsets(c, 4, keys);
    tkp_test_arg_out(c, 5, dtype, 3, (int64_t[]){nq, h[0], h[2]});
    const bool lse = tkp_test_random(c, 2);
    tkp_test_arg_none(c, 6);
    if (lse)
        tkp_test_arg_out(c, 6, TKP_DTYPE_F32, 2, (int64_t[]){nq, h[0]});
    const bool bias = tkp_test_random(c, 2);
    tkp_test_arg_none(c, 7);
    if (bias)
        tkp_test_arg_float(
            c, 7, TKP_DTYPE_F32, 1, (int64_t[]){nk}, 0, TKP_TEST_NORMAL);
    if (bias && tkp_test_random(c, 2)) /* some are hidden, at times all */
        for (int64_t j = 0; j < nk; j++)
            if (tkp_test_random(c, 3))
                tkp_test_store(
                    c->args[7].data, TKP_DTYPE_F32,
                    tkp_test_offset(&c->args[7], j), (double)-INFINITY);
    tkp_test_describe(
        c, ",%s,q%d k%d b%d h%d g%d c%d%s scale=%g%s%s",
        tkp_dtype_string(dtype), (int)nq, (int)nk, b, (int)h[0], (int)h[1],
        (int)h[2], causal ? " causal" : "", (double)c->params.attention.scale,
        lse ? " lse" : "", bias ? " bias" : "");
}

static void build_activation(tkp_test_case *c, int32_t i)
{
    const int64_t m = rows_of[tkp_test_pick(&i, 6)];
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int32_t function = 1 + tkp_test_pick(&i, 3);
    const bool gated = tkp_test_random(c, 2), in_place = tkp_test_random(c, 2);
    const int64_t shape[] = {m, widths[tkp_test_random(c, 6)]};
    tkp_test_params(c, sizeof(tkp_op_activation));
    c->params.activation.function = function;
    tkp_test_arg_float(
        c, 0, dtype, 2, shape, in_place ? 0 : tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    /* Both tails, and the middle. */
    tkp_tensor *a = &c->args[0];
    for (int64_t k = 0; k < tkp_tensor_count(a); k++) {
        const int64_t at = tkp_test_offset(a, k);
        const double scale = k % 7 == 3 ? 60.0 : k % 7 == 5 ? 1e-3 : 3.0;
        tkp_test_store(
            a->data, dtype, at,
            scale * (double)tkp_test_load(a->data, dtype, at));
    }
    tkp_test_arg_none(c, 1);
    if (gated)
        tkp_test_arg_float(c, 1, dtype, 2, shape, 0, TKP_TEST_NORMAL);
    if (in_place)
        tkp_test_arg_alias(c, 2, 0);
    else
        tkp_test_arg_out(c, 2, dtype, 2, shape);
    tkp_test_describe(
        c, ",%s,m%d n%d f=%d%s%s", tkp_dtype_string(dtype), (int)m,
        (int)shape[1], function, gated ? " gated" : "",
        in_place ? " in place" : "");
}

static void build_add(tkp_test_case *c, int32_t i)
{
    const int64_t m = rows_of[tkp_test_pick(&i, 6)];
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int32_t other = floats[tkp_test_pick(&i, 3)];
    const bool in_place = tkp_test_random(c, 2);
    const int64_t d = widths[tkp_test_random(c, 6)];
    const int64_t mb =
        (int64_t[]){m ? m : 1, 1, 5, m + 2}[tkp_test_random(c, 4)];
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){m, d},
        in_place ? 0 : tkp_test_random(c, 2) * 3, TKP_TEST_NORMAL);
    tkp_test_arg_float(
        c, 1, other, 2, (int64_t[]){mb, d}, tkp_test_random(c, 2) * 2,
        TKP_TEST_NORMAL);
    if (in_place)
        tkp_test_arg_alias(c, 2, 0);
    else
        tkp_test_arg_out(c, 2, dtype, 2, (int64_t[]){m, d});
    tkp_test_describe(
        c, ",%s,m%d d%d b %d rows of %s%s", tkp_dtype_string(dtype), (int)m,
        (int)d, (int)mb, tkp_dtype_string(other), in_place ? " in place" : "");
}

static void build_patches(tkp_test_case *c, int32_t i)
{
    static const int64_t shapes[][4] = {/* v, s, t, p */
                                        {1, 28, 28, 14}, {0, 28, 28, 14},
                                        {2, 6, 9, 3},    {3, 5, 4, 1},
                                        {1, 30, 17, 14}, {2, 3, 3, 4}};
    const int64_t *s = shapes[tkp_test_pick(&i, 6)];
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    tkp_test_params(c, sizeof(tkp_op_patches));
    c->params.patches.patch = (int32_t)s[3];
    c->exact = true;
    tkp_test_arg_float(
        c, 0, TKP_DTYPE_F32, 4, (int64_t[]){s[0], 3, s[1], s[2]},
        tkp_test_random(c, 2) * 5, TKP_TEST_NORMAL);
    tkp_test_arg_out(
        c, 1, dtype, 2,
        (int64_t[]){s[0] * (s[1] / s[3]) * (s[2] / s[3]), 3 * s[3] * s[3]});
    tkp_test_describe(
        c, ",%s,v%d %dx%d p%d", tkp_dtype_string(dtype), (int)s[0], (int)s[1],
        (int)s[2], (int)s[3]);
}

static void build_cast(tkp_test_case *c, int32_t i)
{
    static const double edges[] = {0.0,         -0.0,      INFINITY, -INFINITY,
                                   (double)NAN, 65504.0,   65519.99, 65520.0,
                                   -1e30,       3.4e38,    1e-40,    0x1p-24,
                                   0x1p-25,     0x1.8p-25, 0x1p-14,  1.00390625,
                                   1.01171875,  0x1.002p0, 0x1.006p0};
    static const int64_t shapes[][5] = {{0, 0, 0, 0, 0},   {1, 1, 0, 0, 0},
                                        {1, 0, 0, 0, 0},   {1, 577, 0, 0, 0},
                                        {2, 33, 31, 0, 0}, {3, 5, 7, 9, 0},
                                        {4, 2, 3, 5, 7}};
    const int32_t from = floats[tkp_test_pick(&i, 3)];
    const int32_t to = floats[tkp_test_pick(&i, 3)];
    const int64_t *s = shapes[tkp_test_pick(&i, 7)];
    c->exact = true;
    tkp_test_arg_float(
        c, 0, from, (int32_t)s[0], s + 1,
        s[0] > 1 ? tkp_test_random(c, 2) * 3 : 0, TKP_TEST_NORMAL);
    tkp_tensor *x = &c->args[0];
    for (int64_t k = 0; k < 19 && k < tkp_tensor_count(x); k++)
        tkp_test_store(x->data, from, tkp_test_offset(x, k), edges[k]);
    tkp_test_arg_out(c, 1, to, (int32_t)s[0], s + 1);
    tkp_test_describe(
        c, ",%s,%lld to %s, %d dims", tkp_dtype_string(from),
        (long long)tkp_tensor_count(x), tkp_dtype_string(to), (int)s[0]);
}

const tkp_test_kind tkp_test_kinds_forward[] = {
    {TKP_OP_LINEAR, 300, build_linear},
    {TKP_OP_RMS_NORM, 108, build_rms_norm},
    {TKP_OP_LAYER_NORM, 108, build_layer_norm},
    {TKP_OP_ROTARY_TABLE, 48, build_rotary_table},
    {TKP_OP_ROTARY, 72, build_rotary},
    {TKP_OP_ATTENTION, 88, build_attention},
    {TKP_OP_ACTIVATION, 108, build_activation},
    {TKP_OP_ADD, 108, build_add},
    {TKP_OP_PATCHES, 36, build_patches},
    {TKP_OP_CAST, 63, build_cast},
    {0, 0, NULL},
};
