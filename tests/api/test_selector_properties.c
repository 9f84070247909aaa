/*
 * What holds for every selector, on many small random batches: the count is the
 * budget's, known beforehand; choices are in range, ascending, the same again,
 * the same in any company, on any number of threads and, where no rounding can
 * decide, on every backend; protected tokens are among them; a budget of
 * everything keeps everything.
 *
 *   TKP_TEST_ROUNDS=100000 TKP_TEST_SEED=3   more of them, other ones
 */

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenprune.h"

enum { MOST_SEQUENCES = 4, MOST_IMAGES = 3, MOST_CELLS = 3 * 49, D = 3 };
enum { MOST_TOKENS = MOST_SEQUENCES * MOST_IMAGES * MOST_CELLS };
enum { MOST_ROWS = 2 * MOST_TOKENS + 64 * MOST_SEQUENCES };

/* --- random numbers: splitmix64 ---------------------------------------------- */

static uint64_t state;

static uint32_t below(uint32_t n)
{
    uint64_t z = state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)(((z ^ (z >> 31)) >> 32) * n >> 32);
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

/* --- a batch ------------------------------------------------------------------- */

typedef struct image {
    tkp_image_desc desc;
    uint8_t valid[MOST_CELLS], keep[MOST_CELLS];
    int32_t tokens, kept; /* candidates; protected ones of them */
    int32_t frame_tokens[3], frame_kept[3];
    int32_t tile_tokens[MOST_CELLS], tile_kept[MOST_CELLS];
} image;

typedef struct sequence {
    tkp_sequence_desc desc;
    image images[MOST_IMAGES];
    int32_t n_images;
    int32_t tokens; /* candidates */
} sequence;

typedef struct batch {
    sequence sequences[MOST_SEQUENCES];
    int32_t n;
    /* of all sequences, one after the other */
    float hidden[MOST_ROWS * D];
    float scores[MOST_TOKENS];
    uint8_t kept[MOST_TOKENS];
} batch;

/* Some pictures are tiles side by side; the first ones may lack a part. */
static void cut_tiles(tkp_image_desc *d)
{
    if (d->frames > 1 || one_in(3))
        return;
    d->tile_height = 1 + (int32_t)below((uint32_t)d->rows + 1);
    d->tile_width = 1 + (int32_t)below((uint32_t)d->cols + 1);
    d->tile_top = (int32_t)below((uint32_t)d->tile_height);
    d->tile_left = (int32_t)below((uint32_t)d->tile_width);
}

/* Numbers of tiles have gaps here: 8 a line are more than there can be. */
static int32_t tile_of(const tkp_image_desc *d, int32_t cell)
{
    if (!d->tile_height)
        return 0;
    return (cell / d->cols + d->tile_top) / d->tile_height * 8 +
           (cell % d->cols + d->tile_left) / d->tile_width;
}

static int64_t add_image(image *im, int64_t start)
{
    im->desc = (tkp_image_desc)TKP_IMAGE_DESC_INIT;
    im->desc.start = start + below(3);
    im->desc.frames = one_in(4) ? 1 + (int32_t)below(3) : 1;
    im->desc.rows = 1 + (int32_t)below(7);
    im->desc.cols = 1 + (int32_t)below(7);
    im->desc.row_stride = im->desc.cols + (int32_t)below(2);
    cut_tiles(&im->desc);
    const int32_t cells = im->desc.frames * im->desc.rows * im->desc.cols;
    const bool pads = one_in(3), protects = one_in(3);
    im->tokens = im->kept = 0;
    memset(im->frame_tokens, 0, sizeof(im->frame_tokens));
    memset(im->frame_kept, 0, sizeof(im->frame_kept));
    memset(im->tile_tokens, 0, sizeof(im->tile_tokens));
    memset(im->tile_kept, 0, sizeof(im->tile_kept));
    for (int32_t c = 0; c < cells; c++) {
        im->valid[c] = !pads || !one_in(4);
        im->keep[c] = protects && im->valid[c] && one_in(6);
        im->tokens += im->valid[c];
        im->kept += im->keep[c];
        const int32_t frame = c / (im->desc.rows * im->desc.cols);
        im->frame_tokens[frame] += im->valid[c];
        im->frame_kept[frame] += im->keep[c];
        im->tile_tokens[tile_of(&im->desc, c)] += im->valid[c];
        im->tile_kept[tile_of(&im->desc, c)] += im->keep[c];
    }
    im->desc.valid = pads ? im->valid : NULL;
    im->desc.keep = protects ? im->keep : NULL;
    return im->desc.start +
           (int64_t)im->desc.frames * im->desc.rows * im->desc.row_stride;
}

static void make_batch(batch *b)
{
    int32_t tokens = 0;
    int64_t rows = 0;
    b->n = 1 + (int32_t)below(3);
    for (int32_t i = 0; i < b->n; i++) {
        sequence *s = &b->sequences[i];
        int64_t at = below(4);
        s->desc = (tkp_sequence_desc)TKP_SEQUENCE_DESC_INIT;
        s->desc.id = below(1000);
        s->n_images = one_in(8) ? 0 : 1 + (int32_t)below(MOST_IMAGES);
        s->tokens = 0;
        for (int32_t j = 0; j < s->n_images; j++) {
            at = add_image(&s->images[j], at);
            const image *im = &s->images[j];
            for (int32_t c = 0;
                 c < im->desc.frames * im->desc.rows * im->desc.cols; c++)
                if (im->valid[c])
                    b->kept[tokens++] = im->keep[c];
            s->tokens += im->tokens;
        }
        s->desc.length = at + 1 + below(4);
        rows += s->desc.length;
    }
    ck_assert_int_le(rows, MOST_ROWS);
    for (int32_t i = 0; i < tokens; i++) /* ties are frequent */
        b->scores[i] = (float)below(12) / 8.0f;
    for (int64_t i = 0; i < rows * D; i++)
        b->hidden[i] = (float)below(7) - 3.0f;
}

static tkp_layout *layout_of(const batch *b, int32_t first, int32_t end)
{
    tkp_layout *layout;
    ck_assert_int_eq(tkp_layout_create(&layout), TKP_OK);
    for (int32_t i = first; i < end; i++) {
        int32_t number;
        ck_assert_int_eq(
            tkp_layout_add_sequence(layout, &b->sequences[i].desc, &number),
            TKP_OK);
        for (int32_t j = 0; j < b->sequences[i].n_images; j++) {
            tkp_image_desc desc = b->sequences[i].images[j].desc;
            desc.sequence = number;
            ck_assert_msg(
                tkp_layout_add_image(layout, &desc, NULL) == TKP_OK, "%s",
                tkp_last_message());
        }
    }
    return layout;
}

/* --- a selector ------------------------------------------------------------------ */

static const int32_t kinds[] = {
    TKP_SELECTOR_CHAIN,       TKP_SELECTOR_TOPK,      TKP_SELECTOR_WINDOW,
    TKP_SELECTOR_WINDOW_RANK, TKP_SELECTOR_RANDOM,    TKP_SELECTOR_STRIDE,
    TKP_SELECTOR_UNIFORM,     TKP_SELECTOR_DIVERSE,   TKP_SELECTOR_MMR,
    TKP_SELECTOR_COVER,       TKP_SELECTOR_DPP,       TKP_SELECTOR_TRI,
    TKP_SELECTOR_PIVOTS,      TKP_SELECTOR_DENSITY,   TKP_SELECTOR_NMS_GROUPS,
    TKP_SELECTOR_QUOTA,       TKP_SELECTOR_BIPARTITE, TKP_SELECTOR_ANCHORS,
    TKP_SELECTOR_OUTLIERS,    TKP_SELECTOR_STATIC,    TKP_SELECTOR_FOLD,
    TKP_SELECTOR_CLUSTERS,    TKP_SELECTOR_PARITY,    TKP_SELECTOR_THRESHOLD};
enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static bool compares_features(int32_t kind)
{
    return kind >= TKP_SELECTOR_DIVERSE;
}

/* Pools, windows that are even, and scores of the part's own: norms of small
 * whole numbers. */
static void
vary_part(tkp_chain_part *part, tkp_selector_options *o, int32_t p, bool last)
{
    static tkp_scorer_options norm = TKP_SCORER_OPTIONS_INIT;
    norm.kind = TKP_SCORER_NORM;
    if ((o->kind == TKP_SELECTOR_TOPK || o->kind == TKP_SELECTOR_WINDOW) &&
        one_in(2))
        o->scorer = &norm;
    if (o->kind == TKP_SELECTOR_WINDOW && !last && one_in(2)) {
        o->window_rows = 1 + (int32_t)below(4);
        o->window_cols = 1 + (int32_t)below(4);
        o->even = 1;
    }
    if (p == 0 || one_in(2))
        return;
    part->pool_factor = (int32_t)below(4);
    part->pool_count = (int32_t)below(4) * 3;
    part->pool_num = below(4);
    part->pool_den = 3;
    part->pool_order = (int32_t)below(2);
}

/* Parts that choose by scores and place: the same on every backend. */
static void make_chain(tkp_selector_options *o)
{
    static const int32_t of[] = {
        TKP_SELECTOR_TOPK, TKP_SELECTOR_STRIDE, TKP_SELECTOR_RANDOM,
        TKP_SELECTOR_UNIFORM, TKP_SELECTOR_WINDOW};
    static tkp_selector_options selectors[3];
    static tkp_chain_part parts[3];
    o->n_parts = 1 + (int32_t)below(3);
    o->parts = parts;
    for (int32_t p = 0; p < o->n_parts; p++) {
        const bool last = p == o->n_parts - 1;
        selectors[p] = (tkp_selector_options)TKP_SELECTOR_OPTIONS_INIT;
        selectors[p].kind = of[below(p ? 3 : 5)];
        parts[p] = (tkp_chain_part){
            .amount = last ? TKP_CHAIN_REST : 1 + (int32_t)below(4),
            .share_num = below(4),
            .share_den = 3,
            .count = below(9),
            .selector = &selectors[p],
        };
        vary_part(&parts[p], &selectors[p], p, last);
    }
}

/* Norms of small whole numbers: the same on every backend. */
static void make_quota(tkp_selector_options *o)
{
    static tkp_scorer_options weigh = TKP_SCORER_OPTIONS_INIT;
    weigh.kind = TKP_SCORER_NORM;
    o->weigh = &weigh;
    o->rule = (int32_t)below(5);
    o->temperature = one_in(2) ? 2.0f : 0.0f;
    o->lowest = o->temperature > 0.0f && one_in(2);
    o->least = (int32_t)below(3);
    o->order = (int32_t)below(2);
    o->groups = one_in(2) ? TKP_SCOPE_TILE : TKP_SCOPE_FRAME;
    o->crops =
        o->groups == TKP_SCOPE_TILE || one_in(2) ? 0 : 1 + (int32_t)below(9);
}

/* Kinds that work tile by tile. */
static bool takes_tiles(const tkp_selector_options *o)
{
    switch (o->kind) {
    case TKP_SELECTOR_RANDOM:
        return !o->stratified;
    case TKP_SELECTOR_CHAIN: /* of what else has windows, the first part alone */
        return o->parts[0].selector->kind == TKP_SELECTOR_TOPK ||
               o->parts[0].selector->kind == TKP_SELECTOR_STRIDE ||
               o->parts[0].selector->kind == TKP_SELECTOR_RANDOM;
    case TKP_SELECTOR_QUOTA:
        return o->groups == TKP_SCOPE_TILE;
    default:
        return o->kind == TKP_SELECTOR_TOPK || o->kind == TKP_SELECTOR_STRIDE ||
               (o->kind >= TKP_SELECTOR_DIVERSE &&
                o->kind <= TKP_SELECTOR_TRI) ||
               o->kind == TKP_SELECTOR_DENSITY;
    }
}

static void make_options(tkp_selector_options *o, tkp_budget *budget)
{
    *o = (tkp_selector_options)TKP_SELECTOR_OPTIONS_INIT;
    *budget = (tkp_budget)TKP_BUDGET_INIT;
    o->kind = kinds[below(N_KINDS)];
    if (o->kind == TKP_SELECTOR_CHAIN)
        make_chain(o);
    if (o->kind == TKP_SELECTOR_QUOTA)
        make_quota(o);
    if (o->kind == TKP_SELECTOR_STATIC)
        o->threshold = 0.1f * (float)(1 + below(9));
    if (o->kind == TKP_SELECTOR_CLUSTERS) {
        o->threshold = 0.15f * (float)(1 + below(9));
        o->share_den = 1 + below(7);
        o->share_num = below((uint32_t)o->share_den + 1);
    }
    if (o->kind == TKP_SELECTOR_ANCHORS) {
        o->cut = 0.1f * (float)below(9) - 0.3f;
        o->segments = 1 + (int32_t)below(5);
        o->stride = 1 + (int32_t)below(4);
    }
    o->uniform = (int32_t)below(2);
    o->spare = (int32_t)below(2);
    const bool windows =
        o->kind == TKP_SELECTOR_WINDOW || o->kind == TKP_SELECTOR_WINDOW_RANK;
    if (o->kind == TKP_SELECTOR_RANDOM) {
        o->stratified = (int32_t)below(2);
        o->seed = below(5);
    }
    if (o->kind == TKP_SELECTOR_TOPK || windows)
        o->order = (int32_t)below(2);
    if (o->kind == TKP_SELECTOR_WINDOW_RANK ||
        ((windows || o->stratified) && one_in(2))) {
        o->window_rows = 1 + (int32_t)below(4);
        o->window_cols = 1 + (int32_t)below(4);
    }
    budget->kind = TKP_BUDGET_RATIO;
    budget->ratio_den = 1 + below(12);
    budget->ratio_num = below((uint32_t)budget->ratio_den + 1);
    budget->rounding = (int32_t)below(3);
    budget->scope = (int32_t[]){
        TKP_SCOPE_SEQUENCE, TKP_SCOPE_IMAGE, TKP_SCOPE_FRAME}[below(3)];
    if (takes_tiles(o) && one_in(3))
        budget->scope = TKP_SCOPE_TILE;
    if (o->kind == TKP_SELECTOR_QUOTA && o->groups == TKP_SCOPE_TILE &&
        budget->scope == TKP_SCOPE_FRAME)
        budget->scope = TKP_SCOPE_IMAGE;
    budget->min_keep = one_in(4) ? below(4) : 0;
    if (o->kind == TKP_SELECTOR_FOLD)
        o->window_rows = o->window_cols = 2 + (int32_t)below(3);
    if (o->kind == TKP_SELECTOR_BIPARTITE ||
        o->kind == TKP_SELECTOR_FOLD) { /* takes a half at most */
        o->class_token = (int32_t)below(2);
        budget->ratio_num += (budget->ratio_den - budget->ratio_num + 1) / 2;
        budget->rounding = TKP_ROUND_CEIL;
    }
}

static int64_t more(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t resolved(const tkp_budget *budget, int64_t n)
{
    int64_t keep;
    ck_assert_int_eq(tkp_budget_resolve(budget, n, 2, 8, &keep), TKP_OK);
    return keep;
}

/* By the budget alone; protected tokens are part of it, and its least. */
static int64_t wanted_count(const sequence *s, const tkp_budget *budget)
{
    int64_t sum = 0, kept = 0;
    for (int32_t j = 0; j < s->n_images; j++) {
        const image *im = &s->images[j];
        kept += im->kept;
        for (int32_t t = 0; budget->scope == TKP_SCOPE_TILE && t < MOST_CELLS;
             t++)
            sum += more(resolved(budget, im->tile_tokens[t]), im->tile_kept[t]);
        if (budget->scope == TKP_SCOPE_TILE)
            continue;
        if (budget->scope != TKP_SCOPE_FRAME)
            sum += more(resolved(budget, im->tokens), im->kept);
        else
            for (int32_t t = 0; t < im->desc.frames; t++)
                sum += more(
                    resolved(budget, im->frame_tokens[t]), im->frame_kept[t]);
    }
    return budget->scope != TKP_SCOPE_SEQUENCE
               ? sum
               : more(resolved(budget, s->tokens), kept);
}

/* --- machines --------------------------------------------------------------------- */

typedef struct machine {
    tkp_context *context;
    tkp_exec *exec;
    void *workspace;
    uint64_t bytes;
} machine;

static bool open_machine(machine *m, const char *backends, int32_t threads)
{
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    options.backends = backends;
    options.threads = threads;
    *m = (machine){NULL};
    if (tkp_context_create(&m->context, &options) != TKP_OK)
        return false;
    ck_assert_int_eq(tkp_exec_create(&m->exec, m->context, NULL), TKP_OK);
    return true;
}

static void close_machine(machine *m)
{
    tkp_exec_destroy(m->exec);
    tkp_context_destroy(m->context);
    free(m->workspace);
}

static void lend_workspace(machine *m, const tkp_selector *selector)
{
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    ck_assert_int_eq(tkp_selector_query(selector, &need), TKP_OK);
    if (need.workspace_bytes <= m->bytes)
        return;
    ck_assert_int_eq(tkp_exec_set_workspace(m->exec, NULL, 0), TKP_OK);
    free(m->workspace);
    m->bytes = (need.workspace_bytes + 4095) / 4096 * 4096;
    m->workspace = aligned_alloc(64, m->bytes);
    ck_assert_int_eq(
        tkp_exec_set_workspace(m->exec, m->workspace, m->bytes), TKP_OK);
}

typedef struct choice {
    int32_t offsets[MOST_SEQUENCES + 1];
    int32_t index[MOST_TOKENS];
} choice;

/* Sequences first .. end of the batch; false if the options do not fit. */
static bool choose(
    choice *out,
    machine *m,
    const batch *b,
    int32_t first,
    int32_t end,
    const tkp_selector_options *o,
    const tkp_budget *budget)
{
    int64_t rows = 0, row = 0;
    int32_t tokens = 0, token = 0;
    for (int32_t i = 0; i < end; i++) {
        *(i < first ? &row : &rows) += b->sequences[i].desc.length;
        *(i < first ? &token : &tokens) += b->sequences[i].tokens;
    }
    tkp_selector *selector;
    tkp_model_desc model = TKP_MODEL_DESC_INIT;
    model.dtype = TKP_DTYPE_F32;
    model.layers = 8;
    model.heads = 1;
    model.hidden = D;
    tkp_layout *layout = layout_of(b, first, end);
    const tkp_status status = tkp_selector_create_for(
        &selector, m->context, o, budget, layout, &model);
    tkp_layout_destroy(layout);
    if (status != TKP_OK) {
        ck_assert_msg(
            status == TKP_ERR_OPTION, "kind %d: %s", o->kind,
            tkp_last_message());
        return false;
    }
    lend_workspace(m, selector);
    int64_t count = 0;
    for (int32_t i = first; i < end; i++) {
        const int64_t here = tkp_selector_count(selector, i - first);
        ck_assert_msg(
            here == wanted_count(&b->sequences[i], budget),
            "kind %d keeps %lld of %d, wanted %lld", o->kind, (long long)here,
            b->sequences[i].tokens,
            (long long)wanted_count(&b->sequences[i], budget));
        count += here;
    }
    tkp_inputs inputs = TKP_INPUTS_INIT;
    tkp_tensor hidden, scores, index, offsets;
    tkp_tensor_make_2d(
        &hidden, (void *)(uintptr_t)(b->hidden + row * D), TKP_DTYPE_F32, rows,
        D);
    tkp_tensor_make_1d(
        &scores, (void *)(uintptr_t)(b->scores + token), TKP_DTYPE_F32, tokens);
    tkp_tensor_make_1d(&index, out->index, TKP_DTYPE_I32, count);
    tkp_tensor_make_1d(&offsets, out->offsets, TKP_DTYPE_I32, end - first + 1);
    inputs.hidden = &hidden;
    ck_assert_msg(
        tkp_selector_run_on(
            selector, m->exec, &inputs, &scores, &index, &offsets, NULL,
            NULL) == TKP_OK,
        "kind %d: %s", o->kind, tkp_last_message());
    tkp_selector_destroy(selector);
    return true;
}

static void
check_choice(const choice *c, const batch *b, const tkp_selector_options *o)
{
    int32_t token = 0;
    for (int32_t i = 0; i < b->n; i++) {
        const int32_t end = token + b->sequences[i].tokens;
        int32_t at = c->offsets[i];
        for (int32_t k = at; k < c->offsets[i + 1]; k++) {
            ck_assert_msg(
                c->index[k] >= token && c->index[k] < end &&
                    (k == at || c->index[k] > c->index[k - 1]),
                "kind %d: sequence %d: entry %d is %d", o->kind, i, k - at,
                c->index[k]);
        }
        for (; token < end; token++) {
            while (at < c->offsets[i + 1] && c->index[at] < token)
                at++;
            ck_assert_msg(
                !b->kept[token] ||
                    (at < c->offsets[i + 1] && c->index[at] == token),
                "kind %d: token %d is protected and gone", o->kind, token);
        }
    }
}

static void assert_same(
    const choice *a,
    const choice *b,
    int32_t sequences,
    const tkp_selector_options *o,
    const char *what)
{
    ck_assert_msg(
        memcmp(
            a->offsets, b->offsets,
            (size_t)(sequences + 1) * sizeof(*a->offsets)) == 0 &&
            memcmp(
                a->index, b->index,
                (size_t)a->offsets[sequences] * sizeof(*a->index)) == 0,
        "kind %d: another choice %s", o->kind, what);
}

/* Each sequence alone chooses what it chose in the batch. */
static void check_parts(
    const choice *whole,
    machine *m,
    const batch *b,
    const tkp_selector_options *o,
    const tkp_budget *budget)
{
    static choice alone;
    int32_t token = 0;
    for (int32_t i = 0; b->n > 1 && i < b->n; i++) {
        ck_assert(choose(&alone, m, b, i, i + 1, o, budget));
        const int32_t n = whole->offsets[i + 1] - whole->offsets[i];
        ck_assert_int_eq(alone.offsets[1], n);
        for (int32_t k = 0; k < n; k++)
            ck_assert_msg(
                alone.index[k] + token == whole->index[whole->offsets[i] + k],
                "kind %d: sequence %d chooses otherwise alone", o->kind, i);
        token += b->sequences[i].tokens;
    }
}

static int64_t from_environment(const char *name, int64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoll(text, NULL, 10) : otherwise;
}

START_TEST(selector__random_batches__every_property_holds)
{
    static batch b;
    static choice first, again, other;
    machine ref, one, two;
    const int64_t rounds = from_environment("TKP_TEST_ROUNDS", 5000);
    const int64_t seed = from_environment("TKP_TEST_SEED", 1);
    int64_t done[64] = {0};
    ck_assert(open_machine(&ref, "ref", 1));
    const bool has_cpu =
        open_machine(&one, "cpu,ref", 1) && open_machine(&two, "cpu,ref", 2);
    for (int64_t round = 0; round < rounds; round++) {
        tkp_selector_options o;
        tkp_budget budget;
        state = (uint64_t)(seed << 40 ^ round);
        make_batch(&b);
        make_options(&o, &budget);
        if (!choose(&first, &ref, &b, 0, b.n, &o, &budget))
            continue;
        done[o.kind]++;
        check_choice(&first, &b, &o);
        if (budget.ratio_num == budget.ratio_den)
            for (int32_t k = 0; k < first.offsets[b.n]; k++)
                ck_assert_int_eq(first.index[k], k);
        ck_assert(choose(&again, &ref, &b, 0, b.n, &o, &budget));
        assert_same(&first, &again, b.n, &o, "the second time");
        check_parts(&first, &ref, &b, &o, &budget);
        if (!has_cpu)
            continue;
        ck_assert(choose(&other, &one, &b, 0, b.n, &o, &budget));
        check_choice(&other, &b, &o);
        if (!compares_features(o.kind))
            assert_same(&first, &other, b.n, &o, "on cpu");
        ck_assert(choose(&again, &two, &b, 0, b.n, &o, &budget));
        assert_same(&other, &again, b.n, &o, "on two threads");
    }
    for (int i = 0; i < N_KINDS; i++)
        ck_assert_msg(
            done[kinds[i]] * 2 * N_KINDS > rounds, "kind %d: %lld of %lld fit",
            kinds[i], (long long)done[kinds[i]], (long long)rounds);
    close_machine(&ref);
    if (has_cpu) {
        close_machine(&one);
        close_machine(&two);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/selector_properties");
    TCase *t = tcase_create("all");
    tcase_add_test(t, selector__random_batches__every_property_holds);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
