/* AVX-512 F, BW, DQ and VL. */

#define TABLE    tkp__cpu_kernels__avx512
#define ISA_NAME "avx512"
#define ISA_RANK 3

#include "cpu/cpu_isa_table.inc.h"
