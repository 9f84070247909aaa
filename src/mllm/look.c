/*
 * From pixels to rows of the language model's width, with the pruning points
 * inside the encoder:
 *
 *     pixels ── embed ── block 0 .. ── block .. L-1 ── projector
 *                          ^              ^
 *                          └──── cut ─────┘
 *
 * The encoder takes a few views at once; all of them come as far as a point
 * before it is decided on.
 */

#include "mllm/engine.h"
#include "tokenprune/sys/device.h"

typedef struct look {
    tkp__engine *e;
    const tkp__vision *vision;
    tkp__vision_state state;
    tkp__vision_rows rows; /* of the views at hand */
    int32_t views;
    const float **pixels;      /* [views] */
    int32_t *count;            /* [views] patches that are left of each */
    int64_t left;              /* their sum */
    float *sizes;              /* [left] patches that each stands for */
    float *bias;               /* [left] log of those */
    bool biased;               /* a merger asked for it */
    int32_t half;              /* half blocks that have run */
    tkp__buffer x;             /* [left + views, D] rows of all views */
    tkp__buffer closed;        /* likewise, where a point moves them together */
    tkp__buffer tokens, after; /* [left, D] the patches', for a point */
    tkp__buffer keys;          /* [left, D / H] */
    tkp__buffer features, inner, stage;
} look;

tkp__vision_wants
tkp__engine_wants(const tkp__engine *e, int64_t at, const tkp_tensor *keys)
{
    const tkp__kept_inputs *kept = &e->inputs;
    tkp__vision_wants wants = kept->of;
    const int64_t n = keys->shape[0];
    wants.cls = tkp__column_from(&kept->cls, at, n);
    wants.shallow = tkp__column_from(&kept->shallow, at, n);
    wants.keys = kept->keys.data ? keys : NULL;
    return wants;
}

/* --- the views, as many at a time as the encoder takes ---------------------- */

typedef tkp_status (*step)(look *l, int32_t view, int64_t patch, tkp_tensor *x);

/* `run` is told the first view, patches before it, and the views' rows. */
static tkp_status for_all(look *l, step run)
{
    int64_t patch = 0;
    for (int32_t view = 0; view < l->views; view += l->rows.views) {
        const int32_t rest = l->views - view;
        tkp__vision_rows_list(
            &l->rows, l->vision,
            rest < TKP__VISION_VIEWS ? rest : TKP__VISION_VIEWS,
            l->count + view, l->biased ? l->bias + patch : NULL);
        tkp_tensor x = tkp__rows_from(&l->x, patch + view, l->rows.rows);
        TKP__TRY(run(l, view, patch, &x));
        patch += l->rows.patches;
    }
    return TKP_OK;
}

static tkp_status embed(look *l, int32_t view, int64_t patch, tkp_tensor *x)
{
    const int64_t values = l->stage.width;
    (void)patch;
    for (int32_t i = 0; i < l->rows.views; i++)
        TKP__TRY(tkp_device_upload(
            l->e->f.exec, (float *)l->stage.data + i * values,
            l->pixels[view + i], (uint64_t)values * sizeof(float)));
    return tkp__vision_embed(
        l->vision, &l->e->f, &l->state, &l->rows, l->stage.data, x);
}

/* Up to half block l->half, from where they are. */
static tkp_status
run_blocks(look *l, int32_t to, int64_t patch, const tkp_tensor *x)
{
    const tkp__kept_inputs *kept = &l->e->inputs;
    const tkp_tensor keys = tkp__rows_from(&kept->keys, patch, l->rows.patches);
    const tkp__vision_wants wants = tkp__engine_wants(l->e, patch, &keys);
    TKP__TRY(tkp__vision_run(
        l->vision, &l->e->f, &l->state, &l->rows, l->biased, l->half, to,
        &wants, x));
    for (int32_t half = l->half; half < to; half++)
        if (half % 2) /* a block ends with its MLP */
            l->e->block_patches[half / 2] += l->rows.patches;
    if (to < 2 * l->vision->layers)
        return TKP_OK;
    return tkp__vision_look_behind(
        l->vision, &l->e->f, &l->state, &l->rows, &wants, x);
}

static tkp_status finish(look *l, int32_t view, int64_t patch, tkp_tensor *x)
{
    tkp__engine *e = l->e;
    const int64_t n = l->rows.patches;
    const tkp__kept_inputs *kept = &e->inputs;
    const tkp_tensor features = kept->vision.data
                                    ? tkp__rows_from(&kept->vision, patch, n)
                                    : tkp__rows(&l->features, n);
    const tkp_tensor inner = tkp__rows(&l->inner, n);
    const tkp_tensor dst = tkp__rows_from(&e->visual, patch, n);
    (void)view;
    TKP__TRY(run_blocks(l, 2 * l->vision->layers, patch, x));
    TKP__TRY(tkp__vision_pick(l->vision, &e->f, &l->rows, x, &features));
    tkp__trace(&e->f, "vision.features", -1, &features);
    return tkp__projector_run(
        &e->model->projector, &e->f, &features, &inner, &dst);
}

/* --- a point inside --------------------------------------------------------- */

static bool inside(const tkp_point *p)
{
    return p->kind == TKP_POINT_VISION || p->kind == TKP_POINT_VISION_MLP;
}

static int32_t half_of(const tkp_point *p)
{
    return 2 * p->boundary + (p->kind == TKP_POINT_VISION_MLP);
}

/* As far as the point, and what it asks for. */
static tkp_status arrive(look *l, int32_t view, int64_t patch, tkp_tensor *x)
{
    const tkp__engine *e = l->e;
    const int64_t n = l->rows.patches;
    const tkp_tensor tokens = tkp__rows_from(&l->tokens, patch, n);
    const tkp_tensor keys = tkp__rows_from(&l->keys, patch, n);
    (void)view;
    TKP__TRY(run_blocks(l, half_of(&e->point), patch, x));
    TKP__TRY(tkp__vision_pick(l->vision, &e->f, &l->rows, x, &tokens));
    if (!(e->point.needs & TKP_NEED_VISION_KEYS))
        return TKP_OK;
    return tkp__vision_mean_keys(l->vision, &e->f, &l->state, &l->rows, &keys);
}

/* Rows that were kept for later stages go as well: those of a block that has
 * run. */
static tkp_status
thin(look *l, tkp__buffer *b, bool filled, const tkp_decision *d)
{
    if (!b->data || !filled)
        return TKP_OK;
    return tkp__buffer_take(
        b, l->e->model->decoder.gather, &l->e->f, tkp__data(&d->indices),
        d->rows_out);
}

/* dst rows from `to` on = n rows of src from `from` on. */
static tkp_status move_rows(
    look *l,
    const tkp__buffer *src,
    int64_t from,
    const tkp__buffer *dst,
    int64_t to,
    int64_t n)
{
    int32_t *list = l->e->index; /* free until the prompts are read */
    for (int64_t i = 0; i < n; i++)
        list[i] = (int32_t)(from + i);
    const tkp_tensor all = tkp__rows(src, src->rows);
    const tkp_tensor rows = tkp__ints(list, n);
    const tkp_tensor at = tkp__rows_from(dst, to, n);
    return n > 0 ? tkp__gather_run(
                       l->e->model->decoder.gather, &l->e->f, &all, &rows, &at)
                 : TKP_OK;
}

/* What is left of each view moves together, behind its CLS row. */
static tkp_status close_up(look *l, const tkp_decision *d)
{
    const int32_t *index = tkp__data(&d->indices);
    int64_t from = 0, to = 0; /* rows of x */
    int64_t k = 0, end = 0;
    for (int32_t view = 0; view < l->views; view++) {
        const int64_t first = k;
        TKP__TRY(move_rows(l, &l->x, from, &l->closed, to, 1));
        from += l->count[view] + 1;
        end += l->count[view];
        while (k < d->rows_out && index[k] < end)
            k++;
        TKP__TRY(move_rows(l, &l->after, first, &l->closed, to + 1, k - first));
        l->count[view] = (int32_t)(k - first);
        to += k - first + 1;
    }
    l->left = k;
    const tkp__buffer old = l->x;
    l->x = l->closed;
    l->closed = old;
    return TKP_OK;
}

static tkp_status decide(look *l, tkp_decision *d)
{
    tkp__engine *e = l->e;
    const tkp_tensor tokens = tkp__rows(&l->tokens, l->left);
    const tkp_tensor keys = tkp__rows(&l->keys, l->left);
    tkp_inputs in = TKP_INPUTS_INIT;
    in.vision = &tokens;
    if (e->point.needs & TKP_NEED_VISION_KEYS)
        in.vision_keys = &keys;
    if (e->point.needs & TKP_NEED_SCORES)
        in.scores = e->scores;
    TKP__TRY(tkp_sequence_prune(e->sequence, e->f.exec, &in, d));
    const tkp_tensor after = tkp__rows(&l->after, d->rows_out);
    TKP__TRY(tkp_gather_rows(e->sequence, e->f.exec, &after, &tokens, d));
    tkp__trace_host(
        &e->f, "vision.prune.rows", half_of(&e->point), &d->indices);
    return TKP_OK;
}

static tkp_status cut(look *l)
{
    tkp__engine *e = l->e;
    tkp__kept_inputs *kept = &e->inputs;
    const double start = tkp__engine_now();
    const int32_t ran = half_of(&e->point);
    tkp_decision d = TKP_DECISION_INIT;
    TKP__TRY(decide(l, &d));
    const int32_t *index = tkp__data(&d.indices);
    TKP__TRY(thin(l, &kept->cls, 2 * kept->of.cls_layer < ran, &d));
    TKP__TRY(thin(l, &kept->shallow, 2 * kept->of.shallow_layer < ran, &d));
    TKP__TRY(thin(l, &kept->keys, 2 * (l->vision->layers - 1) < ran, &d));
    for (int64_t k = 0; k < d.rows_out; k++)
        e->survivor[k] = e->survivor[index[k]];
    l->biased = tkp__present(&d.key_bias);
    if (l->biased)
        memcpy(
            l->bias, tkp__data(&d.key_bias),
            (size_t)d.rows_out * sizeof(*l->bias));
    TKP__TRY(close_up(l, &d));
    l->half = ran;
    TKP__TRY(tkp__engine_next_point(e));
    e->pruning_seconds += tkp__engine_now() - start;
    return TKP_OK;
}

static tkp_status run(look *l)
{
    TKP__TRY(for_all(l, embed));
    while (inside(&l->e->point)) {
        TKP__TRY(for_all(l, arrive));
        TKP__TRY(cut(l));
    }
    TKP__TRY(for_all(l, finish));
    l->e->seen = l->left;
    return TKP_OK;
}

/* --- memory ------------------------------------------------------------------ */

static void list_views(look *l)
{
    const tkp__engine *e = l->e;
    const int64_t values = 3 * l->vision->image * l->vision->image;
    int32_t n = 0;
    for (int32_t b = 0; b < e->sequences; b++)
        for (int32_t i = 0; i < e->prompt[b].pictures; i++) {
            const tkp__picture *picture = &e->prompt[b].picture[i];
            for (int32_t view = 0; view < picture->views; view++) {
                l->count[n] = (int32_t)l->vision->patches;
                l->pixels[n++] = picture->pixels + view * values;
            }
        }
    for (int64_t i = 0; i < l->left; i++)
        e->survivor[i] = (int32_t)i;
}

/* Rows for a point inside; policies without one need none. */
static tkp_status make_room(look *l)
{
    const tkp__vision *v = l->vision;
    if (!inside(&l->e->point))
        return TKP_OK;
    TKP__TRY(tkp__buffer_alloc(
        &l->tokens, l->e->model->context, l->left, v->hidden, v->dtype));
    TKP__TRY(tkp__buffer_alloc(
        &l->after, l->e->model->context, l->left, v->hidden, v->dtype));
    TKP__TRY(tkp__buffer_alloc(
        &l->closed, l->e->model->context, l->x.rows, v->hidden, v->dtype));
    return tkp__buffer_alloc(
        &l->keys, l->e->model->context, l->left, v->hidden / v->heads,
        v->dtype);
}

static tkp_status create(look *l)
{
    const tkp__engine *e = l->e;
    const tkp__vision *v = l->vision;
    const int64_t at_once =
        l->views < TKP__VISION_VIEWS ? l->views : TKP__VISION_VIEWS;
    const int64_t patches = at_once * v->patches;
    const size_t views = (size_t)l->views;
    l->pixels = tkp__alloc(views, sizeof(*l->pixels));
    l->count = tkp__alloc(views, sizeof(*l->count));
    l->bias = tkp__alloc((size_t)l->left, sizeof(*l->bias));
    if (!l->pixels || !l->count || !l->bias)
        return TKP_ERR_MEMORY;
    TKP__TRY(tkp__vision_state_create(&l->state, v, at_once));
    TKP__TRY(tkp__vision_rows_create(&l->rows, v));
    TKP__TRY(tkp__buffer_alloc(
        &l->x, l->e->model->context, l->left + l->views, v->hidden, v->dtype));
    if (!e->inputs.vision.data)
        TKP__TRY(tkp__buffer_alloc(
            &l->features, l->e->model->context, patches, v->hidden, v->dtype));
    TKP__TRY(tkp__buffer_alloc(
        &l->inner, l->e->model->context, patches, e->model->projector.inner,
        e->model->dtype));
    TKP__TRY(tkp__buffer_alloc(
        &l->stage, l->e->model->context, at_once, 3 * v->image * v->image,
        TKP_DTYPE_F32));
    TKP__TRY(make_room(l));
    list_views(l);
    return TKP_OK;
}

static void release(look *l)
{
    tkp__buffer *const buffers[] = {&l->x,     &l->closed,  &l->tokens,
                                    &l->after, &l->keys,    &l->inner,
                                    &l->stage, &l->features};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        tkp__buffer_free(buffers[i]);
    tkp__vision_state_release(&l->state);
    tkp__vision_rows_release(&l->rows);
    tkp__free(l->pixels);
    tkp__free(l->count);
    tkp__free(l->bias);
}

static tkp_status look_at_squares(tkp__engine *e)
{
    look l = {
        .e = e,
        .vision = &e->model->vision,
        .views = (int32_t)(e->patches / e->model->vision.patches),
        .left = e->patches,
    };
    tkp_status status = create(&l);
    if (status == TKP_OK)
        status = run(&l);
    release(&l);
    return status;
}

/* All patches leave every block, unless there are points inside. */
static tkp_status count_blocks(tkp__engine *e)
{
    const tkp_mllm *m = e->model;
    const bool any_size = tkp__any_size(m);
    e->blocks = any_size ? m->vit.layers : m->vision.layers;
    e->block_patches =
        tkp__zalloc((size_t)e->blocks, sizeof(*e->block_patches));
    if (!e->block_patches)
        return TKP_ERR_MEMORY;
    for (int32_t i = 0; any_size && i < e->blocks; i++)
        e->block_patches[i] = e->patches * m->vit.merge * m->vit.merge;
    return TKP_OK;
}

tkp_status tkp__engine_look(tkp__engine *e)
{
    const double start = tkp__engine_now();
    e->seen = e->patches;
    TKP__TRY(count_blocks(e));
    if (e->patches == 0)
        return TKP_OK;
    const tkp_status status = tkp__any_size(e->model)
                                  ? tkp__engine_look_at_frames(e)
                                  : look_at_squares(e);
    e->vision_seconds = tkp__engine_now() - start;
    return status;
}
