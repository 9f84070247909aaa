/*
 * Backend modules for test_context.c, good and bad ones by definitions given
 * on the command line: MODULE_NAME, MODULE_ABI, MODULE_DEVICE, MODULE_SCORE.
 */

#include <stdlib.h>

#include "tokenprune/sys/backend.h"
#include "tokenprune/sys/base.h"

#ifndef MODULE_ABI
#    define MODULE_ABI TKP_BACKEND_ABI_VERSION
#endif
#ifndef MODULE_DEVICE
#    define MODULE_DEVICE TKP_DEVICE_CPU
#endif
#ifndef MODULE_SCORE
#    define MODULE_SCORE 10
#endif

static int32_t score(void)
{
    if (MODULE_SCORE == 0)
        tkp_sys_message_set("this machine has no flux capacitor");
    return MODULE_SCORE;
}

static const char *info(void)
{
    return "a module for tests";
}

static tkp_status device_count(int32_t *count_out)
{
    *count_out = 2;
    return TKP_OK;
}

static tkp_status supports(const tkp_op_desc *desc)
{
    (void)desc;
    tkp_sys_message_set("this module does nothing");
    return TKP_ERR_UNSUPPORTED;
}

static tkp_status plan(
    void **plan_out,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc,
    int32_t threads)
{
    (void)plan_out;
    (void)kernel_out;
    (void)ledger;
    (void)threads;
    return supports(desc);
}

static tkp_status
run(const void *state,
    void *exec_state,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace)
{
    (void)state;
    (void)exec_state;
    (void)args;
    (void)n_args;
    (void)workspace;
    return TKP_ERR_INTERNAL;
}

static void plan_destroy(void *state)
{
    (void)state;
}

static const tkp_backend_vtable table = {
    .abi_version = MODULE_ABI,
    .struct_size = sizeof(tkp_backend_vtable),
    .name = MODULE_NAME,
    .device_type = MODULE_DEVICE,
    .score = score,
    .info = info,
    .device_count = device_count,
    .supports = supports,
    .plan = plan,
    .run = run,
    .plan_destroy = plan_destroy,
};

#ifdef MODULE_NO_ENTRY
#    define tkp_backend_entry tkp_backend_entrance
#endif

/* A module of the CUDA kind tells by this that somebody loaded it. */
__attribute__((constructor)) static void loaded(void)
{
    if (MODULE_DEVICE == TKP_DEVICE_CUDA)
        setenv("TKP_TEST_CUDA_MODULE_LOADED", "1", 1);
}

TKP_API const tkp_backend_vtable *tkp_backend_entry(void);
const tkp_backend_vtable *tkp_backend_entry(void)
{
    return &table;
}
