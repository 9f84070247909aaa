/*
 * What each preset costs at its cut, through tkp_sequence as an engine calls
 * it: synthetic inputs in the shapes of LLaVA-1.5-7B, N visual tokens of which
 * K stay, 64 rows of text. Next and prune are timed, begin (planning) is not.
 *
 *     tkp_bench_select [SECONDS a case] [BACKEND] [THREADS] [POLICY]
 *
 * One thread: its processor time, so that others may use the machine. Several:
 * time on the clock, on a quiet machine. One line of CSV a case.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "tokenprune.h"

enum {
    HIDDEN = 4096,
    HEADS = 32,
    CHANNELS = 128,
    VISION = 1024,
    VISION_KEYS = 64,
    CLIP = 768,
    BEFORE = 35,
    AFTER = 29,
    SIDE = 24,
    MOST_RUNS = 1000
};

static void check(tkp_status status, const char *what)
{
    if (status == TKP_OK)
        return;
    fprintf(
        stderr, "%s: %s: %s\n", what, tkp_status_string(status),
        tkp_last_message());
    exit(1);
}

/* --- synthetic inputs ------------------------------------------------------ */

typedef struct inputs {
    tkp_tensor q, k, values, hidden, norm, cls, shallow, scores, vision, keys,
        clip, clip_text, clip_tokens, text, embeddings;
    tkp_inputs in;
} inputs;

static float random_value(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (float)(state >> 40) / (float)(1 << 24) - 0.5f;
}

static const tkp_tensor *
fill(tkp_tensor *t, int32_t dtype, const int64_t *shape)
{
    const int32_t ndim = shape[1] == 0 ? 1 : shape[2] == 0 ? 2 : 3;
    tkp_tensor_make(t, NULL, dtype, ndim, shape);
    const int64_t count = tkp_tensor_count(t);
    t->data = malloc((size_t)count * tkp_dtype_bytes(dtype));
    for (int64_t i = 0; t->data && i < count; i++) {
        const float value = random_value();
        uint32_t bits;
        memcpy(&bits, &value, sizeof(bits));
        if (dtype == TKP_DTYPE_F32)
            ((float *)t->data)[i] = ndim == 1 ? value + 0.5f : value;
        else
            ((uint16_t *)t->data)[i] = (uint16_t)(bits >> 16);
    }
    return t;
}

/* R rows of N visual tokens; later stages look at the first of them. */
static void make_inputs(inputs *all, int64_t n)
{
    const int64_t rows = n + BEFORE + AFTER;
    const int32_t half = TKP_DTYPE_BF16, full = TKP_DTYPE_F32;
    tkp_inputs *in = &all->in;
    tkp_inputs_init(in);
#define FILL(name, dtype, ...)                                                 \
    fill(&all->name, dtype, (const int64_t[4]){__VA_ARGS__})
    in->q = FILL(q, half, rows, HEADS, CHANNELS);
    in->k = FILL(k, half, rows, HEADS, CHANNELS);
    in->plain_q = in->q;
    in->plain_k = in->k;
    in->values = FILL(values, half, rows, HEADS, CHANNELS);
    in->hidden = FILL(hidden, half, rows, HIDDEN);
    in->embeddings = FILL(embeddings, half, rows, HIDDEN);
    in->norm_weight = FILL(norm, half, HIDDEN);
    in->cls_attention = FILL(cls, full, n);
    in->cls_shallow = FILL(shallow, full, n);
    in->scores = FILL(scores, full, n);
    in->vision = FILL(vision, half, n, VISION);
    in->vision_keys = FILL(keys, half, n, VISION_KEYS);
    in->vision_values = in->vision;
    in->clip = FILL(clip, half, n, CLIP);
    in->clip_text = FILL(clip_text, half, 1, CLIP);
    in->clip_tokens = FILL(clip_tokens, half, AFTER, CLIP);
    in->text = FILL(text, half, AFTER, HIDDEN);
#undef FILL
}

static void release_inputs(inputs *all)
{
    tkp_tensor *const each[] = {
        &all->q,           &all->k,    &all->values,    &all->hidden,
        &all->norm,        &all->cls,  &all->shallow,   &all->scores,
        &all->vision,      &all->keys, &all->clip,      &all->clip_text,
        &all->clip_tokens, &all->text, &all->embeddings};
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++)
        free(each[i]->data);
}

/* --- one case -------------------------------------------------------------- */

static tkp_layout *make_layout(int64_t n)
{
    tkp_layout *layout;
    tkp_sequence_desc sequence = TKP_SEQUENCE_DESC_INIT;
    sequence.length = n + BEFORE + AFTER;
    check(tkp_layout_create(&layout), "layout");
    check(tkp_layout_add_sequence(layout, &sequence, NULL), "layout");
    for (int64_t i = 0; i < n / (SIDE * SIDE); i++) {
        tkp_image_desc image = TKP_IMAGE_DESC_INIT;
        image.start = BEFORE + i * SIDE * SIDE;
        image.rows = image.cols = SIDE;
        check(tkp_layout_add_image(layout, &image, NULL), "layout");
    }
    return layout;
}

/* The preset with K tokens kept; one of several cuts keeps its own budgets. */
static tkp_policy *make_policy(const char *name, int64_t n, int64_t keep)
{
    tkp_policy *preset, *policy;
    check(tkp_policy_load_preset(&preset, name), name);
    if (tkp_policy_stage_count(preset) != 1)
        return preset;
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    check(tkp_policy_get_stage(preset, 0, &stage), name);
    tkp_selector_options selector = *stage.selector;
    tkp_budget budget = TKP_BUDGET_INIT;
    budget.kind = TKP_BUDGET_COUNT;
    budget.scope = stage.budget->scope;
    budget.count =
        budget.scope == TKP_SCOPE_IMAGE ? keep * SIDE * SIDE / n : keep;
    selector.quota = 0;
    stage.selector = &selector;
    const bool drops_all =
        stage.budget->kind == TKP_BUDGET_COUNT && stage.budget->count == 0;
    if (selector.kind != TKP_SELECTOR_ALL && !drops_all)
        stage.budget = &budget;
    check(tkp_policy_create(&policy, name), name);
    const tkp_status status = tkp_policy_add_stage(policy, &stage);
    if (status != TKP_OK) {
        tkp_policy_destroy(policy);
        return preset;
    }
    tkp_policy_destroy(preset);
    return policy;
}

static const tkp_model_desc *model_shapes(void)
{
    static tkp_model_desc m = TKP_MODEL_DESC_INIT;
    m.dtype = TKP_DTYPE_BF16;
    m.layers = 32;
    m.heads = m.kv_heads = HEADS;
    m.head_dim = CHANNELS;
    m.rope_theta = 1e4;
    m.hidden = HIDDEN;
    m.intermediate = 11008;
    m.vision_hidden = VISION;
    m.vision_key_dim = VISION_KEYS;
    m.vision_value_dim = VISION;
    m.clip_dim = CLIP;
    m.text_rows = AFTER;
    m.clip_text_rows = 1;
    m.clip_token_rows = AFTER;
    return &m;
}

/* The stages of one batch, one after the other; seconds, or a failure. */
static tkp_status run_once(
    tkp_sequence *sequence,
    tkp_exec *exec,
    inputs *all,
    int64_t n,
    double *seconds)
{
    *seconds = 0.0;
    for (;;) {
        tkp_point point = TKP_POINT_INIT;
        tkp_decision decision = TKP_DECISION_INIT;
        const double start = bench_now();
        tkp_status status = tkp_sequence_next(sequence, &point);
        if (status != TKP_OK || point.kind == 0)
            return status;
        const bool inside = point.kind == TKP_POINT_VISION ||
                            point.kind == TKP_POINT_VISION_MLP;
        if (inside) {
            all->vision.shape[0] = all->keys.shape[0] = point.rows_in;
        } else {
            all->q.shape[0] = all->k.shape[0] = point.rows_in;
            all->values.shape[0] = all->hidden.shape[0] = point.rows_in;
            all->vision.shape[0] = all->keys.shape[0] = n;
        }
        status = tkp_sequence_prune(sequence, exec, &all->in, &decision);
        if (status != TKP_OK)
            return status;
        *seconds += bench_now() - start;
    }
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static tkp_status measure(
    tkp_context *context,
    tkp_policy *policy,
    int64_t n,
    double budget,
    double *seconds,
    int *runs)
{
    inputs all = {0};
    tkp_exec *exec;
    tkp_sequence *sequence;
    tkp_requirements needs = TKP_REQUIREMENTS_INIT;
    tkp_layout *layout = make_layout(n);
    make_inputs(&all, n);
    check(tkp_exec_create(&exec, context, NULL), "exec");
    check(tkp_sequence_create(&sequence, context), "sequence");
    void *workspace = NULL;
    tkp_status status =
        tkp_sequence_begin(sequence, exec, policy, layout, model_shapes());
    if (status == TKP_OK)
        status = tkp_sequence_query(sequence, &needs);
    if (status == TKP_OK) {
        workspace = aligned_alloc(
            4096, (size_t)(needs.workspace_bytes / 4096 + 1) * 4096);
        status = tkp_exec_set_workspace(exec, workspace, needs.workspace_bytes);
    }
    double total = 0.0;
    for (*runs = -1; status == TKP_OK && *runs < MOST_RUNS && total < budget;) {
        double once;
        status =
            tkp_sequence_begin(sequence, exec, policy, layout, model_shapes());
        if (status == TKP_OK)
            status = run_once(sequence, exec, &all, n, &once);
        if (status == TKP_OK && ++*runs > 0) { /* the first run is warm-up */
            seconds[*runs - 1] = once;
            total += once + 1e-5;
        }
    }
    tkp_sequence_destroy(sequence);
    tkp_exec_destroy(exec);
    tkp_layout_destroy(layout);
    release_inputs(&all);
    free(workspace);
    return status;
}

static void
run_case(tkp_context *context, const char *name, int64_t n, int64_t k, double s)
{
    static double seconds[MOST_RUNS];
    int runs = 0;
    tkp_policy *policy = make_policy(name, n, k);
    const tkp_status status = measure(context, policy, n, s, seconds, &runs);
    tkp_policy_destroy(policy);
    if (status != TKP_OK) {
        printf(
            "%s,%lld,%lld,%s,,,0\n", name, (long long)n, (long long)k,
            tkp_status_string(status));
        fprintf(stderr, "%s: %s\n", name, tkp_last_message());
        return;
    }
    qsort(seconds, (size_t)runs, sizeof(*seconds), by_size);
    printf(
        "%s,%lld,%lld,ok,%.3f,%.3f,%d\n", name, (long long)n, (long long)k,
        1e3 * seconds[0], 1e3 * seconds[runs / 2], runs);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const int64_t shapes[][2] = {{576, 64}, {2880, 320}};
    const double seconds = argc > 1 ? atof(argv[1]) : 0.2;
    tkp_context *context;
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    const char *only = argc > 4 ? argv[4] : NULL;
    options.threads = argc > 3 ? atoi(argv[3]) : 1;
    options.backends = argc > 2 && argv[2][0] ? argv[2] : NULL;
    check(tkp_context_create(&context, &options), "context");
    if (options.threads == 1)
        bench_use_cpu_clock();
    printf("policy,tokens,kept,status,min_ms,median_ms,runs\n");
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (int32_t p = 0; p < tkp_policy_preset_count(); p++) {
            const char *name = tkp_policy_preset_name(p);
            if (!only || strcmp(only, name) == 0)
                run_case(context, name, shapes[i][0], shapes[i][1], seconds);
        }
    tkp_context_destroy(context);
    return 0;
}
