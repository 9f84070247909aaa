/*
 * Boxes around what a sentence describes. Sources: VLMEvalKit's refcoco.py
 * (automatic scale, clipping), the harness of the paper's authors (seed: by the
 * sum, nothing clipped), LLaVA (boxes relative to the padded square).
 */
#include <math.h>
#include <stdio.h>

#include "eval/box.h"
#include "eval/kinds.h"

/* What one unit of the answer is, in sides of the picture; 0 = pixels. */
static double unit_of(const double box[4], int32_t scale)
{
    double most = 0, sum = 0;
    for (int i = 0; i < 4; i++) {
        most = fabs(box[i]) > most ? fabs(box[i]) : most;
        sum += box[i];
    }
    switch (scale) {
    case TKP__EVAL_SCALE_UNIT:
        return 1;
    case TKP__EVAL_SCALE_THOUSAND:
        return 1e-3;
    case TKP__EVAL_SCALE_Q999:
        return 1.0 / 999;
    case TKP__EVAL_SCALE_PIXEL:
        return 0;
    case TKP__EVAL_SCALE_SEED:
        return sum >= 4 ? 1e-3 : 1;
    default:
        return most <= 1.5 ? 1 : most <= 1000 ? 1e-3 : 0;
    }
}

static void order(double *low, double *high)
{
    const double was = *low;
    if (*high < *low) {
        *low = *high;
        *high = was;
    }
}

static double clip(double value, double high)
{
    return value < 0 ? 0 : value > high ? high : value;
}

void tkp__eval_box_place(
    double box[4],
    const tkp__eval_box_rule *rule,
    double width,
    double height)
{
    const double unit = unit_of(box, rule->scale);
    const double side = width > height ? width : height;
    for (int i = 0; i < 4; i++) {
        const double length = i % 2 ? height : width;
        if (rule->padded)
            box[i] = (unit > 0 ? box[i] * unit * side : box[i]) -
                     (side - length) / 2;
        else if (unit > 0)
            box[i] *= unit * length;
        if (!rule->raw)
            box[i] = clip(box[i], length);
    }
    if (rule->raw)
        return;
    order(&box[0], &box[2]);
    order(&box[1], &box[3]);
}

double tkp__eval_box_iou(const double a[4], const double b[4])
{
    const double width = fmin(a[2], b[2]) - fmax(a[0], b[0]);
    const double height = fmin(a[3], b[3]) - fmax(a[1], b[1]);
    if (!(width > 0 && height > 0))
        return 0;
    const double all = (a[2] - a[0]) * (a[3] - a[1]) +
                       (b[2] - b[0]) * (b[3] - b[1]) - width * height;
    return all > 0 ? width * height / all : 0;
}

static bool
read_any(double box[4], const tkp__eval_box_rule *rule, const char *answer)
{
    for (int i = 0; i < TKP__EVAL_BOX_MOST_PARSERS && rule->parsers[i]; i++)
        if (tkp__eval_box_read(box, answer, rule->parsers[i]))
            return true;
    return false;
}

static tkp_status score_box(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    const tkp__eval_box *g = &item->box;
    const double gold[4] = {g->x1, g->y1, g->x2, g->y2};
    double box[4];
    char parsed[128];
    TKP__CHECK(
        g->width > 0 && g->height > 0, TKP_ERR_ARGUMENT,
        "the picture of question '%.60s' is %g x %g, wanted a size above 0",
        item->id, g->width, g->height);
    if (!read_any(box, &metric->box, answer))
        return tkp__eval_score_of(out, 0, "", TKP__EVAL_UNPARSED);
    tkp__eval_box_place(box, &metric->box, g->width, g->height);
    const double iou = tkp__eval_box_iou(box, gold);
    const double x = (box[0] + box[2]) / 2, y = (box[1] + box[3]) / 2;
    const bool inside = x >= g->x1 && x <= g->x2 && y >= g->y1 && y <= g->y2;
    snprintf(
        parsed, sizeof(parsed), "[%.2f, %.2f, %.2f, %.2f]", box[0], box[1],
        box[2], box[3]);
    TKP__TRY(tkp__eval_score_of(
        out, iou >= 0.5, parsed, inside ? TKP__EVAL_CENTER : 0));
    out->measure = iou;
    return TKP_OK;
}

/* --- figures ------------------------------------------------------------------ */

typedef struct sums {
    int64_t n, at3, at5, at7, center, unparsed;
    double iou;
} sums;

static sums
sum(const tkp__eval_table *table, const uint32_t *weights, int32_t split)
{
    sums s = {0};
    for (int64_t i = 0; i < table->n_rows; i++) {
        const tkp__eval_row *row = &table->rows[i];
        const int64_t w = tkp__eval_weight(row, weights);
        if (split >= 0 && row->split != split)
            continue;
        s.n += w;
        s.at3 += row->measure >= 0.3 ? w : 0;
        s.at5 += row->measure >= 0.5 ? w : 0;
        s.at7 += row->measure >= 0.7 ? w : 0;
        s.center += row->flags & TKP__EVAL_CENTER ? w : 0;
        s.unparsed += row->flags & TKP__EVAL_UNPARSED ? w : 0;
        s.iou += (double)w * row->measure;
    }
    return s;
}

static tkp_status put_sums(tkp__eval_figures *out, const char *prefix, sums s)
{
    TKP__TRY(tkp__eval_put_share(out, prefix, "p@0.5", s.at5, s.n));
    TKP__TRY(tkp__eval_put(
        out, prefix, "mean iou", tkp__eval_percent(s.iou, (double)s.n), s.n,
        -1));
    TKP__TRY(tkp__eval_put_share(out, prefix, "p@0.3", s.at3, s.n));
    TKP__TRY(tkp__eval_put_share(out, prefix, "p@0.7", s.at7, s.n));
    TKP__TRY(tkp__eval_put_share(out, prefix, "center in box", s.center, s.n));
    return tkp__eval_put_share(out, prefix, "without box", s.unparsed, s.n);
}

/* Of several splits the plain mean comes first, as papers print it. */
static tkp_status figures_box(
    tkp__eval_figures *out,
    const tkp__eval_kind *kind,
    const tkp__eval_table *table,
    const uint32_t *weights)
{
    (void)kind;
    const sums all = sum(table, weights, -1);
    const int32_t splits = table->splits.count;
    double mean = 0;
    for (int32_t i = 0; i < splits; i++) {
        const sums s = sum(table, weights, i);
        mean += tkp__eval_percent((double)s.at5, (double)s.n) / splits;
    }
    if (splits > 1)
        TKP__TRY(tkp__eval_put(out, NULL, "mean p@0.5", mean, all.n, -1));
    TKP__TRY(put_sums(out, NULL, all));
    for (int32_t i = 0; splits > 1 && i < splits; i++)
        TKP__TRY(put_sums(out, table->splits.names[i], sum(table, weights, i)));
    return TKP_OK;
}

const tkp__eval_kind tkp__eval_box_kinds[] = {
    {"box_iou", "the box in the answer covers the right one, IoU >= 0.5",
     TKP__EVAL_NEED_BOX, score_box, figures_box},
    {NULL, NULL, 0, NULL, NULL}};
