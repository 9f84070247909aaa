/* tokenprune report: what a store of answers says. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "eval/report_charts.h"
#include "eval/report_tables.h"

enum {
    MODEL = 'm',
    STORE = 's',
    OUT = 'o',
    TABLE = 256,
    FORMAT,
    CHARTS,
    ANSWERS,
    HELP_SHOWN
};

static const tkp__cli_option options[] = {
    {"store", STORE, "FILE", "result store that tokenprune eval made"},
    {"table", TABLE, "NAME",
     "accuracy, differences, costs, kept, or 1, 2, 3, 5, 6 of the study; the "
     "first four"},
    {"format", FORMAT, "WORD", "md, csv, tex, or html with charts; md"},
    {"out", OUT, "FILE", "instead of standard output"},
    {"charts", CHARTS, "FOLDER", "write the charts there, as SVG and PNG"},
    {"answers", ANSWERS, "FOLDER",
     "write a file of answers for each run there, as LLaVA's scripts do"},
    {"model", MODEL, "TEXT",
     "of several models the one with this in its name; the newest"},
    {NULL, 0, NULL, NULL}};

typedef struct report_options {
    const char *store, *table, *out, *charts, *answers, *model;
    int32_t format;
} report_options;

static bool read_format(const tkp__cli_command *self, int32_t *out)
{
    static const char *const words[] = {"md", "csv", "tex", "html"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(optarg, words[i])) {
            *out = (int32_t)i;
            return true;
        }
    tkp__cli_usage(
        self, "--format is '%.40s', wanted md, csv, tex or html", optarg);
    return false;
}

static const tkp__report_recipe *find_recipe(const char *name)
{
    for (int32_t i = 0; tkp__report_recipe_at(i); i++)
        if (!strcmp(tkp__report_recipe_at(i)->name, name))
            return tkp__report_recipe_at(i);
    return NULL;
}

static bool
read_option(const tkp__cli_command *self, int key, report_options *o)
{
    switch (key) {
    case STORE:
        o->store = optarg;
        return true;
    case TABLE:
        o->table = optarg;
        if (find_recipe(optarg))
            return true;
        tkp__cli_usage(
            self,
            "--table is '%.40s', wanted accuracy, differences, costs, kept, 1, "
            "2, 3, 5 or 6",
            optarg);
        return false;
    case FORMAT:
        return read_format(self, &o->format);
    case OUT:
        o->out = optarg;
        return true;
    case CHARTS:
        o->charts = optarg;
        return true;
    case ANSWERS:
        o->answers = optarg;
        return true;
    case MODEL:
        o->model = optarg;
        return true;
    default:
        return false;
    }
}

static int
parse(const tkp__cli_command *self, int argc, char **argv, report_options *o)
{
    for (;;) {
        const int key = tkp__cli_next(self, argc, argv);
        if (key == TKP__CLI_END)
            break;
        if (key == TKP__CLI_BAD ||
            (key != TKP__CLI_HELP && !read_option(self, key, o)))
            return TKP__CLI_USAGE;
        if (key == TKP__CLI_HELP) {
            tkp__cli_help(self);
            return HELP_SHOWN;
        }
    }
    if (optind < argc)
        return tkp__cli_usage(self, "'%.40s' is no option", argv[optind]);
    if (!o->store)
        return tkp__cli_usage(self, "--store is missing");
    return TKP__CLI_OK;
}

/* --- output ------------------------------------------------------------------ */

static const char page_head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>tokenprune report</title>\n<style>\n"
    "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:80em;"
    "padding:0 1em;color:#222}\n"
    ".wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:13px;white-space:nowrap}\n"
    "th,td{padding:.2em .6em;text-align:right;border-bottom:1px solid #ddd}\n"
    "th{position:sticky;top:0;background:#f4f4f4}\n"
    "th:first-child,td:first-child{text-align:left;position:sticky;left:0;"
    "background:#fff}\n"
    "tr:hover td{background:#eef4fb}\nimg{max-width:100%}\n"
    "</style>\n</head>\n<body>\n<h1>Pruning of ";

static tkp_status write_page_charts(FILE *file, const tkp__report *report)
{
    tkp__chart chart;
    for (int32_t i = 0;; i++) {
        char *svg = NULL;
        TKP__TRY(tkp__report_chart(&chart, report, i));
        if (chart.n_series == 0)
            return TKP_OK;
        const tkp_status status = tkp__chart_uri(&svg, &chart);
        if (status == TKP_OK) {
            fputs("<h2>", file);
            tkp__grid_html(file, chart.title);
            fprintf(file, "</h2>\n<img alt=\"");
            tkp__grid_html(file, chart.title);
            fprintf(file, "\" src=\"%s\">\n", svg);
        }
        tkp__free(svg);
        tkp__chart_release(&chart);
        TKP__TRY(status);
    }
}

static tkp_status
write_tables(FILE *file, const tkp__report *report, const report_options *o)
{
    enum { ALWAYS = 4 };
    for (int32_t i = 0; i < ALWAYS; i++) {
        tkp__grid grid;
        const tkp__report_recipe *recipe =
            o->table ? find_recipe(o->table) : tkp__report_recipe_at(i);
        TKP__TRY(tkp__report_table(&grid, report, recipe));
        if (i > 0)
            fputc('\n', file);
        tkp__grid_write(file, &grid, o->format);
        tkp__grid_release(&grid);
        if (o->table)
            break;
    }
    return TKP_OK;
}

static tkp_status
write_all(FILE *file, const tkp__report *report, const report_options *o)
{
    const bool html = o->format == TKP__GRID_HTML;
    if (html) {
        fputs(page_head, file);
        tkp__grid_html(file, report->model);
        fputs("</h1>\n", file);
        if (report->others)
            fprintf(
                file,
                "<p>%d other groups of runs (model, settings) are in the "
                "store.</p>\n",
                report->others);
        if (!o->table)
            TKP__TRY(write_page_charts(file, report));
    }
    TKP__TRY(write_tables(file, report, o));
    if (html)
        fputs("</body>\n</html>\n", file);
    return TKP_OK;
}

static tkp_status write_charts(const tkp__report *report, const char *folder)
{
    tkp__chart chart;
    for (int32_t i = 0;; i++) {
        TKP__TRY(tkp__report_chart(&chart, report, i));
        if (chart.n_series == 0)
            return TKP_OK;
        const tkp_status status = tkp__chart_files(&chart, folder);
        tkp__chart_release(&chart);
        TKP__TRY(status);
    }
}

/* A file is whole or is not there. */
static tkp_status write_file(const tkp__report *report, const report_options *o)
{
    FILE *file = fopen(o->out, "w");
    TKP__CHECK(file, TKP_ERR_IO, "%s: %s", o->out, strerror(errno));
    tkp_status status = write_all(file, report, o);
    const bool bad = ferror(file) != 0;
    if ((fclose(file) != 0 || bad) && status == TKP_OK)
        status = tkp__fail(TKP_ERR_IO, "%s: cannot be written", o->out);
    if (status != TKP_OK)
        remove(o->out);
    return status;
}

static tkp_status make(const report_options *o)
{
    tkp__store *store;
    tkp__report report;
    TKP__TRY(tkp__store_open(&store, o->store, TKP__STORE_READ));
    tkp_status status = tkp__report_load(&report, store, o->model);
    if (status == TKP_OK && o->answers) {
        status = tkp__report_answers(store, &report, o->answers);
        if (status != TKP_OK)
            tkp__report_release(&report);
    }
    tkp__store_close(store);
    TKP__TRY(status);
    status = tkp__report_compute(&report);
    if (status == TKP_OK)
        status =
            o->out ? write_file(&report, o) : write_all(stdout, &report, o);
    if (status == TKP_OK && o->charts)
        status = write_charts(&report, o->charts);
    tkp__report_release(&report);
    return status;
}

static int report_command(const tkp__cli_command *self, int argc, char **argv)
{
    report_options o = {0};
    const int code = parse(self, argc, argv, &o);
    if (code != TKP__CLI_OK)
        return code == HELP_SHOWN ? tkp__cli_finish(TKP__CLI_OK) : code;
    const tkp_status status = make(&o);
    return status == TKP_OK ? tkp__cli_finish(TKP__CLI_OK)
                            : tkp__cli_failed(status, NULL);
}

const tkp__cli_command tkp__cli_report = {
    .name = "report",
    .summary = "Tables and charts of a store that eval made",
    .usage = "--store FILE [--table NAME] [--format WORD] [OPTION...]",
    .options = options,
    .notes =
        "Only questions that every condition has answered count, so that all\n"
        "differences are between answers to the same questions. No model is\n"
        "needed. HTML is one page with everything in it.",
    .examples = "tokenprune report -s demo.db\n"
                "tokenprune report -s demo.db --format html -o demo.html\n"
                "tokenprune report -s demo.db --table costs --format csv\n",
    .run = report_command,
};
