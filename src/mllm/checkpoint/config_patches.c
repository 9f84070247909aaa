/*
 * preprocessor_config.json of Qwen2-VL: bounds on a picture's pixels, which
 * old files call min_pixels and max_pixels and new ones size.shortest_edge and
 * size.longest_edge (counts of pixels all the same, not edges).
 */

#include "mllm/checkpoint/config_parts.h"

/* The class's own bounds; the published checkpoints say others. */
static const tkp__image_spec patches_default = {
    .do_rescale = true,
    .do_normalize = true,
    .rescale_factor = 0.00392156862745098,
    .mean = {0.48145466, 0.4578275, 0.40821073},
    .std = {0.26862954, 0.26130258, 0.27577711},
    .min_pixels = 56 * 56,
    .max_pixels = 28 * 28 * 1280};

/* Far above any picture that is read, far below what squares overflow at. */
#define MAX_BOUND ((int64_t)1 << 40)

static tkp_status read_bounds(tkp__image_spec *out, const tkp__json_at *at)
{
    tkp__json_at size;
    TKP__TRY(tkp__json_section(&size, at, "size", "size."));
    if (size.object)
        out->min_pixels = out->max_pixels = 0;
    const struct {
        const tkp__json_at *at;
        const char *key;
        int64_t *bound;
    } places[] = {
        {&size, "min_pixels", &out->min_pixels},
        {&size, "shortest_edge", &out->min_pixels},
        {at, "min_pixels", &out->min_pixels},
        {&size, "max_pixels", &out->max_pixels},
        {&size, "longest_edge", &out->max_pixels},
        {at, "max_pixels", &out->max_pixels}};
    /* The last one there counts. */
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        TKP__TRY(tkp__json_int(
            places[i].bound, places[i].at, places[i].key, 1, MAX_BOUND));
    TKP__CHECK(
        out->min_pixels > 0 && out->max_pixels > 0, TKP_ERR_FORMAT,
        "%s: size has not both of shortest_edge and longest_edge, wanted both, "
        "or min_pixels and max_pixels",
        at->file);
    TKP__CHECK(
        out->min_pixels <= out->max_pixels, TKP_ERR_FORMAT,
        "%s: pictures of at least %lld and at most %lld pixels, wanted bounds "
        "in order",
        at->file, (long long)out->min_pixels, (long long)out->max_pixels);
    return TKP_OK;
}

/* The processor cuts what the encoder takes. */
static tkp_status
check_equal(const tkp__json_at *at, const char *key, int64_t wanted)
{
    int64_t value = wanted;
    TKP__TRY(tkp__json_int(&value, at, key, 1, TKP__MAX_PICTURE));
    TKP__CHECK(
        value == wanted, TKP_ERR_FORMAT,
        "%s: %s%s is %lld, wanted %lld as in vision_config", at->file,
        at->section, key, (long long)value, (long long)wanted);
    return TKP_OK;
}

static tkp_status read_processor(void *user, const tkp__json_at *at)
{
    tkp__image_spec *spec = user;
    bool resize = true;
    TKP__TRY(read_bounds(spec, at));
    TKP__TRY(tkp__json_bool(&resize, at, "do_resize"));
    spec->keep_size = !resize;
    TKP__TRY(check_equal(at, "patch_size", spec->patch));
    TKP__TRY(check_equal(at, "merge_size", spec->merge));
    TKP__TRY(check_equal(at, "temporal_patch_size", spec->frames));
    return tkp__config_image_numbers(spec, at);
}

tkp_status tkp__config_read_patches(
    tkp__image_spec *out,
    const char *model_dir,
    int64_t patch,
    int64_t merge,
    int64_t frames)
{
    tkp__image_spec spec = patches_default;
    spec.patch = patch;
    spec.merge = merge;
    spec.frames = frames;
    TKP__TRY(
        tkp__config_image_section(model_dir, false, read_processor, &spec));
    *out = spec;
    return TKP_OK;
}

/* --- videos ---------------------------------------------------------------- */

/* No video has more frames than this that are looked at. */
#define MAX_FRAMES 65536

static tkp_status read_sampling(void *user, const tkp__json_at *at)
{
    tkp__video_spec *spec = user;
    const int64_t step = spec->frame.frames;
    TKP__TRY(read_processor(&spec->frame, at));
    TKP__TRY(tkp__json_real(&spec->fps, at, "fps", 1e-6, 1e6));
    TKP__TRY(tkp__json_int(&spec->frames, at, "num_frames", 1, MAX_FRAMES));
    TKP__TRY(tkp__json_int(&spec->min_frames, at, "min_frames", 1, MAX_FRAMES));
    TKP__TRY(
        tkp__json_int(&spec->max_frames, at, "max_frames", step, MAX_FRAMES));
    return tkp__json_int(
        &spec->max_tokens, at, "max_video_tokens", 1, MAX_BOUND);
}

tkp_status tkp__config_read_video(
    tkp__video_spec *out,
    const char *model_dir,
    int64_t patch,
    int64_t merge,
    int64_t frames)
{
    tkp__video_spec spec = {
        .frame = patches_default,
        .fps = 2.0,
        .min_frames = 4,
        .max_frames = 768,
        .max_tokens = 128000,
    };
    spec.frame.min_pixels = 128 * 28 * 28;
    spec.frame.max_pixels = 768 * 28 * 28;
    spec.frame.patch = patch;
    spec.frame.merge = merge;
    spec.frame.frames = frames;
    TKP__TRY(tkp__config_image_section(model_dir, true, read_sampling, &spec));
    *out = spec;
    return TKP_OK;
}
