/* The table of subcommands, and their help. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const tkp__cli_command *const commands[] = {
    // clang-format off
    &tkp__cli_run,
    &tkp__cli_select,
    &tkp__cli_eval,
    &tkp__cli_report,
    &tkp__cli_score,
    &tkp__cli_data,
    &tkp__cli_policy,
    &tkp__cli_doctor,
    // clang-format on
};

const tkp__cli_command *tkp__cli_command_at(int32_t i)
{
    const int32_t n = (int32_t)(sizeof(commands) / sizeof(commands[0]));
    return i >= 0 && i < n ? commands[i] : NULL;
}

const tkp__cli_command *tkp__cli_find(const char *name)
{
    for (int32_t i = 0; tkp__cli_command_at(i); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

enum { HELP_COLUMN = 28, HELP_WIDTH = 79 };

/* `text` from `column` on, broken at blanks. */
static void print_wrapped(const char *text, int column)
{
    int at = column;
    while (*text) {
        const int word = (int)strcspn(text, " ");
        if (at > column && at + word > HELP_WIDTH) {
            printf("\n%*s", column, "");
            at = column;
        }
        printf("%.*s", word, text);
        at += word;
        text += word;
        if (*text == ' ') {
            text++;
            if (at + 1 + (int)strcspn(text, " ") <= HELP_WIDTH)
                putchar(' ');
            at++;
        }
    }
    putchar('\n');
}

static void print_option(const tkp__cli_option *o)
{
    char left[80];
    const bool has_letter = o->key < 128;
    const int used = snprintf(
        left, sizeof(left), "  %c%c%s--%s%s%s", has_letter ? '-' : ' ',
        has_letter ? o->key : ' ', has_letter ? ", " : "  ", o->name,
        o->argument ? " " : "", o->argument ? o->argument : "");
    printf("%s", left);
    if (used >= HELP_COLUMN)
        printf("\n%*s", HELP_COLUMN, "");
    else
        printf("%*s", HELP_COLUMN - used, "");
    print_wrapped(o->help, HELP_COLUMN);
}

static void print_examples(const char *text)
{
    while (*text) {
        const int line = (int)strcspn(text, "\n");
        printf("  %.*s\n", line, text);
        text += line;
        text += *text == '\n';
    }
}

void tkp__cli_help(const tkp__cli_command *command)
{
    static const tkp__cli_option help = {
        "help", TKP__CLI_HELP, NULL, "print this text"};
    printf("Usage: tokenprune %s %s\n\n", command->name, command->usage);
    print_wrapped(command->summary, 0);
    printf("\nOptions:\n");
    for (const tkp__cli_option *o = command->options; o && o->name; o++)
        print_option(o);
    print_option(&help);
    if (command->notes)
        printf("\n%s\n", command->notes);
    printf("\nExamples:\n");
    print_examples(command->examples);
}
