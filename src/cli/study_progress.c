/* How far it is: a bar on a terminal, now and then a line elsewhere. */
#include <stdarg.h>
#include <stdio.h>

#include "cli/study.h"

enum { BAR = 24 };
static const double between_draws = 0.1, between_lines = 10;

static void duration(char out[32], double seconds)
{
    const long s = seconds < 1e8 ? (long)(seconds + 0.5) : 99999999;
    if (s >= 3600)
        snprintf(out, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, 32, "%ld:%02ld", s / 60, s % 60);
}

/* From what was answered now; what was there already took no time. */
static void time_left(const tkp__study *study, char out[32])
{
    const double gone = tkp__cli_now() - study->since;
    if (study->stored == 0)
        snprintf(out, 32, "?");
    else
        duration(
            out, gone / (double)study->stored *
                     (double)(study->total - study->done));
}

static void clear(const tkp__study *study)
{
    if (study->terminal && study->shown > 0)
        fputs("\r\033[K", stderr);
}

void tkp__study_progress(
    tkp__study *study,
    const tkp__eval_set *set,
    const tkp__study_condition *condition)
{
    const double now = tkp__cli_now();
    char left[32];
    if (study->options.quiet ||
        now - study->shown < (study->terminal ? between_draws : between_lines))
        return;
    time_left(study, left);
    if (study->terminal) {
        const int filled =
            study->total > 0 ? (int)(BAR * study->done / study->total) : 0;
        fprintf(
            stderr, "\r\033[K[%.*s%*s] %lld/%lld  ETA %s  %.20s  %.24s %s %s",
            filled, "########################", BAR - filled, "",
            (long long)study->done, (long long)study->total, left, set->name,
            condition->name, condition->budget, condition->point);
    } else
        fprintf(
            stderr, "tokenprune: %lld of %lld answers, %s to go\n",
            (long long)study->done, (long long)study->total, left);
    fflush(stderr);
    study->shown = now;
}

void tkp__study_note(tkp__study *study, const char *format, ...)
{
    char text[1024];
    va_list args;
    if (study->options.quiet)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    clear(study);
    fprintf(stderr, "tokenprune: %s\n", text);
}

void tkp__study_progress_end(tkp__study *study)
{
    clear(study);
}
