#include "mllm/forward.h"

#include <stdarg.h>
#include <stdio.h>

#include "tokenprune/sys/device.h"

enum { NAME_BYTES = 128 };

/* --- loading --------------------------------------------------------------- */

static tkp_status
take_weight(tkp__planner *p, tkp_tensor *out, const char *name)
{
    TKP__TRY(tkp__weights_get(p->weights, name, out));
    p->parameters += tkp_tensor_count(out);
    return tkp__device_weights_take(p->copies, out);
}

tkp_status
tkp__planner_weight(tkp__planner *p, tkp_tensor *out, const char *format, ...)
{
    char name[NAME_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof(name), format, list);
    va_end(list);
    return take_weight(p, out, name);
}

bool tkp__planner_has(const tkp__planner *p, const char *format, ...)
{
    char name[NAME_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof(name), format, list);
    va_end(list);
    return tkp__weights_has(p->weights, name);
}

tkp_status tkp__planner_op(
    tkp__planner *p,
    tkp_op **out,
    int32_t kind,
    const tkp_tensor *args,
    int32_t n_args,
    const void *params)
{
    tkp_op_desc desc = TKP_OP_DESC_INIT;
    desc.kind = kind;
    desc.args = args;
    desc.n_args = n_args;
    desc.params = params;
    desc.flags = TKP_OP_HOST_TABLES;
    TKP__TRY(tkp_op_create(out, p->context, &desc));
    tkp_requirements needs = TKP_REQUIREMENTS_INIT;
    TKP__TRY(tkp_op_query(*out, &needs));
    if (needs.workspace_bytes > p->workspace_bytes)
        p->workspace_bytes = needs.workspace_bytes;
    return TKP_OK;
}

/* --- rows in memory -------------------------------------------------------- */

tkp_status tkp__buffer_alloc(
    tkp__buffer *b,
    tkp_context *context,
    int64_t rows,
    int64_t width,
    int32_t dtype)
{
    int64_t bytes;
    TKP__CHECK(
        tkp__mul_i64(width, (int64_t)tkp_dtype_bytes(dtype), &bytes) &&
            tkp__mul_i64(bytes, rows, &bytes),
        TKP_ERR_MEMORY, "%lld rows of %lld %s values do not fit",
        (long long)rows, (long long)width, tkp_dtype_string(dtype));
    if (context) {
        TKP__TRY(tkp_device_alloc(context, &b->data, (uint64_t)bytes));
    } else {
        b->data = tkp__alloc(1, (size_t)bytes);
        if (!b->data)
            return TKP_ERR_MEMORY;
    }
    b->rows = rows;
    b->width = width;
    b->dtype = dtype;
    b->context = context;
    return TKP_OK;
}

void tkp__buffer_free(tkp__buffer *b)
{
    if (b->context)
        tkp_device_free(b->context, b->data);
    else
        tkp__free(b->data);
    *b = (tkp__buffer){0};
}

/* --- for who listens ------------------------------------------------------- */

void tkp__trace(
    const tkp__forward *f,
    const char *name,
    int32_t layer,
    const tkp_tensor *tensor)
{
    if (!f->trace)
        return;
    tkp_tensor copy = *tensor;
    const size_t bytes =
        (size_t)tkp_tensor_count(tensor) * tkp_dtype_bytes(tensor->dtype);
    if (tensor->device_type == TKP_DEVICE_CPU) {
        f->trace(f->trace_user, name, layer, tensor);
        return;
    }
    copy.data = tkp__alloc(1, bytes);
    copy.byte_offset = 0;
    copy.device_type = TKP_DEVICE_CPU;
    copy.device_id = 0;
    /* What cannot be shown is told as a tensor without data. */
    if (copy.data &&
        tkp_device_download(f->exec, copy.data, tkp__data(tensor), bytes) !=
            TKP_OK) {
        tkp__free(copy.data);
        copy.data = NULL;
    }
    f->trace(f->trace_user, name, layer, &copy);
    tkp__free(copy.data);
}

/* --- linear ---------------------------------------------------------------- */

tkp_status tkp__linear_load(
    tkp__linear *linear,
    tkp__planner *p,
    int64_t rows,
    uint32_t flags,
    const char *format,
    ...)
{
    char name[NAME_BYTES - 8], full[NAME_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof(name), format, list);
    va_end(list);

    snprintf(full, sizeof(full), "%s.weight", name);
    TKP__TRY(take_weight(p, &linear->weight, full));
    const int64_t n = linear->weight.shape[0];
    const int64_t k = tkp_tensor_count(&linear->weight) / n;
    linear->weight = tkp__as_rows(&linear->weight, linear->weight.dtype, n, k);
    if (flags & TKP__LINEAR_BIAS) {
        snprintf(full, sizeof(full), "%s.bias", name);
        TKP__TRY(take_weight(p, &linear->bias, full));
    }
    const int32_t dtype = flags & TKP__LINEAR_F32 ? TKP_DTYPE_F32 : p->dtype;
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(&args[0], NULL, p->dtype, rows, k);
    args[1] = linear->weight;
    if (flags & TKP__LINEAR_BIAS)
        tkp_tensor_make_1d(&args[2], NULL, linear->bias.dtype, n);
    if (flags & TKP__LINEAR_RESIDUAL)
        tkp_tensor_make_2d(&args[3], NULL, dtype, rows, n);
    tkp_tensor_make_2d(&args[4], NULL, dtype, rows, n);
    const tkp_op_linear params = {
        .struct_size = sizeof(params),
        .pack = p->pack,
    };
    return tkp__planner_op(p, &linear->op, TKP_OP_LINEAR, args, 5, &params);
}

void tkp__linear_free(tkp__linear *linear)
{
    tkp_op_destroy(linear->op);
    *linear = (tkp__linear){0};
}

tkp_status tkp__linear_run(
    const tkp__linear *linear,
    const tkp__forward *f,
    const tkp_tensor *x,
    const tkp_tensor *residual,
    const tkp_tensor *dst)
{
    const tkp_tensor none = {0};
    const tkp_tensor args[5] = {
        *x, linear->weight, linear->bias, residual ? *residual : none, *dst};
    return tkp_op_run(linear->op, f->exec, args, 5);
}

/* --- norm ------------------------------------------------------------------ */

tkp_status tkp__norm_load(
    tkp__norm *norm,
    tkp__planner *p,
    int64_t rows,
    bool bias,
    double eps,
    const char *format,
    ...)
{
    char name[NAME_BYTES - 8], full[NAME_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof(name), format, list);
    va_end(list);

    snprintf(full, sizeof(full), "%s.weight", name);
    TKP__TRY(take_weight(p, &norm->weight, full));
    const int64_t d = norm->weight.shape[0];
    tkp_tensor args[4];
    int32_t n = 0;
    tkp_tensor_make_2d(&args[n++], NULL, p->dtype, rows, d);
    tkp_tensor_make_1d(&args[n++], NULL, norm->weight.dtype, d);
    if (bias) {
        snprintf(full, sizeof(full), "%s.bias", name);
        TKP__TRY(take_weight(p, &norm->bias, full));
        tkp_tensor_make_1d(&args[n++], NULL, norm->bias.dtype, d);
    }
    tkp_tensor_make_2d(&args[n++], NULL, p->dtype, rows, d);
    const tkp_op_norm params = {
        .struct_size = sizeof(params),
        .eps = (float)eps,
    };
    const int32_t kind = bias ? TKP_OP_LAYER_NORM : TKP_OP_RMS_NORM;
    return tkp__planner_op(p, &norm->op, kind, args, n, &params);
}

void tkp__norm_free(tkp__norm *norm)
{
    tkp_op_destroy(norm->op);
    *norm = (tkp__norm){0};
}

tkp_status tkp__norm_run(
    const tkp__norm *norm,
    const tkp__forward *f,
    const tkp_tensor *x,
    const tkp_tensor *dst)
{
    if (!tkp__present(&norm->bias)) {
        const tkp_tensor args[3] = {*x, norm->weight, *dst};
        return tkp_op_run(norm->op, f->exec, args, 3);
    }
    const tkp_tensor args[4] = {*x, norm->weight, norm->bias, *dst};
    return tkp_op_run(norm->op, f->exec, args, 4);
}

/* --- ops without weights --------------------------------------------------- */

static int32_t activation_function(int32_t activation)
{
    switch (activation) {
    case TKP__ACT_SILU:
        return TKP_ACTIVATION_SILU;
    case TKP__ACT_GELU:
        return TKP_ACTIVATION_GELU;
    default:
        return TKP_ACTIVATION_QUICK_GELU;
    }
}

tkp_status tkp__activation_load(
    tkp_op **out,
    tkp__planner *p,
    int64_t rows,
    int64_t width,
    int32_t function,
    bool gated)
{
    tkp_tensor args[3] = {0};
    tkp_tensor_make_2d(&args[0], NULL, p->dtype, rows, width);
    if (gated)
        args[1] = args[0];
    args[2] = args[0];
    const tkp_op_activation params = {
        .struct_size = sizeof(params),
        .function = activation_function(function),
    };
    return tkp__planner_op(p, out, TKP_OP_ACTIVATION, args, 3, &params);
}

tkp_status tkp__activation_run(
    const tkp_op *op,
    const tkp__forward *f,
    const tkp_tensor *a,
    const tkp_tensor *b,
    const tkp_tensor *dst)
{
    const tkp_tensor none = {0};
    const tkp_tensor args[3] = {*a, b ? *b : none, *dst};
    return tkp_op_run(op, f->exec, args, 3);
}

/* Rows are gathered as bytes, so that one plan serves all dtypes. */
tkp_status
tkp__gather_load(tkp_op **out, tkp__planner *p, int64_t src_rows, int64_t rows)
{
    tkp_tensor args[3];
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_U8, src_rows, INT32_MAX);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, rows);
    tkp_tensor_make_2d(&args[2], NULL, TKP_DTYPE_U8, rows, INT32_MAX);
    return tkp__planner_op(p, out, TKP_OP_GATHER_ROWS, args, 3, NULL);
}

static tkp_tensor as_bytes(const tkp_tensor *rows)
{
    return tkp__as_rows(
        rows, TKP_DTYPE_U8, rows->shape[0],
        rows->shape[1] * (int64_t)tkp_dtype_bytes(rows->dtype));
}

tkp_status tkp__gather_run(
    const tkp_op *op,
    const tkp__forward *f,
    const tkp_tensor *src,
    const tkp_tensor *index,
    const tkp_tensor *dst)
{
    const tkp_tensor args[3] = {as_bytes(src), *index, as_bytes(dst)};
    return tkp_op_run(op, f->exec, args, 3);
}

tkp_status tkp__buffer_take(
    tkp__buffer *b,
    const tkp_op *gather,
    const tkp__forward *f,
    const int32_t *index,
    int64_t n)
{
    tkp__buffer taken = {0};
    TKP__TRY(tkp__buffer_alloc(&taken, b->context, n, b->width, b->dtype));
    const tkp_tensor src = tkp__rows(b, b->rows), rows = tkp__ints(index, n);
    const tkp_tensor dst = tkp__rows(&taken, n);
    const tkp_status status = tkp__gather_run(gather, f, &src, &rows, &dst);
    tkp__buffer_free(status == TKP_OK ? b : &taken);
    if (status == TKP_OK)
        *b = taken;
    return status;
}

tkp_status tkp__scatter_load(
    tkp_op **out,
    tkp__planner *p,
    int32_t src_dtype,
    int64_t rows,
    int64_t dst_rows,
    int64_t width)
{
    tkp_tensor args[3];
    tkp_tensor_make_2d(&args[0], NULL, src_dtype, rows, width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, rows);
    tkp_tensor_make_2d(&args[2], NULL, p->dtype, dst_rows, width);
    return tkp__planner_op(p, out, TKP_OP_SCATTER_ROWS, args, 3, NULL);
}

tkp_status tkp__scatter_run(
    const tkp_op *op,
    const tkp__forward *f,
    const tkp_tensor *src,
    const tkp_tensor *index,
    const tkp_tensor *dst)
{
    const tkp_tensor args[3] = {*src, *index, *dst};
    return tkp_op_run(op, f->exec, args, 3);
}
