/*
 * The engine against Hugging Face transformers, stage by stage, on the tiny
 * checkpoints of tests/golden/models. Tolerances: 1e-5 of the largest value
 * for f32, 4e-2 and a cosine of 0.999 a row for bf16; tokens equal.
 */

#include "engine_testing.h"

#include <math.h>

typedef struct parity {
    testbed bed;
    recorder seen;
    tkp_mllm_result *result;
    double tolerance;
    bool cosine;
} parity;

static void
check(const parity *p, const char *name, int32_t layer, const char *fixture)
{
    const recorded *r = recorder_get(&p->seen, name, layer);
    const tkp_tensor wanted = fixture_get(&p->bed, "%s", fixture);
    const int64_t n = wanted.shape[0];
    compare_rows(
        fixture, r->values, r->rows, tkp__data(&wanted), n,
        tkp_tensor_count(&wanted) / n, p->tolerance, p->cosine);
}

/* [heads, rows, width] of the fixture against [rows, heads * width]. */
static void check_heads(
    const parity *p,
    const char *name,
    int32_t layer,
    const char *fixture)
{
    const recorded *r = recorder_get(&p->seen, name, layer);
    const tkp_tensor wanted = fixture_get(&p->bed, "%s", fixture);
    const float *from = tkp__data(&wanted);
    const int64_t h = wanted.shape[0], n = wanted.shape[1];
    const int64_t d = wanted.shape[2];
    float *turned = malloc((size_t)(h * n * d) * sizeof(float));
    for (int64_t i = 0; i < h * n; i++)
        memcpy(
            turned + ((i % n) * h + i / n) * d, from + i * d,
            (size_t)d * sizeof(float));
    compare_rows(
        fixture, r->values, r->rows, turned, n, h * d, p->tolerance, p->cosine);
    free(turned);
}

/* Attention of one query row over k [rows, kv heads, d]: out [heads, rows]. */
static void attention_row(
    float *out,
    const float *q,
    const float *k,
    int64_t rows,
    int64_t heads,
    int64_t kv_heads,
    int64_t d)
{
    for (int64_t h = 0; h < heads; h++) {
        const int64_t g = h / (heads / kv_heads);
        double sum = 0.0, top = -INFINITY;
        for (int64_t j = 0; j < rows; j++) {
            double s = 0.0;
            for (int64_t c = 0; c < d; c++)
                s += (double)q[h * d + c] * k[(j * kv_heads + g) * d + c];
            out[h * rows + j] = (float)(s / sqrt((double)d));
            top = fmax(top, s / sqrt((double)d));
        }
        for (int64_t j = 0; j < rows; j++)
            sum += exp((double)out[h * rows + j] - top);
        for (int64_t j = 0; j < rows; j++)
            out[h * rows + j] =
                (float)(exp((double)out[h * rows + j] - top) / sum);
    }
}

/* Probabilities follow from q and k, which is all that the engine has. */
static void check_vision_attention(const parity *p)
{
    const recorded *q = recorder_get(&p->seen, "vision.q", 0);
    const recorded *k = recorder_get(&p->seen, "vision.k", 0);
    const tkp_tensor wanted = fixture_get(&p->bed, "vit.layer.0.attn_probs");
    const int64_t heads = wanted.shape[0], n = wanted.shape[1];
    float *row = malloc((size_t)(heads * n) * sizeof(float));
    float *picked = malloc((size_t)(heads * n) * sizeof(float));
    const float *all = tkp__data(&wanted);
    for (int64_t i = 0; i < n; i++) {
        attention_row(
            row, q->values + i * q->width, k->values, n, heads, heads,
            q->width / heads);
        for (int64_t h = 0; h < heads; h++)
            memcpy(
                picked + h * n, all + (h * n + i) * n,
                (size_t)n * sizeof(float));
        compare_rows(
            "vit.layer.0.attn_probs", row, heads, picked, heads, n,
            p->tolerance, p->cosine);
    }
    free(row);
    free(picked);
}

static void
check_last_attention(const parity *p, int32_t layer, const char *prefix)
{
    char name[64];
    tkp_tensor wanted;
    snprintf(name, sizeof(name), "%s.layer.%d.attn_last_row", prefix, layer);
    if (!tkp__safetensors_find(p->bed.fixture, name, &wanted))
        return;
    const recorded *q = recorder_get(&p->seen, "llm.q", layer);
    const recorded *k = recorder_get(&p->seen, "llm.k", layer);
    const int64_t heads = wanted.shape[0], rows = wanted.shape[1];
    const int64_t d = q->width / heads;
    float *row = malloc((size_t)(heads * rows) * sizeof(float));
    attention_row(
        row, q->values + (rows - 1) * q->width, k->values, rows, heads,
        k->width / d, d);
    compare_rows(
        name, row, heads, tkp__data(&wanted), heads, rows, p->tolerance,
        p->cosine);
    free(row);
}

/* attention + residual = what the fixture has in two parts */
static void check_attention_output(const parity *p)
{
    const recorded *got = recorder_get(&p->seen, "llm.attention", 0);
    const recorded *x = recorder_get(&p->seen, "embeddings", -1);
    const tkp_tensor wanted = fixture_get(&p->bed, "lm.layer.0.attn_output");
    const int64_t n = wanted.shape[0], width = wanted.shape[1];
    const int64_t skip = (got->rows - n) * width;
    const float *part = tkp__data(&wanted);
    float *sum = malloc((size_t)(n * width) * sizeof(float));
    for (int64_t i = 0; i < n * width; i++)
        sum[i] = part[i] + x->values[skip + i];
    compare_rows(
        "lm.layer.0.attn_output", got->values, got->rows, sum, n, width,
        p->tolerance, p->cosine);
    free(sum);
}

static void check_picture(const parity *p)
{
    const tkp_tensor wanted = fixture_get(&p->bed, "prepared_u8");
    const uint8_t *rgb;
    int32_t height, width, rows, cols;
    assert_ok(tkp_mllm_result_image(
        p->result, 0, 0, &rgb, &height, &width, &rows, &cols));
    ck_assert_int_eq(height, wanted.shape[0]);
    ck_assert_int_eq(width, wanted.shape[1]);
    ck_assert_int_eq(rows * cols, fixture_get(&p->bed, "proj.output").shape[0]);
    ck_assert_mem_eq(rgb, tkp__data(&wanted), (size_t)(3 * height * width));
}

static void check_vision(const parity *p)
{
    char name[64];
    check(p, "vision.patches", -1, "vit.patch_embed");
    check(p, "vision.embeddings", -1, "vit.embeddings");
    check(p, "vision.pre_norm", -1, "vit.pre_layernorm");
    check_vision_attention(p);
    for (int32_t i = 0; i < p->bed.model->vision.layers; i++) {
        snprintf(name, sizeof(name), "vit.layer.%d.output", i);
        check(p, "vision.layer", i, name);
    }
    check(p, "vision.features", -1, "vit.features");
    check(p, "projector.inner", -1, "proj.hidden");
    check(p, "projector", -1, "proj.output");
}

static void check_layers(const parity *p, const char *prefix, int32_t first)
{
    char name[64];
    for (int32_t i = first; i < p->bed.model->decoder.layers; i++) {
        snprintf(name, sizeof(name), "%s.cache.%d.k", prefix, i);
        check_heads(p, "llm.k", i, name);
        snprintf(name, sizeof(name), "%s.cache.%d.v", prefix, i);
        check_heads(p, "llm.v", i, name);
        check_last_attention(p, i, prefix);
        snprintf(name, sizeof(name), "%s.layer.%d.output", prefix, i);
        check(p, "llm.layer", i, name);
    }
}

/* The last row only: that is all the engine computes. */
static void check_last_row(
    const parity *p,
    const char *name,
    int32_t layer,
    const char *fixture)
{
    const recorded *r = recorder_get(&p->seen, name, layer);
    const tkp_tensor wanted = fixture_get(&p->bed, "%s", fixture);
    const int64_t skip = (wanted.shape[0] - 1) * wanted.shape[1];
    ck_assert_int_eq(r->rows, 1);
    compare_rows(
        fixture, r->values, 1, (const float *)tkp__data(&wanted) + skip, 1,
        wanted.shape[1], p->tolerance, p->cosine);
}

/* Equal tokens, up to the first where a rounding may turn the choice. */
static void check_tokens(const parity *p, const char *prefix)
{
    const tkp_tensor wanted = fixture_get(&p->bed, "%sgreedy_ids", prefix);
    const tkp_tensor margins = fixture_get(&p->bed, "%sgreedy_margins", prefix);
    const tkp_tensor logits =
        fixture_get(&p->bed, "%s", prefix[0] ? "pruned.logits" : "lm.logits");
    const int32_t *ids;
    double top = 0.0;
    for (int64_t i = 0; i < tkp_tensor_count(&logits); i++)
        top = fmax(top, fabs((double)((float *)tkp__data(&logits))[i]));
    ck_assert_int_eq(tkp_mllm_result_tokens(p->result, 0, &ids), STEPS);
    for (int i = 0; i < STEPS; i++) {
        const int32_t id = ((const int32_t *)tkp__data(&wanted))[i];
        const float margin = ((const float *)tkp__data(&margins))[i];
        if (ids[i] != id && p->cosine && margin < 2 * p->tolerance * top)
            return;
        ck_assert_msg(
            ids[i] == id, "%stoken %d is %d, wanted %d (margin %g)", prefix, i,
            ids[i], id, (double)margin);
    }
    char text[256];
    testbed_text(text, sizeof(text), tkp__data(&wanted), STEPS);
    ck_assert_str_eq(tkp_mllm_result_text(p->result, 0), text);
}

static void check_kept(const parity *p)
{
    const tkp_tensor wanted = fixture_get(&p->bed, "pruned.kept_visual");
    const int32_t *cells;
    ck_assert_int_eq(
        tkp_mllm_result_kept_cells(p->result, 0, 0, &cells), wanted.shape[0]);
    ck_assert_mem_eq(
        cells, tkp__data(&wanted), (size_t)wanted.shape[0] * sizeof(*cells));
    const tkp_tensor at = fixture_get(&p->bed, "pruned.layer");
    const recorded *rows =
        recorder_get(&p->seen, "prune.rows", *(const int32_t *)tkp__data(&at));
    const tkp_tensor kept = fixture_get(&p->bed, "pruned.kept_rows");
    ck_assert_int_eq(rows->rows, kept.shape[0]);
    for (int64_t i = 0; i < rows->rows; i++)
        ck_assert_int_eq(
            (int)rows->values[i], ((const int32_t *)tkp__data(&kept))[i]);
}

static void run(parity *p, tkp_policy *policy)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&p->bed, images);
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    options.max_new_tokens = STEPS;
    options.policy = policy;
    options.on_trace = recorder_take;
    options.on_trace_user = &p->seen;
    recorder_clear(&p->seen);
    assert_ok(
        tkp_mllm_generate(&p->result, p->bed.model, &request, 1, &options));
}

static void check_plain(parity *p)
{
    run(p, NULL);
    check_picture(p);
    check_vision(p);
    check(p, "embeddings", -1, "lm.inputs_embeds");
    check(p, "llm.input_norm", 0, "lm.layer.0.input_norm");
    check_heads(p, "llm.q", 0, "lm.layer.0.q_rope");
    check_attention_output(p);
    check_layers(p, "lm", 0);
    check_last_row(p, "llm.norm", -1, "lm.norm");
    check_last_row(p, "logits", 0, "lm.logits");
    check_tokens(p, "");
    tkp_mllm_result_destroy(p->result);
}

static void check_report(const parity *p, int32_t boundary, int64_t keep)
{
    tkp_report report = TKP_REPORT_INIT;
    assert_ok(tkp_mllm_result_report(p->result, &report));
    const int64_t rows = fixture_get(&p->bed, "input_ids").shape[0];
    const int64_t visual = fixture_get(&p->bed, "proj.output").shape[0];
    ck_assert_int_eq(report.layers, p->bed.model->decoder.layers);
    ck_assert_int_eq(report.visual_before, visual);
    ck_assert_int_eq(report.visual_after, keep);
    for (int32_t i = 0; i < report.layers; i++)
        ck_assert_int_eq(
            report.layer_tokens[i], rows - (i < boundary ? 0 : visual - keep));
}

static void check_pruned(parity *p)
{
    const tkp_tensor at = fixture_get(&p->bed, "pruned.layer");
    const tkp_tensor kept = fixture_get(&p->bed, "pruned.kept_visual");
    const tkp_tensor scores = fixture_get(&p->bed, "pruned.scores");
    const int32_t layer = *(const int32_t *)tkp__data(&at);
    tkp_policy *policy = policy_fastv(layer, kept.shape[0], 0);
    run(p, policy);
    const recorded *r = recorder_get(&p->seen, "prune.scores", layer);
    compare_rows(
        "pruned.scores", r->values, 1, tkp__data(&scores), 1, scores.shape[0],
        p->tolerance, p->cosine);
    check_kept(p);
    check_layers(p, "pruned", layer);
    check_last_row(p, "llm.norm", -1, "pruned.norm");
    check_last_row(p, "logits", 0, "pruned.logits");
    check_tokens(p, "pruned.");
    check_report(p, layer, kept.shape[0]);
    tkp_mllm_result_destroy(p->result);
    tkp_policy_destroy(policy);
}

/* --- cases ----------------------------------------------------------------- */

static const struct {
    const char *golden;
    int32_t dtype;
} cases[] = {
    {"llava-f32", 0},  {"llava-kv2-sharded", 0},      {"llava-bf16", 0},
    {"llava-wide", 0}, {"llava-f32", TKP_DTYPE_BF16}, /* f32 weights, bf16 activations */
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void check_case(int i, const char *backend)
{
    static parity p;
    memset(&p, 0, sizeof(p));
    testbed_open(&p.bed, cases[i].golden, backend, cases[i].dtype);
    if (testbed_is_large(&p.bed)) {
        testbed_close(&p.bed);
        return;
    }
    p.cosine = p.bed.model->dtype == TKP_DTYPE_BF16;
    p.tolerance = p.cosine ? 4e-2 : 1e-5;
    check_plain(&p);
    check_pruned(&p);
    recorder_clear(&p.seen);
    testbed_close(&p.bed);
}

START_TEST(generate__golden_checkpoint_on_ref__as_transformers)
{
    check_case(_i, "ref");
}
END_TEST

START_TEST(generate__golden_checkpoint_on_cpu__as_transformers)
{
    if (testbed_has_backend("cpu"))
        check_case(_i, "cpu");
}
END_TEST

/* The bf16 weights in f32 arithmetic. */
START_TEST(generate__bf16_weights_f32_activations__as_exact)
{
    static parity p;
    memset(&p, 0, sizeof(p));
    testbed_open(&p.bed, "llava-bf16", _i ? "cpu,ref" : "ref", TKP_DTYPE_F32);
    p.tolerance = 1e-5;
    run(&p, NULL);
    check(&p, "vision.features", -1, "exact.vit.features");
    check(&p, "projector", -1, "exact.proj.output");
    check_last_row(&p, "logits", 0, "exact.lm.logits");
    tkp_mllm_result_destroy(p.result);
    recorder_clear(&p.seen);
    testbed_close(&p.bed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/engine_parity");
    TCase *tcase = tcase_create("parity");
    tcase_add_loop_test(
        tcase, generate__golden_checkpoint_on_ref__as_transformers, 0, CASES);
    tcase_add_loop_test(
        tcase, generate__golden_checkpoint_on_cpu__as_transformers, 0, CASES);
    tcase_add_loop_test(
        tcase, generate__bf16_weights_f32_activations__as_exact, 0, 2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
