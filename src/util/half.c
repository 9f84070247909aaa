/*
 * IEEE binary16 in software: round to nearest even, nothing flushed.
 */

#include "util/util.h"

float tkp__f16_to_f32(uint16_t value)
{
    const uint32_t sign = (uint32_t)(value & 0x8000u) << 16;
    uint32_t exponent = (value >> 10) & 0x1fu;
    uint32_t fraction = value & 0x3ffu;
    uint32_t bits;

    if (exponent == 0x1fu) {
        /* Infinity, or a NaN (made quiet, its payload kept). */
        bits = sign | 0x7f800000u | (fraction << 13);
        if (fraction)
            bits |= 0x400000u;
    } else if (exponent) {
        bits = sign | ((exponent + 112u) << 23) | (fraction << 13);
    } else if (fraction) {
        /* Subnormal here is normal there: move the leading one up. */
        exponent = 113u;
        while (!(fraction & 0x400u)) {
            fraction <<= 1;
            exponent--;
        }
        bits = sign | (exponent << 23) | ((fraction & 0x3ffu) << 13);
    } else {
        bits = sign;
    }
    float out;
    memcpy(&out, &bits, sizeof(out));
    return out;
}

uint16_t tkp__f32_to_f16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;

    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    /* 65520 and above round to infinity. */
    if (magnitude >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude >= 0x38800000u) {
        /* Normal: rebias, round on the 13 bits that go; a carry out of the
         * fraction goes into the exponent, which is what is wanted. */
        const uint32_t rebiased = magnitude - 0x38000000u;
        return (
            uint16_t)(sign | ((rebiased + 0xfffu + ((rebiased >> 13) & 1u)) >> 13));
    }
    /* 2^-25 is halfway between 0 and the smallest subnormal: to even, 0. */
    if (magnitude <= 0x33000000u)
        return (uint16_t)sign;
    const uint32_t shift = 126u - (magnitude >> 23); /* 14..24 */
    const uint32_t fraction = (magnitude & 0x7fffffu) | 0x800000u;
    const uint32_t kept = fraction >> shift;
    const uint32_t rest = fraction & ((1u << shift) - 1u);
    const uint32_t half = 1u << (shift - 1u);
    const uint32_t up = rest > half || (rest == half && (kept & 1u));
    return (uint16_t)(sign | (kept + up));
}

float tkp__load_f32(const void *data, int32_t dtype, int64_t i)
{
    switch (dtype) {
    case TKP_DTYPE_F32:
        return ((const float *)data)[i];
    case TKP_DTYPE_F16:
        return tkp__f16_to_f32(((const uint16_t *)data)[i]);
    case TKP_DTYPE_BF16:
        return tkp__bf16_to_f32(((const uint16_t *)data)[i]);
    default:
        return 0.0f;
    }
}

void tkp__store_f32(void *data, int32_t dtype, int64_t i, float value)
{
    switch (dtype) {
    case TKP_DTYPE_F32:
        ((float *)data)[i] = value;
        break;
    case TKP_DTYPE_F16:
        ((uint16_t *)data)[i] = tkp__f32_to_f16(value);
        break;
    case TKP_DTYPE_BF16:
        ((uint16_t *)data)[i] = tkp__f32_to_bf16(value);
        break;
    default:
        break;
    }
}
