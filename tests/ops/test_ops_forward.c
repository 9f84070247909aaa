/*
 * Kinds of the forward: small cases, and the places where 16-bit values are
 * rounded.
 */

#include <math.h>
#include <string.h>

#include "op_main.h"

static void expect(const float *got, const float *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(
            fabsf(got[i] - want[i]) <= 1e-6f * fmaxf(1.0f, fabsf(want[i])) ||
                got[i] == want[i] || (isnan(got[i]) && isnan(want[i])),
            "entry %lld: got %.9g, wanted %.9g", (long long)i, (double)got[i],
            (double)want[i]);
}

static void to_bf16(uint16_t *out, const float *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        tkp_test_store(out, TKP_DTYPE_BF16, i, (double)in[i]);
}

static void expect_bf16(const uint16_t *got, const float *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(
            tkp_test_load(got, TKP_DTYPE_BF16, i) == want[i],
            "entry %lld: got %.9g, wanted %.9g", (long long)i,
            (double)tkp_test_load(got, TKP_DTYPE_BF16, i), (double)want[i]);
}

/* --- linear -------------------------------------------------------------------- */

START_TEST(linear__bias_and_residual)
{
    float x[4] = {1, 2, 0, -1}, w[6] = {1, 1, 0, -1, 2, 0};
    float bias[3] = {0.5f, 0, 1}, residual[6] = {10, 20, 30, 40, 50, 60};
    float dst[6];
    const tkp_op_linear p = {sizeof(p), 0};
    tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 2, 2),
        tkp_test_2d(w, TKP_DTYPE_F32, 3, 2), tkp_test_none(), tkp_test_none(),
        tkp_test_2d(dst, TKP_DTYPE_F32, 2, 3)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_LINEAR, &p, args, 5), TKP_OK);
    expect(dst, (float[]){3, -2, 2, -1, 1, 0}, 6);
    args[2] = TKP_TEST_F32(bias);
    ck_assert_int_eq(tkp_test_run(TKP_OP_LINEAR, &p, args, 5), TKP_OK);
    expect(dst, (float[]){3.5f, -2, 3, -0.5f, 1, 1}, 6);
    args[3] = args[4] = tkp_test_2d(residual, TKP_DTYPE_F32, 2, 3);
    ck_assert_int_eq(tkp_test_run(TKP_OP_LINEAR, &p, args, 5), TKP_OK);
    expect(residual, (float[]){13.5f, 18, 33, 39.5f, 51, 61}, 6);
}
END_TEST

START_TEST(linear__bf16__rounds_before_and_after_the_residual)
{
    /* 256 + 1 = 257 is halfway between 256 and 258 and goes to 256; with the
     * residual 1 again. In one rounding 258 would come out. */
    uint16_t x[2], w[2], residual[1], dst[1];
    to_bf16(x, (float[]){256, 1}, 2);
    to_bf16(w, (float[]){1, 1}, 2);
    to_bf16(residual, (float[]){1}, 1);
    const tkp_op_linear p = {sizeof(p), 0};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_BF16, 1, 2),
        tkp_test_2d(w, TKP_DTYPE_BF16, 1, 2), tkp_test_none(),
        tkp_test_2d(residual, TKP_DTYPE_BF16, 1, 1),
        tkp_test_2d(dst, TKP_DTYPE_BF16, 1, 1)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_LINEAR, &p, args, 5), TKP_OK);
    expect_bf16(dst, (float[]){256}, 1);
}
END_TEST

/* --- norms ------------------------------------------------------------------------ */

START_TEST(rms_norm__three_four)
{
    float x[2] = {3, 4}, w[2] = {1, 2}, dst[2];
    tkp_op_norm p = {sizeof(p), 0.0f};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 1, 2), TKP_TEST_F32(w),
        tkp_test_2d(dst, TKP_DTYPE_F32, 1, 2)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_RMS_NORM, &p, args, 3), TKP_OK);
    expect(dst, (float[]){0.84852814f, 2.26274170f}, 2);
    p.eps = 12.5f; /* halves the mean's share: divides by sqrt(25) */
    ck_assert_int_eq(tkp_test_run(TKP_OP_RMS_NORM, &p, args, 3), TKP_OK);
    expect(dst, (float[]){0.6f, 1.6f}, 2);
}
END_TEST

START_TEST(rms_norm__bf16__rounds_before_the_weight)
{
    /* 2 / sqrt(2.5) = 161.91/128 goes to 162/128; times 130/128 is 164.53/128
     * and goes to 165/128. In one rounding: 164.44/128, so 164/128. */
    uint16_t x[2], w[2], dst[2];
    to_bf16(x, (float[]){1, 2}, 2);
    to_bf16(w, (float[]){1, 130.0f / 128}, 2);
    const tkp_op_norm p = {sizeof(p), 0.0f};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_BF16, 1, 2), tkp_test_1d(w, TKP_DTYPE_BF16, 2),
        tkp_test_2d(dst, TKP_DTYPE_BF16, 1, 2)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_RMS_NORM, &p, args, 3), TKP_OK);
    expect_bf16(dst, (float[]){162.0f / 256, 165.0f / 128}, 2);
}
END_TEST

START_TEST(layer_norm__one_three)
{
    float x[4] = {1, 3, 1000001, 1000003}, w[2] = {2, 3}, b[2] = {0, 1};
    float dst[4];
    const tkp_op_norm p = {sizeof(p), 0.0f};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 2, 2), TKP_TEST_F32(w), TKP_TEST_F32(b),
        tkp_test_2d(dst, TKP_DTYPE_F32, 2, 2)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_LAYER_NORM, &p, args, 4), TKP_OK);
    /* The second row has the same deviations far from 0. */
    expect(dst, (float[]){-2, 4, -2, 4}, 4);
}
END_TEST

/* --- rotary ------------------------------------------------------------------------- */

START_TEST(rotary_table__one_row_and_three)
{
    int32_t position[3] = {3, 50, 7};
    float cosine[2], sine[2];
    tkp_op_rotary_table p = {sizeof(p), {0, 0, 0}, 1e4};
    tkp_tensor args[] = {
        tkp_test_2d(position, TKP_DTYPE_I32, 1, 1),
        tkp_test_2d(cosine, TKP_DTYPE_F32, 1, 2),
        tkp_test_2d(sine, TKP_DTYPE_F32, 1, 2)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_ROTARY_TABLE, &p, args, 3), TKP_OK);
    /* Frequencies 1 and 1/100. */
    expect(cosine, (float[]){-0.98999250f, 0.99955003f}, 2);
    expect(sine, (float[]){0.14112001f, 0.02999550f}, 2);
    p.section[0] = 1;
    p.section[2] = 1;
    args[0] = tkp_test_2d(position, TKP_DTYPE_I32, 3, 1);
    ck_assert_int_eq(tkp_test_run(TKP_OP_ROTARY_TABLE, &p, args, 3), TKP_OK);
    expect(cosine, (float[]){-0.98999250f, 0.99755100f}, 2);
    expect(sine, (float[]){0.14112001f, 0.06994285f}, 2);
}
END_TEST

START_TEST(rotary__halves_convention_in_place)
{
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, cosine[2] = {0, 1}, sine[2] = {1, 0};
    const tkp_tensor args[] = {
        tkp_test_3d(x, TKP_DTYPE_F32, 1, 2, 4),
        tkp_test_2d(cosine, TKP_DTYPE_F32, 1, 2),
        tkp_test_2d(sine, TKP_DTYPE_F32, 1, 2),
        tkp_test_3d(x, TKP_DTYPE_F32, 1, 2, 4)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_ROTARY, NULL, args, 4), TKP_OK);
    expect(x, (float[]){-3, 2, 1, 4, -7, 6, 5, 8}, 8);
}
END_TEST

START_TEST(rotary__bf16__rounds_tables_products_and_sums)
{
    /* cos = sin = 0.70703125 = 181/256 after rounding. 257/128 is not in bf16;
     * a = 258/128, b = 1: a cos = 364.83/256 goes to 364/256 (steps of
     * 2/256), b sin = 181/256; difference 183/256, sum 545/256, which goes to
     * 544/256 (steps of 4/256). */
    uint16_t x[2], dst[2];
    float cosine[1] = {0.70710678f}, sine[1] = {0.70710678f};
    to_bf16(x, (float[]){258.0f / 128, 1.0f}, 2);
    const tkp_tensor args[] = {
        tkp_test_3d(x, TKP_DTYPE_BF16, 1, 1, 2),
        tkp_test_2d(cosine, TKP_DTYPE_F32, 1, 1),
        tkp_test_2d(sine, TKP_DTYPE_F32, 1, 1),
        tkp_test_3d(dst, TKP_DTYPE_BF16, 1, 1, 2)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_ROTARY, NULL, args, 4), TKP_OK);
    expect_bf16(dst, (float[]){183.0f / 256, 544.0f / 256}, 2);
}
END_TEST

/* --- attention ------------------------------------------------------------------------ */

/* Keys 0, ln 2, 2 ln 2; values 0, 7, 14 and 1; query 1. */
START_TEST(attention__causal_rows__weighted_values_and_lse)
{
    const float ln2 = 0.69314718f;
    float q[3] = {1, 1, 1}, k[3] = {0, ln2, 2 * ln2}, v[3] = {0, 7, 14};
    float dst[3], lse[3];
    int32_t q_offsets[2] = {0, 3}, k_offsets[2] = {0, 3};
    tkp_op_attention p = {sizeof(p), 0, 1.0f, 0};
    tkp_tensor args[] = {
        tkp_test_3d(q, TKP_DTYPE_F32, 3, 1, 1),
        tkp_test_3d(k, TKP_DTYPE_F32, 3, 1, 1),
        tkp_test_3d(v, TKP_DTYPE_F32, 3, 1, 1),
        TKP_TEST_I32(q_offsets),
        TKP_TEST_I32(k_offsets),
        tkp_test_3d(dst, TKP_DTYPE_F32, 3, 1, 1),
        tkp_test_2d(lse, TKP_DTYPE_F32, 3, 1),
        {0}};
    ck_assert_int_eq(tkp_test_run(TKP_OP_ATTENTION, &p, args, 8), TKP_OK);
    expect(dst, (float[]){10, 10, 10}, 3);
    expect(lse, (float[]){1.9459101f, 1.9459101f, 1.9459101f}, 3);
    p.flags = TKP_ATTENTION_CAUSAL;
    ck_assert_int_eq(tkp_test_run(TKP_OP_ATTENTION, &p, args, 8), TKP_OK);
    expect(dst, (float[]){0, 14.0f / 3, 10}, 3);
    expect(lse, (float[]){0, 1.0986123f, 1.9459101f}, 3);
    /* The middle one stands for four: weights 1, 8, 4. Then for none. */
    float bias[3] = {0, 2 * ln2, 0};
    args[7] = TKP_TEST_F32(bias);
    p.flags = 0;
    ck_assert_int_eq(tkp_test_run(TKP_OP_ATTENTION, &p, args, 8), TKP_OK);
    expect(dst, (float[]){112.0f / 13, 112.0f / 13, 112.0f / 13}, 3);
    expect(lse, (float[]){2.5649494f, 2.5649494f, 2.5649494f}, 3);
    bias[1] = -INFINITY;
    ck_assert_int_eq(tkp_test_run(TKP_OP_ATTENTION, &p, args, 8), TKP_OK);
    expect(dst, (float[]){56.0f / 5, 56.0f / 5, 56.0f / 5}, 3);
    bias[0] = bias[2] = -INFINITY;
    ck_assert_int_eq(tkp_test_run(TKP_OP_ATTENTION, &p, args, 8), TKP_OK);
    expect(dst, (float[]){0, 0, 0}, 3);
    expect(lse, (float[]){-INFINITY, -INFINITY, -INFINITY}, 3);
}
END_TEST

START_TEST(attention__ragged__aligned_at_the_end_and_rows_without_keys)
{
    /* Sequence 0: two queries, one key: the first sees none. Sequence 1: a
     * query without keys. Sequence 2: one query, two equal keys. */
    float q[4] = {0, 0, 0, 0}, k[3] = {1, 1, 1}, v[3] = {5, 2, 4};
    float dst[4], lse[4];
    int32_t q_offsets[4] = {0, 2, 3, 4}, k_offsets[4] = {0, 1, 1, 3};
    const tkp_op_attention p = {sizeof(p), TKP_ATTENTION_CAUSAL, 0.0f, 0};
    const tkp_tensor args[] = {
        tkp_test_3d(q, TKP_DTYPE_F32, 4, 1, 1),
        tkp_test_3d(k, TKP_DTYPE_F32, 3, 1, 1),
        tkp_test_3d(v, TKP_DTYPE_F32, 3, 1, 1),
        TKP_TEST_I32(q_offsets),
        TKP_TEST_I32(k_offsets),
        tkp_test_3d(dst, TKP_DTYPE_F32, 4, 1, 1),
        tkp_test_2d(lse, TKP_DTYPE_F32, 4, 1),
        {0}};
    ck_assert_int_eq(tkp_test_run(TKP_OP_ATTENTION, &p, args, 8), TKP_OK);
    expect(dst, (float[]){0, 5, 0, 3}, 4);
    expect(lse, (float[]){-INFINITY, 0, -INFINITY, 0.69314718f}, 4);
}
END_TEST

/* --- activations ------------------------------------------------------------------------ */

START_TEST(activation__values_of_each_function)
{
    static const float want[3][4] = {
        {0.73105858f, 0.0f, -0.26894142f, 100.0f}, /* silu */
        {0.84134475f, 0.0f, -0.15865525f, 100.0f}, /* gelu */
        {0.84579577f, 0.0f, -0.15420423f, 100.0f}, /* quick gelu */
    };
    float a[4] = {1, 0, -1, 100}, b[4] = {2, 3, -1, 0.5f}, dst[4];
    const tkp_op_activation p = {sizeof(p), _i + 1};
    tkp_tensor args[] = {
        tkp_test_2d(a, TKP_DTYPE_F32, 2, 2), tkp_test_none(),
        tkp_test_2d(dst, TKP_DTYPE_F32, 2, 2)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_ACTIVATION, &p, args, 3), TKP_OK);
    expect(dst, want[_i], 4);
    args[1] = tkp_test_2d(b, TKP_DTYPE_F32, 2, 2);
    args[2] = args[0];
    ck_assert_int_eq(tkp_test_run(TKP_OP_ACTIVATION, &p, args, 3), TKP_OK);
    for (int i = 0; i < 4; i++)
        expect(&a[i], (float[]){want[_i][i] * b[i]}, 1);
}
END_TEST

START_TEST(activation__bf16__rounds_at_each_step)
{
    /* silu(1) = 187.15/256 goes to 187/256; times 5/4 is 233.75/256, goes to
     * 234/256. quick gelu of 3: 5.106 goes to 163/32 (163.39), sigmoid(5.09375)
     * = 0.99390 goes to 254/256, times 3 is 190.5/64 and goes to the even
     * 190/64. Of 280/256: 1.8616 goes to 238/128, whose sigmoid 221.50/256
     * goes to 221/256, times 280/256 is 241.7/256. Had 1.8616 stayed, 243/256
     * would come out. */
    uint16_t a[1], b[1], dst[1];
    tkp_op_activation p = {sizeof(p), TKP_ACTIVATION_SILU};
    tkp_tensor args[] = {
        tkp_test_2d(a, TKP_DTYPE_BF16, 1, 1),
        tkp_test_2d(b, TKP_DTYPE_BF16, 1, 1),
        tkp_test_2d(dst, TKP_DTYPE_BF16, 1, 1)};
    to_bf16(a, (float[]){1.0f}, 1);
    to_bf16(b, (float[]){1.25f}, 1);
    ck_assert_int_eq(tkp_test_run(TKP_OP_ACTIVATION, &p, args, 3), TKP_OK);
    expect_bf16(dst, (float[]){234.0f / 256}, 1);
    to_bf16(a, (float[]){3.0f}, 1);
    args[1] = tkp_test_none();
    p.function = TKP_ACTIVATION_QUICK_GELU;
    ck_assert_int_eq(tkp_test_run(TKP_OP_ACTIVATION, &p, args, 3), TKP_OK);
    expect_bf16(dst, (float[]){190.0f / 64}, 1);
    to_bf16(a, (float[]){280.0f / 256}, 1);
    ck_assert_int_eq(tkp_test_run(TKP_OP_ACTIVATION, &p, args, 3), TKP_OK);
    expect_bf16(dst, (float[]){242.0f / 256}, 1);
}
END_TEST

/* --- add, patches, cast --------------------------------------------------------------------- */

START_TEST(add__fewer_rows_repeat)
{
    float a[6] = {1, 2, 3, 4, 5, 6}, b[4] = {10, 20, 30, 40}, dst[6];
    const tkp_tensor args[] = {
        tkp_test_2d(a, TKP_DTYPE_F32, 3, 2),
        tkp_test_2d(b, TKP_DTYPE_F32, 2, 2),
        tkp_test_2d(dst, TKP_DTYPE_F32, 3, 2)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_ADD, NULL, args, 3), TKP_OK);
    expect(dst, (float[]){11, 22, 33, 44, 15, 26}, 6);
}
END_TEST

START_TEST(patches__elements_by_channel_row_column)
{
    /* One picture, 2 x 5, patches of 2: two of them, the last column is cut
     * off. A pixel is 100 c + 10 y + x. */
    float pixels[30], dst[24];
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < 2; y++)
            for (int x = 0; x < 5; x++)
                pixels[(c * 2 + y) * 5 + x] = (float)(100 * c + 10 * y + x);
    tkp_tensor view;
    tkp_tensor_make(&view, pixels, TKP_DTYPE_F32, 4, (int64_t[]){1, 3, 2, 5});
    const tkp_op_patches p = {sizeof(p), 2};
    const tkp_tensor args[] = {view, tkp_test_2d(dst, TKP_DTYPE_F32, 2, 12)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_PATCHES, &p, args, 2), TKP_OK);
    expect(
        dst, (float[]){0, 1, 10, 11, 100, 101, 110, 111, 200, 201, 210, 211,
                       2, 3, 12, 13, 102, 103, 112, 113, 202, 203, 212, 213},
        24);
}
END_TEST

START_TEST(cast__edges_of_f16)
{
    float x[10] = {65504.0f,   65519.0f, 65520.0f,  0x1p-24f, 0x1p-25f,
                   0x1.8p-25f, -0.0f,    -INFINITY, NAN,      0x1.006p0f};
    uint16_t dst[10];
    const tkp_tensor args[] = {
        TKP_TEST_F32(x), tkp_test_1d(dst, TKP_DTYPE_F16, 10)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_CAST, NULL, args, 2), TKP_OK);
    static const uint16_t want[10] = {0x7bff, 0x7bff, 0x7c00, 0x0001, 0x0000,
                                      0x0001, 0x8000, 0xfc00, 0x7e00, 0x3c02};
    for (int i = 0; i < 10; i++)
        ck_assert_msg(
            dst[i] == want[i], "entry %d: got %04x, wanted %04x", i, dst[i],
            want[i]);
}
END_TEST

START_TEST(cast__every_f16__there_and_back)
{
    static uint16_t half[65536], again[65536];
    static float wide[65536];
    for (int i = 0; i < 65536; i++)
        half[i] = (uint16_t)i;
    tkp_tensor args[] = {
        tkp_test_1d(half, TKP_DTYPE_F16, 65536), TKP_TEST_F32(wide)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_CAST, NULL, args, 2), TKP_OK);
    args[0] = args[1];
    args[1] = tkp_test_1d(again, TKP_DTYPE_F16, 65536);
    ck_assert_int_eq(tkp_test_run(TKP_OP_CAST, NULL, args, 2), TKP_OK);
    for (int i = 0; i < 65536; i++) {
        const float value = tkp_test_load(half, TKP_DTYPE_F16, i);
        ck_assert(isnan(value) ? isnan(wide[i]) : wide[i] == value);
        ck_assert(isnan(value) || again[i] == half[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops/forward");
    TCase *tests = tcase_create("forward");
    tcase_add_test(tests, linear__bias_and_residual);
    tcase_add_test(tests, linear__bf16__rounds_before_and_after_the_residual);
    tcase_add_test(tests, rms_norm__three_four);
    tcase_add_test(tests, rms_norm__bf16__rounds_before_the_weight);
    tcase_add_test(tests, layer_norm__one_three);
    tcase_add_test(tests, rotary_table__one_row_and_three);
    tcase_add_test(tests, rotary__halves_convention_in_place);
    tcase_add_test(tests, rotary__bf16__rounds_tables_products_and_sums);
    tcase_add_test(tests, attention__causal_rows__weighted_values_and_lse);
    tcase_add_test(
        tests, attention__ragged__aligned_at_the_end_and_rows_without_keys);
    tcase_add_loop_test(tests, activation__values_of_each_function, 0, 3);
    tcase_add_test(tests, activation__bf16__rounds_at_each_step);
    tcase_add_test(tests, add__fewer_rows_repeat);
    tcase_add_test(tests, patches__elements_by_channel_row_column);
    tcase_add_test(tests, cast__edges_of_f16);
    tcase_add_test(tests, cast__every_f16__there_and_back);
    suite_add_tcase(suite, tests);
    return tkp_test_main(suite);
}
