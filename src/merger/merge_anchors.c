/*
 * Tokens of a segment of a video join its anchors (FastVID): in each frame that
 * has any, the one that a token is most like. So a token may add to several rows;
 * its assignment is the one of these that it is most like, and sizes count
 * assignments. Anchors are what a later part of a chain kept, or everything kept
 * where there are no parts. What the first part kept stays as it is, as protected
 * tokens do, and joins nothing; anchors of other frames join.
 */
#include <math.h>

#include "features/segments.h"
#include "merger/merger.h"

enum { OP_NEAREST, OP_MERGE, OP_PUT };

typedef struct anchors {
    tkp__segments segments;
    uint64_t near_at, like_at, best_at; /* [N] of a round; the best so far */
    uint64_t member_at, member_ends_at; /* who joins, segment by segment */
    uint64_t round_at;                  /* [K] of each anchor; -1 = none */
    uint64_t list_at, place_at, list_ends_at; /* anchors of a round */
    uint64_t rows_at;                         /* [K, D] of a round */
} anchors;

static tkp_status plan_ops(tkp_merger *m)
{
    const tkp_layout *layout = m->selector->batch->layout;
    const int64_t n = layout->visual;
    const tkp__features *f = &m->features;
    const tkp_merger_options *o = &m->spec.options;
    const tkp_op_nearest likeness = {.struct_size = sizeof(likeness)};
    const tkp_op_merge_rows merge = {
        .struct_size = sizeof(merge),
        .rule = TKP_MERGE_BLEND_COUNT,
        .beta = o->beta,
    };
    tkp_tensor args[8] = {0};
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    for (int32_t i = 1; i < 7; i++)
        tkp_tensor_make_1d(
            &args[i], NULL, TKP_DTYPE_I32, i == 2 || i == 5 ? n + 1 : n);
    tkp_tensor_make_1d(&args[7], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__merger_op(
        m, &m->ops[OP_NEAREST], TKP_OP_NEAREST, args, 8, &likeness));
    tkp_tensor_make_2d(
        &args[0], NULL, m->model.dtype, layout->rows, m->model.hidden);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    args[4] = args[6] = (tkp_tensor){0};
    tkp_tensor_make_2d(&args[5], NULL, m->model.dtype, n, m->model.hidden);
    TKP__TRY(tkp__merger_op(
        m, &m->ops[OP_MERGE], TKP_OP_MERGE_ROWS, args, 7, &merge));
    args[0] = args[2] = args[5];
    return tkp__merger_op(
        m, &m->ops[OP_PUT], TKP_OP_SCATTER_ROWS, args, 3, NULL);
}

static tkp_status anchors_plan(tkp_merger *m, tkp_ledger *ledger)
{
    const uint64_t n = (uint64_t)m->selector->batch->layout->visual;
    anchors *state = tkp__zalloc(1, sizeof(*state));
    if (!state)
        return TKP_ERR_MEMORY;
    m->state = state;
    m->has_features = true;
    TKP__TRY(tkp__features_plan(
        &m->features, m->context, m->selector->batch, &m->model,
        m->spec.options.feature, 0.0f, 0, ledger));
    TKP__TRY(tkp__segments_plan(
        &state->segments, &m->features, m->spec.options.cut,
        m->spec.options.segments, ledger, &m->ops_bytes));
    uint64_t *lists[] = {&state->near_at,        &state->like_at,
                         &state->best_at,        &state->member_at,
                         &state->member_ends_at, &state->round_at,
                         &state->list_at,        &state->place_at,
                         &state->list_ends_at};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        TKP__TRY(tkp__ledger_book(ledger, (n + 1) * sizeof(int32_t), lists[i]));
    TKP__TRY(tkp__ledger_book(
        ledger, n * (uint64_t)m->model.hidden * tkp_dtype_bytes(m->model.dtype),
        &state->rows_at));
    return plan_ops(m);
}

static tkp_status anchors_bind(tkp_merger *m)
{
    anchors *state = m->state;
    tkp__segments_bind(&state->segments);
    return TKP_OK;
}

/* Whether entry j of the kept ones is an anchor. */
static bool is_anchor(
    const tkp_merger *m,
    const int32_t *kept,
    const int32_t *roles,
    int32_t j)
{
    return !m->selector->batch->candidate_kept[kept[j]] &&
           (!roles || roles[j] > 0);
}

/* What is neither protected nor kept as it is, segment by segment; the number of
 * segments. */
static int32_t list_members(
    const tkp_merger *m,
    const int32_t *of,
    const tkp_tensor *kept,
    const int32_t *roles,
    int32_t *member,
    int32_t *ends)
{
    const anchors *state = m->state;
    const tkp__batch *batch = m->selector->batch;
    const int32_t *list = tkp__data(kept);
    int32_t count = 0, segment = 0, j = 0;
    ends[0] = 0;
    for (int32_t i = 0; i < batch->candidates; i++) {
        while (segment < of[state->segments.in.frame_of[i]])
            ends[++segment] = count;
        const bool is_kept = j < kept->shape[0] && list[j] == i;
        if (!is_kept || is_anchor(m, list, roles, j))
            member[count++] = i;
        j += is_kept;
    }
    ends[++segment] = count;
    return segment;
}

/* Anchors of the first frame of each segment that has any are in round 0, those of
 * the second in round 1 and so on; the number of rounds. */
static int32_t number_rounds(
    const tkp_merger *m,
    const int32_t *of,
    const tkp_tensor *kept,
    const int32_t *roles,
    int32_t *round)
{
    const anchors *state = m->state;
    const int32_t *list = tkp__data(kept);
    int32_t frame = -1, now = 0, rounds = 0;
    for (int32_t j = 0; j < kept->shape[0]; j++) {
        round[j] = -1;
        if (!is_anchor(m, list, roles, j))
            continue;
        const int32_t f = state->segments.in.frame_of[list[j]];
        if (frame < 0 || of[f] != of[frame])
            now = 0;
        else if (f != frame)
            now++;
        frame = f;
        round[j] = now;
        rounds = now >= rounds ? now + 1 : rounds;
    }
    return rounds;
}

typedef struct joining {
    const int32_t *of;
    int32_t segments;
    tkp_tensor x, rows; /* what is compared */
    int32_t *member, *member_ends;
} joining;

/* One round: anchors of at most one frame a segment. */
static tkp_status run_round(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const joining *join,
    int32_t number,
    const tkp__merging *out)
{
    const anchors *state = m->state;
    const tkp__batch *batch = m->selector->batch;
    const int64_t n = batch->candidates;
    const int32_t *kept = tkp__data(out->kept);
    const int32_t *round = tkp__ledger_at(workspace, state->round_at);
    int32_t *list = tkp__ledger_at(workspace, state->list_at);
    int32_t *place = tkp__ledger_at(workspace, state->place_at);
    int32_t *ends = tkp__ledger_at(workspace, state->list_ends_at);
    int32_t *near = tkp__ledger_at(workspace, state->near_at);
    float *like = tkp__ledger_at(workspace, state->like_at);
    float *best = tkp__ledger_at(workspace, state->best_at);
    int32_t count = 0, segment = 0;
    ends[0] = 0;
    for (int32_t j = 0; j < out->kept->shape[0]; j++) {
        if (round[j] != number)
            continue;
        while (segment < join->of[state->segments.in.frame_of[kept[j]]])
            ends[++segment] = count;
        place[count] = j;
        list[count++] = kept[j];
    }
    while (segment < join->segments)
        ends[++segment] = count;
    tkp_tensor args[8] = {[0] = join->x, [1] = join->rows};
    tkp_tensor_make_1d(
        &args[2], join->member_ends, TKP_DTYPE_I32, join->segments + 1);
    tkp_tensor_make_1d(
        &args[3], join->member, TKP_DTYPE_I32,
        join->member_ends[join->segments]);
    tkp_tensor_make_1d(&args[4], list, TKP_DTYPE_I32, count);
    tkp_tensor_make_1d(&args[5], ends, TKP_DTYPE_I32, join->segments + 1);
    tkp_tensor_make_1d(&args[6], near, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[7], like, TKP_DTYPE_F32, n);
    TKP__TRY(
        tkp__merger_run_op(m, m->ops[OP_NEAREST], exec, args, 8, workspace));
    for (int64_t i = 0; i < n; i++)
        if (near[i] >= 0 && like[i] > best[i]) {
            best[i] = like[i];
            out->assignment[i] = place[near[i]];
        }
    args[0] = *in->hidden;
    tkp_tensor_make_1d(&args[1], batch->candidate_rows, TKP_DTYPE_I32, n);
    args[2] = args[4];
    args[3] = args[6];
    args[4] = args[6] = (tkp_tensor){0};
    tkp_tensor_make_2d(
        &args[5], tkp__ledger_at(workspace, state->rows_at), m->model.dtype,
        count, m->model.hidden);
    TKP__TRY(tkp__merger_run_op(m, m->ops[OP_MERGE], exec, args, 7, workspace));
    args[0] = args[5];
    tkp_tensor_make_1d(&args[1], place, TKP_DTYPE_I32, count);
    args[2] = *out->rows;
    return tkp__merger_run_op(m, m->ops[OP_PUT], exec, args, 3, workspace);
}

/* Rows as they are; nobody has joined anything. */
static tkp_status begin(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const anchors *state = m->state;
    const tkp__batch *batch = m->selector->batch;
    const int64_t n = batch->candidates;
    float *best = tkp__ledger_at(workspace, state->best_at);
    for (int64_t i = 0; i < n; i++) {
        out->assignment[i] = -1;
        best[i] = -INFINITY;
    }
    tkp_tensor args[7] = {
        [0] = *in->hidden, [2] = *out->kept, [5] = *out->rows};
    tkp_tensor_make_1d(&args[1], batch->candidate_rows, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], out->assignment, TKP_DTYPE_I32, n);
    return tkp__merger_run_op(m, m->ops[OP_MERGE], exec, args, 7, workspace);
}

static void count_sizes(const tkp_merger *m, const tkp__merging *out)
{
    const int32_t *kept = tkp__data(out->kept);
    for (int32_t j = 0; j < out->kept->shape[0]; j++) {
        out->assignment[kept[j]] = j;
        out->sizes[j] = 0.0f;
    }
    for (int64_t i = 0; i < m->selector->batch->candidates; i++)
        if (out->assignment[i] >= 0)
            out->sizes[out->assignment[i]] += 1.0f;
}

static tkp_status anchors_run(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const anchors *state = m->state;
    const int32_t *roles = in->roles ? tkp__data(in->roles) : NULL;
    joining join = {
        .member = tkp__ledger_at(workspace, state->member_at),
        .member_ends = tkp__ledger_at(workspace, state->member_ends_at),
    };
    TKP__TRY(begin(m, exec, in, workspace, out));
    if (out->kept->shape[0] == 0)
        return TKP_OK;
    if (out->kept->shape[0] == m->selector->batch->candidates) {
        count_sizes(m, out); /* nothing was dropped */
        return TKP_OK;
    }
    TKP__TRY(tkp__features_run(
        &m->features, exec, in, workspace, &join.x, &join.rows));
    TKP__TRY(tkp__segments_run(
        &state->segments, exec, &join.x, &join.rows, workspace,
        tkp__ledger_at(workspace, m->ops_at), m->ops_bytes, &join.of));
    join.segments = list_members(
        m, join.of, out->kept, roles, join.member, join.member_ends);
    const int32_t rounds = number_rounds(
        m, join.of, out->kept, roles,
        tkp__ledger_at(workspace, state->round_at));
    for (int32_t r = 0; r < rounds; r++)
        TKP__TRY(run_round(m, exec, in, workspace, &join, r, out));
    count_sizes(m, out);
    return TKP_OK;
}

static void anchors_release(tkp_merger *m)
{
    anchors *state = m->state;
    if (state)
        tkp__segments_release(&state->segments);
    tkp__free(state);
}

const tkp__merger_kind tkp__merge_anchors = {
    .plan = anchors_plan,
    .bind = anchors_bind,
    .run = anchors_run,
    .release = anchors_release,
};
