/*
 * CLUSTER_CENTRES: the products of all rows of a group with each other, tile by
 * tile; kept as a matrix where the group is not too large, else those with
 * centres are made again. Rows are scaled by powers of two, which changes no
 * digit, so that squares neither overflow nor vanish.
 */

#include <math.h>
#include <omp.h>

#include "cpu/cpu_order.h"
#include "cpu/cpu_pairs.h"

enum { X, ROWS, OFFSETS, MEMBERS, DENSITY, CENTRE };
enum { TILE = TKP__CPU_TILE, MATRIX_MOST = 4096 };

struct centres_plan {
    tkp__cpu_plan base;
    double distance;
    int64_t most; /* members of a group */
    uint64_t rows_at, norms_at, tiles_at, scratch_at, keys_at, spare_at,
        list_at;
    uint64_t scratch_bytes; /* of each thread */
};

static int64_t most_members(const tkp_tensor *a)
{
    return tkp__present(&a[MEMBERS]) ? a[MEMBERS].shape[0] : a[ROWS].shape[0];
}

static bool has_matrix(const struct centres_plan *p)
{
    return p->most <= MATRIX_MOST;
}

static tkp_status plan_centres(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct centres_plan *p = (struct centres_plan *)base;
    const tkp_op_cluster_centres *params = desc->params;
    const tkp_tensor *a = desc->args;
    (void)kernel_out;
    p->distance = (double)params->distance;
    p->most = most_members(a);
    const uint64_t n = (uint64_t)p->most, threads = (uint64_t)base->threads;
    const uint64_t tiles = (n + TILE - 1) / TILE;
    p->scratch_bytes = base->kernels->product_scratch();
    TKP__TRY(tkp_sys_ledger_book(
        ledger, n * (uint64_t)a[X].shape[1] * 4, &p->rows_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 8, &p->norms_at));
    TKP__TRY(tkp_sys_ledger_book(
        ledger,
        (uint64_t)TILE * TILE * 4 * (has_matrix(p) ? tiles * tiles : threads),
        &p->tiles_at));
    TKP__TRY(tkp_sys_ledger_book(
        ledger, p->scratch_bytes * threads, &p->scratch_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 8, &p->keys_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, n * 8, &p->spare_at));
    return tkp_sys_ledger_book(ledger, n * 4, &p->list_at);
}

static tkp_status check_data(const tkp_tensor *a)
{
    const tkp_tensor *members = &a[MEMBERS];
    const int64_t n = a[ROWS].shape[0], groups = a[OFFSETS].shape[0] - 1;
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[X].shape[0], "rows"));
    TKP__TRY(
        tkp__cpu_check_offsets(&a[OFFSETS], most_members(a), "group_offsets"));
    return tkp__present(members)
               ? tkp__cpu_check_index(
                     members, tkp__cpu_i32(&a[OFFSETS])[groups], n, "members")
               : TKP_OK;
}

/* --- a group ------------------------------------------------------------------ */

typedef struct group {
    const struct centres_plan *plan;
    int64_t n, d;
    const int32_t *list;
    int32_t first;
    float *rows;   /* [n, d] */
    double *norms; /* [n] of those */
    char *tiles;   /* [tiles, tiles], or one a thread */
    char *scratch;
    uint64_t *keys, *spare; /* [n] */
    int32_t *centres;       /* [n] members that are, as they are found */
    float *density;
    int32_t *centre;
} group;

static int32_t candidate(const group *g, int64_t i)
{
    return g->list ? g->list[i] : g->first + (int32_t)i;
}

static float *tile_at(const group *g, int64_t i)
{
    char *at = g->tiles + (uint64_t)i * TILE * TILE * sizeof(float);
    return (float *)(void *)at;
}

/* The sum of squares, from f32 where that holds it. */
static double norm_of(const group *g, const float *row)
{
    const float sum =
        g->plan->base.kernels->sum_squares(row, TKP_DTYPE_F32, g->d);
    if (sum > TKP__CPU_SQUARE_SMALL && sum < TKP__CPU_SQUARE_LARGE)
        return sqrt((double)sum);
    double exact = 0;
    for (int64_t c = 0; c < g->d; c++)
        exact += (double)row[c] * (double)row[c];
    return sqrt(exact);
}

static tkp_status scale_rows(const group *g)
{
    for (int64_t i = 0; i < g->n; i++) {
        float *row = g->rows + i * g->d;
        const double norm = norm_of(g, row);
        TKP__CHECK(
            isfinite(norm), TKP_ERR_DATA,
            "x: the row of candidate %d is not finite", candidate(g, i));
        g->norms[i] = norm;
        if (norm == 0)
            continue;
        const int e = ilogb(norm);
        g->norms[i] = ldexp(norm, -e);
        /* Two steps: a power of two for both may be out of f32's range. */
        const float first = ldexpf(1, -e / 2), second = ldexpf(1, -e - -e / 2);
        for (int64_t c = 0; c < g->d && e != 0; c++)
            row[c] = row[c] * first * second;
    }
    return TKP_OK;
}

/* 1 - cosine, from the product of two rows. */
static double distance(const group *g, float product, int64_t i, int64_t j)
{
    const double norms = g->norms[i] * g->norms[j];
    return norms == 0 ? 1 : 1 - (double)product / norms;
}

static const float *fill_tile(const group *g, int64_t i0, int64_t j0)
{
    const struct centres_plan *p = g->plan;
    const int64_t tiles = tkp__cpu_ceil(g->n, TILE);
    const int64_t thread = omp_get_thread_num();
    float *tile =
        tile_at(g, has_matrix(p) ? i0 / TILE * tiles + j0 / TILE : thread);
    p->base.kernels->product(
        tile, g->rows + i0 * g->d, g->d, g->rows + j0 * g->d, g->d,
        tkp__cpu_min(TILE, g->n - i0), tkp__cpu_min(TILE, g->n - j0), g->d,
        g->scratch + (uint64_t)thread * p->scratch_bytes);
    return tile;
}

/* One half is made, the other is the same numbers. */
static void fill_matrix(const group *g)
{
    const int64_t tiles = tkp__cpu_ceil(g->n, TILE);
#pragma omp parallel for num_threads(g->plan->base.threads)                    \
    schedule(dynamic, 1) if (g->n > TILE)
    for (int64_t at = 0; at < tiles * tiles; at++) {
        const int64_t i0 = at / tiles * TILE, j0 = at % tiles * TILE;
        if (j0 < i0)
            continue;
        const float *tile = fill_tile(g, i0, j0);
        float *mirror = tile_at(g, j0 / TILE * tiles + i0 / TILE);
        if (j0 == i0)
            continue;
        for (int64_t j = 0; j < tkp__cpu_min(TILE, g->n - j0); j++)
            for (int64_t i = 0; i < TILE; i++)
                mirror[j * TILE + i] = tile[i * TILE + j];
    }
}

static void find_densities(const group *g)
{
    const int64_t tiles = tkp__cpu_ceil(g->n, TILE);
    if (has_matrix(g->plan))
        fill_matrix(g);
#pragma omp parallel for num_threads(g->plan->base.threads)                    \
    schedule(dynamic, 1) if (g->n > TILE)
    for (int64_t i0 = 0; i0 < g->n; i0 += TILE) {
        const int64_t lines = tkp__cpu_min(TILE, g->n - i0);
        double sums[TILE] = {0};
        for (int64_t j0 = 0; j0 < g->n; j0 += TILE) {
            const int64_t columns = tkp__cpu_min(TILE, g->n - j0);
            const float *tile = has_matrix(g->plan)
                                    ? tile_at(g, i0 / TILE * tiles + j0 / TILE)
                                    : fill_tile(g, i0, j0);
            for (int64_t i = 0; i < lines; i++)
                for (int64_t j = 0; j < columns; j++) {
                    const double half =
                        distance(g, tile[i * TILE + j], i0 + i, j0 + j) / 2;
                    sums[i] += exp(-half * half);
                }
        }
        for (int64_t i = 0; i < lines; i++)
            g->density[candidate(g, i0 + i)] = (float)sums[i];
    }
}

static float product_of(const group *g, int64_t i, int64_t j)
{
    if (has_matrix(g->plan)) {
        const int64_t tiles = tkp__cpu_ceil(g->n, TILE);
        return tile_at(
            g, i / TILE * tiles + j / TILE)[i % TILE * TILE + j % TILE];
    }
    float both[2];
    g->plan->base.kernels->dot_and_square(
        both, g->rows + i * g->d, TKP_DTYPE_F32, g->rows + j * g->d, g->d);
    return both[0];
}

/* Densest first; of equal ones the lower candidate. */
static void find_centres(const group *g)
{
    int64_t found = 0;
    for (int64_t i = 0; i < g->n; i++)
        g->keys[i] = tkp__cpu_order_key(
            g->density[candidate(g, i)], candidate(g, i), TKP_ORDER_HIGHEST);
    /* Which member a candidate is, while the order is that of candidates. */
    for (int64_t i = 0; i < g->n; i++)
        g->centre[candidate(g, i)] = (int32_t)i;
    tkp__cpu_order_sort(g->keys, g->n, g->spare);
    for (int64_t k = 0; k < g->n; k++) {
        const int32_t i = g->centre[tkp__cpu_order_index(g->keys[k])];
        bool is = true;
        for (int64_t c = 0; c < found && is; c++)
            is =
                distance(g, product_of(g, i, g->centres[c]), i, g->centres[c]) >
                g->plan->distance;
        if (is)
            g->centres[found++] = i;
    }
    for (int64_t i = 0; i < g->n; i++)
        g->centre[candidate(g, i)] = 0;
    for (int64_t c = 0; c < found; c++)
        g->centre[candidate(g, g->centres[c])] = 1;
}

static tkp_status run_centres(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct centres_plan *p = (const struct centres_plan *)base;
    const tkp_tensor *a = r->args;
    const int32_t *offsets = tkp__cpu_i32(&a[OFFSETS]);
    TKP__TRY(check_data(a));
    for (int64_t i = 0; i < a[ROWS].shape[0]; i++) {
        ((float *)tkp__data(&a[DENSITY]))[i] = 0;
        ((int32_t *)tkp__data(&a[CENTRE]))[i] = -1;
    }
    for (int64_t i = 0; i < a[OFFSETS].shape[0] - 1; i++) {
        char *w = r->workspace;
        const group g = {
            .plan = p,
            .n = offsets[i + 1] - offsets[i],
            .d = a[X].shape[1],
            .list = tkp__present(&a[MEMBERS])
                        ? tkp__cpu_i32(&a[MEMBERS]) + offsets[i]
                        : NULL,
            .first = offsets[i],
            .rows = (float *)(void *)(w + p->rows_at),
            .norms = (double *)(void *)(w + p->norms_at),
            .tiles = w + p->tiles_at,
            .scratch = w + p->scratch_at,
            .keys = (uint64_t *)(void *)(w + p->keys_at),
            .spare = (uint64_t *)(void *)(w + p->spare_at),
            .centres = (int32_t *)(void *)(w + p->list_at),
            .density = tkp__data(&a[DENSITY]),
            .centre = tkp__data(&a[CENTRE]),
        };
        tkp__cpu_pack_rows(
            base, g.rows, &a[X], tkp__cpu_i32(&a[ROWS]), g.list, g.first, g.n);
        TKP__TRY(scale_rows(&g));
        find_densities(&g);
        find_centres(&g);
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_cluster_centres = {
    .kind = TKP_OP_CLUSTER_CENTRES,
    .plan_bytes = sizeof(struct centres_plan),
    .supports = NULL,
    .plan = plan_centres,
    .run = run_centres,
    .destroy = NULL,
};
