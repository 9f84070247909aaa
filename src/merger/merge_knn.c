/*
 * Rows with the scores as weights. knn: each kept token takes in the dropped
 * ones that are most like it; a dropped one may go to several. bag: the tokens
 * of one part of a chain (or of selector outliers' spare seat) become the sum of
 * all that was dropped, themselves included (PruMerge).
 */
#include <math.h>

#include "merger/merger.h"
#include "util/carve.h"

enum { OP_NEIGHBOURS, OP_COMBINE };
enum { AT_TABLES };

/* What a run writes, in its workspace. K kept, N candidates, T neighbours. */
typedef struct tables {
    int32_t *group;       /* [N] */
    int32_t *member;      /* [N] dropped ones, group after group */
    int32_t *member_ends; /* [N + 1] */
    int32_t *anchor;      /* [K] who takes in neighbours */
    int32_t *anchor_ends; /* [N + 1] */
    int32_t *place;       /* [K] of each anchor in `kept` */
    int32_t *near;        /* [K, T] */
    float *own;           /* [K] */
    int32_t *ends;        /* [K + 1] */
    int32_t *bag;         /* [N] entry of `kept` of each group's; -1 = none */
    int32_t *list;        /* [K T + 2 N] */
    float *weight;        /* the same */
} tables;

static int64_t neighbours_of(const tkp_merger *m)
{
    return m->spec.options.kind == TKP_MERGER_KNN ? m->spec.options.neighbours
                                                  : 0;
}

static void carve_tables(tables *t, tkp__carver *c, int64_t n, int64_t near)
{
    t->group = tkp__carve(c, n, sizeof(int32_t));
    t->member = tkp__carve(c, n, sizeof(int32_t));
    t->member_ends = tkp__carve(c, n + 1, sizeof(int32_t));
    t->anchor = tkp__carve(c, n, sizeof(int32_t));
    t->anchor_ends = tkp__carve(c, n + 1, sizeof(int32_t));
    t->place = tkp__carve(c, n, sizeof(int32_t));
    t->near = tkp__carve(c, n * near, sizeof(int32_t));
    t->own = tkp__carve(c, n, sizeof(float));
    t->ends = tkp__carve(c, n + 1, sizeof(int32_t));
    t->bag = tkp__carve(c, n, sizeof(int32_t));
    t->list = tkp__carve(c, n * near + 2 * n, sizeof(int32_t));
    t->weight = tkp__carve(c, n * near + 2 * n, sizeof(float));
}

static tkp_status knn_plan(tkp_merger *m, tkp_ledger *ledger)
{
    const tkp_layout *layout = m->selector->batch->layout;
    const int64_t n = layout->visual, near = neighbours_of(m);
    const tkp_op_nearest params = {
        .struct_size = sizeof(params),
        .measure = m->spec.options.measure,
    };
    tkp__carver c = {NULL, 0};
    tkp_tensor args[8];
    tables t;
    m->memory = tkp__alloc((size_t)n + 1, sizeof(int32_t)); /* spans */
    if (!m->memory)
        return TKP_ERR_MEMORY;
    carve_tables(&t, &c, n, near);
    TKP__TRY(tkp__ledger_book(ledger, c.bytes, &m->at[AT_TABLES]));
    if (near) {
        m->has_features = true;
        TKP__TRY(tkp__features_plan(
            &m->features, m->context, m->selector->batch, &m->model,
            m->spec.options.feature, 0.0f, 0, ledger));
        const tkp__features *f = &m->features;
        tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
        for (int32_t i = 1; i < 6; i++)
            tkp_tensor_make_1d(
                &args[i], NULL, TKP_DTYPE_I32, i == 2 || i == 5 ? n + 1 : n);
        tkp_tensor_make_2d(&args[6], NULL, TKP_DTYPE_I32, n, near);
        TKP__TRY(tkp__merger_op(
            m, &m->ops[OP_NEIGHBOURS], TKP_OP_NEIGHBOURS, args, 7, &params));
    }
    tkp_tensor_make_2d(
        &args[0], NULL, m->model.dtype, layout->rows, m->model.hidden);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n * near + 2 * n);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n * near + 2 * n);
    tkp_tensor_make_2d(&args[7], NULL, m->model.dtype, n, m->model.hidden);
    return tkp__merger_op(
        m, &m->ops[OP_COMBINE], TKP_OP_COMBINE_ROWS, args, 8, NULL);
}

/* --- running ------------------------------------------------------------------ */

typedef struct run {
    const tkp_merger *m;
    const tkp_inputs *in;
    const tkp__merging *out;
    const float *scores;
    const int32_t *kept, *roles;
    int32_t k;
    int32_t groups;
    const int32_t *span; /* of the groups' candidates */
    tables t;
} run;

static bool protected(const run *r, int32_t candidate)
{
    return r->m->selector->batch->candidate_kept[candidate] != 0;
}

/* Of the part that takes in what was dropped: the first of a group does. */
static bool is_bag(const run *r, int32_t j)
{
    return r->m->spec.options.bag && r->roles &&
           r->roles[j] == r->m->spec.options.bag && !protected(r, r->kept[j]);
}

/* Dropped candidates of each group. */
static void list_dropped(const run *r)
{
    const tables *t = &r->t;
    int32_t count = 0, next = 0;
    t->member_ends[0] = 0;
    for (int32_t g = 0; g < r->groups; g++) {
        for (int32_t i = r->span[g]; i < r->span[g + 1]; i++) {
            t->group[i] = g;
            if (next < r->k && r->kept[next] == i)
                next++;
            else
                t->member[count++] = i;
        }
        t->member_ends[g + 1] = count;
    }
}

/* Kept ones that take neighbours in, by group; how many. */
static int32_t list_anchors(const run *r)
{
    const tables *t = &r->t;
    int32_t count = 0, group = 0;
    t->anchor_ends[0] = 0;
    for (int32_t g = 0; g < r->groups; g++)
        t->bag[g] = -1;
    for (int32_t j = 0; j < r->k; j++) {
        int32_t *bag = &t->bag[t->group[r->kept[j]]];
        if (is_bag(r, j) && *bag < 0)
            *bag = j;
        if (protected(r, r->kept[j]) || is_bag(r, j))
            continue;
        while (group < t->group[r->kept[j]])
            t->anchor_ends[++group] = count;
        t->place[count] = j;
        t->anchor[count++] = r->kept[j];
    }
    while (group < r->groups)
        t->anchor_ends[++group] = count;
    return count;
}

static tkp_status
find_neighbours(const run *r, tkp_exec *exec, void *workspace, int32_t anchors)
{
    const tkp_merger *m = r->m;
    const tables *t = &r->t;
    tkp_tensor args[7];
    TKP__TRY(tkp__features_run(
        &m->features, exec, r->in, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(&args[2], t->member_ends, TKP_DTYPE_I32, r->groups + 1);
    tkp_tensor_make_1d(
        &args[3], t->member, TKP_DTYPE_I32, t->member_ends[r->groups]);
    tkp_tensor_make_1d(&args[4], t->anchor, TKP_DTYPE_I32, anchors);
    tkp_tensor_make_1d(&args[5], t->anchor_ends, TKP_DTYPE_I32, r->groups + 1);
    tkp_tensor_make_2d(
        &args[6], t->near, TKP_DTYPE_I32, anchors, neighbours_of(m));
    return tkp__merger_run_op(
        m, m->ops[OP_NEIGHBOURS], exec, args, 7, workspace);
}

/* The weights of a list, and that of its own row, by the rule. */
static float
weigh(const run *r, int32_t first, int32_t end, float own, bool bag)
{
    const tkp_merger_options *o = &r->m->spec.options;
    double sum = 0.0, scale = 1.0;
    for (int32_t e = first; e < end; e++) {
        r->t.weight[e] = r->scores[r->t.list[e]];
        sum += (double)r->t.weight[e];
    }
    double share = bag ? 0.0 : 1.0;
    if (first == end || (o->rule != TKP_MERGE_SUM && sum == 0.0))
        return 1.0f;
    if (o->rule == TKP_MERGE_MEAN) {
        const double anchor = bag ? 0.0 : (double)o->anchor * (double)own;
        share = anchor / (anchor + sum);
        scale = 1.0 / (anchor + sum);
    } else if (o->rule == TKP_MERGE_ADD) {
        scale = 1.0 / sum;
    } else if (o->rule == TKP_MERGE_BLEND) {
        share = bag ? 0.0 : (double)o->beta;
        scale = (1.0 - share) / sum;
    }
    for (int32_t e = first; e < end; e++)
        r->t.weight[e] = (float)((double)r->t.weight[e] * scale);
    return (float)share;
}

/* What goes into each kept row, and where each dropped one went: to the bag of
 * its group, else to the first that takes it in. */
static void fill_lists(const run *r)
{
    const tables *t = &r->t;
    const int64_t near = neighbours_of(r->m);
    int32_t at = 0, anchor = 0;
    t->ends[0] = 0;
    for (int32_t j = 0; j < r->k; j++) {
        const int32_t g = t->group[r->kept[j]], first = at;
        const bool bag = t->bag[g] == j;
        if (bag) {
            t->list[at++] = r->kept[j];
            for (int32_t m = t->member_ends[g]; m < t->member_ends[g + 1];
                 m++) {
                t->list[at++] = t->member[m];
                r->out->assignment[t->member[m]] = j;
            }
        } else if (near && !protected(r, r->kept[j]) && !is_bag(r, j)) {
            const int32_t *list = t->near + anchor++ * near;
            for (int64_t i = 0; i < near && list[i] >= 0; i++) {
                t->list[at++] = list[i];
                if (r->out->assignment[list[i]] < 0)
                    r->out->assignment[list[i]] = j;
            }
        }
        t->own[j] = weigh(r, first, at, r->scores[r->kept[j]], bag);
        t->ends[j + 1] = at;
        r->out->sizes[j] = (float)(at - first + !bag);
        r->out->assignment[r->kept[j]] = j;
    }
}

static tkp_status knn_run(
    const tkp_merger *m,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp__merging *out)
{
    const tkp__batch *batch = m->selector->batch;
    tkp__carver c = {tkp__ledger_at(workspace, m->at[AT_TABLES]), 0};
    run r = {
        .m = m,
        .in = in,
        .out = out,
        .kept = tkp__data(out->kept),
        .roles = in->roles ? tkp__data(in->roles) : NULL,
        .k = (int32_t)out->kept->shape[0],
        .span = m->memory,
    };
    TKP__CHECK(
        in->token_scores, TKP_ERR_ARGUMENT,
        "inputs: token_scores is NULL; this merger weighs by them");
    r.scores = tkp__data(in->token_scores);
    for (int64_t i = 0; i < batch->candidates; i++) {
        TKP__CHECK(
            isfinite(r.scores[i]), TKP_ERR_DATA,
            "token_scores: entry %lld is not finite", (long long)i);
        out->assignment[i] = -1;
    }
    while (r.span[r.groups] < batch->candidates)
        r.groups++;
    carve_tables(&r.t, &c, batch->layout->visual, neighbours_of(m));
    list_dropped(&r);
    const int32_t anchors = list_anchors(&r);
    if (neighbours_of(m))
        TKP__TRY(find_neighbours(&r, exec, workspace, anchors));
    fill_lists(&r);
    tkp_tensor args[8] = {
        [0] = *in->hidden, [2] = *out->kept, [7] = *out->rows};
    tkp_tensor_make_1d(
        &args[1], batch->candidate_rows, TKP_DTYPE_I32, batch->candidates);
    tkp_tensor_make_1d(&args[3], r.t.own, TKP_DTYPE_F32, r.k);
    tkp_tensor_make_1d(&args[4], r.t.ends, TKP_DTYPE_I32, r.k + 1);
    tkp_tensor_make_1d(&args[5], r.t.list, TKP_DTYPE_I32, r.t.ends[r.k]);
    tkp_tensor_make_1d(&args[6], r.t.weight, TKP_DTYPE_F32, r.t.ends[r.k]);
    return tkp__merger_run_op(m, m->ops[OP_COMBINE], exec, args, 8, workspace);
}

static tkp_status knn_bind(tkp_merger *m)
{
    tkp__batch_spans(m->selector->batch, m->selector->budget.scope, m->memory);
    return TKP_OK;
}

const tkp__merger_kind tkp__merge_knn = {
    .plan = knn_plan,
    .bind = knn_bind,
    .run = knn_run,
};
