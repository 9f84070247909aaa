/*
 * Holds descriptions and arguments against the tables of the kinds.
 */

#include <stdio.h>

#include "core/op_check.h"

/* --- tables ---------------------------------------------------------------- */

const tkp__op_rule *tkp__core_op_rule(int32_t kind)
{
    static const tkp__op_rule *const themes[] = {
        tkp__core_rules_score,
        tkp__core_rules_select,
        tkp__core_rules_rows,
        tkp__core_rules_forward,
    };
    for (size_t t = 0; t < sizeof(themes) / sizeof(themes[0]); t++)
        for (const tkp__op_rule *rule = themes[t]; rule->kind; rule++)
            if (rule->kind == kind)
                return rule;
    return NULL;
}

tkp_status tkp__core_op_check_params(
    const tkp__op_rule *rule,
    void *dst,
    const void *params)
{
    if (!rule->params_name) {
        TKP__CHECK(
            !params, TKP_ERR_ARGUMENT, "%s: params: is set, this kind has none",
            rule->name);
        return TKP_OK;
    }
    TKP__CHECK(
        params, TKP_ERR_ARGUMENT, "%s: params: is NULL, wanted a %s",
        rule->name, rule->params_name);
    uint32_t struct_size;
    memcpy(&struct_size, params, sizeof(struct_size));
    tkp_status status = tkp__util_copy_options(
        dst, rule->params_size, params, struct_size, rule->params_min,
        rule->params_name);
    if (status == TKP_OK) {
        memcpy(dst, &rule->params_size, sizeof(rule->params_size));
        status = rule->params ? rule->params(dst) : TKP_OK;
    }
    if (status != TKP_OK)
        tkp__fail_prefix(status, "%s", rule->name);
    return status;
}

/* --- dtype ----------------------------------------------------------------- */

static tkp_status check_dtype(const tkp__check_call *call, int32_t i)
{
    const int32_t dtype = call->args[i].dtype;
    const int32_t first = call->args[0].dtype;
    bool good = false;
    const char *wanted = "";
    char pair[24];
    switch ((enum tkp__arg_dtype)call->rule->args[i].dtype) {
    case TKP__ARG_ANY:
        return TKP_OK;
    case TKP__ARG_F32:
        good = dtype == TKP_DTYPE_F32;
        wanted = "f32";
        break;
    case TKP__ARG_I32:
        good = dtype == TKP_DTYPE_I32;
        wanted = "i32";
        break;
    case TKP__ARG_FLOAT:
        good = tkp__is_float(dtype);
        wanted = "f32, f16 or bf16";
        break;
    case TKP__ARG_F32_OR_BF16:
        good = dtype == TKP_DTYPE_F32 || dtype == TKP_DTYPE_BF16;
        wanted = "f32 or bf16";
        break;
    case TKP__ARG_AS_FIRST:
        good = dtype == first;
        wanted = tkp_dtype_string(first);
        break;
    case TKP__ARG_F32_OR_FIRST:
        good = dtype == TKP_DTYPE_F32 || dtype == first;
        if (!good)
            snprintf(pair, sizeof(pair), "f32 or %s", tkp_dtype_string(first));
        wanted = pair;
        break;
    }
    TKP__ARG_CHECK(
        call, i, good, TKP_ERR_DTYPE, "dtype is %s, wanted %s",
        tkp_dtype_string(dtype), wanted);
    return TKP_OK;
}

/* --- sizes ----------------------------------------------------------------- */

/* The alternative of `dims` that has ndim characters; NULL if none. */
static const char *dims_of_rank(const char *dims, int32_t ndim)
{
    for (;;) {
        const size_t length = strcspn(dims, "|");
        if (length == (size_t)ndim)
            return dims;
        if (dims[length] == '\0')
            return NULL;
        dims += length + 1;
    }
}

static tkp_status fail_rank(const tkp__check_call *call, int32_t i)
{
    char wanted[32] = "";
    size_t used = 0;
    for (const char *dims = call->rule->args[i].dims;;) {
        const size_t length = strcspn(dims, "|");
        used += (size_t)snprintf(
            wanted + used, sizeof(wanted) - used, "%s%zu", used ? " or " : "",
            length);
        if (dims[length] == '\0' || used + 8 > sizeof(wanted))
            break;
        dims += length + 1;
    }
    return tkp__fail(
        TKP_ERR_SHAPE, "%s: %s: ndim is %d, wanted %s", call->rule->name,
        call->rule->args[i].name, call->args[i].ndim, wanted);
}

static tkp_status fail_dim(
    const tkp__check_call *call,
    int32_t i,
    int32_t d,
    char rule,
    int64_t want)
{
    char label[8] = "";
    if (rule >= 'A' && rule <= 'Z')
        snprintf(label, sizeof(label), " (%c)", rule);
    else if (rule >= 'a' && rule <= 'z')
        snprintf(label, sizeof(label), " (%c+1)", rule - 'a' + 'A');
    return tkp__fail(
        TKP_ERR_SHAPE, "%s: %s: dim %d%s is %lld, wanted %lld",
        call->rule->name, call->rule->args[i].name, d, label,
        (long long)call->args[i].shape[d], (long long)want);
}

/* One dimension against one character: the first use of a letter gives it its
 * size, the others must agree. */
static tkp_status
check_dim(tkp__check_call *call, int32_t i, int32_t d, char rule)
{
    const int64_t size = call->args[i].shape[d];
    /* Rows and tokens are numbered in i32. */
    TKP__ARG_CHECK(
        call, i, size <= INT32_MAX, TKP_ERR_SHAPE,
        "dim %d is %lld, wanted at most %d", d, (long long)size, INT32_MAX);
    if (rule == '*')
        return TKP_OK;
    if (rule >= '1' && rule <= '9')
        return size == rule - '0' ? TKP_OK
                                  : fail_dim(call, i, d, rule, rule - '0');
    const int64_t more = rule >= 'a' ? 1 : 0;
    const int32_t letter = more ? rule - 'a' : rule - 'A';
    const uint32_t bit = UINT32_C(1) << letter;
    if (call->dims.known & bit) {
        const int64_t want = call->dims.size[letter] + more;
        return size == want ? TKP_OK : fail_dim(call, i, d, rule, want);
    }
    if (size < more)
        return tkp__fail(
            TKP_ERR_SHAPE, "%s: %s: dim %d (%c+1) is 0, wanted 1 or more",
            call->rule->name, call->rule->args[i].name, d, 'A' + letter);
    call->dims.known |= bit;
    call->dims.size[letter] = size - more;
    return TKP_OK;
}

static tkp_status check_dims(tkp__check_call *call, int32_t i)
{
    const char *dims = call->rule->args[i].dims;
    const tkp_tensor *t = &call->args[i];
    if (dims) {
        dims = dims_of_rank(dims, t->ndim);
        if (!dims)
            return fail_rank(call, i);
    }
    for (int32_t d = 0; d < t->ndim; d++)
        TKP__TRY(check_dim(call, i, d, dims ? dims[d] : '*'));
    return TKP_OK;
}

/* --- strides --------------------------------------------------------------- */

/* Are the rows (all dimensions but the first) without gaps inside? */
static bool rows_are_packed(const tkp_tensor *t)
{
    int64_t step = 1;
    for (int32_t d = t->ndim - 1; d > 0; d--) {
        if (t->shape[d] > 1 && t->strides[d] != step)
            return false;
        step *= t->shape[d];
    }
    return true;
}

static tkp_status check_strides(const tkp__check_call *call, int32_t i)
{
    const tkp_tensor *t = &call->args[i];
    const uint8_t flags = call->rule->args[i].flags;
    if (tkp_tensor_count(t) == 0)
        return TKP_OK;
    if (flags & TKP__ARG_OUT) {
        TKP__ARG_CHECK(
            call, i, tkp_tensor_is_contiguous(t), TKP_ERR_SHAPE, "%s",
            "strides leave gaps, wanted a row-major output");
        return TKP_OK;
    }
    for (int32_t d = 0; d < t->ndim; d++)
        TKP__ARG_CHECK(
            call, i, t->strides[d] >= 0 || t->shape[d] <= 1, TKP_ERR_SHAPE,
            "stride %d is %lld, wanted 0 or more", d, (long long)t->strides[d]);
    const int32_t last = t->ndim - 1;
    if (!(flags & TKP__ARG_ALL_FREE) && last >= 0)
        TKP__ARG_CHECK(
            call, i, t->strides[last] == 1 || t->shape[last] <= 1,
            TKP_ERR_SHAPE, "stride %d is %lld, wanted 1", last,
            (long long)t->strides[last]);
    if (!(flags & (TKP__ARG_ALL_FREE | TKP__ARG_ROWS_FREE)))
        TKP__ARG_CHECK(
            call, i, rows_are_packed(t), TKP_ERR_SHAPE, "%s",
            "strides leave gaps inside a row");
    return TKP_OK;
}

/* --- overlap --------------------------------------------------------------- */

struct extent {
    const char *begin, *end; /* both NULL: touches nothing */
};

/* An output may be one certain input: same first byte, same walk. (A shorter
 * or longer dimension 0 is fine: rows are compacted in place.) */
static bool same_view(const tkp_tensor *a, const tkp_tensor *b)
{
    if (tkp__data(a) != tkp__data(b) || a->dtype != b->dtype ||
        a->ndim != b->ndim)
        return false;
    for (int32_t d = 0; d < a->ndim; d++)
        if (a->strides[d] != b->strides[d] && a->shape[d] > 1 &&
            b->shape[d] > 1)
            return false;
    return true;
}

static tkp_status
check_overlap(const tkp__check_call *call, int32_t out, const struct extent *e)
{
    const tkp__arg_rule *rules = call->rule->args;
    if (!e[out].begin)
        return TKP_OK;
    for (int32_t i = 0; i < call->rule->n_args; i++) {
        if (i == out || !e[i].begin ||
            (uintptr_t)e[i].begin >= (uintptr_t)e[out].end ||
            (uintptr_t)e[out].begin >= (uintptr_t)e[i].end)
            continue;
        if (rules[out].alias == i + 1 &&
            same_view(&call->args[out], &call->args[i]))
            continue;
        return tkp__fail(
            TKP_ERR_ALIAS, "%s: %s: overlaps %s", call->rule->name,
            rules[out].name, rules[i].name);
    }
    return TKP_OK;
}

static tkp_status check_overlaps(const tkp__check_call *call)
{
    struct extent extents[TKP_OP_MAX_ARGS];
    const int32_t n = call->rule->n_args;
    for (int32_t i = 0; i < n; i++)
        if (!tkp__present(&call->args[i]) ||
            !tkp__extent(&call->args[i], &extents[i].begin, &extents[i].end))
            extents[i] = (struct extent){NULL, NULL};
    for (int32_t i = 0; i < n; i++)
        if (call->rule->args[i].flags & TKP__ARG_OUT)
            TKP__TRY(check_overlap(call, i, extents));
    return TKP_OK;
}

/* --- all of it ------------------------------------------------------------- */

tkp_status tkp__core_op_check_args(tkp__check_call *call)
{
    const tkp__op_rule *rule = call->rule;
    call->dims.known = 0;
    for (int32_t i = 0; i < rule->n_args; i++) {
        if (!tkp__present(&call->args[i])) {
            TKP__ARG_CHECK(
                call, i, rule->args[i].flags & TKP__ARG_OPTIONAL,
                TKP_ERR_ARGUMENT, "%s", "is missing");
            continue;
        }
        TKP__TRY(check_dtype(call, i));
        TKP__TRY(check_dims(call, i));
        if (!call->descriptor)
            TKP__TRY(check_strides(call, i));
    }
    if (rule->relations)
        TKP__TRY(rule->relations(call));
    return call->descriptor ? TKP_OK : check_overlaps(call);
}

/* The arguments of a user's kind have numbers only. */
static const char *arg_name(const tkp__op_rule *rule, int32_t i)
{
    static const char *const numbers[TKP_OP_MAX_ARGS] = {
        "argument 0", "argument 1", "argument 2",  "argument 3",
        "argument 4", "argument 5", "argument 6",  "argument 7",
        "argument 8", "argument 9", "argument 10", "argument 11"};
    return rule ? rule->args[i].name : numbers[i];
}

tkp_status tkp__core_op_check_views(
    int32_t device_type,
    int32_t device_id,
    const char *kind_name,
    const tkp__op_rule *rule,
    const tkp_tensor *args,
    int32_t n_args,
    bool descriptor)
{
    for (int32_t i = 0; i < n_args; i++) {
        const tkp_tensor *t = &args[i];
        if (!tkp__present(t))
            continue;
        const char *name = arg_name(rule, i);
        const tkp_status status = tkp__check_view(t, name, descriptor);
        if (status != TKP_OK)
            return tkp__fail_prefix(status, "%s", kind_name);
        TKP__CHECK(
            t->device_type == device_type && t->device_id == device_id,
            TKP_ERR_ARGUMENT,
            "%s: %s: lies on device %d:%d, the context works on %d:%d",
            kind_name, name, t->device_type, t->device_id, device_type,
            device_id);
    }
    return TKP_OK;
}

/* --- against the plan ------------------------------------------------------ */

static tkp_status
check_plan_arg(const tkp_op *op, int32_t i, const tkp_tensor *t)
{
    const tkp_tensor *plan = &op->args[i];
    const char *name = arg_name(op->rule, i);
    TKP__CHECK(
        tkp__present(t) == tkp__present(plan), TKP_ERR_ARGUMENT,
        "%s: %s: is %s, the plan was made %s it", op->name, name,
        tkp__present(t) ? "given" : "missing",
        tkp__present(plan) ? "with" : "without");
    if (!tkp__present(t))
        return TKP_OK;
    TKP__CHECK(
        t->dtype == plan->dtype, TKP_ERR_DTYPE,
        "%s: %s: dtype is %s, the plan was made for %s", op->name, name,
        tkp_dtype_string(t->dtype), tkp_dtype_string(plan->dtype));
    TKP__CHECK(
        t->ndim == plan->ndim, TKP_ERR_SHAPE,
        "%s: %s: ndim is %d, the plan was made for %d", op->name, name, t->ndim,
        plan->ndim);
    const bool constant =
        op->rule && (op->rule->args[i].flags & TKP__ARG_CONSTANT);
    for (int32_t d = 0; d < t->ndim; d++)
        TKP__CHECK(
            constant ? t->shape[d] == plan->shape[d]
                     : t->shape[d] <= plan->shape[d],
            TKP_ERR_SHAPE, "%s: %s: dim %d is %lld, the plan was made for %lld",
            op->name, name, d, (long long)t->shape[d],
            (long long)plan->shape[d]);
    TKP__CHECK(
        !constant || !plan->data || tkp__data(t) == tkp__data(plan),
        TKP_ERR_ARGUMENT, "%s: %s: data is not what the plan was made with",
        op->name, name);
    return TKP_OK;
}

tkp_status tkp__core_op_check_plan(const tkp_op *op, const tkp_tensor *args)
{
    for (int32_t i = 0; i < op->n_args; i++)
        TKP__TRY(check_plan_arg(op, i, &args[i]));
    return TKP_OK;
}

/* --- shapes as text -------------------------------------------------------- */

static size_t append(char *out, size_t bytes, size_t used, char c, int64_t n)
{
    if (used >= bytes)
        return used;
    return used + (size_t)snprintf(
                      out + used, bytes - used, "%c%lld", c, (long long)n);
}

static size_t append_letters(
    char *out,
    size_t bytes,
    size_t used,
    const char *dims,
    const tkp_tensor *t,
    uint32_t *seen)
{
    for (int32_t d = 0; d < t->ndim; d++) {
        const bool more = dims[d] >= 'a' && dims[d] <= 'z';
        const bool plain = dims[d] >= 'A' && dims[d] <= 'Z';
        const int32_t letter = dims[d] - (more ? 'a' : 'A');
        if ((!more && !plain) || (*seen & (UINT32_C(1) << letter)))
            continue;
        *seen |= UINT32_C(1) << letter;
        used = append(
            out, bytes, used, (char)('a' + letter),
            t->shape[d] - (more ? 1 : 0));
    }
    return used;
}

char *tkp__core_op_shape_string(
    char *out,
    size_t bytes,
    const tkp__op_rule *rule,
    const tkp_tensor *args,
    int32_t n_args)
{
    size_t used = 0;
    uint32_t seen = 0;
    out[0] = '\0';
    for (int32_t i = 0; i < n_args; i++) {
        const tkp_tensor *t = &args[i];
        if (!tkp__present(t))
            continue;
        const char *dims = rule ? rule->args[i].dims : NULL;
        dims = dims ? dims_of_rank(dims, t->ndim) : NULL;
        if (dims) {
            used = append_letters(out, bytes, used, dims, t, &seen);
            continue;
        }
        for (int32_t d = 0; d < t->ndim; d++)
            used = append(
                out, bytes, used,
                d > 0  ? 'x'
                : used ? '_'
                       : 's',
                t->shape[d]);
    }
    return out;
}
