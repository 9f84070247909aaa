/* CLIP: which row is what, and memory. */

#include "mllm/vision/vision.h"
#include "util/carve.h"

static void carve(tkp__vision_rows *r, const tkp__vision *v, tkp__carver *c)
{
    const int64_t views = TKP__VISION_VIEWS, n = views * v->patches;
    r->patch_rows = tkp__carve(c, n, sizeof(int32_t));
    r->patch_keys = tkp__carve(c, n, sizeof(int32_t));
    r->patch_heads = tkp__carve(c, n * v->heads, sizeof(int32_t));
    r->head_offsets = tkp__carve(c, n + 1, sizeof(int32_t));
    r->class_rows = tkp__carve(c, views, sizeof(int32_t));
    r->row_offsets = tkp__carve(c, views + 1, sizeof(int32_t));
    r->patch_offsets = tkp__carve(c, views + 1, sizeof(int32_t));
    r->count = tkp__carve(c, views + 1, sizeof(int32_t));
    r->zeros = tkp__carve(c, views, sizeof(int32_t));
    r->bias = tkp__carve(c, n + views, sizeof(float));
}

tkp_status tkp__vision_rows_create(tkp__vision_rows *r, const tkp__vision *v)
{
    tkp__carver c = {NULL, 0};
    carve(r, v, &c);
    c = (tkp__carver){tkp__zalloc(1, c.bytes), 0};
    if (!c.base)
        return TKP_ERR_MEMORY;
    carve(r, v, &c);
    r->memory = c.base;
    return TKP_OK;
}

void tkp__vision_rows_release(tkp__vision_rows *r)
{
    tkp__free(r->memory);
    *r = (tkp__vision_rows){0};
}

void tkp__vision_rows_list(
    tkp__vision_rows *r,
    const tkp__vision *v,
    int32_t views,
    const int32_t *patches,
    const float *bias)
{
    int32_t row = 0, patch = 0;
    for (int32_t view = 0; view < views; view++) {
        r->row_offsets[view] = r->class_rows[view] = row;
        r->patch_offsets[view] = patch;
        r->count[view] = view;
        r->bias[row++] = 0.0f;
        for (int32_t i = 0; i < patches[view]; i++, row++, patch++) {
            r->patch_rows[patch] = row;
            r->patch_keys[patch] = 1 + i;
            r->head_offsets[patch] = patch * v->heads;
            r->bias[row] = bias ? bias[patch] : 0.0f;
            for (int32_t h = 0; h < v->heads; h++)
                r->patch_heads[patch * v->heads + h] = row * v->heads + h;
        }
    }
    r->row_offsets[views] = row;
    r->patch_offsets[views] = patch;
    r->head_offsets[patch] = patch * v->heads;
    r->count[views] = views;
    r->views = views;
    r->rows = row;
    r->patches = patch;
}

tkp_status tkp__vision_state_create(
    tkp__vision_state *s,
    const tkp__vision *v,
    int64_t views)
{
    const int64_t n = views * v->patches;
    const int64_t rows = n + views;
    TKP__TRY(
        tkp__buffer_alloc(&s->cut, v->context, n, v->patch_values, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->h, v->context, rows, v->hidden, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->q, v->context, rows, v->hidden, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->k, v->context, rows, v->hidden, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->v, v->context, rows, v->hidden, v->dtype));
    return tkp__buffer_alloc(
        &s->mlp, v->context, rows, v->intermediate, v->dtype);
}

void tkp__vision_state_release(tkp__vision_state *s)
{
    tkp__buffer_free(&s->cut);
    tkp__buffer_free(&s->h);
    tkp__buffer_free(&s->q);
    tkp__buffer_free(&s->k);
    tkp__buffer_free(&s->v);
    tkp__buffer_free(&s->mlp);
}
