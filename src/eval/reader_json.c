/* JSON lines, an array, or an object of objects; which one, the text tells. */
#include "eval/reader.h"
#include "util/text.h"

enum { FLAGS = JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES };

static tkp_status
not_a_record(const char *file, int64_t row, const json_t *value)
{
    static const char *const kinds[] = {"an object", "an array", "a text",
                                        "a number",  "a number", "true",
                                        "false",     "null"};
    return tkp__fail(
        TKP_ERR_FORMAT, "%s:%lld: the record is %s, wanted an object", file,
        (long long)row, kinds[json_typeof(value)]);
}

/* Takes the reference. */
static tkp_status add_value(
    tkp__eval_records *records,
    const char *file,
    json_t *value,
    int64_t row)
{
    if (!json_is_object(value)) {
        const tkp_status status = not_a_record(file, row, value);
        json_decref(value);
        return status;
    }
    return tkp__eval_records_add(
        records, value, (tkp__eval_slice){NULL, 0}, NULL, row);
}

static tkp_status
add_array(tkp__eval_records *records, const char *file, json_t *array)
{
    size_t i;
    json_t *value;
    json_array_foreach(array, i, value)
        TKP__TRY(add_value(records, file, json_incref(value), (int64_t)i + 1));
    return TKP_OK;
}

static bool is_object_of_objects(json_t *value)
{
    const char *key;
    json_t *inner;
    json_object_foreach(
        value, key, inner) if (!json_is_object(inner)) return false;
    return json_object_size(value) > 0;
}

static tkp_status
add_object(tkp__eval_records *records, const char *file, json_t *object)
{
    const char *key;
    json_t *inner;
    int64_t row = 0;
    json_object_foreach(object, key, inner)
    {
        TKP__TRY(add_value(records, file, json_incref(inner), ++row));
        TKP__CHECK(
            json_object_set_new(inner, "_key", json_string(key)) == 0,
            TKP_ERR_MEMORY, "%s: out of memory", file);
    }
    return TKP_OK;
}

/* One value is the whole file; several are lines. */
static tkp_status add_whole(
    tkp__eval_records *records,
    const char *file,
    json_t *value,
    const char *path)
{
    if (path) {
        json_t *inner = json_object_get(value, path);
        TKP__CHECK(
            inner, TKP_ERR_FORMAT, "%s: there is no '%s' in it, wanted it",
            file, tkp__show(path).text);
        value = inner;
    }
    if (json_is_array(value))
        return add_array(records, file, value);
    if (is_object_of_objects(value))
        return add_object(records, file, value);
    return add_value(records, file, json_incref(value), 1);
}

/* Past white space; the text's end if there is nothing more. */
static const char *next_value(const char *text, const char *end, int64_t *line)
{
    for (; text < end &&
           (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n');
         text++)
        *line += *text == '\n';
    return text;
}

static tkp_status load(
    json_t **out,
    size_t *used,
    const char *text,
    size_t bytes,
    const char *file,
    int64_t line)
{
    json_error_t error;
    *out = json_loadb(text, bytes, FLAGS, &error);
    TKP__CHECK(
        *out, TKP_ERR_FORMAT, "%s:%lld: %s", file,
        (long long)line + error.line - 1, error.text);
    *used = (size_t)error.position;
    return TKP_OK;
}

tkp_status
tkp__eval_read_json(tkp__eval_records *records, const tkp__eval_source *source)
{
    const tkp__eval_map *map = &records->maps[records->n_maps - 1];
    const char *file = map->name;
    const char *text = map->data;
    const char *const end = text + map->bytes;
    int64_t line = 1;
    if (map->bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    text = next_value(text, end, &line);
    TKP__CHECK(text < end, TKP_ERR_FORMAT, "%s: nothing in it", file);
    TKP__CHECK(
        map->bytes <= INT32_MAX, TKP_ERR_FORMAT,
        "%s: %zu bytes, wanted at most 2 GiB of JSON", file, map->bytes);
    for (bool first = true; text < end; first = false) {
        json_t *value;
        size_t used = 0;
        const int64_t row = line;
        TKP__TRY(load(&value, &used, text, (size_t)(end - text), file, line));
        for (const char *c = text; c < text + used; c++)
            line += *c == '\n';
        text = next_value(text + used, end, &line);
        tkp_status status;
        if (first && text == end) {
            status = add_whole(records, file, value, source->path);
            json_decref(value);
        } else {
            status =
                source->path
                    ? tkp__fail(
                          TKP_ERR_FORMAT,
                          "%s:%lld: another value, wanted one with '%s' "
                          "in it",
                          file, (long long)line, tkp__show(source->path).text)
                    : TKP_OK;
            if (status == TKP_OK)
                status = add_value(records, file, value, row);
            else
                json_decref(value);
        }
        TKP__TRY(status);
    }
    return TKP_OK;
}
