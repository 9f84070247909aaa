/* Chains of selectors, on numbers worked out by hand. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tokenprune.h"

enum { MOST = 20 };

static tkp_selector_options selectors[TKP_CHAIN_MAX_PARTS + 1];
static tkp_chain_part parts[TKP_CHAIN_MAX_PARTS + 1];
static tkp_selector_options options;
static tkp_budget budget;
static tkp_layout *layout;
static uint8_t keep[MOST];

static void set_part(int32_t p, int32_t kind, int32_t amount, int64_t a)
{
    selectors[p] = (tkp_selector_options)TKP_SELECTOR_OPTIONS_INIT;
    selectors[p].kind = kind;
    parts[p] = (tkp_chain_part){
        .amount = amount,
        .share_num = a,
        .share_den = 2,
        .count = a,
        .selector = &selectors[p],
    };
    options.n_parts = p + 1;
}

/* Half of K by score, then every so many-th; K = 6. */
static void setup(void)
{
    options = (tkp_selector_options)TKP_SELECTOR_OPTIONS_INIT;
    options.kind = TKP_SELECTOR_CHAIN;
    options.parts = parts;
    budget = (tkp_budget)TKP_BUDGET_INIT;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = 6;
    memset(keep, 0, sizeof(keep));
    set_part(0, TKP_SELECTOR_TOPK, TKP_CHAIN_SHARE, 1);
    set_part(1, TKP_SELECTOR_STRIDE, TKP_CHAIN_REST, 0);
    ck_assert_int_eq(tkp_layout_create(&layout), TKP_OK);
}

static void teardown(void)
{
    tkp_layout_destroy(layout);
}

/* `images` of rows x cols cells, one after the other. */
static void add_sequence(int32_t images, int32_t rows, int32_t cols)
{
    tkp_sequence_desc sequence = TKP_SEQUENCE_DESC_INIT;
    int32_t number;
    sequence.length = images * rows * cols + 2;
    ck_assert_int_eq(
        tkp_layout_add_sequence(layout, &sequence, &number), TKP_OK);
    for (int32_t i = 0; i < images; i++) {
        tkp_image_desc image = TKP_IMAGE_DESC_INIT;
        image.sequence = number;
        image.start = 1 + i * rows * cols;
        image.frames = 1;
        image.rows = rows;
        image.cols = cols;
        image.keep = keep;
        ck_assert_msg(
            tkp_layout_add_image(layout, &image, NULL) == TKP_OK, "%s",
            tkp_last_message());
    }
}

/* What is kept of n candidates, and which part chose each. */
static void expect(
    const float *scores,
    int32_t n,
    const int32_t *kept,
    const int32_t *roles,
    int32_t k)
{
    tkp_context *context;
    tkp_exec *exec;
    tkp_selector *selector;
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    int32_t index[MOST];
    int32_t role[MOST];
    tkp_tensor t[3];
    ck_assert_int_eq(tkp_context_create(&context, NULL), TKP_OK);
    ck_assert_int_eq(tkp_exec_create(&exec, context, NULL), TKP_OK);
    ck_assert_msg(
        tkp_selector_create(&selector, context, &options, &budget, layout) ==
            TKP_OK,
        "%s", tkp_last_message());
    ck_assert_int_eq(tkp_selector_query(selector, &need), TKP_OK);
    const uint64_t bytes = (need.workspace_bytes + 4095) / 4096 * 4096;
    void *workspace = aligned_alloc(4096, bytes);
    ck_assert_int_eq(tkp_exec_set_workspace(exec, workspace, bytes), TKP_OK);
    int64_t count = 0;
    for (int32_t b = 0; tkp_selector_count(selector, b) >= 0; b++)
        count += tkp_selector_count(selector, b);
    ck_assert_int_eq(count, k);
    tkp_tensor_make_1d(&t[0], (void *)(uintptr_t)scores, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&t[1], index, TKP_DTYPE_I32, k);
    tkp_tensor_make_1d(&t[2], role, TKP_DTYPE_I32, k);
    ck_assert_msg(
        tkp_selector_run_on(
            selector, exec, NULL, &t[0], &t[1], NULL, &t[2], NULL) == TKP_OK,
        "%s", tkp_last_message());
    for (int32_t i = 0; i < k; i++) {
        ck_assert_int_eq(index[i], kept[i]);
        ck_assert_int_eq(role[i], roles[i]);
    }
    tkp_selector_destroy(selector);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
    free(workspace);
}

#define EXPECT(scores, n, kept, roles)                                         \
    expect(scores, n, kept, roles, (int32_t)(sizeof(kept) / sizeof(kept[0])))

static const float ten[10] = {5, 1, 9, 0, 7, 2, 8, 3, 6, 4};

START_TEST(chain__topk_then_stride__every_second_of_what_is_left)
{
    static const int32_t kept[] = {0, 2, 3, 4, 6, 7};
    static const int32_t roles[] = {1, 0, 1, 0, 0, 1};
    add_sequence(1, 2, 5); /* best: 2 6 4; left: 0 1 3 5 7 8 9 */
    EXPECT(ten, 10, kept, roles);
}
END_TEST

START_TEST(chain__one_part__as_that_kind_alone)
{
    static const int32_t kept[] = {0, 2, 4, 6, 8, 9};
    static const int32_t roles[6] = {0};
    add_sequence(1, 2, 5);
    set_part(0, TKP_SELECTOR_TOPK, TKP_CHAIN_REST, 0);
    EXPECT(ten, 10, kept, roles);
    options = selectors[0];
    EXPECT(ten, 10, kept, roles);
}
END_TEST

START_TEST(chain__protected_token__in_no_part_and_not_chosen_again)
{
    static const int32_t kept[] = {0, 2, 3, 4, 6, 7};
    static const int32_t roles[] = {1, 0, 0, 1, 0, 1};
    keep[3] = 1;
    add_sequence(1, 2, 5); /* K = 5: best 2 6; left: 0 1 4 5 7 8 9 */
    EXPECT(ten, 10, kept, roles);
}
END_TEST

START_TEST(chain__images_apart__each_has_its_shares)
{
    static const int32_t kept[] = {0, 2, 3, 5, 6, 8};
    static const int32_t roles[] = {1, 0, 1, 1, 0, 1};
    add_sequence(2, 1, 5);
    budget.count = 3;
    budget.scope = TKP_SCOPE_IMAGE;
    EXPECT(ten, 10, kept, roles);
}
END_TEST

START_TEST(chain__two_sequences__each_as_alone)
{
    static const int32_t kept[] = {0, 2, 3, 4, 6, 7, 10, 12, 13, 14, 16, 17};
    static const int32_t roles[] = {1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1};
    float scores[20];
    memcpy(scores, ten, sizeof(ten));
    memcpy(scores + 10, ten, sizeof(ten));
    add_sequence(1, 2, 5);
    add_sequence(1, 2, 5);
    EXPECT(scores, 20, kept, roles);
}
END_TEST

START_TEST(chain__count_above_the_budget__takes_it_all)
{
    static const int32_t kept[] = {0, 2, 4, 6, 8, 9};
    static const int32_t roles[6] = {0};
    add_sequence(1, 2, 5);
    set_part(0, TKP_SELECTOR_TOPK, TKP_CHAIN_COUNT, 100);
    set_part(1, TKP_SELECTOR_STRIDE, TKP_CHAIN_REST, 0);
    EXPECT(ten, 10, kept, roles);
}
END_TEST

START_TEST(chain__everything__kept)
{
    static const int32_t kept[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const int32_t roles[] = {0, 2, 0, 1, 0, 2, 0, 2, 0, 2};
    add_sequence(1, 2, 5); /* best: 2 6 4 8 0; lowest: 3 */
    budget.count = 10;
    set_part(1, TKP_SELECTOR_TOPK, TKP_CHAIN_COUNT, 1);
    selectors[1].order = TKP_ORDER_LOWEST;
    set_part(2, TKP_SELECTOR_STRIDE, TKP_CHAIN_REST, 0);
    EXPECT(ten, 10, kept, roles);
}
END_TEST

START_TEST(chain__windows_first__best_of_each_then_the_best_left)
{
    static const float eight[8] = {1, 5, 0, 2, 3, 4, 9, 8};
    static const int32_t kept[] = {1, 5, 6, 7};
    static const int32_t roles[] = {0, 1, 0, 1};
    add_sequence(1, 2, 4);
    budget.count = 4;
    set_part(0, TKP_SELECTOR_WINDOW, TKP_CHAIN_SHARE, 1);
    selectors[0].window_rows = selectors[0].window_cols = 2;
    set_part(1, TKP_SELECTOR_TOPK, TKP_CHAIN_REST, 0);
    EXPECT(eight, 8, kept, roles);
}
END_TEST

START_TEST(chain__even_windows__what_is_odd_goes_to_the_next)
{
    static const float eight[8] = {1, 5, 0, 2, 3, 4, 9, 8};
    static const int32_t kept[] = {1, 3, 4, 5, 6, 7};
    static const int32_t roles[] = {0, 1, 1, 1, 0, 1};
    static const int32_t one[] = {6};
    static const int32_t last[] = {1};
    add_sequence(1, 2, 4);
    set_part(0, TKP_SELECTOR_WINDOW, TKP_CHAIN_SHARE, 1);
    selectors[0].window_rows = selectors[0].window_cols = 2;
    selectors[0].even = 1;
    set_part(1, TKP_SELECTOR_TOPK, TKP_CHAIN_REST, 0);
    EXPECT(eight, 8, kept, roles);
    budget.count = 1;
    EXPECT(eight, 8, one, last);
}
END_TEST

/* Windows of four and of two cells: the small one gives what it has. */
START_TEST(chain__even_windows__one_smaller_than_its_share)
{
    static const float six[6] = {1, 5, 9, 2, 3, 8};
    static const int32_t all[] = {0, 1, 2, 3, 4, 5};
    static const int32_t roles[] = {1, 0, 0, 0, 0, 0};
    add_sequence(1, 2, 3);
    set_part(0, TKP_SELECTOR_WINDOW, TKP_CHAIN_COUNT, 6);
    selectors[0].window_rows = selectors[0].window_cols = 2;
    selectors[0].even = 1;
    set_part(1, TKP_SELECTOR_TOPK, TKP_CHAIN_REST, 0);
    EXPECT(six, 6, all, roles);
}
END_TEST

START_TEST(chain__all_but_two__the_last_part_has_two)
{
    static const int32_t kept[] = {0, 2, 4, 6, 8, 9};
    static const int32_t roles[] = {1, 0, 0, 0, 0, 1};
    static const int32_t few[] = {2};
    static const int32_t last[] = {1};
    add_sequence(1, 2, 5); /* by score: 2 6 4 8, then 0 9 */
    set_part(0, TKP_SELECTOR_TOPK, TKP_CHAIN_ALL_BUT, 2);
    set_part(1, TKP_SELECTOR_TOPK, TKP_CHAIN_REST, 0);
    EXPECT(ten, 10, kept, roles);
    budget.count = 1;
    EXPECT(ten, 10, few, last);
}
END_TEST

START_TEST(chain__all_but_a_share__what_the_share_rounds_down_to_is_left)
{
    static const int32_t kept[] = {0, 2, 4, 6, 8};
    static const int32_t roles[] = {1, 0, 0, 0, 0};
    add_sequence(1, 2, 5);
    budget.count = 5; /* floor(5 / 3) = 1 is not the first part's */
    set_part(0, TKP_SELECTOR_TOPK, TKP_CHAIN_ALL_BUT_SHARE, 1);
    parts[0].share_num = 1;
    parts[0].share_den = 3;
    set_part(1, TKP_SELECTOR_TOPK, TKP_CHAIN_REST, 0);
    EXPECT(ten, 10, kept, roles);
}
END_TEST

static void refuse(const char *message)
{
    tkp_context *context;
    tkp_selector *selector = NULL;
    ck_assert_int_eq(tkp_context_create(&context, NULL), TKP_OK);
    ck_assert_int_eq(
        tkp_selector_create(&selector, context, &options, &budget, layout),
        TKP_ERR_OPTION);
    ck_assert_msg(
        strstr(tkp_last_message(), message), "'%s', wanted '%s'",
        tkp_last_message(), message);
    ck_assert_ptr_null(selector);
    tkp_context_destroy(context);
}

START_TEST(chain__wrong_options__refused)
{
    add_sequence(1, 2, 5);
    options.n_parts = 0;
    refuse("chain has 0 parts");
    options.n_parts = TKP_CHAIN_MAX_PARTS + 1;
    refuse("chain has 5 parts");
    options.n_parts = 2;
    options.parts = NULL;
    refuse("chain has 0 parts");
    options.parts = parts;
    parts[1].selector = NULL;
    refuse("part 1 has no selector");
    set_part(1, TKP_SELECTOR_STRIDE, TKP_CHAIN_SHARE, 1);
    refuse("part 1 is the last");
    set_part(1, TKP_SELECTOR_STRIDE, 6, 1);
    refuse("amount is 6");
    set_part(1, TKP_SELECTOR_WINDOW, TKP_CHAIN_REST, 0);
    refuse("cannot be a later part");
    set_part(1, TKP_SELECTOR_ALL, TKP_CHAIN_REST, 0);
    refuse("cannot be a later part");
    set_part(1, TKP_SELECTOR_CHAIN, TKP_CHAIN_REST, 0);
    refuse("part 1 is a chain");
    set_part(1, TKP_SELECTOR_STRIDE, TKP_CHAIN_REST, 0);
    parts[0].amount = TKP_CHAIN_REST;
    refuse("part 0 is not the last");
    parts[0].amount = TKP_CHAIN_SHARE;
    parts[0].share_num = 3;
    refuse("share is 3/2");
    parts[0].share_num = 1;
    parts[0].share_den = 0;
    refuse("share is 1/0");
    parts[0].amount = TKP_CHAIN_COUNT;
    parts[0].count = -1;
    refuse("count is -1");
    parts[0].count = 1;
    selectors[0].kind = TKP_SELECTOR_WINDOW;
    selectors[0].window_rows = selectors[0].window_cols = 2;
    selectors[0].quota = 1;
    refuse("a quota of kind 2");
    selectors[0].quota = 0;
    selectors[0].even = 1;
    parts[0].amount = TKP_CHAIN_REST;
    options.n_parts = 1;
    refuse("is the last; wanted another part");
    options = selectors[0];
    refuse("wanted them in the first part of a chain");
    options.window_rows = options.window_cols = 0;
    refuse("even is for windows of a size");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/selector_chain");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, chain__topk_then_stride__every_second_of_what_is_left);
    tcase_add_test(t, chain__one_part__as_that_kind_alone);
    tcase_add_test(t, chain__protected_token__in_no_part_and_not_chosen_again);
    tcase_add_test(t, chain__images_apart__each_has_its_shares);
    tcase_add_test(t, chain__two_sequences__each_as_alone);
    tcase_add_test(t, chain__count_above_the_budget__takes_it_all);
    tcase_add_test(t, chain__everything__kept);
    tcase_add_test(t, chain__windows_first__best_of_each_then_the_best_left);
    tcase_add_test(t, chain__even_windows__what_is_odd_goes_to_the_next);
    tcase_add_test(t, chain__even_windows__one_smaller_than_its_share);
    tcase_add_test(t, chain__all_but_two__the_last_part_has_two);
    tcase_add_test(
        t, chain__all_but_a_share__what_the_share_rounds_down_to_is_left);
    tcase_add_test(t, chain__wrong_options__refused);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
