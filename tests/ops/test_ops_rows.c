/*
 * Kinds that pool and move rows: small cases.
 */

#include <math.h>
#include <string.h>

#include "op_main.h"

static void expect(const float *got, const float *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(
            fabsf(got[i] - want[i]) <= 1e-6f ||
                (isnan(got[i]) && isnan(want[i])),
            "entry %lld: got %.9g, wanted %.9g", (long long)i, (double)got[i],
            (double)want[i]);
}

START_TEST(group_pool__average_weights_max_and_an_empty_group)
{
    float x[6] = {1.0f, 10.0f, 3.0f, -10.0f, 8.0f, 1.0f}, dst[6];
    float weights[3] = {3.0f, 1.0f, 0.0f};
    int32_t offsets[4] = {0, 2, 2, 3}, members[3] = {0, 1, 2};
    tkp_op_group_pool p = {sizeof(p), 0};
    tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 3, 2), TKP_TEST_I32(offsets),
        TKP_TEST_I32(members), tkp_test_none(),
        tkp_test_2d(dst, TKP_DTYPE_F32, 3, 2)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_GROUP_POOL, &p, args, 5), TKP_OK);
    expect(dst, (float[]){2.0f, 0.0f, 0.0f, 0.0f, 8.0f, 1.0f}, 6);
    args[3] = TKP_TEST_F32(weights);
    ck_assert_int_eq(tkp_test_run(TKP_OP_GROUP_POOL, &p, args, 5), TKP_OK);
    /* The last group's weight is 0. */
    expect(dst, (float[]){1.5f, 5.0f, 0.0f, 0.0f, 0.0f, 0.0f}, 6);
    args[3] = tkp_test_none();
    p.pool = TKP_POOL_MAX;
    ck_assert_int_eq(tkp_test_run(TKP_OP_GROUP_POOL, &p, args, 5), TKP_OK);
    expect(dst, (float[]){3.0f, 10.0f, 0.0f, 0.0f, 8.0f, 1.0f}, 6);
}
END_TEST

START_TEST(group_pool__constant_rows__the_constant)
{
    float x[64], dst[8];
    int32_t offsets[3] = {0, 9, 16}, members[16];
    for (int i = 0; i < 64; i++)
        x[i] = 0.1f;
    for (int i = 0; i < 16; i++)
        members[i] = 15 - i;
    const tkp_op_group_pool p = {sizeof(p), TKP_POOL_AVERAGE};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 16, 4), TKP_TEST_I32(offsets),
        TKP_TEST_I32(members), tkp_test_none(),
        tkp_test_2d(dst, TKP_DTYPE_F32, 2, 4)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_GROUP_POOL, &p, args, 5), TKP_OK);
    expect(dst, x, 8);
}
END_TEST

START_TEST(group_pool__nan__wins_in_the_maximum)
{
    float x[3] = {1.0f, NAN, 2.0f}, dst[1];
    int32_t offsets[2] = {0, 3}, members[3] = {0, 1, 2};
    const tkp_op_group_pool p = {sizeof(p), TKP_POOL_MAX};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 3, 1), TKP_TEST_I32(offsets),
        TKP_TEST_I32(members), tkp_test_none(),
        tkp_test_2d(dst, TKP_DTYPE_F32, 1, 1)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_GROUP_POOL, &p, args, 5), TKP_OK);
    ck_assert(isnan(dst[0]));
}
END_TEST

START_TEST(group_broadcast__others_untouched)
{
    float value[3] = {1.5f, 9.0f, -2.0f}, dst[5] = {7, 7, 7, 7, 7};
    int32_t offsets[4] = {0, 2, 2, 3}, members[3] = {4, 0, 2};
    const tkp_tensor args[] = {
        TKP_TEST_F32(value), TKP_TEST_I32(offsets), TKP_TEST_I32(members),
        TKP_TEST_F32(dst)};
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_GROUP_BROADCAST, NULL, args, 4), TKP_OK);
    expect(dst, (float[]){1.5f, 7.0f, -2.0f, 7.0f, 1.5f}, 5);
}
END_TEST

START_TEST(gather_rows__any_order_and_in_place)
{
    float x[8] = {0, 1, 10, 11, 20, 21, 30, 31}, dst[6];
    int32_t index[3] = {3, 0, 3};
    tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 4, 2), TKP_TEST_I32(index),
        tkp_test_2d(dst, TKP_DTYPE_F32, 3, 2)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_GATHER_ROWS, NULL, args, 3), TKP_OK);
    expect(dst, (float[]){30, 31, 0, 1, 30, 31}, 6);
    memcpy(index, (int32_t[]){0, 2, 3}, sizeof(index));
    args[2] = tkp_test_2d(x, TKP_DTYPE_F32, 3, 2);
    ck_assert_int_eq(tkp_test_run(TKP_OP_GATHER_ROWS, NULL, args, 3), TKP_OK);
    expect(x, (float[]){0, 1, 20, 21, 30, 31}, 6);
}
END_TEST

START_TEST(gather_rows__in_place_not_rising__refused)
{
    float x[4] = {0, 1, 2, 3};
    int32_t index[2] = {1, 0};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 4, 1), TKP_TEST_I32(index),
        tkp_test_2d(x, TKP_DTYPE_F32, 2, 1)};
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_GATHER_ROWS, NULL, args, 3), TKP_ERR_ARGUMENT);
    expect(x, (float[]){0, 1, 2, 3}, 4);
}
END_TEST

START_TEST(scatter_rows__converted__others_untouched)
{
    float src[4] = {1.0f, -2.0f, 1.00390625f, 65536.0f};
    uint16_t dst[6] = {7, 7, 7, 7, 7, 7};
    int32_t index[2] = {2, 0};
    const tkp_tensor args[] = {
        tkp_test_2d(src, TKP_DTYPE_F32, 2, 2), TKP_TEST_I32(index),
        tkp_test_2d(dst, TKP_DTYPE_BF16, 3, 2)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_SCATTER_ROWS, NULL, args, 3), TKP_OK);
    /* 1 + 2^-8 is halfway and goes to the even 1.0. */
    const uint16_t want[6] = {0x3f80, 0x4780, 7, 7, 0x3f80, 0xc000};
    for (int i = 0; i < 6; i++)
        ck_assert_uint_eq(dst[i], want[i]);
}
END_TEST

START_TEST(nearest__likeness_of_each__ties_and_kept_to_the_lower_entry)
{
    float x[10] = {1, 0, 0, 2, 3, 1, 0, 0, 1, 0}, likeness[5];
    int32_t rows[5] = {0, 1, 2, 3, 4}, offsets[2] = {0, 5}, dst[5];
    int32_t kept[3] = {1, 0, 4}, kept_offsets[2] = {0, 3};
    tkp_op_nearest p = {sizeof(p), TKP_GREEDY_COSINE};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 5, 2),
        TKP_TEST_I32(rows),
        TKP_TEST_I32(offsets),
        tkp_test_none(),
        TKP_TEST_I32(kept),
        TKP_TEST_I32(kept_offsets),
        TKP_TEST_I32(dst),
        TKP_TEST_F32(likeness)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_NEAREST, &p, args, 8), TKP_OK);
    /* Row 4 is row 0 again, and kept: its own. Row 3 is 0, so all are equal. */
    ck_assert_mem_eq(dst, ((int32_t[]){1, 0, 1, 0, 2}), sizeof(dst));
    expect(likeness, (float[]){1, 1, 3.0f / sqrtf(10.0f), 0, 1}, 5);
    p.measure = TKP_GREEDY_EUCLIDEAN;
    ck_assert_int_eq(tkp_test_run(TKP_OP_NEAREST, &p, args, 8), TKP_OK);
    ck_assert_mem_eq(dst, ((int32_t[]){1, 0, 1, 1, 2}), sizeof(dst));
    expect(likeness, (float[]){0, 0, -sqrtf(5.0f), -1, 0}, 5);
}
END_TEST

START_TEST(merge_rows__mean_add_blend_and_weights)
{
    float x[4] = {2, 4, 9, 6}, weights[4] = {1, 3, 5, 2}, dst[2], sizes[2];
    int32_t rows[4] = {0, 1, 2, 3}, kept[2] = {0, 2};
    int32_t assignment[4] = {1, 0, 0, 0}; /* of kept ones: not read */
    tkp_op_merge_rows p = {sizeof(p), TKP_MERGE_MEAN, 0.0f, 0.25f};
    tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 4, 1),
        TKP_TEST_I32(rows),
        TKP_TEST_I32(kept),
        TKP_TEST_I32(assignment),
        tkp_test_none(),
        tkp_test_2d(dst, TKP_DTYPE_F32, 2, 1),
        TKP_TEST_F32(sizes)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_MERGE_ROWS, &p, args, 7), TKP_OK);
    expect(dst, (float[]){4, 9}, 2);
    expect(sizes, (float[]){3, 1}, 2);
    p.anchor = 3.0f;
    ck_assert_int_eq(tkp_test_run(TKP_OP_MERGE_ROWS, &p, args, 7), TKP_OK);
    expect(dst, (float[]){3.2f, 9}, 2);
    p.rule = TKP_MERGE_ADD;
    ck_assert_int_eq(tkp_test_run(TKP_OP_MERGE_ROWS, &p, args, 7), TKP_OK);
    expect(dst, (float[]){7, 9}, 2);
    p.rule = TKP_MERGE_BLEND;
    ck_assert_int_eq(tkp_test_run(TKP_OP_MERGE_ROWS, &p, args, 7), TKP_OK);
    expect(dst, (float[]){4.25f, 9}, 2);
    p.rule = TKP_MERGE_BLEND_COUNT; /* a third, then a half */
    ck_assert_int_eq(tkp_test_run(TKP_OP_MERGE_ROWS, &p, args, 7), TKP_OK);
    expect(dst, (float[]){4, 9}, 2);
    p.beta = 0.5f;
    ck_assert_int_eq(tkp_test_run(TKP_OP_MERGE_ROWS, &p, args, 7), TKP_OK);
    expect(dst, (float[]){3.5f, 9}, 2);
    p.rule = TKP_MERGE_MEAN;
    p.anchor = 1.0f;
    args[4] = TKP_TEST_F32(weights);
    ck_assert_int_eq(tkp_test_run(TKP_OP_MERGE_ROWS, &p, args, 7), TKP_OK);
    expect(dst, (float[]){26.0f / 6.0f, 9}, 2);
    assignment[1] = -2;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_MERGE_ROWS, &p, args, 7), TKP_ERR_ARGUMENT);
    assignment[1] = 2;
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_MERGE_ROWS, &p, args, 7), TKP_ERR_ARGUMENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops/rows");
    TCase *tests = tcase_create("rows");
    tcase_add_test(tests, group_pool__average_weights_max_and_an_empty_group);
    tcase_add_test(tests, group_pool__constant_rows__the_constant);
    tcase_add_test(tests, group_pool__nan__wins_in_the_maximum);
    tcase_add_test(tests, group_broadcast__others_untouched);
    tcase_add_test(tests, gather_rows__any_order_and_in_place);
    tcase_add_test(tests, gather_rows__in_place_not_rising__refused);
    tcase_add_test(tests, scatter_rows__converted__others_untouched);
    tcase_add_test(
        tests, nearest__likeness_of_each__ties_and_kept_to_the_lower_entry);
    tcase_add_test(tests, merge_rows__mean_add_blend_and_weights);
    suite_add_tcase(suite, tests);
    return tkp_test_main(suite);
}
