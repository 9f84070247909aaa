/*
 * NEAREST: the kept candidate that each member of a group is most like.
 *
 *   dst[i] = arg max over the group's entries e of likeness(i, kept[e])
 *   likeness = cos(x_i, x_j), or -|x_i - x_j|
 *
 * Source: token merging into what is kept (PruMerge, VisionZip, VScan, ApET;
 * SparseVLM's clusters by distance). Open choices: a kept candidate is its own,
 * though another may be equal; ties go to the lower entry; the cosine is 0
 * where a norm is 0. A likeness that is not finite is TKP_ERR_DATA. In double;
 * ties are ties of the double value.
 */

#include "ref/ref.h"

enum { X, ROWS, GROUP_OFFSETS, MEMBERS, KEPT, KEPT_OFFSETS, DST, LIKENESS };
enum { SCRATCH_SQUARES };

static tkp_status
plan_nearest(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    return tkp__ref_book(
        plan, ledger, SCRATCH_SQUARES, args[ROWS].shape[0], sizeof(double));
}

static tkp_status check_data(const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const bool listed = tkp__present(members);
    const int64_t n = args[ROWS].shape[0];
    const int64_t groups = args[GROUP_OFFSETS].shape[0] - 1;
    TKP__TRY(tkp__ref_check_index(&args[ROWS], n, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_offsets(
        &args[GROUP_OFFSETS], listed ? members->shape[0] : n, "group_offsets"));
    if (listed)
        TKP__TRY(tkp__ref_check_index(
            members, tkp__ref_i32(&args[GROUP_OFFSETS])[groups], n, "members"));
    TKP__TRY(tkp__ref_check_covering(
        &args[KEPT_OFFSETS], args[KEPT].shape[0], "kept_offsets"));
    return tkp__ref_check_index(&args[KEPT], args[KEPT].shape[0], n, "kept");
}

static double distance(const tkp_tensor *x, int32_t a, int32_t b)
{
    const void *ra = tkp__ref_row(x, a), *rb = tkp__ref_row(x, b);
    double sum = 0.0;
    for (int64_t c = 0; c < x->shape[1]; c++) {
        const double d = (double)tkp__load_f32(ra, x->dtype, c) -
                         (double)tkp__load_f32(rb, x->dtype, c);
        sum += d * d;
    }
    return sqrt(sum);
}

typedef struct call {
    const tkp_tensor *args;
    const double *squares; /* |x|^2 by candidate */
    bool euclidean;
} call;

static double likeness(const call *c, int32_t i, int32_t j)
{
    const tkp_tensor *x = &c->args[X];
    const int32_t *rows = tkp__ref_i32(&c->args[ROWS]);
    if (c->euclidean)
        return -distance(x, rows[i], rows[j]);
    if (c->squares[i] == 0.0 || c->squares[j] == 0.0)
        return 0.0;
    const double dot = tkp__ref_dot(
        tkp__ref_row(x, rows[i]), x->dtype, tkp__ref_row(x, rows[j]), x->dtype,
        x->shape[1]);
    return dot / sqrt(c->squares[i] * c->squares[j]);
}

static tkp_status join(const call *c, int32_t i, int32_t first, int32_t end)
{
    const int32_t *kept = tkp__ref_i32(&c->args[KEPT]);
    int32_t *dst = tkp__data(&c->args[DST]);
    double best = 0.0;
    for (int32_t e = first; e < end; e++) {
        const double value = likeness(c, i, kept[e]);
        TKP__CHECK(
            isfinite(value), TKP_ERR_DATA,
            "x: the likeness of candidates %d and %d is not finite", i,
            kept[e]);
        if (kept[e] == i || dst[i] < 0 || value > best) {
            best = value;
            dst[i] = e;
        }
        if (kept[e] == i)
            break;
    }
    if (tkp__present(&c->args[LIKENESS]))
        ((float *)tkp__data(&c->args[LIKENESS]))[i] = (float)best;
    return TKP_OK;
}

static void clear(const tkp_tensor *args)
{
    for (int64_t i = 0; i < args[ROWS].shape[0]; i++) {
        ((int32_t *)tkp__data(&args[DST]))[i] = -1;
        if (tkp__present(&args[LIKENESS]))
            ((float *)tkp__data(&args[LIKENESS]))[i] = 0.0f;
    }
}

static tkp_status
run_nearest(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    TKP__TRY(check_data(args));
    const tkp_tensor *x = &args[X];
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const int32_t *kept = tkp__ref_i32(&args[KEPT_OFFSETS]);
    const int32_t *members =
        tkp__present(&args[MEMBERS]) ? tkp__ref_i32(&args[MEMBERS]) : NULL;
    double *squares = tkp__ref_scratch(plan, workspace, SCRATCH_SQUARES);
    const call c = {
        .args = args,
        .squares = squares,
        .euclidean = plan->params.nearest.measure == TKP_GREEDY_EUCLIDEAN,
    };
    for (int64_t i = 0; i < args[ROWS].shape[0]; i++) {
        const void *row = tkp__ref_row(x, tkp__ref_i32(&args[ROWS])[i]);
        squares[i] = tkp__ref_dot(row, x->dtype, row, x->dtype, x->shape[1]);
    }
    clear(args);
    for (int64_t g = 0; g < args[GROUP_OFFSETS].shape[0] - 1; g++)
        for (int32_t m = offsets[g]; m < offsets[g + 1]; m++)
            TKP__TRY(join(&c, members ? members[m] : m, kept[g], kept[g + 1]));
    return TKP_OK;
}

const tkp__ref_op tkp__ref_nearest = {
    .kind = TKP_OP_NEAREST,
    .params_size = sizeof(tkp_op_nearest),
    .kernel = "ref_nearest",
    .plan = plan_nearest,
    .run = run_nearest,
};
