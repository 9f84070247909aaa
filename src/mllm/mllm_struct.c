#include "mllm/mllm_struct.h"

static tkp_status check_size(uint32_t size, size_t min_size, const char *name)
{
    TKP__CHECK(
        size >= min_size, TKP_ERR_OPTION,
        "%s: struct_size is %u, below the %zu of the first release: not "
        "initialised; use the INIT macro",
        name, size, min_size);
    return TKP_OK;
}

tkp_status tkp__mllm_copy_struct(
    void *dst,
    size_t dst_size,
    const void *src,
    uint32_t src_size,
    size_t min_size,
    const char *name)
{
    TKP__TRY(check_size(src_size, min_size, name));
    const unsigned char *bytes = src;
    for (size_t i = dst_size; i < src_size; i++)
        TKP__CHECK(
            bytes[i] == 0, TKP_ERR_OPTION,
            "%s: byte %zu is set, and this library knows %zu of the %u bytes: "
            "the caller is newer",
            name, i, dst_size, src_size);
    const size_t known = src_size < dst_size ? src_size : dst_size;
    memcpy(dst, src, known);
    memset((char *)dst + known, 0, dst_size - known);
    return TKP_OK;
}

tkp_status tkp__mllm_fill_struct(
    void *dst,
    const void *src,
    size_t src_size,
    size_t min_size,
    const char *name)
{
    uint32_t size;
    memcpy(&size, dst, sizeof(size));
    TKP__TRY(check_size(size, min_size, name));
    const size_t known = size < src_size ? size : src_size;
    memcpy(
        (char *)dst + sizeof(size), (const char *)src + sizeof(size),
        known - sizeof(size));
    return TKP_OK;
}
