#ifndef TOKENPRUNE_H
#define TOKENPRUNE_H

/*
 * libtokenprune: remove or merge the visual tokens a multimodal LLM does not
 * need. Start with tokenprune/sequence.h.
 */

#include "tokenprune/budget.h"
#include "tokenprune/context.h"
#include "tokenprune/export.h"
#include "tokenprune/inputs.h"
#include "tokenprune/layout.h"
#include "tokenprune/memory.h"
#include "tokenprune/merger.h"
#include "tokenprune/policy.h"
#include "tokenprune/scorer.h"
#include "tokenprune/selector.h"
#include "tokenprune/sequence.h"
#include "tokenprune/status.h"
#include "tokenprune/tensor.h"
#include "tokenprune/version.h"

#endif
