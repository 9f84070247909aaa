#ifndef TKP_MERGER_BINS_H
#define TKP_MERGER_BINS_H

#include "merger/merger.h"

/* Entries that all bins of a batch can have together. */
int64_t tkp__bins_capacity(const tkp_merger *merger);
/* Fill bin_offsets and bin_rows from the selector's groups. */
void tkp__bins_fill(tkp_merger *merger);

#endif
