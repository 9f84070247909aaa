/*
 * Which frames of a video Qwen2-VL is shown, and how large: the rules of
 * transformers' Qwen2VLVideoProcessor (sample_frames; resize with
 * cap_pixels_per_frame, as Qwen's own helper bounds them), in the order of its
 * operations on f64.
 */

#include "mllm/image/image_codec.h"

#include <math.h>

static tkp_status check_spec(const tkp__video_spec *s)
{
    TKP__CHECK(
        s->frame.frames >= 1 && s->frames >= 0 && s->min_frames >= 1 &&
            s->max_frames >= 1 && s->max_tokens >= 1 && isfinite(s->fps) &&
            (s->fps > 0.0 || s->frames > 0),
        TKP_ERR_OPTION,
        "video: %g frames a second, %lld in all, %lld to %lld, %lld a patch, "
        "%lld tokens; wanted 1 or more of each, and one of the first two",
        s->fps, (long long)s->frames, (long long)s->min_frames,
        (long long)s->max_frames, (long long)s->frame.frames,
        (long long)s->max_tokens);
    return TKP_OK;
}

/* Whole patches in time; ties of a number asked for go to the even one. */
static double frames_wanted(const tkp__video_spec *s, int64_t total, double fps)
{
    const double step = (double)s->frame.frames, all = (double)total;
    if (s->frames > 0)
        return rint((double)s->frames / step) * step;
    const double most = floor(fmin((double)s->max_frames, all) / step) * step;
    const double wanted = all / fps * s->fps;
    const double bounded =
        fmin(fmin(fmax(wanted, (double)s->min_frames), most), all);
    return floor(bounded / step) * step;
}

tkp_status tkp__video_sample(
    int64_t *count,
    int64_t *chosen,
    const tkp__video_spec *spec,
    int64_t total,
    double fps)
{
    TKP__CHECK(count && spec, TKP_ERR_ARGUMENT, "video: count or spec is NULL");
    TKP__TRY(check_spec(spec));
    TKP__CHECK(
        total >= 1 && total <= INT32_MAX, TKP_ERR_ARGUMENT,
        "video: %lld frames, wanted 1..%d", (long long)total, INT32_MAX);
    TKP__CHECK(
        spec->frames > 0 || (isfinite(fps) && fps > 0.0), TKP_ERR_ARGUMENT,
        "video: %g frames a second, wanted above 0", fps);
    const double wanted = frames_wanted(spec, total, fps);
    TKP__CHECK(
        wanted >= 1.0 && wanted <= (double)total, TKP_ERR_ARGUMENT,
        "video: %g of %lld frames are to be looked at, wanted at least %lld "
        "and no more than there are",
        wanted, (long long)total, (long long)spec->frame.frames);
    const double step = (double)total / wanted;
    const int64_t n = (int64_t)wanted;
    /* Through f32, as torch.arange counts: a product that is a hair below a
     * whole number is that number. */
    for (int64_t i = 0; chosen && i < n; i++)
        chosen[i] = (int64_t)(float)((double)i * step);
    *count = n;
    return TKP_OK;
}

tkp_status tkp__video_frame_spec(
    tkp__image_spec *out,
    const tkp__video_spec *spec,
    int64_t count)
{
    TKP__TRY(check_spec(spec));
    TKP__CHECK(
        count >= 1, TKP_ERR_ARGUMENT, "video: %lld frames, wanted 1 or more",
        (long long)count);
    const tkp__image_spec *frame = &spec->frame;
    const double factor = (double)(frame->patch * frame->merge);
    const double all = floor((double)spec->max_tokens * factor * factor * 0.9);
    const double share = floor(all * (double)frame->frames / (double)count);
    const double least = floor((double)frame->min_pixels * 1.05);
    *out = *frame;
    out->max_pixels =
        (int64_t)fmax(fmin((double)frame->max_pixels, share), least);
    return TKP_OK;
}
