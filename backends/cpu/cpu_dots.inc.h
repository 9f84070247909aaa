/*
 * Thin products, bound by the reading of one operand: a few rows of x against
 * many rows of weights, and a few queries against many keys. Included by one
 * file for each instruction set, after cpu_rows.inc.h.
 */

#if defined(__AVX512BF16__)
#    define HAVE_BF16_DOTS 1
/* sum += products of 16 pairs */
INLINE vf vf_dot_bf16(vf sum, const uint16_t *a, const uint16_t *b)
{
    return (vf)_mm512_dpbf16_ps(
        (__m512)sum, (__m512bh)_mm512_loadu_si512(a),
        (__m512bh)_mm512_loadu_si512(b));
}
INLINE vf
vf_dot_bf16_part(vf sum, const uint16_t *a, const uint16_t *b, int64_t n)
{
    const __mmask32 mask = (__mmask32)((1u << n) - 1u);
    return (vf)_mm512_dpbf16_ps(
        (__m512)sum, (__m512bh)_mm512_maskz_loadu_epi16(mask, a),
        (__m512bh)_mm512_maskz_loadu_epi16(mask, b));
}
#else
#    define HAVE_BF16_DOTS 0
#endif

/* Elements that one step of a dot product takes. `pairs` is a constant. */
#define STEP(pairs) ((pairs) ? 2 * VW : VW)

/* sum += x[i ..] . w[i ..], `left` elements of which are there. */
INLINE vf dot_step(
    vf sum,
    const void *x,
    const void *w,
    int32_t wd,
    int pairs,
    int64_t i,
    int64_t left)
{
#if HAVE_BF16_DOTS
    if (pairs) {
        const uint16_t *a = (const uint16_t *)x + i;
        const uint16_t *b = (const uint16_t *)w + i;
        return left >= 2 * VW ? vf_dot_bf16(sum, a, b)
                              : vf_dot_bf16_part(sum, a, b, left);
    }
#else
    (void)pairs;
#endif
    return vf_fma(
        vf_get(x, TKP_DTYPE_F32, i, left), vf_get(w, wd, i, left), sum);
}

/* --- linear ------------------------------------------------------------ */

/* One output: round, add the residual, round again. */
INLINE void skinny_put(const tkp__cpu_skinny *a, int64_t m, int64_t n, float y)
{
    if (a->bias)
        y += tkp__load_f32(a->bias, a->bias_dtype, n);
    if (a->residual) {
        if (a->d_dtype == TKP_DTYPE_BF16)
            y = tkp__bf16_to_f32(tkp__f32_to_bf16(y));
        y += tkp__load_f32(a->residual, a->d_dtype, m * a->ldr + n);
    }
    tkp__store_f32(a->dst, a->d_dtype, m * a->ldd + n, y);
}

/* m rows of x against nr rows of w, both constant: nr * m <= 16 sums. */
INLINE void skinny_tile(
    const tkp__cpu_skinny *a,
    int64_t n0,
    int nr,
    int m,
    int32_t wd,
    int pairs)
{
    const size_t wb = wd == TKP_DTYPE_F32 ? 4 : 2, xb = pairs ? 2 : 4;
    const char *w = (const char *)a->w + (size_t)(n0 * a->ldw) * wb;
    const char *x = a->x;
    vf s[16] = {0};
    int64_t i = 0;
    for (; i + STEP(pairs) <= a->k; i += STEP(pairs))
#pragma GCC unroll 8
        for (int r = 0; r < nr; r++)
#pragma GCC unroll 8
            for (int j = 0; j < m; j++)
                s[r * m + j] = dot_step(
                    s[r * m + j], x + (size_t)(j * a->ldx) * xb,
                    w + (size_t)(r * a->ldw) * wb, wd, pairs, i, STEP(pairs));
    if (i < a->k)
        for (int r = 0; r < nr; r++)
            for (int j = 0; j < m; j++)
                s[r * m + j] = dot_step(
                    s[r * m + j], x + (size_t)(j * a->ldx) * xb,
                    w + (size_t)(r * a->ldw) * wb, wd, pairs, i, a->k - i);
#pragma GCC unroll 8
    for (int r = 0; r < nr; r++)
#pragma GCC unroll 8
        for (int j = 0; j < m; j++)
            skinny_put(a, j, n0 + r, vf_sum(s[r * m + j]));
}

/* One row of w against m <= 2 rows of x. The weights are then read in one line
 * from first to last, which the prefetcher follows best: 10 % over four rows
 * at a time. */
INLINE void
skinny_line(const tkp__cpu_skinny *a, int64_t n, int m, int32_t wd, int pairs)
{
    const size_t wb = wd == TKP_DTYPE_F32 ? 4 : 2, xb = pairs ? 2 : 4;
    const char *w = (const char *)a->w + (size_t)(n * a->ldw) * wb;
    const char *x = a->x;
    vf s[8] = {0};
    int64_t i = 0;
    for (; i + 4 * STEP(pairs) <= a->k; i += 4 * STEP(pairs))
#pragma GCC unroll 4
        for (int u = 0; u < 4; u++)
#pragma GCC unroll 2
            for (int j = 0; j < m; j++)
                s[u * 2 + j] = dot_step(
                    s[u * 2 + j], x + (size_t)(j * a->ldx) * xb, w, wd, pairs,
                    i + u * STEP(pairs), STEP(pairs));
    for (; i < a->k; i += STEP(pairs))
        for (int j = 0; j < m; j++)
            s[j] = dot_step(
                s[j], x + (size_t)(j * a->ldx) * xb, w, wd, pairs, i, a->k - i);
    for (int j = 0; j < m; j++)
        skinny_put(a, j, n, vf_sum((s[j] + s[2 + j]) + (s[4 + j] + s[6 + j])));
}

INLINE void skinny_rows(const tkp__cpu_skinny *a, int m, int32_t wd, int pairs)
{
    /* Few rows of x leave registers for more rows of w at a time. */
    const int nr = m <= 2 ? 1 : m <= 4 ? 4 : 2;
    int64_t n = 0;
    for (; m <= 2 && n < a->n; n++)
        skinny_line(a, n, m, wd, pairs);
    for (; n + nr <= a->n; n += nr)
        skinny_tile(a, n, nr, m, wd, pairs);
    for (; n < a->n; n++)
        skinny_tile(a, n, 1, m, wd, pairs);
}

/* A function of its own for each count: all in one is slow to compile. */
#define SKINNY(M)                                                              \
    static __attribute__((noinline)) void skinny_##M(const tkp__cpu_skinny *a) \
    {                                                                          \
        if (HAVE_BF16_DOTS && a->x_dtype == TKP_DTYPE_BF16)                    \
            skinny_rows(a, M, TKP_DTYPE_BF16, HAVE_BF16_DOTS);                 \
        else if (a->w_dtype == TKP_DTYPE_F32)                                  \
            skinny_rows(a, M, TKP_DTYPE_F32, 0);                               \
        else if (a->w_dtype == TKP_DTYPE_BF16)                                 \
            skinny_rows(a, M, TKP_DTYPE_BF16, 0);                              \
        else                                                                   \
            skinny_rows(a, M, TKP_DTYPE_F16, 0);                               \
    }
SKINNY(1)
SKINNY(2)
SKINNY(3)
SKINNY(4)
SKINNY(5)
SKINNY(6)
SKINNY(7)
SKINNY(8)

static void skinny(const tkp__cpu_skinny *a)
{
    static void (*const by_rows[])(const tkp__cpu_skinny *) = {
        skinny_1, skinny_2, skinny_3, skinny_4,
        skinny_5, skinny_6, skinny_7, skinny_8,
    };
    by_rows[a->m - 1](a);
}

/* --- logits -------------------------------------------------------------- */

static void pack_query(void *dst, const void *q, int32_t dtype, int64_t c)
{
    if (HAVE_BF16_DOTS && dtype == TKP_DTYPE_BF16)
        memcpy(dst, q, (size_t)c * 2);
    else
        convert(dst, TKP_DTYPE_F32, q, dtype, c);
}

/* Four keys (or one) of a group against one query. */
INLINE void logits_keys(
    float *dst,
    const void *q,
    const char *k,
    size_t stride,
    int keys,
    int64_t c,
    float scale,
    int32_t dtype,
    int pairs)
{
    vf s[4] = {0};
    int64_t i = 0;
    for (; i + STEP(pairs) <= c; i += STEP(pairs))
#pragma GCC unroll 4
        for (int j = 0; j < keys; j++)
            s[j] = dot_step(
                s[j], q, k + (size_t)j * stride, dtype, pairs, i, STEP(pairs));
    if (i < c)
        for (int j = 0; j < keys; j++)
            s[j] = dot_step(
                s[j], q, k + (size_t)j * stride, dtype, pairs, i, c - i);
    /* The same sum whether a key came alone or with three others. */
    float sum[4];
    vf_sum4(sum, s[0], s[1], s[2], s[3]);
    for (int j = 0; j < keys; j++)
        dst[j] = sum[j] * scale;
}

INLINE void logits_of(const tkp__cpu_logits *a, int32_t dtype, int pairs)
{
    const size_t kb = dtype == TKP_DTYPE_F32 ? 4 : 2, qb = pairs ? 2 : 4;
    const int32_t share = a->heads / a->groups;
    const size_t stride = (size_t)a->key_stride * kb;
    int keys;
    for (int64_t j = 0; j < a->keys; j += keys) {
        keys = a->keys - j >= 4 ? 4 : 1;
        for (int32_t g = 0; g < a->groups; g++) {
            const char *k = (const char *)a->k + (size_t)j * stride +
                            (size_t)g * (size_t)a->group_stride * kb;
            for (int32_t r = 0; r < a->rows; r++)
                for (int32_t h = g * share; h < (g + 1) * share; h++) {
                    const int64_t row = (int64_t)r * a->heads + h;
                    const char *q =
                        (const char *)a->q + (size_t)(row * a->c) * qb;
                    logits_keys(
                        a->dst + row * a->ldd + j, q, k, stride, keys, a->c,
                        a->scale, dtype, pairs);
                }
        }
    }
}

static void logits(const tkp__cpu_logits *a)
{
    if (HAVE_BF16_DOTS && a->dtype == TKP_DTYPE_BF16)
        logits_of(a, TKP_DTYPE_BF16, HAVE_BF16_DOTS);
    else if (a->dtype == TKP_DTYPE_F32)
        logits_of(a, TKP_DTYPE_F32, 0);
    else if (a->dtype == TKP_DTYPE_BF16)
        logits_of(a, TKP_DTYPE_BF16, 0);
    else
        logits_of(a, TKP_DTYPE_F16, 0);
}

/* --- weighted rows --------------------------------------------------------- */

INLINE void weighted_rows_of(
    float *sum,
    const char *v,
    int32_t dtype,
    size_t stride,
    const float *weights,
    int64_t rows,
    int64_t n)
{
    int64_t i = 0;
    /* Eight vectors of sums stay in registers over all rows. */
    for (; i + 8 * VW <= n; i += 8 * VW) {
        vf s[8];
#pragma GCC unroll 8
        for (int l = 0; l < 8; l++)
            s[l] = vf_load(sum + i + l * VW);
        for (int64_t j = 0; j < rows; j++)
#pragma GCC unroll 8
            for (int l = 0; l < 8; l++)
                s[l] = vf_fma(
                    vf_set(weights[j]),
                    vf_get(v + (size_t)j * stride, dtype, i + l * VW, VW),
                    s[l]);
#pragma GCC unroll 8
        for (int l = 0; l < 8; l++)
            vf_store(sum + i + l * VW, s[l]);
    }
    for (; i < n; i += VW) {
        vf s = vf_get(sum, TKP_DTYPE_F32, i, n - i);
        for (int64_t j = 0; j < rows; j++)
            s = vf_fma(
                vf_set(weights[j]),
                vf_get(v + (size_t)j * stride, dtype, i, n - i), s);
        vf_put(sum, TKP_DTYPE_F32, i, n - i, s);
    }
}

static void weighted_rows(
    float *sum,
    const void *v,
    int32_t dtype,
    int64_t stride,
    const float *weights,
    int64_t rows,
    int64_t n)
{
    const size_t bytes = (size_t)stride * (dtype == TKP_DTYPE_F32 ? 4 : 2);
#define WORK(D) weighted_rows_of(sum, v, D, bytes, weights, rows, n)
    BY_DTYPE(dtype, WORK);
#undef WORK
}

/* --- distances --------------------------------------------------------------- */

/* Squares of differences of `left` channels from i on: ma rows of a, nb of b. */
INLINE void distances_step(
    vf *sums,
    const float *a,
    int64_t lda,
    int ma,
    const float *b,
    int64_t ldb,
    int nb,
    int64_t i,
    int64_t left)
{
#pragma GCC unroll 2
    for (int m = 0; m < ma; m++) {
        const vf x = vf_get(a + m * lda, TKP_DTYPE_F32, i, left);
#pragma GCC unroll 4
        for (int n = 0; n < nb; n++) {
            const vf d = x - vf_get(b + n * ldb, TKP_DTYPE_F32, i, left);
            sums[m * 4 + n] = vf_fma(d, d, sums[m * 4 + n]);
        }
    }
}

/* By differences: |a|^2 + |b|^2 - 2 a.b loses what close rows differ in. ma
 * and nb are constant: at most 8 sums. */
INLINE void distances_tile(
    float *dst,
    const float *a,
    int64_t lda,
    int ma,
    const float *b,
    int64_t ldb,
    int nb,
    int64_t k)
{
    vf sums[8] = {0};
    int64_t i = 0;
    for (; i + VW <= k; i += VW)
        distances_step(sums, a, lda, ma, b, ldb, nb, i, VW);
    if (i < k)
        distances_step(sums, a, lda, ma, b, ldb, nb, i, k - i);
    for (int m = 0; m < ma; m++)
        for (int n = 0; n < nb; n++)
            dst[m * TKP__CPU_TILE + n] = vf_sum(sums[m * 4 + n]);
}

INLINE void distances_rows(
    float *dst,
    const float *a,
    int64_t lda,
    int ma,
    const float *b,
    int64_t ldb,
    int64_t n,
    int64_t k)
{
    int64_t j = 0;
    for (; j + 4 <= n; j += 4)
        distances_tile(dst + j, a, lda, ma, b + j * ldb, ldb, 4, k);
    for (; j < n; j++)
        distances_tile(dst + j, a, lda, ma, b + j * ldb, ldb, 1, k);
}

static void distances(
    float *dst,
    const float *a,
    int64_t lda,
    const float *b,
    int64_t ldb,
    int64_t m,
    int64_t n,
    int64_t k)
{
    int64_t i = 0;
    for (; i + 2 <= m; i += 2)
        distances_rows(
            dst + i * TKP__CPU_TILE, a + i * lda, lda, 2, b, ldb, n, k);
    for (; i < m; i++)
        distances_rows(
            dst + i * TKP__CPU_TILE, a + i * lda, lda, 1, b, ldb, n, k);
}
