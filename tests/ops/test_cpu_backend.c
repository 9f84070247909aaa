/*
 * What is the CPU backend's own: its instruction sets give agreeing results,
 * the number of threads and the rest of the batch change nothing, and the
 * table of products stays bounded. Runs on TKP_TEST_BACKEND=cpu.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu_exec.h"
#include "op_main.h"

/* --- instruction sets -------------------------------------------------------- */

static const char *const disabled[] = {
    "", "avx512_bf16", "avx512", "avx2", "dnnl", "dnnl,avx512_bf16"};

/* Every fifth case of a kind; the full set is ops/backend's. */
static void
compare_kind(const tkp_test_kind *kind, tkp_context *cpu, tkp_context *ref)
{
    for (int32_t i = 0; i < kind->cases; i += 5) {
        tkp_test_case expected, actual;
        tkp_test_report report;
        tkp_test_case_make(&expected, kind, i, 7);
        tkp_test_case_make(&actual, kind, i, 7);
        ck_assert_int_eq(
            tkp_test_case_run(&expected, ref, NULL, 0xff, NULL), TKP_OK);
        ck_assert_msg(
            tkp_test_case_run(&actual, cpu, NULL, 0xff, NULL) == TKP_OK,
            "%s: %s", actual.name, tkp_last_message());
        ck_assert_msg(
            tkp_test_case_compare(&actual, &expected, &report), "%s: %s",
            actual.name, report.text);
        const char *damage = tkp_test_case_damage(&actual);
        ck_assert_msg(!damage, "%s: %s", actual.name, damage);
        tkp_test_case_free(&expected);
        tkp_test_case_free(&actual);
    }
}

START_TEST(op_run__instruction_set_disabled__agrees_with_ref)
{
    setenv("TKP_DISABLE", disabled[_i], 1);
    tkp_context *cpu = tkp_test_context("cpu", 2);
    tkp_context *ref = tkp_test_context("ref", 1);
    ck_assert_msg(cpu && ref, "%s", tkp_last_message());
    const char *info = tkp_context_backend_info(cpu, 0);
    printf("TKP_DISABLE=%s: %s\n", disabled[_i], info);
    fflush(stdout);
    if (strstr(disabled[_i], "dnnl"))
        ck_assert_msg(strstr(info, "oneDNN disabled") != NULL, "%s", info);
    if (!strcmp(disabled[_i], "avx2"))
        ck_assert_msg(strstr(info, "kernels base") != NULL, "%s", info);
    if (!strcmp(disabled[_i], "avx512"))
        ck_assert_msg(strstr(info, "avx512,") == NULL, "%s", info);
    for (int32_t k = 0; k < tkp_test_kinds(); k++)
        compare_kind(tkp_test_kind_at(k), cpu, ref);
    tkp_context_destroy(cpu);
    tkp_context_destroy(ref);
}
END_TEST

/* --- threads ------------------------------------------------------------------- */

/* LINEAR is oneDNN's, which may split a sum where it has more threads. */
START_TEST(op_run__one_two_three_threads__equal_bits)
{
    const tkp_test_kind *kind = tkp_test_kind_at(_i);
    if (kind->kind == TKP_OP_LINEAR)
        return;
    tkp_context *contexts[3];
    for (int32_t t = 0; t < 3; t++) {
        contexts[t] = tkp_test_context("cpu", t + 1);
        ck_assert_msg(contexts[t] != NULL, "%s", tkp_last_message());
    }
    for (int32_t i = 0; i < kind->cases; i += 2) {
        tkp_test_case cases[3];
        for (int32_t t = 0; t < 3; t++) {
            tkp_test_case_make(&cases[t], kind, i, 3);
            ck_assert_int_eq(
                tkp_test_case_run(&cases[t], contexts[t], NULL, 0xff, NULL),
                TKP_OK);
        }
        for (int32_t t = 1; t < 3; t++)
            ck_assert_msg(
                tkp_test_case_same_bits(&cases[0], &cases[t]),
                "%s: %d threads give other bits", cases[0].name, t + 1);
        for (int32_t t = 0; t < 3; t++)
            tkp_test_case_free(&cases[t]);
    }
    for (int32_t t = 0; t < 3; t++)
        tkp_context_destroy(contexts[t]);
}
END_TEST

/* --- batches -------------------------------------------------------------------- */

enum { HEADS = 4, GROUPS = 2, CHANNELS = 32, MOST_KEYS = 1000, MOST_ROWS = 64 };

typedef struct batch {
    uint16_t q[MOST_ROWS * HEADS * CHANNELS];
    uint16_t k[MOST_KEYS * GROUPS * CHANNELS];
    int32_t q_offsets[4], k_offsets[4], offsets[4];
    int32_t positions[MOST_ROWS], candidates[MOST_KEYS];
    float dst[MOST_KEYS];
    int32_t count;
} batch;

static uint16_t number_at(uint32_t sequence, uint32_t i)
{
    uint32_t x = (sequence * 2654435761u) ^ (i * 2246822519u + 374761393u);
    x = (x ^ (x >> 15)) * 2246822519u;
    /* bf16 between 0.5 and 2, either sign. */
    return (uint16_t)(0x3f00u + (x >> 8) % 0x100u + ((x >> 3) & 1u) * 0x8000u);
}

/* Sequences, each by its number, rows and keys. Its numbers do not depend on
 * where it stands. */
static void batch_add(batch *b, uint32_t sequence, int32_t rows, int32_t keys)
{
    const int32_t i = b->count++;
    const int32_t q0 = b->q_offsets[i], k0 = b->k_offsets[i];
    for (int32_t e = 0; e < rows * HEADS * CHANNELS; e++)
        b->q[q0 * HEADS * CHANNELS + e] = number_at(sequence, (uint32_t)e);
    for (int32_t e = 0; e < keys * GROUPS * CHANNELS; e++)
        b->k[k0 * GROUPS * CHANNELS + e] =
            number_at(sequence + 100, (uint32_t)e);
    for (int32_t r = 0; r < rows; r++)
        b->positions[q0 + r] = keys - rows + r;
    for (int32_t n = 0; n < keys; n++)
        b->candidates[k0 + n] = n;
    b->q_offsets[i + 1] = q0 + rows;
    b->k_offsets[i + 1] = b->offsets[i + 1] = k0 + keys;
}

static void batch_score(batch *b, int32_t reduce)
{
    const tkp_op_attention_scores params = {
        .struct_size = sizeof(params),
        .flags = TKP_ATTENTION_CAUSAL,
        .row_reduce = reduce,
    };
    const int64_t rows = b->q_offsets[b->count], keys = b->k_offsets[b->count];
    const tkp_tensor args[] = {
        tkp_test_3d(b->q, TKP_DTYPE_BF16, rows, HEADS, CHANNELS),
        tkp_test_3d(b->k, TKP_DTYPE_BF16, keys, GROUPS, CHANNELS),
        tkp_test_none(),
        tkp_test_none(),
        tkp_test_1d(b->q_offsets, TKP_DTYPE_I32, b->count + 1),
        tkp_test_1d(b->positions, TKP_DTYPE_I32, rows),
        tkp_test_1d(b->k_offsets, TKP_DTYPE_I32, b->count + 1),
        tkp_test_1d(b->offsets, TKP_DTYPE_I32, b->count + 1),
        tkp_test_1d(b->candidates, TKP_DTYPE_I32, keys),
        tkp_test_1d(b->dst, TKP_DTYPE_F32, keys),
    };
    ck_assert_int_eq(
        tkp_test_run(TKP_OP_ATTENTION_SCORES, &params, args, 10), TKP_OK);
}

START_TEST(attention_scores__alone_or_in_a_batch__equal_bits)
{
    static const int32_t reduces[] = {
        TKP_ROW_REDUCE_LAST, TKP_ROW_REDUCE_MEAN_VISIBLE, TKP_ROW_REDUCE_MAX};
    static batch alone, together;
    for (int32_t i = 0; i < 3; i++) {
        memset(&alone, 0, sizeof(alone));
        memset(&together, 0, sizeof(together));
        batch_add(&alone, 2, 31, 299);
        batch_add(&together, 1, 5, 133);
        batch_add(&together, 2, 31, 299);
        batch_add(&together, 3, 1, 400);
        batch_score(&alone, reduces[i]);
        batch_score(&together, reduces[i]);
        ck_assert_mem_eq(
            alone.dst, together.dst + 133, 299 * sizeof(alone.dst[0]));
    }
}
END_TEST

/* --- the table of products ----------------------------------------------------------- */

/* One 0 .. 2 row by row, weights 1: each output is the sum of its row. */
static void run_product(tkp__cpu_exec *exec, int64_t m)
{
    enum { K = 32, N = 16 };
    static float x[160 * K], w[N * K], y[160 * N];
    static char scratch[1];
    tkp__cpu_product_key key;
    memset(&key, 0, sizeof(key));
    key.m = m;
    key.n = N;
    key.k = key.ldx = key.ldw = K;
    key.ldd = N;
    key.x_dtype = key.w_dtype = key.d_dtype = TKP_DTYPE_F32;
    key.threads = 2;
    for (int64_t i = 0; i < m * K; i++)
        x[i] = (float)(i / K % 3);
    for (int64_t i = 0; i < N * K; i++)
        w[i] = 1.0f;
    /* No scratchpad is lent: the exec brings its own where one is wanted. */
    ck_assert_msg(
        tkp__cpu_exec_product(exec, &key, x, w, NULL, y, scratch, 0) == TKP_OK,
        "%s", tkp_last_message());
    for (int64_t i = 0; i < m * N; i++)
        ck_assert_float_eq(y[i], (float)(i / N % 3 * K));
}

START_TEST(exec_product__more_shapes_than_the_table_holds__bounded_and_right)
{
    tkp__cpu_exec *exec = NULL;
    ck_assert_int_eq(tkp__cpu_exec_create(&exec), TKP_OK);
    for (int64_t m = 1; m <= 2 * TKP__CPU_PRODUCTS; m++) {
        run_product(exec, m);
        run_product(exec, 1); /* in use all the time: stays */
        ck_assert_int_le(tkp__cpu_exec_products(exec), TKP__CPU_PRODUCTS);
    }
    ck_assert_int_eq(tkp__cpu_exec_products(exec), TKP__CPU_PRODUCTS);
    tkp__cpu_exec_destroy(exec);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops/cpu_backend");
    TCase *tests = tcase_create("cpu");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(
        tests, op_run__instruction_set_disabled__agrees_with_ref, 0,
        (int)(sizeof(disabled) / sizeof(disabled[0])));
    tcase_add_loop_test(
        tests, op_run__one_two_three_threads__equal_bits, 0, tkp_test_kinds());
    tcase_add_test(tests, attention_scores__alone_or_in_a_batch__equal_bits);
    tcase_add_test(
        tests,
        exec_product__more_shapes_than_the_table_holds__bounded_and_right);
    suite_add_tcase(suite, tests);
    return tkp_test_main(suite);
}
