/*
 * Cases of the score kinds.
 */

#include <math.h>
#include <string.h>

#include "op_cases.h"

static const int32_t floats[] = {TKP_DTYPE_F32, TKP_DTYPE_BF16, TKP_DTYPE_F16};
static const int64_t widths[] = {64, 1, 127, 16, 3, 128};

/* Candidates do not begin at key 0: there is text around the image. */
enum { text_before = 5, text_after = 7 };

/* Query rows per sequence, at the end of its keys, and their positions. */
static int32_t build_queries(
    tkp_test_case *c,
    int32_t arg_offsets,
    int32_t arg_positions,
    const int32_t *batch)
{
    const int32_t b = tkp_test_batch_size(batch);
    int32_t *offsets = tkp_test_arg_i32(c, arg_offsets, b + 1, NULL);
    offsets[0] = 0;
    for (int32_t i = 0; i < b; i++)
        offsets[i + 1] = offsets[i] + (int32_t)tkp_test_random(c, 5);
    int32_t *positions = tkp_test_arg_i32(c, arg_positions, offsets[b], NULL);
    for (int32_t i = 0; i < b; i++) {
        const int32_t keys = batch[i] + text_before + text_after;
        const int32_t rows = offsets[i + 1] - offsets[i];
        for (int32_t q = 0; q < rows; q++)
            positions[offsets[i] + q] =
                tkp_test_random(c, 3)
                    ? keys - rows + q
                    : (int32_t)tkp_test_random(c, (uint32_t)keys);
    }
    return offsets[b];
}

/* offsets, candidates and dst. */
static void
build_candidates(tkp_test_case *c, int32_t arg_offsets, const int32_t *batch)
{
    const int64_t n = tkp_test_batch_total(batch);
    const bool shuffled = tkp_test_random(c, 2);
    const int32_t *offsets = tkp_test_arg_offsets(c, arg_offsets, batch);
    int32_t *cand = tkp_test_arg_i32(c, arg_offsets + 1, n, NULL);
    for (int32_t b = 0; batch[b] >= 0; b++)
        for (int32_t i = 0; i < batch[b]; i++)
            cand[offsets[b] + i] =
                text_before + (shuffled ? batch[b] - 1 - i : i);
    const int64_t b = tkp_test_batch_size(batch);
    if (c->kind == TKP_OP_ATTENTION_HEADS)
        arg_offsets++; /* positions come before dst */
    if (c->kind == TKP_OP_ATTENTION_RANK)
        tkp_test_arg_out(c, arg_offsets + 2, TKP_DTYPE_I32, 1, &b);
    else
        tkp_test_arg_out(c, arg_offsets + 2, TKP_DTYPE_F32, 1, &n);
}

static void build_score_params(tkp_test_case *c, int32_t dtype)
{
    static const uint32_t flags[] = {
        0,
        TKP_ATTENTION_CAUSAL,
        TKP_ATTENTION_CAUSAL | TKP_ATTENTION_EMULATE_HALF,
        TKP_ATTENTION_CAUSAL | TKP_ATTENTION_LOGITS,
    };
    tkp_test_params(c, sizeof(tkp_op_attention_scores));
    tkp_op_attention_scores *p = &c->params.attention_scores;
    p->flags = flags[tkp_test_random(c, 4)];
    p->row_reduce = (int32_t)tkp_test_random(c, 6);
    p->scale = tkp_test_random(c, 2) ? 0.0f : 0.25f;
    c->degenerate = true; /* rows may see nothing, sequences have no rows */
    /* A probability on the edge of two halves may fall to either side. */
    if (p->flags & TKP_ATTENTION_EMULATE_HALF)
        c->looser = tkp_test_table(dtype)->fail / tkp_test_f32.fail;
    tkp_test_describe(
        c, " flags=%u reduce=%d scale=%g", p->flags, p->row_reduce,
        (double)p->scale);
}

/* Packed keys [R, G, C]; a row more than the sequences need. */
static void build_keys_packed(
    tkp_test_case *c,
    const int32_t *keys,
    int64_t g,
    int64_t ch,
    int32_t dtype)
{
    tkp_test_arg_view(
        c, 1, dtype, 3, (int64_t[]){tkp_test_batch_total(keys) + 1, g, ch},
        tkp_test_random(c, 2) * 3);
    if (tkp_test_random(c, 3) == 0)
        tkp_test_arg_swap(c, 1);
    tkp_test_arg_fill(c, 1, TKP_TEST_NORMAL);
    tkp_test_arg_none(c, 3);
}

static int32_t longest(const int32_t *keys)
{
    int32_t top = 0;
    for (int32_t b = 0; keys[b] >= 0; b++)
        top = keys[b] > top ? keys[b] : top;
    return top;
}

/* One block a sequence [B, L, G, C]. */
static void build_keys_block(
    tkp_test_case *c,
    const int32_t *keys,
    int64_t g,
    int64_t ch,
    int32_t dtype)
{
    tkp_test_arg_view(
        c, 1, dtype, 4,
        (int64_t[]){tkp_test_batch_size(keys), longest(keys) + 2, g, ch},
        tkp_test_random(c, 2) * 5);
    tkp_test_arg_fill(c, 1, TKP_TEST_NORMAL);
    tkp_test_arg_none(c, 3);
}

/* Pages [P, S, G, C]; entries of the table that no key needs are wild. */
static void build_keys_paged(
    tkp_test_case *c,
    const int32_t *keys,
    int64_t g,
    int64_t ch,
    int32_t dtype)
{
    static const int32_t sizes[] = {16, 1, 3, 64};
    const int32_t s = sizes[tkp_test_random(c, 4)];
    const int32_t b = tkp_test_batch_size(keys);
    const int32_t per_sequence = (longest(keys) + s - 1) / s + 1;
    const int32_t pages = b * per_sequence + 1;
    tkp_test_arg_float(
        c, 1, dtype, 4, (int64_t[]){pages, s, g, ch}, 0, TKP_TEST_NORMAL);
    tkp_test_arg_view(c, 3, TKP_DTYPE_I32, 2, (int64_t[]){b, per_sequence}, 0);
    int32_t *table = c->args[3].data;
    tkp_test_distinct(c, table, b * per_sequence, pages, false);
    for (int32_t i = 0; i < b; i++)
        for (int32_t t = (keys[i] + s - 1) / s; t < per_sequence; t++)
            table[i * per_sequence + t] = -1000000;
    tkp_test_describe(c, " page=%d", s);
}

static void build_rank_params(tkp_test_case *c)
{
    tkp_test_params(c, sizeof(tkp_op_attention_rank));
    tkp_op_attention_rank *p = &c->params.attention_rank;
    p->flags = tkp_test_random(c, 2) ? TKP_ATTENTION_CAUSAL : 0;
    p->tolerance = tkp_test_random(c, 2) ? 0.0f : 0.01f;
    c->degenerate = true; /* one of everything is 0 or 1 */
    tkp_test_describe(
        c, " flags=%u tolerance=%g", p->flags, (double)p->tolerance);
}

static void build_heads_params(tkp_test_case *c, int64_t channels)
{
    static const int32_t reduce[] = {
        TKP_ROW_REDUCE_DEFAULT, TKP_ROW_REDUCE_MEAN, TKP_ROW_REDUCE_SUM,
        TKP_ROW_REDUCE_MEAN_VISIBLE};
    tkp_test_params(c, sizeof(tkp_op_attention_heads));
    tkp_op_attention_heads *p = &c->params.attention_heads;
    p->flags = tkp_test_random(c, 2) ? TKP_ATTENTION_CAUSAL : 0;
    p->row_reduce = reduce[tkp_test_random(c, 4)];
    p->heads = (int32_t)tkp_test_random(c, 4);
    p->theta = channels % 2 == 0 && tkp_test_random(c, 2) ? 1e4 : 0.0;
    c->degenerate = true; /* rows may see nothing, sequences have no rows */
    tkp_test_describe(
        c, " flags=%u reduce=%d heads=%d theta=%g", p->flags, p->row_reduce,
        p->heads, p->theta);
}

/* One row of positions, or three. */
static void build_heads_positions(tkp_test_case *c, const int32_t *keys)
{
    const int64_t lines = tkp_test_random(c, 2) ? 3 : 1;
    const int64_t rows = tkp_test_batch_total(keys) + 1;
    if (c->params.attention_heads.theta == 0.0 && tkp_test_random(c, 2)) {
        tkp_test_arg_none(c, 9);
        return;
    }
    tkp_test_arg_view(c, 9, TKP_DTYPE_I32, 2, (int64_t[]){lines, rows}, 0);
    int32_t *positions = c->args[9].data;
    for (int64_t i = 0; i < lines * rows; i++)
        positions[i] = (int32_t)tkp_test_random(c, 5000);
}

static void build_attention_scores(tkp_test_case *c, int32_t i)
{
    static const int64_t heads[][3] = {
        {4, 2, 64}, {1, 1, 1}, {7, 1, 33}, {8, 8, 16}, {4, 4, 128}};
    static void (*const keys_of[])(
        tkp_test_case *, const int32_t *, int64_t, int64_t,
        int32_t) = {build_keys_packed, build_keys_block, build_keys_paged};

    const int32_t *batch =
        tkp_test_batch(tkp_test_pick(&i, tkp_test_batches()));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int32_t layout = tkp_test_pick(&i, 3);
    const int64_t *h = heads[batch[0] == 2880 ? 0 : tkp_test_random(c, 5)];
    int32_t keys[8];
    int32_t b = 0;
    for (; batch[b] >= 0; b++)
        keys[b] = batch[b] + text_before + text_after;
    keys[b] = -1;

    tkp_test_describe(
        c, ",%s,n%d b%d h%d g%d c%d %s", tkp_dtype_string(dtype),
        tkp_test_batch_total(batch), b, (int)h[0], (int)h[1], (int)h[2],
        layout == 0   ? "packed"
        : layout == 1 ? "block"
                      : "paged");
    if (c->kind == TKP_OP_ATTENTION_RANK)
        build_rank_params(c);
    else if (c->kind == TKP_OP_ATTENTION_HEADS)
        build_heads_params(c, h[2]);
    else
        build_score_params(c, dtype);
    /* Large logits, see ATTENTION. */
    if (c->kind == TKP_OP_ATTENTION_SCORES)
        c->looser *= fmax(
            1.0, (double)c->params.attention_scores.scale * sqrt((double)h[2]));
    const int64_t rows = build_queries(c, 4, 5, batch);
    tkp_test_arg_float(
        c, 0, dtype, 3, (int64_t[]){rows, h[0], h[2]},
        tkp_test_random(c, 2) * 2, TKP_TEST_NORMAL);
    keys_of[layout](c, keys, h[1], h[2], dtype);
    tkp_test_arg_none(c, 2);
    if (tkp_test_random(c, 3) == 0)
        tkp_test_arg_float(
            c, 2, TKP_DTYPE_F32, 2, (int64_t[]){rows, h[0]}, 0,
            TKP_TEST_NORMAL);
    tkp_test_arg_offsets(c, 6, keys);
    build_candidates(c, 7, batch);
    if (c->kind == TKP_OP_ATTENTION_HEADS)
        build_heads_positions(c, keys);
}

static void build_attention_rows_reduce(tkp_test_case *c, int32_t i)
{
    const int32_t *batch =
        tkp_test_batch(tkp_test_pick(&i, tkp_test_batches()));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const bool full = tkp_test_pick(&i, 2) && longest(batch) < 300;
    const int64_t h = tkp_test_random(c, 2) ? 4 : 1;
    const int64_t l = longest(batch) + text_before + text_after;
    tkp_test_describe(
        c, ",%s,n%d b%d h%d %s", tkp_dtype_string(dtype),
        tkp_test_batch_total(batch), tkp_test_batch_size(batch), (int)h,
        full ? "full" : "rows");
    build_score_params(c, dtype);
    const int64_t rows = build_queries(c, 1, 2, batch);
    if (full)
        tkp_test_arg_view(
            c, 0, dtype, 4, (int64_t[]){tkp_test_batch_size(batch), l, h, l},
            0);
    else
        tkp_test_arg_view(c, 0, dtype, 3, (int64_t[]){rows, h, l}, 0);
    if (tkp_test_random(c, 2))
        tkp_test_arg_swap(c, 0);
    tkp_test_arg_fill(c, 0, TKP_TEST_NORMAL);
    build_candidates(c, 3, batch);
}

/* Rows to look at, some twice, out of more than there are. */
static int64_t build_rows(tkp_test_case *c, int32_t arg, int64_t n)
{
    const int64_t all = n + 3;
    int32_t *rows = tkp_test_arg_i32(c, arg, n, NULL);
    for (int64_t i = 0; i < n; i++)
        rows[i] = (int32_t)tkp_test_random(c, (uint32_t)all);
    return all;
}

static void build_row_norm(tkp_test_case *c, int32_t i)
{
    const int64_t n =
        tkp_test_batch_total(tkp_test_batch(tkp_test_pick(&i, 10)));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int64_t d = widths[tkp_test_random(c, 6)];
    const bool listed = tkp_test_random(c, 2);
    tkp_test_params(c, sizeof(tkp_op_row_norm));
    c->params.row_norm.norm = (int32_t)tkp_test_random(c, 3);
    tkp_test_describe(
        c, ",%s,n%d d%d norm=%d%s", tkp_dtype_string(dtype), (int)n, (int)d,
        c->params.row_norm.norm, listed ? " rows" : "");
    int64_t all = n;
    tkp_test_arg_none(c, 1);
    if (listed)
        all = build_rows(c, 1, n);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){all, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    tkp_test_arg_out(c, 2, TKP_DTYPE_F32, 1, &n);
}

/* Rows of zeros have no direction. */
static void zero_some_rows(tkp_test_case *c, int32_t arg)
{
    tkp_tensor *t = &c->args[arg];
    for (int64_t r = 0; r < t->shape[0]; r++)
        for (int64_t d = 0; r % 11 == 4 && d < t->shape[1]; d++)
            tkp_test_store(t->data, t->dtype, r * t->strides[0] + d, 0.0);
}

static void build_cosine(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int32_t other = floats[tkp_test_random(c, 3)];
    const int64_t d = widths[tkp_test_random(c, 6)];
    const int64_t n = tkp_test_batch_total(batch);
    tkp_test_describe(
        c, ",%s,n%d b%d d%d reference %s", tkp_dtype_string(dtype), (int)n,
        tkp_test_batch_size(batch), (int)d, tkp_dtype_string(other));
    const int64_t all = build_rows(c, 1, n);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){all, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    zero_some_rows(c, 0);
    tkp_test_arg_offsets(c, 2, batch);
    tkp_test_arg_float(
        c, 3, other, 2, (int64_t[]){tkp_test_batch_size(batch), d}, 0,
        TKP_TEST_NORMAL);
    tkp_test_arg_out(c, 4, TKP_DTYPE_F32, 1, &n);
}

static void build_temporal(tkp_test_case *c, int32_t i)
{
    const int64_t n =
        tkp_test_batch_total(tkp_test_batch(tkp_test_pick(&i, 10)));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int64_t d = widths[tkp_test_random(c, 6)];
    tkp_test_params(c, sizeof(tkp_op_temporal));
    c->params.temporal.first = tkp_test_random(c, 2) ? 0.0f : 3.0f;
    c->params.temporal.threshold = tkp_test_random(c, 4) ? 0.0f : 0.1f;
    tkp_test_describe(
        c, ",%s,n%d d%d first=%g", tkp_dtype_string(dtype), (int)n, (int)d,
        (double)c->params.temporal.first);
    const int64_t all = build_rows(c, 1, n);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){all, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    zero_some_rows(c, 0);
    int32_t *before = tkp_test_arg_i32(c, 2, n, NULL);
    for (int64_t k = 0; k < n; k++)
        before[k] = (int32_t)tkp_test_random(c, (uint32_t)n + 1) - 1;
    c->degenerate = true; /* it may be all `first` */
    tkp_test_arg_out(c, 3, TKP_DTYPE_F32, 1, &n);
}

static void build_crop_variance(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 9));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const bool attends = tkp_test_pick(&i, 2);
    const int64_t n = tkp_test_batch_total(batch);
    const int64_t d = n > 1000 ? 24 : widths[tkp_test_random(c, 6)];
    tkp_test_params(c, sizeof(tkp_op_crop_variance));
    c->params.crop_variance.gain = tkp_test_random(c, 2) ? 0.0f : 2.0f;
    c->params.crop_variance.bare = (int32_t)tkp_test_random(c, 2);
    tkp_test_describe(
        c, ",%s,n%d b%d d%d%s", tkp_dtype_string(dtype), (int)n,
        tkp_test_batch_size(batch), (int)d, attends ? " attention" : "");
    const int64_t all = build_rows(c, 1, n);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){all, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    zero_some_rows(c, 0);
    tkp_test_arg_offsets(c, 2, batch);
    tkp_test_arg_none(c, 3);
    if (attends)
        tkp_test_arg_float(
            c, 3, TKP_DTYPE_F32, 1, (int64_t[]){n}, 0, TKP_TEST_NORMAL);
    c->degenerate = true; /* crops of one or two have no variance */
    tkp_test_arg_out(c, 4, TKP_DTYPE_F32, 1, &n);
}

static void build_mean_query(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 9));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int64_t n = tkp_test_batch_total(batch);
    const int64_t heads = 1 + tkp_test_random(c, 3);
    const int64_t each = 1 + tkp_test_random(c, 3);
    const int64_t channels = widths[tkp_test_random(c, 6)];
    tkp_test_params(c, sizeof(tkp_op_mean_query));
    c->params.mean_query.scale = tkp_test_random(c, 2) ? 0.0f : 0.3f;
    tkp_test_describe(
        c, ",%s,n%d b%d h%d g%d c%d", tkp_dtype_string(dtype), (int)n,
        tkp_test_batch_size(batch), (int)(heads * each), (int)heads,
        (int)channels);
    const int64_t all = build_rows(c, 2, n);
    tkp_test_arg_float(
        c, 0, dtype, 3, (int64_t[]){all, heads * each, channels}, 0,
        TKP_TEST_NORMAL);
    tkp_test_arg_float(
        c, 1, dtype, 3, (int64_t[]){all, heads, channels}, 0, TKP_TEST_NORMAL);
    tkp_test_arg_offsets(c, 3, batch);
    tkp_test_arg_out(c, 4, TKP_DTYPE_F32, 1, &n);
}

/* Pictures of a whole and its parts: of the whole some cells are gone, and of the
 * parts some candidates. */
static void build_overview(tkp_test_case *c, int32_t i)
{
    static const int32_t wholes[][2] = {{1, 1}, {5, 7}, {24, 24}, {3, 2}};
    static const int32_t parts[][2] = {{0, 0}, {2, 2}, {1, 3}, {9, 4}};
    const int32_t map = tkp_test_pick(&i, 3);
    const int32_t images = tkp_test_pick(&i, 4);
    int32_t table[15], places[3 * 4000], cell[3 * 576], n = 0, cells = 0;
    tkp_test_params(c, sizeof(tkp_op_overview));
    c->params.overview.map = map;
    c->params.overview.alpha = (float)tkp_test_random(c, 3) * 0.25f;
    for (int32_t g = 0; g < images; g++) {
        const int32_t *whole = wholes[tkp_test_random(c, 4)];
        const int32_t *part = parts[tkp_test_random(c, 4)];
        memcpy(
            table + 5 * g,
            (int32_t[]){cells, whole[0], whole[1], part[0], part[1]},
            5 * sizeof(*table));
        for (int32_t k = 0; k < whole[0] * whole[1]; k++) {
            const bool gone = tkp_test_random(c, 6) == 0;
            cell[cells++] = gone ? -1 : n;
            for (int32_t d = 0; !gone && d < 3; d++)
                places[3 * n + d] = d ? -1 : g;
            n += !gone;
        }
        for (int32_t k = 0; k < 2 * part[0] * part[1]; k++, n++) {
            places[3 * n] = tkp_test_random(c, 9) ? g : -1;
            places[3 * n + 1] = k / 2 / part[1];
            places[3 * n + 2] = k / 2 % part[1];
        }
    }
    const int64_t count = n;
    tkp_test_arg_float(c, 0, TKP_DTYPE_F32, 1, &count, 0, TKP_TEST_NORMAL);
    for (int32_t k = 0; k < n; k++) /* no sum that cancels */
        ((float *)c->args[0].data)[k] = fabsf(((float *)c->args[0].data)[k]);
    tkp_test_arg_i32(c, 1, cells, cell);
    tkp_test_arg_view(c, 2, TKP_DTYPE_I32, 2, (int64_t[]){images, 5}, 0);
    tkp_test_arg_view(c, 3, TKP_DTYPE_I32, 2, (int64_t[]){n, 3}, 0);
    for (int32_t k = 0; k < 5 * images; k++)
        ((int32_t *)c->args[2].data)[k] = table[k];
    for (int32_t k = 0; k < 3 * n; k++)
        ((int32_t *)c->args[3].data)[k] = places[k];
    tkp_test_arg_out(c, 4, TKP_DTYPE_F32, 1, &count);
    c->degenerate = true; /* pictures of one cell, or none */
    tkp_test_describe(c, ",f32,n%d i%d map=%d", n, images, map);
}

static void build_value_attention(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 7));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int64_t n = tkp_test_batch_total(batch);
    const int32_t b = tkp_test_batch_size(batch);
    const int64_t heads = 1 + tkp_test_random(c, 3);
    const int64_t channels = widths[tkp_test_random(c, 6)];
    int32_t texts[64], seeds[64];
    int64_t t = 0;
    for (int32_t s = 0; s < b; s++) {
        texts[s] = (int32_t)tkp_test_random(c, 4);
        seeds[s] = (int32_t)tkp_test_random(
            c, (uint32_t)(batch[s] < 3 ? batch[s] : 3) + 1);
        t += texts[s];
    }
    texts[b] = -1;
    tkp_test_params(c, sizeof(tkp_op_value_attention));
    tkp_test_describe(
        c, ",%s,n%d b%d t%d g%d c%d", tkp_dtype_string(dtype), (int)n, b,
        (int)t, (int)heads, (int)channels);
    tkp_test_arg_float(
        c, 0, dtype, 3, (int64_t[]){n + t + 2, heads, channels}, 0,
        TKP_TEST_NORMAL);
    const int32_t all = (int32_t)(n + t + 2);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 1, t, NULL), (int32_t)t, all, false);
    tkp_test_arg_offsets(c, 2, texts);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 3, n, NULL), (int32_t)n, all, false);
    tkp_test_arg_offsets(c, 4, batch);
    tkp_test_arg_i32(c, 5, b, seeds);
    c->degenerate = true; /* without text all are 0 */
    tkp_test_arg_out(c, 6, TKP_DTYPE_F32, 1, &n);
}

static void build_rotary_coordinates(tkp_test_case *c, int32_t i)
{
    const int64_t lines = tkp_test_pick(&i, 2) ? 3 : 1;
    const int64_t n = (int64_t[]){1, 17, 300}[tkp_test_pick(&i, 3)];
    const int64_t all = n + 9;
    tkp_test_params(c, sizeof(tkp_op_rotary_coordinates));
    c->params.rotary_coordinates.channels =
        2 + 2 * (int32_t)tkp_test_random(c, 40);
    c->params.rotary_coordinates.sine = (int32_t)tkp_test_random(c, 2);
    c->params.rotary_coordinates.theta = 1e4;
    tkp_test_describe(
        c, ",n%d p%d c%d", (int)n, (int)lines,
        c->params.rotary_coordinates.channels);
    tkp_test_arg_view(c, 0, TKP_DTYPE_I32, 2, (int64_t[]){lines, all}, 0);
    int32_t *positions = c->args[0].data;
    for (int64_t p = 0; p < lines * all; p++)
        positions[p] = (int32_t)tkp_test_random(c, 5000);
    tkp_test_distinct(
        c, tkp_test_arg_i32(c, 1, n, NULL), (int32_t)n, (int32_t)all, false);
    tkp_test_arg_out(c, 2, TKP_DTYPE_F32, 1, &n);
}

/* Frames of up to four candidates each, none in two videos. */
static void build_gaussian_scores(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int64_t n = tkp_test_batch_total(batch);
    const int64_t d = n > 1000 ? 24 : widths[tkp_test_random(c, 6)];
    const int32_t most = 1 + (int32_t)tkp_test_random(c, 60);
    int32_t frames[4096];
    int32_t count = 0;
    tkp_test_params(c, sizeof(tkp_op_gaussian_scores));
    c->params.gaussian_scores.centre = (int32_t)tkp_test_random(c, 3);
    c->params.gaussian_scores.channels =
        tkp_test_random(c, 2) ? 0
                              : (int32_t)tkp_test_random(c, (uint32_t)d + 1);
    tkp_test_describe(
        c, ",%s,n%d b%d d%d centre=%d channels=%d", tkp_dtype_string(dtype),
        (int)n, tkp_test_batch_size(batch), (int)d,
        c->params.gaussian_scores.centre, c->params.gaussian_scores.channels);
    const int64_t all = build_rows(c, 1, n);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){all, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    zero_some_rows(c, 0);
    tkp_test_arg_offsets(c, 2, batch);
    for (int32_t b = 0; batch[b] >= 0; b++)
        for (int32_t left = batch[b]; left > 0;) {
            const int32_t size =
                1 + (int32_t)tkp_test_random(c, (uint32_t)most);
            frames[count] = size < left ? size : left;
            left -= frames[count++];
        }
    frames[count] = -1;
    tkp_test_arg_offsets(c, 3, frames);
    /* 5 e^0 less what the squares leave of it */
    c->degenerate = true;
    tkp_test_arg_out(c, 4, TKP_DTYPE_F32, 1, &n);
}

static void build_text_raters(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int64_t n = tkp_test_batch_total(batch);
    const int64_t d = widths[tkp_test_random(c, 6)];
    int32_t words[4096];
    int32_t count = 0;
    int64_t t = 0;
    for (; batch[count] >= 0; count++)
        t += words[count] = 1 + (int32_t)tkp_test_random(c, 12);
    words[count] = -1;
    tkp_test_describe(
        c, ",%s,n%d b%d t%d d%d", tkp_dtype_string(dtype), (int)n, count,
        (int)t, (int)d);
    const int64_t all = build_rows(c, 1, n);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){all, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    tkp_test_arg_offsets(c, 2, batch);
    int32_t *text = tkp_test_arg_i32(c, 3, t, NULL);
    for (int64_t k = 0; k < t; k++)
        text[k] = (int32_t)tkp_test_random(c, (uint32_t)all);
    tkp_test_arg_offsets(c, 4, words);
    c->degenerate = true; /* a single word, or none that is seen */
    tkp_test_arg_out(c, 5, TKP_DTYPE_F32, 1, &t);
    tkp_test_arg_out(c, 6, TKP_DTYPE_I32, 1, &t);
}

static void build_curvature(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int64_t d = widths[tkp_test_random(c, 6)];
    const int64_t n = tkp_test_batch_total(batch);
    tkp_test_describe(
        c, ",%s,n%d b%d d%d", tkp_dtype_string(dtype), (int)n,
        tkp_test_batch_size(batch), (int)d);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){n, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    zero_some_rows(c, 0);
    tkp_test_arg_offsets(c, 1, batch);
    c->degenerate = true; /* short paths are all ends */
    tkp_test_arg_out(c, 2, TKP_DTYPE_F32, 1, &n);
}

static void build_segments(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int64_t d = widths[tkp_test_random(c, 6)];
    const int64_t n = tkp_test_batch_total(batch);
    tkp_test_params(c, sizeof(tkp_op_segments));
    c->params.segments.threshold = 0.1f * (float)tkp_test_random(c, 5) - 0.2f;
    c->params.segments.least = (int32_t)tkp_test_random(c, 9);
    tkp_test_describe(
        c, ",%s,n%d b%d d%d threshold=%g least=%d", tkp_dtype_string(dtype),
        (int)n, tkp_test_batch_size(batch), (int)d,
        (double)c->params.segments.threshold, c->params.segments.least);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){n, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    zero_some_rows(c, 0);
    tkp_test_arg_offsets(c, 1, batch);
    c->degenerate = true; /* short paths are all one segment */
    tkp_test_arg_out(c, 2, TKP_DTYPE_I32, 1, &n);
}

static void build_static_windows(tkp_test_case *c, int32_t i)
{
    const int32_t t = 1 + tkp_test_pick(&i, 9),
                  cells = 1 + tkp_test_pick(&i, 5);
    const int64_t n = (int64_t)t * cells, f = t;
    tkp_test_params(c, sizeof(tkp_op_static_windows));
    c->params.static_windows.longest = (int32_t)tkp_test_random(c, 5);
    tkp_test_describe(
        c, ",t%d cells%d longest=%d", t, cells,
        c->params.static_windows.longest);
    tkp_test_arg_view(c, 0, TKP_DTYPE_F32, 1, &n, 0);
    for (int64_t k = 0; k < n; k++)
        ((float *)c->args[0].data)[k] = (float)(tkp_test_random(c, 3) == 0);
    int32_t *before = tkp_test_arg_i32(c, 1, n, NULL);
    for (int64_t k = 0; k < n; k++)
        before[k] = (int32_t)k < cells ? -1 : (int32_t)k - cells;
    int32_t *frames = tkp_test_arg_i32(c, 2, f + 1, NULL);
    for (int32_t k = 0; k <= t; k++)
        frames[k] = k * cells;
    int32_t *videos = tkp_test_arg_i32(c, 3, 2, NULL);
    videos[0] = 0;
    videos[1] = t;
    c->degenerate = true; /* one window */
    tkp_test_arg_out(c, 4, TKP_DTYPE_I32, 1, &f);
    tkp_test_arg_out(c, 5, TKP_DTYPE_I32, 1, &n);
}

static void build_cosine_pairs(tkp_test_case *c, int32_t i)
{
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int32_t dtype = floats[tkp_test_pick(&i, 3)];
    const int64_t d = batch[0] == 2880 ? 16 : widths[tkp_test_random(c, 6)];
    const int64_t n = tkp_test_batch_total(batch);
    tkp_test_params(c, sizeof(tkp_op_cosine_pairs));
    c->params.cosine_pairs.reduce = (int32_t[]){
        0, TKP_ROW_REDUCE_MAX, TKP_ROW_REDUCE_MEAN}[tkp_test_random(c, 3)];
    tkp_test_describe(
        c, ",%s,n%d b%d d%d reduce=%d", tkp_dtype_string(dtype), (int)n,
        tkp_test_batch_size(batch), (int)d, c->params.cosine_pairs.reduce);
    const int64_t all = build_rows(c, 1, n);
    tkp_test_arg_float(
        c, 0, dtype, 2, (int64_t[]){all, d}, tkp_test_random(c, 2) * 3,
        TKP_TEST_NORMAL);
    zero_some_rows(c, 0);
    tkp_test_arg_offsets(c, 2, batch);
    tkp_test_arg_out(c, 3, TKP_DTYPE_F32, 1, &n);
}

static void build_blend(tkp_test_case *c, int32_t i)
{
    static const int32_t fills[] = {
        TKP_TEST_NORMAL, TKP_TEST_TIES, TKP_TEST_NANS, TKP_TEST_CONSTANT,
        TKP_TEST_RISING};
    const int32_t *batch = tkp_test_batch(tkp_test_pick(&i, 10));
    const int64_t n = tkp_test_batch_total(batch);
    const int32_t fill = fills[tkp_test_pick(&i, 5)];
    const int32_t terms = 1 + (int32_t)tkp_test_random(c, TKP_BLEND_MAX_TERMS);
    tkp_test_params(c, sizeof(tkp_op_blend));
    tkp_op_blend *p = &c->params.blend;
    p->terms = terms;
    p->combine = (int32_t)tkp_test_random(c, 3);
    tkp_test_describe(
        c, ",f32,n%d b%d fill=%d combine=%d", (int)n,
        tkp_test_batch_size(batch), fill, p->combine);
    tkp_test_arg_float(
        c, 0, TKP_DTYPE_F32, 2, (int64_t[]){terms, n},
        tkp_test_random(c, 2) * 3, fill);
    for (int32_t t = 0; t < terms; t++) {
        p->weight[t] = (float)tkp_test_normal(c);
        p->normalise[t] = (int32_t)tkp_test_random(c, 6);
        p->complement[t] = (int32_t)tkp_test_random(c, 2);
        tkp_test_describe(
            c, " %g*f%d%s", (double)p->weight[t], p->normalise[t],
            p->complement[t] ? "c" : "");
        /* A sum that cancels magnifies what is below f32. */
        float *row = (float *)c->args[0].data + t * c->args[0].strides[0];
        for (int64_t k = 0; p->normalise[t] == TKP_NORMALISE_SUM && k < n; k++)
            row[k] = fabsf(row[k]);
    }
    c->degenerate = fill != TKP_TEST_NORMAL;
    tkp_test_arg_offsets(c, 1, batch);
    tkp_test_arg_out(c, 2, TKP_DTYPE_F32, 1, &n);
}

const tkp_test_kind tkp_test_kinds_score[] = {
    {TKP_OP_ATTENTION_SCORES, 180, build_attention_scores},
    {TKP_OP_ATTENTION_ROWS_REDUCE, 120, build_attention_rows_reduce},
    {TKP_OP_ROW_NORM, 60, build_row_norm},
    {TKP_OP_COSINE, 60, build_cosine},
    {TKP_OP_COSINE_PAIRS, 60, build_cosine_pairs},
    {TKP_OP_BLEND, 100, build_blend},
    {TKP_OP_TEMPORAL, 60, build_temporal},
    {TKP_OP_CROP_VARIANCE, 54, build_crop_variance},
    {TKP_OP_OVERVIEW, 36, build_overview},
    {TKP_OP_GAUSSIAN_SCORES, 60, build_gaussian_scores},
    {TKP_OP_MEAN_QUERY, 54, build_mean_query},
    {TKP_OP_VALUE_ATTENTION, 42, build_value_attention},
    {TKP_OP_ROTARY_COORDINATES, 24, build_rotary_coordinates},
    {TKP_OP_TEXT_RATERS, 30, build_text_raters},
    {TKP_OP_ATTENTION_RANK, 60, build_attention_scores},
    {TKP_OP_ATTENTION_HEADS, 36, build_attention_scores},
    {TKP_OP_CURVATURE, 30, build_curvature},
    {TKP_OP_SEGMENTS, 30, build_segments},
    {TKP_OP_STATIC_WINDOWS, 45, build_static_windows},
    {0, 0, NULL},
};
