/* Tables of texts in four notations. */
#include "eval/grid.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

void tkp__grid_release(tkp__grid *grid)
{
    for (int32_t i = 0; i < grid->n_heads; i++)
        free(grid->heads[i]);
    for (int64_t i = 0; i < grid->n_cells; i++)
        free(grid->cells[i]);
    free(grid->heads);
    free(grid->cells);
    free(grid->title);
    free(grid->notes);
    *grid = (tkp__grid){0};
}

static char *formatted(const char *format, va_list args)
{
    char *text;
    return vasprintf(&text, format, args) < 0 ? NULL : text;
}

/* Takes the text. */
static void append(tkp__grid *grid, char ***list, int64_t count, char *text)
{
    char **moved =
        text ? realloc(*list, ((size_t)count + 1) * sizeof(*moved)) : NULL;
    if (moved) {
        *list = moved;
        moved[count] = text;
    } else {
        free(text);
        grid->failed = true;
    }
}

void tkp__grid_title(tkp__grid *grid, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    free(grid->title);
    grid->title = formatted(format, args);
    va_end(args);
    grid->failed |= !grid->title;
}

void tkp__grid_note(tkp__grid *grid, const char *format, ...)
{
    va_list args;
    char *all = NULL;
    va_start(args, format);
    char *text = formatted(format, args);
    va_end(args);
    if (!text || asprintf(
                     &all, "%s%s%s", grid->notes ? grid->notes : "",
                     grid->notes ? " " : "", text) < 0)
        grid->failed = true;
    else {
        free(grid->notes);
        grid->notes = all;
    }
    free(text);
}

void tkp__grid_head(tkp__grid *grid, const char *text)
{
    append(grid, &grid->heads, grid->n_heads, strdup(text));
    grid->n_heads += !grid->failed;
}

void tkp__grid_put(tkp__grid *grid, const char *format, ...)
{
    va_list args;
    if (grid->failed)
        return;
    va_start(args, format);
    append(grid, &grid->cells, grid->n_cells, formatted(format, args));
    va_end(args);
    grid->n_cells += !grid->failed;
}

void tkp__grid_number(tkp__grid *grid, double value, int decimals)
{
    if (isfinite(value))
        tkp__grid_put(grid, "%.*f", decimals, value);
    else
        tkp__grid_put(grid, "–");
}

tkp_status tkp__grid_check(const tkp__grid *grid)
{
    TKP__CHECK(!grid->failed, TKP_ERR_MEMORY, "no memory for a table");
    return TKP_OK;
}

/* --- notations --------------------------------------------------------------- */

typedef struct notation {
    const char *first, *between, *last;
    void (*text)(FILE *file, const char *text);
} notation;

void tkp__grid_html(FILE *file, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", file);
            break;
        case '<':
            fputs("&lt;", file);
            break;
        case '>':
            fputs("&gt;", file);
            break;
        case '"':
            fputs("&quot;", file);
            break;
        default:
            fputc(*text, file);
        }
}

static void md_text(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '|' || *text == '\\')
            fputc('\\', file);
        fputc(*text == '\n' ? ' ' : *text, file);
    }
}

/* RFC 4180. */
static void csv_text(FILE *file, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

static void tex_text(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (strchr("&%$#_{}", *text))
            fputc('\\', file);
        if (*text == '\\')
            fputs("\\textbackslash{}", file);
        else if (*text == '~' || *text == '^')
            fprintf(file, "\\%c{}", *text);
        else
            fputc(*text, file);
    }
}

static const notation md = {"| ", " | ", " |\n", md_text};
static const notation csv = {"", ",", "\n", csv_text};
static const notation tex = {"", " & ", " \\\\\n", tex_text};
static const notation th = {
    "<tr><th>", "</th><th>", "</th></tr>\n", tkp__grid_html};
static const notation td = {
    "<tr><td>", "</td><td>", "</td></tr>\n", tkp__grid_html};

static void
write_row(FILE *file, const notation *n, char *const *cells, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        fputs(i ? n->between : n->first, file);
        n->text(file, cells[i]);
    }
    fputs(n->last, file);
}

static void write_rows(FILE *file, const notation *n, const tkp__grid *grid)
{
    for (int64_t i = 0; i + grid->n_heads <= grid->n_cells; i += grid->n_heads)
        write_row(file, n, grid->cells + i, grid->n_heads);
}

static void write_md(FILE *file, const tkp__grid *grid)
{
    fprintf(file, "### %s\n\n", grid->title);
    write_row(file, &md, grid->heads, grid->n_heads);
    for (int32_t i = 0; i < grid->n_heads; i++)
        fputs(i ? " --- |" : "| --- |", file);
    fputc('\n', file);
    write_rows(file, &md, grid);
    fprintf(file, "\n%s\n", grid->notes ? grid->notes : "");
}

static void write_tex(FILE *file, const tkp__grid *grid)
{
    fprintf(file, "\\begin{table}\n\\caption{");
    tex_text(file, grid->title);
    fprintf(
        file, "}\n\\begin{tabular}{l*{%d}{r}}\n\\hline\n", grid->n_heads - 1);
    write_row(file, &tex, grid->heads, grid->n_heads);
    fputs("\\hline\n", file);
    write_rows(file, &tex, grid);
    fputs("\\hline\n\\end{tabular}\n", file);
    if (grid->notes)
        tex_text(file, grid->notes);
    fputs("\n\\end{table}\n", file);
}

static void write_html(FILE *file, const tkp__grid *grid)
{
    fputs("<h2>", file);
    tkp__grid_html(file, grid->title);
    fputs("</h2>\n<div class=\"wide\"><table>\n<thead>\n", file);
    write_row(file, &th, grid->heads, grid->n_heads);
    fputs("</thead>\n<tbody>\n", file);
    write_rows(file, &td, grid);
    fputs("</tbody>\n</table></div>\n<p>", file);
    tkp__grid_html(file, grid->notes ? grid->notes : "");
    fputs("</p>\n", file);
}

void tkp__grid_write(FILE *file, const tkp__grid *grid, int32_t format)
{
    switch (format) {
    case TKP__GRID_CSV:
        write_row(file, &csv, grid->heads, grid->n_heads);
        write_rows(file, &csv, grid);
        break;
    case TKP__GRID_TEX:
        write_tex(file, grid);
        break;
    case TKP__GRID_HTML:
        write_html(file, grid);
        break;
    default:
        write_md(file, grid);
    }
}
