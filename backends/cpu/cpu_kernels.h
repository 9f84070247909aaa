#ifndef TKP_BACKENDS_CPU_KERNELS_H
#define TKP_BACKENDS_CPU_KERNELS_H

/*
 * The kernels that exist once for each instruction set. They know pointers and
 * sizes, not tensors; dtypes are enum tkp_dtype, floating ones only. They read
 * and write inside the arrays they are given, tails included.
 */

#include <stdint.h>

#include "tokenprune/sys/op.h"

/* Rows of weights (or keys) against a few rows of x. */
typedef struct tkp__cpu_skinny {
    const void *x;        /* [m, k] of x_dtype, rows ldx apart */
    const void *w;        /* [n, k] of w_dtype, rows ldw apart */
    const void *bias;     /* [n] of bias_dtype, or NULL */
    const void *residual; /* [m, n] of d_dtype, or NULL */
    void *dst;            /* [m, n] of d_dtype */
    int64_t ldx, ldw, ldr, ldd;
    int64_t n, k;
    int32_t m;       /* 1..TKP__CPU_SKINNY_M */
    int32_t x_dtype; /* f32, or bf16 with bf16 weights */
    int32_t w_dtype;
    int32_t d_dtype;
    int32_t bias_dtype;
} tkp__cpu_skinny;
#define TKP__CPU_SKINNY_M 8

/* Dot products of query rows with keys that lie a fixed stride apart. */
typedef struct tkp__cpu_logits {
    const void *q; /* [rows][heads][c] packed, see pack_query */
    const void *k; /* [keys][groups][c] of dtype */
    float *dst;    /* [rows][heads], each a run of keys, ldd apart */
    int64_t key_stride, group_stride; /* elements */
    int64_t ldd;
    int64_t keys;
    int32_t dtype;
    int32_t rows, heads, groups, c;
    float scale;
} tkp__cpu_logits;

/* A block of query rows of one head against all keys of its sequence. */
typedef struct tkp__cpu_attention {
    const void *q; /* [rows] of c, q_stride apart */
    const void *k; /* [keys] of c */
    const void *v;
    void *dst;         /* [rows] of c */
    float *lse;        /* [rows], lse_stride apart, or NULL */
    const float *bias; /* [keys] added to the scaled logits, or NULL */
    int64_t q_stride, k_stride, v_stride, dst_stride, lse_stride;
    int64_t keys;    /* of the sequence */
    int64_t visible; /* keys that row 0 sees; row i sees i more if causal */
    int32_t rows;    /* 1..TKP__CPU_ATTENTION_ROWS */
    int32_t c;
    int32_t dtype; /* f32 | bf16 */
    int32_t causal;
    float scale;
} tkp__cpu_attention;
/* 192 rows of 128 channels and their logits stay in half a megabyte. */
#define TKP__CPU_ATTENTION_ROWS 192

/* Keys (rows of the second operand) in a packed tile. */
#define TKP__CPU_TILE 128

typedef struct tkp__cpu_kernels {
    const char *isa;
    int32_t rank;      /* position in the list: more is better */
    int32_t bf16_dots; /* products of bf16 pairs in hardware */

    /* --- rows of any float dtype; n elements ------------------------- */

    void (*convert)(
        void *dst,
        int32_t dst_dtype,
        const void *src,
        int32_t src_dtype,
        int64_t n);
    /* dst = a + b, dst of a_dtype */
    void (*add)(
        void *dst,
        const void *a,
        int32_t a_dtype,
        const void *b,
        int32_t b_dtype,
        int64_t n);
    /* dst = f(a) or f(a) * b; all of dtype */
    void (*activation)(
        void *dst,
        const void *a,
        const void *b,
        int32_t dtype,
        int32_t function,
        int64_t n);
    void (*rms_norm)(
        void *dst,
        const void *x,
        int32_t dtype,
        const void *w,
        int32_t w_dtype,
        float eps,
        int64_t n);
    void (*layer_norm)(
        void *dst,
        const void *x,
        int32_t dtype,
        const void *w,
        int32_t w_dtype,
        const void *b,
        int32_t b_dtype,
        float eps,
        int64_t n);
    /* one head: x and dst [2 half] */
    void (*rotary)(
        void *dst,
        const void *x,
        int32_t dtype,
        const float *cosines,
        const float *sines,
        int64_t half);
    float (*sum_abs)(const void *x, int32_t dtype, int64_t n);
    float (*sum_squares)(const void *x, int32_t dtype, int64_t n);
    /* out[0] = x . y, out[1] = x . x */
    void (*dot_and_square)(
        float *out,
        const void *x,
        int32_t dtype,
        const float *y,
        int64_t n);
    void (*add_scaled)(
        float *sum,
        const void *x,
        int32_t dtype,
        float scale,
        int64_t n);
    void (*take_max)(float *most, const void *x, int32_t dtype, int64_t n);
    /* sum of w[i] max(0, x[i] - floor[i]); w = NULL: 1. Never grows where an
     * entry of floor does. */
    float (*sum_above)(
        const float *x,
        const float *floor,
        const float *w,
        int64_t n);

    /* sum += x - shift, squares += (x - shift)^2, element by element */
    void (*moments)(
        double *sum,
        double *squares,
        const float *x,
        const float *shift,
        int64_t n);

    /* --- softmax pieces, f32 ----------------------------------------- */

    float (*row_max)(const float *x, int64_t n);
    /* x = exp(x - shift); gives the sum */
    float (*exp_sum)(float *x, float shift, int64_t n);

    /* --- products ---------------------------------------------------- */

    void (*skinny)(const tkp__cpu_skinny *args);
    /* Query rows as logits() wants them: bf16 as it is where bf16_dots, else
     * f32. Needs c elements a row of (bf16_dots && bf16 ? 2 : 4) bytes. */
    void (*pack_query)(void *dst, const void *q, int32_t dtype, int64_t c);
    void (*logits)(const tkp__cpu_logits *args);
    /* The same, for many rows: up to TKP__CPU_TILE keys are packed first, and
     * dst has room for a whole tile. An even number of channels. */
    uint64_t (*logits_scratch)(int32_t c);
    void (*logits_many)(const tkp__cpu_logits *args, void *scratch);
    /* sum[n] += weights[j] * v[j][n], j ascending; rows `stride` apart */
    void (*weighted_rows)(
        float *sum,
        const void *v,
        int32_t dtype,
        int64_t stride,
        const float *weights,
        int64_t rows,
        int64_t n);
    /* Bytes of scratch attention() needs for c channels of dtype. */
    uint64_t (*attention_scratch)(int32_t c, int32_t dtype);
    void (*attention)(const tkp__cpu_attention *args, void *scratch);
    /* dst[m][n] = a[m] . b[n] for row-major f32 a, b, k wide; up to
     * TKP__CPU_TILE rows of b. Rows of dst have room for a whole tile. */
    uint64_t (*product_scratch)(void);
    void (*product)(
        float *dst, /* [m][TKP__CPU_TILE] */
        const float *a,
        int64_t lda,
        const float *b,
        int64_t ldb,
        int64_t m,
        int64_t n,
        int64_t k,
        void *scratch);
    /* dst[m][n] = |a[m] - b[n]|^2, shapes as in product(); the same bits for
     * a pair whichever of the two comes first. */
    void (*distances)(
        float *dst, /* [m][TKP__CPU_TILE] */
        const float *a,
        int64_t lda,
        const float *b,
        int64_t ldb,
        int64_t m,
        int64_t n,
        int64_t k);
} tkp__cpu_kernels;

extern const tkp__cpu_kernels tkp__cpu_kernels__base;
extern const tkp__cpu_kernels tkp__cpu_kernels__avx2;
extern const tkp__cpu_kernels tkp__cpu_kernels__avx512;
extern const tkp__cpu_kernels tkp__cpu_kernels__avx512_bf16;

#endif
