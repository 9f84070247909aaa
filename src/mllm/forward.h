#ifndef TKP_MLLM_FORWARD_H
#define TKP_MLLM_FORWARD_H

/*
 * The words that a forward is written in: plans made when a model is loaded,
 * and what runs them. All numbers are computed by ops of sys/op.h; nothing
 * here knows a model.
 */

#include "mllm/checkpoint/checkpoint.h"
#include "mllm/device_weights.h"
#include "tokenprune/mllm.h"
#include "tokenprune/sys/op.h"
#include "util/util.h"

/* --- loading ------------------------------------------------------------- */

typedef struct tkp__planner {
    tkp_context *context;
    const tkp__weights *weights;
    tkp__device_weights *copies; /* NULL: weights are used where they are */
    int32_t dtype;               /* of activations: f32 or bf16 */
    int32_t pack;                /* enum tkp_pack, of linear weights */
    uint64_t workspace_bytes;    /* of the most demanding plan so far */
    int64_t parameters;          /* elements of the weights taken so far */
} tkp__planner;

/* The weight of a name, on the context's device; counted in `parameters`. */
tkp_status tkp__planner_weight(
    tkp__planner *planner,
    tkp_tensor *out,
    const char *format,
    ...) __attribute__((format(printf, 3, 4)));

/* Whether the file has a weight of that name. */
bool tkp__planner_has(const tkp__planner *planner, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Plan an op for the largest shapes; `args` have no data but constants. */
tkp_status tkp__planner_op(
    tkp__planner *planner,
    tkp_op **out,
    int32_t kind,
    const tkp_tensor *args,
    int32_t n_args,
    const void *params);

/* --- one call of generate ------------------------------------------------ */

typedef struct tkp__forward {
    tkp_exec *exec;
    tkp_mllm_trace_fn trace; /* NULL: nobody listens */
    void *trace_user;
    tkp_mllm_stop_fn stop; /* NULL: nobody asks */
    void *stop_user;
} tkp__forward;

/* Between two parts of the work: TKP_ERR_CANCELLED if it shall end here. */
static inline tkp_status tkp__go_on(const tkp__forward *f)
{
    TKP__CHECK(
        !f->stop || f->stop(f->stop_user) == 0, TKP_ERR_CANCELLED,
        "stopped by the callback");
    return TKP_OK;
}

/* Rows of a buffer for whoever listens; from a device, a copy of them. */
void tkp__trace(
    const tkp__forward *f,
    const char *name,
    int32_t layer,
    const tkp_tensor *tensor);

/* A table of the host likewise. */
static inline void tkp__trace_host(
    const tkp__forward *f,
    const char *name,
    int32_t layer,
    const tkp_tensor *tensor)
{
    if (f->trace)
        f->trace(f->trace_user, name, layer, tensor);
}

/* --- rows in memory ------------------------------------------------------ */

/* A block of rows that is reused; a view takes as many as are in use. */
typedef struct tkp__buffer {
    void *data;
    int64_t rows, width;
    int32_t dtype;
    tkp_context *context; /* on whose device they lie; NULL: on the host */
} tkp__buffer;

tkp_status tkp__buffer_alloc(
    tkp__buffer *buffer,
    tkp_context *context,
    int64_t rows,
    int64_t width,
    int32_t dtype);
void tkp__buffer_free(tkp__buffer *buffer);

/* [rows, width] */
static inline tkp_tensor tkp__rows(const tkp__buffer *b, int64_t rows)
{
    tkp_tensor view;
    tkp_tensor_make_2d(&view, b->data, b->dtype, rows, b->width);
    if (b->context) {
        view.device_type = tkp_context_device_type(b->context);
        view.device_id = tkp_context_device_id(b->context);
    }
    return view;
}

/* `n` rows of a buffer, from row `at` on. */
static inline tkp_tensor
tkp__rows_from(const tkp__buffer *b, int64_t at, int64_t n)
{
    tkp_tensor view = tkp__rows(b, n);
    view.byte_offset = (uint64_t)(at * b->width) * tkp_dtype_bytes(b->dtype);
    return view;
}

/* [n] of a buffer one value wide, from entry `at` on; absent without data. */
static inline tkp_tensor
tkp__column_from(const tkp__buffer *b, int64_t at, int64_t n)
{
    tkp_tensor view = {0};
    if (!b->data)
        return view;
    view = tkp__rows_from(b, at, n);
    view.ndim = 1;
    return view;
}

/* What is contiguous, seen as [rows, width] of a dtype. */
static inline tkp_tensor
tkp__as_rows(const tkp_tensor *t, int32_t dtype, int64_t rows, int64_t width)
{
    tkp_tensor view;
    tkp_tensor_make_2d(&view, tkp__data(t), dtype, rows, width);
    view.device_type = t->device_type;
    view.device_id = t->device_id;
    return view;
}

/* [rows, heads, width / heads] of a view [rows, width]. */
static inline tkp_tensor tkp__heads(const tkp_tensor *rows, int64_t heads)
{
    tkp_tensor view;
    tkp_tensor_make_3d(
        &view, tkp__data(rows), rows->dtype, rows->shape[0], heads,
        rows->shape[1] / heads);
    view.device_type = rows->device_type;
    view.device_id = rows->device_id;
    return view;
}

static inline tkp_tensor tkp__ints(const int32_t *data, int64_t count)
{
    tkp_tensor view;
    tkp_tensor_make_1d(&view, (void *)(uintptr_t)data, TKP_DTYPE_I32, count);
    return view;
}

/* --- layers of weights --------------------------------------------------- */

/* dst = x w^T + bias (+ residual) */
typedef struct tkp__linear {
    tkp_op *op;
    tkp_tensor weight; /* [N, K] where the file has it */
    tkp_tensor bias;   /* [N], or none */
} tkp__linear;

enum tkp__linear_flags {
    TKP__LINEAR_BIAS = 1,
    TKP__LINEAR_RESIDUAL = 2,
    TKP__LINEAR_F32 = 4 /* results stay f32: logits */
};

/* NAME.weight and NAME.bias, for up to `rows` rows. A weight of more than two
 * dimensions (a convolution over patches) is taken as [N, the rest]. */
tkp_status tkp__linear_load(
    tkp__linear *linear,
    tkp__planner *planner,
    int64_t rows,
    uint32_t flags,
    const char *format,
    ...) __attribute__((format(printf, 5, 6)));
void tkp__linear_free(tkp__linear *linear);

/* `residual` is NULL where the plan has none; it may be dst. */
tkp_status tkp__linear_run(
    const tkp__linear *linear,
    const tkp__forward *f,
    const tkp_tensor *x,
    const tkp_tensor *residual,
    const tkp_tensor *dst);

/* RMSNorm, or with a bias LayerNorm. */
typedef struct tkp__norm {
    tkp_op *op;
    tkp_tensor weight; /* [D] */
    tkp_tensor bias;   /* [D], or none */
} tkp__norm;

tkp_status tkp__norm_load(
    tkp__norm *norm,
    tkp__planner *planner,
    int64_t rows,
    bool bias,
    double eps,
    const char *format,
    ...) __attribute__((format(printf, 6, 7)));
void tkp__norm_free(tkp__norm *norm);
tkp_status tkp__norm_run(
    const tkp__norm *norm,
    const tkp__forward *f,
    const tkp_tensor *x,
    const tkp_tensor *dst);

/* --- ops without weights ------------------------------------------------- */

/* Each plans one kind for [rows, width] of activations. */
tkp_status tkp__activation_load(
    tkp_op **out,
    tkp__planner *planner,
    int64_t rows,
    int64_t width,
    int32_t function, /* enum tkp__activation */
    bool gated);
/* dst = f(a) (* b); b is NULL where the plan is not gated. */
tkp_status tkp__activation_run(
    const tkp_op *op,
    const tkp__forward *f,
    const tkp_tensor *a,
    const tkp_tensor *b,
    const tkp_tensor *dst);

/* Rows of any dtype and width: dst[i] = src[index[i]]. `src_rows` and `rows`
 * are the most of each. */
tkp_status tkp__gather_load(
    tkp_op **out,
    tkp__planner *planner,
    int64_t src_rows,
    int64_t rows);
tkp_status tkp__gather_run(
    const tkp_op *op,
    const tkp__forward *f,
    const tkp_tensor *src,
    const tkp_tensor *index,
    const tkp_tensor *dst);

/* The buffer becomes n rows: those it had at `index`. */
tkp_status tkp__buffer_take(
    tkp__buffer *buffer,
    const tkp_op *gather,
    const tkp__forward *f,
    const int32_t *index,
    int64_t n);

/* dst[index[i]] = src[i], rows [.., width]. */
tkp_status tkp__scatter_load(
    tkp_op **out,
    tkp__planner *planner,
    int32_t src_dtype,
    int64_t rows,
    int64_t dst_rows,
    int64_t width);
tkp_status tkp__scatter_run(
    const tkp_op *op,
    const tkp__forward *f,
    const tkp_tensor *src,
    const tkp_tensor *index,
    const tkp_tensor *dst);

#endif
