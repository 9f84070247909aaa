/*
 * TEMPORAL, GAUSSIAN_SCORES: tokens of a video against the frame before, and
 * against the middle of their frame and of the video.
 */

#include <math.h>
#include <omp.h>

#include "cpu/cpu.h"

/* --- TEMPORAL ---------------------------------------------------------------- */

struct temporal_plan {
    tkp__cpu_plan base;
    float first, threshold;
    uint64_t row_at, row_bytes; /* of each thread: one row as f32 */
};

static tkp_status plan_temporal(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct temporal_plan *p = (struct temporal_plan *)base;
    (void)kernel_out;
    const tkp_op_temporal *o = desc->params;
    p->first = o->threshold > 0.0f ? 1.0f : o->first;
    p->threshold = o->threshold;
    p->row_bytes = ((uint64_t)desc->args[0].shape[1] * 4 + 63) / 64 * 64;
    return tkp_sys_ledger_book(
        ledger, p->row_bytes * (uint64_t)base->threads, &p->row_at);
}

/* Equal rows are exactly alike, whatever the sums are rounded to. */
static float cosine(
    const tkp__cpu_kernels *k,
    const char *a,
    const char *b,
    int32_t dtype,
    int64_t d,
    float *row)
{
    float ab_aa[2];
    k->convert(row, TKP_DTYPE_F32, b, dtype, d);
    const double bb = (double)k->sum_squares(row, TKP_DTYPE_F32, d);
    k->dot_and_square(ab_aa, a, dtype, row, d);
    const double aa = (double)ab_aa[1];
    if (aa == 0.0 || bb == 0.0)
        return 0.0f;
    if (memcmp(a, b, (size_t)d * tkp__cpu_bytes(dtype)) == 0)
        return (float)(bb / aa * 0.0 + 1.0); /* no number stays none */
    return (
        float)((double)ab_aa[0] / (__builtin_sqrt(aa) * __builtin_sqrt(bb)));
}

static tkp_status run_temporal(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    enum { X, ROWS, BEFORE, DST };
    const struct temporal_plan *p = (const struct temporal_plan *)base;
    const tkp_tensor *a = r->args;
    const int64_t n = a[DST].shape[0], d = a[X].shape[1];
    const size_t bytes = tkp__cpu_bytes(a[X].dtype);
    const int32_t *rows = tkp__cpu_i32(&a[ROWS]);
    const int32_t *before = tkp__cpu_i32(&a[BEFORE]);
    float *dst = tkp__data(&a[DST]);
    int64_t wrong = INT64_MAX;
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[X].shape[0], "rows"));
    for (int64_t i = 0; i < n; i++)
        TKP__CHECK(
            before[i] >= -1 && before[i] < n, TKP_ERR_ARGUMENT,
            "before: entry %lld is %d, wanted -1 to %lld", (long long)i,
            before[i], (long long)n - 1);
#pragma omp parallel for num_threads(base->threads)                            \
    reduction(min                                                              \
              : wrong) if (tkp__cpu_worth_threads(n * d))
    for (int64_t i = 0; i < n; i++) {
        const int64_t other = before[i] < 0 ? i : before[i];
        const uint64_t own = (uint64_t)omp_get_thread_num() * p->row_bytes;
        float *row = (float *)(void *)(r->workspace + p->row_at + own);
        const float s = cosine(
            base->kernels, tkp__cpu_row(&a[X], rows[i], bytes),
            tkp__cpu_row(&a[X], rows[other], bytes), a[X].dtype, d, row);
        dst[i] = before[i] < 0         ? p->first
                 : p->threshold > 0.0f ? (s >= p->threshold ? 0.0f : 1.0f)
                                       : 1.0f - s;
        if (!__builtin_isfinite(s))
            wrong = tkp__cpu_min(wrong, i);
    }
    TKP__CHECK(
        wrong == INT64_MAX, TKP_ERR_DATA,
        "x: the cosine of candidate %lld and the one before is not finite",
        (long long)wrong);
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_temporal = {
    .kind = TKP_OP_TEMPORAL,
    .plan_bytes = sizeof(struct temporal_plan),
    .supports = NULL,
    .plan = plan_temporal,
    .run = run_temporal,
    .destroy = NULL,
};

/* --- GAUSSIAN_SCORES --------------------------------------------------------- */

enum { X, ROWS, OFFSETS, FRAMES, DST };
enum { BLOCK = 256 }; /* channels that are summed at a time */

/*
 * A channel that is left out has a mask of 0; rows stay where they are. With
 * |y| = 1 or 0 a distance to a mean c is |y|^2 + |c|^2 - 2 y . c.
 */
struct gaussian_plan {
    tkp__cpu_plan base;
    int32_t centre;
    int32_t channels;           /* 0 = half of those there are */
    uint64_t variance_at;       /* [D] f64, and a copy */
    uint64_t mask_at;           /* [D] f32 */
    uint64_t inverse_at;        /* [N] f32 1 / length, or 0 */
    uint64_t video_at;          /* [D] f32 */
    uint64_t frames_at;         /* [F, D] f32 */
    uint64_t row_at, row_bytes; /* of each thread: a row in f32, sums in f64 */
};

static tkp_status plan_gaussian(
    tkp__cpu_plan *base,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc)
{
    struct gaussian_plan *p = (struct gaussian_plan *)base;
    const tkp_op_gaussian_scores *o = desc->params;
    const uint64_t d = (uint64_t)desc->args[X].shape[1];
    (void)kernel_out;
    p->centre = o->centre;
    p->channels = o->channels;
    p->row_bytes = (d * 12 + 63) / 64 * 64;
    TKP__TRY(tkp_sys_ledger_book(ledger, d * 16, &p->variance_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, d * 4, &p->mask_at));
    TKP__TRY(tkp_sys_ledger_book(
        ledger, (uint64_t)desc->args[DST].shape[0] * 4, &p->inverse_at));
    TKP__TRY(tkp_sys_ledger_book(ledger, d * 4, &p->video_at));
    TKP__TRY(tkp_sys_ledger_book(
        ledger, (uint64_t)desc->args[FRAMES].shape[0] * d * 4, &p->frames_at));
    return tkp_sys_ledger_book(
        ledger, p->row_bytes * (uint64_t)base->threads, &p->row_at);
}

typedef struct video {
    const struct gaussian_plan *p;
    const tkp_tensor *a;
    const tkp__cpu_kernels *k;
    char *workspace;
    int32_t first, end;
    int64_t frame, frames; /* from `frame` to `frames` */
    int64_t d;
    double *variance, *sorted;
    float *mask, *inverse, *centre, *centres;
} video;

static const char *row_of(const video *v, int32_t i)
{
    return tkp__cpu_row(
        &v->a[X], tkp__cpu_i32(&v->a[ROWS])[i], tkp__cpu_bytes(v->a[X].dtype));
}

/* Row i from channel `from` on, as f32. */
static void take(const video *v, int32_t i, int64_t from, int64_t n, float *dst)
{
    v->k->convert(
        dst, TKP_DTYPE_F32,
        row_of(v, i) + (size_t)from * tkp__cpu_bytes(v->a[X].dtype),
        v->a[X].dtype, n);
}

/* About the first row, so that channels that do not vary come to 0. */
static void sum_block(const video *v, int64_t from, int64_t n)
{
    double sum[BLOCK] = {0}, squares[BLOCK] = {0};
    float x[BLOCK], shift[BLOCK];
    take(v, v->first, from, n, shift);
    for (int32_t i = v->first; i < v->end; i++) {
        take(v, i, from, n, x);
        v->k->moments(sum, squares, x, shift, n);
    }
    for (int64_t c = 0; c < n; c++) {
        const double variance =
            squares[c] - sum[c] * sum[c] / (double)(v->end - v->first);
        v->variance[from + c] = variance < 0.0 ? 0.0 : variance;
    }
}

/* The k-th smallest of n, from 0; the list is shuffled about. */
static double kth(double *list, int64_t n, int64_t k)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        const double pivot = list[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (list[i] < pivot)
                i++;
            while (list[j] > pivot)
                j--;
            if (i <= j) {
                const double other = list[i];
                list[i++] = list[j];
                list[j--] = other;
            }
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            break;
    }
    return list[k];
}

static tkp_status choose_channels(const video *v)
{
    const int64_t work = v->d * (v->end - v->first);
#pragma omp parallel for num_threads(                                          \
    v->p->base.threads) if (tkp__cpu_worth_threads(work))
    for (int64_t from = 0; from < v->d; from += BLOCK)
        sum_block(v, from, tkp__cpu_min(BLOCK, v->d - from));
    const int64_t kept = v->p->channels ? v->p->channels : v->d / 2;
    for (int64_t c = 0; c < v->d; c++)
        TKP__CHECK(
            __builtin_isfinite(v->variance[c]), TKP_ERR_DATA,
            "x: channel %lld of candidates %d to %d is not finite",
            (long long)c, v->first, v->end - 1);
    if (kept == 0) {
        memset(v->mask, 0, (size_t)v->d * sizeof(*v->mask));
        return TKP_OK;
    }
    memcpy(v->sorted, v->variance, (size_t)v->d * sizeof(*v->sorted));
    const double limit = kth(v->sorted, v->d, kept - 1);
    int64_t left = kept; /* for those at the limit: the first of them */
    for (int64_t c = 0; c < v->d; c++)
        left -= v->variance[c] < limit;
    for (int64_t c = 0; c < v->d; c++) {
        const bool at = v->variance[c] == limit && left > 0;
        v->mask[c] = at || v->variance[c] < limit ? 1.0f : 0.0f;
        left -= at;
    }
    return TKP_OK;
}

static char *scratch(const video *v)
{
    return v->workspace + v->p->row_at +
           (uint64_t)omp_get_thread_num() * v->p->row_bytes;
}

/* Lengths of a frame's rows, and their mean. */
static void mean_frame(const video *v, int64_t f)
{
    const int32_t *frames = tkp__cpu_i32(&v->a[FRAMES]);
    const int32_t n = frames[f + 1] - frames[f];
    float *x = (float *)(void *)scratch(v);
    float *centre = v->centres + f * v->d;
    memset(centre, 0, (size_t)v->d * sizeof(*centre));
    for (int32_t i = frames[f]; i < frames[f + 1]; i++) {
        take(v, i, 0, v->d, x);
        for (int64_t c = 0; c < v->d; c++)
            x[c] *= v->mask[c];
        const double square = (double)v->k->sum_squares(x, TKP_DTYPE_F32, v->d);
        v->inverse[i] =
            square > 0.0 ? (float)(1.0 / __builtin_sqrt(square)) : 0.0f;
        v->k->add_scaled(centre, x, TKP_DTYPE_F32, v->inverse[i], v->d);
    }
    for (int64_t c = 0; n && c < v->d; c++)
        centre[c] /= (float)n;
}

static void mean_video(const video *v)
{
    const int32_t *frames = tkp__cpu_i32(&v->a[FRAMES]);
    double *sum = (double *)(void *)scratch(v);
    memset(sum, 0, (size_t)v->d * sizeof(*sum));
    for (int64_t f = v->frame; f < v->frames; f++) {
        const double n = (double)(frames[f + 1] - frames[f]);
        for (int64_t c = 0; c < v->d; c++)
            sum[c] += n * (double)v->centres[f * v->d + c];
    }
    for (int64_t c = 0; c < v->d; c++)
        v->centre[c] = (float)(sum[c] / (double)(v->end - v->first));
}

static double gaussians(const video *v, int32_t i, const float *c, double cc)
{
    float xc_xx[2];
    v->k->dot_and_square(xc_xx, row_of(v, i), v->a[X].dtype, c, v->d);
    const double one = v->inverse[i] != 0.0f ? 1.0 : 0.0;
    const double square =
        one + cc - 2.0 * (double)xc_xx[0] * (double)v->inverse[i];
    double sum = 0.0;
    for (double width = 0.25; width < 5.0; width *= 2.0)
        sum += exp(-(square > 0.0 ? square : 0.0) / width);
    return sum;
}

static void score_frame(const video *v, int64_t f, double video_square)
{
    const int32_t *frames = tkp__cpu_i32(&v->a[FRAMES]);
    const float *centre = v->centres + f * v->d;
    const double square =
        (double)v->k->sum_squares(centre, TKP_DTYPE_F32, v->d);
    float *dst = tkp__data(&v->a[DST]);
    for (int32_t i = frames[f]; i < frames[f + 1]; i++) {
        double sum = 0.0;
        if (v->p->centre != TKP_CENTRE_FRAME)
            sum += gaussians(v, i, v->centre, video_square);
        if (v->p->centre != TKP_CENTRE_VIDEO)
            sum += gaussians(v, i, centre, square);
        dst[i] = (float)sum;
    }
}

static tkp_status score_video(const video *v)
{
    TKP__TRY(choose_channels(v));
    const bool many = tkp__cpu_worth_threads(v->d * (v->end - v->first));
#pragma omp parallel for num_threads(v->p->base.threads)                       \
    schedule(dynamic, 1) if (many)
    for (int64_t f = v->frame; f < v->frames; f++)
        mean_frame(v, f);
    mean_video(v);
    const double square =
        (double)v->k->sum_squares(v->centre, TKP_DTYPE_F32, v->d);
#pragma omp parallel for num_threads(v->p->base.threads)                       \
    schedule(dynamic, 1) if (many)
    for (int64_t f = v->frame; f < v->frames; f++)
        score_frame(v, f, square);
    return TKP_OK;
}

static tkp_status check_frames(const tkp_tensor *a)
{
    const int64_t n = a[DST].shape[0];
    TKP__TRY(tkp__cpu_check_index(&a[ROWS], n, a[X].shape[0], "rows"));
    TKP__TRY(tkp__cpu_check_covering(&a[OFFSETS], n, "offsets"));
    TKP__TRY(tkp__cpu_check_covering(&a[FRAMES], n, "frame_offsets"));
    const int32_t *videos = tkp__cpu_i32(&a[OFFSETS]);
    const int32_t *frame = tkp__cpu_i32(&a[FRAMES]);
    int64_t b = 0;
    for (int64_t f = 0; f + 1 < a[FRAMES].shape[0]; f++) {
        while (b + 1 < a[OFFSETS].shape[0] && videos[b + 1] <= frame[f])
            b++;
        TKP__CHECK(
            frame[f] == frame[f + 1] || frame[f + 1] <= videos[b + 1],
            TKP_ERR_ARGUMENT,
            "frame_offsets: entry %lld is %d, beyond the video that ends at %d",
            (long long)f + 1, frame[f + 1], videos[b + 1]);
    }
    return TKP_OK;
}

static tkp_status run_gaussian(const tkp__cpu_plan *base, const tkp__cpu_run *r)
{
    const struct gaussian_plan *p = (const struct gaussian_plan *)base;
    const tkp_tensor *a = r->args;
    const int32_t *offsets = tkp__cpu_i32(&a[OFFSETS]);
    const int32_t *frames = tkp__cpu_i32(&a[FRAMES]);
    TKP__TRY(check_frames(a));
    int64_t f = 0;
    for (int64_t b = 0; b + 1 < a[OFFSETS].shape[0]; b++) {
        video v = {
            .p = p,
            .a = a,
            .k = base->kernels,
            .workspace = r->workspace,
            .first = offsets[b],
            .end = offsets[b + 1],
            .frame = f,
            .d = a[X].shape[1],
            .variance = (double *)(void *)(r->workspace + p->variance_at),
            .sorted = (double *)(void *)(r->workspace + p->variance_at) +
                      a[X].shape[1],
            .mask = (float *)(void *)(r->workspace + p->mask_at),
            .inverse = (float *)(void *)(r->workspace + p->inverse_at),
            .centre = (float *)(void *)(r->workspace + p->video_at),
            .centres = (float *)(void *)(r->workspace + p->frames_at),
        };
        while (f + 1 < a[FRAMES].shape[0] && frames[f] < v.end)
            f++;
        v.frames = f;
        if (v.first < v.end)
            TKP__TRY(score_video(&v));
    }
    return TKP_OK;
}

const tkp__cpu_op tkp__cpu_op_gaussian_scores = {
    .kind = TKP_OP_GAUSSIAN_SCORES,
    .plan_bytes = sizeof(struct gaussian_plan),
    .supports = NULL,
    .plan = plan_gaussian,
    .run = run_gaussian,
    .destroy = NULL,
};
