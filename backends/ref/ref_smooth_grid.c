/*
 * SMOOTH_GRID: values on a grid, each meaned with its eight neighbours.
 *
 *   dst = (sum of g(dy) g(dx) src[y + dy, x + dx])^power,
 *   g(0) : g(1) = 1 : exp(-1 / (2 sigma^2)), the nine of them sum to 1
 *
 * Source: EADP (sigma 1). Borders reflect: -1 is 1, n is n - 2, in a line of one
 * it is that one.
 *
 * Open choices: neighbours that are no candidates (padding, or gone) are left
 * out and the rest is scaled up. Each frame is smoothed by itself.
 */

#include "ref/ref.h"

enum { SRC, OFFSETS, GRID, CELLS, DST };
enum { SCRATCH_AT };

static tkp_status
plan_smooth(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t cells = plan->params.smooth_grid.cells;
    (void)args;
    return tkp__ref_book(plan, ledger, SCRATCH_AT, cells, sizeof(int32_t));
}

static int32_t reflect(int32_t i, int32_t n)
{
    if (n == 1)
        return 0;
    return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
}

static float smoothed(
    const float *src,
    const int32_t *at, /* [cells] candidate; -1 = none */
    const int32_t *grid,
    int32_t cell,
    double beside)
{
    const int32_t rows = grid[1], cols = grid[2];
    const int32_t x = cell % cols, y = cell / cols % rows;
    const int32_t frame = cell / cols / rows * rows * cols;
    double sum = 0.0, weight = 0.0;
    for (int32_t dy = -1; dy <= 1; dy++)
        for (int32_t dx = -1; dx <= 1; dx++) {
            const int32_t j =
                at[frame + reflect(y + dy, rows) * cols +
                   reflect(x + dx, cols)];
            const double w = (dy ? beside : 1.0) * (dx ? beside : 1.0);
            if (j < 0)
                continue;
            sum += w * (double)src[j];
            weight += w;
        }
    return (float)(sum / weight);
}

static tkp_status
check_data(const tkp_op_smooth_grid *p, const tkp_tensor *args)
{
    const int32_t *grid = tkp__ref_i32(&args[GRID]);
    const int32_t *cells = tkp__ref_i32(&args[CELLS]);
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    TKP__TRY(
        tkp__ref_check_covering(&args[OFFSETS], args[DST].shape[0], "offsets"));
    for (int64_t i = 0; i < args[GRID].shape[0]; i++) {
        const int32_t *g = grid + 3 * i;
        TKP__CHECK(
            g[0] > 0 && g[1] > 0 && g[2] > 0 &&
                (int64_t)g[0] * g[1] <= p->cells &&
                (int64_t)g[0] * g[1] * g[2] <= p->cells,
            TKP_ERR_ARGUMENT,
            "grid: entry %lld is %d x %d x %d, wanted 1 to "
            "%d cells",
            (long long)i, g[0], g[1], g[2], p->cells);
        for (int32_t j = offsets[i]; j < offsets[i + 1]; j++)
            TKP__CHECK(
                cells[j] >= 0 && cells[j] < g[0] * g[1] * g[2],
                TKP_ERR_ARGUMENT, "cells: entry %d is %d, wanted 0 to %d", j,
                cells[j], g[0] * g[1] * g[2] - 1);
    }
    return TKP_OK;
}

static tkp_status
run_smooth(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_op_smooth_grid *p = &plan->params.smooth_grid;
    TKP__TRY(check_data(p, args));
    const float *src = tkp__data(&args[SRC]);
    const int32_t *grid = tkp__ref_i32(&args[GRID]);
    const int32_t *cells = tkp__ref_i32(&args[CELLS]);
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    const double sigma = (double)p->sigma;
    const double beside = exp(-1.0 / (2.0 * sigma * sigma));
    int32_t *at = tkp__ref_scratch(plan, workspace, SCRATCH_AT);
    float *dst = tkp__data(&args[DST]);
    for (int64_t i = 0; i < args[GRID].shape[0]; i++, grid += 3) {
        for (int32_t c = 0; c < grid[0] * grid[1] * grid[2]; c++)
            at[c] = -1;
        for (int32_t j = offsets[i]; j < offsets[i + 1]; j++)
            at[cells[j]] = j;
        for (int32_t j = offsets[i]; j < offsets[i + 1]; j++) {
            dst[j] = smoothed(src, at, grid, cells[j], beside);
            if (p->power != 1.0f)
                dst[j] = (float)pow((double)dst[j], (double)p->power);
        }
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_smooth_grid = {
    .kind = TKP_OP_SMOOTH_GRID,
    .params_size = sizeof(tkp_op_smooth_grid),
    .kernel = "ref_smooth_grid",
    .plan = plan_smooth,
    .run = run_smooth,
};
