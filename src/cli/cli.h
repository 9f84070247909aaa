#ifndef TKP_CLI_CLI_H
#define TKP_CLI_CLI_H

/*
 * The command: one file a subcommand, and what they share. A subcommand is a
 * row of the table in commands.c; its options are a table too, from which both
 * the parser and the help text are made.
 *
 * Whatever goes wrong is one line on standard error, "tokenprune: ...", and
 * nothing on standard output that a program could take for an answer.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "tokenprune/mllm.h"
#include "util/util.h"

enum { TKP__CLI_OK = 0, TKP__CLI_FAILED = 1, TKP__CLI_USAGE = 2 };

/* --- commands (commands.c) ------------------------------------------------ */

typedef struct tkp__cli_option {
    const char *name;
    int key;              /* a letter is its short form as well */
    const char *argument; /* what it is called in the help; NULL = none */
    const char *help;
} tkp__cli_option;

typedef struct tkp__cli_command {
    const char *name;
    const char *summary;
    const char *usage;              /* what follows the name */
    const tkp__cli_option *options; /* ends with name = NULL */
    const char *notes;              /* more paragraphs, or NULL */
    const char *examples;           /* lines, without indentation */
    int (*run)(const struct tkp__cli_command *self, int argc, char **argv);
} tkp__cli_command;

extern const tkp__cli_command tkp__cli_run;
extern const tkp__cli_command tkp__cli_eval;
extern const tkp__cli_command tkp__cli_report;
extern const tkp__cli_command tkp__cli_policy;
extern const tkp__cli_command tkp__cli_select;
extern const tkp__cli_command tkp__cli_score;
extern const tkp__cli_command tkp__cli_data;
extern const tkp__cli_command tkp__cli_doctor;

/* (policy_list.c) */
int tkp__cli_policy_list(bool json);

const tkp__cli_command *tkp__cli_find(const char *name);
/* Number of rows; for help and for completion. */
const tkp__cli_command *tkp__cli_command_at(int32_t i);
void tkp__cli_help(const tkp__cli_command *command);

/* --- failing (cli_error.c) ------------------------------------------------- */

/* Print the line and give the exit code back. */
int tkp__cli_usage(const tkp__cli_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int tkp__cli_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
/* Of a call into the library that failed: its message, behind "prefix: ". */
int tkp__cli_failed(tkp_status status, const char *prefix);
/* Flush standard output; a full disk is a failure. */
int tkp__cli_finish(int code);

/* --- options (cli_options.c) ------------------------------------------------ */

enum {
    TKP__CLI_END = -1,  /* operands begin at argv[optind] */
    TKP__CLI_BAD = -2,  /* the line is printed; exit with TKP__CLI_USAGE */
    TKP__CLI_HELP = 'h' /* every command has it */
};

/* The next option; its argument is in optarg. */
int tkp__cli_next(const tkp__cli_command *command, int argc, char **argv);

/* Whole text or nothing; false with the line printed. */
bool tkp__cli_int(
    const tkp__cli_command *command,
    const char *option,
    int64_t low,
    int64_t high,
    int64_t *out);
bool tkp__cli_u64(
    const tkp__cli_command *command,
    const char *option,
    uint64_t *out);
bool tkp__cli_double(
    const tkp__cli_command *command,
    const char *option,
    double low,
    double high,
    double *out);
bool tkp__cli_dtype(
    const tkp__cli_command *command,
    const char *option,
    int32_t *out);

/* --- policies as the command line gives them (cli_policy.c) ----------------- */

typedef struct tkp__cli_policy_choice {
    const char *name;  /* preset or file; NULL = none */
    tkp_budget budget; /* kind ALL = as the policy says */
    bool has_budget;
    int32_t point; /* 0 = as the policy says */
    int32_t boundary;
    int32_t stage; /* -1 = the one that prunes */
    uint64_t seed;
    bool has_seed;
} tkp__cli_policy_choice;

#define TKP__CLI_POLICY_CHOICE_INIT                                            \
    {                                                                          \
        .budget = TKP_BUDGET_INIT, .stage = -1                                 \
    }

bool tkp__cli_keep(
    const tkp__cli_command *command,
    tkp__cli_policy_choice *choice);
bool tkp__cli_keep_ratio(
    const tkp__cli_command *command,
    tkp__cli_policy_choice *choice);
bool tkp__cli_at(
    const tkp__cli_command *command,
    tkp__cli_policy_choice *choice);

/* A preset, or a file: what has a '/', or ends in .yaml or .yml. */
tkp_status tkp__cli_policy_load(tkp_policy **out, const char *name);
/* That, with what the choice changes. */
tkp_status
tkp__cli_policy_make(tkp_policy **out, const tkp__cli_policy_choice *choice);
/* As YAML; free() it. NULL without memory. */
char *tkp__cli_policy_yaml(const tkp_policy *policy);

/* --- where to run (cli_context.c) ------------------------------------------- */

/* `backend` NULL or "auto": the library's choice. threads 0: all there are. */
tkp_status
tkp__cli_context(tkp_context **out, const char *backend, int32_t threads);
/* It works on memory that is not the host's. */
bool tkp__cli_on_device(const tkp_context *context);
/* Processors this process may use, or $OMP_NUM_THREADS. */
int32_t tkp__cli_threads(void);

/* Seconds on a clock that only goes forward. */
double tkp__cli_now(void);

/* Directory of the demo model; TKP_ERR_IO, with the places, if it is in none of
 * them. */
tkp_status tkp__cli_demo_model(char *out, size_t bytes);

/* --- Ctrl-C (cli_interrupt.c) ------------------------------------------------- */

/* The first Ctrl-C is noted, the second ends the process. */
void tkp__cli_listen_for_interrupt(void);
/* Not 0 after it; a tkp_mllm_stop_fn. */
int32_t tkp__cli_interrupted(void *user);

/* --- JSON (cli_json.c) -------------------------------------------------------- */

/* As json_string(), with U+FFFD for what is no UTF-8; NULL text gives null. */
json_t *tkp__cli_json_text(const char *text);
/* null where there is no finite number. */
json_t *tkp__cli_json_real(double value);
json_t *tkp__cli_json_ints(const int64_t *values, int64_t count);
json_t *tkp__cli_json_i32(const int32_t *values, int64_t count);
/* Print one object, take the reference; the exit code. */
int tkp__cli_json_print(json_t *object);

#endif
