#ifndef TKP_BACKENDS_CPU_PAIRS_H
#define TKP_BACKENDS_CPU_PAIRS_H

/*
 * Rows that are compared with each other: their lengths, and side by side in
 * f32, as the tile kernels want them.
 */

#include "cpu/cpu.h"

/* Squares outside of this range are taken apart from the rest. */
#define TKP__CPU_SQUARE_SMALL 1e-30f
#define TKP__CPU_SQUARE_LARGE 1e30f

/* The sum of squares of a row; infinite or NaN only if a number in it is. In
 * double where it leaves what f32 can hold. */
float tkp__cpu_square(
    const tkp__cpu_kernels *kernels,
    const tkp_tensor *x,
    int64_t row);

/* dst[i] = row rows[list[i]] of x, [n, D] f32; list = NULL: rows[first + i]. */
void tkp__cpu_pack_rows(
    const tkp__cpu_plan *plan,
    float *dst,
    const tkp_tensor *x,
    const int32_t *rows,
    const int32_t *list,
    int64_t first,
    int64_t n);

#endif
