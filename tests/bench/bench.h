#ifndef TKP_TESTS_BENCH_H
#define TKP_TESTS_BENCH_H

/*
 * Benchmarks of single ops: a case is an op with its arguments and what it has
 * to move and compute at least; it is checked against "ref", then timed warm.
 */

#include <stdbool.h>
#include <stdint.h>

#include "tokenprune/sys/op.h"

/* --- time ---------------------------------------------------------------- */

typedef struct bench_time {
    int32_t runs;
    double min; /* seconds */
    double median;
} bench_time;

/* Count the seconds this thread had a processor instead of those that passed:
 * for one thread on a machine that others use as well. */
void bench_use_cpu_clock(void);
double bench_now(void);

/* Call `work` until `seconds` are over, 5 to 200 times, after a warm run. */
bench_time bench_measure(double seconds, void (*work)(void *user), void *user);

/* --- floors -------------------------------------------------------------- */

/* Bytes a second that `threads` read from memory (512 MiB, best of runs). */
double bench_read_bandwidth(int32_t threads, double seconds);

/* Floating-point operations a second of a bare oneDNN product of [m, k] and
 * [n, k] (f32 or bf16), weights where they lie. 0 without oneDNN. */
double bench_gemm_rate(
    int64_t m,
    int64_t n,
    int64_t k,
    int32_t dtype,
    int32_t threads);

/* "oneDNN 2.6.3 (...)", or "no oneDNN". */
const char *bench_gemm_library(void);

/* --- cases --------------------------------------------------------------- */

typedef struct bench_case {
    char op[32];
    char shape[64];
    int32_t dtype; /* of the main argument */
    int32_t kind;
    int32_t n_args;
    int32_t dst; /* argument that is compared */
    tkp_tensor args[TKP_OP_MAX_ARGS];
    void *memory[TKP_OP_MAX_ARGS];
    union {
        uint32_t struct_size;
        tkp_op_attention_scores scores;
        tkp_op_row_norm row_norm;
        tkp_op_cosine_pairs pairs;
        tkp_op_blend blend;
        tkp_op_temporal temporal;
        tkp_op_gaussian_scores gaussian;
        tkp_op_topk topk;
        tkp_op_compact compact;
        tkp_op_greedy_distance distance;
        tkp_op_greedy_cover cover;
        tkp_op_greedy_dpp dpp;
        tkp_op_greedy_tri tri;
        tkp_op_density_peaks peaks;
        tkp_op_nearest nearest;
        tkp_op_merge_rows merge;
        tkp_op_group_pool pool;
        tkp_op_linear linear;
        tkp_op_norm norm;
        tkp_op_rotary_table table;
        tkp_op_attention attention;
        tkp_op_activation activation;
    } params;
    bool has_params;
    double bytes; /* that must be moved */
    double flops; /* that must be done; 0 where bytes are what counts */
    /* Product with which flops are compared. */
    int64_t gemm_m, gemm_n, gemm_k;
} bench_case;

/*
 * A builder makes the case for n visual tokens. With check_rows > 0 it makes
 * one that takes the same kernels but has few query rows (or few tokens), so
 * that the reference can do it.
 */
typedef void (*bench_builder)(
    bench_case *c,
    int64_t n,
    int32_t dtype,
    int64_t check_rows);

typedef struct bench_entry {
    const char *op;
    bench_builder build;
    int64_t check_rows; /* 0 = the whole case is checked */
    bool any_dtype;     /* false: f32 only */
    bool once;          /* the same for every n */
} bench_entry;

extern const bench_entry bench_entries[];
extern const int32_t bench_entry_count;

void bench_case_free(bench_case *c);

#endif
