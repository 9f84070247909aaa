/* AVX2 with FMA and F16C. */

#define TABLE    tkp__cpu_kernels__avx2
#define ISA_NAME "avx2"
#define ISA_RANK 2

#include "cpu/cpu_isa_table.inc.h"
