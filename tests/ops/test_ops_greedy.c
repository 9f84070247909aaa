/*
 * Greedy kinds: small cases worked out by hand, and properties.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "op_main.h"

static void expect(const int32_t *got, const int32_t *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(
            got[i] == want[i], "entry %lld: got %d, wanted %d", (long long)i,
            got[i], want[i]);
}

/* One group of the first n rows of x [n, d]. */
typedef struct call {
    int32_t rows[64], group_offsets[2], keep[1], out_offsets[2];
    tkp_tensor args[11];
} call;

static void common(call *c, float *x, int64_t n, int64_t d, int32_t k)
{
    memset(c, 0, sizeof(*c));
    for (int32_t i = 0; i < n; i++)
        c->rows[i] = i;
    c->group_offsets[1] = (int32_t)n;
    c->keep[0] = c->out_offsets[1] = k;
    for (int i = 0; i < 11; i++)
        c->args[i] = tkp_test_none();
    c->args[0] = tkp_test_2d(x, TKP_DTYPE_F32, n, d);
    c->args[1] = tkp_test_1d(c->rows, TKP_DTYPE_I32, n);
    c->args[2] = TKP_TEST_I32(c->group_offsets);
    c->args[4] = TKP_TEST_I32(c->keep);
    c->args[5] = TKP_TEST_I32(c->out_offsets);
}

static tkp_status distance(
    float *x,
    int64_t n,
    int64_t d,
    float *weights,
    int32_t k,
    tkp_op_greedy_distance p,
    int32_t *dst)
{
    call c;
    common(&c, x, n, d, k);
    p.struct_size = sizeof(p);
    if (weights)
        c.args[6] = tkp_test_1d(weights, TKP_DTYPE_F32, n);
    c.args[7] = tkp_test_1d(dst, TKP_DTYPE_I32, k);
    return tkp_test_run(TKP_OP_GREEDY_DISTANCE, &p, c.args, 8);
}

/* --- distance --------------------------------------------------------------------- */

START_TEST(distance__by_hand)
{
    /* Angles 0, 90, about 53, 180 degrees; then none. */
    float x[10] = {1, 0, 0, 2, 3, 4, -5, 0, 0, 0};
    float w[5] = {0.5f, 0.25f, 1, 0.125f, 0};
    int32_t dst[5];
    tkp_op_greedy_distance p = {0};
    /* Likeness to the nearest other: 0.6, 0.8, 0.8, 0, 0: 3 before 4. Then to
     * 3: 0 at -1; to both, 1 at 0 and 4 at 0; 2 at 0.8. */
    ck_assert_int_eq(distance(x, 5, 2, NULL, 5, p, dst), TKP_OK);
    expect(dst, (int32_t[]){3, 0, 1, 4, 2}, 5);
    /* Longest row first: 2 and 3 have 5. From 2: 3 at -0.6, 4 at 0, then 0 at
     * 0.6 and 1 at 0.8. */
    p.start = TKP_GREEDY_START_NORM;
    ck_assert_int_eq(distance(x, 5, 2, NULL, 5, p, dst), TKP_OK);
    expect(dst, (int32_t[]){2, 3, 4, 0, 1}, 5);
    /* Squared lengths from 2 = (3, 4): 20, 13, -, 80, 25. Then from 3 = (-5, 0):
     * 36, 29, 25: the nearest are 20, 13, 25. */
    p.measure = TKP_GREEDY_EUCLIDEAN;
    ck_assert_int_eq(distance(x, 5, 2, NULL, 3, p, dst), TKP_OK);
    expect(dst, (int32_t[]){2, 3, 4}, 3);
    /* 2 first; then distances times weights: 0.2, 0.05, -, 0.4, 0; then from 3
     * the nearest of 0 is still 0.4 (0.2), of 1 0.2. */
    p = (tkp_op_greedy_distance){
        .start = TKP_GREEDY_START_WEIGHT, .weighted = 1};
    w[3] = 0.25f;
    ck_assert_int_eq(distance(x, 5, 2, w, 3, p, dst), TKP_OK);
    expect(dst, (int32_t[]){2, 3, 0}, 3);
}
END_TEST

START_TEST(mmr__by_hand)
{
    float x[8] = {1, 0, 0, 2, 3, 4, -5, 0}, w[4] = {1, 0.5f, 0.75f, 0.25f};
    int32_t dst[4];
    tkp_op_greedy_distance p = {.rule = TKP_GREEDY_MMR, .lambda = 0.5f};
    /* 0 first. Then w - S: 0.5 - 0, 0.75 - 0.6, 0.25 + 1: 3. Then 0.5 - 0 and
     * 0.75 - 0.6. */
    ck_assert_int_eq(distance(x, 4, 2, w, 4, p, dst), TKP_OK);
    expect(dst, (int32_t[]){0, 3, 1, 2}, 4);
    p.lambda = 1.0f; /* the weights alone */
    ck_assert_int_eq(distance(x, 4, 2, w, 4, p, dst), TKP_OK);
    expect(dst, (int32_t[]){0, 2, 1, 3}, 4);
}
END_TEST

/* --- coverage --------------------------------------------------------------------- */

static tkp_status cover(
    float *x,
    int64_t n,
    int64_t d,
    float *demand,
    float *factor,
    float *extra,
    int64_t rows,
    int32_t k,
    tkp_op_greedy_cover p,
    int32_t *dst)
{
    call c;
    int32_t range[2] = {0, (int32_t)rows};
    common(&c, x, n, d, k);
    p.struct_size = sizeof(p);
    if (demand)
        c.args[6] = tkp_test_1d(demand, TKP_DTYPE_F32, n);
    if (factor)
        c.args[7] = tkp_test_1d(factor, TKP_DTYPE_F32, n);
    if (extra) {
        c.args[8] = tkp_test_2d(extra, TKP_DTYPE_F32, rows, n);
        c.args[9] = tkp_test_2d(range, TKP_DTYPE_I32, 1, 2);
    }
    c.args[10] = tkp_test_1d(dst, TKP_DTYPE_I32, k);
    return tkp_test_run(TKP_OP_GREEDY_COVER, &p, c.args, 11);
}

START_TEST(cover__by_hand)
{
    float x[8] = {1, 0, 0, 2, 3, 4, -5, 0};
    float ones[4] = {1, 1, 1, 1}, w[4] = {0, 1, 0, 4};
    float extra[4] = {0, 3, 0, 0};
    int32_t dst[4];
    tkp_op_greedy_cover p = {0};
    /* Sums above 0: 1.6, 1.8, 2.4, 1. 2 covers 0.6, 0.8, 1, 0: left are 0.4,
     * 0.2, 1: 3; then 0.4: 0. */
    ck_assert_int_eq(cover(x, 4, 2, NULL, NULL, NULL, 0, 4, p, dst), TKP_OK);
    expect(dst, (int32_t[]){2, 3, 0, 1}, 4);
    ck_assert_int_eq(cover(x, 4, 2, ones, ones, NULL, 0, 4, p, dst), TKP_OK);
    expect(dst, (int32_t[]){2, 3, 0, 1}, 4);
    /* Who is to be covered: 3 gains 4, 1 gains 1, and all is covered. */
    ck_assert_int_eq(cover(x, 4, 2, w, NULL, NULL, 0, 4, p, dst), TKP_OK);
    expect(dst, (int32_t[]){3, 1, 0, 2}, 4);
    /* Who covers: 1 * 1.8, 4 * 1; then 3 gives nothing, 1 (0 * 2 = 0.8). */
    ck_assert_int_eq(cover(x, 4, 2, NULL, w, NULL, 0, 4, p, dst), TKP_OK);
    expect(dst, (int32_t[]){3, 1, 0, 2}, 4);
    /* Squares of the factors are 0, 1, 0, 16; as terms 2.6 and 17. */
    p.add = 1;
    p.power = 2;
    ck_assert_int_eq(cover(x, 4, 2, NULL, w, NULL, 0, 4, p, dst), TKP_OK);
    expect(dst, (int32_t[]){3, 1, 0, 2}, 4);
    /* A row of text that 1 answers: 1.8 + 3. Then 3 (1), 0 (1 + 0.4, first). */
    p = (tkp_op_greedy_cover){0};
    ck_assert_int_eq(cover(x, 4, 2, NULL, NULL, extra, 1, 4, p, dst), TKP_OK);
    expect(dst, (int32_t[]){1, 0, 3, 2}, 4);
    /* Halves: rows 1, .5, .8, 0; .5, 1, .9, .5; .8, .9, 1, .2; 0, .5, .2, 1. If
     * 2 counts twice: 3.1, 3.8, 3.9, 1.9. Left: .2, .1 + .3, -, .8; then .2, .1. */
    float twice[4] = {1, 1, 2, 1};
    p.kernel = TKP_GREEDY_KERNEL_HALF;
    ck_assert_int_eq(cover(x, 4, 2, twice, NULL, NULL, 0, 4, p, dst), TKP_OK);
    expect(dst, (int32_t[]){2, 3, 0, 1}, 4);
}
END_TEST

START_TEST(cover__softmax__sharp_rows_cover_themselves)
{
    /* Two of a kind, three of another: a cold softmax halves and thirds. */
    float x[10] = {1, 0, 1, 0, 0, 1, 0, 1, 0, 1};
    int32_t dst[3];
    const tkp_op_greedy_cover p = {
        .kernel = TKP_GREEDY_KERNEL_SOFTMAX, .temperature = 0.01f};
    /* Column sums: 2 / 2 = 3 / 3: the first, then the first of the others. */
    ck_assert_int_eq(cover(x, 5, 2, NULL, NULL, NULL, 0, 2, p, dst), TKP_OK);
    ck_assert_int_eq(dst[0] < 2 ? dst[1] >= 2 : dst[1] < 2, 1);
}
END_TEST

/* --- determinants ----------------------------------------------------------------- */

static tkp_status
dpp(float *x, int64_t n, int64_t d, float *w, int32_t k, int32_t *dst)
{
    call c;
    const tkp_op_greedy_dpp p = {.struct_size = sizeof(p)};
    common(&c, x, n, d, k);
    if (w)
        c.args[6] = tkp_test_1d(w, TKP_DTYPE_F32, n);
    c.args[7] = tkp_test_1d(dst, TKP_DTYPE_I32, k);
    return tkp_test_run(TKP_OP_GREEDY_DPP, &p, c.args, 8);
}

START_TEST(dpp__by_hand)
{
    float x[8] = {1, 0, 0, 2, 3, 4, -5, 0}, w[4] = {2, 1, 4, 3};
    int32_t dst[4];
    /* 16 first. Left: 4 (1 - 0.36), 1 - 0.64, 9 (1 - 0.36): 3. Two directions
     * are all there are: 0 (2) before 1 by weight. */
    ck_assert_int_eq(dpp(x, 4, 2, w, 4, dst), TKP_OK);
    expect(dst, (int32_t[]){2, 3, 0, 1}, 4);
    /* Without weights: 0, then 1 at a right angle; 2 and 3 by number. */
    ck_assert_int_eq(dpp(x, 4, 2, NULL, 4, dst), TKP_OK);
    expect(dst, (int32_t[]){0, 1, 2, 3}, 4);
}
END_TEST

START_TEST(dpp__more_than_the_rank__no_index_twice)
{
    float x[60 * 3], w[60];
    int32_t dst[50];
    for (int i = 0; i < 60; i++) {
        for (int d = 0; d < 3; d++)
            x[3 * i + d] = (float)((i * 7 + d * 5) % 11) - 4.0f;
        w[i] = (float)((i * 13) % 17);
    }
    ck_assert_int_eq(dpp(x, 60, 3, w, 50, dst), TKP_OK);
    bool seen[60] = {false};
    for (int i = 0; i < 50; i++) {
        ck_assert(!seen[dst[i]]);
        seen[dst[i]] = true;
        if (i > 4)
            ck_assert(w[dst[i]] <= w[dst[i - 1]]);
    }
}
END_TEST

/* --- three terms ------------------------------------------------------------------ */

static tkp_status
tri(float *x,
    int64_t n,
    int64_t d,
    float *w,
    int32_t k,
    float alpha,
    float lambda,
    int32_t min_max,
    int32_t *dst)
{
    call c;
    const tkp_op_greedy_tri p = {sizeof(p), alpha, lambda, min_max, 0, 0};
    common(&c, x, n, d, k);
    c.args[6] = tkp_test_1d(w, TKP_DTYPE_F32, n);
    c.args[7] = tkp_test_1d(dst, TKP_DTYPE_I32, k);
    return tkp_test_run(TKP_OP_GREEDY_TRI, &p, c.args, 8);
}

START_TEST(tri__by_hand)
{
    float x[8] = {1, 0, 0, 2, 3, 4, -5, 0}, w[4] = {4, 1, 3, 2};
    int32_t dst[4];
    ck_assert_int_eq(tri(x, 4, 2, w, 4, 0, 0, 0, dst), TKP_OK);
    expect(dst, (int32_t[]){0, 2, 3, 1}, 4); /* weights alone */
    /* 0 first; m = 1, 0, 0.6, -1. w / 2: 0.5, 1.5, 1. d: 1, 0.4, 2 by 1.13:
     * 0.88, 0.35, 1.76. With alpha 1: 1.38, 1.85, 2.76: 3. Now m of 1 is 0, of 2
     * 0.6: w / 2 is 0.5, 1.5; d by 0.7: 1.43, 0.57: 1.93 and 2.07. */
    ck_assert_int_eq(tri(x, 4, 2, w, 4, 1, 0, 0, dst), TKP_OK);
    expect(dst, (int32_t[]){0, 3, 2, 1}, 4);
    /* c of 1: 1 + 0.2 + 1 (3 against -1); of 2: 0.8 + 0.4 + 0.4; of 3: 0 + 0 + 2
     * by 1.93: 1.14, 0.83, 1.03. With lambda 2: 2.78, 3.16, 3.07: 2. */
    ck_assert_int_eq(tri(x, 4, 2, w, 2, 0, 2, 0, dst), TKP_OK);
    expect(dst, (int32_t[]){0, 2}, 2);
    /* With lambda 10: 11.9, 9.8, 11.3: 1. */
    ck_assert_int_eq(tri(x, 4, 2, w, 2, 0, 10, 0, dst), TKP_OK);
    expect(dst, (int32_t[]){0, 1}, 2);
    /* Min-max: w 0, 1, 0.5; d 0.375, 0, 1: 0.375, 1, 1.5. */
    ck_assert_int_eq(tri(x, 4, 2, w, 2, 1, 0, 1, dst), TKP_OK);
    expect(dst, (int32_t[]){0, 3}, 2);
}
END_TEST

/* --- all of them ------------------------------------------------------------------ */

static tkp_status run_kind(
    int32_t kind,
    float *x,
    int64_t n,
    int64_t d,
    float *w,
    int32_t k,
    int32_t *dst)
{
    switch (kind) {
    case TKP_OP_GREEDY_DISTANCE:
        return distance(
            x, n, d, w, k, (tkp_op_greedy_distance){.weighted = 1}, dst);
    case TKP_OP_GREEDY_COVER:
        return cover(x, n, d, w, w, NULL, 0, k, (tkp_op_greedy_cover){0}, dst);
    case TKP_OP_GREEDY_DPP:
        return dpp(x, n, d, w, k, dst);
    default:
        return tri(x, n, d, w, k, 0.5f, 0.5f, 0, dst);
    }
}

static const int32_t kinds[] = {
    TKP_OP_GREEDY_DISTANCE, TKP_OP_GREEDY_COVER, TKP_OP_GREEDY_DPP,
    TKP_OP_GREEDY_TRI};

START_TEST(greedy__numbers_that_are_not_finite__refused_and_dst_untouched)
{
    float x[8] = {1, 0, 0, 2, 3, 4, -5, 0}, w[4] = {1, 2, 3, 4};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    int32_t dst[2] = {77, 77};
    for (int i = 0; i < 3; i++) {
        x[5] = bad[i];
        ck_assert_int_eq(run_kind(kinds[_i], x, 4, 2, w, 2, dst), TKP_ERR_DATA);
        x[5] = 4;
        w[2] = bad[i];
        ck_assert_int_eq(run_kind(kinds[_i], x, 4, 2, w, 2, dst), TKP_ERR_DATA);
        w[2] = 3;
        ck_assert_int_eq(dst[0], 77);
    }
    ck_assert_int_eq(run_kind(kinds[_i], x, 4, 2, w, 2, dst), TKP_OK);
}
END_TEST

START_TEST(greedy__degenerate_rows__each_index_once)
{
    float x[40 * 4], w[40];
    int32_t dst[40];
    for (int shape = 0; shape < 4; shape++) {
        for (int i = 0; i < 40; i++) {
            w[i] = shape == 1 ? 0.0f : 1.0f;
            for (int d = 0; d < 4; d++)
                x[4 * i + d] = shape == 0   ? 0.0f
                               : shape == 1 ? 1.0f
                               : shape == 2 ? 1e-30f * (float)(i + d + 1)
                                            : 1e30f * (float)((i + d) % 3);
        }
        ck_assert_int_eq(run_kind(kinds[_i], x, 40, 4, w, 40, dst), TKP_OK);
        bool seen[40] = {false};
        for (int i = 0; i < 40; i++) {
            ck_assert_int_ge(dst[i], 0);
            ck_assert_int_lt(dst[i], 40);
            ck_assert(!seen[dst[i]]);
            seen[dst[i]] = true;
            if (shape == 0) /* nothing tells them apart */
                ck_assert_int_eq(dst[i], i);
        }
    }
}
END_TEST

START_TEST(greedy__prefix__is_what_a_smaller_count_gives)
{
    float x[50 * 8], w[50];
    int32_t all[50], some[20];
    srand(7);
    for (int i = 0; i < 50 * 8; i++)
        x[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    for (int i = 0; i < 50; i++)
        w[i] = (float)rand() / (float)RAND_MAX;
    ck_assert_int_eq(run_kind(kinds[_i], x, 50, 8, w, 20, all), TKP_OK);
    for (int32_t k = 1; k < 20; k += 6) {
        ck_assert_int_eq(run_kind(kinds[_i], x, 50, 8, w, k, some), TKP_OK);
        expect(some, all, k);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops/greedy");
    TCase *hand = tcase_create("by_hand");
    tcase_add_test(hand, distance__by_hand);
    tcase_add_test(hand, mmr__by_hand);
    tcase_add_test(hand, cover__by_hand);
    tcase_add_test(hand, cover__softmax__sharp_rows_cover_themselves);
    tcase_add_test(hand, dpp__by_hand);
    tcase_add_test(hand, dpp__more_than_the_rank__no_index_twice);
    tcase_add_test(hand, tri__by_hand);
    suite_add_tcase(suite, hand);
    TCase *common_case = tcase_create("common");
    tcase_add_loop_test(
        common_case,
        greedy__numbers_that_are_not_finite__refused_and_dst_untouched, 0, 4);
    tcase_add_loop_test(
        common_case, greedy__degenerate_rows__each_index_once, 0, 4);
    tcase_add_loop_test(
        common_case, greedy__prefix__is_what_a_smaller_count_gives, 0, 4);
    suite_add_tcase(suite, common_case);
    return tkp_test_main(suite);
}
