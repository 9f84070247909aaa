#ifndef TKP_FEATURES_STATIC_H
#define TKP_FEATURES_STATIC_H

/*
 * What only repeats in a video: windows of frames, found by their static tokens
 * (op STATIC_WINDOWS), and the means of those over their window.
 */

#include "features/features.h"
#include "features/frames.h"

typedef struct tkp__static {
    const tkp__features *features;
    tkp_op *starts, *windows, *pool;
    uint64_t at[8];
    tkp__frames in;
    int32_t *before; /* [N] */
    int32_t *latest; /* [cells of a frame] scratch */
} tkp__static;

/* Of one run, in the workspace. A head is the first of those that repeat; heads
 * of a window follow each other, and windows do. */
typedef struct tkp__static_found {
    const int32_t *window; /* [F] of each frame */
    const int32_t *head;   /* [N] candidate that each repeats; -1 = dynamic */
    const int32_t *number; /* [N] of a head, among heads */
    int32_t heads;
    const int32_t *list;      /* [heads] candidates */
    int32_t groups;           /* windows with heads */
    const int32_t *group_end; /* [groups + 1] heads of each */
    tkp_tensor means;         /* [heads, width] f32 */
    tkp_tensor order;         /* [heads] 0, 1, 2 ... */
} tkp__static_found;

/* The ops go into *ops_bytes of the caller's common workspace. */
tkp_status tkp__static_plan(
    tkp__static *s,
    const tkp__features *features,
    float threshold,
    tkp_ledger *ledger,
    uint64_t *ops_bytes);
void tkp__static_release(tkp__static *s);
void tkp__static_bind(tkp__static *s);
/* x and rows as tkp__features_run gave them. */
tkp_status tkp__static_run(
    const tkp__static *s,
    tkp_exec *exec,
    const tkp_tensor *x,
    const tkp_tensor *rows,
    void *workspace,
    void *ops_workspace,
    uint64_t ops_bytes,
    tkp__static_found *out);

#endif
