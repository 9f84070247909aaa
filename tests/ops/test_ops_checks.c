/*
 * Offsets and indices are data: with one wrong entry every CPU kernel answers
 * TKP_ERR_ARGUMENT and writes nothing.
 *
 * The cases of op_cases_*.c are taken, one whole-number argument after another
 * is spoilt. Positions of ROTARY_TABLE and streams of SAMPLE may be anything.
 */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op_main.h"

/* Members of SAMPLE are copied, never followed; who joins or follows nobody, or is
 * of no picture, says -1; a quota may be above its group, grids have any size. */
static bool free_to_choose(int32_t kind, int32_t arg)
{
    return kind == TKP_OP_ROTARY_TABLE ||
           (kind == TKP_OP_ROTARY_COORDINATES && arg == 0) ||
           (kind == TKP_OP_MERGE_ROWS && arg == 3) ||
           (kind == TKP_OP_TEMPORAL && arg == 2) ||
           (kind == TKP_OP_STATIC_WINDOWS && arg == 1) ||
           (kind == TKP_OP_ATTENTION_HEADS && arg == 9) ||
           kind == TKP_OP_OVERVIEW || (kind == TKP_OP_RECONCILE && arg == 3) ||
           (kind == TKP_OP_SAMPLE && (arg == 1 || arg == 4));
}

/* Without members a group of SAMPLE may be as long as it likes. */
static bool without_end(const tkp_test_case *c, int32_t arg)
{
    return c->kind == TKP_OP_SAMPLE && arg == 0 &&
           c->args[1].dtype == TKP_DTYPE_NONE;
}

static bool looks_at_keys(const tkp_test_case *c)
{
    return c->kind == TKP_OP_ATTENTION_SCORES ||
           c->kind == TKP_OP_ATTENTION_RANK ||
           c->kind == TKP_OP_ATTENTION_HEADS;
}

/* The last entry that a kernel has to look at. Members may have more entries
 * than the groups use, block tables more than the keys need: of those the last
 * page of the first sequence. */
static int64_t last_entry(const tkp_test_case *c, int32_t arg)
{
    const int64_t n = tkp_tensor_count(&c->args[arg]);
    if (looks_at_keys(c) && arg == 3)
        return (((const int32_t *)c->args[6].data)[1] - 1) /
               c->args[1].shape[1];
    return c->kind == TKP_OP_TOPK && arg == 2 ? n - 3 : n - 1;
}

/* Keys of the last sequence that has an entry in offsets argument `arg`. */
static int32_t keys_of_last(const tkp_test_case *c, int32_t arg)
{
    const int32_t *offsets = c->args[arg].data;
    const int32_t *keys = c->args[6].data;
    int64_t b = c->args[arg].shape[0] - 1;
    while (b > 0 && offsets[b] == offsets[b - 1])
        b--;
    return keys[b] - keys[b - 1];
}

/* What the last entry of an index has to stay below; -1 for other arguments. */
static int64_t limit_of(const tkp_test_case *c, int32_t arg)
{
    const tkp_tensor *a = c->args;
    switch (c->kind * 100 + arg) {
    case TKP_OP_ATTENTION_SCORES * 100 + 5:
    case TKP_OP_ATTENTION_RANK * 100 + 5:
    case TKP_OP_ATTENTION_HEADS * 100 + 5:
        return keys_of_last(c, 4);
    case TKP_OP_ATTENTION_SCORES * 100 + 8:
    case TKP_OP_ATTENTION_RANK * 100 + 8:
    case TKP_OP_ATTENTION_HEADS * 100 + 8:
        return keys_of_last(c, 7);
    case TKP_OP_ATTENTION_ROWS_REDUCE * 100 + 2:
    case TKP_OP_ATTENTION_ROWS_REDUCE * 100 + 4:
        return a[0].shape[a[0].ndim - 1];
    case TKP_OP_COMPACT * 100:
        return a[2].shape[0] + a[0].shape[0] - a[1].shape[0];
    case TKP_OP_NOMINATE * 100 + 4:
        return a[2].shape[0];
    case TKP_OP_SIMILARITY * 100 + 3:
    case TKP_OP_GREEDY_DISTANCE * 100 + 3:
    case TKP_OP_GREEDY_COVER * 100 + 3:
    case TKP_OP_GREEDY_DPP * 100 + 3:
    case TKP_OP_GREEDY_TRI * 100 + 3:
    case TKP_OP_PARITY * 100 + 3:
        return a[1].shape[0];
    case TKP_OP_SCATTER_ROWS * 100 + 1:
        return a[2].shape[0];
    case TKP_OP_GROUP_BROADCAST * 100 + 2:
        return a[3].shape[0];
    case TKP_OP_ATTENTION_SCORES * 100 + 3:
    case TKP_OP_ATTENTION_RANK * 100 + 3:
    case TKP_OP_ATTENTION_HEADS * 100 + 3:
    case TKP_OP_ROW_NORM * 100 + 1:
    case TKP_OP_COSINE * 100 + 1:
    case TKP_OP_COSINE_PAIRS * 100 + 1:
    case TKP_OP_TEMPORAL * 100 + 1:
    case TKP_OP_CROP_VARIANCE * 100 + 1:
    case TKP_OP_GAUSSIAN_SCORES * 100 + 1:
    case TKP_OP_OVERVIEW * 100 + 1:
    case TKP_OP_TOPK * 100 + 2:
    case TKP_OP_QUOTA * 100 + 2:
    case TKP_OP_RECONCILE * 100 + 2:
    case TKP_OP_SIMILARITY * 100 + 1:
    case TKP_OP_GREEDY_DISTANCE * 100 + 1:
    case TKP_OP_GREEDY_COVER * 100 + 1:
    case TKP_OP_GREEDY_DPP * 100 + 1:
    case TKP_OP_GREEDY_TRI * 100 + 1:
    case TKP_OP_PARITY * 100 + 1:
    case TKP_OP_COMPACT * 100 + 1:
    case TKP_OP_GROUP_POOL * 100 + 2:
    case TKP_OP_GATHER_ROWS * 100 + 1:
        return a[looks_at_keys(c) ? 1 : 0].shape[0];
    default:
        return -1;
    }
}

static unsigned char *copy_outputs(const tkp_test_case *c, size_t *bytes)
{
    *bytes = 0;
    for (int32_t a = 0; a < c->n_args; a++)
        if (c->output[a])
            *bytes += (size_t)tkp_tensor_count(&c->args[a]) *
                      tkp_dtype_bytes(c->args[a].dtype);
    unsigned char *copy = malloc(*bytes ? *bytes : 1);
    ck_assert_ptr_nonnull(copy);
    size_t at = 0;
    for (int32_t a = 0; a < c->n_args; a++) {
        if (!c->output[a])
            continue;
        const size_t size = (size_t)tkp_tensor_count(&c->args[a]) *
                            tkp_dtype_bytes(c->args[a].dtype);
        if (size)
            memcpy(copy + at, c->args[a].data, size);
        at += size;
    }
    return copy;
}

static void spoil_and_run(
    const tkp_test_kind *kind,
    int32_t i,
    int32_t arg,
    int64_t entry,
    int32_t value,
    tkp_context *context)
{
    tkp_test_case c;
    tkp_test_case_make(&c, kind, i, 0);
    int32_t *data = c.args[arg].data;
    data[tkp_test_offset(&c.args[arg], entry)] = value;
    size_t bytes;
    unsigned char *before = copy_outputs(&c, &bytes);
    const tkp_status status = tkp_test_case_run(&c, context, NULL, 0xff, NULL);
    unsigned char *after = copy_outputs(&c, &bytes);
    ck_assert_msg(
        status == TKP_ERR_ARGUMENT,
        "%s (case %d): argument %d entry %lld is %d: answered %s", c.name, i,
        arg, (long long)entry, value, tkp_status_string(status));
    ck_assert_msg(tkp_last_message()[0] != '\0', "%s: no message", c.name);
    ck_assert_msg(
        memcmp(before, after, bytes) == 0, "%s: argument %d: wrote to dst",
        c.name, arg);
    free(before);
    free(after);
    tkp_test_case_free(&c);
}

/* Large cases say nothing here that small ones do not. */
static bool is_large(const tkp_test_case *c)
{
    size_t bytes = 0;
    for (int32_t a = 0; a < c->n_args; a++)
        bytes += c->blocks[a].bytes;
    return bytes > 200000;
}

START_TEST(op_run__spoilt_index__refused_and_dst_untouched)
{
    const tkp_test_kind *kind = tkp_test_kind_at(_i);
    tkp_context *context = tkp_test_context(tkp_test_backend(), 1);
    ck_assert_ptr_nonnull(context);
    for (int32_t at = 0; at < kind->cases && at < 60; at++) {
        /* 37 divides no number of cases: all of their digits come up. */
        const int32_t i = at * 37 % kind->cases;
        tkp_test_case c;
        tkp_test_case_make(&c, kind, i, 0);
        for (int32_t a = 0; !is_large(&c) && a < c.n_args; a++) {
            if (c.args[a].dtype != TKP_DTYPE_I32 || c.output[a] ||
                c.blocks[a].bytes == 0 || free_to_choose(kind->kind, a))
                continue;
            if (kind->kind == TKP_OP_GATHER_ROWS && a == 0)
                continue; /* rows of whole numbers */
            const int64_t last = last_entry(&c, a);
            if (last < 0)
                continue;
            spoil_and_run(kind, i, a, 0, -1, context);
            spoil_and_run(kind, i, a, 0, INT_MIN, context);
            if (!without_end(&c, a))
                spoil_and_run(kind, i, a, last, INT_MAX, context);
            const int64_t limit = limit_of(&c, a);
            if (limit >= 0)
                spoil_and_run(kind, i, a, last, (int32_t)limit, context);
        }
        tkp_test_case_free(&c);
    }
    tkp_context_destroy(context);
}
END_TEST

START_TEST(op_run__offsets_that_fall__refused)
{
    float scores[4] = {1, 2, 3, 4};
    int32_t offsets[4] = {0, 3, 2, 4}, keep[3] = {1, 0, 1};
    int32_t out_offsets[4] = {0, 1, 1, 2}, dst[2] = {9, 9};
    const tkp_op_topk p = {sizeof(p), 0, 0, 0};
    const tkp_tensor args[] = {TKP_TEST_F32(scores),      TKP_TEST_I32(offsets),
                               tkp_test_none(),           TKP_TEST_I32(keep),
                               TKP_TEST_I32(out_offsets), TKP_TEST_I32(dst)};
    ck_assert_int_eq(tkp_test_run(TKP_OP_TOPK, &p, args, 6), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(dst[0], 9);
    offsets[1] = 2;
    keep[0] = 3; /* of two */
    ck_assert_int_eq(tkp_test_run(TKP_OP_TOPK, &p, args, 6), TKP_ERR_ARGUMENT);
    keep[0] = 1;
    out_offsets[1] = 0; /* not the sum */
    ck_assert_int_eq(tkp_test_run(TKP_OP_TOPK, &p, args, 6), TKP_ERR_ARGUMENT);
    out_offsets[1] = 1;
    ck_assert_int_eq(tkp_test_run(TKP_OP_TOPK, &p, args, 6), TKP_OK);
}
END_TEST

START_TEST(op_run__offsets_that_leave_rows_out__refused)
{
    float x[4] = {1, 2, 3, 4}, reference[3] = {1, 1, 1};
    float dst[4] = {9, 9, 9, 9};
    int32_t rows[4] = {0, 1, 2, 3}, offsets[4] = {0, 1, 3, 4};
    const tkp_tensor args[] = {
        tkp_test_2d(x, TKP_DTYPE_F32, 4, 1), TKP_TEST_I32(rows),
        TKP_TEST_I32(offsets), tkp_test_2d(reference, TKP_DTYPE_F32, 3, 1),
        TKP_TEST_F32(dst)};
    static const int32_t wrong[][4] = {
        {0, 1, 3, 3}, {0, 3, 1, 4}, {0, 1, 3, 5}, {1, 1, 3, 4}};
    for (int i = 0; i < 4; i++) {
        memcpy(offsets, wrong[i], sizeof(offsets));
        ck_assert_int_eq(
            tkp_test_run(TKP_OP_COSINE, NULL, args, 5), TKP_ERR_ARGUMENT);
        ck_assert(dst[0] == 9.0f);
    }
    memcpy(offsets, (int32_t[]){0, 1, 3, 4}, sizeof(offsets));
    ck_assert_int_eq(tkp_test_run(TKP_OP_COSINE, NULL, args, 5), TKP_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops/checks");
    TCase *tests = tcase_create("checks");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(
        tests, op_run__spoilt_index__refused_and_dst_untouched, 0,
        tkp_test_kinds());
    tcase_add_test(tests, op_run__offsets_that_fall__refused);
    tcase_add_test(tests, op_run__offsets_that_leave_rows_out__refused);
    suite_add_tcase(suite, tests);
    return tkp_test_main(suite);
}
