/* Qwen2-VL's vision transformer: the forward. */

#include "mllm/vision/vit.h"

tkp_status tkp__vit_state_create(
    tkp__vit_state *s,
    const tkp__vit *v,
    int64_t patches,
    int64_t frames)
{
    const int64_t n = patches, d = v->hidden, quarter = d / v->heads / 4;
    *s = (tkp__vit_state){0};
    s->lists = tkp__alloc((size_t)(2 * n + frames + 1), sizeof(*s->lists));
    if (!s->lists)
        return TKP_ERR_MEMORY;
    s->places = s->lists;
    s->offsets = s->lists + 2 * n;
    TKP__TRY(tkp__buffer_alloc(&s->cut, n, v->patch_values, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->x, n, d, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->h, n, d, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->qkv, n, 3 * d, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->turned, n, 2 * d, v->dtype));
    if (v->widen)
        TKP__TRY(tkp__buffer_alloc(&s->wide, n, 2 * d, TKP_DTYPE_F32));
    TKP__TRY(tkp__buffer_alloc(&s->cos, 2 * n, quarter, TKP_DTYPE_F32));
    TKP__TRY(tkp__buffer_alloc(&s->sin, 2 * n, quarter, TKP_DTYPE_F32));
    return tkp__buffer_alloc(&s->mlp, n, v->intermediate, v->dtype);
}

void tkp__vit_state_release(tkp__vit_state *s)
{
    tkp__buffer *const buffers[] = {&s->cut,    &s->x,   &s->h,
                                    &s->qkv,    &s->cos, &s->sin,
                                    &s->turned, &s->mlp, &s->wide};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        tkp__buffer_free(buffers[i]);
    tkp__free(s->lists);
    *s = (tkp__vit_state){0};
}

/* Row and column of every patch, cell after cell. */
static int32_t *
list_places(int32_t *at, const tkp__vit_frame *frame, int64_t merge)
{
    for (int64_t top = 0; top < frame->rows; top += merge)
        for (int64_t left = 0; left < frame->cols; left += merge)
            for (int64_t i = 0; i < merge * merge; i++) {
                *at++ = (int32_t)(top + i / merge);
                *at++ = (int32_t)(left + i % merge);
            }
    return at;
}

/* Columns `from` .. `from` + `width` of rows, where those are wider. */
static tkp_tensor columns(const tkp_tensor *rows, int64_t from, int64_t width)
{
    tkp_tensor view = *rows;
    view.shape[1] = width;
    view.byte_offset += (uint64_t)from * tkp_dtype_bytes(rows->dtype);
    return view;
}

/* [rows, heads, C] of rows that may lie apart. */
static tkp_tensor heads_of(const tkp_tensor *rows, int64_t heads)
{
    tkp_tensor view = tkp__heads(rows, heads);
    view.strides[0] = rows->strides[0];
    return view;
}

/* x = what the patches show; where they are, in the tables. Gives how many. */
static tkp_status embed(
    const tkp__vit *v,
    const tkp__forward *f,
    tkp__vit_state *s,
    const tkp__vit_frame *frames,
    int64_t count,
    int64_t *patches)
{
    int64_t n = 0;
    int32_t *place = s->places;
    for (int64_t i = 0; i < count; i++) {
        const int64_t inside = frames[i].rows * frames[i].cols;
        tkp_tensor pixels, cut = tkp__rows(&s->cut, inside);
        tkp_tensor_make_2d(
            &pixels, (void *)(uintptr_t)frames[i].pixels, TKP_DTYPE_F32, inside,
            v->patch_values);
        cut.byte_offset =
            (uint64_t)(n * v->patch_values) * tkp_dtype_bytes(v->dtype);
        TKP__TRY(tkp_op_run(
            v->take_pixels, f->exec, (tkp_tensor[]){pixels, cut}, 2));
        place = list_places(place, &frames[i], v->merge);
        s->offsets[i] = (int32_t)n;
        n += inside;
    }
    s->offsets[count] = (int32_t)n;
    *patches = n;
    const tkp_tensor cut = tkp__rows(&s->cut, n), x = tkp__rows(&s->x, n);
    TKP__TRY(tkp__linear_run(&v->patch_embedding, f, &cut, NULL, &x));
    tkp__trace(f, "vision.patches", -1, &x);
    tkp_tensor table[3];
    tkp_tensor_make_2d(&table[0], s->places, TKP_DTYPE_I32, 1, 2 * n);
    table[1] = tkp__rows(&s->cos, 2 * n);
    table[2] = tkp__rows(&s->sin, 2 * n);
    return tkp_op_run(v->rotary_table, f->exec, table, 3);
}

/* Queries and keys, turned side by side by where their patches are. */
static tkp_status rotate(
    const tkp__vit *v,
    const tkp__forward *f,
    const tkp__vit_state *s,
    const tkp_tensor *qkv,
    const tkp_tensor *turned)
{
    const int64_t n = qkv->shape[0], pairs = v->hidden / v->heads / 2;
    const tkp_tensor both = columns(qkv, 0, 2 * v->hidden);
    const tkp_tensor wide = tkp__rows(&s->wide, n);
    tkp_tensor args[4] = {
        heads_of(&both, 2 * v->heads),
        {0},
        {0},
        heads_of(turned, 2 * v->heads)};
    tkp_tensor_make_2d(&args[1], s->cos.data, TKP_DTYPE_F32, n, pairs);
    tkp_tensor_make_2d(&args[2], s->sin.data, TKP_DTYPE_F32, n, pairs);
    if (!v->widen)
        return tkp_op_run(v->rotary, f->exec, args, 4);
    args[0] = args[3] = heads_of(&wide, 2 * v->heads);
    TKP__TRY(tkp_op_run(v->widen, f->exec, (tkp_tensor[]){both, wide}, 2));
    TKP__TRY(tkp_op_run(v->rotary, f->exec, args, 4));
    return tkp_op_run(v->narrow, f->exec, (tkp_tensor[]){wide, *turned}, 2);
}

/* Each patch looks at those of its frame. */
static tkp_status attend(
    const tkp__vit *v,
    const tkp__forward *f,
    const tkp__vit_state *s,
    int64_t frames,
    const tkp_tensor *qkv,
    const tkp_tensor *turned,
    const tkp_tensor *dst)
{
    const int64_t d = v->hidden;
    const tkp_tensor q = columns(turned, 0, d), k = columns(turned, d, d);
    const tkp_tensor values = columns(qkv, 2 * d, d);
    const tkp_tensor offsets = tkp__ints(s->offsets, frames + 1);
    const tkp_tensor args[8] = {
        heads_of(&q, v->heads),
        heads_of(&k, v->heads),
        heads_of(&values, v->heads),
        offsets,
        offsets,
        tkp__heads(dst, v->heads),
        {0}};
    return tkp_op_run(v->attention, f->exec, args, 8);
}

static tkp_status run_layer(
    const tkp__vit *v,
    const tkp__forward *f,
    tkp__vit_state *s,
    int32_t i,
    int64_t n,
    int64_t frames)
{
    const tkp__vit_layer *l = &v->layer[i];
    const tkp_tensor x = tkp__rows(&s->x, n), h = tkp__rows(&s->h, n);
    const tkp_tensor qkv = tkp__rows(&s->qkv, n);
    const tkp_tensor turned = tkp__rows(&s->turned, n);
    const tkp_tensor mlp = tkp__rows(&s->mlp, n);

    TKP__TRY(tkp__norm_run(&l->norm1, f, &x, &h));
    TKP__TRY(tkp__linear_run(&l->qkv, f, &h, NULL, &qkv));
    TKP__TRY(rotate(v, f, s, &qkv, &turned));
    tkp__trace(f, "vision.qk", i, &turned);
    TKP__TRY(attend(v, f, s, frames, &qkv, &turned, &h));
    TKP__TRY(tkp__linear_run(&l->out, f, &h, &x, &x));

    TKP__TRY(tkp__norm_run(&l->norm2, f, &x, &h));
    TKP__TRY(tkp__linear_run(&l->fc1, f, &h, NULL, &mlp));
    TKP__TRY(tkp__activation_run(v->activation, f, &mlp, NULL, &mlp));
    TKP__TRY(tkp__linear_run(&l->fc2, f, &mlp, &x, &x));
    tkp__trace(f, "vision.layer", i, &x);
    return TKP_OK;
}

tkp_status tkp__vit_run(
    const tkp__vit *v,
    const tkp__forward *f,
    tkp__vit_state *s,
    const tkp__vit_frame *frames,
    int64_t count,
    const tkp_tensor *features)
{
    int64_t n;
    TKP__TRY(embed(v, f, s, frames, count, &n));
    for (int32_t i = 0; i < v->layers; i++) {
        TKP__TRY(tkp__go_on(f));
        TKP__TRY(run_layer(v, f, s, i, n, count));
    }
    /* The patches of a cell lie behind each other: together they are a row. */
    const tkp_tensor x = tkp__rows(&s->x, n);
    tkp_tensor patches;
    tkp_tensor_make_2d(
        &patches, tkp__data(features), features->dtype, n, v->hidden);
    TKP__TRY(tkp__norm_run(&v->cell_norm, f, &x, &patches));
    tkp__trace(f, "vision.features", -1, features);
    return TKP_OK;
}
