/* Loading the model and asking it, once or several times. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"

enum { MOST_RUNS = 100, RUNS_BY_ITSELF = 5 };
static const double seconds_by_itself = 3.0;

static int32_t
put_text(void *user, int32_t request, const char *text, size_t bytes)
{
    (void)request;
    const bool *aloud = user;
    if (*aloud) {
        fwrite(text, 1, bytes, stdout);
        fflush(stdout);
    }
    return 0;
}

/* --- one run ---------------------------------------------------------------- */

static tkp_mllm_request
request_of(const tkp__run_options *o, tkp_mllm_video *video)
{
    tkp_mllm_request request = TKP_MLLM_REQUEST_INIT;
    request.prompt = o->prompt;
    request.system = o->system;
    if (o->video) {
        *video = (tkp_mllm_video)TKP_MLLM_VIDEO_INIT;
        video->frames = o->images;
        video->n_frames = o->n_images;
        video->fps = o->fps;
        request.videos = video;
        request.n_videos = 1;
    } else {
        request.images = o->images;
        request.n_images = o->n_images;
    }
    request.format = o->raw ? TKP_MLLM_FORMAT_RAW : TKP_MLLM_FORMAT_MODEL;
    return request;
}

static tkp_status generate(
    const tkp__run *run,
    tkp_policy *policy,
    bool aloud,
    bool prefill_only,
    tkp_mllm_result **out)
{
    const tkp__run_options *o = &run->options;
    tkp_mllm_video video;
    const tkp_mllm_request request = request_of(o, &video);
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    options.max_new_tokens = prefill_only ? -1 : (int32_t)o->max_new_tokens;
    options.policy = policy;
    options.do_sample = o->sample;
    options.top_k = (int32_t)o->top_k;
    options.temperature = o->temperature;
    options.top_p = o->top_p;
    options.seed = o->seed;
    options.on_text = put_text;
    options.on_text_user = &aloud;
    if (o->scores)
        options.scores = &run->scores;
    options.should_stop = tkp__cli_interrupted;
    options.keep_stopped = 1;
    return tkp_mllm_generate(out, run->model, &request, 1, &options);
}

/* A run that is only timed. */
static tkp_status generate_quietly(
    const tkp__run *run,
    tkp_policy *policy,
    bool prefill_only,
    tkp_mllm_times *times)
{
    tkp_mllm_result *result = NULL;
    TKP__TRY(generate(run, policy, false, prefill_only, &result));
    tkp_status status = tkp_mllm_result_times(result, times);
    if (tkp_mllm_result_stopped(result))
        status = TKP_ERR_CANCELLED;
    tkp_mllm_result_destroy(result);
    return status;
}

/* --- several runs ----------------------------------------------------------- */

typedef struct samples {
    double values[5][MOST_RUNS]; /* as in tkp_mllm_times */
    int32_t count;
} samples;

static void note(samples *s, const tkp_mllm_times *t)
{
    const double values[5] = {
        t->load_images, t->vision, t->prefill, t->pruning, t->decode};
    for (int32_t i = 0; i < 5; i++)
        s->values[i][s->count] = values[i];
    s->count++;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int32_t count)
{
    qsort(values, (size_t)count, sizeof(*values), ascending);
    return 0.5 * (values[(count - 1) / 2] + values[count / 2]);
}

static void take_medians(tkp__run_answer *answer, samples *s)
{
    tkp_mllm_times *t = &answer->times;
    t->load_images = median(s->values[0], s->count);
    t->vision = median(s->values[1], s->count);
    t->prefill = median(s->values[2], s->count);
    t->pruning = median(s->values[3], s->count);
    t->decode = median(s->values[4], s->count);
    answer->runs = s->count;
}

static tkp_status
first_run(const tkp__run *run, tkp_policy *policy, tkp__run_answer *answer)
{
    const bool aloud = !run->options.json && answer == &run->answer;
    TKP__TRY(generate(run, policy, aloud, false, &answer->result));
    tkp_mllm_times_init(&answer->times);
    TKP__TRY(tkp_mllm_result_times(answer->result, &answer->times));
    tkp_report_init(&answer->report);
    const tkp_status status =
        tkp_mllm_result_report(answer->result, &answer->report);
    answer->complete = status == TKP_OK;
    return tkp_mllm_result_stopped(answer->result) ? TKP_ERR_CANCELLED : status;
}

static tkp_status again(const tkp__run *run, tkp_policy *policy, samples *s)
{
    tkp_mllm_times times = TKP_MLLM_TIMES_INIT;
    TKP__TRY(generate_quietly(run, policy, false, &times));
    note(s, &times);
    return TKP_OK;
}

/* Weights are mapped, not read: the first pass over them is slow, and must
 * not be held against the one that happens to run first. */
static tkp_status warm_up(const tkp__run *run)
{
    tkp_mllm_times times = TKP_MLLM_TIMES_INIT;
    return generate_quietly(run, NULL, true, &times);
}

/* One pair of runs says little where a run takes milliseconds. */
static bool enough(const tkp__run *run, int32_t done, double since)
{
    if (run->options.repeat)
        return done >= run->options.repeat;
    return !run->options.compare || done >= RUNS_BY_ITSELF ||
           tkp__cli_now() - since > seconds_by_itself;
}

static tkp_status measure(tkp__run *run, samples *pruned, samples *whole)
{
    const double since = tkp__cli_now();
    const bool compare = run->options.compare;
    if (compare || run->options.repeat > 1)
        TKP__TRY(warm_up(run));
    TKP__TRY(first_run(run, run->policy, &run->answer));
    note(pruned, &run->answer.times);
    if (compare) {
        TKP__TRY(first_run(run, NULL, &run->whole));
        note(whole, &run->whole.times);
    }
    while (!enough(run, pruned->count, since)) {
        TKP__TRY(again(run, run->policy, pruned));
        if (compare)
            TKP__TRY(again(run, NULL, whole));
    }
    return TKP_OK;
}

tkp_status tkp__run_ask(tkp__run *run)
{
    samples *s = tkp__zalloc(2, sizeof(*s));
    if (!s)
        return TKP_ERR_MEMORY;
    tkp__cli_listen_for_interrupt();
    const tkp_status status = measure(run, &s[0], &s[1]);
    if (s[0].count > 0)
        take_medians(&run->answer, &s[0]);
    if (s[1].count > 0)
        take_medians(&run->whole, &s[1]);
    tkp__free(s);
    return status;
}

/* --- the model --------------------------------------------------------------- */

static tkp_status open_scores(tkp__run *run)
{
    const char *path = run->options.scores;
    TKP__TRY(tkp__safetensors_open(&run->scores_file, path));
    TKP__CHECK(
        tkp__safetensors_find(run->scores_file, "scores", &run->scores),
        TKP_ERR_FORMAT, "%s: has no tensor 'scores'", path);
    return TKP_OK;
}

/* The policy at the same depth of this model. */
static tkp_status fit(tkp__run *run)
{
    enum { BLOCKS_OF_CLIP = 23 }; /* that LLaVA runs */
    const tkp_depth depth = {
        .from_layers = (int32_t)run->options.fit,
        .layers = run->info.layers,
        .from_blocks = BLOCKS_OF_CLIP,
        .blocks = run->info.vision_layers,
    };
    tkp_policy *policy;
    TKP__TRY(tkp_policy_with_depth(&policy, run->policy, &depth));
    tkp_policy_destroy(run->policy);
    run->policy = policy;
    return TKP_OK;
}

tkp_status tkp__run_open(tkp__run *run)
{
    const tkp__run_options *o = &run->options;
    if (o->scores)
        TKP__TRY(open_scores(run));
    if (o->policy.name)
        TKP__TRY(tkp__cli_policy_make(&run->policy, &o->policy));
    if (o->model)
        snprintf(run->model_dir, sizeof(run->model_dir), "%s", o->model);
    else
        TKP__TRY(tkp__cli_demo_model(run->model_dir, sizeof(run->model_dir)));
    TKP__TRY(tkp__cli_context(&run->context, o->backend, (int32_t)o->threads));
    tkp_mllm_options options = TKP_MLLM_OPTIONS_INIT;
    options.dtype = o->dtype;
    options.tiling = o->tiling;
    const double start = tkp__cli_now();
    TKP__TRY(
        tkp_mllm_load(&run->model, run->context, run->model_dir, &options));
    run->load_seconds = tkp__cli_now() - start;
    tkp_mllm_info_init(&run->info);
    TKP__TRY(tkp_mllm_get_info(run->model, &run->info));
    return o->fit && run->policy ? fit(run) : TKP_OK;
}

void tkp__run_close(tkp__run *run)
{
    tkp_mllm_result_destroy(run->answer.result);
    tkp_mllm_result_destroy(run->whole.result);
    tkp_mllm_destroy(run->model);
    tkp_policy_destroy(run->policy);
    tkp_context_destroy(run->context);
    tkp__safetensors_close(run->scores_file);
    free(run->options.images);
}

int32_t tkp__run_blocks(const tkp__run *run, int64_t *patches, int32_t capacity)
{
    int32_t n = 0;
    for (; n < capacity; n++) {
        patches[n] = tkp_mllm_result_encoder_patches(run->answer.result, n);
        if (patches[n] < 0)
            break;
    }
    return n;
}

double tkp__run_per_token(const tkp__run_answer *answer)
{
    return answer->times.decode_steps > 0
               ? answer->times.decode / answer->times.decode_steps
               : 0.0;
}

double tkp__run_total(const tkp__run_answer *answer)
{
    const tkp_mllm_times *t = &answer->times;
    return t->load_images + t->vision + t->prefill + t->decode;
}

bool tkp__run_same_answer(const tkp__run *run)
{
    const int32_t *a;
    const int32_t *b;
    const int64_t n = tkp_mllm_result_tokens(run->answer.result, 0, &a);
    return n == tkp_mllm_result_tokens(run->whole.result, 0, &b) &&
           (n <= 0 || memcmp(a, b, (size_t)n * sizeof(*a)) == 0);
}
