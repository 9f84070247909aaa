/*
 * Selection kinds: small cases, published vectors of the generator, and
 * properties over random inputs.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "op_main.h"
#include "util/philox.h"

static void expect(const int32_t *got, const int32_t *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(
            got[i] == want[i], "entry %lld: got %d, wanted %d", (long long)i,
            got[i], want[i]);
}

/* --- quota and reconcile --------------------------------------------------------- */

/* One set of three groups: of 4, 4 and 4 members, each weighing the same. */
static tkp_status quota(
    const float by_group[3],
    int32_t keep,
    const tkp_op_quota *p,
    int32_t *dst)
{
    float weights[12];
    int32_t offsets[4] = {0, 4, 8, 12}, sets[2] = {0, 3}, keeps[1] = {keep};
    for (int32_t i = 0; i < 12; i++)
        weights[i] = by_group[i / 4];
    const tkp_tensor args[] = {
        TKP_TEST_F32(weights), TKP_TEST_I32(offsets),
        tkp_test_none(),       TKP_TEST_I32(sets),
        TKP_TEST_I32(keeps),   tkp_test_1d(dst, TKP_DTYPE_I32, 3)};
    return tkp_test_run(TKP_OP_QUOTA, p, args, 6);
}

START_TEST(quota__each_rule__as_worked_out_by_hand)
{
    static const float lean[3] = {3.0f, 1.0f, 1.0f};
    static const float none[3] = {0.0f, 0.0f, 0.0f};
    static const float even[3] = {2.0f, 2.0f, 2.0f};
    static const struct {
        const float *weights;
        int32_t rule, keep, least;
        int32_t want[3];
    } cases[] = {
        {lean, TKP_QUOTA_LARGEST_REMAINDER, 5, 0, {3, 1, 1}},
        /* 4.2, 1.4, 1.4: the first is full, the others 1.5 each */
        {lean, TKP_QUOTA_LARGEST_REMAINDER, 7, 0, {4, 2, 1}},
        /* one each; 3 to share: 1.8, 0.6, 0.6 */
        {lean, TKP_QUOTA_LARGEST_REMAINDER, 6, 1, {3, 2, 1}},
        {lean, TKP_QUOTA_LARGEST_REMAINDER, 2, 1, {1, 1, 0}},
        {lean, TKP_QUOTA_LARGEST_REMAINDER, 12, 1, {4, 4, 4}},
        {lean, TKP_QUOTA_LARGEST_REMAINDER, 0, 1, {0, 0, 0}},
        {none, TKP_QUOTA_LARGEST_REMAINDER, 4, 0, {2, 1, 1}},
        /* 2.4, 0.8, 0.8: both that are left go to the second */
        {lean, TKP_QUOTA_SPILL, 4, 0, {2, 2, 0}},
        /* one each; 6 to share: 3.6 of 3, 1.2, 1.2; 1 left */
        {lean, TKP_QUOTA_SPILL, 9, 1, {4, 3, 2}},
        {even, TKP_QUOTA_SPILL, 5, 0, {3, 1, 1}},
        /* half of 4 each, times 1 + w - 1/3 */
        {lean, TKP_QUOTA_SOFT, 6, 1, {3, 2, 2}},
        {even, TKP_QUOTA_SOFT, 3, 2, {2, 2, 2}},
        {none, TKP_QUOTA_SOFT, 12, 0, {4, 4, 4}},
        /* 4 each times 1 + w - 1/3: 6 times 0.422, 0.289, 0.289 */
        {lean, TKP_QUOTA_TILT, 6, 0, {2, 2, 2}},
        {lean, TKP_QUOTA_TILT, 7, 0, {3, 2, 2}},
        /* 11 times the same: the first is full, of 7 the others 3.5 each */
        {lean, TKP_QUOTA_TILT, 11, 0, {4, 4, 3}},
        {even, TKP_QUOTA_TILT, 3, 0, {1, 1, 1}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int32_t dst[3] = {-1, -1, -1};
        const tkp_op_quota p = {
            .struct_size = sizeof(p),
            .rule = cases[i].rule,
            .least = cases[i].least,
        };
        ck_assert_int_eq(
            quota(cases[i].weights, cases[i].keep, &p, dst), TKP_OK);
        expect(dst, cases[i].want, 3);
    }
}
END_TEST

START_TEST(quota__softmax_and_lowest__and_what_is_no_weight)
{
    int32_t dst[3];
    tkp_op_quota p = {.struct_size = sizeof(p), .temperature = 1.0f};
    const float ln2 = 0.69314718f;
    /* 1 : 2 : 4, and 4 : 2 : 1 */
    ck_assert_int_eq(quota((float[]){0.0f, ln2, 2 * ln2}, 7, &p, dst), TKP_OK);
    expect(dst, (int32_t[]){1, 2, 4}, 3);
    p.lowest = 1;
    ck_assert_int_eq(quota((float[]){0.0f, ln2, 2 * ln2}, 7, &p, dst), TKP_OK);
    expect(dst, (int32_t[]){4, 2, 1}, 3);
    ck_assert_int_eq(
        quota((float[]){0.0f, NAN, 0.0f}, 7, &p, dst), TKP_ERR_DATA);
    ck_assert_int_eq(quota((float[]){0.0f, -1.0f, 0.0f}, 7, &p, dst), TKP_OK);
    p = (tkp_op_quota){.struct_size = sizeof(p)};
    ck_assert_int_eq(
        quota((float[]){0.0f, -1.0f, 0.0f}, 7, &p, dst), TKP_ERR_DATA);
    ck_assert_int_eq(
        quota((float[]){1.0f, 1.0f, 1.0f}, 13, &p, dst), TKP_ERR_ARGUMENT);
}
END_TEST

/* floor of 4 base (1 + w - 1/3), base 6 / 12 where it is 0; of 4 at most. */
START_TEST(quota__truncated__fractions_are_lost)
{
    int32_t dst[3];
    tkp_op_quota p = {
        .struct_size = sizeof(p), .rule = TKP_QUOTA_TILT, .truncate = 1};
    /* 2.53, 1.73, 1.73 */
    ck_assert_int_eq(quota((float[]){3.0f, 1.0f, 1.0f}, 6, &p, dst), TKP_OK);
    expect(dst, (int32_t[]){2, 1, 1}, 3);
    /* 0.75 of 4 is 3 */
    p.base = 0.75f;
    ck_assert_int_eq(quota((float[]){1.0f, 1.0f, 1.0f}, 0, &p, dst), TKP_OK);
    expect(dst, (int32_t[]){3, 3, 3}, 3);
    /* 6.67 of 4 there are, 2.67, 2.67 */
    p.rule = TKP_QUOTA_LARGEST_REMAINDER;
    p.least = 1;
    /* 9 of the 12 there are: 8.1 of 4 there are, 0.9, 0 */
    ck_assert_int_eq(quota((float[]){9.0f, 1.0f, 0.0f}, 0, &p, dst), TKP_OK);
    expect(dst, (int32_t[]){4, 1, 1}, 3);
    /* 4.5 of 4, 2.7, 1.8 */
    ck_assert_int_eq(quota((float[]){5.0f, 3.0f, 2.0f}, 0, &p, dst), TKP_OK);
    expect(dst, (int32_t[]){4, 2, 1}, 3);
    p.rule = TKP_QUOTA_TILT;
    p.least = 0;
    p.base = 1.0f;
    p.temperature = 1.0f;
    ck_assert_int_eq(quota((float[]){90.0f, 1.0f, 1.0f}, 0, &p, dst), TKP_OK);
    expect(dst, (int32_t[]){4, 2, 2}, 3);
}
END_TEST

/* 100 tokens over 25 equal frames: the f32 next to 1/25 is a little less, and
 * yet each gets its 4. */
START_TEST(quota__spill_of_equal_frames__computed_in_f32)
{
    float weights[250];
    int32_t offsets[26], sets[2] = {0, 25}, keep[1] = {100}, dst[25];
    const tkp_op_quota p = {
        .struct_size = sizeof(p),
        .rule = TKP_QUOTA_SPILL,
        .temperature = 0.7f,
    };
    for (int32_t i = 0; i < 250; i++)
        weights[i] = 1.0f;
    for (int32_t g = 0; g <= 25; g++)
        offsets[g] = 10 * g;
    const tkp_tensor args[] = {TKP_TEST_F32(weights), TKP_TEST_I32(offsets),
                               tkp_test_none(),       TKP_TEST_I32(sets),
                               TKP_TEST_I32(keep),    TKP_TEST_I32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_QUOTA, &p, args, 6), TKP_OK);
    for (int32_t g = 0; g < 25; g++)
        ck_assert_int_eq(dst[g], 4);
}
END_TEST

START_TEST(reconcile__too_much_and_too_little__exactly_keep)
{
    /* groups {5, 4} and {3, 2, 5}; the second one's best ties with the first's */
    float scores[5] = {5.0f, 4.0f, 3.0f, 2.0f, 5.0f};
    int32_t offsets[3] = {0, 2, 5}, sets[2] = {0, 2};
    static const struct {
        int32_t quota[2], keep, order;
        int32_t want[5];
    } cases[] = {
        {{1, 1}, 2, TKP_ORDER_HIGHEST, {0, 4}},
        {{1, 1}, 1, TKP_ORDER_HIGHEST, {0}},
        {{1, 2}, 4, TKP_ORDER_HIGHEST, {0, 1, 2, 4}},
        {{0, 2}, 2, TKP_ORDER_HIGHEST, {2, 4}},
        {{0, 2}, 3, TKP_ORDER_HIGHEST, {0, 2, 4}},
        {{0, 2}, 1, TKP_ORDER_HIGHEST, {4}},
        {{9, 9}, 3, TKP_ORDER_HIGHEST, {0, 1, 4}},
        {{0, 0}, 3, TKP_ORDER_HIGHEST, {0, 1, 4}},
        {{1, 1}, 2, TKP_ORDER_LOWEST, {1, 3}},
        {{1, 1}, 1, TKP_ORDER_LOWEST, {3}},
        {{1, 1}, 5, TKP_ORDER_LOWEST, {0, 1, 2, 3, 4}},
        {{1, 1}, 0, TKP_ORDER_LOWEST, {0}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int32_t k = cases[i].keep;
        int32_t quotas[2] = {cases[i].quota[0], cases[i].quota[1]};
        int32_t keep[1] = {k}, out[2] = {0, k}, dst[5];
        const tkp_op_reconcile p = {sizeof(p), cases[i].order};
        const tkp_tensor args[] = {
            TKP_TEST_F32(scores), TKP_TEST_I32(offsets),
            tkp_test_none(),      TKP_TEST_I32(quotas),
            TKP_TEST_I32(sets),   TKP_TEST_I32(keep),
            TKP_TEST_I32(out),    tkp_test_1d(dst, TKP_DTYPE_I32, k)};
        ck_assert_int_eq(tkp_test_run(TKP_OP_RECONCILE, &p, args, 8), TKP_OK);
        expect(dst, cases[i].want, k);
        quotas[0] = -1;
        ck_assert_int_eq(
            tkp_test_run(TKP_OP_RECONCILE, &p, args, 8), TKP_ERR_ARGUMENT);
    }
}
END_TEST

/* --- topk ---------------------------------------------------------------------- */

/* One group of all scores. */
static tkp_status topk(
    float *scores,
    int64_t n,
    int32_t k,
    int32_t order,
    int32_t sorted,
    int32_t *dst)
{
    int32_t group_offsets[2] = {0, (int32_t)n}, keep[1] = {k};
    int32_t out_offsets[2] = {0, k};
    const tkp_op_topk p = {sizeof(p), order, sorted, 0};
    const tkp_tensor args[] = {
        tkp_test_1d(scores, TKP_DTYPE_F32, n),
        TKP_TEST_I32(group_offsets),
        tkp_test_none(),
        TKP_TEST_I32(keep),
        TKP_TEST_I32(out_offsets),
        tkp_test_1d(dst, TKP_DTYPE_I32, k)};
    return tkp_test_run(TKP_OP_TOPK, &p, args, 6);
}

START_TEST(topk__ties_zeros_and_nan__strict_order)
{
    /*                index 0     1     2     3    4     5     6 */
    float scores[7] = {0.5f, 0.9f, 0.9f, 0.0f, NAN, -0.0f, -1.0f};
    static const struct {
        int32_t k, order, sorted;
        int32_t want[7];
    } cases[] = {
        {0, TKP_ORDER_HIGHEST, 0, {0}},
        {1, TKP_ORDER_HIGHEST, 0, {1}},
        {2, TKP_ORDER_HIGHEST, 0, {1, 2}},
        {3, TKP_ORDER_HIGHEST, 0, {0, 1, 2}},
        {3, TKP_ORDER_HIGHEST, 1, {1, 2, 0}},
        {4, TKP_ORDER_HIGHEST, 0, {0, 1, 2, 3}}, /* 3 before 5: 0 = -0 */
        {6, TKP_ORDER_HIGHEST, 0, {0, 1, 2, 3, 5, 6}},
        {7, TKP_ORDER_HIGHEST, 1, {1, 2, 0, 3, 5, 6, 4}},
        {1, TKP_ORDER_LOWEST, 0, {6}},
        {2, TKP_ORDER_LOWEST, 1, {6, 3}},
        {7, TKP_ORDER_LOWEST, 1, {6, 3, 5, 0, 1, 2, 4}},
    };
    int32_t dst[7];
    ck_assert_int_eq(
        topk(scores, 7, cases[_i].k, cases[_i].order, cases[_i].sorted, dst),
        TKP_OK);
    expect(dst, cases[_i].want, cases[_i].k);
}
END_TEST

START_TEST(topk__infinities__are_numbers)
{
    float scores[4] = {-INFINITY, INFINITY, NAN, 0.0f};
    int32_t dst[4];
    ck_assert_int_eq(topk(scores, 4, 4, TKP_ORDER_HIGHEST, 1, dst), TKP_OK);
    expect(dst, (int32_t[]){1, 3, 0, 2}, 4);
    ck_assert_int_eq(topk(scores, 4, 4, TKP_ORDER_LOWEST, 1, dst), TKP_OK);
    expect(dst, (int32_t[]){0, 3, 1, 2}, 4);
}
END_TEST

/* Two rows name two of four each, one of them the same; the fourth comes by
 * score. */
START_TEST(nominate__two_rows__name_then_scores)
{
    float likeness[2][6] = {
        {0.9f, 0.1f, 0.5f, 0.2f, 0.8f, NAN}, {0.1f, 0.1f, 0.7f, 0.6f, 0.3f, 0}};
    float scores[6] = {9, 1, 3, 2, 3, NAN};
    int32_t range[2] = {0, 2}, offsets[2] = {0, 6}, keep[1] = {4};
    int32_t out_offsets[2] = {0, 4}, members[6] = {5, 4, 3, 2, 1, 0}, dst[5];
    tkp_op_nominate p = {sizeof(p), TKP_ORDER_LOWEST};
    tkp_tensor args[] = {
        tkp_test_2d(likeness, TKP_DTYPE_F32, 2, 6),
        tkp_test_2d(range, TKP_DTYPE_I32, 1, 2),
        TKP_TEST_F32(scores),
        TKP_TEST_I32(offsets),
        tkp_test_none(),
        TKP_TEST_I32(keep),
        TKP_TEST_I32(out_offsets),
        tkp_test_1d(dst, TKP_DTYPE_I32, 4)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_NOMINATE, &p, args, 8), TKP_OK);
    /* 1 and 3; 5 and 0, before 1; 3 are named */
    expect(dst, (int32_t[]){0, 1, 3, 5}, 4);
    likeness[1][5] = 1.0f; /* 1 and 3; 0 and 1; 2 by score, before 4 */
    ck_assert_int_eq(tkp_test_run(TKP_OP_NOMINATE, &p, args, 8), TKP_OK);
    expect(dst, (int32_t[]){0, 1, 2, 3}, 4);
    args[4] = TKP_TEST_I32(members); /* 4 is listed before 2 */
    ck_assert_int_eq(tkp_test_run(TKP_OP_NOMINATE, &p, args, 8), TKP_OK);
    expect(dst, (int32_t[]){0, 1, 3, 4}, 4);
    p.order = TKP_ORDER_HIGHEST; /* 0 and 4; 5 and 2 */
    ck_assert_int_eq(tkp_test_run(TKP_OP_NOMINATE, &p, args, 8), TKP_OK);
    expect(dst, (int32_t[]){0, 2, 4, 5}, 4);
    range[1] = 0; /* nobody names: NaN last */
    keep[0] = out_offsets[1] = 5;
    args[7] = TKP_TEST_I32(dst);
    ck_assert_int_eq(tkp_test_run(TKP_OP_NOMINATE, &p, args, 8), TKP_OK);
    expect(dst, (int32_t[]){0, 1, 2, 3, 4}, 5);
}
END_TEST

START_TEST(nominate__what_does_not_fit__refused)
{
    float likeness[2] = {1, 2}, scores[2] = {NAN, NAN};
    int32_t range[2] = {0, 2}, offsets[2] = {0, 2}, keep[1] = {1};
    int32_t out_offsets[2] = {0, 1}, dst[1] = {77};
    const tkp_op_nominate p = {sizeof(p), TKP_ORDER_LOWEST};
    const tkp_tensor args[] = {
        tkp_test_2d(likeness, TKP_DTYPE_F32, 1, 2),
        tkp_test_2d(range, TKP_DTYPE_I32, 1, 2),
        TKP_TEST_F32(scores),
        TKP_TEST_I32(offsets),
        tkp_test_none(),
        TKP_TEST_I32(keep),
        TKP_TEST_I32(out_offsets),
        TKP_TEST_I32(dst)};
    ck_assert_int_eq(/* there is one row */
                     tkp_test_run(TKP_OP_NOMINATE, &p, args, 8),
                     TKP_ERR_ARGUMENT);
    range[1] = 1;
    ck_assert_int_eq(tkp_test_run(TKP_OP_NOMINATE, &p, args, 8), TKP_ERR_DATA);
    ck_assert_int_eq(dst[0], 77);
}
END_TEST

START_TEST(topk__only_nan__refused_and_dst_untouched)
{
    float scores[3] = {NAN, NAN, NAN};
    int32_t dst[1] = {77};
    ck_assert_int_eq(
        topk(scores, 3, 1, TKP_ORDER_HIGHEST, 0, dst), TKP_ERR_DATA);
    ck_assert_int_eq(dst[0], 77);
    ck_assert_int_eq(topk(scores, 3, 0, TKP_ORDER_HIGHEST, 0, dst), TKP_OK);
}
END_TEST

START_TEST(topk__groups_with_members__ascending_within_each)
{
    float scores[6] = {5.0f, 1.0f, 4.0f, 4.0f, 0.0f, 3.0f};
    int32_t group_offsets[4] = {0, 3, 3, 6}, members[6] = {5, 0, 2, 4, 3, 1};
    int32_t keep[3] = {2, 0, 1}, out_offsets[4] = {0, 2, 2, 3}, dst[3];
    const tkp_op_topk p = {sizeof(p), TKP_ORDER_HIGHEST, 0, 0};
    const tkp_tensor args[] = {
        TKP_TEST_F32(scores),      TKP_TEST_I32(group_offsets),
        TKP_TEST_I32(members),     TKP_TEST_I32(keep),
        TKP_TEST_I32(out_offsets), TKP_TEST_I32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_TOPK, &p, args, 6), TKP_OK);
    expect(dst, (int32_t[]){0, 2, 3}, 3);
}
END_TEST

/* --- topk: properties -------------------------------------------------------------- */

enum { tokens = 577 };

/* Multiples of 1/64 below 16, so that adding 1024 is exact; many ties. */
static void random_scores(float *scores, uint64_t seed)
{
    tkp_test_case c = {.random = seed};
    for (int32_t i = 0; i < tokens; i++)
        scores[i] = (float)tkp_test_random(&c, 1024) / 64.0f;
}

START_TEST(topk__constant_added__selects_the_same)
{
    float scores[tokens];
    int32_t before[tokens], after[tokens];
    random_scores(scores, 11);
    for (int32_t k = 0; k <= tokens; k += 64) {
        ck_assert_int_eq(topk(scores, tokens, k, 0, 0, before), TKP_OK);
        for (int32_t i = 0; i < tokens; i++)
            scores[i] += 1024.0f;
        ck_assert_int_eq(topk(scores, tokens, k, 0, 0, after), TKP_OK);
        for (int32_t i = 0; i < tokens; i++)
            scores[i] -= 1024.0f;
        expect(after, before, k);
    }
}
END_TEST

START_TEST(topk__tokens_permuted__answer_is_permuted)
{
    float scores[tokens], moved[tokens];
    int32_t to[tokens], before[tokens], after[tokens], want[tokens];
    tkp_test_case c = {.random = 3};
    for (int32_t i = 0; i < tokens; i++) /* no ties: those go by index */
        scores[i] = (float)((i * 229 + 5) % tokens);
    tkp_test_distinct(&c, to, tokens, tokens, false);
    for (int32_t i = 0; i < tokens; i++)
        moved[to[i]] = scores[i];
    ck_assert_int_eq(topk(scores, tokens, 100, 0, 1, before), TKP_OK);
    ck_assert_int_eq(topk(moved, tokens, 100, 0, 1, after), TKP_OK);
    for (int32_t i = 0; i < 100; i++)
        want[i] = to[before[i]];
    expect(after, want, 100);
}
END_TEST

START_TEST(topk__kept_scores__are_not_below_the_dropped)
{
    float scores[tokens];
    int32_t dst[tokens];
    bool kept[tokens] = {false};
    random_scores(scores, 12);
    ck_assert_int_eq(topk(scores, tokens, 128, 0, 0, dst), TKP_OK);
    float cut = INFINITY, best_dropped = -INFINITY;
    for (int32_t i = 0; i < 128; i++) {
        ck_assert(i == 0 || dst[i] > dst[i - 1]);
        kept[dst[i]] = true;
        cut = fminf(cut, scores[dst[i]]);
    }
    int32_t last_kept_at_cut = -1, first_dropped_at_cut = tokens;
    for (int32_t i = 0; i < tokens; i++) {
        if (!kept[i])
            best_dropped = fmaxf(best_dropped, scores[i]);
        if (kept[i] && scores[i] == cut)
            last_kept_at_cut = i;
        if (!kept[i] && scores[i] == cut && first_dropped_at_cut == tokens)
            first_dropped_at_cut = i;
    }
    ck_assert(best_dropped <= cut);
    ck_assert_int_lt(last_kept_at_cut, first_dropped_at_cut);
}
END_TEST

START_TEST(topk__lowest_k__complement_of_highest_n_minus_k)
{
    float scores[tokens];
    int32_t low[tokens], high[tokens];
    for (int32_t i = 0; i < tokens; i++)
        scores[i] = (float)((i * 229 + 5) % tokens) - 300.0f;
    for (int32_t k = 0; k <= tokens; k += 7) {
        int32_t seen[tokens] = {0};
        ck_assert_int_eq(topk(scores, tokens, k, 1, 0, low), TKP_OK);
        ck_assert_int_eq(topk(scores, tokens, tokens - k, 0, 0, high), TKP_OK);
        for (int32_t i = 0; i < k; i++)
            seen[low[i]]++;
        for (int32_t i = 0; i < tokens - k; i++)
            seen[high[i]]++;
        for (int32_t i = 0; i < tokens; i++)
            ck_assert_int_eq(seen[i], 1);
    }
}
END_TEST

START_TEST(topk__windows__one_is_plain_topk_and_all_kept_is_identity)
{
    float scores[tokens];
    int32_t plain[tokens], listed[tokens], members[tokens];
    random_scores(scores, 13);
    for (int32_t i = 0; i < tokens; i++)
        members[i] = tokens - 1 - i;
    int32_t offsets[2] = {0, tokens}, keep[1] = {144},
            out_offsets[2] = {0, 144};
    const tkp_op_topk p = {sizeof(p), TKP_ORDER_HIGHEST, 0, 0};
    tkp_tensor args[] = {
        TKP_TEST_F32(scores),      TKP_TEST_I32(offsets),
        TKP_TEST_I32(members),     TKP_TEST_I32(keep),
        TKP_TEST_I32(out_offsets), tkp_test_1d(listed, TKP_DTYPE_I32, 144)};
    ck_assert_int_eq(topk(scores, tokens, 144, 0, 0, plain), TKP_OK);
    ck_assert_int_eq(tkp_test_run(TKP_OP_TOPK, &p, args, 6), TKP_OK);
    expect(listed, plain, 144);
    ck_assert_int_eq(topk(scores, tokens, tokens, 0, 0, plain), TKP_OK);
    for (int32_t i = 0; i < tokens; i++)
        ck_assert_int_eq(plain[i], i);
}
END_TEST

/* --- sample ---------------------------------------------------------------------------- */

/* The known-answer vectors that come with Random123 (philox4x32 10). */
START_TEST(philox__published_vectors)
{
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } cases[] = {
        {{0, 0, 0, 0},
         {0, 0},
         {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    uint32_t out[4];
    tkp__philox4x32(out, cases[_i].counter, cases[_i].key);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(out[i], cases[_i].want[i]);
}
END_TEST

START_TEST(scale_u64__edges__high_half_of_the_product)
{
    ck_assert_uint_eq(tkp__scale_u64(0, 10), 0);
    ck_assert_uint_eq(tkp__scale_u64(UINT64_MAX, 10), 9);
    ck_assert_uint_eq(tkp__scale_u64(UINT64_MAX, UINT32_MAX), UINT32_MAX - 1);
    /* 2^64 / 10 is not whole: just below and just above the border. */
    ck_assert_uint_eq(tkp__scale_u64(UINT64_C(1844674407370955161), 10), 0);
    ck_assert_uint_eq(tkp__scale_u64(UINT64_C(1844674407370955162), 10), 1);
}
END_TEST

/* One group of n, no members. */
static void sample(
    uint64_t seed,
    uint32_t salt,
    int32_t id,
    int32_t group,
    int32_t n,
    int32_t k,
    int32_t *dst)
{
    int32_t group_offsets[2] = {0, n}, keep[1] = {k}, out_offsets[2] = {0, k};
    int32_t stream[2] = {id, group};
    const tkp_op_sample p = {sizeof(p), salt, seed};
    const tkp_tensor args[] = {
        TKP_TEST_I32(group_offsets),
        tkp_test_none(),
        TKP_TEST_I32(keep),
        TKP_TEST_I32(out_offsets),
        tkp_test_2d(stream, TKP_DTYPE_I32, 1, 2),
        tkp_test_1d(dst, TKP_DTYPE_I32, k)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_SAMPLE, &p, args, 6), TKP_OK);
}

START_TEST(sample__zero_key_and_counter__known_first_draw)
{
    /* u = 0xe169c58d6627e8d5 / 2^64 = 0.8805...: the ninth of ten. */
    int32_t dst[1];
    sample(0, 0, 0, 0, 10, 1, dst);
    ck_assert_int_eq(dst[0], 8);
}
END_TEST

static int ascending(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

START_TEST(sample__partial_shuffle__as_on_a_real_list)
{
    static const int32_t sizes[][2] = {{1, 1},          {2, 1},
                                       {10, 10},        {577, 64},
                                       {577, 576},      {2880, 320},
                                       {100000, 16384}, {200000, 200000}};
    const int32_t n = sizes[_i][0], k = sizes[_i][1];
    int32_t *list = malloc(sizeof(*list) * (size_t)n);
    int32_t *dst = malloc(sizeof(*dst) * (size_t)k);
    ck_assert(list && dst);
    const uint64_t seed = UINT64_C(0x0123456789abcdef);
    const uint32_t key[2] = {0x89abcdef, 0x01234567};
    for (int32_t i = 0; i < n; i++)
        list[i] = i;
    for (int32_t i = 0; i < k; i++) {
        const uint32_t counter[4] = {(uint32_t)i, 4, 9, 2};
        const int32_t j =
            i + (int32_t)tkp__scale_u64(
                    tkp__philox_u64(counter, key), (uint32_t)(n - i));
        const int32_t swapped = list[i];
        list[i] = list[j];
        list[j] = swapped;
    }
    qsort(list, (size_t)k, sizeof(*list), ascending);
    sample(seed, 2, 9, 4, n, k, dst);
    expect(dst, list, k);
    free(list);
    free(dst);
}
END_TEST

START_TEST(sample__batch__a_group_does_not_depend_on_its_neighbours)
{
    int32_t alone[20], dst[40], members[100];
    for (int32_t i = 0; i < 100; i++)
        members[i] = i < 40 ? 99 - i : i - 40;
    int32_t group_offsets[4] = {0, 40, 40, 100}, keep[3] = {20, 0, 20};
    int32_t out_offsets[4] = {0, 20, 20, 40};
    int32_t stream[6] = {5, 1, 8, 0, 7, 3};
    const tkp_op_sample p = {sizeof(p), 6, 42};
    const tkp_tensor args[] = {
        TKP_TEST_I32(group_offsets),
        TKP_TEST_I32(members),
        TKP_TEST_I32(keep),
        TKP_TEST_I32(out_offsets),
        tkp_test_2d(stream, TKP_DTYPE_I32, 3, 2),
        TKP_TEST_I32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_SAMPLE, &p, args, 6), TKP_OK);
    sample(42, 6, 7, 3, 60, 20, alone);
    expect(dst + 20, alone, 20); /* members 40 .. 99 are 0 .. 59 */
    sample(42, 6, 5, 1, 40, 20, alone);
    for (int32_t i = 0; i < 20; i++) /* members 0 .. 39 are 99 .. 60 */
        ck_assert_int_eq(dst[i], 99 - alone[19 - i]);
}
END_TEST

START_TEST(sample__many_seeds__each_token_equally_often)
{
    /* 16 of 64 tokens, 4000 sequences. A token is drawn a quarter of the
     * times; the variance of the counts is that of a hypergeometric draw. The
     * sum of squares over 63 degrees of freedom stays below 107.5 with
     * probability 0.9997; all is fixed, so the test cannot flicker. */
    enum { n = 64, k = 16, sequences = 4000 };
    static int32_t group_offsets[sequences + 1], keep[sequences];
    static int32_t out_offsets[sequences + 1], stream[2 * sequences];
    static int32_t dst[sequences * k];
    for (int32_t b = 0; b < sequences; b++) {
        group_offsets[b + 1] = n * (b + 1);
        keep[b] = k;
        out_offsets[b + 1] = k * (b + 1);
        stream[2 * b] = b;
    }
    const tkp_op_sample p = {sizeof(p), 2, 1};
    const tkp_tensor args[] = {
        TKP_TEST_I32(group_offsets),
        tkp_test_none(),
        TKP_TEST_I32(keep),
        TKP_TEST_I32(out_offsets),
        tkp_test_2d(stream, TKP_DTYPE_I32, sequences, 2),
        TKP_TEST_I32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_SAMPLE, &p, args, 6), TKP_OK);
    double counts[n] = {0.0}, chi = 0.0;
    for (int32_t i = 0; i < sequences * k; i++)
        counts[dst[i] % n] += 1.0;
    const double share = (double)k / n, expected = sequences * share;
    for (int32_t i = 0; i < n; i++)
        chi += (counts[i] - expected) * (counts[i] - expected) /
               (expected * (1.0 - share));
    chi *= (n - 1.0) / n;
    ck_assert_msg(chi < 107.5, "chi-square is %g over %d", chi, n - 1);
    ck_assert_msg(chi > 30.0, "chi-square is %g: too even", chi);
}
END_TEST

/* --- compact ------------------------------------------------------------------------------ */

START_TEST(compact__candidates_go_unless_selected)
{
    int32_t candidates[3] = {4, 1, 2}, selected[1] = {0}, dst[4];
    const tkp_op_compact p = {sizeof(p), 0, 6};
    const tkp_tensor args[] = {
        TKP_TEST_I32(candidates), TKP_TEST_I32(selected), TKP_TEST_I32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_COMPACT, &p, args, 3), TKP_OK);
    expect(dst, (int32_t[]){0, 3, 4, 5}, 4);
}
END_TEST

START_TEST(compact__nothing_or_all_selected)
{
    int32_t candidates[3] = {0, 1, 2}, selected[3] = {2, 0, 1}, dst[5];
    const tkp_op_compact p = {sizeof(p), 0, 5};
    tkp_tensor args[] = {
        TKP_TEST_I32(candidates), tkp_test_1d(selected, TKP_DTYPE_I32, 0),
        tkp_test_1d(dst, TKP_DTYPE_I32, 2)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_COMPACT, &p, args, 3), TKP_OK);
    expect(dst, (int32_t[]){3, 4}, 2);
    args[1] = TKP_TEST_I32(selected);
    args[2] = TKP_TEST_I32(dst);
    ck_assert_int_eq(tkp_test_run(TKP_OP_COMPACT, &p, args, 3), TKP_OK);
    expect(dst, (int32_t[]){0, 1, 2, 3, 4}, 5);
}
END_TEST

START_TEST(compact__selected_twice__refused)
{
    int32_t candidates[3] = {0, 1, 2}, selected[2] = {1, 1};
    int32_t dst[4] = {9, 9, 9, 9};
    const tkp_op_compact p = {sizeof(p), 0, 5};
    const tkp_tensor args[] = {
        TKP_TEST_I32(candidates), TKP_TEST_I32(selected), TKP_TEST_I32(dst)};
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_COMPACT, &p, args, 3), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(dst[0], 9);
    candidates[0] = 2;
    selected[0] = 0;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_COMPACT, &p, args, 3), TKP_ERR_ARGUMENT);
}
END_TEST

START_TEST(density_peaks__three_on_a_line__lower_of_equal_is_denser)
{
    float x[3] = {0, 1, 10}, density[3], score[3];
    int32_t rows[3] = {0, 1, 2}, offsets[2] = {0, 3}, neighbours[1] = {2};
    tkp_op_density_peaks p = {sizeof(p), 0};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 3, 1),
        TKP_TEST_I32(rows),
        TKP_TEST_I32(offsets),
        tkp_test_none(),
        TKP_TEST_I32(neighbours),
        TKP_TEST_F32(density),
        TKP_TEST_F32(score)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_DENSITY_PEAKS, &p, args, 7), TKP_OK);
    /* Mean squares 0.5, 0.5, 40.5; distances to a denser one 10, 1, 9. */
    const float half = expf(-0.5f), far = expf(-40.5f);
    ck_assert_float_eq_tol(density[0], half, 1e-6f);
    ck_assert_float_eq_tol(density[1], half, 1e-6f);
    ck_assert_float_eq_tol(density[2], far, 1e-6f);
    ck_assert_float_eq_tol(score[0], 10.0f * half, 1e-5f);
    ck_assert_float_eq_tol(score[1], half, 1e-6f);
    ck_assert_float_eq_tol(score[2], 9.0f * far, 1e-6f);
    p.others = 1; /* mean squares of two others: 50.5, 41, 90.5 */
    ck_assert_int_eq(tkp_test_run(TKP_OP_DENSITY_PEAKS, &p, args, 7), TKP_OK);
    ck_assert(density[1] > density[0] && density[0] > density[2]);
    ck_assert_float_eq_tol(score[1] / density[1], 10.0f, 1e-3f);
    neighbours[0] = 4;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_DENSITY_PEAKS, &p, args, 7), TKP_ERR_ARGUMENT);
}
END_TEST

START_TEST(cluster_centres__three_and_one_apart__two_centres)
{
    /* Cosines to the middle one are 0.8; of the outer two 0.28. */
    float x[8] = {0.6f, 0.8f, 0, 2, -0.6f, 0.8f, 0, -1}, density[4];
    int32_t rows[4] = {0, 1, 2, 3}, offsets[2] = {0, 4}, centre[4];
    tkp_op_cluster_centres p = {sizeof(p), 0.2001f};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 4, 2),
        TKP_TEST_I32(rows),
        TKP_TEST_I32(offsets),
        tkp_test_none(),
        TKP_TEST_F32(density),
        TKP_TEST_I32(centre)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_CLUSTER_CENTRES, &p, args, 6), TKP_OK);
    ck_assert_float_eq_tol(
        density[1], 1.0f + 2.0f * expf(-0.01f) + expf(-1.0f), 1e-5f);
    ck_assert_int_eq(centre[0], 0);
    ck_assert_int_eq(
        centre[1], 1); /* the densest, both beside it belong to it */
    ck_assert_int_eq(centre[2], 0);
    ck_assert_int_eq(centre[3], 1);
    p.distance = 0.1f; /* none is near another */
    ck_assert_int_eq(tkp_test_run(TKP_OP_CLUSTER_CENTRES, &p, args, 6), TKP_OK);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(centre[i], 1);
    p.distance = 2.0f; /* all are near the densest */
    ck_assert_int_eq(tkp_test_run(TKP_OP_CLUSTER_CENTRES, &p, args, 6), TKP_OK);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(centre[i], i == 1);
    rows[2] = 4;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_CLUSTER_CENTRES, &p, args, 6), TKP_ERR_ARGUMENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops/select");
    TCase *topk_case = tcase_create("topk");
    tcase_add_loop_test(
        topk_case, topk__ties_zeros_and_nan__strict_order, 0, 11);
    tcase_add_test(topk_case, nominate__two_rows__name_then_scores);
    tcase_add_test(topk_case, nominate__what_does_not_fit__refused);
    tcase_add_test(topk_case, quota__each_rule__as_worked_out_by_hand);
    tcase_add_test(topk_case, quota__softmax_and_lowest__and_what_is_no_weight);
    tcase_add_test(topk_case, quota__truncated__fractions_are_lost);
    tcase_add_test(topk_case, quota__spill_of_equal_frames__computed_in_f32);
    tcase_add_test(topk_case, reconcile__too_much_and_too_little__exactly_keep);
    tcase_add_test(
        topk_case, density_peaks__three_on_a_line__lower_of_equal_is_denser);
    tcase_add_test(
        topk_case, cluster_centres__three_and_one_apart__two_centres);
    tcase_add_test(topk_case, topk__infinities__are_numbers);
    tcase_add_test(topk_case, topk__only_nan__refused_and_dst_untouched);
    tcase_add_test(topk_case, topk__groups_with_members__ascending_within_each);
    tcase_add_test(topk_case, topk__constant_added__selects_the_same);
    tcase_add_test(topk_case, topk__tokens_permuted__answer_is_permuted);
    tcase_add_test(topk_case, topk__kept_scores__are_not_below_the_dropped);
    tcase_add_test(topk_case, topk__lowest_k__complement_of_highest_n_minus_k);
    tcase_add_test(
        topk_case, topk__windows__one_is_plain_topk_and_all_kept_is_identity);
    tcase_set_timeout(topk_case, 60);
    suite_add_tcase(suite, topk_case);
    TCase *sample_case = tcase_create("sample");
    tcase_add_loop_test(sample_case, philox__published_vectors, 0, 3);
    tcase_add_test(sample_case, scale_u64__edges__high_half_of_the_product);
    tcase_add_test(sample_case, sample__zero_key_and_counter__known_first_draw);
    tcase_add_loop_test(
        sample_case, sample__partial_shuffle__as_on_a_real_list, 0, 8);
    tcase_add_test(
        sample_case, sample__batch__a_group_does_not_depend_on_its_neighbours);
    tcase_add_test(sample_case, sample__many_seeds__each_token_equally_often);
    suite_add_tcase(suite, sample_case);
    TCase *compact_case = tcase_create("compact");
    tcase_add_test(compact_case, compact__candidates_go_unless_selected);
    tcase_add_test(compact_case, compact__nothing_or_all_selected);
    tcase_add_test(compact_case, compact__selected_twice__refused);
    suite_add_tcase(suite, compact_case);
    return tkp_test_main(suite);
}
