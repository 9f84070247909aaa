/*
 * Selectors one after the other, each on what no earlier one chose.
 *
 * A group (a sequence, or an image or frame where the budget's scope says so) keeps K of
 * its members. Part p takes k_p of those that are left: floor(K share), a count,
 * all but one of these, or the rest, and never more than the earlier parts left of K. So all counts
 * are known beforehand, and which members are left is an op's output: the
 * candidates without those that are protected or chosen so far, ascending (in
 * each tile, where the budget is for tiles).
 *
 * Each part is a selector of its own. The first has the groups that its kind
 * makes (windows, images), with this count in place of the budget's; a later one
 * has the chain's groups, each shortened by what is gone.
 */
#include "selector/selector.h"

typedef struct chain {
    tkp_selector *parts[TKP_CHAIN_MAX_PARTS];
    int32_t n;
    uint64_t parts_at, chosen_at, left_at, roles_at;
    uint64_t pool_at[TKP_CHAIN_MAX_PARTS]; /* [N] of parts that have a pool */
    tkp__groups
        pool[TKP_CHAIN_MAX_PARTS]; /* what is left, and how many of it */
    int32_t *more;                 /* [N] by group: beside K */
    int32_t *budget;    /* [N] by group: what is left of K; scratch */
    int32_t *size;      /* [N] by group: members that are left; scratch */
    int64_t *allowance; /* of the first part */
} chain;

static void chain_release(tkp_selector *s)
{
    chain *c = s->state;
    if (!c)
        return;
    for (int32_t p = 0; p < c->n; p++)
        tkp__selector_release(c->parts[p]);
    tkp__free(c);
}

static int64_t most_groups(const tkp_selector *s)
{
    const int32_t sequences = s->batch->layout->n_sequences;
    const int32_t units = tkp__layout_units(s->batch->layout, s->budget.scope);
    return units > sequences ? units : sequences;
}

static tkp_status allocate(tkp_selector *s)
{
    const size_t n = (size_t)most_groups(s);
    const size_t head = tkp__align_up(sizeof(chain), sizeof(int64_t));
    const size_t pools = (size_t)s->spec.options.n_parts * (3 * n + 2);
    chain *c = tkp__zalloc(
        1, head + n * sizeof(*c->allowance) +
               (3 * n + pools) * sizeof(*c->budget));
    if (!c)
        return TKP_ERR_MEMORY;
    s->state = c;
    c->allowance = (int64_t *)((char *)c + head);
    c->budget = (int32_t *)(c->allowance + n);
    c->size = c->budget + n;
    c->more = c->size + n;
    int32_t *at = c->more + n;
    for (int32_t p = 0; p < s->spec.options.n_parts; p++, at += 3 * n + 2) {
        c->pool[p].offsets = at;
        c->pool[p].kept_offsets = at + n + 1;
        c->pool[p].keep = at + 2 * n + 2;
    }
    return TKP_OK;
}

/* The best of what is left, for part p. */
static tkp_status plan_pool(tkp_selector *s, int32_t p, tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    const tkp_op_topk params = {
        .struct_size = sizeof(params),
        .sorted_by_score = s->spec.parts[p].pool_order == TKP_POOL_BY_SCORE,
    };
    chain *c = s->state;
    tkp_tensor args[6];
    if (!tkp__chain_has_pool(&s->spec.parts[p]))
        return TKP_OK;
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    for (int32_t i = 1; i < 6; i++)
        tkp_tensor_make_1d(
            &args[i], NULL, TKP_DTYPE_I32, i == 1 || i == 4 ? n + 1 : n);
    TKP__TRY(tkp__selector_op(s, &s->ops[p], TKP_OP_TOPK, args, 6, &params));
    return tkp__ledger_book(
        ledger, (uint64_t)n * sizeof(int32_t), &c->pool_at[p]);
}

static tkp_status chain_plan(tkp_selector *s, tkp_ledger *ledger)
{
    const uint64_t list = (uint64_t)s->batch->layout->visual * sizeof(int32_t);
    uint64_t most = 0;
    TKP__TRY(allocate(s));
    chain *c = s->state;
    for (int32_t p = 0; p < s->spec.options.n_parts; p++) {
        tkp__selector_spec part;
        tkp__selector_spec_part(&part, &s->spec, p);
        /* the first draws as it would alone; no later one repeats its draws */
        const uint32_t salt = s->salt + (uint32_t)p * UINT32_C(0x9E3779B9);
        const tkp_status status = tkp__selector_new(
            &c->parts[p], s->context, &part, &s->budget, s->batch,
            s->has_model ? &s->model : NULL, s->first_layer, s->layers, salt);
        if (status != TKP_OK)
            return tkp__fail_prefix(status, "part %d", p);
        c->n = p + 1;
        TKP__TRY(plan_pool(s, p, ledger));
        if (c->parts[p]->workspace_bytes > most)
            most = c->parts[p]->workspace_bytes;
    }
    c->parts[0]->allowance = c->allowance;
    TKP__TRY(tkp__ledger_book(ledger, list, &c->chosen_at));
    TKP__TRY(tkp__ledger_book(ledger, list, &c->left_at));
    TKP__TRY(tkp__ledger_book(ledger, list, &c->roles_at));
    return tkp__ledger_book(ledger, most, &c->parts_at);
}

/* --- binding: counts ------------------------------------------------------- */

static int64_t share_of(const tkp_chain_part *part, int64_t keep)
{
    return (int64_t)((__int128)keep * part->share_num / part->share_den);
}

static int64_t wanted(const tkp_chain_part *part, int64_t keep)
{
    switch (part->amount) {
    case TKP_CHAIN_SHARE:
        return share_of(part, keep);
    case TKP_CHAIN_ALL_BUT_SHARE:
        return keep - share_of(part, keep);
    case TKP_CHAIN_COUNT:
        return part->count;
    case TKP_CHAIN_ALL_BUT:
        return keep > part->count ? keep - part->count : 0;
    default:
        return keep;
    }
}

/* How many of `left` a part that keeps k may choose from. */
static int32_t pool_size(const tkp_chain_part *part, int32_t left, int32_t k)
{
    int64_t n = left;
    if (part->pool_count && part->pool_count < n)
        n = part->pool_count;
    if (part->pool_factor && (int64_t)part->pool_factor * k < n)
        n = (int64_t)part->pool_factor * k;
    if (part->pool_num < part->pool_den) {
        const int64_t share =
            (int64_t)((__int128)left * part->pool_num / part->pool_den) + 1;
        n = share < n ? share : n;
    }
    return n > k ? (int32_t)n : k;
}

/* Beside a budget of `keep`, out of what is left. */
static int32_t more_of(const tkp_chain_part *part, int32_t keep, int32_t left)
{
    if (keep == 0 || left == 0)
        return 0;
    const int64_t pool = pool_size(part, left, 0);
    const int64_t more =
        (int64_t)((__int128)pool * part->share_num / part->share_den) + 1;
    return more < pool ? (int32_t)more : (int32_t)pool;
}

int64_t
tkp__chain_more(const tkp__selector_spec *spec, int64_t keep, int64_t size)
{
    int64_t left = size - keep, more = 0;
    for (int32_t p = 0; p < spec->options.n_parts; p++)
        if (spec->parts[p].amount == TKP_CHAIN_MORE) {
            const int32_t taken =
                more_of(&spec->parts[p], (int32_t)keep, (int32_t)left);
            more += taken;
            left -= taken;
        }
    return more;
}

/* Takes part p's tokens of group i out of its budget. */
static int32_t take(const tkp_selector *s, int32_t p, int32_t i)
{
    const chain *c = s->state;
    const tkp_chain_part *part = &s->spec.parts[p];
    if (part->amount == TKP_CHAIN_MORE) {
        const int32_t taken =
            more_of(part, s->groups.keep[i] - c->more[i], c->size[i]);
        c->size[i] -= taken;
        return taken;
    }
    const int64_t k = wanted(part, s->groups.keep[i] - c->more[i]);
    const int32_t taken = k < c->budget[i] ? (int32_t)k : c->budget[i];
    c->budget[i] -= taken;
    c->size[i] -= taken;
    return taken;
}

/* What the first part left of its allowance: even windows may. */
static void take_back(const tkp_selector *s)
{
    const chain *c = s->state;
    const tkp__groups *g = &s->groups;
    const tkp__groups *of = &c->parts[0]->groups;
    for (int32_t b = 0; b < s->batch->sequences; b++) {
        int32_t j = of->first[b];
        for (int32_t i = g->first[b]; i < g->first[b + 1]; i++) {
            const int32_t end = g->member[g->offsets[i + 1] - 1];
            int32_t kept = 0;
            while (j < of->first[b + 1] && of->member[of->offsets[j]] <= end)
                kept += of->keep[j++];
            const int32_t rest = g->keep[i] - c->more[i] - c->budget[i] - kept;
            c->budget[i] += rest;
            c->size[i] += rest;
        }
    }
}

static tkp_status bind_first(const tkp_selector *s)
{
    const chain *c = s->state;
    const tkp__groups *g = &s->groups;
    memset(c->allowance, 0, (size_t)most_groups(s) * sizeof(*c->allowance));
    for (int32_t b = 0; b < s->batch->sequences; b++)
        for (int32_t i = g->first[b]; i < g->first[b + 1]; i++) {
            const int32_t any = g->member[g->offsets[i]];
            const int32_t scope = s->budget.scope;
            const int32_t entry = scope == TKP_SCOPE_SEQUENCE
                                      ? b
                                      : tkp__batch_unit(s->batch, scope, any);
            c->allowance[entry] = take(s, 0, i);
        }
    TKP__TRY(tkp__selector_bind(c->parts[0]));
    if (s->budget.scope != TKP_SCOPE_TILE) /* which has no windows */
        take_back(s);
    return TKP_OK;
}

/* The same groups without what is gone, or their pools; those with nothing left
 * are none. */
static tkp_status bind_later(const tkp_selector *s, int32_t p)
{
    chain *c = s->state;
    tkp__groups *pool = &c->pool[p];
    const tkp__groups *from = &s->groups;
    tkp__groups *to = &c->parts[p]->groups;
    int32_t count = 0;
    to->offsets[0] = pool->offsets[0] = pool->kept_offsets[0] = 0;
    for (int32_t b = 0; b < s->batch->sequences; b++) {
        to->first[b] = count;
        for (int32_t i = from->first[b]; i < from->first[b + 1]; i++) {
            const int32_t left = c->size[i];
            if (left == 0)
                continue;
            const int32_t k = take(s, p, i);
            const int32_t n = pool_size(&s->spec.parts[p], left, k);
            pool->offsets[count + 1] = pool->offsets[count] + left;
            pool->keep[count] = n;
            to->offsets[count + 1] = to->offsets[count] + n;
            pool->kept_offsets[count + 1] = to->offsets[count + 1];
            to->stream[2 * count] = from->stream[2 * i];
            to->stream[2 * count + 1] = from->stream[2 * i + 1];
            to->keep[count++] = k;
        }
    }
    to->first[s->batch->sequences] = count;
    to->count = pool->count = count;
    return tkp__selector_bind_counted(c->parts[p]);
}

/* What parts keep beside the budget counts like the rest. */
static void count_more(tkp_selector *s)
{
    const chain *c = s->state;
    tkp__groups *g = &s->groups;
    int32_t more = 0;
    for (int32_t b = 0; b < s->batch->sequences; b++) {
        for (int32_t i = g->first[b]; i < g->first[b + 1]; i++) {
            more += c->more[i];
            g->kept_offsets[i + 1] += more;
        }
        s->kept_offsets[b + 1] += more;
    }
    g->kept += more;
    s->kept += more;
}

static tkp_status chain_bind(tkp_selector *s)
{
    chain *c = s->state;
    tkp__groups *g = &s->groups;
    for (int32_t i = 0; i < g->count; i++) {
        c->budget[i] = g->keep[i];
        c->size[i] = g->offsets[i + 1] - g->offsets[i];
        c->more[i] = (int32_t)tkp__chain_more(&s->spec, g->keep[i], c->size[i]);
        g->keep[i] += c->more[i];
    }
    count_more(s);
    TKP__TRY(bind_first(s));
    for (int32_t p = 1; p < c->n; p++)
        TKP__TRY(bind_later(s, p));
    return TKP_OK;
}

/* --- running --------------------------------------------------------------- */

/* Candidates that are not among the first `gone` of `chosen`, group by group:
 * tiles side by side take turns in ascending order. */
static tkp_status list_left_of_tiles(
    const tkp_selector *s,
    void *workspace,
    const int32_t *chosen,
    int32_t gone,
    int32_t *left)
{
    const chain *c = s->state;
    int32_t *is_gone = tkp__ledger_at(workspace, c->roles_at);
    memset(is_gone, 0, (size_t)s->batch->candidates * sizeof(*is_gone));
    for (int32_t i = 0; i < gone; i++)
        is_gone[chosen[i]] = 1;
    for (int32_t i = 0; i < s->groups.members; i++)
        if (!is_gone[s->groups.member[i]])
            *left++ = s->groups.member[i];
    return TKP_OK;
}

/* The same where groups follow each other: ascending. */
static tkp_status list_left(
    const tkp_selector *s,
    tkp_exec *exec,
    void *workspace,
    int32_t *chosen,
    int32_t gone,
    int32_t *left)
{
    tkp_tensor args[3];
    if (s->budget.scope == TKP_SCOPE_TILE)
        return list_left_of_tiles(s, workspace, chosen, gone, left);
    tkp_tensor_make_1d(&args[0], chosen, TKP_DTYPE_I32, gone);
    tkp_tensor_make_1d(&args[1], chosen, TKP_DTYPE_I32, 0);
    tkp_tensor_make_1d(
        &args[2], left, TKP_DTYPE_I32, s->batch->candidates - gone);
    return tkp__selector_run_op(s, s->compact, exec, args, 3, workspace);
}

/* Part p's pool, out of what is left. */
static tkp_status fill_pool(
    const tkp_selector *s,
    int32_t p,
    tkp_exec *exec,
    const tkp_tensor *scores,
    int32_t *left,
    void *workspace,
    int32_t *out)
{
    const chain *c = s->state;
    const tkp__groups *g = &c->pool[p];
    tkp_tensor args[6] = {[0] = *scores};
    tkp_tensor_make_1d(&args[1], g->offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[2], left, TKP_DTYPE_I32, g->offsets[g->count]);
    tkp_tensor_make_1d(&args[3], g->keep, TKP_DTYPE_I32, g->count);
    tkp_tensor_make_1d(&args[4], g->kept_offsets, TKP_DTYPE_I32, g->count + 1);
    tkp_tensor_make_1d(&args[5], out, TKP_DTYPE_I32, g->kept_offsets[g->count]);
    return tkp__selector_run_op(s, s->ops[p], exec, args, 6, workspace);
}

static tkp_status chain_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const chain *c = s->state;
    int32_t *chosen = tkp__ledger_at(workspace, c->chosen_at);
    int32_t *left = tkp__ledger_at(workspace, c->left_at);
    int32_t gone = s->protected_count;
    if (s->groups.kept == 0)
        return TKP_OK;
    memcpy(chosen, s->protected_list, (size_t)gone * sizeof(*chosen));
    for (int32_t p = 0; p < c->n; p++) {
        const tkp_selector *part = c->parts[p];
        tkp__selection from = *in;
        tkp_tensor to;
        if (part->groups.kept == 0)
            continue;
        from.member = part->groups.member;
        if (p > 0) {
            TKP__TRY(list_left(s, exec, workspace, chosen, gone, left));
            from.member = left;
        }
        if (s->ops[p]) {
            int32_t *pool = tkp__ledger_at(workspace, c->pool_at[p]);
            TKP__TRY(fill_pool(s, p, exec, in->scores, left, workspace, pool));
            from.member = pool;
        }
        tkp_tensor_make_1d(
            &to, chosen + gone, TKP_DTYPE_I32, part->groups.kept);
        TKP__TRY(tkp__selector_choose(
            part, exec, &from, tkp__ledger_at(workspace, c->parts_at), &to));
        gone += part->groups.kept;
    }
    memcpy(
        tkp__data(dst), chosen + s->protected_count,
        (size_t)s->groups.kept * sizeof(*chosen));
    return TKP_OK;
}

/* Bit p of each candidate that part p could have chosen. */
static void list_pools(const tkp_selector *s, void *workspace, int32_t *pools)
{
    const chain *c = s->state;
    const int64_t n = s->batch->candidates;
    const int32_t *of = tkp__ledger_at(workspace, c->roles_at);
    for (int64_t i = 0; i < n; i++)
        pools[i] = 0;
    for (int32_t p = 0; p < c->n; p++) {
        const int32_t *pool = tkp__ledger_at(workspace, c->pool_at[p]);
        const int32_t count = c->parts[p]->groups.members;
        if (c->parts[p]->groups.kept == 0)
            continue;
        if (s->ops[p])
            for (int32_t i = 0; i < count; i++)
                pools[pool[i]] |= 1 << p;
        else
            for (int64_t i = 0; i < n; i++)
                pools[i] |= of[i] >= p ? 1 << p : 0;
    }
}

static void chain_roles(
    const tkp_selector *s,
    const int32_t *chosen,
    void *workspace,
    const tkp_tensor *selected,
    const tkp_tensor *roles,
    const tkp_tensor *pools)
{
    enum { NOBODY = TKP_CHAIN_MAX_PARTS };
    const chain *c = s->state;
    const int32_t *token = tkp__data(selected);
    int32_t *of = tkp__ledger_at(workspace, c->roles_at);
    for (int64_t i = 0; i < s->batch->candidates; i++)
        of[i] = NOBODY;
    for (int32_t p = 0; p < c->n; p++)
        for (int32_t k = 0; k < c->parts[p]->groups.kept; k++)
            of[*chosen++] = p;
    for (int32_t i = 0; i < s->protected_count; i++)
        of[s->protected_list[i]] = -1;
    if (pools)
        list_pools(s, workspace, tkp__data(pools));
    for (int32_t i = 0; i < s->protected_count; i++)
        of[s->protected_list[i]] = 0;
    for (int32_t k = 0; roles && k < s->kept; k++)
        ((int32_t *)tkp__data(roles))[k] = of[token[k]];
}

static int32_t chain_scorers(const tkp_selector *s, const tkp_scorer **out)
{
    const chain *c = s->state;
    int32_t n = 0;
    for (int32_t p = 0; p < c->n; p++)
        n += tkp__selector_scorers(c->parts[p], out + n);
    return n;
}

const tkp__selector_kind tkp__select_chain = {
    .plan = chain_plan,
    .bind = chain_bind,
    .run = chain_run,
    .release = chain_release,
    .scorers = chain_scorers,
    .roles = chain_roles,
};
