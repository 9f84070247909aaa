/*
 * Windows of tokens that are alike become one token: the first stays, the others
 * go (MustDrop's spatial merging). Which windows, a threshold says of the mean
 * cosine of their pairs, and then the data decide how many tokens are left; or a
 * budget: the most alike first, of the last one as many tokens as it takes.
 */
#include "selector/selector.h"
#include "util/carve.h"

enum { OP_PAIRS };
enum { AT_TABLES };

typedef struct tables {
    int32_t *rows;   /* [N] row of each member of a window */
    float *likeness; /* [N] of each member to the others of its window */
    float *alike;    /* [W] their mean */
    int32_t *order;  /* [W] windows of a group, the most alike first */
    uint8_t *gone;   /* [N] */
} tables;

static void carve_tables(tables *t, tkp__carver *c, int64_t n)
{
    t->rows = tkp__carve(c, n, sizeof(int32_t));
    t->likeness = tkp__carve(c, n, sizeof(float));
    t->alike = tkp__carve(c, n, sizeof(float));
    t->order = tkp__carve(c, n, sizeof(int32_t));
    t->gone = tkp__carve(c, n, sizeof(uint8_t));
}

static tkp_status fold_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    const tkp_op_cosine_pairs params = {
        .struct_size = sizeof(params),
        .reduce = TKP_ROW_REDUCE_MEAN,
    };
    tkp__carver c = {NULL, 0};
    tables t;
    tkp_tensor args[4];
    TKP__TRY(tkp__selector_features(s, ledger));
    carve_tables(&t, &c, n);
    TKP__TRY(tkp__ledger_book(ledger, c.bytes, &s->at[AT_TABLES]));
    const tkp__features *f = &s->features;
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_F32, n);
    return tkp__selector_op(
        s, &s->ops[OP_PAIRS], TKP_OP_COSINE_PAIRS, args, 4, &params);
}

static int32_t window_size(const tkp_selector *s, int32_t w)
{
    return s->windows.offsets[w + 1] - s->windows.offsets[w];
}

static int32_t group_of(const tkp_selector *s, int32_t w)
{
    return s->groups.of[s->windows.member[s->windows.offsets[w]]];
}

/* One token of each window is the least that a budget may leave. */
static tkp_status fold_bind(tkp_selector *s)
{
    const tkp__groups *g = &s->groups;
    int32_t w = 0;
    for (int32_t i = 0; i < g->count; i++) {
        int32_t windows = 0;
        for (; w < s->windows.count && group_of(s, w) == i; w++)
            windows++;
        TKP__CHECK(
            s->adaptive || g->keep[i] >= windows, TKP_ERR_OPTION,
            "selector: %d tokens are kept of %d windows; wanted one of each at "
            "least",
            g->keep[i], windows);
    }
    return TKP_OK;
}

static tkp_status find_alike(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tables *t)
{
    const tkp__groups *w = &s->windows;
    tkp_tensor args[4], of;
    TKP__TRY(tkp__features_run(
        &s->features, exec, in->inputs, workspace, &args[0], &of));
    const int32_t *rows = tkp__data(&of);
    for (int32_t m = 0; m < w->members; m++)
        t->rows[m] = rows[w->member[m]];
    tkp_tensor_make_1d(&args[1], t->rows, TKP_DTYPE_I32, w->members);
    tkp_tensor_make_1d(&args[2], w->offsets, TKP_DTYPE_I32, w->count + 1);
    tkp_tensor_make_1d(&args[3], t->likeness, TKP_DTYPE_F32, w->members);
    TKP__TRY(
        tkp__selector_run_op(s, s->ops[OP_PAIRS], exec, args, 4, workspace));
    for (int32_t i = 0; i < w->count; i++) {
        double sum = 0.0;
        for (int32_t m = w->offsets[i]; m < w->offsets[i + 1]; m++)
            sum += (double)t->likeness[m];
        t->alike[i] = (float)(sum / window_size(s, i));
        TKP__CHECK(
            t->alike[i] - t->alike[i] == 0.0f, TKP_ERR_DATA,
            "features: the likeness of window %d is not finite", i);
    }
    return TKP_OK;
}

/* Windows first .. end into the order, the most alike first; of equal ones the
 * lower. */
static void
rank_windows(const tables *t, int32_t first, int32_t end, int32_t *order)
{
    for (int32_t w = first; w < end; w++) {
        int32_t at = w - first;
        for (; at > 0 && t->alike[order[at - 1]] < t->alike[w]; at--)
            order[at] = order[at - 1];
        order[at] = w;
    }
}

/* Of windows first .. end: those alike enough to fold. */
static int32_t
count_alike(const tkp_selector *s, const tables *t, int32_t first, int32_t end)
{
    int32_t count = 0;
    for (int32_t w = first; w < end; w++)
        count += t->alike[w] >= s->spec.options.threshold;
    return count;
}

/* Mark up to `most` tokens of window w as gone; how many. */
static int32_t
fold(const tkp_selector *s, const tables *t, int32_t w, int32_t most)
{
    const int32_t *member = s->windows.member + s->windows.offsets[w];
    int32_t n = window_size(s, w) - 1;
    n = n < most ? n : most;
    for (int32_t i = 1; i <= n; i++)
        t->gone[member[i]] = 1;
    return n;
}

/* The fewest windows that any group folds, where all fold as many. */
static int32_t fewest(const tkp_selector *s, const tables *t)
{
    int32_t least = INT32_MAX;
    for (int32_t first = 0, end; first < s->windows.count; first = end) {
        for (end = first;
             end < s->windows.count && group_of(s, end) == group_of(s, first);)
            end++;
        const int32_t here = count_alike(s, t, first, end);
        least = here < least ? here : least;
    }
    return least;
}

static void fold_groups(const tkp_selector *s, const tables *t)
{
    const tkp__groups *g = &s->groups;
    const int32_t together =
        s->adaptive && s->spec.options.together ? fewest(s, t) : INT32_MAX;
    int32_t first = 0;
    for (int32_t i = 0; i < g->count; i++) {
        int32_t end = first;
        while (end < s->windows.count && group_of(s, end) == i)
            end++;
        int32_t windows = end - first, left = INT32_MAX;
        if (s->adaptive)
            windows = count_alike(s, t, first, end);
        else
            left = g->offsets[i + 1] - g->offsets[i] - g->keep[i];
        windows = windows < together ? windows : together;
        rank_windows(t, first, end, t->order);
        for (int32_t w = 0; w < windows; w++)
            left -= fold(s, t, t->order[w], left);
        first = end;
    }
}

static tkp_status fold_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__groups *g = &s->groups;
    int32_t *to = tkp__data(dst);
    tkp__carver c = {tkp__ledger_at(workspace, s->at[AT_TABLES]), 0};
    tables t;
    TKP__CHECK(
        in->inputs, TKP_ERR_ARGUMENT,
        "selector: this kind compares tokens and needs inputs; wanted "
        "tkp_selector_run_on()");
    carve_tables(&t, &c, s->batch->layout->visual);
    TKP__TRY(find_alike(s, exec, in, workspace, &t));
    memset(t.gone, 0, (size_t)s->batch->candidates);
    fold_groups(s, &t);
    for (int32_t i = 0; i < g->count; i++) {
        int32_t count = 0;
        for (int32_t m = g->offsets[i]; m < g->offsets[i + 1]; m++)
            if (!t.gone[g->member[m]])
                to[count++] = g->member[m];
        if (in->counts)
            in->counts[i] = count;
        to += count;
    }
    return TKP_OK;
}

const tkp__selector_kind tkp__select_fold = {
    .ascending = true,
    .adaptive = true,
    .plan = fold_plan,
    .bind = fold_bind,
    .run = fold_run,
};
