/* Qwen2-VL's vision transformer: the forward. */

#include "mllm/vision/vit.h"
#include "tokenprune/sys/device.h"

static tkp_status
make_lists(tkp__vit_state *s, const tkp__vit *v, int64_t n, int64_t frames)
{
    const int64_t cell = v->merge * v->merge, heads = v->heads;
    int32_t *at = tkp__zalloc(
        (size_t)(n * (5 + heads) + 2 * (n / cell + 1) + frames + 1),
        sizeof(*s->lists));
    if (!at)
        return TKP_ERR_MEMORY;
    s->lists = at;
    s->places = at;
    s->offsets = s->places + 2 * n;
    s->inside = s->offsets + frames + 1;
    s->zeros = s->inside + n;
    s->cell_patches = s->zeros + n;
    s->cell_offsets = s->cell_patches + n;
    s->head_offsets = s->cell_offsets + n / cell + 1;
    s->cell_heads = s->head_offsets + n / cell + 1;
    for (int64_t i = 0; i <= n / cell; i++) {
        s->cell_offsets[i] = (int32_t)(i * cell);
        s->head_offsets[i] = (int32_t)(i * cell * heads);
    }
    for (int64_t i = 0; i < n; i++) {
        s->cell_patches[i] = (int32_t)i;
        for (int64_t h = 0; h < heads; h++)
            s->cell_heads[i * heads + h] = (int32_t)((2 * i + 1) * heads + h);
    }
    return TKP_OK;
}

tkp_status tkp__vit_state_create(
    tkp__vit_state *s,
    const tkp__vit *v,
    int64_t patches,
    int64_t frames)
{
    const int64_t n = patches, d = v->hidden, quarter = d / v->heads / 4;
    *s = (tkp__vit_state){0};
    TKP__TRY(make_lists(s, v, n, frames));
    if (tkp_context_device_type(v->context) != TKP_DEVICE_CPU)
        TKP__TRY(tkp__buffer_alloc(
            &s->pixels, v->context, n, v->patch_values, TKP_DTYPE_F32));
    TKP__TRY(
        tkp__buffer_alloc(&s->cut, v->context, n, v->patch_values, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->x, v->context, n, d, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->h, v->context, n, d, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->qkv, v->context, n, 3 * d, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->turned, v->context, n, 2 * d, v->dtype));
    if (v->widen)
        TKP__TRY(
            tkp__buffer_alloc(&s->wide, v->context, n, 2 * d, TKP_DTYPE_F32));
    TKP__TRY(
        tkp__buffer_alloc(&s->cos, v->context, 2 * n, quarter, TKP_DTYPE_F32));
    TKP__TRY(
        tkp__buffer_alloc(&s->sin, v->context, 2 * n, quarter, TKP_DTYPE_F32));
    TKP__TRY(
        tkp__buffer_alloc(&s->lse, v->context, n, v->heads, TKP_DTYPE_F32));
    TKP__TRY(tkp__buffer_alloc(&s->received, v->context, n, 1, TKP_DTYPE_F32));
    return tkp__buffer_alloc(&s->mlp, v->context, n, v->intermediate, v->dtype);
}

void tkp__vit_state_release(tkp__vit_state *s)
{
    tkp__buffer *const buffers[] = {&s->pixels, &s->cut,  &s->x,
                                    &s->h,      &s->qkv,  &s->cos,
                                    &s->sin,    &s->lse,  &s->turned,
                                    &s->mlp,    &s->wide, &s->received};
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

/* The pixels of a frame, where the encoder runs. */
static tkp_status take_pixels(
    const tkp__vit *v,
    const tkp__forward *f,
    const tkp__vit_state *s,
    const tkp__vit_frame *frame,
    tkp_tensor *pixels)
{
    const int64_t n = frame->rows * frame->cols;
    tkp_tensor_make_2d(
        pixels, (void *)(uintptr_t)frame->pixels, TKP_DTYPE_F32, n,
        v->patch_values);
    if (!s->pixels.data)
        return TKP_OK;
    *pixels = tkp__rows(&s->pixels, n);
    return tkp_device_upload(
        f->exec, s->pixels.data, frame->pixels,
        (uint64_t)(n * v->patch_values) * sizeof(float));
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
        TKP__TRY(take_pixels(v, f, s, &frames[i], &pixels));
        cut.byte_offset =
            (uint64_t)(n * v->patch_values) * tkp_dtype_bytes(v->dtype);
        TKP__TRY(tkp_op_run(
            v->take_pixels, f->exec, (tkp_tensor[]){pixels, cut}, 2));
        place = list_places(place, &frames[i], v->merge);
        for (int64_t j = 0; j < inside; j++)
            s->inside[n + j] = (int32_t)j;
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
    const tkp_tensor cos = tkp__rows(&s->cos, 2 * n);
    const tkp_tensor sin = tkp__rows(&s->sin, 2 * n);
    args[1] = tkp__as_rows(&cos, TKP_DTYPE_F32, n, pairs);
    args[2] = tkp__as_rows(&sin, TKP_DTYPE_F32, n, pairs);
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
    const tkp_tensor *lse,
    const tkp_tensor *dst)
{
    const int64_t d = v->hidden;
    const tkp_tensor none = {0};
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
        lse ? *lse : none};
    return tkp_op_run(lse ? v->attention_lse : v->attention, f->exec, args, 8);
}

/* How much each cell's patches are attended to. */
static tkp_status columns_of(
    const tkp__vit *v,
    const tkp__forward *f,
    const tkp__vit_state *s,
    int64_t frames,
    int32_t layer,
    const tkp_tensor *turned,
    bool logits,
    const tkp_tensor *dst)
{
    const int64_t d = v->hidden, n = turned->shape[0];
    const int64_t cells = n / (v->merge * v->merge);
    const tkp_tensor q = columns(turned, 0, d), k = columns(turned, d, d);
    const tkp_tensor offsets = tkp__ints(s->offsets, frames + 1);
    tkp_tensor args[10] = {
        heads_of(&q, v->heads),
        heads_of(&k, v->heads),
        {0},
        {0},
        offsets,
        tkp__ints(s->zeros, n),
        offsets,
        offsets,
        tkp__ints(s->inside, n)};
    if (!logits)
        args[2] = tkp__rows(&s->lse, n);
    args[9] = tkp__column_from(&s->received, 0, n);
    TKP__TRY(tkp_op_run(
        logits ? v->column_logits : v->column_scores, f->exec, args, 10));
    tkp_tensor mean[5] = {
        tkp__rows(&s->received, n), tkp__ints(s->cell_offsets, cells + 1),
        tkp__ints(s->cell_patches, n)};
    mean[4] = tkp__as_rows(dst, TKP_DTYPE_F32, cells, 1);
    TKP__TRY(tkp_op_run(v->mean_scores, f->exec, mean, 5));
    tkp__trace(f, "vision.cls_attention", layer, &mean[4]);
    return TKP_OK;
}

static tkp_status mean_keys(
    const tkp__vit *v,
    const tkp__forward *f,
    const tkp__vit_state *s,
    const tkp_tensor *turned,
    const tkp_tensor *dst)
{
    const int64_t n = turned->shape[0], heads = v->heads;
    tkp_tensor args[5] = {
        {0},
        tkp__ints(s->head_offsets, dst->shape[0] + 1),
        tkp__ints(s->cell_heads, n * heads)};
    args[0] =
        tkp__as_rows(turned, turned->dtype, 2 * n * heads, v->hidden / heads);
    args[4] = *dst;
    TKP__TRY(tkp_op_run(v->mean_keys, f->exec, args, 5));
    tkp__trace(f, "vision.keys", v->layers - 1, dst);
    return TKP_OK;
}

static bool wants_columns(const tkp__vision_wants *w, int32_t layer)
{
    return (tkp__present(&w->cls) && layer == w->cls_layer) ||
           (tkp__present(&w->shallow) && layer == w->shallow_layer);
}

/* What the policy wants of a block. */
static tkp_status keep(
    const tkp__vit *v,
    const tkp__forward *f,
    const tkp__vit_state *s,
    int64_t frames,
    int32_t layer,
    const tkp_tensor *turned,
    const tkp__vision_wants *w)
{
    if (tkp__present(&w->cls) && layer == w->cls_layer)
        TKP__TRY(
            columns_of(v, f, s, frames, layer, turned, w->cls_logits, &w->cls));
    if (tkp__present(&w->shallow) && layer == w->shallow_layer)
        TKP__TRY(columns_of(
            v, f, s, frames, layer, turned, w->shallow_logits, &w->shallow));
    if (w->keys && layer == v->layers - 1)
        TKP__TRY(mean_keys(v, f, s, turned, w->keys));
    return TKP_OK;
}

static tkp_status run_layer(
    const tkp__vit *v,
    const tkp__forward *f,
    tkp__vit_state *s,
    int32_t i,
    int64_t n,
    int64_t frames,
    const tkp__vision_wants *wants)
{
    const tkp__vit_layer *l = &v->layer[i];
    const tkp_tensor x = tkp__rows(&s->x, n), h = tkp__rows(&s->h, n);
    const tkp_tensor qkv = tkp__rows(&s->qkv, n);
    const tkp_tensor turned = tkp__rows(&s->turned, n);
    const tkp_tensor mlp = tkp__rows(&s->mlp, n), lse = tkp__rows(&s->lse, n);

    TKP__TRY(tkp__norm_run(&l->norm1, f, &x, &h));
    TKP__TRY(tkp__linear_run(&l->qkv, f, &h, NULL, &qkv));
    TKP__TRY(rotate(v, f, s, &qkv, &turned));
    tkp__trace(f, "vision.qk", i, &turned);
    TKP__TRY(attend(
        v, f, s, frames, &qkv, &turned, wants_columns(wants, i) ? &lse : NULL,
        &h));
    TKP__TRY(keep(v, f, s, frames, i, &turned, wants));
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
    const tkp_tensor *features,
    const tkp__vision_wants *wants)
{
    int64_t n;
    TKP__TRY(embed(v, f, s, frames, count, &n));
    for (int32_t i = 0; i < v->layers; i++) {
        TKP__TRY(tkp__go_on(f));
        TKP__TRY(run_layer(v, f, s, i, n, count, wants));
    }
    /* The patches of a cell lie behind each other: together they are a row. */
    const tkp_tensor x = tkp__rows(&s->x, n);
    const tkp_tensor patches =
        tkp__as_rows(features, features->dtype, n, v->hidden);
    TKP__TRY(tkp__norm_run(&v->cell_norm, f, &x, &patches));
    tkp__trace(f, "vision.features", -1, features);
    return TKP_OK;
}
