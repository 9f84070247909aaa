#include "features/features.h"

#include "tokenprune/scorer.h"
#include "util/carve.h"

uint32_t tkp__features_needs(int32_t source)
{
    switch (source) {
    case TKP_FEATURE_RAW:
        return TKP_NEED_HIDDEN;
    case TKP_FEATURE_FINAL_NORM:
        return TKP_NEED_HIDDEN | TKP_NEED_NORM_WEIGHT;
    case TKP_FEATURE_VISION:
        return TKP_NEED_VISION;
    case TKP_FEATURE_VISION_KEYS:
        return TKP_NEED_VISION_KEYS;
    case TKP_FEATURE_CLIP:
        return TKP_NEED_CLIP;
    case TKP_FEATURE_KEYS:
        return TKP_NEED_KEYS;
    case TKP_FEATURE_VALUES:
        return TKP_NEED_VALUES;
    case TKP_FEATURE_VISION_VALUES:
        return TKP_NEED_VISION_VALUES;
    default:
        return 0;
    }
}

bool tkp__features_of_patches(int32_t source)
{
    return source == TKP_FEATURE_VISION || source == TKP_FEATURE_VISION_KEYS ||
           source == TKP_FEATURE_VISION_VALUES || source == TKP_FEATURE_CLIP;
}

static bool of_heads(const tkp__features *f)
{
    return f->source == TKP_FEATURE_KEYS || f->source == TKP_FEATURE_VALUES;
}

/* --- planning -------------------------------------------------------------- */

static tkp_status take_width(tkp__features *f)
{
    const tkp_model_desc *m = f->model;
    const char *field = "hidden";
    f->width = m->hidden;
    if (f->source == TKP_FEATURE_VISION) {
        f->width = m->vision_hidden;
        field = "vision_hidden";
    } else if (f->source == TKP_FEATURE_VISION_KEYS) {
        f->width = m->vision_key_dim;
        field = "vision_key_dim";
    } else if (f->source == TKP_FEATURE_VISION_VALUES) {
        f->width = m->vision_value_dim;
        field = "vision_value_dim";
    } else if (f->source == TKP_FEATURE_CLIP) {
        f->width = m->clip_dim;
        field = "clip_dim";
    } else if (of_heads(f)) {
        f->width = (int64_t)m->kv_heads * m->head_dim;
        field = "kv_heads x head_dim";
    }
    TKP__CHECK(
        f->width > 0, TKP_ERR_OPTION,
        "model: %s is %lld; the features of this stage have that width", field,
        (long long)f->width);
    return TKP_OK;
}

static tkp_status plan_norm(tkp__features *f, int64_t n, tkp_ledger *ledger)
{
    const tkp_op_norm params = {
        .struct_size = sizeof(params),
        .eps = f->norm_eps > 0.0f ? f->norm_eps : f->model->norm_eps,
    };
    const uint64_t bytes = (uint64_t)(n * f->width) * tkp_dtype_bytes(f->dtype);
    tkp_tensor args[3];
    tkp_tensor_make_2d(
        &args[0], NULL, f->dtype, f->batch->layout->rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[2], NULL, f->dtype, n, f->width);
    TKP__TRY(tkp__core_op_make(
        &f->gather, f->context, TKP_OP_GATHER_ROWS, args, 3, NULL,
        &f->ops_bytes));
    args[0] = args[2];
    tkp_tensor_make_1d(&args[1], NULL, f->dtype, f->width);
    TKP__TRY(tkp__core_op_make(
        &f->norm, f->context, TKP_OP_RMS_NORM, args, 3, &params,
        &f->ops_bytes));
    TKP__TRY(tkp__ledger_book(ledger, bytes, &f->gathered_at));
    TKP__TRY(tkp__ledger_book(ledger, bytes, &f->normed_at));
    return tkp__ledger_book(ledger, f->ops_bytes, &f->ops_at);
}

static void carve_tables(tkp__features *f, tkp__carver *c, int64_t n)
{
    f->rows = tkp__carve(c, n, sizeof(int32_t));
    f->order = tkp__carve(c, n, sizeof(int32_t));
    f->original = tkp__carve(c, f->batch->layout->visual, sizeof(int32_t));
}

tkp_status tkp__features_plan(
    tkp__features *f,
    tkp_context *context,
    const tkp__batch *batch,
    const tkp_model_desc *model,
    int32_t source,
    float norm_eps,
    int64_t extra,
    tkp_ledger *ledger)
{
    const tkp_layout *layout = batch->layout;
    const int64_t n = layout->visual + extra;
    *f = (tkp__features){
        .source = source,
        .norm_eps = norm_eps,
        .context = context,
        .batch = batch,
        .model = model,
        .dtype = model->dtype,
    };
    TKP__TRY(take_width(f));
    f->most_rows = tkp__features_of_patches(source) ? layout->visual
                   : layout->rows > n               ? layout->rows
                                                    : n;
    tkp__carver c = {NULL, 0};
    carve_tables(f, &c, n);
    c = (tkp__carver){tkp__alloc(1, c.bytes), 0};
    if (!c.base)
        return TKP_ERR_MEMORY;
    f->memory = c.base;
    carve_tables(f, &c, n);
    for (int64_t i = 0; i < n; i++)
        f->order[i] = (int32_t)i;
    return source == TKP_FEATURE_FINAL_NORM ? plan_norm(f, n, ledger) : TKP_OK;
}

void tkp__features_release(tkp__features *f)
{
    tkp__core_op_destroy(f->gather);
    tkp__core_op_destroy(f->norm);
    tkp__free(f->memory);
    *f = (tkp__features){0};
}

void tkp__features_bind(tkp__features *f, const int32_t *extra_rows, int64_t n)
{
    const tkp__batch *batch = f->batch;
    const size_t count = (size_t)batch->candidates;
    memcpy(f->rows, batch->candidate_rows, count * sizeof(int32_t));
    memcpy(f->original, batch->candidate_original, count * sizeof(int32_t));
    if (n)
        memcpy(f->rows + count, extra_rows, (size_t)n * sizeof(int32_t));
    f->extra = n;
}

/* --- running --------------------------------------------------------------- */

static tkp_status check_hidden(const tkp__features *f, const tkp_inputs *in)
{
    const tkp_tensor *h = in->hidden;
    TKP__CHECK(h, TKP_ERR_ARGUMENT, "inputs: hidden is NULL, but needed");
    TKP__TRY(tkp__check_view(h, "inputs: hidden", false));
    TKP__CHECK(
        h->ndim == 2 && h->shape[0] == f->batch->rows &&
            h->shape[1] == f->width,
        TKP_ERR_SHAPE, "inputs: hidden is [%lld, %lld], wanted [%lld, %lld]",
        (long long)(h->ndim > 0 ? h->shape[0] : 0),
        (long long)(h->ndim > 1 ? h->shape[1] : 0), (long long)f->batch->rows,
        (long long)f->width);
    TKP__CHECK(
        h->dtype == f->dtype, TKP_ERR_DTYPE,
        "inputs: hidden is %s, the model has %s", tkp_dtype_string(h->dtype),
        tkp_dtype_string(f->dtype));
    return TKP_OK;
}

static tkp_status norm_rows(
    const tkp__features *f,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    tkp_tensor *x)
{
    const int64_t n = f->batch->candidates + f->extra;
    void *ops = tkp__ledger_at(workspace, f->ops_at);
    TKP__CHECK(
        in->norm_weight, TKP_ERR_ARGUMENT,
        "inputs: norm_weight is NULL; the feature is final_norm");
    tkp_tensor args[3];
    args[0] = *in->hidden;
    tkp_tensor_make_1d(&args[1], f->rows, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(
        &args[2], tkp__ledger_at(workspace, f->gathered_at), f->dtype, n,
        f->width);
    TKP__TRY(tkp__core_op_run(f->gather, exec, args, 3, ops, f->ops_bytes));
    args[0] = args[2];
    args[1] = *in->norm_weight;
    args[2].data = tkp__ledger_at(workspace, f->normed_at);
    TKP__TRY(tkp__core_op_run(f->norm, exec, args, 3, ops, f->ops_bytes));
    *x = args[2];
    return TKP_OK;
}

static const tkp_tensor *
given(const tkp__features *f, const tkp_inputs *in, const char **name)
{
    switch (f->source) {
    case TKP_FEATURE_VISION:
        *name = "vision";
        return in->vision;
    case TKP_FEATURE_VISION_KEYS:
        *name = "vision_keys";
        return in->vision_keys;
    case TKP_FEATURE_VISION_VALUES:
        *name = "vision_values";
        return in->vision_values;
    case TKP_FEATURE_CLIP:
        *name = "clip";
        return in->clip;
    case TKP_FEATURE_VALUES:
        *name = "values";
        return in->values;
    default:
        *name = "k";
        return in->k;
    }
}

static tkp_status check_given(
    const tkp__features *f,
    const tkp_tensor *t,
    const char *name,
    int32_t ndim)
{
    TKP__CHECK(t, TKP_ERR_ARGUMENT, "inputs: %s is NULL, but needed", name);
    TKP__TRY(tkp__check_view(t, name, false));
    TKP__CHECK(
        t->ndim == ndim, TKP_ERR_SHAPE,
        "inputs: %s: has %d dimensions, wanted %d", name, t->ndim, ndim);
    TKP__CHECK(
        t->dtype == f->dtype, TKP_ERR_DTYPE,
        "inputs: %s is %s, the model has %s", name, tkp_dtype_string(t->dtype),
        tkp_dtype_string(f->dtype));
    return TKP_OK;
}

/* Rows of patches: of those that are there, or of all there were. */
static tkp_status take_patches(
    const tkp__features *f,
    const tkp_inputs *in,
    tkp_tensor *x,
    tkp_tensor *rows)
{
    const char *name;
    const tkp_tensor *t = given(f, in, &name);
    const int64_t now = f->batch->candidates;
    const int64_t all = f->batch->layout->visual;
    TKP__TRY(check_given(f, t, name, 2));
    TKP__CHECK(
        (t->shape[0] == now || t->shape[0] == all) && t->shape[1] == f->width &&
            t->strides[1] == 1,
        TKP_ERR_SHAPE,
        "inputs: %s is [%lld, %lld], wanted rows [%lld, %lld] of the visual "
        "tokens there are",
        name, (long long)t->shape[0], (long long)t->shape[1], (long long)now,
        (long long)f->width);
    *x = *t;
    tkp_tensor_make_1d(
        rows, t->shape[0] == now ? f->order : f->original, TKP_DTYPE_I32, now);
    return TKP_OK;
}

/* Keys or values of all rows, the heads side by side. */
static tkp_status
take_heads(const tkp__features *f, const tkp_inputs *in, tkp_tensor *x)
{
    const char *name;
    const tkp_tensor *t = given(f, in, &name);
    TKP__TRY(check_given(f, t, name, 3));
    TKP__CHECK(
        t->shape[0] == f->batch->rows &&
            t->shape[1] * t->shape[2] == f->width && t->strides[2] == 1 &&
            t->strides[1] == t->shape[2],
        TKP_ERR_SHAPE,
        "inputs: %s: wanted packed rows [%lld, %d, %d], the heads of a row "
        "side by side",
        name, (long long)f->batch->rows, f->model->kv_heads,
        f->model->head_dim);
    *x = *t;
    x->ndim = 2;
    x->shape[1] = f->width;
    x->strides[1] = 1;
    return TKP_OK;
}

tkp_status tkp__features_run(
    const tkp__features *f,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    tkp_tensor *x,
    tkp_tensor *rows)
{
    const int64_t n = f->batch->candidates + f->extra;
    if (tkp__features_of_patches(f->source))
        return take_patches(f, in, x, rows);
    tkp_tensor_make_1d(rows, f->rows, TKP_DTYPE_I32, n);
    if (of_heads(f))
        return take_heads(f, in, x);
    TKP__TRY(check_hidden(f, in));
    if (f->source == TKP_FEATURE_RAW) {
        *x = *in->hidden;
        return TKP_OK;
    }
    tkp_tensor_make_1d(rows, f->order, TKP_DTYPE_I32, n);
    return norm_rows(f, exec, in, workspace, x);
}

/* --- text -------------------------------------------------------------------- */

tkp_status tkp__features_check_text(
    const tkp__features *f,
    const tkp_tensor *text,
    const int32_t *offsets,
    int64_t most,
    const char *name)
{
    TKP__CHECK(text, TKP_ERR_ARGUMENT, "inputs: %s is NULL, but needed", name);
    TKP__TRY(tkp__check_view(text, name, false));
    TKP__CHECK(
        text->ndim == 2 && text->shape[1] == f->width, TKP_ERR_SHAPE,
        "inputs: %s: has %d dimensions of %lld, wanted rows of %lld", name,
        text->ndim, (long long)(text->ndim > 1 ? text->shape[1] : 0),
        (long long)f->width);
    TKP__CHECK(
        text->shape[0] <= most, TKP_ERR_SHAPE,
        "inputs: %s has %lld rows, the model's description says at most %lld",
        name, (long long)text->shape[0], (long long)most);
    TKP__CHECK(
        text->dtype == f->dtype, TKP_ERR_DTYPE,
        "inputs: %s is %s, the model has %s", name,
        tkp_dtype_string(text->dtype), tkp_dtype_string(f->dtype));
    for (int32_t b = 0; offsets && b <= f->batch->sequences; b++)
        TKP__CHECK(
            offsets[b] <= text->shape[0] &&
                offsets[b] >= (b ? offsets[b - 1] : 0) && offsets[0] == 0,
            TKP_ERR_ARGUMENT,
            "inputs: %s_offsets: entry %d is %d, wanted ascending from 0 to "
            "%lld",
            name, b, offsets[b], (long long)text->shape[0]);
    return TKP_OK;
}

void tkp__features_text_ranges(
    int32_t *ranges,
    const tkp_tensor *text,
    const int32_t *offsets,
    int32_t sequences)
{
    for (int32_t b = 0; b < sequences; b++) {
        ranges[2 * b] = offsets ? offsets[b] : 0;
        ranges[2 * b + 1] = offsets ? offsets[b + 1] : (int32_t)text->shape[0];
    }
}
