#ifndef TKP_TESTS_OP_DEVICE_H
#define TKP_TESTS_OP_DEVICE_H

/*
 * Cases on a device: their memory goes there before a run and comes back after
 * it, guards included. On the CPU nothing is copied.
 */

#include "op_cases.h"
#include "tokenprune/sys/device.h"

typedef struct tkp_test_device {
    tkp_context *context;
    tkp_exec *exec;
    bool away; /* not the host's memory */
    void *workspace;
    void *blocks[TKP_OP_MAX_ARGS];
    tkp_tensor args[TKP_OP_MAX_ARGS]; /* to run with */
} tkp_test_device;

/* The kind of device a backend of that name works on. */
int32_t tkp_test_device_type(const char *backend);

/* Copies of the blocks of a case, and views of them. */
tkp_status tkp_test_device_take(tkp_test_device *d, tkp_test_case *c);
tkp_status tkp_test_device_give_back(tkp_test_device *d, tkp_test_case *c);
/* The copies, the workspace and the exec. */
void tkp_test_device_free(tkp_test_device *d);

#endif
