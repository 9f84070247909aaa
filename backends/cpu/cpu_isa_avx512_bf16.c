/* AVX-512 with products of bf16 pairs. */

#define TABLE    tkp__cpu_kernels__avx512_bf16
#define ISA_NAME "avx512_bf16"
#define ISA_RANK 4

#include "cpu/cpu_isa_table.inc.h"
