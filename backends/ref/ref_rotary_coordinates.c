/*
 * ROTARY_COORDINATES: how near a row's rotation is to none, or to a quarter turn.
 *
 *   angle[p, i] = position[p, row] / theta^(2 i / C),  i = 0 .. C/2 - 1, in the
 *                 f32 arithmetic of ROTARY_TABLE
 *   dst_j       = mean over p and i of cos angle, or of sin angle
 *
 * Source: IVC-Prune (ICLR 2026, arXiv 2602.03060): tokens that act as references
 * of coordinates. With three rows of positions each pair turns by each of them.
 * The mean in double.
 */

#include "ref/ref.h"

enum { POSITIONS, ROWS, DST };

static double mean_of(
    const tkp_op_rotary_coordinates *p,
    const tkp_tensor *positions,
    int32_t row)
{
    const int32_t half = p->channels / 2;
    double sum = 0.0;
    for (int64_t line = 0; line < positions->shape[0]; line++) {
        const float position =
            (float)((const int32_t *)tkp__ref_row(positions, line))[row];
        for (int32_t i = 0; i < half; i++) {
            const float e = (float)(2 * i) / (float)p->channels;
            const float angle =
                position * (1.0f / (float)pow(p->theta, (double)e));
            sum += (double)(p->sine ? sinf(angle) : cosf(angle));
        }
    }
    return sum / (double)(positions->shape[0] * half);
}

static tkp_status run_rotary_coordinates(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    const int64_t n = args[DST].shape[0];
    float *dst = tkp__data(&args[DST]);
    (void)workspace;
    TKP__TRY(
        tkp__ref_check_index(&args[ROWS], n, args[POSITIONS].shape[1], "rows"));
    for (int64_t j = 0; j < n; j++)
        dst[j] = (float)mean_of(
            &plan->params.rotary_coordinates, &args[POSITIONS],
            tkp__ref_i32(&args[ROWS])[j]);
    return TKP_OK;
}

const tkp__ref_op tkp__ref_rotary_coordinates = {
    .kind = TKP_OP_ROTARY_COORDINATES,
    .params_size = sizeof(tkp_op_rotary_coordinates),
    .kernel = "ref_rotary_coordinates",
    .run = run_rotary_coordinates,
};
