#ifndef TKP_TESTS_FAKE_BACKEND_H
#define TKP_TESTS_FAKE_BACKEND_H

/*
 * A backend that computes nothing: it takes every kind (or those asked for),
 * counts calls, writes a mark into the last argument, and asks for a little
 * workspace of which it touches every byte.
 */

#include <stdatomic.h>
#include <string.h>

#include "tokenprune/sys/backend.h"
#include "tokenprune/sys/base.h"

enum { FAKE_WORKSPACE = 192, FAKE_MARK = 77 };

static struct fake {
    int32_t only_kind;     /* 0 = all */
    int32_t score;         /* 0 = cannot run here */
    tkp_status plan_fails; /* TKP_OK = it does not */
    tkp_status run_fails;
    tkp_status exec_fails;
    atomic_int plans; /* that live */
    atomic_int execs;
    atomic_int runs;
    tkp_op_desc seen; /* description of the last plan */
    unsigned char seen_params[128];
} fake = {.score = 50};

static int32_t fake_score(void)
{
    if (fake.score == 0)
        tkp_sys_message_set("it is switched off");
    return fake.score;
}

static const char *fake_info(void)
{
    return "fake 1.0";
}

static tkp_status fake_device_count(int32_t *count_out)
{
    *count_out = 1;
    return TKP_OK;
}

static tkp_status fake_supports(const tkp_op_desc *desc)
{
    if (fake.only_kind != 0 && desc->kind != fake.only_kind) {
        tkp_sys_message_set("another kind is wanted");
        return TKP_ERR_UNSUPPORTED;
    }
    return TKP_OK;
}

static tkp_status fake_plan(
    void **plan_out,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc,
    int32_t threads)
{
    (void)threads;
    if (fake.plan_fails != TKP_OK) {
        tkp_sys_message_set("the plan would not come");
        return fake.plan_fails;
    }
    fake.seen = *desc;
    if (desc->params) {
        uint32_t bytes;
        memcpy(&bytes, desc->params, sizeof(bytes));
        if (bytes <= sizeof(fake.seen_params))
            memcpy(fake.seen_params, desc->params, bytes);
    }
    void *plan = tkp_sys_alloc(16);
    if (!plan)
        return TKP_ERR_MEMORY;
    uint64_t offset;
    const tkp_status status =
        tkp_sys_ledger_book(ledger, FAKE_WORKSPACE, &offset);
    if (status != TKP_OK) {
        tkp_sys_free(plan);
        return status;
    }
    *plan_out = plan;
    *kernel_out = "noop";
    atomic_fetch_add(&fake.plans, 1);
    return TKP_OK;
}

static tkp_status fake_run(
    const void *plan,
    void *exec_state,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace)
{
    (void)plan;
    if (!exec_state) {
        tkp_sys_message_set("no exec state");
        return TKP_ERR_INTERNAL;
    }
    if (fake.run_fails != TKP_OK) {
        tkp_sys_message_set("the run broke");
        return fake.run_fails;
    }
    memset(workspace, 1, FAKE_WORKSPACE);
    if (n_args > 0 && args[n_args - 1].data && args[n_args - 1].shape[0] > 0)
        *((unsigned char *)args[n_args - 1].data) = FAKE_MARK;
    atomic_fetch_add(&fake.runs, 1);
    return TKP_OK;
}

static void fake_plan_destroy(void *plan)
{
    tkp_sys_free(plan);
    atomic_fetch_sub(&fake.plans, 1);
}

static tkp_status
fake_exec_create(void **state_out, const tkp_backend_exec_info *info)
{
    if (fake.exec_fails != TKP_OK || info->struct_size < sizeof(*info)) {
        tkp_sys_message_set("no exec today");
        return fake.exec_fails;
    }
    void *state = tkp_sys_alloc(16);
    if (!state)
        return TKP_ERR_MEMORY;
    *state_out = state;
    atomic_fetch_add(&fake.execs, 1);
    return TKP_OK;
}

static void fake_exec_destroy(void *state)
{
    tkp_sys_free(state);
    atomic_fetch_sub(&fake.execs, 1);
}

static const tkp_backend_vtable fake_backend = {
    .abi_version = TKP_BACKEND_ABI_VERSION,
    .struct_size = sizeof(tkp_backend_vtable),
    .name = "fake",
    .device_type = TKP_DEVICE_CPU,
    .score = fake_score,
    .info = fake_info,
    .device_count = fake_device_count,
    .supports = fake_supports,
    .plan = fake_plan,
    .run = fake_run,
    .plan_destroy = fake_plan_destroy,
    .exec_create = fake_exec_create,
    .exec_destroy = fake_exec_destroy,
    .memory_alloc = NULL,
    .memory_free = NULL,
    .memory_upload = NULL,
};

/* For a checked fixture: the registry outlives a test that is not forked. */
static void fake_setup(void)
{
    static int registered;
    if (!registered)
        registered = tkp_backend_register(&fake_backend) == TKP_OK;
    memset(&fake, 0, sizeof(fake));
    fake.score = 50;
}

#endif
