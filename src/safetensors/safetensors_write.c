/*
 * Writing a safetensors file: larger elements first, so that every tensor lies
 * on a multiple of its element size, and a header padded to 8 bytes.
 */

#include "safetensors/safetensors_file.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct item {
    const char *name;
    const tkp_tensor *tensor;
    size_t bytes;
    int64_t rank; /* place in the caller's list: a stable order */
} item;

static int by_element_size(const void *a, const void *b)
{
    const item *x = a;
    const item *y = b;
    const size_t m = tkp_dtype_bytes(x->tensor->dtype);
    const size_t n = tkp_dtype_bytes(y->tensor->dtype);
    if (m != n)
        return m > n ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static tkp_status
make_item(item *out, const char *name, const tkp_tensor *tensor, int64_t rank)
{
    TKP__CHECK(
        name && *name && strcmp(name, "__metadata__") != 0, TKP_ERR_ARGUMENT,
        "tensor %lld: its name is empty or reserved", (long long)rank);
    TKP__TRY(tkp__check_view(tensor, name, false));
    TKP__CHECK(
        tkp__st_dtype_of(tensor->dtype), TKP_ERR_DTYPE,
        "%s: dtype is %s, which the file format has no name for", name,
        tkp_dtype_string(tensor->dtype));
    TKP__CHECK(
        tensor->device_type == TKP_DEVICE_CPU &&
            tkp_tensor_is_contiguous(tensor),
        TKP_ERR_SHAPE, "%s: wanted contiguous and in host memory", name);
    *out = (item){
        .name = name,
        .tensor = tensor,
        .bytes =
            (size_t)tkp_tensor_count(tensor) * tkp_dtype_bytes(tensor->dtype),
        .rank = rank};
    return TKP_OK;
}

static json_t *describe(const item *it, uint64_t begin)
{
    json_t *shape = json_array();
    for (int32_t i = 0; i < it->tensor->ndim; i++)
        json_array_append_new(shape, json_integer(it->tensor->shape[i]));
    return json_pack(
        "{s:s, s:o, s:[I, I]}", "dtype",
        tkp__st_dtype_of(it->tensor->dtype)->name, "shape", shape,
        "data_offsets", (json_int_t)begin, (json_int_t)(begin + it->bytes));
}

/* The header's text, released with free(); NULL when memory is out or two
 * names are equal. */
static char *make_header(const item *items, int64_t count)
{
    json_t *header = json_object();
    uint64_t at = 0;
    bool good = header != NULL;
    for (int64_t i = 0; good && i < count; i++) {
        good = !json_object_get(header, items[i].name) &&
               json_object_set_new(
                   header, items[i].name, describe(&items[i], at)) == 0;
        at += items[i].bytes;
    }
    char *text = good ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    return text;
}

static bool
write_all(FILE *file, const char *header, const item *items, int64_t count)
{
    const uint64_t length = strlen(header);
    const uint64_t padded = tkp__align_up((size_t)length, 8);
    uint8_t prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (uint8_t)(padded >> (8 * i));
    bool good = fwrite(prefix, 1, 8, file) == 8 &&
                fwrite(header, 1, length, file) == length;
    for (uint64_t i = length; good && i < padded; i++)
        good = fputc(' ', file) != EOF;
    for (int64_t i = 0; good && i < count; i++)
        good = items[i].bytes == 0 ||
               fwrite(tkp__data(items[i].tensor), 1, items[i].bytes, file) ==
                   items[i].bytes;
    return good;
}

static tkp_status write_file(
    const char *path,
    const char *header,
    const item *items,
    int64_t count)
{
    FILE *file = fopen(path, "wb");
    TKP__CHECK(file, TKP_ERR_IO, "%s: %s", path, strerror(errno));
    const bool good = write_all(file, header, items, count);
    const int reason = errno;
    if (fclose(file) != 0 || !good)
        return tkp__fail(
            TKP_ERR_IO, "%s: %s", path, strerror(good ? errno : reason));
    return TKP_OK;
}

tkp_status tkp__safetensors_write(
    const char *path,
    int64_t count,
    const char *const *names,
    const tkp_tensor *tensors)
{
    TKP__CHECK(
        path && count >= 0 && (count == 0 || (names && tensors)),
        TKP_ERR_ARGUMENT, "path, names or tensors is NULL, wanted all three");
    item *items = tkp__alloc((size_t)count, sizeof(*items));
    if (!items)
        return TKP_ERR_MEMORY;
    char *header = NULL;
    tkp_status status = TKP_OK;
    for (int64_t i = 0; i < count; i++)
        TKP__TRY_OUT(make_item(&items[i], names[i], &tensors[i], i));
    qsort(items, (size_t)count, sizeof(*items), by_element_size);
    header = make_header(items, count);
    if (!header) {
        status = tkp__fail(
            TKP_ERR_ARGUMENT, "%s: a name appears twice or is not UTF-8", path);
        goto out;
    }
    status = write_file(path, header, items, count);
out:
    free(header);
    tkp__free(items);
    return status;
}
