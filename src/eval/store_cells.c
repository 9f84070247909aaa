/* Kept cells as a few bytes: most steps between them are below 128. */
#include "eval/store.h"

void tkp__store_cells_release(tkp__store_cells *cells)
{
    tkp__free(cells->bytes);
    *cells = (tkp__store_cells){0};
}

static tkp_status put(tkp__store_cells *cells, uint32_t value)
{
    enum { MOST = 5 }; /* bytes of 32 bits */
    if (cells->capacity - cells->count < MOST) {
        const size_t wanted = cells->capacity ? 2 * cells->capacity : 256;
        unsigned char *moved =
            tkp__realloc(cells->bytes, cells->capacity, wanted);
        if (!moved)
            return TKP_ERR_MEMORY;
        cells->bytes = moved;
        cells->capacity = wanted;
    }
    for (; value >= 128; value >>= 7)
        cells->bytes[cells->count++] = (unsigned char)(value | 128);
    cells->bytes[cells->count++] = (unsigned char)value;
    return TKP_OK;
}

tkp_status tkp__store_cells_add(
    tkp__store_cells *cells,
    const int32_t *values,
    int64_t count)
{
    int32_t before = 0;
    TKP__TRY(put(cells, (uint32_t)count));
    for (int64_t i = 0; i < count; i++) {
        TKP__CHECK(
            values[i] >= before, TKP_ERR_DATA,
            "cell %d comes behind cell %d, wanted them to ascend", values[i],
            before);
        TKP__TRY(put(cells, (uint32_t)(values[i] - before)));
        before = values[i];
    }
    return TKP_OK;
}

/* False if the bytes end, or hold more than an int32_t. */
static bool
get(size_t *at, const unsigned char *bytes, size_t count, int32_t *out)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 35 && *at < count; shift += 7) {
        const unsigned char byte = bytes[(*at)++];
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *out = (int32_t)value;
            return value <= INT32_MAX;
        }
    }
    return false;
}

int64_t tkp__store_cells_next(
    size_t *at,
    const void *bytes,
    size_t count,
    int32_t *values,
    int64_t capacity)
{
    int32_t n, step;
    int64_t cell = 0;
    if (*at >= count)
        return -1;
    if (!get(at, bytes, count, &n) || n > capacity)
        return -2;
    for (int32_t i = 0; i < n; i++) {
        if (!get(at, bytes, count, &step) || (cell += step) > INT32_MAX)
            return -2;
        values[i] = (int32_t)cell;
    }
    return n;
}
