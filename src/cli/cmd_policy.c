/* tokenprune policy: what presets there are, what they say, what is wrong. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { JSON = 256 };

static int show(const char *name)
{
    tkp_policy *policy;
    const tkp_status status = tkp__cli_policy_load(&policy, name);
    if (status != TKP_OK)
        return tkp__cli_failed(status, NULL);
    char *yaml = tkp__cli_policy_yaml(policy);
    tkp_policy_destroy(policy);
    if (!yaml)
        return tkp__cli_fail("no memory for the policy");
    fputs(yaml, stdout);
    free(yaml);
    return tkp__cli_finish(TKP__CLI_OK);
}

/* All files are looked at, so that one run shows all that is wrong. */
static int check(char **files, int count)
{
    int code = TKP__CLI_OK;
    for (int i = 0; i < count; i++) {
        tkp_policy *policy;
        const tkp_status status = tkp_policy_load_file(&policy, files[i]);
        if (status != TKP_OK) {
            code = tkp__cli_failed(status, NULL);
            continue;
        }
        const int32_t stages = tkp_policy_stage_count(policy);
        printf(
            "%s: policy '%s', %d stage%s\n", files[i], tkp_policy_name(policy),
            stages, stages == 1 ? "" : "s");
        tkp_policy_destroy(policy);
    }
    return tkp__cli_finish(code);
}

static int run(const tkp__cli_command *self, int argc, char **argv)
{
    bool json = false;
    for (;;) {
        const int key = tkp__cli_next(self, argc, argv);
        if (key == TKP__CLI_END)
            break;
        if (key == TKP__CLI_HELP) {
            tkp__cli_help(self);
            return tkp__cli_finish(TKP__CLI_OK);
        }
        if (key != JSON)
            return TKP__CLI_USAGE;
        json = true;
    }
    const char *what = optind < argc ? argv[optind] : "";
    const int operands = argc - optind - 1;
    if (strcmp(what, "list") == 0 && operands == 0)
        return tkp__cli_policy_list(json);
    if (json)
        return tkp__cli_usage(self, "--json goes with policy list");
    if (strcmp(what, "show") == 0 && operands == 1)
        return show(argv[optind + 1]);
    if (strcmp(what, "check") == 0 && operands >= 1)
        return check(argv + optind + 1, operands);
    if (strcmp(what, "list") == 0)
        return tkp__cli_usage(self, "policy list takes no operand");
    if (strcmp(what, "show") == 0)
        return tkp__cli_usage(self, "policy show wants one NAME or FILE");
    if (strcmp(what, "check") == 0)
        return tkp__cli_usage(self, "policy check wants at least one FILE");
    return tkp__cli_usage(
        self, "policy '%.40s', wanted list, show or check", what);
}

static const tkp__cli_option options[] = {
    {"json", JSON, NULL, "list: one JSON object instead of text"},
    {NULL, 0, NULL, NULL}};

const tkp__cli_command tkp__cli_policy = {
    .name = "policy",
    .summary = "List, show and check pruning policies",
    .usage = "list [--json] | show NAME|FILE | check FILE...",
    .options = options,
    .notes =
        "list   the built-in policies, a line each: name, where it cuts, whether\n"
        "       what it keeps depends on the question (text), whether kept\n"
        "       rows take in others (merges), what it does\n"
        "show   one policy as YAML with every default written out\n"
        "check  read files; each error is a line FILE:LINE:COLUMN: ...,\n"
        "       and the exit code is 1 if there was any",
    .examples = "tokenprune policy list\n"
                "tokenprune policy list --json\n"
                "tokenprune policy show fastv >mine.yaml\n"
                "tokenprune policy check mine.yaml policies/*.yaml\n",
    .run = run,
};
