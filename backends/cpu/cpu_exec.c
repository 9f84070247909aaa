/*
 * The table of products of an exec. A product is found by its key, the table
 * is small, and a look-up costs nothing beside the product itself.
 */

#include "cpu/cpu_exec.h"

#include "util/util.h"

struct entry {
    tkp__cpu_product *product;
    uint64_t used; /* the exec's clock at the last use */
};

struct tkp__cpu_exec {
    tkp__cpu_stream *stream;
    void *spare; /* scratchpad of a shape that wants more than was booked */
    uint64_t spare_bytes;
    uint64_t clock;
    int32_t count;
    int32_t reserved;
    struct entry entries[TKP__CPU_PRODUCTS];
};

tkp_status tkp__cpu_exec_create(tkp__cpu_exec **out)
{
    tkp__cpu_exec *exec = tkp__zalloc(1, sizeof(*exec));
    if (!exec)
        return TKP_ERR_MEMORY;
    const tkp_status status = tkp__cpu_stream_create(&exec->stream);
    if (status != TKP_OK) {
        tkp__free(exec);
        return status;
    }
    *out = exec;
    return TKP_OK;
}

void tkp__cpu_exec_destroy(tkp__cpu_exec *exec)
{
    if (!exec)
        return;
    for (int32_t i = 0; i < exec->count; i++)
        tkp__cpu_product_destroy(exec->entries[i].product);
    tkp__cpu_stream_destroy(exec->stream);
    tkp__free(exec->spare);
    tkp__free(exec);
}

int32_t tkp__cpu_exec_products(const tkp__cpu_exec *exec)
{
    return exec->count;
}

/* An entry to fill: a free one, or the one not used for longest. */
static struct entry *entry_for_new(tkp__cpu_exec *exec)
{
    if (exec->count < TKP__CPU_PRODUCTS)
        return &exec->entries[exec->count++];
    struct entry *oldest = &exec->entries[0];
    for (int32_t i = 1; i < exec->count; i++)
        if (exec->entries[i].used < oldest->used)
            oldest = &exec->entries[i];
    tkp__cpu_product_destroy(oldest->product);
    oldest->product = NULL;
    return oldest;
}

static tkp_status product_get(
    tkp__cpu_exec *exec,
    const tkp__cpu_product_key *key,
    tkp__cpu_product **out)
{
    for (int32_t i = 0; i < exec->count; i++) {
        struct entry *e = &exec->entries[i];
        if (!memcmp(tkp__cpu_product_shape(e->product), key, sizeof(*key))) {
            e->used = ++exec->clock;
            *out = e->product;
            return TKP_OK;
        }
    }
    TKP__TRY(tkp__cpu_product_create(out, key));
    struct entry *e = entry_for_new(exec);
    e->product = *out;
    e->used = ++exec->clock;
    return TKP_OK;
}

tkp_status tkp__cpu_exec_product(
    tkp__cpu_exec *exec,
    const tkp__cpu_product_key *key,
    const void *x,
    const void *w,
    const void *bias,
    void *dst,
    void *scratch,
    uint64_t scratch_bytes)
{
    tkp__cpu_product *product;
    TKP__TRY(product_get(exec, key, &product));
    const uint64_t wanted = tkp__cpu_product_scratch(product);
    if (wanted > scratch_bytes && wanted > exec->spare_bytes) {
        void *more = tkp__alloc(wanted, 1);
        if (!more)
            return TKP_ERR_MEMORY;
        tkp__free(exec->spare);
        exec->spare = more;
        exec->spare_bytes = wanted;
    }
    return tkp__cpu_product_run(
        product, exec->stream, x, w, bias, dst,
        wanted > scratch_bytes ? exec->spare : scratch);
}
