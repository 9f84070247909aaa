/* tokenprune COMMAND ...: find the command, or say what there is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "util/text.h"

static const char *command_name(const void *list, int32_t i)
{
    (void)list;
    const tkp__cli_command *command = tkp__cli_command_at(i);
    return command ? command->name : NULL;
}

static void print_help(void)
{
    printf("Usage: tokenprune COMMAND [OPTION...]\n\n"
           "Prune the visual tokens of a multimodal language model.\n\n"
           "Commands:\n");
    for (int32_t i = 0; tkp__cli_command_at(i); i++)
        printf(
            "  %-10s%s\n", tkp__cli_command_at(i)->name,
            tkp__cli_command_at(i)->summary);
    printf(
        "  %-10s%s\n\n"
        "  --version  version and how the library was built\n\n"
        "tokenprune help COMMAND tells more about one of them.\n"
        "Exit code: 0 it worked, 1 it failed, 2 the command line is wrong.\n",
        "help", "This text, or that of a command");
}

static int unknown_command(const char *name)
{
    char all[256] = "";
    const int32_t near = tkp__nearest(name, command_name, NULL);
    if (near >= 0)
        return tkp__cli_usage(
            NULL, "no command '%.40s', did you mean '%s'?", name,
            command_name(NULL, near));
    for (int32_t i = 0; command_name(NULL, i); i++) {
        strncat(all, i ? ", " : "", sizeof(all) - strlen(all) - 1);
        strncat(all, command_name(NULL, i), sizeof(all) - strlen(all) - 1);
    }
    return tkp__cli_usage(
        NULL, "no command '%.40s', wanted one of %s", name, all);
}

static int help(int argc, char **argv)
{
    if (argc < 2) {
        print_help();
        return tkp__cli_finish(TKP__CLI_OK);
    }
    const tkp__cli_command *command = tkp__cli_find(argv[1]);
    if (!command)
        return unknown_command(argv[1]);
    tkp__cli_help(command);
    return tkp__cli_finish(TKP__CLI_OK);
}

static int version(void)
{
    printf(
        "tokenprune %s\nlibrary: %s\n", TKP_VERSION_STRING, tkp_build_info());
    return tkp__cli_finish(TKP__CLI_OK);
}

/* Threads that have nothing to do sleep instead of spinning. OpenMP's own
 * default takes whole processors away from other programs, and from our own
 * threads where there are more of them than processors. Its run-time library
 * reads the variable when it is loaded, which is with the cpu module, so it has
 * to be set before the first context; who has set it is left alone. */
static void let_waiting_threads_sleep(void)
{
    setenv("OMP_WAIT_POLICY", "passive", 0);
}

int main(int argc, char **argv)
{
    let_waiting_threads_sleep();
    if (argc < 2)
        return tkp__cli_usage(NULL, "no command");
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        return version();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(1, argv);
    if (strcmp(name, "help") == 0)
        return help(argc - 1, argv + 1);
    const tkp__cli_command *command = tkp__cli_find(name);
    if (!command)
        return unknown_command(name);
    return command->run(command, argc - 1, argv + 1);
}
