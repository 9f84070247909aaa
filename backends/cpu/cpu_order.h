#ifndef TKP_BACKENDS_CPU_ORDER_H
#define TKP_BACKENDS_CPU_ORDER_H

/*
 * The total order of scores as numbers: a 64-bit key for each (score, index),
 * smaller is better, so that selecting and ranking are integer work without
 * ties and without a worst case.
 */

#include <stdint.h>

/* Best first: higher (or lower) scores, then lower indices; NaN last. */
uint64_t tkp__cpu_order_key(float score, int32_t index, int32_t order);

static inline int32_t tkp__cpu_order_index(uint64_t key)
{
    return (int32_t)(uint32_t)key;
}

/* The k-th smallest of n keys (k from 1); `keys` are partitioned on the way:
 * `spare` has room for n as well. */
uint64_t tkp__cpu_order_select(
    const uint64_t *keys,
    int64_t n,
    int64_t k,
    uint64_t *spare);

/* Ascending; `spare` has room for n. The result is in `keys`. */
void tkp__cpu_order_sort(uint64_t *keys, int64_t n, uint64_t *spare);

#endif
