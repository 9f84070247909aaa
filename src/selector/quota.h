#ifndef TKP_SELECTOR_QUOTA_H
#define TKP_SELECTOR_QUOTA_H

#include "selector/selector.h"

/* Choose each image's window grid. */
tkp_status tkp__quota_grids(tkp_selector *selector);
/* Fill keep, kept_offsets and the protected list of the groups there are. */
tkp_status tkp__quota_share(tkp_selector *selector);
/* Windows that keep a token by its place: put it in front of its group. */
tkp_status tkp__quota_pick(tkp_selector *selector);

#endif
