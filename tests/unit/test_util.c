/*
 * What every room stands on: messages, memory, half types, view checks.
 */

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "tokenprune/memory.h"
#include "tokenprune/sys/base.h"
#include "util/util.h"

/* --- messages ---------------------------------------------------------- */

START_TEST(fail__formatted__message_and_status_come_back)
{
    const tkp_status status =
        tkp__fail(TKP_ERR_SHAPE, "%s: dim %d is %d", "attn", 3, 575);
    ck_assert_int_eq(status, TKP_ERR_SHAPE);
    ck_assert_str_eq(tkp_last_message(), "attn: dim 3 is 575");
}
END_TEST

START_TEST(fail_prefix__message_there__prefix_goes_before)
{
    tkp__fail(TKP_ERR_IO, "no such file");
    ck_assert_int_eq(
        tkp__fail_prefix(TKP_ERR_IO, "model/%s", "config.json"), TKP_ERR_IO);
    ck_assert_str_eq(tkp_last_message(), "model/config.json: no such file");
}
END_TEST

START_TEST(fail__own_message_as_argument__is_not_torn)
{
    tkp__fail(TKP_ERR_IO, "abc");
    tkp__fail(TKP_ERR_IO, "<%s>", tkp_last_message());
    ck_assert_str_eq(tkp_last_message(), "<abc>");
}
END_TEST

START_TEST(fail__long_text__cut_at_1023_bytes)
{
    char text[3000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    tkp__fail(TKP_ERR_IO, "%s", text);
    ck_assert_uint_eq(strlen(tkp_last_message()), 1023);
    tkp__fail_prefix(TKP_ERR_IO, "%s", "prefix");
    ck_assert_uint_eq(strlen(tkp_last_message()), 1023);
    ck_assert_int_eq(strncmp(tkp_last_message(), "prefix: xxx", 11), 0);
}
END_TEST

START_TEST(message_set__cut_inside_a_character__character_is_dropped)
{
    char text[1100];
    memset(text, 'x', sizeof(text));
    /* A three-byte character over the limit: bytes 1022, 1023 and 1024. */
    memcpy(text + 1022, "\xe2\x82\xac", 3);
    text[1099] = '\0';
    tkp_sys_message_set(text);
    ck_assert_uint_eq(strlen(tkp_last_message()), 1022);
    /* Exactly fitting: bytes 1020 to 1022. */
    memset(text, 'x', sizeof(text));
    memcpy(text + 1020, "\xe2\x82\xac", 3);
    text[1023] = '\0';
    tkp_sys_message_set(text);
    ck_assert_uint_eq(strlen(tkp_last_message()), 1023);
}
END_TEST

START_TEST(message_set__line_breaks_and_null__one_line_and_empty)
{
    tkp_sys_message_set("a\nb\r\nc");
    ck_assert_str_eq(tkp_last_message(), "a b  c");
    tkp_sys_message_set(tkp_last_message());
    ck_assert_str_eq(tkp_last_message(), "a b  c");
    tkp_sys_message_set(NULL);
    ck_assert_str_eq(tkp_last_message(), "");
}
END_TEST

/* --- memory ------------------------------------------------------------ */

START_TEST(alloc__any_size__aligned_and_writable)
{
    for (size_t n = 0; n < 300; n++) {
        unsigned char *p = tkp__alloc(n, 3);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % 64, 0);
        memset(p, 0xa5, n * 3);
        tkp__free(p);
    }
    tkp__free(NULL);
}
END_TEST

START_TEST(zalloc__used_memory__is_zero)
{
    for (int round = 0; round < 8; round++) {
        unsigned char *p = tkp__zalloc(100, 7);
        ck_assert_ptr_nonnull(p);
        for (int i = 0; i < 700; i++)
            ck_assert_int_eq(p[i], 0);
        memset(p, 0xff, 700);
        tkp__free(p);
    }
}
END_TEST

START_TEST(alloc__product_does_not_fit__null_and_message)
{
    tkp_sys_message_clear();
    ck_assert_ptr_null(tkp__alloc(SIZE_MAX / 2, 3));
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "do not fit"));
    ck_assert_ptr_null(tkp__zalloc(SIZE_MAX / 2, 3));
    tkp_sys_message_clear();
    ck_assert_ptr_null(tkp__alloc(SIZE_MAX, 1));
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "out of memory"));
}
END_TEST

START_TEST(realloc__grow_and_shrink__content_kept)
{
    unsigned char *p = tkp__realloc(NULL, 0, 10);
    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < 10; i++)
        p[i] = (unsigned char)i;
    p = tkp__realloc(p, 10, 1000);
    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(p[i], i);
    p = tkp__realloc(p, 1000, 5);
    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(p[i], i);
    ck_assert_ptr_null(tkp__realloc(p, 5, SIZE_MAX));
    ck_assert_int_eq(p[4], 4);
    tkp__free(p);
}
END_TEST

START_TEST(strdup__text__copied)
{
    char *copy = tkp__strdup("visual tokens");
    ck_assert_ptr_nonnull(copy);
    ck_assert_str_eq(copy, "visual tokens");
    tkp__free(copy);
    copy = tkp__strdup("");
    ck_assert_ptr_nonnull(copy);
    ck_assert_str_eq(copy, "");
    tkp__free(copy);
}
END_TEST

START_TEST(checked_sizes__edges__told_apart)
{
    size_t s;
    int64_t i;
    ck_assert(tkp__mul_size(SIZE_MAX, 1, &s));
    ck_assert(!tkp__mul_size(SIZE_MAX, 2, &s));
    ck_assert(!tkp__add_size(SIZE_MAX, 1, &s));
    ck_assert(tkp__mul_i64(INT64_MAX, -1, &i));
    ck_assert_int_eq(i, -INT64_MAX);
    ck_assert(!tkp__mul_i64(INT64_MIN, -1, &i));
    ck_assert(!tkp__add_i64(INT64_MAX, 1, &i));
    ck_assert_uint_eq(tkp__align_up(0, 64), 0);
    ck_assert_uint_eq(tkp__align_up(1, 64), 64);
    ck_assert_uint_eq(tkp__align_up(64, 64), 64);
    ck_assert_uint_eq(tkp__align_up(65, 64), 128);
}
END_TEST

/* --- half types: told once more, in double precision ------------------- */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Value of a binary float with `exponent_bits` and `fraction_bits`; infinity
 * and NaN are the caller's. */
static double value_of(uint32_t bits, int exponent_bits, int fraction_bits)
{
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent =
        (int)(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    const double fraction = bits & ((1u << fraction_bits) - 1u);
    const double scale = ldexp(1.0, -fraction_bits);
    const double magnitude =
        exponent ? ldexp(1.0 + fraction * scale, exponent - bias)
                 : ldexp(fraction * scale, 1 - bias);
    return bits >> (exponent_bits + fraction_bits) ? -magnitude : magnitude;
}

START_TEST(f16_to_f32__all_65536_values__equal_their_definition)
{
    for (uint32_t h = 0; h < 65536; h++) {
        const float got = tkp__f16_to_f32((uint16_t)h);
        const uint32_t fraction = h & 0x3ffu;
        if (((h >> 10) & 0x1fu) != 0x1fu) {
            ck_assert_msg(
                (double)got == value_of(h, 5, 10) &&
                    bits_of(got) >> 31 == h >> 15,
                "0x%04x gave %a", h, (double)got);
        } else if (fraction == 0) {
            ck_assert(isinf(got) && (got < 0) == (h >> 15));
        } else {
            ck_assert_msg(
                isnan(got) && (bits_of(got) >> 31) == (h >> 15) &&
                    (bits_of(got) & 0x3fe000u) >> 13 == (fraction & 0x1ffu),
                "NaN 0x%04x gave 0x%08x", h, bits_of(got));
        }
    }
}
END_TEST

START_TEST(f16__there_and_back__unchanged)
{
    for (uint32_t h = 0; h < 65536; h++) {
        uint32_t wanted = h;
        if ((h & 0x7c00u) == 0x7c00u && (h & 0x3ffu))
            wanted |= 0x200u; /* NaNs become quiet */
        ck_assert_uint_eq(
            tkp__f32_to_f16(tkp__f16_to_f32((uint16_t)h)), wanted);
    }
}
END_TEST

/* Between two neighbours, the halfway point and the floats next to it decide
 * every rounding there is; this walks over all of them. */
START_TEST(f32_to_f16__around_every_halfway_point__nearest_even)
{
    for (uint32_t h = 0; h < 0x7c00u; h++) {
        const double low = value_of(h, 5, 10);
        /* Above 65504 the next value would be 65536. */
        const double high = h == 0x7bffu ? 65536.0 : value_of(h + 1, 5, 10);
        const float middle = (float)((low + high) / 2);
        ck_assert((double)middle == (low + high) / 2);
        const uint16_t even = (uint16_t)(h & 1u ? h + 1 : h);
        for (uint32_t sign = 0; sign <= 0x8000u; sign += 0x8000u) {
            const float s = sign ? -1.0f : 1.0f;
            const float below = float_of(bits_of(middle) - 1);
            const float above = float_of(bits_of(middle) + 1);
            ck_assert_uint_eq(tkp__f32_to_f16(s * below), sign | h);
            ck_assert_uint_eq(tkp__f32_to_f16(s * middle), sign | even);
            ck_assert_uint_eq(tkp__f32_to_f16(s * above), sign | (h + 1));
        }
    }
}
END_TEST

START_TEST(f32_to_f16__special_values__kept)
{
    ck_assert_uint_eq(tkp__f32_to_f16(0.0f), 0x0000);
    ck_assert_uint_eq(tkp__f32_to_f16(-0.0f), 0x8000);
    ck_assert_uint_eq(tkp__f32_to_f16(INFINITY), 0x7c00);
    ck_assert_uint_eq(tkp__f32_to_f16(-INFINITY), 0xfc00);
    ck_assert_uint_eq(tkp__f32_to_f16(3.0e38f), 0x7c00);
    ck_assert_uint_eq(tkp__f32_to_f16(float_of(1)), 0x0000);
    ck_assert_uint_eq(tkp__f32_to_f16(float_of(0x80000001u)), 0x8000);
    /* A NaN whose payload lies in the bits that go stays a NaN. */
    ck_assert_uint_eq(tkp__f32_to_f16(float_of(0x7f800001u)), 0x7e00);
    ck_assert_uint_eq(tkp__f32_to_f16(float_of(0xff800001u)), 0xfe00);
}
END_TEST

START_TEST(bf16__all_65536_values__there_and_back)
{
    for (uint32_t b = 0; b < 65536; b++) {
        const float got = tkp__bf16_to_f32((uint16_t)b);
        if (((b >> 7) & 0xffu) == 0xffu && (b & 0x7fu)) {
            ck_assert(isnan(got));
            ck_assert_uint_eq(tkp__f32_to_bf16(got), b | 0x40u);
        } else {
            if (!isinf(got))
                ck_assert((double)got == value_of(b, 8, 7));
            ck_assert_uint_eq(tkp__f32_to_bf16(got), b);
        }
    }
}
END_TEST

START_TEST(f32_to_bf16__around_every_halfway_point__nearest_even)
{
    for (uint32_t b = 0; b < 0x7f80u; b++) {
        const uint32_t middle = (b << 16) | 0x8000u;
        const uint32_t even = b & 1u ? b + 1 : b;
        ck_assert_uint_eq(tkp__f32_to_bf16(float_of(middle - 1)), b);
        ck_assert_uint_eq(tkp__f32_to_bf16(float_of(middle)), even);
        ck_assert_uint_eq(tkp__f32_to_bf16(float_of(middle + 1)), b + 1);
        ck_assert_uint_eq(
            tkp__f32_to_bf16(float_of(0x80000000u | middle)), 0x8000u | even);
    }
    /* A NaN whose payload lies in the bits that go stays a NaN. */
    ck_assert_uint_eq(tkp__f32_to_bf16(float_of(0x7f800001u)), 0x7fc0);
    ck_assert_uint_eq(tkp__f32_to_bf16(float_of(0x7fffffffu)), 0x7fff);
}
END_TEST

START_TEST(load_store__each_float_dtype__element_i)
{
    const int32_t dtypes[] = {TKP_DTYPE_F32, TKP_DTYPE_F16, TKP_DTYPE_BF16};
    for (int d = 0; d < 3; d++) {
        float memory[4] = {0, 0, 0, 0};
        for (int i = 0; i < 4; i++)
            tkp__store_f32(memory, dtypes[d], i, (float)i - 1.5f);
        for (int i = 0; i < 4; i++)
            ck_assert(tkp__load_f32(memory, dtypes[d], i) == (float)i - 1.5f);
        ck_assert(tkp__is_float(dtypes[d]));
    }
    ck_assert(!tkp__is_float(TKP_DTYPE_I32));
    ck_assert(!tkp__is_float(TKP_DTYPE_NONE));
}
END_TEST

/* --- views -------------------------------------------------------------- */

static float memory[64];

static tkp_tensor legal(void)
{
    tkp_tensor t;
    tkp_tensor_make_2d(&t, memory, TKP_DTYPE_F32, 4, 8);
    return t;
}

static void refused(
    const tkp_tensor *t,
    bool descriptor,
    tkp_status wanted,
    const char *text)
{
    tkp_sys_message_clear();
    ck_assert_int_eq(tkp__check_view(t, "scores", descriptor), wanted);
    ck_assert_msg(
        strstr(tkp_last_message(), text) == tkp_last_message(),
        "met '%s', wanted '%s...'", tkp_last_message(), text);
}

START_TEST(check_view__legal_views__accepted)
{
    tkp_tensor t = legal();
    ck_assert_int_eq(tkp__check_view(&t, "x", false), TKP_OK);
    t.data = NULL;
    ck_assert_int_eq(tkp__check_view(&t, "x", true), TKP_OK);
    t.shape[1] = 0;
    ck_assert_int_eq(tkp__check_view(&t, "x", false), TKP_OK);
    tkp_tensor_make(&t, memory, TKP_DTYPE_F32, 0, NULL);
    ck_assert_int_eq(tkp__check_view(&t, "x", false), TKP_OK);
    t = legal();
    t.strides[0] = -8;
    t.byte_offset = 24 * sizeof(float);
    ck_assert_int_eq(tkp__check_view(&t, "x", false), TKP_OK);
    t.strides[0] = 0;
    ck_assert_int_eq(tkp__check_view(&t, "x", false), TKP_OK);
}
END_TEST

START_TEST(check_view__each_field_wrong__named_in_message)
{
    refused(NULL, false, TKP_ERR_ARGUMENT, "scores: is NULL");
    tkp_tensor t = legal();
    t.ndim = 7;
    refused(&t, true, TKP_ERR_SHAPE, "scores: ndim is 7");
    t.ndim = -1;
    refused(&t, true, TKP_ERR_SHAPE, "scores: ndim is -1");
    t = legal();
    t.dtype = TKP_DTYPE_NONE;
    refused(&t, true, TKP_ERR_DTYPE, "scores: dtype is 0 (none)");
    t.dtype = 99;
    refused(&t, true, TKP_ERR_DTYPE, "scores: dtype is 99 (?)");
    t = legal();
    t.device_type = 0;
    refused(&t, true, TKP_ERR_ARGUMENT, "scores: device_type is 0");
    t = legal();
    t.shape[1] = -3;
    refused(&t, true, TKP_ERR_SHAPE, "scores: dim 1 is -3");
    t = legal();
    t.data = NULL;
    refused(&t, false, TKP_ERR_ARGUMENT, "scores: data is NULL");
    t = legal();
    t.byte_offset = 2;
    refused(&t, false, TKP_ERR_ARGUMENT, "scores: data is not aligned");
}
END_TEST

START_TEST(check_view__sizes_do_not_fit__refused)
{
    tkp_tensor t = legal();
    t.shape[0] = INT64_MAX / 2;
    refused(&t, true, TKP_ERR_SHAPE, "scores: sizes and strides");
    t = legal();
    t.shape[0] = INT64_MAX / 16; /* the count fits, the bytes do not */
    t.strides[0] = 0;
    refused(&t, true, TKP_ERR_SHAPE, "scores: sizes and strides");
    t = legal();
    t.strides[0] = INT64_MAX / 2;
    refused(&t, true, TKP_ERR_SHAPE, "scores: sizes and strides");
    t.strides[0] = INT64_MIN;
    refused(&t, true, TKP_ERR_SHAPE, "scores: sizes and strides");
    t = legal();
    t.strides[0] = INT64_MAX / 12; /* elements fit, bytes do not */
    refused(&t, true, TKP_ERR_SHAPE, "scores: sizes and strides");
}
END_TEST

START_TEST(extent__strides_of_both_signs__first_and_last_byte)
{
    const char *begin, *end;
    tkp_tensor t = legal();
    ck_assert(tkp__extent(&t, &begin, &end));
    ck_assert_ptr_eq(begin, (char *)memory);
    ck_assert_ptr_eq(end, (char *)(memory + 32));

    t.strides[0] = -8;
    t.byte_offset = 24 * sizeof(float);
    ck_assert(tkp__extent(&t, &begin, &end));
    ck_assert_ptr_eq(begin, (char *)memory);
    ck_assert_ptr_eq(end, (char *)(memory + 32));

    t = legal();
    t.strides[0] = 16; /* every other row: the last one ends early */
    ck_assert(tkp__extent(&t, &begin, &end));
    ck_assert_ptr_eq(end, (char *)(memory + 3 * 16 + 8));

    t.shape[0] = 0;
    ck_assert(!tkp__extent(&t, &begin, &end));
}
END_TEST

START_TEST(overlap__neighbours_and_shared_bytes__told_apart)
{
    tkp_tensor a, b;
    tkp_tensor_make_1d(&a, memory, TKP_DTYPE_F32, 16);
    tkp_tensor_make_1d(&b, memory + 16, TKP_DTYPE_F32, 16);
    ck_assert(!tkp__overlap(&a, &b));
    ck_assert(!tkp__overlap(&b, &a));
    b.byte_offset = 0;
    b.data = memory + 15;
    ck_assert(tkp__overlap(&a, &b));
    ck_assert(tkp__overlap(&b, &a));
    ck_assert(tkp__overlap(&a, &a));
    b.shape[0] = 0;
    ck_assert(!tkp__overlap(&a, &b));
    b.shape[0] = 16;
    b.device_type = TKP_DEVICE_CUDA;
    ck_assert(!tkp__overlap(&a, &b));
}
END_TEST

START_TEST(tensor_make__wrong_rank__view_of_nothing)
{
    tkp_tensor t;
    const int64_t shape[7] = {1, 1, 1, 1, 1, 1, 1};
    tkp_tensor_make(&t, memory, TKP_DTYPE_F32, 7, shape);
    ck_assert_int_eq(tkp_tensor_count(&t), 0);
    tkp_tensor_make(&t, memory, TKP_DTYPE_F32, -1, shape);
    ck_assert_int_eq(tkp_tensor_count(&t), 0);
    tkp_tensor_make(&t, memory, TKP_DTYPE_F32, 2, NULL);
    ck_assert_int_eq(tkp_tensor_count(&t), 0);
    ck_assert_int_eq(tkp__check_view(&t, "x", false), TKP_OK);
}
END_TEST

START_TEST(tensor_count__shapes__product_or_minus_one)
{
    tkp_tensor t;
    tkp_tensor_make_3d(&t, memory, TKP_DTYPE_U8, 2, 3, 5);
    ck_assert_int_eq(tkp_tensor_count(&t), 30);
    ck_assert_int_eq(t.strides[0], 15);
    ck_assert_int_eq(t.strides[1], 5);
    ck_assert_int_eq(t.strides[2], 1);
    t.shape[2] = 0;
    t.shape[0] = INT64_MAX; /* empty, whatever the other sizes are */
    t.shape[1] = INT64_MAX;
    ck_assert_int_eq(tkp_tensor_count(&t), 0);
    t.shape[2] = 1;
    ck_assert_int_eq(tkp_tensor_count(&t), -1);
    t.shape[2] = -1;
    ck_assert_int_eq(tkp_tensor_count(&t), -1);
    ck_assert_int_eq(tkp_tensor_count(NULL), -1);
}
END_TEST

START_TEST(tensor_is_contiguous__gaps_and_ones__told_apart)
{
    tkp_tensor t = legal();
    ck_assert_int_eq(tkp_tensor_is_contiguous(&t), 1);
    t.strides[0] = 9;
    ck_assert_int_eq(tkp_tensor_is_contiguous(&t), 0);
    t.shape[0] = 1;
    ck_assert_int_eq(tkp_tensor_is_contiguous(&t), 1);
    t.shape[0] = 0;
    ck_assert_int_eq(tkp_tensor_is_contiguous(&t), 1);
    t.shape[0] = -1;
    ck_assert_int_eq(tkp_tensor_is_contiguous(&t), 0);
    ck_assert_int_eq(tkp_tensor_is_contiguous(NULL), 0);
}
END_TEST

START_TEST(dtype__each__bytes_and_name)
{
    const struct {
        int32_t dtype;
        size_t bytes;
        const char *name;
    } table[] = {
        {TKP_DTYPE_NONE, 0, "none"},
        {TKP_DTYPE_F32, 4, "f32"},
        {TKP_DTYPE_F16, 2, "f16"},
        {TKP_DTYPE_BF16, 2, "bf16"},
        {TKP_DTYPE_I32, 4, "i32"},
        {TKP_DTYPE_I64, 8, "i64"},
        {TKP_DTYPE_U8, 1, "u8"},
        {-1, 0, "?"},
        {7, 0, "?"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        ck_assert_uint_eq(tkp_dtype_bytes(table[i].dtype), table[i].bytes);
        ck_assert_str_eq(tkp_dtype_string(table[i].dtype), table[i].name);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("unit/util");

    TCase *messages = tcase_create("messages");
    tcase_add_test(messages, fail__formatted__message_and_status_come_back);
    tcase_add_test(messages, fail_prefix__message_there__prefix_goes_before);
    tcase_add_test(messages, fail__own_message_as_argument__is_not_torn);
    tcase_add_test(messages, fail__long_text__cut_at_1023_bytes);
    tcase_add_test(
        messages, message_set__cut_inside_a_character__character_is_dropped);
    tcase_add_test(
        messages, message_set__line_breaks_and_null__one_line_and_empty);
    suite_add_tcase(suite, messages);

    TCase *blocks = tcase_create("memory");
    tcase_add_test(blocks, alloc__any_size__aligned_and_writable);
    tcase_add_test(blocks, zalloc__used_memory__is_zero);
    tcase_add_test(blocks, alloc__product_does_not_fit__null_and_message);
    tcase_add_test(blocks, realloc__grow_and_shrink__content_kept);
    tcase_add_test(blocks, strdup__text__copied);
    tcase_add_test(blocks, checked_sizes__edges__told_apart);
    suite_add_tcase(suite, blocks);

    TCase *halves = tcase_create("halves");
    tcase_add_test(
        halves, f16_to_f32__all_65536_values__equal_their_definition);
    tcase_add_test(halves, f16__there_and_back__unchanged);
    tcase_add_test(
        halves, f32_to_f16__around_every_halfway_point__nearest_even);
    tcase_add_test(halves, f32_to_f16__special_values__kept);
    tcase_add_test(halves, bf16__all_65536_values__there_and_back);
    tcase_add_test(
        halves, f32_to_bf16__around_every_halfway_point__nearest_even);
    tcase_add_test(halves, load_store__each_float_dtype__element_i);
    suite_add_tcase(suite, halves);

    TCase *views = tcase_create("views");
    tcase_add_test(views, check_view__legal_views__accepted);
    tcase_add_test(views, check_view__each_field_wrong__named_in_message);
    tcase_add_test(views, check_view__sizes_do_not_fit__refused);
    tcase_add_test(views, extent__strides_of_both_signs__first_and_last_byte);
    tcase_add_test(views, overlap__neighbours_and_shared_bytes__told_apart);
    tcase_add_test(views, tensor_make__wrong_rank__view_of_nothing);
    tcase_add_test(views, tensor_count__shapes__product_or_minus_one);
    tcase_add_test(views, tensor_is_contiguous__gaps_and_ones__told_apart);
    tcase_add_test(views, dtype__each__bytes_and_name);
    suite_add_tcase(suite, views);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
