/*
 * A safetensors file, mapped: 8 bytes of header length, a JSON header, data.
 * Nothing of the header is believed before it is checked: length bound, every
 * type and number, ranges inside the file, sizes equal to the shapes, neither
 * overlap nor hole (upstream refuses holes too, they can hide other content).
 *
 * A tensor that does not lie on a multiple of its element size is copied when
 * the file is opened, so that views can be read through typed pointers.
 */

#include "safetensors/safetensors_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The same bounds as upstream has, or what no real file comes near. */
#define MAX_HEADER_BYTES 100000000
#define MAX_NAME_BYTES   512

typedef struct entry {
    const char *name; /* belongs to the header object */
    const tkp__st_dtype *type;
    tkp_tensor view;
    uint64_t begin, end; /* from the first data byte */
    void *copy;          /* NULL unless misaligned in the file */
} entry;

struct tkp__safetensors {
    char *path;
    void *map;
    size_t map_bytes;
    json_t *header;
    entry *entries; /* by name */
    int64_t count;
};

void tkp__safetensors_close(tkp__safetensors *file)
{
    if (!file)
        return;
    for (int64_t i = 0; i < file->count; i++)
        tkp__free(file->entries[i].copy);
    tkp__free(file->entries);
    json_decref(file->header);
    if (file->map)
        munmap(file->map, file->map_bytes);
    tkp__free(file->path);
    tkp__free(file);
}

static tkp_status map_descriptor(tkp__safetensors *file, int descriptor)
{
    struct stat info;
    TKP__CHECK(
        fstat(descriptor, &info) == 0, TKP_ERR_IO, "%s: %s", file->path,
        strerror(errno));
    TKP__CHECK(
        S_ISREG(info.st_mode), TKP_ERR_IO,
        "%s: is not a regular file, wanted safetensors", file->path);
    TKP__CHECK(
        info.st_size >= 10, TKP_ERR_FORMAT,
        "%s: size is %lld bytes, wanted at least 10", file->path,
        (long long)info.st_size);
    void *map =
        mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    TKP__CHECK(
        map != MAP_FAILED, TKP_ERR_IO, "%s: cannot be mapped: %s", file->path,
        strerror(errno));
    file->map = map;
    file->map_bytes = (size_t)info.st_size;
    return TKP_OK;
}

static tkp_status map_file(tkp__safetensors *file)
{
    const int descriptor = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    TKP__CHECK(
        descriptor >= 0, TKP_ERR_IO, "%s: %s", file->path, strerror(errno));
    const tkp_status status = map_descriptor(file, descriptor);
    close(descriptor);
    return status;
}

static uint64_t header_bytes(const tkp__safetensors *file)
{
    const uint8_t *p = file->map;
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | p[i];
    return value;
}

static tkp_status parse_header(tkp__safetensors *file)
{
    const uint64_t bytes = header_bytes(file);
    TKP__CHECK(
        bytes <= MAX_HEADER_BYTES, TKP_ERR_FORMAT,
        "%s: header length is %llu, wanted at most %d", file->path,
        (unsigned long long)bytes, MAX_HEADER_BYTES);
    TKP__CHECK(
        bytes <= file->map_bytes - 8, TKP_ERR_FORMAT,
        "%s: header length is %llu, wanted at most the %zu bytes that follow",
        file->path, (unsigned long long)bytes, file->map_bytes - 8);
    json_error_t error;
    file->header = json_loadb(
        (const char *)file->map + 8, (size_t)bytes, JSON_REJECT_DUPLICATES,
        &error);
    TKP__CHECK(
        file->header, TKP_ERR_FORMAT, "%s: header, byte %d: %s", file->path,
        error.position, error.text);
    TKP__CHECK(
        json_is_object(file->header), TKP_ERR_FORMAT,
        "%s: header is no object, wanted {...}", file->path);
    return TKP_OK;
}

static tkp_status check_name(const tkp__safetensors *file, const char *name)
{
    const size_t length = strlen(name);
    TKP__CHECK(
        length > 0 && length <= MAX_NAME_BYTES, TKP_ERR_FORMAT,
        "%s: a tensor name has %zu bytes, wanted 1 to %d", file->path, length,
        MAX_NAME_BYTES);
    /* Names go into messages and terminals. */
    for (const char *p = name; *p; p++)
        TKP__CHECK(
            (unsigned char)*p >= 0x20 && *p != 0x7f, TKP_ERR_FORMAT,
            "%s: a tensor name holds control character 0x%02x", file->path,
            (unsigned)(unsigned char)*p);
    return TKP_OK;
}

static tkp_status
read_dtype(const tkp__safetensors *file, entry *e, const json_t *object)
{
    const char *name = json_string_value(json_object_get(object, "dtype"));
    TKP__CHECK(
        name, TKP_ERR_FORMAT, "%s: %s: dtype is not a string", file->path,
        e->name);
    e->type = tkp__st_dtype_by_name(name);
    TKP__CHECK(
        e->type, TKP_ERR_UNSUPPORTED,
        "%s: %s: dtype is %.40s, wanted F32, F16, BF16 or another of the known "
        "ones",
        file->path, e->name, name);
    return TKP_OK;
}

/* Shape into the view; its byte count into *bytes. */
static tkp_status read_shape(
    const tkp__safetensors *file,
    entry *e,
    const json_t *object,
    uint64_t *bytes)
{
    const json_t *shape = json_object_get(object, "shape");
    TKP__CHECK(
        json_is_array(shape), TKP_ERR_FORMAT, "%s: %s: shape is not an array",
        file->path, e->name);
    const size_t ndim = json_array_size(shape);
    TKP__CHECK(
        ndim <= TKP_MAX_DIMS, TKP_ERR_UNSUPPORTED,
        "%s: %s: shape has %zu dimensions, wanted at most %d", file->path,
        e->name, ndim, TKP_MAX_DIMS);
    int64_t sizes[TKP_MAX_DIMS];
    uint64_t total = e->type->bytes;
    bool fits = true;
    for (size_t i = 0; i < ndim; i++) {
        const json_t *size = json_array_get(shape, i);
        TKP__CHECK(
            json_is_integer(size) && json_integer_value(size) >= 0,
            TKP_ERR_FORMAT, "%s: %s: shape[%zu] is not a size >= 0", file->path,
            e->name, i);
        sizes[i] = json_integer_value(size);
        fits =
            fits && !__builtin_mul_overflow(total, (uint64_t)sizes[i], &total);
    }
    TKP__CHECK(
        fits && total <= INT64_MAX, TKP_ERR_FORMAT,
        "%s: %s: the product of its shape does not fit", file->path, e->name);
    tkp_tensor_make(&e->view, NULL, e->type->dtype, (int32_t)ndim, sizes);
    *bytes = total;
    return TKP_OK;
}

static tkp_status read_offsets(
    const tkp__safetensors *file,
    entry *e,
    const json_t *object,
    uint64_t bytes)
{
    const json_t *offsets = json_object_get(object, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0);
    const json_t *end = json_array_get(offsets, 1);
    TKP__CHECK(
        json_array_size(offsets) == 2 && json_is_integer(begin) &&
            json_is_integer(end) && json_integer_value(begin) >= 0 &&
            json_integer_value(end) >= json_integer_value(begin),
        TKP_ERR_FORMAT,
        "%s: %s: data_offsets is not [begin, end] with 0 <= begin <= end",
        file->path, e->name);
    e->begin = (uint64_t)json_integer_value(begin);
    e->end = (uint64_t)json_integer_value(end);
    const uint64_t data = file->map_bytes - 8 - header_bytes(file);
    TKP__CHECK(
        e->end <= data, TKP_ERR_FORMAT,
        "%s: %s: data_offsets end at %llu, wanted at most the %llu data bytes "
        "of the file",
        file->path, e->name, (unsigned long long)e->end,
        (unsigned long long)data);
    TKP__CHECK(
        e->end - e->begin == bytes, TKP_ERR_FORMAT,
        "%s: %s: data_offsets span %llu bytes, wanted %llu for its shape",
        file->path, e->name, (unsigned long long)(e->end - e->begin),
        (unsigned long long)bytes);
    return TKP_OK;
}

static tkp_status place_data(tkp__safetensors *file, entry *e)
{
    uint8_t *data = (uint8_t *)file->map + 8 + header_bytes(file) + e->begin;
    const size_t bytes = (size_t)(e->end - e->begin);
    if ((uintptr_t)data % e->type->bytes != 0 && bytes > 0) {
        e->copy = tkp__alloc(bytes, 1);
        if (!e->copy)
            return TKP_ERR_MEMORY;
        memcpy(e->copy, data, bytes);
        data = e->copy;
    }
    e->view.data = data;
    return TKP_OK;
}

static tkp_status
read_entry(tkp__safetensors *file, const char *name, const json_t *object)
{
    TKP__TRY(check_name(file, name));
    TKP__CHECK(
        json_is_object(object), TKP_ERR_FORMAT,
        "%s: %s: is no object, wanted {dtype, shape, data_offsets}", file->path,
        name);
    entry *e = &file->entries[file->count];
    *e = (entry){.name = name};
    uint64_t bytes = 0;
    TKP__TRY(read_dtype(file, e, object));
    TKP__TRY(read_shape(file, e, object, &bytes));
    TKP__TRY(read_offsets(file, e, object, bytes));
    file->count++;
    return TKP_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static int by_begin(const void *a, const void *b)
{
    const entry *x = a;
    const entry *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Entries must be sorted by their begin. */
static tkp_status check_layout(const tkp__safetensors *file)
{
    uint64_t at = 0;
    for (int64_t i = 0; i < file->count; i++) {
        const entry *e = &file->entries[i];
        TKP__CHECK(
            e->begin == at, TKP_ERR_FORMAT,
            "%s: %s: data begin at %llu, wanted %llu (%s)", file->path, e->name,
            (unsigned long long)e->begin, (unsigned long long)at,
            e->begin < at ? "overlap with the tensor before" : "hole");
        at = e->end;
    }
    const uint64_t data = file->map_bytes - 8 - header_bytes(file);
    TKP__CHECK(
        at == data, TKP_ERR_FORMAT,
        "%s: %llu data bytes, wanted %llu by the header", file->path,
        (unsigned long long)data, (unsigned long long)at);
    return TKP_OK;
}

static tkp_status read_entries(tkp__safetensors *file)
{
    const size_t count = json_object_size(file->header);
    file->entries = tkp__zalloc(count, sizeof(*file->entries));
    if (!file->entries)
        return TKP_ERR_MEMORY;
    const char *name;
    json_t *object;
    json_object_foreach(file->header, name, object)
    {
        if (strcmp(name, "__metadata__") != 0)
            TKP__TRY(read_entry(file, name, object));
    }
    qsort(file->entries, (size_t)file->count, sizeof(entry), by_begin);
    TKP__TRY(check_layout(file));
    for (int64_t i = 0; i < file->count; i++)
        TKP__TRY(place_data(file, &file->entries[i]));
    qsort(file->entries, (size_t)file->count, sizeof(entry), by_name);
    return TKP_OK;
}

tkp_status tkp__safetensors_open(tkp__safetensors **out, const char *path)
{
    TKP__CHECK(
        out && path, TKP_ERR_ARGUMENT, "out or path is NULL, wanted both");
    tkp__safetensors *file = tkp__zalloc(1, sizeof(*file));
    if (!file)
        return TKP_ERR_MEMORY;
    tkp_status status = TKP_ERR_MEMORY;
    file->path = tkp__strdup(path);
    if (!file->path)
        goto out;
    TKP__TRY_OUT(map_file(file));
    TKP__TRY_OUT(parse_header(file));
    TKP__TRY_OUT(read_entries(file));
out:
    if (status == TKP_OK)
        *out = file;
    else
        tkp__safetensors_close(file);
    return status;
}

int64_t tkp__safetensors_count(const tkp__safetensors *file)
{
    return file->count;
}

void tkp__safetensors_entry(
    const tkp__safetensors *file,
    int64_t i,
    const char **name,
    tkp_tensor *view)
{
    *name = file->entries[i].name;
    *view = file->entries[i].view;
}

int64_t tkp__safetensors_index(const tkp__safetensors *file, const char *name)
{
    const entry key = {.name = name};
    const entry *found = file->count == 0
                             ? NULL
                             : bsearch(
                                   &key, file->entries, (size_t)file->count,
                                   sizeof(entry), by_name);
    return found ? found - file->entries : -1;
}

bool tkp__safetensors_find(
    const tkp__safetensors *file,
    const char *name,
    tkp_tensor *view)
{
    const int64_t i = tkp__safetensors_index(file, name);
    if (i >= 0)
        *view = file->entries[i].view;
    return i >= 0;
}

const char *tkp__safetensors_dtype_name(const tkp__safetensors *file, int64_t i)
{
    return file->entries[i].type->name;
}

const char *tkp__safetensors_path(const tkp__safetensors *file)
{
    return file->path;
}
