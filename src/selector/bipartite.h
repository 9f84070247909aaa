#ifndef TKP_SELECTOR_BIPARTITE_H
#define TKP_SELECTOR_BIPARTITE_H

/*
 * Bipartite matching: the tokens of a group are dealt out in turn, the first to
 * one side, the second to the other, and so on; the next time those that went to
 * the first side come first. Some of the first side go, each
 * into the one of the second side that it is most like.
 */

#include "selector/selector.h"

/* Whether others may join candidate n: it is of the second side, and not
 * protected. For a selector that is bound. */
bool tkp__bipartite_joined(const tkp_selector *s, int32_t n);

/* Which candidates are of the second side, protected ones too: [N]. */
const uint8_t *tkp__bipartite_second(const tkp_selector *s);

#endif
