#ifndef TKP_BACKENDS_CPU_DNNL_H
#define TKP_BACKENDS_CPU_DNNL_H

/*
 * What we use of oneDNN: one matrix product, in a form that hides whether the
 * library is version 2 or 3. A product is made for one exact shape, is used by
 * one thread at a time, and takes its scratchpad from the caller.
 */

#include <stdbool.h>
#include <stdint.h>

#include "tokenprune/sys/op.h"

/* dst[m, n] = x[m, k] w[n, k]^T (+ bias) (+ what is in dst). */
typedef struct tkp__cpu_product_key {
    int64_t m, n, k;
    int64_t ldx, ldw, ldd; /* elements between rows */
    int32_t x_dtype, w_dtype, d_dtype;
    int32_t bias_dtype; /* NONE = no bias */
    int32_t accumulate; /* 1 = dst is added to */
    int32_t packed;     /* 1 = w as tkp__cpu_dnnl_pack() laid it out */
    int32_t threads;
    int32_t reserved;
} tkp__cpu_product_key;

typedef struct tkp__cpu_product tkp__cpu_product;
typedef struct tkp__cpu_stream tkp__cpu_stream;

/* "oneDNN 2.6.3 (AVX512 BF16)" in `text`. */
void tkp__cpu_dnnl_version(char *text, size_t bytes);

tkp_status tkp__cpu_stream_create(tkp__cpu_stream **out);
void tkp__cpu_stream_destroy(tkp__cpu_stream *stream);

/* TKP_ERR_UNSUPPORTED if oneDNN has no such product here. */
tkp_status tkp__cpu_product_create(
    tkp__cpu_product **out,
    const tkp__cpu_product_key *key);
void tkp__cpu_product_destroy(tkp__cpu_product *product);
const tkp__cpu_product_key *
tkp__cpu_product_shape(const tkp__cpu_product *product);
uint64_t tkp__cpu_product_scratch(const tkp__cpu_product *product);
tkp_status tkp__cpu_product_run(
    tkp__cpu_product *product,
    tkp__cpu_stream *stream,
    const void *x,
    const void *w,
    const void *bias,
    void *dst,
    void *scratch);

/* A copy of w[n, k] in the layout the product of `key` likes best; release
 * with tkp__free(). */
tkp_status
tkp__cpu_dnnl_pack(void **out, const tkp__cpu_product_key *key, const void *w);

#endif
