/*
 * MEAN_QUERY, VALUE_ATTENTION: a few query rows, head by head, against those of
 * the candidates alone. Logits of a head in f32; what heads and rows give is added
 * up in double, in an order that threads do not change.
 */

#include <math.h>
#include <omp.h>

#include "cpu/cpu.h"
#include "cpu/cpu_order.h"

/* --- MEAN_QUERY: one query against the candidates ------------------------------- */

struct heads_call {
    const tkp__cpu_plan *plan;
    const tkp_tensor *keys; /* [R, G, C] */
    const int32_t *rows;    /* [n] */
    int64_t n;
    float scale;
};

static const char *
head_of(const tkp_tensor *t, int64_t row, int64_t head, size_t bytes)
{
    return (const char *)tkp__data(t) +
           (uint64_t)(row * t->strides[0] + head * t->strides[1]) * bytes;
}

/* p[n] = softmax of scale query . key; false if a product is not finite. */
static bool
attend(const struct heads_call *c, const float *query, int64_t head, float *p)
{
    const tkp__cpu_kernels *k = c->plan->kernels;
    const tkp_tensor *t = c->keys;
    const size_t bytes = tkp__cpu_bytes(t->dtype);
    for (int64_t j = 0; j < c->n; j++) {
        float both[2];
        k->dot_and_square(
            both, head_of(t, c->rows[j], head, bytes), t->dtype, query,
            t->shape[2]);
        p[j] = c->scale * both[0];
        if (!isfinite(p[j]))
            return false;
    }
    const float most = k->row_max(p, c->n);
    const float total = k->exp_sum(p, most, c->n);
    for (int64_t j = 0; j < c->n; j++)
        p[j] /= total;
    return true;
}

static float scale_of(float given, int64_t channels)
{
    return given != 0 ? given : 1 / sqrtf((float)channels);
}

struct mean_plan {
    tkp__cpu_plan base;
    float scale;
    uint64_t mean_at, p_at; /* [H, C]; [H, N] */
};

static tkp_status plan_mean(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct mean_plan *p = (struct mean_plan *)base;
    const tkp_tensor *q = &desc->args[0];
    const uint64_t heads = (uint64_t)q->shape[1];
    (void)kernel_out;
    p->scale = ((const tkp_op_mean_query *)desc->params)->scale;
    TKP__TRY(tkp_sys_ledger_book(
        ledger, heads * (uint64_t)q->shape[2] * 8, &p->mean_at));
    return tkp_sys_ledger_book(
        ledger, heads * (uint64_t)desc->args[4].shape[0] * 4, &p->p_at);
}

static void mean_of_head(
    const struct heads_call *c,
    const tkp_tensor *q,
    int64_t h,
    float *mean)
{
    const int64_t channels = q->shape[2];
    const size_t bytes = tkp__cpu_bytes(q->dtype);
    memset(mean, 0, (size_t)channels * sizeof(float));
    for (int64_t i = 0; i < c->n; i++)
        c->plan->kernels->add_scaled(
            mean, head_of(q, c->rows[i], h, bytes), q->dtype, 1 / (float)c->n,
            channels);
}

static tkp_status run_mean(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { Q, K, ROWS, OFFSETS, DST };
    const struct mean_plan *plan = (const struct mean_plan *)base;
    const tkp_tensor *a = r->args;
    const int64_t n = a[DST].shape[0], heads = a[Q].shape[1];
    const int64_t channels = a[Q].shape[2];
    const int64_t each = heads ? heads / a[K].shape[1] : 1;
    const int32_t *offsets = tkp__cpu_i32(&a[OFFSETS]);
    float *means = (float *)(void *)(r->workspace + plan->mean_at);
    float *all = (float *)(void *)(r->workspace + plan->p_at);
    float *dst = tkp__data(&a[DST]);
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[Q].shape[0], "rows"));
    TKP__TRY(tkp__cpu_check_covering(&a[OFFSETS], n, "offsets"));
    for (int64_t b = 0; b + 1 < a[OFFSETS].shape[0]; b++) {
        const struct heads_call c = {
            .plan = base,
            .keys = &a[K],
            .rows = tkp__cpu_i32(&a[ROWS]) + offsets[b],
            .n = offsets[b + 1] - offsets[b],
            .scale = scale_of(plan->scale, channels),
        };
        int32_t bad = 0;
#pragma omp parallel for num_threads(base->threads) reduction(+ : bad) if (    \
    tkp__cpu_worth_threads(c.n * heads * channels))
        for (int64_t h = 0; h < heads; h++) {
            mean_of_head(&c, &a[Q], h, means + h * channels);
            bad += !attend(&c, means + h * channels, h / each, all + h * c.n);
        }
        TKP__CHECK(
            bad == 0, TKP_ERR_DATA,
            "k: a product with the mean query of unit %lld is not finite",
            (long long)b);
        for (int64_t j = 0; j < c.n; j++) {
            double sum = 0;
            for (int64_t h = 0; h < heads; h++)
                sum += (double)all[h * c.n + j];
            dst[offsets[b] + j] = (float)(sum / (double)(heads ? heads : 1));
        }
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_mean_query = {
    .kind = TKP_OP_MEAN_QUERY,
    .plan_bytes = sizeof(struct mean_plan),
    .supports = NULL,
    .plan = plan_mean,
    .run = run_mean,
    .destroy = NULL,
};

/* --- VALUE_ATTENTION ------------------------------------------------------------ */

enum { TILE = TKP__CPU_TILE };

struct values_plan {
    tkp__cpu_plan base;
    float scale;
    uint64_t rows_at, queries_at, sums_at, keys_at, spare_at;
    uint64_t thread_at, thread_bytes, line_bytes;
};

static tkp_status plan_values(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct values_plan *p = (struct values_plan *)base;
    const tkp_tensor *v = &desc->args[0];
    const uint64_t n = (uint64_t)desc->args[6].shape[0];
    const uint64_t heads = (uint64_t)v->shape[1];
    const uint64_t width = heads * (uint64_t)v->shape[2];
    (void)kernel_out;
    p->scale = ((const tkp_op_value_attention *)desc->params)->scale;
    /* A tile of products, lines of logits, what the kernel wants. */
    p->line_bytes = (n + TILE - 1) / TILE * TILE * 4;
    p->thread_bytes = TILE * TILE * 4 + TILE * p->line_bytes +
                      base->kernels->product_scratch();
    TKP__TRY(tkp_sys_ledger_book(ledger, n * width * 4, &p->rows_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, TILE * width * 4, &p->queries_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, heads * n * 8, &p->sums_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 8, &p->keys_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 8, &p->spare_at));
    return tkp_sys_ledger_book(
        ledger, p->thread_bytes * (uint64_t)base->threads, &p->thread_at);
}

struct values_call {
    const struct values_plan *plan;
    const tkp_tensor *v;
    const int32_t *candidates; /* [n] rows */
    int64_t n, heads, channels;
    float scale;
    float *rows;    /* [n, G C] */
    float *queries; /* [TILE, G C] */
    double *sums;   /* [G, n] */
    char *threads;
};

/* Rows of v in f32, the heads side by side. */
static void pack_rows(
    const struct values_call *c,
    float *dst,
    const int32_t *rows,
    int64_t n)
{
    const size_t bytes = tkp__cpu_bytes(c->v->dtype);
    for (int64_t i = 0; i < n; i++)
        for (int64_t h = 0; h < c->heads; h++)
            c->plan->base.kernels->convert(
                dst + (i * c->heads + h) * c->channels, TKP_DTYPE_F32,
                head_of(c->v, rows[i], h, bytes), c->v->dtype, c->channels);
}

/* What up to TILE queries give to the candidates in one head; false if a product
 * is not finite. */
static bool add_head(const struct values_call *c, int64_t h, int64_t queries)
{
    const tkp__cpu_kernels *k = c->plan->base.kernels;
    const int64_t width = c->heads * c->channels;
    char *own =
        c->threads + (uint64_t)omp_get_thread_num() * c->plan->thread_bytes;
    float *tile = (float *)(void *)own;
    char *lines = own + TILE * TILE * sizeof(float);
    char *scratch = lines + TILE * c->plan->line_bytes;
    bool finite = true;
    for (int64_t j0 = 0; j0 < c->n; j0 += TILE) {
        const int64_t columns = tkp__cpu_min(TILE, c->n - j0);
        k->product(
            tile, c->queries + h * c->channels, width,
            c->rows + j0 * width + h * c->channels, width, queries, columns,
            c->channels, scratch);
        for (int64_t t = 0; t < queries; t++) {
            float *line =
                (float *)(void *)(lines + (uint64_t)t * c->plan->line_bytes);
            for (int64_t j = 0; j < columns; j++) {
                line[j0 + j] = c->scale * tile[t * TILE + j];
                finite = finite && isfinite(line[j0 + j]);
            }
        }
    }
    for (int64_t t = 0; t < queries && finite; t++) {
        float *line =
            (float *)(void *)(lines + (uint64_t)t * c->plan->line_bytes);
        const float most = k->row_max(line, c->n);
        const double total = (double)k->exp_sum(line, most, c->n);
        for (int64_t j = 0; j < c->n; j++)
            c->sums[h * c->n + j] += (double)line[j] / total;
    }
    return finite;
}

static tkp_status
add_rows(const struct values_call *c, const int32_t *rows, int64_t n)
{
    const tkp__cpu_plan *base = &c->plan->base;
    for (int64_t first = 0; first < n; first += TILE) {
        const int64_t queries = tkp__cpu_min(TILE, n - first);
        int32_t bad = 0;
        pack_rows(c, c->queries, rows + first, queries);
#pragma omp parallel for num_threads(base->threads) reduction(+ : bad) if (    \
    tkp__cpu_worth_threads(queries * c->n * c->heads * c->channels))
        for (int64_t h = 0; h < c->heads; h++)
            bad += !add_head(c, h, queries);
        TKP__CHECK(
            bad == 0, TKP_ERR_DATA,
            "v: rows have a product that is not finite");
    }
    return TKP_OK;
}

static void take_means(const struct values_call *c, int64_t queries, float *dst)
{
    for (int64_t j = 0; j < c->n; j++) {
        double sum = 0;
        for (int64_t h = 0; h < c->heads; h++)
            sum += c->sums[h * c->n + j];
        dst[j] = (float)(sum / (double)c->heads / (double)queries);
    }
}

static tkp_status score_sequence(
    const struct values_call *c,
    const int32_t *text,
    int32_t n_text,
    int32_t seeds,
    char *workspace,
    float *dst)
{
    const struct values_plan *p = c->plan;
    uint64_t *keys = (uint64_t *)(void *)(workspace + p->keys_at);
    uint64_t *spare = (uint64_t *)(void *)(workspace + p->spare_at);
    int32_t *chosen = (int32_t *)(void *)spare;
    if (n_text == 0 || c->heads == 0) {
        memset(dst, 0, (size_t)c->n * sizeof(*dst));
        return TKP_OK;
    }
    pack_rows(c, c->rows, c->candidates, c->n);
    memset(c->sums, 0, (size_t)(c->heads * c->n) * sizeof(*c->sums));
    TKP__TRY(add_rows(c, text, n_text));
    take_means(c, n_text, dst);
    if (seeds == 0)
        return TKP_OK;
    for (int64_t j = 0; j < c->n; j++)
        keys[j] = tkp__cpu_order_key(dst[j], (int32_t)j, TKP_ORDER_HIGHEST);
    tkp__cpu_order_sort(keys, c->n, spare);
    for (int32_t i = 0; i < seeds; i++)
        chosen[i] = c->candidates[tkp__cpu_order_index(keys[i])];
    TKP__TRY(add_rows(c, chosen, seeds));
    take_means(c, n_text + seeds, dst);
    return TKP_OK;
}

enum { V, TEXT, TEXT_OFFSETS, ROWS, OFFSETS, SEEDS, DST };

static tkp_status check_values(const tkp_tensor *a)
{
    const int64_t n = a[DST].shape[0], all = a[V].shape[0];
    const int64_t texts = a[TEXT].shape[0];
    const int32_t *offsets = tkp__cpu_i32(&a[OFFSETS]);
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, all, "rows"));
    TKP__TRY(tkp__cpu_check_index(&a[TEXT], texts, all, "text"));
    TKP__TRY(tkp__cpu_check_covering(&a[OFFSETS], n, "offsets"));
    TKP__TRY(tkp__cpu_check_covering(&a[TEXT_OFFSETS], texts, "text_offsets"));
    for (int64_t b = 0; b < a[SEEDS].shape[0]; b++) {
        const int32_t seeds = tkp__cpu_i32(&a[SEEDS])[b];
        TKP__CHECK(
            seeds >= 0 && seeds <= offsets[b + 1] - offsets[b],
            TKP_ERR_ARGUMENT, "seeds: entry %lld is %d, wanted 0 to %d",
            (long long)b, seeds, offsets[b + 1] - offsets[b]);
    }
    return TKP_OK;
}

static tkp_status run_values(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct values_plan *p = (const struct values_plan *)base;
    const tkp_tensor *a = r->args;
    const int32_t *offsets = tkp__cpu_i32(&a[OFFSETS]);
    const int32_t *text_offsets = tkp__cpu_i32(&a[TEXT_OFFSETS]);
    char *w = r->workspace;
    TKP__TRY(check_values(a));
    for (int64_t b = 0; b < a[SEEDS].shape[0]; b++) {
        const struct values_call c = {
            .plan = p,
            .v = &a[V],
            .candidates = tkp__cpu_i32(&a[ROWS]) + offsets[b],
            .n = offsets[b + 1] - offsets[b],
            .heads = a[V].shape[1],
            .channels = a[V].shape[2],
            .scale = scale_of(p->scale, a[V].shape[2]),
            .rows = (float *)(void *)(w + p->rows_at),
            .queries = (float *)(void *)(w + p->queries_at),
            .sums = (double *)(void *)(w + p->sums_at),
            .threads = w + p->thread_at,
        };
        TKP__TRY(score_sequence(
            &c, tkp__cpu_i32(&a[TEXT]) + text_offsets[b],
            text_offsets[b + 1] - text_offsets[b], tkp__cpu_i32(&a[SEEDS])[b],
            w, (float *)tkp__data(&a[DST]) + offsets[b]));
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_value_attention = {
    .kind = TKP_OP_VALUE_ATTENTION,
    .plan_bytes = sizeof(struct values_plan),
    .supports = NULL,
    .plan = plan_values,
    .run = run_values,
    .destroy = NULL,
};
