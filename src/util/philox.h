#ifndef TKP_UTIL_PHILOX_H
#define TKP_UTIL_PHILOX_H

/*
 * Philox4x32-10, a counter-based generator: the output is a function of a
 * 128-bit counter and a 64-bit key, so any draw can be made by any thread in
 * any order. J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers:
 * as easy as 1, 2, 3", SC 2011; the constants are the paper's. What we put
 * into counter and key is in docs/random.md.
 */

#include <stdint.h>

/* out may be counter. */
static inline void tkp__philox4x32(
    uint32_t out[4],
    const uint32_t counter[4],
    const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1];
    uint32_t c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c0;
        const uint64_t b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u; /* golden ratio */
        k1 += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The first 64 bits of a draw, first word low. */
static inline uint64_t
tkp__philox_u64(const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t out[4];
    tkp__philox4x32(out, counter, key);
    return (uint64_t)out[0] | (uint64_t)out[1] << 32;
}

/* A number in [0, n): the high half of u * n, without a 128-bit type. The
 * bias is below n / 2^64. */
static inline uint32_t tkp__scale_u64(uint64_t u, uint32_t n)
{
    const uint64_t low = (u & 0xffffffffu) * n;
    return (uint32_t)(((u >> 32) * n + (low >> 32)) >> 32);
}

#endif
