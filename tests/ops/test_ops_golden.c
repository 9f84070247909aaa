/*
 * Golden vectors: an independent statement of the ops in NumPy. The format is
 * described in tools/golden/make_op_vectors.py, which makes them.
 *
 *   TKP_TEST_CASE=topk/plain_high   this case only
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op_main.h"

typedef struct golden {
    char op[40], name[60], status[12];
    unsigned char params[160];
    size_t params_size; /* 0 = NULL */
    int32_t n_args;
    tkp_tensor args[TKP_OP_MAX_ARGS];
    tkp_tensor expected[TKP_OP_MAX_ARGS]; /* where output */
    bool output[TKP_OP_MAX_ARGS];
} golden;

static unsigned char *data; /* vectors.bin */
static size_t data_bytes;

/* --- reading -------------------------------------------------------------------- */

static char *read_file(const char *name, size_t *bytes)
{
    const char *root = getenv("TKP_TEST_DATA");
    char path[1024];
    snprintf(path, sizeof(path), "%s/ops/%s", root ? root : ".", name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(
        file != NULL, "%s cannot be read: is TKP_TEST_DATA set?", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*bytes + 1);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(fread(text, 1, *bytes, file), *bytes);
    text[*bytes] = '\0';
    fclose(file);
    return text;
}

static int32_t dtype_named(const char *name)
{
    for (int32_t d = TKP_DTYPE_F32; d <= TKP_DTYPE_U8; d++)
        if (strcmp(tkp_dtype_string(d), name) == 0)
            return d;
    ck_abort_msg("dtype %s", name);
    return 0;
}

static int32_t kind_named(const char *name)
{
    for (int32_t i = 0; i < tkp_test_kinds(); i++) {
        const int32_t kind = tkp_test_kind_at(i)->kind;
        if (strcmp(tkp_op_kind_string(kind), name) == 0)
            return kind;
    }
    ck_abort_msg("op %s", name);
    return 0;
}

/* "in f32 3x4 128" */
static void read_arg(golden *g, const char *line)
{
    char role[8], dtype[8], shape_text[64];
    long long offset;
    ck_assert_int_eq(
        sscanf(line, "%7s %7s %63s %lld", role, dtype, shape_text, &offset), 4);
    int64_t shape[TKP_MAX_DIMS];
    int32_t ndim = 0;
    for (char *at = shape_text; *at && ndim < TKP_MAX_DIMS; ndim++) {
        shape[ndim] = strtoll(at, &at, 10);
        at += *at == 'x';
    }
    ck_assert_int_lt(g->n_args, TKP_OP_MAX_ARGS);
    const int32_t a = g->n_args++;
    tkp_tensor view;
    tkp_tensor_make(&view, data + offset, dtype_named(dtype), ndim, shape);
    const size_t bytes =
        (size_t)tkp_tensor_count(&view) * tkp_dtype_bytes(view.dtype);
    ck_assert_uint_le((size_t)offset + bytes, data_bytes);
    g->args[a] = g->expected[a] = view;
    g->output[a] = strcmp(role, "in") != 0;
    if (g->output[a]) {
        g->args[a].data = malloc(bytes ? bytes : 1);
        ck_assert_ptr_nonnull(g->args[a].data);
        memset(g->args[a].data, strcmp(role, "zero") ? 0xff : 0, bytes);
    }
}

static void read_params(golden *g, const char *hex)
{
    unsigned byte;
    while (sscanf(hex, "%2x", &byte) == 1) {
        ck_assert_uint_lt(g->params_size, sizeof(g->params));
        g->params[g->params_size++] = (unsigned char)byte;
        hex += 2;
    }
}

/* The next case of the text; false at its end. */
static bool read_case(golden *g, char **rest)
{
    memset(g, 0, sizeof(*g));
    while (*rest && **rest) {
        char *line = *rest;
        if (g->op[0] && strncmp(line, "case ", 5) == 0)
            return true;
        char *end = strchr(line, '\n');
        *rest = end ? end + 1 : NULL;
        if (end)
            *end = '\0';
        if (strncmp(line, "case ", 5) == 0)
            ck_assert_int_eq(
                sscanf(line, "case %39s %59s %11s", g->op, g->name, g->status),
                3);
        else if (strncmp(line, "params ", 7) == 0)
            read_params(g, line + 7);
        else if (strcmp(line, "none") == 0)
            g->args[g->n_args++] = tkp_test_none();
        else if (line[0] != '#' && line[0] != '\0')
            read_arg(g, line);
    }
    return g->op[0] != '\0';
}

/* --- running ---------------------------------------------------------------------- */

/* Values that are only moved or rounded have one right answer. */
static bool is_exact(int32_t kind)
{
    return kind == TKP_OP_CAST || kind == TKP_OP_PATCHES ||
           kind == TKP_OP_GATHER_ROWS || kind == TKP_OP_SCATTER_ROWS ||
           kind == TKP_OP_GROUP_BROADCAST || kind == TKP_OP_ROTARY;
}

static const tkp_test_tolerance *
table_of(const golden *g, int32_t kind, int32_t arg)
{
    if (is_exact(kind))
        return &tkp_test_exact;
    /* A probability on the edge of two halves may fall to either side. */
    if (strncmp(g->name, "emulate", 7) == 0)
        return tkp_test_table(g->args[0].dtype);
    return tkp_test_table(g->args[arg].dtype);
}

/* True if all outputs are as they should be. */
static bool run_case(golden *g)
{
    const int32_t kind = kind_named(g->op);
    const tkp_status status = tkp_test_run(
        kind, g->params_size ? g->params : NULL, g->args, g->n_args);
    const tkp_status want =
        strcmp(g->status, "DATA") == 0 ? TKP_ERR_DATA : TKP_OK;
    if (status != want) {
        fprintf(
            stderr, "FAILED %s/%s: answered %s, wanted %s\n", g->op, g->name,
            tkp_status_string(status), tkp_status_string(want));
        return false;
    }
    for (int32_t a = 0; want == TKP_OK && a < g->n_args; a++) {
        tkp_test_report report;
        if (!g->output[a] ||
            tkp_test_compare(
                &g->args[a], &g->expected[a], table_of(g, kind, a), &report))
            continue;
        fprintf(
            stderr, "FAILED %s/%s: argument %d: %s\n", g->op, g->name, a,
            report.text);
        return false;
    }
    return true;
}

START_TEST(op_run__golden_inputs__golden_outputs)
{
    size_t text_bytes;
    char *text = read_file("vectors.txt", &text_bytes);
    data = (unsigned char *)read_file("vectors.bin", &data_bytes);
    const char *only = getenv("TKP_TEST_CASE");
    int32_t cases = 0, failed = 0;
    bool seen[200] = {false};
    golden g;
    for (char *rest = text; read_case(&g, &rest);) {
        char full[120];
        snprintf(full, sizeof(full), "%s/%s", g.op, g.name);
        if (!only || strcmp(only, full) == 0) {
            cases++;
            failed += !run_case(&g);
            seen[kind_named(g.op)] = true;
        }
        for (int32_t a = 0; a < g.n_args; a++)
            if (g.output[a])
                free(g.args[a].data);
    }
    printf("%d golden cases, %d failed\n", cases, failed);
    ck_assert_int_eq(failed, 0);
    ck_assert_int_gt(cases, 0);
    for (int32_t i = 0; !only && i < tkp_test_kinds(); i++)
        ck_assert_msg(
            seen[tkp_test_kind_at(i)->kind], "%s: no golden case",
            tkp_op_kind_string(tkp_test_kind_at(i)->kind));
    free(text);
    free(data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops/golden");
    TCase *tests = tcase_create("golden");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, op_run__golden_inputs__golden_outputs);
    suite_add_tcase(suite, tests);
    return tkp_test_main(suite);
}
