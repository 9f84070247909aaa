#include "mllm/device_weights.h"

#include "tokenprune/sys/device.h"

enum { GROWTH = 256 };

typedef struct copy {
    const void *host;
    uint64_t bytes;
    void *device;
} copy;

struct tkp__device_weights {
    tkp_context *context;
    tkp_exec *exec;
    copy *copies;
    int32_t count, room;
};

tkp_status
tkp__device_weights_create(tkp__device_weights **out, tkp_context *context)
{
    *out = NULL;
    if (tkp_context_device_type(context) == TKP_DEVICE_CPU)
        return TKP_OK;
    tkp__device_weights *w = tkp__zalloc(1, sizeof(*w));
    if (!w)
        return TKP_ERR_MEMORY;
    w->context = context;
    const tkp_status status = tkp_exec_create(&w->exec, context, NULL);
    if (status != TKP_OK) {
        tkp__free(w);
        return status;
    }
    *out = w;
    return TKP_OK;
}

void tkp__device_weights_destroy(tkp__device_weights *w)
{
    if (!w)
        return;
    for (int32_t i = 0; i < w->count; i++)
        tkp_device_free(w->context, w->copies[i].device);
    tkp__free(w->copies);
    tkp_exec_destroy(w->exec);
    tkp__free(w);
}

static copy *find(const tkp__device_weights *w, const void *host, uint64_t n)
{
    for (int32_t i = 0; i < w->count; i++)
        if (w->copies[i].host == host && w->copies[i].bytes == n)
            return &w->copies[i];
    return NULL;
}

static tkp_status make_room(tkp__device_weights *w)
{
    if (w->count < w->room)
        return TKP_OK;
    const int32_t room = w->room + GROWTH;
    copy *copies = tkp__realloc(
        w->copies, (size_t)w->room * sizeof(copy), (size_t)room * sizeof(copy));
    if (!copies)
        return TKP_ERR_MEMORY;
    w->copies = copies;
    w->room = room;
    return TKP_OK;
}

static tkp_status
bring(tkp__device_weights *w, copy **out, const void *host, uint64_t bytes)
{
    TKP__TRY(make_room(w));
    copy *c = &w->copies[w->count];
    *c = (copy){.host = host, .bytes = bytes};
    TKP__TRY(tkp_device_alloc(w->context, &c->device, bytes));
    w->count++;
    *out = c;
    return tkp_device_upload(w->exec, c->device, host, bytes);
}

tkp_status tkp__device_weights_take(tkp__device_weights *w, tkp_tensor *tensor)
{
    if (!w || !tkp__present(tensor))
        return TKP_OK;
    const void *host = tkp__data(tensor);
    const uint64_t bytes =
        (uint64_t)tkp_tensor_count(tensor) * tkp_dtype_bytes(tensor->dtype);
    copy *c = find(w, host, bytes);
    if (!c)
        TKP__TRY(bring(w, &c, host, bytes));
    tensor->data = c->device;
    tensor->byte_offset = 0;
    tensor->device_type = tkp_context_device_type(w->context);
    tensor->device_id = tkp_context_device_id(w->context);
    return TKP_OK;
}
