/*
 * Element types of the safetensors container.
 */

#include "safetensors/safetensors_file.h"

static const tkp__st_dtype dtypes[] = {
    {"F32", 4, TKP_DTYPE_F32},      {"F16", 2, TKP_DTYPE_F16},
    {"BF16", 2, TKP_DTYPE_BF16},    {"I32", 4, TKP_DTYPE_I32},
    {"I64", 8, TKP_DTYPE_I64},      {"U8", 1, TKP_DTYPE_U8},
    {"BOOL", 1, TKP_DTYPE_NONE},    {"I8", 1, TKP_DTYPE_NONE},
    {"I16", 2, TKP_DTYPE_NONE},     {"U16", 2, TKP_DTYPE_NONE},
    {"U32", 4, TKP_DTYPE_NONE},     {"U64", 8, TKP_DTYPE_NONE},
    {"F64", 8, TKP_DTYPE_NONE},     {"F8_E4M3", 1, TKP_DTYPE_NONE},
    {"F8_E5M2", 1, TKP_DTYPE_NONE}, {"F8_E8M0", 1, TKP_DTYPE_NONE},
};

#define DTYPE_COUNT (sizeof(dtypes) / sizeof(dtypes[0]))

const tkp__st_dtype *tkp__st_dtype_by_name(const char *name)
{
    for (size_t i = 0; i < DTYPE_COUNT; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return &dtypes[i];
    return NULL;
}

const tkp__st_dtype *tkp__st_dtype_of(int32_t dtype)
{
    for (size_t i = 0; i < DTYPE_COUNT; i++)
        if (dtype != TKP_DTYPE_NONE && dtypes[i].dtype == dtype)
            return &dtypes[i];
    return NULL;
}
