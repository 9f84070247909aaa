/*
 * Tensor files that may be anything, under a policy that the first byte picks.
 * What is taken gives ascending cells, as many as are said; what is refused
 * says why in one line that begins with the file.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/select.h"

static void
check_outcome(const tkp__select_case *c, const tkp__select_outcome *o)
{
    if (o->n_kept < 0 || o->n_kept > c->cells || o->rows_out > c->length)
        abort();
    for (int64_t i = 0; i < o->n_kept; i++)
        if (o->kept[i] < 0 || o->kept[i] >= c->cells ||
            (i && o->kept[i] <= o->kept[i - 1]))
            abort();
    for (int64_t i = 0; i < c->cells; i++)
        if (o->assignment[i] < -1 || o->assignment[i] >= o->n_kept)
            abort();
}

static void check_refusal(const char *path)
{
    const char *message = tkp_last_message();
    if (strncmp(message, path, strlen(path)) != 0 || strchr(message, '\n'))
        abort();
}

static tkp_status
apply(const char *path, const tkp__select_stage *stage, tkp_context *context)
{
    tkp__select_file file;
    tkp__select_case c = {0};
    tkp__select_outcome o = {0};
    tkp_status status = tkp__select_file_read(&file, path);
    if (status == TKP_OK)
        status = tkp__select_case_create(&c, &file);
    if (status == TKP_OK && c.length <= 4096)
        status = tkp__select_apply(&o, &c, stage, context, 0);
    if (status == TKP_OK && o.kept)
        check_outcome(&c, &o);
    tkp__select_outcome_release(&o);
    tkp__select_case_release(&c);
    tkp__select_file_release(&file);
    return status;
}

/* A file without a name. */
static int write_down(const uint8_t *data, size_t size)
{
    const int descriptor = memfd_create("fuzz", 0);
    if (descriptor < 0 || write(descriptor, data, size) != (ssize_t)size)
        abort();
    return descriptor;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static tkp_context *context;
    tkp__cli_policy_choice choice = TKP__CLI_POLICY_CHOICE_INIT;
    tkp__select_stage stage = {0};
    char path[64];
    if (!context && tkp__cli_context(&context, "ref", 1) != TKP_OK)
        abort();
    choice.name =
        tkp_policy_preset_name(size ? data[0] % tkp_policy_preset_count() : 0);
    if (tkp__select_stage_pick(&stage, &choice) != TKP_OK)
        return 0; /* "none" prunes nothing */
    const int descriptor = write_down(data + 1, size ? size - 1 : 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    if (apply(path, &stage, context) != TKP_OK)
        check_refusal(path);
    close(descriptor);
    tkp_policy_destroy(stage.policy);
    return 0;
}
