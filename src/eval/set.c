/* Sets of questions, and a part of one that stands for the whole. */
#include "eval/set.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/philox.h"

void tkp__eval_set_release(tkp__eval_set *set)
{
    for (int64_t i = 0; i < set->n_items; i++)
        tkp__eval_item_release(&set->items[i]);
    tkp__free(set->items);
    tkp__eval_records_release(&set->records);
    json_decref(set->kept);
    tkp__free(set->name);
    tkp__free(set->card);
    *set = (tkp__eval_set){0};
}

void tkp__eval_sets_release(tkp__eval_sets *sets)
{
    for (int32_t i = 0; i < sets->count; i++)
        tkp__eval_set_release(&sets->sets[i]);
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

/* A group, by its first item. */
typedef struct ranked {
    const tkp__eval_item *item;
    int64_t number;
    uint64_t draw;
} ranked;

typedef struct ranking {
    ranked *groups;
    int64_t n_groups;
    int64_t *of_item; /* the item's group */
    bool *taken;      /* of each group */
} ranking;

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
    return (x->number > y->number) - (x->number < y->number);
}

/* Every group gets a number from its place and the seed. */
static tkp_status rank(ranking *r, const tkp__eval_set *set, uint64_t seed)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    json_t *numbers = json_object();
    for (int64_t i = 0; i < set->n_items; i++) {
        const tkp__eval_item *item = &set->items[i];
        const json_t *known = json_object_get(numbers, item->group);
        r->of_item[i] = known ? json_integer_value(known) : r->n_groups;
        if (known)
            continue;
        const uint32_t counter[4] = {(uint32_t)i, (uint32_t)(i >> 32), 0, 0};
        r->groups[r->n_groups] =
            (ranked){item, r->n_groups, tkp__philox_u64(counter, key)};
        if (json_object_set_new_nocheck(
                numbers, item->group, json_integer(r->n_groups)) != 0) {
            json_decref(numbers);
            return tkp__fail(TKP_ERR_MEMORY, "no memory for a subset");
        }
        r->n_groups++;
    }
    json_decref(numbers);
    qsort(r->groups, (size_t)r->n_groups, sizeof(*r->groups), by_draw);
    return TKP_OK;
}

/*
 * Of the sorted list position i is taken where floor(limit (i + 1) / n) grows:
 * a stratum of m groups gives limit m / n of them, up to one, and within a
 * stratum the order is random.
 */
static void mark(ranking *r, int64_t limit)
{
    const int64_t n = r->n_groups;
    for (int64_t i = 0; i < n; i++)
        r->taken[r->groups[i].number] = (i + 1) * limit / n > i * limit / n;
}

static void keep(tkp__eval_set *set, const ranking *r)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < set->n_items; i++)
        if (r->taken[r->of_item[i]])
            set->items[kept++] = set->items[i];
        else
            tkp__eval_item_release(&set->items[i]);
    set->n_items = kept;
}

tkp_status tkp__eval_set_limit(tkp__eval_set *set, int64_t limit, uint64_t seed)
{
    const size_t n = (size_t)set->n_items;
    if (limit <= 0 || limit >= set->n_items)
        return TKP_OK;
    ranking r = {
        .groups = tkp__alloc(n, sizeof(ranked)),
        .of_item = tkp__alloc(n, sizeof(int64_t)),
        .taken = tkp__zalloc(n, sizeof(bool))};
    const tkp_status status =
        r.groups && r.of_item && r.taken ? rank(&r, set, seed) : TKP_ERR_MEMORY;
    if (status == TKP_OK) {
        /* As many groups as hold that many items on average. */
        mark(&r, (limit * r.n_groups + set->n_items - 1) / set->n_items);
        keep(set, &r);
    }
    tkp__free(r.groups);
    tkp__free(r.of_item);
    tkp__free(r.taken);
    return status;
}
