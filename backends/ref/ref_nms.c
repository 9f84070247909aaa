/*
 * NMS: who is left when the best silence what is like them (non-maximum
 * suppression), within the parts of a group.
 *
 *   mean = mean over pairs i != j of the group's S_ij; of one member: 0
 *   in order of score, best first: who is not silenced survives, and silences
 *   members of the same part with S_ij > factor mean
 *
 * Source: PruneSID (ICLR 2026), whose parts are PRINCIPAL_GROUPS. Open choices:
 * of equal scores the lower candidate comes first; who is silenced silences
 * nobody; cosines are 0 where a norm is 0. In double: the mean of pairs follows
 * from the sum of all unit rows.
 */

#include "ref/ref.h"

enum { X, ROWS, GROUP_OFFSETS, MEMBERS, PARTS, SCORES, FACTOR, SURVIVES, MEAN };
enum { SCRATCH_NORMS, SCRATCH_SUM, SCRATCH_ORDER };

static tkp_status
plan_nms(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const int64_t n = args[ROWS].shape[0];
    const int64_t most =
        tkp__present(members) && members->shape[0] > n ? members->shape[0] : n;
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_NORMS, n, sizeof(double)));
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_SUM, args[X].shape[1], sizeof(double)));
    return tkp__ref_book(plan, ledger, SCRATCH_ORDER, most, sizeof(int32_t));
}

static tkp_status check_data(const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const bool listed = tkp__present(members);
    const int64_t all = args[ROWS].shape[0];
    const int64_t groups = args[FACTOR].shape[0];
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    TKP__TRY(tkp__ref_check_index(&args[ROWS], all, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_offsets(
        &args[GROUP_OFFSETS], listed ? members->shape[0] : all,
        "group_offsets"));
    if (listed)
        TKP__TRY(
            tkp__ref_check_index(members, offsets[groups], all, "members"));
    for (int32_t m = 0; tkp__present(&args[PARTS]) && m < offsets[groups];
         m++) { /* who is no member may have no part */
        const int32_t i = listed ? tkp__ref_i32(members)[m] : m;
        const int32_t part = tkp__ref_i32(&args[PARTS])[i];
        TKP__CHECK(
            part >= 0 && part < all, TKP_ERR_ARGUMENT,
            "parts: entry %d is %d, wanted 0 to %lld", i, part,
            (long long)all - 1);
    }
    return TKP_OK;
}

typedef struct call {
    const tkp_tensor *args;
    double *norms; /* [N] */
} call;

static const void *row_of(const call *c, int32_t i)
{
    return tkp__ref_row(&c->args[X], tkp__ref_i32(&c->args[ROWS])[i]);
}

static double likeness(const call *c, int32_t i, int32_t j)
{
    const tkp_tensor *x = &c->args[X];
    if (c->norms[i] == 0.0 || c->norms[j] == 0.0)
        return 0.0;
    return tkp__ref_dot(
               row_of(c, i), x->dtype, row_of(c, j), x->dtype, x->shape[1]) /
           (c->norms[i] * c->norms[j]);
}

/* Mean cosine of all pairs. */
static tkp_status find_mean(
    const call *c,
    const int32_t *member,
    int32_t n,
    double *sum,
    double *out)
{
    const tkp_tensor *x = &c->args[X];
    double alone = 0.0;
    for (int64_t d = 0; d < x->shape[1]; d++)
        sum[d] = 0.0;
    for (int32_t m = 0; m < n; m++) {
        const int32_t i = member[m];
        const void *row = row_of(c, i);
        const double squares =
            tkp__ref_dot(row, x->dtype, row, x->dtype, x->shape[1]);
        TKP__CHECK(
            isfinite(squares), TKP_ERR_DATA,
            "x: the row of candidate %d is not finite", i);
        c->norms[i] = sqrt(squares);
        if (squares == 0.0)
            continue;
        alone += 1.0;
        for (int64_t d = 0; d < x->shape[1]; d++)
            sum[d] += (double)tkp__load_f32(row, x->dtype, d) / c->norms[i];
    }
    double whole = 0.0;
    for (int64_t d = 0; d < x->shape[1]; d++)
        whole += sum[d] * sum[d];
    *out = n > 1 ? (whole - alone) / ((double)n * (n - 1)) : 0.0;
    return TKP_OK;
}

static tkp_status check_scores(const call *c, const int32_t *member, int32_t n)
{
    const float *scores = tkp__data(&c->args[SCORES]);
    for (int32_t m = 0; m < n; m++)
        TKP__CHECK(
            isfinite(scores[member[m]]), TKP_ERR_DATA,
            "scores: entry %d is not finite", member[m]);
    return TKP_OK;
}

static void
silence(const call *c, const int32_t *order, int32_t n, double limit)
{
    const tkp_tensor *parts = &c->args[PARTS];
    const int32_t *part = tkp__present(parts) ? tkp__ref_i32(parts) : NULL;
    int32_t *survives = tkp__data(&c->args[SURVIVES]);
    for (int32_t a = 0; a < n; a++)
        survives[order[a]] = 1;
    for (int32_t a = 0; a < n; a++) {
        const int32_t i = order[a];
        for (int32_t b = a + 1; survives[i] && b < n; b++) {
            const int32_t j = order[b];
            if (survives[j] && (!part || part[i] == part[j]) &&
                likeness(c, i, j) > limit)
                survives[j] = 0;
        }
    }
}

static tkp_status
run_nms(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    TKP__TRY(check_data(args));
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const float *factor = tkp__data(&args[FACTOR]);
    float *mean_out = tkp__data(&args[MEAN]);
    int32_t *survives = tkp__data(&args[SURVIVES]);
    int32_t *order = tkp__ref_scratch(plan, workspace, SCRATCH_ORDER);
    const call c = {
        .args = args,
        .norms = tkp__ref_scratch(plan, workspace, SCRATCH_NORMS),
    };
    for (int64_t i = 0; i < args[ROWS].shape[0]; i++)
        survives[i] = -1;
    for (int64_t g = 0; g < args[FACTOR].shape[0]; g++) {
        const int32_t n = offsets[g + 1] - offsets[g];
        double mean = 0.0;
        for (int32_t m = 0; m < n; m++)
            order[m] = tkp__present(&args[MEMBERS])
                           ? tkp__ref_i32(&args[MEMBERS])[offsets[g] + m]
                           : offsets[g] + m;
        TKP__TRY(check_scores(&c, order, n));
        TKP__TRY(find_mean(
            &c, order, n, tkp__ref_scratch(plan, workspace, SCRATCH_SUM),
            &mean));
        mean_out[g] = (float)mean;
        tkp__ref_sort(order, n, tkp__data(&args[SCORES]), TKP_ORDER_HIGHEST);
        silence(&c, order, n, (double)factor[g] * mean);
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_nms = {
    .kind = TKP_OP_NMS,
    .params_size = 0,
    .kernel = "ref_nms",
    .plan = plan_nms,
    .run = run_nms,
};
