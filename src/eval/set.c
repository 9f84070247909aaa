/* Sets of questions, and a part of one that stands for the whole. */
#include "eval/set.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/philox.h"

void tkp__eval_sets_release(tkp__eval_sets *sets)
{
    for (int32_t i = 0; i < sets->count; i++) {
        tkp__eval_set *set = &sets->sets[i];
        for (int64_t j = 0; j < set->n_items; j++)
            tkp__eval_item_release(&set->items[j]);
        tkp__free(set->items);
        tkp__free(set->name);
        tkp__free(set->card);
    }
    tkp__free(sets->sets);
    *sets = (tkp__eval_sets){0};
}

tkp_status tkp__eval_sets_add(tkp__eval_set **out, tkp__eval_sets *sets)
{
    const size_t one = sizeof(tkp__eval_set);
    const size_t n = (size_t)sets->count;
    tkp__eval_set *moved = tkp__realloc(sets->sets, n * one, (n + 1) * one);
    if (!moved)
        return TKP_ERR_MEMORY;
    sets->sets = moved;
    moved[n] = (tkp__eval_set){0};
    *out = &moved[n];
    sets->count++;
    return TKP_OK;
}

tkp_status tkp__eval_sets_take(tkp__eval_sets *sets, tkp__eval_sets *more)
{
    for (int32_t i = 0; i < more->count; i++) {
        tkp__eval_set *set;
        TKP__TRY(tkp__eval_sets_add(&set, sets));
        *set = more->sets[i];
        more->sets[i] = (tkp__eval_set){0};
    }
    return TKP_OK;
}

tkp_status tkp__eval_set_add(tkp__eval_set *set, tkp__eval_item *item)
{
    if (set->n_items == set->capacity) {
        const int64_t wanted = set->capacity ? 2 * set->capacity : 64;
        tkp__eval_item *moved = tkp__realloc(
            set->items, (size_t)set->n_items * sizeof(*moved),
            (size_t)wanted * sizeof(*moved));
        if (!moved) {
            tkp__eval_item_release(item);
            return TKP_ERR_MEMORY;
        }
        set->items = moved;
        set->capacity = wanted;
    }
    set->items[set->n_items++] = *item;
    set->rows = set->n_items;
    *item = (tkp__eval_item){0};
    return TKP_OK;
}

void tkp__eval_hash(char out[65], const void *bytes, size_t count)
{
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&context);
    sha256_update(&context, count, bytes);
    sha256_digest(&context, sizeof(digest), digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* --- limits -------------------------------------------------------------------- */

typedef struct ranked {
    const tkp__eval_item *item;
    int64_t position;
    uint64_t draw;
} ranked;

static int by_stratum(const ranked *a, const ranked *b)
{
    const int split = strcmp(a->item->split, b->item->split);
    return split ? split : strcmp(a->item->category, b->item->category);
}

static int by_draw(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    const int stratum = by_stratum(x, y);
    if (stratum)
        return stratum;
    if (x->draw != y->draw)
        return x->draw < y->draw ? -1 : 1;
    return (x->position > y->position) - (x->position < y->position);
}

/* Every item gets a number from its place and the seed. */
static ranked *rank(const tkp__eval_set *set, uint64_t seed)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    ranked *list = tkp__alloc((size_t)set->n_items, sizeof(*list));
    for (int64_t i = 0; list && i < set->n_items; i++) {
        const uint32_t counter[4] = {(uint32_t)i, (uint32_t)(i >> 32), 0, 0};
        list[i] = (ranked){&set->items[i], i, tkp__philox_u64(counter, key)};
    }
    if (list)
        qsort(list, (size_t)set->n_items, sizeof(*list), by_draw);
    return list;
}

/*
 * Of the sorted list position i is taken where floor(limit (i + 1) / n) grows:
 * a stratum of m items gives limit m / n of them, up to one, and within a
 * stratum the order is random.
 */
static void mark(bool *taken, const ranked *list, int64_t n, int64_t limit)
{
    for (int64_t i = 0; i < n; i++)
        taken[list[i].position] = (i + 1) * limit / n > i * limit / n;
}

tkp_status tkp__eval_set_limit(tkp__eval_set *set, int64_t limit, uint64_t seed)
{
    if (limit <= 0 || limit >= set->n_items)
        return TKP_OK;
    ranked *list = rank(set, seed);
    bool *taken = tkp__zalloc((size_t)set->n_items, sizeof(*taken));
    int64_t kept = 0;
    if (!list || !taken) {
        tkp__free(list);
        tkp__free(taken);
        return TKP_ERR_MEMORY;
    }
    mark(taken, list, set->n_items, limit);
    tkp__free(list);
    for (int64_t i = 0; i < set->n_items; i++)
        if (taken[i])
            set->items[kept++] = set->items[i];
        else
            tkp__eval_item_release(&set->items[i]);
    set->n_items = kept;
    tkp__free(taken);
    return TKP_OK;
}
