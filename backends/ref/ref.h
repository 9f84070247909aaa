#ifndef TKP_BACKENDS_REF_H
#define TKP_BACKENDS_REF_H

/*
 * The reference backend: every op kind in plain C11, one file a kind. It is
 * the definition: read a file next to the comment in sys/op.h and the source
 * it names. No threads, no tricks, no memory but the booked workspace.
 *
 * The core has held the arguments against the rules of the kind. What offsets
 * and indices contain is data: each kernel checks it before it writes dst.
 */

#include <math.h>

#include "tokenprune/sys/backend.h"
#include "util/util.h"

/* --- plans ------------------------------------------------------------- */

struct tkp__ref_op;

enum { TKP__REF_SCRATCH = 4 }; /* pieces of workspace an op may book */

typedef struct tkp__ref_plan {
    const struct tkp__ref_op *op;
    uint64_t scratch[TKP__REF_SCRATCH]; /* offsets in the workspace */
    union {
        uint32_t struct_size; /* begins each of them */
        tkp_op_attention_scores attention_scores;
        tkp_op_attention_rank attention_rank;
        tkp_op_attention_heads attention_heads;
        tkp_op_row_norm row_norm;
        tkp_op_cosine_pairs cosine_pairs;
        tkp_op_blend blend;
        tkp_op_reconstruction reconstruction;
        tkp_op_similarity similarity;
        tkp_op_nominate nominate;
        tkp_op_relevance relevance;
        tkp_op_temporal temporal;
        tkp_op_segments segments;
        tkp_op_crop_variance crop_variance;
        tkp_op_overview overview;
        tkp_op_static_windows static_windows;
        tkp_op_mean_query mean_query;
        tkp_op_value_attention value_attention;
        tkp_op_rotary_coordinates rotary_coordinates;
        tkp_op_gaussian_scores gaussian_scores;
        tkp_op_smooth_grid smooth_grid;
        tkp_op_topk topk;
        tkp_op_quota quota;
        tkp_op_reconcile reconcile;
        tkp_op_sample sample;
        tkp_op_compact compact;
        tkp_op_greedy_distance greedy_distance;
        tkp_op_greedy_cover greedy_cover;
        tkp_op_greedy_dpp greedy_dpp;
        tkp_op_greedy_tri greedy_tri;
        tkp_op_parity parity;
        tkp_op_pivots pivots;
        tkp_op_density_peaks density_peaks;
        tkp_op_cluster_centres cluster_centres;
        tkp_op_principal_groups principal_groups;
        tkp_op_nearest nearest;
        tkp_op_merge_rows merge_rows;
        tkp_op_group_pool group_pool;
        tkp_op_linear linear;
        tkp_op_norm norm;
        tkp_op_rotary_table rotary_table;
        tkp_op_attention attention;
        tkp_op_activation activation;
        tkp_op_patches patches;
    } params;
} tkp__ref_plan;

typedef struct tkp__ref_op {
    int32_t kind;         /* enum tkp_op_kind */
    uint32_t params_size; /* 0 = the kind has none */
    const char *kernel;
    /* Book the workspace; NULL = needs none. */
    tkp_status (
        *plan)(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args);
    tkp_status (*run)(
        const tkp__ref_plan *plan,
        const tkp_tensor *args,
        char *workspace);
} tkp__ref_op;

extern const tkp_backend_vtable tkp__ref_backend;

extern const tkp__ref_op tkp__ref_attention_scores;
extern const tkp__ref_op tkp__ref_attention_rank;
extern const tkp__ref_op tkp__ref_attention_heads;
extern const tkp__ref_op tkp__ref_attention_rows_reduce;
extern const tkp__ref_op tkp__ref_row_norm;
extern const tkp__ref_op tkp__ref_cosine;
extern const tkp__ref_op tkp__ref_cosine_pairs;
extern const tkp__ref_op tkp__ref_blend;
extern const tkp__ref_op tkp__ref_reconstruction;
extern const tkp__ref_op tkp__ref_similarity;
extern const tkp__ref_op tkp__ref_relevance;
extern const tkp__ref_op tkp__ref_temporal;
extern const tkp__ref_op tkp__ref_crop_variance;
extern const tkp__ref_op tkp__ref_overview;
extern const tkp__ref_op tkp__ref_gaussian_scores;
extern const tkp__ref_op tkp__ref_text_raters;
extern const tkp__ref_op tkp__ref_mean_query;
extern const tkp__ref_op tkp__ref_value_attention;
extern const tkp__ref_op tkp__ref_rotary_coordinates;
extern const tkp__ref_op tkp__ref_curvature;
extern const tkp__ref_op tkp__ref_segments;
extern const tkp__ref_op tkp__ref_static_windows;
extern const tkp__ref_op tkp__ref_smooth_grid;
extern const tkp__ref_op tkp__ref_topk;
extern const tkp__ref_op tkp__ref_quota;
extern const tkp__ref_op tkp__ref_reconcile;
extern const tkp__ref_op tkp__ref_sample;
extern const tkp__ref_op tkp__ref_compact;
extern const tkp__ref_op tkp__ref_greedy_distance;
extern const tkp__ref_op tkp__ref_greedy_cover;
extern const tkp__ref_op tkp__ref_greedy_dpp;
extern const tkp__ref_op tkp__ref_greedy_tri;
extern const tkp__ref_op tkp__ref_parity;
extern const tkp__ref_op tkp__ref_pivots;
extern const tkp__ref_op tkp__ref_density_peaks;
extern const tkp__ref_op tkp__ref_cluster_centres;
extern const tkp__ref_op tkp__ref_principal_groups;
extern const tkp__ref_op tkp__ref_nms;
extern const tkp__ref_op tkp__ref_nominate;
extern const tkp__ref_op tkp__ref_neighbours;
extern const tkp__ref_op tkp__ref_combine_rows;
extern const tkp__ref_op tkp__ref_nearest;
extern const tkp__ref_op tkp__ref_merge_rows;
extern const tkp__ref_op tkp__ref_group_pool;
extern const tkp__ref_op tkp__ref_group_broadcast;
extern const tkp__ref_op tkp__ref_gather_rows;
extern const tkp__ref_op tkp__ref_scatter_rows;
extern const tkp__ref_op tkp__ref_linear;
extern const tkp__ref_op tkp__ref_rms_norm;
extern const tkp__ref_op tkp__ref_layer_norm;
extern const tkp__ref_op tkp__ref_rotary_table;
extern const tkp__ref_op tkp__ref_rotary;
extern const tkp__ref_op tkp__ref_attention;
extern const tkp__ref_op tkp__ref_activation;
extern const tkp__ref_op tkp__ref_add;
extern const tkp__ref_op tkp__ref_patches;
extern const tkp__ref_op tkp__ref_cast;

/* Book count * size bytes as piece i of the plan. */
tkp_status tkp__ref_book(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    int32_t i,
    int64_t count,
    size_t size);

static inline void *
tkp__ref_scratch(const tkp__ref_plan *plan, char *workspace, int32_t i)
{
    return workspace ? workspace + plan->scratch[i] : NULL;
}

/* --- data in arguments (ref_check.c) ------------------------------------- */

/* offsets[0] = 0, never falling, the last at most `limit`. */
tkp_status tkp__ref_check_offsets(
    const tkp_tensor *offsets,
    int64_t limit,
    const char *name);

/* The same where the last has to be `count`: all entries belong somewhere. */
tkp_status tkp__ref_check_covering(
    const tkp_tensor *offsets,
    int64_t count,
    const char *name);

/* The first n entries lie in [0, limit). */
tkp_status tkp__ref_check_index(
    const tkp_tensor *index,
    int64_t n,
    int64_t limit,
    const char *name);

/* Pairs 0 <= begin <= end <= limit. */
tkp_status
tkp__ref_check_range(const tkp_tensor *range, int64_t limit, const char *name);

/* 0 <= keep[g] <= size of group g; out_offsets are the prefix sums of keep and
 * end at `kept`. */
tkp_status tkp__ref_check_keep(
    const tkp_tensor *group_offsets,
    const tkp_tensor *keep,
    const tkp_tensor *out_offsets,
    int64_t kept);

/* Groups that are lists of members (none = 0..n), and sets of those groups: no
 * set keeps more than its members. */
tkp_status tkp__ref_check_members(
    const tkp_tensor *group_offsets,
    const tkp_tensor *members,
    int64_t n);
tkp_status tkp__ref_check_sets(
    const tkp_tensor *group_offsets,
    const tkp_tensor *set_offsets,
    const tkp_tensor *keep);

/* --- elements ------------------------------------------------------------ */

static inline const int32_t *tkp__ref_i32(const tkp_tensor *t)
{
    return tkp__data(t);
}

/* Address of an element given its offset in elements. */
static inline void *tkp__ref_at(const tkp_tensor *t, int64_t element)
{
    return (char *)tkp__data(t) + element * (int64_t)tkp_dtype_bytes(t->dtype);
}

static inline void *tkp__ref_row(const tkp_tensor *t, int64_t row)
{
    return tkp__ref_at(t, row * t->strides[0]);
}

/* A value as it would be if stored in `dtype` and read again. */
float tkp__ref_round(float value, int32_t dtype);

/* Sum of a[i] b[i], in double. */
double tkp__ref_dot(
    const void *a,
    int32_t a_dtype,
    const void *b,
    int32_t b_dtype,
    int64_t n);

/* --- order ----------------------------------------------------------------- */

/* Does a score come before another: higher (or lower) first, -0 equal to +0,
 * NaN last in both orders, then the lower index. */
static inline bool tkp__ref_before(
    float a,
    int32_t a_index,
    float b,
    int32_t b_index,
    int32_t order)
{
    if (isnan(a) || isnan(b))
        return isnan(a) == isnan(b) ? a_index < b_index : !isnan(a);
    if (a != b)
        return order == TKP_ORDER_LOWEST ? a < b : a > b;
    return a_index < b_index;
}

/* Sort indices by that order of their scores; ascending if scores is NULL. */
void tkp__ref_sort(
    int32_t *index,
    int64_t n,
    const float *scores,
    int32_t order);

/* --- reduction over query rows (ATTENTION_SCORES, _ROWS_REDUCE) ----------- */

typedef struct tkp__ref_reduced {
    double value;
    int64_t seen; /* rows that see the key */
} tkp__ref_reduced;

/* Take in the value of a row that sees the key. */
static inline void
tkp__ref_reduce_add(tkp__ref_reduced *r, int32_t reduce, double value)
{
    if (reduce != TKP_ROW_REDUCE_MAX)
        r->value += value;
    else if (r->seen == 0 || value > r->value || isnan(value))
        r->value = isnan(r->value) ? r->value : value;
    r->seen++;
}

/* `rows` is the number of query rows of the sequence. */
static inline double
tkp__ref_reduce_end(const tkp__ref_reduced *r, int32_t reduce, int64_t rows)
{
    if (r->seen == 0)
        return 0.0;
    if (reduce == TKP_ROW_REDUCE_MEAN)
        return r->value / (double)rows;
    if (reduce == TKP_ROW_REDUCE_MEAN_VISIBLE)
        return r->value / (double)r->seen;
    return r->value;
}

#endif
