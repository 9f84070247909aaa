#ifndef TKP_TESTS_CLI_CLI_TESTING_H
#define TKP_TESTS_CLI_CLI_TESTING_H

/* The command run as a user runs it, and what it said. */

#include <jansson.h>

#include "mllm/checkpoint/checkpoint.h"
#include "mllm/model_files.h"

typedef struct spoken {
    int code; /* exit code; 128 + signal */
    char *out, *err;
} spoken;

/* Arguments after "tokenprune", NULL at the end. */
spoken command(const char *argument, ...) __attribute__((sentinel));
spoken command_list(const char *const *arguments);
/* That of another program file. */
spoken command_of(const char *program, const char *argument, ...)
    __attribute__((sentinel));
void forget(spoken *s);

/* Path of the program under test. */
const char *program_path(char out[PATH_MAX]);

/* It failed as it should: this exit code, nothing on standard output, and one
 * line on standard error that starts with "tokenprune: " and has `part` in
 * it. Forgets what was said. */
void assert_refused_(spoken s, int code, const char *part, int line);
#define assert_refused(said_, code_, part_)                                    \
    assert_refused_((said_), (code_), (part_), __LINE__)

/* It worked, and standard output is one JSON object that
 * docs/NAME.schema.json describes. */
json_t *assert_json_(spoken s, const char *schema, int line);
#define assert_json(said_, schema_) assert_json_((said_), (schema_), __LINE__)

int64_t json_int_at(const json_t *object, const char *key);
double json_real_at(const json_t *object, const char *key);
/* [n] integers equal to an i32 tensor. */
void assert_ints(const json_t *array, const tkp_tensor *expected);

#endif
