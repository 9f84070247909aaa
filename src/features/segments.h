#ifndef TKP_FEATURES_SEGMENTS_H
#define TKP_FEATURES_SEGMENTS_H

/*
 * Segments of videos: runs of frames whose means are alike (op SEGMENTS).
 */

#include "features/features.h"
#include "features/frames.h"

typedef struct tkp__segments {
    const tkp__features *features;
    tkp_op *pool, *op;
    uint64_t means_at, of_at;
    tkp__frames in;
} tkp__segments;

/* The ops go into *ops_bytes of the caller's common workspace. */
tkp_status tkp__segments_plan(
    tkp__segments *s,
    const tkp__features *features,
    float threshold,
    int32_t least,
    tkp_ledger *ledger,
    uint64_t *ops_bytes);
void tkp__segments_release(tkp__segments *s);
void tkp__segments_bind(tkp__segments *s);
/* x and rows as tkp__features_run gave them; *of_out: [F] segment of each frame,
 * from 0, in the workspace. */
tkp_status tkp__segments_run(
    const tkp__segments *s,
    tkp_exec *exec,
    const tkp_tensor *x,
    const tkp_tensor *rows,
    void *workspace,
    void *ops_workspace,
    uint64_t ops_bytes,
    const int32_t **of_out);

#endif
