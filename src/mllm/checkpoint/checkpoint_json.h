#ifndef TKP_MLLM_CHECKPOINT_CHECKPOINT_JSON_H
#define TKP_MLLM_CHECKPOINT_CHECKPOINT_JSON_H

/*
 * JSON files of a model directory, read with suspicion: every getter checks
 * type and range and names the file, the field, the value met and the value
 * wanted. A key that is missing or null takes the default.
 */

#include <jansson.h>

#include "util/util.h"

/* An object inside a file: what messages call it. */
typedef struct tkp__json_at {
    const json_t *object; /* NULL: every key is missing */
    const char *file;
    const char *section; /* "", or "text_config." */
} tkp__json_at;

/* `*out` (a json object, released with json_decref) stays NULL if the file is
 * not there and `optional` is set. */
tkp_status tkp__json_load(json_t **out, const char *path, bool optional);

/* "dir/name", released with tkp__free; NULL when memory is out. */
char *tkp__path_join(const char *dir, const char *name);

/* NULL if the key is missing or null. */
const json_t *tkp__json_get(const tkp__json_at *at, const char *key);

/* A nested object; `out->object` is NULL if missing. `section` is its name
 * followed by a dot. */
tkp_status tkp__json_section(
    tkp__json_at *out,
    const tkp__json_at *at,
    const char *key,
    const char *section);

/* Each leaves `*out` alone if the key is missing. */
tkp_status tkp__json_int(
    int64_t *out,
    const tkp__json_at *at,
    const char *key,
    int64_t low,
    int64_t high);
tkp_status tkp__json_real(
    double *out,
    const tkp__json_at *at,
    const char *key,
    double low,
    double high);
tkp_status tkp__json_bool(bool *out, const tkp__json_at *at, const char *key);
/* The text belongs to the file's object. */
tkp_status
tkp__json_text(const char **out, const tkp__json_at *at, const char *key);
/* Exactly three finite numbers. */
tkp_status
tkp__json_real3(double out[3], const tkp__json_at *at, const char *key);

#endif
