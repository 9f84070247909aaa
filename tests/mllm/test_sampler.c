/* The repetition penalty against transformers' processor, bit for bit
 * (tests/golden/text/penalty.jsonl, by tools/golden/make_penalty_vectors.py). */

#include "mllm/decoder/sampler.h"
#include "text_testing.h"

enum { VOCAB = 48 };

static void numbers_of(float out[VOCAB], const json_t *array)
{
    ck_assert_uint_eq(json_array_size(array), VOCAB);
    for (size_t i = 0; i < VOCAB; ++i)
        out[i] = (float)json_number_value(json_array_get(array, i));
}

static void check_row(const json_t *row)
{
    const tkp__sampler_options options = {
        .temperature = 1.0,
        .top_p = 1.0,
        .repetition_penalty = json_number_value(json_array_get(row, 0))};
    float logits[VOCAB], wanted[VOCAB];
    numbers_of(logits, json_array_get(row, 2));
    numbers_of(wanted, json_array_get(row, 3));
    tkp__sampler sampler;
    expect_ok(tkp__sampler_create(&sampler, &options, 1, VOCAB));
    size_t i;
    json_t *id;
    json_array_foreach(json_array_get(row, 1), i, id)
    {
        tkp__sampler_note(&sampler, 0, (int32_t)json_integer_value(id));
    }
    int32_t picked, best = 0;
    for (int32_t v = 1; v < VOCAB; ++v)
        best = wanted[v] > wanted[best] ? v : best;
    expect_ok(tkp__sampler_pick(&sampler, logits, 0, 0, 0, &picked));
    ck_assert_mem_eq(logits, wanted, sizeof(wanted));
    ck_assert_int_eq(picked, best);
    tkp__sampler_release(&sampler);
}

START_TEST(sampler_pick__repetition_penalty__logits_equal_transformers)
{
    FILE *lines = fopen(golden_text_path("penalty.jsonl"), "rb");
    ck_assert_ptr_nonnull(lines);
    int count = 0;
    json_t *row;
    while ((row = json_loadf(lines, JSON_DISABLE_EOF_CHECK, NULL))) {
        check_row(row);
        json_decref(row);
        ++count;
    }
    fclose(lines);
    ck_assert_int_eq(count, 60);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/sampler");
    TCase *tests = tcase_create("penalty");
    tcase_add_test(
        tests, sampler_pick__repetition_penalty__logits_equal_transformers);
    suite_add_tcase(suite, tests);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
