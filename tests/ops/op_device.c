#include "op_device.h"

#include <string.h>

int32_t tkp_test_device_type(const char *backend)
{
    return strncmp(backend, "cuda", 4) == 0 ? TKP_DEVICE_CUDA : TKP_DEVICE_CPU;
}

static size_t block_size(const tkp_test_block *b)
{
    return b->bytes + 2 * TKP_TEST_GUARD_BYTES;
}

tkp_status tkp_test_device_take(tkp_test_device *d, tkp_test_case *c)
{
    for (int32_t a = 0; a < c->n_args; a++) {
        const tkp_test_block *b = &c->blocks[a];
        d->args[a] = c->args[a];
        if (!d->away)
            continue;
        d->args[a].device_type = TKP_DEVICE_CUDA;
        if (!b->memory)
            continue;
        tkp_status status =
            tkp_device_alloc(d->context, &d->blocks[a], block_size(b));
        if (status == TKP_OK)
            status = tkp_device_upload(
                d->exec, d->blocks[a], b->memory, block_size(b));
        if (status != TKP_OK)
            return status;
    }
    for (int32_t a = 0; d->away && a < c->n_args; a++) {
        const int32_t from = c->alias[a] >= 0 ? c->alias[a] : a;
        if (d->blocks[from])
            d->args[a].data =
                (unsigned char *)d->blocks[from] +
                ((unsigned char *)c->args[a].data - c->blocks[from].memory);
    }
    return TKP_OK;
}

tkp_status tkp_test_device_give_back(tkp_test_device *d, tkp_test_case *c)
{
    for (int32_t a = 0; a < c->n_args; a++) {
        const tkp_test_block *b = &c->blocks[a];
        if (!d->blocks[a])
            continue;
        const tkp_status status = tkp_device_download(
            d->exec, b->memory, d->blocks[a], block_size(b));
        if (status != TKP_OK)
            return status;
    }
    return TKP_OK;
}

void tkp_test_device_free(tkp_test_device *d)
{
    for (int32_t a = 0; a < TKP_OP_MAX_ARGS; a++)
        tkp_device_free(d->context, d->blocks[a]);
    tkp_device_free(d->context, d->workspace);
    tkp_exec_destroy(d->exec);
}
