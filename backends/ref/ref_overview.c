/*
 * OVERVIEW: what a picture that is seen as a whole says of its parts.
 *
 *   whole     scores on a grid of h x w cells; 0 where there is no candidate
 *   BILINEAR  the whole resized to H x W (half-pixel centres, borders repeat):
 *             dst = its value at row y, column x
 *   SUM       parts H x W of it: cell (u, v) is in part
 *             (min(u / max(h / H, 1), H - 1), the same of columns);
 *             dst = sum of the part (y, x); of the whole itself: of all
 *   SHARE     (1 - alpha) sum of the part / sum of all; of the whole itself
 *             alpha, or 1 where it has no parts
 *
 * Source: GlobalCom2's interpolated scores and its crops' regions; HiRED's shares.
 *
 * Open choices: cells without a candidate (gone, or padding) are left out of a
 * resize and the rest scaled up, 0 where nothing is left; a sum of 0 makes all
 * parts' shares alike. Double precision, one rounding.
 */

#include "ref/ref.h"

enum { SCORES, CELLS, PICTURES, PLACES, DST };
enum { FIRST, ROWS, COLS, PART_ROWS, PART_COLS, FIELDS };

typedef struct whole {
    const float *scores;
    const int32_t *cells; /* [rows, cols] candidate; -1 = none */
    int32_t rows, cols;
    int32_t part_rows, part_cols; /* what it is brought to */
} whole;

static double at(const whole *w, int32_t u, int32_t v)
{
    const int32_t n = w->cells[(int64_t)u * w->cols + v];
    return n < 0 ? 0.0 : (double)w->scores[n];
}

/* Where a row of `to` lies among `from`: between `low` and the next, `share` of
 * the way. */
static int32_t source_of(int32_t i, int32_t from, int32_t to, double *share)
{
    double x = (i + 0.5) * from / to - 0.5;
    x = x < 0.0 ? 0.0 : x;
    const int32_t low = (int32_t)x < from - 1 ? (int32_t)x : from - 1;
    *share = x - low;
    return low;
}

static double resized(const whole *w, int32_t y, int32_t x)
{
    double down, right, sum = 0.0, weight = 0.0;
    const int32_t u = source_of(y, w->rows, w->part_rows, &down);
    const int32_t v = source_of(x, w->cols, w->part_cols, &right);
    for (int32_t i = 0; i < 2; i++)
        for (int32_t j = 0; j < 2; j++) {
            const int32_t row = u + i < w->rows ? u + i : u;
            const int32_t col = v + j < w->cols ? v + j : v;
            const double k =
                (i ? down : 1.0 - down) * (j ? right : 1.0 - right);
            if (k == 0.0 || w->cells[(int64_t)row * w->cols + col] < 0)
                continue;
            sum += k * at(w, row, col);
            weight += k;
        }
    return weight > 0.0 ? sum / weight : 0.0;
}

static double
sum_of(const whole *w, int32_t top, int32_t end, int32_t left, int32_t right)
{
    double sum = 0.0;
    for (int32_t u = top; u < end; u++)
        for (int32_t v = left; v < right; v++)
            sum += at(w, u, v);
    return sum;
}

/* Cells of part i of `parts`: the last one has what does not come out even. */
static void
stretch(int32_t i, int32_t cells, int32_t parts, int32_t *begin, int32_t *end)
{
    const int32_t each = cells / parts > 0 ? cells / parts : 1;
    *begin = i * each < cells ? i * each : cells;
    *end = i == parts - 1          ? cells
           : *begin + each < cells ? *begin + each
                                   : cells;
}

static double part_sum(const whole *w, int32_t y, int32_t x)
{
    int32_t top, end, left, right;
    stretch(y, w->rows, w->part_rows, &top, &end);
    stretch(x, w->cols, w->part_cols, &left, &right);
    return sum_of(w, top, end, left, right);
}

static double
value_at(const tkp_op_overview *p, const whole *w, int32_t y, int32_t x)
{
    if (p->map == TKP_OVERVIEW_BILINEAR)
        return resized(w, y, x);
    const double all = y >= 0 && p->map == TKP_OVERVIEW_SUM
                           ? 0.0
                           : sum_of(w, 0, w->rows, 0, w->cols);
    if (p->map == TKP_OVERVIEW_SUM)
        return y < 0 ? all : part_sum(w, y, x);
    const double alpha = (double)p->alpha;
    if (y < 0)
        return w->part_rows ? alpha : 1.0;
    return (1.0 - alpha) * (all != 0.0
                                ? part_sum(w, y, x) / all
                                : 1.0 / ((double)w->part_rows * w->part_cols));
}

static tkp_status check_tables(const tkp_tensor *args)
{
    const int64_t n = args[SCORES].shape[0], cells = args[CELLS].shape[0];
    const int64_t pictures = args[PICTURES].shape[0];
    const int32_t *cell = tkp__ref_i32(&args[CELLS]);
    for (int64_t i = 0; i < cells; i++)
        TKP__CHECK(
            cell[i] >= -1 && cell[i] < n, TKP_ERR_ARGUMENT,
            "cells: entry %lld is %d, wanted -1 to %lld", (long long)i, cell[i],
            (long long)n - 1);
    for (int64_t i = 0; i < pictures; i++) {
        const int32_t *p = tkp__ref_i32(&args[PICTURES]) + i * FIELDS;
        TKP__CHECK(
            p[FIRST] >= 0 && p[ROWS] >= 1 && p[COLS] >= 1 &&
                (int64_t)p[ROWS] * p[COLS] <= cells - p[FIRST] &&
                p[PART_ROWS] >= 0 && p[PART_COLS] >= 0,
            TKP_ERR_ARGUMENT,
            "pictures: row %lld is %d, %d x %d, %d x %d, wanted cells within "
            "the %lld there are",
            (long long)i, p[FIRST], p[ROWS], p[COLS], p[PART_ROWS],
            p[PART_COLS], (long long)cells);
    }
    return TKP_OK;
}

static tkp_status
check_place(const tkp_tensor *args, int64_t n, const int32_t *place)
{
    const bool known = place[0] >= 0 && place[0] < args[PICTURES].shape[0];
    const int32_t *p =
        known ? tkp__ref_i32(&args[PICTURES]) + place[0] * FIELDS : NULL;
    TKP__CHECK(
        place[0] == -1 || (p && ((place[1] == -1 && place[2] == -1) ||
                                 (place[1] >= 0 && place[1] < p[PART_ROWS] &&
                                  place[2] >= 0 && place[2] < p[PART_COLS]))),
        TKP_ERR_ARGUMENT,
        "places: row %lld is picture %d, %d, %d, wanted one that is there, and "
        "a part of it or -1, -1",
        (long long)n, place[0], place[1], place[2]);
    return TKP_OK;
}

static tkp_status
run_overview(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_op_overview *p = &plan->params.overview;
    const float *scores = tkp__data(&args[SCORES]);
    float *dst = tkp__data(&args[DST]);
    const int32_t *last = NULL; /* parts come in runs of one place */
    (void)workspace;
    TKP__TRY(check_tables(args));
    for (int64_t n = 0; n < args[DST].shape[0]; n++) {
        const int32_t *place = tkp__ref_i32(&args[PLACES]) + 3 * n;
        TKP__TRY(check_place(args, n, place));
        const bool itself =
            place[0] < 0 || (place[1] < 0 && p->map == TKP_OVERVIEW_BILINEAR);
        if (itself) {
            dst[n] = scores[n];
        } else if (last && memcmp(last, place, 3 * sizeof(*place)) == 0) {
            dst[n] = dst[n - 1];
        } else {
            const int32_t *of =
                tkp__ref_i32(&args[PICTURES]) + place[0] * FIELDS;
            const whole w = {
                .scores = scores,
                .cells = tkp__ref_i32(&args[CELLS]) + of[FIRST],
                .rows = of[ROWS],
                .cols = of[COLS],
                .part_rows = of[PART_ROWS],
                .part_cols = of[PART_COLS],
            };
            dst[n] = (float)value_at(p, &w, place[1], place[2]);
        }
        last = itself ? NULL : place;
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_overview = {
    .kind = TKP_OP_OVERVIEW,
    .params_size = sizeof(tkp_op_overview),
    .kernel = "ref_overview",
    .run = run_overview,
};
