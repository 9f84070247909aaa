/*
 * JSON files of a model directory: loading and checked getters.
 */

#include "mllm/checkpoint/checkpoint_json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

/* The largest real one is an index of some MB. */
#define MAX_JSON_BYTES ((int64_t)64 << 20)

char *tkp__path_join(const char *dir, const char *name)
{
    const size_t bytes = strlen(dir) + strlen(name) + 2;
    char *path = tkp__alloc(bytes, 1);
    if (path)
        snprintf(path, bytes, "%s/%s", dir, name);
    return path;
}

static tkp_status check_file(FILE *file, const char *path)
{
    struct stat info;
    TKP__CHECK(
        fstat(fileno(file), &info) == 0, TKP_ERR_IO, "%s: %s", path,
        strerror(errno));
    TKP__CHECK(
        S_ISREG(info.st_mode), TKP_ERR_IO,
        "%s: is not a regular file, wanted JSON", path);
    TKP__CHECK(
        info.st_size <= MAX_JSON_BYTES, TKP_ERR_FORMAT,
        "%s: size is %lld bytes, wanted at most %lld", path,
        (long long)info.st_size, (long long)MAX_JSON_BYTES);
    return TKP_OK;
}

tkp_status tkp__json_load(json_t **out, const char *path, bool optional)
{
    *out = NULL;
    FILE *file = fopen(path, "rb");
    if (!file && optional && errno == ENOENT)
        return TKP_OK;
    TKP__CHECK(file, TKP_ERR_IO, "%s: %s", path, strerror(errno));
    json_t *root = NULL;
    json_error_t error;
    tkp_status status;
    TKP__TRY_OUT(check_file(file, path));
    root = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        status = tkp__fail(
            TKP_ERR_FORMAT, "%s:%d:%d: %s", path, error.line, error.column,
            error.text);
    else if (!json_is_object(root))
        status = tkp__fail(
            TKP_ERR_FORMAT, "%s: top level is no object, wanted {...}", path);
out:
    fclose(file);
    if (status == TKP_OK)
        *out = root;
    else
        json_decref(root);
    return status;
}

const json_t *tkp__json_get(const tkp__json_at *at, const char *key)
{
    const json_t *value = at->object ? json_object_get(at->object, key) : NULL;
    return json_is_null(value) ? NULL : value;
}

static const char *type_name(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a string",  [JSON_INTEGER] = "an integer",
        [JSON_REAL] = "a fraction",  [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null"};
    return names[json_typeof(value)];
}

static tkp_status wrong_type(
    const tkp__json_at *at,
    const char *key,
    const json_t *value,
    const char *wanted)
{
    return tkp__fail(
        TKP_ERR_FORMAT, "%s: %s%s is %s, wanted %s", at->file, at->section, key,
        type_name(value), wanted);
}

tkp_status tkp__json_section(
    tkp__json_at *out,
    const tkp__json_at *at,
    const char *key,
    const char *section)
{
    const json_t *value = tkp__json_get(at, key);
    if (value && !json_is_object(value))
        return wrong_type(at, key, value, "an object");
    *out =
        (tkp__json_at){.object = value, .file = at->file, .section = section};
    return TKP_OK;
}

tkp_status tkp__json_int(
    int64_t *out,
    const tkp__json_at *at,
    const char *key,
    int64_t low,
    int64_t high)
{
    const json_t *value = tkp__json_get(at, key);
    if (!value)
        return TKP_OK;
    if (!json_is_integer(value))
        return wrong_type(at, key, value, "an integer");
    const int64_t number = json_integer_value(value);
    TKP__CHECK(
        number >= low && number <= high, TKP_ERR_FORMAT,
        "%s: %s%s is %lld, wanted %lld to %lld", at->file, at->section, key,
        (long long)number, (long long)low, (long long)high);
    *out = number;
    return TKP_OK;
}

tkp_status tkp__json_real(
    double *out,
    const tkp__json_at *at,
    const char *key,
    double low,
    double high)
{
    const json_t *value = tkp__json_get(at, key);
    if (!value)
        return TKP_OK;
    if (!json_is_number(value))
        return wrong_type(at, key, value, "a number");
    const double number = json_number_value(value);
    TKP__CHECK(
        isfinite(number) && number >= low && number <= high, TKP_ERR_FORMAT,
        "%s: %s%s is %g, wanted %g to %g", at->file, at->section, key, number,
        low, high);
    *out = number;
    return TKP_OK;
}

tkp_status tkp__json_bool(bool *out, const tkp__json_at *at, const char *key)
{
    const json_t *value = tkp__json_get(at, key);
    if (!value)
        return TKP_OK;
    if (!json_is_boolean(value))
        return wrong_type(at, key, value, "true or false");
    *out = json_is_true(value);
    return TKP_OK;
}

tkp_status
tkp__json_text(const char **out, const tkp__json_at *at, const char *key)
{
    const json_t *value = tkp__json_get(at, key);
    if (!value)
        return TKP_OK;
    if (!json_is_string(value))
        return wrong_type(at, key, value, "a string");
    *out = json_string_value(value);
    return TKP_OK;
}

tkp_status
tkp__json_real3(double out[3], const tkp__json_at *at, const char *key)
{
    const json_t *value = tkp__json_get(at, key);
    if (!value)
        return TKP_OK;
    if (!json_is_array(value) || json_array_size(value) != 3)
        return wrong_type(at, key, value, "an array of 3 numbers");
    double numbers[3];
    for (size_t i = 0; i < 3; i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_number(item))
            return wrong_type(at, key, item, "a number in each place");
        numbers[i] = json_number_value(item);
        TKP__CHECK(
            fabs(numbers[i]) <= 1e6, TKP_ERR_FORMAT,
            "%s: %s%s holds %g, wanted at most 1e6", at->file, at->section, key,
            numbers[i]);
    }
    memcpy(out, numbers, sizeof(numbers));
    return TKP_OK;
}
