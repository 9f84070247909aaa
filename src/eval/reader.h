#ifndef TKP_EVAL_READER_H
#define TKP_EVAL_READER_H

/*
 * Files of data sets as lists of records: tables with tabs, and JSON. A record
 * is an object with the fields the file names; nothing here knows what they
 * mean.
 *
 * Of a table, the names of columns are in lower case but for single capital
 * letters (options), empty fields are left out, and the column "image" is not
 * in the object: it may be tens of megabytes a row, so that it stays where it
 * lies in the mapped file.
 */

#include <jansson.h>

#include "util/util.h"

typedef struct tkp__eval_source {
    const char *tsv;  /* file, or a pattern of files: one of the two */
    const char *json; /* JSON lines, an array, or an object of objects, whose
                         key becomes the field "_key" */
    const char *path; /* json: member with the records, "data" for example */
    const char *const *columns; /* tsv without a header: their names, NULL at
                                   the end */
    bool plain;                 /* tsv: quotes are ordinary characters */
} tkp__eval_source;

typedef struct tkp__eval_slice {
    const char *text; /* NULL = there is none */
    size_t bytes;
} tkp__eval_slice;

typedef struct tkp__eval_map {
    void *data;
    size_t bytes;
    char *name;
} tkp__eval_map;

typedef struct tkp__eval_record {
    json_t *fields;        /* and "_file", the file's name without its end */
    tkp__eval_slice image; /* as it stands in the table */
    char *owned;           /* what `image` points into, if not the file */
    int32_t map;           /* which file */
    int64_t row;           /* from 1; of a table, the header is row 1 */
} tkp__eval_record;

typedef struct tkp__eval_records {
    int64_t count, capacity;
    tkp__eval_record *records;
    int32_t n_maps;
    tkp__eval_map *maps;
} tkp__eval_records;

/* `root` goes before relative names; NULL = the working directory. What is
 * wrong is told as FILE:ROW: ...; TKP_ERR_IO, _FORMAT, _MEMORY. */
tkp_status tkp__eval_records_read(
    tkp__eval_records *out,
    const tkp__eval_source *source,
    const char *root);
void tkp__eval_records_release(tkp__eval_records *records);

/* "FILE:ROW" of a record, for messages. */
typedef struct tkp__eval_place {
    char text[320];
} tkp__eval_place;
tkp__eval_place tkp__eval_place_of(const tkp__eval_records *records, int64_t i);

/* A list as Python prints it, ['a', "b"], as an array of strings; NULL if it is
 * none (then it is one text). */
json_t *tkp__eval_python_list(const char *text, size_t bytes);

/* Root and name as a path; an absolute name is one already. */
char *tkp__eval_path(const char *root, const char *name);

/* --- between the files of this room ----------------------------------------- */

/* A record more; takes `fields` and `owned`, also when it fails. */
tkp_status tkp__eval_records_add(
    tkp__eval_records *records,
    json_t *fields,
    tkp__eval_slice image,
    char *owned,
    int64_t row);

/* Records of the last map. */
tkp_status
tkp__eval_read_tsv(tkp__eval_records *records, const tkp__eval_source *source);
tkp_status
tkp__eval_read_json(tkp__eval_records *records, const tkp__eval_source *source);

#endif
