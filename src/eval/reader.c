/* Which files, and what their readers share. */
#include "eval/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/words.h"

enum { MOST_FILES = 4096 };

char *tkp__eval_path(const char *root, const char *name)
{
    tkp__eval_text out = {0};
    if (root && name[0] != '/') {
        tkp__eval_text_puts(&out, root);
        tkp__eval_text_put(&out, '/');
    }
    tkp__eval_text_puts(&out, name);
    return tkp__eval_text_take(&out);
}

void tkp__eval_records_release(tkp__eval_records *records)
{
    for (int64_t i = 0; i < records->count; i++) {
        json_decref(records->records[i].fields);
        tkp__free(records->records[i].owned);
    }
    for (int32_t i = 0; i < records->n_maps; i++) {
        if (records->maps[i].bytes)
            munmap(records->maps[i].data, records->maps[i].bytes);
        tkp__free(records->maps[i].name);
    }
    tkp__free(records->records);
    tkp__free(records->maps);
    *records = (tkp__eval_records){0};
}

tkp__eval_place tkp__eval_place_of(const tkp__eval_records *records, int64_t i)
{
    tkp__eval_place out;
    const tkp__eval_record *r = &records->records[i];
    snprintf(
        out.text, sizeof(out.text), "%.280s:%lld", records->maps[r->map].name,
        (long long)r->row);
    return out;
}

tkp_status tkp__eval_records_add(
    tkp__eval_records *records,
    json_t *fields,
    tkp__eval_slice image,
    char *owned,
    int64_t row)
{
    if (records->count == records->capacity) {
        const int64_t wanted = records->capacity ? 2 * records->capacity : 256;
        tkp__eval_record *moved = tkp__realloc(
            records->records, (size_t)records->count * sizeof(*moved),
            (size_t)wanted * sizeof(*moved));
        if (!moved) {
            json_decref(fields);
            tkp__free(owned);
            return TKP_ERR_MEMORY;
        }
        records->records = moved;
        records->capacity = wanted;
    }
    records->records[records->count++] = (tkp__eval_record){
        .fields = fields,
        .image = image,
        .owned = owned,
        .map = records->n_maps - 1,
        .row = row};
    return TKP_OK;
}

/* --- files -------------------------------------------------------------------- */

static tkp_status map_file(tkp__eval_map *map)
{
    struct stat info;
    const int descriptor = open(map->name, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return tkp__fail(TKP_ERR_IO, "%s: %s", map->name, strerror(errno));
    tkp_status status = TKP_OK;
    if (fstat(descriptor, &info) != 0)
        status = tkp__fail(TKP_ERR_IO, "%s: %s", map->name, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = tkp__fail(
            TKP_ERR_IO, "%s: not a regular file, wanted one", map->name);
    else if (info.st_size > 0) {
        void *data = mmap(
            NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data == MAP_FAILED)
            status =
                tkp__fail(TKP_ERR_IO, "%s: %s", map->name, strerror(errno));
        else {
            map->data = data;
            map->bytes = (size_t)info.st_size;
        }
    }
    close(descriptor);
    return status;
}

static tkp_status add_map(tkp__eval_records *records, const char *name)
{
    tkp__eval_map *moved = tkp__realloc(
        records->maps, (size_t)records->n_maps * sizeof(*moved),
        ((size_t)records->n_maps + 1) * sizeof(*moved));
    if (!moved)
        return TKP_ERR_MEMORY;
    records->maps = moved;
    tkp__eval_map *map = &records->maps[records->n_maps];
    *map = (tkp__eval_map){.name = tkp__strdup(name)};
    if (!map->name)
        return TKP_ERR_MEMORY;
    records->n_maps++;
    return map_file(map);
}

/* The file's name without folder and end, as a field of its records. */
static tkp_status name_records(tkp__eval_records *records, int64_t first)
{
    const char *path = records->maps[records->n_maps - 1].name;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *end = strrchr(name, '.');
    json_t *text = json_stringn_nocheck(
        name, end && end > name ? (size_t)(end - name) : strlen(name));
    int failed = text == NULL;
    for (int64_t i = first; i < records->count && !failed; i++)
        failed = json_object_set(records->records[i].fields, "_file", text);
    json_decref(text);
    TKP__CHECK(!failed, TKP_ERR_MEMORY, "%s: out of memory", path);
    return TKP_OK;
}

static tkp_status read_file(
    tkp__eval_records *records,
    const tkp__eval_source *source,
    const char *name)
{
    const int64_t first = records->count;
    TKP__TRY(add_map(records, name));
    if (source->tsv)
        TKP__TRY(tkp__eval_read_tsv(records, source));
    else
        TKP__TRY(tkp__eval_read_json(records, source));
    return name_records(records, first);
}

static tkp_status read_files(
    tkp__eval_records *records,
    const tkp__eval_source *source,
    const char *pattern)
{
    glob_t found;
    /* A name without a pattern in it is opened, for its own message. */
    if (!strpbrk(pattern, "*?[{"))
        return read_file(records, source, pattern);
    const int code = glob(pattern, GLOB_ERR | GLOB_BRACE, NULL, &found);
    if (code == GLOB_NOMATCH)
        return tkp__fail(
            TKP_ERR_IO, "%s: there is no such file, wanted at least one",
            pattern);
    TKP__CHECK(code == 0, TKP_ERR_IO, "%s: cannot be searched", pattern);
    tkp_status status =
        found.gl_pathc <= MOST_FILES
            ? TKP_OK
            : tkp__fail(
                  TKP_ERR_IO, "%s: %zu files, wanted at most %d", pattern,
                  found.gl_pathc, MOST_FILES);
    for (size_t i = 0; i < found.gl_pathc && status == TKP_OK; i++)
        status = read_file(records, source, found.gl_pathv[i]);
    globfree(&found);
    return status;
}

tkp_status tkp__eval_records_read(
    tkp__eval_records *out,
    const tkp__eval_source *source,
    const char *root)
{
    tkp__eval_records records = {0};
    char *pattern =
        tkp__eval_path(root, source->tsv ? source->tsv : source->json);
    if (!pattern)
        return TKP_ERR_MEMORY;
    const tkp_status status = read_files(&records, source, pattern);
    tkp__free(pattern);
    if (status == TKP_OK)
        *out = records;
    else
        tkp__eval_records_release(&records);
    return status;
}

/* --- lists in Python's notation ------------------------------------------------ */

static const char *skip_blanks(const char *s, const char *end)
{
    while (s < end && (*s == ' ' || *s == '\n' || *s == '\t' || *s == '\r'))
        s++;
    return s;
}

/* The text in quotes at `s`; where it ends, NULL if it does not. */
static const char *quoted(const char *s, const char *end, json_t *list)
{
    tkp__eval_text out = {0};
    const char quote = *s++;
    for (; s < end && *s != quote; s++) {
        const char *from = "nrt", *to = "\n\r\t";
        if (*s != '\\') {
            tkp__eval_text_put(&out, *s);
            continue;
        }
        if (++s == end)
            break;
        const char *known = strchr(from, *s);
        if (known)
            tkp__eval_text_put(&out, to[known - from]);
        else if (*s == '\\' || *s == '\'' || *s == '"')
            tkp__eval_text_put(&out, *s);
        else { /* \x41 and its like are left as they are */
            tkp__eval_text_put(&out, '\\');
            tkp__eval_text_put(&out, *s);
        }
    }
    char *text = tkp__eval_text_take(&out);
    const bool taken =
        s < end && text && json_array_append_new(list, json_string(text)) == 0;
    tkp__free(text);
    return taken ? s + 1 : NULL;
}

json_t *tkp__eval_python_list(const char *text, size_t bytes)
{
    const char *end = text + bytes;
    const char *s = skip_blanks(text, end);
    if (s == end || *s++ != '[')
        return NULL;
    json_t *list = json_array();
    for (s = skip_blanks(s, end); s && s < end && *s != ']';) {
        s = *s == '\'' || *s == '"' ? quoted(s, end, list) : NULL;
        s = s ? skip_blanks(s, end) : NULL;
        if (s && s < end && *s == ',')
            s = skip_blanks(s + 1, end);
        else if (s && (s == end || *s != ']'))
            s = NULL;
    }
    if (!s || s == end || skip_blanks(s + 1, end) != end) {
        json_decref(list);
        return NULL;
    }
    return list;
}
