/* Answering a batch: prepare, prefill, decode until every answer has ended. */

#include <math.h>

#include "mllm/decoder/sampler.h"
#include "mllm/result.h"
#include "tokenprune/sys/base.h"

#define NEW_TOKENS 64

/* One call of generate. */
typedef struct call {
    const tkp_mllm *model;
    tkp_mllm_generate_options options;
    tkp_mllm_result *result;
    tkp__prompt *prompt; /* [count] */
    int32_t count;
    int32_t left;         /* answers that have not ended */
    tkp__forward forward; /* who listens */
    tkp__engine engine;
    tkp__sampler sampler;
    tkp__text_stream **stream; /* [count] */
    int32_t *ids;              /* [count] newest token */
    int32_t *active;           /* [count] 1 while the answer goes on */
    int64_t *budget;           /* [count] most new tokens */
} call;

/* --- options --------------------------------------------------------------- */

static tkp_status check_options(const tkp_mllm_generate_options *o)
{
    TKP__CHECK(
        o->max_new_tokens >= -1, TKP_ERR_OPTION,
        "generate options: max_new_tokens is %d, wanted -1 or more",
        o->max_new_tokens);
    TKP__CHECK(
        o->top_k >= 0, TKP_ERR_OPTION,
        "generate options: top_k is %d, wanted 0 or more", o->top_k);
    TKP__CHECK(
        isfinite(o->temperature) && o->temperature >= 0.0, TKP_ERR_OPTION,
        "generate options: temperature is %g, wanted above 0 (0 = 1)",
        o->temperature);
    TKP__CHECK(
        o->top_p >= 0.0 && o->top_p <= 1.0, TKP_ERR_OPTION,
        "generate options: top_p is %g, wanted 0 to 1", o->top_p);
    TKP__CHECK(
        isfinite(o->repetition_penalty) && o->repetition_penalty >= 0.0,
        TKP_ERR_OPTION,
        "generate options: repetition_penalty is %g, wanted above 0 "
        "(0 = as generation_config.json)",
        o->repetition_penalty);
    TKP__CHECK(
        o->keep_stopped == 0 || o->keep_stopped == 1, TKP_ERR_OPTION,
        "generate options: keep_stopped is %d, wanted 0 or 1", o->keep_stopped);
    return TKP_OK;
}

/* Zeros mean the usual. */
static tkp_status read_options(call *c, const tkp_mllm_generate_options *given)
{
    tkp_mllm_generate_options *o = &c->options;
    *o = (tkp_mllm_generate_options)TKP_MLLM_GENERATE_OPTIONS_INIT;
    if (given)
        TKP__TRY(tkp__util_copy_options(
            o, sizeof(*o), given, given->struct_size,
            TKP__SIZE_THROUGH(tkp_mllm_generate_options, on_trace_user),
            "generate options"));
    TKP__TRY(check_options(o));
    if (o->max_new_tokens == 0)
        o->max_new_tokens = NEW_TOKENS;
    if (o->max_new_tokens < 0)
        o->max_new_tokens = 0;
    if (o->temperature == 0.0)
        o->temperature = 1.0;
    if (o->top_p == 0.0)
        o->top_p = 1.0;
    if (o->repetition_penalty == 0.0)
        o->repetition_penalty = c->model->config.generation.repetition_penalty;
    return TKP_OK;
}

/* --- before the forward ---------------------------------------------------- */

static tkp_status alloc_call(call *c)
{
    const size_t n = (size_t)c->count;
    c->prompt = tkp__zalloc(n, sizeof(*c->prompt));
    c->stream = tkp__zalloc(n, sizeof(tkp__text_stream *));
    c->ids = tkp__zalloc(n, sizeof(*c->ids));
    c->active = tkp__zalloc(n, sizeof(*c->active));
    c->budget = tkp__zalloc(n, sizeof(*c->budget));
    if (!c->prompt || !c->stream || !c->ids || !c->active || !c->budget)
        return TKP_ERR_MEMORY;
    return tkp__result_create(&c->result, c->count);
}

/* Requests of an older or newer caller are as far apart as the first says. */
static tkp_status
read_request(tkp_mllm_request *out, const tkp_mllm_request *requests, int32_t i)
{
    const size_t stride = requests->struct_size;
    const tkp_mllm_request *at =
        (const void *)((const char *)requests + (size_t)i * stride);
    TKP__CHECK(
        at->struct_size == stride, TKP_ERR_OPTION,
        "request %d: struct_size is %u, request 0 has %zu", i, at->struct_size,
        stride);
    return tkp__util_copy_options(
        out, sizeof(*out), at, at->struct_size,
        TKP__SIZE_THROUGH(tkp_mllm_request, format), "request");
}

static tkp_status prepare(call *c, const tkp_mllm_request *requests)
{
    const bool prunes =
        c->options.policy && tkp_policy_stage_count(c->options.policy) > 0;
    const double start = tkp__engine_now();
    for (int32_t i = 0; i < c->count; i++) {
        tkp_mllm_request r;
        TKP__TRY(tkp__go_on(&c->forward));
        TKP__TRY(read_request(&r, requests, i));
        TKP__TRY(tkp__prompt_create(&c->prompt[i], c->model, &r, i));
        TKP__CHECK(
            !prunes || c->prompt[i].pictures > 0, TKP_ERR_ARGUMENT,
            "request %d: prompt has no image, but policy '%s' prunes images", i,
            tkp_policy_name(c->options.policy));
    }
    c->result->times.load_images = tkp__engine_now() - start;
    return TKP_OK;
}

/* A token's position is below what the model was made for; the last token is
 * never fed back, so it may lie behind the end. */
static void set_budgets(call *c)
{
    for (int32_t i = 0; i < c->count; i++) {
        const int64_t room =
            c->model->decoder.max_positions - c->prompt[i].count + 1;
        c->budget[i] =
            c->options.max_new_tokens < room ? c->options.max_new_tokens : room;
        c->active[i] = c->budget[i] > 0;
        c->left += c->active[i];
    }
}

static tkp_status start_answers(call *c)
{
    const tkp__sampler_options sampling = {
        .sample = c->options.do_sample != 0,
        .top_k = c->options.top_k,
        .temperature = c->options.temperature,
        .top_p = c->options.top_p,
        .repetition_penalty = c->options.repetition_penalty,
        .seed = c->options.seed,
    };
    TKP__TRY(tkp__sampler_create(
        &c->sampler, &sampling, c->count, c->model->decoder.vocab));
    for (int32_t i = 0; i < c->count; i++) {
        TKP__TRY(
            tkp__text_stream_create(&c->stream[i], c->model->tokenizer, true));
        for (int64_t j = 0; j < c->prompt[i].count; j++)
            tkp__sampler_note(&c->sampler, i, c->prompt[i].ids[j]);
    }
    return TKP_OK;
}

/* --- tokens ---------------------------------------------------------------- */

static tkp_status put_text(call *c, int32_t i, const char *text, size_t bytes)
{
    if (bytes == 0)
        return TKP_OK;
    TKP__TRY(tkp__text_buffer_append(&c->result->answer[i].text, text, bytes));
    if (!c->options.on_text)
        return TKP_OK;
    const int32_t stop =
        c->options.on_text(c->options.on_text_user, i, text, bytes);
    TKP__CHECK(
        stop == 0, TKP_ERR_CANCELLED, "request %d: stopped by the callback", i);
    return TKP_OK;
}

static tkp_status end_answer(call *c, int32_t i)
{
    const char *text;
    size_t bytes;
    c->active[i] = 0;
    c->left--;
    TKP__TRY(tkp__text_stream_finish(c->stream[i], &text, &bytes));
    return put_text(c, i, text, bytes);
}

static bool ends(const call *c, int32_t id)
{
    const tkp__generation_config *g = &c->model->config.generation;
    for (int32_t i = 0; i < g->eos_count; i++)
        if (g->eos[i] == id)
            return true;
    return false;
}

/* One new token; an end token is among the ids, but not in the text. */
static tkp_status take_token(call *c, int32_t i, float *logits)
{
    tkp__answer *answer = &c->result->answer[i];
    const uint32_t step = (uint32_t)answer->ids.count;
    TKP__TRY(tkp__sampler_pick(
        &c->sampler, logits, i, c->prompt[i].id, step, &c->ids[i]));
    TKP__TRY(tkp__id_list_append(&answer->ids, c->ids[i]));
    tkp__sampler_note(&c->sampler, i, c->ids[i]);
    const bool end = ends(c, c->ids[i]);
    if (end && !c->options.ignore_eos)
        return end_answer(c, i);
    if (!end) {
        const char *text;
        size_t bytes;
        TKP__TRY(tkp__text_stream_push(c->stream[i], c->ids[i], &text, &bytes));
        TKP__TRY(put_text(c, i, text, bytes));
    }
    return answer->ids.count >= c->budget[i] ? end_answer(c, i) : TKP_OK;
}

/* logits [.., V]: a row for each answer that was active in this step. */
static tkp_status take_tokens(call *c, const tkp_tensor *logits)
{
    float *row = tkp__data(logits);
    for (int32_t i = 0; i < c->count; i++) {
        if (!c->active[i])
            continue;
        TKP__TRY(take_token(c, i, row));
        row += logits->shape[1];
    }
    return TKP_OK;
}

/* --- the whole ------------------------------------------------------------- */

static tkp_status read_prompts(call *c, tkp_tensor *logits)
{
    tkp_mllm_times *times = &c->result->times;
    const tkp_status status = tkp__engine_prefill(&c->engine, logits);
    times->vision = c->engine.vision_seconds;
    times->prefill = c->engine.prefill_seconds;
    times->pruning = c->engine.pruning_seconds;
    TKP__TRY(status);
    return tkp__result_take_prefill(c->result, &c->engine, c->prompt);
}

static tkp_status write_answers(call *c, tkp_tensor *logits)
{
    tkp_mllm_times *times = &c->result->times;
    const double start = tkp__engine_now();
    tkp_status status = TKP_OK;
    for (int32_t step = 0; c->left > 0; step++) {
        TKP__TRY_OUT(
            tkp__engine_decode(&c->engine, c->ids, c->active, step, logits));
        TKP__TRY_OUT(take_tokens(c, logits));
        times->decode_steps = step + 1;
    }
out:
    times->decode = tkp__engine_now() - start;
    return status;
}

static tkp_status answer(call *c)
{
    tkp_tensor logits;
    TKP__TRY(read_prompts(c, &logits));
    if (c->left == 0)
        return TKP_OK;
    TKP__TRY(take_tokens(c, &logits));
    return write_answers(c, &logits);
}

static int64_t most_new_tokens(const call *c)
{
    int64_t most = 0;
    for (int32_t i = 0; i < c->count; i++)
        most = c->budget[i] > most ? c->budget[i] : most;
    return most;
}

static tkp_status run(call *c, const tkp_mllm_request *requests)
{
    TKP__TRY(alloc_call(c));
    TKP__TRY(prepare(c, requests));
    set_budgets(c);
    TKP__TRY(tkp__engine_create(
        &c->engine, c->model, c->prompt, c->count, c->options.policy,
        most_new_tokens(c), c->options.scores, &c->forward));
    TKP__TRY(start_answers(c));
    return answer(c);
}

static void release(call *c)
{
    tkp__engine_release(&c->engine);
    tkp__sampler_release(&c->sampler);
    for (int32_t i = 0; i < c->count; i++) {
        if (c->stream)
            tkp__text_stream_destroy(c->stream[i]);
        if (c->prompt)
            tkp__prompt_release(&c->prompt[i]);
    }
    tkp__free(c->prompt);
    tkp__free(c->stream);
    tkp__free(c->ids);
    tkp__free(c->active);
    tkp__free(c->budget);
}

tkp_status tkp_mllm_generate(
    tkp_mllm_result **out,
    const tkp_mllm *model,
    const tkp_mllm_request *requests,
    int32_t count,
    const tkp_mllm_generate_options *options)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(model, TKP_ERR_ARGUMENT, "model is NULL");
    TKP__CHECK(
        requests && count >= 1, TKP_ERR_ARGUMENT,
        "%d requests, wanted at least one", count);
    TKP__CHECK(
        count <= model->decoder.most_sequences, TKP_ERR_ARGUMENT,
        "%d requests, wanted at most %d", count, model->decoder.most_sequences);
    call c = {.model = model, .count = count};
    TKP__TRY(read_options(&c, options));
    c.forward = (tkp__forward){
        .trace = c.options.on_trace,
        .trace_user = c.options.on_trace_user,
        .stop = c.options.should_stop,
        .stop_user = c.options.should_stop_user,
    };
    tkp_status status = run(&c, requests);
    release(&c);
    if (status == TKP_ERR_CANCELLED && c.options.keep_stopped) {
        c.result->stopped = true;
        tkp_sys_message_clear();
        status = TKP_OK;
    }
    if (status == TKP_OK)
        *out = c.result;
    else
        tkp_mllm_result_destroy(c.result);
    return status;
}

void tkp_mllm_request_init(tkp_mllm_request *request)
{
    if (request)
        *request = (tkp_mllm_request)TKP_MLLM_REQUEST_INIT;
}

void tkp_mllm_video_init(tkp_mllm_video *video)
{
    if (video)
        *video = (tkp_mllm_video)TKP_MLLM_VIDEO_INIT;
}

void tkp_mllm_generate_options_init(tkp_mllm_generate_options *options)
{
    if (options)
        *options = (tkp_mllm_generate_options)TKP_MLLM_GENERATE_OPTIONS_INIT;
}
