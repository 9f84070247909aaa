/*
 * oneDNN 2 and 3. In 2 a memory descriptor is a struct and an op is described
 * before its primitive descriptor; in 3 both are gone. That difference is the
 * first part of this file; the rest is the same for both.
 */

#include "cpu/cpu_dnnl.h"

#include <dnnl.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>

#include "util/util.h"

#if DNNL_VERSION_MAJOR < 3

typedef dnnl_memory_desc_t md_t;
typedef const dnnl_memory_desc_t *md_ref;

static bool md_strided(
    md_t *md,
    int64_t rows,
    int64_t columns,
    dnnl_data_type_t type,
    int64_t row_stride,
    int64_t column_stride)
{
    const dnnl_dims_t dims = {rows, columns};
    const dnnl_dims_t strides = {row_stride, column_stride};
    return dnnl_memory_desc_init_by_strides(md, 2, dims, type, strides) ==
           dnnl_success;
}
static bool
md_any(md_t *md, int64_t rows, int64_t columns, dnnl_data_type_t type)
{
    const dnnl_dims_t dims = {rows, columns};
    return dnnl_memory_desc_init_by_tag(
               md, 2, dims, type, dnnl_format_tag_any) == dnnl_success;
}
static md_ref md_get(const md_t *md)
{
    return md;
}
static bool md_copy(md_t *out, md_ref from)
{
    *out = *from;
    return true;
}
static void md_release(md_t *md)
{
    (void)md;
}
static dnnl_status_t matmul_describe(
    dnnl_primitive_desc_t *out,
    dnnl_engine_t engine,
    const md_t *x,
    const md_t *w,
    const md_t *bias,
    const md_t *dst,
    dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t desc;
    const dnnl_status_t status = dnnl_matmul_desc_init(&desc, x, w, bias, dst);
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(out, &desc, attr, engine, NULL);
}
static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f);
}

#else

typedef dnnl_memory_desc_t md_t;
typedef const_dnnl_memory_desc_t md_ref;

static bool md_strided(
    md_t *md,
    int64_t rows,
    int64_t columns,
    dnnl_data_type_t type,
    int64_t row_stride,
    int64_t column_stride)
{
    const dnnl_dims_t dims = {rows, columns};
    const dnnl_dims_t strides = {row_stride, column_stride};
    return dnnl_memory_desc_create_with_strides(md, 2, dims, type, strides) ==
           dnnl_success;
}
static bool
md_any(md_t *md, int64_t rows, int64_t columns, dnnl_data_type_t type)
{
    const dnnl_dims_t dims = {rows, columns};
    return dnnl_memory_desc_create_with_tag(
               md, 2, dims, type, dnnl_format_tag_any) == dnnl_success;
}
static md_ref md_get(const md_t *md)
{
    return *md;
}
static bool md_copy(md_t *out, md_ref from)
{
    return dnnl_memory_desc_clone(out, from) == dnnl_success;
}
static void md_release(md_t *md)
{
    if (*md)
        dnnl_memory_desc_destroy(*md);
}
static dnnl_status_t matmul_describe(
    dnnl_primitive_desc_t *out,
    dnnl_engine_t engine,
    const md_t *x,
    const md_t *w,
    const md_t *bias,
    const md_t *dst,
    dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(
        out, engine, *x, *w, bias ? *bias : NULL, *dst, attr);
}
static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
}

#endif

/* --- engine, stream -------------------------------------------------------- */

/* One engine for the process: it holds nothing but the kind of device, and
 * oneDNN allows any thread to use it. */
static struct {
    pthread_once_t once;
    dnnl_engine_t engine;
} shared = {PTHREAD_ONCE_INIT, NULL};

static void engine_create(void)
{
    if (dnnl_engine_create(&shared.engine, dnnl_cpu, 0) != dnnl_success)
        shared.engine = NULL;
}

static dnnl_engine_t engine_get(void)
{
    pthread_once(&shared.once, engine_create);
    return shared.engine;
}

struct tkp__cpu_stream {
    dnnl_stream_t stream;
};

tkp_status tkp__cpu_stream_create(tkp__cpu_stream **out)
{
    dnnl_stream_t stream;
    TKP__CHECK(
        engine_get() && dnnl_stream_create(
                            &stream, engine_get(), dnnl_stream_default_flags) ==
                            dnnl_success,
        TKP_ERR_DEVICE, "oneDNN gives no CPU engine");
    tkp__cpu_stream *s = tkp__zalloc(1, sizeof(*s));
    if (!s) {
        dnnl_stream_destroy(stream);
        return TKP_ERR_MEMORY;
    }
    s->stream = stream;
    *out = s;
    return TKP_OK;
}

void tkp__cpu_stream_destroy(tkp__cpu_stream *stream)
{
    if (!stream)
        return;
    dnnl_stream_destroy(stream->stream);
    tkp__free(stream);
}

static const char *isa_name(void)
{
    switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
        return "SSE4.1";
    case dnnl_cpu_isa_avx:
        return "AVX";
    case dnnl_cpu_isa_avx2:
        return "AVX2";
    case dnnl_cpu_isa_avx512_core:
        return "AVX-512";
    case dnnl_cpu_isa_avx512_core_vnni:
        return "AVX-512 VNNI";
    case dnnl_cpu_isa_avx512_core_bf16:
        return "AVX-512 BF16";
    default:
        return "another ISA";
    }
}

void tkp__cpu_dnnl_version(char *text, size_t bytes)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(
        text, bytes, "oneDNN %d.%d.%d (%s)", v->major, v->minor, v->patch,
        isa_name());
}

/* --- products -------------------------------------------------------------- */

enum { ARGS = 5 };

struct tkp__cpu_product {
    tkp__cpu_product_key key;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[ARGS];
    int n_args;
    uint64_t scratch;
};

static dnnl_data_type_t type_of(int32_t dtype)
{
    return dtype == TKP_DTYPE_F32   ? dnnl_f32
           : dtype == TKP_DTYPE_F16 ? dnnl_f16
                                    : dnnl_bf16;
}

static dnnl_primitive_attr_t attributes(const tkp__cpu_product_key *key)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    bool good = dnnl_primitive_attr_create(&attr) == dnnl_success &&
                dnnl_primitive_attr_set_scratchpad_mode(
                    attr, dnnl_scratchpad_mode_user) == dnnl_success;
    if (good && key->accumulate) {
        good = dnnl_post_ops_create(&ops) == dnnl_success &&
               append_sum(ops) == dnnl_success &&
               dnnl_primitive_attr_set_post_ops(attr, ops) == dnnl_success;
        if (ops)
            dnnl_post_ops_destroy(ops);
    }
    if (!good && attr) {
        dnnl_primitive_attr_destroy(attr);
        attr = NULL;
    }
    return attr;
}

/* The descriptor of the product with w in the layout given; NULL if oneDNN has
 * none. */
static dnnl_primitive_desc_t
describe_with(const tkp__cpu_product_key *key, const md_t *w)
{
    md_t x = {0}, bias = {0}, dst = {0};
    dnnl_primitive_desc_t desc = NULL;
    const bool has_bias = key->bias_dtype != TKP_DTYPE_NONE;
    dnnl_primitive_attr_t attr = attributes(key);
    const bool good =
        attr &&
        md_strided(&x, key->m, key->k, type_of(key->x_dtype), key->ldx, 1) &&
        (!has_bias ||
         md_strided(&bias, 1, key->n, type_of(key->bias_dtype), key->n, 1)) &&
        md_strided(&dst, key->m, key->n, type_of(key->d_dtype), key->ldd, 1);
    if (!good || matmul_describe(
                     &desc, engine_get(), &x, w, has_bias ? &bias : NULL, &dst,
                     attr) != dnnl_success)
        desc = NULL;
    md_release(&x);
    md_release(&bias);
    md_release(&dst);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return desc;
}

/* Rows for which the packed layout is chosen. It must not depend on anything
 * that differs from run to run (rows, strides, what is added to dst). */
#define PACK_ROWS 256

/* The layout oneDNN likes best, owned by the descriptor it comes with. */
static dnnl_primitive_desc_t describe_packed(const tkp__cpu_product_key *key)
{
    tkp__cpu_product_key typical = *key;
    md_t any = {0};
    dnnl_primitive_desc_t desc = NULL;
    typical.m = PACK_ROWS;
    typical.ldx = key->k;
    typical.ldd = key->n;
    typical.bias_dtype = TKP_DTYPE_NONE;
    typical.accumulate = 0;
    if (md_any(&any, key->k, key->n, type_of(key->w_dtype)))
        desc = describe_with(&typical, &any);
    md_release(&any);
    return desc;
}

static dnnl_primitive_desc_t describe(const tkp__cpu_product_key *key)
{
    md_t w = {0};
    dnnl_primitive_desc_t desc = NULL;
    if (key->packed) {
        dnnl_primitive_desc_t typical = describe_packed(key);
        if (!typical)
            return NULL;
        md_ref layout =
            dnnl_primitive_desc_query_md(typical, dnnl_query_weights_md, 0);
        if (md_copy(&w, layout))
            desc = describe_with(key, &w);
        dnnl_primitive_desc_destroy(typical);
    } else if (md_strided(
                   &w, key->k, key->n, type_of(key->w_dtype), 1, key->ldw)) {
        /* A row of w is a column of the second operand: a transposed view. */
        desc = describe_with(key, &w);
    }
    md_release(&w);
    return desc;
}

static bool add_memory(tkp__cpu_product *p, int name, dnnl_query_t query)
{
    dnnl_memory_t memory;
    md_ref md = dnnl_primitive_desc_query_md(
        p->desc, query,
        query == dnnl_query_weights_md && name == DNNL_ARG_BIAS);
    if (!md || dnnl_memory_create(
                   &memory, md, engine_get(), DNNL_MEMORY_NONE) != dnnl_success)
        return false;
    if (query == dnnl_query_scratchpad_md)
        p->scratch = dnnl_memory_desc_get_size(md);
    p->args[p->n_args].arg = name;
    p->args[p->n_args++].memory = memory;
    return true;
}

static tkp_status build(tkp__cpu_product *p)
{
    const tkp__cpu_product_key *key = &p->key;
    p->desc = describe(key);
    TKP__CHECK(
        p->desc, TKP_ERR_UNSUPPORTED,
        "oneDNN has no product of %s and %s to %s",
        tkp_dtype_string(key->x_dtype), tkp_dtype_string(key->w_dtype),
        tkp_dtype_string(key->d_dtype));
    TKP__CHECK(
        dnnl_primitive_create(&p->primitive, p->desc) == dnnl_success,
        TKP_ERR_DEVICE, "oneDNN cannot make a %lldx%lldx%lld product",
        (long long)key->m, (long long)key->n, (long long)key->k);
    const bool good =
        add_memory(p, DNNL_ARG_SRC, dnnl_query_src_md) &&
        add_memory(p, DNNL_ARG_WEIGHTS, dnnl_query_weights_md) &&
        add_memory(p, DNNL_ARG_DST, dnnl_query_dst_md) &&
        add_memory(p, DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md) &&
        (key->bias_dtype == TKP_DTYPE_NONE ||
         add_memory(p, DNNL_ARG_BIAS, dnnl_query_weights_md));
    TKP__CHECK(good, TKP_ERR_MEMORY, "oneDNN gives no memory objects");
    return TKP_OK;
}

tkp_status
tkp__cpu_product_create(tkp__cpu_product **out, const tkp__cpu_product_key *key)
{
    tkp__cpu_product *p = tkp__zalloc(1, sizeof(*p));
    if (!p)
        return TKP_ERR_MEMORY;
    p->key = *key;
    /* oneDNN fixes the split of the work when the primitive is made. */
    const int before = omp_get_max_threads();
    omp_set_num_threads(key->threads);
    const tkp_status status = build(p);
    omp_set_num_threads(before);
    if (status != TKP_OK) {
        tkp__cpu_product_destroy(p);
        return status;
    }
    *out = p;
    return TKP_OK;
}

void tkp__cpu_product_destroy(tkp__cpu_product *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->n_args; i++)
        dnnl_memory_destroy(p->args[i].memory);
    if (p->primitive)
        dnnl_primitive_destroy(p->primitive);
    if (p->desc)
        dnnl_primitive_desc_destroy(p->desc);
    tkp__free(p);
}

const tkp__cpu_product_key *tkp__cpu_product_shape(const tkp__cpu_product *p)
{
    return &p->key;
}

uint64_t tkp__cpu_product_scratch(const tkp__cpu_product *p)
{
    return p->scratch;
}

static dnnl_status_t point(const dnnl_exec_arg_t *arg, const void *to)
{
    /* oneDNN's handles are not const; it does not write to its inputs. */
    return dnnl_memory_set_data_handle(arg->memory, (void *)(uintptr_t)to);
}

tkp_status tkp__cpu_product_run(
    tkp__cpu_product *p,
    tkp__cpu_stream *stream,
    const void *x,
    const void *w,
    const void *bias,
    void *dst,
    void *scratch)
{
    const void *const to[ARGS] = {x, w, dst, scratch, bias};
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < p->n_args && status == dnnl_success; i++)
        status = point(&p->args[i], to[i]);
    const int before = omp_get_max_threads();
    omp_set_num_threads(p->key.threads);
    if (status == dnnl_success)
        status = dnnl_primitive_execute(
            p->primitive, stream->stream, p->n_args, p->args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(stream->stream);
    omp_set_num_threads(before);
    TKP__CHECK(
        status == dnnl_success, TKP_ERR_DEVICE, "oneDNN failed with status %d",
        (int)status);
    return TKP_OK;
}

/* --- packed weights ---------------------------------------------------------- */

static bool reorder(const md_t *from, const void *src, md_ref to, void *dst)
{
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_memory_t a = NULL, b = NULL;
    dnnl_stream_t stream = NULL;
    const dnnl_engine_t engine = engine_get();
    bool good =
        dnnl_reorder_primitive_desc_create(
            &desc, md_get(from), engine, to, engine, NULL) == dnnl_success &&
        dnnl_primitive_create(&primitive, desc) == dnnl_success &&
        dnnl_memory_create(&a, md_get(from), engine, (void *)(uintptr_t)src) ==
            dnnl_success &&
        dnnl_memory_create(&b, to, engine, dst) == dnnl_success &&
        dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) ==
            dnnl_success;
    if (good) {
        const dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}};
        good = dnnl_primitive_execute(primitive, stream, 2, args) ==
                   dnnl_success &&
               dnnl_stream_wait(stream) == dnnl_success;
    }
    if (stream)
        dnnl_stream_destroy(stream);
    if (b)
        dnnl_memory_destroy(b);
    if (a)
        dnnl_memory_destroy(a);
    if (primitive)
        dnnl_primitive_destroy(primitive);
    if (desc)
        dnnl_primitive_desc_destroy(desc);
    return good;
}

tkp_status
tkp__cpu_dnnl_pack(void **out, const tkp__cpu_product_key *key, const void *w)
{
    dnnl_primitive_desc_t desc = describe_packed(key);
    TKP__CHECK(desc, TKP_ERR_UNSUPPORTED, "oneDNN has no packed product");
    md_ref to = dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    md_t from = {0};
    void *copy = tkp__alloc(dnnl_memory_desc_get_size(to), 1);
    tkp_status status = copy ? TKP_OK : TKP_ERR_MEMORY;
    if (copy &&
        !(md_strided(
              &from, key->k, key->n, type_of(key->w_dtype), 1, key->ldw) &&
          reorder(&from, w, to, copy)))
        status = tkp__fail(TKP_ERR_DEVICE, "oneDNN cannot pack the weights");
    md_release(&from);
    dnnl_primitive_desc_destroy(desc);
    if (status != TKP_OK) {
        tkp__free(copy);
        return status;
    }
    *out = copy;
    return TKP_OK;
}
