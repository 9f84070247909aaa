#ifndef TKP_BACKENDS_CPU_VEC_H
#define TKP_BACKENDS_CPU_VEC_H

/*
 * A vector of VW floats for the instruction set this file is compiled for, so
 * that a kernel is written once. Arithmetic is by operators (the files are
 * compiled without contraction: what is fused says vf_fma).
 */

#include <stdint.h>
#include <string.h>

#include "tokenprune/tensor.h"
#include "util/util.h"

#define INLINE static inline __attribute__((always_inline, unused))

#if defined(__AVX512F__)
#    define VEC_AVX512 1
#    define VW         16
#elif defined(__AVX2__)
#    define VEC_AVX2 1
#    define VW       8
#else
#    define VEC_BASE 1
#    define VW       4
#endif

#if !defined(VEC_BASE)
#    include <immintrin.h>
#endif

typedef float vf __attribute__((vector_size(VW * 4)));
typedef int32_t vi __attribute__((vector_size(VW * 4)));
typedef uint32_t vu __attribute__((vector_size(VW * 4)));
typedef uint16_t vh __attribute__((vector_size(VW * 2)));

INLINE vf vf_set(float x)
{
    return x - (vf){0};
}
INLINE vi vi_set(int32_t x)
{
    return x - (vi){0};
}
INLINE vf vf_select(vi mask, vf yes, vf no)
{
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

/* --- plain loads and stores -------------------------------------------- */

INLINE vf vf_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof(v));
    return v;
}
INLINE void vf_store(float *p, vf v)
{
    memcpy(p, &v, sizeof(v));
}
INLINE vh vh_load(const uint16_t *p)
{
    vh v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* The first n < VW; the rest is 0. */
INLINE vf vf_load_part(const float *p, int64_t n)
{
#if defined(VEC_AVX512)
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
#else
    vf v = {0};
    memcpy(&v, p, (size_t)n * 4);
    return v;
#endif
}
INLINE void vf_store_part(float *p, vf v, int64_t n)
{
#if defined(VEC_AVX512)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v);
#else
    memcpy(p, &v, (size_t)n * 4);
#endif
}
INLINE vh vh_load_part(const uint16_t *p, int64_t n)
{
    vh v = {0};
#if defined(VEC_AVX512)
    v = (vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1u), p);
#else
    memcpy(&v, p, (size_t)n * 2);
#endif
    return v;
}
INLINE void vh_store_part(uint16_t *p, vh v, int64_t n)
{
    if (n >= VW)
        memcpy(p, &v, sizeof(v));
    else
#if defined(VEC_AVX512)
        _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1u), (__m256i)v);
#else
        memcpy(p, &v, (size_t)n * 2);
#endif
}

/* --- arithmetic -------------------------------------------------------- */

INLINE vf vf_fma(vf a, vf b, vf c)
{
#if defined(VEC_AVX512)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(VEC_AVX2)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}
/* A NaN in b comes through; one in a does not. */
INLINE vf vf_max(vf a, vf b)
{
#if defined(VEC_AVX512)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(VEC_AVX2)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return vf_select((vi)(a > b), a, b);
#endif
}
INLINE vf vf_min(vf a, vf b)
{
#if defined(VEC_AVX512)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(VEC_AVX2)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return vf_select((vi)(a < b), a, b);
#endif
}
INLINE vf vf_abs(vf a)
{
    return (vf)((vi)a & 0x7fffffff);
}

/* Sums halve the vector until one is left: a fixed order. */
INLINE float vf_sum(vf v)
{
#if defined(VEC_BASE)
    return (v[0] + v[2]) + (v[1] + v[3]);
#else
#    if defined(VEC_AVX512)
    const __m256 a = _mm256_add_ps(
        _mm512_castps512_ps256((__m512)v),
        _mm512_extractf32x8_ps((__m512)v, 1));
#    else
    const __m256 a = (__m256)v;
#    endif
    __m128 s =
        _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    s = _mm_add_ss(s, _mm_movehdup_ps(s));
    return _mm_cvtss_f32(s);
#endif
}
/* Four sums at once. */
INLINE void vf_sum4(float *dst, vf a, vf b, vf c, vf d)
{
#if defined(VEC_BASE)
    dst[0] = vf_sum(a);
    dst[1] = vf_sum(b);
    dst[2] = vf_sum(c);
    dst[3] = vf_sum(d);
#else
#    if defined(VEC_AVX512)
#        define HALF(x)                                                        \
            _mm256_add_ps(                                                     \
                _mm512_castps512_ps256((__m512)x),                             \
                _mm512_extractf32x8_ps((__m512)x, 1))
#    else
#        define HALF(x) ((__m256)x)
#    endif
    const __m256 s = _mm256_hadd_ps(
        _mm256_hadd_ps(HALF(a), HALF(b)), _mm256_hadd_ps(HALF(c), HALF(d)));
    _mm_storeu_ps(
        dst,
        _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1)));
#    undef HALF
#endif
}
INLINE float vf_most(vf v)
{
    float most = v[0];
    for (int i = 1; i < VW; i++)
        most = v[i] > most ? v[i] : most;
    return most;
}

/* --- half types -------------------------------------------------------- */

INLINE vf vf_of_bf16(vh h)
{
    return (vf)(__builtin_convertvector(h, vu) << 16);
}
INLINE vh vh_of_bf16_bits(vu bits)
{
    return __builtin_convertvector(bits >> 16, vh);
}
/* To nearest even in place: the low 16 bits become 0. NaN stays a NaN. */
INLINE vu vf_bf16_bits(vf v)
{
    const vu bits = (vu)v;
    const vu rounded = bits + (((bits >> 16) & 1u) + 0x7fffu);
#if defined(VEC_AVX512)
    const __mmask16 nan =
        _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
    const vu good = (vu)_mm512_mask_or_epi32(
        (__m512i)rounded, nan, (__m512i)bits, _mm512_set1_epi32(0x400000));
    return good & 0xffff0000u;
#else
    const vu nan = (vu)(v != v);
    return ((nan & (bits | 0x400000u)) | (~nan & rounded)) & 0xffff0000u;
#endif
}
/* Both in one instruction where there is one. It takes subnormal numbers for
 * 0, so it serves results of arithmetic, not conversions that must be exact. */
INLINE vh vh_of_f32_bf16(vf v)
{
#if defined(__AVX512BF16__)
    return (vh)_mm512_cvtneps_pbh((__m512)v);
#else
    return vh_of_bf16_bits(vf_bf16_bits(v));
#endif
}
INLINE vf vf_of_f16(vh h)
{
#if defined(VEC_AVX512)
    return (vf)_mm512_cvtph_ps((__m256i)h);
#elif defined(VEC_AVX2)
    return (vf)_mm256_cvtph_ps((__m128i)h);
#else
    vf v;
    for (int i = 0; i < VW; i++)
        v[i] = tkp__f16_to_f32(h[i]);
    return v;
#endif
}
INLINE vh vh_of_f32_f16(vf v)
{
#if defined(VEC_AVX512)
    return (vh)_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT);
#elif defined(VEC_AVX2)
    return (vh)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
#else
    vh h;
    for (int i = 0; i < VW; i++)
        h[i] = tkp__f32_to_f16(v[i]);
    return h;
#endif
}

/* --- any dtype: element i, `left` of which are there -------------------- */

INLINE vf vf_get(const void *p, int32_t dtype, int64_t i, int64_t left)
{
    if (dtype == TKP_DTYPE_F32) {
        const float *f = (const float *)p + i;
        return left >= VW ? vf_load(f) : vf_load_part(f, left);
    }
    const uint16_t *h = (const uint16_t *)p + i;
    const vh bits = left >= VW ? vh_load(h) : vh_load_part(h, left);
    return dtype == TKP_DTYPE_BF16 ? vf_of_bf16(bits) : vf_of_f16(bits);
}
INLINE void vh_put(void *p, int64_t i, int64_t left, vh v)
{
    vh_store_part((uint16_t *)p + i, v, left);
}
INLINE void vf_put(void *p, int32_t dtype, int64_t i, int64_t left, vf v)
{
    float *f = (float *)p + i;
    if (dtype != TKP_DTYPE_F32)
        vh_put(
            p, i, left,
            dtype == TKP_DTYPE_BF16 ? vh_of_f32_bf16(v) : vh_of_f32_f16(v));
    else if (left >= VW)
        vf_store(f, v);
    else
        vf_store_part(f, v, left);
}
/* Subnormal numbers of bf16 included. */
INLINE void vf_put_exact(void *p, int32_t dtype, int64_t i, int64_t left, vf v)
{
    if (dtype == TKP_DTYPE_BF16)
        vh_put(p, i, left, vh_of_bf16_bits(vf_bf16_bits(v)));
    else
        vf_put(p, dtype, i, left, v);
}
/* As if put and got again. */
INLINE vf vf_round(vf v, int32_t dtype)
{
    if (dtype == TKP_DTYPE_F32)
        return v;
    if (dtype == TKP_DTYPE_BF16)
        return vf_of_bf16(vh_of_f32_bf16(v));
    return vf_of_f16(vh_of_f32_f16(v));
}

/* --- functions --------------------------------------------------------- */

/* e^x within 1 ulp where the result is normal; 0, infinity and NaN as they
 * should be. Cody and Waite's reduction, a polynomial of degree 7 (Cephes). */
INLINE vf vf_exp(vf x)
{
    x = vf_max(vf_set(-104.0f), vf_min(vf_set(89.0f), x));
    /* Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits. */
    const vf magic = vf_set(12582912.0f);
    const vf t = vf_fma(x, vf_set(1.44269504f), magic);
    const vf whole = t - magic;
    vf r = vf_fma(whole, vf_set(-0.693359375f), x);
    r = vf_fma(whole, vf_set(2.12194440e-4f), r);
    vf p = vf_set(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set(5.0000001201e-1f));
    p = vf_fma(p, r * r, r) + 1.0f;
#if defined(VEC_AVX512)
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)whole);
#else
    /* Two steps, so that 2^n may leave the range of the exponent. */
    const vi n = (vi)t - (vi)magic, half = n >> 1;
    return p * (vf)((half + 127) << 23) * (vf)((n - half + 127) << 23);
#endif
}

/* Calls WORK(dtype) with a constant, so that each dtype gets its own loop. */
#define BY_DTYPE(dtype, WORK)                                                  \
    do {                                                                       \
        if ((dtype) == TKP_DTYPE_F32)                                          \
            WORK(TKP_DTYPE_F32);                                               \
        else if ((dtype) == TKP_DTYPE_BF16)                                    \
            WORK(TKP_DTYPE_BF16);                                              \
        else                                                                   \
            WORK(TKP_DTYPE_F16);                                               \
    } while (0)

#endif
