/* Selectors with a scorer of their own: what they ask for, and whose scores
 * decide. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tokenprune.h"

enum { TEXT = 2, CELLS = 6, ROWS = TEXT + CELLS, D = 1 };

static tkp_context *context;
static tkp_exec *exec;
static tkp_layout *layout;
static tkp_selector_options options;
static tkp_scorer_options scorer;
static tkp_budget budget;
static tkp_model_desc model;

/* One token of text, 2 x 3 cells, one token of text. */
static void setup(void)
{
    tkp_sequence_desc sequence = TKP_SEQUENCE_DESC_INIT;
    tkp_image_desc image = TKP_IMAGE_DESC_INIT;
    int32_t number;
    ck_assert_int_eq(tkp_context_create(&context, NULL), TKP_OK);
    ck_assert_int_eq(tkp_exec_create(&exec, context, NULL), TKP_OK);
    ck_assert_int_eq(tkp_layout_create(&layout), TKP_OK);
    sequence.length = ROWS;
    ck_assert_int_eq(
        tkp_layout_add_sequence(layout, &sequence, &number), TKP_OK);
    image.sequence = number;
    image.start = 1;
    image.frames = 1;
    image.rows = 2;
    image.cols = 3;
    ck_assert_int_eq(tkp_layout_add_image(layout, &image, NULL), TKP_OK);
    options = (tkp_selector_options)TKP_SELECTOR_OPTIONS_INIT;
    options.kind = TKP_SELECTOR_TOPK;
    options.scorer = &scorer;
    scorer = (tkp_scorer_options)TKP_SCORER_OPTIONS_INIT;
    scorer.kind = TKP_SCORER_NORM;
    budget = (tkp_budget)TKP_BUDGET_INIT;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = 2;
    model = (tkp_model_desc)TKP_MODEL_DESC_INIT;
    model.dtype = TKP_DTYPE_F32;
    model.layers = 4;
    model.heads = 1;
    model.hidden = D;
}

static void teardown(void)
{
    tkp_layout_destroy(layout);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
}

static tkp_selector *make(void)
{
    tkp_selector *selector;
    ck_assert_msg(
        tkp_selector_create_for(
            &selector, context, &options, &budget, layout, &model) == TKP_OK,
        "%s", tkp_last_message());
    return selector;
}

static void
expect_message(tkp_status status, tkp_status wanted, const char *text)
{
    ck_assert_int_eq(status, wanted);
    ck_assert_msg(
        strstr(tkp_last_message(), text), "'%s', wanted '%s'",
        tkp_last_message(), text);
}

START_TEST(selector__own_scorer__its_needs_are_the_selectors)
{
    static const struct {
        int32_t kind;
        uint32_t needs;
    } cases[] = {
        {TKP_SCORER_NORM, TKP_NEED_HIDDEN},
        {TKP_SCORER_CLS_ATTENTION, TKP_NEED_CLS_ATTENTION},
        {TKP_SCORER_ATTENTION, TKP_NEED_ATTENTION},
        {TKP_SCORER_EXTERNAL, TKP_NEED_SCORES},
        {TKP_SCORER_NONE, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        scorer.kind = cases[i].kind;
        tkp_selector *selector = make();
        ck_assert_uint_eq(tkp_selector_needs(selector), cases[i].needs);
        tkp_selector_destroy(selector);
    }
}
END_TEST

/* Not those it is given, with which 0 and 1 would be kept. */
START_TEST(selector__own_scorer__its_scores_decide)
{
    float rows[ROWS] = {0, 1, 2, 9, 3, -8, 4, 0};
    float given[CELLS] = {9, 8, 0, 0, 0, 0};
    int32_t kept[2];
    tkp_inputs inputs = TKP_INPUTS_INIT;
    tkp_tensor hidden, scores, index;
    tkp_tensor_make_2d(&hidden, rows, TKP_DTYPE_F32, ROWS, D);
    tkp_tensor_make_1d(&scores, given, TKP_DTYPE_F32, CELLS);
    tkp_tensor_make_1d(&index, kept, TKP_DTYPE_I32, 2);
    inputs.hidden = &hidden;
    tkp_selector *selector = make();
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    ck_assert_int_eq(tkp_selector_query(selector, &need), TKP_OK);
    const uint64_t bytes = (need.workspace_bytes + 64) / 64 * 64;
    void *workspace = aligned_alloc(64, bytes);
    ck_assert_int_eq(tkp_exec_set_workspace(exec, workspace, bytes), TKP_OK);
    for (int32_t i = 0; i < 2; i++) { /* with others at hand, and without */
        ck_assert_msg(
            tkp_selector_run_on(
                selector, exec, &inputs, i ? NULL : &scores, &index, NULL, NULL,
                NULL) == TKP_OK,
            "%s", tkp_last_message());
        ck_assert_int_eq(kept[0], 2);
        ck_assert_int_eq(kept[1], 4);
    }
    expect_message(
        tkp_selector_run(selector, exec, &scores, &index, NULL),
        TKP_ERR_ARGUMENT, "inputs");
    inputs.hidden = NULL;
    expect_message(
        tkp_selector_run_on(
            selector, exec, &inputs, NULL, &index, NULL, NULL, NULL),
        TKP_ERR_ARGUMENT, "hidden");
    ck_assert_int_eq(tkp_exec_set_workspace(exec, NULL, 0), TKP_OK);
    free(workspace);
    tkp_selector_destroy(selector);
}
END_TEST

START_TEST(selector__own_scorer__wrong_options__refused)
{
    tkp_selector *selector = NULL;
    tkp_chain_part part = {.selector = &options};
    tkp_selector_options chain = TKP_SELECTOR_OPTIONS_INIT;
    expect_message(
        tkp_selector_create(&selector, context, &options, &budget, layout),
        TKP_ERR_ARGUMENT, "needs the model's shapes");
    options.kind = TKP_SELECTOR_STRIDE;
    expect_message(
        tkp_selector_create_for(
            &selector, context, &options, &budget, layout, &model),
        TKP_ERR_OPTION, "asks for no scores");
    options.kind = TKP_SELECTOR_TOPK;
    chain.kind = TKP_SELECTOR_CHAIN;
    chain.n_parts = 1;
    chain.parts = &part;
    chain.scorer = &scorer;
    expect_message(
        tkp_selector_create_for(
            &selector, context, &chain, &budget, layout, &model),
        TKP_ERR_OPTION, "is a chain");
    scorer.norm = 77;
    expect_message(
        tkp_selector_create_for(
            &selector, context, &options, &budget, layout, &model),
        TKP_ERR_OPTION, "norm");
    ck_assert_ptr_null(selector);
}
END_TEST

/* --- in a policy -------------------------------------------------------------- */

#define STAGE(at, selector)                                                    \
    "tokenprune: 1\nname: case\nstages:\n  - at: " at                          \
    "\n    selector: " selector "\n    budget: {count: 2}\n"
#define ASKED_BY(query)                                                        \
    "{kind: topk, scorer: {kind: attention, query: " query "}}"

static tkp_policy *load(const char *text)
{
    tkp_policy *policy;
    ck_assert_msg(
        tkp_policy_load_text(&policy, text, strlen(text), NULL) == TKP_OK, "%s",
        tkp_last_message());
    return policy;
}

START_TEST(policy__scorers_inside_selectors__told_beforehand)
{
    static const struct {
        const char *text;
        uint32_t needs, flags;
    } cases[] = {
        {STAGE("projector", "{kind: topk, scorer: cls-attention}"),
         TKP_NEED_CLS_ATTENTION, 0},
        {STAGE("llm:2", ASKED_BY("last")), TKP_NEED_ATTENTION,
         TKP_POLICY_TEXT_DEPENDENT | TKP_POLICY_IN_LLM},
        {STAGE(
             "projector",
             "{kind: chain, parts: [{count: 1, selector: {kind: topk, "
             "scorer: {kind: cls-attention, shallow: true}}}, "
             "{selector: {kind: topk, scorer: cls-attention}}]}"),
         TKP_NEED_CLS_ATTENTION | TKP_NEED_CLS_SHALLOW, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkp_policy *policy = load(cases[i].text);
        tkp_policy_info info = TKP_POLICY_INFO_INIT;
        ck_assert_int_eq(tkp_policy_query(policy, &info), TKP_OK);
        ck_assert_uint_eq(info.needs, cases[i].needs);
        ck_assert_uint_eq(info.flags, cases[i].flags);
        tkp_policy_destroy(policy);
    }
}
END_TEST

static void expect_rows(const char *text, const int32_t *rows, int64_t count)
{
    int32_t got[ROWS];
    tkp_sequence *sequence;
    tkp_point point = TKP_POINT_INIT;
    tkp_policy *policy = load(text);
    ck_assert_int_eq(tkp_sequence_create(&sequence, context), TKP_OK);
    ck_assert_msg(
        tkp_sequence_begin(sequence, exec, policy, layout, &model) == TKP_OK,
        "%s", tkp_last_message());
    ck_assert_int_eq(tkp_sequence_next(sequence, &point), TKP_OK);
    ck_assert_int_eq(point.query_rows, count);
    ck_assert_int_eq(tkp_sequence_query_rows(sequence, NULL, 0), count);
    ck_assert_int_eq(tkp_sequence_query_rows(sequence, got, ROWS), count);
    for (int64_t i = 0; i < count; i++)
        ck_assert_int_eq(got[i], rows[i]);
    tkp_sequence_destroy(sequence);
    tkp_policy_destroy(policy);
}

/* Where two of a stage ask about other rows, q of all rows is wanted. */
START_TEST(sequence__scorers_inside_selectors__their_query_rows_are_asked_for)
{
    static const int32_t last[] = {ROWS - 1};
    static const int32_t visual[] = {ROWS - 2};
    static const int32_t all[ROWS] = {0, 1, 2, 3, 4, 5, 6, 7};
    expect_rows(STAGE("llm:2", ASKED_BY("last")), last, 1);
    expect_rows(STAGE("llm:2", ASKED_BY("last-visual")), visual, 1);
    expect_rows(
        STAGE(
            "llm:2", "{kind: chain, parts: [{count: 1, selector: " ASKED_BY(
                         "last") "}, {selector: " ASKED_BY("last") "}]}"),
        last, 1);
    expect_rows(
        STAGE(
            "llm:2", "{kind: chain, parts: [{count: 1, selector: " ASKED_BY(
                         "last") "}, {selector: " ASKED_BY("text") "}]}"),
        all, ROWS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/selector_scorer");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, selector__own_scorer__its_needs_are_the_selectors);
    tcase_add_test(t, selector__own_scorer__its_scores_decide);
    tcase_add_test(t, selector__own_scorer__wrong_options__refused);
    tcase_add_test(t, policy__scorers_inside_selectors__told_beforehand);
    tcase_add_test(
        t, sequence__scorers_inside_selectors__their_query_rows_are_asked_for);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
