/* CLIP: the forward. */

#include "mllm/vision/vision.h"

tkp_status tkp__vision_state_create(
    tkp__vision_state *s,
    const tkp__vision *v,
    int64_t views)
{
    const int64_t n = views * v->patches;
    const int64_t rows = n + views;
    TKP__TRY(tkp__buffer_alloc(&s->cut, n, v->patch_values, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->x, rows, v->hidden, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->h, rows, v->hidden, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->q, rows, v->hidden, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->k, rows, v->hidden, v->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->v, rows, v->hidden, v->dtype));
    return tkp__buffer_alloc(&s->mlp, rows, v->intermediate, v->dtype);
}

void tkp__vision_state_release(tkp__vision_state *s)
{
    tkp__buffer_free(&s->cut);
    tkp__buffer_free(&s->x);
    tkp__buffer_free(&s->h);
    tkp__buffer_free(&s->q);
    tkp__buffer_free(&s->k);
    tkp__buffer_free(&s->v);
    tkp__buffer_free(&s->mlp);
}

/* x = norm([class embedding; patches] + position embedding). What comes before
 * the norm lies in q and h, which are free until block 0. */
static tkp_status embed(
    const tkp__vision *v,
    const tkp__forward *f,
    tkp__vision_state *s,
    const float *pixels,
    int64_t views)
{
    const int64_t n = views * v->patches;
    const tkp_tensor x = tkp__rows(&s->q, n + views);
    const tkp_tensor normed = tkp__rows(&s->x, n + views);
    const tkp_tensor cut = tkp__rows(&s->cut, n);
    const tkp_tensor patches = tkp__rows(&s->h, n);
    tkp_tensor picture;
    tkp_tensor_make(
        &picture, (void *)(uintptr_t)pixels, TKP_DTYPE_F32, 4,
        (int64_t[]){views, 3, v->image, v->image});
    TKP__TRY(tkp_op_run(v->cut, f->exec, (tkp_tensor[]){picture, cut}, 2));
    TKP__TRY(tkp__linear_run(&v->patch_embedding, f, &cut, NULL, &patches));
    tkp__trace(f, "vision.patches", -1, &patches);

    const tkp_tensor patch_rows = tkp__ints(v->patch_rows, n);
    const tkp_tensor class_rows = tkp__ints(v->class_rows, views);
    tkp_tensor one_class = v->class_embedding;
    one_class.shape[0] = views;
    one_class.strides[0] = 0;
    TKP__TRY(tkp__scatter_run(v->place, f, &patches, &patch_rows, &x));
    TKP__TRY(tkp__scatter_run(v->place_class, f, &one_class, &class_rows, &x));
    TKP__TRY(tkp_op_run(
        v->add, f->exec, (tkp_tensor[]){x, v->position_embedding, x}, 3));
    tkp__trace(f, "vision.embeddings", -1, &x);
    TKP__TRY(tkp__norm_run(&v->pre_norm, f, &x, &normed));
    tkp__trace(f, "vision.pre_norm", -1, &normed);
    return TKP_OK;
}

static tkp_status attend(
    const tkp__vision *v,
    const tkp__forward *f,
    int64_t views,
    const tkp_tensor *q,
    const tkp_tensor *k,
    const tkp_tensor *values,
    const tkp_tensor *dst)
{
    const tkp_tensor offsets = tkp__ints(v->row_offsets, views + 1);
    const tkp_tensor args[8] = {
        tkp__heads(q, v->heads),
        tkp__heads(k, v->heads),
        tkp__heads(values, v->heads),
        offsets,
        offsets,
        tkp__heads(dst, v->heads),
        {0}};
    return tkp_op_run(v->attention, f->exec, args, 8);
}

/* What the CLS row of each view attends to, of the patches. */
static tkp_status cls_attention(
    const tkp__vision *v,
    const tkp__forward *f,
    const tkp_op *op,
    int64_t views,
    int32_t layer,
    const tkp_tensor *q,
    const tkp_tensor *k,
    float *cls)
{
    tkp_tensor args[10] = {0};
    args[0] = tkp__heads(q, v->heads);
    args[0].shape[0] = views;
    args[0].strides[0] = (v->patches + 1) * v->hidden;
    args[1] = tkp__heads(k, v->heads);
    args[4] = tkp__ints(v->count, views + 1);
    args[5] = tkp__ints(v->zeros, views);
    args[6] = tkp__ints(v->row_offsets, views + 1);
    args[7] = tkp__ints(v->patch_offsets, views + 1);
    args[8] = tkp__ints(v->patch_keys, views * v->patches);
    tkp_tensor_make_1d(&args[9], cls, TKP_DTYPE_F32, views * v->patches);
    TKP__TRY(tkp_op_run(op, f->exec, args, 10));
    tkp__trace(f, "vision.cls_attention", layer, &args[9]);
    return TKP_OK;
}

/* The keys of each patch, one row a head, meaned. */
static tkp_status mean_keys(
    const tkp__vision *v,
    const tkp__forward *f,
    int64_t views,
    const tkp_tensor *k,
    const tkp_tensor *dst)
{
    const int64_t n = views * v->patches;
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(
        &args[0], tkp__data(k), k->dtype, k->shape[0] * v->heads,
        v->hidden / v->heads);
    args[1] = tkp__ints(v->head_offsets, n + 1);
    args[2] = tkp__ints(v->patch_heads, n * v->heads);
    args[4] = *dst;
    TKP__TRY(tkp_op_run(v->mean_keys, f->exec, args, 5));
    tkp__trace(f, "vision.keys", v->layers - 1, dst);
    return TKP_OK;
}

/* What the policy wants of a block. */
static tkp_status keep(
    const tkp__vision *v,
    const tkp__forward *f,
    int64_t views,
    int32_t layer,
    const tkp_tensor *q,
    const tkp_tensor *k,
    const tkp__vision_wants *w)
{
    if (w->cls && layer == w->cls_layer)
        TKP__TRY(cls_attention(
            v, f, w->cls_logits ? v->cls_logits : v->cls_scores, views, layer,
            q, k, w->cls));
    if (w->shallow && layer == w->shallow_layer)
        TKP__TRY(cls_attention(
            v, f, w->shallow_logits ? v->cls_logits : v->cls_scores, views,
            layer, q, k, w->shallow));
    if (w->keys && layer == v->layers - 1)
        TKP__TRY(mean_keys(v, f, views, k, w->keys));
    return TKP_OK;
}

static tkp_status run_layer(
    const tkp__vision *v,
    const tkp__forward *f,
    tkp__vision_state *s,
    int32_t i,
    int64_t views,
    const tkp__vision_wants *wants)
{
    const tkp__vision_layer *l = &v->layer[i];
    const int64_t rows = views * (v->patches + 1);
    const tkp_tensor x = tkp__rows(&s->x, rows), h = tkp__rows(&s->h, rows);
    const tkp_tensor q = tkp__rows(&s->q, rows), k = tkp__rows(&s->k, rows);
    const tkp_tensor values = tkp__rows(&s->v, rows);
    const tkp_tensor mlp = tkp__rows(&s->mlp, rows);

    TKP__TRY(tkp__norm_run(&l->norm1, f, &x, &h));
    TKP__TRY(tkp__linear_run(&l->q, f, &h, NULL, &q));
    TKP__TRY(tkp__linear_run(&l->k, f, &h, NULL, &k));
    TKP__TRY(tkp__linear_run(&l->v, f, &h, NULL, &values));
    tkp__trace(f, "vision.q", i, &q);
    tkp__trace(f, "vision.k", i, &k);
    TKP__TRY(attend(v, f, views, &q, &k, &values, &h));
    TKP__TRY(keep(v, f, views, i, &q, &k, wants));
    TKP__TRY(tkp__linear_run(&l->out, f, &h, &x, &x));

    TKP__TRY(tkp__norm_run(&l->norm2, f, &x, &h));
    TKP__TRY(tkp__linear_run(&l->fc1, f, &h, NULL, &mlp));
    TKP__TRY(tkp__activation_run(v->activation, f, &mlp, NULL, &mlp));
    TKP__TRY(tkp__linear_run(&l->fc2, f, &mlp, &x, &x));
    tkp__trace(f, "vision.layer", i, &x);
    return TKP_OK;
}

/* Queries and keys of a block that does not run, of what comes out of the last
 * one that does. */
static tkp_status look_behind(
    const tkp__vision *v,
    const tkp__forward *f,
    tkp__vision_state *s,
    int64_t views,
    const tkp__vision_wants *wants)
{
    const tkp__vision_layer *l = &v->layer[v->layers];
    const int64_t rows = views * (v->patches + 1);
    const tkp_tensor x = tkp__rows(&s->x, rows), h = tkp__rows(&s->h, rows);
    const tkp_tensor q = tkp__rows(&s->q, rows), k = tkp__rows(&s->k, rows);
    if (!(wants->cls && wants->cls_layer == v->layers) &&
        !(wants->shallow && wants->shallow_layer == v->layers))
        return TKP_OK;
    TKP__TRY(tkp__norm_run(&l->norm1, f, &x, &h));
    TKP__TRY(tkp__linear_run(&l->q, f, &h, NULL, &q));
    TKP__TRY(tkp__linear_run(&l->k, f, &h, NULL, &k));
    tkp__trace(f, "vision.q", v->layers, &q);
    tkp__trace(f, "vision.k", v->layers, &k);
    return keep(v, f, views, v->layers, &q, &k, wants);
}

tkp_status tkp__vision_run(
    const tkp__vision *v,
    const tkp__forward *f,
    tkp__vision_state *s,
    const float *pixels,
    int64_t views,
    const tkp_tensor *features,
    const tkp__vision_wants *wants)
{
    const int64_t rows = views * (v->patches + 1);
    TKP__TRY(embed(v, f, s, pixels, views));
    for (int32_t i = 0; i < v->layers; i++) {
        TKP__TRY(tkp__go_on(f));
        TKP__TRY(run_layer(v, f, s, i, views, wants));
    }
    TKP__TRY(look_behind(v, f, s, views, wants));
    const tkp_tensor x = tkp__rows(&s->x, rows);
    const tkp_tensor patch_rows = tkp__ints(v->patch_rows, views * v->patches);
    TKP__TRY(tkp__gather_run(v->pick, f, &x, &patch_rows, features));
    tkp__trace(f, "vision.features", -1, features);
    return TKP_OK;
}
