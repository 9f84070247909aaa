#include "features/frames.h"

#include "util/carve.h"

static void
carve_frames(tkp__frames *f, tkp__carver *c, const tkp_layout *layout)
{
    const int64_t frames = tkp__layout_units(layout, TKP_SCOPE_FRAME);
    f->frame_of = tkp__carve(c, layout->visual, sizeof(int32_t));
    f->frame_ends = tkp__carve(c, frames + 1, sizeof(int32_t));
    f->video_ends = tkp__carve(c, layout->n_images + 1, sizeof(int32_t));
}

tkp_status tkp__frames_plan(tkp__frames *f, const tkp_layout *layout)
{
    tkp__carver c = {NULL, 0};
    *f = (tkp__frames){0};
    carve_frames(f, &c, layout);
    c = (tkp__carver){tkp__alloc(1, c.bytes), 0};
    if (!c.base)
        return TKP_ERR_MEMORY;
    f->memory = c.base;
    carve_frames(f, &c, layout);
    return TKP_OK;
}

void tkp__frames_release(tkp__frames *f)
{
    tkp__free(f->memory);
    *f = (tkp__frames){0};
}

void tkp__frames_bind(tkp__frames *f, const tkp__batch *batch)
{
    f->frames = tkp__batch_unit_offsets(batch, TKP_SCOPE_FRAME, f->frame_ends);
    f->videos = 0;
    for (int32_t t = 0; t < f->frames; t++) {
        const int32_t n = f->frame_ends[t];
        if (t == 0 ||
            batch->candidate_images[n] != batch->candidate_images[n - 1])
            f->video_ends[f->videos++] = t;
        for (int32_t i = n; i < f->frame_ends[t + 1]; i++)
            f->frame_of[i] = t;
    }
    f->video_ends[f->videos] = f->frames;
}
