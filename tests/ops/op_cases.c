#include "op_cases.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op_device.h"

enum { guard_bytes = TKP_TEST_GUARD_BYTES, guard_value = 0xa5 };

/* --- kinds ------------------------------------------------------------------ */

static const tkp_test_kind *const themes[] = {
    tkp_test_kinds_score, tkp_test_kinds_select,  tkp_test_kinds_greedy,
    tkp_test_kinds_rows,  tkp_test_kinds_forward,
};

const tkp_test_kind *tkp_test_kind_at(int32_t i)
{
    for (size_t t = 0; t < sizeof(themes) / sizeof(themes[0]); t++)
        for (const tkp_test_kind *k = themes[t]; k->build; k++)
            if (i-- == 0)
                return k;
    return NULL;
}

int32_t tkp_test_kinds(void)
{
    int32_t n = 0;
    while (tkp_test_kind_at(n))
        n++;
    return n;
}

/* --- random numbers ----------------------------------------------------------- */

/* splitmix64 */
static uint64_t next(tkp_test_case *c)
{
    uint64_t z = (c->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint32_t tkp_test_random(tkp_test_case *c, uint32_t n)
{
    return (uint32_t)((next(c) >> 32) * n >> 32);
}

/* Sum of four uniform numbers, mean 0, variance 1. */
double tkp_test_normal(tkp_test_case *c)
{
    double sum = 0.0;
    for (int i = 0; i < 4; i++)
        sum += (double)(next(c) >> 11) * 0x1p-53 - 0.5;
    return sum * 1.7320508075688772;
}

int32_t tkp_test_pick(int32_t *i, int32_t n)
{
    const int32_t digit = *i % n;
    *i /= n;
    return digit;
}

void tkp_test_distinct(
    tkp_test_case *c,
    int32_t *out,
    int32_t n,
    int32_t limit,
    bool ascending)
{
    int32_t *all = malloc(sizeof(*all) * (size_t)(limit ? limit : 1));
    bool *used = calloc((size_t)(limit ? limit : 1), sizeof(*used));
    if (!all || !used)
        abort();
    for (int32_t i = 0; i < limit; i++)
        all[i] = i;
    for (int32_t i = 0; i < n; i++) {
        const int32_t j =
            i + (int32_t)tkp_test_random(c, (uint32_t)(limit - i));
        const int32_t chosen = all[j];
        all[j] = all[i];
        all[i] = chosen;
        out[i] = chosen;
        used[chosen] = true;
    }
    for (int32_t i = 0, at = 0; ascending && i < limit; i++)
        if (used[i])
            out[at++] = i;
    free(all);
    free(used);
}

/* --- memory ------------------------------------------------------------------- */

/* All bits set: NaN in the floating dtypes, -1 in the others. */
static void *block_make(tkp_test_block *b, size_t bytes)
{
    b->bytes = bytes;
    b->memory = aligned_alloc(64, (bytes + 2 * guard_bytes + 63) / 64 * 64);
    if (!b->memory)
        abort();
    memset(b->memory, guard_value, bytes + 2 * guard_bytes);
    memset(b->memory + guard_bytes, 0xff, bytes);
    return b->memory + guard_bytes;
}

static bool block_intact(const tkp_test_block *b)
{
    for (size_t i = 0; i < guard_bytes; i++)
        if (b->memory[i] != guard_value ||
            b->memory[guard_bytes + b->bytes + i] != guard_value)
            return false;
    return true;
}

static void block_free(tkp_test_block *b)
{
    free(b->memory);
    free(b->saved);
    memset(b, 0, sizeof(*b));
}

static void save_inputs(tkp_test_case *c)
{
    for (int32_t a = 0; a < c->n_args; a++) {
        tkp_test_block *b = &c->blocks[a];
        bool written = c->output[a];
        for (int32_t o = 0; o < c->n_args; o++)
            written = written || (c->output[o] && c->alias[o] == a);
        if (!b->memory || written)
            continue;
        b->saved = malloc(b->bytes ? b->bytes : 1);
        if (!b->saved)
            abort();
        memcpy(b->saved, b->memory + guard_bytes, b->bytes);
    }
}

const char *tkp_test_case_damage(const tkp_test_case *c)
{
    for (int32_t a = 0; a < c->n_args; a++) {
        const tkp_test_block *b = &c->blocks[a];
        if (b->memory && !block_intact(b))
            return c->output[a] ? "guard bytes of an output were written"
                                : "guard bytes of an input were written";
        if (b->saved && memcmp(b->saved, b->memory + guard_bytes, b->bytes))
            return "an input was written";
    }
    return NULL;
}

/* --- arguments ------------------------------------------------------------------ */

static void note_arg(tkp_test_case *c, int32_t arg)
{
    if (c->n_args <= arg)
        c->n_args = arg + 1;
}

void tkp_test_arg_view(
    tkp_test_case *c,
    int32_t arg,
    int32_t dtype,
    int32_t ndim,
    const int64_t *shape,
    int64_t gap)
{
    note_arg(c, arg);
    tkp_tensor *t = &c->args[arg];
    tkp_tensor_make(t, NULL, dtype, ndim, shape);
    const int64_t count = tkp_tensor_count(t);
    int64_t elements = count;
    if (ndim > 0 && count > 0) {
        t->strides[0] += gap;
        elements = (shape[0] - 1) * t->strides[0] + count / shape[0];
    }
    t->data =
        block_make(&c->blocks[arg], (size_t)elements * tkp_dtype_bytes(dtype));
}

static double fill_value(tkp_test_case *c, int32_t fill, int64_t i)
{
    static const double ties[] = {-1.0, -0.0, 0.0, 0.5, 2.0};
    switch (fill) {
    case TKP_TEST_TIES:
        return ties[tkp_test_random(c, 5)];
    case TKP_TEST_NANS:
        return tkp_test_random(c, 4) == 0 ? (double)NAN : tkp_test_normal(c);
    case TKP_TEST_CONSTANT:
        return 0.625;
    case TKP_TEST_ZEROS:
        return 0.0;
    case TKP_TEST_RISING:
        return (double)i * 0.25 - 3.0;
    default:
        return tkp_test_normal(c);
    }
}

void tkp_test_arg_fill(tkp_test_case *c, int32_t arg, int32_t fill)
{
    tkp_tensor *t = &c->args[arg];
    const int64_t n = tkp_tensor_count(t);
    for (int64_t i = 0; i < n; i++)
        tkp_test_store(
            t->data, t->dtype, tkp_test_offset(t, i), fill_value(c, fill, i));
}

void tkp_test_arg_float(
    tkp_test_case *c,
    int32_t arg,
    int32_t dtype,
    int32_t ndim,
    const int64_t *shape,
    int64_t gap,
    int32_t fill)
{
    tkp_test_arg_view(c, arg, dtype, ndim, shape, gap);
    tkp_test_arg_fill(c, arg, fill);
}

int32_t *
tkp_test_arg_i32(tkp_test_case *c, int32_t arg, int64_t n, const int32_t *from)
{
    tkp_test_arg_view(c, arg, TKP_DTYPE_I32, 1, &n, 0);
    int32_t *data = c->args[arg].data;
    if (from && n)
        memcpy(data, from, sizeof(*data) * (size_t)n);
    return data;
}

void tkp_test_arg_swap(tkp_test_case *c, int32_t arg)
{
    tkp_tensor *t = &c->args[arg];
    const int64_t inner = t->ndim > 2 ? t->strides[1] : 1;
    t->strides[1] = t->shape[0] * inner;
    t->strides[0] = inner;
}

void tkp_test_arg_none(tkp_test_case *c, int32_t arg)
{
    note_arg(c, arg);
    memset(&c->args[arg], 0, sizeof(c->args[arg]));
    c->args[arg].device_type = TKP_DEVICE_CPU;
}

void tkp_test_arg_out(
    tkp_test_case *c,
    int32_t arg,
    int32_t dtype,
    int32_t ndim,
    const int64_t *shape)
{
    tkp_test_arg_view(c, arg, dtype, ndim, shape, 0);
    c->output[arg] = true;
}

void tkp_test_arg_alias(tkp_test_case *c, int32_t arg, int32_t input)
{
    note_arg(c, arg);
    c->args[arg] = c->args[input];
    c->output[arg] = true;
    c->alias[arg] = input;
}

void tkp_test_params(tkp_test_case *c, size_t size)
{
    c->params_size = size;
    c->params.struct_size = (uint32_t)size;
}

void tkp_test_describe(tkp_test_case *c, const char *format, ...)
{
    const size_t used = strlen(c->name);
    va_list list;
    va_start(list, format);
    vsnprintf(c->name + used, sizeof(c->name) - used, format, list);
    va_end(list);
}

/* --- ragged batches ---------------------------------------------------------------- */

/* Empty, one, odd, prime, powers of two and their neighbours, an image of
 * LLaVA-1.5 and of LLaVA-NeXT. The last ones are the costly ones. */
static const int32_t batches[][8] = {
    {1, -1},
    {0, -1},
    {-1},
    {7, 0, 13, -1},
    {31, 32, 33, 0, 1, 64, -1},
    {127, 1, 0, 129, -1},
    {97, -1},
    {256, 255, 257, -1},
    {576, -1},
    {2880, -1},
};

int32_t tkp_test_batches(void)
{
    return (int32_t)(sizeof(batches) / sizeof(batches[0]));
}
const int32_t *tkp_test_batch(int32_t i)
{
    return batches[i];
}
int32_t tkp_test_batch_size(const int32_t *batch)
{
    int32_t n = 0;
    while (batch[n] >= 0)
        n++;
    return n;
}
int32_t tkp_test_batch_total(const int32_t *batch)
{
    int32_t sum = 0;
    for (int32_t i = 0; batch[i] >= 0; i++)
        sum += batch[i];
    return sum;
}

const int32_t *
tkp_test_arg_offsets(tkp_test_case *c, int32_t arg, const int32_t *batch)
{
    const int32_t b = tkp_test_batch_size(batch);
    int32_t *offsets = tkp_test_arg_i32(c, arg, b + 1, NULL);
    offsets[0] = 0;
    for (int32_t i = 0; i < b; i++)
        offsets[i + 1] = offsets[i] + batch[i];
    return offsets;
}

/* --- making and running -------------------------------------------------------------- */

void tkp_test_case_make(
    tkp_test_case *c,
    const tkp_test_kind *kind,
    int32_t i,
    uint64_t seed)
{
    memset(c, 0, sizeof(*c));
    c->kind = kind->kind;
    c->looser = 1.0;
    for (int32_t a = 0; a < TKP_OP_MAX_ARGS; a++)
        c->alias[a] = -1;
    c->random = seed * 1000003u + (uint64_t)i * 7919u + (uint64_t)kind->kind;
    tkp_test_describe(c, "%s", tkp_op_kind_string(kind->kind));
    kind->build(c, i);
    save_inputs(c);
}

void tkp_test_case_free(tkp_test_case *c)
{
    for (int32_t a = 0; a < TKP_OP_MAX_ARGS; a++)
        block_free(&c->blocks[a]);
}

/* Can one plan serve both? Sizes that other sizes follow from stay equal. */
static bool fits(const tkp_test_case *a, const tkp_test_case *b)
{
    if (a->kind != b->kind || a->params_size != b->params_size ||
        memcmp(&a->params, &b->params, a->params_size) != 0 ||
        a->kind == TKP_OP_PATCHES || a->kind == TKP_OP_LINEAR ||
        a->kind == TKP_OP_ROTARY_TABLE)
        return false;
    const bool heads =
        a->kind == TKP_OP_ATTENTION_SCORES ||
        a->kind == TKP_OP_ATTENTION_RANK || a->kind == TKP_OP_ATTENTION_HEADS ||
        a->kind == TKP_OP_MEAN_QUERY || a->kind == TKP_OP_ATTENTION;
    for (int32_t i = 0; i < a->n_args; i++) {
        const tkp_tensor *x = &a->args[i], *y = &b->args[i];
        if (x->dtype != y->dtype || x->ndim != y->ndim)
            return false;
        if (heads && x->ndim > 2 &&
            x->shape[x->ndim - 2] != y->shape[y->ndim - 2])
            return false;
    }
    return true;
}

static void describe_plan(
    tkp_tensor *out,
    const tkp_test_case *c,
    const tkp_test_case *plan_for,
    bool away)
{
    for (int32_t i = 0; i < c->n_args; i++) {
        out[i] = c->args[i];
        out[i].data = NULL;
        if (away)
            out[i].device_type = TKP_DEVICE_CUDA;
        for (int32_t d = 0; plan_for && d < out[i].ndim; d++)
            if (plan_for->args[i].shape[d] > out[i].shape[d])
                out[i].shape[d] = plan_for->args[i].shape[d];
    }
    /* Constant weights may be given to the plan. */
    if (c->kind == TKP_OP_LINEAR && !away)
        out[1] = c->args[1];
}

/* A workspace that holds `fill`, on the host or away; the bytes of both. */
static tkp_status take_workspace(
    tkp_test_device *d,
    tkp_test_block *host,
    void **memory,
    uint64_t bytes,
    unsigned char fill)
{
    *memory = block_make(host, bytes);
    memset(*memory, fill, bytes);
    if (!d->away)
        return TKP_OK;
    const size_t all = bytes + 2 * guard_bytes;
    const tkp_status status = tkp_device_alloc(d->context, memory, all);
    if (status != TKP_OK) {
        *memory = NULL;
        return status;
    }
    d->workspace = *memory;
    *memory = (unsigned char *)d->workspace + guard_bytes;
    return tkp_device_upload(d->exec, d->workspace, host->memory, all);
}

static tkp_status run_planned(
    tkp_test_case *c,
    tkp_test_device *d,
    const tkp_op *op,
    unsigned char fill)
{
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    tkp_test_block workspace = {0};
    void *memory = NULL;
    tkp_status status = tkp_op_query(op, &need);
    if (status == TKP_OK)
        status = tkp_exec_create(&d->exec, d->context, NULL);
    if (status == TKP_OK)
        status = tkp_test_device_take(d, c);
    if (status == TKP_OK)
        status =
            take_workspace(d, &workspace, &memory, need.workspace_bytes, fill);
    if (status == TKP_OK)
        status = tkp_exec_set_workspace(d->exec, memory, need.workspace_bytes);
    if (status == TKP_OK)
        status = tkp_op_run(op, d->exec, d->args, c->n_args);
    if (status == TKP_OK)
        status = tkp_test_device_give_back(d, c);
    if (status == TKP_OK && d->away)
        status = tkp_device_download(
            d->exec, workspace.memory, d->workspace,
            need.workspace_bytes + 2 * guard_bytes);
    if (workspace.memory && !block_intact(&workspace)) {
        fprintf(stderr, "%s: guard bytes of the workspace written\n", c->name);
        status = TKP_ERR_INTERNAL;
    }
    block_free(&workspace);
    return status;
}

tkp_status tkp_test_case_run(
    tkp_test_case *c,
    tkp_context *context,
    const tkp_test_case *plan_for,
    unsigned char fill,
    const char **backend)
{
    if (plan_for && !fits(c, plan_for))
        plan_for = NULL;
    tkp_test_device device = {.context = context};
    device.away = tkp_context_device_type(context) != TKP_DEVICE_CPU;
    tkp_tensor plan_args[TKP_OP_MAX_ARGS];
    describe_plan(plan_args, c, plan_for, device.away);
    tkp_op_desc desc = TKP_OP_DESC_INIT;
    desc.kind = c->kind;
    desc.args = plan_args;
    desc.n_args = c->n_args;
    desc.params = c->params_size ? &c->params : NULL;
    tkp_op *op = NULL;
    const tkp_status status = tkp_op_create(&op, context, &desc);
    if (status != TKP_OK)
        return status;
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    tkp_status result = tkp_op_query(op, &need);
    if (backend)
        *backend = need.backend;
    if (result == TKP_OK)
        result = run_planned(c, &device, op, fill);
    tkp_test_device_free(&device);
    tkp_op_destroy(op);
    return result;
}

/* --- comparing --------------------------------------------------------------------- */

static const unsigned char *output_bytes(const tkp_test_case *c, int32_t a)
{
    return c->blocks[c->alias[a] >= 0 ? c->alias[a] : a].memory + guard_bytes;
}

bool tkp_test_case_same_bits(const tkp_test_case *a, const tkp_test_case *b)
{
    for (int32_t i = 0; i < a->n_args; i++) {
        const size_t bytes =
            a->blocks[a->alias[i] >= 0 ? a->alias[i] : i].bytes;
        if (a->output[i] &&
            memcmp(output_bytes(a, i), output_bytes(b, i), bytes) != 0)
            return false;
    }
    return true;
}

bool tkp_test_case_compare(
    const tkp_test_case *actual,
    const tkp_test_case *expected,
    tkp_test_report *report)
{
    memset(report, 0, sizeof(*report));
    report->ok = true;
    for (int32_t i = 0; i < expected->n_args; i++) {
        if (!expected->output[i])
            continue;
        tkp_test_tolerance table =
            expected->exact ? tkp_test_exact
                            : *tkp_test_table(expected->args[i].dtype);
        table.warn *= expected->looser;
        table.fail *= expected->looser;
        tkp_test_report one;
        const bool ok = tkp_test_compare(
            &actual->args[i], &expected->args[i], &table, &one);
        if (!ok || one.error >= report->error)
            *report = one;
        if (!ok)
            return false;
        /* Zeros everywhere prove nothing. */
        if (!expected->degenerate && one.count > 8 &&
            one.zeros * 10 > one.count * 9) {
            report->ok = false;
            snprintf(
                report->text, sizeof(report->text),
                "mistrusted: %lld of %lld expected values are 0",
                (long long)one.zeros, (long long)one.count);
            return false;
        }
    }
    return true;
}
