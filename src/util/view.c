/*
 * Tensor views: are they legal, what memory can they touch.
 */

#include "util/util.h"

/* Offsets, in elements, of the lowest and highest element of a view that is
 * not empty; false if they do not fit. */
static bool element_range(const tkp_tensor *t, int64_t *low, int64_t *high)
{
    *low = 0;
    *high = 0;
    for (int32_t i = 0; i < t->ndim; i++) {
        int64_t reach;
        if (!tkp__mul_i64(t->shape[i] - 1, t->strides[i], &reach))
            return false;
        int64_t *side = reach < 0 ? low : high;
        if (!tkp__add_i64(*side, reach, side))
            return false;
    }
    return true;
}

/* The same in bytes, the end being one past the last. */
static bool byte_range(const tkp_tensor *t, int64_t *begin, int64_t *end)
{
    const int64_t size = (int64_t)tkp_dtype_bytes(t->dtype);
    int64_t low, high;
    return element_range(t, &low, &high) && tkp__mul_i64(low, size, begin) &&
           tkp__add_i64(high, 1, &high) && tkp__mul_i64(high, size, end);
}

tkp_status
tkp__check_view(const tkp_tensor *t, const char *name, bool descriptor)
{
    TKP__CHECK(t, TKP_ERR_ARGUMENT, "%s: is NULL", name);
    TKP__CHECK(
        t->ndim >= 0 && t->ndim <= TKP_MAX_DIMS, TKP_ERR_SHAPE,
        "%s: ndim is %d, wanted 0 to %d", name, t->ndim, TKP_MAX_DIMS);
    const size_t size = tkp_dtype_bytes(t->dtype);
    TKP__CHECK(
        size > 0, TKP_ERR_DTYPE, "%s: dtype is %d (%s)", name, t->dtype,
        tkp_dtype_string(t->dtype));
    TKP__CHECK(
        t->device_type == TKP_DEVICE_CPU || t->device_type == TKP_DEVICE_CUDA,
        TKP_ERR_ARGUMENT, "%s: device_type is %d, wanted %d (CPU) or %d (CUDA)",
        name, t->device_type, TKP_DEVICE_CPU, TKP_DEVICE_CUDA);
    for (int32_t i = 0; i < t->ndim; i++)
        TKP__CHECK(
            t->shape[i] >= 0, TKP_ERR_SHAPE, "%s: dim %d is %lld", name, i,
            (long long)t->shape[i]);

    const int64_t count = tkp_tensor_count(t);
    if (count == 0)
        return TKP_OK;
    int64_t begin, end, bytes;
    TKP__CHECK(
        count > 0 && tkp__mul_i64(count, (int64_t)size, &bytes) &&
            byte_range(t, &begin, &end),
        TKP_ERR_SHAPE, "%s: sizes and strides do not fit in 63 bits", name);
    if (descriptor)
        return TKP_OK;
    TKP__CHECK(t->data, TKP_ERR_ARGUMENT, "%s: data is NULL", name);
    TKP__CHECK(
        t->byte_offset <= INT64_MAX &&
            ((uintptr_t)t->data + t->byte_offset) % size == 0,
        TKP_ERR_ARGUMENT, "%s: data is not aligned to the %zu bytes of %s",
        name, size, tkp_dtype_string(t->dtype));
    return TKP_OK;
}

bool tkp__extent(const tkp_tensor *t, const char **begin, const char **end)
{
    int64_t first, last;
    if (!t || !t->data || tkp_tensor_count(t) <= 0 ||
        tkp_dtype_bytes(t->dtype) == 0 || !byte_range(t, &first, &last))
        return false;
    const char *base = tkp__data(t);
    *begin = base + first;
    *end = base + last;
    return true;
}

bool tkp__overlap(const tkp_tensor *a, const tkp_tensor *b)
{
    const char *a_begin, *a_end, *b_begin, *b_end;
    if (!tkp__extent(a, &a_begin, &a_end) || !tkp__extent(b, &b_begin, &b_end))
        return false;
    if (a->device_type != b->device_type || a->device_id != b->device_id)
        return false;
    return (uintptr_t)a_begin < (uintptr_t)b_end &&
           (uintptr_t)b_begin < (uintptr_t)a_end;
}
