/*
 * Pictures: decoding, resizing and CLIP preprocessing against Pillow's bytes
 * (tests/golden/image, made by tools/golden/make_image_fixtures.py), and files
 * that are damaged on purpose.
 */

#include "mllm/model_files.h"

#include "api/test_allocator.h"
#include "mllm/image/image.h"

static tkp__image load(const char *name, bool transpose)
{
    char path[PATH_MAX];
    char file[200];
    snprintf(file, sizeof(file), "image/%s", name);
    tkp__image image = {0};
    assert_ok(
        tkp__image_load_file(&image, golden_path(path, file), transpose, 0));
    return image;
}

static uint64_t image_hash(const tkp__image *image)
{
    return fnv1a(image->rgb, (size_t)(image->height * image->width) * 3);
}

/* Calls `check` for every line that begins with `kind`; says how many. */
static int for_each_case(const char *kind, void (*check)(const char *line))
{
    char path[PATH_MAX];
    FILE *file = fopen(golden_path(path, "image/expected.txt"), "r");
    ck_assert_msg(file, "%s is not there", path);
    char line[400];
    int count = 0;
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, kind, strlen(kind)) == 0) {
            check(line + strlen(kind));
            count++;
        }
    fclose(file);
    return count;
}

static void check_decode(const char *line)
{
    char name[200];
    int transpose;
    long height;
    long width;
    unsigned long long hash;
    ck_assert_int_eq(
        sscanf(
            line, "%199s %d %ld %ld %llx", name, &transpose, &height, &width,
            &hash),
        5);
    tkp__image image = load(name, transpose != 0);
    ck_assert_msg(
        image.height == height && image.width == width,
        "%s: %lld x %lld, wanted %ld x %ld", name, (long long)image.width,
        (long long)image.height, width, height);
    ck_assert_msg(
        image_hash(&image) == hash, "%s (exif %d): other bytes than Pillow's",
        name, transpose);
    tkp__image_release(&image);
}

START_TEST(image_load__every_format_and_kind__equals_pillow)
{
    ck_assert_int_ge(for_each_case("decode ", check_decode), 80);
}
END_TEST

static void check_resize(const char *line)
{
    char name[200];
    long height;
    long width;
    unsigned long long hash;
    ck_assert_int_eq(
        sscanf(line, "%199s %ld %ld %llx", name, &height, &width, &hash), 4);
    tkp__image image = load(name, false);
    tkp__image resized;
    assert_ok(tkp__image_resize_bicubic(&resized, &image, height, width));
    ck_assert_int_eq(resized.height, height);
    ck_assert_int_eq(resized.width, width);
    ck_assert_msg(
        image_hash(&resized) == hash,
        "%s to %ld x %ld: other bytes than Pillow's", name, width, height);
    tkp__image_release(&resized);
    tkp__image_release(&image);
}

START_TEST(image_resize_bicubic__up_down_and_extreme__equals_pillow)
{
    ck_assert_int_ge(for_each_case("resize ", check_resize), 20);
}
END_TEST

static const tkp__image_spec clip_spec = {
    .do_rescale = true,
    .do_normalize = true,
    .rescale_factor = 0.00392156862745098,
    .mean = {0.48145466, 0.4578275, 0.40821073},
    .std = {0.26862954, 0.26130258, 0.27577711}};

static tkp__image_spec spec_of(const char *mode, long size)
{
    tkp__image_spec spec = clip_spec;
    spec.pad_square = strcmp(mode, "pad") == 0;
    if (strcmp(mode, "stretch") == 0) {
        spec.resize_height = spec.resize_width = size;
    } else {
        spec.resize_shortest = size;
        spec.crop_height = spec.crop_width = size;
    }
    return spec;
}

static void check_clip(const char *line)
{
    char name[200];
    char mode[20];
    long size;
    long height;
    long width;
    unsigned long long hash;
    unsigned long long float_hash;
    ck_assert_int_eq(
        sscanf(
            line, "%199s %19s %ld %ld %ld %llx %llx", name, mode, &size,
            &height, &width, &hash, &float_hash),
        7);
    tkp__image image = load(name, false);
    tkp__image prepared;
    const tkp__image_spec spec = spec_of(mode, size);
    const size_t count = (size_t)(height * width) * 3;
    float *pixels = malloc(count * sizeof(*pixels));
    assert_ok(tkp__image_preprocess_clip(pixels, &prepared, &image, &spec));
    ck_assert_msg(
        image_hash(&prepared) == hash, "%s %s %ld: other picture", name, mode,
        size);
    ck_assert_msg(
        fnv1a(pixels, count * sizeof(*pixels)) == float_hash,
        "%s %s %ld: other numbers", name, mode, size);
    free(pixels);
    tkp__image_release(&prepared);
    tkp__image_release(&image);
}

START_TEST(image_preprocess_clip__crop_pad_stretch__equals_pillow_and_numpy)
{
    ck_assert_int_ge(for_each_case("clip ", check_clip), 8);
}
END_TEST

/* --- by hand ----------------------------------------------------------- */

/* [height, width, 3] with pixel (y, x) = (y, x, 7) */
static tkp__image coordinates(int64_t height, int64_t width)
{
    tkp__image image = {
        .height = height,
        .width = width,
        .rgb = tkp__alloc((size_t)(height * width), 3)};
    for (int64_t i = 0; i < height * width; i++) {
        image.rgb[i * 3] = (uint8_t)(i / width);
        image.rgb[i * 3 + 1] = (uint8_t)(i % width);
        image.rgb[i * 3 + 2] = 7;
    }
    return image;
}

START_TEST(image_crop__window_inside__its_pixels)
{
    tkp__image image = coordinates(5, 8);
    tkp__image out;
    assert_ok(tkp__image_crop(&out, &image, 2, 3, 3, 5));
    for (int64_t i = 0; i < 15; i++) {
        ck_assert_int_eq(out.rgb[i * 3], 2 + i / 5);
        ck_assert_int_eq(out.rgb[i * 3 + 1], 3 + i % 5);
    }
    tkp__image_release(&out);
    tkp__image_release(&image);
}
END_TEST

START_TEST(image_crop__window_outside__refused_with_both_sizes)
{
    static const int64_t windows[][4] = {{-1, 0, 2, 2}, {0, -1, 2, 2},
                                         {4, 0, 2, 2},  {0, 7, 2, 2},
                                         {0, 0, 0, 2},  {0, 0, 2, INT64_MAX},
                                         {0, 0, 6, 1},  {INT64_MAX, 0, 1, 1}};
    tkp__image image = coordinates(5, 8);
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
        tkp__image out = {0};
        const int64_t *w = windows[i];
        ck_assert_int_eq(
            tkp__image_crop(&out, &image, w[0], w[1], w[2], w[3]),
            TKP_ERR_SHAPE);
        assert_message("inside 8 x 5");
        ck_assert_ptr_null(out.rgb);
    }
    tkp__image_release(&image);
}
END_TEST

START_TEST(image_pad_square__odd_gap__floor_of_half_goes_in_front)
{
    const uint8_t colour[3] = {200, 201, 202};
    tkp__image image = coordinates(2, 5);
    tkp__image out;
    assert_ok(tkp__image_pad_square(&out, &image, colour));
    ck_assert_int_eq(out.height, 5);
    ck_assert_int_eq(out.width, 5);
    ck_assert_mem_eq(out.rgb, colour, 3);
    ck_assert_int_eq(out.rgb[5 * 3], 0);
    ck_assert_int_eq(out.rgb[(5 + 4) * 3 + 1], 4);
    ck_assert_int_eq(out.rgb[2 * 5 * 3], 1);
    ck_assert_mem_eq(out.rgb + 3 * 5 * 3, colour, 3);
    ck_assert_mem_eq(out.rgb + (5 * 5 - 1) * 3, colour, 3);
    tkp__image_release(&out);
    tkp__image_release(&image);
}
END_TEST

START_TEST(image_preprocess_clip__crop_above_picture__black_around)
{
    tkp__image image = coordinates(3, 3);
    tkp__image_spec spec = {.crop_height = 6, .crop_width = 2};
    float pixels[3 * 6 * 2];
    tkp__image prepared;
    assert_ok(tkp__image_preprocess_clip(pixels, &prepared, &image, &spec));
    /* Hugging Face puts ceil(3 / 2) = 2 rows of zeros in front. */
    const float blue[12] = {0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 0, 0};
    ck_assert_mem_eq(pixels + 24, blue, sizeof(blue));
    ck_assert_float_eq(pixels[12 + 5], 1.0F); /* x of the second column */
    tkp__image_release(&prepared);
    tkp__image_release(&image);
}
END_TEST

START_TEST(image_preprocess_clip__half_of_a_pair__refused)
{
    tkp__image image = coordinates(3, 3);
    float pixels[27];
    tkp__image_spec spec = {.crop_height = 6};
    ck_assert_int_eq(
        tkp__image_preprocess_clip(pixels, NULL, &image, &spec),
        TKP_ERR_OPTION);
    assert_message("crop is 0 x 6");
    spec = (tkp__image_spec){.resize_width = 2};
    ck_assert_int_eq(
        tkp__image_preprocess_clip(pixels, NULL, &image, &spec),
        TKP_ERR_OPTION);
    assert_message("resize");
    spec = (tkp__image_spec){.do_normalize = true};
    ck_assert_int_eq(
        tkp__image_preprocess_clip(pixels, NULL, &image, &spec),
        TKP_ERR_OPTION);
    assert_message("std 0");
    tkp__image_release(&image);
}
END_TEST

START_TEST(image_resize_bicubic__target_impossible__refused)
{
    tkp__image image = coordinates(3, 3);
    tkp__image out = {0};
    ck_assert_int_eq(
        tkp__image_resize_bicubic(&out, &image, 0, 5), TKP_ERR_SHAPE);
    assert_message("5 x 0");
    ck_assert_int_eq(
        tkp__image_resize_bicubic(&out, &image, INT64_MAX, 5), TKP_ERR_SHAPE);
    assert_message("178956970");
    ck_assert_int_eq(
        tkp__image_resize_bicubic(&out, &image, 2, INT64_MAX), TKP_ERR_SHAPE);
    ck_assert_ptr_null(out.rgb);
    tkp__image_release(&image);
}
END_TEST

START_TEST(image_save_png__read_back__same_pixels)
{
    char folder[PATH_MAX];
    char path[PATH_MAX + 20];
    scratch_make(folder);
    snprintf(path, sizeof(path), "%s/out.png", folder);
    tkp__image image = coordinates(37, 61);
    tkp__image back;
    assert_ok(tkp__image_save_png(&image, path));
    assert_ok(tkp__image_load_file(&back, path, false, 0));
    ck_assert_int_eq(back.height, 37);
    ck_assert_int_eq(back.width, 61);
    ck_assert_mem_eq(back.rgb, image.rgb, 37 * 61 * 3);
    tkp__image_release(&back);
    scratch_remove(folder);
    ck_assert_int_eq(tkp__image_save_png(&image, path), TKP_ERR_IO);
    assert_message("out.png");
    tkp__image_release(&image);
}
END_TEST

/* --- hostile ----------------------------------------------------------- */

static const char *const formats[] = {
    "gray.jpg",
    "exif-3.jpg",
    "cmyk.jpg",
    "restart.jpg",
    "rgba.png",
    "palette.png",
    "rgb-interlaced.png",
    "lossy.webp",
    "lossless.webp",
    "lossy-alpha.webp",
    "chelsea-422-progressive.jpg"};

#define FORMAT_COUNT ((int)(sizeof(formats) / sizeof(formats[0])))

static uint8_t *format_bytes(int i, size_t *size)
{
    char path[PATH_MAX];
    char file[200];
    snprintf(file, sizeof(file), "image/%s", formats[i]);
    return read_whole(golden_path(path, file), size);
}

/* A copy of exactly `size` bytes, so that a sanitizer sees a read past it. */
static tkp_status load_exact(tkp__image *out, const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    const tkp_status status =
        tkp__image_load_memory(out, copy, size, "some.file", true, 0);
    free(copy);
    return status;
}

START_TEST(image_load_memory__cut_anywhere__refused_by_name)
{
    size_t size;
    uint8_t *bytes = format_bytes(_i, &size);
    /* The last two bytes of a JPEG are its end mark, of a WebP padding. */
    const size_t step = size > 2000 ? 37 : 7;
    for (size_t cut = 0; cut + 8 < size; cut += step) {
        tkp__image out = {0};
        const tkp_status status = load_exact(&out, bytes, cut);
        ck_assert_msg(
            status == TKP_ERR_FORMAT, "%s cut to %zu of %zu: %s", formats[_i],
            cut, size, tkp_status_string(status));
        assert_message("some.file");
        ck_assert_ptr_null(out.rgb);
    }
    free(bytes);
}
END_TEST

/* Damage may go unnoticed (no format sums everything); it must not crash, and
 * a refusal must say what it is about. */
START_TEST(image_load_memory__bytes_changed__no_crash)
{
    size_t size;
    uint8_t *bytes = format_bytes(_i, &size);
    uint64_t state = 88172645463325252u + (uint64_t)_i;
    for (int round = 0; round < 300; round++) {
        uint8_t saved[4];
        size_t at[4];
        for (int k = 0; k < 4; k++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            /* headers are where the interesting fields lie */
            at[k] = (size_t)(state >> 20) % (k < 2 && size > 200 ? 200 : size);
            saved[k] = bytes[at[k]];
            bytes[at[k]] = (uint8_t)state;
        }
        tkp__image out = {0};
        uint8_t *copy = malloc(size);
        memcpy(copy, bytes, size);
        if (tkp__image_load_memory(
                &out, copy, size, "some.file", true, 4 << 20) != TKP_OK)
            assert_message("some.file");
        free(copy);
        tkp__image_release(&out);
        for (int k = 3; k >= 0; k--)
            bytes[at[k]] = saved[k];
    }
    free(bytes);
}
END_TEST

START_TEST(image_load_memory__no_known_format__says_which_are)
{
    static const char *const texts[] = {"", "\xff", "GIF89a......", "RIFF"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        tkp__image out = {0};
        ck_assert_int_eq(
            load_exact(&out, (const uint8_t *)texts[i], strlen(texts[i])),
            TKP_ERR_FORMAT);
        assert_message("JPEG, PNG or WebP");
    }
}
END_TEST

START_TEST(image_load_memory__video_file__unsupported_not_damaged)
{
    static const struct {
        const char *bytes;
        tkp_status status;
    } files[] = {
        {"\1\1\1\x20"
         "ftypisom...",
         TKP_ERR_UNSUPPORTED},
        {"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\1\1\1", TKP_ERR_UNSUPPORTED},
        {"RIFF\1\1\1\1AVI LIST", TKP_ERR_UNSUPPORTED},
        {"\1\1\1\x20"
         "ftypavif...",
         TKP_ERR_FORMAT},
        {"\1\1\1\x20"
         "ftypiso",
         TKP_ERR_FORMAT}};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        tkp__image out = {0};
        ck_assert_int_eq(
            load_exact(
                &out, (const uint8_t *)files[i].bytes, strlen(files[i].bytes)),
            files[i].status);
        assert_message("JPEG, PNG or WebP");
    }
}
END_TEST

START_TEST(image_load_memory__enormous_by_its_header__refused_before_memory)
{
    /* Width and height of an otherwise good PNG; its own sum is put right. */
    static const uint8_t png[] = {
        0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0,    0,    0,    13,
        'I',  'H', 'D', 'R', 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff,
        8,    2,   0,   0,   0,    0x9b, 0xab, 0x9c, 0x31, 0,    0,    0,
        0,    'I', 'D', 'A', 'T',  0x35, 0xaf, 0x06, 0x1e};
    tkp__image out = {0};
    ck_assert_int_eq(load_exact(&out, png, sizeof(png)), TKP_ERR_FORMAT);
    assert_message("some.file");
    assert_message("2147483647 x 2147483647");

    size_t size;
    uint8_t *jpeg = format_bytes(0, &size);
    size_t at = 2;
    while (jpeg[at + 1] != 0xc0)
        at += 2 + (size_t)(jpeg[at + 2] << 8 | jpeg[at + 3]);
    memset(jpeg + at + 5, 0xff, 4);
    ck_assert_int_eq(load_exact(&out, jpeg, size), TKP_ERR_FORMAT);
    assert_message("some.file");
    free(jpeg);
}
END_TEST

START_TEST(image_load_memory__above_max_pixels__refused_with_the_limit)
{
    for (int i = 0; i < FORMAT_COUNT; i++) {
        size_t size;
        uint8_t *bytes = format_bytes(i, &size);
        tkp__image out = {0};
        ck_assert_int_eq(
            tkp__image_load_memory(&out, bytes, size, "p", false, 100),
            TKP_ERR_FORMAT);
        assert_message("at most 100 pixels");
        free(bytes);
    }
}
END_TEST

START_TEST(image_load_memory__animated_webp__unsupported)
{
    char path[PATH_MAX];
    tkp__image out = {0};
    ck_assert_int_eq(
        tkp__image_load_file(
            &out, golden_path(path, "image/animated.webp"), false, 0),
        TKP_ERR_UNSUPPORTED);
    assert_message("animated");
}
END_TEST

START_TEST(image_load_file__not_a_file__io_error_with_the_path)
{
    char path[PATH_MAX];
    tkp__image out = {0};
    ck_assert_int_eq(
        tkp__image_load_file(
            &out, golden_path(path, "image/nothing.jpg"), false, 0),
        TKP_ERR_IO);
    assert_message("nothing.jpg");
    ck_assert_int_eq(
        tkp__image_load_file(&out, golden_path(path, "image"), false, 0),
        TKP_ERR_IO);
    assert_message("regular file");
}
END_TEST

static tkp_status load_and_prepare(const char *name)
{
    char path[PATH_MAX];
    char file[200];
    snprintf(file, sizeof(file), "image/%s", name);
    tkp__image image;
    tkp__image prepared;
    static float pixels[3 * 32 * 32];
    const tkp__image_spec spec = spec_of("pad", 32);
    TKP__TRY(tkp__image_load_file(&image, golden_path(path, file), true, 0));
    const tkp_status status =
        tkp__image_preprocess_clip(pixels, &prepared, &image, &spec);
    tkp__image_release(&image);
    if (status == TKP_OK)
        tkp__image_release(&prepared);
    return status;
}

START_TEST(image__memory_out_at_each_call__status_and_nothing_lost)
{
    tkp_status status = TKP_ERR_MEMORY;
    int n = 0;
    for (; status != TKP_OK && n < 1000; n++) {
        test_allocator_install(n);
        status = load_and_prepare(formats[_i]);
        ck_assert(status == TKP_OK || status == TKP_ERR_MEMORY);
        test_allocator_remove();
    }
    ck_assert_int_gt(n, 10);
    ck_assert_int_lt(n, 1000);
}
END_TEST

START_TEST(image_load__null_arguments__refused)
{
    tkp__image out = {0};
    ck_assert_int_eq(
        tkp__image_load_file(&out, NULL, false, 0), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(
        tkp__image_load_memory(NULL, "", 0, "x", false, 0), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(
        tkp__image_load_memory(&out, NULL, 3, "x", false, 0), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(
        tkp__image_load_memory(&out, "abc", 3, "x", false, -1),
        TKP_ERR_ARGUMENT);
    tkp__image_release(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/image");

    TCase *pillow = tcase_create("pillow");
    tcase_add_test(pillow, image_load__every_format_and_kind__equals_pillow);
    tcase_add_test(
        pillow, image_resize_bicubic__up_down_and_extreme__equals_pillow);
    tcase_add_test(
        pillow,
        image_preprocess_clip__crop_pad_stretch__equals_pillow_and_numpy);
    suite_add_tcase(suite, pillow);

    TCase *hand = tcase_create("by hand");
    tcase_add_test(hand, image_crop__window_inside__its_pixels);
    tcase_add_test(hand, image_crop__window_outside__refused_with_both_sizes);
    tcase_add_test(
        hand, image_pad_square__odd_gap__floor_of_half_goes_in_front);
    tcase_add_test(
        hand, image_preprocess_clip__crop_above_picture__black_around);
    tcase_add_test(hand, image_preprocess_clip__half_of_a_pair__refused);
    tcase_add_test(hand, image_resize_bicubic__target_impossible__refused);
    tcase_add_test(hand, image_save_png__read_back__same_pixels);
    suite_add_tcase(suite, hand);

    TCase *hostile = tcase_create("hostile");
    tcase_add_loop_test(
        hostile, image_load_memory__cut_anywhere__refused_by_name, 0,
        FORMAT_COUNT);
    tcase_add_loop_test(
        hostile, image_load_memory__bytes_changed__no_crash, 0, FORMAT_COUNT);
    tcase_add_test(hostile, image_load_memory__no_known_format__says_which_are);
    tcase_add_test(
        hostile, image_load_memory__video_file__unsupported_not_damaged);
    tcase_add_test(
        hostile,
        image_load_memory__enormous_by_its_header__refused_before_memory);
    tcase_add_test(
        hostile, image_load_memory__above_max_pixels__refused_with_the_limit);
    tcase_add_test(hostile, image_load_memory__animated_webp__unsupported);
    tcase_add_test(
        hostile, image_load_file__not_a_file__io_error_with_the_path);
    tcase_add_loop_test(
        hostile, image__memory_out_at_each_call__status_and_nothing_lost, 0,
        FORMAT_COUNT);
    tcase_add_test(hostile, image_load__null_arguments__refused);
    suite_add_tcase(suite, hostile);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
