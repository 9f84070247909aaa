/*
 * SCATTER_ROWS: dst[index[i]] = src[i], in dst's dtype.
 *
 * Source: putting projected image features into the embedding rows of their
 * placeholders. Rows that no index names are left as they were. Where an index
 * comes twice the later row stays here; do not count on it elsewhere. Equal
 * dtypes are copied bit for bit.
 */

#include "ref/ref.h"

enum { SRC, INDEX, DST };

static void convert_row(
    const tkp_tensor *dst,
    int64_t to,
    const tkp_tensor *src,
    int64_t from)
{
    const int64_t d = src->shape[1];
    void *out = tkp__ref_row(dst, to);
    const void *in = tkp__ref_row(src, from);
    if (src->dtype == dst->dtype) {
        if (d > 0)
            memcpy(out, in, (size_t)d * tkp_dtype_bytes(dst->dtype));
        return;
    }
    for (int64_t c = 0; c < d; c++)
        tkp__store_f32(out, dst->dtype, c, tkp__load_f32(in, src->dtype, c));
}

static tkp_status run_scatter_rows(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    (void)plan;
    (void)workspace;
    const int64_t n = args[INDEX].shape[0];
    TKP__TRY(
        tkp__ref_check_index(&args[INDEX], n, args[DST].shape[0], "index"));
    const int32_t *index = tkp__ref_i32(&args[INDEX]);
    for (int64_t i = 0; i < n; i++)
        convert_row(&args[DST], index[i], &args[SRC], i);
    return TKP_OK;
}

const tkp__ref_op tkp__ref_scatter_rows = {
    .kind = TKP_OP_SCATTER_ROWS,
    .kernel = "ref_scatter_rows",
    .run = run_scatter_rows,
};
