/* Options by getopt_long, from a command's table. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "util/text.h"

enum { MOST_OPTIONS = 48 };

static const tkp__cli_option help_option = {
    "help", TKP__CLI_HELP, NULL, "print this text"};

static int32_t count_options(const tkp__cli_option *options)
{
    int32_t n = 0;
    while (options && options[n].name)
        n++;
    return n;
}

/* Number n is --help, which no table has to name. */
static const tkp__cli_option *
option_at(const tkp__cli_command *command, int32_t i)
{
    const int32_t n = count_options(command->options);
    return i < n ? &command->options[i] : i == n ? &help_option : NULL;
}

static const char *option_name(const void *command, int32_t i)
{
    const tkp__cli_option *o = option_at(command, i);
    return o ? o->name : NULL;
}

static int32_t
starts_with(const tkp__cli_command *command, const char *name, size_t bytes)
{
    int32_t found = 0;
    for (int32_t i = 0; option_at(command, i); i++)
        found += strncmp(option_at(command, i)->name, name, bytes) == 0;
    return found;
}

static int unknown(const tkp__cli_command *command, const char *given)
{
    const char *name = given + strspn(given, "-");
    char word[64];
    snprintf(word, sizeof(word), "%.*s", (int)strcspn(name, "="), name);
    if (given[0] != '-' || given[1] != '-') { /* a short one, or in a bundle */
        tkp__cli_usage(command, "unknown option -%c", optopt);
        return TKP__CLI_BAD;
    }
    if (word[0] && starts_with(command, word, strlen(word)) > 1) {
        tkp__cli_usage(command, "option --%s could be several", word);
        return TKP__CLI_BAD;
    }
    const int32_t near = tkp__nearest(word, option_name, command);
    if (near >= 0)
        tkp__cli_usage(
            command, "unknown option --%s, did you mean --%s?", word,
            option_name(command, near));
    else
        tkp__cli_usage(command, "unknown option --%s", word);
    return TKP__CLI_BAD;
}

static int bad_option(const tkp__cli_command *command, const char *given)
{
    for (int32_t i = 0; optopt && option_at(command, i); i++) {
        const tkp__cli_option *o = option_at(command, i);
        if (o->key != optopt)
            continue;
        if (o->argument)
            tkp__cli_usage(command, "--%s wants %s", o->name, o->argument);
        else
            tkp__cli_usage(command, "--%s takes no value", o->name);
        return TKP__CLI_BAD;
    }
    return unknown(command, given);
}

/* The table and the letters that getopt_long wants. A leading ':' keeps it
 * quiet and tells a missing value from an unknown option. */
static void fill_tables(
    const tkp__cli_command *command,
    struct option table[MOST_OPTIONS + 1],
    char letters[2 * MOST_OPTIONS + 2])
{
    int32_t n = 0;
    char *letter = letters;
    *letter++ = ':';
    for (; n < MOST_OPTIONS && option_at(command, n); n++) {
        const tkp__cli_option *o = option_at(command, n);
        const int has = o->argument ? required_argument : no_argument;
        table[n] = (struct option){o->name, has, NULL, o->key};
        if (o->key >= 128)
            continue;
        *letter++ = (char)o->key;
        if (o->argument)
            *letter++ = ':';
    }
    *letter = '\0';
    table[n] = (struct option){NULL, 0, NULL, 0};
}

int tkp__cli_next(const tkp__cli_command *command, int argc, char **argv)
{
    struct option table[MOST_OPTIONS + 1];
    char letters[2 * MOST_OPTIONS + 2];
    fill_tables(command, table, letters);
    opterr = 0;
    optopt = 0;
    const int key = getopt_long(argc, argv, letters, table, NULL);
    if (key != '?' && key != ':')
        return key;
    return bad_option(command, argv[optind > 1 ? optind - 1 : 1]);
}

/* --- values ---------------------------------------------------------------- */

bool tkp__cli_int(
    const tkp__cli_command *command,
    const char *option,
    int64_t low,
    int64_t high,
    int64_t *out)
{
    char *end;
    errno = 0;
    const long long value = strtoll(optarg, &end, 10);
    if (end != optarg && *end == '\0' && errno == 0 && value >= low &&
        value <= high) {
        *out = value;
        return true;
    }
    tkp__cli_usage(
        command, "--%s is '%.40s', wanted a whole number from %lld to %lld",
        option, optarg, (long long)low, (long long)high);
    return false;
}

bool tkp__cli_u64(
    const tkp__cli_command *command,
    const char *option,
    uint64_t *out)
{
    if (tkp__text_to_u64(optarg, out))
        return true;
    tkp__cli_usage(
        command, "--%s is '%.40s', wanted a whole number from 0 to 2^64 - 1",
        option, optarg);
    return false;
}

bool tkp__cli_double(
    const tkp__cli_command *command,
    const char *option,
    double low,
    double high,
    double *out)
{
    char *end;
    const double value = strtod(optarg, &end);
    if (end != optarg && *end == '\0' && isfinite(value) && value >= low &&
        value <= high) {
        *out = value;
        return true;
    }
    tkp__cli_usage(
        command, "--%s is '%.40s', wanted a number from %g to %g", option,
        optarg, low, high);
    return false;
}

bool tkp__cli_dtype(
    const tkp__cli_command *command,
    const char *option,
    int32_t *out)
{
    if (strcmp(optarg, "auto") == 0)
        *out = 0;
    else if (strcmp(optarg, "f32") == 0)
        *out = TKP_DTYPE_F32;
    else if (strcmp(optarg, "bf16") == 0)
        *out = TKP_DTYPE_BF16;
    else {
        tkp__cli_usage(
            command, "--%s is '%.40s', wanted auto, f32 or bf16", option,
            optarg);
        return false;
    }
    return true;
}
