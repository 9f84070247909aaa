#ifndef TKP_MLLM_TEXT_JSON_FIELD_H
#define TKP_MLLM_TEXT_JSON_FIELD_H

/*
 * Typed reads from a parsed JSON object, with messages that name the field.
 * `path` is where the object stands in the file ("added_tokens[3]"; "" for the
 * top). Required fields that are missing or of another type are
 * TKP_ERR_FORMAT. Strings and objects returned stay owned by the JSON tree.
 */

#include <jansson.h>

#include "util/util.h"

enum { TKP__SHOWN_BYTES = 72, TKP__PATH_BYTES = 96 };

/* Text from a file made fit for a message: one line, printable, short. */
const char *tkp__shown(char out[TKP__SHOWN_BYTES], const char *text);

/* "path.key", or "key" at the top. */
const char *
tkp__field_path(char out[TKP__PATH_BYTES], const char *path, const char *key);

/* Null and missing are the same: *out = NULL. */
tkp_status tkp__field_object(
    const json_t *object,
    const char *path,
    const char *key,
    json_t **out);
tkp_status tkp__field_array(
    const json_t *object,
    const char *path,
    const char *key,
    json_t **out);

tkp_status tkp__field_string(
    const json_t *object,
    const char *path,
    const char *key,
    const char **out);
tkp_status tkp__field_bool(
    const json_t *object,
    const char *path,
    const char *key,
    bool *out);
/* As tkp__field_bool, `otherwise` where missing or null. */
tkp_status tkp__field_bool_or(
    const json_t *object,
    const char *path,
    const char *key,
    bool otherwise,
    bool *out);
/* Integer in [low, high]. */
tkp_status tkp__field_int(
    const json_t *object,
    const char *path,
    const char *key,
    int64_t low,
    int64_t high,
    int64_t *out);

#endif
