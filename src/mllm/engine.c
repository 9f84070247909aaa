/*
 * The forward of a multimodal LLM with its pruning points.
 *
 *     pictures ── vision ── projector ─┐
 *                                      ├─ embeddings ── layer 0 .. L-1 ── head
 *     text ─────────────── ids ────────┘      ^           ^
 *                                             └── prune ──┘
 *
 * This file is also the example of how an engine meets libtokenprune: the
 * pruning is in tkp__engine_next_point(), keep_attention() and prune(), and all
 * of it is calls of tokenprune.h. What is cut inside the encoder is in look.c.
 */

#include "mllm/engine.h"

#include <time.h>

#include "tokenprune/sys/device.h"

double tkp__engine_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- pictures and text into rows ------------------------------------------- */

/* All of x, as the rows of `dst`. */
static tkp_status
copy_rows(tkp__engine *e, const tkp_tensor *x, const tkp__buffer *dst)
{
    for (int64_t i = 0; i < e->rows; i++)
        e->index[i] = (int32_t)i;
    const tkp_tensor all = tkp__ints(e->index, e->rows);
    const tkp_tensor to = tkp__rows(dst, e->rows);
    return tkp__gather_run(e->model->decoder.gather, &e->f, x, &all, &to);
}

/* What stages ask for of the rows that enter the decoder. */
static tkp_status keep_embeddings(tkp__engine *e, const tkp_tensor *x)
{
    tkp__kept_inputs *kept = &e->inputs;
    if (kept->embeddings.data)
        TKP__TRY(copy_rows(e, x, &kept->embeddings));
    if (!kept->text.data || kept->text_count == 0)
        return TKP_OK;
    const tkp_tensor rows = tkp__ints(kept->text_rows, kept->text_count);
    const tkp_tensor text = tkp__rows(&kept->text, kept->text_count);
    TKP__TRY(tkp__gather_run(e->model->decoder.gather, &e->f, x, &rows, &text));
    tkp__trace(&e->f, "text", -1, &text);
    return TKP_OK;
}

/* Rows of tokens that went inside the encoder do not enter the decoder. */
static tkp_status leave_out(tkp__engine *e)
{
    tkp__decoder_state *s = &e->decoder;
    int32_t *offsets = e->index; /* free by now */
    const int64_t n =
        tkp_sequence_rows(e->sequence, e->from, e->positions, offsets, e->rows);
    const tkp_tensor before = tkp__rows(&s->x, e->rows);
    const tkp_tensor after = tkp__rows(&s->h, n);
    const tkp_tensor rows = tkp__ints(e->from, n);
    TKP__TRY(tkp__gather_run(
        e->model->decoder.gather, &e->f, &before, &rows, &after));
    const tkp__buffer old = s->x;
    s->x = s->h;
    s->h = old;
    for (int32_t b = 0; b < e->sequences; b++)
        e->count[b] = offsets[b + 1] - offsets[b];
    tkp__decoder_step(s, e->count);
    tkp__history_note_rows(&e->history, e->from, n);
    return TKP_OK;
}

/* x = embeddings of the ids, and of the pictures where placeholders stand. */
static tkp_status read_prompts(tkp__engine *e)
{
    tkp__decoder_state *s = &e->decoder;
    int64_t row = 0;
    for (int32_t b = 0; b < e->sequences; b++) {
        const tkp__prompt *p = &e->prompt[b];
        memcpy(e->index + row, p->ids, (size_t)p->count * sizeof(*e->index));
        e->count[b] = (int32_t)p->count;
        row += p->count;
    }
    tkp__decoder_step(s, e->count);
    TKP__TRY(tkp__decoder_embed(s, &e->f, e->index));
    const tkp_tensor x = tkp__rows(&s->x, e->rows);
    TKP__TRY(tkp__engine_pack(e, &x));
    tkp__trace(&e->f, "embeddings", -1, &x);
    TKP__TRY(keep_embeddings(e, &x));
    return e->seen < e->visual_tokens ? leave_out(e) : TKP_OK;
}

static tkp_status set_positions(tkp__engine *e)
{
    tkp_tensor view;
    tkp_tensor_make_2d(
        &view, e->positions, TKP_DTYPE_I32, e->model->decoder.position_rows,
        e->decoder.rows);
    tkp__trace_host(&e->f, "positions", -1, &view);
    return tkp__decoder_set_positions(&e->decoder, &e->f, e->positions);
}

/* --- pruning --------------------------------------------------------------- */

/* One score for each visual token of the batch; an entry that is gone by the
 * time they are asked for is passed over. */
static tkp_status check_scores(const tkp__engine *e, const tkp_tensor *scores)
{
    TKP__TRY(tkp__check_view(scores, "scores", false));
    TKP__CHECK(
        scores->dtype == TKP_DTYPE_F32 && scores->ndim == 1 &&
            scores->shape[0] == e->visual_tokens &&
            tkp_tensor_is_contiguous(scores),
        TKP_ERR_SHAPE,
        "scores: %s with %lld entries, wanted f32 [%lld], one for each visual "
        "token",
        tkp_dtype_string(scores->dtype), (long long)tkp_tensor_count(scores),
        (long long)e->visual_tokens);
    return TKP_OK;
}

/* The caller's scores of the host go where the forward runs. */
static tkp_status bring_scores(tkp__engine *e)
{
    tkp_context *context = e->model->context;
    const int64_t n = e->visual_tokens;
    TKP__TRY(check_scores(e, e->scores));
    if (e->scores->device_type == tkp_context_device_type(context) || n == 0)
        return TKP_OK;
    TKP__TRY(tkp__buffer_alloc(&e->score_copy, context, n, 1, TKP_DTYPE_F32));
    TKP__TRY(tkp_device_upload(
        e->f.exec, e->score_copy.data, tkp__data(e->scores),
        (uint64_t)n * sizeof(float)));
    e->score_view = tkp__column_from(&e->score_copy, 0, n);
    e->scores = &e->score_view;
    return TKP_OK;
}

static tkp_status take_point(tkp__engine *e)
{
    const tkp_point *p = &e->point;
    TKP__CHECK(
        !(p->needs & TKP_NEED_SCORES) || e->scores, TKP_ERR_ARGUMENT,
        "stage %d: wants scores of the caller, but none are given", p->stage);
    return p->needs & TKP_NEED_SCORES ? bring_scores(e) : TKP_OK;
}

/* Whether q and k are those of the layer behind the cut: it has not run, and
 * the cache has nothing of it. */
static bool reads_next_layer(const tkp_point *point)
{
    return point->kind == TKP_POINT_LLM &&
           point->score_layer == point->boundary;
}

/* Rows of what the coming score layer has to leave behind. */
static tkp_status make_room(tkp__engine *e)
{
    const tkp__decoder *d = &e->model->decoder;
    tkp__kept_attention *kept = &e->kept;
    const int64_t queries = e->point.query_rows;
    const int64_t kv = d->kv_heads * d->head_dim;
    const bool apart = e->sequences > 1 || reads_next_layer(&e->point);
    if ((e->point.needs & TKP_NEED_PLAIN_ATTENTION) && !kept->plain_q.data) {
        TKP__TRY(tkp__buffer_alloc(
            &kept->plain_q, e->model->context, e->rows, d->heads * d->head_dim,
            d->dtype));
        TKP__TRY(tkp__buffer_alloc(
            &kept->plain_k, e->model->context, e->rows, kv, d->dtype));
    }
    if (apart && !kept->k.data)
        TKP__TRY(tkp__buffer_alloc(
            &kept->k, e->model->context, e->rows, kv, d->dtype));
    if (apart && (e->point.needs & TKP_NEED_VALUES) && !kept->v.data)
        TKP__TRY(tkp__buffer_alloc(
            &kept->v, e->model->context, e->rows, kv, d->dtype));
    if (!(e->point.needs & TKP_NEED_ATTENTION) || reads_next_layer(&e->point))
        return TKP_OK;
    if (!kept->all_lse.data)
        TKP__TRY(tkp__buffer_alloc(
            &kept->all_lse, e->model->context, e->rows, d->heads,
            TKP_DTYPE_F32));
    if (queries <= kept->capacity)
        return TKP_OK;
    tkp__free(kept->rows);
    tkp__buffer_free(&kept->q);
    tkp__buffer_free(&kept->lse);
    kept->capacity = 0;
    kept->rows = tkp__alloc((size_t)queries, sizeof(*kept->rows));
    if (!kept->rows)
        return TKP_ERR_MEMORY;
    TKP__TRY(tkp__buffer_alloc(
        &kept->q, e->model->context, queries, d->heads * d->head_dim,
        d->dtype));
    TKP__TRY(tkp__buffer_alloc(
        &kept->lse, e->model->context, queries, d->heads, TKP_DTYPE_F32));
    kept->capacity = queries;
    return TKP_OK;
}

/* Whether the point looks into a layer of the decoder. */
static bool reads_layer(const tkp_point *point)
{
    return (point->kind == TKP_POINT_LLM || point->kind == TKP_POINT_KV) &&
           (point->needs & (TKP_NEED_ATTENTION | TKP_NEED_KEYS |
                            TKP_NEED_VALUES | TKP_NEED_PLAIN_ATTENTION));
}

tkp_status tkp__engine_next_point(tkp__engine *e)
{
    tkp_point_init(&e->point);
    TKP__TRY(tkp_sequence_next(e->sequence, &e->point));
    TKP__TRY(take_point(e));
    return reads_layer(&e->point) ? make_room(e) : TKP_OK;
}

/* Queries and keys of the score layer before they are rotated, too. */
static void want_plain(tkp__engine *e, tkp_tensor view[2])
{
    tkp__decoder_state *s = &e->decoder;
    if (!(e->point.needs & TKP_NEED_PLAIN_ATTENTION))
        return;
    view[0] = tkp__rows(&e->kept.plain_q, s->rows);
    view[1] = tkp__rows(&e->kept.plain_k, s->rows);
    s->plain_q = &view[0];
    s->plain_k = &view[1];
}

static void want_plain_no_more(tkp__engine *e)
{
    e->decoder.plain_q = e->decoder.plain_k = NULL;
}

/* q, k and perhaps v of the layer behind the cut, of all rows before it. */
static tkp_status look_ahead(tkp__engine *e)
{
    tkp_tensor plain[2];
    tkp__decoder_state *s = &e->decoder;
    tkp__kept_attention *kept = &e->kept;
    const tkp__decoder *d = s->decoder;
    const bool values = e->point.needs & TKP_NEED_VALUES;
    const tkp_tensor q = tkp__rows(&s->q, s->rows);
    const tkp_tensor k = tkp__rows(&kept->k, s->rows);
    const tkp_tensor v = tkp__rows(&kept->v, s->rows);
    kept->k_view = tkp__heads(&k, d->kv_heads);
    kept->v_view = tkp__heads(&v, d->kv_heads);
    want_plain(e, plain);
    const tkp_status status = tkp__decoder_project(
        s, &e->f, e->point.score_layer, &q, &k, values ? &v : NULL);
    want_plain_no_more(e);
    return status;
}

static bool is_score_layer(const tkp__engine *e, int32_t layer)
{
    return reads_layer(&e->point) && layer == e->point.score_layer;
}

/* q of the rows that the point asks about, with their log-sum-exp. */
static tkp_status keep_queries(tkp__engine *e)
{
    tkp__decoder_state *s = &e->decoder;
    const tkp__decoder *d = s->decoder;
    tkp__kept_attention *kept = &e->kept;
    const int64_t n =
        tkp_sequence_query_rows(e->sequence, kept->rows, kept->capacity);
    const tkp_tensor rows = tkp__ints(kept->rows, n);
    const tkp_tensor q = tkp__rows(&s->q, s->rows);
    const tkp_tensor lse = tkp__rows(&kept->all_lse, s->rows);
    const tkp_tensor kept_q = tkp__rows(&kept->q, n);
    const tkp_tensor kept_lse = tkp__rows(&kept->lse, n);
    TKP__TRY(tkp__gather_run(d->gather, &e->f, &q, &rows, &kept_q));
    return tkp__gather_run(d->gather, &e->f, &lse, &rows, &kept_lse);
}

/* Keys or values of the layer that has just run: one sequence has them in its
 * cache; later layers of several compute theirs where these were kept before.
 */
static tkp_tensor keep_heads(
    const tkp__engine *e,
    const tkp__buffer *cached,
    tkp__buffer *computed,
    tkp__buffer *kept)
{
    tkp_tensor rows = tkp__rows(cached, e->decoder.rows);
    if (e->sequences > 1) {
        const tkp__buffer fresh = *computed;
        *computed = *kept;
        *kept = fresh;
        rows = tkp__rows(kept, e->decoder.rows);
    }
    return tkp__heads(&rows, e->model->decoder.kv_heads);
}

/* After the score layer: q of some rows, k and perhaps v of all. */
static tkp_status keep_attention(tkp__engine *e, int32_t layer)
{
    tkp__decoder_state *s = &e->decoder;
    tkp__kept_attention *kept = &e->kept;
    const tkp__kv_layer *cache = &s->cache.layer[layer];
    kept->k_view = keep_heads(e, &cache->k, &s->k, &kept->k);
    if (e->point.needs & TKP_NEED_VALUES)
        kept->v_view = keep_heads(e, &cache->v, &s->v, &kept->v);
    return e->point.needs & TKP_NEED_ATTENTION ? keep_queries(e) : TKP_OK;
}

/* Fewer rows from here on. */
static tkp_status apply(tkp__engine *e, const tkp_decision *decision)
{
    tkp__decoder_state *s = &e->decoder;
    const int64_t out = decision->rows_out;
    const tkp_tensor before = tkp__rows(&s->x, s->rows);
    const tkp_tensor after = tkp__rows(&s->h, out); /* rows may change places */
    TKP__TRY(
        tkp_gather_rows(e->sequence, e->f.exec, &after, &before, decision));
    const tkp__buffer old = s->x;
    s->x = s->h;
    s->h = old;
    for (int32_t b = 0; b < e->sequences; b++)
        e->count[b] = decision->host_offsets[b + 1] - decision->host_offsets[b];
    tkp__decoder_step(s, e->count);
    if (tkp__present(&decision->key_bias)) {
        memcpy(
            e->key_bias.data, tkp__data(&decision->key_bias),
            (size_t)out * sizeof(float));
        s->key_bias = e->key_bias.data;
        tkp__trace_host(
            &e->f, "prune.key_bias", e->point.boundary, &decision->key_bias);
    }
    memcpy(
        e->positions, tkp__data(&decision->positions),
        (size_t)(decision->position_rows * out) * sizeof(*e->positions));
    /* After prefill comes behind all boundaries. */
    const int32_t at = e->point.kind == TKP_POINT_KV
                           ? e->model->decoder.layers + 1
                           : e->point.boundary;
    tkp__trace_host(&e->f, "prune.rows", at, &decision->indices);
    if (tkp__present(&decision->scores))
        tkp__trace_host(&e->f, "prune.scores", at, &decision->scores);
    return set_positions(e);
}

/* Views of what a point may ask for; those it does ask for go into `in`. */
typedef struct handed_over {
    tkp_tensor plain_q, plain_k;
    tkp_tensor q, lse, hidden, cls, shallow, vision, keys, embeddings, text;
    tkp_inputs in;
} handed_over;

static void hand_attention(const tkp__engine *e, handed_over *out)
{
    const uint32_t needs = e->point.needs;
    const tkp__kept_attention *kept = &e->kept;
    const bool next = reads_next_layer(&e->point);
    const tkp_tensor q = next ? tkp__rows(&e->decoder.q, e->decoder.rows)
                              : tkp__rows(&kept->q, e->point.query_rows);
    if (needs & TKP_NEED_ATTENTION) {
        out->q = tkp__heads(&q, e->model->decoder.heads);
        out->in.q = &out->q;
    }
    if ((needs & TKP_NEED_ATTENTION) && !next) {
        out->lse = tkp__rows(&kept->lse, e->point.query_rows);
        out->in.lse = &out->lse;
    }
    if (needs & (TKP_NEED_ATTENTION | TKP_NEED_KEYS))
        out->in.k = &kept->k_view;
    if (needs & TKP_NEED_VALUES)
        out->in.values = &kept->v_view;
    if (needs & TKP_NEED_PLAIN_ATTENTION) {
        const tkp_tensor plain_q = tkp__rows(&kept->plain_q, e->decoder.rows);
        const tkp_tensor plain_k = tkp__rows(&kept->plain_k, e->decoder.rows);
        out->plain_q = tkp__heads(&plain_q, e->model->decoder.heads);
        out->plain_k = tkp__heads(&plain_k, e->model->decoder.kv_heads);
        out->in.plain_q = &out->plain_q;
        out->in.plain_k = &out->plain_k;
    }
}

static const tkp_tensor *
hand_rows(tkp_tensor *view, const tkp__buffer *buffer, int64_t rows)
{
    *view = tkp__rows(buffer, rows);
    return view;
}

static const tkp_tensor *
hand_scores(tkp_tensor *view, const tkp__buffer *buffer, int64_t count)
{
    *view = tkp__column_from(buffer, 0, count);
    return view;
}

static void hand_over(const tkp__engine *e, handed_over *out)
{
    const uint32_t needs = e->point.needs;
    const tkp__kept_inputs *kept = &e->inputs;
    const int64_t n = e->visual_tokens;
    tkp_inputs *in = &out->in;
    tkp_inputs_init(in);
    hand_attention(e, out);
    if (needs & TKP_NEED_HIDDEN)
        in->hidden = hand_rows(&out->hidden, &e->decoder.x, e->decoder.rows);
    if (needs & TKP_NEED_NORM_WEIGHT)
        in->norm_weight = &e->model->decoder.norm_weight;
    if (needs & TKP_NEED_CLS_ATTENTION)
        in->cls_attention = hand_scores(&out->cls, &kept->cls, n);
    if (needs & TKP_NEED_CLS_SHALLOW)
        in->cls_shallow = hand_scores(&out->shallow, &kept->shallow, n);
    if (needs & TKP_NEED_VISION)
        in->vision = hand_rows(&out->vision, &kept->vision, n);
    if (needs & TKP_NEED_VISION_KEYS)
        in->vision_keys = hand_rows(&out->keys, &kept->keys, n);
    if (needs & TKP_NEED_EMBEDDINGS)
        in->embeddings =
            hand_rows(&out->embeddings, &kept->embeddings, e->rows);
    if (needs & TKP_NEED_TEXT) {
        in->text = hand_rows(&out->text, &kept->text, kept->text_count);
        in->text_offsets = kept->text_offsets;
    }
    if (needs & TKP_NEED_SCORES)
        in->scores = e->scores;
}

static tkp_status prune(tkp__engine *e)
{
    tkp_decision decision = TKP_DECISION_INIT;
    handed_over out;
    if (reads_layer(&e->point) && reads_next_layer(&e->point))
        TKP__TRY(look_ahead(e));
    hand_over(e, &out);
    TKP__TRY(tkp_sequence_prune(e->sequence, e->f.exec, &out.in, &decision));
    tkp__history_note_cut(&e->history, &decision);
    if (e->point.kind == TKP_POINT_KV)
        TKP__TRY(tkp__engine_evict(e, &decision));
    return apply(e, &decision);
}

static bool is_due(const tkp__engine *e, int32_t layer)
{
    switch (e->point.kind) {
    case TKP_POINT_PROJECTOR:
        return true;
    case TKP_POINT_LLM:
        return e->point.boundary <= layer;
    case TKP_POINT_KV:
        return layer > e->model->decoder.layers;
    default:
        return false;
    }
}

/* Every cut that is due before `layer`; those after prefill come before the
 * layer behind the head. */
static tkp_status prune_before(tkp__engine *e, int32_t layer)
{
    while (is_due(e, layer)) {
        const double start = tkp__engine_now();
        TKP__TRY(prune(e));
        TKP__TRY(tkp__engine_next_point(e));
        e->pruning_seconds += tkp__engine_now() - start;
    }
    return TKP_OK;
}

/* --- the forward ----------------------------------------------------------- */

static tkp_status run_layer(tkp__engine *e, int32_t layer)
{
    tkp__history_note_layer(&e->history, layer, e->decoder.rows);
    if (!is_score_layer(e, layer))
        return tkp__decoder_run_layer(&e->decoder, &e->f, layer, NULL);
    const tkp_tensor lse = tkp__rows(&e->kept.all_lse, e->decoder.rows);
    const bool asks = e->point.needs & TKP_NEED_ATTENTION;
    tkp_tensor plain[2];
    want_plain(e, plain);
    const tkp_status status =
        tkp__decoder_run_layer(&e->decoder, &e->f, layer, asks ? &lse : NULL);
    want_plain_no_more(e);
    TKP__TRY(status);
    const double start = tkp__engine_now();
    TKP__TRY(keep_attention(e, layer));
    e->pruning_seconds += tkp__engine_now() - start;
    return TKP_OK;
}

/* Whoever picks tokens does so on the host. */
static tkp_status fetch(tkp__engine *e, tkp_tensor *logits)
{
    if (logits->device_type == TKP_DEVICE_CPU)
        return TKP_OK;
    const tkp_tensor host = tkp__rows(&e->logits, logits->shape[0]);
    TKP__TRY(tkp_device_download(
        e->f.exec, e->logits.data, tkp__data(logits),
        (uint64_t)tkp_tensor_count(logits) * sizeof(float)));
    *logits = host;
    return TKP_OK;
}

tkp_status tkp__engine_prefill(tkp__engine *e, tkp_tensor *logits)
{
    const int32_t layers = e->model->decoder.layers;
    TKP__TRY(tkp__engine_next_point(e));
    TKP__TRY(tkp__engine_look(e));
    const double start = tkp__engine_now();
    TKP__TRY(read_prompts(e));
    TKP__TRY(set_positions(e));
    for (int32_t layer = 0; layer < layers; layer++) {
        TKP__TRY(tkp__go_on(&e->f));
        TKP__TRY(prune_before(e, layer));
        TKP__TRY(run_layer(e, layer));
    }
    TKP__TRY(prune_before(e, layers));
    TKP__TRY(tkp__decoder_run_head(&e->decoder, &e->f, logits));
    TKP__TRY(fetch(e, logits));
    TKP__TRY(prune_before(e, layers + 1));
    e->prefill_seconds = tkp__engine_now() - start;
    tkp__trace_host(&e->f, "logits", 0, logits);
    return TKP_OK;
}

/* Positions of a decoding step in one layer; false if they are those that the
 * layer before had. */
static bool list_next_positions(tkp__engine *e, int32_t layer, int32_t step)
{
    const int64_t rows = e->decoder.rows;
    int64_t at = 0;
    bool changed = layer == 0;
    for (int32_t b = 0; b < e->sequences; b++) {
        if (!e->decoder.count[b])
            continue;
        const int32_t next =
            tkp_sequence_next_position(e->sequence, b, layer) + step;
        changed |= e->positions[at] != next;
        for (int32_t p = 0; p < e->model->decoder.position_rows; p++)
            e->positions[p * rows + at] = next;
        at++;
    }
    return changed;
}

tkp_status tkp__engine_decode(
    tkp__engine *e,
    const int32_t *ids,
    const int32_t *active,
    int32_t step,
    tkp_tensor *logits)
{
    tkp__decoder_state *s = &e->decoder;
    tkp__forward quiet = e->f;
    quiet.trace = NULL;
    int32_t n = 0;
    for (int32_t b = 0; b < e->sequences; b++)
        if (active[b])
            e->index[n++] = ids[b];
    s->key_bias = NULL;
    tkp__decoder_step(s, active);
    TKP__TRY(tkp__decoder_embed(s, &quiet, e->index));
    for (int32_t layer = 0; layer < e->model->decoder.layers; layer++) {
        TKP__TRY(tkp__go_on(&quiet));
        if (list_next_positions(e, layer, step))
            TKP__TRY(tkp__decoder_set_positions(s, &quiet, e->positions));
        TKP__TRY(tkp__decoder_run_layer(s, &quiet, layer, NULL));
    }
    TKP__TRY(tkp__decoder_run_head(s, &quiet, logits));
    TKP__TRY(fetch(e, logits));
    tkp__trace_host(&e->f, "logits", step + 1, logits);
    return TKP_OK;
}
