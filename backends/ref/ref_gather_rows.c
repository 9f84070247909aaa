/*
 * GATHER_ROWS: dst[i] = src[index[i]], bit for bit.
 *
 * Source: X[I], the reduced sequence. A row is everything behind the first
 * dimension. In place (dst is src) row i is written after rows 0 .. i-1 and
 * read from index[i] >= i, which holds when the index rises strictly; anything
 * else is refused, since rows would be read after they were written.
 */

#include "ref/ref.h"

enum { SRC, INDEX, DST };

static int64_t row_bytes(const tkp_tensor *t)
{
    int64_t bytes = (int64_t)tkp_dtype_bytes(t->dtype);
    for (int32_t d = 1; d < t->ndim; d++)
        bytes *= t->shape[d];
    return bytes;
}

static tkp_status check_rising(const tkp_tensor *index)
{
    const int32_t *v = tkp__ref_i32(index);
    for (int64_t i = 1; i < index->shape[0]; i++)
        TKP__CHECK(
            v[i] > v[i - 1], TKP_ERR_ARGUMENT,
            "index: entry %lld is %d after %d, wanted rising where dst is src",
            (long long)i, v[i], v[i - 1]);
    return TKP_OK;
}

static tkp_status run_gather_rows(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    (void)plan;
    (void)workspace;
    const tkp_tensor *src = &args[SRC], *dst = &args[DST];
    const int64_t n = args[INDEX].shape[0];
    TKP__TRY(tkp__ref_check_index(&args[INDEX], n, src->shape[0], "index"));
    if (tkp__overlap(src, dst))
        TKP__TRY(check_rising(&args[INDEX]));

    const int32_t *index = tkp__ref_i32(&args[INDEX]);
    const size_t bytes = (size_t)row_bytes(dst);
    if (bytes > 0)
        for (int64_t i = 0; i < n; i++)
            memmove(tkp__ref_row(dst, i), tkp__ref_row(src, index[i]), bytes);
    return TKP_OK;
}

const tkp__ref_op tkp__ref_gather_rows = {
    .kind = TKP_OP_GATHER_ROWS,
    .kernel = "ref_gather_rows",
    .run = run_gather_rows,
};
