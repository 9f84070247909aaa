/*
 * Which library this is.
 */

#include "tokenprune/version.h"

#ifndef TKP_BUILD_TYPE
#    define TKP_BUILD_TYPE "unknown"
#endif

#if defined(__clang__)
#    define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#    define COMPILER "gcc " __VERSION__
#else
#    define COMPILER "unknown compiler"
#endif

int32_t tkp_version_number(void)
{
    return TKP_VERSION_NUMBER;
}

const char *tkp_version_string(void)
{
    return TKP_VERSION_STRING;
}

const char *tkp_build_info(void)
{
    return "tokenprune " TKP_VERSION_STRING ", " COMPILER ", " TKP_BUILD_TYPE
           ", built in: ref, yaml";
}
