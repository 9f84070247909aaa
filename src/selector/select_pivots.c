/*
 * Pivots, and the tokens least like them (DART): of each group the visual
 * tokens of largest L1 norm and the text tokens of largest L1 norm are pivots;
 * the visual ones stay, and each pivot brings in the tokens that duplicate it
 * least. Norms may be of other rows (keys) than the likeness is measured on.
 *
 * Entries are the candidates, followed by the text rows of every sequence. One
 * top-k over two groups for each group of candidates, its members and its text,
 * gives all pivots in the order in which they are visited.
 */
#include "selector/selector.h"
#include "util/carve.h"

enum { OP_NORM, OP_TOPK, OP_PIVOTS };
enum { AT_NORMS, AT_LIST };

typedef struct pivots {
    tkp__features norms; /* rows whose norm counts */
    bool has_norms;      /* else those of the selector's features */
    int64_t most_text;
    int64_t text;         /* text rows there are now */
    int32_t *text_rows;   /* [text] packed rows, by sequence */
    int32_t *text_first;  /* [B + 1] */
    int32_t most_pivots;  /* of all groups */
    int32_t *member;      /* [N + M text] entries: members, text, members ... */
    int32_t *offsets;     /* [2 M + 1] */
    int32_t *keep;        /* [2 M] */
    int32_t *out_offsets; /* [2 M + 1] */
    int32_t *ends;        /* [M + 1] pivots of each group */
} pivots;

static int32_t wanted(int32_t option)
{
    return option == 0 ? 4 : option < 0 ? 0 : option;
}

/* --- planning ---------------------------------------------------------------- */

/* Groups are sequences, or units of the budget's scope, which bring their
 * sequence's text each. */
static int64_t most_groups(const tkp_selector *s)
{
    return tkp__layout_groups(s->batch->layout, s->budget.scope);
}

static int64_t listed_text(const tkp_selector *selector)
{
    const tkp_layout *layout = selector->batch->layout;
    const int32_t scope = selector->budget.scope;
    int64_t text = 0;
    for (int32_t b = 0; b < layout->n_sequences; b++) {
        const tkp__layout_sequence *s = &layout->sequences[b];
        int64_t groups = 1;
        for (int32_t i = 0; i < layout->n_images; i++)
            if (layout->images[i].sequence == b)
                groups +=
                    scope == TKP_SCOPE_FRAME ? layout->images[i].frames : 1;
        text += groups * (s->text_end - s->text_begin);
    }
    return text;
}

static int64_t all_text(const tkp_layout *layout)
{
    int64_t text = 0;
    for (int32_t b = 0; b < layout->n_sequences; b++)
        text += layout->sequences[b].text_end - layout->sequences[b].text_begin;
    return text;
}

static void carve_pivots(const tkp_selector *s, pivots *p, tkp__carver *c)
{
    const tkp_layout *layout = s->batch->layout;
    const int64_t m = most_groups(s);
    p->text_rows = tkp__carve(c, p->most_text, sizeof(int32_t));
    p->text_first = tkp__carve(c, layout->n_sequences + 1, sizeof(int32_t));
    p->member = tkp__carve(c, layout->visual + listed_text(s), sizeof(int32_t));
    p->offsets = tkp__carve(c, 2 * m + 1, sizeof(int32_t));
    p->keep = tkp__carve(c, 2 * m, sizeof(int32_t));
    p->out_offsets = tkp__carve(c, 2 * m + 1, sizeof(int32_t));
    p->ends = tkp__carve(c, m + 1, sizeof(int32_t));
}

static tkp_status plan_norm(tkp_selector *s, const tkp__features *f, int64_t n)
{
    const tkp_op_row_norm params = {
        .struct_size = sizeof(params),
        .norm = TKP_NORM_L1,
    };
    tkp_tensor args[3];
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_F32, n);
    return tkp__selector_op(
        s, &s->ops[OP_NORM], TKP_OP_ROW_NORM, args, 3, &params);
}

static tkp_status plan_order(tkp_selector *s, const pivots *p, int64_t n)
{
    const tkp_layout *layout = s->batch->layout;
    const int64_t m = most_groups(s);
    const tkp_op_topk params = {
        .struct_size = sizeof(params),
        .order = TKP_ORDER_HIGHEST,
        .sorted_by_score = 1,
    };
    tkp_tensor args[6];
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, 2 * m + 1);
    tkp_tensor_make_1d(
        &args[2], NULL, TKP_DTYPE_I32, layout->visual + listed_text(s));
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, 2 * m);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, 2 * m + 1);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, p->most_pivots);
    return tkp__selector_op(s, &s->ops[OP_TOPK], TKP_OP_TOPK, args, 6, &params);
}

static tkp_status plan_choice(tkp_selector *s, const pivots *p, int64_t n)
{
    const tkp__features *f = &s->features;
    const int64_t visual = s->batch->layout->visual;
    const int64_t m = most_groups(s);
    const tkp_op_pivots params = {
        .struct_size = sizeof(params),
        .per_pivot = s->spec.options.per_pivot,
    };
    tkp_tensor args[9];
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, m + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, visual);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, m);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, m + 1);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_I32, m + 1);
    tkp_tensor_make_1d(&args[7], NULL, TKP_DTYPE_I32, p->most_pivots);
    tkp_tensor_make_1d(&args[8], NULL, TKP_DTYPE_I32, visual);
    return tkp__selector_op(
        s, &s->ops[OP_PIVOTS], TKP_OP_PIVOTS, args, 9, &params);
}

static tkp_status plan_features(tkp_selector *s, pivots *p, tkp_ledger *ledger)
{
    const tkp_selector_options *o = &s->spec.options;
    TKP__CHECK(
        s->has_model, TKP_ERR_ARGUMENT,
        "selector: pivots compare tokens and need the model's shapes; wanted "
        "tkp_selector_create_for()");
    TKP__TRY(tkp__features_plan(
        &s->features, s->context, s->batch, &s->model, o->feature, 0.0f,
        p->most_text, ledger));
    p->has_norms = o->pivot_feature != o->feature;
    if (!p->has_norms)
        return TKP_OK;
    return tkp__features_plan(
        &p->norms, s->context, s->batch, &s->model, o->pivot_feature, 0.0f,
        p->most_text, ledger);
}

static tkp_status pivots_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const tkp_layout *layout = s->batch->layout;
    const tkp_selector_options *o = &s->spec.options;
    pivots *p = tkp__zalloc(1, sizeof(*p));
    if (!p)
        return TKP_ERR_MEMORY;
    s->state = p;
    p->most_text = wanted(o->pivots_text) ? all_text(layout) : 0;
    const int64_t n = layout->visual + p->most_text;
    const int64_t most = most_groups(s) * ((int64_t)wanted(o->pivots_visual) +
                                           wanted(o->pivots_text));
    const int64_t there = layout->visual + listed_text(s);
    p->most_pivots = (int32_t)(most < there ? most : there);
    tkp__carver c = {NULL, 0};
    carve_pivots(s, p, &c);
    c = (tkp__carver){tkp__alloc(1, c.bytes), 0};
    if (!c.base)
        return TKP_ERR_MEMORY;
    carve_pivots(s, p, &c);
    TKP__TRY(plan_features(s, p, ledger));
    TKP__TRY(plan_norm(s, p->has_norms ? &p->norms : &s->features, n));
    TKP__TRY(plan_order(s, p, n));
    TKP__TRY(plan_choice(s, p, n));
    TKP__TRY(tkp__ledger_book(
        ledger, (uint64_t)n * sizeof(float), &s->at[AT_NORMS]));
    return tkp__ledger_book(
        ledger, (uint64_t)p->most_pivots * sizeof(int32_t), &s->at[AT_LIST]);
}

static void pivots_release(tkp_selector *s)
{
    pivots *p = s->state;
    if (!p)
        return;
    tkp__features_release(&p->norms);
    tkp__free(p->text_rows); /* the block they all lie in */
    tkp__free(p);
}

/* --- binding ----------------------------------------------------------------- */

static void list_text(const tkp_selector *s, pivots *p)
{
    p->text = 0;
    p->text_first[0] = 0;
    for (int32_t b = 0; b < s->batch->sequences; b++) {
        if (p->most_text)
            p->text +=
                tkp__batch_text_rows(s->batch, b, p->text_rows + p->text);
        p->text_first[b + 1] = (int32_t)p->text;
    }
}

static int32_t at_most(int32_t wish, int32_t n)
{
    return wish < n ? wish : n;
}

static tkp_status list_groups(const tkp_selector *s, pivots *p)
{
    const tkp__groups *g = &s->groups;
    const tkp_selector_options *o = &s->spec.options;
    const int32_t candidates = (int32_t)s->batch->candidates;
    int32_t at = 0;
    p->offsets[0] = p->out_offsets[0] = p->ends[0] = 0;
    for (int32_t b = 0; b < s->batch->sequences; b++)
        for (int32_t i = g->first[b]; i < g->first[b + 1]; i++) {
            const int32_t n = g->offsets[i + 1] - g->offsets[i];
            const int32_t t = p->text_first[b + 1] - p->text_first[b];
            memcpy(
                p->member + at, g->member + g->offsets[i],
                (size_t)n * sizeof(int32_t));
            p->offsets[2 * i + 1] = at += n;
            for (int32_t k = 0; k < t; k++)
                p->member[at++] = candidates + p->text_first[b] + k;
            p->offsets[2 * i + 2] = at;
            p->keep[2 * i] =
                g->keep[i]
                    ? at_most(wanted(o->pivots_visual), at_most(n, g->keep[i]))
                    : 0;
            p->keep[2 * i + 1] =
                g->keep[i] ? at_most(wanted(o->pivots_text), t) : 0;
            p->out_offsets[2 * i + 1] = p->out_offsets[2 * i] + p->keep[2 * i];
            p->out_offsets[2 * i + 2] =
                p->out_offsets[2 * i + 1] + p->keep[2 * i + 1];
            p->ends[i + 1] = p->out_offsets[2 * i + 2];
            TKP__CHECK(
                p->ends[i + 1] > p->ends[i] || !g->keep[i], TKP_ERR_OPTION,
                "selector: no pivot for the %d tokens to be kept; there is no "
                "text behind the last image, wanted visual pivots",
                g->keep[i]);
        }
    return TKP_OK;
}

static tkp_status pivots_bind(tkp_selector *s)
{
    pivots *p = s->state;
    list_text(s, p);
    tkp__features_bind(&s->features, p->text_rows, p->text);
    if (p->has_norms)
        tkp__features_bind(&p->norms, p->text_rows, p->text);
    return list_groups(s, p);
}

/* --- running ----------------------------------------------------------------- */

static tkp_status order_by_norm(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *list)
{
    const pivots *p = s->state;
    const tkp__features *f = p->has_norms ? &p->norms : &s->features;
    const int64_t n = s->batch->candidates + p->text;
    const int32_t groups = 2 * s->groups.count;
    tkp_tensor args[6];
    TKP__TRY(
        tkp__features_run(f, exec, in->inputs, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(
        &args[2], tkp__ledger_at(workspace, s->at[AT_NORMS]), TKP_DTYPE_F32, n);
    TKP__TRY(
        tkp__selector_run_op(s, s->ops[OP_NORM], exec, args, 3, workspace));
    args[0] = args[2];
    tkp_tensor_make_1d(&args[1], p->offsets, TKP_DTYPE_I32, groups + 1);
    tkp_tensor_make_1d(&args[2], p->member, TKP_DTYPE_I32, p->offsets[groups]);
    tkp_tensor_make_1d(&args[3], p->keep, TKP_DTYPE_I32, groups);
    tkp_tensor_make_1d(&args[4], p->out_offsets, TKP_DTYPE_I32, groups + 1);
    args[5] = *list;
    return tkp__selector_run_op(s, s->ops[OP_TOPK], exec, args, 6, workspace);
}

/* Packed rows, as the caller names pivots, to entries. */
static tkp_status order_given(
    const tkp_selector *s,
    const tkp_tensor *given,
    const tkp_tensor *list)
{
    const pivots *p = s->state;
    const tkp__batch *batch = s->batch;
    TKP__TRY(tkp__check_view(given, "inputs: pivot_order", false));
    TKP__CHECK(
        s->groups.count == 1, TKP_ERR_ARGUMENT,
        "inputs: pivot_order is for one group, there are %d", s->groups.count);
    TKP__CHECK(
        given->ndim == 1 && given->dtype == TKP_DTYPE_I32 &&
            given->shape[0] == list->shape[0],
        TKP_ERR_SHAPE,
        "inputs: pivot_order: wanted an i32 vector of the %lld "
        "pivots",
        (long long)list->shape[0]);
    int32_t *to = tkp__data(list);
    const int32_t *rows = tkp__data(given);
    for (int64_t i = 0; i < given->shape[0]; i++) {
        to[i] = -1;
        for (int64_t n = 0; n < batch->candidates; n++)
            if (batch->candidate_rows[n] == rows[i])
                to[i] = (int32_t)n;
        for (int64_t t = 0; t < p->text; t++)
            if (p->text_rows[t] == rows[i])
                to[i] = (int32_t)(batch->candidates + t);
        TKP__CHECK(
            to[i] >= 0, TKP_ERR_ARGUMENT,
            "inputs: pivot_order: entry %lld is row %d, wanted a visual or a "
            "text token",
            (long long)i, rows[i]);
    }
    return TKP_OK;
}

static tkp_status pivots_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const pivots *p = s->state;
    const tkp__groups *g = &s->groups;
    const tkp_tensor *given = in->inputs->pivot_order;
    tkp_tensor list;
    tkp_tensor_make_1d(
        &list, tkp__ledger_at(workspace, s->at[AT_LIST]), TKP_DTYPE_I32,
        p->ends[g->count]);
    TKP__TRY(
        given ? order_given(s, given, &list)
              : order_by_norm(s, exec, in, workspace, &list));
    tkp_tensor args[9];
    TKP__TRY(tkp__features_run(
        &s->features, exec, in->inputs, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(&args[2], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(
        &args[3], (void *)(uintptr_t)in->member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[4], g->keep, TKP_DTYPE_I32, g->count);
    tkp_tensor_make_1d(&args[5], g->kept_offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[6], p->ends, TKP_DTYPE_I32, g->count + 1);
    args[7] = list;
    args[8] = *dst;
    return tkp__selector_run_op(s, s->ops[OP_PIVOTS], exec, args, 9, workspace);
}

const tkp__selector_kind tkp__select_pivots = {
    .plan = pivots_plan,
    .bind = pivots_bind,
    .run = pivots_run,
    .release = pivots_release,
};
