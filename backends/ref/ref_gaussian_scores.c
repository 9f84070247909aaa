/*
 * GAUSSIAN_SCORES: how near a token is to the middle of its video and of its
 * frame, in the channels that vary least.
 *
 *   y_i = the channels of x_i that are kept, over their length (0 stays 0)
 *   c   = mean of y over the video, f over the frame of i
 *   g(y, c) = sum over k = -3 .. 1 of exp(-|y - c|^2 / (2 2^k))
 *   dst[i] = g(y_i, c) + g(y_i, f), or one of them
 *
 * Source: VidCom2 (EMNLP 2025), which keeps the lower half of the channels by
 * their variance over all tokens of the video. Open choice: of channels that
 * vary alike, the first.
 */

#include "ref/ref.h"

enum { X, ROWS, OFFSETS, FRAMES, DST };
enum { SCRATCH_VARIANCE, SCRATCH_CHANNELS, SCRATCH_CENTRES, SCRATCH_INVERSE };

static tkp_status
plan_gaussian(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t d = args[X].shape[1], n = args[DST].shape[0];
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_VARIANCE, d, sizeof(double)));
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_CHANNELS, d, sizeof(int32_t)));
    TKP__TRY(
        tkp__ref_book(plan, ledger, SCRATCH_CENTRES, 2 * d, sizeof(double)));
    return tkp__ref_book(plan, ledger, SCRATCH_INVERSE, n, sizeof(double));
}

static tkp_status check_data(const tkp_tensor *args)
{
    const int64_t n = args[DST].shape[0];
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_covering(&args[OFFSETS], n, "offsets"));
    TKP__TRY(tkp__ref_check_covering(&args[FRAMES], n, "frame_offsets"));
    /* No frame lies in two videos. */
    const int32_t *video = tkp__ref_i32(&args[OFFSETS]);
    const int32_t *frame = tkp__ref_i32(&args[FRAMES]);
    int64_t b = 0;
    for (int64_t f = 0; f + 1 < args[FRAMES].shape[0]; f++) {
        while (b + 1 < args[OFFSETS].shape[0] && video[b + 1] <= frame[f])
            b++;
        TKP__CHECK(
            frame[f] == frame[f + 1] || frame[f + 1] <= video[b + 1],
            TKP_ERR_ARGUMENT,
            "frame_offsets: entry %lld is %d, beyond the video that ends at %d",
            (long long)f + 1, frame[f + 1], video[b + 1]);
    }
    return TKP_OK;
}

typedef struct video {
    const tkp_tensor *x;
    const int32_t *rows;
    int64_t width, channels;
    int32_t first, end;
    double *variance;  /* [width] */
    int32_t *channel;  /* [width] those that are kept lead, ascending */
    double *centre[2]; /* [channels] of the video, of a frame */
    double *inverse;   /* [N] 1 / length, or 0 */
} video;

static double value(const video *v, int32_t i, int64_t c)
{
    return (
        double)tkp__load_f32(tkp__ref_row(v->x, v->rows[i]), v->x->dtype, c);
}

static tkp_status find_variance(const video *v)
{
    const double n = (double)(v->end - v->first);
    for (int64_t c = 0; c < v->width; c++) {
        double mean = 0.0, sum = 0.0;
        for (int32_t i = v->first; i < v->end; i++)
            mean += value(v, i, c);
        mean /= n;
        for (int32_t i = v->first; i < v->end; i++) {
            const double d = value(v, i, c) - mean;
            sum += d * d;
        }
        TKP__CHECK(
            isfinite(sum), TKP_ERR_DATA,
            "x: channel %lld of candidates %d to %d is not finite",
            (long long)c, v->first, v->end - 1);
        v->variance[c] = sum;
    }
    return TKP_OK;
}

/* The kept channels: those before which fewer than `channels` come. */
static void choose_channels(const video *v)
{
    int64_t kept = 0;
    for (int64_t c = 0; c < v->width; c++) {
        int64_t before = 0;
        for (int64_t o = 0; o < v->width; o++)
            before += v->variance[o] < v->variance[c] ||
                      (v->variance[o] == v->variance[c] && o < c);
        if (before < v->channels)
            v->channel[kept++] = (int32_t)c;
    }
}

static void find_lengths(const video *v)
{
    for (int32_t i = v->first; i < v->end; i++) {
        double sum = 0.0;
        for (int64_t c = 0; c < v->channels; c++) {
            const double y = value(v, i, v->channel[c]);
            sum += y * y;
        }
        v->inverse[i] = sum > 0.0 ? 1.0 / sqrt(sum) : 0.0;
    }
}

static void find_centre(const video *v, int32_t first, int32_t end, double *dst)
{
    for (int64_t c = 0; c < v->channels; c++) {
        double sum = 0.0;
        for (int32_t i = first; i < end; i++)
            sum += value(v, i, v->channel[c]) * v->inverse[i];
        dst[c] = sum / (double)(end - first);
    }
}

static double gaussians(const video *v, int32_t i, const double *centre)
{
    double square = 0.0, sum = 0.0;
    for (int64_t c = 0; c < v->channels; c++) {
        const double d = value(v, i, v->channel[c]) * v->inverse[i] - centre[c];
        square += d * d;
    }
    for (int k = -3; k <= 1; k++)
        sum += exp(-square / (2.0 * ldexp(1.0, k)));
    return sum;
}

static tkp_status
run_gaussian(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_op_gaussian_scores *p = &plan->params.gaussian_scores;
    const bool by_video = p->centre != TKP_CENTRE_FRAME;
    const bool by_frame = p->centre != TKP_CENTRE_VIDEO;
    TKP__TRY(check_data(args));
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    const int32_t *frames = tkp__ref_i32(&args[FRAMES]);
    const int64_t width = args[X].shape[1];
    double *centres = tkp__ref_scratch(plan, workspace, SCRATCH_CENTRES);
    float *dst = tkp__data(&args[DST]);
    int64_t f = 0;
    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++) {
        const video v = {
            .x = &args[X],
            .rows = tkp__ref_i32(&args[ROWS]),
            .width = width,
            .channels = p->channels ? p->channels : width / 2,
            .first = offsets[b],
            .end = offsets[b + 1],
            .variance = tkp__ref_scratch(plan, workspace, SCRATCH_VARIANCE),
            .channel = tkp__ref_scratch(plan, workspace, SCRATCH_CHANNELS),
            .centre = {centres, centres + width},
            .inverse = tkp__ref_scratch(plan, workspace, SCRATCH_INVERSE),
        };
        if (v.first == v.end)
            continue;
        TKP__TRY(find_variance(&v));
        choose_channels(&v);
        find_lengths(&v);
        find_centre(&v, v.first, v.end, v.centre[0]);
        for (; f + 1 < args[FRAMES].shape[0] && frames[f] < v.end; f++) {
            if (frames[f] == frames[f + 1])
                continue;
            find_centre(&v, frames[f], frames[f + 1], v.centre[1]);
            for (int32_t i = frames[f]; i < frames[f + 1]; i++)
                dst[i] =
                    (float)((by_video ? gaussians(&v, i, v.centre[0]) : 0.0) + (by_frame ? gaussians(&v, i, v.centre[1]) : 0.0));
        }
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_gaussian_scores = {
    .kind = TKP_OP_GAUSSIAN_SCORES,
    .params_size = sizeof(tkp_op_gaussian_scores),
    .kernel = "ref_gaussian_scores",
    .plan = plan_gaussian,
    .run = run_gaussian,
};
