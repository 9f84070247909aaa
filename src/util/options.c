/*
 * Option structs of older and newer callers.
 */

#include "util/util.h"

tkp_status tkp__util_copy_options(
    void *dst,
    size_t dst_size,
    const void *src,
    uint32_t src_struct_size,
    size_t min_size,
    const char *name)
{
    TKP__CHECK(
        src_struct_size >= min_size, TKP_ERR_OPTION,
        "%s: struct_size is %u, below the %zu of the first release: not "
        "initialised; use the INIT macro",
        name, src_struct_size, min_size);
    const unsigned char *bytes = src;
    for (size_t i = dst_size; i < src_struct_size; i++)
        TKP__CHECK(
            bytes[i] == 0, TKP_ERR_OPTION,
            "%s: byte %zu is set, and this library knows %zu of the %u bytes: "
            "the caller is newer",
            name, i, dst_size, src_struct_size);
    const size_t known =
        src_struct_size < dst_size ? src_struct_size : dst_size;
    memcpy(dst, src, known);
    memset((char *)dst + known, 0, dst_size - known);
    return TKP_OK;
}

tkp_status tkp__util_fill_struct(
    void *dst,
    const void *src,
    size_t src_size,
    size_t min_size,
    const char *name)
{
    uint32_t dst_size;
    memcpy(&dst_size, dst, sizeof(dst_size));
    TKP__CHECK(
        dst_size >= min_size, TKP_ERR_OPTION,
        "%s: struct_size is %u, below the %zu of the first release: not "
        "initialised; use the INIT macro",
        name, dst_size, min_size);
    const size_t known = dst_size < src_size ? dst_size : src_size;
    memcpy(
        (char *)dst + sizeof(dst_size), (const char *)src + sizeof(dst_size),
        known - sizeof(dst_size));
    return TKP_OK;
}
