/*
 * Bipartite matching (ToMe): of every second token those go that are most like
 * one of the others. K are left, exactly; half of a group may go at most.
 */
#include "selector/bipartite.h"

#include "util/carve.h"

enum { OP_MATCH, OP_TOP };
enum { AT_TABLES };

/* M groups, N candidates; by group. */
typedef struct sides {
    uint8_t *second; /* [N] may be joined */
    uint8_t *odd;    /* [N] of the second side, protected or not */
    int32_t *place;  /* [N] in the unit */
    int32_t *at;     /* [N] scratch: candidate by turn */
    int32_t *first_ends, *first_list;
    int32_t *second_ends, *second_list;
    int32_t *gone, *gone_ends; /* how many go */
} sides;

/* What a run fills in. */
typedef struct tables {
    int32_t *match;  /* [N] entry of second_list */
    float *likeness; /* [N] to that one */
    int32_t *gone;   /* candidates that go */
    uint8_t *marked; /* [N] */
} tables;

static void carve_sides(sides *t, tkp__carver *c, int64_t n)
{
    t->second = tkp__carve(c, n, sizeof(uint8_t));
    t->odd = tkp__carve(c, n, sizeof(uint8_t));
    t->place = tkp__carve(c, n, sizeof(int32_t));
    t->at = tkp__carve(c, n, sizeof(int32_t));
    t->first_ends = tkp__carve(c, n + 1, sizeof(int32_t));
    t->first_list = tkp__carve(c, n, sizeof(int32_t));
    t->second_ends = tkp__carve(c, n + 1, sizeof(int32_t));
    t->second_list = tkp__carve(c, n, sizeof(int32_t));
    t->gone = tkp__carve(c, n, sizeof(int32_t));
    t->gone_ends = tkp__carve(c, n + 1, sizeof(int32_t));
}

static void carve_tables(tables *t, tkp__carver *c, int64_t n)
{
    t->match = tkp__carve(c, n, sizeof(int32_t));
    t->likeness = tkp__carve(c, n, sizeof(float));
    t->gone = tkp__carve(c, n, sizeof(int32_t));
    t->marked = tkp__carve(c, n, sizeof(uint8_t));
}

static tkp_status plan_ops(tkp_selector *s)
{
    const int64_t n = s->batch->layout->visual;
    const tkp__features *f = &s->features;
    const tkp_op_nearest match = {
        .struct_size = sizeof(match),
        .measure = TKP_GREEDY_COSINE,
    };
    const tkp_op_topk top = {
        .struct_size = sizeof(top),
        .order = TKP_ORDER_HIGHEST,
    };
    tkp_tensor args[8] = {0};
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    for (int32_t i = 1; i < 7; i++)
        tkp_tensor_make_1d(
            &args[i], NULL, TKP_DTYPE_I32, i == 2 || i == 5 ? n + 1 : n);
    tkp_tensor_make_1d(&args[7], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__selector_op(
        s, &s->ops[OP_MATCH], TKP_OP_NEAREST, args, 8, &match));
    args[0] = args[7];
    for (int32_t i = 1; i < 6; i++)
        tkp_tensor_make_1d(
            &args[i], NULL, TKP_DTYPE_I32, i == 1 || i == 4 ? n + 1 : n);
    return tkp__selector_op(s, &s->ops[OP_TOP], TKP_OP_TOPK, args, 6, &top);
}

static tkp_status bipartite_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    tkp__carver c = {NULL, 0};
    sides shape;
    tables table;
    carve_sides(&shape, &c, n);
    const uint64_t head =
        tkp__align_up(sizeof(sides), TKP__WORKSPACE_ALIGNMENT);
    char *memory = tkp__alloc(1, head + c.bytes);
    if (!memory)
        return TKP_ERR_MEMORY;
    s->state = memory;
    c = (tkp__carver){memory + head, 0};
    carve_sides(s->state, &c, n);
    TKP__TRY(tkp__selector_features(s, ledger));
    c = (tkp__carver){NULL, 0};
    carve_tables(&table, &c, n);
    TKP__TRY(tkp__ledger_book(ledger, c.bytes, &s->at[AT_TABLES]));
    return plan_ops(s);
}

/* Candidates of the unit that n is of, protected or not. */
static void
find_unit(const tkp_selector *s, int32_t n, int32_t *first, int32_t *end)
{
    const tkp__batch *batch = s->batch;
    const int32_t scope = s->budget.scope;
    int32_t b = 0;
    while (batch->candidate_offsets[b + 1] <= n)
        b++;
    *first = batch->candidate_offsets[b];
    *end = batch->candidate_offsets[b + 1];
    if (scope == TKP_SCOPE_SEQUENCE)
        return;
    const int32_t unit = tkp__batch_unit(batch, scope, n);
    while (tkp__batch_unit(batch, scope, *first) != unit)
        ++*first;
    while (tkp__batch_unit(batch, scope, *end - 1) != unit)
        --*end;
}

/* The places of a unit's candidates: by their turns. */
static void
list_places(const tkp_selector *s, sides *t, int32_t first, int32_t end)
{
    const int32_t *turns = s->batch->candidate_turns;
    int32_t low = INT32_MAX, high = 0, place = 0;
    for (int32_t i = first; i < end; i++) {
        low = turns[i] < low ? turns[i] : low;
        high = turns[i] > high ? turns[i] : high;
    }
    for (int32_t turn = low; turn <= high; turn++)
        t->at[turn] = -1;
    for (int32_t i = first; i < end; i++)
        t->at[turns[i]] = i;
    for (int32_t turn = low; turn <= high; turn++)
        if (t->at[turn] >= 0)
            t->place[t->at[turn]] = place++;
}

/* Places count from the first of the unit, protected ones too; a class token
 * that is no candidate stands before it. */
static void deal_out(const tkp_selector *s, sides *t, int32_t g)
{
    const tkp__groups *groups = &s->groups;
    int32_t a = t->first_ends[g], b = t->second_ends[g];
    const int32_t before = s->spec.options.class_token;
    int32_t begin, end;
    find_unit(s, groups->member[groups->offsets[g]], &begin, &end);
    list_places(s, t, begin, end);
    for (int32_t n = begin; n < end; n++)
        t->odd[n] = (t->place[n] + before) % 2 == 1;
    for (int32_t m = groups->offsets[g]; m < groups->offsets[g + 1]; m++) {
        const int32_t n = groups->member[m];
        t->second[n] = t->odd[n];
        if (t->second[n])
            t->second_list[b++] = n;
        else
            t->first_list[a++] = n;
    }
    t->first_ends[g + 1] = a;
    t->second_ends[g + 1] = b;
}

static tkp_status bipartite_bind(tkp_selector *s)
{
    sides *t = s->state;
    const tkp__groups *g = &s->groups;
    t->first_ends[0] = t->second_ends[0] = t->gone_ends[0] = 0;
    memset(t->second, 0, (size_t)s->batch->candidates);
    memset(t->odd, 0, (size_t)s->batch->candidates);
    for (int32_t i = 0; i < g->count; i++) {
        const int32_t size = g->offsets[i + 1] - g->offsets[i];
        deal_out(s, t, i);
        const int32_t first = t->first_ends[i + 1] - t->first_ends[i];
        const int32_t most = first < size / 2 ? first : size / 2;
        t->gone[i] = size - g->keep[i];
        TKP__CHECK(
            t->gone[i] <= most, TKP_ERR_OPTION,
            "selector: %d of %d tokens are kept; one matching removes half at "
            "most, wanted %d",
            g->keep[i], size, size - most);
        t->gone_ends[i + 1] = t->gone_ends[i] + t->gone[i];
    }
    return TKP_OK;
}

bool tkp__bipartite_joined(const tkp_selector *s, int32_t n)
{
    const sides *t = s->state;
    return t->second[n];
}

const uint8_t *tkp__bipartite_second(const tkp_selector *s)
{
    const sides *t = s->state;
    return t->odd;
}

/* Who of the first sides is most like one of the second. */
static tkp_status find_gone(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tables *to)
{
    const sides *t = s->state;
    const int32_t groups = s->groups.count;
    const int64_t n = s->batch->candidates;
    tkp_tensor args[8];
    TKP__TRY(tkp__features_run(
        &s->features, exec, in->inputs, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(&args[2], t->first_ends, TKP_DTYPE_I32, groups + 1);
    tkp_tensor_make_1d(
        &args[3], t->first_list, TKP_DTYPE_I32, t->first_ends[groups]);
    tkp_tensor_make_1d(
        &args[4], t->second_list, TKP_DTYPE_I32, t->second_ends[groups]);
    tkp_tensor_make_1d(&args[5], t->second_ends, TKP_DTYPE_I32, groups + 1);
    tkp_tensor_make_1d(&args[6], to->match, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[7], to->likeness, TKP_DTYPE_F32, n);
    TKP__TRY(
        tkp__selector_run_op(s, s->ops[OP_MATCH], exec, args, 8, workspace));
    args[0] = args[7];
    tkp_tensor_make_1d(&args[1], t->first_ends, TKP_DTYPE_I32, groups + 1);
    tkp_tensor_make_1d(
        &args[2], t->first_list, TKP_DTYPE_I32, t->first_ends[groups]);
    tkp_tensor_make_1d(&args[3], t->gone, TKP_DTYPE_I32, groups);
    tkp_tensor_make_1d(&args[4], t->gone_ends, TKP_DTYPE_I32, groups + 1);
    tkp_tensor_make_1d(&args[5], to->gone, TKP_DTYPE_I32, t->gone_ends[groups]);
    return tkp__selector_run_op(s, s->ops[OP_TOP], exec, args, 6, workspace);
}

static tkp_status bipartite_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const sides *t = s->state;
    const tkp__groups *g = &s->groups;
    int32_t *list = tkp__data(dst);
    tkp__carver c = {tkp__ledger_at(workspace, s->at[AT_TABLES]), 0};
    tables to;
    TKP__CHECK(
        in->inputs, TKP_ERR_ARGUMENT,
        "selector: this kind compares tokens and needs inputs; wanted "
        "tkp_selector_run_on()");
    carve_tables(&to, &c, s->batch->layout->visual);
    TKP__TRY(find_gone(s, exec, in, workspace, &to));
    memset(to.marked, 0, (size_t)s->batch->candidates);
    for (int32_t i = 0; i < t->gone_ends[g->count]; i++)
        to.marked[to.gone[i]] = 1;
    for (int32_t m = 0; m < g->members; m++)
        if (!to.marked[g->member[m]])
            *list++ = g->member[m];
    return TKP_OK;
}

static void bipartite_release(tkp_selector *s)
{
    tkp__free(s->state);
}

const tkp__selector_kind tkp__select_bipartite = {
    .ascending = true,
    .plan = bipartite_plan,
    .bind = bipartite_bind,
    .run = bipartite_run,
    .release = bipartite_release,
};
