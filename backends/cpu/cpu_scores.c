/*
 * ATTENTION_SCORES: how much a few query rows attend to each candidate.
 *
 * A sequence and at most 24 of its rows at a time, in three passes:
 *   1. logits [rows, H, keys], the keys read once, 128 of them a task;
 *   2. exp and sum of each (row, head);
 *   3. head mean and reduction over rows, 128 candidates a task.
 * Memory is O(keys) a row; nothing is ever keys x keys. The tasks of a
 * sequence depend on its own sizes alone.
 */

#include "cpu/cpu_scores.h"

#include <omp.h>

enum { DST = 9 };
enum { ROWS = 24, PIECE = TKP__CPU_TILE };

/* Rows times heads that share a key from which on packing the keys pays. */
#define MANY 8

struct scores_plan {
    struct tkp__cpu_scores_plan shared;
    uint64_t sum_at; /* [N] f64 */
};

/* --- plan -------------------------------------------------------------------- */

bool tkp__cpu_scores_last_only(const struct tkp__cpu_scores_plan *p)
{
    return p->params.row_reduce == TKP_ROW_REDUCE_LAST ||
           p->params.row_reduce == TKP_ROW_REDUCE_DEFAULT;
}

static int64_t longest(const tkp_tensor *a)
{
    if (tkp__present(&a[TKP__SCORES_TABLE]))
        return a[TKP__SCORES_TABLE].shape[1] * a[TKP__SCORES_K].shape[1];
    return a[TKP__SCORES_K].ndim == 4 ? a[TKP__SCORES_K].shape[1]
                                      : a[TKP__SCORES_K].shape[0];
}

tkp_status tkp__cpu_scores_plan(
    struct tkp__cpu_scores_plan *p,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    const tkp_tensor *a = desc->args;
    const uint64_t h = (uint64_t)a[TKP__SCORES_Q].shape[1];
    const uint64_t c = (uint64_t)a[TKP__SCORES_Q].shape[2];
    p->rows = tkp__cpu_scores_last_only(p)
                  ? 1
                  : tkp__cpu_min(ROWS, a[TKP__SCORES_Q].shape[0]);
    p->keys = tkp__cpu_ceil(longest(a), PIECE) * PIECE;
    const uint64_t rows = (uint64_t)p->rows, keys = (uint64_t)p->keys;
    const uint64_t n = (uint64_t)a[TKP__SCORES_CANDIDATES].shape[0];
    p->scratch_bytes = p->base.kernels->logits_scratch((int32_t)c);
    TKP__TRY(tkp_sys_ledger_book(ledger, rows * h * c * 4, &p->q_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, rows * h * keys * 4, &p->logits_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, rows * h * 4, &p->factor_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, keys / PIECE, &p->wanted_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 4, &p->seen_at));
    return tkp_sys_ledger_book(
        ledger, p->scratch_bytes * (uint64_t)p->base.threads, &p->scratch_at);
}

tkp_status tkp__cpu_scores_supports(const tkp_op_desc *desc)
{
    const tkp_tensor *q = &desc->args[TKP__SCORES_Q];
    TKP__CHECK(
        q->shape[1] > 0 && q->shape[2] > 0 && q->shape[2] <= TKP__CPU_HEAD_MAX,
        TKP_ERR_UNSUPPORTED,
        "cpu: attention: %lld heads of %lld channels; 1 or more of 1 "
        "to %d",
        (long long)q->shape[1], (long long)q->shape[2], TKP__CPU_HEAD_MAX);
    return TKP_OK;
}

/* --- arguments ----------------------------------------------------------------- */

static tkp_status check_sequence(const tkp_tensor *a, int64_t b)
{
    const int32_t *ko = tkp__cpu_i32(&a[TKP__SCORES_K_OFFSETS]);
    const int32_t *qo = tkp__cpu_i32(&a[TKP__SCORES_Q_OFFSETS]);
    const int32_t *co = tkp__cpu_i32(&a[TKP__SCORES_OFFSETS]);
    const int64_t keys = ko[b + 1] - ko[b];
    TKP__CHECK(
        keys <= longest(a), TKP_ERR_ARGUMENT,
        "k_offsets: sequence %lld has %lld keys, k has room for %lld",
        (long long)b, (long long)keys, (long long)longest(a));
    tkp_tensor part = a[TKP__SCORES_Q_POSITIONS];
    part.byte_offset += (uint64_t)qo[b] * 4;
    TKP__TRY(
        tkp__cpu_check_index(&part, qo[b + 1] - qo[b], keys, "q_positions"));
    part = a[TKP__SCORES_CANDIDATES];
    part.byte_offset += (uint64_t)co[b] * 4;
    TKP__TRY(
        tkp__cpu_check_index(&part, co[b + 1] - co[b], keys, "candidates"));
    if (!tkp__present(&a[TKP__SCORES_TABLE]))
        return TKP_OK;
    part = a[TKP__SCORES_TABLE];
    part.byte_offset += (uint64_t)(b * a[TKP__SCORES_TABLE].strides[0]) * 4;
    return tkp__cpu_check_index(
        &part, tkp__cpu_ceil(keys, tkp__cpu_max(a[TKP__SCORES_K].shape[1], 1)),
        a[TKP__SCORES_K].shape[0], "block_table");
}

tkp_status tkp__cpu_scores_check(const tkp_tensor *a)
{
    const int64_t packed =
        a[TKP__SCORES_K].ndim == 3 ? a[TKP__SCORES_K].shape[0] : INT32_MAX;
    TKP__TRY(tkp__cpu_check_covering(
        &a[TKP__SCORES_Q_OFFSETS], a[TKP__SCORES_Q].shape[0], "q_offsets"));
    TKP__TRY(
        tkp__cpu_check_offsets(&a[TKP__SCORES_K_OFFSETS], packed, "k_offsets"));
    TKP__TRY(tkp__cpu_check_covering(
        &a[TKP__SCORES_OFFSETS], a[TKP__SCORES_CANDIDATES].shape[0],
        "offsets"));
    for (int64_t b = 0; b + 1 < a[TKP__SCORES_OFFSETS].shape[0]; b++)
        TKP__TRY(check_sequence(a, b));
    return TKP_OK;
}

/* Key j of the sequence, and how many from it on lie one stride apart. */
static const char *keys_at(
    const struct tkp__cpu_scores *s,
    int64_t j,
    int64_t *stride,
    int64_t *run)
{
    const tkp_tensor *k = &s->args[TKP__SCORES_K];
    const size_t bytes = tkp__cpu_bytes(k->dtype);
    *run = s->keys - j;
    if (k->ndim == 3) {
        *stride = k->strides[0];
        j += tkp__cpu_i32(&s->args[TKP__SCORES_K_OFFSETS])[s->b];
        return (const char *)tkp__data(k) + (size_t)(j * *stride) * bytes;
    }
    int64_t block = s->b;
    *stride = k->strides[1];
    if (tkp__present(&s->args[TKP__SCORES_TABLE])) {
        const tkp_tensor *table = &s->args[TKP__SCORES_TABLE];
        const int64_t page = j / k->shape[1];
        block = tkp__cpu_i32(table)[s->b * table->strides[0] + page];
        j -= page * k->shape[1];
        *run = tkp__cpu_min(*run, k->shape[1] - j);
    }
    return (const char *)tkp__data(k) +
           (size_t)(block * k->strides[0] + j * *stride) * bytes;
}

/* --- workspace ------------------------------------------------------------------- */

static uint8_t *wanted(const struct tkp__cpu_scores *s)
{
    return (uint8_t *)s->workspace + s->plan->wanted_at;
}
/* --- pass 1: logits ---------------------------------------------------------------- */

static void pack_rows(const struct tkp__cpu_scores *s)
{
    const tkp_tensor *q = &s->args[TKP__SCORES_Q];
    const size_t bytes = tkp__cpu_bytes(q->dtype);
    const bool pairs = s->kernels->bf16_dots && q->dtype == TKP_DTYPE_BF16;
    const size_t row = (size_t)(s->h * s->c) * (pairs ? 2 : 4);
    for (int64_t r = 0; r < s->rows; r++)
        s->kernels->pack_query(
            s->workspace + s->plan->q_at + (size_t)r * row,
            tkp__cpu_row(q, s->q0 + r, bytes), q->dtype, s->h * s->c);
}

static void piece_logits(const struct tkp__cpu_scores *s, int64_t piece)
{
    const tkp_tensor *k = &s->args[TKP__SCORES_K];
    const int32_t d = k->ndim - 2;
    const int64_t end = tkp__cpu_min((piece + 1) * PIECE, s->keys);
    int64_t run;
    for (int64_t j = piece * PIECE; j < end; j += run) {
        tkp__cpu_logits args = {
            .q = s->workspace + s->plan->q_at,
            .dst = tkp__cpu_scores_row(s, 0, 0) + j,
            .group_stride = k->shape[d] > 1 ? k->strides[d] : 0,
            .ldd = s->plan->keys,
            .dtype = k->dtype,
            .rows = (int32_t)s->rows,
            .heads = (int32_t)s->h,
            .groups = (int32_t)s->g,
            .c = (int32_t)s->c,
            .scale = s->scale,
        };
        args.k = keys_at(s, j, &args.key_stride, &run);
        run = tkp__cpu_min(run, end - j);
        args.keys = run;
        /* Whole tiles only: a tile writes whole vectors, and its neighbour
         * may be another thread's. */
        if (s->rows * (s->h / s->g) >= MANY && s->c % 2 == 0 &&
            j % PIECE == 0 && (run == PIECE || j + run == s->keys))
            s->kernels->logits_many(
                &args,
                s->workspace + s->plan->scratch_at +
                    (uint64_t)omp_get_thread_num() * s->plan->scratch_bytes);
        else
            s->kernels->logits(&args);
    }
}

/* --- pass 2: softmax ------------------------------------------------------------------ */

static float lse_of(const struct tkp__cpu_scores *s, int64_t r, int64_t head)
{
    const tkp_tensor *lse = &s->args[TKP__SCORES_LSE];
    return ((const float *)(void *)tkp__cpu_row(lse, s->q0 + r, 4))[head];
}

static void softmax(const struct tkp__cpu_scores *s, int64_t r, int64_t head)
{
    float *row = tkp__cpu_scores_row(s, r, head),
          *factor = tkp__cpu_scores_factors(s) + r * s->h + head;
    const int64_t n = tkp__cpu_scores_visible(s, r);
    *factor = 1.0f;
    if (s->plan->params.flags & TKP_ATTENTION_LOGITS)
        return;
    if (s->every_key) {
        const float most = s->kernels->row_max(row, n);
        *factor = 1.0f / s->kernels->exp_sum(row, most, n);
        return;
    }
    const float lse = lse_of(s, r, head);
    for (int64_t j = 0; j < n; j += PIECE)
        if (wanted(s)[j / PIECE])
            s->kernels->exp_sum(row + j, lse, tkp__cpu_min(PIECE, n - j));
}

static void attend(const struct tkp__cpu_scores *s)
{
    int64_t end = 0;
    for (int64_t r = 0; r < s->rows; r++)
        end = tkp__cpu_max(end, tkp__cpu_scores_visible(s, r));
    const int64_t pieces = tkp__cpu_ceil(end, PIECE);
    pack_rows(s);
#pragma omp parallel num_threads(s->plan->base.threads)
    {
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < pieces; i++)
            if (s->every_key || wanted(s)[i])
                piece_logits(s, i);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < s->rows * s->h; i++)
            softmax(s, i / s->h, i % s->h);
    }
}

/* --- rounds ------------------------------------------------------------------------------ */

void tkp__cpu_scores_open(
    struct tkp__cpu_scores *s,
    const struct tkp__cpu_scores_plan *p,
    const tkp__cpu_run *r)
{
    const tkp_tensor *a = r->args, *k = &a[TKP__SCORES_K];
    *s = (struct tkp__cpu_scores){
        .plan = p,
        .kernels = p->base.kernels,
        .args = a,
        .workspace = r->workspace,
        .h = a[TKP__SCORES_Q].shape[1],
        .g = k->shape[k->ndim - 2],
        .c = a[TKP__SCORES_Q].shape[2],
        .positions = tkp__cpu_i32(&a[TKP__SCORES_Q_POSITIONS]),
        .candidates = tkp__cpu_i32(&a[TKP__SCORES_CANDIDATES]),
        .scale = p->params.scale != 0
                     ? p->params.scale
                     : 1.0f / __builtin_sqrtf((float)a[TKP__SCORES_Q].shape[2]),
        .every_key = !tkp__present(&a[TKP__SCORES_LSE]) &&
                     !(p->params.flags & TKP_ATTENTION_LOGITS),
    };
}

void tkp__cpu_scores_begin(struct tkp__cpu_scores *s, int64_t b)
{
    const int32_t *ko = tkp__cpu_i32(&s->args[TKP__SCORES_K_OFFSETS]);
    const int32_t *qo = tkp__cpu_i32(&s->args[TKP__SCORES_Q_OFFSETS]);
    const int32_t *co = tkp__cpu_i32(&s->args[TKP__SCORES_OFFSETS]);
    s->b = b;
    s->keys = ko[b + 1] - ko[b];
    s->n0 = co[b];
    s->n = co[b + 1] - co[b];
    s->rows = 0;
    s->q0 = tkp__cpu_scores_last_only(s->plan) && qo[b + 1] > qo[b]
                ? qo[b + 1] - 1
                : qo[b];
    memset(wanted(s), 0, (size_t)(s->plan->keys / PIECE));
    for (int64_t i = 0; i < s->n; i++) {
        wanted(s)[s->candidates[s->n0 + i] / PIECE] = 1;
        tkp__cpu_scores_seen(s)[i] = 0;
    }
}

bool tkp__cpu_scores_next(struct tkp__cpu_scores *s)
{
    const int64_t end = tkp__cpu_i32(&s->args[TKP__SCORES_Q_OFFSETS])[s->b + 1];
    s->q0 += s->rows;
    s->rows = tkp__cpu_min(s->plan->rows, end - s->q0);
    if (s->rows <= 0 || s->n == 0)
        return false;
    attend(s);
    return true;
}

/* --- pass 3: head mean, rows ------------------------------------------------------------ */

static double *sums(const struct tkp__cpu_scores *s)
{
    const struct scores_plan *p = (const struct scores_plan *)s->plan;
    return (double *)(void *)(s->workspace + p->sum_at) + s->n0;
}

/* Are they neighbours? */
static bool consecutive(const int32_t *at, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (at[i] != at[0] + i)
            return false;
    return true;
}

static void mean_plain(
    const struct tkp__cpu_scores *s,
    int64_t r,
    const int32_t *at,
    int64_t n,
    double *mean)
{
    float sum[PIECE] = {0}, picked[PIECE];
    const bool together = consecutive(at, n);
    for (int64_t head = 0; head < s->h; head++) {
        const float *row = tkp__cpu_scores_row(s, r, head), *values = picked;
        if (together)
            values = row + at[0];
        else
            for (int64_t i = 0; i < n; i++)
                picked[i] = row[at[i]];
        s->kernels->add_scaled(
            sum, values, TKP_DTYPE_F32,
            tkp__cpu_scores_factors(s)[r * s->h + head], n);
    }
    for (int64_t i = 0; i < n; i++)
        mean[i] = (double)sum[i] / (double)s->h;
}

/* As eager code: probabilities and their mean in the dtype of q. */
static void mean_half(
    const struct tkp__cpu_scores *s,
    int64_t r,
    const int32_t *at,
    int64_t n,
    double *mean)
{
    const int32_t dtype = s->args[TKP__SCORES_Q].dtype;
    double sum[PIECE] = {0};
    for (int64_t head = 0; head < s->h; head++) {
        const float *row = tkp__cpu_scores_row(s, r, head);
        const float factor = tkp__cpu_scores_factors(s)[r * s->h + head];
        for (int64_t i = 0; i < n; i++) {
            float p;
            tkp__store_f32(&p, dtype, 0, row[at[i]] * factor);
            sum[i] += (double)tkp__load_f32(&p, dtype, 0);
        }
    }
    for (int64_t i = 0; i < n; i++) {
        float m;
        tkp__store_f32(&m, dtype, 0, (float)(sum[i] / (double)s->h));
        mean[i] = (double)tkp__load_f32(&m, dtype, 0);
    }
}

static void
reduce_add(double *sum, int32_t *count, int32_t reduce, double value)
{
    if (reduce != TKP_ROW_REDUCE_MAX)
        *sum += value;
    else if (*count == 0 || value > *sum || value != value)
        *sum = *sum != *sum ? *sum : value;
    ++*count;
}

static void reduce_piece(const struct tkp__cpu_scores *s, int64_t i0)
{
    const int64_t n = tkp__cpu_min(PIECE, s->n - i0);
    const int32_t *at = s->candidates + s->n0 + i0;
    const bool half = (s->plan->params.flags & TKP_ATTENTION_EMULATE_HALF) &&
                      s->args[TKP__SCORES_Q].dtype != TKP_DTYPE_F32;
    double mean[PIECE];
    for (int64_t r = 0; r < s->rows; r++) {
        const int64_t sees = tkp__cpu_scores_visible(s, r);
        if (half)
            mean_half(s, r, at, n, mean);
        else
            mean_plain(s, r, at, n, mean);
        for (int64_t i = 0; i < n; i++)
            if (at[i] < sees)
                reduce_add(
                    &sums(s)[i0 + i], &tkp__cpu_scores_seen(s)[i0 + i],
                    s->plan->params.row_reduce, mean[i]);
    }
}

/* --- run --------------------------------------------------------------------------------- */

static tkp_status plan(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct scores_plan *p = (struct scores_plan *)base;
    (void)kernel_out;
    p->shared.params = *(const tkp_op_attention_scores *)desc->params;
    TKP__TRY(tkp__cpu_scores_plan(&p->shared, ledger, desc));
    return tkp_sys_ledger_book(
        ledger, (uint64_t)desc->args[DST].shape[0] * 8, &p->sum_at);
}

static double finish(const struct tkp__cpu_scores *s, int64_t i, int64_t rows)
{
    const int32_t count = tkp__cpu_scores_seen(s)[i];
    const double sum = sums(s)[i];
    if (count == 0)
        return 0;
    if (s->plan->params.row_reduce == TKP_ROW_REDUCE_MEAN)
        return sum / (double)rows;
    if (s->plan->params.row_reduce == TKP_ROW_REDUCE_MEAN_VISIBLE)
        return sum / (double)count;
    return sum;
}

static void run_sequence(struct tkp__cpu_scores *s, int64_t b)
{
    const int32_t *qo = tkp__cpu_i32(&s->args[TKP__SCORES_Q_OFFSETS]);
    tkp__cpu_scores_begin(s, b);
    float *dst = (float *)tkp__data(&s->args[DST]) + s->n0;
    for (int64_t i = 0; i < s->n; i++)
        sums(s)[i] = 0;
    while (tkp__cpu_scores_next(s)) {
#pragma omp parallel for num_threads(s->plan->base.threads) schedule(dynamic, 1)
        for (int64_t i = 0; i < s->n; i += PIECE)
            reduce_piece(s, i);
    }
    for (int64_t i = 0; i < s->n; i++)
        dst[i] = (float)finish(s, i, qo[b + 1] - qo[b]);
}

static tkp_status run(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    struct tkp__cpu_scores s;
    TKP__TRY(tkp__cpu_scores_check(r->args));
    tkp__cpu_scores_open(&s, (const struct tkp__cpu_scores_plan *)base, r);
    for (int64_t b = 0; b + 1 < r->args[TKP__SCORES_OFFSETS].shape[0]; b++)
        run_sequence(&s, b);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_attention_scores = {
    .kind = TKP_OP_ATTENTION_SCORES,
    .plan_bytes = sizeof(struct scores_plan),
    .supports = tkp__cpu_scores_supports,
    .plan = plan,
    .run = run,
    .destroy = NULL,
};
