#ifndef TKP_UTIL_CARVE_H
#define TKP_UTIL_CARVE_H

/*
 * Several arrays in one block. The same function walks the arrays twice: with
 * no base it adds their sizes up, with one it hands their places out, so that
 * the two cannot disagree.
 */

#include "util/util.h"

typedef struct tkp__carver {
    char *base; /* NULL while sizes are added up */
    size_t bytes;
} tkp__carver;

static inline void *tkp__carve(tkp__carver *c, int64_t count, size_t size)
{
    const size_t at = c->bytes;
    c->bytes = tkp__align_up(at + (size_t)count * size, 64);
    return c->base ? c->base + at : NULL;
}

#endif
