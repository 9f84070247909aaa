/* Pictures of any size through the encoder: as many frames at a time as are
 * worth it, each with the size it has. */

#include "mllm/engine.h"

/* Patches that are looked at together; a larger frame goes alone. */
#define STEP_PATCHES 8192

typedef struct frame_list {
    tkp__vit_frame *frame;
    int64_t count;
    int64_t most_patches, most_frames; /* of one step */
} frame_list;

static int64_t patches_of(const tkp__vit_frame *frame)
{
    return frame->rows * frame->cols;
}

/* Frames from `first` on that make up a step, and their patches. */
static int64_t step_from(const frame_list *l, int64_t first, int64_t *patches)
{
    int64_t i = first;
    *patches = 0;
    do
        *patches += patches_of(&l->frame[i++]);
    while (i < l->count && *patches + patches_of(&l->frame[i]) <= STEP_PATCHES);
    return i - first;
}

static void list_picture(frame_list *l, const tkp__picture *p, int64_t values)
{
    const tkp__patch_grid *grid = &p->patch_grid;
    for (int64_t t = 0; t < grid->t; t++)
        l->frame[l->count++] = (tkp__vit_frame){
            .pixels = p->pixels + t * grid->h * grid->w * values,
            .rows = grid->h,
            .cols = grid->w,
        };
}

static tkp_status list_frames(frame_list *l, const tkp__engine *e)
{
    const int64_t values = e->model->vit.patch_values;
    int64_t frames = 0;
    for (int32_t b = 0; b < e->sequences; b++)
        for (int32_t i = 0; i < e->prompt[b].pictures; i++)
            frames += e->prompt[b].picture[i].patch_grid.t;
    l->frame = tkp__alloc((size_t)frames, sizeof(*l->frame));
    if (!l->frame)
        return TKP_ERR_MEMORY;
    for (int32_t b = 0; b < e->sequences; b++)
        for (int32_t i = 0; i < e->prompt[b].pictures; i++)
            list_picture(l, &e->prompt[b].picture[i], values);
    for (int64_t first = 0; first < l->count;) {
        int64_t patches;
        const int64_t n = step_from(l, first, &patches);
        if (patches > l->most_patches)
            l->most_patches = patches;
        if (n > l->most_frames)
            l->most_frames = n;
        first += n;
    }
    return TKP_OK;
}

/* One step: frames to projector rows from `at` on, and how many they are. */
static tkp_status look_at_step(
    tkp__engine *e,
    tkp__vit_state *state,
    const tkp__buffer *features,
    const tkp__buffer *inner,
    const tkp__vit_frame *frames,
    int64_t count,
    int64_t patches,
    int64_t *at)
{
    const tkp_mllm *m = e->model;
    const int64_t n = patches / (m->vit.merge * m->vit.merge);
    const tkp_tensor seen = e->inputs.vision.data
                                ? tkp__rows_from(&e->inputs.vision, *at, n)
                                : tkp__rows(features, n);
    const tkp_tensor between = tkp__rows(inner, n);
    const tkp_tensor dst = tkp__rows_from(&e->visual, *at, n);
    const tkp_tensor keys = tkp__rows_from(&e->inputs.keys, *at, n);
    const tkp__vision_wants wants = tkp__engine_wants(e, *at, &keys);
    TKP__TRY(tkp__vit_run(&m->vit, &e->f, state, frames, count, &seen, &wants));
    *at += n;
    return tkp__projector_run(&m->projector, &e->f, &seen, &between, &dst);
}

static tkp_status look_at_list(tkp__engine *e, const frame_list *l)
{
    const tkp_mllm *m = e->model;
    const int64_t cells = l->most_patches / (m->vit.merge * m->vit.merge);
    tkp__vit_state state = {0};
    tkp__buffer features = {0}, inner = {0};
    int64_t at = 0;
    tkp_status status;
    TKP__TRY_OUT(tkp__vit_state_create(
        &state, &m->vit, l->most_patches, l->most_frames));
    if (!e->inputs.vision.data)
        TKP__TRY_OUT(tkp__buffer_alloc(
            &features, m->context, cells, tkp__feature_width(m), m->dtype));
    TKP__TRY_OUT(tkp__buffer_alloc(
        &inner, m->context, cells, m->projector.inner, m->dtype));
    for (int64_t first = 0; first < l->count;) {
        int64_t patches;
        const int64_t n = step_from(l, first, &patches);
        TKP__TRY_OUT(look_at_step(
            e, &state, &features, &inner, l->frame + first, n, patches, &at));
        first += n;
    }
out:
    tkp__vit_state_release(&state);
    tkp__buffer_free(&features);
    tkp__buffer_free(&inner);
    return status;
}

tkp_status tkp__engine_look_at_frames(tkp__engine *e)
{
    frame_list list = {0};
    tkp_status status = list_frames(&list, e);
    if (status == TKP_OK)
        status = look_at_list(e, &list);
    tkp__free(list.frame);
    return status;
}
