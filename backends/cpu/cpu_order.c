/*
 * Radix selection and radix sort of 64-bit keys, a byte at a time.
 */

#include "cpu/cpu_order.h"

#include <math.h>
#include <string.h>

#include "tokenprune/sys/op.h"

uint64_t tkp__cpu_order_key(float score, int32_t index, int32_t order)
{
    uint32_t rank = UINT32_MAX;
    if (!isnan(score)) {
        uint32_t bits;
        score = score == 0 ? 0.0f : score; /* -0 is +0 */
        memcpy(&bits, &score, sizeof(bits));
        /* Ascending with the number: negative numbers are turned round. */
        bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
        rank = order == TKP_ORDER_HIGHEST ? ~bits : bits;
    }
    return (uint64_t)rank << 32 | (uint32_t)index;
}

static void
count_bytes(const uint64_t *keys, int64_t n, int shift, int64_t count[256])
{
    memset(count, 0, 256 * sizeof(count[0]));
    for (int64_t i = 0; i < n; i++)
        count[keys[i] >> shift & 0xff]++;
}

uint64_t tkp__cpu_order_select(
    const uint64_t *keys,
    int64_t n,
    int64_t k,
    uint64_t *spare)
{
    int64_t count[256];
    for (int shift = 56;; shift -= 8) {
        count_bytes(keys, n, shift, count);
        unsigned byte = 0;
        while (k > count[byte])
            k -= count[byte++];
        /* Those that share the bytes so far; in place from the second round
         * on, since they only move down. */
        int64_t left = 0;
        for (int64_t i = 0; i < n; i++)
            if ((keys[i] >> shift & 0xff) == byte)
                spare[left++] = keys[i];
        if (left == 1 || shift == 0)
            return spare[0];
        keys = spare;
        n = left;
    }
}

void tkp__cpu_order_sort(uint64_t *keys, int64_t n, uint64_t *spare)
{
    uint64_t *from = keys, *to = spare;
    int64_t count[256];
    for (int shift = 0; shift < 64; shift += 8) {
        count_bytes(from, n, shift, count);
        if (n == 0 || count[from[0] >> shift & 0xff] == n)
            continue; /* one byte for all: nothing to move */
        int64_t at = 0;
        for (int b = 0; b < 256; b++) {
            const int64_t c = count[b];
            count[b] = at;
            at += c;
        }
        for (int64_t i = 0; i < n; i++)
            to[count[from[i] >> shift & 0xff]++] = from[i];
        uint64_t *other = from;
        from = to;
        to = other;
    }
    if (from != keys)
        memcpy(keys, from, (size_t)n * sizeof(keys[0]));
}
