#ifndef TOKENPRUNE_TENSOR_H
#define TOKENPRUNE_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "tokenprune/export.h"
#include "tokenprune/status.h"

TKP_BEGIN_DECLS

/*
 * A tensor view: where numbers lie and how to walk over them. A view borrows;
 * it owns nothing. Its layout is part of the ABI and fixed for good.
 */

#define TKP_MAX_DIMS 6

enum tkp_dtype {
    TKP_DTYPE_NONE = 0, /* "no tensor here": how an optional one is left out */
    TKP_DTYPE_F32 = 1,
    TKP_DTYPE_F16 = 2,
    TKP_DTYPE_BF16 = 3,
    TKP_DTYPE_I32 = 4,
    TKP_DTYPE_I64 = 5,
    TKP_DTYPE_U8 = 6
};

/* Numbered as DLPack does. */
enum tkp_device_type {
    TKP_DEVICE_CPU = 1,
    TKP_DEVICE_CUDA = 2
};

typedef struct tkp_tensor {
    void *data;                     /* host or device; may be NULL if empty */
    uint64_t byte_offset;           /* added to data */
    int64_t shape[TKP_MAX_DIMS];    /* outermost first */
    int64_t strides[TKP_MAX_DIMS];  /* in elements, not bytes */
    int32_t ndim;                   /* 0..TKP_MAX_DIMS */
    int32_t dtype;                  /* enum tkp_dtype */
    int32_t device_type;            /* enum tkp_device_type */
    int32_t device_id;
} tkp_tensor;

/** Bytes of one element; 0 for an unknown dtype. */
TKP_API size_t tkp_dtype_bytes(int32_t dtype);

/** "f32", "bf16", ...; "?" for an unknown dtype. */
TKP_API const char *tkp_dtype_string(int32_t dtype);

/**
 * Fill a row-major contiguous view on the CPU. `data` may be NULL to describe
 * a shape without memory. Does not check; tkp_* calls check what they get.
 *
 * @param[out] out    The view.
 * @param[in]  data   First element, or NULL.
 * @param[in]  dtype  enum tkp_dtype.
 * @param[in]  ndim   0..TKP_MAX_DIMS; outside, the view is made empty.
 * @param[in]  shape  [ndim] sizes, outermost first.
 */
TKP_API void tkp_tensor_make(
    tkp_tensor *out,
    void *data,
    int32_t dtype,
    int32_t ndim,
    const int64_t *shape);

/** tkp_tensor_make() for one, two and three dimensions. */
TKP_API void
tkp_tensor_make_1d(tkp_tensor *out, void *data, int32_t dtype, int64_t n0);
TKP_API void tkp_tensor_make_2d(
    tkp_tensor *out,
    void *data,
    int32_t dtype,
    int64_t n0,
    int64_t n1);
TKP_API void tkp_tensor_make_3d(
    tkp_tensor *out,
    void *data,
    int32_t dtype,
    int64_t n0,
    int64_t n1,
    int64_t n2);

/** Elements in the view; -1 if a size is negative or the product overflows. */
TKP_API int64_t tkp_tensor_count(const tkp_tensor *tensor);

/** 1 if row-major without gaps (sizes of 1 may have any stride), else 0. */
TKP_API int32_t tkp_tensor_is_contiguous(const tkp_tensor *tensor);

TKP_END_DECLS

#endif
