/*
 * The flat calls: what a language hands over is checked, wrong handles and
 * records are answered, nothing is lost, and two threads do not meet.
 */

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "flat.h"
#ifdef FLAT_WITH_MLLM
#    include "flat_mllm.h"
#endif

#define OK(call)                                                               \
    do {                                                                       \
        const tkp_status status_ = (call);                                     \
        ck_assert_msg(                                                         \
            status_ == TKP_OK, "%s: %s: %s", #call,                            \
            tkp_status_string(status_), tkp_last_message());                   \
    } while (0)

/* The call fails so, and its message has these words. */
#define FAILS(call, status, words)                                             \
    do {                                                                       \
        ck_assert_int_eq(call, status);                                        \
        ck_assert_msg(                                                         \
            strstr(tkp_last_message(), words) != NULL, "'%s' is not in '%s'",  \
            words, tkp_last_message());                                        \
    } while (0)

enum { ROWS = 47, WIDTH = 12 };

static int64_t context, exec, layout, policy, sequence;
static tkp_model_desc model;
static float q[ROWS * 4 * 6], k[ROWS * 2 * 6], hidden[ROWS * WIDTH];

/* The records of a call, one after the other. */
typedef struct records {
    int64_t at[8 * FLAT_RECORD];
    int64_t n;
} records;

static void
add(records *r,
    int32_t slot,
    void *data,
    int32_t dtype,
    int64_t n0,
    int64_t n1,
    int64_t n2)
{
    int64_t *to = r->at + r->n;
    const int64_t sizes[] = {n0, n1, n2};
    memset(to, 0, FLAT_RECORD * sizeof(*to));
    to[0] = slot;
    to[1] = (int64_t)(intptr_t)data;
    to[2] = dtype;
    to[3] = TKP_DEVICE_CPU;
    to[5] = n2 ? 3 : n1 ? 2 : 1;
    int64_t step = 1;
    for (int64_t d = to[5] - 1; d >= 0; d--) {
        to[6 + d] = sizes[d];
        to[6 + TKP_MAX_DIMS + d] = step;
        step *= sizes[d];
    }
    r->n += FLAT_RECORD;
}

static records q_and_k(void)
{
    records r = {.n = 0};
    add(&r, FLAT_Q, q, TKP_DTYPE_F32, ROWS, 4, 6);
    add(&r, FLAT_K, k, TKP_DTYPE_F32, ROWS, 2, 6);
    return r;
}

static void open_all(void)
{
    int64_t index;
    for (int i = 0; i < ROWS * 24; i++)
        q[i] = (float)((i * 7919) % 101) / 101.0f - 0.5f;
    for (int i = 0; i < ROWS * 12; i++) {
        k[i] = (float)((i * 104729) % 97) / 97.0f - 0.5f;
        hidden[i] = (float)i;
    }
    tkp_model_desc_init(&model);
    model.dtype = TKP_DTYPE_F32;
    model.layers = 8;
    model.heads = 4;
    model.kv_heads = 2;
    model.head_dim = 6;
    model.hidden = WIDTH;
    OK(flat_context_create(&context, "ref", "", 0, 0, 0));
    OK(flat_exec_create(&exec, context, 0));
    OK(flat_layout_create(&layout));
    OK(flat_layout_add_sequence(&index, layout, 0, ROWS, 0, 0));
    ck_assert_int_eq(index, 0);
    OK(flat_layout_add_image(
        &index, layout, 0, 1, 1, 6, 6, 0, 0, 0, 0, 0, NULL, 0));
    OK(flat_policy_load_preset(&policy, "fastv"));
    OK(flat_sequence_create(&sequence, context));
}

static void close_all(void)
{
    /* The context first: what was made of it keeps what it needs. */
    OK(flat_destroy(context));
    OK(flat_destroy(exec));
    OK(flat_destroy(layout));
    OK(flat_destroy(policy));
    OK(flat_destroy(sequence));
}

static int64_t prune(void)
{
    const records given = q_and_k();
    tkp_point point = TKP_POINT_INIT;
    int64_t decision = 0;
    OK(flat_sequence_begin(sequence, exec, policy, layout, &model));
    OK(flat_sequence_next(sequence, &point));
    ck_assert_int_eq(point.kind, TKP_POINT_LLM);
    OK(flat_sequence_prune(&decision, sequence, exec, given.at, given.n));
    return decision;
}

/* --- the protocol ---------------------------------------------------------------- */

START_TEST(prune__rows_go_where_the_decision_says)
{
    const int64_t decision = prune();
    int64_t dtype;
    int64_t ndim;
    int64_t n;
    int64_t one;
    OK(flat_decision_shape(
        &dtype, &ndim, &n, &one, sequence, decision, FLAT_DECISION_INDICES));
    ck_assert_int_eq(dtype, TKP_DTYPE_I32);
    ck_assert_int_eq(ndim, 1);
    int32_t indices[ROWS];
    float out[ROWS * WIDTH];
    records r = {.n = 0};
    add(&r, FLAT_OUT_DATA, indices, TKP_DTYPE_I32, n, 0, 0);
    OK(flat_decision_copy(
        sequence, exec, decision, FLAT_DECISION_INDICES, r.at, r.n));
    r.n = 0;
    add(&r, FLAT_SOURCE, hidden, TKP_DTYPE_F32, ROWS, WIDTH, 0);
    add(&r, FLAT_OUT_ROWS, out, TKP_DTYPE_F32, n, WIDTH, 0);
    OK(flat_decision_gather(sequence, exec, decision, 0, r.at, r.n));
    for (int64_t i = 0; i < n; i++)
        ck_assert_float_eq(out[i * WIDTH], (float)(indices[i] * WIDTH));

    tkp_report report = TKP_REPORT_INIT;
    int64_t tokens[8];
    r.n = 0;
    add(&r, FLAT_OUT_LAYER_TOKENS, tokens, TKP_DTYPE_I64, 8, 0, 0);
    OK(flat_sequence_report(sequence, &report, r.at, r.n));
    ck_assert_int_eq(tokens[0], ROWS);
    ck_assert_int_eq(tokens[7], n);
    ck_assert_int_eq(report.visual_before, 36);
}
END_TEST

START_TEST(decision__after_begin_or_with_wrong_arrays__refused)
{
    const int64_t decision = prune();
    int32_t few[3];
    records r = {.n = 0};
    add(&r, FLAT_OUT_DATA, few, TKP_DTYPE_I32, 3, 0, 0);
    FAILS(
        flat_decision_copy(
            sequence, exec, decision, FLAT_DECISION_INDICES, r.at, r.n),
        TKP_ERR_SHAPE, "data_out: has 3 elements");
    FAILS(
        flat_decision_copy(
            sequence, exec, decision, FLAT_DECISION_SIZES, r.at, r.n),
        TKP_ERR_DTYPE, "data_out: dtype is i32, wanted f32");
    FAILS(
        flat_decision_copy(
            sequence, exec, decision, FLAT_DECISION_MERGED, r.at, r.n),
        TKP_ERR_ARGUMENT, "has no field");
    FAILS(
        flat_decision_copy(sequence, exec, decision, 99, r.at, r.n),
        TKP_ERR_ARGUMENT, "field is 99");
    FAILS(
        flat_decision_copy(sequence, exec, 0, 0, r.at, r.n), TKP_ERR_STATE,
        "taken its place");
    OK(flat_sequence_begin(sequence, exec, policy, layout, &model));
    FAILS(
        flat_decision_copy(sequence, exec, decision, 0, r.at, r.n),
        TKP_ERR_STATE, "taken its place");
}
END_TEST

START_TEST(parts__out_of_texts__as_those_of_a_policy)
{
    int64_t of_text;
    int64_t of_policy;
    int64_t none;
    OK(flat_scorer_create(
        &of_text, context, "{kind: attention, query: last}", layout, &model));
    OK(flat_scorer_create_of(&of_policy, context, policy, 0, layout, &model));
    float a[36];
    float b[36];
    records r = q_and_k();
    add(&r, FLAT_OUT_SCORES, a, TKP_DTYPE_F32, 36, 0, 0);
    OK(flat_scorer_run(of_text, exec, r.at, r.n));
    r = q_and_k();
    add(&r, FLAT_OUT_SCORES, b, TKP_DTYPE_F32, 36, 0, 0);
    OK(flat_scorer_run(of_policy, exec, r.at, r.n));
    ck_assert_mem_eq(a, b, sizeof(a));
    FAILS(
        flat_scorer_create(&none, context, "{kind: atention}", layout, &model),
        TKP_ERR_POLICY, "scorer:4:");
    FAILS(
        flat_selector_create(
            &none, context, "topk", "{count: 37}", layout, NULL),
        TKP_ERR_OPTION, "37");
    OK(flat_destroy(of_text));
    OK(flat_destroy(of_policy));
}
END_TEST

/* --- what a language may get wrong ----------------------------------------------------- */

START_TEST(records__wrong_in_any_way__refused_by_name)
{
    static const struct {
        int word; /* of the record of q */
        int64_t value;
        tkp_status status;
        const char *words;
    } cases[] = {
        {0, -1, TKP_ERR_ARGUMENT, "is not for this call"},
        {0, 12345, TKP_ERR_ARGUMENT, "is not for this call"},
        {0, FLAT_KEPT, TKP_ERR_ARGUMENT, "kept: is not for this call"},
        {1, 0, TKP_ERR_ARGUMENT, "q"},
        {2, 99, TKP_ERR_DTYPE, "q"},
        {2, TKP_DTYPE_I32, TKP_ERR_DTYPE, "q"},
        {3, TKP_DEVICE_CUDA, TKP_ERR_ARGUMENT, "device 2:0"},
        {5, -1, TKP_ERR_SHAPE, "q: has -1 dimensions"},
        {5, TKP_MAX_DIMS + 1, TKP_ERR_SHAPE, "q: has 7 dimensions"},
        {6, -4, TKP_ERR_SHAPE, "q"},
        {6, INT64_MAX, TKP_ERR_SHAPE, "q"},
    };
    tkp_point point = TKP_POINT_INIT;
    int64_t decision;
    OK(flat_sequence_begin(sequence, exec, policy, layout, &model));
    OK(flat_sequence_next(sequence, &point));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        records r = q_and_k();
        r.at[cases[i].word] = cases[i].value;
        const tkp_status met =
            flat_sequence_prune(&decision, sequence, exec, r.at, r.n);
        ck_assert_msg(
            met == cases[i].status, "case %zu: %s: %s", i,
            tkp_status_string(met), tkp_last_message());
        ck_assert_msg(
            strstr(tkp_last_message(), cases[i].words) != NULL, "case %zu: %s",
            i, tkp_last_message());
    }
    const records r = q_and_k();
    FAILS(
        flat_sequence_prune(&decision, sequence, exec, r.at, r.n - 1),
        TKP_ERR_ARGUMENT, "wanted records");
    FAILS(
        flat_sequence_prune(&decision, sequence, exec, NULL, FLAT_RECORD),
        TKP_ERR_ARGUMENT, "wanted records");
    FAILS(
        flat_sequence_prune(&decision, sequence, exec, r.at, -FLAT_RECORD),
        TKP_ERR_ARGUMENT, "wanted records");
    OK(flat_sequence_prune(&decision, sequence, exec, r.at, r.n));
}
END_TEST

START_TEST(masks_and_positions__of_a_wrong_size__refused)
{
    uint8_t valid[36] = {0};
    int32_t positions[ROWS] = {0};
    int64_t other;
    int64_t index;
    records r = {.n = 0};
    OK(flat_layout_create(&other));
    OK(flat_layout_add_sequence(&index, other, 0, ROWS, 0, 0));
    add(&r, FLAT_VALID, valid, TKP_DTYPE_U8, 35, 0, 0);
    FAILS(
        flat_layout_add_image(
            &index, other, 0, 1, 1, 6, 6, 0, 0, 0, 0, 0, r.at, r.n),
        TKP_ERR_SHAPE, "valid: has 35 elements, wanted 36");
    ck_assert_int_ne(
        flat_layout_add_image(
            &index, other, 0, 1, 1, -6, 6, 0, 0, 0, 0, 0, r.at, r.n),
        TKP_OK);
    FAILS(
        flat_layout_set_positions(other, r.at, r.n), TKP_ERR_ARGUMENT,
        "valid: is not for this call");
    FAILS(
        flat_layout_set_positions(other, NULL, 0), TKP_ERR_SHAPE, "positions");
    r.n = 0;
    add(&r, FLAT_POSITIONS, positions, TKP_DTYPE_I32, ROWS - 1, 0, 0);
    ck_assert_int_ne(flat_layout_set_positions(other, r.at, r.n), TKP_OK);
    r.at[6 + TKP_MAX_DIMS] = 2;
    FAILS(
        flat_layout_set_positions(other, r.at, r.n), TKP_ERR_SHAPE,
        "positions: has gaps");
    OK(flat_destroy(other));
}
END_TEST

START_TEST(handles__closed_or_of_another_kind__refused)
{
    int64_t none;
    FAILS(
        flat_exec_create(&none, 0, 0), TKP_ERR_ARGUMENT, "context: is closed");
    FAILS(
        flat_exec_create(&none, layout, 0), TKP_ERR_ARGUMENT,
        "context: met a layout, wanted a context");
    FAILS(
        flat_sequence_begin(sequence, exec, layout, policy, &model),
        TKP_ERR_ARGUMENT, "policy: met a layout");
    ck_assert_int_eq(flat_layout_rows(0), -1);
    ck_assert_ptr_null(flat_context_backend_name(0, 0));
    ck_assert_ptr_null(flat_policy_yaml(0));
    ck_assert_int_eq(flat_needs(exec), 0);
    OK(flat_destroy(0));
}
END_TEST

START_TEST(enter__one_at_a_time_in_an_exec__many_in_a_policy)
{
    OK(flat_enter(exec));
    FAILS(flat_enter(exec), TKP_ERR_STATE, "exec: another call");
    FAILS(flat_destroy(exec), TKP_ERR_STATE, "exec: 1 calls are at work");
    flat_leave(exec);
    OK(flat_enter(policy));
    OK(flat_enter(policy));
    FAILS(flat_destroy(policy), TKP_ERR_STATE, "policy: 2 calls");
    flat_leave(policy);
    flat_leave(policy);
    OK(flat_enter(0));
    flat_leave(0);
}
END_TEST

/* --- threads --------------------------------------------------------------------------- */

static void *prune_many(void *unused)
{
    (void)unused;
    int64_t own;
    int64_t of;
    const records given = q_and_k();
    OK(flat_exec_create(&own, context, 0));
    OK(flat_sequence_create(&of, context));
    for (int i = 0; i < 20; i++) {
        tkp_point point = TKP_POINT_INIT;
        int64_t decision;
        OK(flat_enter(policy));
        OK(flat_sequence_begin(of, own, policy, layout, &model));
        OK(flat_sequence_next(of, &point));
        OK(flat_sequence_prune(&decision, of, own, given.at, given.n));
        flat_leave(policy);
    }
    OK(flat_destroy(of));
    OK(flat_destroy(own));
    return NULL;
}

START_TEST(threads__share_context_layout_and_policy)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    prune(); /* the layout is frozen */
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, prune_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

/* --- requests -------------------------------------------------------------------------- */

#ifdef FLAT_WITH_MLLM
START_TEST(requests__in_order__and_out_of_it)
{
    int64_t batch;
    OK(flat_requests_create(&batch));
    FAILS(
        flat_requests_add_image(batch, "a.png"), TKP_ERR_STATE,
        "wanted a prompt first");
    for (int i = 0; i < 9; i++) { /* lists grow */
        OK(flat_requests_add(batch, "what?", i % 2 ? "be brief" : "", 0, i));
        for (int j = 0; j < 7; j++)
            OK(flat_requests_add_image(batch, "a.png"));
        FAILS(
            flat_requests_add_frame(batch, "f.png"), TKP_ERR_STATE,
            "wanted a video first");
        OK(flat_requests_add_video(batch, 2.0));
        OK(flat_requests_add_frame(batch, "f.png"));
    }
    FAILS(flat_requests_add(batch, NULL, "", 0, 0), TKP_ERR_ARGUMENT, "prompt");
    FAILS(
        flat_requests_add(batch, "x", "", 0, -1), TKP_ERR_ARGUMENT,
        "id: is -1");
    FAILS(flat_requests_add_image(batch, NULL), TKP_ERR_ARGUMENT, "path");
    int64_t none;
    FAILS(
        flat_mllm_generate(&none, batch, batch, 0, NULL, 0, NULL, 0),
        TKP_ERR_ARGUMENT, "model: met a requests");
    OK(flat_destroy(batch));
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("flat");
    TCase *t = tcase_create("calls");
    tcase_add_checked_fixture(t, open_all, close_all);
    tcase_add_test(t, prune__rows_go_where_the_decision_says);
    tcase_add_test(t, decision__after_begin_or_with_wrong_arrays__refused);
    tcase_add_test(t, parts__out_of_texts__as_those_of_a_policy);
    tcase_add_test(t, records__wrong_in_any_way__refused_by_name);
    tcase_add_test(t, masks_and_positions__of_a_wrong_size__refused);
    tcase_add_test(t, handles__closed_or_of_another_kind__refused);
    tcase_add_test(t, enter__one_at_a_time_in_an_exec__many_in_a_policy);
    tcase_add_test(t, threads__share_context_layout_and_policy);
#ifdef FLAT_WITH_MLLM
    tcase_add_test(t, requests__in_order__and_out_of_it);
#endif
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
