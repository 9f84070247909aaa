/* Where to run: backends, threads, and the model that comes with us. */
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

int32_t tkp__cli_threads(void)
{
    const char *text = getenv("OMP_NUM_THREADS");
    const long wanted = text ? strtol(text, NULL, 10) : 0;
    if (wanted > 0 && wanted <= 1024)
        return (int32_t)wanted;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    const long there = sysconf(_SC_NPROCESSORS_ONLN);
    return there < 1 ? 1 : there > 1024 ? 1024 : (int32_t)there;
}

double tkp__cli_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

tkp_status
tkp__cli_context(tkp_context **out, const char *backend, int32_t threads)
{
    tkp_context_options o = TKP_CONTEXT_OPTIONS_INIT;
    o.threads = threads > 0 ? threads : tkp__cli_threads();
    if (backend && strcmp(backend, "auto") != 0)
        o.backends = backend;
    if (backend && strncmp(backend, "cuda", 4) == 0)
        o.device_type = TKP_DEVICE_CUDA;
    return tkp_context_create(out, &o);
}

bool tkp__cli_on_device(const tkp_context *context)
{
    return tkp_context_device_type(context) != TKP_DEVICE_CPU;
}

/* --- the demo model ---------------------------------------------------------- */

static bool is_model(const char *directory)
{
    char path[PATH_MAX];
    const int used = snprintf(path, sizeof(path), "%s/config.json", directory);
    return used > 0 && (size_t)used < sizeof(path) && access(path, R_OK) == 0;
}

/* Folders above the program that may be the source tree: of build/bin, and of
 * deeper ones such as out/build/release/bin. */
enum { LEVELS_ABOVE = 5 };

static bool program_folder(char *out, size_t bytes)
{
    const ssize_t length = readlink("/proc/self/exe", out, bytes - 1);
    if (length <= 0)
        return false;
    out[length] = '\0';
    char *slash = strrchr(out, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

/* Everything is found from where the program lies: an installed tree can be
 * moved, and no path of the machine it was built on is in it. */
static bool near_program(char *out, size_t bytes, const char *folder)
{
    int used = snprintf(
        out, bytes, "%s/%s/tokenprune/demo/model", folder, TKP_DATADIR);
    if (used > 0 && (size_t)used < bytes && is_model(out))
        return true;
    char above[PATH_MAX];
    snprintf(above, sizeof(above), "%s", folder);
    for (int level = 0; level < LEVELS_ABOVE; level++) {
        char *slash = strrchr(above, '/');
        if (!slash || slash == above)
            return false;
        *slash = '\0';
        used = snprintf(out, bytes, "%s/examples/demo/model", above);
        if (used > 0 && (size_t)used < bytes && is_model(out))
            return true;
    }
    return false;
}

tkp_status tkp__cli_demo_model(char *out, size_t bytes)
{
    const char *named = getenv("TKP_DEMO_MODEL");
    char folder[PATH_MAX];
    if (named && named[0]) {
        TKP__CHECK(
            is_model(named), TKP_ERR_IO,
            "TKP_DEMO_MODEL is %.512s, wanted a directory with config.json",
            named);
        snprintf(out, bytes, "%s", named);
        return TKP_OK;
    }
    const bool known = program_folder(folder, sizeof(folder));
    if (known && near_program(out, bytes, folder))
        return TKP_OK;
    return tkp__fail(
        TKP_ERR_IO,
        "no model: give --model DIR or set TKP_DEMO_MODEL; the demo model is "
        "neither in %.500s/%s/tokenprune/demo/model nor in "
        "examples/demo/model of a folder above",
        known ? folder : "(the program's folder, which is not known)",
        TKP_DATADIR);
}
