/*
 * The honest bill: tokens each layer really processes, multiply-accumulates
 * and KV bytes.
 *
 * A layer on x tokens of one sequence costs
 *   x D (2 H C + 2 G C)  projections    (4 x D^2 when H C = G C = D)
 *   2 x^2 H C            scores and values, full square
 *   phi x D F            MLP of phi matrices
 * and keeps 2 x G C elements of KV. Bytes are summed over layers, never taken
 * as last count times layers.
 */
#include "sequence/sequence.h"

#include <time.h>

double tkp__cost_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double layer_macs(const tkp_model_desc *m, int64_t tokens)
{
    const double x = (double)tokens;
    const double d = (double)m->hidden;
    const double qo = (double)m->heads * m->head_dim;
    const double kv = (double)m->kv_heads * m->head_dim;
    return x * d * (2.0 * qo + 2.0 * kv) + 2.0 * x * x * qo +
           (double)m->mlp_matrices * x * d * (double)m->intermediate;
}

static int64_t layer_kv_bytes(const tkp_model_desc *m, int64_t tokens)
{
    return 2 * tokens * m->kv_heads * m->head_dim *
           (int64_t)tkp_dtype_bytes(m->kv_dtype);
}

void tkp__cost_cut(tkp__cost *c, const tkp__batch *batch, int32_t boundary)
{
    for (int32_t layer = boundary; layer < c->layers; layer++) {
        int64_t *tokens = c->tokens + (int64_t)layer * c->sequences;
        int64_t *visual = c->visual + (int64_t)layer * c->sequences;
        c->layer_tokens[layer] = c->layer_visual[layer] = 0;
        for (int32_t b = 0; b < c->sequences; b++) {
            tokens[b] = batch->row_offsets[b + 1] - batch->row_offsets[b];
            visual[b] =
                batch->candidate_offsets[b + 1] - batch->candidate_offsets[b];
            c->layer_tokens[layer] += tokens[b];
            c->layer_visual[layer] += visual[b];
        }
    }
    c->visual_after = c->visual_out = batch->candidates;
    for (int32_t b = 0; b < c->sequences; b++)
        c->cached[b] = INT64_MAX;
}

void tkp__cost_evict(
    tkp__cost *c,
    const tkp__batch *batch,
    int32_t kv_begin,
    int32_t kv_end)
{
    c->kv_begin = kv_begin;
    c->kv_end = kv_end;
    for (int32_t b = 0; b < c->sequences; b++)
        c->cached[b] = batch->row_offsets[b + 1] - batch->row_offsets[b];
    c->visual_after = batch->candidates;
}

tkp_status tkp__cost_create(
    tkp__cost *c,
    const tkp_model_desc *model,
    const tkp__batch *batch)
{
    const size_t layers = (size_t)model->layers;
    const size_t b = (size_t)batch->sequences;
    *c = (tkp__cost){.layers = model->layers, .sequences = batch->sequences};
    int64_t *at = tkp__zalloc(2 * layers * b + 2 * layers + 2 * b, sizeof(*at));
    if (!at)
        return TKP_ERR_MEMORY;
    c->tokens = at;
    c->visual = c->tokens + layers * b;
    c->layer_tokens = c->visual + layers * b;
    c->layer_visual = c->layer_tokens + layers;
    c->tokens_before = c->layer_visual + layers;
    c->cached = c->tokens_before + b;
    for (int32_t s = 0; s < batch->sequences; s++)
        c->tokens_before[s] = batch->row_offsets[s + 1] - batch->row_offsets[s];
    c->visual_before = batch->candidates;
    tkp__cost_cut(c, batch, 0);
    return TKP_OK;
}

void tkp__cost_release(tkp__cost *c)
{
    tkp__free(c->tokens);
    *c = (tkp__cost){0};
}

void tkp__cost_report(
    const tkp__cost *c,
    const tkp_model_desc *model,
    tkp_report *r)
{
    *r = (tkp_report){
        .struct_size = sizeof(*r),
        .sequences = c->sequences,
        .layers = c->layers,
        .stages = c->cuts,
        .layer_tokens = c->layer_tokens,
        .layer_visual = c->layer_visual,
        .visual_before = c->visual_before,
        .visual_after = c->visual_after,
        .score_seconds = c->seconds[TKP__SCORE],
        .select_seconds = c->seconds[TKP__SELECT],
        .merge_seconds = c->seconds[TKP__MERGE],
        .gather_seconds = c->seconds[TKP__GATHER],
    };
    for (int32_t layer = 0; layer < c->layers; layer++) {
        const int64_t left =
            layer + 1 < c->layers ? c->layer_visual[layer + 1] : c->visual_out;
        r->equiv_in += (double)c->layer_visual[layer] / c->layers;
        r->equiv_out += (double)left / c->layers;
        for (int32_t b = 0; b < c->sequences; b++) {
            const int64_t tokens = c->tokens[(int64_t)layer * c->sequences + b];
            r->macs += layer_macs(model, tokens);
            r->macs_unpruned += layer_macs(model, c->tokens_before[b]);
            const bool evicts = layer >= c->kv_begin && layer < c->kv_end;
            r->kv_bytes += layer_kv_bytes(
                model, evicts && c->cached[b] < tokens ? c->cached[b] : tokens);
            r->kv_bytes_unpruned += layer_kv_bytes(model, c->tokens_before[b]);
        }
    }
}
