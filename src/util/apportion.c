/*
 * Sharing out a whole number in proportion to weights: largest remainder
 * (Hamilton), parts that reach their limit give their excess to the others.
 */
#include "util/apportion.h"

/* One round over the parts that still have room: floor shares first, then one
 * each by largest remainder. Returns what is left because limits were hit.
 * A remainder is compared as (rest * weight) mod sum, kept exact. */
static int64_t share_round(
    int64_t total,
    int64_t n,
    const int64_t *weight,
    const int64_t *limit,
    int64_t *share)
{
    __int128 sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (share[i] < limit[i])
            sum += weight[i];
    if (sum == 0)
        return total;

    int64_t given = 0;
    bool clipped = false;
    for (int64_t i = 0; i < n; i++) {
        if (share[i] >= limit[i])
            continue;
        int64_t part = (int64_t)((__int128)total * weight[i] / sum);
        if (part > limit[i] - share[i]) {
            part = limit[i] - share[i];
            clipped = true;
        }
        given += part;
    }
    /* Limits bind: give those parts their fill, the rest in another round. */
    if (clipped) {
        int64_t filled = 0;
        for (int64_t i = 0; i < n; i++) {
            const int64_t room = limit[i] - share[i];
            if (room > 0 && (__int128)total * weight[i] / sum >= room) {
                share[i] = limit[i];
                filled += room;
            }
        }
        return total - filled;
    }
    for (int64_t i = 0; i < n; i++)
        if (share[i] < limit[i])
            share[i] += (int64_t)((__int128)total * weight[i] / sum);
    const int64_t left = total - given;

    /* `left` is below the number of parts: the part that is next is found by
     * scanning, which keeps this free of memory. A part that got its one is
     * marked by a negative share, ~share. */
    int64_t done = 0;
    for (; done < left; done++) {
        int64_t best = -1;
        __int128 best_rest = -1;
        for (int64_t i = 0; i < n; i++) {
            if (share[i] < 0 || share[i] >= limit[i])
                continue;
            const __int128 rest = (__int128)total * weight[i] % sum;
            if (rest > best_rest) {
                best_rest = rest;
                best = i;
            }
        }
        if (best < 0)
            break;
        share[best] = ~(share[best] + 1);
    }
    for (int64_t i = 0; i < n; i++)
        if (share[i] < 0)
            share[i] = ~share[i];
    return left - done;
}

tkp_status tkp__apportion(
    int64_t total,
    int64_t n,
    const int64_t *weight,
    const int64_t *limit,
    int64_t *share)
{
    __int128 room = 0;
    for (int64_t i = 0; i < n; i++) {
        TKP__CHECK(
            weight[i] >= 0 && limit[i] >= 0, TKP_ERR_ARGUMENT,
            "apportion: weight %lld and limit %lld of part %lld, wanted 0 or "
            "more",
            (long long)weight[i], (long long)limit[i], (long long)i);
        room += limit[i];
        share[i] = 0;
    }
    TKP__CHECK(
        total >= 0 && total <= room, TKP_ERR_ARGUMENT,
        "apportion: total is %lld, wanted 0 to the sum of limits %lld",
        (long long)total, (long long)room);
    while (total > 0) {
        const int64_t left = share_round(total, n, weight, limit, share);
        if (left == total) {
            /* Only parts of weight 0 have room: fill them in order. */
            for (int64_t i = 0; i < n && total > 0; i++) {
                const int64_t add =
                    limit[i] - share[i] < total ? limit[i] - share[i] : total;
                share[i] += add;
                total -= add;
            }
            break;
        }
        total = left;
    }
    return TKP_OK;
}
