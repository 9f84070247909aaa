/*
 * PruneSID: members of a group are parted by their strongest principal
 * component; in each part the best silence what is like them; each part has a
 * quota by its survivors, and keeps these before what was silenced.
 */
#include "selector/selector.h"
#include "util/carve.h"

enum { OP_PARTS, OP_NMS, OP_TOP };
enum { AT_TABLES };

/* What a run writes, in its workspace. */
typedef struct tables {
    int32_t *part;     /* [N] component of each candidate */
    float *strength;   /* [N] */
    int32_t *survives; /* [N] */
    float *mean;       /* [M] */
    /* By part, the parts of all groups after each other: */
    int32_t *size, *survivors, *most, *quota;
    /* Two lists a part, who survives and who does not: */
    int32_t *list;      /* [N] members */
    int32_t *ends;      /* [2 N + 1] */
    int32_t *keep;      /* [2 N] */
    int32_t *kept_ends; /* [2 N + 1] */
} tables;

typedef struct nms {
    int32_t *components; /* [N] by group */
    float *factor;       /* [N] by group */
} nms;

/* --- quotas ------------------------------------------------------------------ */

/* Of the parts of one group. */
typedef struct parts {
    int32_t n;
    const int32_t *size;
    const int32_t *survivors;
    int32_t *most;
    int32_t *quota; /* out */
} parts;

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* No part above its size, survivors or 5 ceil(K / 64) at first; then all one
 * higher, by size alone, until there is room for K. */
static void find_most(const parts *p, int32_t budget)
{
    const int32_t cap = 5 * ((budget + 63) / 64);
    int64_t room = 0, all = 0;
    for (int32_t c = 0; c < p->n; c++) {
        p->most[c] = smaller(smaller(p->size[c], p->survivors[c]), cap);
        room += p->most[c];
        all += p->size[c];
    }
    while (room < budget && room < all) {
        room = 0;
        for (int32_t c = 0; c < p->n; c++) {
            p->most[c] = smaller(p->most[c] + 1, p->size[c]);
            room += p->most[c];
        }
    }
}

/* round(total * sum / all), half to even. */
static int64_t rounded(int64_t total, int64_t sum, int64_t all)
{
    const int64_t twice = 2 * total * sum;
    const int64_t down = twice / (2 * all), rest = twice % (2 * all);
    if (rest == all)
        return down + (down & 1);
    return down + (rest > all);
}

/* The part not full that has most survivors, the lower of equals; -1: none. */
static int32_t fullest(const parts *p)
{
    int32_t best = -1;
    for (int32_t c = 0; c < p->n; c++)
        if (p->quota[c] < p->most[c] &&
            (best < 0 || p->survivors[c] > p->survivors[best]))
            best = c;
    return best;
}

/* `keep` tokens over the parts; `budget` is what the formulas count with. */
static void share_out(const parts *p, int32_t keep, int32_t budget)
{
    int64_t all = 0, sum = 0, before = 0, left = keep;
    find_most(p, budget);
    for (int32_t c = 0; c < p->n; c++) {
        p->quota[c] = p->size[c] > 0;
        left -= p->quota[c];
        all += p->survivors[c];
    }
    for (int32_t c = 0; left > 0 && c < p->n; c++) {
        sum += p->survivors[c];
        const int64_t now = rounded(left, sum, all);
        p->quota[c] =
            smaller(p->quota[c] + (int32_t)(now - before), p->most[c]);
        before = now;
    }
    left = keep;
    for (int32_t c = 0; c < p->n; c++)
        left -= p->quota[c];
    for (int32_t c = p->n - 1; left < 0 && c >= 0; c--)
        if (p->quota[c] > 0) { /* more parts than tokens */
            p->quota[c]--;
            left++;
        }
    while (left > 0) {
        const int32_t c = fullest(p);
        const int32_t room = p->most[c] - p->quota[c];
        const int32_t more = left < room ? (int32_t)left : room;
        p->quota[c] += more;
        left -= more;
    }
}

/* --- planning ----------------------------------------------------------------- */

static bool by_strength(const tkp_selector *s)
{
    return s->spec.options.rank == TKP_NMS_STRENGTH;
}

static tkp_status plan_parts(tkp_selector *s)
{
    const int64_t n = s->batch->layout->visual;
    const tkp__features *f = &s->features;
    const tkp_op_principal_groups params = {
        .struct_size = sizeof(params),
        .logistic = !s->spec.options.plain,
        .largest = tkp__selector_largest_group(s),
        .largest_components = s->spec.options.components,
    };
    tkp_tensor args[7];
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    return tkp__selector_op(
        s, &s->ops[OP_PARTS], TKP_OP_PRINCIPAL_GROUPS, args, 7, &params);
}

static tkp_status plan_nms(tkp_selector *s)
{
    const int64_t n = s->batch->layout->visual;
    const tkp__features *f = &s->features;
    tkp_tensor args[9];
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[7], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[8], NULL, TKP_DTYPE_F32, n);
    return tkp__selector_op(s, &s->ops[OP_NMS], TKP_OP_NMS, args, 9, NULL);
}

static tkp_status plan_top(tkp_selector *s)
{
    const int64_t n = s->batch->layout->visual;
    const tkp_op_topk params = {.struct_size = sizeof(params)};
    tkp_tensor args[6];
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, 2 * n + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, 2 * n);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, 2 * n + 1);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(s, &s->ops[OP_TOP], TKP_OP_TOPK, args, 6, &params);
}

static void carve_tables(tables *t, tkp__carver *c, int64_t n)
{
    t->part = tkp__carve(c, n, sizeof(int32_t));
    t->strength = tkp__carve(c, n, sizeof(float));
    t->survives = tkp__carve(c, n, sizeof(int32_t));
    t->mean = tkp__carve(c, n, sizeof(float));
    t->size = tkp__carve(c, n, sizeof(int32_t));
    t->survivors = tkp__carve(c, n, sizeof(int32_t));
    t->most = tkp__carve(c, n, sizeof(int32_t));
    t->quota = tkp__carve(c, n, sizeof(int32_t));
    t->list = tkp__carve(c, n, sizeof(int32_t));
    t->ends = tkp__carve(c, 2 * n + 1, sizeof(int32_t));
    t->keep = tkp__carve(c, 2 * n, sizeof(int32_t));
    t->kept_ends = tkp__carve(c, 2 * n + 1, sizeof(int32_t));
}

static tkp_status nms_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const size_t n = (size_t)s->batch->layout->visual;
    nms *state =
        tkp__zalloc(1, sizeof(*state) + n * (sizeof(float) + sizeof(int32_t)));
    if (!state)
        return TKP_ERR_MEMORY;
    s->state = state;
    state->components = (int32_t *)(state + 1);
    state->factor = (float *)(state->components + n);
    TKP__TRY(tkp__selector_features(s, ledger));
    TKP__TRY(plan_parts(s));
    TKP__TRY(plan_nms(s));
    tkp__carver c = {NULL, 0};
    tables t;
    carve_tables(&t, &c, (int64_t)n);
    TKP__TRY(tkp__ledger_book(ledger, c.bytes, &s->at[AT_TABLES]));
    return plan_top(s);
}

/* What the formulas take for K: the class token may be one of them. */
static int32_t nominal(const tkp_selector *s, int32_t g)
{
    return s->groups.keep[g] + s->spec.options.class_token;
}

static tkp_status nms_bind(tkp_selector *s)
{
    const tkp_selector_options *o = &s->spec.options;
    nms *state = s->state;
    for (int32_t g = 0; g < s->groups.count; g++) {
        const int32_t n = s->groups.offsets[g + 1] - s->groups.offsets[g];
        const int32_t k = nominal(s, g);
        const int32_t wanted = o->components ? o->components : k / 4;
        state->components[g] = smaller(wanted > 0 ? wanted : 1, n);
        const double share = n ? 18.0 * k / n : 1.0;
        state->factor[g] = o->limit == TKP_NMS_LIMIT_SHARE
                               ? (float)(share > 1.0 ? share : 1.0)
                               : (float)((double)k / 32.0);
    }
    return TKP_OK;
}

/* --- running -------------------------------------------------------------------- */

static tables tables_of(const tkp_selector *s, void *workspace)
{
    tables t;
    tkp__carver c = {tkp__ledger_at(workspace, s->at[AT_TABLES]), 0};
    carve_tables(&t, &c, s->batch->layout->visual);
    return t;
}

static tkp_status find_survivors(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tables *t,
    tkp_tensor *scores)
{
    const tkp__groups *g = &s->groups;
    const nms *state = s->state;
    const int64_t n = s->batch->candidates;
    tkp_tensor args[9];
    TKP__CHECK(
        in->inputs, TKP_ERR_ARGUMENT,
        "selector: this kind compares tokens and needs inputs; wanted "
        "tkp_selector_run_on()");
    TKP__TRY(tkp__features_run(
        &s->features, exec, in->inputs, workspace, &args[0], &args[1]));
    tkp_tensor_make_1d(&args[2], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[3], (void *)in->member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[4], state->components, TKP_DTYPE_I32, g->count);
    tkp_tensor_make_1d(&args[5], t->part, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[6], t->strength, TKP_DTYPE_F32, n);
    TKP__TRY(
        tkp__selector_run_op(s, s->ops[OP_PARTS], exec, args, 7, workspace));
    *scores = by_strength(s) ? args[6] : *in->scores;
    args[4] = args[5];
    args[5] = *scores;
    tkp_tensor_make_1d(&args[6], state->factor, TKP_DTYPE_F32, g->count);
    tkp_tensor_make_1d(&args[7], t->survives, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[8], t->mean, TKP_DTYPE_F32, g->count);
    return tkp__selector_run_op(s, s->ops[OP_NMS], exec, args, 9, workspace);
}

/* Parts of group g, from `first` on: sizes, survivors, quotas; then its lists
 * and how many are kept of each: survivors before the others. */
static void list_parts(
    const tkp_selector *s,
    const tables *t,
    const int32_t *member,
    int32_t g,
    int32_t first)
{
    const int32_t q = ((const nms *)s->state)->components[g];
    const int32_t begin = s->groups.offsets[g], end = s->groups.offsets[g + 1];
    const parts p = {
        q, t->size + first, t->survivors + first, t->most + first,
        t->quota + first};
    int32_t *ends = t->ends + 2 * first;
    for (int32_t c = 0; c < q; c++)
        t->size[first + c] = t->survivors[first + c] = 0;
    for (int32_t m = begin; m < end; m++) {
        t->size[first + t->part[member[m]]]++;
        t->survivors[first + t->part[member[m]]] += t->survives[member[m]];
    }
    share_out(&p, s->groups.keep[g], nominal(s, g));
    for (int32_t c = 0; c < q; c++) {
        const int32_t alive = p.survivors[c];
        int32_t *keep = t->keep + 2 * (first + c);
        keep[0] = smaller(p.quota[c], alive);
        keep[1] = p.quota[c] - keep[0];
        ends[2 * c + 1] = ends[2 * c] + alive;
        ends[2 * c + 2] = ends[2 * c] + p.size[c];
    }
    /* `most` and `quota` are done with: where the next of each list goes */
    for (int32_t c = 0; c < q; c++) {
        p.most[c] = ends[2 * c];
        p.quota[c] = ends[2 * c + 1];
    }
    for (int32_t m = begin; m < end; m++) {
        const int32_t c = t->part[member[m]];
        int32_t *at = t->survives[member[m]] ? &p.most[c] : &p.quota[c];
        t->list[(*at)++] = member[m];
    }
}

static tkp_status nms_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const tables t = tables_of(s, workspace);
    const nms *state = s->state;
    int32_t parts_count = 0;
    tkp_tensor args[6];
    TKP__TRY(find_survivors(s, exec, in, workspace, &t, &args[0]));
    t.ends[0] = t.kept_ends[0] = 0;
    for (int32_t g = 0; g < s->groups.count; g++) {
        list_parts(s, &t, in->member, g, parts_count);
        parts_count += state->components[g];
    }
    const int32_t lists = 2 * parts_count;
    for (int32_t i = 0; i < lists; i++)
        t.kept_ends[i + 1] = t.kept_ends[i] + t.keep[i];
    tkp_tensor_make_1d(&args[1], t.ends, TKP_DTYPE_I32, lists + 1);
    tkp_tensor_make_1d(&args[2], t.list, TKP_DTYPE_I32, t.ends[lists]);
    tkp_tensor_make_1d(&args[3], t.keep, TKP_DTYPE_I32, lists);
    tkp_tensor_make_1d(&args[4], t.kept_ends, TKP_DTYPE_I32, lists + 1);
    args[5] = *dst;
    return tkp__selector_run_op(s, s->ops[OP_TOP], exec, args, 6, workspace);
}

static void nms_release(tkp_selector *s)
{
    tkp__free(s->state);
}

const tkp__selector_kind tkp__select_nms = {
    .plan = nms_plan,
    .bind = nms_bind,
    .run = nms_run,
    .release = nms_release,
};
