#include "mllm/decoder/sampler.h"

#include <math.h>
#include <stdlib.h>

#include "util/philox.h"

/* Fourth word of the counter, so that these draws are no stage's. */
#define SALT 0x74657874u /* "text" */

struct tkp__sampler_candidate {
    double weight; /* exp of the scaled logit, 1 for the best */
    int32_t id;
};

tkp_status tkp__sampler_create(
    tkp__sampler *s,
    const tkp__sampler_options *options,
    int32_t sequences,
    int64_t vocab)
{
    *s = (tkp__sampler){.options = *options, .vocab = vocab};
    if (options->sample) {
        s->order = tkp__alloc((size_t)vocab, sizeof(*s->order));
        if (!s->order)
            return TKP_ERR_MEMORY;
    }
    if (options->repetition_penalty != 1.0) {
        s->seen = tkp__zalloc((size_t)vocab, (size_t)sequences);
        if (!s->seen)
            return TKP_ERR_MEMORY;
    }
    return TKP_OK;
}

void tkp__sampler_release(tkp__sampler *s)
{
    tkp__free(s->order);
    tkp__free(s->seen);
    *s = (tkp__sampler){0};
}

void tkp__sampler_note(tkp__sampler *s, int32_t b, int32_t id)
{
    if (s->seen && id >= 0 && id < s->vocab)
        s->seen[b * s->vocab + id] = 1;
}

/* Once for each id, however often it stands in the text. */
static void penalise(const tkp__sampler *s, float *logits, int32_t b)
{
    const float penalty = (float)s->options.repetition_penalty;
    const uint8_t *seen = s->seen + b * s->vocab;
    for (int64_t i = 0; i < s->vocab; i++)
        if (seen[i])
            logits[i] =
                logits[i] > 0.0f ? logits[i] / penalty : logits[i] * penalty;
}

/* -1 if there is no number among them. */
static int32_t highest(const float *logits, int64_t vocab)
{
    int32_t best = -1;
    for (int64_t i = 0; i < vocab; i++)
        if (!isnan(logits[i]) && (best < 0 || logits[i] > logits[best]))
            best = (int32_t)i;
    return best;
}

static int by_weight(const void *a, const void *b)
{
    const struct tkp__sampler_candidate *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* All candidates, or the best of them where top-k or top-p cut; their sum. */
static int64_t
list_candidates(tkp__sampler *s, const float *logits, float top, double *sum)
{
    const tkp__sampler_options *o = &s->options;
    int64_t n = 0;
    for (int64_t i = 0; i < s->vocab; i++) {
        if (isnan(logits[i]))
            continue;
        s->order[n].weight =
            logits[i] == top ? 1.0
                             : exp(((double)logits[i] - top) / o->temperature);
        s->order[n++].id = (int32_t)i;
    }
    if (o->top_k > 0 || o->top_p < 1.0)
        qsort(s->order, (size_t)n, sizeof(*s->order), by_weight);
    if (o->top_k > 0 && o->top_k < n)
        n = o->top_k;
    *sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        *sum += s->order[i].weight;
    if (o->top_p >= 1.0)
        return n;
    double kept = 0.0;
    int64_t i = 0;
    while (i < n && kept < o->top_p * *sum)
        kept += s->order[i++].weight;
    *sum = kept;
    return i;
}

static int32_t draw(
    tkp__sampler *s,
    const float *logits,
    float top,
    uint32_t request_id,
    uint32_t step)
{
    double sum;
    const int64_t n = list_candidates(s, logits, top, &sum);
    const uint32_t counter[4] = {step, 0, request_id, SALT};
    const uint32_t key[2] = {
        (uint32_t)s->options.seed, (uint32_t)(s->options.seed >> 32)};
    const uint64_t u = tkp__philox_u64(counter, key) >> 11; /* 53 bits */
    double left = (double)u * 0x1p-53 * sum;
    for (int64_t i = 0; i < n; i++) {
        left -= s->order[i].weight;
        if (left < 0.0)
            return s->order[i].id;
    }
    return s->order[n - 1].id; /* rounding left a crumb */
}

tkp_status tkp__sampler_pick(
    tkp__sampler *s,
    float *logits,
    int32_t b,
    uint32_t request_id,
    uint32_t step,
    int32_t *id_out)
{
    if (s->seen)
        penalise(s, logits, b);
    const int32_t best = highest(logits, s->vocab);
    TKP__CHECK(
        best >= 0, TKP_ERR_DATA, "logits of request %d, token %u: all are NaN",
        b, step);
    *id_out = s->options.sample
                  ? draw(s, logits, logits[best], request_id, step)
                  : best;
    return TKP_OK;
}
