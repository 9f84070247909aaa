/* A point of the forward: score, select, merge, and say which rows stay. */
#include <math.h>

#include "selector/bipartite.h"
#include "sequence/sequence.h"

static bool protects(const tkp__run_stage *run)
{
    return run->stage->effect == TKP_EFFECT_PROTECT;
}

static const tkp__batch *
batch_of(const tkp_sequence *s, const tkp__run_stage *run)
{
    return tkp__run_in_encoder(run) ? &s->encoder : &s->batch;
}

static bool goes_by_rank(const tkp__run_stage *run)
{
    return run->stage->budget.kind == TKP_BUDGET_RANK;
}

static int64_t width_of(const tkp_sequence *s, const tkp__run_stage *run)
{
    return tkp__run_in_encoder(run) ? s->encoder_model.hidden : s->model.hidden;
}

/* Rows that stay, or the most there may be where the data decide. */
static int64_t most_rows(const tkp_sequence *s, const tkp__run_stage *run)
{
    const tkp__batch *batch = batch_of(s, run);
    const int64_t kept =
        protects(run) ? batch->candidates : run->selector->kept;
    return batch->rows - batch->candidates - batch->padding + kept;
}

static int64_t rows_after(const tkp_sequence *s)
{
    return s->batch.rows - s->batch.candidates - s->batch.padding + s->kept;
}

/* Tokens, or padding, which goes at the first cut. */
static bool loses_rows(const tkp_sequence *s, const tkp__run_stage *run)
{
    return most_rows(s, run) != batch_of(s, run)->rows || s->batch.padding;
}

/* A stage that keeps every row as it is needs no point. */
static bool changes_nothing(const tkp_sequence *s, const tkp__run_stage *run)
{
    if (!run->selector)
        return true;
    if (protects(run) || run->selector->adaptive || goes_by_rank(run))
        return run->selector->groups.members == 0;
    if (loses_rows(s, run))
        return false;
    /* Caches before an earlier cut still have what it took. */
    if (run->stage->point == TKP_POINT_KV && !run->merger)
        return s->batch.rows == s->layout->rows;
    return !run->merger || !run->merger->has_custom;
}

/* A stage that protects chooses from all tokens, as if none were protected. */
static tkp_status bind_selector(tkp_sequence *s, tkp__run_stage *run)
{
    uint8_t *kept = s->batch.candidate_kept;
    const size_t n = (size_t)s->batch.candidates;
    if (!protects(run))
        return tkp__selector_bind(run->selector);
    memcpy(s->protected_now, kept, n);
    memset(kept, 0, n);
    const tkp_status status = tkp__selector_bind(run->selector);
    memcpy(kept, s->protected_now, n);
    return status;
}

static tkp_status bind_stage(tkp_sequence *s, tkp__run_stage *run)
{
    if (!run->selector)
        return TKP_OK;
    if (tkp__run_in_encoder(run))
        tkp__encoder_sync(s);
    TKP__TRY(bind_selector(s, run));
    if (run->scorer)
        tkp__scorer_bind(run->scorer);
    if (run->merger && (run->selector->adaptive || loses_rows(s, run)))
        TKP__TRY(tkp__merger_bind(run->merger));
    return TKP_OK;
}

int64_t tkp__run_stage_query_rows(
    const tkp__run_stage *run,
    int32_t *rows,
    int64_t capacity)
{
    const tkp_scorer *scorers[2 + TKP_CHAIN_MAX_PARTS];
    int32_t n = 0;
    if (run->scorer)
        scorers[n++] = run->scorer;
    if (run->selector)
        n += tkp__selector_scorers(run->selector, scorers + n);
    return tkp__scorer_query_rows(scorers, n, rows, capacity);
}

void tkp__stage_point(const tkp__stage *stage, int32_t number, tkp_point *point)
{
    *point = (tkp_point)TKP_POINT_INIT;
    point->kind = stage->point;
    point->stage = number;
    point->boundary = stage->boundary;
    point->score_layer = stage->score_layer;
    point->needs = tkp__stage_needs(stage);
    point->kv_begin = stage->kv_begin;
    point->kv_end = stage->kv_end;
}

tkp_status tkp__sequence_next(tkp_sequence *s, tkp_point *point)
{
    *point = (tkp_point)TKP_POINT_INIT;
    for (; s->at < s->n_stages && !s->ready; s->at++) {
        tkp__run_stage *run = &s->stages[s->at];
        const tkp_status status = bind_stage(s, run);
        if (status != TKP_OK)
            return tkp__fail_prefix(
                status, "policy '%s': stage %d", s->policy->name, s->at);
        if (!changes_nothing(s, run)) {
            s->ready = true;
            break;
        }
    }
    if (!s->ready)
        return TKP_OK;
    const tkp__run_stage *run = &s->stages[s->at];
    tkp__stage_point(run->stage, s->at, point);
    point->rows_in = batch_of(s, run)->rows;
    point->rows_out = most_rows(s, run);
    if (point->kind == TKP_POINT_KV && !point->kv_end)
        point->kv_end = s->model.layers;
    point->query_rows = tkp__run_stage_query_rows(run, NULL, 0);
    return TKP_OK;
}

/* --- the rows that stay ---------------------------------------------------- */

static tkp_status list_rows(tkp_sequence *s, tkp_exec *exec, void *workspace)
{
    tkp_tensor args[3];
    tkp_tensor_make_1d(
        &args[0], s->batch.candidate_rows, TKP_DTYPE_I32,
        s->batch.candidates + s->batch.padding);
    tkp_tensor_make_1d(&args[1], s->selected, TKP_DTYPE_I32, s->kept);
    tkp_tensor_make_1d(&args[2], s->indices, TKP_DTYPE_I32, rows_after(s));
    return tkp__core_op_run(
        s->compact, exec, args, 3, workspace,
        tkp__core_op_workspace(s->compact));
}

/* Whether kept entry i comes before j: the first part ascends, later ones come
 * as they were chosen. */
static bool comes_before(const tkp_sequence *s, int32_t i, int32_t j)
{
    const int32_t a = s->roles[i], b = s->roles[j];
    if (a != b || a == 0)
        return a != b ? a < b : i < j;
    return s->places[s->selected[i]] < s->places[s->selected[j]];
}

/* Tokens change places within their frame. */
static void list_parts(tkp_sequence *s)
{
    const int32_t *rows = s->batch.candidate_rows;
    int32_t row = 0;
    for (int32_t first = 0, end; first < s->kept; first = end) {
        const int32_t unit =
            tkp__batch_unit(&s->batch, TKP_SCOPE_FRAME, s->selected[first]);
        for (end = first; end < s->kept; end++) {
            int32_t at = end;
            if (tkp__batch_unit(&s->batch, TKP_SCOPE_FRAME, s->selected[end]) !=
                unit)
                break;
            for (; at > first && comes_before(s, end, s->order[at - 1]); at--)
                s->order[at] = s->order[at - 1];
            s->order[at] = end;
        }
        for (int32_t i = first; i < end; i++, row++) {
            while (s->indices[row] != rows[s->selected[i]])
                row++;
            s->indices[row] = -1 - rows[s->selected[s->order[i]]];
        }
    }
    for (int32_t r = 0; r < rows_after(s); r++)
        if (s->indices[r] < 0)
            s->indices[r] = -1 - s->indices[r];
}

/* Rows of each sequence: its structure, and what was kept of its tokens. */
static void list_offsets(tkp_sequence *s)
{
    const tkp__batch *batch = &s->batch;
    int32_t padding = 0; /* listed by sequence, as the candidates are */
    s->offsets[0] = 0;
    for (int32_t b = 0; b < batch->sequences; b++) {
        int32_t invalid = 0;
        while (padding < batch->padding &&
               batch->candidate_rows[s->layout->visual + padding] <
                   batch->row_offsets[b + 1]) {
            padding++;
            invalid++;
        }
        const int32_t rows = batch->row_offsets[b + 1] - batch->row_offsets[b];
        const int32_t visual =
            batch->candidate_offsets[b + 1] - batch->candidate_offsets[b];
        const int32_t kept = s->kept_offsets[b + 1] - s->kept_offsets[b];
        s->offsets[b + 1] = s->offsets[b] + rows - visual - invalid + kept;
    }
}

static void list_positions(tkp_sequence *s, int32_t rule)
{
    const int64_t out = s->offsets[s->batch.sequences];
    for (int32_t p = 0; p < s->batch.position_rows; p++) {
        const int32_t *old = s->batch.positions + p * s->batch.rows;
        int32_t *to = s->positions + p * out;
        for (int32_t b = 0; b < s->batch.sequences; b++)
            for (int32_t r = s->offsets[b]; r < s->offsets[b + 1]; r++)
                to[r] = rule == TKP_POSITIONS_REPACK ? r - s->offsets[b]
                                                     : old[s->indices[r]];
    }
}

/* Where every old row went, and how many tokens each new row stands for. */
static void list_assignment(tkp_sequence *s, const tkp__run_stage *run)
{
    const int32_t out = s->offsets[s->batch.sequences];
    for (int64_t r = 0; r < s->batch.rows; r++)
        s->assignment[r] = -1;
    for (int32_t r = 0; r < out; r++) {
        s->assignment[s->indices[r]] = r;
        s->sizes[r] = 1.0f;
    }
    if (!run->merger)
        return;
    for (int32_t j = 0; j < s->kept; j++) {
        const int32_t old = s->batch.candidate_rows[s->selected[j]];
        s->merged_at[j] = s->assignment[old];
        s->sizes[s->merged_at[j]] = s->kept_sizes[j];
    }
    for (int64_t n = 0; n < s->batch.candidates; n++)
        if (s->kept_of[n] >= 0)
            s->assignment[s->batch.candidate_rows[n]] =
                s->merged_at[s->kept_of[n]];
}

/* The same through all cuts: what a row stood for before goes with it. */
static void list_totals(tkp_sequence *s)
{
    const int32_t out = s->offsets[s->batch.sequences];
    for (int32_t r = 0; r < out; r++)
        s->totals[r] = s->sizes[r];
    for (int64_t n = 0; n < s->batch.candidates; n++) {
        const int32_t row = s->assignment[s->batch.candidate_rows[n]];
        if (row >= 0)
            s->totals[row] += s->batch.candidate_sizes[n] - 1.0f;
    }
}

/* Once a merger was proportional, all that comes after is. */
static void list_key_bias(tkp_sequence *s, const tkp__run_stage *run)
{
    const int32_t out = s->offsets[s->batch.sequences];
    if (tkp__run_in_encoder(run))
        return; /* has its own */
    s->proportional |= run->merger && run->merger->spec.options.proportional;
    for (int32_t r = 0; s->proportional && r < out; r++)
        s->key_bias[r] = logf(s->totals[r]);
}

/* From the first layer that sees them on, the next position follows the
 * renumbered ones. */
static void note_next_positions(tkp_sequence *s, const tkp__stage *stage)
{
    if (stage->positions != TKP_POSITIONS_REPACK)
        return;
    const int32_t b = s->batch.sequences;
    for (int32_t layer = tkp__stage_first_layer(stage, s->model.layers);
         layer <= s->model.layers; layer++)
        for (int32_t i = 0; i < b; i++)
            s->next_position[layer * b + i] = s->offsets[i + 1] - s->offsets[i];
}

static void
fill_decision(tkp_sequence *s, const tkp__run_stage *run, tkp_decision *d)
{
    const int64_t in = s->batch.rows;
    const int64_t out = s->offsets[s->batch.sequences];
    const int64_t kept = s->kept;
    *d = (tkp_decision){
        .struct_size = sizeof(*d),
        .stage = s->at,
        .sequences = s->batch.sequences,
        .position_rows = s->batch.position_rows,
        .rows_in = in,
        .rows_out = out,
        .host_offsets = s->offsets,
    };
    tkp_tensor_make_1d(&d->indices, s->indices, TKP_DTYPE_I32, out);
    tkp_tensor_make_1d(
        &d->offsets, s->offsets, TKP_DTYPE_I32, s->batch.sequences + 1);
    tkp_tensor_make_2d(
        &d->positions, s->positions, TKP_DTYPE_I32, s->batch.position_rows,
        out);
    tkp_tensor_make_1d(&d->sizes, s->sizes, TKP_DTYPE_F32, out);
    tkp_tensor_make_1d(&d->assignment, s->assignment, TKP_DTYPE_I32, in);
    if (run->scorer)
        tkp_tensor_make_1d(
            &d->scores, s->scores, TKP_DTYPE_F32, s->batch.candidates);
    if (run->merger) {
        tkp_tensor_make_2d(
            &d->merged, s->merged, s->model.dtype, kept, s->model.hidden);
        tkp__core_on_device(s->context, &d->merged);
        tkp_tensor_make_1d(&d->merged_at, s->merged_at, TKP_DTYPE_I32, kept);
    }
    if (s->proportional)
        tkp_tensor_make_1d(&d->key_bias, s->key_bias, TKP_DTYPE_F32, out);
}

/* --- prune ----------------------------------------------------------------- */

/* Nothing goes now, and what was selected never will. */
static void protect_selected(tkp_sequence *s)
{
    for (int32_t j = 0; j < s->kept; j++)
        s->batch.candidate_kept[s->selected[j]] = 1;
    s->kept = (int32_t)s->batch.candidates;
    for (int32_t n = 0; n < s->kept; n++)
        s->selected[n] = n;
    memcpy(
        s->kept_offsets, s->batch.candidate_offsets,
        (size_t)(s->batch.sequences + 1) * sizeof(int32_t));
}

/* Budgets that wait for the tensors: attention says how many stay. */
static tkp_status bind_by_rank(
    tkp_sequence *s,
    tkp__run_stage *run,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace)
{
    const tkp__batch *batch = &s->batch;
    const double began = tkp__cost_now();
    TKP__TRY(tkp__scorer_rank(run->scorer, exec, in, workspace, s->ranks));
    for (int32_t b = 0; b < batch->sequences; b++) {
        const int32_t first = batch->candidate_offsets[b];
        const int32_t n = batch->candidate_offsets[b + 1] - first;
        int64_t always = 0;
        for (int32_t i = first; i < first + n; i++)
            always += batch->candidate_kept[i];
        const int64_t keep =
            tkp__budget_of_rank(&run->stage->budget, n, s->ranks[b]);
        s->allowance[b] = keep > always ? keep - always : 0;
    }
    run->selector->allowance = s->allowance;
    TKP__TRY(tkp__selector_bind(run->selector));
    s->cost.seconds[TKP__SCORE] += tkp__cost_now() - began;
    return run->merger ? tkp__merger_bind(run->merger) : TKP_OK;
}

static tkp_status decide(
    tkp_sequence *s,
    const tkp__run_stage *run,
    tkp_exec *exec,
    tkp_inputs *in,
    void *workspace)
{
    const double t0 = tkp__cost_now();
    tkp_tensor scores;
    tkp_tensor selected;
    tkp_tensor roles, pools;
    const int32_t most = run->selector->kept;
    tkp_tensor_make_1d(&scores, s->scores, TKP_DTYPE_F32, s->batch.candidates);
    tkp_tensor_make_1d(&selected, s->selected, TKP_DTYPE_I32, most);
    tkp_tensor_make_1d(&roles, s->roles, TKP_DTYPE_I32, most);
    tkp_tensor_make_1d(&pools, s->pools, TKP_DTYPE_I32, s->batch.candidates);
    if (run->scorer)
        TKP__TRY(tkp__scorer_run(run->scorer, exec, in, workspace, &scores));
    const double t1 = tkp__cost_now();
    TKP__TRY(tkp__selector_run(
        run->selector, exec, in, &scores, workspace, &selected, &roles,
        run->merger ? &pools : NULL, s->kept_offsets,
        run->stage->order == TKP_STAGE_ORDER_PARTS ? s->places : NULL));
    s->kept = s->kept_offsets[s->batch.sequences];
    selected.shape[0] = roles.shape[0] = s->kept;
    if (protects(run))
        protect_selected(s);
    const double t2 = tkp__cost_now();
    if (run->merger) {
        tkp_tensor rows;
        tkp_tensor_make_2d(
            &rows, s->merged, s->model.dtype, s->kept, width_of(s, run));
        tkp__core_on_device(s->context, &rows);
        const tkp__merging merging = {
            .kept = &selected,
            .rows = &rows,
            .sizes = s->kept_sizes,
            .assignment = s->kept_of,
        };
        in->roles = &roles;
        in->pools = &pools;
        in->token_scores = run->scorer ? &scores : NULL;
        TKP__TRY(tkp__merger_run(run->merger, exec, in, workspace, &merging));
    }
    const double t3 = tkp__cost_now();
    TKP__TRY(list_rows(s, exec, workspace));
    s->cost.seconds[TKP__SCORE] += t1 - t0;
    s->cost.seconds[TKP__MERGE] += t3 - t2;
    s->cost.seconds[TKP__SELECT] += t2 - t1 + tkp__cost_now() - t3;
    return TKP_OK;
}

static tkp_status
check_inputs(const tkp_sequence *s, const tkp__run_stage *run, tkp_inputs *in)
{
    const bool encoder = tkp__run_in_encoder(run);
    const char *name = encoder ? "vision" : "hidden";
    const tkp_tensor *h = encoder ? in->vision : in->hidden;
    if (!(tkp__stage_needs(run->stage) &
          (encoder ? TKP_NEED_VISION : TKP_NEED_HIDDEN)))
        return TKP_OK;
    const int64_t rows = batch_of(s, run)->rows, width = width_of(s, run);
    TKP__CHECK(
        h, TKP_ERR_ARGUMENT, "inputs: %s is NULL, but stage %d needs it", name,
        s->at);
    TKP__TRY(tkp__check_view(h, name, false));
    TKP__CHECK(
        h->ndim == 2 && h->shape[0] == rows && h->shape[1] == width &&
            h->strides[1] == 1,
        TKP_ERR_SHAPE, "inputs: %s: wanted rows [%lld, %lld]", name,
        (long long)rows, (long long)width);
    TKP__CHECK(
        h->dtype == s->model.dtype, TKP_ERR_DTYPE,
        "inputs: %s is %s, the model has %s", name, tkp_dtype_string(h->dtype),
        tkp_dtype_string(s->model.dtype));
    in->hidden = h;
    return TKP_OK;
}

tkp_status tkp__sequence_prune(
    tkp_sequence *s,
    tkp_exec *exec,
    tkp_inputs *inputs,
    tkp_decision *decision)
{
    TKP__CHECK(
        s->ready, TKP_ERR_STATE,
        "sequence: prune without a point; call next first");
    TKP__CHECK(
        tkp__core_exec_context(exec) == s->context, TKP_ERR_ARGUMENT,
        "exec: made for another context than the sequence");
    TKP__TRY(tkp__core_exec_check_workspace(exec, s->workspace_bytes));
    tkp__run_stage *run = &s->stages[s->at];
    void *workspace = tkp__core_exec_workspace(exec);
    TKP__TRY(check_inputs(s, run, inputs));
    if (goes_by_rank(run))
        TKP__TRY(bind_by_rank(s, run, exec, inputs, workspace));
    TKP__TRY(decide(s, run, exec, inputs, workspace));
    s->permuted = run->stage->order == TKP_STAGE_ORDER_PARTS;
    if (s->permuted)
        list_parts(s);
    list_offsets(s);
    list_positions(s, run->stage->positions);
    list_assignment(s, run);
    list_totals(s);
    list_key_bias(s, run);
    note_next_positions(s, run->stage);
    fill_decision(s, run, decision);
    if (tkp__run_in_encoder(run))
        tkp__encoder_decision(s, run, decision);
    if (run->selector->spec.options.kind == TKP_SELECTOR_BIPARTITE)
        tkp__batch_put_behind(&s->batch, tkp__bipartite_second(run->selector));
    tkp__batch_advance(
        &s->batch, s->indices, s->offsets, s->positions, s->totals);
    if (run->stage->point == TKP_POINT_KV)
        tkp__cost_evict(
            &s->cost, &s->batch, run->stage->kv_begin,
            run->stage->kv_end ? run->stage->kv_end : s->model.layers);
    else
        tkp__cost_cut(
            &s->cost, &s->batch,
            tkp__stage_first_layer(run->stage, s->model.layers));
    s->cost.cuts += !protects(run);
    s->ready = false;
    s->at++;
    return TKP_OK;
}

/* --- applying a decision ---------------------------------------------------- */

/* Any rows as rows of bytes; false if a row is not contiguous. */
static bool as_bytes(const tkp_tensor *t, tkp_tensor *out)
{
    const int64_t element = (int64_t)tkp_dtype_bytes(t->dtype);
    int64_t width = 1;
    for (int32_t d = t->ndim - 1; d >= 1; d--) {
        if (t->shape[d] != 1 && t->strides[d] != width)
            return false;
        width *= t->shape[d];
    }
    tkp_tensor_make_2d(
        out, tkp__data(t), TKP_DTYPE_U8, t->shape[0], width * element);
    out->strides[0] = t->strides[0] * element;
    out->device_type = t->device_type;
    out->device_id = t->device_id;
    return true;
}

static tkp_status check_rows(
    const tkp_tensor *t,
    const char *name,
    int64_t rows,
    tkp_tensor *bytes)
{
    TKP__TRY(tkp__check_view(t, name, false));
    TKP__CHECK(
        t->ndim >= 1 && t->shape[0] == rows, TKP_ERR_SHAPE,
        "%s: dim 0 is %lld, wanted %lld", name,
        (long long)(t->ndim ? t->shape[0] : 0), (long long)rows);
    TKP__CHECK(
        as_bytes(t, bytes), TKP_ERR_SHAPE, "%s: its rows are not contiguous",
        name);
    return TKP_OK;
}

static tkp_status put_merged(
    tkp_sequence *s,
    tkp_exec *exec,
    const tkp_tensor *dst,
    const tkp_decision *d)
{
    if (!tkp__present(&d->merged) || d->merged.shape[0] == 0)
        return TKP_OK;
    TKP__CHECK(
        dst->ndim == 2 && dst->shape[1] == d->merged.shape[1] &&
            dst->dtype == d->merged.dtype,
        TKP_ERR_SHAPE,
        "dst: merged rows are %s of width %lld; use tkp_gather_kv() for other "
        "rows",
        tkp_dtype_string(d->merged.dtype), (long long)d->merged.shape[1]);
    const tkp_tensor args[3] = {d->merged, d->merged_at, *dst};
    return tkp__core_op_run(
        d->indices.data == s->selected ? s->scatter_encoder : s->scatter, exec,
        args, 3, tkp__core_exec_workspace(exec),
        tkp__core_exec_workspace_bytes(exec));
}

tkp_status tkp__sequence_gather(
    tkp_sequence *s,
    tkp_exec *exec,
    const tkp_tensor *dst,
    const tkp_tensor *src,
    const tkp_decision *d,
    bool with_merged)
{
    const double start = tkp__cost_now();
    tkp_tensor args[3];
    TKP__CHECK(
        s->gather && d->rows_out >= 0 &&
            (d->indices.data == s->indices || d->indices.data == s->selected),
        TKP_ERR_STATE, "decision: is not the last one of this sequence");
    TKP__TRY(tkp__core_exec_check_workspace(exec, s->workspace_bytes));
    TKP__TRY(check_rows(src, "src", d->rows_in, &args[0]));
    TKP__TRY(check_rows(dst, "dst", d->rows_out, &args[2]));
    TKP__CHECK(
        src->dtype == dst->dtype, TKP_ERR_DTYPE, "dst: dtype is %s, src has %s",
        tkp_dtype_string(dst->dtype), tkp_dtype_string(src->dtype));
    TKP__CHECK(
        args[0].shape[1] == args[2].shape[1], TKP_ERR_SHAPE,
        "dst: rows have %lld bytes, src has %lld", (long long)args[2].shape[1],
        (long long)args[0].shape[1]);
    args[1] = d->indices;
    TKP__CHECK(
        !s->permuted || !tkp__overlap(src, dst), TKP_ERR_ALIAS,
        "dst: is src's memory, but the rows of this decision do not ascend");
    TKP__TRY(tkp__core_op_run(
        s->gather, exec, args, 3, tkp__core_exec_workspace(exec),
        tkp__core_exec_workspace_bytes(exec)));
    if (with_merged)
        TKP__TRY(put_merged(s, exec, dst, d));
    s->cost.seconds[TKP__GATHER] += tkp__cost_now() - start;
    return TKP_OK;
}
