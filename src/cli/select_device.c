/* The inputs of a case on the context's device, where that has memory of its
 * own. On the CPU they stay where the file was mapped. */
#include "cli/select.h"

#include "tokenprune/sys/device.h"

tkp_status
tkp__select_device_alloc(tkp__select_device *d, void **out, uint64_t bytes)
{
    TKP__CHECK(
        d->count < TKP__SELECT_DEVICE_MOST, TKP_ERR_INTERNAL,
        "more than %d pieces of device memory", TKP__SELECT_DEVICE_MOST);
    TKP__TRY(tkp_device_alloc(d->context, out, bytes));
    d->memory[d->count++] = *out;
    return TKP_OK;
}

/* A copy of what the view can touch, strides and all. */
static tkp_status take(tkp__select_device *d, const tkp_tensor **input)
{
    const tkp_tensor *host = *input;
    const char *begin, *end;
    if (!host)
        return TKP_OK;
    tkp_tensor *view = &d->views[d->count];
    *view = *host;
    view->device_type = TKP_DEVICE_CUDA;
    *input = view;
    if (!tkp__extent(host, &begin, &end))
        return TKP_OK;
    void *memory;
    const uint64_t bytes = (uint64_t)(end - begin);
    TKP__TRY(tkp__select_device_alloc(d, &memory, bytes));
    view->data = memory;
    view->byte_offset = (uint64_t)((const char *)tkp__data(host) - begin);
    return tkp_device_upload(d->exec, memory, begin, bytes);
}

tkp_status tkp__select_device_inputs(
    tkp__select_device *d,
    tkp_context *context,
    tkp_exec *exec,
    bool away,
    tkp_inputs *in)
{
    const tkp_tensor **all[] = {
        &in->q,
        &in->k,
        &in->lse,
        &in->block_table,
        &in->attention_rows,
        &in->attention,
        &in->hidden,
        &in->norm_weight,
        &in->cls_attention,
        &in->scores,
        &in->text,
        &in->values,
        &in->vision,
        &in->vision_keys,
        &in->cls_shallow,
        &in->clip,
        &in->clip_text,
        &in->clip_tokens,
        &in->embeddings,
        &in->plain_q,
        &in->plain_k,
        &in->vision_values,
    };
    d->context = context;
    d->exec = exec;
    d->away = away;
    for (size_t i = 0; away && i < sizeof(all) / sizeof(all[0]); i++)
        TKP__TRY(take(d, all[i]));
    return TKP_OK;
}

void tkp__select_device_release(tkp__select_device *d)
{
    for (int32_t i = 0; i < d->count; i++)
        tkp_device_free(d->context, d->memory[i]);
    d->count = 0;
}
