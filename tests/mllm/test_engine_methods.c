/*
 * Methods that act inside the decoder, against a forward that NumPy made of the
 * same weights (tools/golden/make_forward_methods.py): which rows stay, what
 * their keys weigh, and the logits of the prompt and of a few tokens after it.
 */

#include "engine_testing.h"

static const struct {
    const char *method, *golden, *backend;
} cases[] = {
    {"aim", "llava-f32", "cpu"},
    {"aim", "llava-kv2-sharded", "ref"},
    {"ivc", "llava-f32", "ref"},
    {"ivc", "llava-kv2-sharded", "cpu"},
    {"ivc-seeds", "llava-f32", "cpu"},
    {"ivc-seeds", "llava-kv2-sharded", "ref"},
    {"pact", "llava-f32", "ref"},
    {"pact", "llava-kv2-sharded", "ref"},
    {"pact-evicts", "llava-f32", "cpu"},
    {"pact-evicts", "llava-kv2-sharded", "ref"},
    {"pact-mild", "llava-f32", "cpu"},
    {"pact-mild", "llava-kv2-sharded", "cpu"},
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static testbed bed;
static recorder seen;
static tkp__safetensors *stated;

static tkp_tensor stated_get(const char *name)
{
    tkp_tensor t;
    ck_assert_msg(tkp__safetensors_find(stated, name, &t), "no %s", name);
    return t;
}

static void open_stated(const char *method, const char *golden)
{
    char path[PATH_MAX], name[256];
    snprintf(name, sizeof(name), "forward/%s-%s.safetensors", method, golden);
    assert_ok(tkp__safetensors_open(&stated, golden_path(path, name)));
}

static tkp_mllm_result *run(const tkp_mllm_request *requests, int32_t count)
{
    tkp_policy *policy;
    tkp_mllm_result *result;
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    const tkp_tensor text = stated_get("policy");
    assert_ok(tkp_policy_load_text(
        &policy, tkp__data(&text), (size_t)text.shape[0], NULL));
    options.max_new_tokens = (int32_t)stated_get("tokens").shape[0];
    options.policy = policy;
    options.ignore_eos = 1;
    options.on_trace = recorder_take;
    options.on_trace_user = &seen;
    recorder_clear(&seen);
    assert_ok(tkp_mllm_generate(&result, bed.model, requests, count, &options));
    tkp_policy_destroy(policy);
    return result;
}

static void check_tokens(const tkp_mllm_result *result, int32_t index)
{
    const tkp_tensor want = stated_get("tokens");
    const int32_t *ids;
    ck_assert_int_eq(
        tkp_mllm_result_tokens(result, index, &ids), want.shape[0]);
    for (int64_t i = 0; i < want.shape[0]; i++)
        ck_assert_int_eq(ids[i], ((const int32_t *)tkp__data(&want))[i]);
}

static void check_rows(int32_t boundary)
{
    const tkp_tensor want = stated_get("rows");
    const recorded *rows = recorder_get(&seen, "prune.rows", boundary);
    ck_assert_int_eq(rows->rows * rows->width, want.shape[0]);
    for (int64_t i = 0; i < want.shape[0]; i++)
        ck_assert_int_eq(
            (int32_t)rows->values[i], ((const int32_t *)tkp__data(&want))[i]);
    tkp_tensor bias;
    if (!tkp__safetensors_find(stated, "key_bias", &bias))
        return;
    compare_rows(
        "key_bias", recorder_get(&seen, "prune.key_bias", boundary)->values, 1,
        tkp__data(&bias), 1, bias.shape[0], 1e-6, false);
}

START_TEST(generate__method_in_the_decoder__as_numpy_states_it)
{
    const char *images[1];
    if (!testbed_has_backend(cases[_i].backend))
        return;
    testbed_open(&bed, cases[_i].golden, cases[_i].backend, 0);
    open_stated(cases[_i].method, cases[_i].golden);
    const tkp_mllm_request request = testbed_request(&bed, images);
    tkp_mllm_result *result = run(&request, 1);
    const tkp_tensor boundary = stated_get("boundary");
    const tkp_tensor logits = stated_get("logits");
    check_tokens(result, 0);
    check_rows(*(const int32_t *)tkp__data(&boundary));
    for (int32_t step = 0; step < logits.shape[0]; step++)
        compare_rows(
            "logits", recorder_get(&seen, "logits", step)->values, 1,
            (const float *)tkp__data(&logits) + step * logits.shape[1], 1,
            logits.shape[1], 2e-5, false);
    tkp_mllm_result_destroy(result);
    /* Of a batch each is what it is alone. */
    const tkp_mllm_request two[2] = {request, request};
    result = run(two, 2);
    check_tokens(result, 0);
    check_tokens(result, 1);
    tkp_mllm_result_destroy(result);
    tkp__safetensors_close(stated);
    testbed_close(&bed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/engine_methods");
    TCase *forward = tcase_create("forward");
    tcase_add_loop_test(
        forward, generate__method_in_the_decoder__as_numpy_states_it, 0, CASES);
    tcase_set_timeout(forward, 120);
    suite_add_tcase(suite, forward);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
