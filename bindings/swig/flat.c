/* Context, exec, layout, policies: flat calls. */

#include "flat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flat_object.h"
#include "tokenprune/sys/base.h"
#include "tokenprune/sys/device.h"

DESTROYER(context, tkp_context)
static void destroy_exec(flat_object *self)
{
    tkp_device_free(self->context, self->memory);
    self->memory = NULL;
    tkp_exec_destroy(self->object);
}
DESTROYER(layout, tkp_layout)
DESTROYER(policy, tkp_policy)

static const char *text_or_null(const char *text)
{
    return text && text[0] ? text : NULL;
}

/* --- context ---------------------------------------------------------------------- */

tkp_status flat_context_create(
    int64_t *out,
    const char *backends,
    const char *backend_dir,
    int32_t threads,
    int32_t device_type,
    int32_t device_id)
{
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    options.backends = text_or_null(backends);
    options.backend_dir = text_or_null(backend_dir);
    options.threads = threads;
    options.device_type = device_type;
    options.device_id = device_id;
    tkp_context *context;
    TRY(tkp_context_create(&context, &options));
    TRY(flat__wrap(out, FLAT_KIND_CONTEXT, context, destroy_context));
    flat_object *self = (flat_object *)(intptr_t)*out;
    self->device_type = device_type ? device_type : TKP_DEVICE_CPU;
    self->device_id = device_id;
    return TKP_OK;
}

int32_t flat_context_backend_count(flat_handle handle)
{
    flat_object *self = flat__get(handle, FLAT_KIND_CONTEXT);
    return self ? tkp_context_backend_count(self->object) : 0;
}

const char *flat_context_backend_name(flat_handle handle, int32_t i)
{
    flat_object *self = flat__get(handle, FLAT_KIND_CONTEXT);
    return self ? tkp_context_backend_name(self->object, i) : NULL;
}

const char *flat_context_backend_info(flat_handle handle, int32_t i)
{
    flat_object *self = flat__get(handle, FLAT_KIND_CONTEXT);
    return self ? tkp_context_backend_info(self->object, i) : NULL;
}

int32_t flat_context_threads(flat_handle handle)
{
    flat_object *self = flat__get(handle, FLAT_KIND_CONTEXT);
    return self ? tkp_context_threads(self->object) : 0;
}

/* --- exec --------------------------------------------------------------------------- */

tkp_status flat_exec_create(int64_t *out, flat_handle context, int64_t stream)
{
    GET(from, context, FLAT_KIND_CONTEXT);
    tkp_exec *exec;
    TRY(tkp_exec_create(&exec, from->object, (void *)(intptr_t)stream));
    TRY(flat__wrap(out, FLAT_KIND_EXEC, exec, destroy_exec));
    flat_object *self = (flat_object *)(intptr_t)*out;
    self->device_type = from->device_type;
    self->device_id = from->device_id;
    self->context = from->object; /* which the exec keeps alive */
    self->stream = stream;
    return TKP_OK;
}

tkp_status flat_exec_reserve(flat_handle handle, int64_t bytes)
{
    GET(self, handle, FLAT_KIND_EXEC);
    tkp_sys_message_clear();
    if (bytes < 0)
        return flat__fail(
            TKP_ERR_ARGUMENT, "workspace: %lld bytes, wanted 0 or more",
            (long long)bytes);
    if (self->lent || (uint64_t)bytes <= self->bytes)
        return TKP_OK; /* what is lent too small, the library says itself */
    void *memory;
    TRY(tkp_device_alloc(self->context, &memory, (uint64_t)bytes));
    const tkp_status status =
        tkp_exec_set_workspace(self->object, memory, (size_t)bytes);
    if (status != TKP_OK) {
        tkp_device_free(self->context, memory);
        return status;
    }
    tkp_device_free(self->context, self->memory);
    self->memory = memory;
    self->bytes = (uint64_t)bytes;
    return TKP_OK;
}

tkp_status
flat_exec_lend(flat_handle handle, const int64_t *tensors, int64_t n_tensors)
{
    GET(self, handle, FLAT_KIND_EXEC);
    flat_tensors given;
    TRY(flat__tensors(&given, tensors, n_tensors, 0, FLAT_BIT(FLAT_WORKSPACE)));
    const tkp_tensor *t = given.at[FLAT_WORKSPACE];
    if (!t || t->dtype != TKP_DTYPE_U8 || !tkp_tensor_is_contiguous(t))
        return flat__fail(
            TKP_ERR_ARGUMENT, "workspace: wanted contiguous bytes (u8)");
    if (t->device_type != self->device_type || t->device_id != self->device_id)
        return flat__fail(
            TKP_ERR_ARGUMENT, "workspace: lies on device %d:%d, wanted %d:%d",
            t->device_type, t->device_id, self->device_type, self->device_id);
    TRY(tkp_exec_set_workspace(
        self->object, t->data, (size_t)tkp_tensor_count(t)));
    tkp_device_free(self->context, self->memory);
    self->memory = NULL;
    self->bytes = (uint64_t)tkp_tensor_count(t);
    self->lent = 1;
    return TKP_OK;
}

int64_t flat_exec_bytes(flat_handle handle)
{
    flat_object *self = flat__get(handle, FLAT_KIND_EXEC);
    return self ? (int64_t)self->bytes : -1;
}

int64_t flat_exec_stream(flat_handle handle)
{
    flat_object *self = flat__get(handle, FLAT_KIND_EXEC);
    return self ? self->stream : 0;
}

/* --- layout --------------------------------------------------------------------------- */

tkp_status flat_layout_create(int64_t *out)
{
    tkp_layout *layout;
    TRY(tkp_layout_create(&layout));
    TRY(flat__wrap(out, FLAT_KIND_LAYOUT, layout, destroy_layout));
    ((flat_object *)(intptr_t)*out)->position_rows = 1;
    return TKP_OK;
}

tkp_status flat_layout_add_sequence(
    int64_t *out,
    flat_handle layout,
    int64_t id,
    int64_t length,
    int64_t text_begin,
    int64_t text_end)
{
    GET(self, layout, FLAT_KIND_LAYOUT);
    if (id < 0 || id > UINT32_MAX)
        return flat__fail(
            TKP_ERR_ARGUMENT, "id: is %lld, wanted 0 to 4294967295",
            (long long)id);
    tkp_sequence_desc desc = TKP_SEQUENCE_DESC_INIT;
    int32_t index = 0;
    desc.id = (uint32_t)id;
    desc.length = length;
    desc.text_begin = text_begin;
    desc.text_end = text_end;
    TRY(tkp_layout_add_sequence(self->object, &desc, &index));
    *out = index;
    return TKP_OK;
}

tkp_status flat_layout_add_image(
    int64_t *out,
    flat_handle layout,
    int32_t sequence,
    int64_t start,
    int32_t frames,
    int32_t rows,
    int32_t cols,
    int32_t row_stride,
    int32_t tile_height,
    int32_t tile_width,
    int32_t tile_top,
    int32_t tile_left,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, layout, FLAT_KIND_LAYOUT);
    flat_tensors given;
    TRY(flat__tensors(
        &given, tensors, n_tensors, 0,
        FLAT_BIT(FLAT_VALID) | FLAT_BIT(FLAT_KEEP)));
    tkp_tensor cells;
    tkp_tensor_make_3d(
        &cells, NULL, TKP_DTYPE_U8, frames ? frames : 1, rows, cols);
    const int64_t count = tkp_tensor_count(&cells);
    void *valid;
    void *keep;
    TRY(flat__host(&valid, NULL, &given, FLAT_VALID, TKP_DTYPE_U8, count));
    TRY(flat__host(&keep, NULL, &given, FLAT_KEEP, TKP_DTYPE_U8, count));
    tkp_image_desc desc = TKP_IMAGE_DESC_INIT;
    int32_t index = 0;
    desc.sequence = sequence;
    desc.start = start;
    desc.frames = frames;
    desc.rows = rows;
    desc.cols = cols;
    desc.row_stride = row_stride;
    desc.tile_height = tile_height;
    desc.tile_width = tile_width;
    desc.tile_top = tile_top;
    desc.tile_left = tile_left;
    if (count >= 0) { /* else the shape is refused */
        desc.valid = valid;
        desc.keep = keep;
    }
    TRY(tkp_layout_add_image(self->object, &desc, &index));
    *out = index;
    return TKP_OK;
}

tkp_status flat_layout_set_positions(
    flat_handle layout,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, layout, FLAT_KIND_LAYOUT);
    flat_tensors given;
    TRY(flat__tensors(&given, tensors, n_tensors, 0, FLAT_BIT(FLAT_POSITIONS)));
    void *data;
    TRY(flat__host(&data, NULL, &given, FLAT_POSITIONS, TKP_DTYPE_I32, -1));
    const tkp_tensor *t = given.at[FLAT_POSITIONS];
    if (!t || t->ndim < 1 || t->ndim > 2)
        return flat__fail(
            TKP_ERR_SHAPE, "positions: wanted [R], or [3, R] for M-RoPE");
    const int32_t rows = t->ndim == 2 ? (int32_t)t->shape[0] : 1;
    TRY(tkp_layout_set_positions(
        self->object, rows, data, t->shape[t->ndim - 1]));
    self->position_rows = rows;
    return TKP_OK;
}

int32_t flat_layout_sequences(flat_handle handle)
{
    flat_object *self = flat__get(handle, FLAT_KIND_LAYOUT);
    return self ? tkp_layout_sequences(self->object) : -1;
}

int32_t flat_layout_images(flat_handle handle)
{
    flat_object *self = flat__get(handle, FLAT_KIND_LAYOUT);
    return self ? tkp_layout_images(self->object) : -1;
}

int64_t flat_layout_rows(flat_handle handle)
{
    flat_object *self = flat__get(handle, FLAT_KIND_LAYOUT);
    return self ? tkp_layout_rows(self->object) : -1;
}

int64_t flat_layout_visual_tokens(flat_handle handle, int32_t sequence)
{
    flat_object *self = flat__get(handle, FLAT_KIND_LAYOUT);
    return self ? tkp_layout_visual_tokens(self->object, sequence) : -1;
}

/* --- policies ------------------------------------------------------------------------- */

static tkp_status wrap_policy(int64_t *out, tkp_policy *policy)
{
    return flat__wrap(out, FLAT_KIND_POLICY, policy, destroy_policy);
}

tkp_status flat_policy_load_preset(int64_t *out, const char *name)
{
    tkp_policy *policy;
    TRY(tkp_policy_load_preset(&policy, name));
    return wrap_policy(out, policy);
}

tkp_status flat_policy_load_text(
    int64_t *out,
    const char *text,
    size_t bytes,
    const char *source_name)
{
    tkp_policy *policy;
    TRY(tkp_policy_load_text(&policy, text, bytes, text_or_null(source_name)));
    return wrap_policy(out, policy);
}

tkp_status flat_policy_load_file(int64_t *out, const char *path)
{
    tkp_policy *policy;
    TRY(tkp_policy_load_file(&policy, path));
    return wrap_policy(out, policy);
}

char *flat_policy_yaml(flat_handle handle)
{
    flat_object *self = flat__get(handle, FLAT_KIND_POLICY);
    if (!self)
        return NULL;
    const size_t bytes = tkp_policy_to_yaml(self->object, NULL, 0);
    char *text = malloc(bytes + 1);
    if (text)
        tkp_policy_to_yaml(self->object, text, bytes + 1);
    return text;
}

const char *flat_policy_name(flat_handle handle)
{
    flat_object *self = flat__get(handle, FLAT_KIND_POLICY);
    return self ? tkp_policy_name(self->object) : NULL;
}

int32_t flat_policy_stage_count(flat_handle handle)
{
    flat_object *self = flat__get(handle, FLAT_KIND_POLICY);
    return self ? tkp_policy_stage_count(self->object) : -1;
}

tkp_status
flat_policy_get_point(flat_handle policy, int32_t i, tkp_point *point)
{
    GET(self, policy, FLAT_KIND_POLICY);
    return tkp_policy_get_point(self->object, i, point);
}

tkp_status flat_policy_query(flat_handle policy, tkp_policy_info *info)
{
    GET(self, policy, FLAT_KIND_POLICY);
    return tkp_policy_query(self->object, info);
}

tkp_status flat__policy_of_parts(
    tkp_policy **out,
    const char *name,
    const char *scorer,
    const char *selector,
    const char *merger,
    const char *budget)
{
    const char *const form =
        "tokenprune: 1\nname: %s\nstages: [{at: \"llm:1\",\n"
        "scorer: %s,\nselector: %s,\nmerger: %s,\nbudget: %s}]\n";
    scorer = text_or_null(scorer) ? scorer : "external";
    selector = text_or_null(selector) ? selector : "all";
    merger = text_or_null(merger) ? merger : "none";
    budget = text_or_null(budget) ? budget : "all";
    const int bytes =
        snprintf(NULL, 0, form, name, scorer, selector, merger, budget);
    char *text = bytes < 0 ? NULL : malloc((size_t)bytes + 1);
    if (!text)
        return flat__fail(TKP_ERR_MEMORY, "%s: out of memory", name);
    snprintf(
        text, (size_t)bytes + 1, form, name, scorer, selector, merger, budget);
    const tkp_status status =
        tkp_policy_load_text(out, text, (size_t)bytes, name);
    free(text);
    return status;
}

tkp_status flat_policy_with_budget(
    int64_t *out,
    flat_handle policy,
    int32_t stage,
    const char *budget)
{
    GET(self, policy, FLAT_KIND_POLICY);
    tkp_policy *parts;
    tkp_policy *changed = NULL;
    tkp_stage_options options = TKP_STAGE_OPTIONS_INIT;
    TRY(flat__policy_of_parts(&parts, "budget", "", "topk", "", budget));
    tkp_status status = tkp_policy_get_stage(parts, 0, &options);
    if (status == TKP_OK)
        status = tkp_policy_with_budget(
            &changed, self->object, stage, options.budget);
    tkp_policy_destroy(parts);
    return status == TKP_OK ? wrap_policy(out, changed) : status;
}

tkp_status flat_policy_with_point(
    int64_t *out,
    flat_handle policy,
    int32_t stage,
    int32_t point,
    int32_t boundary)
{
    GET(self, policy, FLAT_KIND_POLICY);
    tkp_policy *changed;
    TRY(tkp_policy_with_point(&changed, self->object, stage, point, boundary));
    return wrap_policy(out, changed);
}

tkp_status flat_policy_with_depth(
    int64_t *out,
    flat_handle policy,
    int32_t from_layers,
    int32_t layers,
    int32_t from_blocks,
    int32_t blocks)
{
    GET(self, policy, FLAT_KIND_POLICY);
    const tkp_depth depth = {from_layers, layers, from_blocks, blocks};
    tkp_policy *changed;
    TRY(tkp_policy_with_depth(&changed, self->object, &depth));
    return wrap_policy(out, changed);
}

tkp_status flat_policy_with_seed(int64_t *out, flat_handle policy, int64_t seed)
{
    GET(self, policy, FLAT_KIND_POLICY);
    tkp_policy *changed;
    TRY(tkp_policy_with_seed(&changed, self->object, (uint64_t)seed));
    return wrap_policy(out, changed);
}

tkp_status flat_budget_resolve(
    int64_t *out,
    const char *budget,
    int64_t n,
    int32_t boundary,
    int32_t layers)
{
    tkp_policy *parts;
    tkp_stage_options options = TKP_STAGE_OPTIONS_INIT;
    TRY(flat__policy_of_parts(&parts, "budget", "", "topk", "", budget));
    tkp_status status = tkp_policy_get_stage(parts, 0, &options);
    if (status == TKP_OK)
        status = tkp_budget_resolve(options.budget, n, boundary, layers, out);
    tkp_policy_destroy(parts);
    return status;
}
