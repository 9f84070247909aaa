/* Reading the tensors of a file: known names, the right kinds and ranks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/select.h"
#include "safetensors/safetensors_file.h"

enum { COMMON, F32, WHOLE, POSITIONS, MASK }; /* what a tensor becomes */

static const struct {
    const char *name;
    int32_t becomes;
    int32_t least_dims, most_dims;
    const char *shape;
} known[TKP__SELECT_TENSORS] = {
    [TKP__SELECT_FEATURES] = {"features", COMMON, 2, 2, "[N, D]"},
    [TKP__SELECT_HIDDEN] = {"hidden", COMMON, 2, 2, "[R, D]"},
    [TKP__SELECT_Q] = {"q", COMMON, 3, 3, "[Q or R, H, C]"},
    [TKP__SELECT_K] = {"k", COMMON, 3, 3, "[R, G, C]"},
    [TKP__SELECT_PLAIN_Q] = {"plain_q", COMMON, 3, 3, "[R, H, C]"},
    [TKP__SELECT_PLAIN_K] = {"plain_k", COMMON, 3, 3, "[R, G, C]"},
    [TKP__SELECT_LSE] = {"lse", F32, 2, 2, "[Q or R, H]"},
    [TKP__SELECT_ATTENTION_ROWS] =
        {"attention_rows", COMMON, 1, 3, "[Q, H, R], [H, R] or [R]"},
    [TKP__SELECT_ATTENTION] = {"attention", COMMON, 3, 3, "[H, R, R]"},
    [TKP__SELECT_CLS_ATTENTION] =
        {"cls_attention", COMMON, 1, 2, "[N] or [H, N]"},
    [TKP__SELECT_SCORES] = {"scores", F32, 1, 1, "[N]"},
    [TKP__SELECT_NORM_WEIGHT] = {"norm_weight", COMMON, 1, 1, "[D]"},
    [TKP__SELECT_TEXT] = {"text", COMMON, 2, 2, "[m, D]"},
    [TKP__SELECT_VALUES] = {"values", COMMON, 3, 3, "[R, G, C]"},
    [TKP__SELECT_VISION] = {"vision", COMMON, 2, 2, "[N, Dv]"},
    [TKP__SELECT_VISION_KEYS] = {"vision_keys", COMMON, 2, 2, "[N, Dk]"},
    [TKP__SELECT_VISION_VALUES] = {"vision_values", COMMON, 2, 2, "[N, Dw]"},
    [TKP__SELECT_CLS_SHALLOW] = {"cls_shallow", COMMON, 1, 2, "[N] or [H, N]"},
    [TKP__SELECT_CLIP] = {"clip", COMMON, 2, 2, "[N, Dc]"},
    [TKP__SELECT_CLIP_TEXT] = {"clip_text", COMMON, 2, 2, "[m, Dc]"},
    [TKP__SELECT_CLIP_TOKENS] = {"clip_tokens", COMMON, 2, 2, "[l, Dc]"},
    [TKP__SELECT_EMBEDDINGS] = {"embeddings", COMMON, 2, 2, "[R, D]"},
    [TKP__SELECT_PIVOT_ORDER] = {"pivot_order", POSITIONS, 1, 1, "[P]"},
    [TKP__SELECT_ROPE_THETA] = {"rope_theta", F32, 0, 1, "[] or [1]"},
    [TKP__SELECT_GRID] = {"grid", WHOLE, 1, 2, "[2], [3] or [images, 2 or 3]"},
    [TKP__SELECT_TILE] = {"tile", WHOLE, 1, 2, "[2], [4] or [images, 2 or 4]"},
    [TKP__SELECT_SPAN] = {"span", WHOLE, 1, 2, "[2] or [images, 2]"},
    [TKP__SELECT_TEXT_SPAN] = {"text_span", WHOLE, 1, 1, "[2]"},
    [TKP__SELECT_LENGTH] = {"length", WHOLE, 0, 1, "[] or [1]"},
    [TKP__SELECT_POSITIONS] = {"positions", POSITIONS, 1, 2, "[R] or [3, R]"},
    [TKP__SELECT_KEEP_ALWAYS] = {"keep_always", MASK, 1, 1, "[N]"},
    [TKP__SELECT_VALID] = {"valid", MASK, 1, 1, "[N]"},
};

static const char *const wanted_dtypes[] = {
    [COMMON] = "F32, F16 or BF16", [F32] = "F32, F16 or BF16",
    [WHOLE] = "I32 or I64",        [POSITIONS] = "I32 or I64",
    [MASK] = "U8 or BOOL",
};

bool tkp__select_has(const tkp__select_file *file, int32_t tensor)
{
    return file->tensor[tensor].dtype != TKP_DTYPE_NONE;
}

const char *tkp__select_name(int32_t tensor)
{
    return known[tensor].name;
}

const int64_t *tkp__select_i64(const tkp__select_file *file, int32_t tensor)
{
    return tkp__data(&file->tensor[tensor]);
}

/* --- one tensor -------------------------------------------------------------- */

static bool right_dtype(int32_t becomes, const char *dtype)
{
    switch (becomes) {
    case COMMON:
    case F32:
        return !strcmp(dtype, "F32") || !strcmp(dtype, "F16") ||
               !strcmp(dtype, "BF16");
    case MASK:
        return !strcmp(dtype, "U8") || !strcmp(dtype, "BOOL");
    default:
        return !strcmp(dtype, "I32") || !strcmp(dtype, "I64");
    }
}

static tkp_status
check_tensor(const tkp__safetensors *source, int32_t t, int64_t entry)
{
    const char *name;
    tkp_tensor view;
    tkp__safetensors_entry(source, entry, &name, &view);
    const char *dtype = tkp__safetensors_dtype_name(source, entry);
    const char *path = tkp__safetensors_path(source);
    TKP__CHECK(
        right_dtype(known[t].becomes, dtype), TKP_ERR_DTYPE,
        "%s: %s: dtype is %s, wanted %s", path, name, dtype,
        wanted_dtypes[known[t].becomes]);
    TKP__CHECK(
        view.ndim >= known[t].least_dims && view.ndim <= known[t].most_dims,
        TKP_ERR_SHAPE, "%s: %s: has %d dimensions, wanted %s", path, name,
        view.ndim, known[t].shape);
    for (int32_t d = 0; d < view.ndim; d++)
        TKP__CHECK(
            view.shape[d] >= 1 && view.shape[d] <= INT32_MAX, TKP_ERR_SHAPE,
            "%s: %s: dim %d is %lld, wanted 1 or more of %s", path, name, d,
            (long long)view.shape[d], known[t].shape);
    return TKP_OK;
}

static int32_t new_dtype(const tkp__select_file *file, int32_t t)
{
    static const int32_t dtypes[] = {
        [F32] = TKP_DTYPE_F32,
        [WHOLE] = TKP_DTYPE_I64,
        [POSITIONS] = TKP_DTYPE_I32,
        [MASK] = TKP_DTYPE_U8,
    };
    return known[t].becomes == COMMON ? file->dtype : dtypes[known[t].becomes];
}

static tkp_status copy_whole(
    void *out,
    int32_t dtype,
    const tkp_tensor *in,
    int64_t count,
    const char *name)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t wide;
        int32_t narrow;
        if (in->dtype == TKP_DTYPE_I64)
            memcpy(&wide, (const char *)tkp__data(in) + 8 * i, sizeof(wide));
        else {
            memcpy(&narrow, (const char *)tkp__data(in) + 4 * i, 4);
            wide = narrow;
        }
        if (dtype == TKP_DTYPE_I64) {
            ((int64_t *)out)[i] = wide;
            continue;
        }
        TKP__CHECK(
            wide >= INT32_MIN && wide <= INT32_MAX, TKP_ERR_FORMAT,
            "%s: entry %lld is %lld, wanted 32 bits", name, (long long)i,
            (long long)wide);
        ((int32_t *)out)[i] = (int32_t)wide;
    }
    return TKP_OK;
}

/* The file is mapped and its data may lie anywhere: copies are aligned. */
static tkp_status
copy_tensor(tkp__select_file *file, int32_t t, const tkp_tensor *in)
{
    const int32_t dtype = new_dtype(file, t);
    const int64_t count = tkp_tensor_count(in);
    void *copy = tkp__alloc((size_t)count, tkp_dtype_bytes(dtype));
    if (!copy)
        return TKP_ERR_MEMORY;
    tkp_tensor_make(&file->tensor[t], copy, dtype, in->ndim, in->shape);
    if (dtype == TKP_DTYPE_I64 || dtype == TKP_DTYPE_I32)
        return copy_whole(copy, dtype, in, count, known[t].name);
    const size_t bytes = (size_t)count * tkp_dtype_bytes(dtype);
    if (dtype == TKP_DTYPE_U8 || in->dtype == dtype)
        memcpy(copy, tkp__data(in), bytes);
    else
        for (int64_t i = 0; i < count; i++)
            tkp__store_f32(
                copy, dtype, i, tkp__load_f32(tkp__data(in), in->dtype, i));
    return TKP_OK;
}

/* --- all of them ------------------------------------------------------------- */

/* One dtype for all rows, as a model has it; mixed ones meet in f32. */
static int32_t
common_dtype(const tkp__safetensors *source, const int64_t *entries)
{
    int32_t common = TKP_DTYPE_NONE;
    for (int32_t t = 0; t < TKP__SELECT_TENSORS; t++) {
        const char *name;
        tkp_tensor view;
        if (entries[t] < 0 || known[t].becomes != COMMON)
            continue;
        tkp__safetensors_entry(source, entries[t], &name, &view);
        if (common != TKP_DTYPE_NONE && common != view.dtype)
            return TKP_DTYPE_F32;
        common = view.dtype;
    }
    return common == TKP_DTYPE_NONE ? TKP_DTYPE_F32 : common;
}

static tkp_status
list_names(tkp__select_file *file, const tkp__safetensors *source)
{
    size_t bytes = 1;
    const int64_t count = tkp__safetensors_count(source);
    const char *name;
    tkp_tensor view;
    for (int64_t i = 0; i < count; i++) {
        tkp__safetensors_entry(source, i, &name, &view);
        bytes += strlen(name) + 2;
    }
    file->names = tkp__zalloc(1, bytes);
    file->others = json_array();
    if (!file->names)
        return TKP_ERR_MEMORY;
    char *at = file->names;
    for (int64_t i = 0; i < count; i++) {
        tkp__safetensors_entry(source, i, &name, &view);
        at += sprintf(at, "%s%s", i ? ", " : "", name);
        int32_t t = 0;
        while (t < TKP__SELECT_TENSORS && strcmp(known[t].name, name))
            t++;
        if (t == TKP__SELECT_TENSORS)
            json_array_append_new(file->others, tkp__cli_json_text(name));
    }
    return TKP_OK;
}

static tkp_status
read_all(tkp__select_file *file, const tkp__safetensors *source)
{
    int64_t entries[TKP__SELECT_TENSORS];
    TKP__TRY(list_names(file, source));
    for (int32_t t = 0; t < TKP__SELECT_TENSORS; t++) {
        entries[t] = tkp__safetensors_index(source, known[t].name);
        if (entries[t] >= 0)
            TKP__TRY(check_tensor(source, t, entries[t]));
    }
    file->dtype = common_dtype(source, entries);
    for (int32_t t = 0; t < TKP__SELECT_TENSORS; t++) {
        const char *name;
        tkp_tensor view;
        if (entries[t] < 0)
            continue;
        tkp__safetensors_entry(source, entries[t], &name, &view);
        const tkp_status status = copy_tensor(file, t, &view);
        if (status != TKP_OK)
            return tkp__fail_prefix(status, "%s", file->path);
    }
    return TKP_OK;
}

tkp_status tkp__select_file_read(tkp__select_file *out, const char *path)
{
    tkp__safetensors *source;
    *out = (tkp__select_file){.path = path};
    TKP__TRY(tkp__safetensors_open(&source, path));
    const tkp_status status = read_all(out, source);
    tkp__safetensors_close(source);
    return status;
}

void tkp__select_file_release(tkp__select_file *file)
{
    for (int32_t t = 0; t < TKP__SELECT_TENSORS; t++)
        tkp__free(file->tensor[t].data);
    tkp__free(file->names);
    json_decref(file->others);
    *file = (tkp__select_file){0};
}
