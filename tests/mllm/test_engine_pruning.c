/*
 * Pruning inside the real forward: dropping rows equals masking them, the
 * decoding with caches of different lengths equals running everything again,
 * and every input that a stage can ask for is the right one.
 */

#include "engine_testing.h"

#include <math.h>

static testbed bed;
static recorder seen;

static void open_f32(void)
{
    testbed_open(&bed, "llava-f32", "ref", 0);
}

static void open_kv2(void)
{
    testbed_open(&bed, "llava-kv2-sharded", "ref", 0);
}

static void close_bed(void)
{
    recorder_clear(&seen);
    testbed_close(&bed);
}

static tkp_mllm_result *answer(
    const tkp_mllm_request *requests,
    int32_t count,
    tkp_policy *policy,
    int32_t tokens)
{
    tkp_mllm_result *result;
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    options.max_new_tokens = tokens;
    options.policy = policy;
    options.ignore_eos = 1;
    options.on_trace = recorder_take;
    options.on_trace_user = &seen;
    recorder_clear(&seen);
    assert_ok(tkp_mllm_generate(&result, bed.model, requests, count, &options));
    return result;
}

/* --- running without the engine -------------------------------------------- */

/* The decoder's own parts, driven by hand, on one sequence. */
typedef struct by_hand {
    tkp__forward f;
    void *workspace;
    tkp__decoder_state s;
    int32_t *positions;
} by_hand;

/* x = embeddings of the prompt as the engine had them, and of `n` more ids. */
static void by_hand_begin(by_hand *h, const int32_t *more, int32_t n)
{
    const tkp__decoder *d = &bed.model->decoder;
    const recorded *x = recorder_get(&seen, "embeddings", -1);
    const int32_t rows = (int32_t)x->rows + n;
    memset(h, 0, sizeof(*h));
    assert_ok(tkp_exec_create(&h->f.exec, bed.context, NULL));
    h->workspace = tkp__alloc(1, bed.model->workspace_bytes);
    assert_ok(tkp_exec_set_workspace(
        h->f.exec, h->workspace, bed.model->workspace_bytes));
    assert_ok(tkp__decoder_state_create(&h->s, d, 1, rows, 0));
    int32_t *ids = calloc((size_t)rows, sizeof(*ids));
    h->positions = calloc((size_t)rows, sizeof(*ids));
    for (int32_t i = 0; i < n; i++)
        ids[x->rows + i] = more[i];
    for (int32_t i = 0; i < rows; i++)
        h->positions[i] = i;
    tkp__decoder_step(&h->s, &rows);
    assert_ok(tkp__decoder_embed(&h->s, &h->f, ids));
    memcpy(
        h->s.x.data, x->values, (size_t)(x->rows * x->width) * sizeof(float));
    assert_ok(tkp__decoder_set_positions(&h->s, &h->f, h->positions));
    free(ids);
}

static void by_hand_end(by_hand *h)
{
    tkp__decoder_state_release(&h->s);
    tkp_exec_destroy(h->f.exec);
    tkp__free(h->workspace);
    free(h->positions);
}

/* Keep these rows and the `n` last ones. */
static void
by_hand_cut(by_hand *h, const recorded *kept, int32_t n, bool repack)
{
    const int64_t before = h->s.rows, width = h->s.x.width;
    const int32_t rows = (int32_t)kept->rows + n;
    float *x = h->s.x.data;
    for (int32_t i = 0; i < rows; i++) {
        const int64_t from =
            i < kept->rows ? (int64_t)kept->values[i] : before - (rows - i);
        memmove(x + i * width, x + from * width, (size_t)width * sizeof(*x));
        h->positions[i] = repack ? i : h->positions[from];
    }
    tkp__decoder_step(&h->s, &rows);
    assert_ok(tkp__decoder_set_positions(&h->s, &h->f, h->positions));
}

/*
 * Logits after `n` generated ids, all rows run again without any cache from
 * before; cuts are those that the engine recorded.
 */
static void rerun(float *logits, const int32_t *ids, int32_t n, bool repack)
{
    by_hand h;
    const int32_t layers = bed.model->decoder.layers;
    by_hand_begin(&h, ids, n);
    for (int32_t layer = 0; layer <= layers; layer++) {
        for (int32_t i = 0; i < seen.count; i++)
            if (!strcmp(seen.entry[i].name, "prune.rows") &&
                seen.entry[i].layer == layer)
                by_hand_cut(&h, &seen.entry[i], n, repack);
        if (layer < layers)
            assert_ok(tkp__decoder_run_layer(&h.s, &h.f, layer, NULL));
    }
    tkp_tensor out;
    assert_ok(tkp__decoder_run_head(&h.s, &h.f, &out));
    memcpy(logits, tkp__data(&out), VOCAB * sizeof(*logits));
    by_hand_end(&h);
}

static void check_against_rerun(const tkp_mllm_result *result, bool repack)
{
    const int32_t *ids;
    float logits[VOCAB];
    const int64_t count = tkp_mllm_result_tokens(result, 0, &ids);
    for (int32_t n = 0; n < count; n++) {
        rerun(logits, ids, n, repack);
        const recorded *r = recorder_get(&seen, "logits", n);
        compare_rows("logits", r->values, 1, logits, 1, VOCAB, 1e-5, false);
    }
}

/* --- masking --------------------------------------------------------------- */

/* Which keys may be seen: by the rows of the prompt, and by those that were
 * generated, which all see each other. */
typedef struct mask {
    const bool *prompt;
    const bool *later; /* NULL: there are none */
    int64_t rows;      /* of the prompt */
} mask;

static bool may_see(const mask *m, int64_t i, int64_t j)
{
    if (i == j || j >= m->rows)
        return true;
    return i < m->rows ? m->prompt[j] : m->later[j];
}

/* Row i sees the keys j <= i that are allowed, and itself. */
static void masked_attention(
    float *dst,
    const float *q,
    const float *k,
    const float *v,
    int64_t rows,
    const mask *m)
{
    const tkp__decoder *d = &bed.model->decoder;
    const int64_t c = d->head_dim, group = d->heads / d->kv_heads;
    double *p = malloc((size_t)rows * sizeof(*p));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t head = 0; head < d->heads; head++) {
            const float *qi = q + (i * d->heads + head) * c;
            float *out = dst + (i * d->heads + head) * c;
            double sum = 0.0;
            for (int64_t j = 0; j <= i; j++) {
                const float *kj = k + (j * d->kv_heads + head / group) * c;
                double s = 0.0;
                for (int64_t e = 0; e < c; e++)
                    s += (double)qi[e] * kj[e];
                p[j] = may_see(m, i, j) ? exp(s / sqrt((double)c)) : 0.0;
                sum += p[j];
            }
            for (int64_t e = 0; e < c; e++) {
                double value = 0.0;
                for (int64_t j = 0; j <= i; j++)
                    value += p[j] / sum *
                             v[(j * d->kv_heads + head / group) * c + e];
                out[e] = (float)value;
            }
        }
    free(p);
}

static void rotate(by_hand *h, const tkp_tensor *rows, int64_t heads)
{
    const tkp_tensor x = tkp__heads(rows, heads);
    const tkp_tensor args[4] = {
        x, tkp__rows(&h->s.cos, h->s.rows), tkp__rows(&h->s.sin, h->s.rows), x};
    assert_ok(tkp_op_run(bed.model->decoder.rotary, h->f.exec, args, 4));
}

static void run_masked_layer(by_hand *h, int32_t layer, const mask *m)
{
    const tkp__decoder *d = &bed.model->decoder;
    const tkp__decoder_layer *l = &d->layer[layer];
    const tkp__forward *f = &h->f;
    const int64_t n = h->s.rows, kv = d->kv_heads * d->head_dim;
    tkp__buffer keys = {0}, values = {0};
    assert_ok(tkp__buffer_alloc(&keys, NULL, n, kv, TKP_DTYPE_F32));
    assert_ok(tkp__buffer_alloc(&values, NULL, n, kv, TKP_DTYPE_F32));
    const tkp_tensor x = tkp__rows(&h->s.x, n), y = tkp__rows(&h->s.h, n);
    const tkp_tensor q = tkp__rows(&h->s.q, n), k = tkp__rows(&keys, n);
    const tkp_tensor v = tkp__rows(&values, n);
    const tkp_tensor mixed = tkp__rows(&h->s.mixed, n);
    const tkp_tensor gate = tkp__rows(&h->s.gate, n);
    const tkp_tensor up = tkp__rows(&h->s.up, n);
    assert_ok(tkp__norm_run(&l->input_norm, f, &x, &y));
    assert_ok(tkp__linear_run(&l->q, f, &y, NULL, &q));
    assert_ok(tkp__linear_run(&l->k, f, &y, NULL, &k));
    assert_ok(tkp__linear_run(&l->v, f, &y, NULL, &v));
    rotate(h, &q, d->heads);
    rotate(h, &k, d->kv_heads);
    masked_attention(mixed.data, q.data, keys.data, values.data, n, m);
    assert_ok(tkp__linear_run(&l->o, f, &mixed, &x, &x));
    assert_ok(tkp__norm_run(&l->mlp_norm, f, &x, &y));
    assert_ok(tkp__linear_run(&l->gate, f, &y, NULL, &gate));
    assert_ok(tkp__linear_run(&l->up, f, &y, NULL, &up));
    assert_ok(tkp__activation_run(d->activation, f, &gate, &up, &gate));
    assert_ok(tkp__linear_run(&l->down, f, &gate, &x, &x));
    tkp__buffer_free(&keys);
    tkp__buffer_free(&values);
}

static void compare_kept(const by_hand *h, int32_t layer, const recorded *kept)
{
    const recorded *dropped = recorder_get(&seen, "llm.layer", layer);
    const int64_t width = dropped->width;
    float *rows = malloc((size_t)(kept->rows * width) * sizeof(*rows));
    ck_assert_int_eq(dropped->rows, kept->rows);
    for (int64_t i = 0; i < kept->rows; i++)
        memcpy(
            rows + i * width,
            (const float *)h->s.x.data + (int64_t)kept->values[i] * width,
            (size_t)width * sizeof(*rows));
    compare_rows(
        "masked", dropped->values, kept->rows, rows, kept->rows, width, 1e-5,
        false);
    free(rows);
}

START_TEST(generate__fastv_drops__as_if_the_rows_were_masked)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_policy *policy = policy_fastv(2, 5, TKP_POSITIONS_KEEP);
    tkp_mllm_result *result = answer(&request, 1, policy, 1);
    const recorded *kept = recorder_get(&seen, "prune.rows", 2);
    by_hand h;
    by_hand_begin(&h, NULL, 0);
    bool allowed[512] = {false}, all[512];
    memset(all, true, sizeof(all));
    for (int64_t i = 0; i < kept->rows; i++)
        allowed[(int)kept->values[i]] = true;
    for (int32_t layer = 0; layer < bed.model->decoder.layers; layer++) {
        const mask m = {layer < 2 ? all : allowed, NULL, h.s.rows};
        run_masked_layer(&h, layer, &m);
        if (layer >= 2)
            compare_kept(&h, layer, kept);
    }
    by_hand_end(&h);
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(policy);
}
END_TEST

/* --- after prefill --------------------------------------------------------- */

/* Fewer keys for the tokens to come: those of all layers, of `boundary` on
 * fewer already. */
static tkp_policy *policy_evict(
    int32_t boundary,
    int64_t first,
    int64_t keep,
    int32_t kv_begin,
    int32_t kv_end)
{
    tkp_policy *policy =
        boundary ? policy_fastv(boundary, first, TKP_POSITIONS_KEEP) : NULL;
    tkp_policy *evict =
        policy_random(TKP_POINT_KV, 0, keep, TKP_POSITIONS_KEEP);
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    assert_ok(tkp_policy_get_stage(evict, 0, &stage));
    stage.kv_begin = kv_begin;
    stage.kv_end = kv_end;
    if (!policy)
        assert_ok(tkp_policy_create(&policy, "evict"));
    assert_ok(tkp_policy_add_stage(policy, &stage));
    tkp_policy_destroy(evict);
    return policy;
}

/* Logits after `n` ids, each layer over all rows again, with masks. */
static void rerun_masked(
    float *logits,
    const int32_t *ids,
    int32_t n,
    int32_t boundary,
    const bool *cut,
    const bool *evicted,
    int32_t kv_begin,
    int32_t kv_end)
{
    by_hand h;
    bool all[512];
    tkp_tensor out;
    memset(all, true, sizeof(all));
    by_hand_begin(&h, ids, n);
    for (int32_t layer = 0; layer < bed.model->decoder.layers; layer++) {
        const bool *saw = boundary && layer >= boundary ? cut : all;
        const bool in = layer >= kv_begin && layer < kv_end;
        const mask m = {saw, in ? evicted : saw, h.s.rows - n};
        run_masked_layer(&h, layer, &m);
    }
    assert_ok(tkp__decoder_run_head(&h.s, &h.f, &out));
    memcpy(logits, tkp__data(&out), VOCAB * sizeof(*logits));
    by_hand_end(&h);
}

/* Some go; or all stay that an earlier cut left, and what it took leaves the
 * layers before it, too. */
static const struct {
    int32_t boundary, keep, kv_begin, kv_end; /* [0, 0): all layers */
} after_prefill[] =
    {{0, 5, 0, 0}, {2, 5, 0, 0}, {2, 9, 0, 0}, {2, 9, 1, 2}, {1, 5, 0, 2}};

START_TEST(generate__cut_after_prefill__as_if_the_keys_were_masked)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    const int32_t layers = bed.model->decoder.layers;
    const int32_t boundary = after_prefill[_i].boundary;
    const int32_t keep = after_prefill[_i].keep;
    const int32_t begin = after_prefill[_i].kv_begin;
    const int32_t end =
        after_prefill[_i].kv_end ? after_prefill[_i].kv_end : layers;
    tkp_policy *policy =
        policy_evict(boundary, 9, keep, begin, after_prefill[_i].kv_end);
    tkp_mllm_result *result = answer(&request, 1, policy, 6);
    const recorded *evict = recorder_get(&seen, "prune.rows", layers + 1);
    const recorded *before =
        boundary ? recorder_get(&seen, "prune.rows", boundary) : NULL;
    bool cut[512] = {false}, left[512] = {false};
    for (int64_t i = 0; before && i < before->rows; i++)
        cut[(int)before->values[i]] = true;
    for (int64_t i = 0; i < evict->rows; i++) {
        const int row = (int)evict->values[i];
        left[before ? (int)before->values[row] : row] = true;
    }
    const int32_t *ids;
    float logits[VOCAB];
    const int64_t count = tkp_mllm_result_tokens(result, 0, &ids);
    ck_assert_int_eq(count, 6);
    for (int32_t n = 0; n < count; n++) {
        rerun_masked(logits, ids, n, boundary, cut, left, begin, end);
        const recorded *r = recorder_get(&seen, "logits", n);
        compare_rows("logits", r->values, 1, logits, 1, VOCAB, 1e-5, false);
    }
    tkp_report report = TKP_REPORT_INIT;
    assert_ok(tkp_mllm_result_report(result, &report));
    ck_assert_int_eq(report.visual_after, keep);
    ck_assert_int_eq(report.layer_visual[0], 16);
    ck_assert_int_eq(report.layer_visual[layers - 1], boundary ? 9 : 16);
    int64_t cached = 0;
    for (int32_t layer = 0; layer < layers; layer++)
        cached += layer >= begin && layer < end ? evict->rows
                                                : report.layer_tokens[layer];
    ck_assert_int_eq(
        report.kv_bytes, 2 * cached * bed.model->decoder.kv_heads *
                             bed.model->decoder.head_dim * 4);
    ck_assert_int_eq(tkp_mllm_result_kept_cells(result, 0, 0, NULL), keep);
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(generate__nothing_goes_after_prefill__as_without_a_policy)
{
    const char *images[1];
    const int32_t *x, *y;
    float logits[6][VOCAB];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_policy *policy = policy_evict(0, 0, 16, 0, 0);
    tkp_mllm_result *without = answer(&request, 1, NULL, 6);
    for (int32_t n = 0; n < 6; n++)
        memcpy(
            logits[n], recorder_get(&seen, "logits", n)->values,
            sizeof(logits[n]));
    tkp_mllm_result *with = answer(&request, 1, policy, 6);
    for (int32_t n = 0; n < 6; n++)
        ck_assert_mem_eq(
            logits[n], recorder_get(&seen, "logits", n)->values,
            sizeof(logits[n]));
    ck_assert_int_eq(tkp_mllm_result_tokens(with, 0, &x), 6);
    ck_assert_int_eq(tkp_mllm_result_tokens(without, 0, &y), 6);
    ck_assert_mem_eq(x, y, 6 * sizeof(*x));
    tkp_report report = TKP_REPORT_INIT;
    assert_ok(tkp_mllm_result_report(with, &report));
    ck_assert_int_eq(report.kv_bytes, report.kv_bytes_unpruned);
    tkp_mllm_result_destroy(with);
    tkp_mllm_result_destroy(without);
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(generate__cut_after_prefill_of_a_batch__as_one_by_one)
{
    const char *images[2];
    tkp_mllm_request requests[2];
    requests[0] = testbed_request(&bed, images);
    requests[1] = requests[0];
    images[1] = images[0];
    requests[1].id = 1;
    requests[1].prompt = "\xe4\xb8\x85<image>\xe4\xb8\x87<image>";
    requests[1].n_images = 2;
    tkp_policy *policy = policy_evict(2, 9, 5, 0, 0);
    tkp_mllm_result *both = answer(requests, 2, policy, 6);
    for (int32_t i = 0; i < 2; i++) {
        const int32_t *x, *y;
        tkp_mllm_result *alone = answer(&requests[i], 1, policy, 6);
        ck_assert_int_eq(tkp_mllm_result_tokens(both, i, &x), 6);
        ck_assert_int_eq(tkp_mllm_result_tokens(alone, 0, &y), 6);
        ck_assert_mem_eq(x, y, 6 * sizeof(*x));
        tkp_mllm_result_destroy(alone);
    }
    tkp_mllm_result_destroy(both);
    tkp_policy_destroy(policy);
}
END_TEST

/* --- caches and positions --------------------------------------------------- */

START_TEST(generate__cut_in_the_decoder__as_without_a_cache)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_policy *policy = policy_fastv(2, 5, _i);
    tkp_mllm_result *result = answer(&request, 1, policy, 8);
    check_against_rerun(result, _i == TKP_POSITIONS_REPACK);
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(generate__cut_before_the_decoder__as_without_a_cache)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_policy *policy = policy_random(TKP_POINT_PROJECTOR, 0, 5, _i);
    tkp_mllm_result *result = answer(&request, 1, policy, 8);
    check_against_rerun(result, _i == TKP_POSITIONS_REPACK);
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(policy);
}
END_TEST

/* Before the first layer, in the middle, and behind the last one. */
static tkp_policy *three_cuts(int32_t positions)
{
    tkp_policy *policy = policy_random(TKP_POINT_PROJECTOR, 0, 12, positions);
    tkp_policy *const more[] = {
        policy_fastv(2, 7, positions),
        policy_random(TKP_POINT_LLM, bed.model->decoder.layers, 3, positions)};
    for (int i = 0; i < 2; i++) {
        tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
        assert_ok(tkp_policy_get_stage(more[i], 0, &stage));
        assert_ok(tkp_policy_add_stage(policy, &stage));
        tkp_policy_destroy(more[i]);
    }
    return policy;
}

START_TEST(generate__three_cuts__as_without_a_cache)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_policy *policy = three_cuts(_i);
    tkp_mllm_result *result = answer(&request, 1, policy, 6);
    check_against_rerun(result, _i == TKP_POSITIONS_REPACK);
    tkp_report report = TKP_REPORT_INIT;
    assert_ok(tkp_mllm_result_report(result, &report));
    ck_assert_int_eq(report.stages, 3);
    ck_assert_int_eq(report.layer_visual[0], 12);
    ck_assert_int_eq(report.layer_visual[report.layers - 1], 7);
    ck_assert_int_eq(tkp_mllm_result_kept_cells(result, 0, 0, NULL), 3);
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(policy);
}
END_TEST

/* --- what stages are given -------------------------------------------------- */

static tkp_policy *
policy_by(int32_t scorer_kind, int32_t point, int32_t boundary, int64_t keep)
{
    tkp_policy *policy;
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    tkp_scorer_options scorer = TKP_SCORER_OPTIONS_INIT;
    tkp_selector_options selector = TKP_SELECTOR_OPTIONS_INIT;
    tkp_budget budget = TKP_BUDGET_INIT;
    scorer.kind = scorer_kind;
    if (scorer_kind == TKP_SCORER_NORM)
        scorer.feature = TKP_FEATURE_FINAL_NORM;
    selector.kind = TKP_SELECTOR_TOPK;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = keep;
    stage.point = point;
    stage.boundary = boundary;
    stage.scorer = &scorer;
    stage.selector = &selector;
    stage.budget = &budget;
    assert_ok(tkp_policy_create(&policy, "by"));
    assert_ok(tkp_policy_add_stage(policy, &stage));
    return policy;
}

/* What the CLS row of a block attends to, from its q and k; or its logits. */
static void
cls_attention(int32_t block, bool logits, float *scores, int64_t *count)
{
    const int64_t heads = bed.model->vision.heads;
    const recorded *q = recorder_get(&seen, "vision.q", block);
    const recorded *k = recorder_get(&seen, "vision.k", block);
    const int64_t n = k->rows, c = k->width / heads;
    memset(scores, 0, (size_t)n * sizeof(*scores));
    for (int64_t h = 0; h < heads; h++) {
        double p[64], sum = 0.0;
        for (int64_t j = 0; j < n; j++) {
            double s = 0.0;
            for (int64_t e = 0; e < c; e++)
                s += (double)q->values[h * c + e] *
                     k->values[j * k->width + h * c + e];
            p[j] = s / sqrt((double)c);
            sum += exp(p[j]);
        }
        for (int64_t j = 1; j < n; j++)
            scores[j - 1] +=
                (float)((logits ? p[j] : exp(p[j]) / sum) / (double)heads);
    }
    *count = n - 1;
}

static tkp_policy *policy_of_row(int32_t block, bool logits, bool shallow)
{
    tkp_policy *policy;
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    tkp_scorer_options scorer = TKP_SCORER_OPTIONS_INIT;
    tkp_selector_options selector = TKP_SELECTOR_OPTIONS_INIT;
    tkp_budget budget = TKP_BUDGET_INIT;
    scorer.kind = TKP_SCORER_CLS_ATTENTION;
    scorer.encoder_layer = block;
    scorer.flags = logits ? TKP_ATTENTION_LOGITS : 0;
    scorer.shallow = shallow;
    selector.kind = TKP_SELECTOR_TOPK;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = 5;
    stage.point = TKP_POINT_PROJECTOR;
    stage.scorer = &scorer;
    stage.selector = &selector;
    stage.budget = &budget;
    assert_ok(tkp_policy_create(&policy, "row"));
    assert_ok(tkp_policy_add_stage(policy, &stage));
    return policy;
}

/* Any block, the one behind those that run, too, which is the last here. */
START_TEST(generate__cls_rows__are_those_asked_for)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    const int32_t layers = bed.model->vision.layers;
    ck_assert_int_eq(bed.model->vision.depth, layers + 1);
    for (int32_t i = -1; i <= layers + 1; i++)
        for (int32_t how = 0; how < 4; how++) {
            const bool logits = how & 1, shallow = how & 2;
            const int32_t normal = shallow ? layers / 4 : layers - 1;
            const int32_t block = i == 0 ? normal : i < 0 ? layers : i - 1;
            tkp_policy *policy = policy_of_row(i, logits, shallow);
            tkp_mllm_result *result = answer(&request, 1, policy, 1);
            float scores[64];
            int64_t n;
            cls_attention(block, logits, scores, &n);
            const recorded *got = recorder_get(&seen, "prune.scores", 0);
            compare_rows("cls", got->values, 1, scores, 1, n, 1e-5, false);
            tkp_mllm_result_destroy(result);
            tkp_policy_destroy(policy);
        }
}
END_TEST

START_TEST(generate__cls_row_of_no_block__refused)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_policy *policy =
        policy_of_row(bed.model->vision.depth + 1, false, false);
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    tkp_mllm_result *result = NULL;
    options.policy = policy;
    options.max_new_tokens = 1;
    ck_assert_int_eq(
        tkp_mllm_generate(&result, bed.model, &request, 1, &options),
        TKP_ERR_OPTION);
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "encoder_layer is"));
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(generate__cls_scores__are_those_of_the_last_block)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_policy *policy =
        policy_by(TKP_SCORER_CLS_ATTENTION, TKP_POINT_PROJECTOR, 0, 5);
    tkp_mllm_result *result = answer(&request, 1, policy, 1);
    float scores[64];
    int64_t n;
    cls_attention(bed.model->vision.layers - 1, false, scores, &n);
    const recorded *got = recorder_get(&seen, "prune.scores", 0);
    compare_rows("cls", got->values, 1, scores, 1, n, 1e-5, false);
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(policy);
}
END_TEST

/* After a cut the scores of those that are left are asked for. */
START_TEST(generate__cls_scores_after_a_cut__follow_their_tokens)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_policy *policy = policy_random(TKP_POINT_PROJECTOR, 0, 9, 0);
    tkp_policy *second =
        policy_by(TKP_SCORER_CLS_ATTENTION, TKP_POINT_LLM, 1, 4);
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    assert_ok(tkp_policy_get_stage(second, 0, &stage));
    assert_ok(tkp_policy_add_stage(policy, &stage));
    tkp_mllm_result *result = answer(&request, 1, policy, 1);
    float scores[64], left[64];
    int64_t n, at = 0;
    cls_attention(bed.model->vision.layers - 1, false, scores, &n);
    const recorded *rows = recorder_get(&seen, "prune.rows", 0);
    const tkp_tensor ids = fixture_get(&bed, "input_ids");
    int32_t first = 0;
    while (((const int32_t *)tkp__data(&ids))[first] != IMAGE_ID)
        first++;
    for (int64_t i = 0; i < rows->rows; i++)
        if (rows->values[i] >= first && rows->values[i] < first + n)
            left[at++] = scores[(int)rows->values[i] - first];
    ck_assert_int_eq(at, 9);
    const recorded *got = recorder_get(&seen, "prune.scores", 1);
    compare_rows("cls", got->values, 1, left, 1, at, 1e-5, false);
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(second);
    tkp_policy_destroy(policy);
}
END_TEST

/* Rows of several sequences: q, k and lse of each are its own. */
START_TEST(generate__fastv_on_a_batch__scores_as_one_by_one)
{
    const char *images[2] = {bed.picture, bed.picture};
    const char *const prompts[3] = {
        bed.prompt, "<image>\xe4\xb8\x85",
        "<image>\xe4\xb8\x87<image>\xe4\xb8\x8a"};
    tkp_mllm_request requests[3];
    tkp_policy *policy = policy_fastv(2, 5, 0);
    float *alone[3];
    int64_t count[3], at = 0;
    for (int i = 0; i < 3; i++) {
        requests[i] = testbed_request(&bed, images);
        images[0] = bed.picture;
        requests[i].prompt = prompts[i];
        requests[i].n_images = i == 2 ? 2 : 1;
        tkp_mllm_result *one = answer(&requests[i], 1, policy, -1);
        const recorded *r = recorder_get(&seen, "prune.scores", 2);
        count[i] = r->rows;
        alone[i] = malloc((size_t)r->rows * sizeof(float));
        memcpy(alone[i], r->values, (size_t)r->rows * sizeof(float));
        tkp_mllm_result_destroy(one);
    }
    tkp_mllm_result *all = answer(requests, 3, policy, -1);
    const recorded *r = recorder_get(&seen, "prune.scores", 2);
    for (int i = 0; i < 3; i++) {
        compare_rows(
            "scores", r->values + at, 1, alone[i], 1, count[i], 1e-6, false);
        at += count[i];
        free(alone[i]);
    }
    ck_assert_int_eq(at, r->rows);
    tkp_mllm_result_destroy(all);
    tkp_policy_destroy(policy);
}
END_TEST

/* The score layer lies further back than the cut. */
START_TEST(generate__early_score_layer__its_keys_are_kept)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    const tkp_mllm_request two[2] = {request, request};
    tkp_policy *near = policy_fastv(1, 5, 0);
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    assert_ok(tkp_policy_get_stage(near, 0, &stage));
    stage.boundary = 3; /* scores stay those of layer 0 */
    tkp_policy *far;
    assert_ok(tkp_policy_create(&far, "far"));
    assert_ok(tkp_policy_add_stage(far, &stage));
    tkp_mllm_result_destroy(answer(&request, 1, near, -1));
    const recorded *r = recorder_get(&seen, "prune.scores", 1);
    float scores[16];
    memcpy(scores, r->values, sizeof(scores));
    for (int32_t n = 1; n <= 2; n++) {
        tkp_mllm_result_destroy(answer(two, n, far, -1));
        r = recorder_get(&seen, "prune.scores", 3);
        for (int32_t i = 0; i < n; i++)
            compare_rows(
                "scores", r->values + 16 * i, 1, scores, 1, 16, 1e-6, false);
    }
    tkp_policy_destroy(near);
    tkp_policy_destroy(far);
}
END_TEST

/* The cut comes before its score layer: the same scores as of the layer once it
 * has run, and the layer sees what is left. */
START_TEST(generate__next_layer_scores__as_if_it_had_run)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    const tkp_mllm_request two[2] = {request, request};
    const int32_t boundary = _i;
    tkp_policy *after = policy_fastv(boundary + 1, 5, 0);
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    assert_ok(tkp_policy_get_stage(after, 0, &stage));
    stage.boundary = boundary;
    stage.score_layer = TKP_SCORE_LAYER_NEXT;
    tkp_policy *next;
    assert_ok(tkp_policy_create(&next, "next"));
    assert_ok(tkp_policy_add_stage(next, &stage));
    tkp_mllm_result_destroy(answer(&request, 1, after, -1));
    const recorded *r = recorder_get(&seen, "prune.scores", boundary + 1);
    float scores[16];
    memcpy(scores, r->values, sizeof(scores));
    for (int32_t n = 1; n <= 2; n++) {
        tkp_mllm_result *result = answer(two, n, next, 3);
        r = recorder_get(&seen, "prune.scores", boundary);
        for (int32_t i = 0; i < n; i++)
            compare_rows(
                "scores", r->values + 16 * i, 1, scores, 1, 16, 1e-6, false);
        if (n == 1)
            check_against_rerun(result, false);
        tkp_mllm_result_destroy(result);
    }
    tkp_policy_destroy(after);
    tkp_policy_destroy(next);
}
END_TEST

START_TEST(generate__norm_of_final_norm__weight_is_given)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_policy *policy = policy_by(TKP_SCORER_NORM, TKP_POINT_LLM, 2, 5);
    tkp_mllm_result *result = answer(&request, 1, policy, 2);
    ck_assert_int_eq(tkp_mllm_result_kept_cells(result, 0, 0, NULL), 5);
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(policy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/engine_pruning");
    void (*const open[])(void) = {open_f32, open_kv2};
    const char *const names[] = {"f32", "kv2"};
    for (int i = 0; i < 2; i++) {
        TCase *t = tcase_create(names[i]);
        tcase_add_checked_fixture(t, open[i], close_bed);
        tcase_add_test(t, generate__fastv_drops__as_if_the_rows_were_masked);
        tcase_add_loop_test(
            t, generate__cut_after_prefill__as_if_the_keys_were_masked, 0, 5);
        tcase_add_test(
            t, generate__nothing_goes_after_prefill__as_without_a_policy);
        tcase_add_test(
            t, generate__cut_after_prefill_of_a_batch__as_one_by_one);
        tcase_add_loop_test(
            t, generate__cut_in_the_decoder__as_without_a_cache, 0, 2);
        tcase_add_loop_test(
            t, generate__cut_before_the_decoder__as_without_a_cache, 0, 2);
        tcase_add_loop_test(t, generate__three_cuts__as_without_a_cache, 0, 2);
        tcase_add_test(t, generate__cls_scores__are_those_of_the_last_block);
        tcase_add_test(t, generate__cls_rows__are_those_asked_for);
        tcase_add_test(t, generate__cls_row_of_no_block__refused);
        tcase_add_test(
            t, generate__cls_scores_after_a_cut__follow_their_tokens);
        tcase_add_test(t, generate__fastv_on_a_batch__scores_as_one_by_one);
        tcase_add_test(t, generate__early_score_layer__its_keys_are_kept);
        tcase_add_loop_test(
            t, generate__next_layer_scores__as_if_it_had_run, 0, 3);
        tcase_add_test(t, generate__norm_of_final_norm__weight_is_given);
        suite_add_tcase(suite, t);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
