/*
 * ATTENTION for a few queries of a sequence: bound by the reading of keys and
 * values, which lie row by row with all heads in a row. So the unit of work is
 * a run of 128 keys with all heads; its partial result (largest logit, sum of
 * weights, weighted sum) is kept, and the runs are combined in order.
 */

#include <omp.h>

#include "cpu/cpu_attention.h"

enum { KEYS = TKP__CPU_DECODE_KEYS };

/* Keys (and values) that are read at a time: streams the prefetcher follows. */
#define TOGETHER 4

/* One run of keys. */
struct piece {
    int32_t b;
    int32_t queries;
    int64_t q0;        /* first query's row */
    int64_t keys;      /* of the sequence */
    int64_t j0, count; /* the keys of this piece */
};

uint64_t tkp__cpu_decode_scratch(int64_t rows, int32_t h, int32_t c)
{
    return tkp__align_up((size_t)(rows * h * c) * 4, 64) +
           tkp__align_up((size_t)(rows * h) * KEYS * 4, 64);
}

int64_t tkp__cpu_decode_partial(int64_t rows, int32_t h, int32_t c)
{
    return rows * h * (c + 2);
}

static int64_t pieces_of(const struct tkp__cpu_attention_run *a, int32_t b)
{
    if (!tkp__cpu_decodes(a->q_offsets[b + 1] - a->q_offsets[b]))
        return 0;
    return tkp__cpu_ceil(a->k_offsets[b + 1] - a->k_offsets[b], KEYS);
}

static float *
partial_of(const struct tkp__cpu_attention_run *a, int64_t slot, int64_t row)
{
    const int64_t one = tkp__cpu_decode_partial(1, 1, a->c);
    float *base = (float *)(void *)(a->workspace + a->plan->partial_at);
    return base + (slot * a->plan->few * a->h + row) * one;
}

/* Keys of the piece that query r sees. */
static int64_t seen_by(
    const struct tkp__cpu_attention_run *a,
    const struct piece *p,
    int64_t r)
{
    if (!a->plan->causal)
        return p->count;
    const int64_t seen = p->keys - p->queries + r + 1 - p->j0;
    return seen < 0 ? 0 : tkp__cpu_min(seen, p->count);
}

static void piece_logits(
    const struct tkp__cpu_attention_run *a,
    const struct piece *p,
    char *q,
    float *logits)
{
    const tkp__cpu_kernels *k = a->plan->base.kernels;
    const size_t bytes = tkp__cpu_bytes(a->dtype);
    const bool pairs = k->bf16_dots && a->dtype == TKP_DTYPE_BF16;
    const int64_t width = (int64_t)a->h * a->c;
    for (int32_t r = 0; r < p->queries; r++)
        k->pack_query(
            q + (size_t)(r * width) * (pairs ? 2 : 4),
            a->q + (size_t)((p->q0 + r) * a->q_row) * bytes, a->dtype, width);
    const int64_t row = a->k_offsets[p->b] + p->j0;
    const tkp__cpu_logits args = {
        .q = q,
        .k = a->k + (size_t)(row * a->k_row) * bytes,
        .dst = logits,
        .key_stride = a->k_row,
        .group_stride = a->k_group,
        .ldd = KEYS,
        .keys = p->count,
        .dtype = a->dtype,
        .rows = p->queries,
        .heads = a->h,
        .groups = a->g,
        .c = a->c,
        .scale = a->scale,
    };
    k->logits(&args);
    for (int64_t i = 0; a->bias && i < (int64_t)p->queries * a->h; i++)
        for (int64_t j = 0; j < p->count; j++)
            logits[i * KEYS + j] += a->bias[row + j];
}

static void run_piece(
    const struct tkp__cpu_attention_run *a,
    const struct piece *p,
    int64_t slot,
    char *scratch)
{
    const tkp__cpu_kernels *k = a->plan->base.kernels;
    const size_t bytes = tkp__cpu_bytes(a->dtype);
    const int64_t rows = (int64_t)p->queries * a->h;
    float *logits =
        (float
             *)(void *)(scratch + tkp__align_up((size_t)(rows * a->c) * 4, 64));
    piece_logits(a, p, scratch, logits);
    for (int64_t i = 0; i < rows; i++) {
        float *part = partial_of(a, slot, i), *row = logits + i * KEYS;
        int64_t seen = seen_by(a, p, i / a->h);
        part[0] = seen ? k->row_max(row, seen) : -__builtin_inff();
        if (part[0] == -__builtin_inff())
            seen = 0; /* biases hide all of them */
        part[1] = seen ? k->exp_sum(row, part[0], seen) : 0;
        for (int64_t j = seen; j < p->count; j++)
            row[j] = 0;
        memset(part + 2, 0, (size_t)a->c * 4);
    }
    const int32_t share = a->h / a->g;
    const int64_t row0 = a->k_offsets[p->b] + p->j0;
    for (int64_t j = 0; j < p->count; j += TOGETHER)
        for (int64_t i = 0; i < rows; i++) {
            const int64_t g = i % a->h / share;
            k->weighted_rows(
                partial_of(a, slot, i) + 2,
                a->v + (size_t)((row0 + j) * a->v_row + g * a->v_group) * bytes,
                a->dtype, a->v_row, logits + i * KEYS + j,
                tkp__cpu_min(TOGETHER, p->count - j), a->c);
        }
}

/* The partial results of one query and head, in order of their keys. */
static void combine(
    const struct tkp__cpu_attention_run *a,
    int64_t slot,
    int64_t pieces,
    int64_t row,
    int64_t out)
{
    const tkp__cpu_kernels *k = a->plan->base.kernels;
    const size_t bytes = tkp__cpu_bytes(a->dtype);
    float most = -__builtin_inff(), total = 0;
    for (int64_t i = 0; i < pieces; i++) {
        const float m = partial_of(a, slot + i, row)[0];
        most = m > most ? m : most;
    }
    float sum[TKP__CPU_HEAD_MAX] = {0};
    for (int64_t i = 0; i < pieces; i++) {
        const float *part = partial_of(a, slot + i, row);
        if (part[1] == 0)
            continue;
        const float weight = __builtin_expf(part[0] - most);
        total += weight * part[1];
        k->add_scaled(sum, part + 2, TKP_DTYPE_F32, weight, a->c);
    }
    /* A row that sees nothing answers 0. */
    const float inverse = total > 0 ? 1.0f / total : 0;
    for (int32_t c = 0; c < a->c; c++)
        sum[c] *= inverse;
    k->convert(
        a->dst + (size_t)(out * a->c) * bytes, a->dtype, sum, TKP_DTYPE_F32,
        a->c);
    if (a->lse)
        a->lse[out] = most + __builtin_logf(total);
}

/* Piece number `task` of all, or of one sequence's rows. */
static void find_piece(
    const struct tkp__cpu_attention_run *a,
    int64_t task,
    struct piece *p)
{
    int32_t b = 0;
    while (task >= pieces_of(a, b))
        task -= pieces_of(a, b++);
    p->b = b;
    p->queries = a->q_offsets[b + 1] - a->q_offsets[b];
    p->q0 = a->q_offsets[b];
    p->keys = a->k_offsets[b + 1] - a->k_offsets[b];
    p->j0 = task * KEYS;
    p->count = tkp__cpu_min(KEYS, p->keys - p->j0);
}

void tkp__cpu_decode(const struct tkp__cpu_attention_run *a)
{
    const struct tkp__cpu_attention_plan *plan = a->plan;
    bool any = false;
    int64_t total = 0;
    for (int32_t b = 0; b < a->b; b++) {
        any = any || tkp__cpu_decodes(a->q_offsets[b + 1] - a->q_offsets[b]);
        total += pieces_of(a, b);
    }
    if (!any)
        return;
#pragma omp parallel num_threads(plan->base.threads)
    {
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < total; task++) {
            struct piece p;
            find_piece(a, task, &p);
            run_piece(
                a, &p, task,
                a->workspace + plan->scratch_at +
                    (uint64_t)omp_get_thread_num() * plan->scratch_bytes);
        }
        int64_t slot = 0;
        for (int32_t b = 0; b < a->b; b++) {
            const int64_t queries = a->q_offsets[b + 1] - a->q_offsets[b];
            const int64_t pieces = pieces_of(a, b);
            if (!tkp__cpu_decodes(queries))
                continue;
#pragma omp for schedule(static) nowait
            for (int64_t row = 0; row < queries * a->h; row++)
                combine(
                    a, slot, pieces, row,
                    (int64_t)a->q_offsets[b] * a->h + row);
            slot += pieces;
        }
    }
}
