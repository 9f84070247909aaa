/* Answers: batches, threads, sampling, stopping, streaming, refusals. */

#include "engine_testing.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>

#include "mllm/decoder/sampler.h"

#include "api/test_allocator.h"

static testbed bed;

static void open_bed(void)
{
    testbed_open(&bed, "llava-f32", "ref", 0);
}

static void close_bed(void)
{
    testbed_close(&bed);
}

static tkp_mllm_generate_options options_of(int32_t tokens)
{
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    options.max_new_tokens = tokens;
    return options;
}

static tkp_mllm_result *answer(
    const tkp_mllm_request *requests,
    int32_t count,
    const tkp_mllm_generate_options *options)
{
    tkp_mllm_result *result;
    assert_ok(tkp_mllm_generate(&result, bed.model, requests, count, options));
    return result;
}

static void assert_same_ids(
    const tkp_mllm_result *a,
    int32_t i,
    const tkp_mllm_result *b,
    int32_t j)
{
    const int32_t *x, *y;
    const int64_t n = tkp_mllm_result_tokens(a, i, &x);
    ck_assert_int_eq(tkp_mllm_result_tokens(b, j, &y), n);
    ck_assert_mem_eq(x, y, (size_t)n * sizeof(*x));
    ck_assert_str_eq(tkp_mllm_result_text(a, i), tkp_mllm_result_text(b, j));
}

static void assert_refused(
    const tkp_mllm_request *request,
    const tkp_mllm_generate_options *options,
    tkp_status wanted,
    const char *message)
{
    tkp_mllm_result *result = (void *)&bed;
    const tkp_status status =
        tkp_mllm_generate(&result, bed.model, request, 1, options);
    ck_assert_msg(
        status == wanted, "%s, wanted %s: %s", tkp_status_string(status),
        tkp_status_string(wanted), tkp_last_message());
    assert_message(message);
    ck_assert_ptr_eq(result, &bed);
}

/* --- batches and threads ---------------------------------------------------- */

/* Different prompts: one image, two, none. */
static void make_batch(tkp_mllm_request requests[4], const char **images)
{
    images[0] = images[1] = bed.picture;
    for (uint32_t i = 0; i < 4; i++) {
        requests[i] = testbed_request(&bed, images);
        requests[i].id = i;
    }
    requests[1].prompt = "\xe4\xb8\x85<image>\xe4\xb8\x87<image>";
    requests[1].n_images = 2;
    requests[2].prompt = "\xe4\xb8\x90\xe4\xb8\x91\xe4\xb8\x92";
    requests[2].n_images = 0;
    requests[2].images = NULL;
    requests[3].prompt = "What is this?";
    requests[3].format = TKP_MLLM_FORMAT_MODEL;
}

/* With a policy the one without a picture stays at home. */
START_TEST(generate__batch_of_different_prompts__as_one_by_one)
{
    const char *images[2];
    tkp_mllm_request requests[4];
    tkp_policy *policy = policy_fastv(2, 5, TKP_POSITIONS_REPACK);
    make_batch(requests, images);
    tkp_mllm_generate_options options = options_of(12);
    options.policy = _i % 2 ? policy : NULL;
    options.do_sample = _i / 2;
    if (options.policy)
        requests[2] = requests[0];
    tkp_mllm_result *all = answer(requests, 4, &options);
    for (int32_t i = 0; i < 4; i++) {
        tkp_mllm_result *one = answer(&requests[i], 1, &options);
        assert_same_ids(all, i, one, 0);
        for (int32_t j = 0; j < requests[i].n_images; j++) {
            const int32_t *x, *y;
            const int64_t n = tkp_mllm_result_kept_cells(all, i, j, &x);
            ck_assert_int_eq(tkp_mllm_result_kept_cells(one, 0, j, &y), n);
            ck_assert_mem_eq(x, y, (size_t)n * sizeof(*x));
        }
        tkp_mllm_result_destroy(one);
    }
    tkp_mllm_result_destroy(all);
    tkp_policy_destroy(policy);
}
END_TEST

/* More views than the encoder takes at once. */
START_TEST(generate__more_pictures_than_fit_the_encoder__as_one_by_one)
{
    const char *images[2];
    tkp_mllm_request requests[11];
    for (int i = 0; i < 11; i++) {
        requests[i] = testbed_request(&bed, images);
        if (i % 2)
            requests[i].prompt = "<image>\xe4\xb8\x8a";
    }
    const tkp_mllm_generate_options options = options_of(4);
    tkp_mllm_result *all = answer(requests, 11, &options);
    for (int32_t i = 0; i < 2; i++) {
        tkp_mllm_result *one = answer(&requests[i], 1, &options);
        for (int32_t j = i; j < 11; j += 2)
            assert_same_ids(all, j, one, 0);
        tkp_mllm_result_destroy(one);
    }
    tkp_mllm_result_destroy(all);
}
END_TEST

static void *answer_in_thread(void *user)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_mllm_generate_options options = options_of(8);
    options.policy = user;
    return answer(&request, 1, &options);
}

START_TEST(generate__four_threads_on_one_model__same_answers)
{
    pthread_t threads[4];
    tkp_policy *policy = policy_fastv(2, 5, 0);
    tkp_mllm_result *alone = answer_in_thread(policy);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, answer_in_thread, policy), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_same_ids(result, 0, alone, 0);
        tkp_mllm_result_destroy(result);
    }
    tkp_mllm_result_destroy(alone);
    tkp_policy_destroy(policy);
}
END_TEST

/* --- sampling --------------------------------------------------------------- */

static tkp_mllm_result *
sample(uint64_t seed, double temperature, int32_t top_k, double top_p)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_mllm_generate_options options = options_of(STEPS);
    options.do_sample = 1;
    options.ignore_eos = 1;
    options.seed = seed;
    options.temperature = temperature;
    options.top_k = top_k;
    options.top_p = top_p;
    return answer(&request, 1, &options);
}

START_TEST(generate__same_seed__same_answer)
{
    const int32_t *a, *b, *c;
    tkp_mllm_result *x = sample(1, 3.0, 0, 0), *y = sample(1, 3.0, 0, 0);
    tkp_mllm_result *z = sample(2, 3.0, 0, 0);
    tkp_mllm_result_tokens(x, 0, &a);
    tkp_mllm_result_tokens(y, 0, &b);
    tkp_mllm_result_tokens(z, 0, &c);
    ck_assert_mem_eq(a, b, STEPS * sizeof(*a));
    ck_assert_mem_ne(a, c, STEPS * sizeof(*a));
    tkp_mllm_result_destroy(x);
    tkp_mllm_result_destroy(y);
    tkp_mllm_result_destroy(z);
}
END_TEST

START_TEST(generate__sampling_from_one_token__greedy)
{
    const tkp_tensor wanted = fixture_get(&bed, "greedy_ids");
    tkp_mllm_result *const results[] = {
        sample(3, 2.0, 1, 0), sample(3, 2.0, 0, 1e-9), sample(3, 1e-4, 0, 0)};
    for (int i = 0; i < 3; i++) {
        const int32_t *ids;
        tkp_mllm_result_tokens(results[i], 0, &ids);
        ck_assert_mem_eq(ids, tkp__data(&wanted), STEPS * sizeof(*ids));
        tkp_mllm_result_destroy(results[i]);
    }
}
END_TEST

/* The sampler alone: shares follow the probabilities of what is left. */
static void count_draws(const tkp__sampler_options *options, int32_t counts[4])
{
    tkp__sampler sampler;
    assert_ok(tkp__sampler_create(&sampler, options, 1, 4));
    memset(counts, 0, 4 * sizeof(*counts));
    for (uint32_t step = 0; step < 20000; step++) {
        float logits[4] = {logf(0.1f), logf(0.4f), logf(0.2f), logf(0.3f)};
        int32_t id;
        assert_ok(tkp__sampler_pick(&sampler, logits, 0, 9, step, &id));
        counts[id]++;
    }
    tkp__sampler_release(&sampler);
}

START_TEST(sampler_pick__many_draws__shares_as_probabilities)
{
    static const struct {
        int32_t top_k;
        double temperature, top_p, share[4];
    } rows[] = {
        {0, 1.0, 1.0, {0.1, 0.4, 0.2, 0.3}},
        {2, 1.0, 1.0, {0.0, 4.0 / 7, 0.0, 3.0 / 7}},
        {0, 1.0, 0.75, {0.0, 4.0 / 9, 2.0 / 9, 3.0 / 9}},
        {0, 0.5, 1.0, {1.0 / 30, 16.0 / 30, 4.0 / 30, 9.0 / 30}},
        {3, 1.0, 0.7, {0.0, 4.0 / 7, 0.0, 3.0 / 7}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const tkp__sampler_options options = {
            .sample = true,
            .top_k = rows[i].top_k,
            .temperature = rows[i].temperature,
            .top_p = rows[i].top_p,
            .repetition_penalty = 1.0,
            .seed = 5,
        };
        int32_t counts[4];
        count_draws(&options, counts);
        for (int j = 0; j < 4; j++)
            ck_assert_msg(
                fabs(counts[j] / 20000.0 - rows[i].share[j]) < 0.015,
                "row %zu: id %d has %g, wanted %g", i, j, counts[j] / 20000.0,
                rows[i].share[j]);
    }
}
END_TEST

START_TEST(sampler_pick__ties_and_nan__lowest_id_of_the_numbers)
{
    const tkp__sampler_options options = {
        .temperature = 1.0, .top_p = 1.0, .repetition_penalty = 1.0};
    tkp__sampler sampler;
    int32_t id;
    assert_ok(tkp__sampler_create(&sampler, &options, 1, 4));
    float ties[4] = {NAN, 1.0f, 2.0f, 2.0f};
    assert_ok(tkp__sampler_pick(&sampler, ties, 0, 0, 0, &id));
    ck_assert_int_eq(id, 2);
    float none[4] = {NAN, NAN, NAN, NAN};
    ck_assert_int_eq(
        tkp__sampler_pick(&sampler, none, 0, 0, 0, &id), TKP_ERR_DATA);
    tkp__sampler_release(&sampler);
}
END_TEST

/* Ids of the prompt count, each once. */
START_TEST(sampler_pick__repetition_penalty__on_every_id_seen)
{
    const tkp__sampler_options options = {
        .temperature = 1.0, .top_p = 1.0, .repetition_penalty = 2.0};
    tkp__sampler sampler;
    int32_t id;
    assert_ok(tkp__sampler_create(&sampler, &options, 2, 4));
    tkp__sampler_note(&sampler, 1, 0);
    tkp__sampler_note(&sampler, 1, 0);
    tkp__sampler_note(&sampler, 1, 3);
    float logits[4] = {4.0f, 1.0f, 0.5f, -1.0f};
    assert_ok(tkp__sampler_pick(&sampler, logits, 1, 0, 0, &id));
    ck_assert_int_eq(id, 0);
    ck_assert(logits[0] == 2.0f && logits[1] == 1.0f && logits[3] == -2.0f);
    float other[4] = {4.0f, 1.0f, 0.5f, -1.0f};
    assert_ok(tkp__sampler_pick(&sampler, other, 0, 0, 0, &id));
    ck_assert(other[0] == 4.0f);
    tkp__sampler_release(&sampler);
}
END_TEST

START_TEST(generate__repetition_penalty__prompt_ids_and_answer_avoided)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_mllm_generate_options options = options_of(STEPS);
    options.repetition_penalty = 1e6;
    options.ignore_eos = 1;
    tkp_mllm_result *result = answer(&request, 1, &options);
    const tkp_tensor prompt = fixture_get(&bed, "input_ids");
    bool seen[VOCAB] = {false};
    const int32_t *ids;
    for (int64_t i = 0; i < prompt.shape[0]; i++)
        seen[((const int32_t *)tkp__data(&prompt))[i]] = true;
    tkp_mllm_result_tokens(result, 0, &ids);
    for (int i = 0; i < STEPS; i++) {
        ck_assert(!seen[ids[i]]);
        seen[ids[i]] = true;
    }
    tkp_mllm_result_destroy(result);
}
END_TEST

START_TEST(generate__no_repetition_penalty_given__the_checkpoints)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_mllm_generate_options options = options_of(STEPS);
    options.ignore_eos = 1;
    double *own = &bed.model->config.generation.repetition_penalty;
    ck_assert_double_eq(*own, 1.0);
    *own = 1e6;
    tkp_mllm_result *checkpoints = answer(&request, 1, &options);
    *own = 1.0;
    options.repetition_penalty = 1e6;
    tkp_mllm_result *given = answer(&request, 1, &options);
    const int32_t *a, *b;
    ck_assert_int_eq(tkp_mllm_result_tokens(checkpoints, 0, &a), STEPS);
    ck_assert_int_eq(tkp_mllm_result_tokens(given, 0, &b), STEPS);
    ck_assert_mem_eq(a, b, STEPS * sizeof(*a));
    tkp_mllm_result_destroy(checkpoints);
    tkp_mllm_result_destroy(given);
}
END_TEST

/* --- stopping and streaming ------------------------------------------------- */

typedef struct listener {
    char text[512];
    int32_t calls, stop_at;
} listener;

static int32_t
listen(void *user, int32_t request, const char *text, size_t bytes)
{
    listener *l = user;
    ck_assert_int_eq(request, 0);
    ck_assert_uint_gt(bytes, 0);
    strncat(l->text, text, bytes);
    return ++l->calls == l->stop_at;
}

START_TEST(generate__on_text__pieces_make_the_answer)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    listener l = {.stop_at = -1};
    tkp_mllm_generate_options options = options_of(STEPS);
    options.on_text = listen;
    options.on_text_user = &l;
    tkp_mllm_result *result = answer(&request, 1, &options);
    ck_assert_str_eq(l.text, tkp_mllm_result_text(result, 0));
    ck_assert_int_eq(l.calls, STEPS);
    tkp_mllm_result_destroy(result);
}
END_TEST

START_TEST(generate__on_text_says_stop__cancelled)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    listener l = {.stop_at = 3};
    tkp_mllm_generate_options options = options_of(STEPS);
    options.on_text = listen;
    options.on_text_user = &l;
    assert_refused(&request, &options, TKP_ERR_CANCELLED, "stopped");
    ck_assert_int_eq(l.calls, 3);
}
END_TEST

static int32_t stop_later(void *user)
{
    int32_t *left = user;
    return --*left < 0;
}

/* Asked n times for a whole answer; stopped at each of them in turn. */
START_TEST(generate__should_stop__ends_there_with_what_there_is)
{
    enum { TOKENS = 3 };
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_mllm_info info = TKP_MLLM_INFO_INIT;
    assert_ok(tkp_mllm_get_info(bed.model, &info));
    int32_t left = INT32_MAX;
    tkp_mllm_generate_options options = options_of(TOKENS);
    options.should_stop = stop_later;
    options.should_stop_user = &left;
    tkp_mllm_result *whole = answer(&request, 1, &options);
    const int32_t asked = INT32_MAX - left;
    ck_assert_int_eq(tkp_mllm_result_stopped(whole), 0);
    ck_assert_int_ge(asked, info.vision_layers + TOKENS * info.layers);

    int32_t complete = 0;
    for (int32_t i = 0; i < asked; i++) {
        options.keep_stopped = 0;
        left = i;
        assert_refused(&request, &options, TKP_ERR_CANCELLED, "stopped");
        options.keep_stopped = 1;
        left = i;
        tkp_mllm_result *part = answer(&request, 1, &options);
        tkp_report report = TKP_REPORT_INIT;
        const int32_t *some, *all;
        const int64_t n = tkp_mllm_result_tokens(part, 0, &some);
        tkp_mllm_result_tokens(whole, 0, &all);
        ck_assert_int_eq(tkp_mllm_result_stopped(part), 1);
        ck_assert_int_lt(n, TOKENS);
        ck_assert(n == 0 || memcmp(some, all, (size_t)n * sizeof(*all)) == 0);
        const tkp_status status = tkp_mllm_result_report(part, &report);
        ck_assert_int_eq(status, n == 0 ? TKP_ERR_STATE : TKP_OK);
        complete += n > 0;
        tkp_mllm_result_destroy(part);
    }
    ck_assert_int_eq(complete, (TOKENS - 1) * info.layers);
    tkp_mllm_result_destroy(whole);
}
END_TEST

static void write_eos(const testbed *b, int32_t id)
{
    char path[PATH_MAX + 64], text[128];
    snprintf(path, sizeof(path), "%s/generation_config.json", b->folder);
    snprintf(text, sizeof(text), "{\"eos_token_id\": [127, %d]}", id);
    write_whole(path, text, strlen(text));
}

START_TEST(generate__end_token__among_the_ids_not_in_the_text)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    const tkp_tensor greedy = fixture_get(&bed, "greedy_ids");
    const int32_t *wanted = tkp__data(&greedy);
    int32_t end = 1;
    for (int32_t i = 0; i < end; i++) /* the first time it comes */
        if (wanted[i] == wanted[end])
            i = -1, end++;
    write_eos(&bed, wanted[end]);
    tkp_mllm_destroy(bed.model);
    assert_ok(tkp_mllm_load(&bed.model, bed.context, bed.folder, NULL));
    tkp_mllm_generate_options options = options_of(STEPS);
    tkp_mllm_result *result = answer(&request, 1, &options);
    char text[64];
    testbed_text(text, sizeof(text), wanted, end);
    ck_assert_int_eq(tkp_mllm_result_tokens(result, 0, NULL), end + 1);
    ck_assert_str_eq(tkp_mllm_result_text(result, 0), text);
    tkp_mllm_result_destroy(result);
    options.ignore_eos = 1;
    result = answer(&request, 1, &options);
    ck_assert_int_eq(tkp_mllm_result_tokens(result, 0, NULL), STEPS);
    tkp_mllm_result_destroy(result);
}
END_TEST

START_TEST(generate__prefill_only__report_and_times_but_no_tokens)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    const tkp_mllm_generate_options options = options_of(-1);
    tkp_mllm_result *result = answer(&request, 1, &options);
    tkp_mllm_times times = TKP_MLLM_TIMES_INIT;
    tkp_report report = TKP_REPORT_INIT;
    assert_ok(tkp_mllm_result_times(result, &times));
    assert_ok(tkp_mllm_result_report(result, &report));
    ck_assert_int_eq(tkp_mllm_result_tokens(result, 0, NULL), 0);
    ck_assert_str_eq(tkp_mllm_result_text(result, 0), "");
    ck_assert(
        times.load_images > 0 && times.vision > 0 && times.prefill > 0 &&
        times.pruning == 0 && times.decode == 0 && times.decode_steps == 0);
    ck_assert(report.macs == report.macs_unpruned && report.macs > 0);
    ck_assert_int_eq(report.visual_before, 16);
    ck_assert_int_eq(tkp_mllm_result_kept_cells(result, 0, 0, NULL), 16);
    tkp_mllm_result_destroy(result);
}
END_TEST

/* 512 positions: the token of position 512 is never fed back. */
START_TEST(generate__end_of_positions__stops)
{
    static char prompt[4096];
    int32_t ids[508];
    for (int i = 0; i < 508; i++)
        ids[i] = 3 + i % 90;
    testbed_text(prompt, sizeof(prompt), ids, 508); /* and BOS */
    tkp_mllm_request request = TKP_MLLM_REQUEST_INIT;
    request.prompt = prompt;
    request.format = TKP_MLLM_FORMAT_RAW;
    tkp_mllm_generate_options options = options_of(64);
    options.ignore_eos = 1;
    tkp_mllm_result *result = answer(&request, 1, &options);
    ck_assert_int_eq(tkp_mllm_result_tokens(result, 0, NULL), 512 - 509 + 1);
    tkp_mllm_result_destroy(result);
}
END_TEST

/* --- refusals --------------------------------------------------------------- */

START_TEST(generate__wrong_requests__told_in_one_line)
{
    const char *images[2] = {bed.picture, bed.picture};
    const char *const nowhere[1] = {"/nowhere/picture.png"};
    const char *const hole[1] = {NULL};
    const tkp_mllm_generate_options plain = options_of(1);
    const tkp_mllm_request good = testbed_request(&bed, images);
    static char long_prompt[600 * 3 + 1];
    for (int i = 0; i < 600; i++)
        memcpy(long_prompt + 3 * i, "\xe4\xb8\x8a", 3);

    tkp_mllm_request r = good;
    r.n_images = 2;
    assert_refused(
        &r, &plain, TKP_ERR_ARGUMENT,
        "request 0: 2 images are given, the prompt has 1 times <image>");
    r = good;
    r.n_images = 0;
    assert_refused(&r, &plain, TKP_ERR_ARGUMENT, "0 images are given");
    r = good;
    r.prompt = "no picture";
    assert_refused(&r, &plain, TKP_ERR_ARGUMENT, "0 times <image>");
    r = good;
    r.prompt = NULL;
    assert_refused(&r, &plain, TKP_ERR_ARGUMENT, "prompt is NULL");
    r = good;
    r.prompt = "\xff<image>";
    assert_refused(&r, &plain, TKP_ERR_ARGUMENT, "UTF-8");
    r = good;
    r.prompt = long_prompt;
    r.n_images = 0;
    assert_refused(
        &r, &plain, TKP_ERR_ARGUMENT,
        "the prompt has 601 tokens (601 of them text), the model takes 512");
    r = good;
    r.format = 17;
    assert_refused(&r, &plain, TKP_ERR_ARGUMENT, "format is 17");
    r = good;
    r.system = "Be brief.";
    assert_refused(&r, &plain, TKP_ERR_ARGUMENT, "system");
    r = good;
    r.images = nowhere;
    assert_refused(&r, &plain, TKP_ERR_IO, "request 0: image 0: /nowhere");
    r = good;
    r.images = hole;
    assert_refused(&r, &plain, TKP_ERR_ARGUMENT, "image 0 is NULL");
    r = good;
    r.images = NULL;
    assert_refused(&r, &plain, TKP_ERR_ARGUMENT, "images is NULL");
    r = good;
    r.struct_size = 4;
    assert_refused(&r, &plain, TKP_ERR_OPTION, "struct_size");
}
END_TEST

START_TEST(generate__wrong_options__told_in_one_line)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_mllm_generate_options o = options_of(-2);
    assert_refused(&request, &o, TKP_ERR_OPTION, "max_new_tokens is -2");
    o = options_of(1);
    o.temperature = -1.0;
    assert_refused(&request, &o, TKP_ERR_OPTION, "temperature is -1");
    o = options_of(1);
    o.temperature = NAN;
    assert_refused(&request, &o, TKP_ERR_OPTION, "temperature");
    o = options_of(1);
    o.top_p = 1.5;
    assert_refused(&request, &o, TKP_ERR_OPTION, "top_p is 1.5");
    o = options_of(1);
    o.top_k = -1;
    assert_refused(&request, &o, TKP_ERR_OPTION, "top_k is -1");
    o = options_of(1);
    o.repetition_penalty = -2.0;
    assert_refused(&request, &o, TKP_ERR_OPTION, "repetition_penalty is -2");
    o = options_of(1);
    o.keep_stopped = 2;
    assert_refused(&request, &o, TKP_ERR_OPTION, "keep_stopped is 2");
    o = options_of(1);
    o.struct_size = 8;
    assert_refused(&request, &o, TKP_ERR_OPTION, "struct_size is 8");
    o = options_of(100000);
    o.ignore_eos = 1;
    tkp_mllm_result *result; /* ends with the positions, not with an error */
    assert_ok(tkp_mllm_generate(&result, bed.model, &request, 1, NULL));
    tkp_mllm_result_destroy(result);
}
END_TEST

START_TEST(generate__policy_that_does_not_fit__told_in_one_line)
{
    const char *images[1];
    tkp_mllm_request request = testbed_request(&bed, images);
    tkp_mllm_generate_options o = options_of(1);
    tkp_policy *const policies[] = {
        policy_fastv(2, 17, 0), policy_fastv(9, 4, 0),
        policy_random(TKP_POINT_VISION, 9, 4, 0), policy_fastv(2, 4, 0)};
    o.policy = policies[0];
    assert_refused(&request, &o, TKP_ERR_OPTION, "17");
    o.policy = policies[1];
    assert_refused(&request, &o, TKP_ERR_OPTION, "boundary is 9");
    o.policy = policies[2];
    assert_refused(&request, &o, TKP_ERR_OPTION, "boundary is 9, but 2 blocks");
    o.policy = policies[3];
    request.prompt = "\xe4\xb8\x8a";
    request.n_images = 0;
    assert_refused(&request, &o, TKP_ERR_ARGUMENT, "prompt has no image");
    for (int i = 0; i < 4; i++)
        tkp_policy_destroy(policies[i]);
}
END_TEST

START_TEST(generate__too_large_a_batch__refused_with_both_numbers)
{
    static char prompt[400 * 3 + 1];
    static tkp_mllm_request many[257];
    for (int i = 0; i < 400; i++)
        memcpy(prompt + 3 * i, "\xe4\xb8\x8a", 3);
    for (int i = 0; i < 257; i++) {
        many[i] = (tkp_mllm_request)TKP_MLLM_REQUEST_INIT;
        many[i].prompt = prompt;
        many[i].format = TKP_MLLM_FORMAT_RAW;
    }
    tkp_mllm_result *result;
    tkp_mllm_generate_options o = options_of(1);
    ck_assert_int_eq(
        tkp_mllm_generate(&result, bed.model, many, 257, &o), TKP_ERR_ARGUMENT);
    assert_message("257 requests, wanted at most 256");
    ck_assert_int_eq(
        tkp_mllm_generate(&result, bed.model, many, 41, &o), TKP_ERR_ARGUMENT);
    assert_message(
        "16441 tokens in all prompts together, wanted at most 16384");
}
END_TEST

START_TEST(generate__null_arguments__refused)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_mllm_result *result;
    ck_assert_int_eq(
        tkp_mllm_generate(NULL, bed.model, &request, 1, NULL),
        TKP_ERR_ARGUMENT);
    ck_assert_int_eq(
        tkp_mllm_generate(&result, NULL, &request, 1, NULL), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(
        tkp_mllm_generate(&result, bed.model, NULL, 1, NULL), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(
        tkp_mllm_generate(&result, bed.model, &request, 0, NULL),
        TKP_ERR_ARGUMENT);
    ck_assert_ptr_null(tkp_mllm_result_text(NULL, 0));
    ck_assert_int_eq(tkp_mllm_result_tokens(NULL, 0, NULL), -1);
    tkp_mllm_result_destroy(NULL);
    tkp_mllm_destroy(NULL);
}
END_TEST

/* Requests of a newer caller are further apart. */
START_TEST(generate__requests_of_a_newer_caller__walked_by_their_size)
{
    const char *images[1];
    struct newer {
        tkp_mllm_request request;
        uint64_t more;
    } requests[2] = {
        {testbed_request(&bed, images), 0}, {testbed_request(&bed, images), 0}};
    requests[0].request.struct_size = sizeof(requests[0]);
    requests[1].request.struct_size = sizeof(requests[0]);
    const tkp_mllm_generate_options options = options_of(3);
    tkp_mllm_result *result = answer(&requests[0].request, 2, &options);
    assert_same_ids(result, 0, result, 1);
    tkp_mllm_result_destroy(result);
    requests[1].more = 1;
    ck_assert_int_eq(
        tkp_mllm_generate(
            &result, bed.model, &requests[0].request, 2, &options),
        TKP_ERR_OPTION);
    assert_message("newer");
}
END_TEST

START_TEST(load__wrong_arguments_and_folders__told_in_one_line)
{
    tkp_mllm *model;
    tkp_mllm_options o = TKP_MLLM_OPTIONS_INIT;
    ck_assert_int_eq(
        tkp_mllm_load(NULL, bed.context, bed.folder, NULL), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(
        tkp_mllm_load(&model, NULL, bed.folder, NULL), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(
        tkp_mllm_load(&model, bed.context, NULL, NULL), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(
        tkp_mllm_load(&model, bed.context, "/nowhere", NULL), TKP_ERR_IO);
    o.dtype = TKP_DTYPE_F16;
    ck_assert_int_eq(
        tkp_mllm_load(&model, bed.context, bed.folder, &o), TKP_ERR_OPTION);
    assert_message("dtype is f16");
    o = (tkp_mllm_options)TKP_MLLM_OPTIONS_INIT;
    o.pack = 9;
    ck_assert_int_eq(
        tkp_mllm_load(&model, bed.context, bed.folder, &o), TKP_ERR_OPTION);
    o = (tkp_mllm_options)TKP_MLLM_OPTIONS_INIT;
    o.max_pixels = 10;
    assert_ok(tkp_mllm_load(&model, bed.context, bed.folder, &o));
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_mllm_result *result;
    ck_assert_int_ne(
        tkp_mllm_generate(&result, model, &request, 1, NULL), TKP_OK);
    assert_message("10");
    tkp_mllm_destroy(model);
}
END_TEST

START_TEST(get_info__tiny_model__its_shapes)
{
    tkp_mllm_info info = TKP_MLLM_INFO_INIT;
    assert_ok(tkp_mllm_get_info(bed.model, &info));
    ck_assert_str_eq(info.kind, "llava");
    ck_assert_int_eq(info.dtype, TKP_DTYPE_F32);
    ck_assert_int_eq(info.layers, 4);
    ck_assert_int_eq(info.heads, 6);
    ck_assert_int_eq(info.hidden, 48);
    ck_assert_int_eq(info.vocab, VOCAB);
    ck_assert_int_eq(info.max_positions, 512);
    ck_assert_int_eq(info.vision_layers, 2);
    ck_assert_int_eq(info.grid_rows * info.grid_cols, 16);
    ck_assert_int_gt(info.parameters, 100000);
    ck_assert_int_ge(info.weight_bytes, 4 * info.parameters);
}
END_TEST

/* --- memory ----------------------------------------------------------------- */

/* Everything of one call with the n-th allocation of generate() failing; -1:
 * none. How many there were. */
/* Cuts in the decoder and after prefill. */
static tkp_policy *fastv_then_evict(void)
{
    tkp_policy *policy = policy_fastv(2, 5, 0);
    tkp_policy *evict = policy_random(TKP_POINT_KV, 0, 3, 0);
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    assert_ok(tkp_policy_get_stage(evict, 0, &stage));
    assert_ok(tkp_policy_add_stage(policy, &stage));
    tkp_policy_destroy(evict);
    return policy;
}

enum { WORKSPACE_BLOCKS = 2 }; /* allocations of one */

static int generate_with_failure(int at)
{
    const char *images[1];
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_mllm_generate_options options = options_of(3);
    tkp_mllm_result *result = NULL;
    tkp_mllm *model;
    tkp_context *context;
    tkp_context_options on_ref = TKP_CONTEXT_OPTIONS_INIT;
    on_ref.backends = "ref";
    test_allocator_install(-1);
    assert_ok(tkp_context_create(&context, &on_ref));
    assert_ok(tkp_mllm_load(&model, context, bed.folder, NULL));
    tkp_context_destroy(context); /* the model keeps it */
    tkp_policy *policy = fastv_then_evict();
    options.policy = policy;
    const int before = test_allocator.live;
    test_allocator.calls = 0;
    test_allocator.fail_at = at;
    const tkp_status status =
        tkp_mllm_generate(&result, model, &request, 1, &options);
    const int calls = test_allocator.calls;
    test_allocator.fail_at = -1;
    ck_assert_msg(
        status == (at < 0 ? TKP_OK : TKP_ERR_MEMORY), "call %d: %s: %s", at,
        tkp_status_string(status), tkp_last_message());
    tkp_mllm_result_destroy(result);
    /* The model may keep a workspace. */
    ck_assert_int_ge(test_allocator.live, before);
    ck_assert_int_le(test_allocator.live, before + WORKSPACE_BLOCKS);
    tkp_policy_destroy(policy);
    tkp_mllm_destroy(model);
    test_allocator_remove();
    return calls;
}

/* All is given back, whichever allocation fails. */
START_TEST(generate__allocation_fails__message_and_nothing_lost)
{
    open_bed();
    tkp_mllm_destroy(bed.model); /* the folder is all that is wanted */
    tkp_context_destroy(bed.context);
    tkp__safetensors_close(bed.fixture);
    const int calls = generate_with_failure(-1);
    ck_assert_int_gt(calls, 60);
    for (int at = 0; at < calls; at += at < 60 ? 1 : 7)
        generate_with_failure(at);
    scratch_remove(bed.folder);
}
END_TEST

/* Take, mark, look whether the mark is still there, give. */
static void *use_pool(void *user)
{
    tkp__workspace_pool *pool = user;
    for (int i = 0; i < 2000; i++) {
        tkp__workspace *w = NULL;
        const pthread_t mark = pthread_self();
        if (tkp__workspace_take(&w, pool, sizeof(mark) + i % 7) != TKP_OK)
            return pool;
        memcpy(w->data, &mark, sizeof(mark));
        if (i % 16 == 0)
            sched_yield();
        if (memcmp(w->data, &mark, sizeof(mark)) != 0)
            return pool;
        tkp__workspace_give(pool, w);
    }
    return NULL;
}

START_TEST(workspace_pool__four_threads__never_two_with_one)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    tkp_context *context;
    test_allocator_install(-1);
    assert_ok(tkp_context_create(&context, NULL));
    tkp__workspace_pool pool = TKP__WORKSPACE_POOL_INIT(context);
    const int before = test_allocator.live;
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_pool, &pool), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
    ck_assert_int_le(test_allocator.live, before + THREADS * WORKSPACE_BLOCKS);
    tkp__workspace_pool_release(&pool);
    tkp_context_destroy(context);
    test_allocator_remove();
}
END_TEST

static void *answer_and_forget(void *policy)
{
    tkp_mllm_result_destroy(answer_in_thread(policy));
    return NULL;
}

START_TEST(generate__again_and_again__keeps_a_workspace_each_thread)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    open_bed();
    tkp_mllm_destroy(bed.model);
    tkp_context_destroy(bed.context);
    tkp__safetensors_close(bed.fixture);
    test_allocator_install(-1);
    tkp_context_options on_ref = TKP_CONTEXT_OPTIONS_INIT;
    on_ref.backends = "ref";
    assert_ok(tkp_context_create(&bed.context, &on_ref));
    assert_ok(tkp_mllm_load(&bed.model, bed.context, bed.folder, NULL));
    tkp_policy *policy = policy_fastv(2, 5, 0);
    const int before = test_allocator.live;
    for (int i = 0; i < 3; i++) {
        answer_and_forget(i == 1 ? NULL : policy);
        ck_assert_int_eq(test_allocator.live, before + WORKSPACE_BLOCKS);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < THREADS; i++)
            ck_assert_int_eq(
                pthread_create(&threads[i], NULL, answer_and_forget, policy),
                0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        ck_assert_int_le(
            test_allocator.live, before + THREADS * WORKSPACE_BLOCKS);
    }
    tkp_policy_destroy(policy);
    tkp_mllm_destroy(bed.model);
    tkp_context_destroy(bed.context);
    test_allocator_remove();
    scratch_remove(bed.folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/engine_generate");
    TCase *batch = tcase_create("batch");
    tcase_add_checked_fixture(batch, open_bed, close_bed);
    tcase_add_loop_test(
        batch, generate__batch_of_different_prompts__as_one_by_one, 0, 4);
    tcase_add_test(
        batch, generate__more_pictures_than_fit_the_encoder__as_one_by_one);
    tcase_add_test(batch, generate__four_threads_on_one_model__same_answers);
    suite_add_tcase(suite, batch);

    TCase *tokens = tcase_create("tokens");
    tcase_add_checked_fixture(tokens, open_bed, close_bed);
    tcase_add_test(tokens, generate__same_seed__same_answer);
    tcase_add_test(tokens, generate__sampling_from_one_token__greedy);
    tcase_add_test(tokens, sampler_pick__many_draws__shares_as_probabilities);
    tcase_add_test(
        tokens, sampler_pick__ties_and_nan__lowest_id_of_the_numbers);
    tcase_add_test(tokens, sampler_pick__repetition_penalty__on_every_id_seen);
    tcase_add_test(
        tokens, generate__repetition_penalty__prompt_ids_and_answer_avoided);
    tcase_add_test(
        tokens, generate__no_repetition_penalty_given__the_checkpoints);
    tcase_add_test(tokens, generate__on_text__pieces_make_the_answer);
    tcase_add_test(tokens, generate__on_text_says_stop__cancelled);
    tcase_add_test(
        tokens, generate__should_stop__ends_there_with_what_there_is);
    tcase_add_test(tokens, generate__end_token__among_the_ids_not_in_the_text);
    tcase_add_test(
        tokens, generate__prefill_only__report_and_times_but_no_tokens);
    tcase_add_test(tokens, generate__end_of_positions__stops);
    suite_add_tcase(suite, tokens);

    TCase *refusals = tcase_create("refusals");
    tcase_add_checked_fixture(refusals, open_bed, close_bed);
    tcase_add_test(refusals, generate__wrong_requests__told_in_one_line);
    tcase_add_test(refusals, generate__wrong_options__told_in_one_line);
    tcase_add_test(
        refusals, generate__policy_that_does_not_fit__told_in_one_line);
    tcase_add_test(
        refusals, generate__too_large_a_batch__refused_with_both_numbers);
    tcase_add_test(refusals, generate__null_arguments__refused);
    tcase_add_test(
        refusals, generate__requests_of_a_newer_caller__walked_by_their_size);
    tcase_add_test(
        refusals, load__wrong_arguments_and_folders__told_in_one_line);
    tcase_add_test(refusals, get_info__tiny_model__its_shapes);
    suite_add_tcase(suite, refusals);

    TCase *memory = tcase_create("memory");
    tcase_add_test(
        memory, generate__allocation_fails__message_and_nothing_lost);
    tcase_add_test(memory, workspace_pool__four_threads__never_two_with_one);
    tcase_add_test(
        memory, generate__again_and_again__keeps_a_workspace_each_thread);
    suite_add_tcase(suite, memory);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
