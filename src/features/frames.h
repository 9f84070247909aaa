#ifndef TKP_FEATURES_FRAMES_H
#define TKP_FEATURES_FRAMES_H

/*
 * Frames that still have candidates, numbered through the batch.
 */

#include "layout/layout.h"

typedef struct tkp__frames {
    int32_t frames, videos;
    int32_t *frame_of;   /* [N] frame of each candidate */
    int32_t *frame_ends; /* [F + 1] candidates of each frame */
    int32_t *video_ends; /* [images + 1] frames of each video */
    void *memory;
} tkp__frames;

tkp_status tkp__frames_plan(tkp__frames *f, const tkp_layout *layout);
void tkp__frames_release(tkp__frames *f);
void tkp__frames_bind(tkp__frames *f, const tkp__batch *batch);

#endif
