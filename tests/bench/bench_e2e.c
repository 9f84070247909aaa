/*
 * Prefill of a whole model with and without pruning: what a policy promises by
 * the work it leaves, and what the clock says.
 *
 *     tkp_bench_e2e DIR [--threads N] [--backend NAMES] [--rounds N]
 *                   [--text N] [--new N] [--policy PRESET|FILE]...
 *
 * One random picture and a prompt of --text tokens (64). Policies none, fastv
 * 144 and fastv 64 (a cut before layer 2) and the ones named run by turns, so
 * that a slow minute hits all of them; medians are compared. CSV on standard
 * output, remarks as lines beginning with #.
 *
 *   predicted   multiply-accumulates of none / those of the policy, of what
 *               runs: causal attention, head of the last row
 *   realised    median seconds of none / those of the policy
 *   peak_share  GFLOP/s of the prefill over those of one linear op
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "mllm/model.h"

enum { MOST_POLICIES = 16, MOST_ROUNDS = 99 };

typedef struct series {
    const char *name;
    tkp_policy *policy;
    double prefill[MOST_ROUNDS], vision[MOST_ROUNDS];
    double pruning[MOST_ROUNDS], decode[MOST_ROUNDS];
    tkp_report report;
    double macs;    /* of what runs */
    int64_t tokens; /* of the prompt */
} series;

typedef struct bench {
    const char *directory, *backend;
    int32_t threads, rounds, text, new_tokens, count;
    series series[MOST_POLICIES];
    tkp_context *context;
    tkp_mllm *model;
    char picture[64];
    char *prompt;
} bench;

static void stop(const char *what)
{
    fprintf(stderr, "tkp_bench_e2e: %s: %s\n", what, tkp_last_message());
    exit(EXIT_FAILURE);
}

#define MUST(call)                                                             \
    do {                                                                       \
        if ((call) != TKP_OK)                                                  \
            stop(#call);                                                       \
    } while (0)

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- what is measured ------------------------------------------------------- */

static tkp_policy *fastv(int64_t keep)
{
    tkp_policy *policy;
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    tkp_scorer_options scorer = TKP_SCORER_OPTIONS_INIT;
    tkp_selector_options selector = TKP_SELECTOR_OPTIONS_INIT;
    tkp_budget budget = TKP_BUDGET_INIT;
    scorer.kind = TKP_SCORER_ATTENTION;
    selector.kind = TKP_SELECTOR_TOPK;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = keep;
    stage.point = TKP_POINT_LLM;
    stage.boundary = 2;
    stage.scorer = &scorer;
    stage.selector = &selector;
    stage.budget = &budget;
    MUST(tkp_policy_create(&policy, "fastv"));
    MUST(tkp_policy_add_stage(policy, &stage));
    return policy;
}

static void add_series(bench *b, const char *name, tkp_policy *policy)
{
    if (b->count == MOST_POLICIES) {
        fprintf(stderr, "tkp_bench_e2e: more than %d policies\n", b->count);
        exit(EXIT_FAILURE);
    }
    b->series[b->count].name = name;
    b->series[b->count++].policy = policy;
}

static tkp_policy *named_policy(const char *name)
{
    tkp_policy *policy;
    if (strchr(name, '.') || strchr(name, '/'))
        MUST(tkp_policy_load_file(&policy, name));
    else
        MUST(tkp_policy_load_preset(&policy, name));
    return policy;
}

static void usage(void)
{
    fprintf(
        stderr, "usage: tkp_bench_e2e DIR [--threads N] [--backend NAMES]\n"
                "         [--rounds N] [--text N] [--new N]"
                " [--policy PRESET|FILE]...\n");
    exit(EXIT_FAILURE);
}

static void read_arguments(bench *b, int argc, char **argv)
{
    add_series(b, "none", NULL);
    add_series(b, "fastv144", fastv(144));
    add_series(b, "fastv64", fastv(64));
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            b->directory = argv[i];
            continue;
        }
        if (i + 1 == argc)
            usage();
        const char *option = argv[i], *value = argv[++i];
        if (!strcmp(option, "--threads"))
            b->threads = atoi(value);
        else if (!strcmp(option, "--backend"))
            b->backend = value;
        else if (!strcmp(option, "--rounds"))
            b->rounds = atoi(value);
        else if (!strcmp(option, "--text"))
            b->text = atoi(value);
        else if (!strcmp(option, "--new"))
            b->new_tokens = atoi(value);
        else if (!strcmp(option, "--policy"))
            add_series(b, value, named_policy(value));
        else
            usage();
    }
    if (!b->directory || b->rounds < 1 || b->rounds > MOST_ROUNDS ||
        b->text < 2 || b->new_tokens < 0)
        usage();
}

/* A picture of noise in a file. */
static void make_picture(bench *b)
{
    enum { SIDE = 336 };
    snprintf(
        b->picture, sizeof(b->picture), "/tmp/tkp-bench-%ld.png",
        (long)getpid());
    tkp__image image = {.height = SIDE, .width = SIDE};
    image.rgb = tkp__alloc(3 * SIDE, SIDE);
    uint32_t state = 12345;
    for (int i = 0; i < 3 * SIDE * SIDE; i++) {
        state = state * 1664525u + 1013904223u;
        image.rgb[i] = (uint8_t)(state >> 24);
    }
    MUST(tkp__image_save_png(&image, b->picture));
    tkp__image_release(&image);
}

static int64_t count_text(const bench *b)
{
    int32_t *ids;
    int64_t count;
    MUST(tkp__tokenizer_encode(
        b->model->tokenizer, b->prompt, strlen(b->prompt), TKP__ENCODE_SPECIAL,
        &ids, &count));
    tkp__free(ids);
    return count - 1; /* the placeholder is no text */
}

/* A word more until there are as many tokens as were asked for, or more. */
static void make_prompt(bench *b)
{
    const size_t room = (size_t)b->text * 8 + 64;
    b->prompt = tkp__zalloc(room, 1);
    snprintf(b->prompt, room, "%s", b->model->image_token);
    while (count_text(b) < b->text)
        strncat(b->prompt, " a", room - strlen(b->prompt) - 1);
}

static void load(bench *b)
{
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    options.threads = b->threads;
    options.backends = b->backend;
    MUST(tkp_context_create(&b->context, &options));
    const double start = now();
    MUST(tkp_mllm_load(&b->model, b->context, b->directory, NULL));
    printf("# load: %.2f s\n", now() - start);
    for (int32_t i = 0; i < tkp_context_backend_count(b->context); i++)
        printf(
            "# backend %s: %s\n", tkp_context_backend_name(b->context, i),
            tkp_context_backend_info(b->context, i));
    tkp_mllm_info info = TKP_MLLM_INFO_INIT;
    MUST(tkp_mllm_get_info(b->model, &info));
    printf(
        "# model: %s, %d layers, hidden %lld, %s activations, %.2f GB of %s "
        "weights; %d threads\n",
        info.kind, info.layers, (long long)info.hidden,
        tkp_dtype_string(info.dtype), (double)info.weight_bytes / 1e9,
        tkp_dtype_string(info.weight_dtype), b->threads);
}

/* --- runs ------------------------------------------------------------------- */

static void run(bench *b, series *s, int32_t round)
{
    const char *images[1] = {b->picture};
    tkp_mllm_request request = TKP_MLLM_REQUEST_INIT;
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    tkp_mllm_times times = TKP_MLLM_TIMES_INIT;
    tkp_mllm_result *result;
    request.prompt = b->prompt;
    request.format = TKP_MLLM_FORMAT_RAW;
    request.images = images;
    request.n_images = 1;
    options.policy = s->policy;
    options.max_new_tokens = b->new_tokens ? b->new_tokens : -1;
    options.ignore_eos = 1;
    MUST(tkp_mllm_generate(&result, b->model, &request, 1, &options));
    MUST(tkp_mllm_result_times(result, &times));
    s->report = (tkp_report)TKP_REPORT_INIT;
    MUST(tkp_mllm_result_report(result, &s->report));
    const tkp__decoder *d = &b->model->decoder;
    const double width = (double)d->heads * (double)d->head_dim;
    const double kv = (double)d->kv_heads * (double)d->head_dim;
    s->macs = (double)d->hidden * (double)d->vocab;
    s->tokens = s->report.layer_tokens[0];
    for (int32_t i = 0; i < s->report.layers; i++) {
        const double x = (double)s->report.layer_tokens[i];
        s->macs += x * (double)d->hidden *
                       (2 * width + 2 * kv + 3 * (double)d->intermediate) +
                   x * (x + 1) * width;
    }
    if (round >= 0) {
        s->prefill[round] = times.prefill;
        s->vision[round] = times.vision;
        s->pruning[round] = times.pruning;
        s->decode[round] =
            times.decode_steps ? times.decode / times.decode_steps : 0.0;
    }
    tkp_mllm_result_destroy(result);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(const double *values, int32_t count)
{
    double sorted[MOST_ROUNDS];
    memcpy(sorted, values, (size_t)count * sizeof(*sorted));
    qsort(sorted, (size_t)count, sizeof(*sorted), by_value);
    return count % 2 ? sorted[count / 2]
                     : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static double least(const double *values, int32_t count)
{
    double best = values[0];
    for (int32_t i = 1; i < count; i++)
        best = values[i] < best ? values[i] : best;
    return best;
}

/* Operations a second of one linear op, 640 x 4096 x 11008, weights where
 * they lie, as the forward does it. */
static double linear_rate(const bench *b)
{
    enum { M = 640, K = 4096, N = 11008, RUNS = 7 };
    const int32_t dtype = b->model->dtype;
    const int64_t bytes = (int64_t)tkp_dtype_bytes(dtype);
    tkp_tensor args[5] = {0};
    tkp_op_desc desc = TKP_OP_DESC_INIT;
    const tkp_op_linear params = {.struct_size = sizeof(params)};
    tkp_requirements needs = TKP_REQUIREMENTS_INIT;
    tkp_op *op;
    tkp_exec *exec;
    tkp_tensor_make_2d(&args[0], NULL, dtype, M, K);
    tkp_tensor_make_2d(&args[1], NULL, dtype, N, K);
    tkp_tensor_make_2d(&args[4], NULL, dtype, M, N);
    desc.kind = TKP_OP_LINEAR;
    desc.args = args;
    desc.n_args = 5;
    desc.params = &params;
    MUST(tkp_op_create(&op, b->context, &desc));
    MUST(tkp_op_query(op, &needs));
    MUST(tkp_exec_create(&exec, b->context, NULL));
    void *workspace = tkp__alloc(1, needs.workspace_bytes);
    MUST(tkp_exec_set_workspace(exec, workspace, needs.workspace_bytes));
    args[0].data = tkp__zalloc(M, (size_t)(K * bytes));
    args[1].data = tkp__zalloc(N, (size_t)(K * bytes));
    args[4].data = tkp__zalloc(M, (size_t)(N * bytes));
    double best = 1e30;
    for (int i = 0; i < RUNS; i++) {
        const double start = now();
        MUST(tkp_op_run(op, exec, args, 5));
        const double took = now() - start;
        best = took < best ? took : best;
    }
    printf("# linear 640x4096x11008: %s:%s\n", needs.backend, needs.kernel);
    for (int i = 0; i < 5; i++)
        tkp__free(args[i].data);
    tkp__free(workspace);
    tkp_exec_destroy(exec);
    tkp_op_destroy(op);
    return 2.0 * M * K * N / best;
}

static void print_series(const bench *b, const series *s, double peak)
{
    const series *none = &b->series[0];
    const double seconds = median(s->prefill, b->rounds);
    const double predicted = none->macs / s->macs;
    const double realised = median(none->prefill, b->rounds) / seconds;
    const double rate = 2.0 * s->macs / seconds;
    printf(
        "%s,%lld,%lld,%.4f,%.4f,%.3f,%.4f,%.4g,%.4f,%.3f,%.3f,%.3f,%.1f,%.3f,"
        "%.1f,%.1f\n",
        s->name, (long long)s->tokens, (long long)s->report.visual_after,
        seconds, least(s->prefill, b->rounds),
        1e3 * median(s->pruning, b->rounds), median(s->vision, b->rounds),
        s->macs, s->report.macs_unpruned / s->report.macs, predicted, realised,
        realised / predicted, rate / 1e9, rate / peak,
        1e3 * median(s->decode, b->rounds), (double)s->report.kv_bytes / 1e6);
}

static void print_all(const bench *b)
{
    const double peak = linear_rate(b);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("# linear rate: %.1f GFLOP/s\n", peak / 1e9);
    printf(
        "# most memory resident, mapped weights included: %.2f GB\n",
        (double)usage.ru_maxrss / 1e6);
    printf("policy,tokens,kept,prefill_s,prefill_min_s,pruning_ms,vision_s,"
           "macs,report_ratio,predicted,realised,realised_by_predicted,"
           "gflops,peak_share,decode_ms,kv_mb\n");
    for (int32_t i = 0; i < b->count; i++)
        print_series(b, &b->series[i], peak);
}

int main(int argc, char **argv)
{
    static bench b = {.threads = 2, .rounds = 5, .text = 64};
    read_arguments(&b, argc, argv);
    load(&b);
    make_picture(&b);
    make_prompt(&b);
    for (int32_t round = -1; round < b.rounds; round++) /* -1: to warm up */
        for (int32_t i = 0; i < b.count; i++)
            run(&b, &b.series[i], round);
    print_all(&b);
    unlink(b.picture);
    for (int32_t i = 0; i < b.count; i++)
        tkp_policy_destroy(b.series[i].policy);
    tkp__free(b.prompt);
    tkp_mllm_destroy(b.model);
    tkp_context_destroy(b.context);
    return EXIT_SUCCESS;
}
