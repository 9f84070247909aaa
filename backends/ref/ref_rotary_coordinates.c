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
enum { SCRATCH_INVERSE };

static tkp_status plan_rotary_coordinates(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    (void)args;
    return tkp__ref_book(
        plan, ledger, SCRATCH_INVERSE,
        plan->params.rotary_coordinates.channels / 2, sizeof(float));
}

static double mean_of(
    const tkp_op_rotary_coordinates *p,
    const tkp_tensor *positions,
    const float *inverse,
    int32_t row)
{
    const int32_t half = p->channels / 2;
    double sum = 0.0;
    for (int64_t line = 0; line < positions->shape[0]; line++) {
        const float position =
            (float)((const int32_t *)tkp__ref_row(positions, line))[row];
        for (int32_t i = 0; i < half; i++) {
            const float angle = position * inverse[i];
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
    const tkp_op_rotary_coordinates *p = &plan->params.rotary_coordinates;
    float *inverse = tkp__ref_scratch(plan, workspace, SCRATCH_INVERSE);
    float *dst = tkp__data(&args[DST]);
    TKP__TRY(
        tkp__ref_check_index(&args[ROWS], n, args[POSITIONS].shape[1], "rows"));
    for (int32_t i = 0; i < p->channels / 2; i++) {
        const float e = (float)(2 * i) / (float)p->channels;
        inverse[i] = 1.0f / (float)pow(p->theta, (double)e);
    }
    for (int64_t j = 0; j < n; j++)
        dst[j] = (float)mean_of(
            p, &args[POSITIONS], inverse, tkp__ref_i32(&args[ROWS])[j]);
    return TKP_OK;
}

const tkp__ref_op tkp__ref_rotary_coordinates = {
    .kind = TKP_OP_ROTARY_COORDINATES,
    .params_size = sizeof(tkp_op_rotary_coordinates),
    .kernel = "ref_rotary_coordinates",
    .plan = plan_rotary_coordinates,
    .run = run_rotary_coordinates,
};
