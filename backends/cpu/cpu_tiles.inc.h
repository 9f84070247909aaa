/*
 * Products in tiles, bound by arithmetic: attention of many queries, and
 * row-by-row products. Included by one file for each instruction set, after
 * cpu_dots.inc.h.
 *
 * A tile of the second operand (128 keys) is packed transposed, so that the
 * inner loop takes a broadcast of one operand times vectors of the other. Its
 * unit is 32 bits: one float, or a pair of bf16 where the processor multiplies
 * pairs ("pairs" below).
 */

#define TILE TKP__CPU_TILE

/* Sums held in registers: MR rows of NV vectors. */
#if defined(VEC_AVX512)
#    define MR 6
#    define NV 4
#elif defined(VEC_AVX2)
#    define MR 6
#    define NV 2
#else
#    define MR 4
#    define NV 2
#endif
#define STRIP (NV * VW)

INLINE vf multiply_add(vf sum, float a, vf b, int pairs)
{
#if HAVE_BF16_DOTS
    if (pairs)
        return (
            vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)vf_set(a), (__m512bh)b);
#else
    (void)pairs;
#endif
    return vf_fma(vf_set(a), b, sum);
}

/*
 * c[m][..] = scale[m] * c[m][..] + sum over k of a[m][k] * b[k][..], for nv
 * vectors of columns and `rows` <= MR rows; scale NULL means 0. nv and pairs
 * are constants; a and b count units of 32 bits.
 */
INLINE void multiply_strip(
    float *c,
    int64_t ldc,
    const float *scale,
    const float *a,
    int64_t lda,
    const float *b,
    int64_t ldb,
    int rows,
    int64_t k,
    int nv,
    int pairs)
{
    const float *ar[MR];
    vf s[MR][NV] = {{{0}}};
    /* Rows that are not there repeat the last one and are not stored. */
    for (int m = 0; m < MR; m++)
        ar[m] = a + (m < rows ? m : rows - 1) * lda;
    if (scale)
        for (int m = 0; m < rows; m++)
            for (int v = 0; v < nv; v++)
                s[m][v] = vf_load(c + m * ldc + v * VW) * scale[m];
    for (int64_t i = 0; i < k; i++) {
        vf bv[NV];
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++)
            bv[v] = vf_load(b + i * ldb + v * VW);
#pragma GCC unroll 8
        for (int m = 0; m < MR; m++)
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++)
                s[m][v] = multiply_add(s[m][v], ar[m][i], bv[v], pairs);
    }
    for (int m = 0; m < rows; m++)
        for (int v = 0; v < nv; v++)
            vf_store(c + m * ldc + v * VW, s[m][v]);
}

/* Which part of a product is asked for. */
enum part {
    ALL,
    COLUMNS_SEEN, /* row m needs the columns below seen + m */
    DEPTH_SEEN    /* row m has zeros in a from seen + m on */
};

/* The same for any rows and `columns`, rounded up to whole vectors. k counts
 * units, seen counts keys. */
struct tile {
    float *c;
    const float *scale, *a, *b;
    int64_t ldc, lda, ldb;
    int64_t rows, k, columns;
    int64_t seen;
    enum part part;
};

INLINE void multiply_rows(
    const struct tile *t,
    int64_t m,
    int64_t n,
    int64_t vectors,
    int pairs)
{
    const int rows = t->rows - m < MR ? (int)(t->rows - m) : MR;
    const float *scale = t->scale ? t->scale + m : NULL;
    const float *a = t->a + m * t->lda;
    int64_t k = t->k;
    if (t->part == DEPTH_SEEN) {
        const int64_t seen = t->seen + m + rows - 1;
        const int64_t units = pairs ? (seen + 1) / 2 : seen;
        k = units < 0 ? 0 : units < k ? units : k;
    }
    if (vectors >= NV) {
        multiply_strip(
            t->c + m * t->ldc + n, t->ldc, scale, a, t->lda, t->b + n, t->ldb,
            rows, k, NV, pairs);
        return;
    }
    for (int64_t v = 0; v < vectors; v++, n += VW)
        multiply_strip(
            t->c + m * t->ldc + n, t->ldc, scale, a, t->lda, t->b + n, t->ldb,
            rows, k, 1, pairs);
}

INLINE void multiply_tile(const struct tile *t, int pairs)
{
    for (int64_t n = 0; n < t->columns; n += STRIP) {
        const int64_t vectors = (t->columns - n + VW - 1) / VW;
        /* The rows above see nothing of this strip. */
        int64_t m = t->part == COLUMNS_SEEN ? n - t->seen + 1 : 0;
        m = m < 0 ? 0 : m / MR * MR;
        for (; m < t->rows; m += MR)
            multiply_rows(t, m, n, vectors, pairs);
    }
}

/* Not inlined: one copy of the inner loop serves all callers. */
static __attribute__((noinline)) void multiply(const struct tile *t, int pairs)
{
    if (HAVE_BF16_DOTS && pairs)
        multiply_tile(t, HAVE_BF16_DOTS);
    else
        multiply_tile(t, 0);
}

/* --- packing ------------------------------------------------------------- */

/* One step of a transposition: the vectors i and i + VW / 2 interleaved. Done
 * log2(VW) times over all of them, rows have become columns. */
#if defined(VEC_AVX512)
#    define INTERLEAVE_LOW(a, b)                                               \
        __builtin_shufflevector(                                               \
            a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#    define INTERLEAVE_HIGH(a, b)                                              \
        __builtin_shufflevector(                                               \
            a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,    \
            31)
#    define STAGES 4
#elif defined(VEC_AVX2)
#    define INTERLEAVE_LOW(a, b)                                               \
        __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#    define INTERLEAVE_HIGH(a, b)                                              \
        __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#    define STAGES 3
#else
#    define INTERLEAVE_LOW(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#    define INTERLEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#    define STAGES                2
#endif

INLINE void transpose(vf v[VW])
{
#pragma GCC unroll 4
    for (int stage = 0; stage < STAGES; stage++) {
        vf t[VW];
#pragma GCC unroll 16
        for (int i = 0; i < VW / 2; i++) {
            t[2 * i] = INTERLEAVE_LOW(v[i], v[i + VW / 2]);
            t[2 * i + 1] = INTERLEAVE_HIGH(v[i], v[i + VW / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < VW; i++)
            v[i] = t[i];
    }
}

/* dst[k][TILE] = the n <= TILE rows of src, transposed; columns past n are 0
 * up to a whole strip. k units of 32 bits, each an element of dtype made f32,
 * or (dtype NONE) 32 bits as they are. */
INLINE void pack_rows_of(
    float *dst,
    const char *src,
    size_t stride,
    int64_t n,
    int64_t k,
    int32_t dtype)
{
    const int32_t as = dtype == TKP_DTYPE_NONE ? TKP_DTYPE_F32 : dtype;
    const int64_t columns = (n + STRIP - 1) / STRIP * STRIP;
    for (int64_t j = 0; j < columns; j += VW)
        for (int64_t i = 0; i < k; i += VW) {
            vf v[VW];
#pragma GCC unroll 16
            for (int r = 0; r < VW; r++)
                v[r] =
                    j + r < n
                        ? vf_get(src + (size_t)(j + r) * stride, as, i, k - i)
                        : vf_set(0);
            transpose(v);
            const int64_t rows = k - i < VW ? k - i : VW;
            for (int64_t r = 0; r < rows; r++)
                vf_store(dst + (i + r) * TILE + j, v[r]);
        }
}

static __attribute__((noinline)) void pack_rows(
    float *dst,
    const void *src,
    int64_t stride,
    int32_t dtype,
    int64_t n,
    int64_t c,
    int pairs)
{
    const size_t bytes = (size_t)stride * (dtype == TKP_DTYPE_F32 ? 4 : 2);
#define WORK(D) pack_rows_of(dst, src, bytes, n, c, D)
    if (pairs)
        pack_rows_of(dst, src, bytes, n, c / 2, TKP_DTYPE_NONE);
    else
        BY_DTYPE(dtype, WORK);
#undef WORK
}

/* dst[TILE][cp] = the rows as f32, or dst[TILE / 2][cp] = two rows at a time
 * as pairs; what is not there is 0. cp is c in whole vectors. */
INLINE void pack_values_of(
    float *dst,
    const char *src,
    size_t stride,
    int64_t n,
    int64_t c,
    int64_t cp,
    int32_t dtype,
    int pairs)
{
    const int step = pairs ? 2 : 1;
    for (int64_t j = 0; j < n; j += step)
        for (int64_t i = 0; i < cp; i += VW) {
            const char *row = src + (size_t)j * stride;
            vf v = vf_get(row, dtype, i, c - i);
            if (pairs) {
                const vf next = j + 1 < n
                                    ? vf_get(row + stride, dtype, i, c - i)
                                    : vf_set(0);
                v = (vf)((vu)next | ((vu)v >> 16));
            }
            vf_store(dst + j / step * cp + i, v);
        }
}

static __attribute__((noinline)) void pack_values(
    float *dst,
    const void *src,
    int64_t stride,
    int32_t dtype,
    int64_t n,
    int64_t c,
    int64_t cp,
    int pairs)
{
    const size_t bytes = (size_t)stride * (dtype == TKP_DTYPE_F32 ? 4 : 2);
    if (pairs)
        pack_values_of(dst, src, bytes, n, c, cp, TKP_DTYPE_BF16, 1);
    else if (dtype == TKP_DTYPE_BF16)
        pack_values_of(dst, src, bytes, n, c, cp, TKP_DTYPE_BF16, 0);
    else
        pack_values_of(dst, src, bytes, n, c, cp, TKP_DTYPE_F32, 0);
}

/* --- attention ----------------------------------------------------------- */

/* What a block of rows keeps between tiles; all inside the scratch. */
struct block {
    float *q;     /* [rows][qw] units */
    float *keys;  /* [qw][TILE] units */
    float *value; /* [TILE][cp], or [TILE / 2][cp] pairs */
    float *s;     /* [rows][TILE] logits, then probabilities */
    uint16_t *p;  /* [rows][TILE] the same as bf16; pairs only */
    float *o;     /* [rows][cp] sum so far, times exp(-most) */
    float *most;  /* [rows] largest logit so far */
    float *total; /* [rows] sum of probabilities so far */
    float *decay; /* [rows] what the old sum shrinks by */
    int64_t qw, cp;
    int pairs;
};

/* An odd channel has no partner. */
static int uses_pairs(int32_t dtype, int32_t c)
{
    return HAVE_BF16_DOTS && dtype == TKP_DTYPE_BF16 && c % 2 == 0;
}

static uint64_t block_layout(struct block *b, char *base, int32_t c, int pairs)
{
    enum { ROWS = TKP__CPU_ATTENTION_ROWS };
    size_t at = 0;
    b->pairs = pairs;
    b->qw = pairs ? c / 2 : c;
    b->cp = (c + VW - 1) / VW * VW;
#define TAKE(field, count)                                                     \
    do {                                                                       \
        b->field = base ? (void *)(base + at) : NULL;                          \
        at += tkp__align_up((size_t)(count) * sizeof(*b->field), 64);          \
    } while (0)
    TAKE(q, ROWS * b->qw);
    TAKE(keys, b->qw * TILE);
    TAKE(value, (pairs ? TILE / 2 : TILE) * b->cp);
    TAKE(s, ROWS * TILE);
    TAKE(p, pairs ? ROWS * TILE : 0);
    TAKE(o, ROWS * b->cp);
    TAKE(most, ROWS);
    TAKE(total, ROWS);
    TAKE(decay, ROWS);
#undef TAKE
    return at;
}

static uint64_t attention_scratch(int32_t c, int32_t dtype)
{
    struct block b;
    return block_layout(&b, NULL, c, uses_pairs(dtype, c));
}

/* A vector of probabilities to where the next product reads it. */
INLINE void put_probabilities(struct block *b, int64_t at, vf e)
{
#if HAVE_BF16_DOTS
    if (b->pairs) {
        /* Subnormals become 0 here, which is nothing beside the largest, 1. */
        const __m256bh h = _mm512_cvtneps_pbh((__m512)e);
        memcpy(b->p + at, &h, sizeof(h));
        return;
    }
#endif
    vf_store(b->s + at, e);
}

/* Scaled, and biased: what is scaled no more. */
static void row_bias(float *s, const float *bias, int64_t n, float scale)
{
    for (int64_t i = 0; i < n; i++)
        s[i] = s[i] * scale + bias[i];
}

/* Logits of one row become probabilities relative to its largest so far; of
 * the n, `seen` are seen. Whole vectors are written: a row has room for TILE. */
INLINE void
row_softmax(struct block *b, int64_t r, int64_t seen, int64_t n, float scale)
{
    float *s = b->s + r * TILE;
    const float before = b->most[r];
    float now = before, sum = 0;
    int64_t i = 0;
    if (seen > 0) {
        const float here = row_max(s, seen) * scale;
        now = here > now ? here : now;
    }
    if (now > -__builtin_inff()) {
        vf sums = {0};
        for (; i + VW <= seen; i += VW) {
            const vf e = vf_exp(vf_load(s + i) * scale - now);
            put_probabilities(b, r * TILE + i, e);
            sums = sums + e;
        }
        sum = vf_sum(sums);
        if (i < seen) {
            vf e = vf_exp(vf_load(s + i) * scale - now);
            for (int64_t l = 0; l < VW; l++) {
                e[l] = i + l < seen ? e[l] : 0;
                sum += e[l];
            }
            put_probabilities(b, r * TILE + i, e);
            i += VW;
        }
    }
    for (; i < n; i += VW)
        put_probabilities(b, r * TILE + i, vf_set(0));
    b->decay[r] = now > before ? vf_exp(vf_set(before - now))[0] : 1.0f;
    b->total[r] = b->total[r] * b->decay[r] + sum;
    b->most[r] = now;
}

static void block_begin(struct block *b, const tkp__cpu_attention *a)
{
    const size_t bytes = a->dtype == TKP_DTYPE_F32 ? 4 : 2;
    for (int64_t r = 0; r < a->rows; r++) {
        const char *q = (const char *)a->q + (size_t)(r * a->q_stride) * bytes;
        if (b->pairs)
            memcpy(b->q + r * b->qw, q, (size_t)a->c * 2);
        else
            convert(b->q + r * b->qw, TKP_DTYPE_F32, q, a->dtype, a->c);
        b->most[r] = -__builtin_inff();
        b->total[r] = 0;
    }
    memset(b->o, 0, (size_t)(a->rows * b->cp) * 4);
}

/* The n keys from j0 on. */
static void
block_tile(struct block *b, const tkp__cpu_attention *a, int64_t j0, int64_t n)
{
    const size_t bytes = a->dtype == TKP_DTYPE_F32 ? 4 : 2;
    const char *k = (const char *)a->k + (size_t)(j0 * a->k_stride) * bytes;
    const char *v = (const char *)a->v + (size_t)(j0 * a->v_stride) * bytes;
    const int64_t even = b->pairs ? (n + 1) / 2 * 2 : n;

    /* Keys of this tile that row 0 sees; row r sees r more. */
    const int64_t seen = a->causal ? a->visible - j0 : n;
    const bool cut = seen < n;
    const struct tile logits_of_tile = {
        .c = b->s,
        .a = b->q,
        .b = b->keys,
        .ldc = TILE,
        .lda = b->qw,
        .ldb = TILE,
        .rows = a->rows,
        .k = b->qw,
        .columns = n,
        .seen = seen,
        .part = cut ? COLUMNS_SEEN : ALL,
    };
    const struct tile sums_of_tile = {
        .c = b->o,
        .scale = b->decay,
        .a = b->pairs ? (const float *)(const void *)b->p : b->s,
        .b = b->value,
        .ldc = b->cp,
        .lda = b->pairs ? TILE / 2 : TILE,
        .ldb = b->cp,
        .rows = a->rows,
        .k = b->pairs ? even / 2 : n,
        .columns = b->cp,
        .seen = seen,
        .part = cut ? DEPTH_SEEN : ALL,
    };
    pack_rows(b->keys, k, a->k_stride, a->dtype, n, a->c, b->pairs);
    pack_values(b->value, v, a->v_stride, a->dtype, n, a->c, b->cp, b->pairs);
    multiply(&logits_of_tile, b->pairs);
    for (int64_t r = 0; r < a->rows; r++) {
        int64_t sees = a->causal ? seen + r : n;
        sees = sees < 0 ? 0 : sees > n ? n : sees;
        if (a->bias)
            row_bias(b->s + r * TILE, a->bias + j0, sees, a->scale);
        row_softmax(b, r, sees, even, a->bias ? 1.0f : a->scale);
    }
    multiply(&sums_of_tile, b->pairs);
}

static void block_end(const struct block *b, const tkp__cpu_attention *a)
{
    const size_t bytes = a->dtype == TKP_DTYPE_F32 ? 4 : 2;
    for (int64_t r = 0; r < a->rows; r++) {
        float *o = b->o + r * b->cp;
        /* A row that sees nothing answers 0. */
        const float inverse = b->total[r] > 0 ? 1.0f / b->total[r] : 0;
        for (int64_t i = 0; i < b->cp; i += VW)
            vf_store(o + i, vf_load(o + i) * inverse);
        convert(
            (char *)a->dst + (size_t)(r * a->dst_stride) * bytes, a->dtype, o,
            TKP_DTYPE_F32, a->c);
        if (a->lse)
            a->lse[r * a->lse_stride] =
                b->most[r] + __builtin_logf(b->total[r]);
    }
}

static void attention(const tkp__cpu_attention *a, void *scratch)
{
    struct block b;
    block_layout(&b, scratch, a->c, uses_pairs(a->dtype, a->c));
    block_begin(&b, a);
    int64_t end = a->keys;
    if (a->causal && a->visible + a->rows - 1 < end)
        end = a->visible + a->rows - 1;
    for (int64_t j = 0; j < end; j += TILE)
        block_tile(&b, a, j, end - j < TILE ? end - j : TILE);
    block_end(&b, a);
}

/* --- logits of many rows --------------------------------------------------- */

static uint64_t logits_scratch(int32_t c)
{
    return (uint64_t)c * TILE * 4;
}

static void logits_many(const tkp__cpu_logits *a, void *scratch)
{
    const int pairs = uses_pairs(a->dtype, a->c);
    const size_t kb = a->dtype == TKP_DTYPE_F32 ? 4 : 2;
    const int64_t width = pairs ? a->c / 2 : a->c;
    const int32_t share = a->heads / a->groups;
    for (int32_t g = 0; g < a->groups; g++) {
        const char *k = (const char *)a->k + (size_t)(g * a->group_stride) * kb;
        pack_rows(scratch, k, a->key_stride, a->dtype, a->keys, a->c, pairs);
        for (int32_t h = g * share; h < (g + 1) * share; h++) {
            const struct tile t = {
                .c = a->dst + h * a->ldd,
                .a = (const float *)a->q + h * width,
                .b = scratch,
                .ldc = a->ldd * a->heads,
                .lda = width * a->heads,
                .ldb = TILE,
                .rows = a->rows,
                .k = width,
                .columns = a->keys,
                .part = ALL,
            };
            multiply(&t, pairs);
            for (int32_t r = 0; r < a->rows; r++) {
                float *row = a->dst + ((int64_t)r * a->heads + h) * a->ldd;
                for (int64_t i = 0; i < a->keys; i += VW)
                    vf_put(
                        row, TKP_DTYPE_F32, i, a->keys - i,
                        vf_get(row, TKP_DTYPE_F32, i, a->keys - i) * a->scale);
            }
        }
    }
}

/* --- products -------------------------------------------------------------- */

/* Depth of a packed piece: 128 columns of it fit a quarter of a megabyte. */
#define DEPTH 512

static uint64_t product_scratch(void)
{
    return (uint64_t)DEPTH * TILE * 4;
}

static void product(
    float *dst,
    const float *a,
    int64_t lda,
    const float *b,
    int64_t ldb,
    int64_t m,
    int64_t n,
    int64_t k,
    void *scratch)
{
    float ones[MR];
    for (int i = 0; i < MR; i++)
        ones[i] = 1.0f;
    for (int64_t i = 0; i < k || i == 0; i += DEPTH) {
        const int64_t depth = k - i < DEPTH ? k - i : DEPTH;
        pack_rows(scratch, b + i, ldb, TKP_DTYPE_F32, n, depth, 0);
        for (int64_t r = 0; r < m; r += MR) {
            const struct tile t = {
                .c = dst + r * TILE,
                .scale = i ? ones : NULL,
                .a = a + r * lda + i,
                .b = scratch,
                .ldc = TILE,
                .lda = lda,
                .ldb = TILE,
                .rows = m - r < MR ? m - r : MR,
                .k = depth,
                .columns = n,
                .part = ALL,
            };
            multiply(&t, 0);
        }
    }
}
