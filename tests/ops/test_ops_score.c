/*
 * Score kinds: numbers small enough to be worked out by hand.
 *
 * Attention: keys 0, ln 2, 2 ln 2 and scale 1. A head with query 1 has the
 * probabilities 1/7, 2/7, 4/7; one with query 0 has 1/3 each.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "op_main.h"

#define LN2 0.69314718055994530942f

static void expect(const float *got, const float *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(
            fabsf(got[i] - want[i]) <= 1e-6f ||
                (isnan(got[i]) && isnan(want[i])),
            "entry %lld: got %.9g, wanted %.9g", (long long)i, (double)got[i],
            (double)want[i]);
}

/* --- attention_scores ------------------------------------------------------ */

/* One sequence of three keys, candidates 0 .. 2, two heads over one key head. */
typedef struct attention {
    float q[8], k[8], lse[8], dst[3];
    int32_t q_offsets[2], positions[4], k_offsets[2], offsets[2], cand[3];
    tkp_op_attention_scores params;
    tkp_tensor args[10];
} attention;

static void attention_setup(attention *a, int32_t rows)
{
    memset(a, 0, sizeof(*a));
    for (int32_t r = 0; r < rows; r++) {
        a->q[2 * r] = 1.0f;
        a->positions[r] = 3 - rows + r;
    }
    a->k[1] = LN2;
    a->k[2] = 2 * LN2;
    a->q_offsets[1] = rows;
    a->k_offsets[1] = a->offsets[1] = 3;
    a->cand[1] = 1;
    a->cand[2] = 2;
    a->params.struct_size = sizeof(a->params);
    a->params.scale = 1.0f;
    a->args[0] = tkp_test_3d(a->q, TKP_DTYPE_F32, rows, 2, 1);
    a->args[1] = tkp_test_3d(a->k, TKP_DTYPE_F32, 3, 1, 1);
    a->args[2] = tkp_test_none();
    a->args[3] = tkp_test_none();
    a->args[4] = TKP_TEST_I32(a->q_offsets);
    a->args[5] = tkp_test_1d(a->positions, TKP_DTYPE_I32, rows);
    a->args[6] = TKP_TEST_I32(a->k_offsets);
    a->args[7] = TKP_TEST_I32(a->offsets);
    a->args[8] = TKP_TEST_I32(a->cand);
    a->args[9] = TKP_TEST_F32(a->dst);
}

static void attention_expect(attention *a, float w0, float w1, float w2)
{
    const tkp_status status =
        tkp_test_run(TKP_OP_ATTENTION_SCORES, &a->params, a->args, 10);
    ck_assert_int_eq(status, TKP_OK);
    expect(a->dst, (float[]){w0, w1, w2}, 3);
}

START_TEST(attention_scores__two_heads__mean_of_their_softmaxes)
{
    attention a;
    attention_setup(&a, 1);
    attention_expect(&a, 5.0f / 21, 13.0f / 42, 19.0f / 42);
}
END_TEST

START_TEST(attention_scores__causal__later_keys_are_not_in_the_softmax)
{
    attention a;
    attention_setup(&a, 1);
    a.positions[0] = 1;
    a.params.flags = TKP_ATTENTION_CAUSAL;
    attention_expect(&a, 5.0f / 12, 7.0f / 12, 0.0f);
}
END_TEST

START_TEST(attention_scores__reductions__rows_1_and_2)
{
    /* Row at position 1: 5/12, 7/12, -. Row at 2: 5/21, 13/42, 19/42. */
    static const struct {
        int32_t reduce;
        float want[3];
    } cases[] = {
        {TKP_ROW_REDUCE_DEFAULT, {5.0f / 21, 13.0f / 42, 19.0f / 42}},
        {TKP_ROW_REDUCE_LAST, {5.0f / 21, 13.0f / 42, 19.0f / 42}},
        {TKP_ROW_REDUCE_MEAN, {55.0f / 168, 75.0f / 168, 19.0f / 84}},
        {TKP_ROW_REDUCE_MEAN_VISIBLE, {55.0f / 168, 75.0f / 168, 19.0f / 42}},
        {TKP_ROW_REDUCE_SUM, {55.0f / 84, 75.0f / 84, 19.0f / 42}},
        {TKP_ROW_REDUCE_MAX, {5.0f / 12, 7.0f / 12, 19.0f / 42}},
    };
    attention a;
    attention_setup(&a, 2);
    a.params.flags = TKP_ATTENTION_CAUSAL;
    a.params.row_reduce = cases[_i].reduce;
    attention_expect(
        &a, cases[_i].want[0], cases[_i].want[1], cases[_i].want[2]);
}
END_TEST

START_TEST(attention_scores__logits__no_softmax)
{
    attention a;
    attention_setup(&a, 1);
    a.params.flags = TKP_ATTENTION_LOGITS;
    attention_expect(&a, 0.0f, LN2 / 2, LN2);
}
END_TEST

/* Two rows that see the same keys are one direction, unless they differ. */
START_TEST(attention_rank__rows_alike_or_not__directions)
{
    attention a;
    int32_t rank[1] = {-1};
    tkp_op_attention_rank p = {sizeof(p), 0, 1.0f, 0.0f};
    attention_setup(&a, 2);
    a.args[9] = TKP_TEST_I32(rank);
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_RANK, &p, a.args, 10), TKP_OK);
    ck_assert_int_eq(rank[0], 1);
    p.flags = TKP_ATTENTION_CAUSAL; /* the first does not see the last key */
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_RANK, &p, a.args, 10), TKP_OK);
    ck_assert_int_eq(rank[0], 2);
    p.tolerance = 0.9f;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_RANK, &p, a.args, 10), TKP_OK);
    ck_assert_int_eq(rank[0], 1);
    a.q[0] = NAN;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_RANK, &p, a.args, 10), TKP_ERR_DATA);
    a.q_offsets[1] = 0; /* no rows */
    a.args[0] = tkp_test_3d(a.q, TKP_DTYPE_F32, 0, 2, 1);
    a.args[5] = tkp_test_1d(a.positions, TKP_DTYPE_I32, 0);
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_RANK, &p, a.args, 10), TKP_OK);
    ck_assert_int_eq(rank[0], 0);
}
END_TEST

/* Candidates 1 and 2: one head gives them 6/7, the other 2/3. */
START_TEST(attention_heads__one_of_two__that_which_looks_at_them)
{
    attention a;
    tkp_tensor args[11];
    tkp_op_attention_heads p = {sizeof(p), 0, 0, 1.0f, 1, 0, 0.0};
    attention_setup(&a, 1);
    a.offsets[1] = 2;
    a.cand[0] = 1;
    a.cand[1] = 2;
    memcpy(args, a.args, 9 * sizeof(*args));
    args[8] = tkp_test_1d(a.cand, TKP_DTYPE_I32, 2);
    args[9] = tkp_test_none();
    args[10] = tkp_test_1d(a.dst, TKP_DTYPE_F32, 2);
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_HEADS, &p, args, 11), TKP_OK);
    expect(a.dst, (float[]){2.0f / 7, 4.0f / 7}, 2);
    p.heads = 7; /* all there are */
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_HEADS, &p, args, 11), TKP_OK);
    expect(a.dst, (float[]){13.0f / 42, 19.0f / 42}, 2);
}
END_TEST

/* Two channels, theta any: distance d divides by sqrt(2) cos d, or, where that is
 * less, by a 64th of sqrt(2). The query is 0, so all keys have 1/3. */
START_TEST(attention_heads__level__divided_by_what_distance_does)
{
    attention a;
    tkp_tensor args[11];
    float zero[6] = {0};
    int32_t positions[3] = {0, 2, 3}; /* the row is the last: 3, 1 and 0 away */
    const float root = sqrtf(2.0f);
    tkp_op_attention_heads p = {sizeof(p), 0, 0, 1.0f, 0, 0, 1e4};
    attention_setup(&a, 1);
    memcpy(args, a.args, 9 * sizeof(*args));
    args[0] = tkp_test_3d(zero, TKP_DTYPE_F32, 1, 1, 2);
    args[1] = tkp_test_3d(zero, TKP_DTYPE_F32, 3, 1, 2);
    args[9] = tkp_test_2d(positions, TKP_DTYPE_I32, 1, 3);
    args[10] = a.args[9];
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_HEADS, &p, args, 11), TKP_OK);
    for (int i = 0; i < 3; i++)
        a.dst[i] *= 3.0f * root;
    a.dst[0] /= 64.0f; /* cos 3 is below 0 */
    expect(a.dst, (float[]){1.0f, 1.0f / cosf(1.0f), 1.0f}, 3);
    args[9] = tkp_test_2d(positions, TKP_DTYPE_I32, 1, 2);
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_HEADS, &p, args, 11), TKP_ERR_ARGUMENT);
}
END_TEST

START_TEST(attention_scores__lse_given__is_used)
{
    attention a;
    attention_setup(&a, 1);
    a.lse[0] = logf(14.0f); /* twice the true sum */
    a.lse[1] = logf(3.0f);
    a.args[2] = tkp_test_2d(a.lse, TKP_DTYPE_F32, 1, 2);
    attention_expect(&a, 17.0f / 84, 20.0f / 84, 26.0f / 84);
}
END_TEST

START_TEST(attention_scores__default_scale__one_over_root_of_channels)
{
    attention a;
    attention_setup(&a, 1);
    /* Four channels of which one counts: scale 1/2 undoes the query's 2. */
    float q[8] = {2.0f}, k[12] = {0.0f, 0, 0, 0, LN2, 0, 0, 0, 2 * LN2};
    a.args[0] = tkp_test_3d(q, TKP_DTYPE_F32, 1, 2, 4);
    a.args[1] = tkp_test_3d(k, TKP_DTYPE_F32, 3, 1, 4);
    a.params.scale = 0.0f;
    attention_expect(&a, 5.0f / 21, 13.0f / 42, 19.0f / 42);
}
END_TEST

START_TEST(attention_scores__head_of_each_key_head__query_heads_in_order)
{
    attention a;
    attention_setup(&a, 1);
    /* Two key heads, the second one constant: both query heads have 1, so
     * head 0 sees 1/7 2/7 4/7 and head 1 sees 1/3 each, as before. */
    float k[6] = {0.0f, 5.0f, LN2, 5.0f, 2 * LN2, 5.0f};
    a.q[1] = 1.0f;
    a.args[1] = tkp_test_3d(k, TKP_DTYPE_F32, 3, 2, 1);
    attention_expect(&a, 5.0f / 21, 13.0f / 42, 19.0f / 42);
}
END_TEST

START_TEST(attention_scores__pages__order_of_the_table)
{
    attention a;
    attention_setup(&a, 1);
    /* Pages of two keys; keys 0, 1 in page 2, key 2 in page 0. */
    float pages[6] = {2 * LN2, NAN, NAN, NAN, 0.0f, LN2};
    int32_t table[3] = {2, 0, -7};
    a.args[1] = tkp_test_3d(pages, TKP_DTYPE_F32, 3, 2, 1);
    a.args[1].ndim = 4;
    a.args[1].shape[3] = a.args[1].strides[3] = 1;
    a.args[3] = tkp_test_2d(table, TKP_DTYPE_I32, 1, 3);
    attention_expect(&a, 5.0f / 21, 13.0f / 42, 19.0f / 42);
}
END_TEST

START_TEST(attention_scores__emulate_half__probabilities_are_rounded)
{
    attention a;
    attention_setup(&a, 1);
    uint16_t q[2] = {0, 0}, k[3] = {0, 0, 0};
    a.args[0] = tkp_test_3d(q, TKP_DTYPE_F16, 1, 2, 1);
    a.args[1] = tkp_test_3d(k, TKP_DTYPE_F16, 3, 1, 1);
    a.params.flags = TKP_ATTENTION_EMULATE_HALF;
    const float third = 0.333251953125f; /* 1/3 in f16 */
    attention_expect(&a, third, third, third);
    ck_assert(a.dst[0] == third);
}
END_TEST

START_TEST(attention_scores__emulate_half__head_mean_is_rounded)
{
    attention a;
    attention_setup(&a, 1);
    /* f16: 1, and multiples of ln 2. Key 1 has 1170/4096 (2/7) in head 0 and
     * 1365/4096 (1/3) in head 1; the mean 1267.5/4096 goes to the even. */
    uint16_t q[2] = {0x3c00, 0}, k[3] = {0, 0x398c, 0x3d8c};
    a.args[0] = tkp_test_3d(q, TKP_DTYPE_F16, 1, 2, 1);
    a.args[1] = tkp_test_3d(k, TKP_DTYPE_F16, 3, 1, 1);
    a.params.flags = TKP_ATTENTION_EMULATE_HALF;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_SCORES, &a.params, a.args, 10), TKP_OK);
    ck_assert(a.dst[0] == 1950.0f / 8192);
    ck_assert(a.dst[1] == 1268.0f / 4096);
}
END_TEST

START_TEST(attention_scores__batch_with_a_sequence_without_rows__scores_zero)
{
    attention a;
    attention_setup(&a, 1);
    float k[6] = {0.0f, LN2, 2 * LN2, 9.0f, 9.0f, 9.0f}, dst[5];
    int32_t q_offsets[3] = {0, 1, 1}, k_offsets[3] = {0, 3, 6};
    int32_t offsets[3] = {0, 3, 5}, cand[5] = {2, 1, 0, 0, 2};
    a.args[1] = tkp_test_3d(k, TKP_DTYPE_F32, 6, 1, 1);
    a.args[4] = TKP_TEST_I32(q_offsets);
    a.args[6] = TKP_TEST_I32(k_offsets);
    a.args[7] = TKP_TEST_I32(offsets);
    a.args[8] = TKP_TEST_I32(cand);
    a.args[9] = TKP_TEST_F32(dst);
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_SCORES, &a.params, a.args, 10), TKP_OK);
    expect(dst, (float[]){19.0f / 42, 13.0f / 42, 5.0f / 21, 0.0f, 0.0f}, 5);
}
END_TEST

START_TEST(attention_scores__large_logits__no_overflow)
{
    attention a;
    attention_setup(&a, 1);
    a.params.scale = 1.0f;
    a.q[0] = a.q[1] = 1000.0f;
    a.k[0] = 100.0f;
    a.k[1] = 100.0f;
    a.k[2] = -100.0f;
    attention_expect(&a, 0.5f, 0.5f, 0.0f);
}
END_TEST

/* --- attention_rows_reduce --------------------------------------------------- */

START_TEST(attention_rows_reduce__packed_rows__as_from_q_and_k)
{
    /* Two rows, two heads, three keys: mean over heads, then over rows. */
    float probs[12] = {0.5f, 0.25f, 0.25f, 0.1f, 0.2f, 0.7f,
                       0.3f, 0.3f,  0.4f,  0.1f, 0.1f, 0.8f};
    int32_t q_offsets[2] = {0, 2}, positions[2] = {1, 2};
    int32_t offsets[2] = {0, 2}, cand[2] = {2, 0};
    float dst[2];
    tkp_op_attention_scores p = {sizeof(p), 0, TKP_ROW_REDUCE_SUM, 0.0f};
    const tkp_tensor args[] = {
        tkp_test_3d(probs, TKP_DTYPE_F32, 2, 2, 3),
        TKP_TEST_I32(q_offsets),
        TKP_TEST_I32(positions),
        TKP_TEST_I32(offsets),
        TKP_TEST_I32(cand),
        TKP_TEST_F32(dst),
    };
    const int32_t kind = TKP_OP_ATTENTION_ROWS_REDUCE;
    ck_assert_int_eq(tkp_test_run(kind, &p, args, 6), TKP_OK);
    expect(dst, (float[]){0.475f + 0.6f, 0.3f + 0.2f}, 2);
    p.row_reduce = TKP_ROW_REDUCE_MAX;
    ck_assert_int_eq(tkp_test_run(kind, &p, args, 6), TKP_OK);
    expect(dst, (float[]){0.6f, 0.3f}, 2);
    p.row_reduce = TKP_ROW_REDUCE_DEFAULT;
    ck_assert_int_eq(tkp_test_run(kind, &p, args, 6), TKP_OK);
    expect(dst, (float[]){0.6f, 0.2f}, 2);
    p.row_reduce = TKP_ROW_REDUCE_MEAN_VISIBLE;
    p.flags = TKP_ATTENTION_CAUSAL;
    ck_assert_int_eq(tkp_test_run(kind, &p, args, 6), TKP_OK);
    expect(dst, (float[]){0.6f, 0.25f}, 2);
}
END_TEST

START_TEST(attention_rows_reduce__full_tensor__row_of_the_position)
{
    /* Published layout [B, H, L, L] = [1, 2, 3, 3], given by its strides. */
    float probs[18];
    for (int i = 0; i < 18; i++)
        probs[i] = (float)i;
    tkp_tensor full = tkp_test_3d(probs, TKP_DTYPE_F32, 1, 3, 2);
    full.ndim = 4;
    full.shape[3] = 3;
    full.strides[0] = 18;
    full.strides[1] = 3; /* row */
    full.strides[2] = 9; /* head */
    full.strides[3] = 1;
    int32_t q_offsets[2] = {0, 1}, positions[1] = {2};
    int32_t offsets[2] = {0, 2}, cand[2] = {0, 1};
    float dst[2];
    const tkp_op_attention_scores p = {sizeof(p), 0, 0, 0.0f};
    const tkp_tensor args[] = {
        full,
        TKP_TEST_I32(q_offsets),
        TKP_TEST_I32(positions),
        TKP_TEST_I32(offsets),
        TKP_TEST_I32(cand),
        TKP_TEST_F32(dst),
    };
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_ROWS_REDUCE, &p, args, 6), TKP_OK);
    /* Row 2: head 0 holds 6 7 8, head 1 holds 15 16 17. */
    expect(dst, (float[]){10.5f, 11.5f}, 2);
}
END_TEST

/* --- norms and cosines ---------------------------------------------------------- */

START_TEST(row_norm__three_four__seven_and_five)
{
    float x[6] = {3.0f, -4.0f, 0.0f, 0.0f, -1.0f, 1.0f}, dst[2];
    int32_t rows[2] = {2, 0};
    tkp_op_row_norm p = {sizeof(p), 0};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 3, 2), TKP_TEST_I32(rows),
        TKP_TEST_F32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_ROW_NORM, &p, args, 3), TKP_OK);
    expect(dst, (float[]){2.0f, 7.0f}, 2);
    p.norm = TKP_NORM_L2;
    ck_assert_int_eq(tkp_test_run(TKP_OP_ROW_NORM, &p, args, 3), TKP_OK);
    expect(dst, (float[]){1.41421356f, 5.0f}, 2);
}
END_TEST

START_TEST(cosine__reference_of_each_sequence__zero_rows_score_zero)
{
    float x[8] = {1.0f, 0.0f, 0.0f, 0.0f, -3.0f, -4.0f, 0.0f, 2.0f}, dst[4];
    float reference[4] = {3.0f, 4.0f, 0.0f, 0.0f};
    int32_t rows[4] = {0, 1, 2, 3}, offsets[3] = {0, 3, 4};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 4, 2), TKP_TEST_I32(rows),
        TKP_TEST_I32(offsets), tkp_test_2d(reference, TKP_DTYPE_F32, 2, 2),
        TKP_TEST_F32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_COSINE, NULL, args, 5), TKP_OK);
    expect(dst, (float[]){0.6f, 0.0f, -1.0f, 0.0f}, 4);
}
END_TEST

START_TEST(cosine_pairs__three_rows_and_a_single_one)
{
    float x[8] = {1.0f, 0.0f, 0.0f, 1.0f, 3.0f, 4.0f, 5.0f, 5.0f}, dst[4];
    int32_t rows[4] = {0, 1, 2, 3}, offsets[3] = {0, 3, 4};
    tkp_op_cosine_pairs p = {sizeof(p), 0};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 4, 2), TKP_TEST_I32(rows),
        TKP_TEST_I32(offsets), TKP_TEST_F32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_COSINE_PAIRS, &p, args, 4), TKP_OK);
    expect(dst, (float[]){0.6f, 0.8f, 0.8f, 0.0f}, 4);
    p.reduce = TKP_ROW_REDUCE_MEAN;
    ck_assert_int_eq(tkp_test_run(TKP_OP_COSINE_PAIRS, &p, args, 4), TKP_OK);
    expect(dst, (float[]){0.3f, 0.4f, 0.7f, 0.0f}, 4);
}
END_TEST

START_TEST(temporal__two_frames__first_is_above_all)
{
    /* turned by a right angle, turned round, the same, and a row of zeros */
    float x[16] = {1.0f, 0.0f, 0.0f, 2.0f,  3.0f, 4.0f, 1.0f, 1.0f,
                   0.0f, 5.0f, 0.0f, -1.0f, 6.0f, 8.0f, 0.0f, 0.0f};
    float dst[8];
    int32_t rows[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    int32_t before[8] = {-1, -1, -1, -1, 0, 1, 2, 3};
    tkp_op_temporal p = {sizeof(p), 0.0f, 0.0f};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 8, 2), TKP_TEST_I32(rows),
        TKP_TEST_I32(before), TKP_TEST_F32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_TEMPORAL, &p, args, 4), TKP_OK);
    expect(
        dst, (float[]){255.0f, 255.0f, 255.0f, 255.0f, 1.0f, 2.0f, 0.0f, 1.0f},
        8);
    p.first = 3.0f;
    ck_assert_int_eq(tkp_test_run(TKP_OP_TEMPORAL, &p, args, 4), TKP_OK);
    expect(dst, (float[]){3.0f, 3.0f, 3.0f, 3.0f, 1.0f, 2.0f, 0.0f, 1.0f}, 8);
    p.threshold = 0.9f;
    ck_assert_int_eq(tkp_test_run(TKP_OP_TEMPORAL, &p, args, 4), TKP_OK);
    expect(dst, (float[]){1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 0.0f, 1.0f}, 8);
    before[2] = 8;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_TEMPORAL, &p, args, 4), TKP_ERR_ARGUMENT);
    before[2] = -1;
    x[13] = NAN;
    before[6] = -1; /* a row that nothing is compared with */
    ck_assert_int_eq(tkp_test_run(TKP_OP_TEMPORAL, &p, args, 4), TKP_ERR_DATA);
    x[13] = 8.0f;
    x[3] = NAN;
    ck_assert_int_eq(tkp_test_run(TKP_OP_TEMPORAL, &p, args, 4), TKP_ERR_DATA);
}
END_TEST

/* Cosines 0.6 and 0 (a row of zeros), of three: means 0.3, 0.3, 0; variances
 * with the zero of a token itself (0.3^2 * 3) / 2 and 0. One token alone: 0. */
START_TEST(crop_variance__three_and_one__by_hand)
{
    float x[8] = {1.0f, 0.0f, 3.0f, 4.0f, 0.0f, 0.0f, 5.0f, 5.0f};
    float cls[4] = {0.001f, 0.002f, 0.003f, 0.004f};
    float dst[4];
    int32_t rows[4] = {0, 1, 2, 3}, offsets[3] = {0, 3, 4};
    tkp_op_crop_variance p = {sizeof(p), 0.5f, 0, 0};
    tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 4, 2),
        TKP_TEST_I32(rows),
        TKP_TEST_I32(offsets),
        {0},
        TKP_TEST_F32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_CROP_VARIANCE, &p, args, 5), TKP_OK);
    expect(dst, (float[]){0.135f, 0.135f, 0.0f, 0.0f}, 4);
    args[3] = (tkp_tensor)TKP_TEST_F32(cls);
    /* t = 1, 2, 3: mean 2; mean v 0.09: half of 2 / 0.090001 of v */
    ck_assert_int_eq(tkp_test_run(TKP_OP_CROP_VARIANCE, &p, args, 5), TKP_OK);
    expect(dst, (float[]){2.499983f, 3.499983f, 3.0f, 4.0f}, 4);
    p.bare = 1;
    ck_assert_int_eq(tkp_test_run(TKP_OP_CROP_VARIANCE, &p, args, 5), TKP_OK);
    expect(dst, (float[]){2.499983f, 3.499983f, 3.0f, 0.004f}, 4);
    cls[3] = NAN;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_CROP_VARIANCE, &p, args, 5), TKP_ERR_DATA);
    cls[3] = 0.0f;
    x[4] = INFINITY;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_CROP_VARIANCE, &p, args, 5), TKP_ERR_DATA);
}
END_TEST

/* A whole of 2 x 2 cells, the last one gone, and what it is brought to. */
START_TEST(overview__two_by_two__by_hand)
{
    float scores[5] = {1.0f, 2.0f, 4.0f, 9.0f, 9.0f}, dst[5];
    int32_t cells[4] = {0, 1, 2, -1}, picture[5] = {0, 2, 2, 1, 4};
    int32_t places[15] = {0, -1, -1, 0, 0, 0, 0, 0, 1, 0, 0, 3, -1, 0, 0};
    tkp_op_overview p = {sizeof(p), TKP_OVERVIEW_BILINEAR, 0.25f, 0};
    tkp_tensor args[] = {
        TKP_TEST_F32(scores), TKP_TEST_I32(cells),
        tkp_test_2d(picture, TKP_DTYPE_I32, 1, 5),
        tkp_test_2d(places, TKP_DTYPE_I32, 5, 3), TKP_TEST_F32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_OVERVIEW, &p, args, 5), TKP_OK);
    /* One line: between both rows. Columns at -1/4, 1/4, 5/4 of the two; of the
     * last one the upper cell alone is there. (1 + 4) / 2; then weights 3/8,
     * 1/8, 3/8 of 1, 2, 4. */
    expect(dst, (float[]){1.0f, 2.5f, 17.0f / 7.0f, 2.0f, 9.0f}, 5);
    p.map = TKP_OVERVIEW_SUM;
    picture[4] = 2;
    places[11] = 1;
    ck_assert_int_eq(tkp_test_run(TKP_OP_OVERVIEW, &p, args, 5), TKP_OK);
    expect(dst, (float[]){7.0f, 5.0f, 2.0f, 2.0f, 9.0f}, 5);
    p.map = TKP_OVERVIEW_SHARE;
    ck_assert_int_eq(tkp_test_run(TKP_OP_OVERVIEW, &p, args, 5), TKP_OK);
    expect(
        dst, (float[]){0.25f, 3.75f / 7.0f, 1.5f / 7.0f, 1.5f / 7.0f, 9.0f}, 5);
    places[11] = 2;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_OVERVIEW, &p, args, 5), TKP_ERR_ARGUMENT);
    places[11] = 1;
    places[3] = 1;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_OVERVIEW, &p, args, 5), TKP_ERR_ARGUMENT);
    places[3] = 0;
    picture[0] = 1;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_OVERVIEW, &p, args, 5), TKP_ERR_ARGUMENT);
}
END_TEST

/* Two frames of two tokens. Channel 2 varies most and is left out; the others
 * make (1, 0), (1, 0), (0, 1), (0, 1): the mean of all is (1/2, 1/2), at a square
 * distance of 1/2 from each, the frames' means are their tokens. */
START_TEST(gaussian_scores__two_frames__distances_to_both_means)
{
    float x[12] = {2.0f, 0.0f, 9.0f, 5.0f, 0.0f, -9.0f,
                   0.0f, 3.0f, 7.0f, 0.0f, 1.0f, -8.0f};
    float dst[4];
    int32_t rows[4] = {0, 1, 2, 3}, video[2] = {0, 4}, frame[3] = {0, 2, 4};
    double far = 0.0;
    for (int k = -3; k <= 1; k++)
        far += exp(-0.5 / (2.0 * pow(2.0, k)));
    const float u = (float)far;
    tkp_op_gaussian_scores p = {sizeof(p), TKP_CENTRE_BOTH, 2, 0};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 4, 3), TKP_TEST_I32(rows),
        TKP_TEST_I32(video), TKP_TEST_I32(frame), TKP_TEST_F32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_GAUSSIAN_SCORES, &p, args, 5), TKP_OK);
    expect(dst, (float[]){u + 5.0f, u + 5.0f, u + 5.0f, u + 5.0f}, 4);
    p.centre = TKP_CENTRE_VIDEO;
    ck_assert_int_eq(tkp_test_run(TKP_OP_GAUSSIAN_SCORES, &p, args, 5), TKP_OK);
    expect(dst, (float[]){u, u, u, u}, 4);
    p.centre = TKP_CENTRE_FRAME;
    ck_assert_int_eq(tkp_test_run(TKP_OP_GAUSSIAN_SCORES, &p, args, 5), TKP_OK);
    expect(dst, (float[]){5.0f, 5.0f, 5.0f, 5.0f}, 4);
    /* half of three channels is one: the second varies least */
    p.channels = 0;
    p.centre = TKP_CENTRE_VIDEO;
    ck_assert_int_eq(tkp_test_run(TKP_OP_GAUSSIAN_SCORES, &p, args, 5), TKP_OK);
    far = 0.0;
    for (int k = -3; k <= 1; k++)
        far += exp(-0.25 / (2.0 * pow(2.0, k)));
    const float v = (float)far;
    expect(dst, (float[]){v, v, v, v}, 4);
    /* every token a video: each is its own middle */
    int32_t videos[5] = {0, 1, 2, 3, 4};
    const tkp_tensor single[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 4, 3), TKP_TEST_I32(rows),
        TKP_TEST_I32(videos), TKP_TEST_I32(videos), TKP_TEST_F32(dst)};
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_GAUSSIAN_SCORES, &p, single, 5), TKP_OK);
    expect(dst, (float[]){5.0f, 5.0f, 5.0f, 5.0f}, 4);
    /* a frame in two videos; a number that is none, in a channel left out too */
    int32_t halves[3] = {0, 1, 4};
    const tkp_tensor crossed[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 4, 3), TKP_TEST_I32(rows),
        TKP_TEST_I32(halves), TKP_TEST_I32(frame), TKP_TEST_F32(dst)};
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_GAUSSIAN_SCORES, &p, crossed, 5), TKP_ERR_ARGUMENT);
    x[8] = NAN;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_GAUSSIAN_SCORES, &p, args, 5), TKP_ERR_DATA);
}
END_TEST

/* East, north, west, north: from the second to the third it goes on, at the
 * third it turns back. Then one that stands still. */
START_TEST(segments__two_paths__threshold_then_the_weakest)
{
    /* likeness 0.707, 0.707, 1; then 1, 0, 0: the third row is dark */
    float x[16] = {1.0f, 0.0f, 1.0f, 1.0f, 0.0f, 1.0f, 0.0f, 2.0f,
                   3.0f, 0.0f, 4.0f, 0.0f, 0.0f, 0.0f, 5.0f, 0.0f};
    int32_t dst[8];
    int32_t offsets[3] = {0, 4, 8};
    tkp_op_segments p = {sizeof(p), 0.5f, 0, 0};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 8, 2), TKP_TEST_I32(offsets),
        TKP_TEST_I32(dst)};
    static const int32_t below[] = {0, 0, 0, 0, 1, 1, 2, 3};
    static const int32_t two[] = {0, 1, 1, 1, 2, 2, 3, 4};
    static const int32_t all[] = {0, 1, 2, 3, 4, 5, 6, 7};
    ck_assert_int_eq(tkp_test_run(TKP_OP_SEGMENTS, &p, args, 3), TKP_OK);
    ck_assert_mem_eq(dst, below, sizeof(below));
    p.least = 2;
    ck_assert_int_eq(tkp_test_run(TKP_OP_SEGMENTS, &p, args, 3), TKP_OK);
    ck_assert_mem_eq(dst, two, sizeof(two));
    p.least = 9;
    ck_assert_int_eq(tkp_test_run(TKP_OP_SEGMENTS, &p, args, 3), TKP_OK);
    ck_assert_mem_eq(dst, all, sizeof(all));
    x[13] = NAN;
    ck_assert_int_eq(tkp_test_run(TKP_OP_SEGMENTS, &p, args, 3), TKP_ERR_DATA);
}
END_TEST

START_TEST(static_windows__two_videos__most_that_repeats)
{
    /* Four frames of two cells: one goes on all the time, the other from the
     * second to the third; then a frame alone. */
    float starts[10] = {1, 1, 0, 1, 0, 0, 0, 1, 1, 1};
    int32_t before[10] = {-1, -1, 0, 1, 2, 3, 4, 5, -1, -1};
    int32_t frames[6] = {0, 2, 4, 6, 8, 10}, videos[3] = {0, 4, 5};
    int32_t window[5], head[10];
    tkp_op_static_windows p = {sizeof(p), 0};
    const tkp_tensor args[] = {TKP_TEST_F32(starts), TKP_TEST_I32(before),
                               TKP_TEST_I32(frames), TKP_TEST_I32(videos),
                               TKP_TEST_I32(window), TKP_TEST_I32(head)};
    static const int32_t whole[] = {0, 0, 0, 0, 1};
    static const int32_t first[] = {0, -1, 0, -1, 0, -1, 0, -1, -1, -1};
    static const int32_t pairs[] = {0, 1, 1, 2, 3};
    static const int32_t middle[] = {-1, -1, 2, 3, 2, 3, -1, -1, -1, -1};
    ck_assert_int_eq(tkp_test_run(TKP_OP_STATIC_WINDOWS, &p, args, 6), TKP_OK);
    ck_assert_mem_eq(window, whole, sizeof(whole)); /* 1 x 3 */
    ck_assert_mem_eq(head, first, sizeof(first));
    p.longest = 2; /* 1 + 1 in the ends, 2 in the middle: the last is short */
    ck_assert_int_eq(tkp_test_run(TKP_OP_STATIC_WINDOWS, &p, args, 6), TKP_OK);
    ck_assert_mem_eq(window, pairs, sizeof(pairs));
    ck_assert_mem_eq(head, middle, sizeof(middle));
    before[3] = 3;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_STATIC_WINDOWS, &p, args, 6), TKP_ERR_ARGUMENT);
}
END_TEST

START_TEST(curvature__two_paths__turns_and_ends)
{
    float x[14] = {5.0f, 0.0f, 0.0f, 2.0f, -1.0f, 0.0f, 0.0f,
                   7.0f, 3.0f, 4.0f, 3.0f, 4.0f,  6.0f, 8.0f};
    float dst[7];
    int32_t offsets[3] = {0, 4, 7};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 7, 2), TKP_TEST_I32(offsets),
        TKP_TEST_F32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_CURVATURE, NULL, args, 3), TKP_OK);
    expect(dst, (float[]){1.0f, 1.0f, 2.0f, 1.0f, 1.0f, 1.0f, 1.0f}, 7);
    x[2] = 6.0f; /* (6, 2): on the way from east to west, though not straight */
    const double a = sqrt(40.0);
    const double in[2] = {6.0 / a - 1.0, 2.0 / a};
    const double out[2] = {-1.0 - 6.0 / a, -2.0 / a};
    const double cosine = (in[0] * out[0] + in[1] * out[1]) /
                          (hypot(in[0], in[1]) * hypot(out[0], out[1]));
    ck_assert_int_eq(tkp_test_run(TKP_OP_CURVATURE, NULL, args, 3), TKP_OK);
    ck_assert_float_eq_tol(dst[1], (float)(1.0 - cosine), 1e-6f);
    x[13] = INFINITY;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_CURVATURE, NULL, args, 3), TKP_ERR_DATA);
}
END_TEST

/* Two pictures of one word less each; in the last sequence nothing is seen. */
START_TEST(text_raters__two_visual_tokens__shares_and_who_is_above)
{
    float x[] = {1.0f, 0.0f, 0.0f, 1.0f, 0.0f, 0.0f,
                 2.0f, 0.0f, 0.0f, 2.0f, 5.0f, 5.0f};
    int32_t rows[3] = {0, 1, 5}, offsets[4] = {0, 2, 3, 3};
    int32_t text[6] = {2, 3, 4, 3, 0, 1}, ends[4] = {0, 3, 4, 6};
    float share[6];
    int32_t raters[6];
    tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 6, 2),
        TKP_TEST_I32(rows),
        TKP_TEST_I32(offsets),
        TKP_TEST_I32(text),
        TKP_TEST_I32(ends),
        TKP_TEST_F32(share),
        TKP_TEST_I32(raters)};
    const float e = expf(2.0f);
    const float low = 1.0f / (e + 2.0f), high = (e + 1.0f) / (2.0f * e + 4.0f);
    ck_assert_int_eq(tkp_test_run(TKP_OP_TEXT_RATERS, NULL, args, 7), TKP_OK);
    expect(share, (float[]){low, high, high, 1.0f, 0.0f, 0.0f}, 6);
    ck_assert_mem_eq(raters, ((int32_t[]){0, 1, 1, 1, 1, 1}), sizeof(raters));
    x[4] = 2.0f; /* words alike: all of them */
    x[6] = 2.0f;
    text[2] = 3;
    ck_assert_int_eq(tkp_test_run(TKP_OP_TEXT_RATERS, NULL, args, 7), TKP_OK);
    ck_assert_mem_eq(raters, ((int32_t[]){1, 1, 1}), 3 * sizeof(int32_t));
    rows[2] = 6;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_TEXT_RATERS, NULL, args, 7), TKP_ERR_ARGUMENT);
    rows[2] = 5;
    x[0] = NAN;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_TEXT_RATERS, NULL, args, 7), TKP_ERR_DATA);
}
END_TEST

/* --- blend ------------------------------------------------------------------------ */

/* One term in one sequence. */
static void blend_one(
    float *z,
    int64_t n,
    int32_t normalise,
    int32_t complement,
    float *dst)
{
    int32_t offsets[2] = {0, (int32_t)n};
    tkp_op_blend p = {.struct_size = sizeof(p), .terms = 1};
    p.weight[0] = 1.0f;
    p.normalise[0] = normalise;
    p.complement[0] = complement;
    const tkp_tensor args[] = {
        tkp_test_2d(z, TKP_DTYPE_F32, 1, n), TKP_TEST_I32(offsets),
        tkp_test_1d(dst, TKP_DTYPE_F32, n)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_BLEND, &p, args, 3), TKP_OK);
}

START_TEST(blend__each_normalisation)
{
    float z[4] = {1.0f, 3.0f, 2.0f, 2.0f}, dst[4];
    blend_one(z, 4, TKP_NORMALISE_NONE, 0, dst);
    expect(dst, z, 4);
    blend_one(z, 4, TKP_NORMALISE_MIN_MAX, 0, dst);
    expect(dst, (float[]){0.0f, 1.0f, 0.5f, 0.5f}, 4);
    blend_one(z, 4, TKP_NORMALISE_MIN_MAX, 1, dst);
    expect(dst, (float[]){1.0f, 0.0f, 0.5f, 0.5f}, 4);
    /* Ranks 3, 0, 1, 2: of equal values the earlier one is better. */
    blend_one(z, 4, TKP_NORMALISE_RANK, 0, dst);
    expect(dst, (float[]){0.0f, 1.0f, 2.0f / 3, 1.0f / 3}, 4);
    blend_one(z, 4, TKP_NORMALISE_SUM, 0, dst);
    expect(dst, (float[]){0.125f, 0.375f, 0.25f, 0.25f}, 4);
    float sides[2] = {3.0f, -4.0f}, nothing[2] = {0.0f, 0.0f};
    blend_one(sides, 2, TKP_NORMALISE_L2, 0, dst);
    expect(dst, (float[]){0.6f, -0.8f}, 2);
    blend_one(nothing, 2, TKP_NORMALISE_L2, 0, dst);
    expect(dst, nothing, 2);
    float logs[3] = {0.0f, LN2, 2 * LN2};
    blend_one(logs, 3, TKP_NORMALISE_SOFTMAX, 0, dst);
    expect(dst, (float[]){1.0f / 7, 2.0f / 7, 4.0f / 7}, 3);
}
END_TEST

START_TEST(blend__constant_and_single__documented_values)
{
    float z[2] = {5.0f, 5.0f}, dst[2];
    blend_one(z, 2, TKP_NORMALISE_MIN_MAX, 0, dst);
    expect(dst, (float[]){0.0f, 0.0f}, 2);
    blend_one(z, 2, TKP_NORMALISE_MIN_MAX, 1, dst);
    expect(dst, (float[]){1.0f, 1.0f}, 2);
    blend_one(z, 2, TKP_NORMALISE_SOFTMAX, 0, dst);
    expect(dst, (float[]){0.5f, 0.5f}, 2);
    blend_one(z, 1, TKP_NORMALISE_RANK, 0, dst);
    expect(dst, (float[]){0.0f}, 1);
    float cancel[2] = {2.0f, -2.0f};
    blend_one(cancel, 2, TKP_NORMALISE_SUM, 0, dst);
    expect(dst, (float[]){0.0f, 0.0f}, 2);
}
END_TEST

START_TEST(blend__nan__stays_and_spares_the_others)
{
    float z[4] = {1.0f, NAN, 3.0f, 2.0f}, dst[4];
    blend_one(z, 4, TKP_NORMALISE_MIN_MAX, 0, dst);
    expect(dst, (float[]){0.0f, NAN, 1.0f, 0.5f}, 4);
    blend_one(z, 4, TKP_NORMALISE_RANK, 0, dst);
    expect(dst, (float[]){0.0f, NAN, 1.0f, 0.5f}, 4);
    blend_one(z, 4, TKP_NORMALISE_SUM, 0, dst);
    expect(dst, (float[]){1.0f / 6, NAN, 0.5f, 1.0f / 3}, 4);
}
END_TEST

START_TEST(blend__alpha__weighted_sum_per_sequence)
{
    /* Sequences of 2 and 3: 0.75 mm(a) + 0.25 (1 - mm(b)). */
    float terms[10] = {0.0f, 1.0f, 10.0f, 20.0f, 15.0f,
                       4.0f, 2.0f, 1.0f,  2.0f,  3.0f};
    int32_t offsets[3] = {0, 2, 5};
    float dst[5];
    tkp_op_blend p = {.struct_size = sizeof(p), .terms = 2};
    p.weight[0] = 0.75f;
    p.weight[1] = 0.25f;
    p.normalise[0] = p.normalise[1] = TKP_NORMALISE_MIN_MAX;
    p.complement[1] = 1;
    const tkp_tensor args[] = {
        tkp_test_2d(terms, TKP_DTYPE_F32, 2, 5), TKP_TEST_I32(offsets),
        TKP_TEST_F32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_BLEND, &p, args, 3), TKP_OK);
    expect(dst, (float[]){0.0f, 1.0f, 0.25f, 0.875f, 0.375f}, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops/score");
    TCase *attention_case = tcase_create("attention");
    tcase_add_test(
        attention_case, attention_scores__two_heads__mean_of_their_softmaxes);
    tcase_add_test(
        attention_case,
        attention_scores__causal__later_keys_are_not_in_the_softmax);
    tcase_add_loop_test(
        attention_case, attention_scores__reductions__rows_1_and_2, 0, 6);
    tcase_add_test(attention_case, attention_scores__logits__no_softmax);
    tcase_add_test(
        attention_case, attention_rank__rows_alike_or_not__directions);
    tcase_add_test(
        attention_case, attention_heads__one_of_two__that_which_looks_at_them);
    tcase_add_test(
        attention_case, attention_heads__level__divided_by_what_distance_does);
    tcase_add_test(attention_case, attention_scores__lse_given__is_used);
    tcase_add_test(
        attention_case,
        attention_scores__default_scale__one_over_root_of_channels);
    tcase_add_test(
        attention_case,
        attention_scores__head_of_each_key_head__query_heads_in_order);
    tcase_add_test(attention_case, attention_scores__pages__order_of_the_table);
    tcase_add_test(
        attention_case,
        attention_scores__emulate_half__probabilities_are_rounded);
    tcase_add_test(
        attention_case, attention_scores__emulate_half__head_mean_is_rounded);
    tcase_add_test(
        attention_case,
        attention_scores__batch_with_a_sequence_without_rows__scores_zero);
    tcase_add_test(attention_case, attention_scores__large_logits__no_overflow);
    tcase_add_test(
        attention_case, attention_rows_reduce__packed_rows__as_from_q_and_k);
    tcase_add_test(
        attention_case,
        attention_rows_reduce__full_tensor__row_of_the_position);
    suite_add_tcase(suite, attention_case);
    TCase *other = tcase_create("rows");
    tcase_add_test(other, row_norm__three_four__seven_and_five);
    tcase_add_test(
        other, cosine__reference_of_each_sequence__zero_rows_score_zero);
    tcase_add_test(other, cosine_pairs__three_rows_and_a_single_one);
    tcase_add_test(other, temporal__two_frames__first_is_above_all);
    tcase_add_test(other, crop_variance__three_and_one__by_hand);
    tcase_add_test(other, overview__two_by_two__by_hand);
    tcase_add_test(other, gaussian_scores__two_frames__distances_to_both_means);
    tcase_add_test(
        other, text_raters__two_visual_tokens__shares_and_who_is_above);
    tcase_add_test(other, curvature__two_paths__turns_and_ends);
    tcase_add_test(other, segments__two_paths__threshold_then_the_weakest);
    tcase_add_test(other, static_windows__two_videos__most_that_repeats);
    tcase_add_test(other, blend__each_normalisation);
    tcase_add_test(other, blend__constant_and_single__documented_values);
    tcase_add_test(other, blend__nan__stays_and_spares_the_others);
    tcase_add_test(other, blend__alpha__weighted_sum_per_sequence);
    suite_add_tcase(suite, other);
    return tkp_test_main(suite);
}
