/* Where to run: backends, threads, and the model that comes with us. */
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

tkp_status
tkp__cli_context(tkp_context **out, const char *backend, int32_t threads)
{
    tkp_context_options o = TKP_CONTEXT_OPTIONS_INIT;
    o.threads = threads > 0 ? threads : tkp__cli_threads();
    if (backend && strcmp(backend, "auto") != 0)
        o.backends = backend;
    return tkp_context_create(out, &o);
}

/* --- the demo model ---------------------------------------------------------- */

static bool is_model(const char *directory)
{
    char path[PATH_MAX];
    const int used = snprintf(path, sizeof(path), "%s/config.json", directory);
    return used > 0 && (size_t)used < sizeof(path) && access(path, R_OK) == 0;
}

/* Beside this program, so that an installed tree can be moved. */
static bool beside_program(char *out, size_t bytes)
{
    char self[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length <= 0)
        return false;
    self[length] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash)
        return false;
    *slash = '\0';
    const int used = snprintf(
        out, bytes, "%s/../%s/tokenprune/demo/model", self, TKP_DATADIR);
    return used > 0 && (size_t)used < bytes;
}

tkp_status tkp__cli_demo_model(char *out, size_t bytes)
{
    const char *named = getenv("TKP_DEMO_MODEL");
    char beside[2 * PATH_MAX] = "";
    if (named && named[0]) {
        TKP__CHECK(
            is_model(named), TKP_ERR_IO,
            "TKP_DEMO_MODEL is %.512s, wanted a directory with config.json",
            named);
        snprintf(out, bytes, "%s", named);
        return TKP_OK;
    }
    const bool known = beside_program(beside, sizeof(beside));
    const char *places[] = {
        known ? beside : "", TKP_FULL_DATADIR "/tokenprune/demo/model",
        TKP_SOURCE_DIR "/examples/demo/model"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (places[i][0] && is_model(places[i])) {
            snprintf(out, bytes, "%s", places[i]);
            return TKP_OK;
        }
    return tkp__fail(
        TKP_ERR_IO,
        "no model: give --model DIR or set TKP_DEMO_MODEL; the demo model is "
        "neither in %.300s nor in %s nor in %s",
        beside, places[1], places[2]);
}
