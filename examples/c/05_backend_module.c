/*
 * Lesson 5, the module: a backend for one op. Whatever it does not support goes
 * to the next backend of the context's list.
 *
 *     cc -shared -fPIC 05_backend_module.c \
 *         $(pkg-config --cflags --libs tokenprune) -o libtokenprune-lesson.so
 *
 * docs/backends.md has the rules; 05_custom_backend.c uses it.
 */
#include <math.h>
#include <string.h>

#include <tokenprune/sys/backend.h>
#include <tokenprune/sys/base.h>

/* ROW_NORM: dst[i] = norm of row rows[i]; its arguments in sys/op.h. */
enum { X, ROWS, DST };

static int32_t score(void)
{
    return 1; /* it can run here, but anything else is preferred */
}

static const char *info(void)
{
    return "lesson 5";
}

static tkp_status device_count(int32_t *count_out)
{
    *count_out = 1;
    return TKP_OK;
}

/* The core has checked shapes already; these are limits of our own, told with
 * the reason. */
static tkp_status supports(const tkp_op_desc *desc)
{
    const tkp_op_row_norm *params = desc->params;
    if (desc->kind != TKP_OP_ROW_NORM)
        tkp_sys_message_set("row_norm alone is done here");
    else if (desc->args[X].dtype != TKP_DTYPE_F32)
        tkp_sys_message_set("row_norm: x is not f32");
    else if (params->norm != TKP_NORM_L1)
        tkp_sys_message_set("row_norm: L1 alone is done here");
    else
        return TKP_OK;
    return TKP_ERR_UNSUPPORTED;
}

/* Nothing to prepare here. A plan that has state allocates it with
 * tkp_sys_alloc() and books memory for its runs with tkp_sys_ledger_book(). */
static tkp_status plan(
    void **plan_out,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc,
    int32_t threads)
{
    (void)ledger;
    (void)threads;
    const tkp_status status = supports(desc);
    if (status != TKP_OK)
        return status;
    *plan_out = NULL;
    *kernel_out = "lesson_row_norm";
    return TKP_OK;
}

static const void *at(const tkp_tensor *t)
{
    return (const char *)t->data + t->byte_offset;
}

static tkp_status
run(const void *state,
    void *exec_state,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace)
{
    const tkp_tensor *x = &args[X];
    const int32_t *rows =
        args[ROWS].dtype == TKP_DTYPE_NONE ? NULL : at(&args[ROWS]);
    float *dst = (float *)((char *)args[DST].data + args[DST].byte_offset);
    (void)state;
    (void)exec_state;
    (void)n_args;
    (void)workspace;
    for (int64_t i = 0; i < args[DST].shape[0]; i++) {
        const int64_t row = rows ? rows[i] : i;
        /* What an index says is data: check it before it is followed. */
        if (row < 0 || row >= x->shape[0]) {
            tkp_sys_message_set("row_norm: a row lies outside x");
            return TKP_ERR_ARGUMENT;
        }
        const float *values = (const float *)at(x) + row * x->strides[0];
        double sum = 0.0;
        for (int64_t c = 0; c < x->shape[1]; c++)
            sum += fabs((double)values[c]);
        dst[i] = (float)sum;
    }
    return TKP_OK;
}

static void plan_destroy(void *state)
{
    (void)state;
}

/* Every entry is written out: the table says what the backend has. */
static const tkp_backend_vtable table = {
    .abi_version = TKP_BACKEND_ABI_VERSION,
    .struct_size = sizeof(tkp_backend_vtable),
    .name = "lesson",
    .device_type = TKP_DEVICE_CPU,
    .score = score,
    .info = info,
    .device_count = device_count,
    .supports = supports,
    .plan = plan,
    .run = run,
    .plan_destroy = plan_destroy,
    .exec_create = NULL,
    .exec_destroy = NULL,
    .memory_alloc = NULL,
    .memory_free = NULL,
    .memory_upload = NULL,
};

TKP_API const tkp_backend_vtable *tkp_backend_entry(void);
const tkp_backend_vtable *tkp_backend_entry(void)
{
    return &table;
}
