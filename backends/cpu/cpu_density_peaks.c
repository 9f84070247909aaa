/*
 * DENSITY_PEAKS: squared distances of a block of members to all of their group,
 * kept as a matrix where the group is not too large, else made twice.
 */

#include <omp.h>

#include "cpu/cpu_pairs.h"

enum { X, ROWS, OFFSETS, MEMBERS, NEIGHBOURS, DENSITY, SCORE };
enum { TILE = TKP__CPU_TILE, MATRIX_MOST = 4096 };

struct peaks_plan {
    tkp__cpu_plan base;
    tkp_op_density_peaks params;
    int64_t most; /* members of a group */
    uint64_t rows_at, block_at, smallest_at;
    uint64_t block_bytes; /* of each thread */
};

static int64_t most_members(const tkp_tensor *a)
{
    return tkp__present(&a[MEMBERS]) ? a[MEMBERS].shape[0] : a[ROWS].shape[0];
}

static tkp_status plan_peaks(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct peaks_plan *p = (struct peaks_plan *)base;
    const tkp_tensor *a = desc->args;
    (void)kernel_out;
    memcpy(&p->params, desc->params, sizeof(p->params));
    p->most = most_members(a);
    const uint64_t n = (uint64_t)p->most, threads = (uint64_t)base->threads;
    /* A matrix, or a block of its lines for each thread; whole tiles. */
    const uint64_t width = (n + TILE - 1) / TILE * TILE;
    p->block_bytes = TILE * width * 4;
    TKP__TRY(tkp_sys_ledger_book(
        ledger, n * (uint64_t)a[X].shape[1] * 4, &p->rows_at));
    TKP__TRY(tkp_sys_ledger_book(
        ledger, p->block_bytes * (n <= MATRIX_MOST ? width / TILE : threads),
        &p->block_at));
    return tkp_sys_ledger_book(ledger, n * 4 * threads, &p->smallest_at);
}

static tkp_status check_data(const tkp_tensor *a)
{
    const tkp_tensor *members = &a[MEMBERS];
    const int64_t n = a[ROWS].shape[0], groups = a[NEIGHBOURS].shape[0];
    const int32_t *offsets = tkp__cpu_i32(&a[OFFSETS]);
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[X].shape[0], "rows"));
    TKP__TRY(
        tkp__cpu_check_offsets(&a[OFFSETS], most_members(a), "group_offsets"));
    if (tkp__present(members))
        TKP__TRY(tkp__cpu_check_index(members, offsets[groups], n, "members"));
    for (int64_t g = 0; g < groups; g++) {
        const int32_t c = tkp__cpu_i32(&a[NEIGHBOURS])[g];
        const int32_t size = offsets[g + 1] - offsets[g];
        TKP__CHECK(
            c >= (size > 0) && c <= size, TKP_ERR_ARGUMENT,
            "neighbours: entry %lld is %d, wanted %d to %d", (long long)g, c,
            size > 0, size);
    }
    return TKP_OK;
}

/* --- a group ------------------------------------------------------------------ */

typedef struct group {
    const struct peaks_plan *plan;
    int64_t n, d;
    int32_t neighbours; /* how many count */
    const int32_t *list;
    int32_t first;
    const float *rows; /* [n, d] */
    char *blocks;      /* the matrix [n, width], or a block a thread */
    float *smallest;   /* [most] a thread */
    float *density, *score;
} group;

static int32_t candidate(const group *g, int64_t i)
{
    return g->list ? g->list[i] : g->first + (int32_t)i;
}

static bool has_matrix(const group *g)
{
    return g->plan->most <= MATRIX_MOST;
}

/* What f32 cannot hold. */
#define LARGEST 3e38f

static float least(float a, float b)
{
    return a < b ? a : b;
}

static float *block_at(const group *g, int64_t i)
{
    char *at = g->blocks + (uint64_t)i * g->plan->block_bytes;
    return (float *)(void *)at;
}

/* Squares over D of members i0 .. and j0 .., [TILE][TILE]. */
static void fill_tile(const group *g, float *tile, int64_t i0, int64_t j0)
{
    const int64_t lines = tkp__cpu_min(TILE, g->n - i0);
    const float scale = 1.0f / (float)g->d;
    g->plan->base.kernels->distances(
        tile, g->rows + i0 * g->d, g->d, g->rows + j0 * g->d, g->d, lines,
        tkp__cpu_min(TILE, g->n - j0), g->d);
    for (int64_t i = 0; i < lines * TILE; i++)
        tile[i] = g->d ? least(tile[i] * scale, LARGEST) : 0;
}

/* One half is made, the other is the same numbers. */
static void fill_matrix(const group *g)
{
    const int64_t blocks = tkp__cpu_ceil(g->n, TILE);
#pragma omp parallel for num_threads(g->plan->base.threads)                    \
    schedule(dynamic, 1) if (g->n > TILE)
    for (int64_t at = 0; at < blocks * blocks; at++) {
        const int64_t i0 = at / blocks * TILE, j0 = at % blocks * TILE;
        if (j0 < i0)
            continue;
        float *tile = block_at(g, i0 / TILE) + j0 * TILE;
        float *mirror = block_at(g, j0 / TILE) + i0 * TILE;
        fill_tile(g, tile, i0, j0);
        if (j0 == i0)
            continue;
        for (int64_t j = 0; j < tkp__cpu_min(TILE, g->n - j0); j++)
            for (int64_t i = 0; i < TILE; i++)
                mirror[j * TILE + i] = tile[i * TILE + j];
    }
}

/* Lines i0 .. of the matrix: tile after tile, a line's piece in each. */
static const float *block_of(const group *g, int64_t i0)
{
    if (has_matrix(g))
        return block_at(g, i0 / TILE);
    float *block = block_at(g, (int64_t)omp_get_thread_num());
    for (int64_t j0 = 0; j0 < g->n; j0 += TILE)
        fill_tile(g, block + j0 * TILE, i0, j0);
    return block;
}

static float square(const float *block, int64_t line, int64_t j)
{
    return block[j / TILE * TILE * TILE + line * TILE + j % TILE];
}

/* The `most` smallest squares of a line but its own, where that is left out:
 * a heap, its largest on top. */
static void sink(float *heap, int64_t n, float value)
{
    int64_t at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && heap[child + 1] > heap[child])
            child++;
        if (heap[child] <= value)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
}

static void rise(float *heap, int64_t at, float value)
{
    for (; at > 0 && heap[(at - 1) / 2] < value; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = value;
}

static float
density_of(const group *g, const float *block, int64_t line, int64_t own)
{
    const bool others = g->plan->params.others != 0;
    const int64_t most = tkp__cpu_min(g->neighbours, others ? g->n - 1 : g->n);
    float *heap = g->smallest + (int64_t)omp_get_thread_num() * g->plan->most;
    int64_t found = 0;
    for (int64_t j = 0; j < g->n && most > 0; j++) {
        const float s = square(block, line, j);
        if (others && j == own)
            continue;
        if (found < most)
            rise(heap, found++, s);
        else if (s < heap[0])
            sink(heap, most, s);
    }
    /* Ascending, so that two that are each other's nearest tie. */
    double sum = 0;
    for (int64_t n = found; n > 1; n--) {
        const float top = heap[0];
        sink(heap, n - 1, heap[n - 1]);
        heap[n - 1] = top;
    }
    for (int64_t i = 0; i < found; i++)
        sum += (double)heap[i];
    return (float)__builtin_exp(found ? -sum / (double)found : 0);
}

/* Members a and b. */
static bool denser(const group *g, int64_t a, int64_t b)
{
    const int32_t i = candidate(g, a), j = candidate(g, b);
    return g->density[i] != g->density[j] ? g->density[i] > g->density[j]
                                          : a < b;
}

/* To the nearest denser one; -1: there is none. */
static float
delta_of(const group *g, const float *block, int64_t line, int64_t own)
{
    float nearest = -1;
    for (int64_t j = 0; j < g->n; j++) {
        const float s = square(block, line, j);
        if (j != own && (nearest < 0 || s < nearest) && denser(g, j, own))
            nearest = s;
    }
    return nearest;
}

static float
far_of(const group *g, const float *block, int64_t lines, float far)
{
    for (int64_t line = 0; line < lines; line++)
        for (int64_t j = 0; j < g->n; j++) {
            const float s = square(block, line, j);
            far = s > far ? s : far;
        }
    return far;
}

static void run_group(const group *g)
{
    float far = 0;
    if (has_matrix(g))
        fill_matrix(g);
#pragma omp parallel for num_threads(g->plan->base.threads)                    \
    schedule(dynamic, 1) reduction(max                                         \
                                   : far) if (g->n > TILE)
    for (int64_t i0 = 0; i0 < g->n; i0 += TILE) {
        const float *block = block_of(g, i0);
        const int64_t lines = tkp__cpu_min(TILE, g->n - i0);
        for (int64_t i = 0; i < lines; i++)
            g->density[candidate(g, i0 + i)] = density_of(g, block, i, i0 + i);
        far = far_of(g, block, lines, far);
    }
#pragma omp parallel for num_threads(g->plan->base.threads)                    \
    schedule(dynamic, 1) if (g->n > TILE)
    for (int64_t i0 = 0; i0 < g->n; i0 += TILE) {
        const float *block = block_of(g, i0);
        for (int64_t i = 0; i < tkp__cpu_min(TILE, g->n - i0); i++) {
            const int32_t own = candidate(g, i0 + i);
            const float nearest = delta_of(g, block, i, i0 + i);
            g->score[own] =
                g->density[own] * __builtin_sqrtf(nearest < 0 ? far : nearest);
        }
    }
}

static tkp_status
check_rows(const struct peaks_plan *p, const tkp_tensor *a, const group *g)
{
    for (int64_t i = 0; i < g->n; i++) {
        const int32_t row = tkp__cpu_i32(&a[ROWS])[candidate(g, i)];
        TKP__CHECK(
            __builtin_isfinite(tkp__cpu_square(p->base.kernels, &a[X], row)),
            TKP_ERR_DATA, "x: row %d has a number that is not finite", row);
    }
    return TKP_OK;
}

static tkp_status run_peaks(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct peaks_plan *p = (const struct peaks_plan *)base;
    const tkp_tensor *a = r->args;
    const int32_t *offsets = tkp__cpu_i32(&a[OFFSETS]);
    const size_t bytes = (size_t)a[ROWS].shape[0] * 4;
    TKP__TRY(check_data(a));
    memset(tkp__data(&a[DENSITY]), 0, bytes);
    memset(tkp__data(&a[SCORE]), 0, bytes);
    for (int64_t i = 0; i < a[NEIGHBOURS].shape[0]; i++) {
        float *rows = (float *)(void *)(r->workspace + p->rows_at);
        const group g = {
            .plan = p,
            .n = offsets[i + 1] - offsets[i],
            .d = a[X].shape[1],
            .neighbours = tkp__cpu_i32(&a[NEIGHBOURS])[i],
            .list = tkp__present(&a[MEMBERS])
                        ? tkp__cpu_i32(&a[MEMBERS]) + offsets[i]
                        : NULL,
            .first = offsets[i],
            .rows = rows,
            .blocks = r->workspace + p->block_at,
            .smallest = (float *)(void *)(r->workspace + p->smallest_at),
            .density = tkp__data(&a[DENSITY]),
            .score = tkp__data(&a[SCORE]),
        };
        TKP__TRY(check_rows(p, a, &g));
        tkp__cpu_pack_rows(
            base, rows, &a[X], tkp__cpu_i32(&a[ROWS]), g.list, g.first, g.n);
        run_group(&g);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_density_peaks = {
    .kind = TKP_OP_DENSITY_PEAKS,
    .plan_bytes = sizeof(struct peaks_plan),
    .supports = NULL,
    .plan = plan_peaks,
    .run = run_peaks,
    .destroy = NULL,
};
