/*
 * The table of one instruction set: the kernels above, compiled with the flags
 * of the file that includes this. TABLE, ISA_NAME and ISA_RANK come from there.
 */

#include "cpu/cpu_rows.inc.h"

#include "cpu/cpu_dots.inc.h"

#include "cpu/cpu_tiles.inc.h"

const tkp__cpu_kernels TABLE = {
    .isa = ISA_NAME,
    .rank = ISA_RANK,
    .bf16_dots = HAVE_BF16_DOTS,
    .convert = convert,
    .add = add,
    .activation = activation,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .rotary = rotary,
    .sum_abs = sum_abs,
    .sum_squares = sum_squares,
    .dot_and_square = dot_and_square,
    .add_scaled = add_scaled,
    .take_max = take_max,
    .sum_above = sum_above,
    .moments = moments,
    .row_max = row_max,
    .exp_sum = exp_sum,
    .skinny = skinny,
    .pack_query = pack_query,
    .logits = logits,
    .logits_scratch = logits_scratch,
    .logits_many = logits_many,
    .weighted_rows = weighted_rows,
    .attention_scratch = attention_scratch,
    .attention = attention,
    .product_scratch = product_scratch,
    .product = product,
    .distances = distances,
};
