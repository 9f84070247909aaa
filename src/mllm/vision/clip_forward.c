/* CLIP: the forward. */

#include "mllm/vision/vision.h"

/* x = norm([class embedding; patches] + position embedding). What comes before
 * the norm lies in q and h, which are free until block 0. */
tkp_status tkp__vision_embed(
    const tkp__vision *v,
    const tkp__forward *f,
    tkp__vision_state *s,
    const tkp__vision_rows *r,
    const float *pixels,
    const tkp_tensor *x)
{
    const tkp_tensor all = tkp__rows(&s->q, r->rows);
    const tkp_tensor cut = tkp__rows(&s->cut, r->patches);
    const tkp_tensor patches = tkp__rows(&s->h, r->patches);
    tkp_tensor picture;
    tkp_tensor_make(
        &picture, (void *)(uintptr_t)pixels, TKP_DTYPE_F32, 4,
        (int64_t[]){r->views, 3, v->image, v->image});
    TKP__TRY(tkp_op_run(v->cut, f->exec, (tkp_tensor[]){picture, cut}, 2));
    TKP__TRY(tkp__linear_run(&v->patch_embedding, f, &cut, NULL, &patches));
    tkp__trace(f, "vision.patches", -1, &patches);

    const tkp_tensor patch_rows = tkp__ints(r->patch_rows, r->patches);
    const tkp_tensor class_rows = tkp__ints(r->class_rows, r->views);
    tkp_tensor one_class = v->class_embedding;
    one_class.shape[0] = r->views;
    one_class.strides[0] = 0;
    TKP__TRY(tkp__scatter_run(v->place, f, &patches, &patch_rows, &all));
    TKP__TRY(
        tkp__scatter_run(v->place_class, f, &one_class, &class_rows, &all));
    TKP__TRY(tkp_op_run(
        v->add, f->exec, (tkp_tensor[]){all, v->position_embedding, all}, 3));
    tkp__trace(f, "vision.embeddings", -1, &all);
    TKP__TRY(tkp__norm_run(&v->pre_norm, f, &all, x));
    tkp__trace(f, "vision.pre_norm", -1, x);
    return TKP_OK;
}

static tkp_status attend(
    const tkp__vision *v,
    const tkp__forward *f,
    const tkp__vision_rows *r,
    bool biased,
    const tkp_tensor *q,
    const tkp_tensor *k,
    const tkp_tensor *values,
    const tkp_tensor *dst)
{
    const tkp_tensor offsets = tkp__ints(r->row_offsets, r->views + 1);
    tkp_tensor args[8] = {
        tkp__heads(q, v->heads),
        tkp__heads(k, v->heads),
        tkp__heads(values, v->heads),
        offsets,
        offsets,
        tkp__heads(dst, v->heads),
        {0}};
    if (biased)
        tkp_tensor_make_1d(&args[7], r->bias, TKP_DTYPE_F32, r->rows);
    return tkp_op_run(v->attention[biased], f->exec, args, 8);
}

/* What the CLS row of each view attends to, of the patches. The queries are
 * picked into the memory of the values, which are needed no more. */
static tkp_status cls_attention(
    const tkp__vision *v,
    const tkp__forward *f,
    const tkp__vision_state *s,
    const tkp__vision_rows *r,
    const tkp_op *op,
    int32_t layer,
    const tkp_tensor *cls)
{
    const tkp_tensor q = tkp__rows(&s->q, r->rows);
    const tkp_tensor k = tkp__rows(&s->k, r->rows);
    const tkp_tensor class_rows = tkp__ints(r->class_rows, r->views);
    const tkp_tensor picked = tkp__rows(&s->v, r->views);
    tkp_tensor args[10] = {0};
    TKP__TRY(tkp__gather_run(v->pick, f, &q, &class_rows, &picked));
    args[0] = tkp__heads(&picked, v->heads);
    args[1] = tkp__heads(&k, v->heads);
    args[4] = tkp__ints(r->count, r->views + 1);
    args[5] = tkp__ints(r->zeros, r->views);
    args[6] = tkp__ints(r->row_offsets, r->views + 1);
    args[7] = tkp__ints(r->patch_offsets, r->views + 1);
    args[8] = tkp__ints(r->patch_keys, r->patches);
    args[9] = *cls;
    TKP__TRY(tkp_op_run(op, f->exec, args, 10));
    tkp__trace(f, "vision.cls_attention", layer, &args[9]);
    return TKP_OK;
}

/* The keys of each patch, one row a head, meaned. */
tkp_status tkp__vision_mean_keys(
    const tkp__vision *v,
    const tkp__forward *f,
    const tkp__vision_state *s,
    const tkp__vision_rows *r,
    const tkp_tensor *dst)
{
    tkp_tensor args[5] = {0};
    const tkp_tensor k = tkp__rows(&s->k, r->rows);
    args[0] =
        tkp__as_rows(&k, k.dtype, r->rows * v->heads, v->hidden / v->heads);
    args[1] = tkp__ints(r->head_offsets, r->patches + 1);
    args[2] = tkp__ints(r->patch_heads, r->patches * v->heads);
    args[4] = *dst;
    return tkp_op_run(v->mean_keys, f->exec, args, 5);
}

/* What the policy wants of a block. */
static tkp_status keep(
    const tkp__vision *v,
    const tkp__forward *f,
    const tkp__vision_state *s,
    const tkp__vision_rows *r,
    int32_t layer,
    const tkp__vision_wants *w)
{
    if (tkp__present(&w->cls) && layer == w->cls_layer)
        TKP__TRY(cls_attention(
            v, f, s, r, w->cls_logits ? v->cls_logits : v->cls_scores, layer,
            &w->cls));
    if (tkp__present(&w->shallow) && layer == w->shallow_layer)
        TKP__TRY(cls_attention(
            v, f, s, r, w->shallow_logits ? v->cls_logits : v->cls_scores,
            layer, &w->shallow));
    if (!w->keys || layer != v->layers - 1)
        return TKP_OK;
    TKP__TRY(tkp__vision_mean_keys(v, f, s, r, w->keys));
    tkp__trace(f, "vision.keys", layer, w->keys);
    return TKP_OK;
}

/* x = x + out(attention(norm1(x))) */
static tkp_status run_attention(
    const tkp__vision *v,
    const tkp__forward *f,
    tkp__vision_state *s,
    const tkp__vision_rows *r,
    int32_t i,
    bool biased,
    const tkp__vision_wants *wants,
    const tkp_tensor *x)
{
    const tkp__vision_layer *l = &v->layer[i];
    const tkp_tensor h = tkp__rows(&s->h, r->rows);
    const tkp_tensor q = tkp__rows(&s->q, r->rows);
    const tkp_tensor k = tkp__rows(&s->k, r->rows);
    const tkp_tensor values = tkp__rows(&s->v, r->rows);

    TKP__TRY(tkp__norm_run(&l->norm1, f, x, &h));
    TKP__TRY(tkp__linear_run(&l->q, f, &h, NULL, &q));
    TKP__TRY(tkp__linear_run(&l->k, f, &h, NULL, &k));
    TKP__TRY(tkp__linear_run(&l->v, f, &h, NULL, &values));
    tkp__trace(f, "vision.q", i, &q);
    tkp__trace(f, "vision.k", i, &k);
    TKP__TRY(attend(v, f, r, biased, &q, &k, &values, &h));
    TKP__TRY(keep(v, f, s, r, i, wants));
    return tkp__linear_run(&l->out, f, &h, x, x);
}

/* x = x + fc2(activation(fc1(norm2(x)))) */
static tkp_status run_mlp(
    const tkp__vision *v,
    const tkp__forward *f,
    tkp__vision_state *s,
    const tkp__vision_rows *r,
    int32_t i,
    const tkp_tensor *x)
{
    const tkp__vision_layer *l = &v->layer[i];
    const tkp_tensor h = tkp__rows(&s->h, r->rows);
    const tkp_tensor mlp = tkp__rows(&s->mlp, r->rows);

    TKP__TRY(tkp__norm_run(&l->norm2, f, x, &h));
    TKP__TRY(tkp__linear_run(&l->fc1, f, &h, NULL, &mlp));
    TKP__TRY(tkp__activation_run(v->activation, f, &mlp, NULL, &mlp));
    TKP__TRY(tkp__linear_run(&l->fc2, f, &mlp, x, x));
    tkp__trace(f, "vision.layer", i, x);
    return TKP_OK;
}

tkp_status tkp__vision_run(
    const tkp__vision *v,
    const tkp__forward *f,
    tkp__vision_state *s,
    const tkp__vision_rows *r,
    bool biased,
    int32_t from,
    int32_t to,
    const tkp__vision_wants *wants,
    const tkp_tensor *x)
{
    for (int32_t half = from; half < to; half++) {
        if (half % 2 == 0) {
            TKP__TRY(tkp__go_on(f));
            TKP__TRY(run_attention(v, f, s, r, half / 2, biased, wants, x));
        } else {
            TKP__TRY(run_mlp(v, f, s, r, half / 2, x));
        }
    }
    return TKP_OK;
}

/* Queries and keys of the block behind, of what comes out of the last one that
 * runs. */
tkp_status tkp__vision_look_behind(
    const tkp__vision *v,
    const tkp__forward *f,
    tkp__vision_state *s,
    const tkp__vision_rows *r,
    const tkp__vision_wants *wants,
    const tkp_tensor *x)
{
    const tkp__vision_layer *l = &v->layer[v->layers];
    const tkp_tensor h = tkp__rows(&s->h, r->rows);
    const tkp_tensor q = tkp__rows(&s->q, r->rows);
    const tkp_tensor k = tkp__rows(&s->k, r->rows);
    if (!(tkp__present(&wants->cls) && wants->cls_layer == v->layers) &&
        !(tkp__present(&wants->shallow) && wants->shallow_layer == v->layers))
        return TKP_OK;
    TKP__TRY(tkp__norm_run(&l->norm1, f, x, &h));
    TKP__TRY(tkp__linear_run(&l->q, f, &h, NULL, &q));
    TKP__TRY(tkp__linear_run(&l->k, f, &h, NULL, &k));
    tkp__trace(f, "vision.q", v->layers, &q);
    tkp__trace(f, "vision.k", v->layers, &k);
    return keep(v, f, s, r, v->layers, wants);
}

tkp_status tkp__vision_pick(
    const tkp__vision *v,
    const tkp__forward *f,
    const tkp__vision_rows *r,
    const tkp_tensor *x,
    const tkp_tensor *dst)
{
    const tkp_tensor patch_rows = tkp__ints(r->patch_rows, r->patches);
    return tkp__gather_run(v->pick, f, x, &patch_rows, dst);
}
