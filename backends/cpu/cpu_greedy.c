/*
 * What the greedy kinds share.
 */

#include "cpu/cpu_greedy.h"

#include <omp.h>

#include "cpu/cpu_pairs.h"

enum { TILE = TKP__CPU_TILE, MATRIX_MOST = 4096, MATRIX_SHARE = 16 };

/* --- planning --------------------------------------------------------------- */

static bool keeps_pairs(const tkp__cpu_greedy *p, int32_t dtype, int64_t d)
{
    return dtype == TKP_DTYPE_BF16 && p->base.kernels->bf16_dots && d % 2 == 0;
}

static uint64_t tile_bytes(const tkp__cpu_greedy *p, int64_t d)
{
    const tkp__cpu_kernels *k = p->base.kernels;
    const uint64_t a = k->product_scratch(), b = k->logits_scratch((int32_t)d);
    uint64_t bytes = (uint64_t)TILE * TILE * 4 + (a > b ? a : b);
    if (bytes < (uint64_t)p->most * 4) /* a row of the matrix fits, too */
        bytes = (uint64_t)p->most * 4;
    return (bytes + 63) / 64 * 64;
}

tkp_status tkp__cpu_greedy_plan(
    tkp__cpu_greedy *p,
    tkp_ledger *ledger,
    const tkp_op_desc *desc,
    int32_t dst,
    int32_t largest,
    bool always,
    bool all)
{
    const tkp_tensor *a = desc->args;
    const bool listed = tkp__present(&a[TKP__GREEDY_MEMBERS]);
    const int64_t d = a[TKP__GREEDY_X].shape[1];
    const int64_t n = a[TKP__GREEDY_ROWS].shape[0];
    p->largest = largest;
    p->always = always;
    p->most = listed ? a[TKP__GREEDY_MEMBERS].shape[0] : n;
    if (largest > 0)
        p->most = tkp__cpu_min(p->most, largest);
    p->matrix_most = p->most;
    if (!always)
        p->matrix_most = tkp__cpu_min(p->most, MATRIX_MOST);
    if (!always && !all)
        p->matrix_most =
            tkp__cpu_min(p->matrix_most, MATRIX_SHARE * a[dst].shape[0]);
    p->tile_bytes = tile_bytes(p, d);
    const uint64_t most = (uint64_t)p->most;
    const uint64_t matrix = (uint64_t)p->matrix_most;
    TKP__TRY(tkp_sys_ledger_book(ledger, (uint64_t)n * 4, &p->square_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, most * 4, &p->list_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, most * 4, &p->scale_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, most * (uint64_t)d * 4, &p->rows_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, matrix * matrix * 4, &p->matrix_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, most * 4, &p->row_at));
    return tkp_sys_ledger_book(
        ledger, p->tile_bytes * (uint64_t)p->base.threads, &p->tile_at);
}

/* --- checks ----------------------------------------------------------------- */

static int32_t listed_member(const tkp_tensor *a, int64_t i)
{
    return tkp__present(&a[TKP__GREEDY_MEMBERS])
               ? tkp__cpu_i32(&a[TKP__GREEDY_MEMBERS])[i]
               : (int32_t)i;
}

static int32_t listed_count(const tkp_tensor *a)
{
    const tkp_tensor *offsets = &a[TKP__GREEDY_OFFSETS];
    return tkp__cpu_i32(offsets)[offsets->shape[0] - 1];
}

static tkp_status
check_keep(const tkp__cpu_greedy *p, const tkp_tensor *a, int64_t kept)
{
    const int32_t *offsets = tkp__cpu_i32(&a[TKP__GREEDY_OFFSETS]);
    const int32_t *keep = tkp__cpu_i32(&a[TKP__GREEDY_KEEP]);
    const int32_t *out = tkp__cpu_i32(&a[TKP__GREEDY_OUT_OFFSETS]);
    const int64_t groups = a[TKP__GREEDY_KEEP].shape[0];
    int64_t sum = 0;
    for (int64_t g = 0; g <= groups; g++) {
        TKP__CHECK(
            out[g] == sum, TKP_ERR_ARGUMENT,
            "out_offsets: entry %lld is %d, the sum of keep is %lld",
            (long long)g, out[g], (long long)sum);
        if (g == groups)
            break;
        const int32_t n = offsets[g + 1] - offsets[g];
        TKP__CHECK(
            keep[g] >= 0 && keep[g] <= n, TKP_ERR_ARGUMENT,
            "keep: entry %lld is %d, its group has %d members", (long long)g,
            keep[g], n);
        TKP__CHECK(
            n <= p->most, TKP_ERR_ARGUMENT,
            "group_offsets: group %lld has %d members, the plan was made for "
            "%lld",
            (long long)g, n, (long long)p->most);
        sum += keep[g];
    }
    TKP__CHECK(
        sum == kept, TKP_ERR_ARGUMENT,
        "keep: the sum is %lld, dst has room for %lld", (long long)sum,
        (long long)kept);
    return TKP_OK;
}

tkp_status tkp__cpu_greedy_check(
    const tkp__cpu_greedy *p,
    const tkp__cpu_run *r,
    int32_t dst)
{
    const tkp_tensor *a = r->args;
    const tkp_tensor *members = &a[TKP__GREEDY_MEMBERS];
    const int64_t n = a[TKP__GREEDY_ROWS].shape[0];
    TKP__TRY(tkp__cpu_check_index(
        &a[TKP__GREEDY_ROWS], n, a[TKP__GREEDY_X].shape[0], "rows"));
    TKP__TRY(tkp__cpu_check_offsets(
        &a[TKP__GREEDY_OFFSETS], tkp__present(members) ? members->shape[0] : n,
        "group_offsets"));
    const int64_t count = listed_count(a);
    if (tkp__present(members))
        TKP__TRY(tkp__cpu_check_index(members, count, n, "members"));
    TKP__TRY(check_keep(p, a, a[dst].shape[0]));
    const int32_t *rows = tkp__cpu_i32(&a[TKP__GREEDY_ROWS]);
    float *square = (float *)(void *)(r->workspace + p->square_at);
    int64_t wrong = INT64_MAX;
#pragma omp parallel for num_threads(p->base.threads) reduction(min            \
                                                                : wrong)       \
    schedule(                                                                  \
        static) if (tkp__cpu_worth_threads(count * a[TKP__GREEDY_X].shape[1]))
    for (int64_t i = 0; i < count; i++) {
        const int32_t m = listed_member(a, i);
        square[m] =
            tkp__cpu_square(p->base.kernels, &a[TKP__GREEDY_X], rows[m]);
        if (!__builtin_isfinite(square[m]))
            wrong = tkp__cpu_min(wrong, i);
    }
    TKP__CHECK(
        wrong == INT64_MAX, TKP_ERR_DATA,
        "x: row %d has a number that is not finite",
        rows[listed_member(a, wrong)]);
    return TKP_OK;
}

tkp_status tkp__cpu_greedy_check_weights(
    const tkp__cpu_run *r,
    int32_t arg,
    const char *name,
    bool may_be_negative)
{
    const tkp_tensor *a = r->args;
    if (!tkp__present(&a[arg]))
        return TKP_OK;
    const float *w = tkp__data(&a[arg]);
    const int64_t count = listed_count(a);
    for (int64_t i = 0; i < count; i++) {
        const int32_t m = listed_member(a, i);
        TKP__CHECK(
            __builtin_isfinite(w[m]) && (may_be_negative || w[m] >= 0),
            TKP_ERR_DATA, "%s: entry %d is %g, wanted a finite number%s", name,
            m, (double)w[m], may_be_negative ? "" : " from 0");
    }
    return TKP_OK;
}

/* --- a group ---------------------------------------------------------------- */

static void sift(int32_t *list, int64_t at, int64_t n)
{
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= n)
            return;
        if (child + 1 < n && list[child + 1] > list[child])
            child++;
        if (list[at] >= list[child])
            return;
        const int32_t held = list[at];
        list[at] = list[child];
        list[child] = held;
        at = child;
    }
}

static void sort_list(int32_t *list, int64_t n)
{
    int64_t i = 1;
    while (i < n && list[i - 1] <= list[i])
        i++;
    if (i >= n)
        return;
    for (i = n / 2; i-- > 0;)
        sift(list, i, n);
    for (i = n - 1; i > 0; i--) {
        const int32_t held = list[0];
        list[0] = list[i];
        list[i] = held;
        sift(list, 0, i);
    }
}

/* Rows of any length as cosines need them: dots of bf16 are scaled after. */
static bool in_range(const tkp__cpu_greedy_group *g)
{
    for (int64_t i = 0; i < g->n; i++) {
        const float s = g->square[g->list[i]];
        if (s != 0 && (s < TKP__CPU_SQUARE_SMALL || s > TKP__CPU_SQUARE_LARGE))
            return false;
    }
    return true;
}

static void gather_row(
    const tkp__cpu_greedy_group *g,
    const tkp_tensor *x,
    const int32_t *rows,
    int64_t i)
{
    const tkp__cpu_greedy *p = g->plan;
    const void *row =
        tkp__cpu_row(x, rows[g->list[i]], tkp__cpu_bytes(x->dtype));
    if (g->pairs) {
        memcpy((uint16_t *)g->rows + i * g->d, row, (size_t)g->d * 2);
        return;
    }
    float *dst = (float *)g->rows + i * g->d;
    p->base.kernels->convert(dst, TKP_DTYPE_F32, row, x->dtype, g->d);
    if (p->raw)
        return;
    /* Two steps, as 1 / norm may be out of reach of f32. */
    const float s = g->square[g->list[i]];
    const float scale = g->scale[i];
    const float first = s < TKP__CPU_SQUARE_SMALL   ? 1e15f
                        : s > TKP__CPU_SQUARE_LARGE ? 1e-15f
                                                    : 1;
    const float second = first == 1 ? scale : scale / first;
    if (first != 1)
        for (int64_t c = 0; c < g->d; c++)
            dst[c] *= first;
    for (int64_t c = 0; c < g->d; c++)
        dst[c] *= second;
}

/* Products of rows i0 .. with rows j0 .., [rows][TILE], as similarities. */
static void similar_tile(
    const tkp__cpu_greedy_group *g,
    char *scratch,
    int64_t i0,
    int64_t rows,
    int64_t j0,
    int64_t columns)
{
    const tkp__cpu_kernels *k = g->plan->base.kernels;
    float *tile = (float *)(void *)scratch;
    void *packed = scratch + (size_t)TILE * TILE * 4;
    if (!g->pairs) {
        const float *x = g->rows;
        k->product(
            tile, x + i0 * g->d, g->d, x + j0 * g->d, g->d, rows, columns, g->d,
            packed);
        return;
    }
    const uint16_t *x = g->rows;
    const tkp__cpu_logits logits = {
        .q = x + i0 * g->d,
        .k = x + j0 * g->d,
        .dst = tile,
        .key_stride = g->d,
        .group_stride = g->d,
        .ldd = TILE,
        .keys = columns,
        .dtype = TKP_DTYPE_BF16,
        .rows = (int32_t)rows,
        .heads = 1,
        .groups = 1,
        .c = (int32_t)g->d,
        .scale = 1,
    };
    k->logits_many(&logits, packed);
    if (g->plan->raw)
        return;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            tile[i * TILE + j] *= g->scale[i0 + i] * g->scale[j0 + j];
}

static char *own_tile(const tkp__cpu_greedy_group *g)
{
    return g->tiles + (uint64_t)omp_get_thread_num() * g->plan->tile_bytes;
}

/* What a row has in common with itself is known. */
static void set_own(const tkp__cpu_greedy_group *g, float *row, int64_t j)
{
    if (!g->plan->raw)
        row[j] = g->scale[j] != 0 ? 1 : 0;
}

/* One half by products, the other is the same numbers. */
static void fill_matrix(const tkp__cpu_greedy_group *g)
{
    const int64_t n = g->n, blocks = tkp__cpu_ceil(n, TILE);
    float *matrix = g->matrix;
#pragma omp parallel for num_threads(g->plan->base.threads) schedule(dynamic, 1)
    for (int64_t at = 0; at < blocks * blocks; at++) {
        const int64_t i0 = at / blocks * TILE, j0 = at % blocks * TILE;
        if (j0 < i0)
            continue;
        const int64_t rows = tkp__cpu_min(TILE, n - i0);
        const int64_t columns = tkp__cpu_min(TILE, n - j0);
        char *scratch = own_tile(g);
        const float *tile = (const float *)(const void *)scratch;
        similar_tile(g, scratch, i0, rows, j0, columns);
        for (int64_t i = 0; i < rows; i++)
            memcpy(
                matrix + (i0 + i) * n + j0, tile + i * TILE,
                (size_t)columns * 4);
        if (j0 > i0)
            for (int64_t j = 0; j < columns; j++)
                for (int64_t i = 0; i < rows; i++)
                    matrix[(j0 + j) * n + i0 + i] = tile[i * TILE + j];
    }
    for (int64_t j = 0; j < n; j++)
        set_own(g, matrix + j * n, j);
}

static bool
wants_matrix(const tkp__cpu_greedy *p, int64_t n, int64_t keep, bool all)
{
    return p->always || (n <= MATRIX_MOST && (all || n <= MATRIX_SHARE * keep));
}

tkp__cpu_greedy_group tkp__cpu_greedy_open(
    const tkp__cpu_greedy *p,
    const tkp__cpu_run *r,
    int32_t dst,
    int64_t i,
    bool all)
{
    const tkp_tensor *a = r->args;
    const tkp_tensor *x = &a[TKP__GREEDY_X];
    const int32_t *offsets = tkp__cpu_i32(&a[TKP__GREEDY_OFFSETS]);
    const int32_t *rows = tkp__cpu_i32(&a[TKP__GREEDY_ROWS]);
    char *w = r->workspace;
    int32_t *list = (int32_t *)(void *)(w + p->list_at);
    float *scale = (float *)(void *)(w + p->scale_at);
    tkp__cpu_greedy_group g = {
        .plan = p,
        .n = offsets[i + 1] - offsets[i],
        .d = x->shape[1],
        .keep = tkp__cpu_i32(&a[TKP__GREEDY_KEEP])[i],
        .list = list,
        .scale = scale,
        .square = (const float *)(const void *)(w + p->square_at),
        .rows = w + p->rows_at,
        .row = (float *)(void *)(w + p->row_at),
        .tiles = w + p->tile_at,
        .dst = (int32_t *)tkp__data(&a[dst]) +
               tkp__cpu_i32(&a[TKP__GREEDY_OUT_OFFSETS])[i],
    };
    if (g.keep == 0)
        return g;
    for (int64_t j = 0; j < g.n; j++)
        list[j] = listed_member(a, offsets[i] + j);
    sort_list(list, g.n);
    for (int64_t j = 0; j < g.n; j++) {
        const double s = (double)g.square[list[j]];
        scale[j] = s == 0 ? 0 : (float)(1.0 / __builtin_sqrt(s));
    }
    g.pairs = keeps_pairs(p, x->dtype, g.d) && in_range(&g);
    const int64_t n = g.n;
#pragma omp parallel for num_threads(p->base.threads)                          \
    schedule(static) if (tkp__cpu_worth_threads(n * x->shape[1]))
    for (int64_t j = 0; j < n; j++)
        gather_row(&g, x, rows, j);
    if (wants_matrix(p, g.n, g.keep, all)) {
        g.matrix = (float *)(void *)(w + p->matrix_at);
        fill_matrix(&g);
    }
    return g;
}

/* --- rows -------------------------------------------------------------------- */

static void row_piece(const tkp__cpu_greedy_group *g, int64_t j, int64_t from)
{
    const size_t bytes = g->pairs ? 2 : 4;
    const int64_t count = tkp__cpu_min(64, g->n - from);
    const char *rows = g->rows;
    const tkp__cpu_skinny skinny = {
        .x = rows + (size_t)(j * g->d) * bytes,
        .w = rows + (size_t)(from * g->d) * bytes,
        .dst = g->row + from,
        .ldx = g->d,
        .ldw = g->d,
        .ldd = count,
        .n = count,
        .k = g->d,
        .m = 1,
        .x_dtype = g->pairs ? TKP_DTYPE_BF16 : TKP_DTYPE_F32,
        .w_dtype = g->pairs ? TKP_DTYPE_BF16 : TKP_DTYPE_F32,
        .d_dtype = TKP_DTYPE_F32,
    };
    g->plan->base.kernels->skinny(&skinny);
    if (g->pairs && !g->plan->raw)
        for (int64_t i = from; i < from + count; i++)
            g->row[i] *= g->scale[j] * g->scale[i];
}

const float *tkp__cpu_greedy_row(const tkp__cpu_greedy_group *g, int64_t j)
{
    if (g->matrix)
        return g->matrix + j * g->n;
#pragma omp parallel for num_threads(g->plan->base.threads)                    \
    schedule(static) if (tkp__cpu_worth_threads(g->n * g->d))
    for (int64_t from = 0; from < g->n; from += 64)
        row_piece(g, j, from);
    set_own(g, g->row, j);
    return g->row;
}

static float
likeness(const tkp__cpu_greedy_group *g, int64_t i, int64_t j, float value)
{
    return g->plan->raw ? tkp__cpu_greedy_negated(g, i, j, value) : value;
}

/* Rows i0 .. against all, tile by tile, where there is no matrix. */
static void
nearest_block(const tkp__cpu_greedy_group *g, int64_t i0, float *near)
{
    char *scratch = own_tile(g);
    const float *tile = (const float *)(const void *)scratch;
    const int64_t rows = tkp__cpu_min(TILE, g->n - i0);
    for (int64_t i = 0; i < rows; i++)
        near[i0 + i] = -__builtin_inff();
    for (int64_t j0 = 0; j0 < g->n; j0 += TILE) {
        const int64_t columns = tkp__cpu_min(TILE, g->n - j0);
        similar_tile(g, scratch, i0, rows, j0, columns);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) {
                const float s = likeness(g, i0 + i, j0 + j, tile[i * TILE + j]);
                if (i0 + i != j0 + j && s > near[i0 + i])
                    near[i0 + i] = s;
            }
    }
}

void tkp__cpu_greedy_nearest(const tkp__cpu_greedy_group *g, float *near)
{
#pragma omp parallel for num_threads(g->plan->base.threads) schedule(dynamic, 1)
    for (int64_t i0 = 0; i0 < g->n; i0 += TILE) {
        if (!g->matrix) {
            nearest_block(g, i0, near);
            continue;
        }
        for (int64_t i = i0; i < tkp__cpu_min(i0 + TILE, g->n); i++) {
            const float *row = g->matrix + i * g->n;
            float most = -__builtin_inff();
            for (int64_t j = 0; j < g->n; j++) {
                const float s = likeness(g, i, j, row[j]);
                most = j != i && s > most ? s : most;
            }
            near[i] = most;
        }
    }
}
