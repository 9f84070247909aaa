/*
 * Counts: how many tokens each sequence and each group keeps. Whole numbers
 * throughout, known before anything runs.
 */
#include "selector/quota.h"

/* Free places of sequence b, or of one unit of the scope in it: the budget less
 * what is kept anyway. */
static tkp_status free_places(
    const tkp_selector *s,
    int32_t scope,
    int32_t b,
    int32_t unit,
    int64_t *out)
{
    int64_t keep;
    if (s->allowance) {
        *out = s->allowance[unit < 0 ? b : unit];
        return TKP_OK;
    }
    tkp__batch_count count =
        tkp__batch_count_of(s->batch, scope, b, unit, s->budget.every);
    if (s->budget.of == TKP_OF_ORIGINAL)
        count.original = tkp__batch_original(s->batch, scope, b, unit);
    tkp_budget budget = s->budget;
    if (s->clamps && budget.count > count.candidates)
        budget.count = count.candidates;
    TKP__TRY(
        tkp__batch_resolve(&count, &budget, s->first_layer, s->layers, &keep));
    *out = keep - count.kept;
    return TKP_OK;
}

/* Of all units of one image together. */
static tkp_status
free_places_of_image(const tkp_selector *s, int32_t b, int32_t i, int64_t *out)
{
    const tkp__batch *batch = s->batch;
    const int32_t scope = s->budget.scope;
    int32_t last = -1;
    *out = 0;
    for (int32_t n = batch->candidate_offsets[b];
         n < batch->candidate_offsets[b + 1]; n++) {
        const int32_t unit = tkp__batch_unit(batch, scope, n);
        int64_t places;
        if (batch->candidate_images[n] != i || unit == last)
            continue;
        TKP__TRY(free_places(s, scope, b, unit, &places));
        *out += places;
        last = unit;
    }
    return TKP_OK;
}

static bool windows_decide(const tkp_selector *s)
{
    return s->spec.options.quota > 0;
}

tkp_status tkp__quota_grids(tkp_selector *s)
{
    const tkp_layout *layout = s->batch->layout;
    const tkp_selector_options *o = &s->spec.options;
    int32_t image = 0;
    for (int32_t b = 0; b < layout->n_sequences; b++) {
        const int32_t first = image;
        while (image < layout->n_images && layout->images[image].sequence == b)
            image++;
        int64_t *weight = s->scratch[0];
        int64_t *share = s->scratch[2];
        int64_t total = 0;
        for (int32_t i = first; i < image; i++) {
            const tkp__batch_count count =
                tkp__batch_count_of(s->batch, TKP_SCOPE_IMAGE, b, i, 0);
            weight[i - first] = count.candidates - count.kept;
        }
        if (!o->window_rows) {
            if (s->budget.scope == TKP_SCOPE_SEQUENCE) {
                TKP__TRY(free_places(s, TKP_SCOPE_SEQUENCE, b, -1, &total));
                TKP__TRY(tkp__apportion(
                    total, image - first, weight, weight, share));
            } else {
                for (int32_t i = first; i < image; i++)
                    TKP__TRY(free_places_of_image(s, b, i, &share[i - first]));
            }
        }
        for (int32_t i = first; i < image; i++) {
            const tkp__layout_image *im = &layout->images[i];
            s->grids[i] =
                o->window_rows
                    ? tkp__window_grid_sized(
                          im->rows, im->cols, o->window_rows, o->window_cols)
                    : tkp__window_grid_choose(
                          im->frames, im->rows, im->cols, share[i - first]);
        }
    }
    return TKP_OK;
}

/* The same for each of the groups first .. end, or all it has; the rest of
 * `total` stays free. */
static tkp_status
share_evenly(tkp_selector *s, int64_t total, int32_t first, int32_t end)
{
    tkp__groups *g = &s->groups;
    const int64_t each = end > first ? total / (end - first) : 0;
    TKP__CHECK(
        s->allowance, TKP_ERR_OPTION,
        "selector: even windows may keep fewer than the budget; wanted them in "
        "the first part of a chain");
    for (int32_t i = first; i < end; i++) {
        const int32_t size = g->offsets[i + 1] - g->offsets[i];
        g->keep[i] = each < size ? (int32_t)each : size;
    }
    return TKP_OK;
}

/* Share `total` over groups first .. end. Equal shares where they come out
 * even; windows by budget get one each first; the rest by largest remainder
 * over the groups' sizes. */
static tkp_status
share_groups(tkp_selector *s, int64_t total, int32_t first, int32_t end)
{
    tkp__groups *g = &s->groups;
    const int64_t n = end - first;
    int64_t *weight = s->scratch[0];
    int64_t *limit = s->scratch[1];
    int64_t *share = s->scratch[2];
    int64_t smallest = INT64_MAX;
    if (s->spec.options.even)
        return share_evenly(s, total, first, end);
    for (int64_t i = 0; i < n; i++) {
        weight[i] = g->offsets[first + i + 1] - g->offsets[first + i];
        smallest = weight[i] < smallest ? weight[i] : smallest;
    }
    int64_t base = 0;
    if (s->spec.options.kind == TKP_SELECTOR_UNIFORM)
        base = 0; /* by area alone: its groups are images, not windows */
    else if (n && total % n == 0 && total / n <= smallest)
        base = total / n;
    else if (!s->spec.options.window_rows && n <= total)
        base = 1;
    for (int64_t i = 0; i < n; i++)
        limit[i] = weight[i] - base;
    TKP__TRY(tkp__apportion(total - base * n, n, weight, limit, share));
    for (int64_t i = 0; i < n; i++)
        g->keep[first + i] = (int32_t)(base + share[i]);
    return TKP_OK;
}

static int32_t unit_of_group(const tkp_selector *s, int32_t i)
{
    const tkp__groups *g = &s->groups;
    return tkp__batch_unit(s->batch, s->budget.scope, g->member[g->offsets[i]]);
}

static tkp_status share_sequence(tkp_selector *s, int32_t b)
{
    tkp__groups *g = &s->groups;
    const int32_t stop = g->first[b + 1];
    int64_t total;
    if (windows_decide(s)) {
        for (int32_t i = g->first[b]; i < stop; i++) {
            const int32_t size = g->offsets[i + 1] - g->offsets[i];
            const int32_t quota = s->spec.options.quota;
            g->keep[i] = quota < size ? quota : size;
        }
        return TKP_OK;
    }
    if (s->budget.scope == TKP_SCOPE_SEQUENCE) {
        TKP__TRY(free_places(s, TKP_SCOPE_SEQUENCE, b, -1, &total));
        return share_groups(s, total, g->first[b], stop);
    }
    for (int32_t i = g->first[b]; i < stop;) {
        const int32_t unit = unit_of_group(s, i);
        int32_t end = i; /* its groups follow each other */
        while (end < stop && unit_of_group(s, end) == unit)
            end++;
        TKP__TRY(free_places(s, s->budget.scope, b, unit, &total));
        TKP__TRY(share_groups(s, total, i, end));
        i = end;
    }
    return TKP_OK;
}

tkp_status tkp__quota_share(tkp_selector *s)
{
    tkp__groups *g = &s->groups;
    const tkp__batch *batch = s->batch;
    s->kept = 0;
    s->kept_offsets[0] = 0;
    s->protected_count = 0;
    g->kept_offsets[0] = 0;
    for (int32_t b = 0; b < batch->sequences; b++) {
        TKP__TRY(share_sequence(s, b));
        for (int32_t i = g->first[b]; i < g->first[b + 1]; i++) {
            g->kept_offsets[i + 1] = g->kept_offsets[i] + g->keep[i];
            s->kept += g->keep[i];
        }
        for (int32_t n = batch->candidate_offsets[b];
             n < batch->candidate_offsets[b + 1]; n++)
            if (batch->candidate_kept[n]) {
                s->protected_list[s->protected_count++] = n;
                s->kept++;
            }
        s->kept_offsets[b + 1] = s->kept;
    }
    g->kept = g->kept_offsets[g->count];
    return TKP_OK;
}

/* Windows that keep one token by place, not by score: the group shrinks to
 * that member. The centre is the member nearest the middle of the list's
 * bounding box, the first of equals. */
static int32_t
central_member(const tkp_selector *s, const tkp__groups *g, int32_t group)
{
    const tkp__batch *batch = s->batch;
    const int32_t first = g->offsets[group];
    const int32_t end = g->offsets[group + 1];
    const int32_t cols =
        batch->layout->images[batch->candidate_images[g->member[first]]].cols;
    int32_t low[2] = {INT32_MAX, INT32_MAX};
    int32_t high[2] = {0, 0};
    for (int32_t m = first; m < end; m++) {
        const int32_t cell = batch->candidate_cells[g->member[m]];
        const int32_t at[2] = {cell / cols, cell % cols};
        for (int32_t k = 0; k < 2; k++) {
            low[k] = at[k] < low[k] ? at[k] : low[k];
            high[k] = at[k] > high[k] ? at[k] : high[k];
        }
    }
    int64_t best = INT64_MAX;
    int32_t chosen = first;
    for (int32_t m = first; m < end; m++) {
        const int32_t cell = batch->candidate_cells[g->member[m]];
        const int64_t dy = 2 * (int64_t)(cell / cols) - low[0] - high[0];
        const int64_t dx = 2 * (int64_t)(cell % cols) - low[1] - high[1];
        if (dy * dy + dx * dx < best) {
            best = dy * dy + dx * dx;
            chosen = m;
        }
    }
    return chosen;
}

tkp_status tkp__quota_pick(tkp_selector *s)
{
    tkp__groups *g = &s->groups;
    const int32_t pick = s->spec.options.pick;
    if (s->spec.options.kind != TKP_SELECTOR_WINDOW || pick == TKP_PICK_SCORE)
        return TKP_OK;
    for (int32_t i = 0; i < g->count; i++) {
        TKP__CHECK(
            g->keep[i] <= 1, TKP_ERR_OPTION,
            "selector: a window keeps %d tokens; pick %s keeps one of each",
            g->keep[i], pick == TKP_PICK_CENTRE ? "centre" : "first");
        const int32_t first = g->offsets[i];
        const int32_t chosen =
            pick == TKP_PICK_FIRST ? first : central_member(s, g, i);
        /* the chosen one leads the list; keeping one of it needs no score */
        const int32_t lead = g->member[chosen];
        memmove(
            &g->member[first + 1], &g->member[first],
            (size_t)(chosen - first) * sizeof(int32_t));
        g->member[first] = lead;
    }
    return TKP_OK;
}
