/*
 * CURVATURE, SEGMENTS and GAUSSIAN_SCORES: what videos are scored and cut by.
 * Points of a path are few, so that doubles cost nothing there.
 */

#include "cuda/dots.cuh"

static constexpr int THREADS = 256, WARPS = THREADS / TKP__WARP;

static __device__ double warp_sum(double v)
{
    return tkp__warp_reduce(v, tkp__sum());
}

/* --- curvature ---------------------------------------------------------------- */

/* A warp a point. */
template <class T>
static __global__ void curvature(
    const T *x,
    int64_t stride,
    int64_t width,
    const int32_t *offsets,
    int64_t paths,
    float *dst,
    int64_t points)
{
    const int64_t t = (int64_t)blockIdx.x * WARPS + threadIdx.x / TKP__WARP;
    const int lane = threadIdx.x % TKP__WARP;
    if (t >= points)
        return;
    const int64_t b = tkp__range_of(offsets, paths, t);
    if (t == offsets[b] || t + 1 == offsets[b + 1]) {
        if (lane == 0)
            dst[t] = 1.0f;
        return;
    }
    const T *row[3] = {
        x + (t - 1) * stride, x + t * stride, x + (t + 1) * stride};
    double by[3];
    for (int i = 0; i < 3; i++) {
        double sum = 0.0;
        for (int64_t c = lane; c < width; c += TKP__WARP) {
            const double v = (double)tkp__get(row[i][c]);
            sum += v * v;
        }
        sum = warp_sum(sum);
        by[i] = sqrt(sum);
    }
    const auto unit = [&](int i, int64_t c) {
        return by[i] > 0.0 ? (double)tkp__get(row[i][c]) / by[i] : 0.0;
    };
    double ab = 0.0, aa = 0.0, bb = 0.0;
    for (int64_t c = lane; c < width; c += TKP__WARP) {
        const double to = unit(1, c) - unit(0, c);
        const double from = unit(2, c) - unit(1, c);
        ab += to * from;
        aa += to * to;
        bb += from * from;
    }
    ab = warp_sum(ab);
    aa = warp_sum(aa);
    bb = warp_sum(bb);
    if (lane == 0)
        dst[t] =
            (float)(1.0 - (aa > 0.0 && bb > 0.0 ? ab / (sqrt(aa) * sqrt(bb)) : 0.0));
}

static tkp_status run_curvature(const tkp__cuda_run *r)
{
    const tkp_tensor *x = &r->args[0];
    return tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, curvature<T>, dim3(tkp__cuda_blocks(x->shape[0], WARPS)),
            THREADS, 0, tkp__cuda_arg<const T>(r, 0), x->strides[0],
            x->shape[1], tkp__cuda_arg<const int32_t>(r, 1),
            tkp__cuda_size(r, 1, 0) - 1, tkp__cuda_arg<float>(r, 2),
            x->shape[0]);
    });
}

const tkp__cuda_op tkp__cuda_curvature = {
    .kind = TKP_OP_CURVATURE,
    .kernel = "curvature",
    .run = run_curvature,
};

/* --- segments -------------------------------------------------------------------- */

namespace segments
{
enum { X, OFFSETS, DST };
enum { SCRATCH_LIKE };
} // namespace segments

template <class T>
static __global__ void transitions(
    const T *x,
    int64_t stride,
    int64_t width,
    float *like,
    int64_t points)
{
    const int64_t t = (int64_t)blockIdx.x * WARPS + threadIdx.x / TKP__WARP;
    const int lane = threadIdx.x % TKP__WARP;
    if (t + 1 >= points)
        return;
    double ab = 0.0, aa = 0.0, bb = 0.0;
    for (int64_t c = lane; c < width; c += TKP__WARP) {
        const double a = (double)tkp__get(x[t * stride + c]);
        const double b = (double)tkp__get(x[(t + 1) * stride + c]);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab = warp_sum(ab);
    aa = warp_sum(aa);
    bb = warp_sum(bb);
    if (lane == 0)
        like[t] =
            aa > 0.0 && bb > 0.0 ? (float)(ab / (sqrt(aa) * sqrt(bb))) : 0.0f;
}

/* Paths one after the other, since segments are numbered through all of them;
 * dst first says where one ends. */
static __global__ void
cut(const int32_t *offsets,
    int64_t paths,
    const float *like_of_all,
    int32_t *dst,
    tkp_op_segments p)
{
    int32_t segment = 0;
    for (int64_t b = 0; b < paths; b++) {
        const int32_t n = offsets[b + 1] - offsets[b];
        const float *like = like_of_all + offsets[b];
        int32_t *ends = dst + offsets[b];
        int32_t cuts = 0;
        for (int32_t t = 0; t + 1 < n; t++) {
            ends[t] = like[t] < p.threshold;
            cuts += ends[t];
        }
        for (; cuts + 1 < p.least && cuts + 1 < n; cuts++) {
            int32_t best = -1;
            for (int32_t t = 0; t + 1 < n; t++)
                if (!ends[t] && (best < 0 || like[t] < like[best]))
                    best = t;
            ends[best] = 1;
        }
        for (int32_t t = 0; t < n; t++) {
            const int32_t last = t + 1 == n || ends[t];
            ends[t] = segment;
            segment += last;
        }
    }
}

static tkp_status
plan_segments(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    return tkp__cuda_book(
        plan, ledger, segments::SCRATCH_LIKE, args[segments::X].shape[0],
        sizeof(float));
}

static tkp_status run_segments(const tkp__cuda_run *r)
{
    using namespace segments;
    const tkp_tensor *x = &r->args[X];
    float *like = tkp__cuda_scratch<float>(r, SCRATCH_LIKE);
    TKP__TRY(tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, transitions<T>, dim3(tkp__cuda_blocks(x->shape[0], WARPS)),
            THREADS, 0, tkp__cuda_arg<const T>(r, X), x->strides[0],
            x->shape[1], like, x->shape[0]);
    }));
    return tkp__cuda_launch(
        r, cut, dim3(1), 1, 0, tkp__cuda_arg<const int32_t>(r, OFFSETS),
        tkp__cuda_size(r, OFFSETS, 0) - 1, like, tkp__cuda_arg<int32_t>(r, DST),
        *tkp__cuda_params<tkp_op_segments>(r));
}

const tkp__cuda_op tkp__cuda_segments = {
    .kind = TKP_OP_SEGMENTS,
    .params_size = sizeof(tkp_op_segments),
    .kernel = "segments",
    .plan = plan_segments,
    .run = run_segments,
};

/* --- nearness to the means of video and frame ---------------------------------------- */

namespace gaussian
{
enum { X, ROWS, OFFSETS, FRAMES, DST };
enum { SCRATCH_VARIANCE, SCRATCH_KEPT, SCRATCH_INVERSE, SCRATCH_CENTRES };
} // namespace gaussian

/* Tokens of a video, and channels of a strip; a thread a channel. */
template <class T>
static __global__ void channel_variance(
    const T *x,
    int64_t stride,
    int64_t width,
    const int32_t *rows,
    const int32_t *offsets,
    double *variance)
{
    const int64_t b = blockIdx.y, c = tkp__thread();
    const int32_t first = offsets[b], end = offsets[b + 1];
    if (c >= width || first == end)
        return;
    double mean = 0.0, sum = 0.0;
    for (int32_t i = first; i < end; i++)
        mean += (double)tkp__get(x[rows[i] * stride + c]);
    mean /= (double)(end - first);
    for (int32_t i = first; i < end; i++) {
        const double d = (double)tkp__get(x[rows[i] * stride + c]) - mean;
        sum += d * d;
    }
    variance[b * width + c] = sum;
}

static __global__ void keep_channels(
    const double *variance_of_all,
    unsigned char *kept,
    int64_t width,
    int64_t channels)
{
    const int64_t b = blockIdx.y, c = tkp__thread();
    if (c >= width)
        return;
    const double *variance = variance_of_all + b * width;
    int64_t before = 0;
    for (int64_t o = 0; o < width; o++)
        before +=
            variance[o] < variance[c] || (variance[o] == variance[c] && o < c);
    kept[b * width + c] = before < channels;
}

template <class T>
static __global__ void kept_lengths(
    const T *x,
    int64_t stride,
    int64_t width,
    const int32_t *rows,
    const int32_t *offsets,
    int64_t videos,
    const unsigned char *kept,
    double *inverse,
    int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / TKP__WARP;
    if (i >= n)
        return;
    const int64_t b = tkp__range_of(offsets, videos, i);
    double sum = 0.0;
    for (int64_t c = threadIdx.x % TKP__WARP; c < width; c += TKP__WARP)
        if (kept[b * width + c]) {
            const double v = (double)tkp__get(x[rows[i] * stride + c]);
            sum += v * v;
        }
    sum = warp_sum(sum);
    if (threadIdx.x % TKP__WARP == 0)
        inverse[i] = sum > 0.0 ? 1.0 / sqrt(sum) : 0.0;
}

/* Means of the unit rows of each range. */
template <class T>
static __global__ void centres_of(
    const T *x,
    int64_t stride,
    int64_t width,
    const int32_t *rows,
    const int32_t *ranges,
    const double *inverse,
    double *centres)
{
    const int64_t f = blockIdx.y, c = tkp__thread();
    const int32_t first = ranges[f], end = ranges[f + 1];
    if (c >= width || first == end)
        return;
    double sum = 0.0;
    for (int32_t i = first; i < end; i++)
        sum += (double)tkp__get(x[rows[i] * stride + c]) * inverse[i];
    centres[f * width + c] = sum / (double)(end - first);
}

static __device__ double gaussians(double square)
{
    double sum = 0.0;
    for (int k = -3; k <= 1; k++)
        sum += exp(-square / (2.0 * ldexp(1.0, k)));
    return sum;
}

template <class T>
static __global__ void gaussian_scores(
    const T *x,
    int64_t stride,
    int64_t width,
    const int32_t *rows,
    const int32_t *offsets,
    int64_t videos,
    const int32_t *frames,
    int64_t frame_count,
    const unsigned char *kept,
    const double *inverse,
    const double *centres, /* of videos, then of frames */
    float *dst,
    int64_t n,
    int32_t which)
{
    const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / TKP__WARP;
    if (i >= n)
        return;
    const int64_t b = tkp__range_of(offsets, videos, i);
    const int64_t f = tkp__range_of(frames, frame_count, i);
    const double *video = centres + b * width;
    const double *frame = centres + (videos + f) * width;
    double to_video = 0.0, to_frame = 0.0;
    for (int64_t c = threadIdx.x % TKP__WARP; c < width; c += TKP__WARP) {
        if (!kept[b * width + c])
            continue;
        const double y = (double)tkp__get(x[rows[i] * stride + c]) * inverse[i];
        to_video += (y - video[c]) * (y - video[c]);
        to_frame += (y - frame[c]) * (y - frame[c]);
    }
    to_video = warp_sum(to_video);
    to_frame = warp_sum(to_frame);
    if (threadIdx.x % TKP__WARP != 0)
        return;
    double value = 0.0;
    if (which != TKP_CENTRE_FRAME)
        value += gaussians(to_video);
    if (which != TKP_CENTRE_VIDEO)
        value += gaussians(to_frame);
    dst[i] = (float)value;
}

static tkp_status
plan_gaussian(tkp__cuda_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    using namespace gaussian;
    const int64_t width = args[X].shape[1];
    const int64_t videos = args[OFFSETS].shape[0] - 1;
    const int64_t frames = args[FRAMES].shape[0] - 1;
    TKP__TRY(tkp__cuda_book(
        plan, ledger, SCRATCH_VARIANCE, videos * width, sizeof(double)));
    TKP__TRY(tkp__cuda_book(plan, ledger, SCRATCH_KEPT, videos * width, 1));
    TKP__TRY(tkp__cuda_book(
        plan, ledger, SCRATCH_INVERSE, args[ROWS].shape[0], sizeof(double)));
    return tkp__cuda_book(
        plan, ledger, SCRATCH_CENTRES, (videos + frames) * width,
        sizeof(double));
}

static tkp_status run_gaussian(const tkp__cuda_run *r)
{
    using namespace gaussian;
    const tkp_op_gaussian_scores *p =
        tkp__cuda_params<tkp_op_gaussian_scores>(r);
    const tkp_tensor *x = &r->args[X];
    const int64_t width = x->shape[1], stride = x->strides[0];
    const int64_t videos = tkp__cuda_size(r, OFFSETS, 0) - 1;
    const int64_t frames = tkp__cuda_size(r, FRAMES, 0) - 1;
    const int64_t n = tkp__cuda_size(r, DST, 0);
    const int64_t channels = p->channels ? p->channels : width / 2;
    const unsigned strips = tkp__cuda_blocks(width, THREADS);
    const unsigned warps = tkp__cuda_blocks(n, WARPS);
    double *variance = tkp__cuda_scratch<double>(r, SCRATCH_VARIANCE);
    unsigned char *kept = tkp__cuda_scratch<unsigned char>(r, SCRATCH_KEPT);
    double *inverse = tkp__cuda_scratch<double>(r, SCRATCH_INVERSE);
    double *centres = tkp__cuda_scratch<double>(r, SCRATCH_CENTRES);
    const int32_t *rows = tkp__cuda_arg<const int32_t>(r, ROWS);
    const int32_t *offsets = tkp__cuda_arg<const int32_t>(r, OFFSETS);
    const int32_t *ranges = tkp__cuda_arg<const int32_t>(r, FRAMES);
    return tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        const T *data = tkp__cuda_arg<const T>(r, X);
        const dim3 by_video(strips, (unsigned)videos);
        const dim3 by_frame(strips, (unsigned)frames);
        TKP__TRY(tkp__cuda_launch(
            r, channel_variance<T>, by_video, THREADS, 0, data, stride, width,
            rows, offsets, variance));
        TKP__TRY(tkp__cuda_launch(
            r, keep_channels, by_video, THREADS, 0, variance, kept, width,
            channels));
        TKP__TRY(tkp__cuda_launch(
            r, kept_lengths<T>, dim3(warps), THREADS, 0, data, stride, width,
            rows, offsets, videos, kept, inverse, n));
        TKP__TRY(tkp__cuda_launch(
            r, centres_of<T>, by_video, THREADS, 0, data, stride, width, rows,
            offsets, inverse, centres));
        TKP__TRY(tkp__cuda_launch(
            r, centres_of<T>, by_frame, THREADS, 0, data, stride, width, rows,
            ranges, inverse, centres + videos * width));
        return tkp__cuda_launch(
            r, gaussian_scores<T>, dim3(warps), THREADS, 0, data, stride, width,
            rows, offsets, videos, ranges, frames, kept, inverse, centres,
            tkp__cuda_arg<float>(r, DST), n, p->centre);
    });
}

const tkp__cuda_op tkp__cuda_gaussian_scores = {
    .kind = TKP_OP_GAUSSIAN_SCORES,
    .params_size = sizeof(tkp_op_gaussian_scores),
    .kernel = "gaussian_scores",
    .plan = plan_gaussian,
    .run = run_gaussian,
};
