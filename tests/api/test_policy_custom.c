/*
 * Scorers, selectors and mergers of the caller's own, named in YAML and run
 * beside the built-in ones.
 */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline_testing.h"

/* What the caller's functions do and have seen. */
typedef struct own {
    int runs;
    int released;
    int mistake; /* selector: which wrong answer to give */
    tkp_status fail;
} own;

static void release(void *user)
{
    ((own *)user)->released++;
}

/* First channel of the hidden row. */
static tkp_status score_first_channel(
    void *user,
    const tkp_batch_view *view,
    const tkp_inputs *inputs,
    tkp_exec *exec,
    const tkp_tensor *scores)
{
    own *o = user;
    (void)exec;
    o->runs++;
    if (o->fail)
        return o->fail;
    const float *hidden = inputs->hidden->data;
    float *out = scores->data;
    for (int64_t n = 0; n < view->candidates; n++)
        out[n] = hidden[view->candidate_rows[n] * TEST_D];
    return TKP_OK;
}

enum { ANOTHER_SEQUENCE = 1, TWICE, NEGATIVE };

/* The last candidates of each sequence, backwards. */
static tkp_status select_last(
    void *user,
    const tkp_batch_view *view,
    const tkp_tensor *scores,
    const int32_t *keep_offsets,
    tkp_exec *exec,
    const tkp_tensor *selected)
{
    own *o = user;
    (void)scores;
    (void)exec;
    o->runs++;
    int32_t *out = selected->data;
    for (int32_t b = 0; b < view->sequences; b++)
        for (int32_t k = keep_offsets[b]; k < keep_offsets[b + 1]; k++)
            out[k] = view->candidate_offsets[b + 1] - 1 - (k - keep_offsets[b]);
    if (o->mistake == ANOTHER_SEQUENCE)
        out[0] = view->candidate_offsets[1];
    if (o->mistake == TWICE)
        out[1] = out[0];
    if (o->mistake == NEGATIVE)
        out[0] = -1;
    return TKP_OK;
}

/* Every kept row becomes 7, and takes in all that was dropped. */
static tkp_status merge_into_sevens(
    void *user,
    const tkp_batch_view *view,
    const tkp_inputs *inputs,
    const tkp_tensor *kept,
    tkp_exec *exec,
    const tkp_tensor *rows,
    const tkp_tensor *sizes,
    const tkp_tensor *assignment)
{
    (void)inputs;
    (void)exec;
    ((own *)user)->runs++;
    const int32_t *list = kept->data;
    for (int64_t i = 0; i < kept->shape[0] * TEST_D; i++)
        ((float *)rows->data)[i] = 7.0f;
    for (int64_t k = 0; k < kept->shape[0]; k++)
        ((float *)sizes->data)[k] = 1.0f;
    for (int64_t n = 0; n < view->candidates; n++)
        ((int32_t *)assignment->data)[n] = -1;
    for (int64_t k = 0; k < kept->shape[0]; k++)
        ((int32_t *)assignment->data)[list[k]] = (int32_t)k;
    return TKP_OK;
}

static void register_scorer(own *o, uint32_t needs)
{
    const tkp_scorer_vtable table = {
        .struct_size = sizeof(table),
        .needs = needs,
        .run = score_first_channel,
        .release = release,
    };
    ck_assert_int_eq(tkp_scorer_register("first-channel", &table, o), TKP_OK);
}

static void register_selector(own *o)
{
    const tkp_selector_vtable table = {
        .struct_size = sizeof(table),
        .run = select_last,
        .release = release,
    };
    ck_assert_int_eq(tkp_selector_register("last", &table, o), TKP_OK);
}

static void register_merger(own *o)
{
    const tkp_merger_vtable table = {
        .struct_size = sizeof(table),
        .run = merge_into_sevens,
        .release = release,
    };
    ck_assert_int_eq(tkp_merger_register("sevens", &table, o), TKP_OK);
}

static void make_batch(test_batch *batch, const uint8_t *keep)
{
    const test_image image = {2, 1, 4, 4, 0, NULL, keep};
    test_batch_begin(batch);
    test_batch_add(batch, 1, 21, &image, 1);
    test_batch_add(batch, 2, 23, &image, 1);
    test_batch_fill(batch);
}

#define OWN_SCORER                                                             \
    "  - at: projector\n"                                                      \
    "    scorer: {kind: custom, custom: first-channel}\n"                      \
    "    selector: topk\n"                                                     \
    "    budget: {count: 5}\n"

START_TEST(custom_scorer__named_in_yaml__chooses)
{
    own o = {0};
    test_engine engine;
    test_batch batch;
    test_outcome r;
    ck_assert(test_engine_open(&engine, "ref", 1));
    make_batch(&batch, NULL);
    register_scorer(&o, TKP_NEED_HIDDEN);
    tkp_policy *policy = test_policy(OWN_SCORER);
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(o.runs, 1);
    ck_assert_int_eq(r.n_scores, 32);
    for (int32_t n = 0; n < 32; n++)
        ck_assert_float_eq(
            r.scores[n],
            batch.hidden[(n < 16 ? 2 + n : 21 + 2 + n - 16) * TEST_D]);
    ck_assert_int_eq(r.offsets[1], 10);
    test_outcome_release(&r);
    ck_assert_int_eq(tkp_scorer_unregister("first-channel"), TKP_OK);
    ck_assert_int_eq(o.released, 1);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(custom_scorer__in_a_blend__one_term_of_it)
{
    own o = {0};
    test_engine engine;
    test_batch batch;
    test_outcome r;
    ck_assert(test_engine_open(&engine, "ref", 1));
    make_batch(&batch, NULL);
    register_scorer(&o, TKP_NEED_HIDDEN);
    tkp_policy *policy = test_policy(
        "  - at: llm:2\n"
        "    scorer: {kind: blend, terms: [\n"
        "      {weight: 2, scorer: {kind: custom, custom: first-channel}},\n"
        "      {weight: -1, scorer: {kind: custom, custom: first-channel}}]}\n"
        "    selector: topk\n"
        "    budget: {count: 5}\n");
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(o.runs, 2);
    ck_assert_float_eq_tol(r.scores[3], batch.hidden[5 * TEST_D], 1e-6f);
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(custom_selector_and_merger__choose_and_replace)
{
    own s = {0};
    own m = {0};
    test_engine engine;
    test_batch batch;
    test_outcome r;
    ck_assert(test_engine_open(&engine, "ref", 1));
    make_batch(&batch, NULL);
    register_selector(&s);
    register_merger(&m);
    tkp_policy *policy =
        test_policy("  - at: projector\n"
                    "    selector: {kind: custom, custom: last}\n"
                    "    merger: {kind: custom, custom: sevens}\n"
                    "    budget: {count: 3}\n");
    test_run(&r, &engine, policy, &batch, TEST_QK);
    ck_assert_int_eq(s.runs, 1);
    ck_assert_int_eq(m.runs, 1);
    for (int32_t i = 0; i < 3; i++) {
        ck_assert_int_eq(r.origin[2 + i], 2 + 13 + i);
        ck_assert_float_eq(r.hidden[(2 + i) * TEST_D + 3], 7.0f);
    }
    ck_assert_float_eq(r.hidden[0], batch.hidden[0]);
    test_outcome_release(&r);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* Begin, lend memory, ask for the point and prune. */
static tkp_status prune_once(
    test_engine *engine,
    tkp_policy *policy,
    test_batch *batch,
    tkp_sequence **sequence)
{
    tkp_point point = TKP_POINT_INIT;
    tkp_inputs inputs = TKP_INPUTS_INIT;
    tkp_decision decision = TKP_DECISION_INIT;
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    tkp_tensor hidden;
    ck_assert_int_eq(tkp_sequence_create(sequence, engine->context), TKP_OK);
    const tkp_status status = tkp_sequence_begin(
        *sequence, engine->exec, policy, batch->layout, &batch->model);
    if (status != TKP_OK)
        return status;
    ck_assert_int_eq(tkp_sequence_query(*sequence, &need), TKP_OK);
    engine->workspace =
        aligned_alloc(64, (need.workspace_bytes + 63) / 64 * 64);
    ck_assert_int_eq(
        tkp_exec_set_workspace(
            engine->exec, engine->workspace, need.workspace_bytes),
        TKP_OK);
    ck_assert_int_eq(tkp_sequence_next(*sequence, &point), TKP_OK);
    tkp_tensor_make_2d(
        &hidden, batch->hidden, TKP_DTYPE_F32, batch->rows, TEST_D);
    inputs.hidden = &hidden;
    return tkp_sequence_prune(*sequence, engine->exec, &inputs, &decision);
}

START_TEST(custom_selector__wrong_answers__refused)
{
    static const char *const messages[] = {
        "selector 'last': chose candidate 16 for sequence 0, wanted 0 to 15",
        NULL,
        "selector 'last': chose candidate -1 for sequence 0, wanted 0 to 15"};
    own o = {.mistake = _i};
    test_engine engine;
    test_batch batch;
    tkp_sequence *sequence;
    ck_assert(test_engine_open(&engine, "ref", 1));
    make_batch(&batch, NULL);
    register_selector(&o);
    tkp_policy *policy =
        test_policy("  - at: projector\n"
                    "    selector: {kind: custom, custom: last}\n"
                    "    budget: {count: 3}\n");
    ck_assert_int_eq(
        prune_once(&engine, policy, &batch, &sequence), TKP_ERR_ARGUMENT);
    if (messages[_i - 1])
        ck_assert_str_eq(tkp_last_message(), messages[_i - 1]);
    else
        ck_assert_ptr_nonnull(strstr(tkp_last_message(), "came before"));
    tkp_sequence_destroy(sequence);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(custom_selector__leaves_a_protected_token_out__refused)
{
    own o = {0};
    uint8_t keep[16] = {0};
    keep[4] = 1;
    test_engine engine;
    test_batch batch;
    tkp_sequence *sequence;
    ck_assert(test_engine_open(&engine, "ref", 1));
    make_batch(&batch, keep);
    register_selector(&o);
    tkp_policy *policy =
        test_policy("  - at: projector\n"
                    "    selector: {kind: custom, custom: last}\n"
                    "    budget: {count: 3}\n");
    ck_assert_int_eq(
        prune_once(&engine, policy, &batch, &sequence), TKP_ERR_ARGUMENT);
    ck_assert_str_eq(
        tkp_last_message(),
        "selector 'last': left out candidate 4, which is always kept");
    tkp_sequence_destroy(sequence);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(custom_scorer__fails__its_status_is_passed_on)
{
    own o = {.fail = TKP_ERR_CANCELLED};
    test_engine engine;
    test_batch batch;
    tkp_sequence *sequence;
    ck_assert(test_engine_open(&engine, "ref", 1));
    make_batch(&batch, NULL);
    register_scorer(&o, TKP_NEED_HIDDEN);
    tkp_policy *policy = test_policy(OWN_SCORER);
    ck_assert_int_eq(
        prune_once(&engine, policy, &batch, &sequence), TKP_ERR_CANCELLED);
    tkp_sequence_destroy(sequence);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

START_TEST(names__taken_unknown_and_in_use__refused)
{
    own o = {0};
    test_engine engine;
    test_batch batch;
    tkp_sequence *sequence;
    ck_assert(test_engine_open(&engine, "ref", 1));
    make_batch(&batch, NULL);
    tkp_policy *policy = test_policy(OWN_SCORER); /* known later */
    ck_assert_int_eq(
        prune_once(&engine, policy, &batch, &sequence), TKP_ERR_OPTION);
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "'first-channel'"));
    tkp_sequence_destroy(sequence);
    register_scorer(&o, TKP_NEED_HIDDEN);
    const tkp_scorer_vtable table = {
        .struct_size = sizeof(table), .run = score_first_channel};
    ck_assert_int_eq(
        tkp_scorer_register("first-channel", &table, &o), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(prune_once(&engine, policy, &batch, &sequence), TKP_OK);
    ck_assert_int_eq(tkp_scorer_unregister("first-channel"), TKP_ERR_STATE);
    tkp_sequence_destroy(sequence);
    ck_assert_int_eq(tkp_scorer_unregister("first-channel"), TKP_OK);
    ck_assert_int_eq(tkp_scorer_unregister("first-channel"), TKP_ERR_ARGUMENT);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

/* Which layer's attention it reads is settled when the stage is added. */
START_TEST(custom_scorer__reads_attention__registered_before_the_policy)
{
    own o = {0};
    test_engine engine;
    test_batch batch;
    tkp_sequence *sequence;
    static const char stages[] =
        "  - at: llm:4\n"
        "    scorer: {kind: custom, custom: first-channel}\n"
        "    selector: topk\n"
        "    budget: {count: 5}\n";
    ck_assert(test_engine_open(&engine, "ref", 1));
    make_batch(&batch, NULL);
    tkp_policy *early = test_policy(stages);
    register_scorer(&o, TKP_NEED_HIDDEN | TKP_NEED_ATTENTION);
    ck_assert_int_eq(
        prune_once(&engine, early, &batch, &sequence), TKP_ERR_STATE);
    tkp_sequence_destroy(sequence);
    tkp_policy_destroy(early);
    tkp_policy *policy = test_policy(stages);
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    ck_assert_int_eq(tkp_policy_get_stage(policy, 0, &stage), TKP_OK);
    ck_assert_int_eq(stage.score_layer, 3);
    tkp_policy_destroy(policy);
    test_batch_release(&batch);
    test_engine_close(&engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/policy_custom");
    TCase *t = tcase_create("custom");
    tcase_add_test(t, custom_scorer__named_in_yaml__chooses);
    tcase_add_test(t, custom_scorer__in_a_blend__one_term_of_it);
    tcase_add_test(t, custom_selector_and_merger__choose_and_replace);
    tcase_add_loop_test(
        t, custom_selector__wrong_answers__refused, ANOTHER_SEQUENCE,
        NEGATIVE + 1);
    tcase_add_test(t, custom_selector__leaves_a_protected_token_out__refused);
    tcase_add_test(t, custom_scorer__fails__its_status_is_passed_on);
    tcase_add_test(t, names__taken_unknown_and_in_use__refused);
    tcase_add_test(
        t, custom_scorer__reads_attention__registered_before_the_policy);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
