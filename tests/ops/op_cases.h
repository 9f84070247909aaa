#ifndef TKP_TESTS_OP_CASES_H
#define TKP_TESTS_OP_CASES_H

/*
 * Cases for every op kind: a number and a seed make arguments, with guard
 * bytes around each and NaN in the gaps of strided ones. Used to hold a
 * backend against "ref"; see test_ops_backend.c.
 *
 * A case is made anew for each run, so that two runs share no memory.
 */

#include "op_compare.h"
#include "tokenprune/sys/op.h"

enum { TKP_TEST_GUARD_BYTES = 128 }; /* on both sides of a block */

typedef struct tkp_test_block {
    unsigned char *memory; /* guard, bytes, guard */
    unsigned char *saved;  /* what an input held before the run */
    size_t bytes;
} tkp_test_block;

typedef struct tkp_test_case {
    int32_t kind;
    int32_t n_args;
    char name[200];
    tkp_tensor args[TKP_OP_MAX_ARGS];
    tkp_test_block blocks[TKP_OP_MAX_ARGS];
    int32_t alias[TKP_OP_MAX_ARGS]; /* output i is argument alias[i]; -1 */
    bool output[TKP_OP_MAX_ARGS];
    bool exact;         /* any backend has to give equal bits */
    bool degenerate;    /* outputs without spread are wanted */
    double looser;      /* times the tolerance; 1 unless the case says why */
    size_t params_size; /* 0 = NULL */
    union {
        uint32_t struct_size;
        tkp_op_attention_scores attention_scores;
        tkp_op_attention_rank attention_rank;
        tkp_op_attention_heads attention_heads;
        tkp_op_row_norm row_norm;
        tkp_op_cosine_pairs cosine_pairs;
        tkp_op_blend blend;
        tkp_op_reconstruction reconstruction;
        tkp_op_similarity similarity;
        tkp_op_relevance relevance;
        tkp_op_temporal temporal;
        tkp_op_segments segments;
        tkp_op_crop_variance crop_variance;
        tkp_op_overview overview;
        tkp_op_static_windows static_windows;
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
        tkp_op_nominate nominate;
        tkp_op_density_peaks density_peaks;
        tkp_op_cluster_centres cluster_centres;
        tkp_op_mean_query mean_query;
        tkp_op_value_attention value_attention;
        tkp_op_rotary_coordinates rotary_coordinates;
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
    uint64_t random; /* state of the generator */
} tkp_test_case;

typedef struct tkp_test_kind {
    int32_t kind;
    int32_t cases;
    void (*build)(tkp_test_case *c, int32_t i);
} tkp_test_kind;

/* All kinds, each once. */
int32_t tkp_test_kinds(void);
const tkp_test_kind *tkp_test_kind_at(int32_t i);

/* Case i of a kind; the same bits for the same seed. */
void tkp_test_case_make(
    tkp_test_case *c,
    const tkp_test_kind *kind,
    int32_t i,
    uint64_t seed);
void tkp_test_case_free(tkp_test_case *c);

/*
 * Plan and run on a context. `plan_for` (or NULL) is a second case: where it
 * fits, the plan is made for the larger of both shapes. `fill` is what the
 * workspace holds before. The backend that planned goes to `backend`.
 */
tkp_status tkp_test_case_run(
    tkp_test_case *c,
    tkp_context *context,
    const tkp_test_case *plan_for,
    unsigned char fill,
    const char **backend);

/* NULL, or what is wrong: a guard was written over, an input changed. */
const char *tkp_test_case_damage(const tkp_test_case *c);

/* Outputs of two runs of one case: equal bits; or within tolerance. */
bool tkp_test_case_same_bits(const tkp_test_case *a, const tkp_test_case *b);
bool tkp_test_case_compare(
    const tkp_test_case *actual,
    const tkp_test_case *expected,
    tkp_test_report *report);

/* --- for the files that build cases -------------------------------------- */

/* Digit of a mixed-radix number: i mod n; i becomes i / n. */
int32_t tkp_test_pick(int32_t *i, int32_t n);

uint32_t tkp_test_random(tkp_test_case *c, uint32_t n); /* 0 .. n - 1 */
double tkp_test_normal(tkp_test_case *c);               /* roughly */

enum tkp_test_fill {
    TKP_TEST_NORMAL,
    TKP_TEST_TIES,     /* five values, -0 among them */
    TKP_TEST_NANS,     /* one in four */
    TKP_TEST_CONSTANT, /* one number */
    TKP_TEST_ZEROS,
    TKP_TEST_RISING /* larger from element to element */
};

/* A view over new memory; `gap` elements between rows of dimension 0. */
void tkp_test_arg_view(
    tkp_test_case *c,
    int32_t arg,
    int32_t dtype,
    int32_t ndim,
    const int64_t *shape,
    int64_t gap);
void tkp_test_arg_fill(tkp_test_case *c, int32_t arg, int32_t fill);
/* Both at once, for inputs. */
void tkp_test_arg_float(
    tkp_test_case *c,
    int32_t arg,
    int32_t dtype,
    int32_t ndim,
    const int64_t *shape,
    int64_t gap,
    int32_t fill);
/* Input of n whole numbers; NULL leaves them to the caller. The memory. */
int32_t *
tkp_test_arg_i32(tkp_test_case *c, int32_t arg, int64_t n, const int32_t *from);
/* Dimensions to and fro: the view of a tensor stored with the first two
 * dimensions exchanged. Before tkp_test_arg_fill(). */
void tkp_test_arg_swap(tkp_test_case *c, int32_t arg);
void tkp_test_arg_none(tkp_test_case *c, int32_t arg);
void tkp_test_arg_out(
    tkp_test_case *c,
    int32_t arg,
    int32_t dtype,
    int32_t ndim,
    const int64_t *shape);
void tkp_test_arg_alias(tkp_test_case *c, int32_t arg, int32_t input);

void tkp_test_params(tkp_test_case *c, size_t size);
void tkp_test_describe(tkp_test_case *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Ragged batches: sizes of the sequences, -1 ends. */
int32_t tkp_test_batches(void);
const int32_t *tkp_test_batch(int32_t i);
int32_t tkp_test_batch_size(const int32_t *batch);
int32_t tkp_test_batch_total(const int32_t *batch);
/* offsets[B + 1] of a batch into argument `arg`. */
const int32_t *
tkp_test_arg_offsets(tkp_test_case *c, int32_t arg, const int32_t *batch);
/* n different numbers out of 0 .. limit - 1, in random order or ascending. */
void tkp_test_distinct(
    tkp_test_case *c,
    int32_t *out,
    int32_t n,
    int32_t limit,
    bool ascending);

extern const tkp_test_kind tkp_test_kinds_score[];
extern const tkp_test_kind tkp_test_kinds_select[];
extern const tkp_test_kind tkp_test_kinds_greedy[];
extern const tkp_test_kind tkp_test_kinds_rows[];
extern const tkp_test_kind tkp_test_kinds_forward[];

#endif
