/* One line on standard error, and the exit code that goes with it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

/* File names and arguments may hold anything; a message is one line. */
static void print_line(char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    fflush(stdout);
    fprintf(stderr, "tokenprune: %s\n", text);
}

int tkp__cli_usage(const tkp__cli_command *command, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    const int used = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof(text))
        snprintf(
            text + used, sizeof(text) - (size_t)used, "; see tokenprune %s%s",
            command ? command->name : "", command ? " --help" : "--help");
    print_line(text);
    return TKP__CLI_USAGE;
}

int tkp__cli_fail(const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print_line(text);
    return TKP__CLI_FAILED;
}

int tkp__cli_failed(tkp_status status, const char *prefix)
{
    const char *message = tkp_last_message();
    return tkp__cli_fail(
        "%s%s%s", prefix ? prefix : "", prefix ? ": " : "",
        message[0] ? message : tkp_status_string(status));
}

int tkp__cli_finish(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    return tkp__cli_fail("standard output: %s", strerror(errno));
}
