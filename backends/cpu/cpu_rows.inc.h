/*
 * Row kernels: each reads a row (or a few) once and writes one. Included by
 * one file for each instruction set.
 */

#include "cpu/cpu_kernels.h"
#include "cpu/cpu_vec.h"

/* --- elementwise --------------------------------------------------------- */

INLINE void
convert_row(void *dst, int32_t dd, const void *src, int32_t sd, int64_t n)
{
    for (int64_t i = 0; i < n; i += VW)
        vf_put_exact(dst, dd, i, n - i, vf_get(src, sd, i, n - i));
}

static void
convert(void *dst, int32_t dd, const void *src, int32_t sd, int64_t n)
{
    if (dd == sd) {
        memcpy(dst, src, (size_t)n * (dd == TKP_DTYPE_F32 ? 4 : 2));
        return;
    }
#define FROM(S)                                                                \
    do {                                                                       \
        if (dd == TKP_DTYPE_F32)                                               \
            convert_row(dst, TKP_DTYPE_F32, src, S, n);                        \
        else if (dd == TKP_DTYPE_BF16)                                         \
            convert_row(dst, TKP_DTYPE_BF16, src, S, n);                       \
        else                                                                   \
            convert_row(dst, TKP_DTYPE_F16, src, S, n);                        \
    } while (0)
    BY_DTYPE(sd, FROM);
#undef FROM
}

INLINE void add_row(
    void *dst,
    const void *a,
    int32_t ad,
    const void *b,
    int32_t bd,
    int64_t n)
{
    for (int64_t i = 0; i < n; i += VW)
        vf_put_exact(
            dst, ad, i, n - i,
            vf_get(a, ad, i, n - i) + vf_get(b, bd, i, n - i));
}

static void
add(void *dst, const void *a, int32_t ad, const void *b, int32_t bd, int64_t n)
{
#define SAME(A)  add_row(dst, a, A, b, A, n)
#define MIXED(A) add_row(dst, a, A, b, bd, n)
    if (ad == bd)
        BY_DTYPE(ad, SAME);
    else
        BY_DTYPE(ad, MIXED);
#undef SAME
#undef MIXED
}

/* --- activations --------------------------------------------------------- */

/* erfc(z) for z >= 0: t exp(p(t) - z^2), a Chebyshev fit in t good to 1.2e-7.
 * The rounding of the exponent shows where erfc is small beside 1. */
INLINE vf erfc_positive(vf z)
{
    static const float c[] = {
        0.17087277f,  -0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f,
        -0.18628806f, 0.09678418f,  0.37409196f, 1.00002368f,  -1.26551223f,
    };
    const vf t = 1.0f / (1.0f + 0.5f * z);
    vf p = vf_set(c[0]);
    for (int i = 1; i < 10; i++)
        p = vf_fma(p, t, vf_set(c[i]));
    return t * vf_exp(vf_fma(-z, z, p));
}

/* Each step that eager code makes a tensor of is rounded to the dtype. */
INLINE vf activate(vf x, int32_t function, int32_t dtype)
{
    if (function == TKP_ACTIVATION_SILU)
        return x / (1.0f + vf_exp(-x));
    if (function == TKP_ACTIVATION_QUICK_GELU) {
        const vf t = vf_round(1.702f * x, dtype);
        return x * vf_round(1.0f / (1.0f + vf_exp(-t)), dtype);
    }
    const vf c = erfc_positive(vf_abs(x) * 0.70710678118654752f);
    return 0.5f * x * vf_select((vi)(x < vf_set(0)), c, 2.0f - c);
}

INLINE void activation_row(
    void *dst,
    const void *a,
    const void *b,
    int32_t dtype,
    int32_t function,
    int64_t n)
{
    for (int64_t i = 0; i < n; i += VW) {
        vf y = activate(vf_get(a, dtype, i, n - i), function, dtype);
        if (b)
            y = vf_round(y, dtype) * vf_get(b, dtype, i, n - i);
        vf_put(dst, dtype, i, n - i, y);
    }
}

static void activation(
    void *dst,
    const void *a,
    const void *b,
    int32_t dtype,
    int32_t function,
    int64_t n)
{
#define SILU(D)  activation_row(dst, a, b, D, TKP_ACTIVATION_SILU, n)
#define GELU(D)  activation_row(dst, a, b, D, TKP_ACTIVATION_GELU, n)
#define QUICK(D) activation_row(dst, a, b, D, TKP_ACTIVATION_QUICK_GELU, n)
    if (function == TKP_ACTIVATION_SILU)
        BY_DTYPE(dtype, SILU);
    else if (function == TKP_ACTIVATION_GELU)
        BY_DTYPE(dtype, GELU);
    else
        BY_DTYPE(dtype, QUICK);
#undef SILU
#undef GELU
#undef QUICK
}

/* --- sums over a row ----------------------------------------------------- */

/* Four partial vectors hide the latency of an addition. */
#define LANES 4

enum row_sum { SUM_PLAIN, SUM_ABS, SUM_SQUARES };

INLINE float
sum_row(const void *x, int32_t dtype, int64_t n, enum row_sum what, float mean)
{
    vf s[LANES] = {0};
    int64_t i = 0;
#define TERM(S, V)                                                             \
    S = what == SUM_PLAIN ? S + (V)                                            \
        : what == SUM_ABS ? S + vf_abs(V)                                      \
                          : vf_fma((V)-mean, (V)-mean, S)
    for (; i + LANES * VW <= n; i += LANES * VW)
        for (int l = 0; l < LANES; l++) {
            const vf v = vf_get(x, dtype, i + l * VW, VW);
            TERM(s[l], v);
        }
    for (; i + VW <= n; i += VW) {
        const vf v = vf_get(x, dtype, i, VW);
        TERM(s[0], v);
    }
#undef TERM
    float sum = vf_sum((s[0] + s[1]) + (s[2] + s[3]));
    if (i == n)
        return sum;
    /* The tail apart: its empty lanes must not count as -mean. */
    const vf v = vf_get(x, dtype, i, n - i);
    for (int64_t l = 0; l < n - i; l++)
        sum += what == SUM_PLAIN ? v[l]
               : what == SUM_ABS ? (v[l] < 0 ? -v[l] : v[l])
                                 : (v[l] - mean) * (v[l] - mean);
    return sum;
}

static float sum_abs(const void *x, int32_t dtype, int64_t n)
{
    float sum = 0;
#define WORK(D) sum = sum_row(x, D, n, SUM_ABS, 0)
    BY_DTYPE(dtype, WORK);
#undef WORK
    return sum;
}

static float sum_squares(const void *x, int32_t dtype, int64_t n)
{
    float sum = 0;
#define WORK(D) sum = sum_row(x, D, n, SUM_SQUARES, 0)
    BY_DTYPE(dtype, WORK);
#undef WORK
    return sum;
}

INLINE void
dot_row(float *out, const void *x, int32_t dtype, const float *y, int64_t n)
{
    vf dot[LANES] = {0}, square[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES * VW <= n; i += LANES * VW)
        for (int l = 0; l < LANES; l++) {
            const vf v = vf_get(x, dtype, i + l * VW, VW);
            dot[l] = vf_fma(v, vf_load(y + i + l * VW), dot[l]);
            square[l] = vf_fma(v, v, square[l]);
        }
    for (; i < n; i += VW) {
        const vf v = vf_get(x, dtype, i, n - i);
        dot[0] = vf_fma(v, vf_get(y, TKP_DTYPE_F32, i, n - i), dot[0]);
        square[0] = vf_fma(v, v, square[0]);
    }
    out[0] = vf_sum((dot[0] + dot[1]) + (dot[2] + dot[3]));
    out[1] = vf_sum((square[0] + square[1]) + (square[2] + square[3]));
}

static void dot_and_square(
    float *out,
    const void *x,
    int32_t dtype,
    const float *y,
    int64_t n)
{
#define WORK(D) dot_row(out, x, D, y, n)
    BY_DTYPE(dtype, WORK);
#undef WORK
}

/* --- norms --------------------------------------------------------------- */

INLINE void rms_norm_row(
    void *dst,
    const void *x,
    int32_t dtype,
    const void *w,
    int32_t wd,
    float eps,
    int64_t n)
{
    const float sum = sum_row(x, dtype, n, SUM_SQUARES, 0);
    const float r =
        (float)(1.0 / __builtin_sqrt((double)sum / (double)n + (double)eps));
    for (int64_t i = 0; i < n; i += VW) {
        const vf v = vf_round(vf_get(x, dtype, i, n - i) * r, dtype);
        vf_put(dst, dtype, i, n - i, v * vf_get(w, wd, i, n - i));
    }
}

static void rms_norm(
    void *dst,
    const void *x,
    int32_t dtype,
    const void *w,
    int32_t wd,
    float eps,
    int64_t n)
{
#define SAME(D)  rms_norm_row(dst, x, D, w, D, eps, n)
#define MIXED(D) rms_norm_row(dst, x, D, w, wd, eps, n)
    if (dtype == wd)
        BY_DTYPE(dtype, SAME);
    else
        BY_DTYPE(dtype, MIXED);
#undef SAME
#undef MIXED
}

INLINE void layer_norm_row(
    void *dst,
    const void *x,
    int32_t dtype,
    const void *w,
    int32_t wd,
    const void *b,
    int32_t bd,
    float eps,
    int64_t n)
{
    const float mean = sum_row(x, dtype, n, SUM_PLAIN, 0) / (float)n;
    const float sum = sum_row(x, dtype, n, SUM_SQUARES, mean);
    const float r = 1.0f / __builtin_sqrtf(sum / (float)n + eps);
    for (int64_t i = 0; i < n; i += VW) {
        const vf v = (vf_get(x, dtype, i, n - i) - mean) * r;
        vf_put(
            dst, dtype, i, n - i,
            vf_fma(v, vf_get(w, wd, i, n - i), vf_get(b, bd, i, n - i)));
    }
}

static void layer_norm(
    void *dst,
    const void *x,
    int32_t dtype,
    const void *w,
    int32_t wd,
    const void *b,
    int32_t bd,
    float eps,
    int64_t n)
{
#define SAME(D)  layer_norm_row(dst, x, D, w, D, b, D, eps, n)
#define MIXED(D) layer_norm_row(dst, x, D, w, wd, b, bd, eps, n)
    if (dtype == wd && dtype == bd)
        BY_DTYPE(dtype, SAME);
    else
        BY_DTYPE(dtype, MIXED);
#undef SAME
#undef MIXED
}

/* --- rotary -------------------------------------------------------------- */

INLINE void rotary_row(
    void *dst,
    const void *x,
    int32_t dtype,
    const float *cosines,
    const float *sines,
    int64_t half)
{
    const size_t bytes = dtype == TKP_DTYPE_F32 ? 4 : 2;
    const char *x2 = (const char *)x + (size_t)half * bytes;
    char *dst2 = (char *)dst + (size_t)half * bytes;
    for (int64_t i = 0; i < half; i += VW) {
        const int64_t n = half - i;
        const vf c = vf_round(vf_get(cosines, TKP_DTYPE_F32, i, n), dtype);
        const vf s = vf_round(vf_get(sines, TKP_DTYPE_F32, i, n), dtype);
        const vf a = vf_get(x, dtype, i, n), b = vf_get(x2, dtype, i, n);
        const vf ac = vf_round(a * c, dtype), as = vf_round(a * s, dtype);
        const vf bc = vf_round(b * c, dtype), bs = vf_round(b * s, dtype);
        vf_put(dst, dtype, i, n, ac - bs);
        vf_put(dst2, dtype, i, n, bc + as);
    }
}

static void rotary(
    void *dst,
    const void *x,
    int32_t dtype,
    const float *cosines,
    const float *sines,
    int64_t half)
{
#define WORK(D) rotary_row(dst, x, D, cosines, sines, half)
    BY_DTYPE(dtype, WORK);
#undef WORK
}

/* --- accumulation -------------------------------------------------------- */

INLINE void
add_scaled_row(float *sum, const void *x, int32_t dtype, float scale, int64_t n)
{
    for (int64_t i = 0; i < n; i += VW) {
        const vf v = vf_get(x, dtype, i, n - i);
        const vf s = vf_get(sum, TKP_DTYPE_F32, i, n - i);
        vf_put(sum, TKP_DTYPE_F32, i, n - i, vf_fma(vf_set(scale), v, s));
    }
}

static void
add_scaled(float *sum, const void *x, int32_t dtype, float scale, int64_t n)
{
#define WORK(D) add_scaled_row(sum, x, D, scale, n)
    BY_DTYPE(dtype, WORK);
#undef WORK
}

/* NaN wins. */
INLINE void max_row(float *most, const void *x, int32_t dtype, int64_t n)
{
    for (int64_t i = 0; i < n; i += VW) {
        const vf v = vf_get(x, dtype, i, n - i);
        const vf m = vf_max(v, vf_get(most, TKP_DTYPE_F32, i, n - i));
        vf_put(most, TKP_DTYPE_F32, i, n - i, vf_select((vi)(v != v), v, m));
    }
}

static void take_max(float *most, const void *x, int32_t dtype, int64_t n)
{
#define WORK(D) max_row(most, x, D, n)
    BY_DTYPE(dtype, WORK);
#undef WORK
}

/* Products and sums are rounded one by one: each step keeps order, so that the
 * whole falls when a floor rises. */
static float
sum_above(const float *x, const float *floor, const float *w, int64_t n)
{
    vf s[4] = {0};
    const vf zero = {0}, one = vf_set(1.0f);
    int64_t i = 0;
    for (; i + 4 * VW <= n; i += 4 * VW)
#pragma GCC unroll 4
        for (int l = 0; l < 4; l++) {
            const vf more =
                vf_load(x + i + l * VW) - vf_load(floor + i + l * VW);
            const vf share = w ? vf_load(w + i + l * VW) : one;
            s[l] = s[l] + share * vf_max(more, zero);
        }
    for (; i < n; i += VW) {
        const int64_t left = n - i;
        const vf more = vf_get(x, TKP_DTYPE_F32, i, left) -
                        vf_get(floor, TKP_DTYPE_F32, i, left);
        const vf share = w ? vf_get(w, TKP_DTYPE_F32, i, left) : one;
        s[0] = s[0] + share * vf_max(more, zero);
    }
    return vf_sum((s[0] + s[1]) + (s[2] + s[3]));
}

static void moments(
    double *restrict sum,
    double *restrict squares,
    const float *restrict x,
    const float *restrict shift,
    int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)x[i] - (double)shift[i];
        sum[i] += d;
        squares[i] += d * d;
    }
}

/* --- softmax pieces ------------------------------------------------------ */

static float row_max(const float *x, int64_t n)
{
    vf most = vf_set(-__builtin_inff());
    int64_t i = 0;
    for (; i + VW <= n; i += VW)
        most = vf_max(vf_load(x + i), most);
    float m = vf_most(most);
    for (; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

static float exp_sum(float *x, float shift, int64_t n)
{
    vf s = {0};
    int64_t i = 0;
    for (; i + VW <= n; i += VW) {
        const vf e = vf_exp(vf_load(x + i) - shift);
        vf_store(x + i, e);
        s = s + e;
    }
    float sum = vf_sum(s);
    if (i < n) {
        const vf e = vf_exp(vf_load_part(x + i, n - i) - shift);
        vf_store_part(x + i, e, n - i);
        for (int64_t l = 0; l < n - i; l++)
            sum += e[l];
    }
    return sum;
}
