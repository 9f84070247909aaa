/*
 * CLUSTER_CENTRES: members that are denser than all within a distance of them
 * that are centres, so that each member has one near.
 *
 *   D_ij      = 1 - x_i . x_j / (|x_i| |x_j|)
 *   density_i = sum over all members j of exp(-(D_ij / 2)^2), rounded to f32
 *   in order of density, densest first: who is farther than `distance` from
 *   every centre so far is a centre
 *
 * Source: PACT (Dhouib et al. 2025, arXiv 2504.08966), whose rounds (all that
 * have nobody denser within the distance are centres at once, what lies near
 * them is taken out, again) find the same ones. Open choices: of equal densities
 * the lower candidate is the denser one; the cosine is 0 where a norm is 0. In
 * double but for the density, which is compared as it is given out.
 */

#include "ref/ref.h"

enum { X, ROWS, GROUP_OFFSETS, MEMBERS, DENSITY, CENTRE };
enum { SCRATCH_NORMS, SCRATCH_ORDER };

static tkp_status plan_cluster_centres(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const int64_t n = args[ROWS].shape[0];
    const int64_t most =
        tkp__present(members) && members->shape[0] > n ? members->shape[0] : n;
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_NORMS, n, sizeof(double)));
    return tkp__ref_book(plan, ledger, SCRATCH_ORDER, most, sizeof(int32_t));
}

typedef struct call {
    const tkp_tensor *args;
    double distance;
    double *norms; /* [N] */
    int32_t *order;
} call;

static const void *row_of(const call *c, int32_t i)
{
    return tkp__ref_row(&c->args[X], tkp__ref_i32(&c->args[ROWS])[i]);
}

static double distance(const call *c, int32_t i, int32_t j)
{
    const tkp_tensor *x = &c->args[X];
    if (c->norms[i] == 0.0 || c->norms[j] == 0.0)
        return 1.0;
    return 1.0 -
           tkp__ref_dot(
               row_of(c, i), x->dtype, row_of(c, j), x->dtype, x->shape[1]) /
               (c->norms[i] * c->norms[j]);
}

static tkp_status find_norms(const call *c, int32_t n)
{
    const tkp_tensor *x = &c->args[X];
    for (int32_t m = 0; m < n; m++) {
        const int32_t i = c->order[m];
        const void *row = row_of(c, i);
        c->norms[i] =
            sqrt(tkp__ref_dot(row, x->dtype, row, x->dtype, x->shape[1]));
        TKP__CHECK(
            isfinite(c->norms[i]), TKP_ERR_DATA,
            "x: the row of candidate %d is not finite", i);
    }
    return TKP_OK;
}

static void find_densities(const call *c, int32_t n)
{
    float *density = tkp__data(&c->args[DENSITY]);
    for (int32_t m = 0; m < n; m++) {
        double sum = 0.0;
        for (int32_t o = 0; o < n; o++) {
            const double half = distance(c, c->order[m], c->order[o]) / 2.0;
            sum += exp(-half * half);
        }
        density[c->order[m]] = (float)sum;
    }
}

static void find_centres(const call *c, int32_t n)
{
    int32_t *centre = tkp__data(&c->args[CENTRE]);
    tkp__ref_sort(c->order, n, tkp__data(&c->args[DENSITY]), TKP_ORDER_HIGHEST);
    for (int32_t m = 0; m < n; m++) {
        const int32_t i = c->order[m];
        centre[i] = 1;
        for (int32_t o = 0; o < m && centre[i]; o++)
            if (centre[c->order[o]] &&
                distance(c, i, c->order[o]) <= c->distance)
                centre[i] = 0;
    }
}

static tkp_status run_cluster_centres(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    const int64_t all = args[ROWS].shape[0];
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const tkp_tensor *members = &args[MEMBERS];
    const call c = {
        .args = args,
        .distance = (double)plan->params.cluster_centres.distance,
        .norms = tkp__ref_scratch(plan, workspace, SCRATCH_NORMS),
        .order = tkp__ref_scratch(plan, workspace, SCRATCH_ORDER),
    };
    TKP__TRY(tkp__ref_check_index(&args[ROWS], all, args[X].shape[0], "rows"));
    TKP__TRY(tkp__ref_check_members(&args[GROUP_OFFSETS], members, all));
    for (int64_t i = 0; i < all; i++) {
        ((float *)tkp__data(&args[DENSITY]))[i] = 0.0f;
        ((int32_t *)tkp__data(&args[CENTRE]))[i] = -1;
    }
    for (int64_t g = 0; g < args[GROUP_OFFSETS].shape[0] - 1; g++) {
        const int32_t n = offsets[g + 1] - offsets[g];
        for (int32_t m = 0; m < n; m++)
            c.order[m] = tkp__present(members)
                             ? tkp__ref_i32(members)[offsets[g] + m]
                             : offsets[g] + m;
        TKP__TRY(find_norms(&c, n));
        find_densities(&c, n);
        find_centres(&c, n);
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_cluster_centres = {
    .kind = TKP_OP_CLUSTER_CENTRES,
    .params_size = sizeof(tkp_op_cluster_centres),
    .kernel = "ref_cluster_centres",
    .plan = plan_cluster_centres,
    .run = run_cluster_centres,
};
