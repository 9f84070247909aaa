/*
 * NEAREST: a block of members against a tile of kept rows. What f32 cannot tell
 * apart is decided in double, as the definition has it.
 */

#include <omp.h>

#include "cpu/cpu_pairs.h"

enum { X, ROWS, OFFSETS, MEMBERS, KEPT, KEPT_OFFSETS, DST, LIKENESS };
enum { TILE = TKP__CPU_TILE };

/* Of a cosine, and of a distance relative to itself: above what rounding in
 * f32 does to sums of some thousand channels. */
#define CLOSE 1e-4

struct nearest_plan {
    tkp__cpu_plan base;
    tkp_op_nearest params;
    uint64_t kept_at;   /* [K, D] f32 */
    uint64_t square_at; /* [N] f32, of members and kept ones */
    uint64_t thread_at, thread_bytes;
};

static tkp_status plan_nearest(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct nearest_plan *p = (struct nearest_plan *)base;
    const uint64_t d = (uint64_t)desc->args[X].shape[1];
    (void)kernel_out;
    memcpy(&p->params, desc->params, sizeof(p->params));
    /* Rows of a block, a tile, and what the product packs. */
    p->thread_bytes = TILE * d * 4 + TILE * TILE * 4;
    p->thread_bytes =
        (p->thread_bytes + base->kernels->product_scratch() + 63) / 64 * 64;
    TKP__TRY(tkp_sys_ledger_book(
        ledger, (uint64_t)desc->args[KEPT].shape[0] * d * 4, &p->kept_at));
    TKP__TRY(tkp_sys_ledger_book(
        ledger, (uint64_t)desc->args[ROWS].shape[0] * 4, &p->square_at));
    return tkp_sys_ledger_book(
        ledger, p->thread_bytes * (uint64_t)base->threads, &p->thread_at);
}

static int64_t listed(const tkp_tensor *a)
{
    return tkp__present(&a[MEMBERS]) ? a[MEMBERS].shape[0] : a[ROWS].shape[0];
}

static int32_t member(const tkp_tensor *a, int64_t i)
{
    return tkp__present(&a[MEMBERS]) ? tkp__cpu_i32(&a[MEMBERS])[i]
                                     : (int32_t)i;
}

static tkp_status check_data(const tkp_tensor *a)
{
    const int64_t n = a[ROWS].shape[0], k = a[KEPT].shape[0];
    const int64_t groups = a[OFFSETS].shape[0] - 1;
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[X].shape[0], "rows"));
    TKP__TRY(tkp__cpu_check_offsets(&a[OFFSETS], listed(a), "group_offsets"));
    if (tkp__present(&a[MEMBERS]))
        TKP__TRY(tkp__cpu_check_index(
            &a[MEMBERS], tkp__cpu_i32(&a[OFFSETS])[groups], n, "members"));
    TKP__TRY(tkp__cpu_check_covering(&a[KEPT_OFFSETS], k, "kept_offsets"));
    return tkp__cpu_check_index(&a[KEPT], k, n, "kept");
}

static tkp_status measure_rows(
    const struct nearest_plan *p,
    const tkp_tensor *a,
    float *square,
    const int32_t *list,
    int64_t n)
{
    const int32_t *rows = tkp__cpu_i32(&a[ROWS]);
    int64_t wrong = INT64_MAX;
#pragma omp parallel for num_threads(p->base.threads) reduction(min            \
                                                                : wrong)       \
    schedule(static) if (tkp__cpu_worth_threads(n * a[X].shape[1]))
    for (int64_t i = 0; i < n; i++) {
        const int32_t c = list ? list[i] : (int32_t)i;
        square[c] = tkp__cpu_square(p->base.kernels, &a[X], rows[c]);
        if (!__builtin_isfinite(square[c]))
            wrong = tkp__cpu_min(wrong, i);
    }
    TKP__CHECK(
        wrong == INT64_MAX, TKP_ERR_DATA,
        "x: row %d has a number that is not finite",
        rows[list ? list[wrong] : (int32_t)wrong]);
    return TKP_OK;
}

typedef struct group {
    const struct nearest_plan *plan;
    const tkp_tensor *a;
    const float *kept_rows; /* [K, D] */
    const float *square;    /* [N] */
    int32_t first, end;     /* kept entries */
    bool euclidean;
    bool in_range; /* lengths that f32 can multiply */
} group;

static double exact(const group *g, int32_t i, int32_t e)
{
    const tkp_tensor *x = &g->a[X];
    const int32_t *rows = tkp__cpu_i32(&g->a[ROWS]);
    const size_t bytes = tkp__cpu_bytes(x->dtype);
    const void *one = tkp__cpu_row(x, rows[i], bytes);
    const void *two =
        tkp__cpu_row(x, rows[tkp__cpu_i32(&g->a[KEPT])[e]], bytes);
    double dot = 0, ones = 0, twos = 0, far = 0;
    for (int64_t c = 0; c < x->shape[1]; c++) {
        const double u = (double)tkp__load_f32(one, x->dtype, c);
        const double v = (double)tkp__load_f32(two, x->dtype, c);
        dot += u * v;
        ones += u * u;
        twos += v * v;
        far += (u - v) * (u - v);
    }
    if (g->euclidean)
        return -__builtin_sqrt(far);
    return ones == 0 || twos == 0 ? 0 : dot / __builtin_sqrt(ones * twos);
}

/* From a product or a squared distance to likeness. */
static float
likeness(const group *g, float own_scale, int32_t kept, float value)
{
    const float s = g->square[kept];
    if (g->euclidean)
        return -__builtin_sqrtf(value);
    return s == 0 ? 0 : value * own_scale / __builtin_sqrtf(s);
}

typedef struct best {
    double value;
    int32_t entry;    /* -1: none yet */
    bool exact_known; /* value is in double */
} best;

static void consider(const group *g, best *b, int32_t i, int32_t e, float like)
{
    const double value = (double)like;
    const double close =
        CLOSE * (g->euclidean ? __builtin_fabs(b->value) : 1.0);
    if (b->entry < 0 || (g->in_range && value > b->value + close)) {
        *b = (best){value, e, false};
        return;
    }
    if (g->in_range && value < b->value - close)
        return;
    if (!b->exact_known)
        *b = (best){exact(g, i, b->entry), b->entry, true};
    const double other = exact(g, i, e);
    if (other > b->value)
        *b = (best){other, e, true};
}

/* Members m0 .. of the group, at most TILE. */
static void join_block(const group *g, char *scratch, int64_t m0, int64_t n)
{
    const tkp_tensor *a = g->a;
    const tkp__cpu_kernels *k = g->plan->base.kernels;
    const int32_t *kept = tkp__cpu_i32(&a[KEPT]);
    const int64_t d = a[X].shape[1];
    float *tile = (float *)(void *)scratch;
    float *rows = tile + TILE * TILE;
    void *packed = rows + TILE * d;
    best found[TILE];
    for (int64_t i = 0; i < n; i++) {
        const int32_t row = tkp__cpu_i32(&a[ROWS])[member(a, m0 + i)];
        k->convert(
            rows + i * d, TKP_DTYPE_F32,
            tkp__cpu_row(&a[X], row, tkp__cpu_bytes(a[X].dtype)), a[X].dtype,
            d);
        found[i] = (best){0, -1, false};
    }
    for (int32_t e0 = g->first; e0 < g->end; e0 += TILE) {
        const int64_t columns = tkp__cpu_min(TILE, g->end - e0);
        const float *b = g->kept_rows + e0 * d;
        if (g->euclidean)
            k->distances(tile, rows, d, b, d, n, columns, d);
        else
            k->product(tile, rows, d, b, d, n, columns, d, packed);
        for (int64_t i = 0; i < n; i++) {
            const int32_t own = member(a, m0 + i);
            const float s = g->square[own];
            const float scale = s == 0 ? 0 : 1 / __builtin_sqrtf(s);
            for (int64_t j = 0; j < columns; j++) {
                const int32_t e = e0 + (int32_t)j;
                consider(
                    g, &found[i], own, e,
                    likeness(g, scale, kept[e], tile[i * TILE + j]));
            }
        }
    }
    for (int64_t i = 0; i < n; i++) {
        const int32_t own = member(a, m0 + i);
        if (!g->in_range && !found[i].exact_known)
            found[i].value = exact(g, own, found[i].entry);
        ((int32_t *)tkp__data(&a[DST]))[own] = found[i].entry;
        if (tkp__present(&a[LIKENESS]))
            ((float *)tkp__data(&a[LIKENESS]))[own] = (float)found[i].value;
    }
}

static bool all_in_range(const group *g, int64_t m0, int64_t end)
{
    const int32_t *kept = tkp__cpu_i32(&g->a[KEPT]);
    for (int64_t i = m0; i < end; i++) {
        const float s = g->square[member(g->a, i)];
        if (s != 0 && (s < TKP__CPU_SQUARE_SMALL || s > TKP__CPU_SQUARE_LARGE))
            return false;
    }
    for (int32_t e = g->first; e < g->end; e++) {
        const float s = g->square[kept[e]];
        if (s != 0 && (s < TKP__CPU_SQUARE_SMALL || s > TKP__CPU_SQUARE_LARGE))
            return false;
    }
    return true;
}

/* A kept one is its own, though another may be equal. */
static void settle_kept(const group *g)
{
    const tkp_tensor *a = g->a;
    const int32_t *kept = tkp__cpu_i32(&a[KEPT]);
    int32_t *dst = tkp__data(&a[DST]);
    for (int32_t e = g->first; e < g->end; e++) {
        if (dst[kept[e]] < 0)
            continue; /* not a member */
        dst[kept[e]] = e;
        if (tkp__present(&a[LIKENESS]))
            ((float *)tkp__data(&a[LIKENESS]))[kept[e]] =
                g->euclidean || g->square[kept[e]] == 0 ? 0 : 1;
    }
}

static tkp_status run_nearest(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct nearest_plan *p = (const struct nearest_plan *)base;
    const tkp_tensor *a = r->args;
    TKP__TRY(check_data(a));
    const int32_t *offsets = tkp__cpu_i32(&a[OFFSETS]);
    const int64_t groups = a[OFFSETS].shape[0] - 1, n = a[ROWS].shape[0];
    float *square = (float *)(void *)(r->workspace + p->square_at);
    float *kept_rows = (float *)(void *)(r->workspace + p->kept_at);
    TKP__TRY(measure_rows(
        p, a, square,
        tkp__present(&a[MEMBERS]) ? tkp__cpu_i32(&a[MEMBERS]) : NULL,
        offsets[groups]));
    TKP__TRY(
        measure_rows(p, a, square, tkp__cpu_i32(&a[KEPT]), a[KEPT].shape[0]));
    tkp__cpu_pack_rows(
        base, kept_rows, &a[X], tkp__cpu_i32(&a[ROWS]), tkp__cpu_i32(&a[KEPT]),
        0, a[KEPT].shape[0]);
    for (int64_t i = 0; i < n; i++)
        ((int32_t *)tkp__data(&a[DST]))[i] = -1;
    if (tkp__present(&a[LIKENESS]))
        memset(tkp__data(&a[LIKENESS]), 0, (size_t)n * 4);
    for (int64_t i = 0; i < groups; i++) {
        group g = {
            .plan = p,
            .a = a,
            .kept_rows = kept_rows,
            .square = square,
            .first = tkp__cpu_i32(&a[KEPT_OFFSETS])[i],
            .end = tkp__cpu_i32(&a[KEPT_OFFSETS])[i + 1],
            .euclidean = p->params.measure == TKP_GREEDY_EUCLIDEAN,
        };
        g.in_range = all_in_range(&g, offsets[i], offsets[i + 1]);
        if (g.first == g.end)
            continue;
#pragma omp parallel for num_threads(base->threads)                            \
    schedule(dynamic, 1) if (offsets[i + 1] - offsets[i] > TILE)
        for (int64_t m0 = offsets[i]; m0 < offsets[i + 1]; m0 += TILE)
            join_block(
                &g,
                r->workspace + p->thread_at +
                    (uint64_t)omp_get_thread_num() * p->thread_bytes,
                m0, tkp__cpu_min(TILE, offsets[i + 1] - m0));
        settle_kept(&g);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_nearest = {
    .kind = TKP_OP_NEAREST,
    .plan_bytes = sizeof(struct nearest_plan),
    .supports = NULL,
    .plan = plan_nearest,
    .run = run_nearest,
    .destroy = NULL,
};
