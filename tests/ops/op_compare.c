#include "op_compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tokenprune/sys/op.h"

const tkp_test_tolerance *tkp_test_table(int32_t dtype)
{
    switch (dtype) {
    case TKP_DTYPE_F32:
        return &tkp_test_f32;
    case TKP_DTYPE_F16:
        return &tkp_test_f16;
    case TKP_DTYPE_BF16:
        return &tkp_test_bf16;
    default:
        return &tkp_test_exact;
    }
}

/* --- half types ---------------------------------------------------------- */

/* Bits of fraction and lowest exponent of the normal numbers. */
static void half_format(int32_t dtype, int *fraction, int *lowest)
{
    *fraction = dtype == TKP_DTYPE_F16 ? 10 : dtype == TKP_DTYPE_BF16 ? 7 : 23;
    *lowest = dtype == TKP_DTYPE_F16 ? -14 : -126;
}

/* The step between neighbours at `value`. */
static double step_at(double value, int32_t dtype)
{
    int fraction, lowest, exponent;
    half_format(dtype, &fraction, &lowest);
    frexp(value, &exponent);
    exponent = exponent - 1 < lowest || value == 0.0 ? lowest : exponent - 1;
    return ldexp(1.0, exponent - fraction);
}

float tkp_test_load(const void *data, int32_t dtype, int64_t i)
{
    if (dtype == TKP_DTYPE_F32)
        return ((const float *)data)[i];
    const uint16_t bits = ((const uint16_t *)data)[i];
    const int width = dtype == TKP_DTYPE_F16 ? 10 : 7;
    const int bias = dtype == TKP_DTYPE_F16 ? 15 : 127;
    const int top = 2 * bias + 1;
    const int exponent = bits >> width & top;
    const int fraction = bits & ((1 << width) - 1);
    double value;
    if (exponent == top)
        value = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        value = ldexp(fraction, 1 - bias - width);
    else
        value = ldexp(fraction + (1 << width), exponent - bias - width);
    return (float)(bits & 0x8000 ? -value : value);
}

void tkp_test_store(void *data, int32_t dtype, int64_t i, double value)
{
    if (dtype == TKP_DTYPE_F32) {
        ((float *)data)[i] = (float)value;
        return;
    }
    const int width = dtype == TKP_DTYPE_F16 ? 10 : 7;
    const int bias = dtype == TKP_DTYPE_F16 ? 15 : 127;
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    const uint16_t infinite = (uint16_t)((2 * bias + 1) << width);
    uint16_t bits;
    if (isnan(value)) {
        bits = (uint16_t)(infinite | 1 << (width - 1));
    } else if (isinf(value)) {
        bits = infinite;
    } else {
        /* rint() is to nearest even; a value in steps of its own exponent has
         * the fraction's bits and one more. */
        const double step = step_at(value, dtype);
        const double steps = rint(fabs(value) / step);
        int exponent;
        frexp(step, &exponent);
        const int field = exponent - 1 + width + bias - 1; /* of subnormals 0 */
        const double all = ldexp(field, width) + steps;
        bits = all >= infinite ? infinite : (uint16_t)all;
    }
    ((uint16_t *)data)[i] = bits | sign;
}

/* --- comparing ------------------------------------------------------------- */

int64_t tkp_test_offset(const tkp_tensor *t, int64_t i)
{
    int64_t offset = 0;
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        offset += i % t->shape[d] * t->strides[d];
        i /= t->shape[d];
    }
    return offset;
}

static double element(const tkp_tensor *t, int64_t i)
{
    const char *data = (const char *)t->data + t->byte_offset;
    const int64_t at = tkp_test_offset(t, i);
    switch (t->dtype) {
    case TKP_DTYPE_I32:
        return ((const int32_t *)(const void *)data)[at];
    case TKP_DTYPE_I64:
        return (double)((const int64_t *)(const void *)data)[at];
    case TKP_DTYPE_U8:
        return ((const unsigned char *)data)[at];
    default:
        return (double)tkp_test_load(data, t->dtype, at);
    }
}

static double rms_of(const tkp_tensor *t, int64_t n)
{
    double sum = 0.0;
    int64_t finite = 0;
    for (int64_t i = 0; i < n; i++) {
        const double value = element(t, i);
        if (isfinite(value)) {
            sum += value * value;
            finite++;
        }
    }
    return finite ? sqrt(sum / (double)finite) : 0.0;
}

static double error_of(double actual, double expected, double rms)
{
    if (actual == expected || (isnan(actual) && isnan(expected)))
        return 0.0;
    if (!isfinite(actual) || !isfinite(expected))
        return INFINITY;
    const double scale = fmax(fabs(expected), rms);
    return scale > 0.0 ? fabs(actual - expected) / scale : INFINITY;
}

bool tkp_test_compare(
    const tkp_tensor *actual,
    const tkp_tensor *expected,
    const tkp_test_tolerance *table,
    tkp_test_report *report)
{
    memset(report, 0, sizeof(*report));
    report->index = -1;
    const int64_t n = tkp_tensor_count(expected);
    report->count = n;
    bool same =
        actual->dtype == expected->dtype && actual->ndim == expected->ndim;
    for (int32_t d = 0; same && d < expected->ndim; d++)
        same = actual->shape[d] == expected->shape[d];
    if (!same) {
        snprintf(report->text, sizeof(report->text), "dtypes or shapes differ");
        return false;
    }
    if (!table)
        table = tkp_test_table(expected->dtype);
    const double rms = rms_of(expected, n);
    for (int64_t i = 0; i < n; i++) {
        const double a = element(actual, i), e = element(expected, i);
        const double error = error_of(a, e, rms);
        report->zeros += e == 0.0;
        if (error > report->error) {
            report->error = error;
            report->index = i;
            report->actual = a;
            report->expected = e;
            report->ulp = fabs(a - e) / step_at(e, expected->dtype);
        }
    }
    report->ok = report->error <= table->fail;
    report->warned = report->ok && report->error > table->warn;
    snprintf(
        report->text, sizeof(report->text),
        "worst of %lld at %lld: got %.9g, wanted %.9g, error %.3g (%.3g ulp), "
        "allowed %.3g",
        (long long)n, (long long)report->index, report->actual,
        report->expected, report->error, report->ulp, table->fail);
    return report->ok;
}

static bool contains(const int32_t *list, int64_t n, int32_t value)
{
    for (int64_t i = 0; i < n; i++)
        if (list[i] == value)
            return true;
    return false;
}

/* The worst score that was kept. */
static double
cut_of(const int32_t *kept, int64_t n, const float *scores, int32_t order)
{
    double cut = NAN;
    for (int64_t i = 0; i < n; i++) {
        const double s = (double)scores[kept[i]];
        if (isnan(cut) || (order == TKP_ORDER_LOWEST ? s > cut : s < cut))
            cut = s;
    }
    return cut;
}

bool tkp_test_compare_selection(
    const int32_t *actual,
    const int32_t *expected,
    int64_t kept,
    const float *scores,
    int64_t n,
    int32_t order,
    double tolerance,
    tkp_test_report *report)
{
    memset(report, 0, sizeof(*report));
    report->ok = true;
    report->index = -1;
    report->count = kept;
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += isfinite(scores[i]) ? (double)scores[i] * (double)scores[i] : 0;
    const double rms = n ? sqrt(sum / (double)n) : 0.0;
    const double cut = cut_of(expected, kept, scores, order);
    for (int64_t i = 0; i < 2 * kept && report->ok; i++) {
        const int32_t *mine = i < kept ? actual : expected;
        const int32_t *other = i < kept ? expected : actual;
        const int32_t index = mine[i % kept];
        report->ok = index >= 0 && index < n;
        if (report->ok && !contains(other, kept, index)) {
            report->error = error_of((double)scores[index], cut, rms);
            report->ok = report->error <= tolerance;
        }
        if (!report->ok) {
            report->index = index;
            report->expected = cut;
        }
    }
    snprintf(
        report->text, sizeof(report->text),
        "index %lld is in one list only, error to the cut %.9g is %.3g",
        (long long)report->index, cut, report->error);
    return report->ok;
}
