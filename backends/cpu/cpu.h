#ifndef TKP_BACKENDS_CPU_H
#define TKP_BACKENDS_CPU_H

/*
 * The CPU backend: oneDNN for large matrix products, loops of our own for the
 * rest. A file cpu_<op>.c plans, splits the work over OpenMP threads and calls
 * row and tile kernels through a table (cpu_kernels.h) that is filled once per
 * instruction set. Only cpu_dnnl.c includes oneDNN's header.
 *
 * Work is always cut into pieces whose borders depend on the shapes of one
 * sequence, never on the number of threads or on the other sequences, and
 * partial results are added in the order of the pieces: any thread count and
 * any batch gives the same bits. (LINEAR through oneDNN is the exception.)
 */

#include "cpu/cpu_kernels.h"
#include "tokenprune/sys/backend.h"
#include "util/util.h"

/* --- plans ------------------------------------------------------------- */

struct tkp__cpu_op;

/* Begins every plan. */
typedef struct tkp__cpu_plan {
    const struct tkp__cpu_op *op;
    const tkp__cpu_kernels *kernels;
    int32_t threads;
    int32_t reserved;
} tkp__cpu_plan;

/* What a run gets besides its arguments. */
typedef struct tkp__cpu_run {
    struct tkp__cpu_exec *exec;
    const tkp_tensor *args;
    char *workspace;
} tkp__cpu_run;

typedef struct tkp__cpu_op {
    int32_t kind;      /* enum tkp_op_kind */
    size_t plan_bytes; /* of the struct that begins with tkp__cpu_plan */
    /* NULL = whatever the core let through is fine. */
    tkp_status (*supports)(const tkp_op_desc *desc);
    /* NULL = no workspace, nothing to remember. */
    tkp_status (*plan)(
        tkp__cpu_plan *plan,
        const char **kernel_out,
        tkp_ledger *ledger,
        const tkp_op_desc *desc);
    tkp_status (*run)(const tkp__cpu_plan *plan, const tkp__cpu_run *run);
    void (*destroy)(tkp__cpu_plan *plan);
} tkp__cpu_op;

extern const tkp__cpu_op tkp__cpu_op_attention_scores;
extern const tkp__cpu_op tkp__cpu_op_attention_heads;
extern const tkp__cpu_op tkp__cpu_op_attention_rows_reduce;
extern const tkp__cpu_op tkp__cpu_op_row_norm;
extern const tkp__cpu_op tkp__cpu_op_cosine;
extern const tkp__cpu_op tkp__cpu_op_cosine_pairs;
extern const tkp__cpu_op tkp__cpu_op_blend;
extern const tkp__cpu_op tkp__cpu_op_temporal;
extern const tkp__cpu_op tkp__cpu_op_gaussian_scores;
extern const tkp__cpu_op tkp__cpu_op_similarity;
extern const tkp__cpu_op tkp__cpu_op_topk;
extern const tkp__cpu_op tkp__cpu_op_pivots;
extern const tkp__cpu_op tkp__cpu_op_compact;
extern const tkp__cpu_op tkp__cpu_op_greedy_distance;
extern const tkp__cpu_op tkp__cpu_op_greedy_cover;
extern const tkp__cpu_op tkp__cpu_op_greedy_dpp;
extern const tkp__cpu_op tkp__cpu_op_greedy_tri;
extern const tkp__cpu_op tkp__cpu_op_parity;
extern const tkp__cpu_op tkp__cpu_op_density_peaks;
extern const tkp__cpu_op tkp__cpu_op_cluster_centres;
extern const tkp__cpu_op tkp__cpu_op_mean_query;
extern const tkp__cpu_op tkp__cpu_op_text_raters;
extern const tkp__cpu_op tkp__cpu_op_reconstruction;
extern const tkp__cpu_op tkp__cpu_op_value_attention;
extern const tkp__cpu_op tkp__cpu_op_group_pool;
extern const tkp__cpu_op tkp__cpu_op_gather_rows;
extern const tkp__cpu_op tkp__cpu_op_scatter_rows;
extern const tkp__cpu_op tkp__cpu_op_nearest;
extern const tkp__cpu_op tkp__cpu_op_merge_rows;
extern const tkp__cpu_op tkp__cpu_op_combine_rows;
extern const tkp__cpu_op tkp__cpu_op_linear;
extern const tkp__cpu_op tkp__cpu_op_rms_norm;
extern const tkp__cpu_op tkp__cpu_op_layer_norm;
extern const tkp__cpu_op tkp__cpu_op_rotary_table;
extern const tkp__cpu_op tkp__cpu_op_rotary;
extern const tkp__cpu_op tkp__cpu_op_attention;
extern const tkp__cpu_op tkp__cpu_op_activation;
extern const tkp__cpu_op tkp__cpu_op_add;
extern const tkp__cpu_op tkp__cpu_op_patches;
extern const tkp__cpu_op tkp__cpu_op_cast;

/* --- instruction set --------------------------------------------------- */

/* The table for this processor; chosen at the first call, then fixed. Null
 * never: the baseline always runs. */
const tkp__cpu_kernels *tkp__cpu_kernels_get(void);
/* False if $TKP_DISABLE names "dnnl". */
bool tkp__cpu_dnnl_enabled(void);

/* Channels of a head that the attention ops take. */
#define TKP__CPU_HEAD_MAX 1024

/* --- arguments --------------------------------------------------------- */

static inline char *
tkp__cpu_row(const tkp_tensor *t, int64_t row, size_t element_bytes)
{
    return (char *)tkp__data(t) + row * t->strides[0] * (int64_t)element_bytes;
}
static inline size_t tkp__cpu_bytes(int32_t dtype)
{
    return dtype == TKP_DTYPE_F32 ? 4 : 2;
}
static inline int64_t tkp__cpu_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static inline int64_t tkp__cpu_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}
static inline int64_t tkp__cpu_ceil(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* A team starts in about 5 us; a row kernel takes a few elements a ns. */
static inline bool tkp__cpu_worth_threads(int64_t elements)
{
    return elements >= 32768;
}

/* A flat i32 view as an array: its stride is 1. */
static inline const int32_t *tkp__cpu_i32(const tkp_tensor *t)
{
    return tkp__data(t);
}

/* offsets[0] = 0, ascending, and none above `limit`. */
tkp_status tkp__cpu_check_offsets(
    const tkp_tensor *offsets,
    int64_t limit,
    const char *name);
/* The same, and the last is `count`: all entries belong somewhere. */
tkp_status tkp__cpu_check_covering(
    const tkp_tensor *offsets,
    int64_t count,
    const char *name);
/* 0 <= keep[g] <= size of group g; out_offsets are the prefix sums of keep and
 * end at `kept`. */
tkp_status tkp__cpu_check_keep(
    const tkp_tensor *group_offsets,
    const tkp_tensor *keeps,
    const tkp_tensor *out_offsets,
    int64_t kept);
/* Pairs 0 <= begin <= end <= limit. */
tkp_status
tkp__cpu_check_range(const tkp_tensor *range, int64_t limit, const char *name);
/* The first `n` entries lie in [0, limit). */
tkp_status tkp__cpu_check_index(
    const tkp_tensor *index,
    int64_t n,
    int64_t limit,
    const char *name);

#endif
