/* Ctrl-C, as the commands that work for long take it. */
#include <signal.h>
#include <string.h>

#include "cli/cli.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void tkp__cli_listen_for_interrupt(void)
{
    struct sigaction action = {
        .sa_handler = on_interrupt,
        .sa_flags = (int)SA_RESETHAND | SA_RESTART,
    };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

int32_t tkp__cli_interrupted(void *user)
{
    (void)user;
    return interrupted != 0;
}
