/*
 * Tensor views: constructors and questions.
 */

#include "tokenprune/tensor.h"
#include "util/util.h"

size_t tkp_dtype_bytes(int32_t dtype)
{
    switch (dtype) {
    case TKP_DTYPE_F32:
    case TKP_DTYPE_I32:
        return 4;
    case TKP_DTYPE_F16:
    case TKP_DTYPE_BF16:
        return 2;
    case TKP_DTYPE_I64:
        return 8;
    case TKP_DTYPE_U8:
        return 1;
    default:
        return 0;
    }
}

const char *tkp_dtype_string(int32_t dtype)
{
    switch (dtype) {
    case TKP_DTYPE_NONE:
        return "none";
    case TKP_DTYPE_F32:
        return "f32";
    case TKP_DTYPE_F16:
        return "f16";
    case TKP_DTYPE_BF16:
        return "bf16";
    case TKP_DTYPE_I32:
        return "i32";
    case TKP_DTYPE_I64:
        return "i64";
    case TKP_DTYPE_U8:
        return "u8";
    default:
        return "?";
    }
}

void tkp_tensor_make(
    tkp_tensor *out,
    void *data,
    int32_t dtype,
    int32_t ndim,
    const int64_t *shape)
{
    *out = (tkp_tensor){
        .data = data,
        .dtype = dtype,
        .device_type = TKP_DEVICE_CPU,
    };
    if (ndim < 0 || ndim > TKP_MAX_DIMS || (ndim > 0 && !shape)) {
        /* One dimension of size 0: a legal view of nothing. */
        out->ndim = 1;
        out->strides[0] = 1;
        return;
    }
    out->ndim = ndim;
    int64_t stride = 1;
    for (int32_t i = ndim - 1; i >= 0; i--) {
        out->shape[i] = shape[i];
        out->strides[i] = stride;
        /* A product that does not fit is refused by whoever gets the view. */
        if (!tkp__mul_i64(stride, shape[i], &stride))
            stride = INT64_MAX;
    }
}

void tkp_tensor_make_1d(tkp_tensor *out, void *data, int32_t dtype, int64_t n0)
{
    tkp_tensor_make(out, data, dtype, 1, &n0);
}

void tkp_tensor_make_2d(
    tkp_tensor *out,
    void *data,
    int32_t dtype,
    int64_t n0,
    int64_t n1)
{
    const int64_t shape[2] = {n0, n1};
    tkp_tensor_make(out, data, dtype, 2, shape);
}

void tkp_tensor_make_3d(
    tkp_tensor *out,
    void *data,
    int32_t dtype,
    int64_t n0,
    int64_t n1,
    int64_t n2)
{
    const int64_t shape[3] = {n0, n1, n2};
    tkp_tensor_make(out, data, dtype, 3, shape);
}

int64_t tkp_tensor_count(const tkp_tensor *tensor)
{
    if (!tensor || tensor->ndim < 0 || tensor->ndim > TKP_MAX_DIMS)
        return -1;
    bool empty = false;
    for (int32_t i = 0; i < tensor->ndim; i++) {
        if (tensor->shape[i] < 0)
            return -1;
        empty |= tensor->shape[i] == 0;
    }
    if (empty)
        return 0;
    int64_t count = 1;
    for (int32_t i = 0; i < tensor->ndim; i++)
        if (!tkp__mul_i64(count, tensor->shape[i], &count))
            return -1;
    return count;
}

int32_t tkp_tensor_is_contiguous(const tkp_tensor *tensor)
{
    const int64_t count = tkp_tensor_count(tensor);
    if (count < 0)
        return 0;
    if (count == 0)
        return 1;
    int64_t stride = 1;
    for (int32_t i = tensor->ndim - 1; i >= 0; i--) {
        if (tensor->shape[i] != 1 && tensor->strides[i] != stride)
            return 0;
        stride *= tensor->shape[i];
    }
    return 1;
}
