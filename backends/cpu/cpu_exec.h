#ifndef TKP_BACKENDS_CPU_EXEC_H
#define TKP_BACKENDS_CPU_EXEC_H

/*
 * What the backend keeps for one exec: oneDNN's stream and the products made
 * so far, by shape. One thread at a time.
 */

#include "cpu/cpu_dnnl.h"

/* Shapes remembered; the one not used for longest makes room. A pruned
 * forward has seven linears a layer and one shape of each a stage. */
#define TKP__CPU_PRODUCTS 64

typedef struct tkp__cpu_exec tkp__cpu_exec;

tkp_status tkp__cpu_exec_create(tkp__cpu_exec **out);
void tkp__cpu_exec_destroy(tkp__cpu_exec *exec);

/*
 * Run the product of this shape, made at its first use (the one place where a
 * run may allocate). `scratch` has `scratch_bytes`; if this shape needs more
 * than the plan booked, the exec's own memory is used and kept.
 */
tkp_status tkp__cpu_exec_product(
    tkp__cpu_exec *exec,
    const tkp__cpu_product_key *key,
    const void *x,
    const void *w,
    const void *bias,
    void *dst,
    void *scratch,
    uint64_t scratch_bytes);

/* Products in the table, for tests; never above TKP__CPU_PRODUCTS. */
int32_t tkp__cpu_exec_products(const tkp__cpu_exec *exec);

#endif
