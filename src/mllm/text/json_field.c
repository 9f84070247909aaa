#include "mllm/text/json_field.h"

#include <stdio.h>

const char *tkp__shown(char out[TKP__SHOWN_BYTES], const char *text)
{
    size_t used = 0;
    for (const char *p = text; *p; ++p) {
        const unsigned char c = (unsigned char)*p;
        if (used + 8 > TKP__SHOWN_BYTES) {
            memcpy(out + used, "...", 4);
            return out;
        }
        if (c >= 0x20 && c < 0x7f)
            out[used++] = (char)c;
        else
            used += (size_t)snprintf(out + used, 5, "\\x%02x", c);
    }
    out[used] = '\0';
    return out;
}

const char *
tkp__field_path(char out[TKP__PATH_BYTES], const char *path, const char *key)
{
    snprintf(out, TKP__PATH_BYTES, "%s%s%s", path, *path ? "." : "", key);
    return out;
}

static const char *type_name(const json_t *value)
{
    if (!value)
        return "missing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    default:
        return "null";
    }
}

static tkp_status wrong_type(
    const json_t *value,
    const char *path,
    const char *key,
    const char *wanted)
{
    char where[TKP__PATH_BYTES];
    return tkp__fail(
        TKP_ERR_FORMAT, "%s is %s, wanted %s",
        tkp__field_path(where, path, key), type_name(value), wanted);
}

tkp_status tkp__field_object(
    const json_t *object,
    const char *path,
    const char *key,
    json_t **out)
{
    json_t *value = json_object_get(object, key);
    if (value && !json_is_null(value) && !json_is_object(value))
        return wrong_type(value, path, key, "an object");
    *out = json_is_object(value) ? value : NULL;
    return TKP_OK;
}

tkp_status tkp__field_array(
    const json_t *object,
    const char *path,
    const char *key,
    json_t **out)
{
    json_t *value = json_object_get(object, key);
    if (value && !json_is_null(value) && !json_is_array(value))
        return wrong_type(value, path, key, "an array");
    *out = json_is_array(value) ? value : NULL;
    return TKP_OK;
}

tkp_status tkp__field_string(
    const json_t *object,
    const char *path,
    const char *key,
    const char **out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return wrong_type(value, path, key, "a string");
    *out = json_string_value(value);
    return TKP_OK;
}

tkp_status tkp__field_bool(
    const json_t *object,
    const char *path,
    const char *key,
    bool *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value))
        return wrong_type(value, path, key, "true or false");
    *out = json_is_true(value);
    return TKP_OK;
}

tkp_status tkp__field_bool_or(
    const json_t *object,
    const char *path,
    const char *key,
    bool otherwise,
    bool *out)
{
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_null(value))
        return tkp__field_bool(object, path, key, out);
    *out = otherwise;
    return TKP_OK;
}

tkp_status tkp__field_int(
    const json_t *object,
    const char *path,
    const char *key,
    int64_t low,
    int64_t high,
    int64_t *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        return wrong_type(value, path, key, "an integer");
    const int64_t number = json_integer_value(value);
    char where[TKP__PATH_BYTES];
    TKP__CHECK(
        number >= low && number <= high, TKP_ERR_FORMAT,
        "%s is %lld, wanted %lld..%lld", tkp__field_path(where, path, key),
        (long long)number, (long long)low, (long long)high);
    *out = number;
    return TKP_OK;
}
