/* Handles, records and messages of the flat calls. */

#include "flat_object.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tokenprune/sys/base.h"

tkp_status flat__fail(tkp_status status, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    tkp_sys_message_set(text);
    return status;
}

/* --- handles ------------------------------------------------------------------ */

static const char *kind_name(int32_t kind)
{
    static const char *const names[] = {"context",  "exec",     "layout",
                                        "policy",   "scorer",   "selector",
                                        "merger",   "sequence", "model",
                                        "requests", "result"};
    const int32_t i = kind - FLAT_KIND_CONTEXT;
    return i >= 0 && i < (int32_t)(sizeof(names) / sizeof(names[0])) ? names[i]
                                                                     : "object";
}

flat_object *flat__get(flat_handle handle, int32_t kind)
{
    flat_object *object = (flat_object *)(intptr_t)handle;
    if (!object) {
        flat__fail(
            TKP_ERR_ARGUMENT, "%s: is closed, wanted an open one",
            kind_name(kind));
        return NULL;
    }
    if (object->kind != kind) {
        flat__fail(
            TKP_ERR_ARGUMENT, "%s: met a %s, wanted a %s", kind_name(kind),
            kind_name(object->kind), kind_name(kind));
        return NULL;
    }
    return object;
}

tkp_status flat__wrap(
    int64_t *out,
    int32_t kind,
    void *object,
    void (*destroy)(flat_object *self))
{
    flat_object *self = tkp_sys_alloc(sizeof(*self));
    if (!self) {
        flat_object lost = {.object = object};
        destroy(&lost);
        return flat__fail(
            TKP_ERR_MEMORY, "%s: out of memory for its handle",
            kind_name(kind));
    }
    memset(self, 0, sizeof(*self));
    self->kind = kind;
    self->object = object;
    self->destroy = destroy;
    tkp_decision_init(&self->decision);
    *out = (int64_t)(intptr_t)self;
    return TKP_OK;
}

tkp_status flat_enter(flat_handle handle)
{
    flat_object *object = (flat_object *)(intptr_t)handle;
    if (!object)
        return TKP_OK; /* the call itself says what is missing */
    const int32_t others =
        __atomic_fetch_add(&object->inside, 1, __ATOMIC_ACQ_REL);
    const int alone =
        object->kind == FLAT_KIND_EXEC || object->kind == FLAT_KIND_SEQUENCE;
    if (!alone || others == 0)
        return TKP_OK;
    flat_leave(handle);
    return flat__fail(
        TKP_ERR_STATE,
        "%s: another call is at work in it, wanted one at a time",
        kind_name(object->kind));
}

void flat_leave(flat_handle handle)
{
    flat_object *object = (flat_object *)(intptr_t)handle;
    if (object)
        __atomic_fetch_sub(&object->inside, 1, __ATOMIC_ACQ_REL);
}

tkp_status flat_destroy(flat_handle handle)
{
    flat_object *object = (flat_object *)(intptr_t)handle;
    tkp_sys_message_clear();
    if (!object)
        return TKP_OK;
    const int32_t inside = __atomic_load_n(&object->inside, __ATOMIC_ACQUIRE);
    if (inside > 0)
        return flat__fail(
            TKP_ERR_STATE, "%s: %d calls are at work in it, wanted none",
            kind_name(object->kind), inside);
    object->destroy(object);
    object->kind = 0;
    tkp_sys_free(object);
    return TKP_OK;
}

/* --- tensors -------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t offset; /* in tkp_inputs */
} input_fields[] = {
#define FIELD(name)                                                            \
    {                                                                          \
#        name, offsetof(tkp_inputs, name)                                      \
    }
    [FLAT_Q] = FIELD(q),
    [FLAT_K] = FIELD(k),
    [FLAT_LSE] = FIELD(lse),
    [FLAT_BLOCK_TABLE] = FIELD(block_table),
    [FLAT_ATTENTION_ROWS] = FIELD(attention_rows),
    [FLAT_ATTENTION] = FIELD(attention),
    [FLAT_HIDDEN] = FIELD(hidden),
    [FLAT_NORM_WEIGHT] = FIELD(norm_weight),
    [FLAT_CLS_ATTENTION] = FIELD(cls_attention),
    [FLAT_SCORES] = FIELD(scores),
    [FLAT_TEXT] = FIELD(text),
    [FLAT_TEXT_OFFSETS] = FIELD(text_offsets),
    [FLAT_VALUES] = FIELD(values),
    [FLAT_VISION] = FIELD(vision),
    [FLAT_VISION_KEYS] = FIELD(vision_keys),
    [FLAT_CLS_SHALLOW] = FIELD(cls_shallow),
    [FLAT_CLIP] = FIELD(clip),
    [FLAT_CLIP_TEXT] = FIELD(clip_text),
    [FLAT_CLIP_TEXT_OFFSETS] = FIELD(clip_text_offsets),
    [FLAT_CLIP_TOKENS] = FIELD(clip_tokens),
    [FLAT_CLIP_TOKEN_OFFSETS] = FIELD(clip_token_offsets),
    [FLAT_EMBEDDINGS] = FIELD(embeddings),
    [FLAT_PIVOT_ORDER] = FIELD(pivot_order),
    [FLAT_ROLES] = FIELD(roles),
    [FLAT_POOLS] = FIELD(pools),
    [FLAT_TOKEN_SCORES] = FIELD(token_scores),
    [FLAT_PLAIN_Q] = FIELD(plain_q),
    [FLAT_PLAIN_K] = FIELD(plain_k),
    [FLAT_VISION_VALUES] = FIELD(vision_values),
#undef FIELD
};
_Static_assert(
    sizeof(input_fields) / sizeof(input_fields[0]) == FLAT_INPUTS,
    "each input slot has its field");
_Static_assert(
    sizeof(tkp_inputs) == 8 + FLAT_INPUTS * sizeof(void *),
    "a field of tkp_inputs has no slot: add it to enum flat_slot");
_Static_assert(FLAT_SLOTS - FLAT_OUT_SCORES <= 32, "FLAT_BIT has 32 bits");

const char *flat_slot_name(int32_t slot)
{
    static const char *const others[] = {
        "scores_out", "indices_out",      "offsets_out",
        "roles_out",  "pools_out",        "rows_out",
        "sizes_out",  "assignment_out",   "positions_out",
        "data_out",   "layer_tokens_out", "layer_visual_out",
        "kept",       "source",           "valid",
        "keep",       "positions",        "workspace"};
    if (slot >= 0 && slot < FLAT_INPUTS)
        return input_fields[slot].name;
    if (slot >= FLAT_OUT_SCORES && slot < FLAT_SLOTS)
        return others[slot - FLAT_OUT_SCORES];
    return NULL;
}

static const char *slot_text(int64_t slot)
{
    const char *name = flat_slot_name(
        slot >= 0 && slot < FLAT_SLOTS ? (int32_t)slot : FLAT_INPUTS);
    return name ? name : "tensors";
}

tkp_status flat__tensors(
    flat_tensors *out,
    const int64_t *records,
    int64_t n,
    int32_t inputs,
    uint32_t others)
{
    out->count = 0;
    memset(out->at, 0, sizeof(out->at));
    if (n < 0 || n % FLAT_RECORD || n / FLAT_RECORD > FLAT_MAX_TENSORS ||
        (n > 0 && !records))
        return flat__fail(
            TKP_ERR_ARGUMENT,
            "tensors: %lld integers, wanted records of %d, at most %d",
            (long long)n, FLAT_RECORD, FLAT_MAX_TENSORS);
    for (int64_t i = 0; i < n / FLAT_RECORD; i++) {
        const int64_t *r = records + i * FLAT_RECORD;
        tkp_tensor *view = &out->view[i];
        const int64_t slot = r[0];
        const int known = (inputs && slot >= 0 && slot < FLAT_INPUTS) ||
                          (slot >= FLAT_OUT_SCORES && slot < FLAT_SLOTS &&
                           (others & FLAT_BIT(slot)));
        if (!known)
            return flat__fail(
                TKP_ERR_ARGUMENT, "%s: is not for this call", slot_text(slot));
        if (r[5] < 0 || r[5] > TKP_MAX_DIMS)
            return flat__fail(
                TKP_ERR_SHAPE, "%s: has %lld dimensions, wanted at most %d",
                slot_text(slot), (long long)r[5], TKP_MAX_DIMS);
        memset(view, 0, sizeof(*view));
        view->data = (void *)(intptr_t)r[1];
        view->dtype = (int32_t)r[2];
        view->device_type = (int32_t)r[3];
        view->device_id = (int32_t)r[4];
        view->ndim = (int32_t)r[5];
        memcpy(view->shape, r + 6, sizeof(view->shape));
        memcpy(view->strides, r + 6 + TKP_MAX_DIMS, sizeof(view->strides));
        out->at[slot] = view;
        out->count++;
    }
    return TKP_OK;
}

tkp_status flat__host(
    void **out,
    int64_t *count_out,
    const flat_tensors *tensors,
    int32_t slot,
    int32_t dtype,
    int64_t count)
{
    const tkp_tensor *t = tensors->at[slot];
    *out = NULL;
    if (count_out)
        *count_out = 0;
    if (!t)
        return TKP_OK;
    if (t->device_type != TKP_DEVICE_CPU)
        return flat__fail(
            TKP_ERR_ARGUMENT, "%s: device type is %d, wanted %d, the host",
            slot_text(slot), t->device_type, TKP_DEVICE_CPU);
    if (t->dtype != dtype)
        return flat__fail(
            TKP_ERR_DTYPE, "%s: dtype is %s, wanted %s", slot_text(slot),
            tkp_dtype_string(t->dtype), tkp_dtype_string(dtype));
    const int64_t elements = tkp_tensor_count(t);
    if (elements < 0 || !tkp_tensor_is_contiguous(t))
        return flat__fail(
            TKP_ERR_SHAPE, "%s: has gaps, wanted a contiguous array",
            slot_text(slot));
    if (count >= 0 && elements != count)
        return flat__fail(
            TKP_ERR_SHAPE, "%s: has %lld elements, wanted %lld",
            slot_text(slot), (long long)elements, (long long)count);
    if (elements > 0 && !t->data)
        return flat__fail(
            TKP_ERR_ARGUMENT, "%s: address is 0, wanted memory",
            slot_text(slot));
    *out = t->data;
    if (count_out)
        *count_out = elements;
    return TKP_OK;
}

tkp_status
flat__inputs(tkp_inputs *out, const flat_tensors *tensors, int64_t sequences)
{
    tkp_inputs_init(out);
    for (int32_t slot = 0; slot < FLAT_INPUTS; slot++) {
        void *field = (char *)out + input_fields[slot].offset;
        if (!tensors->at[slot])
            continue;
        if (slot == FLAT_TEXT_OFFSETS || slot == FLAT_CLIP_TEXT_OFFSETS ||
            slot == FLAT_CLIP_TOKEN_OFFSETS) {
            void *data;
            const tkp_status status = flat__host(
                &data, NULL, tensors, slot, TKP_DTYPE_I32, sequences + 1);
            if (status != TKP_OK)
                return status;
            memcpy(field, &data, sizeof(data));
        } else {
            memcpy(field, &tensors->at[slot], sizeof(tensors->at[slot]));
        }
    }
    return TKP_OK;
}

tkp_status
flat__report_layers(const tkp_report *report, const flat_tensors *tensors)
{
    const struct {
        int32_t slot;
        const int64_t *from;
    } lists[] = {
        {FLAT_OUT_LAYER_TOKENS, report->layer_tokens},
        {FLAT_OUT_LAYER_VISUAL, report->layer_visual}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        void *to;
        const tkp_status status = flat__host(
            &to, NULL, tensors, lists[i].slot, TKP_DTYPE_I64, report->layers);
        if (status != TKP_OK)
            return status;
        if (to && report->layers > 0)
            memcpy(to, lists[i].from, (size_t)report->layers * sizeof(int64_t));
    }
    return TKP_OK;
}
