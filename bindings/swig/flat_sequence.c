/* The engine protocol: flat calls. */

#include <string.h>

#include "flat_object.h"
#include "tokenprune/sys/device.h"

DESTROYER(sequence, tkp_sequence)

tkp_status flat_sequence_create(int64_t *out, flat_handle context)
{
    GET(on, context, FLAT_KIND_CONTEXT);
    tkp_sequence *sequence;
    TRY(tkp_sequence_create(&sequence, on->object));
    return flat__wrap(out, FLAT_KIND_SEQUENCE, sequence, destroy_sequence);
}

tkp_status flat_sequence_begin(
    flat_handle sequence,
    flat_handle exec,
    flat_handle policy,
    flat_handle layout,
    const tkp_model_desc *model)
{
    GET(self, sequence, FLAT_KIND_SEQUENCE);
    GET(with, exec, FLAT_KIND_EXEC);
    GET(plan, policy, FLAT_KIND_POLICY);
    GET(batch, layout, FLAT_KIND_LAYOUT);
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    self->serial = 0; /* what it decided is gone */
    self->sequences = 0;
    TRY(tkp_sequence_begin(
        self->object, with->object, plan->object, batch->object, model));
    TRY(tkp_sequence_query(self->object, &need));
    self->sequences = tkp_layout_sequences(batch->object);
    self->position_rows = batch->position_rows;
    self->need = need.workspace_bytes;
    return flat_exec_reserve(exec, (int64_t)self->need);
}

tkp_status flat_sequence_next(flat_handle sequence, tkp_point *point)
{
    GET(self, sequence, FLAT_KIND_SEQUENCE);
    return tkp_sequence_next(self->object, point);
}

tkp_status flat_sequence_query_rows(
    int64_t *out,
    flat_handle sequence,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, sequence, FLAT_KIND_SEQUENCE);
    flat_tensors given;
    void *rows;
    int64_t capacity;
    TRY(flat__tensors(&given, tensors, n_tensors, 0, FLAT_BIT(FLAT_OUT_ROWS)));
    TRY(flat__host(&rows, &capacity, &given, FLAT_OUT_ROWS, TKP_DTYPE_I32, -1));
    *out = tkp_sequence_query_rows(self->object, rows, capacity);
    return TKP_OK;
}

tkp_status flat_sequence_rows(
    int64_t *out,
    flat_handle sequence,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, sequence, FLAT_KIND_SEQUENCE);
    flat_tensors given;
    void *rows;
    void *positions;
    void *offsets;
    TRY(flat__tensors(
        &given, tensors, n_tensors, 0,
        FLAT_BIT(FLAT_OUT_ROWS) | FLAT_BIT(FLAT_OUT_POSITIONS) |
            FLAT_BIT(FLAT_OUT_OFFSETS)));
    const int64_t count = tkp_sequence_rows(self->object, NULL, NULL, NULL, 0);
    if (count < 0)
        return flat__fail(
            TKP_ERR_STATE, "sequence: has no batch, wanted begin() first");
    const tkp_tensor *p = given.at[FLAT_OUT_POSITIONS];
    const int64_t position_rows = p && p->ndim == 2 ? p->shape[0] : 1;
    TRY(flat__host(&rows, NULL, &given, FLAT_OUT_ROWS, TKP_DTYPE_I32, count));
    TRY(flat__host(
        &positions, NULL, &given, FLAT_OUT_POSITIONS, TKP_DTYPE_I32,
        position_rows * count));
    TRY(flat__host(
        &offsets, NULL, &given, FLAT_OUT_OFFSETS, TKP_DTYPE_I32,
        self->sequences + 1));
    if (positions && position_rows != self->position_rows)
        return flat__fail(
            TKP_ERR_SHAPE, "positions_out: has %lld rows, wanted %d",
            (long long)position_rows, self->position_rows);
    *out = tkp_sequence_rows(self->object, rows, positions, offsets, count);
    return TKP_OK;
}

/* --- decisions ---------------------------------------------------------------------- */

tkp_status flat_sequence_prune(
    int64_t *out,
    flat_handle sequence,
    flat_handle exec,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, sequence, FLAT_KIND_SEQUENCE);
    GET(with, exec, FLAT_KIND_EXEC);
    flat_tensors given;
    tkp_inputs inputs;
    tkp_decision decision = TKP_DECISION_INIT;
    TRY(flat__tensors(&given, tensors, n_tensors, 1, 0));
    TRY(flat__inputs(&inputs, &given, self->sequences));
    TRY(flat_exec_reserve(exec, (int64_t)self->need));
    self->serial = 0;
    TRY(tkp_sequence_prune(self->object, with->object, &inputs, &decision));
    self->decision = decision;
    self->serial = ++self->serials;
    *out = self->serial;
    return TKP_OK;
}

static tkp_status check_serial(const flat_object *self, int64_t decision)
{
    if (decision > 0 && decision == self->serial)
        return TKP_OK;
    return flat__fail(
        TKP_ERR_STATE,
        "decision: a later prune or begin has taken its place; read it before");
}

static tkp_status
field_of(const tkp_tensor **out, const tkp_decision *d, int32_t field)
{
    const tkp_tensor *const fields[FLAT_DECISION_FIELDS] = {
        [FLAT_DECISION_INDICES] = &d->indices,
        [FLAT_DECISION_OFFSETS] = &d->offsets,
        [FLAT_DECISION_POSITIONS] = &d->positions,
        [FLAT_DECISION_MERGED] = &d->merged,
        [FLAT_DECISION_MERGED_AT] = &d->merged_at,
        [FLAT_DECISION_SIZES] = &d->sizes,
        [FLAT_DECISION_ASSIGNMENT] = &d->assignment,
        [FLAT_DECISION_SCORES] = &d->scores,
        [FLAT_DECISION_KEY_BIAS] = &d->key_bias};
    if (field < 0 || field >= FLAT_DECISION_FIELDS)
        return flat__fail(
            TKP_ERR_ARGUMENT, "decision: field is %d, wanted 0 to %d", field,
            FLAT_DECISION_FIELDS - 1);
    *out = fields[field];
    return TKP_OK;
}

tkp_status flat_decision_shape(
    int64_t *dtype_out,
    int64_t *ndim_out,
    int64_t *n0_out,
    int64_t *n1_out,
    flat_handle sequence,
    int64_t decision,
    int32_t field)
{
    GET(self, sequence, FLAT_KIND_SEQUENCE);
    const tkp_tensor *t = NULL;
    TRY(check_serial(self, decision));
    TRY(field_of(&t, &self->decision, field));
    *dtype_out = t->dtype;
    *ndim_out = t->ndim;
    *n0_out = t->ndim > 0 ? t->shape[0] : 1;
    *n1_out = t->ndim > 1 ? t->shape[1] : 1;
    return TKP_OK;
}

tkp_status flat_decision_copy(
    flat_handle sequence,
    flat_handle exec,
    int64_t decision,
    int32_t field,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, sequence, FLAT_KIND_SEQUENCE);
    GET(with, exec, FLAT_KIND_EXEC);
    const tkp_tensor *t = NULL;
    flat_tensors given;
    void *to;
    TRY(check_serial(self, decision));
    TRY(field_of(&t, &self->decision, field));
    if (t->dtype == TKP_DTYPE_NONE)
        return flat__fail(
            TKP_ERR_ARGUMENT, "decision: has no field %d here", field);
    if (!tkp_tensor_is_contiguous(t))
        return flat__fail(
            TKP_ERR_UNSUPPORTED, "decision: field %d has gaps", field);
    TRY(flat__tensors(&given, tensors, n_tensors, 0, FLAT_BIT(FLAT_OUT_DATA)));
    TRY(flat__host(
        &to, NULL, &given, FLAT_OUT_DATA, t->dtype, tkp_tensor_count(t)));
    const size_t bytes =
        (size_t)tkp_tensor_count(t) * tkp_dtype_bytes(t->dtype);
    const char *from = (const char *)t->data + t->byte_offset;
    if (!to || bytes == 0)
        return TKP_OK;
    if (t->device_type != TKP_DEVICE_CPU)
        return tkp_device_download(with->object, to, from, bytes);
    memcpy(to, from, bytes);
    return TKP_OK;
}

tkp_status flat_decision_gather(
    flat_handle sequence,
    flat_handle exec,
    int64_t decision,
    int32_t kv,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, sequence, FLAT_KIND_SEQUENCE);
    GET(with, exec, FLAT_KIND_EXEC);
    flat_tensors given;
    TRY(check_serial(self, decision));
    TRY(flat__tensors(
        &given, tensors, n_tensors, 0,
        FLAT_BIT(FLAT_SOURCE) | FLAT_BIT(FLAT_OUT_ROWS)));
    return (kv ? tkp_gather_kv : tkp_gather_rows)(
        self->object, with->object, given.at[FLAT_OUT_ROWS],
        given.at[FLAT_SOURCE], &self->decision);
}

/* --- afterwards ------------------------------------------------------------------------- */

int32_t
flat_sequence_next_position(flat_handle sequence, int32_t index, int32_t layer)
{
    flat_object *self = flat__get(sequence, FLAT_KIND_SEQUENCE);
    return self ? tkp_sequence_next_position(self->object, index, layer) : -1;
}

tkp_status flat_sequence_report(
    flat_handle sequence,
    tkp_report *report,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, sequence, FLAT_KIND_SEQUENCE);
    flat_tensors given;
    TRY(flat__tensors(
        &given, tensors, n_tensors, 0,
        FLAT_BIT(FLAT_OUT_LAYER_TOKENS) | FLAT_BIT(FLAT_OUT_LAYER_VISUAL)));
    TRY(tkp_sequence_report(self->object, report));
    return flat__report_layers(report, &given);
}

tkp_status flat_sequence_kept_cells(
    int64_t *out,
    flat_handle sequence,
    flat_handle exec,
    int32_t image,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, sequence, FLAT_KIND_SEQUENCE);
    GET(with, exec, FLAT_KIND_EXEC);
    flat_tensors given;
    void *cells;
    int64_t capacity;
    TRY(flat__tensors(&given, tensors, n_tensors, 0, FLAT_BIT(FLAT_OUT_ROWS)));
    TRY(flat__host(
        &cells, &capacity, &given, FLAT_OUT_ROWS, TKP_DTYPE_I32, -1));
    const int64_t count = tkp_sequence_kept_cells(
        self->object, with->object, image, cells, capacity);
    if (count < 0)
        return flat__fail(
            TKP_ERR_ARGUMENT, "image: is %d, wanted one of the batch", image);
    *out = count;
    return TKP_OK;
}
