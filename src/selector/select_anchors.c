/*
 * Anchors of a video: peaks of density in some of its frames (FastVID). The
 * video is cut into segments of like frames. What the frames of a segment may
 * keep together is kept in its hosts, every so-manyth frame from its end, shared
 * out by their sizes; what these cannot hold goes to the other frames, from the
 * first on. In each frame those of the best density score stay. Where the budget
 * is not for frames, its frames share it first, by their sizes.
 */
#include "features/segments.h"
#include "selector/selector.h"

enum { OP_PEAKS };
enum { AT_DENSITY, AT_SCORES, AT_KEEP, AT_NEAR, AT_FIRST, AT_ENDS, AT_SHARES };

/* Members by frame, as they are now. */
typedef struct frames {
    int32_t count;
    int32_t *first;                  /* [count + 1] into the members */
    int32_t *keep;                   /* [count] */
    int32_t *ends;                   /* [count + 1] prefix sums of keep */
    int32_t *neighbours;             /* [count] */
    int64_t *weight, *limit, *share; /* scratch */
} frames;

static tkp_status plan_peaks(tkp_selector *s)
{
    const int64_t n = s->batch->layout->visual;
    const tkp__features *f = &s->features;
    const tkp_op_density_peaks params = {
        .struct_size = sizeof(params),
        .others = s->spec.options.others,
    };
    tkp_tensor args[7];
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__selector_op(
        s, &s->ops[OP_PEAKS], TKP_OP_DENSITY_PEAKS, args, 7, &params));
    return tkp__selector_plan_topk(s);
}

static tkp_status anchors_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const uint64_t n = (uint64_t)s->batch->layout->visual;
    const tkp_selector_options *o = &s->spec.options;
    tkp__segments *segments = tkp__zalloc(1, sizeof(*segments));
    if (!segments)
        return TKP_ERR_MEMORY;
    s->state = segments;
    TKP__TRY(tkp__selector_features(s, ledger));
    TKP__TRY(tkp__segments_plan(
        segments, &s->features, o->cut, o->segments, ledger, &s->ops_bytes));
    for (int32_t i = AT_DENSITY; i <= AT_ENDS; i++)
        TKP__TRY(tkp__ledger_book(ledger, (n + 1) * sizeof(float), &s->at[i]));
    TKP__TRY(
        tkp__ledger_book(ledger, 3 * n * sizeof(int64_t), &s->at[AT_SHARES]));
    return plan_peaks(s);
}

static tkp_status anchors_bind(tkp_selector *s)
{
    tkp__segments_bind(s->state);
    return TKP_OK;
}

/* Members are listed group by group, and frame by frame in each; what a group
 * keeps is shared out over its frames. */
static tkp_status
list_frames(const tkp_selector *s, const int32_t *member, frames *f)
{
    const tkp__segments *segments = s->state;
    const tkp__groups *g = &s->groups;
    f->count = 0;
    for (int32_t i = 0; i < g->count; i++) {
        const int32_t begin = f->count;
        for (int32_t k = g->offsets[i]; k < g->offsets[i + 1]; k++)
            if (k == g->offsets[i] || segments->in.frame_of[member[k]] !=
                                          segments->in.frame_of[member[k - 1]])
                f->first[f->count++] = k;
        f->first[f->count] = g->offsets[i + 1];
        for (int32_t k = begin; k < f->count; k++)
            f->limit[k - begin] = f->first[k + 1] - f->first[k];
        TKP__TRY(tkp__apportion(
            g->keep[i], f->count - begin, f->limit, f->limit, f->share));
        for (int32_t k = begin; k < f->count; k++)
            f->keep[k] = (int32_t)f->share[k - begin];
    }
    return TKP_OK;
}

/* The last frame of the segment that frame f is in. */
static int32_t
segment_end(const tkp__segments *segments, const int32_t *of, int32_t f)
{
    const int32_t segment = of[f];
    while (f + 1 < segments->in.frames && of[f + 1] == segment)
        f++;
    return f;
}

/* What the frames of a segment keep moves to its hosts. */
static tkp_status share_segments(
    const tkp_selector *s,
    const int32_t *of,
    const int32_t *member,
    frames *f)
{
    const tkp__segments *segments = s->state;
    f->ends[0] = 0;
    for (int32_t begin = 0, end; begin < f->count; begin = end) {
        const int32_t last = segment_end(
            segments, of, segments->in.frame_of[member[f->first[begin]]]);
        int64_t total = 0;
        for (end = begin; end < f->count; end++) {
            const int32_t frame = segments->in.frame_of[member[f->first[end]]];
            const int32_t i = end - begin;
            if (frame > last)
                break;
            f->limit[i] = f->first[end + 1] - f->first[end];
            f->weight[i] =
                (last - frame) % s->spec.options.stride == 0 ? f->limit[i] : 0;
            total += f->keep[end];
        }
        TKP__TRY(
            tkp__apportion(total, end - begin, f->weight, f->limit, f->share));
        for (int32_t i = begin; i < end; i++) {
            f->keep[i] = (int32_t)f->share[i - begin];
            f->ends[i + 1] = f->ends[i] + f->keep[i];
        }
    }
    return TKP_OK;
}

static tkp_status run_peaks(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp_tensor *x,
    const tkp_tensor *rows,
    const int32_t *member,
    const frames *f,
    void *workspace,
    const tkp_tensor *dst)
{
    const int64_t n = s->batch->candidates;
    const int32_t most = s->spec.options.neighbours;
    for (int32_t i = 0; i < f->count; i++) {
        const int32_t size = f->first[i + 1] - f->first[i];
        f->neighbours[i] = most > size ? size : most;
    }
    tkp_tensor args[7] = {[0] = *x, [1] = *rows};
    tkp_tensor_make_1d(&args[2], f->first, TKP_DTYPE_I32, f->count + 1);
    tkp_tensor_make_1d(
        &args[3], (void *)member, TKP_DTYPE_I32, s->groups.members);
    tkp_tensor_make_1d(&args[4], f->neighbours, TKP_DTYPE_I32, f->count);
    tkp_tensor_make_1d(
        &args[5], tkp__ledger_at(workspace, s->at[AT_DENSITY]), TKP_DTYPE_F32,
        n);
    tkp_tensor_make_1d(
        &args[6], tkp__ledger_at(workspace, s->at[AT_SCORES]), TKP_DTYPE_F32,
        n);
    TKP__TRY(
        tkp__selector_run_op(s, s->ops[OP_PEAKS], exec, args, 7, workspace));
    args[0] = args[6];
    args[1] = args[2];
    args[2] = args[3];
    tkp_tensor_make_1d(&args[3], f->keep, TKP_DTYPE_I32, f->count);
    tkp_tensor_make_1d(&args[4], f->ends, TKP_DTYPE_I32, f->count + 1);
    args[5] = *dst;
    return tkp__selector_run_op(s, s->topk, exec, args, 6, workspace);
}

static tkp_status anchors_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    int64_t *shares = tkp__ledger_at(workspace, s->at[AT_SHARES]);
    frames f = {
        .first = tkp__ledger_at(workspace, s->at[AT_FIRST]),
        .keep = tkp__ledger_at(workspace, s->at[AT_KEEP]),
        .ends = tkp__ledger_at(workspace, s->at[AT_ENDS]),
        .neighbours = tkp__ledger_at(workspace, s->at[AT_NEAR]),
        .weight = shares,
        .limit = shares + s->batch->candidates,
        .share = shares + 2 * s->batch->candidates,
    };
    const int32_t *of;
    tkp_tensor x, rows;
    if (s->groups.kept == 0)
        return TKP_OK;
    TKP__CHECK(
        in->inputs, TKP_ERR_ARGUMENT,
        "selector: this kind compares tokens and needs inputs; wanted "
        "tkp_selector_run_on()");
    TKP__TRY(tkp__features_run(
        &s->features, exec, in->inputs, workspace, &x, &rows));
    TKP__TRY(tkp__segments_run(
        s->state, exec, &x, &rows, workspace,
        tkp__ledger_at(workspace, s->ops_at), s->ops_bytes, &of));
    TKP__TRY(list_frames(s, in->member, &f));
    TKP__TRY(share_segments(s, of, in->member, &f));
    return run_peaks(s, exec, &x, &rows, in->member, &f, workspace, dst);
}

static void anchors_release(tkp_selector *s)
{
    if (s->state)
        tkp__segments_release(s->state);
    tkp__free(s->state);
}

const tkp__selector_kind tkp__select_anchors = {
    .plan = anchors_plan,
    .bind = anchors_bind,
    .run = anchors_run,
    .release = anchors_release,
};
