/*
 * Tables as pandas writes them: a header, tabs, quotes around fields that hold
 * tabs, newlines or quotes, quotes in them doubled. libcsv takes the quotes
 * apart. It is fed up to one possible end of a field at a time, so that the
 * place of a field in the file is known when it reports one.
 */
#include <csv.h>

#include "eval/reader.h"
#include "util/text.h"

enum { MOST_COLUMNS = 256, BLOCK = 1 << 16 };

typedef struct table {
    tkp__eval_records *records;
    const char *file;
    const char *start; /* of the field that is read */
    const char *end;   /* behind what was fed */
    char *names[MOST_COLUMNS];
    int32_t columns; /* 0 = the header comes now */
    int32_t at;      /* column */
    int64_t row;
    json_t *fields;
    tkp__eval_slice image;
    char *owned;
    tkp_status status; /* of what went wrong in a callback */
} table;

static void refuse(table *t, const char *what)
{
    if (t->status != TKP_OK)
        return;
    const bool named = t->columns && t->at < t->columns;
    t->status = tkp__fail(
        TKP_ERR_FORMAT, "%s:%lld: column %s%s%s: %s", t->file,
        (long long)t->row, named ? "'" : "", named ? t->names[t->at] : "number",
        named ? "'" : "", what);
}

/* Lower case, but for the letters of options. */
static char *column_name(const char *text, size_t bytes)
{
    const bool option = bytes == 1 && text[0] >= 'A' && text[0] <= 'Z';
    char *name = tkp__zalloc(bytes + 1, 1);
    for (size_t i = 0; name && i < bytes; i++)
        name[i] = !option && text[i] >= 'A' && text[i] <= 'Z'
                      ? (char)(text[i] + 'a' - 'A')
                      : text[i];
    return name;
}

static void add_column(table *t, const char *text, size_t bytes)
{
    if (t->at >= MOST_COLUMNS) {
        refuse(t, "more than 256 columns, wanted fewer");
        return;
    }
    if (t->at == 0 && bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3; /* byte order mark */
        bytes -= 3;
    }
    char *name = column_name(text, bytes);
    if (!name) {
        t->status = TKP_ERR_MEMORY;
        return;
    }
    t->names[t->at] = name;
    for (int32_t i = 0; i < t->at; i++)
        if (strcmp(t->names[i], name) == 0 && t->status == TKP_OK)
            t->status = tkp__fail(
                TKP_ERR_FORMAT, "%s:1: two columns are called '%s', wanted one",
                t->file, tkp__show(name).text);
}

/* What stands in the file is a field in quotes and nothing behind them. */
static bool
is_whole(const char *raw, size_t raw_bytes, const char *text, size_t bytes)
{
    size_t quotes = 0;
    for (const char *q = memchr(text, '"', bytes); q;
         q = memchr(q + 1, '"', bytes - (size_t)(q + 1 - text)))
        quotes++;
    return raw_bytes == bytes + quotes + 2 && raw[raw_bytes - 1] == '"';
}

/* The picture's text as it lies in the file, or a copy if it had to be taken
 * out of quotes that were doubled. */
static void set_image(table *t, const char *text, size_t bytes, bool quoted)
{
    const char *raw = t->start + quoted;
    if (memcmp(raw, text, bytes) == 0) {
        t->image = (tkp__eval_slice){raw, bytes};
        return;
    }
    t->owned = tkp__alloc(bytes, 1);
    if (!t->owned) {
        t->status = TKP_ERR_MEMORY;
        return;
    }
    memcpy(t->owned, text, bytes);
    t->image = (tkp__eval_slice){t->owned, bytes};
}

static void add_field(table *t, const char *text, size_t bytes, bool quoted)
{
    if (t->at >= t->columns) {
        refuse(t, "more fields than the header has, wanted as many");
        return;
    }
    if (bytes == 0)
        return;
    if (memchr(text, '\0', bytes)) {
        refuse(t, "a NUL in a text, wanted none");
        return;
    }
    if (strcmp(t->names[t->at], "image") == 0) {
        set_image(t, text, bytes, quoted);
        return;
    }
    if (!t->fields && !(t->fields = json_object())) {
        t->status = tkp__fail(TKP_ERR_MEMORY, "%s: out of memory", t->file);
        return;
    }
    json_t *value = json_stringn(text, bytes);
    if (!value)
        refuse(t, "not UTF-8, wanted that");
    else if (json_object_set_new(t->fields, t->names[t->at], value) != 0)
        t->status = tkp__fail(
            TKP_ERR_FORMAT, "%s:1: the name of column %d is not UTF-8", t->file,
            t->at + 1);
}

static void on_field(void *field, size_t bytes, void *user)
{
    table *t = user;
    const char *text = field ? field : "";
    const bool quoted = t->start < t->end && *t->start == '"' && field;
    /* Without the tab or newline that ended it. */
    size_t raw = (size_t)(t->end - t->start);
    if (raw > 0 && strchr("\t\n\r", t->start[raw - 1]) &&
        t->start[raw - 1] != '\0')
        raw--;
    if (t->status != TKP_OK)
        return;
    if (quoted && raw != bytes && !is_whole(t->start, raw, text, bytes)) {
        refuse(t, "text behind the closing quote, wanted a tab");
        return;
    }
    if (t->columns)
        add_field(t, text, bytes, quoted && raw != bytes);
    else
        add_column(t, text, bytes);
    t->at++;
    t->start = t->end;
}

static void on_row(int end, void *user)
{
    table *t = user;
    (void)end;
    if (t->status != TKP_OK)
        return;
    if (!t->columns) {
        t->columns = t->at;
    } else if (t->at < t->columns) {
        t->status = tkp__fail(
            TKP_ERR_FORMAT, "%s:%lld: the row has %d fields, wanted %d",
            t->file, (long long)t->row, t->at, t->columns);
    } else {
        if (!t->fields)
            t->fields = json_object();
        t->status =
            t->fields ? tkp__eval_records_add(
                            t->records, t->fields, t->image, t->owned, t->row)
                      : tkp__fail(TKP_ERR_MEMORY, "%s: out of memory", t->file);
        t->fields = NULL;
        t->owned = NULL;
        t->image = (tkp__eval_slice){NULL, 0};
    }
    t->at = 0;
    t->row++;
}

static int no_space(unsigned char c)
{
    (void)c;
    return 0;
}

static void feed(table *t, struct csv_parser *parser, const tkp__eval_map *map)
{
    const char *text = map->data;
    const char *const end = text + map->bytes;
    t->start = text;
    while (text < end && t->status == TKP_OK) {
        const char *stop = text;
        while (stop < end && *stop != '\t' && *stop != '\n' && *stop != '\r')
            stop++;
        stop += stop < end;
        t->end = stop;
        /* An empty line, or the second half of "\r\n". */
        if (t->at == 0 && t->start == text && stop == text + 1 &&
            (*text == '\n' || *text == '\r') && !t->fields)
            t->start = stop;
        const size_t fed =
            csv_parse(parser, text, (size_t)(stop - text), on_field, on_row, t);
        if (fed != (size_t)(stop - text) && t->status == TKP_OK)
            refuse(t, csv_strerror(csv_error(parser)));
        text = stop;
    }
    /* Only now strictly: a quote within a field is a character, but one that
     * is still open at the end means that something is missing. */
    csv_set_opts(parser, CSV_STRICT | CSV_STRICT_FINI | CSV_EMPTY_IS_NULL);
    if (t->status == TKP_OK && csv_fini(parser, on_field, on_row, t) != 0 &&
        t->status == TKP_OK)
        refuse(t, "the file ends within quotes, wanted the closing one");
}

tkp_status
tkp__eval_read_tsv(tkp__eval_records *records, const tkp__eval_source *source)
{
    const tkp__eval_map *map = &records->maps[records->n_maps - 1];
    struct csv_parser parser;
    table t = {.records = records, .file = map->name, .row = 1};
    for (; source->columns && source->columns[t.columns]; t.columns++) {
        t.names[t.columns] = tkp__strdup(source->columns[t.columns]);
        if (!t.names[t.columns])
            t.status = TKP_ERR_MEMORY;
    }
    if (csv_init(&parser, CSV_EMPTY_IS_NULL) != 0)
        t.status = tkp__fail(TKP_ERR_MEMORY, "%s: out of memory", t.file);
    csv_set_delim(&parser, CSV_TAB);
    csv_set_space_func(&parser, no_space);
    csv_set_blk_size(&parser, BLOCK);
    if (source->plain) /* no byte of a text that is taken */
        csv_set_quote(&parser, '\0');
    if (t.status == TKP_OK)
        feed(&t, &parser, map);
    if (t.status == TKP_OK && !t.columns)
        t.status = tkp__fail(TKP_ERR_FORMAT, "%s: nothing in it", t.file);
    csv_free(&parser);
    json_decref(t.fields);
    tkp__free(t.owned);
    for (int32_t i = 0; i < MOST_COLUMNS; i++)
        tkp__free(t.names[i]);
    return t.status;
}
