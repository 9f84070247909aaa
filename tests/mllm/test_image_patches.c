/*
 * Pictures and videos as patches, against what transformers makes of them
 * (tests/golden/image/patches.txt, by tools/golden/make_patch_fixtures.py),
 * and the file that says how.
 */

#include "mllm/model_files.h"

#include <math.h>

#include "api/test_allocator.h"
#include "mllm/checkpoint/config_parts.h"
#include "mllm/image/image.h"

static tkp__image_spec spec_of(long long least, long long most)
{
    return (tkp__image_spec){
        .do_rescale = true,
        .do_normalize = true,
        .rescale_factor = 0.00392156862745098,
        .mean = {0.48145466, 0.4578275, 0.40821073},
        .std = {0.26862954, 0.26130258, 0.27577711},
        .patch = 14,
        .merge = 2,
        .frames = 2,
        .min_pixels = least,
        .max_pixels = most};
}

/* Byte i: the upper byte of (i 2654435761 + seed 40503) mod 2^32. */
static tkp__image noise(uint32_t seed, int64_t height, int64_t width)
{
    tkp__image image = {
        .height = height,
        .width = width,
        .rgb = tkp__alloc((size_t)(height * width), 3)};
    ck_assert_ptr_nonnull(image.rgb);
    for (int64_t i = 0; i < height * width * 3; i++)
        image.rgb[i] =
            (uint8_t)(((uint32_t)i * 2654435761u + seed * 40503u) >> 24);
    return image;
}

/* Patches of `count` pictures; the caller frees them. */
static float *patches_of(
    const tkp__image *pictures,
    int64_t count,
    const tkp__image_spec *spec,
    tkp__patch_grid *grid,
    size_t *floats)
{
    assert_ok(tkp__image_patch_grid(
        grid, spec, count, pictures->height, pictures->width));
    assert_ok(tkp__patch_grid_floats(floats, grid, spec));
    float *dst = malloc(*floats * sizeof(*dst));
    assert_ok(
        tkp__image_preprocess_patches(dst, NULL, pictures, count, spec, grid));
    return dst;
}

static void check_patches(
    const char *line,
    const tkp__image *pictures,
    int64_t count,
    long long least,
    long long most,
    const long long grid[3],
    unsigned long long hash)
{
    const tkp__image_spec spec = spec_of(least, most);
    tkp__patch_grid g;
    size_t floats;
    float *dst = patches_of(pictures, count, &spec, &g, &floats);
    ck_assert_msg(
        g.t == grid[0] && g.h == grid[1] && g.w == grid[2],
        "%s: grid is %lld %lld %lld", line, (long long)g.t, (long long)g.h,
        (long long)g.w);
    ck_assert_int_eq(
        tkp__patch_grid_tokens(&g, &spec), grid[0] * grid[1] * grid[2] / 4);
    ck_assert_msg(
        fnv1a(dst, floats * sizeof(*dst)) == hash, "%s: other numbers", line);
    free(dst);
}

static void check_size(const char *line)
{
    long long in[4], out[2];
    ck_assert_int_eq(
        sscanf(
            line, "size %lld %lld %lld %lld %lld %lld", &in[0], &in[1], &in[2],
            &in[3], &out[0], &out[1]),
        6);
    const tkp__image_spec spec = spec_of(in[2], in[3]);
    tkp__patch_grid grid = {0};
    const tkp_status status =
        tkp__image_patch_grid(&grid, &spec, 1, in[0], in[1]);
    ck_assert_msg(
        (status == TKP_OK) == (out[0] > 0) && grid.h * 14 == out[0] &&
            grid.w * 14 == out[1],
        "%s: %lld x %lld", line, (long long)grid.h * 14,
        (long long)grid.w * 14);
    if (status != TKP_OK)
        assert_message("wanted at most 200 times");
}

static void check_noise(const char *line)
{
    unsigned seed;
    long long in[5], grid[3];
    unsigned long long hash;
    ck_assert_int_eq(
        sscanf(
            line, "noise %u %lld %lld %lld %lld %lld %lld %lld %lld %llx",
            &seed, &in[0], &in[1], &in[2], &in[3], &in[4], &grid[0], &grid[1],
            &grid[2], &hash),
        10);
    tkp__image pictures[8];
    ck_assert(in[2] >= 1 && in[2] <= 8);
    for (uint32_t k = 0; k < (uint32_t)in[2]; k++)
        pictures[k] = noise(seed + k, in[0], in[1]);
    check_patches(line, pictures, in[2], in[3], in[4], grid, hash);
    for (long long k = 0; k < in[2]; k++)
        tkp__image_release(&pictures[k]);
}

static void check_file(const char *line)
{
    char name[200], file[220], path[PATH_MAX];
    long long least, most, grid[3];
    unsigned long long hash;
    ck_assert_int_eq(
        sscanf(
            line, "file %199s %lld %lld %lld %lld %lld %llx", name, &least,
            &most, &grid[0], &grid[1], &grid[2], &hash),
        7);
    tkp__image image;
    snprintf(file, sizeof(file), "image/%s", name);
    assert_ok(tkp__image_load_file(&image, golden_path(path, file), false, 0));
    check_patches(line, &image, 1, least, most, grid, hash);
    tkp__image_release(&image);
}

/* --- videos ---------------------------------------------------------------- */

static tkp__video_spec video_of(long long least, long long most)
{
    return (tkp__video_spec){
        .frame = spec_of(least, most),
        .fps = 2.0,
        .min_frames = 4,
        .max_frames = 768,
        .max_tokens = 128000};
}

static void check_sample(const char *line)
{
    tkp__video_spec spec = video_of(3136, 3136);
    long long total, frames, least, most, wanted;
    double fps;
    unsigned long long hash;
    ck_assert_int_eq(
        sscanf(
            line, "sample %lld %lf %lf %lld %lld %lld %lld %llx", &total, &fps,
            &spec.fps, &frames, &least, &most, &wanted, &hash),
        8);
    spec.frames = frames;
    spec.min_frames = least;
    spec.max_frames = most;
    int64_t count = 0;
    const tkp_status status =
        tkp__video_sample(&count, NULL, &spec, total, fps);
    ck_assert_msg(
        (status == TKP_OK) == (wanted > 0) && count == wanted, "%s: %lld", line,
        (long long)count);
    if (status != TKP_OK)
        return;
    int64_t *chosen = malloc((size_t)count * sizeof(*chosen));
    assert_ok(tkp__video_sample(&count, chosen, &spec, total, fps));
    ck_assert_msg(
        fnv1a(chosen, (size_t)count * sizeof(*chosen)) == hash,
        "%s: other frames", line);
    free(chosen);
}

static void check_cap(const char *line)
{
    long long in[6], out[2];
    ck_assert_int_eq(
        sscanf(
            line, "cap %lld %lld %lld %lld %lld %lld %lld %lld", &in[0], &in[1],
            &in[2], &in[3], &in[4], &in[5], &out[0], &out[1]),
        8);
    tkp__video_spec spec = video_of(in[3], in[4]);
    spec.max_tokens = in[5];
    tkp__image_spec frame;
    tkp__patch_grid grid;
    assert_ok(tkp__video_frame_spec(&frame, &spec, in[2]));
    assert_ok(tkp__image_patch_grid(&grid, &frame, in[2], in[0], in[1]));
    ck_assert_msg(
        grid.h * 14 == out[0] && grid.w * 14 == out[1], "%s: %lld x %lld", line,
        (long long)grid.h * 14, (long long)grid.w * 14);
}

START_TEST(video_sample__nothing_to_look_at__refused)
{
    tkp__video_spec spec = video_of(3136, 3136);
    int64_t count = 7;
    ck_assert_int_eq(
        tkp__video_sample(&count, NULL, &spec, 0, 25.0), TKP_ERR_ARGUMENT);
    assert_message("0 frames");
    ck_assert_int_eq(
        tkp__video_sample(&count, NULL, &spec, 1, 25.0), TKP_ERR_ARGUMENT);
    assert_message("0 of 1 frames");
    ck_assert_int_eq(
        tkp__video_sample(&count, NULL, &spec, 9, NAN), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(
        tkp__video_sample(&count, NULL, &spec, 9, 0.0), TKP_ERR_ARGUMENT);
    assert_message("0 frames a second");
    spec.fps = 0.0;
    ck_assert_int_eq(
        tkp__video_sample(&count, NULL, &spec, 9, 25.0), TKP_ERR_OPTION);
    assert_message("one of the first two");
    ck_assert_int_eq(count, 7);
}
END_TEST

START_TEST(image_patches__sizes_pictures_videos__equal_transformers)
{
    static const struct {
        const char *kind;
        void (*check)(const char *line);
    } kinds[] = {
        {"size ", check_size},
        {"noise ", check_noise},
        {"file ", check_file},
        {"sample ", check_sample},
        {"cap ", check_cap}};
    char path[PATH_MAX], line[400];
    int count[5] = {0};
    FILE *file = fopen(golden_path(path, "image/patches.txt"), "r");
    ck_assert_msg(file, "%s is not there", path);
    while (fgets(line, sizeof(line), file))
        for (size_t i = 0; i < 5; i++)
            if (strncmp(line, kinds[i].kind, strlen(kinds[i].kind)) == 0) {
                kinds[i].check(line);
                count[i]++;
            }
    fclose(file);
    ck_assert_int_ge(count[0], 1200);
    ck_assert_int_ge(count[1], 40);
    ck_assert_int_ge(count[2], 10);
    ck_assert_int_ge(count[3], 1000);
    ck_assert_int_ge(count[4], 300);
}
END_TEST

/* --- by hand --------------------------------------------------------------- */

/* Patches of one pixel, tokens of 2 x 2, no arithmetic: where each byte goes. */
static const tkp__image_spec plain =
    {.patch = 1, .merge = 2, .frames = 2, .keep_size = true};

START_TEST(image_preprocess_patches__two_tokens_one_pixel_patches__order)
{
    tkp__image frames[3];
    for (uint8_t k = 0; k < 3; k++) {
        frames[k] = noise(0, 2, 4);
        for (int i = 0; i < 8; i++)
            for (int c = 0; c < 3; c++)
                frames[k].rgb[3 * i + c] = (uint8_t)(80 * k + 8 * c + i);
    }
    tkp__patch_grid grid;
    size_t floats;
    float *dst = patches_of(frames, 3, &plain, &grid, &floats);
    ck_assert_int_eq(grid.t, 2);
    ck_assert_int_eq(grid.h, 2);
    ck_assert_int_eq(grid.w, 4);
    ck_assert_uint_eq(floats, 2 * 8 * 3 * 2);
    static const int pixel[8] = {0, 1, 4, 5, 2, 3, 6, 7};
    const float *at = dst;
    for (int t = 0; t < 2; t++)
        for (int p = 0; p < 8; p++)
            for (int c = 0; c < 3; c++)
                for (int f = 0; f < 2; f++) {
                    const int k = 2 * t + f < 3 ? 2 * t + f : 2;
                    ck_assert_float_eq(
                        *at++, (float)(80 * k + 8 * c + pixel[p]));
                }
    free(dst);
    for (int k = 0; k < 3; k++)
        tkp__image_release(&frames[k]);
}
END_TEST

START_TEST(image_preprocess_patches__prepared__the_resized_frames)
{
    tkp__image frames[3], prepared[3];
    for (uint32_t k = 0; k < 3; k++)
        frames[k] = noise(k, 50, 70);
    const tkp__image_spec spec = spec_of(784, 784 * 4);
    tkp__patch_grid grid;
    size_t floats;
    float *dst = patches_of(frames, 3, &spec, &grid, &floats);
    float *again = malloc(floats * sizeof(*again));
    assert_ok(tkp__image_preprocess_patches(
        again, prepared, frames, 3, &spec, &grid));
    ck_assert_mem_eq(dst, again, floats * sizeof(*dst));
    for (int k = 0; k < 3; k++) {
        tkp__image wanted;
        assert_ok(tkp__image_resize_bicubic(
            &wanted, &frames[k], 14 * grid.h, 14 * grid.w));
        ck_assert_int_eq(prepared[k].height, wanted.height);
        ck_assert_int_eq(prepared[k].width, wanted.width);
        ck_assert_mem_eq(
            prepared[k].rgb, wanted.rgb,
            (size_t)(3 * wanted.height * wanted.width));
        tkp__image_release(&wanted);
        tkp__image_release(&prepared[k]);
        tkp__image_release(&frames[k]);
    }
    free(dst);
    free(again);
}
END_TEST

START_TEST(image_preprocess_frame__one_by_one__as_all_together)
{
    tkp__image frames[3];
    for (uint32_t k = 0; k < 3; k++)
        frames[k] = noise(k, 50, 70);
    const tkp__image_spec spec = spec_of(784, 784 * 4);
    tkp__patch_grid grid;
    size_t floats;
    float *dst = patches_of(frames, 3, &spec, &grid, &floats);
    float *again = malloc(floats * sizeof(*again));
    for (int k = 2; k >= 0; k--)
        assert_ok(tkp__image_preprocess_frame(
            again, NULL, &frames[k], k, k == 2 ? 2 : 1, &spec, &grid));
    ck_assert_mem_eq(dst, again, floats * sizeof(*dst));
    ck_assert_int_eq(
        tkp__image_preprocess_frame(
            again, NULL, &frames[0], 3, 2, &spec, &grid),
        TKP_ERR_ARGUMENT);
    assert_message("frame 3, 2 times, wanted within 4");
    for (int k = 0; k < 3; k++)
        tkp__image_release(&frames[k]);
    free(dst);
    free(again);
}
END_TEST

/* --- refused --------------------------------------------------------------- */

START_TEST(image_patch_grid__arguments_wrong__refused_with_numbers)
{
    const tkp__image_spec good = spec_of(3136, 784 * 100);
    static const struct {
        int64_t frames, height, width;
        tkp_status status;
        const char *message;
    } sizes[] = {
        {1, 0, 5, TKP_ERR_SHAPE, "5 x 0"},
        {1, 5, -1, TKP_ERR_SHAPE, "-1 x 5"},
        {1, INT64_MAX, 5, TKP_ERR_SHAPE, "9223372036854775807"},
        {1, 201, 1, TKP_ERR_ARGUMENT, "one side 201 times"},
        {0, 5, 5, TKP_ERR_ARGUMENT, "0 frames"},
        {INT64_MAX, 5, 5, TKP_ERR_ARGUMENT, "frames, wanted 1.."}};
    tkp__patch_grid grid = {7, 7, 7};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        ck_assert_int_eq(
            tkp__image_patch_grid(
                &grid, &good, sizes[i].frames, sizes[i].height, sizes[i].width),
            sizes[i].status);
        assert_message(sizes[i].message);
    }
    tkp__image_spec bad[6];
    for (size_t i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].patch = 0;
    bad[1].merge = 5000;
    bad[2].frames = -1;
    bad[3].min_pixels = 784 * 101;
    bad[4].std[1] = 0.0;
    bad[5].min_pixels = 0;
    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(
            tkp__image_patch_grid(&grid, &bad[i], 1, 50, 50), TKP_ERR_OPTION);
    const tkp__image_spec huge = spec_of((int64_t)1 << 39, (int64_t)1 << 40);
    ck_assert_int_eq(
        tkp__image_patch_grid(&grid, &huge, 1, 50, 50), TKP_ERR_SHAPE);
    assert_message("picture of 50 x 50 becomes");
    ck_assert_int_eq(
        tkp__image_patch_grid(&grid, &plain, 1, 50, 51), TKP_ERR_SHAPE);
    assert_message("multiples of 2");
    ck_assert_int_eq(grid.t, 7);
}
END_TEST

START_TEST(image_preprocess_patches__frames_unlike_or_other_grid__refused)
{
    tkp__image frames[2] = {noise(1, 28, 28), noise(2, 28, 56)};
    const tkp__image_spec spec = spec_of(784, 784 * 4);
    tkp__patch_grid grid;
    float dst[4 * 1176];
    assert_ok(tkp__image_patch_grid(&grid, &spec, 2, 28, 28));
    ck_assert_int_eq(
        tkp__image_preprocess_patches(dst, NULL, frames, 2, &spec, &grid),
        TKP_ERR_SHAPE);
    assert_message("frame 1 is 56 x 28, wanted 28 x 28");
    grid.h = 4;
    ck_assert_int_eq(
        tkp__image_preprocess_patches(dst, NULL, frames, 1, &spec, &grid),
        TKP_ERR_SHAPE);
    assert_message("wanted 1 x 2 x 2");
    ck_assert_int_eq(
        tkp__image_preprocess_patches(dst, NULL, frames, 0, &spec, &grid),
        TKP_ERR_ARGUMENT);
    tkp__image_release(&frames[0]);
    tkp__image_release(&frames[1]);
}
END_TEST

static tkp_status prepare_three(bool shown)
{
    const tkp__image_spec spec = spec_of(784, 784 * 4);
    const tkp__patch_grid grid = {.t = 2, .h = 2, .w = 2};
    static float dst[8 * 1176];
    tkp__image frames[3] = {{0}}, prepared[3] = {{0}};
    tkp_status status = TKP_OK;
    for (int k = 0; k < 3 && status == TKP_OK; k++) {
        frames[k] = (tkp__image){30, 30, tkp__zalloc(30 * 30, 3)};
        status = frames[k].rgb ? TKP_OK : TKP_ERR_MEMORY;
    }
    if (status == TKP_OK)
        status = tkp__image_preprocess_patches(
            dst, shown ? prepared : NULL, frames, 3, &spec, &grid);
    for (int k = 0; k < 3; k++) {
        tkp__image_release(&frames[k]);
        if (status == TKP_OK)
            tkp__image_release(&prepared[k]);
    }
    return status;
}

START_TEST(image_preprocess_patches__memory_out_at_each_call__nothing_lost)
{
    tkp_status status = TKP_ERR_MEMORY;
    int n = 0;
    for (; status != TKP_OK && n < 1000; n++) {
        test_allocator_install(n);
        status = prepare_three(_i != 0);
        ck_assert(status == TKP_OK || status == TKP_ERR_MEMORY);
        test_allocator_remove();
    }
    ck_assert_int_gt(n, 6);
    ck_assert_int_lt(n, 1000);
}
END_TEST

/* --- preprocessor_config.json ---------------------------------------------- */

static tkp_status
read_text(tkp__image_spec *out, const char *name, const char *text)
{
    char folder[PATH_MAX], path[PATH_MAX + 40];
    scratch_make(folder);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (text)
        write_whole(path, text, strlen(text));
    const tkp_status status = tkp__config_read_patches(out, folder, 14, 2, 2);
    scratch_remove(folder);
    return status;
}

static const struct {
    const char *text; /* NULL: no file */
    int64_t least, most;
} bounds[] = {
    {NULL, 3136, 1003520},
    {"{}", 3136, 1003520},
    /* as the published checkpoints have it */
    {"{\"min_pixels\":3136,\"max_pixels\":12845056,\"patch_size\":14,"
     "\"temporal_patch_size\":2,\"merge_size\":2,\"image_mean\":[0.48145466,"
     "0.4578275,0.40821073],\"image_std\":[0.26862954,0.26130258,0.27577711],"
     "\"image_processor_type\":\"Qwen2VLImageProcessor\",\"processor_class\":"
     "\"Qwen2VLProcessor\"}",
     3136, 12845056},
    {"{\"size\":{\"min_pixels\":784,\"max_pixels\":7840}}", 784, 7840},
    {"{\"size\":{\"shortest_edge\":784,\"longest_edge\":7840}}", 784, 7840},
    {"{\"size\":{\"shortest_edge\":784,\"longest_edge\":7840},"
     "\"max_pixels\":9000}",
     784, 9000},
    {"{\"size\":{\"shortest_edge\":784},\"max_pixels\":9000}", 784, 9000},
    {"{\"min_pixels\":100}", 100, 1003520},
    {"{\"max_pixels\":null,\"min_pixels\":100}", 100, 1003520},
};

START_TEST(config_read_patches__each_spelling__its_bounds)
{
    tkp__image_spec spec = {0};
    assert_ok(read_text(&spec, "preprocessor_config.json", bounds[_i].text));
    ck_assert_int_eq(spec.min_pixels, bounds[_i].least);
    ck_assert_int_eq(spec.max_pixels, bounds[_i].most);
    ck_assert_int_eq(spec.patch, 14);
    ck_assert_int_eq(spec.merge, 2);
    ck_assert_int_eq(spec.frames, 2);
    ck_assert(spec.do_rescale && spec.do_normalize && !spec.keep_size);
    ck_assert_double_eq(spec.mean[2], 0.40821073);
}
END_TEST

START_TEST(config_read_patches__other_file_and_switches__read)
{
    tkp__image_spec spec = {0};
    assert_ok(read_text(
        &spec, "processor_config.json",
        "{\"image_processor\":{\"do_resize\":false,\"do_rescale\":false,"
        "\"do_normalize\":false,\"image_mean\":[1,2,3],\"size\":"
        "{\"shortest_edge\":1,\"longest_edge\":2}}}"));
    ck_assert(spec.keep_size && !spec.do_rescale && !spec.do_normalize);
    ck_assert_double_eq(spec.mean[1], 2.0);
    ck_assert_int_eq(spec.max_pixels, 2);
}
END_TEST

START_TEST(config_read_video__file_section_or_none__read)
{
    static const struct {
        const char *name, *text;
        int64_t least, max_frames, max_tokens;
        double fps;
    } files[] = {
        {"preprocessor_config.json", "{\"min_pixels\":7,\"max_pixels\":9}",
         128 * 784, 768, 128000, 2.0},
        {"video_preprocessor_config.json",
         "{\"size\":{\"shortest_edge\":784,\"longest_edge\":7840},\"fps\":4,"
         "\"max_frames\":16,\"max_video_tokens\":4096}",
         784, 16, 4096, 4.0},
        {"processor_config.json",
         "{\"image_processor\":{\"min_pixels\":7,\"max_pixels\":9},"
         "\"video_processor\":{\"min_pixels\":785}}",
         785, 768, 128000, 2.0},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char folder[PATH_MAX], path[PATH_MAX + 40];
        tkp__video_spec spec;
        scratch_make(folder);
        snprintf(path, sizeof(path), "%s/%s", folder, files[i].name);
        write_whole(path, files[i].text, strlen(files[i].text));
        assert_ok(tkp__config_read_video(&spec, folder, 14, 2, 2));
        ck_assert_int_eq(spec.frame.min_pixels, files[i].least);
        ck_assert_int_eq(spec.max_frames, files[i].max_frames);
        ck_assert_int_eq(spec.max_tokens, files[i].max_tokens);
        ck_assert_double_eq(spec.fps, files[i].fps);
        write_whole(path, "{\"video_processor\":{\"fps\":0},\"fps\":0}", 37);
        if (i > 0) {
            ck_assert_int_eq(
                tkp__config_read_video(&spec, folder, 14, 2, 2),
                TKP_ERR_FORMAT);
            assert_message("fps is 0");
        }
        scratch_remove(folder);
    }
}
END_TEST

static const struct {
    const char *text;
    tkp_status status;
    const char *message;
} refused[] = {
    {"{", TKP_ERR_FORMAT, "_config.json:1:"},
    {"{\"size\":{\"shortest_edge\":784}}", TKP_ERR_FORMAT, "wanted both"},
    {"{\"size\":{}}", TKP_ERR_FORMAT, "wanted both"},
    {"{\"size\":784}", TKP_ERR_FORMAT, "size"},
    {"{\"min_pixels\":0}", TKP_ERR_FORMAT, "min_pixels is 0"},
    {"{\"min_pixels\":\"0\"}", TKP_ERR_FORMAT, "min_pixels"},
    {"{\"max_pixels\":1e6}", TKP_ERR_FORMAT, "max_pixels"},
    {"{\"max_pixels\":9999999999999}", TKP_ERR_FORMAT, "max_pixels is 99999"},
    {"{\"min_pixels\":9,\"max_pixels\":8}", TKP_ERR_FORMAT, "at least 9"},
    {"{\"patch_size\":16}", TKP_ERR_FORMAT, "patch_size is 16, wanted 14"},
    {"{\"merge_size\":4}", TKP_ERR_FORMAT, "merge_size is 4, wanted 2"},
    {"{\"temporal_patch_size\":1}", TKP_ERR_FORMAT, "_size is 1, wanted 2"},
    {"{\"resample\":2}", TKP_ERR_UNSUPPORTED, "resample is 2"},
    {"{\"image_std\":[1,1,0]}", TKP_ERR_FORMAT, "image_std holds 0"},
    {"{\"do_resize\":1}", TKP_ERR_FORMAT, "do_resize"},
};

START_TEST(config_read_patches__field_wrong__refused_by_name)
{
    tkp__image_spec spec = {.patch = 5};
    ck_assert_int_eq(
        read_text(&spec, "preprocessor_config.json", refused[_i].text),
        refused[_i].status);
    assert_message(refused[_i].message);
    assert_message("preprocessor_config.json");
    ck_assert_int_eq(spec.patch, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mllm/image_patches");
    TCase *tests = tcase_create("patches");
    tcase_add_test(
        tests, image_patches__sizes_pictures_videos__equal_transformers);
    tcase_add_test(
        tests, image_preprocess_patches__two_tokens_one_pixel_patches__order);
    tcase_add_test(
        tests, image_preprocess_patches__prepared__the_resized_frames);
    tcase_add_test(tests, image_preprocess_frame__one_by_one__as_all_together);
    tcase_add_test(tests, video_sample__nothing_to_look_at__refused);
    tcase_add_test(
        tests, image_patch_grid__arguments_wrong__refused_with_numbers);
    tcase_add_test(
        tests, image_preprocess_patches__frames_unlike_or_other_grid__refused);
    tcase_add_loop_test(
        tests, image_preprocess_patches__memory_out_at_each_call__nothing_lost,
        0, 2);
    suite_add_tcase(suite, tests);

    TCase *config = tcase_create("config");
    tcase_add_loop_test(
        config, config_read_patches__each_spelling__its_bounds, 0,
        sizeof(bounds) / sizeof(bounds[0]));
    tcase_add_test(config, config_read_patches__other_file_and_switches__read);
    tcase_add_test(config, config_read_video__file_section_or_none__read);
    tcase_add_loop_test(
        config, config_read_patches__field_wrong__refused_by_name, 0,
        sizeof(refused) / sizeof(refused[0]));
    suite_add_tcase(suite, config);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
