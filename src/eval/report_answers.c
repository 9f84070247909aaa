/* Answers as files that scorers read. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "eval/report.h"

static tkp_status put_line(
    void *user,
    int64_t id,
    const tkp__store_item *item,
    const tkp__store_answer *answer)
{
    FILE *file = user;
    (void)id;
    json_t *line = json_pack(
        "{s:s, s:s, s:s}", "question_id", item->name, "prompt", item->question,
        "text", answer->text);
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    /* Only what is no UTF-8 cannot be written. */
    TKP__CHECK(
        text, TKP_ERR_FORMAT, "question '%.60s' or its answer is no UTF-8",
        item->name);
    fprintf(file, "%s\n", text);
    free(text);
    return TKP_OK;
}

/* Anything but plain letters of file names is an underscore. */
static void
name_file(char out[512], const tkp__report *r, const tkp__report_run *run)
{
    const tkp__report_row *row = &r->rows[run->row];
    snprintf(
        out, 512, "%.120s-%.120s%s%.40s%s%.40s-%llu.jsonl",
        r->columns[run->column].name, row->name, row->budget[0] ? "-" : "",
        row->budget, row->point[0] ? "-" : "", row->point,
        (unsigned long long)run->seed);
    for (char *c = out; *c; c++)
        if (strchr("/\\:*?\"<>| \t\r\n", *c))
            *c = '_';
}

static tkp_status
write_run(tkp__store *store, const tkp__report_run *run, const char *path)
{
    FILE *file = fopen(path, "w");
    TKP__CHECK(file, TKP_ERR_IO, "%s: %s", path, strerror(errno));
    tkp_status status = tkp__store_each_answer(store, run->id, put_line, file);
    const bool bad = ferror(file) != 0;
    if ((fclose(file) != 0 || bad) && status == TKP_OK)
        status = tkp__fail(TKP_ERR_IO, "%s: cannot be written", path);
    return status;
}

tkp_status tkp__report_answers(
    tkp__store *store,
    const tkp__report *report,
    const char *folder)
{
    char name[512], path[4096];
    for (int32_t i = 0; i < report->n_runs; i++) {
        const tkp__report_run *run = &report->runs[i];
        /* Of a file that has changed the newest. */
        if (run->data != report->columns[run->column].data)
            continue;
        name_file(name, report, run);
        snprintf(path, sizeof(path), "%.3500s/%s", folder, name);
        TKP__TRY(write_run(store, run, path));
    }
    return TKP_OK;
}
