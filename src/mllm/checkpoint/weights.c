/*
 * A model's weights under internal names: every tensor of the files goes into
 * the slot that its name means, then what is missing is counted.
 */

#include "mllm/checkpoint/weight_names.h"
#include "mllm/checkpoint/weight_shards.h"

#include <stdio.h>

/* This many names of a kind go into a message. */
#define NAMES_SHOWN 3

struct tkp__weights {
    tkp__weight_shards shards;
    tkp__weight_slots slots;
    char *model_dir;
    char unknown[512]; /* the first unknown names */
    int64_t unknown_count;
    int64_t bytes;
    int32_t dtype;
};

void tkp__weights_close(tkp__weights *weights)
{
    if (!weights)
        return;
    tkp__weight_shards_close(&weights->shards);
    tkp__free(weights->slots.items);
    tkp__free(weights->model_dir);
    tkp__free(weights);
}

static void
append_name(char *list, size_t bytes, int64_t count, const char *name)
{
    const size_t used = strlen(list);
    if (count < NAMES_SHOWN)
        snprintf(
            list + used, bytes - used, "%s%.120s", count ? ", " : "", name);
}

static void shape_text(char out[96], int32_t ndim, const int64_t *shape)
{
    size_t used = 0;
    out[0] = '\0';
    for (int32_t i = 0; i < ndim && used < 80; i++)
        used += (size_t)snprintf(
            out + used, 96 - used, "%s%lld", i ? ", " : "",
            (long long)shape[i]);
}

static tkp_status check_tensor(
    const tkp__safetensors *file,
    int64_t i,
    const tkp__weight_slot *slot,
    const char *name,
    const tkp_tensor *view)
{
    TKP__CHECK(
        tkp__is_float(view->dtype), TKP_ERR_UNSUPPORTED,
        "%s: %s: dtype is %s, wanted F32, F16 or BF16",
        tkp__safetensors_path(file), name,
        tkp__safetensors_dtype_name(file, i));
    bool same = view->ndim == slot->ndim;
    for (int32_t d = 0; same && d < slot->ndim; d++)
        same = view->shape[d] == slot->shape[d];
    if (same)
        return TKP_OK;
    char met[96];
    char wanted[96];
    shape_text(met, view->ndim, view->shape);
    shape_text(wanted, slot->ndim, slot->shape);
    return tkp__fail(
        TKP_ERR_FORMAT, "%s: %s: shape is [%s], wanted [%s] by config.json",
        tkp__safetensors_path(file), name, met, wanted);
}

static tkp_status
take_tensor(void *user, const tkp__safetensors *file, int64_t i)
{
    tkp__weights *weights = user;
    const char *name;
    tkp_tensor view;
    tkp__safetensors_entry(file, i, &name, &view);
    char internal[TKP__WEIGHT_NAME_BYTES];
    const enum tkp__weight_name_kind kind =
        tkp__weight_name_map(internal, name);
    if (kind == TKP__WEIGHT_NAME_IGNORED)
        return TKP_OK;
    tkp__weight_slot *slot =
        kind == TKP__WEIGHT_NAME_MAPPED
            ? tkp__weight_slots_find(&weights->slots, internal)
            : NULL;
    if (!slot) {
        append_name(
            weights->unknown, sizeof(weights->unknown),
            weights->unknown_count++, name);
        return TKP_OK;
    }
    TKP__CHECK(
        !slot->found, TKP_ERR_FORMAT, "%s: %s and %s are the same weight %s",
        tkp__safetensors_path(file), slot->stored, name, internal);
    TKP__TRY(check_tensor(file, i, slot, name, &view));
    slot->found = true;
    slot->view = view;
    slot->stored = name;
    return TKP_OK;
}

static tkp_status check_complete(const tkp__weights *weights)
{
    char missing[512] = "";
    int64_t count = 0;
    for (int64_t i = 0; i < weights->slots.count; i++) {
        const tkp__weight_slot *slot = &weights->slots.items[i];
        if (slot->required && !slot->found)
            append_name(missing, sizeof(missing), count++, slot->name);
    }
    if (count == 0 && weights->unknown_count == 0)
        return TKP_OK;
    return tkp__fail(
        TKP_ERR_FORMAT, "%s: %lld tensors missing%s%s%s; %lld unknown%s%s%s",
        weights->model_dir, (long long)count, count ? " (" : "", missing,
        count ? count > NAMES_SHOWN ? ", ...)" : ")" : "",
        (long long)weights->unknown_count, weights->unknown_count ? " (" : "",
        weights->unknown,
        weights->unknown_count
            ? weights->unknown_count > NAMES_SHOWN ? ", ...)" : ")"
            : "");
}

/* A stored head is used even where the flag says tied: transformers 5 does so
 * too unless the two are equal, and then it makes no difference. */
static void tie_head(tkp__weights *weights)
{
    tkp__weight_slot *head =
        tkp__weight_slots_find(&weights->slots, "head.weight");
    if (head->found)
        return;
    const tkp__weight_slot *table =
        tkp__weight_slots_find(&weights->slots, "lm.embed_tokens.weight");
    head->found = true;
    head->view = table->view;
    head->stored = table->stored;
}

static void count_bytes(tkp__weights *weights)
{
    int64_t by_dtype[TKP_DTYPE_BF16 + 1] = {0};
    for (int64_t i = 0; i < weights->slots.count; i++) {
        const tkp__weight_slot *slot = &weights->slots.items[i];
        if (!slot->found || !slot->required)
            continue;
        const int64_t bytes = tkp_tensor_count(&slot->view) *
                              (int64_t)tkp_dtype_bytes(slot->view.dtype);
        by_dtype[slot->view.dtype] += bytes;
        weights->bytes += bytes;
    }
    weights->dtype = TKP_DTYPE_F32;
    for (int32_t d = TKP_DTYPE_F32; d <= TKP_DTYPE_BF16; d++)
        if (by_dtype[d] > by_dtype[weights->dtype])
            weights->dtype = d;
}

tkp_status tkp__weights_open(
    tkp__weights **out,
    const char *model_dir,
    const tkp__model_config *config)
{
    TKP__CHECK(
        out && model_dir && config, TKP_ERR_ARGUMENT,
        "out, model_dir or config is NULL, wanted all three");
    tkp__weights *weights = tkp__zalloc(1, sizeof(*weights));
    if (!weights)
        return TKP_ERR_MEMORY;
    tkp_status status = TKP_ERR_MEMORY;
    weights->model_dir = tkp__strdup(model_dir);
    if (!weights->model_dir)
        goto out;
    TKP__TRY_OUT(tkp__weight_slots_make(&weights->slots, config));
    TKP__TRY_OUT(tkp__weight_shards_open(
        &weights->shards, model_dir, take_tensor, weights));
    TKP__TRY_OUT(check_complete(weights));
    tie_head(weights);
    count_bytes(weights);
out:
    if (status == TKP_OK)
        *out = weights;
    else
        tkp__weights_close(weights);
    return status;
}

tkp_status tkp__weights_get(
    const tkp__weights *weights,
    const char *name,
    tkp_tensor *view)
{
    TKP__CHECK(
        weights && name && view, TKP_ERR_ARGUMENT,
        "weights, name or view is NULL, wanted all three");
    const tkp__weight_slot *slot =
        tkp__weight_slots_find(&weights->slots, name);
    TKP__CHECK(
        slot && slot->found, TKP_ERR_FORMAT, "%s: has no weight %.120s",
        weights->model_dir, name);
    *view = slot->view;
    return TKP_OK;
}

bool tkp__weights_has(const tkp__weights *weights, const char *name)
{
    const tkp__weight_slot *slot =
        tkp__weight_slots_find(&weights->slots, name);
    return slot && slot->found;
}

int32_t tkp__weights_dtype(const tkp__weights *weights)
{
    return weights->dtype;
}

int64_t tkp__weights_bytes(const tkp__weights *weights)
{
    return weights->bytes;
}
