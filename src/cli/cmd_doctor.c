/* tokenprune doctor: what is there, what works, and what does not, why. */
#include <getopt.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"

enum { JSON = 256 };
enum { MOST_SKIPPED = 16, LINE_BYTES = 1024, MOST_LIBRARIES = 16 };

static const char *const variables[] = {"TKP_BACKEND",    "TKP_BACKEND_DIR",
                                        "TKP_DISABLE",    "TKP_VERBOSE",
                                        "TKP_DEMO_MODEL", "OMP_NUM_THREADS",
                                        "OMP_PROC_BIND",  "OMP_WAIT_POLICY",
                                        "ONEDNN_VERBOSE", "LD_LIBRARY_PATH"};
enum { N_VARIABLES = sizeof(variables) / sizeof(variables[0]) };

/* What reads images, text and numbers; the file names carry the versions. */
static const char *const libraries[] = {
    "libtokenprune", "libyaml",   "libjansson",  "libjpeg", "libpng",
    "libwebp",       "libpcre2-", "libutf8proc", "libcairo"};
enum { N_LIBRARIES = sizeof(libraries) / sizeof(libraries[0]) };

typedef struct findings {
    tkp_context *context;
    char failure[LINE_BYTES]; /* why there is no context; empty = there is */
    char skipped[MOST_SKIPPED][LINE_BYTES];
    int32_t n_skipped;
    char selftest[MOST_SKIPPED][LINE_BYTES]; /* by backend; empty = it works */
    char library[MOST_LIBRARIES][PATH_MAX];
    int32_t n_libraries;
    char demo[PATH_MAX]; /* empty = none */
    bool bad;
} findings;

/* --- looking ---------------------------------------------------------------- */

/* A backend that is left out says why in the log. */
static void on_log(void *user, int32_t level, const char *line)
{
    static const char skip[] = "tokenprune,skip,";
    findings *f = user;
    (void)level;
    if (strncmp(line, skip, sizeof(skip) - 1) == 0 &&
        f->n_skipped < MOST_SKIPPED)
        snprintf(
            f->skipped[f->n_skipped++], LINE_BYTES, "%s",
            line + sizeof(skip) - 1);
}

static int on_library(struct dl_phdr_info *info, size_t bytes, void *user)
{
    findings *f = user;
    const char *slash = strrchr(info->dlpi_name, '/');
    (void)bytes;
    for (size_t i = 0; slash && i < N_LIBRARIES; i++)
        if (strncmp(slash + 1, libraries[i], strlen(libraries[i])) == 0 &&
            f->n_libraries < MOST_LIBRARIES &&
            realpath(info->dlpi_name, f->library[f->n_libraries]))
            f->n_libraries++;
    return 0;
}

static void test_backends(findings *f)
{
    const int32_t n = tkp_context_backend_count(f->context);
    for (int32_t i = 0; i < n && i < MOST_SKIPPED; i++)
        if (tkp__doctor_selftest(tkp_context_backend_name(f->context, i)) !=
            TKP_OK) {
            snprintf(f->selftest[i], LINE_BYTES, "%s", tkp_last_message());
            f->bad = true;
        }
}

static void examine(findings *f)
{
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    options.threads = tkp__cli_threads();
    options.log = on_log;
    options.log_user = f;
    if (tkp_context_create(&f->context, &options) == TKP_OK) {
        test_backends(f);
    } else {
        snprintf(f->failure, sizeof(f->failure), "%s", tkp_last_message());
        f->bad = true;
    }
    f->bad |= f->n_skipped > 0;
    dl_iterate_phdr(on_library, f);
    if (tkp__cli_demo_model(f->demo, sizeof(f->demo)) != TKP_OK)
        f->demo[0] = '\0';
}

/* --- telling ---------------------------------------------------------------- */

static void print_backends(const findings *f)
{
    printf("\nBackends, best first:\n");
    if (!f->context)
        printf("  none: %s\n", f->failure);
    for (int32_t i = 0; i < tkp_context_backend_count(f->context); i++) {
        printf(
            "  %-5s %s\n", tkp_context_backend_name(f->context, i),
            tkp_context_backend_info(f->context, i));
        printf(
            "        selftest: %s\n",
            f->selftest[i][0] ? f->selftest[i] : "passed");
    }
    for (int32_t i = 0; i < f->n_skipped; i++)
        printf("  left out: %s\n", f->skipped[i]);
}

static void print_findings(const findings *f)
{
    printf(
        "tokenprune %s\nlibrary: %s\n", TKP_VERSION_STRING, tkp_build_info());
    print_backends(f);
    if (f->context)
        printf("  threads: %d\n", tkp_context_threads(f->context));
    printf("\nLibraries:\n");
    for (int32_t i = 0; i < f->n_libraries; i++)
        printf("  %s\n", f->library[i]);
    printf("\nDemo model:\n  %s\n", f->demo[0] ? f->demo : "not found");
    printf("\nEnvironment:\n");
    for (size_t i = 0; i < N_VARIABLES; i++) {
        const char *value = getenv(variables[i]);
        printf(
            "  %s%s%s\n", variables[i], value ? "=" : "",
            value ? value : " is not set");
    }
    printf(
        "\n%s\n", f->bad ? "Something is wrong, see above." : "All is well.");
}

static json_t *backends_to_json(const findings *f)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < tkp_context_backend_count(f->context); i++)
        json_array_append_new(
            list,
            json_pack(
                "{s:s, s:o, s:o}", "name",
                tkp_context_backend_name(f->context, i), "info",
                tkp__cli_json_text(tkp_context_backend_info(f->context, i)),
                "selftest",
                tkp__cli_json_text(
                    f->selftest[i][0] ? f->selftest[i] : "passed")));
    return list;
}

static json_t *to_json(const findings *f)
{
    json_t *left_out = json_array();
    json_t *loaded = json_array();
    json_t *environment = json_object();
    for (int32_t i = 0; i < f->n_skipped; i++)
        json_array_append_new(left_out, tkp__cli_json_text(f->skipped[i]));
    for (int32_t i = 0; i < f->n_libraries; i++)
        json_array_append_new(loaded, tkp__cli_json_text(f->library[i]));
    for (size_t i = 0; i < N_VARIABLES; i++)
        json_object_set_new(
            environment, variables[i],
            tkp__cli_json_text(getenv(variables[i])));
    return json_pack(
        "{s:s, s:o, s:b, s:o, s:o, s:o, s:i, s:o, s:o, s:o}", "version",
        tkp_version_string(), "build", tkp__cli_json_text(tkp_build_info()),
        "ok", !f->bad, "backends", backends_to_json(f), "left_out", left_out,
        "failure", tkp__cli_json_text(f->failure[0] ? f->failure : NULL),
        "threads", f->context ? tkp_context_threads(f->context) : 0,
        "libraries", loaded, "demo_model",
        tkp__cli_json_text(f->demo[0] ? f->demo : NULL), "environment",
        environment);
}

static int report(bool json)
{
    findings *f = calloc(1, sizeof(*f));
    if (!f)
        return tkp__cli_fail("no memory");
    examine(f);
    int code = f->bad ? TKP__CLI_FAILED : TKP__CLI_OK;
    if (json) {
        const int printed = tkp__cli_json_print(to_json(f));
        code = printed ? printed : code;
    } else {
        print_findings(f);
        code = tkp__cli_finish(code);
    }
    tkp_context_destroy(f->context);
    free(f);
    return code;
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
    if (optind < argc)
        return tkp__cli_usage(self, "doctor takes no operand");
    return report(json);
}

static const tkp__cli_option options[] = {
    {"json", JSON, NULL, "one JSON object instead of text"},
    {NULL, 0, NULL, NULL}};

const tkp__cli_command tkp__cli_doctor = {
    .name = "doctor",
    .summary = "Say what is installed, and test it",
    .usage = "[--json]",
    .options = options,
    .notes =
        "Exit code 1 if a backend that is there cannot be used, fails its\n"
        "selftest, or one that TKP_BACKEND names cannot be had.",
    .examples = "tokenprune doctor\n"
                "TKP_BACKEND=cpu tokenprune doctor --json\n",
    .run = run,
};
