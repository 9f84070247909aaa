/*
 * DENSITY_PEAKS: how dense it is around a token, and how far to where it is
 * denser.
 *
 *   D_ij      = |x_i - x_j| / sqrt(D)
 *   density_i = exp(-mean of the c smallest D_ij^2), rounded to f32
 *   delta_i   = min of D_ij over denser j; of the densest the largest D
 *   score_i   = density_i delta_i
 *
 * Source: density peaks with k nearest neighbours (Du, Ding, Jia 2016), as
 * SparseVLM (Zhang et al. 2025) clusters what it drops: there a token is among
 * its own c neighbours, and ties are broken by random noise. Open choice: of
 * equal densities the earlier member is the denser one; no noise. In double
 * but for the density, which is compared as it is given out.
 */

#include "ref/ref.h"

enum { X, ROWS, GROUP_OFFSETS, MEMBERS, NEIGHBOURS, DENSITY, SCORE };
enum { SCRATCH_SMALLEST };

static tkp_status plan_density_peaks(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    return tkp__ref_book(
        plan, ledger, SCRATCH_SMALLEST, args[ROWS].shape[0], sizeof(double));
}

static tkp_status check_data(const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const bool listed = tkp__present(members);
    const int64_t all = args[ROWS].shape[0];
    const int64_t groups = args[NEIGHBOURS].shape[0];
    TKP__TRY(tkp__ref_check_index(&args[ROWS], all, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_offsets(
        &args[GROUP_OFFSETS], listed ? members->shape[0] : all,
        "group_offsets"));
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    if (listed)
        TKP__TRY(
            tkp__ref_check_index(members, offsets[groups], all, "members"));
    for (int64_t g = 0; g < groups; g++) {
        const int32_t c = tkp__ref_i32(&args[NEIGHBOURS])[g];
        const int32_t n = offsets[g + 1] - offsets[g];
        TKP__CHECK(
            c >= (n > 0) && c <= n, TKP_ERR_ARGUMENT,
            "neighbours: entry %lld is %d, wanted %d to %d", (long long)g, c,
            n > 0, n);
    }
    return TKP_OK;
}

typedef struct group {
    const tkp_tensor *args;
    const int32_t *members; /* or NULL */
    int32_t first, n, neighbours;
    bool others;
    double *smallest; /* squares, ascending */
    float *density;
    float *score;
} group;

static int32_t candidate(const group *g, int32_t i)
{
    return g->members ? g->members[g->first + i] : g->first + i;
}

static double square(const group *g, int32_t a, int32_t b)
{
    const tkp_tensor *x = &g->args[X];
    const int32_t *rows = tkp__ref_i32(&g->args[ROWS]);
    const void *ra = tkp__ref_row(x, rows[candidate(g, a)]);
    const void *rb = tkp__ref_row(x, rows[candidate(g, b)]);
    double sum = 0.0;
    for (int64_t c = 0; c < x->shape[1]; c++) {
        const double d = (double)tkp__load_f32(ra, x->dtype, c) -
                         (double)tkp__load_f32(rb, x->dtype, c);
        sum += d * d;
    }
    return x->shape[1] ? sum / (double)x->shape[1] : 0.0;
}

/* Insert into the `most` smallest so far. */
static int32_t
keep_smallest(double *list, int32_t n, int32_t most, double value)
{
    int32_t at = n;
    while (at > 0 && list[at - 1] > value)
        at--;
    if (at == most)
        return n;
    const int32_t last = n < most ? n : most - 1;
    memmove(list + at + 1, list + at, (size_t)(last - at) * sizeof(*list));
    list[at] = value;
    return n < most ? n + 1 : n;
}

static tkp_status find_density(const group *g, int32_t i)
{
    const int32_t there = g->others ? g->n - 1 : g->n;
    const int32_t most = g->neighbours < there ? g->neighbours : there;
    int32_t found = 0;
    double sum = 0.0;
    for (int32_t j = 0; j < g->n; j++) {
        const double d = square(g, i, j);
        TKP__CHECK(
            isfinite(d), TKP_ERR_DATA,
            "x: the distance of candidates %d and %d is not finite",
            candidate(g, i), candidate(g, j));
        if (most > 0 && !(g->others && j == i))
            found = keep_smallest(g->smallest, found, most, d);
    }
    for (int32_t j = 0; j < found; j++)
        sum += g->smallest[j];
    g->density[candidate(g, i)] =
        (float)exp(found ? -sum / (double)found : 0.0);
    return TKP_OK;
}

static bool denser(const group *g, int32_t a, int32_t b)
{
    const int32_t i = candidate(g, a), j = candidate(g, b);
    return g->density[i] != g->density[j] ? g->density[i] > g->density[j]
                                          : a < b;
}

static void find_score(const group *g, int32_t i)
{
    double nearest = -1.0;
    for (int32_t j = 0; j < g->n; j++)
        if (j != i && denser(g, j, i)) {
            const double d = square(g, i, j);
            nearest = nearest < 0.0 || d < nearest ? d : nearest;
        }
    if (nearest < 0.0) /* the densest */
        for (int32_t a = 0; a < g->n; a++)
            for (int32_t b = 0; b < a; b++) {
                const double d = square(g, a, b);
                nearest = d > nearest ? d : nearest;
            }
    g->score[candidate(g, i)] =
        (float)((double)g->density[candidate(g, i)] * (nearest > 0.0 ? sqrt(nearest) : 0.0));
}

static tkp_status run_density_peaks(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    TKP__TRY(check_data(args));
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    float *density = tkp__data(&args[DENSITY]);
    float *score = tkp__data(&args[SCORE]);
    for (int64_t i = 0; i < args[ROWS].shape[0]; i++)
        density[i] = score[i] = 0.0f;
    for (int64_t i = 0; i < args[NEIGHBOURS].shape[0]; i++) {
        const group g = {
            .args = args,
            .members = tkp__present(&args[MEMBERS])
                           ? tkp__ref_i32(&args[MEMBERS])
                           : NULL,
            .first = offsets[i],
            .n = offsets[i + 1] - offsets[i],
            .neighbours = tkp__ref_i32(&args[NEIGHBOURS])[i],
            .others = plan->params.density_peaks.others != 0,
            .smallest = tkp__ref_scratch(plan, workspace, SCRATCH_SMALLEST),
            .density = density,
            .score = score,
        };
        for (int32_t m = 0; m < g.n; m++)
            TKP__TRY(find_density(&g, m));
        for (int32_t m = 0; m < g.n; m++)
            find_score(&g, m);
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_density_peaks = {
    .kind = TKP_OP_DENSITY_PEAKS,
    .params_size = sizeof(tkp_op_density_peaks),
    .kernel = "ref_density_peaks",
    .plan = plan_density_peaks,
    .run = run_density_peaks,
};
