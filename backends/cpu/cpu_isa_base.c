/* Any processor: vectors of four floats, as the compiler makes them. */

#define TABLE    tkp__cpu_kernels__base
#define ISA_NAME "base"
#define ISA_RANK 1

#include "cpu/cpu_isa_table.inc.h"
