/*
 * ATTENTION: softmax(scale q k^T) v in tiles with a running maximum, so that
 * memory is O(rows of a tile), never L x L.
 *
 * The unit of work is (sequence, block of up to 192 queries, head). Its keys are
 * packed a tile at a time by the thread that uses them: the queries make up
 * for it, and no thread waits for another.
 */

#include <omp.h>

#include "cpu/cpu_attention.h"

enum { Q, K, V, Q_OFFSETS, K_OFFSETS, DST, LSE, BIAS };
#define ROWS TKP__CPU_ATTENTION_ROWS
/* Blocks are made of whole groups of rows that a kernel takes at a time. */
#define GROUP 12

static tkp_status plan(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct tkp__cpu_attention_plan *p = (struct tkp__cpu_attention_plan *)base;
    const tkp_op_attention *params = desc->params;
    const tkp_tensor *a = desc->args;
    const int32_t h = (int32_t)a[Q].shape[1], c = (int32_t)a[Q].shape[2];
    const int64_t few = tkp__cpu_min(a[Q].shape[0], TKP__CPU_DECODE_ROWS);
    const uint64_t tiles = base->kernels->attention_scratch(c, a[Q].dtype);
    const uint64_t decode = tkp__cpu_decode_scratch(few, h, c);
    (void)kernel_out;
    p->causal = (params->flags & TKP_ATTENTION_CAUSAL) != 0;
    p->scale = params->scale;
    p->scratch_bytes = tiles > decode ? tiles : decode;
    p->few = few;
    p->partials = a[K].shape[0] / TKP__CPU_DECODE_KEYS + a[Q_OFFSETS].shape[0];
    TKP__TRY(tkp_sys_ledger_book(
        ledger, p->scratch_bytes * (uint64_t)base->threads, &p->scratch_at));
    return tkp_sys_ledger_book(
        ledger,
        (uint64_t)(p->partials * tkp__cpu_decode_partial(few, h, c)) * 4,
        &p->partial_at);
}

/* Strides of dimensions of size 1 may be anything: 0 then. */
static int64_t stride(const tkp_tensor *t, int32_t d)
{
    return t->shape[d] > 1 ? t->strides[d] : 0;
}

/* Rows of a block: the fewest blocks, all about as large. */
static int64_t block_rows(int64_t queries)
{
    const int64_t blocks = tkp__cpu_ceil(queries, ROWS);
    const int64_t rows = tkp__cpu_ceil(queries, blocks);
    return tkp__cpu_ceil(rows, GROUP) * GROUP;
}

static int64_t blocks_of(const struct tkp__cpu_attention_run *a, int32_t b)
{
    const int64_t n = a->q_offsets[b + 1] - a->q_offsets[b];
    return n == 0 || tkp__cpu_decodes(n) ? 0 : tkp__cpu_ceil(n, block_rows(n));
}

static void run_block(
    const struct tkp__cpu_attention_run *a,
    int32_t b,
    int64_t block,
    int32_t h)
{
    const size_t bytes = tkp__cpu_bytes(a->dtype);
    const int64_t queries = a->q_offsets[b + 1] - a->q_offsets[b];
    const int64_t keys = a->k_offsets[b + 1] - a->k_offsets[b];
    const int64_t most = block_rows(queries);
    const int64_t i = block * most, row = a->q_offsets[b] + i;
    const int32_t g = h / (a->h / a->g);
    const int64_t k0 = a->k_offsets[b];
    const tkp__cpu_attention args = {
        .q = a->q + (size_t)(row * a->q_row + (int64_t)h * a->c) * bytes,
        .k = a->k + (size_t)(k0 * a->k_row + g * a->k_group) * bytes,
        .v = a->v + (size_t)(k0 * a->v_row + g * a->v_group) * bytes,
        .dst = a->dst + (size_t)((row * a->h + h) * a->c) * bytes,
        .lse = a->lse ? a->lse + row * a->h + h : NULL,
        .bias = a->bias ? a->bias + k0 : NULL,
        .q_stride = a->q_row,
        .k_stride = a->k_row,
        .v_stride = a->v_row,
        .dst_stride = (int64_t)a->h * a->c,
        .lse_stride = a->h,
        .keys = keys,
        .visible = keys - queries + i + 1,
        .rows = (int32_t)tkp__cpu_min(most, queries - i),
        .c = a->c,
        .dtype = a->dtype,
        .causal = a->plan->causal,
        .scale = a->scale,
    };
    const struct tkp__cpu_attention_plan *p = a->plan;
    p->base.kernels->attention(
        &args, a->workspace + p->scratch_at +
                   (uint64_t)omp_get_thread_num() * p->scratch_bytes);
}

static void run_blocks(const struct tkp__cpu_attention_run *a)
{
    int64_t total = 0;
    for (int32_t b = 0; b < a->b; b++)
        total += blocks_of(a, b);
    if (total == 0)
        return;
#pragma omp parallel for num_threads(a->plan->base.threads) schedule(dynamic, 1)
    for (int64_t task = 0; task < total * a->h; task++) {
        int64_t block = task / a->h;
        int32_t b = 0;
        while (block >= blocks_of(a, b))
            block -= blocks_of(a, b++);
        /* The last block of a causal sequence is the longest: first. */
        run_block(a, b, blocks_of(a, b) - 1 - block, (int32_t)(task % a->h));
    }
}

static tkp_status run(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const tkp_tensor *a = r->args;
    const struct tkp__cpu_attention_plan *p =
        (const struct tkp__cpu_attention_plan *)base;
    TKP__TRY(
        tkp__cpu_check_covering(&a[Q_OFFSETS], a[Q].shape[0], "q_offsets"));
    TKP__TRY(tkp__cpu_check_offsets(&a[K_OFFSETS], a[K].shape[0], "k_offsets"));
    const struct tkp__cpu_attention_run args = {
        .plan = p,
        .q = tkp__data(&a[Q]),
        .k = tkp__data(&a[K]),
        .v = tkp__data(&a[V]),
        .dst = tkp__data(&a[DST]),
        .lse = tkp__present(&a[LSE]) ? tkp__data(&a[LSE]) : NULL,
        .bias = tkp__present(&a[BIAS]) ? tkp__data(&a[BIAS]) : NULL,
        .q_row = stride(&a[Q], 0),
        .k_row = stride(&a[K], 0),
        .k_group = stride(&a[K], 1),
        .v_row = stride(&a[V], 0),
        .v_group = stride(&a[V], 1),
        .h = (int32_t)a[Q].shape[1],
        .g = (int32_t)a[K].shape[1],
        .c = (int32_t)a[Q].shape[2],
        .b = (int32_t)a[Q_OFFSETS].shape[0] - 1,
        .dtype = a[Q].dtype,
        .scale = p->scale != 0 ? p->scale
                               : 1.0f / __builtin_sqrtf((float)a[Q].shape[2]),
        .q_offsets = tkp__cpu_i32(&a[Q_OFFSETS]),
        .k_offsets = tkp__cpu_i32(&a[K_OFFSETS]),
        .workspace = r->workspace,
    };
    if (args.h == 0 || args.c == 0)
        return TKP_OK;
    run_blocks(&args);
    tkp__cpu_decode(&args);
    return TKP_OK;
}

static tkp_status supports(const tkp_op_desc *desc)
{
    TKP__CHECK(
        desc->args[Q].shape[2] <= TKP__CPU_HEAD_MAX, TKP_ERR_UNSUPPORTED,
        "cpu: attention: heads of %lld channels, at most %d",
        (long long)desc->args[Q].shape[2], TKP__CPU_HEAD_MAX);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_attention = {
    .kind = TKP_OP_ATTENTION,
    .plan_bytes = sizeof(struct tkp__cpu_attention_plan),
    .supports = supports,
    .plan = plan,
    .run = run,
    .destroy = NULL,
};
