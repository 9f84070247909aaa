#include "sequence/sequence.h"

#include "tokenprune/sys/base.h"

void tkp_point_init(tkp_point *point)
{
    if (point)
        *point = (tkp_point)TKP_POINT_INIT;
}

void tkp_decision_init(tkp_decision *decision)
{
    if (decision)
        *decision = (tkp_decision)TKP_DECISION_INIT;
}

void tkp_report_init(tkp_report *report)
{
    if (report)
        *report = (tkp_report)TKP_REPORT_INIT;
}

tkp_status tkp_sequence_create(tkp_sequence **out, tkp_context *context)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    TKP__CHECK(context, TKP_ERR_ARGUMENT, "context is NULL");
    return tkp__sequence_new(out, context);
}

void tkp_sequence_destroy(tkp_sequence *sequence)
{
    tkp__sequence_free(sequence);
}

tkp_status tkp_sequence_begin(
    tkp_sequence *sequence,
    tkp_exec *exec,
    tkp_policy *policy,
    tkp_layout *layout,
    const tkp_model_desc *model)
{
    tkp_sys_message_clear();
    TKP__CHECK(sequence, TKP_ERR_ARGUMENT, "sequence is NULL");
    TKP__CHECK(exec, TKP_ERR_ARGUMENT, "exec is NULL");
    TKP__CHECK(policy, TKP_ERR_ARGUMENT, "policy is NULL");
    TKP__CHECK(layout, TKP_ERR_ARGUMENT, "layout is NULL");
    TKP__CHECK(model, TKP_ERR_ARGUMENT, "model is NULL");
    TKP__CHECK(
        tkp__core_exec_context(exec) == sequence->context, TKP_ERR_ARGUMENT,
        "exec: made for another context than the sequence");
    return tkp__sequence_begin(sequence, policy, layout, model);
}

static tkp_status check_begun(const tkp_sequence *sequence)
{
    TKP__CHECK(sequence, TKP_ERR_ARGUMENT, "sequence is NULL");
    TKP__CHECK(
        sequence->policy, TKP_ERR_STATE, "sequence: begin was not called");
    return TKP_OK;
}

tkp_status
tkp_sequence_query(const tkp_sequence *sequence, tkp_requirements *requirements)
{
    tkp_sys_message_clear();
    TKP__TRY(check_begun(sequence));
    TKP__CHECK(requirements, TKP_ERR_ARGUMENT, "requirements is NULL");
    tkp_requirements r = TKP_REQUIREMENTS_INIT;
    r.workspace_bytes = sequence->workspace_bytes;
    return tkp__util_fill_struct(
        requirements, &r, sizeof(r),
        TKP__SIZE_THROUGH(tkp_requirements, kernel), "requirements");
}

static tkp_status give_point(tkp_point *out, const tkp_point *point)
{
    return tkp__util_fill_struct(
        out, point, sizeof(*point), TKP__SIZE_THROUGH(tkp_point, query_rows),
        "point");
}

tkp_status
tkp_policy_get_point(const tkp_policy *policy, int32_t i, tkp_point *point)
{
    tkp_sys_message_clear();
    TKP__CHECK(policy, TKP_ERR_ARGUMENT, "policy is NULL");
    TKP__CHECK(point, TKP_ERR_ARGUMENT, "point is NULL");
    TKP__CHECK(
        i >= 0 && i < policy->n_stages, TKP_ERR_ARGUMENT,
        "stage is %d, the policy has %d", i, policy->n_stages);
    tkp_point p;
    tkp__stage_point(policy->stages[i], i, &p);
    return give_point(point, &p);
}

tkp_status tkp_sequence_next(tkp_sequence *sequence, tkp_point *point)
{
    tkp_sys_message_clear();
    TKP__TRY(check_begun(sequence));
    TKP__CHECK(point, TKP_ERR_ARGUMENT, "point is NULL");
    tkp_point p;
    TKP__TRY(tkp__sequence_next(sequence, &p));
    return give_point(point, &p);
}

int64_t tkp_sequence_query_rows(
    const tkp_sequence *sequence,
    int32_t *rows,
    int64_t capacity)
{
    if (!sequence || !sequence->ready)
        return 0;
    return tkp__run_stage_query_rows(
        &sequence->stages[sequence->at], rows, capacity);
}

tkp_status tkp_sequence_prune(
    tkp_sequence *sequence,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    tkp_decision *decision)
{
    tkp_sys_message_clear();
    TKP__TRY(check_begun(sequence));
    TKP__CHECK(exec, TKP_ERR_ARGUMENT, "exec is NULL");
    TKP__CHECK(inputs, TKP_ERR_ARGUMENT, "inputs is NULL");
    TKP__CHECK(decision, TKP_ERR_ARGUMENT, "decision is NULL");
    tkp_inputs in;
    tkp_decision d;
    TKP__TRY(tkp__inputs_copy(&in, inputs));
    TKP__TRY(tkp__sequence_prune(sequence, exec, &in, &d));
    return tkp__util_fill_struct(
        decision, &d, sizeof(d), TKP__SIZE_THROUGH(tkp_decision, host_offsets),
        "decision");
}

int64_t tkp_sequence_rows(
    const tkp_sequence *sequence,
    int32_t *rows,
    int32_t *positions,
    int32_t *offsets,
    int64_t capacity)
{
    if (!sequence || !sequence->policy)
        return -1;
    const tkp__batch *batch = &sequence->batch;
    const size_t n = (size_t)batch->rows, p = (size_t)batch->position_rows;
    if (batch->rows > capacity)
        return batch->rows;
    if (rows)
        memcpy(rows, batch->origin, n * sizeof(*rows));
    if (positions)
        memcpy(positions, batch->positions, p * n * sizeof(*positions));
    if (offsets)
        memcpy(
            offsets, batch->row_offsets,
            ((size_t)batch->sequences + 1) * sizeof(*offsets));
    return batch->rows;
}

static tkp_status apply(
    tkp_sequence *sequence,
    tkp_exec *exec,
    const tkp_tensor *dst,
    const tkp_tensor *src,
    const tkp_decision *decision,
    bool with_merged)
{
    TKP__TRY(check_begun(sequence));
    TKP__CHECK(exec, TKP_ERR_ARGUMENT, "exec is NULL");
    TKP__CHECK(dst, TKP_ERR_ARGUMENT, "dst is NULL");
    TKP__CHECK(src, TKP_ERR_ARGUMENT, "src is NULL");
    TKP__CHECK(decision, TKP_ERR_ARGUMENT, "decision is NULL");
    tkp_decision d;
    TKP__TRY(tkp__util_copy_options(
        &d, sizeof(d), decision, decision->struct_size,
        TKP__SIZE_THROUGH(tkp_decision, host_offsets), "decision"));
    return tkp__sequence_gather(sequence, exec, dst, src, &d, with_merged);
}

tkp_status tkp_gather_rows(
    tkp_sequence *sequence,
    tkp_exec *exec,
    const tkp_tensor *dst,
    const tkp_tensor *src,
    const tkp_decision *decision)
{
    tkp_sys_message_clear();
    return apply(sequence, exec, dst, src, decision, true);
}

tkp_status tkp_gather_kv(
    tkp_sequence *sequence,
    tkp_exec *exec,
    const tkp_tensor *dst,
    const tkp_tensor *src,
    const tkp_decision *decision)
{
    tkp_sys_message_clear();
    return apply(sequence, exec, dst, src, decision, false);
}

int32_t tkp_sequence_next_position(
    const tkp_sequence *sequence,
    int32_t index,
    int32_t layer)
{
    if (!sequence || !sequence->policy || index < 0 ||
        index >= sequence->batch.sequences || layer < 0 ||
        layer > sequence->model.layers)
        return -1;
    return sequence->next_position[layer * sequence->batch.sequences + index];
}

tkp_status tkp_sequence_report(const tkp_sequence *sequence, tkp_report *report)
{
    tkp_sys_message_clear();
    TKP__TRY(check_begun(sequence));
    TKP__CHECK(report, TKP_ERR_ARGUMENT, "report is NULL");
    tkp_report r;
    tkp__cost_report(&sequence->cost, &sequence->model, &r);
    return tkp__util_fill_struct(
        report, &r, sizeof(r), TKP__SIZE_THROUGH(tkp_report, gather_seconds),
        "report");
}

int64_t tkp_sequence_kept_cells(
    tkp_sequence *sequence,
    tkp_exec *exec,
    int32_t image,
    int32_t *cells,
    int64_t capacity)
{
    (void)exec;
    if (!sequence || !sequence->policy || image < 0 ||
        image >= sequence->layout->n_images)
        return -1;
    const tkp__batch *batch = &sequence->batch;
    int64_t count = 0;
    for (int64_t n = 0; n < batch->candidates; n++)
        if (batch->candidate_images[n] == image) {
            int64_t at = count < capacity ? count : capacity;
            const int32_t cell = batch->candidate_cells[n];
            for (; cells && at > 0 && cells[at - 1] > cell; at--)
                if (at < capacity)
                    cells[at] = cells[at - 1];
            if (cells && at < capacity)
                cells[at] = cell;
            count++;
        }
    return count;
}
