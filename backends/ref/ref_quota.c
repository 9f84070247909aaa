/*
 * QUOTA: how many members each group keeps out of what its set keeps.
 *
 *   v_g = mean (sum, maximum) of the weights in g, times -1 if `lowest`
 *   w   = softmax(v / temperature) over the set, or v / sum of v
 *   LARGEST_REMAINDER  q_g = least + the rest shared out in proportion to w by
 *                      largest remainder, no group above its size
 *   SPILL              q_g = least + floor(rest w_g), at most the group; what is
 *                      left goes to the largest fraction until it is full, then
 *                      to the next
 *   HEAVIEST           q_g = least + floor(rest w_g); what is left one each to
 *                      those of the largest w; what exceeds a group is shared
 *                      out as by LARGEST_REMAINDER
 *   TILT               q_g = least + the rest shared out in proportion to n_g (1 +
 *                      w_g - mean w) by largest remainder, none above its size;
 *                      truncated: floor(n_g min(1, base (1 + w_g - mean w)))
 *   SOFT               q_g = max(least, round(n_g min(1, base (1 + w_g - mean w))))
 *
 * Source: Hamilton; V-CAST's code; HoloV's, which loses what exceeds a group;
 * GlobalCom2's; VidCom2's. The others are computed in f32, as there: 100 times 1/25 is 4, though the
 * f32 next to 1/25 is a little less.
 *
 * Open choices: where keep does not reach `least` of each group, `least` is as
 * much as it reaches for all; weights whose sum is 0 count alike; equal
 * fractions: the lower group.
 */

#include "ref/ref.h"
#include "util/apportion.h"

enum { WEIGHTS, GROUP_OFFSETS, MEMBERS, SET_OFFSETS, KEEP, QUOTA };
enum { SCRATCH_WEIGHT, SCRATCH_SHARES };

static tkp_status
plan_quota(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t m = args[QUOTA].shape[0];
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_WEIGHT, m, sizeof(double)));
    return tkp__ref_book(plan, ledger, SCRATCH_SHARES, 3 * m, sizeof(int64_t));
}

/* GlobalCom2's code adds it to the sum of a softmax. */
static const double SOFTMAX_GUARD = 1e-8;

typedef struct set {
    const tkp_op_quota *p;
    const int32_t *offsets; /* [m + 1] of its groups */
    int32_t m, keep;
    double *weight;                     /* [m] v, then w */
    int64_t *weights, *limits, *shares; /* [m] */
    int32_t *quota;                     /* [m] */
} set;

static int32_t size(const set *s, int32_t g)
{
    return s->offsets[g + 1] - s->offsets[g];
}

/* Of an empty group 0; it keeps nothing anyway. */
static tkp_status reduce_group(
    const set *s,
    const float *weights,
    const int32_t *members,
    int32_t g)
{
    double sum = 0.0, most = -INFINITY;
    for (int32_t i = s->offsets[g]; i < s->offsets[g + 1]; i++) {
        const float w = weights[members ? members[i] : i];
        TKP__CHECK(
            isfinite(w) && (s->p->temperature > 0.0f || w >= 0.0f),
            TKP_ERR_DATA, "weights: entry %d is %g, wanted a finite number%s",
            members ? members[i] : i, (double)w,
            s->p->temperature > 0.0f ? "" : " from 0 up");
        sum += (double)w;
        most = (double)w > most ? (double)w : most;
    }
    const int32_t n = size(s, g);
    double v = s->p->reduce == TKP_ROW_REDUCE_MAX ? most : sum;
    if (s->p->reduce == TKP_ROW_REDUCE_MEAN && n)
        v /= n;
    s->weight[g] = !n ? 0.0 : s->p->lowest ? -v : v;
    return TKP_OK;
}

/* v becomes w. Empty groups count for nothing. */
static void normalise(const set *s)
{
    double most = -INFINITY, sum = 0.0;
    int32_t there = 0;
    for (int32_t g = 0; g < s->m; g++) {
        there += size(s, g) > 0;
        if (size(s, g) && s->weight[g] > most)
            most = s->weight[g];
    }
    for (int32_t g = 0; g < s->m; g++) {
        if (s->p->temperature > 0.0f)
            s->weight[g] =
                size(s, g)
                    ? exp((s->weight[g] - most) / (double)s->p->temperature)
                    : 0.0;
        sum += s->weight[g];
    }
    if (s->p->truncate && s->p->rule == TKP_QUOTA_TILT &&
        s->p->temperature > 0.0f)
        sum += SOFTMAX_GUARD;
    for (int32_t g = 0; g < s->m; g++)
        s->weight[g] = sum != 0.0       ? s->weight[g] / sum
                       : size(s, g) > 0 ? 1.0 / there
                                        : 0.0;
}

/* What comes first; gives what is left to share. */
static int32_t take_least(const set *s)
{
    int32_t rest = s->keep;
    int32_t least = s->p->least < s->keep ? s->p->least : s->keep;
    for (;; least--) {
        int64_t all = 0;
        for (int32_t g = 0; g < s->m; g++)
            all += size(s, g) < least ? size(s, g) : least;
        if (all <= s->keep)
            break;
    }
    for (int32_t g = 0; g < s->m; g++) {
        s->quota[g] = size(s, g) < least ? size(s, g) : least;
        rest -= s->quota[g];
    }
    return rest;
}

static tkp_status share_by_remainder(const set *s, int64_t rest)
{
    for (int32_t g = 0; g < s->m; g++) {
        s->weights[g] = (int64_t)rint(ldexp(s->weight[g], 52));
        s->limits[g] = size(s, g) - s->quota[g];
    }
    TKP__TRY(tkp__apportion(rest, s->m, s->weights, s->limits, s->shares));
    for (int32_t g = 0; g < s->m; g++)
        s->quota[g] += (int32_t)s->shares[g];
    return TKP_OK;
}

static void spill(const set *s)
{
    const int32_t rest = take_least(s);
    int32_t left = rest;
    for (int32_t g = 0; g < s->m; g++) {
        const float ideal = (float)rest * (float)s->weight[g];
        const float whole = floorf(ideal);
        const int32_t room = size(s, g) - s->quota[g];
        const int32_t part = whole < (float)room ? (int32_t)whole : room;
        const int32_t given = part < left ? part : left;
        s->quota[g] += given;
        left -= given;
        s->weight[g] = (double)(ideal - whole);
    }
    while (left > 0) {
        int32_t best = -1;
        for (int32_t g = 0; g < s->m; g++)
            if (s->quota[g] < size(s, g) &&
                (best < 0 || s->weight[g] > s->weight[best]))
                best = g;
        const int32_t room = size(s, best) - s->quota[best];
        const int32_t given = room < left ? room : left;
        s->quota[best] += given;
        left -= given;
    }
}

static tkp_status heaviest(const set *s)
{
    const int32_t rest = take_least(s);
    int64_t left = rest, over = 0;
    for (int32_t g = 0; g < s->m; g++) {
        s->shares[g] = (int64_t)floorf((float)rest * (float)s->weight[g]);
        s->limits[g] = 0; /* 1: it had one more */
        left -= s->shares[g];
    }
    while (left > 0) {
        int32_t best = -1;
        for (int32_t g = 0; g < s->m; g++)
            if (!s->limits[g] && (best < 0 || s->weight[g] > s->weight[best]))
                best = g;
        if (best < 0)
            break;
        s->limits[best] = 1;
        s->shares[best]++;
        left--;
    }
    for (int32_t g = 0; g < s->m; g++) {
        const int64_t room = size(s, g) - s->quota[g];
        const int64_t part = s->shares[g] < room ? s->shares[g] : room;
        over += s->shares[g] - part;
        s->quota[g] += (int32_t)part;
    }
    return share_by_remainder(s, over + left);
}

/* w becomes 1 + w - mean w, the mean over groups that are not empty. */
static void tilt_weights(const set *s)
{
    double sum = 0.0;
    int32_t there = 0;
    for (int32_t g = 0; g < s->m; g++) {
        sum += s->weight[g];
        there += size(s, g) > 0;
    }
    for (int32_t g = 0; g < s->m; g++)
        s->weight[g] = size(s, g) ? 1.0 + (s->weight[g] - sum / there) : 0.0;
}

static tkp_status tilt(const set *s)
{
    double sum = 0.0;
    tilt_weights(s);
    for (int32_t g = 0; g < s->m; g++) {
        s->weight[g] *= size(s, g);
        sum += s->weight[g];
    }
    for (int32_t g = 0; g < s->m; g++)
        s->weight[g] = sum > 0.0 ? s->weight[g] / sum : 0.0;
    return share_by_remainder(s, take_least(s));
}

/* The number of up to seven places that a float was written as: 0.7, not
 * 0.69999999. */
static double written(float x)
{
    const double decimal = rint((double)x * 1e7) / 1e7;
    return (float)decimal == x ? decimal : (double)x;
}

/* EADP's code: what is lost in truncating is not given to anyone. */
static void truncated(const set *s)
{
    const int32_t n = s->offsets[s->m] - s->offsets[0];
    const double keep =
        s->p->base > 0.0f ? rint(written(s->p->base) * n) : (double)s->keep;
    for (int32_t g = 0; g < s->m; g++) {
        const int32_t part = (int32_t)(keep * s->weight[g]);
        const int32_t q = part > s->p->least ? part : s->p->least;
        s->quota[g] = q < size(s, g) ? q : size(s, g);
    }
}

static void tilt_truncated(const set *s)
{
    const int32_t n = s->offsets[s->m] - s->offsets[0];
    const double base = s->p->base > 0.0f ? written(s->p->base)
                        : n               ? (double)s->keep / n
                                          : 0.0;
    tilt_weights(s);
    for (int32_t g = 0; g < s->m; g++) {
        const double share = base * s->weight[g];
        s->quota[g] = (int32_t)(size(s, g) * (share < 1.0 ? share : 1.0));
    }
}

static void soft(const set *s)
{
    const int32_t n = s->offsets[s->m] - s->offsets[0];
    const float base = s->p->base > 0.0f ? s->p->base
                       : n               ? (float)s->keep / (float)n
                                         : 0.0f;
    double sum = 0.0;
    int32_t there = 0;
    for (int32_t g = 0; g < s->m; g++) {
        sum += (double)(float)s->weight[g];
        there += size(s, g) > 0;
    }
    const float mean = there ? (float)(sum / there) : 0.0f;
    for (int32_t g = 0; g < s->m; g++) {
        float scale = base * (1.0f + (float)s->weight[g] - mean);
        scale = scale > 1.0f ? 1.0f : scale < 0.0f ? 0.0f : scale;
        const int32_t wanted = (int32_t)rintf(scale * (float)size(s, g));
        const int32_t q = wanted > s->p->least ? wanted : s->p->least;
        s->quota[g] = q < size(s, g) ? q : size(s, g);
    }
}

static tkp_status
run_quota(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const int32_t *sets = tkp__ref_i32(&args[SET_OFFSETS]);
    const int64_t m = args[QUOTA].shape[0];
    int64_t *shares = tkp__ref_scratch(plan, workspace, SCRATCH_SHARES);
    TKP__TRY(tkp__ref_check_members(
        &args[GROUP_OFFSETS], &args[MEMBERS], args[WEIGHTS].shape[0]));
    TKP__TRY(tkp__ref_check_sets(
        &args[GROUP_OFFSETS], &args[SET_OFFSETS], &args[KEEP]));
    for (int64_t b = 0; b < args[KEEP].shape[0]; b++) {
        const set s = {
            .p = &plan->params.quota,
            .offsets = offsets + sets[b],
            .m = sets[b + 1] - sets[b],
            .keep = tkp__ref_i32(&args[KEEP])[b],
            .weight = tkp__ref_scratch(plan, workspace, SCRATCH_WEIGHT),
            .weights = shares,
            .limits = shares + m,
            .shares = shares + 2 * m,
            .quota = (int32_t *)tkp__data(&args[QUOTA]) + sets[b],
        };
        for (int32_t g = 0; g < s.m; g++)
            TKP__TRY(reduce_group(
                &s, tkp__data(&args[WEIGHTS]),
                tkp__present(&args[MEMBERS]) ? tkp__ref_i32(&args[MEMBERS])
                                             : NULL,
                g));
        normalise(&s);
        if (s.p->rule == TKP_QUOTA_SOFT)
            soft(&s);
        else if (s.p->rule == TKP_QUOTA_SPILL)
            spill(&s);
        else if (s.p->rule == TKP_QUOTA_TILT && s.p->truncate)
            tilt_truncated(&s);
        else if (s.p->truncate)
            truncated(&s);
        else if (s.p->rule == TKP_QUOTA_TILT)
            TKP__TRY(tilt(&s));
        else if (s.p->rule == TKP_QUOTA_HEAVIEST)
            TKP__TRY(heaviest(&s));
        else
            TKP__TRY(share_by_remainder(&s, take_least(&s)));
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_quota = {
    .kind = TKP_OP_QUOTA,
    .params_size = sizeof(tkp_op_quota),
    .kernel = "ref_quota",
    .plan = plan_quota,
    .run = run_quota,
};
