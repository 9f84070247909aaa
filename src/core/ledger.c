/*
 * The ledger: the same code that books a piece of workspace says where it
 * lies, so size and offsets cannot disagree.
 */

#include "core/core.h"

tkp_status
tkp__ledger_book(tkp_ledger *ledger, uint64_t bytes, uint64_t *offset_out)
{
    const uint64_t step = TKP__WORKSPACE_ALIGNMENT;
    uint64_t padded, total;
    /* A workspace is given as size_t and addressed in 63 bits. */
    TKP__CHECK(
        !__builtin_add_overflow(bytes, step - 1, &padded) &&
            !__builtin_add_overflow(
                ledger->bytes, padded / step * step, &total) &&
            total <= (uint64_t)PTRDIFF_MAX,
        TKP_ERR_SHAPE, "workspace: %llu + %llu bytes do not fit",
        (unsigned long long)ledger->bytes, (unsigned long long)bytes);
    if (offset_out)
        *offset_out = ledger->bytes;
    ledger->bytes = total;
    return TKP_OK;
}
