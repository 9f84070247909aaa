/*
 * ROTARY_TABLE: cosines and sines of positions.
 *
 *   e     = (float)(2 i) / (float)C              i = 0 .. C/2 - 1
 *   inv   = 1 / (float)pow(theta, (double)e)
 *   angle = (float)position * inv                f32, one rounding
 *   cos[m, i] = cosf(angle), sin[m, i] = sinf(angle)
 *
 * Source: RoFormer (Su et al., 2021), in the arithmetic of the published
 * checkpoints: transformers computes each step in f32, and at position 3000
 * the rounding of the product moves the angle by 1e-4, so exact arithmetic
 * would be further away from the models than this. With three rows of
 * positions (Qwen2-VL) pairs 0 .. section[0] - 1 follow row 0, the next
 * section[1] row 1, the rest row 2; the sections lie one after another.
 *
 * Open choice: the half-turns of large angles are left to the C library.
 */

#include "ref/ref.h"

enum { POSITIONS, COS, SIN };

/* Which row of positions pair i follows. */
static int64_t
position_row(const tkp_op_rotary_table *p, int64_t rows, int64_t i)
{
    if (rows == 1 || i < p->section[0])
        return 0;
    return i < p->section[0] + p->section[1] ? 1 : 2;
}

static tkp_status run_rotary_table(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    (void)workspace;
    const tkp_op_rotary_table *p = &plan->params.rotary_table;
    const tkp_tensor *positions = &args[POSITIONS];
    const int64_t half = args[COS].shape[1];
    for (int64_t i = 0; i < half; i++) {
        const float e = (float)(2 * i) / (float)(2 * half);
        const float inv = 1.0f / (float)pow(p->theta, (double)e);
        const int32_t *position =
            tkp__ref_row(positions, position_row(p, positions->shape[0], i));
        for (int64_t m = 0; m < args[COS].shape[0]; m++) {
            const float angle = (float)position[m] * inv;
            ((float *)tkp__ref_row(&args[COS], m))[i] = cosf(angle);
            ((float *)tkp__ref_row(&args[SIN], m))[i] = sinf(angle);
        }
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_rotary_table = {
    .kind = TKP_OP_ROTARY_TABLE,
    .params_size = sizeof(tkp_op_rotary_table),
    .kernel = "ref_rotary_table",
    .run = run_rotary_table,
};
