/* The language model: memory of one call, and the ends of a step. */

#include "mllm/decoder/decoder.h"

static tkp_status alloc_lists(tkp__decoder_state *s, int64_t rows)
{
    const size_t b = (size_t)s->sequences;
    int32_t *at = tkp__zalloc(6 * b + 2 + (size_t)rows, sizeof(int32_t));
    if (!at)
        return TKP_ERR_MEMORY;
    s->lists = at;
    s->count = at;
    s->last_rows = s->count + b;
    s->q_offsets = s->last_rows + b;
    s->k_offsets = s->q_offsets + 2 * b + 1;
    s->new_keys = s->k_offsets + 2 * b + 1;
    return TKP_OK;
}

tkp_status tkp__decoder_state_create(
    tkp__decoder_state *s,
    const tkp__decoder *d,
    int32_t sequences,
    int64_t rows,
    int64_t extra)
{
    const int64_t q = d->heads * d->head_dim, kv = d->kv_heads * d->head_dim;
    *s = (tkp__decoder_state){.decoder = d, .sequences = sequences};
    TKP__TRY(alloc_lists(s, rows));
    TKP__TRY(tkp__buffer_alloc(&s->x, d->context, rows, d->hidden, d->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->h, d->context, rows, d->hidden, d->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->q, d->context, rows, q, d->dtype));
    TKP__TRY(tkp__buffer_alloc(&s->mixed, d->context, rows, q, d->dtype));
    if (sequences > 1) {
        TKP__TRY(tkp__buffer_alloc(&s->k, d->context, rows, kv, d->dtype));
        TKP__TRY(tkp__buffer_alloc(&s->v, d->context, rows, kv, d->dtype));
    }
    TKP__TRY(tkp__buffer_alloc(
        &s->gate, d->context, rows, d->intermediate, d->dtype));
    TKP__TRY(
        tkp__buffer_alloc(&s->up, d->context, rows, d->intermediate, d->dtype));
    TKP__TRY(tkp__buffer_alloc(
        &s->cos, d->context, rows, d->head_dim / 2, TKP_DTYPE_F32));
    TKP__TRY(tkp__buffer_alloc(
        &s->sin, d->context, rows, d->head_dim / 2, TKP_DTYPE_F32));
    if (d->embedding.dtype != d->dtype)
        TKP__TRY(tkp__buffer_alloc(
            &s->looked_up, d->context, rows, d->hidden, d->embedding.dtype));
    TKP__TRY(tkp__buffer_alloc(
        &s->last, d->context, sequences, d->hidden, d->dtype));
    TKP__TRY(tkp__buffer_alloc(
        &s->logits, d->context, sequences, d->vocab, TKP_DTYPE_F32));
    return tkp__kv_cache_create(
        &s->cache, d->context, d->layers, sequences, kv, extra, d->dtype);
}

void tkp__decoder_state_release(tkp__decoder_state *s)
{
    tkp__buffer *const buffers[] = {
        &s->x,  &s->h,   &s->q,   &s->k,         &s->v,    &s->mixed, &s->gate,
        &s->up, &s->cos, &s->sin, &s->looked_up, &s->last, &s->logits};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        tkp__buffer_free(buffers[i]);
    tkp__kv_cache_release(&s->cache);
    tkp__free(s->lists);
    *s = (tkp__decoder_state){0};
}

void tkp__decoder_step(tkp__decoder_state *s, const int32_t *count)
{
    s->rows = 0;
    for (int32_t b = 0; b < s->sequences; b++) {
        s->count[b] = count[b];
        s->rows += count[b];
    }
}

tkp_status tkp__decoder_embed(
    tkp__decoder_state *s,
    const tkp__forward *f,
    const int32_t *ids)
{
    const tkp__decoder *d = s->decoder;
    const tkp_tensor index = tkp__ints(ids, s->rows);
    const tkp_tensor x = tkp__rows(&s->x, s->rows);
    if (d->embedding.dtype == d->dtype)
        return tkp__gather_run(d->gather, f, &d->embedding, &index, &x);
    const tkp_tensor found = tkp__rows(&s->looked_up, s->rows);
    TKP__TRY(tkp__gather_run(d->gather, f, &d->embedding, &index, &found));
    return tkp_op_run(d->cast, f->exec, (tkp_tensor[]){found, x}, 2);
}

tkp_status tkp__decoder_set_positions(
    tkp__decoder_state *s,
    const tkp__forward *f,
    const int32_t *positions)
{
    const tkp__decoder *d = s->decoder;
    tkp_tensor args[3];
    tkp_tensor_make_2d(
        &args[0], (void *)(uintptr_t)positions, TKP_DTYPE_I32, d->position_rows,
        s->rows);
    args[1] = tkp__rows(&s->cos, s->rows);
    args[2] = tkp__rows(&s->sin, s->rows);
    return tkp_op_run(d->rotary_table, f->exec, args, 3);
}

tkp_status tkp__decoder_run_head(
    tkp__decoder_state *s,
    const tkp__forward *f,
    tkp_tensor *logits)
{
    const tkp__decoder *d = s->decoder;
    int32_t row = 0, n = 0;
    for (int32_t b = 0; b < s->sequences; b++) {
        row += s->count[b];
        if (s->count[b])
            s->last_rows[n++] = row - 1;
    }
    const tkp_tensor x = tkp__rows(&s->x, s->rows);
    const tkp_tensor index = tkp__ints(s->last_rows, n);
    const tkp_tensor last = tkp__rows(&s->last, n);
    const tkp_tensor normed = tkp__rows(&s->h, n);
    TKP__TRY(tkp__gather_run(d->gather, f, &x, &index, &last));
    TKP__TRY(tkp__norm_run(&d->norm, f, &last, &normed));
    tkp__trace(f, "llm.norm", -1, &normed);
    *logits = tkp__rows(&s->logits, n);
    return tkp__linear_run(&d->head, f, &normed, NULL, logits);
}
