/*
 * What only repeats in a window of frames of a video is one token for all of
 * them (HoliTom). What a group keeps is shared out, by their sizes, over the
 * dynamic tokens of each frame, of which the best by score stay, and the static
 * ones of each window, of which the peaks of density of their means do. What is
 * left over when all of these stay goes to the best of those that repeat.
 */
#include "features/static.h"
#include "selector/selector.h"

enum { OP_PEAKS };
enum { AT_SCORES, AT_PEAKS, AT_MEMBERS, AT_FIRST, AT_KEEP, AT_ENDS, AT_SHARES };

/* Lists of members, one after the other: dynamic or static ones of a frame,
 * those that repeat of a group. */
typedef struct lists {
    int32_t count, members;
    int32_t *member;        /* [N] */
    int32_t *first;         /* [count + 1] */
    int32_t *keep;          /* [count] */
    int32_t *ends;          /* [count + 1] prefix sums of keep */
    int64_t *limit, *share; /* scratch */
} lists;

static tkp_status plan_peaks(tkp_selector *s)
{
    const int64_t n = s->batch->layout->visual;
    const tkp_op_density_peaks params = {
        .struct_size = sizeof(params),
        .others = s->spec.options.others,
    };
    tkp_tensor args[7] = {0};
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_F32, n, s->features.width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__selector_op(
        s, &s->ops[OP_PEAKS], TKP_OP_DENSITY_PEAKS, args, 7, &params));
    return tkp__selector_plan_topk(s);
}

static tkp_status static_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const uint64_t n = (uint64_t)s->batch->layout->visual;
    tkp__static *state = tkp__zalloc(1, sizeof(*state));
    if (!state)
        return TKP_ERR_MEMORY;
    s->state = state;
    TKP__TRY(tkp__selector_features(s, ledger));
    TKP__TRY(tkp__static_plan(
        state, &s->features, s->spec.options.threshold, ledger, &s->ops_bytes));
    for (int32_t i = AT_SCORES; i <= AT_ENDS; i++)
        TKP__TRY(
            tkp__ledger_book(ledger, 2 * (n + 1) * sizeof(float), &s->at[i]));
    TKP__TRY(
        tkp__ledger_book(ledger, 2 * n * sizeof(int64_t), &s->at[AT_SHARES]));
    return plan_peaks(s);
}

static tkp_status static_bind(tkp_selector *s)
{
    tkp__static_bind(s->state);
    return TKP_OK;
}

/* Scores of what may be kept: the peaks' for heads. */
static tkp_status run_peaks(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__static_found *found,
    void *workspace,
    float *scores)
{
    float *density = tkp__ledger_at(workspace, s->at[AT_PEAKS]);
    float *peak = density + s->batch->candidates;
    int32_t *neighbours = tkp__ledger_at(workspace, s->at[AT_KEEP]);
    const int32_t most = s->spec.options.neighbours;
    if (found->heads == 0)
        return TKP_OK;
    for (int32_t g = 0; g < found->groups; g++) {
        const int32_t size = found->group_end[g + 1] - found->group_end[g];
        neighbours[g] = most > size ? size : most;
    }
    tkp_tensor args[7] = {[0] = found->means, [1] = found->order};
    tkp_tensor_make_1d(
        &args[2], (void *)found->group_end, TKP_DTYPE_I32, found->groups + 1);
    tkp_tensor_make_1d(&args[4], neighbours, TKP_DTYPE_I32, found->groups);
    tkp_tensor_make_1d(&args[5], density, TKP_DTYPE_F32, found->heads);
    tkp_tensor_make_1d(&args[6], peak, TKP_DTYPE_F32, found->heads);
    TKP__TRY(
        tkp__selector_run_op(s, s->ops[OP_PEAKS], exec, args, 7, workspace));
    for (int32_t h = 0; h < found->heads; h++)
        scores[found->list[h]] = peak[h];
    return TKP_OK;
}

enum { DYNAMIC, HEAD, REPEAT };

static int32_t sort_of(const tkp__static_found *found, int32_t i)
{
    return found->head[i] < 0 ? DYNAMIC : found->head[i] == i ? HEAD : REPEAT;
}

/* A list of those of one sort among members[from .. end). */
static void add_list(
    lists *l,
    const tkp__static_found *found,
    const int32_t *member,
    int32_t from,
    int32_t end,
    int32_t sort)
{
    const int32_t first = l->members;
    for (int32_t k = from; k < end; k++)
        if (sort_of(found, member[k]) == sort)
            l->member[l->members++] = member[k];
    if (l->members == first)
        return;
    l->first[l->count++] = first;
    l->first[l->count] = l->members;
}

static tkp_status list_group(
    const tkp_selector *s,
    const tkp__static_found *found,
    const int32_t *member,
    int32_t group,
    lists *l)
{
    const int32_t *frame_of = ((const tkp__static *)s->state)->in.frame_of;
    const int32_t begin = l->count;
    const int32_t stop = s->groups.offsets[group + 1];
    int64_t room = 0;
    for (int32_t k = s->groups.offsets[group], end; k < stop; k = end) {
        for (end = k; end < stop; end++)
            if (frame_of[member[end]] != frame_of[member[k]])
                break;
        add_list(l, found, member, k, end, DYNAMIC);
        add_list(l, found, member, k, end, HEAD);
    }
    const int32_t n = l->count - begin;
    for (int32_t i = 0; i < n; i++) {
        l->limit[i] = l->first[begin + i + 1] - l->first[begin + i];
        room += l->limit[i];
    }
    const int64_t keep = s->groups.keep[group];
    TKP__TRY(tkp__apportion(
        keep < room ? keep : room, n, l->limit, l->limit, l->share));
    for (int32_t i = 0; i < n; i++)
        l->keep[begin + i] = (int32_t)l->share[i];
    const int32_t before = l->count;
    add_list(l, found, member, s->groups.offsets[group], stop, REPEAT);
    if (l->count > before)
        l->keep[before] = (int32_t)(keep < room ? 0 : keep - room);
    return TKP_OK;
}

static tkp_status static_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const int64_t n = s->batch->candidates;
    float *scores = tkp__ledger_at(workspace, s->at[AT_SCORES]);
    int64_t *shares = tkp__ledger_at(workspace, s->at[AT_SHARES]);
    lists l = {
        .member = tkp__ledger_at(workspace, s->at[AT_MEMBERS]),
        .first = tkp__ledger_at(workspace, s->at[AT_FIRST]),
        .keep = tkp__ledger_at(workspace, s->at[AT_KEEP]),
        .ends = tkp__ledger_at(workspace, s->at[AT_ENDS]),
        .limit = shares,
        .share = shares + n,
    };
    tkp__static_found found;
    tkp_tensor args[6];
    if (s->groups.kept == 0)
        return TKP_OK;
    TKP__CHECK(
        in->inputs, TKP_ERR_ARGUMENT,
        "selector: this kind compares tokens and needs inputs; wanted "
        "tkp_selector_run_on()");
    TKP__TRY(tkp__features_run(
        &s->features, exec, in->inputs, workspace, &args[0], &args[1]));
    TKP__TRY(tkp__static_run(
        s->state, exec, &args[0], &args[1], workspace,
        tkp__ledger_at(workspace, s->ops_at), s->ops_bytes, &found));
    memcpy(scores, tkp__data(in->scores), (size_t)n * sizeof(*scores));
    TKP__TRY(run_peaks(s, exec, &found, workspace, scores));
    for (int32_t g = 0; g < s->groups.count; g++)
        TKP__TRY(list_group(s, &found, in->member, g, &l));
    l.ends[0] = 0;
    for (int32_t i = 0; i < l.count; i++)
        l.ends[i + 1] = l.ends[i] + l.keep[i];
    tkp_tensor_make_1d(&args[0], scores, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[1], l.first, TKP_DTYPE_I32, l.count + 1);
    tkp_tensor_make_1d(&args[2], l.member, TKP_DTYPE_I32, l.members);
    tkp_tensor_make_1d(&args[3], l.keep, TKP_DTYPE_I32, l.count);
    tkp_tensor_make_1d(&args[4], l.ends, TKP_DTYPE_I32, l.count + 1);
    args[5] = *dst;
    return tkp__selector_run_op(s, s->topk, exec, args, 6, workspace);
}

static void static_release(tkp_selector *s)
{
    if (s->state)
        tkp__static_release(s->state);
    tkp__free(s->state);
}

const tkp__selector_kind tkp__select_static = {
    .scores = true,
    .plan = static_plan,
    .bind = static_bind,
    .run = static_run,
    .release = static_release,
};
